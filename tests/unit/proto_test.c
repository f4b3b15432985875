/* The walk over a protocol buffer: what is wrong, in which field, at which byte. */
#include "graph.h"

#include "actors/beam/proto.h"

#define PIPELINE (&org__apache__beam__model__pipeline__v1__pipeline__descriptor)

static refusal_t no;

static int walk(bytes_t in) {
    bytes_t tight = bytes_tight(in, in.size);
    int result = proto_walk(PIPELINE, tight, NULL, "pipeline.beam", &no);
    free((void *)(uintptr_t)tight.data);
    return result;
}

#define assert_flaw(literal, wanted)                                                                                                       \
    do {                                                                                                                                   \
        assert_int_equal(walk(BYTES(literal)), -1);                                                                                        \
        assert_int_equal(no.code, ERROR_BAD_REQUEST);                                                                                      \
        assert_string_equal(no.field, "pipeline.beam");                                                                                    \
        assert_string_equal(no.message, wanted);                                                                                           \
    } while (0)

static void what_is_whole_passes_known_or_not(void **test) {
    (void)test;
    assert_int_equal(walk(BYTES("")), 0);
    assert_int_equal(walk(BYTES("\x0a\x00\x12\x01x\x12\x00")), 0);
    assert_int_equal(walk(BYTES("\x1a\x03\xff\xff\xff\x20\x01\x29"
                                "12345678\x35"
                                "1234")),
                     0);
    assert_int_equal(walk(BYTES("\xf8\xff\xff\xff\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")), 0);
}

static void what_is_cut_off_is_told_with_its_place(void **test) {
    (void)test;
    assert_flaw("\x0a", "components: at byte 1 a number is cut off");
    assert_flaw("\x0a\x80", "components: at byte 1 a number is cut off");
    assert_flaw("\x8a", "at byte 0 a number is cut off");
    assert_flaw("\x12\x03xy", "root_transform_ids[0]: at byte 1 a length of 3 passes the end: 2 bytes follow");
    assert_flaw("\x12\xff\xff\xff\xff\x0f", "root_transform_ids[0]: at byte 1 a length of 4294967295 passes the end: 0 bytes follow");
    assert_flaw("\x29"
                "1234567",
                "at byte 1 8 bytes are cut off");
    assert_flaw("\x35"
                "123",
                "at byte 1 4 bytes are cut off");
}

static void a_field_may_not_end_after_the_message_it_is_in(void **test) {
    (void)test;
    assert_flaw("\x0a\x08\x0a\x06\x12\x04\x0a\x02\x0a\x05urn:x",
                "components.transforms[0].value.spec.urn: at byte 9 a length of 5 passes the end: 0 bytes follow");
    assert_flaw("\x0a\x06\x0a\x00\x0a\x02\x12\x01\x12\x00",
                "components.transforms[1].value: at byte 7 a length of 1 passes the end: 0 bytes follow");
}

static void numbers_are_no_longer_than_protobuf_allows(void **test) {
    (void)test;
    assert_flaw("\x8a\x80\x80\x80\x80\x00\x00", "at byte 0 a number is longer than 5 bytes");
    assert_flaw("\x12\x80\x80\x80\x80\x80\x00", "root_transform_ids[0]: at byte 1 a number is longer than 5 bytes");
    assert_flaw("\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", "at byte 1 a number is longer than 10 bytes");
}

static void fields_and_wire_types_that_cannot_be_are_refused(void **test) {
    (void)test;
    assert_flaw("\x02\x00", "at byte 0 stands field 0, which there cannot be");
    assert_flaw("\x80\x80\x80\x80\x10", "at byte 0 stands field 536870912, which there cannot be");
    assert_flaw("\x12\x00\x23\x24", "at byte 2 stands a group");
    assert_flaw("\x24", "at byte 0 stands the end of a group");
    assert_flaw("\x26", "at byte 0 stands wire type 6, which means nothing");
}

