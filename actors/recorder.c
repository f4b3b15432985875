/* The recorder owns the recordings. Sources send it their elements; it checks them, appends what the job's budget allows, and acknowledges
 * what was appended. It takes nothing before a budget is set and nothing after it is spent, so that no limit is ever passed by a single
 * element.
 *
 * What it knows, it can read again from the disk: who has sent how much, and from where to go on, stands in the same records as the
 * elements. Only who is connected is lost with its state; those are told to attach again. */
#include "recorder.h"

#include <stdlib.h>
#include <string.h>

#include "recorder_state.h"
#include "runtime/duration.h"
#include "store/folder.h"
#include "store/manifest.h"

enum { STREAMS_MAX = 1000000 }; /* of a recording that is asked about: more than any has */

/* A description that waits until the definition that came with it is stored. */
typedef struct definition {
    TAILQ_ENTRY(definition) link;
    ticket_t ticket;
    char *pipeline;
} definition_t;

typedef struct recorder_actor {
    recorder_t base; /* what its parts share */
    TAILQ_HEAD(definitions, definition) definitions;
} recorder_actor_t;

/* ---- life ---- */

static void take_options(recorder_t *self, const msg_options_t *options) {
    actor_bound(self->me, options);
    self->worker_timeout_us = us_of_ms(options->worker_timeout_ms);
    self->worker_wait_us = us_of_ms(options->worker_wait_ms);
    self->size_limit = options->recording_size_limit;
    self->body_size_max = options->body_size_max;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    msg_options_t options = options_changed(in->message);
    (void)why;
    take_options(state, &options);
    return 0;
}

static int on_loaded(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    static const msg_recorder_recovered_t recovered;
    recorder_t *self = state;
    (void)context;
    if (answer->refusal) return fault_set(why, "cannot read the options: %s", answer->refusal->message);
    take_options(self, answer->message);
    actor_loaded(self->me);
    recording_t *recording;
    LIST_FOREACH(recording, &self->writing, writing) sync_schedule(self, recording); /* what an earlier state may not have brought there */
    posts_check(self);
    static const char *const users[] = {"limiter", "job_supervisor", "test_stream_server", "gateway"};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) actor_tell(self->me, users[i], MSG_RECORDER_RECOVERED, &recovered);
    return 0;
}

static void recorder_destroy(void **state) {
    recorder_actor_t *actor = *state;
    if (!actor) return;
    definition_t *definition;
    while ((definition = TAILQ_FIRST(&actor->definitions))) {
        TAILQ_REMOVE(&actor->definitions, definition, link);
        free(definition->pipeline);
        free(definition);
    }
    joins_free(&actor->base);
    connections_free(&actor->base);
    workers_free(&actor->base);
    shelf_free(&actor->base);
    free(actor);
    *state = NULL;
}

static void *recorder_create(actor_t *me, bytes_t args, fault_t *why) {
    recorder_actor_t *actor = calloc(1, sizeof *actor);
    must(actor);
    (void)args;
    actor->base.me = me;
    actor->base.last_source = actor_ticks(me); /* beyond any number that an earlier state gave */
    TAILQ_INIT(&actor->definitions);
    TAILQ_INIT(&actor->base.joins);
    TAILQ_INIT(&actor->base.workers);
    if (shelf_load(&actor->base, why) < 0) {
        void *state = actor;
        recorder_destroy(&state);
        return NULL;
    }
    actor_loading(me);
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_loaded, 0);
    return actor;
}

static int recorder_settle(void *state, fault_t *why) {
    recorder_t *self = state;
    recording_t *recording;
    (void)why;
    while ((recording = LIST_FIRST(&self->touched))) {
        recording_untouch(recording);
        if (!recording->closing && !recording->finish) recording_flush(self, recording);
    }
    if (!LIST_EMPTY(&self->dues)) acks_send(self);
    if (!LIST_EMPTY(&self->waits)) ingest_waits_tell(self);
    self->ticks_bytes = 0;
    if (self->posts_due) posts_check(self);
    return 0;
}

