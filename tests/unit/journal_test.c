#include "store.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "actors/store/record.h"

static void a_new_recording_has_a_manifest_and_a_segment_with_its_header(void **state) {
    store_t store;
    journal_t *journal;
    msg_manifest_t *manifest;
    uint64_t *numbers;
    size_t count;
    fault_t why;

    (void)state;
    store_make(&store, 2);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(manifest_read(store.folder, &manifest, &why), why);
    assert_string_equal(manifest->recording.recording, "r1");
    assert_int_equal(manifest->recording.streams.count, 2);
    manifest_free(&manifest);
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_int_equal(count, 1);
    assert_int_equal(numbers[0], 0);
    free(numbers);
    assert_int_equal(journal_totals(journal)->records, 1);
    assert_int_equal(journal_totals(journal)->at, START);
    assert_int_equal(journal_streams(journal), 2);
    journal_close(&journal);
    assert_null(journal);
    store_remove(&store);
}

static void a_recording_that_exists_is_not_created_over(void **state) {
    store_t store;
    journal_t *journal, *again;
    uint64_t torn;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 0, START, 3, 10, 1, &why), why);
    again = journal_create(store.folder, &store.manifest, START, BIG_SEGMENT, &why);
    assert_null(again);
    assert_non_null(strstr(why.text, store.folder));
    journal_close(&journal);
    journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
    assert_non_null(journal);
    assert_int_equal(journal_totals(journal)->elements, 3);
    journal_close(&journal);
    store_remove(&store); /* fails if anything half made were left beside it */
}

static void a_recording_that_cannot_be_created_leaves_nothing(void **state) {
    store_t store;
    char folder[700];
    fault_t why;

    (void)state;
    store_make(&store, 1);
    snprintf(folder, sizeof folder, "%s/nowhere/r1", store.data);
    assert_null(journal_create(folder, &store.manifest, START, BIG_SEGMENT, &why));
    assert_non_null(strstr(why.text, "nowhere"));
    assert_null(journal_create("r1", &store.manifest, START, BIG_SEGMENT, &why));
    store_remove(&store);
}

static void a_disk_that_fails_is_asked_before_each_append(void **state) {
    store_t store;
    journal_t *journal;
    disk_t disk = {.failing = 1, .error = ENOSPC};
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 0, START, 3, 10, 1, &why), why);
    uint64_t length = journal_totals(journal)->length;
    journal_set_disk(journal, &disk);
    assert_int_equal(store_append(journal, 0, START, 3, 10, 2, &why), -1);
    assert_non_null(strstr(why.text, "cannot append to"));
    assert_non_null(strstr(why.text, ".seg: No space left on device"));
    assert_int_equal(journal_totals(journal)->length, length);
    ok(journal_ended(journal, START, &why), why);
    assert_int_equal(journal_totals(journal)->elements, 3);
    journal_close(&journal);
    store_remove(&store);
}

static void the_totals_are_those_of_what_was_appended(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    size_t count;

    (void)state;
    store_make(&store, 2);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 1, START + 5, 3, 10, 1, &why), why);
    ok(store_append(journal, 0, START + 6, 4, 10, 1, &why), why);
    ok(store_append(journal, 1, START + 7, 5, 10, 2, &why), why);
    ok(journal_watermark(journal, 1, START + 8, -77, &why), why);
    ok(journal_stream_ended(journal, 0, START + 9, &why), why);
    assert_int_equal(journal_totals(journal)->elements, 12);
    assert_int_equal(journal_totals(journal)->records, 6);
    assert_int_equal(journal_totals(journal)->at, START + 9);
    assert_int_equal(journal_totals(journal)->bytes, journal_totals(journal)->length);
    assert_int_equal(journal_stream(journal, 0)->elements, 4);
    assert_true(journal_stream(journal, 0)->ended);
    assert_false(journal_stream(journal, 0)->has_watermark);
    assert_int_equal(journal_stream(journal, 1)->elements, 8);
    assert_false(journal_stream(journal, 1)->ended);
    assert_int_equal(journal_stream(journal, 1)->watermark, -77);

    const msg_producer_t *producer = journal_producer(journal, 1, "p");

    assert_int_equal(producer->seq, 2);
    assert_memory_equal(producer->cursor.data, "\xcd\0\2", 3);
    assert_int_equal(producer->watermark, START + 7);
    assert_int_equal(journal_producer(journal, 0, "p")->seq, 1);
    assert_null(journal_producer(journal, 0, "q"));
    assert_int_equal(journal_producers(journal, &count)[0].stream, 1);
    assert_int_equal(count, 2);
    journal_close(&journal);
    store_remove(&store);
}

