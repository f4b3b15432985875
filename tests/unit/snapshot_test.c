/* A snapshot spares the reading of what is before it, and nothing else: with any other than the right one, a recording is what it is without. */
#include "actors/store/snapshot.h"

#include "store.h"

#include "actors/store/sealed.h"
#include "messages/codec.h"

enum { SEGMENT_BYTES = 1 << 20, BETWEEN = SEGMENT_BYTES / 32, COUNT = 10, SIZE = 100 };

typedef struct story {
    store_t store;
    char path[SEGMENT_PATH_SIZE], segment[SEGMENT_PATH_SIZE];
    journal_totals_t totals;
    uint64_t seq;
} story_t;

static void story_append(story_t *story, journal_t *journal) {
    fault_t why;

    story->seq++;
    ok(store_append(journal, 0, START + (int64_t)story->seq, COUNT, SIZE, story->seq, &why), why);
    story->totals = *journal_totals(journal);
}

static bool story_has(const story_t *story) {
    return access(story->path, F_OK) == 0;
}

/* What the file says; it points into `zone` and into the file, which is to be freed. */
static uint8_t *story_read(const story_t *story, msgpack_zone *zone, msg_snapshot_t *ret_snapshot) {
    uint8_t *data = NULL;
    bytes_t map;
    refusal_t no;
    fault_t why;

    ok(sealed_read(story->path, &data, &map, &why), why);
    assert_int_equal(record_decode(RECORD_CLASS(snapshot), "snapshot", map, zone, ret_snapshot, &no), 0);
    return data;
}

static uint64_t story_length(const story_t *story) {
    msgpack_zone *zone = msgpack_zone_new(1024);
    msg_snapshot_t snapshot;
    uint8_t *data = story_read(story, zone, &snapshot);
    uint64_t length = (uint64_t)snapshot.length;

    msgpack_zone_free(zone);
    free(data);
    return length;
}

/* A recording with a snapshot and two records behind it. */
static journal_t *story_make(story_t *story, size_t streams) {
    *story = (story_t){0};
    store_make(&story->store, streams);
    snprintf(story->path, sizeof story->path, "%s/" SNAPSHOT_FILE, story->store.folder);

    journal_t *journal = store_journal(&story->store, SEGMENT_BYTES);

    snprintf(story->segment, sizeof story->segment, "%s", journal_segment_path(journal));
    while (!story_has(story)) story_append(story, journal);
    assert_int_equal(story_length(story), story->totals.length);
    story_append(story, journal);
    story_append(story, journal);
    return journal;
}

static void assert_is(const story_t *story, journal_t *journal) {
    const journal_totals_t *now = journal_totals(journal), *was = &story->totals;

    assert_int_equal(now->records, was->records);
    assert_int_equal(now->elements, was->elements);
    assert_int_equal(now->bytes, was->bytes);
    assert_int_equal(now->segment, was->segment);
    assert_int_equal(now->length, was->length);
    assert_int_equal(now->at, was->at);
    assert_int_equal(now->ended, was->ended);
    assert_memory_equal(&now->digest, &was->digest, sizeof was->digest);
    assert_int_equal(journal_stream(journal, 0)->elements, was->elements);
    assert_int_equal(journal_producer(journal, 0, "p")->seq, (int64_t)story->seq);
    assert_int_equal(journal_producer(journal, 0, "p")->watermark, was->at);
}

static journal_t *story_open(const story_t *story) {
    fault_t why;
    uint64_t torn;
    journal_t *journal = journal_open(story->store.folder, SEGMENT_BYTES, &torn, &why);

    if (!journal) fail_msg("%s", why.text);
    assert_int_equal(torn, 0);
    return journal;
}

/* A byte of the file's first record of elements is wrong. */
static void story_harm(const story_t *story) {
    record_view_t header;
    size_t size;
    uint8_t *bytes = file_read(story->segment, &size);

    assert_true(record_read((bytes_t){bytes, size}, true, &header) > 0);
    file_flip(story->segment, header.size + 50, 3);
    free(bytes);
}

