/* What a Kafka cluster has: which partitions its topics have, and where each begins and ends. librdkafka answers this only while its caller
 * waits, for seconds where a broker is gone. So a thread asks, which ends with the client it asks through: tearing one down may have to wait,
 * too, for a connection that is being made. */
#ifndef REPRISE_KAFKA_SCOUT_H
#define REPRISE_KAFKA_SCOUT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../messages/fault.h"

typedef struct kafka_scout kafka_scout_t;

enum {
    KAFKA_END,   /* after the last message */
    KAFKA_BEGIN, /* of the first one that is there */
    KAFKA_THEN,  /* of the first one that is not older than the time that is asked for; the end where there is none */
    KAFKA_OFFSETS,
};

/* One partition, or with `partition` -1 what is wrong with a topic. */
typedef struct kafka_sight {
    uint32_t topic; /* its index */
    int32_t partition;
    rd_kafka_resp_err_t error;      /* then its offsets are not known */
    int64_t offsets[KAFKA_OFFSETS]; /* 0 to INT64_MAX - 1 */
} kafka_sight_t;

typedef struct kafka_report {
    rd_kafka_resp_err_t error; /* nothing is known */
    const kafka_sight_t *sights;
    uint32_t count;
} kafka_report_t;

/* Takes over `client` and the handles of its topics, also where it fails. Whoever has the scout may use them until it is destroyed. `time_ms`:
 * since the epoch; < 0: no time is asked for. */
kafka_scout_t *kafka_scout_create(rd_kafka_t *client, rd_kafka_topic_t **topics, uint32_t count, int64_t time_ms, fault_t *why);
/* Returns at once. All that the client was asked to read must have been stopped. */
void kafka_scout_destroy(kafka_scout_t **scout);

/* Readable when there may be a report. */
int kafka_scout_descriptor(const kafka_scout_t *scout);
/* Has it look; while it does, nothing. */
void kafka_scout_look(kafka_scout_t *scout);
/* The report, once it is whole; valid until the next look. */
bool kafka_scout_hear(kafka_scout_t *scout, kafka_report_t *ret_report);

#endif
