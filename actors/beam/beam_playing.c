/* A replay on its way to Beam. Credit is given back for what the caller has taken, so that one that is slow holds back only its own replay.
 *
 * Beam gives up a stream on which it has heard nothing for 30 seconds, so one that waits for new data is told that no time has passed. And a
 * test-stream server that fails forgets its replays and tells nobody: it is asked now and then, and a replay that it does not know is opened anew,
 * from the beginning, for Beam must not see a watermark twice; what it has had is passed over. A replay is the same every time. */
#include <stdlib.h>
#include <string.h>

#include "../../messages/wire.h"
#include "beam_gateway_state.h"

#define ALIVE_US INT64_C(10000000)  /* nothing sent for so long: the caller is told that the stream lives */
#define SILENCE_US INT64_C(2000000) /* nothing heard for so long: the server is asked */

static callers_t *bucket(beam_gateway_t *g, int64_t replay) {
    return &g->by_replay[(uint64_t)replay % BEAM_BUCKETS];
}

static caller_t *caller_of(beam_gateway_t *g, int64_t replay) {
    caller_t *caller;
    LIST_FOREACH(caller, bucket(g, replay), of_replay) {
        if (caller->replay == replay) return caller;
    }
    return NULL;
}

/* ---- the replay's life ---- */

void beam_playing_close(beam_gateway_t *g, int64_t replay) {
    actor_door_tell(g->me, 0, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = replay}, NULL);
}

void beam_playing_begin(beam_gateway_t *g, caller_t *caller, const msg_replay_t *replay) {
    beam_kept_t *kept = g->kept;
    if (kept->count == kept->room) {
        kept->room = kept->room ? kept->room * 2 : 16;
        kept->replays = realloc(kept->replays, kept->room * sizeof *kept->replays);
        must(kept->replays);
    }
    kept->replays[kept->count++] = replay->replay;
    caller->replay = replay->replay;
    caller->heard = actor_ticks(g->me);
    LIST_INSERT_HEAD(bucket(g, caller->replay), caller, of_replay);
}

void beam_playing_end(beam_gateway_t *g, caller_t *caller) {
    if (!caller->replay) return;
    beam_kept_t *kept = g->kept;
    size_t at = 0;
    while (at < kept->count && kept->replays[at] != caller->replay) at++;
    must(at < kept->count);
    kept->replays[at] = kept->replays[--kept->count];
    LIST_REMOVE(caller, of_replay);
    caller->replay = 0;
}

/* ---- events ---- */

static int64_t cost_of(const envelope_t *in) {
    return (int64_t)(in->raw.size + (in->body ? frame_bytes(in->body).size : 0));
}

static void give_credit(beam_gateway_t *g, int64_t replay, int64_t bytes) {
    if (bytes > 0) actor_door_tell(g->me, 0, MSG_REPLAY_CREDIT, &(msg_replay_credit_t){.replay = replay, .bytes = bytes}, NULL);
}

/* Whose event it is; NULL where it is nobody's, or was sent before. */
static caller_t *take_event(beam_gateway_t *g, int64_t replay, const envelope_t *in) {
    caller_t *caller = caller_of(g, replay);
    if (!caller) {
        beam_playing_close(g, replay); /* an earlier state's */
        return NULL;
    }
    caller->heard = actor_ticks(g->me);
    if (caller->skip == 0) {
        caller->events++;
        return caller;
    }
    caller->skip--;
    give_credit(g, replay, cost_of(in));
    return NULL;
}

static void hand_on(beam_gateway_t *g, caller_t *caller, beam_message_t *message, int64_t cost) {
    caller->spoken = caller->heard;
    beam_port_send(g->kept->port, caller->call, message, cost, false);
}

/* The output after `last` that has this tag; NULL: no other. */
static const output_t *next_output(const caller_t *caller, const output_t *last, const char *tag) {
    const output_t *output = last ? last + 1 : caller->outputs;
    for (; output < caller->outputs + caller->outputs_count; output++)
        if (strcmp(output->tag, tag) == 0) return output;
    return NULL;
}

int beam_on_watermark(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    const msg_watermark_t *m = in->message;
    caller_t *caller = take_event(g, m->replay, in);
    if (!caller) return 0;
    int64_t cost = cost_of(in);
    const output_t *output = NULL;
    while ((output = next_output(caller, output, m->tag))) {
        beam_message_t message;
        beam_watermark_write(m->to, output->asked, &message);
        hand_on(g, caller, &message, cost);
        cost = 0;
    }
    give_credit(g, m->replay, cost);
    return 0;
}

