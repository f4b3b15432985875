/* The job's state machine and table. A limit that ends a job makes it CANCELLED and done; a user's cancel makes it CANCELLED and not done;
 * so the reason is as much a part of the state as its name. */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

static const char *const names[JOB_STATES] = {"STARTING", "RUNNING", "CANCELLING", "CANCELLED", "DONE", "FAILED"};

static const bool may_follow[JOB_STATES][JOB_STATES] = {
    [JOB_STARTING] = {[JOB_RUNNING] = true, [JOB_CANCELLING] = true, [JOB_DONE] = true, [JOB_FAILED] = true},
    [JOB_RUNNING] = {[JOB_CANCELLING] = true, [JOB_DONE] = true, [JOB_FAILED] = true},
    [JOB_CANCELLING] = {[JOB_CANCELLED] = true, [JOB_FAILED] = true},
};

bool job_state_may_follow(job_state_t before, job_state_t after) {
    must(before < JOB_STATES && after < JOB_STATES);
    return may_follow[before][after];
}

const char *job_state_name(job_state_t state) {
    must(state < JOB_STATES);
    return names[state];
}

job_state_t job_state_find(const char *name) {
    int state = 0;
    while (state < JOB_STATES && strcmp(names[state], name) != 0) state++;
    return (job_state_t)state;
}

bool job_state_is_terminal(job_state_t state) {
    return state == JOB_CANCELLED || state == JOB_DONE || state == JOB_FAILED;
}

bool job_stopped_by_limit(const char *stop_reason) {
    static const char *const limits[] = {"duration", "bytes", "count", "free_disk"};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (strcmp(stop_reason, limits[i]) == 0) return true;
    return false;
}

void job_move(job_t *job, job_state_t state) {
    must(job_state_may_follow(job->state, state));
    job->state = state;
}

void job_recall(job_t *job, job_state_t state) {
    must(state < JOB_STATES && !job->plan); /* not one that is under way here */
    job->state = state;
}

bool job_is_done(const job_t *job) {
    if (job->state == JOB_DONE) return true;
    return (job->state == JOB_CANCELLED || job->state == JOB_CANCELLING) && job_stopped_by_limit(job->stop_reason);
}

bool job_is_active(const job_t *job) {
    return !job_state_is_terminal(job->state);
}

