/* The supervisor with a small tree of its own. */
#include "family.h"

const child_spec_t tree[] = {
    {&one_class, PERMANENT, 1000, 5000, 10000}, {&two_class, PERMANENT, 2000, 5000, 10000}, {&three_class, PERMANENT, 1000, 3000, 10000}};
const size_t tree_count = 3;
const child_spec_t source_spec = {.restart = TRANSIENT, .start_ms = 1000, .stop_ms = 5000, .hang_ms = 5000};
const policy_t policy = {.strategy = ONE_FOR_ONE, .restarts_max = 5, .period_ms = 10000, .backoff_ms = 20, .hung_max = 3};

static void they_start_in_order_each_once_the_one_before_is_ready(void **test) {
    (void)test;
    stage_t *stage = stage_started();
    assert_string_equal(said, "+one +two ");
    assert_null(stage_take(stage, "main", MSG_NONE));
    open_gate(stage);
    assert_string_equal(said, "+one +two +three ");
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_READY));
    assert_null(stage_take(stage, "main", MSG_NONE));
    stage_destroy(&stage);
}

static void a_start_that_fails_ends_the_engine(void **test) {
    (void)test;
    stage_t *stage = stage_started();
    stage_refuse(stage, stage_take(stage, "gate", MSG_NONE), ERROR_NO_SPACE, "no space");
    stage_run(stage);
    assert_given_up(stage, "two: cannot load: no space", true);
    assert_string_equal(said, "+one +two -two ");
    stage_destroy(&stage);
}

static void assert_two_is_late(stage_t *stage, bool starting) {
    stage_advance(stage, 1999999);
    assert_null(given_up(stage));
    stage_advance(stage, 1);
    assert_given_up(stage, "two: it was not ready within 2000 ms", starting);
}

static void a_start_that_takes_too_long_ends_the_engine(void **test) {
    (void)test;
    stage_t *stage = stage_started();
    assert_two_is_late(stage, true);
    stage_destroy(&stage);
}

/* The stage starts no second one of a name, as a process that may have no more threads. */
static void a_thread_that_cannot_be_had_ends_the_engine_in_order(void **test) {
    (void)test;
    const struct {
        const char *name, *why, *course;
    } cases[] = {{"one", "cannot start one: there is one", ""},
                 {"three", "three: cannot start three: there is one", "+one +two -two -one "}};
    for (size_t i = 0; i < 2; i++) {
        said[0] = '\0';
        stage_t *stage = stage_create(1, NULL);
        stage_add(stage, &echo_class, cases[i].name, (bytes_t){0});
        stage_add(stage, &supervisor_class, "supervisor", (bytes_t){0});
        stage_run(stage);
        if (i == 1) open_gate(stage);
        assert_given_up(stage, cases[i].why, true);
        stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
        stage_run(stage);
        assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
        assert_string_equal(said, cases[i].course);
        stage_destroy(&stage);
    }
}

static void one_that_is_not_ready_again_in_time_ends_the_engine(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    let_fail(stage, "two");
    assert_two_is_late(stage, false);
    stage_destroy(&stage);
}

static void all_serve_only_when_the_last_has_started_though_another_comes_back_meanwhile(void **test) {
    (void)test;
    stage_t *stage = stage_started();
    slow = true;
    let_fail(stage, "one");
    assert_string_equal(said, "+one +two -one +one ");
    open_gate(stage);
    assert_string_equal(said, "+one +two -one +one +three ");
    let_fail(stage, "one");
    stage_advance(stage, 20000);
    assert_true(stage_is_ready(stage, "one"));
    assert_null(stage_take(stage, "main", MSG_ACTOR_READY));
    open_gate(stage);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_READY));
    stage_destroy(&stage);
}

static void one_that_loads_again_is_waited_for_before_all_serve(void **test) {
    (void)test;
    stage_t *stage = stage_started();
    slow = true;
    open_gate(stage);
    let_fail(stage, "two");
    stage_run(stage);
    const stage_message_t *three = stage_take(stage, "gate", MSG_NONE), *two = stage_take(stage, "gate", MSG_NONE);
    assert_string_equal(three->from, "three");
    stage_answer(stage, three, &(msg_test_stream_t){.running = true});
    stage_run(stage);
    assert_null(stage_take(stage, "main", MSG_ACTOR_READY));
    stage_answer(stage, two, &(msg_test_stream_t){.running = true});
    stage_run(stage);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_READY));
    stage_destroy(&stage);
}

