/* The ZeroMQ source: which payloads and cursors it takes, what it says of what is lost, and that it stops reading where nothing is taken. */
#include <time.h>
#include <unistd.h>

#include "ingest_double.h"
#include "pack.h"
#include "sockets.h"

extern const actor_class_t source_zmq_class;

/* Each test's own: what pushes or publishes, and where. */
static void *context, *outside;
static char endpoint[64];

static int setup(void **state) {
    int none = 0, patience = PATIENCE_MS;
    context = zmq_ctx_new();
    outside = zmq_socket(context, ZMQ_XPUB);
    assert_non_null(outside);
    zmq_setsockopt(outside, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(outside, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_setsockopt(outside, ZMQ_SNDHWM, &none, sizeof none);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port_free());
    assert_int_equal(zmq_bind(outside, endpoint), 0);
    return ingest_setup(state);
}

static int teardown(void **state) {
    ingest_teardown(state);
    zmq_close(outside);
    zmq_ctx_term(context);
    return 0;
}

static void start(stage_t *stage, bytes_t payload) {
    stage_add(stage, &source_zmq_class, "source:1", ingest_args(payload));
    stage_run(stage);
}

enum { QUIET_MS = 200 }; /* in which what is let through would have come many times over */

static bool patient(const struct timespec *since) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000 < PATIENCE_MS;
}

/* Sockets have threads of their own, so the stage runs until what they do has come to it. */
#define RUN_UNTIL(stage, condition)                                                                                                        \
    do {                                                                                                                                   \
        struct timespec since;                                                                                                             \
        clock_gettime(CLOCK_MONOTONIC, &since);                                                                                            \
        while (!(condition)) {                                                                                                             \
            stage_run(stage);                                                                                                              \
            if (!patient(&since)) fail_msg("it never came to `%s`", #condition);                                                           \
        }                                                                                                                                  \
    } while (0)

/* Somebody listens, to everything or to a topic of one letter. */
static bool is_subscribed(void) {
    uint8_t word[16];
    return zmq_recv(outside, word, sizeof word, ZMQ_DONTWAIT) > 0 && word[0] == 1;
}

static bool socket_writable(void *socket, long patience_ms) {
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLOUT, 0};
    return zmq_poll(&item, 1, patience_ms) > 0;
}

static void publish(int from, int to) {
    for (int i = from; i < to; i++) {
        char text[24];
        assert_true(zmq_send(outside, text, (size_t)snprintf(text, sizeof text, "%d", i), 0) > 0);
    }
}

static void assert_in_order(int from, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) assert_int_equal(strtol(ingest.elements[i].text, NULL, 10), from + (int)(i - first));
}

/* ---- payloads ---- */

/* "server=a:1 bind=true queue=7": true and numbers are what they look like. */
static bytes_t payload_of(const char *text) {
    static msgpack_sbuffer out;
    msgpack_packer packer;
    char copy[256], *rest = copy, *field;
    uint32_t count = 0;
    snprintf(copy, sizeof copy, "%s", text);
    for (const char *at = text; *at; at++) count += *at == '=';
    msgpack_sbuffer_destroy(&out);
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, count);
    while (count-- > 0 && (field = strsep(&rest, " "))) {
        char *value = strchr(field, '='), *end;
        *value++ = '\0';
        long long number = strtoll(value, &end, 10);
        msgpack_pack_str_with_body(&packer, field, strlen(field));
        if (strcmp(value, "true") == 0)
            msgpack_pack_true(&packer);
        else if (*value && !*end)
            msgpack_pack_int64(&packer, number);
        else
            msgpack_pack_str_with_body(&packer, value, strlen(value));
    }
    return (bytes_t){(const uint8_t *)out.data, out.size};
}

