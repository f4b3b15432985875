/* What of a stream was lost follows from two looks at it. */
#include "actors/sources/redis_place.h"

#include "pack.h"

static redis_id_t id(const char *text) {
    redis_id_t out = {0, 0};
    assert_true(redis_id_read((bytes_t){(const uint8_t *)text, strlen(text)}, &out));
    return out;
}

static redis_place_t at(const char *last, int64_t number) {
    return (redis_place_t){id(last), number};
}

/* A stream of `length` entries of the `added` that there ever were. */
static redis_info_t stream(int64_t length, int64_t added, const char *first, const char *newest) {
    return (redis_info_t){.exists = true, .counts = true, .length = length, .added = added, .first = id(first), .newest = id(newest)};
}

static redis_info_t uncounted(int64_t length, const char *first, const char *newest) {
    return (redis_info_t){.exists = true, .length = length, .first = id(first), .newest = id(newest)};
}

static redis_loss_t begin(redis_place_t *place, redis_info_t info) {
    redis_loss_t loss;
    redis_place_begin(place, &info, true, &loss);
    return loss;
}

static redis_loss_t end(redis_place_t *place, redis_info_t info) {
    redis_loss_t loss;
    redis_place_end(place, &info, &loss);
    return loss;
}

#define assert_place(place, wanted_last, wanted_number)                                                                                    \
    do {                                                                                                                                   \
        assert_int_equal(redis_id_compare((place).last, id(wanted_last)), 0);                                                              \
        assert_int_equal((place).number, wanted_number);                                                                                   \
    } while (0)

static void an_id_is_two_numbers(void **state) {
    static const char *const bad[] = {
        "", "-", "1", "1-", "-1", "1-2-3", " 1-2", "1-2 ", "+1-2", "1--2", "18446744073709551616-0", "1-99999999999999999999"};
    redis_id_t read;
    char text[REDIS_ID_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(redis_id_read((bytes_t){(const uint8_t *)bad[i], strlen(bad[i])}, &read));
    }
    assert_string_equal(redis_id_write(id("18446744073709551615-18446744073709551615"), text), "18446744073709551615-18446744073709551615");
    assert_true(redis_id_compare(id("2-0"), id("10-0")) < 0);
    assert_true(redis_id_compare(id("2-9"), id("2-10")) < 0);
}

static void the_beginning_is_what_is_there(void **state) {
    redis_place_t place = at("0-0", REDIS_UNSEEN);
    (void)state;
    assert_string_equal(begin(&place, stream(3, 10, "8-0", "10-0")).what, "");
    assert_place(place, "0-0", 7);
}

static void a_stream_that_is_not_there_yet_begins_empty(void **state) {
    redis_place_t place = at("0-0", REDIS_UNSEEN);
    (void)state;
    assert_string_equal(begin(&place, (redis_info_t){0}).what, "");
    redis_loss_t loss = begin(&place, stream(1, 3, "3-0", "3-0"));
    assert_text(loss.what, "2 entries after 0-0 were trimmed");
}

static void what_was_trimmed_and_read_is_not_lost(void **state) {
    redis_place_t place = at("5-0", 5);
    (void)state;
    assert_string_equal(begin(&place, stream(2, 7, "6-0", "7-0")).what, "");
    assert_place(place, "5-0", 5);
    place = at("5-0", 5);
    assert_string_equal(begin(&place, stream(0, 5, "0-0", "5-0")).what, "");
    assert_string_equal(end(&place, stream(0, 5, "0-0", "5-0")).what, "");
}

static void what_was_trimmed_before_it_was_read_is_counted(void **state) {
    redis_place_t place = at("5-0", 5);
    (void)state;
    redis_loss_t loss = begin(&place, stream(2, 10, "9-0", "10-0"));
    assert_string_equal(loss.what, "3 entries after 5-0 were trimmed or deleted before they were read");
    assert_int_equal(loss.us, 4000);
    assert_place(place, "5-0", 8);
    place = at("5-0", 5);
    loss = begin(&place, stream(0, 6, "0-0", "9-0"));
    assert_string_equal(loss.what, "an entry after 5-0 was trimmed or deleted before it was read");
}

static void at_the_end_the_counts_agree_or_something_is_lost(void **state) {
    redis_place_t place = at("7-0", 7);
    (void)state;
    assert_string_equal(end(&place, stream(7, 7, "1-0", "7-0")).what, "");
    place = at("7-0", 6);
    assert_string_equal(end(&place, stream(6, 8, "1-0", "8-0")).what, "2 entries up to 8-0 were trimmed or deleted before they were read");
    assert_place(place, "8-0", 8);
}

static void a_server_that_has_more_than_was_ever_added_is_not_counted_on(void **state) {
    redis_place_t place = at("5-0", REDIS_UNSEEN), again;
    msgpack_sbuffer out;
    (void)state;
    msgpack_sbuffer_init(&out);
    assert_string_equal(begin(&place, stream(9, 1, "6-0", "15-0")).what, "");
    assert_place(place, "5-0", REDIS_UNCOUNTED);
    assert_true(redis_cursor_read(redis_cursor_write(&place, 1, &out), &again, 1));
    msgpack_sbuffer_destroy(&out);
}

static void what_is_not_counted_yet_is_from_the_end_on(void **state) {
    redis_place_t place = at("5-0", REDIS_UNSEEN);
    (void)state;
    assert_string_equal(begin(&place, stream(9, 9, "1-0", "9-0")).what, "");
    assert_int_equal(place.number, REDIS_UNCOUNTED);
    assert_string_equal(end(&place, stream(9, 9, "1-0", "9-0")).what, "");
    assert_place(place, "9-0", 9);
}

