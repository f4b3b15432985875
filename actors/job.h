/* A recording job: what it is, the states it goes through, and the table of all jobs. No messages here. */
#ifndef REPRISE_JOB_H
#define REPRISE_JOB_H

#include "runtime/actor.h"

typedef enum job_state { JOB_STARTING, JOB_RUNNING, JOB_CANCELLING, JOB_CANCELLED, JOB_DONE, JOB_FAILED, JOB_STATES } job_state_t;

const char *job_state_name(job_state_t state);
job_state_t job_state_find(const char *name); /* JOB_STATES: no such */
bool job_state_is_terminal(job_state_t state);
bool job_state_may_follow(job_state_t before, job_state_t after);

typedef enum waiter_kind {
    WAIT_START,  /* until it runs or has ended: answered with the decision */
    WAIT_END,    /* until it has ended: answered with the job */
    WAIT_CANCEL, /* the same, answered with `cancelled` */
    WAIT_COUNTS, /* until the recorder has said how far it is: answered with the job */
} waiter_kind_t;

typedef struct waiter {
    uint64_t serial; /* the job's */
    ticket_t ticket;
    timer_id_t timer;
    waiter_kind_t kind;
    bool started; /* WAIT_START: what the decision was */
    const char *reason;
    struct waiter *next;
} waiter_t;

typedef struct job_source {
    char child[256]; /* the source actor's name; empty: from outside */
    bool joined, ended;
    char *waits; /* what it waits for, as told; NULL: nothing */
} job_source_t;

typedef struct job {
    char job[256], recording[256];
    uint64_t serial; /* what questions and timers name it by: no other of this state has it */
    char pipeline[256];
    job_state_t state;
    char request[64], reason[32]; /* what asked for it, and why it was started; empty: not known */
    char stop_reason[32];         /* empty: none yet */
    char error[512];
    msg_limits_t limits;
    msg_recording_create_t *plan;    /* streams and limits, as given to the recorder; NULL: the job has ended */
    job_source_t *sources;           /* one a stream */
    int64_t created, started, ended; /* µs since the epoch; 0: not yet */
    int64_t elements, bytes;         /* as last heard */
    int64_t announced;               /* changes of these that the recorder will tell by itself; 0: it must be asked */
    bool counting;                   /* it was asked */
    names_t signature;               /* what it records: signature strings, sorted; its own copies */
    bool has_recording;              /* it exists on the disk */
    int64_t invalidated;             /* when its recording became invalid, µs since the epoch; 0: it has not */
    bool starting_clock;             /* the limiter was asked to start it */
    bool finishing;                  /* the recorder was asked to end it: `target` is what it becomes */
    job_state_t target;
    timer_id_t timer;         /* start time-out, or a retry */
    timer_id_t sources_timer; /* sources that could not be started are asked for again; and before, the recording */
    int create_tries;
    waiter_t *waiters;
    struct job *next; /* the newer one */
} job_t;

typedef struct jobs {
    job_t *first; /* the oldest */
    int64_t last_id;
    uint64_t last_serial;
} jobs_t;

enum { JOB_NAME_SIZE = 16 };
/* Names for a job and its recording, made from the time and never used twice. */
void jobs_name(jobs_t *jobs, int64_t now, char ret_job[JOB_NAME_SIZE], char ret_recording[JOB_NAME_SIZE]);
/* Makes a job of that pipeline with such names. */
job_t *jobs_add(jobs_t *jobs, const char *pipeline, int64_t now);
job_t *jobs_add_known(jobs_t *jobs, const char *id, const char *recording, const char *pipeline); /* from the disk; kept in order of age */
job_t *jobs_of_request(const jobs_t *jobs, const char *pipeline, const char *request);
job_t *jobs_find(const jobs_t *jobs, const char *id);
job_t *jobs_of_serial(const jobs_t *jobs, uint64_t serial);
job_t *jobs_of_recording(const jobs_t *jobs, const char *recording);
job_t *jobs_last_of(const jobs_t *jobs, const char *pipeline);
job_t *jobs_active_of(const jobs_t *jobs, const char *pipeline); /* the newest that has not ended; NULL: all have */
/* The one that the pipeline reads from: the newest whose recording is valid. Where none is, the newest. */
job_t *jobs_current_of(const jobs_t *jobs, const char *pipeline);
/* A complete recording that has all of `signature` (sorted), valid or not: the one that was valid last. NULL: none. */
job_t *jobs_complete_of(const jobs_t *jobs, const char *pipeline, const names_t *signature);
/* Orders recordings of a pipeline: what was valid last comes first. For qsort over job_t *. */
int jobs_order_by_validity(const void *a, const void *b);
void jobs_remove(jobs_t *jobs, job_t *job);
void jobs_fini(jobs_t *jobs);

/* Goes to another state; which may follow which stands in one table. A new job is STARTING. */
void job_move(job_t *job, job_state_t state);
/* Gives a job that is read from the disk the state that it had there: nothing has happened to it, so no table is asked. */
void job_recall(job_t *job, job_state_t state);
/* Its end is a success: DONE, or ended by a limit. A user's cancel is none. */
bool job_is_done(const job_t *job);
bool job_is_active(const job_t *job); /* not terminal */
bool job_is_valid(const job_t *job);  /* its recording is there, and no change of sources has made it invalid */
/* Does it record all of `signature`, which is sorted? */
bool job_covers(const job_t *job, const names_t *signature);
/* It has ended: nobody asks for its sources any more. */
void job_drop_plan(job_t *job);
/* Copies what its streams are. */
void job_set_signature(job_t *job, size_t count, const msg_stream_t *streams);
/* What the source of that signature waits for; NULL: nothing any more. */
void job_waits(job_t *job, const char *signature, const char *message);
/* What clients are told; `room` is for JOB_DESCRIBE_TEXTS texts a stream, and NULL: what sources wait for is left out. Borrows from the job. */
enum { JOB_DESCRIBE_TEXTS = 3 };
void job_describe(const job_t *job, int64_t now, const char **room, msg_job_t *ret);
bool job_stopped_by_limit(const char *stop_reason);

#endif
