/* The raw peers: see peer.h. Each runs in a process of its own, as the engine does. */
#include "peer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { FRAMES_MAX = 4, SMALL = 64 * 1024, PIECE = 256 * 1024 };

/* ---- the peer's side ---- */

static void *bound(void *context, int type, int depth, char ret_endpoint[128]) {
    size_t size = 128;
    int linger = 0, on = 1;
    void *socket = zmq_socket(context, type);
    must(socket && zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
    must(zmq_setsockopt(socket, ZMQ_SNDHWM, &depth, sizeof depth) == 0 && zmq_setsockopt(socket, ZMQ_RCVHWM, &depth, sizeof depth) == 0);
    must(zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &on, sizeof on) == 0);
    must(zmq_bind(socket, "tcp://127.0.0.1:*") == 0 && zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, ret_endpoint, &size) == 0);
    return socket;
}

/* All frames of one message; how many there were. */
static int receive(void *socket, zmq_msg_t frames[FRAMES_MAX]) {
    int count = 0;
    do {
        must(count < FRAMES_MAX && zmq_msg_recv(&frames[count], socket, 0) >= 0);
    } while (zmq_msg_more(&frames[count++]));
    return count;
}

static void sink(void *socket, zmq_msg_t frames[FRAMES_MAX]) {
    for (;;) {
        if (receive(socket, frames) != 2) continue;
        for (int i = 0; i < 2; i++) zmq_msg_send(&frames[i], socket, i == 0 ? ZMQ_SNDMORE : 0);
    }
}

/* Small bodies are joined, as the engine does, and nothing is checked. */
static void append(void *socket, zmq_msg_t frames[FRAMES_MAX]) {
    static uint8_t joined[PIECE];
    const char *folder = getenv("TMPDIR");
    size_t used = 0;
    int file = open(folder ? folder : "/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    must(file >= 0);
    for (;;) {
        if (receive(socket, frames) == 2) {
            must(write(file, joined, used) == (ssize_t)used);
            used = 0;
            for (int i = 0; i < 2; i++) zmq_msg_send(&frames[i], socket, i == 0 ? ZMQ_SNDMORE : 0);
            continue;
        }
        size_t size = zmq_msg_size(&frames[2]);
        if (used + size > sizeof joined) {
            must(write(file, joined, used) == (ssize_t)used);
            used = 0;
        }
        if (size >= SMALL) {
            must(write(file, zmq_msg_data(&frames[2]), size) == (ssize_t)size);
        } else {
            memcpy(joined + used, zmq_msg_data(&frames[2]), size);
            used += size;
        }
    }
}

static void source(void *socket, zmq_msg_t frames[FRAMES_MAX]) {
    static uint8_t bytes[16 * 1024 * 1024];
    memset(bytes, 1, sizeof bytes); /* pages of its own, as a mapped file has */
    for (;;) {
        must(receive(socket, frames) == 2);
        const uint8_t *packed = zmq_msg_data(&frames[1]);
        uint32_t sizes[2]; /* of an event's two frames; in the message they are not aligned */
        for (size_t at = 0; at + sizeof sizes <= zmq_msg_size(&frames[1]); at += sizeof sizes) {
            zmq_msg_t part;
            memcpy(sizes, packed + at, sizeof sizes);
            must(sizes[0] <= sizeof bytes && sizes[1] <= sizeof bytes);
            zmq_send(socket, zmq_msg_data(&frames[0]), zmq_msg_size(&frames[0]), ZMQ_SNDMORE);
            zmq_send(socket, bytes, sizes[0], sizes[1] > 0 ? ZMQ_SNDMORE : 0);
            if (sizes[1] == 0) continue;
            zmq_msg_init_data(&part, bytes, sizes[1], NULL, NULL);
            zmq_msg_send(&part, socket, 0);
        }
    }
}

static void echo(void *socket, zmq_msg_t frames[FRAMES_MAX]) {
    for (;;) {
        int count = receive(socket, frames);
        for (int i = 0; i < count; i++) zmq_msg_send(&frames[i], socket, i + 1 < count ? ZMQ_SNDMORE : 0);
    }
}

static void relay(void *in, void *out, zmq_msg_t frames[FRAMES_MAX]) {
    zmq_msg_t hello[FRAMES_MAX];
    for (int i = 0; i < FRAMES_MAX; i++) zmq_msg_init(&hello[i]);
    receive(out, hello);
    for (;;) {
        must(receive(in, frames) == 3);
        zmq_send(out, zmq_msg_data(&hello[0]), zmq_msg_size(&hello[0]), ZMQ_SNDMORE);
        zmq_msg_send(&frames[1], out, ZMQ_SNDMORE);
        zmq_msg_send(&frames[2], out, 0);
    }
}

int peer_main(const char *kind, const char *depth) {
    char endpoints[2][128];
    zmq_msg_t frames[FRAMES_MAX];
    void *context = zmq_ctx_new();
    void *first = bound(context, ZMQ_ROUTER, atoi(depth), endpoints[0]), *second = bound(context, ZMQ_ROUTER, atoi(depth), endpoints[1]);
    for (int i = 0; i < FRAMES_MAX; i++) zmq_msg_init(&frames[i]);
    printf("%s %s\n", endpoints[0], endpoints[1]);
    fflush(stdout);
    if (strcmp(kind, "relay") == 0) relay(first, second, frames);
    static const struct {
        const char *kind;
        void (*run)(void *socket, zmq_msg_t frames[FRAMES_MAX]);
    } kinds[] = {{"sink", sink}, {"append", append}, {"source", source}, {"echo", echo}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i].kind) == 0) kinds[i].run(first, frames);
    return 2;
}

/* ---- the bench's side ---- */

int peer_start(peer_process_t *peer, const char *kind, int64_t depth, fault_t *why) {
    char program[4096], number[24];
    process_folder(program, sizeof program - 32);
    strcat(program, "/reprise-bench");
    snprintf(number, sizeof number, "%lld", (long long)depth);
    const char *arguments[] = {program, "peer", kind, number, NULL};
    if (process_start(&peer->process, arguments, why) < 0) return -1;
    if (sscanf(peer->process.line, "%127s %127s", peer->endpoints[0], peer->endpoints[1]) == 2) return 0;
    peer_stop(peer);
    return fault_set(why, "a raw peer said `%.100s`", peer->process.line);
}

void peer_stop(peer_process_t *peer) {
    process_stop(&peer->process);
}

void *peer_connect(void *context, int type, const char *endpoint, int64_t depth) {
    return peer_connect_with(context, type, endpoint, depth, &(credentials_t){0});
}

void *peer_connect_with(void *context, int type, const char *endpoint, int64_t depth, const credentials_t *keys) {
    int linger = 0, waiting = (int)depth, patience = 30000;
    void *socket = zmq_socket(context, type);
    must(socket && zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
    must(zmq_setsockopt(socket, ZMQ_SNDHWM, &waiting, sizeof waiting) == 0 &&
         zmq_setsockopt(socket, ZMQ_RCVHWM, &waiting, sizeof waiting) == 0);
    must(credentials_set(keys, socket) && zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience) == 0);
    must(zmq_connect(socket, endpoint) == 0);
    return socket;
}
