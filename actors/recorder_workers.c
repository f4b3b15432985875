/* The sources that the engine has no connector for, and the workers outside that run them. A stream of a recording that needs a worker has a
 * post here as long as it is written. A post that nobody feeds is given to a worker that is ready for its URN: to the one that has the fewest.
 * It goes on from what is recorded, because all who have a post are the same producer, one after the other.
 *
 * Nothing of this is on the disk. A recorder that lost its state tells the workers that it knew; they say that they are ready, and what
 * nobody feeds is given out as at the beginning. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/text.h"
#include "bindings.h"
#include "liveness.h"
#include "recorder_state.h"

enum { URNS_MAX = 1000 };

/* ---- workers ---- */

static bool worker_serves(const worker_t *worker, const char *urn) {
    for (size_t i = 0; i < worker->urns.count; i++)
        if (strcmp(worker->urns.items[i], urn) == 0) return true;
    return false;
}

static size_t worker_load(const recorder_t *self, const worker_t *worker) {
    size_t load = 0;
    const post_t *post;
    LIST_FOREACH(post, &self->posts, link) load += post->worker == worker;
    return load;
}

static void worker_notify(recorder_t *self, const worker_t *worker, const char *topic, const char *state) {
    char urns[400] = "";
    size_t size = 0;
    for (size_t i = 0; i < worker->urns.count && size < sizeof urns; i++)
        size += (size_t)snprintf(urns + size, sizeof urns - size, "%s%s", i ? ", " : "", worker->urns.items[i]);
    text_mend(urns);
    msg_notify_t notify = {.topic = topic, .key = "worker", .name = worker->name, .state = state, .has_detail = true, .detail = urns};
    actor_tell(self->me, "notifier", MSG_NOTIFY, &notify);
}

static void worker_set_urns(worker_t *worker, const names_t *urns) {
    for (size_t i = 0; i < worker->urns.count; i++) free((void *)(uintptr_t)worker->urns.items[i]);
    free(worker->urns.items);
    worker->urns = (names_t){0, calloc(urns->count + 1, sizeof *worker->urns.items)};
    must(worker->urns.items);
    for (; worker->urns.count < urns->count; worker->urns.count++) {
        worker->urns.items[worker->urns.count] = strdup(urns->items[worker->urns.count]);
        must(worker->urns.items[worker->urns.count]);
    }
}

static void worker_set_name(recorder_t *self, worker_t *worker, const char *name) {
    char made[32];
    if (!name && worker->name) return;
    if (!name) snprintf(made, sizeof made, "worker-%lld", (long long)++self->last_worker);
    free(worker->name);
    worker->name = strdup(name ? name : made);
    must(worker->name);
}

static void worker_free(worker_t *worker) {
    worker_set_urns(worker, &(names_t){0});
    free(worker->urns.items);
    free(worker->name);
    free(worker);
}

static worker_t *worker_add(recorder_t *self, connection_t *connection) {
    worker_t *worker = calloc(1, sizeof *worker);
    must(worker);
    worker->connection = connection;
    worker->since = actor_ticks(self->me);
    connection->worker = worker;
    TAILQ_INSERT_TAIL(&self->workers, worker, link);
    return worker;
}

/* What it has is nobody's any more. */
static void worker_dispossess(recorder_t *self, const worker_t *worker) {
    post_t *post;
    LIST_FOREACH(post, &self->posts, link) {
        if (post->idle == worker) post->idle = NULL;
        if (post->worker == worker) post->worker = NULL, post->told = false;
        joins_withdraw(self, post->recording, post->stream, &worker->connection->peer);
    }
    self->posts_due = true;
}

static void worker_remove(recorder_t *self, worker_t *worker, const char *how) {
    worker_dispossess(self, worker);
    worker->connection->worker = NULL;
    worker_notify(self, worker, "worker.lost", how);
    TAILQ_REMOVE(&self->workers, worker, link);
    worker_free(worker);
}

void worker_lost(recorder_t *self, connection_t *connection) {
    bool silent = actor_ticks(self->me) - connection->heard >= self->worker_timeout_us;
    if (connection->worker) worker_remove(self, connection->worker, silent ? "silent" : "gone");
}

