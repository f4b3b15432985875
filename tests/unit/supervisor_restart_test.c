/* Who is started again, when, and who is not. */
#include "family.h"

const child_spec_t tree[] = {
    {&one_class, TRANSIENT, 1000, 5000, 10000}, {&two_class, PERMANENT, 2000, 5000, 10000}, {&three_class, TEMPORARY, 1000, 3000, 10000}};
const size_t tree_count = 3;
const child_spec_t source_spec = {.restart = TRANSIENT, .start_ms = 1000, .stop_ms = 5000, .hang_ms = 5000};
const policy_t policy = {.strategy = ONE_FOR_ONE, .restarts_max = 10, .period_ms = 10000, .backoff_ms = 20, .hung_max = 3};

static void let_leave(stage_t *stage, const char *name) {
    stage_tell(stage, "test", name, MSG_CHILD_STOP, &(msg_child_stop_t){.name = "leave"});
    stage_run(stage);
}

static void assert_stops_in_order(stage_t *stage, const char *order) {
    said[0] = '\0';
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_run(stage);
    assert_string_equal(said, order);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
}

static void a_permanent_actor_that_leaves_is_started_again(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    said[0] = '\0';
    let_leave(stage, "two");
    open_gate(stage);
    assert_string_equal(said, "-two +two ");
    const msg_actor_state_t *two = state_of(stage, "two");
    assert_string_equal(two->state, "running");
    assert_int_equal(two->restarts, 1);
    assert_string_equal(two->last_error, "it left without being told to");
    let_fail(stage, "two"); /* and the new thread is one like the old one */
    stage_advance(stage, 20000);
    open_gate(stage);
    assert_string_equal(state_of(stage, "two")->state, "running");
    assert_stops_in_order(stage, "-three -two -one ");
    stage_destroy(&stage);
}

static void a_transient_actor_is_started_again_when_it_fails_and_not_when_it_leaves(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    let_fail(stage, "one");
    assert_true(stage_is_ready(stage, "one"));
    let_leave(stage, "one");
    stage_advance(stage, 60000000);
    assert_true(stage_has_left(stage, "one"));
    assert_string_equal(state_of(stage, "one")->state, "stopped");
    assert_null(given_up(stage));
    assert_stops_in_order(stage, "-three -two ");
    stage_destroy(&stage);
}

static void a_transient_source_that_leaves_is_gone_without_a_word(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    let_leave(stage, "s");
    assert_null(state_of(stage, "s"));
    assert_null(stage_take(stage, "job_supervisor", MSG_NONE));
    start_source(stage);
    stage_destroy(&stage);
}

static void a_temporary_actor_is_never_started_again(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    said[0] = '\0';
    let_fail(stage, "three");
    stage_advance(stage, 60000000);
    assert_string_equal(said, "-three ");
    const msg_actor_state_t *three = state_of(stage, "three");
    assert_string_equal(three->state, "stopped");
    assert_string_equal(three->last_error, "told to fail by a tell");
    assert_null(given_up(stage));
    assert_stops_in_order(stage, "-two -one ");
    stage_destroy(&stage);
}

static void a_thread_that_cannot_start_is_replaced_by_another(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    broken = 2;
    let_hang(stage, "s", 0);
    stage_advance(stage, 6100000);
    assert_string_equal(state_of(stage, "s")->state, "running");
    assert_int_equal(state_of(stage, "s")->restarts, 3);
    assert_int_equal(total(stage, "threads_left"), 1);
    int ended = 0;
    for (int i = 1; i < 30; i++) {
        char address[16];
        snprintf(address, sizeof address, "s~%d", i);
        ended += stage_has_left(stage, address);
    }
    assert_int_equal(ended, 2);
    stage_destroy(&stage);
}

/* When it is ready again, in µs after the failure, looked at each 0.1 ms. */
static int64_t back_after(stage_t *stage, const char *name) {
    int64_t us = 0;
    for (; !stage_is_ready(stage, name); us += 100) stage_advance(stage, 100);
    return us;
}

static void what_fails_together_comes_back_at_different_times(void **test) {
    (void)test;
    int apart = 0;
    stage_t *stage = stage_serving();
    start_source(stage);
    for (int i = 0; i < 5; i++) {
        stage_tell(stage, "test", "one", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "fail"});
        stage_tell(stage, "test", "s", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "fail"});
        stage_run(stage);
        int64_t pause = i > 0 ? INT64_C(20000) << (i - 1) : 0, one = back_after(stage, "one"), s = back_after(stage, "s") + one;
        assert_true(one >= pause / 2 && one <= pause + 100);
        assert_true(s >= pause / 2 && s <= pause + 100);
        apart += one != s;
    }
    assert_true(apart > 0);
    stage_destroy(&stage);
}

static void the_last_failures_are_kept_with_their_reasons_and_times(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    for (int i = 0; i < 7; i++) {
        char why[20];
        snprintf(why, sizeof why, "reason %d", i);
        stage_tell(stage, "test", "one", MSG_ACTOR_FAIL, &(msg_actor_fail_t){.has_why = true, .why = why});
        stage_advance(stage, 1000000);
    }
    const msg_actor_state_t *one = state_of(stage, "one");
    assert_int_equal(one->restarts, 7);
    assert_int_equal(one->failures.count, 5);
    assert_string_equal(one->failures.items[0].why, "reason 2");
    assert_string_equal(one->failures.items[4].why, "reason 6");
    assert_string_equal(one->last_error, "reason 6");
    for (size_t i = 1; i < 5; i++) assert_int_equal(one->failures.items[i].at - one->failures.items[i - 1].at, 1000000);
    assert_int_equal(state_of(stage, "two")->failures.count, 0);
    for (int64_t i = 1; i <= 7; i++) {
        const msg_notify_t *failed = stage_take(stage, "notifier", MSG_NOTIFY)->message;
        const msg_notify_t *restarted = stage_take(stage, "notifier", MSG_NOTIFY)->message;
        assert_string_equal(failed->topic, "actor.failed");
        assert_int_equal(failed->count, i);
        assert_string_equal(restarted->topic, "actor.restarted");
        assert_int_equal(restarted->count, i);
        assert_string_equal(restarted->detail, failed->detail);
    }
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_permanent_actor_that_leaves_is_started_again),
        cmocka_unit_test(a_transient_actor_is_started_again_when_it_fails_and_not_when_it_leaves),
        cmocka_unit_test(a_transient_source_that_leaves_is_gone_without_a_word),
        cmocka_unit_test(a_temporary_actor_is_never_started_again),
        cmocka_unit_test(a_thread_that_cannot_start_is_replaced_by_another),
        cmocka_unit_test(what_fails_together_comes_back_at_different_times),
        cmocka_unit_test(the_last_failures_are_kept_with_their_reasons_and_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
