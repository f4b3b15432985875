/* Feeds: see feed.h. A batch is encoded once; all that changes is its number. The body is sent without being copied, so that the producer is
 * as cheap as a producer can be. */
#include "feed.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../messages/wire.h"
#include "peer.h"

enum { CHECK_EVERY = 16 };

static atomic_bool feeds_over;

/* ---- what is sent ---- */

static void body_make(feed_t *feed, const bench_t *bench, int64_t batch) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, (size_t)batch);
    uint8_t *payload = malloc((size_t)bench->size + 1);
    must(payload);
    for (int64_t i = 0; i < bench->size; i++) payload[i] = (uint8_t)(i * 131 + 7);
    for (int64_t i = 0; i < batch; i++) {
        msgpack_pack_array(&packer, 2);
        msgpack_pack_int64(&packer, (int64_t)now.tv_sec * 1000000 + i);
        msgpack_pack_bin_with_body(&packer, payload, (size_t)bench->size);
    }
    free(payload);
    feed->batch = batch;
    feed->body_size = out.size;
    feed->body = (uint8_t *)msgpack_sbuffer_release(&out);
}

static void head_make(feed_t *feed, int64_t source) {
    msg_source_batch_t head = {.has_source = true, .source = source, .has_tag = true, .tag = feed->tag, .has_seq = true, .seq = INT64_MAX};
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(MSG_SOURCE_BATCH, &head, true, (bytes_t){0}, &out);
    must(out.size <= sizeof feed->head);
    memcpy(feed->head, out.data, out.size);
    feed->head_size = out.size;
    msgpack_sbuffer_destroy(&out);
}

static void head_number(feed_t *feed, int64_t seq) {
    for (size_t i = 0; i < 8; i++) feed->head[feed->head_size - 1 - i] = (uint8_t)(seq >> (8 * i));
}

int64_t feed_bytes(const feed_t *feed) {
    return (int64_t)(feed->head_size + feed->body_size);
}

int64_t feed_depth(const bench_t *bench, int64_t batch) {
    int64_t depth = bench->credit / (batch * (bench->size + 12) + 60);
    return depth < 4 ? 4 : depth > FEED_DEPTH_MAX ? FEED_DEPTH_MAX : depth;
}

/* ---- opening ---- */

