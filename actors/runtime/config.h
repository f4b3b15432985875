/* The configuration that the process started with: set before any actor exists, and constant from then on. */
#ifndef REPRISE_CONFIG_H
#define REPRISE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum endpoint_id {
    ENDPOINT_COMMANDS,
    ENDPOINT_INGEST,
    ENDPOINT_TEST_STREAM,
    ENDPOINT_NOTIFICATIONS,
    ENDPOINT_COUNT,                     /* those before are open to the outside, and configured; those that follow are not */
    ENDPOINT_PROGRESS = ENDPOINT_COUNT, /* the recorder tells the job supervisor how far recordings are */
    ENDPOINT_ZAP,                       /* libzmq asks there who may connect */
    ENDPOINTS_ALL
} endpoint_id_t;

typedef enum durability { DURABILITY_ASYNC, DURABILITY_INTERVAL, DURABILITY_SYNC } durability_t;

typedef struct config {
    char data[4096];                      /* the data folder */
    char endpoints[ENDPOINT_COUNT][512];  /* ZeroMQ endpoints, as they are bound */
    char beam[512];                       /* where Apache Beam calls, "host:port"; empty: nowhere */
    int32_t beam_first, beam_last;        /* the ports for pipelines, each of its own, at the same host; 0: none */
    char beam_cert[4096], beam_key[4096]; /* files in PEM: with them Beam's callers must speak TLS; empty: none */
    char beam_ca[4096];                   /* and these must have signed a caller's certificate; empty: callers need none */
    char bindings[16384];                 /* the sections within `bind`, in ZPL: what runs sources of other systems */
    durability_t durability;
    char keys[4096];       /* the folder of keys; empty: none are needed */
    char secret[41];       /* the engine's own, in Z85 */
    bool chaos;            /* accept chaos.* */
    bool insecure;         /* other machines may reach what nothing guards */
    bool guarded;          /* a guard restarts it when it crashes */
    int64_t crashes_max;   /* in a minute, which the guard bears */
    int64_t started;       /* when the process started, µs since the epoch; also its boot id */
    int64_t heartbeat_ms;  /* a connection that is silent for so long is closed; 0: never */
    int64_t memory_max;    /* bytes of memory that the engine may have of its own; 0: no bound */
    int64_t segment_bytes; /* a segment's size: 128 MiB, less in tests */
} config_t;

#endif
