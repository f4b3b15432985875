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
    assert_string_equal(source.scheme->urn, urn);
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

static void a_querys_values_are_what_their_fields_take(void **state) {
    (void)state;
    assert_source("generator:", "reprise:source:generator:v1", "{}");
    assert_source("generator:?", "reprise:source:generator:v1", "{}");
    assert_source("generator:?rate=0.5&size=100&seed=-3", "reprise:source:generator:v1", "{\"rate\":0.5,\"size\":100,\"seed\":-3}");
    assert_source("generator:?count=1e6&origin_us=9223372036854775807", "reprise:source:generator:v1",
                  "{\"count\":1000000,\"origin_us\":9223372036854775807}");
    assert_source("generator:?count=none&size=64KiB", "reprise:source:generator:v1", "{\"count\":null,\"size\":65536}");
    assert_source("file:/a?key=12&on_error=x%26y&follow=false", "reprise:source:file:v1",
                  "{\"path\":\"/a\",\"key\":\"12\",\"on_error\":\"x&y\",\"follow\":false}");
    assert_source("file:/a?out_of_order_ms=5s", "reprise:source:file:v1", "{\"path\":\"/a\",\"out_of_order_ms\":5000}");
}

static void a_value_that_its_field_does_not_take_is_refused(void **state) {
    (void)state;
    assert_refused("generator:?rate=fast", "`rate` must be a number, 0 or more, not `fast`");
    assert_refused("generator:?size=5s", "`size` must be");
    assert_refused("generator:?count=1.5", "`count` must be");
    assert_refused("generator:?seed=", "`seed` must be");
    assert_refused("file:/a?follow=yes", "`follow` must be true or false, not `yes`");
}

static void a_field_that_is_not_there_or_there_twice_is_refused(void **state) {
    (void)state;
    assert_refused("generator:?rat=1", "`generator:` has no field `rat`; like it are `rate`");
    assert_refused("generator:?colour=1", "`generator:` has no field `colour`; it has `rate`, ");
    assert_refused("generator:?rate=1&size=2&rate=3", "`rate` is given twice");
    assert_refused("file:/a?path=/b", "`path` is given twice");
}

static void what_anybody_feeds_takes_what_looks_like_anything(void **state) {
    (void)state;
    assert_source("push:", "reprise:source:push:v1", "{}");
    assert_source("push:?a=1e6&b=0.5&c=-3&d=true&e=null", "reprise:source:push:v1",
                  "{\"a\":1000000,\"b\":0.5,\"c\":-3,\"d\":true,\"e\":null}");
    assert_source("push:?a=\"12\"&b=x%26y&c=&d=1-2", "reprise:source:push:v1", "{\"a\":\"12\",\"b\":\"x&y\",\"c\":\"\",\"d\":\"1-2\"}");
    assert_source("push:?a=100000000000000000000", "reprise:source:push:v1", "{\"a\":1e20}");
}

static void a_server_and_a_path_are_the_fields_that_the_source_has_for_them(void **state) {
    (void)state;
    assert_source("kafka://b1:9092,b2:9092/clicks,views?from=latest", "reprise:source:kafka:v1",
                  "{\"server\":\"b1:9092,b2:9092\",\"topics\":\"clicks,views\",\"from\":\"latest\"}");
    assert_source("kafka://[::1]:9092/42", "reprise:source:kafka:v1", "{\"server\":\"[::1]:9092\",\"topics\":\"42\"}");
    assert_source("kafka://b/a%2fb%3f", "reprise:source:kafka:v1", "{\"server\":\"b\",\"topics\":\"a/b?\"}");
    assert_source("kafka:?server=b&topics=a", "reprise:source:kafka:v1", "{\"server\":\"b\",\"topics\":\"a\"}");
    assert_source("zmq://127.0.0.1:5556", "reprise:source:zmq:v1", "{\"server\":\"127.0.0.1:5556\"}");
    assert_source("zmq://127.0.0.1:5556/", "reprise:source:zmq:v1", "{\"server\":\"127.0.0.1:5556\"}");
    assert_source("zmq://127.0.0.1:5556//a/b", "reprise:source:zmq:v1", "{\"server\":\"127.0.0.1:5556\",\"topics\":\"/a/b\"}");
    assert_source("zmq:?server=ipc:///run/feed", "reprise:source:zmq:v1", "{\"server\":\"ipc:///run/feed\"}");
    assert_refused("kafka:///clicks", "`kafka:///clicks` names no server, as `kafka://");
    assert_refused("kafka://b:9092/", "names no topics, as `kafka://");
    assert_refused("kafka:clicks", "names no server");
    assert_refused("kafka://b/a?server=c", "`server` is given twice");
    assert_refused("udp://127.0.0.1:1/x", "nothing may stand between the server and `?`");
}

static void a_user_may_stand_before_the_server_and_a_password_never(void **state) {
    (void)state;
    assert_source("kafka://me%40home@b:9092/a", "reprise:source:kafka:v1",
                  "{\"username\":\"me@home\",\"server\":\"b:9092\",\"topics\":\"a\"}");
    assert_refused("kafka://me:secret@b:9092/a", "say `password_file=");
    assert_refused("udp://me:secret@127.0.0.1:1", "`udp:` takes none");
    assert_refused("udp://me@127.0.0.1:1", "`udp:` takes no user name, such as `me`");
    assert_refused("kafka://me@b/a?username=you", "`username` is given twice");
}

