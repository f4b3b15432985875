/* A reader: a recording mapped into memory, for any number of positions in it. Sends need no copy: they borrow from the map, and a segment
 * is unmapped when its last borrower is done.
 *
 * A reader never looks past what was published to it, so that it can read a recording that grows. Not thread-safe, but for reader_release. */
#ifndef REPRISE_READER_H
#define REPRISE_READER_H

#include "../../messages/fault.h"
#include "record.h"

typedef struct reader reader_t;

/* `segment`, `length`, `elements`: how far it may be read (see RECORDING_PLACE in internal.def); `segment_bytes` is what the writer rolls at. */
reader_t *reader_open(const char *folder, uint64_t segment, uint64_t length, uint64_t elements, int64_t segment_bytes, fault_t *why);
void reader_close(reader_t **reader); /* maps that are still borrowed live on until released */
void reader_publish(reader_t *reader, uint64_t segment, uint64_t length, uint64_t elements);
/* Are the mapped files still those in the folder, and nobody wrote to them since? */
bool reader_is_current(const reader_t *reader);

/* A place between two records. Zero: the beginning. */
typedef struct position {
    uint64_t segment; /* index among the segments, not the number that names it */
    uint64_t offset;
    uint64_t element; /* elements before it */
} position_t;

/* Reads the record at `position` and moves on. 1: a record, whose checksum was right; 0: nothing more is published; -1: damage, and `why`
 * names file and offset. Segment headers (kind 0) are passed over. */
int reader_next(reader_t *reader, position_t *position, record_view_t *ret_record, fault_t *why);

/* Can that position be read from? One that came from outside need not; whether a record begins there is another question. */
bool reader_reaches(const reader_t *reader, const position_t *position);

/* The record that holds element `element`, or the first at or after time `at`; the end where there is none. -1 on damage. */
int reader_seek_element(reader_t *reader, uint64_t element, position_t *ret_position, fault_t *why);
int reader_seek_time(reader_t *reader, int64_t at, position_t *ret_position, fault_t *why);

/* Each stream's watermark at a position (has[i] false: none yet). Reads from the last segment header before it. */
int reader_watermarks(reader_t *reader, const position_t *position, size_t streams, int64_t *ret_watermarks, bool *ret_has, fault_t *why);

/* Borrows what the last reader_next gave: a hint for frame_wrap, whose callback is reader_release. */
void *reader_hold(reader_t *reader);
void reader_release(void *data, void *hint); /* any thread */

/* ---- a full check of a recording, some bytes at a time ---- */
typedef struct verify verify_t;
/* `length` of the last segment limits the check, as for a reader. */
verify_t *verify_open(const char *folder, uint64_t segment, uint64_t length, fault_t *why);
/* Reads on, about `bytes`. 1: more is left; 0: done; -1: cannot read. */
int verify_step(verify_t *verify, size_t bytes, fault_t *why);
/* What was found so far: counts and damages (borrowed). Checks checksums, numbers, order of `at`, counts, segment headers against what
 * came before, the digest against the manifest's. */
const msg_recording_verified_t *verify_result(const verify_t *verify);
void verify_close(verify_t **verify);

#endif
