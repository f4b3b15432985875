/* The generator: what it makes, when, and that a restart changes neither. */
#include "actors/sources/source_generator.h"

#include "ingest_double.h"
#include "pack.h"

static void start(stage_t *stage, bytes_t payload) {
    stage_add(stage, &source_generator_class, "source:1", ingest_args(payload));
    stage_run(stage);
}

static void elements_begin_with_their_number(void **state) {
    start(*state, pack("{sisisi}", "rate", 0LL, "count", 1001LL, "size", 40LL));
    assert_int_equal(ingest.count, 1001);
    for (size_t i = 0; i < ingest.count; i++) {
        char number[24];
        int size = snprintf(number, sizeof number, "%zu ", i);
        assert_int_equal(ingest.elements[i].size, 40);
        assert_memory_equal(ingest.elements[i].text, number, (size_t)size);
        for (int k = size; k < 40; k++) assert_in_range(ingest.elements[i].text[k], 'a', 'p');
        if (i > 0) assert_string_not_equal(ingest.elements[i].text + 5, ingest.elements[i - 1].text + 5);
    }
}

/* Recordings are compared over versions of the engine too: this must never change. */
static void an_element_is_a_function_of_its_seed_and_number(void **state) {
    start(*state, pack("{sisisisi}", "rate", 0LL, "count", 3LL, "size", 30LL, "seed", 7LL));
    assert_string_equal(ingest.elements[0].text, "0 lmppnkneaemmbaklppflgmbmifeh");
    assert_string_equal(ingest.elements[2].text, "2 kcjbhbfheeiomkamkkmjlglgpjdb");
}

static void another_seed_makes_other_elements(void **state) {
    start(*state, pack("{sisisisi}", "rate", 0LL, "count", 1LL, "size", 30LL, "seed", 8LL));
    assert_string_not_equal(ingest.elements[0].text, "0 lmppnkneaemmbaklppflgmbmifeh");
}

static void a_size_too_small_for_the_number_cuts_it(void **state) {
    start(*state, pack("{sisisi}", "rate", 0LL, "count", 12LL, "size", 1LL));
    assert_string_equal(ingest.elements[11].text, "1");
    assert_int_equal(ingest.elements[11].size, 1);
}

static void elements_may_be_empty(void **state) {
    start(*state, pack("{sisisi}", "rate", 0LL, "count", 5LL, "size", 0LL));
    assert_int_equal(ingest.count, 5);
    assert_int_equal(ingest.elements[4].size, 0);
}

static void the_defaults_are_a_thousand_elements_of_a_hundred_bytes_a_second(void **state) {
    int64_t began = stage_now(*state);
    start(*state, (bytes_t){0});
    stage_advance(*state, 1000000);
    assert_in_range(ingest.count, 995, 1001);
    assert_int_equal(ingest.elements[0].size, 100);
    assert_int_equal(ingest.elements[0].time, began);
    assert_int_equal(ingest.elements[500].time, began + 500000);
    assert_int_equal(ingest.dones, 0);
}

static void the_pace_does_not_drift(void **state) {
    start(*state, pack("{sd}", "rate", 333.3));
    for (int i = 0; i < 1000; i++) stage_advance(*state, 100001);
    size_t expected = (size_t)(100.001 * 333.3);
    assert_in_range(ingest.count, expected - 3, expected + 1);
}

static void a_slow_element_comes_when_it_is_due_and_not_before(void **state) {
    start(*state, pack("{sd}", "rate", 0.5));
    assert_int_equal(ingest.count, 1);
    stage_advance(*state, 1999000);
    assert_int_equal(ingest.count, 1);
    stage_advance(*state, 2000);
    assert_int_equal(ingest.count, 2);
    stage_advance(*state, 2000000);
    assert_int_equal(ingest.count, 3);
}

static void the_watermark_is_the_next_elements_event_time(void **state) {
    start(*state, pack("{sisisisi}", "rate", 0LL, "count", 10LL, "size", 1LL, "origin_us", 500LL));
    assert_int_equal(ingest.elements[0].time, 500);
    assert_int_equal(ingest.elements[9].time, 509);
    assert_true(ingest.has_watermark);
    assert_int_equal(ingest.watermark, 510);
}

static void a_count_ends_the_source_once(void **state) {
    start(*state, pack("{sisi}", "rate", 100LL, "count", 50LL));
    stage_advance(*state, 480000);
    assert_int_equal(ingest.dones, 0);
    stage_advance(*state, 1000000);
    assert_int_equal(ingest.count, 50);
    assert_int_equal(ingest.dones, 1);
}

