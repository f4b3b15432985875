/* What takes several messages for a pipeline (start a job in place of another, drop what is invalid, forget, clear) happens one at a
 * time for that pipeline, in the order in which it was asked. So two clients that race see one order or the other, and nothing between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_supervisor_state.h"

#define START_ANSWER_US INT64_C(1000000)

static void proceed(job_supervisor_t *s, task_t *task);

/* ---- the queue ---- */

task_t *task_add(job_supervisor_t *s, task_kind_t kind, const char *pipeline, ticket_t ticket) {
    task_t *task = calloc(1, sizeof *task);
    must(task);
    task->serial = ++s->last_task;
    task->kind = kind;
    task->ticket = ticket;
    snprintf(task->pipeline, sizeof task->pipeline, "%s", pipeline);
    task_t **at = &s->tasks;
    while (*at) at = &(*at)->next;
    *at = task;
    return task;
}

static void task_free(task_t *task) {
    record_free(&message_class(MSG_JOB_ENSURE)->record, (void **)&task->ensure);
    free(task->drops);
    free(task->dropped);
    free(task);
}

static void task_end(job_supervisor_t *s, task_t *task) {
    task_t **at = &s->tasks;
    while (*at != task) at = &(*at)->next;
    *at = task->next;
    task_free(task);
    tasks_run(s);
}

void tasks_fini(job_supervisor_t *s) {
    while (s->tasks) {
        task_t *next = s->tasks->next;
        task_free(s->tasks);
        s->tasks = next;
    }
}

static task_t *task_of_serial(job_supervisor_t *s, uint64_t serial) {
    task_t *task = s->tasks;
    while (task && task->serial != serial) task = task->next;
    return task;
}

static bool is_first(const job_supervisor_t *s, const task_t *task) {
    for (const task_t *other = s->tasks; other != task; other = other->next)
        if (strcmp(other->pipeline, task->pipeline) == 0) return false;
    return true;
}

static task_t *task_that_can_go(job_supervisor_t *s) {
    for (task_t *task = s->tasks; task; task = task->next) {
        if (!task->waits_for_end && (task->active || !is_first(s, task))) continue;
        const job_t *job = task->waits_for_end ? jobs_last_of(&s->jobs, task->pipeline) : NULL;
        if (!job || !job_is_active(job)) return task;
    }
    return NULL;
}

/* Looks again after each step: it may have ended its task, and so let others go. */
void tasks_run(job_supervisor_t *s) {
    for (task_t *task; (task = task_that_can_go(s));) {
        task->active = true;
        task->waits_for_end = false;
        proceed(s, task);
    }
}

/* ---- dropping recordings ---- */

void task_drop(task_t *task, const char *recording) {
    task->drops = realloc(task->drops, (task->drops_count + 1) * sizeof *task->drops);
    must(task->drops);
    snprintf(task->drops[task->drops_count++], sizeof *task->drops, "%s", recording);
}

static void drop_next(job_supervisor_t *s, task_t *task);

static void refuse_task(job_supervisor_t *s, task_t *task, const refusal_t *no) {
    actor_refuse_as(s->me, task->ticket, no);
    task_end(s, task);
}

/* The task that goes on with this answer; NULL where it is gone, or where the answer was a refusal that ended it. */
static task_t *task_of_answer(job_supervisor_t *s, const answer_t *answer, uint64_t serial) {
    task_t *task = task_of_serial(s, serial);
    if (!task || !answer->refusal) return task;
    refuse_task(s, task, answer->refusal);
    return NULL;
}

static int on_dropped(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_answer(s, answer, serial);
    if (!task) return 0;
    const char *recording = task->drops[task->drop++];
    job_t *job = jobs_of_recording(&s->jobs, recording);
    if (job) job->has_recording = false;
    task->dropped = realloc(task->dropped, (task->dropped_count + 1) * sizeof *task->dropped);
    must(task->dropped);
    snprintf(task->dropped[task->dropped_count++], sizeof *task->dropped, "%s", recording);
    if (task->kind == TASK_INVALIDATE || task->kind == TASK_ENSURE)
        job_notify(s, "recording.invalidated", "recording", recording, "dropped", NULL);
    drop_next(s, task);
    return 0;
}

