/* How long a client waits for what has failed: from the request that makes an actor fail to that actor's next answer, and from kill -9 of the
 * engine's process, which its guard starts again, to the first answer. Each round has an engine of its own, because those that fail again and
 * again are made to wait. One has a recorder that writes a recording, with a segment that is almost full. Beside it stands what nobody can do without: fork and exec of a program that binds a port. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "feed.h"
#include "peer.h"

enum { PATIENCE_MS = 20, TIMEOUT_MS = 30000, WHAT_SIZE = 96, BATCH = 2000, WRITTEN = 120000000 };

#define NOBODY "bench-restart-nobody"
#define WRITTEN_TO "bench-restart"

static const msg_engine_info_t info;
static const msg_engine_actors_t table;
static const msg_options_get_t options;
static const msg_recording_list_t recordings;
static const msg_job_list_t jobs;
static const msg_pipeline_list_t pipelines;
static const msg_test_stream_status_t stream = {.pipeline = NOBODY};
static const msg_recording_verify_t verify = {.recording = NOBODY};

/* What each is asked. That it knows nobody of that name is an answer, too. Those that clients ask nothing are asked by the supervisor how they
 * are. */
static const struct subject {
    const char *figure, *actor;
    message_id_t id;
    const void *ask;
} subjects[] = {
    {"restart.actor.gateway", "gateway", MSG_ENGINE_INFO, &info},
    {"restart.actor.catalog", "catalog", MSG_OPTIONS_GET, &options},
    {"restart.actor.recorder", "recorder", MSG_RECORDING_LIST, &recordings},
    {"restart.actor.job_supervisor", "job_supervisor", MSG_JOB_LIST, &jobs},
    {"restart.actor.pipeline_tracker", "pipeline_tracker", MSG_PIPELINE_LIST, &pipelines},
    {"restart.actor.test_stream_server", "test_stream_server", MSG_TEST_STREAM_STATUS, &stream},
    {"restart.actor.verifier", "verifier", MSG_RECORDING_VERIFY, &verify},
    {"restart.actor.librarian", "librarian", MSG_ENGINE_ACTORS, &table},
    {"restart.actor.notifier", "notifier", MSG_ENGINE_ACTORS, &table},
    {"restart.actor.syncer", "syncer", MSG_ENGINE_ACTORS, &table},
    {"restart.actor.limiter", "limiter", MSG_ENGINE_ACTORS, &table},
    {"restart.actor.signature_checker", "signature_checker", MSG_ENGINE_ACTORS, &table},
};
enum { SUBJECTS = sizeof subjects / sizeof subjects[0], WRITING = SUBJECTS, PROCESS, FIGURES };

static const msg_recording_describe_t written = {.has_pipeline = true, .pipeline = WRITTEN_TO};
static const struct subject writing = {"restart.actor.recorder.writing", "recorder", MSG_RECORDING_DESCRIBE, &written};

/* ---- answers ---- */

static bool runs_again(const msg_actors_t *answer, const char *actor) {
    for (size_t i = 0; i < answer->actors.count; i++) {
        const msg_actor_state_t *one = &answer->actors.items[i];
        if (strcmp(one->name, actor) == 0) return one->restarts > 0 && strcmp(one->state, "running") == 0;
    }
    return false;
}

/* Did the new state answer, or somebody that it is not there? */
static bool has_answered(bench_t *bench, const struct subject *subject, status_t status, const reply_t *reply) {
    if (status == STATUS_OK) return subject->id != MSG_ENGINE_ACTORS || runs_again(reply->message, subject->actor);
    return status == STATUS_FAILED && client_refused(&bench->client, ERROR_NOT_FOUND);
}

static int actor_measure(bench_t *bench, const struct subject *subject, double *ret_us, fault_t *why) {
    reply_t reply = {0};
    const msg_chaos_fail_t fail = {.actor = subject->actor};
    int64_t began = clock_ns(), until = began + TIMEOUT_MS * INT64_C(1000000);
    bool answered = false;
    status_t status = client_ask(&bench->client, MSG_CHAOS_FAIL, &fail, &reply);
    bool told = status == STATUS_OK;
    while (told && !answered && clock_ns() < until) {
        status = client_ask(&bench->client, subject->id, subject->ask, &reply);
        answered = has_answered(bench, subject, status, &reply);
    }
    *ret_us = (double)(clock_ns() - began) / 1e3;
    reply_fini(&reply);
    if (!told) return engine_refused(&bench->client, why);
    return answered ? 0 : fault_set(why, "%s does not answer again", subject->actor);
}

