/* The Beam gateway: which replay a call gets, what it is sent, and how it ends. */
#include "switch_room.h"

#define SECOND INT64_C(1000000)

static const bytes_t nothing;

static void watermark(stage_t *stage, int64_t replay, int64_t to) {
    event(stage, MSG_WATERMARK, &(msg_watermark_t){.replay = replay, .tag = "Read", .to = to}, nothing);
}

static void end(stage_t *stage, int64_t replay, const char *reason, const char *error) {
    event(stage, MSG_END, &(msg_end_t){.replay = replay, .reason = reason, .has_error = error != NULL, .error = error}, nothing);
}

/* ---- openings ---- */

static void the_pipeline_is_looked_for_at_each_slash_from_the_left(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "a/b/c");
    const msg_pipeline_tags_ask_t *ask = desk_refuse(stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, ERROR_NOT_FOUND, "no pipeline `a`");
    assert_string_equal(ask->pipeline, "a");
    msg_tag_t tag = {.tag = "c", .signature = "s"};
    ask = desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_t){.tags = {1, &tag}});
    assert_string_equal(ask->pipeline, "a/b");
    const msg_replay_open_t *open = desk_take(stage, "test-stream", MSG_REPLAY_OPEN)->message;
    assert_string_equal(open->pipeline, "a/b");
    assert_int_equal(open->tags.count, 1);
    assert_string_equal(open->tags.items[0], "c");
    assert_true(open->credit >= 65536);
    assert_quiet();
    stage_destroy(&stage);
}

static void what_is_refused_behind_it_ends_the_call_with_a_status_of_its_kind(void **test) {
    (void)test;
    static const struct {
        error_code_t code;
        call_status_t status;
    } kinds[] = {{ERROR_BAD_REQUEST, CALL_INVALID_ARGUMENT}, {ERROR_LIMIT, CALL_RESOURCE_EXHAUSTED},
                 {ERROR_UNAVAILABLE, CALL_UNAVAILABLE},      {ERROR_CORRUPT, CALL_DATA_LOSS},
                 {ERROR_NOT_FOUND, CALL_NOT_FOUND},          {ERROR_INTERNAL, CALL_INTERNAL}};
    stage_t *stage = switch_room();
    for (uint64_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        call_events(stage, i + 1, 0, "clicks/Read");
        msg_tag_t tag = {.tag = "Read", .signature = "s"};
        desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_t){.tags = {1, &tag}});
        desk_refuse(stage, "test-stream", MSG_REPLAY_OPEN, kinds[i].code, "because");
        assert_ended(i + 1, kinds[i].status, "because");
    }
    stage_destroy(&stage);
}

static void a_method_that_there_is_not_is_named(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_method(stage, 1, 0, "/x.Y/Events", NULL);
    assert_ended(1, CALL_UNIMPLEMENTED, "`/x.Y/Events`");
    stage_destroy(&stage);
}

static void a_caller_that_goes_while_its_replay_is_opened_leaves_none(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "clicks/Read");
    msg_tag_t tag = {.tag = "Read", .signature = "s"};
    desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_t){.tags = {1, &tag}});
    news(stage, (port_news_t){.kind = NEWS_GONE, .call = 1});
    desk_answer(stage, "test-stream", MSG_REPLAY_OPEN, &(msg_replay_t){.replay = 7, .recording = "r1"});
    assert_int_equal(((const msg_replay_close_t *)desk_told(stage, "test-stream", MSG_REPLAY_CLOSE))->replay, 7);
    assert_quiet();
    stage_destroy(&stage);
}

/* ---- events ---- */

static void events_carry_the_id_that_was_asked_for_and_their_cost(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "clicks/None");
    opened(stage, 3);
    watermark(stage, 3, 7);
    const said_t *one = said(1);
    assert_memory_equal(one->message,
                        "\x0a\x0f\x08\x07\x12\x0b"
                        "clicks/None",
                        one->size);
    assert_true(one->cost > 10);
    msg_elements_t elements = {.replay = 3, .tag = "Read", .count = 2, .element = 0};
    event(stage, MSG_ELEMENTS, &elements, stage_body(stage, 2, 5, 1));
    assert_false(said(1)->ended);
    event(stage, MSG_GAP, &(msg_gap_event_t){.replay = 3, .what = "lost"}, nothing);
    desk_told(stage, "test-stream", MSG_REPLAY_CREDIT);
    assert_quiet();
    end(stage, 3, "end", NULL);
    assert_ended(1, CALL_OK, "");
    stage_destroy(&stage);
}

