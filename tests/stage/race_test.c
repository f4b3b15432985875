/* Requests that meet each other, and failures in the middle of them. Whatever fails while a request is under way, its answer is the one
 * that would have come, and what it did is done once; whatever order clients come in, each is answered once and nothing is left behind. */
#include "story.h"

#include <ftw.h>
#include <sys/stat.h>

enum { PAYLOAD = 20 };

/* ---- a first run ---- */

static void first_run(stage_t *stage) {
    msg_transform_t transforms[] = {endless(stage, "Read"), push_source("Push")};
    const msg_pipeline_run_answer_t *answer = run(stage, "clicks", 2, transforms);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "first_run");
    assert_int_equal(answer->added.count, 2);
    assert_int_equal(answer->removed.count, 0);
    assert_int_equal(answer->tags.count, 2);
    assert_true(answer->has_run && answer->has_job && answer->has_recording && answer->has_test_stream);
}

static void one_job_and_one_run(stage_t *stage) {
    assert_int_equal(jobs_count(stage), 1);
    assert_int_equal(recordings(stage)->recordings.count, 1);
    const msg_pipeline_description_t *pipeline = description(stage, "clicks");
    assert_int_equal(pipeline->runs.count, 1);
    assert_string_equal(pipeline->runs.items[0].reason, "first_run");
    assert_string_equal(pipeline->runs.items[0].job, pipeline->job.job);
    assert_string_equal(pipeline->job.state, "RUNNING");
    msg_transform_t transforms[] = {endless(stage, "Read"), push_source("Push")};
    const msg_pipeline_run_answer_t *again = run(stage, "clicks", 2, transforms);
    assert_false(again->started);
    assert_string_equal(again->reason, "job_running");
    assert_int_equal(again->added.count, 0);
}

static void a_first_run_is_answered_as_if_nothing_had_failed(void **test) {
    (void)test;
    tell_with_failures(&(story_t){NULL, first_run, one_job_and_one_run});
}

static void run_of_two(stage_t *stage) {
    msg_transform_t transforms[] = {endless(stage, "Read"), generator(stage, "Other", 100000)};
    const msg_pipeline_run_answer_t *answer = run(stage, "clicks", 2, transforms);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "first_run");
}

static void both_are_recorded(stage_t *stage) {
    assert_string_equal(job_of(stage, "clicks").state, "RUNNING");
    stage_advance(stage, 1000000);
    const msg_recordings_t *all = recordings(stage);
    assert_int_equal(all->recordings.count, 1);
    for (size_t i = 0; i < 2; i++) assert_true(all->recordings.items[0].tags.items[i].elements > 0);
}

static void sources_that_wait_for_each_other_are_let_in_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){NULL, run_of_two, both_are_recorded});
}

/* ---- a run of altered sources ---- */

static void altered_run(stage_t *stage) {
    msg_transform_t transforms[] = {endless(stage, "Read")};
    transforms[0].payload = (bytes_t){stage_keep(stage, "\x81\xa4seed\x02", 7), 7};
    const msg_pipeline_run_answer_t *answer = run(stage, "clicks", 1, transforms);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "sources_changed");
    assert_int_equal(answer->added.count, 1);
    assert_int_equal(answer->removed.count, 2);
}

static void the_old_job_is_superseded(stage_t *stage) {
    const msg_jobs_t *jobs = must_get(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    assert_int_equal(jobs->jobs.count, 2);
    assert_string_equal(jobs->jobs.items[0].state, "CANCELLED");
    assert_string_equal(jobs->jobs.items[0].stop_reason, "superseded");
    assert_string_equal(jobs->jobs.items[1].state, "RUNNING");
    const msg_recordings_t *all = recordings(stage);
    assert_int_equal(all->recordings.count, 1);
    assert_string_equal(all->recordings.items[0].job, jobs->jobs.items[1].job);
    assert_int_equal(description(stage, "clicks")->runs.count, 2);
}

static void a_run_of_altered_sources_supersedes_as_if_nothing_had_failed(void **test) {
    (void)test;
    tell_with_failures(&(story_t){first_run, altered_run, the_old_job_is_superseded});
}

/* ---- a change that is asked about ---- */

static void ask_for_change(stage_t *stage) {
    msg_transform_t transforms[] = {push_source("Read"), push_source("Push")};
    transforms[0].has_payload = true;
    transforms[0].payload = (bytes_t){stage_keep(stage, "\x07", 1), 1};
    msg_pipeline_run_t made = run_of(stage, "clicks", 2, transforms, 0);
    msg_source_changed_t ask = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = made.pipeline_definition};
    const msg_source_changes_t *answer = must_get(stage, MSG_SOURCE_CHANGED, &ask);
    assert_true(answer->changed);
    assert_int_equal(answer->added.count, 1);
    assert_int_equal(answer->removed.count, 1);
}

