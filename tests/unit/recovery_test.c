#include "store.h"

#include "actors/store/gap_body.h"
#include "actors/store/meta.h"
#include "actors/store/record.h"
#include "actors/store/snapshot.h"
#include "messages/codec.h"

enum { SEGMENT_BYTES = 2048, STATES_MAX = 100 };

/* A small recording of several segments, and the totals after each record. */
typedef struct story {
    store_t store;
    journal_totals_t states[STATES_MAX];
    uint64_t seqs[STATES_MAX];
    size_t count;
    char last[SEGMENT_PATH_SIZE], before[SEGMENT_PATH_SIZE]; /* the last segment and the one before it */
    uint8_t *bytes, *bytes_before;
    size_t size, size_before;
    size_t header_size; /* of the last segment's header */
} story_t;

static void story_note(story_t *story, const journal_t *journal) {
    const msg_producer_t *producer = journal_producer(journal, 0, "p");

    assert_true(story->count < STATES_MAX);
    story->seqs[story->count] = producer ? (uint64_t)producer->seq : 0;
    story->states[story->count++] = *journal_totals(journal);
}

static void story_make(story_t *story, bool ended) {
    journal_t *journal;
    fault_t why;

    *story = (story_t){0};
    store_make(&story->store, 2);
    journal = store_journal(&story->store, SEGMENT_BYTES);
    story_note(story, journal);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        ok(store_append(journal, 0, START + (int64_t)seq, 3, 60, seq, &why), why);
        story_note(story, journal);
        if (seq % 4 == 0) {
            ok(journal_watermark(journal, 1, START + (int64_t)seq, (int64_t)seq * 1000, &why), why);
            story_note(story, journal);
        }
    }
    if (ended) {
        ok(journal_stream_ended(journal, 1, START + 90, &why), why);
        story_note(story, journal);
        ok(journal_ended(journal, START + 100, &why), why);
        story_note(story, journal);
    }
    journal_close(&journal);

    uint64_t *numbers;
    size_t count;
    record_view_t header;

    ok(segment_list(story->store.folder, &numbers, &count, &why), why);
    assert_true(count > 2);
    segment_path(story->store.folder, numbers[count - 1], story->last);
    segment_path(story->store.folder, numbers[count - 2], story->before);
    free(numbers);
    story->bytes = file_read(story->last, &story->size);
    story->bytes_before = file_read(story->before, &story->size_before);
    assert_true(record_read((bytes_t){story->bytes, story->size}, true, &header) > 0);
    story->header_size = header.size;
}

/* Puts the files back, whatever was appended or cut off since. */
static void story_restore(const story_t *story) {
    uint64_t *numbers;
    size_t count;
    fault_t why;
    char path[SEGMENT_PATH_SIZE];

    ok(segment_list(story->store.folder, &numbers, &count, &why), why);
    for (size_t i = 0; i < count; i++) {
        segment_path(story->store.folder, numbers[i], path);
        if (strcmp(path, story->before) > 0) assert_int_equal(unlink(path), 0);
    }
    free(numbers);
    file_write(story->before, story->bytes_before, story->size_before);
    file_write(story->last, story->bytes, story->size);
}

static void story_end(story_t *story) {
    free(story->bytes);
    free(story->bytes_before);
    store_remove(&story->store);
}

static journal_t *story_open(const story_t *story, uint64_t *ret_torn) {
    fault_t why;
    journal_t *journal = journal_open(story->store.folder, SEGMENT_BYTES, ret_torn, &why);

    if (!journal) fail_msg("%s", why.text);
    return journal;
}

static void assert_totals_equal(const journal_totals_t *a, const journal_totals_t *b) {
    assert_int_equal(a->records, b->records);
    assert_int_equal(a->elements, b->elements);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->segment, b->segment);
    assert_int_equal(a->length, b->length);
    assert_int_equal(a->at, b->at);
    assert_int_equal(a->ended, b->ended);
    assert_memory_equal(a->digest.bytes, b->digest.bytes, sizeof a->digest.bytes);
}

/* The last state of the story that is whole when the last segment has only `size` bytes. */
static size_t story_state_at(const story_t *story, size_t size) {
    uint64_t last = story->states[story->count - 1].segment;
    size_t best = 0;

    for (size_t i = 0; i < story->count; i++)
        if (story->states[i].segment < last || story->states[i].length <= size) best = i;
    return best;
}