/* ---- messages: a recording's life ---- */

static msgpack_zone *answer_zone(void) {
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(zone);
    return zone;
}

/* The recording of that id; refused where there is none. */
static recording_t *recording_named(recorder_t *self, ticket_t ticket, const char *id) {
    recording_t *recording = shelf_find(self, id);
    if (!recording) actor_refuse(self->me, ticket, ERROR_NOT_FOUND, "recording", "there is no recording %s", id);
    return recording;
}

static int on_create(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_recording_create_t *m = in->message;
    fault_t problem;
    (void)why;
    recording_t *recording = shelf_find(self, m->recording);
    if (recording && strcmp(recording_job(recording)->job, m->job) != 0) {
        actor_refuse(self->me, in->ticket, ERROR_CONFLICT, "recording", "recording %s exists, for job %s", m->recording,
                     recording_job(recording)->job);
        return 0;
    }
    if (!recording) {
        msg_manifest_t manifest = {.format = MANIFEST_FORMAT, .has_process = true, .process = actor_config(self->me)->started};
        manifest.recording = (msg_recording_job_t){.recording = m->recording,
                                                   .job = m->job,
                                                   .pipeline = m->pipeline,
                                                   .state = "STARTING",
                                                   .limits = m->limits,
                                                   .created = actor_now(self->me),
                                                   .has_request = m->has_request,
                                                   .request = m->request,
                                                   .has_reason = m->has_reason,
                                                   .reason = m->reason};
        manifest.recording.streams.count = m->streams.count;
        manifest.recording.streams.items = m->streams.items;
        char folder[sizeof recording->folder];
        folder_recording_path(actor_config(self->me)->data, m->recording, folder, sizeof folder);
        reel_t *reel = reel_create(folder, &manifest, manifest.recording.created, actor_ticks(self->me),
                                   actor_config(self->me)->segment_bytes, &self->ledger, &problem);
        if (!reel) {
            actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
            return 0;
        }
        recording = shelf_add(self, m->recording);
        recording->reel = reel;
        journal_set_disk(reel->journal, &self->disk);
        LIST_INSERT_HEAD(&self->writing, recording, writing);
        recording_touch(self, recording);
        posts_open(self, recording);
    }
    actor_answer(self->me, in->ticket, NULL);
    return 0;
}

/* The first budget opens a recording: from here on it has a start, and is RUNNING. */
static int recording_open(recorder_t *self, recording_t *recording, int64_t start, fault_t *why) {
    msg_manifest_t manifest = *recording_manifest(recording);
    msg_recording_job_t *job = &manifest.recording;
    int64_t now = actor_now(self->me);
    bool same = job->has_started && strcmp(job->state, "RUNNING") == 0;
    if (!job->has_started) job->started = start;
    job->has_started = true;
    job->state = "RUNNING";
    manifest.has_process = true;
    manifest.process = actor_config(self->me)->started;
    if (!same && recording_save(recording, &manifest, why) < 0) return -1;
    reel_set_clock(recording->reel, now > start ? now : start, actor_ticks(self->me));
    recording->open = true;
    return 0;
}

/* The log has its closing record, but the process died before the manifest said why. What can be seen from the recording is told again. */
static void recording_explain_end(recorder_t *self, recording_t *recording) {
    const msg_recording_job_t *job = recording_job(recording);
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    const reel_budget_t *budget = &recording->reel->budget;
    size_t ended = 0;
    for (uint32_t i = 0; i < job->streams.count; i++) ended += journal_stream(recording->reel->journal, i)->ended;
    if (ended == job->streams.count) {
        for (size_t i = 0; i < ended; i++)
            actor_tell(self->me, "job_supervisor", MSG_SOURCE_ENDED,
                       &(msg_source_ended_t){.job = job->job, .signature = job->streams.items[i].signature});
        return;
    }
    if (budget->elements != LIMIT_NONE && (int64_t)totals->elements >= budget->elements)
        recording->reel->spent = "count";
    else if (totals->at >= budget->until)
        recording->reel->spent = "duration";
    if (recording->reel->spent)
        recording_note_spent(self, recording);
    else
        recording_break(self, recording, "the engine died while the job was ending, and why it ended is not known");
}

