/* Why a job is started or not: the first reason that holds. And what goes one at a time for a pipeline. */
#include "foreman.h"

static void ask_other(stage_t *stage, const char *as) {
    ask_ensure(stage, as, &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = "other", .changed = true});
}

/* Of the same sources; or of others, which the tracker knows to have changed. */
static void ensure_again(stage_t *stage, bool changed) {
    if (changed)
        ask_other(stage, "runner");
    else
        ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}});
}

/* A recording that has come to its limit. */
static const msg_recording_create_t *complete(stage_t *stage) {
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    finish(stage, 10);
    return made;
}

static void assert_restarted(stage_t *stage, const char *reason) {
    resolve_limits(stage);
    create(stage);
    start_clock(stage);
    assert_decision(decision(stage, "runner"), true, reason);
}

/* ---- the reasons ---- */

static void with_nothing_to_record_there_is_nothing_to_do(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, false, 0);
    run_job(stage, "p");
    ask_ensure(stage, "asker", &(wanted_t){.pipeline = "p", .changed = true});
    const msg_job_decision_t *d = decision(stage, "asker");
    assert_decision(d, false, "no_recordable_source");
    assert_false(d->needed || d->has_job || d->has_recording);
    stage_destroy(&stage);
}

static void a_first_run_starts_a_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    ensure_again(stage, true);
    assert_restarted(stage, "first_run");
    stage_destroy(&stage);
}

static void a_job_that_runs_or_starts_is_left_running(void **test) {
    (void)test;
    stage_t *stage = foreman();
    ensure_again(stage, false);
    resolve_limits(stage);
    create(stage);
    ask_ensure(stage, "second", &(wanted_t){.pipeline = "p", .urns = {PUSH}});
    assert_true(desk_waits(stage, "second"));
    start_clock(stage);
    const msg_job_decision_t *first = decision(stage, "runner"), *second = decision(stage, "second");
    assert_decision(first, true, "first_run");
    assert_decision(second, false, "job_running");
    assert_string_equal(first->job, second->job);
    assert_string_equal(first->recording, second->recording);
    ensure_again(stage, false);
    assert_decision(decision(stage, "runner"), false, "job_running");
    stage_destroy(&stage);
}

static void a_complete_recording_is_valid(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = complete(stage);
    ensure_again(stage, false);
    const msg_job_decision_t *d = decision(stage, "runner");
    assert_decision(d, false, "recording_valid");
    assert_string_equal(d->recording, made->recording);
    stage_destroy(&stage);
}

static void without_replay_every_run_records_anew(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, false, 0);
    ensure_again(stage, true);
    assert_restarted(stage, "replay_disabled");
    ensure_again(stage, false);
    const msg_recording_finish_t *order = finish(stage, 3);
    assert_string_equal(order->stop_reason, "superseded");
    drop(stage, order->recording);
    assert_restarted(stage, "replay_disabled");
    set_options(stage, true, 0);
    ensure_again(stage, false);
    assert_decision(decision(stage, "runner"), false, "job_running");
    stage_destroy(&stage);
}

static void changed_sources_overrule_a_valid_recording(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = complete(stage);
    ensure_again(stage, true);
    drop(stage, made->recording);
    const msg_test_stream_invalidate_t *told = desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    assert_string_equal(told->pipeline, "p");
    assert_false(told->forgotten);
    assert_restarted(stage, "sources_changed");
    stage_destroy(&stage);
}

static void changed_sources_overrule_a_running_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    ensure_again(stage, true);
    const msg_recording_finish_t *order = finish(stage, 3);
    assert_string_equal(order->recording, made->recording);
    assert_string_equal(order->state, "CANCELLED");
    assert_string_equal(order->stop_reason, "superseded");
    drop(stage, made->recording);
    assert_restarted(stage, "sources_changed");
    stage_destroy(&stage);
}

static void a_kept_recording_is_not_dropped_by_a_change(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = complete(stage);
    ensure_again(stage, true);
    retire(stage, made->recording, true);
    desk_is_quiet(stage, "recorder", MSG_RECORDING_DROP);
    assert_restarted(stage, "sources_changed");
    stage_destroy(&stage);
}

static void a_job_that_failed_is_started_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    fail_source(stage, made->job, "gone");
    finish(stage, 3);
    ensure_again(stage, false);
    drop(stage, made->recording);
    assert_restarted(stage, "job_failed");
    stage_destroy(&stage);
}

static void changed_sources_are_named_before_a_failure(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    fail_source(stage, made->job, "gone");
    finish(stage, 3);
    ensure_again(stage, true);
    drop(stage, made->recording);
    assert_restarted(stage, "sources_changed");
    stage_destroy(&stage);
}

