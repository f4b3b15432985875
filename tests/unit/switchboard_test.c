/* The switchboard, with real sockets: who is there gets what is sent, and nobody waits for who is not. */
#include "sockets.h"

#include <signal.h>
#include <sys/wait.h>

#include "actors/runtime/host.h"
#include "actors/runtime/thread.h"

static threads_t threads;
static pthread_t thread;
static void *one, *two;

static void *actor_connected(const char *name) {
    void *socket = switchboard_connect(&threads, name);
    int patience = PATIENCE_MS;
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    return socket;
}

static int set_up(void **test) {
    static config_t config;
    fault_t why;
    config.chaos = *test != NULL;
    threads.config = &config;
    threads.control = zmq_ctx_new();
    assert_int_equal(switchboard_start(&threads, &thread, &why), 0);
    one = actor_connected("one");
    two = actor_connected("two");
    return 0;
}

static int set_up_small(void **test) {
    threads.mailbox = 100;
    return set_up(test);
}

static int tear_down(void **test) {
    (void)test;
    alarm(10);
    zmq_ctx_shutdown(threads.control);
    pthread_join(thread, NULL);
    zmq_close(one);
    zmq_close(two);
    zmq_ctx_term(threads.control);
    threads.mailbox = 0;
    alarm(0);
    return 0;
}

static void send_to(void *socket, const char *to, head_t head, const char *message, const char *body) {
    frame_t frame;
    head_encode(&head, &frame);
    if (body) SEND(socket, TEXT_BYTES(to), frame_bytes(&frame), TEXT_BYTES(message), TEXT_BYTES(body));
    if (!body) SEND(socket, TEXT_BYTES(to), frame_bytes(&frame), TEXT_BYTES(message));
    frame_fini(&frame);
}

static received_t receive_from(void *socket, const char *from, head_t wanted) {
    received_t in = socket_receive(socket);
    head_t head;
    assert_true(in.count == 3 || in.count == 4);
    assert_true(bytes_are(received_bytes(&in, 0), from));
    assert_true(head_decode(received_bytes(&in, 1), &head));
    assert_int_equal(head.kind, wanted.kind);
    assert_int_equal(head.id, wanted.id);
    assert_int_equal(head.number, wanted.number);
    return in;
}

static void a_message_arrives_under_its_senders_name(void **test) {
    (void)test;
    head_t head = {HEAD_TELL, MSG_CHILD_STOP, 0};
    send_to(one, "two", head, "message", NULL);
    received_t in = receive_from(two, "one", head);
    assert_int_equal(in.count, 3);
    assert_true(bytes_are(received_bytes(&in, 2), "message"));
    send_to(two, "one", head, "message", "body");
    in = receive_from(one, "two", head);
    assert_true(bytes_are(received_bytes(&in, 3), "body"));
    send_to(one, "one", head, "to itself", NULL);
    in = receive_from(one, "one", head);
    assert_true(bytes_are(received_bytes(&in, 2), "to itself"));
}

static void messages_of_one_sender_arrive_in_their_order(void **test) {
    (void)test;
    for (uint64_t i = 0; i < 5000; i++) send_to(one, "two", (head_t){HEAD_TELL, MSG_CHILD_STOP, i}, "message", NULL);
    for (uint64_t i = 0; i < 5000; i++) receive_from(two, "one", (head_t){HEAD_TELL, MSG_CHILD_STOP, i});
}

static void a_request_to_an_absent_actor_is_refused_in_its_name(void **test) {
    (void)test;
    send_to(one, "nobody", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, 42}, "message", "body");
    received_t in = receive_from(one, "nobody", (head_t){HEAD_REFUSAL, MSG_JOB_WAIT, 42});
    refusal_t no;
    assert_int_equal(refusal_decode(received_bytes(&in, 2), &no), 0);
    assert_int_equal(no.code, ERROR_UNAVAILABLE);
    assert_true(no.retry);
    assert_string_equal(no.message, "nobody is not running");
}

