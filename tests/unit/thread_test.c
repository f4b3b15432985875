/* Actors on real threads, with real clients; the test is their supervisor. Nothing is shared with them but sockets. */
#include "echo.h"
#include "sockets.h"

#include "actors/runtime/thread.h"
#include "messages/wire.h"
#include "pack.h"

static threads_t threads;
static config_t config;
static pthread_t switchboard;
static void *supervisor, *outside;
static int port;

static int set_up(void **test) {
    (void)test;
    fault_t why;
    port = port_free();
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        snprintf(config.endpoints[i], sizeof config.endpoints[i], "tcp://127.0.0.1:%d", i == ENDPOINT_COMMANDS ? port : port_free());
    threads = (threads_t){.network = zmq_ctx_new(), .control = zmq_ctx_new(), .config = &config};
    outside = zmq_ctx_new();
    assert_int_equal(switchboard_start(&threads, &switchboard, &why), 0);
    supervisor = switchboard_connect(&threads, "supervisor");
    int patience = PATIENCE_MS;
    zmq_setsockopt(supervisor, ZMQ_RCVTIMEO, &patience, sizeof patience);
    return 0;
}

static int tear_down(void **test) {
    (void)test;
    alarm(10);
    zmq_ctx_shutdown(threads.control);
    pthread_join(switchboard, NULL);
    zmq_close(supervisor);
    zmq_ctx_term(threads.control);
    zmq_ctx_term(outside);
    zmq_ctx_term(threads.network);
    alarm(0);
    return 0;
}

static pthread_t start(const actor_class_t *class, const char *name) {
    pthread_t thread;
    fault_t why;
    assert_int_equal(thread_start(&threads, class, name, name, (bytes_t){0}, &thread, &why), 0);
    return thread;
}

/* What the actor tells its supervisor next. */
static received_t expect(const char *from, message_id_t id) {
    received_t in = socket_receive(supervisor);
    head_t head;
    assert_true(bytes_are(received_bytes(&in, 0), from));
    assert_true(head_decode(received_bytes(&in, 1), &head));
    assert_string_equal(message_class(head.id)->id, message_class(id)->id);
    return in;
}

static void tell_actor(const char *to, message_id_t id) {
    frame_t head;
    head_encode(&(head_t){HEAD_TELL, id, 0}, &head);
    SEND(supervisor, TEXT_BYTES(to), frame_bytes(&head), BYTES("\x80"));
    frame_fini(&head);
}

static void stop(pthread_t thread, const char *name) {
    tell_actor(name, MSG_ACTOR_STOP);
    expect(name, MSG_ACTOR_STOPPED);
    pthread_join(thread, NULL);
}

static void *client_connected(int type) {
    return socket_connected(outside, type, config.endpoints[ENDPOINT_COMMANDS]);
}

static void ask_client(void *client, const char *name) {
    SEND(client, pack("{ssss}", "op", "test_stream.status", "pipeline", name));
}

static void assert_client_gets(void *client, const char *name) {
    received_t in = socket_receive(client);
    bytes_t raw = received_bytes(&in, in.count - 1), value;
    const char *text = "nothing";
    size_t size = 7;
    if (wire_map_get(raw, "endpoint", &value)) wire_text(value, &text, &size);
    if (size != strlen(name) || memcmp(text, name, size) != 0) fail_msg("the answer says \"%.*s\", not \"%s\"", (int)size, text, name);
}

static void a_client_is_served_over_tcp(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    void *client = client_connected(ZMQ_REQ);
    for (int i = 0; i < 100; i++) {
        ask_client(client, "hello");
        assert_client_gets(client, "hello");
    }
    zmq_close(client);
    stop(thread, "echo");
}

static void a_connection_outlives_the_actors_state(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    void *client = client_connected(ZMQ_DEALER);
    ask_client(client, "later a");
    ask_client(client, "fail");
    expect("echo", MSG_ACTOR_FAILED);
    received_t in = socket_receive(client);
    refusal_t no;
    assert_int_equal(refusal_decode(received_bytes(&in, 0), &no), 0);
    assert_int_equal(no.code, ERROR_UNAVAILABLE);
    ask_client(client, "meanwhile");
    assert_false(socket_readable(client, 20)); /* it has no state to answer from */
    tell_actor("echo", MSG_ACTOR_RESTART);
    expect("echo", MSG_ACTOR_READY);
    assert_client_gets(client, "meanwhile");
    zmq_close(client);
    stop(thread, "echo");
}

