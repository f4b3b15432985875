/* What sources send, and what they are told: numbers, bodies, ends, silence. */
#include "studio.h"

enum { SECOND = 1000000 };

static void open_attached(studio_t *studio) {
    studio_open(studio, DURABILITY_ASYNC);
    studio_create(studio, "1", "p");
    studio_budget(studio, "j1", LIMIT_NONE);
    source_attach(studio, "s", "j1", "a", "w");
}

static void batches_that_wait_together_are_acknowledged_at_once(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    for (int64_t seq = 1; seq <= 50; seq++) source_send(&studio, "s", "a", seq, 1);
    stage_run(studio.stage);
    source_is_acked(&studio, "s", 50);
    assert_int_equal(studio_job(&studio, "r1")->elements, 50);
    studio_close(&studio);
}

static void a_batch_sent_twice_is_acknowledged_and_stored_once(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    for (int i = 0; i < 2; i++) {
        source_batch(&studio, "s", "a", 1, 3);
        source_is_acked(&studio, "s", 1);
    }
    assert_int_equal(studio_job(&studio, "r1")->elements, 3);
    studio_close(&studio);
}

static void a_skipped_number_is_a_conflict_and_uses_up_nothing(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    source_batch(&studio, "s", "a", 3, 3);
    const msg_source_nack_t *nack = source_is_nacked(&studio, "s", 3, "conflict");
    assert_int_equal(nack->error.expected, 1);
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    studio_close(&studio);
}

static void a_bad_body_is_refused_and_its_number_used_up(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    msg_source_batch_t batch = {.tag = "a", .seq = 1};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, (bytes_t){(const uint8_t *)"\x91\x01", 2});
    stage_run(studio.stage);
    assert_non_null(strstr(source_is_nacked(&studio, "s", 1, "bad_request")->error.message, "element 0"));
    batch.seq = 2;
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, (bytes_t){0});
    stage_run(studio.stage);
    assert_non_null(strstr(source_is_nacked(&studio, "s", 2, "bad_request")->error.message, "second frame"));
    source_batch(&studio, "s", "a", 3, 3);
    source_is_acked(&studio, "s", 3);
    assert_int_equal(studio_job(&studio, "r1")->elements, 3);
    studio_close(&studio);
}

static void send_gap(studio_t *studio, int64_t seq, const char *what, int64_t lost_us, size_t count) {
    msg_source_batch_t batch = {
        .tag = "a", .seq = seq, .has_gap = what != NULL, .gap = what, .has_lost_us = lost_us >= 0, .lost_us = lost_us};
    stage_peer_send(studio->stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio->stage, count, seq * 100, 20));
    stage_run(studio->stage);
}

static void a_gap_that_came_with_a_batch_is_described_once_however_often_the_batch_comes(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    for (int i = 0; i < 2; i++) {
        send_gap(&studio, 2, "the connection was lost", 1500, 2);
        source_is_acked(&studio, "s", 2);
    }
    send_gap(&studio, 3, "lost again", -1, 0);
    source_is_acked(&studio, "s", 3);
    for (int i = 0; i < 2; i++) {
        const msg_recording_t *described = studio_describe(&studio, "r1");
        assert_int_equal(described->elements, 5);
        assert_int_equal(described->gaps.count, 2);
        const msg_gap_t *gaps = described->gaps.items;
        assert_string_equal(gaps[0].tag, "a");
        assert_string_equal(gaps[0].what, "the connection was lost");
        assert_int_equal(gaps[0].lost_us, 1500);
        assert_int_equal(gaps[0].element, 3);
        assert_string_equal(gaps[1].what, "lost again");
        assert_false(gaps[1].has_lost_us);
        assert_int_equal(gaps[1].element, 5);
        stage_fail(studio.stage, "recorder");
        studio_load(&studio);
    }
    studio_budget(&studio, "j1", LIMIT_NONE);
    assert_int_equal(source_attach(&studio, "t", "j1", "a", "w")->next_seq, 4);
    studio_close(&studio);
}

