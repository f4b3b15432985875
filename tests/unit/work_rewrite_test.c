/* A run that answers the pipeline of Beam that replays what is recorded. */
#include "bureau.h"
#include "graph.h"

static stage_t *bureau_with(const char *beam) {
    stage_t *stage = stage_create(17, NULL);
    snprintf(stage_config(stage)->beam, sizeof stage_config(stage)->beam, "%s", beam);
    stage_add(stage, &pipeline_tracker_class, "pipeline_tracker", (bytes_t){0});
    bureau_load(stage, NULL, NULL);
    return stage;
}

static void ask_to_rewrite(stage_t *stage, const msg_pipeline_t *made) {
    ask(stage, "runner", MSG_PIPELINE_RUN_ASK,
        &(msg_pipeline_run_t){
            .has_pipeline = true, .pipeline = made->name, .pipeline_definition = made, .has_rewrite = true, .rewrite = true});
}

/* What the checker finds in a pipeline with these reads. */
static void found(stage_t *stage, size_t count, const char **tags) {
    msg_source_t sources[4];
    msg_recordable_t recordables[4];
    const char *signature[4];
    for (size_t i = 0; i < count; i++) {
        signature[i] = tags[i];
        sources[i] = (msg_source_t){.name = tags[i], .urn = PUBSUB, .tag = tags[i], .signature = tags[i]};
        recordables[i] = (msg_recordable_t){.signature = tags[i], .urn = PUBSUB, .tags = {1, &tags[i]}};
    }
    msg_comparison_t answer = {.sources = {count, sources}, .recordables = {count, recordables}, .signature = {count, signature}};
    desk_answer(stage, "signature_checker", MSG_SIGNATURE_COMPARE, &answer);
}

static const msg_pipeline_t *pipeline_of(const char *name) {
    static msg_pipeline_t made;
    made = (msg_pipeline_t){.name = name, .has_beam = true, .beam = graph_pack()};
    return &made;
}

/* The TestStream of a packed pipeline with one transform. */
static void assert_reads(bytes_t beam, const char *urn, const char *key) {
    graph_pipeline_t *pipeline = org__apache__beam__model__pipeline__v1__pipeline__unpack(NULL, beam.size, beam.data);
    assert_non_null(pipeline);
    assert_int_equal(pipeline->components->n_transforms, 1);
    const graph_transform_t *transform = pipeline->components->transforms[0]->value;
    assert_string_equal(transform->spec->urn, urn);
    assert_string_equal(transform->outputs[0]->key, key);
    org__apache__beam__model__pipeline__v1__pipeline__free_unpacked(pipeline, NULL);
}

static void a_run_answers_the_pipeline_that_replays(void **test) {
    (void)test;
    stage_t *stage = bureau_with("127.0.0.1:5574");
    graph_begin();
    graph_coder("bytes");
    graph_read("a", "x");
    graph_code("a-out", "bytes");
    graph_root("a");
    ask_to_rewrite(stage, pipeline_of("clicks"));
    found(stage, 1, (const char *[]){"a-out"});
    written(stage);
    decided(stage, false, "recording_valid");
    served(stage);
    written(stage);
    const msg_pipeline_run_answer_t *answer = desk_yes(stage, "runner");
    assert_string_equal(answer->beam_endpoint, "127.0.0.1:5574");
    assert_true(answer->has_beam);
    assert_reads(answer->beam, "beam:transform:teststream:v1", "clicks/a-out");
    stage_destroy(&stage);
}

static void a_run_that_does_not_ask_is_answered_no_pipeline(void **test) {
    (void)test;
    stage_t *stage = bureau_with("127.0.0.1:5574");
    graph_begin();
    graph_read("a", "x");
    graph_root("a");
    ask_to_run(stage, "runner", "clicks", pipeline_of("clicks"));
    found(stage, 1, (const char *[]){"a-out"});
    written(stage);
    decided(stage, false, "recording_valid");
    served(stage);
    written(stage);
    assert_false(((const msg_pipeline_run_answer_t *)desk_yes(stage, "runner"))->has_beam);
    stage_destroy(&stage);
}

static void without_a_source_it_is_as_it_came_and_nothing_is_there_to_read(void **test) {
    (void)test;
    stage_t *stage = bureau_with("127.0.0.1:5574");
    graph_begin();
    graph_transform("map", "other", (bytes_t){0}, "", "out", "");
    graph_root("map");
    const msg_pipeline_t *made = pipeline_of("clicks");
    ask_to_rewrite(stage, made);
    found(stage, 0, NULL);
    written(stage);
    decided(stage, false, "no_recordable_source");
    written(stage);
    const msg_pipeline_run_answer_t *answer = desk_yes(stage, "runner");
    assert_false(answer->has_beam_endpoint);
    assert_int_equal(answer->beam.size, made->beam.size);
    assert_memory_equal(answer->beam.data, made->beam.data, made->beam.size);
    stage_destroy(&stage);
}

/* Refused before anything is stored or started. */
static void assert_refused(stage_t *stage, error_code_t code, const char *message) {
    refusal_t no = desk_no(stage, "runner");
    assert_string_equal(no.message, message);
    assert_int_equal(no.code, code);
    assert_string_equal(no.field, "rewrite");
    desk_is_quiet(stage, "catalog", MSG_CATALOG_WRITE);
    desk_is_quiet(stage, "job_supervisor", MSG_JOB_ENSURE);
    stage_destroy(&stage);
}

static void what_cannot_be_rewritten_is_refused_before_anything_changes(void **test) {
    (void)test;
    stage_t *stage = bureau_with("127.0.0.1:5574");
    graph_begin();
    graph_read("a", "x");
    graph_root("a");
    ask_to_rewrite(stage, pipeline_of("clicks"));
    found(stage, 1, (const char *[]){"a-out"});
    assert_refused(stage, ERROR_BAD_REQUEST, "PCollection `a-out` has no coder");
}

static void a_definition_of_our_own_cannot_be_rewritten(void **test) {
    (void)test;
    stage_t *stage = bureau_with("127.0.0.1:5574");
    ask_to_rewrite(stage, definition(stage, "ours", SOURCES("a")));
    compared(stage, true, false);
    assert_refused(stage, ERROR_BAD_REQUEST, "pipeline `ours` is none of Beam: there is nothing to rewrite");
}

static void without_a_port_for_beam_there_is_nothing_to_point_at(void **test) {
    (void)test;
    stage_t *stage = bureau_with("");
    graph_begin();
    ask_to_rewrite(stage, pipeline_of("clicks"));
    found(stage, 0, NULL);
    assert_refused(stage, ERROR_INVALID_STATE, "the engine has no port for Beam that a TestStream could read from");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_answers_the_pipeline_that_replays),
        cmocka_unit_test(a_run_that_does_not_ask_is_answered_no_pipeline),
        cmocka_unit_test(without_a_source_it_is_as_it_came_and_nothing_is_there_to_read),
        cmocka_unit_test(what_cannot_be_rewritten_is_refused_before_anything_changes),
        cmocka_unit_test(a_definition_of_our_own_cannot_be_rewritten),
        cmocka_unit_test(without_a_port_for_beam_there_is_nothing_to_point_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
