/* push: the gateway attaches once for each (pipeline, tag, producer) and feeds what clients push. A push is answered when its batch is
 * acknowledged, so nothing that was accepted is lost; where the recorder does not know the attachment any more, it attaches again and
 * sends what is not acknowledged once more, under the same numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "gateway_state.h"

struct pushed {
    ticket_t ticket;
    int64_t seq; /* 0: the next */
    uint32_t count;
    bool done;   /* the source ends with it */
    bool sent;
    frame_t body;
    struct pushed *next;
};

struct feed {
    uint64_t serial;
    char pipeline[256], tag[256], producer[256];
    int64_t source;   /* 0: not attached */
    int64_t next_seq;
    bool attaching;
    pushed_t *waiting; /* the oldest first */
    struct feed *next;
};

static void pushed_free(pushed_t *pushed) {
    frame_fini(&pushed->body);
    free(pushed);
}

static void feed_remove(gateway_t *g, feed_t *feed) {
    feed_t **at = &g->feeds;
    while (*at != feed) at = &(*at)->next;
    *at = feed->next;
    while (feed->waiting) {
        pushed_t *next = feed->waiting->next;
        pushed_free(feed->waiting);
        feed->waiting = next;
    }
    free(feed);
}

void gateway_push_fini(gateway_t *g) {
    while (g->ending) {
        pushed_t *next = g->ending->next;
        pushed_free(g->ending);
        g->ending = next;
    }
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

static int on_done_told(void *state, const answer_t *answer, uint64_t ticket, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    pushed_t **at = &g->ending;
    while (*at && (*at)->ticket != ticket) at = &(*at)->next;
    pushed_t *pushed = *at;
    if (!pushed) return 0;
    *at = pushed->next;
    if (answer->refusal) actor_refuse_as(g->me, ticket, answer->refusal);
    else actor_answer(g->me, ticket, &(msg_pushed_t){.accepted = pushed->count, .has_seq = true, .seq = pushed->seq});
    pushed_free(pushed);
    return 0;
}

/* The oldest push is over: `accepted` of its elements are recorded. */
static void finish(gateway_t *g, feed_t *feed, int64_t accepted, const char *stopped) {
    pushed_t *pushed = feed->waiting;
    feed->waiting = pushed->next;
    if (pushed->done && !stopped) {
        pushed->next = g->ending;
        g->ending = pushed;
        msg_source_done_t done = {.has_source = true, .source = feed->source, .tag = feed->tag};
        actor_door_ask(g->me, GATEWAY_INGEST, MSG_SOURCE_DONE, &done, NULL, on_done_told, pushed->ticket);
        return;
    }
    actor_answer(g->me, pushed->ticket, &(msg_pushed_t){.accepted = accepted, .has_seq = pushed->seq > 0, .seq = pushed->seq,
                                                        .has_stopped = stopped != NULL, .stopped = stopped});
    pushed_free(pushed);
}

static void send_waiting(gateway_t *g, feed_t *feed) {
    for (pushed_t *pushed = feed->waiting; pushed; pushed = pushed->next) {
        if (pushed->sent) continue;
        if (!pushed->seq) pushed->seq = feed->next_seq;
        if (pushed->seq >= feed->next_seq) feed->next_seq = pushed->seq + 1;
        pushed->sent = true;
        frame_t body;
        frame_init(&body);
        frame_share(&body, &pushed->body);
        msg_source_batch_t batch = {.has_source = true, .source = feed->source, .tag = feed->tag, .seq = pushed->seq};
        actor_door_tell(g->me, GATEWAY_INGEST, MSG_SOURCE_BATCH, &batch, &body);
    }
}

static int on_attached(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    feed_t *feed = feed_of_serial(g, serial);
    if (!feed) return 0;
    feed->attaching = false;
    if (answer->refusal) {
        for (pushed_t *pushed = feed->waiting; pushed; pushed = pushed->next) actor_refuse_as(g->me, pushed->ticket, answer->refusal);
        feed_remove(g, feed);
        return 0;
    }
    const msg_source_attached_t *m = answer->message;
    feed->source = m->source;
    feed->next_seq = m->next_seq;
    while (feed->waiting && feed->waiting->seq && feed->waiting->sent && feed->waiting->seq < m->next_seq) finish(g, feed, feed->waiting->count, NULL);
    for (pushed_t *pushed = feed->waiting; pushed; pushed = pushed->next) pushed->sent = false;
    send_waiting(g, feed);
    return 0;
}

static void attach(gateway_t *g, feed_t *feed) {
    if (feed->attaching) return;
    feed->attaching = true;
    feed->source = 0;
    msg_source_attach_t attach = {.has_pipeline = true, .pipeline = feed->pipeline, .tag = feed->tag, .has_producer = true,
                                  .producer = feed->producer};
    actor_door_ask(g->me, GATEWAY_INGEST, MSG_SOURCE_ATTACH, &attach, NULL, on_attached, feed->serial);
}

int gateway_on_push(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_push_t *m = in->message;
    refusal_t no;
    uint32_t count = 0;
    if (!in->body) {
        actor_refuse(g->me, in->ticket, ERROR_BAD_REQUEST, "body", "`push`: the second frame, with the elements, is missing");
        return 0;
    }
    if (m->pipeline_definition) {
        actor_refuse(g->me, in->ticket, ERROR_BAD_REQUEST, "pipeline", "`push`: `pipeline` must be a name: run the definition first");
        return 0;
    }
    if (wire_body_check(frame_bytes(in->body), &count, &no) < 0) {
        actor_refuse_as(g->me, in->ticket, &no);
        return 0;
    }
    feed_t *feed = feed_for(g, m->pipeline, m->tag, m->has_producer ? m->producer : "gateway");
    pushed_t *pushed = calloc(1, sizeof *pushed);
    must(pushed);
    *pushed = (pushed_t){.ticket = in->ticket, .seq = m->has_seq ? m->seq : 0, .count = count, .done = m->has_done && m->done};
    frame_init(&pushed->body);
    frame_share(&pushed->body, in->body);
    pushed_t **at = &feed->waiting;
    while (*at) at = &(*at)->next;
    *at = pushed;
    if (feed->source) send_waiting(g, feed);
    else attach(g, feed);
    return 0;
}

int gateway_on_ack(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_source_ack_t *m = in->message;
    feed_t *feed = feed_of_source(g, m->source);
    while (feed && feed->waiting && feed->waiting->sent && feed->waiting->seq <= m->seq) finish(g, feed, feed->waiting->count, NULL);
    return 0;
}

int gateway_on_nack(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_source_nack_t *m = in->message;
    bool unknown = m->error.has_retry && m->error.retry;
    if (unknown) {
        for (feed_t *feed = g->feeds; feed; feed = feed->next)
            if (strcmp(feed->tag, m->tag) == 0 && (!m->has_source || feed->source == m->source)) attach(g, feed);
        return 0;
    }
    feed_t *feed = feed_of_source(g, m->source);
    for (pushed_t **at = feed ? &feed->waiting : NULL; at && *at; at = &(*at)->next) {
        pushed_t *pushed = *at;
        if (pushed->seq != m->seq) continue;
        refusal_t no = {.code = error_find(m->error.code), .expected = m->error.has_expected ? m->error.expected : 0};
        snprintf(no.message, sizeof no.message, "%s", m->error.message);
        if (m->error.has_field) snprintf(no.field, sizeof no.field, "%s", m->error.field);
        if (no.expected) feed->next_seq = no.expected;
        actor_refuse_as(g->me, pushed->ticket, &no);
        *at = pushed->next;
        pushed_free(pushed);
        break;
    }
    return 0;
}

int gateway_on_source_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const msg_source_stop_t *m = in->message;
    feed_t *feed = m->has_source ? feed_of_source(g, m->source) : NULL;
    if (!feed) return 0;
    while (feed->waiting) {
        int64_t accepted = 0;
        if (m->has_seq && feed->waiting->seq && feed->waiting->seq < m->seq) accepted = feed->waiting->count;
        else if (m->has_seq && feed->waiting->seq == m->seq) accepted = m->has_accepted ? m->accepted : 0;
        finish(g, feed, accepted, m->reason);
    }
    feed_remove(g, feed);
    return 0;
}

/* What the recorder had not acknowledged when it failed is asked about: attaching tells how far it came. */
int gateway_on_recovered(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    gateway_t *g = state;
    for (feed_t *feed = g->feeds; feed; feed = feed->next)
        if (feed->waiting) attach(g, feed);
    return 0;
}
