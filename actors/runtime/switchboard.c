/* The switchboard: one ROUTER to which every actor connects under its own name. It passes [to, head, message, body] on as
 * [from, head, message, body]; a request to an absent actor comes straight back as a refusal, so that nobody waits for an answer that
 * cannot come. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crash.h"
#include "meddler.h"
#include "thread.h"

#define SWITCHBOARD_NAME "switchboard"

typedef struct board {
    void *router;
    bool chaos; /* it may be told to meddle */
    meddler_t meddler;
} board_t;

static int64_t clock_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void passing_fini(passing_t *passing) {
    for (size_t i = 0; i < passing->count; i++) frame_fini(&passing->frames[i]);
}

static int receive(void *router, passing_t *passing) {
    passing->count = 0;
    for (;;) {
        frame_t *frame = &passing->frames[passing->count++];
        frame_init(frame);
        if (!frame_receive(frame, router, 0)) return -1;
        if (!zmq_msg_more(&frame->msg)) return 0;
        must(passing->count < PASSING_FRAMES);
    }
}

static int send_frame(void *router, frame_t *frame, bool more) {
    return frame_send(frame, router, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) ? 0 : -1;
}

/* Answers in the name of who was asked. */
static void answer(void *router, passing_t *passing, head_t head, head_kind_t kind, bytes_t message) {
    frame_t frames[3];
    head.kind = kind;
    frame_init(&frames[0]);
    frame_share(&frames[0], &passing->frames[PASSING_TO]);
    head_encode(&head, &frames[1]);
    frame_copy_of(&frames[2], message);
    if (send_frame(router, &passing->frames[PASSING_FROM], true) == 0)
        for (size_t i = 0; i < 3; i++) send_frame(router, &frames[i], i < 2);
    for (size_t i = 0; i < 3; i++) frame_fini(&frames[i]);
}

static void refuse_to(void *router, passing_t *passing, head_t head, const refusal_t *no) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    refusal_encode(no, (bytes_t){0}, &out);
    answer(router, passing, head, HEAD_REFUSAL, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
}

/* What cannot be delivered: a request is answered for the absent actor; anything else is gone, as its sender was told it may be. */
static head_kind_t bounce(void *router, passing_t *passing, const char *reason) {
    head_t head;
    must(head_decode(frame_bytes(&passing->frames[PASSING_HEAD]), &head));
    if (head.kind != HEAD_REQUEST) return head.kind;
    refusal_t no;
    bytes_t name = frame_bytes(&passing->frames[PASSING_TO]);
    refuse(&no, ERROR_UNAVAILABLE, NULL, "%.*s %s", (int)name.size, (const char *)name.data, reason);
    no.retry = true;
    refuse_to(router, passing, head, &no);
    return head.kind;
}

static void bounce_full(void *router, passing_t *passing) {
    if (bounce(router, passing, "has too many messages waiting") == HEAD_REQUEST) return;
    bytes_t name = frame_bytes(&passing->frames[PASSING_TO]);
    fprintf(stderr, "reprised: the engine ends: %.*s does not read its messages\n", (int)name.size, (const char *)name.data);
    abort();
}

static void pass(void *router, passing_t *passing) {
    frame_t to;
    frame_init(&to);
    frame_share(&to, &passing->frames[PASSING_TO]);
    int failed = send_frame(router, &to, true);
    int error = errno;
    if (failed < 0 && error == EAGAIN) {
        bounce_full(router, passing);
    } else if (failed < 0) {
        bounce(router, passing, "is not running");
    } else {
        send_frame(router, &passing->frames[PASSING_FROM], true);
        for (size_t i = PASSING_HEAD; i < passing->count; i++) send_frame(router, &passing->frames[i], i + 1 < passing->count);
    }
    frame_fini(&to);
}

/* ---- with `--chaos` ---- */

static bool is_order(const passing_t *passing) {
    bytes_t to = frame_bytes(&passing->frames[PASSING_TO]);
    return to.size == strlen(SWITCHBOARD_NAME) && memcmp(to.data, SWITCHBOARD_NAME, to.size) == 0;
}

