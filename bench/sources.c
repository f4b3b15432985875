/* How fast the engine records what other systems have, beside what the client library of each alone reads of the same server in the same run, and
 * throws away. Both count from the first elements on: connecting is on neither side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "outside/outside.h"

enum { LOOK_MS = 10, PATIENCE_S = 30 };

static const outside_kind_t *const kinds[] = {&outside_file, &outside_kafka, &outside_mqtt, &outside_nats, &outside_redis, &outside_zmq};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- the engine ---- */

static int source_run(bench_t *bench, const char *pipeline, const outside_kind_t *kind, const outside_t *outside, fault_t *why) {
    msgpack_sbuffer payload;
    msgpack_packer packer;
    char urn[64];
    msgpack_sbuffer_init(&payload);
    msgpack_packer_init(&packer, &payload, msgpack_sbuffer_write);
    kind->pack(outside, &packer);
    snprintf(urn, sizeof urn, "reprise:source:%s:v1", kind->name);
    msg_transform_t transform = {.has_name = true,
                                 .name = kind->name,
                                 .has_urn = true,
                                 .urn = urn,
                                 .has_payload = true,
                                 .payload = {(const uint8_t *)payload.data, payload.size}};
    msg_pipeline_t definition = {.has_name = true, .name = pipeline, .has_transforms = true, .transforms = {1, &transform}};
    msg_limits_t limits = {
        .has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = LIMIT_NONE, .has_count = true, .count = LIMIT_NONE};
    msg_pipeline_run_t ask = {.pipeline = pipeline, .pipeline_definition = &definition, .has_limits = true, .limits = limits};
    reply_t reply = {0};
    int result = client_ask(&bench->client, MSG_PIPELINE_RUN_ASK, &ask, &reply) == STATUS_OK ? 0 : engine_refused(&bench->client, why);
    reply_fini(&reply);
    msgpack_sbuffer_destroy(&payload);
    return result;
}

/* Elements that are recorded so far. */
static int look(bench_t *bench, const char *pipeline, int64_t *ret_elements, fault_t *why) {
    reply_t reply = {0};
    int result = 0;
    nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
    if (client_ask(&bench->client, MSG_JOB_DESCRIBE, &(msg_job_describe_t){.has_pipeline = true, .pipeline = pipeline}, &reply) !=
        STATUS_OK) {
        result = engine_refused(&bench->client, why);
    } else {
        const msg_job_t *job = reply.message;
        *ret_elements = job->elements;
        if (job->error) result = fault_set(why, "job %s: %s", job->job, job->error);
    }
    reply_fini(&reply);
    return result;
}

/* From one look to another, so that how far apart looks are does not matter; none at which all has been read already, unless there is no other. */
static int recorded_rate(bench_t *bench, const char *pipeline, int64_t most, double *ret_rate, fault_t *why) {
    int64_t first = 0, count = 0, began, now, patience = clock_ns() + PATIENCE_S * INT64_C(1000000000);
    while (first == 0) {
        if (look(bench, pipeline, &first, why) < 0) return -1;
        if (first == 0 && clock_ns() > patience) return fault_set(why, "nothing is recorded of pipeline %s", pipeline);
    }
    began = clock_ns();
    do {
        if (look(bench, pipeline, &count, why) < 0) return -1;
        now = clock_ns();
        if (most && count >= most && *ret_rate > 0) return 0;
        if (count > first) *ret_rate = (double)(count - first) / ((double)(now - began) / 1e9);
        if (now > patience && count == first)
            return fault_set(why, "no more is recorded of pipeline %s than %lld", pipeline, (long long)first);
    } while (((double)(now - began) < bench->seconds * 1e9 && !(most && count >= most)) || count == first);
    return 0;
}

static int engine_rate(bench_t *bench, const outside_kind_t *kind, const outside_t *outside, double *ret_rate, fault_t *why) {
    char pipeline[64];
    fault_t second;
    snprintf(pipeline, sizeof pipeline, "bench-%s-%d", kind->name, (int)getpid());
    *ret_rate = 0;
    if (source_run(bench, pipeline, kind, outside, why) < 0) return -1;
    int result = recorded_rate(bench, pipeline, outside->elements, ret_rate, why);
    if (engine_forget(bench, pipeline, &second) < 0 && result == 0) result = fault_set(why, "%s", second.text);
    return result;
}

/* ---- its client library ---- */

static int raw_rate(const bench_t *bench, const outside_kind_t *kind, outside_t *outside, double *ret_rate, fault_t *why) {
    meter_t meter = {.seconds = bench->seconds, .most = outside->elements};
    if (kind->read(outside, &meter, why) < 0) return -1;
    if (meter.last == meter.began) return fault_set(why, "%s: too little to be measured", kind->name);
    *ret_rate = (double)meter.count / ((double)(meter.last - meter.began) / 1e9);
    return 0;
}

/* ---- both ---- */

static int kind_rounds(bench_t *bench, const outside_kind_t *kind, outside_t *outside, figure_t *figure, fault_t *why) {
    for (int64_t i = 0; i < bench->rounds; i++) {
        figure_progress(bench, figure->name, i);
        if (raw_rate(bench, kind, outside, &figure->peers[i], why) < 0) return -1;
        if (engine_rate(bench, kind, outside, &figure->values[i], why) < 0) return -1;
    }
    return 0;
}

static int kind_measure(bench_t *bench, const outside_kind_t *kind, fault_t *why) {
    char name[32];
    outside_t outside = {.bench = bench};
    snprintf(name, sizeof name, "sources.%s", kind->name);
    figure_t figure = {.name = name, .what = kind->what, .unit = "elements/s", .peer = kind->peer, .per_unit = (double)bench->size / 1e6};
    int result = kind->open(&outside, why);
    if (result == 0) result = kind_rounds(bench, kind, &outside, &figure, why);
    kind->close(&outside);
    if (result == 0) figure_print(bench, &figure);
    return result;
}

static bool is_chosen(const bench_t *bench, const char *name) {
    for (size_t i = 0; bench->only[i]; i++)
        if (strcmp(bench->only[i], name) == 0) return true;
    return !bench->only[0];
}

static int only_check(const bench_t *bench, fault_t *why) {
    for (size_t i = 0; bench->only[i]; i++) {
        size_t at = 0;
        while (at < KINDS && strcmp(kinds[at]->name, bench->only[i]) != 0) at++;
        if (at == KINDS) return fault_set(why, "`%s` is none of file, kafka, mqtt, nats, redis and zmq", bench->only[i]);
    }
    return 0;
}

int bench_sources(bench_t *bench, fault_t *why) {
    if (only_check(bench, why) < 0) return -1;
    for (size_t i = 0; i < KINDS; i++)
        if (is_chosen(bench, kinds[i]->name) && kind_measure(bench, kinds[i], why) < 0) return -1;
    return 0;
}
