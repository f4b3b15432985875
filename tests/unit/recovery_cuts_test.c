/* A recording with everything in it, cut at every byte of its last segment: three streams, two producers in one record, records of every
 * kind, gaps that the manifest has already and gaps that it does not have. What is found again must be what was there when the last whole
 * record had been appended, to the last field, whichever manifest and whichever snapshot the crash left behind. */
#include "store.h"

#include "actors/store/record.h"
#include "actors/store/snapshot.h"

enum { SEGMENT_BYTES = 2200, MOMENTS_MAX = 200, TEXT_SIZE = 16384, ROUNDS = 8 };

/* What a journal knew after an append. */
typedef struct moment {
    uint64_t segment, length;
    char *said;
    uint8_t *manifest; /* the file as it was then */
    size_t manifest_size;
    uint8_t *snapshot; /* likewise; NULL: there was none */
    size_t snapshot_size;
} moment_t;

typedef struct story {
    store_t store;
    char manifest[SEGMENT_PATH_SIZE], snapshot[SEGMENT_PATH_SIZE], before[SEGMENT_PATH_SIZE], last[SEGMENT_PATH_SIZE];
    moment_t moments[MOMENTS_MAX];
    size_t count;
    uint8_t *bytes, *bytes_before; /* of the last segment, and of the one before it */
    size_t size, size_before;
} story_t;

/* ---- what a journal knows ---- */
static char *said(const journal_t *journal) {
    const journal_totals_t *totals = journal_totals(journal);
    char *text = malloc(TEXT_SIZE), digest[33];
    size_t used = 0, count;

    assert_non_null(text);
#define SAY(...) used += (size_t)snprintf(text + used, used < TEXT_SIZE ? TEXT_SIZE - used : 0, __VA_ARGS__)
    digest_text(&totals->digest, digest);
    SAY("elements %llu ended %d digest %s\n", (unsigned long long)totals->elements, totals->ended, digest);
    for (uint32_t i = 0; i < journal_streams(journal); i++) {
        const msg_stream_total_t *stream = journal_stream(journal, i);

        SAY("stream %u: %lld elements %lld bytes ended %d watermark %d %lld\n", i, (long long)stream->elements, (long long)stream->bytes,
            stream->ended, stream->has_watermark, (long long)stream->watermark);
    }
    const msg_producer_t *producers = journal_producers(journal, &count);

    for (size_t i = 0; i < count; i++) {
        SAY("producer %lld %s: seq %lld gap %lld watermark %lld cursor ", (long long)producers[i].stream, producers[i].producer,
            (long long)producers[i].seq, (long long)producers[i].gap, (long long)producers[i].watermark);
        for (size_t b = 0; b < producers[i].cursor.size; b++) SAY("%02x", producers[i].cursor.data[b]);
        SAY("\n");
    }
    const msg_gap_t *gaps = journal_gaps(journal, &count);

    for (size_t i = 0; i < count; i++)
        SAY("gap of %s before %lld: %s, %lld\n", gaps[i].has_tag ? gaps[i].tag : "all", (long long)gaps[i].element, gaps[i].what,
            gaps[i].has_lost_us ? (long long)gaps[i].lost_us : -1);
#undef SAY
    assert_true(used < TEXT_SIZE);
    return text;
}

/* ---- the recording ---- */
static void story_note(story_t *story, const journal_t *journal) {
    moment_t *moment = &story->moments[story->count++];

    assert_true(story->count < MOMENTS_MAX);
    moment->segment = journal_totals(journal)->segment;
    moment->length = journal_totals(journal)->length;
    moment->said = said(journal);
    moment->manifest = file_read(story->manifest, &moment->manifest_size);
    if (access(story->snapshot, F_OK) == 0) moment->snapshot = file_read(story->snapshot, &moment->snapshot_size);
}

/* One record of two producers, each with its own cursor. */
static int append_of_two(journal_t *journal, uint32_t stream, uint64_t seq, fault_t *why) {
    size_t sizes[2];
    uint8_t *elements[2] = {elements_make(2, 30, (uint8_t)seq, &sizes[0]), elements_make(3, 7, (uint8_t)(seq + 100), &sizes[1])};
    uint8_t *both = malloc(sizes[0] + sizes[1]);
    uint8_t cursors[2][3] = {{0xcd, 1, (uint8_t)seq}, {0xcd, 2, (uint8_t)seq}};
    journal_meta_t metas[2] = {
        {.producer = "first", .seq = seq, .cursor = {cursors[0], 3}},
        {.producer = "second", .seq = 2 * seq, .cursor = {cursors[1], 3}, .has_watermark = true, .watermark = START - (int64_t)seq}};

    assert_non_null(both);
    memcpy(both, elements[0], sizes[0]);
    memcpy(both + sizes[0], elements[1], sizes[1]);

    int failed = journal_elements(journal, stream, START + (int64_t)seq, 5, (bytes_t){both, sizes[0] + sizes[1]}, metas, 2, why);

    free(both);

    free(elements[0]);
    free(elements[1]);
    return failed;
}