static void the_time_of_a_record_is_never_earlier_than_that_before_it(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 0, START + 100, 1, 10, 1, &why), why);
    ok(store_append(journal, 0, START + 50, 1, 10, 2, &why), why);
    assert_int_equal(journal_totals(journal)->at, START + 100);
    journal_close(&journal);
    store_remove(&store);
}

static void a_segment_that_is_full_is_followed_by_one_named_by_its_first_record(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    uint64_t *numbers, bytes = 0;
    size_t count;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, 4096);
    for (uint64_t seq = 1; seq <= 50; seq++) ok(store_append(journal, 0, START, 10, 50, seq, &why), why);
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_in_range(count, 8, 20);
    for (size_t i = 0; i < count; i++) {
        char path[SEGMENT_PATH_SIZE];
        size_t size;
        record_view_t record;

        segment_path(store.folder, numbers[i], path);
        uint8_t *data = file_read(path, &size);

        assert_in_range(size, 1, 4096);
        assert_true(record_read((bytes_t){data, size}, true, &record) > 0);
        assert_int_equal(record.kind, RECORD_SEGMENT);
        assert_int_equal(record.number, numbers[i]);
        bytes += size;
        free(data);
    }
    assert_int_equal(numbers[count - 1], journal_totals(journal)->segment);
    assert_int_equal(bytes, journal_totals(journal)->bytes);
    free(numbers);
    journal_close(&journal);
    store_remove(&store);
}

static void a_batch_larger_than_a_segment_gets_one_of_its_own(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    uint64_t *numbers;
    size_t count;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, 4096);
    ok(store_append(journal, 0, START, 1, 10, 1, &why), why);
    ok(store_append(journal, 0, START, 100, 200, 2, &why), why);
    assert_in_range(journal_totals(journal)->length, 20000, 30000);
    ok(store_append(journal, 0, START, 1, 10, 3, &why), why);
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_int_equal(count, 3);
    free(numbers);
    journal_close(&journal);
    ok(folder_remove(store.folder, &why), why);
    journal = store_journal(&store, 4096); /* and where it is the first of all, the first segment */
    ok(store_append(journal, 0, START, 100, 200, 1, &why), why);
    assert_int_equal(journal_totals(journal)->segment, 0);
    journal_close(&journal);
    store_remove(&store);
}

static void what_an_append_will_cost_is_known_to_the_byte(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    char name[200];

    (void)state;
    store_make(&store, 2);
    journal = store_journal(&store, 4096);
    srand(1);
    for (int i = 0; i < 3000; i++) {
        uint8_t cursor[] = {0xce, 1, 2, 3, 4};
        size_t size, metas_count = (size_t)(rand() % 20);
        uint8_t *elements = elements_make((uint32_t)(rand() % 20), (uint8_t)(rand() % 200), 1, &size);
        journal_meta_t metas[20];

        memset(name, 'n', sizeof name);
        name[rand() % 199 + 1] = 0;
        for (size_t j = 0; j < metas_count; j++)
            metas[j] = (journal_meta_t){.producer = name + (rand() % 2 ? strlen(name) - 1 : 0),
                                        .seq = UINT64_C(1) << rand() % 63,
                                        .cursor = {cursor, rand() % 2 ? sizeof cursor : 0},
                                        .has_watermark = rand() % 2,
                                        .watermark = (rand() % 2 ? 1 : -1) * (INT64_C(1) << rand() % 63)};

        journal_run_t run = {.stream = (uint32_t)(rand() % 2),
                             .count = 1,
                             .elements = {elements, size},
                             .metas = metas,
                             .metas_count = metas_count,
                             .gap = {.what = rand() % 5 ? NULL : name,
                                     .lost_us = rand() % 2 ? -1 : INT64_C(1) << rand() % 63,
                                     .with = {.producer = name, .seq = UINT64_C(1) << rand() % 63}}};
        uint64_t expected = journal_bytes_after(journal, journal_gap_size(&run.gap) + size, metas, metas_count),
                 closing = journal_closing_bytes(journal);

        ok(journal_runs(journal, START + i, &run, 1, &why), why);
        assert_int_equal(journal_totals(journal)->bytes, expected);
        assert_true(journal_closing_bytes(journal) <= closing);
        free(elements);
    }
    journal_close(&journal);
    store_remove(&store);
}

