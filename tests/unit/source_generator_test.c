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
        WITH_INGEST(a_stop_ends_it),
        WITH_INGEST(a_cursor_of_something_else_fails_the_source),
        WITH_INGEST(a_payload_that_makes_no_sense_is_refused_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
