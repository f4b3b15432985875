/* Feeds two sources of a pipeline from two threads at once, and reads the pipeline's test stream in a third while they do.
 *
 *     threads ENGINE PIPELINE COUNT: the pipeline has the push sources Left and Right */
#include <inttypes.h>
#include <pthread.h>
#include <reprise.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *engine_endpoint, *pipeline;
static uint64_t count;

static void check(int result, const char *what, const reprise_error_t *error) {
    if (result != 0) {
        fprintf(stderr, "%s: %d %s: %s\n", what, result, error->code, error->message);
        exit(1);
    }
}

static void *feed_run(void *argument) {
    reprise_error_t error = {0};
    reprise_feed_options_t options = {.pipeline = pipeline, .tag = argument};
    reprise_t *engine = reprise_connect(engine_endpoint, &error);
    check(engine ? 0 : -1, "connect", &error);
    reprise_feed_t *feed = reprise_feed_open(engine, &options, &error);
    check(feed ? 0 : -1, "open", &error);
    for (uint64_t i = 0; i < count; i++) {
        check(reprise_push(feed, &i, sizeof i, (int64_t)i, &error), "push", &error);
        if (i % 10000 == 0) {
            check(reprise_feed_watermark(feed, (int64_t)i, &error), "watermark", &error);
        }
    }
    check(reprise_feed_done(feed, 30000, &error), "done", &error);
    reprise_feed_close(&feed);
    reprise_disconnect(&engine);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[2];
    uint64_t next[2] = {0, 0};
    reprise_error_t error = {0};
    reprise_event_t event = {0};
    if (argc != 4) {
        return 2;
    }
    engine_endpoint = argv[1];
    pipeline = argv[2];
    count = strtoull(argv[3], NULL, 10);
    reprise_t *engine = reprise_connect(engine_endpoint, &error);
    check(engine ? 0 : -1, "connect", &error);
    reprise_replay_options_t options = {.pipeline = pipeline};
    reprise_replay_t *replay = reprise_replay_open(engine, &options, &error);
    check(replay ? 0 : -1, "replay", &error);
    pthread_create(&threads[0], NULL, feed_run, "Left");
    pthread_create(&threads[1], NULL, feed_run, "Right");
    while (reprise_replay_next(replay, 30000, &event, &error) == 1 && event.kind != REPRISE_END) {
        uint64_t number;
        if (event.kind != REPRISE_ELEMENT) {
            continue;
        }
        memcpy(&number, event.element, sizeof number);
        check(number == next[strcmp(event.tag, "Right") == 0]++ ? 0 : -1, event.tag, &error);
    }
    printf("%" PRIu64 " %" PRIu64 " %s\n", next[0], next[1], event.kind == REPRISE_END ? event.text : error.message);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    reprise_replay_close(&replay);
    reprise_disconnect(&engine);
    return 0;
}
