/* A gap and the batch that it came with: how the reel takes them, that they are written as one, and that a crash takes both or neither. What
 * comes of a crash at any byte is recovery_cuts_test's. */
#include "reeled.h"

#include "actors/store/record.h"

/* ---- taking ---- */

static const msg_gap_t *gaps_of(const bench_t *bench, size_t expected) {
    size_t count;
    const msg_gap_t *gaps = journal_gaps(bench->reel->journal, &count);
    assert_int_equal(count, expected);
    return gaps;
}

static void a_gap_comes_before_the_elements_of_its_batch_and_after_all_others(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 2, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *b = reel_producer(bench.reel, 1, "b");
    put(&bench, b, 1, 10);
    put_with(&bench, a, 2, 10, (reel_batch_t){.gap = "a hole", .lost_us = 77}, 0);
    put(&bench, a, 3, 10);
    put_with(&bench, a, 0, 10, (reel_batch_t){.gap = "another", .lost_us = -1}, 0);
    flush(&bench);
    assert_string_equal(records(&bench), "e1@1 gap e5@0 gap e0@0");
    const msg_gap_t *gaps = gaps_of(&bench, 2);
    assert_string_equal(gaps[0].tag, bench.store.signatures[0]);
    assert_string_equal(gaps[0].what, "a hole");
    assert_int_equal(gaps[0].lost_us, 77);
    assert_int_equal(gaps[0].element, 1);
    assert_false(gaps[1].has_lost_us);
    assert_int_equal(gaps[1].element, 6);
    assert_int_equal(journal_producer(bench.reel->journal, 0, "a")->seq, 3);
    bench_close(&bench);
}

/* The process dies before they are: the batch comes again, or one that has its number, before which more was lost. */
static void a_gap_is_recorded_with_its_batch_and_not_before(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    put(&bench, reel_producer(bench.reel, 0, "a"), 1, 10);
    flush(&bench);
    put_with(&bench, reel_producer(bench.reel, 0, "a"), 2, 10, (reel_batch_t){.gap = "one is missing", .lost_us = 5}, 0);
    for (int i = 0; i < 2; i++) {
        bench_reopen(&bench);
        gaps_of(&bench, 0);
        assert_int_equal(reel_producer(bench.reel, 0, "a")->seq, 1);
        put_with(&bench, reel_producer(bench.reel, 0, "a"), 2, 10, (reel_batch_t){.gap = "3001 are missing", .lost_us = 6}, 0);
    }
    flush(&bench);
    assert_string_equal(records(&bench), "e1@0 gap e2@0");
    bench_reopen(&bench);
    assert_string_equal(gaps_of(&bench, 1)[0].what, "3001 are missing");
    assert_int_equal(reel_producer(bench.reel, 0, "a")->seq, 2);
    bench_close(&bench);
}

/* What a large batch says of its gap goes with it, too, and a watermark that was due comes before both. */
static void a_gap_stands_behind_the_watermark_that_was_due_before_it(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    reel_attach(bench.reel, a);
    put_with(&bench, a, 2, 10, (reel_batch_t){.has_watermark = true, .watermark = 4}, 0);
    put_with(&bench, a, 3, 10, (reel_batch_t){.gap = "a hole", .lost_us = -1, .has_watermark = true, .watermark = 6}, 0);
    put_with(&bench, a, 1000, 100, (reel_batch_t){.gap = "another", .lost_us = -1, .has_watermark = true, .watermark = 7}, 0);
    flush(&bench);
    assert_string_equal(records(&bench), "e2@0 w4@0 gap e3@0 w6@0 gap e1000@0 w7@0");
    bench_close(&bench);
}

