/* What is said with a JetStream: its requests and answers are JSON, and where a message is in the stream is in its reply subject. No connection,
 * no state. */
#ifndef REPRISE_NATS_WORDS_H
#define REPRISE_NATS_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

bool nats_subject_valid(const char *subject); /* to subscribe to: with `*` and `>` */
bool nats_stream_valid(const char *stream);

/* Of a message that a consumer delivered. */
typedef struct nats_place {
    int64_t sequence; /* in the stream */
    int64_t delivery; /* the consumer's number for it, from 1 */
    int64_t time;     /* when it was stored, in µs since the epoch */
    int64_t pending;  /* how many the consumer had after it */
} nats_place_t;

/* False: this is no reply subject of a delivery. */
bool nats_place_read(const char *reply, nats_place_t *ret_place);

/* Where a consumer begins. */
typedef struct nats_start {
    enum { NATS_FROM_ALL, NATS_FROM_NEW, NATS_FROM_SEQUENCE, NATS_FROM_TIME } from;
    int64_t sequence;
    int64_t time; /* µs since the epoch */
} nats_start_t;

/* `all`, `new`, a number or a time. */
int nats_start_read(const char *text, nats_start_t *ret_start, fault_t *why);

/* The request for a consumer of a stream that goes away by itself once nobody reads it; to be freed. `subject`: NULL: all of them. */
char *nats_consumer_request(const char *stream, const char *subject, const nats_start_t *start);

typedef struct nats_answer {
    int code; /* 0: it was done; otherwise as in HTTP */
    char text[200];
    char consumer[80];   /* its name */
    int64_t delivered;   /* the sequence before its first */
    int64_t pending;     /* how many it has */
    int64_t first, last; /* sequences in the stream; of an empty one, `first` is the next */
    int64_t made;        /* the stream, in µs since the epoch */
    int64_t age_us;      /* after which it deletes messages; 0: it does not */
    bool is_bounded;     /* it deletes its first message for a new one when it is full */
    int64_t time;        /* when a message was stored, in µs since the epoch; 0: the answer is not about one */
} nats_answer_t;

/* -1: this is no answer. */
int nats_answer_read(bytes_t json, nats_answer_t *ret_answer, fault_t *why);

#endif
