/* What the supervisor keeps of its children. Only supervisor*.c see it. */
#ifndef REPRISE_SUPERVISOR_STATE_H
#define REPRISE_SUPERVISOR_STATE_H

#include <sys/queue.h>

#include "tree.h"

enum { CHILDREN_MAX = 1024, FAILURES_KEPT = 5, COUNTINGS_MAX = 16 };

typedef enum child_state {
    CHILD_STARTING,
    CHILD_RUNNING,
    CHILD_FELLED, /* told to give up its state, which it has not done yet */
    CHILD_FAILED, /* has no state; may be started again once `timer` is 0 */
    CHILD_STOPPING,
    CHILD_STOPPED,
} child_state_t;

typedef struct failure {
    int64_t at; /* µs since the epoch */
    char *why;
} failure_t;

typedef struct child {
    uint64_t id;       /* never used twice: what timers and questions name it by */
    char name[256];    /* what it is known by, whichever thread carries it */
    char address[256]; /* its thread's name at the switchboard: of a source, another one for each thread */
    const child_spec_t *spec;
    const actor_class_t *class;
    frame_t args;
    bool source; /* started for a job: its end is not the engine's */
    child_state_t state;
    bool threadless; /* its thread is gone, or was left: it needs another */
    bool leaving;    /* its thread was told to go, to be replaced */
    bool fresh;      /* its thread has never been ready */
    bool proven;     /* it has been ready once */
    int64_t since;   /* when it became ready, in ticks */
    size_t restarts;
    int64_t recent[RESTARTS_MOST];     /* ticks of its last failures; 0: none */
    size_t failed;                     /* how often */
    failure_t failures[FAILURES_KEPT]; /* a ring: the last at (failed - 1) % FAILURES_KEPT */
    int64_t mailbox;                   /* as it last said */
    ticket_t starter;                  /* who waits for it to be ready */
    timer_id_t timer;                  /* start or stop time-out, or back-off */
    bool pinged;                       /* and has not answered yet */
    int64_t silent_ms;                 /* for how long */
    size_t hung;                       /* threads of it that were left and have not come back */
} child_t;

/* A thread that serves nobody any more. Should it go on one day, it finds that it has been told to stop. */
typedef struct left {
    LIST_ENTRY(left) link;
    char address[256];
    uint64_t child; /* whose it was */
} left_t;

typedef struct counting {
    uint32_t serial; /* what questions name it by: an answer may come when its time is over */
    ticket_t ticket;
    size_t waiting; /* answers still to come */
    uint64_t totals[COUNTER_COUNT];
    bool used;
    bool states; /* engine.actors asked: answer with the table */
    timer_id_t timer;
} counting_t;

typedef struct supervisor {
    actor_t *me;
    child_t *children[CHILDREN_MAX]; /* in the order of their start: the tree's, then sources */
    size_t count;
    LIST_HEAD(, left) left;
    uint64_t last_id;
    size_t started; /* of the tree */
    bool serving;   /* all of the tree were ready once */
    bool giving_up; /* the main thread was told */
    bool stopping;
    timer_id_t stop_timer, beat_timer;
    counting_t countings[COUNTINGS_MAX];
    uint32_t last_counting;
} supervisor_t;

/* ---- one child: supervisor_child.c ---- */
/* Adds a child and starts its thread; NULL and `why` where that failed. */
child_t *child_add(supervisor_t *s, const child_spec_t *spec, const actor_class_t *class, const char *name, bytes_t args, fault_t *why);
child_t *child_named(const supervisor_t *s, const char *name);
child_t *child_at(const supervisor_t *s, const char *address); /* NULL: an old thread's, or nobody's */
child_t *child_of_id(const supervisor_t *s, uint64_t id);
const char *child_state_name(child_state_t state);
void child_tell(supervisor_t *s, const child_t *child, message_id_t id); /* a message without fields */
/* Gives it another thread. */
int child_spawn(supervisor_t *s, child_t *child, fault_t *why);
/* Leaves the thread of a source, which hangs, to itself: what it may still say is no longer said for this child. */
void child_let_go(supervisor_t *s, child_t *child);
/* An old thread has ended. False: that was none. */
bool child_old_ended(supervisor_t *s, const char *address);
void child_remember(supervisor_t *s, child_t *child, const char *why); /* as its last failure */
const failure_t *child_last_failure(const child_t *child);             /* NULL: it has never failed */
void child_notify(supervisor_t *s, const char *topic, const child_t *child, size_t count);
void child_free(supervisor_t *s, child_t *child); /* with its place in the table; its thread is gone, or was let go */

/* ---- failures: supervisor_restart.c ---- */
/* Tells the main thread that the engine cannot go on. */
void restart_give_up(supervisor_t *s, const char *name, const char *why);
void restart_watch_start(supervisor_t *s, child_t *child);
/* It has no state any more. `starting`: while it was being created. */
void restart_failed(supervisor_t *s, child_t *child, const char *why, bool starting);
/* Its thread hangs: it is replaced, or the process is. */
void restart_hung(supervisor_t *s, child_t *child, const char *why);
/* Starts whoever may start now. */
void restart_next(supervisor_t *s);
/* Its thread has left, and not because it is not wanted any more. */
void restart_left(supervisor_t *s, child_t *child);

/* ---- signs of life: supervisor_beat.c ---- */
void beat_begin(supervisor_t *s);

/* ---- the end: supervisor_stop.c ---- */
/* A source that is not wanted any more; it is gone in time, or is left. */
void stop_source(supervisor_t *s, child_t *child);
void stop_begin(supervisor_t *s); /* all, in the reverse order */
void stop_next(supervisor_t *s);  /* the one under way has stopped */

/* ---- what clients ask: supervisor_report.c, supervisor_chaos.c ---- */
handler_fn report_on_actors, report_on_stats;
handler_fn chaos_on_fail, chaos_on_hang, chaos_on_crash;

#endif
