/* How a job starts, goes on after a restart, and ends. Its recording is created first, then its sources are started; when all have
 * attached the limiter starts its clock, and only then do the sources get credit: so all of them start at the same time, and the duration
 * runs from there. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/text.h"
#include "job_supervisor_state.h"
#include "sources/sources.h"

#define START_TIMEOUT_US INT64_C(30000000)
#define RETRY_US INT64_C(50000)
#define SOURCES_RETRY_US INT64_C(500000)

enum {
    CREATE_TRIES = 3
}; /* a recorder that fails on one question may answer the next; but one that it fails on each time is not asked for ever */

enum { JOBS_REMEMBERED = 20 }; /* of one pipeline, beside those whose recordings are there */

/* ---- what is told ---- */

void job_notify(job_supervisor_t *s, const char *topic, const char *key, const char *name, const char *state, const char *detail) {
    msg_notify_t notify = {.topic = topic, .key = key, .name = name, .state = state, .has_detail = detail && detail[0], .detail = detail};
    actor_tell(s->me, "notifier", MSG_NOTIFY, &notify);
}

static void go_to(job_supervisor_t *s, job_t *job, job_state_t state) {
    job_move(job, state);
    job_notify(s, "job.state", "job", job->job, job_state_name(state), job->error[0] ? job->error : job->stop_reason);
}

void job_answer(job_supervisor_t *s, ticket_t ticket, const job_t *job, const bool *cancelled) {
    size_t streams = job->plan ? job->plan->streams.count : 0;
    const char **room = calloc(JOB_DESCRIBE_TEXTS * streams + 1, sizeof *room);
    must(room);
    msg_job_t described;
    job_describe(job, actor_now(s->me), room, &described);
    if (cancelled) {
        actor_answer(s->me, ticket, &(msg_job_cancelled_t){.cancelled = *cancelled, .has_job = true, .job = described});
    } else {
        actor_answer(s->me, ticket, &described);
    }
    free(room);
}

void job_answer_decision(job_supervisor_t *s, ticket_t ticket, const job_t *job, bool started, bool needed, const char *reason) {
    msg_job_decision_t decision = {.started = started, .needed = needed, .reason = reason};
    if (job) {
        decision.has_job = true;
        decision.job = job->job;
        decision.has_recording = job->has_recording;
        decision.recording = job->recording;
    }
    actor_answer(s->me, ticket, &decision);
}

void job_answer_made_of(job_supervisor_t *s, ticket_t ticket, const job_t *job, const char *reason) {
    msg_job_decision_t decision = {.reason = reason,
                                   .has_job = true,
                                   .job = job->job,
                                   .has_recording = true,
                                   .recording = job->recording,
                                   .has_made_of = true,
                                   .made_of = job->signature};
    actor_answer(s->me, ticket, &decision);
}

/* ---- who waits ---- */

static void answer_waiter(job_supervisor_t *s, const job_t *job, waiter_t *waiter) {
    static const bool cancelled = true;
    actor_cancel(s->me, &waiter->timer);
    if (waiter->kind == WAIT_START) {
        job_answer_decision(s, waiter->ticket, job, waiter->started, waiter->started, waiter->reason);
    } else {
        job_answer(s, waiter->ticket, job, waiter->kind == WAIT_CANCEL ? &cancelled : NULL);
    }
    free(waiter);
}

static bool is_over(const job_t *job, const waiter_t *waiter) {
    return !job_is_active(job) || (waiter->kind == WAIT_START && job->state != JOB_STARTING);
}

static void answer_waiters(job_supervisor_t *s, job_t *job, bool counted) {
    for (waiter_t **at = &job->waiters; *at;) {
        waiter_t *waiter = *at;
        if (is_over(job, waiter) || (counted && waiter->kind == WAIT_COUNTS)) {
            *at = waiter->next;
            answer_waiter(s, job, waiter);
        } else {
            at = &waiter->next;
        }
    }
}

void job_counted(job_supervisor_t *s, job_t *job) {
    answer_waiters(s, job, true);
}

static int on_waited_enough(void *state, uint64_t ticket, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    for (job_t *job = s->jobs.first; job; job = job->next) {
        for (waiter_t **at = &job->waiters; *at; at = &(*at)->next) {
            waiter_t *waiter = *at;
            if (waiter->ticket != ticket) continue;
            *at = waiter->next;
            waiter->timer = 0;
            if (waiter->kind == WAIT_START) {
                answer_waiter(s, job, waiter);
            } else {
                actor_refuse(s->me, ticket, ERROR_UNAVAILABLE, NULL, "job `%s` is still %s", job->job, job_state_name(job->state));
                free(waiter);
            }
            return 0;
        }
    }
    return 0;
}