static void the_change_waits_for_a_run(stage_t *stage) {
    assert_int_equal(recordings(stage)->recordings.count, 0);
    msg_source_changed_t ask = {.has_pipeline = true, .pipeline = "clicks"};
    const msg_source_changes_t *seen = must_get(stage, MSG_SOURCE_CHANGED, &ask);
    assert_false(seen->changed);
    const msg_job_need_t *need = must_get(stage, MSG_JOB_NEEDED, &(msg_job_needed_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_true(need->needed);
    assert_string_equal(need->reason, "sources_changed");
    const msg_pipeline_run_answer_t *answer =
        must_get(stage, MSG_PIPELINE_RUN_ASK, &(msg_pipeline_run_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_true(answer->started);
    assert_string_equal(answer->reason, "sources_changed");
}

static void a_change_is_told_and_remembered_as_if_nothing_had_failed(void **test) {
    (void)test;
    tell_with_failures(&(story_t){first_run, ask_for_change, the_change_waits_for_a_run});
}

/* ---- the ends of a job ---- */

static void cancel(stage_t *stage) {
    const msg_job_cancelled_t *answer = must_get(stage, MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_true(answer->cancelled);
    assert_string_equal(answer->job.state, "CANCELLED");
    assert_string_equal(answer->job.stop_reason, "user");
}

static void nothing_is_running(stage_t *stage) {
    msg_job_t job = job_of(stage, "clicks");
    assert_string_equal(job.state, "CANCELLED");
    assert_false(job.is_done);
    const msg_job_cancelled_t *again = must_get(stage, MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_false(again->cancelled);
    assert_no_source_is_left(stage);
}

static void a_cancel_is_answered_as_if_nothing_had_failed(void **test) {
    (void)test;
    tell_with_failures(&(story_t){first_run, cancel, nothing_is_running});
}

static void synced_first_run(stage_t *stage) {
    stage_config(stage)->durability = DURABILITY_SYNC;
    first_run(stage);
}

static void a_cancel_that_waits_for_the_disk_is_answered_as_if_nothing_had_failed(void **test) {
    (void)test;
    tell_with_failures(&(story_t){synced_first_run, cancel, nothing_is_running});
}

static void fail_its_source(stage_t *stage) {
    stage_peer_t source = {"recorder", "source"};
    msg_source_fail_t failure = {.has_job = true, .job = job_of(stage, "clicks").job, .tag = "Push", .message = "it is broken"};
    stage_peer_request(stage, source, MSG_SOURCE_FAIL, &failure, (bytes_t){0}, 1);
    const msg_job_t *job =
        must_get(stage, MSG_JOB_WAIT, &(msg_job_wait_t){.has_pipeline = true, .pipeline = "clicks", .timeout_ms = PATIENCE_MS / 2});
    assert_string_equal(job->state, "FAILED");
    assert_non_null(strstr(job->error, "it is broken"));
}

static void the_job_has_failed(stage_t *stage) {
    assert_string_equal(job_of(stage, "clicks").state, "FAILED");
    assert_string_equal(recordings(stage)->recordings.items[0].state, "FAILED");
    const msg_job_need_t *need = must_get(stage, MSG_JOB_NEEDED, &(msg_job_needed_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_string_equal(need->reason, "job_failed");
}

static void a_source_that_fails_ends_its_job_whatever_else_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){synced_first_run, fail_its_source, the_job_has_failed});
}

/* ---- a pipeline is forgotten ---- */

static void forget_clicks(stage_t *stage) {
    forget(stage, "clicks");
}

static void nothing_is_left(stage_t *stage) {
    assert_int_equal(jobs_count(stage), 0);
    assert_int_equal(recordings(stage)->recordings.count, 0);
    const msg_pipelines_t *pipelines = must_get(stage, MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    assert_int_equal(pipelines->pipelines.count, 0);
    assert_int_equal(must_be_refused(stage, MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = "clicks"}),
                     ERROR_NOT_FOUND);
    const msg_test_stream_t *service =
        must_get(stage, MSG_TEST_STREAM_STATUS, &(msg_test_stream_status_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_false(service->running);
    first_run(stage);
    one_job_and_one_run(stage);
}

static void a_pipeline_is_forgotten_as_if_nothing_had_failed(void **test) {
    (void)test;
    tell_with_failures(&(story_t){first_run, forget_clicks, nothing_is_left});
}

/* ---- pushes and fetches ---- */

enum { PUSHES = 6, PUSHED = 10 };

static void push_some(stage_t *stage) {
    for (int i = 0; i < PUSHES; i++) {
        msg_push_t push = {.has_pipeline = true, .pipeline = "clicks", .tag = "Push"};
        bytes_t body = stage_body(stage, PUSHED, 1000 * i, PAYLOAD);
        const msg_pushed_t *answer = must_get_with(stage, MSG_PUSH, &push, body);
        assert_int_equal(answer->accepted, PUSHED);
        assert_false(answer->has_stopped);
    }
}

static void each_is_there_once(stage_t *stage) {
    const msg_recording_t *recording =
        must_get(stage, MSG_RECORDING_DESCRIBE, &(msg_recording_describe_t){.has_pipeline = true, .pipeline = "clicks"});
    for (size_t i = 0; i < recording->tags.count; i++)
        if (strcmp(recording->tags.items[i].tag, "Push") == 0) assert_int_equal(recording->tags.items[i].elements, PUSHES * PUSHED);
}

static void a_push_is_recorded_once_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){first_run, push_some, each_is_there_once});
}

static void filled(stage_t *stage) {
    first_run(stage);
    push_some(stage);
}

static void end_the_push_source(stage_t *stage) {
    msg_push_t push = {.has_pipeline = true, .pipeline = "clicks", .tag = "Push", .has_done = true, .done = true};
    const msg_pushed_t *answer = must_get(stage, MSG_PUSH, &push);
    assert_int_equal(answer->accepted, 0);
}

static void the_push_source_has_ended(stage_t *stage) {
    msg_push_t push = {.has_pipeline = true, .pipeline = "clicks", .tag = "Push"};
    const stage_message_t *m = answer_of(stage, MSG_PUSH, &push, stage_body(stage, 1, 0, PAYLOAD));
    assert_true(m->refused);
}

static void the_end_of_a_push_source_is_told_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){filled, end_the_push_source, the_push_source_has_ended});
}

static void fetch_all(stage_t *stage) {
    msg_recording_fetch_t fetch = {
        .has_pipeline = true, .pipeline = "clicks", .has_tag = true, .tag = "Push", .has_max = true, .max = 1000};
    const msg_elements_fetched_t *answer = must_get(stage, MSG_RECORDING_FETCH, &fetch);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)answer->elements.data, answer->elements.size, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(unpacked.data.via.array.size, PUSHES * PUSHED);
    for (uint32_t i = 0; i < unpacked.data.via.array.size; i++)
        assert_int_equal(unpacked.data.via.array.ptr[i].via.array.ptr[1].via.i64, 1000 * (i / PUSHED) + i % PUSHED);
    msgpack_unpacked_destroy(&unpacked);
    assert_false(answer->complete);
}

