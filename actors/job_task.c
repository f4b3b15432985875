/* What takes several messages for a pipeline (start a job in place of another, drop what is invalid, forget, clear) happens one at a
 * time for that pipeline, in the order in which it was asked. So two clients that race see one order or the other, and nothing between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_supervisor_state.h"

#define START_ANSWER_US INT64_C(1000000)

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
    record_free(&message_class(MSG_JOB_INVALIDATE)->record, (void **)&task->invalidate);
    record_free(&message_class(MSG_JOB_ADOPT)->record, (void **)&task->adopt);
    sweep_free(&task->sweep);
    free(task);
}

void task_end(job_supervisor_t *s, task_t *task) {
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

task_t *task_of_serial(job_supervisor_t *s, uint64_t serial) {
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
        if (!task->waits_for_end || !jobs_active_of(&s->jobs, task->pipeline)) return task;
    }
    return NULL;
}

/* Looks again after each step: it may have ended its task, and so let others go. */
void tasks_run(job_supervisor_t *s) {
    for (task_t *task; (task = task_that_can_go(s));) {
        task->active = true;
        task->waits_for_end = false;
        task_proceed(s, task);
    }
}

/* ---- what tasks have in common ---- */

void task_refuse(job_supervisor_t *s, task_t *task, const refusal_t *no) {
    actor_refuse_as(s->me, task->ticket, no);
    task_end(s, task);
}

static void tell_readers(job_supervisor_t *s, const task_t *task) {
    msg_test_stream_invalidate_t invalidate = {.pipeline = task->pipeline, .forgotten = task->kind == TASK_FORGET};
    actor_tell(s->me, "test_stream_server", MSG_TEST_STREAM_INVALIDATE, &invalidate);
}

task_t *task_granted(job_supervisor_t *s, const answer_t *answer, uint64_t serial) {
    task_t *task = task_of_serial(s, serial);
    if (!task || !answer->refusal) return task;
    task_refuse(s, task, answer->refusal);
    return NULL;
}

/* The pipeline's job is ended as superseded; what it and those before it recorded is swept, and the readers of its test stream are told.
 * What the task restores is left alone, and so are they who read it. True when that is done. */
static bool end_and_sweep(job_supervisor_t *s, task_t *task, fate_t fate) {
    job_t *active = jobs_active_of(&s->jobs, task->pipeline);
    if (active) {
        task->waits_for_end = true;
        tell_readers(s, task); /* now as well: they are not to take what was cut short for the whole */
        job_finish(s, active, JOB_CANCELLED, "superseded", NULL);
        return false;
    }
    if (!task->swept) {
        const job_t *current = jobs_current_of(&s->jobs, task->pipeline);
        task->swept = true;
        task->tells = task->kind == TASK_FORGET || (current && strcmp(current->recording, task->restores) != 0);
        sweep_add_all(s, task);
    }
    if (!sweep_run(s, task, fate)) return false;
    if (task->tells) tell_readers(s, task);
    task->tells = false;
    return true;
}

static names_t signature_of(const msg_job_ensure_t *ensure) {
    names_t signature = {0, calloc(ensure->recordables.count + 1, sizeof *signature.items)};
    must(signature.items);
    for (; signature.count < ensure->recordables.count; signature.count++)
        signature.items[signature.count] = ensure->recordables.items[signature.count].signature;
    return signature;
}

/* ---- TASK_ENSURE ---- */

/* Sets why a job is needed, or why none is; and the recording that becomes valid again, where the sources that it is made of came back.
 *
 * A valid recording that has all the sources was begun after they changed, whatever the tracker remembers: its manifest is the truth. */
static void decide(const job_supervisor_t *s, task_t *task) {
    const msg_job_ensure_t *ensure = task->ensure;
    const job_t *job = jobs_current_of(&s->jobs, task->pipeline), *complete = NULL;
    names_t signature = signature_of(ensure);
    bool fits = job && job_is_valid(job) && job_covers(job, &signature);
    bool serves = s->replay_enabled && fits && (job_is_active(job) || job_is_done(job));
    bool changed = ensure->changed || (job && job->has_recording && !fits);
    if (s->replay_enabled && changed && !serves && signature.count > 0) complete = jobs_complete_of(&s->jobs, task->pipeline, &signature);
    free(signature.items);
    task->decided = true;
    task->fate = s->replay_enabled ? FATE_RETIRE : FATE_EVICT;
    task->reason = task->not_needed = NULL;
    snprintf(task->restores, sizeof task->restores, "%s", complete ? complete->recording : "");
    if (ensure->recordables.count == 0)
        task->not_needed = "no_recordable_source";
    else if (serves && job_is_active(job))
        task->not_needed = "job_running";
    else if (serves || complete)
        task->not_needed = "recording_valid";
    else if (!s->replay_enabled)
        task->reason = "replay_disabled";
    else if (!job)
        task->reason = "first_run";
    else if (changed)
        task->reason = "sources_changed";
    else if (job->state == JOB_FAILED)
        task->reason = "job_failed";
    else
        task->reason = job_is_done(job) ? "recording_missing" : "job_cancelled";
}

