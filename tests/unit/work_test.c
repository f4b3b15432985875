/* What each op on a pipeline does, in which order, and what is left when one of its steps is refused. */
#include "bureau.h"

static void a_run_that_starts_a_job_records_its_signature_and_serves_it(void **test) {
    (void)test;
    stage_t *stage = bureau();
    msg_limits_t limits = {.has_count = true, .count = 7, .duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE};
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a", "b"));
    ask(stage, "runner", MSG_PIPELINE_RUN_ASK,
        &(msg_pipeline_run_t){.has_pipeline = true, .pipeline = "p", .pipeline_definition = made, .has_limits = true, .limits = limits});
    const msg_signature_compare_t *compare = compared(stage, true, false);
    const msg_catalog_write_t *write = written(stage);
    assert_string_equal(write->documents.items[0].kind, "pipeline");
    assert_string_equal(write->documents.items[0].key, "p");
    const msg_job_ensure_t *ensure = decided(stage, true, "first_run");
    assert_true(ensure->changed && ensure->has_limits && !ensure->dry);
    assert_int_equal(ensure->limits.count, 7);
    assert_false(ensure->limits.has_bytes);
    assert_int_equal(ensure->recordables.count, 2);
    assert_string_equal(ensure->request, compare->request);
    const msg_signature_record_t *record = recorded(stage);
    assert_int_equal(record->signature.count, 2);
    assert_false(record->pending);
    assert_string_equal(record->job, "j1");
    assert_string_equal(record->request, compare->request);
    served(stage);
    write = written(stage);
    assert_string_equal(write->documents.items[0].kind, "run");
    const msg_pipeline_run_answer_t *answer = desk_yes(stage, "runner");
    assert_true(answer->started && answer->has_run);
    assert_string_equal(answer->reason, "first_run");
    assert_int_equal(answer->added.count, 2);
    assert_int_equal(answer->tags.count, 2);
    assert_string_equal(answer->tags.items[0], "a");
    assert_string_equal(answer->job, "j1");
    assert_string_equal(answer->recording, "r1");
    assert_string_equal(answer->test_stream, "tcp://127.0.0.1:5572");
    stage_destroy(&stage);
}

static void a_run_that_starts_nothing_records_no_signature(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask_to_run(stage, "runner", "p", NULL);
    compared(stage, false, false);
    assert_false(decided(stage, false, "recording_valid")->changed);
    desk_is_quiet(stage, "signature_checker", MSG_SIGNATURE_RECORD);
    served(stage);
    written(stage);
    assert_false(((const msg_pipeline_run_answer_t *)desk_yes(stage, "runner"))->started);
    stage_destroy(&stage);
}

static void a_pending_change_counts_as_a_change(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask_to_run(stage, "runner", "p", NULL);
    compared(stage, false, true);
    assert_true(decided(stage, true, "sources_changed")->changed);
    recorded(stage);
    stage_destroy(&stage);
}

static void without_sources_there_is_no_test_stream(void **test) {
    (void)test;
    stage_t *stage = bureau();
    ask_to_run(stage, "runner", "p", definition(stage, "p", (const char *const[]){NULL}));
    compared(stage, false, false);
    written(stage);
    desk_answer(stage, "job_supervisor", MSG_JOB_ENSURE, &(msg_job_decision_t){.reason = "no_recordable_source"});
    desk_is_quiet(stage, "test_stream_server", MSG_TEST_STREAM_START);
    written(stage);
    const msg_pipeline_run_answer_t *answer = desk_yes(stage, "runner");
    assert_false(answer->has_test_stream || answer->has_job || answer->has_recording);
    assert_int_equal(answer->tags.count, 0);
    stage_destroy(&stage);
}

static void starting_a_job_is_a_run_without_a_run(void **test) {
    (void)test;
    stage_t *stage = bureau();
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a"));
    ask(stage, "starter", MSG_JOB_START, &(msg_job_start_t){.has_pipeline = true, .pipeline = "p", .pipeline_definition = made});
    compared(stage, true, false);
    written(stage);
    decided(stage, true, "first_run");
    recorded(stage);
    served(stage);
    assert_false(((const msg_pipeline_run_answer_t *)desk_yes(stage, "starter"))->has_run);
    desk_is_quiet(stage, "catalog", MSG_CATALOG_WRITE);
    stage_destroy(&stage);
}

