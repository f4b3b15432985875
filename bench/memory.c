/* What the engine takes of the machine's memory while it does much at once: the process's own (`Anonymous` in /proc/PID/smaps_rollup), without
 * what it maps of recordings, which is the page cache's. Beside each figure stands what it may be. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

enum { PIPELINES = 1000, JOBS = 100, REPLAYS = 100, CONNECTIONS = 4, STEPS = 12, RATE = 100 };

static const double TARGET_MIB = 64;
static const int64_t CREDIT = INT64_C(1) << 20, BUSY_MAX = INT64_C(16) << 20;

enum { TRACKED, RECORDING, REPLAYING, BUSY, FIGURES };

typedef struct crowd {
    bench_t *bench;
    pid_t engine; /* its process */
    channel_t channels[CONNECTIONS];
    letter_t letter;
    figure_t figures[FIGURES];
} crowd_t;

/* ---- what it has to do ---- */

static int ask(crowd_t *crowd, message_id_t id, const void *message, fault_t *why) {
    reply_t reply = {0};
    int result = client_ask(&crowd->bench->client, id, message, &reply) == STATUS_OK ? 0 : engine_refused(&crowd->bench->client, why);
    reply_fini(&reply);
    return result;
}

static const char *name_of(const char *kind, int number, char name[64]) {
    snprintf(name, 64, "bench-%s-%d-%d", kind, (int)getpid(), number);
    return name;
}

/* A source, and steps with what a step is made of. */
static const msg_pipeline_t *definition_of(const char *name, double rate, int seed) {
    static const char step[] = "\x82\xa2"
                               "fn\xbaorg.example.clicks.CountFn\xa6window\x82\xa7size_ms\xcd\xea\x60\xa9period_ms\xcd\x27\x10";
    static uint8_t source[64];
    static msg_transform_t transforms[1 + STEPS];
    static char names[1 + STEPS][32];
    static msg_pipeline_t definition;
    msgpack_sbuffer out = {.data = (char *)source, .alloc = sizeof source};
    record_encode(RECORD_CLASS(generator_payload),
                  &(msg_generator_payload_t){.has_rate = true, .rate = rate, .has_seed = true, .seed = seed}, &out);
    for (int i = 0; i <= STEPS; i++) {
        snprintf(names[i], sizeof names[i], i == 0 ? "Read" : "Count/%d", i);
        transforms[i] =
            (msg_transform_t){.has_name = true,
                              .name = names[i],
                              .has_urn = true,
                              .urn = i == 0 ? "reprise:source:generator:v1" : "beam:transform:pardo:v1",
                              .has_payload = true,
                              .payload = i == 0 ? (bytes_t){source, out.size} : (bytes_t){(const uint8_t *)step, sizeof step - 1}};
    }
    definition = (msg_pipeline_t){.has_name = true, .name = name, .has_transforms = true, .transforms = {1 + STEPS, transforms}};
    return &definition;
}

static int pipelines_track(crowd_t *crowd, fault_t *why) {
    char name[64];
    for (int i = 0; i < PIPELINES; i++) {
        msg_pipeline_track_t track = {.pipeline = name_of("memory", i, name), .pipeline_definition = definition_of(name, RATE, i + 1)};
        if (ask(crowd, MSG_PIPELINE_TRACK, &track, why) < 0) return -1;
    }
    return 0;
}

static int jobs_run(crowd_t *crowd, const char *kind, double rate, int64_t bytes, fault_t *why) {
    char name[64];
    for (int i = 0; i < JOBS; i++) {
        msg_pipeline_run_t run = {
            .pipeline = name_of(kind, i, name), .pipeline_definition = definition_of(name, rate, i + 1), .has_limits = true};
        run.limits = (msg_limits_t){.has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = bytes};
        if (ask(crowd, MSG_PIPELINE_RUN_ASK, &run, why) < 0) return -1;
    }
    return 0;
}

static int pipelines_forget(crowd_t *crowd, const char *kind, int count, fault_t *why) {
    char name[64];
    for (int i = 0; i < count; i++) {
        name_of(kind, i, name);
        if (i < JOBS && engine_end(crowd->bench, name, why) < 0) return -1;
        if (ask(crowd, MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.pipeline = name}, why) < 0) return -1;
    }
    return 0;
}

