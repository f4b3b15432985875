/* What every measurement is given: the engine, the wishes of the command line, and where its figures go. */
#ifndef REPRISE_BENCH_H
#define REPRISE_BENCH_H

#include <jansson.h>

#include "../bin/client/client.h"
#include "process.h"

enum { ROUNDS_MAX = 99, ENGINE_PORTS = 5, TAG_MAX = 24, SOURCES_MAX = 256 };

/* How its own engine is started: without a guard; with one, and to be made to fail; with one; without, and serving Apache Beam, too. */
typedef enum engine_mode { ENGINE_ALONE, ENGINE_CHAOS, ENGINE_GUARDED, ENGINE_BEAM } engine_mode_t;

typedef struct bench {
    const char *engine;           /* NULL: one of its own */
    const char *key, *server_key; /* ours and the engine's, where that has keys; NULL: as the environment says */
    const char *durability;       /* of its own engine */
    int64_t size;                 /* bytes of an element's payload */
    int64_t batch;                /* elements; 0: each of the usual sizes */
    int64_t producers, rounds, credit;
    int64_t bytes;  /* of the largest recording; 0: 10 GB, or what the disk has room for */
    double seconds; /* of one measurement in one round */
    bool json;
    process_t process; /* its own engine */
    engine_mode_t mode;
    bool keyed;    /* its own engine has keys, */
    char keys[96]; /* in this folder */
    char own_key[128], own_server_key[64];
    char data[64]; /* and that one's data folder; empty: none */
    int ports[ENGINE_PORTS];
    char endpoint[128];
    char *const *only; /* sources: of these alone; ends with NULL */
    json_t *figures;
    client_t client;
} bench_t;

int64_t clock_ns(void);

/* ---- engine.c ---- */
int ports_find(int *ret_ports, int count, fault_t *why); /* free ones, of the loopback */
int engine_start(bench_t *bench, fault_t *why);
/* A client of it, with the keys that it wants. */
void engine_client(const bench_t *bench, client_t *ret_client);
void engine_stop(bench_t *bench);
/* Fails where the engine is not its own. */
int engine_own(const bench_t *bench, const char *measurement, fault_t *why);
/* How large the largest recording is to be, on its own engine's disk. */
int64_t engine_room(const bench_t *bench);
/* Its own engine, by SIGKILL; and started again on the same folder and ports. */
void engine_kill(bench_t *bench);
int engine_again(bench_t *bench, fault_t *why);
/* Ends its own engine in order, and starts it in another mode. */
int engine_exchange(bench_t *bench, engine_mode_t mode, fault_t *why);
/* Of the engine's process, where that is on this machine: its id, its anonymous memory, its time on the processor so far (0: not known). */
int engine_process(bench_t *bench, pid_t *ret_id, fault_t *why);
int engine_memory(pid_t id, double *ret_mib, fault_t *why);
int64_t engine_busy_ns(pid_t id);
/* Runs a new pipeline with push sources: `Feed`, `Feed-1`, … */
int engine_run_with(bench_t *bench, const char *pipeline, int64_t sources, const msg_limits_t *limits, fault_t *why);
void engine_tag(int64_t source, char ret_tag[TAG_MAX]);
/* The same with one. `bytes`: the job's limit. */
int engine_run(bench_t *bench, const char *pipeline, int64_t bytes, fault_t *why);
/* Ends its job and waits for that; the recording stays. */
int engine_end(bench_t *bench, const char *pipeline, fault_t *why);
/* Ends its job and forgets it with its recording. */
int engine_forget(bench_t *bench, const char *pipeline, fault_t *why);
/* Tells why a client's request failed. */
int engine_refused(const client_t *client, fault_t *why);

#define PUSH_TAG "Feed"

/* ---- figures.c ---- */
typedef struct figure {
    const char *name, *what;                      /* "record.unbatched", "one element a message" */
    const char *unit, *peer;                      /* "elements/s", "raw libzmq" */
    double values[ROUNDS_MAX], peers[ROUNDS_MAX]; /* side by side, a pair a round */
    double per_unit;                              /* MB of one of the unit; 0: makes no sense */
} figure_t;
/* Prints the medians, and the median of the rounds' ratios. */
void figure_print(bench_t *bench, const figure_t *figure);
/* Where a person watches, says what is being measured. */
void figure_progress(const bench_t *bench, const char *what, int64_t round);
void figures_finish(bench_t *bench, const char *command);

/* Sorts `samples` and gives the one that `part` of them are not above. */
double samples_part(double *samples, size_t count, double part);

/* ---- one round of some, for another measurement ---- */
/* Elements a second of a recording of its own, in batches of so many. */
int record_rate(bench_t *bench, int64_t batch, double *ret_elements_per_s, fault_t *why);
/* Elements a second of replays of a recording that replay_make made for a pipeline. `singles`: with a record for each element. */
int replay_make(bench_t *bench, const char *pipeline, bool singles, fault_t *why);
int replay_rate(bench_t *bench, const char *pipeline, double *ret_elements_per_s, fault_t *why);
/* `engine.info`, asked of one and of another in turn. */
int commands_compare(bench_t *bench, const bench_t *other, const char *peer, fault_t *why);

/* ---- the measurements ---- */
typedef int measure_fn(bench_t *bench, fault_t *why);
measure_fn bench_record, bench_replay, bench_commands, bench_tail, bench_limits, bench_recovery, bench_memory, bench_scale, bench_restart,
    bench_keys, bench_beam, bench_sources;

#endif
