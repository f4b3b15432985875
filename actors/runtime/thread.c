/* The thread that carries an actor: it owns the sockets, waits for messages and timers, and hands them to the actor. It never gives the
 * sockets up while the actor fails and comes back, so clients keep their connections. */
#include "thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "doors.h"

enum { ROUND_MAX = 512, CHILDREN_MAX = 1024 }; /* messages of one socket before the others get their turn */

typedef struct child {
    char name[256];
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
    child_t *children; /* the supervisor's */
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
}

static sent_t host_send(host_t *host, unsigned door, const peer_t *to, const prefix_t *prefix, frame_t *message, frame_t *body) {
    return door_send(&((carrier_t *)host)->doors[door], to, prefix, message, body);
}

static int host_spawn(host_t *host, const actor_class_t *class, const char *name, bytes_t args, fault_t *why) {
    carrier_t *me = (carrier_t *)host;
    if (me->children_count == CHILDREN_MAX) return fault_set(why, "cannot start %s: %d actors are running", name, CHILDREN_MAX);
    if (!me->children) me->children = calloc(CHILDREN_MAX, sizeof *me->children);
    must(me->children);
    child_t *child = &me->children[me->children_count];
    if (thread_start(&me->threads, class, name, args, &child->thread, why) < 0) return -1;
    snprintf(child->name, sizeof child->name, "%s", name);
    me->children_count++;
    return 0;
}

static void host_reap(host_t *host, const char *name) {
    carrier_t *me = (carrier_t *)host;
    for (size_t i = 0; i < me->children_count; i++) {
        if (strcmp(me->children[i].name, name) != 0) continue;
        pthread_join(me->children[i].thread, NULL);
        me->children[i] = me->children[--me->children_count];
        return;
    }
}

static const host_class_t host_class = {host_now, host_ticks, host_route, host_send, host_spawn, host_reap};

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
    snprintf(from, sizeof from, "%.*s", (int)name.size, (const char *)name.data);
    frame_fini(&frames[0]);
    actor_receive(me->actor, from, &frames[1], &frames[2], count == 4 ? &frames[3] : NULL);
    return true;
}

static bool receive_door(carrier_t *me, unsigned number) {
    door_t *door = &me->doors[number];
    door_message_t in;
    if (!door->socket || door->kind == DOOR_PUBLISH || !actor_takes_peers(me->actor) || !door_receive(door, number, &in)) return false;
    if (in.unaddressed) {
        actor_count(me->actor, COUNTER_DROPPED, 1);
        return true;
    }
    actor_receive_peer(me->actor, &in.from, &in.prefix, &in.message, in.has_body ? &in.body : NULL, in.frames_lost, in.stranger);
    return true;
}

/* One turn: what is there now, a bounded number from each socket. Was there anything? */
static bool turn(carrier_t *me) {
    bool worked = false;
    for (size_t n = 0; n < ROUND_MAX && !actor_has_left(me->actor) && receive_message(me); n++) worked = true;
    for (unsigned i = 0; i < DOORS_MAX; i++)
        for (size_t n = 0; n < ROUND_MAX && !actor_has_left(me->actor) && receive_door(me, i); n++) worked = true;
    if (actor_due(me->actor) <= clock_us(CLOCK_MONOTONIC)) {
        actor_run_timers(me->actor);
        worked = true;
    }
    return worked;
}

static void wait_for_more(carrier_t *me) {
    zmq_pollitem_t items[1 + DOORS_MAX + 16] = {{me->switchboard, 0, ZMQ_POLLIN, 0}};
    int count = 1;
    for (unsigned i = 0; i < DOORS_MAX; i++)
        if (me->doors[i].socket && me->doors[i].kind != DOOR_PUBLISH && actor_takes_peers(me->actor))
            items[count++] = (zmq_pollitem_t){me->doors[i].socket, 0, ZMQ_POLLIN, 0};
    size_t watched;
    const int *descriptors = actor_watched(me->actor, &watched);
    int first_watched = count;
    for (size_t i = 0; i < watched; i++) items[count++] = (zmq_pollitem_t){NULL, descriptors[i], ZMQ_POLLIN, 0};
    int64_t due = actor_due(me->actor);
    long timeout = -1;
    if (due != INT64_MAX) {
        int64_t left = due - clock_us(CLOCK_MONOTONIC);
        timeout = left <= 0 ? 0 : (long)((left + 999) / 1000);
    }
    if (zmq_poll(items, count, timeout) <= 0) return;
    for (int i = first_watched; i < count; i++)
        if (items[i].revents) actor_readable(me->actor, items[i].fd);
}

static void open_doors(carrier_t *me) {
    fault_t why;
    for (unsigned i = 0; i < DOORS_MAX; i++) {
        if (me->class->doors[i].kind == DOOR_NONE) continue;
        if (door_open(&me->doors[i], me->threads.network, me->threads.config, &me->class->doors[i], &why) == 0) continue;
        actor_start_failed(me->actor, &why);
        return;
    }
    actor_start(me->actor);
}

static void *run(void *argument) {
    carrier_t *me = argument;
    char thread_name[16];
    snprintf(thread_name, sizeof thread_name, "%.15s", me->name);
    pthread_setname_np(pthread_self(), thread_name);
    me->actor = actor_new(me->class, me->name, frame_bytes(&me->args), &me->host, me->threads.config);
    open_doors(me);
    while (!actor_has_left(me->actor)) {
        bool worked = turn(me);
        actor_settle(me->actor);
        if (!worked) wait_for_more(me);
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
    return NULL;
}

int thread_start(const threads_t *threads, const actor_class_t *class, const char *name, bytes_t args, pthread_t *ret_thread, fault_t *why) {
    carrier_t *me = calloc(1, sizeof *me);
    must(me);
    me->host.class = &host_class;
    me->threads = *threads;
    me->class = class;
    snprintf(me->name, sizeof me->name, "%s", name);
    frame_copy_of(&me->args, args);
    me->switchboard = switchboard_connect(threads, name);
    int error = EMFILE;
    if (me->switchboard) error = pthread_create(ret_thread, NULL, run, me);
    if (!error) return 0;
    if (me->switchboard) zmq_close(me->switchboard);
    frame_fini(&me->args);
    free(me);
    return fault_set(why, "cannot start the thread of %s: %s", name, strerror(error));
}
