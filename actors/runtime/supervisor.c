/* The supervisor starts the actors of the tree in their order, each once the one before it is ready; creates an actor's state again when
 * it has failed; replaces a thread that hangs; gives up when that happens too often; and stops all in the reverse order. It also starts the
 * sources that jobs need: those do not take the engine down with them, only their job.
 *
 * It is an actor like the others, but for its superior: the main thread, which it tells that all serve, that it gave up, or that it left. */
#include "supervisor.h"

#include <stdlib.h>
#include <string.h>

#include "../sources/sources.h"
#include "supervisor_state.h"

/* ---- life ---- */

static int start_next(supervisor_t *s, fault_t *why) {
    const child_spec_t *spec = &tree[s->started];
    child_t *child = child_add(s, spec, spec->class, spec->class->name, (bytes_t){0}, why);
    if (!child) return -1;
    restart_watch_start(s, child);
    s->started++;
    return 0;
}

static void supervisor_destroy(void **state) {
    supervisor_t *s = *state;
    left_t *left;
    if (!s) return;
    while (s->count > 0) child_free(s, s->children[s->count - 1]);
    while ((left = LIST_FIRST(&s->left))) {
        LIST_REMOVE(left, link);
        free(left);
    }
    free(s);
    *state = NULL;
}

static void *supervisor_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args;
    supervisor_t *s = calloc(1, sizeof *s);
    must(s && policy.restarts_max < RESTARTS_MOST);
    s->me = me;
    LIST_INIT(&s->left);
    if (start_next(s, why) == 0) {
        beat_begin(s);
        return s;
    }
    void *state = s;
    supervisor_destroy(&state);
    return NULL;
}

/* ---- messages ---- */

/* Not only the last of the tree: one of those before it may have failed meanwhile. */
static bool all_run(const supervisor_t *s) {
    for (size_t i = 0; i < s->count && !s->children[i]->source; i++)
        if (s->children[i]->state != CHILD_RUNNING && s->children[i]->state != CHILD_STOPPED) return false;
    return s->started == tree_count;
}

static void go_on_starting(supervisor_t *s, const child_t *child) {
    fault_t why;
    if (s->serving || s->giving_up) return;
    if (s->started < tree_count) {
        bool last = strcmp(child->name, tree[s->started - 1].class->name) == 0;
        if (last && start_next(s, &why) < 0) restart_give_up(s, tree[s->started].class->name, why.text);
    } else if (all_run(s)) {
        s->serving = true;
        static const msg_actor_ready_t ready;
        actor_tell(s->me, "main", MSG_ACTOR_READY, &ready);
    }
}

static int on_ready(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_at(s, in->from);
    if (!child || s->stopping || child->state != CHILD_STARTING) return 0;
    actor_cancel(s->me, &child->timer);
    child->state = CHILD_RUNNING;
    child->fresh = false;
    child->proven = true;
    child->since = actor_ticks(s->me);
    actor_answer(s->me, child->starter, NULL);
    child->starter = 0;
    if (child->restarts > 0) {
        actor_count(s->me, COUNTER_ACTOR_RESTARTS, 1);
        child_notify(s, "actor.restarted", child, child->restarts);
    }
    restart_next(s);
    go_on_starting(s, child);
    return 0;
}

static int on_failed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_actor_failed_t *m = in->message;
    child_t *child = child_at(s, in->from);
    if (child && !s->stopping && child->state != CHILD_STOPPING) restart_failed(s, child, m->why, m->starting);
    return 0;
}

static int on_stopped(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_at(s, in->from);
    if (!child || child->threadless) {
        child_old_ended(s, in->from);
        return 0;
    }
    bool wanted = !s->stopping && child->state != CHILD_STOPPING, late = child->state == CHILD_STOPPED;
    if (wanted) {
        restart_left(s, child);
        return 0;
    }
    actor_reap(s->me, child->address);
    child->threadless = true;
    child->state = CHILD_STOPPED;
    if (s->stopping && !late) stop_next(s);
    if (!s->stopping && child->source) child_free(s, child);
    return 0;
}

static int on_child_start(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_child_start_t *m = in->message;
    const source_kind_t *kind = source_kind_find(m->urn);
    child_t *child = child_named(s, m->name);
    fault_t failed;
    if (!kind || !kind->class) {
        actor_refuse(s->me, in->ticket, ERROR_NOT_FOUND, "urn", "no source of this engine serves `%s`", m->urn);
    } else if (s->stopping) {
        actor_refuse(s->me, in->ticket, ERROR_UNAVAILABLE, NULL, "the engine is stopping");
    } else if (child && child->state == CHILD_RUNNING) {
        actor_answer(s->me, in->ticket, NULL);
    } else if (child) {
        actor_refuse(s->me, in->ticket, ERROR_UNAVAILABLE, NULL, "%s is %s", m->name, child_state_name(child->state));
    } else if ((child = child_add(s, &source_spec, kind->class, m->name, m->args, &failed))) {
        child->starter = in->ticket;
        restart_watch_start(s, child);
    } else {
        actor_refuse(s->me, in->ticket, ERROR_LIMIT, NULL, "%s", failed.text);
    }
    return 0;
}

static int on_child_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_child_stop_t *m = in->message;
    child_t *child = child_named(s, m->name);
    if (child && child->source && child->state != CHILD_STOPPING && !s->stopping) stop_source(s, child);
    return 0;
}

static int on_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    stop_begin(state);
    return 0;
}

static int on_guard_told(void *state, const answer_t *answer, uint64_t ticket, fault_t *why) {
    (void)answer, (void)why;
    supervisor_t *s = state;
    actor_answer(s->me, ticket, NULL);
    stop_begin(s);
    return 0;
}

/* First the guard is to know, who would start again one that is killed after this answer. What main is asked it hears after what it is told. */
static int on_engine_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    actor_tell(s->me, "main", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    actor_ask(s->me, "main", MSG_ACTOR_PING, &(msg_actor_ping_t){0}, on_guard_told, in->ticket);
    return 0;
}

/* ---- the class ---- */

const actor_class_t supervisor_class = {
    .name = "supervisor",
    .doc = "Starts the actors in order, restarts those that fail, replaces those that hang, stops them in order.",
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
            [MSG_ENGINE_ACTORS] = report_on_actors,
            [MSG_ENGINE_STATS] = report_on_stats,
            [MSG_ENGINE_STOP] = on_engine_stop,
            [MSG_CHAOS_FAIL] = chaos_on_fail,
            [MSG_CHAOS_HANG] = chaos_on_hang,
            [MSG_CHAOS_CRASH] = chaos_on_crash,
        },
    .sends = {MSG_ACTOR_READY, MSG_ACTOR_FAILED, MSG_ACTOR_HUNG, MSG_ACTOR_RESTART, MSG_ACTOR_STOP, MSG_ACTOR_FAIL, MSG_ACTOR_HANG,
              MSG_ACTOR_CRASH, MSG_ACTOR_COUNT, MSG_ACTOR_PING, MSG_CHILD_GONE, MSG_NOTIFY},
};
