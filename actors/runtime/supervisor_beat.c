/* Every second each actor is pinged that should serve. Its runtime answers between two messages, whatever the actor is for, so silence means
 * that it is stuck in one of them.
 *
 * Silence is counted in beats that the supervisor itself has lived through, not read from a clock: while the whole process stands still,
 * stopped by a debugger or with its machine, nobody grows silent. */
#include <stdio.h>

#include "supervisor_state.h"

enum { BEAT_MS = 1000 };
#define BEAT_US (BEAT_MS * INT64_C(1000))

static int on_pong(void *state, const answer_t *answer, uint64_t id, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    child_t *child = child_of_id(s, id);
    if (!child) return 0;
    child->pinged = false; /* one that did not get it is asked again */
    child->silent_ms = answer->refusal ? child->silent_ms + BEAT_MS : 0;
    return 0;
}

static bool should_answer(const child_t *child) {
    return child->spec->hang_ms > 0 && (child->state == CHILD_RUNNING || child->state == CHILD_FELLED);
}

static void beat(supervisor_t *s, child_t *child) {
    static const msg_actor_ping_t ping;
    char why[100];
    if (!should_answer(child)) {
        child->silent_ms = 0;
        return;
    }
    if (child->pinged) child->silent_ms += BEAT_MS;
    if (child->silent_ms < child->spec->hang_ms) {
        if (!child->pinged) actor_ask(s->me, child->address, MSG_ACTOR_PING, &ping, on_pong, child->id);
        child->pinged = true;
        return;
    }
    snprintf(why, sizeof why, "it has not answered for %lld ms", (long long)child->silent_ms);
    restart_hung(s, child, why);
}

static int on_beat(void *state, uint64_t context, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    for (size_t i = s->count; i-- > 0;) beat(s, s->children[i]); /* backwards: one that is given up may be gone at once */
    s->beat_timer = actor_after(s->me, BEAT_US, on_beat, context);
    return 0;
}

void beat_begin(supervisor_t *s) {
    s->beat_timer = actor_after(s->me, BEAT_US, on_beat, 0);
}
