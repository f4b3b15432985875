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

static void ask_inlined(stage_t *stage, const char *as, const msg_pipeline_t *made) {
    ask(stage, as, MSG_PIPELINE_RUN_ASK,
        &(msg_pipeline_run_t){.has_pipeline = true,
                              .pipeline = made->name,
                              .pipeline_definition = made,
                              .has_rewrite = true,
                              .rewrite = true,
                              .has_inlined = true,
                              .inlined = true});
}

static const msg_pipeline_t *one_read(const char *name) {
    graph_begin();
    graph_coder("bytes");
    graph_read("a", "x");
    graph_code("a-out", "bytes");
    graph_root("a");
    return pipeline_of(name);
}

/* The run has come to where the events are gathered. */
static void come_to_gathering(stage_t *stage) {
    found(stage, 1, (const char *[]){"a-out"});
    written(stage);
    decided(stage, false, "recording_valid");
    served(stage);
}

static const msg_recording_events_t *gathered(stage_t *stage, const void *data, size_t size, const char *next) {
    msg_exported_t piece = {.recording = "r1",
                            .data = {data, size},
                            .complete = next == NULL,
                            .has_next = next != NULL,
                            .next = next,
                            .element = 4,
                            .elements = 9};
    return desk_answer(stage, "librarian", MSG_RECORDING_EVENTS, &piece);
}

static void the_events_are_gathered_a_piece_at_a_time_and_need_no_port(void **test) {
    (void)test;
    stage_t *stage = bureau_with("");
    ask_inlined(stage, "runner", one_read("clicks"));
    come_to_gathering(stage);
    const msg_recording_events_t *asked = gathered(stage, "\x12\x04\x0a", 3, "n1");
    assert_string_equal(asked->recording, "r1");
    assert_string_equal(asked->tags.items[0].tag, "a-out");
    assert_false(asked->has_from);
    asked = gathered(stage, "\x02\x08\x07", 3, NULL);
    assert_string_equal(asked->from, "n1");
    written(stage);
    const msg_pipeline_run_answer_t *answer = desk_yes(stage, "runner");
    assert_reads(answer->beam, "beam:transform:teststream:v1", "a-out");
    static const char payload[] = "\x0a\x05"
                                  "bytes"
                                  "\x12\x04\x0a\x02\x08\x07";
    assert_non_null(memmem(answer->beam.data, answer->beam.size, payload, sizeof payload - 1));
    stage_destroy(&stage);
}

static void one_run_at_a_time_gathers(void **test) {
    (void)test;
    stage_t *stage = bureau_with("");
    ask_inlined(stage, "runner", one_read("clicks"));
    ask_inlined(stage, "other", one_read("others"));
    come_to_gathering(stage);
    desk_is_quiet(stage, "signature_checker", MSG_SIGNATURE_COMPARE);
    gathered(stage, "", 0, NULL);
    written(stage);
    desk_yes(stage, "runner");
    come_to_gathering(stage);
    gathered(stage, "", 0, NULL);
    written(stage);
    desk_yes(stage, "other");
    stage_destroy(&stage);
}

static void more_events_than_the_option_says_are_refused_as_soon_as_they_are_there(void **test) {
    (void)test;
    stage_t *stage = bureau_with("");
    msg_options_t options;
    msg_options_changed_t changed;
    options_default(&options);
    options.inline_size_max = 1048576;
    memcpy(&changed, &options, sizeof changed);
    stage_tell(stage, "catalog", "pipeline_tracker", MSG_OPTIONS_CHANGED, &changed);
    ask_inlined(stage, "runner", one_read("clicks"));
    come_to_gathering(stage);
    static char half[524288];
    gathered(stage, half, sizeof half, "n1");
    gathered(stage, half, sizeof half, "n2");
    gathered(stage, "1", 1, "n3");
    refusal_t no = desk_no(stage, "runner");
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    assert_string_equal(no.field, "inlined");
    assert_string_equal(no.message,
                        "the events of recording `r1` have more than 1048576 bytes (`inline_size_max`): those of the first 4 of its 9 "
                        "elements have 1048577 already; `max_elements` asks for fewer");
    desk_is_quiet(stage, "librarian", MSG_RECORDING_EVENTS);
    stage_destroy(&stage);
}

static void a_recording_that_is_not_complete_is_not_gathered(void **test) {
    (void)test;
    stage_t *stage = bureau_with("");
    ask_inlined(stage, "runner", one_read("clicks"));
    found(stage, 1, (const char *[]){"a-out"});
    written(stage);
    decided(stage, false, "job_running");
    served(stage);
    written(stage);
    assert_false(((const msg_pipeline_run_answer_t *)desk_yes(stage, "runner"))->has_beam);
    stage_destroy(&stage);
}

static void a_recording_that_is_gone_meanwhile_is_what_the_run_is_refused_for(void **test) {
    (void)test;
    stage_t *stage = bureau_with("");
    ask_inlined(stage, "runner", one_read("clicks"));
    come_to_gathering(stage);
    desk_refuse(stage, "librarian", MSG_RECORDING_EVENTS, ERROR_NOT_FOUND, "there is no recording r1");
    assert_string_equal(desk_no(stage, "runner").message, "there is no recording r1");
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
        cmocka_unit_test(the_events_are_gathered_a_piece_at_a_time_and_need_no_port),
        cmocka_unit_test(one_run_at_a_time_gathers),
        cmocka_unit_test(more_events_than_the_option_says_are_refused_as_soon_as_they_are_there),
        cmocka_unit_test(a_recording_that_is_not_complete_is_not_gathered),
        cmocka_unit_test(a_recording_that_is_gone_meanwhile_is_what_the_run_is_refused_for),
        cmocka_unit_test(without_a_port_for_beam_there_is_nothing_to_point_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
