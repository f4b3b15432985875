/* The journal appends: it decides when a segment is full, seals each record, writes it, and then counts it.
 *
 * Two promises make it more than a write: no byte over a limit, so what an append will cost is known exactly before it is done; and a
 * recording can always be closed, so the records that close it never need a new segment, and their room on the disk is kept back. */
#include <stdlib.h>
#include <string.h>

#include "../../messages/codec.h"
#include "gap_body.h"
#include "journal_state.h"
#include "meta.h"

enum {
    WATERMARK_SIZE = 9, /* of its value, at most */
    WATERMARK_COST = RECORD_OVERHEAD + WATERMARK_SIZE,
    PIECES = 5,         /* of a record: head, meta, the body's head, and the body in two */
    HEADER_GROWTH = 64, /* what a stream's entry in a header can grow by, from its first watermark and longer numbers */
};

struct staged {
    record_view_t record; /* its meta lies at `meta_at` of the journal's */
    size_t meta_at;
    uint8_t head[RECORD_HEAD_SIZE], body_head[RECORD_OVERHEAD - RECORD_HEAD_SIZE];
    uint8_t small[WATERMARK_SIZE]; /* the body's beginning: an array's header, a watermark */
    size_t small_size;
    bytes_t rest;                /* of the body: the caller's; of a gap: known when it is sealed */
    const journal_meta_t *metas; /* the caller's */
    size_t metas_count;
};

/* ---- sizes ---- */
uint64_t journal_closing_cost(size_t streams) {
    return streams * (WATERMARK_COST + RECORD_OVERHEAD) + RECORD_OVERHEAD;
}

static uint64_t closing_cost(const journal_t *journal) {
    return journal_closing_cost(journal->ledger.streams_count);
}

static size_t header_size(const journal_t *journal) {
    msg_segment_header_t header;
    msgpack_sbuffer out;

    msgpack_sbuffer_init(&out);
    ledger_header(&journal->ledger, &header);
    record_encode(RECORD_CLASS(segment_header), &header, &out);

    size_t size = RECORD_OVERHEAD + out.size;

    msgpack_sbuffer_destroy(&out);
    return size;
}

/* Must a record of that size go to a new segment? A segment has one record after its header, however large. */
static bool roll_is_due(const journal_t *journal, int kind, uint64_t size) {
    const journal_totals_t *totals = &journal->ledger.totals;

    uint64_t length = journal->writer.length + journal->staged_size + size;

    if (totals->records + journal->staged_count <= totals->segment + 1) return false;
    return length > (kind == RECORD_ELEMENTS ? journal->segment_bytes : journal->full_at + journal->slack);
}

static size_t gap_metas(const journal_gap_t *gap) {
    return gap->with.producer ? 1 : 0;
}

static size_t gap_size(uint32_t stream, const journal_gap_t *gap) {
    msgpack_sbuffer body;

    msgpack_sbuffer_init(&body);
    gap_body_pack(gap->what, gap->lost_us, stream == RECORD_STREAM_ALL, &body);

    size_t size = RECORD_OVERHEAD + meta_size(&gap->with, gap_metas(gap)) + body.size;

    msgpack_sbuffer_destroy(&body);
    return size;
}

size_t journal_gap_size(const journal_gap_t *gap) {
    return gap->what ? gap_size(0, gap) : 0;
}

uint64_t journal_bytes_after(const journal_t *journal, size_t elements_size, const journal_meta_t *metas, size_t metas_count) {
    uint64_t size = RECORD_OVERHEAD + RECORD_BODY_HEAD + elements_size + meta_size(metas, metas_count);

    return journal->ledger.totals.bytes + size + (roll_is_due(journal, RECORD_ELEMENTS, size) ? header_size(journal) : 0);
}

/* The slack is four times what closing costs: closing fits into its second half, which only many watermarks in a row can reach. From there
 * on a header is kept back, too. So what is kept back before an append of elements is enough after it. */
