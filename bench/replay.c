/* How fast a recording is replayed at full speed, beside a raw ROUTER that sends frames of the same sizes. Of two recordings: one whose
 * records are as large as a busy stream makes them, and one with a record for each element, as a quiet one does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../messages/wire.h"
#include "feed.h"
#include "peer.h"

enum { PIECE = 256 * 1024, RECORDING_BYTES = 512 * 1024 * 1024, SINGLES_MAX = 20000 };

/* What one replay was: the sizes of its frames, in pairs, are what a raw peer is asked for. */
typedef struct seen {
    uint32_t *sizes;
    size_t count, room; /* of numbers, two a message */
    int64_t elements;
    double seconds;
} seen_t;

typedef struct reader {
    client_t client;
    channel_t channel;
    char recording[256];
    int64_t credit;
} reader_t;

/* ---- recordings ---- */

/* Elements one by one, each sent when the one before was recorded: each is a record. */
static int singles_feed(bench_t *bench, feed_t *feed, fault_t *why) {
    int64_t until = clock_ns() + (int64_t)(bench->seconds * 1e9);
    int result = 0;
    for (int64_t i = 0; result == 0 && i < SINGLES_MAX && clock_ns() < until; i++)
        if ((result = feed_send(feed, why)) == 0) result = feed_drain(feed, why);
    return result;
}

static int busy_feed(bench_t *bench, feed_t *feed, fault_t *why) {
    int64_t bytes = (int64_t)((double)RECORDING_BYTES * bench->seconds), sent = 0;
    for (bytes = bytes < RECORDING_BYTES ? bytes : RECORDING_BYTES; sent < bytes; sent += feed_bytes(feed))
        if (feed_send(feed, why) < 0) return -1;
    return feed_drain(feed, why);
}

