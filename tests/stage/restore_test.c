/* Sources that change and change back, with every actor failing at every point: a recording that stayed is the pipeline's again, and what
 * is invalid is so for everybody. */
#include "story.h"

enum { COUNT = 30 }; /* elements of each recording */

static char first[256], second[256]; /* the recordings that a story begins with */

/* A generator that ends by itself; another seed is another source. */
static const msg_pipeline_t *finite(stage_t *stage, int seed) {
    bytes_t made = pack("{sisisisi}", "rate", 1000LL, "size", 20LL, "count", (long long)COUNT, "seed", (long long)seed);
    msg_transform_t transforms[] = {{.name = "Read", .urn = "reprise:source:generator:v1", .has_payload = true}};
    transforms[0].payload = (bytes_t){stage_keep(stage, made.data, made.size), made.size};
    return run_of(stage, "clicks", 1, transforms, 0).pipeline_definition;
}

static const msg_pipeline_run_answer_t *run_finite(stage_t *stage, int seed) {
    msg_pipeline_run_t ask = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = finite(stage, seed)};
    return must_get(stage, MSG_PIPELINE_RUN_ASK, &ask);
}

static void set_options(stage_t *stage, bool replay, int64_t keep) {
    must_get(
        stage, MSG_OPTIONS_SET,
        &(msg_options_set_t){
            .has_enable_recording_replay = true, .enable_recording_replay = replay, .has_keep_recordings = true, .keep_recordings = keep});
}

static void record(stage_t *stage, int seed, char ret_recording[256]) {
    const msg_pipeline_run_answer_t *answer = run_finite(stage, seed);
    assert_true(answer->started);
    snprintf(ret_recording, 256, "%s", answer->recording);
    const msg_job_wait_t wait = {.has_pipeline = true, .pipeline = "clicks", .timeout_ms = PATIENCE_MS / 2};
    assert_string_equal(((const msg_job_t *)must_get(stage, MSG_JOB_WAIT, &wait))->state, "DONE");
}

static void keep(stage_t *stage, const char *recording) {
    msg_recording_keep_t order = {.recording = recording, .kept = true};
    assert_true(((const msg_recording_t *)must_get(stage, MSG_RECORDING_KEEP, &order))->kept);
}

/* What is listed, each as `first`, `second` or `?` with what is said of it. */
static void assert_recordings(stage_t *stage, const char *wanted) {
    char found[256] = "";
    const msg_recordings_t *all = recordings(stage);
    for (size_t i = 0; i < all->recordings.count; i++) {
        const msg_recording_t *recording = &all->recordings.items[i];
        const char *name = strcmp(recording->recording, first) == 0 ? "first" : strcmp(recording->recording, second) == 0 ? "second" : "?";
        size_t size = strlen(found);
        snprintf(found + size, sizeof found - size, "%s%s%s%s", i ? ", " : "", name, recording->has_invalidated ? " invalid" : "",
                 recording->kept ? " kept" : "");
    }
    assert_string_equal(found, wanted);
}

/* It is what the pipeline reads, and what a run finds. */
static void assert_current(stage_t *stage, int seed, const char *recording) {
    msg_recording_describe_t describe = {.has_pipeline = true, .pipeline = "clicks"};
    assert_string_equal(((const msg_recording_t *)must_get(stage, MSG_RECORDING_DESCRIBE, &describe))->recording, recording);
    assert_string_equal(job_of(stage, "clicks").recording, recording);
    const msg_pipeline_run_answer_t *answer = run_finite(stage, seed);
    assert_false(answer->started);
    assert_string_equal(answer->reason, "recording_valid");
    assert_string_equal(answer->recording, recording);
    assert_int_equal(answer->added.count, 0);
    assert_int_equal(world_replay(stage, "clicks", "reader")->elements, COUNT);
}

/* ---- changing back ---- */

static void changed_once(stage_t *stage) {
    set_options(stage, true, 1);
    record(stage, 1, first);
    record(stage, 2, second);
    assert_recordings(stage, "first invalid, second");
}

static void run_the_first_again(stage_t *stage) {
    const msg_pipeline_run_answer_t *answer = run_finite(stage, 1);
    assert_false(answer->started);
    assert_string_equal(answer->reason, "recording_valid");
    assert_string_equal(answer->recording, first);
    assert_int_equal(answer->added.count, 1);
    assert_int_equal(answer->removed.count, 1);
}

static void the_first_is_valid(stage_t *stage) {
    assert_recordings(stage, "first, second invalid");
    assert_current(stage, 1, first);
    assert_no_source_is_left(stage);
}

static void a_run_of_sources_that_came_back_finds_their_recording_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_once, run_the_first_again, the_first_is_valid});
}

