/* recording.fetch: some elements in one answer, and always an answer. */
#include "counter.h"

#include "messages/wire.h"

#define SECOND INT64_C(1000000)

static void fetch(stage_t *stage, msg_recording_fetch_t message) {
    if (!message.has_recording) message.has_pipeline = true, message.pipeline = "clicks";
    ask_from(stage, client, MSG_RECORDING_FETCH, &message, (bytes_t){0});
}

static const msg_replay_open_t *opened(stage_t *stage, int64_t replay) {
    const char *tags[] = {"Read"};
    msg_replay_t answer = {.replay = replay, .recording = "r1", .tags = {1, tags}};
    return desk_answer(stage, "test-stream", MSG_REPLAY_OPEN, &answer);
}

static void elements(stage_t *stage, int64_t replay, int64_t first, size_t count, size_t size) {
    msg_elements_t event = {.replay = replay, .tag = "Read", .count = (int64_t)count, .element = first};
    stage_door_tell(stage, "gateway", 2, MSG_ELEMENTS, &event, stage_body(stage, count, first, size));
    stage_run(stage);
}

static void end(stage_t *stage, int64_t replay, const char *reason, const char *error) {
    msg_end_t event = {.replay = replay, .reason = reason, .has_error = error != NULL, .error = error};
    stage_door_tell(stage, "gateway", 2, MSG_END, &event, (bytes_t){0});
    stage_run(stage);
}

static void ended(stage_t *stage, bool has_ended) {
    msg_recording_job_t job = {
        .recording = "r1", .job = "j1", .pipeline = "clicks", .state = has_ended ? "DONE" : "RUNNING", .has_ended = has_ended};
    job.limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){.recordings = {1, &job}});
}

static void assert_fetched(stage_t *stage, int64_t first, uint32_t count, int64_t next, bool complete) {
    const msg_elements_fetched_t *answer = peer_yes(stage, client, MSG_ELEMENTS_FETCHED);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)answer->elements.data, answer->elements.size, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(unpacked.data.via.array.size, count);
    for (uint32_t i = 0; i < count; i++) {
        const msgpack_object_array *element = &unpacked.data.via.array.ptr[i].via.array;
        assert_int_equal(element->size, 3);
        assert_memory_equal(element->ptr[0].via.str.ptr, "Read", 4);
        assert_int_equal(element->ptr[1].via.i64, first + i);
        assert_int_equal(element->ptr[2].type, MSGPACK_OBJECT_BIN);
    }
    msgpack_unpacked_destroy(&unpacked);
    assert_int_equal(answer->next, next);
    assert_int_equal(answer->complete, complete);
}

/* ---- the plain way ---- */

static void the_replay_is_what_was_asked_for(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_tag = true, .tag = "Read", .has_from = true, .from = 7, .has_max = true, .max = 9});
    const msg_replay_open_t *open = opened(stage, 1);
    assert_string_equal(open->pipeline, "clicks");
    assert_false(open->has_recording || open->follow || open->has_rate);
    assert_int_equal(open->from.element, 7);
    assert_int_equal(open->max_elements, 9);
    assert_int_equal(open->tags.count, 1);
    fetch(stage, (msg_recording_fetch_t){.has_recording = true, .recording = "r1"});
    open = opened(stage, 2);
    assert_string_equal(open->recording, "r1");
    assert_false(open->has_pipeline || open->has_tags || open->has_from);
    assert_int_equal(open->max_elements, 100);
    stage_destroy(&stage);
}

static void elements_of_several_batches_come_in_one_answer(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_max = true, .max = 5});
    opened(stage, 1);
    elements(stage, 1, 0, 3, 10);
    elements(stage, 1, 3, 2, 10);
    assert_true(peer_waits_still(stage, client));
    end(stage, 1, "limit", NULL);
    assert_fetched(stage, 0, 5, 5, false);
    stage_destroy(&stage);
}

static void at_the_end_of_an_ended_recording_it_is_complete(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_from = true, .from = 4});
    opened(stage, 1);
    elements(stage, 1, 4, 3, 10);
    end(stage, 1, "end", NULL);
    ended(stage, true);
    assert_fetched(stage, 4, 3, 7, true);
    stage_destroy(&stage);
}

static void at_the_end_of_a_growing_recording_it_is_not(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_from = true, .from = 4});
    opened(stage, 1);
    end(stage, 1, "end", NULL);
    ended(stage, false);
    assert_fetched(stage, 4, 0, 4, false);
    stage_destroy(&stage);
}

static void what_is_missing_or_too_much_is_refused(void **test) {
    (void)test;
    stage_t *stage = counter();
    ask_from(stage, client, MSG_RECORDING_FETCH, &(msg_recording_fetch_t){0}, (bytes_t){0});
    assert_int_equal(peer_no(stage, client).code, ERROR_BAD_REQUEST);
    fetch(stage, (msg_recording_fetch_t){.has_max = true, .max = 100001});
    refusal_t no = peer_no(stage, client);
    assert_string_equal(no.field, "max");
    assert_non_null(strstr(no.message, "not 100001"));
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_OPEN);
    stage_destroy(&stage);
}