int replay_make(bench_t *bench, const char *pipeline, bool singles, fault_t *why) {
    int64_t piece = bench->batch ? bench->batch : PIECE / (bench->size + 12) + 1;
    feed_t feed = {0};
    if (engine_run(bench, pipeline, INT64_C(4) * RECORDING_BYTES, why) < 0) return -1;
    int result = feed_open(&feed, bench, pipeline, singles ? 1 : piece, why);
    if (result == 0) result = (singles ? singles_feed : busy_feed)(bench, &feed, why);
    feed_close(&feed);
    fault_t second;
    if (engine_end(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}

static int recording_name(bench_t *bench, const char *pipeline, reader_t *reader, fault_t *why) {
    reply_t reply = {0};
    msg_recording_describe_t ask = {.has_pipeline = true, .pipeline = pipeline};
    int result = 0;
    if (client_ask(&bench->client, MSG_RECORDING_DESCRIBE, &ask, &reply) == STATUS_OK)
        snprintf(reader->recording, sizeof reader->recording, "%s", ((const msg_recording_t *)reply.message)->recording);
    else
        result = engine_refused(&bench->client, why);
    reply_fini(&reply);
    return result;
}

/* ---- reading ---- */

static void seen_add(seen_t *seen, size_t head, size_t body) {
    if (seen->count + 2 > seen->room) {
        seen->room = seen->room ? 2 * seen->room : 4096;
        seen->sizes = realloc(seen->sizes, seen->room * sizeof *seen->sizes);
        must(seen->sizes);
    }
    seen->sizes[seen->count++] = (uint32_t)head;
    seen->sizes[seen->count++] = (uint32_t)body;
}

static void credit_return(reader_t *reader, int64_t replay, int64_t *owed) {
    if (*owed < reader->credit / 4) return;
    msg_replay_credit_t more = {.has_replay = true, .replay = replay, .has_bytes = true, .bytes = *owed};
    if (channel_send(&reader->channel, MSG_REPLAY_CREDIT, &more, (bytes_t){0}, NULL)) *owed = 0;
}

/* What the engine's encoder begins an event with. Nothing more is looked at but in the last one: a peer that is measured beside this looks at
 * nothing at all. */
static const char EVENT[] = "\xa5"
                            "event",
                  END[] = "\xa3"
                          "end";

typedef enum kind { KIND_PART, KIND_END, KIND_OTHER } kind_t;

static kind_t event_kind(bytes_t head) {
    size_t size = sizeof EVENT - 1;
    if (head.size < size + sizeof END || memcmp(head.data + 1, EVENT, size) != 0) return KIND_OTHER;
    return memcmp(head.data + 1 + size, END, sizeof END - 1) == 0 ? KIND_END : KIND_PART;
}

/* One message, its second frame left empty where there is none. */
static bool message_read(void *socket, zmq_msg_t frames[2]) {
    if (zmq_msg_recv(&frames[0], socket, 0) < 0) return false;
    if (zmq_msg_more(&frames[0])) return zmq_msg_recv(&frames[1], socket, 0) >= 0;
    return zmq_msg_close(&frames[1]) == 0 && zmq_msg_init(&frames[1]) == 0;
}

/* The events of an open replay, to its end. With `sizes`, notes those of their frames. */
static int events_read(reader_t *reader, int64_t replay, bool sizes, seen_t *seen, fault_t *why) {
    zmq_msg_t frames[2];
    int64_t owed = 0, elements = 0;
    bytes_t value;
    int result = 0;
    for (int i = 0; i < 2; i++) zmq_msg_init(&frames[i]);
    for (kind_t kind = KIND_OTHER; kind != KIND_END && result == 0;) {
        if (!message_read(reader->channel.socket, frames)) {
            result = fault_set(why, "the engine has fallen silent in a replay");
            break;
        }
        bytes_t head = {zmq_msg_data(&frames[0]), zmq_msg_size(&frames[0])};
        size_t body = zmq_msg_size(&frames[1]);
        kind = event_kind(head);
        if (kind == KIND_OTHER) {
            channel_send(&reader->channel, MSG_PONG, &(msg_pong_t){0}, (bytes_t){0}, NULL);
            continue;
        }
        if (sizes) seen_add(seen, head.size, body);
        owed += (int64_t)(head.size + body);
        credit_return(reader, replay, &owed);
        if (kind == KIND_END && wire_map_get(head, "elements", &value) && wire_int(value, &elements)) seen->elements += elements;
    }
    for (int i = 0; i < 2; i++) zmq_msg_close(&frames[i]);
    return result;
}

static int replay_read(reader_t *reader, bool sizes, seen_t *seen, fault_t *why) {
    reply_t reply = {0};
    int64_t started = clock_ns();
    int patience = REPLY_MS;
    msg_replay_open_t ask = {.has_recording = true, .recording = reader->recording, .has_credit = true, .credit = reader->credit};
    if (client_ask_on(&reader->client, &reader->channel, MSG_REPLAY_OPEN, &ask, reader->client.timeout_ms, &reply) != STATUS_OK)
        return engine_refused(&reader->client, why);
    zmq_setsockopt(reader->channel.socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    int result = events_read(reader, ((const msg_replay_t *)reply.message)->replay, sizes, seen, why);
    seen->seconds += (double)(clock_ns() - started) / 1e9;
    reply_fini(&reply);
    return result;
}

static int raw_read(void *socket, const seen_t *like, double *ret_seconds, fault_t *why) {
    zmq_msg_t frame;
    int64_t started = clock_ns();
    int result = zmq_send(socket, like->sizes, like->count * sizeof *like->sizes, 0) < 0 ? -1 : 0;
    zmq_msg_init(&frame);
    for (size_t i = 0; result == 0 && i < like->count; i += 2)
        for (bool more = true; more && result == 0; more = zmq_msg_more(&frame) != 0)
            if (zmq_msg_recv(&frame, socket, 0) < 0) result = -1;
    zmq_msg_close(&frame);
    *ret_seconds += (double)(clock_ns() - started) / 1e9;
    return result < 0 ? fault_set(why, "a raw peer has fallen silent") : 0;
}

static int reader_open(reader_t *reader, bench_t *bench, const char *pipeline, fault_t *why) {
    *reader = (reader_t){.credit = 2 * bench->credit};
    engine_client(bench, &reader->client);
    if (recording_name(bench, pipeline, reader, why) < 0) return -1;
    if (client_open_where(&reader->client, WHERE_TEST_STREAM, &reader->channel) != STATUS_OK) return engine_refused(&reader->client, why);
    return 0;
}

static void reader_close(reader_t *reader) {
    channel_close(&reader->channel);
    if (reader->client.engine) client_fini(&reader->client);
}

/* ---- measuring ---- */

int replay_rate(bench_t *bench, const char *pipeline, double *ret_elements_per_s, fault_t *why) {
    reader_t reader;
    seen_t seen = {0};
    int result = reader_open(&reader, bench, pipeline, why);
    while (result == 0 && seen.seconds < bench->seconds) result = replay_read(&reader, false, &seen, why);
    reader_close(&reader);
    *ret_elements_per_s = (double)seen.elements / seen.seconds;
    return result;
}

/* As many replays as fit the time. */
static int round_measure(bench_t *bench, reader_t *reader, void *raw, const seen_t *like, double *ret_value, double *ret_peer,
                         fault_t *why) {
    seen_t seen = {0};
    double seconds = 0;
    int64_t times = 0;
    while (seen.seconds < bench->seconds || times == 0) {
        if (replay_read(reader, false, &seen, why) < 0 || raw_read(raw, like, &seconds, why) < 0) return -1;
        times++;
    }
    *ret_value = (double)seen.elements / seen.seconds;
    *ret_peer = (double)(like->elements * times) / seconds;
    return 0;
}

static int rounds_measure(bench_t *bench, figure_t *figure, reader_t *reader, fault_t *why) {
    seen_t like = {0};
    peer_process_t peer = {0};
    void *context = zmq_ctx_new(), *raw = NULL;
    int result = replay_read(reader, true, &like, why);
    int64_t bytes = 0;
    for (size_t i = 0; i < like.count; i++) bytes += like.sizes[i];
    int64_t depth = like.count ? 2 * reader->credit / (2 * bytes / (int64_t)like.count + 1) + 16 : 0;
    if (result == 0) result = peer_start(&peer, "source", depth, why);
    if (result == 0) raw = peer_connect(context, ZMQ_DEALER, peer.endpoints[0], depth);
    for (int64_t i = 0; result == 0 && i < bench->rounds; i++) {
        figure_progress(bench, figure->name, i);
        result = round_measure(bench, reader, raw, &like, &figure->values[i], &figure->peers[i], why);
    }
    if (raw) zmq_close(raw);
    peer_stop(&peer);
    zmq_ctx_term(context);
    free(like.sizes);
    return result;
}

static int recording_measure(bench_t *bench, const char *name, const char *what, bool singles, fault_t *why) {
    figure_t figure = {
        .name = name, .what = what, .unit = "elements/s", .peer = "raw ROUTER to DEALER", .per_unit = (double)bench->size / 1e6};
    char pipeline[64];
    reader_t reader = {0};
    snprintf(pipeline, sizeof pipeline, "bench-replay-%d", (int)getpid());
    int result = replay_make(bench, pipeline, singles, why);
    if (result == 0) result = reader_open(&reader, bench, pipeline, why);
    if (result == 0) result = rounds_measure(bench, &figure, &reader, why);
    reader_close(&reader);
    fault_t second;
    if (engine_forget(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    if (result == 0) figure_print(bench, &figure);
    return result;
}

int bench_replay(bench_t *bench, fault_t *why) {
    if (recording_measure(bench, "replay.large", "records of a busy stream", false, why) < 0) return -1;
    return recording_measure(bench, "replay.single", "a record for each element", true, why);
}