void workers_free(recorder_t *self) {
    worker_t *worker;
    post_t *post;
    while ((worker = TAILQ_FIRST(&self->workers))) {
        TAILQ_REMOVE(&self->workers, worker, link);
        worker_free(worker);
    }
    while ((post = LIST_FIRST(&self->posts))) {
        LIST_REMOVE(post, link);
        free(post);
    }
}

/* ---- posts ---- */

static const msg_stream_t *post_stream(const post_t *post) {
    return &recording_job(post->recording)->streams.items[post->stream];
}

static bool post_is_fed(const post_t *post) {
    const attachment_t *attachment;
    LIST_FOREACH(attachment, &post->recording->attachments, of_recording) {
        if (attachment->producer->stream == post->stream) return true;
    }
    return false;
}

/* Does somebody wait to be let in, to feed it? */
static bool post_is_joined(const recorder_t *self, const post_t *post) {
    const join_t *join;
    TAILQ_FOREACH(join, &self->joins, link) {
        if (join->recording == post->recording && join->resolved && join->stream == post->stream) return true;
    }
    return false;
}

/* Tells its worker, unless that feeds it over the same connection: then it is told with its attachment. */
static void post_stop(recorder_t *self, const post_t *post, const char *reason) {
    if (!post->worker) return;
    const attachment_t *attachment;
    LIST_FOREACH(attachment, &post->worker->connection->attachments, of_connection) {
        if (attachment->recording == post->recording && attachment->producer->stream == post->stream) return;
    }
    msg_source_stop_t stop = {.has_job = true, .job = recording_job(post->recording)->job, .reason = reason};
    stop.tag = post_stream(post)->tags.items[0];
    connection_send(self, post->worker->connection, MSG_SOURCE_STOP, &stop);
}

static void post_remove(recorder_t *self, post_t *post, const char *reason) {
    post_stop(self, post, reason);
    LIST_REMOVE(post, link);
    free(post);
}

void post_close(recorder_t *self, const recording_t *recording, uint32_t stream) {
    post_t *post;
    LIST_FOREACH(post, &self->posts, link) {
        if (post->recording != recording || post->stream != stream) continue;
        post_remove(self, post, "sources_ended");
        return;
    }
}

void posts_close(recorder_t *self, const recording_t *recording, const char *reason) {
    post_t *post, *next;
    for (post = LIST_FIRST(&self->posts); post; post = next) {
        next = LIST_NEXT(post, link);
        if (post->recording == recording) post_remove(self, post, reason);
    }
}

void posts_open(recorder_t *self, recording_t *recording) {
    const msg_recording_job_t *job = recording_job(recording);
    for (uint32_t i = 0; i < job->streams.count; i++) {
        if (!job->streams.items[i].worker || journal_stream(recording->reel->journal, i)->ended) continue;
        post_t *post = calloc(1, sizeof *post);
        must(post);
        *post = (post_t){.recording = recording, .stream = i, .fed = actor_ticks(self->me)};
        LIST_INSERT_HEAD(&self->posts, post, link);
    }
    self->posts_due = true;
}

int posts_admit(const recorder_t *self, const join_t *join, const char **producer, refusal_t *no) {
    const post_t *post;
    const worker_t *worker;
    LIST_FOREACH(post, &self->posts, link) {
        if (post->recording == join->recording && post->stream == join->stream) break;
    }
    TAILQ_FOREACH(worker, &self->workers, link) {
        if (peer_equal(&worker->connection->peer, &join->peer)) break;
    }
    if (!post || !worker) return 0;
    if (post->worker && post->worker != worker)
        return refuse(no, ERROR_CONFLICT, "tag", "the source of `%s` was given to worker `%s`", join->tag, post->worker->name);
    if (!*producer) *producer = WORKER_PRODUCER;
    return 0;
}

/* ---- giving out ---- */

/* Of those that are ready for it, the one that has the fewest; of equals, the one whose last was longest ago. Who was given it and did not
 * feed it comes last. */
static worker_t *post_candidate(const recorder_t *self, const post_t *post) {
    const char *urn = bound_urn(post_stream(post));
    worker_t *worker, *best = NULL;
    size_t least = SIZE_MAX;
    TAILQ_FOREACH(worker, &self->workers, link) {
        if (!worker_serves(worker, urn)) continue;
        size_t load = worker == post->idle ? SIZE_MAX - 1 : worker_load(self, worker);
        if (best && (load > least || (load == least && worker->turn >= best->turn))) continue;
        best = worker;
        least = load;
    }
    return best;
}

