/* Does an element cost the same however much there is? The engine's time on the processor, which does not depend on how much of it others
 * leave, for an element that is recorded or replayed when a recording is small and when it is large, with one replay and a thousand, with one
 * source and a hundred. Beside each stands the first of its row, so that the ratio says by how much the cost has grown. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../messages/wire.h"
#include "feed.h"
#include "peer.h"

enum { BATCH = 64, BUILD_BATCH = 2000, CONNECTIONS = 10, REPLAYS_MAX = 1000, POINTS_MAX = 5, SMALL_MAX = 100 * 1000 * 1000 };
enum {
    SIZE_ELEMENTS = 50000,
    REPLAY_ELEMENTS = 20000,
    SOURCE_ELEMENTS = 640000,
    REPLAY_TIMES = 20,
    REPLAY_ENOUGH = 1000000,
    WINDOWS = 4,
    CREDIT = 256 * 1024
};

typedef struct scale {
    bench_t *bench;
    pid_t engine;
    char pipeline[64];
    channel_t channels[CONNECTIONS];
    letter_t letter;
} scale_t;

/* One row: what grows, and a figure for each step. */
typedef struct row {
    const char *name, *what, *unit;
    int64_t steps[POINTS_MAX];
    const char *titles[POINTS_MAX];
    size_t count;
    char names[POINTS_MAX][64];
    figure_t figures[POINTS_MAX];
} row_t;

static void row_fill(row_t *row) {
    for (size_t i = 0; i < row->count; i++) {
        snprintf(row->names[i], sizeof row->names[i], "%s.%s", row->name, row->titles[i]);
        row->figures[i] = (figure_t){.name = row->names[i], .what = row->what, .unit = row->unit, .peer = row->titles[0]};
    }
}

static void row_set(row_t *row, size_t step, int64_t round, double value) {
    row->figures[step].values[round] = value;
    row->figures[step].peers[round] = row->figures[0].values[round];
}

static void row_print(bench_t *bench, const row_t *row) {
    for (size_t i = 0; i < row->count; i++) figure_print(bench, &row->figures[i]);
}

static int64_t portion(const bench_t *bench, int64_t elements) {
    double part = (double)elements * (bench->seconds < 1 ? bench->seconds : 1);
    return part < BUILD_BATCH ? BUILD_BATCH : (int64_t)part;
}

static int pipeline_forget(scale_t *scale, int result, fault_t *why) {
    fault_t second;
    if (engine_forget(scale->bench, scale->pipeline, &second) < 0 && result == 0) return fault_set(why, "%s", second.text);
    return result;
}

/* ---- replays ---- */

/* Without credit, so that all begin at once. */
static int replays_open(scale_t *scale, int64_t count, int64_t from, int64_t elements, int64_t *ret_replays, fault_t *why) {
    client_t *client = &scale->bench->client;
    for (int64_t i = 0; i < count; i++) {
        channel_t *channel = &scale->channels[i % CONNECTIONS];
        msg_replay_open_t ask = {.has_pipeline = true,
                                 .pipeline = scale->pipeline,
                                 .has_from = true,
                                 .from = {.has_element = true, .element = from},
                                 .has_max_elements = true,
                                 .max_elements = elements,
                                 .has_credit = true};
        reply_t reply = {0};
        bool good = (channel->socket || client_open_where(client, WHERE_TEST_STREAM, channel) == STATUS_OK) &&
                    client_ask_on(client, channel, MSG_REPLAY_OPEN, &ask, client->timeout_ms, &reply) == STATUS_OK;
        if (good) ret_replays[i] = ((const msg_replay_t *)reply.message)->replay;
        reply_fini(&reply);
        if (!good) return engine_refused(client, why);
    }
    return 0;
}

