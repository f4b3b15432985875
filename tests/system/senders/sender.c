/* Sends numbered messages as fast as they are taken, in C: sender pub|push ENDPOINT COUNT SIZE. Who publishes begins when somebody subscribes,
 * and waits for who is slow instead of dropping, so that each message can be expected. It stays until it is killed: libzmq would not tell when
 * the last message has arrived. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { SIZE_MAX_TAKEN = 1 << 20 };

int main(int argc, char **argv) {
    static char text[SIZE_MAX_TAKEN];
    const int on = 1;
    long count = argc > 4 ? strtol(argv[3], NULL, 10) : 0, size = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
    if (size < 24 || size > SIZE_MAX_TAKEN) {
        fprintf(stderr, "usage: %s pub|push ENDPOINT COUNT SIZE\n", argv[0]);
        return 2;
    }
    int publishes = strcmp(argv[1], "pub") == 0;
    void *socket = zmq_socket(zmq_ctx_new(), publishes ? ZMQ_XPUB : ZMQ_PUSH);
    if (publishes) zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &on, sizeof on);
    int sound = zmq_bind(socket, argv[2]) == 0;
    if (sound && publishes) sound = zmq_recv(socket, text, sizeof text, 0) > 0;
    memset(text, 'x', sizeof text);
    for (long i = 0; i < count && sound; i++) {
        text[snprintf(text, sizeof text, "%ld ", i)] = 'x';
        sound = zmq_send(socket, text, (size_t)size, 0) >= 0;
    }
    if (!sound) {
        fprintf(stderr, "cannot send at %s: %s\n", argv[2], zmq_strerror(zmq_errno()));
        return 1;
    }
    pause();
    return 0;
}
