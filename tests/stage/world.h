/* The whole engine on a stage, with what most tests of it need: clients, pipelines, push sources, replays that are checked as they come. */
#ifndef REPRISE_TESTS_WORLD_H
#define REPRISE_TESTS_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messages/wire.h"
#include "stage.h"
#include "tests/unit/pack.h"

static const stage_peer_t commander __attribute__((unused)) = {"gateway", "client"};

static inline stage_t *world_create(uint64_t seed, const char *data) {
    stage_t *stage = stage_create(seed, data);
    stage_add_tree(stage);
    return stage;
}

/* A transform that reads a generator: `count` elements of 20 bytes, 1000 a second; 0: without end. */
static inline msg_transform_t generator(stage_t *stage, const char *name, int64_t count) {
    bytes_t made =
        count ? pack("{sisisi}", "rate", 1000LL, "size", 20LL, "count", (long long)count) : pack("{sisi}", "rate", 1000LL, "size", 20LL);
    bytes_t payload = {stage_keep(stage, made.data, made.size), made.size};
    return (msg_transform_t){.name = name, .urn = "reprise:source:generator:v1", .has_payload = true, .payload = payload};
}

static inline msg_transform_t push_source(const char *name) {
    return (msg_transform_t){.name = name, .urn = "reprise:source:push:v1"};
}

static inline msg_pipeline_run_t run_of(stage_t *stage, const char *name, size_t count, const msg_transform_t *transforms, int64_t limit) {
    msg_pipeline_t made = {
        .name = name, .has_transforms = true, .transforms = {count, stage_keep(stage, transforms, count * sizeof *transforms)}};
    msg_pipeline_run_t run = {.has_pipeline = true, .pipeline = name, .pipeline_definition = stage_keep(stage, &made, sizeof made)};
    run.limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    if (limit == 0) return run;
    run.has_limits = run.limits.has_count = true;
    run.limits.count = limit;
    return run;
}

/* Asks as a client does, until it is not refused with `retry`: at most for ten seconds. */
static inline const void *world_ask(stage_t *stage, message_id_t id, const void *message) {
    for (int i = 0; i < 100; i++) {
        stage_peer_request(stage, commander, id, message, (bytes_t){0}, i);
        stage_run(stage);
        for (int n = 0; n < 120 && !stage_peer_waits(stage, commander); n++) stage_advance(stage, 10000);
        const stage_message_t *m = stage_peer_take(stage, commander);
        if (!m) fail_msg("%s is not answered", message_class(id)->wire);
        assert_false(stage_peer_waits(stage, commander));
        if (!m->refused) return stage_decode(stage, message_class(id)->answer, m->raw);
        refusal_t no;
        assert_int_equal(refusal_decode(m->raw, &no), 0);
        if (!no.retry) fail_msg("%s is refused: %s", message_class(id)->wire, no.message);
        stage_advance(stage, 100000);
    }
    fail_msg("%s is refused again and again", message_class(id)->wire);
    return NULL;
}

/* Waits until the job has ended. */
static inline const msg_job_t *world_wait(stage_t *stage, const char *pipeline) {
    msg_job_describe_t describe = {.has_pipeline = true, .pipeline = pipeline};
    for (int i = 0; i < 3000; i++) {
        const msg_job_t *job = world_ask(stage, MSG_JOB_DESCRIBE, &describe);
        if (strcmp(job->state, "STARTING") != 0 && strcmp(job->state, "RUNNING") != 0 && strcmp(job->state, "CANCELLING") != 0) return job;
        stage_advance(stage, 50000);
    }
    fail_msg("the job of %s does not end", pipeline);
    return NULL;
}

/* ---- a replay ---- */

typedef struct seen {
    int64_t elements;
    const char *reason, *digest;
    size_t gaps, size, payload_size;
    uint8_t bytes[1 << 18];   /* all events after one another */
    uint8_t payload[1 << 17]; /* and only the elements' own bytes */
} seen_t;

static inline void see_payloads(seen_t *seen, bytes_t body, uint32_t count) {
    bytes_t elements = wire_body_elements(body, count);
    while (elements.size > 0) {
        wire_element_t element = wire_element_at(elements);
        must(seen->payload_size + element.payload.size < sizeof seen->payload);
        memcpy(seen->payload + seen->payload_size, element.payload.data, element.payload.size);
        seen->payload_size += element.payload.size;
        elements = (bytes_t){elements.data + element.size, elements.size - element.size};
    }
}

static inline void see_event(seen_t *seen, const stage_message_t *m) {
    must(seen->size + m->raw.size + m->body.size < sizeof seen->bytes);
    memcpy(seen->bytes + seen->size, m->raw.data, m->raw.size);
    seen->size += m->raw.size;
    if (m->has_body) memcpy(seen->bytes + seen->size, m->body.data, m->body.size);
    seen->size += m->has_body ? m->body.size : 0;
    seen->gaps += m->head.id == MSG_GAP;
    if (m->head.id != MSG_ELEMENTS) return;
    uint32_t count;
    refusal_t no;
    const msg_elements_t *elements = m->message;
    assert_true(m->has_body);
    assert_int_equal(wire_body_check(m->body, &count, &no), 0);
    assert_int_equal(count, elements->count);
    assert_int_equal(elements->element, seen->elements);
    seen->elements += count;
    see_payloads(seen, m->body, count);
}