static void without_a_rate_it_fills_the_credit_with_large_batches(void **state) {
    ingest.hold_acks = true;
    start(*state, pack("{si}", "rate", 0LL));
    assert_in_range(ingest.batches, 4, 5);
    assert_in_range(ingest.largest, 256 * 1024, 257 * 1024);
    ingest_do(*state, ingest_ack);
    assert_in_range(ingest.batches, 8, 10);
    assert_string_equal(ingest.failure, "");
}

static void what_credit_held_back_is_made_up_for(void **state) {
    ingest.credit = 1000;
    ingest.hold_acks = true;
    start(*state, pack("{si}", "rate", 1000LL));
    stage_advance(*state, 3000000);
    assert_in_range(ingest.count, 1, 15);
    ingest.credit = 1000000;
    ingest.hold_acks = false;
    ingest_do(*state, ingest_ack);
    stage_advance(*state, 100000);
    assert_in_range(ingest.count, 3090, 3101);
}

/* The elements of a run that fails and is created again are those of one that does not. */
static void a_restart_goes_on_exactly(void **state) {
    stage_t *stage = *state;
    start(stage, pack("{sisisi}", "rate", 1000LL, "count", 600LL, "size", 20LL));
    stage_advance(stage, 200000);
    ingest.hold_acks = true;
    stage_advance(stage, 100000);
    assert_in_range(ingest.count, 290, 301);
    stage_fail(stage, "source:1");
    ingest.hold_acks = false;
    stage_advance(stage, 100000);
    assert_in_range(ingest.count, 390, 402);
    stage_advance(stage, 2000000);
    assert_int_equal(ingest.attaches, 2);
    assert_int_equal(ingest.count, 600);
    assert_int_equal(ingest.dones, 1);
    for (size_t i = 0; i < ingest.count; i++) {
        assert_int_equal(strtol(ingest.elements[i].text, NULL, 10), i);
        assert_int_equal(ingest.elements[i].time, ingest.elements[0].time + (int64_t)i * 1000);
    }
}

static void the_origin_is_the_first_start_even_if_nothing_was_recorded_then(void **state) {
    int64_t began = stage_now(*state);
    ingest.deaf = true;
    start(*state, (bytes_t){0});
    ingest.deaf = false;
    ingest.source = 0;
    stage_advance(*state, 1000000);
    assert_int_equal(ingest.attaches, 2);
    assert_int_equal(ingest.elements[0].time, began);
}

/* ---- bursts, sizes, disorder ---- */

static void a_burst_comes_at_once_and_the_rate_is_kept(void **state) {
    int64_t began = stage_now(*state);
    start(*state, pack("{sisi}", "rate", 100LL, "burst", 50LL));
    assert_int_equal(ingest.count, 50);
    stage_advance(*state, 499000);
    assert_int_equal(ingest.count, 50);
    stage_advance(*state, 2000);
    assert_int_equal(ingest.count, 100);
    for (size_t i = 0; i < ingest.count; i++) assert_int_equal(ingest.elements[i].time, began + (i < 50 ? 0 : 500000));
    assert_int_equal(ingest.watermark, began + 1000000);
    for (int i = 0; i < 100; i++) stage_advance(*state, 100001);
    assert_int_equal(ingest.count, 1100);
}

static void a_count_may_end_in_a_burst(void **state) {
    start(*state, pack("{sisisi}", "rate", 100LL, "burst", 50LL, "count", 60LL));
    stage_advance(*state, 1000000);
    assert_int_equal(ingest.count, 60);
    assert_int_equal(ingest.dones, 1);
}

static void what_is_left_of_a_burst_comes_at_once_after_a_restart(void **state) {
    bytes_t cursor = pack("[ii]", 75LL, 1000LL);
    memcpy(ingest.cursor, cursor.data, cursor.size);
    ingest.cursor_size = cursor.size;
    start(*state, pack("{sisi}", "rate", 100LL, "burst", 50LL));
    assert_int_equal(ingest.count, 25);
    assert_int_equal(strtol(ingest.elements[24].text, NULL, 10), 99);
    assert_int_equal(ingest.elements[24].time, 1000 + 500000);
    stage_advance(*state, 260000);
    assert_int_equal(ingest.count, 75);
}

static void sizes_are_drawn_from_the_seed(void **state) {
    static const size_t first[] = {21, 22, 22, 20, 20, 21};
    size_t seen[3] = {0};
    start(*state, pack("{sisisisi}", "rate", 0LL, "count", 3000LL, "size", 20LL, "size_max", 22LL));
    for (size_t i = 0; i < ingest.count; i++) {
        assert_in_range(ingest.elements[i].size, 20, 22);
        assert_int_equal(strtol(ingest.elements[i].text, NULL, 10), i);
        seen[ingest.elements[i].size - 20]++;
    }
    for (size_t i = 0; i < 3; i++) assert_in_range(seen[i], 900, 1100);
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) assert_int_equal(ingest.elements[i].size, first[i]);
}

