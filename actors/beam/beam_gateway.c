/* The Beam gateway serves recordings to Apache Beam as Beam's own TestStreamService would, over gRPC. It is a client of the replay protocol like
 * any other, with a replay for each call, and nobody else here knows of Beam.
 *
 * What is gRPC stands behind the port (beam_port.h). The port outlives this actor's state: after a failure the calls end, and the next ones are
 * served by the new state, which closes the replays that the old one had. */
#include "beam_gateway.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beam_gateway_state.h"

#define CHECK_US INT64_C(1000000)
#define STOPPING "the engine stops"
#define FAILED "the engine's gateway failed and has started anew"

/* ---- callers ---- */

static callers_t *bucket(beam_gateway_t *g, uint64_t call) {
    return &g->by_call[call % BEAM_BUCKETS];
}

caller_t *beam_caller_of(beam_gateway_t *g, uint64_t call) {
    caller_t *caller;
    LIST_FOREACH(caller, bucket(g, call), of_call) {
        if (caller->call == call) return caller;
    }
    return NULL;
}

static int on_check(void *state, uint64_t context, fault_t *why) {
    (void)context, (void)why;
    beam_gateway_t *g = state;
    int64_t ticks = actor_ticks(g->me);
    caller_t *caller;
    LIST_FOREACH(caller, &g->callers, link) beam_playing_check(g, caller, ticks);
    g->timer = LIST_EMPTY(&g->callers) ? 0 : actor_after(g->me, CHECK_US, on_check, 0);
    return 0;
}

static caller_t *caller_add(beam_gateway_t *g, uint64_t call) {
    caller_t *caller = calloc(1, sizeof *caller);
    must(caller);
    caller->call = call;
    caller->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(caller->zone);
    caller->heard = caller->spoken = actor_ticks(g->me);
    LIST_INSERT_HEAD(&g->callers, caller, link);
    g->callers_count++;
    LIST_INSERT_HEAD(bucket(g, call), caller, of_call);
    if (!g->timer) g->timer = actor_after(g->me, CHECK_US, on_check, 0);
    return caller;
}

void beam_caller_drop(beam_gateway_t *g, caller_t *caller) {
    if (caller->replay) {
        beam_playing_close(g, caller->replay);
        beam_playing_end(g, caller);
    }
    g->callers_count--;
    LIST_REMOVE(caller, link);
    LIST_REMOVE(caller, of_call);
    msgpack_zone_free(caller->zone);
    free(caller);
}

void beam_caller_end(beam_gateway_t *g, caller_t *caller, call_status_t status, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    beam_port_end(g->kept->port, caller->call, status, text);
    beam_caller_drop(g, caller);
}

void beam_caller_refuse(beam_gateway_t *g, caller_t *caller, const refusal_t *no) {
    static const call_status_t statuses[] = {
        [ERROR_BAD_REQUEST] = CALL_INVALID_ARGUMENT,
        [ERROR_UNKNOWN_OP] = CALL_UNIMPLEMENTED,
        [ERROR_NOT_FOUND] = CALL_NOT_FOUND,
        [ERROR_CONFLICT] = CALL_ABORTED,
        [ERROR_INVALID_STATE] = CALL_FAILED_PRECONDITION,
        [ERROR_LIMIT] = CALL_RESOURCE_EXHAUSTED,
        [ERROR_UNAVAILABLE] = CALL_UNAVAILABLE,
        [ERROR_UNAUTHORIZED] = CALL_PERMISSION_DENIED,
        [ERROR_TOO_LARGE] = CALL_INVALID_ARGUMENT,
        [ERROR_NO_SPACE] = CALL_RESOURCE_EXHAUSTED,
        [ERROR_CORRUPT] = CALL_DATA_LOSS,
        [ERROR_INTERNAL] = CALL_INTERNAL,
    };
    beam_caller_end(g, caller, statuses[no->code], "%s", no->message);
}

/* ---- calls ---- */

typedef void method_fn(beam_gateway_t *g, caller_t *caller, const port_news_t *news);

