/* How sources get in: by job or pipeline, by the tags of today or of then, or not at all. */
#include "studio.h"

static void open_running(studio_t *studio) {
    studio_open(studio, DURABILITY_ASYNC);
    studio_create(studio, "1", "p");
    studio_budget(studio, "j1", LIMIT_NONE);
}

/* Asks by pipeline, and answers the recorder's question with these tags; `signature` NULL: there is no such pipeline. */
static void ask_by_pipeline(studio_t *studio, const char *tag, const char *current, const char *signature) {
    msg_source_attach_t attach = {.has_pipeline = true, .pipeline = "p", .tag = tag};
    stage_peer_request(studio->stage, source_named("s"), MSG_SOURCE_ATTACH, &attach, (bytes_t){0}, 1);
    stage_run(studio->stage);
    const stage_message_t *ask = stage_take(studio->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK);
    assert_non_null(ask);
    assert_string_equal(((const msg_pipeline_tags_ask_t *)ask->message)->pipeline, "p");
    if (signature)
        stage_answer(studio->stage, ask, &(msg_pipeline_tags_t){.tags = {1, &(msg_tag_t){.tag = current, .signature = signature}}});
    else
        stage_refuse(studio->stage, ask, ERROR_NOT_FOUND, "there is no pipeline p");
    stage_run(studio->stage);
}

static const refusal_t *refused(studio_t *studio, error_code_t code) {
    const refusal_t *no = stage_peer_refusal(studio->stage, source_named("s"));
    assert_int_equal(no->code, code);
    return no;
}

static void a_tag_of_the_current_definition_lets_in(void **state) {
    studio_t studio;
    (void)state;
    open_running(&studio);
    ask_by_pipeline(&studio, "renamed", "renamed", "B");
    stage_peer_answer(studio.stage, source_named("s"), MSG_SOURCE_ATTACHED);
    assert_string_equal(((const msg_source_joined_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_JOINED))->signature, "B");
    studio_close(&studio);
}

static void without_a_definition_the_tags_of_then_count(void **state) {
    studio_t studio;
    (void)state;
    open_running(&studio);
    ask_by_pipeline(&studio, "aa", NULL, NULL);
    stage_peer_answer(studio.stage, source_named("s"), MSG_SOURCE_ATTACHED);
    assert_string_equal(((const msg_source_joined_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_JOINED))->signature, "A");
    studio_close(&studio);
}

static void an_unknown_tag_is_refused_with_those_there_are(void **state) {
    studio_t studio;
    (void)state;
    open_running(&studio);
    ask_by_pipeline(&studio, "x", "renamed", "B");
    assert_non_null(strstr(refused(&studio, ERROR_NOT_FOUND)->message, "`renamed`"));
    ask_by_pipeline(&studio, "new", "new", "C"); /* in the definition, but not in this recording */
    assert_string_equal(refused(&studio, ERROR_NOT_FOUND)->field, "tag");
    ask_by_pipeline(&studio, "x", NULL, NULL);
    assert_non_null(strstr(refused(&studio, ERROR_NOT_FOUND)->message, "`a`, `aa`, `b`"));
    studio_close(&studio);
}

static void a_job_that_does_not_run_is_refused(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    source_ask(&studio, "s", "j9", "a", NULL);
    assert_non_null(strstr(refused(&studio, ERROR_NOT_FOUND)->message, "j9"));
    msg_source_attach_t attach = {.has_pipeline = true, .pipeline = "p", .tag = "a"}, nothing = {.tag = "a"};
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_ATTACH, &attach, (bytes_t){0}, 1);
    stage_run(studio.stage);
    assert_true(refused(&studio, ERROR_INVALID_STATE)->retry);
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_ATTACH, &nothing, (bytes_t){0}, 1);
    stage_run(studio.stage);
    refused(&studio, ERROR_BAD_REQUEST);
    studio_create(&studio, "1", "p");
    source_ask(&studio, "s", "j1", "a", NULL); /* waits */
    studio_finish(&studio, "r1", "CANCELLED", "user");
    const refusal_t *no = refused(&studio, ERROR_INVALID_STATE);
    assert_non_null(strstr(no->message, "CANCELLED"));
    assert_non_null(strstr(no->message, "user"));
    source_ask(&studio, "s", "j1", "a", NULL);
    refused(&studio, ERROR_INVALID_STATE);
    studio_close(&studio);
}

static void a_stream_that_has_ended_lets_nobody_in(void **state) {
    studio_t studio;
    (void)state;
    open_running(&studio);
    source_attach(&studio, "s", "j1", "a", NULL);
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    stage_run(studio.stage);
    stage_peer_answer(studio.stage, source_named("s"), MSG_OK);
    source_ask(&studio, "s", "j1", "aa", NULL);
    assert_non_null(strstr(refused(&studio, ERROR_INVALID_STATE)->message, "ended"));
    studio_close(&studio);
}

