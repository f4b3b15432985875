/* Who feeds, and what they send. A batch is found by its connection and its number in a few comparisons: this is the path that every
 * element takes. What a batch costs beyond that is the reel's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "liveness.h"
#include "recorder_state.h"

enum {
    ACK_BYTES = RECORDER_CREDIT / 4, /* acknowledged at the latest, so that a sender never stands still */
    CURSOR_MAX = 64 * 1024,
    GAP_MAX = 1000,                /* bytes of its text */
    CLOCK_BYTES = 4096,            /* arrive within some microseconds: to ask the clock for each small batch costs a twentieth of it */
    CURSORS_MAX = 8 * 1024 * 1024, /* of a recording's producers, with their names: they stand in the header of each segment */
};

/* ---- connections ---- */

static size_t bucket_of(const peer_t *peer) {
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < peer->size; i++) hash = (hash ^ peer->id[i]) * 16777619U;
    return hash % CONNECTION_BUCKETS;
}

static connection_t *connection_find(recorder_t *self, const peer_t *peer) {
    connection_t *connection = self->recent;
    if (connection && peer_equal(&connection->peer, peer)) return connection;
    LIST_FOREACH(connection, &self->connections[bucket_of(peer)], bucket) {
        if (peer_equal(&connection->peer, peer)) return self->recent = connection;
    }
    return NULL;
}

static int on_liveness(void *state, uint64_t context, fault_t *why);

connection_t *connection_of(recorder_t *self, const peer_t *peer) {
    connection_t *connection = connection_find(self, peer);
    if (connection) {
        connection->peer = *peer; /* it may be connected anew */
        return connection;
    }
    connection = calloc(1, sizeof *connection);
    must(connection);
    connection->peer = *peer;
    connection->heard = connection->spoken = actor_ticks(self->me);
    LIST_INSERT_HEAD(&self->connections[bucket_of(peer)], connection, bucket);
    if (self->connections_count++ == 0 && !self->liveness_timer)
        self->liveness_timer = actor_after(self->me, liveness_check_us(self->worker_timeout_us), on_liveness, 0);
    return connection;
}

sent_t connection_send(recorder_t *self, connection_t *connection, message_id_t id, const void *message) {
    if (actor_is_behind(self->me, &connection->peer)) return SENT_FULL;
    sent_t sent = actor_send_counted(self->me, &connection->peer, &connection->tab, id, message, NULL, 0);
    if (sent == SENT) connection->spoken = actor_ticks(self->me);
    return sent;
}

void attachment_remove(recorder_t *self, attachment_t **attachment) {
    attachment_t *old = *attachment;
    connection_t *connection = old->connection;
    LIST_REMOVE(old, of_connection);
    LIST_REMOVE(old, of_recording);
    if (old->due) LIST_REMOVE(old, due_link);
    if (old->done)
        actor_refuse(self->me, old->done, ERROR_INTERNAL, NULL, "the recording of `%s` failed before its end was safe", old->tag);
    reel_detach(old->recording->reel, old->producer);
    recording_touch(self, old->recording);
    self->credit_shared -= old->credit - CREDIT_LEAST;
    if (old->waits_changed) LIST_REMOVE(old, waits_link);
    free(old->waits);
    free(old->tag);
    free(old);
    *attachment = NULL;
    connection_release(self, connection);
}

void connection_release(recorder_t *self, connection_t *connection) {
    if (!LIST_EMPTY(&connection->attachments) || connection->worker) return;
    if (self->recent == connection) self->recent = NULL;
    LIST_REMOVE(connection, bucket);
    self->connections_count--;
    free(connection);
}

void connection_remove(recorder_t *self, connection_t **connection) {
    attachment_t *attachment = LIST_FIRST(&(*connection)->attachments), *next;
    worker_lost(self, *connection);
    if (!attachment) connection_release(self, *connection);
    *connection = NULL;
    for (; attachment; attachment = next) {
        next = LIST_NEXT(attachment, of_connection);
        attachment_remove(self, &attachment);
    }
}