static void an_unharmed_recording_opens_as_it_was(void **state) {
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        story_t story;
        uint64_t torn = 99;

        story_make(&story, ended);
        journal_t *journal = story_open(&story, &torn);

        assert_int_equal(torn, 0);
        assert_totals_equal(journal_totals(journal), &story.states[story.count - 1]);
        assert_int_equal(journal_producer(journal, 0, "p")->seq, 20);
        assert_memory_equal(journal_producer(journal, 0, "p")->cursor.data, "\xcd\0\x14", 3);
        assert_int_equal(journal_stream(journal, 0)->elements, 60);
        assert_int_equal(journal_stream(journal, 1)->watermark, 20000);
        assert_int_equal(journal_stream(journal, 1)->ended, ended);
        journal_close(&journal);
        story_end(&story);
    }
}

static void a_last_segment_cut_at_any_byte_recovers_to_its_whole_records(void **state) {
    story_t story;
    fault_t why;

    (void)state;
    story_make(&story, true);
    assert_true(story.states[story.count - 1].segment > 0);
    for (size_t cut = 0; cut < story.size; cut++) {
        file_write(story.last, story.bytes, cut);

        uint64_t torn = 0;
        journal_t *journal = story_open(&story, &torn);
        size_t expected = story_state_at(&story, cut);
        bool header = story.states[expected].segment < story.states[story.count - 1].segment;
        uint64_t header_size = 0;

        if (header && journal_totals(journal)->records > story.states[expected].records) { /* the header alone was whole */
            header_size = story.header_size;
            assert_int_equal(journal_totals(journal)->records, story.states[expected].records + 1);
            assert_int_equal(journal_totals(journal)->elements, story.states[expected].elements);
        } else {
            assert_totals_equal(journal_totals(journal), &story.states[expected]);
        }
        assert_int_equal(torn, header ? cut - header_size : cut - story.states[expected].length);
        assert_int_equal(journal_producer(journal, 0, "p")->seq, story.seqs[expected]);
        journal_close(&journal);

        journal = story_open(&story, &torn); /* what was cut off is gone */
        assert_int_equal(torn, 0);
        if (!journal_totals(journal)->ended) ok(store_append(journal, 0, START + 200, 1, 5, 99, &why), why);
        journal_close(&journal);
        journal = story_open(&story, &torn);
        assert_int_equal(torn, 0);
        if (!journal_totals(journal)->ended) assert_int_equal(journal_producer(journal, 0, "p")->seq, 99);
        journal_close(&journal);
        story_restore(&story);
    }
    story_end(&story);
}

static void a_recording_of_one_segment_cut_in_its_header_begins_anew(void **state) {
    (void)state;
    for (size_t cut = 0; cut < 60; cut += 7) {
        store_t store;
        journal_t *journal;
        uint64_t torn;
        fault_t why;
        char path[SEGMENT_PATH_SIZE];
        size_t size;

        store_make(&store, 1);
        journal = store_journal(&store, SEGMENT_BYTES);
        snprintf(path, sizeof path, "%s", journal_segment_path(journal));
        journal_close(&journal);

        uint8_t *bytes = file_read(path, &size), *again;

        file_write(path, bytes, cut);
        journal = journal_open(store.folder, SEGMENT_BYTES, &torn, &why);
        assert_non_null(journal);
        assert_int_equal(torn, cut);
        assert_int_equal(journal_totals(journal)->records, 1);
        again = file_read(path, &size);
        assert_memory_equal(again, bytes, size);
        ok(store_append(journal, 0, START, 1, 1, 1, &why), why);
        journal_close(&journal);
        free(bytes);
        free(again);
        store_remove(&store);
    }
}

/* Flips bits of the record from `from` to `to`, of which each must be told as damage at `from`. */
static size_t story_damage(const story_t *story, uint64_t from, uint64_t to) {
    char text[64];
    fault_t why;
    uint64_t torn;
    size_t checked = 0;

    snapshot_drop(story->store.folder); /* all of it is read */
    snprintf(text, sizeof text, "%s is damaged at byte %llu", strrchr(story->last, '/') + 1, (unsigned long long)from);
    for (size_t offset = from; offset < to; offset += 3, checked++) {
        file_flip(story->last, offset, (int)(offset % 8));
        assert_null(journal_open(story->store.folder, SEGMENT_BYTES, &torn, &why));
        if (!strstr(why.text, text)) fail_msg("at %zu: %s", offset, why.text);
        file_flip(story->last, offset, (int)(offset % 8));
    }
    return checked;
}