static void a_password_is_not_in_the_refusal(void **state) {
    (void)state;
    url_source_t source;
    fault_t why = {""};
    assert_int_equal(url_parse("kafka://me:secret@b:9092/a", &source, &why), -1);
    assert_null(strstr(why.text, "secret"));
    url_fini(&source);
}

static void an_s_behind_the_scheme_is_tls_where_there_is_some(void **state) {
    (void)state;
    assert_source("kafkas://b/a", "reprise:source:kafka:v1", "{\"server\":\"b\",\"topics\":\"a\",\"tls\":true}");
    assert_refused("kafkas://b/a?tls=false", "`tls` is given twice");
    assert_refused("udps://127.0.0.1:1", "no source");
}

static void a_file_of_a_source_is_taken_from_the_current_folder(void **state) {
    (void)state;
    char folder[4096], expected[8192];
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(expected, sizeof expected, "{\"server\":\"b\",\"topics\":\"a\",\"password_file\":\"%s/p\",\"tls_ca\":\"/ca\"}", folder);
    assert_source("kafka://b/a?password_file=p&tls_ca=/ca", "reprise:source:kafka:v1", expected);
}

static void a_field_that_takes_anything_takes_json(void **state) {
    (void)state;
    assert_source("kafka://b/a?settings={\"fetch.wait.max.ms\":100}", "reprise:source:kafka:v1",
                  "{\"server\":\"b\",\"topics\":\"a\",\"settings\":{\"fetch.wait.max.ms\":100}}");
    assert_refused("kafka://b/a?settings={\"x\":", "`settings` must be a value, not `{\"x\":`");
}

static void every_source_can_be_typed_as_its_example_says(void **state) {
    (void)state;
    size_t count;
    const connector_t *list = connectors(&count);
    for (size_t i = 0; i < count; i++) {
        url_source_t source;
        fault_t why;
        if (url_parse(list[i].example, &source, &why) == -1) {
            fail_msg("`%s` is refused: %s", list[i].example, why.text);
        }
        assert_ptr_equal(source.scheme, &list[i]);
        url_fini(&source);
    }
}

static void what_is_no_source_is_refused(void **state) {
    (void)state;
    assert_refused("/var/log/app.log", "no source");
    assert_refused("ftp://x", "`generator:`, `file:`");
    assert_refused("file", "no source");
    assert_refused("files:/a", "no source"); /* with an `s` it would be over TLS, which no file is */
    assert_refused("file:", "names no path");
    assert_refused("file://host/path", "another host");
    assert_refused("generator:x", "nothing may stand between");
    assert_refused("generator:?rate", "`rate` must be `name=value`");
    assert_refused("generator:?=1", "must be `name=value`");
    assert_refused("generator:?rate=%4", "two hex digits");
    assert_refused("generator:?rate=%00", "not by 00");
    assert_refused("generator:?rate=1&", "must be `name=value`");
}

static void assert_name(const char *url, const char *name) {
    url_source_t source;
    fault_t why;
    assert_int_equal(url_parse(url, &source, &why), 0);
    assert_string_equal(source.name, name);
    url_fini(&source);
}

static void a_source_names_the_pipeline_that_records_it(void **state) {
    (void)state;
    assert_name("generator:?rate=1", "generator");
    assert_name("file:///var/log/app.log", "file-app.log");
    assert_name("file:///var/log/two%20words%2f%2f.csv", "file-.csv");
    assert_name("file:///var/log/two%20%20words!", "file-two-words");
    assert_name("file:///var/log/", "file");
    assert_name("kafka://b:9092/clicks,views", "kafka-clicks-views");
    assert_name("zmq://127.0.0.1:5556", "zmq");
    assert_name("file:///0123456789012345678901234567890123456789012345678901234567890123456789",
                "file-0123456789012345678901234567890123456789012345678901234567");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_its_path),
        cmocka_unit_test(a_relative_path_is_taken_from_the_current_folder),
        cmocka_unit_test(a_querys_values_are_what_their_fields_take),
        cmocka_unit_test(a_value_that_its_field_does_not_take_is_refused),
        cmocka_unit_test(a_field_that_is_not_there_or_there_twice_is_refused),
        cmocka_unit_test(what_anybody_feeds_takes_what_looks_like_anything),
        cmocka_unit_test(a_server_and_a_path_are_the_fields_that_the_source_has_for_them),
        cmocka_unit_test(a_user_may_stand_before_the_server_and_a_password_never),
        cmocka_unit_test(a_password_is_not_in_the_refusal),
        cmocka_unit_test(an_s_behind_the_scheme_is_tls_where_there_is_some),
        cmocka_unit_test(a_file_of_a_source_is_taken_from_the_current_folder),
        cmocka_unit_test(a_field_that_takes_anything_takes_json),
        cmocka_unit_test(every_source_can_be_typed_as_its_example_says),
        cmocka_unit_test(what_is_no_source_is_refused),
        cmocka_unit_test(a_source_names_the_pipeline_that_records_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
