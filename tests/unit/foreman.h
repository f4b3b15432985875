/* The job supervisor on a stage, with the test in the place of the recorder, the limiter, the catalog and the supervisor. */
#ifndef REPRISE_TEST_FOREMAN_H
#define REPRISE_TEST_FOREMAN_H

#include <stdio.h>

#include "desk.h"

#include "actors/job_supervisor.h"

#define SECOND INT64_C(1000000)
#define GENERATOR "reprise:source:generator:v1"
#define PUSH "reprise:source:push:v1"

static const msg_limits_t no_limits __attribute__((unused)) = {
    .has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = LIMIT_NONE, .has_count = true, .count = LIMIT_NONE};

static inline void foreman_load_with(stage_t *stage, const msg_options_t *options, size_t jobs, const msg_job_t *known, size_t count,
                                     msg_recording_job_t *recordings) {
    desk_answer(stage, "catalog", MSG_OPTIONS_GET, options);
    msg_document_t documents[8];
    msgpack_sbuffer values[8];
    for (size_t i = 0; i < jobs; i++) {
        msgpack_sbuffer_init(&values[i]);
        record_encode(RECORD_CLASS(job), &known[i], &values[i]);
        documents[i] = (msg_document_t){
            .kind = "job", .key = known[i].job, .has_value = true, .value = {(const uint8_t *)values[i].data, values[i].size}};
    }
    desk_answer(stage, "catalog", MSG_CATALOG_READ, &(msg_documents_t){.documents = {jobs, documents}});
    for (size_t i = 0; i < jobs; i++) msgpack_sbuffer_destroy(&values[i]);
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){.recordings = {count, recordings}});
    assert_true(stage_is_ready(stage, "job_supervisor"));
}

static inline void foreman_load(stage_t *stage, size_t jobs, const msg_job_t *known, size_t count, msg_recording_job_t *recordings) {
    msg_options_t options;
    options_default(&options);
    foreman_load_with(stage, &options, jobs, known, count, recordings);
}

static inline stage_t *foreman(void) {
    stage_t *stage = stage_create(11, NULL);
    stage_add(stage, &job_supervisor_class, "job_supervisor", (bytes_t){0});
    foreman_load(stage, 0, NULL, 0, NULL);
    return stage;
}

/* Asks for a job on the sources `urns`, each tagged `t0`, `t1`…; ends with NULL. Another `payload` makes other sources. */
typedef struct wanted {
    const char *pipeline, *request, *payload;
    const char *urns[4];
    bool changed, dry;
} wanted_t;

static inline void ask_ensure(stage_t *stage, const char *as, const wanted_t *wanted) {
    static const char *tags[][1] = {{"t0"}, {"t1"}, {"t2"}};
    static char signatures[3][64];
    msg_recordable_t items[3];
    size_t count = 0;
    for (; wanted->urns[count]; count++) {
        snprintf(signatures[count], sizeof signatures[0], "%s|%s%zu", wanted->urns[count], wanted->payload ? wanted->payload : "0", count);
        items[count] = (msg_recordable_t){.signature = signatures[count], .urn = wanted->urns[count], .tags = {1, tags[count]}};
    }
    msg_job_ensure_t ensure = {.pipeline = wanted->pipeline,
                               .recordables = {count, items},
                               .changed = wanted->changed,
                               .dry = wanted->dry,
                               .has_request = wanted->request != NULL,
                               .request = wanted->request};
    stage_ask(stage, as, "job_supervisor", MSG_JOB_ENSURE, &ensure);
    stage_run(stage);
}

static inline const msg_job_decision_t *decision(stage_t *stage, const char *as) {
    return desk_yes(stage, as);
}

static inline void assert_decision(const msg_job_decision_t *d, bool started, const char *reason) {
    assert_int_equal(d->started, started);
    assert_string_equal(d->reason, reason);
}

static inline void resolve_limits(stage_t *stage) {
    desk_answer(stage, "limiter", MSG_LIMITS_RESOLVE, &(msg_limits_resolved_t){.limits = no_limits});
}

/* The recording is created; gives what it was created as. */
static inline const msg_recording_create_t *create(stage_t *stage) {
    return desk_answer(stage, "recorder", MSG_RECORDING_CREATE, NULL);
}

static inline void start_clock(stage_t *stage) {
    desk_answer(stage, "limiter", MSG_LIMITS_START, &(msg_limits_started_t){.start = stage_now(stage)});
}

/* A pipeline with one push source, RUNNING; gives its job. */
static inline const msg_recording_create_t *run_job(stage_t *stage, const char *pipeline) {
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = pipeline, .urns = {PUSH}});
    resolve_limits(stage);
    const msg_recording_create_t *made = create(stage);
    start_clock(stage);
    assert_true(decision(stage, "runner")->started);
    return made;
}