static void a_bad_record_with_valid_ones_after_it_is_damage_that_names_file_and_offset(void **state) {
    story_t story;
    uint64_t torn;

    (void)state;
    story_make(&story, false);

    uint64_t from = story.header_size;
    size_t checked = story_damage(&story, 0, from);

    for (size_t i = 0; i + 1 < story.count; i++) {
        if (story.states[i].segment != story.states[story.count - 1].segment) continue;
        checked += story_damage(&story, from, story.states[i].length);
        from = story.states[i].length;
    }
    assert_true(checked > 100);
    journal_t *journal = story_open(&story, &torn); /* nothing was done about it */

    assert_int_equal(torn, 0);
    journal_close(&journal);
    story_end(&story);
}

static void a_bad_last_record_is_torn_while_the_recording_has_not_ended(void **state) {
    story_t story;
    uint64_t torn;

    (void)state;
    story_make(&story, false);
    file_flip(story.last, story.size - 1, 0);

    journal_t *journal = story_open(&story, &torn);

    assert_totals_equal(journal_totals(journal), &story.states[story.count - 2]);
    assert_int_equal(torn, story.size - story.states[story.count - 2].length);
    journal_close(&journal);
    story_end(&story);
}

static void in_a_recording_that_has_ended_nothing_is_torn(void **state) {
    story_t story;
    uint64_t torn;
    fault_t why;
    char digest[33];

    (void)state;
    story_make(&story, true);

    journal_t *journal = story_open(&story, &torn);
    msg_manifest_t manifest = story.store.manifest;

    digest_text(&journal_totals(journal)->digest, digest);
    manifest.has_digest = true;
    manifest.digest = digest;
    ok(journal_save(journal, &manifest, &why), why);
    journal_close(&journal);

    journal = story_open(&story, &torn);
    journal_close(&journal);
    file_flip(story.last, story.size - 1, 0);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "has ended"));
    file_write(story.last, story.bytes, story.states[story.count - 2].length);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "is missing"));
    story_end(&story);
}

static void a_shortened_or_lost_segment_before_the_last_is_damage(void **state) {
    story_t story;
    uint64_t torn;
    fault_t why;
    char path[SEGMENT_PATH_SIZE];
    size_t size;

    (void)state;
    story_make(&story, false);
    segment_path(story.store.folder, 0, path);

    uint8_t *bytes = file_read(path, &size);

    file_write(path, bytes, size - 1);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "is damaged: the segments before"));
    assert_int_equal(unlink(path), 0);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    free(bytes);
    story_end(&story);
}

/* A gap's record is written before the manifest: a crash between them loses the latter. */
static void a_gap_that_the_manifest_does_not_have_yet_is_found_and_others_are_not_doubled(void **state) {
    store_t store;
    journal_t *journal;
    uint64_t torn;
    size_t count, size;
    fault_t why;
    char path[SEGMENT_PATH_SIZE];

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, SEGMENT_BYTES);
    ok(journal_gap(journal, 0, START, "a restart", -1, &why), why);
    ok(store_append(journal, 0, START, 2, 1, 1, &why), why);
    ok(journal_gap(journal, RECORD_STREAM_ALL, START, "a restart", 7, &why), why);
    snprintf(path, sizeof path, "%s/" MANIFEST_FILE, store.folder);

    uint8_t *manifest = file_read(path, &size);

    ok(journal_gap(journal, RECORD_STREAM_ALL, START, "a restart", 7, &why), why);
    journal_close(&journal);
    file_write(path, manifest, size);
    for (int round = 0; round < 2; round++) {
        journal = journal_open(store.folder, SEGMENT_BYTES, &torn, &why);
        assert_non_null(journal);

        const msg_gap_t *gaps = journal_gaps(journal, &count);

        assert_int_equal(count, 3);
        assert_string_equal(gaps[0].tag, store.signatures[0]);
        assert_false(gaps[2].has_tag);
        assert_int_equal(gaps[2].lost_us, 7);
        assert_int_equal(gaps[2].element, 2);
        ok(journal_save(journal, journal_manifest(journal), &why), why);
        journal_close(&journal);
    }
    free(manifest);
    store_remove(&store);
}