static void a_definition_that_is_stored_already_is_not_written_again(void **test) {
    (void)test;
    stage_t *stage = bureau();
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a"));
    track(stage, made);
    ask(stage, "asker", MSG_PIPELINE_TRACK, &(msg_pipeline_track_t){.has_pipeline = true, .pipeline = "p", .pipeline_definition = made});
    compared(stage, false, false);
    desk_is_quiet(stage, "catalog", MSG_CATALOG_WRITE);
    assert_false(((const msg_pipeline_tracked_t *)desk_yes(stage, "asker"))->changed);
    stage_destroy(&stage);
}

static void a_new_pipeline_begins_without_the_runs_of_one_before(void **test) {
    (void)test;
    stage_t *stage = bureau();
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a"));
    ask(stage, "asker", MSG_PIPELINE_DEFINE, &(msg_pipeline_define_t){.pipeline = *made});
    compared(stage, true, false);
    const msg_catalog_write_t *write = written(stage);
    assert_int_equal(write->documents.count, 2);
    assert_string_equal(write->documents.items[1].kind, "run");
    assert_false(write->documents.items[1].has_value);
    desk_yes(stage, "asker");
    ask(stage, "asker", MSG_PIPELINE_DEFINE, &(msg_pipeline_define_t){.pipeline = *definition(stage, "p", SOURCES("b"))});
    compared(stage, true, false);
    assert_int_equal(written(stage)->documents.count, 1);
    stage_destroy(&stage);
}

