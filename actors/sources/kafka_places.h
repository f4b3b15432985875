/* Where a Kafka source is: of each partition that it reads, the offset that comes next. The cursor of a recording holds all of them; what begins
 * where, and what may be lost, follows from it and from what the cluster has. Nothing here speaks with anybody. */
#ifndef REPRISE_KAFKA_PLACES_H
#define REPRISE_KAFKA_PLACES_H

#include <msgpack.h>

#include "kafka_scout.h"

#include "../../messages/codec.h"

enum { KAFKA_UNKNOWN = -1, KAFKA_PARTITIONS_MAX = 100000 };

typedef struct kafka_partition {
    int64_t next;  /* offset of the next message; KAFKA_UNKNOWN: not known yet */
    int64_t first; /* where it began, when nothing was recorded */
    int64_t end;   /* what is before it is read, and no more; KAFKA_UNKNOWN: there is no end */
    bool wanted;   /* the payload asks for it, and it was seen */
    bool reading;
    bool over; /* its end was reached */
    bool lost; /* the broker has no message at `next`: see kafka_places_mend */
    size_t lane;
} kafka_partition_t;

typedef struct kafka_topic {
    char *name;
    kafka_partition_t *partitions; /* by their numbers */
    int32_t count;
} kafka_topic_t;

typedef enum kafka_from { KAFKA_FROM_EARLIEST, KAFKA_FROM_LATEST, KAFKA_FROM_TIME, KAFKA_FROM_OFFSETS } kafka_from_t;

typedef struct kafka_range {
    int64_t first, last;
} kafka_range_t;

typedef struct kafka_offset {
    uint32_t topic;
    int32_t partition;
    int64_t offset;
} kafka_offset_t;

typedef struct kafka_places {
    kafka_topic_t *topics;
    uint32_t count;
    kafka_range_t *ranges; /* of the partitions that are read; none: all */
    size_t ranges_count;
    kafka_from_t from;
    int64_t time_ms;         /* since the epoch */
    kafka_offset_t *offsets; /* that are given one by one */
    size_t offsets_count;
    bool until_end; /* what was there in the beginning is read, and no more */
    bool begun;     /* where it all begins is known, or recorded: a partition that is seen first now is new */
    size_t lanes;
    msgpack_sbuffer cursor;
} kafka_places_t;

/* The fields of a payload; NULL: not given. */
typedef struct kafka_given {
    const char *topics, *partitions, *from, *until;
} kafka_given_t;

/* `places` is to be finished even after a failure, which names the field. */
int kafka_places_init(kafka_places_t *places, const char *urn, const kafka_given_t *given, fault_t *why);
void kafka_places_fini(kafka_places_t *places);

/* NULL: it is not known, or not read. */
kafka_partition_t *kafka_places_at(const kafka_places_t *places, uint32_t topic, int32_t partition);

/* The cursor with all that is known; valid until the next call. */
bytes_t kafka_places_cursor(kafka_places_t *places);
/* Goes back to a cursor, or of size 0 to the beginning. */
int kafka_places_resume(kafka_places_t *places, const char *urn, bytes_t cursor, fault_t *why);

/* Takes a look at the cluster in: partitions that are new, where they begin, and with `until_end` where they end. Where something is missing,
 * and nothing may begin without it, `missing` says what; otherwise it is empty. -1: it will not come, and `missing` says why. */
int kafka_places_see(kafka_places_t *places, const kafka_report_t *report, fault_t *missing);

/* Goes on where it can with a partition that is lost, or whose end is gone, and says what is missing. False where nothing is. */
bool kafka_places_mend(const kafka_places_t *places, const kafka_sight_t *sight, fault_t *why);

/* Have all partitions come to their ends? */
bool kafka_places_over(const kafka_places_t *places);

#endif
