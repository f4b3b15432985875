/* A tree in which each actor depends on those before it: where one fails, those after it start anew. */
#include "family.h"

const child_spec_t tree[] = {
    {&one_class, PERMANENT, 1000, 5000, 10000}, {&two_class, PERMANENT, 2000, 5000, 10000}, {&three_class, PERMANENT, 1000, 3000, 10000}};
const size_t tree_count = 3;
const child_spec_t source_spec = {.restart = TRANSIENT, .start_ms = 1000, .stop_ms = 5000, .hang_ms = 5000};
const policy_t policy = {.strategy = REST_FOR_ONE, .restarts_max = 5, .period_ms = 10000, .backoff_ms = 20, .hung_max = 3};

static const char *after(const char *text, const char *word) {
    const char *at = strstr(text, word);
    if (!at) fail_msg("\"%s\" does not say \"%s\"", text, word);
    return at + strlen(word);
}

static stage_t *serving(uint64_t seed) {
    memset(&echoes, 0, sizeof echoes);
    slow = stubborn = dozy = false;
    stage_t *stage = stage_create(seed, NULL);
    said[0] = '\0';
    stage_add(stage, &supervisor_class, "supervisor", (bytes_t){0});
    stage_run(stage);
    open_gate(stage);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_READY));
    said[0] = '\0';
    return stage;
}

static void those_after_it_give_up_their_state_and_follow_it_in_order(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        stage_t *stage = serving(seed);
        let_fail(stage, "one");
        after(said, "-two ");
        after(said, "-three ");
        after(after(said, "+one "), "+two "); /* which loads */
        assert_true(strstr(said, "-two ") < strstr(said, "+one ") && strstr(said, "-three ") < strstr(said, "+one "));
        assert_null(strstr(said, "+three"));
        open_gate(stage);
        after(after(said, "+two "), "+three ");
        assert_int_equal(state_of(stage, "three")->restarts, 1);
        assert_string_equal(state_of(stage, "three")->last_error, "one failed, and it depends on that");
        assert_int_equal(total(stage, "actor_failures"), 1);
        assert_int_equal(total(stage, "actor_restarts"), 3);
        assert_null(given_up(stage));
        stage_destroy(&stage);
    }
}

static void those_before_it_and_sources_stay_as_they_are(void **test) {
    (void)test;
    stage_t *stage = serving(1);
    start_source(stage);
    said[0] = '\0';
    let_fail(stage, "three");
    assert_string_equal(said, "-three +three ");
    said[0] = '\0';
    let_fail(stage, "two");
    stage_advance(stage, 20000);
    open_gate(stage);
    stage_advance(stage, 20000);
    assert_null(strstr(said, "one"));
    assert_null(strstr(said, "-s"));
    assert_string_equal(state_of(stage, "three")->state, "running");
    stage_destroy(&stage);
}

static void their_requests_are_served_by_their_new_states(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        stage_t *stage = serving(seed);
        msg_test_stream_status_t later = ask_named("later a"), now = ask_named("b");
        stage_ask(stage, "test", "three", MSG_TEST_STREAM_STATUS, &later);
        stage_run(stage);
        stage_tell(stage, "test", "one", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "fail"});
        stage_ask(stage, "test", "three", MSG_TEST_STREAM_STATUS, &now);
        stage_run(stage);
        open_gate(stage);
        stage_tell(stage, "test", "three", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "answer"});
        stage_run(stage);
        for (int i = 0; i < 2; i++) {
            const stage_message_t *answer = stage_take(stage, "test", MSG_TEST_STREAM_STATUS);
            assert_true(answer && !answer->refused);
        }
        assert_null(stage_take(stage, "test", MSG_NONE));
        stage_destroy(&stage);
    }
}

static void one_that_cannot_follow_is_tried_again_before_those_after_it(void **test) {
    (void)test;
    stage_t *stage = serving(1);
    let_fail(stage, "one");
    stage_refuse(stage, stage_take(stage, "gate", MSG_NONE), ERROR_UNAVAILABLE, "not now");
    stage_run(stage);
    assert_null(strstr(said, "+three"));
    stage_advance(stage, 20000);
    assert_null(strstr(said, "+three"));
    open_gate(stage);
    after(said, "+three ");
    assert_null(given_up(stage));
    stage_destroy(&stage);
}

static void only_the_one_that_fails_is_given_up_for_it(void **test) {
    (void)test;
    stage_t *stage = serving(1);
    for (int i = 0; i < 5; i++) {
        let_fail(stage, "one");
        stage_advance(stage, 160000);
        open_gate(stage);
    }
    assert_int_equal(state_of(stage, "three")->restarts, 5);
    assert_null(given_up(stage));
    let_fail(stage, "three");
    assert_true(stage_is_ready(stage, "three"));
    let_fail(stage, "one");
    assert_string_equal(given_up(stage)->why, "one: told to fail by a tell");
    stage_destroy(&stage);
}

static void all_can_be_stopped_while_they_follow(void **test) {
    (void)test;
    for (size_t steps = 0; steps < 40; steps++) {
        stage_t *stage = serving(steps + 1);
        stage_tell(stage, "test", "one", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "fail"});
        stage_run_some(stage, steps);
        stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
        stage_run(stage);
        assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
        stage_destroy(&stage);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_after_it_give_up_their_state_and_follow_it_in_order),
        cmocka_unit_test(those_before_it_and_sources_stay_as_they_are),
        cmocka_unit_test(their_requests_are_served_by_their_new_states),
        cmocka_unit_test(one_that_cannot_follow_is_tried_again_before_those_after_it),
        cmocka_unit_test(only_the_one_that_fails_is_given_up_for_it),
        cmocka_unit_test(all_can_be_stopped_while_they_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
