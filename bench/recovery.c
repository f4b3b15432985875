/* How long an engine that was killed takes until it is ready again, however large the recording is that it was writing: from its start to its
 * first line, to its first answer, and to the answer in which the job runs with all that was acknowledged. Once with its files in the page
 * cache, as after a crash of the process, and once without, as after one of the machine. Beside it stands what nobody can do without: open
 * each segment, and read the last. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feed.h"

enum { BATCH = 64, BUILD_BATCH = 2000, READ = 1 << 20, PATIENCE_MS = 60000, TAIL_BYTES = 4 << 20 };

enum { READY, ANSWER, JOB, STEPS };

typedef struct crash {
    char pipeline[64], recording[512]; /* its folder */
    int64_t acknowledged;              /* elements */
    figure_t figures[2][STEPS], memory;
} crash_t;

/* ---- files ---- */

static int entry_forget(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)place;
    int file = kind == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    fsync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    return 0;
}

/* Takes the data folder's files out of the page cache. */
static void cache_forget(const bench_t *bench) {
    nftw(bench->data, entry_forget, 16, FTW_PHYS);
}

static int is_segment(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".seg") == 0;
}

static void file_read(const char *folder, const char *name, bool whole) {
    static uint8_t bytes[READ];
    char path[1024];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    must(file >= 0 && fstat(file, &status) == 0);
    while (whole && read(file, bytes, sizeof bytes) > 0) {
    }
    close(file);
}

/* Microseconds to open each segment and read the last. */
static double raw_read(const char *folder) {
    struct dirent **entries;
    int64_t started = clock_ns();
    int count = scandir(folder, &entries, is_segment, alphasort);
    must(count > 0);
    for (int i = 0; i < count; i++) {
        file_read(folder, entries[i]->d_name, i + 1 == count);
        free(entries[i]);
    }
    free(entries);
    return (double)(clock_ns() - started) / 1e3;
}

/* ---- before the crash ---- */

static int recording_make(bench_t *bench, crash_t *crash, fault_t *why) {
    int64_t bytes = engine_room(bench);
    feed_t feed = {0};
    if (engine_run(bench, crash->pipeline, LIMIT_NONE, why) < 0) return -1;
    int result = feed_open(&feed, bench, crash->pipeline, BUILD_BATCH, why);
    for (int64_t sent = 0; result == 0 && sent < bytes; sent += feed_bytes(&feed)) result = feed_send(&feed, why);
    if (result == 0) result = feed_drain(&feed, why);
    crash->acknowledged = feed.dealt_with * BUILD_BATCH;
    feed_close(&feed);
    return result;
}

static int recording_find(bench_t *bench, crash_t *crash, fault_t *why) {
    reply_t reply = {0};
    msg_job_describe_t ask = {.has_pipeline = true, .pipeline = crash->pipeline};
    int result = 0;
    if (client_ask(&bench->client, MSG_JOB_DESCRIBE, &ask, &reply) == STATUS_OK)
        snprintf(crash->recording, sizeof crash->recording, "%s/recordings/%s", bench->data, ((const msg_job_t *)reply.message)->recording);
    else
        result = engine_refused(&bench->client, why);
    reply_fini(&reply);
    return result;
}

/* In the middle of recording, with batches under way. */
static int engine_crash(bench_t *bench, crash_t *crash, fault_t *why) {
    int64_t batch = bench->batch ? bench->batch : BATCH;
    feed_t feed = {0};
    int result = feed_open(&feed, bench, crash->pipeline, batch, why);
    for (int64_t sent = 0; result == 0 && sent < TAIL_BYTES; sent += feed_bytes(&feed)) result = feed_send(&feed, why);
    engine_kill(bench);
    crash->acknowledged += feed.dealt_with * batch;
    feed_close(&feed);
    return result;
}

/* ---- after it ---- */