static void what_is_before_it_is_not_read_again_and_what_is_behind_it_is(void **state) {
    story_t story;
    fault_t why;
    uint64_t torn;

    (void)state;
    journal_t *journal = story_make(&story, 1);
    journal_close(&journal);
    story_harm(&story);
    for (int round = 0; round < 2; round++) {
        journal = story_open(&story);
        assert_is(&story, journal);
        story_append(&story, journal);
        journal_close(&journal);
    }
    file_flip(story.segment, story_length(&story) + 60, 3);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "is damaged at byte"));
    store_remove(&story.store);
}

static void there_is_never_much_to_read(void **state) {
    story_t story;

    (void)state;
    journal_t *journal = story_make(&story, 1);
    while (journal_totals(journal)->segment == 0) {
        story_append(&story, journal);
        if (story.totals.segment > 0) break;
        assert_in_range(story.totals.length - story_length(&story), 0, BETWEEN);
    }
    uint64_t before = story_length(&story);
    journal_close(&journal);
    journal = story_open(&story); /* that of the segment before does not fit */
    assert_is(&story, journal);
    assert_false(story_has(&story));
    while (!story_has(&story)) story_append(&story, journal);
    assert_true(story_length(&story) < before);
    journal_close(&journal);
    journal = story_open(&story);
    assert_is(&story, journal);
    journal_close(&journal);
    store_remove(&story.store);
}

static void many_small_records_bring_one_too(void **state) {
    story_t story = {0};
    fault_t why;

    (void)state;
    store_make(&story.store, 1);
    snprintf(story.path, sizeof story.path, "%s/" SNAPSHOT_FILE, story.store.folder);
    journal_t *journal = store_journal(&story.store, BIG_SEGMENT);
    for (uint64_t seq = 1; seq < 5000; seq++) ok(store_append(journal, 0, START, 1, 1, seq, &why), why);
    assert_false(story_has(&story));
    ok(store_append(journal, 0, START, 1, 1, 5000, &why), why);
    assert_true(story_has(&story));
    journal_close(&journal);
    store_remove(&story.store);
}

static void a_large_one_comes_seldom(void **state) {
    story_t story = {0};
    fault_t why;
    uint64_t number = 0;

    (void)state;
    store_make(&story.store, 1);
    snprintf(story.path, sizeof story.path, "%s/" SNAPSHOT_FILE, story.store.folder);
    journal_t *journal = store_journal(&story.store, BIG_SEGMENT / 16);
    for (; number < 1000; number++) {
        char name[32];
        size_t size;
        uint8_t *elements = elements_make(1, 5, 1, &size);
        journal_meta_t meta = {.producer = name, .seq = 1};
        snprintf(name, sizeof name, "producer %llu", (unsigned long long)number);
        ok(journal_elements(journal, 0, START, 1, (bytes_t){elements, size}, &meta, 1, &why), why);
        free(elements);
    }
    while (!story_has(&story)) ok(store_append(journal, 0, START, 255, 200, ++number, &why), why);
    size_t size;
    uint64_t first = story_length(&story);
    free(file_read(story.path, &size));
    assert_true(size > 4096);
    while (story_length(&story) == first) ok(store_append(journal, 0, START, 255, 200, ++number, &why), why);
    assert_true(story_length(&story) - first >= 64 * (uint64_t)size);
    journal_close(&journal);
    store_remove(&story.store);
}

/* What the end may cost depends on where the last elements end, in a segment that is longer than it should be. */
static void what_the_end_costs_is_what_it_was(void **state) {
    enum { SHORT = 16384, MARKS = 30 };
    store_t store;
    fault_t why;
    uint64_t torn;

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, SHORT);
    ok(store_append(journal, 0, START, 255, 200, 1, &why), why);
    assert_true(journal_totals(journal)->length > 2 * (uint64_t)SHORT);
    for (int i = 0; i < MARKS; i++) ok(journal_watermark(journal, 0, START, START + i, &why), why);
    assert_int_equal(journal_totals(journal)->segment, 0);
    uint64_t cost = journal_closing_bytes(journal);
    journal_close(&journal);
    journal = journal_open(store.folder, SHORT, &torn, &why);
    assert_non_null(journal);
    assert_int_equal(journal_closing_bytes(journal), cost);
    journal_close(&journal);
    store_remove(&store);
}

