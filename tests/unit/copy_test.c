#include "messages/codec.h"

#include "generate.h"

static void a_copy_outlives_everything_it_was_made_from(void **state) {
    (void)state;
    char name[] = "clicks", urn[] = "u", label[] = "Read";
    uint8_t payload[] = {0x93, 1, 2, 3};
    msg_transform_t transforms[2] = {{.name = label, .urn = urn, .has_payload = true, .payload = {payload, sizeof payload}},
                                     {.name = name, .urn = urn, .has_bounded = true, .bounded = true}};
    msg_pipeline_t pipeline = {.name = name, .has_transforms = true, .transforms = {2, transforms}};
    msg_pipeline_run_t run = {.has_pipeline = true,
                              .pipeline = name,
                              .pipeline_definition = &pipeline,
                              .has_limits = true,
                              .limits = {.has_count = true, .count = 9}};
    void *copy = record_copy(record_class_of(MSG_PIPELINE_RUN_ASK), &run);
    memset(name, 'x', sizeof name - 1);
    memset(urn, 'x', sizeof urn - 1);
    memset(label, 'x', sizeof label - 1);
    memset(payload, 0, sizeof payload);
    memset(transforms, 0xff, sizeof transforms);
    memset(&pipeline, 0xff, sizeof pipeline);
    const msg_pipeline_run_t *kept = copy;
    assert_string_equal(kept->pipeline, "clicks");
    assert_true(kept->has_limits && kept->limits.has_count);
    assert_int_equal(kept->limits.count, 9);
    assert_int_equal(kept->pipeline_definition->transforms.count, 2);
    const msg_transform_t *items = kept->pipeline_definition->transforms.items;
    assert_string_equal(items[0].name, "Read");
    assert_memory_equal(items[0].payload.data, "\x93\x01\x02\x03", 4);
    assert_string_equal(items[1].name, "clicks");
    assert_true(items[1].bounded);
    record_free(record_class_of(MSG_PIPELINE_RUN_ASK), &copy);
    assert_null(copy);
    record_free(record_class_of(MSG_PIPELINE_RUN_ASK), &copy);
}

static void lists_of_texts_are_copied_text_by_text(void **state) {
    (void)state;
    char first[] = "a", second[] = "";
    const char *texts[] = {first, second};
    msg_signature_t signature = {.has_signature = true, .signature = {2, texts}};
    msg_signature_t *copy = record_copy(record_class_of(MSG_SIGNATURE), &signature);
    first[0] = 'x';
    texts[0] = NULL;
    assert_int_equal(copy->signature.count, 2);
    assert_string_equal(copy->signature.items[0], "a");
    assert_string_equal(copy->signature.items[1], "");
    void *freed = copy;
    record_free(record_class_of(MSG_SIGNATURE), &freed);
}

static void what_points_to_nothing_still_does(void **state) {
    (void)state;
    msg_source_batch_t empty = {0};
    void *copy = record_copy(record_class_of(MSG_SOURCE_BATCH), &empty);
    assert_memory_equal(copy, &empty, sizeof empty);
    record_free(record_class_of(MSG_SOURCE_BATCH), &copy);
    msg_options_t options;
    options_default(&options);
    copy = record_copy(record_class_of(MSG_OPTIONS), &options);
    assert_true(record_same(record_class_of(MSG_OPTIONS), copy, (const uint8_t *)&options));
    record_free(record_class_of(MSG_OPTIONS), &copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_outlives_everything_it_was_made_from),
        cmocka_unit_test(lists_of_texts_are_copied_text_by_text),
        cmocka_unit_test(what_points_to_nothing_still_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
