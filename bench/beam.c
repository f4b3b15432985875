/* How fast Apache Beam gets a recording over gRPC, beside a server in Python's grpcio, as Beam's own is, which has the same events ready in its memory
 * and a processor to itself. One client reads both: in C, and without looking at what it gets. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feed.h"

enum { EVENTS = 20000, ADDRESS_MAX = 128, PATIENCE_S = 60 };
#define METHOD "/org.apache.beam.model.interactive.v1.TestStreamService/Events"

typedef struct reader {
    grpc_completion_queue *queue;
    grpc_channel *channel;
    int64_t events;
    FILE *copy; /* of what it gets; NULL: none is made */
} reader_t;

/* ---- reading ---- */

static void reader_open(reader_t *reader, const char *address) {
    grpc_arg any = {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value = {.integer = -1}};
    grpc_channel_args arguments = {1, &any};
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    *reader = (reader_t){.queue = grpc_completion_queue_create_for_next(NULL)};
    reader->channel = grpc_channel_create(address, plain, &arguments);
    grpc_channel_credentials_release(plain);
    must(reader->queue && reader->channel);
}

static void reader_close(reader_t *reader) {
    grpc_channel_destroy(reader->channel);
    grpc_completion_queue_shutdown(reader->queue);
    while (grpc_completion_queue_next(reader->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN) continue;
    grpc_completion_queue_destroy(reader->queue);
}

static void copy_message(FILE *copy, grpc_byte_buffer *message) {
    grpc_byte_buffer_reader reader;
    must(grpc_byte_buffer_reader_init(&reader, message));
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    uint32_t size = (uint32_t)GRPC_SLICE_LENGTH(all);
    fwrite(&size, sizeof size, 1, copy);
    fwrite(GRPC_SLICE_START_PTR(all), 1, size, copy);
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
}

/* A batch is done when it comes back. The status may come before the last message does. */
static void await(reader_t *reader, void *tag, bool *ret_ended) {
    for (;;) {
        grpc_event event = grpc_completion_queue_next(reader->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        must(event.type == GRPC_OP_COMPLETE);
        if (event.tag == ret_ended) *ret_ended = true;
        if (event.tag == tag) return;
    }
}

static void begin(reader_t *reader, grpc_call *call, const char *output, grpc_metadata_array *metadata, bool *ended) {
    uint8_t request[ADDRESS_MAX + 2] = {1 << 3 | 2, (uint8_t)strlen(output)};
    memcpy(request + 2, output, strlen(output));
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)request, 2 + strlen(output));
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_op ops[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                     {.op = GRPC_OP_SEND_MESSAGE},
                     {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                     {.op = GRPC_OP_RECV_INITIAL_METADATA}};
    ops[1].data.send_message.send_message = message;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = metadata;
    must(grpc_call_start_batch(call, ops, 4, ops, NULL) == GRPC_CALL_OK);
    await(reader, ops, ended);
    grpc_byte_buffer_destroy(message);
    grpc_slice_unref(slice);
}

/* All events of a call, to its end. */
static int call_read(reader_t *reader, const char *output, fault_t *why) {
    grpc_metadata_array first, last;
    grpc_status_code status;
    grpc_slice details;
    bool ended = false;
    gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(PATIENCE_S, GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(reader->channel, NULL, GRPC_PROPAGATE_DEFAULTS, reader->queue,
                                               grpc_slice_from_static_string(METHOD), NULL, until, NULL);
    grpc_metadata_array_init(&first);
    grpc_metadata_array_init(&last);
    grpc_op end = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    end.data.recv_status_on_client.trailing_metadata = &last;
    end.data.recv_status_on_client.status = &status;
    end.data.recv_status_on_client.status_details = &details;
    must(grpc_call_start_batch(call, &end, 1, &ended, NULL) == GRPC_CALL_OK);
    begin(reader, call, output, &first, &ended);
    for (grpc_byte_buffer *message = NULL;; reader->events++) {
        grpc_op receive = {.op = GRPC_OP_RECV_MESSAGE};
        receive.data.recv_message.recv_message = &message;
        must(grpc_call_start_batch(call, &receive, 1, &receive, NULL) == GRPC_CALL_OK);
        await(reader, &receive, &ended);
        if (!message) break;
        if (reader->copy) copy_message(reader->copy, message);
        grpc_byte_buffer_destroy(message);
    }
    if (!ended) await(reader, &ended, &ended);
    char *text = grpc_slice_to_c_string(details);
    int result = status == GRPC_STATUS_OK ? 0 : fault_set(why, "the call of `%s` ended with %d: %s", output, (int)status, text);
    gpr_free(text);
    grpc_slice_unref(details);
    grpc_metadata_array_destroy(&first);
    grpc_metadata_array_destroy(&last);
    grpc_call_unref(call);
    return result;
}

/* As many calls as fit the time. */
static int events_rate(const bench_t *bench, reader_t *reader, const char *output, double *ret_events_per_s, fault_t *why) {
    int64_t started = clock_ns(), until = started + (int64_t)(bench->seconds * 1e9);
    reader->events = 0;
    do
        if (call_read(reader, output, why) < 0) return -1;
    while (clock_ns() < until);
    *ret_events_per_s = (double)reader->events / ((double)(clock_ns() - started) / 1e9);
    return 0;
}

/* ---- the two servers ---- */

/* Each batch is sent when the one before was recorded: so each is an event. */
static int make_recording(bench_t *bench, const char *pipeline, int64_t batch, fault_t *why) {
    int64_t until = clock_ns() + (int64_t)(2 * bench->seconds * 1e9);
    feed_t feed = {0};
    int result = engine_run(bench, pipeline, INT64_C(1) << 40, why);
    if (result == 0) result = feed_open(&feed, bench, pipeline, batch, why);
    for (int64_t i = 0; result == 0 && i < EVENTS && clock_ns() < until; i++)
        if ((result = feed_send(&feed, why)) == 0) result = feed_drain(&feed, why);
    feed_close(&feed);
    fault_t second;
    if (engine_end(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}

static int find_port(bench_t *bench, char ret_address[ADDRESS_MAX], fault_t *why) {
    static const msg_engine_info_t ask;
    reply_t reply = {0};
    int result = 0;
    if (client_ask(&bench->client, MSG_ENGINE_INFO, &ask, &reply) != STATUS_OK)
        result = engine_refused(&bench->client, why);
    else if (!((const msg_engine_t *)reply.message)->endpoints.beam)
        result = fault_set(why, "the engine does not serve Apache Beam");
    else
        snprintf(ret_address, ADDRESS_MAX, "%s", ((const msg_engine_t *)reply.message)->endpoints.beam);
    reply_fini(&reply);
    return result;
}

/* The events of the engine go into a file that the other server reads. */
static int copy_events(reader_t *reader, const char *output, const char *path, fault_t *why) {
    reader->copy = fopen(path, "we");
    if (!reader->copy) return fault_errno(why, "cannot write %s", path);
    int result = call_read(reader, output, why);
    if (fclose(reader->copy) != 0 && result == 0) result = fault_errno(why, "cannot write %s", path);
    reader->copy = NULL;
    return result;
}

static int peer_serve(process_t *peer, const char *path, fault_t *why) {
    const char *arguments[] = {"/usr/bin/python3", BENCH_FOLDER "/beam_peer.py", path, NULL};
    return process_start(peer, arguments, why);
}

static int measure(bench_t *bench, figure_t *figure, const char *output, fault_t *why) {
    char address[ADDRESS_MAX], path[] = "/tmp/reprise-bench-events-XXXXXX";
    reader_t ours, theirs;
    process_t peer = {0};
    if (find_port(bench, address, why) < 0) return -1;
    int file = mkstemp(path);
    if (file < 0) return fault_errno(why, "cannot create %s", path);
    close(file);
    reader_open(&ours, address);
    int result = copy_events(&ours, output, path, why);
    if (result == 0) result = peer_serve(&peer, path, why);
    reader_open(&theirs, result == 0 ? peer.line : "nowhere");
    for (int64_t i = 0; result == 0 && i < bench->rounds; i++) {
        figure_progress(bench, figure->name, i);
        result = events_rate(bench, &ours, output, &figure->values[i], why);
        if (result == 0) result = events_rate(bench, &theirs, output, &figure->peers[i], why);
    }
    reader_close(&ours);
    reader_close(&theirs);
    process_stop(&peer);
    unlink(path);
    return result;
}

int bench_beam(bench_t *bench, fault_t *why) {
    static const struct {
        int64_t batch;
        const char *name, *what;
    } rows[] = {{1, "beam.1", "Events over gRPC, one element an event"},
                {10, "beam.10", "Events over gRPC, 10 elements an event"},
                {100, "beam.100", "Events over gRPC, 100 elements an event"}};
    int result = bench->data[0] ? engine_exchange(bench, ENGINE_BEAM, why) : 0;
    grpc_init();
    for (size_t i = 0; result == 0 && i < sizeof rows / sizeof rows[0]; i++) {
        char output[64];
        figure_t figure = {.name = rows[i].name, .what = rows[i].what, .unit = "events/s", .peer = "Python grpcio"};
        snprintf(output, sizeof output, "%s/%s", rows[i].name, PUSH_TAG);
        result = make_recording(bench, rows[i].name, rows[i].batch, why);
        if (result == 0) result = measure(bench, &figure, output, why);
        if (result == 0) figure_print(bench, &figure);
        fault_t second;
        if (engine_forget(bench, rows[i].name, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    }
    grpc_shutdown();
    return result;
}
