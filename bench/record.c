/* How fast a stream is recorded, acknowledged to the producer, beside a raw ROUTER that takes the same two frames and drops them. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "feed.h"
#include "peer.h"
#include "push.h"

enum { PIECE = 256 * 1024 };

static const int64_t RECORDING_MAX = INT64_C(16) * 1000 * 1000 * 1000;

typedef struct size_kind {
    const char *name;
    int64_t batch;
    char what[96];
    bool pushed; /* one element a call, through libreprise */
} size_kind_t;

int record_rate(bench_t *bench, int64_t batch, double *ret_rate, fault_t *why) {
    char pipeline[64];
    feed_t *feeds = calloc((size_t)bench->producers, sizeof *feeds);
    must(feeds);
    snprintf(pipeline, sizeof pipeline, "bench-record-%d", (int)getpid());
    int result = engine_run(bench, pipeline, RECORDING_MAX, why);
    bool runs = result == 0;
    for (int64_t i = 0; result == 0 && i < bench->producers; i++) result = feed_open(&feeds[i], bench, pipeline, batch, why);
    if (result == 0) result = feeds_run(feeds, bench->producers, bench->seconds, ret_rate, why);
    for (int64_t i = 0; i < bench->producers; i++) {
        if (result == 0 && feeds[i].stopped) result = fault_set(why, "the recording reached a limit while it was measured");
        feed_close(&feeds[i]);
    }
    free(feeds);
    fault_t second;
    if (runs && engine_forget(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}

static int push_measure(bench_t *bench, double *ret_rate, fault_t *why) {
    char pipeline[64];
    fault_t second;
    snprintf(pipeline, sizeof pipeline, "bench-push-%d", (int)getpid());
    if (engine_run(bench, pipeline, RECORDING_MAX, why) < 0) return -1;
    int result = pushes_run(bench, pipeline, ret_rate, why);
    if (engine_forget(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}

static int raw_measure(bench_t *bench, const char *peer_kind, int64_t batch, double *ret_rate, fault_t *why) {
    peer_process_t peer;
    feed_t *feeds = calloc((size_t)bench->producers, sizeof *feeds);
    must(feeds);
    int result = peer_start(&peer, peer_kind, feed_depth(bench, batch), why);
    for (int64_t i = 0; result == 0 && i < bench->producers; i++) result = feed_open_raw(&feeds[i], bench, peer.endpoints[0], batch);
    if (result == 0) result = feeds_run(feeds, bench->producers, bench->seconds, ret_rate, why);
    for (int64_t i = 0; i < bench->producers; i++) feed_close(&feeds[i]);
    free(feeds);
    peer_stop(&peer);
    return result;
}

/* Beside a peer that drops what it takes, and beside one that appends it to a file: what the disk costs, both have to pay. */
static int kind_measure(bench_t *bench, const size_kind_t *kind, fault_t *why) {
    char appended[64];
    snprintf(appended, sizeof appended, "%s.disk", kind->name);
    figure_t figure = {.name = kind->name,
                       .what = kind->what,
                       .unit = "elements/s",
                       .peer = "raw DEALER to ROUTER",
                       .per_unit = (double)bench->size / 1e6};
    figure_t disk = figure;
    disk.name = appended;
    disk.peer = "raw, and appended";
    for (int64_t i = 0; i < bench->rounds; i++) {
        figure_progress(bench, kind->name, i);
        if (raw_measure(bench, "sink", kind->batch, &figure.peers[i], why) < 0 ||
            (kind->pushed ? push_measure(bench, &figure.values[i], why) : record_rate(bench, kind->batch, &figure.values[i], why)) < 0 ||
            raw_measure(bench, "append", kind->batch, &disk.peers[i], why) < 0)
            return -1;
        disk.values[i] = figure.values[i];
    }
    figure_print(bench, &figure);
    figure_print(bench, &disk);
    return 0;
}

int bench_record(bench_t *bench, fault_t *why) {
    int64_t piece = PIECE / (bench->size + 12) + 1;
    size_kind_t kinds[] = {{"record.unbatched", 1, "", false},
                           {"record.batch-64", 64, "", false},
                           {"record.batch-256KiB", piece, "", false},
                           {"record.push", piece, "", true}};
    size_kind_t chosen = {"record.batch", bench->batch, "", false};
    size_t count = bench->batch ? 1 : sizeof kinds / sizeof *kinds;
    for (size_t i = 0; i < count; i++) {
        size_kind_t *kind = bench->batch ? &chosen : &kinds[i];
        snprintf(kind->what, sizeof kind->what, "%lld of %lld B a %s, producers: %lld", kind->pushed ? 1 : (long long)kind->batch,
                 (long long)bench->size, kind->pushed ? "call" : "message", (long long)bench->producers);
        if (kind_measure(bench, kind, why) < 0) return -1;
    }
    return 0;
}
