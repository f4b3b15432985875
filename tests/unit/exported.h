/* What the tests of exports and imports share: a recording with something of everything in it, in small segments, and its whole export. */
#ifndef REPRISE_TEST_EXPORTED_H
#define REPRISE_TEST_EXPORTED_H

#include "actors/export.h"
#include "store.h"

enum { EXPORTED_SEGMENT = 4096, EXPORTED_RECORDS = 60 };

typedef struct exported {
    store_t store;
    journal_totals_t totals;
    msg_recording_place_t place;
} exported_t;

static inline void exported_place(exported_t *exported) {
    exported->place = (msg_recording_place_t){.recording = "r1",
                                              .pipeline = "p1",
                                              .folder = exported->store.folder,
                                              .start = START,
                                              .segment = (int64_t)exported->totals.segment,
                                              .length = (int64_t)exported->totals.length,
                                              .records = (int64_t)exported->totals.records,
                                              .elements = (int64_t)exported->totals.elements};
    exported->place.streams.count = 2;
    exported->place.streams.items = exported->store.streams;
}

static inline void exported_make(exported_t *exported) {
    fault_t why;
    store_make(&exported->store, 2);
    exported->store.streams[0].urn = "urn:0"; /* as the signatures begin */
    exported->store.streams[1].urn = "urn:1";
    journal_t *journal = store_journal(&exported->store, EXPORTED_SEGMENT);
    for (uint32_t i = 0; i < EXPORTED_RECORDS; i++) {
        int64_t at = START + 10 * i;
        const char *gap = i == 31 ? "a frame" : NULL;
        ok(store_append_with(journal, gap, -1, i % 2, at, i % 5, 30, i + 1, &why), why); /* every fifth has no elements */
        if (i % 7 == 0) ok(journal_watermark(journal, i % 2, at, at, &why), why);
        if (i == 20) ok(journal_gap(journal, RECORD_STREAM_ALL, at, "restarted", 5, &why), why);
    }
    ok(journal_stream_ended(journal, 1, START + 1000, &why), why);
    ok(journal_ended(journal, START + 2000, &why), why);
    exported->totals = *journal_totals(journal);
    assert_true(exported->totals.segment > 0);
    journal_close(&journal);
    exported_place(exported);
}

/* All of it, in pieces of `size`; destroy the buffer. */
static inline msgpack_sbuffer exported_whole(const exported_t *exported, const char *format, const char *tag, size_t size) {
    export_piece_t piece;
    char from[EXPORT_PLACE_SIZE];
    msgpack_sbuffer all;
    refusal_t no;
    msg_recording_export_t ask = {
        .format = format, .has_tag = tag != NULL, .tag = tag, .has_max_bytes = true, .max_bytes = (int64_t)size, .from = from};
    msgpack_sbuffer_init(&all);
    do {
        msgpack_sbuffer_init(&piece.data);
        if (export_read(&exported->place, &ask, EXPORTED_SEGMENT, &piece, &no) < 0) fail_msg("%s", no.message);
        assert_true(piece.data.size <= size);
        assert_int_equal(msgpack_sbuffer_write(&all, piece.data.data ? piece.data.data : "", piece.data.size), 0);
        msgpack_sbuffer_destroy(&piece.data);
        ask.has_from = true;
        snprintf(from, sizeof from, "%s", piece.next);
    } while (!piece.complete);
    return all;
}

#endif