static void story_round(story_t *story, journal_t *journal, uint64_t seq) {
    int64_t at = START + (int64_t)seq * 1000;
    uint32_t anonymous = 0;
    size_t size;
    uint8_t *elements = elements_make(1, 3, 9, &size);
    bytes_t part = {elements, size};
    fault_t why;

    ok(append_of_two(journal, 0, seq, &why), why);
    story_note(story, journal);
    ok(store_append(journal, 1, at, 1, 40, seq, &why), why);
    story_note(story, journal);
    ok(journal_watermark(journal, 1, at, START + (int64_t)seq, &why), why);
    story_note(story, journal);
    ok(journal_gap(journal, 2, at + 1, "lost the broker", (int64_t)seq, &why), why);
    story_note(story, journal);
    ok(journal_elements(journal, 2, at + 2, 1, part, NULL, anonymous, &why), why);
    story_note(story, journal);
    ok(store_append_with(journal, "fell behind", -1, 1, at + 3, 1, 20, seq + 50, &why), why);
    story_note(story, journal);
    ok(journal_gap(journal, RECORD_STREAM_ALL, at + 4, "the engine was restarted", 5, &why), why);
    story_note(story, journal);
    ok(journal_watermark(journal, 0, at + 5, -(int64_t)seq, &why), why);
    story_note(story, journal);
    free(elements);
}

/* Records of every kind are in the last segment: what it is cut to can end with any of them. */
static void assert_every_kind(const story_t *story) {
    bool seen[RECORD_ENDED + 1] = {false};
    record_view_t record;

    for (size_t at = 0; at < story->size; at += record.size) {
        assert_true(record_read((bytes_t){story->bytes + at, story->size - at}, true, &record) > 0);
        seen[record.kind] = true;
    }
    for (int kind = 0; kind <= RECORD_ENDED; kind++)
        if (!seen[kind]) fail_msg("the last segment has no record of kind %d", kind);
}

static void story_make(story_t *story) {
    uint64_t *numbers;
    size_t count;
    fault_t why;

    *story = (story_t){0};
    store_make(&story->store, 3);
    snprintf(story->manifest, sizeof story->manifest, "%s/" MANIFEST_FILE, story->store.folder);
    snprintf(story->snapshot, sizeof story->snapshot, "%s/" SNAPSHOT_FILE, story->store.folder);

    journal_t *journal = store_journal(&story->store, SEGMENT_BYTES);

    story_note(story, journal);
    for (uint64_t seq = 1; seq <= ROUNDS; seq++) story_round(story, journal, seq);
    for (uint32_t i = 0; i < 3; i++) {
        ok(journal_stream_ended(journal, i, START + 90000, &why), why);
        story_note(story, journal);
    }
    ok(journal_ended(journal, START + 100000, &why), why);
    story_note(story, journal);
    journal_close(&journal);

    ok(segment_list(story->store.folder, &numbers, &count, &why), why);
    assert_true(count > 2);
    segment_path(story->store.folder, numbers[count - 1], story->last);
    segment_path(story->store.folder, numbers[count - 2], story->before);
    free(numbers);
    story->bytes = file_read(story->last, &story->size);
    story->bytes_before = file_read(story->before, &story->size_before);
    assert_every_kind(story);
}

static void story_end(story_t *story) {
    for (size_t i = 0; i < story->count; i++) {
        free(story->moments[i].said);
        free(story->moments[i].manifest);
        free(story->moments[i].snapshot);
    }
    free(story->bytes);
    free(story->bytes_before);
    store_remove(&story->store);
}

/* ---- cuts ---- */
/* The last moment that is whole when the last segment has only `size` bytes. */
static const moment_t *moment_at(const story_t *story, size_t size) {
    const moment_t *end = &story->moments[story->count - 1], *best = story->moments;

    for (const moment_t *moment = story->moments; moment <= end; moment++)
        if (moment->segment < end->segment || moment->length <= size) best = moment;
    return best;
}