static void told_to_fail_an_actor_fails(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    tell_actor("echo", MSG_ACTOR_FAIL);
    received_t in = expect("echo", MSG_ACTOR_FAILED);
    bytes_t raw = received_bytes(&in, 2), value;
    assert_true(wire_map_get(raw, "starting", &value));
    assert_int_equal(value.data[0], 0xc2);
    stop(thread, "echo"); /* without a state */
}

static void tell_to_hang(const char *to, bytes_t message) {
    frame_t head;
    head_encode(&(head_t){HEAD_TELL, MSG_ACTOR_HANG, 0}, &head);
    SEND(supervisor, TEXT_BYTES(to), frame_bytes(&head), message);
    frame_fini(&head);
}

static void ping(const char *to) {
    frame_t head;
    head_encode(&(head_t){HEAD_REQUEST, MSG_ACTOR_PING, 1}, &head);
    SEND(supervisor, TEXT_BYTES(to), frame_bytes(&head), BYTES("\x80"));
    frame_fini(&head);
}

static void one_that_hangs_for_a_while_goes_on(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    tell_to_hang("echo", pack("{si}", "ms", 20LL));
    ping("echo");
    expect("echo", MSG_ACTOR_PING);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 20000000);
    stop(thread, "echo");
}

static void an_endpoint_that_is_taken_is_a_failed_start(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    pthread_t second = start(&echo_class, "second");
    received_t in = expect("second", MSG_ACTOR_FAILED);
    bytes_t raw = received_bytes(&in, 2), value;
    const char *text = "";
    size_t size = 0;
    assert_true(wire_map_get(raw, "starting", &value));
    assert_int_equal(value.data[0], 0xc3);
    assert_true(wire_map_get(raw, "why", &value) && wire_text(value, &text, &size));
    assert_non_null(memmem(text, size, config.endpoints[0], strlen(config.endpoints[0])));
    stop(second, "second");
    stop(thread, "echo");
}

static void nine_frames_are_refused_and_the_next_message_is_served(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    void *client = client_connected(ZMQ_DEALER);
    bytes_t frames[9];
    frames[0] = pack("{ssss}", "op", "test_stream.status", "pipeline", "many");
    for (size_t i = 1; i < 9; i++) frames[i] = frames[0];
    socket_send(client, 9, frames);
    received_t in = socket_receive(client);
    refusal_t no;
    assert_int_equal(refusal_decode(received_bytes(&in, 0), &no), 0);
    assert_int_equal(no.code, ERROR_BAD_REQUEST);
    assert_text(no.message, "more frames");
    ask_client(client, "hello");
    assert_client_gets(client, "hello");
    zmq_close(client);
    stop(thread, "echo");
}

static void garbage_gets_an_error_on_any_socket(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    const int types[] = {ZMQ_REQ, ZMQ_DEALER};
    const bytes_t garbage[] = {BYTES("garbage"), BYTES("\xc1"), BYTES("\xdf\xff\xff\xff\xff"), BYTES("\x90"), BYTES("\x81\x01\x02")};
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++)
        for (size_t type = 0; type < 2; type++) {
            void *client = client_connected(types[type]);
            SEND(client, garbage[i]);
            received_t in = socket_receive(client);
            refusal_t no;
            assert_int_equal(refusal_decode(received_bytes(&in, 0), &no), 0);
            assert_int_equal(no.code, ERROR_BAD_REQUEST);
            zmq_close(client);
        }
    stop(thread, "echo");
}

static int64_t count_of(const char *counter) {
    frame_t head_frame;
    head_encode(&(head_t){HEAD_REQUEST, MSG_ACTOR_COUNT, 1}, &head_frame);
    SEND(supervisor, TEXT_BYTES("echo"), frame_bytes(&head_frame), BYTES("\x80"));
    frame_fini(&head_frame);
    received_t in = expect("echo", MSG_ACTOR_COUNT);
    msgpack_zone *zone = msgpack_zone_new(4096);
    msg_actor_counted_t counted = {0};
    refusal_t no;
    int64_t value = 0;
    assert_int_equal(message_decode(MSG_ACTOR_COUNTED, received_bytes(&in, 2), zone, &counted, &no), 0);
    for (size_t i = 0; i < counted.counters.count; i++)
        if (strcmp(counted.counters.items[i].name, counter) == 0) value = counted.counters.items[i].value;
    msgpack_zone_free(zone);
    return value;
}

static void an_http_client_is_dropped_and_counted(void **test) {
    (void)test;
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    int browser = http_client(port);
    while (count_of("dropped") < 10) continue; /* asks until they have been read */
    assert_int_equal(count_of("refusals"), 0);
    void *client = client_connected(ZMQ_REQ);
    ask_client(client, "hello");
    assert_client_gets(client, "hello");
    close(browser);
    zmq_close(client);
    stop(thread, "echo");
}