static void what_is_no_request_to_an_absent_actor_is_dropped(void **test) {
    (void)test;
    send_to(one, "nobody", (head_t){HEAD_TELL, MSG_CHILD_STOP, 0}, "message", "body");
    send_to(one, "nobody", (head_t){HEAD_ANSWER, MSG_JOB_WAIT, 1}, "message", NULL);
    send_to(one, "nobody", (head_t){HEAD_REFUSAL, MSG_JOB_WAIT, 1}, "message", NULL);
    send_to(one, "one", (head_t){HEAD_TELL, MSG_CHILD_STOP, 7}, "next", NULL);
    received_t in = receive_from(one, "one", (head_t){HEAD_TELL, MSG_CHILD_STOP, 7});
    assert_true(bytes_are(received_bytes(&in, 2), "next"));
}

static void what_an_actor_said_before_it_left_arrives(void **test) {
    (void)test;
    for (int i = 0; i < 200; i++) {
        void *leaving = actor_connected("leaving");
        send_to(leaving, "one", (head_t){HEAD_TELL, MSG_ACTOR_STOPPED, 0}, "message", NULL);
        zmq_close(leaving);
        receive_from(one, "leaving", (head_t){HEAD_TELL, MSG_ACTOR_STOPPED, 0});
    }
}

static void a_name_belongs_to_who_connected_last(void **test) {
    (void)test;
    void *again = actor_connected("two");
    send_to(again, "one", (head_t){HEAD_TELL, MSG_ACTOR_READY, 0}, "message", NULL);
    receive_from(one, "two", (head_t){HEAD_TELL, MSG_ACTOR_READY, 0});
    send_to(one, "two", (head_t){HEAD_TELL, MSG_CHILD_STOP, 9}, "message", NULL);
    receive_from(again, "one", (head_t){HEAD_TELL, MSG_CHILD_STOP, 9});
    zmq_close(again);
}

/* ---- with `--chaos` ---- */

static received_t ask_to_meddle(const msg_chaos_messages_t *order, head_kind_t kind) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(MSG_CHAOS_MESSAGES, order, false, (bytes_t){0}, &out);
    frame_t head;
    head_encode(&(head_t){HEAD_REQUEST, MSG_CHAOS_MESSAGES, 77}, &head);
    SEND(one, TEXT_BYTES("switchboard"), frame_bytes(&head), ((bytes_t){(const uint8_t *)out.data, out.size}));
    frame_fini(&head);
    msgpack_sbuffer_destroy(&out);
    return receive_from(one, "switchboard", (head_t){kind, MSG_CHAOS_MESSAGES, 77});
}

static msg_chaos_tally_t tally(void) {
    received_t in = ask_to_meddle(&(msg_chaos_messages_t){.count = 0}, HEAD_ANSWER);
    msgpack_zone zone;
    msg_chaos_tally_t tally;
    refusal_t no;
    msgpack_zone_init(&zone, 256);
    assert_int_equal(message_decode(MSG_CHAOS_TALLY, received_bytes(&in, 2), &zone, &tally, &no), 0);
    msgpack_zone_destroy(&zone);
    return tally;
}

static void meddle_with(int64_t count, double drop, double duplicate, double delay) {
    ask_to_meddle(&(msg_chaos_messages_t){.count = count,
                                          .has_drop = true,
                                          .drop = drop,
                                          .has_duplicate = true,
                                          .duplicate = duplicate,
                                          .has_delay = true,
                                          .delay = delay,
                                          .has_delay_ms = true,
                                          .delay_ms = 3},
                  HEAD_ANSWER);
}

static void a_request_that_is_lost_is_refused_and_nothing_else_is_lost(void **test) {
    (void)test;
    meddle_with(3, 1, 0, 0);
    send_to(one, "two", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, 42}, "message", NULL);
    received_t in = receive_from(one, "two", (head_t){HEAD_REFUSAL, MSG_JOB_WAIT, 42});
    refusal_t no;
    assert_int_equal(refusal_decode(received_bytes(&in, 2), &no), 0);
    assert_int_equal(no.code, ERROR_UNAVAILABLE);
    assert_true(no.retry);
    send_to(one, "two", (head_t){HEAD_TELL, MSG_BUDGET_SPENT, 1}, "message", NULL);
    send_to(one, "two", (head_t){HEAD_ANSWER, MSG_JOB_WAIT, 2}, "message", NULL);
    send_to(one, "two", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, 3}, "not meddled with any more", NULL);
    receive_from(two, "one", (head_t){HEAD_TELL, MSG_BUDGET_SPENT, 1});
    receive_from(two, "one", (head_t){HEAD_ANSWER, MSG_JOB_WAIT, 2});
    receive_from(two, "one", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, 3});
    assert_int_equal(tally().dropped, 1);
    assert_int_equal(tally().messages, 3);
}

