/* The job supervisor and recordings that come from elsewhere. */
#include "foreman.h"

static msg_stream_t push_stream = {.signature = PUSH "|00", .urn = PUSH}; /* the same sources as run_job's */
static msg_stream_t other_stream = {.signature = "my:urn|", .urn = "my:urn"};

static msg_recording_job_t complete(const char *recording, const char *job, msg_stream_t *stream) {
    msg_recording_job_t made = {.recording = recording,
                                .job = job,
                                .pipeline = "p",
                                .state = "DONE",
                                .has_stop_reason = true,
                                .stop_reason = "sources_ended",
                                .limits = no_limits,
                                .has_ended = true,
                                .ended = 5,
                                .elements = 3,
                                .kept = true};
    made.streams.count = 1;
    made.streams.items = stream;
    return made;
}

static const msg_job_numbered_t *numbered(stage_t *stage) {
    return stage_get(stage, "job_supervisor", MSG_JOB_NUMBER, &(msg_job_number_t){0});
}

static void ask_adopt(stage_t *stage, const msg_recording_job_t *recording) {
    stage_ask(stage, "librarian", "job_supervisor", MSG_JOB_ADOPT, &(msg_job_adopt_t){.recording = *recording, .folder = ".new"});
    stage_run(stage);
}

/* The recorder takes it over; `invalid` is what it must be told. */
static void taken(stage_t *stage, msg_recording_job_t *recording, bool invalid) {
    const stage_message_t *m = desk_take(stage, "recorder", MSG_RECORDING_ADOPT);
    const msg_recording_adopt_t *adopt = m->message;
    assert_string_equal(adopt->recording, recording->recording);
    assert_string_equal(adopt->folder, ".new");
    assert_int_equal(adopt->invalid, invalid);
    recording->has_invalidated = invalid;
    recording->invalidated = invalid;
    stage_answer(stage, m, &(msg_recording_jobs_t){.recordings = {1, recording}});
    stage_run(stage);
}

static void no_name_is_given_twice(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_job_numbered_t *one = numbered(stage), *two = numbered(stage);
    assert_string_not_equal(one->job, two->job);
    assert_string_not_equal(one->recording, two->recording);
    const msg_recording_create_t *made = run_job(stage, "p");
    assert_string_not_equal(made->job, one->job);
    assert_string_not_equal(made->job, two->job);
    stage_destroy(&stage);
}

static void the_first_is_the_pipelines_own_and_no_job_is_needed(void **test) {
    (void)test;
    stage_t *stage = foreman();
    msg_recording_job_t recording = complete("r1", "j1", &push_stream);
    ask_adopt(stage, &recording);
    taken(stage, &recording, false);
    const msg_job_decision_t *d = decision(stage, "librarian");
    assert_string_equal(d->job, "j1");
    assert_true(d->has_made_of);
    assert_string_equal(d->made_of.items[0], push_stream.signature);
    assert_true(job_now(stage, "p")->is_done);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .changed = true});
    d = decision(stage, "runner");
    assert_false(d->started);
    assert_string_equal(d->reason, "recording_valid");
    assert_string_equal(d->recording, "r1");
    stage_destroy(&stage);
}

/* As every job that has ended: so it is known still when its recording is not there any more. */
static void its_job_is_remembered(void **test) {
    (void)test;
    stage_t *stage = foreman();
    msg_recording_job_t recording = complete("r1", "j1", &push_stream);
    ask_adopt(stage, &recording);
    taken(stage, &recording, false);
    const msg_catalog_write_t *write = desk_told(stage, "catalog", MSG_CATALOG_WRITE);
    assert_int_equal(write->documents.count, 1);
    assert_string_equal(write->documents.items[0].kind, "job");
    assert_string_equal(write->documents.items[0].key, "j1");
    assert_true(write->documents.items[0].has_value);
    stage_destroy(&stage);
}

static void beside_a_valid_one_of_other_sources_it_is_invalid_until_they_come(void **test) {
    (void)test;
    stage_t *stage = foreman();
    msg_recording_job_t first = complete("r1", "j1", &push_stream), second = complete("r2", "j2", &other_stream);
    ask_adopt(stage, &first);
    taken(stage, &first, false);
    decision(stage, "librarian");
    ask_adopt(stage, &second);
    taken(stage, &second, true);
    assert_false(decision(stage, "librarian")->has_made_of);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}});
    assert_string_equal(decision(stage, "runner")->recording, "r1");
    stage_destroy(&stage);
}

static void one_of_the_same_sources_takes_the_place_of_the_older(void **test) {
    (void)test;
    stage_t *stage = foreman();
    msg_recording_job_t first = complete("r1", "j1", &push_stream), second = complete("r2", "j2", &push_stream);
    ask_adopt(stage, &first);
    taken(stage, &first, false);
    decision(stage, "librarian");
    ask_adopt(stage, &second);
    taken(stage, &second, false);
    assert_true(decision(stage, "librarian")->has_made_of);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}});
    assert_string_equal(decision(stage, "runner")->recording, "r2");
    stage_destroy(&stage);
}

static void none_is_taken_while_a_job_of_the_pipeline_runs(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    msg_recording_job_t recording = complete("r1", "j1", &push_stream);
    ask_adopt(stage, &recording);
    refusal_t no = desk_no(stage, "librarian");
    assert_int_equal(no.code, ERROR_INVALID_STATE);
    assert_non_null(strstr(no.message, made->job));
    desk_is_quiet(stage, "recorder", MSG_RECORDING_ADOPT);
    stage_destroy(&stage);
}

static void what_the_recorder_refuses_is_no_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    msg_recording_job_t recording = complete("r1", "j1", &push_stream);
    ask_adopt(stage, &recording);
    desk_refuse(stage, "recorder", MSG_RECORDING_ADOPT, ERROR_NO_SPACE, "full");
    assert_int_equal(desk_no(stage, "librarian").code, ERROR_NO_SPACE);
    msg_job_describe_t ask = {.has_pipeline = true, .pipeline = "p"};
    assert_int_equal(stage_get_refusal(stage, "job_supervisor", MSG_JOB_DESCRIBE, &ask)->code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

static void a_run_that_comes_meanwhile_waits_and_finds_it(void **test) {
    (void)test;
    stage_t *stage = foreman();
    msg_recording_job_t recording = complete("r1", "j1", &push_stream);
    ask_adopt(stage, &recording);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .changed = true});
    assert_true(desk_waits(stage, "runner"));
    taken(stage, &recording, false);
    assert_string_equal(decision(stage, "runner")->reason, "recording_valid");
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_name_is_given_twice),
        cmocka_unit_test(the_first_is_the_pipelines_own_and_no_job_is_needed),
        cmocka_unit_test(its_job_is_remembered),
        cmocka_unit_test(beside_a_valid_one_of_other_sources_it_is_invalid_until_they_come),
        cmocka_unit_test(one_of_the_same_sources_takes_the_place_of_the_older),
        cmocka_unit_test(none_is_taken_while_a_job_of_the_pipeline_runs),
        cmocka_unit_test(what_the_recorder_refuses_is_no_job),
        cmocka_unit_test(a_run_that_comes_meanwhile_waits_and_finds_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
