/* Event times, keys and watermarks, as every connector has them. */
#include "actors/sources/timing.h"

#include <stdlib.h>
#include <string.h>

#include "tests/stage/stage.h"

#define URN "test:source"

static timing_t timing;
static actor_t *me;
static fault_t why;
static int rang;

static void *bystander_create(actor_t *actor, bytes_t args, fault_t *fault) {
    (void)args, (void)fault;
    me = actor;
    return &timing;
}

static void bystander_destroy(void **state) {
    *state = NULL;
}

static const actor_class_t bystander = {
    .name = "bystander", .doc = "Has a clock.", .create = bystander_create, .destroy = bystander_destroy};

static int on_idle(void *state, uint64_t context, fault_t *fault) {
    (void)state, (void)context, (void)fault;
    rang++;
    return 0;
}

static const timing_given_t nothing = {.out_of_order_ms = -1, .idle_ms = -1};

static timing_given_t given_of(const char *event_time, int64_t out_of_order_ms, int64_t idle_ms) {
    timing_given_t given = nothing;
    given.event_time = event_time;
    given.out_of_order_ms = out_of_order_ms;
    given.idle_ms = idle_ms;
    return given;
}

static void begin(timing_system_t system, timing_given_t given) {
    timing_fini(&timing);
    if (timing_init(&timing, me, URN, system, &given, &why) < 0) fail_msg("%s", why.text);
    timing_begin(&timing);
}

static void assert_refused(timing_system_t system, timing_given_t given, const char *text) {
    timing_fini(&timing);
    assert_int_equal(timing_init(&timing, me, URN, system, &given, &why), -1);
    if (!strstr(why.text, text)) fail_msg("`%s` does not say `%s`", why.text, text);
}

static bytes_t bytes_of(const char *text) {
    return (bytes_t){(const uint8_t *)text, strlen(text)};
}

static int64_t time_of(const char *value, int64_t system_us) {
    int64_t time = -1;
    if (timing_read(&timing, bytes_of(value), system_us, &time, &why) != 0) fail_msg("%s", why.text);
    return time;
}

static void assert_watermark(int64_t expected) {
    const int64_t *watermark = timing_watermark(&timing);
    assert_non_null(watermark);
    assert_int_equal(*watermark, expected);
}

static int setup(void **state) {
    *state = stage_create(1, NULL);
    rang = 0;
    timing = (timing_t){0};
    stage_add(*state, &bystander, "bystander", (bytes_t){0});
    stage_run(*state);
    return 0;
}

static int teardown(void **state) {
    timing_fini(&timing);
    stage_destroy((stage_t **)state);
    return 0;
}

/* ---- event time ---- */

static void the_system_s_time_is_the_default_where_it_has_one(void **state) {
    begin(TIMING_SYSTEM_STAMPS, nothing);
    assert_int_equal(time_of("x", 77), 77);
    begin(TIMING_SYSTEM_NONE, nothing);
    assert_int_equal(time_of("x", 77), stage_now(*state));
}

static void arrival_is_the_clock_and_never_goes_back(void **state) {
    begin(TIMING_SYSTEM_STAMPS, given_of("arrival", -1, -1));
    int64_t first = time_of("x", 77);
    assert_int_equal(first, stage_now(*state));
    timing.arrival += 1000; /* the clock was set back since */
    timing_begin(&timing);
    assert_int_equal(time_of("x", 77), first + 1000);
}

static void a_pointer_finds_it_in_json_in_its_unit(void **state) {
    (void)state;
    timing_given_t given = given_of("/at/0", -1, -1);
    given.event_time_unit = "ms";
    begin(TIMING_SYSTEM_STAMPS, given);
    assert_int_equal(time_of("{\"at\": [12]}", 77), 12000);
    assert_int_equal(time_of("{\"at\": [\"1970-01-01T00:00:01Z\"]}", 77), 1000000);
}

