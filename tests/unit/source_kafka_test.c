/* A Kafka source on a stage, where no broker is: what it does without one. What it does with one is tested against brokers, in tests/system. */
#include "ingest_double.h"
#include "pack.h"

extern const actor_class_t source_kafka_class;

static void start(stage_t *stage, bytes_t payload) {
    stage_add(stage, &source_kafka_class, "source:1", ingest_args(payload));
    stage_run(stage);
}

static bytes_t plain(void) {
    return pack("{ssss}", "server", "127.0.0.1:9", "topics", "clicks");
}

static void without_a_broker_it_attaches_and_waits(void **state) {
    start(*state, plain());
    stage_advance(*state, 60000000);
    assert_int_equal(ingest.attaches, 1);
    assert_string_equal(ingest.failure, "");
    assert_int_equal(ingest.count + (size_t)ingest.dones, 0);
}

static void it_stops_at_once_though_nobody_answers(void **state) {
    start(*state, plain());
    ingest_do(*state, ingest_stop);
    stage_advance(*state, 60000000);
    assert_int_equal(ingest.attaches, 1);
}

static void it_goes_on_after_the_recorder_was_lost(void **state) {
    ingest.refusals = 3;
    ingest.refusal = (refusal_t){.code = ERROR_UNAVAILABLE, .message = "not yet", .retry = true};
    start(*state, plain());
    stage_advance(*state, 60000000);
    assert_int_equal(ingest.attaches, 4);
    assert_string_equal(ingest.failure, "");
}

static void a_cursor_of_another_source_fails_the_job(void **state) {
    bytes_t cursor = pack("[i]", 7LL);
    memcpy(ingest.cursor, cursor.data, cursor.size);
    ingest.cursor_size = cursor.size;
    start(*state, plain());
    assert_string_equal(ingest.failure, "the cursor of the recording is not one of `reprise:source:kafka:v1`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_broker_it_attaches_and_waits, ingest_setup, ingest_teardown),
        cmocka_unit_test_setup_teardown(it_stops_at_once_though_nobody_answers, ingest_setup, ingest_teardown),
        cmocka_unit_test_setup_teardown(it_goes_on_after_the_recorder_was_lost, ingest_setup, ingest_teardown),
        cmocka_unit_test_setup_teardown(a_cursor_of_another_source_fails_the_job, ingest_setup, ingest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
