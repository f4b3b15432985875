/* What the parts of the journal share: journal.c appends, journal_open.c creates, opens, saves and closes. */
#ifndef REPRISE_JOURNAL_STATE_H
#define REPRISE_JOURNAL_STATE_H

#include "journal.h"
#include "ledger.h"
#include "snapshot.h"
#include "writer.h"

typedef struct staged staged_t; /* a record that will be written with others */

struct journal {
    char folder[SEGMENT_PATH_SIZE];
    msg_manifest_t *manifest;
    ledger_t ledger;
    writer_t writer;
    uint64_t segment_bytes;
    uint64_t slack;        /* how far past its size a segment may go for records without elements */
    uint64_t full_at;      /* the size, or more where one batch is larger: where the slack begins */
    uint64_t elements_end; /* where the segment's last record of elements ends, or its header */
    snapshot_t snapshot;
    size_t gaps_saved; /* so many of the first gaps the manifest has; SIZE_MAX: it has some that there are not */
    bool failed;       /* an append has failed: closing records only */
    disk_t *disk;      /* borrowed */
    staged_t *staged;
    size_t staged_count, staged_room;
    uint64_t staged_size;
    msgpack_sbuffer metas; /* of all that is staged; behind a gap's stands its body */
    struct iovec *pieces;
    uint64_t *left; /* the segments that were left behind */
    size_t left_count, left_room;
};

/* How long a segment can get. */
uint64_t journal_room(const journal_t *journal);
/* The segment's last record of elements, or its header, ends there. */
void journal_begin(journal_t *journal, uint64_t elements_end);
/* Writes the header into a segment just created. */
int journal_head(journal_t *journal, writer_t *writer, int64_t at, fault_t *why);
/* That segment is left behind. */
void journal_leave(journal_t *journal, uint64_t segment);

#endif
