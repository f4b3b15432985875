/* Datagrams: what speaks syslog, statsd or telemetry over UDP. Each datagram is an element.
 *
 * UDP has no positions and nobody who sends again. So what came while nobody listened is a gap, and so is what the kernel dropped because it was
 * not read in time, which it counts. The cursor says when the last recorded datagram came, which is where a gap begins, and how many came until
 * then, which tells whether there is one. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/endpoint.h"
#include "backoff.h"
#include "feed.h"
#include "timing.h"

#define URN "reprise:source:udp:v1"

enum {
    CURSOR_NUMBERS = 2,
    DATAGRAM_MAX = 65536,
    DATAGRAMS_A_TURN = 4096,         /* read without a look at the mailbox */
    QUEUE_DEFAULT = 4 * 1024 * 1024, /* bytes that the kernel may keep */
    QUEUE_MAX = 1024 * 1024 * 1024,
};

typedef struct udp {
    feed_t feed; /* first: its handlers take the state for it */
    timing_t timing;
    const char *server;
    struct sockaddr_storage address;
    socklen_t address_size;
    int queue;
    int socket; /* -1: it is not bound */
    bool watched;
    backoff_t backoff;
    timer_id_t timer; /* to the next try, or turn */
    int64_t last;     /* when the last datagram came, or listening began; µs since the epoch */
    int64_t number;   /* datagrams that came, and losses */
    bool is_placed;   /* the recording knows that it listens */
    uint32_t dropped; /* by the kernel, as far as it is recorded */
    bool has_gap;     /* what came while nothing was recorded is lost: to be said */
    uint8_t datagram[DATAGRAM_MAX];
} udp_t;

/* ---- datagrams ---- */

static void udp_watch(udp_t *udp, bool watch);

static bytes_t udp_cursor(udp_t *udp) {
    const int64_t numbers[CURSOR_NUMBERS] = {udp->last, udp->number};
    return feed_cursor(&udp->feed, numbers, CURSOR_NUMBERS);
}

static void udp_send(udp_t *udp) {
    feed_send(&udp->feed, udp_cursor(udp), timing_watermark(&udp->timing));
}

/* Where it listens: the recording knows it from then on, and the gap before it ends. */
static void udp_place(udp_t *udp) {
    int64_t now = udp->timing.arrival;
    if (udp->has_gap) {
        feed_gap(&udp->feed, now > udp->last ? now - udp->last : -1, "datagrams that came while nothing was recorded are lost");
        udp->number++;
    }
    udp->last = now;
    if (udp->has_gap)
        udp_send(udp);
    else if (!udp->is_placed)
        feed_place(&udp->feed, udp_cursor(udp));
    udp->has_gap = false;
    udp->is_placed = true;
}

static void drops_say(udp_t *udp, uint32_t dropped) {
    if (dropped == udp->dropped) return;
    udp_send(udp);
    feed_gap(&udp->feed, -1, "%u datagrams were dropped, as they came faster than they were taken", dropped - udp->dropped);
    udp->dropped = dropped;
    udp->number++;
    udp_send(udp);
}

/* The kernel tells how many it has dropped with the next that it did not, */
static void drops_note(udp_t *udp, struct msghdr *message) {
    uint32_t dropped;
    struct cmsghdr *note = CMSG_FIRSTHDR(message);
    if (!note || note->cmsg_level != SOL_SOCKET || note->cmsg_type != SO_RXQ_OVFL) return;
    memcpy(&dropped, CMSG_DATA(note), sizeof dropped);
    drops_say(udp, dropped);
}

/* and when it is asked, as none may come after them. */
static void drops_ask(udp_t *udp) {
    uint32_t about[SK_MEMINFO_VARS];
    socklen_t size = sizeof about;
    if (getsockopt(udp->socket, SOL_SOCKET, SO_MEMINFO, about, &size) == 0 && size == sizeof about) drops_say(udp, about[SK_MEMINFO_DROPS]);
}

