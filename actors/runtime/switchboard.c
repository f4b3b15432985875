/* The switchboard: one ROUTER to which every actor connects under its own name. It passes [to, head, message, body] on as
 * [from, head, message, body]; a request to an absent actor comes straight back as a refusal, so that nobody waits for an answer that
 * cannot come. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host.h"
#include "thread.h"

typedef struct passing {
    frame_t frames[5]; /* from, to, head, message, body */
    size_t count;
} passing_t;

static int receive(void *router, passing_t *passing) {
    passing->count = 0;
    for (;;) {
        frame_t *frame = &passing->frames[passing->count++];
        frame_init(frame);
        if (!frame_receive(frame, router, 0)) return -1;
        if (!zmq_msg_more(&frame->msg)) return 0;
        must(passing->count < sizeof passing->frames / sizeof passing->frames[0]);
    }
}

static int send_frame(void *router, frame_t *frame, bool more) {
    return frame_send(frame, router, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) ? 0 : -1;
}

/* What cannot be delivered: a request is answered for the absent actor; anything else is gone, as its sender was told it may be. */
static void bounce(void *router, passing_t *passing, bool full) {
    head_t head;
    must(head_decode(frame_bytes(&passing->frames[2]), &head));
    if (head.kind != HEAD_REQUEST) return;
    refusal_t no;
    bytes_t name = frame_bytes(&passing->frames[1]);
    refuse(&no, ERROR_UNAVAILABLE, NULL, full ? "%.*s has too many messages waiting" : "%.*s is not running", (int)name.size,
           (const char *)name.data);
    no.retry = true;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    refusal_encode(&no, (bytes_t){0}, &out);
    frame_t answer[3];
    head.kind = HEAD_REFUSAL;
    head_encode(&head, &answer[1]);
    frame_copy_of(&answer[2], (bytes_t){(const uint8_t *)out.data, out.size});
    frame_init(&answer[0]);
    frame_share(&answer[0], &passing->frames[1]);
    if (send_frame(router, &passing->frames[0], true) == 0)
        for (size_t i = 0; i < 3; i++) send_frame(router, &answer[i], i < 2);
    for (size_t i = 0; i < 3; i++) frame_fini(&answer[i]);
    msgpack_sbuffer_destroy(&out);
}

static void pass(void *router, passing_t *passing) {
    frame_t to;
    frame_init(&to);
    frame_share(&to, &passing->frames[1]);
    int failed = send_frame(router, &to, true);
    int error = errno;
    if (failed < 0) {
        bounce(router, passing, error == EAGAIN);
    } else {
        send_frame(router, &passing->frames[0], true);
        for (size_t i = 2; i < passing->count; i++) send_frame(router, &passing->frames[i], i + 1 < passing->count);
    }
    frame_fini(&to);
}

static void *run(void *router) {
    passing_t passing;
    for (;;) {
        int failed = receive(router, &passing);
        int error = errno;
        if (failed == 0 && passing.count >= 4) pass(router, &passing);
        for (size_t i = 0; i < passing.count; i++) frame_fini(&passing.frames[i]);
        if (failed < 0 && error == ETERM) break;
    }
    zmq_close(router);
    return NULL;
}

int switchboard_start(const threads_t *threads, pthread_t *ret_thread, fault_t *why) {
    void *router = zmq_socket(threads->control, ZMQ_ROUTER);
    if (!router) return fault_set(why, "cannot create the switchboard: %s", zmq_strerror(errno));
    int on = 1, hwm = 100000, linger = 0;
    zmq_setsockopt(router, ZMQ_ROUTER_MANDATORY, &on, sizeof on);
    zmq_setsockopt(router, ZMQ_ROUTER_HANDOVER, &on, sizeof on);
    zmq_setsockopt(router, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(router, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(router, ZMQ_LINGER, &linger, sizeof linger);
    int error = 0;
    if (zmq_bind(router, SWITCHBOARD_ENDPOINT) < 0) {
        fault_set(why, "cannot bind the switchboard: %s", zmq_strerror(errno));
        goto fail;
    }
    error = pthread_create(ret_thread, NULL, run, router);
    if (error) {
        fault_set(why, "cannot start the switchboard's thread: %s", strerror(error));
        goto fail;
    }
    pthread_setname_np(*ret_thread, "switchboard");
    return 0;
fail:
    zmq_close(router);
    return -1;
}

void *switchboard_connect(const threads_t *threads, const char *name) {
    void *dealer = zmq_socket(threads->control, ZMQ_DEALER);
    if (!dealer) return NULL;
    int hwm = 100000, linger = 0;
    zmq_setsockopt(dealer, ZMQ_ROUTING_ID, name, strlen(name));
    zmq_setsockopt(dealer, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(dealer, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_connect(dealer, SWITCHBOARD_ENDPOINT) == 0) return dealer;
    zmq_close(dealer);
    return NULL;
}
