/* The job supervisor: what clients ask of jobs, and what it knows again after a restart. */
#include "foreman.h"

#define NOW INT64_C(1700000000000000)

static msg_job_describe_t by_pipeline(const char *name) {
    return (msg_job_describe_t){.has_pipeline = true, .pipeline = name};
}

/* ---- describing ---- */

static void what_is_not_there_is_named(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const refusal_t *no = stage_get_refusal(stage, "job_supervisor", MSG_JOB_DESCRIBE, &(msg_job_describe_t){.has_job = true, .job = "j9"});
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    assert_string_equal(no->message, "no job `j9`");
    msg_job_describe_t ask = by_pipeline("clicks");
    assert_non_null(strstr(stage_get_refusal(stage, "job_supervisor", MSG_JOB_DESCRIBE, &ask)->message, "`clicks`"));
    no = stage_get_refusal(stage, "job_supervisor", MSG_JOB_DESCRIBE, &(msg_job_describe_t){0});
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    assert_non_null(strstr(no->message, "`job.describe`: `job` or `pipeline` is missing"));
    no = stage_get_refusal(stage, "job_supervisor", MSG_JOB_WAIT, &(msg_job_wait_t){.timeout_ms = 1});
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    no = stage_get_refusal(stage, "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){0});
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    no = stage_get_refusal(stage, "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_job = true, .job = "j9"});
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

/* ---- waiting and cancelling ---- */

static void who_waits_is_answered_at_the_end_or_when_the_time_is_over(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    msg_job_wait_t wait = {.has_job = true, .job = made->job, .timeout_ms = 1000};
    stage_ask(stage, "impatient", "job_supervisor", MSG_JOB_WAIT, &wait);
    wait.timeout_ms = INT64_MAX;
    stage_ask(stage, "patient", "job_supervisor", MSG_JOB_WAIT, &wait);
    stage_advance(stage, SECOND - 1);
    assert_true(desk_waits(stage, "impatient"));
    stage_advance(stage, 1);
    refusal_t no = desk_no(stage, "impatient");
    assert_int_equal(no.code, ERROR_UNAVAILABLE);
    assert_true(no.retry);
    assert_non_null(strstr(no.message, "is still RUNNING"));
    wait.timeout_ms = 0;
    assert_int_equal(stage_get_refusal(stage, "job_supervisor", MSG_JOB_WAIT, &wait)->code, ERROR_UNAVAILABLE);
    stage_advance(stage, 3600 * SECOND);
    assert_true(desk_waits(stage, "patient"));
    reach(stage, made->job, "count");
    assert_true(desk_waits(stage, "patient"));
    finish(stage, 9);
    assert_true(((const msg_job_t *)desk_yes(stage, "patient"))->is_done);
    const msg_job_t *at_once = stage_get(stage, "job_supervisor", MSG_JOB_WAIT, &wait);
    assert_string_equal(at_once->stop_reason, "count");
    stage_destroy(&stage);
}

static void cancelling_where_nothing_runs_is_no_error(void **test) {
    (void)test;
    stage_t *stage = foreman();
    msg_job_cancel_t cancel = {.has_pipeline = true, .pipeline = "p"};
    const msg_job_cancelled_t *answer = stage_get(stage, "job_supervisor", MSG_JOB_CANCEL, &cancel);
    assert_false(answer->cancelled || answer->has_job);
    const msg_recording_create_t *made = run_job(stage, "p");
    cancel_job(stage, "p");
    answer = stage_get(stage, "job_supervisor", MSG_JOB_CANCEL, &cancel);
    assert_false(answer->cancelled);
    assert_string_equal(answer->job.job, made->job);
    assert_string_equal(answer->job.state, "CANCELLED");
    assert_false(answer->job.is_done);
    stage_destroy(&stage);
}

static void of_two_that_cancel_one_does(void **test) {
    (void)test;
    stage_t *stage = foreman();
    run_job(stage, "p");
    msg_job_cancel_t cancel = {.has_pipeline = true, .pipeline = "p"};
    stage_ask(stage, "first", "job_supervisor", MSG_JOB_CANCEL, &cancel);
    stage_run(stage);
    assert_false(((const msg_job_cancelled_t *)stage_get(stage, "job_supervisor", MSG_JOB_CANCEL, &cancel))->cancelled);
    finish(stage, 1);
    assert_true(((const msg_job_cancelled_t *)desk_yes(stage, "first"))->cancelled);
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    stage_destroy(&stage);
}

/* ---- a restart ---- */

static msg_stream_t streams[2];
static const char *const_tags[2][1] = {{"t0"}, {"t1"}};
static char signatures[2][64] = {"", PUSH "|01"}; /* as those that ask_ensure asks for */

static msg_recording_job_t on_disk(const char *number, const char *state, const char *urn) {
    static char ids[4][2][32];
    static size_t next;
    char(*id)[32] = ids[next++ % 4];
    snprintf(id[0], sizeof id[0], "r0000000000%s", number);
    snprintf(id[1], sizeof id[1], "j0000000000%s", number);
    snprintf(signatures[0], sizeof signatures[0], "%s|00", urn);
    streams[0] = (msg_stream_t){.signature = signatures[0], .urn = urn, .tags = {1, const_tags[0]}};
    streams[1] = (msg_stream_t){.signature = signatures[1], .urn = PUSH, .tags = {1, const_tags[1]}};
    return (msg_recording_job_t){.recording = id[0],
                                 .job = id[1],
                                 .pipeline = "p",
                                 .state = state,
                                 .streams = {2, streams},
                                 .limits = no_limits,
                                 .created = NOW - 9 * SECOND,
                                 .elements = 5,
                                 .bytes = 50};
}

static stage_t *restarted(size_t jobs, const msg_job_t *known, size_t count, msg_recording_job_t *recordings) {
    stage_t *stage = stage_create(11, NULL);
    stage_add(stage, &job_supervisor_class, "job_supervisor", (bytes_t){0});
    foreman_load(stage, jobs, known, count, recordings);
    return stage;
}

static void a_running_job_goes_on_with_its_sources(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "RUNNING", GENERATOR);
    there.has_started = true;
    there.started = NOW - 4 * SECOND;
    stage_t *stage = restarted(0, NULL, 1, &there);
    const msg_child_start_t *child = desk_answer(stage, "supervisor", MSG_CHILD_START, NULL);
    assert_string_equal(child->name, "source_generator:j0000000000a1:0");
    desk_is_quiet(stage, "limiter", MSG_LIMITS_START);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {GENERATOR, PUSH}});
    assert_decision(decision(stage, "runner"), false, "job_running");
    stage_advance(stage, 60 * SECOND);
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    stage_destroy(&stage);
}