static void a_fetch_is_answered_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){filled, fetch_all, each_is_there_once});
}

/* ---- many clients at once ---- */

enum { CLIENTS = 5, STEPS = 25, PIPELINES = 2, SEEDS = 150, DEATHS = 100 };

static const char *const names[PIPELINES] = {"clicks", "views"};

static const msg_pipeline_t *any_definition(stage_t *stage, uint64_t dice, const char *name) {
    msg_transform_t transforms[] = {push_source("Push"), endless(stage, "Read")};
    if (dice & 1) transforms[1].payload = (bytes_t){stage_keep(stage, "\x81\xa4seed\x02", 7), 7};
    size_t count = 1 + (dice >> 1 & 1);
    return run_of(stage, name, count, transforms, 0).pipeline_definition;
}

static uint64_t roll(uint64_t *dice) {
    *dice = *dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *dice >> 33;
}

typedef struct order {
    message_id_t id;
    const void *message;
    bytes_t body;
} order_t;

#define ORDER(ID, ...)                                                                                                                     \
    (order_t) {                                                                                                                            \
        ID, stage_keep(stage, &(__VA_ARGS__), sizeof(__VA_ARGS__)), {                                                                      \
            0                                                                                                                              \
        }                                                                                                                                  \
    }

/* Something about a recording that is there, if there is one. */
static order_t any_order_on_a_recording(stage_t *stage, uint64_t *dice) {
    if (!stage_is_ready(stage, "recorder")) return ORDER(MSG_RECORDING_LIST, (msg_recording_list_t){0});
    const msg_recordings_t *all = stage_get(stage, "recorder", MSG_RECORDING_LIST, &(msg_recording_list_t){0});
    if (all->recordings.count == 0) return ORDER(MSG_JOB_LIST, (msg_job_list_t){0});
    const char *recording = all->recordings.items[roll(dice) % all->recordings.count].recording;
    if (roll(dice) % 2) return ORDER(MSG_RECORDING_DELETE, (msg_recording_delete_t){.recording = recording});
    return ORDER(MSG_RECORDING_KEEP, (msg_recording_keep_t){.recording = recording, .kept = roll(dice) % 3 > 0});
}

