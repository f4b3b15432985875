/* recording.fetch: a replay that follows nothing and ends after some elements, gathered into one answer for clients that want no stream.
 *
 * A test-stream server that fails forgets its replays and tells nobody: a fetch that hears nothing for a while asks whether its replay is
 * still known, and opens another where it had come to if it is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "gateway_state.h"

enum { FETCH_DEFAULT = 100, FETCH_BYTES_MAX = 8 * 1024 * 1024, FETCH_ELEMENTS_MAX = 100000 };
#define SILENCE_US INT64_C(1000000)

struct fetch {
    uint64_t serial;
    ticket_t ticket;
    msg_recording_fetch_t *ask;
    int64_t replay; /* 0: not open */
    char recording[256];
    int64_t next;
    int64_t spent; /* bytes of credit that were used and not given back */
    uint32_t count;
    bool full;  /* more would make the answer too large */
    bool ended; /* the replay has */
    bool heard; /* something since the timer was set */
    timer_id_t timer;
    msgpack_sbuffer elements;
    struct fetch *following;
};

static void fetch_remove(gateway_t *g, fetch_t *fetch) {
    fetch_t **at = &g->fetches;
    while (*at != fetch) at = &(*at)->following;
    *at = fetch->following;
    actor_cancel(g->me, &fetch->timer);
    record_free(&message_class(MSG_RECORDING_FETCH)->record, (void **)&fetch->ask);
    msgpack_sbuffer_destroy(&fetch->elements);
    free(fetch);
}

void gateway_fetch_fini(gateway_t *g) {
    while (g->fetches) fetch_remove(g, g->fetches);
}

static fetch_t *fetch_of_serial(gateway_t *g, uint64_t serial) {
    fetch_t *fetch = g->fetches;
    while (fetch && fetch->serial != serial) fetch = fetch->following;
    return fetch;
}

static fetch_t *fetch_of_replay(gateway_t *g, int64_t replay) {
    fetch_t *fetch = g->fetches;
    while (fetch && fetch->replay != replay) fetch = fetch->following;
    return fetch;
}

/* ---- the answer ---- */

static void answer_fetch(gateway_t *g, fetch_t *fetch, bool complete) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, fetch->count);
    if (fetch->elements.size) msgpack_sbuffer_write(&out, fetch->elements.data, fetch->elements.size);
    actor_answer(g->me, fetch->ticket,
                 &(msg_elements_fetched_t){.elements = {(const uint8_t *)out.data, out.size}, .next = fetch->next, .complete = complete});
    msgpack_sbuffer_destroy(&out);
    fetch_remove(g, fetch);
}

static void refuse_fetch(gateway_t *g, fetch_t *fetch, const refusal_t *no) {
    actor_refuse_as(g->me, fetch->ticket, no);
    fetch_remove(g, fetch);
}

/* ---- the replay ---- */

static int64_t wanted(const fetch_t *fetch) {
    return (fetch->ask->has_max ? fetch->ask->max : FETCH_DEFAULT) - fetch->count;
}

static int on_open(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    fetch_t *fetch = fetch_of_serial(g, serial);
    if (!fetch) return 0;
    if (answer->refusal) {
        refuse_fetch(g, fetch, answer->refusal);
        return 0;
    }
    const msg_replay_t *m = answer->message;
    fetch->heard = true;
    fetch->replay = m->replay;
    if (fetch->recording[0] && strcmp(fetch->recording, m->recording) != 0) {
        refusal_t no;
        refuse(&no, ERROR_UNAVAILABLE, NULL, "recording `%.100s` was replaced while it was being fetched", fetch->recording);
        no.retry = true;
        actor_door_tell(g->me, GATEWAY_TEST_STREAM, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = m->replay}, NULL);
        refuse_fetch(g, fetch, &no);
        return 0;
    }
    snprintf(fetch->recording, sizeof fetch->recording, "%s", m->recording);
    return 0;
}