static int on_budget(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_budget_set_t *m = in->message;
    fault_t problem;
    (void)why;
    recording_t *recording = shelf_find_job(self, m->job);
    if (!recording) {
        actor_refuse(self->me, in->ticket, ERROR_NOT_FOUND, "job", "there is no job %s", m->job);
        return 0;
    }
    if (recording_has_ended(recording)) {
        actor_refuse(self->me, in->ticket, ERROR_INVALID_STATE, "job", "job %s has ended: %s", m->job, recording_job(recording)->state);
        return 0;
    }
    bool first = !recording->open;
    if (first && recording_open(self, recording, m->start, &problem) < 0) {
        actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
        return 0;
    }
    /* Saving the manifest took its time: the recording's clock and the limiter's must agree. */
    if (first) reel_set_clock(recording->reel, actor_now(self->me), actor_ticks(self->me));
    recording_touch(self, recording);
    reel_budget_t budget = {m->elements, m->bytes, m->total_bytes, m->has_until ? m->until : INT64_MAX};
    if (reel_set_budget(recording->reel, &budget, actor_ticks(self->me), &problem) < 0) recording_break(self, recording, problem.text);
    if (first && journal_totals(recording->reel->journal)->ended && !recording->finish) recording_explain_end(self, recording);
    recording_note_spent(self, recording);
    actor_answer(self->me, in->ticket, NULL);
    if (!reel_is_sealed(recording->reel)) joins_let_in(self, recording);
    return 0;
}

static int on_finish(void *state, const envelope_t *in, fault_t *why) {
    const msg_recording_finish_t *m = in->message;
    recording_t *recording = recording_named(state, in->ticket, m->recording);
    (void)why;
    if (recording && !state_is_end(m->state))
        actor_refuse(((recorder_t *)state)->me, in->ticket, ERROR_BAD_REQUEST, "state", "no job ends as %s", m->state);
    else if (recording)
        finish_begin(state, recording, m, in->ticket);
    return 0;
}

static int on_drop(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_recording_drop_t *m = in->message;
    fault_t problem;
    (void)why;
    recording_t *recording = shelf_find(self, m->recording);
    if (recording && !recording_has_ended(recording)) {
        actor_refuse(self->me, in->ticket, ERROR_INVALID_STATE, "recording", "recording %s is being written: its job is %s", m->recording,
                     recording_job(recording)->state);
        return 0;
    }
    if (recording && m->has_spares && m->spares && recording_job(recording)->kept) {
        actor_refuse(self->me, in->ticket, ERROR_CONFLICT, "recording", "recording %s is kept", m->recording);
        return 0;
    }
    for (size_t i = 0; recording && i < recording->followers_count; i++)
        actor_tell(self->me, recording->followers[i], MSG_RECORDING_DROPPED, &(msg_recording_dropped_t){.recording = m->recording});
    if (recording) shelf_remove(self, &recording);
    if (folder_drop(actor_config(self->me)->data, m->recording, &problem) < 0) {
        actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
        return 0;
    }
    actor_tell(self->me, "verifier", MSG_TRASH_SWEEP, &(msg_trash_sweep_t){0});
    actor_answer(self->me, in->ticket, NULL);
    return 0;
}

