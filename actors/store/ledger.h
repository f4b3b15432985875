/* The ledger: what the records of a recording amount to. One fold over them serves the writer, recovery and verification, so that the
 * three cannot differ. */
#ifndef REPRISE_LEDGER_H
#define REPRISE_LEDGER_H

#include <msgpack.h>

#include "journal.h"
#include "producers.h"

typedef struct ledger {
    const msg_manifest_t *manifest; /* borrowed: for the streams' signatures and tags */
    journal_totals_t totals;
    msg_stream_total_t *streams;
    size_t streams_count;
    producers_t producers;
    msg_gap_t *gaps; /* the manifest's to begin with; texts are owned */
    size_t gaps_count, gaps_room;
} ledger_t;

void ledger_init(ledger_t *ledger, const msg_manifest_t *manifest);
void ledger_fini(ledger_t *ledger); /* as {0} afterwards */

/* The header of a segment that begins here. It borrows from the ledger. */
void ledger_header(const ledger_t *ledger, msg_segment_header_t *ret_header);
/* Why a header, of which format and digest are right, cannot be this recording's; NULL where it can. */
const char *ledger_header_objection(const ledger_t *ledger, const msg_segment_header_t *header);
/* Takes over what a header says of all before it. `header` must be of this recording. */
void ledger_load(ledger_t *ledger, const msg_segment_header_t *header);
/* Counts a segment's first record, whose number names the segment. */
void ledger_segment(ledger_t *ledger, const record_view_t *header);

/* Why that record, which is no segment header, cannot come next; NULL where it can. */
const char *ledger_objection(const ledger_t *ledger, const record_view_t *record);
/* Counts a record that can come next; `body` is its body in parts. Metas and gaps are counted by the two below. */
void ledger_record(ledger_t *ledger, const record_view_t *record, const bytes_t *body, size_t body_count);
void ledger_gap(ledger_t *ledger, uint32_t stream, bytes_t what, int64_t lost_us);
/* Of a record as it was read. -1 where it is no meta. */
int ledger_metas(ledger_t *ledger, const record_view_t *record);
/* One that is known as a manifest says it. */
void ledger_gap_load(ledger_t *ledger, const msg_gap_t *gap);
bool ledger_gap_is(const ledger_t *ledger, const msg_gap_t *gap, uint32_t stream, bytes_t what, int64_t lost_us);
/* Of the first `count` gaps, forgets those not seen that come after more than `after` elements. */
void ledger_gaps_drop(ledger_t *ledger, const bool *seen, size_t count, int64_t after);

/* Decodes the body of a segment's first record; it points into `zone` and `body`. `path` begins the faults. */
int ledger_header_decode(const char *path, bytes_t body, msgpack_zone *zone, msg_segment_header_t *ret_header, fault_t *why);

#endif