static void a_starting_job_goes_on_where_some_sources_wait_already(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "STARTING", GENERATOR);
    streams[0].has_joined = streams[0].joined = true;
    stage_t *stage = restarted(0, NULL, 1, &there);
    desk_answer(stage, "supervisor", MSG_CHILD_START, NULL);
    start_clock(stage);
    stage_advance(stage, 60 * SECOND);
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    stage_destroy(&stage);
}

static void a_starting_job_still_has_only_so_long_to_start(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "STARTING", GENERATOR);
    stage_t *stage = restarted(0, NULL, 1, &there);
    stage_advance(stage, 30 * SECOND);
    assert_string_equal(finish(stage, 0)->state, "FAILED");
    stage_destroy(&stage);
}

static void a_source_that_has_ended_is_not_started_again(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "RUNNING", GENERATOR);
    there.has_started = true;
    there.started = NOW;
    streams[0].has_ended = streams[0].ended = true;
    stage_t *stage = restarted(0, NULL, 1, &there);
    desk_is_quiet(stage, "supervisor", MSG_CHILD_START);
    stage_tell(stage, "recorder", "job_supervisor", MSG_SOURCE_ENDED, &(msg_source_ended_t){.job = there.job, .signature = signatures[1]});
    assert_string_equal(finish(stage, 5)->state, "DONE");
    stage_destroy(&stage);
}

static void a_job_whose_sources_had_all_ended_is_done(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "RUNNING", GENERATOR);
    there.has_started = true;
    there.started = NOW;
    for (size_t i = 0; i < 2; i++) streams[i].has_ended = streams[i].ended = true;
    stage_t *stage = restarted(0, NULL, 1, &there);
    assert_string_equal(finish(stage, 5)->stop_reason, "sources_ended");
    stage_destroy(&stage);
}

static void a_job_that_had_reached_its_limit_is_ended(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "RUNNING", GENERATOR);
    there.has_started = there.has_spent = true;
    there.started = NOW;
    there.spent = "count";
    stage_t *stage = restarted(0, NULL, 1, &there);
    desk_is_quiet(stage, "supervisor", MSG_CHILD_START);
    assert_string_equal(finish(stage, 5)->stop_reason, "count");
    stage_destroy(&stage);
}