static void call_events(beam_gateway_t *g, caller_t *caller, const port_news_t *news) {
    const char *pipeline = beam_ports_pipeline(g, news->line);
    if (news->line != BEAM_LINE_SHARED && !pipeline)
        beam_caller_end(g, caller, CALL_UNAVAILABLE, "the pipeline that was here was forgotten");
    else
        beam_opening_start(g, caller, pipeline, (bytes_t){news->request, news->size});
}

/* ---- health, as gRPC has it for every server ---- */

enum { HEALTH_SERVING = 1, HEALTH_UNKNOWN = 3 };

static bool is_service(const char *name) {
    static const char *const services[] = {"", "org.apache.beam.model.pipeline.v1.TestStreamService",
                                           "org.apache.beam.model.interactive.v1.TestStreamService", "grpc.health.v1.Health"};
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (strcmp(name, services[i]) == 0) return true;
    return false;
}

/* The service that is asked about; NULL: the call has ended. The request has one text, where an EventsRequest has its ids. */
static const char *health_service(beam_gateway_t *g, caller_t *caller, const port_news_t *news) {
    refusal_t no;
    names_t names;
    if (beam_request_read((bytes_t){news->request, news->size}, caller->zone, &names, &no) < 0) {
        beam_caller_refuse(g, caller, &no);
        return NULL;
    }
    return names.count ? names.items[names.count - 1] : "";
}

static void call_check(beam_gateway_t *g, caller_t *caller, const port_news_t *news) {
    const char *service = health_service(g, caller, news);
    if (!service) return;
    if (!is_service(service)) {
        beam_caller_end(g, caller, CALL_NOT_FOUND, "there is no service `%.200s` here", service);
        return;
    }
    beam_message_t message;
    beam_health_write(HEALTH_SERVING, &message);
    beam_port_send(g->kept->port, caller->call, &message, 0, false);
    beam_caller_end(g, caller, CALL_OK, "%s", "");
}

/* It stays as it is for as long as anybody can be told. */
static void call_watch(beam_gateway_t *g, caller_t *caller, const port_news_t *news) {
    const char *service = health_service(g, caller, news);
    if (!service) return;
    caller->watches = true;
    beam_message_t message;
    beam_health_write(is_service(service) ? HEALTH_SERVING : HEALTH_UNKNOWN, &message);
    beam_port_send(g->kept->port, caller->call, &message, 0, false);
}

/* Beam has moved its service to another package; clients of both times are served. */
static const struct {
    const char *name;
    method_fn *call;
} methods[] = {
    {"/org.apache.beam.model.pipeline.v1.TestStreamService/Events", call_events},
    {"/org.apache.beam.model.interactive.v1.TestStreamService/Events", call_events},
    {"/grpc.health.v1.Health/Check", call_check},
    {"/grpc.health.v1.Health/Watch", call_watch},
};

static void on_call(beam_gateway_t *g, const port_news_t *news) {
    caller_t *caller = caller_add(g, news->call);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(news->method, methods[i].name) != 0) continue;
        methods[i].call(g, caller, news);
        return;
    }
    beam_caller_end(g, caller, CALL_UNIMPLEMENTED, "there is no method `%.300s` here", news->method);
}

static void on_sent(beam_gateway_t *g, const port_news_t *news) {
    const caller_t *caller = beam_caller_of(g, news->call);
    if (!caller || !caller->replay) return;
    actor_door_tell(g->me, 0, MSG_REPLAY_CREDIT, &(msg_replay_credit_t){.replay = caller->replay, .bytes = news->cost}, NULL);
}

static int on_news(void *state, int descriptor, fault_t *why) {
    (void)descriptor, (void)why;
    beam_gateway_t *g = state;
    port_news_t news;
    while (beam_port_take(g->kept->port, &news)) {
        caller_t *caller = news.kind == NEWS_GONE ? beam_caller_of(g, news.call) : NULL;
        if (news.kind == NEWS_CALL)
            on_call(g, &news);
        else if (news.kind == NEWS_SENT)
            on_sent(g, &news);
        else if (caller)
            beam_caller_drop(g, caller);
        port_news_fini(&news);
    }
    return 0;
}

