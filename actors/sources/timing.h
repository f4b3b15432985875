/* When what a source yields happened, and how far event time has come: the payload's TIMING_FIELDS, which mean the same for every connector.
 *
 * Each element is read (timing_read) and noted (timing_saw) on a lane: what is in order in itself, such as a partition. The watermark is the
 * least of the lanes', so that a slow partition holds it back, and a lane in which nothing comes does not, after `idle_ms`. */
#ifndef REPRISE_TIMING_H
#define REPRISE_TIMING_H

#include "../runtime/actor.h"

/* What the outside system knows of time. */
typedef enum timing_system {
    TIMING_SYSTEM_NONE,
    TIMING_SYSTEM_STAMPS, /* it stamps what it has, in any order */
    TIMING_SYSTEM_ORDERS, /* and never an earlier time after a later one: the stamp is the watermark, too */
} timing_system_t;

/* The fields of a payload; NULL, or -1: not given. */
typedef struct timing_given {
    const char *event_time, *event_time_unit, *key, *on_error;
    int64_t out_of_order_ms, idle_ms;
} timing_given_t;
#define TIMING_GIVEN(payload)                                                                                                              \
    (&(timing_given_t){                                                                                                                    \
        (payload)->has_event_time ? (payload)->event_time : NULL, (payload)->has_event_time_unit ? (payload)->event_time_unit : NULL,      \
        (payload)->has_key ? (payload)->key : NULL, (payload)->has_on_error ? (payload)->on_error : NULL,                                  \
        (payload)->has_out_of_order_ms ? (payload)->out_of_order_ms : -1, (payload)->has_idle_ms ? (payload)->idle_ms : -1})

typedef struct timing_lane {
    int64_t newest; /* event time; INT64_MIN: none yet */
    int64_t heard;  /* ticks of the last element, or of its beginning */
} timing_lane_t;

typedef struct timing {
    actor_t *me;
    unsigned origin;     /* of event times */
    const char *pointer; /* to it in JSON, if it is there */
    const char *key;     /* to the key in JSON; NULL: there is none */
    int64_t unit_us;     /* that a number there counts */
    bool skips;          /* what cannot be read is left out */
    bool is_json;        /* elements must be JSON, even where nothing is read from them */
    bool has_watermark;
    int64_t lateness;       /* µs that the watermark is behind the newest event time */
    int64_t idle;           /* µs; 0: a lane is waited for for ever */
    int64_t arrival, ticks; /* of what is read now */
    timing_lane_t *lanes;
    size_t lanes_count;
    int64_t watermark; /* the last that was given; INT64_MIN: none */
    timer_id_t timer;
    msgpack_sbuffer key_text;   /* of the last element that was read */
    bool has_key;               /* it has one */
    msgpack_sbuffer attributes; /* room for them */
} timing_t;

enum { TIMING_SKIP = 1 };

/* Checks the fields, whose texts must live as long as `timing`, and begins with one lane. `timing` is to be finished even after a failure. */
int timing_init(timing_t *timing, actor_t *me, const char *urn, timing_system_t system, const timing_given_t *given, fault_t *why);
void timing_fini(timing_t *timing);

/* Elements come again, from a cursor on: what was seen of them is forgotten, as they would be late behind it. */
void timing_resume(timing_t *timing);

/* So many lanes there are now; those that were there keep their times. */
void timing_lanes(timing_t *timing, size_t count);

/* Before elements are read: what arrives, arrives now. */
void timing_begin(timing_t *timing);
/* 0 and the element's event time, in µs since the epoch. `system_us`: what the system says of it. TIMING_SKIP: it is to be left out.
 * -1: it cannot be read, and the source is to fail. */
int timing_read(timing_t *timing, bytes_t value, int64_t system_us, int64_t *ret_time, fault_t *why);
/* The key that timing_read found, as text; data NULL: none. Until the next timing_read. */
bytes_t timing_key(const timing_t *timing);
/* The same as an element's attributes: {"key": …}; size 0: none. */
bytes_t timing_attributes(timing_t *timing);

static inline void timing_saw(timing_t *timing, size_t lane, int64_t time) {
    if (time > timing->lanes[lane].newest) timing->lanes[lane].newest = time;
    timing->lanes[lane].heard = timing->ticks;
}

/* For what is sent now; NULL: none is known. It never goes back. */
const int64_t *timing_watermark(timing_t *timing);

/* Has `then` called when a lane may have become idle, if the payload asks for it; it is to call timing_advance, and timing_arm again. */
void timing_arm(timing_t *timing, timer_fn *then);
void timing_disarm(timing_t *timing);
/* Has the watermark gone on since it was given last? Then it is given, for feed_watermark. `reads`: what comes is read; otherwise it stays. */
bool timing_advance(timing_t *timing, bool reads, int64_t *ret_watermark);
/* What came until now was not read: no lane is idle for that. */
void timing_missed(timing_t *timing);

#endif