static void a_replay_that_cannot_be_opened_refuses_the_fetch(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){0});
    desk_refuse(stage, "test-stream", MSG_REPLAY_OPEN, ERROR_NOT_FOUND, "pipeline `clicks` has no recording");
    assert_int_equal(peer_no(stage, client).code, ERROR_NOT_FOUND);
    stage_destroy(&stage);
}

static void a_replay_that_ends_badly_refuses_the_fetch(void **test) {
    (void)test;
    static const struct {
        const char *reason;
        error_code_t code;
        bool retry;
    } ends[] = {{"corrupt", ERROR_CORRUPT, false}, {"invalidated", ERROR_UNAVAILABLE, true}, {"stopped", ERROR_UNAVAILABLE, true}};
    for (size_t i = 0; i < 3; i++) {
        stage_t *stage = counter();
        fetch(stage, (msg_recording_fetch_t){0});
        opened(stage, 1);
        elements(stage, 1, 0, 3, 10);
        end(stage, 1, ends[i].reason, i == 0 ? "record 7 does not match" : NULL);
        refusal_t no = peer_no(stage, client);
        assert_int_equal(no.code, ends[i].code);
        assert_int_equal(no.retry, ends[i].retry);
        assert_non_null(strstr(no.message, i == 0 ? "record 7" : ends[i].reason));
        stage_destroy(&stage);
    }
}

static void what_is_no_elements_refuses_the_fetch(void **test) {
    (void)test;
    static const bytes_t bodies[] = {{(const uint8_t *)"\xdd\0\0\0\x02\x92\x01\xc4\x05x", 10}, {(const uint8_t *)"\x91\x92\x01\xc4\0", 5}};
    for (size_t i = 0; i < 2; i++) {
        stage_t *stage = counter();
        fetch(stage, (msg_recording_fetch_t){0});
        opened(stage, 1);
        stage_door_tell(stage, "gateway", 2, MSG_ELEMENTS, &(msg_elements_t){.replay = 1, .tag = "Read", .count = 2}, bodies[i]);
        stage_run(stage);
        refusal_t no = peer_no(stage, client);
        assert_int_equal(no.code, ERROR_CORRUPT);
        assert_non_null(strstr(no.message, "r1"));
        end(stage, 1, "closed", NULL);
        stage_destroy(&stage);
    }
}

static void two_fetches_do_not_mix(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){0});
    msg_recording_fetch_t second = {.has_recording = true, .recording = "r2"};
    ask_from(stage, other, MSG_RECORDING_FETCH, &second, (bytes_t){0});
    opened(stage, 1);
    opened(stage, 2);
    elements(stage, 2, 50, 1, 10);
    elements(stage, 1, 0, 2, 10);
    end(stage, 1, "limit", NULL);
    assert_fetched(stage, 0, 2, 2, false);
    end(stage, 2, "limit", NULL);
    assert_int_equal(((const msg_elements_fetched_t *)peer_yes(stage, other, MSG_ELEMENTS_FETCHED))->next, 51);
    stage_destroy(&stage);
}

/* ---- sizes ---- */

static void an_answer_that_would_be_too_large_is_cut_at_the_element(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){0});
    opened(stage, 1);
    elements(stage, 1, 0, 3, 3 * 1024 * 1024);
    assert_int_equal(((const msg_replay_close_t *)desk_told(stage, "test-stream", MSG_REPLAY_CLOSE))->replay, 1);
    elements(stage, 1, 3, 1, 10);
    end(stage, 1, "closed", NULL);
    assert_fetched(stage, 0, 2, 2, false);
    stage_destroy(&stage);
}

static void one_element_is_answered_however_large_it_is(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_max = true, .max = 1});
    opened(stage, 1);
    elements(stage, 1, 0, 1, 9 * 1024 * 1024);
    end(stage, 1, "limit", NULL);
    assert_fetched(stage, 0, 1, 1, false);
    stage_destroy(&stage);
}

static void events_without_elements_use_up_no_credit_for_good(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){0});
    int64_t credit = opened(stage, 1)->credit, used = 0;
    msg_watermark_t event = {.replay = 1, .tag = "Read", .to = 5};
    msg_processing_time_t time = {.replay = 1, .advance_us = 5};
    msg_gap_event_t gap = {.replay = 1, .what = "nothing"};
    for (int i = 0; i < 150000; i++) {
        stage_door_tell(stage, "gateway", 2, MSG_WATERMARK, &event, (bytes_t){0});
        stage_door_tell(stage, "gateway", 2, MSG_PROCESSING_TIME, &time, (bytes_t){0});
        stage_door_tell(stage, "gateway", 2, MSG_GAP, &gap, (bytes_t){0});
        used += 100; /* at least */
    }
    stage_run(stage);
    assert_true(used > credit / 2);
    const msg_replay_credit_t *more = desk_told(stage, "test-stream", MSG_REPLAY_CREDIT);
    assert_int_equal(more->replay, 1);
    assert_true(more->bytes >= credit / 2);
    stage_destroy(&stage);
}

