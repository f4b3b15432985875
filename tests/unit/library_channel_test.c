/* The parts of a connection that need no engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bin/library/channel.h"
#include "bin/library/problem.h"

static void assert_reachable(const char *endpoint, const char *engine, const char *expected) {
    char reachable[128];
    channel_reachable(endpoint, engine, reachable, sizeof reachable);
    assert_string_equal(reachable, expected);
}

static void an_endpoint_without_a_host_is_on_the_engines(void **state) {
    (void)state;
    assert_reachable("tcp://0.0.0.0:5572", "tcp://host:5570", "tcp://host:5572");
    assert_reachable("tcp://*:5572", "tcp://10.0.0.1:5570", "tcp://10.0.0.1:5572");
    assert_reachable("tcp://[::]:5572", "tcp://[::1]:5570", "tcp://[::1]:5572");
    assert_reachable("tcp://127.0.0.1:5572", "tcp://host:5570", "tcp://127.0.0.1:5572");
    assert_reachable("ipc:///run/x", "tcp://host:5570", "ipc:///run/x");
    assert_reachable("tcp://*:5572", "ipc:///run/x", "tcp://*:5572");
}

static void an_answer_is_known_by_its_number(void **state) {
    (void)state;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    echo_t echo = echo_of(UINT64_C(0x0102030405060708));
    message_encode(MSG_OK, &(msg_ok_t){0}, true, (bytes_t){echo.data, sizeof echo.data}, &out);
    bytes_t answer = {(const uint8_t *)out.data, out.size};
    assert_true(echo_is(answer, UINT64_C(0x0102030405060708)));
    assert_false(echo_is(answer, UINT64_C(0x0102030405060709)));
    msgpack_sbuffer_clear(&out);
    message_encode(MSG_OK, &(msg_ok_t){0}, true, (bytes_t){0}, &out);
    assert_false(echo_is((bytes_t){(const uint8_t *)out.data, out.size}, 0));
    msgpack_sbuffer_destroy(&out);
}

static void a_letter_that_is_moved_keeps_its_bytes(void **state) {
    (void)state;
    letter_t from, to;
    letter_init(&from);
    letter_init(&to);
    /* A small frame holds its bytes itself, a large one elsewhere. */
    assert_int_equal(zmq_msg_init_size(&from.frames[0], 3), 0);
    assert_int_equal(zmq_msg_init_size(&from.frames[1], 1000), 0);
    memcpy(zmq_msg_data(&from.frames[0]), "abc", 3);
    memset(zmq_msg_data(&from.frames[1]), 'x', 1000);
    from.head = (bytes_t){zmq_msg_data(&from.frames[0]), 3};
    from.body = (bytes_t){zmq_msg_data(&from.frames[1]), 1000};
    letter_move(&to, &from);
    letter_fini(&from);
    memset(&from, 0, sizeof from);
    assert_int_equal(to.head.size, 3);
    assert_memory_equal(to.head.data, "abc", 3);
    assert_int_equal(to.body.size, 1000);
    assert_int_equal(to.body.data[999], 'x');
    letter_fini(&to);
}

static void a_connection_that_cannot_be_watched_says_so(void **state) {
    (void)state;
    channel_t channel;
    fault_t why;
    void *context = zmq_ctx_new();
    assert_int_equal(zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 2), 0);
    assert_int_equal(channel_open(&channel, context, "tcp://127.0.0.1:1", SCOPE_COMMANDS, -1, &why), 0);
    assert_int_equal(channel_watch(&channel, context, &why), -1);
    assert_string_equal(why.text, "cannot watch the connection to `tcp://127.0.0.1:1`: Too many open files");
    channel_close(&channel);
    zmq_ctx_term(context);
}

static void a_refusal_without_words_still_says_something(void **state) {
    (void)state;
    reprise_error_t error;
    assert_int_equal(problem_refused(&error, &(refusal_t){.code = ERROR_CONFLICT}), -1);
    assert_string_equal(error.code, "conflict");
    assert_string_equal(error.message, "the engine does not say why");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_without_a_host_is_on_the_engines), cmocka_unit_test(an_answer_is_known_by_its_number),
        cmocka_unit_test(a_letter_that_is_moved_keeps_its_bytes),       cmocka_unit_test(a_connection_that_cannot_be_watched_says_so),
        cmocka_unit_test(a_refusal_without_words_still_says_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