static void a_second_under_the_same_name_takes_over(void **state) {
    studio_t studio;
    (void)state;
    open_running(&studio);
    int64_t first = source_attach(&studio, "s", "j1", "a", "w")->source;
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    source_send(&studio, "s", "a", 2, 3);
    const msg_source_attached_t *second = source_attach(&studio, "t", "j1", "a", "w");
    assert_int_equal(second->next_seq, 3);
    assert_int_not_equal(second->source, first);
    const msg_source_stop_t *stop = stage_peer_take_of(studio.stage, source_named("s"), MSG_SOURCE_STOP)->message;
    assert_string_equal(stop->reason, "superseded");
    assert_int_equal(stop->source, first);
    source_batch(&studio, "s", "a", 3, 1);
    source_is_nacked(&studio, "s", 3, "not_found");
    source_batch(&studio, "t", "a", 3, 1);
    source_is_acked(&studio, "t", 3);
    studio_close(&studio);
}

static void producers_without_a_name_are_told_apart(void **state) {
    studio_t studio;
    (void)state;
    open_running(&studio);
    source_attach(&studio, "s", "j1", "a", NULL);
    source_attach(&studio, "t", "j1", "a", NULL);
    source_batch(&studio, "s", "a", 1, 3);
    source_batch(&studio, "t", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    source_is_acked(&studio, "t", 1);
    assert_int_equal(studio_job(&studio, "r1")->elements, 6);
    studio_close(&studio);
}

static void the_newest_cursor_of_the_stream_is_given(void **state) {
    studio_t studio;
    uint8_t cursor[] = {0xcd, 1, 2};
    (void)state;
    open_running(&studio);
    source_attach(&studio, "s", "j1", "a", "w");
    msg_source_batch_t batch = {.tag = "a", .seq = 1, .has_cursor = true, .cursor = {cursor, 3}};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 1, 0, 5));
    stage_run(studio.stage);
    studio_restart(&studio, START + 1000);
    studio_budget(&studio, "j1", LIMIT_NONE);
    const msg_source_attached_t *attached = source_attach(&studio, "s", "j1", "a", "other");
    assert_int_equal(attached->next_seq, 1);
    assert_true(attached->has_cursor);
    assert_int_equal(attached->cursor.size, 3);
    assert_memory_equal(attached->cursor.data, cursor, 3);
    studio_close(&studio);
}

static int64_t credit_of(studio_t *studio, int number) {
    char name[16];
    snprintf(name, sizeof name, "s%d", number);
    return source_attach(studio, name, "j1", "a", name)->credit;
}

static void a_few_senders_have_plenty_and_hundreds_have_little_altogether(void **state) {
    enum { SENDERS = 200 };
    const int64_t mib = 1024 * 1024, least = 64 * 1024;
    studio_t studio;
    int64_t credit, all = 0;
    (void)state;
    open_running(&studio);
    assert_int_equal(credit = credit_of(&studio, 0), 4 * mib);
    for (int i = 1; i < SENDERS; i++) {
        all += credit;
        credit = credit_of(&studio, i);
        assert_true(credit >= least);
        if (i == 1) assert_true(credit > 2 * mib);
    }
    assert_true(credit < 2 * least);
    assert_true(all + credit <= 12 * mib + SENDERS * least);
    studio_close(&studio);
}

static void the_credit_of_one_that_went_is_for_those_who_come(void **state) {
    studio_t studio;
    (void)state;
    open_running(&studio);
    for (int i = 0; i < 100; i++) credit_of(&studio, i);
    assert_true(credit_of(&studio, 0) > 1024 * 1024); /* it takes over from itself */
    assert_in_range(credit_of(&studio, 100), 64 * 1024, 1024 * 1024);
    msg_source_done_t done = {.tag = "a"};
    stage_peer_request(studio.stage, source_named("s7"), MSG_SOURCE_DONE, &done, (bytes_t){0}, 2);
    stage_run(studio.stage);
    assert_int_equal(source_attach(&studio, "t", "j1", "b", "t")->credit, 4 * 1024 * 1024);
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_of_the_current_definition_lets_in),
        cmocka_unit_test(without_a_definition_the_tags_of_then_count),
        cmocka_unit_test(an_unknown_tag_is_refused_with_those_there_are),
        cmocka_unit_test(a_job_that_does_not_run_is_refused),
        cmocka_unit_test(a_stream_that_has_ended_lets_nobody_in),
        cmocka_unit_test(a_second_under_the_same_name_takes_over),
        cmocka_unit_test(producers_without_a_name_are_told_apart),
        cmocka_unit_test(the_newest_cursor_of_the_stream_is_given),
        cmocka_unit_test(a_few_senders_have_plenty_and_hundreds_have_little_altogether),
        cmocka_unit_test(the_credit_of_one_that_went_is_for_those_who_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
