/* What becomes of an actor that failed: it is started again, the sooner the more seldom it fails; and one that fails too often is given up:
 * a source with its job, a core actor with the process.
 *
 * A thread that hangs can neither be asked nor ended. A source's is left where it stands, and another one takes its place: the recorder has
 * it supersede the old one's attachment. What a core actor holds, nobody can take from it: only a new process helps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor_state.h"

/* ---- giving up ---- */

void restart_give_up(supervisor_t *s, const char *name, const char *why) {
    char text[900];
    s->giving_up = true;
    snprintf(text, sizeof text, "%s: %s", name, why);
    actor_tell(s->me, "main", MSG_ACTOR_FAILED, &(msg_actor_failed_t){.why = text, .starting = !s->serving});
}

/* The job is told, or whoever waits for the source to start. */
static void give_up_source(supervisor_t *s, child_t *child) {
    const char *why = child_last_failure(child)->why;
    if (child->starter)
        actor_refuse(s->me, child->starter, ERROR_INVALID_STATE, NULL, "%s", why);
    else
        actor_tell(s->me, "job_supervisor", MSG_CHILD_GONE, &(msg_child_gone_t){.name = child->name, .why = why});
    child->starter = 0;
    stop_source(s, child);
}

static void give_up(supervisor_t *s, child_t *child) {
    if (child->source)
        give_up_source(s, child);
    else
        restart_give_up(s, child->name, child_last_failure(child)->why);
}

/* ---- starting ---- */

static int on_start_timeout(void *state, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_of_id(s, id);
    char text[100];
    must(child);
    child->timer = 0;
    snprintf(text, sizeof text, "it was not ready within %lld ms", (long long)child->spec->start_ms);
    if (child->source)
        restart_hung(s, child, text);
    else
        restart_give_up(s, child->name, text);
    return 0;
}

void restart_watch_start(supervisor_t *s, child_t *child) {
    child->timer = actor_after(s->me, child->spec->start_ms * 1000, on_start_timeout, child->id);
}

static void launch(supervisor_t *s, child_t *child) {
    fault_t why;
    child->state = CHILD_STARTING;
    child->restarts++;
    if (!child->threadless) {
        child_tell(s, child, MSG_ACTOR_RESTART);
    } else if (child_spawn(s, child, &why) < 0) {
        restart_failed(s, child, why.text, true);
        return;
    }
    restart_watch_start(s, child);
}

/* Those before it must run, and those after it must have given up what they know of it. */
static bool may_follow(const supervisor_t *s, size_t at) {
    for (size_t i = 0; i < s->count && !s->children[i]->source; i++) {
        child_state_t state = s->children[i]->state;
        if (i < at ? state != CHILD_RUNNING && state != CHILD_STOPPED : state == CHILD_FELLED) return false;
    }
    return true;
}

void restart_next(supervisor_t *s) {
    for (size_t i = 0; i < s->count && !s->giving_up && !s->stopping; i++) {
        child_t *child = s->children[i];
        if (child->state != CHILD_FAILED || child->timer || child->leaving) continue;
        if (child->source || policy.strategy == ONE_FOR_ONE || may_follow(s, i)) launch(s, child);
        if (i < s->count && s->children[i] != child) i--; /* given up, and gone */
    }
}

static int on_backoff(void *state, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_of_id(s, id);
    must(child);
    child->timer = 0;
    restart_next(s);
    return 0;
}

/* ---- failures ---- */

/* How many failures there were in the last period, this one included. */
static size_t count_failure(supervisor_t *s, child_t *child) {
    int64_t now = actor_ticks(s->me);
    size_t recent = 1, oldest = 0;
    for (size_t i = 0; i < RESTARTS_MOST; i++) {
        if (child->recent[i] && now - child->recent[i] < policy.period_ms * 1000) recent++;
        if (child->recent[i] < child->recent[oldest]) oldest = i;
    }
    child->recent[oldest] = now;
    return recent;
}

/* Between half of the pause and the whole: what failed together must not come back together each time. */
static int64_t backoff_us(supervisor_t *s, const child_t *child, size_t recent) {
    if (recent <= 1) return 0;
    int64_t whole = (policy.backoff_ms * 1000) << (recent - 2);
    uint64_t z = (uint64_t)actor_ticks(s->me) + child->id * UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return whole - (int64_t)((z ^ z >> 31) % (uint64_t)(whole / 2));
}

/* The last started gives up its state first. */
static void fell_rest(supervisor_t *s, const child_t *failed) {
    char why[300];
    snprintf(why, sizeof why, "%s failed, and it depends on that", failed->name);
    for (size_t i = s->count; i-- > 0 && s->children[i] != failed;) {
        child_t *child = s->children[i];
        if (child->source || (child->state != CHILD_RUNNING && child->state != CHILD_STARTING)) continue;
        actor_cancel(s->me, &child->timer);
        child->state = CHILD_FELLED;
        actor_tell(s->me, child->address, MSG_ACTOR_FAIL, &(msg_actor_fail_t){.has_why = true, .why = why});
    }
}

/* A thread that could not even start, where it was not the first, may have no doors: another one tries again. */
static void replace_thread(supervisor_t *s, child_t *child) {
    child->leaving = true;
    child_tell(s, child, MSG_ACTOR_STOP);
}

void restart_failed(supervisor_t *s, child_t *child, const char *why, bool starting) {
    actor_cancel(s->me, &child->timer);
    child_remember(s, child, why);
    if (child->state == CHILD_FELLED) {
        child->state = CHILD_FAILED;
        restart_next(s);
        return;
    }
    child->state = CHILD_FAILED;
    actor_count(s->me, COUNTER_ACTOR_FAILURES, 1); /* here, because a source that is gone is asked no more */
    fprintf(stderr, "reprised: %s failed: %s\n", child->name, why);
    child_notify(s, "actor.failed", child, child->failed);
    size_t recent = count_failure(s, child);
    if (child->spec->restart == TEMPORARY && child->proven) {
        child->state = CHILD_STOPPING;
        child_tell(s, child, MSG_ACTOR_STOP);
        return;
    }
    if (recent > policy.restarts_max || (starting && !child->proven) || child->hung > policy.hung_max) {
        give_up(s, child);
        return;
    }
    if (child->fresh && !child->threadless) replace_thread(s, child);
    child->timer = actor_after(s->me, backoff_us(s, child, recent), on_backoff, child->id);
    if (policy.strategy == REST_FOR_ONE && !child->source) fell_rest(s, child);
}

void restart_hung(supervisor_t *s, child_t *child, const char *why) {
    char text[400];
    if (child->source) {
        child_let_go(s, child);
        restart_failed(s, child, why, child->state == CHILD_STARTING);
        return;
    }
    snprintf(text, sizeof text, "%s hangs: %s", child->name, why);
    actor_tell(s->me, "main", MSG_ACTOR_HUNG, &(msg_actor_hung_t){.why = text});
}

void restart_left(supervisor_t *s, child_t *child) {
    actor_reap(s->me, child->address);
    child->threadless = true;
    if (child->leaving) {
        child->leaving = false;
        restart_next(s);
    } else if (child->spec->restart == PERMANENT) {
        restart_failed(s, child, "it left without being told to", false);
    } else if (child->source) {
        child_free(s, child);
    } else {
        actor_cancel(s->me, &child->timer);
        child->state = CHILD_STOPPED;
    }
}