static int job_await(bench_t *bench, const crash_t *crash, fault_t *why) {
    msg_job_describe_t ask = {.has_pipeline = true, .pipeline = crash->pipeline};
    int64_t until = clock_ns() + INT64_C(1000000) * PATIENCE_MS;
    reply_t reply = {0};
    bool runs = false;
    int result = 0;
    while (result == 0 && !runs) {
        if (client_ask(&bench->client, MSG_JOB_DESCRIBE, &ask, &reply) != STATUS_OK) {
            result = engine_refused(&bench->client, why);
            break;
        }
        const msg_job_t *job = reply.message;
        runs = job->is_running;
        if (runs && job->elements < crash->acknowledged)
            result = fault_set(why, "of %lld elements that were acknowledged %lld are left", (long long)crash->acknowledged,
                               (long long)job->elements);
        if (!runs && clock_ns() > until) result = fault_set(why, "the job is %s after the restart", job->state);
    }
    reply_fini(&reply);
    return result;
}

static int restart_measure(bench_t *bench, crash_t *crash, int64_t round, bool cold, fault_t *why) {
    pid_t id;
    double times[STEPS];
    if (cold) cache_forget(bench);
    double raw = raw_read(crash->recording);
    if (cold) cache_forget(bench);
    int64_t started = clock_ns();
    if (engine_again(bench, why) < 0) return -1;
    times[READY] = (double)(clock_ns() - started) / 1e3;
    if (engine_process(bench, &id, why) < 0) return -1;
    times[ANSWER] = (double)(clock_ns() - started) / 1e3;
    if (job_await(bench, crash, why) < 0) return -1;
    times[JOB] = (double)(clock_ns() - started) / 1e3;
    for (int step = 0; step < STEPS; step++) {
        crash->figures[cold][step].values[round] = times[step];
        crash->figures[cold][step].peers[round] = raw;
    }
    crash->memory.peers[round] = 64;
    return engine_memory(id, &crash->memory.values[round], why);
}

static int rounds_measure(bench_t *bench, crash_t *crash, fault_t *why) {
    figure_progress(bench, "recovery: recording", 0);
    if (recording_make(bench, crash, why) < 0 || recording_find(bench, crash, why) < 0) return -1;
    for (int64_t i = 0; i < bench->rounds; i++) {
        for (int cold = 0; cold < 2; cold++) {
            figure_progress(bench, "recovery", i);
            if (engine_crash(bench, crash, why) < 0 || restart_measure(bench, crash, i, cold, why) < 0) return -1;
        }
    }
    return 0;
}

int bench_recovery(bench_t *bench, fault_t *why) {
    static const char *const names[2][STEPS] = {{"recovery.ready", "recovery.answer", "recovery.job"},
                                                {"recovery.cold.ready", "recovery.cold.answer", "recovery.cold.job"}};
    static const char *const steps[STEPS] = {"to the line `ready`", "to the first answer",
                                             "to a job that runs with all that was acknowledged"};
    char what[STEPS][96];
    if (engine_own(bench, "recovery", why) < 0) return -1;
    crash_t *crash = calloc(1, sizeof *crash);
    must(crash);
    snprintf(crash->pipeline, sizeof crash->pipeline, "bench-recovery-%d", (int)getpid());
    double size = (double)engine_room(bench) / 1e9;
    for (int i = 0; i < 2 * STEPS; i++) {
        snprintf(what[i % STEPS], sizeof what[0], "%.3g GB: %s", size, steps[i % STEPS]);
        crash->figures[i / STEPS][i % STEPS] =
            (figure_t){.name = names[i / STEPS][i % STEPS], .what = what[i % STEPS], .unit = "µs", .peer = "raw read of the last"};
    }
    crash->memory = (figure_t){.name = "recovery.memory", .what = "anonymous, with that recording open", .unit = "MiB", .peer = "at most"};
    int result = rounds_measure(bench, crash, why);
    for (int i = 0; result == 0 && i < 2 * STEPS; i++) figure_print(bench, &crash->figures[i / STEPS][i % STEPS]);
    if (result == 0) figure_print(bench, &crash->memory);
    free(crash);
    return result;
}
