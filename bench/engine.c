/* The engine that is measured: one that runs already, or one of its own, on free ports and a data folder that is gone afterwards. */
#include <arpa/inet.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum { PORTS = 4 };

int engine_refused(const client_t *client, fault_t *why) {
    return fault_set(why, "%s", client->no.message[0] ? client->no.message : "the request failed");
}

/* ---- starting ---- */

static bool port_free(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons((uint16_t)port)};
    int on = 1, tried = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (tried < 0) return false;
    setsockopt(tried, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool is_free = bind(tried, (struct sockaddr *)&address, sizeof address) == 0;
    close(tried);
    return is_free;
}

/* Below those that the system gives to outgoing connections, which could take one before the engine does. */
static int ports_find(int ret_ports[PORTS], fault_t *why) {
    enum { FIRST = 12000, LAST = 32000 };
    int found = 0, port = FIRST + (int)(getpid() * 31L % (LAST - FIRST));
    for (int i = 0; i < LAST - FIRST && found < PORTS; i++, port = port < LAST ? port + 1 : FIRST)
        if (port_free(port)) ret_ports[found++] = port;
    return found == PORTS ? 0 : fault_set(why, "there are no %d free ports from %d to %d", PORTS, FIRST, LAST);
}

static int own_start(bench_t *bench, fault_t *why) {
    int ports[PORTS];
    char program[4096 + 16], endpoints[PORTS][64];
    const char *folder = getenv("TMPDIR");
    if (ports_find(ports, why) < 0) return -1;
    snprintf(bench->data, sizeof bench->data, "%.40s/reprise-bench-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(bench->data)) {
        fault_errno(why, "cannot create the folder %s", bench->data);
        bench->data[0] = '\0';
        return -1;
    }
    process_folder(program, sizeof program - 16);
    strcat(program, "/reprised");
    for (int i = 0; i < PORTS; i++) snprintf(endpoints[i], sizeof endpoints[i], "tcp://127.0.0.1:%d", ports[i]);
    const char *arguments[] = {program,      "--data",       bench->data,       "--commands", endpoints[0],
                               "--ingest",   endpoints[1],   "--test-stream",   endpoints[2], "--notifications",
                               endpoints[3], "--durability", bench->durability, NULL};
    snprintf(bench->endpoint, sizeof bench->endpoint, "%s", endpoints[0]);
    bench->engine = bench->endpoint;
    return process_start(&bench->process, arguments, why);
}

/* What limits a user's disk must not end a measurement. */
static int own_options(bench_t *bench, fault_t *why) {
    reply_t reply = {0};
    msg_options_set_t ask = {.has_recording_size_limit = true,
                             .recording_size_limit = LIMIT_NONE,
                             .has_recording_duration_ms = true,
                             .recording_duration_ms = LIMIT_NONE};
    int result = client_ask(&bench->client, MSG_OPTIONS_SET, &ask, &reply) == STATUS_OK ? 0 : engine_refused(&bench->client, why);
    reply_fini(&reply);
    return result;
}

int engine_start(bench_t *bench, fault_t *why) {
    bool own = !bench->engine;
    if (own && own_start(bench, why) < 0) return -1;
    client_init(&bench->client);
    bench->client.engine = bench->engine;
    return own ? own_options(bench, why) : 0;
}

static int entry_remove(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void engine_stop(bench_t *bench) {
    if (bench->client.engine) client_fini(&bench->client);
    process_stop(&bench->process);
    if (bench->data[0]) nftw(bench->data, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
    bench->data[0] = '\0';
}

/* ---- pipelines ---- */

int engine_run(bench_t *bench, const char *pipeline, int64_t bytes, fault_t *why) {
    static const uint8_t nothing[] = {0x80};
    msg_transform_t transform = {.has_name = true,
                                 .name = PUSH_TAG,
                                 .has_urn = true,
                                 .urn = "reprise:source:push:v1",
                                 .has_payload = true,
                                 .payload = {nothing, sizeof nothing}};
    msg_pipeline_t definition = {.has_name = true, .name = pipeline, .has_transforms = true, .transforms = {1, &transform}};
    msg_pipeline_run_t ask = {.pipeline = pipeline, .pipeline_definition = &definition, .has_limits = true};
    ask.limits = (msg_limits_t){
        .has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = bytes, .has_count = true, .count = LIMIT_NONE};
    reply_t reply = {0};
    int result = 0;
    if (client_ask(&bench->client, MSG_PIPELINE_RUN_ASK, &ask, &reply) != STATUS_OK)
        result = engine_refused(&bench->client, why);
    else if (!((const msg_pipeline_run_answer_t *)reply.message)->started)
        result = fault_set(why, "the engine starts no job for the pipeline %s", pipeline);
    reply_fini(&reply);
    return result;
}

int engine_end(bench_t *bench, const char *pipeline, fault_t *why) {
    reply_t reply = {0};
    msg_job_cancel_t cancel = {.has_pipeline = true, .pipeline = pipeline};
    msg_job_wait_t wait = {.has_pipeline = true, .pipeline = pipeline, .has_timeout_ms = true, .timeout_ms = bench->client.timeout_ms};
    int result = 0;
    if (client_ask(&bench->client, MSG_JOB_CANCEL, &cancel, &reply) != STATUS_OK ||
        client_ask(&bench->client, MSG_JOB_WAIT, &wait, &reply) != STATUS_OK)
        result = engine_refused(&bench->client, why);
    reply_fini(&reply);
    return result;
}

int engine_forget(bench_t *bench, const char *pipeline, fault_t *why) {
    reply_t reply = {0};
    msg_pipeline_forget_t forget = {.pipeline = pipeline};
    if (engine_end(bench, pipeline, why) < 0) return -1;
    int result = client_ask(&bench->client, MSG_PIPELINE_FORGET, &forget, &reply) == STATUS_OK ? 0 : engine_refused(&bench->client, why);
    reply_fini(&reply);
    return result;
}
