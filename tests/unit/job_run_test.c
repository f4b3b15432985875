/* How a job starts, and how it ends, whoever refuses on the way. */
#include "foreman.h"

#include "messages/text.h"

static void begin(stage_t *stage, const char *first, const char *second) {
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {first, second}, .changed = true});
    resolve_limits(stage);
}

static void join(stage_t *stage, const msg_recording_create_t *made, size_t stream) {
    stage_tell(stage, "recorder", "job_supervisor", MSG_SOURCE_JOINED,
               &(msg_source_joined_t){.job = made->job, .signature = made->streams.items[stream].signature});
    stage_run(stage);
}

static void end_source(stage_t *stage, const msg_recording_create_t *made, size_t stream) {
    stage_tell(stage, "recorder", "job_supervisor", MSG_SOURCE_ENDED,
               &(msg_source_ended_t){.job = made->job, .signature = made->streams.items[stream].signature});
    stage_run(stage);
}

static const msg_job_t *waited_for(stage_t *stage) {
    return stage_get(stage, "job_supervisor", MSG_JOB_WAIT, &(msg_job_wait_t){.has_pipeline = true, .pipeline = "p", .timeout_ms = 0});
}

/* ---- the start ---- */

static void the_clock_starts_when_all_sources_have_attached(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, GENERATOR, GENERATOR);
    const msg_recording_create_t *made = create(stage);
    for (int i = 0; i < 2; i++) {
        const msg_child_start_t *child = desk_answer(stage, "supervisor", MSG_CHILD_START, NULL);
        assert_string_equal(child->urn, GENERATOR);
        char name[128];
        snprintf(name, sizeof name, "source_generator:%s:%d", made->job, i);
        assert_string_equal(child->name, name);
    }
    desk_is_quiet(stage, "limiter", MSG_LIMITS_START);
    join(stage, made, 0);
    join(stage, made, 0);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_START);
    join(stage, made, 1);
    start_clock(stage);
    const msg_job_decision_t *d = decision(stage, "runner");
    assert_decision(d, true, "first_run");
    assert_true(d->has_recording);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_START);
    stage_destroy(&stage);
}

static void a_push_source_counts_as_started_at_once(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, NULL);
    create(stage);
    desk_is_quiet(stage, "supervisor", MSG_CHILD_START);
    start_clock(stage);
    decision(stage, "runner");
    stage_destroy(&stage);
}

static void after_a_second_the_answer_comes_though_the_job_is_starting(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, GENERATOR, NULL);
    create(stage);
    stage_advance(stage, SECOND - 1);
    assert_true(desk_waits(stage, "runner"));
    stage_advance(stage, 1);
    assert_decision(decision(stage, "runner"), true, "first_run");
    stage_destroy(&stage);
}

static void a_source_that_does_not_attach_in_time_fails_the_job_by_name(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, GENERATOR);
    create(stage);
    stage_advance(stage, 30 * SECOND);
    const msg_recording_finish_t *order = finish(stage, 0);
    assert_string_equal(order->state, "FAILED");
    assert_string_equal(order->stop_reason, "error");
    assert_non_null(strstr(order->error, "`t1`"));
    assert_string_equal(waited_for(stage)->state, "FAILED");
    stage_destroy(&stage);
}

#define TELEX "reprise:source:telex:v1" /* no connector has it */

static const msg_job_t *listed(stage_t *stage) {
    stage_ask(stage, "lister", "job_supervisor", MSG_JOB_LIST, &(msg_job_list_t){0});
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){0});
    const msg_jobs_t *jobs = desk_yes(stage, "lister");
    assert_int_equal(jobs->jobs.count, 1);
    return &jobs->jobs.items[0];
}