/* Answers once its timer has gone off. */
static int on_late(void *state, uint64_t ticket, fault_t *why) {
    (void)why;
    echo_t *echo = state;
    echo_answer(echo, ticket, "late", 0);
    return 0;
}

static int on_status_late(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    echo_t *echo = state;
    actor_after(echo->me, 2000, on_late, in->ticket);
    return 0;
}

static const actor_class_t late_class = {
    .name = "late",
    .doc = "Answers late.",
    .create = echo_create,
    .destroy = echo_destroy,
    .takes = {[MSG_TEST_STREAM_STATUS] = on_status_late},
    .doors = {{DOOR_ROUTER, ENDPOINT_COMMANDS, SCOPE_COMMANDS}},
};

static void a_timer_goes_off_when_it_is_due(void **test) {
    (void)test;
    pthread_t thread = start(&late_class, "late");
    expect("late", MSG_ACTOR_READY);
    void *client = client_connected(ZMQ_DEALER);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    ask_client(client, "x");
    assert_client_gets(client, "late");
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000 >= 2000);
    zmq_close(client);
    stop(thread, "late");
}

/* Is attached to, and pings once its descriptor is readable; the other end attaches at its door and, pinged, is ready to be stopped. */
static int descriptors[2];

static int on_readable(void *state, int descriptor, fault_t *why) {
    echo_t *echo = state;
    char byte;
    if (read(descriptor, &byte, 1) != 1) return fault_errno(why, "cannot read the descriptor");
    actor_unwatch(echo->me, descriptor);
    actor_loaded(echo->me);
    return 0;
}

static void *create_watching(actor_t *me, bytes_t args, fault_t *why) {
    void *state = echo_create(me, args, why);
    actor_loading(me);
    actor_watch(me, descriptors[0], on_readable);
    return state;
}

static const actor_class_t watching_class = {
    .name = "watching", .doc = "Is ready when a descriptor is.", .create = create_watching, .destroy = echo_destroy};

static void a_thread_wakes_for_a_descriptor(void **test) {
    (void)test;
    assert_int_equal(pipe(descriptors), 0);
    pthread_t thread = start(&watching_class, "watching");
    assert_false(socket_readable(supervisor, 20));
    assert_int_equal(write(descriptors[1], "x", 1), 1);
    expect("watching", MSG_ACTOR_READY);
    stop(thread, "watching");
    close(descriptors[0]);
    close(descriptors[1]);
}

static int on_attach(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_source_attach_t *m = in->message;
    actor_answer(((echo_t *)state)->me, in->ticket, &(msg_source_attached_t){.source = 1, .job = m->tag, .next_seq = 1, .credit = 1});
    return 0;
}

static const actor_class_t router_class = {
    .name = "router",
    .doc = "Is attached to.",
    .create = echo_create,
    .destroy = echo_destroy,
    .takes = {[MSG_SOURCE_ATTACH] = on_attach},
    .doors = {{DOOR_ROUTER, ENDPOINT_INGEST, SCOPE_INGEST}},
};

static int on_attached(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)state, (void)context;
    return fault_set(why, "%s", answer->message ? "attached" : "refused");
}

static void *create_attaching(actor_t *me, bytes_t args, fault_t *why) {
    void *state = echo_create(me, args, why);
    actor_door_ask(me, 0, MSG_SOURCE_ATTACH, &(msg_source_attach_t){.tag = "t"}, NULL, on_attached, 0);
    return state;
}

static const actor_class_t dealer_class = {
    .name = "dealer",
    .doc = "Attaches, and fails to say how that went.",
    .create = create_attaching,
    .destroy = echo_destroy,
    .sends = {MSG_SOURCE_ATTACH},
    .doors = {{DOOR_DEALER, ENDPOINT_INGEST, SCOPE_INGEST}},
};

static void attach(const actor_class_t *first_class, const actor_class_t *second_class) {
    pthread_t first = start(first_class, first_class->name);
    expect(first_class->name, MSG_ACTOR_READY);
    pthread_t second = start(second_class, second_class->name);
    /* The one's end may come before the other's beginning: the switchboard reads them in turn. */
    for (bool attached = false, ready = false; !attached || !ready;) {
        received_t in = socket_receive(supervisor);
        bytes_t raw = received_bytes(&in, 2), value;
        head_t head;
        assert_true(head_decode(received_bytes(&in, 1), &head));
        if (head.id == MSG_ACTOR_READY && bytes_are(received_bytes(&in, 0), second_class->name)) ready = true;
        if (wire_map_get(raw, "why", &value) && bytes_are(value, "\xa8"
                                                                 "attached"))
            attached = true;
    }
    stop(second, second_class->name);
    stop(first, first_class->name);
}