/* From every state: elements, and runs of watermarks long enough to go past the slack. */
static void what_is_kept_back_is_enough_to_close_from_every_state(void **state) {
    (void)state;
    for (int records = 0; records < 400; records++) {
        store_t store;
        journal_t *journal;
        fault_t why;

        store_make(&store, 3);
        journal = store_journal(&store, 2048);
        for (int i = 0; i < records; i++) {
            if (i % 300 < 12)
                ok(store_append(journal, 1, START, 5, (uint8_t)(records % 100), (uint64_t)i + 1, &why), why);
            else
                ok(journal_watermark(journal, 1, START, INT64_MAX - i, &why), why);
        }

        uint64_t upto = journal_totals(journal)->bytes + journal_closing_bytes(journal);

        for (uint32_t stream = 0; stream < 3; stream++) {
            ok(journal_watermark(journal, stream, START, WATERMARK_MAX, &why), why);
            ok(journal_stream_ended(journal, stream, START, &why), why);
        }
        ok(journal_ended(journal, START, &why), why);
        assert_true(journal_totals(journal)->bytes <= upto);
        journal_close(&journal);
        store_remove(&store);
    }
}

static void a_run_of_watermarks_does_not_make_a_segment_grow_for_ever(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, 4096);
    for (int64_t i = 0; i < 5000; i++) {
        ok(journal_watermark(journal, 0, START, i, &why), why);
        assert_true(journal_totals(journal)->length < 2 * 4096 + 2048);
    }
    journal_close(&journal);
    store_remove(&store);
}

static void nothing_can_be_appended_after_the_end(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    uint64_t bytes, torn;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(journal_ended(journal, START + 1, &why), why);
    bytes = journal_totals(journal)->bytes;
    for (int round = 0; round < 2; round++) {
        assert_true(journal_totals(journal)->ended);
        assert_int_equal(store_append(journal, 0, START, 1, 1, 1, &why), -1);
        assert_int_equal(journal_watermark(journal, 0, START, 1, &why), -1);
        assert_int_equal(journal_ended(journal, START, &why), -1);
        assert_non_null(strstr(why.text, "has ended"));
        assert_int_equal(journal_totals(journal)->bytes, bytes);
        journal_close(&journal);
        journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
        assert_non_null(journal);
    }
    journal_close(&journal);
    store_remove(&store);
}

/* The largest file that the process may write stands in for a disk that is full. */
static void a_failed_append_leaves_the_file_as_it_was_and_the_recording_can_be_closed(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    struct rlimit before, tight;
    struct stat status;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 0, START, 10, 100, 1, &why), why);

    journal_totals_t totals = *journal_totals(journal);

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = totals.length + 500; /* the write is a short one first */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);

    int failed = store_append_with(journal, "a hole", 5, 0, START, 10, 100, 2, &why); /* there is room for the gap */

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(failed, -1);
    assert_non_null(strstr(why.text, "000000000000.seg: File too large"));
    assert_memory_equal(&totals, journal_totals(journal), sizeof totals);
    assert_int_equal(stat(journal_segment_path(journal), &status), 0);
    assert_int_equal(status.st_size, totals.length);
    assert_int_equal(journal_producer(journal, 0, "p")->seq, 1);
    assert_int_equal(store_append(journal, 0, START, 1, 1, 2, &why), -1);
    ok(journal_stream_ended(journal, 0, START, &why), why);
    ok(journal_ended(journal, START, &why), why);
    journal_close(&journal);

    uint64_t torn = 99;

    journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
    assert_non_null(journal);
    assert_int_equal(torn, 0);
    assert_true(journal_totals(journal)->ended);
    assert_int_equal(journal_totals(journal)->elements, 10);
    journal_close(&journal);
    store_remove(&store);
}

static void space_that_was_set_aside_is_given_back_at_the_end(void **state) {
    store_t store;
    uint64_t torn;
    journal_t *journal;
    fault_t why;
    struct stat status;
    char path[SEGMENT_PATH_SIZE];

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 0, START, 1, 1, 1, &why), why);
    snprintf(path, sizeof path, "%s", journal_segment_path(journal));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, journal_totals(journal)->length);
    if (status.st_blocks * 512 < INT64_C(1024) * 1024) print_message("this file system sets nothing aside\n");
    blkcnt_t blocks = status.st_blocks;
    journal_close(&journal);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_blocks, blocks); /* who goes on needs it */
    journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
    assert_non_null(journal);
    assert_int_equal(torn, 0);
    ok(store_append(journal, 0, START, 1, 1, 2, &why), why);
    ok(journal_ended(journal, START, &why), why);
    journal_close(&journal);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_blocks * 512 <= INT64_C(64) * 1024);
    store_remove(&store);
}

