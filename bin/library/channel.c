/* One connection to one endpoint of the engine.
 * ZeroMQ connects behind the scenes and would wait for ever for an engine that is not there, so the socket takes messages only while it
 * has a connection, every wait has a deadline, and Ctrl-C ends each of them. Pings are answered here, so that nobody forgets them. */
#include "channel.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../messages/handover.h"
#include "../../messages/wire.h"

enum { RECONNECT_MS = 20, LINGER_MS = 200, POLL_MAX_MS = 3600 * 1000 };

int64_t channel_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void option_set(void *socket, int option, int value) {
    must(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

int channel_open(channel_t *channel, void *context, const char *endpoint, unsigned scope, int interrupts, fault_t *why) {
    return channel_open_with(channel, context, endpoint, scope, interrupts, &(credentials_t){0}, why);
}

int channel_open_with(channel_t *channel, void *context, const char *endpoint, unsigned scope, int interrupts,
                      const credentials_t *credentials, fault_t *why) {
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
    if (strchr(channel->endpoint, '[')) option_set(channel->socket, ZMQ_IPV6, 1);
    if (!credentials_set(credentials, channel->socket)) {
        fault_set(why, "this libzmq takes no keys: %s", zmq_strerror(errno));
        channel_close(channel);
        return -1;
    }
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
    if (channel->monitor) {
        zmq_socket_monitor(channel->socket, NULL, 0);
        zmq_close(channel->monitor);
    }
    zmq_close(channel->socket);
    channel->socket = channel->monitor = NULL;
    msgpack_sbuffer_destroy(&channel->out);
}

/* ---- the connection ---- */

int channel_watch(channel_t *channel, void *context, fault_t *why) {
    static atomic_uint watched;
    char name[64];
    snprintf(name, sizeof name, "inproc://reprise-watch-%u", atomic_fetch_add(&watched, 1U));
    if (zmq_socket_monitor(channel->socket, name, ZMQ_EVENT_DISCONNECTED) == 0) {
        channel->monitor = zmq_socket(context, ZMQ_PAIR);
    }
    if (!channel->monitor || zmq_connect(channel->monitor, name) == -1) {
        return fault_set(why, "cannot watch the connection to `%s`: %s", channel->endpoint, zmq_strerror(errno));
    }
    return 0;
}

bool channel_was_lost(channel_t *channel) {
    char event[8];
    bool lost = false;
    while (channel->monitor && zmq_recv(channel->monitor, event, sizeof event, ZMQ_DONTWAIT) >= 0) {
        lost = true;
    }
    return lost;
}

static received_t channel_poll(channel_t *channel, short events, int64_t deadline) {
    enum { SOCKET, MONITOR, INTERRUPTS, ITEMS };
    zmq_pollitem_t items[ITEMS] = {[SOCKET] = {.socket = channel->socket, .events = events}};
    int count = 1, monitor = 0, interrupts = 0;
    if (channel->monitor) {
        items[monitor = count++] = (zmq_pollitem_t){.socket = channel->monitor, .events = ZMQ_POLLIN};
    }
    if (channel->interrupts != -1) {
        items[interrupts = count++] = (zmq_pollitem_t){.fd = channel->interrupts, .events = ZMQ_POLLIN};
    }
    int64_t left = deadline - channel_clock();
    if (zmq_poll(items, count, left > POLL_MAX_MS ? POLL_MAX_MS : left > 0 ? (long)left : 0) == -1) {
        must(errno == EINTR);
        return RECEIVED_NOTHING;
    }
    if (items[SOCKET].revents) {
        return RECEIVED;
    }
    if (interrupts && items[interrupts].revents) {
        return RECEIVED_INTERRUPT;
    }
    return monitor && items[monitor].revents && channel_was_lost(channel) ? RECEIVED_LOST : RECEIVED_NOTHING;
}

received_t channel_reach(channel_t *channel, int64_t deadline) {
    return channel_poll(channel, ZMQ_POLLOUT, deadline);
}

/* ---- messages ---- */

static bool head_send(channel_t *channel, message_id_t id, const void *message, bytes_t echo, int more) {
    msgpack_sbuffer_clear(&channel->out);
    message_encode(id, message, true, echo, &channel->out);
    return zmq_send(channel->socket, channel->out.data, channel->out.size, ZMQ_DONTWAIT | more) != -1;
}

bool channel_send(channel_t *channel, message_id_t id, const void *message, bytes_t echo, const bytes_t *body) {
    if (!head_send(channel, id, message, echo, body ? ZMQ_SNDMORE : 0)) {
        return false;
    }
    return !body || zmq_send(channel->socket, body->data, body->size, ZMQ_DONTWAIT) != -1;
}

bool channel_send_frame(channel_t *channel, message_id_t id, const void *message, zmq_msg_t *body) {
    handover_give(zmq_msg_data(body));
    if (head_send(channel, id, message, (bytes_t){0}, ZMQ_SNDMORE) && zmq_msg_send(body, channel->socket, ZMQ_DONTWAIT) != -1) {
        return true;
    }
    zmq_msg_close(body);
    return false;
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

/* A small frame's bytes stand in the frame itself, and move with it. */
void letter_move(letter_t *to, letter_t *from) {
    bool head = from->head.data != NULL, body = from->body.data != NULL;
    zmq_msg_move(&to->frames[0], &from->frames[0]);
    zmq_msg_move(&to->frames[1], &from->frames[1]);
    to->head = head ? frame_content(&to->frames[0]) : (bytes_t){0};
    to->body = body ? frame_content(&to->frames[1]) : (bytes_t){0};
    from->head = from->body = (bytes_t){0};
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
            letter->head = (bytes_t){0};
        }
        received_t polled = channel_poll(channel, ZMQ_POLLIN, deadline);
        if (polled == RECEIVED_INTERRUPT || polled == RECEIVED_LOST || (polled == RECEIVED_NOTHING && channel_clock() >= deadline)) {
            return polled;
        }
    }
}

/* ---- ids and endpoints ---- */

echo_t echo_of(uint64_t number) {
    echo_t echo = {{0xcf}};
    for (int i = 0; i < 8; i++) {
        echo.data[1 + i] = (uint8_t)(number >> (56 - 8 * i));
    }
    return echo;
}

bool echo_is(bytes_t head, uint64_t number) {
    bytes_t value;
    int64_t id;
    return wire_map_get(head, "ok", &value) && wire_map_get(head, "id", &value) && wire_int(value, &id) && (uint64_t)id == number;
}

void channel_reachable(const char *endpoint, const char *engine, char *ret_endpoint, size_t size) {
    static const char *const anywhere[] = {"tcp://0.0.0.0:", "tcp://*:", "tcp://[::]:"};
    const char *host = strncmp(engine, "tcp://", 6) == 0 ? engine + 6 : NULL, *port = host ? strrchr(host, ':') : NULL;
    for (size_t i = 0; port && i < sizeof anywhere / sizeof anywhere[0]; i++) {
        if (strncmp(endpoint, anywhere[i], strlen(anywhere[i])) == 0) {
            snprintf(ret_endpoint, size, "tcp://%.*s:%s", (int)(port - host), host, endpoint + strlen(anywhere[i]));
            return;
        }
    }
    snprintf(ret_endpoint, size, "%s", endpoint);
}
