/* A recording for tests, written by the real journal: two streams, `A` under the tags `a` and `aa`, `B` under the tag `b`. Its clock starts
 * at TAPED_START; every time given is counted from there. The elements are numbered by their event times. */
#ifndef REPRISE_TESTS_TAPED_H
#define REPRISE_TESTS_TAPED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/store/journal.h"
#include "actors/store/record.h"
#include "messages/codec.h"

#define TAPED_START INT64_C(1700000000000000)

typedef struct taped {
    char data[64], folder[128];
    journal_t *journal;
    msg_stream_t streams[2];
    int64_t next; /* the event time of the next element */
    int64_t segment_bytes;
} taped_t;

static inline void taped_check(int result, const fault_t *why) {
    if (result < 0) fail_msg("%s", why->text);
}

static inline void taped_open(taped_t *taped, const char *data, int64_t segment_bytes) {
    static const char *const of_a[] = {"a", "aa"}, *const of_b[] = {"b"};
    *taped = (taped_t){.segment_bytes = segment_bytes};
    snprintf(taped->data, sizeof taped->data, "%s", data);
    snprintf(taped->folder, sizeof taped->folder, "%s/r1", data);
    taped->streams[0] = (msg_stream_t){.signature = "A", .urn = "urn:a", .tags = {2, (const char **)(uintptr_t)of_a}};
    taped->streams[1] = (msg_stream_t){.signature = "B", .urn = "urn:b", .tags = {1, (const char **)(uintptr_t)of_b}};
    msg_manifest_t manifest = {.format = 1};
    manifest.recording =
        (msg_recording_job_t){.recording = "r1", .job = "j1", .pipeline = "p1", .state = "RUNNING", .created = TAPED_START};
    manifest.recording.limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    manifest.recording.streams.count = 2;
    manifest.recording.streams.items = taped->streams;
    fault_t why;
    taped->journal = journal_create(taped->folder, &manifest, TAPED_START, segment_bytes, &why);
    if (!taped->journal) fail_msg("%s", why.text);
}

static inline void taped_elements(taped_t *taped, uint32_t stream, int64_t at, uint32_t count) {
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    for (uint32_t i = 0; i < count; i++) {
        msgpack_pack_array(&packer, 2);
        msgpack_pack_int64(&packer, taped->next++);
        msgpack_pack_bin_with_body(&packer, "payload", 7);
    }
    fault_t why;
    bytes_t part = {(const uint8_t *)out.data, out.size};
    taped_check(journal_elements(taped->journal, stream, TAPED_START + at, count, part, NULL, 0, &why), &why);
    msgpack_sbuffer_destroy(&out);
}

static inline void taped_watermark(taped_t *taped, uint32_t stream, int64_t at, int64_t to) {
    fault_t why;
    taped_check(journal_watermark(taped->journal, stream, TAPED_START + at, to, &why), &why);
}

static inline void taped_gap(taped_t *taped, uint32_t stream, int64_t at, const char *what, int64_t lost_us) {
    fault_t why;
    taped_check(journal_gap(taped->journal, stream, TAPED_START + at, what, lost_us, &why), &why);
}

static inline void taped_stream_ended(taped_t *taped, uint32_t stream, int64_t at) {
    fault_t why;
    taped_check(journal_stream_ended(taped->journal, stream, TAPED_START + at, &why), &why);
}

static inline void taped_ended(taped_t *taped, int64_t at) {
    fault_t why;
    taped_check(journal_ended(taped->journal, TAPED_START + at, &why), &why);
}

/* Where it is, as the recorder would say. */
static inline msg_recording_place_t taped_place(taped_t *taped) {
    const journal_totals_t *totals = journal_totals(taped->journal);
    msg_recording_place_t place = {.recording = "r1", .pipeline = "p1", .folder = taped->folder, .start = TAPED_START};
    place.streams.count = 2;
    place.streams.items = taped->streams;
    place.growing = !totals->ended;
    place.segment = (int64_t)totals->segment;
    place.length = (int64_t)totals->length;
    place.records = (int64_t)totals->records;
    place.elements = (int64_t)totals->elements;
    return place;
}

static inline msg_recording_grew_t taped_grew(taped_t *taped) {
    msg_recording_place_t place = taped_place(taped);
    return (msg_recording_grew_t){.recording = "r1",
                                  .segment = place.segment,
                                  .length = place.length,
                                  .records = place.records,
                                  .elements = place.elements,
                                  .growing = place.growing};
}

static inline void taped_close(taped_t *taped) {
    journal_close(&taped->journal);
}

#endif