static void none_is_left_once_the_recording_has_ended(void **state) {
    story_t story;
    fault_t why;

    (void)state;
    journal_t *journal = story_make(&story, 1);
    ok(journal_stream_ended(journal, 0, START + 100000, &why), why);
    assert_true(story_has(&story));
    ok(journal_ended(journal, START + 100000, &why), why);
    assert_false(story_has(&story));
    journal_close(&journal);
    store_remove(&story.store);
}

static size_t story_gaps(journal_t *journal) {
    size_t gaps;

    journal_gaps(journal, &gaps);
    return gaps;
}

static void story_gap(story_t *story, journal_t *journal) {
    fault_t why;

    ok(journal_gap_later(journal, 0, story->totals.at, "lost", -1, &why), why);
    story->totals = *journal_totals(journal);
}

/* Until there is another. */
static void story_go_on(story_t *story, journal_t *journal) {
    uint64_t before = story_length(story);

    while (story_length(story) == before) story_append(story, journal);
}

/* The first is in the manifest, the second in the snapshot alone, the third behind it. They look alike. */
static void gaps_are_there_once_each_wherever_they_are_told_of(void **state) {
    story_t story;
    fault_t why;

    (void)state;
    journal_t *journal = story_make(&story, 1);
    story_gap(&story, journal);
    ok(journal_save(journal, journal_manifest(journal), &why), why);
    story_gap(&story, journal);
    for (int round = 0; round < 2; round++) {
        story_go_on(&story, journal);
        story_gap(&story, journal);
        for (int again = 0; again < 2; again++) {
            journal_close(&journal);
            journal = story_open(&story);
            assert_is(&story, journal);
            assert_int_equal(story_gaps(journal), 3 + round);
        }
    }
    assert_true(story_has(&story));
    ok(journal_save(journal, journal_manifest(journal), &why), why); /* later than the snapshot */
    assert_int_equal(journal_manifest(journal)->gaps.count, 4);
    story_gap(&story, journal);
    journal_close(&journal);
    journal = story_open(&story);
    assert_is(&story, journal);
    assert_true(story_has(&story));
    assert_int_equal(story_gaps(journal), 5);
    journal_close(&journal);
    store_remove(&story.store);
}

/* Two gaps that look alike with no element between them: one before the snapshot, one behind it. */
static void a_gap_behind_it_is_not_taken_for_one_before_it(void **state) {
    story_t story;
    fault_t why;

    (void)state;
    journal_t *journal = story_make(&story, 1);
    story_gap(&story, journal);
    ok(journal_save(journal, journal_manifest(journal), &why), why);
    uint64_t before = story_length(&story);
    for (int64_t mark = 0; story_length(&story) == before; mark++)
        ok(journal_watermark(journal, 0, story.totals.at, START + mark, &why), why);
    story_gap(&story, journal);
    journal_close(&journal);
    journal = story_open(&story);
    assert_true(story_has(&story));
    assert_int_equal(story_gaps(journal), 2);
    journal_close(&journal);
    store_remove(&story.store);
}

/* ---- what does not fit ---- */

static void other_run(msg_snapshot_t *snapshot) {
    snapshot->run = "00000000000000000000000000000000";
}

static void other_format(msg_snapshot_t *snapshot) {
    snapshot->format++;
}

static void other_segment(msg_snapshot_t *snapshot) {
    snapshot->segment++;
}

static void behind_the_end(msg_snapshot_t *snapshot) {
    snapshot->length += BETWEEN;
    snapshot->header.bytes += BETWEEN;
}

static void within_a_record(msg_snapshot_t *snapshot) {
    snapshot->length++;
    snapshot->header.bytes++;
}

static void other_bytes(msg_snapshot_t *snapshot) {
    snapshot->header.bytes++;
}

static void other_number(msg_snapshot_t *snapshot) {
    snapshot->records--;
}

