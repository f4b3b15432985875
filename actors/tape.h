/* A tape: a recording that is being replayed, or was a moment ago. Its map and how far it may be read are shared by all its replays, so that
 * a hundred of them cost hardly more than one; and the next one finds the pages mapped. */
#ifndef REPRISE_TAPE_H
#define REPRISE_TAPE_H

#include <sys/queue.h>

#include "../messages/codec.h"
#include "store/reader.h"

struct player;

typedef struct tape {
    LIST_ENTRY(tape) link;
    LIST_HEAD(, player) players;  /* those that replay it */
    msg_recording_place_t *place; /* what it is; how far it goes is below */
    reader_t *reader;
    int64_t start;              /* where its clock starts, µs since the epoch */
    int64_t segment, length;    /* how far it may be read: valid bytes of the last segment, */
    uint64_t records, elements; /* and all that is in it; INT64_MAX: nobody knows */
    bool growing;               /* more may come */
    bool begun;                 /* `start` is known: a recording has none before its sources have attached */
    bool asked;                 /* the recorder was asked where it stands, and has not answered yet */
    bool resting;               /* nobody replays it, */
    int64_t rested;             /* since then, in ticks */
    int64_t heard;              /* when the recorder last spoke of it, in ticks */
    uint64_t serial;            /* the server's name for it: a recording may be opened again while an answer about it is on its way */
} tape_t;

/* `segment_bytes`: what the recorder rolls segments at. */
tape_t *tape_create(const msg_recording_place_t *place, int64_t segment_bytes, fault_t *why);
void tape_destroy(tape_t **tape);

/* What the recorder says of it now: where it stands, and how far it has grown. News older than what is known changes nothing. */
void tape_place(tape_t *tape, const msg_recording_place_t *place);
void tape_grow(tape_t *tape, const msg_recording_grew_t *grew);

/* May a replay begin on it that was not there when the last one ended? Not if it may have changed since. */
bool tape_is_current(const tape_t *tape);

/* Its folder is not there: the recorder has deleted it, and its word of that is on the way. */
bool tape_is_gone(const tape_t *tape);

/* The index of the stream with that signature; -1: it has none. */
int tape_stream(const tape_t *tape, const char *signature);

#endif