static void a_definition_that_is_refused_is_not_stored(void **test) {
    (void)test;
    stage_t *stage = bureau();
    ask_to_run(stage, "runner", "p", definition(stage, "p", SOURCES("a")));
    desk_refuse(stage, "signature_checker", MSG_SIGNATURE_COMPARE, ERROR_BAD_REQUEST, "a tag twice");
    assert_int_equal(desk_no(stage, "runner").code, ERROR_BAD_REQUEST);
    desk_is_quiet(stage, "catalog", MSG_CATALOG_WRITE);
    const msg_pipelines_t *all = stage_get(stage, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    assert_int_equal(all->pipelines.count, 0);
    stage_destroy(&stage);
}

static void a_definition_that_cannot_be_written_is_not_stored(void **test) {
    (void)test;
    stage_t *stage = bureau();
    ask_to_run(stage, "runner", "p", definition(stage, "p", SOURCES("a")));
    compared(stage, true, false);
    desk_refuse(stage, "catalog", MSG_CATALOG_WRITE, ERROR_INTERNAL, "disk full");
    assert_int_equal(desk_no(stage, "runner").code, ERROR_INTERNAL);
    desk_is_quiet(stage, "job_supervisor", MSG_JOB_ENSURE);
    const msg_pipelines_t *all = stage_get(stage, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    assert_int_equal(all->pipelines.count, 0);
    stage_destroy(&stage);
}

static void a_run_that_cannot_be_written_is_no_run(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask_to_run(stage, "runner", "p", NULL);
    compared(stage, false, false);
    decided(stage, false, "job_running");
    served(stage);
    desk_refuse(stage, "catalog", MSG_CATALOG_WRITE, ERROR_INTERNAL, "disk full");
    assert_int_equal(desk_no(stage, "runner").code, ERROR_INTERNAL);
    const msg_pipelines_t *all = stage_get(stage, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    assert_int_equal(all->pipelines.items[0].runs, 0);
    stage_destroy(&stage);
}

/* So whenever the process dies, no recording that looks valid is of other sources than the recorded ones. */
static void a_change_is_remembered_once_the_recording_is_invalid(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_SOURCE_CHANGED, &(msg_source_changed_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, true, false);
    desk_is_quiet(stage, "signature_checker", MSG_SIGNATURE_RECORD);
    invalidated(stage, NULL);
    const msg_signature_record_t *record = recorded(stage);
    assert_true(record->pending);
    assert_false(record->has_job);
    const msg_source_changes_t *answer = desk_yes(stage, "asker");
    assert_true(answer->changed);
    assert_int_equal(answer->added.count, 1);
    stage_destroy(&stage);
}

static void a_recording_that_cannot_be_made_invalid_leaves_the_change_to_be_seen_again(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_SOURCE_CHANGED, &(msg_source_changed_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, true, false);
    desk_refuse(stage, "job_supervisor", MSG_JOB_INVALIDATE, ERROR_INTERNAL, "cannot write");
    assert_int_equal(desk_no(stage, "asker").code, ERROR_INTERNAL);
    desk_is_quiet(stage, "signature_checker", MSG_SIGNATURE_RECORD);
    stage_destroy(&stage);
}

static void sources_that_come_back_count_as_what_their_recording_was_made_of(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_SOURCE_CHANGED, &(msg_source_changed_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, true, false);
    const msg_job_invalidate_t *order = invalidated(stage, SOURCES("a", "b"));
    assert_int_equal(order->signature.count, 1);
    const msg_signature_record_t *record = recorded(stage);
    assert_false(record->pending);
    assert_int_equal(record->signature.count, 2);
    assert_string_equal(record->signature.items[1], "b");
    assert_string_equal(record->job, "j0");
    assert_true(((const msg_source_changes_t *)desk_yes(stage, "asker"))->changed);
    stage_destroy(&stage);
}

/* A source was added, and is gone again before anything was recorded. */
static void a_change_that_is_pending_may_be_taken_back_by_whoever_asks(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_SOURCE_CHANGED, &(msg_source_changed_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, false, true);
    invalidated(stage, NULL);
    assert_false(((const msg_source_changes_t *)desk_yes(stage, "asker"))->changed);
    ask(stage, "asker", MSG_SOURCE_CHANGED, &(msg_source_changed_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, false, true);
    invalidated(stage, SOURCES("a"));
    assert_false(recorded(stage)->pending);
    assert_false(((const msg_source_changes_t *)desk_yes(stage, "asker"))->changed);
    stage_destroy(&stage);
}

static void a_run_whose_sources_came_back_records_what_they_were_recorded_as(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask_to_run(stage, "runner", "p", NULL);
    compared(stage, true, false);
    const char *made_of[] = {"a", "b"};
    msg_job_decision_t restored = {.reason = "recording_valid",
                                   .has_job = true,
                                   .job = "j0",
                                   .has_recording = true,
                                   .recording = "r0",
                                   .has_made_of = true,
                                   .made_of = {2, made_of}};
    desk_answer(stage, "job_supervisor", MSG_JOB_ENSURE, &restored);
    const msg_signature_record_t *record = recorded(stage);
    assert_int_equal(record->signature.count, 2);
    assert_string_equal(record->job, "j0");
    served(stage);
    written(stage);
    const msg_pipeline_run_answer_t *answer = desk_yes(stage, "runner");
    assert_false(answer->started);
    assert_string_equal(answer->reason, "recording_valid");
    assert_string_equal(answer->recording, "r0");
    stage_destroy(&stage);
}

static void what_only_asks_changes_nothing(void **test) {
    (void)test;
    stage_t *stage = bureau();
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a"));
    msg_source_changed_t changed = {.has_pipeline = true, .pipeline = "p", .pipeline_definition = made, .has_update = true};
    ask(stage, "asker", MSG_SOURCE_CHANGED, &changed);
    compared(stage, true, false);
    assert_true(((const msg_source_changes_t *)desk_yes(stage, "asker"))->changed);
    ask(stage, "asker", MSG_SOURCE_HAS, &(msg_source_has_t){.has_pipeline = true, .pipeline = "p", .pipeline_definition = made});
    compared(stage, true, false);
    const msg_sources_t *sources = desk_yes(stage, "asker");
    assert_true(sources->has);
    assert_string_equal(sources->sources.items[0].tag, "a");
    ask(stage, "asker", MSG_SOURCE_SIGNATURE,
        &(msg_source_signature_t){.has_pipeline = true, .pipeline = "p", .pipeline_definition = made});
    compared(stage, true, false);
    assert_int_equal(((const msg_signature_t *)desk_yes(stage, "asker"))->signature.count, 1);
    desk_is_quiet(stage, "catalog", MSG_CATALOG_WRITE);
    desk_is_quiet(stage, "signature_checker", MSG_SIGNATURE_RECORD);
    desk_is_quiet(stage, "job_supervisor", MSG_NONE);
    const msg_pipelines_t *all = stage_get(stage, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    assert_int_equal(all->pipelines.count, 0);
    stage_destroy(&stage);
}

static void asking_whether_a_job_is_needed_drops_what_is_invalid_first(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_JOB_NEEDED, &(msg_job_needed_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, true, false);
    invalidated(stage, NULL);
    assert_true(recorded(stage)->pending);
    msg_job_decision_t decision = {.needed = true, .reason = "sources_changed"};
    const msg_job_ensure_t *ensure = desk_answer(stage, "job_supervisor", MSG_JOB_ENSURE, &decision);
    assert_true(ensure->dry && ensure->changed);
    const msg_job_need_t *need = desk_yes(stage, "asker");
    assert_true(need->needed);
    assert_string_equal(need->reason, "sources_changed");
    stage_destroy(&stage);
}

static void asking_whether_a_job_is_needed_brings_a_recording_back(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_JOB_NEEDED, &(msg_job_needed_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, true, false);
    invalidated(stage, SOURCES("a"));
    assert_false(recorded(stage)->pending);
    desk_is_quiet(stage, "job_supervisor", MSG_JOB_ENSURE); /* somebody may clear in between */
    const msg_job_need_t *need = desk_yes(stage, "asker");
    assert_false(need->needed);
    assert_string_equal(need->reason, "recording_valid");
    stage_destroy(&stage);
}

static msg_job_t some_job(bool done) {
    return (msg_job_t){.job = "j1",
                       .pipeline = "p",
                       .recording = "r1",
                       .state = done ? "DONE" : "RUNNING",
                       .is_done = done,
                       .limits = {.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE}};
}

static bool complete(stage_t *stage, bool changed, bool pending, const msg_job_t *job) {
    ask(stage, "asker", MSG_RECORDING_COMPLETE_ASK, &(msg_recording_complete_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, changed, pending);
    if (job)
        desk_answer(stage, "job_supervisor", MSG_JOB_DESCRIBE, job);
    else
        desk_refuse(stage, "job_supervisor", MSG_JOB_DESCRIBE, ERROR_NOT_FOUND, "no job");
    return ((const msg_recording_complete_answer_t *)desk_yes(stage, "asker"))->complete;
}

static void a_recording_is_complete_when_its_job_is_done_or_its_sources_changed(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    msg_job_t done = some_job(true), running = some_job(false);
    assert_true(complete(stage, false, false, &done));
    assert_false(complete(stage, false, false, &running));
    assert_false(complete(stage, false, false, NULL));
    assert_true(complete(stage, true, false, &running));
    assert_true(complete(stage, false, true, NULL));
    stage_destroy(&stage);
}

static void a_description_does_without_what_is_not_there(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_PIPELINE_DESCRIBE, &(msg_pipeline_describe_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, false, false);
    desk_refuse(stage, "job_supervisor", MSG_JOB_DESCRIBE, ERROR_NOT_FOUND, "no job");
    desk_refuse(stage, "recorder", MSG_RECORDING_DESCRIBE, ERROR_NOT_FOUND, "no recording");
    desk_answer(stage, "test_stream_server", MSG_TEST_STREAM_STATUS, &(msg_test_stream_t){.running = false});
    const msg_pipeline_description_t *answer = desk_yes(stage, "asker");
    assert_false(answer->has_job || answer->has_recording || answer->has_test_stream);
    assert_int_equal(answer->transforms.count, 1);
    assert_int_equal(answer->runs.count, 0);
    ask(stage, "asker", MSG_PIPELINE_DESCRIBE, &(msg_pipeline_describe_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, false, false);
    desk_refuse(stage, "job_supervisor", MSG_JOB_DESCRIBE, ERROR_UNAVAILABLE, "stopping");
    assert_int_equal(desk_no(stage, "asker").code, ERROR_UNAVAILABLE);
    stage_destroy(&stage);
}

static void forgetting_goes_through_every_actor_and_the_definition_last(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    run_again(stage, "p");
    ask(stage, "asker", MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = "p"});
    desk_answer(stage, "job_supervisor", MSG_JOB_FORGET, NULL);
    desk_answer(stage, "signature_checker", MSG_SIGNATURE_FORGET, NULL);
    const msg_catalog_write_t *write = written(stage);
    assert_int_equal(write->documents.count, 2);
    assert_false(write->documents.items[0].has_value || write->documents.items[1].has_value);
    desk_yes(stage, "asker");
    msg_pipeline_describe_t describe = {.has_pipeline = true, .pipeline = "p"};
    assert_int_equal(stage_get_refusal(stage, "pipeline_tracker", MSG_PIPELINE_DESCRIBE, &describe)->code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

static void a_pipeline_that_cannot_be_forgotten_is_still_there(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "asker", MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = "p"});
    desk_refuse(stage, "job_supervisor", MSG_JOB_FORGET, ERROR_INTERNAL, "cannot delete");
    desk_no(stage, "asker");
    run_again(stage, "p");
    stage_destroy(&stage);
}

/* ---- one at a time ---- */

static void two_runs_of_a_pipeline_go_one_after_the_other(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask_to_run(stage, "first", "p", NULL);
    ask_to_run(stage, "second", "p", NULL);
    compared(stage, true, false);
    desk_is_quiet(stage, "signature_checker", MSG_SIGNATURE_COMPARE);
    decided(stage, true, "first_run");
    recorded(stage);
    served(stage);
    written(stage);
    desk_yes(stage, "first");
    compared(stage, false, false);
    decided(stage, false, "job_running");
    stage_destroy(&stage);
}

static void runs_of_two_pipelines_go_at_once(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    track(stage, definition(stage, "q", SOURCES("a")));
    ask_to_run(stage, "first", "p", NULL);
    ask_to_run(stage, "second", "q", NULL);
    assert_string_equal(compared(stage, true, false)->pipeline.name, "p");
    assert_string_equal(compared(stage, true, false)->pipeline.name, "q");
    stage_destroy(&stage);
}

static void a_run_by_name_is_of_the_definition_that_stands_when_its_turn_comes(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask_to_run(stage, "first", "p", definition(stage, "p", SOURCES("b")));
    ask_to_run(stage, "second", "p", NULL);
    compared(stage, true, false);
    written(stage);
    decided(stage, true, "sources_changed");
    recorded(stage);
    served(stage);
    written(stage);
    desk_yes(stage, "first");
    assert_string_equal(compared(stage, false, false)->pipeline.transforms.items[0].name, "b");
    stage_destroy(&stage);
}

static void runs_of_a_pipeline_that_is_forgotten_before_their_turn_are_refused(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "forgetter", MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = "p"});
    ask_to_run(stage, "first", "p", NULL);
    ask_to_run(stage, "second", "p", NULL);
    ask_to_run(stage, "third", "p", definition(stage, "p", SOURCES("b")));
    desk_answer(stage, "job_supervisor", MSG_JOB_FORGET, NULL);
    desk_answer(stage, "signature_checker", MSG_SIGNATURE_FORGET, NULL);
    written(stage);
    desk_yes(stage, "forgetter");
    assert_int_equal(desk_no(stage, "first").code, ERROR_NOT_FOUND);
    assert_int_equal(desk_no(stage, "second").code, ERROR_NOT_FOUND);
    assert_string_equal(compared(stage, true, false)->pipeline.transforms.items[0].name, "b");
    stage_destroy(&stage);
}

static void a_refusal_lets_the_next_go(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask_to_run(stage, "first", "p", NULL);
    ask_to_run(stage, "second", "p", NULL);
    compared(stage, true, false);
    desk_refuse(stage, "job_supervisor", MSG_JOB_ENSURE, ERROR_NO_SPACE, "full");
    assert_int_equal(desk_no(stage, "first").code, ERROR_NO_SPACE);
    compared(stage, true, false);
    decided(stage, true, "first_run");
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_starts_a_job_records_its_signature_and_serves_it),
        cmocka_unit_test(a_run_that_starts_nothing_records_no_signature),
        cmocka_unit_test(a_pending_change_counts_as_a_change),
        cmocka_unit_test(without_sources_there_is_no_test_stream),
        cmocka_unit_test(starting_a_job_is_a_run_without_a_run),
        cmocka_unit_test(a_definition_that_is_stored_already_is_not_written_again),
        cmocka_unit_test(a_new_pipeline_begins_without_the_runs_of_one_before),
        cmocka_unit_test(a_definition_that_is_refused_is_not_stored),
        cmocka_unit_test(a_definition_that_cannot_be_written_is_not_stored),
        cmocka_unit_test(a_run_that_cannot_be_written_is_no_run),
        cmocka_unit_test(a_change_is_remembered_once_the_recording_is_invalid),
        cmocka_unit_test(a_recording_that_cannot_be_made_invalid_leaves_the_change_to_be_seen_again),
        cmocka_unit_test(sources_that_come_back_count_as_what_their_recording_was_made_of),
        cmocka_unit_test(a_change_that_is_pending_may_be_taken_back_by_whoever_asks),
        cmocka_unit_test(a_run_whose_sources_came_back_records_what_they_were_recorded_as),
        cmocka_unit_test(what_only_asks_changes_nothing),
        cmocka_unit_test(asking_whether_a_job_is_needed_drops_what_is_invalid_first),
        cmocka_unit_test(asking_whether_a_job_is_needed_brings_a_recording_back),
        cmocka_unit_test(a_recording_is_complete_when_its_job_is_done_or_its_sources_changed),
        cmocka_unit_test(a_description_does_without_what_is_not_there),
        cmocka_unit_test(forgetting_goes_through_every_actor_and_the_definition_last),
        cmocka_unit_test(a_pipeline_that_cannot_be_forgotten_is_still_there),
        cmocka_unit_test(two_runs_of_a_pipeline_go_one_after_the_other),
        cmocka_unit_test(runs_of_two_pipelines_go_at_once),
        cmocka_unit_test(a_run_by_name_is_of_the_definition_that_stands_when_its_turn_comes),
        cmocka_unit_test(runs_of_a_pipeline_that_is_forgotten_before_their_turn_are_refused),
        cmocka_unit_test(a_refusal_lets_the_next_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