static void a_source_inside_speaks_through_its_door(void **test) {
    (void)test;
    attach(&router_class, &dealer_class);
}

static void a_source_inside_may_start_before_whom_it_speaks_to(void **test) {
    (void)test;
    attach(&dealer_class, &router_class);
}

/* ---- rounds ---- */

enum { BATCH_BYTES = 512 * 1024 };

/* Sends whenever it is told that it may, and the first time waits then until that has been said often. */
static int on_may_send(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    static const uint8_t bytes[BATCH_BYTES];
    echo_t *echo = state;
    char byte;
    frame_t body;
    frame_copy_of(&body, (bytes_t){bytes, sizeof bytes});
    msg_source_batch_t batch = {.has_source = true, .source = 1, .tag = "t", .seq = ++echo->seen};
    actor_door_tell(echo->me, 0, MSG_SOURCE_BATCH, &batch, &body);
    if (echo->seen == 1) must(read(descriptors[0], &byte, 1) == 1);
    return 0;
}

static const actor_class_t sender_class = {
    .name = "sender",
    .doc = "Sends much for each little that it is told.",
    .create = create_attaching,
    .destroy = echo_destroy,
    .takes = {[MSG_SOURCE_ACK] = on_may_send},
    .sends = {MSG_SOURCE_ATTACH, MSG_SOURCE_BATCH},
    .doors = {{DOOR_DEALER, ENDPOINT_INGEST, SCOPE_INGEST}},
};

/* However much there is to send at its door, it hears the supervisor after a round or two. */
static void who_sends_much_for_little_hears_that_it_must_stop(void **test) {
    (void)test;
    enum { ACKS = 100, BATCHES_AT_MOST = 10 };
    assert_int_equal(pipe(descriptors), 0);
    void *router = zmq_socket(threads.network, ZMQ_ROUTER);
    int patience = PATIENCE_MS;
    zmq_setsockopt(router, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_bind(router, "inproc://ingest"), 0);
    pthread_t sender = start(&sender_class, "sender"), echo = start(&echo_class, "echo");
    for (int ready = 0; ready < 2; ready++) socket_receive(supervisor);
    received_t attached = socket_receive(router);
    for (int64_t seq = 1; seq <= ACKS; seq++)
        SEND(router, received_bytes(&attached, 0), pack("{sssisssi}", "op", "source.ack", "source", 1LL, "tag", "t", "seq", seq));
    socket_receive(router); /* its first batch: it waits */
    tell_actor("sender", MSG_ACTOR_STOP);
    ping("echo");
    expect("echo", MSG_ACTOR_PING); /* what the switchboard was given before this has arrived */
    assert_int_equal(write(descriptors[1], "x", 1), 1);
    expect("sender", MSG_ACTOR_STOPPED);
    pthread_join(sender, NULL);
    int batches = 1;
    for (; socket_readable(router, 0); batches++) socket_receive(router);
    assert_in_range(batches, 2, BATCHES_AT_MOST);
    zmq_close(router);
    stop(echo, "echo");
    close(descriptors[0]);
    close(descriptors[1]);
}

/* ---- lines ---- */

/* Says on its line that it was asked once more, and only then answers. */
static int on_asked_once_more(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    static const peer_t line = {.door = 1, .size = sizeof LINE_ID - 1, .id = LINE_ID};
    echo_t *echo = state;
    msg_progress_made_t made = {.recording = "r", .elements = ++echo->seen};
    actor_send(echo->me, &line, MSG_PROGRESS_MADE, &made, NULL);
    actor_answer(echo->me, in->ticket, &(msg_test_stream_t){.running = true, .replays = echo->seen});
    return 0;
}

static const actor_class_t teller_class = {
    .name = "teller",
    .doc = "Tells before it answers.",
    .create = echo_create,
    .destroy = echo_destroy,
    .takes = {[MSG_TEST_STREAM_STATUS] = on_asked_once_more},
    .sends = {MSG_PROGRESS_MADE},
    .doors = {{DOOR_ROUTER, ENDPOINT_COMMANDS, SCOPE_COMMANDS}, {DOOR_ROUTER, ENDPOINT_PROGRESS, SCOPE_INTERNAL}},
};

static int on_told_on_the_line(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    ((echo_t *)state)->seen = ((const msg_progress_made_t *)in->message)->elements;
    return 0;
}

