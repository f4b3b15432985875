/* Feeds: a producer that sends the same batch again and again, as fast as it is let. The same loop sends the same bytes to the engine, by the
 * ingest protocol, and to a raw peer, so that what the producer itself costs is on both sides. */
#ifndef REPRISE_BENCH_FEED_H
#define REPRISE_BENCH_FEED_H

#include <pthread.h>

#include "bench.h"

enum { FEED_DEPTH_MAX = 20000, REPLY_MS = 30000 };

typedef struct feed {
    char tag[TAG_MAX];
    int64_t batch; /* elements */
    uint8_t *body;
    size_t body_size;
    uint8_t head[512]; /* ends with the batch's number, in eight bytes */
    size_t head_size;
    int64_t credit;           /* bytes that may be on their way */
    int64_t sent, dealt_with; /* batches */
    void *socket;
    void *context;   /* a raw feed's own */
    client_t client; /* an engine's feed's own */
    channel_t channel;
    bool stopped; /* the job takes no more */
    fault_t why;
    pthread_t thread;
    int64_t until, ended; /* ns */
    bool failed;
} feed_t;

/* To the engine; or to a raw peer's endpoint. Release with feed_close, also after a failure. */
int feed_open(feed_t *feed, const bench_t *bench, const char *pipeline, int64_t batch, fault_t *why);
/* To another of the pipeline's sources than the first. */
int feed_open_source(feed_t *feed, const bench_t *bench, const char *pipeline, int64_t source, int64_t batch, fault_t *why);
int feed_open_raw(feed_t *feed, const bench_t *bench, const char *endpoint, int64_t batch);
void feed_close(feed_t *feed);
int64_t feed_bytes(const feed_t *feed);                  /* of all frames of a batch */
int64_t feed_depth(const bench_t *bench, int64_t batch); /* as many messages as its credit allows */

/* One batch. Waits where the credit is used up. */
int feed_send(feed_t *feed, fault_t *why);
/* Waits until all that was sent is dealt with. */
int feed_drain(feed_t *feed, fault_t *why);

/* Sends for `seconds` from threads, one each, and waits until all is dealt with. */
int feeds_run(feed_t *feeds, int64_t count, double seconds, double *ret_elements_per_s, fault_t *why);
/* The same in the background, until feeds_finish. */
void feeds_start(feed_t *feeds, int64_t count, int64_t until);
int feeds_finish(feed_t *feeds, int64_t count, fault_t *why);

#endif
