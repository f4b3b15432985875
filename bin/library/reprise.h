/* libreprise: a client of the Reprise engine for C programs. It runs pipelines, feeds their sources one element at a time, and reads their
 * test streams.
 *
 * Every function that can fail returns a negative number or NULL and leaves why in `reprise_error_t`, which may be NULL. What waits takes
 * milliseconds (0: only what is there; negative: for as long as it takes), but for reprise_push, which waits while the engine is behind.
 *
 * A connection is used by one thread at a time, and so is a feed and a replay; different ones by different threads at once. Feeds and
 * replays keep what they need of their connection, but they must be closed before it is. A process that forks opens its own.
 * A pointer that a function returns is valid until the next call on the same object, unless it says otherwise. */
#ifndef REPRISE_H
#define REPRISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REPRISE_API __attribute__((visibility("default")))
#else
#define REPRISE_API
#endif

#define REPRISE_ENGINE "tcp://127.0.0.1:5570"        /* where an engine takes commands by default */
#define REPRISE_NOW INT64_MIN                        /* an event time: when it is pushed */
#define REPRISE_FOREVER INT64_C(9223372036854775000) /* a watermark: nothing more will come */

/* Why something failed. */
typedef struct reprise_error {
    char code[32];     /* one of the protocol's error codes, or `unreachable`, `timeout`, `usage`, `interrupted` */
    char field[96];    /* the field that is wrong; empty: none */
    char message[512]; /* names the thing and the value */
    bool retry;        /* the same again may work */
} reprise_error_t;

/* The library's version: "0.2.0". */
REPRISE_API const char *reprise_version(void);

/* For a program whose main business are replays or feeds, before it connects: the C library keeps up to 32 MiB of freed memory at the end of
 * a heap and gives buffers of less than 4 MiB out of it, in the whole process. Otherwise the system maps, clears and unmaps each message of a
 * replay. Nothing happens where the C library has no such setting. */
REPRISE_API void reprise_keep_buffers(void);

/* ---- the engine ---- */

typedef struct reprise reprise_t;

/* `engine`: an endpoint, or NULL for $REPRISE_ENGINE or the default. Connects in the background: the first request tells whether somebody
 * is there. Fails where it is no endpoint. */
REPRISE_API reprise_t *reprise_connect(const char *engine, reprise_error_t *error);
/* The same to an engine with keys. `key`: the file of the client's own key, as `reprise keygen` makes it (NAME.key); NULL: $REPRISE_KEY.
 * `server_key`: the engine's public key, or its file (server.pub); NULL: $REPRISE_SERVER_KEY. Where neither is set it is reprise_connect,
 * which looks at the environment too. A key that the engine does not know is `unreachable`: it does not answer strangers. */
REPRISE_API reprise_t *reprise_connect_with(const char *engine, const char *key, const char *server_key, reprise_error_t *error);
/* Sets the pointer to NULL; accepts NULL. Close feeds and replays first. */
REPRISE_API void reprise_disconnect(reprise_t **engine);

/* From here on every wait ends with the error `interrupted` while `descriptor` is readable (a signalfd, an eventfd, a pipe); -1: none.
 * Holds for feeds and replays that are opened later. The descriptor stays the caller's. */
REPRISE_API void reprise_interrupt_by(reprise_t *engine, int descriptor);

/* One request of the protocol. `request` is a msgpack map with `op` and without `id`; the answer's map is handed back the same way. An
 * answer that is an error is one here. `unreachable`: nobody is there, or the connection was lost, so that nobody knows whether it was
 * done; `timeout`: there was no answer in time. */
REPRISE_API int reprise_ask(reprise_t *engine, const void *request, size_t size, int64_t timeout_ms, const void **ret_answer,
                            size_t *ret_size, reprise_error_t *error);

/* A source of a pipeline. */
typedef struct reprise_source {
    const char *name;
    const char *urn;     /* NULL: reprise:source:push:v1, which is fed by whoever opens a feed */
    const char *tag;     /* NULL: its name */
    const void *payload; /* one msgpack value; NULL: none */
    size_t payload_size;
} reprise_source_t;

/* When recording ends; 0: as the engine's options say; -1: no such limit. */
typedef struct reprise_limits {
    int64_t duration_ms, bytes, count;
} reprise_limits_t;