static int on_kept_known(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_serial(s, serial);
    if (!task) return 0;
    if (answer->refusal && answer->refusal->code != ERROR_NOT_FOUND) {
        refuse_task(s, task, answer->refusal);
        return 0;
    }
    const msg_recording_jobs_t *m = answer->message;
    if (m && m->recordings.count == 1 && m->recordings.items[0].kept) {
        job_notify(s, "recording.invalidated", "recording", task->drops[task->drop], "kept", NULL);
        task->drop++;
        drop_next(s, task);
        return 0;
    }
    actor_ask(s->me, "recorder", MSG_RECORDING_DROP, &(msg_recording_drop_t){.recording = task->drops[task->drop]}, on_dropped, serial);
    return 0;
}

static void drop_next(job_supervisor_t *s, task_t *task) {
    if (task->drop == task->drops_count) {
        proceed(s, task);
        return;
    }
    msg_recording_jobs_ask_t ask = {.has_recording = true, .recording = task->drops[task->drop]};
    if (task->spares_kept) {
        actor_ask(s->me, "recorder", MSG_RECORDING_JOBS_ASK, &ask, on_kept_known, task->serial);
    } else {
        actor_ask(s->me, "recorder", MSG_RECORDING_DROP, &(msg_recording_drop_t){.recording = ask.recording}, on_dropped, task->serial);
    }
}

/* The pipeline's job is ended and its test stream stopped; then all its recordings are dropped. True when that is done. */
static bool end_and_drop(job_supervisor_t *s, task_t *task, bool spares_kept) {
    job_t *job = jobs_last_of(&s->jobs, task->pipeline);
    if (job && job_is_active(job)) {
        task->waits_for_end = true;
        job_finish(s, job, JOB_CANCELLED, "superseded", NULL);
        return false;
    }
    if (task->drops) return task->drop == task->drops_count;
    if (job || task->kind == TASK_FORGET)
        actor_tell(s->me, "test_stream_server", MSG_TEST_STREAM_INVALIDATE,
                   &(msg_test_stream_invalidate_t){.pipeline = task->pipeline, .forgotten = task->kind == TASK_FORGET});
    task->spares_kept = spares_kept;
    for (job_t *old = s->jobs.first; old; old = old->next)
        if (old->has_recording && strcmp(old->pipeline, task->pipeline) == 0) task_drop(task, old->recording);
    if (!task->drops) return true;
    drop_next(s, task);
    return false;
}

/* ---- TASK_ENSURE ---- */

/* Why a job is needed; NULL where none is, and then `ret_reason` says why not. */
static const char *decide(const job_supervisor_t *s, const msg_job_ensure_t *ensure, const job_t *job, const char **ret_reason) {
    bool stands = s->replay_enabled && !ensure->changed && job;
    *ret_reason = NULL;
    if (ensure->recordables.count == 0)
        *ret_reason = "no_recordable_source";
    else if (stands && (job->state == JOB_STARTING || job->state == JOB_RUNNING))
        *ret_reason = "job_running";
    else if (stands && job_is_done(job) && job->has_recording)
        *ret_reason = "recording_valid";
    if (*ret_reason) return NULL;
    if (!s->replay_enabled) return "replay_disabled";
    if (!job) return "first_run";
    if (ensure->changed) return "sources_changed";
    if (job->state == JOB_FAILED) return "job_failed";
    return job_is_done(job) ? "recording_missing" : "job_cancelled";
}

static int on_limits(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_answer(s, answer, serial);
    if (!task) return 0;
    const msg_limits_resolved_t *m = answer->message;
    job_t *job = jobs_add(&s->jobs, task->pipeline, actor_now(s->me));
    job_begin(s, job, task->ensure, &m->limits, task->reason);
    job_add_waiter(s, job, WAIT_START, task->ticket, true, task->reason, START_ANSWER_US);
    task_end(s, task);
    return 0;
}

/* The same request again, because the tracker or this actor failed on the way: what it started is its answer. */
static bool was_started(job_supervisor_t *s, task_t *task) {
    const msg_job_ensure_t *m = task->ensure;
    job_t *job = m->has_request && !m->dry ? jobs_of_request(&s->jobs, task->pipeline, m->request) : NULL;
    if (!job) return false;
    job_add_waiter(s, job, WAIT_START, task->ticket, true, job->reason, START_ANSWER_US);
    task_end(s, task);
    return true;
}