void job_add_waiter(job_supervisor_t *s, job_t *job, waiter_kind_t kind, ticket_t ticket, bool started, const char *reason,
                    int64_t timeout_us) {
    waiter_t *waiter = calloc(1, sizeof *waiter);
    must(waiter);
    *waiter = (waiter_t){.serial = job->serial, .ticket = ticket, .kind = kind, .started = started, .reason = reason, .next = job->waiters};
    if (timeout_us >= 0) waiter->timer = actor_after(s->me, timeout_us, on_waited_enough, ticket);
    job->waiters = waiter;
    answer_waiters(s, job, false);
}

/* ---- the end ---- */

static void ask_finish(job_supervisor_t *s, job_t *job);

static int on_retry_finish(void *state, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job) return 0;
    job->timer = 0;
    ask_finish(s, job);
    return 0;
}

static int on_remembered(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)state, (void)answer, (void)context, (void)why; /* the manifest says the same */
    return 0;
}

/* Is nothing left of it but that it was? */
static bool is_memory(const job_t *job, const char *pipeline) {
    return !job_is_active(job) && !job->has_recording && strcmp(job->pipeline, pipeline) == 0;
}

/* Lists the oldest jobs of that pipeline of which nothing is left, as many as there are more than are remembered. */
static size_t jobs_to_forget(const job_supervisor_t *s, const job_t *spared, job_t ***ret_jobs) {
    size_t count = 0, found = 0;
    for (const job_t *job = s->jobs.first; job; job = job->next) count += is_memory(job, spared->pipeline);
    size_t surplus = count > JOBS_REMEMBERED ? count - JOBS_REMEMBERED : 0;
    job_t **jobs = calloc(surplus + 1, sizeof(job_t *));
    must(jobs);
    for (job_t *job = s->jobs.first; job && found < surplus; job = job->next)
        if (job != spared && is_memory(job, spared->pipeline)) jobs[found++] = job;
    *ret_jobs = jobs;
    return found;
}

void job_remember(job_supervisor_t *s, const job_t *job) {
    msg_job_t described;
    job_describe(job, actor_now(s->me), NULL, &described);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    record_encode(RECORD_CLASS(job), &described, &out);
    job_t **forgotten;
    size_t count = jobs_to_forget(s, job, &forgotten);
    msg_document_t *documents = calloc(count + 1, sizeof *documents);
    must(documents);
    for (size_t i = 0; i < count; i++) documents[i] = (msg_document_t){.kind = "job", .key = forgotten[i]->job};
    documents[count] = (msg_document_t){.kind = "job", .key = job->job, .has_value = true, .value = {(const uint8_t *)out.data, out.size}};
    actor_ask(s->me, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {count + 1, documents}}, on_remembered, 0);
    for (size_t i = 0; i < count; i++) jobs_remove(&s->jobs, forgotten[i]);
    msgpack_sbuffer_destroy(&out);
    free(documents);
    free(forgotten);
}

/* A text that was cut may end within a character, and nobody would take it any more. */
__attribute__((format(printf, 2, 3))) static void set_error(job_t *job, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->error, sizeof job->error, format, arguments);
    va_end(arguments);
    text_mend(job->error);
}

static void ended(job_supervisor_t *s, job_t *job) {
    for (size_t i = 0; i < job->plan->streams.count; i++)
        if (job->sources[i].child[0]) actor_tell(s->me, "supervisor", MSG_CHILD_STOP, &(msg_child_stop_t){.name = job->sources[i].child});
    /* Only now: a limiter that fails and reads the manifests before the recorder has ended this one would watch it for ever. */
    actor_tell(s->me, "limiter", MSG_LIMITS_STOP, &(msg_limits_stop_t){.job = job->job});
    job->finishing = false;
    if (!job->ended) job->ended = actor_now(s->me);
    go_to(s, job, job->target);
    if (job_is_done(job)) job_notify(s, "recording.complete", "recording", job->recording, job->stop_reason, NULL);
    job_drop_plan(job);
    job_remember(s, job);
    answer_waiters(s, job, false);
    tasks_run(s);
}

