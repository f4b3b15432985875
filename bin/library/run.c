/* What a program asks for before it feeds, and after: that its pipeline runs, and how that ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static msg_limits_t limits_of(const reprise_limits_t *limits) {
    msg_limits_t made = {.duration_ms = limits->duration_ms, .bytes = limits->bytes, .count = limits->count};
    made.has_duration_ms = limits->duration_ms != 0;
    made.has_bytes = limits->bytes != 0;
    made.has_count = limits->count != 0;
    return made;
}

static msg_transform_t transform_of(const reprise_source_t *source) {
    msg_transform_t made = {.name = source->name, .urn = source->urn ? source->urn : "reprise:source:push:v1", .tag = source->tag};
    made.has_tag = source->tag != NULL;
    made.has_payload = source->payload != NULL;
    made.payload = (bytes_t){source->payload, source->payload_size};
    return made;
}

static void text_copy(char *to, size_t size, bool there, const char *text) {
    snprintf(to, size, "%s", there ? text : "");
}

int reprise_run(reprise_t *engine, const char *pipeline, const reprise_source_t *sources, size_t count, const reprise_limits_t *limits,
                int64_t timeout_ms, reprise_run_t *ret_run, reprise_error_t *error) {
    if (!pipeline) {
        return problem_set(error, PROBLEM_USAGE, "a pipeline is needed");
    }
    msg_transform_t *transforms = calloc(count + 1, sizeof *transforms);
    must(transforms);
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        transforms[i] = transform_of(&sources[i]);
        if (!sources[i].name) {
            result = problem_set(error, PROBLEM_USAGE, "source %zu of pipeline `%s` has no name", i, pipeline);
        }
    }
    msg_pipeline_t definition = {.name = pipeline, .has_transforms = true, .transforms = {count, transforms}};
    msg_pipeline_run_t ask = {.has_pipeline = true, .pipeline = pipeline, .pipeline_definition = count > 0 ? &definition : NULL};
    ask.has_limits = limits != NULL;
    if (limits) {
        ask.limits = limits_of(limits);
    }
    const void *answer;
    if (result == 0) {
        result = engine_ask(engine, MSG_PIPELINE_RUN_ASK, &ask, timeout_ms, &answer, error);
    }
    free(transforms);
    if (result == -1) {
        return -1;
    }
    const msg_pipeline_run_answer_t *ran = answer;
    *ret_run = (reprise_run_t){.started = ran->started};
    text_copy(ret_run->reason, sizeof ret_run->reason, true, ran->reason);
    text_copy(ret_run->job, sizeof ret_run->job, ran->has_job, ran->job);
    text_copy(ret_run->recording, sizeof ret_run->recording, ran->has_recording, ran->recording);
    return 0;
}

int reprise_wait(reprise_t *engine, const char *pipeline, int64_t timeout_ms, reprise_job_t *ret_job, reprise_error_t *error) {
    enum { LONGEST_MS = 3600 * 1000, ANSWER_MS = 1000 };
    if (!pipeline) {
        return problem_set(error, PROBLEM_USAGE, "a pipeline is needed");
    }
    int64_t deadline = engine_deadline(timeout_ms);
    const void *answer;
    for (;;) {
        int64_t left = deadline - channel_clock();
        left = left < 0 ? 0 : left > LONGEST_MS ? LONGEST_MS : left;
        reprise_error_t why;
        /* The engine keeps the time, and its answer needs some of its own. */
        msg_job_wait_t ask = {.has_pipeline = true, .pipeline = pipeline, .timeout_ms = left};
        if (engine_ask(engine, MSG_JOB_WAIT, &ask, left + ANSWER_MS, &answer, &why) == 0) {
            break;
        }
        bool waited = strcmp(why.code, error_name(ERROR_UNAVAILABLE)) == 0;
        if (waited && channel_clock() < deadline) {
            continue;
        }
        if (waited) {
            snprintf(why.code, sizeof why.code, "%s", PROBLEM_TIMEOUT);
        }
        if (error) {
            *error = why;
        }
        return -1;
    }
    const msg_job_t *job = answer;
    *ret_job = (reprise_job_t){.is_done = job->is_done, .elements = (uint64_t)job->elements, .bytes = (uint64_t)job->bytes};
    text_copy(ret_job->job, sizeof ret_job->job, true, job->job);
    text_copy(ret_job->state, sizeof ret_job->state, true, job->state);
    text_copy(ret_job->stop_reason, sizeof ret_job->stop_reason, job->has_stop_reason, job->stop_reason);
    return 0;
}