static void a_gap_is_in_the_log_and_in_the_manifest_at_once(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    msg_manifest_t *manifest;
    size_t count;

    (void)state;
    store_make(&store, 2);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(store_append(journal, 0, START, 5, 1, 1, &why), why);
    ok(journal_gap(journal, RECORD_STREAM_ALL, START + 1, "the engine restarted", 1234, &why), why);
    ok(journal_gap(journal, 1, START + 2, "the file was rotated", -1, &why), why);
    ok(manifest_read(store.folder, &manifest, &why), why);
    assert_int_equal(manifest->gaps.count, 2);
    assert_false(manifest->gaps.items[0].has_tag);
    assert_string_equal(manifest->gaps.items[0].what, "the engine restarted");
    assert_int_equal(manifest->gaps.items[0].lost_us, 1234);
    assert_int_equal(manifest->gaps.items[0].element, 5);
    assert_string_equal(manifest->gaps.items[1].tag, store.signatures[1]);
    assert_false(manifest->gaps.items[1].has_lost_us);
    manifest_free(&manifest);
    assert_string_equal(journal_gaps(journal, &count)[1].what, "the file was rotated");
    assert_int_equal(count, 2);
    assert_int_equal(journal_manifest(journal)->gaps.count, 2);
    journal_close(&journal);
    store_remove(&store);
}

static void saving_a_manifest_keeps_the_gaps_that_the_caller_does_not_know(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;
    msg_manifest_t manifest, *stored;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(journal_gap(journal, 0, START, "a hole", -1, &why), why);
    manifest = store.manifest;
    manifest.recording.state = "DONE";
    ok(journal_save(journal, &manifest, &why), why);
    ok(manifest_read(store.folder, &stored, &why), why);
    assert_string_equal(stored->recording.state, "DONE");
    assert_int_equal(stored->gaps.count, 1);
    assert_string_equal(journal_manifest(journal)->recording.state, "DONE");
    manifest_free(&stored);
    journal_close(&journal);
    store_remove(&store);
}

static void more_records_than_one_write_takes_are_whole(void **state) {
    enum { RUNS = 3000 };
    static journal_run_t runs[RUNS];
    const bytes_t element = {(const uint8_t *)"\x92\x01\xc4\x01z", 5};
    journal_meta_t meta = {.producer = "p"};
    store_t store;
    record_view_t record;
    position_t position = {0};
    fault_t why;

    (void)state;
    store_make(&store, 2);
    journal_t *journal = store_journal(&store, BIG_SEGMENT);
    for (uint32_t i = 0; i < RUNS; i++)
        runs[i] = (journal_run_t){.stream = i % 2,
                                  .count = 1,
                                  .elements = element,
                                  .metas = &meta,
                                  .metas_count = i % 3 == 0,
                                  .has_watermark = i % 5 == 0,
                                  .watermark = i,
                                  .gap = {.what = i % 7 ? NULL : "a hole", .lost_us = i, .with = meta}};
    ok(journal_runs(journal, START, runs, RUNS, &why), why);
    assert_int_equal(journal_totals(journal)->elements, RUNS);
    reader_t *reader = store_reader(&store, journal_totals(journal), BIG_SEGMENT);
    for (uint32_t i = 0; i < RUNS; i++) {
        assert_int_equal(reader_next(reader, &position, &record, &why), 1);
        if (i % 7 == 0) assert_int_equal(record.kind, RECORD_GAP);
        if (i % 7 == 0) assert_int_equal(reader_next(reader, &position, &record, &why), 1);
        assert_int_equal(record.kind, RECORD_ELEMENTS);
        assert_int_equal(record.stream, i % 2);
        assert_int_equal(record.meta.size > 0, i % 3 == 0);
        assert_int_equal(record.body.size, RECORD_BODY_HEAD + element.size);
        assert_memory_equal(record.body.data + RECORD_BODY_HEAD, element.data, element.size);
        if (i % 5 == 0) assert_int_equal(reader_next(reader, &position, &record, &why), 1);
        if (i % 5 == 0) assert_int_equal(record.kind, RECORD_WATERMARK);
    }
    assert_int_equal(reader_next(reader, &position, &record, &why), 0);
    reader_close(&reader);
    journal_close(&journal);
    store_remove(&store);
}