static order_t any_options(stage_t *stage, uint64_t *dice) {
    if (roll(dice) % 2)
        return ORDER(MSG_OPTIONS_SET,
                     (msg_options_set_t){.has_enable_recording_replay = true, .enable_recording_replay = roll(dice) % 3 > 0});
    return ORDER(MSG_OPTIONS_SET, (msg_options_set_t){.has_keep_recordings = true, .keep_recordings = (int64_t)roll(dice) % 3});
}

static order_t any_order(stage_t *stage, uint64_t *dice) {
    const char *name = names[roll(dice) % PIPELINES];
    const msg_pipeline_t *definition = roll(dice) % 2 ? any_definition(stage, roll(dice), name) : NULL;
    switch (roll(dice) % 16) {
    case 0:
    case 1:
    case 2:
        return ORDER(MSG_PIPELINE_RUN_ASK, (msg_pipeline_run_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = definition});
    case 3: return ORDER(MSG_JOB_CANCEL, (msg_job_cancel_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = definition});
    case 4: return ORDER(MSG_RECORDING_CLEAR, (msg_recording_clear_t){.has_pipeline = true, .pipeline = name});
    case 5: return ORDER(MSG_PIPELINE_FORGET, (msg_pipeline_forget_t){.has_pipeline = true, .pipeline = name});
    case 6:
        return ORDER(MSG_SOURCE_CHANGED, (msg_source_changed_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = definition});
    case 7: return ORDER(MSG_JOB_NEEDED, (msg_job_needed_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = definition});
    case 8: return ORDER(MSG_JOB_WAIT, (msg_job_wait_t){.has_pipeline = true, .pipeline = name, .timeout_ms = 500});
    case 9: return ORDER(MSG_PIPELINE_DESCRIBE, (msg_pipeline_describe_t){.has_pipeline = true, .pipeline = name});
    case 10: return ORDER(MSG_JOB_START, (msg_job_start_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = definition});
    case 11: return ORDER(MSG_TEST_STREAM_STOP, (msg_test_stream_stop_t){.has_pipeline = true, .pipeline = name});
    case 12:
        return ORDER(MSG_RECORDING_FETCH,
                     (msg_recording_fetch_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = definition});
    case 13: return any_options(stage, dice);
    case 14: return any_order_on_a_recording(stage, dice);
    default: {
        order_t order =
            ORDER(MSG_PUSH, (msg_push_t){.has_pipeline = true, .pipeline = name, .pipeline_definition = definition, .tag = "Push"});
        order.body = stage_body(stage, 3, 0, PAYLOAD);
        return order;
    }
    }
}

static void assert_honest(const stage_message_t *m, message_id_t id) {
    static const error_code_t honest[] = {ERROR_NOT_FOUND, ERROR_INVALID_STATE, ERROR_UNAVAILABLE};
    if (!m->refused) return;
    refusal_t no;
    assert_int_equal(refusal_decode(m->raw, &no), 0);
    for (size_t i = 0; i < sizeof honest / sizeof honest[0]; i++)
        if (no.code == honest[i]) return;
    fail_msg("%s is refused: %s: %s", message_class(id)->wire, error_name(no.code), no.message);
}

