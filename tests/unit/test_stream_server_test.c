/* Who is heard: clients that live, clients of a server that failed, messages about replays that are not there. */
#include "served.h"

static void credit_that_comes_after_the_end_is_ignored_and_for_an_unknown_replay_refused(void **state) {
    fixture_t *f = *state;
    taped_ended(&f->taped, 0);
    give_credit(f, ANN, 1, 10);
    const refusal_t *no = stage_peer_refusal(f->stage, ANN);
    assert_refused(no, ERROR_NOT_FOUND, "no replay 1");
    assert_true(no->retry);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    give_credit(f, ANN, 1, 10);
    assert_string_equal(read_all(f, ANN), "");
    give_credit(f, ANN, 2, 10);
    assert_string_equal(read_all(f, ANN), "refused\n");
}

static void replays_of_others_are_not_there(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_refused(refused(f, BOB, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = 1}), ERROR_NOT_FOUND, "no replay 1");
}

static void an_idle_client_is_asked_whether_it_lives_and_a_silent_one_is_let_go(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_options_changed_t options = {0};
    options_default((msg_options_t *)&options);
    options.replay_timeout_ms = 10000;
    stage_tell(f->stage, "catalog", SERVER, MSG_OPTIONS_CHANGED, &options);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    for (int i = 0; i < 20; i++) {
        stage_advance(f->stage, 2000000);
        stage_peer_send(f->stage, ANN, MSG_PONG, &(msg_pong_t){0}, NO_BODY);
        stage_run(f->stage);
    }
    read_all(f, ANN);
    assert_non_null(strstr(f->text, "ping\nping\n"));
    assert_int_equal(status(f).replays, 1);
    stage_advance(f->stage, 9000000);
    assert_int_equal(status(f).replays, 1);
    assert_false(stage_peer_dismissed(f->stage, ANN));
    stage_advance(f->stage, 1250000);
    assert_int_equal(status(f).replays, 0);
    assert_true(stage_peer_dismissed(f->stage, ANN));
    read_all(f, ANN);
    stage_advance(f->stage, 10000000);
    assert_string_equal(read_all(f, ANN), "");
}

static void a_client_is_left_alone_while_it_is_being_sent_to(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    for (int i = 0; i < 8; i++) {
        stage_advance(f->stage, 1000000);
        taped_elements(&f->taped, 1, 0, 1);
        tell_grew(f);
    }
    read_all(f, ANN);
    assert_null(strstr(f->text, "ping"));
}

/* It has credit for hours, so that it need not say anything. */
static void a_client_that_is_sent_to_all_the_time_is_asked_before_it_is_let_go(void **state) {
    fixture_t *f = *state;
    msg_options_changed_t options = {0};
    options_default((msg_options_t *)&options);
    options.replay_timeout_ms = 20000;
    stage_tell(f->stage, "catalog", SERVER, MSG_OPTIONS_CHANGED, &options);
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    open_replay(f, ANN, &ask);
    int pings = 0;
    for (int i = 0; i < 60; i++) {
        stage_advance(f->stage, 1000000);
        taped_elements(&f->taped, 1, 0, 1);
        tell_grew(f);
        read_all(f, ANN);
        if (!strstr(f->text, "ping")) continue;
        stage_peer_send(f->stage, ANN, MSG_PONG, &(msg_pong_t){0}, NO_BODY);
        stage_run(f->stage);
        pings++;
    }
    assert_int_equal(status(f).replays, 1);
    assert_in_range(pings, 3, 10);
}

static void a_client_of_a_failed_server_is_told_to_open_again(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    stage_fail(f->stage, SERVER);
    stage_run(f->stage);
    stage_advance(f->stage, 1000000);
    serve_options(f);
    read_all(f, ANN);
    const refusal_t *no = refused(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    assert_refused(no, ERROR_NOT_FOUND, "no replay 1");
    assert_true(no->retry);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(credit_that_comes_after_the_end_is_ignored_and_for_an_unknown_replay_refused),
        TEST(replays_of_others_are_not_there),
        TEST(an_idle_client_is_asked_whether_it_lives_and_a_silent_one_is_let_go),
        TEST(a_client_is_left_alone_while_it_is_being_sent_to),
        TEST(a_client_that_is_sent_to_all_the_time_is_asked_before_it_is_let_go),
        TEST(a_client_of_a_failed_server_is_told_to_open_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
