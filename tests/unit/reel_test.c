/* A recording while it is being written: joining, cutting at a budget, watermarks, and what is found again. */
#include "reeled.h"

/* ---- joining ---- */

static void small_batches_of_one_stream_become_one_record(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *b = reel_producer(bench.reel, 0, "b");
    for (int i = 0; i < 10; i++) put(&bench, a, 3, 100);
    put(&bench, b, 2, 100);
    assert_int_equal(totals(&bench)->elements, 0);
    flush(&bench);
    assert_string_equal(records(&bench), "e32@0");
    assert_int_equal(journal_producer(bench.reel->journal, 0, "a")->seq, 10);
    assert_int_equal(journal_producer(bench.reel->journal, 0, "b")->seq, 1);
    bench_close(&bench);
}

static void another_stream_begins_another_record(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 2, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *b = reel_producer(bench.reel, 1, "a");
    put(&bench, a, 1, 10);
    put(&bench, b, 2, 10);
    put(&bench, a, 3, 10);
    flush(&bench);
    assert_string_equal(records(&bench), "e1@0 e2@1 e3@0");
    bench_close(&bench);
}

/* A write can be cut short between any two of its records: each must say no more than what is before it. */
static void each_record_of_a_write_says_how_far_its_producers_were_then(void **state) {
    bench_t bench;
    uint8_t first[] = {0xa2, 'c', '1'}, second[] = {7};
    (void)state;
    bench_open(&bench, 2, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *b = reel_producer(bench.reel, 1, "b");
    reel_attach(bench.reel, a);
    put_with(&bench, a, 1, 10, (reel_batch_t){.cursor = {first, 3}, .has_watermark = true, .watermark = 3}, 0);
    put(&bench, b, 2, 10);
    flush(&bench);
    put_with(&bench, a, 1, 10, (reel_batch_t){.cursor = {second, 1}, .has_watermark = true, .watermark = 4}, 0);
    put(&bench, b, 2, 10);
    put_with(&bench, a, 3, 10, (reel_batch_t){.cursor = {first, 3}, .has_watermark = true, .watermark = 9}, 0);
    flush(&bench);
    assert_string_equal(records(&bench), "e1@0 w3@0 e2@1 e1@0 w4@0 e2@1 e3@0 w9@0");
    assert_int_equal(journal_producer(bench.reel->journal, 0, "a")->seq, 3);
    char path[SEGMENT_PATH_SIZE];
    snprintf(path, sizeof path, "%s", journal_segment_path(bench.reel->journal));
    uint64_t length = totals(&bench)->length - 60; /* into the last elements: the watermark after them is 46 bytes long */
    reel_close(&bench.reel);
    assert_int_equal(truncate(path, (off_t)length), 0);
    uint64_t torn = 0;
    bench.reel = reel_open(bench.store.folder, START, 0, BIG_SEGMENT, &bench.ledger, &torn, &bench.why);
    if (!bench.reel) fail_msg("%s", bench.why.text);
    assert_true(torn > 0);
    a = reel_producer(bench.reel, 0, "a");
    assert_int_equal(a->seq, 2);
    assert_int_equal(a->watermark, 4);
    assert_int_equal(reel_cursor(bench.reel, a).size, 1);
    assert_int_equal(reel_producer(bench.reel, 1, "b")->seq, 2);
    bench_close(&bench);
}

static void a_record_of_small_batches_is_no_larger_than_the_target(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    for (int i = 0; i < 9; i++) put(&bench, a, 500, 88); /* 50000 bytes each */
    flush(&bench);
    assert_string_equal(records(&bench), "e2500@0 e2000@0");
    bench_close(&bench);
}

static void a_large_batch_is_a_record_by_itself(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    put(&bench, a, 1, 100);
    put(&bench, a, 1000, 88);
    assert_int_equal(totals(&bench)->elements, 1001);
    put(&bench, a, 1, 100);
    flush(&bench);
    assert_string_equal(records(&bench), "e1@0 e1000@0 e1@0");
    bench_close(&bench);
}

/* ---- budgets ---- */

static void a_batch_over_the_count_is_cut_at_the_element(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    bench_limit(&bench, (reel_budget_t){5, LIMIT_NONE, LIMIT_NONE, INT64_MAX});
    uint8_t first[] = {1}, second[] = {2};
    put_with(&bench, a, 3, 10, (reel_batch_t){.cursor = {first, 1}}, 0);
    assert_null(bench.reel->spent);
    put_with(&bench, a, 3, 10, (reel_batch_t){.cursor = {second, 1}}, 0);
    assert_string_equal(bench.reel->spent, "count");
    assert_int_equal(totals(&bench)->elements, 5);
    assert_int_equal(a->accepted, 2);
    assert_true(a->cut);
    assert_memory_equal(reel_cursor(bench.reel, a).data, first, 1);
    assert_memory_equal(journal_producer(bench.reel->journal, 0, "a")->cursor.data, first, 1);
    bench_close(&bench);
}

static void the_last_element_of_the_count_spends_it(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    bench_limit(&bench, (reel_budget_t){5, LIMIT_NONE, LIMIT_NONE, INT64_MAX});
    put(&bench, a, 5, 10);
    assert_string_equal(bench.reel->spent, "count");
    assert_int_equal(a->accepted, 5);
    assert_false(a->cut);
    flush(&bench);
    assert_int_equal(totals(&bench)->elements, 5);
    bench_close(&bench);
}

/* Whatever the limit: never over it, and no element left out that would have fitted. */
static void no_byte_is_over_the_limit_and_none_is_wasted(void **state) {
    (void)state;
    for (int64_t limit = 1200; limit < 9000; limit += 37) {
        bench_t bench;
        bench_open(&bench, 2, 2000);
        reel_producer_t *producers[] = {reel_producer(bench.reel, 0, "a"), reel_producer(bench.reel, 1, "b"),
                                        reel_producer(bench.reel, 0, "another-with-a-longer-name")};
        for (int i = 0; i < 3; i++) reel_attach(bench.reel, producers[i]);
        bench_limit(&bench, (reel_budget_t){LIMIT_NONE, limit, LIMIT_NONE, INT64_MAX});
        unsigned random = (unsigned)limit;
        for (int i = 0; !bench.reel->spent; i++) {
            random = random * 1103515245 + 12345;
            uint8_t cursor[9] = {0xcf, 1, (uint8_t)i};
            reel_producer_t *producer = producers[random >> 16 & 1 ? 0 : random >> 17 & 1 ? 1 : 2];
            uint64_t before = producer->seq;
            put_with(&bench, producer, 1 + (random >> 20) % 9, 50,
                     (reel_batch_t){.cursor = {cursor, sizeof cursor},
                                    .has_watermark = true,
                                    .watermark = i,
                                    .gap = random >> 25 & 3 ? NULL : "the connection was lost",
                                    .lost_us = i},
                     0);
            assert_true(producer->seq == before || producer->accepted > 0);
            if (random >> 24 & 1) flush(&bench);
        }
        assert_string_equal(bench.reel->spent, "bytes");
        int64_t before = (int64_t)totals(&bench)->bytes;
        for (int i = 0; i < 2; i++)
            ok(reel_gap(bench.reel, "the engine was restarted, and 12345678 bytes at its end were cut off", 1000000, 0, &bench.why),
               bench.why);
        for (uint32_t i = 0; i < 2; i++) ok(reel_end_stream(bench.reel, i, 0, &bench.why), bench.why);
        ok(reel_end(bench.reel, 0, &bench.why), bench.why);
        assert_in_range(totals(&bench)->bytes, 0, limit > 2500 ? limit : INT64_MAX);
        /* what is left is kept for closing, for a recovery, for a header's growth, and is less than another record */
        if (limit > 4000) assert_in_range(before, limit - (2 * REEL_RESERVE + 1400), limit);
        bench_close(&bench);
    }
}

static void an_empty_batch_that_does_not_fit_spends_the_bytes(void **state) {
    bench_t bench;
    uint8_t cursor[800] = {0xc5, 797 >> 8, 797 & 0xff};
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    bench_limit(&bench, (reel_budget_t){LIMIT_NONE, 2300, LIMIT_NONE, INT64_MAX});
    put(&bench, a, 1, 10);
    assert_null(bench.reel->spent);
    put_with(&bench, a, 0, 0, (reel_batch_t){.cursor = {cursor, sizeof cursor}}, 0);
    assert_string_equal(bench.reel->spent, "bytes");
    assert_int_equal(a->seq, 1);
    bench_close(&bench);
}

static void recordings_share_the_bytes_of_all(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    bench.ledger.held += 50000; /* another's */
    bench_limit(&bench, (reel_budget_t){LIMIT_NONE, LIMIT_NONE, 60000, INT64_MAX});
    while (!bench.reel->spent) put(&bench, a, 3, 100);
    assert_string_equal(bench.reel->spent, "bytes");
    ok(reel_end(bench.reel, 0, &bench.why), bench.why);
    assert_in_range(totals(&bench)->bytes, 7000, 10000);
    bench.ledger.held -= 50000;
    bench_close(&bench);
}

static void a_budget_that_is_over_already_is_spent_at_once(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    put(&bench, reel_producer(bench.reel, 0, "a"), 5, 10);
    bench_limit(&bench, (reel_budget_t){4, LIMIT_NONE, LIMIT_NONE, INT64_MAX});
    assert_string_equal(bench.reel->spent, "count");
    assert_int_equal(totals(&bench)->elements, 5);
    bench_close(&bench);
}

static void no_record_is_later_than_the_end(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    bench_limit(&bench, (reel_budget_t){LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, START + 1000});
    put_with(&bench, a, 1, 10, (reel_batch_t){0}, 1000);
    assert_null(bench.reel->spent);
    put_with(&bench, a, 1, 10, (reel_batch_t){0}, 1001);
    assert_string_equal(bench.reel->spent, "duration");
    assert_int_equal(a->seq, 1);
    ok(reel_end(bench.reel, 5000, &bench.why), bench.why);
    assert_string_equal(records(&bench), "e1@0 end");
    assert_int_equal(totals(&bench)->at, START + 1000);
    bench_close(&bench);
}

static void time_does_not_go_back(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    put_with(&bench, reel_producer(bench.reel, 0, "a"), 1, 10, (reel_batch_t){0}, 0);
    ok(reel_flush(bench.reel, 7000, &bench.why), bench.why);
    reel_set_clock(bench.reel, START + 10, 8000);
    assert_int_equal(reel_at(bench.reel, 8000), START + 7000);
    assert_int_equal(reel_at(bench.reel, 8005), START + 7005);
    bench_close(&bench);
}

/* ---- watermarks ---- */

static void promise(bench_t *bench, reel_producer_t *producer, int64_t watermark) {
    put_with(bench, producer, 1, 10, (reel_batch_t){.has_watermark = true, .watermark = watermark}, 0);
    flush(bench);
}

static void a_streams_watermark_is_its_producers_oldest(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *b = reel_producer(bench.reel, 0, "b");
    reel_attach(bench.reel, a);
    reel_attach(bench.reel, b);
    promise(&bench, a, 5); /* b has promised nothing yet */
    promise(&bench, b, 3);
    promise(&bench, a, 9); /* b is the older one */
    promise(&bench, b, 2); /* taken back: ignored */
    promise(&bench, b, 7);
    assert_string_equal(records(&bench), "e1@0 e1@0 w3@0 e1@0 e1@0 e1@0 w7@0");
    bench_close(&bench);
}

static void who_cannot_come_back_holds_no_watermark(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *own = reel_producer(bench.reel, 0, "~1");
    reel_attach(bench.reel, a);
    reel_attach(bench.reel, own);
    promise(&bench, own, 3);
    promise(&bench, a, 9);
    reel_detach(bench.reel, own);
    flush(&bench);
    reel_detach(bench.reel, a);
    flush(&bench);
    assert_string_equal(records(&bench), "e1@0 e1@0 w3@0 w9@0");
    bench_close(&bench);
}

/* Elements of these tests have the times 0, 1, … */
static void what_was_late_comes_behind_the_watermark_that_it_was_behind(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 2, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *b = reel_producer(bench.reel, 1, "b");
    reel_attach(bench.reel, a);
    reel_attach(bench.reel, b);
    put_with(&bench, a, 4, 10, (reel_batch_t){.has_watermark = true, .watermark = 0}, 0);
    put_with(&bench, a, 2, 10, (reel_batch_t){.has_watermark = true, .watermark = 1}, 0);
    put(&bench, a, 5, 10);
    put(&bench, a, 6, 10);
    put_with(&bench, b, 1, 10, (reel_batch_t){.has_watermark = true, .watermark = 3}, 0);
    put(&bench, b, 1, 10);
    flush(&bench);
    assert_string_equal(records(&bench), "e6@0 w1@0 e11@0 e1@1 w3@1 e1@1");
    bench_close(&bench);
}

static void what_is_late_once_another_has_left_comes_behind_the_watermark(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 2, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a"), *own = reel_producer(bench.reel, 0, "~1"),
                    *b = reel_producer(bench.reel, 1, "b");
    reel_attach(bench.reel, a);
    reel_attach(bench.reel, own);
    promise(&bench, a, 5);
    put(&bench, b, 1, 10);
    reel_detach(bench.reel, own);
    put(&bench, a, 1, 10);
    flush(&bench);
    assert_string_equal(records(&bench), "e1@0 e1@1 w5@0 e1@0");
    bench_close(&bench);
}

static void an_end_says_the_watermarks_that_are_due(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 2, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 1, "a");
    reel_attach(bench.reel, a);
    put_with(&bench, a, 1, 10, (reel_batch_t){.has_watermark = true, .watermark = 4}, 0);
    ok(reel_end_stream(bench.reel, 1, 0, &bench.why), bench.why);
    ok(reel_end(bench.reel, 0, &bench.why), bench.why);
    assert_string_equal(records(&bench), "e1@1 w4@1 x@1 end");
    assert_true(reel_is_sealed(bench.reel));
    bench_close(&bench);
}

