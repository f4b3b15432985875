/* reprise-bench: how fast the engine is, each figure beside its raw limit in the same run. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bin/client/units.h"
#include "../bin/library/reprise.h"
#include "bench.h"
#include "outside/outside.h"
#include "peer.h"

typedef struct measurement {
    const char *name, *doc;
    measure_fn *run;
} measurement_t;

static const measurement_t measurements[] = {
    {"record", "Elements recorded a second, beside raw DEALER to ROUTER.", bench_record},
    {"replay", "Elements replayed a second, beside raw ROUTER to DEALER.", bench_replay},
    {"commands", "Round trips of requests, beside a raw REQ/ROUTER echo.", bench_commands},
    {"tail", "From a push to a replay that follows, beside a raw relay.", bench_tail},
    {"limits", "By how much limits are missed, beside the limits.", bench_limits},
    {"recovery", "From kill -9 to ready, beside reading the last segment.", bench_recovery},
    {"memory", "What much at once takes of it, beside what it may take.", bench_memory},
    {"scale", "Processor time an element, from few and small to many and large.", bench_scale},
    {"keys", "An engine with keys, beside one without.", bench_keys},
    {"beam", "Events served to Apache Beam a second, beside Python's grpcio.", bench_beam},
    {"sources", "Elements read of other systems a second, beside their own clients.", bench_sources},
    {"restart", "From a failure to the next answer, beside a raw start.", bench_restart},
    {NULL, NULL, NULL},
};

static const int64_t MIB = INT64_C(1024) * 1024;

enum { ENGINE, KEY, SERVER_KEY, SIZE, BATCH, PRODUCERS, SECONDS, ROUNDS, DURABILITY, CREDIT, BYTES, JSON, HELP };

static const struct option options[] = {
    [ENGINE] = {"engine", required_argument, NULL, ENGINE},
    [KEY] = {"key", required_argument, NULL, KEY},
    [SERVER_KEY] = {"server-key", required_argument, NULL, SERVER_KEY},
    [SIZE] = {"size", required_argument, NULL, SIZE},
    [BATCH] = {"batch", required_argument, NULL, BATCH},
    [PRODUCERS] = {"producers", required_argument, NULL, PRODUCERS},
    [SECONDS] = {"seconds", required_argument, NULL, SECONDS},
    [ROUNDS] = {"rounds", required_argument, NULL, ROUNDS},
    [DURABILITY] = {"durability", required_argument, NULL, DURABILITY},
    [CREDIT] = {"credit", required_argument, NULL, CREDIT},
    [BYTES] = {"bytes", required_argument, NULL, BYTES},
    [JSON] = {"json", no_argument, NULL, JSON},
    [HELP] = {"help", no_argument, NULL, HELP},
    {0},
};

static void help(void) {
    printf("reprise-bench MEASUREMENT [FLAG…]\n"
           "reprise-bench sources [file|kafka|mqtt|nats|redis|zmq …] [FLAG…]\n"
           "Measures an engine, each figure beside the raw limit of the same run.\n\n");
    for (const measurement_t *m = measurements; m->name; m++) printf("  %-12s %s\n", m->name, m->doc);
    printf("\n"
           "  --engine ENDPOINT     Measure the engine whose commands are there. Default:\n"
           "                        one of its own, from the folder that this program is in,\n"
           "                        on free ports and with a data folder that is gone\n"
           "                        afterwards.\n"
           "  --key FILE            Your key, where that engine has keys. Default:\n"
           "                        $REPRISE_KEY.\n"
           "  --server-key KEY      Its public key, or the file. Default:\n"
           "                        $REPRISE_SERVER_KEY.\n"
           "  --size BYTES          An element's payload. Default: 100.\n"
           "  --batch N             Elements a message; 1 is unbatched. Default: record\n"
           "                        measures 1, 64 and 256 KiB; limits, recovery and scale\n"
           "                        64.\n"
           "  --producers N         Producers that feed at once. Default: 1.\n"
           "  --seconds S           How long each measurement of a round lasts. Default: 1.\n"
           "  --rounds N            How often each is measured, the two in turn. Default: 5.\n"
           "  --durability POLICY   Of its own engine: async, interval (default) or sync.\n"
           "  --credit BYTES        What may be on its way: `4MiB` by default, or what the\n"
           "                        engine allows if that is less.\n"
           "  --bytes BYTES         recovery, scale: the largest recording. Default: 10GB, or\n"
           "                        a third of what is free on the disk if that is less.\n"
           "  --json                One JSON document.\n"
           "  --help                Print this.\n\n"
           "A line is a figure: the median of the rounds, its peer's, the median of their\n"
           "ratios, and the least and greatest of these. Nothing is judged: the machine\n"
           "decides the figures, and a ratio means what both sides had of it.\n");
}

static int wrong(const char *flag, const char *value) {
    fprintf(stderr, "reprise-bench: --%s: `%s` will not do\n", flag, value);
    return -1;
}

static int count_read(const char *flag, const char *text, int64_t least, int64_t most, int64_t *ret_count) {
    fault_t why;
    int64_t count;
    if (units_parse_bytes(text, &count, &why) < 0 || count < least || count > most) return wrong(flag, text);
    *ret_count = count;
    return 0;
}

static int seconds_read(const char *text, double *ret_seconds) {
    char *end;
    double seconds = strtod(text, &end);
    if (*end || end == text || !(seconds > 0 && seconds <= 3600)) return wrong(options[SECONDS].name, text);
    *ret_seconds = seconds;
    return 0;
}

static int flag_read(bench_t *bench, int flag, const char *value, bool *ret_help) {
    switch (flag) {
    case ENGINE: bench->engine = value; return 0;
    case KEY: bench->key = value; return 0;
    case SERVER_KEY: bench->server_key = value; return 0;
    case SIZE: return count_read(options[flag].name, value, 0, MIB, &bench->size);
    case BATCH: return count_read(options[flag].name, value, 1, MIB, &bench->batch);
    case PRODUCERS: return count_read(options[flag].name, value, 1, 64, &bench->producers);
    case SECONDS: return seconds_read(value, &bench->seconds);
    case ROUNDS: return count_read(options[flag].name, value, 1, ROUNDS_MAX, &bench->rounds);
    case DURABILITY: bench->durability = value; return 0;
    case CREDIT: return count_read(options[flag].name, value, 1, 1024 * MIB, &bench->credit);
    case BYTES: return count_read(options[flag].name, value, MIB, INT64_C(1024) * 1024 * MIB, &bench->bytes);
    case JSON: bench->json = true; return 0;
    case HELP: *ret_help = true; return 0;
    default: return -1;
    }
}

static int measure(bench_t *bench, const measurement_t *measurement) {
    fault_t why;
    bench->figures = json_array();
    int result = engine_start(bench, &why);
    if (result == 0) result = measurement->run(bench, &why);
    engine_stop(bench);
    if (result < 0)
        fprintf(stderr, "reprise-bench: %s\n", why.text);
    else
        figures_finish(bench, measurement->name);
    json_decref(bench->figures);
    return result < 0 ? 1 : 0;
}

int main(int count, char **arguments) {
    reprise_keep_buffers(); /* and in the raw peers, which are this program as well */
    if (count == 4 && strcmp(arguments[1], "kafka") == 0) return outside_kafka_main(arguments[2], arguments[3]);
    if (count == 4 && strcmp(arguments[1], "peer") == 0) return peer_main(arguments[2], arguments[3]);
    bench_t bench = {.durability = "interval", .size = 100, .producers = 1, .rounds = 5, .credit = 4 * MIB, .seconds = 1};
    bool wants_help = false;
    for (int flag; (flag = getopt_long(count, arguments, "", options, NULL)) != -1;)
        if (flag_read(&bench, flag, optarg, &wants_help) < 0) return 2;
    if (wants_help) {
        help();
        return 0;
    }
    bench.only = arguments + optind + (count > optind);
    if (count - optind == 1 || (count > optind && strcmp(arguments[optind], "sources") == 0))
        for (const measurement_t *m = measurements; m->name; m++)
            if (strcmp(m->name, arguments[optind]) == 0) return measure(&bench, m);
    fprintf(stderr, "reprise-bench: name one measurement: record, replay, commands, tail, limits, recovery, memory, scale, keys, beam, "
                    "sources or restart "
                    "(`reprise-bench --help`)\n");
    return 2;
}
