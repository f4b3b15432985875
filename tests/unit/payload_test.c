/* What a payload may be, and what is said of one that is not. */
#include "actors/sources/payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char urn[] = "reprise:source:generator:v1";

static int decode(bytes_t payload, msg_generator_payload_t *ret, fault_t *why) {
    msgpack_zone *zone = msgpack_zone_new(1024);
    assert_non_null(zone);
    int got = payload_decode(RECORD_CLASS(generator_payload), urn, payload, zone, ret, why);
    msgpack_zone_free(zone);
    return got;
}

#define GENERATOR_FIELDS "`rate`, `burst`, `size`, `size_max`, `count`, `seed`, `origin_us`, `out_of_order_ms`, `late` and `late_ms`"

static void assert_refused(bytes_t payload, const char *expected) {
    msg_generator_payload_t ignored;
    fault_t why = {.text = ""};
    assert_int_equal(decode(payload, &ignored, &why), -1);
    if (strcmp(why.text, expected) != 0) fail_msg("\"%s\" is not \"%s\"", why.text, expected);
}

#define PAYLOAD(text) ((bytes_t){(const uint8_t *)(text), sizeof(text) - 1})

static void an_absent_payload_is_as_an_empty_map(void **state) {
    (void)state;
    msg_generator_payload_t payload;
    fault_t why;
    assert_int_equal(decode((bytes_t){0}, &payload, &why), 0);
    assert_false(payload.has_rate);
    assert_int_equal(payload.count, LIMIT_NONE);
    assert_int_equal(decode(PAYLOAD("\x80"), &payload, &why), 0);
    assert_false(payload.has_rate);
}

static void its_fields_are_decoded(void **state) {
    (void)state;
    msg_generator_payload_t payload;
    fault_t why;
    assert_int_equal(decode(PAYLOAD("\x82\xa4rate\x05\xa5"
                                    "count\x07"),
                            &payload, &why),
                     0);
    assert_true(payload.has_rate);
    assert_true(payload.rate == 5.0);
    assert_int_equal(payload.count, 7);
}

static void a_field_of_the_wrong_type_is_named_with_its_urn(void **state) {
    (void)state;
    assert_refused(PAYLOAD("\x81\xa4rate\xa1x"), "`reprise:source:generator:v1`: `rate` must be a number, not text");
    assert_refused(PAYLOAD("\x81\xa4rate\xff"), "`reprise:source:generator:v1`: `rate` must be a number, 0 or more, not -1");
}

static void an_unknown_field_is_refused_and_the_known_ones_are_listed(void **state) {
    (void)state;
    assert_refused(PAYLOAD("\x81\xa3rte\x05"), "`reprise:source:generator:v1`: the payload has no field `rte`; it takes " GENERATOR_FIELDS);
    assert_refused(PAYLOAD("\x81\x05\x05"),
                   "`reprise:source:generator:v1`: the payload has a key that is no text; it takes " GENERATOR_FIELDS);
}

static void what_is_no_map_is_refused(void **state) {
    (void)state;
    assert_refused(PAYLOAD("\xc4\x01x"), "`reprise:source:generator:v1`: the payload must be a map of " GENERATOR_FIELDS ", not bytes");
    assert_refused(PAYLOAD("\x05"), "`reprise:source:generator:v1`: the payload must be a map of " GENERATOR_FIELDS ", not another value");
}

static void bytes_that_lie_are_refused_before_they_are_decoded(void **state) {
    (void)state;
    msg_generator_payload_t ignored;
    fault_t why;
    assert_int_equal(decode(PAYLOAD("\xdf\xff\xff\xff\xff"), &ignored, &why), -1);
    assert_int_equal(decode(PAYLOAD("\x81\xa4rat"), &ignored, &why), -1);
}

static void a_choice_is_one_of_a_list_and_the_first_by_default(void **state) {
    static const char *const units[] = {"us", "ms", "s", NULL};
    unsigned choice = 9;
    fault_t why;
    (void)state;
    assert_int_equal(payload_choice(urn, "unit", NULL, units, &choice, &why), 0);
    assert_int_equal(choice, 0);
    assert_int_equal(payload_choice(urn, "unit", "s", units, &choice, &why), 0);
    assert_int_equal(choice, 2);
    assert_int_equal(payload_choice(urn, "unit", "h", units, &choice, &why), -1);
    assert_string_equal(why.text, "`reprise:source:generator:v1`: `unit` must be `us`, `ms` or `s`, not `h`");
    assert_int_equal(choice, 2);
}

