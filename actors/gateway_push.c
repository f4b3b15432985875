/* push: the gateway attaches once for each (pipeline, tag, producer) and feeds what clients push. A push is answered when its batch is
 * acknowledged, so nothing that was accepted is lost; where the recorder does not know the attachment any more, it attaches again and
 * sends what is not acknowledged once more, under the same numbers.
 *
 * The gateway numbers the pushes that bring no number, and sends many of them ahead. One that brings its own goes alone: whether it fits
 * must be known before the next number can be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "gateway_state.h"

struct pushed {
    ticket_t ticket;
    uint64_t request; /* names it, also to a new state */
    bool again;       /* an earlier state was given it: it may be recorded already */
    int64_t seq;      /* 0: none yet */
    bool given;       /* by the client */
    uint32_t count;
    bool done;  /* the source ends with it */
    bool sent;  /* its batch is */
    bool acked; /* its batch is safe: the source's end is being told */
    frame_t body;
    struct pushed *next;
};

struct feed {
    uint64_t serial;
    char pipeline[256], tag[256], producer[256];
    int64_t source; /* 0: not attached */
    int64_t next_seq;
    bool attaching;
    pushed_t *waiting; /* the oldest first */
    struct feed *next;
};

/* ---- the tables ---- */

static void drop_first(feed_t *feed) {
    pushed_t *pushed = feed->waiting;
    feed->waiting = pushed->next;
    frame_fini(&pushed->body);
    free(pushed);
}

static void feed_remove(gateway_t *g, feed_t *feed) {
    feed_t **at = &g->feeds;
    while (*at != feed) at = &(*at)->next;
    *at = feed->next;
    while (feed->waiting) drop_first(feed);
    free(feed);
}

void gateway_push_fini(gateway_t *g) {
    while (g->feeds) feed_remove(g, g->feeds);
}

static feed_t *feed_of_serial(gateway_t *g, uint64_t serial) {
    feed_t *feed = g->feeds;
    while (feed && feed->serial != serial) feed = feed->next;
    return feed;
}

static feed_t *feed_of_source(gateway_t *g, int64_t source) {
    feed_t *feed = g->feeds;
    while (feed && feed->source != source) feed = feed->next;
    return source ? feed : NULL;
}

static feed_t *feed_for(gateway_t *g, const char *pipeline, const char *tag, const char *producer) {
    for (feed_t *feed = g->feeds; feed; feed = feed->next)
        if (strcmp(feed->pipeline, pipeline) == 0 && strcmp(feed->tag, tag) == 0 && strcmp(feed->producer, producer) == 0) return feed;
    feed_t *feed = calloc(1, sizeof *feed);
    must(feed);
    feed->serial = ++g->last_feed;
    snprintf(feed->pipeline, sizeof feed->pipeline, "%s", pipeline);
    snprintf(feed->tag, sizeof feed->tag, "%s", tag);
    snprintf(feed->producer, sizeof feed->producer, "%s", producer);
    feed->next = g->feeds;
    g->feeds = feed;
    return feed;
}

/* ---- the answers: always to the oldest ---- */

static void answer_first(gateway_t *g, feed_t *feed, int64_t accepted, const char *stopped) {
    const pushed_t *pushed = feed->waiting;
    msg_pushed_t answer = {
        .accepted = accepted, .has_seq = pushed->seq > 0, .seq = pushed->seq, .has_stopped = stopped != NULL, .stopped = stopped};
    actor_answer(g->me, pushed->ticket, &answer);
    drop_first(feed);
}

static void refuse_first(gateway_t *g, feed_t *feed, const refusal_t *no) {
    actor_refuse_as(g->me, feed->waiting->ticket, no);
    drop_first(feed);
}

/* ---- sending ---- */

static int on_done_told(void *state, const answer_t *answer, uint64_t serial, fault_t *why);

/* The batch of the oldest push is safe. */
static void first_is_safe(gateway_t *g, feed_t *feed) {
    pushed_t *pushed = feed->waiting;
    if (pushed->seq >= feed->next_seq) feed->next_seq = pushed->seq + 1;
    if (!pushed->done) {
        answer_first(g, feed, pushed->count, NULL);
        return;
    }
    pushed->acked = true;
    msg_source_done_t done = {.has_source = true, .source = feed->source, .tag = feed->tag};
    actor_door_ask(g->me, GATEWAY_INGEST, MSG_SOURCE_DONE, &done, NULL, on_done_told, feed->serial);
}

