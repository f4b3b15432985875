/* A recorder that does as a test says, for the tests of sources. What it has taken stands for what is on the disk: it survives its own
 * failures. There is one, as the stage creates it without knowing the test. */
#ifndef REPRISE_TESTS_INGEST_DOUBLE_H
#define REPRISE_TESTS_INGEST_DOUBLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messages/wire.h"
#include "tests/stage/stage.h"

typedef struct ingest_element {
    int64_t time;
    char *text; /* terminated */
    size_t size;
    size_t attributes; /* bytes */
    int64_t watermark; /* that it came after; INT64_MIN: none */
} ingest_element_t;

typedef struct ingest {
    /* what it is told */
    bool hold_attach, hold_acks, deaf; /* deaf: batches vanish */
    int64_t credit;
    int refusals; /* so many attaches are refused */
    refusal_t refusal;
    int done_refusals; /* and so many `source.done` */
    refusal_t done_refusal;
    void (*then)(void); /* what ingest_do does */
    /* what it has seen */
    actor_t *me;
    peer_t peer;
    ticket_t waiting;
    int64_t source, next_seq, batches, watermark;
    bool has_watermark;
    size_t largest; /* body */
    int vanished;   /* batches */
    int attaches, dones, pongs;
    char job[300], tag[300], producer[300], failure[600], failed_job[300];
    uint8_t cursor[4096];
    size_t cursor_size;
    char gap[1200]; /* the last */
    int64_t gap_lost_us;
    size_t gap_at; /* so many elements came before it */
    int gaps;
    char waits[1200]; /* what the source waits for, as it said last */
    int waitings;
    ingest_element_t *elements;
    size_t count, room;
} ingest_t;

static ingest_t ingest;

static inline void ingest_reset(void) {
    for (size_t i = 0; i < ingest.count; i++) free(ingest.elements[i].text);
    free(ingest.elements);
    ingest = (ingest_t){
        .credit = 1024 * 1024, .next_seq = 1, .done_refusal = {.code = ERROR_NOT_FOUND, .message = "attach again", .retry = true}};
}

static inline void *ingest_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    ingest.me = me;
    ingest.peer = (peer_t){0};
    ingest.waiting = 0;
    return &ingest;
}

static inline void ingest_destroy(void **state) {
    *state = NULL;
}

static inline void ingest_attach_answer(void) {
    static int64_t last_source = 1000;
    ingest.source = ++last_source;
    msg_source_attached_t attached = {.source = ingest.source,
                                      .job = ingest.job,
                                      .next_seq = ingest.next_seq,
                                      .has_cursor = ingest.cursor_size > 0,
                                      .cursor = {ingest.cursor, ingest.cursor_size},
                                      .credit = ingest.credit};
    actor_answer(ingest.me, ingest.waiting, &attached);
    ingest.waiting = 0;
}

static inline int ingest_on_attach(void *state, const envelope_t *in, fault_t *why) {
    const msg_source_attach_t *attach = in->message;
    (void)state, (void)why;
    ingest.attaches++;
    snprintf(ingest.job, sizeof ingest.job, "%s", attach->job);
    snprintf(ingest.tag, sizeof ingest.tag, "%s", attach->tag);
    snprintf(ingest.producer, sizeof ingest.producer, "%s", attach->producer);
    ingest.peer = *in->peer;
    ingest.waiting = in->ticket;
    if (ingest.refusals > 0) {
        ingest.refusals--;
        actor_refuse_as(ingest.me, in->ticket, &ingest.refusal);
    } else if (!ingest.hold_attach) {
        ingest_attach_answer();
    }
    return 0;
}

static inline void ingest_nack(int64_t source, int64_t seq, error_code_t code, bool retry, const char *text) {
    msg_source_nack_t nack = {.has_source = true,
                              .source = source,
                              .tag = ingest.tag,
                              .seq = seq,
                              .error = {.code = error_name(code), .message = text, .has_retry = true, .retry = retry}};
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_SOURCE_NACK, &nack, NULL), SENT);
}

static inline void ingest_ack(void) {
    msg_source_ack_t ack = {.source = ingest.source, .tag = ingest.tag, .seq = ingest.next_seq - 1};
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_SOURCE_ACK, &ack, NULL), SENT);
}

static inline void ingest_keep(const wire_element_t *element) {
    if (ingest.count == ingest.room) {
        ingest.room = ingest.room > 0 ? ingest.room * 2 : 1024;
        ingest.elements = realloc(ingest.elements, ingest.room * sizeof *ingest.elements);
        assert_non_null(ingest.elements);
    }
    char *text = malloc(element->payload.size + 1);
    assert_non_null(text);
    memcpy(text, element->payload.data, element->payload.size);
    text[element->payload.size] = '\0';
    ingest.elements[ingest.count++] = (ingest_element_t){element->event_time, text, element->payload.size, element->attributes.size,
                                                         ingest.has_watermark ? ingest.watermark : INT64_MIN};
}