static void a_source_without_a_connector_is_the_recorders_to_find_a_worker_for(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, TELEX, PUSH);
    const msg_recording_create_t *made = create(stage);
    assert_true(made->streams.items[0].worker);
    assert_false(made->streams.items[1].worker);
    stage_advance(stage, 100 * SECOND);
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_START);
    const msg_job_t *job = listed(stage);
    assert_int_equal(job->waiting_for.count, 1);
    assert_string_equal(job->waiting_for.items[0], "t0");
    assert_int_equal(job->needs_workers.count, 1);
    assert_string_equal(job->needs_workers.items[0], TELEX);
    join(stage, made, 0);
    start_clock(stage);
    job = listed(stage);
    assert_string_equal(job->state, "RUNNING");
    assert_false(job->has_needs_workers);
    stage_destroy(&stage);
}

static void a_source_that_does_not_attach_fails_the_job_though_another_waits_for_a_worker(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, GENERATOR, TELEX);
    create(stage);
    desk_answer(stage, "supervisor", MSG_CHILD_START, NULL);
    stage_advance(stage, 30 * SECOND);
    assert_string_equal(finish(stage, 0)->error, "the source of `t0` did not attach in 30 s");
    stage_destroy(&stage);
}

static void a_recording_that_cannot_be_created_fails_the_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, NULL);
    desk_refuse(stage, "recorder", MSG_RECORDING_CREATE, ERROR_INTERNAL, "disk full");
    desk_refuse(stage, "recorder", MSG_RECORDING_FINISH, ERROR_NOT_FOUND, "there is no recording");
    const msg_job_decision_t *d = decision(stage, "runner");
    assert_decision(d, true, "first_run");
    assert_false(d->has_recording);
    const msg_job_t *job = waited_for(stage);
    assert_string_equal(job->state, "FAILED");
    assert_string_equal(job->error, "disk full");
    stage_destroy(&stage);
}

static void a_recording_that_is_there_though_its_creation_was_refused_is_the_jobs(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, NULL);
    const msg_recording_create_t *made = NULL;
    for (int i = 0; i < 3; i++) {
        made = desk_refuse(stage, "recorder", MSG_RECORDING_CREATE, ERROR_UNAVAILABLE, "recorder failed on this request");
        stage_advance(stage, 100000);
    }
    finish(stage, 0);
    assert_true(decision(stage, "runner")->has_recording);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}});
    drop(stage, made->recording);
    stage_destroy(&stage);
}

static void a_recorder_that_did_not_get_the_order_to_create_is_asked_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, NULL);
    desk_refuse(stage, "recorder", MSG_RECORDING_CREATE, ERROR_UNAVAILABLE, "recorder has too many messages waiting");
    stage_advance(stage, 100000);
    desk_answer(stage, "recorder", MSG_RECORDING_CREATE, NULL);
    start_clock(stage);
    const msg_job_decision_t *d = decision(stage, "runner");
    assert_true(d->started && d->has_recording);
    stage_destroy(&stage);
}

static void a_pipelines_jobs_without_recordings_are_remembered_up_to_a_number(void **test) {
    (void)test;
    enum { REMEMBERED = 20, RUNS = 27 };
    stage_t *stage = foreman();
    char oldest[RUNS][32];
    size_t forgotten = 0;
    for (size_t i = 0; i < RUNS; i++) {
        stage_advance(stage, 1000);
        begin(stage, PUSH, NULL);
        const msg_recording_create_t *made = desk_refuse(stage, "recorder", MSG_RECORDING_CREATE, ERROR_INTERNAL, "disk full");
        snprintf(oldest[i], sizeof oldest[i], "%s", made->job);
        desk_refuse(stage, "recorder", MSG_RECORDING_FINISH, ERROR_NOT_FOUND, "there is no recording");
        decision(stage, "runner");
        const msg_catalog_write_t *write = desk_answer(stage, "catalog", MSG_CATALOG_WRITE, NULL);
        for (size_t n = 0; n < write->documents.count; n++) {
            const msg_document_t *document = &write->documents.items[n];
            assert_string_equal(document->key, document->has_value ? made->job : oldest[forgotten++]);
        }
    }
    assert_int_equal(forgotten, RUNS - REMEMBERED);
    stage_ask(stage, "lister", "job_supervisor", MSG_JOB_LIST, &(msg_job_list_t){0});
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){0});
    const msg_jobs_t *jobs = desk_yes(stage, "lister");
    assert_int_equal(jobs->jobs.count, REMEMBERED);
    assert_string_equal(jobs->jobs.items[0].job, oldest[forgotten]);
    stage_destroy(&stage);
}

