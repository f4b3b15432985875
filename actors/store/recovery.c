/* What a process that died left behind is read again here: the last segment record by record, those before it not at all, so that the
 * size of a recording does not matter.
 *
 * A process that dies in mid-append leaves a tail with nothing valid after it: that is torn, and may be cut off. A bad record with a valid
 * one after it cannot come about that way: that is damage, and nothing is done about it.
 *
 * A machine that loses its power leaves holes: pages that it had not brought to the disk, in any order. So from the checkpoint on all segments
 * are read then, and the first bad record is where the recording ends, whatever follows. Before the checkpoint a bad record is damage as ever. */
#include "recovery.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gap_body.h"
#include "manifest.h"
#include "segment.h"
#include "snapshot.h"

typedef struct scan {
    const char *folder;
    ledger_t *ledger;
    uint64_t number;    /* names the segment that is scanned */
    int64_t next;       /* the one behind it; -1: there is none */
    segment_t *segment; /* NULL: the file is empty */
    uint64_t size;      /* the file's */
    char path[SEGMENT_PATH_SIZE];
    bool *gaps_seen; /* of the manifest's gaps: there is a record for it */
    size_t gaps_known;
    bool begun; /* the first segment that is scanned has a header; what it says of those before it: */
    int64_t elements_before;
    uint64_t bytes_before;
    recovery_t *out;
} scan_t;

static int scan_open(scan_t *scan, uint64_t number, fault_t *why) {
    if (scan->segment && scan->number == number) return 0;

    int descriptor = segment_open(scan->folder, number, &scan->size, why);

    scan->number = number;
    segment_path(scan->folder, number, scan->path);
    if (descriptor < 0) return -1;
    segment_release(&scan->segment);
    if (scan->size > 0) scan->segment = segment_map(descriptor, scan->size, scan->path, why);
    close(descriptor);
    return scan->size > 0 && !scan->segment ? -1 : 0;
}

static int scan_unreadable(const scan_t *scan, fault_t *why) {
    return fault_set(why, "cannot read %s: the disk reports an error", scan->path);
}

static int scan_damaged(const scan_t *scan, uint64_t offset, const char *what, fault_t *why) {
    return fault_set(why, "%s is damaged at byte %llu: %s", scan->path, (unsigned long long)offset, what);
}

/* May the disk never have had what is there? Not in a recording that has ended: that is said once the disk has it all. */
static bool scan_may_lack(const scan_t *scan, uint64_t offset) {
    const checkpoint_t *checkpoint = &scan->out->checkpoint;

    return scan->out->power_lost && !scan->ledger->manifest->has_digest &&
           (scan->number > checkpoint->segment || (scan->number == checkpoint->segment && offset >= checkpoint->length));
}

/* Does the next segment begin with a valid record? */
static bool scan_follows(const scan_t *scan) {
    uint64_t size = 0;
    fault_t ignored;
    record_view_t record;
    int descriptor = scan->next >= 0 ? segment_open(scan->folder, (uint64_t)scan->next, &size, &ignored) : -1;
    segment_t *segment = descriptor >= 0 && size > 0 ? segment_map(descriptor, size, scan->path, &ignored) : NULL;
    bool follows = segment && segment_read(segment, 0, size, true, &record) > 0;

    segment_release(&segment);
    if (descriptor >= 0) close(descriptor);
    return follows;
}

/* The bytes from `offset` on are no record with `number`. 0 where they are a torn tail, -1 where they are damage. */
static int scan_judge(scan_t *scan, uint64_t offset, uint64_t number, fault_t *why) {
    if (offset >= scan->size || scan_may_lack(scan, offset)) return 0;

    int64_t found = segment_find(scan->segment, offset + 1, scan->size, number + 1);

    if (found == SEGMENT_UNREADABLE) return scan_unreadable(scan, why);
    if ((uint64_t)found < scan->size || scan_follows(scan))
        return scan_damaged(scan, offset, "a record does not match its checksum, but valid ones follow", why);
    if (scan->ledger->manifest->has_digest)
        return scan_damaged(scan, offset, "a record does not match its checksum, in a recording that has ended", why);
    return 0;
}

