/* The table of pipelines: definitions and the last runs of each. It writes to the catalog through the actor that owns it. */
#ifndef REPRISE_PIPELINES_H
#define REPRISE_PIPELINES_H

#include <czmq.h>

#include "runtime/actor.h"

enum { RUNS_MAX = 20 }; /* remembered of one pipeline */

typedef struct run {
    char run[64], reason[32];
    char *job;   /* NULL: none */
    char *state; /* of the main job; NULL: not known */
    int64_t started_at;
} run_t;

typedef struct pipeline {
    msg_pipeline_t *definition;
    size_t size; /* of the definition, as it is stored */
    run_t *runs; /* the oldest first */
    size_t runs_count, runs_room;
} pipeline_t;

typedef struct pipelines {
    zhashx_t *table; /* name → pipeline_t */
    size_t size;     /* of all definitions */
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

/* Adds a run, unless there is one of that id. The oldest is forgotten where there are too many. */
void pipelines_add_run(pipelines_t *pipelines, pipeline_t *pipeline, const char *name, const msg_job_decision_t *decision, int64_t now);
void pipelines_remove_run(pipeline_t *pipeline, const char *name);
/* The pipeline that has that run, and the run; NULL where none has. */
pipeline_t *pipelines_find_run(const pipelines_t *pipelines, const char *name, run_t **ret_run);
/* Copies `state`; NULL: not known. */
void pipelines_set_state(run_t *run, const char *state);
void pipelines_describe_run(const run_t *run, msg_run_t *ret);
/* Has the catalog remember a pipeline's runs. */
void pipelines_write_runs(const pipeline_t *pipeline, actor_t *me, answer_fn *then, uint64_t context);
void pipelines_answer_list(const pipelines_t *pipelines, actor_t *me, ticket_t ticket);

#endif
