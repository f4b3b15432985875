/* How long a request takes, beside a raw REQ/ROUTER echo of the same bytes: while the engine has nothing to do, and while it records as fast
 * as it can. Both are asked in turn, in short runs, so that each finds the machine as the other does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../messages/wire.h"
#include "feed.h"
#include "peer.h"

enum { RUN = 50, SAMPLES_MAX = 200000, DEPTH = 1000 };

static const int64_t RECORDING_MAX = INT64_C(64) * 1000 * 1000 * 1000;

typedef struct question {
    const char *name;
    message_id_t id;
    msgpack_sbuffer bytes;
} question_t;

typedef struct asker {
    const char *peer_name;
    char ended[64], running[64]; /* pipelines */
    void *context, *engine, *raw;
    peer_process_t peer;
    double *samples, *peers;
    size_t count, peers_count;
} asker_t;

/* Microseconds of one round trip; -1: none. */
static double ask(void *socket, const msgpack_sbuffer *bytes, zmq_msg_t *answer) {
    int64_t started = clock_ns();
    if (zmq_send(socket, bytes->data, bytes->size, 0) < 0 || zmq_msg_recv(answer, socket, 0) < 0) return -1;
    return (double)(clock_ns() - started) / 1e3;
}

static bool is_ok(zmq_msg_t *answer) {
    bytes_t ok;
    return wire_map_get((bytes_t){zmq_msg_data(answer), zmq_msg_size(answer)}, "ok", &ok) && ok.data[0] == 0xc3;
}

static int round_measure(bench_t *bench, asker_t *asker, const question_t *question, fault_t *why) {
    int64_t until = clock_ns() + (int64_t)(bench->seconds * 2e9);
    zmq_msg_t answer;
    bool good = true;
    zmq_msg_init(&answer);
    for (asker->count = asker->peers_count = 0; good && clock_ns() < until && asker->count + RUN < SAMPLES_MAX;) {
        for (int i = 0; good && i < RUN; i++) good = (asker->samples[asker->count++] = ask(asker->engine, &question->bytes, &answer)) >= 0;
        good = good && is_ok(&answer);
        for (int i = 0; good && i < RUN; i++) good = (asker->peers[asker->peers_count++] = ask(asker->raw, &question->bytes, &answer)) >= 0;
    }
    zmq_msg_close(&answer);
    return good ? 0 : fault_set(why, "`%s` was not answered as it should be", question->name);
}

static int question_measure(bench_t *bench, asker_t *asker, const question_t *question, const char *when, fault_t *why) {
    static const struct {
        const char *name;
        double part;
    } parts[] = {{"p50", 0.5}, {"p99", 0.99}};
    char names[2][64];
    figure_t figures[2];
    for (int p = 0; p < 2; p++) {
        snprintf(names[p], sizeof names[p], "%s.%s.%s", question->name, when, parts[p].name);
        figures[p] = (figure_t){.name = names[p], .what = when, .unit = "µs", .peer = asker->peer_name};
    }
    for (int64_t i = 0; i < bench->rounds; i++) {
        figure_progress(bench, names[0], i);
        if (round_measure(bench, asker, question, why) < 0) return -1;
        for (int p = 0; p < 2; p++) {
            figures[p].values[i] = samples_part(asker->samples, asker->count, parts[p].part);
            figures[p].peers[i] = samples_part(asker->peers, asker->peers_count, parts[p].part);
        }
    }
    for (int p = 0; p < 2; p++) figure_print(bench, &figures[p]);
    return 0;
}

/* `engine.info` is answered at the door; a job that has ended by the actor that owns it; of one that runs, too, which the recorder tells. */
static int questions_measure(bench_t *bench, asker_t *asker, const char *when, fault_t *why) {
    question_t questions[] = {{"engine.info", MSG_ENGINE_INFO, {0}},
                              {"job.describe.ended", MSG_JOB_DESCRIBE, {0}},
                              {"job.describe.running", MSG_JOB_DESCRIBE, {0}}};
    msg_engine_info_t info = {0};
    msg_job_describe_t ended = {.has_pipeline = true, .pipeline = asker->ended},
                       running = {.has_pipeline = true, .pipeline = asker->running};
    const void *messages[] = {&info, &ended, &running};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof questions / sizeof *questions; i++) {
        msgpack_sbuffer_init(&questions[i].bytes);
        message_encode(questions[i].id, messages[i], true, (bytes_t){0}, &questions[i].bytes);
        result = question_measure(bench, asker, &questions[i], when, why);
        msgpack_sbuffer_destroy(&questions[i].bytes);
    }
    return result;
}