void attachment_stop(recorder_t *self, attachment_t *attachment, const char *reason) {
    const reel_producer_t *producer = attachment->producer;
    recording_t *recording = attachment->recording;
    if (producer->gathered) recording_flush(self, recording);
    bool broken = recording->reel->broken || recording->failure;
    bool known = producer->seq > 0 && producer->accepted >= 0 && !broken && !acks_are_unsafe(self, recording);
    msg_source_stop_t stop = {.has_source = true,
                              .source = attachment->source,
                              .has_job = true,
                              .job = recording_job(attachment->recording)->job,
                              .tag = attachment->tag,
                              .reason = reason,
                              .has_seq = known,
                              .seq = (int64_t)producer->seq,
                              .has_accepted = known,
                              .accepted = producer->accepted};
    progress_tell(self, attachment->recording);
    connection_send(self, attachment->connection, MSG_SOURCE_STOP, &stop);
    if (!broken) {
        if (attachment->done) actor_answer(self->me, attachment->done, NULL);
        attachment->done = 0;
    }
    attachment_remove(self, &attachment);
}

void attachment_end(recorder_t *self, attachment_t *attachment) {
    msg_source_ack_t ack = {.source = attachment->source, .tag = attachment->tag, .seq = (int64_t)attachment->producer->seq};
    progress_tell(self, attachment->recording);
    if (attachment->unacked > 0) connection_send(self, attachment->connection, MSG_SOURCE_ACK, &ack);
    actor_answer(self->me, attachment->done, NULL);
    attachment->done = 0;
    attachment_remove(self, &attachment);
}

/* Its sender may wait for an acknowledgement, and say nothing before it has it. */
static void attachment_forget(recorder_t *self, attachment_t *attachment) {
    msg_source_nack_t nack = {.has_source = true,
                              .source = attachment->source,
                              .tag = attachment->tag,
                              .seq = (int64_t)attachment->producer->seq + 1,
                              .error = {.code = error_name(ERROR_NOT_FOUND), .message = "the recorder has lost its state: attach again"}};
    nack.error.has_retry = nack.error.retry = true;
    actor_send(self->me, &attachment->connection->peer, MSG_SOURCE_NACK, &nack, NULL);
    LIST_REMOVE(attachment, of_connection);
    free(attachment->waits);
    free(attachment->tag);
    free(attachment);
}

/* With the state. */
void connections_free(recorder_t *self) {
    for (size_t i = 0; i < CONNECTION_BUCKETS; i++) {
        connection_t *connection;
        while ((connection = LIST_FIRST(&self->connections[i]))) {
            attachment_t *attachment;
            while ((attachment = LIST_FIRST(&connection->attachments))) attachment_forget(self, attachment);
            if (connection->worker)
                actor_refuse_peer(self->me, &connection->peer, ERROR_NOT_FOUND, "worker",
                                  "the recorder has lost its state: say `worker.ready` again");
            LIST_REMOVE(connection, bucket);
            free(connection);
        }
    }
}

/* What a message is about: the attachment of that number, or the only one of that tag; NULL: none, or not only one. */
static attachment_t *attachment_find(recorder_t *self, const peer_t *peer, bool has_source, int64_t source, const char *tag) {
    connection_t *connection = connection_find(self, peer);
    if (!connection) return NULL;
    attachment_t *attachment, *found = NULL;
    LIST_FOREACH(attachment, &connection->attachments, of_connection) {
        if (has_source ? attachment->source != source : strcmp(attachment->tag, tag) != 0) continue;
        if (has_source) return attachment;
        if (found) return NULL;
        found = attachment;
    }
    return found;
}

static refusal_t unknown_attachment(bool has_source, int64_t source, const char *tag) {
    refusal_t no;
    if (has_source)
        refuse(&no, ERROR_NOT_FOUND, "source", "source %lld of `%s` is not attached on this connection: attach again", (long long)source,
               tag);
    else
        refuse(&no, ERROR_NOT_FOUND, "tag", "this connection has not exactly one attachment of `%s`: attach again, or name `source`", tag);
    no.retry = true;
    return no;
}

/* ---- liveness ---- */