static void a_gap_that_does_not_fit_spends_the_bytes_and_leaves_the_batch(void **state) {
    bench_t bench;
    char text[900];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    bench_limit(&bench, (reel_budget_t){LIMIT_NONE, 2300, LIMIT_NONE, INT64_MAX});
    put(&bench, a, 1, 10);
    assert_null(bench.reel->spent);
    put_with(&bench, a, 1, 10, (reel_batch_t){.gap = text}, 0);
    assert_string_equal(bench.reel->spent, "bytes");
    assert_int_equal(a->seq, 1);
    ok(reel_end(bench.reel, 0, &bench.why), bench.why);
    assert_string_equal(records(&bench), "e1@0 end");
    gaps_of(&bench, 0);
    bench_close(&bench);
}

static void a_gap_that_fits_without_its_batch_is_left_out_with_it(void **state) {
    bench_t bench;
    uint32_t counts[] = {0, 1}, none = 0, many = 0;
    (void)state;
    for (int64_t limit = 1300; limit < 2300; limit += 23)
        for (size_t i = 0; i < 2; i++) {
            bench_open(&bench, 1, BIG_SEGMENT);
            reel_producer_t *a = reel_producer(bench.reel, 0, "a");
            bench_limit(&bench, (reel_budget_t){LIMIT_NONE, limit, LIMIT_NONE, INT64_MAX});
            bool spent = bench.reel->spent;
            if (!spent) put_with(&bench, a, counts[i], 200, (reel_batch_t){.gap = "a hole", .lost_us = 1}, 0);
            flush(&bench);
            assert_string_equal(records(&bench), a->seq == 0 ? "" : i == 0 ? "gap e0@0" : "gap e1@0");
            if (a->seq == 0) assert_string_equal(bench.reel->spent, "bytes");
            gaps_of(&bench, a->seq);
            none += a->seq == 0 && !spent;
            many += a->seq > 0;
            bench_close(&bench);
        }
    assert_true(none > 10 && many > 10);
}

static void a_gap_after_the_last_moment_is_not_recorded(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    bench_limit(&bench, (reel_budget_t){LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, START + 1000});
    put_with(&bench, reel_producer(bench.reel, 0, "a"), 1, 10, (reel_batch_t){.gap = "a hole"}, 1001);
    assert_string_equal(bench.reel->spent, "duration");
    gaps_of(&bench, 0);
    bench_close(&bench);
}

/* ---- writing ---- */

/* Of whatever sizes they are, and wherever a segment ends. */
static void a_gap_and_its_elements_are_never_in_two_segments(void **state) {
    enum { BATCHES = 600 };
    store_t store;
    uint64_t *numbers;
    size_t count;
    fault_t why;

    (void)state;
    store_make(&store, 2);
    journal_t *journal = store_journal(&store, 4096);
    srand(2);
    for (uint64_t seq = 1; seq <= BATCHES; seq++) {
        ok(store_append_with(journal, rand() % 2 ? "a hole" : NULL, 7, 1, START, (uint32_t)(rand() % 9), (uint8_t)(rand() % 200), seq,
                             &why),
           why);
        if (rand() % 3 == 0) ok(journal_watermark(journal, 0, START, (int64_t)seq, &why), why);
    }
    assert_true(journal_totals(journal)->segment > 50);
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    for (size_t i = 0; i < count; i++) {
        char path[SEGMENT_PATH_SIZE];
        record_view_t record;
        size_t size;
        bool waits = false;

        segment_path(store.folder, numbers[i], path);

        uint8_t *bytes = file_read(path, &size);

        for (size_t at = 0; at < size; at += record.size) {
            assert_true(record_read((bytes_t){bytes + at, size - at}, true, &record) > 0);
            if (waits) assert_int_equal(record.kind, RECORD_ELEMENTS);
            waits = record.kind == RECORD_GAP;
        }
        assert_false(waits);
        free(bytes);
    }
    free(numbers);
    journal_close(&journal);
    store_remove(&store);
}

/* ---- finding again ---- */

/* Where the first gap of a segment ends; `ret_gap` is that. */
static size_t gap_end(const uint8_t *bytes, size_t size, record_view_t *ret_gap) {
    size_t at = 0;
    do {
        assert_true(record_read((bytes_t){bytes + at, size - at}, true, ret_gap) > 0);
        at += ret_gap->size;
    } while (ret_gap->kind != RECORD_GAP);
    return at;
}

