/* The ingest client of the sources inside, with a source that counts. */
#include "feed_source.h"

/* ---- attaching ---- */

static void it_attaches_as_its_actor_to_its_job_and_tag(void **state) {
    start(*state, 0);
    assert_int_equal(ingest.attaches, 1);
    assert_string_equal(ingest.job, "job-1");
    assert_string_equal(ingest.tag, "Read");
    assert_string_equal(ingest.producer, "source:7");
}

static void nothing_is_produced_before_it_is_attached(void **state) {
    ingest.hold_attach = true;
    start(*state, 100);
    assert_int_equal(script.resumed, 0);
    assert_int_equal(ingest.count, 0);
    ingest_do(*state, ingest_attach_answer);
    assert_int_equal(script.resumed, 1);
    assert_recorded(100);
}

static void it_goes_on_from_the_cursor_and_the_number_it_is_given(void **state) {
    ingest.next_seq = 42;
    ingest.cursor[0] = 0x91;
    ingest.cursor[1] = 95;
    ingest.cursor_size = 2;
    start(*state, 100);
    assert_int_equal(ingest.count, 5);
    assert_string_equal(ingest.elements[0].text, "95");
    assert_int_equal(ingest.next_seq, 43);
}

static void a_high_number_is_not_taken_for_many_batches_on_the_way(void **state) {
    ingest.next_seq = 5000;
    start(*state, 100);
    assert_recorded(100);
    assert_int_equal(ingest.next_seq, 5010);
}

static void what_was_made_for_a_former_attachment_is_not_sent_on_the_next(void **state) {
    script.gathers = true;
    start(*state, 5);
    ingest_do(*state, nack_conflict);
    script.gathers = false;
    go_on(*state, 20);
    assert_recorded(20);
}

static void attaching_is_tried_at_least_once_a_second(void **state) {
    ingest.refusals = 1000;
    ingest.refusal = (refusal_t){.code = ERROR_UNAVAILABLE, .message = "not now"};
    start(*state, 10);
    stage_advance(*state, 100000000);
    assert_in_range(ingest.attaches, 100, 110);
}

static void a_refusal_with_retry_is_followed_by_another_attach_later_and_later(void **state) {
    ingest.refusals = 4;
    ingest.refusal = (refusal_t){.code = ERROR_NOT_FOUND, .message = "not yet", .retry = true};
    start(*state, 10);
    assert_int_equal(ingest.attaches, 1);
    stage_advance(*state, 10000);
    assert_int_equal(ingest.attaches, 2);
    stage_advance(*state, 10000);
    assert_int_equal(ingest.attaches, 2);
    stage_advance(*state, 10000);
    assert_int_equal(ingest.attaches, 3);
    stage_advance(*state, 1000000);
    assert_int_equal(ingest.attaches, 5);
    assert_recorded(10);
}

static void a_refusal_without_retry_fails_the_job_with_its_text(void **state) {
    ingest.refusals = 1;
    ingest.refusal = (refusal_t){.code = ERROR_NOT_FOUND, .message = "there is no tag `Read`"};
    start(*state, 10);
    stage_advance(*state, 10000000);
    assert_int_equal(ingest.attaches, 1);
    assert_string_equal(ingest.failure, "there is no tag `Read`");
    assert_string_equal(ingest.failed_job, "job-1");
    assert_int_equal(ingest.count, 0);
}

static void a_job_that_has_ended_needs_no_source(void **state) {
    ingest.refusals = 1;
    ingest.refusal = (refusal_t){.code = ERROR_INVALID_STATE, .message = "the job is DONE"};
    start(*state, 10);
    stage_advance(*state, 10000000);
    assert_int_equal(ingest.attaches, 1);
    assert_string_equal(ingest.failure, "");
    assert_int_equal(script.stopped, 1);
}

/* ---- credit ---- */