static void one_that_fails_is_restarted_at_once_and_then_later_and_later(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    const int64_t pauses[] = {0, 20000, 40000, 80000, 160000};
    for (size_t i = 0; i < 5; i++) {
        let_fail(stage, "one");
        if (pauses[i] > 0) {
            stage_advance(stage, pauses[i] / 2);
            assert_false(stage_is_ready(stage, "one"));
            stage_advance(stage, pauses[i] / 2);
        }
        assert_true(stage_is_ready(stage, "one"));
    }
    assert_null(given_up(stage));
    let_fail(stage, "one");
    assert_given_up(stage, "one: told to fail by a tell", false);
    stage_destroy(&stage);
}

static void one_that_fails_now_and_then_is_restarted_for_ever(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    for (int i = 0; i < 50; i++) {
        let_fail(stage, "one");
        stage_advance(stage, 2100000);
        assert_true(stage_is_ready(stage, "one"));
    }
    assert_null(given_up(stage));
    stage_destroy(&stage);
}

static void the_notifier_is_told_who_failed_and_who_came_back(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    assert_null(stage_take(stage, "notifier", MSG_NOTIFY));
    let_fail(stage, "one");
    const msg_notify_t *notify = stage_take(stage, "notifier", MSG_NOTIFY)->message;
    assert_string_equal(notify->topic, "actor.failed");
    assert_string_equal(notify->name, "one");
    assert_string_equal(notify->detail, "told to fail by a tell");
    notify = stage_take(stage, "notifier", MSG_NOTIFY)->message;
    assert_string_equal(notify->topic, "actor.restarted");
    assert_string_equal(notify->state, "running");
    stage_destroy(&stage);
}

static void they_stop_in_the_reverse_order(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    said[0] = '\0';
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_run(stage);
    assert_string_equal(said, "-three -two -one ");
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    assert_true(stage_has_left(stage, "supervisor"));
    stage_destroy(&stage);
}

static void an_engine_that_starts_can_be_stopped(void **test) {
    (void)test;
    stage_t *stage = stage_started();
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_run(stage);
    assert_string_equal(said, "+one +two -two -one ");
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    stage_destroy(&stage);
}

static void one_that_does_not_leave_is_left(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    said[0] = '\0';
    stubborn = true;
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_advance(stage, 2999999);
    assert_string_equal(said, "");
    stage_advance(stage, 1);
    assert_string_equal(said, "-two -one ");
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    stage_destroy(&stage);
}

static void engine_stop_is_answered_when_the_guard_knows_and_before_all_stop(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    said[0] = '\0';
    stage_ask(stage, "somebody", "supervisor", MSG_ENGINE_STOP, &(msg_engine_stop_t){0});
    stage_run(stage);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOP));
    const stage_message_t *question = stage_take(stage, "main", MSG_ACTOR_PING);
    assert_non_null(question);
    assert_null(stage_take(stage, "somebody", MSG_NONE));
    assert_string_equal(said, "");
    stage_answer(stage, question, &(msg_ok_t){0});
    stage_run(stage);
    assert_int_equal(stage_take(stage, "somebody", MSG_ENGINE_STOP)->head.kind, HEAD_ANSWER);
    assert_string_equal(said, "-three -two -one ");
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    stage_destroy(&stage);
}

static void engine_stop_is_obeyed_where_nobody_tells_the_guard(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_ask(stage, "somebody", "supervisor", MSG_ENGINE_STOP, &(msg_engine_stop_t){0});
    stage_run(stage);
    stage_refuse(stage, stage_take(stage, "main", MSG_ACTOR_PING), ERROR_UNAVAILABLE, "it is not there");
    stage_run(stage);
    assert_int_equal(stage_take(stage, "somebody", MSG_ENGINE_STOP)->head.kind, HEAD_ANSWER);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    stage_destroy(&stage);
}

static void nobody_is_restarted_while_all_stop(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    let_fail(stage, "one");
    let_fail(stage, "one"); /* waits for its back-off */
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    said[0] = '\0';
    stage_run(stage);
    assert_string_equal(said, "-three -two ");
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    stage_destroy(&stage);
}

/* ---- sources ---- */

static void a_source_is_started_once_and_its_starter_told_when_it_is_ready(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    msg_child_start_t start = child("s", "test:source");
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
    assert_true(stage_is_ready(stage, "s"));
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
    assert_string_equal(said, "+one +two +three +s ");
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    said[0] = '\0';
    stage_run(stage);
    assert_string_equal(said, "-s -three -two -one ");
    stage_destroy(&stage);
}

static void a_source_that_nobody_knows_is_refused(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    const char *const urns[] = {"test:nothing", "test:outside"};
    for (size_t i = 0; i < 2; i++) {
        msg_child_start_t start = child("s", urns[i]);
        const refusal_t *no = stage_get_refusal(stage, "supervisor", MSG_CHILD_START, &start);
        assert_int_equal(no->code, ERROR_NOT_FOUND);
        assert_non_null(strstr(no->message, urns[i]));
    }
    stage_destroy(&stage);
}

