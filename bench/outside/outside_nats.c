/* A stream of JetStream's, in memory, read from its beginning by an ordered consumer: the server pushes, and nothing is acknowledged. */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outside.h"

enum { MESSAGES_A_SECOND = 1000000, PATIENCE_MS = 10000 };
#define STREAM "BENCH"
#define SUBJECT "bench"

typedef struct link {
    natsConnection *connection;
    jsCtx *stream;
} link_t;

static int failed(natsStatus status, fault_t *why) {
    return fault_set(why, "NATS: %s: %s", natsStatus_GetText(status), nats_GetLastError(NULL));
}

static natsStatus link_open(link_t *link, const outside_t *outside) {
    char url[96];
    snprintf(url, sizeof url, "nats://%s", outside->server);
    *link = (link_t){0};
    natsStatus status = natsConnection_ConnectTo(&link->connection, url);
    return status == NATS_OK ? natsConnection_JetStream(&link->stream, link->connection, NULL) : status;
}

static void link_close(link_t *link) {
    jsCtx_Destroy(link->stream);
    natsConnection_Destroy(link->connection);
}

static natsStatus fill(const link_t *link, size_t size, int64_t count) {
    const char *subjects[] = {SUBJECT};
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = STREAM;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_MemoryStorage;
    natsStatus status = js_AddStream(NULL, link->stream, &config, NULL, NULL);
    char *message = calloc(1, size + 1);
    must(message);
    for (int64_t i = 0; status == NATS_OK && i < count; i++) {
        status = js_PublishAsync(link->stream, SUBJECT, message, (int)size, NULL);
        if (status == NATS_OK && i % 1000 == 999) status = js_PublishAsyncComplete(link->stream, NULL);
    }
    free(message);
    return status == NATS_OK ? js_PublishAsyncComplete(link->stream, NULL) : status;
}

static int nats_open(outside_t *outside, fault_t *why) {
    char number[16];
    int port;
    link_t link;
    if (outside_prepare(outside, &port, why) < 0) return -1;
    snprintf(number, sizeof number, "%d", port);
    const char *arguments[] = {"nats-server", "-a", "127.0.0.1", "-p", number, "-js", "-sd", outside->folder, NULL};
    if (outside_start(outside, arguments, why) < 0) return -1;
    natsStatus status = link_open(&link, outside);
    outside->elements = outside_enough(outside, MESSAGES_A_SECOND);
    if (status == NATS_OK) status = fill(&link, (size_t)outside->bench->size, outside->elements);
    link_close(&link);
    return status == NATS_OK ? 0 : failed(status, why);
}

static int nats_read(outside_t *outside, meter_t *meter, fault_t *why) {
    link_t link;
    natsSubscription *subscription = NULL;
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Ordered = true;
    options.Stream = STREAM;
    natsStatus status = link_open(&link, outside);
    if (status == NATS_OK) status = js_SubscribeSync(&subscription, link.stream, SUBJECT, NULL, &options, NULL);
    for (bool more = true; status == NATS_OK && more;) {
        natsMsg *message = NULL;
        status = natsSubscription_NextMsg(&message, subscription, PATIENCE_MS);
        natsMsg_Destroy(message);
        more = meter_one(meter) && meter->first + meter->count + meter->pending < outside->elements;
    }
    natsConnection_Close(link.connection); /* first: what still comes for a subscription that is destroyed aborts libnats 3.4 */
    natsSubscription_Destroy(subscription);
    link_close(&link);
    return status == NATS_OK ? 0 : failed(status, why);
}

static void nats_pack(const outside_t *outside, msgpack_packer *packer) {
    msgpack_pack_map(packer, 2);
    outside_pack_text(packer, "server", outside->server);
    outside_pack_text(packer, "stream", STREAM);
}

static void nats_end(outside_t *outside) {
    outside_stop(outside);
    nats_Close();
}

const outside_kind_t outside_nats = {.name = "nats",
                                     .what = "messages of a JetStream, from its beginning",
                                     .peer = "libnats, an ordered consumer",
                                     .open = nats_open,
                                     .read = nats_read,
                                     .pack = nats_pack,
                                     .close = nats_end};
