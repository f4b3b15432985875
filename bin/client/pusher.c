/* Feeds one source of a job.
 * Each batch is kept until the engine has recorded it. An engine that restarts, or that has let this producer go, knows from the producer's
 * name how far it had come: so after attaching again exactly the rest is sent. */
#include "pusher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "print.h"
#include "units.h"

enum { SILENCE_MS = 5000 /* two pings */, LOST_MS = 2000, BREATH_MS = 50 };

static void batch_free(batch_t *batch) {
    msgpack_sbuffer_destroy(&batch->body);
    free(batch);
}

/* ---- attaching ---- */

static status_t attach_ask(pusher_t *pusher, reply_t *reply) {
    bool again = pusher->job[0] != '\0';
    msg_source_attach_t ask = {.has_pipeline = !again, .pipeline = pusher->pipeline, .has_job = again, .job = pusher->job};
    ask.has_tag = ask.has_producer = true;
    ask.tag = pusher->tag;
    ask.producer = pusher->producer;
    /* The first is answered when the job has started; a later one that is not answered soon was lost in a restart. */
    return client_ask_on(pusher->client, &pusher->channel, MSG_SOURCE_ATTACH, &ask, again ? LOST_MS : pusher->client->timeout_ms, reply);
}

static void batch_transmit(pusher_t *pusher, batch_t *batch) {
    msg_source_batch_t head = {
        .has_source = true, .source = pusher->source, .has_tag = true, .tag = pusher->tag, .has_seq = true, .seq = batch->seq};
    head.has_watermark = batch->has_watermark;
    head.watermark = batch->watermark;
    bytes_t body = {(const uint8_t *)batch->body.data, batch->body.size};
    bool sent = channel_send(&pusher->channel, MSG_SOURCE_BATCH, &head, (bytes_t){0}, &body);
    batch->size = (int64_t)(pusher->channel.out.size + body.size);
    pusher->unacknowledged += batch->size;
    pusher->lost |= !sent;
}

/* Forgets the batches below `seq`: they are recorded. */
static void batches_recorded(pusher_t *pusher, int64_t below) {
    while (pusher->first && pusher->first->seq < below) {
        batch_t *batch = pusher->first;
        pusher->recorded += batch->count;
        pusher->unacknowledged -= batch->size;
        pusher->first = batch->next;
        batch_free(batch);
    }
    if (!pusher->first) {
        pusher->last = &pusher->first;
    }
}

static status_t attached(pusher_t *pusher, const msg_source_attached_t *answer) {
    pusher->source = answer->source;
    pusher->credit = answer->credit;
    pusher->lost = false;
    snprintf(pusher->job, sizeof pusher->job, "%s", answer->job);
    batches_recorded(pusher, answer->next_seq);
    pusher->unacknowledged = 0;
    if (!pusher->first && pusher->next_seq < answer->next_seq) {
        pusher->next_seq = answer->next_seq;
    }
    if (pusher->first && pusher->first->seq > answer->next_seq) {
        return client_fail(pusher->client, STATUS_FAILED,
                           "the engine has lost what it had acknowledged: it expects batch %lld of `%s`, not %lld",
                           (long long)answer->next_seq, pusher->tag, (long long)pusher->first->seq);
    }
    for (batch_t *batch = pusher->first; batch; batch = batch->next) {
        batch_transmit(pusher, batch);
    }
    return STATUS_OK;
}

/* The engine may be restarting: asks until it answers, or the time-out. But at first, a job that is not known is one that does not run. */
static status_t attach(pusher_t *pusher) {
    int64_t deadline = channel_clock() + pusher->client->timeout_ms;
    bool known = pusher->job[0] != '\0';
    reply_t reply = {0};
    status_t status;
    for (;;) {
        status = attach_ask(pusher, &reply);
        bool retry = pusher->client->no.retry && (known || client_refused(pusher->client, ERROR_UNAVAILABLE));
        bool again = status == STATUS_UNREACHABLE || (status == STATUS_FAILED && retry);
        if (!again || channel_clock() >= deadline) {
            break;
        }
        if (channel_receive(&pusher->channel, channel_clock() + BREATH_MS, &pusher->letter) == RECEIVED_INTERRUPT) {
            status = STATUS_INTERRUPTED;
            break;
        }
    }
    if (status == STATUS_OK) {
        status = attached(pusher, reply.message);
    }
    reply_fini(&reply);
    return status;
}

status_t pusher_open(pusher_t *pusher, client_t *client, const char *pipeline, const char *tag, const char *producer) {
    *pusher = (pusher_t){.client = client, .pipeline = pipeline, .tag = tag, .next_seq = 1};
    pusher->last = &pusher->first;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (producer) {
        snprintf(pusher->producer, sizeof pusher->producer, "%s", producer);
    } else {
        snprintf(pusher->producer, sizeof pusher->producer, "push-%d-%lld%09ld", (int)getpid(), (long long)now.tv_sec, now.tv_nsec);
    }
    status_t status = client_open_where(client, WHERE_INGEST, &pusher->channel);
    if (status != STATUS_OK) {
        return status;
    }
    letter_init(&pusher->letter);
    must(msgpack_zone_init(&pusher->zone, MSGPACK_ZONE_CHUNK_SIZE));
    pusher->held = true;
    return attach(pusher);
}

void pusher_close(pusher_t *pusher) {
    while (pusher->first) {
        batch_t *batch = pusher->first;
        pusher->first = batch->next;
        batch_free(batch);
    }
    if (pusher->held) {
        letter_fini(&pusher->letter);
        msgpack_zone_destroy(&pusher->zone);
    }
    channel_close(&pusher->channel);
    *pusher = (pusher_t){0};
}