static void credit_is_given_for_what_the_caller_has_taken(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "clicks/Read");
    opened(stage, 3);
    watermark(stage, 3, 7);
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_CREDIT);
    news(stage, (port_news_t){.kind = NEWS_SENT, .call = 1, .cost = 777});
    const msg_replay_credit_t *credit = desk_told(stage, "test-stream", MSG_REPLAY_CREDIT);
    assert_int_equal(credit->replay, 3);
    assert_int_equal(credit->bytes, 777);
    news(stage, (port_news_t){.kind = NEWS_SENT, .call = 99, .cost = 777});
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_CREDIT);
    stage_destroy(&stage);
}

static void a_body_that_holds_no_elements_ends_the_call_with_data_loss(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "clicks/Read");
    opened(stage, 3);
    msg_elements_t elements = {.replay = 3, .tag = "Read", .count = 2, .element = 0};
    event(stage, MSG_ELEMENTS, &elements, (bytes_t){(const uint8_t *)"\x92\x01\x02", 3});
    assert_ended(1, CALL_DATA_LOSS, "recording `r1`");
    desk_told(stage, "test-stream", MSG_REPLAY_CLOSE);
    stage_destroy(&stage);
}

static void each_end_has_its_status(void **test) {
    (void)test;
    static const struct {
        const char *reason, *error;
        call_status_t status;
        const char *words;
    } ends[] = {{"end", NULL, CALL_OK, ""},
                {"limit", NULL, CALL_OK, ""},
                {"corrupt", "record 7 is damaged", CALL_DATA_LOSS, "recording `r1`: record 7 is damaged"},
                {"stopped", NULL, CALL_ABORTED, "recording `r1`: stopped"},
                {"invalidated", NULL, CALL_ABORTED, "recording `r1`: invalidated"}};
    stage_t *stage = switch_room();
    for (uint64_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        call_events(stage, i + 1, 0, "clicks/Read");
        opened(stage, (int64_t)i + 1);
        end(stage, (int64_t)i + 1, ends[i].reason, ends[i].error);
        assert_ended(i + 1, ends[i].status, ends[i].words);
    }
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_CLOSE);
    stage_destroy(&stage);
}

/* ---- silence ---- */

static void probed(stage_t *stage, bool known) {
    const stage_message_t *m;
    stage_run(stage);
    while ((m = stage_take(stage, "test-stream", MSG_REPLAY_RESUME))) {
        if (known)
            stage_answer(stage, m, NULL);
        else
            stage_refuse(stage, m, ERROR_NOT_FOUND, "there is no replay 3 on this connection");
        stage_run(stage);
    }
}

static void a_stream_that_waits_is_told_every_ten_seconds_that_no_time_has_passed(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "clicks/Read");
    opened(stage, 3);
    for (int i = 0; i < 9; i++) {
        stage_advance(stage, SECOND);
        probed(stage, true);
    }
    assert_quiet();
    for (int i = 0; i < 20; i++) {
        stage_advance(stage, SECOND);
        probed(stage, true);
    }
    for (int i = 0; i < 2; i++) {
        const said_t *one = said(1);
        assert_true(one->spare && !one->ended);
        assert_int_equal(one->size, 2);
        assert_memory_equal(one->message, "\x12\x00", 2);
    }
    assert_quiet();
    stage_destroy(&stage);
}

