/* Elements cut out of bytes, however the bytes come. */
#include "actors/sources/cutter.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "pack.h"

enum { MAX = 1000 };

typedef struct bench {
    cutter_t cutter;
    int ends[2]; /* of a pipe */
    fault_t why;
    bytes_t element;
} bench_t;

static void bench_open(bench_t *bench, cut_t cut) {
    *bench = (bench_t){.why = {.text = ""}};
    cutter_init(&bench->cutter, cut, MAX);
    assert_int_equal(pipe2(bench->ends, O_NONBLOCK), 0);
}

static void bench_close(bench_t *bench) {
    cutter_fini(&bench->cutter);
    close(bench->ends[0]);
    close(bench->ends[1]);
}

static void pour(bench_t *bench, const void *data, size_t size) {
    assert_int_equal(write(bench->ends[1], data, size), (ssize_t)size);
    assert_int_equal(cutter_pour(&bench->cutter, bench->ends[0], "p", &bench->why), 1);
}

static int take(bench_t *bench) {
    return cutter_take(&bench->cutter, "p", &bench->element, &bench->why);
}

static void assert_taken(bench_t *bench, bytes_t expected) {
    assert_int_equal(take(bench), 1);
    assert_int_equal(bench->element.size, expected.size);
    if (expected.size > 0) assert_memory_equal(bench->element.data, expected.data, expected.size);
}

/* One of every shape that msgpack has. */
static size_t values_make(uint8_t *out, size_t *ret_sizes, size_t room) {
    static uint8_t long_text[70];
    memset(long_text, 'x', sizeof long_text);
    msgpack_sbuffer all;
    msgpack_packer pk;
    size_t count = 0, before = 0;
    msgpack_sbuffer_init(&all);
    msgpack_packer_init(&pk, &all, msgpack_sbuffer_write);
#define VALUE(...) (__VA_ARGS__, ret_sizes[count++] = all.size - before, before = all.size)
    VALUE(msgpack_pack_nil(&pk));
    VALUE(msgpack_pack_true(&pk));
    VALUE(msgpack_pack_int64(&pk, 5));
    VALUE(msgpack_pack_int64(&pk, -5));
    VALUE(msgpack_pack_int64(&pk, 200));
    VALUE(msgpack_pack_int64(&pk, -30000));
    VALUE(msgpack_pack_uint64(&pk, UINT64_MAX));
    VALUE(msgpack_pack_float(&pk, 1.5F));
    VALUE(msgpack_pack_double(&pk, 2.5));
    VALUE(msgpack_pack_str_with_body(&pk, "abc", 3));
    VALUE(msgpack_pack_str_with_body(&pk, long_text, sizeof long_text));
    VALUE(msgpack_pack_bin_with_body(&pk, long_text, sizeof long_text));
    VALUE(msgpack_pack_str_with_body(&pk, "", 0));
    VALUE(msgpack_pack_ext_with_body(&pk, "1234", 4, 9));
    VALUE(msgpack_pack_ext_with_body(&pk, "12345", 5, 9));
    VALUE(msgpack_pack_array(&pk, 0));
    VALUE((msgpack_pack_map(&pk, 2), msgpack_pack_int64(&pk, 1), msgpack_pack_array(&pk, 2), msgpack_pack_nil(&pk),
           msgpack_pack_map(&pk, 0), msgpack_pack_nil(&pk), msgpack_pack_double(&pk, 1)));
    msgpack_pack_array(&pk, 40);
    for (int i = 0; i < 39; i++) msgpack_pack_array(&pk, 1), msgpack_pack_int64(&pk, i);
    VALUE(msgpack_pack_array(&pk, 0));
    assert_true(all.size <= room);
    memcpy(out, all.data, all.size);
    msgpack_sbuffer_destroy(&all);
    return count;
}

static void each_value_is_an_element_with_its_own_bytes(void **state) {
    bench_t bench;
    uint8_t all[1000];
    size_t sizes[32], at = 0, count = values_make(all, sizes, sizeof all), total = 0;
    (void)state;
    for (size_t i = 0; i < count; i++) total += sizes[i];
    bench_open(&bench, CUT_VALUES);
    cutter_set(&bench.cutter, 0, 0);
    pour(&bench, all, total);
    for (size_t i = 0; i < count; at += sizes[i++]) assert_taken(&bench, (bytes_t){all + at, sizes[i]});
    assert_int_equal(take(&bench), 0);
    assert_int_equal(bench.cutter.line, (int64_t)count);
    assert_int_equal(bench.cutter.offset, (int64_t)total);
    bench_close(&bench);
}