static void an_end_that_waits_for_the_disk_is_waited_for(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "RUNNING", GENERATOR);
    there.has_started = there.has_ending = there.has_stop_reason = there.has_error = true;
    there.started = NOW;
    there.ending = "FAILED";
    there.stop_reason = "error";
    there.error = "it broke";
    stage_t *stage = restarted(0, NULL, 1, &there);
    desk_is_quiet(stage, "supervisor", MSG_CHILD_START);
    desk_told(stage, "supervisor", MSG_CHILD_STOP);
    const msg_recording_finish_t *order = finish(stage, 5);
    assert_string_equal(order->state, "FAILED");
    assert_string_equal(order->error, "it broke");
    assert_string_equal(job_now(stage, "p")->state, "FAILED");
    stage_destroy(&stage);
}

static void the_sources_of_a_job_that_has_ended_are_stopped(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "CANCELLED", GENERATOR);
    there.has_ended = there.has_stop_reason = true;
    there.stop_reason = "user";
    stage_t *stage = restarted(0, NULL, 1, &there);
    assert_string_equal(((const msg_child_stop_t *)desk_told(stage, "supervisor", MSG_CHILD_STOP))->name,
                        "source_generator:j0000000000a1:0");
    desk_is_quiet(stage, "supervisor", MSG_CHILD_STOP);
    stage_destroy(&stage);
}

static msg_job_t in_catalog(const char *number, const char *state, const char *reason) {
    static char ids[4][2][32];
    static size_t next;
    char(*id)[32] = ids[next++ % 4];
    snprintf(id[0], sizeof id[0], "r0000000000%s", number);
    snprintf(id[1], sizeof id[1], "j0000000000%s", number);
    return (msg_job_t){.recording = id[0],
                       .job = id[1],
                       .pipeline = "p",
                       .state = state,
                       .has_stop_reason = true,
                       .stop_reason = reason,
                       .limits = no_limits,
                       .elements = 3,
                       .bytes = 30,
                       .elapsed_ms = 1500,
                       .has_started_at = true,
                       .started_at = NOW};
}

static void a_job_whose_recording_is_gone_is_remembered(void **test) {
    (void)test;
    msg_job_t known = in_catalog("a1", "CANCELLED", "count");
    stage_t *stage = restarted(1, &known, 0, NULL);
    const msg_job_t *job = job_now(stage, "p");
    assert_string_equal(job->state, "CANCELLED");
    assert_true(job->is_done);
    assert_int_equal(job->elements, 3);
    assert_int_equal(job->elapsed_ms, 1500);
    ask_ensure(stage, "asker", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .dry = true});
    assert_decision(decision(stage, "asker"), false, "recording_missing");
    stage_destroy(&stage);
}

static void the_manifest_wins_over_the_catalog(void **test) {
    (void)test;
    msg_job_t known[] = {in_catalog("a1", "CANCELLED", "user"), in_catalog("a2", "FAILED", "error")};
    known[1].has_error = true;
    known[1].error = "the recording could not be ended";
    msg_recording_job_t there[] = {on_disk("a1", "DONE", PUSH), on_disk("a2", "RUNNING", PUSH)};
    there[0].has_ended = there[0].has_stop_reason = true;
    there[0].stop_reason = "sources_ended";
    there[1].has_started = true;
    there[1].started = NOW;
    stage_t *stage = restarted(2, known, 2, there);
    msg_job_describe_t first = {.has_job = true, .job = there[0].job};
    const msg_job_t *job = stage_get(stage, "job_supervisor", MSG_JOB_DESCRIBE, &first);
    assert_string_equal(job->state, "DONE");
    assert_true(job->is_done);
    stage_ask(stage, "asker", "job_supervisor", MSG_JOB_DESCRIBE, &(msg_job_describe_t){.has_pipeline = true, .pipeline = "p"});
    desk_refuse(stage, "progress", MSG_PROGRESS_ASK, ERROR_UNAVAILABLE, "later");
    job = desk_yes(stage, "asker");
    assert_true(job->is_running);
    assert_false(job->has_stop_reason || job->has_error);
    assert_int_equal(job->elapsed_ms, (stage_now(stage) - NOW) / 1000);
    stage_destroy(&stage);
}

