/* What becomes of a pipeline's recordings when its sources change, when it records anew, when they are cleared or forgotten. Each is asked
 * about and dealt with before the next, the one that was valid last first. A recording is told to be invalid, in its own manifest, before
 * anything takes its place, and one that comes back is told to be valid last of all: so whenever the process dies, no invalid recording
 * looks valid. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_supervisor_state.h"

static void sweep_next(job_supervisor_t *s, task_t *task);

void sweep_free(sweep_t *sweep) {
    free(sweep->recordings);
    free(sweep->dropped);
}

static void name_add(char (**names)[256], size_t *count, const char *name) {
    *names = realloc(*names, (*count + 1) * sizeof **names);
    must(*names);
    snprintf((*names)[(*count)++], sizeof **names, "%s", name);
}

void sweep_add(task_t *task, const char *recording) {
    name_add(&task->sweep.recordings, &task->sweep.count, recording);
}

void sweep_add_all(job_supervisor_t *s, task_t *task) {
    size_t count = 0, found = 0;
    for (job_t *job = s->jobs.first; job; job = job->next) count++;
    job_t **jobs = calloc(count + 1, sizeof(job_t *));
    must(jobs);
    for (job_t *job = s->jobs.first; job; job = job->next)
        if (job->has_recording && strcmp(job->pipeline, task->pipeline) == 0 && strcmp(job->recording, task->restores) != 0)
            jobs[found++] = job;
    qsort(jobs, found, sizeof(job_t *), jobs_order_by_validity);
    for (size_t i = 0; i < found; i++) sweep_add(task, jobs[i]->recording);
    free(jobs);
}

static const char *current(const task_t *task) {
    return task->sweep.recordings[task->sweep.next];
}

/* ---- the answers ---- */

/* The task that goes on with this answer; NULL where it is gone, or where the answer was a refusal that ended it. */
static task_t *task_of_answer(job_supervisor_t *s, const answer_t *answer, uint64_t serial) {
    task_t *task = task_of_serial(s, serial);
    if (!task || !answer->refusal || answer->refusal->code == ERROR_NOT_FOUND) return task;
    task_refuse(s, task, answer->refusal);
    return NULL;
}

static int on_dropped(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_serial(s, serial);
    if (task && answer->refusal && answer->refusal->code == ERROR_CONFLICT) { /* somebody keeps it since it was asked about */
        sweep_next(s, task);
        return 0;
    }
    task = task_of_answer(s, answer, serial);
    if (!task) return 0;
    job_t *job = jobs_of_recording(&s->jobs, current(task));
    if (job) job->has_recording = false;
    name_add(&task->sweep.dropped, &task->sweep.dropped_count, current(task));
    if (task->sweep.fate == FATE_EVICT || task->sweep.fate == FATE_RETIRE)
        job_notify(s, "recording.invalidated", "recording", current(task), "dropped", NULL);
    task->sweep.next++;
    sweep_next(s, task);
    return 0;
}

static int on_marked(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_answer(s, answer, serial);
    if (!task) return 0;
    job_t *job = jobs_of_recording(&s->jobs, current(task));
    if (job && answer->refusal) job->has_recording = false;
    if (job && !job->invalidated) job->invalidated = actor_now(s->me);
    if (!answer->refusal) job_notify(s, "recording.invalidated", "recording", current(task), "kept", NULL);
    task->sweep.next++;
    sweep_next(s, task);
    return 0;
}

static void drop(job_supervisor_t *s, task_t *task) {
    msg_recording_drop_t drop = {.recording = current(task), .has_spares = true, .spares = task->sweep.fate != FATE_DROP};
    actor_ask(s->me, "recorder", MSG_RECORDING_DROP, &drop, on_dropped, task->serial);
}

static void mark_invalid(job_supervisor_t *s, task_t *task) {
    actor_ask(s->me, "recorder", MSG_RECORDING_MARK, &(msg_recording_mark_t){.recording = current(task), .invalid = true}, on_marked,
              task->serial);
}

/* Does it stay although nobody keeps it by name? */
static bool retires(const job_supervisor_t *s, const task_t *task) {
    const job_t *job = jobs_of_recording(&s->jobs, current(task));
    return task->sweep.fate == FATE_RETIRE && job && job_is_done(job) && (int64_t)task->sweep.retired < s->keep_recordings;
}

static int on_known(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_answer(s, answer, serial);
    if (!task) return 0;
    const msg_recording_jobs_t *m = answer->message;
    const msg_recording_job_t *recording = m && m->recordings.count == 1 ? &m->recordings.items[0] : NULL;
    bool kept = recording && recording->kept, stays = kept || (recording && retires(s, task));
    if (stays && !kept) task->sweep.retired++;
    if (!stays) {
        drop(s, task);
    } else if (task->sweep.fate == FATE_CLEAR || recording->has_invalidated) {
        task->sweep.next++;
        sweep_next(s, task);
    } else {
        mark_invalid(s, task);
    }
    return 0;
}

/* ---- the list ---- */

static void sweep_next(job_supervisor_t *s, task_t *task) {
    msg_recording_jobs_ask_t ask = {.has_recording = true};
    if (task->sweep.next == task->sweep.count) {
        task_proceed(s, task);
    } else if (task->sweep.fate == FATE_DROP) {
        drop(s, task);
    } else {
        ask.recording = current(task);
        actor_ask(s->me, "recorder", MSG_RECORDING_JOBS_ASK, &ask, on_known, task->serial);
    }
}

bool sweep_run(job_supervisor_t *s, task_t *task, fate_t fate) {
    if (task->sweep.begun || task->sweep.count == 0) return true; /* it proceeds only with the end of the list */
    task->sweep.begun = true;
    task->sweep.fate = fate;
    sweep_next(s, task);
    return false;
}

static int on_restored(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_of_serial(s, serial);
    if (!task) return 0;
    job_t *job = jobs_of_recording(&s->jobs, task->restores);
    must(job); /* only a task of this pipeline forgets it */
    if (answer->refusal && answer->refusal->code != ERROR_NOT_FOUND) {
        task_refuse(s, task, answer->refusal);
        return 0;
    }
    if (answer->refusal) { /* somebody took its folder away: without it something else is decided */
        job->has_recording = false;
        task->restores[0] = '\0';
        task->decided = false;
    }
    job->invalidated = 0;
    task_proceed(s, task);
    return 0;
}

bool sweep_restore(job_supervisor_t *s, task_t *task) {
    const job_t *job = jobs_of_recording(&s->jobs, task->restores);
    must(job);
    if (job_is_valid(job)) return true;
    actor_ask(s->me, "recorder", MSG_RECORDING_MARK, &(msg_recording_mark_t){.recording = task->restores, .invalid = false}, on_restored,
              task->serial);
    return false;
}
