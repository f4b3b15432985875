/* Who supervises whom, and by which rules. */
#ifndef REPRISE_TREE_H
#define REPRISE_TREE_H

#include "actor.h"

typedef enum restart {
    PERMANENT, /* started again whenever it ends, however it does */
    TRANSIENT, /* started again when it fails; it may leave by itself */
    TEMPORARY, /* never started again */
} restart_t;

typedef struct child_spec {
    const actor_class_t *class; /* its name is the child's */
    restart_t restart;
    int64_t start_ms; /* it is ready by then, */
    int64_t stop_ms;  /* gone by then when told to stop, */
    int64_t hang_ms;  /* and answers pings before that: longer than it may block in one handler. 0: nobody looks */
} child_spec_t;

typedef enum strategy {
    ONE_FOR_ONE,  /* only the actor that failed is restarted */
    REST_FOR_ONE, /* those that started after it lose their state with it, and follow it in their order */
} strategy_t;

typedef struct policy {
    strategy_t strategy; /* of the core actors; sources do not depend on each other */
    size_t restarts_max; /* of one child within the period, at most RESTARTS_MOST; with the next failure its supervisor gives up */
    int64_t period_ms;   /* a source's job is given up, or with a core actor the process */
    int64_t backoff_ms;  /* before the second restart within the period, or less by chance; doubled for each that follows */
    size_t hung_max;     /* threads of one source that hang: it is not replaced once there are more */
} policy_t;
enum { RESTARTS_MOST = 16 };

/* The core actors, in the order in which they start; they stop in the reverse order. */
extern const child_spec_t tree[];
extern const size_t tree_count;
extern const child_spec_t source_spec; /* any source; its class comes from its URN */
extern const policy_t policy;

/* Every class there is, sources included: for the docs and the contract tests. NULL ends it. */
const actor_class_t *tree_class(size_t index);

#endif
