/* The thread that carries an actor: it owns the sockets, waits for messages and timers, and hands them to the actor. It never gives the
 * sockets up while the actor fails and comes back, so clients keep their connections.
 *
 * Waiting is what a request costs most, so a socket is looked at only where something may be in it. Its descriptor becomes readable when
 * there is news for it; but both reading and sending may take that news in without a word, and only a read that finds nothing proves that
 * there is none. Hence `unread`: set by the descriptor and by each send, cleared by such a read. */
#include "thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chaos.h"
#include "crash.h"
#include "doors.h"

enum {
    ROUND_MESSAGES = 128,      /* of one socket before the others get their turn */
    ROUND_BYTES = 1024 * 1024, /* or as many bytes, in or out, whichever comes first: large batches take long */
    ROUNDS = 4,                /* before an actor that is always busy may settle all the same */
    CHILDREN_MAX = 1024,
};

/* What is read from: the doors, then the switchboard, so that what was sent there is made sure of in the same turn, and last what is said about
 * handshakes at the doors. */
enum { SWITCHBOARD = DOORS_MAX, MONITORS, INLETS = MONITORS + DOORS_MAX };

typedef struct child {
    char address[256];
    pthread_t thread;
} child_t;

typedef struct carrier {
    host_t host; /* first: the actor sees only this */
    threads_t threads;
    actor_t *actor;
    char name[256];
    frame_t args;
    const actor_class_t *class;
    void *switchboard;
    door_t doors[DOORS_MAX];
    int descriptors[INLETS]; /* the sockets'; -1: none to read from */
    bool unread[INLETS];     /* something may be in it */
    size_t moved;            /* bytes of bodies that came through the doors or went */
    child_t *children;       /* the supervisor's */
    size_t children_count;
} carrier_t;

