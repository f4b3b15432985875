/* Exports: their pieces, and where the next one begins. */
#include "exported.h"

#include "messages/wire.h"

static void pieces_of_any_size_make_the_same_file(void **state) {
    static const char *const formats[] = {"msgpack", "json"};
    exported_t exported;
    (void)state;
    exported_make(&exported);
    for (size_t f = 0; f < 2; f++) {
        msgpack_sbuffer whole = exported_whole(&exported, formats[f], NULL, 1 << 20);
        for (size_t size = 11; size < 5000; size = size * 2 + 1) {
            msgpack_sbuffer pieces = exported_whole(&exported, formats[f], NULL, size);
            assert_int_equal(pieces.size, whole.size);
            assert_memory_equal(pieces.data, whole.data, whole.size);
            msgpack_sbuffer_destroy(&pieces);
        }
        msgpack_sbuffer_destroy(&whole);
    }
    store_remove(&exported.store);
}

/* The last item of the file in msgpack. */
static msg_export_event_t end_of(const msgpack_sbuffer *whole, msgpack_zone *zone) {
    const uint8_t *at = (const uint8_t *)whole->data;
    size_t left = whole->size, size = wire_value_size((bytes_t){at, left});
    for (; size > 0 && size < left; size = wire_value_size((bytes_t){at, left})) {
        at += size;
        left -= size;
    }
    msg_export_event_t end;
    refusal_t no;
    if (record_decode(RECORD_CLASS(export_event), "end", (bytes_t){at, left}, zone, &end, &no) < 0) fail_msg("%s", no.message);
    return end;
}

static void the_end_says_how_many_and_the_digest_of_the_recording(void **state) {
    exported_t exported;
    char digest[33];
    msgpack_zone *zone = msgpack_zone_new(1024);
    (void)state;
    exported_make(&exported);
    msgpack_sbuffer whole = exported_whole(&exported, "msgpack", NULL, 1 << 20);
    msg_export_event_t end = end_of(&whole, zone);
    digest_text(&exported.totals.digest, digest);
    assert_string_equal(end.event, "end");
    assert_string_equal(end.digest, digest);
    assert_int_equal(end.count, exported.totals.elements);
    assert_int_equal(end.at, START + 2000);
    msgpack_sbuffer_destroy(&whole);
    msgpack_zone_free(zone);
    store_remove(&exported.store);
}

static refusal_t refused(const exported_t *exported, const msg_recording_export_t *ask) {
    export_piece_t piece;
    refusal_t no;
    msgpack_sbuffer_init(&piece.data);
    assert_int_equal(export_read(&exported->place, ask, EXPORTED_SEGMENT, &piece, &no), -1);
    msgpack_sbuffer_destroy(&piece.data);
    return no;
}

static void a_next_that_was_tampered_with_or_is_of_another_export_is_refused(void **state) {
    exported_t exported;
    export_piece_t piece;
    refusal_t no;
    (void)state;
    exported_make(&exported);
    msg_recording_export_t ask = {.format = "msgpack", .has_max_bytes = true, .max_bytes = 3000};
    msgpack_sbuffer_init(&piece.data);
    assert_int_equal(export_read(&exported.place, &ask, EXPORTED_SEGMENT, &piece, &no), 0);
    msgpack_sbuffer_destroy(&piece.data);
    char next[EXPORT_PLACE_SIZE];
    ask.has_from = true;
    for (size_t i = 0; piece.next[i]; i++) {
        memcpy(next, piece.next, sizeof next);
        next[i] = next[i] == '7' ? '8' : '7';
        ask.from = next;
        assert_int_equal(refused(&exported, &ask).code, ERROR_BAD_REQUEST);
    }
    ask.from = piece.next;
    ask.format = "json";
    assert_string_equal(refused(&exported, &ask).field, "from");
    ask.from = "";
    assert_string_equal(refused(&exported, &ask).field, "from");
    store_remove(&exported.store);
}

