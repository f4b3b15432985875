/* Jobs without a worker, their end, and what becomes of workers when the engine fails. */
#include "crew.h"

/* ---- nobody ---- */

static void a_job_for_which_no_worker_comes_fails_naming_the_source(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    stage_advance(studio.stage, 29 * SECOND);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    stage_advance(studio.stage, 2 * SECOND);
    const msg_source_failed_t *failed = studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    assert_string_equal(failed->job, "j1");
    assert_string_equal(failed->message, "nobody can run the source of `a`: no worker was ready for `" TELEX "` in 30000 ms");
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    stage_advance(studio.stage, 31 * SECOND);
    studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED); /* as long as nobody ends it */
    studio_finish(&studio, "r1", "FAILED", "error");
    stage_advance(studio.stage, 100 * SECOND);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    studio_close(&studio);
}

static void how_long_a_job_waits_is_an_option(void **state) {
    studio_t studio;
    msg_options_t options;
    (void)state;
    open_job(&studio, false);
    options_default(&options);
    options.worker_wait_ms = 100000;
    msg_options_changed_t changed;
    memcpy(&changed, &options, sizeof changed);
    stage_tell(studio.stage, "catalog", "recorder", MSG_OPTIONS_CHANGED, &changed);
    stage_advance(studio.stage, 99 * SECOND);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    stage_advance(studio.stage, 2 * SECOND);
    studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    studio_close(&studio);
}

/* ---- the end ---- */

static void a_worker_is_told_once_that_the_job_has_ended(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, true);
    ready(&studio, "w", true);
    const msg_source_start_t *first = source_take(&studio, "w", MSG_SOURCE_START);
    const char *fed = first->tag; /* the other one is not attached to */
    take_of(&studio, "w", MSG_SOURCE_START);
    source_attach(&studio, "w", "j1", fed, "worker");
    studio_finish(&studio, "r1", "CANCELLED", "user");
    size_t with_source = 0, without = 0;
    const stage_message_t *m;
    while ((m = stage_peer_take_of(studio.stage, source_named("w"), MSG_SOURCE_STOP))) {
        const msg_source_stop_t *stop = m->message;
        assert_string_equal(stop->reason, "user");
        assert_string_equal(stop->job, "j1");
        assert_true(stop->has_source == (strcmp(stop->tag, fed) == 0));
        with_source += stop->has_source;
        without += !stop->has_source;
    }
    assert_int_equal(with_source, 1);
    assert_int_equal(without, 1);
    assert_int_equal(listed(&studio)->workers.items[0].sources.count, 0);
    studio_close(&studio);
}

