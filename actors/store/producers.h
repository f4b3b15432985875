/* How far each producer of each stream has come. */
#ifndef REPRISE_PRODUCERS_H
#define REPRISE_PRODUCERS_H

#include "journal.h"

typedef struct producers {
    msg_producer_t *items; /* in the order in which they first appeared */
    size_t *cursor_rooms;  /* bytes that each one's cursor has room for */
    size_t count, room;
    uint32_t *slots; /* a hash table of indexes + 1 */
    size_t slot_count;
} producers_t;

void producers_fini(producers_t *producers); /* as {0} afterwards */
/* NULL where it has never sent. */
const msg_producer_t *producers_find(const producers_t *producers, uint32_t stream, const char *producer);
/* Sets its sequence number, and its cursor and watermark where `meta` has one: those last until there is a newer one. */
void producers_put(producers_t *producers, uint32_t stream, const journal_meta_t *meta);
/* Its batch `seq` came with a gap, which is in the journal. */
void producers_gap(producers_t *producers, uint32_t stream, const char *producer, uint64_t seq);
/* As both, from a segment's header. */
void producers_load(producers_t *producers, const msg_producer_t *producer);

#endif