static int scan_header(scan_t *scan, const record_view_t *record, fault_t *why) {
    msg_segment_header_t header;
    msgpack_zone *zone = msgpack_zone_new(8192);
    ledger_t *ledger = scan->ledger;
    const char *objection;
    int failed;

    must(zone);
    failed = ledger_header_decode(scan->path, record->body, zone, &header, why);
    if (failed == 0 && strcmp(header.recording, ledger->manifest->recording.recording) != 0)
        failed = fault_set(why, "%s belongs to the recording %s, not to %s", scan->path, header.recording,
                           ledger->manifest->recording.recording);
    if (failed == 0 && header.streams.count != ledger->streams_count)
        failed = fault_set(why, "%s has %zu streams, its manifest %zu", scan->path, header.streams.count, ledger->streams_count);
    objection = failed == 0 ? ledger_header_objection(ledger, &header) : NULL;
    if (objection) failed = fault_set(why, "%s is damaged: its header cannot be right: %s", scan->path, objection);
    if (failed == 0 && scan->begun && record->number != ledger->totals.segment &&
        ((uint64_t)header.bytes != ledger->totals.bytes || (uint64_t)header.elements != ledger->totals.elements))
        failed = fault_set(why, "%s is damaged: its header does not agree with the segments before it", scan->path);
    if (failed == 0) {
        if (!scan->begun) {
            scan->begun = true;
            scan->elements_before = header.elements;
            scan->bytes_before = (uint64_t)header.bytes;
        }
        ledger_load(ledger, &header);
        ledger_segment(ledger, record);
    }
    msgpack_zone_free(zone);
    return failed;
}

/* 1: the segment begins with its header; 0: it holds nothing valid; -1. */
static int scan_begin(scan_t *scan, uint64_t number, fault_t *why) {
    record_view_t record;
    int64_t size = scan->size > 0 ? segment_read(scan->segment, 0, scan->size, true, &record) : 0;

    if (size == SEGMENT_UNREADABLE) return scan_unreadable(scan, why);
    if (size <= 0) return scan_judge(scan, 0, number, why);
    if (record.kind != RECORD_SEGMENT || record.number != number)
        return scan_may_lack(scan, 0) ? 0 : scan_damaged(scan, 0, "it does not begin with the header of this segment", why);
    return scan_header(scan, &record, why) < 0 ? -1 : 1;
}

/* The manifest was saved after the gap's record, so that some of this segment can be missing there. */
static int scan_gap(scan_t *scan, const record_view_t *record) {
    bytes_t what;
    int64_t lost_us;

    if (gap_body_read(record->body, &what, &lost_us) < 0) return -1;
    for (size_t i = 0; i < scan->gaps_known; i++)
        if (!scan->gaps_seen[i] && ledger_gap_is(scan->ledger, &scan->ledger->gaps[i], record->stream, what, lost_us)) {
            scan->gaps_seen[i] = true;
            return 0;
        }
    ledger_gap(scan->ledger, record->stream, what, lost_us);
    return 0;
}

/* A gap that came with a batch stands before it, and both are written at once. 0 where the batch is missing, because the process died while it
 * wrote: then the gap does not count either. Who lost something says so again, and perhaps has lost more since. 1: it counts; -1. */
static int scan_counts(scan_t *scan, uint64_t offset, const record_view_t *record, fault_t *why) {
    record_view_t next;
    int64_t size;

    if (record->kind != RECORD_GAP || record->meta.size == 0) return 1;
    offset += record->size;
    size = segment_read(scan->segment, offset, scan->size, true, &next);
    if (size == SEGMENT_UNREADABLE) return scan_unreadable(scan, why);
    return size > 0 ? 1 : scan_judge(scan, offset, record->number + 1, why);
}

/* Goes to where reading begins: in the first segment that is not behind its header where there is a snapshot. */
static void scan_skip(scan_t *scan, bool is_first) {
    recovery_t *out = scan->out;
    const journal_totals_t *totals = &scan->ledger->totals;
    snapshot_place_t place = {.elements_end = totals->length};

    out->from_snapshot = is_first && !out->power_lost && !scan->ledger->manifest->has_digest &&
                         snapshot_take(scan->folder, scan->segment, scan->size, scan->ledger, &place);
    out->elements_end = place.elements_end;
    for (size_t i = 0; i < place.gaps && i < scan->gaps_known; i++) scan->gaps_seen[i] = true;
    out->begin = totals->length;
    out->begin_records = totals->records;
}