static void ensure(job_supervisor_t *s, task_t *task) {
    if (was_started(s, task)) return;
    job_t *job = jobs_last_of(&s->jobs, task->pipeline);
    const char *not_needed = NULL;
    if (job && job->finishing) {
        task->waits_for_end = true; /* how it ends decides */
        return;
    }
    if (!task->reason) task->reason = decide(s, task->ensure, job, &not_needed);
    if (task->ensure->dry || !task->reason) {
        if (not_needed && job && job->state == JOB_STARTING && !task->ensure->dry) {
            job_add_waiter(s, job, WAIT_START, task->ticket, false, not_needed, START_ANSWER_US);
        } else {
            bool nothing = task->ensure->recordables.count == 0;
            job_answer_decision(s, task->ticket, nothing ? NULL : job, false, task->reason != NULL,
                                task->reason ? task->reason : not_needed);
        }
        task_end(s, task);
        return;
    }
    if (!end_and_drop(s, task, true)) return;
    msg_limits_resolve_t resolve = {.has_limits = task->ensure->has_limits, .limits = task->ensure->limits};
    actor_ask(s->me, "limiter", MSG_LIMITS_RESOLVE, &resolve, on_limits, task->serial);
}

/* ---- the other kinds ---- */

static int on_forgotten(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_answer(s, answer, serial);
    if (!task) return 0;
    for (job_t *job; (job = jobs_last_of(&s->jobs, task->pipeline));) jobs_remove(&s->jobs, job);
    actor_answer(s->me, task->ticket, NULL);
    task_end(s, task);
    return 0;
}

static void forget(job_supervisor_t *s, task_t *task) {
    if (!end_and_drop(s, task, false)) return;
    size_t count = 0;
    for (job_t *job = s->jobs.first; job; job = job->next) count++;
    msg_document_t *documents = calloc(count + 1, sizeof *documents);
    must(documents);
    msg_catalog_write_t write = {.documents = {0, documents}};
    for (job_t *job = s->jobs.first; job; job = job->next)
        if (strcmp(job->pipeline, task->pipeline) == 0)
            documents[write.documents.count++] = (msg_document_t){.kind = "job", .key = job->job};
    actor_ask(s->me, "catalog", MSG_CATALOG_WRITE, &write, on_forgotten, task->serial);
    free(documents);
}

static void clear(job_supervisor_t *s, task_t *task) {
    job_t *job = task->kind == TASK_DELETE ? jobs_of_recording(&s->jobs, task->drops[0]) : jobs_last_of(&s->jobs, task->pipeline);
    bool done = task->drops && task->drop == task->drops_count;
    if (task->kind == TASK_DELETE && !done && (!job || !job->has_recording)) {
        actor_refuse(s->me, task->ticket, ERROR_NOT_FOUND, "recording", "no recording `%s`", task->drops[0]);
        task_end(s, task);
        return;
    }
    if (job && job_is_active(job)) {
        actor_refuse(s->me, task->ticket, ERROR_INVALID_STATE, NULL, "job `%s` of pipeline `%s` is %s", job->job, task->pipeline,
                     job_state_name(job->state));
        task_end(s, task);
        return;
    }
    if (task->kind == TASK_CLEAR && !task->drops) {
        task->spares_kept = true;
        for (job_t *old = s->jobs.first; old; old = old->next)
            if (old->has_recording && strcmp(old->pipeline, task->pipeline) == 0) task_drop(task, old->recording);
    }
    if (task->drop < task->drops_count) {
        drop_next(s, task);
        return;
    }
    const char **names = calloc(task->dropped_count + 1, sizeof *names);
    must(names);
    for (size_t i = 0; i < task->dropped_count; i++) names[i] = task->dropped[i];
    actor_answer(s->me, task->ticket, &(msg_recordings_dropped_t){.recordings = {task->dropped_count, names}});
    free(names);
    task_end(s, task);
}

static void invalidate(job_supervisor_t *s, task_t *task) {
    if (!end_and_drop(s, task, true)) return;
    actor_answer(s->me, task->ticket, NULL);
    task_end(s, task);
}

static void proceed(job_supervisor_t *s, task_t *task) {
    static void (*const steps[])(job_supervisor_t *, task_t *) = {
        [TASK_ENSURE] = ensure, [TASK_INVALIDATE] = invalidate, [TASK_FORGET] = forget, [TASK_CLEAR] = clear, [TASK_DELETE] = clear};
    steps[task->kind](s, task);
}
