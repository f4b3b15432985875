/* How a source gets in: its tag is looked up, its job is told, and it waits until the job has a budget. The tags that count are those of
 * the pipeline's current definition; a source that the engine itself started names its job, and the tag it had then. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recorder_state.h"

enum { JOINS_MAX = 10000 };

static void join_free(recorder_t *self, join_t **join) {
    TAILQ_REMOVE(&self->joins, *join, link);
    self->joins_count--;
    free((*join)->tag);
    free((*join)->producer);
    free(*join);
    *join = NULL;
}

static void join_refuse(recorder_t *self, join_t **join, const refusal_t *no) {
    actor_refuse_as(self->me, (*join)->ticket, no);
    join_free(self, join);
}

void joins_withdraw(recorder_t *self, const recording_t *recording, uint32_t stream, const peer_t *peer) {
    refusal_t no;
    join_t *join, *next;
    refuse(&no, ERROR_CONFLICT, NULL, "this connection has said `worker.ready` since: attach when the source is given out again");
    for (join = TAILQ_FIRST(&self->joins); join; join = next) {
        next = TAILQ_NEXT(join, link);
        if (join->recording == recording && join->resolved && join->stream == stream && peer_equal(&join->peer, peer))
            join_refuse(self, &join, &no);
    }
}

void joins_free(recorder_t *self) {
    join_t *join;
    while ((join = TAILQ_FIRST(&self->joins))) join_free(self, &join);
}

static refusal_t ended_refusal(const recording_t *recording) {
    const msg_recording_job_t *job = recording_job(recording);
    refusal_t no;
    if (recording_has_ended(recording))
        refuse(&no, ERROR_INVALID_STATE, NULL, "job %s has ended: %s, %s", job->job, job->state, job->stop_reason ? job->stop_reason : "");
    else
        refuse(&no, ERROR_INVALID_STATE, NULL, "job %s takes no more: it is about to end", job->job);
    return no;
}

void joins_refuse(recorder_t *self, recording_t *recording) {
    refusal_t no = ended_refusal(recording);
    join_t *join, *next;
    for (join = TAILQ_FIRST(&self->joins); join; join = next) {
        next = TAILQ_NEXT(join, link);
        if (join->recording == recording) join_refuse(self, &join, &no);
    }
}

/* ---- letting in ---- */

/* What is under way to the recorder waits in memory. Beyond the least, each sender gets a third of what is left for all of them, so that a few
 * have plenty and hundreds have enough. */
static int64_t credit_share(const recorder_t *self) {
    int64_t credit = CREDIT_LEAST + (CREDIT_SHARED - self->credit_shared) / 3;
    return credit < RECORDER_CREDIT ? credit : RECORDER_CREDIT;
}

static void join_answer(recorder_t *self, attachment_t *attachment, ticket_t ticket) {
    bytes_t cursor = reel_cursor(attachment->recording->reel, attachment->producer);
    msg_source_attached_t attached = {.source = attachment->source,
                                      .job = recording_job(attachment->recording)->job,
                                      .next_seq = (int64_t)attachment->producer->seq + 1,
                                      .has_cursor = cursor.size > 0,
                                      .cursor = cursor,
                                      .credit = attachment->credit};
    actor_answer(self->me, ticket, &attached);
}

/* Who has fed under that name until now feeds no more. */
static void join_supersede(recorder_t *self, recording_t *recording, uint32_t stream, const char *name) {
    const reel_producer_t *producer = reel_producer_find(recording->reel, stream, name);
    if (!producer || !producer->attached) return;
    attachment_t *attachment = LIST_FIRST(&recording->attachments);
    while (attachment->producer != producer) attachment = LIST_NEXT(attachment, of_recording);
    attachment_stop(self, attachment, "superseded");
}

