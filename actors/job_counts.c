/* How far jobs are. Only the recorder knows, and it is busy: a question to it takes longer than everything else about a request. Therefore it
 * announces, with an answer, that it will tell the next changes by itself, each before it acknowledges what was recorded; they come over a
 * line that nothing overtakes. As long as such changes are to come, what was last heard is how far the job is. */
#include <stdlib.h>

#include "job_supervisor_state.h"

enum { ASK_BELOW = 128 }; /* of those announced: asked for more in time, nobody waits for it */

static void take(job_t *job, int64_t elements, int64_t bytes, int64_t announced) {
    job->announced = announced;
    if (!job_is_active(job)) return; /* it was told with its end */
    job->elements = elements;
    job->bytes = bytes;
}

int counts_progress(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_progress_made_t *m = in->message;
    job_t *job = jobs_of_recording(&s->jobs, m->recording);
    if (job) take(job, m->elements, m->bytes, m->announced);
    return 0;
}

static int on_progress(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_progress_t *m = answer->message;
    job_t *job = jobs_of_serial(&s->jobs, serial);
    if (!job) return 0;
    job->counting = false;
    if (m) take(job, m->elements, m->bytes, m->announced);
    job_counted(s, job);
    return 0;
}

static void ask(job_supervisor_t *s, job_t *job) {
    if (job->counting || job->announced >= ASK_BELOW) return;
    job->counting = true;
    actor_door_ask(s->me, JOB_SUPERVISOR_PROGRESS, MSG_PROGRESS_ASK, &(msg_progress_ask_t){.recording = job->recording}, NULL, on_progress,
                   job->serial);
}

int counts_describe(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    const msg_job_describe_t *m = in->message;
    job_t *job = job_meant(s, in, m->job, m->pipeline);
    if (!job) return 0;
    if (job_is_active(job)) ask(s, job);
    if (job_is_active(job) && job->announced == 0)
        job_add_waiter(s, job, WAIT_COUNTS, in->ticket, false, NULL, -1);
    else
        job_answer(s, in->ticket, job, NULL);
    return 0;
}

/* It may be older than what was told meanwhile. */
static void take_all(job_supervisor_t *s, const answer_t *answer) {
    const msg_recording_jobs_t *m = answer->message;
    for (size_t i = 0; m && i < m->recordings.count; i++) {
        job_t *job = jobs_find(&s->jobs, m->recordings.items[i].job);
        if (!job || !job_is_active(job) || job->announced > 0) continue;
        job->elements = m->recordings.items[i].elements;
        job->bytes = m->recordings.items[i].bytes;
    }
}

static int on_counts_for_all(void *state, const answer_t *answer, uint64_t ticket, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    take_all(s, answer);
    size_t count = 0, streams = 0;
    for (job_t *job = s->jobs.first; job; job = job->next) {
        count++;
        streams += job->plan ? job->plan->streams.count : 0;
    }
    msg_job_t *items = calloc(count + 1, sizeof *items);
    const char **texts = calloc(JOB_DESCRIBE_TEXTS * streams + 1, sizeof *texts), **room = texts;
    must(items && texts);
    size_t n = 0;
    for (job_t *job = s->jobs.first; job; job = job->next) {
        job_describe(job, actor_now(s->me), room, &items[n++]);
        room += job->plan ? JOB_DESCRIBE_TEXTS * job->plan->streams.count : 0;
    }
    actor_answer(s->me, ticket, &(msg_jobs_t){.jobs = {n, items}});
    free(items);
    free(texts);
    return 0;
}

int counts_list(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    job_supervisor_t *s = state;
    actor_ask(s->me, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_ask_t){0}, on_counts_for_all, in->ticket);
    return 0;
}