static void a_gap_that_says_nothing_or_too_much_is_refused_with_its_batch(void **state) {
    studio_t studio;
    char text[1002];
    (void)state;
    open_attached(&studio);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    send_gap(&studio, 1, text, 5, 1);
    assert_string_equal(source_is_nacked(&studio, "s", 1, "too_large")->error.field, "gap");
    send_gap(&studio, 2, "", -1, 1);
    assert_string_equal(source_is_nacked(&studio, "s", 2, "bad_request")->error.field, "gap");
    send_gap(&studio, 3, NULL, 5, 1);
    assert_string_equal(source_is_nacked(&studio, "s", 3, "bad_request")->error.field, "lost_us");
    text[1000] = 0;
    send_gap(&studio, 4, text, 5, 1);
    source_is_acked(&studio, "s", 4);
    assert_int_equal(studio_describe(&studio, "r1")->elements, 1);
    assert_int_equal(studio_describe(&studio, "r1")->gaps.count, 1);
    studio_close(&studio);
}

static void a_batch_must_name_its_source_where_its_tag_does_not(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    int64_t second = source_attach(&studio, "s", "j1", "a", "v")->source;
    source_batch(&studio, "s", "a", 1, 3);
    source_is_nacked(&studio, "s", 1, "not_found");
    msg_source_batch_t batch = {.has_source = true, .source = second, .tag = "a", .seq = 1};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 2, 0, 5));
    stage_run(studio.stage);
    source_is_acked(&studio, "s", 1);
    batch.tag = "b";
    batch.seq = 2;
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 2, 0, 5));
    stage_run(studio.stage);
    source_is_nacked(&studio, "s", 2, "bad_request");
    studio_close(&studio);
}

static void another_connection_cannot_use_an_attachment(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    int64_t source = source_attach(&studio, "s", "j1", "a", "w")->source;
    source_attach(&studio, "t", "j1", "b", NULL);
    msg_source_batch_t batch = {.has_source = true, .source = source, .tag = "a", .seq = 1};
    stage_peer_send(studio.stage, source_named("t"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 2, 0, 5));
    stage_run(studio.stage);
    source_is_nacked(&studio, "t", 1, "not_found");
    assert_int_equal(studio_job(&studio, "r1")->elements, 0);
    studio_close(&studio);
}

static void many_bytes_are_acknowledged_before_the_recorder_settles(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    msg_source_batch_t batch = {.tag = "a"};
    for (batch.seq = 1; batch.seq <= 8; batch.seq++)
        stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 1, 0, 400 * 1024));
    stage_run(studio.stage);
    const msg_source_ack_t *ack = source_take(&studio, "s", MSG_SOURCE_ACK);
    assert_int_equal(ack->seq, 3);
    ack = source_take(&studio, "s", MSG_SOURCE_ACK);
    assert_int_equal(ack->seq, 6);
    source_is_acked(&studio, "s", 8);
    studio_close(&studio);
}

/* ---- waiting ---- */

static void source_waits(studio_t *studio, const char *source, const char *message) {
    msg_source_waiting_t waiting = {.tag = "a", .has_message = message != NULL, .message = message};
    stage_peer_send(studio->stage, source_named(source), MSG_SOURCE_WAITING, &waiting, (bytes_t){0});
    stage_run(studio->stage);
}

static void what_a_source_waits_for_is_told_to_its_job(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    source_waits(&studio, "s", "a broker");
    const msg_source_waits_t *waits = studio_take(&studio, "job_supervisor", MSG_SOURCE_WAITS);
    assert_string_equal(waits->job, "j1");
    assert_string_equal(waits->signature, "A");
    assert_string_equal(waits->message, "a broker");
    source_waits(&studio, "s", NULL);
    waits = studio_take(&studio, "job_supervisor", MSG_SOURCE_WAITS);
    assert_false(waits->has_message);
    source_waits(&studio, "stranger", "anything");
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_WAITS));
    studio_close(&studio);
}