static int replays_open(crowd_t *crowd, fault_t *why) {
    client_t *client = &crowd->bench->client;
    char name[64];
    for (int i = 0; i < REPLAYS; i++) {
        channel_t *channel = &crowd->channels[i % CONNECTIONS];
        msg_replay_open_t open = {.has_pipeline = true, .pipeline = name_of("memory", i, name), .has_credit = true, .credit = CREDIT};
        reply_t reply = {0};
        bool good = (channel->socket || client_open_where(client, WHERE_TEST_STREAM, channel) == STATUS_OK) &&
                    client_ask_on(client, channel, MSG_REPLAY_OPEN, &open, client->timeout_ms, &reply) == STATUS_OK;
        reply_fini(&reply);
        if (!good) return engine_refused(client, why);
    }
    return 0;
}

/* All that is replayed for a while is read. */
static void replays_read(crowd_t *crowd) {
    int64_t until = clock_ns() + (int64_t)(crowd->bench->seconds * 1e9);
    while (clock_ns() < until)
        for (int i = 0; i < CONNECTIONS; i++)
            while (channel_receive(&crowd->channels[i], channel_clock() + 1, &crowd->letter) == RECEIVED) {
            }
}

static void replays_close(crowd_t *crowd) {
    for (int i = 0; i < CONNECTIONS; i++) channel_close(&crowd->channels[i]);
}

/* ---- measuring ---- */

static int busy_measure(crowd_t *crowd, double *ret_mib, fault_t *why) {
    int64_t until = clock_ns() + (int64_t)(crowd->bench->seconds * 1e9);
    double most = 0, now = 0;
    if (jobs_run(crowd, "busy", 0, BUSY_MAX, why) < 0) return -1;
    do {
        if (engine_memory(crowd->engine, &now, why) < 0) return -1;
        if (now > most) most = now;
    } while (clock_ns() < until);
    *ret_mib = most;
    return pipelines_forget(crowd, "busy", JOBS, why);
}

static int round_measure(crowd_t *crowd, int64_t round, fault_t *why) {
    double values[FIGURES] = {0};
    int result = -1;
    if (pipelines_track(crowd, why) == 0 && engine_memory(crowd->engine, &values[TRACKED], why) == 0 &&
        jobs_run(crowd, "memory", RATE, LIMIT_NONE, why) == 0 && engine_memory(crowd->engine, &values[RECORDING], why) == 0 &&
        replays_open(crowd, why) == 0) {
        replays_read(crowd);
        result = engine_memory(crowd->engine, &values[REPLAYING], why);
    }
    replays_close(crowd);
    fault_t second;
    if (pipelines_forget(crowd, "memory", PIPELINES, result < 0 ? &second : why) < 0) return -1;
    if (result < 0 || busy_measure(crowd, &values[BUSY], why) < 0) return -1;
    for (int i = 0; i < FIGURES; i++) {
        crowd->figures[i].values[round] = values[i];
        crowd->figures[i].peers[round] = TARGET_MIB;
    }
    return 0;
}

int bench_memory(bench_t *bench, fault_t *why) {
    static const char *const names[FIGURES][2] = {
        [TRACKED] = {"memory.tracked", "1,000 pipelines of 13 transforms are tracked"},
        [RECORDING] = {"memory.recording", "and 100 of them record a generator of 100 elements a second"},
        [REPLAYING] = {"memory.replaying", "and 100 replays follow those, over 4 connections"},
        [BUSY] = {"memory.busy", "100 jobs record generators as fast as they can: the most that was seen"},
    };
    crowd_t *crowd = calloc(1, sizeof *crowd);
    must(crowd);
    crowd->bench = bench;
    letter_init(&crowd->letter);
    for (int i = 0; i < FIGURES; i++)
        crowd->figures[i] = (figure_t){.name = names[i][0], .what = names[i][1], .unit = "MiB", .peer = "at most"};
    int result = engine_process(bench, &crowd->engine, why);
    for (int64_t i = 0; result == 0 && i < bench->rounds; i++) {
        figure_progress(bench, "memory", i);
        result = round_measure(crowd, i, why);
    }
    for (int i = 0; result == 0 && i < FIGURES; i++) figure_print(bench, &crowd->figures[i]);
    letter_fini(&crowd->letter);
    free(crowd);
    return result;
}
