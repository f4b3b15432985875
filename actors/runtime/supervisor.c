/* The supervisor starts the actors of the tree in their order, each once the one before it is ready; creates an actor's state again when
 * it has failed, later and later if it fails again and again; gives up when that happens too often; and stops all in the reverse order.
 * It also starts the sources that jobs need: those do not take the engine down with them, only their job.
 *
 * It is an actor like the others, but for its superior: the main thread, which it tells that all serve, that it gave up, or that it left. */
#include "supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sources/sources.h"
#include "chaos.h"
#include "tree.h"

enum {
    CHILDREN_MAX = 1024,
    RESTARTS_MAX = 5, /* in RESTARTS_PERIOD_US, then it gives up */
    STOP_TIMEOUT_MS = 5000,
    COUNT_TIMEOUT_US = 500000,
};
#define RESTARTS_PERIOD_US INT64_C(10000000)
#define BACKOFF_US INT64_C(20000) /* before the second restart in a period; doubled for each that follows */

typedef enum child_state { CHILD_STARTING, CHILD_RUNNING, CHILD_FAILED, CHILD_STOPPING, CHILD_STOPPED } child_state_t;
static const char *const child_state_names[] = {"starting", "running", "failed", "stopping", "stopped"};

typedef struct child {
    uint64_t id; /* never used twice: what timers and questions name it by */
    char name[256];
    bool source; /* started for a job: its end is not the engine's */
    child_state_t state;
    int64_t restarts;
    int64_t since;                /* when it became ready, in ticks */
    int64_t recent[RESTARTS_MAX]; /* ticks of its last restarts; 0: none */
    int64_t mailbox;              /* as it last said */
    char last_error[512];
    ticket_t starter;         /* who waits for it to be ready */
    timer_id_t timer;         /* start time-out, or back-off */
    int64_t start_timeout_us; /* 0: none */
} child_t;

typedef struct counting {
    ticket_t ticket;
    size_t waiting; /* answers still to come */
    uint64_t totals[COUNTER_COUNT];
    bool used;
    bool states; /* engine.actors asked: answer with the table */
    timer_id_t timer;
} counting_t;

typedef struct supervisor {
    actor_t *me;
    child_t *children[CHILDREN_MAX]; /* in the order of their start */
    size_t count;
    uint64_t last_id;
    size_t started; /* of the tree */
    bool serving;   /* all of the tree were ready once */
    bool stopping;
    timer_id_t stop_timer;
    counting_t countings[16];
} supervisor_t;

static int start_next(supervisor_t *s, fault_t *why);
static void stop_next(supervisor_t *s);

/* ---- life ---- */

static void supervisor_destroy(void **state) {
    supervisor_t *s = *state;
    if (!s) return;
    for (size_t i = 0; i < s->count; i++) free(s->children[i]);
    free(s);
    *state = NULL;
}

static void *supervisor_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args;
    supervisor_t *s = calloc(1, sizeof *s);
    must(s);
    s->me = me;
    if (start_next(s, why) == 0) return s;
    void *state = s;
    supervisor_destroy(&state);
    return NULL;
}

/* ---- children ---- */

static child_t *find_child(supervisor_t *s, const char *name) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->children[i]->name, name) == 0) return s->children[i];
    return NULL;
}

static child_t *child_of_id(supervisor_t *s, uint64_t id) {
    for (size_t i = 0; i < s->count; i++)
        if (s->children[i]->id == id) return s->children[i];
    return NULL;
}

static void notify(supervisor_t *s, const char *topic, const child_t *child, const char *detail) {
    msg_notify_t notify = {.topic = topic, .key = "actor", .name = child->name, .state = child_state_names[child->state]};
    notify.has_detail = detail != NULL;
    notify.detail = detail;
    actor_tell(s->me, "notifier", MSG_NOTIFY, &notify);
}

static void give_up(supervisor_t *s, const child_t *child) {
    char text[900];
    snprintf(text, sizeof text, "%s: %s", child->name, child->last_error);
    actor_tell(s->me, "main", MSG_ACTOR_FAILED, &(msg_actor_failed_t){.why = text, .starting = !s->serving});
}

