/* JSON to msgpack and back, and base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bin/client/value.h"
#include "messages/base64.h"

static json_t *json_of_text(const char *text) {
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);
    if (!json) {
        fail_msg("%s: %s", text, error.text);
    }
    return json;
}

static void assert_packed(const char *text, const void *expected, size_t size) {
    json_t *json = json_of_text(text);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    fault_t why;
    assert_int_equal(value_from_json(json, &out, &why), 0);
    assert_int_equal(out.size, size);
    assert_memory_equal(out.data, expected, size);
    msgpack_sbuffer_destroy(&out);
    json_decref(json);
}

static void json_becomes_the_msgpack_of_the_same_type(void **state) {
    (void)state;
    assert_packed("\"a\"",
                  "\xa1"
                  "a",
                  2);
    assert_packed("7", "\x07", 1);
    assert_packed("-1", "\xff", 1);
    assert_packed("7.0", "\xcb\x40\x1c\0\0\0\0\0\0", 9);
    assert_packed("true", "\xc3", 1);
    assert_packed("null", "\xc0", 1);
    assert_packed("[1,[2]]", "\x92\x01\x91\x02", 4);
    assert_packed("{\"a\":{\"b\":1}}",
                  "\x81\xa1"
                  "a\x81\xa1"
                  "b\x01",
                  7);
}

static void base64_alone_in_a_map_becomes_bytes(void **state) {
    (void)state;
    assert_packed("{\"base64\":\"AP8=\"}", "\xc4\x02\x00\xff", 4);
    assert_packed("{\"base64\":1}",
                  "\x81\xa6"
                  "base64\x01",
                  9);
    assert_packed("{\"base64\":\"AP8=\",\"x\":1}",
                  "\x82\xa6"
                  "base64\xa4"
                  "AP8=\xa1x\x01",
                  16);
}

static void base64_that_is_wrong_is_refused(void **state) {
    (void)state;
    json_t *json = json_of_text("[{\"base64\":\"A!==\"}]");
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    fault_t why;
    assert_int_equal(value_from_json(json, &out, &why), -1);
    assert_string_equal(why.text, "`A!==` is not base64");
    msgpack_sbuffer_destroy(&out);
    json_decref(json);
}

static void assert_unpacked(const void *data, size_t size, const char *expected) {
    json_t *json = value_to_json((bytes_t){data, size});
    assert_non_null(json);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    assert_string_equal(text, expected);
    free(text);
    json_decref(json);
}

static void msgpack_becomes_json(void **state) {
    (void)state;
    assert_unpacked("\x82\xa1"
                    "a\x01\xa1"
                    "b\x92\xc0\xc3",
                    9, "{\"a\":1,\"b\":[null,true]}");
    assert_unpacked("\xd3\x80\0\0\0\0\0\0\0", 9, "-9223372036854775808");
    assert_unpacked("\xcb\x40\x1c\0\0\0\0\0\0", 9, "7.0");
    assert_unpacked("\xa0", 1, "\"\"");
    assert_unpacked("\x81\xa1"
                    "a\xa0",
                    4, "{\"a\":\"\"}");
}

static void what_json_lacks_is_still_told(void **state) {
    (void)state;
    assert_unpacked("\xc4\x02\x00\xff", 4, "{\"base64\":\"AP8=\"}");
    assert_unpacked("\xa1\xff", 2, "{\"base64\":\"/w==\"}");
    assert_unpacked("\xcb\x7f\xf8\0\0\0\0\0\0", 9, "null");
    assert_unpacked("\x81\x05\x01", 3, "{\"5\":1}");
    assert_unpacked("\xc7\x01\x05\x41", 4, "{\"base64\":\"QQ==\"}");
}

/* {{{… 1: 1 …}: 1}: 1}, thirty levels. */
static void maps_as_keys_of_maps_take_no_more_room_than_they_need(void **state) {
    (void)state;
    enum { LEVELS = 30 };
    uint8_t bytes[2 * LEVELS + 1];
    memset(bytes, 0x81, LEVELS);
    memset(bytes + LEVELS, 1, LEVELS + 1);
    json_t *json = value_to_json((bytes_t){bytes, sizeof bytes});
    assert_non_null(json);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_true(strlen(text) < 200);
    free(text);
    json_decref(json);
    assert_unpacked("\x81\x91\x07\x01", 4, "{\"kQc=\":1}");
}

static void what_is_not_one_whole_value_is_no_json(void **state) {
    (void)state;
    assert_null(value_to_json((bytes_t){(const uint8_t *)"\x92\x01", 2}));
    assert_null(value_to_json((bytes_t){(const uint8_t *)"\x01\x01", 2}));
    assert_null(value_to_json((bytes_t){(const uint8_t *)"\xdd\xff\xff\xff\xff", 5}));
}