static void of_what_it_says_in_a_rush_only_the_last_is_told(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    for (int i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        msg_source_waiting_t waiting = {.tag = "a", .has_message = true, .message = text};
        stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_WAITING, &waiting, (bytes_t){0});
    }
    stage_run(studio.stage);
    const msg_source_waits_t *waits, *last = NULL;
    int told = 0;
    for (; told < 1000; told++, last = waits) {
        const stage_message_t *message = stage_take(studio.stage, "job_supervisor", MSG_SOURCE_WAITS);
        if (!message) break;
        waits = message->message;
    }
    assert_in_range(told, 1, 10);
    assert_string_equal(last->message, "999");
    source_waits(&studio, "s", "999");
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_WAITS));
    studio_close(&studio);
}

static void what_it_waits_for_is_refused_where_it_is_too_long_to_be_shown(void **state) {
    studio_t studio;
    char text[1002];
    (void)state;
    open_attached(&studio);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    source_waits(&studio, "s", text);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_WAITS));
    assert_string_equal(stage_peer_refusal(studio.stage, source_named("s"))->field, "message");
    studio_close(&studio);
}

/* ---- ends ---- */

static void a_finite_source_ends_for_all_its_producers(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    source_attach(&studio, "t", "j1", "a", "v");
    source_send(&studio, "s", "a", 1, 3);
    source_send(&studio, "t", "a", 1, 2);
    stage_run(studio.stage);
    source_is_acked(&studio, "s", 1);
    source_is_acked(&studio, "t", 1);
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    stage_run(studio.stage);
    stage_peer_answer(studio.stage, source_named("s"), MSG_OK);
    const msg_source_stop_t *stop = stage_peer_take_of(studio.stage, source_named("t"), MSG_SOURCE_STOP)->message;
    assert_string_equal(stop->reason, "sources_ended");
    assert_int_equal(stop->accepted, 2);
    const msg_source_ended_t *ended = studio_take(&studio, "job_supervisor", MSG_SOURCE_ENDED);
    assert_string_equal(ended->signature, "A");
    const msg_recording_job_t *job = studio_job(&studio, "r1");
    assert_true(job->streams.items[0].ended);
    assert_false(job->streams.items[1].ended);
    assert_int_equal(job->elements, 5);
    studio_close(&studio);
}

static void batches_before_done_are_in_the_recording(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    source_send(&studio, "s", "a", 1, 3);
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    source_send(&studio, "s", "a", 2, 3);
    stage_run(studio.stage);
    assert_int_equal(studio_job(&studio, "r1")->elements, 3);
    assert_int_equal(((const msg_source_ack_t *)source_take(&studio, "s", MSG_SOURCE_ACK))->seq, 1);
    stage_peer_answer(studio.stage, source_named("s"), MSG_OK);
    studio_close(&studio);
}

static void nothing_comes_after_the_end_of_its_stream(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    int64_t other = source_attach(&studio, "s", "j1", "aa", "v")->source;
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    msg_source_batch_t batch = {.has_source = true, .source = other, .tag = "aa", .seq = 1};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 2, 0, 5));
    stage_run(studio.stage);
    assert_int_equal(studio_job(&studio, "r1")->elements, 0);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    studio_close(&studio);
}

static void a_source_that_cannot_go_on_fails_its_job(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    msg_source_fail_t fail = {.tag = "a", .message = "the broker is gone"};
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_FAIL, &fail, (bytes_t){0}, 2);
    stage_run(studio.stage);
    stage_peer_answer(studio.stage, source_named("s"), MSG_OK);
    const msg_source_failed_t *failed = studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    assert_string_equal(failed->message, "`a`: the broker is gone");
    fail.has_job = true;
    fail.job = "j1";
    stage_peer_request(studio.stage, source_named("x"), MSG_SOURCE_FAIL, &fail, (bytes_t){0}, 2); /* was never let in */
    stage_run(studio.stage);
    stage_peer_answer(studio.stage, source_named("x"), MSG_OK);
    assert_string_equal(((const msg_source_failed_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED))->job, "j1");
    studio_close(&studio);
}