static void a_source_that_cannot_start_fails_the_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, GENERATOR, NULL);
    const msg_recording_create_t *made = create(stage);
    desk_refuse(stage, "supervisor", MSG_CHILD_START, ERROR_INVALID_STATE, "no such file");
    assert_string_equal(finish(stage, 0)->error, "no such file");
    const msg_child_stop_t *stopped = desk_told(stage, "supervisor", MSG_CHILD_STOP);
    assert_non_null(strstr(stopped->name, made->job));
    stage_destroy(&stage);
}

static void a_source_that_is_unavailable_is_asked_for_until_it_starts(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, GENERATOR, NULL);
    const msg_recording_create_t *made = create(stage);
    for (int i = 0; i < 3; i++) {
        desk_refuse(stage, "supervisor", MSG_CHILD_START, ERROR_UNAVAILABLE, "it is stopping");
        desk_is_quiet(stage, "supervisor", MSG_CHILD_START);
        stage_advance(stage, SECOND / 2);
    }
    desk_answer(stage, "supervisor", MSG_CHILD_START, NULL);
    stage_advance(stage, 5 * SECOND);
    desk_is_quiet(stage, "supervisor", MSG_CHILD_START);
    join(stage, made, 0);
    start_clock(stage);
    assert_string_equal(decision(stage, "runner")->job, made->job);
    stage_destroy(&stage);
}

static void a_limiter_that_is_unavailable_is_asked_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, NULL);
    create(stage);
    desk_refuse(stage, "limiter", MSG_LIMITS_START, ERROR_UNAVAILABLE, "limiter failed on this request and is restarted");
    stage_advance(stage, SECOND / 10);
    start_clock(stage);
    decision(stage, "runner");
    stage_destroy(&stage);
}

static void limits_that_cannot_start_fail_the_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, NULL);
    create(stage);
    desk_refuse(stage, "limiter", MSG_LIMITS_START, ERROR_INTERNAL, "cannot write the manifest");
    assert_string_equal(finish(stage, 0)->error, "cannot write the manifest");
    assert_decision(decision(stage, "runner"), true, "first_run");
    stage_destroy(&stage);
}

/* ---- the end ---- */

static void when_all_sources_have_ended_the_job_is_done(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, PUSH);
    const msg_recording_create_t *made = create(stage);
    start_clock(stage);
    decision(stage, "runner");
    end_source(stage, made, 0);
    end_source(stage, made, 0);
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    end_source(stage, made, 1);
    const msg_recording_finish_t *order = finish(stage, 7);
    assert_string_equal(order->state, "DONE");
    assert_string_equal(order->stop_reason, "sources_ended");
    const msg_job_t *job = waited_for(stage);
    assert_true(job->is_done);
    assert_int_equal(job->elements, 7);
    assert_int_equal(job->bytes, 70);
    stage_destroy(&stage);
}

static void a_limit_cancels_the_job_and_makes_it_done(void **test) {
    (void)test;
    static const char *const limits[] = {"duration", "bytes", "count", "free_disk"};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        stage_t *stage = foreman();
        const msg_recording_create_t *made = run_job(stage, "p");
        reach(stage, made->job, limits[i]);
        const msg_job_t *ending =
            stage_get(stage, "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_job = true, .job = made->job});
        assert_non_null(ending);
        const msg_recording_finish_t *order = finish(stage, 7);
        assert_string_equal(order->state, "CANCELLED");
        assert_string_equal(order->stop_reason, limits[i]);
        assert_string_equal(((const msg_limits_stop_t *)desk_told(stage, "limiter", MSG_LIMITS_STOP))->job, made->job);
        const msg_job_t *job = waited_for(stage);
        assert_string_equal(job->state, "CANCELLED");
        assert_true(job->is_done);
        stage_destroy(&stage);
    }
}

