/* Signatures: what a source is, whoever describes it. */
#include "graph.h"

#include "actors/signature.h"

enum { TRANSFORMS_MAX = 8 };

typedef struct sheet {
    msgpack_zone *zone;
    msg_transform_t transforms[TRANSFORMS_MAX];
    msg_pipeline_t pipeline;
    msg_comparison_t found;
    refusal_t no;
} sheet_t;

static sheet_t *sheet(size_t count, const msg_transform_t *transforms) {
    static sheet_t s;
    if (s.zone) msgpack_zone_free(s.zone);
    s = (sheet_t){.zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE)};
    if (count > 0) memcpy(s.transforms, transforms, count * sizeof *transforms);
    s.pipeline = (msg_pipeline_t){.name = "p", .has_transforms = true, .transforms = {count, s.transforms}};
    return &s;
}

static int extract(sheet_t *s) {
    static const char *patterns[] = {"reprise:source:*:v1", "beam:transform:pubsub_read:v1"};
    const msg_options_t options = {.recordable_sources = {2, patterns}, .transforms_max = TRANSFORMS_MAX};
    return signature_extract(&s->pipeline, &options, s->zone, &s->found, &s->no);
}

#define EXTRACT(...)                                                                                                                       \
    extracted((const msg_transform_t[]){__VA_ARGS__}, sizeof((const msg_transform_t[]){__VA_ARGS__}) / sizeof(msg_transform_t))

static const msg_comparison_t *extracted(const msg_transform_t *transforms, size_t count) {
    sheet_t *s = sheet(count, transforms);
    if (extract(s) < 0) fail_msg("refused: %s", s->no.message);
    return &s->found;
}

static msg_transform_t file(const char *name, bytes_t payload) {
    return (msg_transform_t){.name = name, .urn = "reprise:source:file:v1", .has_payload = payload.size > 0, .payload = payload};
}

static void assert_signature(const msg_comparison_t *c, const char *wanted) {
    assert_int_equal(c->signature.count, 1);
    assert_string_equal(c->signature.items[0], wanted);
}

static void bytes_are_hex_and_other_values_canonical_msgpack(void **test) {
    (void)test;
    assert_signature(EXTRACT(file("Read", pack("b", "\x01\xaf"))), "reprise:source:file:v1|01af");
    assert_signature(EXTRACT(file("Read", pack("s", "a"))), "reprise:source:file:v1|msgpack:a161");
    assert_signature(EXTRACT(file("Read", (bytes_t){0})), "reprise:source:file:v1|");
    assert_signature(EXTRACT(file("Read", pack("b", ""))), "reprise:source:file:v1|");
}

static void bytes_of_any_length_of_header_are_the_same(void **test) {
    (void)test;
    static const uint8_t wide[] = {0xc6, 0, 0, 0, 1, 7}, middle[] = {0xc5, 0, 1, 7};
    assert_signature(EXTRACT(file("Read", (bytes_t){wide, sizeof wide})), "reprise:source:file:v1|07");
    assert_signature(EXTRACT(file("Read", (bytes_t){middle, sizeof middle})), "reprise:source:file:v1|07");
}

static void the_order_of_keys_and_the_width_of_numbers_do_not_count(void **test) {
    (void)test;
    char first[128];
    snprintf(first, sizeof first, "%s", EXTRACT(file("Read", pack("{sisi}", "a", 1LL, "b", 2LL)))->signature.items[0]);
    assert_signature(EXTRACT(file("Read", pack("{sdsi}", "b", 2.0, "a", 1LL))), first);
}

static void text_and_bytes_are_different_sources(void **test) {
    (void)test;
    assert_int_equal(EXTRACT(file("A", pack("s", "x")), file("B", pack("b", "x")))->signature.count, 2);
}

static void labels_tags_and_order_do_not_count(void **test) {
    (void)test;
    char first[2][128];
    msg_transform_t one = file("One", pack("i", 1LL)), two = file("Two", pack("i", 2LL));
    const msg_comparison_t *c = EXTRACT(one, two);
    for (size_t i = 0; i < 2; i++) snprintf(first[i], sizeof first[i], "%s", c->signature.items[i]);
    one.name = "Another";
    two.has_tag = true;
    two.tag = "tag";
    c = EXTRACT(two, one);
    for (size_t i = 0; i < 2; i++) assert_string_equal(c->signature.items[i], first[i]);
}

