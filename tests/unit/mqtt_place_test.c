/* What is known of recorded messages, so that what a broker gives again is recorded once. */
#include "actors/sources/mqtt_place.h"

#include "pack.h"

enum { INFLIGHT = 10 };

static mqtt_place_t place;
static msgpack_sbuffer out;

static int setup(void **test) {
    (void)test;
    mqtt_place_init(&place, INFLIGHT);
    msgpack_sbuffer_init(&out);
    return 0;
}

static int teardown(void **test) {
    (void)test;
    mqtt_place_fini(&place);
    msgpack_sbuffer_destroy(&out);
    return 0;
}

static mqtt_given_t given(unsigned id) {
    return (mqtt_given_t){(uint16_t)id, id * 2654435761U};
}

static void add(unsigned first, unsigned count) {
    for (unsigned i = 0; i < count; i++) mqtt_place_add(&place, given((first + i - 1) % UINT16_MAX + 1));
}

static bool has(unsigned id) {
    return mqtt_place_has(&place, given(id));
}

static void as_many_as_are_in_flight_are_known_by_number_and_hash(void **test) {
    (void)test;
    for (unsigned i = 0; i < 30; i++) mqtt_place_add(&place, given(i % 15 * 2 + 1));
    for (unsigned i = 0; i < 15; i++) assert_int_equal(has(i * 2 + 1), i >= 15 - INFLIGHT);
    assert_false(mqtt_place_has(&place, (mqtt_given_t){29, given(29).print + 1}));
}

static void numbers_that_only_count_up_are_known_however_old(void **test) {
    (void)test;
    add(100, 5000);
    assert_true(has(100));
    assert_true(has(5099));
    assert_true(mqtt_place_has(&place, (mqtt_given_t){100, 0}));
    assert_false(mqtt_place_has(&place, (mqtt_given_t){5099, 0}));
    assert_false(has(99));
    assert_false(has(5100));
}

static void numbers_go_on_at_1_behind_the_last(void **test) {
    (void)test;
    add(65500, 100);
    assert_true(has(65500));
    assert_true(has(65535));
    assert_true(has(1));
    assert_true(has(64));
    assert_false(has(65));
    assert_false(has(65499));
}

static void numbers_no_higher_than_what_is_in_flight_are_known_with_their_hash_alone(void **test) {
    (void)test;
    add(1, INFLIGHT);
    add(1, 1);
    assert_false(mqtt_place_has(&place, (mqtt_given_t){5, 0}));
    add(1, INFLIGHT);
    for (unsigned id = 1; id <= INFLIGHT; id++) assert_false(mqtt_place_has(&place, (mqtt_given_t){(uint16_t)id, 0}));
}

static void a_row_is_known_as_far_back_as_leaves_room_for_what_is_ahead(void **test) {
    (void)test;
    add(1, 65000);
    assert_true(has(65000 - MQTT_RUN_MAX + 1));
    assert_false(has(65000 - MQTT_RUN_MAX));
    for (unsigned id = 65001; id <= 65535; id++) assert_false(has(id));
    for (unsigned id = 1; id <= 65000 - MQTT_RUN_MAX; id++) assert_false(has(id));
}

static void nothing_is_known_of_a_session_that_is_gone(void **test) {
    (void)test;
    add(1, 5000);
    mqtt_place_forget(&place);
    assert_false(has(1));
    assert_false(has(5000));
}

static void it_is_the_same_behind_a_cursor(void **test) {
    (void)test;
    add(7, 4000);
    place.count = INT64_C(1) << 40;
    place.time = 1700000000000000;
    place.session = MQTT_ASKED;
    place.reliable = false;
    bytes_t cursor = mqtt_place_write(&place, &out);
    mqtt_place_t other;
    mqtt_place_init(&other, INFLIGHT);
    assert_true(mqtt_place_read(&other, cursor));
    assert_int_equal(other.count, place.count);
    assert_int_equal(other.time, place.time);
    assert_int_equal(other.session, MQTT_ASKED);
    assert_false(other.reliable);
    for (unsigned id = 1; id < 5000; id++) assert_int_equal(mqtt_place_has(&other, given(id)), has(id));
    mqtt_place_fini(&other);
}

