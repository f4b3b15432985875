/* What the tests of the store share: a folder of their own, a manifest, elements, a journal with something in it, files to damage. */
#ifndef REPRISE_TEST_STORE_H
#define REPRISE_TEST_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/store/folder.h"
#include "actors/store/journal.h"
#include "actors/store/manifest.h"
#include "actors/store/reader.h"
#include "actors/store/segment.h"

#define START INT64_C(1700000000000000)
enum { BIG_SEGMENT = 128 * 1024 * 1024, STREAMS_MAX = 8 };

typedef struct store {
    char data[256];   /* a data folder of the test's own */
    char folder[512]; /* of the recording `r1` */
    char signatures[STREAMS_MAX][32];
    const char *tags[STREAMS_MAX][1];
    msg_stream_t streams[STREAMS_MAX];
    msg_manifest_t manifest;
} store_t;

#define ok(call, why)                                                                                                                      \
    do {                                                                                                                                   \
        if ((call) < 0) fail_msg("%s", (why).text);                                                                                        \
    } while (0)

static inline void store_make(store_t *store, size_t streams) {
    const char *tmp = getenv("TMPDIR");
    char recordings[300];

    *store = (store_t){0};
    snprintf(store->data, sizeof store->data, "%s/reprise-store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(store->data));
    snprintf(recordings, sizeof recordings, "%s/recordings", store->data);
    assert_int_equal(mkdir(recordings, 0755), 0);
    folder_recording_path(store->data, "r1", store->folder, sizeof store->folder);
    for (size_t i = 0; i < streams; i++) {
        snprintf(store->signatures[i], sizeof store->signatures[i], "urn:%zu|00", i);
        store->tags[i][0] = store->signatures[i];
        store->streams[i] = (msg_stream_t){.has_signature = true,
                                           .signature = store->signatures[i],
                                           .has_urn = true,
                                           .urn = "urn",
                                           .has_tags = true,
                                           .tags = {1, store->tags[i]}};
    }
    store->manifest =
        (msg_manifest_t){.has_format = true, .format = MANIFEST_FORMAT, .has_recording = true, .has_totals = true, .has_gaps = true};
    store->manifest.recording = (msg_recording_job_t){
        .has_recording = true,
        .recording = "r1",
        .has_job = true,
        .job = "j1",
        .has_pipeline = true,
        .pipeline = "p1",
        .has_state = true,
        .state = "RUNNING",
        .has_limits = true,
        .limits = {.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE},
        .has_streams = true,
        .has_created = true,
        .created = START,
    };
    store->manifest.recording.streams.count = streams;
    store->manifest.recording.streams.items = store->streams;
}

static inline void store_remove(store_t *store) {
    char path[512];
    fault_t why;

    ok(folder_remove(store->folder, &why), why);
    snprintf(path, sizeof path, "%s/recordings", store->data);
    ok(folder_remove(path, &why), why);
    ok(folder_remove(store->data, &why), why);
}

static inline journal_t *store_journal(store_t *store, int64_t segment_bytes) {
    fault_t why;
    journal_t *journal = journal_create(store->folder, &store->manifest, START, segment_bytes, &why);

    if (!journal) fail_msg("%s", why.text);
    return journal;
}

/* `count` elements [time, payload] of 12 + size bytes each, told apart by `seed`. Free it. */
static inline uint8_t *elements_make(uint32_t count, uint8_t size, uint8_t seed, size_t *ret_size) {
    size_t each = 1 + 9 + 2 + (size_t)size;
    uint8_t *all = calloc(count + 1, each);

    assert_non_null(all);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = all + i * each;

        at[0] = 0x92;
        at[1] = 0xd3;
        at[9] = (uint8_t)i;
        at[10] = 0xc4;
        at[11] = size;
        memset(at + 12, seed + (int)i, size);
    }
    *ret_size = count * each;
    return all;
}

/* Appends them as `stream`, from one producer, whose number is `seq`; with `gap`, that was lost before them. */
static inline int store_append_with(journal_t *journal, const char *gap, int64_t lost_us, uint32_t stream, int64_t at, uint32_t count,
                                    uint8_t size, uint64_t seq, fault_t *why) {
    size_t total;
    uint8_t *elements = elements_make(count, size, (uint8_t)seq, &total);
    uint8_t cursor[3] = {0xcd, (uint8_t)(seq >> 8), (uint8_t)seq};
    journal_meta_t meta = {.producer = "p", .seq = seq, .cursor = {cursor, sizeof cursor}, .has_watermark = true, .watermark = at};
    journal_run_t run = {.stream = stream,
                         .count = count,
                         .gap = {.what = gap, .lost_us = lost_us, .with = {.producer = "p", .seq = seq}},
                         .elements = {elements, total},
                         .metas = &meta,
                         .metas_count = 1};
    int failed = journal_runs(journal, at, &run, 1, why);

    free(elements);
    return failed;
}

static inline int store_append(journal_t *journal, uint32_t stream, int64_t at, uint32_t count, uint8_t size, uint64_t seq, fault_t *why) {
    return store_append_with(journal, NULL, -1, stream, at, count, size, seq, why);
}

static inline uint8_t *file_read(const char *path, size_t *ret_size) {
    struct stat status;
    int descriptor = open(path, O_RDONLY);

    assert_true(descriptor >= 0);
    assert_int_equal(fstat(descriptor, &status), 0);

    uint8_t *data = calloc(1, (size_t)status.st_size + 1);

    assert_non_null(data);
    assert_int_equal(read(descriptor, data, (size_t)status.st_size), status.st_size);
    close(descriptor);
    *ret_size = (size_t)status.st_size;
    return data;
}

static inline void file_write(const char *path, const uint8_t *data, size_t size) {
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, data, size), (ssize_t)size);
    close(descriptor);
}

static inline void file_flip(const char *path, size_t offset, int bit) {
    int descriptor = open(path, O_RDWR);
    uint8_t byte;

    assert_true(descriptor >= 0);
    assert_int_equal(pread(descriptor, &byte, 1, (off_t)offset), 1);
    byte = (uint8_t)(byte ^ 1 << bit);
    assert_int_equal(pwrite(descriptor, &byte, 1, (off_t)offset), 1);
    close(descriptor);
}

/* A reader of all that a journal has. */
static inline reader_t *store_reader(const store_t *store, const journal_totals_t *totals, int64_t segment_bytes) {
    fault_t why;
    reader_t *reader = reader_open(store->folder, totals->segment, totals->length, totals->elements, segment_bytes, &why);

    if (!reader) fail_msg("%s", why.text);
    return reader;
}

#endif
