/* The job supervisor owns the recording jobs: it decides whether a pipeline needs one, and starts, cancels, resumes and ends them.
 *
 * What it knows it can read again: jobs that have ended from the catalog, those that have not from the manifests of their recordings. So
 * when it or the whole engine restarts, a job that was running goes on where its sources and its recording are. */
#include "job_supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_supervisor_state.h"
#include "runtime/duration.h"

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why);

/* ---- life ---- */

static void job_supervisor_destroy(void **state) {
    job_supervisor_t *s = *state;
    if (!s) return;
    tasks_fini(s);
    jobs_fini(&s->jobs);
    bindings_destroy(&s->bindings);
    free(s);
    *state = NULL;
}

static void *job_supervisor_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args;
    bindings_t *bindings = bindings_create(actor_config(me)->bindings, why);
    if (!bindings) return NULL;
    job_supervisor_t *s = calloc(1, sizeof *s);
    must(s);
    s->me = me;
    s->bindings = bindings;
    actor_loading(me);
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_options, 0);
    return s;
}

/* ---- loading: options, then ended jobs, then recordings ---- */

static void load_job(job_supervisor_t *s, const msg_job_t *known) {
    job_t *job = jobs_add_known(&s->jobs, known->job, known->recording, known->pipeline);
    job_state_t state = job_state_find(known->state);
    job_recall(job, state < JOB_STATES && job_state_is_terminal(state) ? state : JOB_FAILED);
    snprintf(job->stop_reason, sizeof job->stop_reason, "%s", known->has_stop_reason ? known->stop_reason : "");
    snprintf(job->error, sizeof job->error, "%s", known->has_error ? known->error : "");
    job->limits = known->limits;
    job->elements = known->elements;
    job->bytes = known->bytes;
    job->started = known->has_started_at ? known->started_at : 0;
    job->ended = job->started + us_of_ms(known->elapsed_ms);
}

/* The manifest is the truth about a job whose recording exists. */
job_t *job_load(job_supervisor_t *s, const msg_recording_job_t *recording) {
    job_t *job = jobs_find(&s->jobs, recording->job);
    if (!job) job = jobs_add_known(&s->jobs, recording->job, recording->recording, recording->pipeline);
    job->has_recording = true;
    job->invalidated = recording->has_invalidated ? recording->invalidated : 0;
    job_set_signature(job, recording->streams.count, recording->streams.items);
    job->elements = recording->elements;
    job->bytes = recording->bytes;
    job->limits = recording->limits;
    job->created = recording->created;
    job->started = recording->has_started ? recording->started : 0;
    job_state_t state = job_state_find(recording->state);
    if (state == JOB_STATES || !job_state_is_terminal(state)) {
        job_resume(s, job, recording);
        return job;
    }
    job_stop_sources(s, recording);
    actor_tell(s->me, "limiter", MSG_LIMITS_STOP, &(msg_limits_stop_t){.job = job->job}); /* an earlier state may not have come to it */
    job_recall(job, state);
    job->ended = recording->has_ended ? recording->ended : job->started;
    snprintf(job->stop_reason, sizeof job->stop_reason, "%s", recording->has_stop_reason ? recording->stop_reason : "");
    snprintf(job->error, sizeof job->error, "%s", recording->has_error ? recording->error : "");
    snprintf(job->request, sizeof job->request, "%s", recording->has_request ? recording->request : "");
    snprintf(job->reason, sizeof job->reason, "%s", recording->has_reason ? recording->reason : "");
    return job;
}

/* A pipeline has one job at a time: of two that have not ended, the older one's end was lost. */
static void end_older(job_supervisor_t *s) {
    for (job_t *job = s->jobs.first; job; job = job->next)
        if (job_is_active(job) && jobs_last_of(&s->jobs, job->pipeline) != job) job_finish(s, job, JOB_CANCELLED, "superseded", NULL);
}

static int on_recordings(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    job_supervisor_t *s = state;
    if (!answer->message) return fault_set(why, "cannot read the recordings: %s", answer->refusal->message);
    const msg_recording_jobs_t *m = answer->message;
    for (size_t i = 0; i < m->recordings.count; i++) job_load(s, &m->recordings.items[i]);
    end_older(s);
    actor_loaded(s->me);
    return 0;
}

static int on_documents(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    job_supervisor_t *s = state;
    if (!answer->message) return fault_set(why, "cannot read the jobs: %s", answer->refusal->message);
    const msg_documents_t *m = answer->message;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(zone);
    int result = 0;
    for (size_t i = 0; i < m->documents.count && result == 0; i++) {
        msg_job_t known = {0};
        refusal_t no;
        result = record_decode(RECORD_CLASS(job), m->documents.items[i].key, m->documents.items[i].value, zone, &known, &no);
        if (result == 0)
            load_job(s, &known);
        else
            fault_set(why, "the catalog's job `%s` cannot be read: %s", m->documents.items[i].key, no.message);
    }
    msgpack_zone_free(zone);
    if (result == 0) actor_ask(s->me, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_ask_t){0}, on_recordings, 0);
    return result;
}

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    job_supervisor_t *s = state;
    if (!answer->message) return fault_set(why, "cannot read the options: %s", answer->refusal->message);
    const msg_options_t *options = answer->message;
    s->replay_enabled = options->enable_recording_replay;
    s->keep_recordings = options->keep_recordings;
    actor_ask(s->me, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = "job"}, on_documents, 0);
    return 0;
}