static void only_unbounded_transforms_of_recordable_urns_count(void **test) {
    (void)test;
    msg_transform_t bounded = file("Bounded", pack("i", 1LL));
    bounded.has_bounded = bounded.bounded = true;
    msg_transform_t other = {.name = "Map", .urn = "beam:transform:pardo:v1"},
                    pubsub = {.name = "Sub", .urn = "beam:transform:pubsub_read:v1"};
    const msg_comparison_t *c = EXTRACT(bounded, other, pubsub);
    assert_int_equal(c->sources.count, 1);
    assert_string_equal(c->sources.items[0].name, "Sub");
    assert_signature(c, "beam:transform:pubsub_read:v1|");
}

static void a_pipeline_without_sources_has_an_empty_signature(void **test) {
    (void)test;
    sheet_t *s = sheet(0, NULL);
    assert_int_equal(extract(s), 0);
    assert_int_equal(s->found.sources.count + s->found.recordables.count + s->found.signature.count, 0);
}

static void two_instances_of_a_source_are_recorded_once_under_every_tag(void **test) {
    (void)test;
    msg_transform_t third = file("Third", pack("i", 1LL));
    third.has_tag = true;
    third.tag = "First";
    const msg_comparison_t *c =
        EXTRACT(file("Second", pack("i", 1LL)), file("First", pack("i", 1LL)), file("Other", pack("i", 2LL)), third);
    assert_int_equal(c->sources.count, 4);
    assert_int_equal(c->recordables.count, 2);
    const msg_recordable_t *twice = &c->recordables.items[0];
    assert_string_equal(twice->signature, "reprise:source:file:v1|msgpack:01");
    assert_int_equal(twice->tags.count, 2);
    assert_string_equal(twice->tags.items[0], "First");
    assert_string_equal(twice->tags.items[1], "Second");
    assert_true(twice->has_payload);
    assert_int_equal(twice->payload.data[0], 1);
    assert_string_equal(c->recordables.items[1].tags.items[0], "Other");
    assert_int_equal(c->recordables.items[1].tags.count, 1);
}

static void a_tag_on_two_sources_is_refused_by_its_place(void **test) {
    (void)test;
    msg_transform_t second = file("Two", pack("i", 2LL));
    second.has_tag = true;
    second.tag = "One";
    sheet_t *s = sheet(3, (const msg_transform_t[]){{.name = "Map", .urn = "m"}, file("One", pack("i", 1LL)), second});
    assert_int_equal(extract(s), -1);
    assert_int_equal(s->no.code, ERROR_BAD_REQUEST);
    assert_string_equal(s->no.field, "pipeline.transforms[2].tag");
    assert_string_equal(s->no.message, "tag `One` names two different sources, `One` and `Two`");
}

static void a_tag_of_a_bounded_transform_is_free(void **test) {
    (void)test;
    msg_transform_t bounded = file("One", pack("i", 2LL));
    bounded.has_bounded = bounded.bounded = true;
    assert_int_equal(EXTRACT(bounded, file("One", pack("i", 1LL)))->sources.count, 1);
}

static void a_payload_with_a_key_twice_is_refused_by_its_place(void **test) {
    (void)test;
    sheet_t *s = sheet(2, (const msg_transform_t[]){file("One", pack("i", 1LL)), file("Two", pack("{sisi}", "a", 1LL, "a", 2LL))});
    assert_int_equal(extract(s), -1);
    assert_int_equal(s->no.code, ERROR_BAD_REQUEST);
    assert_non_null(strstr(s->no.message, "pipeline.transforms[1].payload"));
}

static void thousands_of_sources_are_sorted_and_not_searched(void **test) {
    (void)test;
    enum { MANY = 40000 };
    static char names[MANY][16];
    msg_transform_t *transforms = calloc(MANY, sizeof *transforms);
    assert_non_null(transforms);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "s%zu", i);
        transforms[i] = (msg_transform_t){.name = names[i], .urn = "reprise:source:push:v1", .has_tag = true, .tag = names[i]};
    }
    static const char *patterns[] = {"reprise:*"};
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    msg_comparison_t found = {0};
    refusal_t no;
    msg_pipeline_t pipeline = {.name = "p", .has_transforms = true, .transforms = {MANY, transforms}};
    const msg_options_t options = {.recordable_sources = {1, patterns}, .transforms_max = MANY};
    assert_int_equal(signature_extract(&pipeline, &options, zone, &found, &no), 0);
    assert_int_equal(found.recordables.count, 1);
    assert_int_equal(found.recordables.items[0].tags.count, MANY);
    msgpack_zone_free(zone);
    free(transforms);
}

