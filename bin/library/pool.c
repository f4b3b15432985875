/* The buffers that batches are written into: see pool.h. */
#include "pool.h"

#include <stdlib.h>

#include "../../messages/fault.h"
#include "../../messages/handover.h"

pool_t *pool_create(size_t size, size_t most) {
    pool_t *pool = calloc(1, sizeof *pool);
    pthread_condattr_t clock;
    must(pool);
    pool->size = size;
    pool->most = most;
    must(pthread_mutex_init(&pool->mutex, NULL) == 0 && pthread_condattr_init(&clock) == 0);
    must(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&pool->changed, &clock) == 0);
    pthread_condattr_destroy(&clock);
    return pool;
}

static void pool_free(pool_t *pool) {
    while (pool->spare) {
        buffer_t *next = pool->spare->next;
        free(pool->spare);
        pool->spare = next;
    }
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

void pool_close(pool_t **pool) {
    pool_t *old = *pool;
    *pool = NULL;
    if (!old) {
        return;
    }
    pthread_mutex_lock(&old->mutex);
    old->closed = true;
    bool last = old->live == 0;
    pthread_mutex_unlock(&old->mutex);
    if (last) {
        pool_free(old);
    }
}

static buffer_t *buffer_make(pool_t *pool, size_t size, bool counted) {
    buffer_t *buffer = malloc(sizeof *buffer + size);
    must(buffer);
    buffer->next = NULL;
    buffer->pool = pool;
    buffer->counted = counted;
    buffer->size = size;
    return buffer;
}

static buffer_t *buffer_out(pool_t *pool, buffer_t *buffer) {
    atomic_init(&buffer->holders, 1U);
    pool->live++;
    pool->out += buffer->counted;
    return buffer;
}

buffer_t *pool_take(pool_t *pool, size_t size) {
    if (pool->out == pool->most) {
        return NULL;
    }
    buffer_t *spare = pool->spare;
    if (size > pool->size || !spare) {
        return buffer_out(pool, buffer_make(pool, size > pool->size ? size : pool->size, true));
    }
    pool->spare = spare->next;
    return buffer_out(pool, spare);
}

buffer_t *pool_take_extra(pool_t *pool, size_t size) {
    return buffer_out(pool, buffer_make(pool, size, false));
}

void buffer_hold(buffer_t *buffer) {
    atomic_fetch_add_explicit(&buffer->holders, 1U, memory_order_relaxed);
}

static bool buffer_let_go(buffer_t *buffer) {
    return atomic_fetch_sub_explicit(&buffer->holders, 1U, memory_order_acq_rel) == 1;
}

/* The mutex is held. */
static void buffer_return(buffer_t *buffer) {
    pool_t *pool = buffer->pool;
    pool->live--;
    pool->out -= buffer->counted;
    if (buffer->counted && buffer->size == pool->size && !pool->closed) {
        buffer->next = pool->spare;
        pool->spare = buffer;
    } else {
        free(buffer);
    }
    pthread_cond_broadcast(&pool->changed);
}

void buffer_release(buffer_t *buffer) {
    if (buffer_let_go(buffer)) {
        buffer_return(buffer);
    }
}

/* On one of ZeroMQ's threads, or on the one that closes its socket. */
static void message_done(void *data, void *hint) {
    buffer_t *buffer = hint;
    handover_take(data);
    if (!buffer_let_go(buffer)) {
        return;
    }
    pool_t *pool = buffer->pool;
    pthread_mutex_lock(&pool->mutex);
    buffer_return(buffer);
    bool last = pool->closed && pool->live == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (last) {
        pool_free(pool);
    }
}

void buffer_wrap(buffer_t *buffer, uint8_t *at, size_t size, zmq_msg_t *ret_message) {
    buffer_hold(buffer);
    must(zmq_msg_init_data(ret_message, at, size, message_done, buffer) == 0);
}