static void send_batch(gateway_t *g, const feed_t *feed, const pushed_t *pushed) {
    /* The cursor comes back to whoever attaches next: a new state finds there what the one before it has sent. */
    msgpack_sbuffer cursor;
    msgpack_packer packer;
    msgpack_sbuffer_init(&cursor);
    msgpack_packer_init(&packer, &cursor, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 2);
    msgpack_pack_str_with_body(&packer, "boot", 4);
    msgpack_pack_int64(&packer, actor_config(g->me)->started);
    msgpack_pack_str_with_body(&packer, "request", 7);
    msgpack_pack_int64(&packer, (int64_t)pushed->request);
    frame_t body;
    frame_init(&body);
    frame_share(&body, &pushed->body);
    msg_source_batch_t batch = {.has_source = true,
                                .source = feed->source,
                                .tag = feed->tag,
                                .seq = pushed->seq,
                                .has_cursor = true,
                                .cursor = {(const uint8_t *)cursor.data, cursor.size}};
    actor_door_tell(g->me, GATEWAY_INGEST, MSG_SOURCE_BATCH, &batch, &body);
    msgpack_sbuffer_destroy(&cursor);
}

/* Sends what may be sent: nothing passes a push with a number of its own, or one that ends the source. */
static void send_waiting(gateway_t *g, feed_t *feed) {
    if (!feed->source) return;
    for (pushed_t *pushed = feed->waiting; pushed; pushed = pushed->next) {
        bool first = pushed == feed->waiting;
        if (pushed->given && !first) return;
        if (pushed->count == 0 && pushed->done) {
            if (first && !pushed->acked) first_is_safe(g, feed); /* there is no batch */
            return;
        }
        if (!pushed->sent && !pushed->acked) {
            pushed->sent = true;
            if (!pushed->seq) pushed->seq = feed->next_seq++;
            send_batch(g, feed, pushed);
        }
        if (pushed->given || pushed->done) return;
    }
}

/* ---- attaching ---- */

static void attach(gateway_t *g, feed_t *feed);

static int on_done_told(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    feed_t *feed = feed_of_serial(g, serial);
    if (!feed || !feed->waiting || !feed->waiting->acked) return 0;
    if (answer->refusal && answer->refusal->retry) {
        attach(g, feed);
        return 0;
    }
    if (answer->refusal)
        refuse_first(g, feed, answer->refusal);
    else
        answer_first(g, feed, feed->waiting->count, NULL);
    /* The attachment went with the source; those that still wait are told by the next. */
    if (feed->waiting)
        attach(g, feed);
    else
        feed_remove(g, feed);
    return 0;
}

/* The request up to which an earlier state of this process got its pushes recorded; 0: none. */
static uint64_t recorded_request(const gateway_t *g, const msg_source_attached_t *m) {
    bytes_t value;
    int64_t boot, request;
    if (!m->has_cursor || !wire_map_get(m->cursor, "boot", &value) || !wire_int(value, &boot)) return 0;
    if (boot != actor_config(g->me)->started || !wire_map_get(m->cursor, "request", &value) || !wire_int(value, &request)) return 0;
    return (uint64_t)request;
}

/* All that is not answered is sent again: what is recorded already is acknowledged once it is as safe as it must be. */
static void resume(gateway_t *g, feed_t *feed, const msg_source_attached_t *m) {
    uint64_t recorded = recorded_request(g, m);
    feed->source = m->source;
    feed->next_seq = m->next_seq;
    for (pushed_t *pushed = feed->waiting; pushed; pushed = pushed->next) {
        pushed->sent = false;
        if (pushed->given) continue;
        if (pushed->seq >= m->next_seq) pushed->seq = 0;
        if (pushed->again && pushed->request <= recorded && !pushed->seq && m->next_seq > 1) pushed->seq = m->next_seq - 1;
    }
    if (feed->waiting && feed->waiting->acked)
        first_is_safe(g, feed);
    else
        send_waiting(g, feed);
}

static int on_attached(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    feed_t *feed = feed_of_serial(g, serial);
    if (!feed) return 0;
    feed->attaching = false;
    if (answer->message) {
        resume(g, feed, answer->message);
        return 0;
    }
    /* Its source takes no more: that is what it was to bring about. */
    const pushed_t *first = feed->waiting;
    bool has_ended = first && first->again && first->done && first->count == 0 && answer->refusal->code == ERROR_INVALID_STATE;
    if (first && (first->acked || has_ended)) answer_first(g, feed, first->count, NULL);
    while (feed->waiting) refuse_first(g, feed, answer->refusal);
    feed_remove(g, feed);
    return 0;
}

static void attach(gateway_t *g, feed_t *feed) {
    feed->source = 0;
    if (feed->attaching) return;
    feed->attaching = true;
    msg_source_attach_t ask = {
        .has_pipeline = true, .pipeline = feed->pipeline, .tag = feed->tag, .has_producer = true, .producer = feed->producer};
    actor_door_ask(g->me, GATEWAY_INGEST, MSG_SOURCE_ATTACH, &ask, NULL, on_attached, feed->serial);
}