static void connection_check(recorder_t *self, connection_t *connection, int64_t now) {
    static const msg_ping_t ping;
    int64_t last = connection->heard > connection->spoken ? connection->heard : connection->spoken;
    bool silent = now - connection->heard >= self->worker_timeout_us;
    bool idle = now - last >= liveness_ask_us(self->worker_timeout_us);
    if (silent) actor_dismiss(self->me, &connection->peer);
    if (silent || (idle && connection_send(self, connection, MSG_PING, &ping) == SENT_GONE)) connection_remove(self, &connection);
}

static int on_liveness(void *state, uint64_t context, fault_t *why) {
    recorder_t *self = state;
    int64_t now = actor_ticks(self->me);
    (void)context;
    (void)why;
    for (size_t i = 0; i < CONNECTION_BUCKETS; i++) {
        connection_t *connection, *next;
        for (connection = LIST_FIRST(&self->connections[i]); connection; connection = next) {
            next = LIST_NEXT(connection, bucket);
            connection_check(self, connection, now);
        }
    }
    self->liveness_timer = 0;
    if (self->connections_count > 0)
        self->liveness_timer = actor_after(self->me, liveness_check_us(self->worker_timeout_us), on_liveness, 0);
    return 0;
}

int ingest_pong(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    connection_t *connection = connection_find(self, in->peer);
    (void)why;
    if (connection) connection->heard = actor_ticks(self->me);
    return 0;
}

/* ---- what they send ---- */

static void batch_nack(recorder_t *self, const envelope_t *in, const attachment_t *attachment, const refusal_t *no) {
    const msg_source_batch_t *m = in->message;
    msg_source_nack_t nack = {.has_source = attachment || m->has_source,
                              .source = attachment ? attachment->source : m->source,
                              .tag = m->tag,
                              .seq = m->seq,
                              .error = {.code = error_name(no->code), .message = no->message}};
    nack.error.field = no->field;
    nack.error.has_field = no->field[0] != 0;
    nack.error.retry = nack.error.has_retry = no->retry;
    nack.error.expected = no->expected;
    nack.error.has_expected = no->expected > 0;
    actor_count(self->me, COUNTER_NACKS, 1);
    if (actor_is_behind(self->me, in->peer)) return; /* it reads none of those before */
    actor_send_counted(self->me, in->peer, NULL, MSG_SOURCE_NACK, &nack, NULL, 0);
}

/* Is its number the next? One sent twice is acknowledged again. */
static bool batch_is_next(recorder_t *self, const envelope_t *in, attachment_t *attachment) {
    const msg_source_batch_t *m = in->message;
    uint64_t last = attachment->producer->seq;
    if ((uint64_t)m->seq == last + 1) return true;
    if ((uint64_t)m->seq <= last) {
        acks_due(self, attachment);
        return false;
    }
    refusal_t no;
    refuse(&no, ERROR_CONFLICT, "seq", "batch %lld of `%s` does not follow batch %llu", (long long)m->seq, m->tag,
           (unsigned long long)last);
    no.expected = (int64_t)last + 1;
    batch_nack(self, in, attachment, &no);
    return false;
}

static int gap_check(const msg_source_batch_t *m, refusal_t *no) {
    if (m->has_lost_us && !m->has_gap)
        return refuse(no, ERROR_BAD_REQUEST, "lost_us", "`source.batch`: `lost_us` is of a `gap`, and there is none");
    if (m->has_gap && m->gap[0] == '\0')
        return refuse(no, ERROR_BAD_REQUEST, "gap", "`source.batch`: `gap` must say what was lost, and is empty");
    if (m->has_gap && strlen(m->gap) > GAP_MAX)
        return refuse(no, ERROR_TOO_LARGE, "gap", "`source.batch`: a `gap` of %zu bytes is longer than %d", strlen(m->gap), GAP_MAX);
    return 0;
}

