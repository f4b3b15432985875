/* The machine has lost its power: what is behind the checkpoint may have holes, in any segment. What is before it may not. */
#include "store.h"

#include "actors/store/record.h"
#include "actors/store/recovery.h"
#include "rebooted.h"

enum { SEGMENT_BYTES = 1024, STATES_MAX = 100, SEGMENTS_MAX = 16 };

/* A recording of several segments: the totals after each record of elements, and the files. */
typedef struct story {
    store_t store;
    journal_totals_t states[STATES_MAX];
    size_t count;
    uint64_t *numbers;
    size_t segments;
    uint8_t *bytes[SEGMENTS_MAX], *manifest;
    size_t sizes[SEGMENTS_MAX], manifest_size;
    char manifest_path[SEGMENT_PATH_SIZE];
} story_t;

static void story_make(story_t *story, bool ended) {
    fault_t why;
    char path[SEGMENT_PATH_SIZE];

    *story = (story_t){0};
    store_make(&story->store, 1);
    journal_t *journal = store_journal(&story->store, SEGMENT_BYTES);

    story->states[story->count++] = *journal_totals(journal);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        ok(store_append(journal, 0, START + (int64_t)seq, 3, 40, seq, &why), why);
        story->states[story->count++] = *journal_totals(journal);
    }
    if (ended) {
        ok(journal_ended(journal, START + 100, &why), why);
        story->states[story->count++] = *journal_totals(journal);
    }
    journal_close(&journal);
    ok(segment_list(story->store.folder, &story->numbers, &story->segments, &why), why);
    assert_true(story->segments > 4 && story->segments <= SEGMENTS_MAX);
    for (size_t i = 0; i < story->segments; i++) {
        segment_path(story->store.folder, story->numbers[i], path);
        story->bytes[i] = file_read(path, &story->sizes[i]);
    }
    snprintf(story->manifest_path, sizeof story->manifest_path, "%s/" MANIFEST_FILE, story->store.folder);
    story->manifest = file_read(story->manifest_path, &story->manifest_size);
}

static void story_restore(const story_t *story) {
    fault_t why;
    char path[SEGMENT_PATH_SIZE];

    ok(folder_remove(story->store.folder, &why), why);
    assert_int_equal(mkdir(story->store.folder, 0755), 0);
    file_write(story->manifest_path, story->manifest, story->manifest_size);
    for (size_t i = 0; i < story->segments; i++) {
        segment_path(story->store.folder, story->numbers[i], path);
        file_write(path, story->bytes[i], story->sizes[i]);
    }
}

static void story_end(story_t *story) {
    for (size_t i = 0; i < story->segments; i++) free(story->bytes[i]);
    free(story->numbers);
    free(story->manifest);
    store_remove(&story->store);
}

static size_t story_segment(const story_t *story, uint64_t number) {
    size_t i = 0;

    while (story->numbers[i] != number) i++;
    return i;
}

/* Where the record of state `i` begins, in its segment. */
static uint64_t story_begin(const story_t *story, size_t i) {
    const journal_totals_t *before = &story->states[i - 1], *state = &story->states[i];

    if (before->segment == state->segment) return before->length;

    record_view_t header;
    size_t segment = story_segment(story, state->segment);

    assert_true(record_read((bytes_t){story->bytes[segment], story->sizes[segment]}, true, &header) > 0);
    return header.size;
}

static checkpoint_t place_of(const journal_totals_t *totals) {
    return (checkpoint_t){totals->segment, totals->length};
}

static journal_t *story_open(const story_t *story, uint64_t *ret_torn) {
    fault_t why;
    journal_t *journal = journal_open(story->store.folder, SEGMENT_BYTES, ret_torn, &why);

    if (!journal) fail_msg("%s", why.text);
    return journal;
}

static uint64_t story_bytes(const story_t *story) {
    uint64_t sum = 0;

    for (size_t i = 0; i < story->segments; i++) sum += story->sizes[i];
    return sum;
}

/* Is what is open now the story up to state `i`, but for the header of the next segment, which may be there? */
static void assert_is_state(const story_t *story, const journal_t *journal, size_t i, uint64_t torn) {
    const journal_totals_t *totals = journal_totals(journal), *state = &story->states[i];

    assert_int_equal(totals->elements, state->elements);
    assert_memory_equal(totals->digest.bytes, state->digest.bytes, sizeof state->digest.bytes);
    assert_int_equal(torn, story_bytes(story) - totals->bytes);
    if (i > 0) assert_int_equal(journal_producer(journal, 0, "p")->seq, (int64_t)i);
}