static int scan_records(scan_t *scan, bool is_first, fault_t *why) {
    ledger_t *ledger = scan->ledger;

    scan_skip(scan, is_first);
    while (ledger->totals.length < scan->size) {
        uint64_t offset = ledger->totals.length;
        record_view_t record;
        int64_t size = segment_read(scan->segment, offset, scan->size, true, &record);

        if (size == SEGMENT_UNREADABLE) return scan_unreadable(scan, why);
        if (size <= 0) return scan_judge(scan, offset, ledger->totals.records, why);

        const char *objection = ledger_objection(ledger, &record);

        if (objection) return scan_may_lack(scan, offset) ? 0 : scan_damaged(scan, offset, objection, why);

        int counts = scan_counts(scan, offset, &record, why);

        if (counts <= 0) return counts;
        ledger_record(ledger, &record, &record.body, 1);
        if (ledger_metas(ledger, &record) < 0) return scan_damaged(scan, offset, "its meta cannot be read", why);
        if (record.kind == RECORD_GAP && scan_gap(scan, &record) < 0) return scan_damaged(scan, offset, "its gap cannot be read", why);
        if (record.kind == RECORD_ELEMENTS) scan->out->elements_end = ledger->totals.length;
    }
    return 0;
}

static int scan_sizes(const scan_t *scan, const uint64_t *numbers, size_t count, uint64_t *ret_sum, fault_t *why) {
    uint64_t size;

    *ret_sum = 0;
    for (size_t i = 0; i < count; i++) {
        int descriptor = segment_open(scan->folder, numbers[i], &size, why);

        if (descriptor < 0) return -1;
        close(descriptor);
        *ret_sum += size;
    }
    return 0;
}

/* Are the segments before the first that is read as long together as its header says? Tells of a lost or shortened file without reading any. */
static int scan_check_sizes(const scan_t *scan, const uint64_t *numbers, size_t count, fault_t *why) {
    uint64_t sum;

    if (scan_sizes(scan, numbers, count, &sum, why) < 0) return -1;
    if (sum != scan->bytes_before)
        return fault_set(why, "%s is damaged: the segments before %012llu.seg have %llu bytes, but were %llu", scan->folder,
                         (unsigned long long)numbers[count], (unsigned long long)sum, (unsigned long long)scan->bytes_before);
    return 0;
}

static int scan_check_end(const scan_t *scan, fault_t *why) {
    const ledger_t *ledger = scan->ledger;
    char digest[33];

    if (!ledger->manifest->has_digest) return 0;
    digest_text(&ledger->totals.digest, digest);
    if (!ledger->totals.ended) return scan_damaged(scan, ledger->totals.length, "the record that ends the recording is missing", why);
    if (strcmp(digest, ledger->manifest->digest) != 0)
        return fault_set(why, "%s is damaged: its digest is %s, but was %s", scan->folder, digest, ledger->manifest->digest);
    return 0;
}

/* Where reading begins: at the checkpoint after the machine has started anew, else at the last segment that has a header. */
static int scan_first(scan_t *scan, const uint64_t *numbers, size_t count, size_t *ret_first, fault_t *why) {
    size_t first = count;
    int begun = 0;

    if (scan->out->power_lost) {
        for (first = 0; first < count && numbers[first] != scan->out->checkpoint.segment;) first++;
        if (first == count)
            return fault_set(why, "%s is damaged: its segment %012llu.seg is missing", scan->folder,
                             (unsigned long long)scan->out->checkpoint.segment);
        *ret_first = first;
        return 0;
    }
    while (begun == 0 && first > 0) {
        first--;
        if (scan_open(scan, numbers[first], why) < 0 || (begun = scan_begin(scan, numbers[first], why)) < 0) return -1;
    }
    *ret_first = first;
    return 0;
}

/* Reads a segment that begins where the records before it end. 1: all of it is right, so that the next can follow; 0: the recording ends in it
 * or before it; -1. */
static int scan_segment(scan_t *scan, uint64_t number, bool is_first, fault_t *why) {
    int begun;

    if (!is_first && number != scan->ledger->totals.records) return 0;
    if (scan_open(scan, number, why) < 0 || (begun = scan_begin(scan, number, why)) < 0) return -1;
    if (begun == 0) return 0;
    scan->out->segment = number;
    if (scan_records(scan, is_first, why) < 0) return -1;
    scan->out->length = scan->ledger->totals.length;
    return scan->out->length == scan->size;
}

/* A disk can have told of more than it had. What is missing is torn off, too, and the next checkpoint must not speak of it. That is damage if
 * something valid comes later. */