static void a_field_of_another_wire_type_is_refused_by_name(void **test) {
    (void)test;
    assert_flaw("\x08\x01", "components: at byte 0 must be a length and its bytes, not a varint");
    assert_flaw("\x12\x00\x15"
                "1234",
                "root_transform_ids[1]: at byte 2 must be a length and its bytes, not 4 bytes");
    assert_flaw("\x0a\x09\x12\x07\x12\x05\x1a\x03"
                "abc",
                "components.pcollections[0].value.is_bounded: at byte 6 must be a varint, not a length and its bytes");
}

static void text_is_utf_8_without_nul_and_bytes_are_anything(void **test) {
    (void)test;
    assert_flaw("\x12\x01x\x12\x02\xc3(", "root_transform_ids[1]: at byte 5 is text that is not UTF-8");
    assert_flaw("\x12\x03"
                "a\0b",
                "root_transform_ids[0]: at byte 2 is text that has a NUL in it");
    assert_int_equal(walk(BYTES("\x0a\x0a\x0a\x08\x12\x06\x0a\x04\x1a\x02\xff\x00")), 0);
}

static void two_messages_in_one_place_are_refused_and_two_texts_are_not(void **test) {
    (void)test;
    assert_flaw("\x0a\x00\x12\x00\x0a\x00", "components: at byte 4 stands a second one");
    assert_int_equal(walk(BYTES("\x0a\x08\x0a\x06\x0a\x01x\x0a\x01y")), 0);
}

static void values_without_end_are_too_large_whatever_they_are(void **test) {
    (void)test;
    static const char *const fields[] = {"\x12", "\x1a"}; /* known and not */
    uint8_t *room = malloc(2 * (PROTO_VALUES_MAX + 1));
    assert_non_null(room);
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k <= PROTO_VALUES_MAX; k++) memcpy(room + 2 * k, (uint8_t[]){(uint8_t)fields[i][0], 0}, 2);
        assert_int_equal(proto_walk(PIPELINE, (bytes_t){room, 2 * PROTO_VALUES_MAX}, NULL, "f", &no), 0);
        assert_int_equal(proto_walk(PIPELINE, (bytes_t){room, 2 * (PROTO_VALUES_MAX + 1)}, NULL, "f", &no), -1);
        assert_int_equal(no.code, ERROR_TOO_LARGE);
        assert_string_equal(no.message, "at byte 2097152 are more than 1048576 values");
    }
    free(room);
}

static void messages_of_a_kind_are_counted_wherever_they_are(void **test) {
    (void)test;
    const proto_bound_t bounds[] = {{&org__apache__beam__model__pipeline__v1__ptransform__outputs_entry__descriptor, 2, "outputs"}, {0}};
    bytes_t two = BYTES("\x0a\x0c\x0a\x04\x12\x02\x22\x00\x0a\x04\x12\x02\x22\x00"),
            three = BYTES("\x0a\x0e\x0a\x04\x12\x02\x22\x00\x0a\x06\x12\x04\x22\x00\x22\x00");
    assert_int_equal(proto_walk(PIPELINE, two, bounds, "f", &no), 0);
    assert_int_equal(proto_walk(PIPELINE, three, bounds, "f", &no), -1);
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    assert_string_equal(no.message, "components.transforms[1].value.outputs[1]: at byte 16 are more than 2 outputs");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_whole_passes_known_or_not),
        cmocka_unit_test(what_is_cut_off_is_told_with_its_place),
        cmocka_unit_test(a_field_may_not_end_after_the_message_it_is_in),
        cmocka_unit_test(numbers_are_no_longer_than_protobuf_allows),
        cmocka_unit_test(fields_and_wire_types_that_cannot_be_are_refused),
        cmocka_unit_test(a_field_of_another_wire_type_is_refused_by_name),
        cmocka_unit_test(text_is_utf_8_without_nul_and_bytes_are_anything),
        cmocka_unit_test(two_messages_in_one_place_are_refused_and_two_texts_are_not),
        cmocka_unit_test(values_without_end_are_too_large_whatever_they_are),
        cmocka_unit_test(messages_of_a_kind_are_counted_wherever_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
