/* A definition made of a recording has the recording's signature again. */
#include "actors/definition.h"

#include "actors/signature.h"
#include "messages/wire.h"
#include "store.h"

static const char *tags[] = {"one", "uno"};

static msg_recording_job_t recording_of(msg_stream_t *streams, size_t count) {
    msg_recording_job_t recording = {.pipeline = "clicks"};
    recording.streams.count = count;
    recording.streams.items = streams;
    return recording;
}

static void its_signature_is_that_of_the_recording(void **state) {
    static const char *every[] = {"*"}, *third[] = {"none"}, *second[] = {"bytes"};
    const msg_options_t options = {.recordable_sources = {1, every}, .transforms_max = 4};
    msg_stream_t streams[] = {
        {.signature = "my:map|msgpack:81a16101", .urn = "my:map", .tags = {2, tags}},
        {.signature = "my:bytes|00ff", .urn = "my:bytes", .tags = {1, second}},
        {.signature = "my:none|", .urn = "my:none", .tags = {1, third}},
    };
    msg_recording_job_t recording = recording_of(streams, 3);
    msg_pipeline_t definition;
    msg_comparison_t comparison = {0};
    refusal_t no;
    msgpack_zone *zone = msgpack_zone_new(1024);
    (void)state;
    assert_true(definition_make(&recording, zone, &definition));
    assert_string_equal(definition.name, "clicks");
    assert_int_equal(definition.transforms.count, 4);
    if (signature_extract(&definition, &options, zone, &comparison, &no) < 0) fail_msg("%s", no.message);
    assert_int_equal(comparison.signature.count, 3);
    assert_string_equal(comparison.signature.items[0], "my:bytes|00ff");
    assert_string_equal(comparison.signature.items[1], "my:map|msgpack:81a16101");
    assert_string_equal(comparison.signature.items[2], "my:none|");
    assert_int_equal(comparison.recordables.items[1].tags.count, 2);
    msgpack_zone_free(zone);
}

static void a_signature_that_says_no_payload_makes_none(void **state) {
    static const char *const wrong[] = {
        "my:urn|0", "my:urn|zz", "my:urn|msgpack:", "my:urn|msgpack:c1", "my:urn|msgpack:0101", "my:urn|msgpack:dfffffffff", "other|00"};
    msgpack_zone *zone = msgpack_zone_new(1024);
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        msg_stream_t stream = {.signature = wrong[i], .urn = "my:urn", .tags = {1, tags}};
        msg_recording_job_t recording = recording_of(&stream, 1);
        msg_pipeline_t definition;
        if (definition_make(&recording, zone, &definition)) fail_msg("%s", wrong[i]);
    }
    msgpack_zone_free(zone);
}

/* Reading it takes a moment, and would take many minutes if each byte was looked for from the end. */
static void the_largest_signature_is_read(void **state) {
    enum { PAYLOAD = SIGNATURES_SIZE_MAX / 2 };
    char *text = malloc(2 * PAYLOAD + sizeof "my:urn|");
    assert_non_null(text);
    char *at = text + sprintf(text, "my:urn|");
    for (size_t i = 0; i < PAYLOAD; i++) at += sprintf(at, "%02x", (unsigned)(i & 0xff));
    msg_stream_t stream = {.signature = text, .urn = "my:urn", .tags = {1, tags}};
    msg_recording_job_t recording = recording_of(&stream, 1);
    msg_pipeline_t definition;
    msgpack_zone *zone = msgpack_zone_new(1024);
    (void)state;
    assert_true(definition_make(&recording, zone, &definition));
    bytes_t payload = definition.transforms.items[0].payload;
    assert_int_equal(payload.size, PAYLOAD + 5);
    size_t same = 0;
    while (same < PAYLOAD && payload.data[5 + same] == (same & 0xff)) same++;
    assert_int_equal(same, PAYLOAD);
    msgpack_zone_free(zone);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_signature_is_that_of_the_recording),
        cmocka_unit_test(the_largest_signature_is_read),
        cmocka_unit_test(a_signature_that_says_no_payload_makes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
