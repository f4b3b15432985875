/* What holds a replay back: credit, its socket, commands, its pace. */
#include "served.h"

static void an_event_is_sent_while_any_credit_is_left_and_none_without(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    stage_peer_answer(f->stage, ANN, MSG_REPLAY);
    static const char *const events[] = {"1: +1000\n",          "1: a 2@0\n",           "1: aa 2@0\n",         "1: +1000\n",
                                         "1: b 1@2\n",          "1: +1000\n",           "1: watermark a 77\n", "1: watermark aa 77\n",
                                         "1: watermark a -1\n", "1: watermark aa -1\n", "1: watermark b -1\n", "1: end end 5\n"};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        assert_string_equal(read_all(f, ANN), events[i]);
        int64_t size = f->bytes; /* the credit left is 1 - size */
        give_credit(f, ANN, 1, size - 1);
        assert_string_equal(read_all(f, ANN), "");
        give_credit(f, ANN, 1, 1);
    }
}

static void a_socket_that_is_full_is_tried_again(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    const char *names[] = {"b"};
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_tags = true;
    ask.tags = (names_t){1, names};
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    stage_peer_block(f->stage, ANN, true);
    serve_place(f);
    stage_advance(f->stage, 20000);
    stage_peer_block(f->stage, ANN, false);
    stage_advance(f->stage, 20000);
    read_all(f, ANN);
    assert_non_null(strstr(f->text, "1: b 1@0\n1: watermark b -1\n1: end end 1\n"));
}

static void a_socket_that_stays_full_is_tried_less_and_less_often(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    stage_peer_block(f->stage, ANN, true);
    taped_elements(&f->taped, 1, 0, 1);
    tell_grew(f);
    stage_advance(f->stage, 127000); /* tried after 2, 4, 8, 16, 32 and 64 ms more */
    stage_peer_block(f->stage, ANN, false);
    stage_advance(f->stage, 126000);
    assert_string_equal(read_all(f, ANN), "");
    stage_advance(f->stage, 1000);
    assert_string_equal(read_all(f, ANN), "1: b 1@1\n");
}

static void a_paused_replay_sends_only_what_it_is_told_to(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t ask = by_pipeline(1);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n");
    assert_refused(refused(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2}), ERROR_INVALID_STATE, "not paused");
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    give_credit(f, ANN, 1, PLENTY);
    assert_string_equal(read_all(f, ANN), "ok\n");
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2});
    assert_string_equal(read_all(f, ANN), "ok\n1: a 2@0\n1: +1000\n");
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_element = true, .element = 1});
    assert_string_equal(read_all(f, ANN), "ok\n");
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2});
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n1: a 1@1\n");
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n1: b 1@2\n1: +1000\n1: watermark a 77\n1: watermark a -1\n1: watermark b -1\n"
                                          "1: end end 4\n");
}

static void a_pause_forgets_the_steps_that_are_left(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 100});
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    read_all(f, ANN);
    taped_elements(&f->taped, 1, 0, 1);
    tell_grew(f);
    assert_string_equal(read_all(f, ANN), "");
}

static void a_seek_is_answered_before_the_watermarks_of_the_place(void **state) {
    fixture_t *f = *state;
    taped_watermark(&f->taped, 1, 0, 5);
    taped_elements(&f->taped, 1, 7000, 3);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: watermark b 5\n1: +7000\n1: b 3@0\n");
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_offset_ms = true, .offset_ms = 7});
    assert_string_equal(read_all(f, ANN), "ok\n1: watermark b 5\n1: +7000\n1: b 3@0\n");
    msg_replay_seek_t seek = {.replay = 1};
    assert_refused(refused(f, ANN, MSG_REPLAY_SEEK, &seek), ERROR_BAD_REQUEST, "`element` or `offset_ms` is needed");
    seek.has_element = seek.has_offset_ms = true;
    assert_refused(refused(f, ANN, MSG_REPLAY_SEEK, &seek), ERROR_BAD_REQUEST, "not both");
}

static void a_close_is_answered_after_the_end_whatever_the_credit(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    request(f, ANN, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "1: end closed 0\nok\n");
    const refusal_t *no = refused(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    assert_refused(no, ERROR_NOT_FOUND, "`replay.pause`: there is no replay 1");
    assert_true(no->retry);
}

static void a_close_waits_for_a_socket_that_is_full(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    stage_peer_block(f->stage, ANN, true);
    request(f, ANN, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "");
    stage_peer_block(f->stage, ANN, false);
    stage_advance(f->stage, 10000);
    assert_string_equal(read_all(f, ANN), "1: end closed 0\nok\n");
}

static void at_a_rate_events_come_when_they_are_due(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 5; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_rate = true;
    ask.rate = 2;
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
    stage_advance(f->stage, 499999);
    assert_string_equal(read_all(f, ANN), "");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@1\n");
    stage_advance(f->stage, 250000);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    stage_advance(f->stage, 900000);
    assert_string_equal(read_all(f, ANN), "ok\n");
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    stage_advance(f->stage, 249999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
    stage_advance(f->stage, 250000);
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 0.5});
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@3\n");
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 0});
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000000\n1: b 1@4\n");
}

static void a_rate_given_on_the_way_starts_where_the_replay_is(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_max_elements = true;
    ask.max_elements = 1000;
    open_replay(f, ANN, &ask);
    stage_advance(f->stage, 500000);
    read_all(f, ANN);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 1});
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_element = true, .element = 1});
    stage_advance(f->stage, 1400000);
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "ok\nok\nok\nok\n1: +1000000\n1: b 1@1\n");
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
}

static void a_rate_given_to_a_replay_that_waits_for_credit_starts_at_its_last_event(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    while (!strstr(read_all(f, ANN), "1: b 1@1\n")) give_credit(f, ANN, 1, 1);
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 1});
    give_credit(f, ANN, 1, PLENTY);
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
}

static void a_place_sought_is_where_the_pace_starts(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_rate = true;
    ask.rate = 1;
    ask.has_from = true;
    ask.from = (msg_replay_from_t){.has_offset_ms = true, .offset_ms = 500};
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 500000);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@1\n");
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_offset_ms = true, .offset_ms = 1900});
    stage_advance(f->stage, 99999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +2000000\n1: b 1@2\n");
}

static void a_step_does_not_wait_for_the_pace(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_rate = true;
    ask.rate = 1;
    open_replay(f, ANN, &ask);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2});
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\nok\nok\n1: +1000000\n1: b 1@1\n");
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_event_is_sent_while_any_credit_is_left_and_none_without),
        TEST(a_socket_that_is_full_is_tried_again),
        TEST(a_socket_that_stays_full_is_tried_less_and_less_often),
        TEST(a_paused_replay_sends_only_what_it_is_told_to),
        TEST(a_pause_forgets_the_steps_that_are_left),
        TEST(a_seek_is_answered_before_the_watermarks_of_the_place),
        TEST(a_close_is_answered_after_the_end_whatever_the_credit),
        TEST(a_close_waits_for_a_socket_that_is_full),
        TEST(at_a_rate_events_come_when_they_are_due),
        TEST(a_rate_given_on_the_way_starts_where_the_replay_is),
        TEST(a_rate_given_to_a_replay_that_waits_for_credit_starts_at_its_last_event),
        TEST(a_place_sought_is_where_the_pace_starts),
        TEST(a_step_does_not_wait_for_the_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