/* From where it had come to. */
static void open_replay(gateway_t *g, fetch_t *fetch) {
    const msg_recording_fetch_t *m = fetch->ask;
    const char *tags[] = {m->tag};
    fetch->replay = 0;
    fetch->spent = 0;
    msg_replay_open_t open = {.has_recording = m->has_recording,
                              .recording = m->recording,
                              .has_pipeline = m->has_pipeline && !m->has_recording,
                              .pipeline = m->pipeline,
                              .has_tags = m->has_tag,
                              .tags = {m->has_tag ? 1 : 0, tags},
                              .has_from = fetch->next > 0,
                              .from = {.has_element = true, .element = fetch->next},
                              .has_max_elements = true,
                              .max_elements = wanted(fetch),
                              .has_follow = true,
                              .follow = false,
                              .credit = INT64_C(2) * FETCH_BYTES_MAX};
    actor_door_ask(g->me, GATEWAY_TEST_STREAM, MSG_REPLAY_OPEN, &open, NULL, on_open, fetch->serial);
}

static int on_silence(void *state, uint64_t serial, fault_t *why);

static int on_probed(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    fetch_t *fetch = fetch_of_serial(g, serial);
    if (!fetch || !answer->refusal || fetch->ended || !fetch->replay) return 0;
    if (fetch->full || wanted(fetch) <= 0)
        answer_fetch(g, fetch, false);
    else
        open_replay(g, fetch);
    return 0;
}

static int on_silence(void *state, uint64_t serial, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    fetch_t *fetch = fetch_of_serial(g, serial);
    must(fetch);
    fetch->timer = actor_after(g->me, SILENCE_US, on_silence, serial);
    if (!fetch->heard && fetch->replay && !fetch->ended)
        actor_door_ask(g->me, GATEWAY_TEST_STREAM, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = fetch->replay}, NULL, on_probed,
                       serial);
    fetch->heard = false;
    return 0;
}

int gateway_on_fetch(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_recording_fetch_t *m = in->message;
    if (!m->has_recording && !m->has_pipeline) {
        actor_refuse(g->me, in->ticket, ERROR_BAD_REQUEST, "recording", "`recording.fetch`: `recording` or `pipeline` is missing");
        return 0;
    }
    if (m->has_max && m->max > FETCH_ELEMENTS_MAX) {
        actor_refuse(g->me, in->ticket, ERROR_BAD_REQUEST, "max", "`recording.fetch`: `max` must be at most %d, not %lld: replay for more",
                     FETCH_ELEMENTS_MAX, (long long)m->max);
        return 0;
    }
    if (m->pipeline_definition) {
        gateway_define(g, in);
        return 0;
    }
    fetch_t *fetch = calloc(1, sizeof *fetch);
    must(fetch);
    fetch->serial = ++g->last_fetch;
    fetch->ticket = in->ticket;
    fetch->ask = record_copy(&message_class(MSG_RECORDING_FETCH)->record, m);
    fetch->next = m->has_from ? m->from : 0;
    msgpack_sbuffer_init(&fetch->elements);
    fetch->following = g->fetches;
    g->fetches = fetch;
    fetch->timer = actor_after(g->me, SILENCE_US, on_silence, fetch->serial);
    open_replay(g, fetch);
    return 0;
}

/* ---- the events ---- */

/* Gives back the credit that an event used: one without elements counts, too. */
static void take_event(gateway_t *g, fetch_t *fetch, const envelope_t *in) {
    fetch->heard = true;
    fetch->spent += (int64_t)(in->raw.size + (in->body ? frame_bytes(in->body).size : 0));
    if (fetch->full || fetch->spent < FETCH_BYTES_MAX) return;
    msg_replay_credit_t credit = {.replay = fetch->replay, .bytes = fetch->spent};
    fetch->spent = 0;
    actor_door_tell(g->me, GATEWAY_TEST_STREAM, MSG_REPLAY_CREDIT, &credit, NULL);
}

static void close_replay(gateway_t *g, int64_t replay) {
    actor_door_tell(g->me, GATEWAY_TEST_STREAM, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = replay}, NULL);
}

