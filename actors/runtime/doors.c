/* The only code that touches bytes from strangers before they are checked: it reads every message to its last frame, keeps the first
 * few, and mirrors what REQ sockets put before a message. */
#include "doors.h"

#include "zap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    LINGER_MS = 1000,
    BACKLOG = 1024,
    HANDSHAKE_MS = 3000,
    HWM = 20000,
    KEEPALIVE_IDLE_S = 30, /* a machine that is gone is noticed after a minute and a half */
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_COUNT = 6,
    PAUSE_MS = 3600 * 1000, /* how long somebody who feeds or replays may stand still, in a debugger for example */
};

static const char *endpoint_names[ENDPOINTS_ALL] = {"commands", "ingest", "test-stream", "notifications", "progress", "zap"};

static void set_int(void *socket, int option, int value) {
    must(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static int bind_door(door_t *door, const config_t *config, const door_spec_t *spec, fault_t *why) {
    char inside[64];
    const char *endpoint = spec->endpoint < ENDPOINT_COUNT ? config->endpoints[spec->endpoint] : NULL;
    snprintf(inside, sizeof inside, "inproc://%s", endpoint_names[spec->endpoint]);
    if (endpoint && strchr(endpoint, '[')) set_int(door->socket, ZMQ_IPV6, 1);
    if (endpoint && zmq_bind(door->socket, endpoint) < 0)
        return fault_set(why, "cannot bind the %s endpoint %s: %s", endpoint_names[spec->endpoint], endpoint, zmq_strerror(errno));
    if (door->kind == DOOR_ROUTER && zmq_bind(door->socket, inside) < 0)
        return fault_set(why, "cannot bind %s: %s", inside, zmq_strerror(errno));
    return 0;
}

/* A connection whose other end is gone without a word costs a descriptor, and more where something waits for it to be read. Who feeds or
 * replays is asked by the actor, as the options say; libzmq asks the others, and those who never began. */
static void keep_alive(void *socket, const config_t *config, endpoint_id_t endpoint) {
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
    bool asked = endpoint == ENDPOINT_INGEST || endpoint == ENDPOINT_TEST_STREAM;
    int silence = asked && config->heartbeat_ms > 0 && config->heartbeat_ms < PAUSE_MS ? PAUSE_MS : (int)config->heartbeat_ms;
    set_int(socket, ZMQ_HEARTBEAT_IVL, silence / 2);
    set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, silence - silence / 2);
}

/* libzmq has it, and its header shows it only to drafts: who cannot be asked about is not let in. Where it is missing, what comes without a user
 * id is dropped all the same. */
static const int zap_enforce_domain = 93;

/* Only connections whose key the authenticator knows. A routing id in use is not given to another connection then: see visitors.h. */
static void demand_keys(door_t *door, const config_t *config, const door_spec_t *spec) {
    const char *domain = endpoint_names[spec->endpoint];
    int on = 1;
    set_int(door->socket, ZMQ_CURVE_SERVER, 1);
    must(zmq_setsockopt(door->socket, ZMQ_CURVE_SECRETKEY, config->secret, strlen(config->secret) + 1) == 0);
    must(zmq_setsockopt(door->socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) == 0);
    zmq_setsockopt(door->socket, zap_enforce_domain, &on, sizeof on);
    if (spec->kind == DOOR_ROUTER) set_int(door->socket, ZMQ_ROUTER_HANDOVER, 0);
    if (spec->kind == DOOR_PUBLISH) set_int(door->socket, ZMQ_XPUB_VERBOSE, 1);
    door->visitors = visitors_create();
}

enum {
    FAILURES = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
    NEWS = FAILURES | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED,
};

/* Nothing is ever sent to it: if it is full, libzmq would wait, so it is never full. */
static void open_monitor(door_t *door, void *context, const door_spec_t *spec) {
    char name[64];
    snprintf(name, sizeof name, "inproc://%s-handshakes", endpoint_names[spec->endpoint]);
    if (zmq_socket_monitor(door->socket, name, NEWS) < 0) return;
    door->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!door->monitor) return;
    set_int(door->monitor, ZMQ_LINGER, 0);
    set_int(door->monitor, ZMQ_RCVHWM, 0);
    must(zmq_connect(door->monitor, name) == 0);
}