static int scan_check_disk(scan_t *scan, int64_t next, fault_t *why) {
    recovery_t *out = scan->out;
    checkpoint_t *checkpoint = &out->checkpoint;

    if (!out->power_lost || out->segment != checkpoint->segment || out->length >= checkpoint->length) return 0;
    scan->next = next;
    if (scan_follows(scan))
        return fault_set(why, "%s is damaged: its segment %012llu.seg ends at byte %llu, but there are others after it", scan->folder,
                         (unsigned long long)out->segment, (unsigned long long)out->length);
    if (out->torn < checkpoint->length - out->length) out->torn = checkpoint->length - out->length;
    checkpoint->length = out->length;
    return 0;
}

static int scan_run(scan_t *scan, const uint64_t *numbers, size_t count, fault_t *why) {
    recovery_t *out = scan->out;
    size_t first = 0, last, gaps;
    int more = 1;

    if (scan_first(scan, numbers, count, &first, why) < 0) return -1;
    out->segment = numbers[first];
    for (size_t i = first; i < count && more > 0; i++) {
        scan->next = i + 1 < count ? (int64_t)numbers[i + 1] : -1;
        more = scan_segment(scan, numbers[i], i == first, why);
    }
    if (more < 0) return -1;
    if (!scan->begun && first > 0) return scan_damaged(scan, 0, "the header of this segment is missing", why);
    if (!scan->begun && numbers[0] != 0) return fault_set(why, "%s is damaged: its first segment is missing", scan->folder);
    if (scan->begun && scan_check_sizes(scan, numbers, first, why) < 0) return -1;
    if (scan_check_end(scan, why) < 0) return -1;
    for (last = first; numbers[last] != out->segment;) last++;
    if (scan_sizes(scan, numbers + last, count - last, &out->torn, why) < 0) return -1;
    out->torn -= out->length;
    if (scan_check_disk(scan, last + 1 < count ? (int64_t)numbers[last + 1] : -1, why) < 0) return -1;
    /* A machine that dies can keep a manifest that is newer than the records: what it says of those is lost with them. */
    gaps = scan->ledger->gaps_count;
    ledger_gaps_drop(scan->ledger, scan->gaps_seen, scan->gaps_known, first == 0 ? -1 : scan->elements_before);
    out->gaps_saved = gaps == scan->ledger->gaps_count ? scan->gaps_known : SIZE_MAX;
    out->dropped_count = count - last - 1;
    out->dropped = malloc((out->dropped_count + 1) * sizeof *out->dropped);
    must(out->dropped);
    memcpy(out->dropped, numbers + last + 1, out->dropped_count * sizeof *out->dropped);
    return 0;
}

int recovery_run(const char *folder, ledger_t *ledger, recovery_t *ret_recovery, fault_t *why) {
    uint64_t *numbers;
    size_t count;
    int failed;
    recovery_t out = {0};
    scan_t scan = {.folder = folder, .ledger = ledger, .gaps_known = ledger->gaps_count, .next = -1, .out = &out};

    out.power_lost = checkpoint_is_of_another_run(folder, &out.checkpoint);
    if (segment_list(folder, &numbers, &count, why) < 0) return -1;
    scan.gaps_seen = calloc(scan.gaps_known + 1, sizeof *scan.gaps_seen);
    must(scan.gaps_seen);
    failed = count > 0 ? scan_run(&scan, numbers, count, why) : fault_set(why, "%s is damaged: it has no segments", folder);
    segment_release(&scan.segment);
    free(scan.gaps_seen);
    free(numbers);
    if (failed == 0) *ret_recovery = out;
    return failed;
}

/* Is some of the recording lost that this manifest says has ended? Not where it is damaged: then the end stands, and whoever reads it is told. */
static bool recovery_lacks(const char *folder, const msg_manifest_t *manifest) {
    msg_manifest_t unfinished = *manifest;
    ledger_t ledger;
    recovery_t found = {0};
    fault_t ignored;

    unfinished.has_digest = false;
    ledger_init(&ledger, &unfinished);
    bool lacks = recovery_run(folder, &ledger, &found, &ignored) == 0 && ledger.totals.records < (uint64_t)manifest->records;
    free(found.dropped);
    ledger_fini(&ledger);
    return lacks;
}

int recovery_settle(const char *folder, fault_t *why) {
    checkpoint_t ignored;
    msg_manifest_t *announced = checkpoint_is_of_another_run(folder, &ignored) ? manifest_announced(folder) : NULL;
    bool lacks = announced && announced->has_digest && recovery_lacks(folder, announced);

    manifest_free(&announced);
    return lacks && manifest_withdraw(folder, why) < 0 ? -1 : manifest_recover(folder, why);
}
