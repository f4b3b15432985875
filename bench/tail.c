/* How long an element takes from its push to a replay that follows, beside a raw relay that passes the same frames on. One element is under
 * way at a time: this is latency, not throughput. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../messages/wire.h"
#include "feed.h"
#include "peer.h"

enum { RUN = 50, SAMPLES_MAX = 200000, DEPTH = 1000, WARM_UP = 20 };

static const int64_t CREDIT = INT64_MAX / 4, RECORDING_MAX = INT64_C(16) * 1000 * 1000 * 1000;

typedef struct tail {
    feed_t feed;
    client_t client;
    channel_t channel; /* of the replay */
    letter_t letter;
    peer_process_t peer;
    feed_t raw_feed;
    void *raw_replay;
    double *samples, *peers;
    size_t count, peers_count;
} tail_t;

static int follow(tail_t *tail, const bench_t *bench, const char *pipeline, fault_t *why) {
    reply_t reply = {0};
    msg_replay_open_t ask = {.has_pipeline = true, .pipeline = pipeline, .has_credit = true, .credit = CREDIT};
    engine_client(bench, &tail->client);
    int result = 0;
    if (client_open_where(&tail->client, WHERE_TEST_STREAM, &tail->channel) != STATUS_OK ||
        client_ask_on(&tail->client, &tail->channel, MSG_REPLAY_OPEN, &ask, tail->client.timeout_ms, &reply) != STATUS_OK)
        result = engine_refused(&tail->client, why);
    reply_fini(&reply);
    return result;
}

static int tail_open(tail_t *tail, bench_t *bench, const char *pipeline, fault_t *why) {
    letter_init(&tail->letter);
    tail->samples = malloc(SAMPLES_MAX * sizeof(double));
    tail->peers = malloc(SAMPLES_MAX * sizeof(double));
    must(tail->samples && tail->peers);
    if (feed_open(&tail->feed, bench, pipeline, 1, why) < 0 || follow(tail, bench, pipeline, why) < 0 ||
        peer_start(&tail->peer, "relay", DEPTH, why) < 0 || feed_open_raw(&tail->raw_feed, bench, tail->peer.endpoints[0], 1) < 0)
        return -1;
    tail->raw_replay = peer_connect(tail->raw_feed.context, ZMQ_DEALER, tail->peer.endpoints[1], DEPTH);
    return zmq_send(tail->raw_replay, "hello", 5, 0) < 0 ? fault_set(why, "a raw peer cannot be reached") : 0;
}

static void tail_close(tail_t *tail) {
    if (tail->raw_replay) zmq_close(tail->raw_replay);
    feed_close(&tail->raw_feed);
    peer_stop(&tail->peer);
    channel_close(&tail->channel);
    if (tail->client.engine) client_fini(&tail->client);
    feed_close(&tail->feed);
    letter_fini(&tail->letter);
    free(tail->samples);
    free(tail->peers);
}

/* Microseconds until the element is there; -1: none. */
static double engine_once(tail_t *tail, fault_t *why) {
    int64_t started = clock_ns();
    if (feed_send(&tail->feed, why) < 0) return -1;
    do {
        if (channel_receive(&tail->channel, channel_clock() + REPLY_MS, &tail->letter) != RECEIVED) {
            fault_set(why, "an element that was pushed is not replayed");
            return -1;
        }
    } while (!tail->letter.body.data);
    int64_t ended = clock_ns();
    return feed_drain(&tail->feed, why) < 0 ? -1 : (double)(ended - started) / 1e3;
}

static double raw_once(tail_t *tail, fault_t *why) {
    zmq_msg_t frame;
    int64_t started = clock_ns();
    if (feed_send(&tail->raw_feed, why) < 0) return -1;
    zmq_msg_init(&frame);
    bool good = true;
    for (int i = 0; good && i < 2; i++) good = zmq_msg_recv(&frame, tail->raw_replay, 0) >= 0;
    zmq_msg_close(&frame);
    if (!good) fault_set(why, "a raw peer has fallen silent");
    return good ? (double)(clock_ns() - started) / 1e3 : -1;
}

static int round_measure(bench_t *bench, tail_t *tail, fault_t *why) {
    int64_t until = clock_ns() + (int64_t)(bench->seconds * 2e9);
    bool good = true;
    for (tail->count = tail->peers_count = 0; good && clock_ns() < until && tail->count + RUN < SAMPLES_MAX;) {
        for (int i = 0; good && i < RUN; i++) good = (tail->samples[tail->count++] = engine_once(tail, why)) >= 0;
        for (int i = 0; good && i < RUN; i++) good = (tail->peers[tail->peers_count++] = raw_once(tail, why)) >= 0;
    }
    return good ? 0 : -1;
}

static int rounds_measure(bench_t *bench, tail_t *tail, fault_t *why) {
    static const double parts[] = {0.5, 0.99};
    figure_t figures[] = {{.name = "tail.p50", .what = "median", .unit = "µs", .peer = "raw relay"},
                          {.name = "tail.p99", .what = "99 of 100 are faster", .unit = "µs", .peer = "raw relay"}};
    for (int i = 0; i < WARM_UP; i++)
        if (engine_once(tail, why) < 0 || raw_once(tail, why) < 0) return -1;
    for (int64_t i = 0; i < bench->rounds; i++) {
        figure_progress(bench, "tail", i);
        if (round_measure(bench, tail, why) < 0) return -1;
        for (int p = 0; p < 2; p++) {
            figures[p].values[i] = samples_part(tail->samples, tail->count, parts[p]);
            figures[p].peers[i] = samples_part(tail->peers, tail->peers_count, parts[p]);
        }
    }
    for (int p = 0; p < 2; p++) figure_print(bench, &figures[p]);
    return 0;
}

int bench_tail(bench_t *bench, fault_t *why) {
    char pipeline[64];
    tail_t tail = {0};
    snprintf(pipeline, sizeof pipeline, "bench-tail-%d", (int)getpid());
    if (engine_run(bench, pipeline, RECORDING_MAX, why) < 0) return -1;
    int result = tail_open(&tail, bench, pipeline, why);
    if (result == 0) result = rounds_measure(bench, &tail, why);
    tail_close(&tail);
    fault_t second;
    if (engine_forget(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}