static void a_source_that_has_ended_is_given_to_nobody(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    stage_peer_request(studio.stage, source_named("v"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    stage_run(studio.stage);
    stage_peer_answer(studio.stage, source_named("v"), MSG_OK);
    ready(&studio, "w", false);
    wait_with(&studio, 40 * SECOND, "v", "w");
    assert_null(stage_peer_take_of(studio.stage, source_named("v"), MSG_SOURCE_START));
    assert_null(stage_peer_take_of(studio.stage, source_named("w"), MSG_SOURCE_START));
    studio_restart(&studio, START + 100 * SECOND);
    ready(&studio, "w", false);
    assert_true(source_is_quiet(&studio, "w"));
    studio_close(&studio);
}

static void what_is_about_to_end_is_given_to_nobody(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    create_for_workers(&studio, "1", false);
    studio_budget(&studio, "j1", 3);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    source_batch(&studio, "v", "a", 1, 5);
    say_ready(&studio, "v", 0, NULL);
    ready(&studio, "w", false);
    assert_true(source_is_quiet(&studio, "w"));
    studio_close(&studio);
}

/* To be told a cursor is to be told that what came before it is safe. */
static void a_cursor_that_is_not_on_the_disk_is_not_told(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_SYNC);
    create_for_workers(&studio, "1", false);
    studio_budget(&studio, "j1", LIMIT_NONE);
    studio_sync(&studio);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    msg_source_batch_t batch = {.tag = "a", .seq = 1, .has_cursor = true, .cursor = {(const uint8_t *)"\x05", 1}};
    stage_peer_send(studio.stage, source_named("v"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 1, 0, 5));
    stage_run(studio.stage);
    say_ready(&studio, "v", 0, NULL);
    ready(&studio, "w", false);
    const msg_source_start_t *start = started(&studio, "w", "a");
    assert_false(start->has_cursor);
    source_ask(&studio, "w", "j1", "a", start->producer);
    assert_true(source_is_quiet(&studio, "w"));
    studio_sync(&studio);
    const msg_source_attached_t *attached = stage_peer_answer(studio.stage, source_named("w"), MSG_SOURCE_ATTACHED);
    assert_int_equal(attached->cursor.data[0], 5);
    studio_close(&studio);
}

/* ---- failures of the engine ---- */

static void a_worker_hears_of_a_recorder_that_lost_its_state_and_goes_on(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    source_batch(&studio, "v", "a", 1, 3);
    source_is_acked(&studio, "v", 1);
    stage_fail(studio.stage, "recorder");
    studio_load(&studio);
    assert_true(((const msg_source_nack_t *)source_take(&studio, "v", MSG_SOURCE_NACK))->error.retry);
    const refusal_t *no = stage_peer_refusal(studio.stage, source_named("v"));
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    assert_true(no->retry);
    studio_budget(&studio, "j1", LIMIT_NONE);
    ready(&studio, "v", false);
    assert_int_equal(obey(&studio, "v", "a")->next_seq, 2);
    studio_close(&studio);
}

static void after_a_restart_the_source_waits_for_a_worker_again(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    studio_restart(&studio, START + SECOND);
    studio_budget(&studio, "j1", LIMIT_NONE);
    const msg_workers_t *all = listed(&studio);
    assert_int_equal(all->workers.count, 0);
    assert_int_equal(all->waiting.count, 1);
    ready(&studio, "w", false);
    obey(&studio, "w", "a");
    studio_close(&studio);
}

/* ---- what is refused ---- */

static void too_many_urns_are_refused(void **state) {
    enum { TOO_MANY = 1001 };
    studio_t studio;
    const char *urns[TOO_MANY];
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    for (size_t i = 0; i < TOO_MANY; i++) urns[i] = TELEX;
    say_ready(&studio, "w", TOO_MANY, urns);
    const refusal_t *no = stage_peer_refusal(studio.stage, source_named("w"));
    assert_int_equal(no->code, ERROR_LIMIT);
    assert_string_equal(no->field, "urns");
    assert_int_equal(listed(&studio)->workers.count, 0);
    say_ready(&studio, "w", TOO_MANY - 1, urns);
    stage_peer_answer(studio.stage, source_named("w"), MSG_OK);
    studio_close(&studio);
}

static void who_leaves_without_having_come_is_answered(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    say_ready(&studio, "w", 0, NULL);
    stage_peer_answer(studio.stage, source_named("w"), MSG_OK);
    assert_null(stage_take(studio.stage, "notifier", MSG_NOTIFY));
    stage_advance(studio.stage, 5 * SECOND);
    assert_true(source_is_quiet(&studio, "w")); /* nobody asks whether it is there */
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_for_which_no_worker_comes_fails_naming_the_source),
        cmocka_unit_test(how_long_a_job_waits_is_an_option),
        cmocka_unit_test(a_worker_is_told_once_that_the_job_has_ended),
        cmocka_unit_test(a_source_that_has_ended_is_given_to_nobody),
        cmocka_unit_test(what_is_about_to_end_is_given_to_nobody),
        cmocka_unit_test(a_cursor_that_is_not_on_the_disk_is_not_told),
        cmocka_unit_test(a_worker_hears_of_a_recorder_that_lost_its_state_and_goes_on),
        cmocka_unit_test(after_a_restart_the_source_waits_for_a_worker_again),
        cmocka_unit_test(too_many_urns_are_refused),
        cmocka_unit_test(who_leaves_without_having_come_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
