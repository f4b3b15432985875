/* What becomes of recordings when sources change and come back: in which order it is said, and who stays. */
#include "sweep.h"

/* ---- coming back ---- */

static void sources_that_come_back_find_their_recording_valid_last_of_all(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    told(stage);
    want(stage, "a");
    known(stage, b->recording, false, false);
    desk_is_quiet(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    marked(stage, b->recording, true);
    desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    assert_true(desk_waits(stage, "runner"));
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_RESOLVE);
    stage_destroy(&stage);
}

static void what_was_running_on_other_sources_is_superseded_and_dropped(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 3);
    const msg_recording_create_t *a = first(stage, "a");
    want(stage, "b");
    retire(stage, a->recording, false);
    const msg_recording_create_t *b = begin(stage);
    want(stage, "a");
    assert_string_equal(finish(stage, 1)->stop_reason, "superseded");
    drop(stage, b->recording);
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    stage_destroy(&stage);
}

static void whoever_asks_about_the_change_brings_it_back(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_INVALIDATE,
              &(msg_job_invalidate_t){.pipeline = "p", .signature = {1, (const char *[]){PUSH "|a0"}}});
    retire(stage, b->recording, false);
    marked(stage, a->recording, false);
    assert_restored(stage, "tracker", a);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = "a"});
    assert_decision(decision(stage, "runner"), false, "recording_valid");
    stage_destroy(&stage);
}

static void it_is_the_pipelines_job_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    assert_string_equal(job_now(stage, "p")->job, b->job);
    want(stage, "a");
    retire(stage, b->recording, false);
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    assert_string_equal(job_now(stage, "p")->job, a->job);
    const msg_job_wait_t wait = {.has_pipeline = true, .pipeline = "p"};
    assert_string_equal(((const msg_job_t *)stage_get(stage, "job_supervisor", MSG_JOB_WAIT, &wait))->job, a->job);
    stage_destroy(&stage);
}

static void a_recording_of_more_sources_than_there_are_now_will_do(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH, PUSH}, .payload = "a", .changed = true});
    const msg_recording_create_t *a = complete(stage), *b = change(stage, "b", a, NULL);
    want(stage, "a");
    retire(stage, b->recording, false);
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    want(stage, "a0"); /* one letter more is another source */
    retire(stage, a->recording, false);
    drop(stage, b->recording);
    begin(stage);
    stage_destroy(&stage);
}

static void of_two_that_would_do_the_one_that_was_valid_last_is_taken(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 3);
    const msg_recording_create_t *a = first(stage, "a");
    stage_advance(stage, SECOND);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH, PUSH}, .payload = "a", .changed = true});
    retire(stage, a->recording, false);
    const msg_recording_create_t *both = complete(stage);
    stage_advance(stage, SECOND);
    const msg_recording_create_t *c = change(stage, "c", both, a);
    want(stage, "a");
    retire(stage, c->recording, false);
    known(stage, a->recording, false, true);
    marked(stage, both->recording, false);
    assert_restored(stage, "runner", both);
    stage_destroy(&stage);
}

static void one_that_somebody_took_away_is_not_waited_for(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 3);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    want(stage, "a");
    retire(stage, b->recording, false);
    desk_refuse(stage, "recorder", MSG_RECORDING_MARK, ERROR_NOT_FOUND, "there is no such recording");
    resolve_limits(stage);
    create(stage);
    start_clock(stage);
    assert_decision(decision(stage, "runner"), true, "sources_changed");
    assert_dropped(stage, a);
    stage_destroy(&stage);
}

static void where_one_was_taken_away_another_may_do(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 3);
    const msg_recording_create_t *a = first(stage, "a");
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH, PUSH}, .payload = "a", .changed = true});
    retire(stage, a->recording, false);
    stage_advance(stage, SECOND);
    const msg_recording_create_t *both = complete(stage), *c = change(stage, "c", both, a);
    want(stage, "a");
    retire(stage, c->recording, false);
    known(stage, a->recording, false, true);
    desk_refuse(stage, "recorder", MSG_RECORDING_MARK, ERROR_NOT_FOUND, "there is no such recording");
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    stage_destroy(&stage);
}

static void a_valid_recording_of_these_sources_was_begun_after_they_changed(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *a = first(stage, "a");
    want(stage, "a"); /* what the tracker knows is older: it could not be written down */
    assert_restored(stage, "runner", a);
    ask_ensure(stage, "asker", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = "a", .changed = true, .dry = true});
    assert_restored(stage, "asker", a);
    want(stage, "b");
    drop(stage, a->recording);
    const msg_recording_create_t *b = begin(stage);
    want(stage, "b");
    const msg_job_decision_t *d = decision(stage, "runner");
    assert_decision(d, false, "job_running");
    assert_string_equal(d->job, b->job);
    assert_true(d->has_made_of);
    stage_destroy(&stage);
}