static void base64_goes_both_ways_at_every_length(void **state) {
    (void)state;
    uint8_t bytes[8] = {0xfb, 0xff, 0x00, 0x7e, 0x80, 0x01, 0xc3, 0x3f};
    for (size_t size = 0; size <= sizeof bytes; size++) {
        char *text = base64_encode((bytes_t){bytes, size});
        assert_int_equal(strlen(text), (size + 2) / 3 * 4);
        size_t back_size;
        fault_t why;
        uint8_t *back = base64_decode(text, &back_size, &why);
        assert_non_null(back);
        assert_int_equal(back_size, size);
        assert_memory_equal(back, bytes, size);
        free(back);
        free(text);
    }
}

static void text_that_is_not_base64_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"A", "AA", "AAA", "A===", "====", "AA=A", "AAA\n", "A A=", "AAAAA"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t size;
        fault_t why;
        uint8_t *bytes = base64_decode(texts[i], &size, &why);
        if (bytes) {
            fail_msg("`%s` is taken for base64", texts[i]);
        }
    }
}

/* ---- files ---- */

typedef int read_fn(const char *path, msgpack_sbuffer *out, fault_t *why);

static int file_read_by(read_fn *read, const char *content, size_t size, msgpack_sbuffer *out, fault_t *why) {
    char path[] = "/tmp/client_value_test.XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor != -1);
    assert_int_equal(write(descriptor, content, size), size);
    close(descriptor);
    msgpack_sbuffer_init(out);
    int result = read(path, out, why);
    unlink(path);
    return result;
}

static int file_read(const char *content, size_t size, msgpack_sbuffer *out, fault_t *why) {
    return file_read_by(value_read, content, size, out, why);
}

static void a_file_may_be_json_or_msgpack(void **state) {
    (void)state;
    msgpack_sbuffer out;
    fault_t why;
    assert_int_equal(file_read("\n {\"a\":1}\n", 10, &out, &why), 0);
    assert_int_equal(out.size, 4);
    assert_memory_equal(out.data, "\x81\xa1\x61\x01", 4);
    msgpack_sbuffer_destroy(&out);
    assert_int_equal(file_read("\x81\xa1\x61\x01", 4, &out, &why), 0);
    assert_int_equal(out.size, 4);
    assert_memory_equal(out.data, "\x81\xa1\x61\x01", 4);
    msgpack_sbuffer_destroy(&out);
}

static void a_wrong_file_is_refused_with_the_place(void **state) {
    (void)state;
    static const struct {
        const char *content, *part;
    } cases[] = {
        {"{\"a\":1,\n\"b\"}", ":2:"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"  \n", "is empty"},
        {"hello", "neither JSON nor msgpack"},
        {"{\"a\":{\"base64\":\"?\"}}", "`?` is not base64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        msgpack_sbuffer out;
        fault_t why = {""};
        assert_int_equal(file_read(cases[i].content, strlen(cases[i].content), &out, &why), -1);
        if (!strstr(why.text, cases[i].part)) {
            fail_msg("`%s` is not in: %s", cases[i].part, why.text);
        }
        msgpack_sbuffer_destroy(&out);
    }
}

static void a_file_that_may_hold_anything_is_taken_as_it_is(void **state) {
    (void)state;
    msgpack_sbuffer out;
    fault_t why;
    assert_int_equal(file_read_by(value_read_bytes, "\n\xff\0{", 4, &out, &why), 0);
    assert_int_equal(out.size, 4);
    assert_memory_equal(out.data, "\n\xff\0{", 4);
    msgpack_sbuffer_destroy(&out);
    assert_int_equal(file_read_by(value_read_bytes, "", 0, &out, &why), 0);
    assert_int_equal(out.size, 0);
    msgpack_sbuffer_destroy(&out);
}

static void a_file_that_is_not_there_is_no_fault(void **state) {
    (void)state;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    fault_t why;
    assert_int_equal(value_read("/nonexistent/pipeline.json", &out, &why), 1);
    assert_int_equal(value_read_bytes("/nonexistent/pipeline.pb", &out, &why), 1);
    msgpack_sbuffer_destroy(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_becomes_the_msgpack_of_the_same_type),
        cmocka_unit_test(base64_alone_in_a_map_becomes_bytes),
        cmocka_unit_test(base64_that_is_wrong_is_refused),
        cmocka_unit_test(msgpack_becomes_json),
        cmocka_unit_test(what_json_lacks_is_still_told),
        cmocka_unit_test(maps_as_keys_of_maps_take_no_more_room_than_they_need),
        cmocka_unit_test(what_is_not_one_whole_value_is_no_json),
        cmocka_unit_test(base64_goes_both_ways_at_every_length),
        cmocka_unit_test(text_that_is_not_base64_is_refused),
        cmocka_unit_test(a_file_may_be_json_or_msgpack),
        cmocka_unit_test(a_wrong_file_is_refused_with_the_place),
        cmocka_unit_test(a_file_that_may_hold_anything_is_taken_as_it_is),
        cmocka_unit_test(a_file_that_is_not_there_is_no_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