/* ---- failures ---- */

static void a_server_that_forgot_the_replay_is_asked_for_the_rest(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_max = true, .max = 5});
    opened(stage, 1);
    elements(stage, 1, 0, 2, 10);
    stage_advance(stage, SECOND);
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_RESUME);
    stage_advance(stage, SECOND);
    desk_answer(stage, "test-stream", MSG_REPLAY_RESUME, NULL);
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_OPEN);
    stage_advance(stage, SECOND);
    desk_refuse(stage, "test-stream", MSG_REPLAY_RESUME, ERROR_NOT_FOUND, "there is no replay 1");
    const msg_replay_open_t *open = opened(stage, 1);
    assert_int_equal(open->from.element, 2);
    assert_int_equal(open->max_elements, 3);
    elements(stage, 1, 2, 3, 10);
    end(stage, 1, "limit", NULL);
    assert_fetched(stage, 0, 5, 5, false);
    stage_advance(stage, 5 * SECOND);
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_RESUME);
    stage_destroy(&stage);
}

static void a_recording_that_was_replaced_meanwhile_is_not_mixed_in(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){0});
    opened(stage, 1);
    elements(stage, 1, 0, 2, 10);
    stage_advance(stage, 2 * SECOND);
    desk_refuse(stage, "test-stream", MSG_REPLAY_RESUME, ERROR_NOT_FOUND, "there is no replay 1");
    const char *tags[] = {"Read"};
    desk_answer(stage, "test-stream", MSG_REPLAY_OPEN, &(msg_replay_t){.replay = 3, .recording = "r2", .tags = {1, tags}});
    refusal_t no = peer_no(stage, client);
    assert_int_equal(no.code, ERROR_UNAVAILABLE);
    assert_true(no.retry);
    assert_int_equal(((const msg_replay_close_t *)desk_told(stage, "test-stream", MSG_REPLAY_CLOSE))->replay, 3);
    stage_destroy(&stage);
}

static void a_fetch_that_had_enough_when_its_replay_was_forgotten_is_answered(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_max = true, .max = 2});
    opened(stage, 1);
    elements(stage, 1, 0, 2, 10);
    stage_advance(stage, 2 * SECOND);
    desk_refuse(stage, "test-stream", MSG_REPLAY_RESUME, ERROR_NOT_FOUND, "there is no replay 1");
    assert_fetched(stage, 0, 2, 2, false);
    stage_destroy(&stage);
}

static void a_fetch_is_begun_anew_when_the_gateway_fails_and_the_old_replay_closed(void **test) {
    (void)test;
    stage_t *stage = counter();
    fetch(stage, (msg_recording_fetch_t){.has_max = true, .max = 2});
    opened(stage, 1);
    stage_fail(stage, "gateway");
    opened(stage, 2);
    elements(stage, 1, 0, 2, 10);
    assert_int_equal(((const msg_replay_close_t *)desk_told(stage, "test-stream", MSG_REPLAY_CLOSE))->replay, 1);
    end(stage, 1, "closed", NULL);
    assert_true(peer_waits_still(stage, client));
    elements(stage, 2, 0, 2, 10);
    end(stage, 2, "limit", NULL);
    assert_fetched(stage, 0, 2, 2, false);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_replay_is_what_was_asked_for),
        cmocka_unit_test(elements_of_several_batches_come_in_one_answer),
        cmocka_unit_test(at_the_end_of_an_ended_recording_it_is_complete),
        cmocka_unit_test(at_the_end_of_a_growing_recording_it_is_not),
        cmocka_unit_test(what_is_missing_or_too_much_is_refused),
        cmocka_unit_test(a_replay_that_cannot_be_opened_refuses_the_fetch),
        cmocka_unit_test(a_replay_that_ends_badly_refuses_the_fetch),
        cmocka_unit_test(what_is_no_elements_refuses_the_fetch),
        cmocka_unit_test(two_fetches_do_not_mix),
        cmocka_unit_test(an_answer_that_would_be_too_large_is_cut_at_the_element),
        cmocka_unit_test(one_element_is_answered_however_large_it_is),
        cmocka_unit_test(events_without_elements_use_up_no_credit_for_good),
        cmocka_unit_test(a_server_that_forgot_the_replay_is_asked_for_the_rest),
        cmocka_unit_test(a_recording_that_was_replaced_meanwhile_is_not_mixed_in),
        cmocka_unit_test(a_fetch_that_had_enough_when_its_replay_was_forgotten_is_answered),
        cmocka_unit_test(a_fetch_is_begun_anew_when_the_gateway_fails_and_the_old_replay_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
