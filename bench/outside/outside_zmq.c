/* A program that pushes as fast as it is let. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "outside.h"

enum { WAITING = 10000, PATIENCE_MS = 10000 };

typedef struct pusher {
    void *context, *socket;
    size_t size;
    pthread_t thread;
    bool runs;
} pusher_t;

static void *push(void *data) {
    pusher_t *pusher = data;
    char *message = calloc(1, pusher->size + 1);
    must(message);
    while (zmq_send(pusher->socket, message, pusher->size, 0) >= 0) continue; /* until the context is shut */
    free(message);
    zmq_close(pusher->socket);
    return NULL;
}

static void *socket_of(void *context, int type) {
    int waiting = WAITING, linger = 0, patience = PATIENCE_MS;
    void *socket = zmq_socket(context, type);
    must(socket && zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
    must(zmq_setsockopt(socket, ZMQ_SNDHWM, &waiting, sizeof waiting) == 0);
    must(zmq_setsockopt(socket, ZMQ_RCVHWM, &waiting, sizeof waiting) == 0);
    if (type == ZMQ_PULL) must(zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience) == 0);
    return socket;
}

static int push_open(outside_t *outside, fault_t *why) {
    char endpoint[64];
    size_t size = sizeof endpoint;
    pusher_t *pusher = calloc(1, sizeof *pusher);
    must(pusher);
    (void)why;
    outside->own = pusher;
    pusher->size = (size_t)outside->bench->size;
    pusher->context = zmq_ctx_new();
    pusher->socket = socket_of(pusher->context, ZMQ_PUSH);
    must(zmq_bind(pusher->socket, "tcp://127.0.0.1:*") == 0);
    must(zmq_getsockopt(pusher->socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    snprintf(outside->server, sizeof outside->server, "%s", endpoint + strlen("tcp://"));
    must(pthread_create(&pusher->thread, NULL, push, pusher) == 0);
    pusher->runs = true;
    return 0;
}

static int pull_read(outside_t *outside, meter_t *meter, fault_t *why) {
    char endpoint[96];
    int result = 0;
    void *context = zmq_ctx_new(), *socket = socket_of(context, ZMQ_PULL);
    zmq_msg_t message;
    snprintf(endpoint, sizeof endpoint, "tcp://%s", outside->server);
    must(zmq_connect(socket, endpoint) == 0 && zmq_msg_init(&message) == 0);
    do
        if (zmq_msg_recv(&message, socket, 0) < 0) result = fault_set(why, "nothing comes from %s", endpoint);
    while (result == 0 && meter_one(meter));
    zmq_msg_close(&message);
    zmq_close(socket);
    zmq_ctx_term(context);
    return result;
}

static void pull_pack(const outside_t *outside, msgpack_packer *packer) {
    msgpack_pack_map(packer, 3);
    outside_pack_text(packer, "server", outside->server);
    outside_pack_text(packer, "socket", "pull");
    msgpack_pack_str_with_body(packer, "queue", strlen("queue"));
    msgpack_pack_int(packer, WAITING); /* as the other reader has it */
}

static void push_close(outside_t *outside) {
    pusher_t *pusher = outside->own;
    if (pusher) {
        zmq_ctx_shutdown(pusher->context);
        if (pusher->runs) pthread_join(pusher->thread, NULL);
        zmq_ctx_term(pusher->context);
        free(pusher);
    }
    outside->own = NULL;
}

const outside_kind_t outside_zmq = {.name = "zmq",
                                    .what = "messages that a program pushes",
                                    .peer = "libzmq, PULL",
                                    .open = push_open,
                                    .read = pull_read,
                                    .pack = pull_pack,
                                    .close = push_close};