static void credit_give(scale_t *scale, int64_t connection, int64_t replay, int64_t bytes) {
    msg_replay_credit_t more = {.has_replay = true, .replay = replay, .has_bytes = true, .bytes = bytes};
    channel_send(&scale->channels[connection], MSG_REPLAY_CREDIT, &more, (bytes_t){0}, NULL);
}

/* One event: is it the replay's end? Its bytes are given back at once. */
static bool event_take(scale_t *scale, int64_t connection, int64_t *elements) {
    bytes_t value;
    const char *event = "";
    size_t size = 0;
    int64_t replay = 0, sent = 0;
    if (wire_map_get(scale->letter.head, "event", &value)) wire_text(value, &event, &size);
    if (size == 0 || !wire_map_get(scale->letter.head, "replay", &value) || !wire_int(value, &replay)) return false;
    if (size == strlen("end") && memcmp(event, "end", size) == 0) {
        if (wire_map_get(scale->letter.head, "elements", &value) && wire_int(value, &sent)) *elements += sent;
        return true;
    }
    credit_give(scale, connection, replay, (int64_t)(scale->letter.head.size + scale->letter.body.size));
    return false;
}

static int replays_read(scale_t *scale, int64_t count, const int64_t *replays, int64_t *elements, fault_t *why) {
    zmq_pollitem_t items[CONNECTIONS];
    int connections = count < CONNECTIONS ? (int)count : CONNECTIONS;
    for (int i = 0; i < connections; i++) items[i] = (zmq_pollitem_t){.socket = scale->channels[i].socket, .events = ZMQ_POLLIN};
    for (int64_t i = 0; i < count; i++) credit_give(scale, i % CONNECTIONS, replays[i], CREDIT);
    for (int64_t ended = 0; ended < count;) {
        if (zmq_poll(items, connections, REPLY_MS) <= 0) return fault_set(why, "the engine has fallen silent in a replay");
        for (int i = 0; i < connections; i++)
            while (channel_receive(&scale->channels[i], 0, &scale->letter) == RECEIVED)
                if (event_take(scale, i, elements)) ended++;
    }
    return 0;
}

/* The engine's time on the processor for so many replays at once of the elements from `from` on. */
typedef struct spent {
    double open_us, element_ns; /* to open one; and after that, an element of one */
} spent_t;

/* As often, one after another, as makes it long enough to be measured. */
static int replays_measure(scale_t *scale, int64_t count, int64_t from, int64_t elements, spent_t *ret_spent, fault_t *why) {
    int64_t *replays = calloc((size_t)count, sizeof *replays);
    must(replays);
    int64_t opening = 0, reading = 0, read = 0, enough = REPLAY_ENOUGH / (count * elements), times = 1;
    int result = 0;
    if (enough > times) times = enough < REPLAY_TIMES ? enough : REPLAY_TIMES;
    for (int64_t i = 0; result == 0 && i < times; i++) {
        int64_t began = engine_busy_ns(scale->engine);
        result = replays_open(scale, count, from, elements, replays, why);
        int64_t opened = engine_busy_ns(scale->engine);
        if (result == 0) result = replays_read(scale, count, replays, &read, why);
        opening += opened - began;
        reading += engine_busy_ns(scale->engine) - opened;
    }
    int64_t all = times * count * elements;
    if (result == 0 && read != all) result = fault_set(why, "%lld elements were replayed, not %lld", (long long)read, (long long)all);
    *ret_spent = (spent_t){(double)opening / 1e3 / (double)(times * count), (double)reading / (double)all};
    free(replays);
    return result;
}

static void replays_close(scale_t *scale) {
    for (int i = 0; i < CONNECTIONS; i++) channel_close(&scale->channels[i]);
}