static void tell_child(supervisor_t *s, const child_t *child, message_id_t id) {
    static const msg_actor_stop_t nothing;
    actor_tell(s->me, child->name, id, &nothing);
}

static int on_start_timeout(void *state, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_of_id(s, id);
    if (!child) return 0;
    child->timer = 0;
    snprintf(child->last_error, sizeof child->last_error, "it was not ready in time");
    give_up(s, child);
    return 0;
}

static void watch_start(supervisor_t *s, child_t *child) {
    child->timer = child->start_timeout_us > 0 ? actor_after(s->me, child->start_timeout_us, on_start_timeout, child->id) : 0;
}

static child_t *start_child(supervisor_t *s, const actor_class_t *class, const char *name, bytes_t args, fault_t *why) {
    if (s->count == CHILDREN_MAX) {
        fault_set(why, "cannot start %s: %d actors are running", name, CHILDREN_MAX);
        return NULL;
    }
    if (actor_spawn(s->me, class, name, args, why) < 0) return NULL;
    child_t *child = calloc(1, sizeof *child);
    must(child);
    child->id = ++s->last_id;
    s->children[s->count++] = child;
    snprintf(child->name, sizeof child->name, "%s", name);
    return child;
}

static int start_next(supervisor_t *s, fault_t *why) {
    const child_spec_t *spec = &tree[s->started];
    child_t *child = start_child(s, spec->class, spec->class->name, (bytes_t){0}, why);
    if (!child) return -1;
    child->start_timeout_us = spec->start_timeout_ms * 1000;
    watch_start(s, child);
    s->started++;
    return 0;
}

static int on_backoff(void *state, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_of_id(s, id);
    if (!child) return 0;
    child->state = CHILD_STARTING;
    watch_start(s, child);
    tell_child(s, child, MSG_ACTOR_RESTART);
    return 0;
}

/* How many restarts there were in the last period, this one included. */
static int64_t count_restart(supervisor_t *s, child_t *child) {
    int64_t now = actor_ticks(s->me), recent = 1;
    for (size_t i = 0; i < RESTARTS_MAX; i++)
        if (child->recent[i] && now - child->recent[i] < RESTARTS_PERIOD_US) recent++;
    child->recent[child->restarts % RESTARTS_MAX] = now;
    child->restarts++;
    return recent;
}

static void remove_source(supervisor_t *s, child_t *child) {
    actor_cancel(s->me, &child->timer);
    actor_reap(s->me, child->name);
    size_t i = 0;
    while (s->children[i] != child) i++;
    memmove(&s->children[i], &s->children[i + 1], (s->count - i - 1) * sizeof(child_t *));
    s->count--;
    free(child);
}

/* Not only the last of the tree: one of those before it may have failed meanwhile. */
static bool all_run(const supervisor_t *s) {
    for (size_t i = 0; i < s->count; i++)
        if (!s->children[i]->source && s->children[i]->state != CHILD_RUNNING) return false;
    return true;
}

/* ---- messages ---- */

static int on_ready(void *state, const envelope_t *in, fault_t *why) {
    supervisor_t *s = state;
    child_t *child = find_child(s, in->from);
    if (!child || s->stopping || child->state == CHILD_STOPPING) return 0;
    actor_cancel(s->me, &child->timer);
    child->state = CHILD_RUNNING;
    child->since = actor_ticks(s->me);
    actor_answer(s->me, child->starter, NULL);
    child->starter = 0;
    if (child->restarts > 0) {
        actor_count(s->me, COUNTER_ACTOR_RESTARTS, 1);
        notify(s, "actor.restarted", child, NULL);
    }
    if (s->serving) return 0;
    if (s->started < tree_count) return strcmp(child->name, tree[s->started - 1].class->name) == 0 ? start_next(s, why) : 0;
    if (!all_run(s)) return 0;
    s->serving = true;
    static const msg_actor_ready_t ready;
    actor_tell(s->me, "main", MSG_ACTOR_READY, &ready);
    return 0;
}