/* In an engine of its own, with 120 MB in the segment. */
static int writing_measure(bench_t *bench, double *ret_us, fault_t *why) {
    feed_t feed = {0};
    if (engine_exchange(bench, ENGINE_CHAOS, why) < 0 || engine_run(bench, WRITTEN_TO, LIMIT_NONE, why) < 0) return -1;
    int result = feed_open(&feed, bench, WRITTEN_TO, BATCH, why);
    for (int64_t sent = 0; result == 0 && sent < WRITTEN; sent += feed_bytes(&feed)) result = feed_send(&feed, why);
    if (result == 0) result = feed_drain(&feed, why);
    if (result == 0) result = actor_measure(bench, &writing, ret_us, why);
    feed_close(&feed);
    return result == 0 ? engine_forget(bench, WRITTEN_TO, why) : result;
}

static int process_measure(bench_t *bench, double *ret_us, fault_t *why) {
    reply_t reply = {0};
    pid_t killed;
    if (engine_process(bench, &killed, why) < 0) return -1;
    int64_t began = clock_ns(), until = began + TIMEOUT_MS * INT64_C(1000000);
    bool answered = false;
    if (kill(killed, SIGKILL) < 0) return fault_errno(why, "cannot kill the engine's process %ld", (long)killed);
    while (!answered && clock_ns() < until) {
        status_t status = client_ask_within(&bench->client, MSG_ENGINE_INFO, &info, PATIENCE_MS, &reply);
        answered = status == STATUS_OK && ((const msg_engine_t *)reply.message)->pid != killed;
    }
    *ret_us = (double)(clock_ns() - began) / 1e3;
    reply_fini(&reply);
    return answered ? 0 : fault_set(why, "no engine answers after the process %ld was killed", (long)killed);
}

static int raw_measure(double *ret_us, fault_t *why) {
    peer_process_t peer = {0};
    int64_t began = clock_ns();
    if (peer_start(&peer, "echo", 1, why) < 0) return -1;
    *ret_us = (double)(clock_ns() - began) / 1e3;
    peer_stop(&peer);
    return 0;
}

/* ---- rounds ---- */

static int round_measure(bench_t *bench, figure_t *figures, int64_t round, fault_t *why) {
    double raw;
    if (raw_measure(&raw, why) < 0 || engine_exchange(bench, ENGINE_CHAOS, why) < 0) return -1;
    for (size_t i = 0; i < SUBJECTS; i++) {
        if (actor_measure(bench, &subjects[i], &figures[i].values[round], why) < 0) return -1;
        figures[i].peers[round] = raw;
    }
    if (writing_measure(bench, &figures[WRITING].values[round], why) < 0) return -1;
    figures[WRITING].peers[round] = figures[PROCESS].peers[round] = raw;
    return engine_exchange(bench, ENGINE_GUARDED, why) < 0 ? -1 : process_measure(bench, &figures[PROCESS].values[round], why);
}

int bench_restart(bench_t *bench, fault_t *why) {
    static char what[SUBJECTS][WHAT_SIZE];
    if (engine_own(bench, "restart", why) < 0) return -1;
    figure_t *figures = calloc(FIGURES, sizeof *figures);
    must(figures);
    for (size_t i = 0; i < SUBJECTS; i++) {
        snprintf(what[i], WHAT_SIZE, "%s fails: to its next answer", subjects[i].actor);
        figures[i] = (figure_t){.name = subjects[i].figure, .what = what[i], .unit = "µs", .peer = "raw fork, exec, bind"};
    }
    figures[WRITING] = figures[PROCESS] = figures[0];
    figures[WRITING].name = writing.figure;
    figures[WRITING].what = "recorder fails, 120 MB in its segment: to its next answer";
    figures[PROCESS].name = "restart.process";
    figures[PROCESS].what = "kill -9 of the process: to the first answer";
    int result = 0;
    for (int64_t i = 0; result == 0 && i < bench->rounds; i++) {
        figure_progress(bench, "restart", i);
        result = round_measure(bench, figures, i, why);
    }
    for (size_t i = 0; result == 0 && i < FIGURES; i++) figure_print(bench, &figures[i]);
    free(figures);
    return result;
}
