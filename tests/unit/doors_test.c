/* Doors, with real sockets: what any client may send is read to its end, and answered in the form it came. */
#include "sockets.h"

#include "actors/runtime/doors.h"

static void *engine, *outside; /* contexts */
static config_t config;
static door_t door;
static int port;

static const door_spec_t router_spec = {DOOR_ROUTER, ENDPOINT_COMMANDS, SCOPE_COMMANDS};
static const door_spec_t publish_spec = {DOOR_PUBLISH, ENDPOINT_NOTIFICATIONS, 0};

static int set_up(void **test) {
    (void)test;
    fault_t why;
    engine = zmq_ctx_new();
    outside = zmq_ctx_new();
    port = port_free();
    snprintf(config.endpoints[ENDPOINT_COMMANDS], sizeof config.endpoints[0], "tcp://127.0.0.1:%d", port);
    snprintf(config.endpoints[ENDPOINT_NOTIFICATIONS], sizeof config.endpoints[0], "tcp://127.0.0.1:%d", port_free());
    assert_int_equal(door_open(&door, engine, &config, &router_spec, &why), 0);
    return 0;
}

static int tear_down(void **test) {
    (void)test;
    door_close(&door);
    door_close(&door); /* allowed */
    /* A test that failed left its sockets open, for which these would wait for ever. */
    alarm(10);
    zmq_ctx_term(outside);
    zmq_ctx_term(engine);
    alarm(0);
    return 0;
}

static void *client_connected(int type) {
    return socket_connected(outside, type, config.endpoints[ENDPOINT_COMMANDS]);
}

static door_message_t receive(void) {
    door_message_t in;
    assert_true(socket_readable(door.socket, PATIENCE_MS));
    assert_true(door_receive(&door, 0, &in));
    return in;
}

static void finish(door_message_t *in) {
    if (in->unaddressed) return;
    frame_fini(&in->message);
    if (in->has_body) frame_fini(&in->body);
}

static void answer(const door_message_t *in, const char *text) {
    frame_t frame;
    frame_copy_of(&frame, TEXT_BYTES(text));
    assert_int_equal(door_send(&door, &in->from, &in->prefix, &frame, NULL), SENT);
}

static void a_req_socket_is_answered_behind_its_delimiter(void **test) {
    (void)test;
    void *client = client_connected(ZMQ_REQ);
    SEND(client, TEXT_BYTES("question"));
    door_message_t in = receive();
    assert_true(in.prefix.delimited);
    assert_false(in.prefix.correlated || in.frames_lost || in.has_body || in.unaddressed || in.stranger);
    assert_true(bytes_are(frame_bytes(&in.message), "question"));
    answer(&in, "answer");
    received_t out = socket_receive(client);
    assert_int_equal(out.count, 1);
    assert_true(bytes_are(received_bytes(&out, 0), "answer"));
    finish(&in);
    zmq_close(client);
}