static void ask_whether_they_changed(stage_t *stage) {
    msg_source_changed_t ask = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = finite(stage, 1)};
    const msg_source_changes_t *answer = must_get(stage, MSG_SOURCE_CHANGED, &ask);
    assert_true(answer->changed);
    assert_int_equal(answer->added.count, 1);
    assert_int_equal(answer->removed.count, 1);
}

static void it_is_valid_and_has_not_changed(stage_t *stage) {
    msg_source_changed_t ask = {.has_pipeline = true, .pipeline = "clicks"};
    assert_false(((const msg_source_changes_t *)must_get(stage, MSG_SOURCE_CHANGED, &ask))->changed);
    the_first_is_valid(stage);
}

static void asking_for_a_change_brings_a_recording_back_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_once, ask_whether_they_changed, it_is_valid_and_has_not_changed});
}

static void ask_whether_a_job_is_needed(stage_t *stage) {
    msg_job_needed_t ask = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = finite(stage, 1)};
    const msg_job_need_t *need = must_get(stage, MSG_JOB_NEEDED, &ask);
    assert_false(need->needed);
    assert_string_equal(need->reason, "recording_valid");
}

static void asking_for_a_need_brings_a_recording_back_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_once, ask_whether_a_job_is_needed, it_is_valid_and_has_not_changed});
}

static void changed_and_running(stage_t *stage) {
    set_options(stage, true, 1);
    record(stage, 1, first);
    msg_transform_t transforms[] = {push_source("Push")};
    assert_true(run(stage, "clicks", 1, transforms)->started);
}

static void the_first_is_alone(stage_t *stage) {
    assert_recordings(stage, "first");
    assert_current(stage, 1, first);
    const msg_jobs_t *jobs = must_get(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    assert_int_equal(jobs->jobs.count, 2);
    assert_string_equal(jobs->jobs.items[1].stop_reason, "superseded");
}

static void a_job_on_other_sources_gives_way_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_and_running, run_the_first_again, the_first_is_alone});
}

/* ---- who reads ---- */

/* With credit for a first event and no more. */
static int64_t open_replay(stage_t *stage, stage_peer_t reader, const char *recording) {
    msg_replay_open_t open = {.credit = 1};
    open.has_pipeline = recording == NULL;
    open.pipeline = "clicks";
    open.has_recording = recording != NULL;
    open.recording = recording;
    stage_peer_request(stage, reader, MSG_REPLAY_OPEN, &open, (bytes_t){0}, 1);
    stage_run(stage);
    return ((const msg_replay_t *)stage_peer_answer(stage, reader, MSG_REPLAY))->replay;
}

/* NULL: it goes on. */
static const char *end_of(stage_t *stage, stage_peer_t reader) {
    stage_advance(stage, 100000);
    const stage_message_t *m = stage_peer_take_of(stage, reader, MSG_END);
    return m ? ((const msg_end_t *)m->message)->reason : NULL;
}

static void read_on(stage_t *stage, stage_peer_t reader, int64_t replay) {
    stage_peer_send(stage, reader, MSG_REPLAY_CREDIT, &(msg_replay_credit_t){.replay = replay, .bytes = INT64_C(1) << 40}, (bytes_t){0});
    assert_string_equal(end_of(stage, reader), "end");
}

static void read_while_it_changes(size_t point, bool *ret_failed) {
    const stage_peer_t by_pipeline = {"test_stream_server", "one"}, by_recording = {"test_stream_server", "two"};
    stage_t *stage = world_create(point, NULL);
    changed_once(stage);
    open_replay(stage, by_pipeline, NULL);
    int64_t replay = open_replay(stage, by_recording, second);
    stage_fail_after(stage, "job_supervisor", point);
    run_the_first_again(stage);
    *ret_failed = stage_failures(stage, "job_supervisor") > 0;
    const char *reason = end_of(stage, by_pipeline);
    assert_non_null(reason);
    assert_string_equal(reason, "invalidated");
    assert_null(end_of(stage, by_recording));
    read_on(stage, by_recording, replay);
    read_on(stage, by_pipeline, open_replay(stage, by_pipeline, NULL));
    stage_destroy(&stage);
}

static void who_reads_by_pipeline_is_told_that_another_is_valid(void **test) {
    (void)test;
    bool failed = true;
    for (size_t point = 1; failed && point <= POINTS_MAX; point++) read_while_it_changes(point, &failed);
}

/* ---- changing ---- */

static void recorded(stage_t *stage) {
    set_options(stage, true, 1);
    record(stage, 1, first);
    second[0] = '\0';
}

static void run_others(stage_t *stage) {
    record(stage, 2, second);
}

static void the_first_is_retired(stage_t *stage) {
    assert_recordings(stage, "first invalid, second");
    assert_current(stage, 2, second);
    run_the_first_again(stage);
    the_first_is_valid(stage);
}

static void a_change_retires_a_recording_once_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){recorded, run_others, the_first_is_retired});
}

static void keep_the_first(stage_t *stage) {
    keep(stage, first);
}