static int64_t clock_us(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static int64_t host_now(host_t *host) {
    (void)host;
    return clock_us(CLOCK_REALTIME);
}

static int64_t host_ticks(host_t *host) {
    (void)host;
    return clock_us(CLOCK_MONOTONIC);
}

static void host_route(host_t *host, const char *to, frame_t *head, frame_t *message, frame_t *body) {
    carrier_t *me = (carrier_t *)host;
    frame_t name;
    frame_copy_of(&name, (bytes_t){(const uint8_t *)to, strlen(to)});
    frame_t *frames[] = {&name, head, message, body};
    size_t count = body ? 4 : 3;
    for (size_t i = 0; i < count; i++) {
        if (!frame_send(frames[i], me->switchboard, i + 1 < count ? ZMQ_SNDMORE : 0)) must(errno == ETERM);
        frame_fini(frames[i]);
    }
    me->unread[SWITCHBOARD] = true;
}

static sent_t host_send(host_t *host, unsigned door, const peer_t *to, const prefix_t *prefix, frame_t *message, frame_t *body) {
    carrier_t *me = (carrier_t *)host;
    me->unread[door] = true;
    if (body) me->moved += frame_bytes(body).size;
    return door_send(&me->doors[door], to, prefix, message, body);
}

static void host_dismiss(host_t *host, const peer_t *peer) {
    (void)host;
    door_dismiss(peer);
}

static int host_spawn(host_t *host, const actor_class_t *class, const char *name, const char *address, bytes_t args, fault_t *why) {
    carrier_t *me = (carrier_t *)host;
    if (me->children_count == CHILDREN_MAX) return fault_set(why, "cannot start %s: %d actors are running", name, CHILDREN_MAX);
    if (!me->children) me->children = calloc(CHILDREN_MAX, sizeof *me->children);
    must(me->children);
    child_t *child = &me->children[me->children_count];
    if (thread_start(&me->threads, class, name, address, args, &child->thread, why) < 0) return -1;
    snprintf(child->address, sizeof child->address, "%s", address);
    me->children_count++;
    return 0;
}

static void host_reap(host_t *host, const char *address) {
    carrier_t *me = (carrier_t *)host;
    for (size_t i = 0; i < me->children_count; i++) {
        if (strcmp(me->children[i].address, address) != 0) continue;
        pthread_join(me->children[i].thread, NULL);
        me->children[i] = me->children[--me->children_count];
        return;
    }
}

/* For good: until the process ends. No signal reaches this thread. */
static void host_hang(host_t *host, int64_t ms) {
    (void)host;
    if (ms == 0)
        for (;;) pause();
    poll(NULL, 0, ms < INT_MAX ? (int)ms : INT_MAX);
}

static void host_crash(host_t *host, const char *how) {
    (void)host;
    chaos_crash(how);
}

static void host_bound(host_t *host, int64_t connections) {
    carrier_t *me = (carrier_t *)host;
    for (size_t i = 0; i < DOORS_MAX; i++) me->doors[i].crowd_max = (size_t)connections;
}

static void host_know(host_t *host, int64_t at, const names_t *users) {
    carrier_t *me = (carrier_t *)host;
    for (size_t i = 0; i < DOORS_MAX; i++)
        if (me->doors[i].visitors) visitors_know(me->doors[i].visitors, at, users);
}

static const host_class_t host_class = {host_now,  host_ticks, host_route, host_send, host_dismiss, host_spawn,
                                        host_reap, host_hang,  host_crash, host_know, host_bound};

static bool receive_door(carrier_t *me, unsigned number) {
    door_message_t in;
    if (!door_receive(&me->doors[number], number, &in)) return false;
    if (in.has_body) me->moved += frame_bytes(&in.body).size;
    if (in.unaddressed) {
        if (me->doors[number].kind != DOOR_PUBLISH) actor_count(me->actor, COUNTER_DROPPED, 1);
        return true;
    }
    actor_receive_peer(me->actor, &in.from, &in.prefix, &in.message, in.has_body ? &in.body : NULL, in.frames_lost, in.stranger, in.pass);
    return true;
}

/* What has arrived on lines comes before what comes from the switchboard. A read that finds nothing is the only proof that nothing is left;
 * the descriptor may be late. */
static void receive_lines(carrier_t *me) {
    for (unsigned i = 0; i < DOORS_MAX; i++)
        while (me->class->doors[i].kind == DOOR_LINE && actor_takes_peers(me->actor) && receive_door(me, i)) me->unread[i] = true;
}

/* [from, head, message, body?] */
static bool receive_message(carrier_t *me) {
    frame_t frames[4];
    size_t count = 0;
    bool more = true;
    while (more) {
        must(count < 4);
        frame_init(&frames[count]);
        if (!frame_receive(&frames[count], me->switchboard, count == 0 ? ZMQ_DONTWAIT : 0)) {
            frame_fini(&frames[count]);
            return false;
        }
        more = zmq_msg_more(&frames[count++].msg) != 0;
    }
    must(count >= 3);
    char from[256];
    bytes_t name = frame_bytes(&frames[0]);
    must(name.size < sizeof from);
    memcpy(from, name.data, name.size);
    from[name.size] = '\0';
    frame_fini(&frames[0]);
    receive_lines(me);
    actor_receive(me->actor, from, &frames[1], &frames[2], count == 4 ? &frames[3] : NULL);
    return true;
}

/* May it be read from now? */
static bool is_open(const carrier_t *me, unsigned inlet) {
    return me->descriptors[inlet] >= 0 && (inlet >= SWITCHBOARD || actor_takes_peers(me->actor));
}

static bool receive_news(carrier_t *me, unsigned door) {
    door_news_t news;
    if (!door_news(&me->doors[door], &news)) return false;
    actor_count(me->actor, COUNTER_HANDSHAKE_FAILURES, news.failures);
    actor_count(me->actor, COUNTER_CONNECTIONS_REFUSED, news.refused);
    return true;
}

static bool receive(carrier_t *me, unsigned inlet) {
    if (inlet >= MONITORS) return receive_news(me, inlet - MONITORS);
    return inlet == SWITCHBOARD ? receive_message(me) : receive_door(me, inlet);
}

/* What is there now, but of no socket so much that the others would wait for long. */
static void turn(carrier_t *me) {
    for (unsigned i = 0; i < INLETS; i++) {
        me->moved = 0;
        for (size_t n = 0; n < ROUND_MESSAGES && me->moved < ROUND_BYTES && me->unread[i] && is_open(me, i) && !actor_has_left(me->actor);
             n++) {
            me->unread[i] = false; /* beforehand: what handles the message may send */
            if (receive(me, i)) me->unread[i] = true;
        }
    }
    if (actor_due(me->actor) <= clock_us(CLOCK_MONOTONIC)) actor_run_timers(me->actor);
}

static bool has_unread(const carrier_t *me) {
    for (unsigned i = 0; i < INLETS; i++)
        if (me->unread[i] && is_open(me, i)) return true;
    return false;
}

/* How long there is nothing to do, in the milliseconds of poll. */
static int patience(const carrier_t *me) {
    if (has_unread(me)) return 0;
    int64_t due = actor_due(me->actor);
    if (due == INT64_MAX) return -1;
    int64_t left = (due - clock_us(CLOCK_MONOTONIC) + 999) / 1000;
    return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

/* Waits until there is something to do, and finds out where. */
static void look_around(carrier_t *me) {
    struct pollfd items[INLETS + WATCHES_MAX];
    unsigned inlets[INLETS];
    nfds_t opened = 0;
    for (unsigned i = 0; i < INLETS; i++) {
        if (!is_open(me, i)) continue;
        inlets[opened] = i;
        items[opened++] = (struct pollfd){me->descriptors[i], POLLIN, 0};
    }
    size_t watched;
    const struct pollfd *descriptors = actor_watched(me->actor, &watched);
    memcpy(items + opened, descriptors, watched * sizeof *descriptors);
    if (poll(items, opened + watched, patience(me)) <= 0) return;
    for (nfds_t i = 0; i < opened; i++)
        if (items[i].revents) me->unread[inlets[i]] = true;
    for (nfds_t i = opened; i < opened + watched; i++)
        if (items[i].revents) actor_ready_for(me->actor, &items[i]);
}

static void inlet_open(carrier_t *me, unsigned inlet, void *socket) {
    size_t size = sizeof me->descriptors[inlet];
    must(zmq_getsockopt(socket, ZMQ_FD, &me->descriptors[inlet], &size) == 0);
    me->unread[inlet] = true;
}

static void open_doors(carrier_t *me) {
    fault_t why;
    for (unsigned i = 0; i < DOORS_MAX; i++) {
        if (me->class->doors[i].kind == DOOR_NONE) continue;
        if (door_open(&me->doors[i], me->threads.network, me->threads.config, &me->class->doors[i], &why) < 0) {
            actor_start_failed(me->actor, &why);
            return;
        }
        if (me->doors[i].kind != DOOR_PUBLISH || me->doors[i].visitors) inlet_open(me, i, me->doors[i].socket);
        if (me->doors[i].monitor) inlet_open(me, MONITORS + i, me->doors[i].monitor);
    }
    actor_start(me->actor);
}

static void *run(void *argument) {
    carrier_t *me = argument;
    char thread_name[16];
    snprintf(thread_name, sizeof thread_name, "%.15s", me->name);
    pthread_setname_np(pthread_self(), thread_name);
    void *crash_stack = crash_stack_open();
    me->actor = actor_new(me->class, me->name, frame_bytes(&me->args), &me->host, me->threads.config);
    for (unsigned i = 0; i < INLETS; i++) me->descriptors[i] = -1;
    inlet_open(me, SWITCHBOARD, me->switchboard);
    open_doors(me);
    for (unsigned rounds = 1; !actor_has_left(me->actor); rounds++) {
        look_around(me);
        turn(me);
        if (has_unread(me) && rounds < ROUNDS) continue;
        actor_settle(me->actor);
        rounds = 0;
    }
    actor_free(&me->actor);
    for (unsigned i = 0; i < DOORS_MAX; i++) door_close(&me->doors[i]);
    static const msg_actor_stopped_t stopped;
    const char *superior = strcmp(me->name, "supervisor") == 0 ? "main" : "supervisor";
    frame_t head, message;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(MSG_ACTOR_STOPPED, &stopped, false, (bytes_t){0}, &out);
    head_encode(&(head_t){HEAD_TELL, MSG_ACTOR_STOPPED, 0}, &head);
    frame_copy_of(&message, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
    host_route(&me->host, superior, &head, &message, NULL);
    zmq_close(me->switchboard);
    frame_fini(&me->args);
    free(me->children);
    free(me);
    crash_stack_close(crash_stack);
    return NULL;
}

int thread_start(const threads_t *threads, const actor_class_t *class, const char *name, const char *address, bytes_t args,
                 pthread_t *ret_thread, fault_t *why) {
    carrier_t *me = calloc(1, sizeof *me);
    must(me);
    me->host.class = &host_class;
    me->threads = *threads;
    me->class = class;
    snprintf(me->name, sizeof me->name, "%s", name);
    frame_copy_of(&me->args, args);
    me->switchboard = switchboard_connect(threads, address);
    int error = EMFILE;
    if (me->switchboard) error = pthread_create(ret_thread, NULL, run, me);
    if (!error) return 0;
    if (me->switchboard) zmq_close(me->switchboard);
    frame_fini(&me->args);
    free(me);
    return fault_set(why, "cannot start the thread of %s: %s", name, strerror(error));
}
