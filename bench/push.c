/* One element a call, through libreprise: what a program has that knows nothing of batches. Event times are given, as a program has them from
 * its source; the clock is looked at once in many elements, for the end. */
#include "push.h"

#include <pthread.h>
#include <stdlib.h>

#include "../bin/library/reprise.h"

enum { CHECK_EVERY = 1024, PATIENCE_MS = 30000 };

typedef struct pusher {
    const bench_t *bench;
    const char *pipeline;
    int64_t until, ended; /* ns */
    uint64_t recorded;
    bool failed;
    fault_t why;
    pthread_t thread;
} pusher_t;

static int elements_push(pusher_t *pusher, reprise_feed_t *feed, const uint8_t *payload, reprise_error_t *error) {
    int result = 0;
    int64_t time = INT64_C(1700000000000000);
    while (result == 0 && clock_ns() < pusher->until)
        for (int i = 0; result == 0 && i < CHECK_EVERY; i++)
            result = reprise_push(feed, payload, (size_t)pusher->bench->size, time++, error);
    return result == 0 ? reprise_feed_flush(feed, PATIENCE_MS, error) : result;
}

static void *pusher_run(void *argument) {
    pusher_t *pusher = argument;
    reprise_error_t error = {0};
    reprise_feed_options_t options = {.pipeline = pusher->pipeline, .tag = PUSH_TAG};
    uint8_t *payload = malloc((size_t)pusher->bench->size + 1);
    must(payload);
    for (int64_t i = 0; i < pusher->bench->size; i++) payload[i] = (uint8_t)(i * 131 + 7);
    reprise_t *engine = reprise_connect_with(pusher->bench->engine, pusher->bench->key, pusher->bench->server_key, &error);
    reprise_feed_t *feed = engine ? reprise_feed_open(engine, &options, &error) : NULL;
    int result = feed ? elements_push(pusher, feed, payload, &error) : -1;
    pusher->ended = clock_ns();
    pusher->failed = result != 0;
    if (result == 1) fault_set(&pusher->why, "the recording reached a limit while it was measured: %s", reprise_feed_stopped(feed));
    if (result < 0) fault_set(&pusher->why, "%s: %s", error.code, error.message);
    reprise_counts_t counts = {0};
    if (feed) reprise_feed_counts(feed, &counts);
    pusher->recorded = counts.recorded;
    reprise_feed_close(&feed);
    reprise_disconnect(&engine);
    free(payload);
    return NULL;
}

int pushes_run(bench_t *bench, const char *pipeline, double *ret_elements_per_s, fault_t *why) {
    pusher_t *pushers = calloc((size_t)bench->producers, sizeof *pushers);
    int64_t started = clock_ns(), ended = started;
    uint64_t elements = 0;
    int result = 0;
    must(pushers);
    for (int64_t i = 0; i < bench->producers; i++) {
        pushers[i] = (pusher_t){.bench = bench, .pipeline = pipeline, .until = started + (int64_t)(bench->seconds * 1e9)};
        must(pthread_create(&pushers[i].thread, NULL, pusher_run, &pushers[i]) == 0);
    }
    for (int64_t i = 0; i < bench->producers; i++) {
        pthread_join(pushers[i].thread, NULL);
        if (pushers[i].failed && result == 0) result = fault_set(why, "%s", pushers[i].why.text);
        elements += pushers[i].recorded;
        if (pushers[i].ended > ended) ended = pushers[i].ended;
    }
    free(pushers);
    if (result == 0) *ret_elements_per_s = (double)elements * 1e9 / (double)(ended - started);
    return result;
}