/* What running a pipeline led to. */
typedef struct reprise_run {
    bool started;        /* was a recording job started? */
    char reason[64];     /* `first_run`, `recording_valid`, … : why or why not */
    char job[256];       /* the recording job; empty: none */
    char recording[256]; /* what a replay will read; empty: none */
} reprise_run_t;

/* Runs a pipeline made of these sources, or, where `count` is 0, the one that the engine knows by that name. `limits` may be NULL. */
REPRISE_API int reprise_run(reprise_t *engine, const char *pipeline, const reprise_source_t *sources, size_t count,
                            const reprise_limits_t *limits, int64_t timeout_ms, reprise_run_t *ret_run, reprise_error_t *error);

/* How a recording job ended. */
typedef struct reprise_job {
    char job[256];
    char state[32];       /* `DONE`, `CANCELLED`, `FAILED` */
    char stop_reason[32]; /* `sources_ended`, `count`, … */
    bool is_done;         /* its recording is complete */
    uint64_t elements, bytes;
} reprise_job_t;

/* Waits until the pipeline's last job has ended. */
REPRISE_API int reprise_wait(reprise_t *engine, const char *pipeline, int64_t timeout_ms, reprise_job_t *ret_job, reprise_error_t *error);

/* ---- feeding a source ---- */

typedef struct reprise_feed reprise_feed_t;

/* A source that the engine wants to be run: see reprise_worker_next. */
typedef struct reprise_start {
    const char *job, *tag, *urn;
    const char *producer; /* the name to attach under */
    const void *payload;  /* one msgpack value; NULL: none */
    size_t payload_size;
    const void *cursor; /* how far whoever ran it before had come, as far as that is known; the feed's own is what counts */
    size_t cursor_size;
} reprise_start_t;

typedef struct reprise_feed_options {
    const char *pipeline; /* whose running job is fed, or */
    const char *job;      /* this one */
    const char *tag;
    const char *producer; /* NULL: one of its own. With a name, a program that is started again goes on where it was; a second feed of
                             the name takes over from the first */
    int64_t linger_us;    /* elements wait no longer than this for others before they are sent; 0: the default, 1,000 */
    size_t batch_bytes;   /* nor longer than until they are about this many bytes; 0: the default, 256 KiB */
    uint32_t batch_count; /* or this many elements; 0: any number */
    int64_t timeout_ms;   /* how long an engine that is not there is waited for, when opening and later; 0: the default, 30,000 */
    const reprise_start_t *start; /* a source that a worker was given, in place of pipeline, job, tag and producer; NULL: none */
} reprise_feed_options_t;

/* With an element: a header of a Kafka message, the topic of an MQTT one. */
typedef struct reprise_attribute {
    const char *name; /* UTF-8 */
    size_t name_size; /* 0: the name ends with its NUL */
    const void *value;
    size_t size;
    bool text; /* the value is UTF-8, and is shown as text */
} reprise_attribute_t;

/* Attaches: waits until the job has started. The options are copied. */
REPRISE_API reprise_feed_t *reprise_feed_open(reprise_t *engine, const reprise_feed_options_t *options, reprise_error_t *error);

/* Adds one element; it is copied. Returns 0; 1 once the job takes no more (reprise_feed_stopped says why), and the element was not added.
 * Nothing is sent by this call: a thread of the feed sends batches as they fill, or after the linger. Waits only while the engine is
 * behind, that is while as many bytes are under way as it allows. `event_time_us`: µs since the epoch; REPRISE_NOW reads the clock, and is
 * never less than the time before it.
 * An engine that goes away is waited for and gets what it had not recorded; an element is recorded once. If that takes longer than
 * `timeout_ms`, or the engine refuses to go on, this and every later call fails with that error. */
REPRISE_API int reprise_push(reprise_feed_t *feed, const void *element, size_t size, int64_t event_time_us, reprise_error_t *error);
/* The same with attributes. */
REPRISE_API int reprise_push_with(reprise_feed_t *feed, const void *element, size_t size, int64_t event_time_us,
                                  const reprise_attribute_t *attributes, size_t count, reprise_error_t *error);

/* No later element is older than this. Goes with the elements before it, or alone where there are none. Returns as reprise_push. */
REPRISE_API int reprise_feed_watermark(reprise_feed_t *feed, int64_t watermark_us, reprise_error_t *error);

/* The source's position after the last element pushed, as one msgpack value of at most 64 KiB: stored with the elements, and given back by
 * reprise_feed_cursor after an attach. Once a feed has one, its batches end where a cursor was set, so that what is recorded and the
 * cursor never disagree: elements wait for the cursor after them, for a flush, or until they fill a message. Returns as reprise_push. */
