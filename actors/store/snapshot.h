/* A snapshot: what the records of a recording amount to up to some place in its last segment, in a sealed file of its own with the map of RECORD
 * snapshot. Who opens the recording again reads on from there, so that the time does not grow with the segment.
 *
 * It only saves time: one that does not fit the files, or of an earlier run of the machine, is as good as none. */
#ifndef REPRISE_SNAPSHOT_H
#define REPRISE_SNAPSHOT_H

#include "../../messages/fault.h"
#include "ledger.h"
#include "segment.h"

#define SNAPSHOT_FILE "snapshot.msgpack"

/* How much there is between two of them. */
typedef struct snapshot {
    uint64_t segment_bytes;   /* a segment's size */
    uint64_t length, records; /* where reading would begin now: at the last one, or behind the segment's header */
    size_t size;              /* the last one's, in bytes; 0: none was written */
} snapshot_t;

/* What a ledger does not say of its place. */
typedef struct snapshot_place {
    uint64_t elements_end; /* where the segment's last record of elements ends */
    size_t gaps;
} snapshot_place_t;

/* Where reading would begin now. */
void snapshot_begin(snapshot_t *snapshot, uint64_t length, uint64_t records);
/* Writes one if it is time. `last`: the size of the last record; `place`: its `gaps` are those that the manifest has, of the first. */
void snapshot_keep(snapshot_t *snapshot, const char *folder, const ledger_t *ledger, uint64_t last, const snapshot_place_t *place);
/* Brings `ledger`, which is as after the header of the segment, to the place of the one in the folder: `ret_place`, whose `gaps` are all that are
 * before it. `size`: of the segment's file. False, and nothing happens, where there is none, or it does not fit. */
bool snapshot_take(const char *folder, const segment_t *segment, uint64_t size, ledger_t *ledger, snapshot_place_t *ret_place);
/* Deletes it, if there is one. */
void snapshot_drop(const char *folder);

#endif
