/* The questions that libzmq itself asks, and what it makes of the answers: a connection is let in by a plain yes, and by nothing else. */
#include "knock.h"

#include <msgpack.h>

#include "messages/codec.h"

static knock_t k;
static char public_key[41], secret_key[41];

static int set_up(void **test) {
    (void)test;
    knock_open(&k, ZMQ_ROUTER, "commands");
    return 0;
}

static int tear_down(void **test) {
    (void)test;
    knock_close(&k);
    return 0;
}

/* The question as an actor is asked it. */
static const msg_zap_admit_t *asked(msgpack_zone *zone, const frame_t *frames, size_t count) {
    msg_zap_admit_t *admit = msgpack_zone_malloc(zone, sizeof *admit);
    frame_t message;
    refusal_t no;
    zap_question(frames, count, &message);
    bytes_t raw = frame_bytes(&message);
    uint8_t *kept = msgpack_zone_malloc(zone, raw.size);
    memcpy(kept, raw.data, raw.size);
    frame_fini(&message);
    if (message_decode(MSG_ZAP_ADMIT, (bytes_t){kept, raw.size}, zone, admit, &no) < 0) fail_msg("%s", no.message);
    return admit;
}

static void assert_asked(const char *mechanism, bytes_t key) {
    frame_t frames[FRAMES_MAX];
    size_t count = knock_question(&k, frames);
    msgpack_zone *zone = msgpack_zone_new(1024);
    const msg_zap_admit_t *admit = asked(zone, frames, count);
    assert_string_equal(admit->endpoint, "commands");
    assert_string_equal(admit->address, "127.0.0.1");
    assert_string_equal(admit->mechanism, mechanism);
    assert_int_equal(admit->key.size, key.size);
    assert_memory_equal(admit->key.data, key.data, key.size);
    msgpack_zone_free(zone);
    knock_free(frames, count);
}

static void who_has_no_key_is_asked_about_with_none(void **test) {
    (void)test;
    knocker_t one = knocker_at(&k, ZMQ_DEALER, NULL);
    assert_asked("NULL", (bytes_t){(const uint8_t *)"", 0});
    knock_reply(&k, pack("{sf}", "ok"));
    knocker_leave(&one);
}

static void a_key_is_asked_about_as_its_32_bytes(void **test) {
    (void)test;
    int on = 1;
    uint8_t bytes[32];
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    zmq_setsockopt(k.door, ZMQ_CURVE_SERVER, &on, sizeof on);
    zmq_setsockopt(k.door, ZMQ_CURVE_SECRETKEY, secret_key, 41);
    assert_int_equal(zmq_unbind(k.door, k.endpoint), 0); /* what is set holds for what is bound after it */
    assert_int_equal(zmq_bind(k.door, "tcp://127.0.0.1:*"), 0);
    size_t size = sizeof k.endpoint;
    assert_int_equal(zmq_getsockopt(k.door, ZMQ_LAST_ENDPOINT, k.endpoint, &size), 0);
    void *one = zmq_socket(k.outside, ZMQ_DEALER);
    zmq_setsockopt(one, ZMQ_CURVE_SERVERKEY, public_key, 41);
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    zmq_setsockopt(one, ZMQ_CURVE_PUBLICKEY, public_key, 41);
    zmq_setsockopt(one, ZMQ_CURVE_SECRETKEY, secret_key, 41);
    assert_int_equal(zmq_connect(one, k.endpoint), 0);
    assert_non_null(zmq_z85_decode(bytes, public_key));
    assert_asked("CURVE", (bytes_t){bytes, sizeof bytes});
    knock_reply(&k, pack("{sf}", "ok"));
    zmq_close(one);
}

static void a_yes_lets_it_in_under_the_name_that_was_said(void **test) {
    (void)test;
    knocker_t one = knocker_at(&k, ZMQ_DEALER, "id");
    knock_let_in(&k, "1 write KEY alice");
    assert_int_equal(knocker_hears(&one), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    SEND(one.socket, TEXT_BYTES("hello"));
    frame_t frame;
    frame_init(&frame);
    assert_true(frame_receive(&frame, k.door, 0));
    assert_true(frame_receive(&frame, k.door, 0));
    assert_true(bytes_are(frame_bytes(&frame), "hello"));
    assert_string_equal(zmq_msg_gets(&frame.msg, "User-Id"), "1 write KEY alice");
    frame_fini(&frame);
    knocker_leave(&one);
}

static void whatever_is_no_plain_yes_is_a_no(void **test) {
    (void)test;
    const bytes_t noes[] = {
        pack("{sfss}", "ok", "user", "1 write KEY alice"),
        pack("{siss}", "ok", 1LL, "user", "1 write KEY alice"),
        pack("{ss}", "user", "1 write KEY alice"),
        pack("{st}", "ok"),
        pack("{stss}", "ok", "user", ""),
        pack("{stsi}", "ok", "user", 1LL),
        pack("[t]"),
    };
    const bytes_t garbage[] = {BYTES(""), BYTES("\xc1"), BYTES("\x82\xa2ok\xc3"), BYTES("\xdf\xff\xff\xff\xff")};
    size_t count = sizeof noes / sizeof noes[0], all = count + sizeof garbage / sizeof garbage[0];
    for (size_t i = 0; i < all; i++) {
        frame_t frames[FRAMES_MAX];
        knocker_t one = knocker_at(&k, ZMQ_DEALER, NULL);
        knock_free(frames, knock_question(&k, frames));
        knock_reply(&k, i < count ? noes[i] : garbage[i - count]);
        assert_int_not_equal(knocker_hears(&one), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
        knocker_leave(&one);
    }
}

/* What a stranger can put there must not reach a terminal, nor be too long for it. */
static void what_is_said_of_the_address_is_kept_to_what_can_be_printed(void **test) {
    (void)test;
    char longest[1000];
    memset(longest, 'a', sizeof longest);
    const bytes_t texts[] = {
        BYTES("1.0"), BYTES("1"), BYTES("com\0mands\n"), {(uint8_t *)longest, sizeof longest}, BYTES(""), BYTES("NU\x1b[31mLL\xff")};
    frame_t frames[6];
    for (size_t i = 0; i < 6; i++) frame_copy_of(&frames[i], texts[i]);
    msgpack_zone *zone = msgpack_zone_new(1024);
    const msg_zap_admit_t *admit = asked(zone, frames, 6);
    assert_string_equal(admit->endpoint, "commands");
    assert_int_equal(strlen(admit->address), 255);
    assert_string_equal(admit->mechanism, "NU[31mLL");
    admit = asked(zone, frames, 2);
    assert_string_equal(admit->endpoint, "");
    assert_string_equal(admit->mechanism, "");
    msgpack_zone_free(zone);
    knock_free(frames, 6);
}

#define ZAP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ZAP_TEST(who_has_no_key_is_asked_about_with_none),
        ZAP_TEST(a_key_is_asked_about_as_its_32_bytes),
        ZAP_TEST(a_yes_lets_it_in_under_the_name_that_was_said),
        ZAP_TEST(whatever_is_no_plain_yes_is_a_no),
        ZAP_TEST(what_is_said_of_the_address_is_kept_to_what_can_be_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
