/* The engine that is measured: one that runs already, or one of its own, on free ports and a data folder that is gone afterwards. Its own can
 * also be killed and started again on what it left. */
#include <arpa/inet.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

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
int ports_find(int *ret_ports, int count, fault_t *why) {
    enum { FIRST = 12000, LAST = 32000 };
    int found = 0, port = FIRST + (int)(getpid() * 31L % (LAST - FIRST));
    for (int i = 0; i < LAST - FIRST && found < count; i++, port = port < LAST ? port + 1 : FIRST)
        if (port_free(port)) ret_ports[found++] = port;
    return found == count ? 0 : fault_set(why, "there are no %d free ports from %d to %d", count, FIRST, LAST);
}

/* Alone, so that its process is the one that is started and killed. */
static const char *const modes[] = {
    [ENGINE_ALONE] = "--no-guard", [ENGINE_CHAOS] = "--chaos", [ENGINE_GUARDED] = "--crashes=10", [ENGINE_BEAM] = "--no-guard"};

static void program_find(const char *name, char ret_path[4096 + 16]) {
    process_folder(ret_path, 4096);
    strcat(ret_path, "/");
    strcat(ret_path, name);
}

static int key_make(const char *path, const char *permission, char ret_public[64], fault_t *why) {
    char program[4096 + 16];
    process_t keygen = {0};
    program_find("reprise", program);
    const char *arguments[] = {program, "keygen", path, "--permission", permission, NULL};
    int result = process_start(&keygen, arguments, why);
    if (result == 0) snprintf(ret_public, 64, "%.40s", keygen.line);
    process_stop(&keygen);
    return result;
}

/* The engine's key and ours, as `reprise keygen` makes them. */
static int own_keys(bench_t *bench, fault_t *why) {
    char clients[128], server[128], ours[120], name[160], given[160], unused[64];
    snprintf(bench->keys, sizeof bench->keys, "%s/keys", bench->data);
    snprintf(clients, sizeof clients, "%s/clients", bench->keys);
    snprintf(server, sizeof server, "%s/server", bench->keys);
    snprintf(ours, sizeof ours, "%s/bench", bench->keys);
    snprintf(name, sizeof name, "%s.pub", ours);
    snprintf(given, sizeof given, "%s/bench.pub", clients);
    if (mkdir(bench->keys, 0700) < 0 || mkdir(clients, 0700) < 0) return fault_errno(why, "cannot create the folder %s", clients);
    if (key_make(server, "admin", bench->own_server_key, why) < 0 || key_make(ours, "admin", unused, why) < 0) return -1;
    if (rename(name, given) < 0) return fault_errno(why, "cannot move the key %s", name);
    snprintf(bench->own_key, sizeof bench->own_key, "%s.key", ours);
    bench->key = bench->own_key;
    bench->server_key = bench->own_server_key;
    return 0;
}

static int own_launch(bench_t *bench, fault_t *why) {
    char program[4096 + 16], endpoints[ENGINE_PORTS][64];
    program_find("reprised", program);
    for (int i = 0; i < ENGINE_PORTS; i++) snprintf(endpoints[i], sizeof endpoints[i], "tcp://127.0.0.1:%d", bench->ports[i]);
    const char *arguments[] = {program,
                               "--data",
                               bench->data,
                               "--commands",
                               endpoints[0],
                               "--ingest",
                               endpoints[1],
                               "--test-stream",
                               endpoints[2],
                               "--notifications",
                               endpoints[3],
                               "--durability",
                               bench->durability,
                               "--beam",
                               bench->mode == ENGINE_BEAM ? endpoints[4] : "off",
                               modes[bench->mode],
                               bench->keyed ? "--keys" : NULL,
                               bench->keys,
                               NULL};
    return process_start(&bench->process, arguments, why);
}