/* The recorder ends the recording as it is asked to; gives what was asked. */
static inline const msg_recording_finish_t *finish(stage_t *stage, int64_t elements) {
    const stage_message_t *m = desk_take(stage, "recorder", MSG_RECORDING_FINISH);
    const msg_recording_finish_t *order = m->message;
    msg_recording_job_t ended = {.recording = order->recording,
                                 .job = "j",
                                 .pipeline = "p",
                                 .state = order->state,
                                 .limits = no_limits,
                                 .has_stop_reason = true,
                                 .stop_reason = order->stop_reason,
                                 .has_ended = true,
                                 .ended = stage_now(stage),
                                 .elements = elements,
                                 .bytes = elements * 10};
    stage_answer(stage, m, &(msg_recording_jobs_t){.recordings = {1, &ended}});
    stage_run(stage);
    return order;
}

static inline void reach(stage_t *stage, const char *job, const char *limit) {
    stage_tell(stage, "limiter", "job_supervisor", MSG_LIMIT_REACHED, &(msg_limit_reached_t){.job = job, .limit = limit});
    stage_run(stage);
}

static inline void fail_source(stage_t *stage, const char *job, const char *why) {
    stage_tell(stage, "recorder", "job_supervisor", MSG_SOURCE_FAILED, &(msg_source_failed_t){.job = job, .message = why});
    stage_run(stage);
}

/* ---- what becomes of recordings ---- */

/* The recorder says of one that has ended whether it is kept by name, and whether it is invalid already. */
static inline void known(stage_t *stage, const char *recording, bool kept, bool invalidated) {
    const stage_message_t *m = desk_take(stage, "recorder", MSG_RECORDING_JOBS_ASK);
    assert_string_equal(((const msg_recording_jobs_ask_t *)m->message)->recording, recording);
    msg_recording_job_t there = {.recording = recording,
                                 .job = "j",
                                 .pipeline = "p",
                                 .state = "DONE",
                                 .limits = no_limits,
                                 .kept = kept,
                                 .has_invalidated = invalidated,
                                 .invalidated = 1};
    stage_answer(stage, m, &(msg_recording_jobs_t){.recordings = {1, &there}});
    stage_run(stage);
}

static inline void deleted_unless_kept(stage_t *stage, const char *recording) {
    const msg_recording_drop_t *dropped = desk_answer(stage, "recorder", MSG_RECORDING_DROP, NULL);
    assert_string_equal(dropped->recording, recording);
    assert_true(dropped->spares);
}

/* It is asked about, and goes. */
static inline void drop(stage_t *stage, const char *recording) {
    known(stage, recording, false, false);
    deleted_unless_kept(stage, recording);
}

static inline void marked(stage_t *stage, const char *recording, bool invalid) {
    const msg_recording_mark_t *mark = desk_answer(stage, "recorder", MSG_RECORDING_MARK, NULL);
    assert_string_equal(mark->recording, recording);
    assert_int_equal(mark->invalid, invalid);
}

/* It is asked about, and stays as invalid. */
static inline void retire(stage_t *stage, const char *recording, bool kept) {
    known(stage, recording, kept, false);
    marked(stage, recording, true);
}

/* It goes, kept or not. */
static inline void deleted(stage_t *stage, const char *recording) {
    const msg_recording_drop_t *dropped = desk_answer(stage, "recorder", MSG_RECORDING_DROP, NULL);
    assert_string_equal(dropped->recording, recording);
    assert_false(dropped->spares);
}

/* Options of the job supervisor's, at run time. */
static inline void set_options(stage_t *stage, bool replay, int64_t keep) {
    msg_options_t options;
    options_default(&options);
    options.enable_recording_replay = replay;
    options.keep_recordings = keep;
    msg_options_changed_t changed;
    memcpy(&changed, &options, sizeof changed);
    stage_tell(stage, "catalog", "job_supervisor", MSG_OPTIONS_CHANGED, &changed);
    stage_run(stage);
}

static inline void cancel_job(stage_t *stage, const char *pipeline) {
    stage_ask(stage, "canceller", "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = pipeline});
    stage_run(stage);
    finish(stage, 1);
    desk_yes(stage, "canceller");
}

static inline const msg_job_t *job_now(stage_t *stage, const char *pipeline) {
    return stage_get(stage, "job_supervisor", MSG_JOB_DESCRIBE, &(msg_job_describe_t){.has_pipeline = true, .pipeline = pipeline});
}

#endif
