/* The pipeline tracker: what it remembers, who waits for it, and what it does again after it failed. */
#include "bureau.h"

static void a_pipeline_that_is_not_known_is_refused_by_name(void **test) {
    (void)test;
    static const message_id_t ops[] = {
        MSG_PIPELINE_RUN_ASK, MSG_PIPELINE_TRACK, MSG_PIPELINE_DESCRIBE, MSG_PIPELINE_FORGET, MSG_JOB_START,
        MSG_JOB_NEEDED,       MSG_SOURCE_HAS,     MSG_SOURCE_SIGNATURE,  MSG_SOURCE_CHANGED,  MSG_RECORDING_COMPLETE_ASK};
    stage_t *stage = bureau();
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        /* They all begin with the pipeline. */
        msg_pipeline_run_t message = {.has_pipeline = true, .pipeline = "clicks"};
        const refusal_t *no = stage_get_refusal(stage, "pipeline_tracker", ops[i], &message);
        assert_int_equal(no->code, ERROR_NOT_FOUND);
        assert_string_equal(no->message, "no pipeline `clicks`");
    }
    msg_pipeline_tags_ask_t tags = {.pipeline = "clicks"};
    assert_int_equal(stage_get_refusal(stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &tags)->code, ERROR_NOT_FOUND);
    const refusal_t *no =
        stage_get_refusal(stage, "pipeline_tracker", MSG_RUN_FINISH, &(msg_run_finish_t){.run = "run-9", .state = "DONE"});
    assert_string_equal(no->message, "no run `run-9`");
    stage_destroy(&stage);
}

static void pipelines_are_listed_by_name_with_their_runs(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "views", SOURCES("a", "b")));
    track(stage, definition(stage, "clicks", SOURCES("a")));
    run_again(stage, "views");
    const msg_pipelines_t *all = stage_get(stage, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    assert_int_equal(all->pipelines.count, 2);
    assert_string_equal(all->pipelines.items[0].name, "clicks");
    assert_int_equal(all->pipelines.items[1].transforms, 2);
    assert_int_equal(all->pipelines.items[1].runs, 1);
    stage_destroy(&stage);
}

static void tags_are_told_sorted_and_once(void **test) {
    (void)test;
    stage_t *stage = bureau();
    msg_transform_t transforms[] = {
        {.name = "z", .urn = URN}, {.name = "a", .urn = URN}, {.name = "y", .urn = URN, .has_tag = true, .tag = "z"}};
    msg_pipeline_t made = {.name = "p", .has_transforms = true, .transforms = {3, transforms}};
    track(stage, &made);
    ask(stage, "recorder-like", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_ask_t){.pipeline = "p"});
    compared(stage, false, false);
    const msg_pipeline_tags_t *tags = desk_yes(stage, "recorder-like");
    assert_int_equal(tags->tags.count, 2);
    assert_string_equal(tags->tags.items[0].tag, "a");
    assert_string_equal(tags->tags.items[1].tag, "z");
    stage_destroy(&stage);
}

/* ---- runs ---- */

static void the_end_of_a_run_is_remembered(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    const char *run = run_again(stage, "p");
    ask(stage, "finisher", MSG_RUN_FINISH, &(msg_run_finish_t){.run = run, .state = "DONE"});
    assert_true(desk_waits(stage, "finisher"));
    assert_string_equal(written(stage)->documents.items[0].kind, "run");
    const msg_run_finished_t *answer = desk_yes(stage, "finisher");
    assert_string_equal(answer->run.run, run);
    assert_string_equal(answer->run.state, "DONE");
    assert_string_equal(answer->run.reason, "job_running");
    stage_destroy(&stage);
}

static void two_that_finish_a_run_are_both_answered(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    const char *run = run_again(stage, "p");
    ask(stage, "first", MSG_RUN_FINISH, &(msg_run_finish_t){.run = run, .state = "DONE"});
    ask(stage, "second", MSG_RUN_FINISH, &(msg_run_finish_t){.run = run, .state = "FAILED"});
    written(stage);
    written(stage);
    desk_yes(stage, "first");
    assert_string_equal(((const msg_run_finished_t *)desk_yes(stage, "second"))->run.state, "FAILED");
    stage_destroy(&stage);
}