static void a_payload_that_cannot_be_is_refused_and_its_field_named(void **state) {
    static const struct {
        const char *payload, *expected;
    } wrong[] = {
        {"", "`server`"},
        {"server=", "`server` has"},
        {"server=host", "`server` has `host`, which is neither host:port nor"},
        {"server=host:0", "`host:0`"},
        {"server=:5556", "`:5556`"},
        {"server=a:1,,b:2", "`server` has"},
        {"server=inproc://a", "`inproc://a`"},
        {"server=ipc://relative", "`ipc://relative`"},
        {"server=ipc://*", "`ipc://*`"},
        {"server=a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9", "`server` has more than 8 endpoints"},
        {"server=a:1 socket=req", "`socket` must be `sub` or `pull`, not `req`"},
        {"server=a:1 parts=first", "`parts` must be `last`, `join`, `each` or `list`, not `first`"},
        {"server=a:1 queue=1000001", "`queue` must be at most 1000000, not 1000001"},
        {"server=a:1 socket=pull topics=a", "`topics` are for `sub`"},
        {"server=a:1 parts=list key=/id", "a `list` of parts is no JSON, which `key` needs"},
        {"server=127.0.0.1:1 bind=true sequence=0x", "`sequence` is of one sender"},
        {"server=a:1 sequence=64.", "`sequence` must be a JSON pointer such as `/seq` or the number of a part from 0 to 63, not `64.`"},
        {"server=a:1 sequence=/seq parts=each", "`sequence` is a JSON pointer, and with `parts` `each`"},
        {"server=a:1 event_time=system", "`event_time` must be `arrival` or a JSON pointer"},
        {"server=a:1 username=me", "`username` and `password_file` belong together"},
        {"server=a:1 username=me password_file=/nowhere", "cannot read /nowhere"},
        {"server=a:1 server_key=short", "`server_key` is neither a key of 40 characters nor a file with one"},
        {"server=a:1 key_file=/nowhere", "`key_file` needs the `server_key`"},
        {"server=a:1 keys=/nowhere", "`keys` are for `bind`"},
        {"server=a:1 bind=true server_key=short", "`server_key` is to connect"},
        {"server=127.0.0.1:1 bind=true keys=/nowhere", "`keys`: cannot read the engine's key /nowhere/server.key"},
        {"server=0.0.0.0:1 bind=true", "tcp://0.0.0.0:1 can be reached from other machines"},
        {"server=127.0.0.1:1,*:1 bind=true", "tcp://*:1 can be reached from other machines"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        stage_t *stage = *state;
        char name[24];
        snprintf(name, sizeof name, "source:%zu", i + 10);
        stage_add(stage, &source_zmq_class, name, ingest_args(payload_of(wrong[i].payload)));
        stage_run(stage);
        if (!strstr(stage_failure(stage, name), wrong[i].expected))
            fail_msg("“%s” is not said of %s: %s", wrong[i].expected, wrong[i].payload, stage_failure(stage, name));
    }
    assert_int_equal(ingest.attaches, 0);
}

/* ---- cursors ---- */

static void a_cursor_that_is_not_its_own_fails_the_source(void **state) {
    const bytes_t wrong[] = {BYTES("\xa1x"),
                             BYTES("\x93\1\2\3"),
                             BYTES("\x95\1\2\3\4\5"),
                             BYTES("\x94\1\2\3\xff"),
                             BYTES("\x94\1\xd3\x80\0\0\0\0\0\0\0\3\4"),
                             BYTES("\x94\1\2\xff\4"),
                             BYTES("\x94\xcf\xff\xff\xff\xff\xff\xff\xff\xff\2\3\4")};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        void *own = NULL;
        ingest_setup(&own);
        memcpy(ingest.cursor, wrong[i].data, wrong[i].size);
        ingest.cursor_size = wrong[i].size;
        start(own, pack("{ss}", "server", endpoint));
        if (strcmp(ingest.failure, "the cursor of the recording is not one of `reprise:source:zmq:v1`") != 0)
            fail_msg("cursor %zu was taken: %s", i, ingest.failure);
        ingest_teardown(&own);
    }
}