static int on_limits(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_granted(s, answer, serial);
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

/* No job is started: says so, once the one that is starting runs. */
static void answer_not_started(job_supervisor_t *s, task_t *task) {
    job_t *job = task->ensure->recordables.count > 0 ? jobs_current_of(&s->jobs, task->pipeline) : NULL;
    bool needed = task->reason != NULL;
    if (!needed && !task->ensure->dry && job && job->state == JOB_STARTING)
        job_add_waiter(s, job, WAIT_START, task->ticket, false, task->not_needed, START_ANSWER_US);
    else if (!needed && task->ensure->changed && job)
        job_answer_made_of(s, task->ticket, job, task->not_needed);
    else
        job_answer_decision(s, task->ticket, job, false, needed, needed ? task->reason : task->not_needed);
    task_end(s, task);
}

/* The recording that the task restores becomes valid, and is the answer. */
static void restore(job_supervisor_t *s, task_t *task) {
    if (!sweep_restore(s, task)) return;
    job_answer_made_of(s, task->ticket, jobs_of_recording(&s->jobs, task->restores), "recording_valid");
    task_end(s, task);
}

static void ensure(job_supervisor_t *s, task_t *task) {
    const job_t *active = jobs_active_of(&s->jobs, task->pipeline);
    if (!task->decided) {
        if (was_started(s, task)) return;
        task->waits_for_end = active && active->finishing; /* how it ends decides */
        if (task->waits_for_end) return;
        decide(s, task);
    }
    bool dry = task->ensure->dry, restores = task->restores[0] != '\0';
    bool starts = task->reason && !dry, evicts = task->reason && task->fate == FATE_EVICT;
    if ((restores || starts || evicts) && !end_and_sweep(s, task, task->fate)) return;
    if (restores) {
        restore(s, task);
    } else if (starts) {
        msg_limits_resolve_t resolve = {.has_limits = task->ensure->has_limits,
                                        .limits = task->ensure->limits,
                                        .has_streams = true,
                                        .streams = (int64_t)task->ensure->recordables.count};
        actor_ask(s->me, "limiter", MSG_LIMITS_RESOLVE, &resolve, on_limits, task->serial);
    } else {
        answer_not_started(s, task);
    }
}

/* ---- the other kinds ---- */

static void answer_invalid(job_supervisor_t *s, task_t *task) {
    job_answer_decision(s, task->ticket, NULL, false, true, "sources_changed");
    task_end(s, task);
}

static void invalidate(job_supervisor_t *s, task_t *task) {
    const job_t *active = jobs_active_of(&s->jobs, task->pipeline);
    if (!task->decided) {
        const names_t *signature = &task->invalidate->signature;
        task->waits_for_end = active && active->finishing;
        if (task->waits_for_end) return;
        const job_t *job = jobs_current_of(&s->jobs, task->pipeline);
        bool valid = job && job_is_valid(job);
        if (s->replay_enabled && valid && job_covers(job, signature) && (active || job_is_done(job))) {
            /* asked again after a failure: it was done */
            job_answer_made_of(s, task->ticket, job, active ? "job_running" : "recording_valid");
            task_end(s, task);
            return;
        }
        bool restores = s->replay_enabled && signature->count > 0;
        const job_t *complete = restores ? jobs_complete_of(&s->jobs, task->pipeline, signature) : NULL;
        if (!active && !valid && !complete && !task->again) { /* all of it was dealt with when the change was first seen */
            answer_invalid(s, task);
            return;
        }
        snprintf(task->restores, sizeof task->restores, "%s", complete ? complete->recording : "");
        task->decided = true;
        task->fate = s->replay_enabled ? FATE_RETIRE : FATE_EVICT;
    }
    if (!end_and_sweep(s, task, task->fate)) return;
    if (task->restores[0])
        restore(s, task);
    else
        answer_invalid(s, task);
}

static int on_forgotten(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_granted(s, answer, serial);
    if (!task) return 0;
    for (job_t *job; (job = jobs_last_of(&s->jobs, task->pipeline));) jobs_remove(&s->jobs, job);
    actor_answer(s->me, task->ticket, NULL);
    task_end(s, task);
    return 0;
}

static void forget(job_supervisor_t *s, task_t *task) {
    if (!end_and_sweep(s, task, FATE_DROP)) return;
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

/* Nothing is cleared while a job writes, or deleted that is not there: true where that is refused. */
static bool refuse_clear(job_supervisor_t *s, task_t *task) {
    const job_t *job = jobs_active_of(&s->jobs, task->pipeline);
    if (task->kind == TASK_DELETE) job = jobs_of_recording(&s->jobs, task->sweep.recordings[0]);
    if (task->kind == TASK_DELETE && (!job || !job->has_recording))
        actor_refuse(s->me, task->ticket, ERROR_NOT_FOUND, "recording", "no recording `%s`", task->sweep.recordings[0]);
    else if (job && job_is_active(job))
        actor_refuse(s->me, task->ticket, ERROR_INVALID_STATE, NULL, "job `%s` of pipeline `%s` is %s", job->job, task->pipeline,
                     job_state_name(job->state));
    else
        return false;
    task_end(s, task);
    return true;
}

static void clear(job_supervisor_t *s, task_t *task) {
    if (!task->sweep.begun) {
        if (refuse_clear(s, task)) return;
        if (task->kind == TASK_CLEAR) sweep_add_all(s, task);
    }
    if (!sweep_run(s, task, task->kind == TASK_DELETE ? FATE_DROP : FATE_CLEAR)) return;
    const sweep_t *sweep = &task->sweep;
    const char **names = calloc(sweep->dropped_count + 1, sizeof *names);
    must(names);
    for (size_t i = 0; i < sweep->dropped_count; i++) names[i] = sweep->dropped[i];
    actor_answer(s->me, task->ticket, &(msg_recordings_dropped_t){.recordings = {sweep->dropped_count, names}});
    free(names);
    task_end(s, task);
}

void task_proceed(job_supervisor_t *s, task_t *task) {
    static void (*const steps[])(job_supervisor_t *,
                                 task_t *) = {[TASK_ENSURE] = ensure, [TASK_INVALIDATE] = invalidate, [TASK_FORGET] = forget,
                                              [TASK_CLEAR] = clear,   [TASK_DELETE] = clear,          [TASK_ADOPT] = adopt};
    steps[task->kind](s, task);
}
