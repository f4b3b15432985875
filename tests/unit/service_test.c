/* A pipeline's test stream as users start, stop and ask about it. */
#include "served.h"

static void a_service_is_started_once_and_stopped_with_its_replays(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    uint64_t number = stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START, &(msg_test_stream_start_t){.pipeline = "p1"});
    assert_true(number > 0);
    stage_run(f->stage);
    serve_tags(f);
    assert_string_equal(notified(f), "test_stream.started pipeline=p1 running");
    msg_replay_open_t piped = by_pipeline(1), recorded = by_recording(1);
    open_replay(f, ANN, &piped);
    open_replay(f, BOB, &recorded);
    assert_string_equal(notified(f), "nothing");
    msg_test_stream_t now = status(f);
    assert_true(now.running);
    assert_int_equal(now.replays, 1);
    assert_string_equal(now.endpoint, stage_config(f->stage)->endpoints[ENDPOINT_TEST_STREAM]);
    read_all(f, ANN);
    read_all(f, BOB);
    const msg_test_stream_stop_t stop = {.pipeline = "p1"};
    assert_true(((const msg_test_stream_stopped_t *)stage_get(f->stage, SERVER, MSG_TEST_STREAM_STOP, &stop))->stopped);
    assert_string_equal(read_all(f, ANN), "1: end stopped 1\n");
    assert_string_equal(read_all(f, BOB), "");
    assert_string_equal(notified(f), "test_stream.stopped pipeline=p1 stopped");
    assert_false(((const msg_test_stream_stopped_t *)stage_get(f->stage, SERVER, MSG_TEST_STREAM_STOP, &stop))->stopped);
    assert_string_equal(notified(f), "nothing");
    now = status(f);
    assert_false(now.running);
    assert_false(now.has_endpoint);
}

static void a_pipeline_that_nobody_knows_has_no_test_stream(void **state) {
    fixture_t *f = *state;
    stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START, &(msg_test_stream_start_t){.pipeline = "p1"});
    stage_run(f->stage);
    stage_refuse(f->stage, stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK), ERROR_NOT_FOUND, "no pipeline `p1`");
    stage_run(f->stage);
    const stage_message_t *answer = stage_take(f->stage, "gateway", MSG_NONE);
    assert_non_null(answer);
    assert_true(answer->refused);
    assert_false(status(f).running);
}

static void a_definition_is_stored_before_its_stream_is_served(void **state) {
    fixture_t *f = *state;
    msg_pipeline_t definition = {.name = "p1"};
    stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START,
              &(msg_test_stream_start_t){.pipeline = "p1", .pipeline_definition = &definition});
    stage_run(f->stage);
    const stage_message_t *define = stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_DEFINE);
    assert_non_null(define);
    assert_false(status(f).running);
    stage_answer(f->stage, define, NULL);
    stage_run(f->stage);
    assert_true(status(f).running);
}

static void an_invalid_recording_ends_the_replays_of_its_pipeline(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t piped = by_pipeline(1), recorded = by_recording(1);
    open_replay(f, ANN, &piped);
    open_replay(f, BOB, &recorded);
    notified(f);
    read_all(f, ANN);
    read_all(f, BOB);
    stage_tell(f->stage, "job_supervisor", SERVER, MSG_TEST_STREAM_INVALIDATE, &(msg_test_stream_invalidate_t){.pipeline = "p1"});
    stage_run(f->stage);
    assert_string_equal(read_all(f, ANN), "1: end invalidated 1\n");
    assert_string_equal(read_all(f, BOB), "");
    assert_string_equal(notified(f), "test_stream.stopped pipeline=p1 stopped");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_service_is_started_once_and_stopped_with_its_replays),
        TEST(a_pipeline_that_nobody_knows_has_no_test_stream),
        TEST(a_definition_is_stored_before_its_stream_is_served),
        TEST(an_invalid_recording_ends_the_replays_of_its_pipeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
