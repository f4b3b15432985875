/* The work on Reprise: one element a call through the client library; and messages of one, 64 or 256 KiB of elements by the protocol itself,
 * as the raw figures of reprise-bench send them. */
#include <stdio.h>
#include <unistd.h>

#include "../../bin/library/reprise.h"
#include "../feed.h"
#include "work.h"

enum { CHECK_EVERY = 256, PATIENCE_MS = 60000 };

static const int64_t RECORDING_MAX = INT64_C(64) * 1000 * 1000 * 1000, CREDIT = INT64_C(4) * 1024 * 1024;

typedef struct place {
    bench_t bench;
    char pipeline[64];
    reprise_t *engine;
    reprise_feed_t *feed;
} place_t;

static int refused(const reprise_error_t *error, fault_t *why) {
    return fault_set(why, "%s: %s", error->code, error->message);
}

/* ---- a pipeline of its own ---- */

static int place_open(place_t *place, const work_t *work, fault_t *why) {
    reprise_error_t error;
    *place = (place_t){.bench = {.engine = work->endpoint, .size = work->size, .credit = CREDIT}};
    snprintf(place->pipeline, sizeof place->pipeline, "compare-%d", (int)getpid());
    client_init(&place->bench.client);
    place->bench.client.engine = work->endpoint;
    place->engine = reprise_connect(work->endpoint, &error);
    if (!place->engine) return refused(&error, why);
    return engine_run(&place->bench, place->pipeline, RECORDING_MAX, why);
}

static int place_feed(place_t *place, fault_t *why) {
    reprise_error_t error;
    reprise_feed_options_t options = {.pipeline = place->pipeline, .tag = PUSH_TAG};
    place->feed = reprise_feed_open(place->engine, &options, &error);
    return place->feed ? 0 : refused(&error, why);
}

static void place_close(place_t *place) {
    fault_t why;
    reprise_feed_close(&place->feed);
    reprise_disconnect(&place->engine);
    engine_forget(&place->bench, place->pipeline, &why);
    client_fini(&place->bench.client);
}

/* ---- one element a call ---- */

static int flushed(place_t *place, int64_t elements, fault_t *why) {
    reprise_error_t error;
    reprise_counts_t counts;
    int result = reprise_feed_flush(place->feed, PATIENCE_MS, &error);
    reprise_feed_counts(place->feed, &counts);
    if (result < 0) return refused(&error, why);
    return result == 0 && counts.recorded == (uint64_t)elements
               ? 0
               : fault_set(why, "%lld elements were pushed and %llu recorded", (long long)elements, (unsigned long long)counts.recorded);
}

static int pushes(place_t *place, const work_t *work, int64_t count, fault_t *why) {
    reprise_error_t error;
    for (int64_t i = 0; i < count; i++)
        if (reprise_push(place->feed, work->bytes, (size_t)work->size, REPRISE_NOW, &error) != 0)
            return fault_set(why, "an element was not taken: %s", error.message);
    return 0;
}

static int push(work_t *work, fault_t *why) {
    place_t place;
    int64_t elements = 0;
    int result = place_open(&place, work, why);
    if (result == 0) result = place_feed(&place, why);
    work_begin(work);
    for (; result == 0 && !work_over(work); elements += CHECK_EVERY) result = pushes(&place, work, CHECK_EVERY, why);
    if (result == 0) result = flushed(&place, elements, why);
    work_end(work, elements);
    place_close(&place);
    return result;
}

static int each(work_t *work, fault_t *why) {
    place_t place;
    int64_t elements = 0;
    int result = place_open(&place, work, why);
    if (result == 0) result = place_feed(&place, why);
    work_begin(work);
    while (result == 0 && !work_over(work))
        if ((result = pushes(&place, work, 1, why)) == 0) result = flushed(&place, ++elements, why);
    work_end(work, elements);
    place_close(&place);
    return result;
}

/* ---- messages of the protocol ---- */

static int messages(work_t *work, fault_t *why) {
    place_t place;
    feed_t feed = {0};
    int result = place_open(&place, work, why);
    if (result == 0) result = feed_open(&feed, &place.bench, place.pipeline, work->batch, why);
    work_begin(work);
    for (int i = 0; result == 0 && (i % CHECK_EVERY != 0 || !work_over(work)); i++) result = feed_send(&feed, why);
    if (result == 0) result = feed_drain(&feed, why);
    work_end(work, feed.dealt_with * work->batch);
    feed_close(&feed);
    place_close(&place);
    return result;
}

/* ---- reading ---- */

static int replay_once(place_t *place, work_t *work, fault_t *why) {
    reprise_error_t error;
    reprise_event_t event = {0};
    reprise_replay_options_t options = {.pipeline = place->pipeline};
    int64_t elements = 0, bytes = 0;
    int got = 1;
    work_begin(work);
    reprise_replay_t *replay = reprise_replay_open(place->engine, &options, &error);
    if (!replay) return refused(&error, why);
    while (event.kind != REPRISE_END && (got = reprise_replay_next(replay, PATIENCE_MS, &event, &error)) == 1) {
        if (event.kind != REPRISE_ELEMENT) continue;
        elements++;
        bytes += (int64_t)event.size;
    }
    work_end(work, elements);
    reprise_replay_close(&replay);
    if (got < 0) return refused(&error, why);
    return elements == work->recorded && bytes == elements * work->size
               ? 0
               : fault_set(why, "%lld of %lld elements were replayed", (long long)elements, (long long)work->recorded);
}

static int replay(work_t *work, fault_t *why) {
    place_t place;
    int result = place_open(&place, work, why);
    if (result == 0) result = place_feed(&place, why);
    if (result == 0) result = pushes(&place, work, work->recorded, why);
    if (result == 0) result = flushed(&place, work->recorded, why);
    if (result == 0) result = engine_end(&place.bench, place.pipeline, why);
    do {
        if (result == 0) result = replay_once(&place, work, why);
    } while (result == 0 && work->took < work->seconds);
    place_close(&place);
    return result;
}

int main(int count, char **arguments) {
    static const work_kind_t kinds[] = {{"push", push}, {"each", each}, {"messages", messages}, {"replay", replay}, {NULL, NULL}};
    return work_main(count, arguments, kinds);
}