static void of_two_jobs_of_a_pipeline_that_have_not_ended_the_older_is_ended(void **test) {
    (void)test;
    msg_recording_job_t there[] = {on_disk("a1", "RUNNING", PUSH), on_disk("a2", "RUNNING", PUSH)};
    for (size_t i = 0; i < 2; i++) {
        there[i].has_started = true;
        there[i].started = NOW;
    }
    stage_t *stage = restarted(0, NULL, 2, there);
    const msg_recording_finish_t *order = finish(stage, 5);
    assert_string_equal(order->recording, there[0].recording);
    assert_string_equal(order->stop_reason, "superseded");
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    stage_destroy(&stage);
}

static void the_same_request_after_a_restart_starts_no_other_job(void **test) {
    (void)test;
    msg_recording_job_t there = on_disk("a1", "RUNNING", PUSH);
    there.has_started = there.has_request = there.has_reason = true;
    there.started = NOW;
    there.request = "1-1";
    there.reason = "sources_changed";
    stage_t *stage = restarted(0, NULL, 1, &there);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .changed = true, .request = "1-1"});
    assert_decision(decision(stage, "runner"), true, "sources_changed");
    stage_destroy(&stage);
}

static void a_recording_that_cannot_be_read_can_be_deleted(void **test) {
    (void)test;
    msg_recording_job_t there = {.recording = "no id at all",
                                 .job = "no id at all",
                                 .pipeline = "?",
                                 .state = "FAILED",
                                 .limits = no_limits,
                                 .has_stop_reason = true,
                                 .stop_reason = "error",
                                 .has_error = true,
                                 .error = "not msgpack",
                                 .created = NOW};
    stage_t *stage = restarted(0, NULL, 1, &there);
    stage_ask(stage, "deleter", "job_supervisor", MSG_RECORDING_DELETE, &(msg_recording_delete_t){.recording = "no id at all"});
    desk_answer(stage, "recorder", MSG_RECORDING_DROP, NULL);
    desk_yes(stage, "deleter");
    stage_destroy(&stage);
}

static void requests_under_way_when_it_fails_are_answered_by_the_new_state(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    stage_ask(stage, "waiter", "job_supervisor", MSG_JOB_WAIT,
              &(msg_job_wait_t){.has_pipeline = true, .pipeline = "p", .timeout_ms = 60000});
    stage_ask(stage, "canceller", "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "p"});
    desk_take(stage, "recorder", MSG_RECORDING_FINISH);
    stage_fail(stage, "job_supervisor");
    msg_recording_job_t there = on_disk("a1", "CANCELLED", PUSH);
    there.job = made->job;
    there.recording = made->recording;
    there.has_ended = there.has_stop_reason = true;
    there.stop_reason = "user";
    foreman_load(stage, 0, NULL, 1, &there);
    assert_string_equal(((const msg_job_t *)desk_yes(stage, "waiter"))->state, "CANCELLED");
    assert_true(((const msg_job_cancelled_t *)desk_yes(stage, "canceller"))->cancelled);
    stage_destroy(&stage);
}

static void what_the_catalog_cannot_give_back_is_named(void **test) {
    (void)test;
    stage_t *stage = stage_create(11, NULL);
    stage_add(stage, &job_supervisor_class, "job_supervisor", (bytes_t){0});
    msg_options_t options;
    options_default(&options);
    desk_answer(stage, "catalog", MSG_OPTIONS_GET, &options);
    static const uint8_t bad[] = {0x80};
    msg_document_t document = {.kind = "job", .key = "j7", .has_value = true, .value = {bad, 1}};
    desk_answer(stage, "catalog", MSG_CATALOG_READ, &(msg_documents_t){.documents = {1, &document}});
    assert_non_null(strstr(stage_failure(stage, "job_supervisor"), "the catalog's job `j7` cannot be read"));
    stage_destroy(&stage);
}

/* ---- others that fail ---- */

static void a_recorder_that_recovered_is_asked_how_things_stand(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *p = run_job(stage, "p"), *q = run_job(stage, "q"), *r = run_job(stage, "r");
    stage_tell(stage, "recorder", "job_supervisor", MSG_RECORDER_RECOVERED, &(msg_recorder_recovered_t){0});
    msg_recording_job_t there[] = {{.recording = p->recording,
                                    .job = p->job,
                                    .pipeline = "p",
                                    .state = "FAILED",
                                    .limits = no_limits,
                                    .has_ended = true,
                                    .has_error = true,
                                    .error = "damaged"},
                                   {.recording = q->recording,
                                    .job = q->job,
                                    .pipeline = "q",
                                    .state = "RUNNING",
                                    .limits = no_limits,
                                    .has_spent = true,
                                    .spent = "count"},
                                   {.recording = r->recording, .job = r->job, .pipeline = "r", .state = "RUNNING", .limits = no_limits}};
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){.recordings = {3, there}});
    assert_string_equal(finish(stage, 1)->error, "damaged");
    assert_string_equal(finish(stage, 1)->stop_reason, "count");
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    stage_destroy(&stage);
}