REPRISE_API int reprise_feed_set_cursor(reprise_feed_t *feed, const void *cursor, size_t size, reprise_error_t *error);
/* The cursor that came with the last element recorded before this feed was opened; NULL: none. Valid as long as the feed. */
REPRISE_API const void *reprise_feed_cursor(const reprise_feed_t *feed, size_t *ret_size);

/* Sends what waits, and waits until all of it is recorded. 0; 1 where the job takes no more; or an error: with `timeout` it goes on by
 * itself. */
REPRISE_API int reprise_feed_flush(reprise_feed_t *feed, int64_t timeout_ms, reprise_error_t *error);
/* Flushes, and tells the engine that this source has ended, for all its producers. Returns as reprise_feed_flush; after 0 the feed takes
 * no more. */
REPRISE_API int reprise_feed_done(reprise_feed_t *feed, int64_t timeout_ms, reprise_error_t *error);

typedef struct reprise_counts {
    uint64_t pushed;   /* elements */
    uint64_t recorded; /* of those, elements that are known to be recorded */
    uint64_t batches;  /* that were made of them */
} reprise_counts_t;
REPRISE_API void reprise_feed_counts(const reprise_feed_t *feed, reprise_counts_t *ret_counts);
/* The job that is fed. Valid as long as the feed. */
REPRISE_API const char *reprise_feed_job(const reprise_feed_t *feed);
/* Why the job takes no more: its stop_reason, or `superseded`; NULL: it does. Valid as long as the feed. */
REPRISE_API const char *reprise_feed_stopped(const reprise_feed_t *feed);
/* A descriptor that becomes readable once the feed takes no more, stopped or failed, for programs that wait for something else. It is the
 * feed's: only poll it. */
REPRISE_API int reprise_feed_descriptor(const reprise_feed_t *feed);
/* Sets the pointer to NULL; accepts NULL. Waits for nothing: what was not flushed may be lost. */
REPRISE_API void reprise_feed_close(reprise_feed_t **feed);

/* ---- running sources for the engine ---- */

typedef struct reprise_worker reprise_worker_t;

/* Tells the engine that sources of these URNs can run here. `name`: what the worker is called in lists; NULL: the engine makes one up. A
 * thread of the worker keeps the engine informed from here on, also after restarts of the engine. */
REPRISE_API reprise_worker_t *reprise_worker_open(reprise_t *engine, const char *name, const char *const *urns, size_t count,
                                                  reprise_error_t *error);
/* The next source that is to be run: 1, and `*ret_start` is the caller's until reprise_start_free; 0 where none came in time; negative: an
 * error, after which no more come.
 * Open a feed with `start` in its options, and begin behind the cursor that reprise_feed_cursor has then. Do that in a thread of its own, with
 * a connection of its own: it waits until the job has started, and the job may wait for another source that is given next. Where it is
 * refused with `conflict` or `invalid_state`, another worker has the source, or the job has ended.
 * Such a feed does not attach again when its attachment is lost: then a push returns 1, and reprise_feed_stopped says `lost` or `superseded`.
 * The source comes by this function again, here or in another worker. Several sources run at once; one that runs may come again, and then
 * the new feed takes over from the old one. */
REPRISE_API int reprise_worker_next(reprise_worker_t *worker, int64_t timeout_ms, reprise_start_t **ret_start, reprise_error_t *error);
/* Sets the pointer to NULL; accepts NULL. */
REPRISE_API void reprise_start_free(reprise_start_t **start);
/* A source cannot be run: its job fails, with this message. */
REPRISE_API void reprise_worker_fail(reprise_worker_t *worker, const reprise_start_t *start, const char *message);
/* A descriptor that is readable while reprise_worker_next would not wait. It is the worker's: only poll it. */
REPRISE_API int reprise_worker_descriptor(const reprise_worker_t *worker);
/* Leaves. Close the feeds first: what they fed goes on in another worker. Sets the pointer to NULL; accepts NULL. */
REPRISE_API void reprise_worker_close(reprise_worker_t **worker);

/* ---- reading a test stream ---- */

typedef struct reprise_replay reprise_replay_t;