static int on_mark(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_recording_mark_t *m = in->message;
    fault_t problem;
    (void)why;
    recording_t *recording = recording_named(self, in->ticket, m->recording);
    if (!recording) return 0;
    if (!recording_has_ended(recording)) {
        actor_refuse(self->me, in->ticket, ERROR_INVALID_STATE, "recording", "recording %s is being written: its job is %s", m->recording,
                     recording_job(recording)->state);
        return 0;
    }
    msg_manifest_t manifest = *recording_manifest(recording);
    bool changes = manifest.recording.has_invalidated != m->invalid;
    manifest.recording.has_invalidated = m->invalid;
    manifest.recording.invalidated = actor_now(self->me);
    if (changes && recording_save(recording, &manifest, &problem) < 0)
        actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
    else
        actor_answer(self->me, in->ticket, NULL);
    return 0;
}

static int on_adopt(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_recording_adopt_t *m = in->message;
    refusal_t no;
    (void)why;
    recording_t *recording = shelf_find(self, m->recording);
    if (!recording) recording = shelf_adopt(self, m, &no);
    if (recording) {
        msg_recording_job_t job = *recording_job(recording);
        actor_answer(self->me, in->ticket, &(msg_recording_jobs_t){.recordings = {1, &job}});
    } else {
        actor_refuse_as(self->me, in->ticket, &no);
    }
    return 0;
}

/* ---- messages: what there is ---- */

static int on_room(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_room_ask_t *m = in->message;
    int64_t streams = !m->has_streams ? 1 : m->streams < STREAMS_MAX ? m->streams : STREAMS_MAX;
    (void)why;
    actor_answer(self->me, in->ticket, &(msg_room_t){.held = self->ledger.held, .least = reel_least((size_t)streams)});
    return 0;
}

/* What no manifest says: which sources wait to be let in, that the end was asked for, or that it must come because the disk failed. A job
 * supervisor that failed knows nothing of it, and one that was not ready yet has not heard of it. */
static void report_standing(const recorder_t *self, const recording_t *recording, msg_recording_job_t *report) {
    const join_t *join;
    const finish_t *finish = recording->finish;
    TAILQ_FOREACH(join, &self->joins, link) {
        if (join->recording != recording || !join->resolved) continue;
        report->streams.items[join->stream].has_joined = report->streams.items[join->stream].joined = true;
    }
    if (recording_has_ended(recording) || (!finish && !recording->failure)) return;
    report->has_ending = true;
    report->ending = finish ? finish->state : "FAILED";
    report->has_stop_reason = true;
    report->stop_reason = finish ? finish->stop_reason : "error";
    report->error = finish ? finish->error : recording->failure;
    report->has_error = report->error != NULL;
}

static int on_jobs(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_recording_jobs_ask_t *m = in->message;
    recording_t *only = NULL;
    (void)why;
    if (m->has_recording && !(only = recording_named(self, in->ticket, m->recording))) return 0;
    progress_tell_all(self);
    msgpack_zone *zone = answer_zone();
    msg_recording_job_t *jobs = zone_array(zone, self->recordings_count, sizeof *jobs);
    size_t count = 0;
    for (size_t i = 0; i < self->recordings_count; i++) {
        if (only && only != self->recordings[i]) continue;
        jobs[count] = recording_report(self->recordings[i], zone);
        report_standing(self, self->recordings[i], &jobs[count++]);
    }
    actor_answer(self->me, in->ticket, &(msg_recording_jobs_t){.recordings = {count, jobs}});
    msgpack_zone_free(zone);
    return 0;
}

static int on_list(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    (void)why;
    progress_tell_all(self);
    msgpack_zone *zone = answer_zone();
    msg_recording_t *items = zone_array(zone, self->recordings_count, sizeof *items);
    for (size_t i = 0; i < self->recordings_count; i++) items[i] = recording_description(self->recordings[i], zone);
    actor_answer(self->me, in->ticket, &(msg_recordings_t){.recordings = {self->recordings_count, items}});
    msgpack_zone_free(zone);
    return 0;
}

