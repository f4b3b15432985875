/* Who hangs is found out, and replaced or the process's end. A beat is a second, from the supervisor's start on. */
#include "family.h"

const child_spec_t tree[] = {
    {&one_class, PERMANENT, 1000, 5000, 10000}, {&two_class, PERMANENT, 2000, 5000, 10000}, {&three_class, PERMANENT, 1000, 3000, 10000}};
const size_t tree_count = 3;
const child_spec_t source_spec = {.restart = TRANSIENT, .start_ms = 1000, .stop_ms = 5000, .hang_ms = 5000};
const policy_t policy = {.strategy = ONE_FOR_ONE, .restarts_max = 5, .period_ms = 10000, .backoff_ms = 20, .hung_max = 3};

static const char *hung(stage_t *stage) {
    const stage_message_t *m = stage_take(stage, "main", MSG_ACTOR_HUNG);
    return m ? ((const msg_actor_hung_t *)m->message)->why : "";
}

static void a_core_actor_that_hangs_ends_the_process(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    let_hang(stage, "one", 0);
    stage_advance(stage, 10999999); /* it is asked after one second */
    assert_string_equal(hung(stage), "");
    stage_advance(stage, 1);
    assert_string_equal(hung(stage), "one hangs: it has not answered for 10000 ms");
    assert_true(stage_is_ready(stage, "two"));
    stage_destroy(&stage);
}

static void one_that_takes_long_and_comes_back_is_left_alone(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    for (int i = 0; i < 5; i++) {
        let_hang(stage, "one", 9500);
        stage_advance(stage, 4000000);
        assert_true(state_of(stage, "one")->silent_ms >= 2000);
        stage_advance(stage, 7000000);
        assert_false(state_of(stage, "one")->has_silent_ms);
    }
    assert_string_equal(hung(stage), "");
    assert_int_equal(state_of(stage, "one")->restarts, 0);
    stage_destroy(&stage);
}

static void a_ping_that_was_lost_is_sent_again(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_lose(stage, "one", MSG_ACTOR_PING, 1);
    stage_advance(stage, 1500000);
    assert_int_equal(state_of(stage, "one")->silent_ms, 1000);
    stage_advance(stage, 1000000);
    assert_false(state_of(stage, "one")->has_silent_ms);
    stage_advance(stage, 30000000);
    assert_string_equal(hung(stage), "");
    stage_destroy(&stage);
}

static void one_that_no_ping_reaches_is_found_like_one_that_hangs(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_lose(stage, "one", MSG_ACTOR_PING, 9);
    stage_advance(stage, 30000000);
    assert_string_equal(hung(stage), "");
    stage_lose(stage, "one", MSG_ACTOR_PING, SIZE_MAX);
    stage_advance(stage, 12000000);
    assert_string_equal(hung(stage), "one hangs: it has not answered for 10000 ms");
    stage_destroy(&stage);
}

static const msg_actors_t *actors_now(stage_t *stage) {
    const stage_message_t *answer = stage_take(stage, "client", MSG_ENGINE_ACTORS);
    return answer ? answer->message : NULL;
}

