/* An actor's life on the stage: it fails and comes back, and nobody who asked it is forgotten. */
#include "echo.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void an_actor_answers_what_it_is_asked(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    assert_true(stage_is_ready(stage, "echo"));
    assert_answer(stage, ask(stage, "hello"), "hello", 1);
    stage_destroy(&stage);
}

static void a_failed_actor_loses_its_state_and_not_its_requests(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    ask(stage, "hello");
    stage_take(stage, "test", MSG_NONE);
    uint64_t a = ask(stage, "later a"), b = ask(stage, "later b"), c = ask(stage, "later c");
    stage_fail(stage, "echo");
    stage_run(stage);
    assert_int_equal(echoes.creates, 2);
    assert_true(stage_is_ready(stage, "echo"));
    assert_null(stage_take(stage, "test", MSG_NONE));
    tell(stage, "answer");
    assert_answer(stage, a, "later a", 1);
    assert_answer(stage, b, "later b", 2);
    assert_answer(stage, c, "later c", 3);
    stage_destroy(&stage);
}

static void the_request_that_it_failed_on_is_refused_and_may_be_asked_again(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t kept = ask(stage, "later a"), killer = ask(stage, "fail");
    refusal_t no = assert_refused(stage, killer, ERROR_UNAVAILABLE, "echo failed on this request");
    assert_true(no.retry);
    assert_string_equal(stage_failure(stage, "echo"), "told to fail by the test");
    tell(stage, "answer");
    assert_answer(stage, kept, "later a", 1);
    assert_null(stage_take(stage, "test", MSG_NONE));
    stage_destroy(&stage);
}

static void a_tell_that_it_failed_on_is_not_delivered_again(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    tell(stage, "fail");
    stage_advance(stage, 1000000);
    assert_int_equal(stage_failures(stage, "echo"), 1);
    assert_true(stage_is_ready(stage, "echo"));
    stage_destroy(&stage);
}

static void unanswered_requests_come_before_those_that_arrived_meanwhile(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t a = ask(stage, "later a"), b = ask(stage, "later b");
    echoes.fails_to_create = 1;
    stage_fail(stage, "echo");
    stage_run(stage);
    assert_false(stage_is_ready(stage, "echo"));
    uint64_t c = ask(stage, "c");
    tell(stage, "answer");
    assert_null(stage_take(stage, "test", MSG_NONE));
    stage_advance(stage, 20000);
    assert_true(stage_is_ready(stage, "echo"));
    assert_answer(stage, c, "c", 3);
    assert_answer(stage, a, "later a", 1);
    assert_answer(stage, b, "later b", 2);
    stage_destroy(&stage);
}

static void a_request_that_was_answered_is_not_delivered_again(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    assert_answer(stage, ask(stage, "hello"), "hello", 1);
    stage_fail(stage, "echo");
    stage_run(stage);
    assert_null(stage_take(stage, "test", MSG_NONE));
    assert_answer(stage, ask(stage, "again"), "again", 1);
    stage_destroy(&stage);
}

static void a_forwarded_request_is_answered_though_the_actor_failed(void **test) {
    (void)test;
    const char *names[] = {"forward", "forward as"};
    for (size_t i = 0; i < 2; i++) {
        stage_t *stage = stage_with(&echo_class);
        uint64_t number = ask(stage, names[i]);
        const stage_message_t *forwarded = stage_take(stage, "other", MSG_TEST_STREAM_STATUS);
        assert_string_equal(forwarded->from, "echo");
        stage_fail(stage, "echo");
        stage_run(stage);
        assert_null(stage_take(stage, "other", MSG_NONE));
        stage_answer(stage, forwarded, &(msg_test_stream_t){.has_endpoint = true, .endpoint = "other", .replays = 7});
        stage_run(stage);
        assert_answer(stage, number, "other", 7);
        stage_destroy(&stage);
    }
}

static void a_forwarded_request_that_is_refused_is_refused_in_the_same_words(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t number = ask(stage, "forward");
    stage_refuse(stage, stage_take(stage, "other", MSG_NONE), ERROR_NOT_FOUND, "no pipeline `forward`");
    stage_run(stage);
    assert_refused(stage, number, ERROR_NOT_FOUND, "no pipeline `forward`");
    stage_destroy(&stage);
}