int feed_open_source(feed_t *feed, const bench_t *bench, const char *pipeline, int64_t source, int64_t batch, fault_t *why) {
    *feed = (feed_t){0};
    engine_tag(source, feed->tag);
    engine_client(bench, &feed->client);
    body_make(feed, bench, batch);
    reply_t reply = {0};
    msg_source_attach_t ask = {.has_pipeline = true, .pipeline = pipeline, .has_tag = true, .tag = feed->tag};
    int patience = REPLY_MS, result = -1;
    if (client_open_where(&feed->client, WHERE_INGEST, &feed->channel) == STATUS_OK &&
        client_ask_on(&feed->client, &feed->channel, MSG_SOURCE_ATTACH, &ask, feed->client.timeout_ms, &reply) == STATUS_OK) {
        const msg_source_attached_t *attached = reply.message;
        must(attached->next_seq == 1);
        feed->socket = feed->channel.socket;
        feed->credit = attached->credit < bench->credit ? attached->credit : bench->credit;
        zmq_setsockopt(feed->socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
        head_make(feed, attached->source);
        result = 0;
    } else {
        engine_refused(&feed->client, why);
    }
    reply_fini(&reply);
    return result;
}

int feed_open(feed_t *feed, const bench_t *bench, const char *pipeline, int64_t batch, fault_t *why) {
    return feed_open_source(feed, bench, pipeline, 0, batch, why);
}

int feed_open_raw(feed_t *feed, const bench_t *bench, const char *endpoint, int64_t batch) {
    *feed = (feed_t){.tag = PUSH_TAG, .credit = INT64_MAX, .context = zmq_ctx_new()};
    must(feed->context);
    body_make(feed, bench, batch);
    head_make(feed, INT64_C(1) << 40);
    feed->socket = peer_connect(feed->context, ZMQ_DEALER, endpoint, feed_depth(bench, batch));
    return 0;
}

void feed_close(feed_t *feed) {
    if (feed->context) {
        zmq_close(feed->socket);
        zmq_ctx_term(feed->context);
    }
    channel_close(&feed->channel);
    if (feed->client.engine) client_fini(&feed->client);
    free(feed->body);
    *feed = (feed_t){0};
}

/* ---- sending ---- */

static int message_take(feed_t *feed, bytes_t message, fault_t *why) {
    bytes_t op, seq;
    const char *text = "";
    size_t size = 0;
    refusal_t no;
    if (feed->context) {
        feed->dealt_with = feed->sent;
        return 0;
    }
    if (wire_walk(message, &no) < 0) return fault_set(why, "the engine sends what is no msgpack");
    if (wire_map_get(message, "op", &op)) wire_text(op, &text, &size);
    message_id_t id = message_find(SCOPE_INGEST, text, size);
    if (id == MSG_PING) {
        channel_send(&feed->channel, MSG_PONG, &(msg_pong_t){0}, (bytes_t){0}, NULL);
    } else if (id == MSG_SOURCE_ACK && wire_map_get(message, "seq", &seq)) {
        wire_int(seq, &feed->dealt_with);
    } else if (id == MSG_SOURCE_STOP) {
        feed->stopped = true;
    } else if (feed->stopped) {
        return 0; /* a batch that was under way when the job ended: nobody knows its source any more */
    } else {
        return fault_set(why, "the engine refuses a batch of `%s` (%.*s)", feed->tag, (int)size, text);
    }
    return 0;
}

/* What has been said; with `wait`, at least one message. */
static int feed_take(feed_t *feed, bool wait, fault_t *why) {
    zmq_msg_t frame;
    int result = 0;
    zmq_msg_init(&frame);
    while (result == 0 && zmq_msg_recv(&frame, feed->socket, wait ? 0 : ZMQ_DONTWAIT) >= 0) {
        result = message_take(feed, (bytes_t){zmq_msg_data(&frame), zmq_msg_size(&frame)}, why);
        if (wait) break;
    }
    if (wait && result == 0 && zmq_msg_size(&frame) == 0 && !feed->context) result = fault_set(why, "the engine has fallen silent");
    zmq_msg_close(&frame);
    return result;
}

int feed_send(feed_t *feed, fault_t *why) {
    int64_t bytes = feed_bytes(feed);
    if (feed->sent % CHECK_EVERY == 0 && feed_take(feed, false, why) < 0) return -1;
    while (!feed->stopped && (feed->sent - feed->dealt_with) >= feed->credit / bytes + 1)
        if (feed_take(feed, true, why) < 0) return -1;
    if (feed->stopped) return 0;
    zmq_msg_t body;
    head_number(feed, ++feed->sent);
    zmq_msg_init_data(&body, feed->body, feed->body_size, NULL, NULL);
    if (zmq_send(feed->socket, feed->head, feed->head_size, ZMQ_SNDMORE) < 0 || zmq_msg_send(&body, feed->socket, 0) < 0)
        return fault_set(why, "cannot send a batch: %s", zmq_strerror(zmq_errno()));
    return 0;
}

int feed_drain(feed_t *feed, fault_t *why) {
    if (feed->context && zmq_send(feed->socket, "end", 3, 0) < 0) return fault_set(why, "cannot send to a raw peer");
    while (!feed->stopped && feed->dealt_with < feed->sent)
        if (feed_take(feed, true, why) < 0) return -1;
    return 0;
}

/* ---- many at once ---- */

static void *feed_thread(void *argument) {
    feed_t *feed = argument;
    bool good = true;
    while (good && !feed->stopped && clock_ns() < feed->until && !atomic_load_explicit(&feeds_over, memory_order_relaxed))
        for (int i = 0; good && i < CHECK_EVERY; i++) good = feed_send(feed, &feed->why) == 0;
    feed->failed = !good || feed_drain(feed, &feed->why) < 0;
    feed->ended = clock_ns();
    return NULL;
}

void feeds_start(feed_t *feeds, int64_t count, int64_t until) {
    atomic_store(&feeds_over, false);
    for (int64_t i = 0; i < count; i++) {
        feeds[i].until = until;
        must(pthread_create(&feeds[i].thread, NULL, feed_thread, &feeds[i]) == 0);
    }
}

static int feeds_join(feed_t *feeds, int64_t count, fault_t *why) {
    int result = 0;
    for (int64_t i = 0; i < count; i++) {
        pthread_join(feeds[i].thread, NULL);
        if (feeds[i].failed && result == 0) result = fault_set(why, "%s", feeds[i].why.text);
    }
    return result;
}

int feeds_finish(feed_t *feeds, int64_t count, fault_t *why) {
    atomic_store(&feeds_over, true);
    return feeds_join(feeds, count, why);
}

int feeds_run(feed_t *feeds, int64_t count, double seconds, double *ret_elements_per_s, fault_t *why) {
    int64_t started = clock_ns(), ended = started, elements = 0;
    feeds_start(feeds, count, started + (int64_t)(seconds * 1e9));
    if (feeds_join(feeds, count, why) < 0) return -1;
    for (int64_t i = 0; i < count; i++) {
        elements += feeds[i].dealt_with * feeds[i].batch;
        if (feeds[i].ended > ended) ended = feeds[i].ended;
    }
    *ret_elements_per_s = (double)elements * 1e9 / (double)(ended - started);
    return 0;
}
