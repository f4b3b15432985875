#include "store.h"

#include <pthread.h>

#include "actors/store/record.h"

enum { SEGMENT_BYTES = 4096 };

static int next(reader_t *reader, position_t *position, record_view_t *ret_record) {
    fault_t why;
    int got = reader_next(reader, position, ret_record, &why);

    if (got < 0) fail_msg("%s", why.text);
    return got;
}

/* Elements, watermarks and gaps of three streams, over many segments. */
static void journal_fill(journal_t *journal, unsigned seed, int records) {
    fault_t why;
    int64_t at = journal_totals(journal)->at;

    srand(seed);
    for (int i = 0; i < records; i++) {
        uint32_t stream = (uint32_t)(rand() % 3);

        at += (int64_t)(rand() % 4) * 10;
        if (rand() % 8 == 0)
            ok(journal_watermark(journal, stream, at, at + rand() % 100, &why), why);
        else
            ok(store_append(journal, stream, at, (uint32_t)(rand() % 10), (uint8_t)(rand() % 100), (uint64_t)i + 1, &why), why);
    }
}

static void the_records_come_in_their_order_without_the_headers_of_segments(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0};
    record_view_t record;
    uint64_t number = 0, elements = 0, records = 0;
    int64_t at = 0;

    (void)state;
    store_make(&store, 3);
    journal = store_journal(&store, SEGMENT_BYTES);
    journal_fill(journal, 1, 200);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    while (next(reader, &position, &record)) {
        assert_true(record.number > number && record.number <= number + 2); /* one more where a header stands between */
        assert_true(record.at >= at);
        assert_int_not_equal(record.kind, RECORD_SEGMENT);
        number = record.number;
        at = record.at;
        elements += record.count;
        records++;
        assert_int_equal(position.element, elements);
    }
    assert_int_equal(records, 200);
    assert_int_equal(elements, journal_totals(journal)->elements);
    assert_int_equal(next(reader, &position, &record), 0);
    reader_close(&reader);
    journal_close(&journal);
    store_remove(&store);
}

static void writer_recovery_and_a_fold_over_the_reader_have_one_digest(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0};
    record_view_t record;
    digest_t digest = {{0}}, written;
    uint64_t torn;
    fault_t why;

    (void)state;
    store_make(&store, 3);
    journal = store_journal(&store, SEGMENT_BYTES);
    journal_fill(journal, 2, 200);
    ok(journal_gap(journal, RECORD_STREAM_ALL, 0, "a hole", 5, &why), why);
    written = journal_totals(journal)->digest;
    journal_close(&journal);
    journal = journal_open(store.folder, SEGMENT_BYTES, &torn, &why);
    assert_non_null(journal);
    assert_memory_equal(journal_totals(journal)->digest.bytes, written.bytes, sizeof written.bytes);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    while (next(reader, &position, &record))
        digest_fold(&digest, record.kind, record.stream == RECORD_STREAM_ALL ? "" : store.signatures[record.stream], record.at,
                    record.count, &record.body, 1);
    assert_memory_equal(digest.bytes, written.bytes, sizeof written.bytes);
    reader_close(&reader);
    journal_close(&journal);
    store_remove(&store);
}

static void a_reader_follows_what_is_published_and_never_looks_past_it(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0};
    record_view_t record;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, SEGMENT_BYTES);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    assert_int_equal(next(reader, &position, &record), 0);
    for (uint64_t seq = 1; seq <= 100; seq++) {
        ok(store_append(journal, 0, START, 3, seq % 7 == 0 ? 250 : 20, seq, &why), why);
        assert_int_equal(next(reader, &position, &record), 0);
        if (seq % 9 < 7) continue; /* several segments may have come in the meantime */

        const journal_totals_t *totals = journal_totals(journal);

        reader_publish(reader, totals->segment, totals->length, totals->elements);
        while (position.element < totals->elements) assert_int_equal(next(reader, &position, &record), 1);
    }
    reader_close(&reader);
    journal_close(&journal);
    store_remove(&store);
}

