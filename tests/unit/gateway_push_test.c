/* push: each is answered once, when what it brought is safe, and recorded once, whatever happens between. */
#include "counter.h"

#include "messages/wire.h"

enum { COUNT = 3 };

static void push_from(stage_t *stage, stage_peer_t peer, msg_push_t push) {
    push.has_pipeline = true;
    push.pipeline = "clicks";
    push.tag = "Read";
    static int64_t time;
    ask_from(stage, peer, MSG_PUSH, &push, stage_body(stage, COUNT, time += 1000, 10));
}

static void push(stage_t *stage, stage_peer_t peer) {
    push_from(stage, peer, (msg_push_t){0});
}

static const msg_source_attach_t *let_in_at(stage_t *stage, int64_t source, int64_t next, bytes_t cursor) {
    msg_source_attached_t attached = {
        .source = source, .job = "j1", .next_seq = next, .credit = 1000, .has_cursor = cursor.size > 0, .cursor = cursor};
    return desk_answer(stage, "ingest", MSG_SOURCE_ATTACH, &attached);
}

static const msg_source_attach_t *let_in(stage_t *stage, int64_t source, int64_t next) {
    return let_in_at(stage, source, next, (bytes_t){0});
}

static const msg_source_batch_t *batch(stage_t *stage, int64_t source, int64_t seq) {
    const stage_message_t *m = desk_take(stage, "ingest", MSG_SOURCE_BATCH);
    const msg_source_batch_t *b = m->message;
    assert_int_equal(b->source, source);
    assert_int_equal(b->seq, seq);
    uint32_t count;
    refusal_t no;
    assert_true(m->has_body);
    assert_int_equal(wire_body_check(m->body, &count, &no), 0);
    assert_int_equal(count, COUNT);
    return b;
}

static void no_batch(stage_t *stage) {
    desk_is_quiet(stage, "ingest", MSG_SOURCE_BATCH);
}

static void ack(stage_t *stage, int64_t source, int64_t seq) {
    stage_door_tell(stage, "gateway", 1, MSG_SOURCE_ACK, &(msg_source_ack_t){.source = source, .tag = "Read", .seq = seq}, (bytes_t){0});
    stage_run(stage);
}

static void nack(stage_t *stage, int64_t source, int64_t seq, error_code_t code, bool retry, int64_t expected) {
    msg_source_nack_t message = {.has_source = true, .source = source, .tag = "Read", .seq = seq};
    message.error = (msg_refusal_map_t){
        .code = error_name(code), .message = "no", .has_retry = retry, .retry = retry, .has_expected = expected > 0, .expected = expected};
    stage_door_tell(stage, "gateway", 1, MSG_SOURCE_NACK, &message, (bytes_t){0});
    stage_run(stage);
}

static void assert_pushed(stage_t *stage, stage_peer_t peer, int64_t accepted, int64_t seq) {
    const msg_pushed_t *pushed = peer_yes(stage, peer, MSG_PUSHED);
    assert_int_equal(pushed->accepted, accepted);
    assert_int_equal(pushed->seq, seq);
    assert_false(pushed->has_stopped);
}

/* ---- the plain way ---- */

static void a_push_is_answered_when_it_is_acknowledged(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    const msg_source_attach_t *attach = let_in(stage, 7, 5);
    assert_string_equal(attach->pipeline, "clicks");
    assert_string_equal(attach->tag, "Read");
    assert_string_equal(attach->producer, "gateway");
    batch(stage, 7, 5);
    assert_true(peer_waits_still(stage, client));
    ack(stage, 7, 5);
    assert_pushed(stage, client, COUNT, 5);
    push(stage, client);
    desk_is_quiet(stage, "ingest", MSG_SOURCE_ATTACH);
    batch(stage, 7, 6);
    ack(stage, 7, 6);
    assert_pushed(stage, client, COUNT, 6);
    stage_destroy(&stage);
}

static void one_acknowledgement_answers_all_that_came_before(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    push(stage, other);
    let_in(stage, 7, 1);
    const stage_message_t *first = desk_take(stage, "ingest", MSG_SOURCE_BATCH), *second = desk_take(stage, "ingest", MSG_SOURCE_BATCH);
    assert_int_equal(((const msg_source_batch_t *)first->message)->seq, 1);
    assert_int_equal(((const msg_source_batch_t *)second->message)->seq, 2);
    assert_int_equal(wire_element_at(wire_body_elements(second->body, COUNT)).event_time,
                     wire_element_at(wire_body_elements(first->body, COUNT)).event_time + 1000);
    ack(stage, 7, 2);
    assert_pushed(stage, client, COUNT, 1);
    assert_pushed(stage, other, COUNT, 2);
    stage_destroy(&stage);
}