/* Takes what has come of a replay; true when it has ended. */
static inline bool see(stage_t *stage, stage_peer_t reader, seen_t *seen) {
    const stage_message_t *m;
    while ((m = stage_peer_take(stage, reader))) {
        if (m->head.id == MSG_NONE || m->head.id == MSG_PING) continue;
        see_event(seen, m);
        if (m->head.id != MSG_END) continue;
        const msg_end_t *end = m->message;
        assert_int_equal(end->elements, seen->elements);
        seen->reason = end->reason;
        seen->digest = end->digest;
        return true;
    }
    return false;
}

static inline void world_open(stage_t *stage, stage_peer_t reader, const char *pipeline) {
    msg_replay_open_t open = {.has_pipeline = true, .pipeline = pipeline, .credit = INT64_C(1) << 40};
    stage_peer_request(stage, reader, MSG_REPLAY_OPEN, &open, (bytes_t){0}, 1);
    stage_run(stage);
}

/* Replays a pipeline's recording from its beginning to its end. */
static inline seen_t *world_replay(stage_t *stage, const char *pipeline, const char *connection) {
    stage_peer_t reader = {"test_stream_server", connection};
    seen_t *seen = stage_keep(stage, NULL, sizeof *seen);
    world_open(stage, reader, pipeline);
    for (int i = 0; i < 1000; i++) {
        if (see(stage, reader, seen)) return seen;
        stage_advance(stage, 10000);
    }
    fail_msg("the replay of %s does not end", pipeline);
    return NULL;
}

/* ---- a push source: sends batches of ten, as an attentive client does ---- */

enum { BATCH = 10, WINDOW = 3 };

typedef struct producer {
    stage_peer_t peer;
    const char *pipeline, *tag;
    int64_t source, next, acked; /* batches */
    int64_t heard;               /* when, on the stage's clock */
    char job[256];               /* once it knows: another job of the pipeline is none of its business */
    bool asking, attached, stopped;
} producer_t;

static inline producer_t producer_of(const char *pipeline, const char *tag, const char *connection) {
    return (producer_t){.peer = {"recorder", connection}, .pipeline = pipeline, .tag = tag};
}

/* Batch `seq`: its elements say their numbers. */
static inline bytes_t batch_body(stage_t *stage, int64_t seq) {
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, BATCH);
    for (int64_t i = (seq - 1) * BATCH; i < seq * BATCH; i++) {
        char text[32];
        size_t size = (size_t)snprintf(text, sizeof text, "%lld ", (long long)i);
        msgpack_pack_array(&packer, 2);
        msgpack_pack_int64(&packer, 1000 * i);
        msgpack_pack_bin_with_body(&packer, text, size);
    }
    bytes_t body = {stage_keep(stage, out.data, out.size), out.size};
    msgpack_sbuffer_destroy(&out);
    return body;
}

static inline void producer_hear(stage_t *stage, producer_t *p, const stage_message_t *m) {
    p->heard = stage_now(stage);
    if (m->head.id == MSG_SOURCE_ACK) {
        const msg_source_ack_t *ack = m->message;
        assert_true(ack->seq >= p->acked || ack->source != p->source);
        if (ack->source == p->source) p->acked = ack->seq;
    } else if (m->head.id == MSG_SOURCE_STOP) {
        p->stopped = true;
    } else if (m->head.id == MSG_PING) {
        stage_peer_send(stage, p->peer, MSG_PONG, &(msg_pong_t){0}, (bytes_t){0});
    } else if (m->head.id == MSG_SOURCE_NACK) {
        p->attached = p->asking = false;
    } else if (m->refused) {
        refusal_t no;
        assert_int_equal(refusal_decode(m->raw, &no), 0);
        p->attached = p->asking = false;
        p->stopped = !no.retry; /* its job has ended while nobody could tell it */
    } else {
        const msg_source_attached_t *attached = stage_decode(stage, MSG_SOURCE_ATTACHED, m->raw);
        if (attached->next_seq <= p->acked) fail_msg("batch %lld was acknowledged and is lost", (long long)p->acked);
        p->source = attached->source;
        snprintf(p->job, sizeof p->job, "%s", attached->job);
        p->next = attached->next_seq;
        p->acked = p->next - 1;
        p->attached = true;
        p->asking = false;
    }
}

/* Takes what has come, and sends what may be sent. Silence for two seconds means that it was forgotten. */
static inline void producer_step(stage_t *stage, producer_t *p) {
    const stage_message_t *m;
    while ((m = stage_peer_take(stage, p->peer))) producer_hear(stage, p, m);
    if (p->stopped) return;
    bool silent = stage_now(stage) - p->heard > 2000000;
    if ((!p->attached && !p->asking) || silent) {
        msg_source_attach_t attach = {.has_pipeline = !p->job[0], .pipeline = p->pipeline, .has_job = p->job[0] != '\0', .job = p->job};
        attach.tag = p->tag;
        attach.has_producer = true;
        attach.producer = p->peer.id;
        stage_peer_request(stage, p->peer, MSG_SOURCE_ATTACH, &attach, (bytes_t){0}, 1);
        p->heard = stage_now(stage);
        p->attached = false;
        p->asking = true;
    }
    for (; p->attached && p->next - p->acked <= WINDOW; p->next++) {
        msg_source_batch_t batch = {.has_source = true, .source = p->source, .tag = p->tag, .seq = p->next};
        stage_peer_send(stage, p->peer, MSG_SOURCE_BATCH, &batch, batch_body(stage, p->next));
    }
}

#endif