static void an_end_that_cannot_be_written_has_not_happened(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    const char *run = run_again(stage, "p");
    ask(stage, "finisher", MSG_RUN_FINISH, &(msg_run_finish_t){.run = run, .state = "DONE"});
    desk_refuse(stage, "catalog", MSG_CATALOG_WRITE, ERROR_INTERNAL, "disk full");
    assert_int_equal(desk_no(stage, "finisher").code, ERROR_INTERNAL);
    ask(stage, "asker", MSG_PIPELINE_DESCRIBE, &(msg_pipeline_describe_t){.has_pipeline = true, .pipeline = "p"});
    compared(stage, false, false);
    desk_refuse(stage, "job_supervisor", MSG_JOB_DESCRIBE, ERROR_NOT_FOUND, "no job");
    desk_refuse(stage, "recorder", MSG_RECORDING_DESCRIBE, ERROR_NOT_FOUND, "no recording");
    desk_answer(stage, "test_stream_server", MSG_TEST_STREAM_STATUS, &(msg_test_stream_t){.running = false});
    assert_false(((const msg_pipeline_description_t *)desk_yes(stage, "asker"))->runs.items[0].has_state);
    stage_destroy(&stage);
}

static void a_run_that_is_forgotten_while_its_end_is_written_is_refused(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    const char *run = run_again(stage, "p");
    ask(stage, "forgetter", MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = "p"});
    desk_answer(stage, "job_supervisor", MSG_JOB_FORGET, NULL);
    desk_answer(stage, "signature_checker", MSG_SIGNATURE_FORGET, NULL);
    ask(stage, "finisher", MSG_RUN_FINISH, &(msg_run_finish_t){.run = run, .state = "DONE"});
    written(stage);
    desk_yes(stage, "forgetter");
    written(stage);
    assert_int_equal(desk_no(stage, "finisher").code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

/* ---- failures ---- */

/* What the catalog has of one pipeline, and of its runs. */
static msg_documents_t stored(stage_t *stage, const char *kind, const record_class_t *record, const void *value) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    record_encode(record, value, &out);
    msg_document_t document = {.kind = kind, .key = "p", .has_value = true, .value = {stage_keep(stage, out.data, out.size), out.size}};
    msgpack_sbuffer_destroy(&out);
    return (msg_documents_t){.documents = {1, stage_keep(stage, &document, sizeof document)}};
}

static void a_run_that_is_begun_anew_is_the_same_request(void **test) {
    (void)test;
    stage_t *stage = bureau();
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a"));
    track(stage, made);
    ask_to_run(stage, "runner", "p", NULL);
    const char *request = compared(stage, true, false)->request;
    desk_take(stage, "job_supervisor", MSG_JOB_ENSURE);
    stage_fail(stage, "pipeline_tracker");
    msg_documents_t pipelines = stored(stage, "pipeline", RECORD_CLASS(pipeline), made);
    bureau_load(stage, &pipelines, NULL);
    assert_string_equal(compared(stage, true, false)->request, request);
    assert_string_equal(decided(stage, true, "first_run")->request, request);
    assert_string_equal(recorded(stage)->request, request);
    served(stage);
    written(stage);
    assert_true(((const msg_pipeline_run_answer_t *)desk_yes(stage, "runner"))->started);
    ask_to_run(stage, "another", "p", NULL);
    assert_string_not_equal(compared(stage, false, false)->request, request);
    stage_destroy(&stage);
}