static void producers_and_tags_are_fed_apart(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_producer = true, .producer = "one"});
    push_from(stage, other, (msg_push_t){.has_producer = true, .producer = "two"});
    assert_string_equal(let_in(stage, 7, 1)->producer, "one");
    assert_string_equal(let_in(stage, 8, 4)->producer, "two");
    batch(stage, 7, 1);
    batch(stage, 8, 4);
    ack(stage, 8, 4);
    assert_true(peer_waits_still(stage, client));
    assert_pushed(stage, other, COUNT, 4);
    stage_destroy(&stage);
}

static void what_is_no_batch_is_refused_at_once(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_push_t message = {.has_pipeline = true, .pipeline = "clicks", .tag = "Read"};
    ask_from(stage, client, MSG_PUSH, &message, (bytes_t){0});
    refusal_t no = peer_no(stage, client);
    assert_int_equal(no.code, ERROR_BAD_REQUEST);
    assert_string_equal(no.field, "body");
    ask_from(stage, client, MSG_PUSH, &message, (bytes_t){(const uint8_t *)"\x91\x07", 2});
    assert_int_equal(peer_no(stage, client).code, ERROR_BAD_REQUEST);
    desk_is_quiet(stage, "ingest", MSG_SOURCE_ATTACH);
    stage_destroy(&stage);
}

static void where_nobody_records_a_push_is_refused(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    push(stage, other);
    desk_refuse(stage, "ingest", MSG_SOURCE_ATTACH, ERROR_INVALID_STATE, "no job of pipeline `clicks` is running");
    assert_int_equal(peer_no(stage, client).code, ERROR_INVALID_STATE);
    assert_int_equal(peer_no(stage, other).code, ERROR_INVALID_STATE);
    push(stage, client);
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    stage_destroy(&stage);
}

/* ---- numbers ---- */

static void a_number_that_is_given_is_used_and_goes_alone(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_seq = true, .seq = 1});
    push(stage, other);
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    no_batch(stage);
    ack(stage, 7, 1);
    assert_pushed(stage, client, COUNT, 1);
    batch(stage, 7, 2);
    push_from(stage, client, (msg_push_t){.has_seq = true, .seq = 3});
    no_batch(stage);
    ack(stage, 7, 2);
    assert_pushed(stage, other, COUNT, 2);
    batch(stage, 7, 3);
    stage_destroy(&stage);
}

static void a_number_that_was_used_is_acknowledged_again(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_seq = true, .seq = 2});
    let_in(stage, 7, 9);
    batch(stage, 7, 2);
    ack(stage, 7, 8);
    assert_pushed(stage, client, COUNT, 2);
    push(stage, client);
    batch(stage, 7, 9);
    stage_destroy(&stage);
}

static void a_number_that_skips_some_is_refused_and_spoils_no_other(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_seq = true, .seq = 9});
    push(stage, other);
    let_in(stage, 7, 1);
    batch(stage, 7, 9);
    nack(stage, 7, 9, ERROR_CONFLICT, false, 1);
    refusal_t no = peer_no(stage, client);
    assert_int_equal(no.code, ERROR_CONFLICT);
    assert_int_equal(no.expected, 1);
    batch(stage, 7, 1);
    ack(stage, 7, 1);
    assert_pushed(stage, other, COUNT, 1);
    stage_destroy(&stage);
}

static void a_refused_batch_uses_up_its_number(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_seq = true, .seq = 1});
    push(stage, other);
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    nack(stage, 7, 1, ERROR_TOO_LARGE, false, 0);
    assert_int_equal(peer_no(stage, client).code, ERROR_TOO_LARGE);
    batch(stage, 7, 2);
    stage_destroy(&stage);
}

static void the_gateway_asks_when_it_has_lost_count(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    push(stage, other);
    let_in(stage, 7, 5);
    batch(stage, 7, 5);
    batch(stage, 7, 6);
    nack(stage, 7, 5, ERROR_CONFLICT, false, 2);
    nack(stage, 7, 6, ERROR_CONFLICT, false, 2);
    let_in(stage, 8, 2);
    desk_is_quiet(stage, "ingest", MSG_SOURCE_ATTACH);
    batch(stage, 8, 2);
    batch(stage, 8, 3);
    ack(stage, 8, 3);
    assert_pushed(stage, client, COUNT, 2);
    assert_pushed(stage, other, COUNT, 3);
    stage_destroy(&stage);
}

/* ---- the end ---- */

