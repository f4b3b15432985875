/* Opening a replay: what is sent, and what is refused. */
#include "served.h"

static void a_replay_by_pipeline_sends_its_tags_and_starts_its_service(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    assert_false(status(f).running);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    open_replay(f, ANN, &ask);
    assert_string_equal(notified(f), "test_stream.started pipeline=p1 running");
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n1: a 2@0\n1: +1000\n1: b 1@2\n1: +1000\n1: watermark a 77\n"
                                          "1: watermark a -1\n1: watermark b -1\n1: end end 3\n");
    assert_true(status(f).running);
    open_replay(f, ANN, &ask);
    assert_string_equal(notified(f), "nothing");
}

static void a_replay_by_recording_sends_all_its_tags(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 0, 1);
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    const msg_replay_t *replay = stage_peer_answer(f->stage, ANN, MSG_REPLAY);
    assert_int_equal(replay->replay, 1);
    assert_string_equal(replay->recording, "r1");
    assert_int_equal(replay->tags.count, 3);
    assert_string_equal(replay->tags.items[0], "a");
    assert_string_equal(replay->tags.items[1], "aa");
    assert_string_equal(replay->tags.items[2], "b");
    assert_string_equal(read_all(f, ANN), "1: a 1@0\n1: aa 1@0\n1: watermark a -1\n1: watermark aa -1\n1: watermark b -1\n1: end end 2\n");
    assert_string_equal(notified(f), "nothing");
}

static void tags_are_in_the_order_of_their_bytes_whatever_the_streams(void **state) {
    fixture_t *f = *state;
    const char *of_a[] = {"z", "m"}, *of_b[] = {"n"};
    f->taped.streams[0].tags = (names_t){2, of_a};
    f->taped.streams[1].tags = (names_t){1, of_b};
    taped_elements(&f->taped, 0, 0, 1);
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN),
                        "ok\n1: m 1@0\n1: z 1@0\n1: watermark m -1\n1: watermark n -1\n1: watermark z -1\n1: end end 2\n");
}

static void replays_are_numbered_by_connection(void **state) {
    fixture_t *f = *state;
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_recording(PLENTY);
    for (int64_t expected = 1; expected <= 2; expected++) {
        open_replay(f, ANN, &ask);
        assert_int_equal(((const msg_replay_t *)stage_peer_answer(f->stage, ANN, MSG_REPLAY))->replay, expected);
    }
    open_replay(f, BOB, &ask);
    assert_int_equal(((const msg_replay_t *)stage_peer_answer(f->stage, BOB, MSG_REPLAY))->replay, 1);
}

static void tags_select_and_an_unknown_one_is_named(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    const char *names[] = {"b", "b"};
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_tags = true;
    ask.tags = (names_t){2, names};
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: +2000\n1: b 1@2\n1: watermark b -1\n1: end end 1\n");
    names[1] = "c";
    open_replay(f, ANN, &ask);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "no tag `c` among `a`, `aa`, `b`");
}

static void what_does_not_make_sense_is_refused_at_once(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = {.credit = 1};
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "`pipeline` or `recording` is needed, and neither");
    ask = by_recording(1);
    ask.has_pipeline = true;
    ask.pipeline = "p1";
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "not both");
    ask = by_recording(1);
    ask.has_tags = true;
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "`tags`");
    ask = by_recording(1);
    ask.has_from = true;
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "`from` must have `element` or `offset_ms`, and has neither");
    ask.from = (msg_replay_from_t){.has_element = true, .has_offset_ms = true};
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "not both");
    assert_null(stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE));
}

static void what_others_refuse_is_refused_in_their_words(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_pipeline(1);
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    stage_refuse(f->stage, stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK), ERROR_NOT_FOUND, "no pipeline `p1`");
    stage_run(f->stage);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "no pipeline `p1`");
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    serve_tags(f);
    stage_refuse(f->stage, stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE), ERROR_NOT_FOUND, "no recording of `p1`");
    stage_run(f->stage);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "no recording of `p1`");
    assert_false(status(f).running);
}

static void a_recording_without_any_of_the_pipelines_sources_is_not_replayed(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_pipeline(1);
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    msg_tag_t tag = {.tag = "a", .signature = "another A"};
    stage_answer(f->stage, stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK), &(msg_pipeline_tags_t){.tags = {1, &tag}});
    stage_run(f->stage);
    serve_place(f);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "`r1` has none of the sources");
}

static void a_connection_has_no_more_than_a_thousand_replays(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_recording(1);
    for (int i = 0; i < 1000; i++) {
        open_replay(f, ANN, &ask);
        stage_peer_answer(f->stage, ANN, MSG_REPLAY);
    }
    open_replay(f, ANN, &ask);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_LIMIT, "1000 replays");
    open_replay(f, BOB, &ask);
    stage_peer_answer(f->stage, BOB, MSG_REPLAY);
    request(f, ANN, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = 7});
    read_all(f, ANN);
    open_replay(f, ANN, &ask);
    assert_int_equal(((const msg_replay_t *)stage_peer_answer(f->stage, ANN, MSG_REPLAY))->replay, 1001);
}

