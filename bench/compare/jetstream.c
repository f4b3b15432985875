/* The work on NATS JetStream, a stream in files: publishing without waiting for each acknowledgement, or waiting; and an ordered consumer. */
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

enum { CHECK_EVERY = 64, PATIENCE_MS = 60000 };

static const int64_t UNDER_WAY = INT64_C(4) * 1024 * 1024, PENDING_MAX = 4096;

typedef struct place {
    natsConnection *connection;
    jsCtx *stream;
    char subject[64];
    atomic_int_fast64_t failed;
} place_t;

static int failed(natsStatus status, const char *what, fault_t *why) {
    return fault_set(why, "%s: %s", what, natsStatus_GetText(status));
}

static void on_error(jsCtx *stream, jsPubAckErr *error, void *argument) {
    place_t *place = argument;
    (void)stream;
    (void)error;
    atomic_fetch_add(&place->failed, 1);
}

static int place_open(place_t *place, const work_t *work, fault_t *why) {
    jsOptions options;
    jsStreamConfig config;
    char *subject = place->subject;
    int64_t pending = UNDER_WAY / (int64_t)work->bytes_size;
    *place = (place_t){0};
    snprintf(place->subject, sizeof place->subject, "compare-%d", (int)getpid());
    jsOptions_Init(&options);
    options.PublishAsync.MaxPending = pending < 4 ? 4 : pending > PENDING_MAX ? PENDING_MAX : pending;
    options.PublishAsync.StallWait = PATIENCE_MS;
    options.PublishAsync.ErrHandler = on_error;
    options.PublishAsync.ErrHandlerClosure = place;
    jsStreamConfig_Init(&config);
    config.Name = place->subject;
    config.Subjects = (const char **)&subject;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    natsStatus status = natsConnection_ConnectTo(&place->connection, work->endpoint);
    if (status == NATS_OK) status = natsConnection_JetStream(&place->stream, place->connection, &options);
    if (status == NATS_OK) status = js_AddStream(NULL, place->stream, &config, NULL, NULL);
    return status == NATS_OK ? 0 : failed(status, "no stream could be made", why);
}

static void place_close(place_t *place) {
    if (place->stream) js_DeleteStream(place->stream, place->subject, NULL, NULL);
    jsCtx_Destroy(place->stream);
    natsConnection_Destroy(place->connection);
    nats_Close();
}

/* ---- publishing ---- */

static int publish(place_t *place, const work_t *work, int64_t messages, fault_t *why) {
    natsStatus status = NATS_OK;
    for (int64_t i = 0; status == NATS_OK && i < messages; i++)
        status = js_PublishAsync(place->stream, place->subject, work->bytes, (int)work->bytes_size, NULL);
    return status == NATS_OK ? 0 : failed(status, "a message was not taken", why);
}

static int published(place_t *place, fault_t *why) {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = PATIENCE_MS;
    natsStatus status = js_PublishAsyncComplete(place->stream, &options);
    if (status != NATS_OK) return failed(status, "not all messages were acknowledged", why);
    return place->failed == 0 ? 0 : fault_set(why, "%lld messages were refused", (long long)place->failed);
}

static int push(work_t *work, fault_t *why) {
    place_t place;
    int64_t messages = 0;
    int result = place_open(&place, work, why);
    work_begin(work);
    for (; result == 0 && !work_over(work); messages += CHECK_EVERY) result = publish(&place, work, CHECK_EVERY, why);
    if (result == 0) result = published(&place, why);
    work_end(work, messages * work->batch);
    place_close(&place);
    return result;
}

static int each(work_t *work, fault_t *why) {
    place_t place;
    int64_t messages = 0;
    natsStatus status = NATS_OK;
    int result = place_open(&place, work, why);
    work_begin(work);
    for (; result == 0 && status == NATS_OK && !work_over(work); messages++)
        status = js_Publish(NULL, place.stream, place.subject, work->bytes, (int)work->bytes_size, NULL, NULL);
    work_end(work, messages);
    if (status != NATS_OK) result = failed(status, "a message was not acknowledged", why);
    place_close(&place);
    return result;
}

/* ---- reading ---- */

static int replay_once(place_t *place, work_t *work, fault_t *why) {
    jsSubOptions options;
    natsSubscription *subscription = NULL;
    int64_t elements = 0, bytes = 0;
    jsSubOptions_Init(&options);
    options.Ordered = true;
    work_begin(work);
    natsStatus status = js_SubscribeSync(&subscription, place->stream, place->subject, NULL, &options, NULL);
    if (status == NATS_OK) status = natsSubscription_SetPendingLimits(subscription, -1, -1);
    for (natsMsg *message; status == NATS_OK && elements < work->recorded; elements++) {
        status = natsSubscription_NextMsg(&message, subscription, PATIENCE_MS);
        if (status != NATS_OK) break;
        bytes += natsMsg_GetDataLength(message);
        natsMsg_Destroy(message);
    }
    work_end(work, elements);
    natsSubscription_Destroy(subscription);
    if (status != NATS_OK) return failed(status, "a message was not delivered", why);
    return bytes == elements * work->size ? 0 : fault_set(why, "%lld bytes were delivered", (long long)bytes);
}

static int replay(work_t *work, fault_t *why) {
    place_t place;
    int result = place_open(&place, work, why);
    if (result == 0) result = publish(&place, work, work->recorded, why);
    if (result == 0) result = published(&place, why);
    do {
        if (result == 0) result = replay_once(&place, work, why);
    } while (result == 0 && work->took < work->seconds);
    place_close(&place);
    return result;
}

int main(int count, char **arguments) {
    static const work_kind_t kinds[] = {{"push", push}, {"each", each}, {"messages", push}, {"replay", replay}, {NULL, NULL}};
    return work_main(count, arguments, kinds);
}