static void obey(board_t *board, passing_t *passing, head_t head) {
    refusal_t no;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    if (head.id != MSG_CHAOS_MESSAGES)
        bounce(board->router, passing, "takes no such message");
    else if (meddler_order(&board->meddler, frame_bytes(&passing->frames[PASSING_MESSAGE]), &out, &no) < 0)
        refuse_to(board->router, passing, head, &no);
    else
        answer(board->router, passing, head, HEAD_ANSWER, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
}

static void pass_or_keep(board_t *board, passing_t *passing, int64_t delay_us) {
    if (!meddler_keeps(&board->meddler, passing, delay_us, clock_us())) pass(board->router, passing);
}

static void meddle(board_t *board, passing_t *passing) {
    head_t head;
    must(head_decode(frame_bytes(&passing->frames[PASSING_HEAD]), &head));
    if (is_order(passing)) {
        obey(board, passing, head);
        return;
    }
    verdict_t verdict = meddler_judge(&board->meddler, &head);
    if (verdict.drop) {
        bounce(board->router, passing, "did not get this: chaos.messages lost it");
        return;
    }
    passing_t again = {.count = verdict.twice ? passing->count : 0};
    for (size_t i = 0; i < again.count; i++) {
        frame_init(&again.frames[i]);
        frame_share(&again.frames[i], &passing->frames[i]);
    }
    pass_or_keep(board, passing, verdict.delay_us);
    if (again.count > 0) pass_or_keep(board, &again, 0);
    passing_fini(&again);
}

/* Passes on what has waited long enough, until there is something new. */
static void attend(board_t *board) {
    passing_t passing;
    while (board->meddler.count > 0) {
        while (meddler_gives(&board->meddler, clock_us(), &passing)) {
            pass(board->router, &passing);
            passing_fini(&passing);
        }
        zmq_pollitem_t item = {board->router, 0, ZMQ_POLLIN, 0};
        if (board->meddler.count == 0 || zmq_poll(&item, 1, meddler_patience(&board->meddler, clock_us())) != 0) return;
    }
}

/* ---- the thread ---- */

static void *run(void *argument) {
    board_t *board = argument;
    passing_t passing;
    void *crash_stack = crash_stack_open();
    for (;;) {
        attend(board);
        int failed = receive(board->router, &passing);
        int error = errno;
        if (failed == 0 && passing.count >= 4 && board->chaos) {
            meddle(board, &passing);
        } else if (failed == 0 && passing.count >= 4) {
            pass(board->router, &passing);
        }
        passing_fini(&passing);
        if (failed < 0 && error == ETERM) break;
    }
    meddler_fini(&board->meddler);
    zmq_close(board->router);
    free(board);
    crash_stack_close(crash_stack);
    return NULL;
}

/* Of each of the two ends: between them they hold twice as much. */
static int mailbox_max(const threads_t *threads) {
    return threads->mailbox > 0 ? (threads->mailbox + 1) / 2 : MAILBOX_MAX;
}

int switchboard_start(const threads_t *threads, pthread_t *ret_thread, fault_t *why) {
    void *router = zmq_socket(threads->control, ZMQ_ROUTER);
    if (!router) return fault_set(why, "cannot create the switchboard: %s", zmq_strerror(errno));
    int on = 1, hwm = mailbox_max(threads), linger = 0;
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
    board_t *board = calloc(1, sizeof *board);
    must(board);
    *board = (board_t){.router = router, .chaos = threads->config && threads->config->chaos};
    meddler_init(&board->meddler);
    error = pthread_create(ret_thread, NULL, run, board);
    if (error) {
        free(board);
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
    int hwm = mailbox_max(threads), linger = 0;
    zmq_setsockopt(dealer, ZMQ_ROUTING_ID, name, strlen(name));
    zmq_setsockopt(dealer, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(dealer, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_connect(dealer, SWITCHBOARD_ENDPOINT) == 0) return dealer;
    zmq_close(dealer);
    return NULL;
}