static void source_gone(supervisor_t *s, child_t *child) {
    actor_refuse(s->me, child->starter, ERROR_INVALID_STATE, NULL, "%s", child->last_error);
    bool told = child->starter != 0;
    child->starter = 0;
    child->state = CHILD_STOPPING;
    if (!told) actor_tell(s->me, "job_supervisor", MSG_CHILD_GONE, &(msg_child_gone_t){.name = child->name, .why = child->last_error});
    tell_child(s, child, MSG_ACTOR_STOP);
}

static int on_failed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_actor_failed_t *m = in->message;
    child_t *child = find_child(s, in->from);
    if (!child || s->stopping || child->state == CHILD_STOPPING) return 0;
    actor_cancel(s->me, &child->timer);
    child->state = CHILD_FAILED;
    actor_count(s->me, COUNTER_ACTOR_FAILURES, 1); /* here, because a source that is gone is asked no more */
    snprintf(child->last_error, sizeof child->last_error, "%s", m->why);
    fprintf(stderr, "reprised: %s failed: %s\n", child->name, m->why);
    notify(s, "actor.failed", child, m->why);
    bool first_start = m->starting && child->restarts == 0 && child->since == 0;
    if (first_start && !child->source) {
        give_up(s, child);
        return 0;
    }
    int64_t recent = first_start ? 0 : count_restart(s, child);
    if (first_start || recent > RESTARTS_MAX) {
        if (child->source) {
            source_gone(s, child);
        } else {
            give_up(s, child);
        }
        return 0;
    }
    int64_t pause = recent == 1 ? 0 : BACKOFF_US << (recent - 2);
    child->timer = actor_after(s->me, pause, on_backoff, child->id);
    return 0;
}

static int on_child_start(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_child_start_t *m = in->message;
    const source_kind_t *kind = source_kind_find(m->urn);
    child_t *child = find_child(s, m->name);
    if (!kind || !kind->class) {
        actor_refuse(s->me, in->ticket, ERROR_NOT_FOUND, "urn", "no source of this engine serves `%s`", m->urn);
    } else if (s->stopping) {
        actor_refuse(s->me, in->ticket, ERROR_UNAVAILABLE, NULL, "the engine is stopping");
    } else if (child && child->state == CHILD_RUNNING) {
        actor_answer(s->me, in->ticket, NULL);
    } else if (child) {
        actor_refuse(s->me, in->ticket, ERROR_UNAVAILABLE, NULL, "%s is %s", m->name, child_state_names[child->state]);
    } else {
        fault_t failed;
        child = start_child(s, kind->class, m->name, m->args, &failed);
        if (child) {
            child->source = true;
            child->starter = in->ticket;
        } else {
            actor_refuse(s->me, in->ticket, ERROR_LIMIT, NULL, "%s", failed.text);
        }
    }
    return 0;
}

static int on_child_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_child_stop_t *m = in->message;
    child_t *child = find_child(s, m->name);
    if (!child || !child->source || child->state == CHILD_STOPPING) return 0;
    actor_cancel(s->me, &child->timer);
    actor_refuse(s->me, child->starter, ERROR_UNAVAILABLE, NULL, "%s was stopped", m->name);
    child->starter = 0;
    child->state = CHILD_STOPPING;
    tell_child(s, child, MSG_ACTOR_STOP);
    return 0;
}

static int on_stopped(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = find_child(s, in->from);
    if (!child) return 0;
    child->state = CHILD_STOPPED;
    if (s->stopping) {
        actor_reap(s->me, child->name);
        stop_next(s);
    } else if (child->source) {
        remove_source(s, child);
    }
    return 0;
}

/* ---- the ordered stop ---- */

static int on_stop_timeout(void *state, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    s->stop_timer = 0;
    child_t *child = child_of_id(s, id);
    must(child);
    fprintf(stderr, "reprised: %s did not stop in %d ms and is left\n", child->name, STOP_TIMEOUT_MS);
    child->state = CHILD_STOPPED;
    stop_next(s);
    return 0;
}