static int on_finished(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job || !job->finishing) return 0;
    if (answer->refusal && answer->refusal->code == ERROR_UNAVAILABLE) {
        job->timer = actor_after(s->me, RETRY_US, on_retry_finish, serial);
        return 0;
    }
    const msg_recording_jobs_t *m = answer->message;
    if (m && m->recordings.count == 1) {
        const msg_recording_job_t *recording = &m->recordings.items[0];
        job->has_recording = true; /* also where it was said that it could not be created */
        job->elements = recording->elements;
        job->bytes = recording->bytes;
        if (recording->has_ended) job->ended = recording->ended;
        if (job_state_find(recording->state) == JOB_FAILED && job->target != JOB_FAILED) { /* the disk did not take the end */
            job->target = JOB_FAILED;
            snprintf(job->stop_reason, sizeof job->stop_reason, "%s", recording->has_stop_reason ? recording->stop_reason : "error");
            set_error(job, "%s", recording->has_error ? recording->error : "");
        }
    } else if (answer->refusal && job->target != JOB_FAILED) {
        job->target = JOB_FAILED;
        set_error(job, "the recording could not be ended: %s", answer->refusal->message);
    }
    ended(s, job);
    return 0;
}

static void ask_finish(job_supervisor_t *s, job_t *job) {
    msg_recording_finish_t finish = {.recording = job->recording, .state = job_state_name(job->target), .stop_reason = job->stop_reason};
    finish.has_error = job->error[0] != '\0';
    finish.error = job->error;
    actor_ask(s->me, "recorder", MSG_RECORDING_FINISH, &finish, on_finished, job->serial);
}

void job_finish(job_supervisor_t *s, job_t *job, job_state_t target, const char *stop_reason, const char *error) {
    if (job->finishing || !job_is_active(job)) return;
    job->finishing = true;
    job->target = target;
    snprintf(job->stop_reason, sizeof job->stop_reason, "%s", stop_reason);
    set_error(job, "%s", error ? error : "");
    actor_cancel(s->me, &job->timer);
    actor_cancel(s->me, &job->sources_timer);
    if (target == JOB_CANCELLED) go_to(s, job, JOB_CANCELLING);
    ask_finish(s, job);
}

/* ---- the start ---- */

static void start_clock(job_supervisor_t *s, job_t *job);

static int on_retry_clock(void *state, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job) return 0;
    job->timer = 0;
    job->starting_clock = false;
    start_clock(s, job);
    return 0;
}

static int on_clock_started(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job || job->finishing || job->state != JOB_STARTING) return 0;
    if (answer->refusal && answer->refusal->code == ERROR_UNAVAILABLE) {
        actor_cancel(s->me, &job->timer);
        job->timer = actor_after(s->me, RETRY_US, on_retry_clock, serial);
    } else if (answer->refusal) {
        job_finish(s, job, JOB_FAILED, "error", answer->refusal->message);
    } else {
        actor_cancel(s->me, &job->timer);
        job->started = ((const msg_limits_started_t *)answer->message)->start;
        go_to(s, job, JOB_RUNNING);
        answer_waiters(s, job, false);
    }
    return 0;
}

static void start_clock(job_supervisor_t *s, job_t *job) {
    if (job->starting_clock || job->finishing || job->state != JOB_STARTING) return;
    for (size_t i = 0; i < job->plan->streams.count; i++)
        if (!job->sources[i].joined) return;
    job->starting_clock = true;
    msg_limits_start_t start = {.job = job->job, .recording = job->recording, .limits = job->limits};
    actor_ask(s->me, "limiter", MSG_LIMITS_START, &start, on_clock_started, job->serial);
}

static int on_start_timeout(void *state, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job || job->state != JOB_STARTING) return 0;
    job->timer = 0;
    bool waits = false; /* for a worker: that is the recorder's to judge */
    char text[400] = "";
    for (size_t i = 0; i < job->plan->streams.count; i++) {
        const msg_stream_t *stream = &job->plan->streams.items[i];
        if (job->sources[i].joined) continue;
        waits |= stream->worker;
        if (!stream->worker)
            snprintf(text, sizeof text, "the source of `%s` did not attach in %lld s", stream->tags.items[0],
                     (long long)(START_TIMEOUT_US / 1000000));
    }
    if (!waits || text[0]) job_finish(s, job, JOB_FAILED, "error", text[0] ? text : "no source attached in time");
    return 0;
}

static int on_retry_sources(void *state, uint64_t serial, fault_t *why);