/* ---- pipelines of Beam ---- */

static sheet_t *beam_sheet(void) {
    sheet_t *s = sheet(0, NULL);
    s->pipeline.has_transforms = false;
    s->pipeline.has_beam = true;
    s->pipeline.beam = graph_pack();
    return s;
}

static const msg_comparison_t *extracted_from_beam(void) {
    sheet_t *s = beam_sheet();
    if (extract(s) < 0) fail_msg("refused: %s", s->no.message);
    return &s->found;
}

static void a_source_of_beam_is_the_hex_of_its_payload(void **test) {
    (void)test;
    graph_begin();
    graph_read("read", "\x01\xaf");
    graph_root("read");
    const msg_comparison_t *c = extracted_from_beam();
    assert_signature(c, "beam:transform:pubsub_read:v1|01af");
    assert_string_equal(c->sources.items[0].name, "read");
    assert_string_equal(c->sources.items[0].tag, "read-out");
    assert_string_equal(c->sources.items[0].signature, c->signature.items[0]);
    assert_memory_equal(c->recordables.items[0].payload.data, "\xc4\x02\x01\xaf", 4);
}

static void a_source_is_the_same_whether_beam_or_we_describe_it(void **test) {
    (void)test;
    char ours[128];
    msg_transform_t transform = {
        .name = "Read", .urn = "beam:transform:pubsub_read:v1", .has_payload = true, .payload = pack("b", "topic")};
    snprintf(ours, sizeof ours, "%s", EXTRACT(transform)->signature.items[0]);
    graph_begin();
    graph_read("read", "topic");
    graph_root("read");
    assert_signature(extracted_from_beam(), ours);
    transform.payload = (bytes_t){0};
    transform.has_payload = false;
    snprintf(ours, sizeof ours, "%s", EXTRACT(transform)->signature.items[0]);
    graph_begin();
    graph_read("read", "");
    graph_root("read");
    assert_signature(extracted_from_beam(), ours);
}

static void two_instances_of_a_source_of_beam_are_one_signature_with_two_tags(void **test) {
    (void)test;
    graph_begin();
    graph_read("two", "a");
    graph_read("one", "a");
    graph_read("other", "b");
    graph_root("two one other");
    const msg_comparison_t *c = extracted_from_beam();
    assert_int_equal(c->sources.count, 3);
    assert_int_equal(c->recordables.count, 2);
    assert_int_equal(c->recordables.items[0].tags.count, 2);
    assert_string_equal(c->recordables.items[0].tags.items[0], "one-out");
    assert_string_equal(c->recordables.items[0].tags.items[1], "two-out");
}

static void a_pcollection_that_two_sources_of_beam_fill_is_refused(void **test) {
    (void)test;
    graph_begin();
    graph_read("one", "a");
    graph_transform("two", PUBSUB, BYTES("b"), "", "one-out", "");
    graph_root("one two");
    sheet_t *s = beam_sheet();
    assert_int_equal(extract(s), -1);
    assert_int_equal(s->no.code, ERROR_BAD_REQUEST);
    assert_string_equal(s->no.field, "pipeline.beam");
    assert_string_equal(s->no.message, "tag `one-out` names two different sources, `one` and `two`");
}

static void a_damaged_pipeline_of_beam_is_refused(void **test) {
    (void)test;
    sheet_t *s = beam_sheet();
    s->pipeline.beam = BYTES("\x0a\x07");
    assert_int_equal(extract(s), -1);
    assert_string_equal(s->no.field, "pipeline.beam");
    assert_string_equal(s->no.message, "`pipeline.beam`: components: at byte 1 a length of 7 passes the end: 0 bytes follow");
}