/* 1: one was taken. 0: there is none. -1: it cannot be recorded, and the source has failed. */
static int datagram_take(udp_t *udp) {
    char control[CMSG_SPACE(sizeof(uint32_t))];
    struct iovec part = {udp->datagram, sizeof udp->datagram};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    fault_t why;
    int64_t time;
    ssize_t size = recvmsg(udp->socket, &message, MSG_DONTWAIT);
    if (size < 0) return 0;
    drops_note(udp, &message);
    bytes_t value = {udp->datagram, (size_t)size};
    int got = timing_read(&udp->timing, value, 0, &time, &why);
    udp->last = udp->timing.arrival;
    udp->number++;
    if (got == TIMING_SKIP) return 1;
    if (got < 0) {
        udp_send(udp);
        feed_fail(&udp->feed, "a datagram to %s: %s", udp->server, why.text);
        return -1;
    }
    timing_saw(&udp->timing, 0, time);
    uint8_t *at = feed_element(&udp->feed, time, value.size, timing_attributes(&udp->timing));
    if (value.size > 0) memcpy(at, value.data, value.size);
    return 1;
}

static int on_turn(void *state, uint64_t context, fault_t *why);
static int on_idle(void *state, uint64_t context, fault_t *why);

static int udp_produce(void *state, fault_t *why) {
    udp_t *udp = state;
    (void)why;
    if (udp->socket < 0) return 0;
    timing_begin(&udp->timing);
    if (udp->feed.was_full) timing_missed(&udp->timing);
    if (udp->has_gap || !udp->is_placed) udp_place(udp);
    int got = 1;
    for (int i = 0; got > 0 && i < DATAGRAMS_A_TURN && feed_room(&udp->feed); i++) {
        got = datagram_take(udp);
        if (got > 0 && feed_full(&udp->feed)) udp_send(udp);
    }
    if (got < 0) return 0;
    udp_send(udp);
    if (got == 0) drops_ask(udp);
    if (got > 0 && feed_room(&udp->feed) && !udp->timer) udp->timer = actor_after(udp->feed.me, 0, on_turn, 0);
    udp_watch(udp, got == 0 && udp->socket >= 0);
    timing_arm(&udp->timing, on_idle);
    return 0;
}

static int on_turn(void *state, uint64_t context, fault_t *why) {
    (void)context;
    ((udp_t *)state)->timer = 0;
    return udp_produce(state, why);
}

static int on_datagram(void *state, int descriptor, fault_t *why) {
    (void)descriptor;
    return udp_produce(state, why);
}

/* Only while there is room: otherwise it would be ready for ever. */
static void udp_watch(udp_t *udp, bool watch) {
    if (watch == udp->watched) return;
    udp->watched = watch;
    if (watch)
        actor_watch(udp->feed.me, udp->socket, on_datagram);
    else
        actor_unwatch(udp->feed.me, udp->socket);
}

static int on_idle(void *state, uint64_t context, fault_t *why) {
    udp_t *udp = state;
    int64_t watermark;
    (void)context, (void)why;
    if (timing_advance(&udp->timing, feed_room(&udp->feed), &watermark)) feed_watermark(&udp->feed, udp_cursor(udp), watermark);
    timing_arm(&udp->timing, on_idle);
    return 0;
}

/* ---- its port ---- */

static int on_retry(void *state, uint64_t context, fault_t *why);

static void udp_close(udp_t *udp) {
    if (udp->socket < 0) return;
    udp_watch(udp, false);
    close(udp->socket);
    udp->socket = -1;
}