/* A limiter that was told before could fail, read a manifest that says RUNNING, and watch the job for ever. */
static void the_limiter_is_told_of_an_end_once_the_recording_has_ended(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    desk_is_quiet(stage, "limiter", MSG_LIMITS_STOP);
    finish(stage, 1);
    assert_string_equal(((const msg_limits_stop_t *)desk_told(stage, "limiter", MSG_LIMITS_STOP))->job, made->job);
    stage_destroy(&stage);
}

static void the_first_reason_to_end_stays_the_reason(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    fail_source(stage, made->job, "too late");
    reach(stage, made->job, "duration");
    end_source(stage, made, 0);
    assert_string_equal(finish(stage, 7)->stop_reason, "count");
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    fail_source(stage, made->job, "much too late");
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    assert_true(waited_for(stage)->is_done);
    stage_destroy(&stage);
}

static void a_job_is_cancelled_while_it_starts(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, GENERATOR, NULL);
    stage_ask(stage, "canceller", "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "p"});
    create(stage);
    finish(stage, 0);
    assert_string_equal(((const msg_job_cancelled_t *)desk_yes(stage, "canceller"))->job.state, "CANCELLED");
    assert_decision(decision(stage, "runner"), true, "first_run");
    desk_is_quiet(stage, "supervisor", MSG_CHILD_START);
    stage_advance(stage, 60 * SECOND);
    desk_is_quiet(stage, "recorder", MSG_RECORDING_FINISH);
    stage_destroy(&stage);
}

static void a_clock_that_starts_too_late_does_not_revive_the_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, PUSH, NULL);
    create(stage);
    const stage_message_t *asked = desk_take(stage, "limiter", MSG_LIMITS_START);
    stage_ask(stage, "canceller", "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "p"});
    stage_run(stage);
    stage_answer(stage, asked, &(msg_limits_started_t){.start = stage_now(stage)});
    finish(stage, 0);
    desk_yes(stage, "canceller");
    assert_string_equal(waited_for(stage)->state, "CANCELLED");
    stage_destroy(&stage);
}

static void a_recorder_that_is_unavailable_is_asked_again_to_end(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    desk_refuse(stage, "recorder", MSG_RECORDING_FINISH, ERROR_UNAVAILABLE, "recorder failed on this request and is restarted");
    stage_advance(stage, SECOND / 10);
    finish(stage, 7);
    assert_true(waited_for(stage)->is_done);
    stage_destroy(&stage);
}

static void a_recording_that_cannot_be_ended_fails_the_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    desk_refuse(stage, "recorder", MSG_RECORDING_FINISH, ERROR_INTERNAL, "disk full");
    const msg_job_t *job = waited_for(stage);
    assert_string_equal(job->state, "FAILED");
    assert_string_equal(job->error, "the recording could not be ended: disk full");
    stage_destroy(&stage);
}

static void a_job_whose_end_the_disk_does_not_take_has_failed(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    const stage_message_t *m = desk_take(stage, "recorder", MSG_RECORDING_FINISH);
    msg_recording_job_t ended = {.recording = made->recording,
                                 .job = made->job,
                                 .pipeline = "p",
                                 .state = "FAILED",
                                 .limits = no_limits,
                                 .has_stop_reason = true,
                                 .stop_reason = "error",
                                 .has_error = true,
                                 .error = "cannot rename the manifest",
                                 .elements = 7};
    stage_answer(stage, m, &(msg_recording_jobs_t){.recordings = {1, &ended}});
    stage_run(stage);
    const msg_job_t *job = waited_for(stage);
    assert_string_equal(job->state, "FAILED");
    assert_string_equal(job->stop_reason, "error");
    assert_string_equal(job->error, "cannot rename the manifest");
    assert_int_equal(job->elements, 7);
    assert_false(job->is_done);
    stage_destroy(&stage);
}