/* Sealed with a right checksum, so that only what it says is wrong. */
static void a_record_that_cannot_come_next_is_damage(void **state) {
    static const struct {
        record_view_t record; /* number and time are added to what would be right */
        const char *text;
    } cases[] = {
        {{.kind = RECORD_STREAM_ENDED, .number = 1}, "its number is not the one that comes next"},
        {{.kind = RECORD_STREAM_ENDED, .number = UINT64_MAX}, "its number is not the one that comes next"},
        {{.kind = RECORD_STREAM_ENDED, .at = -1}, "its time is earlier"},
        {{.kind = RECORD_STREAM_ENDED, .stream = 2}, "its stream is not one of the recording's"},
        {{.kind = RECORD_STREAM_ENDED, .stream = RECORD_STREAM_ALL}, "its stream is not one of the recording's"},
        {{.kind = RECORD_ENDED, .stream = 0}, "its stream is not one of the recording's"},
        {{.kind = RECORD_GAP, .stream = 0}, "its gap cannot be read"},
        {{.kind = RECORD_SEGMENT}, "a segment's header stands within the segment"},
        {{.kind = RECORD_STREAM_ENDED, .meta = {(const uint8_t *)"\x91\x93", 2}}, "its meta cannot be read"},
    };
    story_t story;
    fault_t why;
    uint64_t torn;

    (void)state;
    story_make(&story, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const journal_totals_t *last = &story.states[story.count - 1];
        record_view_t record = cases[i].record;
        uint8_t bytes[RECORD_OVERHEAD + 2], *whole = malloc(story.size + sizeof bytes);
        size_t meta = record.meta.size, size;

        assert_non_null(whole);
        record.number += last->records;
        record.at += last->at;
        size = record_seal(&record, NULL, 0, bytes, bytes + RECORD_HEAD_SIZE + meta);
        if (meta > 0) memcpy(bytes + RECORD_HEAD_SIZE, record.meta.data, meta);
        memcpy(whole, story.bytes, story.size);
        memcpy(whole + story.size, bytes, size);
        file_write(story.last, whole, story.size + size);
        assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
        if (!strstr(why.text, cases[i].text)) fail_msg("%zu: %s", i, why.text);
        free(whole);
    }
    story_end(&story);
}

static void nothing_valid_can_follow_the_end(void **state) {
    story_t story;
    fault_t why;
    uint64_t torn;
    uint8_t *whole;

    (void)state;
    story_make(&story, true);

    const journal_totals_t *last = &story.states[story.count - 1];
    record_view_t record = {.kind = RECORD_STREAM_ENDED, .number = last->records, .at = last->at};

    whole = malloc(story.size + RECORD_OVERHEAD);
    assert_non_null(whole);
    memcpy(whole, story.bytes, story.size);
    record_seal(&record, NULL, 0, whole + story.size, whole + story.size + RECORD_HEAD_SIZE);
    file_write(story.last, whole, story.size + RECORD_OVERHEAD);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "it comes after the record that ends the recording"));
    free(whole);
    story_end(&story);
}

static void an_unknown_format_is_refused_by_its_number(void **state) {
    story_t story;
    uint64_t torn;
    fault_t why;

    (void)state;
    story_make(&story, false);
    story.store.manifest.format = 2;
    ok(manifest_write(story.store.folder, &story.store.manifest, &why), why);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, MANIFEST_FILE " has format version 2"));
    story_end(&story);
}

static void a_segment_of_another_recording_is_refused(void **state) {
    story_t story;
    uint64_t torn;
    fault_t why;

    (void)state;
    story_make(&story, false);
    story.store.manifest.recording.recording = "r2";
    ok(manifest_write(story.store.folder, &story.store.manifest, &why), why);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "belongs to the recording r1, not to r2"));
    story_end(&story);
}

/* ---- gaps that producers told of ---- */

