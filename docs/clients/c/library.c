/* Runs a pipeline whose elements are pushed, feeds it, and prints its test stream, all through libreprise.
 *
 *     library [--engine tcp://127.0.0.1:5570] PIPELINE COUNT
 *
 * The first time it records COUNT elements; after that the recording is valid, and is only replayed.
 * Build it with: cc library.c -o library $(pkg-config --cflags --libs reprise) */
#include <inttypes.h>
#include <reprise.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t TIMEOUT_MS = 10000;

static reprise_error_t error;

static void fail(const char *what) {
    fprintf(stderr, "library: %s: %s: %s\n", what, error.code, error.message);
    exit(1);
}

static void feed_all(reprise_t *engine, const char *pipeline, uint64_t count) {
    reprise_feed_options_t options = {.pipeline = pipeline, .tag = "Numbers"};
    reprise_feed_t *feed = reprise_feed_open(engine, &options, &error);
    if (!feed) fail("cannot feed");
    int result = 0;
    for (uint64_t i = 0; i < count && result == 0; i++) {
        char payload[32];
        size_t size = (size_t)snprintf(payload, sizeof payload, "number %" PRIu64, i);
        result = reprise_push(feed, payload, size, REPRISE_NOW, &error); /* returns at once: what is pushed goes out by itself */
    }
    if (result == 0) result = reprise_feed_done(feed, TIMEOUT_MS, &error); /* returns when all is recorded */
    if (result < 0) fail("cannot push");
    if (result == 1) fprintf(stderr, "the job takes no more: %s\n", reprise_feed_stopped(feed));
    reprise_feed_close(&feed);
}

static void replay(reprise_t *engine, const char *pipeline) {
    reprise_replay_options_t options = {.pipeline = pipeline};
    reprise_replay_t *stream = reprise_replay_open(engine, &options, &error);
    if (!stream) fail("cannot replay");
    reprise_event_t event = {0};
    while (event.kind != REPRISE_END) {
        if (reprise_replay_next(stream, -1, &event, &error) < 0) fail("the replay broke off");
        if (event.kind == REPRISE_ELEMENT)
            printf("%s %" PRIu64 ": %.*s\n", event.tag, event.number, (int)event.size, (const char *)event.element);
        if (event.kind == REPRISE_GAP) fprintf(stderr, "something is missing here: %s\n", event.text);
    }
    fprintf(stderr, "%s: %" PRIu64 " elements, digest %s\n", event.text, event.number, event.digest);
    reprise_replay_close(&stream);
}

int main(int argc, char **argv) {
    bool given = argc == 5 && strcmp(argv[1], "--engine") == 0;
    if (!given && argc != 3) {
        fprintf(stderr, "usage: library [--engine ENDPOINT] PIPELINE COUNT\n");
        return 2;
    }
    const char *pipeline = argv[argc - 2];
    reprise_source_t source = {.name = "Numbers"}; /* its elements are pushed */
    reprise_run_t run;
    reprise_job_t job;
    reprise_t *engine = reprise_connect(given ? argv[2] : NULL, &error);
    if (!engine) fail("cannot connect");
    if (reprise_run(engine, pipeline, &source, 1, NULL, TIMEOUT_MS, &run, &error) < 0) fail("cannot run");
    fprintf(stderr, "%s: %s\n", run.recording, run.reason);
    if (run.started || strcmp(run.reason, "job_running") == 0) feed_all(engine, pipeline, strtoull(argv[argc - 1], NULL, 10));
    if (reprise_wait(engine, pipeline, TIMEOUT_MS, &job, &error) < 0) fail("cannot wait");
    fprintf(stderr, "%s: %" PRIu64 " elements recorded\n", job.state, job.elements);
    replay(engine, pipeline);
    reprise_disconnect(&engine);
    return 0;
}