static void a_replay_that_the_server_forgot_goes_on_where_it_was(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "clicks/Read");
    opened(stage, 3);
    watermark(stage, 3, 5);
    watermark(stage, 3, 6);
    said(1), said(1);
    for (int i = 0; i < 3; i++) stage_advance(stage, SECOND);
    probed(stage, false);
    desk_answer(stage, "test-stream", MSG_REPLAY_OPEN, &(msg_replay_t){.replay = 1, .recording = "r1"});
    watermark(stage, 1, 5);
    watermark(stage, 1, 6);
    assert_quiet();
    desk_told(stage, "test-stream", MSG_REPLAY_CREDIT);
    desk_told(stage, "test-stream", MSG_REPLAY_CREDIT);
    watermark(stage, 1, 7);
    assert_int_equal(said(1)->message[3], 7);
    stage_destroy(&stage);
}

static void a_recording_that_was_replaced_meanwhile_ends_the_call(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    call_events(stage, 1, 0, "clicks/Read");
    opened(stage, 3);
    for (int i = 0; i < 3; i++) stage_advance(stage, SECOND);
    probed(stage, false);
    desk_answer(stage, "test-stream", MSG_REPLAY_OPEN, &(msg_replay_t){.replay = 4, .recording = "r2"});
    assert_ended(1, CALL_ABORTED, "recording `r1` was replaced");
    assert_int_equal(((const msg_replay_close_t *)desk_told(stage, "test-stream", MSG_REPLAY_CLOSE))->replay, 4);
    stage_destroy(&stage);
}

/* ---- failures ---- */

static void new_state_closes_the_replays_of_the_old_and_ends_its_calls(void **test) {
    (void)test;
    stage_t *stage = switch_room();
    for (uint64_t i = 1; i <= 3; i++) {
        call_events(stage, i, 0, "clicks/Read");
        opened(stage, (int64_t)i);
    }
    end(stage, 2, "end", NULL);
    stage_fail(stage, "beam_gateway");
    stage_run(stage);
    assert_int_equal(room.resets, 1);
    int64_t closed = 0;
    for (int i = 0; i < 2; i++) closed += ((const msg_replay_close_t *)desk_told(stage, "test-stream", MSG_REPLAY_CLOSE))->replay;
    assert_int_equal(closed, 1 + 3);
    desk_is_quiet(stage, "test-stream", MSG_REPLAY_CLOSE);
    watermark(stage, 3, 5); /* what is under way still */
    desk_told(stage, "test-stream", MSG_REPLAY_CLOSE);
    room.said_read = room.said_count;
    call_events(stage, 4, 0, "clicks/Read");
    opened(stage, 4);
    watermark(stage, 4, 5);
    assert_false(said(4)->ended);
    stage_destroy(&stage);
}

static void without_an_address_there_is_nothing_to_serve(void **test) {
    (void)test;
    stage_t *stage = stage_create(11, NULL);
    stage_add(stage, &beam_gateway_class, "beam_gateway", (bytes_t){0});
    stage_run(stage);
    assert_true(stage_is_ready(stage, "beam_gateway"));
    desk_ask(stage, "tracker", "beam_gateway", MSG_BEAM_PORT_ASK, &(msg_beam_port_ask_t){.pipeline = "a"});
    assert_int_equal(desk_no(stage, "tracker").code, ERROR_INVALID_STATE);
    stage_destroy(&stage);
}

/* ---- ports of pipelines ---- */

static void loaded(stage_t *stage, const msg_documents_t *documents, const char *known) {
    desk_answer(stage, "catalog", MSG_CATALOG_READ, documents);
    while (stage_take(stage, "catalog", MSG_CATALOG_WRITE)) continue;
    msg_pipeline_summary_t summary = {.name = known};
    desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipelines_t){.pipelines = {known ? 1 : 0, &summary}});
    assert_true(stage_is_ready(stage, "beam_gateway"));
}

static const msg_beam_port_t *port_of(stage_t *stage, const char *pipeline) {
    desk_ask(stage, "tracker", "beam_gateway", MSG_BEAM_PORT_ASK, &(msg_beam_port_ask_t){.pipeline = pipeline});
    return desk_yes(stage, "tracker");
}