/* The first map is of a segment's usual size: one that outgrows it is mapped again, and what was lent from the old map stays. */
static void a_record_larger_than_a_segment_is_read_and_what_was_held_stays(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0};
    record_view_t small, record;
    fault_t why;
    size_t size = (size_t)3 * 1024 * 1024;
    uint8_t *payload = calloc(1, size);
    bytes_t part = {payload, size};
    void *held;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, 64);
    reader = store_reader(&store, journal_totals(journal), 64);
    assert_int_equal(next(reader, &position, &record), 0);
    ok(store_append(journal, 0, START, 1, 5, 1, &why), why);
    reader_publish(reader, journal_totals(journal)->segment, journal_totals(journal)->length, 1);
    assert_int_equal(next(reader, &position, &small), 1);
    held = reader_hold(reader);
    payload[0] = 0x92;
    payload[1] = 1;
    payload[2] = 0xc6;
    payload[3] = (uint8_t)((size - 7) >> 24);
    payload[4] = (uint8_t)((size - 7) >> 16);
    payload[5] = (uint8_t)((size - 7) >> 8);
    payload[6] = (uint8_t)(size - 7);
    ok(journal_elements(journal, 0, START, 1, part, NULL, 0, &why), why);
    reader_publish(reader, journal_totals(journal)->segment, journal_totals(journal)->length, 2);
    assert_int_equal(next(reader, &position, &record), 1);
    assert_int_equal(record.body.size, size + 5);
    reader_close(&reader);
    assert_int_equal(small.body.data[4], 1);
    reader_release(NULL, held);
    free(payload);
    journal_close(&journal);
    store_remove(&store);
}

static void *release(void *held) {
    reader_release(NULL, held);
    return NULL;
}

static void what_is_lent_outlives_the_reader_and_the_recording(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0};
    record_view_t record;
    fault_t why;
    void *held[2];
    uint8_t *copy;
    pthread_t thread;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, SEGMENT_BYTES);
    ok(store_append(journal, 0, START, 3, 100, 1, &why), why);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    journal_close(&journal);
    assert_int_equal(next(reader, &position, &record), 1);
    held[0] = reader_hold(reader);
    held[1] = reader_hold(reader);
    copy = malloc(record.body.size);
    assert_non_null(copy);
    memcpy(copy, record.body.data, record.body.size);
    ok(folder_drop(store.data, "r1", &why), why);
    while (folder_sweep(store.data, &why) > 0) continue;
    position = (position_t){0};
    assert_int_equal(next(reader, &position, &record), 1);
    reader_close(&reader);
    assert_int_equal(pthread_create(&thread, NULL, release, held[0]), 0);
    pthread_join(thread, NULL);
    assert_memory_equal(record.body.data, copy, record.body.size);
    reader_release((void *)(uintptr_t)record.body.data, held[1]);
    free(copy);
    store_remove(&store);
}

static void any_flipped_bit_is_found_by_whoever_reads_across_it(void **state) {
    store_t store;
    journal_t *journal;
    uint64_t *numbers;
    size_t count;
    fault_t why;

    (void)state;
    store_make(&store, 3);
    journal = store_journal(&store, 1024);
    journal_fill(journal, 3, 12);

    journal_totals_t totals = *journal_totals(journal);

    journal_close(&journal);
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_true(count > 2);
    for (size_t i = 0; i < count; i++) {
        char path[SEGMENT_PATH_SIZE];
        size_t size;

        segment_path(store.folder, numbers[i], path);
        free(file_read(path, &size));
        for (size_t bit = 0; bit < 8 * size; bit++) {
            position_t position = {0};
            record_view_t record;
            int got;

            file_flip(path, bit / 8, (int)(bit % 8));
            reader_t *reader = store_reader(&store, &totals, 1024);

            while ((got = reader_next(reader, &position, &record, &why)) > 0)
                assert_true(record.number < numbers[i] || position.segment == i);
            assert_int_equal(got, -1);
            assert_non_null(strstr(why.text, strrchr(path, '/') + 1));
            reader_close(&reader);
            file_flip(path, bit / 8, (int)(bit % 8));
        }
    }
    free(numbers);
    store_remove(&store);
}

static void a_segment_that_was_cut_at_a_record_is_damage_where_it_ends(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0}, place = {0};
    record_view_t record;
    fault_t why;
    char path[SEGMENT_PATH_SIZE];
    int got;

    (void)state;
    store_make(&store, 3);
    journal = store_journal(&store, SEGMENT_BYTES);
    journal_fill(journal, 4, 60);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    for (int i = 0; i < 3; i++) assert_int_equal(next(reader, &place, &record), 1);
    reader_close(&reader);
    segment_path(store.folder, 0, path);
    assert_int_equal(truncate(path, (off_t)place.offset), 0);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    while ((got = reader_next(reader, &position, &record, &why)) > 0) assert_int_equal(position.segment, 0);
    assert_int_equal(got, -1);
    assert_non_null(strstr(why.text, "000000000000.seg is damaged at byte"));
    assert_int_equal(position.offset, place.offset);
    reader_close(&reader);
    journal_close(&journal);
    store_remove(&store);
}