static void *engine_connect(const asker_t *asker, const bench_t *bench, fault_t *why) {
    credentials_t keys;
    if (credentials_read(bench->key, bench->server_key, &keys, why) < 0) return NULL;
    return peer_connect_with(asker->context, ZMQ_REQ, bench->engine, DEPTH, &keys);
}

static int asker_open(bench_t *bench, asker_t *asker, fault_t *why) {
    asker->context = zmq_ctx_new();
    asker->samples = malloc(SAMPLES_MAX * sizeof(double));
    asker->peers = malloc(SAMPLES_MAX * sizeof(double));
    must(asker->context && asker->samples && asker->peers);
    asker->peer_name = "raw REQ/ROUTER echo";
    asker->engine = engine_connect(asker, bench, why);
    if (!asker->engine || peer_start(&asker->peer, "echo", DEPTH, why) < 0) return -1;
    asker->raw = peer_connect(asker->context, ZMQ_REQ, asker->peer.endpoints[0], DEPTH);
    return 0;
}

static void asker_close(asker_t *asker) {
    if (asker->engine) zmq_close(asker->engine);
    if (asker->raw) zmq_close(asker->raw);
    zmq_ctx_term(asker->context);
    peer_stop(&asker->peer);
    free(asker->samples);
    free(asker->peers);
}

/* While nothing else happens, and while a producer feeds the job that runs. */
static int both_measure(bench_t *bench, asker_t *asker, fault_t *why) {
    feed_t feed = {0};
    int result = questions_measure(bench, asker, "idle", why);
    if (result == 0) result = feed_open(&feed, bench, asker->running, bench->batch ? bench->batch : 1, why);
    if (result == 0) {
        feeds_start(&feed, 1, INT64_MAX);
        result = questions_measure(bench, asker, "recording", why);
        fault_t second;
        bool failed = feeds_finish(&feed, 1, &second) < 0;
        if (result == 0 && failed) result = fault_set(why, "%s", second.text);
        if (result == 0 && feed.stopped) result = fault_set(why, "the recording reached a limit while requests were measured");
    }
    feed_close(&feed);
    return result;
}

int commands_compare(bench_t *bench, const bench_t *other, const char *peer, fault_t *why) {
    asker_t asker = {.peer_name = peer, .context = zmq_ctx_new()};
    question_t question = {"keys.engine.info", MSG_ENGINE_INFO, {0}};
    asker.samples = malloc(SAMPLES_MAX * sizeof(double));
    asker.peers = malloc(SAMPLES_MAX * sizeof(double));
    must(asker.context && asker.samples && asker.peers);
    asker.engine = engine_connect(&asker, bench, why);
    if (asker.engine) asker.raw = engine_connect(&asker, other, why);
    msgpack_sbuffer_init(&question.bytes);
    message_encode(question.id, &(msg_engine_info_t){0}, true, (bytes_t){0}, &question.bytes);
    int result = asker.raw ? question_measure(bench, &asker, &question, "idle", why) : -1;
    msgpack_sbuffer_destroy(&question.bytes);
    asker_close(&asker);
    return result;
}

int bench_commands(bench_t *bench, fault_t *why) {
    asker_t asker = {0};
    fault_t second;
    snprintf(asker.ended, sizeof asker.ended, "bench-ended-%d", (int)getpid());
    snprintf(asker.running, sizeof asker.running, "bench-running-%d", (int)getpid());
    if (engine_run(bench, asker.ended, RECORDING_MAX, why) < 0) return -1;
    int result = engine_end(bench, asker.ended, why);
    if (result == 0) result = engine_run(bench, asker.running, RECORDING_MAX, why);
    if (result == 0) result = asker_open(bench, &asker, why);
    if (result == 0) result = both_measure(bench, &asker, why);
    if (asker.context) asker_close(&asker);
    const char *pipelines[] = {asker.ended, asker.running};
    for (int i = 0; i < 2; i++)
        if (engine_forget(bench, pipelines[i], &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}