/* Each client has one request under way at a time. */
static void race(stage_t *stage, uint64_t seed, const char *victim) {
    static const char *const ids[CLIENTS] = {"a", "b", "c", "d", "e"};
    uint64_t dice = seed;
    message_id_t asked[CLIENTS] = {MSG_NONE};
    int steps = STEPS, waiting = 0, patience = PATIENCE_MS / 10;
    while ((steps > 0 || waiting > 0) && patience > 0) {
        for (size_t i = 0; i < CLIENTS; i++) {
            stage_peer_t client = {"gateway", ids[i]};
            const stage_message_t *m = asked[i] ? stage_peer_take(stage, client) : NULL;
            if (m) {
                assert_honest(m, asked[i]);
                assert_false(stage_peer_waits(stage, client));
                asked[i] = MSG_NONE;
                waiting--;
            }
            if (asked[i] || steps == 0 || roll(&dice) % 2) continue;
            order_t order = any_order(stage, &dice);
            stage_peer_request(stage, client, order.id, order.message, order.body, steps--);
            asked[i] = order.id;
            waiting++;
        }
        if (victim && steps == STEPS / 2) stage_fail_after(stage, victim, 1 + roll(&dice) % 20);
        stage_advance(stage, roll(&dice) % 2 ? 10000 : 0);
        patience -= steps == 0;
    }
    for (size_t i = 0; i < CLIENTS; i++)
        if (asked[i]) fail_msg("%s is not answered", message_class(asked[i])->wire);
}

static void assert_one_job_a_pipeline(stage_t *stage) {
    const msg_jobs_t *jobs = must_get(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    for (size_t p = 0; p < PIPELINES; p++) {
        size_t active = 0;
        for (size_t i = 0; i < jobs->jobs.count; i++) {
            const msg_job_t *job = &jobs->jobs.items[i];
            active += strcmp(job->pipeline, names[p]) == 0 && (job->is_running || strcmp(job->state, "STARTING") == 0);
        }
        assert_true(active <= 1);
    }
}

/* What the pipeline's valid recording was made of, of which there is one at most, is what is remembered as recorded, and each has its job. */
static void assert_remembered(stage_t *stage, const char *pipeline) {
    const msg_recordings_t *all = recordings(stage);
    const msg_jobs_t *jobs = must_get(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    const msg_recording_t *valid = NULL;
    for (size_t i = 0; i < all->recordings.count; i++) {
        const msg_recording_t *recording = &all->recordings.items[i];
        size_t n = 0;
        while (n < jobs->jobs.count && strcmp(jobs->jobs.items[n].job, recording->job) != 0) n++;
        if (n == jobs->jobs.count) fail_msg("recording %s has no job", recording->recording);
        if (strcmp(recording->pipeline, pipeline) != 0 || recording->has_invalidated) continue;
        if (valid) fail_msg("%s and %s are valid", valid->recording, recording->recording);
        valid = recording;
    }
    if (!valid) return;
    const msg_documents_t *known = stage_get(stage, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = "signature"});
    const msg_signature_record_t *recorded = NULL;
    for (size_t i = 0; i < known->documents.count; i++)
        if (strcmp(known->documents.items[i].key, pipeline) == 0)
            recorded = stage_decode(stage, MSG_SIGNATURE_RECORD, known->documents.items[i].value);
    if (!recorded) fail_msg("nobody remembers what %s was made of", valid->recording);
    if (recorded->pending) fail_msg("%s is valid, and its sources have changed", valid->recording);
    assert_string_equal(recorded->job, valid->job);
    assert_int_equal(recorded->signature.count, valid->signature.count);
    for (size_t i = 0; i < valid->signature.count; i++) assert_string_equal(recorded->signature.items[i], valid->signature.items[i]);
}

static void assert_clean_when_forgotten(stage_t *stage) {
    for (size_t p = 0; p < PIPELINES; p++)
        answer_of(stage, MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = names[p]}, (bytes_t){0});
    assert_int_equal(jobs_count(stage), 0);
    assert_int_equal(recordings(stage)->recordings.count, 0);
    assert_no_source_is_left(stage);
    static const char *const kinds[] = {"pipeline", "signature", "run", "job"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const msg_documents_t *left = stage_get(stage, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = kinds[i]});
        if (left->documents.count > 0) fail_msg("the catalog remembers %s `%s`", kinds[i], left->documents.items[0].key);
    }
}