/* ---- how many stay ---- */

static void by_default_nothing_stays_but_what_is_kept_by_name(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *a = first(stage, "a");
    want(stage, "b");
    retire(stage, a->recording, true);
    const msg_recording_create_t *b = complete(stage);
    want(stage, "c");
    drop(stage, b->recording);
    known(stage, a->recording, true, true);
    const msg_recording_create_t *c = complete(stage);
    want(stage, "a");
    drop(stage, c->recording);
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    stage_destroy(&stage);
}

static void what_is_kept_by_name_does_not_count(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a");
    want(stage, "b");
    retire(stage, a->recording, true);
    const msg_recording_create_t *b = complete(stage);
    want(stage, "c");
    retire(stage, b->recording, false);
    known(stage, a->recording, true, true);
    begin(stage);
    stage_destroy(&stage);
}

static void the_number_may_be_changed_at_any_time_and_counts_from_the_next_change(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 2);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL), *c = change(stage, "c", b, a);
    set_options(stage, true, 1);
    desk_is_quiet(stage, "recorder", MSG_NONE);
    want(stage, "d");
    retire(stage, c->recording, false);
    known(stage, b->recording, false, true);
    deleted_unless_kept(stage, b->recording);
    known(stage, a->recording, false, true);
    deleted_unless_kept(stage, a->recording);
    const msg_recording_create_t *d = complete(stage);
    set_options(stage, true, 2);
    want(stage, "e");
    retire(stage, d->recording, false);
    known(stage, c->recording, false, true);
    begin(stage);
    assert_dropped(stage, a);
    assert_dropped(stage, b);
    stage_destroy(&stage);
}

static void only_complete_recordings_stay(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 5);
    want(stage, "a");
    const msg_recording_create_t *a = begin(stage);
    fail_source(stage, a->job, "gone");
    finish(stage, 3);
    want(stage, "b");
    drop(stage, a->recording);
    const msg_recording_create_t *b = begin(stage);
    cancel_job(stage, "p");
    want(stage, "c");
    drop(stage, b->recording);
    const msg_recording_create_t *c = begin(stage);
    want(stage, "d");
    finish(stage, 3);
    drop(stage, c->recording);
    begin(stage);
    stage_destroy(&stage);
}

static void one_that_failed_does_not_come_back_though_it_is_kept(void **test) {
    (void)test;
    stage_t *stage = foreman();
    want(stage, "a");
    const msg_recording_create_t *a = begin(stage);
    cancel_job(stage, "p");
    want(stage, "b");
    retire(stage, a->recording, true);
    const msg_recording_create_t *b = complete(stage);
    want(stage, "a");
    drop(stage, b->recording);
    known(stage, a->recording, true, true);
    begin(stage);
    stage_destroy(&stage);
}

static void one_that_is_kept_since_it_was_asked_about_stays(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *a = first(stage, "a");
    want(stage, "b");
    known(stage, a->recording, false, false);
    desk_refuse(stage, "recorder", MSG_RECORDING_DROP, ERROR_CONFLICT, "it is kept");
    retire(stage, a->recording, true);
    begin(stage);
    stage_destroy(&stage);
}

/* ---- without replay ---- */

static void asking_whether_a_job_is_needed_evicts_where_nothing_is_replayed(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 5);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    set_options(stage, false, 5);
    ask_ensure(stage, "asker", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = "b", .dry = true});
    retire(stage, b->recording, true);
    known(stage, a->recording, false, true);
    deleted_unless_kept(stage, a->recording);
    const msg_job_decision_t *d = decision(stage, "asker");
    assert_decision(d, false, "replay_disabled");
    assert_true(d->needed);
    desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_RESOLVE);
    stage_destroy(&stage);
}

static void nothing_comes_back_where_nothing_is_replayed(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *a = first(stage, "a");
    want(stage, "b");
    retire(stage, a->recording, true);
    begin(stage);
    set_options(stage, false, 0);
    const char *signature[] = {PUSH "|a0"};
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_INVALIDATE,
              &(msg_job_invalidate_t){.pipeline = "p", .signature = {1, signature}});
    const msg_recording_finish_t *order = finish(stage, 1);
    drop(stage, order->recording);
    known(stage, a->recording, true, true);
    assert_decision(decision(stage, "tracker"), false, "sources_changed");
    stage_destroy(&stage);
}

/* ---- clearing and forgetting ---- */

