/* The recorder as its fellow actors see it: a recording's life from its creation to its end, and after a restart. */
#include "studio.h"

static void a_source_is_let_in_with_the_first_budget(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    assert_string_equal(studio_job(&studio, "r1")->state, "STARTING");
    source_ask(&studio, "s", "j1", "a", "w");
    const msg_source_joined_t *joined = studio_take(&studio, "job_supervisor", MSG_SOURCE_JOINED);
    assert_string_equal(joined->job, "j1");
    assert_string_equal(joined->signature, "A");
    assert_true(source_is_quiet(&studio, "s"));
    studio_budget(&studio, "j1", LIMIT_NONE);
    const msg_source_attached_t *attached = stage_peer_answer(studio.stage, source_named("s"), MSG_SOURCE_ATTACHED);
    assert_string_equal(attached->job, "j1");
    assert_int_equal(attached->next_seq, 1);
    assert_false(attached->has_cursor);
    assert_string_equal(studio_job(&studio, "r1")->state, "RUNNING");
    assert_int_equal(studio_job(&studio, "r1")->started, START);
    studio_close(&studio);
}

static void a_count_is_exact_and_told_once(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", 5);
    source_attach(&studio, "s", "j1", "a", "w");
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    source_send(&studio, "s", "a", 2, 4);
    source_send(&studio, "s", "a", 3, 4);
    stage_run(studio.stage);
    const msg_budget_spent_t *spent = studio_take(&studio, "limiter", MSG_BUDGET_SPENT);
    assert_string_equal(spent->job, "j1");
    assert_string_equal(spent->limit, "count");
    assert_null(stage_take(studio.stage, "limiter", MSG_BUDGET_SPENT));
    assert_string_equal(studio_job(&studio, "r1")->spent, "count");
    const msg_recording_job_t *job = studio_finish(&studio, "r1", "CANCELLED", "count");
    assert_int_equal(job->elements, 5);
    assert_string_equal(job->state, "CANCELLED");
    assert_true(job->has_ended);
    source_take(&studio, "s", MSG_SOURCE_ACK); /* of what came before the cut */
    const msg_source_stop_t *stop = source_is_stopped(&studio, "s", "count");
    assert_int_equal(stop->seq, 2);
    assert_int_equal(stop->accepted, 2);
    assert_true(source_is_quiet(&studio, "s"));
    studio_close(&studio);
}

static void what_was_sent_before_the_end_is_in_it(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_attach(&studio, "s", "j1", "a", NULL);
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    const msg_recording_job_t *job = studio_finish(&studio, "r1", "CANCELLED", "user");
    assert_int_equal(job->elements, 3);
    assert_string_equal(job->stop_reason, "user");
    const msg_source_stop_t *stop = source_is_stopped(&studio, "s", "user");
    assert_int_equal(stop->seq, 1);
    assert_int_equal(stop->accepted, 3);
    source_batch(&studio, "s", "a", 2, 3);
    assert_true(source_is_nacked(&studio, "s", 2, "not_found")->error.retry);
    job = studio_finish(&studio, "r1", "FAILED", "error"); /* once more: nothing changes */
    assert_string_equal(job->state, "CANCELLED");
    studio_close(&studio);
}

static void an_ended_recording_is_described_with_its_digest(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_attach(&studio, "s", "j1", "b", NULL);
    source_batch(&studio, "s", "b", 1, 3);
    const msg_recording_t *before = studio_describe(&studio, "r1");
    assert_false(before->has_digest);
    assert_int_equal(before->elements, 3);
    studio_finish(&studio, "r1", "CANCELLED", "user");
    for (int i = 0; i < 2; i++) {
        const msg_recording_t *after = studio_describe(&studio, "r1");
        assert_true(after->has_digest);
        assert_int_equal(strlen(after->digest), 32);
        assert_int_equal(after->tags.count, 3);
        assert_string_equal(after->tags.items[2].tag, "b");
        assert_int_equal(after->tags.items[2].elements, 3);
        assert_int_equal(after->tags.items[0].elements, 0);
        assert_string_equal(after->signature.items[0], "A");
        studio_restart(&studio, START + 1000000);
    }
    studio_close(&studio);
}

