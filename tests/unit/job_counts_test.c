/* How far a job is: asked for, told ahead, and never less than somebody may know. */
#include "foreman.h"

enum { ANNOUNCED = 256 };

static void describe(stage_t *stage, const char *as) {
    stage_ask(stage, as, "job_supervisor", MSG_JOB_DESCRIBE, &(msg_job_describe_t){.has_pipeline = true, .pipeline = "p"});
    stage_run(stage);
}

static msg_progress_t progress(const msg_recording_create_t *made, int64_t elements, int64_t announced) {
    return (msg_progress_t){.recording = made->recording, .elements = elements, .bytes = elements * 10, .announced = announced};
}

static void answer_progress(stage_t *stage, const msg_recording_create_t *made, int64_t elements, int64_t announced) {
    msg_progress_t answer = progress(made, elements, announced);
    const msg_progress_ask_t *asked = desk_answer(stage, "progress", MSG_PROGRESS_ASK, &answer);
    assert_string_equal(asked->recording, made->recording);
}

static void tell_progress(stage_t *stage, const msg_recording_create_t *made, int64_t elements, int64_t announced) {
    msg_progress_made_t told = {.recording = made->recording, .elements = elements, .bytes = elements * 10, .announced = announced};
    stage_door_tell(stage, "job_supervisor", 0, MSG_PROGRESS_MADE, &told, (bytes_t){0});
}

static void assert_elements(stage_t *stage, const char *as, int64_t elements) {
    const msg_job_t *job = desk_yes(stage, as);
    assert_int_equal(job->elements, elements);
    assert_int_equal(job->bytes, elements * 10);
}

static void the_recorder_says_how_far_a_running_job_is(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    describe(stage, "asker");
    answer_progress(stage, made, 7, ANNOUNCED);
    const msg_job_t *job = desk_yes(stage, "asker");
    assert_string_equal(job->job, made->job);
    assert_true(job->is_running);
    assert_int_equal(job->elements, 7);
    assert_int_equal(job->bytes, 70);
    stage_destroy(&stage);
}

static void a_recorder_that_cannot_say_does_not_keep_the_asker_waiting(void **test) {
    (void)test;
    stage_t *stage = foreman();
    run_job(stage, "p");
    for (int i = 0; i < 2; i++) {
        describe(stage, "asker");
        desk_refuse(stage, "progress", MSG_PROGRESS_ASK, ERROR_UNAVAILABLE, "recorder failed");
        assert_true(((const msg_job_t *)desk_yes(stage, "asker"))->is_running);
    }
    stage_ask(stage, "asker", "job_supervisor", MSG_JOB_LIST, &(msg_job_list_t){0});
    desk_refuse(stage, "recorder", MSG_RECORDING_JOBS_ASK, ERROR_UNAVAILABLE, "recorder failed");
    assert_int_equal(((const msg_jobs_t *)desk_yes(stage, "asker"))->jobs.count, 1);
    stage_destroy(&stage);
}

static void a_job_that_ends_while_it_is_described_is_described_as_it_ended(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    describe(stage, "asker");
    reach(stage, made->job, "count");
    finish(stage, 9);
    assert_elements(stage, "asker", 9);
    desk_refuse(stage, "progress", MSG_PROGRESS_ASK, ERROR_NOT_FOUND, "late");
    assert_true(desk_waits(stage, "asker"));
    stage_destroy(&stage);
}

static void what_was_announced_is_not_asked_for(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    describe(stage, "asker");
    answer_progress(stage, made, 7, ANNOUNCED);
    assert_elements(stage, "asker", 7);
    describe(stage, "asker");
    assert_elements(stage, "asker", 7);
    tell_progress(stage, made, 8, ANNOUNCED - 1);
    describe(stage, "asker");
    assert_elements(stage, "asker", 8);
    desk_is_quiet(stage, "progress", MSG_PROGRESS_ASK);
    stage_destroy(&stage);
}

