/* The pipeline tracker on a stage, with the test in the place of the signature checker, the job supervisor and the catalog. */
#ifndef REPRISE_TEST_BUREAU_H
#define REPRISE_TEST_BUREAU_H

#include <stdio.h>

#include "desk.h"

#include "actors/pipeline_tracker.h"

#define URN "reprise:source:push:v1"

static inline void bureau_load(stage_t *stage, const msg_documents_t *pipelines, const msg_documents_t *runs) {
    static const msg_documents_t nothing;
    msg_options_t options;
    options_default(&options);
    desk_answer(stage, "catalog", MSG_OPTIONS_GET, &options);
    desk_answer(stage, "catalog", MSG_CATALOG_READ, pipelines ? pipelines : &nothing);
    desk_answer(stage, "catalog", MSG_CATALOG_READ, runs ? runs : &nothing);
    assert_true(stage_is_ready(stage, "pipeline_tracker"));
}

static inline stage_t *bureau(void) {
    stage_t *stage = stage_create(13, NULL);
    stage_add(stage, &pipeline_tracker_class, "pipeline_tracker", (bytes_t){0});
    bureau_load(stage, NULL, NULL);
    return stage;
}

/* A definition with push sources of these names; ends with NULL. */
static inline const msg_pipeline_t *definition(stage_t *stage, const char *name, const char *const *sources) {
    msg_transform_t transforms[4];
    size_t count = 0;
    for (; sources[count]; count++) transforms[count] = (msg_transform_t){.name = sources[count], .urn = URN};
    msg_pipeline_t made = {
        .name = name, .has_transforms = true, .transforms = {count, stage_keep(stage, transforms, count * sizeof *transforms)}};
    return stage_keep(stage, &made, sizeof made);
}

#define SOURCES(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void ask(stage_t *stage, const char *as, message_id_t id, const void *message) {
    stage_ask(stage, as, "pipeline_tracker", id, message);
    stage_run(stage);
}

static inline void ask_to_run(stage_t *stage, const char *as, const char *name, const msg_pipeline_t *made) {
    ask(stage, as, MSG_PIPELINE_RUN_ASK, &(msg_pipeline_run_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = made});
}

/* The checker finds every transform to be a source of its own, and says what changed. */
static inline const msg_signature_compare_t *compared(stage_t *stage, bool changed, bool pending) {
    const stage_message_t *m = desk_take(stage, "signature_checker", MSG_SIGNATURE_COMPARE);
    const msg_signature_compare_t *asked = m->message;
    size_t count = asked->pipeline.transforms.count;
    msg_source_t sources[4];
    msg_recordable_t recordables[4];
    const char *signature[4], *tags[4][1];
    for (size_t i = 0; i < count; i++) {
        const msg_transform_t *transform = &asked->pipeline.transforms.items[i];
        char *text = stage_keep(stage, NULL, 128);
        snprintf(text, 128, "%s|%s", transform->urn, transform->name);
        signature[i] = text;
        tags[i][0] = transform->has_tag ? transform->tag : transform->name;
        sources[i] = (msg_source_t){.name = transform->name, .urn = transform->urn, .tag = tags[i][0], .signature = text};
        recordables[i] = (msg_recordable_t){.signature = text, .urn = transform->urn, .tags = {1, tags[i]}};
    }
    msg_comparison_t answer = {.sources = {count, sources},
                               .recordables = {count, recordables},
                               .signature = {count, signature},
                               .changed = changed,
                               .pending = pending,
                               .added = {changed ? count : 0, signature},
                               .added_since = {changed ? count : 0, signature}};
    stage_answer(stage, m, &answer);
    stage_run(stage);
    return asked;
}

/* The catalog writes; gives the documents. */
static inline const msg_catalog_write_t *written(stage_t *stage) {
    return desk_answer(stage, "catalog", MSG_CATALOG_WRITE, NULL);
}

static inline const msg_job_ensure_t *decided(stage_t *stage, bool started, const char *reason) {
    msg_job_decision_t decision = {
        .started = started, .needed = started, .reason = reason, .has_job = true, .job = "j1", .has_recording = true, .recording = "r1"};
    return desk_answer(stage, "job_supervisor", MSG_JOB_ENSURE, &decision);
}

static inline const msg_signature_record_t *recorded(stage_t *stage) {
    return desk_answer(stage, "signature_checker", MSG_SIGNATURE_RECORD, NULL);
}

/* The old recording is invalid; one of these sources, which is job `j0`'s, is valid again. NULL: none is. */
static inline const msg_job_invalidate_t *invalidated(stage_t *stage, const char *const *made_of) {
    const char *signature[4];
    msg_job_decision_t decision = {.needed = true, .reason = "sources_changed"};
    if (made_of) decision = (msg_job_decision_t){.reason = "recording_valid", .has_job = true, .job = "j0", .has_made_of = true};
    for (; made_of && made_of[decision.made_of.count]; decision.made_of.count++)
        signature[decision.made_of.count] = made_of[decision.made_of.count];
    decision.made_of.items = signature;
    return desk_answer(stage, "job_supervisor", MSG_JOB_INVALIDATE, &decision);
}

static inline void served(stage_t *stage) {
    desk_answer(stage, "test_stream_server", MSG_TEST_STREAM_START, &(msg_test_stream_t){.running = true});
}

/* A pipeline that is known. */
static inline void track(stage_t *stage, const msg_pipeline_t *made) {
    ask(stage, "tracked", MSG_PIPELINE_TRACK,
        &(msg_pipeline_track_t){.has_pipeline = true, .pipeline = made->name, .pipeline_definition = made});
    compared(stage, true, false);
    written(stage);
    desk_yes(stage, "tracked");
}

/* A run of it that starts nothing; gives its id. */
static inline const char *run_again(stage_t *stage, const char *name) {
    ask_to_run(stage, "runner", name, NULL);
    compared(stage, false, false);
    decided(stage, false, "job_running");
    served(stage);
    written(stage);
    return ((const msg_pipeline_run_answer_t *)desk_yes(stage, "runner"))->run;
}

#endif
