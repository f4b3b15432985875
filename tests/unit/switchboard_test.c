/* The switchboard, with real sockets: who is there gets what is sent, and nobody waits for who is not. */
#include "sockets.h"

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
    (void)test;
    fault_t why;
    threads.control = zmq_ctx_new();
    assert_int_equal(switchboard_start(&threads, &thread, &why), 0);
    one = actor_connected("one");
    two = actor_connected("two");
    return 0;
}

static int tear_down(void **test) {
    (void)test;
    alarm(10);
    zmq_ctx_shutdown(threads.control);
    pthread_join(thread, NULL);
    zmq_close(one);
    zmq_close(two);
    zmq_ctx_term(threads.control);
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

#define SWITCHBOARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SWITCHBOARD_TEST(a_message_arrives_under_its_senders_name),
        SWITCHBOARD_TEST(messages_of_one_sender_arrive_in_their_order),
        SWITCHBOARD_TEST(a_request_to_an_absent_actor_is_refused_in_its_name),
        SWITCHBOARD_TEST(what_is_no_request_to_an_absent_actor_is_dropped),
        SWITCHBOARD_TEST(what_an_actor_said_before_it_left_arrives),
        SWITCHBOARD_TEST(a_name_belongs_to_who_connected_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