/* An event's first frame: its number in 2 bytes, and its value, here a descriptor, in 4. */
static void hear(door_t *door, const zmq_msg_t *event, door_news_t *ret_news) {
    uint16_t number;
    int32_t descriptor;
    const uint8_t *data = zmq_msg_data((zmq_msg_t *)(uintptr_t)event);
    memcpy(&number, data, sizeof number);
    memcpy(&descriptor, data + sizeof number, sizeof descriptor);
    if (number & FAILURES) ret_news->failures++;
    if (number == ZMQ_EVENT_ACCEPTED && !crowd_join(&door->crowd, descriptor, door->crowd_max)) ret_news->refused++;
    if (number == ZMQ_EVENT_DISCONNECTED) crowd_leave(&door->crowd, descriptor);
}

bool door_news(door_t *door, door_news_t *ret_news) {
    *ret_news = (door_news_t){0};
    bool any = false;
    zmq_msg_t event;
    zmq_msg_init(&event);
    while (zmq_msg_recv(&event, door->monitor, ZMQ_DONTWAIT) >= 0) {
        any = true;
        hear(door, &event, ret_news);
        zmq_msg_close(&event);
        zmq_msg_init(&event);
        if (zmq_msg_recv(&event, door->monitor, 0) < 0) break; /* the endpoint */
    }
    zmq_msg_close(&event);
    return any;
}

/* Connects to another actor's door in this process, as a client of its protocol. Credit bounds what is under way here, not a count of messages. */
static int connect_inside(door_t *door, const door_spec_t *spec, fault_t *why) {
    char inside[64];
    snprintf(inside, sizeof inside, "inproc://%s", endpoint_names[spec->endpoint]);
    if (spec->kind == DOOR_LINE) must(zmq_setsockopt(door->socket, ZMQ_ROUTING_ID, LINE_ID, strlen(LINE_ID)) == 0);
    set_int(door->socket, ZMQ_SNDHWM, 0);
    set_int(door->socket, ZMQ_RCVHWM, 0);
    if (zmq_connect(door->socket, inside) == 0) return 0;
    return fault_set(why, "cannot connect to %s: %s", inside, zmq_strerror(errno));
}

