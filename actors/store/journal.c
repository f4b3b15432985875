/* The journal appends: it decides when a segment is full, seals each record, writes it, and then counts it.
 *
 * Two promises make it more than a write: no byte over a limit, so what an append will cost is known exactly before it is done; and a
 * recording can always be closed, so the records that close it never need a new segment, and their room on the disk is kept back. */
#include "journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../messages/codec.h"
#include "folder.h"
#include "ledger.h"
#include "manifest.h"
#include "meta.h"
#include "recovery.h"
#include "writer.h"

enum {
    WATERMARK_COST = RECORD_OVERHEAD + 9,
    HEADER_GROWTH = 64, /* what a stream's entry in a header can grow by, from its first watermark and longer numbers */
};

struct journal {
    char folder[SEGMENT_PATH_SIZE];
    msg_manifest_t *manifest;
    ledger_t ledger;
    writer_t writer;
    uint64_t segment_bytes;
    uint64_t slack;    /* how far past its size a segment may go for records without elements */
    uint64_t full_at;  /* the size, or more where one batch is larger: where the slack begins */
    bool failed;       /* an append has failed: closing records only */
    bool gaps_unsaved; /* the manifest does not have them all */
    disk_t *disk;      /* borrowed */
    msgpack_sbuffer meta, body;
    bytes_t *parts; /* of a body, its array's header first */
    struct iovec *pieces;
    size_t parts_room;
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