/* Can it be recorded? If not, it is refused and its number used up. */
static bool batch_is_good(recorder_t *self, const envelope_t *in, attachment_t *attachment, reel_batch_t *batch) {
    const msg_source_batch_t *m = in->message;
    refusal_t no;
    if (!in->body) {
        refuse(&no, ERROR_BAD_REQUEST, "body", "`source.batch`: a second frame with the elements is needed");
    } else if (strcmp(m->tag, attachment->tag) != 0) {
        refuse(&no, ERROR_BAD_REQUEST, "tag", "source %lld was attached as `%s`, not as `%s`", (long long)attachment->source,
               attachment->tag, m->tag);
    } else if (frame_bytes(in->body).size > (uint64_t)self->body_size_max) {
        refuse(&no, ERROR_TOO_LARGE, "body", "a body of %zu bytes is larger than `body_size_max` (%lld)", frame_bytes(in->body).size,
               (long long)self->body_size_max);
    } else if (m->has_cursor && m->cursor.size > CURSOR_MAX) {
        refuse(&no, ERROR_TOO_LARGE, "cursor", "`source.batch`: a cursor of %zu bytes is longer than %d", m->cursor.size, CURSOR_MAX);
    } else if (m->has_cursor && attachment->recording->reel->header_cost + (int64_t)m->cursor.size > CURSORS_MAX) {
        refuse(&no, ERROR_TOO_LARGE, "cursor", "`source.batch`: with this cursor, those of the job's producers have more than %d bytes",
               CURSORS_MAX);
    } else if (gap_check(m, &no) == 0) {
        batch->body = frame_bytes(in->body);
        if (wire_body_check(batch->body, &batch->count, &no) == 0) return true;
    }
    attachment->producer->seq = (uint64_t)m->seq;
    attachment->producer->accepted = 0;
    batch_nack(self, in, attachment, &no);
    return false;
}

static int64_t batch_ticks(recorder_t *self, size_t bytes) {
    if (self->ticks_bytes <= 0) {
        self->ticks = actor_ticks(self->me);
        self->ticks_bytes = CLOCK_BYTES;
    }
    self->ticks_bytes -= (int64_t)bytes;
    return self->ticks;
}

int ingest_batch(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_source_batch_t *m = in->message;
    (void)why;
    attachment_t *attachment = attachment_find(self, in->peer, m->has_source, m->source, m->tag);
    if (!attachment) {
        refusal_t no = unknown_attachment(m->has_source, m->source, m->tag);
        batch_nack(self, in, NULL, &no);
        return 0;
    }
    recording_t *recording = attachment->recording;
    int64_t ticks = batch_ticks(self, in->raw.size + (in->body ? frame_bytes(in->body).size : 0));
    attachment->connection->heard = ticks;
    if (reel_is_sealed(recording->reel) || attachment->done || attachment->leaving) return 0; /* a stop or an answer follows */
    reel_batch_t batch = {.seq = (uint64_t)m->seq,
                          .cursor = m->cursor,
                          .has_watermark = m->has_watermark,
                          .watermark = m->watermark,
                          .gap = m->has_gap ? m->gap : NULL,
                          .lost_us = m->has_lost_us ? m->lost_us : -1};
    if (!batch_is_next(self, in, attachment) || !batch_is_good(self, in, attachment, &batch)) return 0;
    fault_t problem;
    if (reel_put(recording->reel, attachment->producer, &batch, ticks, &problem) < 0) {
        recording_break(self, recording, problem.text);
        return 0;
    }
    actor_count(self->me, COUNTER_BATCHES, 1);
    recording_touch(self, recording);
    acks_due(self, attachment);
    attachment->unacked += in->raw.size + batch.body.size;
    if (recording->reel->spent) recording_note_spent(self, recording);
    if (attachment->unacked >= ACK_BYTES) {
        attachment->unacked = 0;
        recording_flush(self, recording);
        acks_send(self);
    }
    return 0;
}

/* Nobody feeds the stream any more: those who did are acknowledged and let go. */
static void stream_ended(recorder_t *self, recording_t *recording, uint32_t stream) {
    attachment_t *attachment;
    LIST_FOREACH(attachment, &recording->attachments, of_recording) {
        if (attachment->producer->stream != stream) continue;
        attachment->leaving = "sources_ended";
        acks_due(self, attachment);
    }
    actor_tell(self->me, "job_supervisor", MSG_SOURCE_ENDED,
               &(msg_source_ended_t){.job = recording_job(recording)->job,
                                     .signature = recording_job(recording)->streams.items[stream].signature});
}