uint64_t journal_closing_bytes(const journal_t *journal) {
    if (journal->writer.length <= journal->full_at + journal->slack / 2) return closing_cost(journal);
    return closing_cost(journal) + header_size(journal) + journal->ledger.streams_count * HEADER_GROWTH + HEADER_GROWTH;
}

/* ---- appending ---- */
uint64_t journal_room(const journal_t *journal) {
    return journal->segment_bytes + journal->slack;
}

static struct iovec piece_of(const void *data, size_t size) {
    return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
}

/* Takes a record in to be written with the next. Its number and time are set when it is sealed. */
static staged_t *journal_stage(journal_t *journal, const record_view_t *record, const journal_meta_t *metas, size_t metas_count) {
    if (journal->staged_count == journal->staged_room) {
        journal->staged_room = journal->staged_room ? 2 * journal->staged_room : 4;
        journal->staged = realloc(journal->staged, journal->staged_room * sizeof *journal->staged);
        journal->pieces = realloc(journal->pieces, journal->staged_room * PIECES * sizeof *journal->pieces);
        must(journal->staged && journal->pieces);
    }
    if (journal->staged_count == 0) msgpack_sbuffer_clear(&journal->metas);

    staged_t *staged = &journal->staged[journal->staged_count++];

    staged->record = *record;
    staged->meta_at = journal->metas.size;
    meta_write(metas, metas_count, &journal->metas);
    staged->record.meta.size = journal->metas.size - staged->meta_at;
    staged->metas = metas;
    staged->metas_count = metas_count;
    staged->small_size = 0;
    staged->rest = (bytes_t){0};
    return staged;
}

/* In how many parts its body is. */
static size_t staged_body(const staged_t *staged, bytes_t ret_parts[2]) {
    ret_parts[0] = (bytes_t){staged->small, staged->small_size};
    ret_parts[1] = staged->rest;
    return staged->rest.size > 0 ? 2 : 1;
}

static void journal_seal(journal_t *journal, staged_t *staged, uint64_t number) {
    const uint8_t *metas = (const uint8_t *)journal->metas.data; /* NULL where nobody has said anything */
    bytes_t body[2];

    staged->record.number = number;
    if (staged->record.meta.size > 0) staged->record.meta.data = metas + staged->meta_at;
    if (staged->record.kind == RECORD_GAP) staged->rest.data = metas + staged->meta_at + staged->record.meta.size;

    size_t parts = staged_body(staged, body);

    staged->record.size = record_seal(&staged->record, body, parts, staged->head, staged->body_head);
}

/* Seals what is staged and writes all of it. */
static int journal_write(journal_t *journal, writer_t *writer, bool closing, fault_t *why) {
    struct iovec *piece = journal->pieces;
    size_t size = 0;

    for (size_t i = 0; i < journal->staged_count; i++) {
        staged_t *staged = &journal->staged[i];

        journal_seal(journal, staged, journal->ledger.totals.records + i);
        *piece++ = piece_of(staged->head, sizeof staged->head);
        *piece++ = piece_of(staged->record.meta.data, staged->record.meta.size);
        *piece++ = piece_of(staged->body_head, sizeof staged->body_head);
        *piece++ = piece_of(staged->small, staged->small_size);
        *piece++ = piece_of(staged->rest.data, staged->rest.size);
        size += staged->record.size;
    }
    if (disk_fails(journal->disk)) return fault_errno(why, "cannot append to %s", writer->path);
    return writer_append(writer, journal->pieces, journal->staged_count * PIECES, size, closing, why);
}

static void journal_unstage(journal_t *journal) {
    journal->staged_count = 0;
    journal->staged_size = 0;
}

void journal_begin(journal_t *journal, uint64_t elements_end) {
    journal->elements_end = elements_end;
    journal->full_at = journal->segment_bytes > elements_end ? journal->segment_bytes : elements_end;
}