static void a_job_that_stops_says_what_it_took(void **test) {
    (void)test;
    stage_t *stage = counter();
    static const stage_peer_t third = {"gateway", "third"};
    push(stage, client);
    push(stage, other);
    push(stage, third);
    let_in(stage, 7, 1);
    msg_source_stop_t stop = {
        .has_source = true, .source = 7, .tag = "Read", .reason = "count", .has_seq = true, .seq = 2, .has_accepted = true, .accepted = 1};
    stage_door_tell(stage, "gateway", 1, MSG_SOURCE_STOP, &stop, (bytes_t){0});
    static const int64_t accepted[] = {COUNT, 1, 0};
    const stage_peer_t peers[] = {client, other, third};
    for (size_t i = 0; i < 3; i++) {
        const msg_pushed_t *pushed = peer_yes(stage, peers[i], MSG_PUSHED);
        assert_int_equal(pushed->accepted, accepted[i]);
        assert_string_equal(pushed->stopped, "count");
    }
    push(stage, client);
    desk_refuse(stage, "ingest", MSG_SOURCE_ATTACH, ERROR_INVALID_STATE, "no job is running");
    peer_no(stage, client);
    stage_destroy(&stage);
}

static void a_stop_of_an_attachment_of_long_ago_is_nothing(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    let_in(stage, 7, 1);
    msg_source_stop_t stop = {.has_source = true, .source = 6, .tag = "Read", .reason = "superseded"};
    stage_door_tell(stage, "gateway", 1, MSG_SOURCE_STOP, &stop, (bytes_t){0});
    assert_true(peer_waits_still(stage, client));
    ack(stage, 6, 9);
    nack(stage, 6, 1, ERROR_BAD_REQUEST, false, 0);
    assert_true(peer_waits_still(stage, client));
    stage_destroy(&stage);
}

static void a_push_that_ends_its_source_is_answered_when_that_is_said(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_done = true, .done = true});
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    desk_is_quiet(stage, "ingest", MSG_SOURCE_DONE);
    push(stage, other);
    no_batch(stage);
    ack(stage, 7, 1);
    assert_true(peer_waits_still(stage, client));
    assert_int_equal(((const msg_source_done_t *)desk_answer(stage, "ingest", MSG_SOURCE_DONE, NULL))->source, 7);
    assert_pushed(stage, client, COUNT, 1);
    desk_refuse(stage, "ingest", MSG_SOURCE_ATTACH, ERROR_INVALID_STATE, "source `Read` has ended");
    assert_int_equal(peer_no(stage, other).code, ERROR_INVALID_STATE);
    stage_destroy(&stage);
}

static void a_push_may_end_its_source_and_bring_nothing(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_push_t message = {.has_pipeline = true, .pipeline = "clicks", .tag = "Read", .has_done = true, .done = true};
    push(stage, other);
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    ask_from(stage, client, MSG_PUSH, &message, (bytes_t){0});
    desk_is_quiet(stage, "ingest", MSG_SOURCE_DONE);
    ack(stage, 7, 1);
    assert_pushed(stage, other, COUNT, 1);
    desk_answer(stage, "ingest", MSG_SOURCE_DONE, NULL);
    no_batch(stage);
    const msg_pushed_t *pushed = peer_yes(stage, client, MSG_PUSHED);
    assert_int_equal(pushed->accepted, 0);
    assert_false(pushed->has_seq);
    stage_destroy(&stage);
}

static void an_end_that_the_recorder_lost_is_told_again(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_done = true, .done = true});
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    ack(stage, 7, 1);
    const stage_message_t *m = desk_take(stage, "ingest", MSG_SOURCE_DONE);
    refusal_t lost;
    refuse(&lost, ERROR_NOT_FOUND, "source", "not attached: attach again");
    lost.retry = true;
    stage_refuse_as(stage, m, &lost);
    let_in(stage, 8, 2);
    no_batch(stage);
    assert_int_equal(((const msg_source_done_t *)desk_answer(stage, "ingest", MSG_SOURCE_DONE, NULL))->source, 8);
    assert_pushed(stage, client, COUNT, 1);
    stage_destroy(&stage);
}

static void an_end_whose_answer_was_lost_has_happened(void **test) {
    (void)test;
    stage_t *stage = counter();
    push_from(stage, client, (msg_push_t){.has_done = true, .done = true});
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    ack(stage, 7, 1);
    desk_take(stage, "ingest", MSG_SOURCE_DONE);
    stage_tell(stage, "recorder", "gateway", MSG_RECORDER_RECOVERED, &(msg_recorder_recovered_t){0});
    desk_refuse(stage, "ingest", MSG_SOURCE_ATTACH, ERROR_INVALID_STATE, "source `Read` has ended");
    assert_pushed(stage, client, COUNT, 1);
    stage_destroy(&stage);
}

