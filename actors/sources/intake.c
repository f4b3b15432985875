/* Why the monitor: a SUB socket whose publisher is gone looks like one whose publisher is silent. Its events come from the one I/O thread
 * of the context, in their order: a handshake that fails is followed at once by the end of its connection, and only another end is that of
 * a connection that stood. Where libzmq will try again, it says so right behind (CONNECT_RETRIED). */
#include "intake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../runtime/endpoint.h"

enum {
    RECONNECT_MS = 100, /* at first, then longer */
    RECONNECT_MOST_MS = 5000,
    HANDSHAKE_MS = 5000,
    KEEPALIVE_IDLE_S = 10, /* a machine that is gone is noticed after half a minute */
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_COUNT = 4,
    BARRED = 400, /* in a ZAP reply: who asks has the wrong key or password */
    FAILURES = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
    RETRIES = ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CONNECT_DELAYED,
    NEWS = FAILURES | RETRIES | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED,
};

static void set_int(void *socket, int option, int value) {
    must(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void set_text(void *socket, int option, const char *text) {
    must(zmq_setsockopt(socket, option, text, strlen(text)) == 0);
}

/* ---- opening ---- */

int intake_init(intake_t *intake, const char *server, size_t size, fault_t *why) {
    bool named = memmem(server, size, "://", 3) != NULL;
    *intake = (intake_t){0};
    if (size == 0 || size + 6 > INTAKE_ENDPOINT_MAX) return fault_set(why, "an endpoint of %zu bytes", size);
    snprintf(intake->endpoint, sizeof intake->endpoint, "%s%.*s", named ? "" : "tcp://", (int)size, server);
    bool tcp = strncmp(intake->endpoint, "tcp://", 6) == 0 && endpoint_has_port(intake->endpoint) && intake->endpoint[6] != ':';
    bool ipc = strncmp(intake->endpoint, "ipc:///", 7) == 0 || strncmp(intake->endpoint, "ipc://@", 7) == 0;
    return tcp || ipc ? 0 : fault_set(why, "`%.*s`, which is neither host:port nor ipc:///a/path", (int)size, server);
}

/* libzmq removes whatever stands where it binds a file. That must be nothing, or a socket that nobody listens at any more. */
static int file_check(const char *endpoint, fault_t *why) {
    const char *path = endpoint + 6;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat about;
    if (strncmp(endpoint, "ipc://", 6) != 0 || path[0] == '@') return 0;
    if (lstat(path, &about) < 0) return errno == ENOENT ? 0 : fault_errno(why, "cannot bind %s", endpoint);
    if (!S_ISSOCK(about.st_mode)) return fault_set(why, "cannot bind %s: there is a file that is no socket", endpoint);
    if (strlen(path) >= sizeof address.sun_path) return fault_set(why, "cannot bind %s: the path is too long", endpoint);
    strcpy(address.sun_path, path);
    int one = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one < 0) return fault_errno(why, "cannot bind %s", endpoint);
    bool free = connect(one, (const struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED;
    close(one);
    return free ? 0 : fault_set(why, "cannot bind %s: somebody else listens there", endpoint);
}

/* libzmq leaves the file behind. It is removed if it is still the one that was made here. */
static void file_note(intake_t *intake) {
    struct stat about;
    bool made = intake->binds && strncmp(intake->endpoint, "ipc:///", 7) == 0 && lstat(intake->endpoint + 6, &about) == 0;
    intake->device = made ? about.st_dev : 0;
    intake->inode = made ? about.st_ino : 0;
}

static void file_remove(intake_t *intake) {
    struct stat about;
    const char *path = intake->endpoint + 6;
    if (intake->inode && lstat(path, &about) == 0 && about.st_dev == intake->device && about.st_ino == intake->inode) unlink(path);
    intake->inode = 0;
}

static void guard_set(void *socket, const intake_way_t *way) {
    if (way->binds && way->guard != GUARD_NONE) set_text(socket, ZMQ_ZAP_DOMAIN, "global");
    switch (way->guard) {
    case GUARD_NONE: return;
    case GUARD_PLAIN:
        if (way->binds) {
            set_int(socket, ZMQ_PLAIN_SERVER, 1);
        } else {
            set_text(socket, ZMQ_PLAIN_USERNAME, way->username);
            set_text(socket, ZMQ_PLAIN_PASSWORD, way->password);
        }
        return;
    case GUARD_CURVE:
        must(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, way->secret, KEY_TEXT + 1) == 0);
        if (way->binds) {
            set_int(socket, ZMQ_CURVE_SERVER, 1);
        } else {
            must(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, way->public, KEY_TEXT + 1) == 0);
            must(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, way->server, KEY_TEXT + 1) == 0);
        }
    }
}

static void subscribe(void *socket, const char *topics) {
    for (const char *at = topics ? topics : "";; at++) {
        size_t size = strcspn(at, ",");
        must(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, at, size) == 0);
        at += size;
        if (*at == '\0') return;
    }
}

static void options_set(void *socket, const intake_way_t *way, const char *endpoint) {
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_RCVHWM, way->queue);
    must(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &way->frame_max, sizeof way->frame_max) == 0);
    set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS);
    set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
    if (strchr(endpoint, '[')) set_int(socket, ZMQ_IPV6, 1);
    guard_set(socket, way);
    if (way->subscribes) subscribe(socket, way->topics);
}