static void what_cannot_be_exported_is_refused(void **state) {
    exported_t exported;
    (void)state;
    exported_make(&exported);
    msg_recording_export_t ask = {.format = "beam"};
    assert_string_equal(refused(&exported, &ask).field, "tag");
    ask = (msg_recording_export_t){.format = "json", .has_tag = true, .tag = "nobody"};
    assert_int_equal(refused(&exported, &ask).code, ERROR_NOT_FOUND);
    ask = (msg_recording_export_t){.format = "json"};
    char path[SEGMENT_PATH_SIZE];
    segment_path(exported.store.folder, 0, path);
    file_flip(path, 2000, 1);
    refusal_t no = refused(&exported, &ask);
    assert_int_equal(no.code, ERROR_CORRUPT);
    assert_non_null(strstr(no.message, "000000000000.seg"));
    store_remove(&exported.store);
}

/* Exports while it grows: `place` is asked for anew with each piece. */
static void of_one_that_grows_it_is_what_there_was_as_the_first_piece_was_made(void **state) {
    exported_t exported;
    msgpack_zone *zone = msgpack_zone_new(1024);
    fault_t why;
    (void)state;
    store_make(&exported.store, 2);
    exported.store.streams[0].urn = "urn:0";
    exported.store.streams[1].urn = "urn:1";
    journal_t *journal = store_journal(&exported.store, EXPORTED_SEGMENT);
    for (uint32_t i = 0; i < EXPORTED_RECORDS; i++) ok(store_append(journal, i % 2, START + 10 * i, 3, 30, i + 1, &why), why);
    exported.totals = *journal_totals(journal);
    char digest[33], from[EXPORT_PLACE_SIZE];
    digest_text(&exported.totals.digest, digest);
    msgpack_sbuffer all;
    msgpack_sbuffer_init(&all);
    msg_recording_export_t ask = {.format = "msgpack", .has_max_bytes = true, .max_bytes = 1000, .from = from};
    export_piece_t piece;
    refusal_t no;
    do {
        exported_place(&exported);
        exported.place.growing = true;
        msgpack_sbuffer_init(&piece.data);
        if (export_read(&exported.place, &ask, EXPORTED_SEGMENT, &piece, &no) < 0) fail_msg("%s", no.message);
        msgpack_sbuffer_write(&all, piece.data.data, piece.data.size);
        msgpack_sbuffer_destroy(&piece.data);
        ask.has_from = true;
        snprintf(from, sizeof from, "%s", piece.next);
        for (uint32_t i = 0; i < 20; i++) ok(store_append(journal, 0, START + 10000, 3, 30, i + 1, &why), why);
        exported.totals = *journal_totals(journal);
    } while (!piece.complete);
    assert_int_equal(piece.elements, 3 * EXPORTED_RECORDS);
    msg_export_event_t end = end_of(&all, zone);
    assert_int_equal(end.count, 3 * EXPORTED_RECORDS);
    assert_string_equal(end.digest, digest);
    assert_int_equal(end.at, START + 10 * (EXPORTED_RECORDS - 1));
    journal_close(&journal);
    msgpack_sbuffer_destroy(&all);
    msgpack_zone_free(zone);
    store_remove(&exported.store);
}

static void elements_that_are_none_are_damage_whatever_their_checksum(void **state) {
    static const uint8_t half[] = {0x92, 0x01, 0xc4, 0x20, 'x'};
    static const char *const formats[] = {"msgpack", "json", "beam"};
    exported_t exported;
    (void)state;
    fault_t why;
    store_make(&exported.store, 1);
    journal_t *journal = store_journal(&exported.store, EXPORTED_SEGMENT);
    ok(journal_elements(journal, 0, START, 2, (bytes_t){half, sizeof half}, NULL, 0, &why), why);
    ok(journal_ended(journal, START, &why), why);
    exported.totals = *journal_totals(journal);
    journal_close(&journal);
    exported_place(&exported);
    exported.place.streams.count = 1;
    for (size_t i = 0; i < 3; i++) {
        refusal_t no = refused(&exported, &(msg_recording_export_t){.format = formats[i]});
        assert_int_equal(no.code, ERROR_CORRUPT);
        assert_non_null(strstr(no.message, "record 1 "));
    }
    store_remove(&exported.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_make_the_same_file),
        cmocka_unit_test(the_end_says_how_many_and_the_digest_of_the_recording),
        cmocka_unit_test(a_next_that_was_tampered_with_or_is_of_another_export_is_refused),
        cmocka_unit_test(what_cannot_be_exported_is_refused),
        cmocka_unit_test(of_one_that_grows_it_is_what_there_was_as_the_first_piece_was_made),
        cmocka_unit_test(elements_that_are_none_are_damage_whatever_their_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