static int on_asked_what_it_was_told(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const echo_t *echo = state;
    actor_answer(echo->me, in->ticket, &(msg_test_stream_t){.running = true, .replays = echo->seen});
    return 0;
}

static const actor_class_t listener_class = {
    .name = "listener",
    .doc = "Says what it was told last.",
    .create = echo_create,
    .destroy = echo_destroy,
    .takes = {[MSG_PROGRESS_MADE] = on_told_on_the_line, [MSG_TEST_STREAM_STATUS] = on_asked_what_it_was_told},
    .doors = {{DOOR_LINE, ENDPOINT_PROGRESS, SCOPE_INTERNAL}},
};

static int64_t replays_in(const received_t *in, size_t i) {
    bytes_t value;
    int64_t number = 0;
    if (!wire_map_get(received_bytes(in, i), "replays", &value) || !wire_int(value, &number)) fail_msg("no answer");
    return number;
}

/* The listener has many questions to read when it is told, and none of them may be answered as if it had not been. */
static void what_is_said_on_a_line_is_not_overtaken_by_what_it_led_to(void **test) {
    (void)test;
    enum { QUESTIONS = 20000, AHEAD = 100 };
    pthread_t teller = start(&teller_class, "teller"), listener;
    expect("teller", MSG_ACTOR_READY);
    listener = start(&listener_class, "listener");
    expect("listener", MSG_ACTOR_READY);
    void *client = client_connected(ZMQ_DEALER);
    for (int64_t asked = 0, answered = 0; answered < QUESTIONS;) {
        if (asked < QUESTIONS && asked < answered + AHEAD) {
            ask_client(client, "once more");
            received_t told = socket_receive(client);
            assert_int_equal(replays_in(&told, 0), ++asked);
            frame_t head;
            head_encode(&(head_t){HEAD_REQUEST, MSG_TEST_STREAM_STATUS, (uint64_t)asked}, &head);
            SEND(supervisor, TEXT_BYTES("listener"), frame_bytes(&head), pack("{ss}", "pipeline", "p"));
            frame_fini(&head);
        }
        if (asked < QUESTIONS && asked < answered + AHEAD && !socket_readable(supervisor, 0)) continue;
        received_t in = socket_receive(supervisor);
        assert_true(replays_in(&in, 2) >= ++answered);
    }
    zmq_close(client);
    stop(listener, "listener");
    stop(teller, "teller");
}

static void many_clients_at_once_each_get_their_own_answers(void **test) {
    (void)test;
    enum { CLIENTS = 20, QUESTIONS = 50 };
    pthread_t thread = start(&echo_class, "echo");
    expect("echo", MSG_ACTOR_READY);
    void *clients[CLIENTS];
    char name[32];
    for (int i = 0; i < CLIENTS; i++) clients[i] = client_connected(ZMQ_DEALER);
    for (int n = 0; n < QUESTIONS; n++)
        for (int i = 0; i < CLIENTS; i++) {
            snprintf(name, sizeof name, "%d of %d", n, i);
            ask_client(clients[i], name);
        }
    for (int i = 0; i < CLIENTS; i++) {
        for (int n = 0; n < QUESTIONS; n++) {
            snprintf(name, sizeof name, "%d of %d", n, i);
            assert_client_gets(clients[i], name);
        }
        zmq_close(clients[i]);
    }
    stop(thread, "echo");
}

#define THREAD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        THREAD_TEST(a_client_is_served_over_tcp),
        THREAD_TEST(a_connection_outlives_the_actors_state),
        THREAD_TEST(told_to_fail_an_actor_fails),
        THREAD_TEST(one_that_hangs_for_a_while_goes_on),
        THREAD_TEST(an_endpoint_that_is_taken_is_a_failed_start),
        THREAD_TEST(nine_frames_are_refused_and_the_next_message_is_served),
        THREAD_TEST(garbage_gets_an_error_on_any_socket),
        THREAD_TEST(an_http_client_is_dropped_and_counted),
        THREAD_TEST(a_timer_goes_off_when_it_is_due),
        THREAD_TEST(a_thread_wakes_for_a_descriptor),
        THREAD_TEST(a_source_inside_speaks_through_its_door),
        THREAD_TEST(a_source_inside_may_start_before_whom_it_speaks_to),
        THREAD_TEST(who_sends_much_for_little_hears_that_it_must_stop),
        THREAD_TEST(what_is_said_on_a_line_is_not_overtaken_by_what_it_led_to),
        THREAD_TEST(many_clients_at_once_each_get_their_own_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
