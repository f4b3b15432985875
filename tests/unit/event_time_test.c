/* Where an event time stands in JSON, and what it says. */
#include "actors/sources/event_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int64_t time_in(const char *text, const char *pointer, int64_t unit_us) {
    fault_t why = {.text = ""};
    int64_t time = 0;
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    if (event_time_of(json, pointer, unit_us, &time, &why) < 0) fail_msg("%s", why.text);
    json_decref(json);
    return time;
}

static void assert_refused(const char *text, const char *pointer, const char *expected) {
    fault_t why = {.text = ""};
    int64_t time = 42;
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_int_equal(event_time_of(json, pointer, 1, &time, &why), -1);
    if (!strstr(why.text, expected)) fail_msg("\"%s\" does not say \"%s\"", why.text, expected);
    assert_int_equal(time, 42);
    json_decref(json);
}

static void a_number_counts_its_unit(void **state) {
    (void)state;
    assert_int_equal(time_in("{\"ts\": 1763820309123456}", "/ts", 1), 1763820309123456);
    assert_int_equal(time_in("{\"ts\": 1763820309123}", "/ts", 1000), 1763820309123000);
    assert_int_equal(time_in("{\"ts\": 1763820309}", "/ts", 1000000), 1763820309000000);
    assert_int_equal(time_in("{\"ts\": 1763820309.25}", "/ts", 1000000), 1763820309250000);
    assert_int_equal(time_in("{\"ts\": -1.5}", "/ts", 1000000), -1500000);
}

static void a_pointer_goes_through_objects_and_lists(void **state) {
    (void)state;
    assert_int_equal(time_in("{\"a\": {\"b\": [7, {\"c\": 8}]}}", "/a/b/0", 1), 7);
    assert_int_equal(time_in("{\"a\": {\"b\": [7, {\"c\": 8}]}}", "/a/b/1/c", 1), 8);
    assert_int_equal(time_in("{\"a/b\": 1, \"a~b\": 2, \"\": 3, \"a\": {\"b\": 4}}", "/a~1b", 1), 1);
    assert_int_equal(time_in("{\"a/b\": 1, \"a~b\": 2, \"\": 3, \"a\": {\"b\": 4}}", "/a~0b", 1), 2);
    assert_int_equal(time_in("{\"a/b\": 1, \"a~b\": 2, \"\": 3, \"a\": {\"b\": 4}}", "/", 1), 3);
    assert_int_equal(time_in("99", "", 1), 99);
}

static void a_pointer_to_nothing_is_named(void **state) {
    (void)state;
    assert_refused("{\"t\": 1}", "/ts", "there is no `/ts`");
    assert_refused("{\"tss\": 1}", "/ts", "there is no `/ts`");
    assert_refused("[1]", "/1", "there is no `/1`");
    assert_refused("[1, 2]", "/01", "there is no `/01`");
    assert_refused("[1, 2]", "/-", "there is no `/-`");
    assert_refused("5", "/ts", "there is no `/ts`");
    assert_refused("{\"ts\": true}", "/ts", "neither a number nor text");
    assert_refused("{\"ts\": 1e30}", "/ts", "out of range");
    assert_refused("{\"ts\": \"noon\"}", "/ts", "`noon` is not a time as of RFC 3339");
}

static void a_pointer_begins_with_a_slash_and_escapes_only_what_there_is(void **state) {
    (void)state;
    assert_true(event_time_pointer_valid(""));
    assert_true(event_time_pointer_valid("/a~0~1"));
    assert_false(event_time_pointer_valid("ts"));
    assert_false(event_time_pointer_valid("/a~2"));
    assert_false(event_time_pointer_valid("/a~"));
}

static void a_date_is_a_time(void **state) {
    static const struct {
        const char *text;
        int64_t time;
    } dates[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"2026-11-22T14:05:09.123Z", 1795356309123000},
        {"2026-11-22t15:05:09.123456789+01:00", 1795356309123456},
        {"2026-11-22 08:35:09-05:30", 1795356309000000},
        {"2000-02-29T00:00:00Z", 951782400000000},
        {"2000-03-01T00:00:00Z", 951868800000000},
        {"1900-03-01T00:00:00Z", -2203891200000000},
        {"0000-01-01T00:00:00Z", -62167219200000000},
        {"9999-12-31T23:59:59Z", 253402300799000000},
        {"2016-12-31T23:59:60Z", 1483228800000000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        fault_t why;
        int64_t time = 0;
        if (event_time_parse(dates[i].text, &time, &why) < 0) fail_msg("%s", why.text);
        if (time != dates[i].time) fail_msg("%s is %lld, not %lld", dates[i].text, (long long)dates[i].time, (long long)time);
    }
}

static void what_is_no_date_is_refused(void **state) {
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11-22",
        "2026-11-22T14:05:09",
        "2026-11-22T14:05Z",
        "2026-13-22T14:05:09Z",
        "2026-00-22T14:05:09Z",
        "2026-11-31T14:05:09Z",
        "2026-02-29T14:05:09Z",
        "1900-02-29T14:05:09Z",
        "2026-11-22T24:05:09Z",
        "2026-11-22T14:60:09Z",
        "2026-11-22T14:05:61Z",
        "2026-11-22T14:05:09.Z",
        "2026-11-22T14:05:09+0100",
        "2026-11-22T14:05:09+24:00",
        "2026-11-22T14:05:09ZZ",
        "2026-11-22_14:05:09Z",
        "+026-11-22T14:05:09Z",
        "2026-11-22T14:05:09",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fault_t why;
        int64_t time = 42;
        if (event_time_parse(texts[i], &time, &why) == 0) fail_msg("%s was taken for a date", texts[i]);
        assert_int_equal(time, 42);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_counts_its_unit),
        cmocka_unit_test(a_pointer_goes_through_objects_and_lists),
        cmocka_unit_test(a_pointer_to_nothing_is_named),
        cmocka_unit_test(a_pointer_begins_with_a_slash_and_escapes_only_what_there_is),
        cmocka_unit_test(a_date_is_a_time),
        cmocka_unit_test(what_is_no_date_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