/* All zero but for the first: the whole of it, as fast as possible, to the end of its job. */
typedef struct reprise_replay_options {
    const char *pipeline; /* its newest recording, with the tags of its current definition, or */
    const char *recording;
    const char *const *tags; /* only these, ended by NULL; NULL: all */
    double rate;             /* 0: as fast as possible; 1: as recorded; 2: twice as fast */
    uint64_t from_element;   /* 0: the beginning; or */
    int64_t from_offset_ms;
    uint64_t max_elements;   /* 0: all */
    int64_t max_duration_ms; /* of the recording's time; 0: all */
    bool no_follow;          /* end where the recording ends now, rather than when its job does */
    size_t credit;           /* bytes that may be under way or wait here; 0: the default, 4 MiB */
    int64_t timeout_ms;      /* for answers, and how long the engine may be silent; 0: the default, 30,000 */
} reprise_replay_options_t;

typedef enum reprise_kind {
    REPRISE_ELEMENT = 1,     /* tag, element, size, time, number, attributes */
    REPRISE_WATERMARK,       /* tag, time */
    REPRISE_PROCESSING_TIME, /* advance_us */
    REPRISE_GAP,             /* tag (NULL: all of them), text, lost_us (-1: not known) */
    REPRISE_END,             /* text: the reason; problem (NULL: none); number: elements; digest (NULL after a seek) */
} reprise_kind_t;

typedef struct reprise_event {
    reprise_kind_t kind;
    const char *tag; /* valid as long as the replay, and the same pointer for the same tag */
    const void *element;
    size_t size;
    int64_t time;    /* µs since the epoch */
    uint64_t number; /* of the element in the whole recording, from 0 */
    int64_t advance_us, lost_us;
    const char *text, *problem, *digest;
    const void *attributes; /* NULL: none */
    size_t attributes_size;
} reprise_event_t;

REPRISE_API reprise_replay_t *reprise_replay_open(reprise_t *engine, const reprise_replay_options_t *options, reprise_error_t *error);

/* The next event: 1; 0 where none came in time; negative: an error, and the replay is over. After REPRISE_END it stays at that. The event
 * borrows from the replay until the next call: nothing is copied.
 * A replay whose engine is gone has the error `unreachable` or `not_found`, with `retry`, once the events that had come are read: open
 * another one from reprise_replay_position. The engine lets a client go that does not call this for the time of its option
 * `replay_timeout_ms` (10 minutes). */
REPRISE_API int reprise_replay_next(reprise_replay_t *replay, int64_t timeout_ms, reprise_event_t *ret_event, reprise_error_t *error);
/* Is an event there, so that reprise_replay_next would not wait? */
REPRISE_API bool reprise_replay_ready(const reprise_replay_t *replay);

/* One attribute of an element; false: it has no such. The name does not end with a NUL: `name_size` says how long it is. Begin with
 * `*at` = 0. */
REPRISE_API bool reprise_event_attribute(const reprise_event_t *event, size_t *at, reprise_attribute_t *ret_attribute);

/* Each waits for the engine's answer. Events that were sent before it come from reprise_replay_next first, and are what the engine had
 * sent ahead, up to `credit` bytes. Only a seek throws them away: the next event is one from the new place, beginning with each tag's
 * watermark there. A replay that has been sent to its end, read or not, takes none of these (`invalid_state`): a small `credit` keeps the
 * engine close to the reader. */
REPRISE_API int reprise_replay_pause(reprise_replay_t *replay, reprise_error_t *error);
REPRISE_API int reprise_replay_resume(reprise_replay_t *replay, reprise_error_t *error);
/* Lets a paused replay send so many events more, where elements that were recorded together are one. */
REPRISE_API int reprise_replay_step(reprise_replay_t *replay, uint64_t events, reprise_error_t *error);
REPRISE_API int reprise_replay_rate(reprise_replay_t *replay, double rate, reprise_error_t *error);
REPRISE_API int reprise_replay_seek_element(reprise_replay_t *replay, uint64_t element, reprise_error_t *error);
REPRISE_API int reprise_replay_seek_offset(reprise_replay_t *replay, int64_t offset_ms, reprise_error_t *error);

/* The recording that is replayed. Valid as long as the replay. */
REPRISE_API const char *reprise_replay_recording(const reprise_replay_t *replay);
/* The number after the last element read: where another replay goes on. */
REPRISE_API uint64_t reprise_replay_position(const reprise_replay_t *replay);
/* Sets the pointer to NULL; accepts NULL. */
REPRISE_API void reprise_replay_close(reprise_replay_t **replay);

#ifdef __cplusplus
}
#endif

#endif