int journal_head(journal_t *journal, writer_t *writer, int64_t at, fault_t *why) {
    msg_segment_header_t header;
    msgpack_sbuffer body;
    int failed;

    ledger_header(&journal->ledger, &header);
    msgpack_sbuffer_init(&body);
    record_encode(RECORD_CLASS(segment_header), &header, &body);

    staged_t *staged = journal_stage(journal, &(record_view_t){.kind = RECORD_SEGMENT, .stream = RECORD_STREAM_ALL, .at = at}, NULL, 0);

    staged->rest = (bytes_t){(const uint8_t *)body.data, body.size};
    failed = journal_write(journal, writer, false, why);
    if (failed == 0) {
        ledger_segment(&journal->ledger, &staged->record);
        journal_begin(journal, staged->record.size);
        snapshot_begin(&journal->snapshot, staged->record.size, staged->record.number + 1);
    }
    journal_unstage(journal);
    msgpack_sbuffer_destroy(&body);
    return failed;
}

void journal_leave(journal_t *journal, uint64_t segment) {
    if (journal->left_count == journal->left_room) {
        journal->left_room = 2 * journal->left_room + 16;
        journal->left = realloc(journal->left, journal->left_room * sizeof journal->left[0]);
        must(journal->left);
    }
    journal->left[journal->left_count++] = segment;
}

static int journal_roll(journal_t *journal, int64_t at, fault_t *why) {
    writer_t next;
    uint64_t segment = journal->ledger.totals.segment;

    /* what was said in this segment is not read again once there is another */
    if (journal->gaps_saved != journal->ledger.gaps_count && journal_save(journal, journal->manifest, why) < 0) return -1;
    if (writer_create(&next, journal->folder, journal->ledger.totals.records, journal_room(journal), journal->slack, why) < 0) return -1;
    if (journal_head(journal, &next, at, why) < 0) {
        writer_abandon(&next);
        return -1;
    }
    writer_close(&journal->writer);
    journal->writer = next;
    journal_leave(journal, segment);
    return 0;
}

static void journal_count_gap(journal_t *journal, const staged_t *staged) {
    bytes_t what;
    int64_t lost_us;

    must(gap_body_read(staged->rest, &what, &lost_us) == 0);
    ledger_gap(&journal->ledger, staged->record.stream, what, lost_us);
}

/* What is staged is on its way to the disk: it counts from now on. */
static void journal_count(journal_t *journal, const staged_t *staged) {
    bytes_t body[2];
    size_t parts = staged_body(staged, body);
    const record_view_t *record = &staged->record;

    ledger_record(&journal->ledger, record, body, parts);
    if (record->kind == RECORD_GAP) journal_count_gap(journal, staged);
    if (record->kind == RECORD_ELEMENTS) journal->elements_end = journal->ledger.totals.length;
    for (size_t i = 0; i < staged->metas_count; i++) {
        if (record->kind == RECORD_GAP)
            producers_gap(&journal->ledger.producers, record->stream, staged->metas[i].producer, staged->metas[i].seq);
        else
            producers_put(&journal->ledger.producers, record->stream, &staged->metas[i]);
    }
}

/* So that a restart need not read all of the segment. */
static void journal_summarise(journal_t *journal) {
    if (journal->ledger.totals.ended)
        snapshot_drop(journal->folder);
    else if (journal->gaps_saved <= journal->ledger.gaps_count && journal->staged_count > 0)
        snapshot_keep(&journal->snapshot, journal->folder, &journal->ledger, journal->staged[journal->staged_count - 1].record.size,
                      &(snapshot_place_t){journal->elements_end, journal->gaps_saved});
}

static int journal_commit(journal_t *journal, bool closes, fault_t *why) {
    int failed = journal_write(journal, &journal->writer, closes || journal->failed, why);

    if (failed < 0) {
        journal->failed = true;
    } else {
        for (size_t i = 0; i < journal->staged_count; i++) journal_count(journal, &journal->staged[i]);
        journal_summarise(journal);
    }
    journal_unstage(journal);
    return failed;
}

