/* The table of pipelines: definitions and the last runs of each. It writes to the catalog through the actor that owns it. */
#ifndef REPRISE_PIPELINES_H
#define REPRISE_PIPELINES_H

#include <czmq.h>

#include "runtime/actor.h"

enum { RUNS_MAX = 20 }; /* remembered of one pipeline */

typedef struct run {
    char run[32], job[64], reason[32], state[256];
    int64_t started_at;
    ticket_t finisher; /* who waits until its end is remembered */
} run_t;

typedef struct pipeline {
    msg_pipeline_t *definition;
    run_t runs[RUNS_MAX]; /* the oldest first */
    size_t runs_count;
} pipeline_t;

typedef struct pipelines {
    zhashx_t *table; /* name → pipeline_t */
    int64_t last_run;
} pipelines_t;

void pipelines_init(pipelines_t *pipelines);
void pipelines_fini(pipelines_t *pipelines);
int pipelines_load(pipelines_t *pipelines, const msg_documents_t *documents, fault_t *why);
int pipelines_load_runs(pipelines_t *pipelines, const msg_documents_t *documents, fault_t *why);

pipeline_t *pipelines_find(const pipelines_t *pipelines, const char *name);
/* Puts a definition in; true: the name is new. */
bool pipelines_set(pipelines_t *pipelines, const msg_pipeline_t *definition);
void pipelines_remove(pipelines_t *pipelines, const char *name);

/* Adds a run and gives its id. The oldest is forgotten where there are too many. */
const run_t *pipelines_add_run(pipelines_t *pipelines, pipeline_t *pipeline, const msg_job_decision_t *decision, int64_t now);
/* Sets a run's end state; NULL where no pipeline has that run. */
pipeline_t *pipelines_finish_run(pipelines_t *pipelines, const char *name, const char *state, ticket_t finisher);
const run_t *pipelines_run_of_ticket(const pipelines_t *pipelines, ticket_t finisher);
void pipelines_describe_run(const run_t *run, msg_run_t *ret);
/* Has the catalog remember a pipeline's runs. */
void pipelines_write_runs(const pipeline_t *pipeline, actor_t *me, answer_fn *then, uint64_t context);
void pipelines_answer_list(const pipelines_t *pipelines, actor_t *me, ticket_t ticket);

#endif