static int replays_row(scale_t *scale, row_t *row, int64_t round, fault_t *why) {
    int64_t elements = portion(scale->bench, REPLAY_ELEMENTS) / BUILD_BATCH * BUILD_BATCH;
    feed_t feed = {0};
    spent_t spent = {0};
    if (engine_run(scale->bench, scale->pipeline, LIMIT_NONE, why) < 0) return -1;
    int result = feed_open(&feed, scale->bench, scale->pipeline, BUILD_BATCH, why);
    for (int64_t sent = 0; result == 0 && sent < elements; sent += BUILD_BATCH) result = feed_send(&feed, why);
    if (result == 0) result = feed_drain(&feed, why);
    feed_close(&feed);
    if (result == 0) result = engine_end(scale->bench, scale->pipeline, why);
    for (size_t i = 0; result == 0 && i < row->count; i++) {
        figure_progress(scale->bench, row->names[i], round);
        result = replays_measure(scale, row->steps[i], 0, elements, &spent, why);
        if (result == 0) row_set(row, i, round, spent.element_ns);
        replays_close(scale);
    }
    return pipeline_forget(scale, result, why);
}

/* ---- sources ---- */

/* All take turns, as many elements together as one alone. */
static int sources_feed(scale_t *scale, pid_t taker, feed_t *feeds, int64_t count, double *ret_ns, fault_t *why) {
    int64_t batch = scale->bench->batch ? scale->bench->batch : BATCH, batches = portion(scale->bench, SOURCE_ELEMENTS) / batch;
    int64_t busy = engine_busy_ns(taker);
    int result = 0;
    for (int64_t i = 0; result == 0 && i < batches; i++) result = feed_send(&feeds[i % count], why);
    for (int64_t i = 0; result == 0 && i < count; i++) result = feed_drain(&feeds[i], why);
    *ret_ns = (double)(engine_busy_ns(taker) - busy) / (double)(batches * batch);
    return result;
}

static int sources_measure(scale_t *scale, int64_t count, double *ret_ns, fault_t *why) {
    const msg_limits_t limits = {.has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = LIMIT_NONE};
    int64_t batch = scale->bench->batch ? scale->bench->batch : BATCH;
    feed_t *feeds = calloc((size_t)count, sizeof *feeds);
    must(feeds);
    int result = engine_run_with(scale->bench, scale->pipeline, count, &limits, why);
    bool runs = result == 0;
    for (int64_t i = 0; result == 0 && i < count; i++) result = feed_open_source(&feeds[i], scale->bench, scale->pipeline, i, batch, why);
    if (result == 0) result = sources_feed(scale, scale->engine, feeds, count, ret_ns, why);
    for (int64_t i = 0; i < count; i++) feed_close(&feeds[i]);
    free(feeds);
    return runs ? pipeline_forget(scale, result, why) : result;
}

/* What as many connections cost a process that drops what comes. */
static int sources_measure_raw(scale_t *scale, int64_t count, double *ret_ns, fault_t *why) {
    int64_t batch = scale->bench->batch ? scale->bench->batch : BATCH;
    feed_t *feeds = calloc((size_t)count, sizeof *feeds);
    must(feeds);
    peer_process_t peer;
    int result = peer_start(&peer, "sink", feed_depth(scale->bench, batch), why);
    for (int64_t i = 0; result == 0 && i < count; i++) result = feed_open_raw(&feeds[i], scale->bench, peer.endpoints[0], batch);
    if (result == 0) result = sources_feed(scale, peer.process.id, feeds, count, ret_ns, why);
    for (int64_t i = 0; i < count; i++) feed_close(&feeds[i]);
    peer_stop(&peer);
    free(feeds);
    return result;
}

static int sources_rows(scale_t *scale, row_t *row, row_t *raw, int64_t round, fault_t *why) {
    double ns = 0;
    for (size_t i = 0; i < row->count; i++) {
        figure_progress(scale->bench, row->names[i], round);
        if (sources_measure(scale, row->steps[i], &ns, why) < 0) return -1;
        row_set(row, i, round, ns);
        if (sources_measure_raw(scale, row->steps[i], &ns, why) < 0) return -1;
        row_set(raw, i, round, ns);
    }
    return 0;
}

/* ---- sizes ---- */