static const char *file_with(const char *bytes, size_t size) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/reprise-password-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, bytes, size) == (ssize_t)size);
    close(file);
    return path;
}

static void a_password_is_what_stands_in_its_file_without_the_line_break(void **state) {
    static const struct {
        const char *bytes, *password;
    } files[] = {{"secret", "secret"}, {"secret\n", "secret"}, {"secret\r\n", "secret"}, {"two words \n\n", "two words \n"}, {"", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char password[16];
        fault_t why;
        const char *path = file_with(files[i].bytes, strlen(files[i].bytes));
        if (payload_password(urn, path, "", password, sizeof password, &why) < 0) fail_msg("%s", why.text);
        assert_string_equal(password, files[i].password);
        unlink(path);
    }
}

static void what_cannot_be_a_password_is_refused_and_the_file_is_named(void **state) {
    char password[8] = "before";
    fault_t why;
    (void)state;
    assert_int_equal(payload_password(urn, "/nowhere/secret", "", password, sizeof password, &why), -1);
    assert_string_equal(why.text, "`reprise:source:generator:v1`: `password_file`: cannot read /nowhere/secret: No such file or directory");
    assert_int_equal(payload_password(urn, "/tmp", "", password, sizeof password, &why), -1);
    const struct {
        const char *bytes;
        size_t size;
    } files[] = {{"too long", 8}, {"a\0b", 3}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path = file_with(files[i].bytes, files[i].size);
        assert_int_equal(payload_password(urn, path, "", password, sizeof password, &why), -1);
        assert_non_null(strstr(why.text, path));
        assert_non_null(strstr(why.text, "text of less than 8 bytes"));
        unlink(path);
    }
}

/* Whoever opens it waits until somebody writes, which may be for ever. */
static void what_is_no_file_is_not_opened(void **state) {
    char folder[] = "/tmp/reprise-pipe-XXXXXX", path[64], password[8];
    fault_t why;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(payload_password(urn, path, "", password, sizeof password, &why), -1);
    assert_non_null(strstr(why.text, "/pipe is not a file"));
    assert_int_equal(payload_file_check(urn, "tls_ca", path, "", &why), -1);
    assert_non_null(strstr(why.text, "`tls_ca`: /tmp/reprise-pipe-"));
    assert_int_equal(payload_file_check(urn, "tls_ca", "/dev/zero", "", &why), -1);
    assert_int_equal(payload_file_check(urn, "tls_ca", "/etc", "", &why), 0); /* certificates may stand in a folder */
    unlink(path);
    rmdir(folder);
}

static void the_engines_own_key_is_no_password(void **state) {
    char folder[] = "/tmp/reprise-keys-XXXXXX", path[64], password[256];
    fault_t why;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/server.key", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("secret", file);
    fclose(file);
    assert_int_equal(payload_password(urn, path, folder, password, sizeof password, &why), -1);
    assert_non_null(strstr(why.text, "is the engine's own key, which is nobody's to use"));
    assert_int_equal(payload_password(urn, path, "", password, sizeof password, &why), 0);
    unlink(path);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absent_payload_is_as_an_empty_map),
        cmocka_unit_test(its_fields_are_decoded),
        cmocka_unit_test(a_field_of_the_wrong_type_is_named_with_its_urn),
        cmocka_unit_test(an_unknown_field_is_refused_and_the_known_ones_are_listed),
        cmocka_unit_test(what_is_no_map_is_refused),
        cmocka_unit_test(bytes_that_lie_are_refused_before_they_are_decoded),
        cmocka_unit_test(a_choice_is_one_of_a_list_and_the_first_by_default),
        cmocka_unit_test(a_password_is_what_stands_in_its_file_without_the_line_break),
        cmocka_unit_test(what_cannot_be_a_password_is_refused_and_the_file_is_named),
        cmocka_unit_test(what_is_no_file_is_not_opened),
        cmocka_unit_test(the_engines_own_key_is_no_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