static void pack_element(msgpack_packer *packer, const char *tag, const wire_element_t *element) {
    msgpack_pack_array(packer, element->attributes.size ? 4 : 3);
    msgpack_pack_str_with_body(packer, tag, strlen(tag));
    msgpack_pack_int64(packer, element->event_time);
    msgpack_pack_bin_with_body(packer, element->payload.data, element->payload.size);
    if (element->attributes.size) packer->callback(packer->data, (const char *)element->attributes.data, element->attributes.size);
}

/* A replay sends what the checksums vouch for; that it is elements has to be looked at by who takes it apart. */
static bool are_elements(const envelope_t *in, refusal_t *no) {
    const msg_elements_t *m = in->message;
    uint32_t count;
    if (wire_body_check(frame_bytes(in->body), &count, no) < 0) return false;
    if (count == m->count) return true;
    refuse(no, ERROR_CORRUPT, NULL, "%lld elements were told, and %u came", (long long)m->count, count);
    return false;
}

int gateway_on_elements(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    refusal_t no, damaged;
    const msg_elements_t *m = in->message;
    fetch_t *fetch = fetch_of_replay(g, m->replay);
    if (!fetch) {
        close_replay(g, m->replay); /* an earlier state's */
        return 0;
    }
    take_event(g, fetch, in);
    if (fetch->full || !in->body) return 0;
    if (!are_elements(in, &no)) {
        close_replay(g, m->replay);
        refuse(&damaged, ERROR_CORRUPT, NULL, "recording `%.100s`: %s", fetch->recording, no.message);
        refuse_fetch(g, fetch, &damaged);
        return 0;
    }
    msgpack_packer packer;
    msgpack_packer_init(&packer, &fetch->elements, msgpack_sbuffer_write);
    bytes_t left = wire_body_elements(frame_bytes(in->body), (uint32_t)m->count);
    for (int64_t i = 0; i < m->count; i++) {
        wire_element_t element = wire_element_at(left);
        if (fetch->count > 0 && fetch->elements.size + element.size > FETCH_BYTES_MAX) {
            fetch->full = true;
            close_replay(g, m->replay);
            return 0;
        }
        pack_element(&packer, m->tag, &element);
        fetch->count++;
        fetch->next = m->element + i + 1;
        left = (bytes_t){left.data + element.size, left.size - element.size};
    }
    return 0;
}

static int on_recording(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    fetch_t *fetch = fetch_of_serial(g, serial);
    if (!fetch) return 0;
    const msg_recording_jobs_t *m = answer->message;
    answer_fetch(g, fetch, m && m->recordings.count == 1 && m->recordings.items[0].has_ended);
    return 0;
}

static const struct {
    const char *reason;
    error_code_t code;
} failures[] = {{"corrupt", ERROR_CORRUPT}, {"invalidated", ERROR_UNAVAILABLE}, {"stopped", ERROR_UNAVAILABLE}};

int gateway_on_end(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_end_t *m = in->message;
    fetch_t *fetch = fetch_of_replay(g, m->replay);
    if (!fetch) return 0;
    fetch->ended = true;
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        if (strcmp(m->reason, failures[i].reason) != 0) continue;
        refusal_t no;
        refuse(&no, failures[i].code, NULL, "recording `%.100s`: %s", fetch->recording, m->has_error ? m->error : m->reason);
        no.retry = failures[i].code == ERROR_UNAVAILABLE;
        refuse_fetch(g, fetch, &no);
        return 0;
    }
    if (strcmp(m->reason, "end") == 0 && !fetch->full) {
        actor_ask(g->me, "recorder", MSG_RECORDING_JOBS_ASK,
                  &(msg_recording_jobs_ask_t){.has_recording = true, .recording = fetch->recording}, on_recording, fetch->serial);
    } else {
        answer_fetch(g, fetch, false);
    }
    return 0;
}

/* The three events begin alike. */
_Static_assert(offsetof(msg_watermark_t, replay) == offsetof(msg_processing_time_t, replay) &&
                   offsetof(msg_gap_event_t, replay) == offsetof(msg_processing_time_t, replay),
               "one struct reads all three");

int gateway_on_other_event(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    fetch_t *fetch = fetch_of_replay(g, ((const msg_processing_time_t *)in->message)->replay);
    if (fetch) take_event(g, fetch, in);
    return 0;
}