static void elements_out_of_order_are_never_behind_the_watermark(void **state) {
    size_t inversions = 0;
    int64_t least = INT64_MAX, most = INT64_MIN;
    ingest.credit = 5000; /* many batches, so many watermarks */
    start(*state, pack("{sisisisi}", "rate", 0LL, "count", 5000LL, "origin_us", 7000000LL, "out_of_order_ms", 2LL));
    assert_true(ingest.batches > 100);
    for (size_t i = 0; i < ingest.count; i++) {
        int64_t before = 7000000 + (int64_t)i - ingest.elements[i].time;
        if (before < least) least = before;
        if (before > most) most = before;
        assert_true(ingest.elements[i].time >= ingest.elements[i].watermark);
        if (i > 0 && ingest.elements[i].time < ingest.elements[i - 1].time) inversions++;
    }
    assert_in_range(least, 0, 20);
    assert_in_range(most, 1980, 2000);
    assert_in_range(inversions, 2000, 3000);
    assert_int_equal(ingest.watermark, 7000000 + 5000 - 2000);
}

/* In the order in which they came; the state that takes them is another for each. */
static void late_share_take(void **state, int64_t credit, bool fails, ingest_element_t *ret_elements, size_t count) {
    stage_t *stage = *state;
    ingest.credit = credit;
    start(stage, pack("{sisisisisdsi}", "rate", 1000LL, "count", (int64_t)count, "origin_us", 0LL, "out_of_order_ms", 3LL, "late", 0.1,
                      "late_ms", 20LL));
    for (int i = 0; i < 30; i++) {
        if (fails) stage_fail(stage, "source:1");
        stage_advance(stage, 200000);
    }
    assert_int_equal(ingest.count, count);
    memcpy(ret_elements, ingest.elements, count * sizeof *ret_elements);
}

static void late_elements_are_behind_the_watermark_and_no_others_are(void **state) {
    enum { COUNT = 2000 };
    static ingest_element_t elements[COUNT];
    size_t late = 0;
    late_share_take(state, 1024 * 1024, false, elements, COUNT);
    for (int64_t i = 0; i < COUNT; i++) {
        int64_t behind = i * 1000 - 3000 - elements[i].time;
        assert_true((behind > 0) == (elements[i].time < elements[i].watermark));
        assert_true(behind <= 20000);
        late += behind > 0;
    }
    assert_in_range(late, 160, 240);
}

static void which_elements_are_late_is_the_same_whatever_happens(void **state) {
    enum { COUNT = 2000 };
    static ingest_element_t quiet[COUNT], stormy[COUNT];
    late_share_take(state, 1024 * 1024, false, quiet, COUNT);
    ingest_teardown(state);
    ingest_setup(state);
    late_share_take(state, 3000, true, stormy, COUNT);
    assert_true(ingest.attaches > 10);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(stormy[i].time, quiet[i].time);
        assert_int_equal(stormy[i].time < stormy[i].watermark, quiet[i].time < quiet[i].watermark);
    }
}

/* As with the elements' bytes: this must never change. */
static void disorder_is_a_function_of_the_seed_and_number(void **state) {
    start(*state, pack("{sisisisisisdsi}", "rate", 0LL, "count", 6LL, "seed", 7LL, "origin_us", 0LL, "out_of_order_ms", 1LL, "late", 0.5,
                       "late_ms", 1LL));
    static const int64_t times[] = {-12, -1023, -153, -158, -1088, -713};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) assert_int_equal(ingest.elements[i].time, times[i]);
}

static void a_stop_ends_it(void **state) {
    start(*state, (bytes_t){0});
    stage_advance(*state, 100000);
    ingest_do(*state, ingest_stop);
    size_t count = ingest.count;
    stage_advance(*state, 1000000);
    assert_int_equal(ingest.count, count);
}

static void a_cursor_of_something_else_fails_the_source(void **state) {
    static const uint8_t other[] = {0xa1, 'x'};
    memcpy(ingest.cursor, other, sizeof other);
    ingest.cursor_size = sizeof other;
    start(*state, (bytes_t){0});
    assert_string_equal(ingest.failure, "the cursor of the recording is not one of `reprise:source:generator:v1`");
    assert_int_equal(ingest.count, 0);
}

/* With such a number, its event time would be beyond int64. */
static void a_cursor_whose_time_would_overflow_fails_the_source(void **state) {
    bytes_t cursor = pack("[ii]", (1LL << 62) - 1, 0LL);
    memcpy(ingest.cursor, cursor.data, cursor.size);
    ingest.cursor_size = cursor.size;
    start(*state, pack("{sd}", "rate", 1e-6));
    assert_string_equal(ingest.failure, "the cursor of the recording is not one of `reprise:source:generator:v1`");
}