/* ---- messages ---- */

/* Checks the elements; a push that only ends its source may come without. */
static int read_body(const envelope_t *in, frame_t *ret_body, uint32_t *ret_count, refusal_t *no) {
    static const uint8_t nothing[] = {0x90};
    const msg_push_t *m = in->message;
    if (!in->body && !(m->has_done && m->done))
        return refuse(no, ERROR_BAD_REQUEST, "body", "`push`: the second frame, with the elements, is missing");
    if (in->body && wire_body_check(frame_bytes(in->body), ret_count, no) < 0) return -1;
    if (in->body) {
        frame_init(ret_body);
        frame_share(ret_body, in->body);
    } else {
        frame_copy_of(ret_body, (bytes_t){nothing, sizeof nothing});
    }
    return 0;
}

int gateway_on_push(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_push_t *m = in->message;
    refusal_t no;
    frame_t body;
    uint32_t count = 0;
    if (read_body(in, &body, &count, &no) < 0) {
        actor_refuse_as(g->me, in->ticket, &no);
        return 0;
    }
    if (m->pipeline_definition) {
        frame_fini(&body);
        gateway_define(g, in);
        return 0;
    }
    feed_t *feed = feed_for(g, m->pipeline, m->tag, m->has_producer ? m->producer : "gateway");
    pushed_t *pushed = calloc(1, sizeof *pushed);
    must(pushed);
    *pushed = (pushed_t){.ticket = in->ticket,
                         .request = in->request,
                         .again = in->request != in->ticket,
                         .given = m->has_seq,
                         .seq = m->has_seq ? m->seq : 0,
                         .count = count,
                         .done = m->has_done && m->done,
                         .body = body};
    pushed_t **at = &feed->waiting;
    while (*at) at = &(*at)->next;
    *at = pushed;
    if (feed->source)
        send_waiting(g, feed);
    else
        attach(g, feed);
    return 0;
}

int gateway_on_ack(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_source_ack_t *m = in->message;
    feed_t *feed = feed_of_source(g, m->source);
    while (feed && feed->waiting && feed->waiting->sent && !feed->waiting->acked && feed->waiting->seq && feed->waiting->seq <= m->seq)
        first_is_safe(g, feed);
    if (feed) send_waiting(g, feed);
    return 0;
}

static refusal_t refusal_of(const msg_source_nack_t *m) {
    refusal_t no = {.code = error_find(m->error.code), .expected = m->error.has_expected ? m->error.expected : 0};
    snprintf(no.message, sizeof no.message, "%s", m->error.message);
    if (m->error.has_field) snprintf(no.field, sizeof no.field, "%s", m->error.field);
    return no;
}

/* Nobody but the gateway numbers its own: one that does not fit means that it has lost count, and must ask. */
int gateway_on_nack(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_source_nack_t *m = in->message;
    feed_t *feed = feed_of_source(g, m->has_source ? m->source : 0);
    if (!feed) return 0;
    pushed_t **at = &feed->waiting;
    while (*at && (!(*at)->sent || (*at)->acked || (*at)->seq != m->seq)) at = &(*at)->next;
    pushed_t *pushed = *at;
    refusal_t no = refusal_of(m);
    if ((m->error.has_retry && m->error.retry) || (pushed && no.code == ERROR_CONFLICT && !pushed->given)) {
        attach(g, feed);
        return 0;
    }
    if (!pushed) return 0;
    if (no.code != ERROR_CONFLICT && pushed->seq >= feed->next_seq) feed->next_seq = pushed->seq + 1; /* it used up its number */
    actor_refuse_as(g->me, pushed->ticket, &no);
    *at = pushed->next;
    frame_fini(&pushed->body);
    free(pushed);
    send_waiting(g, feed);
    return 0;
}

int gateway_on_source_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_source_stop_t *m = in->message;
    feed_t *feed = m->has_source ? feed_of_source(g, m->source) : NULL;
    if (!feed) return 0;
    while (feed->waiting) {
        const pushed_t *first = feed->waiting;
        int64_t accepted = 0;
        if (first->acked || (first->sent && first->seq && m->has_seq && first->seq < m->seq))
            accepted = first->count;
        else if (first->sent && m->has_seq && first->seq == m->seq)
            accepted = m->has_accepted ? m->accepted : 0;
        answer_first(g, feed, accepted, m->reason);
    }
    feed_remove(g, feed);
    return 0;
}

/* What the recorder had not acknowledged when it failed may be lost, and it knows no attachment any more. */
int gateway_on_recovered(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    gateway_t *g = state;
    for (feed_t *feed = g->feeds; feed; feed = feed->next) {
        feed->source = 0;
        if (feed->waiting) attach(g, feed);
    }
    return 0;
}