/* It goes on from there, and all of it is right. */
static void assert_goes_on(const story_t *story, journal_t **journal) {
    fault_t why;
    uint64_t torn;
    verify_t *verify;
    journal_totals_t totals;

    ok(store_append(*journal, 0, START + 200, 1, 5, 99, &why), why);
    journal_close(journal);
    *journal = story_open(story, &torn);
    assert_int_equal(torn, 0);
    assert_int_equal(journal_producer(*journal, 0, "p")->seq, 99);
    totals = *journal_totals(*journal);
    verify = verify_open(story->store.folder, totals.segment, totals.length, &why);
    assert_non_null(verify);
    while (verify_step(verify, 1 << 20, &why) > 0) continue;
    assert_true(verify_result(verify)->intact);
    verify_close(&verify);
    journal_close(journal);
}

static void a_hole_behind_the_checkpoint_is_where_the_recording_ends(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE];

    (void)state;
    story_make(&story, false);
    for (size_t safe = 0; safe < story.count; safe++)
        for (size_t hole = safe + 1; hole < story.count; hole++) {
            checkpoint_t checkpoint = place_of(&story.states[safe]);
            uint64_t torn;

            if (safe == 0) checkpoint = (checkpoint_t){0};
            segment_path(story.store.folder, story.states[hole].segment, path);
            file_flip(path, story_begin(&story, hole) + 60, 3);
            machine_restarts(story.store.folder, &checkpoint);

            journal_t *journal = story_open(&story, &torn);

            assert_is_state(&story, journal, hole - 1, torn);
            assert_goes_on(&story, &journal);
            story_restore(&story);
        }
    story_end(&story);
}

/* Of a segment nothing is there, or its header is not, or it is shorter. */
static void a_segment_that_the_disk_never_had_ends_the_recording_before_it(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE];

    (void)state;
    story_make(&story, false);
    for (size_t lost = 1; lost < story.segments; lost++)
        for (int how = 0; how < 4; how++) {
            uint64_t torn;
            size_t last = 0;

            while (last + 1 < story.count && story.states[last + 1].segment < story.numbers[lost]) last++;
            segment_path(story.store.folder, story.numbers[lost], path);
            if (how == 0) assert_int_equal(unlink(path), 0);
            if (how == 1) file_write(path, story.bytes[lost], 0);
            if (how == 2) file_flip(path, 50, 0);
            if (how == 3) file_write(path, story.bytes[0], story.sizes[0]); /* another's bytes */
            machine_restarts(story.store.folder, &(checkpoint_t){0});

            journal_t *journal = story_open(&story, &torn);

            if (how == 0) torn += story.sizes[lost];
            if (how == 1) torn += story.sizes[lost];
            if (how == 3) torn += story.sizes[lost] - story.sizes[0];
            assert_is_state(&story, journal, last, torn);
            assert_goes_on(&story, &journal);
            story_restore(&story);
        }
    story_end(&story);
}

static void what_is_whole_is_kept(void **state) {
    story_t story;

    (void)state;
    story_make(&story, false);
    for (size_t safe = 0; safe < story.count; safe++) {
        checkpoint_t checkpoint = place_of(&story.states[safe]);
        uint64_t torn;

        machine_restarts(story.store.folder, &checkpoint);
        journal_t *journal = story_open(&story, &torn);

        assert_is_state(&story, journal, story.count - 1, torn);
        assert_goes_on(&story, &journal);
        story_restore(&story);
    }
    story_end(&story);
}

static void a_bad_record_before_the_checkpoint_is_damage(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE], text[64];
    fault_t why;
    uint64_t torn;

    (void)state;
    story_make(&story, false);
    for (size_t safe = 1; safe < story.count; safe++)
        for (size_t bad = 1; bad <= safe; bad++) {
            checkpoint_t checkpoint = place_of(&story.states[safe]);

            if (story.states[bad].segment != checkpoint.segment || bad == story.count - 1) continue;
            uint64_t begin = story_begin(&story, bad);

            segment_path(story.store.folder, checkpoint.segment, path);
            file_flip(path, begin + 60, 1);
            machine_restarts(story.store.folder, &checkpoint);
            assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
            snprintf(text, sizeof text, "is damaged at byte %llu", (unsigned long long)begin);
            assert_non_null(strstr(why.text, text));
            story_restore(&story);
        }
    story_end(&story);
}

