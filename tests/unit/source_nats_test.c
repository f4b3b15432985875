/* The NATS connector without a server: what it takes, and what it makes of a recording's cursor. What it does with a server, tests/system/nats_test.py
 * sees. */
#include "actors/sources/source_nats.h"

#include "ingest_double.h"
#include "pack.h"

extern const actor_class_t source_nats_class;

/* Nobody serves there. */
#define NOBODY "server", "127.0.0.1:1"

static void start(stage_t *stage, bytes_t payload) {
    stage_add(stage, &source_nats_class, "source:1", ingest_args(payload));
    stage_run(stage);
}

static void assert_refused(stage_t *stage, bytes_t payload, const char *expected) {
    static int number;
    char name[32];
    snprintf(name, sizeof name, "source:%d", ++number);
    stage_add(stage, &source_nats_class, name, ingest_args(payload));
    stage_run(stage);
    if (!strstr(stage_failure(stage, name), expected)) fail_msg("\"%s\" does not say \"%s\"", stage_failure(stage, name), expected);
}

static void a_payload_that_makes_no_sense_is_refused_at_the_start(void **state) {
    stage_t *stage = *state;
    assert_refused(stage, (bytes_t){0}, "`server` is missing");
    assert_refused(stage, pack("{ss}", NOBODY), "a `subject` is needed, or a `stream`");
    assert_refused(stage, pack("{ssss}", NOBODY, "subject", "a..b"), "`subject` must be one that can be subscribed to");
    assert_refused(stage, pack("{ssss}", NOBODY, "stream", "a.b"), "`stream` must be a stream's name");
    assert_refused(stage, pack("{ssssss}", NOBODY, "subject", "a", "until", "end"), "`until` needs a `stream`");
    assert_refused(stage, pack("{ssssss}", NOBODY, "subject", "a", "from", "all"), "`from` needs a `stream`");
    assert_refused(stage, pack("{ssssss}", NOBODY, "stream", "S", "until", "noon"), "`until` must be `never` or `end`, not `noon`");
    assert_refused(stage, pack("{ssss}", "subject", "a", "server", ""), "`server` must be host:port");
    assert_refused(stage, pack("{ssss}", "subject", "a", "server", "a:1,,b:2"), "`server` must be host:port");
    assert_refused(stage, pack("{ssss}", "subject", "a", "server", "me:secret@host:4222"), "`server` must be host:port");
    assert_refused(stage, pack("{ssssssss}", NOBODY, "subject", "a", "username", "me", "creds", "/dev/null"), "only one of");
    assert_refused(stage, pack("{ssssss}", NOBODY, "subject", "a", "token_file", "/nowhere"), "`token_file`: cannot read /nowhere");
    assert_refused(stage, pack("{ssssss}", NOBODY, "subject", "a", "tls_ca", "/etc/passwd"), "`tls_ca`: cannot use /etc/passwd");
    assert_refused(stage, pack("{ssssss}", NOBODY, "subject", "a", "event_time", "system"), "`event_time` must be `arrival`");
}

static void start_after(stage_t *stage, bytes_t payload, bytes_t cursor) {
    memcpy(ingest.cursor, cursor.data, cursor.size);
    ingest.cursor_size = cursor.size;
    start(stage, payload);
}

static void a_cursor_that_is_none_fails_the_job(void **state) {
    static const long long numbers[][4] = {{-1, 0, 1, 0}, {INT64_MAX, 0, 1, 0}, {1, 0, 0, 0}, {1, 0, 1, -1}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const long long *n = numbers[i];
        start_after(*state, pack("{ssss}", NOBODY, "stream", "S"), pack("[iiii]", n[0], n[1], n[2], n[3]));
        assert_non_null(strstr(ingest.failure, "the cursor of the recording is not one of `reprise:source:nats:v1`"));
        ingest_teardown(state);
        ingest_setup(state);
    }
    start_after(*state, pack("{ssss}", NOBODY, "subject", "a"), pack("[ii]", 1LL, INT64_MAX));
    assert_non_null(strstr(ingest.failure, "the cursor of the recording is not one of"));
    ingest_teardown(state);
    ingest_setup(state);
    start_after(*state, pack("{ssss}", NOBODY, "subject", "a"), pack("[iiii]", 1LL, 1LL, 1LL, 1LL));
    assert_non_null(strstr(ingest.failure, "the cursor of the recording is not one of"));
}

static void a_server_that_is_not_there_is_no_failure(void **state) {
    start(*state, pack("{ssss}", NOBODY, "stream", "S"));
    while (!ingest.waits[0]) stage_run(*state); /* until libnats has tried */
    assert_non_null(strstr(ingest.waits, "NATS at 127.0.0.1:1: "));
    assert_string_equal(ingest.failure, "");
}

static void it_can_be_stopped_while_it_connects(void **state) {
    start(*state, pack("{ssss}", NOBODY, "stream", "S"));
    ingest_do(*state, ingest_stop);
    assert_string_equal(ingest.failure, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_INGEST(a_payload_that_makes_no_sense_is_refused_at_the_start),
        WITH_INGEST(a_cursor_that_is_none_fails_the_job),
        WITH_INGEST(a_server_that_is_not_there_is_no_failure),
        WITH_INGEST(it_can_be_stopped_while_it_connects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