static void a_failure_in_the_middle_of_an_opening_opens_it_again(void **state) {
    fixture_t *f = *state;
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    serve_tags(f);
    stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START, &(msg_test_stream_start_t){.pipeline = "p1"});
    stage_run(f->stage);
    while (stage_take(f->stage, "recorder", MSG_NONE) || stage_take(f->stage, "pipeline_tracker", MSG_NONE)) continue;
    stage_fail(f->stage, SERVER);
    stage_run(f->stage);
    stage_advance(f->stage, 1000000);
    serve_options(f);
    serve_tags(f);
    serve_tags(f); /* of the start */
    serve_place(f);
    assert_string_equal(read_all(f, ANN), "ok\n1: watermark a -1\n1: watermark b -1\n1: end end 0\n");
}

static void a_recording_that_is_deleted_before_it_is_opened_is_not_found(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_recording(PLENTY);
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    const stage_message_t *asked = stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE);
    msg_recording_place_t place = taped_place(&f->taped);
    place.folder = "/nowhere/r1";
    stage_answer(f->stage, asked, &place);
    stage_run(f->stage);
    assert_int_equal(stage_peer_refusal(f->stage, ANN)->code, ERROR_NOT_FOUND);
}

static void a_recording_whose_manifest_cannot_be_read_is_corrupt_whichever_tags_are_asked_for(void **state) {
    fixture_t *f = *state;
    const char *tags[] = {"a"};
    msg_replay_open_t all = by_recording(PLENTY), some = all;
    some.has_tags = true;
    some.tags = (names_t){1, tags};
    for (int i = 0; i < 2; i++) {
        request(f, ANN, MSG_REPLAY_OPEN, i == 0 ? &all : &some);
        msg_recording_place_t place = taped_place(&f->taped);
        place.streams.count = 0;
        stage_answer(f->stage, stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE), &place);
        stage_run(f->stage);
        assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_CORRUPT, "/r1/manifest.msgpack cannot be read");
    }
}

/* Where the pipeline's recording was may have been said before its sources changed. */
static void an_opening_begins_again_when_its_pipelines_recording_becomes_invalid(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t piped = by_pipeline(PLENTY), recorded = by_recording(PLENTY);
    request(f, ANN, MSG_REPLAY_OPEN, &piped);
    serve_tags(f);
    const stage_message_t *old = stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE);
    request(f, BOB, MSG_REPLAY_OPEN, &recorded);
    stage_tell(f->stage, "job_supervisor", SERVER, MSG_TEST_STREAM_INVALIDATE, &(msg_test_stream_invalidate_t){.pipeline = "other"});
    stage_tell(f->stage, "job_supervisor", SERVER, MSG_TEST_STREAM_INVALIDATE, &(msg_test_stream_invalidate_t){.pipeline = "p1"});
    stage_run(f->stage);
    serve_place(f);
    assert_non_null(strstr(read_all(f, BOB), "1: end end 5\n"));
    msg_recording_place_t place = taped_place(&f->taped);
    stage_answer(f->stage, old, &place);
    stage_run(f->stage);
    assert_string_equal(read_all(f, ANN), "");
    serve_tags(f);
    stage_refuse(f->stage, stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE), ERROR_NOT_FOUND, "its recordings are invalid");
    stage_run(f->stage);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "its recordings are invalid");
    assert_false(status(f).running);
}

static void an_opening_that_waits_for_its_tags_asks_for_them_again(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t piped = by_pipeline(PLENTY);
    request(f, ANN, MSG_REPLAY_OPEN, &piped);
    stage_tell(f->stage, "job_supervisor", SERVER, MSG_TEST_STREAM_INVALIDATE, &(msg_test_stream_invalidate_t){.pipeline = "p1"});
    stage_run(f->stage);
    serve_tags(f);
    assert_null(stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE));
    serve_tags(f);
    serve_place(f);
    assert_non_null(strstr(read_all(f, ANN), "1: end end 3\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_replay_by_pipeline_sends_its_tags_and_starts_its_service),
        TEST(a_replay_by_recording_sends_all_its_tags),
        TEST(tags_are_in_the_order_of_their_bytes_whatever_the_streams),
        TEST(replays_are_numbered_by_connection),
        TEST(tags_select_and_an_unknown_one_is_named),
        TEST(what_does_not_make_sense_is_refused_at_once),
        TEST(what_others_refuse_is_refused_in_their_words),
        TEST(a_recording_without_any_of_the_pipelines_sources_is_not_replayed),
        TEST(a_connection_has_no_more_than_a_thousand_replays),
        TEST(a_failure_in_the_middle_of_an_opening_opens_it_again),
        TEST(a_recording_that_is_deleted_before_it_is_opened_is_not_found),
        TEST(a_recording_whose_manifest_cannot_be_read_is_corrupt_whichever_tags_are_asked_for),
        TEST(an_opening_begins_again_when_its_pipelines_recording_becomes_invalid),
        TEST(an_opening_that_waits_for_its_tags_asks_for_them_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