static void other_time(msg_snapshot_t *snapshot) {
    snapshot->at++;
}

static void other_last(msg_snapshot_t *snapshot) {
    snapshot->last++;
}

static void last_at_the_end(msg_snapshot_t *snapshot) {
    snapshot->last = snapshot->length;
}

static void last_in_the_header(msg_snapshot_t *snapshot) {
    snapshot->last = 1;
}

static void elements_end_behind(msg_snapshot_t *snapshot) {
    snapshot->elements_end = snapshot->length + 1;
}

static void elements_end_in_the_header(msg_snapshot_t *snapshot) {
    snapshot->elements_end = 1;
}

static void other_recording(msg_snapshot_t *snapshot) {
    snapshot->header.recording = "r2";
}

static void fewer_streams(msg_snapshot_t *snapshot) {
    snapshot->header.streams.count--;
}

static void short_digest(msg_snapshot_t *snapshot) {
    snapshot->header.digest.size--;
}

static void stream_of_nobody(msg_snapshot_t *snapshot) {
    snapshot->header.producers.items[0].stream = 2;
}

static void too_many_elements(msg_snapshot_t *snapshot) {
    snapshot->header.elements = INT64_MAX;
}

static void too_many_of_a_stream(msg_snapshot_t *snapshot) {
    snapshot->header.streams.items[1].elements = INT64_MAX;
}

static void gaps_of_nobody(msg_snapshot_t *snapshot) {
    snapshot->gaps_saved = 1;
}

static void one_that_does_not_fit_is_as_good_as_none(void **state) {
    static void (*const changes[])(msg_snapshot_t *) = {
        other_run,        other_format,       other_segment,        behind_the_end,
        within_a_record,  other_bytes,        other_time,           other_number,
        last_at_the_end,  last_in_the_header, elements_end_behind,  elements_end_in_the_header,
        other_last,       short_digest,       fewer_streams,        other_recording,
        stream_of_nobody, too_many_elements,  too_many_of_a_stream, gaps_of_nobody,
    };
    story_t story;

    (void)state;
    journal_t *journal = story_make(&story, 2);
    journal_close(&journal);
    size_t size;
    uint8_t *file = file_read(story.path, &size);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        msgpack_zone *zone = msgpack_zone_new(1024);
        msg_snapshot_t snapshot;
        msgpack_sbuffer out;
        fault_t why;

        file_write(story.path, file, size);
        uint8_t *data = story_read(&story, zone, &snapshot);
        changes[i](&snapshot);
        msgpack_sbuffer_init(&out);
        record_encode(RECORD_CLASS(snapshot), &snapshot, &out);
        sealed_close(&out);
        ok(sealed_overwrite(story.path, &out, false, &why), why);
        msgpack_sbuffer_destroy(&out);
        msgpack_zone_free(zone);
        free(data);

        journal = story_open(&story);
        assert_is(&story, journal);
        if (story_has(&story)) fail_msg("the change %zu is not noticed", i);
        journal_close(&journal);
    }
    for (size_t cut = 0; cut < size; cut++) {
        file_write(story.path, file, cut);
        journal = story_open(&story);
        assert_is(&story, journal);
        assert_false(story_has(&story));
        journal_close(&journal);
    }
    file_write(story.path, file, size);
    journal = story_open(&story);
    assert_is(&story, journal);
    assert_true(story_has(&story));
    journal_close(&journal);
    free(file);
    store_remove(&story.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_before_it_is_not_read_again_and_what_is_behind_it_is),
        cmocka_unit_test(there_is_never_much_to_read),
        cmocka_unit_test(many_small_records_bring_one_too),
        cmocka_unit_test(a_large_one_comes_seldom),
        cmocka_unit_test(what_the_end_costs_is_what_it_was),
        cmocka_unit_test(none_is_left_once_the_recording_has_ended),
        cmocka_unit_test(gaps_are_there_once_each_wherever_they_are_told_of),
        cmocka_unit_test(a_gap_behind_it_is_not_taken_for_one_before_it),
        cmocka_unit_test(one_that_does_not_fit_is_as_good_as_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