static void a_follower_hears_of_growth_end_and_deletion(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_attach(&studio, "s", "j1", "a", NULL);
    msg_recording_locate_t locate = {.has_pipeline = true, .pipeline = "p", .follow = true};
    stage_ask(studio.stage, "follower", "recorder", MSG_RECORDING_LOCATE, &locate);
    stage_run(studio.stage);
    const msg_recording_place_t *place = studio_take(&studio, "follower", MSG_RECORDING_LOCATE);
    assert_true(place->growing);
    assert_int_equal(place->elements, 0);
    source_batch(&studio, "s", "a", 1, 3);
    const msg_recording_grew_t *grew = studio_take(&studio, "follower", MSG_RECORDING_GREW);
    assert_int_equal(grew->elements, 3);
    assert_true(grew->growing && grew->length > place->length);
    studio_finish(&studio, "r1", "CANCELLED", "user");
    grew = studio_take(&studio, "follower", MSG_RECORDING_GREW);
    assert_false(grew->growing);
    stage_get(studio.stage, "recorder", MSG_RECORDING_DROP, &(msg_recording_drop_t){.recording = "r1"});
    studio_take(&studio, "follower", MSG_RECORDING_DROPPED);
    studio_take(&studio, "verifier", MSG_TRASH_SWEEP);
    assert_int_equal(stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_LOCATE, &locate)->code, ERROR_NOT_FOUND);
    studio_close(&studio);
}

static void a_recording_that_is_written_is_not_dropped(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    msg_recording_drop_t drop = {.recording = "r1"};
    assert_int_equal(stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_DROP, &drop)->code, ERROR_INVALID_STATE);
    studio_finish(&studio, "r1", "FAILED", "error");
    stage_get(studio.stage, "recorder", MSG_RECORDING_DROP, &drop);
    stage_get(studio.stage, "recorder", MSG_RECORDING_DROP, &drop); /* not there any more: no error */
    studio_restart(&studio, START + 10);
    const msg_recordings_t *all = stage_get(studio.stage, "recorder", MSG_RECORDING_LIST, &(msg_recording_list_t){0});
    assert_int_equal(all->recordings.count, 0);
    studio_close(&studio);
}

static void kept_outlives_a_restart(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_create(&studio, "2", "p");
    msg_recording_keep_t keep = {.recording = "r1", .kept = true};
    assert_true(((const msg_recording_t *)stage_get(studio.stage, "recorder", MSG_RECORDING_KEEP, &keep))->kept);
    studio_finish(&studio, "r2", "DONE", "sources_ended");
    keep.recording = "r2";
    assert_true(((const msg_recording_t *)stage_get(studio.stage, "recorder", MSG_RECORDING_KEEP, &keep))->kept);
    studio_restart(&studio, START + 10);
    assert_true(studio_describe(&studio, "r1")->kept);
    assert_true(studio_describe(&studio, "r2")->kept);
    assert_true(studio_describe(&studio, "r2")->has_digest);
    studio_close(&studio);
}

static void what_is_not_there_is_named(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    msg_recording_describe_t by_pipeline = {.has_pipeline = true, .pipeline = "clicks"}, by_nothing = {0};
    const refusal_t *no = stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_DESCRIBE, &by_pipeline);
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    assert_non_null(strstr(no->message, "clicks"));
    no = stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_DESCRIBE, &by_nothing);
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    no = stage_get_refusal(studio.stage, "recorder", MSG_BUDGET_SET, &(msg_budget_set_t){.job = "j9"});
    assert_non_null(strstr(no->message, "j9"));
    studio_close(&studio);
}

static void a_definition_is_stored_before_its_recording_is_described(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_take(&studio, "gateway", MSG_RECORDER_RECOVERED);
    msg_pipeline_t definition = {.name = "p"};
    msg_recording_describe_t ask = {.has_pipeline = true, .pipeline = "p", .pipeline_definition = &definition};
    stage_ask(studio.stage, "gateway", "recorder", MSG_RECORDING_DESCRIBE, &ask);
    stage_run(studio.stage);
    const stage_message_t *define = stage_take(studio.stage, "pipeline_tracker", MSG_PIPELINE_DEFINE);
    assert_non_null(define);
    assert_null(stage_take(studio.stage, "gateway", MSG_NONE));
    stage_answer(studio.stage, define, &(msg_ok_t){0});
    stage_run(studio.stage);
    assert_string_equal(((const msg_recording_t *)studio_take(&studio, "gateway", MSG_RECORDING_DESCRIBE))->recording, "r1");
    studio_close(&studio);
}

/* ---- restarts ---- */