bool job_is_valid(const job_t *job) {
    return job->has_recording && job->invalidated == 0;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool job_covers(const job_t *job, const names_t *signature) {
    for (size_t i = 0; i < signature->count; i++)
        if (job->signature.count == 0 ||
            !bsearch(&signature->items[i], job->signature.items, job->signature.count, sizeof *job->signature.items, compare_names))
            return false;
    return true;
}

static void signature_free(names_t *signature) {
    for (size_t i = 0; i < signature->count; i++) free((void *)(uintptr_t)signature->items[i]);
    free(signature->items);
    *signature = (names_t){0};
}

void job_set_signature(job_t *job, size_t count, const msg_stream_t *streams) {
    signature_free(&job->signature);
    job->signature.items = calloc(count + 1, sizeof *job->signature.items);
    must(job->signature.items);
    for (; job->signature.count < count; job->signature.count++) {
        job->signature.items[job->signature.count] = strdup(streams[job->signature.count].signature);
        must(job->signature.items[job->signature.count]);
    }
    qsort(job->signature.items, count, sizeof *job->signature.items, compare_names);
}

void job_waits(job_t *job, const char *signature, const char *message) {
    for (size_t i = 0; job->plan && i < job->plan->streams.count; i++) {
        const msg_stream_t *stream = &job->plan->streams.items[i];
        if (strcmp(stream->signature, signature) != 0) continue;
        free(job->sources[i].waits);
        job->sources[i].waits = NULL;
        if (message) must(asprintf(&job->sources[i].waits, "%s: %s", stream->tags.items[0], message) >= 0);
    }
}

void job_describe(const job_t *job, int64_t now, const char **room, msg_job_t *ret) {
    int64_t until = job->ended ? job->ended : now;
    *ret = (msg_job_t){
        .job = job->job,
        .pipeline = job->pipeline,
        .recording = job->recording,
        .state = names[job->state],
        .is_done = job_is_done(job),
        .is_running = job->state == JOB_RUNNING,
        .has_stop_reason = job->stop_reason[0] != '\0',
        .stop_reason = job->stop_reason,
        .limits = job->limits,
        .elements = job->elements,
        .bytes = job->bytes,
        .elapsed_ms = job->started && until > job->started ? (until - job->started) / 1000 : 0,
        .has_started_at = job->started != 0,
        .started_at = job->started,
        .has_error = job->error[0] != '\0',
        .error = job->error,
    };
    if (!room || !job->plan || !job_is_active(job)) return;
    size_t streams = job->plan->streams.count;
    ret->waits.items = room + 2 * streams;
    for (size_t i = 0; i < streams; i++)
        if (job->sources[i].waits && !job->sources[i].ended) room[2 * streams + ret->waits.count++] = job->sources[i].waits;
    ret->has_waits = ret->waits.count > 0;
    if (job->state != JOB_STARTING) return;
    ret->waiting_for.items = room;
    for (size_t i = 0; i < streams; i++)
        if (!job->sources[i].joined) room[ret->waiting_for.count++] = job->plan->streams.items[i].tags.items[0];
    ret->has_waiting_for = ret->waiting_for.count > 0;
    ret->needs_workers.items = room + streams;
    for (size_t i = 0; i < streams; i++)
        if (!job->sources[i].joined && job->plan->streams.items[i].worker)
            ret->needs_workers.items[ret->needs_workers.count++] = bound_urn(&job->plan->streams.items[i]);
    ret->has_needs_workers = ret->needs_workers.count > 0;
}

/* ---- the table ---- */

/* Ids sort by age: the time in base 32, in a fixed width. */
static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

static void make_id(char prefix, int64_t number, char *ret_id) {
    ret_id[0] = prefix;
    for (int i = 11; i >= 1; i--, number >>= 5) ret_id[i] = digits[number & 31];
    ret_id[12] = '\0';
}

/* 0: it is no id of this form. */
static int64_t number_of(const char *id) {
    int64_t number = 0;
    if (strlen(id) != 12 || strspn(id + 1, digits) != 11) return 0;
    for (const char *at = id + 1; *at; at++) number = number << 5 | (*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return number;
}

job_t *jobs_add_known(jobs_t *jobs, const char *id, const char *recording, const char *pipeline) {
    job_t *job = calloc(1, sizeof *job);
    must(job);
    snprintf(job->job, sizeof job->job, "%s", id);
    snprintf(job->recording, sizeof job->recording, "%s", recording);
    snprintf(job->pipeline, sizeof job->pipeline, "%s", pipeline);
    job->limits = (msg_limits_t){
        .has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = LIMIT_NONE, .has_count = true, .count = LIMIT_NONE};
    job_t **at = &jobs->first;
    while (*at && strcmp((*at)->job, job->job) < 0) at = &(*at)->next;
    job->next = *at;
    *at = job;
    int64_t number = number_of(job->job);
    if (number > jobs->last_id) jobs->last_id = number;
    job->serial = ++jobs->last_serial;
    return job;
}

void jobs_name(jobs_t *jobs, int64_t now, char ret_job[JOB_NAME_SIZE], char ret_recording[JOB_NAME_SIZE]) {
    jobs->last_id = now > jobs->last_id ? now : jobs->last_id + 1;
    make_id('j', jobs->last_id, ret_job);
    make_id('r', jobs->last_id, ret_recording);
}

job_t *jobs_add(jobs_t *jobs, const char *pipeline, int64_t now) {
    char id[JOB_NAME_SIZE], recording[JOB_NAME_SIZE];
    jobs_name(jobs, now, id, recording);
    job_t *job = jobs_add_known(jobs, id, recording, pipeline);
    job->created = now;
    return job;
}

job_t *jobs_of_request(const jobs_t *jobs, const char *pipeline, const char *request) {
    job_t *job = jobs->first;
    while (job && (strcmp(job->request, request) != 0 || strcmp(job->pipeline, pipeline) != 0)) job = job->next;
    return job;
}

job_t *jobs_find(const jobs_t *jobs, const char *id) {
    job_t *job = jobs->first;
    while (job && strcmp(job->job, id) != 0) job = job->next;
    return job;
}

job_t *jobs_of_serial(const jobs_t *jobs, uint64_t serial) {
    job_t *job = jobs->first;
    while (job && job->serial != serial) job = job->next;
    return job;
}

job_t *jobs_of_recording(const jobs_t *jobs, const char *recording) {
    job_t *job = jobs->first;
    while (job && strcmp(job->recording, recording) != 0) job = job->next;
    return job;
}

job_t *jobs_last_of(const jobs_t *jobs, const char *pipeline) {
    job_t *last = NULL;
    for (job_t *job = jobs->first; job; job = job->next)
        if (strcmp(job->pipeline, pipeline) == 0) last = job;
    return last;
}

job_t *jobs_active_of(const jobs_t *jobs, const char *pipeline) {
    job_t *last = NULL; /* an older one has ended before a newer begins, but for those that a crash left behind */
    for (job_t *job = jobs->first; job; job = job->next)
        if (job_is_active(job) && strcmp(job->pipeline, pipeline) == 0) last = job;
    return last;
}

job_t *jobs_current_of(const jobs_t *jobs, const char *pipeline) {
    job_t *last = NULL, *valid = NULL;
    for (job_t *job = jobs->first; job; job = job->next) {
        if (strcmp(job->pipeline, pipeline) != 0) continue;
        last = job;
        if (job_is_valid(job)) valid = job;
    }
    return valid ? valid : last;
}

int jobs_order_by_validity(const void *a, const void *b) {
    const job_t *x = *(job_t *const *)a, *y = *(job_t *const *)b;
    int64_t until_x = x->invalidated ? x->invalidated : INT64_MAX, until_y = y->invalidated ? y->invalidated : INT64_MAX;
    if (until_x != until_y) return until_x > until_y ? -1 : 1;
    return strcmp(y->job, x->job);
}

job_t *jobs_complete_of(const jobs_t *jobs, const char *pipeline, const names_t *signature) {
    job_t *found = NULL;
    for (job_t *job = jobs->first; job; job = job->next) {
        if (!job->has_recording || strcmp(job->pipeline, pipeline) != 0) continue;
        if (job_is_active(job) || !job_is_done(job) || !job_covers(job, signature)) continue;
        if (!found || jobs_order_by_validity(&job, &found) < 0) found = job;
    }
    return found;
}

void job_drop_plan(job_t *job) {
    for (size_t i = 0; job->plan && i < job->plan->streams.count; i++) free(job->sources[i].waits);
    free(job->sources);
    job->sources = NULL;
    record_free(&message_class(MSG_RECORDING_CREATE)->record, (void **)&job->plan);
}

static void job_free(job_t *job) {
    while (job->waiters) {
        waiter_t *next = job->waiters->next;
        free(job->waiters);
        job->waiters = next;
    }
    job_drop_plan(job);
    signature_free(&job->signature);
    free(job);
}

void jobs_remove(jobs_t *jobs, job_t *job) {
    job_t **at = &jobs->first;
    while (*at != job) at = &(*at)->next;
    *at = job->next;
    job_free(job);
}

void jobs_fini(jobs_t *jobs) {
    while (jobs->first) {
        job_t *next = jobs->first->next;
        job_free(jobs->first);
        jobs->first = next;
    }
    *jobs = (jobs_t){0};
}