/* Nothing is ever sent to the monitor's socket, and what it has to say is always taken: so it is never full. */
static int monitor_open(intake_t *intake, void *context) {
    char name[64];
    snprintf(name, sizeof name, "inproc://news-%p", (void *)intake);
    if (zmq_socket_monitor(intake->socket, name, NEWS) < 0) return -1;
    intake->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!intake->monitor) return -1;
    set_int(intake->monitor, ZMQ_LINGER, 0);
    set_int(intake->monitor, ZMQ_RCVHWM, 0);
    return zmq_connect(intake->monitor, name);
}

int intake_open(intake_t *intake, void *context, const intake_way_t *way, fault_t *why) {
    const char *what = way->binds ? "bind" : "connect to";
    intake->binds = way->binds;
    intake->peers = 0;
    intake->failing = intake->forsaken = false;
    if (way->binds && file_check(intake->endpoint, why) < 0) {
        errno = EADDRINUSE;
        return -1;
    }
    intake->socket = zmq_socket(context, way->subscribes ? ZMQ_SUB : ZMQ_PULL);
    if (intake->socket) options_set(intake->socket, way, intake->endpoint);
    if (intake->socket && monitor_open(intake, context) == 0 &&
        (way->binds ? zmq_bind : zmq_connect)(intake->socket, intake->endpoint) == 0) {
        intake->trouble[0] = '\0';
        file_note(intake);
        return 0;
    }
    int error = errno;
    intake_close(intake);
    fault_set(why, "cannot %s %s: %s", what, intake->endpoint, zmq_strerror(error));
    errno = error;
    return -1;
}

void intake_close(intake_t *intake) {
    if (intake->socket) zmq_socket_monitor(intake->socket, NULL, 0);
    file_remove(intake);
    if (intake->monitor) zmq_close(intake->monitor);
    if (intake->socket) zmq_close(intake->socket);
    intake->socket = intake->monitor = NULL;
    intake->peers = 0;
}

int intake_descriptor(void *socket) {
    int descriptor = -1;
    size_t size = sizeof descriptor;
    must(zmq_getsockopt(socket, ZMQ_FD, &descriptor, &size) == 0);
    return descriptor;
}

/* ---- news ---- */

static void trouble_say(intake_t *intake, unsigned event, uint32_t value) {
    const char *text = "the other end closed the connection in the handshake: does it speak ZeroMQ, and is its key right?";
    char other[80];
    if (event & ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        snprintf(other, sizeof other, "the other end lets nobody in like this: %u", value);
        text = other;
    } else if (event & ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
        snprintf(other, sizeof other, "the handshake failed: ZMTP error 0x%x", value);
        text = value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? "the other end wants another mechanism: NULL, PLAIN or CURVE" : other;
    }
    snprintf(intake->trouble, sizeof intake->trouble, "%s", text);
}

static intake_news_t ended(intake_t *intake) {
    bool stood = !intake->failing;
    intake->failing = false;
    intake->forsaken = !intake->binds;
    if (!stood || intake->peers == 0) return INTAKE_TROUBLE;
    intake->peers--;
    snprintf(intake->trouble, sizeof intake->trouble, "the connection has ended");
    return INTAKE_LEFT;
}

static intake_news_t take(intake_t *intake, unsigned event, uint32_t value) {
    if (event & FAILURES) {
        intake->failing = true;
        trouble_say(intake, event, value);
        bool barred = event & ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && value == BARRED && !intake->binds;
        return barred ? INTAKE_BARRED : INTAKE_TROUBLE;
    }
    if (event & ZMQ_EVENT_DISCONNECTED) return ended(intake);
    intake->forsaken = false;
    if (event & RETRIES) return INTAKE_TROUBLE;
    intake->peers++;
    intake->trouble[0] = '\0';
    return INTAKE_CAME;
}

/* An event's first frame: its number in 2 bytes and its value in 4, in the machine's order; the second is the endpoint. */
intake_news_t intake_hear(intake_t *intake) {
    zmq_msg_t event;
    uint16_t number = 0;
    uint32_t value = 0;
    if (!intake->monitor) return INTAKE_NOTHING;
    zmq_msg_init(&event);
    bool heard = zmq_msg_recv(&event, intake->monitor, ZMQ_DONTWAIT) >= 0;
    if (heard) {
        must(zmq_msg_size(&event) == sizeof number + sizeof value);
        memcpy(&number, zmq_msg_data(&event), sizeof number);
        memcpy(&value, (const uint8_t *)zmq_msg_data(&event) + sizeof number, sizeof value);
        zmq_msg_recv(&event, intake->monitor, 0);
    }
    zmq_msg_close(&event);
    return heard ? take(intake, number, value) : INTAKE_NOTHING;
}

/* ---- messages ---- */

bool intake_pending(intake_t *intake) {
    int events = 0;
    size_t size = sizeof events;
    return intake->socket && zmq_getsockopt(intake->socket, ZMQ_EVENTS, &events, &size) == 0 && events & ZMQ_POLLIN;
}

bool intake_receive(intake_t *intake, zmq_msg_t *frame, bool first) {
    return zmq_msg_recv(frame, intake->socket, first ? ZMQ_DONTWAIT : 0) >= 0;
}

bool intake_is_stranger(const intake_t *intake, const intake_way_t *way, zmq_msg_t *frame) {
    return intake->binds && way->guard == GUARD_NONE && !zmq_msg_gets(frame, "Socket-Type");
}