static int open_outside(door_t *door, void *context, const config_t *config, const door_spec_t *spec, fault_t *why) {
    int64_t frame_max = INT64_C(256) * 1024 * 1024;
    must(zmq_setsockopt(door->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0);
    set_int(door->socket, ZMQ_BACKLOG, BACKLOG);
    keep_alive(door->socket, config, spec->endpoint);
    set_int(door->socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(door->socket, ZMQ_SNDHWM, spec->scope == SCOPE_COMMANDS ? 0 : HWM); /* there all that is said is counted in bytes */
    set_int(door->socket, ZMQ_RCVHWM, HWM);
    if (spec->kind == DOOR_ROUTER) {
        set_int(door->socket, ZMQ_ROUTER_MANDATORY, 1);
        set_int(door->socket, ZMQ_ROUTER_HANDOVER, 1);
    }
    if (spec->endpoint < ENDPOINT_COUNT) {
        if (config->keys[0]) demand_keys(door, config, spec);
        open_monitor(door, context, spec);
    }
    return bind_door(door, config, spec, why);
}

int door_open(door_t *door, void *context, const config_t *config, const door_spec_t *spec, fault_t *why) {
    static const int types[] = {
        [DOOR_ROUTER] = ZMQ_ROUTER, [DOOR_DEALER] = ZMQ_DEALER, [DOOR_LINE] = ZMQ_DEALER, [DOOR_PUBLISH] = ZMQ_PUB, [DOOR_ZAP] = ZMQ_REP};
    bool hears = spec->kind == DOOR_PUBLISH && config->keys[0]; /* subscriptions tell who subscribes */
    door->kind = spec->kind;
    door->socket = zmq_socket(context, hears ? ZMQ_XPUB : types[spec->kind]);
    if (!door->socket) return fault_set(why, "cannot create the %s socket: %s", endpoint_names[spec->endpoint], zmq_strerror(errno));
    set_int(door->socket, ZMQ_LINGER, LINGER_MS);
    switch ((int)spec->kind) {
    case DOOR_DEALER:
    case DOOR_LINE: return connect_inside(door, spec, why);
    case DOOR_ZAP:
        if (zmq_bind(door->socket, ZAP_ENDPOINT) == 0) return 0;
        return fault_set(why, "cannot bind %s: %s", ZAP_ENDPOINT, zmq_strerror(errno));
    default: return open_outside(door, context, config, spec, why);
    }
}

void door_close(door_t *door) {
    if (door->monitor) {
        zmq_socket_monitor(door->socket, NULL, 0);
        zmq_close(door->monitor);
    }
    if (door->socket) zmq_close(door->socket);
    door->socket = door->monitor = NULL;
    visitors_destroy(&door->visitors);
    crowd_fini(&door->crowd);
}

/* Is this from a raw TCP client that a NULL-mechanism socket lets in? libzmq takes an HTTP request for a peer of its first versions, which
 * said nothing about themselves. (Nor do peers inside this process: those send maps.) Looking it up costs more than reading a header, so
 * only what is no map is looked at. */
static bool is_stranger(frame_t *frame) {
    bytes_t message = frame_bytes(frame);
    uint8_t first = message.size > 0 ? message.data[0] : 0;
    bool map = (first & 0xf0) == 0x80 || first == 0xde || first == 0xdf;
    return !map && !zmq_msg_gets(&frame->msg, "Socket-Type");
}

typedef struct gathered {
    frame_t frames[FRAMES_MAX];
    size_t count;
    bool lost;
} gathered_t;

/* Every batch comes through here: the frames are received where they stay, and nothing is cleared beforehand. */
static bool gather(void *socket, gathered_t *in) {
    in->count = 0;
    in->lost = false;
    bool more = true;
    for (bool first = true; more; first = false) {
        frame_t beyond, *frame = in->count < FRAMES_MAX ? &in->frames[in->count] : &beyond;
        frame_init(frame);
        if (!frame_receive(frame, socket, first ? ZMQ_DONTWAIT : 0)) {
            frame_fini(frame);
            for (size_t i = 0; i < in->count; i++) frame_fini(&in->frames[i]);
            return false;
        }
        more = zmq_msg_more(&frame->msg) != 0;
        if (frame != &beyond) {
            in->count++;
        } else {
            frame_fini(frame);
            in->lost = true;
        }
    }
    return true;
}

static bool empty(const gathered_t *in, size_t i) {
    return i < in->count && zmq_msg_size(&in->frames[i].msg) == 0;
}

/* How many frames stand before the message: REQ sends an empty one, with REQ_CORRELATE four bytes and an empty one. */
static size_t read_prefix(const gathered_t *in, size_t at, prefix_t *prefix) {
    if (empty(in, at)) {
        prefix->delimited = true;
        return 1;
    }
    if (in->count <= at + 2 || !empty(in, at + 1) || zmq_msg_size(&in->frames[at].msg) != sizeof prefix->correlation) return 0;
    prefix->delimited = prefix->correlated = true;
    memcpy(prefix->correlation, frame_bytes(&in->frames[at]).data, sizeof prefix->correlation);
    return 2;
}

static void drop(gathered_t *in, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) frame_fini(&in->frames[i]);
}

/* A question of libzmq's, or a subscription: neither has a peer that could be answered as clients are. */
static void receive_special(door_t *door, gathered_t *in, door_message_t *ret) {
    ret->has_body = ret->frames_lost = false;
    ret->unaddressed = door->kind != DOOR_ZAP;
    if (door->kind == DOOR_ZAP) {
        zap_question(in->frames, in->count, &ret->message);
    } else {
        visitors_note(door->visitors, &in->frames[0]);
    }
    drop(in, 0, in->count);
}

static void receive_id(const gathered_t *in, door_message_t *ret) {
    bytes_t id = frame_bytes(&in->frames[0]);
    ret->unaddressed = id.size > sizeof ret->from.id;
    if (ret->unaddressed) return;
    ret->from.size = (uint8_t)id.size;
    memcpy(ret->from.id, id.data, id.size);
}

bool door_receive(door_t *door, unsigned number, door_message_t *ret) {
    gathered_t in;
    if (!gather(door->socket, &in)) return false;
    memset(&ret->prefix, 0, sizeof ret->prefix);
    ret->from.door = (uint8_t)number;
    ret->from.size = 0;
    ret->from.descriptor = 0;
    ret->has_body = ret->unaddressed = ret->stranger = false;
    ret->pass = NULL;
    if (door->kind == DOOR_ZAP || door->kind == DOOR_PUBLISH) {
        receive_special(door, &in, ret);
        return true;
    }
    size_t at = 0;
    if (door->kind == DOOR_ROUTER) {
        receive_id(&in, ret);
        at = 1 + read_prefix(&in, 1, &ret->prefix);
    }
    ret->unaddressed = ret->unaddressed || in.count <= at;
    ret->frames_lost = in.lost || in.count > at + 2;
    if (!ret->unaddressed && door->visitors)
        ret->unaddressed = visitors_admit(door->visitors, &in.frames[at], &ret->from, &ret->pass) == BARRED;
    if (!ret->unaddressed) {
        ret->stranger = door->kind == DOOR_ROUTER && is_stranger(&in.frames[at]);
        ret->message = in.frames[at];
        if (in.count > at + 1) {
            ret->body = in.frames[at + 1];
            ret->has_body = true;
        }
    }
    size_t kept = ret->unaddressed ? 0 : ret->has_body ? 2 : 1;
    drop(&in, 0, at < in.count ? at : in.count);
    if (at + kept < in.count) drop(&in, at + kept, in.count);
    return true;
}

bool door_is_outside(const frame_t *message) {
    return zmq_msg_get(&message->msg, ZMQ_SRCFD) > 0;
}

void door_trace(const frame_t *message, peer_t *peer) {
    int descriptor = zmq_msg_get(&message->msg, ZMQ_SRCFD);
    uint64_t connection = descriptor > 0 ? crowd_inode(descriptor) : 0;
    peer->descriptor = connection ? descriptor : 0;
    peer->connection = connection;
}

void door_dismiss(const peer_t *peer) {
    if (peer->descriptor > 0 && crowd_inode(peer->descriptor) == peer->connection) shutdown(peer->descriptor, SHUT_RDWR);
}

static int send_bytes(void *socket, const void *data, size_t size) {
    return zmq_send(socket, data, size, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0 ? -1 : 0;
}

sent_t door_send(door_t *door, const peer_t *to, const prefix_t *prefix, frame_t *message, frame_t *body) {
    if (!door->socket) return SENT_GONE;
    if (door->kind == DOOR_ZAP) {
        if (!zap_reply(door->socket, message)) return SENT_GONE;
        frame_fini(message);
        frame_init(message);
        return SENT;
    }
    size_t size = to ? to->size : 0;
    if (door->kind == DOOR_ROUTER && door->visitors && !visitors_reach(door->visitors, to, &size)) return SENT_GONE;
    if (door->kind == DOOR_ROUTER && send_bytes(door->socket, to->id, size) < 0) return errno == EAGAIN ? SENT_FULL : SENT_GONE;
    if (prefix && prefix->correlated) send_bytes(door->socket, prefix->correlation, sizeof prefix->correlation);
    if (prefix && prefix->delimited) send_bytes(door->socket, "", 0);
    if (!frame_send(message, door->socket, ZMQ_DONTWAIT | (body ? ZMQ_SNDMORE : 0))) return errno == EAGAIN ? SENT_FULL : SENT_GONE;
    if (body && !frame_send(body, door->socket, ZMQ_DONTWAIT)) frame_fini(body);
    return SENT;
}