/* A mapped file that lost its pages gives SIGBUS, as a disk that cannot read them does. */
static void a_read_error_under_the_map_is_a_fault_and_not_a_crash(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0};
    record_view_t record;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    for (uint64_t seq = 1; seq <= 20; seq++) ok(store_append(journal, 0, START, 10, 250, seq, &why), why);
    reader = store_reader(&store, journal_totals(journal), BIG_SEGMENT);
    assert_int_equal(next(reader, &position, &record), 1);
    assert_int_equal(truncate(journal_segment_path(journal), 8192), 0);
    for (int round = 0; round < 3; round++) {
        int got;

        while ((got = reader_next(reader, &position, &record, &why)) > 0)
            ;
        assert_int_equal(got, -1);
        assert_non_null(strstr(why.text, "the disk reports an error"));
    }
    reader_close(&reader);
    journal_close(&journal);
    store_remove(&store);
}

typedef struct place {
    uint64_t number, element; /* of the record, and elements before it */
    int64_t at;
    uint32_t count;
    position_t before;
} place_t;

static size_t places_read(reader_t *reader, place_t **ret_places) {
    place_t *places = NULL;
    size_t count = 0;
    position_t position = {0};
    record_view_t record;

    for (;;) {
        position_t before = position;

        if (!next(reader, &position, &record)) break;
        places = realloc(places, (count + 1) * sizeof *places);
        assert_non_null(places);
        places[count++] = (place_t){record.number, position.element - record.count, record.at, record.count, before};
    }
    *ret_places = places;
    return count;
}

static void assert_place_is(reader_t *reader, position_t position, const place_t *places, size_t index, size_t count, uint64_t elements) {
    record_view_t record;

    assert_int_equal(position.element, index < count ? places[index].element : elements);
    if (index == count) {
        assert_int_equal(next(reader, &position, &record), 0);
        return;
    }
    assert_int_equal(next(reader, &position, &record), 1);
    assert_int_equal(record.number, places[index].number);
}

/* Small records in small segments, and large ones in one that has many marks; readers that have read all before, and fresh ones. */
static void a_seek_finds_what_a_walk_from_the_beginning_finds(void **state) {
    static const struct {
        int64_t segment_bytes;
        int records;
    } shapes[] = {{2048, 300}, {BIG_SEGMENT, 3000}, {600000, 4000}};

    (void)state;
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        store_t store;
        place_t *places;
        fault_t why;

        store_make(&store, 3);
        journal_t *journal = store_journal(&store, shapes[shape].segment_bytes);

        journal_fill(journal, 5, shapes[shape].records);
        const journal_totals_t *totals = journal_totals(journal);
        reader_t *read = store_reader(&store, totals, shapes[shape].segment_bytes);
        size_t count = places_read(read, &places);

        srand(6);
        for (int i = 0; i < 600; i++) {
            reader_t *fresh = store_reader(&store, totals, shapes[shape].segment_bytes), *reader = i % 2 ? read : fresh;
            uint64_t element = (uint64_t)rand() % (totals->elements + 2);
            int64_t at = START + rand() % (totals->at - START + 20) - 10;
            position_t position = {0};
            size_t index = 0;

            ok(reader_seek_element(reader, element, &position, &why), why);
            while (index < count && places[index].element + places[index].count <= element) index++;
            assert_place_is(reader, position, places, index, count, totals->elements);

            ok(reader_seek_time(reader, at, &position, &why), why);
            for (index = 0; index < count && places[index].at < at;) index++;
            assert_place_is(reader, position, places, index, count, totals->elements);
            reader_close(&fresh);
        }
        free(places);
        reader_close(&read);
        journal_close(&journal);
        store_remove(&store);
    }
}

static void the_watermarks_at_a_place_are_the_last_ones_before_it(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t position = {0};
    record_view_t record;
    int64_t expected[3] = {0}, found[3];
    bool has_expected[3] = {false}, has[3];
    fault_t why;

    (void)state;
    store_make(&store, 3);
    journal = store_journal(&store, SEGMENT_BYTES);
    journal_fill(journal, 7, 300);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    for (int got = 1; got > 0; got = next(reader, &position, &record)) {
        if (position.offset > 0 && record.kind == RECORD_WATERMARK) {
            int64_t value = 0;

            assert_int_equal(record.body.data[0], 0xcf); /* these are large: in nine bytes */
            for (size_t i = 1; i < 9; i++) value = value << 8 | record.body.data[i];
            expected[record.stream] = value;
            has_expected[record.stream] = true;
        }
        ok(reader_watermarks(reader, &position, 3, found, has, &why), why);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(has[i], has_expected[i]);
            if (has[i]) assert_true(found[i] == expected[i]);
        }
    }
    assert_true(has[0] && has[1] && has[2]);
    reader_close(&reader);
    journal_close(&journal);
    store_remove(&store);
}

