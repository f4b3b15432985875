/* The record: the unit of a segment file, plain msgpack with a header of fixed width.
 *
 *   record = [kind, number, stream, at, count, checksum, meta, body]
 *
 *   byte  0      0x98                 array of 8
 *         1      kind                 one byte, 0 to 5
 *         2..10  0xcf number          uint64, consecutive across segments
 *        11..15  0xce stream          uint32, index into the manifest's streams
 *        16..24  0xd3 at              int64, processing time in µs since the epoch; never decreases
 *        25..29  0xce count           uint32, elements in the body
 *        30..34  0xce checksum        uint32, CRC32C over every byte of the record but 31..34
 *        35..39  0xc6 size of meta    then the meta: msgpack [[producer, seq, cursor, watermark], …], or nothing
 *                0xc6 size of body    then the body
 *
 * Bodies: elements: a msgpack array (0xdd, 32 bits of count) of elements as they arrived; watermark: an int; gap: a map {what, lost_us?, all?};
 * segment header: a map (RECORD segment_header); stream ended and recording ended: nothing. */
#ifndef REPRISE_RECORD_H
#define REPRISE_RECORD_H

#include "../../messages/message.h"

enum {
    RECORD_SEGMENT = 0,
    RECORD_ELEMENTS = 1,
    RECORD_WATERMARK = 2,
    RECORD_GAP = 3,
    RECORD_STREAM_ENDED = 4,
    RECORD_ENDED = 5,
    RECORD_HEAD_SIZE = 40,      /* up to and with the size of the meta */
    RECORD_OVERHEAD = 45,       /* a record's size without meta and body */
    RECORD_BODY_HEAD = 5,       /* of an elements body: the array's header */
    RECORD_TARGET = 256 * 1024, /* small batches are joined up to this many bytes of body */
};

#define RECORD_STREAM_ALL UINT32_MAX /* in a gap: every stream; in kinds 0 and 5: no stream */

typedef struct record_view {
    int kind;
    uint64_t number;
    uint32_t stream;
    int64_t at;
    uint32_t count;
    uint32_t checksum;
    bytes_t meta, body; /* point into the map or buffer it was read from */
    size_t size;        /* of the whole record */
} record_view_t;

/* CRC32C (Castagnoli), chained: start with 0. */
uint32_t checksum_of(uint32_t chain, const void *data, size_t size);

/* Reads the record at the start of `in`. Returns its size; 0 where `in` holds only a part of one; -1 where it is none.
 * With `check`, its checksum is verified (-1 where it does not match). */
int64_t record_read(bytes_t in, bool check, record_view_t *ret_record);

/* Writes what stands before a record's meta, its checksum included, for a record of these values; `ret_body_head` gets what stands before
 * its body. `body`: the whole body in parts, an array's header included. `record`'s checksum, body and size are not read. Returns the size. */
size_t record_seal(const record_view_t *record, const bytes_t *body, size_t body_count, uint8_t ret_head[RECORD_HEAD_SIZE],
                   uint8_t ret_body_head[RECORD_OVERHEAD - RECORD_HEAD_SIZE]);

/* The digest of what a replay sends: d = XXH3-128(d ‖ kind ‖ signature ‖ at ‖ count ‖ body), integers big-endian in 1, 8, 4 bytes, the
 * signature preceded by its length in 4 (the empty one for all streams), the body as in the record, an array's header (0xdd) included.
 * Kinds elements, watermark and gap are folded; others change nothing, nor does a record of no elements, which is not sent. */
typedef struct digest {
    uint8_t bytes[16];
} digest_t;
void digest_fold(digest_t *digest, int kind, const char *signature, int64_t at, uint32_t count, const bytes_t *parts, size_t parts_count);
void digest_text(const digest_t *digest, char ret_hex[33]);

#endif
