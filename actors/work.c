/* The steps of each op on a pipeline, as a table: what an op does can be read in one line of it. A step that needs another actor asks, and
 * the work goes on with the answer; a refusal ends it and is what the client is told. */
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORGOTTEN "pipeline `%s` was forgotten meanwhile"

/* Does its part: true when it is done, false when it waits for an answer. */
typedef bool step_fn(pipeline_tracker_t *t, work_t *work);

/* ---- the queue ---- */

work_t *work_of_serial(pipeline_tracker_t *t, uint64_t serial) {
    work_t *work = t->works;
    while (work && work->serial != serial) work = work->next;
    return work;
}

static void work_free(work_t *work) {
    record_free(RECORD_CLASS(pipeline), (void **)&work->definition);
    record_free(&message_class(MSG_COMPARISON)->record, (void **)&work->comparison);
    record_free(&message_class(MSG_JOB_DECISION)->record, (void **)&work->decision);
    record_free(RECORD_CLASS(job), (void **)&work->job);
    record_free(RECORD_CLASS(recording), (void **)&work->recording);
    record_free(&message_class(MSG_TEST_STREAM)->record, (void **)&work->test_stream);
    record_free(&message_class(MSG_BEAM_PORT)->record, (void **)&work->beam);
    msgpack_sbuffer_destroy(&work->events);
    free(work);
}

static void work_remove(pipeline_tracker_t *t, work_t *work) {
    work_t **at = &t->works;
    while (*at != work) at = &(*at)->next;
    *at = work->next;
    work_free(work);
}

static void work_end(pipeline_tracker_t *t, work_t *work) {
    work_remove(t, work);
    works_run(t);
}

void works_fini(pipeline_tracker_t *t) {
    while (t->works) {
        work_t *next = t->works->next;
        work_free(t->works);
        t->works = next;
    }
}

work_t *work_add(pipeline_tracker_t *t, const envelope_t *in, const msg_pipeline_t *definition) {
    work_t *work = calloc(1, sizeof *work);
    must(work);
    work->serial = ++t->last_work;
    work->op = in->id;
    work->ticket = in->ticket;
    work->definition = record_copy(RECORD_CLASS(pipeline), definition);
    if (in->id == MSG_PIPELINE_RUN_ASK) {
        const msg_pipeline_run_t *m = in->message;
        work->rewrite = m->rewrite;
        work->inlined = m->inlined;
        work->elements_max = m->has_max_elements ? m->max_elements : 0;
    }
    snprintf(work->request, sizeof work->request, "%llx-%llx", (unsigned long long)actor_config(t->me)->started,
             (unsigned long long)in->request);
    work_t **at = &t->works;
    while (*at) at = &(*at)->next;
    *at = work;
    return work;
}

/* ---- asking ---- */

void work_refuse(pipeline_tracker_t *t, work_t *work, const refusal_t *no) {
    actor_refuse_as(t->me, work->ticket, no);
    work_end(t, work);
}

/* An answer of which only the yes matters. */
static int on_done(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    (void)why;
    pipeline_tracker_t *t = state;
    work_t *work = work_of_serial(t, serial);
    if (!work) return 0;
    if (answer->refusal)
        work_refuse(t, work, answer->refusal);
    else
        work_proceed(t, work);
    return 0;
}

static void *keep(message_id_t id, const answer_t *answer) {
    return record_copy(&message_class(id)->record, answer->message);
}

/* ---- the steps ---- */

static int on_compared(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    work_t *work = work_of_serial(state, serial);
    if (work && answer->message) work->comparison = keep(MSG_COMPARISON, answer);
    return on_done(state, answer, serial, why);
}

static bool compare(pipeline_tracker_t *t, work_t *work) {
    msg_signature_compare_t ask = {
        .pipeline = *work->definition, .has_request = true, .request = work->request, .has_stored = work->by_name, .stored = work->by_name};
    actor_ask(t->me, "signature_checker", MSG_SIGNATURE_COMPARE, &ask, on_compared, work->serial);
    return false;
}

/* Before anything has changed: a run that cannot be answered is not begun. */
static bool check_rewrite(pipeline_tracker_t *t, work_t *work) {
    refusal_t no;
    msgpack_sbuffer out;
    if (!work->rewrite && !work->inlined && !work->elements_max) return true;
    msgpack_sbuffer_init(&out);
    bool can = work_rewrite(t, work, &out, &no) == 0;
    msgpack_sbuffer_destroy(&out);
    if (!can) work_refuse(t, work, &no);
    return can;
}