static void what_came_before_this_run_ends_in_a_gap_since_its_last_message(void **state) {
    const int64_t now = stage_now(*state);
    const bytes_t cursor = pack("[iiii]", (long long)now - 9000000, 70LL, (long long)now - 4000000, 0LL);
    memcpy(ingest.cursor, cursor.data, cursor.size);
    ingest.cursor_size = cursor.size;
    start(*state, pack("{ss}", "server", endpoint));
    RUN_UNTIL(*state, is_subscribed());
    RUN_UNTIL(*state, ingest.gaps == 1);
    assert_int_equal(ingest.gap_lost_us, 4000000);
    assert_non_null(strstr(ingest.gap, "this source was started anew"));
    publish(0, 10);
    RUN_UNTIL(*state, ingest.count == 10);
    assert_int_equal(ingest.gap_at, 0);
    assert_int_equal(ingest.gaps, 1);
}

static void the_first_run_has_no_gap_and_its_place_is_kept(void **state) {
    start(*state, pack("{ss}", "server", endpoint));
    assert_true(ingest.cursor_size > 0);
    RUN_UNTIL(*state, is_subscribed());
    publish(0, 10);
    RUN_UNTIL(*state, ingest.count == 10);
    assert_int_equal(ingest.gaps, 0);
    assert_in_order(0, 0, 10);
}

/* What the recorder lost is counted, and the source goes on with what comes next. */
static void batches_that_vanish_are_a_gap_with_their_count(void **state) {
    start(*state, pack("{ss}", "server", endpoint));
    RUN_UNTIL(*state, is_subscribed());
    publish(0, 10);
    RUN_UNTIL(*state, ingest.count == 10);
    ingest.deaf = true;
    publish(10, 17);
    int64_t before = ingest.batches;
    RUN_UNTIL(*state, ingest.vanished > 0);
    assert_int_equal(ingest.batches, before);
    ingest.deaf = false;
    ingest.source = 0; /* it knows nothing of this source any more */
    publish(17, 20);
    RUN_UNTIL(*state, ingest.gaps == 1 && ingest.attaches == 2);
    assert_non_null(strstr(ingest.gap, "messages that had come were lost"));
    int64_t lost = strtol(strrchr(ingest.gap, ' '), NULL, 10);
    assert_in_range(lost, 1, 10);
    publish(20, 25);
    RUN_UNTIL(*state, ingest.count == 25 - (size_t)lost);
    assert_in_order(0, 0, 10);
    assert_in_order(10 + (int)lost, 10, ingest.count);
    assert_int_equal(ingest.gap_at, 10);
}

/* ---- numbers ---- */

static void publish_number(int64_t number) {
    char text[48];
    assert_true(zmq_send(outside, text, (size_t)snprintf(text, sizeof text, "{\"n\": %lld}", (long long)number), 0) > 0);
}

static void start_numbered(stage_t *stage) {
    start(stage, pack("{ssss}", "server", endpoint, "sequence", "/n"));
    RUN_UNTIL(stage, is_subscribed());
}

/* The numbers that were recorded. */
static void assert_numbers(size_t count, const int64_t *numbers) {
    assert_int_equal(ingest.count, count);
    for (size_t i = 0; i < count; i++) assert_int_equal(strtol(strchr(ingest.elements[i].text, ':') + 1, NULL, 10), numbers[i]);
}
#define ASSERT_NUMBERS(...) assert_numbers(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static void a_number_that_was_skipped_is_a_gap_with_its_count_and_one_that_comes_again_is_left_out(void **state) {
    start_numbered(*state);
    static const int64_t sent[] = {70, 71, 71, 70, 75, 76, 3, 76, 77};
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) publish_number(sent[i]);
    RUN_UNTIL(*state, ingest.count == 5);
    stage_run(*state);
    ASSERT_NUMBERS(70, 71, 75, 76, 77);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 2);
    assert_int_equal(ingest.gap_lost_us, -1);
    assert_non_null(strstr(ingest.gap, ": 3 missing before message 75"));
}

