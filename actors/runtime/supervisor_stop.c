/* How actors end: a source when its job does, and all of them, one after another, when the engine does. Each has a time for it, and one that
 * takes longer is left as it stands. */
#include <stdio.h>

#include "supervisor_state.h"

/* ---- a source ---- */

static int on_source_timeout(void *state, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_of_id(s, id);
    must(child);
    child->timer = 0;
    fprintf(stderr, "reprised: %s did not stop within %lld ms and is left\n", child->name, (long long)child->spec->stop_ms);
    child_let_go(s, child);
    child_free(s, child);
    return 0;
}

void stop_source(supervisor_t *s, child_t *child) {
    actor_cancel(s->me, &child->timer);
    actor_refuse(s->me, child->starter, ERROR_UNAVAILABLE, NULL, "%s was stopped", child->name);
    child->starter = 0;
    child->state = CHILD_STOPPING;
    if (child->threadless) {
        child_free(s, child);
        return;
    }
    child_tell(s, child, MSG_ACTOR_STOP);
    child->timer = actor_after(s->me, child->spec->stop_ms * 1000, on_source_timeout, child->id);
}

/* ---- all ---- */

static int on_stop_timeout(void *state, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    s->stop_timer = 0;
    child_t *child = child_of_id(s, id);
    must(child);
    fprintf(stderr, "reprised: %s did not stop within %lld ms and is left\n", child->name, (long long)child->spec->stop_ms);
    child->state = CHILD_STOPPED;
    stop_next(s);
    return 0;
}

/* Sources came last and go first; then the tree, the last started first. */
void stop_next(supervisor_t *s) {
    actor_cancel(s->me, &s->stop_timer);
    for (size_t i = s->count; i-- > 0;) {
        child_t *child = s->children[i];
        if (child->state == CHILD_STOPPED || child->threadless) continue;
        s->stop_timer = actor_after(s->me, child->spec->stop_ms * 1000, on_stop_timeout, child->id);
        if (child->state != CHILD_STOPPING) {
            child->state = CHILD_STOPPING;
            child_tell(s, child, MSG_ACTOR_STOP);
        }
        return;
    }
    actor_leave(s->me);
}

void stop_begin(supervisor_t *s) {
    if (s->stopping) return;
    s->stopping = true;
    actor_cancel(s->me, &s->beat_timer);
    for (size_t i = 0; i < s->count; i++) {
        actor_cancel(s->me, &s->children[i]->timer);
        actor_refuse(s->me, s->children[i]->starter, ERROR_UNAVAILABLE, NULL, "the engine is stopping");
        s->children[i]->starter = 0;
    }
    stop_next(s);
}