static int on_stored(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    pipeline_tracker_t *t = state;
    work_t *work = work_of_serial(t, serial);
    if (work) {
        work->is_new = false;
        work->grows = 0;
    }
    if (work && answer->message && pipelines_set(&t->pipelines, work->definition))
        actor_tell(t->me, "notifier", MSG_NOTIFY,
                   &(msg_notify_t){.topic = "pipeline.tracked", .key = "pipeline", .name = work->definition->name, .state = "tracked"});
    return on_done(state, answer, serial, why);
}

static bool same(const msgpack_sbuffer *a, const msgpack_sbuffer *b) {
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Is there room for one more, besides those that are being stored? */
static int room_check(const pipeline_tracker_t *t, const work_t *work, refusal_t *no) {
    size_t count = zhashx_size(t->pipelines.table);
    for (const work_t *other = t->works; other; other = other->next) count += other->is_new;
    if (count < (uint64_t)t->pipelines_max) return 0;
    return refuse(no, ERROR_LIMIT, "pipeline", "pipeline `%.80s` is new: there are %zu, and `pipelines_max` is %lld",
                  work->definition->name, count, (long long)t->pipelines_max);
}

/* All definitions are in memory, and the next process reads them all: so they are bounded together. One that takes no more than before always has
 * room. */
static int size_check(const pipeline_tracker_t *t, const work_t *work, size_t size, size_t grows, refusal_t *no) {
    size_t all = t->pipelines.size + grows;
    for (const work_t *other = t->works; other; other = other->next) all += other->grows;
    if (grows == 0 || all <= (uint64_t)t->definitions_size_max) return 0;
    return refuse(no, ERROR_LIMIT, "pipeline",
                  "the definition of pipeline `%.80s` has %zu bytes: all together would have %zu, and `definitions_size_max` is %lld",
                  work->definition->name, size, all, (long long)t->definitions_size_max);
}

static void write_definition(pipeline_tracker_t *t, const work_t *work, bytes_t definition) {
    const char *name = work->definition->name;
    msg_document_t documents[] = {{.kind = "pipeline", .key = name, .has_value = true, .value = definition}, {.kind = "run", .key = name}};
    msg_catalog_write_t write = {.documents = {work->is_new ? 2 : 1, documents}};
    actor_ask(t->me, "catalog", MSG_CATALOG_WRITE, &write, on_stored, work->serial);
}

/* The definition becomes the stored one; one that is stored already costs no write. A new pipeline has no runs, whatever an older one of
 * that name left behind. */
static bool store(pipeline_tracker_t *t, work_t *work) {
    const pipeline_t *known = pipelines_find(&t->pipelines, work->definition->name);
    refusal_t no;
    if (work->by_name && !known) {
        refuse(&no, ERROR_NOT_FOUND, "pipeline", FORGOTTEN, work->definition->name);
        work_refuse(t, work, &no);
        return false;
    }
    if (work->by_name || !work->updates) return true;
    if (!known && room_check(t, work, &no) < 0) {
        work_refuse(t, work, &no);
        return false;
    }
    msgpack_sbuffer now, before;
    msgpack_sbuffer_init(&now);
    msgpack_sbuffer_init(&before);
    record_encode(RECORD_CLASS(pipeline), work->definition, &now);
    if (known) record_encode(RECORD_CLASS(pipeline), known->definition, &before);
    size_t grows = now.size > before.size ? now.size - before.size : 0;
    bool stored = known && same(&now, &before);
    if (!stored && size_check(t, work, now.size, grows, &no) < 0) {
        work_refuse(t, work, &no);
    } else if (!stored) {
        work->is_new = !known;
        work->grows = grows;
        write_definition(t, work, (bytes_t){(const uint8_t *)now.data, now.size});
    }
    msgpack_sbuffer_destroy(&now);
    msgpack_sbuffer_destroy(&before);
    return stored;
}

static int on_decided(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    work_t *work = work_of_serial(state, serial);
    if (work && answer->message) {
        record_free(&message_class(MSG_JOB_DECISION)->record, (void **)&work->decision);
        work->decision = keep(MSG_JOB_DECISION, answer);
    }
    return on_done(state, answer, serial, why);
}

/* Where the change was found to be none that needs a job, that is the answer: whoever clears in between comes after. */
static bool decide(pipeline_tracker_t *t, work_t *work) {
    const msg_comparison_t *c = work->comparison;
    if (work->settled) return true;
    msg_job_ensure_t ensure = {.pipeline = work->definition->name,
                               .changed = c->changed || c->pending,
                               .dry = work->op == MSG_JOB_NEEDED,
                               .has_limits = work->has_limits,
                               .limits = work->limits,
                               .has_request = true,
                               .request = work->request};
    memcpy(&ensure.recordables, &c->recordables, sizeof ensure.recordables);
    actor_ask(t->me, "job_supervisor", MSG_JOB_ENSURE, &ensure, on_decided, work->serial);
    return false;
}

/* `signature` is what is recorded from now on. */
static void record_signature(pipeline_tracker_t *t, const work_t *work, const names_t *signature, bool pending) {
    msg_signature_record_t record = {
        .pipeline = work->definition->name, .signature = *signature, .pending = pending, .has_request = true, .request = work->request};
    if (!pending) {
        record.has_job = work->decision->has_job;
        record.job = work->decision->job;
    }
    actor_ask(t->me, "signature_checker", MSG_SIGNATURE_RECORD, &record, on_done, work->serial);
}

/* A job has started on the sources as they are now; or a recording of them became valid again, and what that was made of counts. */
static bool record_started(pipeline_tracker_t *t, work_t *work) {
    const msg_job_decision_t *d = work->decision;
    if (work->settled || !d || !(d->started || d->has_made_of)) return true;
    record_signature(t, work, d->started ? &work->comparison->signature : &d->made_of, false);
    work->settled = true;
    return false;
}

/* A change is remembered until a job has started on it, whoever saw it first. */
static bool record_change(pipeline_tracker_t *t, work_t *work) {
    if (!work->updates || !work->comparison->changed || work->settled) return true;
    record_signature(t, work, &work->comparison->signature, true);
    return false;
}

/* Before the change is remembered: so where the process dies between the two, it is seen once more, and no recording of other sources than
 * the recorded ones looks valid. One that was seen earlier may be of sources that are all recorded somewhere, now that others are gone. */
static bool invalidate(pipeline_tracker_t *t, work_t *work) {
    if (!work->updates || !(work->comparison->changed || work->comparison->pending)) return true;
    msg_job_invalidate_t invalidate = {.pipeline = work->definition->name, .signature = work->comparison->signature};
    actor_ask(t->me, "job_supervisor", MSG_JOB_INVALIDATE, &invalidate, on_decided, work->serial);
    return false;
}

static bool serve(pipeline_tracker_t *t, work_t *work) {
    if (work->comparison->recordables.count == 0) return true;
    actor_ask(t->me, "test_stream_server", MSG_TEST_STREAM_START, &(msg_test_stream_start_t){.pipeline = work->definition->name}, on_done,
              work->serial);
    return false;
}

static int on_beam(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    work_t *work = work_of_serial(state, serial);
    if (work && answer->message) work->beam = keep(MSG_BEAM_PORT, answer);
    return on_done(state, answer, serial, why);
}

/* Where there is one port for all, it is known; and who only asks for a description gets none of its own. */
static bool find_beam(pipeline_tracker_t *t, work_t *work) {
    const config_t *config = actor_config(t->me);
    bool served = work->comparison->recordables.count > 0 && (!work->test_stream || work->test_stream->has_endpoint);
    if (!config->beam[0] || !config->beam_first || !served) return true;
    actor_ask(t->me, "beam_gateway", MSG_BEAM_PORT_ASK, &(msg_beam_port_ask_t){.pipeline = work->definition->name}, on_beam, work->serial);
    return false;
}

/* NULL: Beam has nothing to call for. */
static const char *beam_endpoint(const pipeline_tracker_t *t, const work_t *work) {
    const char *shared = actor_config(t->me)->beam;
    if (work->comparison->recordables.count == 0 || !shared[0]) return NULL;
    return work->beam ? work->beam->endpoint : shared;
}

static int on_run_written(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    pipeline_tracker_t *t = state;
    const work_t *work = work_of_serial(t, serial);
    pipeline_t *pipeline = work ? pipelines_find(&t->pipelines, work->definition->name) : NULL;
    if (pipeline && answer->refusal) pipelines_remove_run(pipeline, work->run);
    return on_done(state, answer, serial, why);
}

static bool write_run(pipeline_tracker_t *t, work_t *work) {
    pipeline_t *pipeline = pipelines_find(&t->pipelines, work->definition->name);
    must(pipeline); /* stored before, and only a work that goes alone forgets it */
    snprintf(work->run, sizeof work->run, "run-%s", work->request);
    pipelines_add_run(&t->pipelines, pipeline, work->run, work->decision, actor_now(t->me));
    pipelines_write_runs(pipeline, t->me, on_run_written, work->serial);
    return false;
}

static int on_job(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    work_t *work = work_of_serial(state, serial);
    if (!work) return 0;
    if (answer->message)
        work->job = keep(MSG_JOB, answer);
    else if (answer->refusal->code != ERROR_NOT_FOUND)
        return on_done(state, answer, serial, why);
    work_proceed(state, work);
    return 0;
}

static bool find_job(pipeline_tracker_t *t, work_t *work) {
    msg_job_describe_t describe = {.has_pipeline = true, .pipeline = work->definition->name};
    actor_ask(t->me, "job_supervisor", MSG_JOB_DESCRIBE, &describe, on_job, work->serial);
    return false;
}

static int on_recording(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    work_t *work = work_of_serial(state, serial);
    if (!work) return 0;
    if (answer->message)
        work->recording = keep(MSG_RECORDING, answer);
    else if (answer->refusal->code != ERROR_NOT_FOUND)
        return on_done(state, answer, serial, why);
    work_proceed(state, work);
    return 0;
}

static bool find_recording(pipeline_tracker_t *t, work_t *work) {
    msg_recording_describe_t describe = {.has_pipeline = true, .pipeline = work->definition->name};
    actor_ask(t->me, "recorder", MSG_RECORDING_DESCRIBE, &describe, on_recording, work->serial);
    return false;
}

static int on_test_stream(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    work_t *work = work_of_serial(state, serial);
    if (work && answer->message) work->test_stream = keep(MSG_TEST_STREAM, answer);
    return on_done(state, answer, serial, why);
}

static bool find_test_stream(pipeline_tracker_t *t, work_t *work) {
    actor_ask(t->me, "test_stream_server", MSG_TEST_STREAM_STATUS, &(msg_test_stream_status_t){.pipeline = work->definition->name},
              on_test_stream, work->serial);
    return false;
}

static bool forget_job(pipeline_tracker_t *t, work_t *work) {
    actor_ask(t->me, "job_supervisor", MSG_JOB_FORGET, &(msg_job_forget_t){.pipeline = work->definition->name}, on_done, work->serial);
    return false;
}

static bool forget_signature(pipeline_tracker_t *t, work_t *work) {
    actor_ask(t->me, "signature_checker", MSG_SIGNATURE_FORGET, &(msg_signature_forget_t){.pipeline = work->definition->name}, on_done,
              work->serial);
    return false;
}

static bool forget_documents(pipeline_tracker_t *t, work_t *work) {
    const char *name = work->definition->name;
    msg_document_t documents[] = {{.kind = "pipeline", .key = name}, {.kind = "run", .key = name}};
    actor_ask(t->me, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {2, documents}}, on_done, work->serial);
    return false;
}

