/* The buffers that batches are written into: reused, and bounded, so that a feed takes no more memory than its credit is worth.
 *
 * A buffer is read by ZeroMQ's threads after it was sent, and may be needed again after that, where the engine asks for it again. So it has
 * holders, and goes back when the last one lets go of it. ZeroMQ may do that when the feed is closed already: the pool stays until then.
 * The pool's mutex guards all that a feed's two threads share, as they have to meet here anyway. */
#ifndef REPRISE_LIBRARY_POOL_H
#define REPRISE_LIBRARY_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <zmq.h>

typedef struct pool pool_t;

typedef struct buffer {
    struct buffer *next; /* in the pool's list */
    pool_t *pool;
    atomic_uint holders;
    bool counted; /* among those that are bounded */
    size_t size;
    uint8_t data[];
} buffer_t;

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* a buffer has come back, or what else the mutex guards has changed */
    size_t size;            /* of a usual buffer */
    size_t most, out;       /* bounded buffers that may be, and are, out */
    size_t live;            /* buffers of any kind that are out */
    bool closed;
    buffer_t *spare;
};

/* `most`: bounded buffers at once. */
pool_t *pool_create(size_t size, size_t most);
/* What is out stays good. The mutex must not be held. */
void pool_close(pool_t **pool);

/* ---- with the mutex held ---- */

/* A buffer of at least `size` bytes, held once; NULL where that would be too many. */
buffer_t *pool_take(pool_t *pool, size_t size);
/* One of exactly that size, which is not counted. */
buffer_t *pool_take_extra(pool_t *pool, size_t size);
void buffer_hold(buffer_t *buffer);
void buffer_release(buffer_t *buffer);

/* ---- anywhere ---- */

/* A message of `size` bytes at `at` in the buffer, which it holds. */
void buffer_wrap(buffer_t *buffer, uint8_t *at, size_t size, zmq_msg_t *ret_message);

#endif