static void the_table_of_actors_does_not_wait_for_one_that_is_known_to_be_silent(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    let_hang(stage, "one", 0);
    stage_ask(stage, "client", "supervisor", MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    stage_advance(stage, 99999); /* it may be about to answer */
    assert_null(actors_now(stage));
    stage_advance(stage, 1);
    assert_non_null(actors_now(stage));
    stage_advance(stage, 2400000);
    stage_ask(stage, "client", "supervisor", MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    stage_run(stage);
    const msg_actors_t *actors = actors_now(stage);
    assert_non_null(actors);
    assert_int_equal(actors->actors.count, 3);
    assert_string_equal(actors->actors.items[0].name, "one");
    assert_int_equal(actors->actors.items[0].silent_ms, 1000);
    stage_destroy(&stage);
}

static void an_answer_that_is_late_is_not_taken_for_one_to_the_next_question(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    let_hang(stage, "one", 900);
    let_hang(stage, "two", 1000);
    stage_ask(stage, "client", "supervisor", MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    stage_advance(stage, 600000);
    assert_non_null(actors_now(stage));
    stage_ask(stage, "client", "supervisor", MSG_ENGINE_STATS, &(msg_engine_stats_t){0});
    stage_advance(stage, 399999); /* what the first of them says to both questions */
    assert_null(stage_take(stage, "client", MSG_ENGINE_STATS));
    stage_advance(stage, 1);
    assert_non_null(stage_take(stage, "client", MSG_ENGINE_STATS));
    stage_destroy(&stage);
}

static void one_that_has_failed_or_loads_answers_too(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    slow = true;
    let_fail(stage, "three"); /* which would be given up after a second */
    open_gate(stage);
    for (int i = 0; i < 3; i++) let_fail(stage, "one"); /* and waits for its next start */
    stage_advance(stage, 30000000);
    assert_string_equal(hung(stage), "");
    assert_true(stage_is_ready(stage, "one"));
    stage_destroy(&stage);
}

static void one_that_hangs_as_it_starts_is_given_up_by_the_time_for_that(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    let_fail(stage, "two"); /* it loads */
    let_hang(stage, "two", 0);
    stage_advance(stage, 2000000);
    assert_string_equal(given_up(stage)->why, "two: it was not ready within 2000 ms");
    stage_destroy(&stage);
}

/* As when a debugger stops the process, or somebody closes the laptop. */
static void nobody_grows_silent_while_the_supervisor_stands_still(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    stage_advance(stage, 500000);
    let_hang(stage, "one", 60000);
    let_hang(stage, "two", 60000);
    let_hang(stage, "supervisor", 60000);
    stage_advance(stage, 120000000);
    assert_string_equal(hung(stage), "");
    assert_true(stage_is_ready(stage, "two"));
    stage_destroy(&stage);
}

/* ---- sources ---- */

static void a_source_that_hangs_is_replaced(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    let_hang(stage, "s", 0);
    said[0] = '\0';
    stage_advance(stage, 5999999);
    assert_string_equal(said, "");
    stage_advance(stage, 1);
    assert_string_equal(said, "+s ");
    const msg_actor_state_t *state = state_of(stage, "s");
    assert_string_equal(state->state, "running");
    assert_int_equal(state->restarts, 1);
    assert_string_equal(state->last_error, "it has not answered for 5000 ms");
    const msg_notify_t *notify = stage_take(stage, "notifier", MSG_NOTIFY)->message;
    assert_string_equal(notify->topic, "actor.failed");
    assert_string_equal(notify->detail, "it has not answered for 5000 ms");
    assert_int_equal(notify->count, 1);
    notify = stage_take(stage, "notifier", MSG_NOTIFY)->message;
    assert_string_equal(notify->topic, "actor.restarted");
    assert_string_equal(notify->name, "s");
    assert_int_equal(total(stage, "threads_left"), 1);
    assert_null(stage_take(stage, "job_supervisor", MSG_NONE));
    assert_string_equal(hung(stage), "");
    stage_advance(stage, 60000000); /* and the new one is not silent */
    assert_string_equal(said, "+s ");
    let_hang(stage, "s", 0); /* nor is what the old one did held against it */
    stage_advance(stage, 5900000);
    assert_string_equal(said, "+s ");
    stage_destroy(&stage);
}

static void an_old_thread_that_goes_on_ends_and_the_new_one_stays(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    let_hang(stage, "s", 20000);
    stage_tell(stage, "test", "s", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "fail"}); /* the first that it finds */
    stage_advance(stage, 19999999);
    assert_string_equal(said, "+one +two +three +s +s ");
    stage_advance(stage, 1);
    assert_string_equal(said, "+one +two +three +s +s -s ");
    assert_true(stage_has_left(stage, "s"));
    const msg_actor_state_t *state = state_of(stage, "s");
    assert_string_equal(state->state, "running");
    assert_int_equal(state->restarts, 1);
    stage_tell(stage, "test", "supervisor", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "s"});
    stage_run(stage);
    assert_string_equal(said, "+one +two +three +s +s -s -s ");
    assert_null(state_of(stage, "s"));
    stage_destroy(&stage);
}

static void a_source_that_leaves_too_many_threads_ends_its_job(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    for (int i = 0; i < 3; i++) {
        let_hang(stage, "s", 0);
        stage_advance(stage, 6000000);
        stage_advance(stage, 20000000);
        assert_string_equal(state_of(stage, "s")->state, "running");
    }
    assert_null(stage_take(stage, "job_supervisor", MSG_CHILD_GONE));
    let_hang(stage, "s", 0);
    stage_advance(stage, 6000000);
    const stage_message_t *gone = stage_take(stage, "job_supervisor", MSG_CHILD_GONE);
    assert_non_null(gone);
    assert_string_equal(((const msg_child_gone_t *)gone->message)->why, "it has not answered for 5000 ms");
    assert_null(state_of(stage, "s"));
    assert_string_equal(hung(stage), "");
    start_source(stage); /* for another job */
    assert_string_equal(state_of(stage, "s")->state, "running");
    stage_destroy(&stage);
}

static void threads_that_came_back_are_not_held_against_a_source(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    for (int i = 0; i < 10; i++) {
        let_hang(stage, "s", 8000);
        stage_advance(stage, 26000000);
        assert_string_equal(state_of(stage, "s")->state, "running");
    }
    assert_int_equal(state_of(stage, "s")->restarts, 10);
    assert_null(stage_take(stage, "job_supervisor", MSG_CHILD_GONE));
    stage_destroy(&stage);
}

static void a_source_that_is_not_ready_in_time_is_refused(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    dozy = true;
    msg_child_start_t start = child("s", "test:source");
    stage_ask(stage, "test", "supervisor", MSG_CHILD_START, &start);
    stage_advance(stage, 999999);
    assert_null(stage_take(stage, "test", MSG_CHILD_START));
    stage_advance(stage, 1);
    const stage_message_t *answer = stage_take(stage, "test", MSG_CHILD_START);
    refusal_t no;
    assert_true(answer && answer->refused);
    assert_int_equal(refusal_decode(answer->raw, &no), 0);
    assert_int_equal(no.code, ERROR_INVALID_STATE);
    assert_string_equal(no.message, "it was not ready within 1000 ms");
    assert_null(stage_take(stage, "job_supervisor", MSG_CHILD_GONE));
    assert_null(state_of(stage, "s"));
    dozy = false;
    start_source(stage);
    stage_destroy(&stage);
}

static void a_source_that_does_not_stop_in_time_is_left(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    let_hang(stage, "s", 0);
    stage_tell(stage, "test", "supervisor", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "s"});
    stage_advance(stage, 4000000);
    assert_string_equal(state_of(stage, "s")->state, "stopping");
    stage_advance(stage, 1000000);
    assert_null(state_of(stage, "s"));
    assert_int_equal(total(stage, "threads_left"), 1);
    assert_int_equal(total(stage, "actor_failures"), 0);
    start_source(stage);
    assert_string_equal(state_of(stage, "s")->state, "running");
    stage_destroy(&stage);
}