/* It told of more than it had. What is missing counts as cut off, and is not said to be there once the recording goes on. */
static void a_disk_that_lost_what_it_had_confirmed_ends_the_recording_too(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE];
    fault_t why;
    uint64_t torn;

    (void)state;
    story_make(&story, false);
    size_t last = story.count - 1, segment = story.segments - 1;
    checkpoint_t checkpoint = place_of(&story.states[last]), again;

    assert_int_equal(story.states[last - 1].segment, story.states[last].segment);
    segment_path(story.store.folder, story.numbers[segment], path);
    for (int how = 0; how < 2; how++) {
        if (how == 0) file_write(path, story.bytes[segment], (size_t)story.states[last - 1].length); /* shorter, at a record's end */
        if (how == 1) file_flip(path, story_begin(&story, last) + 60, 0);
        machine_restarts(story.store.folder, &checkpoint);
        journal_t *journal = story_open(&story, &torn);

        assert_is_state(&story, journal, last - 1, torn);
        machine_restarts_as_it_is(story.store.folder);
        assert_true(checkpoint_is_of_another_run(story.store.folder, &again));
        assert_int_equal(again.length, journal_totals(journal)->length);
        assert_goes_on(&story, &journal);
        story_restore(&story);
    }
    for (size_t i = 1; i < story.segments; i++) {
        segment_path(story.store.folder, story.numbers[i], path);
        assert_int_equal(unlink(path), 0);
    }
    segment_path(story.store.folder, 0, path);
    file_write(path, story.bytes[0], 0);
    machine_restarts(story.store.folder, &(checkpoint_t){0, story.states[1].length});
    segment_path(story.store.folder, story.numbers[1], path);
    for (int i = 0; i < 2; i++) { /* not where something is there that came later */
        char first[SEGMENT_PATH_SIZE];

        segment_path(story.store.folder, 0, first);
        file_write(path, story.bytes[1], story.sizes[1]);
        file_write(first, story.bytes[0], i == 0 ? 0 : (size_t)story_begin(&story, 1));
        assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
        assert_non_null(strstr(why.text, "is damaged"));
        file_write(first, story.bytes[0], 0);
    }
    assert_int_equal(unlink(path), 0);
    journal_t *journal = journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why);

    assert_non_null(journal);
    assert_int_equal(torn, story.states[1].length);
    assert_int_equal(journal_totals(journal)->elements, 0);
    journal_close(&journal);
    story_end(&story);
}

/* A second loss, after more was appended and not brought to the disk. */
static void holes_again_and_again(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE];
    uint64_t torn;
    fault_t why;

    (void)state;
    story_make(&story, false);
    for (size_t hole = story.count - 1; hole > 2; hole -= 2) {
        segment_path(story.store.folder, story.states[hole].segment, path);
        file_flip(path, story_begin(&story, hole) + 60, 2);
        machine_restarts(story.store.folder, &(checkpoint_t){0});
        journal_t *journal = story_open(&story, &torn);

        assert_true(torn > 0);
        assert_int_equal(journal_producer(journal, 0, "p")->seq, (int64_t)hole - 1);
        ok(store_append(journal, 0, START + 300, 2, 30, 100 + hole, &why), why);
        journal_close(&journal);
        journal = story_open(&story, &torn);
        assert_int_equal(torn, 0);
        assert_int_equal(journal_producer(journal, 0, "p")->seq, 100 + (int64_t)hole);
        journal_close(&journal);
    }
    story_end(&story);
}