static void a_source_that_gave_up_fails_its_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {GENERATOR}, .changed = true});
    resolve_limits(stage);
    create(stage);
    const msg_child_start_t *child = desk_answer(stage, "supervisor", MSG_CHILD_START, NULL);
    stage_tell(stage, "supervisor", "job_supervisor", MSG_CHILD_GONE, &(msg_child_gone_t){.name = "another", .why = "no"});
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    stage_tell(stage, "supervisor", "job_supervisor", MSG_CHILD_GONE,
               &(msg_child_gone_t){.name = child->name, .why = "it fails and fails"});
    assert_string_equal(finish(stage, 0)->error, "it fails and fails");
    desk_is_quiet(stage, "supervisor", MSG_CHILD_STOP);
    stage_destroy(&stage);
}

static void words_about_jobs_that_are_not_there_are_nothing(void **test) {
    (void)test;
    stage_t *stage = foreman();
    reach(stage, "j9", "count");
    fail_source(stage, "j9", "why");
    stage_tell(stage, "recorder", "job_supervisor", MSG_SOURCE_JOINED, &(msg_source_joined_t){.job = "j9", .signature = "s"});
    stage_tell(stage, "recorder", "job_supervisor", MSG_SOURCE_ENDED, &(msg_source_ended_t){.job = "j9", .signature = "s"});
    desk_is_quiet(stage, "recorder", MSG_NONE);
    assert_int_equal(stage_failures(stage, "job_supervisor"), 0);
    stage_destroy(&stage);
}

static void a_thousand_pipelines_are_run_at_once(void **test) {
    (void)test;
    enum { MANY = 1000 };
    stage_t *stage = foreman();
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        ask_ensure(stage, name, &(wanted_t){.pipeline = name, .urns = {PUSH}, .changed = true});
    }
    for (int i = 0; i < MANY; i++) resolve_limits(stage);
    for (int i = 0; i < MANY; i++) create(stage);
    for (int i = 0; i < MANY; i++) start_clock(stage);
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        assert_decision(decision(stage, name), true, "first_run");
    }
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(who_waits_is_answered_at_the_end_or_when_the_time_is_over),
        cmocka_unit_test(cancelling_where_nothing_runs_is_no_error),
        cmocka_unit_test(of_two_that_cancel_one_does),
        cmocka_unit_test(a_running_job_goes_on_with_its_sources),
        cmocka_unit_test(a_starting_job_goes_on_where_some_sources_wait_already),
        cmocka_unit_test(a_starting_job_still_has_only_so_long_to_start),
        cmocka_unit_test(a_source_that_has_ended_is_not_started_again),
        cmocka_unit_test(a_job_whose_sources_had_all_ended_is_done),
        cmocka_unit_test(a_job_that_had_reached_its_limit_is_ended),
        cmocka_unit_test(an_end_that_waits_for_the_disk_is_waited_for),
        cmocka_unit_test(the_sources_of_a_job_that_has_ended_are_stopped),
        cmocka_unit_test(a_job_whose_recording_is_gone_is_remembered),
        cmocka_unit_test(the_manifest_wins_over_the_catalog),
        cmocka_unit_test(of_two_jobs_of_a_pipeline_that_have_not_ended_the_older_is_ended),
        cmocka_unit_test(the_same_request_after_a_restart_starts_no_other_job),
        cmocka_unit_test(a_recording_that_cannot_be_read_can_be_deleted),
        cmocka_unit_test(requests_under_way_when_it_fails_are_answered_by_the_new_state),
        cmocka_unit_test(what_the_catalog_cannot_give_back_is_named),
        cmocka_unit_test(a_recorder_that_recovered_is_asked_how_things_stand),
        cmocka_unit_test(a_source_that_gave_up_fails_its_job),
        cmocka_unit_test(words_about_jobs_that_are_not_there_are_nothing),
        cmocka_unit_test(a_thousand_pipelines_are_run_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