/* Whatever goes to the disk together is what it would be one by one. */
static void records_written_together_are_those_written_one_by_one(void **state) {
    enum { RUNS = 400 };
    store_t first, second;
    fault_t why;

    (void)state;
    store_make(&first, 3);
    store_make(&second, 3);

    journal_t *together = store_journal(&first, 4096), *alone = store_journal(&second, 4096);

    for (uint32_t done = 0, count; done < RUNS; done += count) {
        journal_run_t runs[20];
        journal_meta_t metas[20];
        uint8_t *elements[20];

        count = (uint32_t)(rand() % 20) + 1;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t n = (uint32_t)(rand() % 60);
            size_t size;

            elements[i] = elements_make(n, (uint8_t)(rand() % 100), (uint8_t)i, &size);
            metas[i] = (journal_meta_t){.producer = i % 2 ? "p" : "q", .seq = done + i};
            runs[i] = (journal_run_t){.stream = i % 3,
                                      .count = n,
                                      .elements = {elements[i], size},
                                      .metas = &metas[i],
                                      .metas_count = 1,
                                      .has_watermark = rand() % 2,
                                      .watermark = START + done + i,
                                      .gap = {.what = rand() % 5 ? NULL : "a hole", .lost_us = -1, .with = metas[i]}};
        }
        ok(journal_runs(together, START + done, runs, count, &why), why);
        for (uint32_t i = 0; i < count; i++) {
            journal_run_t *run = &runs[i];

            bool has_watermark = run->has_watermark;

            run->has_watermark = false;
            ok(journal_runs(alone, START + done, run, 1, &why), why);
            if (has_watermark) ok(journal_watermark(alone, run->stream, START + done, run->watermark, &why), why);
            free(elements[i]);
        }
    }
    assert_memory_equal(&journal_totals(together)->digest, &journal_totals(alone)->digest, sizeof(digest_t));
    assert_int_equal(journal_totals(together)->records, journal_totals(alone)->records);
    assert_int_equal(journal_totals(together)->bytes, journal_totals(alone)->bytes);
    assert_int_equal(journal_totals(together)->segment, journal_totals(alone)->segment);
    assert_true(journal_totals(together)->segment > 10);
    journal_close(&together);
    journal_close(&alone);
    store_remove(&first);
    store_remove(&second);
}

/* Cursors are values of any shape, and a header has those of all producers: more values together than any message may have. */
static void a_header_of_any_number_of_values_is_read_again(void **state) {
    enum { VALUES = 60000, PRODUCERS = 20 };
    static uint8_t cursor[3 + VALUES] = {0xdc, VALUES >> 8, VALUES & 0xff};
    store_t store;
    uint64_t torn;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, 4096);
    for (int i = 0; i < PRODUCERS; i++) {
        char name[16];

        snprintf(name, sizeof name, "p%d", i);
        ok(journal_elements(journal, 0, START, 0, (bytes_t){0}, &(journal_meta_t){name, 1, {cursor, sizeof cursor}, false, 0}, 1, &why),
           why);
    }
    journal_totals_t totals = *journal_totals(journal);
    journal_close(&journal);
    journal = journal_open(store.folder, 4096, &torn, &why);
    if (!journal) fail_msg("%s", why.text);
    assert_int_equal(journal_totals(journal)->records, totals.records);
    assert_int_equal(journal_producer(journal, 0, "p0")->cursor.size, sizeof cursor);
    journal_close(&journal);
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_recording_has_a_manifest_and_a_segment_with_its_header),
        cmocka_unit_test(a_recording_that_exists_is_not_created_over),
        cmocka_unit_test(a_recording_that_cannot_be_created_leaves_nothing),
        cmocka_unit_test(a_disk_that_fails_is_asked_before_each_append),
        cmocka_unit_test(the_totals_are_those_of_what_was_appended),
        cmocka_unit_test(the_time_of_a_record_is_never_earlier_than_that_before_it),
        cmocka_unit_test(a_segment_that_is_full_is_followed_by_one_named_by_its_first_record),
        cmocka_unit_test(a_batch_larger_than_a_segment_gets_one_of_its_own),
        cmocka_unit_test(what_an_append_will_cost_is_known_to_the_byte),
        cmocka_unit_test(what_is_kept_back_is_enough_to_close_from_every_state),
        cmocka_unit_test(a_run_of_watermarks_does_not_make_a_segment_grow_for_ever),
        cmocka_unit_test(nothing_can_be_appended_after_the_end),
        cmocka_unit_test(a_failed_append_leaves_the_file_as_it_was_and_the_recording_can_be_closed),
        cmocka_unit_test(space_that_was_set_aside_is_given_back_at_the_end),
        cmocka_unit_test(a_gap_is_in_the_log_and_in_the_manifest_at_once),
        cmocka_unit_test(saving_a_manifest_keeps_the_gaps_that_the_caller_does_not_know),
        cmocka_unit_test(a_header_of_any_number_of_values_is_read_again),
        cmocka_unit_test(more_records_than_one_write_takes_are_whole),
        cmocka_unit_test(records_written_together_are_those_written_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
