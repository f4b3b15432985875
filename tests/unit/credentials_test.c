/* A client's keys: from files as CZMQ and `reprise keygen` write them, given or named by the environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "bin/library/credentials.h"

static char folder[64], own[96], server[96];
static char public_key[41], secret_key[41], server_key[41];

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **test) {
    (void)test;
    char text[512], unused[41];
    snprintf(folder, sizeof folder, "/tmp/reprise-credentials-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(own, sizeof own, "%s/own.key", folder);
    snprintf(server, sizeof server, "%s/server.pub", folder);
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    assert_int_equal(zmq_curve_keypair(server_key, unused), 0);
    snprintf(text, sizeof text, "#   A secret key\nmetadata\n    name = \"me\"\ncurve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
             public_key, secret_key);
    write_text(own, text);
    snprintf(text, sizeof text, "metadata\ncurve\n    public-key = \"%s\"\n", server_key);
    write_text(server, text);
    unsetenv("REPRISE_KEY");
    return unsetenv("REPRISE_SERVER_KEY");
}

static int tear_down(void **test) {
    (void)test;
    unlink(own);
    unlink(server);
    return rmdir(folder);
}

static void assert_read(const credentials_t *read) {
    assert_true(read->given);
    assert_string_equal(read->public_key, public_key);
    assert_string_equal(read->secret_key, secret_key);
    assert_string_equal(read->server_key, server_key);
}

static void both_are_read_from_their_files(void **test) {
    (void)test;
    credentials_t read;
    fault_t why;
    assert_int_equal(credentials_read(own, server, &read, &why), 0);
    assert_read(&read);
}

static void the_engines_may_be_given_as_it_is(void **test) {
    (void)test;
    credentials_t read;
    fault_t why;
    assert_int_equal(credentials_read(own, server_key, &read, &why), 0);
    assert_read(&read);
}

static void what_is_not_given_comes_from_the_environment(void **test) {
    (void)test;
    credentials_t read;
    fault_t why;
    setenv("REPRISE_KEY", own, 1);
    setenv("REPRISE_SERVER_KEY", "/nowhere", 1);
    assert_int_equal(credentials_read(NULL, server, &read, &why), 0);
    assert_read(&read);
    setenv("REPRISE_SERVER_KEY", server_key, 1);
    assert_int_equal(credentials_read(NULL, NULL, &read, &why), 0);
    assert_read(&read);
}

static void without_either_there_are_none(void **test) {
    (void)test;
    credentials_t read = {.given = true};
    fault_t why;
    setenv("REPRISE_KEY", "", 1); /* as unset */
    assert_int_equal(credentials_read(NULL, NULL, &read, &why), 0);
    assert_false(read.given);
}

static void one_without_the_other_is_refused_and_nothing_is_changed(void **test) {
    (void)test;
    credentials_t read = {.server_key = "as it was"};
    fault_t why;
    assert_int_equal(credentials_read(own, NULL, &read, &why), -1);
    assert_non_null(strstr(why.text, "--server-key"));
    assert_int_equal(credentials_read(NULL, server_key, &read, &why), -1);
    assert_non_null(strstr(why.text, "--key"));
    assert_string_equal(read.server_key, "as it was");
}

static void a_file_that_has_no_such_key_is_named(void **test) {
    (void)test;
    credentials_t read;
    fault_t why;
    char text[256];
    assert_int_equal(credentials_read("/nowhere/own.key", server, &read, &why), -1);
    assert_non_null(strstr(why.text, "/nowhere/own.key: No such file"));
    assert_int_equal(credentials_read(server, server, &read, &why), -1); /* a public key has no secret */
    assert_non_null(strstr(why.text, "server.pub has no secret-key"));
    snprintf(text, sizeof text, "curve\n    public-key = \"%.39s\"\n", server_key);
    write_text(server, text);
    assert_int_equal(credentials_read(own, server, &read, &why), -1);
    assert_non_null(strstr(why.text, "server.pub has no public-key"));
    write_text(server, "public-key = \"spaces are none of the eighty-five signs\"\n");
    assert_int_equal(credentials_read(own, server, &read, &why), -1);
    write_text(server, "");
    assert_int_equal(credentials_read(own, server, &read, &why), -1);
}

#define CREDENTIALS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CREDENTIALS_TEST(both_are_read_from_their_files),
        CREDENTIALS_TEST(the_engines_may_be_given_as_it_is),
        CREDENTIALS_TEST(what_is_not_given_comes_from_the_environment),
        CREDENTIALS_TEST(without_either_there_are_none),
        CREDENTIALS_TEST(one_without_the_other_is_refused_and_nothing_is_changed),
        CREDENTIALS_TEST(a_file_that_has_no_such_key_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