static void an_answer_to_a_former_state_is_dropped(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t number = ask(stage, "ask");
    const stage_message_t *first = stage_take(stage, "other", MSG_NONE);
    stage_fail(stage, "echo");
    stage_run(stage);
    const stage_message_t *second = stage_take(stage, "other", MSG_NONE); /* the request was delivered again */
    assert_int_not_equal(first->head.number, second->head.number);
    stage_answer(stage, first, &(msg_test_stream_t){.has_endpoint = true, .endpoint = "first"});
    stage_run(stage);
    assert_string_equal(echoes.answered, "");
    stage_answer(stage, second, &(msg_test_stream_t){.has_endpoint = true, .endpoint = "second"});
    stage_run(stage);
    assert_answer(stage, number, "second", 1);
    stage_destroy(&stage);
}

static void a_second_answer_to_one_question_is_dropped(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t number = ask(stage, "ask");
    const stage_message_t *question = stage_take(stage, "other", MSG_NONE);
    stage_answer(stage, question, &(msg_test_stream_t){.has_endpoint = true, .endpoint = "first"});
    stage_answer(stage, question, &(msg_test_stream_t){.has_endpoint = true, .endpoint = "second"});
    stage_run(stage);
    assert_answer(stage, number, "first", 1);
    assert_null(stage_take(stage, "test", MSG_NONE));
    stage_destroy(&stage);
}

static void the_timers_of_a_former_state_do_not_go_off(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    tell(stage, "timer");
    stage_fail(stage, "echo");
    stage_advance(stage, 5000);
    assert_int_equal(echoes.rang, 0);
    tell(stage, "timer");
    stage_advance(stage, 999);
    assert_int_equal(echoes.rang, 0);
    stage_advance(stage, 1);
    assert_int_equal(echoes.rang, 1);
    stage_destroy(&stage);
}

static void a_cancelled_timer_does_not_go_off(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    tell(stage, "timer");
    tell(stage, "cancel");
    tell(stage, "cancel");
    stage_advance(stage, 5000);
    assert_int_equal(echoes.rang, 0);
    stage_destroy(&stage);
}

static void a_timer_that_fails_fails_the_actor(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t kept = ask(stage, "later a");
    tell(stage, "failing timer");
    stage_advance(stage, 1000);
    assert_string_equal(stage_failure(stage, "echo"), "told to fail by its timer");
    tell(stage, "answer");
    assert_answer(stage, kept, "later a", 1);
    stage_destroy(&stage);
}

static void a_timer_that_sets_itself_again_keeps_no_message_out(void **test) {
    (void)test;
    bool between = false;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        memset(&echoes, 0, sizeof echoes);
        stage_t *stage = stage_create(seed, NULL);
        stage_add(stage, &echo_class, "echo", (bytes_t){0});
        msg_test_stream_status_t m = ask_named("later a");
        stage_tell(stage, "test", "echo", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "endless timer"});
        stage_ask(stage, "another", "echo", MSG_TEST_STREAM_STATUS, &m);
        stage_run(stage);
        between = between || (echoes.rang_before > 0 && echoes.rang_before < 100);
        assert_int_equal(echoes.rang, 101);
        stage_destroy(&stage);
    }
    assert_true(between);
}

static void a_loading_actor_holds_messages_back_until_it_has_loaded(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_loading_class);
    assert_false(stage_is_ready(stage, "echo"));
    uint64_t number = ask(stage, "hello");
    stage_peer_t peer = {"echo", "client"};
    msg_test_stream_status_t m = ask_named("from outside");
    stage_peer_request(stage, peer, MSG_TEST_STREAM_STATUS, &m, (bytes_t){0}, 5);
    stage_run(stage);
    assert_null(stage_take(stage, "test", MSG_NONE));
    assert_false(stage_peer_waits(stage, peer));
    stage_answer(stage, stage_take(stage, "other", MSG_NONE), &(msg_test_stream_t){.running = true});
    stage_run(stage);
    assert_true(stage_is_ready(stage, "echo"));
    assert_answer(stage, number, "hello", 1);
    const msg_test_stream_t *answer = stage_peer_answer(stage, peer, MSG_TEST_STREAM);
    assert_string_equal(answer->endpoint, "from outside");
    stage_destroy(&stage);
}

static void an_actor_that_cannot_load_has_failed_as_it_started(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_loading_class);
    stage_refuse(stage, stage_take(stage, "other", MSG_NONE), ERROR_UNAVAILABLE, "other is not running");
    stage_run(stage);
    assert_false(stage_is_ready(stage, "echo"));
    assert_string_equal(stage_failure(stage, "echo"), "cannot load: other is not running");
    stage_advance(stage, 1000000);
    assert_int_equal(echoes.creates, 1);
    stage_destroy(&stage);
}

