/* One connection to one endpoint of the engine.
 * ZeroMQ connects behind the scenes and would wait for ever for an engine that is not there, so the socket takes messages only while it
 * has a connection, every wait has a deadline, and Ctrl-C ends each of them. Pings are answered here, so that nobody forgets them. */
#include "channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../messages/wire.h"

enum { RECONNECT_MS = 20, LINGER_MS = 200 };

int64_t channel_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void option_set(void *socket, int option, int value) {
    must(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

int channel_open(channel_t *channel, void *context, const char *endpoint, unsigned scope, int interrupts, fault_t *why) {
    *channel = (channel_t){.scope = scope, .interrupts = interrupts, .heard = channel_clock()};
    snprintf(channel->endpoint, sizeof channel->endpoint, "%s", endpoint);
    channel->socket = zmq_socket(context, ZMQ_DEALER);
    if (!channel->socket) {
        return fault_set(why, "cannot make a socket: %s", zmq_strerror(errno));
    }
    msgpack_sbuffer_init(&channel->out);
    option_set(channel->socket, ZMQ_IMMEDIATE, 1);
    option_set(channel->socket, ZMQ_LINGER, LINGER_MS);
    option_set(channel->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    /* Credit bounds what is under way, and a mark in messages would stop small batches far below it. */
    option_set(channel->socket, ZMQ_SNDHWM, 0);
    option_set(channel->socket, ZMQ_RCVHWM, 0);
    if (zmq_connect(channel->socket, channel->endpoint) == -1) {
        fault_set(why, "cannot connect to `%s`: %s", channel->endpoint, zmq_strerror(errno));
        channel_close(channel);
        return -1;
    }
    return 0;
}

void channel_close(channel_t *channel) {
    if (!channel->socket) {
        return;
    }
    zmq_close(channel->socket);
    channel->socket = NULL;
    msgpack_sbuffer_destroy(&channel->out);
}

static received_t channel_poll(channel_t *channel, short events, int64_t deadline) {
    zmq_pollitem_t items[] = {{.socket = channel->socket, .events = events}, {.fd = channel->interrupts, .events = ZMQ_POLLIN}};
    int64_t left = deadline - channel_clock();
    int ready = zmq_poll(items, channel->interrupts == -1 ? 1 : 2, left > 0 ? (long)left : 0);
    if (ready == -1) {
        must(errno == EINTR);
        return RECEIVED_NOTHING;
    }
    if (items[0].revents) {
        return RECEIVED;
    }
    return ready > 0 ? RECEIVED_INTERRUPT : RECEIVED_NOTHING;
}

received_t channel_reach(channel_t *channel, int64_t deadline) {
    return channel_poll(channel, ZMQ_POLLOUT, deadline);
}

bool channel_send(channel_t *channel, message_id_t id, const void *message, bytes_t echo, const bytes_t *body) {
    msgpack_sbuffer_clear(&channel->out);
    message_encode(id, message, true, echo, &channel->out);
    int more = body ? ZMQ_SNDMORE : 0;
    if (zmq_send(channel->socket, channel->out.data, channel->out.size, ZMQ_DONTWAIT | more) == -1) {
        return false;
    }
    return !body || zmq_send(channel->socket, body->data, body->size, ZMQ_DONTWAIT) != -1;
}

void letter_init(letter_t *letter) {
    zmq_msg_init(&letter->frames[0]);
    zmq_msg_init(&letter->frames[1]);
    letter->head = letter->body = (bytes_t){0};
}

void letter_fini(letter_t *letter) {
    zmq_msg_close(&letter->frames[0]);
    zmq_msg_close(&letter->frames[1]);
}

static bytes_t frame_content(zmq_msg_t *frame) {
    return (bytes_t){zmq_msg_data(frame), zmq_msg_size(frame)};
}

/* One message whole, frames beyond the second left out. */
static bool letter_take(channel_t *channel, letter_t *letter) {
    letter->head = letter->body = (bytes_t){0};
    if (zmq_msg_recv(&letter->frames[0], channel->socket, ZMQ_DONTWAIT) == -1) {
        return false;
    }
    bool more = zmq_msg_more(&letter->frames[0]);
    if (more) {
        zmq_msg_recv(&letter->frames[1], channel->socket, 0);
        letter->body = frame_content(&letter->frames[1]);
        more = zmq_msg_more(&letter->frames[1]);
    }
    while (more) {
        zmq_msg_t rest;
        zmq_msg_init(&rest);
        zmq_msg_recv(&rest, channel->socket, 0);
        more = zmq_msg_more(&rest);
        zmq_msg_close(&rest);
    }
    letter->head = frame_content(&letter->frames[0]);
    channel->heard = channel_clock();
    return true;
}

static bool is_ping(bytes_t head) {
    bytes_t op;
    const char *text;
    size_t size;
    return wire_map_get(head, "op", &op) && wire_text(op, &text, &size) && size == 4 && memcmp(text, "ping", 4) == 0;
}

received_t channel_receive(channel_t *channel, int64_t deadline, letter_t *letter) {
    for (;;) {
        while (letter_take(channel, letter)) {
            refusal_t no;
            if (wire_walk(letter->head, &no) == -1) {
                continue;
            }
            if (!is_ping(letter->head)) {
                return RECEIVED;
            }
            msg_pong_t pong = {0};
            channel_send(channel, MSG_PONG, &pong, (bytes_t){0}, NULL);
        }
        received_t polled = channel_poll(channel, ZMQ_POLLIN, deadline);
        if (polled == RECEIVED_INTERRUPT || (polled == RECEIVED_NOTHING && channel_clock() >= deadline)) {
            return polled;
        }
    }
}
