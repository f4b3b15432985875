/* The table of pipelines and their runs. */
#include "pack.h"

#include "actors/pipelines.h"

#define NOW INT64_C(1700000000000000)

static const msg_pipeline_t *definition(const char *name, const char *urn) {
    static msg_transform_t transform;
    static msg_pipeline_t made;
    transform = (msg_transform_t){.name = "Read", .urn = urn};
    made = (msg_pipeline_t){.name = name, .has_transforms = true, .transforms = {1, &transform}};
    return &made;
}

static void a_definition_replaces_the_one_before_and_keeps_the_runs(void **test) {
    (void)test;
    pipelines_t pipelines;
    pipelines_init(&pipelines);
    assert_true(pipelines_set(&pipelines, definition("p", "a")));
    pipeline_t *pipeline = pipelines_find(&pipelines, "p");
    pipelines_add_run(&pipelines, pipeline, "run-1", &(msg_job_decision_t){.reason = "first_run"}, NOW);
    assert_false(pipelines_set(&pipelines, definition("p", "b")));
    assert_ptr_equal(pipelines_find(&pipelines, "p"), pipeline);
    assert_string_equal(pipeline->definition->transforms.items[0].urn, "b");
    assert_int_equal(pipeline->runs_count, 1);
    pipelines_remove(&pipelines, "p");
    assert_null(pipelines_find(&pipelines, "p"));
    pipelines_fini(&pipelines);
}

static void the_oldest_run_is_forgotten_where_there_are_too_many(void **test) {
    (void)test;
    pipelines_t pipelines;
    pipelines_init(&pipelines);
    pipelines_set(&pipelines, definition("p", "a"));
    pipeline_t *pipeline = pipelines_find(&pipelines, "p");
    run_t *run;
    for (int i = 0; i < RUNS_MAX + 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "run-%d", i);
        pipelines_add_run(&pipelines, pipeline, name, &(msg_job_decision_t){.reason = "job_running"}, NOW + i);
    }
    assert_int_equal(pipeline->runs_count, RUNS_MAX);
    assert_null(pipelines_find_run(&pipelines, "run-2", &run));
    assert_ptr_equal(pipelines_find_run(&pipelines, "run-3", &run), pipeline);
    assert_ptr_equal(run, &pipeline->runs[0]);
    pipelines_remove_run(pipeline, "run-4");
    pipelines_remove_run(pipeline, "run-4");
    assert_int_equal(pipeline->runs_count, RUNS_MAX - 1);
    assert_string_equal(pipeline->runs[1].run, "run-5");
    pipelines_remove_run(pipeline, "run-22");
    assert_string_equal(pipeline->runs[pipeline->runs_count - 1].run, "run-21");
    pipelines_fini(&pipelines);
}

static void a_pipeline_has_no_room_for_runs_that_it_never_had(void **test) {
    (void)test;
    pipelines_t pipelines;
    pipelines_init(&pipelines);
    pipelines_set(&pipelines, definition("p", "a"));
    pipeline_t *pipeline = pipelines_find(&pipelines, "p");
    assert_null(pipeline->runs);
    for (int i = 0; i < 3 * RUNS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "run-%d", i);
        pipelines_add_run(&pipelines, pipeline, name, &(msg_job_decision_t){.reason = "job_running", .has_job = true, .job = "j1"},
                          NOW + i);
        assert_true(pipeline->runs_room < 2 * pipeline->runs_count || pipeline->runs_count == RUNS_MAX);
    }
    assert_true(pipeline->runs_room < 2 * RUNS_MAX);
    assert_true(sizeof(run_t) <= 128); /* what it does not have it points to */
    pipelines_fini(&pipelines);
}

static void a_run_has_the_state_that_was_set_last(void **test) {
    (void)test;
    pipelines_t pipelines;
    msg_run_t told;
    pipelines_init(&pipelines);
    pipelines_set(&pipelines, definition("p", "a"));
    pipeline_t *pipeline = pipelines_find(&pipelines, "p");
    pipelines_add_run(&pipelines, pipeline, "run-1", &(msg_job_decision_t){.reason = "no_recordable_source"}, NOW);
    pipelines_set_state(&pipeline->runs[0], "FAILED");
    pipelines_set_state(&pipeline->runs[0], "DONE");
    pipelines_describe_run(&pipeline->runs[0], &told);
    assert_string_equal(told.state, "DONE");
    assert_false(told.has_job);
    pipelines_set_state(&pipeline->runs[0], NULL);
    pipelines_describe_run(&pipeline->runs[0], &told);
    assert_false(told.has_state);
    pipelines_fini(&pipelines);
}

static void a_run_that_is_added_again_is_the_same_run(void **test) {
    (void)test;
    pipelines_t pipelines;
    pipelines_init(&pipelines);
    pipelines_set(&pipelines, definition("p", "a"));
    pipeline_t *pipeline = pipelines_find(&pipelines, "p");
    pipelines_add_run(&pipelines, pipeline, "run-1", &(msg_job_decision_t){.reason = "first_run", .has_job = true, .job = "j1"}, NOW);
    pipelines_add_run(&pipelines, pipeline, "run-1", &(msg_job_decision_t){.reason = "job_running"}, NOW + 5);
    assert_int_equal(pipeline->runs_count, 1);
    msg_run_t told;
    pipelines_describe_run(&pipeline->runs[0], &told);
    assert_string_equal(told.reason, "first_run");
    assert_string_equal(told.job, "j1");
    assert_int_equal(told.started_at, NOW);
    assert_false(told.has_state);
    pipelines_fini(&pipelines);
}