static void an_actor_that_fails_while_it_loads_again_loads_again(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_loading_class);
    stage_answer(stage, stage_take(stage, "other", MSG_NONE), &(msg_test_stream_t){.running = true});
    stage_run(stage);
    uint64_t kept = ask(stage, "later a");
    stage_fail(stage, "echo");
    stage_run(stage);
    stage_fail(stage, "echo");
    stage_advance(stage, 20000);
    assert_int_equal(echoes.creates, 3);
    assert_non_null(stage_take(stage, "other", MSG_NONE));
    stage_answer(stage, stage_take(stage, "other", MSG_NONE), &(msg_test_stream_t){.running = true});
    stage_run(stage);
    tell(stage, "answer");
    assert_answer(stage, kept, "later a", 1);
    stage_destroy(&stage);
}

static void a_start_whose_doors_do_not_open_is_reported(void **test) {
    (void)test;
    memset(&echoes, 0, sizeof echoes);
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, &echo_class, "echo", (bytes_t){0});
    stage_fail_start(stage, "echo");
    stage_run(stage);
    assert_false(stage_is_ready(stage, "echo"));
    assert_int_equal(echoes.creates, 0);
    assert_string_equal(stage_failure(stage, "echo"), "cannot bind the endpoint of echo");
    stage_destroy(&stage);
}

static void a_full_mailbox_refuses_requests_and_keeps_what_is_told(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_loading_class);
    const stage_message_t *load = stage_take(stage, "other", MSG_NONE);
    uint64_t kept = ask(stage, "later a");
    for (int i = 0; i < 9999; i++) stage_tell(stage, "test", "echo", MSG_CHILD_STOP, &(msg_child_stop_t){.name = "nothing"});
    stage_run(stage);
    uint64_t refused = ask(stage, "one too many");
    assert_refused(stage, refused, ERROR_UNAVAILABLE, "echo has too many messages waiting");
    tell(stage, "answer");
    const msg_actor_counted_t *counted = stage_get(stage, "echo", MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    assert_int_equal(counted->mailbox, 10001);
    stage_answer(stage, load, &(msg_test_stream_t){.running = true});
    stage_run(stage);
    assert_answer(stage, kept, "later a", 1);
    assert_answer(stage, ask(stage, "hello"), "hello", 2);
    stage_destroy(&stage);
}

static void a_request_whose_answers_kill_state_after_state_is_refused(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t poison = ask(stage, "ask");
    for (int i = 0; i < 3; i++) {
        assert_null(stage_take(stage, "test", MSG_NONE));
        stage_answer(stage, stage_take(stage, "other", MSG_NONE),
                     &(msg_test_stream_t){.running = true, .has_endpoint = true, .endpoint = "poison"});
        stage_advance(stage, 20000);
    }
    assert_refused(stage, poison, ERROR_UNAVAILABLE, "echo failed 3 times while it had this request");
    assert_int_equal(stage_failures(stage, "echo"), 3);
    assert_null(stage_take(stage, "other", MSG_NONE));
    assert_null(stage_take(stage, "test", MSG_NONE));
    assert_answer(stage, ask(stage, "hello"), "hello", 1);
    stage_destroy(&stage);
}

static void a_failure_on_demand_is_held_against_no_request(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t kept = ask(stage, "later a");
    for (int i = 0; i < 20; i++) {
        stage_fail(stage, "echo");
        stage_run(stage);
    }
    tell(stage, "answer");
    assert_answer(stage, kept, "later a", 1);
    stage_destroy(&stage);
}

static void requests_it_had_not_answered_are_refused_when_it_leaves(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t kept = ask(stage, "later a");
    tell(stage, "leave");
    assert_refused(stage, kept, ERROR_UNAVAILABLE, "echo is stopping");
    assert_null(stage_take(stage, "test", MSG_NONE));
    stage_destroy(&stage);
}

