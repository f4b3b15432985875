/* A connection to Redis that never waits: hiredis' own, with the actor's descriptors as its events. Commands are sent in pipelines; their
 * replies come in the same order and are told to a listener (redis_reply.h). */
#ifndef REPRISE_REDIS_LINK_H
#define REPRISE_REDIS_LINK_H

#include "../runtime/actor.h"
#include "redis_reply.h"

enum { REDIS_EXPECTED_MAX = 128 /* replies, at once */ };

typedef struct redis_link {
    actor_t *me;
    redisContext *context; /* NULL: there is no connection */
    watch_fn *readable, *writable;
    redis_reply_t reply;
    uint8_t expected[REDIS_EXPECTED_MAX]; /* shapes of the replies that are to come, a ring */
    size_t first, count;                  /* in it */
    bool is_pushed;                       /* more comes than the replies that are expected: something was subscribed to */
    bool is_read;                         /* what comes is read now */
    bool in_reply;                        /* and told to the listener: the connection cannot go at this moment */
    bool is_over;                         /* but then */
} redis_link_t;

/* Replies are told to `listener`, about so many streams. `readable` and `writable` are to call redis_link_read and redis_link_flush. */
void redis_link_init(redis_link_t *link, actor_t *me, watch_fn *readable, watch_fn *writable, const redis_listener_t *listener, void *state,
                     size_t streams);
void redis_link_fini(redis_link_t *link);

/* Begins to connect. A name is looked up at once, which may take as long as the system's resolver lets it. */
int redis_link_open(redis_link_t *link, const char *host, int port, fault_t *why);
void redis_link_close(redis_link_t *link);
bool redis_link_is_open(const redis_link_t *link);
bool redis_link_is_waiting(const redis_link_t *link); /* for a reply */

/* Adds a command to what is to be sent. A REDIS_PUSH has no reply that would be waited for. */
void redis_link_say(redis_link_t *link, redis_shape_t shape, const char *const *words, size_t count);
#define REDIS_SAY(link, shape, ...)                                                                                                        \
    redis_link_say(link, shape, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
/* Sends it, as far as the connection takes it; the rest goes when it takes more. -1: it is broken, and to be closed. */
int redis_link_flush(redis_link_t *link, fault_t *why);

/* What comes is read, or left where it is. */
void redis_link_pause(redis_link_t *link, bool is_paused);
/* Reads once: 1; 0: there was nothing. -1: it is broken, and to be closed. */
int redis_link_read(redis_link_t *link, fault_t *why);
/* Bytes of a value that has not come whole yet. */
size_t redis_link_held(const redis_link_t *link);

#endif