static void a_source_that_cannot_start_is_refused_in_its_words_and_can_be_started_again(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    broken = 1;
    msg_child_start_t start = child("s", "test:source");
    const refusal_t *no = stage_get_refusal(stage, "supervisor", MSG_CHILD_START, &start);
    assert_int_equal(no->code, ERROR_INVALID_STATE);
    assert_string_equal(no->message, "`payload.rate` must be a number");
    assert_null(stage_take(stage, "job_supervisor", MSG_NONE));
    assert_true(stage_has_left(stage, "s"));
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
    assert_true(stage_is_ready(stage, "s"));
    stage_destroy(&stage);
}

static void a_stopped_source_is_gone_and_can_be_started_again(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    msg_child_start_t start = child("s", "test:source");
    msg_child_stop_t stop = {.name = "s"};
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
    stage_tell(stage, "test", "supervisor", MSG_CHILD_STOP, &stop);
    stage_tell(stage, "test", "supervisor", MSG_CHILD_STOP, &stop);
    stage_run(stage);
    assert_true(stage_has_left(stage, "s"));
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
    assert_true(stage_is_ready(stage, "s"));
    const msg_actors_t *actors = stage_get(stage, "supervisor", MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    assert_int_equal(actors->actors.count, 4);
    stage_destroy(&stage);
}

static void an_actor_of_the_tree_cannot_be_stopped_as_a_source(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_tell(stage, "test", "supervisor", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "one"});
    stage_run(stage);
    assert_true(stage_is_ready(stage, "one"));
    stage_destroy(&stage);
}

static void a_source_that_is_stopping_is_not_taken_for_one_that_serves(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        memset(&echoes, 0, sizeof echoes);
        said[0] = '\0';
        stage_t *stage = stage_create(seed, NULL);
        stage_add(stage, &supervisor_class, "supervisor", (bytes_t){0});
        stage_run(stage);
        open_gate(stage);
        msg_child_start_t start = child("s", "test:source");
        stage_ask(stage, "test", "supervisor", MSG_CHILD_START, &start);
        stage_tell(stage, "test", "supervisor", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "s"});
        stage_ask(stage, "test", "supervisor", MSG_CHILD_START, &start);
        stage_run(stage);
        assert_non_null(stage_take(stage, "test", MSG_CHILD_START));
        const stage_message_t *second = stage_take(stage, "test", MSG_CHILD_START);
        assert_non_null(second);
        assert_int_equal(stage_is_ready(stage, "s"), !second->refused);
        stage_destroy(&stage);
    }
}

static void a_source_that_fails_too_often_ends_its_job_and_not_the_engine(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    msg_child_start_t start = child("s", "test:source");
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
    for (int i = 0; i < 5; i++) {
        let_fail(stage, "s");
        stage_advance(stage, 200000);
        assert_true(stage_is_ready(stage, "s"));
    }
    assert_null(stage_take(stage, "job_supervisor", MSG_CHILD_GONE));
    let_fail(stage, "s");
    const stage_message_t *gone = stage_take(stage, "job_supervisor", MSG_CHILD_GONE);
    assert_non_null(gone);
    assert_string_equal(((const msg_child_gone_t *)gone->message)->name, "s");
    assert_string_equal(((const msg_child_gone_t *)gone->message)->why, "told to fail by a tell");
    assert_true(stage_has_left(stage, "s"));
    assert_null(given_up(stage));
    assert_true(stage_is_ready(stage, "one"));
    stage_destroy(&stage);
}

/* ---- what clients ask ---- */

