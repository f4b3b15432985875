/* A reel: one recording while it is being written. It stands between the batches that arrive and the journal: it keeps each producer's
 * place, joins small batches of a stream into one record and records into one write, cuts at the budget, and derives each stream's watermark.
 *
 * It knows no actor and no clock: `ticks` are given to it. Not thread-safe. */
#ifndef REPRISE_REEL_H
#define REPRISE_REEL_H

#include "gathered.h"

enum {
    REEL_SMALL = 64 * 1024,     /* a batch below this is copied and joined with others */
    REEL_RESERVE = 1024,        /* kept back for what a recovery has to say */
    REEL_PRODUCERS_MAX = 10000, /* of one recording */
    REEL_BUCKETS = 1024,
};

/* A producer of one stream, known since it first attached or since the journal was opened. */
typedef struct reel_producer {
    struct reel_producer *next;   /* in its bucket */
    struct reel_producer *beside; /* of its stream */
    char *name;
    uint32_t stream;
    size_t gathered;  /* its mark in what is gathered; 0: all that it sent is appended */
    bool anonymous;   /* its name, which begins with ~, was made here: it cannot come back */
    bool attached;    /* something feeds it now */
    bool cut;         /* batch `seq` was cut: it is not acknowledged */
    uint64_t seq;     /* the last batch dealt with; gathered ones included */
    int64_t accepted; /* elements taken of batch `seq`; -1: not known */
    uint8_t *cursor;  /* the position that came last: a msgpack value */
    size_t cursor_size, cursor_room;
    bool has_watermark;
    int64_t watermark;
} reel_producer_t;

typedef struct reel_lane {
    bool watermark_due; /* a producer's has changed, or a producer came or went */
    bool has_promised;
    int64_t promised;              /* its last watermark that is in the journal, or among what is gathered */
    reel_producer_t *producers;    /* of this stream */
    const reel_producer_t *newest; /* whose cursor came last */
} reel_lane_t;

typedef struct reel_budget {
    int64_t elements, bytes, total; /* LIMIT_NONE: any number; `total`: bytes of all recordings together */
    int64_t until;                  /* INT64_MAX: any time */
} reel_budget_t;

/* What all recordings together have and may need: each reel keeps its own share in it up to date. */
typedef struct reel_ledger {
    int64_t held;
} reel_ledger_t;

typedef struct reel {
    journal_t *journal;
    reel_lane_t *lanes; /* one per stream */
    reel_producer_t **producers;
    size_t producers_count, producers_room;
    reel_producer_t *buckets[REEL_BUCKETS]; /* the same, by name */
    gathered_t *gathered;                   /* NULL: nothing waits */
    reel_budget_t budget;
    reel_ledger_t *ledger;
    int64_t held;                /* its share in the ledger */
    int64_t waiting_cost;        /* what the gathered will cost at most */
    int64_t keep;                /* bytes that only closing records may use */
    int64_t header_cost;         /* of a segment's header, at most */
    int64_t base_at, base_ticks; /* `at` = base_at + ticks since */
    const char *spent;           /* the limit that was reached: `count`, `bytes`, `duration`; NULL: none */
    bool broken;                 /* an append failed: nothing more is taken */
    char *folder;
    uint64_t segment; /* the last one seen, to notice that a new one was begun */
    char *segment_path;
    char **finished_paths; /* segments that were left behind, by an earlier process too, and may not be on the disk yet */
    size_t finished_count;
} reel_t;

/* `now` and `ticks`: the time, on both clocks. The reel has no budget yet. */
reel_t *reel_create(const char *folder, const msg_manifest_t *manifest, int64_t now, int64_t ticks, int64_t segment_bytes,
                    reel_ledger_t *ledger, fault_t *why);
/* As journal_open. */
reel_t *reel_open(const char *folder, int64_t now, int64_t ticks, int64_t segment_bytes, reel_ledger_t *ledger, uint64_t *ret_torn,
                  fault_t *why);
void reel_close(reel_t **reel); /* gives its share in the ledger back; what was gathered is lost */

/* The clock goes on from `now`, or from the last record where that is later. */
void reel_set_clock(reel_t *reel, int64_t now, int64_t ticks);
/* The time of a record written now: never after the budget's end. */
int64_t reel_at(const reel_t *reel, int64_t ticks);
/* Counted from the recording's beginning. Sets `spent` where it is already reached. */
int reel_set_budget(reel_t *reel, const reel_budget_t *budget, int64_t ticks, fault_t *why);

/* The producer of that name; NULL: there is none. And made where it is new; NULL where there are too many. */
reel_producer_t *reel_producer_find(const reel_t *reel, uint32_t stream, const char *name);
reel_producer_t *reel_producer(reel_t *reel, uint32_t stream, const char *name);
/* The cursor to go on from: the producer's own, or the newest of its stream; size 0: none. */
bytes_t reel_cursor(const reel_t *reel, const reel_producer_t *producer);
/* Somebody feeds it now, or nobody any more: the stream's watermark may depend on it. One that cannot come back and left nothing behind
 * is gone after reel_detach. */
void reel_attach(reel_t *reel, reel_producer_t *producer);
void reel_detach(reel_t *reel, reel_producer_t *producer);
/* true: it takes nothing more. */
bool reel_is_sealed(const reel_t *reel);
/* With so many bytes a recording of that many streams takes one small element, what is kept back for its end included. */
int64_t reel_least(size_t streams);

typedef struct reel_batch {
    uint64_t seq; /* the producer's next */
    uint32_t count;
    bytes_t body;   /* checked */
    bytes_t cursor; /* size 0: none */
    bool has_watermark;
    int64_t watermark;
    const char *gap; /* what was lost before it; NULL: nothing */
    int64_t lost_us; /* < 0: not known */
} reel_batch_t;

/* Takes a batch, its gap first, as much of it as the budget allows: the producer's `seq` and `accepted` say how much. Where none of it fits,
 * its gap is left out, too. `spent` is set when a limit was reached by it. -1: the journal failed, and the reel is broken. Not for a reel that
 * is spent or broken. */
int reel_put(reel_t *reel, reel_producer_t *producer, const reel_batch_t *batch, int64_t ticks, fault_t *why);

/* Appends what was gathered. */
int reel_flush(reel_t *reel, int64_t ticks, fault_t *why);
int reel_gap(reel_t *reel, const char *what, int64_t lost_us, int64_t ticks, fault_t *why);
int reel_end_stream(reel_t *reel, uint32_t stream, int64_t ticks, fault_t *why);
/* Appends what was gathered, the watermarks that are due, and the closing record; for a broken reel the closing record alone. */
int reel_end(reel_t *reel, int64_t ticks, fault_t *why);

#endif