static void what_cannot_be_read_fails_or_is_skipped(void **state) {
    (void)state;
    int64_t time = 5;
    timing_given_t given = given_of("/at", -1, -1);
    begin(TIMING_SYSTEM_NONE, given);
    assert_int_equal(timing_read(&timing, bytes_of("{}"), 0, &time, &why), -1);
    assert_non_null(strstr(why.text, "/at"));
    given.on_error = "skip";
    begin(TIMING_SYSTEM_NONE, given);
    assert_int_equal(timing_read(&timing, bytes_of("nothing"), 0, &time, &why), TIMING_SKIP);
    assert_int_equal(time, 5);
}

static void a_key_is_found_and_forgotten_with_the_next_element(void **state) {
    (void)state;
    timing_given_t given = nothing;
    given.key = "/user";
    begin(TIMING_SYSTEM_STAMPS, given);
    assert_int_equal(time_of("{\"user\": \"ann\"}", 7), 7);
    bytes_t key = timing_key(&timing);
    assert_int_equal(key.size, 3);
    assert_memory_equal(key.data, "ann", 3);
    bytes_t attributes = timing_attributes(&timing);
    assert_int_equal(attributes.size, 9);
    assert_memory_equal(attributes.data,
                        "\x81\xa3key\xa3"
                        "ann",
                        9);
    time_of("{\"user\": 12}", 7);
    assert_memory_equal(timing_key(&timing).data, "12", 2);
    time_of("{}", 7);
    assert_null(timing_key(&timing).data);
    assert_int_equal(timing_attributes(&timing).size, 0);
}

static void what_is_no_time_is_refused_by_name(void **state) {
    (void)state;
    timing_given_t given = nothing;
    assert_refused(TIMING_SYSTEM_NONE, given_of("system", -1, -1), "`event_time` must be `arrival` or");
    assert_refused(TIMING_SYSTEM_STAMPS, given_of("yesterday", -1, -1),
                   "`system`, `arrival` or a JSON pointer such as `/ts`, not `yesterday`");
    assert_refused(TIMING_SYSTEM_STAMPS, given_of(NULL, INT64_MAX / 1000, -1), "`out_of_order_ms` is too large");
    assert_refused(TIMING_SYSTEM_STAMPS, given_of(NULL, 0, INT64_MAX / 1000), "`idle_ms` is too large");
    assert_refused(TIMING_SYSTEM_STAMPS, given_of(NULL, -1, 100), "needs `out_of_order_ms`");
    given.key = "user";
    assert_refused(TIMING_SYSTEM_STAMPS, given, "`key` must be a JSON pointer");
    given = nothing;
    given.on_error = "stop";
    assert_refused(TIMING_SYSTEM_STAMPS, given, "on_error");
}

/* ---- the watermark ---- */

static void without_a_bound_there_is_none_unless_times_are_in_order(void **state) {
    begin(TIMING_SYSTEM_STAMPS, nothing);
    timing_saw(&timing, 0, 100);
    assert_null(timing_watermark(&timing));
    begin(TIMING_SYSTEM_ORDERS, nothing);
    assert_null(timing_watermark(&timing));
    timing_saw(&timing, 0, 100);
    assert_watermark(100);
    begin(TIMING_SYSTEM_STAMPS, given_of("arrival", -1, -1));
    assert_watermark(stage_now(*state));
}

static void it_stays_behind_the_newest_and_never_goes_back(void **state) {
    (void)state;
    begin(TIMING_SYSTEM_STAMPS, given_of(NULL, 1, -1));
    timing_saw(&timing, 0, 5000);
    assert_watermark(4000);
    timing_saw(&timing, 0, 3000);
    assert_watermark(4000);
    timing_lanes(&timing, 2); /* and a lane that begins later holds it where it is */
    assert_watermark(4000);
    timing_saw(&timing, 1, 100);
    assert_watermark(4000);
}

static void the_slowest_lane_holds_it_and_one_without_an_element_all(void **state) {
    (void)state;
    begin(TIMING_SYSTEM_STAMPS, given_of(NULL, 0, -1));
    timing_lanes(&timing, 3);
    timing_saw(&timing, 0, 500);
    timing_saw(&timing, 1, 300);
    assert_null(timing_watermark(&timing));
    timing_saw(&timing, 2, 400);
    assert_watermark(300);
    timing_saw(&timing, 1, 900);
    assert_watermark(400);
}

