/* `chaos.*`: faults on demand, for tests of the whole engine. The gateway lets them in only with `--chaos`. */
#include <string.h>

#include "chaos.h"
#include "supervisor.h"
#include "supervisor_state.h"

int chaos_on_fail(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_chaos_fail_t *m = in->message;
    const child_t *child = child_named(s, m->actor);
    if (!child) {
        actor_refuse(s->me, in->ticket, ERROR_NOT_FOUND, "actor", "no actor `%s`", m->actor);
        return 0;
    }
    child_tell(s, child, MSG_ACTOR_FAIL);
    actor_answer(s->me, in->ticket, NULL);
    return 0;
}

/* A child, or the supervisor itself; NULL: refused. */
static const char *victim(supervisor_t *s, ticket_t ticket, const char *name) {
    if (strcmp(name, supervisor_class.name) == 0) return supervisor_class.name;
    const child_t *child = child_named(s, name);
    if (!child) actor_refuse(s->me, ticket, ERROR_NOT_FOUND, "actor", "no actor `%s`", name);
    return child ? child->address : NULL;
}

int chaos_on_hang(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    const msg_chaos_hang_t *m = in->message;
    const char *name = victim(s, in->ticket, m->actor);
    if (!name) return 0;
    actor_answer(s->me, in->ticket, NULL);
    actor_tell(s->me, name, MSG_ACTOR_HANG, &(msg_actor_hang_t){.has_ms = m->has_ms, .ms = m->ms});
    return 0;
}

int chaos_on_crash(void *state, const envelope_t *in, fault_t *why) {
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