static void a_restarted_process_goes_on_and_says_what_is_missing(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", 10);
    source_attach(&studio, "s", "j1", "a", "w");
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    studio_restart(&studio, START + 5000000);
    studio_take(&studio, "limiter", MSG_RECORDER_RECOVERED);
    studio_take(&studio, "job_supervisor", MSG_RECORDER_RECOVERED);
    studio_take(&studio, "test_stream_server", MSG_RECORDER_RECOVERED);
    const msg_recording_t *description = studio_describe(&studio, "r1");
    assert_int_equal(description->elements, 3);
    assert_int_equal(description->gaps.count, 1);
    assert_in_range(description->gaps.items[0].lost_us, 4900000, 5000000);
    assert_int_equal(description->gaps.items[0].element, 3);
    source_ask(&studio, "s", "j1", "a", "w");
    assert_true(source_is_quiet(&studio, "s"));
    studio_budget(&studio, "j1", 10);
    const msg_source_attached_t *attached = stage_peer_answer(studio.stage, source_named("s"), MSG_SOURCE_ATTACHED);
    assert_int_equal(attached->next_seq, 2);
    assert_int_equal(studio_job(&studio, "r1")->started, START);
    source_batch(&studio, "s", "a", 2, 9);
    assert_string_equal(((const msg_budget_spent_t *)studio_take(&studio, "limiter", MSG_BUDGET_SPENT))->limit, "count");
    assert_int_equal(studio_finish(&studio, "r1", "CANCELLED", "count")->elements, 10);
    studio_close(&studio);
}

static void a_failed_recorder_loses_nothing_acknowledged_and_has_no_gap(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    const msg_source_attached_t *attached = source_attach(&studio, "s", "j1", "a", "w");
    int64_t source = attached->source;
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    stage_advance(studio.stage, 1000);
    stage_fail(studio.stage, "recorder");
    studio_load(&studio);
    studio_budget(&studio, "j1", LIMIT_NONE);
    const msg_source_nack_t *nack =
        source_is_nacked(&studio, "s", 2, "not_found"); /* it may have nothing to send before it is acknowledged */
    assert_true(nack->error.retry);
    assert_int_equal(nack->source, source);
    assert_true(source_is_quiet(&studio, "s"));
    source_batch(&studio, "s", "a", 2, 3);
    assert_true(source_is_nacked(&studio, "s", 2, "not_found")->error.retry);
    attached = source_attach(&studio, "s", "j1", "a", "w");
    assert_int_equal(attached->next_seq, 2);
    assert_true(attached->source > source);
    assert_int_equal(studio_describe(&studio, "r1")->gaps.count, 0);
    assert_int_equal(studio_describe(&studio, "r1")->elements, 3);
    studio_close(&studio);
}

/* The rest of a batch that was cut must not come after it under another number. */
static void a_recording_whose_last_batch_was_cut_takes_no_more_after_a_failure(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    msg_budget_set_t budget = {.job = "j1", .has_bytes = true, .bytes = 5000, .start = START};
    stage_get(studio.stage, "recorder", MSG_BUDGET_SET, &budget);
    source_attach(&studio, "s", "j1", "a", "w");
    msg_source_batch_t batch = {.tag = "a", .seq = 1};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 100, 0, 600));
    stage_run(studio.stage);
    assert_string_equal(((const msg_budget_spent_t *)studio_take(&studio, "limiter", MSG_BUDGET_SPENT))->limit, "bytes");
    int64_t elements = studio_describe(&studio, "r1")->elements;
    assert_in_range(elements, 1, 99);
    studio_restart(&studio, START + 1000);
    stage_get(studio.stage, "recorder", MSG_BUDGET_SET, &budget);
    assert_string_equal(((const msg_budget_spent_t *)studio_take(&studio, "limiter", MSG_BUDGET_SPENT))->limit, "bytes");
    source_ask(&studio, "s", "j1", "a", "w");
    const refusal_t *no = stage_peer_refusal(studio.stage, source_named("s"));
    assert_int_equal(no->code, ERROR_INVALID_STATE);
    const msg_recording_job_t *job = studio_finish(&studio, "r1", "CANCELLED", "bytes");
    assert_int_equal(job->elements, elements);
    assert_false(job->has_spent);
    studio_close(&studio);
}

static void what_waits_to_be_let_in_outlives_a_failure(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    source_ask(&studio, "s", "j1", "a", "w");
    stage_fail(studio.stage, "recorder");
    studio_load(&studio);
    studio_budget(&studio, "j1", LIMIT_NONE);
    assert_int_equal(((const msg_source_attached_t *)stage_peer_answer(studio.stage, source_named("s"), MSG_SOURCE_ATTACHED))->next_seq, 1);
    studio_close(&studio);
}