/* Before a record of that size is staged: where there is no room for it, what is staged goes to the disk and a new segment begins. */
static int journal_make_room(journal_t *journal, record_view_t *record, uint64_t size, fault_t *why) {
    const journal_totals_t *totals = &journal->ledger.totals;

    if (totals->ended) return fault_set(why, "cannot append to %s: the recording has ended", journal->writer.path);
    must(record->stream < journal->ledger.streams_count || record->stream == RECORD_STREAM_ALL);
    if (record->at < totals->at) record->at = totals->at;
    if (roll_is_due(journal, record->kind, size) &&
        ((journal->staged_count > 0 && journal_commit(journal, false, why) < 0) || journal_roll(journal, record->at, why) < 0)) {
        journal->failed = true;
        return -1;
    }
    journal->staged_size += size;

    uint64_t length = journal->writer.length + journal->staged_size;

    if (record->kind == RECORD_ELEMENTS && length > journal->full_at) journal->full_at = length;
    return 0;
}

static void journal_stage_gap(journal_t *journal, const record_view_t *record, const journal_gap_t *gap) {
    staged_t *staged = journal_stage(journal, record, &gap->with, gap_metas(gap));
    size_t before = journal->metas.size;

    gap_body_pack(gap->what, gap->lost_us, record->stream == RECORD_STREAM_ALL, &journal->metas);
    staged->rest.size = journal->metas.size - before;
}

/* A gap and what came with it have one place: only at the end of a file can the one be without the other, where recovery takes it away. */
static int journal_stage_run(journal_t *journal, int64_t at, const journal_run_t *run, fault_t *why) {
    record_view_t record = {.kind = RECORD_ELEMENTS, .stream = run->stream, .at = at, .count = run->count};
    uint64_t size = RECORD_OVERHEAD + meta_size(run->metas, run->metas_count) + RECORD_BODY_HEAD + run->elements.size;

    must(run->stream < journal->ledger.streams_count);
    if (journal_make_room(journal, &record, journal_gap_size(&run->gap) + size, why) < 0) return -1;
    if (run->gap.what) journal_stage_gap(journal, &(record_view_t){.kind = RECORD_GAP, .stream = run->stream, .at = record.at}, &run->gap);

    staged_t *staged = journal_stage(journal, &record, run->metas, run->metas_count);

    staged->small[0] = 0xdd;
    for (int i = 0; i < 4; i++) staged->small[1 + i] = (uint8_t)(run->count >> (24 - 8 * i));
    staged->small_size = RECORD_BODY_HEAD;
    staged->rest = run->elements;
    return 0;
}

static int journal_stage_watermark(journal_t *journal, uint32_t stream, int64_t at, int64_t watermark, fault_t *why) {
    record_view_t record = {.kind = RECORD_WATERMARK, .stream = stream, .at = at};
    char value[WATERMARK_SIZE];
    msgpack_sbuffer out = {.data = value, .alloc = sizeof value};
    msgpack_packer pk;

    must(stream < journal->ledger.streams_count);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    msgpack_pack_int64(&pk, watermark);
    must(out.data == value);
    if (journal_make_room(journal, &record, RECORD_OVERHEAD + out.size, why) < 0) return -1;

    staged_t *staged = journal_stage(journal, &record, NULL, 0);

    memcpy(staged->small, value, out.size);
    staged->small_size = out.size;
    return 0;
}