static void what_was_left_does_not_hold_up_the_end(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    let_hang(stage, "s", 0);
    stage_advance(stage, 6000000);
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_run(stage);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    stage_destroy(&stage);
}

static void a_source_that_waits_for_another_thread_does_not_hold_up_the_end(void **test) {
    (void)test;
    stage_t *stage = stage_serving();
    start_source(stage);
    let_hang(stage, "s", 0);
    stage_advance(stage, 6000000);
    let_hang(stage, "s", 0);
    stage_advance(stage, 6000000);
    assert_string_equal(state_of(stage, "s")->state, "failed"); /* for the second time, and so not for long */
    stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_run(stage);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_actor_that_hangs_ends_the_process),
        cmocka_unit_test(one_that_takes_long_and_comes_back_is_left_alone),
        cmocka_unit_test(a_ping_that_was_lost_is_sent_again),
        cmocka_unit_test(one_that_no_ping_reaches_is_found_like_one_that_hangs),
        cmocka_unit_test(the_table_of_actors_does_not_wait_for_one_that_is_known_to_be_silent),
        cmocka_unit_test(an_answer_that_is_late_is_not_taken_for_one_to_the_next_question),
        cmocka_unit_test(one_that_has_failed_or_loads_answers_too),
        cmocka_unit_test(one_that_hangs_as_it_starts_is_given_up_by_the_time_for_that),
        cmocka_unit_test(nobody_grows_silent_while_the_supervisor_stands_still),
        cmocka_unit_test(a_source_that_hangs_is_replaced),
        cmocka_unit_test(an_old_thread_that_goes_on_ends_and_the_new_one_stays),
        cmocka_unit_test(a_source_that_leaves_too_many_threads_ends_its_job),
        cmocka_unit_test(threads_that_came_back_are_not_held_against_a_source),
        cmocka_unit_test(a_source_that_is_not_ready_in_time_is_refused),
        cmocka_unit_test(a_source_that_does_not_stop_in_time_is_left),
        cmocka_unit_test(what_was_left_does_not_hold_up_the_end),
        cmocka_unit_test(a_source_that_waits_for_another_thread_does_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
