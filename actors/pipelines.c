/* Every pipeline has its definition and its last runs in memory, and no more of it than there is: a thousand pipelines with all the runs that
 * are remembered are a few megabytes. */
#include "pipelines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_fini(run_t *run) {
    free(run->job);
    free(run->state);
}

static void free_pipeline(void **item) {
    pipeline_t *pipeline = *item;
    if (!pipeline) return;
    for (size_t i = 0; i < pipeline->runs_count; i++) run_fini(&pipeline->runs[i]);
    free(pipeline->runs);
    record_free(RECORD_CLASS(pipeline), (void **)&pipeline->definition);
    free(pipeline);
    *item = NULL;
}

void pipelines_init(pipelines_t *pipelines) {
    *pipelines = (pipelines_t){.table = zhashx_new()};
    must(pipelines->table);
    zhashx_set_destructor(pipelines->table, free_pipeline);
}

void pipelines_fini(pipelines_t *pipelines) {
    zhashx_destroy(&pipelines->table);
}

pipeline_t *pipelines_find(const pipelines_t *pipelines, const char *name) {
    return zhashx_lookup(pipelines->table, name);
}

static size_t size_of(const msg_pipeline_t *definition) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    record_encode(RECORD_CLASS(pipeline), definition, &out);
    size_t size = out.size;
    msgpack_sbuffer_destroy(&out);
    return size;
}

bool pipelines_set(pipelines_t *pipelines, const msg_pipeline_t *definition) {
    pipeline_t *pipeline = pipelines_find(pipelines, definition->name);
    bool is_new = !pipeline;
    if (is_new) {
        pipeline = calloc(1, sizeof *pipeline);
        must(pipeline);
        zhashx_insert(pipelines->table, definition->name, pipeline);
    }
    void *old = pipeline->definition;
    pipeline->definition = record_copy(RECORD_CLASS(pipeline), definition);
    record_free(RECORD_CLASS(pipeline), &old);
    pipelines->size -= pipeline->size;
    pipeline->size = size_of(definition);
    pipelines->size += pipeline->size;
    return is_new;
}

void pipelines_remove(pipelines_t *pipelines, const char *name) {
    const pipeline_t *pipeline = pipelines_find(pipelines, name);
    if (pipeline) pipelines->size -= pipeline->size;
    zhashx_delete(pipelines->table, name);
}

int pipelines_load(pipelines_t *pipelines, const msg_documents_t *documents, fault_t *why) {
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(zone);
    int result = 0;
    for (size_t i = 0; i < documents->documents.count && result == 0; i++) {
        const msg_document_t *document = &documents->documents.items[i];
        msg_pipeline_t definition = {0};
        refusal_t no;
        result = record_decode(RECORD_CLASS(pipeline), document->key, document->value, zone, &definition, &no);
        if (result == 0)
            pipelines_set(pipelines, &definition);
        else
            fault_set(why, "the catalog's pipeline `%s` cannot be read: %s", document->key, no.message);
        msgpack_zone_clear(zone);
    }
    msgpack_zone_free(zone);
    return result;
}

/* ---- runs ---- */

static char *text_copy(const char *text) {
    char *copy = text ? strdup(text) : NULL;
    must(copy || !text);
    return copy;
}

void pipelines_set_state(run_t *run, const char *state) {
    free(run->state);
    run->state = text_copy(state);
}

static void remove_run(pipeline_t *pipeline, run_t *run) {
    size_t after = (size_t)(&pipeline->runs[pipeline->runs_count] - run) - 1;
    run_fini(run);
    memmove(run, run + 1, after * sizeof *run);
    pipeline->runs_count--;
}

/* The newest; the oldest goes where there are too many. */
static run_t *add_run(pipeline_t *pipeline, const char *name, const char *reason, const char *job, int64_t started_at) {
    if (pipeline->runs_count == RUNS_MAX) remove_run(pipeline, &pipeline->runs[0]);
    if (pipeline->runs_count == pipeline->runs_room) {
        pipeline->runs_room = pipeline->runs_room > 0 ? pipeline->runs_room * 2 : 1;
        pipeline->runs = realloc(pipeline->runs, pipeline->runs_room * sizeof *pipeline->runs);
        must(pipeline->runs);
    }
    run_t *run = &pipeline->runs[pipeline->runs_count++];
    *run = (run_t){.started_at = started_at, .job = text_copy(job)};
    snprintf(run->run, sizeof run->run, "%s", name);
    snprintf(run->reason, sizeof run->reason, "%s", reason);
    return run;
}

