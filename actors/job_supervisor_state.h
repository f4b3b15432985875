/* The job supervisor's state, and what its six files do for each other: job_supervisor.c takes the messages, job_run.c starts and ends
 * jobs, job_counts.c says how far they are, job_task.c does what must not happen twice at once for a pipeline, job_sweep.c what becomes of
 * recordings, job_adopt.c takes in those that come from elsewhere. */
#ifndef REPRISE_JOB_SUPERVISOR_STATE_H
#define REPRISE_JOB_SUPERVISOR_STATE_H

#include "bindings.h"
#include "job.h"

enum { JOB_SUPERVISOR_PROGRESS = 0 }; /* its door */

typedef enum task_kind { TASK_ENSURE, TASK_INVALIDATE, TASK_FORGET, TASK_CLEAR, TASK_DELETE, TASK_ADOPT } task_kind_t;

/* What becomes of recordings that a task is done with. */
typedef enum fate {
    FATE_DROP,   /* they are deleted, */
    FATE_CLEAR,  /* but for those that are kept by name; */
    FATE_EVICT,  /* which are not the pipeline's recording any more */
    FATE_RETIRE, /* and as many complete ones as `keep_recordings` says stay as well */
} fate_t;

/* Recordings of a pipeline, gone through one by one. */
typedef struct sweep {
    bool begun;
    fate_t fate;
    char (*recordings)[256];
    size_t count, next;
    size_t retired;       /* complete ones that stay */
    char (*dropped)[256]; /* those that were deleted */
    size_t dropped_count;
} sweep_t;

/* Something that takes several messages and must have the pipeline for itself meanwhile. */
typedef struct task {
    uint64_t serial;
    task_kind_t kind;
    char pipeline[256];
    ticket_t ticket;
    msg_job_ensure_t *ensure;         /* TASK_ENSURE: the request */
    msg_job_invalidate_t *invalidate; /* TASK_INVALIDATE: the request */
    msg_job_adopt_t *adopt;           /* TASK_ADOPT: the request */
    bool again;                       /* an earlier state was asked this, and did not answer */
    bool active;                      /* has begun */
    bool waits_for_end;               /* of the pipeline's job */
    bool decided;                     /* what follows is known: */
    const char *reason, *not_needed;  /* why a job is started, or why none is */
    char restores[256];               /* the recording that becomes valid again; empty: none */
    fate_t fate;                      /* of the others */
    bool swept;                       /* those are listed */
    bool tells;                       /* the test stream is to be told */
    sweep_t sweep;
    struct task *next;
} task_t;

typedef struct job_supervisor {
    actor_t *me;
    jobs_t jobs;
    bindings_t *bindings; /* what runs sources that other systems have written down */
    task_t *tasks;        /* the oldest first */
    uint64_t last_task;
    bool replay_enabled;     /* option enable_recording_replay */
    int64_t keep_recordings; /* the option */
} job_supervisor_t;

/* ---- job_supervisor.c ---- */
/* A recording as its manifest says: its job is known, or goes on where it has not ended. */
job_t *job_load(job_supervisor_t *s, const msg_recording_job_t *recording);

/* ---- job_run.c ---- */
/* Has the catalog remember a job that has ended, in place of the oldest ones: it is known when its recording is gone. */
void job_remember(job_supervisor_t *s, const job_t *job);
/* Begins a job on what `ensure` says: creates its recording, starts its sources. */
void job_begin(job_supervisor_t *s, job_t *job, const msg_job_ensure_t *ensure, const msg_limits_t *limits, const char *reason);
/* After a restart: goes on with a job whose recording has not ended, or with its end where that was under way. */
void job_resume(job_supervisor_t *s, job_t *job, const msg_recording_job_t *recording);
/* After a restart: its job has ended, and what fed it may still be there. */
void job_stop_sources(job_supervisor_t *s, const msg_recording_job_t *recording);
/* Ends a job: `target` is CANCELLED, DONE or FAILED. One that is ending or has ended stays as it is. */
void job_finish(job_supervisor_t *s, job_t *job, job_state_t target, const char *stop_reason, const char *error);
void job_joined(job_supervisor_t *s, job_t *job, const char *signature);
void job_source_ended(job_supervisor_t *s, job_t *job, const char *signature);
void job_add_waiter(job_supervisor_t *s, job_t *job, waiter_kind_t kind, ticket_t ticket, bool started, const char *reason,
                    int64_t timeout_us);
/* The recorder has said how far the job is. */
void job_counted(job_supervisor_t *s, job_t *job);
/* The sources changed, and this job's recording has them all: no other is needed, and what it was made of counts from now on. */
void job_answer_made_of(job_supervisor_t *s, ticket_t ticket, const job_t *job, const char *reason);
void job_answer_decision(job_supervisor_t *s, ticket_t ticket, const job_t *job, bool started, bool needed, const char *reason);
void job_answer(job_supervisor_t *s, ticket_t ticket, const job_t *job, const bool *cancelled);
void job_notify(job_supervisor_t *s, const char *topic, const char *key, const char *name, const char *state, const char *detail);

/* ---- job_supervisor.c ---- */
/* The job that is meant by `job`, or by `pipeline`; refuses where there is none. */
job_t *job_meant(job_supervisor_t *s, const envelope_t *in, const char *job_name, const char *pipeline);

/* ---- job_counts.c ---- */
handler_fn counts_describe, counts_list, counts_progress;

/* ---- job_task.c ---- */
/* Queues a task; it begins when those before it on the same pipeline are done. */
task_t *task_add(job_supervisor_t *s, task_kind_t kind, const char *pipeline, ticket_t ticket);
task_t *task_of_serial(job_supervisor_t *s, uint64_t serial);
/* Goes on with a task that waited for an answer. */
void task_proceed(job_supervisor_t *s, task_t *task);
/* Ends it; the refusal is what was asked is answered with. */
void task_refuse(job_supervisor_t *s, task_t *task, const refusal_t *no);
/* The task that goes on with this answer; NULL where it is gone, or where the answer was a refusal, which ended it. */
task_t *task_granted(job_supervisor_t *s, const answer_t *answer, uint64_t serial);
/* Ends it; what was asked is answered already. */
void task_end(job_supervisor_t *s, task_t *task);
void tasks_run(job_supervisor_t *s);
void tasks_fini(job_supervisor_t *s);

/* ---- job_sweep.c ---- */
/* Puts a recording on the task's list; all of its pipeline's, but the one that it restores. */
void sweep_add(task_t *task, const char *recording);
void sweep_add_all(job_supervisor_t *s, task_t *task);
/* Goes through the list: true when that is done. Otherwise the task proceeds once it is. */
bool sweep_run(job_supervisor_t *s, task_t *task, fate_t fate);
/* The recording that the task restores becomes valid: true when it is. Otherwise the task proceeds once it is. */
bool sweep_restore(job_supervisor_t *s, task_t *task);
void sweep_free(sweep_t *sweep);

/* ---- job_adopt.c ---- */
/* TASK_ADOPT: a recording that came from elsewhere becomes one of the pipeline's. */
void adopt(job_supervisor_t *s, task_t *task);
handler_fn job_on_number, job_on_adopt;

#endif
