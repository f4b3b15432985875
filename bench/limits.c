/* By how much a limit is missed. Producers feed a job as fast as they are let until it ends by itself; then what it recorded is counted, its
 * last record's time is read from a replay, and the moment when its state was known to a client is compared with the moment of the limit: the
 * deadline, or the time of the record that reached the count or the size. Beside that stands how late a plain timer is at the same time. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../bin/library/reprise.h"
#include "feed.h"

enum { BATCH = 64, PATIENCE_MS = 60000, NAP_US = 1000, NAPS_MAX = 100000 };

/* Odd, so that it is within a batch that the limit is reached. */
static const double COUNT_A_SECOND = 1000003, BYTES_A_SECOND = 100000007;

typedef enum limit { LIMIT_COUNT, LIMIT_BYTES, LIMIT_DURATION, LIMIT_IDLE, LIMITS } limit_t;

static const struct {
    const char *name, *state, *reason, *what, *unit;
} kinds[LIMITS] = {
    [LIMIT_COUNT] = {"limits.count", "limits.count.state", "count", "elements recorded", "elements"},
    [LIMIT_BYTES] = {"limits.bytes", "limits.bytes.state", "bytes", "bytes of segment files", "bytes"},
    [LIMIT_DURATION] = {"limits.duration", "limits.duration.state", "duration", "the last record, after the start", "µs"},
    [LIMIT_IDLE] = {NULL, "limits.idle.state", "duration", "", ""},
};

/* Waits for the job's end, and notes when it heard of it. */
typedef struct waiter {
    client_t client;
    reply_t reply;
    const char *pipeline;
    int64_t heard; /* µs since the epoch */
    bool failed;
    pthread_t thread;
} waiter_t;

/* A timer as plain as can be, again and again. */
typedef struct sleeper {
    atomic_bool over;
    double *late; /* µs */
    size_t count;
    pthread_t thread;
} sleeper_t;

typedef struct outcome {
    double reached, allowed; /* elements, bytes or µs */
    double state_us;         /* from the limit to the state, at the client */
} outcome_t;

static int64_t time_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- who watches ---- */

static void *waiter_run(void *argument) {
    waiter_t *waiter = argument;
    msg_job_wait_t ask = {.has_pipeline = true, .pipeline = waiter->pipeline, .has_timeout_ms = true, .timeout_ms = PATIENCE_MS};
    waiter->failed = client_ask_within(&waiter->client, MSG_JOB_WAIT, &ask, INT64_C(2) * PATIENCE_MS, &waiter->reply) != STATUS_OK;
    waiter->heard = time_us();
    return NULL;
}

static void waiter_start(waiter_t *waiter, const bench_t *bench, const char *pipeline) {
    *waiter = (waiter_t){.pipeline = pipeline};
    engine_client(bench, &waiter->client);
    must(pthread_create(&waiter->thread, NULL, waiter_run, waiter) == 0);
}

static void *sleeper_run(void *argument) {
    sleeper_t *sleeper = argument;
    while (sleeper->count < NAPS_MAX && !atomic_load_explicit(&sleeper->over, memory_order_relaxed)) {
        int64_t until = clock_ns() + INT64_C(1000) * NAP_US;
        struct timespec end = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
        sleeper->late[sleeper->count++] = (double)(clock_ns() - until) / 1e3;
    }
    return NULL;
}

static void sleeper_start(sleeper_t *sleeper) {
    sleeper->late = malloc(NAPS_MAX * sizeof *sleeper->late);
    must(sleeper->late);
    sleeper->count = 0;
    atomic_init(&sleeper->over, false);
    must(pthread_create(&sleeper->thread, NULL, sleeper_run, sleeper) == 0);
}

static double sleeper_end(sleeper_t *sleeper) {
    atomic_store(&sleeper->over, true);
    pthread_join(sleeper->thread, NULL);
    double late = sleeper->count > 0 ? samples_part(sleeper->late, sleeper->count, 0.99) : 0;
    free(sleeper->late);
    return late;
}

/* ---- what was recorded ---- */

/* The time of the last record with elements, and of the last one, in µs from the recording's start. */
static int times_read(const bench_t *bench, const char *pipeline, int64_t *ret_element, int64_t *ret_last, fault_t *why) {
    reprise_error_t error = {0};
    reprise_replay_options_t options = {.pipeline = pipeline};
    reprise_event_t event = {0};
    reprise_t *engine = reprise_connect_with(bench->engine, bench->key, bench->server_key, &error);
    reprise_replay_t *replay = engine ? reprise_replay_open(engine, &options, &error) : NULL;
    int got = replay ? 1 : -1;
    *ret_element = *ret_last = 0;
    while (got == 1 && event.kind != REPRISE_END && (got = reprise_replay_next(replay, PATIENCE_MS, &event, &error)) == 1) {
        if (event.kind == REPRISE_PROCESSING_TIME) *ret_last += event.advance_us;
        if (event.kind == REPRISE_ELEMENT) *ret_element = *ret_last;
    }
    reprise_replay_close(&replay);
    reprise_disconnect(&engine);
    return got == 1 ? 0 : fault_set(why, "the recording of %s cannot be read: %s", pipeline, error.message);
}