static void a_definition_has_transforms_or_beam_and_not_both(void **test) {
    (void)test;
    sheet_t *s = sheet(0, NULL);
    s->pipeline.has_beam = true;
    assert_int_equal(extract(s), -1);
    assert_int_equal(s->no.code, ERROR_BAD_REQUEST);
    assert_string_equal(s->no.field, "pipeline.beam");
    assert_string_equal(s->no.message, "pipeline `p` has `transforms` and `beam`; it may have one of them");
    s->pipeline.has_transforms = s->pipeline.has_beam = false;
    assert_int_equal(extract(s), -1);
    assert_int_equal(s->no.code, ERROR_BAD_REQUEST);
    assert_string_equal(s->no.field, "pipeline.transforms");
    assert_string_equal(s->no.message, "pipeline `p` has neither `transforms` nor `beam`");
}

static void a_payload_with_which_the_signatures_are_too_large_is_refused_by_its_place(void **test) {
    (void)test;
    const uint32_t size = SIGNATURES_SIZE_MAX / 4 - 100; /* in hex nearly half of it */
    uint8_t *bytes = calloc(1, size + 5);
    assert_non_null(bytes);
    memcpy(bytes, (const uint8_t[]){0xc6, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size}, 5);
    msg_transform_t large = file("Large", (bytes_t){bytes, size + 5}), other = file("Other", pack("i", 1LL));
    assert_int_equal(EXTRACT(large, large, other)->signature.count, 2);
    sheet_t *s = sheet(3, (const msg_transform_t[]){large, large, large});
    assert_int_equal(extract(s), -1);
    assert_int_equal(s->no.code, ERROR_TOO_LARGE);
    assert_string_equal(s->no.field, "pipeline.transforms[2].payload");
    s = sheet(3, (const msg_transform_t[]){large, large, large});
    s->transforms[2].bounded = true;
    assert_int_equal(extract(s), 0);
    free(bytes);
}

static void what_is_in_one_and_not_in_the_other_is_told(void **test) {
    (void)test;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    const char *some[] = {"b", "d"}, *all[] = {"a", "b", "c", "d", "e"};
    names_t left = signature_minus(&(names_t){5, all}, &(names_t){2, some}, zone), nothing = {0};
    assert_int_equal(left.count, 3);
    assert_string_equal(left.items[0], "a");
    assert_string_equal(left.items[1], "c");
    assert_string_equal(left.items[2], "e");
    assert_int_equal(signature_minus(&(names_t){2, some}, &(names_t){5, all}, zone).count, 0);
    assert_int_equal(signature_minus(&(names_t){2, some}, &nothing, zone).count, 2);
    assert_int_equal(signature_minus(&nothing, &(names_t){2, some}, zone).count, 0);
    msgpack_zone_free(zone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_hex_and_other_values_canonical_msgpack),
        cmocka_unit_test(bytes_of_any_length_of_header_are_the_same),
        cmocka_unit_test(the_order_of_keys_and_the_width_of_numbers_do_not_count),
        cmocka_unit_test(text_and_bytes_are_different_sources),
        cmocka_unit_test(labels_tags_and_order_do_not_count),
        cmocka_unit_test(only_unbounded_transforms_of_recordable_urns_count),
        cmocka_unit_test(a_pipeline_without_sources_has_an_empty_signature),
        cmocka_unit_test(two_instances_of_a_source_are_recorded_once_under_every_tag),
        cmocka_unit_test(a_tag_on_two_sources_is_refused_by_its_place),
        cmocka_unit_test(a_tag_of_a_bounded_transform_is_free),
        cmocka_unit_test(a_payload_with_a_key_twice_is_refused_by_its_place),
        cmocka_unit_test(thousands_of_sources_are_sorted_and_not_searched),
        cmocka_unit_test(a_source_of_beam_is_the_hex_of_its_payload),
        cmocka_unit_test(a_source_is_the_same_whether_beam_or_we_describe_it),
        cmocka_unit_test(two_instances_of_a_source_of_beam_are_one_signature_with_two_tags),
        cmocka_unit_test(a_pcollection_that_two_sources_of_beam_fill_is_refused),
        cmocka_unit_test(a_damaged_pipeline_of_beam_is_refused),
        cmocka_unit_test(a_definition_has_transforms_or_beam_and_not_both),
        cmocka_unit_test(a_payload_with_which_the_signatures_are_too_large_is_refused_by_its_place),
        cmocka_unit_test(what_is_in_one_and_not_in_the_other_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