static void a_value_may_come_byte_by_byte(void **state) {
    bench_t bench;
    uint8_t all[1000];
    size_t sizes[32], at = 0, count = values_make(all, sizes, sizeof all);
    (void)state;
    bench_open(&bench, CUT_VALUES);
    for (size_t i = 0; i < count; at += sizes[i++]) {
        for (size_t k = 0; k + 1 < sizes[i]; k++) {
            pour(&bench, all + at + k, 1);
            assert_int_equal(take(&bench), 0);
        }
        pour(&bench, all + at + sizes[i] - 1, 1);
        assert_taken(&bench, (bytes_t){all + at, sizes[i]});
    }
    bench_close(&bench);
}

static void assert_no_value(const char *bytes, size_t size, const char *expected) {
    bench_t bench;
    bench_open(&bench, CUT_VALUES);
    pour(&bench, bytes, size);
    assert_int_equal(take(&bench), -1);
    assert_string_equal(bench.why.text, expected);
    bench_close(&bench);
}

/* A count costs nothing before there is what it counts. */
static void a_value_that_will_be_too_long_is_refused_at_its_head(void **state) {
    (void)state;
    assert_no_value("\xdb\xff\xff\xff\xff", 5, "p: the value at byte 0 is longer than 1000 bytes");
    assert_no_value("\xdd\xff\xff\xff\xff", 5, "p: the value at byte 0 is longer than 1000 bytes");
    assert_no_value("\xdf\xff\xff\xff\xff", 5, "p: the value at byte 0 is longer than 1000 bytes");
    assert_no_value("\xdc\x03\xe7\xdc\x00\x01", 6, "p: the value at byte 0 is longer than 1000 bytes");
    assert_no_value("\x92\x01\xc1", 3, "p: byte 2 cannot be in msgpack: 0xc1");
}

static void a_value_of_the_longest_size_is_taken(void **state) {
    bench_t bench;
    uint8_t bytes[MAX] = {0xc5, (MAX - 3) >> 8, (MAX - 3) & 0xff};
    (void)state;
    bench_open(&bench, CUT_VALUES);
    pour(&bench, bytes, sizeof bytes);
    assert_taken(&bench, (bytes_t){bytes, sizeof bytes});
    bench_close(&bench);
}

static void what_is_left_of_a_value_is_no_element(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, CUT_VALUES);
    pour(&bench, "\x01\x92\x01", 3);
    assert_taken(&bench, (bytes_t){(const uint8_t *)"\x01", 1});
    assert_int_equal(take(&bench), 0);
    assert_int_equal(cutter_rest(&bench.cutter, "p", &bench.element, &bench.why), -1);
    assert_string_equal(bench.why.text, "p ends in the middle of the value at byte 1");
    bench_close(&bench);
}

static void a_position_that_is_set_begins_anew(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, CUT_VALUES);
    pour(&bench, "\x92\x01", 2);
    assert_int_equal(take(&bench), 0);
    cutter_set(&bench.cutter, 7, 3);
    pour(&bench, "\x02", 1);
    assert_taken(&bench, (bytes_t){(const uint8_t *)"\x02", 1});
    assert_int_equal(bench.cutter.offset, 8);
    assert_int_equal(bench.cutter.line, 4);
    bench_close(&bench);
}

static void a_line_longer_than_allowed_is_refused_before_its_end_is_there(void **state) {
    bench_t bench;
    char line[MAX + 1];
    (void)state;
    memset(line, 'x', sizeof line);
    bench_open(&bench, CUT_LINES);
    pour(&bench, line, MAX);
    assert_int_equal(take(&bench), 0);
    pour(&bench, line, 1);
    assert_int_equal(take(&bench), -1);
    assert_string_equal(bench.why.text, "p: the line at byte 0 is longer than 1000 bytes");
    bench_close(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_is_an_element_with_its_own_bytes),
        cmocka_unit_test(a_value_may_come_byte_by_byte),
        cmocka_unit_test(a_value_that_will_be_too_long_is_refused_at_its_head),
        cmocka_unit_test(a_value_of_the_longest_size_is_taken),
        cmocka_unit_test(what_is_left_of_a_value_is_no_element),
        cmocka_unit_test(a_position_that_is_set_begins_anew),
        cmocka_unit_test(a_line_longer_than_allowed_is_refused_before_its_end_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
