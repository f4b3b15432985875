/* A recorder on a stage, with the test in the place of all that it talks to: the catalog, the syncer, the pipeline tracker, the limiter,
 * the job supervisor, a follower, and the sources. Its data outlives the stage, so that a process can end and another begin. */
#ifndef REPRISE_TEST_STUDIO_H
#define REPRISE_TEST_STUDIO_H

#include "actors/recorder.h"
#include "store.h"
#include "tests/stage/stage.h"

typedef struct studio {
    stage_t *stage;
    char data[256];
    durability_t durability;
    int64_t segment_bytes;
} studio_t;

enum { SEED = 7 };

/* Answers what the recorder asks before it serves. */
static inline void studio_load(studio_t *studio) {
    msg_options_t options;
    options_default(&options);
    stage_run(studio->stage);
    const stage_message_t *ask = stage_take(studio->stage, "catalog", MSG_OPTIONS_GET);
    assert_non_null(ask);
    stage_answer(studio->stage, ask, &options);
    stage_run(studio->stage);
    assert_true(stage_is_ready(studio->stage, "recorder"));
}

/* A process begins, at that time. */
static inline void studio_start(studio_t *studio, int64_t now) {
    studio->stage = stage_create(SEED, studio->data);
    stage_set_now(studio->stage, now);
    stage_config(studio->stage)->durability = studio->durability;
    stage_config(studio->stage)->segment_bytes = studio->segment_bytes;
    stage_add(studio->stage, &recorder_class, "recorder", (bytes_t){0});
    studio_load(studio);
}

