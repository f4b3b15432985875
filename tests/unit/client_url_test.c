/* A source as one types it, and endpoints that can be reached from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bin/client/url.h"
#include "bin/client/value.h"

static void assert_source(const char *url, const char *urn, const char *payload) {
    url_source_t source;
    fault_t why;
    if (url_parse(url, &source, &why) == -1) {
        fail_msg("`%s` is refused: %s", url, why.text);
    }
    assert_string_equal(source.urn, urn);
    json_t *json = value_to_json((bytes_t){(const uint8_t *)source.payload.data, source.payload.size});
    assert_non_null(json);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, payload);
    free(text);
    json_decref(json);
    url_fini(&source);
}

static void assert_refused(const char *url, const char *part) {
    url_source_t source;
    fault_t why = {""};
    assert_int_equal(url_parse(url, &source, &why), -1);
    if (!strstr(why.text, part)) {
        fail_msg("`%s` is not in: %s", part, why.text);
    }
    url_fini(&source);
}

static void a_file_is_its_path(void **state) {
    (void)state;
    assert_source("file:///var/log/app.log", "reprise:source:file:v1", "{\"path\":\"/var/log/app.log\"}");
    assert_source("file:/var/log/app.log", "reprise:source:file:v1", "{\"path\":\"/var/log/app.log\"}");
    assert_source("file://localhost/a", "reprise:source:file:v1", "{\"path\":\"/a\"}");
    assert_source("file:///a%20b?follow=false&format=json", "reprise:source:file:v1",
                  "{\"path\":\"/a b\",\"follow\":false,\"format\":\"json\"}");
}

static void a_relative_path_is_taken_from_the_current_folder(void **state) {
    (void)state;
    char folder[4096], expected[8192];
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(expected, sizeof expected, "{\"path\":\"%s/logs/a\"}", folder);
    assert_source("file:logs/a", "reprise:source:file:v1", expected);
}

static void a_querys_values_have_types(void **state) {
    (void)state;
    assert_source("generator:", "reprise:source:generator:v1", "{}");
    assert_source("generator:?", "reprise:source:generator:v1", "{}");
    assert_source("generator:?rate=1000&size=100", "reprise:source:generator:v1", "{\"rate\":1000,\"size\":100}");
    assert_source("generator:?a=1e6&b=0.5&c=-3&d=true&e=null", "reprise:source:generator:v1",
                  "{\"a\":1000000,\"b\":0.5,\"c\":-3,\"d\":true,\"e\":null}");
    assert_source("generator:?a=\"12\"&b=x%26y&c=&d=1-2", "reprise:source:generator:v1",
                  "{\"a\":\"12\",\"b\":\"x&y\",\"c\":\"\",\"d\":\"1-2\"}");
    assert_source("generator:?a=9223372036854775807", "reprise:source:generator:v1", "{\"a\":9223372036854775807}");
    assert_source("generator:?a=100000000000000000000", "reprise:source:generator:v1", "{\"a\":1e20}");
    assert_source("push:", "reprise:source:push:v1", "{}");
}

static void what_is_no_source_is_refused(void **state) {
    (void)state;
    assert_refused("/var/log/app.log", "no source");
    assert_refused("ftp://x", "`file:`, `generator:`, `push:`");
    assert_refused("file", "no source");
    assert_refused("file:", "names no path");
    assert_refused("file://host/path", "another host");
    assert_refused("generator:x", "nothing may stand between");
    assert_refused("generator:?rate", "`rate` must be `name=value`");
    assert_refused("generator:?=1", "must be `name=value`");
    assert_refused("generator:?a=%4", "two hex digits");
    assert_refused("generator:?a=%00", "not by 00");
    assert_refused("generator:?a=1&", "must be `name=value`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_its_path),
        cmocka_unit_test(a_relative_path_is_taken_from_the_current_folder),
        cmocka_unit_test(a_querys_values_have_types),
        cmocka_unit_test(what_is_no_source_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