static void a_number_is_8_bytes_of_a_part_or_the_source_fails(void **state) {
    uint8_t number[] = {0, 0, 0, 0, 0, 0, 1, 0};
    start(*state, pack("{ssss}", "server", endpoint, "sequence", "1"));
    RUN_UNTIL(*state, is_subscribed());
    for (uint8_t last = 1; last < 9; last += 2) {
        number[7] = last;
        SEND(outside, TEXT_BYTES("topic"), {number, sizeof number}, TEXT_BYTES("body"));
    }
    RUN_UNTIL(*state, ingest.count == 4);
    assert_int_equal(ingest.gaps, 3);
    assert_non_null(strstr(ingest.gap, ": 1 missing before message 263"));
    SEND(outside, TEXT_BYTES("topic"), TEXT_BYTES("short"), TEXT_BYTES("body"));
    RUN_UNTIL(*state, ingest.failure[0]);
    assert_non_null(strstr(ingest.failure, "message 5"));
    assert_non_null(strstr(ingest.failure, "its part 1 has 5 bytes, and a number has 8"));
}

/* The run before had recorded up to 79: what follows it exactly was not lost, whoever was away. */
static void start_behind_79(stage_t *stage) {
    const int64_t now = stage_now(stage);
    const bytes_t cursor = pack("[iiiii]", (long long)now - 9000000, 10LL, (long long)now - 4000000, 0LL, 80LL);
    memcpy(ingest.cursor, cursor.data, cursor.size);
    ingest.cursor_size = cursor.size;
    start_numbered(stage);
}

static void a_restart_that_lost_nothing_by_the_numbers_is_no_gap(void **state) {
    start_behind_79(*state);
    for (int number = 80; number < 83; number++) publish_number(number);
    RUN_UNTIL(*state, ingest.count == 3);
    assert_int_equal(ingest.gaps, 0);
}

static void a_restart_that_lost_something_by_the_numbers_is_a_gap_with_its_length_and_count(void **state) {
    start_behind_79(*state);
    for (int number = 95; number < 98; number++) publish_number(number);
    RUN_UNTIL(*state, ingest.count == 3);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 0);
    assert_int_equal(ingest.gap_lost_us, 4000000);
    assert_non_null(strstr(ingest.gap, ": this source was started anew; 15 missing before message 95"));
}

static void numbers_that_begin_anew_after_a_restart_are_taken(void **state) {
    start_behind_79(*state);
    for (int number = 1; number < 4; number++) publish_number(number);
    RUN_UNTIL(*state, ingest.count == 3);
    ASSERT_NUMBERS(1, 2, 3);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_lost_us, 4000000);
    assert_non_null(strstr(ingest.gap, "what was published meanwhile is missing"));
}

/* The message before which the gap stands waits with it. A batch uses up the credit, and another listener tells when what was published has
 * most likely come, so that the hole is seen with something before it in the batch. */
static void a_gap_for_which_there_is_no_room_is_said_once_there_is(void **state) {
    enum { ROUNDS = 20 };
    const int all = 1;
    char text[48];
    ingest.credit = 100;
    start_numbered(*state);
    zmq_setsockopt(outside, ZMQ_XPUB_VERBOSE, &all, sizeof all);
    void *witness = socket_connected(context, ZMQ_SUB, endpoint);
    zmq_setsockopt(witness, ZMQ_SUBSCRIBE, "", 0);
    RUN_UNTIL(*state, is_subscribed());
    for (int round = 0; round < ROUNDS; round++) {
        int64_t first = round * 100 + 1;
        const int64_t numbers[] = {first, first + 1, first + 99};
        ingest.hold_acks = true;
        for (int i = 0; i < 3; i++) {
            publish_number(numbers[i]);
            if (i == 0) RUN_UNTIL(*state, ingest.count == (size_t)round * 3 + 1);
        }
        for (int i = 0; i < 3; i++) assert_true(zmq_recv(witness, text, sizeof text, 0) > 0);
        ingest_do(*state, ingest_ack);
        ingest.hold_acks = false;
        RUN_UNTIL(*state, (ingest_do(*state, ingest_ack), ingest.count == (size_t)round * 3 + 3));
        assert_int_equal(ingest.gaps, round + 1);
        assert_int_equal(ingest.gap_at, round * 3 + 2);
    }
    zmq_close(witness);
}