static void clearing_takes_what_was_retired_and_leaves_what_is_kept_as_it_is(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 5);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    stage_ask(stage, "clearer", "job_supervisor", MSG_RECORDING_CLEAR, &(msg_recording_clear_t){.has_pipeline = true, .pipeline = "p"});
    known(stage, b->recording, true, false);
    known(stage, a->recording, false, true);
    deleted_unless_kept(stage, a->recording);
    const msg_recordings_dropped_t *dropped = desk_yes(stage, "clearer");
    assert_int_equal(dropped->recordings.count, 1);
    assert_string_equal(dropped->recordings.items[0], a->recording);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = "b"});
    assert_decision(decision(stage, "runner"), false, "recording_valid");
    stage_destroy(&stage);
}

static void forgetting_takes_what_was_retired(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 5);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    while (stage_take(stage, "catalog", MSG_CATALOG_WRITE)) continue; /* how the jobs ended */
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_FORGET, &(msg_job_forget_t){.pipeline = "p"});
    deleted(stage, b->recording);
    deleted(stage, a->recording);
    assert_int_equal(((const msg_catalog_write_t *)desk_answer(stage, "catalog", MSG_CATALOG_WRITE, NULL))->documents.count, 2);
    desk_yes(stage, "tracker");
    stage_destroy(&stage);
}

/* ---- who is told ---- */

static void readers_are_told_of_a_change_once(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const char *signature[] = {"other"};
    const msg_job_invalidate_t invalidate = {.pipeline = "p", .signature = {1, signature}};
    const msg_recording_create_t *a = first(stage, "a");
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_INVALIDATE, &invalidate);
    drop(stage, a->recording);
    desk_yes(stage, "tracker");
    desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    stage_ask(stage, "tracker", "job_supervisor", MSG_JOB_INVALIDATE, &invalidate);
    assert_decision(desk_yes(stage, "tracker"), false, "sources_changed");
    desk_is_quiet(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    desk_is_quiet(stage, "recorder", MSG_NONE);
    stage_destroy(&stage);
}

static void each_recording_that_is_invalid_is_published(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    want(stage, "c");
    retire(stage, b->recording, false);
    known(stage, a->recording, false, true);
    deleted_unless_kept(stage, a->recording);
    begin(stage);
    const struct { const char *name, *state; } wanted[] = {{a->recording, "kept"}, {b->recording, "kept"}, {a->recording, "dropped"}};
    size_t count = 0;
    for (const stage_message_t *m; (m = stage_take(stage, "notifier", MSG_NOTIFY));) {
        const msg_notify_t *notify = m->message;
        if (strcmp(notify->topic, "recording.invalidated") != 0) continue;
        assert_true(count < 3);
        assert_string_equal(notify->name, wanted[count].name);
        assert_string_equal(notify->state, wanted[count++].state);
    }
    assert_int_equal(count, 3);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_that_come_back_find_their_recording_valid_last_of_all),
        cmocka_unit_test(what_was_running_on_other_sources_is_superseded_and_dropped),
        cmocka_unit_test(whoever_asks_about_the_change_brings_it_back),
        cmocka_unit_test(it_is_the_pipelines_job_again),
        cmocka_unit_test(a_recording_of_more_sources_than_there_are_now_will_do),
        cmocka_unit_test(of_two_that_would_do_the_one_that_was_valid_last_is_taken),
        cmocka_unit_test(one_that_somebody_took_away_is_not_waited_for),
        cmocka_unit_test(where_one_was_taken_away_another_may_do),
        cmocka_unit_test(a_valid_recording_of_these_sources_was_begun_after_they_changed),
        cmocka_unit_test(by_default_nothing_stays_but_what_is_kept_by_name),
        cmocka_unit_test(what_is_kept_by_name_does_not_count),
        cmocka_unit_test(the_number_may_be_changed_at_any_time_and_counts_from_the_next_change),
        cmocka_unit_test(only_complete_recordings_stay),
        cmocka_unit_test(one_that_failed_does_not_come_back_though_it_is_kept),
        cmocka_unit_test(one_that_is_kept_since_it_was_asked_about_stays),
        cmocka_unit_test(asking_whether_a_job_is_needed_evicts_where_nothing_is_replayed),
        cmocka_unit_test(nothing_comes_back_where_nothing_is_replayed),
        cmocka_unit_test(clearing_takes_what_was_retired_and_leaves_what_is_kept_as_it_is),
        cmocka_unit_test(forgetting_takes_what_was_retired),
        cmocka_unit_test(readers_are_told_of_a_change_once),
        cmocka_unit_test(each_recording_that_is_invalid_is_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