/* As long as the machine runs nothing that was written is lost; and a checkpoint that cannot be read says nothing. */
static void without_a_restart_of_the_machine_nothing_is_taken_for_lost(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE], file[SEGMENT_PATH_SIZE];
    fault_t why;
    uint64_t torn;

    (void)state;
    story_make(&story, false);
    segment_path(story.store.folder, story.numbers[story.segments - 1], path);
    snprintf(file, sizeof file, "%s/" CHECKPOINT_FILE, story.store.folder);
    for (int how = 0; how < 3; how++) {
        file_flip(path, 50, 1); /* its header */
        ok(checkpoint_write(story.store.folder, &(checkpoint_t){0}, false, &why), why);
        if (how > 0) machine_restarts(story.store.folder, &(checkpoint_t){0});
        if (how == 1) file_flip(file, 12, 0);
        if (how == 2) assert_int_equal(unlink(file), 0);
        assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
        assert_non_null(strstr(why.text, "is damaged at byte 0"));
        story_restore(&story);
    }
    story_end(&story);
}

static void once_it_is_open_a_hole_is_damage_again(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE];
    fault_t why;
    uint64_t torn;

    (void)state;
    story_make(&story, false);
    machine_restarts(story.store.folder, &(checkpoint_t){0});
    journal_t *journal = story_open(&story, &torn);

    journal_close(&journal);
    segment_path(story.store.folder, story.numbers[story.segments - 1], path);
    file_flip(path, 50, 1);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "is damaged at byte 0"));
    story_end(&story);
}

/* One gap stands before the hole, one behind it; the manifest has both. */
static void a_gap_that_was_lost_is_not_told_and_one_that_was_not_is(void **state) {
    store_t store;
    fault_t why;
    uint64_t torn;
    size_t count, hole;
    char path[SEGMENT_PATH_SIZE];

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, BIG_SEGMENT);

    for (int before = 0; before < 2; before++) {
        if (before) ok(store_append(journal, 0, START, 1, 1, 1, &why), why);
        ok(journal_gap(journal, 0, START, before ? "kept" : "first", 1, &why), why);
    }
    hole = (size_t)journal_totals(journal)->length;
    ok(store_append(journal, 0, START, 1, 1, 2, &why), why);
    ok(journal_gap(journal, 0, START, "lost", 1, &why), why);
    ok(store_append(journal, 0, START, 1, 1, 3, &why), why);
    snprintf(path, sizeof path, "%s", journal_segment_path(journal));
    journal_close(&journal);
    file_flip(path, hole + 60, 0);
    machine_restarts(store.folder, &(checkpoint_t){0});
    journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
    if (!journal) fail_msg("%s", why.text);

    const msg_gap_t *gaps = journal_gaps(journal, &count);

    assert_int_equal(count, 2);
    assert_string_equal(gaps[1].what, "kept");
    assert_int_equal(journal_totals(journal)->elements, 1);
    journal_close(&journal);
    segment_path(store.folder, 0, path);
    record_view_t header;
    size_t size;
    uint8_t *bytes = file_read(path, &size);

    assert_true(record_read((bytes_t){bytes, size}, true, &header) > 0);
    file_flip(path, header.size + 60, 0); /* of the first gap, before any element */
    free(bytes);
    machine_restarts(store.folder, &(checkpoint_t){0});
    journal = journal_open(store.folder, BIG_SEGMENT, &torn, &why);
    assert_non_null(journal);
    journal_gaps(journal, &count);
    assert_int_equal(count, 0);
    journal_close(&journal);
    store_remove(&store);
}

/* ---- an end that was announced, of which the disk had not all ---- */
static void announce_end(story_t *story) {
    fault_t why;
    char digest[33];
    const journal_totals_t *last = &story->states[story->count - 1];
    msg_manifest_t manifest = story->store.manifest;

    digest_text(&last->digest, digest);
    manifest.has_digest = manifest.has_records = true;
    manifest.digest = digest;
    manifest.records = (int64_t)last->records;
    manifest.recording.state = "DONE";
    ok(manifest_announce(story->store.folder, &manifest, &why), why);
}

static void assert_state_is(const story_t *story, const char *state) {
    msg_manifest_t *manifest;
    fault_t why;

    ok(recovery_settle(story->store.folder, &why), why);
    assert_null(manifest_announced(story->store.folder));
    ok(manifest_read(story->store.folder, &manifest, &why), why);
    assert_string_equal(manifest->recording.state, state);
    manifest_free(&manifest);
}

