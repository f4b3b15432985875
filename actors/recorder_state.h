/* What the parts of the recorder share. Only the recorder's own files include this. */
#ifndef REPRISE_RECORDER_STATE_H
#define REPRISE_RECORDER_STATE_H

#include <sys/queue.h>

#include "reel.h"
#include "runtime/actor.h"
#include "store/checkpoint.h"

enum {
    RECORDER_INGEST = 0, /* its doors */
    RECORDER_PROGRESS = 1,
    RECORDER_CREDIT = 4 * 1024 * 1024, /* bytes of all frames that a sender may have unacknowledged, at most */
    CREDIT_LEAST = 64 * 1024,          /* and at least */
    CREDIT_SHARED = 12 * 1024 * 1024,  /* what all senders together have beyond the least */
    CONNECTION_BUCKETS = 1024,
};
#define WORKER_PRODUCER "worker" /* the producer of a source that workers run, whichever does */

typedef struct attachment attachment_t;
typedef struct worker worker_t;

/* What is to be done once the recording's end is as safe as the durability asks. */
typedef struct finish {
    char *state, *stop_reason, *error; /* `error` may be NULL */
    ticket_t *tickets;
    size_t tickets_count;
} finish_t;

/* How far the manifest of a recording that is over is on its way to the disk. */
typedef enum manifest_way { MANIFEST_SETTLED, MANIFEST_ANNOUNCED, MANIFEST_SYNCING } manifest_way_t;

typedef struct recording {
    LIST_ENTRY(recording) writing; /* among those that have a reel */
    LIST_ENTRY(recording) touched; /* among those that something was done to */
    bool is_touched;
    LIST_HEAD(, attachment) attachments, round;
    uint64_t number; /* names it in the context of a question */
    char folder[4096];
    reel_t *reel;             /* NULL: it is closed */
    msg_manifest_t *manifest; /* its own where it is closed; the journal has it otherwise */
    reel_ledger_t *ledger;
    int64_t held; /* its share in the ledger where it is closed */
    bool open;    /* it has a budget: sources are let in */
    bool told_spent;
    char *failure;    /* why nothing more can be recorded, as the job supervisor was told; NULL: it can */
    char **followers; /* the actors to tell when it grows */
    size_t followers_count;
    uint64_t records, elements, bytes; /* what was counted and told of it so far */
    uint64_t progress;                 /* records that the job supervisor knows of */
    int64_t announced;                 /* changes that it is still told of */
    uint64_t synced, syncing_to;       /* bytes known to be on the disk; and once the round under way is over */
    checkpoint_t syncing_place;        /* the same as a place in its segments */
    uint64_t safe_segment;             /* of the last checkpoint */
    size_t syncing;                    /* files of that round that are not on the disk yet; 0: no round */
    size_t syncing_finished;           /* how many of the reel's finished_paths are in the round */
    bool sync_refused;                 /* one of the round could not be asked for: again */
    char *sync_failure;                /* one of the round failed; NULL: none */
    timer_id_t sync_timer;
    finish_t *finish; /* NULL: not asked for, or over */
    bool closing;     /* over; the reel goes with the last sync */
    manifest_way_t manifest_is;
} recording_t;

/* A peer that feeds something, or would. */
typedef struct connection {
    LIST_ENTRY(connection) bucket;
    LIST_HEAD(, attachment) attachments;
    worker_t *worker; /* NULL: it did not say that it is one */
    peer_t peer;
    int64_t heard, spoken; /* when, in ticks */
    tab_t tab;             /* of what it was told */
} connection_t;

struct attachment {
    LIST_ENTRY(attachment) of_connection, of_recording;
    LIST_ENTRY(attachment) due_link; /* among those due, or in its recording's round */
    connection_t *connection;
    recording_t *recording;
    reel_producer_t *producer;
    int64_t source; /* its number */
    int64_t credit; /* bytes that it may have unacknowledged */
    char *tag;
    size_t unacked;     /* bytes of frames since the last acknowledgement */
    char *waits;        /* what it waits for outside; NULL: nothing */
    bool waits_changed; /* and its job is to be told */
    LIST_ENTRY(attachment) waits_link;
    bool due;            /* to be acknowledged */
    uint64_t round_seq;  /* what the round under way brings to the disk */
    const char *leaving; /* with the next acknowledgement it is stopped, for this reason */
    ticket_t done;       /* or this is answered, and it is let go */
};