/* What acknowledges all before it must be on the disk: where that is not so yet, the answer to the attach says it. */
static bytes_t post_cursor(recorder_t *self, const post_t *post) {
    reel_t *reel = post->recording->reel;
    recording_flush(self, post->recording);
    if (actor_config(self->me)->durability == DURABILITY_SYNC && post->recording->synced < post->recording->bytes) return (bytes_t){0};
    const reel_producer_t *producer = reel_producer_find(reel, post->stream, WORKER_PRODUCER);
    if (!producer) producer = reel->lanes[post->stream].newest;
    return producer ? reel_cursor(reel, producer) : (bytes_t){0};
}

static void post_give(recorder_t *self, post_t *post) {
    const msg_stream_t *stream = post_stream(post);
    bytes_t cursor = post_cursor(self, post), payload = bound_payload(stream);
    msg_source_start_t start = {.job = recording_job(post->recording)->job,
                                .tag = stream->tags.items[0],
                                .urn = bound_urn(stream),
                                .has_payload = payload.size > 0,
                                .payload = payload,
                                .has_cursor = cursor.size > 0,
                                .cursor = cursor,
                                .producer = WORKER_PRODUCER};
    worker_t *worker;
    sent_t sent = SENT_GONE;
    while (sent == SENT_GONE && (worker = post_candidate(self, post))) {
        connection_t *connection = worker->connection;
        sent = connection_send(self, connection, MSG_SOURCE_START, &start);
        if (sent == SENT_GONE) connection_remove(self, &connection);
        if (sent != SENT) continue;
        post->worker = worker;
        post->given = actor_ticks(self->me);
        worker->turn = ++self->last_turn;
    }
}

/* Nobody came in time. It is said again as long as the job goes on. */
static void post_give_up(recorder_t *self, post_t *post, int64_t now) {
    char text[900];
    const msg_stream_t *stream = post_stream(post);
    if (post->idle)
        snprintf(text, sizeof text, "nobody can run the source of `%s`: worker `%s` was given it and did not attach", stream->tags.items[0],
                 post->idle->name);
    else
        snprintf(text, sizeof text, "nobody can run the source of `%s`: no worker was ready for `%s` in %lld ms", stream->tags.items[0],
                 bound_urn(stream), (long long)(self->worker_wait_us / 1000));
    actor_tell(self->me, "job_supervisor", MSG_SOURCE_FAILED,
               &(msg_source_failed_t){.job = recording_job(post->recording)->job, .message = text});
    post->fed = now;
}

/* A job that runs already looks as if nothing were the matter. One that starts names what it needs by itself. */
static void post_tell_waiting(recorder_t *self, post_t *post) {
    char text[400];
    const msg_stream_t *stream = post_stream(post);
    if (post->told || !post->recording->open) return;
    snprintf(text, sizeof text, "a worker for `%s`", bound_urn(stream));
    actor_tell(self->me, "job_supervisor", MSG_SOURCE_WAITS,
               &(msg_source_waits_t){
                   .job = recording_job(post->recording)->job, .signature = stream->signature, .has_message = true, .message = text});
    post->told = true;
}

static void post_check(recorder_t *self, post_t *post, int64_t now) {
    if (reel_is_sealed(post->recording->reel) || post->recording->finish || post->recording->reel->broken) return;
    if (post_is_fed(post) || post_is_joined(self, post)) {
        post->idle = NULL;
        post->told = false; /* whoever attached has told the job */
        post->fed = now;
        return;
    }
    int64_t last = post->fed > post->given ? post->fed : post->given;
    if (post->worker && now - last >= self->worker_timeout_us) {
        post_stop(self, post, "superseded");
        post->idle = post->worker;
        post->worker = NULL;
    }
    if (!post->worker && now - post->fed >= self->worker_wait_us)
        post_give_up(self, post, now);
    else if (!post->worker)
        post_give(self, post);
    if (!post->worker) post_tell_waiting(self, post);
}

static int on_posts(void *state, uint64_t context, fault_t *why) {
    recorder_t *self = state;
    (void)context, (void)why;
    self->posts_timer = 0;
    posts_check(self);
    return 0;
}

