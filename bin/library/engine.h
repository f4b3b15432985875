/* A connection to an engine: requests and answers, and the way to its other endpoints. */
#ifndef REPRISE_LIBRARY_ENGINE_H
#define REPRISE_LIBRARY_ENGINE_H

#include <stdatomic.h>

#include "channel.h"
#include "problem.h"

struct reprise {
    char endpoint[512];
    credentials_t credentials;
    void *context;
    channel_t commands;
    int interrupts;     /* -1: none */
    atomic_uint opened; /* feeds and replays that are not closed: ZeroMQ would wait for them */
    uint64_t asked;     /* requests so far: the next one's id */
    letter_t letter;
    msgpack_zone zone; /* what the last answer was decoded into */
};

/* The time that is `timeout_ms` from now, for channel_receive. */
int64_t engine_deadline(int64_t timeout_ms);

/* Asks, and hands back the answer as a struct of the class that answers this request; valid until the next. */
int engine_ask(reprise_t *engine, message_id_t id, const void *message, int64_t timeout_ms, const void **ret_answer,
               reprise_error_t *error);

/* Opens a channel to the ingest or the test-stream endpoint (SCOPE_…), watched. */
int engine_open(reprise_t *engine, unsigned scope, int64_t timeout_ms, channel_t *channel, reprise_error_t *error);
/* Closes it. */
void engine_close(reprise_t *engine, channel_t *channel);

/* Waits on any channel for the answer that bears this number, of the request `op`. Other letters go to
 * `other`, which may move them elsewhere; NULL: they are dropped. 0 with the answer, which says `ok`, in `letter`. */
typedef void letter_fn(void *context, letter_t *letter);
int engine_await(channel_t *channel, uint64_t number, const char *op, int64_t deadline, letter_t *letter, letter_fn *other, void *context,
                 reprise_error_t *error);

#endif