/* ---- what the tracker asks ---- */

static int on_ensure(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_job_ensure_t *m = in->message;
    task_t *task = task_add(s, TASK_ENSURE, m->pipeline, in->ticket);
    task->ensure = record_copy(&message_class(MSG_JOB_ENSURE)->record, m);
    tasks_run(s);
    return 0;
}

static int on_invalidate(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_job_invalidate_t *m = in->message;
    task_t *task = task_add(s, TASK_INVALIDATE, m->pipeline, in->ticket);
    task->invalidate = record_copy(&message_class(MSG_JOB_INVALIDATE)->record, m);
    task->again = in->request != in->ticket;
    tasks_run(s);
    return 0;
}

static int on_forget(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_add(s, TASK_FORGET, ((const msg_job_forget_t *)in->message)->pipeline, in->ticket);
    tasks_run(s);
    return 0;
}

/* ---- what clients ask ---- */

job_t *job_meant(job_supervisor_t *s, const envelope_t *in, const char *job_name, const char *pipeline) {
    const char *op = message_class(in->id)->wire;
    job_t *job = NULL;
    if (job_name) {
        job = jobs_find(&s->jobs, job_name);
        if (!job) actor_refuse(s->me, in->ticket, ERROR_NOT_FOUND, "job", "no job `%s`", job_name);
    } else if (pipeline) {
        job = jobs_current_of(&s->jobs, pipeline);
        if (!job) actor_refuse(s->me, in->ticket, ERROR_NOT_FOUND, "pipeline", "pipeline `%s` has no recording job", pipeline);
    } else {
        actor_refuse(s->me, in->ticket, ERROR_BAD_REQUEST, "job", "`%s`: `job` or `pipeline` is missing", op);
    }
    return job;
}

static int on_cancel(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_job_cancel_t *m = in->message;
    if (!m->has_job && m->has_pipeline && !jobs_last_of(&s->jobs, m->pipeline)) {
        actor_answer(s->me, in->ticket, &(msg_job_cancelled_t){.cancelled = false});
        return 0;
    }
    job_t *job = job_meant(s, in, m->job, m->pipeline);
    if (!job) return 0;
    /* Asked before this actor failed, the cancel itself may have ended it. */
    bool mine = in->request != in->ticket && strcmp(job->stop_reason, "user") == 0;
    if (job_is_active(job) && (mine || !job->finishing)) {
        job_add_waiter(s, job, WAIT_CANCEL, in->ticket, false, NULL, -1);
        job_finish(s, job, JOB_CANCELLED, "user", NULL);
    } else {
        job_answer(s, in->ticket, job, &mine);
    }
    return 0;
}

static int on_wait(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_job_wait_t *m = in->message;
    job_t *job = job_meant(s, in, m->job, m->pipeline);
    if (job) job_add_waiter(s, job, WAIT_END, in->ticket, false, NULL, us_of_ms(m->timeout_ms));
    return 0;
}

static int on_clear(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_recording_clear_t *m = in->message;
    task_add(s, TASK_CLEAR, m->pipeline, in->ticket);
    tasks_run(s);
    return 0;
}

static int on_delete(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_recording_delete_t *m = in->message;
    const job_t *job = jobs_of_recording(&s->jobs, m->recording);
    bool there = job && job->has_recording;
    if (!there && in->request != in->ticket) { /* it was, and this very request may have deleted it before this actor failed */
        const char *names[] = {m->recording};
        actor_answer(s->me, in->ticket, &(msg_recordings_dropped_t){.recordings = {1, names}});
    } else if (!there) {
        actor_refuse(s->me, in->ticket, ERROR_NOT_FOUND, "recording", "no recording `%s`", m->recording);
    } else if (job_is_active(job)) {
        actor_refuse(s->me, in->ticket, ERROR_INVALID_STATE, "recording", "job `%s` is %s and writes `%s`", job->job,
                     job_state_name(job->state), m->recording);
    } else {
        sweep_add(task_add(s, TASK_DELETE, job->pipeline, in->ticket), m->recording);
        tasks_run(s);
    }
    return 0;
}

/* ---- what happens to jobs ---- */

static int on_joined(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_source_joined_t *m = in->message;
    job_t *job = jobs_find(&s->jobs, m->job);
    if (job) job_joined(s, job, m->signature);
    return 0;
}