static void describe(recorder_t *self, const recording_t *recording, ticket_t ticket) {
    progress_tell_all(self);
    msgpack_zone *zone = answer_zone();
    msg_recording_t description = recording_description(recording, zone);
    actor_answer(self->me, ticket, &description);
    msgpack_zone_free(zone);
}

static recording_t *newest_of(recorder_t *self, ticket_t ticket, const char *pipeline) {
    recording_t *recording = shelf_newest(self, pipeline, false);
    if (recording) return recording;
    if (shelf_has(self, pipeline))
        actor_refuse(self->me, ticket, ERROR_NOT_FOUND, "pipeline", "the sources of pipeline `%s` have changed; its recordings are invalid",
                     pipeline);
    else
        actor_refuse(self->me, ticket, ERROR_NOT_FOUND, "pipeline", "pipeline `%s` has no recording", pipeline);
    return NULL;
}

static int on_defined(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    recorder_actor_t *actor = state;
    definition_t *definition;
    (void)why;
    TAILQ_FOREACH(definition, &actor->definitions, link) {
        if (definition->ticket == context) break;
    }
    must(definition);
    recording_t *recording = NULL;
    if (answer->refusal)
        actor_refuse_as(actor->base.me, definition->ticket, answer->refusal);
    else
        recording = newest_of(&actor->base, definition->ticket, definition->pipeline);
    if (recording) describe(&actor->base, recording, definition->ticket);
    TAILQ_REMOVE(&actor->definitions, definition, link);
    free(definition->pipeline);
    free(definition);
    return 0;
}

static int on_describe(void *state, const envelope_t *in, fault_t *why) {
    recorder_actor_t *actor = state;
    const msg_recording_describe_t *m = in->message;
    recording_t *recording = NULL;
    (void)why;
    if (m->has_pipeline && m->pipeline_definition) {
        definition_t *definition = calloc(1, sizeof *definition);
        must(definition);
        definition->ticket = in->ticket;
        definition->pipeline = strdup(m->pipeline);
        must(definition->pipeline);
        TAILQ_INSERT_TAIL(&actor->definitions, definition, link);
        actor_ask(actor->base.me, "pipeline_tracker", MSG_PIPELINE_DEFINE, &(msg_pipeline_define_t){.pipeline = *m->pipeline_definition},
                  on_defined, in->ticket);
        return 0;
    }
    if (m->has_recording)
        recording = recording_named(&actor->base, in->ticket, m->recording);
    else if (m->has_pipeline)
        recording = newest_of(&actor->base, in->ticket, m->pipeline);
    else
        actor_refuse(actor->base.me, in->ticket, ERROR_BAD_REQUEST, NULL, "`recording.describe`: `recording` or `pipeline` is needed");
    if (recording) describe(&actor->base, recording, in->ticket);
    return 0;
}

static int on_keep(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_recording_keep_t *m = in->message;
    fault_t problem;
    (void)why;
    recording_t *recording = recording_named(self, in->ticket, m->recording);
    if (!recording) return 0;
    msg_manifest_t manifest = *recording_manifest(recording);
    manifest.recording.kept = m->kept;
    if (recording_save(recording, &manifest, &problem) < 0)
        actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
    else
        describe(self, recording, in->ticket);
    return 0;
}

static void follow(recording_t *recording, const char *name) {
    for (size_t i = 0; i < recording->followers_count; i++)
        if (strcmp(recording->followers[i], name) == 0) return;
    recording->followers = realloc(recording->followers, (recording->followers_count + 1) * sizeof(char *));
    must(recording->followers);
    recording->followers[recording->followers_count] = strdup(name);
    must(recording->followers[recording->followers_count]);
    recording->followers_count++;
}