static void a_run_that_was_written_before_it_failed_is_not_written_as_another(void **test) {
    (void)test;
    stage_t *stage = bureau();
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a"));
    track(stage, made);
    ask_to_run(stage, "runner", "p", NULL);
    const char *request = compared(stage, false, false)->request;
    decided(stage, false, "job_running");
    served(stage);
    desk_take(stage, "catalog", MSG_CATALOG_WRITE);
    stage_fail(stage, "pipeline_tracker");
    char name[80];
    snprintf(name, sizeof name, "run-%s", request);
    msg_run_t run = {.run = name, .started_at = 7, .reason = "job_running"};
    msg_documents_t pipelines = stored(stage, "pipeline", RECORD_CLASS(pipeline), made);
    msg_documents_t runs = stored(stage, "run", RECORD_CLASS(run_history), &(msg_run_history_t){.runs = {1, &run}});
    bureau_load(stage, &pipelines, &runs);
    compared(stage, false, false);
    decided(stage, false, "job_running");
    served(stage);
    written(stage);
    assert_string_equal(((const msg_pipeline_run_answer_t *)desk_yes(stage, "runner"))->run, name);
    const msg_pipelines_t *all = stage_get(stage, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    assert_int_equal(all->pipelines.items[0].runs, 1);
    stage_destroy(&stage);
}

static void a_pipeline_that_was_forgotten_before_it_failed_is_forgotten(void **test) {
    (void)test;
    stage_t *stage = bureau();
    track(stage, definition(stage, "p", SOURCES("a")));
    ask(stage, "forgetter", MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = "p"});
    desk_answer(stage, "job_supervisor", MSG_JOB_FORGET, NULL);
    desk_answer(stage, "signature_checker", MSG_SIGNATURE_FORGET, NULL);
    desk_take(stage, "catalog", MSG_CATALOG_WRITE);
    stage_fail(stage, "pipeline_tracker");
    bureau_load(stage, NULL, NULL);
    desk_answer(stage, "job_supervisor", MSG_JOB_FORGET, NULL);
    desk_answer(stage, "signature_checker", MSG_SIGNATURE_FORGET, NULL);
    written(stage);
    desk_yes(stage, "forgetter");
    stage_destroy(&stage);
}

static void an_answer_to_an_earlier_state_is_nothing(void **test) {
    (void)test;
    stage_t *stage = bureau();
    const msg_pipeline_t *made = definition(stage, "p", SOURCES("a"));
    track(stage, made);
    ask_to_run(stage, "runner", "p", NULL);
    const stage_message_t *old = desk_take(stage, "signature_checker", MSG_SIGNATURE_COMPARE);
    stage_fail(stage, "pipeline_tracker");
    msg_documents_t pipelines = stored(stage, "pipeline", RECORD_CLASS(pipeline), made);
    bureau_load(stage, &pipelines, NULL);
    stage_refuse(stage, old, ERROR_INTERNAL, "late");
    assert_true(desk_waits(stage, "runner"));
    compared(stage, false, false);
    decided(stage, false, "recording_valid");
    stage_destroy(&stage);
}

static void what_cannot_be_loaded_is_named(void **test) {
    (void)test;
    stage_t *stage = stage_create(13, NULL);
    stage_add(stage, &pipeline_tracker_class, "pipeline_tracker", (bytes_t){0});
    desk_refuse(stage, "catalog", MSG_OPTIONS_GET, ERROR_INTERNAL, "the disk is full");
    assert_string_equal(stage_failure(stage, "pipeline_tracker"), "cannot read the options: the disk is full");
    stage_destroy(&stage);
    stage = stage_create(13, NULL);
    stage_add(stage, &pipeline_tracker_class, "pipeline_tracker", (bytes_t){0});
    msg_options_t options;
    options_default(&options);
    desk_answer(stage, "catalog", MSG_OPTIONS_GET, &options);
    desk_refuse(stage, "catalog", MSG_CATALOG_READ, ERROR_INTERNAL, "the disk is gone");
    assert_string_equal(stage_failure(stage, "pipeline_tracker"), "cannot read the pipelines: the disk is gone");
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_that_is_not_known_is_refused_by_name),
        cmocka_unit_test(pipelines_are_listed_by_name_with_their_runs),
        cmocka_unit_test(tags_are_told_sorted_and_once),
        cmocka_unit_test(the_end_of_a_run_is_remembered),
        cmocka_unit_test(two_that_finish_a_run_are_both_answered),
        cmocka_unit_test(an_end_that_cannot_be_written_has_not_happened),
        cmocka_unit_test(a_run_that_is_forgotten_while_its_end_is_written_is_refused),
        cmocka_unit_test(a_run_that_is_begun_anew_is_the_same_request),
        cmocka_unit_test(a_run_that_was_written_before_it_failed_is_not_written_as_another),
        cmocka_unit_test(a_pipeline_that_was_forgotten_before_it_failed_is_forgotten),
        cmocka_unit_test(an_answer_to_an_earlier_state_is_nothing),
        cmocka_unit_test(what_cannot_be_loaded_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