static void it_sends_while_there_is_credit_and_overshoots_by_one_batch(void **state) {
    ingest.hold_acks = true;
    ingest.credit = 10000;
    script.size = 300;
    start(*state, 1000000);
    assert_in_range(ingest.batches, 3, 4); /* of ten elements and a header */
    ingest_do(*state, ingest_ack);
    assert_in_range(ingest.batches, 6, 8);
    ingest.hold_acks = false;
    script.end = 200;
    ingest_do(*state, ingest_ack);
    assert_int_equal(ingest.count, 200);
}

static void one_acknowledgement_covers_all_before_it(void **state) {
    ingest.hold_acks = true;
    ingest.credit = 4000;
    start(*state, 1000000);
    int64_t batches = ingest.batches;
    assert_true(batches > 10);
    for (int i = 2; i < 10; i++) {
        ingest_do(*state, ingest_ack);
        assert_in_range(ingest.batches, batches * i - i * 2, batches * i);
    }
}

static void tiny_batches_are_bounded_in_number(void **state) {
    ingest.hold_acks = true;
    ingest.credit = INT64_C(1) << 40;
    script.batch = 1;
    start(*state, 5000);
    assert_int_equal(ingest.batches, FEED_UNACKED_MAX);
    ingest_do(*state, ingest_ack);
    assert_int_equal(ingest.batches, 2 * FEED_UNACKED_MAX);
    ingest.hold_acks = false;
    ingest_do(*state, ingest_ack);
    assert_recorded(5000);
}

/* Whoever had room for one batch may send a gap, an element and a watermark. */
static void what_is_sent_beyond_the_bound_is_counted_to_the_byte(void **state) {
    ingest.hold_acks = true;
    ingest.credit = INT64_C(1) << 40;
    script.batch = 1;
    start(*state, 5000);
    script.places = 7;
    for (int i = 0; i < 3; i++) go_on(*state, FEED_UNACKED_MAX);
    assert_int_equal(ingest.batches, FEED_UNACKED_MAX + 3);
    ingest_do(*state, ingest_ack);
    assert_int_equal(script.feed->unacked, 0);
    assert_true(feed_room(script.feed));
}

static void a_batch_is_full_at_its_bytes_or_its_elements(void **state) {
    ingest.credit = INT64_C(1) << 40;
    script.batch = 1000000;
    start(*state, 2 * FEED_BATCH_ELEMENTS + 1);
    assert_int_equal(ingest.batches, 3);
    assert_recorded(2 * FEED_BATCH_ELEMENTS + 1);
}

static void a_batch_is_full_at_half_of_its_credit(void **state) {
    ingest.credit = 20000;
    script.size = 300;
    script.batch = 1000000;
    start(*state, 500);
    assert_in_range(ingest.largest, 10000, 10400);
    assert_recorded(500);
}

static void an_element_is_larger_than_the_credit_and_goes_all_the_same(void **state) {
    ingest.credit = 1;
    script.size = 300;
    script.batch = 1000000;
    start(*state, 20);
    assert_int_equal(ingest.batches, 20);
    assert_recorded(20);
}

static void a_source_that_once_had_much_holds_little_afterwards(void **state) {
    ingest.credit = INT64_C(1) << 40;
    script.size = 300;
    script.batch = 1000000;
    start(*state, 500);
    for (int i = 501; i < 504; i++) {
        go_on(*state, i);
        assert_true(script.feed->capacity <= 16 * 1024);
    }
    assert_recorded(503);
}

/* ---- the body ---- */

static void elements_of_every_size_arrive_as_they_are(void **state) {
    static const size_t sizes[] = {1, 255, 256, 65535, 65536, 300 * 1024, 5 * 1024 * 1024};
    ingest.credit = INT64_C(1) << 40;
    start(*state, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        script.size = sizes[i];
        go_on(*state, (int64_t)i * 3 + 3);
        assert_int_equal(ingest.count, i * 3 + 3);
        for (size_t k = i * 3; k < ingest.count; k++) {
            assert_int_equal(ingest.elements[k].size, sizes[i]);
            assert_int_equal(ingest.elements[k].time, k);
            if (sizes[i] > 2) assert_int_equal(ingest.elements[k].text[sizes[i] - 1], 'x');
        }
    }
}

