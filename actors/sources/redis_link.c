/* hiredis' asynchronous interface makes a tree of each reply before it tells of it, and keeps a table of callbacks that a source with one
 * conversation has no use for. Its blocking interface on a connection that does not block is the same code without these: the buffers, the
 * parser and the connection are hiredis', the order of things is here. */
#include "redis_link.h"

#include <errno.h>
#include <string.h>

enum { BUFFER_KEPT = 256 * 1024 /* bytes of the parser's buffer that are not given back at once */ };

void redis_link_init(redis_link_t *link, actor_t *me, watch_fn *readable, watch_fn *writable, const redis_listener_t *listener, void *state,
                     size_t streams) {
    *link = (redis_link_t){.me = me, .readable = readable, .writable = writable};
    redis_reply_init(&link->reply, listener, state, streams);
}

void redis_link_fini(redis_link_t *link) {
    if (!link->me) return;
    redis_link_close(link);
    redis_reply_fini(&link->reply);
    *link = (redis_link_t){0};
}

bool redis_link_is_open(const redis_link_t *link) {
    return link->context && !link->is_over;
}

bool redis_link_is_waiting(const redis_link_t *link) {
    return redis_link_is_open(link) && link->count > 0;
}

static int broken(const redis_link_t *link, fault_t *why) {
    const redisContext *context = link->context;
    if (context->err == REDIS_ERR_IO && errno != 0) return fault_set(why, "%s", strerror(errno));
    return fault_set(why, "%s", context->errstr[0] ? context->errstr : "the connection is broken");
}

int redis_link_open(redis_link_t *link, const char *host, int port, fault_t *why) {
    must(!link->context);
    redisContext *context = redisConnectNonBlock(host, port);
    must(context);
    if (context->err) {
        fault_set(why, "%s", context->errstr);
        redisFree(context);
        return -1;
    }
    /* Whoever is cut off without a word would wait for ever. It is a wish: without it, the system's own patience counts. */
    redisEnableKeepAlive(context);
    context->err = 0;
    context->reader->maxbuf = BUFFER_KEPT;
    link->context = context;
    link->first = link->count = 0;
    link->is_over = link->is_read = link->is_pushed = link->reply.is_deaf = false;
    redis_reply_attach(&link->reply, context->reader);
    redis_link_pause(link, false);
    return 0;
}

void redis_link_close(redis_link_t *link) {
    if (!link->context) return;
    redis_link_pause(link, true);
    actor_unwatch_writable(link->me, link->context->fd);
    link->count = 0;
    link->is_over = link->reply.is_deaf = true;
    if (link->in_reply) return;
    redisFree(link->context);
    link->context = NULL;
}

/* ---- commands ---- */

void redis_link_say(redis_link_t *link, redis_shape_t shape, const char *const *words, size_t count) {
    size_t sizes[REDIS_EXPECTED_MAX * 2 + 8];
    must(redis_link_is_open(link) && link->count < REDIS_EXPECTED_MAX && count <= sizeof sizes / sizeof sizes[0]);
    for (size_t i = 0; i < count; i++) sizes[i] = strlen(words[i]);
    /* hiredis only reads the words, in spite of its type. */
    redisAppendCommandArgv(link->context, (int)count, (const char **)(uintptr_t)words, sizes);
    if (shape == REDIS_PUSH) {
        link->is_pushed = true;
        return;
    }
    link->expected[(link->first + link->count++) % REDIS_EXPECTED_MAX] = (uint8_t)shape;
}

int redis_link_flush(redis_link_t *link, fault_t *why) {
    int done = 0;
    if (!redis_link_is_open(link)) return 0;
    actor_unwatch_writable(link->me, link->context->fd);
    errno = 0;
    if (redisBufferWrite(link->context, &done) != REDIS_OK) return broken(link, why);
    if (!done) actor_watch_writable(link->me, link->context->fd, link->writable);
    return 0;
}

/* ---- replies ---- */

void redis_link_pause(redis_link_t *link, bool is_paused) {
    if (!redis_link_is_open(link) || link->is_read == !is_paused) return;
    link->is_read = !is_paused;
    if (is_paused)
        actor_unwatch(link->me, link->context->fd);
    else
        actor_watch(link->me, link->context->fd, link->readable);
}

/* 1: a reply is whole and was told. 0: more must come. */
static int reply_take(redis_link_t *link, fault_t *why) {
    void *object = NULL;
    redis_shape_t shape = link->count > 0 ? (redis_shape_t)link->expected[link->first] : REDIS_PUSH;
    if (shape == REDIS_PUSH && !link->is_pushed && redis_link_held(link) > 0)
        return fault_set(why, "it says what it was not asked: this is no Redis server");
    link->reply.shape = shape;
    errno = 0;
    if (redisGetReplyFromReader(link->context, &object) != REDIS_OK) return broken(link, why);
    if (!object) return 0;
    if (link->count > 0) {
        link->first = (link->first + 1) % REDIS_EXPECTED_MAX;
        link->count--;
    }
    if (!link->is_over) link->reply.listener->end(link->reply.state, shape);
    return 1;
}

int redis_link_read(redis_link_t *link, fault_t *why) {
    if (!redis_link_is_open(link)) return 0;
    size_t had = link->context->reader->len;
    errno = 0;
    if (redisBufferRead(link->context) != REDIS_OK) return broken(link, why);
    if (link->context->reader->len == had) return 0;
    int got = 1;
    link->in_reply = true;
    while (got > 0 && !link->is_over) got = reply_take(link, why);
    link->in_reply = false;
    if (link->is_over) redis_link_close(link);
    return got < 0 && link->context ? -1 : 1;
}

size_t redis_link_held(const redis_link_t *link) {
    return redis_link_is_open(link) ? link->context->reader->len - link->context->reader->pos : 0;
}