int beam_on_processing_time(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    const msg_processing_time_t *m = in->message;
    caller_t *caller = take_event(g, m->replay, in);
    if (!caller) return 0;
    beam_message_t message;
    beam_advance_write(m->advance_us, &message);
    hand_on(g, caller, &message, cost_of(in));
    return 0;
}

/* Beam has no word for a hole. */
int beam_on_gap(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    int64_t replay = ((const msg_gap_event_t *)in->message)->replay;
    if (take_event(g, replay, in)) give_credit(g, replay, cost_of(in));
    return 0;
}

/* Checksums vouch for the bytes; that they are elements has to be looked at by who takes them apart. */
static bool are_elements(const envelope_t *in, refusal_t *no) {
    const msg_elements_t *m = in->message;
    uint32_t count = 0;
    if (in->body && wire_body_check(frame_bytes(in->body), &count, no) < 0) return false;
    if (count == m->count) return true;
    refuse(no, ERROR_CORRUPT, NULL, "%lld elements were told, and %u came", (long long)m->count, count);
    return false;
}

int beam_on_elements(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    const msg_elements_t *m = in->message;
    caller_t *caller = take_event(g, m->replay, in);
    if (!caller) return 0;
    refusal_t no;
    if (!are_elements(in, &no)) {
        beam_caller_end(g, caller, CALL_DATA_LOSS, "recording `%s`: %s", caller->recording, no.message);
        return 0;
    }
    int64_t cost = cost_of(in);
    const output_t *output = NULL;
    while (m->count > 0 && (output = next_output(caller, output, m->tag))) {
        bytes_t rest = wire_body_elements(frame_bytes(in->body), (uint32_t)m->count);
        for (size_t left = (size_t)m->count; left > 0;) {
            beam_message_t message;
            left -= beam_elements_write(&rest, left, output->asked, BEAM_MICROSECONDS, BEAM_MESSAGE_MAX, &message);
            hand_on(g, caller, &message, left == 0 ? cost : 0);
        }
        cost = 0;
    }
    give_credit(g, m->replay, cost);
    return 0;
}

/* ---- the end ---- */

static const struct {
    const char *reason;
    call_status_t status;
} ends[] = {
    {"end", CALL_OK},
    {"limit", CALL_OK},
    {"corrupt", CALL_DATA_LOSS},
    /* Not UNAVAILABLE, which Beam takes for an end like any other. */
    {"stopped", CALL_ABORTED},
    {"invalidated", CALL_ABORTED},
};

int beam_on_end(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    const msg_end_t *m = in->message;
    caller_t *caller = caller_of(g, m->replay);
    if (!caller) return 0;
    call_status_t status = CALL_INTERNAL;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strcmp(m->reason, ends[i].reason) == 0) status = ends[i].status;
    beam_playing_end(g, caller);
    if (status == CALL_OK)
        beam_caller_end(g, caller, status, "%s", "");
    else
        beam_caller_end(g, caller, status, "recording `%s`: %s", caller->recording, m->has_error ? m->error : m->reason);
    return 0;
}

/* ---- while nothing happens ---- */

static int on_asked(void *state, const answer_t *answer, uint64_t call, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    caller_t *caller = beam_caller_of(g, call);
    if (!caller) return 0;
    caller->asked = false;
    caller->heard = actor_ticks(g->me);
    if (!answer->refusal || answer->refusal->code != ERROR_NOT_FOUND || !caller->replay) return 0;
    beam_playing_end(g, caller);
    beam_opening_again(g, caller);
    return 0;
}

void beam_playing_check(beam_gateway_t *g, caller_t *caller, int64_t ticks) {
    if (caller->replay && !caller->asked && ticks - caller->heard >= SILENCE_US) {
        caller->asked = true;
        actor_door_ask(g->me, 0, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = caller->replay}, NULL, on_asked, caller->call);
    }
    if (caller->watches || ticks - caller->spoken < ALIVE_US) return;
    caller->spoken = ticks;
    beam_message_t message;
    beam_advance_write(0, &message);
    beam_port_send(g->kept->port, caller->call, &message, 0, true);
}