static void what_was_told_counts_before_any_request_that_is_there_already(void **test) {
    (void)test;
    for (int64_t elements = 1; elements < 20; elements++) {
        stage_t *stage = stage_create((uint64_t)elements, NULL);
        stage_add(stage, &job_supervisor_class, "job_supervisor", (bytes_t){0});
        foreman_load(stage, 0, NULL, 0, NULL);
        const msg_recording_create_t *made = run_job(stage, "p");
        describe(stage, "asker");
        answer_progress(stage, made, 0, ANNOUNCED);
        desk_yes(stage, "asker");
        msg_job_describe_t ask = {.has_pipeline = true, .pipeline = "p"};
        stage_ask(stage, "asker", "job_supervisor", MSG_JOB_DESCRIBE, &ask);
        tell_progress(stage, made, elements, ANNOUNCED - 1);
        assert_elements(stage, "asker", elements);
        stage_destroy(&stage);
    }
}

static void more_is_asked_for_in_time_and_nobody_waits_for_it(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    describe(stage, "asker");
    answer_progress(stage, made, 7, ANNOUNCED);
    desk_yes(stage, "asker");
    tell_progress(stage, made, 100, 1);
    for (int i = 0; i < 3; i++) {
        describe(stage, "asker");
        assert_elements(stage, "asker", 100);
    }
    answer_progress(stage, made, 101, ANNOUNCED);
    desk_is_quiet(stage, "progress", MSG_PROGRESS_ASK); /* it was asked once */
    describe(stage, "asker");
    assert_elements(stage, "asker", 101);
    stage_destroy(&stage);
}

static void once_nothing_more_is_announced_the_recorder_is_asked_once_for_all_who_wait(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    describe(stage, "asker");
    answer_progress(stage, made, 7, 1);
    desk_yes(stage, "asker");
    tell_progress(stage, made, 8, 0);
    describe(stage, "first");
    describe(stage, "second");
    assert_true(desk_waits(stage, "first") && desk_waits(stage, "second"));
    answer_progress(stage, made, 9, ANNOUNCED);
    assert_elements(stage, "first", 9);
    assert_elements(stage, "second", 9);
    desk_is_quiet(stage, "progress", MSG_PROGRESS_ASK);
    stage_destroy(&stage);
}

static void a_list_takes_nothing_back_that_was_told_since(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    describe(stage, "asker");
    answer_progress(stage, made, 7, ANNOUNCED);
    desk_yes(stage, "asker");
    stage_ask(stage, "lister", "job_supervisor", MSG_JOB_LIST, &(msg_job_list_t){0});
    tell_progress(stage, made, 8, ANNOUNCED - 1);
    msg_recording_job_t older = {.recording = made->recording,
                                 .job = made->job,
                                 .pipeline = "p",
                                 .state = "RUNNING",
                                 .limits = no_limits,
                                 .elements = 7,
                                 .bytes = 70};
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){.recordings = {1, &older}});
    assert_int_equal(((const msg_jobs_t *)desk_yes(stage, "lister"))->jobs.items[0].elements, 8);
    describe(stage, "asker");
    assert_elements(stage, "asker", 8);
    stage_destroy(&stage);
}

static void what_is_told_of_a_job_that_has_ended_changes_nothing(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *made = run_job(stage, "p");
    reach(stage, made->job, "count");
    finish(stage, 9);
    tell_progress(stage, made, 8, ANNOUNCED);
    describe(stage, "asker");
    assert_elements(stage, "asker", 9);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_recorder_says_how_far_a_running_job_is),
        cmocka_unit_test(a_recorder_that_cannot_say_does_not_keep_the_asker_waiting),
        cmocka_unit_test(a_job_that_ends_while_it_is_described_is_described_as_it_ended),
        cmocka_unit_test(what_was_announced_is_not_asked_for),
        cmocka_unit_test(what_was_told_counts_before_any_request_that_is_there_already),
        cmocka_unit_test(more_is_asked_for_in_time_and_nobody_waits_for_it),
        cmocka_unit_test(once_nothing_more_is_announced_the_recorder_is_asked_once_for_all_who_wait),
        cmocka_unit_test(a_list_takes_nothing_back_that_was_told_since),
        cmocka_unit_test(what_is_told_of_a_job_that_has_ended_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
