/* What is outside the engine and has a stream to be read: how it is started and filled, what its own client library alone reads of it, and what the
 * engine's connector is told to read the same. One file a system. */
#ifndef REPRISE_BENCH_OUTSIDE_H
#define REPRISE_BENCH_OUTSIDE_H

#include <msgpack.h>

#include "../bench.h"

/* Counts from the first that come on, so that what connecting takes is on neither side. */
typedef struct meter {
    double seconds;
    int64_t most;  /* there are no more; 0: they go on */
    int64_t first; /* that came at first */
    int64_t count; /* after them */
    int64_t began, last;
    int64_t pending; /* not looked at the clock for yet */
} meter_t;

/* So many more have come. False: that was enough. */
bool meter_add(meter_t *meter, int64_t count);
/* The same where they come one by one. */
static inline bool meter_one(meter_t *meter) {
    if (++meter->pending < 256 && meter->began) return true;
    int64_t count = meter->pending;
    meter->pending = 0;
    return meter_add(meter, count);
}

typedef struct outside {
    const bench_t *bench;
    int64_t elements;  /* that are there to be read; 0: they come without end, as fast as they are taken */
    char server[64];   /* where: "127.0.0.1:6379" */
    char folder[64];   /* of the server's; empty: none */
    process_t process; /* the server */
    void *own;         /* the system's own */
} outside_t;

typedef struct outside_kind {
    const char *name; /* as the measurement calls it, and the connector's URN */
    const char *what, *peer;
    int (*open)(outside_t *outside, fault_t *why);
    /* Its own client library, until the meter has enough. */
    int (*read)(outside_t *outside, meter_t *meter, fault_t *why);
    /* Packs the connector's payload. */
    void (*pack)(const outside_t *outside, msgpack_packer *packer);
    void (*close)(outside_t *outside); /* also one that was not opened whole */
} outside_kind_t;

extern const outside_kind_t outside_file, outside_kafka, outside_mqtt, outside_nats, outside_redis, outside_zmq;

/* ---- for the kinds ---- */

/* How many elements are enough, where as many as `a_second` may be read in a second; but not more than for three seconds. */
int64_t outside_enough(const outside_t *outside, int64_t a_second);
/* Starts a program that listens at `outside->server` from then on; the first argument is its name, and what it says goes to a file in its folder. */
int outside_start(outside_t *outside, const char *const *arguments, fault_t *why);
/* A folder for it, and a port. */
int outside_prepare(outside_t *outside, int *ret_port, fault_t *why);
void outside_stop(outside_t *outside);
void outside_pack_text(msgpack_packer *packer, const char *key, const char *value);

/* A process of its own, as Kafka in memory; does not return. */
int outside_kafka_main(const char *size, const char *count);

#endif