static int beam_gateway_settle(void *state, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    if (g->kept) beam_port_flush(g->kept->port);
    return 0;
}

/* ---- life ---- */

static void beam_gateway_destroy(void **state) {
    beam_gateway_t *g = *state;
    if (!g) return;
    while (!LIST_EMPTY(&g->callers)) {
        caller_t *caller = LIST_FIRST(&g->callers);
        LIST_REMOVE(caller, link);
        msgpack_zone_free(caller->zone);
        free(caller);
    }
    beam_ports_fini(g);
    free(g);
    *state = NULL;
}

static void kept_destroy(void **self) {
    beam_kept_t *kept = *self;
    beam_port_close(&kept->port, STOPPING);
    free(kept->replays);
    free(kept);
    *self = NULL;
}

static int open_port(beam_gateway_t *g, fault_t *why) {
    beam_port_t *port = beam_port_open(actor_config(g->me), why);
    if (!port) return -1;
    g->kept = calloc(1, sizeof *g->kept);
    must(g->kept);
    g->kept->port = port;
    actor_keep(g->me, g->kept, kept_destroy);
    return 0;
}

/* The replays of the state before this one. */
static void close_replays(beam_gateway_t *g) {
    for (size_t i = 0; i < g->kept->count; i++) beam_playing_close(g, g->kept->replays[i]);
    g->kept->count = 0;
    beam_port_reset(g->kept->port, FAILED);
}

void beam_gateway_begin(beam_gateway_t *g) {
    actor_watch(g->me, beam_port_descriptor(g->kept->port), on_news);
}

static void *beam_gateway_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args;
    beam_gateway_t *g = calloc(1, sizeof *g);
    must(g);
    g->me = me;
    g->kept = actor_kept(me);
    beam_ports_init(g);
    LIST_INIT(&g->callers);
    for (size_t i = 0; i < BEAM_BUCKETS; i++) {
        LIST_INIT(&g->by_call[i]);
        LIST_INIT(&g->by_replay[i]);
    }
    const char *address = actor_config(me)->beam;
    if (!address[0]) return g;
    void *failed = g;
    if (g->kept)
        close_replays(g);
    else if (open_port(g, why) < 0)
        goto fail;
    if (beam_port_listen(g->kept->port, BEAM_LINE_SHARED, address, why) < 0) goto fail;
    if (actor_config(me)->beam_first)
        beam_ports_load(g);
    else
        beam_gateway_begin(g);
    return g;
fail:
    beam_gateway_destroy(&failed);
    return NULL;
}

/* From the test-stream endpoint, whose client it is. */
static int on_ping(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    actor_door_tell(((beam_gateway_t *)state)->me, 0, MSG_PONG, &(msg_pong_t){0}, NULL);
    return 0;
}

const actor_class_t beam_gateway_class = {
    .name = "beam_gateway",
    .doc = "Serves recordings to Apache Beam over gRPC, as a client of the test-stream endpoint.",
    .create = beam_gateway_create,
    .destroy = beam_gateway_destroy,
    .takes =
        {
            [MSG_PING] = on_ping,
            [MSG_BEAM_PORT_ASK] = beam_ports_on_ask,
            [MSG_BEAM_PORT_RELEASE] = beam_ports_on_release,
            [MSG_ELEMENTS] = beam_on_elements,
            [MSG_WATERMARK] = beam_on_watermark,
            [MSG_PROCESSING_TIME] = beam_on_processing_time,
            [MSG_GAP] = beam_on_gap,
            [MSG_END] = beam_on_end,
        },
    .sends = {MSG_PONG, MSG_PIPELINE_TAGS_ASK, MSG_PIPELINE_LIST, MSG_CATALOG_READ, MSG_CATALOG_WRITE, MSG_REPLAY_OPEN, MSG_REPLAY_CREDIT,
              MSG_REPLAY_RESUME, MSG_REPLAY_CLOSE},
    .doors = {{DOOR_DEALER, ENDPOINT_TEST_STREAM, SCOPE_TEST_STREAM}},
    .settle = beam_gateway_settle,
};