static void a_job_that_a_user_cancelled_is_started_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    cancel_job(stage, "p");
    ensure_again(stage, false);
    drop(stage, made->recording);
    assert_restarted(stage, "job_cancelled");
    stage_destroy(&stage);
}

static void a_recording_that_was_deleted_is_made_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = complete(stage);
    stage_ask(stage, "deleter", "job_supervisor", MSG_RECORDING_DELETE, &(msg_recording_delete_t){.recording = made->recording});
    deleted(stage, made->recording);
    const msg_recordings_dropped_t *dropped = desk_yes(stage, "deleter");
    assert_int_equal(dropped->recordings.count, 1);
    ensure_again(stage, false);
    assert_restarted(stage, "recording_missing");
    stage_destroy(&stage);
}

static void when_only_asked_nothing_is_started(void **test) {
    (void)test;
    stage_t *stage = foreman();
    ask_ensure(stage, "asker", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .dry = true});
    const msg_job_decision_t *d = decision(stage, "asker");
    assert_decision(d, false, "first_run");
    assert_true(d->needed);
    run_job(stage, "p");
    ask_ensure(stage, "asker", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .dry = true});
    d = decision(stage, "asker");
    assert_decision(d, false, "job_running");
    assert_false(d->needed);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_RESOLVE);
    stage_destroy(&stage);
}

/* ---- one at a time ---- */

static void two_that_ask_at_once_start_one_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    ask_ensure(stage, "first", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .changed = true});
    ask_ensure(stage, "second", &(wanted_t){.pipeline = "p", .urns = {PUSH}});
    resolve_limits(stage);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_RESOLVE);
    create(stage);
    start_clock(stage);
    assert_decision(decision(stage, "first"), true, "first_run");
    assert_decision(decision(stage, "second"), false, "job_running");
    desk_is_quiet(stage, "recorder", MSG_RECORDING_CREATE);
    stage_destroy(&stage);
}

static void pipelines_do_not_wait_for_each_other(void **test) {
    (void)test;
    stage_t *stage = foreman();
    ask_ensure(stage, "first", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .changed = true});
    ask_ensure(stage, "second", &(wanted_t){.pipeline = "q", .urns = {PUSH}, .changed = true});
    resolve_limits(stage);
    resolve_limits(stage);
    assert_string_equal(create(stage)->pipeline, "p");
    assert_string_equal(create(stage)->pipeline, "q");
    stage_destroy(&stage);
}

static void a_run_that_meets_a_cancel_waits_for_its_end(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    stage_ask(stage, "canceller", "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "p"});
    ensure_again(stage, false);
    assert_true(desk_waits(stage, "runner"));
    finish(stage, 1);
    assert_true(((const msg_job_cancelled_t *)desk_yes(stage, "canceller"))->cancelled);
    drop(stage, made->recording);
    assert_restarted(stage, "job_cancelled");
    stage_destroy(&stage);
}

static void a_run_that_meets_a_limit_finds_the_recording_valid(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "duration");
    ensure_again(stage, false);
    assert_true(desk_waits(stage, "runner"));
    finish(stage, 10);
    assert_decision(decision(stage, "runner"), false, "recording_valid");
    stage_destroy(&stage);
}

static void the_same_request_again_starts_no_other_job(void **test) {
    (void)test;
    stage_t *stage = foreman();
    wanted_t wanted = {.pipeline = "p", .urns = {PUSH}, .changed = true, .request = "1-1"};
    ask_ensure(stage, "first", &wanted);
    resolve_limits(stage);
    const msg_recording_create_t *made = create(stage);
    assert_string_equal(made->request, "1-1");
    assert_string_equal(made->reason, "first_run");
    ask_ensure(stage, "second", &wanted);
    start_clock(stage);
    assert_decision(decision(stage, "first"), true, "first_run");
    assert_decision(decision(stage, "second"), true, "first_run");
    wanted.request = "1-2";
    wanted.payload = "other";
    ask_ensure(stage, "third", &wanted);
    assert_string_equal(finish(stage, 1)->stop_reason, "superseded");
    stage_destroy(&stage);
}

/* ---- refusals on the way ---- */

static void without_disk_no_job_is_left_behind(void **test) {
    (void)test;
    stage_t *stage = foreman();
    ensure_again(stage, true);
    desk_refuse(stage, "limiter", MSG_LIMITS_RESOLVE, ERROR_NO_SPACE, "full");
    assert_int_equal(desk_no(stage, "runner").code, ERROR_NO_SPACE);
    stage_ask(stage, "lister", "job_supervisor", MSG_JOB_LIST, &(msg_job_list_t){0});
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){0});
    assert_int_equal(((const msg_jobs_t *)desk_yes(stage, "lister"))->jobs.count, 0);
    ensure_again(stage, true);
    assert_restarted(stage, "first_run");
    stage_destroy(&stage);
}