    if (totals->records <= totals->segment + 1) return false;
    if (kind == RECORD_ELEMENTS) return journal->writer.length + size > journal->segment_bytes;
    return journal->writer.length + size > journal->full_at + journal->slack;
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

/* ---- life ---- */
static journal_t *journal_new(const char *folder, msg_manifest_t *manifest, int64_t segment_bytes) {
    journal_t *journal = calloc(1, sizeof *journal);

    must(journal && segment_bytes > 0);
    must(snprintf(journal->folder, sizeof journal->folder, "%s", folder) < (int)sizeof journal->folder);
    journal->manifest = manifest;
    journal->writer.descriptor = -1;
    journal->segment_bytes = (uint64_t)segment_bytes;
    msgpack_sbuffer_init(&journal->meta);
    msgpack_sbuffer_init(&journal->body);
    ledger_init(&journal->ledger, manifest);
    journal->slack = 4096 + 4 * closing_cost(journal);
    return journal;
}

void journal_close(journal_t **journal) {
    journal_t *old = *journal;

    *journal = NULL;
    if (!old) return;
    writer_close(&old->writer);
    ledger_fini(&old->ledger);
    manifest_free(&old->manifest);
    msgpack_sbuffer_destroy(&old->meta);
    msgpack_sbuffer_destroy(&old->body);
    free(old->parts);
    free(old->pieces);
    free(old);
}

static uint64_t journal_room(const journal_t *journal) {
    return journal->segment_bytes + journal->slack;
}

/* ---- appending ---- */
/* Room for a body of `count` parts. */
static void journal_fit(journal_t *journal, size_t count) {
    if (count <= journal->parts_room) return;
    journal->parts_room = 2 * count;
    journal->parts = realloc(journal->parts, journal->parts_room * sizeof *journal->parts);
    journal->pieces = realloc(journal->pieces, (journal->parts_room + 3) * sizeof *journal->pieces);
    must(journal->parts && journal->pieces);
}

static struct iovec piece_of(const void *data, size_t size) {
    return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
}

/* Seals `record` and writes it with its meta and the first `count` of the journal's parts. */
static int journal_write(journal_t *journal, writer_t *writer, record_view_t *record, size_t count, bool closing, fault_t *why) {
    uint8_t head[RECORD_HEAD_SIZE], body_head[RECORD_OVERHEAD - RECORD_HEAD_SIZE];

    if (disk_fails(journal->disk)) return fault_errno(why, "cannot append to %s", writer->path);
    record->size = record_seal(record, journal->parts, count, head, body_head);
    journal->pieces[0] = piece_of(head, sizeof head);
    journal->pieces[1] = piece_of(record->meta.data, record->meta.size);
    journal->pieces[2] = piece_of(body_head, sizeof body_head);
    for (size_t i = 0; i < count; i++) journal->pieces[i + 3] = piece_of(journal->parts[i].data, journal->parts[i].size);
    return writer_append(writer, journal->pieces, count + 3, record->size, closing, why);
}

/* Writes the header into a segment just created; `journal->parts[0]` is used. */
static int journal_head(journal_t *journal, writer_t *writer, int64_t at, fault_t *why) {
    msg_segment_header_t header;
    record_view_t record = {.kind = RECORD_SEGMENT, .number = journal->ledger.totals.records, .stream = RECORD_STREAM_ALL, .at = at};

    ledger_header(&journal->ledger, &header);
    msgpack_sbuffer_clear(&journal->body);
    record_encode(RECORD_CLASS(segment_header), &header, &journal->body);
    journal_fit(journal, 1);
    journal->parts[0] = (bytes_t){(const uint8_t *)journal->body.data, journal->body.size};
    if (journal_write(journal, writer, &record, 1, false, why) < 0) return -1;
    ledger_segment(&journal->ledger, &record);
    journal->full_at = journal->segment_bytes > record.size ? journal->segment_bytes : record.size;
    return 0;
}

static int journal_roll(journal_t *journal, int64_t at, fault_t *why) {
    writer_t next;

    /* what was said in this segment is not read again once there is another */
    if (journal->gaps_unsaved && journal_save(journal, journal->manifest, why) < 0) return -1;
    if (writer_create(&next, journal->folder, journal->ledger.totals.records, journal_room(journal), journal->slack, why) < 0) return -1;
    if (journal_head(journal, &next, at, why) < 0) {
        writer_abandon(&next);
        return -1;
    }
    writer_close(&journal->writer);
    journal->writer = next;
    return 0;
}

/* `head` is what begins an array of elements, and empty for other kinds. */
static int journal_append(journal_t *journal, record_view_t *record, bytes_t head, const bytes_t *body, size_t count, fault_t *why) {
    const journal_totals_t *totals = &journal->ledger.totals;
    bool closes = record->kind == RECORD_STREAM_ENDED || record->kind == RECORD_ENDED;
    uint64_t size = RECORD_OVERHEAD + record->meta.size + head.size;

    if (totals->ended) return fault_set(why, "cannot append to %s: the recording has ended", journal->writer.path);
    must(record->stream < journal->ledger.streams_count || record->stream == RECORD_STREAM_ALL);
    for (size_t i = 0; i < count; i++) size += body[i].size;
    if (record->at < totals->at) record->at = totals->at;
    if (roll_is_due(journal, record->kind, size) && journal_roll(journal, record->at, why) < 0) goto fail;

    journal_fit(journal, count + 1);
    journal->parts[0] = head;
    if (count > 0) memcpy(journal->parts + 1, body, count * sizeof *body);
    record->number = totals->records;
    if (journal_write(journal, &journal->writer, record, count + 1, closes || journal->failed, why) < 0) goto fail;
    ledger_record(&journal->ledger, record, journal->parts, count + 1);
    if (record->kind == RECORD_ELEMENTS && totals->length > journal->full_at) journal->full_at = totals->length;
    return 0;
fail:
    journal->failed = true;
    return -1;
}

int journal_elements(journal_t *journal, uint32_t stream, int64_t at, uint32_t count, const bytes_t *parts, size_t parts_count,
                     const journal_meta_t *metas, size_t metas_count, fault_t *why) {
    uint8_t head[RECORD_BODY_HEAD] = {0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    record_view_t record = {.kind = RECORD_ELEMENTS, .stream = stream, .at = at, .count = count};

    if (journal->failed) return fault_set(why, "cannot append to %s: an append before this one has failed", journal->writer.path);
    must(stream < journal->ledger.streams_count);
    msgpack_sbuffer_clear(&journal->meta);
    meta_write(metas, metas_count, &journal->meta);
    record.meta = (bytes_t){(const uint8_t *)journal->meta.data, journal->meta.size};
    if (journal_append(journal, &record, (bytes_t){head, sizeof head}, parts, parts_count, why) < 0) return -1;
    for (size_t i = 0; i < metas_count; i++) producers_put(&journal->ledger.producers, stream, &metas[i]);
    return 0;
}

int journal_watermark(journal_t *journal, uint32_t stream, int64_t at, int64_t watermark, fault_t *why) {
    record_view_t record = {.kind = RECORD_WATERMARK, .stream = stream, .at = at};
    msgpack_packer pk;
    uint8_t value[9];
    bytes_t body = {value, 0};

    must(stream < journal->ledger.streams_count);
    msgpack_sbuffer_clear(&journal->meta);
    msgpack_packer_init(&pk, &journal->meta, msgpack_sbuffer_write);
    msgpack_pack_int64(&pk, watermark);
    body.size = journal->meta.size;
    must(body.size <= sizeof value);
    memcpy(value, journal->meta.data, body.size);
    return journal_append(journal, &record, (bytes_t){0}, &body, 1, why);
}

static int gap_append(journal_t *journal, record_view_t *record, const char *what, int64_t lost_us, fault_t *why) {
    bytes_t text = {(const uint8_t *)what, strlen(what)};
    bool all = record->stream == RECORD_STREAM_ALL;
    msgpack_sbuffer out;
    msgpack_packer pk;
    int failed;

    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 1U + (lost_us >= 0) + all);
    msgpack_pack_str_with_body(&pk, "what", 4);
    msgpack_pack_str_with_body(&pk, what, text.size);
    if (lost_us >= 0) {
        msgpack_pack_str_with_body(&pk, "lost_us", 7);
        msgpack_pack_int64(&pk, lost_us);
    }
    if (all) {
        msgpack_pack_str_with_body(&pk, "all", 3);
        msgpack_pack_true(&pk);
    }
    failed = journal_append(journal, record, (bytes_t){0}, &(bytes_t){(const uint8_t *)out.data, out.size}, 1, why);
    msgpack_sbuffer_destroy(&out);
    if (failed < 0) return -1;
    ledger_gap(&journal->ledger, record->stream, text, lost_us);
    journal->gaps_unsaved = true;
    return 0;
}

int journal_gap_later(journal_t *journal, uint32_t stream, int64_t at, const char *what, int64_t lost_us, fault_t *why) {
    record_view_t record = {.kind = RECORD_GAP, .stream = stream, .at = at};

    return gap_append(journal, &record, what, lost_us, why);
}

int journal_gap(journal_t *journal, uint32_t stream, int64_t at, const char *what, int64_t lost_us, fault_t *why) {
    if (journal_gap_later(journal, stream, at, what, lost_us, why) < 0) return -1;
    return journal_save(journal, journal->manifest, why);
}

int journal_gap_by(journal_t *journal, uint32_t stream, int64_t at, const char *what, int64_t lost_us, const char *producer, uint64_t seq,
                   fault_t *why) {
    record_view_t record = {.kind = RECORD_GAP, .stream = stream, .at = at};
    journal_meta_t by = {.producer = producer, .seq = seq};

    if (journal->failed) return fault_set(why, "cannot append to %s: an append before this one has failed", journal->writer.path);
    msgpack_sbuffer_clear(&journal->meta);
    meta_write(&by, 1, &journal->meta);
    record.meta = (bytes_t){(const uint8_t *)journal->meta.data, journal->meta.size};
    if (gap_append(journal, &record, what, lost_us, why) < 0) return -1;
    producers_gap(&journal->ledger.producers, stream, producer, seq);
    return 0;
}

int journal_stream_ended(journal_t *journal, uint32_t stream, int64_t at, fault_t *why) {
    record_view_t record = {.kind = RECORD_STREAM_ENDED, .stream = stream, .at = at};

    must(stream < journal->ledger.streams_count);
    return journal_append(journal, &record, (bytes_t){0}, NULL, 0, why);
}

int journal_ended(journal_t *journal, int64_t at, fault_t *why) {
    record_view_t record = {.kind = RECORD_ENDED, .stream = RECORD_STREAM_ALL, .at = at};

    return journal_append(journal, &record, (bytes_t){0}, NULL, 0, why);
}

/* ---- create, open, save ---- */
/* `<parent>/.new-<id>` beside `<parent>/<id>`: what is half made is never seen under its name. */
static int folder_names(const char *folder, char ret_parent[SEGMENT_PATH_SIZE], char ret_fresh[SEGMENT_PATH_SIZE], fault_t *why) {
    const char *slash = strrchr(folder, '/');
    size_t size = slash ? (size_t)(slash - folder) : 0;

    if (!slash || size == 0 || slash[1] == 0 || strlen(folder) + 64 > SEGMENT_PATH_SIZE)
        return fault_set(why, "cannot create the recording %s: that is no path that it could have", folder);
    memcpy(ret_parent, folder, size);
    ret_parent[size] = 0;
    must(snprintf(ret_fresh, SEGMENT_PATH_SIZE, "%.*s/.new-%s", (int)size, folder, slash + 1) < SEGMENT_PATH_SIZE);
    return 0;
}

journal_t *journal_create(const char *folder, const msg_manifest_t *manifest, int64_t now, int64_t segment_bytes, fault_t *why) {
    char parent[SEGMENT_PATH_SIZE], fresh[SEGMENT_PATH_SIZE];
    journal_t *journal = NULL;

    if (folder_names(folder, parent, fresh, why) < 0 || folder_remove(fresh, why) < 0) return NULL;
    if (mkdir(fresh, 0755) < 0) {
        fault_errno(why, "cannot create the folder %s", fresh);
        return NULL;
    }
    journal = journal_new(folder, manifest_copy(manifest), segment_bytes);
    if (manifest_write(fresh, manifest, why) < 0 ||
        writer_create(&journal->writer, fresh, 0, journal_room(journal), journal->slack, why) < 0 ||
        journal_head(journal, &journal->writer, now, why) < 0 || manifest_sync_folder(fresh, why) < 0)
        goto fail;
    if (rename(fresh, folder) < 0) {
        fault_errno(why, "cannot create the recording %s", folder);
        goto fail;
    }
    segment_path(folder, 0, journal->writer.path);
    if (manifest_sync_folder(parent, why) == 0) return journal;
    folder_remove(folder, &(fault_t){0});
fail:
    journal_close(&journal);
    folder_remove(fresh, &(fault_t){0});
    return NULL;
}

/* Makes the disk agree with what recovery found. */
static int journal_mend(journal_t *journal, const recovery_t *found, fault_t *why) {
    for (size_t i = 0; i < found->dropped_count; i++) {
        char path[SEGMENT_PATH_SIZE];

        segment_path(journal->folder, found->dropped[i], path);
        if (unlink(path) < 0) return fault_errno(why, "cannot delete %s", path);
    }
    if (writer_open(&journal->writer, journal->folder, found->segment, found->length, journal_room(journal), journal->slack, why) < 0)
        return -1;
    if (found->length == 0) return journal_head(journal, &journal->writer, journal->manifest->recording.created, why);
    journal->full_at = journal->segment_bytes > found->elements_end ? journal->segment_bytes : found->elements_end;
    if (journal->ledger.totals.ended) writer_close(&journal->writer);
    return 0;
}

journal_t *journal_open(const char *folder, int64_t segment_bytes, uint64_t *ret_torn, fault_t *why) {
    msg_manifest_t *manifest = NULL;
    recovery_t found = {0};

    if (manifest_read(folder, &manifest, why) < 0) return NULL;

    journal_t *journal = journal_new(folder, manifest, segment_bytes);

    journal->gaps_unsaved = true; /* perhaps */
    if (recovery_run(folder, &journal->ledger, &found, why) < 0 || journal_mend(journal, &found, why) < 0)
        journal_close(&journal);
    else
        *ret_torn = found.torn;
    free(found.dropped);
    return journal;
}

void journal_set_disk(journal_t *journal, disk_t *disk) {
    journal->disk = disk;
}

const msg_manifest_t *journal_manifest(const journal_t *journal) {
    return journal->manifest;
}

int journal_save(journal_t *journal, const msg_manifest_t *manifest, fault_t *why) {
    msg_manifest_t whole = *manifest;
    msg_manifest_t *old = journal->manifest;

    must(manifest->recording.streams.count == journal->ledger.streams_count);
    whole.has_gaps = true;
    whole.gaps.count = journal->ledger.gaps_count;
    whole.gaps.items = journal->ledger.gaps;
    if (manifest_write(journal->folder, &whole, why) < 0) return -1;
    journal->manifest = manifest_copy(&whole);
    journal->ledger.manifest = journal->manifest;
    journal->gaps_unsaved = false;
    manifest_free(&old);
    return 0;
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

const char *journal_segment_path(const journal_t *journal) {
    return journal->writer.path;
}