static void a_req_socket_that_correlates_is_answered_behind_its_number(void **test) {
    (void)test;
    void *client = zmq_socket(outside, ZMQ_REQ);
    int on = 1, none = 0, patience = PATIENCE_MS;
    zmq_setsockopt(client, ZMQ_REQ_CORRELATE, &on, sizeof on);
    zmq_setsockopt(client, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(client, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_connect(client, config.endpoints[ENDPOINT_COMMANDS]), 0);
    SEND(client, TEXT_BYTES("question"), TEXT_BYTES("body"));
    door_message_t in = receive();
    assert_true(in.prefix.delimited && in.prefix.correlated && in.has_body);
    assert_true(bytes_are(frame_bytes(&in.message), "question"));
    assert_true(bytes_are(frame_bytes(&in.body), "body"));
    answer(&in, "answer");
    received_t out = socket_receive(client);
    assert_true(bytes_are(received_bytes(&out, 0), "answer"));
    finish(&in);
    zmq_close(client);
}

static void a_dealer_is_answered_as_it_asks(void **test) {
    (void)test;
    void *client = client_connected(ZMQ_DEALER);
    SEND(client, TEXT_BYTES("question"), TEXT_BYTES("body"));
    door_message_t in = receive();
    assert_false(in.prefix.delimited || in.frames_lost);
    assert_true(in.has_body && bytes_are(frame_bytes(&in.body), "body"));
    answer(&in, "answer");
    received_t out = socket_receive(client);
    assert_int_equal(out.count, 1);
    finish(&in);
    SEND(client, TEXT_BYTES(""), TEXT_BYTES("question"));
    in = receive();
    assert_true(in.prefix.delimited && !in.has_body);
    answer(&in, "answer");
    out = socket_receive(client);
    assert_int_equal(out.count, 2);
    assert_int_equal(out.sizes[0], 0);
    assert_true(bytes_are(received_bytes(&out, 1), "answer"));
    finish(&in);
    zmq_close(client);
}

static void four_bytes_with_an_empty_body_are_a_message(void **test) {
    (void)test;
    void *client = client_connected(ZMQ_DEALER);
    SEND(client, TEXT_BYTES("four"), TEXT_BYTES(""));
    door_message_t in = receive();
    assert_false(in.prefix.delimited);
    assert_true(bytes_are(frame_bytes(&in.message), "four"));
    assert_true(in.has_body);
    finish(&in);
    zmq_close(client);
}

static void a_message_is_read_to_its_last_frame(void **test) {
    (void)test;
    void *client = client_connected(ZMQ_DEALER);
    for (size_t count = 3; count <= 40; count++) {
        bytes_t frames[40];
        for (size_t i = 0; i < count; i++) frames[i] = TEXT_BYTES("frame");
        socket_send(client, count, frames);
        SEND(client, TEXT_BYTES("next"));
        door_message_t in = receive();
        assert_true(in.frames_lost);
        assert_true(bytes_are(frame_bytes(&in.message), "frame"));
        finish(&in);
        in = receive();
        assert_false(in.frames_lost);
        assert_true(bytes_are(frame_bytes(&in.message), "next"));
        finish(&in);
    }
    zmq_close(client);
}

static void nothing_but_envelope_is_dropped(void **test) {
    (void)test;
    void *client = client_connected(ZMQ_DEALER);
    SEND(client, TEXT_BYTES(""));
    SEND(client, TEXT_BYTES("next"));
    door_message_t in = receive();
    assert_true(in.unaddressed);
    in = receive();
    assert_false(in.unaddressed);
    assert_true(bytes_are(frame_bytes(&in.message), "next"));
    finish(&in);
    zmq_close(client);
}

static void a_peer_may_have_the_longest_name(void **test) {
    (void)test;
    char name[256];
    memset(name, 'n', sizeof name);
    void *client = zmq_socket(outside, ZMQ_DEALER);
    int none = 0, patience = PATIENCE_MS;
    assert_int_equal(zmq_setsockopt(client, ZMQ_ROUTING_ID, name, 255), 0);
    zmq_setsockopt(client, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(client, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_connect(client, config.endpoints[ENDPOINT_COMMANDS]), 0);
    SEND(client, TEXT_BYTES("question"));
    door_message_t in = receive();
    assert_int_equal(in.from.size, 255);
    answer(&in, "answer");
    socket_receive(client);
    finish(&in);
    zmq_close(client);
}

static void an_http_client_is_known_for_a_stranger(void **test) {
    (void)test;
    int browser = http_client(port);
    for (int i = 0; i < 10; i++) {
        door_message_t in = receive();
        assert_true(in.stranger);
        finish(&in);
    }
    void *client = client_connected(ZMQ_DEALER);
    SEND(client, TEXT_BYTES("bbb"));
    door_message_t in = receive();
    while (!in.unaddressed && in.stranger) {
        finish(&in);
        in = receive();
    }
    assert_true(bytes_are(frame_bytes(&in.message), "bbb"));
    finish(&in);
    close(browser);
    zmq_close(client);
}

static void what_is_sent_to_nobody_is_known_to_be_lost(void **test) {
    (void)test;
    frame_t frame, body;
    frame_copy_of(&frame, TEXT_BYTES("answer"));
    frame_copy_of(&body, TEXT_BYTES("body"));
    peer_t nobody = {.size = 3, .id = "who"};
    assert_int_equal(door_send(&door, &nobody, NULL, &frame, &body), SENT_GONE);
    assert_true(bytes_are(frame_bytes(&frame), "answer"));
    assert_true(bytes_are(frame_bytes(&body), "body"));
    frame_fini(&frame);
    frame_fini(&body);
}

/* Where not all that is said is an answer. */
static void a_peer_that_does_not_read_is_full_and_nothing_is_torn(void **test) {
    static const door_spec_t ingest_spec = {DOOR_ROUTER, ENDPOINT_INGEST, SCOPE_INGEST};
    fault_t why;
    (void)test;
    door_close(&door);
    snprintf(config.endpoints[ENDPOINT_INGEST], sizeof config.endpoints[0], "tcp://127.0.0.1:%d", port_free());
    assert_int_equal(door_open(&door, engine, &config, &ingest_spec, &why), 0);
    void *client = socket_connected(outside, ZMQ_DEALER, config.endpoints[ENDPOINT_INGEST]);
    SEND(client, TEXT_BYTES("question"));
    door_message_t in = receive();
    size_t size = 20000;
    char *large = calloc(1, size);
    sent_t sent = SENT;
    size_t whole = 0;
    while (sent == SENT) {
        frame_t frame, body;
        frame_copy_of(&frame, TEXT_BYTES("event"));
        frame_copy_of(&body, (bytes_t){(uint8_t *)large, size});
        sent = door_send(&door, &in.from, NULL, &frame, &body);
        if (sent == SENT) whole++;
        if (sent != SENT) assert_int_equal(frame_bytes(&body).size, size);
        if (sent != SENT) frame_fini(&frame);
        frame_fini(&body);
    }
    assert_int_equal(sent, SENT_FULL);
    for (size_t i = 0; i < whole; i++) {
        received_t out = socket_receive(client);
        assert_int_equal(out.count, 2);
        assert_int_equal(out.sizes[1], size);
    }
    free(large);
    finish(&in);
    zmq_close(client);
}

static void an_endpoint_that_is_taken_is_named(void **test) {
    (void)test;
    door_t second = {0};
    fault_t why;
    void *other = zmq_ctx_new();
    assert_int_equal(door_open(&second, other, &config, &router_spec, &why), -1);
    if (!strstr(why.text, config.endpoints[ENDPOINT_COMMANDS])) fail_msg("\"%s\" does not name the endpoint", why.text);
    door_close(&second);
    zmq_ctx_term(other);
}

static void subscribers_get_the_topic_and_the_payload(void **test) {
    (void)test;
    door_t publisher = {0};
    fault_t why;
    assert_int_equal(door_open(&publisher, engine, &config, &publish_spec, &why), 0);
    void *subscriber = socket_connected(outside, ZMQ_SUB, config.endpoints[ENDPOINT_NOTIFICATIONS]);
    zmq_setsockopt(subscriber, ZMQ_SUBSCRIBE, "job.", 4);
    for (int i = 0; i < 100 && !socket_readable(subscriber, 10); i++) { /* until the subscription has arrived */
        frame_t topic, payload;
        frame_copy_of(&topic, TEXT_BYTES("job.state"));
        frame_copy_of(&payload, TEXT_BYTES("payload"));
        assert_int_equal(door_send(&publisher, NULL, NULL, &topic, &payload), SENT);
    }
    received_t in = socket_receive(subscriber);
    assert_int_equal(in.count, 2);
    assert_true(bytes_are(received_bytes(&in, 0), "job.state"));
    assert_true(bytes_are(received_bytes(&in, 1), "payload"));
    zmq_close(subscriber);
    door_close(&publisher);
}

static void a_dealer_door_reaches_the_router_of_its_process(void **test) {
    (void)test;
    static const door_spec_t spec = {DOOR_DEALER, ENDPOINT_COMMANDS, SCOPE_COMMANDS};
    door_t dealer = {0};
    fault_t why;
    assert_int_equal(door_open(&dealer, engine, &config, &spec, &why), 0);
    frame_t frame, body;
    frame_copy_of(&frame, TEXT_BYTES("\x81\xa1"));
    frame_copy_of(&body, TEXT_BYTES("body"));
    assert_int_equal(door_send(&dealer, NULL, NULL, &frame, &body), SENT);
    door_message_t in = receive();
    assert_true(in.has_body && !in.stranger);
    answer(&in, "answer");
    finish(&in);
    assert_true(socket_readable(dealer.socket, PATIENCE_MS));
    assert_true(door_receive(&dealer, 2, &in));
    assert_int_equal(in.from.door, 2);
    assert_int_equal(in.from.size, 0);
    assert_true(bytes_are(frame_bytes(&in.message), "answer"));
    finish(&in);
    door_close(&dealer);
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        DOOR_TEST(a_req_socket_is_answered_behind_its_delimiter),
        DOOR_TEST(a_req_socket_that_correlates_is_answered_behind_its_number),
        DOOR_TEST(a_dealer_is_answered_as_it_asks),
        DOOR_TEST(four_bytes_with_an_empty_body_are_a_message),
        DOOR_TEST(a_message_is_read_to_its_last_frame),
        DOOR_TEST(nothing_but_envelope_is_dropped),
        DOOR_TEST(a_peer_may_have_the_longest_name),
        DOOR_TEST(an_http_client_is_known_for_a_stranger),
        DOOR_TEST(what_is_sent_to_nobody_is_known_to_be_lost),
        DOOR_TEST(a_peer_that_does_not_read_is_full_and_nothing_is_torn),
        DOOR_TEST(an_endpoint_that_is_taken_is_named),
        DOOR_TEST(subscribers_get_the_topic_and_the_payload),
        DOOR_TEST(a_dealer_door_reaches_the_router_of_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