static void what_may_come_twice_does_and_nothing_else(void **test) {
    (void)test;
    meddle_with(4, 0, 1, 0);
    send_to(one, "two", (head_t){HEAD_TELL, MSG_BUDGET_SPENT, 1}, "message", "body");
    send_to(one, "two", (head_t){HEAD_ANSWER, MSG_PIPELINE_RUN_ASK, 2}, "message", NULL);
    send_to(one, "two", (head_t){HEAD_REQUEST, MSG_PIPELINE_RUN_ASK, 3}, "message", NULL);
    send_to(one, "two", (head_t){HEAD_TELL, MSG_ACTOR_FAILED, 4}, "message", NULL);
    for (int i = 0; i < 2; i++) {
        received_t in = receive_from(two, "one", (head_t){HEAD_TELL, MSG_BUDGET_SPENT, 1});
        assert_true(bytes_are(received_bytes(&in, 3), "body"));
    }
    for (int i = 0; i < 2; i++) receive_from(two, "one", (head_t){HEAD_ANSWER, MSG_PIPELINE_RUN_ASK, 2});
    receive_from(two, "one", (head_t){HEAD_REQUEST, MSG_PIPELINE_RUN_ASK, 3});
    receive_from(two, "one", (head_t){HEAD_TELL, MSG_ACTOR_FAILED, 4});
    assert_int_equal(tally().duplicated, 2);
}

static void messages_that_are_delayed_keep_the_order_of_their_pair(void **test) {
    (void)test;
    enum { COUNT = 2000 };
    meddle_with(COUNT, 0, 0.1, 0.3);
    for (uint64_t i = 0; i < COUNT; i++)
        send_to(i % 2 ? one : two, i % 2 ? "two" : "one", (head_t){HEAD_TELL, MSG_BUDGET_SPENT, i}, "message", NULL);
    for (uint64_t last = 0; last < COUNT - 1;) {
        received_t in = socket_receive(two);
        head_t head;
        assert_true(head_decode(received_bytes(&in, 1), &head));
        assert_true(head.number == last || head.number == last + (last ? 2 : 1));
        last = head.number;
    }
    for (uint64_t last = 0; last < COUNT - 2;) {
        received_t in = socket_receive(one);
        head_t head;
        assert_true(head_decode(received_bytes(&in, 1), &head));
        assert_true(head.number == last || head.number == last + 2);
        last = head.number;
    }
    assert_in_range(tally().delayed, COUNT / 5, COUNT / 2);
}

/* Which of 64 messages come twice. */
static uint64_t doubled(int64_t seed) {
    enum { COUNT = 64, LAST = 1000 };
    msg_chaos_messages_t order = {.count = COUNT, .has_duplicate = true, .duplicate = 0.5, .has_seed = true, .seed = seed};
    uint64_t seen = 0, twice = 0;
    head_t head = {0};
    ask_to_meddle(&order, HEAD_ANSWER);
    for (uint64_t i = 0; i < COUNT; i++) send_to(one, "two", (head_t){HEAD_TELL, MSG_BUDGET_SPENT, i}, "message", NULL);
    send_to(one, "two", (head_t){HEAD_TELL, MSG_BUDGET_SPENT, LAST}, "not meddled with any more", NULL);
    for (;;) {
        received_t in = socket_receive(two);
        assert_true(head_decode(received_bytes(&in, 1), &head));
        if (head.number == LAST) return twice;
        uint64_t bit = UINT64_C(1) << head.number;
        twice |= seen & bit;
        seen |= bit;
    }
}

static void the_seed_decides_what_is_done_to_which_message(void **test) {
    (void)test;
    uint64_t first = doubled(5);
    assert_int_equal(doubled(5), first);
    assert_int_not_equal(doubled(6), first);
    assert_true(first != 0 && first != UINT64_MAX);
}

