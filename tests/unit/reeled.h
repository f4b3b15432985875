/* What the tests of the reel share: one with its store, what is put into it, and what is in its recording then. */
#ifndef REPRISE_TEST_REELED_H
#define REPRISE_TEST_REELED_H

#include "actors/reel.h"

#include "store.h"

typedef struct bench {
    store_t store;
    reel_ledger_t ledger;
    reel_t *reel;
    fault_t why;
} bench_t;

static inline void bench_open(bench_t *bench, size_t streams, int64_t segment_bytes) {
    memset(bench, 0, sizeof *bench);
    store_make(&bench->store, streams);
    bench->reel = reel_create(bench->store.folder, &bench->store.manifest, START, 0, segment_bytes, &bench->ledger, &bench->why);
    if (!bench->reel) fail_msg("%s", bench->why.text);
}

static inline void bench_close(bench_t *bench) {
    reel_close(&bench->reel);
    assert_int_equal(bench->ledger.held, 0);
    store_remove(&bench->store);
}

static inline void bench_reopen(bench_t *bench) {
    uint64_t torn = 0;
    reel_close(&bench->reel);
    bench->reel = reel_open(bench->store.folder, START, 0, BIG_SEGMENT, &bench->ledger, &torn, &bench->why);
    if (!bench->reel) fail_msg("%s", bench->why.text);
    assert_int_equal(torn, 0);
}

static inline void bench_limit(bench_t *bench, reel_budget_t budget) {
    ok(reel_set_budget(bench->reel, &budget, 0, &bench->why), bench->why);
}

/* `count` elements of 12 + size bytes as the producer's next batch. */
static inline void put_with(bench_t *bench, reel_producer_t *producer, uint32_t count, uint8_t size, reel_batch_t batch, int64_t ticks) {
    size_t total;
    uint8_t *elements = elements_make(count, size, (uint8_t)producer->seq, &total);
    uint8_t *body = malloc(total + 5);
    assert_non_null(body);
    memcpy(body, (uint8_t[]){0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count}, 5);
    memcpy(body + 5, elements, total);
    batch.seq = producer->seq + 1;
    batch.count = count;
    batch.body = (bytes_t){body, total + 5};
    ok(reel_put(bench->reel, producer, &batch, ticks, &bench->why), bench->why);
    free(elements);
    free(body);
}

static inline void put(bench_t *bench, reel_producer_t *producer, uint32_t count, uint8_t size) {
    put_with(bench, producer, count, size, (reel_batch_t){0}, 0);
}

static inline void flush(bench_t *bench) {
    ok(reel_flush(bench->reel, 0, &bench->why), bench->why);
}

static inline const journal_totals_t *totals(const bench_t *bench) {
    return journal_totals(bench->reel->journal);
}

/* The records after the header, as text: "e2@0 w7@1 x@0 end", with counts, watermarks and streams. */
static inline const char *records(const bench_t *bench) {
    static char text[4096];
    reader_t *reader = store_reader(&bench->store, totals(bench), BIG_SEGMENT);
    position_t position = {0};
    record_view_t record;
    fault_t why;
    size_t size = 0;
    text[0] = 0;
    while (reader_next(reader, &position, &record, &why) > 0) {
        const char *space = size ? " " : "";
        char *at = text + size;
        size_t room = sizeof text - size;
        if (record.kind == RECORD_ELEMENTS) size += (size_t)snprintf(at, room, "%se%u@%u", space, record.count, record.stream);
        if (record.kind == RECORD_WATERMARK) size += (size_t)snprintf(at, room, "%sw%u@%u", space, record.body.data[0], record.stream);
        if (record.kind == RECORD_STREAM_ENDED) size += (size_t)snprintf(at, room, "%sx@%u", space, record.stream);
        if (record.kind == RECORD_GAP) size += (size_t)snprintf(at, room, "%sgap", space);
        if (record.kind == RECORD_ENDED) size += (size_t)snprintf(at, room, "%send", space);
    }
    reader_close(&reader);
    return text;
}

#endif