/* One that is unavailable is starting, or being restarted; or it is on its way out, and must be started once it is gone. */
static int on_source_started(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job || !job_is_active(job) || job->finishing || !answer->refusal) return 0;
    if (answer->refusal->code != ERROR_UNAVAILABLE)
        job_finish(s, job, JOB_FAILED, "error", answer->refusal->message);
    else if (!job->sources_timer)
        job->sources_timer = actor_after(s->me, SOURCES_RETRY_US, on_retry_sources, serial);
    return 0;
}

static void name_child(const char *job, const source_kind_t *kind, size_t index, char ret_name[256]) {
    snprintf(ret_name, 256, "%.100s:%.100s:%zu", kind->class->name, job, index);
}

void job_stop_sources(job_supervisor_t *s, const msg_recording_job_t *recording) {
    for (size_t i = 0; i < recording->streams.count; i++) {
        const source_kind_t *kind = source_kind_find(bound_urn(&recording->streams.items[i]));
        char name[256];
        if (!kind || !kind->class) continue;
        name_child(recording->job, kind, i, name);
        actor_tell(s->me, "supervisor", MSG_CHILD_STOP, &(msg_child_stop_t){.name = name});
    }
}

static void start_source(job_supervisor_t *s, job_t *job, size_t index) {
    const msg_stream_t *stream = &job->plan->streams.items[index];
    job_source_t *source = &job->sources[index];
    const source_kind_t *kind = source_kind_find(bound_urn(stream));
    if (source->ended || stream->worker) return; /* the recorder has a worker run it */
    if (!kind) {
        char text[700];
        snprintf(text, sizeof text, "nobody can run the source of `%s`: this engine has no connector for `%s`", stream->tags.items[0],
                 bound_urn(stream));
        job_finish(s, job, JOB_FAILED, "error", text);
        return;
    }
    if (!kind->class) {
        source->joined = true; /* whoever attaches */
        return;
    }
    bytes_t payload = bound_payload(stream);
    msg_source_args_t args = {.job = job->job,
                              .tag = stream->tags.items[0],
                              .has_payload = payload.size > 0,
                              .payload = payload,
                              .has_coder = stream->has_bound && stream->bound.has_coder,
                              .coder = stream->bound.coder,
                              .has_resumes = true,
                              .resumes = job->started != 0};
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(MSG_SOURCE_ARGS, &args, false, (bytes_t){0}, &out);
    name_child(job->job, kind, index, source->child);
    msg_child_start_t start = {.name = source->child, .urn = bound_urn(stream), .args = {(const uint8_t *)out.data, out.size}};
    actor_ask(s->me, "supervisor", MSG_CHILD_START, &start, on_source_started, job->serial);
    msgpack_sbuffer_destroy(&out);
}

static int on_retry_sources(void *state, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job) return 0;
    job->sources_timer = 0;
    for (size_t i = 0; job->plan && i < job->plan->streams.count && !job->finishing; i++) start_source(s, job, i);
    return 0;
}

static int on_created(void *state, const answer_t *answer, uint64_t serial, fault_t *why);

static void ask_create(job_supervisor_t *s, job_t *job) {
    job->create_tries++;
    actor_ask(s->me, "recorder", MSG_RECORDING_CREATE, job->plan, on_created, job->serial);
}

static int on_retry_create(void *state, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job) return 0;
    job->sources_timer = 0;
    if (job->plan && !job->finishing) ask_create(s, job);
    return 0;
}

static int on_created(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job) return 0;
    if (answer->refusal && answer->refusal->code == ERROR_UNAVAILABLE && job->create_tries < CREATE_TRIES && !job->finishing) {
        job->sources_timer = actor_after(s->me, RETRY_US, on_retry_create, serial);
        return 0;
    }
    if (answer->refusal) {
        job->has_recording = false;
        job_finish(s, job, JOB_FAILED, "error", answer->refusal->message);
        return 0;
    }
    for (size_t i = 0; i < job->plan->streams.count && !job->finishing; i++) start_source(s, job, i);
    start_clock(s, job);
    return 0;
}

static void take_plan(job_t *job, const msg_recording_create_t *plan) {
    job->plan = record_copy(&message_class(MSG_RECORDING_CREATE)->record, plan);
    job->sources = calloc(plan->streams.count + 1, sizeof *job->sources);
    must(job->plan && job->sources);
    job->limits = plan->limits;
    job->has_recording = true;
    job_set_signature(job, plan->streams.count, plan->streams.items);
    snprintf(job->request, sizeof job->request, "%s", plan->has_request ? plan->request : "");
    snprintf(job->reason, sizeof job->reason, "%s", plan->has_reason ? plan->reason : "");
}