static void ports_are_given_in_turn_and_then_none_is_left(void **test) {
    (void)test;
    stage_t *stage = switch_room_with(6000, 6001);
    loaded(stage, &(msg_documents_t){0}, NULL);
    assert_string_equal(port_of(stage, "a")->endpoint, "127.0.0.1:6000");
    assert_string_equal(port_of(stage, "b")->endpoint, "127.0.0.1:6001");
    assert_string_equal(port_of(stage, "a")->endpoint, "127.0.0.1:6000");
    const msg_beam_port_t *none = port_of(stage, "c");
    assert_string_equal(none->endpoint, "127.0.0.1:5574");
    assert_false(none->own);
    desk_ask(stage, "forget", "beam_gateway", MSG_BEAM_PORT_RELEASE, &(msg_beam_port_release_t){.pipeline = "a"});
    desk_yes(stage, "forget");
    assert_string_equal(room.lines[1], "");
    assert_true(port_of(stage, "c")->own);
    assert_string_equal(room.lines[1], "127.0.0.1:6000");
    stage_destroy(&stage);
}

static void a_port_that_somebody_has_is_passed_over(void **test) {
    (void)test;
    stage_t *stage = switch_room_with(6000, 6001);
    loaded(stage, &(msg_documents_t){0}, NULL);
    room.taken = true;
    assert_string_equal(port_of(stage, "a")->endpoint, "127.0.0.1:6001");
    stage_destroy(&stage);
}

static void ports_are_remembered_but_not_of_those_who_are_forgotten(void **test) {
    (void)test;
    stage_t *stage = switch_room_with(6000, 6002);
    const uint8_t first[] = {0xcd, 0x17, 0x71}, second[] = {0xcd, 0x17, 0x70}, beyond[] = {0xcd, 0x27, 0x10}; /* 6001, 6000, 10000 */
    msg_document_t documents[] = {{.kind = "beam_port", .key = "a", .has_value = true, .value = {first, 3}},
                                  {.kind = "beam_port", .key = "gone", .has_value = true, .value = {second, 3}},
                                  {.kind = "beam_port", .key = "moved", .has_value = true, .value = {beyond, 3}}};
    loaded(stage, &(msg_documents_t){.documents = {3, documents}}, "a");
    assert_string_equal(room.lines[2], "127.0.0.1:6001");
    assert_string_equal(room.lines[1], "");
    assert_string_equal(port_of(stage, "a")->endpoint, "127.0.0.1:6001");
    call_events(stage, 1, 2, "None");
    opened(stage, 1);
    watermark(stage, 1, 7);
    assert_memory_equal(said(1)->message,
                        "\x0a\x08\x08\x07\x12\x04"
                        "None",
                        10);
    call_events(stage, 2, 1, "None");
    assert_ended(2, CALL_UNAVAILABLE, "forgotten");
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pipeline_is_looked_for_at_each_slash_from_the_left),
        cmocka_unit_test(what_is_refused_behind_it_ends_the_call_with_a_status_of_its_kind),
        cmocka_unit_test(a_method_that_there_is_not_is_named),
        cmocka_unit_test(a_caller_that_goes_while_its_replay_is_opened_leaves_none),
        cmocka_unit_test(events_carry_the_id_that_was_asked_for_and_their_cost),
        cmocka_unit_test(credit_is_given_for_what_the_caller_has_taken),
        cmocka_unit_test(a_body_that_holds_no_elements_ends_the_call_with_data_loss),
        cmocka_unit_test(each_end_has_its_status),
        cmocka_unit_test(a_stream_that_waits_is_told_every_ten_seconds_that_no_time_has_passed),
        cmocka_unit_test(a_replay_that_the_server_forgot_goes_on_where_it_was),
        cmocka_unit_test(a_recording_that_was_replaced_meanwhile_ends_the_call),
        cmocka_unit_test(new_state_closes_the_replays_of_the_old_and_ends_its_calls),
        cmocka_unit_test(without_an_address_there_is_nothing_to_serve),
        cmocka_unit_test(ports_are_given_in_turn_and_then_none_is_left),
        cmocka_unit_test(a_port_that_somebody_has_is_passed_over),
        cmocka_unit_test(ports_are_remembered_but_not_of_those_who_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