static void a_recording_that_cannot_be_dropped_refuses_the_run_and_lets_the_next_go(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = complete(stage);
    ensure_again(stage, true);
    ask_other(stage, "second");
    desk_refuse(stage, "recorder", MSG_RECORDING_JOBS_ASK, ERROR_INTERNAL, "cannot read");
    assert_int_equal(desk_no(stage, "runner").code, ERROR_INTERNAL);
    drop(stage, made->recording);
    resolve_limits(stage);
    create(stage);
    start_clock(stage);
    assert_decision(decision(stage, "second"), true, "sources_changed");
    stage_destroy(&stage);
}

/* ---- invalidating, forgetting, clearing, deleting ---- */

static void what_is_invalid_is_superseded_and_dropped(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    const char *others[] = {"other"};
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_INVALIDATE, &(msg_job_invalidate_t){.pipeline = "p", .signature = {1, others}});
    assert_string_equal(finish(stage, 1)->stop_reason, "superseded");
    drop(stage, made->recording);
    const msg_job_decision_t *d = desk_yes(stage, "tracker");
    assert_decision(d, false, "sources_changed");
    assert_false(d->has_made_of);
    desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    stage_destroy(&stage);
}

static void a_pipeline_without_jobs_is_invalid_at_once(void **test) {
    (void)test;
    stage_t *stage = foreman();
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_INVALIDATE, &(msg_job_invalidate_t){.pipeline = "p"});
    desk_yes(stage, "tracker");
    desk_is_quiet(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    stage_destroy(&stage);
}

static void what_is_forgotten_is_gone_kept_or_not_and_who_waited_is_answered(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *old = complete(stage);
    ensure_again(stage, true);
    retire(stage, old->recording, true);
    assert_restarted(stage, "sources_changed");
    stage_ask(stage, "waiter", "job_supervisor", MSG_JOB_WAIT,
              &(msg_job_wait_t){.has_pipeline = true, .pipeline = "p", .timeout_ms = 60000});
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_FORGET, &(msg_job_forget_t){.pipeline = "p"});
    finish(stage, 1);
    assert_string_equal(((const msg_job_t *)desk_yes(stage, "waiter"))->state, "CANCELLED");
    for (int i = 0; i < 2; i++)
        assert_false(((const msg_recording_drop_t *)desk_answer(stage, "recorder", MSG_RECORDING_DROP, NULL))->spares);
    const stage_message_t *last = NULL, *m;
    while ((m = stage_take(stage, "catalog", MSG_CATALOG_WRITE))) last = m; /* those before it remember how the jobs ended */
    assert_true(desk_waits(stage, "tracker"));
    assert_int_equal(((const msg_catalog_write_t *)last->message)->documents.count, 2);
    stage_answer(stage, last, NULL);
    desk_yes(stage, "tracker");
    stage_ask(stage, "lister", "job_supervisor", MSG_JOB_LIST, &(msg_job_list_t){0});
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){0});
    assert_int_equal(((const msg_jobs_t *)desk_yes(stage, "lister"))->jobs.count, 0);
    stage_destroy(&stage);
}

static void forgetting_stops_a_test_stream_that_never_had_a_recording(void **test) {
    (void)test;
    stage_t *stage = foreman();
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_FORGET, &(msg_job_forget_t){.pipeline = "p"});
    assert_true(((const msg_test_stream_invalidate_t *)desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE))->forgotten);
    desk_answer(stage, "catalog", MSG_CATALOG_WRITE, NULL);
    desk_yes(stage, "tracker");
    stage_destroy(&stage);
}

static void a_forgotten_pipeline_runs_for_the_first_time_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = complete(stage);
    desk_told(stage, "catalog", MSG_CATALOG_WRITE); /* the job's end */
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_FORGET, &(msg_job_forget_t){.pipeline = "p"});
    deleted(stage, made->recording);
    const msg_catalog_write_t *write = desk_answer(stage, "catalog", MSG_CATALOG_WRITE, NULL);
    assert_int_equal(write->documents.count, 1);
    assert_string_equal(write->documents.items[0].key, made->job);
    assert_false(write->documents.items[0].has_value);
    desk_yes(stage, "tracker");
    ensure_again(stage, true);
    assert_restarted(stage, "first_run");
    stage_destroy(&stage);
}

