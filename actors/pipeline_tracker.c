/* The pipeline tracker knows what the user is working on: the pipelines, their definitions and their runs. Every op that takes a pipeline
 * and needs more than one actor is carried through here, as a *work*: a definition is stored, compared with what was recorded, and then
 * the op's own steps follow. Works that may change what is recorded go one at a time for a pipeline, so that two clients that run the same
 * pipeline at once do not start its recording twice. */
#include "pipeline_tracker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines.h"
#include "work.h"

static int on_pipelines(void *state, const answer_t *answer, uint64_t context, fault_t *why);

/* A run whose end is being remembered. */
struct finishing {
    ticket_t ticket;
    char run[64];
    char *before; /* the state to go back to where this one cannot be remembered; NULL: not known */
    finishing_t *next;
};

/* ---- life ---- */

static void finishing_free(finishing_t *finishing) {
    free(finishing->before);
    free(finishing);
}

static void pipeline_tracker_destroy(void **state) {
    pipeline_tracker_t *t = *state;
    if (!t) return;
    works_fini(t);
    while (t->finishings) {
        finishing_t *next = t->finishings->next;
        finishing_free(t->finishings);
        t->finishings = next;
    }
    pipelines_fini(&t->pipelines);
    free(t);
    *state = NULL;
}

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    pipeline_tracker_t *t = state;
    if (!answer->message) return fault_set(why, "cannot read the options: %s", answer->refusal->message);
    const msg_options_t *options = answer->message;
    t->pipelines_max = options->pipelines_max;
    t->definitions_size_max = options->definitions_size_max;
    t->inline_size_max = options->inline_size_max;
    actor_ask(t->me, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = "pipeline"}, on_pipelines, 0);
    return 0;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    pipeline_tracker_t *t = state;
    const msg_options_changed_t *options = in->message;
    t->pipelines_max = options->pipelines_max;
    t->definitions_size_max = options->definitions_size_max;
    t->inline_size_max = options->inline_size_max;
    return 0;
}

static void *pipeline_tracker_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    pipeline_tracker_t *t = calloc(1, sizeof *t);
    must(t);
    t->me = me;
    pipelines_init(&t->pipelines);
    actor_loading(me);
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_options, 0);
    return t;
}

static int on_runs(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    pipeline_tracker_t *t = state;
    if (!answer->message) return fault_set(why, "cannot read the runs: %s", answer->refusal->message);
    if (pipelines_load_runs(&t->pipelines, answer->message, why) < 0) return -1;
    actor_loaded(t->me);
    return 0;
}

static int on_pipelines(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    pipeline_tracker_t *t = state;
    if (!answer->message) return fault_set(why, "cannot read the pipelines: %s", answer->refusal->message);
    if (pipelines_load(&t->pipelines, answer->message, why) < 0) return -1;
    actor_ask(t->me, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = "run"}, on_runs, 0);
    return 0;
}

/* ---- works ---- */

static int start_work(pipeline_tracker_t *t, const envelope_t *in, const char *name, const msg_pipeline_t *definition, bool updates,
                      const msg_limits_t *limits) {
    const pipeline_t *known = pipelines_find(&t->pipelines, name);
    /* An earlier state had it, and forgot all but to say so. */
    const msg_pipeline_t gone = {.name = name};
    if (!known && in->id == MSG_PIPELINE_FORGET && in->request != in->ticket) definition = &gone;
    if (!definition && !known) {
        actor_refuse(t->me, in->ticket, ERROR_NOT_FOUND, "pipeline", "no pipeline `%s`", name);
        return 0;
    }
    work_t *work = work_add(t, in, definition ? definition : known->definition);
    work->updates = updates;
    work->by_name = definition == NULL;
    if (limits) {
        work->has_limits = true;
        work->limits = *limits;
    }
    works_run(t);
    return 0;
}

static int on_track(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_pipeline_track_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, true, NULL);
}

static int on_describe(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_pipeline_describe_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, true, NULL);
}

static int on_forget(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_pipeline_forget_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, false, NULL);
}

static int on_run(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_pipeline_run_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, true, m->has_limits ? &m->limits : NULL);
}

static int on_job_start(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_job_start_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, true, m->has_limits ? &m->limits : NULL);
}

static int on_job_needed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_job_needed_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, true, NULL);
}

static int on_source_has(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_source_has_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, false, NULL);
}

static int on_source_signature(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_source_signature_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, false, NULL);
}

static int on_source_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_source_changed_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, !m->has_update || m->update, NULL);
}

static int on_recording_complete(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_recording_complete_t *m = in->message;
    return start_work(state, in, m->pipeline, m->pipeline_definition, true, NULL);
}