/* The last that each has said: who says much costs the job supervisor no more than who says it once. */
void ingest_waits_tell(recorder_t *self) {
    attachment_t *attachment;
    while ((attachment = LIST_FIRST(&self->waits))) {
        const msg_recording_job_t *job = recording_job(attachment->recording);
        LIST_REMOVE(attachment, waits_link);
        attachment->waits_changed = false;
        actor_tell(self->me, "job_supervisor", MSG_SOURCE_WAITS,
                   &(msg_source_waits_t){.job = job->job,
                                         .signature = job->streams.items[attachment->producer->stream].signature,
                                         .has_message = attachment->waits != NULL,
                                         .message = attachment->waits});
    }
}

int ingest_waiting(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_source_waiting_t *m = in->message;
    (void)why;
    attachment_t *attachment = attachment_find(self, in->peer, m->has_source, m->source, m->tag);
    if (!attachment || attachment->done || attachment->leaving) return 0; /* a former one */
    attachment->connection->heard = actor_ticks(self->me);
    if (m->has_message && strlen(m->message) > GAP_MAX) {
        actor_refuse_peer(self->me, in->peer, ERROR_TOO_LARGE, "message", "`source.waiting`: a `message` of %zu bytes is longer than %d",
                          strlen(m->message), GAP_MAX);
        return 0;
    }
    if (m->has_message && attachment->waits && strcmp(m->message, attachment->waits) == 0) return 0;
    free(attachment->waits);
    attachment->waits = m->has_message ? strdup(m->message) : NULL;
    must(attachment->waits || !m->has_message);
    if (!attachment->waits_changed) LIST_INSERT_HEAD(&self->waits, attachment, waits_link);
    attachment->waits_changed = true;
    return 0;
}

int ingest_done(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_source_done_t *m = in->message;
    fault_t problem;
    (void)why;
    attachment_t *attachment = attachment_find(self, in->peer, m->has_source, m->source, m->tag);
    if (!attachment) {
        refusal_t no = unknown_attachment(m->has_source, m->source, m->tag);
        actor_refuse_as(self->me, in->ticket, &no);
        return 0;
    }
    recording_t *recording = attachment->recording;
    uint32_t stream = attachment->producer->stream;
    attachment->connection->heard = actor_ticks(self->me);
    if (reel_is_sealed(recording->reel) || attachment->done || attachment->leaving) {
        actor_answer(self->me, in->ticket, NULL);
        return 0;
    }
    if (reel_end_stream(recording->reel, stream, actor_ticks(self->me), &problem) < 0) {
        recording_break(self, recording, problem.text);
        actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
        return 0;
    }
    recording_flush(self, recording);
    stream_ended(self, recording, stream);
    post_close(self, recording, stream);
    attachment->leaving = NULL;
    attachment->done = in->ticket;
    return 0;
}

int ingest_fail(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_source_fail_t *m = in->message;
    (void)why;
    attachment_t *attachment = attachment_find(self, in->peer, m->has_source, m->source, m->tag);
    recording_t *recording = attachment ? attachment->recording : m->has_job ? shelf_find_job(self, m->job) : NULL;
    if (!recording) {
        refusal_t no = unknown_attachment(m->has_source, m->source, m->tag);
        if (m->has_job) refuse(&no, ERROR_NOT_FOUND, "job", "there is no job %s", m->job);
        actor_refuse_as(self->me, in->ticket, &no);
        return 0;
    }
    char *message = NULL;
    must(asprintf(&message, "`%s`: %s", m->tag, m->message) >= 0);
    actor_tell(self->me, "job_supervisor", MSG_SOURCE_FAILED,
               &(msg_source_failed_t){.job = recording_job(recording)->job, .message = message});
    free(message);
    actor_answer(self->me, in->ticket, NULL);
    return 0;
}