static void an_actor_leaves_when_told_and_says_so(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    stage_tell(stage, "supervisor", "echo", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_run(stage);
    assert_true(stage_has_left(stage, "echo"));
    stage_destroy(&stage);
}

static void an_actor_that_has_failed_leaves_when_told(void **test) {
    (void)test;
    memset(&echoes, 0, sizeof echoes);
    echoes.fails_to_create = 1;
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, &echo_class, "echo", (bytes_t){0});
    stage_run(stage);
    assert_false(stage_has_left(stage, "echo"));
    stage_tell(stage, "supervisor", "echo", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
    stage_run(stage);
    assert_true(stage_has_left(stage, "echo"));
    stage_destroy(&stage);
}

static void an_actor_settles_when_nothing_more_waits(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    int before = echoes.settled;
    msg_test_stream_status_t m = ask_named("hello");
    for (int i = 0; i < 10; i++) stage_ask(stage, "test", "echo", MSG_TEST_STREAM_STATUS, &m);
    stage_run(stage);
    assert_int_equal(echoes.settled, before + 1);
    stage_destroy(&stage);
}

static void an_actor_that_cannot_settle_has_failed(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    echoes.fails_to_settle = 1;
    uint64_t kept = ask(stage, "later a");
    assert_string_equal(stage_failure(stage, "echo"), "told to fail as it settles");
    assert_int_equal(echoes.creates, 2);
    tell(stage, "answer");
    assert_answer(stage, kept, "later a", 1);
    stage_destroy(&stage);
}

static void what_is_not_declared_cannot_be_sent(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        tell(stage, "undeclared");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    stage_destroy(&stage);
}

/* ---- signs of life ---- */

static bool is_alive(stage_t *stage) {
    static const msg_actor_ping_t nothing;
    stage_ask(stage, "supervisor", "echo", MSG_ACTOR_PING, &nothing);
    stage_run(stage);
    const stage_message_t *answer = stage_take(stage, "supervisor", MSG_ACTOR_PING);
    return answer && !answer->refused;
}

static void a_ping_is_answered_whatever_the_state_is_in(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_loading_class);
    const stage_message_t *load = stage_take(stage, "other", MSG_NONE);
    ask(stage, "hello"); /* which is held back */
    assert_true(is_alive(stage));
    stage_refuse(stage, load, ERROR_NO_SPACE, "no space");
    stage_run(stage);
    assert_int_equal(stage_failures(stage, "echo"), 1);
    assert_false(stage_is_ready(stage, "echo"));
    assert_true(is_alive(stage));
    assert_null(stage_take(stage, "test", MSG_NONE));
    stage_destroy(&stage);
    stage = stage_with(&echo_class);
    assert_true(is_alive(stage));
    stage_destroy(&stage);
}

static void one_that_hangs_does_nothing_until_it_goes_on(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    tell(stage, "timer");
    stage_tell(stage, "supervisor", "echo", MSG_ACTOR_HANG, &(msg_actor_hang_t){.has_ms = true, .ms = 20});
    stage_run(stage);
    uint64_t waiting = ask(stage, "hello");
    assert_false(is_alive(stage));
    stage_advance(stage, 19999);
    assert_null(stage_take(stage, "test", MSG_NONE));
    assert_int_equal(echoes.rang, 0);
    stage_advance(stage, 1);
    assert_answer(stage, waiting, "hello", 1);
    assert_int_equal(echoes.rang, 1);
    assert_non_null(stage_take(stage, "supervisor", MSG_ACTOR_PING));
    stage_tell(stage, "supervisor", "echo", MSG_ACTOR_HANG, &(msg_actor_hang_t){0});
    ask(stage, "hello");
    stage_advance(stage, INT64_C(3600000000));
    assert_null(stage_take(stage, "test", MSG_NONE));
    stage_destroy(&stage);
}

static void one_that_is_told_why_it_fails_says_so(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    stage_tell(stage, "supervisor", "echo", MSG_ACTOR_FAIL, &(msg_actor_fail_t){.has_why = true, .why = "it builds on what failed"});
    stage_run(stage);
    assert_string_equal(stage_failure(stage, "echo"), "it builds on what failed");
    stage_destroy(&stage);
}

/* ---- watches ---- */

static int watched[2];

static int on_readable(void *state, int descriptor, fault_t *why) {
    echo_t *echo = state;
    char byte;
    if (read(descriptor, &byte, 1) != 1) return fault_errno(why, "cannot read");
    echoes.rang++;
    if (byte == 'f') return fault_set(why, "told to fail by a byte");
    if (byte == 'u') actor_unwatch(echo->me, descriptor);
    return 0;
}

static void *create_watching(actor_t *me, bytes_t args, fault_t *why) {
    void *state = echo_create(me, args, why);
    actor_watch(me, watched[0], on_readable);
    return state;
}

static int on_writable(void *state, int descriptor, fault_t *why) {
    echo_t *echo = state;
    (void)why;
    echoes.rang += 100;
    actor_unwatch_writable(echo->me, descriptor);
    return 0;
}