static void runs_stand_in_order_though_the_clock_goes_back(void **test) {
    (void)test;
    pipelines_t pipelines;
    pipelines_init(&pipelines);
    pipelines_set(&pipelines, definition("p", "a"));
    pipeline_t *pipeline = pipelines_find(&pipelines, "p");
    pipelines_add_run(&pipelines, pipeline, "run-1", &(msg_job_decision_t){.reason = "first_run"}, NOW);
    pipelines_add_run(&pipelines, pipeline, "run-2", &(msg_job_decision_t){.reason = "job_running"}, NOW - 1000000);
    assert_true(pipeline->runs[1].started_at > pipeline->runs[0].started_at);
    pipelines_fini(&pipelines);
}

static bytes_t encoded(const record_class_t *record, const void *message) {
    static msgpack_sbuffer out;
    msgpack_sbuffer_destroy(&out);
    msgpack_sbuffer_init(&out);
    record_encode(record, message, &out);
    return (bytes_t){(const uint8_t *)out.data, out.size};
}

static void what_the_catalog_has_is_loaded(void **test) {
    (void)test;
    pipelines_t pipelines;
    fault_t why;
    pipelines_init(&pipelines);
    msg_document_t document = {
        .kind = "pipeline", .key = "p", .has_value = true, .value = encoded(RECORD_CLASS(pipeline), definition("p", "a"))};
    assert_int_equal(pipelines_load(&pipelines, &(msg_documents_t){.documents = {1, &document}}, &why), 0);
    msg_run_t runs[] = {
        {.run = "run-1", .started_at = NOW, .reason = "first_run", .has_job = true, .job = "j1", .has_state = true, .state = "DONE"},
        {.run = "run-2", .started_at = NOW + 7, .reason = "job_running"}};
    document = (msg_document_t){
        .kind = "run", .key = "p", .has_value = true, .value = encoded(RECORD_CLASS(run_history), &(msg_run_history_t){.runs = {2, runs}})};
    assert_int_equal(pipelines_load_runs(&pipelines, &(msg_documents_t){.documents = {1, &document}}, &why), 0);
    pipeline_t *pipeline = pipelines_find(&pipelines, "p");
    assert_int_equal(pipeline->runs_count, 2);
    msg_run_t told;
    pipelines_describe_run(&pipeline->runs[0], &told);
    assert_string_equal(told.state, "DONE");
    assert_int_equal(pipelines.last_run, NOW + 7);
    pipelines_fini(&pipelines);
}

static void runs_of_a_pipeline_that_is_not_there_are_left_out(void **test) {
    (void)test;
    pipelines_t pipelines;
    fault_t why;
    pipelines_init(&pipelines);
    msg_run_t run = {.run = "run-1", .started_at = NOW, .reason = "first_run"};
    msg_document_t document = {.kind = "run",
                               .key = "gone",
                               .has_value = true,
                               .value = encoded(RECORD_CLASS(run_history), &(msg_run_history_t){.runs = {1, &run}})};
    assert_int_equal(pipelines_load_runs(&pipelines, &(msg_documents_t){.documents = {1, &document}}, &why), 0);
    run_t *found;
    assert_null(pipelines_find_run(&pipelines, "run-1", &found));
    pipelines_fini(&pipelines);
}

static void what_cannot_be_read_is_named(void **test) {
    (void)test;
    pipelines_t pipelines;
    fault_t why;
    pipelines_init(&pipelines);
    msg_document_t document = {.kind = "pipeline", .key = "clicks", .has_value = true, .value = pack("{si}", "name", 7LL)};
    assert_int_equal(pipelines_load(&pipelines, &(msg_documents_t){.documents = {1, &document}}, &why), -1);
    assert_non_null(strstr(why.text, "`clicks`"));
    document.value = pack("{si}", "runs", 7LL);
    assert_int_equal(pipelines_load_runs(&pipelines, &(msg_documents_t){.documents = {1, &document}}, &why), -1);
    assert_non_null(strstr(why.text, "`clicks`"));
    pipelines_fini(&pipelines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_definition_replaces_the_one_before_and_keeps_the_runs),
        cmocka_unit_test(the_oldest_run_is_forgotten_where_there_are_too_many),
        cmocka_unit_test(a_pipeline_has_no_room_for_runs_that_it_never_had),
        cmocka_unit_test(a_run_has_the_state_that_was_set_last),
        cmocka_unit_test(a_run_that_is_added_again_is_the_same_run),
        cmocka_unit_test(runs_stand_in_order_though_the_clock_goes_back),
        cmocka_unit_test(what_the_catalog_has_is_loaded),
        cmocka_unit_test(runs_of_a_pipeline_that_is_not_there_are_left_out),
        cmocka_unit_test(what_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