static bool forget_beam(pipeline_tracker_t *t, work_t *work) {
    if (!actor_config(t->me)->beam[0] || !actor_config(t->me)->beam_first) return true;
    actor_ask(t->me, "beam_gateway", MSG_BEAM_PORT_RELEASE, &(msg_beam_port_release_t){.pipeline = work->definition->name}, on_done,
              work->serial);
    return false;
}

static bool forget_pipeline(pipeline_tracker_t *t, work_t *work) {
    const char *name = work->definition->name;
    pipelines_remove(&t->pipelines, name);
    actor_tell(t->me, "notifier", MSG_NOTIFY,
               &(msg_notify_t){.topic = "pipeline.forgotten", .key = "pipeline", .name = name, .state = "forgotten"});
    return true;
}

/* ---- the answers ---- */

static int compare_tags(const void *a, const void *b) {
    return strcmp(((const msg_tag_t *)a)->tag, ((const msg_tag_t *)b)->tag);
}

size_t work_tags(const msg_comparison_t *comparison, msg_tag_t **ret_tags) {
    msg_tag_t *tags = calloc(comparison->sources.count + 1, sizeof *tags);
    must(tags);
    for (size_t i = 0; i < comparison->sources.count; i++)
        tags[i] = (msg_tag_t){.tag = comparison->sources.items[i].tag, .signature = comparison->sources.items[i].signature};
    qsort(tags, comparison->sources.count, sizeof *tags, compare_tags);
    size_t count = 0;
    for (size_t i = 0; i < comparison->sources.count; i++)
        if (count == 0 || strcmp(tags[count - 1].tag, tags[i].tag) != 0) tags[count++] = tags[i];
    *ret_tags = tags;
    return count;
}