/* ---- what is found again ---- */

static void producers_go_on_from_where_they_were(void **state) {
    bench_t bench;
    uint8_t cursor[] = {0xa1, 'c'};
    (void)state;
    bench_open(&bench, 2, BIG_SEGMENT);
    reel_producer_t *a = reel_producer(bench.reel, 1, "a");
    put_with(&bench, a, 1, 10, (reel_batch_t){.cursor = {cursor, 2}, .has_watermark = true, .watermark = 4}, 0);
    put(&bench, a, 1, 10);
    flush(&bench);
    put(&bench, a, 1, 10); /* not appended: lost */
    bench_reopen(&bench);
    a = reel_producer(bench.reel, 1, "a");
    assert_int_equal(a->seq, 2);
    assert_true(a->has_watermark);
    assert_int_equal(a->watermark, 4);
    assert_int_equal(reel_cursor(bench.reel, a).size, 2);
    assert_int_equal(reel_cursor(bench.reel, reel_producer(bench.reel, 1, "b")).size, 2);
    assert_int_equal(reel_cursor(bench.reel, reel_producer(bench.reel, 0, "a")).size, 0);
    bench_close(&bench);
}

static void an_empty_batch_keeps_its_number_and_cursor(void **state) {
    bench_t bench;
    uint8_t cursor[] = {7};
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    put_with(&bench, reel_producer(bench.reel, 0, "a"), 0, 10, (reel_batch_t){.cursor = {cursor, 1}}, 0);
    flush(&bench);
    bench_reopen(&bench);
    assert_int_equal(reel_producer(bench.reel, 0, "a")->seq, 1);
    assert_int_equal(reel_producer(bench.reel, 0, "a")->cursor_size, 1);
    bench_close(&bench);
}