/* Recordings that an earlier version wrote can have such a gap with something else behind it. */
static void a_gap_whose_batch_never_came_counts_unless_it_is_the_last_record(void **state) {
    store_t store;
    fault_t why;
    size_t size, count, at;
    uint64_t torn;
    char path[SEGMENT_PATH_SIZE];
    record_view_t record;

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 0, START, 2, 50, 1, &why), why);
    uint64_t before = journal_totals(journal)->length;
    ok(store_append_with(journal, "a hole", 5, 0, START, 2, 50, 2, &why), why);
    journal_close(&journal);
    segment_path(store.folder, 0, path);
    uint8_t *bytes = file_read(path, &size);
    at = gap_end(bytes, size, &record);
    file_write(path, bytes, at);
    journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
    assert_non_null(journal);
    assert_int_equal(torn, record.size);
    assert_int_equal(journal_totals(journal)->length, before);
    journal_gaps(journal, &count);
    assert_int_equal(count, 0);
    journal_close(&journal);

    record_view_t next = {.kind = RECORD_WATERMARK, .number = record.number + 1, .at = START};
    uint8_t head[RECORD_HEAD_SIZE], body_head[RECORD_OVERHEAD - RECORD_HEAD_SIZE];
    bytes_t body = {(const uint8_t *)"\x07", 1};
    record_seal(&next, &body, 1, head, body_head);
    memcpy(bytes + at, head, sizeof head);
    memcpy(bytes + at + sizeof head, body_head, sizeof body_head);
    memcpy(bytes + at + sizeof head + sizeof body_head, body.data, body.size);
    file_write(path, bytes, at + RECORD_OVERHEAD + body.size);
    journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
    assert_non_null(journal);
    assert_int_equal(torn, 0);
    assert_string_equal(journal_gaps(journal, &count)[0].what, "a hole");
    assert_int_equal(count, 1);
    assert_int_equal(journal_producer(journal, 0, "p")->seq, 1);
    journal_close(&journal);
    free(bytes);
    store_remove(&store);
}

/* It is not cut off with its batch where valid records follow. */
static void a_bad_record_behind_a_gap_is_damage_at_its_own_place(void **state) {
    store_t store;
    fault_t why;
    size_t size, at;
    uint64_t torn;
    char path[SEGMENT_PATH_SIZE], place[64];
    record_view_t record;

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append_with(journal, "a hole", 5, 0, START, 2, 50, 1, &why), why);
    ok(store_append(journal, 0, START, 2, 50, 2, &why), why);
    journal_close(&journal);
    segment_path(store.folder, 0, path);
    uint8_t *bytes = file_read(path, &size);
    at = gap_end(bytes, size, &record);
    file_flip(path, at + RECORD_OVERHEAD + 30, 3);
    snprintf(place, sizeof place, "is damaged at byte %zu", at);
    assert_null(journal_open(store.folder, BIG_SEGMENT, &torn, &why));
    assert_non_null(strstr(why.text, place));
    free(bytes);
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gap_comes_before_the_elements_of_its_batch_and_after_all_others),
        cmocka_unit_test(a_gap_is_recorded_with_its_batch_and_not_before),
        cmocka_unit_test(a_gap_stands_behind_the_watermark_that_was_due_before_it),
        cmocka_unit_test(a_gap_that_does_not_fit_spends_the_bytes_and_leaves_the_batch),
        cmocka_unit_test(a_gap_that_fits_without_its_batch_is_left_out_with_it),
        cmocka_unit_test(a_gap_after_the_last_moment_is_not_recorded),
        cmocka_unit_test(a_gap_and_its_elements_are_never_in_two_segments),
        cmocka_unit_test(a_gap_whose_batch_never_came_counts_unless_it_is_the_last_record),
        cmocka_unit_test(a_bad_record_behind_a_gap_is_damage_at_its_own_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
