/* What clients ask about the actors. What they have counted, and how many messages wait inside them, only they know: each is asked, and one
 * that does not answer in time is left out. Of one that owes the heartbeat an answer as well, the table tells what was last known at once: that
 * it is silent is what whoever asks wants to see. */
#include <stdlib.h>
#include <string.h>

#include "supervisor.h"
#include "supervisor_state.h"

#define STATS_TIMEOUT_US INT64_C(500000)
#define ACTORS_TIMEOUT_US INT64_C(100000) /* for how many messages wait, and no more */

/* `failures` has room for those that are kept. */
static msg_actor_state_t describe(supervisor_t *s, const child_t *child, msg_actor_failure_t *failures) {
    const failure_t *last = child_last_failure(child);
    msg_actor_state_t state = {.name = child->name,
                               .state = child_state_name(child->state),
                               .restarts = (int64_t)child->restarts,
                               .mailbox = child->mailbox,
                               .uptime_ms = child->state == CHILD_RUNNING ? (actor_ticks(s->me) - child->since) / 1000 : 0,
                               .has_silent_ms = child->silent_ms > 0,
                               .silent_ms = child->silent_ms,
                               .has_last_error = last != NULL,
                               .last_error = last ? last->why : NULL,
                               .has_failures = true,
                               .failures.items = failures};
    size_t first = child->failed > FAILURES_KEPT ? child->failed - FAILURES_KEPT : 0;
    for (size_t i = first; i < child->failed; i++) {
        const failure_t *failure = &child->failures[i % FAILURES_KEPT];
        failures[state.failures.count++] = (msg_actor_failure_t){.at = failure->at, .why = failure->why};
    }
    return state;
}

static void answer_actors(supervisor_t *s, ticket_t ticket) {
    msg_actors_t answer = {.actors.items = calloc(s->count + 1, sizeof(msg_actor_state_t))};
    msg_actor_failure_t *failures = calloc(s->count + 1, FAILURES_KEPT * sizeof *failures);
    must(answer.actors.items && failures);
    for (size_t i = 0; i < s->count; i++)
        answer.actors.items[answer.actors.count++] = describe(s, s->children[i], failures + i * FAILURES_KEPT);
    actor_answer(s->me, ticket, &answer);
    free(answer.actors.items);
    free(failures);
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

static counting_t *counting_of_serial(supervisor_t *s, uint32_t serial) {
    for (size_t i = 0; i < COUNTINGS_MAX; i++)
        if (s->countings[i].used && s->countings[i].serial == serial) return &s->countings[i];
    return NULL;
}

/* The context names both the counting and the child. */
static int on_counted(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)why;
    supervisor_t *s = state;
    counting_t *counting = counting_of_serial(s, (uint32_t)(context >> 32));
    child_t *child = child_of_id(s, context & UINT32_MAX);
    if (!counting) return 0;
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
    *counting = (counting_t){.serial = ++s->last_counting, .ticket = ticket, .used = true, .states = states, .waiting = 1};
    uint64_t context = (uint64_t)counting->serial << 32;
    counting->timer = actor_after(s->me, states ? ACTORS_TIMEOUT_US : STATS_TIMEOUT_US, on_counting_timeout, index);
    static const msg_actor_count_t ask;
    actor_ask(s->me, supervisor_class.name, MSG_ACTOR_COUNT, &ask, on_counted, context);
    for (size_t i = 0; i < s->count; i++) {
        const child_t *child = s->children[i];
        if (child->threadless || (states && child->pinged)) continue;
        counting->waiting++;
        actor_ask(s->me, child->address, MSG_ACTOR_COUNT, &ask, on_counted, context | child->id);
    }
    return 0;
}

int report_on_actors(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    return start_counting(state, in->ticket, true);
}

int report_on_stats(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    return start_counting(state, in->ticket, false);
}