static void who_never_sent_and_cannot_come_back_is_forgotten(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    reel_producer_t *own = reel_producer(bench.reel, 0, "~1");
    reel_attach(bench.reel, own);
    reel_detach(bench.reel, own);
    assert_int_equal(bench.reel->producers_count, 0);
    bench_close(&bench);
}

static void segments_left_behind_are_remembered_for_the_disk(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, 2000);
    reel_producer_t *a = reel_producer(bench.reel, 0, "a");
    for (int i = 0; i < 4; i++) {
        put(&bench, a, 10, 100);
        flush(&bench);
    }
    assert_int_equal(bench.reel->finished_count, 3);
    assert_string_not_equal(bench.reel->finished_paths[0], bench.reel->finished_paths[1]);
    assert_string_equal(bench.reel->segment_path, journal_segment_path(bench.reel->journal));
    for (int i = 0; i < 8; i++) put(&bench, a, 10, 100); /* one append, and several segments */
    flush(&bench);
    for (int i = 0; i < 2; i++) {
        uint64_t *numbers;
        size_t count;
        ok(segment_list(bench.store.folder, &numbers, &count, &bench.why), bench.why);
        assert_int_equal(bench.reel->finished_count, count - 1);
        for (size_t j = 0; j + 1 < count; j++) {
            char path[SEGMENT_PATH_SIZE];
            segment_path(bench.store.folder, numbers[j], path);
            assert_string_equal(bench.reel->finished_paths[j], path);
        }
        free(numbers);
        bench_reopen(&bench); /* whoever wrote them before may not have brought them to the disk */
    }
    bench_close(&bench);
}