void job_begin(job_supervisor_t *s, job_t *job, const msg_job_ensure_t *ensure, const msg_limits_t *limits, const char *reason) {
    msg_stream_t *streams = calloc(ensure->recordables.count + 1, sizeof *streams);
    msgpack_zone zone;
    fault_t unbound = {0};
    must(streams && msgpack_zone_init(&zone, 1024));
    for (size_t i = 0; i < ensure->recordables.count; i++) {
        const msg_recordable_t *r = &ensure->recordables.items[i];
        streams[i] =
            (msg_stream_t){.signature = r->signature, .urn = r->urn, .has_payload = r->has_payload, .payload = r->payload, .tags = r->tags};
        int bound = bindings_find(s->bindings, r->urn, r->has_payload ? r->payload : (bytes_t){0}, &zone, &streams[i].bound, &unbound);
        streams[i].has_bound = bound > 0;
        streams[i].has_worker = streams[i].worker = !source_kind_find(bound_urn(&streams[i]));
    }
    msg_recording_create_t plan = {.recording = job->recording,
                                   .job = job->job,
                                   .pipeline = job->pipeline,
                                   .limits = *limits,
                                   .streams = {ensure->recordables.count, streams},
                                   .has_request = ensure->has_request,
                                   .request = ensure->request,
                                   .has_reason = true,
                                   .reason = reason};
    take_plan(job, &plan);
    free(streams);
    msgpack_zone_destroy(&zone);
    job->timer = actor_after(s->me, START_TIMEOUT_US, on_start_timeout, job->serial);
    job_notify(s, "job.state", "job", job->job, job_state_name(job->state), NULL);
    ask_create(s, job);
    if (unbound.text[0]) job_finish(s, job, JOB_FAILED, "error", unbound.text);
}

void job_resume(job_supervisor_t *s, job_t *job, const msg_recording_job_t *recording) {
    msg_recording_create_t plan = {.recording = recording->recording,
                                   .job = recording->job,
                                   .pipeline = recording->pipeline,
                                   .limits = recording->limits,
                                   .has_request = recording->has_request,
                                   .request = recording->request,
                                   .has_reason = recording->has_reason,
                                   .reason = recording->reason};
    memcpy(&plan.streams, &recording->streams, sizeof plan.streams);
    job_recall(job, job->started ? JOB_RUNNING : JOB_STARTING);
    take_plan(job, &plan);
    job->ended = 0; /* whatever the catalog says */
    job->stop_reason[0] = job->error[0] = '\0';
    job_state_t ending = recording->has_ending ? job_state_find(recording->ending) : JOB_STATES;
    if (ending < JOB_STATES) {
        job_stop_sources(s, recording);
        job_finish(s, job, ending, recording->stop_reason, recording->has_error ? recording->error : NULL);
        return;
    }
    if (!job->started) job->timer = actor_after(s->me, START_TIMEOUT_US, on_start_timeout, job->serial);
    for (size_t i = 0; i < recording->streams.count; i++) {
        job->sources[i].joined = recording->streams.items[i].joined;
        job->sources[i].ended = recording->streams.items[i].ended;
    }
    if (recording->has_spent) {
        job_stop_sources(s, recording);
        job_finish(s, job, JOB_CANCELLED, recording->spent, NULL);
        return;
    }
    for (size_t i = 0; i < recording->streams.count && !job->finishing; i++) start_source(s, job, i);
    start_clock(s, job);
    job_source_ended(s, job, "");
}

void job_joined(job_supervisor_t *s, job_t *job, const char *signature) {
    if (!job->plan) return;
    for (size_t i = 0; i < job->plan->streams.count; i++)
        if (strcmp(job->plan->streams.items[i].signature, signature) == 0) job->sources[i].joined = true;
    job_waits(job, signature, NULL); /* whoever it was that waited: this one will say so if it does */
    start_clock(s, job);
}

void job_source_ended(job_supervisor_t *s, job_t *job, const char *signature) {
    if (!job->plan) return;
    size_t ended_count = 0;
    for (size_t i = 0; i < job->plan->streams.count; i++) {
        if (strcmp(job->plan->streams.items[i].signature, signature) == 0) job->sources[i].ended = true;
        if (job->sources[i].ended) ended_count++;
    }
    if (ended_count == job->plan->streams.count) job_finish(s, job, JOB_DONE, "sources_ended", NULL);
}
