/* What a feed has not got recorded yet: the buffer that is being filled, cut into batches, and the batches until they are acknowledged.
 *
 * The one that pushes writes elements into the open buffer without asking anybody, and publishes how far it has come. The feed's thread may
 * cut off what is there and send it while the writer goes on behind it. Such a piece is copied, as a batch's body needs a header before its
 * first element, and the header of the rest is later written over bytes that were copied. A buffer that has filled up by itself, which is
 * how it goes at speed, is sent as it is.
 *
 * All functions are called with the pool's mutex held, but outbox_publish. */
#ifndef REPRISE_LIBRARY_OUTBOX_H
#define REPRISE_LIBRARY_OUTBOX_H

#include "../../messages/message.h"
#include "pool.h"

enum { BODY_HEAD = 5 /* array 32 */ };

/* A place in the open buffer: between two elements. */
typedef struct mark {
    uint32_t bytes, count;
} mark_t;

typedef struct batch {
    struct batch *next;
    buffer_t *buffer;
    uint8_t *body;
    size_t size;
    uint32_t count;
    int64_t seq;
    int64_t bytes; /* of its frames, while they are under way; otherwise 0 */
    bool has_watermark;
    int64_t watermark;
    uint8_t *cursor; /* owned; NULL: none */
    size_t cursor_size;
} batch_t;

typedef struct outbox {
    _Alignas(64) _Atomic uint64_t published; /* the mark up to which the open buffer has whole elements */
    _Alignas(64) pool_t *pool;
    buffer_t *open;
    uint64_t serial; /* of the open buffer */
    mark_t taken;    /* up to here it is in batches */
    struct {
        bool waits; /* to go with a batch that ends at or after `at` */
        uint32_t at;
        int64_t value;
    } watermark;
    struct {
        bool used;  /* batches end at cursors */
        bool waits; /* to go with the batch that ends at `at` */
        mark_t at;
        uint8_t *data;
        size_t size;
    } cursor;
    batch_t *first, **last; /* not acknowledged, in order */
    batch_t *unsent;        /* the first of those that are not under way */
    int64_t next_seq;
    int64_t under_way, credit; /* bytes */
    uint64_t recorded;         /* elements */
    uint64_t batches;          /* cut so far */
} outbox_t;

void outbox_init(outbox_t *outbox, pool_t *pool, size_t size);
void outbox_fini(outbox_t *outbox);

/* Says that the open buffer has whole elements up to there. Needs no mutex. */
static inline void outbox_publish(outbox_t *outbox, uint32_t bytes, uint32_t count) {
    atomic_store_explicit(&outbox->published, (uint64_t)bytes << 32 | count, memory_order_release);
}

void outbox_set_watermark(outbox_t *outbox, int64_t watermark);
void outbox_set_cursor(outbox_t *outbox, const void *cursor, size_t size);

/* Is there something to cut? Elements after the last cursor count only with `all`. */
bool outbox_waits(const outbox_t *outbox, bool all);
/* Cuts off what waits, to be sent. */
void outbox_cut(outbox_t *outbox, bool all);
/* Cuts off the open buffer and opens another with room for `size` bytes: what stood after the last cursor is at its beginning, and
 * published. `ret_base` is its first byte. False where no buffer is free: then nothing has happened. */
bool outbox_turn(outbox_t *outbox, size_t size, uint8_t **ret_base, size_t *ret_room, mark_t *ret_at);

/* The next batch to send; NULL: none, or its time has not come. */
batch_t *outbox_next(const outbox_t *outbox);
void outbox_sent(outbox_t *outbox, size_t bytes);
/* All batches below `seq` are recorded. */
void outbox_recorded(outbox_t *outbox, int64_t below);
/* All that is not acknowledged is to be sent again. */
void outbox_rewind(outbox_t *outbox);

#endif
