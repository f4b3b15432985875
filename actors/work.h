/* A work: one op on a pipeline that is carried through in steps. */
#ifndef REPRISE_WORK_H
#define REPRISE_WORK_H

#include "pipelines.h"

typedef struct work {
    uint64_t serial;
    message_id_t op;
    ticket_t ticket;
    size_t step;          /* the next one, in the op's list */
    bool active;          /* has begun */
    bool updates;         /* may change what is stored and recorded */
    bool settled;         /* what changed is recorded, or valid again */
    bool is_new;          /* its definition is being stored, and there was none */
    size_t grows;         /* by so many bytes, where its definition is being stored and is larger than the one before */
    bool rewrite;         /* the answer has the pipeline of Beam that replays what is recorded */
    bool inlined;         /* with the events in it, */
    int64_t elements_max; /* of so many elements; 0: of all */
    bool has_events;
    msgpack_sbuffer events; /* while they are gathered */
    bool by_name;           /* the definition is the stored one; otherwise it becomes that, if it updates */
    msg_pipeline_t *definition;
    bool has_limits;
    msg_limits_t limits;
    msg_comparison_t *comparison; /* what the steps found, NULL until then */
    msg_job_decision_t *decision;
    msg_job_t *job;
    msg_recording_t *recording;
    msg_test_stream_t *test_stream;
    msg_beam_port_t *beam; /* where Beam calls, where the pipeline may have a port of its own */
    char request[48];      /* names it, also when it is begun anew after this actor failed */
    char run[64];          /* empty: none */
    struct work *next;
} work_t;

typedef struct finishing finishing_t;

typedef struct pipeline_tracker {
    actor_t *me;
    pipelines_t pipelines;
    int64_t pipelines_max, definitions_size_max, inline_size_max; /* the options */
    work_t *works;                                                /* the oldest first */
    uint64_t last_work;
    finishing_t *finishings; /* runs whose end is being remembered */
} pipeline_tracker_t;

/* Queues the op of `in`; it begins with works_run. Copies the definition. */
work_t *work_add(pipeline_tracker_t *t, const envelope_t *in, const msg_pipeline_t *definition);
void works_run(pipeline_tracker_t *t);
void works_fini(pipeline_tracker_t *t);

/* NULL: it is gone. */
work_t *work_of_serial(pipeline_tracker_t *t, uint64_t serial);
/* Runs steps until one waits. After the last, and after a refusal, the work is gone. */
void work_proceed(pipeline_tracker_t *t, work_t *work);
void work_refuse(pipeline_tracker_t *t, work_t *work, const refusal_t *no);
/* The distinct tags, sorted; the caller frees the list. */
size_t work_tags(const msg_comparison_t *comparison, msg_tag_t **ret_tags);

/* A step: gathers the events that are to stand in the rewritten pipeline, where that was asked for and the recording is complete. Refuses more bytes
 * than `inline_size_max`, and than an answer has room for. */
bool work_inline(pipeline_tracker_t *t, work_t *work);

/* Appends the pipeline of Beam that replays what is recorded, once its sources are known. Refuses, with the field `rewrite`: a definition that
 * is none of Beam; an engine that has no port for Beam, unless the events are to stand in it; what beam_rewrite refuses; and what no answer has room
 * for. */
int work_rewrite(const pipeline_tracker_t *t, const work_t *work, msgpack_sbuffer *out, refusal_t *no);

#endif