static bool answer_ok(pipeline_tracker_t *t, work_t *work) {
    actor_answer(t->me, work->ticket, NULL);
    return true;
}

static bool answer_track(pipeline_tracker_t *t, work_t *work) {
    const msg_comparison_t *c = work->comparison;
    actor_answer(t->me, work->ticket,
                 &(msg_pipeline_tracked_t){.has_sources = c->recordables.count > 0, .signature = c->signature, .changed = c->changed});
    return true;
}

static bool answer_run(pipeline_tracker_t *t, work_t *work) {
    const msg_comparison_t *c = work->comparison;
    const config_t *config = actor_config(t->me);
    msg_tag_t *tags;
    msgpack_sbuffer beam;
    refusal_t no;
    msgpack_sbuffer_init(&beam);
    bool rewritten = work->rewrite && (!work->inlined || work->has_events);
    if (rewritten) must(work_rewrite(t, work, &beam, &no) == 0); /* it was tried before */
    size_t count = work_tags(c, &tags);
    const char **names = calloc(count + 1, sizeof *names);
    must(names);
    for (size_t i = 0; i < count; i++) names[i] = tags[i].tag;
    const msg_job_decision_t *d = work->decision;
    actor_answer(t->me, work->ticket,
                 &(msg_pipeline_run_answer_t){.has_run = work->run[0] != '\0',
                                              .run = work->run,
                                              .started = d->started,
                                              .reason = d->reason,
                                              .added = c->added_since,
                                              .removed = c->removed_since,
                                              .has_job = d->has_job,
                                              .job = d->job,
                                              .has_recording = d->has_recording,
                                              .recording = d->recording,
                                              .tags = {count, names},
                                              .has_test_stream = c->recordables.count > 0,
                                              .test_stream = config->endpoints[ENDPOINT_TEST_STREAM],
                                              .has_beam_endpoint = beam_endpoint(t, work) != NULL,
                                              .beam_endpoint = beam_endpoint(t, work),
                                              .has_beam = rewritten,
                                              .beam = {(const uint8_t *)beam.data, beam.size}});
    msgpack_sbuffer_destroy(&beam);
    free(names);
    free(tags);
    return true;
}