static void clients_in_any_order_are_each_answered_once_and_leave_nothing_behind(void **test) {
    (void)test;
    static const char *const victims[] = {NULL,      "pipeline_tracker", "job_supervisor",    "recorder",          "limiter",
                                          "catalog", "gateway",          "signature_checker", "test_stream_server"};
    for (uint64_t seed = 1; seed <= seeds_of(SEEDS); seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        stage_t *stage = world_create(seed, NULL);
        race(stage, seed, victims[seed % (sizeof victims / sizeof victims[0])]);
        stage_advance(stage, 2000000);
        assert_one_job_a_pipeline(stage);
        for (size_t p = 0; p < PIPELINES; p++) assert_remembered(stage, names[p]);
        assert_clean_when_forgotten(stage);
        assert_null(stage_take(stage, "main", MSG_ACTOR_FAILED));
        stage_destroy(&stage);
    }
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

/* Some way into a race; nobody is there any more to be answered. */
static void race_until_it_dies(stage_t *stage, uint64_t seed) {
    uint64_t dice = seed;
    for (uint64_t step = 0; step < 5 + seed % 40; step++) {
        char id[32];
        snprintf(id, sizeof id, "client %d", (int)step);
        order_t order = any_order(stage, &dice);
        stage_peer_request(stage, (stage_peer_t){"gateway", id}, order.id, order.message, order.body, 1);
        stage_advance(stage, (int64_t)(roll(&dice) % 3) * 10000);
    }
}

static void a_process_that_dies_in_the_middle_leaves_nothing_that_the_next_cannot_go_on_with(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= seeds_of(DEATHS); seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        char folder[4096];
        snprintf(folder, sizeof folder, "%s/reprise-race-XXXXXX", stage_folder());
        assert_non_null(mkdtemp(folder));
        stage_t *stage = world_create(seed, folder);
        race_until_it_dies(stage, seed);
        int64_t now = stage_now(stage);
        stage_destroy(&stage);
        stage = stage_create(seed, folder);
        stage_set_now(stage, now + (seed % 3 == 0 ? -5000000 : 5000000));
        stage_add_tree(stage);
        assert_one_job_a_pipeline(stage);
        must_get(stage, MSG_OPTIONS_SET, &(msg_options_set_t){.has_enable_recording_replay = true, .enable_recording_replay = true});
        for (size_t p = 0; p < PIPELINES; p++) {
            msg_transform_t transforms[] = {push_source("Push")};
            const msg_pipeline_run_answer_t *first = run(stage, names[p], 1, transforms), *second = run(stage, names[p], 1, transforms);
            assert_false(second->started);
            assert_string_equal(second->reason, "job_running");
            assert_string_equal(second->recording, first->recording);
            assert_string_not_equal(second->run, first->run);
        }
        assert_clean_when_forgotten(stage);
        stage_destroy(&stage);
        assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_run_is_answered_as_if_nothing_had_failed),
        cmocka_unit_test(sources_that_wait_for_each_other_are_let_in_whatever_fails),
        cmocka_unit_test(a_run_of_altered_sources_supersedes_as_if_nothing_had_failed),
        cmocka_unit_test(a_change_is_told_and_remembered_as_if_nothing_had_failed),
        cmocka_unit_test(a_cancel_is_answered_as_if_nothing_had_failed),
        cmocka_unit_test(a_cancel_that_waits_for_the_disk_is_answered_as_if_nothing_had_failed),
        cmocka_unit_test(a_source_that_fails_ends_its_job_whatever_else_fails),
        cmocka_unit_test(a_pipeline_is_forgotten_as_if_nothing_had_failed),
        cmocka_unit_test(a_push_is_recorded_once_whatever_fails),
        cmocka_unit_test(the_end_of_a_push_source_is_told_whatever_fails),
        cmocka_unit_test(a_fetch_is_answered_whatever_fails),
        cmocka_unit_test(clients_in_any_order_are_each_answered_once_and_leave_nothing_behind),
        cmocka_unit_test(a_process_that_dies_in_the_middle_leaves_nothing_that_the_next_cannot_go_on_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