/* Lets a source in: it goes on from what is in the journal. */
static void join_attach(recorder_t *self, recording_t *recording, uint32_t stream, const char *tag, const char *name, const peer_t *peer,
                        ticket_t ticket) {
    char own[64];
    int64_t source = ++self->last_source;
    snprintf(own, sizeof own, "~%lld-%lld", (long long)actor_config(self->me)->started, (long long)source);
    if (name) join_supersede(self, recording, stream, name);
    reel_producer_t *producer = reel_producer(recording->reel, stream, name ? name : own);
    if (!producer) {
        actor_refuse(self->me, ticket, ERROR_LIMIT, NULL, "job %s has had %d producers: no more are let in", recording_job(recording)->job,
                     REEL_PRODUCERS_MAX);
        return;
    }
    attachment_t *attachment = calloc(1, sizeof *attachment);
    must(attachment && !producer->attached);
    attachment->connection = connection_of(self, peer);
    attachment->connection->heard = actor_ticks(self->me);
    attachment->recording = recording;
    attachment->producer = producer;
    attachment->source = source;
    attachment->credit = credit_share(self);
    self->credit_shared += attachment->credit - CREDIT_LEAST;
    attachment->tag = strdup(tag);
    must(attachment->tag);
    reel_attach(recording->reel, producer);
    LIST_INSERT_HEAD(&attachment->connection->attachments, attachment, of_connection);
    LIST_INSERT_HEAD(&recording->attachments, attachment, of_recording);
    join_answer(self, attachment, ticket);
}

/* Another may have been let in under its name since it was decided what must be on the disk before it is. */
static bool join_is_safe(recorder_t *self, recording_t *recording, join_t *join) {
    const reel_producer_t *producer = join->producer ? reel_producer_find(recording->reel, join->stream, join->producer) : NULL;
    if (producer && producer->attached) {
        join_supersede(self, recording, join->stream, join->producer);
        join->after = journal_totals(recording->reel->journal)->bytes;
        sync_schedule(self, recording);
    }
    return recording->synced >= join->after;
}

void joins_let_in(recorder_t *self, recording_t *recording) {
    bool safe = actor_config(self->me)->durability == DURABILITY_SYNC; /* to say where to go on from acknowledges all before it */
    join_t *join, *next;
    for (join = TAILQ_FIRST(&self->joins); join; join = next) {
        next = TAILQ_NEXT(join, link);
        if (join->recording != recording || !join->resolved || (safe && !join_is_safe(self, recording, join))) continue;
        join_attach(self, recording, join->stream, join->tag, join->producer, &join->peer, join->ticket);
        join_free(self, &join);
    }
}

/* ---- tags ---- */

static int stream_of_signature(const recording_t *recording, const char *signature) {
    const msg_recording_job_t *job = recording_job(recording);
    for (size_t i = 0; i < job->streams.count; i++)
        if (strcmp(job->streams.items[i].signature, signature) == 0) return (int)i;
    return -1;
}

static int stream_of_tag(const recording_t *recording, const char *tag) {
    const msg_recording_job_t *job = recording_job(recording);
    for (size_t i = 0; i < job->streams.count; i++)
        for (size_t t = 0; t < job->streams.items[i].tags.count; t++)
            if (strcmp(job->streams.items[i].tags.items[t], tag) == 0) return (int)i;
    return -1;
}

/* Names the tags that there are. */
static refusal_t no_such_tag(const recording_t *recording, const msg_pipeline_tags_t *current, const char *tag) {
    const msg_recording_job_t *job = recording_job(recording);
    char known[200] = "";
    size_t size = 0;
    for (size_t i = 0; current && i < current->tags.count && size < sizeof known; i++)
        if (stream_of_signature(recording, current->tags.items[i].signature) >= 0)
            size += (size_t)snprintf(known + size, sizeof known - size, "%s`%s`", size ? ", " : "", current->tags.items[i].tag);
    for (size_t i = 0; !current && i < job->streams.count; i++)
        for (size_t t = 0; t < job->streams.items[i].tags.count && size < sizeof known; t++)
            size += (size_t)snprintf(known + size, sizeof known - size, "%s`%s`", size ? ", " : "", job->streams.items[i].tags.items[t]);
    refusal_t no;
    refuse(&no, ERROR_NOT_FOUND, "tag", "job %s records no tag `%s`; it records %s", job->job, tag, size ? known : "none");
    return no;
}