static int udp_bind(udp_t *udp) {
    static const int on = 1;
    udp->socket = socket(udp->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (udp->socket < 0) return -1;
    setsockopt(udp->socket, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    if (setsockopt(udp->socket, SOL_SOCKET, SO_RCVBUFFORCE, &udp->queue, sizeof udp->queue) < 0)
        setsockopt(udp->socket, SOL_SOCKET, SO_RCVBUF, &udp->queue, sizeof udp->queue); /* as much as the system allows */
    return bind(udp->socket, (struct sockaddr *)&udp->address, udp->address_size);
}

static void udp_open(udp_t *udp) {
    if (udp_bind(udp) == 0) {
        udp->dropped = 0;
        backoff_reset(&udp->backoff);
        feed_waiting(&udp->feed, NULL);
        return;
    }
    feed_waiting(&udp->feed, "its port %s: %s", udp->server, strerror(errno));
    udp_close(udp);
    udp->timer = actor_after(udp->feed.me, backoff_next(&udp->backoff), on_retry, 0);
}

static int on_retry(void *state, uint64_t context, fault_t *why) {
    udp_t *udp = state;
    (void)context;
    udp->timer = 0;
    udp_open(udp);
    return feed_room(&udp->feed) ? udp_produce(state, why) : 0;
}

/* What came behind the cursor is lost, and so is what came while the port was closed. A port that was open all the time, and of which all is
 * recorded, has lost nothing. */
static int udp_resume(void *state, bytes_t cursor, fault_t *why) {
    udp_t *udp = state;
    int64_t recorded[CURSOR_NUMBERS] = {udp->last, 0};
    (void)why;
    if (cursor.size > 0 && !feed_cursor_read(cursor, recorded, CURSOR_NUMBERS)) {
        feed_fail(&udp->feed, "the cursor of the recording is not one of `" URN "`");
        return 0;
    }
    udp->is_placed = cursor.size > 0;
    udp->has_gap = udp->socket < 0 ? udp->is_placed : recorded[1] != udp->number;
    if (udp->has_gap) {
        udp->last = recorded[0];
        udp->number = recorded[1];
    }
    if (udp->socket < 0 && !udp->timer) udp_open(udp);
    return 0;
}

static void udp_stop(void *state) {
    udp_t *udp = state;
    actor_cancel(udp->feed.me, &udp->timer);
    timing_disarm(&udp->timing);
    udp_close(udp);
}

static const feed_source_t udp_source = {URN, udp_resume, udp_produce, udp_stop};

/* ---- life ---- */

/* `host:port`, in numbers: a name would have to be asked for, and that takes as long as it likes. */
static int server_take(udp_t *udp, const char *server, fault_t *why) {
    char host[64] = "", endpoint[600];
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found;
    const char *colon = strrchr(server, ':');
    bool bracketed = colon && server[0] == '[' && colon > server + 1 && colon[-1] == ']';
    size_t size = colon ? (size_t)(colon - server) - (bracketed ? 2 : 0) : 0;
    if (colon && size < sizeof host) memcpy(host, server + bracketed, size);
    if (strcmp(host, "localhost") == 0) snprintf(host, sizeof host, "127.0.0.1");
    if (size == 0 || size >= sizeof host || !colon[1] || getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return fault_set(why, "`" URN "`: `server` must be an address in numbers and a port, such as `127.0.0.1:5140`, not `%.64s`",
                         server);
    memcpy(&udp->address, found->ai_addr, found->ai_addrlen);
    udp->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    snprintf(endpoint, sizeof endpoint, "tcp://%.500s", server);
    if (!endpoint_is_local(endpoint) && !actor_config(udp->feed.me)->insecure)
        return fault_set(
            why,
            "`" URN "`: `server`: other machines could send to %s, and nothing guards it; start the engine with --insecure to allow that",
            server);
    udp->server = server;
    return 0;
}

static int payload_take(udp_t *udp, const msg_udp_payload_t *payload, fault_t *why) {
    if (payload->queue > QUEUE_MAX)
        return fault_set(why, "`" URN "`: `queue` must be at most %d bytes, not %lld", QUEUE_MAX, (long long)payload->queue);
    udp->queue = payload->has_queue ? (int)payload->queue : QUEUE_DEFAULT;
    if (timing_init(&udp->timing, udp->feed.me, URN, TIMING_SYSTEM_NONE, TIMING_GIVEN(payload), why) < 0) return -1;
    return server_take(udp, payload->server, why);
}

static void udp_destroy(void **state) {
    udp_t *udp = *state;
    if (!udp) return;
    if (udp->socket >= 0) close(udp->socket);
    timing_fini(&udp->timing);
    feed_fini(&udp->feed);
    free(udp);
    *state = NULL;
}

static void *udp_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_udp_payload_t payload;
    void *state = calloc(1, sizeof(udp_t));
    must(state);
    udp_t *udp = state;
    udp->socket = -1;
    udp->backoff.random = (uint64_t)actor_now(me);
    if (feed_init(&udp->feed, me, &udp_source, args, RECORD_CLASS(udp_payload), &payload, why) < 0 ||
        payload_take(udp, &payload, why) < 0) {
        udp_destroy(&state);
        return NULL;
    }
    feed_start(&udp->feed);
    return state;
}

/* ---- the class ---- */

const actor_class_t source_udp_class = {
    .name = "source_udp",
    .doc = "Takes the datagrams that come to a port.",
    .create = udp_create,
    .destroy = udp_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