static void an_end_of_something_unknown_is_to_be_tried_again(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    stage_run(studio.stage);
    const refusal_t *no = stage_peer_refusal(studio.stage, source_named("s"));
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    assert_true(no->retry);
    studio_close(&studio);
}

/* ---- liveness ---- */

static void an_idle_source_is_pinged_and_a_silent_one_let_go(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    for (int i = 0; i < 10; i++) {
        stage_advance(studio.stage, 2 * SECOND);
        assert_non_null(stage_peer_take_of(studio.stage, source_named("s"), MSG_PING));
        stage_peer_send(studio.stage, source_named("s"), MSG_PONG, &(msg_pong_t){0}, (bytes_t){0});
        stage_run(studio.stage);
    }
    source_batch(&studio, "s", "a", 1, 1);
    source_is_acked(&studio, "s", 1);
    assert_false(stage_peer_dismissed(studio.stage, source_named("s")));
    stage_advance(studio.stage, 12 * SECOND);
    assert_true(stage_peer_dismissed(studio.stage, source_named("s")));
    while (stage_peer_take(studio.stage, source_named("s"))) continue;
    source_batch(&studio, "s", "a", 2, 1);
    source_is_nacked(&studio, "s", 2, "not_found");
    assert_int_equal(source_attach(&studio, "s", "j1", "a", "w")->next_seq, 2);
    studio_close(&studio);
}

static void one_that_answers_each_ping_stays_however_short_the_time_out_is(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    msg_options_changed_t options = {0};
    options_default((msg_options_t *)&options);
    options.worker_timeout_ms = 300;
    stage_tell(studio.stage, "catalog", "recorder", MSG_OPTIONS_CHANGED, &options);
    stage_advance(studio.stage, 250 * 1000); /* the next look is as late as it was to be */
    for (int i = 0; i < 100; i++) {
        if (stage_peer_take_of(studio.stage, source_named("s"), MSG_PING))
            stage_peer_send(studio.stage, source_named("s"), MSG_PONG, &(msg_pong_t){0}, (bytes_t){0});
        stage_advance(studio.stage, 130 * 1000);
    }
    assert_false(stage_peer_dismissed(studio.stage, source_named("s")));
    while (stage_peer_take(studio.stage, source_named("s"))) continue;
    source_batch(&studio, "s", "a", 1, 1);
    source_is_acked(&studio, "s", 1);
    studio_close(&studio);
}

static void a_source_that_sends_is_not_pinged(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    for (int64_t seq = 1; seq < 10; seq++) {
        stage_advance(studio.stage, SECOND);
        source_batch(&studio, "s", "a", seq, 1);
        source_is_acked(&studio, "s", seq);
    }
    studio_close(&studio);
}

static void a_peer_that_is_gone_takes_all_its_attachments_along(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    source_attach(&studio, "s", "j1", "b", "w");
    stage_peer_leave(studio.stage, source_named("s"));
    stage_advance(studio.stage, 4 * SECOND);
    source_attach(&studio, "t", "j1", "a", "w"); /* nobody is superseded */
    source_batch(&studio, "t", "a", 1, 1);
    source_is_acked(&studio, "t", 1);
    studio_close(&studio);
}