static journal_t *reopened(store_t *store, journal_t *journal, int64_t segment_bytes) {
    uint64_t torn = 0;
    fault_t why;

    journal_close(&journal);
    journal = journal_open(store->folder, segment_bytes, &torn, &why);
    if (!journal) fail_msg("%s", why.text);
    return journal;
}

/* The manifest does not have them, or has them from when a segment was begun: none is lost, and none is doubled. */
/* Puts another header before the records of the last segment. */
static void story_head(const story_t *story, void (*change)(msg_segment_header_t *)) {
    msgpack_zone *zone = msgpack_zone_new(1024);
    msg_segment_header_t header;
    record_view_t record;
    refusal_t no;
    msgpack_sbuffer body;
    uint8_t head[RECORD_HEAD_SIZE], body_head[RECORD_OVERHEAD - RECORD_HEAD_SIZE];

    assert_true(record_read((bytes_t){story->bytes, story->size}, true, &record) > 0);
    assert_int_equal(record_decode(RECORD_CLASS(segment_header), "header", record.body, zone, &header, &no), 0);
    change(&header);
    msgpack_sbuffer_init(&body);
    record_encode(RECORD_CLASS(segment_header), &header, &body);
    bytes_t whole = {(const uint8_t *)body.data, body.size};
    record_seal(&record, &whole, 1, head, body_head);

    FILE *file = fopen(story->last, "wb");

    assert_non_null(file);
    fwrite(head, sizeof head, 1, file);
    fwrite(body_head, sizeof body_head, 1, file);
    fwrite(body.data, body.size, 1, file);
    fwrite(story->bytes + story->header_size, story->size - story->header_size, 1, file);
    fclose(file);
    msgpack_sbuffer_destroy(&body);
    msgpack_zone_free(zone);
}

static void as_it_was(msg_segment_header_t *header) {
    (void)header;
}

static void producer_of_no_stream(msg_segment_header_t *header) {
    header->producers.items[0].stream = 2;
}

static void more_than_there_can_be(msg_segment_header_t *header) {
    header->streams.items[0].bytes = INT64_MAX;
}

static void a_header_that_cannot_be_right_is_damage(void **state) {
    story_t story;
    uint64_t torn;
    fault_t why;

    (void)state;
    story_make(&story, false);
    story_head(&story, as_it_was);
    journal_t *journal = journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why);
    assert_non_null(journal);
    journal_close(&journal);
    story_head(&story, producer_of_no_stream);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "its header cannot be right: a producer's stream is not one of the recording's"));
    story_head(&story, more_than_there_can_be);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "its header cannot be right: it tells of more than there can be"));
    story_end(&story);
}

static void a_gap_of_all_streams_has_no_producer(void **state) {
    story_t story;
    uint64_t torn;
    fault_t why;
    msgpack_sbuffer meta, body;
    uint8_t head[RECORD_HEAD_SIZE], body_head[RECORD_OVERHEAD - RECORD_HEAD_SIZE];
    journal_meta_t producer = {.producer = "p", .seq = 21};

    (void)state;
    story_make(&story, false);
    msgpack_sbuffer_init(&meta);
    msgpack_sbuffer_init(&body);
    meta_write(&producer, 1, &meta);
    gap_body_pack("lost", -1, true, &body);
    bytes_t whole = {(const uint8_t *)body.data, body.size};
    record_view_t record = {.kind = RECORD_GAP,
                            .number = story.states[story.count - 1].records,
                            .stream = RECORD_STREAM_ALL,
                            .at = START + 50,
                            .meta = {(const uint8_t *)meta.data, meta.size}};
    FILE *file = fopen(story.last, "ab");

    assert_non_null(file);
    for (int i = 0; i < 2; i++, record.number++) { /* the second, so that the first is no torn tail */
        record_seal(&record, &whole, 1, head, body_head);
        fwrite(head, sizeof head, 1, file);
        fwrite(meta.data, meta.size, 1, file);
        fwrite(body_head, sizeof body_head, 1, file);
        fwrite(body.data, body.size, 1, file);
    }
    fclose(file);
    assert_null(journal_open(story.store.folder, SEGMENT_BYTES, &torn, &why));
    assert_non_null(strstr(why.text, "its meta cannot be read"));
    msgpack_sbuffer_destroy(&meta);
    msgpack_sbuffer_destroy(&body);
    story_end(&story);
}