static bool answer_sources(pipeline_tracker_t *t, work_t *work) {
    msg_sources_t answer = {.has = work->comparison->sources.count > 0};
    memcpy(&answer.sources, &work->comparison->sources, sizeof answer.sources);
    actor_answer(t->me, work->ticket, &answer);
    return true;
}

static bool answer_signature(pipeline_tracker_t *t, work_t *work) {
    actor_answer(t->me, work->ticket, &(msg_signature_t){.signature = work->comparison->signature});
    return true;
}

static bool answer_changes(pipeline_tracker_t *t, work_t *work) {
    const msg_comparison_t *c = work->comparison;
    actor_answer(t->me, work->ticket, &(msg_source_changes_t){.changed = c->changed, .added = c->added, .removed = c->removed});
    return true;
}

static bool answer_need(pipeline_tracker_t *t, work_t *work) {
    actor_answer(t->me, work->ticket, &(msg_job_need_t){.needed = work->decision->needed, .reason = work->decision->reason});
    return true;
}

static bool answer_complete(pipeline_tracker_t *t, work_t *work) {
    bool complete = work->comparison->changed || work->comparison->pending || (work->job && work->job->is_done);
    actor_answer(t->me, work->ticket, &(msg_recording_complete_answer_t){.complete = complete});
    return true;
}

static bool answer_tags(pipeline_tracker_t *t, work_t *work) {
    msg_tag_t *tags;
    size_t count = work_tags(work->comparison, &tags);
    actor_answer(t->me, work->ticket, &(msg_pipeline_tags_t){.tags = {count, tags}});
    free(tags);
    return true;
}