static void clearing_spares_what_is_kept_and_is_refused_while_the_job_runs(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    msg_recording_clear_t clear = {.has_pipeline = true, .pipeline = "p"};
    assert_int_equal(stage_get_refusal(stage, "job_supervisor", MSG_RECORDING_CLEAR, &clear)->code, ERROR_INVALID_STATE);
    reach(stage, made->job, "count");
    assert_int_equal(stage_get_refusal(stage, "job_supervisor", MSG_RECORDING_CLEAR, &clear)->code, ERROR_INVALID_STATE);
    finish(stage, 10);
    stage_ask(stage, "clearer", "job_supervisor", MSG_RECORDING_CLEAR, &clear);
    known(stage, made->recording, true, false);
    desk_is_quiet(stage, "recorder", MSG_NONE);
    assert_int_equal(((const msg_recordings_dropped_t *)desk_yes(stage, "clearer"))->recordings.count, 0);
    stage_ask(stage, "clearer", "job_supervisor", MSG_RECORDING_CLEAR, &clear);
    drop(stage, made->recording);
    const msg_recordings_dropped_t *dropped = desk_yes(stage, "clearer");
    assert_int_equal(dropped->recordings.count, 1);
    assert_string_equal(dropped->recordings.items[0], made->recording);
    const msg_recordings_dropped_t *again = stage_get(stage, "job_supervisor", MSG_RECORDING_CLEAR, &clear);
    assert_int_equal(again->recordings.count, 0);
    stage_destroy(&stage);
}

static void a_recording_is_deleted_though_a_newer_job_of_its_pipeline_runs(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *old = complete(stage);
    ensure_again(stage, true);
    retire(stage, old->recording, true);
    resolve_limits(stage);
    const msg_recording_create_t *new = create(stage);
    start_clock(stage);
    decision(stage, "runner");
    const refusal_t *no =
        stage_get_refusal(stage, "job_supervisor", MSG_RECORDING_DELETE, &(msg_recording_delete_t){.recording = new->recording});
    assert_int_equal(no->code, ERROR_INVALID_STATE);
    stage_ask(stage, "deleter", "job_supervisor", MSG_RECORDING_DELETE, &(msg_recording_delete_t){.recording = old->recording});
    deleted(stage, old->recording);
    desk_yes(stage, "deleter");
    stage_destroy(&stage);
}

static void of_two_that_delete_a_recording_one_does(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = complete(stage);
    msg_recording_delete_t delete = {.recording = made->recording};
    stage_ask(stage, "first", "job_supervisor", MSG_RECORDING_DELETE, &delete);
    stage_run(stage);
    stage_ask(stage, "second", "job_supervisor", MSG_RECORDING_DELETE, &delete);
    deleted(stage, made->recording);
    desk_yes(stage, "first");
    assert_int_equal(desk_no(stage, "second").code, ERROR_NOT_FOUND);
    assert_int_equal(stage_get_refusal(stage, "job_supervisor", MSG_RECORDING_DELETE, &delete)->code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_nothing_to_record_there_is_nothing_to_do),
        cmocka_unit_test(a_first_run_starts_a_job),
        cmocka_unit_test(a_job_that_runs_or_starts_is_left_running),
        cmocka_unit_test(a_complete_recording_is_valid),
        cmocka_unit_test(without_replay_every_run_records_anew),
        cmocka_unit_test(changed_sources_overrule_a_valid_recording),
        cmocka_unit_test(changed_sources_overrule_a_running_job),
        cmocka_unit_test(a_kept_recording_is_not_dropped_by_a_change),
        cmocka_unit_test(a_job_that_failed_is_started_again),
        cmocka_unit_test(changed_sources_are_named_before_a_failure),
        cmocka_unit_test(a_job_that_a_user_cancelled_is_started_again),
        cmocka_unit_test(a_recording_that_was_deleted_is_made_again),
        cmocka_unit_test(when_only_asked_nothing_is_started),
        cmocka_unit_test(two_that_ask_at_once_start_one_job),
        cmocka_unit_test(pipelines_do_not_wait_for_each_other),
        cmocka_unit_test(a_run_that_meets_a_cancel_waits_for_its_end),
        cmocka_unit_test(a_run_that_meets_a_limit_finds_the_recording_valid),
        cmocka_unit_test(the_same_request_again_starts_no_other_job),
        cmocka_unit_test(without_disk_no_job_is_left_behind),
        cmocka_unit_test(a_recording_that_cannot_be_dropped_refuses_the_run_and_lets_the_next_go),
        cmocka_unit_test(what_is_invalid_is_superseded_and_dropped),
        cmocka_unit_test(a_pipeline_without_jobs_is_invalid_at_once),
        cmocka_unit_test(what_is_forgotten_is_gone_kept_or_not_and_who_waited_is_answered),
        cmocka_unit_test(forgetting_stops_a_test_stream_that_never_had_a_recording),
        cmocka_unit_test(a_forgotten_pipeline_runs_for_the_first_time_again),
        cmocka_unit_test(clearing_spares_what_is_kept_and_is_refused_while_the_job_runs),
        cmocka_unit_test(a_recording_is_deleted_though_a_newer_job_of_its_pipeline_runs),
        cmocka_unit_test(of_two_that_delete_a_recording_one_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
