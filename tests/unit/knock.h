/* A door that asks who is let in, with the test in the authenticator's place: libzmq's own questions, and connections of its own making. */
#ifndef REPRISE_TESTS_KNOCK_H
#define REPRISE_TESTS_KNOCK_H

#include "sockets.h"

#include "actors/runtime/visitors.h"
#include "actors/runtime/zap.h"
#include "messages/wire.h"
#include "pack.h"

typedef struct knock {
    void *inside, *outside; /* contexts */
    void *zap, *door;
    char endpoint[64];
} knock_t;

/* A door of that kind; `domain` NULL: it asks nobody. */
static inline void knock_open(knock_t *k, int type, const char *domain) {
    int none = 0, on = 1, patience = PATIENCE_MS;
    k->inside = zmq_ctx_new();
    k->outside = zmq_ctx_new();
    k->zap = zmq_socket(k->inside, ZMQ_REP);
    zmq_setsockopt(k->zap, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(k->zap, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_bind(k->zap, ZAP_ENDPOINT), 0);
    k->door = zmq_socket(k->inside, type);
    zmq_setsockopt(k->door, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(k->door, ZMQ_RCVTIMEO, &patience, sizeof patience);
    if (domain) zmq_setsockopt(k->door, ZMQ_ZAP_DOMAIN, domain, strlen(domain));
    if (type == ZMQ_XPUB) zmq_setsockopt(k->door, ZMQ_XPUB_VERBOSE, &on, sizeof on);
    if (type == ZMQ_ROUTER) zmq_setsockopt(k->door, ZMQ_ROUTER_MANDATORY, &on, sizeof on);
    assert_int_equal(zmq_bind(k->door, "tcp://127.0.0.1:*"), 0);
    size_t size = sizeof k->endpoint;
    assert_int_equal(zmq_getsockopt(k->door, ZMQ_LAST_ENDPOINT, k->endpoint, &size), 0);
}

static inline void knock_close(knock_t *k) {
    zmq_close(k->zap);
    zmq_close(k->door);
    alarm(10); /* a test that failed left sockets open, for which these would wait for ever */
    zmq_ctx_term(k->outside);
    zmq_ctx_term(k->inside);
    alarm(0);
}

/* The frames of the next question, behind the delimiter that REP takes off; the caller frees them. */
static inline size_t knock_question(knock_t *k, frame_t frames[FRAMES_MAX]) {
    size_t count = 0;
    bool more = true;
    while (more) {
        assert_true(count < FRAMES_MAX);
        frame_init(&frames[count]);
        if (!frame_receive(&frames[count], k->zap, 0)) fail_msg("nobody knocks: %s", zmq_strerror(errno));
        more = zmq_msg_more(&frames[count++].msg) != 0;
    }
    return count;
}

static inline void knock_free(frame_t *frames, size_t count) {
    for (size_t i = 0; i < count; i++) frame_fini(&frames[i]);
}

/* Answers as the authenticator would. */
static inline void knock_reply(knock_t *k, bytes_t answer) {
    frame_t frame;
    frame_copy_of(&frame, answer);
    assert_true(zap_reply(k->zap, &frame));
    frame_fini(&frame);
}

static inline void knock_let_in(knock_t *k, const char *user) {
    frame_t frames[FRAMES_MAX];
    knock_free(frames, knock_question(k, frames));
    knock_reply(k, pack("{stss}", "ok", "user", user));
}

/* A client that hears what becomes of its connection. */
typedef struct knocker {
    void *socket, *monitor;
} knocker_t;

static inline knocker_t knocker_at(knock_t *k, int type, const char *id) {
    static unsigned number;
    char name[32];
    int none = 0, never = -1, patience = PATIENCE_MS;
    knocker_t one = {zmq_socket(k->outside, type), zmq_socket(k->outside, ZMQ_PAIR)};
    zmq_setsockopt(one.socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(one.socket, ZMQ_RECONNECT_IVL, &never, sizeof never);
    zmq_setsockopt(one.socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    if (id) zmq_setsockopt(one.socket, ZMQ_ROUTING_ID, id, strlen(id));
    if (type == ZMQ_SUB) zmq_setsockopt(one.socket, ZMQ_SUBSCRIBE, "", 0);
    snprintf(name, sizeof name, "inproc://knocker-%u", ++number);
    int news =
        ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    assert_int_equal(zmq_socket_monitor(one.socket, name, news), 0);
    zmq_setsockopt(one.monitor, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_connect(one.monitor, name), 0);
    assert_int_equal(zmq_connect(one.socket, k->endpoint), 0);
    return one;
}

/* What has become of its connection next: one of libzmq's events. */
static inline int knocker_hears(knocker_t *one) {
    received_t in = socket_receive(one->monitor);
    uint16_t event;
    memcpy(&event, in.data[0], sizeof event);
    return event;
}

static inline void knocker_leave(knocker_t *one) {
    zmq_socket_monitor(one->socket, NULL, 0);
    zmq_close(one->monitor);
    zmq_close(one->socket);
}

#endif