static void a_gap_is_no_later_than_the_end(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    msg_recording_create_t create = {.recording = "r1",
                                     .job = "j1",
                                     .pipeline = "p",
                                     .limits = {.has_duration_ms = true, .duration_ms = 1000, .bytes = LIMIT_NONE, .count = LIMIT_NONE}};
    stage_get(studio.stage, "recorder", MSG_RECORDING_CREATE, &create);
    studio_budget(&studio, "j1", LIMIT_NONE);
    studio_restart(&studio, START + 60000000);
    assert_in_range(studio_describe(&studio, "r1")->gaps.items[0].lost_us, 1, 1000000);
    msg_budget_set_t budget = {.job = "j1",
                               .elements = LIMIT_NONE,
                               .bytes = LIMIT_NONE,
                               .total_bytes = LIMIT_NONE,
                               .start = START,
                               .has_until = true,
                               .until = START + 1000000};
    stage_get(studio.stage, "recorder", MSG_BUDGET_SET, &budget);
    assert_string_equal(((const msg_budget_spent_t *)studio_take(&studio, "limiter", MSG_BUDGET_SPENT))->limit, "duration");
    assert_int_equal(studio_finish(&studio, "r1", "CANCELLED", "duration")->ended, START + 1000000);
    studio_close(&studio);
}

static void creating_twice_is_once(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_create(&studio, "1", "p");
    msg_recording_create_t other = {
        .recording = "r1", .job = "j2", .pipeline = "p", .limits = {.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE}};
    assert_int_equal(stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_CREATE, &other)->code, ERROR_CONFLICT);
    studio_close(&studio);
}

static void a_job_supervisor_that_failed_is_told_who_waits_to_be_let_in(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    source_ask(&studio, "s", "j1", "b", "w");
    const msg_recording_job_t *job = studio_job(&studio, "r1");
    assert_false(job->streams.items[0].joined);
    assert_true(job->streams.items[1].joined);
    studio_close(&studio);
}

static void a_job_supervisor_that_failed_is_told_which_end_waits_for_the_disk(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_SYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    studio_sync(&studio);
    assert_false(studio_job(&studio, "r1")->has_ending);
    msg_recording_finish_t finish = {.recording = "r1", .state = "FAILED", .stop_reason = "error", .has_error = true, .error = "it broke"};
    stage_ask(studio.stage, "job_supervisor", "recorder", MSG_RECORDING_FINISH, &finish);
    stage_run(studio.stage);
    const msg_recording_job_t *job = studio_job(&studio, "r1");
    assert_string_equal(job->state, "RUNNING");
    assert_string_equal(job->ending, "FAILED");
    assert_string_equal(job->stop_reason, "error");
    assert_string_equal(job->error, "it broke");
    assert_false(job->has_ended);
    studio_sync(&studio);
    job = studio_job(&studio, "r1");
    assert_string_equal(job->state, "FAILED");
    assert_true(job->has_ended);
    assert_false(job->has_ending);
    studio_close(&studio);
}

static void why_a_job_was_started_outlives_the_process(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    msg_recording_create_t create = {
        .recording = "r1", .job = "j1", .pipeline = "p", .has_request = true, .request = "1-1", .has_reason = true, .reason = "first_run"};
    create.limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    stage_get(studio.stage, "recorder", MSG_RECORDING_CREATE, &create);
    studio_restart(&studio, START + 1000);
    const msg_recording_job_t *job = studio_job(&studio, "r1");
    assert_string_equal(job->request, "1-1");
    assert_string_equal(job->reason, "first_run");
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_is_let_in_with_the_first_budget),
        cmocka_unit_test(a_count_is_exact_and_told_once),
        cmocka_unit_test(what_was_sent_before_the_end_is_in_it),
        cmocka_unit_test(an_ended_recording_is_described_with_its_digest),
        cmocka_unit_test(a_follower_hears_of_growth_end_and_deletion),
        cmocka_unit_test(a_recording_that_is_written_is_not_dropped),
        cmocka_unit_test(kept_outlives_a_restart),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(a_definition_is_stored_before_its_recording_is_described),
        cmocka_unit_test(a_restarted_process_goes_on_and_says_what_is_missing),
        cmocka_unit_test(a_failed_recorder_loses_nothing_acknowledged_and_has_no_gap),
        cmocka_unit_test(a_recording_whose_last_batch_was_cut_takes_no_more_after_a_failure),
        cmocka_unit_test(what_waits_to_be_let_in_outlives_a_failure),
        cmocka_unit_test(a_gap_is_no_later_than_the_end),
        cmocka_unit_test(creating_twice_is_once),
        cmocka_unit_test(a_job_supervisor_that_failed_is_told_who_waits_to_be_let_in),
        cmocka_unit_test(a_job_supervisor_that_failed_is_told_which_end_waits_for_the_disk),
        cmocka_unit_test(why_a_job_was_started_outlives_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
