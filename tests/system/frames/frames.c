/* Sends a request to the test stream and prints the frames of what comes, as hexadecimal lines, up to the event that ends the replay. It knows
 * nothing of msgpack, so that what it prints is what came: frames ENDPOINT REQUEST */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { PATIENCE_MS = 30000 };

static bool has(zmq_msg_t *frame, const char *text) {
    return memmem(zmq_msg_data(frame), zmq_msg_size(frame), text, strlen(text)) != NULL;
}

static void print(zmq_msg_t *frame) {
    const unsigned char *data = zmq_msg_data(frame);

    for (size_t i = 0; i < zmq_msg_size(frame); i++) printf("%02x", data[i]);
    printf("\n");
}

static size_t bytes_of(char *hex) {
    size_t size = strlen(hex) / 2;

    for (size_t i = 0; i < size; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};

        hex[i] = (char)strtoul(pair, NULL, 16);
    }
    return size;
}

/* One message: true where it ends the replay, or cannot be had. */
static bool receive(void *socket) {
    zmq_msg_t frame;
    bool more = true, first = true, end = false;

    zmq_msg_init(&frame);
    for (; more; first = false) {
        if (zmq_msg_recv(&frame, socket, 0) < 0) return true;
        more = zmq_msg_more(&frame);
        if (first && has(&frame, "\xa2op\xa4ping")) {
            zmq_send_const(socket, "\x81\xa2op\xa4pong", 9, 0);
            break;
        }
        print(&frame);
        end = end || (first && has(&frame, "\xa5"
                                           "event\xa3"
                                           "end"));
    }
    zmq_msg_close(&frame);
    return end;
}

int main(int argc, char **argv) {
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    int patience = PATIENCE_MS, linger = 0;

    if (argc != 3 || zmq_connect(socket, argv[1]) < 0) return EXIT_FAILURE;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_send(socket, argv[2], bytes_of(argv[2]), 0);
    while (!receive(socket)) continue;
    zmq_close(socket);
    zmq_ctx_term(context);
    return EXIT_SUCCESS;
}
