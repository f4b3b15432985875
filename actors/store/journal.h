/* A journal: a recording being written. Appends records to segment files, keeps the totals, the digest and each producer's position,
 * and finds all of that again after a crash.
 *
 * The folder <data>/recordings/<id> holds manifest.msgpack and segments, each named by the number of its first record (12 digits, .seg).
 * Not thread-safe; one journal per folder in the process that holds the data folder's lock. */
#ifndef REPRISE_JOURNAL_H
#define REPRISE_JOURNAL_H

#include "../../messages/fault.h"
#include "disk.h"
#include "record.h"

typedef struct journal journal_t;

/* What must be as durable as the elements that it comes with. */
typedef struct journal_meta {
    const char *producer;
    uint64_t seq;
    bytes_t cursor; /* a msgpack value; size 0: none */
    bool has_watermark;
    int64_t watermark;
} journal_meta_t;

/* Creates the folder, the manifest (state, streams, limits as in `manifest`) and the first segment. `segment_bytes`: where to roll. */
journal_t *journal_create(const char *folder, const msg_manifest_t *manifest, int64_t now, int64_t segment_bytes, fault_t *why);

/* Opens a recording that a process or an actor left unfinished, or one that has ended (then nothing can be appended). Scans the last
 * segment only; cuts a torn tail off, and says so in `ret_torn` (bytes cut; 0: none). Damage (a bad record with valid ones after it) is a
 * failure that names file and offset. */
journal_t *journal_open(const char *folder, int64_t segment_bytes, uint64_t *ret_torn, fault_t *why);
void journal_close(journal_t **journal);
/* Each append asks it first. Borrowed; none at first. */
void journal_set_disk(journal_t *journal, disk_t *disk);

const msg_manifest_t *journal_manifest(const journal_t *journal); /* borrowed; replaced by journal_save */
/* Replaces the manifest file atomically (write, fsync, rename, fsync of the folder). */
int journal_save(journal_t *journal, const msg_manifest_t *manifest, fault_t *why);

/* What was lost before a batch, as its producer says with it. */
typedef struct journal_gap {
    const char *what;    /* NULL: nothing was lost */
    int64_t lost_us;     /* < 0: not known */
    journal_meta_t with; /* whose batch it is: producer and seq */
} journal_gap_t;

/* What becomes one record of elements, with a gap's before it and a watermark's behind it where there is one. */
typedef struct journal_run {
    uint32_t stream, count;
    bytes_t elements; /* `count` of them, without their array's header */
    const journal_meta_t *metas;
    size_t metas_count;
    bool has_watermark;
    int64_t watermark;
    journal_gap_t gap;
} journal_run_t;

/* ---- appending: one writev each. `at` is raised to the last record's where it is earlier. On failure the file is cut back to what it
 * was, and the journal stays usable for closing records only. ---- */
/* All of them in one writev, one for each segment where there is more than one. On failure, those of segments that were left behind are
 * there, and no others. A gap and its elements are in one segment, one behind the other: after a crash both are there, or neither is. */
int journal_runs(journal_t *journal, int64_t at, const journal_run_t *runs, size_t count, fault_t *why);
/* One, without a watermark. */
int journal_elements(journal_t *journal, uint32_t stream, int64_t at, uint32_t count, bytes_t elements, const journal_meta_t *metas,
                     size_t metas_count, fault_t *why);
int journal_watermark(journal_t *journal, uint32_t stream, int64_t at, int64_t watermark, fault_t *why);
/* `stream` may be RECORD_STREAM_ALL; `lost_us` < 0: not known. Also added to the totals' gaps, and to the manifest. */
int journal_gap(journal_t *journal, uint32_t stream, int64_t at, const char *what, int64_t lost_us, fault_t *why);
/* The same, but the manifest follows with the next segment, or when it is saved. */
int journal_gap_later(journal_t *journal, uint32_t stream, int64_t at, const char *what, int64_t lost_us, fault_t *why);
int journal_stream_ended(journal_t *journal, uint32_t stream, int64_t at, fault_t *why);
/* Writes the closing record; nothing can be appended afterwards. */
int journal_ended(journal_t *journal, int64_t at, fault_t *why);

/* ---- what an append would cost, so that no byte is over a limit ---- */
/* Bytes of the whole recording after appending elements of that size with those metas (a new segment's header included, if one is due);
 * where they come with a gap, its size is added to theirs. */
uint64_t journal_bytes_after(const journal_t *journal, size_t elements_size, const journal_meta_t *metas, size_t metas_count);
/* Of the record of a gap; 0 where nothing was lost. */
size_t journal_gap_size(const journal_gap_t *gap);
/* What the closing records and one watermark per stream can cost at most from here: keep this much back. */
uint64_t journal_closing_bytes(const journal_t *journal);
/* The same, of a recording that is about to begin. */
uint64_t journal_closing_cost(size_t streams);

/* ---- state ---- */
typedef struct journal_totals {
    uint64_t records, elements, bytes; /* bytes: of all segments */
    uint64_t segment, length;          /* the last segment's number and its valid bytes */
    int64_t at;                        /* the last record's */
    digest_t digest;
    bool ended;
} journal_totals_t;
const journal_totals_t *journal_totals(const journal_t *journal);
const msg_stream_total_t *journal_stream(const journal_t *journal, uint32_t stream);
size_t journal_streams(const journal_t *journal);
/* How far a producer of a stream has come; NULL where it has never sent. */
const msg_producer_t *journal_producer(const journal_t *journal, uint32_t stream, const char *producer);
/* All producers, in the order in which they first appeared. */
const msg_producer_t *journal_producers(const journal_t *journal, size_t *ret_count);
const msg_gap_t *journal_gaps(const journal_t *journal, size_t *ret_count);

/* The path of the last segment, for the syncer. */
const char *journal_segment_path(const journal_t *journal);
/* The numbers of those that were left behind, by this journal or by whoever wrote the recording before, until that is forgotten: the disk may
 * not have them. */
const uint64_t *journal_left(const journal_t *journal, size_t *ret_count);
void journal_forget_left(journal_t *journal);

#endif