static bool answer_description(pipeline_tracker_t *t, work_t *work) {
    const pipeline_t *pipeline = pipelines_find(&t->pipelines, work->definition->name);
    msg_run_t runs[RUNS_MAX];
    msg_pipeline_description_t answer = {.name = work->definition->name, .signature = work->comparison->signature, .runs = {0, runs}};
    for (size_t i = 0; pipeline && i < pipeline->runs_count; i++) pipelines_describe_run(&pipeline->runs[i], &runs[answer.runs.count++]);
    memcpy(&answer.transforms, &work->definition->transforms, sizeof answer.transforms);
    answer.has_beam_size = work->definition->has_beam;
    answer.beam_size = (int64_t)work->definition->beam.size;
    memcpy(&answer.sources, &work->comparison->sources, sizeof answer.sources);
    if (work->job) {
        answer.has_job = true;
        answer.job = *work->job;
    }
    if (work->recording) {
        answer.has_recording = true;
        answer.recording = *work->recording;
    }
    answer.has_test_stream = work->test_stream->has_endpoint;
    answer.test_stream = work->test_stream->endpoint;
    answer.has_beam_endpoint = answer.has_test_stream && beam_endpoint(t, work);
    answer.beam_endpoint = beam_endpoint(t, work);
    actor_answer(t->me, work->ticket, &answer);
    return true;
}

/* ---- the ops ---- */

typedef struct course {
    bool alone; /* no other such work on the same pipeline meanwhile */
    step_fn *steps[11];
} course_t;

static const course_t courses[MESSAGE_COUNT] = {
    [MSG_PIPELINE_TRACK] = {false, {compare, store, answer_track}},
    [MSG_PIPELINE_DEFINE] = {false, {compare, store, answer_ok}},
    [MSG_PIPELINE_TAGS_ASK] = {false, {compare, answer_tags}},
    [MSG_PIPELINE_DESCRIBE] = {false, {compare, store, find_job, find_recording, find_test_stream, find_beam, answer_description}},
    [MSG_PIPELINE_RUN_ASK] = {true,
                              {compare, check_rewrite, store, decide, record_started, serve, find_beam, work_inline, write_run,
                               answer_run}},
    [MSG_JOB_START] = {true, {compare, store, decide, record_started, serve, find_beam, answer_run}},
    [MSG_JOB_NEEDED] = {true, {compare, store, invalidate, record_started, record_change, decide, record_started, answer_need}},
    [MSG_SOURCE_HAS] = {false, {compare, answer_sources}},
    [MSG_SOURCE_SIGNATURE] = {false, {compare, answer_signature}},
    [MSG_SOURCE_CHANGED] = {true, {compare, store, invalidate, record_started, record_change, answer_changes}},
    [MSG_RECORDING_COMPLETE_ASK] = {false, {compare, store, find_job, answer_complete}},
    [MSG_PIPELINE_FORGET] = {true, {forget_job, forget_signature, forget_documents, forget_beam, forget_pipeline, answer_ok}},
};

void work_proceed(pipeline_tracker_t *t, work_t *work) {
    const course_t *course = &courses[work->op];
    while (course->steps[work->step]) {
        step_fn *step = course->steps[work->step++];
        if (!step(t, work)) return;
    }
    work_end(t, work);
}

static bool can_begin(const pipeline_tracker_t *t, const work_t *work) {
    if (work->active) return false;
    for (const work_t *other = t->works; other && work->inlined; other = other->next)
        if (other->inlined && other->active) return false; /* what they gather is in memory */
    if (!courses[work->op].alone) return true;
    for (const work_t *other = t->works; other != work; other = other->next)
        if (courses[other->op].alone && strcmp(other->definition->name, work->definition->name) == 0) return false;
    return true;
}

/* A work by name is about the definition that the pipeline has when its turn comes; false: it has none any more. */
static bool begin(pipeline_tracker_t *t, work_t *work) {
    work->active = true;
    if (!work->by_name) return true;
    const pipeline_t *known = pipelines_find(&t->pipelines, work->definition->name);
    if (!known) return false;
    record_free(RECORD_CLASS(pipeline), (void **)&work->definition);
    work->definition = record_copy(RECORD_CLASS(pipeline), known->definition);
    return true;
}

void works_run(pipeline_tracker_t *t) {
    work_t *work = t->works;
    while (work) {
        if (!can_begin(t, work)) {
            work = work->next;
            continue;
        }
        if (begin(t, work)) {
            work_proceed(t, work);
        } else {
            actor_refuse(t->me, work->ticket, ERROR_NOT_FOUND, "pipeline", FORGOTTEN, work->definition->name);
            work_remove(t, work);
        }
        work = t->works; /* it may be gone, and others with it */
    }
}