static int own_start(bench_t *bench, fault_t *why) {
    const char *folder = getenv("TMPDIR");
    if (ports_find(bench->ports, ENGINE_PORTS, why) < 0) return -1;
    snprintf(bench->data, sizeof bench->data, "%.40s/reprise-bench-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(bench->data)) {
        fault_errno(why, "cannot create the folder %s", bench->data);
        bench->data[0] = '\0';
        return -1;
    }
    snprintf(bench->endpoint, sizeof bench->endpoint, "tcp://127.0.0.1:%d", bench->ports[0]);
    bench->engine = bench->endpoint;
    unsetenv("REPRISE_KEY"); /* they are for another engine */
    unsetenv("REPRISE_SERVER_KEY");
    bench->key = bench->server_key = NULL;
    if (bench->keyed && own_keys(bench, why) < 0) return -1;
    return own_launch(bench, why);
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

void engine_client(const bench_t *bench, client_t *ret_client) {
    client_init(ret_client);
    ret_client->engine = bench->engine;
    ret_client->key = bench->key;
    ret_client->server_key = bench->server_key;
}

int engine_start(bench_t *bench, fault_t *why) {
    bool own = !bench->engine;
    if (own && own_start(bench, why) < 0) return -1;
    engine_client(bench, &bench->client);
    return own ? own_options(bench, why) : 0;
}

int engine_own(const bench_t *bench, const char *measurement, fault_t *why) {
    return bench->data[0] ? 0 : fault_set(why, "%s measures an engine of its own: it cannot be told --engine", measurement);
}

int64_t engine_room(const bench_t *bench) {
    const int64_t usual = INT64_C(10) * 1000 * 1000 * 1000;
    struct statvfs disk;
    if (bench->bytes) return bench->bytes;
    if (statvfs(bench->data, &disk) < 0) return usual;
    int64_t third = (int64_t)(disk.f_bavail * disk.f_frsize / 3);
    return third < usual ? third : usual;
}

void engine_kill(bench_t *bench) {
    must(bench->data[0]);
    client_fini(&bench->client);
    process_kill(&bench->process);
    engine_client(bench, &bench->client);
}

int engine_again(bench_t *bench, fault_t *why) {
    return own_launch(bench, why);
}

int engine_exchange(bench_t *bench, engine_mode_t mode, fault_t *why) {
    must(bench->data[0]);
    client_fini(&bench->client);
    process_stop(&bench->process);
    engine_client(bench, &bench->client);
    bench->mode = mode;
    return own_launch(bench, why);
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

/* ---- what it takes ---- */

int engine_process(bench_t *bench, pid_t *ret_id, fault_t *why) {
    static const msg_engine_info_t ask;
    reply_t reply = {0};
    int result = 0;
    if (client_ask(&bench->client, MSG_ENGINE_INFO, &ask, &reply) == STATUS_OK)
        *ret_id = (pid_t)((const msg_engine_t *)reply.message)->pid;
    else
        result = engine_refused(&bench->client, why);
    reply_fini(&reply);
    return result;
}

int engine_memory(pid_t id, double *ret_mib, fault_t *why) {
    static const char anonymous[] = "Anonymous:";
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)id);
    FILE *file = fopen(path, "r");
    if (!file) return fault_errno(why, "cannot read the engine's memory in %s", path);
    while (kib < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, anonymous, sizeof anonymous - 1) == 0) kib = strtol(line + sizeof anonymous - 1, NULL, 10);
    fclose(file);
    if (kib < 0) return fault_set(why, "%s does not say what is anonymous", path);
    *ret_mib = (double)kib / 1024;
    return 0;
}

int64_t engine_busy_ns(pid_t id) {
    clockid_t clock;
    struct timespec busy;
    if (clock_getcpuclockid(id, &clock) != 0 || clock_gettime(clock, &busy) < 0) return 0;
    return (int64_t)busy.tv_sec * 1000000000 + busy.tv_nsec;
}

/* ---- pipelines ---- */

void engine_tag(int64_t source, char ret_tag[TAG_MAX]) {
    snprintf(ret_tag, TAG_MAX, source == 0 ? "%s" : "%s-%lld", PUSH_TAG, (long long)source);
}

int engine_run_with(bench_t *bench, const char *pipeline, int64_t sources, const msg_limits_t *limits, fault_t *why) {
    char(*tags)[TAG_MAX] = calloc((size_t)sources, sizeof *tags);
    uint8_t(*payloads)[5] = calloc((size_t)sources, sizeof *payloads); /* a number, so that each is a source of its own */
    msg_transform_t *transforms = calloc((size_t)sources, sizeof *transforms);
    must(tags && payloads && transforms);
    for (int64_t i = 0; i < sources; i++) {
        const uint8_t payload[] = {0x81, 0xa1, 'n', 0xcc, (uint8_t)i};
        engine_tag(i, tags[i]);
        memcpy(payloads[i], payload, sizeof payload);
        transforms[i] = (msg_transform_t){.has_name = true,
                                          .name = tags[i],
                                          .has_urn = true,
                                          .urn = "reprise:source:push:v1",
                                          .has_payload = true,
                                          .payload = {payloads[i], sizeof payload}};
    }
    msg_pipeline_t definition = {.has_name = true, .name = pipeline, .has_transforms = true, .transforms = {(size_t)sources, transforms}};
    msg_pipeline_run_t ask = {.pipeline = pipeline, .pipeline_definition = &definition, .has_limits = true, .limits = *limits};
    reply_t reply = {0};
    int result = 0;
    if (client_ask(&bench->client, MSG_PIPELINE_RUN_ASK, &ask, &reply) != STATUS_OK)
        result = engine_refused(&bench->client, why);
    else if (!((const msg_pipeline_run_answer_t *)reply.message)->started)
        result = fault_set(why, "the engine starts no job for the pipeline %s", pipeline);
    reply_fini(&reply);
    free(transforms);
    free(payloads);
    free(tags);
    return result;
}

int engine_run(bench_t *bench, const char *pipeline, int64_t bytes, fault_t *why) {
    const msg_limits_t limits = {
        .has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = bytes, .has_count = true, .count = LIMIT_NONE};
    return engine_run_with(bench, pipeline, 1, &limits, why);
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
