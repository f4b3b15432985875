/* Real sockets for the tests of what touches them. Nothing waits longer than five seconds, and nothing waits for time to pass. */
#ifndef REPRISE_TESTS_SOCKETS_H
#define REPRISE_TESTS_SOCKETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "messages/message.h"

enum { PATIENCE_MS = 5000 };

typedef struct received {
    size_t count;
    size_t sizes[16];
    uint8_t data[16][512]; /* the first bytes of each frame */
} received_t;

static inline void *socket_connected(void *context, int type, const char *endpoint) {
    void *socket = zmq_socket(context, type);
    int none = 0, patience = PATIENCE_MS;
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience, sizeof patience);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    if (zmq_connect(socket, endpoint) < 0) fail_msg("cannot connect to %s: %s", endpoint, zmq_strerror(errno));
    return socket;
}

static inline bool socket_readable(void *socket, long patience_ms) {
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    return zmq_poll(&item, 1, patience_ms) > 0;
}

static inline void socket_send(void *socket, size_t count, const bytes_t *frames) {
    for (size_t i = 0; i < count; i++)
        if (zmq_send(socket, frames[i].data, frames[i].size, i + 1 < count ? ZMQ_SNDMORE : 0) < 0)
            fail_msg("cannot send: %s", zmq_strerror(errno));
}
#define SEND(socket, ...) socket_send(socket, sizeof((bytes_t[]){__VA_ARGS__}) / sizeof(bytes_t), (bytes_t[]){__VA_ARGS__})
#define TEXT_BYTES(text) ((bytes_t){(const uint8_t *)(text), strlen(text)})

static inline received_t socket_receive(void *socket) {
    received_t in = {0};
    for (int more = 1; more;) {
        zmq_msg_t msg;
        zmq_msg_init(&msg);
        if (zmq_msg_recv(&msg, socket, 0) < 0) fail_msg("nothing came in: %s", zmq_strerror(errno));
        assert_true(in.count < 16);
        in.sizes[in.count] = zmq_msg_size(&msg);
        memcpy(in.data[in.count], zmq_msg_data(&msg), in.sizes[in.count] < 512 ? in.sizes[in.count] : 512);
        in.count++;
        more = zmq_msg_more(&msg);
        zmq_msg_close(&msg);
    }
    return in;
}

static inline bytes_t received_bytes(const received_t *in, size_t i) {
    assert_true(i < in->count && in->sizes[i] <= 512);
    return (bytes_t){in->data[i], in->sizes[i]};
}

static inline bool bytes_are(bytes_t bytes, const char *text) {
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

/* A TCP port that is free now, of those that the kernel gives to nobody by itself: it stays free until it is bound. */
static inline int port_free(void) {
    enum { FIRST = 12000, COUNT = 18000 };
    static int tried;
    for (;;) {
        int port = FIRST + (getpid() * 31 + 7 * tried++) % COUNT;
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
        int one = socket(AF_INET, SOCK_STREAM, 0);
        int taken = bind(one, (struct sockaddr *)&address, sizeof address);
        close(one);
        if (taken == 0) return port;
        assert_true(tried < COUNT);
    }
}

/* A browser that comes to the wrong port: it says enough for libzmq to take it for an old peer with messages. */
static inline int http_client(int port) {
    char text[1200];
    int head = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: ");
    memset(text + head, 'b', sizeof text - (size_t)head);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int one = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(one, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(one, text, sizeof text), sizeof text);
    return one;
}

#endif
