/* The job supervisor's state, and what its three files do for each other: job_supervisor.c takes the messages, job_run.c starts and ends
 * jobs, job_task.c does what must not happen twice at once for a pipeline. */
#ifndef REPRISE_JOB_SUPERVISOR_STATE_H
#define REPRISE_JOB_SUPERVISOR_STATE_H

#include "job.h"

typedef enum task_kind { TASK_ENSURE, TASK_INVALIDATE, TASK_FORGET, TASK_CLEAR, TASK_DELETE } task_kind_t;

/* Something that takes several messages and must have the pipeline for itself meanwhile. */
typedef struct task {
    uint64_t serial;
    task_kind_t kind;
    char pipeline[256];
    ticket_t ticket;
    msg_job_ensure_t *ensure; /* TASK_ENSURE: the request */
    const char *reason;       /* TASK_ENSURE: why a job is started */
    bool active;              /* has begun */
    bool waits_for_end;       /* of the pipeline's job */
    char (*drops)[256];       /* recordings to delete, */
    size_t drops_count, drop; /* and which is next */
    bool spares_kept;
    char (*dropped)[256]; /* those that were */
    size_t dropped_count;
    struct task *next;
} task_t;

typedef struct job_supervisor {
    actor_t *me;
    jobs_t jobs;
    task_t *tasks; /* the oldest first */
    uint64_t last_task;
    bool replay_enabled; /* option enable_recording_replay */
} job_supervisor_t;

/* ---- job_run.c ---- */
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
void job_answer_decision(job_supervisor_t *s, ticket_t ticket, const job_t *job, bool started, bool needed, const char *reason);
void job_answer(job_supervisor_t *s, ticket_t ticket, const job_t *job, const bool *cancelled);
void job_notify(job_supervisor_t *s, const char *topic, const char *key, const char *name, const char *state, const char *detail);

/* ---- job_task.c ---- */
/* Queues a task; it begins when those before it on the same pipeline are done. */
task_t *task_add(job_supervisor_t *s, task_kind_t kind, const char *pipeline, ticket_t ticket);
void task_drop(task_t *task, const char *recording);
void tasks_run(job_supervisor_t *s);
void tasks_fini(job_supervisor_t *s);

#endif