static void negative_times_and_attributes_are_kept(void **state) {
    static const uint8_t attributes[] = {0x81, 0xa1, 'k', 0xa1, 'v'};
    start(*state, 0);
    feed_t feed = {.batch = NULL, .size = 5};
    uint8_t *at = feed_element(&feed, -5, 3, (bytes_t){attributes, sizeof attributes});
    memcpy(at, "abc", 3);
    wire_element_t element = wire_element_at((bytes_t){feed.batch + 5, feed.size - 5});
    assert_int_equal(element.event_time, -5);
    assert_int_equal(element.size, feed.size - 5);
    assert_memory_equal(element.payload.data, "abc", 3);
    assert_int_equal(element.attributes.size, sizeof attributes);
    assert_memory_equal(element.attributes.data, attributes, sizeof attributes);
    free(feed.batch);
}

static void a_cursor_of_numbers_is_read_back(void **state) {
    feed_t feed = {0};
    int64_t numbers[] = {0, -1, INT64_MAX, INT64_MIN, 300}, back[5] = {0};
    (void)state;
    msgpack_sbuffer_init(&feed.numbers);
    bytes_t cursor = feed_cursor(&feed, numbers, 5);
    assert_true(feed_cursor_read(cursor, back, 5));
    assert_memory_equal(back, numbers, sizeof numbers);
    assert_false(feed_cursor_read(cursor, back, 4));
    assert_false(feed_cursor_read((bytes_t){cursor.data, cursor.size - 1}, back, 5));
    assert_false(feed_cursor_read((bytes_t){(const uint8_t *)"\x91\xa1x", 3}, back, 1));
    assert_false(feed_cursor_read((bytes_t){(const uint8_t *)"\x91\x01\x02", 3}, back, 1));
    assert_false(feed_cursor_read((bytes_t){0}, back, 1));
    msgpack_sbuffer_destroy(&feed.numbers);
}

/* ---- losing the recorder ---- */

static void a_recorder_that_lost_its_state_gets_everything_once(void **state) {
    stage_t *stage = *state;
    ingest.hold_acks = true;
    ingest.credit = 2000;
    start(stage, 1000);
    assert_in_range(ingest.count, 1, 990);
    ingest.hold_acks = false;
    stage_fail(stage, "recorder");
    ingest.source = 0;
    stage_advance(stage, 6000000);
    assert_int_equal(ingest.attaches, 2);
    assert_recorded(1000);
}

static void a_batch_that_the_recorder_does_not_know_is_sent_again_at_once(void **state) {
    start(*state, 100);
    ingest.source = 0;
    go_on(*state, 200);
    assert_int_equal(ingest.attaches, 2);
    assert_recorded(200);
}

static void batches_that_were_lost_on_the_way_are_noticed_by_the_silence(void **state) {
    stage_t *stage = *state;
    start(stage, 100);
    ingest.deaf = true;
    go_on(stage, 200);
    assert_int_equal(ingest.count, 100);
    ingest.deaf = false;
    stage_advance(stage, 4000000);
    assert_int_equal(ingest.attaches, 1);
    stage_advance(stage, 7000000);
    assert_int_equal(ingest.attaches, 2);
    assert_recorded(200);
}

static void an_idle_source_does_not_mind_the_silence(void **state) {
    start(*state, 100);
    stage_advance(*state, 60000000);
    assert_int_equal(ingest.attaches, 1);
}

static void a_ping_is_answered_and_breaks_the_silence(void **state) {
    stage_t *stage = *state;
    ingest.hold_acks = true;
    start(stage, 100);
    for (int i = 0; i < 10; i++) {
        stage_advance(stage, 2000000);
        ingest_do(stage, ingest_ping);
    }
    assert_int_equal(ingest.pongs, 10);
    assert_int_equal(ingest.attaches, 1);
}

