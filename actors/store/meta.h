/* The meta of a record: [[producer, seq, cursor, watermark], …], nil where there is no cursor or watermark. */
#ifndef REPRISE_META_H
#define REPRISE_META_H

#include <msgpack.h>

#include "journal.h"

/* The bytes that meta_write would append; 0 for no metas. */
size_t meta_size(const journal_meta_t *metas, size_t count);
void meta_write(const journal_meta_t *metas, size_t count, msgpack_sbuffer *out);

typedef struct meta_walk {
    bytes_t rest;
    uint64_t left;
    char producer[256]; /* of the one that meta_next gave */
} meta_walk_t;

/* -1 where it is no meta. */
int meta_begin(meta_walk_t *walk, bytes_t meta);
/* 1: one more, which borrows from the walk and the bytes; 0: none is left; -1: it is no meta. */
int meta_next(meta_walk_t *walk, journal_meta_t *ret_meta);

#endif