static void a_producer_that_has_gone_holds_no_watermark_back(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    source_attach(&studio, "t", "j1", "a", NULL);
    msg_source_batch_t batch = {.tag = "a", .seq = 1, .has_watermark = true, .watermark = 77};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 1, 100, 20));
    stage_run(studio.stage);
    assert_false(studio_describe(&studio, "r1")->tags.items[0].has_watermark);
    stage_peer_leave(studio.stage, source_named("t"));
    stage_advance(studio.stage, 4 * SECOND);
    assert_int_equal(studio_describe(&studio, "r1")->tags.items[0].watermark, 77);
    studio_close(&studio);
}

static void a_peer_that_reads_slowly_is_acknowledged_later(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio);
    stage_peer_block(studio.stage, source_named("s"), true);
    source_batch(&studio, "s", "a", 1, 1);
    assert_true(source_is_quiet(&studio, "s"));
    stage_peer_block(studio.stage, source_named("s"), false);
    stage_advance(studio.stage, 10000);
    source_is_acked(&studio, "s", 1);
    studio_close(&studio);
}

/* Each segment's header has the cursors of all producers. */
static void cursors_are_limited_together(void **state) {
    static uint8_t cursor[60000] = {0xc6, 0, 0, (60000 - 5) >> 8, (60000 - 5) & 0xff};
    studio_t studio;
    (void)state;
    open_attached(&studio);
    int refused = 0;
    for (int i = 0; i < 200 && refused < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        msg_source_batch_t batch = {.has_source = true, .tag = "b", .seq = 1, .has_cursor = true, .cursor = {cursor, sizeof cursor}};
        batch.source = source_attach(&studio, "t", "j1", "b", name)->source;
        stage_peer_send(studio.stage, source_named("t"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 1, 0, 20));
        stage_run(studio.stage);
        if (refused == 0 && i < 100) {
            source_is_acked(&studio, "t", 1);
        } else {
            const stage_message_t *m = stage_peer_take(studio.stage, source_named("t"));
            refused += m->head.id == MSG_SOURCE_NACK;
        }
    }
    assert_int_equal(refused, 5);
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_that_wait_together_are_acknowledged_at_once),
        cmocka_unit_test(a_batch_sent_twice_is_acknowledged_and_stored_once),
        cmocka_unit_test(a_skipped_number_is_a_conflict_and_uses_up_nothing),
        cmocka_unit_test(a_bad_body_is_refused_and_its_number_used_up),
        cmocka_unit_test(a_batch_must_name_its_source_where_its_tag_does_not),
        cmocka_unit_test(another_connection_cannot_use_an_attachment),
        cmocka_unit_test(many_bytes_are_acknowledged_before_the_recorder_settles),
        cmocka_unit_test(what_a_source_waits_for_is_told_to_its_job),
        cmocka_unit_test(of_what_it_says_in_a_rush_only_the_last_is_told),
        cmocka_unit_test(what_it_waits_for_is_refused_where_it_is_too_long_to_be_shown),
        cmocka_unit_test(a_finite_source_ends_for_all_its_producers),
        cmocka_unit_test(batches_before_done_are_in_the_recording),
        cmocka_unit_test(nothing_comes_after_the_end_of_its_stream),
        cmocka_unit_test(a_source_that_cannot_go_on_fails_its_job),
        cmocka_unit_test(an_end_of_something_unknown_is_to_be_tried_again),
        cmocka_unit_test(an_idle_source_is_pinged_and_a_silent_one_let_go),
        cmocka_unit_test(one_that_answers_each_ping_stays_however_short_the_time_out_is),
        cmocka_unit_test(a_source_that_sends_is_not_pinged),
        cmocka_unit_test(a_peer_that_is_gone_takes_all_its_attachments_along),
        cmocka_unit_test(a_producer_that_has_gone_holds_no_watermark_back),
        cmocka_unit_test(a_peer_that_reads_slowly_is_acknowledged_later),
        cmocka_unit_test(cursors_are_limited_together),
        cmocka_unit_test(a_gap_that_came_with_a_batch_is_described_once_however_often_the_batch_comes),
        cmocka_unit_test(a_gap_that_says_nothing_or_too_much_is_refused_with_its_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
