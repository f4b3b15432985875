/* Quantities as people write and read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "bin/client/units.h"

typedef int parse_fn(const char *text, int64_t *ret_value, fault_t *why);

static void assert_parsed(parse_fn *parse, const char *text, int64_t expected) {
    int64_t value = -7;
    fault_t why = {""};
    if (parse(text, &value, &why) == -1) {
        fail_msg("`%s` is refused: %s", text, why.text);
    }
    assert_int_equal(value, expected);
}

static void assert_refused(parse_fn *parse, const char *text, const char *part) {
    int64_t value = -7;
    fault_t why = {""};
    assert_int_equal(parse(text, &value, &why), -1);
    assert_int_equal(value, -7);
    if (!strstr(why.text, part)) {
        fail_msg("`%s` is not in: %s", part, why.text);
    }
}

static void durations_need_a_unit(void **state) {
    (void)state;
    assert_parsed(units_parse_duration, "250ms", 250);
    assert_parsed(units_parse_duration, "60s", 60000);
    assert_parsed(units_parse_duration, "5m", 300000);
    assert_parsed(units_parse_duration, "5min", 300000);
    assert_parsed(units_parse_duration, "1.5h", 5400000);
    assert_parsed(units_parse_duration, "2 d", 172800000);
    assert_refused(units_parse_duration, "60", "`60` is not a duration");
    assert_refused(units_parse_duration, "1GB", "not a duration");
}

static void sizes_are_decimal_or_binary_as_their_unit_says(void **state) {
    (void)state;
    assert_parsed(units_parse_bytes, "1GB", 1000000000);
    assert_parsed(units_parse_bytes, "64KiB", 65536);
    assert_parsed(units_parse_bytes, "1kB", 1000);
    assert_parsed(units_parse_bytes, "12", 12);
    assert_parsed(units_parse_bytes, "0.5MB", 500000);
    assert_refused(units_parse_bytes, "60s", "`60s` is not a size");
    assert_refused(units_parse_bytes, "1XB", "`XB` is no unit");
}

static void counts_are_whole(void **state) {
    (void)state;
    assert_parsed(units_parse_count, "1e6", 1000000);
    assert_parsed(units_parse_count, "0", 0);
    assert_refused(units_parse_count, "1.5", "not a whole number");
    assert_refused(units_parse_count, "1GB", "not a count");
}

static void large_numbers_are_exact_and_too_large_ones_refused(void **state) {
    (void)state;
    assert_parsed(units_parse_count, "9007199254740993", INT64_C(9007199254740993));
    assert_parsed(units_parse_count, "9223372036854775807", INT64_MAX);
    assert_refused(units_parse_count, "9223372036854775808", "too large");
    assert_refused(units_parse_bytes, "9223372036854775807GB", "too large");
    assert_refused(units_parse_count, "1e30", "too large");
}

static void what_is_no_number_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"", "s", "-1", "+1", "0x10", "nan", "inf", " 1", ".5"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_refused(units_parse_count, texts[i], "is not a number, 0 or more");
    }
    assert_refused(units_parse_duration, "60sec", "`sec` is no unit");
}

static msg_limits_t no_limits(void) {
    return (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
}

static void limits_are_told_apart_by_their_units(void **state) {
    (void)state;
    msg_limits_t limits = no_limits();
    fault_t why;
    assert_int_equal(units_parse_limits("60s,1GB,1000", &limits, &why), 0);
    assert_true(limits.has_duration_ms && limits.has_bytes && limits.has_count);
    assert_int_equal(limits.duration_ms, 60000);
    assert_int_equal(limits.bytes, 1000000000);
    assert_int_equal(limits.count, 1000);
}

static void a_limit_is_given_once(void **state) {
    (void)state;
    const char *const twice[] = {"5s,6s", "1GB,bytes=2GB", "count=none,1000", "time=5s,duration=5s"};
    const char *const names[] = {"duration", "bytes", "count", "duration"};
    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++) {
        msg_limits_t limits = no_limits();
        fault_t why;
        char wanted[64];
        snprintf(wanted, sizeof wanted, "the limit `%s` is given twice", names[i]);
        assert_int_equal(units_parse_limits(twice[i], &limits, &why), -1);
        assert_string_equal(why.text, wanted);
        assert_false(limits.has_duration_ms || limits.has_bytes || limits.has_count);
    }
}

static void limits_can_be_named_and_lifted(void **state) {
    (void)state;
    msg_limits_t limits = no_limits();
    fault_t why;
    assert_int_equal(units_parse_limits("count=1e6", &limits, &why), 0);
    assert_true(limits.has_count);
    assert_false(limits.has_bytes || limits.has_duration_ms);
    assert_int_equal(limits.count, 1000000);
    assert_int_equal(units_parse_limits("bytes=4096,duration=none", &limits, &why), 0);
    assert_int_equal(limits.bytes, 4096);
    assert_true(limits.has_duration_ms);
    assert_int_equal(limits.duration_ms, LIMIT_NONE);
    assert_int_equal(limits.count, 1000000);
}

static void a_wrong_limit_changes_nothing(void **state) {
    (void)state;
    static const char *const texts[] = {"1000,speed=9", "1000,count=60s", "1000,", "0", "0s", "1000,60q", "none", "duration=5"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        msg_limits_t limits = no_limits(), before = limits;
        fault_t why = {""};
        assert_int_equal(units_parse_limits(texts[i], &limits, &why), -1);
        assert_memory_equal(&limits, &before, sizeof limits);
        assert_true(why.text[0]);
    }
}

static void a_place_to_start_is_an_element_or_a_time(void **state) {
    (void)state;
    msg_replay_from_t from;
    fault_t why;
    assert_int_equal(units_parse_from("1000", &from, &why), 0);
    assert_true(from.has_element && !from.has_offset_ms && from.element == 1000);
    assert_int_equal(units_parse_from("30s", &from, &why), 0);
    assert_true(from.has_offset_ms && !from.has_element && from.offset_ms == 30000);
    assert_int_equal(units_parse_from("1GB", &from, &why), -1);
}

static void quantities_are_printed_as_people_say_them(void **state) {
    (void)state;
    static const struct {
        unit_text_t (*print)(int64_t);
        int64_t value;
        const char *text;
    } cases[] = {
        {units_duration, 0, "0 s"},
        {units_duration, 7, "7 us"},
        {units_duration, INT64_MAX, "106751991 d 4 h"},
        {units_duration_ms, 250, "250 ms"},
        {units_duration_ms, INT64_MAX, "106751991 d 4 h"},
        {units_duration, 250000, "250 ms"},
        {units_duration, 999600, "1 s"},
        {units_duration, 4230000, "4.2 s"},
        {units_duration, 12000000, "12 s"},
        {units_duration, 59960000, "1 min"},
        {units_duration, 60000000, "1 min"},
        {units_duration, 303000000, "5 min 3 s"},
        {units_duration, INT64_C(7500000000), "2 h 5 min"},
        {units_duration, INT64_C(266400000000), "3 d 2 h"},
        {units_bytes, 0, "0 B"},
        {units_bytes, 999, "999 B"},
        {units_bytes, 1000, "1 kB"},
        {units_bytes, 12345678, "12.3 MB"},
        {units_bytes, 999999, "1 MB"},
        {units_bytes, 1000000000, "1 GB"},
        {units_count, 0, "0"},
        {units_count, 999, "999"},
        {units_count, 1000, "1,000"},
        {units_count, 1234567, "1,234,567"},
        {units_count, INT64_MIN, "-9,223,372,036,854,775,808"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(cases[i].print(cases[i].value).text, cases[i].text);
    }
}

static void times_are_local_to_the_second(void **state) {
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    assert_string_equal(units_time(1700000000123456).text, "2023-11-14 22:13:20");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(sizes_are_decimal_or_binary_as_their_unit_says),
        cmocka_unit_test(counts_are_whole),
        cmocka_unit_test(large_numbers_are_exact_and_too_large_ones_refused),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(limits_are_told_apart_by_their_units),
        cmocka_unit_test(a_limit_is_given_once),
        cmocka_unit_test(limits_can_be_named_and_lifted),
        cmocka_unit_test(a_wrong_limit_changes_nothing),
        cmocka_unit_test(a_place_to_start_is_an_element_or_a_time),
        cmocka_unit_test(quantities_are_printed_as_people_say_them),
        cmocka_unit_test(times_are_local_to_the_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