static void assert_payload_refused(bytes_t payload, const char *expected) {
    fault_t why = {.text = ""};
    assert_null(source_generator_class.create(NULL, ingest_args(payload), &why));
    if (!strstr(why.text, expected)) fail_msg("\"%s\" does not say \"%s\"", why.text, expected);
}

static void a_payload_that_makes_no_sense_is_refused_at_the_start(void **state) {
    (void)state;
    assert_payload_refused(pack("{ss}", "rate", "fast"), "`rate` must be a number, not text");
    assert_payload_refused(pack("{sd}", "rate", 1e-9), "`rate` must be 0, or 1e-06 to 1e+09, not 1e-09");
    assert_payload_refused(pack("{sd}", "rate", 2e9), "`rate` must be 0, or 1e-06 to 1e+09, not 2e+09");
    assert_payload_refused(pack("{si}", "size", 100000000LL), "`size` must be at most 15728640, not 100000000");
    assert_payload_refused(pack("{si}", "count", 0LL), "`count` must be");
    assert_payload_refused(pack("{si}", "origin_us", 1LL << 62), "`origin_us` must be within 2^62");
    assert_payload_refused(pack("{sisi}", "size", 9LL, "size_max", 8LL), "`size_max` must be from `size`, which is 9, to 15728640, not 8");
    assert_payload_refused(pack("{si}", "size_max", 99LL), "`size_max` must be from `size`, which is 100, to 15728640, not 99");
    assert_payload_refused(pack("{si}", "size_max", 100000000LL), "to 15728640, not 100000000");
    assert_payload_refused(pack("{si}", "burst", 0LL), "`burst` must be");
    assert_payload_refused(pack("{sdsi}", "rate", 1e-6, "burst", 5000000LL), "with a `rate` of 1e-06, a `burst` of 5000000 is too large");
    assert_payload_refused(pack("{si}", "burst", 2000000000LL), "`burst` must be at most 1000000000, not 2000000000");
    assert_payload_refused(pack("{si}", "out_of_order_ms", 1LL << 60), "`out_of_order_ms` must be at most 1152921504606846");
    assert_payload_refused(pack("{si}", "late_ms", 1LL << 60), "`late_ms` must be at most 1152921504606846");
    assert_payload_refused(pack("{sd}", "late", 1.5), "`late` must be a share from 0 to 1, not 1.5");
    assert_payload_refused(pack("{si}", "speed", 1LL), "no field `speed`");
    assert_payload_refused(pack("b", "x"), "must be a map of `rate`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_INGEST(elements_begin_with_their_number),
        WITH_INGEST(an_element_is_a_function_of_its_seed_and_number),
        WITH_INGEST(another_seed_makes_other_elements),
        WITH_INGEST(a_size_too_small_for_the_number_cuts_it),
        WITH_INGEST(elements_may_be_empty),
        WITH_INGEST(the_defaults_are_a_thousand_elements_of_a_hundred_bytes_a_second),
        WITH_INGEST(the_pace_does_not_drift),
        WITH_INGEST(a_slow_element_comes_when_it_is_due_and_not_before),
        WITH_INGEST(the_watermark_is_the_next_elements_event_time),
        WITH_INGEST(a_count_ends_the_source_once),
        WITH_INGEST(without_a_rate_it_fills_the_credit_with_large_batches),
        WITH_INGEST(what_credit_held_back_is_made_up_for),
        WITH_INGEST(a_restart_goes_on_exactly),
        WITH_INGEST(the_origin_is_the_first_start_even_if_nothing_was_recorded_then),
        WITH_INGEST(a_burst_comes_at_once_and_the_rate_is_kept),
        WITH_INGEST(a_count_may_end_in_a_burst),
        WITH_INGEST(what_is_left_of_a_burst_comes_at_once_after_a_restart),
        WITH_INGEST(sizes_are_drawn_from_the_seed),
        WITH_INGEST(elements_out_of_order_are_never_behind_the_watermark),
        WITH_INGEST(late_elements_are_behind_the_watermark_and_no_others_are),
        WITH_INGEST(which_elements_are_late_is_the_same_whatever_happens),
        WITH_INGEST(disorder_is_a_function_of_the_seed_and_number),
        WITH_INGEST(a_stop_ends_it),
        WITH_INGEST(a_cursor_whose_time_would_overflow_fails_the_source),
        WITH_INGEST(a_cursor_of_something_else_fails_the_source),
        WITH_INGEST(a_payload_that_makes_no_sense_is_refused_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