static void a_number_that_was_skipped_is_healed_by_attaching_again(void **state) {
    start(*state, 100);
    ingest_do(*state, nack_conflict);
    assert_int_equal(ingest.attaches, 2);
    assert_int_equal(script.resumed, 2);
    assert_string_equal(ingest.failure, "");
}

static void losing_it_over_and_over_is_not_a_busy_loop(void **state) {
    stage_t *stage = *state;
    start(stage, 0);
    for (int i = 0; i < 100; i++) ingest_do(stage, nack_conflict);
    assert_in_range(ingest.attaches, 2, 3);
}

static void nack_bad(void) {
    ingest_nack(ingest.source, 3, ERROR_BAD_REQUEST, false, "element 7: it must be a list, not text");
}

static void a_batch_that_is_refused_fails_the_job(void **state) {
    ingest.hold_acks = true;
    start(*state, 100);
    ingest_do(*state, nack_bad);
    assert_string_equal(ingest.failure, "batch 3 was refused: element 7: it must be a list, not text");
    assert_int_equal(script.stopped, 1);
    go_on(*state, 200);
    assert_int_equal(ingest.count, 100);
}

static void nack_old(void) {
    ingest_nack(ingest.source - 1, 3, ERROR_NOT_FOUND, true, "attach again");
}

static void what_is_said_of_a_former_attachment_is_ignored(void **state) {
    start(*state, 100);
    ingest_do(*state, nack_old);
    assert_int_equal(ingest.attaches, 1);
    ingest.source--;
    ingest_do(*state, ingest_stop);
    ingest.source++;
    go_on(*state, 200);
    assert_int_equal(script.stopped, 0);
    assert_recorded(200);
}

static void acknowledge_all_but_one(void) {
    msg_source_ack_t ack = {.source = ingest.source, .tag = ingest.tag, .seq = ingest.next_seq - 2};
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_SOURCE_ACK, &ack, NULL), SENT);
}

static void a_source_hears_when_all_that_it_sent_is_recorded_and_not_before(void **state) {
    script.hears = true;
    ingest.hold_acks = true;
    start(*state, 100);
    ingest_do(*state, acknowledge_all_but_one);
    assert_int_equal(script.recorded, 0);
    ingest_do(*state, ingest_ack);
    assert_int_equal(script.recorded, 1);
}

/* ---- the end ---- */

static void supersede(void) {
    msg_source_stop_t stop = {
        .has_source = true, .source = ingest.source, .has_job = true, .job = ingest.job, .tag = ingest.tag, .reason = "superseded"};
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_SOURCE_STOP, &stop, NULL), SENT);
}

static void who_is_superseded_knows_it(void **state) {
    start(*state, 100);
    ingest_do(*state, supersede);
    assert_int_equal(script.stopped, 1);
    assert_true(script.feed->superseded);
}

static void who_is_stopped_otherwise_is_not_superseded(void **state) {
    start(*state, 100);
    ingest_do(*state, ingest_stop);
    assert_false(script.feed->superseded);
}

static void a_stop_is_final(void **state) {
    start(*state, 100);
    ingest_do(*state, ingest_stop);
    assert_int_equal(script.stopped, 1);
    go_on(*state, 200);
    stage_advance(*state, 60000000);
    assert_int_equal(ingest.count, 100);
    assert_int_equal(ingest.attaches, 1);
}

static void stop_other_job(void) {
    msg_source_stop_t stop = {.has_job = true, .job = "job-0", .tag = "Read", .reason = "user"};
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_SOURCE_STOP, &stop, NULL), SENT);
}

static void a_stop_of_another_job_is_ignored(void **state) {
    start(*state, 100);
    ingest_do(*state, stop_other_job);
    go_on(*state, 200);
    assert_recorded(200);
}

static void the_end_is_told_when_everything_is_acknowledged(void **state) {
    ingest.hold_acks = true;
    script.ends = true;
    start(*state, 100);
    assert_int_equal(ingest.count, 100);
    assert_int_equal(ingest.dones, 0);
    ingest_do(*state, ingest_ack);
    assert_int_equal(ingest.dones, 1);
    stage_advance(*state, 60000000);
    assert_int_equal(ingest.dones, 1);
}