static void join_resolve(recorder_t *self, join_t *join, uint32_t stream) {
    recording_t *recording = join->recording;
    refusal_t no;
    recording_flush(self, recording);
    if (reel_is_sealed(recording->reel) || recording->finish) {
        no = ended_refusal(recording);
        join_refuse(self, &join, &no);
        return;
    }
    if (journal_stream(recording->reel->journal, stream)->ended) {
        refuse(&no, ERROR_INVALID_STATE, "tag", "source `%s` of job %s has ended", join->tag, recording_job(recording)->job);
        join_refuse(self, &join, &no);
        return;
    }
    join->stream = stream;
    const char *producer = join->producer;
    if (posts_admit(self, join, &producer, &no) < 0) {
        join_refuse(self, &join, &no);
        return;
    }
    if (producer != join->producer) join->producer = strdup(producer);
    must(join->producer || !producer);
    join->resolved = true;
    if (join->producer) join_supersede(self, recording, stream, join->producer);
    bool goes_on = recording->reel->lanes[stream].newest; /* from a cursor, be it another's */
    if (goes_on || (join->producer && journal_producer(recording->reel->journal, stream, join->producer))) join->after = recording->bytes;
    actor_tell(self->me, "job_supervisor", MSG_SOURCE_JOINED,
               &(msg_source_joined_t){.job = recording_job(recording)->job,
                                      .signature = recording_job(recording)->streams.items[stream].signature});
    if (recording->open) joins_let_in(self, recording);
}

static int on_tags(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    recorder_t *self = state;
    const msg_pipeline_tags_t *current = answer->message;
    join_t *join;
    int stream = -1;
    (void)why;
    TAILQ_FOREACH(join, &self->joins, link) {
        if (join->number == context) break;
    }
    if (!join) return 0;
    for (size_t i = 0; current && i < current->tags.count && stream < 0; i++)
        if (strcmp(current->tags.items[i].tag, join->tag) == 0)
            stream = stream_of_signature(join->recording, current->tags.items[i].signature);
    if (stream < 0 && !current) stream = stream_of_tag(join->recording, join->tag);
    if (stream >= 0) {
        join_resolve(self, join, (uint32_t)stream);
    } else {
        refusal_t no = no_such_tag(join->recording, current, join->tag);
        join_refuse(self, &join, &no);
    }
    return 0;
}

/* ---- asking to be let in ---- */

static recording_t *recording_to_join(recorder_t *self, const msg_source_attach_t *m, refusal_t *no) {
    if (!m->has_job && !m->has_pipeline) {
        refuse(no, ERROR_BAD_REQUEST, NULL, "`source.attach`: `pipeline` or `job` is needed");
        return NULL;
    }
    recording_t *recording = m->has_job ? shelf_find_job(self, m->job) : shelf_newest(self, m->pipeline, true);
    if (recording && !recording_has_ended(recording)) return recording;
    if (recording) {
        *no = ended_refusal(recording);
    } else if (m->has_job) {
        refuse(no, ERROR_NOT_FOUND, "job", "there is no job %s", m->job);
    } else {
        refuse(no, ERROR_INVALID_STATE, "pipeline", "no job of pipeline `%s` is running", m->pipeline);
        no->retry = true; /* one may start */
    }
    return NULL;
}

int ingest_attach(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_source_attach_t *m = in->message;
    refusal_t no;
    (void)why;
    recording_t *recording = recording_to_join(self, m, &no);
    if (recording && self->joins_count == JOINS_MAX) {
        refuse(&no, ERROR_LIMIT, NULL, "%d sources wait to be let in already", JOINS_MAX);
        no.retry = true;
        recording = NULL;
    }
    if (!recording) {
        actor_refuse_as(self->me, in->ticket, &no);
        return 0;
    }
    join_t *join = calloc(1, sizeof *join);
    must(join && in->peer);
    *join = (join_t){.number = ++self->last_number, .recording = recording, .ticket = in->ticket, .peer = *in->peer};
    join->tag = strdup(m->tag);
    join->producer = m->has_producer ? strdup(m->producer) : NULL;
    must(join->tag && (join->producer || !m->has_producer));
    TAILQ_INSERT_TAIL(&self->joins, join, link);
    self->joins_count++;
    int stream = m->has_job ? stream_of_tag(recording, m->tag) : -1;
    if (stream >= 0)
        join_resolve(self, join, (uint32_t)stream);
    else
        actor_ask(self->me, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK,
                  &(msg_pipeline_tags_ask_t){.pipeline = recording_job(recording)->pipeline}, on_tags, join->number);
    return 0;
}