/* Somebody who waits to be let in. */
typedef struct join {
    TAILQ_ENTRY(join) link;
    uint64_t number; /* names it in the context of a question */
    recording_t *recording;
    ticket_t ticket;
    peer_t peer;
    char *tag, *producer; /* `producer`: NULL where it has no name */
    bool resolved;
    uint32_t stream;
    uint64_t after; /* with `sync`: let in once so many bytes of the recording are on the disk */
} join_t;

/* A peer that runs sources of some URNs. */
struct worker {
    TAILQ_ENTRY(worker) link;
    connection_t *connection;
    char *name;
    names_t urns;  /* its own copies */
    int64_t since; /* when it was ready, in ticks */
    int64_t turn;  /* when it was last given a source, counted */
};

/* A stream that a worker is to run. */
typedef struct post {
    LIST_ENTRY(post) link;
    recording_t *recording;
    uint32_t stream;
    worker_t *worker;     /* who was given it; NULL: nobody */
    const worker_t *idle; /* who was given it before and did not feed it; NULL: nobody */
    int64_t given, fed;   /* when it was given, and somebody fed it last, in ticks */
    bool told;            /* its job was told that it waits */
} post_t;

typedef struct recorder {
    actor_t *me;
    recording_t **recordings; /* the oldest first */
    size_t recordings_count;
    LIST_HEAD(, recording) writing;
    LIST_HEAD(, recording) touched; /* since it settled: the others, however many, cost a turn nothing */
    reel_ledger_t ledger;
    disk_t disk; /* that recordings are written to */
    LIST_HEAD(, connection) connections[CONNECTION_BUCKETS];
    size_t connections_count;
    connection_t *recent; /* who sent last */
    TAILQ_HEAD(joins, join) joins;
    size_t joins_count;
    LIST_HEAD(, attachment) dues;  /* to be acknowledged */
    LIST_HEAD(, attachment) waits; /* that wait for something else than before */
    bool acks_full;                /* a peer could not take its acknowledgement */
    uint64_t last_number;
    int64_t last_source;
    int64_t credit_shared; /* of CREDIT_SHARED, what the attachments have */
    int64_t worker_timeout_us;
    int64_t size_limit;    /* the option: bytes of all recordings */
    int64_t body_size_max; /* the option: bytes of a batch's elements */
    timer_id_t liveness_timer, due_timer;
    int64_t ticks;                       /* of the batches that come now */
    int64_t ticks_bytes;                 /* so many more before the clock is read again */
    TAILQ_HEAD(workers, worker) workers; /* the oldest first */
    LIST_HEAD(, post) posts;
    bool posts_due; /* they are to be looked at */
    timer_id_t posts_timer;
    int64_t last_worker, last_turn;
    int64_t worker_wait_us;
} recorder_t;

/* ---- recorder_shelf.c: the recordings, open and closed ---- */
int shelf_load(recorder_t *self, fault_t *why);
void shelf_free(recorder_t *self);
/* A new one at the end. */
recording_t *shelf_add(recorder_t *self, const char *id);
void shelf_remove(recorder_t *self, recording_t **recording);
/* A complete recording that stands in another folder becomes one of these. NULL: refused. */
recording_t *shelf_adopt(recorder_t *self, const msg_recording_adopt_t *order, refusal_t *no);
recording_t *shelf_find(const recorder_t *self, const char *id);
recording_t *shelf_find_job(const recorder_t *self, const char *job);
recording_t *shelf_find_number(const recorder_t *self, uint64_t number);
/* The pipeline's recording: its newest that is not invalid; with `unfinished`, of those that have not ended. */
recording_t *shelf_newest(const recorder_t *self, const char *pipeline, bool unfinished);
/* Has it any, if only invalid ones? */
bool shelf_has(const recorder_t *self, const char *pipeline);

const msg_manifest_t *recording_manifest(const recording_t *recording);
const msg_recording_job_t *recording_job(const recording_t *recording); /* as its manifest says */
bool state_is_end(const char *state);                                   /* of a job */
bool recording_has_ended(const recording_t *recording);
/* With the numbers as they are now. What it makes lives in `zone`. */
msg_recording_job_t recording_report(const recording_t *recording, msgpack_zone *zone);
msg_recording_t recording_description(const recording_t *recording, msgpack_zone *zone);
msg_recording_place_t recording_place(const recording_t *recording, msgpack_zone *zone);
/* Changes the manifest on the disk, and here if that worked. */
int recording_save(recording_t *recording, const msg_manifest_t *manifest, fault_t *why);
/* Its reel goes; the manifest stays. */
void recording_close(recorder_t *self, recording_t *recording);
/* Zeroed memory that lives as long as the zone. */
void *zone_array(msgpack_zone *zone, size_t count, size_t size);