static void who_came_and_left_without_a_batch_costs_nothing(void **state) {
    bench_t bench;
    (void)state;
    bench_open(&bench, 1, BIG_SEGMENT);
    int64_t cost = bench.reel->header_cost;
    for (int i = 0; i < 10; i++) {
        reel_producer_t *producer = reel_producer(bench.reel, 0, "~1");
        reel_attach(bench.reel, producer);
        reel_detach(bench.reel, producer);
    }
    assert_int_equal(bench.reel->header_cost, cost);
    bench_close(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_batches_of_one_stream_become_one_record),
        cmocka_unit_test(another_stream_begins_another_record),
        cmocka_unit_test(each_record_of_a_write_says_how_far_its_producers_were_then),
        cmocka_unit_test(a_record_of_small_batches_is_no_larger_than_the_target),
        cmocka_unit_test(a_large_batch_is_a_record_by_itself),
        cmocka_unit_test(a_batch_over_the_count_is_cut_at_the_element),
        cmocka_unit_test(the_last_element_of_the_count_spends_it),
        cmocka_unit_test(no_byte_is_over_the_limit_and_none_is_wasted),
        cmocka_unit_test(an_empty_batch_that_does_not_fit_spends_the_bytes),
        cmocka_unit_test(recordings_share_the_bytes_of_all),
        cmocka_unit_test(a_budget_that_is_over_already_is_spent_at_once),
        cmocka_unit_test(no_record_is_later_than_the_end),
        cmocka_unit_test(time_does_not_go_back),
        cmocka_unit_test(a_streams_watermark_is_its_producers_oldest),
        cmocka_unit_test(who_cannot_come_back_holds_no_watermark),
        cmocka_unit_test(what_was_late_comes_behind_the_watermark_that_it_was_behind),
        cmocka_unit_test(what_is_late_once_another_has_left_comes_behind_the_watermark),
        cmocka_unit_test(an_end_says_the_watermarks_that_are_due),
        cmocka_unit_test(producers_go_on_from_where_they_were),
        cmocka_unit_test(an_empty_batch_keeps_its_number_and_cursor),
        cmocka_unit_test(who_never_sent_and_cannot_come_back_is_forgotten),
        cmocka_unit_test(segments_left_behind_are_remembered_for_the_disk),
        cmocka_unit_test(who_came_and_left_without_a_batch_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