/* What was written is on the disk, so that its way there is not counted with what comes next. */
static void disk_settle(const bench_t *bench) {
    int folder = open(bench->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(folder >= 0);
    syncfs(folder);
    close(folder);
}

static int recording_fill(scale_t *scale, int64_t bytes, int64_t *elements, fault_t *why) {
    feed_t feed = {0};
    int result = feed_open(&feed, scale->bench, scale->pipeline, BUILD_BATCH, why);
    for (int64_t sent = 0; result == 0 && sent < bytes; sent += feed_bytes(&feed)) result = feed_send(&feed, why);
    if (result == 0) result = feed_drain(&feed, why);
    *elements += feed.dealt_with * BUILD_BATCH;
    feed_close(&feed);
    disk_settle(scale->bench);
    return result;
}

static int window_record(scale_t *scale, int64_t *elements, double *ret_ns, fault_t *why) {
    int64_t batch = scale->bench->batch ? scale->bench->batch : BATCH, batches = portion(scale->bench, SIZE_ELEMENTS) / batch;
    feed_t feed = {0};
    int result = feed_open(&feed, scale->bench, scale->pipeline, batch, why);
    int64_t busy = engine_busy_ns(scale->engine);
    for (int64_t i = 0; result == 0 && i < batches; i++) result = feed_send(&feed, why);
    if (result == 0) result = feed_drain(&feed, why);
    *ret_ns = (double)(engine_busy_ns(scale->engine) - busy) / (double)(batches * batch);
    *elements += feed.dealt_with * batch;
    feed_close(&feed);
    return result;
}

enum { RECORD, REPLAY, SEEK, REPLAYS, SOURCES, RAW_SOURCES, ROWS };

/* As often as makes it long enough to be measured: into new recordings of that size where they are small, and on into the same one where that
 * makes no difference. */
static int size_record(scale_t *scale, int64_t bytes, bool kept, int64_t *elements, double *ret_ns, fault_t *why) {
    double sum = 0, ns = 0;
    for (int i = 0; i < WINDOWS; i++) {
        if (!kept) {
            *elements = 0;
            if (engine_run(scale->bench, scale->pipeline, LIMIT_NONE, why) < 0) return -1;
            if (recording_fill(scale, bytes, elements, why) < 0) return pipeline_forget(scale, -1, why);
        }
        if (window_record(scale, elements, &ns, why) < 0) return pipeline_forget(scale, -1, why);
        sum += ns;
        kept = kept || bytes > SMALL_MAX;
        if (!kept && i + 1 < WINDOWS && pipeline_forget(scale, 0, why) < 0) return -1;
    }
    *ret_ns = sum / WINDOWS;
    return 0;
}

/* Records into a recording that has that size already, replays all of it, and its end. The largest are kept from round to round. */
static int size_measure(scale_t *scale, row_t rows[ROWS], size_t step, int64_t round, int64_t *elements, fault_t *why) {
    int64_t bytes = rows[RECORD].steps[step];
    bool large = bytes > SMALL_MAX;
    double record = 0;
    spent_t replay = {0}, seek = {0};
    snprintf(scale->pipeline, sizeof scale->pipeline, "bench-scale-%d-%zu", (int)getpid(), step);
    if (size_record(scale, bytes, large && round > 0, elements, &record, why) < 0) return -1;
    int result = replays_measure(scale, 1, 0, *elements, &replay, why);
    if (result == 0) result = replays_measure(scale, 1, *elements - BATCH, BATCH, &seek, why);
    replays_close(scale);
    row_set(&rows[RECORD], step, round, record);
    row_set(&rows[REPLAY], step, round, replay.element_ns);
    row_set(&rows[SEEK], step, round, seek.open_us + seek.element_ns * BATCH / 1e3);
    return result < 0 || !large || round + 1 == scale->bench->rounds ? pipeline_forget(scale, result, why) : 0;
}

static int sizes_rows(scale_t *scale, row_t rows[ROWS], fault_t *why) {
    int64_t elements[POINTS_MAX] = {0};
    for (int64_t round = 0; round < scale->bench->rounds; round++) {
        for (size_t i = 0; i < rows[RECORD].count; i++) {
            figure_progress(scale->bench, rows[RECORD].names[i], round);
            if (size_measure(scale, rows, i, round, &elements[i], why) < 0) return -1;
        }
    }
    return 0;
}

/* ---- all ---- */

static const row_t rows_of[ROWS] = {
    [RECORD] = {.name = "scale.size.record",
                .what = "an element recorded, in a recording of that size",
                .unit = "ns",
                .steps = {1000000, 10000000, 100000000, 1000000000, 10000000000},
                .titles = {"1MB", "10MB", "100MB", "1GB", "10GB"},
                .count = 5},
    [REPLAY] = {.name = "scale.size.replay",
                .what = "an element of a whole replay of a recording of that size",
                .unit = "ns",
                .steps = {1000000, 10000000, 100000000, 1000000000, 10000000000},
                .titles = {"1MB", "10MB", "100MB", "1GB", "10GB"},
                .count = 5},
    [SEEK] = {.name = "scale.size.seek",
              .what = "a whole replay of its last 64 elements",
              .unit = "µs",
              .steps = {1000000, 10000000, 100000000, 1000000000, 10000000000},
              .titles = {"1MB", "10MB", "100MB", "1GB", "10GB"},
              .count = 5},
    [REPLAYS] = {.name = "scale.replays",
                 .what = "an element of one of so many replays at once",
                 .unit = "ns",
                 .steps = {1, 10, 100, REPLAYS_MAX},
                 .titles = {"1", "10", "100", "1000"},
                 .count = 4},
    [SOURCES] = {.name = "scale.sources",
                 .what = "an element recorded from one of so many sources at once",
                 .unit = "ns",
                 .steps = {1, 10, 100},
                 .titles = {"1", "10", "100"},
                 .count = 3},
    [RAW_SOURCES] = {.name = "scale.sources.raw",
                     .what = "the same of a process that takes them with libzmq and drops them",
                     .unit = "ns",
                     .steps = {1, 10, 100},
                     .titles = {"1", "10", "100"},
                     .count = 3},
};

static int rows_measure(scale_t *scale, row_t rows[ROWS], fault_t *why) {
    while (rows[RECORD].count > 1 && rows[RECORD].steps[rows[RECORD].count - 1] > engine_room(scale->bench))
        rows[RECORD].count = rows[REPLAY].count = --rows[SEEK].count;
    for (int i = 0; i < ROWS; i++) row_fill(&rows[i]);
    if (sizes_rows(scale, rows, why) < 0) return -1;
    snprintf(scale->pipeline, sizeof scale->pipeline, "bench-scale-%d", (int)getpid());
    for (int64_t round = 0; round < scale->bench->rounds; round++)
        if (replays_row(scale, &rows[REPLAYS], round, why) < 0 || sources_rows(scale, &rows[SOURCES], &rows[RAW_SOURCES], round, why) < 0)
            return -1;
    return 0;
}

int bench_scale(bench_t *bench, fault_t *why) {
    if (engine_own(bench, "scale", why) < 0) return -1;
    scale_t *scale = calloc(1, sizeof *scale);
    row_t *rows = calloc(ROWS, sizeof *rows);
    must(scale && rows);
    scale->bench = bench;
    letter_init(&scale->letter);
    memcpy(rows, rows_of, sizeof rows_of);
    int result = engine_process(bench, &scale->engine, why);
    if (result == 0) result = rows_measure(scale, rows, why);
    for (int i = 0; result == 0 && i < ROWS; i++) row_print(bench, &rows[i]);
    replays_close(scale);
    letter_fini(&scale->letter);
    free(rows);
    free(scale);
    return result;
}