static inline void studio_open(studio_t *studio, durability_t durability) {
    const char *tmp = getenv("TMPDIR");
    char path[300];
    *studio = (studio_t){.durability = durability, .segment_bytes = 1024 * 1024};
    snprintf(studio->data, sizeof studio->data, "%s/reprise-studio-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(studio->data));
    snprintf(path, sizeof path, "%s/recordings", studio->data);
    assert_int_equal(mkdir(path, 0755), 0);
    studio_start(studio, START);
}

/* The process dies, and another begins. */
static inline void studio_restart(studio_t *studio, int64_t now) {
    stage_destroy(&studio->stage);
    studio_start(studio, now);
}

static inline void studio_close(studio_t *studio) {
    char path[600];
    names_t ids;
    fault_t why;
    stage_destroy(&studio->stage);
    ok(folder_recordings(studio->data, &ids, &why), why);
    for (size_t i = 0; i < ids.count; i++) ok(folder_drop(studio->data, ids.items[i], &why), why);
    folder_free(&ids);
    while (folder_sweep(studio->data, &why) > 0) continue;
    snprintf(path, sizeof path, "%s/recordings", studio->data);
    ok(folder_remove(path, &why), why);
    ok(folder_remove(studio->data, &why), why);
}

/* ---- what the other actors ask of it ---- */

/* Recording r<name> of job j<name>: stream A under the tags `a` and `aa`, stream B under `b`. */
static inline void studio_create(studio_t *studio, const char *name, const char *pipeline) {
    static const char *of_a[] = {"a", "aa"}, *of_b[] = {"b"};
    static msg_stream_t streams[2];
    char recording[32], job[32];
    snprintf(recording, sizeof recording, "r%s", name);
    snprintf(job, sizeof job, "j%s", name);
    streams[0] = (msg_stream_t){.signature = "A", .urn = "urn:a", .tags = {2, of_a}};
    streams[1] = (msg_stream_t){.signature = "B", .urn = "urn:b", .tags = {1, of_b}};
    msg_recording_create_t create = {.recording = recording,
                                     .job = job,
                                     .pipeline = pipeline,
                                     .limits = {.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE}};
    create.streams.count = 2;
    create.streams.items = streams;
    stage_get(studio->stage, "recorder", MSG_RECORDING_CREATE, &create);
}

static inline void studio_budget(studio_t *studio, const char *job, int64_t elements) {
    msg_budget_set_t budget = {.job = job,
                               .has_elements = true,
                               .elements = elements,
                               .bytes = LIMIT_NONE,
                               .start = stage_now(studio->stage),
                               .total_bytes = LIMIT_NONE};
    stage_get(studio->stage, "recorder", MSG_BUDGET_SET, &budget);
}

static inline const msg_recording_job_t *studio_finish(studio_t *studio, const char *recording, const char *state, const char *reason) {
    msg_recording_finish_t finish = {.recording = recording, .state = state, .stop_reason = reason};
    const msg_recording_jobs_t *jobs = stage_get(studio->stage, "recorder", MSG_RECORDING_FINISH, &finish);
    assert_int_equal(jobs->recordings.count, 1);
    return &jobs->recordings.items[0];
}

static inline const msg_recording_job_t *studio_job(studio_t *studio, const char *recording) {
    msg_recording_jobs_ask_t ask = {.has_recording = true, .recording = recording};
    const msg_recording_jobs_t *jobs = stage_get(studio->stage, "recorder", MSG_RECORDING_JOBS_ASK, &ask);
    assert_int_equal(jobs->recordings.count, 1);
    return &jobs->recordings.items[0];
}

static inline const msg_recording_t *studio_describe(studio_t *studio, const char *recording) {
    msg_recording_describe_t ask = {.has_recording = true, .recording = recording};
    return stage_get(studio->stage, "recorder", MSG_RECORDING_DESCRIBE, &ask);
}

/* The syncer's answer to what waits for it; the number of files that were asked for. */
static inline size_t studio_sync(studio_t *studio) {
    const stage_message_t *ask;
    size_t count = 0;
    for (; (ask = stage_take(studio->stage, "syncer", MSG_SYNC)); count++) {
        const msg_sync_t *sync = ask->message;
        stage_answer(studio->stage, ask, &(msg_synced_t){.token = sync->token});
        stage_run(studio->stage);
    }
    return count;
}

/* ---- what sources say ---- */

static inline stage_peer_t source_named(const char *name) {
    return (stage_peer_t){"recorder", name};
}

static inline void source_ask(studio_t *studio, const char *peer, const char *job, const char *tag, const char *producer) {
    msg_source_attach_t attach = {.has_job = true, .job = job, .tag = tag, .has_producer = producer, .producer = producer};
    stage_peer_request(studio->stage, source_named(peer), MSG_SOURCE_ATTACH, &attach, (bytes_t){0}, 1);
    stage_run(studio->stage);
}

static inline const msg_source_attached_t *source_attach(studio_t *studio, const char *peer, const char *job, const char *tag,
                                                         const char *producer) {
    source_ask(studio, peer, job, tag, producer);
    return stage_peer_answer(studio->stage, source_named(peer), MSG_SOURCE_ATTACHED);
}

/* A batch of one-element bodies and more, not run yet. */
static inline void source_send(studio_t *studio, const char *peer, const char *tag, int64_t seq, size_t count) {
    msg_source_batch_t batch = {.tag = tag, .seq = seq};
    stage_peer_send(studio->stage, source_named(peer), MSG_SOURCE_BATCH, &batch, stage_body(studio->stage, count, seq * 100, 20));
}

static inline void source_batch(studio_t *studio, const char *peer, const char *tag, int64_t seq, size_t count) {
    source_send(studio, peer, tag, seq, count);
    stage_run(studio->stage);
}

static inline bool source_is_quiet(studio_t *studio, const char *peer) {
    return !stage_peer_waits(studio->stage, source_named(peer));
}

/* The next message to the source, which must be that one. */
static inline const void *source_take(studio_t *studio, const char *peer, message_id_t id) {
    const stage_message_t *m = stage_peer_take(studio->stage, source_named(peer));
    if (!m) fail_msg("%s was sent nothing, not %s", peer, message_class(id)->wire);
    if (m->head.id != id) fail_msg("%s was sent %s, not %s", peer, message_class(m->head.id)->wire, message_class(id)->wire);
    return m->message;
}

static inline void source_is_acked(studio_t *studio, const char *peer, int64_t seq) {
    const msg_source_ack_t *ack = source_take(studio, peer, MSG_SOURCE_ACK);
    assert_int_equal(ack->seq, seq);
    assert_true(source_is_quiet(studio, peer));
}

static inline const msg_source_nack_t *source_is_nacked(studio_t *studio, const char *peer, int64_t seq, const char *code) {
    const msg_source_nack_t *nack = source_take(studio, peer, MSG_SOURCE_NACK);
    assert_int_equal(nack->seq, seq);
    assert_string_equal(nack->error.code, code);
    return nack;
}

static inline const msg_source_stop_t *source_is_stopped(studio_t *studio, const char *peer, const char *reason) {
    const msg_source_stop_t *stop = source_take(studio, peer, MSG_SOURCE_STOP);
    assert_string_equal(stop->reason, reason);
    return stop;
}

/* The next message to that actor, of that id. */
static inline const void *studio_take(studio_t *studio, const char *actor, message_id_t id) {
    const stage_message_t *m = stage_take(studio->stage, actor, id);
    if (!m) fail_msg("%s was not told %s", actor, message_class(id)->wire);
    return m->message;
}

#endif
