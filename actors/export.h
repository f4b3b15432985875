/* A recording as a file for others, a piece at a time. Nothing is kept between two pieces: where the next one begins stands in a text that the
 * client brings back, so that an export goes on after a restart, and any number of them cost nothing while they wait. */
#ifndef REPRISE_EXPORT_H
#define REPRISE_EXPORT_H

#include "transfer.h"

enum { EXPORT_PIECE = 1024 * 1024, EXPORT_PIECE_MAX = 8 * 1024 * 1024, EXPORT_PLACE_SIZE = 224 };

typedef struct export_piece {
    msgpack_sbuffer data;
    bool complete;
    char next[EXPORT_PLACE_SIZE]; /* unless it is complete */
    uint64_t element;             /* elements of the recording before the piece's end */
    uint64_t elements;            /* and in all, or with the last piece of one that grows, before the export's end */
} export_piece_t;

/* Makes the piece that `ask` asks for. `place`: where the recording is; `segment_bytes` as for a reader. Of one that
 * grows, the export is what it had as the first piece was made. `piece->data` is the
 * caller's to init and to destroy. Refuses what makes no sense, and CORRUPT at damage. */
int export_read(const msg_recording_place_t *place, const msg_recording_export_t *ask, int64_t segment_bytes, export_piece_t *piece,
                refusal_t *no);

/* The same of the events of a TestStreamPayload, in pieces of EXPORT_PIECE. */
int export_events(const msg_recording_place_t *place, const msg_recording_events_t *ask, int64_t segment_bytes, export_piece_t *piece,
                  refusal_t *no);

#endif