static void an_order_to_meddle_is_checked(void **test) {
    (void)test;
    received_t in = ask_to_meddle(&(msg_chaos_messages_t){.count = 1, .has_drop = true, .drop = 1.5}, HEAD_REFUSAL);
    refusal_t no;
    assert_int_equal(refusal_decode(received_bytes(&in, 2), &no), 0);
    assert_int_equal(no.code, ERROR_BAD_REQUEST);
    assert_string_equal(no.field, "drop");
    in = ask_to_meddle(&(msg_chaos_messages_t){.count = 1, .has_delay_ms = true, .delay_ms = 100000}, HEAD_REFUSAL);
    assert_int_equal(refusal_decode(received_bytes(&in, 2), &no), 0);
    assert_string_equal(no.field, "delay_ms");
    send_to(one, "switchboard", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, 5}, "message", NULL);
    receive_from(one, "switchboard", (head_t){HEAD_REFUSAL, MSG_JOB_WAIT, 5});
}

static void it_does_not_meddle_where_the_flag_is_not_given(void **test) {
    (void)test;
    ask_to_meddle(&(msg_chaos_messages_t){.count = 1, .has_drop = true, .drop = 1}, HEAD_REFUSAL);
}

static void a_request_that_finds_a_mailbox_full_is_refused(void **test) {
    (void)test;
    for (uint64_t i = 0; i < 105; i++) send_to(one, "two", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, i}, "message", NULL);
    for (uint64_t i = 100; i < 105; i++) {
        received_t in = receive_from(one, "two", (head_t){HEAD_REFUSAL, MSG_JOB_WAIT, i});
        refusal_t no;
        assert_int_equal(refusal_decode(received_bytes(&in, 2), &no), 0);
        assert_int_equal(no.code, ERROR_UNAVAILABLE);
        assert_true(no.retry);
        assert_string_equal(no.message, "two has too many messages waiting");
    }
    for (uint64_t i = 0; i < 100; i++) receive_from(two, "one", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, i});
    zmq_pollitem_t arrived[] = {{two, 0, ZMQ_POLLIN, 0}, {one, 0, ZMQ_POLLIN, 0}};
    for (uint64_t i = 200; !arrived[0].revents; i++) { /* libzmq tells the sender a little later that there is room */
        assert_true(i < 10000);
        send_to(one, "two", (head_t){HEAD_REQUEST, MSG_JOB_WAIT, i}, "message", NULL);
        assert_true(zmq_poll(arrived, 2, PATIENCE_MS) > 0);
        if (arrived[1].revents) receive_from(one, "two", (head_t){HEAD_REFUSAL, MSG_JOB_WAIT, i});
    }
}

static void what_must_not_be_lost_ends_the_process_where_a_mailbox_is_full(void **test) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        alarm(10);
        set_up_small(test);
        for (uint64_t i = 0; i < 101; i++) send_to(one, "two", (head_t){HEAD_TELL, MSG_CHILD_STOP, i}, "message", NULL);
        for (;;) pause();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

#define SWITCHBOARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define CHAOS_TEST(name) cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, &threads)

int main(void) {
    const struct CMUnitTest tests[] = {
        SWITCHBOARD_TEST(a_message_arrives_under_its_senders_name),
        SWITCHBOARD_TEST(messages_of_one_sender_arrive_in_their_order),
        SWITCHBOARD_TEST(a_request_to_an_absent_actor_is_refused_in_its_name),
        SWITCHBOARD_TEST(what_is_no_request_to_an_absent_actor_is_dropped),
        SWITCHBOARD_TEST(what_an_actor_said_before_it_left_arrives),
        SWITCHBOARD_TEST(a_name_belongs_to_who_connected_last),
        cmocka_unit_test_setup_teardown(a_request_that_finds_a_mailbox_full_is_refused, set_up_small, tear_down),
        cmocka_unit_test(what_must_not_be_lost_ends_the_process_where_a_mailbox_is_full),
        SWITCHBOARD_TEST(it_does_not_meddle_where_the_flag_is_not_given),
        CHAOS_TEST(a_request_that_is_lost_is_refused_and_nothing_else_is_lost),
        CHAOS_TEST(what_may_come_twice_does_and_nothing_else),
        CHAOS_TEST(messages_that_are_delayed_keep_the_order_of_their_pair),
        CHAOS_TEST(the_seed_decides_what_is_done_to_which_message),
        CHAOS_TEST(an_order_to_meddle_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