static void gaps_of_producers_are_found_again_wherever_they_are(void **state) {
    store_t store;
    fault_t why;
    size_t count;
    char what[32];

    (void)state;
    store_make(&store, 2);
    journal_t *journal = store_journal(&store, 2000);
    for (uint64_t seq = 1; seq <= 40; seq++) {
        snprintf(what, sizeof what, "hole %d", (int)seq);
        ok(store_append_with(journal, what, (int64_t)seq, 1, START, 2, 50, seq, &why), why);
        if (seq % 7 == 0) journal = reopened(&store, journal, 2000);
    }
    assert_true(journal_totals(journal)->segment > 0);
    for (int i = 0; i < 3; i++) {
        const msg_gap_t *gaps = journal_gaps(journal, &count);

        assert_int_equal(count, 40);
        for (size_t g = 0; g < count; g++) {
            assert_int_equal(gaps[g].lost_us, (int64_t)g + 1);
            assert_int_equal(gaps[g].element, 2 * (int64_t)g);
            assert_string_equal(gaps[g].tag, store.signatures[1]);
        }
        journal = reopened(&store, journal, 2000);
    }
    journal_close(&journal);
    store_remove(&store);
}

static void the_batch_of_a_gap_is_known_in_the_next_segment(void **state) {
    store_t store;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, 2000);
    ok(store_append_with(journal, "a hole", -1, 0, START, 2, 50, 9, &why), why);
    for (uint64_t seq = 10; seq <= 50; seq++) ok(store_append(journal, 0, START, 2, 50, seq, &why), why);
    assert_true(journal_totals(journal)->segment > 0);
    journal = reopened(&store, journal, 2000);
    assert_int_equal(journal_producer(journal, 0, "p")->gap, 9);
    assert_int_equal(journal_producer(journal, 0, "p")->seq, 50);
    journal_close(&journal);
    store_remove(&store);
}

static void no_more_than_a_thousand_gaps_are_listed(void **state) {
    store_t store;
    fault_t why;
    size_t count;

    (void)state;
    store_make(&store, 1);
    journal_t *journal = store_journal(&store, 20000);
    for (uint64_t seq = 1; seq <= 1100; seq++) ok(store_append_with(journal, "a hole", (int64_t)seq, 0, START, 0, 0, seq, &why), why);
    for (int i = 0; i < 2; i++) {
        const msg_gap_t *gaps = journal_gaps(journal, &count);

        assert_int_equal(count, 1000);
        assert_int_equal(gaps[999].lost_us, 1000);
        assert_int_equal(journal_producer(journal, 0, "p")->gap, 1100);
        journal = reopened(&store, journal, 20000);
    }
    journal_close(&journal);
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unharmed_recording_opens_as_it_was),
        cmocka_unit_test(a_last_segment_cut_at_any_byte_recovers_to_its_whole_records),
        cmocka_unit_test(a_recording_of_one_segment_cut_in_its_header_begins_anew),
        cmocka_unit_test(a_bad_record_with_valid_ones_after_it_is_damage_that_names_file_and_offset),
        cmocka_unit_test(a_bad_last_record_is_torn_while_the_recording_has_not_ended),
        cmocka_unit_test(in_a_recording_that_has_ended_nothing_is_torn),
        cmocka_unit_test(a_shortened_or_lost_segment_before_the_last_is_damage),
        cmocka_unit_test(a_gap_that_the_manifest_does_not_have_yet_is_found_and_others_are_not_doubled),
        cmocka_unit_test(a_record_that_cannot_come_next_is_damage),
        cmocka_unit_test(nothing_valid_can_follow_the_end),
        cmocka_unit_test(an_unknown_format_is_refused_by_its_number),
        cmocka_unit_test(a_segment_of_another_recording_is_refused),
        cmocka_unit_test(a_header_that_cannot_be_right_is_damage),
        cmocka_unit_test(a_gap_of_all_streams_has_no_producer),
        cmocka_unit_test(gaps_of_producers_are_found_again_wherever_they_are),
        cmocka_unit_test(the_batch_of_a_gap_is_known_in_the_next_segment),
        cmocka_unit_test(no_more_than_a_thousand_gaps_are_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
