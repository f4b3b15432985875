#include "store.h"

#include "actors/store/record.h"

enum { SEGMENT_BYTES = 1024 };

/* A recording of several segments that has ended, its digest in the manifest. */
static journal_totals_t recording_make(store_t *store) {
    fault_t why;
    char digest[33];
    journal_t *journal;
    journal_totals_t totals;
    msg_manifest_t manifest;

    store_make(store, 2);
    journal = store_journal(store, SEGMENT_BYTES);
    for (uint64_t seq = 1; seq <= 12; seq++) ok(store_append(journal, (uint32_t)(seq % 2), START + (int64_t)seq, 3, 40, seq, &why), why);
    ok(journal_watermark(journal, 0, START + 20, 12345, &why), why);
    ok(journal_gap(journal, RECORD_STREAM_ALL, START + 20, "a hole", 5, &why), why);
    ok(journal_stream_ended(journal, 0, START + 21, &why), why);
    ok(journal_ended(journal, START + 22, &why), why);
    totals = *journal_totals(journal);
    digest_text(&totals.digest, digest);
    manifest = store->manifest;
    manifest.has_digest = true;
    manifest.digest = digest;
    ok(journal_save(journal, &manifest, &why), why);
    journal_close(&journal);
    return totals;
}

static verify_t *verify_all(const store_t *store, const journal_totals_t *totals, size_t step) {
    fault_t why;
    verify_t *verify = verify_open(store->folder, totals->segment, totals->length, &why);
    int more = 1;

    if (!verify) fail_msg("%s", why.text);
    while (more > 0) ok(more = verify_step(verify, step, &why), why);
    return verify;
}

static void assert_intact(const store_t *store, const journal_totals_t *totals) {
    verify_t *verify = verify_all(store, totals, SIZE_MAX);
    const msg_recording_verified_t *result = verify_result(verify);

    if (result->damage.count > 0)
        fail_msg("%s at %lld: %s", result->damage.items[0].segment, (long long)result->damage.items[0].offset,
                 result->damage.items[0].what);
    assert_true(result->intact);
    assert_int_equal(result->records, totals->records);
    assert_int_equal(result->elements, totals->elements);
    assert_int_equal(result->bytes, totals->bytes);
    verify_close(&verify);
}

/* Its first damage must be in that file, no later than `offset`. */
static void assert_damaged(const store_t *store, const journal_totals_t *totals, const char *file, size_t offset) {
    verify_t *verify = verify_all(store, totals, SIZE_MAX);
    const msg_recording_verified_t *result = verify_result(verify);

    assert_false(result->intact);
    assert_true(result->damage.count > 0);
    assert_string_equal(result->damage.items[0].segment, file);
    assert_true((size_t)result->damage.items[0].offset <= offset);
    verify_close(&verify);
}

static void a_recording_that_is_whole_is_intact(void **state) {
    store_t store;
    journal_totals_t totals = recording_make(&store);

    (void)state;
    assert_intact(&store, &totals);
    store_remove(&store);
}

static void any_flipped_bit_of_any_segment_is_reported_with_its_segment(void **state) {
    store_t store;
    journal_totals_t totals = recording_make(&store);
    uint64_t *numbers;
    size_t count;
    fault_t why;

    (void)state;
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_true(count > 2);
    for (size_t i = 0; i < count; i++) {
        char path[SEGMENT_PATH_SIZE];
        size_t size;

        segment_path(store.folder, numbers[i], path);
        free(file_read(path, &size));
        for (size_t bit = 0; bit < 8 * size; bit++) {
            file_flip(path, bit / 8, (int)(bit % 8));
            assert_damaged(&store, &totals, strrchr(path, '/') + 1, bit / 8);
            file_flip(path, bit / 8, (int)(bit % 8));
        }
    }
    assert_intact(&store, &totals);
    free(numbers);
    store_remove(&store);
}

static void any_flipped_bit_of_the_manifest_is_reported(void **state) {
    store_t store;
    journal_totals_t totals = recording_make(&store);
    char path[SEGMENT_PATH_SIZE];
    size_t size;

    (void)state;
    snprintf(path, sizeof path, "%s/" MANIFEST_FILE, store.folder);
    free(file_read(path, &size));
    for (size_t bit = 0; bit < 8 * size; bit++) {
        file_flip(path, bit / 8, (int)(bit % 8));
        assert_damaged(&store, &totals, MANIFEST_FILE, 0);
        file_flip(path, bit / 8, (int)(bit % 8));
    }
    store_remove(&store);
}

static void one_bad_record_is_one_damage_and_does_not_hide_another(void **state) {
    store_t store;
    journal_totals_t totals = recording_make(&store);
    uint64_t *numbers;
    size_t count;
    fault_t why;
    char path[SEGMENT_PATH_SIZE];

    (void)state;
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_true(count >= 4);
    segment_path(store.folder, numbers[0], path);
    file_flip(path, 400, 3);
    segment_path(store.folder, numbers[2], path);
    file_flip(path, 700, 3);

    verify_t *verify = verify_all(&store, &totals, SIZE_MAX);
    const msg_recording_verified_t *result = verify_result(verify);

    assert_int_equal(result->damage.count, 2);
    assert_string_equal(result->damage.items[0].segment, "000000000000.seg");
    assert_in_range(result->damage.items[0].offset, 1, 400);
    assert_string_equal(result->damage.items[1].segment, strrchr(path, '/') + 1);
    assert_int_equal(result->records, totals.records - 2);
    assert_int_equal(result->bytes, totals.bytes);
    verify_close(&verify);
    free(numbers);
    store_remove(&store);
}