/* ---- failures ---- */

static void what_a_recorder_that_failed_has_not_acknowledged_is_sent_again(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    push(stage, other);
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    batch(stage, 7, 2);
    stage_tell(stage, "recorder", "gateway", MSG_RECORDER_RECOVERED, &(msg_recorder_recovered_t){0});
    let_in(stage, 8, 2); /* the first was written, and its acknowledgement is owed */
    batch(stage, 8, 1);
    batch(stage, 8, 2);
    assert_true(peer_waits_still(stage, client));
    ack(stage, 8, 2);
    assert_pushed(stage, client, COUNT, 1);
    assert_pushed(stage, other, COUNT, 2);
    stage_destroy(&stage);
}

static void an_attachment_that_is_not_known_any_more_is_made_again(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    nack(stage, 7, 1, ERROR_NOT_FOUND, true, 0);
    let_in(stage, 8, 1);
    batch(stage, 8, 1);
    ack(stage, 8, 1);
    assert_pushed(stage, client, COUNT, 1);
    stage_destroy(&stage);
}

static void what_was_recorded_before_the_gateway_failed_is_not_recorded_twice(void **test) {
    (void)test;
    stage_t *stage = counter();
    push(stage, client);
    push(stage, other);
    let_in(stage, 7, 1);
    batch(stage, 7, 1);
    bytes_t cursor = batch(stage, 7, 2)->cursor; /* recorded; its acknowledgement is lost with the state */
    push(stage, (stage_peer_t){"gateway", "third"});
    batch(stage, 7, 3); /* not recorded */
    stage_fail(stage, "gateway");
    stage_run(stage);
    push(stage, (stage_peer_t){"gateway", "fourth"});
    let_in_at(stage, 8, 3, cursor);
    batch(stage, 8, 2);
    batch(stage, 8, 2);
    batch(stage, 8, 3);
    batch(stage, 8, 4);
    ack(stage, 8, 4);
    assert_pushed(stage, client, COUNT, 2);
    assert_pushed(stage, other, COUNT, 2);
    assert_pushed(stage, (stage_peer_t){"gateway", "third"}, COUNT, 3);
    assert_pushed(stage, (stage_peer_t){"gateway", "fourth"}, COUNT, 4);
    stage_destroy(&stage);
}

static void a_cursor_of_another_process_or_producer_says_nothing(void **test) {
    (void)test;
    const bytes_t cursors[] = {pack("{sisi}", "boot", 7LL, "request", 1LL << 60), pack("i", 9LL), pack("{si}", "request", 1LL << 60)};
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        stage_t *stage = counter();
        push(stage, client);
        stage_fail(stage, "gateway");
        desk_take(stage, "ingest", MSG_SOURCE_ATTACH);
        let_in_at(stage, 8, 3, cursors[i]);
        batch(stage, 8, 3);
        stage_destroy(&stage);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_is_answered_when_it_is_acknowledged),
        cmocka_unit_test(one_acknowledgement_answers_all_that_came_before),
        cmocka_unit_test(producers_and_tags_are_fed_apart),
        cmocka_unit_test(what_is_no_batch_is_refused_at_once),
        cmocka_unit_test(where_nobody_records_a_push_is_refused),
        cmocka_unit_test(a_number_that_is_given_is_used_and_goes_alone),
        cmocka_unit_test(a_number_that_was_used_is_acknowledged_again),
        cmocka_unit_test(a_number_that_skips_some_is_refused_and_spoils_no_other),
        cmocka_unit_test(a_refused_batch_uses_up_its_number),
        cmocka_unit_test(the_gateway_asks_when_it_has_lost_count),
        cmocka_unit_test(a_job_that_stops_says_what_it_took),
        cmocka_unit_test(a_stop_of_an_attachment_of_long_ago_is_nothing),
        cmocka_unit_test(a_push_that_ends_its_source_is_answered_when_that_is_said),
        cmocka_unit_test(a_push_may_end_its_source_and_bring_nothing),
        cmocka_unit_test(an_end_that_the_recorder_lost_is_told_again),
        cmocka_unit_test(an_end_whose_answer_was_lost_has_happened),
        cmocka_unit_test(what_a_recorder_that_failed_has_not_acknowledged_is_sent_again),
        cmocka_unit_test(an_attachment_that_is_not_known_any_more_is_made_again),
        cmocka_unit_test(what_was_recorded_before_the_gateway_failed_is_not_recorded_twice),
        cmocka_unit_test(a_cursor_of_another_process_or_producer_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
