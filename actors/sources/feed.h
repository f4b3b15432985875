/* The ingest client that every source inside the engine stands on. It speaks with the recorder as a source outside would: it attaches,
 * numbers its batches, keeps within its credit, attaches again where the recorder lost it, and tells its source from where to go on.
 *
 * A source's state begins with its feed_t, so that the feed's handlers serve for every source: its class takes FEED_TAKES, sends
 * FEED_SENDS and has the door FEED_DOOR. */
#ifndef REPRISE_FEED_H
#define REPRISE_FEED_H

#include "../runtime/actor.h"
#include "coder.h"

enum {
    FEED_BATCH_BYTES = 256 * 1024,       /* a batch is sent when it has these, or half of its credit */
    FEED_BATCH_ELEMENTS = 4096,          /* or these */
    FEED_ELEMENT_MAX = 15 * 1024 * 1024, /* bytes of one element: a batch with it is still a message that the engine takes */
    FEED_GAP_MAX = 1000,                 /* bytes of what a gap says */
    FEED_UNACKED_MAX = 1024,             /* batches that are not acknowledged, whatever the credit is: with so many there is no room */
};

/* What a source is to its feed. `state` is the source's. */
typedef struct feed_source {
    const char *urn;
    /* Attached: go on after `cursor`, the one that came with the last batch that is recorded; of size 0: from the beginning. Whatever was
     * produced after it was not recorded and must come again. Called at every attachment. */
    int (*resume)(void *state, bytes_t cursor, fault_t *why);
    /* There is room: produce while feed_room. Called after resume, and when room has come back. */
    int (*produce)(void *state, fault_t *why);
    /* Nothing more is taken. NULL: nothing to do. */
    void (*stop)(void *state);
} feed_source_t;

typedef enum feed_phase {
    FEED_ATTACHING,
    FEED_OPEN,
    FEED_ENDING, /* all is produced; what is not acknowledged is waited for */
    FEED_FAILED, /* the recorder is to be told why */
    FEED_OVER,
} feed_phase_t;

typedef struct feed {
    actor_t *me;
    const feed_source_t *source;
    msgpack_zone *zone; /* the texts of the arguments and of the payload */
    msg_source_args_t args;
    coder_t coder; /* of what is recorded */
    /* All that was sent is recorded. Set by a source that tells the system outside so; otherwise NULL. */
    int (*recorded)(void *state, fault_t *why);
    feed_phase_t phase;
    bool superseded;         /* it was stopped because another takes over, who needs what is kept outside */
    int64_t attachment;      /* its number */
    int64_t next_seq, acked; /* numbers of batches */
    int64_t credit, unacked; /* bytes */
    int64_t *sent;           /* a ring: bytes of each batch that is not acknowledged, by its number */
    int64_t sent_room;       /* batches in it */
    uint8_t *batch;          /* the body that is being made */
    size_t size, capacity;   /* of it */
    size_t size_last;        /* of the one before: the next one will hardly need more room */
    uint32_t count;          /* elements in it */
    bool has_gap;            /* something was lost before it: */
    int64_t lost_us;         /* < 0: not known */
    char gap[FEED_GAP_MAX + 1];
    msgpack_sbuffer numbers; /* of feed_cursor */
    int64_t backoff;         /* µs until the recorder is asked again */
    bool was_full;           /* there was no room until now, and what came meanwhile was not read */
    timer_id_t retry, silence;
    uint64_t heard;               /* messages from the recorder */
    char waits[FEED_GAP_MAX + 1]; /* for what; empty: for nothing */
    fault_t failure;              /* why it cannot go on */
    fault_t unfit;                /* why an element of the batch cannot be encoded; empty: they all can */
} feed_t;

/* Decodes the SOURCE_ARGS map `args`, and the source's payload into `payload`, a record of class `record`, whose texts live as long as the
 * feed. On failure the feed is to be finished all the same. */
int feed_init(feed_t *feed, actor_t *me, const feed_source_t *source, bytes_t args, const record_class_t *record, void *payload,
              fault_t *why);
void feed_fini(feed_t *feed);

/* At the end of create: attaches. */
void feed_start(feed_t *feed);

/* May a batch be made and sent? */
bool feed_room(const feed_t *feed);

/* Adds an element to the batch and returns where its `size` bytes are to be written, which the source's coder, if it has one, puts behind the
 * key. `attributes`: a msgpack map; size 0: none. Only while feed_room, and at most FEED_ELEMENT_MAX bytes in all. */
uint8_t *feed_element(feed_t *feed, int64_t event_time, size_t size, bytes_t attributes);

/* Is the batch to be sent before another element is added? */
bool feed_full(const feed_t *feed);

/* Something was lost before what comes next: the next batch says so, and is sent if it has no element either. `lost_us`: how long the hole
 * is; < 0: not known. What was produced before must have been sent, with a cursor before the hole. */
void feed_gap(feed_t *feed, int64_t lost_us, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Sends the batch, if there is an element in it, or a gap before it. `cursor`: the position after it. `watermark`: may be NULL. */
void feed_send(feed_t *feed, bytes_t cursor, const int64_t *watermark);

/* Tells how far event time has come where there is no element to go with: a batch without elements. What was produced before must have been
 * sent. Only while feed_room. */
void feed_watermark(feed_t *feed, bytes_t cursor, int64_t watermark);

/* Has the position kept where nothing goes with it: where a source begins that does not begin at the beginning, so that it is known after a
 * restart although nothing was recorded yet. What was produced before must have been sent. */
void feed_place(feed_t *feed, bytes_t cursor);

/* What the source waits for outside, shown to whoever asks for the job; the same again costs nothing. Said again at every attachment.
 * NULL: it waits no more. */
void feed_waiting(feed_t *feed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A cursor that is a list of numbers; valid until the next call. */
bytes_t feed_cursor(feed_t *feed, const int64_t *numbers, uint32_t count);
/* Reads one back; false where it is something else. */
bool feed_cursor_read(bytes_t cursor, int64_t *ret_numbers, uint32_t count);

/* The source has ended: the recorder is told once all is recorded. The last batch must have been sent. */
void feed_done(feed_t *feed);

/* The source cannot go on, for a reason outside that will not heal: the job fails with this text. */
void feed_fail(feed_t *feed, const char *format, ...) __attribute__((format(printf, 2, 3)));

handler_fn feed_on_ack, feed_on_nack, feed_on_stop, feed_on_ping;

#define FEED_TAKES                                                                                                                         \
    [MSG_SOURCE_ACK] = feed_on_ack, [MSG_SOURCE_NACK] = feed_on_nack, [MSG_SOURCE_STOP] = feed_on_stop, [MSG_PING] = feed_on_ping
#define FEED_SENDS MSG_SOURCE_ATTACH, MSG_SOURCE_BATCH, MSG_SOURCE_WAITING, MSG_SOURCE_DONE, MSG_SOURCE_FAIL, MSG_PONG
#define FEED_DOOR                                                                                                                          \
    { DOOR_DEALER, ENDPOINT_INGEST, SCOPE_INGEST }

#endif