/* ---- back-pressure ---- */

/* Frames of 100 kB: what lies in the sockets of the system is little against them. */
static void what_is_not_taken_is_not_read(void **state) {
    enum { LARGE = 100 * 1000, MANY = 1000 };
    static char large[LARGE];
    int queue = 5, none = 0, sent = 0;
    char there[64];
    void *pusher = zmq_socket(context, ZMQ_PUSH);
    assert_non_null(pusher);
    zmq_setsockopt(pusher, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(pusher, ZMQ_SNDHWM, &queue, sizeof queue);
    snprintf(there, sizeof there, "tcp://127.0.0.1:%d", port_free());
    assert_int_equal(zmq_bind(pusher, there), 0);
    ingest.hold_acks = true;
    ingest.credit = 300 * 1000;
    start(*state, pack("{sssssi}", "server", there, "socket", "pull", "queue", 5LL));
    RUN_UNTIL(*state, (sent += zmq_send(pusher, large, LARGE, ZMQ_DONTWAIT) > 0, ingest.batches >= 3));
    while (socket_writable(pusher, QUIET_MS)) { /* until it is made to wait */
        snprintf(large, sizeof large, "%d", sent);
        sent += zmq_send(pusher, large, LARGE, ZMQ_DONTWAIT) > 0;
        stage_run(*state);
        assert_true(sent < MANY);
    }
    assert_in_range(ingest.count, 3, 5);
    ingest.hold_acks = false;
    ingest_do(*state, ingest_ack);
    RUN_UNTIL(*state, ingest.count == (size_t)sent);
    for (; sent < MANY; sent++) RUN_UNTIL(*state, zmq_send(pusher, large, LARGE, ZMQ_DONTWAIT) > 0);
    RUN_UNTIL(*state, ingest.count == MANY);
    assert_int_equal(ingest.gaps, 0);
    zmq_close(pusher);
}

/* ---- the end ---- */

static void a_stop_ends_the_subscription(void **state) {
    uint8_t word[16];
    start(*state, pack("{ssss}", "server", endpoint, "topics", "a"));
    RUN_UNTIL(*state, is_subscribed());
    ingest_do(*state, ingest_stop);
    assert_int_equal(zmq_recv(outside, word, sizeof word, 0), 2);
    assert_memory_equal(word, "\0a", 2);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_payload_that_cannot_be_is_refused_and_its_field_named),
        TEST(a_cursor_that_is_not_its_own_fails_the_source),
        TEST(what_came_before_this_run_ends_in_a_gap_since_its_last_message),
        TEST(the_first_run_has_no_gap_and_its_place_is_kept),
        TEST(batches_that_vanish_are_a_gap_with_their_count),
        TEST(a_number_that_was_skipped_is_a_gap_with_its_count_and_one_that_comes_again_is_left_out),
        TEST(a_number_is_8_bytes_of_a_part_or_the_source_fails),
        TEST(a_restart_that_lost_nothing_by_the_numbers_is_no_gap),
        TEST(a_restart_that_lost_something_by_the_numbers_is_a_gap_with_its_length_and_count),
        TEST(numbers_that_begin_anew_after_a_restart_are_taken),
        TEST(a_gap_for_which_there_is_no_room_is_said_once_there_is),
        TEST(what_is_not_taken_is_not_read),
        TEST(a_stop_ends_the_subscription),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