static void files_that_are_missing_cut_or_exchanged_are_reported(void **state) {
    store_t store;
    journal_totals_t totals = recording_make(&store);
    uint64_t *numbers;
    size_t count, size;
    fault_t why;
    char path[SEGMENT_PATH_SIZE];

    (void)state;
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    for (size_t i = 0; i < count; i++) {
        segment_path(store.folder, numbers[i], path);

        uint8_t *bytes = file_read(path, &size);
        verify_t *verify;

        file_write(path, bytes, size - 1);
        assert_damaged(&store, &totals, strrchr(path, '/') + 1, size - 1);
        file_write(path, bytes, 0);
        assert_damaged(&store, &totals, strrchr(path, '/') + 1, 0);
        assert_int_equal(unlink(path), 0);
        verify = verify_all(&store, &totals, SIZE_MAX);
        assert_false(verify_result(verify)->intact);
        verify_close(&verify);
        file_write(path, bytes, size);
        free(bytes);
    }
    assert_intact(&store, &totals);
    free(numbers);
    store_remove(&store);
}

/* Each of these is sealed with right checksums: the digest, the order and the counts must tell. */
static void what_another_writer_would_have_written_is_reported(void **state) {
    store_t store;
    journal_totals_t totals = recording_make(&store);
    fault_t why;
    msg_manifest_t *manifest;

    (void)state;
    ok(manifest_read(store.folder, &manifest, &why), why);
    store.manifest = *manifest;
    store.manifest.digest = "00000000000000000000000000000000";
    ok(manifest_write(store.folder, &store.manifest, &why), why);
    assert_damaged(&store, &totals, MANIFEST_FILE, 0);
    store.manifest.digest = manifest->digest;
    manifest->recording.streams.items[0].signature = "urn:other|00";
    ok(manifest_write(store.folder, &store.manifest, &why), why);

    verify_t *verify = verify_all(&store, &totals, SIZE_MAX);

    assert_false(verify_result(verify)->intact);
    assert_string_not_equal(verify_result(verify)->damage.items[0].segment, MANIFEST_FILE); /* the next header tells it first */
    verify_close(&verify);
    manifest_free(&manifest);
    store_remove(&store);
}

static void elements_that_are_no_elements_are_reported_though_their_checksum_is_right(void **state) {
    store_t store;
    journal_t *journal;
    journal_totals_t totals;
    bytes_t part = {(const uint8_t *)"\x92\x01\xc4\x01z", 5};
    fault_t why;
    uint64_t good;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    ok(journal_elements(journal, 0, START, 1, part, NULL, 0, &why), why);
    good = journal_totals(journal)->length;
    totals = *journal_totals(journal);
    assert_intact(&store, &totals);
    ok(journal_elements(journal, 0, START, 2, part, NULL, 0, &why), why);
    totals = *journal_totals(journal);
    assert_damaged(&store, &totals, "000000000000.seg", good);
    journal_close(&journal);
    store_remove(&store);
}

static void a_recording_that_grows_is_checked_up_to_what_was_published(void **state) {
    store_t store;
    journal_t *journal;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, SEGMENT_BYTES);
    for (uint64_t seq = 1; seq <= 30; seq++) {
        journal_totals_t totals;

        ok(store_append(journal, 0, START, 3, 60, seq, &why), why);
        totals = *journal_totals(journal);
        ok(store_append(journal, 0, START, 2, 60, seq + 1, &why), why);
        if (totals.segment == journal_totals(journal)->segment) assert_intact(&store, &totals);
    }
    journal_close(&journal);
    store_remove(&store);
}

static void small_steps_find_what_one_step_finds(void **state) {
    store_t store;
    journal_totals_t totals = recording_make(&store);
    char path[SEGMENT_PATH_SIZE];
    verify_t *one, *many;
    fault_t why;
    int steps = 0, more = 1;

    (void)state;
    segment_path(store.folder, 0, path);
    file_flip(path, 300, 1);
    one = verify_all(&store, &totals, SIZE_MAX);
    many = verify_open(store.folder, totals.segment, totals.length, &why);
    assert_non_null(many);
    for (; more > 0; steps++) ok(more = verify_step(many, 1, &why), why);
    assert_true(steps >= (int)totals.records - 1);
    assert_int_equal(verify_result(many)->records, verify_result(one)->records);
    assert_int_equal(verify_result(many)->bytes, verify_result(one)->bytes);
    assert_int_equal(verify_result(many)->damage.count, verify_result(one)->damage.count);
    verify_close(&one);
    verify_close(&many);
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recording_that_is_whole_is_intact),
        cmocka_unit_test(any_flipped_bit_of_any_segment_is_reported_with_its_segment),
        cmocka_unit_test(any_flipped_bit_of_the_manifest_is_reported),
        cmocka_unit_test(one_bad_record_is_one_damage_and_does_not_hide_another),
        cmocka_unit_test(files_that_are_missing_cut_or_exchanged_are_reported),
        cmocka_unit_test(what_another_writer_would_have_written_is_reported),
        cmocka_unit_test(elements_that_are_no_elements_are_reported_though_their_checksum_is_right),
        cmocka_unit_test(a_recording_that_grows_is_checked_up_to_what_was_published),
        cmocka_unit_test(small_steps_find_what_one_step_finds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