static int on_source_waits(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_source_waits_t *m = in->message;
    job_t *job = jobs_find(&s->jobs, m->job);
    if (job) job_waits(job, m->signature, m->has_message ? m->message : NULL);
    return 0;
}

static int on_source_ended(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_source_ended_t *m = in->message;
    job_t *job = jobs_find(&s->jobs, m->job);
    if (job) job_source_ended(s, job, m->signature);
    return 0;
}

static int on_source_failed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_source_failed_t *m = in->message;
    job_t *job = jobs_find(&s->jobs, m->job);
    if (job) job_finish(s, job, JOB_FAILED, "error", m->message);
    return 0;
}

static int on_limit_reached(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_limit_reached_t *m = in->message;
    job_t *job = jobs_find(&s->jobs, m->job);
    if (job) job_finish(s, job, JOB_CANCELLED, m->limit, NULL);
    return 0;
}

static int on_child_gone(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_child_gone_t *m = in->message;
    for (job_t *job = s->jobs.first; job; job = job->next)
        for (size_t i = 0; job->plan && i < job->plan->streams.count; i++)
            if (strcmp(job->sources[i].child, m->name) == 0) {
                job->sources[i].child[0] = '\0';
                job_finish(s, job, JOB_FAILED, "error", m->why);
                return 0;
            }
    return 0;
}

/* The recorder may have found damage, or lost what a job waits for: it is asked how things stand. */
static int on_standing(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context, (void)why;
    job_supervisor_t *s = state;
    const msg_recording_jobs_t *m = answer->message;
    for (size_t i = 0; m && i < m->recordings.count; i++) {
        const msg_recording_job_t *recording = &m->recordings.items[i];
        job_t *job = jobs_find(&s->jobs, recording->job);
        job_state_t known = job_state_find(recording->state);
        if (!job || !job_is_active(job) || job->finishing) continue;
        if (known == JOB_FAILED)
            job_finish(s, job, JOB_FAILED, "error", recording->has_error ? recording->error : "its recording is damaged");
        else if (recording->has_spent)
            job_finish(s, job, JOB_CANCELLED, recording->spent, NULL);
    }
    return 0;
}

static int on_recovered(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    job_supervisor_t *s = state;
    actor_ask(s->me, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_ask_t){0}, on_standing, 0);
    return 0;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_options_changed_t *options = in->message;
    s->replay_enabled = options->enable_recording_replay;
    s->keep_recordings = options->keep_recordings;
    return 0;
}

const actor_class_t job_supervisor_class = {
    .name = "job_supervisor",
    .doc = "Starts, cancels, resumes and ends recording jobs and their sources.",
    .create = job_supervisor_create,
    .destroy = job_supervisor_destroy,
    .takes =
        {
            [MSG_JOB_ENSURE] = on_ensure,
            [MSG_JOB_INVALIDATE] = on_invalidate,
            [MSG_JOB_FORGET] = on_forget,
            [MSG_JOB_NUMBER] = job_on_number,
            [MSG_JOB_ADOPT] = job_on_adopt,
            [MSG_JOB_DESCRIBE] = counts_describe,
            [MSG_JOB_LIST] = counts_list,
            [MSG_PROGRESS_MADE] = counts_progress,
            [MSG_JOB_CANCEL] = on_cancel,
            [MSG_JOB_WAIT] = on_wait,
            [MSG_RECORDING_CLEAR] = on_clear,
            [MSG_RECORDING_DELETE] = on_delete,
            [MSG_SOURCE_JOINED] = on_joined,
            [MSG_SOURCE_WAITS] = on_source_waits,
            [MSG_SOURCE_ENDED] = on_source_ended,
            [MSG_SOURCE_FAILED] = on_source_failed,
            [MSG_LIMIT_REACHED] = on_limit_reached,
            [MSG_CHILD_GONE] = on_child_gone,
            [MSG_RECORDER_RECOVERED] = on_recovered,
            [MSG_OPTIONS_CHANGED] = on_options_changed,
        },
    .sends = {MSG_OPTIONS_GET, MSG_CATALOG_READ, MSG_CATALOG_WRITE, MSG_RECORDING_JOBS_ASK, MSG_RECORDING_CREATE, MSG_RECORDING_FINISH,
              MSG_RECORDING_DROP, MSG_RECORDING_MARK, MSG_RECORDING_ADOPT, MSG_CHILD_START, MSG_CHILD_STOP, MSG_LIMITS_RESOLVE,
              MSG_LIMITS_START, MSG_LIMITS_STOP, MSG_TEST_STREAM_INVALIDATE, MSG_NOTIFY, MSG_PROGRESS_ASK},
    .doors = {[JOB_SUPERVISOR_PROGRESS] = {DOOR_LINE, ENDPOINT_PROGRESS, SCOPE_INTERNAL}},
};