/* ---- recorder_finish.c: how a recording is written, told of, and ended ---- */
/* Something was done to its reel: it is flushed as soon as nothing more waits. */
void recording_touch(recorder_t *self, recording_t *recording);
void recording_untouch(recording_t *recording);
/* Writes out what was gathered; tells those who follow, and what was reached. */
void recording_flush(recorder_t *self, recording_t *recording);
void recording_note_spent(recorder_t *self, recording_t *recording);
/* Nothing more can be recorded: tells the job supervisor, once. */
void recording_break(recorder_t *self, recording_t *recording, const char *message);
void recording_tell_followers(recorder_t *self, recording_t *recording);
void finish_begin(recorder_t *self, recording_t *recording, const msg_recording_finish_t *order, ticket_t ticket);
/* Called once all that was appended is on the disk, or with why it is not. */
void finish_synced(recorder_t *self, recording_t *recording, const char *failure);
void finish_free(finish_t **finish);

/* ---- recorder_progress.c: how far recordings are, for the job supervisor ---- */
handler_fn progress_ask;
/* Before anybody else can know that it grew: before followers are told, anything is acknowledged, or a question is answered. */
void progress_tell(recorder_t *self, recording_t *recording);
void progress_tell_all(recorder_t *self);
/* After a restart, when nobody knows what an earlier state had announced: as much as that may have been. */
void progress_announce(recording_t *recording);

/* ---- recorder_acks.c: acknowledgements, and what they wait for ---- */
void acks_due(recorder_t *self, attachment_t *attachment);
/* Sends what may be sent, and sees to it that the rest will be. */
void acks_send(recorder_t *self);
/* With `sync`: is something appended that may not be on the disk? To say how far a producer has come would acknowledge it. */
bool acks_are_unsafe(const recorder_t *self, const recording_t *recording);
/* Has all that was appended brought to the disk, unless that is under way. */
void sync_begin(recorder_t *self, recording_t *recording);
/* After an append: sees to it that it will be on the disk, as the durability asks. */
void sync_schedule(recorder_t *self, recording_t *recording);

/* ---- recorder_join.c: who wants to feed ---- */
handler_fn ingest_attach;
/* Lets in those who wait for this recording; refuses them. */
void joins_let_in(recorder_t *self, recording_t *recording);
void joins_refuse(recorder_t *self, recording_t *recording);
/* Refuses those of that peer and stream: it has said since that it starts anew, or is gone. */
void joins_withdraw(recorder_t *self, const recording_t *recording, uint32_t stream, const peer_t *peer);
void joins_free(recorder_t *self);

/* ---- recorder_ingest.c: who feeds, and what they send ---- */
void ingest_waits_tell(recorder_t *self);
handler_fn ingest_batch, ingest_waiting, ingest_done, ingest_fail, ingest_pong;
/* Made where the peer is new; goes with its last attachment. */
connection_t *connection_of(recorder_t *self, const peer_t *peer);
/* It goes, unless somebody has a use for it. */
void connection_release(recorder_t *self, connection_t *connection);
void connection_remove(recorder_t *self, connection_t **connection);
void connections_free(recorder_t *self);
/* Sends to the peer behind a connection, and notes that. SENT_GONE: the caller lets it go. */
sent_t connection_send(recorder_t *self, connection_t *connection, message_id_t id, const void *message);
/* Says why, and lets it go. */
void attachment_stop(recorder_t *self, attachment_t *attachment, const char *reason);
/* It said that it has ended, and its recording has too: it is told that this is done, and of no stop. */
void attachment_end(recorder_t *self, attachment_t *attachment);
void attachment_remove(recorder_t *self, attachment_t **attachment);

/* ---- recorder_workers.c: who runs the sources that the engine has no connector for ---- */
handler_fn worker_ready, worker_list;
/* The recording is written: those of its streams that need a worker have a post, until it ends. */
void posts_open(recorder_t *self, recording_t *recording);
void posts_close(recorder_t *self, const recording_t *recording, const char *reason);
/* The stream has ended: nobody needs to run it. */
void post_close(recorder_t *self, const recording_t *recording, uint32_t stream);
/* Gives out what nobody runs, takes back what nobody feeds; and sees to it that it is looked at again. */
void posts_check(recorder_t *self);
/* A peer wants to feed that stream. Where it is the worker that was given it, `producer` is the name that it has there if it has none.
 * Refused where another worker was. */
int posts_admit(const recorder_t *self, const join_t *join, const char **producer, refusal_t *no);
/* The connection is gone, and so is its worker. */
void worker_lost(recorder_t *self, connection_t *connection);
void workers_free(recorder_t *self);

#endif