static void an_idle_lane_holds_nothing_and_when_all_are_idle_the_clock_goes_on(void **state) {
    int64_t told = -1;
    begin(TIMING_SYSTEM_STAMPS, given_of(NULL, 2, 1000));
    timing_lanes(&timing, 2);
    timing_saw(&timing, 0, 5000);
    timing_arm(&timing, on_idle);
    timing_arm(&timing, on_idle);
    stage_advance(*state, 999000);
    assert_int_equal(rang, 0);
    timing_begin(&timing);
    timing_saw(&timing, 0, 7000);
    stage_advance(*state, 1000);
    assert_int_equal(rang, 1);
    assert_true(timing_advance(&timing, true, &told)); /* the second has said nothing for a second */
    assert_int_equal(told, 5000);
    assert_false(timing_advance(&timing, true, &told));
    timing_arm(&timing, on_idle);
    stage_advance(*state, 1000000);
    assert_int_equal(rang, 2);
    assert_true(timing_advance(&timing, true, &told));
    assert_int_equal(told, stage_now(*state) - 2000);
    timing_arm(&timing, on_idle);
    timing_disarm(&timing);
    stage_advance(*state, 2000000);
    assert_int_equal(rang, 2);
}

static void a_lane_that_cannot_be_read_is_not_idle(void **state) {
    int64_t told = -1;
    begin(TIMING_SYSTEM_STAMPS, given_of(NULL, 0, 1000));
    timing_lanes(&timing, 2);
    timing_saw(&timing, 0, 5000);
    timing_arm(&timing, on_idle);
    stage_advance(*state, 1000000);
    assert_false(timing_advance(&timing, false, &told));
    timing_arm(&timing, on_idle);
    timing_begin(&timing);
    timing_missed(&timing);
    timing_saw(&timing, 0, 7000);
    assert_null(timing_watermark(&timing)); /* the second may have something, too */
    stage_advance(*state, 1000000);
    assert_int_equal(rang, 2);
    assert_true(timing_advance(&timing, true, &told));
}

static void times_at_the_ends_of_what_there_is_do_not_overflow(void **state) {
    (void)state;
    begin(TIMING_SYSTEM_STAMPS, given_of(NULL, 1000, -1));
    timing_saw(&timing, 0, INT64_MIN + 1);
    assert_null(timing_watermark(&timing));
    timing_saw(&timing, 0, INT64_MAX);
    assert_watermark(INT64_MAX - 1000000);
}

static void elements_that_come_again_are_not_late_by_what_was_seen_of_them_before(void **state) {
    (void)state;
    begin(TIMING_SYSTEM_STAMPS, given_of(NULL, 0, -1));
    timing_lanes(&timing, 2);
    timing_saw(&timing, 0, 9000);
    timing_saw(&timing, 1, 8000);
    assert_watermark(8000);
    timing_resume(&timing);
    assert_null(timing_watermark(&timing));
    timing_saw(&timing, 0, 5000);
    timing_saw(&timing, 1, 6000);
    assert_watermark(5000);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_system_s_time_is_the_default_where_it_has_one),
        TEST(arrival_is_the_clock_and_never_goes_back),
        TEST(a_pointer_finds_it_in_json_in_its_unit),
        TEST(what_cannot_be_read_fails_or_is_skipped),
        TEST(a_key_is_found_and_forgotten_with_the_next_element),
        TEST(what_is_no_time_is_refused_by_name),
        TEST(without_a_bound_there_is_none_unless_times_are_in_order),
        TEST(it_stays_behind_the_newest_and_never_goes_back),
        TEST(the_slowest_lane_holds_it_and_one_without_an_element_all),
        TEST(an_idle_lane_holds_nothing_and_when_all_are_idle_the_clock_goes_on),
        TEST(a_lane_that_cannot_be_read_is_not_idle),
        TEST(elements_that_come_again_are_not_late_by_what_was_seen_of_them_before),
        TEST(times_at_the_ends_of_what_there_is_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