static void a_beginning_in_the_future_is_waited_for(void **state) {
    redis_place_t place = at("100-0", REDIS_UNSEEN);
    (void)state;
    for (int64_t added = 3; added < 6; added++) {
        assert_string_equal(begin(&place, stream(added, added, "1-0", "9-0")).what, "");
        assert_string_equal(end(&place, stream(added, added, "1-0", "9-0")).what, "");
        assert_place(place, "100-0", REDIS_UNSEEN);
    }
}

static void a_stream_that_is_gone_is_said_once_and_read_from_its_new_beginning(void **state) {
    redis_place_t place = at("5-0", 5);
    (void)state;
    assert_string_equal(begin(&place, (redis_info_t){0}).what, "the stream is gone, which was read up to 5-0");
    assert_string_equal(begin(&place, (redis_info_t){0}).what, "");
    assert_string_equal(begin(&place, stream(1, 1, "1-0", "1-0")).what, "");
    assert_place(place, "0-0", 0);
}

/* The new one has more entries than were read of the old one, and higher ids, as the clock gives them. */
static void a_stream_that_was_made_again_between_two_looks_is_said(void **state) {
    redis_place_t place = at("5-0", 5);
    (void)state;
    redis_loss_t loss = begin(&place, stream(7, 7, "8-0", "14-0"));
    assert_string_equal(loss.what, "the stream, which was read up to 5-0, was deleted and made again");
    assert_int_equal(loss.us, 3000);
    assert_place(place, "5-0", 0);
}

static void a_server_with_an_older_state_goes_on_behind_it(void **state) {
    redis_place_t place = at("9-0", 9);
    (void)state;
    assert_text(begin(&place, stream(6, 6, "1-0", "6-0")).what, "it knows of none after 6-0, and 9-0 was read");
    assert_place(place, "6-0", 6);
    place = at("9-0", 9);
    assert_text(begin(&place, stream(7, 7, "1-0", "12-0")).what, "it counts 7, and there were 9 when 9-0 was read");
    assert_place(place, "9-0", REDIS_UNCOUNTED);
    assert_string_equal(end(&place, stream(7, 7, "1-0", "12-0")).what, "");
    assert_place(place, "12-0", 7);
}

static void a_server_that_does_not_count_is_asked_after_a_reconnect_only(void **state) {
    redis_place_t place = at("5-0", REDIS_UNCOUNTED);
    redis_info_t info = uncounted(2, "8-0", "9-0");
    redis_loss_t loss;
    (void)state;
    redis_place_begin(&place, &info, false, &loss);
    assert_string_equal(loss.what, "");
    redis_place_begin(&place, &info, true, &loss);
    assert_string_equal(loss.what, "entries after 5-0 may have been trimmed or deleted before they were read");
    assert_string_equal(end(&place, info).what, "");
    assert_place(place, "9-0", REDIS_UNCOUNTED);
}

static void a_cursor_comes_back_as_it_was(void **state) {
    redis_place_t places[64], read[64];
    msgpack_sbuffer out;
    (void)state;
    msgpack_sbuffer_init(&out);
    for (size_t i = 0; i < 64; i++) places[i] = (redis_place_t){{UINT64_MAX - i, i}, (int64_t)i - 2};
    for (size_t count = 1; count <= 64; count++) {
        bytes_t cursor = redis_cursor_write(places, count, &out);
        assert_true(redis_cursor_read(cursor, read, count));
        assert_memory_equal(read, places, count * sizeof *places);
        assert_false(redis_cursor_read(cursor, read, count < 64 ? count + 1 : 1));
        for (size_t size = 0; size < cursor.size; size++) {
            bytes_t cut = bytes_tight(cursor, size);
            assert_false(redis_cursor_read(cut, read, count));
            free((void *)(uintptr_t)cut.data);
        }
    }
    msgpack_sbuffer_destroy(&out);
}

static void a_hostile_cursor_is_none(void **state) {
    const bytes_t bad[] = {pack("[iii]", 1LL, 2LL, -3LL), pack("[iis]", 1LL, 2LL, "3"), pack("[iiii]", 1LL, 2LL, 3LL, 4LL), pack("i", 1LL),
                           pack("[iid]", 1LL, 2LL, 0.5)};
    redis_place_t place;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(redis_cursor_read(bad[i], &place, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_two_numbers),
        cmocka_unit_test(the_beginning_is_what_is_there),
        cmocka_unit_test(a_stream_that_is_not_there_yet_begins_empty),
        cmocka_unit_test(what_was_trimmed_and_read_is_not_lost),
        cmocka_unit_test(what_was_trimmed_before_it_was_read_is_counted),
        cmocka_unit_test(at_the_end_the_counts_agree_or_something_is_lost),
        cmocka_unit_test(a_server_that_has_more_than_was_ever_added_is_not_counted_on),
        cmocka_unit_test(what_is_not_counted_yet_is_from_the_end_on),
        cmocka_unit_test(a_beginning_in_the_future_is_waited_for),
        cmocka_unit_test(a_stream_that_is_gone_is_said_once_and_read_from_its_new_beginning),
        cmocka_unit_test(a_stream_that_was_made_again_between_two_looks_is_said),
        cmocka_unit_test(a_server_with_an_older_state_goes_on_behind_it),
        cmocka_unit_test(a_server_that_does_not_count_is_asked_after_a_reconnect_only),
        cmocka_unit_test(a_cursor_comes_back_as_it_was),
        cmocka_unit_test(a_hostile_cursor_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