static inline int ingest_on_batch(void *state, const envelope_t *in, fault_t *why) {
    const msg_source_batch_t *batch = in->message;
    uint32_t count;
    refusal_t no;
    (void)state, (void)why;
    ingest.peer = *in->peer;
    if (ingest.deaf) {
        ingest.vanished++;
        return 0;
    }
    if (batch->source != ingest.source) {
        ingest_nack(batch->source, batch->seq, ERROR_NOT_FOUND, true, "attach again");
        return 0;
    }
    assert_int_equal(batch->seq, ingest.next_seq);
    assert_non_null(in->body);
    bytes_t body = frame_bytes(in->body);
    if (wire_body_check(body, &count, &no) < 0) fail_msg("%s", no.message);
    assert_true(count > 0 || batch->has_gap || batch->has_watermark || batch->has_cursor);
    if (batch->has_gap) {
        snprintf(ingest.gap, sizeof ingest.gap, "%s", batch->gap);
        ingest.gap_lost_us = batch->has_lost_us ? batch->lost_us : -1;
        ingest.gap_at = ingest.count;
        ingest.gaps++;
    }
    bytes_t rest = wire_body_elements(body, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_element_t element = wire_element_at(rest);
        ingest_keep(&element);
        rest = (bytes_t){rest.data + element.size, rest.size - element.size};
    }
    ingest.next_seq++;
    ingest.batches++;
    if (body.size > ingest.largest) ingest.largest = body.size;
    if (batch->has_watermark) ingest.has_watermark = true, ingest.watermark = batch->watermark;
    assert_true(batch->cursor.size <= sizeof ingest.cursor);
    if (batch->cursor.size > 0) memcpy(ingest.cursor, batch->cursor.data, batch->cursor.size);
    ingest.cursor_size = batch->cursor.size;
    if (!ingest.hold_acks) ingest_ack();
    return 0;
}

static inline int ingest_on_waiting(void *state, const envelope_t *in, fault_t *why) {
    const msg_source_waiting_t *waiting = in->message;
    (void)state, (void)why;
    if (ingest.deaf || waiting->source != ingest.source) return 0;
    snprintf(ingest.waits, sizeof ingest.waits, "%s", waiting->has_message ? waiting->message : "");
    ingest.waitings++;
    return 0;
}

static inline int ingest_on_done(void *state, const envelope_t *in, fault_t *why) {
    const msg_source_done_t *done = in->message;
    (void)state, (void)why;
    if (done->source != ingest.source || ingest.done_refusals > 0) {
        ingest.done_refusals--;
        actor_refuse_as(ingest.me, in->ticket, &ingest.done_refusal);
        return 0;
    }
    ingest.dones++;
    actor_answer(ingest.me, in->ticket, NULL);
    return 0;
}

static inline int ingest_on_fail(void *state, const envelope_t *in, fault_t *why) {
    const msg_source_fail_t *failure = in->message;
    (void)state, (void)why;
    assert_string_equal(ingest.failure, "");
    snprintf(ingest.failure, sizeof ingest.failure, "%s", failure->message);
    snprintf(ingest.failed_job, sizeof ingest.failed_job, "%s", failure->job ? failure->job : "");
    actor_answer(ingest.me, in->ticket, NULL);
    return 0;
}

static inline int ingest_on_pong(void *state, const envelope_t *in, fault_t *why) {
    (void)state, (void)in, (void)why;
    ingest.pongs++;
    return 0;
}

static inline int ingest_on_poke(void *state, const envelope_t *in, fault_t *why) {
    (void)state, (void)in, (void)why;
    ingest.then();
    return 0;
}

static const actor_class_t ingest_class = {
    .name = "recorder",
    .doc = "A recorder that does as a test says.",
    .create = ingest_create,
    .destroy = ingest_destroy,
    .takes = {[MSG_SOURCE_ATTACH] = ingest_on_attach,
              [MSG_SOURCE_BATCH] = ingest_on_batch,
              [MSG_SOURCE_WAITING] = ingest_on_waiting,
              [MSG_SOURCE_DONE] = ingest_on_done,
              [MSG_SOURCE_FAIL] = ingest_on_fail,
              [MSG_PONG] = ingest_on_pong,
              [MSG_RECORDER_RECOVERED] = ingest_on_poke},
    .sends = {MSG_SOURCE_ACK, MSG_SOURCE_NACK, MSG_SOURCE_STOP, MSG_PING},
    .doors = {{DOOR_ROUTER, ENDPOINT_INGEST, SCOPE_INGEST}},
};

/* Does it as the recorder, and runs. */
static inline void ingest_do(stage_t *stage, void (*then)(void)) {
    static const msg_recorder_recovered_t poke;
    ingest.then = then;
    stage_tell(stage, "test", "recorder", MSG_RECORDER_RECOVERED, &poke);
    stage_run(stage);
}

static inline void ingest_ping(void) {
    static const msg_ping_t ping;
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_PING, &ping, NULL), SENT);
}

static inline void ingest_stop(void) {
    msg_source_stop_t stop = {
        .has_source = true, .source = ingest.source, .has_job = true, .job = ingest.job, .tag = ingest.tag, .reason = "user"};
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_SOURCE_STOP, &stop, NULL), SENT);
}

/* A SOURCE_ARGS map; valid until the next call. `payload`: msgpack, size 0: none. */
static inline bytes_t ingest_args(bytes_t payload) {
    static msgpack_sbuffer out;
    msg_source_args_t args = {.job = "job-1", .tag = "Read", .has_payload = payload.size > 0, .payload = payload};
    msgpack_sbuffer_destroy(&out);
    msgpack_sbuffer_init(&out);
    message_encode(MSG_SOURCE_ARGS, &args, false, (bytes_t){0}, &out);
    return (bytes_t){(const uint8_t *)out.data, out.size};
}

static inline int ingest_setup(void **state) {
    ingest_reset();
    *state = stage_create(1, NULL);
    stage_add(*state, &ingest_class, "recorder", (bytes_t){0});
    stage_run(*state);
    return 0;
}

static inline int ingest_teardown(void **state) {
    stage_destroy((stage_t **)state);
    ingest_reset();
    return 0;
}

#define WITH_INGEST(test) cmocka_unit_test_setup_teardown(test, ingest_setup, ingest_teardown)

#endif
