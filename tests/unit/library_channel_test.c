/* The parts of a connection that need no engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bin/library/channel.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_without_a_host_is_on_the_engines),
        cmocka_unit_test(an_answer_is_known_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
