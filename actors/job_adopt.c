/* A recording that came from elsewhere. It has been written already, as a recording of a job that has ended, and waits in a folder that nobody
 * sees; from here on it is one of its pipeline's. That happens as everything that changes a pipeline's recordings: one thing at a time.
 *
 * It becomes the pipeline's own recording unless that has a valid one of sources that this one lacks. Then it is as one that a change of sources
 * has made invalid: there by its id, and the pipeline's own when those sources come back. */
#include <stdlib.h>
#include <string.h>

#include "job_supervisor_state.h"

static int text_order(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Does the recording have all of `signature`? */
static bool recording_covers(const msg_recording_job_t *recording, const names_t *signature) {
    size_t count = recording->streams.count, found = 0;
    const char **texts = calloc(count + 1, sizeof *texts);
    must(texts);
    for (size_t i = 0; i < count; i++) texts[i] = recording->streams.items[i].signature;
    qsort(texts, count, sizeof *texts, text_order);
    while (found < signature->count && bsearch(&signature->items[found], texts, count, sizeof *texts, text_order)) found++;
    free(texts);
    return found == signature->count;
}

static int on_adopted(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    task_t *task = task_granted(s, answer, serial);
    if (!task) return 0;
    const msg_recording_jobs_t *m = answer->message;
    must(m->recordings.count == 1);
    const job_t *job = job_load(s, &m->recordings.items[0]);
    job_notify(s, "recording.complete", "recording", job->recording, job->stop_reason, NULL);
    job_remember(s, job);
    if (job_is_valid(job))
        job_answer_made_of(s, task->ticket, job, "recording_valid");
    else
        job_answer_decision(s, task->ticket, job, false, false, "sources_changed");
    task_end(s, task);
    return 0;
}

void adopt(job_supervisor_t *s, task_t *task) {
    const msg_recording_job_t *recording = &task->adopt->recording;
    const job_t *active = jobs_active_of(&s->jobs, task->pipeline), *current = jobs_current_of(&s->jobs, task->pipeline);
    if (active) {
        refusal_t no;
        refuse(&no, ERROR_INVALID_STATE, "pipeline", "job `%s` of pipeline `%s` is %s: cancel it, or import under another name",
               active->job, task->pipeline, job_state_name(active->state));
        task_refuse(s, task, &no);
        return;
    }
    bool strange = current && job_is_valid(current) && !recording_covers(recording, &current->signature);
    msg_recording_adopt_t ask = {.recording = recording->recording, .folder = task->adopt->folder, .invalid = strange};
    actor_ask(s->me, "recorder", MSG_RECORDING_ADOPT, &ask, on_adopted, task->serial);
}

int job_on_adopt(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_job_adopt_t *m = in->message;
    task_t *task = task_add(s, TASK_ADOPT, m->recording.pipeline, in->ticket);
    task->adopt = record_copy(&message_class(MSG_JOB_ADOPT)->record, m);
    tasks_run(s);
    return 0;
}

int job_on_number(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    char job[JOB_NAME_SIZE], recording[JOB_NAME_SIZE];
    jobs_name(&s->jobs, actor_now(s->me), job, recording);
    actor_answer(s->me, in->ticket, &(msg_job_numbered_t){.job = job, .recording = recording});
    return 0;
}