static int on_locate(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_recording_locate_t *m = in->message;
    recording_t *recording = NULL;
    (void)why;
    if (m->has_recording)
        recording = recording_named(self, in->ticket, m->recording);
    else if (m->has_pipeline)
        recording = newest_of(self, in->ticket, m->pipeline);
    else
        actor_refuse(self->me, in->ticket, ERROR_BAD_REQUEST, NULL, "`recording` or `pipeline` is needed");
    if (!recording) return 0;
    if (m->follow && in->from) follow(recording, in->from);
    progress_tell_all(self);
    msgpack_zone *zone = answer_zone();
    msg_recording_place_t place = recording_place(recording, zone);
    actor_answer(self->me, in->ticket, &place);
    msgpack_zone_free(zone);
    return 0;
}

static int on_chaos_disk(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_chaos_disk_t *m = in->message;
    disk_t disk = {m->writes, disk_error(m->error)};
    (void)why;
    if (!disk.error) {
        actor_refuse(self->me, in->ticket, ERROR_BAD_REQUEST, "error", "`chaos.disk`: `error` is " DISK_ERRORS ", not `%s`", m->error);
        return 0;
    }
    self->disk = disk;
    actor_answer(self->me, in->ticket, NULL);
    return 0;
}

/* ---- the class ---- */

const actor_class_t recorder_class = {
    .name = "recorder",
    .doc = "Owns the recordings: checks and appends what sources send, within each job's budget, and acknowledges it.",
    .create = recorder_create,
    .destroy = recorder_destroy,
    .takes =
        {
            [MSG_SOURCE_ATTACH] = ingest_attach,    [MSG_SOURCE_BATCH] = ingest_batch,
            [MSG_SOURCE_DONE] = ingest_done,        [MSG_SOURCE_FAIL] = ingest_fail,
            [MSG_SOURCE_WAITING] = ingest_waiting,  [MSG_PONG] = ingest_pong,
            [MSG_WORKER_READY] = worker_ready,      [MSG_WORKER_LIST] = worker_list,
            [MSG_PROGRESS_ASK] = progress_ask,      [MSG_RECORDING_CREATE] = on_create,
            [MSG_BUDGET_SET] = on_budget,           [MSG_RECORDING_FINISH] = on_finish,
            [MSG_RECORDING_ADOPT] = on_adopt,       [MSG_RECORDING_MARK] = on_mark,
            [MSG_RECORDING_DROP] = on_drop,         [MSG_ROOM_ASK] = on_room,
            [MSG_RECORDING_JOBS_ASK] = on_jobs,     [MSG_RECORDING_LIST] = on_list,
            [MSG_RECORDING_DESCRIBE] = on_describe, [MSG_RECORDING_KEEP] = on_keep,
            [MSG_RECORDING_LOCATE] = on_locate,     [MSG_OPTIONS_CHANGED] = on_options_changed,
            [MSG_CHAOS_DISK] = on_chaos_disk,
        },
    .sends = {MSG_OPTIONS_GET,
              MSG_PIPELINE_TAGS_ASK,
              MSG_PIPELINE_DEFINE,
              MSG_SYNC,
              MSG_CHECKPOINT_WRITE,
              MSG_BUDGET_SPENT,
              MSG_RECORDER_RECOVERED,
              MSG_SOURCE_JOINED,
              MSG_SOURCE_WAITS,
              MSG_SOURCE_ENDED,
              MSG_SOURCE_FAILED,
              MSG_RECORDING_GREW,
              MSG_RECORDING_DROPPED,
              MSG_TRASH_SWEEP,
              MSG_SOURCE_ACK,
              MSG_SOURCE_NACK,
              MSG_SOURCE_STOP,
              MSG_SOURCE_START,
              MSG_PING,
              MSG_PROGRESS_MADE,
              MSG_NOTIFY,
              MSG_NONE},
    .doors = {[RECORDER_INGEST] = {DOOR_ROUTER, ENDPOINT_INGEST, SCOPE_INGEST},
              [RECORDER_PROGRESS] = {DOOR_ROUTER, ENDPOINT_PROGRESS, SCOPE_INTERNAL}},
    .settle = recorder_settle,
};