static void a_cursor_of_a_larger_number_in_flight_keeps_its_newest(void **test) {
    (void)test;
    mqtt_place_t larger;
    mqtt_place_init(&larger, MQTT_INFLIGHT_MAX);
    for (unsigned id = 1; id <= MQTT_INFLIGHT_MAX; id++) mqtt_place_add(&larger, given(id * 2));
    assert_true(mqtt_place_read(&place, mqtt_place_write(&larger, &out)));
    assert_true(has(MQTT_INFLIGHT_MAX * 2));
    assert_true(has(MQTT_INFLIGHT_MAX * 2 - 2 * (INFLIGHT - 1)));
    assert_false(has(MQTT_INFLIGHT_MAX * 2 - 2 * INFLIGHT));
    mqtt_place_fini(&larger);
}

static void what_is_no_cursor_is_refused_and_changes_nothing(void **test) {
    (void)test;
    add(1, 5);
    place.count = 5;
    const bytes_t bad[] = {
        BYTES("\xc0"),
        BYTES("\x97"),
        pack("[i]", 1LL),
        pack("[iiiiiib]", -1LL, 8LL, 2LL, 1LL, 7LL, 6LL, "123456"),
        pack("[iiiiiib]", INT64_MAX, 8LL, 2LL, 1LL, 7LL, 6LL, "123456"),
        pack("[iiiiiib]", 9LL, -8LL, 2LL, 1LL, 7LL, 6LL, "123456"),
        pack("[iiiiiib]", 9LL, 8LL, 4LL, 1LL, 7LL, 6LL, "123456"),
        pack("[iiiiiib]", 9LL, 8LL, 2LL, 2LL, 7LL, 6LL, "123456"),
        pack("[iiiiiib]", 9LL, 8LL, 2LL, 1LL, 65536LL, 6LL, "123456"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(mqtt_place_read(&place, bad[i]));
    assert_false(mqtt_place_read(&place, pack("[iiiiiib]", 9LL, 8LL, 2LL, 1LL, 7LL, 60001LL, "123456")));
    assert_false(mqtt_place_read(&place, pack("[iiiiiib]", 9LL, 8LL, 2LL, 1LL, 7LL, 6LL, "12345")));
    assert_false(mqtt_place_read(&place, pack("[iiiiiis]", 9LL, 8LL, 2LL, 1LL, 7LL, 6LL, "123456")));
    assert_false(mqtt_place_read(&place, pack("[siiiiib]", "9", 8LL, 2LL, 1LL, 7LL, 6LL, "123456")));
    assert_int_equal(place.count, 5);
    assert_true(has(5));
    bytes_t good = pack("[iiiiiib]", 9LL, 8LL, 2LL, 1LL, 7LL, 6LL, "123456");
    for (size_t size = 0; size < good.size; size++) {
        bytes_t cut = bytes_tight(good, size);
        assert_false(mqtt_place_read(&place, cut));
        free((void *)(uintptr_t)cut.data);
    }
    assert_true(mqtt_place_read(&place, good));
    assert_int_equal(place.count, 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(as_many_as_are_in_flight_are_known_by_number_and_hash),
        TEST(numbers_that_only_count_up_are_known_however_old),
        TEST(numbers_go_on_at_1_behind_the_last),
        TEST(numbers_no_higher_than_what_is_in_flight_are_known_with_their_hash_alone),
        TEST(a_row_is_known_as_far_back_as_leaves_room_for_what_is_ahead),
        TEST(nothing_is_known_of_a_session_that_is_gone),
        TEST(it_is_the_same_behind_a_cursor),
        TEST(a_cursor_of_a_larger_number_in_flight_keeps_its_newest),
        TEST(what_is_no_cursor_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