static void *create_watching_both(actor_t *me, bytes_t args, fault_t *why) {
    void *state = echo_create(me, args, why);
    actor_watch(me, watched[0], on_readable);
    actor_watch_writable(me, watched[0], on_writable);
    return state;
}

static const actor_class_t watching_both_class = ECHO_CLASS(create_watching_both);

static const actor_class_t watching_class = ECHO_CLASS(create_watching);

static void a_descriptor_is_watched_until_it_is_not(void **test) {
    (void)test;
    assert_int_equal(pipe(watched), 0);
    stage_t *stage = stage_with(&watching_class);
    assert_int_equal(write(watched[1], "aaf", 3), 3);
    uint64_t kept = ask(stage, "later a");
    stage_run(stage);
    assert_int_equal(echoes.rang, 3);
    assert_int_equal(echoes.creates, 2); /* and the new state watches again */
    tell(stage, "answer");
    assert_answer(stage, kept, "later a", 1);
    assert_int_equal(write(watched[1], "aub", 3), 3);
    stage_run(stage);
    assert_int_equal(echoes.rang, 5);
    stage_destroy(&stage);
    close(watched[0]);
    close(watched[1]);
}

static void a_descriptor_is_watched_for_each_event_by_itself(void **test) {
    (void)test;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, watched), 0);
    stage_t *stage = stage_with(&watching_both_class);
    stage_run(stage);
    assert_int_equal(echoes.rang, 100);
    assert_int_equal(write(watched[1], "ab", 2), 2);
    stage_run(stage);
    assert_int_equal(echoes.rang, 102);
    stage_destroy(&stage);
    close(watched[0]);
    close(watched[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_is_watched_for_each_event_by_itself),
        cmocka_unit_test(an_actor_answers_what_it_is_asked),
        cmocka_unit_test(a_failed_actor_loses_its_state_and_not_its_requests),
        cmocka_unit_test(the_request_that_it_failed_on_is_refused_and_may_be_asked_again),
        cmocka_unit_test(a_tell_that_it_failed_on_is_not_delivered_again),
        cmocka_unit_test(unanswered_requests_come_before_those_that_arrived_meanwhile),
        cmocka_unit_test(a_request_that_was_answered_is_not_delivered_again),
        cmocka_unit_test(a_forwarded_request_is_answered_though_the_actor_failed),
        cmocka_unit_test(a_forwarded_request_that_is_refused_is_refused_in_the_same_words),
        cmocka_unit_test(an_answer_to_a_former_state_is_dropped),
        cmocka_unit_test(a_second_answer_to_one_question_is_dropped),
        cmocka_unit_test(the_timers_of_a_former_state_do_not_go_off),
        cmocka_unit_test(a_cancelled_timer_does_not_go_off),
        cmocka_unit_test(a_timer_that_fails_fails_the_actor),
        cmocka_unit_test(a_timer_that_sets_itself_again_keeps_no_message_out),
        cmocka_unit_test(a_loading_actor_holds_messages_back_until_it_has_loaded),
        cmocka_unit_test(an_actor_that_cannot_load_has_failed_as_it_started),
        cmocka_unit_test(an_actor_that_fails_while_it_loads_again_loads_again),
        cmocka_unit_test(a_start_whose_doors_do_not_open_is_reported),
        cmocka_unit_test(a_full_mailbox_refuses_requests_and_keeps_what_is_told),
        cmocka_unit_test(a_request_whose_answers_kill_state_after_state_is_refused),
        cmocka_unit_test(a_failure_on_demand_is_held_against_no_request),
        cmocka_unit_test(requests_it_had_not_answered_are_refused_when_it_leaves),
        cmocka_unit_test(an_actor_leaves_when_told_and_says_so),
        cmocka_unit_test(an_actor_that_has_failed_leaves_when_told),
        cmocka_unit_test(an_actor_settles_when_nothing_more_waits),
        cmocka_unit_test(an_actor_that_cannot_settle_has_failed),
        cmocka_unit_test(what_is_not_declared_cannot_be_sent),
        cmocka_unit_test(a_ping_is_answered_whatever_the_state_is_in),
        cmocka_unit_test(one_that_hangs_does_nothing_until_it_goes_on),
        cmocka_unit_test(one_that_is_told_why_it_fails_says_so),
        cmocka_unit_test(a_descriptor_is_watched_until_it_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