/* The places that a seek starts from lie far apart in a large segment: what is before them is passed over, but a watermark there counts. */
static void a_flipped_bit_of_a_watermark_that_a_seek_passes_over_is_found(void **state) {
    store_t store;
    position_t position = {0};
    int64_t found[1];
    bool has[1];
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, BIG_SEGMENT);

    ok(journal_watermark(journal, 0, START, 5, &why), why);
    size_t from = journal_totals(journal)->length;

    ok(journal_watermark(journal, 0, START, 6, &why), why);
    size_t to = journal_totals(journal)->length;

    for (uint64_t seq = 1; seq <= 250; seq++) ok(store_append(journal, 0, START, 10, 250, seq, &why), why);
    for (size_t bit = 8 * from; bit < 8 * to; bit++) {
        reader_t *reader;
        int result;

        file_flip(journal_segment_path(journal), bit / 8, (int)(bit % 8));
        reader = store_reader(&store, journal_totals(journal), BIG_SEGMENT);
        result = reader_seek_element(reader, 2495, &position, &why);
        if (result == 0) result = reader_watermarks(reader, &position, 1, found, has, &why);
        if (result == 0) fail_msg("bit %zu of the record: the watermark is %lld", bit - 8 * from, (long long)found[0]);
        reader_close(&reader);
        file_flip(journal_segment_path(journal), bit / 8, (int)(bit % 8));
    }
    journal_close(&journal);
    store_remove(&store);
}

/* Of the process, of segment files. */
static size_t maps_count(void) {
    char line[1024];
    size_t count = 0;
    FILE *file = fopen("/proc/self/maps", "r");

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) count += strstr(line, ".seg") != NULL;
    fclose(file);
    return count;
}

static void a_long_recording_is_never_mapped_as_a_whole(void **state) {
    store_t store;
    journal_t *journal;
    reader_t *reader;
    position_t first = {0}, second = {0};
    record_view_t record;
    uint64_t sum[2] = {0, 0};
    uint64_t *numbers;
    size_t count;
    fault_t why;

    (void)state;
    store_make(&store, 3);
    journal = store_journal(&store, SEGMENT_BYTES);
    journal_fill(journal, 8, 1000);
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_true(count > 60);
    free(numbers);
    reader = store_reader(&store, journal_totals(journal), SEGMENT_BYTES);
    while (next(reader, &first, &record)) sum[0] += record.checksum;
    assert_in_range(maps_count(), 1, 20);
    while (next(reader, &second, &record)) { /* while others read elsewhere */
        sum[1] += record.checksum;
        ok(reader_seek_element(reader, journal_totals(journal)->elements - 1, &first, &why), why);
        assert_int_equal(next(reader, &first, &record), 1);
        ok(reader_seek_element(reader, second.element / 2, &first, &why), why);
        assert_int_equal(next(reader, &first, &record), 1);
    }
    assert_true(sum[0] == sum[1]);
    assert_in_range(maps_count(), 1, 20);
    reader_close(&reader);
    assert_int_equal(maps_count(), 0);
    journal_close(&journal);
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* The first: the guard is installed by a process's first map, and cmocka puts its own handler in its place before each test. */
        cmocka_unit_test(a_read_error_under_the_map_is_a_fault_and_not_a_crash),
        cmocka_unit_test(the_records_come_in_their_order_without_the_headers_of_segments),
        cmocka_unit_test(writer_recovery_and_a_fold_over_the_reader_have_one_digest),
        cmocka_unit_test(a_reader_follows_what_is_published_and_never_looks_past_it),
        cmocka_unit_test(a_record_larger_than_a_segment_is_read_and_what_was_held_stays),
        cmocka_unit_test(what_is_lent_outlives_the_reader_and_the_recording),
        cmocka_unit_test(any_flipped_bit_is_found_by_whoever_reads_across_it),
        cmocka_unit_test(a_segment_that_was_cut_at_a_record_is_damage_where_it_ends),
        cmocka_unit_test(a_seek_finds_what_a_walk_from_the_beginning_finds),
        cmocka_unit_test(the_watermarks_at_a_place_are_the_last_ones_before_it),
        cmocka_unit_test(a_flipped_bit_of_a_watermark_that_a_seek_passes_over_is_found),
        cmocka_unit_test(a_long_recording_is_never_mapped_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