/* ---- batches ---- */

bool pusher_has_room(const pusher_t *pusher) {
    return pusher->unacknowledged < pusher->credit;
}

void pusher_send(pusher_t *pusher, msgpack_sbuffer *body, int64_t count, bool has_watermark, int64_t watermark) {
    batch_t *batch = calloc(1, sizeof *batch);
    must(batch);
    batch->body = *body;
    msgpack_sbuffer_init(body);
    if (pusher->stopped[0]) {
        batch_free(batch);
        return;
    }
    batch->seq = pusher->next_seq++;
    batch->count = count;
    batch->has_watermark = has_watermark;
    batch->watermark = watermark;
    *pusher->last = batch;
    pusher->last = &batch->next;
    if (!pusher->lost) {
        batch_transmit(pusher, batch);
    }
}

/* ---- what the engine says ---- */

static void ack_take(pusher_t *pusher, const msg_source_ack_t *ack) {
    batches_recorded(pusher, ack->seq + 1);
}

static void nack_take(pusher_t *pusher, const msg_source_nack_t *nack) {
    if (nack->error.retry || nack->error.has_expected) {
        pusher->lost = true; /* it does not know us, or a batch did not get there: attaching tells where to go on */
        return;
    }
    for (batch_t **at = &pusher->first; *at; at = &(*at)->next) {
        batch_t *batch = *at;
        if (batch->seq != nack->seq) {
            continue;
        }
        *at = batch->next;
        if (pusher->last == &batch->next) {
            pusher->last = at;
        }
        pusher->refused += batch->count;
        pusher->unacknowledged -= batch->size;
        batch_free(batch);
        break;
    }
    char message[320];
    snprintf(message, sizeof message, "%s", nack->error.message);
    print_clean(message);
    fprintf(stderr, "reprise: batch %" PRId64 " is refused: %s\n", nack->seq, message);
}

static void stop_take(pusher_t *pusher, const msg_source_stop_t *stop) {
    if (stop->has_seq) {
        batches_recorded(pusher, stop->seq);
        if (pusher->first && pusher->first->seq == stop->seq) {
            pusher->recorded += stop->accepted < pusher->first->count ? stop->accepted : pusher->first->count;
        }
    }
    snprintf(pusher->stopped, sizeof pusher->stopped, "%s", stop->reason);
}

static status_t message_take(pusher_t *pusher) {
    union {
        msg_source_ack_t ack;
        msg_source_nack_t nack;
        msg_source_stop_t stop;
    } as;
    bytes_t value;
    const char *name;
    size_t size;
    if (!wire_map_get(pusher->letter.head, "op", &value) || !wire_text(value, &name, &size)) {
        return STATUS_OK;
    }
    message_id_t id = message_find(SCOPE_INGEST, name, size);
    if (id != MSG_SOURCE_ACK && id != MSG_SOURCE_NACK && id != MSG_SOURCE_STOP) {
        return STATUS_OK;
    }
    msgpack_zone_clear(&pusher->zone);
    if (message_decode(id, pusher->letter.head, &pusher->zone, &as, &pusher->client->no) == -1) {
        return STATUS_FAILED;
    }
    if (id == MSG_SOURCE_ACK && as.ack.source == pusher->source) {
        ack_take(pusher, &as.ack);
    } else if (id == MSG_SOURCE_NACK && (!as.nack.has_source || as.nack.source == pusher->source)) {
        nack_take(pusher, &as.nack);
    } else if (id == MSG_SOURCE_STOP && (!as.stop.has_source || as.stop.source == pusher->source)) {
        stop_take(pusher, &as.stop);
    }
    return STATUS_OK;
}

status_t pusher_pump(pusher_t *pusher, int64_t deadline) {
    for (;;) {
        if (pusher->stopped[0]) {
            return STATUS_OK;
        }
        int64_t silent = pusher->channel.heard + SILENCE_MS;
        if (pusher->lost || channel_clock() >= silent) {
            status_t status = attach(pusher);
            if (status != STATUS_OK) {
                return status;
            }
            silent = pusher->channel.heard + SILENCE_MS;
        }
        received_t received = channel_receive(&pusher->channel, deadline < silent ? deadline : silent, &pusher->letter);
        if (received == RECEIVED_INTERRUPT) {
            return STATUS_INTERRUPTED;
        }
        if (received == RECEIVED_NOTHING && channel_clock() >= deadline) {
            return STATUS_OK;
        }
        if (received == RECEIVED) {
            status_t status = message_take(pusher);
            if (status != STATUS_OK) {
                return status;
            }
            deadline = 0; /* take what else is there, and wait no longer */
        }
    }
}

status_t pusher_drain(pusher_t *pusher) {
    status_t status = STATUS_OK;
    while (status == STATUS_OK && pusher->first && !pusher->stopped[0]) {
        status = pusher_pump(pusher, channel_clock() + SILENCE_MS);
    }
    return status;
}

status_t pusher_done(pusher_t *pusher) {
    reply_t reply = {0};
    msg_source_done_t ask = {.has_source = true, .source = pusher->source, .has_tag = true, .tag = pusher->tag};
    status_t status = client_ask_on(pusher->client, &pusher->channel, MSG_SOURCE_DONE, &ask, pusher->client->timeout_ms, &reply);
    reply_fini(&reply);
    return status;
}