/* Bytes of the whole records among the first `size` of the last segment: a gap that came with a batch and that batch are one. */
static size_t whole_bytes(const story_t *story, size_t size) {
    record_view_t record;
    size_t whole = 0, read = 0;

    while (read < size && record_read((bytes_t){story->bytes + read, size - read}, true, &record) > 0) {
        read += record.size;
        if (record.kind != RECORD_GAP || record.meta.size == 0) whole = read;
    }
    return whole;
}

/* Opened again, it is what it was; nothing is left of what was cut off; and it goes on from there. */
static void assert_recovers(const story_t *story, size_t cut, const moment_t *moment) {
    uint64_t torn = 0;
    fault_t why;
    size_t whole = whole_bytes(story, cut);

    for (int round = 0; round < 2; round++) {
        journal_t *journal = journal_open(story->store.folder, SEGMENT_BYTES, &torn, &why);

        if (!journal) fail_msg("cut at %zu: %s", cut, why.text);

        const journal_totals_t *totals = journal_totals(journal);
        char *found = said(journal);

        if (strcmp(found, moment->said) != 0) fail_msg("cut at %zu: it is\n%s, but was\n%s", cut, found, moment->said);
        free(found);
        assert_int_equal(totals->length, whole > 0 ? whole : story->size_before);
        assert_int_equal(torn, round == 0 ? cut - whole : 0);
        journal_close(&journal);
    }
    if (strstr(moment->said, "ended 1 digest")) return;

    journal_t *journal = journal_open(story->store.folder, SEGMENT_BYTES, &torn, &why);

    assert_non_null(journal);
    ok(store_append(journal, 1, START, 1, 5, 99, &why), why);
    journal_close(&journal);
    journal = journal_open(story->store.folder, SEGMENT_BYTES, &torn, &why);
    assert_non_null(journal);
    assert_int_equal(torn, 0);
    assert_int_equal(journal_producer(journal, 1, "p")->seq, 99);
    journal_close(&journal);
}

/* Puts the files back, with the last segment cut to `cut` bytes. */
static void story_cut(const story_t *story, size_t cut, const moment_t *manifest) {
    uint64_t *numbers;
    size_t count;
    fault_t why;

    ok(segment_list(story->store.folder, &numbers, &count, &why), why);
    for (size_t i = 0; i < count; i++) {
        char path[SEGMENT_PATH_SIZE];

        segment_path(story->store.folder, numbers[i], path);
        if (strcmp(path, story->before) > 0) assert_int_equal(unlink(path), 0);
    }
    free(numbers);
    file_write(story->before, story->bytes_before, story->size_before);
    file_write(story->last, story->bytes, cut);
    file_write(story->manifest, manifest->manifest, manifest->manifest_size);
    snapshot_drop(story->store.folder);
}

/* A process that dies leaves the snapshot that was there last, or the one before where it had not written the new one yet. */
static void what_is_read_from_a_snapshot_on_is_what_was_there_then(void **state) {
    story_t story;
    size_t taken = 0;

    (void)state;
    story_make(&story);
    for (size_t cut = 0; cut <= story.size; cut += 7) {
        const moment_t *moment = moment_at(&story, cut), *of = moment;

        for (int older = 0; older < 2; older++, of--) {
            while (of > story.moments && !of->snapshot) of--;
            if (of == story.moments) break;
            story_cut(&story, cut, moment);
            file_write(story.snapshot, of->snapshot, of->snapshot_size);
            assert_recovers(&story, cut, moment);
            taken++;
        }
    }
    assert_true(taken > story.size / 7);
    story_end(&story);
}

static void what_is_found_after_a_cut_at_any_byte_is_what_was_there_then(void **state) {
    story_t story;

    (void)state;
    story_make(&story);
    for (size_t cut = 0; cut <= story.size; cut++) {
        const moment_t *moment = moment_at(&story, cut);

        story_cut(&story, cut, moment);
        assert_recovers(&story, cut, moment);
    }
    story_end(&story);
}

/* A machine that dies can lose the end of a segment, and keep a manifest that was written after it. */
static void a_manifest_that_is_newer_than_what_is_left_tells_of_nothing_that_was_lost(void **state) {
    story_t story;

    (void)state;
    story_make(&story);
    for (size_t cut = 0; cut <= story.size; cut++) {
        story_cut(&story, cut, &story.moments[story.count - 1]);
        assert_recovers(&story, cut, moment_at(&story, cut));
    }
    story_end(&story);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_after_a_cut_at_any_byte_is_what_was_there_then),
        cmocka_unit_test(what_is_read_from_a_snapshot_on_is_what_was_there_then),
        cmocka_unit_test(a_manifest_that_is_newer_than_what_is_left_tells_of_nothing_that_was_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