static int outcome_read(const bench_t *bench, limit_t kind, const msg_limits_t *limits, const waiter_t *waiter, outcome_t *ret_outcome,
                        fault_t *why) {
    int64_t element, last, moment;
    if (waiter->failed) return engine_refused(&waiter->client, why);
    const msg_job_t *job = waiter->reply.message;
    if (!job->stop_reason || strcmp(job->stop_reason, kinds[kind].reason) != 0)
        return fault_set(why, "a job that had the limit `%s` ended with `%s`", kinds[kind].reason,
                         job->stop_reason ? job->stop_reason : "");
    if (times_read(bench, waiter->pipeline, &element, &last, why) < 0) return -1;
    *ret_outcome = (outcome_t){.reached = (double)job->elements, .allowed = (double)limits->count};
    moment = job->started_at + element;
    if (kind == LIMIT_BYTES) *ret_outcome = (outcome_t){.reached = (double)job->bytes, .allowed = (double)limits->bytes};
    if (kind == LIMIT_DURATION || kind == LIMIT_IDLE) {
        *ret_outcome = (outcome_t){.reached = (double)last, .allowed = (double)limits->duration_ms * 1e3};
        moment = job->started_at + limits->duration_ms * 1000;
    }
    ret_outcome->state_us = (double)(waiter->heard - moment);
    return 0;
}

/* ---- measuring ---- */

static msg_limits_t limits_of(const bench_t *bench, limit_t kind) {
    msg_limits_t limits = {
        .has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = LIMIT_NONE, .has_count = true, .count = LIMIT_NONE};
    if (kind == LIMIT_COUNT) limits.count = (int64_t)(COUNT_A_SECOND * bench->seconds) + 1;
    if (kind == LIMIT_BYTES) limits.bytes = (int64_t)(BYTES_A_SECOND * bench->seconds) + 4096;
    if (kind == LIMIT_DURATION || kind == LIMIT_IDLE) limits.duration_ms = (int64_t)(1000 * bench->seconds) + 1;
    return limits;
}

static int job_feed(bench_t *bench, const char *pipeline, limit_t kind, outcome_t *ret_outcome, fault_t *why) {
    int64_t count = kind == LIMIT_IDLE ? 0 : bench->producers;
    msg_limits_t limits = limits_of(bench, kind);
    feed_t *feeds = calloc((size_t)count + 1, sizeof *feeds);
    waiter_t waiter;
    fault_t second;
    must(feeds);
    waiter_start(&waiter, bench, pipeline);
    int result = 0;
    for (int64_t i = 0; result == 0 && i < count; i++)
        result = feed_open(&feeds[i], bench, pipeline, bench->batch ? bench->batch : BATCH, why);
    int64_t started = result == 0 ? count : 0;
    feeds_start(feeds, started, INT64_MAX);
    pthread_join(waiter.thread, NULL);
    if (feeds_finish(feeds, started, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    if (result == 0) result = outcome_read(bench, kind, &limits, &waiter, ret_outcome, why);
    for (int64_t i = 0; i < count; i++) feed_close(&feeds[i]);
    free(feeds);
    reply_fini(&waiter.reply);
    client_fini(&waiter.client);
    return result;
}

static int job_measure(bench_t *bench, limit_t kind, outcome_t *ret_outcome, double *ret_late, fault_t *why) {
    char pipeline[64];
    sleeper_t sleeper;
    fault_t second;
    msg_limits_t limits = limits_of(bench, kind);
    snprintf(pipeline, sizeof pipeline, "bench-limits-%d", (int)getpid());
    sleeper_start(&sleeper);
    int result = engine_run_with(bench, pipeline, 1, &limits, why);
    bool runs = result == 0;
    if (runs) result = job_feed(bench, pipeline, kind, ret_outcome, why);
    *ret_late = sleeper_end(&sleeper);
    if (runs && engine_forget(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}

static int kind_measure(bench_t *bench, limit_t kind, fault_t *why) {
    char what[96];
    double over = 0;
    figure_t amount = {.name = kinds[kind].name, .what = what, .unit = kinds[kind].unit, .peer = "the limit"};
    figure_t state = {.name = kinds[kind].state, .what = "from the limit to the state", .unit = "µs", .peer = "raw timer, p99"};
    if (kind == LIMIT_IDLE) state.what = "the same of a deadline, with nothing to record";
    for (int64_t i = 0; i < bench->rounds; i++) {
        outcome_t outcome = {0};
        figure_progress(bench, kinds[kind].state, i);
        if (job_measure(bench, kind, &outcome, &state.peers[i], why) < 0) return -1;
        amount.values[i] = outcome.reached;
        amount.peers[i] = outcome.allowed;
        state.values[i] = outcome.state_us;
        if (i == 0 || outcome.reached - outcome.allowed > over) over = outcome.reached - outcome.allowed;
    }
    snprintf(what, sizeof what, "%s; beyond the limit at most: %.0f", kinds[kind].what, over);
    if (kinds[kind].name) figure_print(bench, &amount);
    figure_print(bench, &state);
    return 0;
}

int bench_limits(bench_t *bench, fault_t *why) {
    for (int kind = 0; kind < LIMITS; kind++)
        if (kind_measure(bench, (limit_t)kind, why) < 0) return -1;
    return 0;
}