static void an_empty_source_ends_too(void **state) {
    script.ends = true;
    start(*state, 0);
    assert_int_equal(ingest.dones, 1);
    assert_int_equal(ingest.batches, 0);
}

static void an_end_that_the_recorder_does_not_know_is_told_again(void **state) {
    ingest.done_refusals = 2;
    script.ends = true;
    start(*state, 100);
    stage_advance(*state, 1000000);
    assert_int_equal(ingest.attaches, 3);
    assert_int_equal(ingest.dones, 1);
    assert_recorded(100);
}

static void an_end_of_a_job_that_has_ended_is_no_failure(void **state) {
    ingest.done_refusals = 1;
    ingest.done_refusal = (refusal_t){.code = ERROR_INVALID_STATE, .message = "the job is CANCELLED"};
    script.ends = true;
    start(*state, 100);
    stage_advance(*state, 1000000);
    assert_string_equal(ingest.failure, "");
    assert_int_equal(script.stopped, 1);
    assert_int_equal(ingest.attaches, 1);
}

static void an_end_that_is_refused_fails_the_job(void **state) {
    ingest.done_refusals = 1;
    ingest.done_refusal = (refusal_t){.code = ERROR_INTERNAL, .message = "the log is broken"};
    script.ends = true;
    start(*state, 100);
    assert_string_equal(ingest.failure, "the log is broken");
}

static void a_failure_is_told_with_the_job(void **state) {
    snprintf(script.fails, sizeof script.fails, "cannot read %s", "/a/file");
    start(*state, 100);
    assert_string_equal(ingest.failure, "cannot read /a/file");
    assert_string_equal(ingest.failed_job, "job-1");
    assert_int_equal(script.stopped, 1);
    assert_recorded(100);
}

static void a_failure_that_is_not_all_text_is_told_all_the_same(void **state) {
    snprintf(script.fails, sizeof script.fails, "the server says \xff\x01");
    start(*state, 100);
    assert_string_equal(ingest.failure, "the server says ??");
}

static void arguments_that_cannot_be_read_are_a_fault(void **state) {
    fault_t why = {.text = ""};
    (void)state;
    assert_null(counter_create(NULL, pack("{ss}", "job", "job-1"), &why));
    assert_non_null(strstr(why.text, "tag"));
    assert_null(counter_create(NULL, ingest_args(pack("{ss}", "rate", "x")), &why));
    assert_non_null(strstr(why.text, "`test:counter`: `rate`"));
}

/* ---- waiting ---- */

static void say(stage_t *stage, const char *waits) {
    script.waits = waits;
    go_on(stage, script.end);
}

static void what_it_waits_for_is_said_once_and_taken_back(void **state) {
    start(*state, 10);
    assert_int_equal(ingest.waitings, 0);
    say(*state, "broker:9092: Connection refused");
    assert_string_equal(ingest.waits, "broker:9092: Connection refused");
    say(*state, "broker:9092: Connection refused");
    assert_int_equal(ingest.waitings, 1);
    say(*state, "");
    assert_string_equal(ingest.waits, "");
    say(*state, "");
    assert_int_equal(ingest.waitings, 2);
    assert_recorded(10);
}

static void what_it_waits_for_is_said_again_at_the_next_attachment(void **state) {
    start(*state, 10);
    say(*state, "an hour");
    ingest.waits[0] = '\0';
    script.waits = NULL;
    ingest_do(*state, nack_conflict);
    assert_string_equal(ingest.waits, "an hour");
    assert_int_equal(ingest.waitings, 2);
}

static void what_it_waits_for_before_it_is_attached_is_said_then(void **state) {
    ingest.hold_attach = true;
    start(*state, 0);
    say(*state, "a name for \xff");
    assert_int_equal(ingest.waitings, 0);
    ingest_do(*state, ingest_attach_answer);
    assert_string_equal(ingest.waits, "a name for ?");
}