static void it_outlives_changes(stage_t *stage) {
    char others[256];
    set_options(stage, true, 0);
    assert_recordings(stage, "first kept");
    record(stage, 2, others);
    assert_recordings(stage, "first invalid kept, ?");
    record(stage, 3, others);
    assert_recordings(stage, "first invalid kept, ?");
    run_the_first_again(stage);
    assert_recordings(stage, "first kept");
    assert_current(stage, 1, first);
}

static void what_is_kept_stays_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){recorded, keep_the_first, it_outlives_changes});
}

static void changed_once_and_kept(stage_t *stage) {
    changed_once(stage);
    keep(stage, first);
}

static void lower_the_number_and_change(stage_t *stage) {
    char third[256];
    set_options(stage, true, 0);
    record(stage, 3, third);
}

static void only_the_kept_one_stays(stage_t *stage) {
    assert_recordings(stage, "first invalid kept, ?");
    run_the_first_again(stage);
    assert_recordings(stage, "first kept");
}

static void a_lower_number_holds_from_the_next_change_on_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_once_and_kept, lower_the_number_and_change, only_the_kept_one_stays});
}

/* ---- dropping ---- */

static void without_replay(stage_t *stage) {
    changed_once_and_kept(stage);
    set_options(stage, false, 1);
}

static void ask_without_replay(stage_t *stage) {
    const msg_job_need_t *need = must_get(stage, MSG_JOB_NEEDED, &(msg_job_needed_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_true(need->needed);
    assert_string_equal(need->reason, "replay_disabled");
}

static void all_is_evicted(stage_t *stage) {
    assert_recordings(stage, "first invalid kept");
    set_options(stage, true, 1);
    const msg_pipeline_run_answer_t *answer = run_finite(stage, 2);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "recording_missing");
    run_the_first_again(stage);
}

static void an_eviction_is_done_once_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){without_replay, ask_without_replay, all_is_evicted});
}

static void clear_clicks(stage_t *stage) {
    const msg_recording_clear_t clear = {.has_pipeline = true, .pipeline = "clicks"};
    assert_true(((const msg_recordings_dropped_t *)must_get(stage, MSG_RECORDING_CLEAR, &clear))->recordings.count <= 1);
}

static void only_the_kept_one_is_left(stage_t *stage) {
    assert_recordings(stage, "first invalid kept");
    run_the_first_again(stage);
    assert_current(stage, 1, first);
}

static void a_clear_leaves_what_is_kept_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_once_and_kept, clear_clicks, only_the_kept_one_is_left});
}

static void delete_the_first(stage_t *stage) {
    const msg_recordings_dropped_t *answer = must_get(stage, MSG_RECORDING_DELETE, &(msg_recording_delete_t){.recording = first});
    assert_int_equal(answer->recordings.count, 1);
    assert_string_equal(answer->recordings.items[0], first);
}

static void the_first_is_gone(stage_t *stage) {
    assert_recordings(stage, "second");
    assert_int_equal(must_be_refused(stage, MSG_RECORDING_DELETE, &(msg_recording_delete_t){.recording = first}), ERROR_NOT_FOUND);
    assert_current(stage, 2, second);
    const msg_pipeline_run_answer_t *answer = run_finite(stage, 1);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "sources_changed");
}

static void a_retired_recording_is_deleted_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_once_and_kept, delete_the_first, the_first_is_gone});
}

static void forget_all(stage_t *stage) {
    forget(stage, "clicks");
}

static void nothing_is_left(stage_t *stage) {
    assert_recordings(stage, "");
    assert_int_equal(jobs_count(stage), 0);
    const msg_pipeline_run_answer_t *answer = run_finite(stage, 1);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "first_run");
    assert_int_equal(answer->removed.count, 0);
}

static void forgetting_takes_what_was_retired_and_what_was_kept_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){changed_once_and_kept, forget_all, nothing_is_left});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_of_sources_that_came_back_finds_their_recording_whatever_fails),
        cmocka_unit_test(asking_for_a_change_brings_a_recording_back_whatever_fails),
        cmocka_unit_test(asking_for_a_need_brings_a_recording_back_whatever_fails),
        cmocka_unit_test(a_job_on_other_sources_gives_way_whatever_fails),
        cmocka_unit_test(who_reads_by_pipeline_is_told_that_another_is_valid),
        cmocka_unit_test(a_change_retires_a_recording_once_whatever_fails),
        cmocka_unit_test(what_is_kept_stays_whatever_fails),
        cmocka_unit_test(a_lower_number_holds_from_the_next_change_on_whatever_fails),
        cmocka_unit_test(an_eviction_is_done_once_whatever_fails),
        cmocka_unit_test(a_clear_leaves_what_is_kept_whatever_fails),
        cmocka_unit_test(a_retired_recording_is_deleted_whatever_fails),
        cmocka_unit_test(forgetting_takes_what_was_retired_and_what_was_kept_whatever_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
