/* Who a message is from that is read when its connection is gone, where clients choose their routing ids and the kernel gives descriptors again:
 * with real connections, which this test lets in itself. */
#include "sockets.h"

#include "actors/runtime/visitors.h"

#define DOOR_ENDPOINT "ipc:///tmp/reprise-visitors-%ld"

static void *engine, *outside; /* contexts */
static void *zap, *router, *monitor;
static char endpoint[64];
static visitors_t *visitors;

static int set_up(void **test) {
    (void)test;
    engine = zmq_ctx_new();
    outside = zmq_ctx_new();
    zap = zmq_socket(engine, ZMQ_REP);
    router = zmq_socket(engine, ZMQ_ROUTER);
    monitor = zmq_socket(engine, ZMQ_PAIR);
    snprintf(endpoint, sizeof endpoint, DOOR_ENDPOINT, (long)getpid());
    assert_int_equal(zmq_bind(zap, "inproc://zeromq.zap.01"), 0);
    assert_int_equal(zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, "test", 4), 0);
    assert_int_equal(zmq_socket_monitor(router, "inproc://ends", ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED), 0);
    int patience = PATIENCE_MS;
    zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_connect(monitor, "inproc://ends"), 0);
    assert_int_equal(zmq_bind(router, endpoint), 0);
    visitors = visitors_create();
    return 0;
}

static int tear_down(void **test) {
    (void)test;
    visitors_destroy(&visitors);
    zmq_socket_monitor(router, NULL, 0);
    void *sockets[] = {zap, router, monitor};
    for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++) zmq_close(sockets[i]);
    alarm(10); /* a test that failed left its sockets open, for which these would wait for ever */
    zmq_ctx_term(outside);
    zmq_ctx_term(engine);
    alarm(0);
    return 0;
}

/* A connection under this routing id, which is let in as this user and has sent something. */
static void *client_let_in(const char *id, const char *user) {
    void *client = zmq_socket(outside, ZMQ_DEALER);
    int brief = PATIENCE_MS;
    zmq_setsockopt(client, ZMQ_LINGER, &brief, sizeof brief);
    zmq_setsockopt(client, ZMQ_ROUTING_ID, id, strlen(id));
    assert_int_equal(zmq_connect(client, endpoint), 0);
    SEND(client, TEXT_BYTES("hello"));
    zmq_pollitem_t items[] = {{zap, 0, ZMQ_POLLIN, 0}, {router, 0, 0, 0}};
    assert_true(zmq_poll(items, 2, PATIENCE_MS) > 0); /* the second only takes in what has happened to it */
    received_t asked = socket_receive(zap);
    bytes_t number = received_bytes(&asked, 1);
    SEND(zap, TEXT_BYTES("1.0"), number, TEXT_BYTES("200"), TEXT_BYTES("OK"), TEXT_BYTES(user), TEXT_BYTES(""));
    return client;
}

/* What it sent is to be read yet, from a connection that is gone. libzmq tells of its end before it closes the descriptor, and of what it does
 * next after that. */
static void client_leave(void *client) {
    char last[80];
    snprintf(last, sizeof last, "%s-last", endpoint);
    assert_int_equal(zmq_bind(router, last), 0);
    zmq_close(client);
    socket_receive(monitor);
    assert_int_equal(zmq_unbind(router, last), 0);
    socket_receive(monitor);
}

static admission_t admit(peer_t *peer, const pass_t **pass) {
    frame_t id, message;
    frame_init(&id);
    frame_init(&message);
    assert_true(socket_readable(router, PATIENCE_MS));
    assert_true(frame_receive(&id, router, 0) && frame_receive(&message, router, 0));
    bytes_t bytes = frame_bytes(&id);
    *peer = (peer_t){.size = (uint8_t)bytes.size};
    memcpy(peer->id, bytes.data, bytes.size);
    admission_t admission = visitors_admit(visitors, &message, peer, pass);
    frame_fini(&id);
    frame_fini(&message);
    return admission;
}

static void what_a_key_allows_is_its_own_though_descriptor_and_routing_id_were_anothers(void **test) {
    (void)test;
    peer_t root, thief;
    const pass_t *pass;
    void *client = client_let_in("me", "1 admin aaaa root");
    assert_int_equal(admit(&root, &pass), ADMITTED);
    assert_int_equal(pass->permission, PERMISSION_ADMIN);
    client_leave(client);
    assert_false(socket_readable(router, 0)); /* which takes in that it is gone */
    client_leave(client_let_in("me", "1 read bbbb thief"));
    assert_int_equal(admit(&thief, &pass), ADMITTED);
    assert_int_equal(pass->permission, PERMISSION_READ);
    assert_string_equal(pass->name, "thief");
    assert_false(peer_equal(&root, &thief));
}

static void a_second_message_of_a_connection_that_is_gone_is_from_the_same_peer(void **test) {
    (void)test;
    peer_t first, second;
    const pass_t *pass;
    void *client = client_let_in("me", "1 write aaaa alice");
    SEND(client, TEXT_BYTES("again"));
    client_leave(client);
    assert_int_equal(admit(&first, &pass), ADMITTED);
    assert_int_equal(admit(&second, &pass), ADMITTED);
    assert_string_equal(pass->name, "alice");
    assert_true(peer_equal(&first, &second));
}

#define VISITORS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        VISITORS_TEST(what_a_key_allows_is_its_own_though_descriptor_and_routing_id_were_anothers),
        VISITORS_TEST(a_second_message_of_a_connection_that_is_gone_is_from_the_same_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
