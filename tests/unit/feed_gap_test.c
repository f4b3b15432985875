/* What a source says of what it lost, on its way to the recorder. */
#include "feed_source.h"

static void a_gap_goes_with_the_batch_that_comes_next(void **state) {
    script.gap = "the lines from 20 on were lost";
    script.gap_at = 20;
    script.lost_us = 1500;
    start(*state, 50);
    assert_recorded(50);
    assert_int_equal(ingest.gaps, 1);
    assert_string_equal(ingest.gap, script.gap);
    assert_int_equal(ingest.gap_lost_us, 1500);
    assert_int_equal(ingest.gap_at, 20);
    assert_int_equal(ingest.batches, 5);
}

static void a_gap_after_which_nothing_comes_is_a_batch_by_itself(void **state) {
    script.gap = "the end is missing";
    script.gap_at = 20;
    script.lost_us = -1;
    script.ends = true;
    start(*state, 20);
    assert_recorded(20);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_lost_us, -1);
    assert_int_equal(ingest.gap_at, 20);
    assert_int_equal(ingest.batches, 3);
    assert_int_equal(ingest.dones, 1);
}

/* Whoever resumes finds the hole again, or not. */
static void a_gap_that_was_not_sent_is_forgotten_with_the_attachment(void **state) {
    stage_t *stage = *state;
    start(stage, 20);
    script.gathers = true;
    script.gap = "a hole";
    script.gap_at = 20;
    go_on(stage, 25);
    script.gathers = false;
    script.gap = NULL;
    ingest_do(stage, nack_conflict);
    assert_int_equal(ingest.attaches, 2);
    assert_recorded(25);
    assert_int_equal(ingest.gaps, 0);
}

static void what_a_gap_says_is_text_of_a_bounded_size(void **state) {
    char text[2001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    text[3] = (char)0xff;
    script.gap = text;
    start(*state, 10);
    assert_int_equal(strlen(ingest.gap), FEED_GAP_MAX);
    assert_int_equal(ingest.gap[3], '?');
    assert_recorded(10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_gap_goes_with_the_batch_that_comes_next),
        TEST(a_gap_after_which_nothing_comes_is_a_batch_by_itself),
        TEST(a_gap_that_was_not_sent_is_forgotten_with_the_attachment),
        TEST(what_a_gap_says_is_text_of_a_bounded_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
