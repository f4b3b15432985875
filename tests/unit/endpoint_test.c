/* Which endpoints other machines can reach. */
#include "actors/runtime/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void what_only_this_machine_reaches_is_local(void **state) {
    static const char *const local[] = {"ipc:///run/x", "tcp://127.0.0.1:5570", "tcp://127.9.9.9:1", "tcp://localhost:1", "tcp://[::1]:1"};
    static const char *const open[] = {
        "tcp://0.0.0.0:1",           "tcp://*:1",        "tcp://[::]:1", "tcp://192.168.0.1:1", "tcp://127.0.0.1.example:1", "tcp://eth0:1",
        "tcp://localhost.example:1", "udp://127.0.0.1:1"};
    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (!endpoint_is_local(local[i])) fail_msg("%s", local[i]);
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        if (endpoint_is_local(open[i])) fail_msg("%s", open[i]);
}

static void a_port_is_a_number_that_others_can_know(void **state) {
    static const char *const none[] = {"tcp://host", "tcp://host:", "tcp://host:*", "tcp://host:0", "tcp://host:65536", "tcp://host:1x"};
    (void)state;
    assert_true(endpoint_has_port("tcp://host:1"));
    assert_true(endpoint_has_port("tcp://[::1]:65535"));
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (endpoint_has_port(none[i])) fail_msg("%s", none[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_only_this_machine_reaches_is_local),
        cmocka_unit_test(a_port_is_a_number_that_others_can_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
