/* The command line: what is typed reaches the command, and what is wrong never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bin/client/command.h"
#include "bin/client/units.h"

/* What the last call of the command below saw. */
static struct seen {
    int calls;
    int count;
    char first[32];
    char name[32];
    size_t tags;
    bool wait, json;
    int64_t timeout_ms, count_limit;
    char engine[64];
} seen;

static status_t echo(client_t *client, const call_t *call) {
    msg_limits_t limits;
    status_t status = call_limits(client, call, &limits);
    if (status != STATUS_OK) {
        return status;
    }
    const char *name = call_value(call, "name");
    names_t tags = call_names(call, "tag");
    int calls = seen.calls + 1;
    seen = (struct seen){
        .calls = calls, .count = call->count, .wait = call_has(call, "wait"), .json = client->json, .timeout_ms = client->timeout_ms};
    seen.tags = tags.count;
    seen.count_limit = limits.count;
    snprintf(seen.first, sizeof seen.first, "%s", call->count ? call->arguments[0] : "");
    snprintf(seen.name, sizeof seen.name, "%s", name ? name : "");
    snprintf(seen.engine, sizeof seen.engine, "%s", client->engine);
    free(tags.items);
    return strcmp(seen.first, "refuse") == 0 ? client_fail(client, STATUS_FAILED, "`refuse` is refused") : STATUS_OK;
}

static const flag_t echo_flags[] = {{"name", "N", "d"}, {"tag", "T", "d"}, {"wait", NULL, "d"}, {"limit", "L", "d"}, {0}};
static const command_t command_echo = {
    .name = "echo", .synopsis = "A [B]", .doc = "d", .arguments_min = 1, .arguments_max = 2, .flags = echo_flags, .run = echo};
const command_t *const commands[] = {&command_echo, NULL};

static int line_run(const char *const words[]) {
    char *copies[16] = {strdup("reprise")};
    int count = 1;
    for (; words[count - 1]; count++) {
        copies[count] = strdup(words[count - 1]);
    }
    int status = command_main(count, copies);
    for (int i = 0; i < count; i++) {
        free(copies[i]);
    }
    return status;
}
#define RUN(...) line_run((const char *const[]){__VA_ARGS__, NULL})

static void flags_and_arguments_reach_the_command_in_any_order(void **state) {
    (void)state;
    assert_int_equal(RUN("echo", "--tag", "x", "one", "--wait", "--name=first", "--tag", "y", "--name", "last", "--limit", "5"), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.first, "one");
    assert_string_equal(seen.name, "last");
    assert_int_equal(seen.tags, 2);
    assert_true(seen.wait);
    assert_int_equal(seen.count_limit, 5);
}

static void common_flags_stand_before_or_after_the_command(void **state) {
    (void)state;
    assert_int_equal(RUN("--json", "--engine", "tcp://a:1", "echo", "one", "--timeout", "3s"), 0);
    assert_true(seen.json);
    assert_string_equal(seen.engine, "tcp://a:1");
    assert_int_equal(seen.timeout_ms, 3000);
    assert_int_equal(RUN("echo", "one"), 0);
    assert_false(seen.json);
}

static void the_environment_names_the_engine(void **state) {
    (void)state;
    setenv("REPRISE_ENGINE", "tcp://b:2", 1);
    assert_int_equal(RUN("echo", "one"), 0);
    assert_string_equal(seen.engine, "tcp://b:2");
    assert_int_equal(RUN("echo", "one", "--engine", "tcp://c:3"), 0);
    assert_string_equal(seen.engine, "tcp://c:3");
    unsetenv("REPRISE_ENGINE");
    assert_int_equal(RUN("echo", "one"), 0);
    assert_string_equal(seen.engine, "tcp://127.0.0.1:5570");
}

static void wrong_lines_are_usage_errors_and_run_nothing(void **state) {
    (void)state;
    seen.calls = 0;
    assert_int_equal(RUN("echo"), 2);
    assert_int_equal(RUN("echo", "1", "2", "3"), 2);
    assert_int_equal(RUN("echo", "1", "--bogus"), 2);
    assert_int_equal(RUN("echo", "1", "--name"), 2);
    assert_int_equal(RUN("echo", "1", "--wait=yes"), 2);
    assert_int_equal(RUN("echo", "1", "--limit", "5q"), 2);
    assert_int_equal(RUN("echo", "1", "--timeout", "5"), 2);
    assert_int_equal(RUN("nothing"), 2);
    assert_int_equal(RUN("--bogus"), 2);
    assert_int_equal(seen.calls, 0);
}

static void help_runs_nothing_and_is_no_error(void **state) {
    (void)state;
    seen.calls = 0;
    assert_int_equal(RUN("--help"), 0);
    assert_int_equal(RUN("echo", "--help"), 0);
    assert_int_equal(RUN("--version"), 0);
    assert_int_equal(seen.calls, 0);
}

static void a_refusal_is_exit_status_1(void **state) {
    (void)state;
    assert_int_equal(RUN("echo", "refuse"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_and_arguments_reach_the_command_in_any_order),
        cmocka_unit_test(common_flags_stand_before_or_after_the_command),
        cmocka_unit_test(the_environment_names_the_engine),
        cmocka_unit_test(wrong_lines_are_usage_errors_and_run_nothing),
        cmocka_unit_test(help_runs_nothing_and_is_no_error),
        cmocka_unit_test(a_refusal_is_exit_status_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