/* Sources came last and go first; then the tree, the last started first. */
static void stop_next(supervisor_t *s) {
    actor_cancel(s->me, &s->stop_timer);
    for (size_t i = s->count; i-- > 0;) {
        child_t *child = s->children[i];
        if (child->state == CHILD_STOPPED) continue;
        s->stop_timer = actor_after(s->me, STOP_TIMEOUT_MS * INT64_C(1000), on_stop_timeout, child->id);
        if (child->state != CHILD_STOPPING) {
            child->state = CHILD_STOPPING;
            tell_child(s, child, MSG_ACTOR_STOP);
        }
        return;
    }
    actor_leave(s->me);
}

static void begin_stop(supervisor_t *s) {
    if (s->stopping) return;
    s->stopping = true;
    for (size_t i = 0; i < s->count; i++) {
        actor_cancel(s->me, &s->children[i]->timer);
        actor_refuse(s->me, s->children[i]->starter, ERROR_UNAVAILABLE, NULL, "the engine is stopping");
        s->children[i]->starter = 0;
    }
    stop_next(s);
}

static int on_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    begin_stop(state);
    return 0;
}

static int on_engine_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    actor_answer(s->me, in->ticket, NULL);
    begin_stop(s);
    return 0;
}

/* ---- what clients ask ---- */

static void answer_actors(supervisor_t *s, ticket_t ticket) {
    msg_actors_t answer = {.actors.items = calloc(s->count + 1, sizeof(msg_actor_state_t))};
    must(answer.actors.items);
    int64_t now = actor_ticks(s->me);
    for (size_t i = 0; i < s->count; i++) {
        child_t *child = s->children[i];
        answer.actors.items[answer.actors.count++] =
            (msg_actor_state_t){.name = child->name,
                                .state = child_state_names[child->state],
                                .restarts = child->restarts,
                                .mailbox = child->mailbox,
                                .uptime_ms = child->state == CHILD_RUNNING ? (now - child->since) / 1000 : 0,
                                .has_last_error = child->last_error[0] != '\0',
                                .last_error = child->last_error};
    }
    actor_answer(s->me, ticket, &answer);
    free(answer.actors.items);
}

static void answer_stats(supervisor_t *s, const counting_t *counting) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, COUNTER_COUNT);
    for (int i = 0; i < COUNTER_COUNT; i++) {
        const char *name = counter_name((counter_t)i);
        msgpack_pack_str_with_body(&packer, name, strlen(name));
        msgpack_pack_uint64(&packer, counting->totals[i]);
    }
    msg_stats_t answer = {.counters = {(const uint8_t *)out.data, out.size}};
    actor_answer(s->me, counting->ticket, &answer);
    msgpack_sbuffer_destroy(&out);
}

static void finish_counting(supervisor_t *s, counting_t *counting) {
    actor_cancel(s->me, &counting->timer);
    counting->used = false;
    if (counting->states) {
        answer_actors(s, counting->ticket);
    } else {
        answer_stats(s, counting);
    }
}

static int on_counting_timeout(void *state, uint64_t index, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    s->countings[index].timer = 0;
    finish_counting(s, &s->countings[index]);
    return 0;
}

/* The context names both the counting and the child. */
static int on_counted(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    counting_t *counting = &s->countings[context >> 32];
    child_t *child = child_of_id(s, context & UINT32_MAX);
    if (!counting->used) return 0;
    const msg_actor_counted_t *counted = answer->message;
    if (counted && child) child->mailbox = counted->mailbox;
    for (size_t i = 0; counted && i < counted->counters.count; i++)
        for (int counter = 0; counter < COUNTER_COUNT; counter++)
            if (strcmp(counter_name((counter_t)counter), counted->counters.items[i].name) == 0)
                counting->totals[counter] += (uint64_t)counted->counters.items[i].value;
    if (--counting->waiting == 0) finish_counting(s, counting);
    return 0;
}