void posts_check(recorder_t *self) {
    int64_t now = actor_ticks(self->me);
    post_t *post;
    self->posts_due = false;
    LIST_FOREACH(post, &self->posts, link) post_check(self, post, now);
    int64_t soonest = self->worker_timeout_us < self->worker_wait_us ? self->worker_timeout_us : self->worker_wait_us;
    if (!LIST_EMPTY(&self->posts) && !self->posts_timer) self->posts_timer = actor_after(self->me, liveness_check_us(soonest), on_posts, 0);
}

/* ---- messages ---- */

/* It runs nothing yet: what it feeds goes on where it is given out again. */
static void worker_begin_anew(recorder_t *self, worker_t *worker) {
    post_t *post;
    worker_dispossess(self, worker);
    LIST_FOREACH(post, &self->posts, link) {
        attachment_t *attachment, *next;
        for (attachment = LIST_FIRST(&worker->connection->attachments); attachment; attachment = next) {
            next = LIST_NEXT(attachment, of_connection);
            if (attachment->recording == post->recording && attachment->producer->stream == post->stream)
                attachment_stop(self, attachment, "superseded");
        }
    }
}

int worker_ready(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_worker_ready_t *m = in->message;
    (void)why;
    if (m->urns.count > URNS_MAX) {
        actor_refuse(self->me, in->ticket, ERROR_LIMIT, "urns", "`worker.ready`: %zu URNs are more than %d", m->urns.count, URNS_MAX);
        return 0;
    }
    connection_t *connection = connection_of(self, in->peer);
    worker_t *worker = connection->worker;
    bool joins = !worker && m->urns.count > 0;
    connection->heard = actor_ticks(self->me);
    if (joins) worker = worker_add(self, connection);
    if (worker) worker_begin_anew(self, worker); /* also the first time: an earlier state may have had it attach */
    if (m->urns.count > 0) {
        worker_set_urns(worker, &m->urns);
        worker_set_name(self, worker, m->has_worker ? m->worker : NULL);
    } else if (worker) {
        worker_remove(self, worker, "left");
    }
    if (joins) worker_notify(self, worker, "worker.joined", "ready");
    actor_answer(self->me, in->ticket, NULL);
    connection_release(self, connection);
    posts_check(self);
    return 0;
}

static msg_worker_source_t post_describe(const post_t *post, int64_t now) {
    const msg_recording_job_t *job = recording_job(post->recording);
    const msg_stream_t *stream = post_stream(post);
    return (msg_worker_source_t){.job = job->job,
                                 .pipeline = job->pipeline,
                                 .tag = stream->tags.items[0],
                                 .urn = bound_urn(stream),
                                 .has_waiting_ms = !post_is_fed(post),
                                 .waiting_ms = (now - post->fed) / 1000};
}

/* The posts of that worker, in `room`, which is moved on; of none: those that wait. */
static void posts_describe(const recorder_t *self, const worker_t *worker, msg_worker_source_t **room, size_t *ret_count) {
    int64_t now = actor_ticks(self->me);
    const post_t *post;
    *ret_count = 0;
    LIST_FOREACH(post, &self->posts, link) {
        if (post->worker != worker || (!worker && post_is_fed(post))) continue;
        *(*room)++ = post_describe(post, now);
        ++*ret_count;
    }
}

int worker_list(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    size_t workers = 0, posts = 0;
    worker_t *worker;
    post_t *post;
    (void)why;
    TAILQ_FOREACH(worker, &self->workers, link) workers++;
    LIST_FOREACH(post, &self->posts, link) posts++;
    msg_worker_t *items = calloc(workers + 1, sizeof *items);
    msg_worker_source_t *sources = calloc(posts + 1, sizeof *sources), *room = sources;
    must(items && sources);
    msg_workers_t answer = {.workers.items = items};
    TAILQ_FOREACH(worker, &self->workers, link) {
        msg_worker_t *item = &items[answer.workers.count++];
        *item = (msg_worker_t){.worker = worker->name,
                               .urns = worker->urns,
                               .uptime_ms = (actor_ticks(self->me) - worker->since) / 1000,
                               .sources.items = room};
        posts_describe(self, worker, &room, &item->sources.count);
    }
    answer.waiting.items = room;
    posts_describe(self, NULL, &room, &answer.waiting.count);
    actor_answer(self->me, in->ticket, &answer);
    free(items);
    free(sources);
    return 0;
}
