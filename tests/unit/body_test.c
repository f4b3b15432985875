#include "messages/wire.h"

#include "pack.h"

static int check(bytes_t body, uint32_t *ret_count, refusal_t *no) {
    bytes_t tight = bytes_tight(body, body.size);
    int result = wire_body_check(tight, ret_count, no);
    free((void *)tight.data);
    return result;
}

/* Elements in every form that is allowed: short and wide numbers, with and without attributes, a payload of 0, 200 and 300 bytes. */
static bytes_t body_of_all_forms(void) {
    static char middle[201], large[301];
    memset(middle, 'm', 200);
    memset(large, 'l', 300);
    return pack("[[ib][ib][ib][ib{sssb}][ub][ib{}][ib]]", 1700000000000000LL, "hello", 5LL, "", -7LL, middle, 1700000000000001LL, large,
                "k", "v", "raw", "bytes", 1700000000000002ULL, middle, INT64_MIN, "x", INT64_MAX, large);
}

static void a_body_of_every_allowed_form_passes_and_is_counted(void **state) {
    (void)state;
    refusal_t no;
    uint32_t count = 99;
    if (check(body_of_all_forms(), &count, &no) < 0) {
        fail_msg("%s", no.message);
    }
    assert_int_equal(count, 7);
    assert_int_equal(check(BYTES("\x90"), &count, &no), 0);
    assert_int_equal(count, 0);
}

static void a_body_cut_off_at_any_byte_is_refused(void **state) {
    (void)state;
    bytes_t body = body_of_all_forms();
    for (size_t size = 0; size < body.size; size++) {
        refusal_t no = {0};
        uint32_t count = 99;
        assert_int_equal(check((bytes_t){body.data, size}, &count, &no), -1);
        assert_int_equal(no.code, ERROR_BAD_REQUEST);
        assert_int_equal(count, 99);
    }
}

static void a_body_with_bytes_after_it_is_refused(void **state) {
    (void)state;
    refusal_t no;
    uint32_t count;
    assert_int_equal(check(BYTES("\x91\x92\x01\xc4\x00\x00"), &count, &no), -1);
    assert_string_equal(no.message, "the body has 1 bytes after its 1 elements");
}

static void a_count_or_size_that_lies_is_refused(void **state) {
    (void)state;
    refusal_t no;
    uint32_t count;
    assert_int_equal(check(BYTES("\xdd\xff\xff\xff\xff"), &count, &no), -1);
    assert_int_equal(check(BYTES("\x91\x92\x01\xc6\xff\xff\xff\xff"), &count, &no), -1);
    assert_int_equal(check(BYTES("\x91\x92\xcf\0\0\0\0\0\0\0\1\xc4\x05xxxx"), &count, &no), -1);
    assert_string_equal(no.message, "element 0: the body is cut off within it");
    assert_int_equal(check(BYTES("\x91\x93\x01\xc4\x00\xdf\xff\xff\xff\xff"), &count, &no), -1);
}