/* Asks every child and itself what it has counted; one that does not answer in time is left out. */
static int start_counting(supervisor_t *s, ticket_t ticket, bool states) {
    size_t index = 0;
    while (index < sizeof s->countings / sizeof s->countings[0] && s->countings[index].used) index++;
    if (index == sizeof s->countings / sizeof s->countings[0]) {
        actor_refuse(s->me, ticket, ERROR_UNAVAILABLE, NULL, "%zu clients are asking for this already", index);
        return 0;
    }
    counting_t *counting = &s->countings[index];
    *counting = (counting_t){.ticket = ticket, .used = true, .states = states, .waiting = s->count + 1};
    counting->timer = actor_after(s->me, COUNT_TIMEOUT_US, on_counting_timeout, index);
    static const msg_actor_count_t ask;
    actor_ask(s->me, supervisor_class.name, MSG_ACTOR_COUNT, &ask, on_counted, (uint64_t)index << 32);
    for (size_t i = 0; i < s->count; i++)
        actor_ask(s->me, s->children[i]->name, MSG_ACTOR_COUNT, &ask, on_counted, (uint64_t)index << 32 | s->children[i]->id);
    return 0;
}

static int on_engine_actors(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    return start_counting(state, in->ticket, true);
}

static int on_engine_stats(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    return start_counting(state, in->ticket, false);
}

static int on_chaos_fail(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_chaos_fail_t *m = in->message;
    const child_t *child = find_child(s, m->actor);
    if (!child) {
        actor_refuse(s->me, in->ticket, ERROR_NOT_FOUND, "actor", "no actor `%s`", m->actor);
        return 0;
    }
    tell_child(s, child, MSG_ACTOR_FAIL);
    actor_answer(s->me, in->ticket, NULL);
    return 0;
}

/* A child, or the supervisor itself; NULL: refused. */
static const char *victim(supervisor_t *s, ticket_t ticket, const char *name) {
    if (strcmp(name, supervisor_class.name) == 0) return supervisor_class.name;
    const child_t *child = find_child(s, name);
    if (!child) actor_refuse(s->me, ticket, ERROR_NOT_FOUND, "actor", "no actor `%s`", name);
    return child ? child->name : NULL;
}

static int on_chaos_hang(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_chaos_hang_t *m = in->message;
    const char *name = victim(s, in->ticket, m->actor);
    if (!name) return 0;
    actor_answer(s->me, in->ticket, NULL);
    actor_tell(s->me, name, MSG_ACTOR_HANG, &(msg_actor_hang_t){.has_ms = m->has_ms, .ms = m->ms});
    return 0;
}

static int on_chaos_crash(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_chaos_crash_t *m = in->message;
    if (!chaos_can_crash(m->how)) {
        actor_refuse(s->me, in->ticket, ERROR_BAD_REQUEST, "how", "`chaos.crash`: `how` is `abort`, `segv` or `kill`, not `%s`", m->how);
        return 0;
    }
    const char *name = victim(s, in->ticket, m->has_actor ? m->actor : supervisor_class.name);
    if (!name) return 0;
    actor_answer(s->me, in->ticket, NULL);
    actor_tell(s->me, name, MSG_ACTOR_CRASH, &(msg_actor_crash_t){.how = m->how});
    return 0;
}

/* ---- the class ---- */

const actor_class_t supervisor_class = {
    .name = "supervisor",
    .doc = "Starts the actors in order, restarts those that fail, stops them in order.",
    .create = supervisor_create,
    .destroy = supervisor_destroy,
    .takes =
        {
            [MSG_ACTOR_READY] = on_ready,
            [MSG_ACTOR_FAILED] = on_failed,
            [MSG_ACTOR_STOPPED] = on_stopped,
            [MSG_ACTOR_STOP] = on_stop,
            [MSG_CHILD_START] = on_child_start,
            [MSG_CHILD_STOP] = on_child_stop,
            [MSG_ENGINE_ACTORS] = on_engine_actors,
            [MSG_ENGINE_STATS] = on_engine_stats,
            [MSG_ENGINE_STOP] = on_engine_stop,
            [MSG_CHAOS_FAIL] = on_chaos_fail,
            [MSG_CHAOS_HANG] = on_chaos_hang,
            [MSG_CHAOS_CRASH] = on_chaos_crash,
        },
    .sends = {MSG_ACTOR_READY, MSG_ACTOR_FAILED, MSG_ACTOR_RESTART, MSG_ACTOR_STOP, MSG_ACTOR_FAIL, MSG_ACTOR_HANG, MSG_ACTOR_CRASH,
              MSG_ACTOR_COUNT, MSG_CHILD_GONE, MSG_NOTIFY},
};