static void a_watermark_goes_alone_where_nothing_else_does(void **state) {
    start(*state, 10);
    int64_t batches = ingest.batches;
    script.idles = 77;
    go_on(*state, 10);
    assert_int_equal(ingest.watermark, 77);
    assert_int_equal(ingest.batches, batches + 1);
    assert_recorded(10);
}

static void a_position_is_kept_although_nothing_was_recorded(void **state) {
    start(*state, 0);
    script.places = 33;
    go_on(*state, 0);
    script.places = 0;
    stage_fail(*state, "source:7");
    stage_advance(*state, 1000000);
    go_on(*state, 40);
    assert_int_equal(ingest.count, 7);
    assert_string_equal(ingest.elements[0].text, "33");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_attaches_as_its_actor_to_its_job_and_tag),
        TEST(nothing_is_produced_before_it_is_attached),
        TEST(it_goes_on_from_the_cursor_and_the_number_it_is_given),
        TEST(a_high_number_is_not_taken_for_many_batches_on_the_way),
        TEST(what_was_made_for_a_former_attachment_is_not_sent_on_the_next),
        TEST(attaching_is_tried_at_least_once_a_second),
        TEST(a_refusal_with_retry_is_followed_by_another_attach_later_and_later),
        TEST(a_refusal_without_retry_fails_the_job_with_its_text),
        TEST(a_job_that_has_ended_needs_no_source),
        TEST(it_sends_while_there_is_credit_and_overshoots_by_one_batch),
        TEST(one_acknowledgement_covers_all_before_it),
        TEST(tiny_batches_are_bounded_in_number),
        TEST(what_is_sent_beyond_the_bound_is_counted_to_the_byte),
        TEST(a_batch_is_full_at_its_bytes_or_its_elements),
        TEST(a_batch_is_full_at_half_of_its_credit),
        TEST(an_element_is_larger_than_the_credit_and_goes_all_the_same),
        TEST(a_source_that_once_had_much_holds_little_afterwards),
        TEST(elements_of_every_size_arrive_as_they_are),
        TEST(negative_times_and_attributes_are_kept),
        TEST(a_cursor_of_numbers_is_read_back),
        TEST(a_recorder_that_lost_its_state_gets_everything_once),
        TEST(a_batch_that_the_recorder_does_not_know_is_sent_again_at_once),
        TEST(batches_that_were_lost_on_the_way_are_noticed_by_the_silence),
        TEST(an_idle_source_does_not_mind_the_silence),
        TEST(a_ping_is_answered_and_breaks_the_silence),
        TEST(a_number_that_was_skipped_is_healed_by_attaching_again),
        TEST(losing_it_over_and_over_is_not_a_busy_loop),
        TEST(a_batch_that_is_refused_fails_the_job),
        TEST(what_is_said_of_a_former_attachment_is_ignored),
        TEST(a_source_hears_when_all_that_it_sent_is_recorded_and_not_before),
        TEST(who_is_superseded_knows_it),
        TEST(who_is_stopped_otherwise_is_not_superseded),
        TEST(a_stop_is_final),
        TEST(a_stop_of_another_job_is_ignored),
        TEST(the_end_is_told_when_everything_is_acknowledged),
        TEST(an_empty_source_ends_too),
        TEST(an_end_that_the_recorder_does_not_know_is_told_again),
        TEST(an_end_of_a_job_that_has_ended_is_no_failure),
        TEST(an_end_that_is_refused_fails_the_job),
        TEST(a_failure_is_told_with_the_job),
        TEST(a_failure_that_is_not_all_text_is_told_all_the_same),
        TEST(arguments_that_cannot_be_read_are_a_fault),
        TEST(what_it_waits_for_is_said_once_and_taken_back),
        TEST(what_it_waits_for_is_said_again_at_the_next_attachment),
        TEST(what_it_waits_for_before_it_is_attached_is_said_then),
        TEST(a_watermark_goes_alone_where_nothing_else_does),
        TEST(a_position_is_kept_although_nothing_was_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