static void load_run(pipelines_t *pipelines, pipeline_t *pipeline, const msg_run_t *known) {
    run_t *run = add_run(pipeline, known->run, known->reason, known->has_job ? known->job : NULL, known->started_at);
    if (known->has_state) pipelines_set_state(run, known->state);
    if (known->started_at > pipelines->last_run) pipelines->last_run = known->started_at;
}

int pipelines_load_runs(pipelines_t *pipelines, const msg_documents_t *documents, fault_t *why) {
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(zone);
    int result = 0;
    for (size_t i = 0; i < documents->documents.count && result == 0; i++) {
        const msg_document_t *document = &documents->documents.items[i];
        msg_run_history_t history = {0};
        refusal_t no;
        result = record_decode(RECORD_CLASS(run_history), document->key, document->value, zone, &history, &no);
        pipeline_t *pipeline = pipelines_find(pipelines, document->key);
        if (result < 0) fault_set(why, "the catalog's runs of `%s` cannot be read: %s", document->key, no.message);
        for (size_t k = 0; result == 0 && pipeline && k < history.runs.count && k < RUNS_MAX; k++)
            load_run(pipelines, pipeline, &history.runs.items[k]);
        msgpack_zone_clear(zone);
    }
    msgpack_zone_free(zone);
    return result;
}

static run_t *run_of(pipeline_t *pipeline, const char *name) {
    for (size_t i = 0; i < pipeline->runs_count; i++)
        if (strcmp(pipeline->runs[i].run, name) == 0) return &pipeline->runs[i];
    return NULL;
}

void pipelines_add_run(pipelines_t *pipelines, pipeline_t *pipeline, const char *name, const msg_job_decision_t *decision, int64_t now) {
    if (run_of(pipeline, name)) return;
    pipelines->last_run = now > pipelines->last_run ? now : pipelines->last_run + 1;
    add_run(pipeline, name, decision->reason, decision->has_job ? decision->job : NULL, pipelines->last_run);
}

void pipelines_remove_run(pipeline_t *pipeline, const char *name) {
    run_t *run = run_of(pipeline, name);
    if (run) remove_run(pipeline, run);
}

pipeline_t *pipelines_find_run(const pipelines_t *pipelines, const char *name, run_t **ret_run) {
    for (pipeline_t *pipeline = zhashx_first(pipelines->table); pipeline; pipeline = zhashx_next(pipelines->table)) {
        run_t *run = run_of(pipeline, name);
        if (!run) continue;
        *ret_run = run;
        return pipeline;
    }
    return NULL;
}

void pipelines_describe_run(const run_t *run, msg_run_t *ret) {
    *ret = (msg_run_t){.run = run->run,
                       .started_at = run->started_at,
                       .reason = run->reason,
                       .has_job = run->job != NULL,
                       .job = run->job,
                       .has_state = run->state != NULL,
                       .state = run->state};
}

void pipelines_write_runs(const pipeline_t *pipeline, actor_t *me, answer_fn *then, uint64_t context) {
    msg_run_t items[RUNS_MAX];
    for (size_t i = 0; i < pipeline->runs_count; i++) pipelines_describe_run(&pipeline->runs[i], &items[i]);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    record_encode(RECORD_CLASS(run_history), &(msg_run_history_t){.runs = {pipeline->runs_count, items}}, &out);
    msg_document_t document = {
        .kind = "run", .key = pipeline->definition->name, .has_value = true, .value = {(const uint8_t *)out.data, out.size}};
    actor_ask(me, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {1, &document}}, then, context);
    msgpack_sbuffer_destroy(&out);
}

static int compare_summaries(const void *a, const void *b) {
    return strcmp(((const msg_pipeline_summary_t *)a)->name, ((const msg_pipeline_summary_t *)b)->name);
}

void pipelines_answer_list(const pipelines_t *pipelines, actor_t *me, ticket_t ticket) {
    msg_pipeline_summary_t *items = calloc(zhashx_size(pipelines->table) + 1, sizeof *items);
    must(items);
    size_t count = 0;
    for (pipeline_t *pipeline = zhashx_first(pipelines->table); pipeline; pipeline = zhashx_next(pipelines->table))
        items[count++] = (msg_pipeline_summary_t){.name = pipeline->definition->name,
                                                  .transforms = (int64_t)pipeline->definition->transforms.count,
                                                  .has_beam_size = pipeline->definition->has_beam,
                                                  .beam_size = (int64_t)pipeline->definition->beam.size,
                                                  .runs = (int64_t)pipeline->runs_count};
    qsort(items, count, sizeof *items, compare_summaries);
    actor_answer(me, ticket, &(msg_pipelines_t){.pipelines = {count, items}});
    free(items);
}
