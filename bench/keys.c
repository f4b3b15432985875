/* What keys cost: an engine that encrypts and checks, beside one that does neither. Both are this bench's own, and do the same in turn. */
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

enum { PIECE = 256 * 1024 };

static const char *const peer = "without keys";

static int record_compare(bench_t *keyed, bench_t *plain, const char *name, int64_t batch, fault_t *why) {
    char what[96];
    snprintf(what, sizeof what, "%lld of %lld B a message, producers: %lld", (long long)batch, (long long)keyed->size,
             (long long)keyed->producers);
    figure_t figure = {.name = name, .what = what, .unit = "elements/s", .peer = peer, .per_unit = (double)keyed->size / 1e6};
    for (int64_t i = 0; i < keyed->rounds; i++) {
        figure_progress(keyed, name, i);
        if (record_rate(plain, batch, &figure.peers[i], why) < 0 || record_rate(keyed, batch, &figure.values[i], why) < 0) return -1;
    }
    figure_print(keyed, &figure);
    return 0;
}

static int replay_compare(bench_t *keyed, bench_t *plain, const char *name, bool singles, fault_t *why) {
    char pipeline[64];
    fault_t second;
    snprintf(pipeline, sizeof pipeline, "bench-keys-%d", (int)getpid());
    figure_t figure = {.name = name,
                       .what = singles ? "a record for each element" : "records of a busy stream",
                       .unit = "elements/s",
                       .peer = peer,
                       .per_unit = (double)keyed->size / 1e6};
    int result = replay_make(plain, pipeline, singles, why) < 0 || replay_make(keyed, pipeline, singles, why) < 0 ? -1 : 0;
    for (int64_t i = 0; result == 0 && i < keyed->rounds; i++) {
        figure_progress(keyed, name, i);
        if (replay_rate(plain, pipeline, &figure.peers[i], why) < 0 || replay_rate(keyed, pipeline, &figure.values[i], why) < 0)
            result = -1;
    }
    if (result == 0 && (engine_forget(plain, pipeline, &second) < 0 || engine_forget(keyed, pipeline, &second) < 0))
        result = fault_set(why, "%s", second.text);
    if (result == 0) figure_print(keyed, &figure);
    return result;
}

static int all_compare(bench_t *keyed, bench_t *plain, fault_t *why) {
    int64_t piece = PIECE / (keyed->size + 12) + 1;
    if (keyed->batch) {
        if (record_compare(keyed, plain, "keys.record.batch", keyed->batch, why) < 0) return -1;
    } else if (record_compare(keyed, plain, "keys.record.unbatched", 1, why) < 0 ||
               record_compare(keyed, plain, "keys.record.batch-64", 64, why) < 0 ||
               record_compare(keyed, plain, "keys.record.batch-256KiB", piece, why) < 0) {
        return -1;
    }
    if (replay_compare(keyed, plain, "keys.replay.large", false, why) < 0) return -1;
    if (replay_compare(keyed, plain, "keys.replay.single", true, why) < 0) return -1;
    return commands_compare(keyed, plain, peer, why);
}

int bench_keys(bench_t *bench, fault_t *why) {
    if (engine_own(bench, "keys", why) < 0) return -1;
    bench_t keyed = {.durability = bench->durability,
                     .size = bench->size,
                     .batch = bench->batch,
                     .producers = bench->producers,
                     .rounds = bench->rounds,
                     .credit = bench->credit,
                     .seconds = bench->seconds,
                     .json = bench->json,
                     .figures = bench->figures,
                     .keyed = true};
    int result = engine_start(&keyed, why);
    if (result == 0) result = all_compare(&keyed, bench, why);
    engine_stop(&keyed);
    return result;
}