static void the_actors_are_told_with_their_health(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_advance(stage, 3000000);
    let_fail(stage, "one");
    const msg_actors_t *m = stage_get(stage, "supervisor", MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    assert_int_equal(m->actors.count, 3);
    const msg_actor_state_t *one = &m->actors.items[0], *two = &m->actors.items[1];
    assert_string_equal(one->name, "one");
    assert_string_equal(one->state, "running");
    assert_int_equal(one->restarts, 1);
    assert_int_equal(one->uptime_ms, 0);
    assert_string_equal(one->last_error, "told to fail by a tell");
    assert_int_equal(two->restarts, 0);
    assert_int_equal(two->uptime_ms, 3000);
    assert_false(two->has_last_error);
    stage_destroy(&stage);
}

static void counters_are_added_up_over_all_actors(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    assert_int_equal(total(stage, "actor_failures"), 0);
    let_fail(stage, "one");
    stage_fail(stage, "three");
    stage_run(stage);
    assert_int_equal(total(stage, "actor_failures"), 2);
    assert_int_equal(total(stage, "actor_restarts"), 2);
    stage_destroy(&stage);
}

static void an_actor_is_failed_on_demand(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_get(stage, "supervisor", MSG_CHAOS_FAIL, &(msg_chaos_fail_t){.actor = "one"});
    assert_int_equal(stage_failures(stage, "one"), 1);
    assert_true(stage_is_ready(stage, "one"));
    const refusal_t *no = stage_get_refusal(stage, "supervisor", MSG_CHAOS_FAIL, &(msg_chaos_fail_t){.actor = "nobody"});
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

static void an_actor_hangs_on_demand_and_takes_up_what_waits_afterwards(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_get(stage, "supervisor", MSG_CHAOS_HANG, &(msg_chaos_hang_t){.actor = "one", .has_ms = true, .ms = 100});
    stage_tell(stage, "test", "one", MSG_ACTOR_FAIL, &(msg_actor_fail_t){0});
    stage_advance(stage, 99999);
    assert_int_equal(stage_failures(stage, "one"), 0);
    stage_advance(stage, 1);
    assert_int_equal(stage_failures(stage, "one"), 1);
    const refusal_t *no = stage_get_refusal(stage, "supervisor", MSG_CHAOS_HANG, &(msg_chaos_hang_t){.actor = "nobody"});
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

static void the_process_crashes_on_demand_and_in_no_other_way_than_is_known(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    const refusal_t *no = stage_get_refusal(stage, "supervisor", MSG_CHAOS_CRASH, &(msg_chaos_crash_t){.how = "loudly"});
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    assert_string_equal(no->field, "how");
    no = stage_get_refusal(stage, "supervisor", MSG_CHAOS_CRASH, &(msg_chaos_crash_t){.how = "kill", .has_actor = true, .actor = "nobody"});
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    assert_false(stage_is_dead(stage));
    stage_ask(stage, "test", "supervisor", MSG_CHAOS_CRASH, &(msg_chaos_crash_t){.how = "kill", .has_actor = true, .actor = "one"});
    stage_run(stage);
    assert_true(stage_is_dead(stage));
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_start_in_order_each_once_the_one_before_is_ready),
        cmocka_unit_test(a_start_that_fails_ends_the_engine),
        cmocka_unit_test(a_start_that_takes_too_long_ends_the_engine),
        cmocka_unit_test(a_thread_that_cannot_be_had_ends_the_engine_in_order),
        cmocka_unit_test(one_that_is_not_ready_again_in_time_ends_the_engine),
        cmocka_unit_test(all_serve_only_when_the_last_has_started_though_another_comes_back_meanwhile),
        cmocka_unit_test(one_that_loads_again_is_waited_for_before_all_serve),
        cmocka_unit_test(one_that_fails_is_restarted_at_once_and_then_later_and_later),
        cmocka_unit_test(one_that_fails_now_and_then_is_restarted_for_ever),
        cmocka_unit_test(the_notifier_is_told_who_failed_and_who_came_back),
        cmocka_unit_test(they_stop_in_the_reverse_order),
        cmocka_unit_test(an_engine_that_starts_can_be_stopped),
        cmocka_unit_test(one_that_does_not_leave_is_left),
        cmocka_unit_test(engine_stop_is_answered_when_the_guard_knows_and_before_all_stop),
        cmocka_unit_test(engine_stop_is_obeyed_where_nobody_tells_the_guard),
        cmocka_unit_test(nobody_is_restarted_while_all_stop),
        cmocka_unit_test(a_source_is_started_once_and_its_starter_told_when_it_is_ready),
        cmocka_unit_test(a_source_that_nobody_knows_is_refused),
        cmocka_unit_test(a_source_that_cannot_start_is_refused_in_its_words_and_can_be_started_again),
        cmocka_unit_test(a_stopped_source_is_gone_and_can_be_started_again),
        cmocka_unit_test(an_actor_of_the_tree_cannot_be_stopped_as_a_source),
        cmocka_unit_test(a_source_that_is_stopping_is_not_taken_for_one_that_serves),
        cmocka_unit_test(a_source_that_fails_too_often_ends_its_job_and_not_the_engine),
        cmocka_unit_test(the_actors_are_told_with_their_health),
        cmocka_unit_test(counters_are_added_up_over_all_actors),
        cmocka_unit_test(an_actor_is_failed_on_demand),
        cmocka_unit_test(an_actor_hangs_on_demand_and_takes_up_what_waits_afterwards),
        cmocka_unit_test(the_process_crashes_on_demand_and_in_no_other_way_than_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
