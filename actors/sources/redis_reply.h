/* What Redis answers, as it arrives: hiredis' parser with other objects than its own, so that the bytes of an entry go from the buffer that
 * they were received in to the batch, and no tree of replies is ever made. */
#ifndef REPRISE_REDIS_REPLY_H
#define REPRISE_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#include "redis_place.h"

/* What a reply is to, and so how it is to be read. */
typedef enum redis_shape {
    REDIS_AUTH, /* these only say that it went well */
    REDIS_SELECT,
    REDIS_NAME,
    REDIS_QUEUE,
    REDIS_EXEC, /* of an XINFO STREAM for each stream, and an XREAD */
    REDIS_READ, /* of an XREAD */
    REDIS_PUSH, /* what comes to whoever has subscribed */
} redis_shape_t;

/* What is said, in the order in which it stands in the reply. What is out of its shape is passed over. Bytes are valid during the call. */
typedef struct redis_listener {
    void (*error)(void *state, int part, bytes_t text); /* part: which of an EXEC's; -1: the whole */
    void (*info)(void *state, size_t stream, const redis_info_t *info);
    void (*infos_end)(void *state);
    void (*stream)(void *state, bytes_t name); /* that what follows is of; size 0: its name is not known */
    void (*entry)(void *state, redis_id_t id, size_t fields);
    void (*field)(void *state, bytes_t name);
    void (*value)(void *state, bytes_t value, bool is_last);
    void (*message)(void *state, bytes_t channel, bytes_t value);
    void (*subscribed)(void *state);
    void (*end)(void *state, redis_shape_t shape); /* the reply is whole */
} redis_listener_t;

typedef struct redis_reply {
    const redis_listener_t *listener;
    void *state;         /* of the listener */
    bool is_deaf;        /* nothing is told */
    redis_shape_t shape; /* of the reply that comes next: to be set before it comes */
    size_t streams;
    redis_info_t info; /* as far as it has come */
    unsigned property; /* of it, which comes next */
    redis_id_t id;     /* of the entry */
    bool has_id;
    unsigned push;    /* what is pushed */
    uint8_t *channel; /* that it is pushed on; kept, as the parser's buffer may move */
    size_t channel_size, channel_room;
} redis_reply_t;

void redis_reply_init(redis_reply_t *reply, const redis_listener_t *listener, void *state, size_t streams);
void redis_reply_fini(redis_reply_t *reply);
/* Has a connection's replies told to the listener. */
void redis_reply_attach(redis_reply_t *reply, redisReader *reader);

#endif
