/* One is written every few MiB (4, where a segment has 128), so that what is read again takes a few milliseconds, and rarer where there are so many producers that it is large.
 * It is written over in place, without waiting for the disk: it is of use only while the machine runs. */
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../messages/codec.h"
#include "checkpoint.h"
#include "manifest.h"
#include "sealed.h"

enum {
    OF_A_SEGMENT = 32,      /* so many to a segment */
    RECORDS_BETWEEN = 5000, /* at most, where records are small */
    SMALL = 4096,           /* bytes that cost nothing worth counting; a larger one takes no more than one byte in SHARE */
    SHARE = 64,
};

static bool snapshot_path(const char *folder, char ret_path[SEGMENT_PATH_SIZE]) {
    return snprintf(ret_path, SEGMENT_PATH_SIZE, "%s/" SNAPSHOT_FILE, folder) < SEGMENT_PATH_SIZE;
}

void snapshot_begin(snapshot_t *snapshot, uint64_t length, uint64_t records) {
    snapshot->length = length;
    snapshot->records = records;
}

static bool snapshot_is_due(const snapshot_t *snapshot, const journal_totals_t *totals) {
    uint64_t bytes = totals->length - snapshot->length, records = totals->records - snapshot->records;

    if (snapshot->size > SMALL && bytes / SHARE < snapshot->size) return false;
    return bytes >= snapshot->segment_bytes / OF_A_SEGMENT || records >= RECORDS_BETWEEN;
}

void snapshot_keep(snapshot_t *snapshot, const char *folder, const ledger_t *ledger, uint64_t last, const snapshot_place_t *place) {
    const journal_totals_t *totals = &ledger->totals;
    char path[SEGMENT_PATH_SIZE], run[SD_ID128_STRING_MAX];
    fault_t ignored;

    if (!snapshot_is_due(snapshot, totals) || !snapshot_path(folder, path) || !checkpoint_run(run)) return;

    msg_snapshot_t message = {
        .format = MANIFEST_FORMAT,
        .run = run,
        .segment = (int64_t)totals->segment,
        .length = (int64_t)totals->length,
        .last = (int64_t)(totals->length - last),
        .elements_end = (int64_t)place->elements_end,
        .records = (int64_t)totals->records,
        .at = totals->at,
        .gaps_saved = (int64_t)place->gaps,
        .gaps = {ledger->gaps_count - place->gaps, ledger->gaps ? ledger->gaps + place->gaps : NULL},
    };
    msgpack_sbuffer file;

    ledger_header(ledger, &message.header);
    msgpack_sbuffer_init(&file);
    record_encode(RECORD_CLASS(snapshot), &message, &file);
    sealed_close(&file);
    snapshot->size = file.size;
    snapshot_begin(snapshot, totals->length, totals->records);
    if (sealed_overwrite(path, &file, false, &ignored) < 0) unlink(path);
    msgpack_sbuffer_destroy(&file);
}

/* Does the record before the place end there, in this segment and with the number that it should have? */
static bool snapshot_fits(const msg_snapshot_t *message, const segment_t *segment, uint64_t size, const ledger_t *ledger) {
    const journal_totals_t *begin = &ledger->totals;
    const msg_segment_header_t *header = &message->header;
    uint64_t length = (uint64_t)message->length, last = (uint64_t)message->last;
    record_view_t record;

    if ((uint64_t)message->segment != begin->segment || length > size || last >= length || last < begin->length) return false;
    if ((uint64_t)message->elements_end > length || (uint64_t)message->elements_end < begin->length) return false;
    if (header->digest.size != sizeof(digest_t) || ledger_header_objection(ledger, header)) return false;
    if ((uint64_t)header->bytes != begin->bytes + (length - begin->length) || (uint64_t)message->gaps_saved > ledger->gaps_count)
        return false;
    return segment_read(segment, last, length, true, &record) == (int64_t)(length - last) &&
           record.number + 1 == (uint64_t)message->records && record.at == message->at && record.kind != RECORD_ENDED;
}

/* A manifest that was saved later has more of the gaps, in the same order. */
static void ledger_go_to(ledger_t *ledger, const msg_snapshot_t *message) {
    size_t known = ledger->gaps_count;

    for (size_t i = 0; i < message->gaps.count; i++)
        if ((size_t)message->gaps_saved + i >= known) ledger_gap_load(ledger, &message->gaps.items[i]);
    ledger_load(ledger, &message->header);
    ledger->totals.length = (uint64_t)message->length;
    ledger->totals.records = (uint64_t)message->records;
    ledger->totals.at = message->at;
}

bool snapshot_take(const char *folder, const segment_t *segment, uint64_t size, ledger_t *ledger, snapshot_place_t *ret_place) {
    char path[SEGMENT_PATH_SIZE], run[SD_ID128_STRING_MAX];
    uint8_t *data = NULL;
    bytes_t map = {0};
    msg_snapshot_t message;
    refusal_t no;
    fault_t ignored;

    if (!checkpoint_run(run) || !snapshot_path(folder, path) || sealed_read(path, &data, &map, &ignored) < 0) return false;

    msgpack_zone *zone = msgpack_zone_new(8192);

    must(zone);

    bool fits = record_decode(RECORD_CLASS(snapshot), "snapshot", map, zone, &message, &no) == 0 && message.format == MANIFEST_FORMAT &&
                strcmp(message.run, run) == 0 && snapshot_fits(&message, segment, size, ledger);

    if (fits) {
        ledger_go_to(ledger, &message);
        *ret_place = (snapshot_place_t){(uint64_t)message.elements_end, (size_t)message.gaps_saved + message.gaps.count};
    }
    msgpack_zone_free(zone);
    free(data);
    return fits;
}

void snapshot_drop(const char *folder) {
    char path[SEGMENT_PATH_SIZE];

    if (snapshot_path(folder, path)) unlink(path);
}