/* 511 bytes, and then half of a character: nobody would take such a text. */
static void a_reason_that_is_cut_is_cut_between_characters(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    char text[1200] = "";
    for (size_t i = 0; i < 500; i++) memcpy(text + 2 * i, "\xc3\xa9", 3);
    fail_source(stage, made->job, text);
    const msg_recording_finish_t *order = finish(stage, 0);
    assert_true(text_valid(order->error, strlen(order->error)));
    assert_true(strlen(order->error) > 500);
    stage_destroy(&stage);
}

static void what_feeds_a_job_is_stopped_once_its_recording_has_ended(void **test) {
    (void)test;
    stage_t *stage = foreman();
    begin(stage, GENERATOR, NULL);
    const msg_recording_create_t *made = create(stage);
    desk_answer(stage, "supervisor", MSG_CHILD_START, NULL);
    join(stage, made, 0);
    start_clock(stage);
    decision(stage, "runner");
    reach(stage, made->job, "count");
    desk_is_quiet(stage, "supervisor", MSG_CHILD_STOP);
    finish(stage, 7);
    desk_told(stage, "supervisor", MSG_CHILD_STOP);
    stage_destroy(&stage);
}

static void every_state_is_told_and_a_complete_recording_too(void **test) {
    (void)test;
    static const char *const states[] = {"STARTING", "RUNNING", "CANCELLING", "CANCELLED"};
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    finish(stage, 7);
    for (size_t i = 0; i < 4; i++) {
        const msg_notify_t *told = desk_told(stage, "notifier", MSG_NOTIFY);
        assert_string_equal(told->topic, "job.state");
        assert_string_equal(told->name, made->job);
        assert_string_equal(told->state, states[i]);
    }
    const msg_notify_t *told = desk_told(stage, "notifier", MSG_NOTIFY);
    assert_string_equal(told->topic, "recording.complete");
    assert_string_equal(told->name, made->recording);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_starts_when_all_sources_have_attached),
        cmocka_unit_test(a_push_source_counts_as_started_at_once),
        cmocka_unit_test(after_a_second_the_answer_comes_though_the_job_is_starting),
        cmocka_unit_test(a_source_that_does_not_attach_in_time_fails_the_job_by_name),
        cmocka_unit_test(a_source_without_a_connector_is_the_recorders_to_find_a_worker_for),
        cmocka_unit_test(a_source_that_does_not_attach_fails_the_job_though_another_waits_for_a_worker),
        cmocka_unit_test(a_recording_that_cannot_be_created_fails_the_job),
        cmocka_unit_test(a_recording_that_is_there_though_its_creation_was_refused_is_the_jobs),
        cmocka_unit_test(a_recorder_that_did_not_get_the_order_to_create_is_asked_again),
        cmocka_unit_test(a_pipelines_jobs_without_recordings_are_remembered_up_to_a_number),
        cmocka_unit_test(a_source_that_cannot_start_fails_the_job),
        cmocka_unit_test(a_source_that_is_unavailable_is_asked_for_until_it_starts),
        cmocka_unit_test(a_limiter_that_is_unavailable_is_asked_again),
        cmocka_unit_test(limits_that_cannot_start_fail_the_job),
        cmocka_unit_test(when_all_sources_have_ended_the_job_is_done),
        cmocka_unit_test(a_limit_cancels_the_job_and_makes_it_done),
        cmocka_unit_test(the_limiter_is_told_of_an_end_once_the_recording_has_ended),
        cmocka_unit_test(the_first_reason_to_end_stays_the_reason),
        cmocka_unit_test(a_job_is_cancelled_while_it_starts),
        cmocka_unit_test(a_clock_that_starts_too_late_does_not_revive_the_job),
        cmocka_unit_test(a_recorder_that_is_unavailable_is_asked_again_to_end),
        cmocka_unit_test(a_job_whose_end_the_disk_does_not_take_has_failed),
        cmocka_unit_test(a_recording_that_cannot_be_ended_fails_the_job),
        cmocka_unit_test(a_reason_that_is_cut_is_cut_between_characters),
        cmocka_unit_test(what_feeds_a_job_is_stopped_once_its_recording_has_ended),
        cmocka_unit_test(every_state_is_told_and_a_complete_recording_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
