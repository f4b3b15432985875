/* What the two halves of the NATS connector share: source_nats.c has the connection, the payload and plain subjects, nats_stream.c a JetStream. */
#ifndef REPRISE_SOURCE_NATS_H
#define REPRISE_SOURCE_NATS_H

#include "backoff.h"
#include "feed.h"
#include "nats_link.h"
#include "nats_words.h"
#include "timing.h"

#define NATS_URN "reprise:source:nats:v1"

enum {
    NATS_SUBJECT_MAX = 128,
    NATS_QUEUE_BYTES = 4 * 1024 * 1024, /* that wait in libnats, when nothing is taken, with what it keeps for each message: */
    NATS_MESSAGE_BYTES = 256,
};

typedef enum nats_step {
    STEP_AWAY,     /* no connection */
    STEP_GREETING, /* of a subject: it is subscribed to once the echo is back; of a stream: it will be asked */
    STEP_LOOKING,  /* what the stream has */
    STEP_PROVING,  /* that the last message is still the one that was recorded */
    STEP_MAKING,   /* a consumer */
    STEP_READING,
} nats_step_t;

/* A position in a stream. */
typedef struct nats_position {
    int64_t sequence; /* of the last message */
    int64_t time;     /* its, in µs since the epoch; 0: not known */
    int64_t made;     /* when the stream was, as another one may have the same name */
    int64_t end;      /* the last one to be recorded; 0: there is none */
} nats_position_t;

typedef struct nats {
    feed_t feed;
    timing_t timing;
    nats_access_t access;
    const char *subject; /* NULL: all of a stream */
    const char *stream;  /* NULL: a plain subject */
    nats_start_t start;
    bool until_end, metadata;
    msgpack_sbuffer attributes; /* of the message that is read */
    /* the connection */
    nats_step_t step;
    nats_dial_t *dial;
    nats_link_t *link;
    natsSubscription *data, *answers;
    bool is_watched, is_watched_writable;
    backoff_t backoff;
    timer_id_t retry, tick;
    char inbox[NATS_SUBJECT_MAX / 2];
    uint64_t requests;
    char awaited[NATS_SUBJECT_MAX]; /* where the answer comes; empty: none is awaited */
    bool has_heard, is_asked;       /* since the last tick; for an echo */
    unsigned silent;                /* ticks without the answer, or what was asked for */
    int64_t heard;                  /* when something was, in µs since the epoch */
    bool begun;
    bool is_placed; /* where it began is kept */
    /* a plain subject */
    int64_t safe;      /* what was heard until then was sent */
    int64_t serial;    /* of what was sent, to know it again */
    int64_t lost_from; /* there is a hole from then on; 0: none */
    fault_t lost_why;
    /* a stream */
    nats_position_t position, origin; /* of what was read; and where it began */
    char consumer[80];
    uint64_t reader;     /* names where its messages come */
    int64_t delivery;    /* the consumer's number for the last message */
    int64_t asked;       /* messages that are to come */
    int64_t size, count; /* bytes and messages of those that were asked for: how many to ask for next */
    bool
        is_behind; /* the server had more after the last one, or was asked for no more: what is missing now may have been deleted before it was read */
    bool is_drained;    /* the consumer has no more */
    bool is_bounded;    /* by numbers or bytes: what was stored may be deleted a moment later */
    int64_t age_us;     /* after which messages are deleted; 0: they stay */
    bool is_renumbered; /* the stream has other messages under the numbers of those that were recorded */
    bool is_over;       /* what is to be recorded was read */
    natsMsg *held;      /* it waits until it is known whether something is missing before it */
    int64_t sure;       /* so many messages, from the one that was held on, need no check */
    fault_t hole;       /* something is missing before the next one; empty: nothing */
} nats_t;

/* ---- the connection ---- */
/* The next message of a subscription, to be destroyed; NULL: none is there, or it was the server's word that nobody takes what was asked. */
natsMsg *nats_next(natsSubscription *subscription, bool *ret_unserved);
/* Asks, and has stream_on_answer called; `subject` NULL: for an echo. `body` may be NULL. */
void nats_ask(nats_t *nats, const char *subject, const char *body);
/* The connection is of no more use: it is made again after a while. */
void nats_lose(nats_t *nats, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with what is asked on it. */
void nats_ask_later(nats_t *nats, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Everything is well. */
void nats_reading(nats_t *nats);
natsSubscription *nats_subscribe(nats_t *nats, const char *subject);
void nats_data_close(nats_t *nats);

/* Takes a message into the batch. False: the source has failed, or was stopped. */
bool nats_add(nats_t *nats, natsMsg *message, const nats_place_t *place);

/* ---- a stream ---- */
void stream_begin(nats_t *nats); /* there is a connection */
void stream_on_answer(nats_t *nats, natsMsg *message);
void stream_take(nats_t *nats); /* what has come, while there is room */
void stream_tick(nats_t *nats); /* time has passed, and all is well */
int stream_resume(nats_t *nats, bytes_t cursor, fault_t *why);
bytes_t stream_cursor(nats_t *nats);
void stream_leave(nats_t *nats); /* its consumer goes with the connection */

#endif