int journal_runs(journal_t *journal, int64_t at, const journal_run_t *runs, size_t count, fault_t *why) {
    int failed = 0;

    if (journal->failed) return fault_set(why, "cannot append to %s: an append before this one has failed", journal->writer.path);
    for (size_t i = 0; failed == 0 && i < count; i++) {
        failed = journal_stage_run(journal, at, &runs[i], why);
        if (failed == 0 && runs[i].has_watermark) failed = journal_stage_watermark(journal, runs[i].stream, at, runs[i].watermark, why);
    }
    if (failed == 0) return journal_commit(journal, false, why);
    journal_unstage(journal);
    return -1;
}

int journal_elements(journal_t *journal, uint32_t stream, int64_t at, uint32_t count, bytes_t elements, const journal_meta_t *metas,
                     size_t metas_count, fault_t *why) {
    journal_run_t run = {.stream = stream, .count = count, .elements = elements, .metas = metas, .metas_count = metas_count};

    return journal_runs(journal, at, &run, 1, why);
}

int journal_watermark(journal_t *journal, uint32_t stream, int64_t at, int64_t watermark, fault_t *why) {
    if (journal_stage_watermark(journal, stream, at, watermark, why) < 0) return -1;
    return journal_commit(journal, false, why);
}

int journal_gap_later(journal_t *journal, uint32_t stream, int64_t at, const char *what, int64_t lost_us, fault_t *why) {
    record_view_t record = {.kind = RECORD_GAP, .stream = stream, .at = at};
    journal_gap_t gap = {.what = what, .lost_us = lost_us};

    if (journal_make_room(journal, &record, gap_size(stream, &gap), why) < 0) return -1;
    journal_stage_gap(journal, &record, &gap);
    return journal_commit(journal, false, why);
}

int journal_gap(journal_t *journal, uint32_t stream, int64_t at, const char *what, int64_t lost_us, fault_t *why) {
    if (journal_gap_later(journal, stream, at, what, lost_us, why) < 0) return -1;
    return journal_save(journal, journal->manifest, why);
}

/* One that ends something has no body. */
static int journal_close_with(journal_t *journal, record_view_t *record, fault_t *why) {
    if (journal_make_room(journal, record, RECORD_OVERHEAD, why) < 0) return -1;
    journal_stage(journal, record, NULL, 0);
    return journal_commit(journal, true, why);
}

int journal_stream_ended(journal_t *journal, uint32_t stream, int64_t at, fault_t *why) {
    record_view_t record = {.kind = RECORD_STREAM_ENDED, .stream = stream, .at = at};

    must(stream < journal->ledger.streams_count);
    return journal_close_with(journal, &record, why);
}

int journal_ended(journal_t *journal, int64_t at, fault_t *why) {
    record_view_t record = {.kind = RECORD_ENDED, .stream = RECORD_STREAM_ALL, .at = at};

    return journal_close_with(journal, &record, why);
}

/* ---- state ---- */
const journal_totals_t *journal_totals(const journal_t *journal) {
    return &journal->ledger.totals;
}

const msg_stream_total_t *journal_stream(const journal_t *journal, uint32_t stream) {
    must(stream < journal->ledger.streams_count);
    return &journal->ledger.streams[stream];
}

size_t journal_streams(const journal_t *journal) {
    return journal->ledger.streams_count;
}

const msg_producer_t *journal_producer(const journal_t *journal, uint32_t stream, const char *producer) {
    return producers_find(&journal->ledger.producers, stream, producer);
}

const msg_producer_t *journal_producers(const journal_t *journal, size_t *ret_count) {
    *ret_count = journal->ledger.producers.count;
    return journal->ledger.producers.items;
}

const msg_gap_t *journal_gaps(const journal_t *journal, size_t *ret_count) {
    *ret_count = journal->ledger.gaps_count;
    return journal->ledger.gaps;
}

const uint64_t *journal_left(const journal_t *journal, size_t *ret_count) {
    *ret_count = journal->left_count;
    return journal->left;
}

void journal_forget_left(journal_t *journal) {
    journal->left_count = 0;
}

const char *journal_segment_path(const journal_t *journal) {
    return journal->writer.path;
}