static void a_wrong_element_is_named_with_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        bytes_t element;
        const char *message, *field;
    } wrongs[] = {
        {{(const uint8_t *)"\x92\x01\xa1x", 4}, "element 3: the second part must be bytes, not text", "body[3][1]"},
        {{(const uint8_t *)"\x92\xa1x\xc4\x00", 5},
         "element 3: the first part must be a whole number within int64, not text",
         "body[3][0]"},
        {{(const uint8_t *)"\x92\xcb\x3f\xf0\0\0\0\0\0\0\xc4\x00", 12},
         "element 3: the first part must be a whole number within int64, not a float",
         "body[3][0]"},
        {{(const uint8_t *)"\x92\xcf\x80\0\0\0\0\0\0\0\xc4\x00", 12},
         "element 3: the first part must be a whole number within int64, not one above it",
         "body[3][0]"},
        {{(const uint8_t *)"\x91\x01", 2}, "element 3: it must be [event time, bytes] or [event time, bytes, attributes]", "body[3]"},
        {{(const uint8_t *)"\x94\x01\xc4\x00\x80\x80", 6}, "element 3: it must be [event time, bytes] or", "body[3]"},
        {{(const uint8_t *)"\x81\x01\xc4\x00", 4}, "element 3: it must be a list, not a map", "body[3]"},
        {{(const uint8_t *)"\x93\x01\xc4\x00\xc0", 5}, "element 3: the third part must be a map, not nil", "body[3][2]"},
        {{(const uint8_t *)"\x93\x01\xc4\x00\x81\x01\xa0", 7},
         "element 3: the name of an attribute must be text, not a number",
         "body[3][2]"},
        {{(const uint8_t *)"\x93\x01\xc4\x00\x81\xa1\xff\xa0", 8},
         "the name of an attribute must be text, not invalid UTF-8",
         "body[3][2]"},
        {{(const uint8_t *)"\x93\x01\xc4\x00\x81\xa1k\x01", 8},
         "the value of an attribute must be text or bytes, not a number",
         "body[3][2]"},
        {{(const uint8_t *)"\x93\x01\xc4\x00\x81\xa1k\xa1\xff", 9}, "must be text or bytes, not invalid UTF-8", "body[3][2]"},
        {{(const uint8_t *)"\xc1", 1}, "element 3: ", "body[3]"},
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        refusal_t no;
        uint32_t count;
        bytes_t body = pack("[[ib][ib][ib]r[ib]]", 1700000000000000LL, "a", 2LL, "b", 3LL, "c", &wrongs[i].element, 5LL, "e");
        assert_int_equal(check(body, &count, &no), -1);
        assert_text(no.message, wrongs[i].message);
        assert_string_equal(no.field, wrongs[i].field);
    }
}

static void a_body_that_is_no_list_is_refused(void **state) {
    (void)state;
    refusal_t no;
    uint32_t count;
    assert_int_equal(check(BYTES("\x80"), &count, &no), -1);
    assert_string_equal(no.message, "the body must be a list of elements, not a map");
    assert_int_equal(check(BYTES(""), &count, &no), -1);
    assert_string_equal(no.message, "the body must be a list of elements, not empty");
    assert_string_equal(no.field, "body");
}

static void the_first_elements_are_cut_out_exactly(void **state) {
    (void)state;
    bytes_t body = body_of_all_forms();
    bytes_t all = wire_body_elements(body, 7);
    assert_ptr_equal(all.data, body.data + 1);
    assert_int_equal(all.size, body.size - 1);
    size_t end = 0;
    for (uint32_t count = 0; count < 7; count++) {
        bytes_t some = wire_body_elements(body, count);
        assert_ptr_equal(some.data, all.data);
        assert_int_equal(some.size, end);
        end += wire_element_at((bytes_t){all.data + end, all.size - end}).size;
    }
    assert_int_equal(end, all.size);
}

static void the_parts_of_an_element_are_found(void **state) {
    (void)state;
    bytes_t all = wire_body_elements(body_of_all_forms(), 7);
    static const int64_t times[] = {1700000000000000, 5, -7, 1700000000000001, 1700000000000002, INT64_MIN, INT64_MAX};
    static const size_t sizes[] = {5, 0, 200, 300, 200, 1, 300};
    static const size_t attributes[] = {0, 0, 0, 1 + 2 + 2 + 4 + 7, 0, 1, 0};
    size_t at = 0;
    for (size_t i = 0; i < 7; i++) {
        wire_element_t element = wire_element_at((bytes_t){all.data + at, all.size - at});
        assert_int_equal(element.event_time, times[i]);
        assert_int_equal(element.payload.size, sizes[i]);
        assert_int_equal(element.attributes.size, attributes[i]);
        if (i == 0) {
            assert_memory_equal(element.payload.data, "hello", 5);
        }
        if (i == 3) {
            assert_memory_equal(element.attributes.data,
                                "\x82\xa1k\xa1v\xa3raw\xc4\x05"
                                "bytes",
                                16);
        }
        at += element.size;
    }
    assert_int_equal(at, all.size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_of_every_allowed_form_passes_and_is_counted),
        cmocka_unit_test(a_body_cut_off_at_any_byte_is_refused),
        cmocka_unit_test(a_body_with_bytes_after_it_is_refused),
        cmocka_unit_test(a_count_or_size_that_lies_is_refused),
        cmocka_unit_test(a_wrong_element_is_named_with_what_is_wrong),
        cmocka_unit_test(a_body_that_is_no_list_is_refused),
        cmocka_unit_test(the_first_elements_are_cut_out_exactly),
        cmocka_unit_test(the_parts_of_an_element_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