static int on_define(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_pipeline_define_t *m = in->message;
    return start_work(state, in, m->pipeline.name, &m->pipeline, true, NULL);
}

static int on_tags(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_pipeline_tags_ask_t *m = in->message;
    return start_work(state, in, m->pipeline, NULL, false, NULL);
}

/* ---- what needs nobody else ---- */

static int on_list(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    pipeline_tracker_t *t = state;
    pipelines_answer_list(&t->pipelines, t->me, in->ticket);
    return 0;
}

static finishing_t *take_finishing(pipeline_tracker_t *t, ticket_t ticket) {
    finishing_t **at = &t->finishings;
    while (*at && (*at)->ticket != ticket) at = &(*at)->next;
    finishing_t *finishing = *at;
    must(finishing);
    *at = finishing->next;
    return finishing;
}

static int on_finish_written(void *state, const answer_t *answer, uint64_t ticket, fault_t *why) {
    (void)why;
    pipeline_tracker_t *t = state;
    finishing_t *finishing = take_finishing(t, ticket);
    run_t *run = NULL;
    pipelines_find_run(&t->pipelines, finishing->run, &run);
    if (answer->refusal) {
        if (run) pipelines_set_state(run, finishing->before);
        actor_refuse_as(t->me, ticket, answer->refusal);
    } else if (run) {
        msg_run_finished_t finished = {0};
        pipelines_describe_run(run, &finished.run);
        actor_answer(t->me, ticket, &finished);
    } else {
        actor_refuse(t->me, ticket, ERROR_NOT_FOUND, "run", "run `%s` was forgotten meanwhile", finishing->run);
    }
    finishing_free(finishing);
    return 0;
}

static int on_run_finish(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    pipeline_tracker_t *t = state;
    const msg_run_finish_t *m = in->message;
    run_t *run;
    pipeline_t *pipeline = pipelines_find_run(&t->pipelines, m->run, &run);
    if (!pipeline) {
        actor_refuse(t->me, in->ticket, ERROR_NOT_FOUND, "run", "no run `%s`", m->run);
        return 0;
    }
    finishing_t *finishing = calloc(1, sizeof *finishing);
    must(finishing);
    finishing->ticket = in->ticket;
    memcpy(finishing->run, run->run, sizeof finishing->run);
    finishing->before = run->state;
    run->state = NULL;
    finishing->next = t->finishings;
    t->finishings = finishing;
    pipelines_set_state(run, m->state);
    pipelines_write_runs(pipeline, t->me, on_finish_written, in->ticket);
    return 0;
}

const actor_class_t pipeline_tracker_class = {
    .name = "pipeline_tracker",
    .doc = "Knows the pipelines and their runs, and carries every op on a pipeline through.",
    .create = pipeline_tracker_create,
    .destroy = pipeline_tracker_destroy,
    .takes =
        {
            [MSG_PIPELINE_TRACK] = on_track,
            [MSG_PIPELINE_LIST] = on_list,
            [MSG_PIPELINE_DESCRIBE] = on_describe,
            [MSG_PIPELINE_FORGET] = on_forget,
            [MSG_PIPELINE_RUN_ASK] = on_run,
            [MSG_RUN_FINISH] = on_run_finish,
            [MSG_SOURCE_HAS] = on_source_has,
            [MSG_SOURCE_SIGNATURE] = on_source_signature,
            [MSG_SOURCE_CHANGED] = on_source_changed,
            [MSG_JOB_NEEDED] = on_job_needed,
            [MSG_JOB_START] = on_job_start,
            [MSG_RECORDING_COMPLETE_ASK] = on_recording_complete,
            [MSG_PIPELINE_DEFINE] = on_define,
            [MSG_PIPELINE_TAGS_ASK] = on_tags,
            [MSG_OPTIONS_CHANGED] = on_options_changed,
        },
    .sends = {MSG_OPTIONS_GET, MSG_CATALOG_READ, MSG_CATALOG_WRITE, MSG_SIGNATURE_COMPARE, MSG_SIGNATURE_RECORD, MSG_SIGNATURE_FORGET,
              MSG_JOB_ENSURE, MSG_JOB_INVALIDATE, MSG_JOB_FORGET, MSG_JOB_DESCRIBE, MSG_RECORDING_DESCRIBE, MSG_TEST_STREAM_STATUS,
              MSG_TEST_STREAM_START, MSG_BEAM_PORT_ASK, MSG_RECORDING_EVENTS, MSG_BEAM_PORT_RELEASE, MSG_NOTIFY},
};