static void an_announced_end_counts_only_if_all_before_it_is_there(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE];
    uint64_t torn;

    (void)state;
    story_make(&story, true);
    for (size_t hole = 1; hole < story.count; hole++) {
        announce_end(&story);
        segment_path(story.store.folder, story.states[hole].segment, path);
        file_flip(path, story_begin(&story, hole) + (hole == story.count - 1 ? 5 : 60), 3);
        machine_restarts(story.store.folder, &(checkpoint_t){0});
        assert_state_is(&story, "RUNNING");
        journal_t *journal = story_open(&story, &torn);

        assert_is_state(&story, journal, hole - 1, torn);
        assert_goes_on(&story, &journal);
        story_restore(&story);
    }
    segment_path(story.store.folder, story.numbers[story.segments - 1], path);
    file_write(path, story.bytes[story.segments - 1], (size_t)story.states[story.count - 2].length); /* its last record never came */
    announce_end(&story);
    machine_restarts(story.store.folder, &(checkpoint_t){0});
    assert_state_is(&story, "RUNNING");
    story_restore(&story);

    announce_end(&story);
    machine_restarts(story.store.folder, &(checkpoint_t){0});
    assert_state_is(&story, "DONE");
    story_restore(&story);

    /* what is damaged has ended all the same, and its manifest tells of what it was */
    announce_end(&story);
    segment_path(story.store.folder, story.states[story.count - 1].segment, path);
    file_flip(path, 50, 3);
    checkpoint_t end = place_of(&story.states[story.count - 1]);

    machine_restarts(story.store.folder, &end);
    assert_state_is(&story, "DONE");
    story_restore(&story);

    /* what the disk did not take has failed, and nothing goes on there */
    story.store.manifest.recording.state = "FAILED";
    story.store.manifest.has_records = true;
    story.store.manifest.records = 1000;
    fault_t why;

    ok(manifest_announce(story.store.folder, &story.store.manifest, &why), why);
    machine_restarts(story.store.folder, &(checkpoint_t){0});
    assert_state_is(&story, "FAILED");
    story_end(&story);
}

static void of_an_end_that_took_its_place_nothing_can_be_lost(void **state) {
    story_t story;
    char path[SEGMENT_PATH_SIZE];
    fault_t why;
    uint64_t torn;

    (void)state;
    story_make(&story, true);
    announce_end(&story);
    ok(manifest_settle(story.store.folder, &why), why);
    segment_path(story.store.folder, story.states[1].segment, path);
    for (size_t offset = 50; offset < 400; offset += 300) {
        file_flip(path, offset, 3);
        machine_restarts(story.store.folder, &(checkpoint_t){0});
        assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
        assert_non_null(strstr(why.text, "is damaged"));
        file_flip(path, offset, 3);
    }
    segment_path(story.store.folder, 0, path);
    assert_int_equal(truncate(path, 0), 0);
    for (size_t i = 1; i < story.segments; i++) {
        char later[SEGMENT_PATH_SIZE];
        segment_path(story.store.folder, story.numbers[i], later);
        assert_int_equal(unlink(later), 0);
    }
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "the record that ends the recording is missing"));
    story_end(&story);
}

/* Where only the process died, the page cache has it all. */
static void an_announced_end_counts_while_the_machine_runs(void **state) {
    story_t story;
    fault_t why;

    (void)state;
    story_make(&story, true);
    announce_end(&story);
    ok(checkpoint_write(story.store.folder, &(checkpoint_t){0}, false, &why), why);
    assert_state_is(&story, "DONE");
    story_end(&story);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hole_behind_the_checkpoint_is_where_the_recording_ends),
        cmocka_unit_test(a_segment_that_the_disk_never_had_ends_the_recording_before_it),
        cmocka_unit_test(what_is_whole_is_kept),
        cmocka_unit_test(a_bad_record_before_the_checkpoint_is_damage),
        cmocka_unit_test(a_disk_that_lost_what_it_had_confirmed_ends_the_recording_too),
        cmocka_unit_test(holes_again_and_again),
        cmocka_unit_test(without_a_restart_of_the_machine_nothing_is_taken_for_lost),
        cmocka_unit_test(once_it_is_open_a_hole_is_damage_again),
        cmocka_unit_test(a_gap_that_was_lost_is_not_told_and_one_that_was_not_is),
        cmocka_unit_test(an_announced_end_counts_only_if_all_before_it_is_there),
        cmocka_unit_test(of_an_end_that_took_its_place_nothing_can_be_lost),
        cmocka_unit_test(an_announced_end_counts_while_the_machine_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
