/* What becomes of recordings when somebody refuses or fails while sources change and come back: what is left makes sense. */
#include "sweep.h"

/* ---- refusals on the way ---- */

/* Recordings `a`, retired, and `b`; now `a`'s sources come back. The recorder refuses the `step`th question about that. */
static void refuse_at(int step, error_code_t code) {
    static const message_id_t questions[] = {MSG_RECORDING_JOBS_ASK, MSG_RECORDING_MARK, MSG_RECORDING_MARK};
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    want(stage, "a");
    if (step > 0) known(stage, b->recording, false, false);
    if (step > 1) marked(stage, b->recording, true);
    desk_refuse(stage, "recorder", questions[step], code, "it cannot");
    refusal_t no = desk_no(stage, "runner");
    assert_int_equal(no.code, code);
    desk_is_quiet(stage, "recorder", MSG_NONE);
    want(stage, "a");
    known(stage, b->recording, false, step > 1);
    if (step <= 1) marked(stage, b->recording, true);
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    stage_destroy(&stage);
}

static void a_recorder_that_cannot_is_what_the_client_is_told_and_the_next_one_goes_on(void **test) {
    (void)test;
    for (int step = 0; step < 3; step++) {
        refuse_at(step, ERROR_INTERNAL);
        refuse_at(step, ERROR_UNAVAILABLE);
    }
}

static void a_recording_that_cannot_be_dropped_stays_and_is_tried_again(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *a = first(stage, "a");
    want(stage, "b");
    known(stage, a->recording, false, false);
    desk_refuse(stage, "recorder", MSG_RECORDING_DROP, ERROR_INTERNAL, "busy");
    assert_int_equal(desk_no(stage, "runner").code, ERROR_INTERNAL);
    desk_is_quiet(stage, "limiter", MSG_LIMITS_RESOLVE);
    want(stage, "b");
    drop(stage, a->recording);
    begin(stage);
    stage_destroy(&stage);
}

static void what_is_gone_already_is_no_obstacle(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 2);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    want(stage, "c");
    known(stage, b->recording, false, false);
    desk_refuse(stage, "recorder", MSG_RECORDING_MARK, ERROR_NOT_FOUND, "gone");
    desk_refuse(stage, "recorder", MSG_RECORDING_JOBS_ASK, ERROR_NOT_FOUND, "gone");
    desk_refuse(stage, "recorder", MSG_RECORDING_DROP, ERROR_NOT_FOUND, "gone");
    begin(stage);
    assert_dropped(stage, a);
    assert_dropped(stage, b);
    stage_destroy(&stage);
}

/* ---- failures on the way ---- */

static msg_recording_job_t on_disk(const msg_recording_create_t *made, bool invalidated) {
    msg_recording_job_t there = {.recording = made->recording,
                                 .job = made->job,
                                 .pipeline = "p",
                                 .state = "CANCELLED",
                                 .has_stop_reason = true,
                                 .stop_reason = "count",
                                 .has_started = true,
                                 .started = 1,
                                 .has_ended = true,
                                 .ended = 2,
                                 .limits = no_limits,
                                 .has_invalidated = invalidated,
                                 .invalidated = 1};
    memcpy(&there.streams, &made->streams, sizeof there.streams);
    return there;
}

/* It fails before it knows that `b` is marked (0), or that `a` is (1). */
static void fail_at(int step) {
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    told(stage);
    want(stage, "a");
    known(stage, b->recording, false, false);
    if (step > 0) marked(stage, b->recording, true);
    desk_take(stage, "recorder", MSG_RECORDING_MARK);
    if (step > 0) desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    stage_fail(stage, "job_supervisor");
    msg_recording_job_t there[] = {on_disk(a, true), on_disk(b, true)};
    msg_options_t options;
    options_default(&options);
    options.keep_recordings = 1;
    foreman_load_with(stage, &options, 0, NULL, 2, there);
    known(stage, b->recording, false, true);
    desk_told(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    marked(stage, a->recording, false);
    assert_restored(stage, "runner", a);
    stage_destroy(&stage);
}

static void a_new_state_goes_on_with_what_was_on_its_way_back(void **test) {
    (void)test;
    for (int step = 0; step < 2; step++) fail_at(step);
}

static void one_that_is_valid_already_is_the_answer_of_a_new_state(void **test) {
    (void)test;
    stage_t *stage = foreman();
    set_options(stage, true, 1);
    const msg_recording_create_t *a = first(stage, "a"), *b = change(stage, "b", a, NULL);
    want(stage, "a");
    retire(stage, b->recording, false);
    told(stage);
    desk_take(stage, "recorder", MSG_RECORDING_MARK);
    stage_fail(stage, "job_supervisor");
    msg_recording_job_t there[] = {on_disk(a, false), on_disk(b, true)};
    foreman_load(stage, 0, NULL, 2, there);
    assert_restored(stage, "runner", a);
    desk_is_quiet(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE);
    stage_destroy(&stage);
}

/* With a state that finds this recording. */
static void begin_anew(stage_t *stage, msg_recording_job_t there) {
    stage_fail(stage, "job_supervisor");
    foreman_load(stage, 0, NULL, 1, &there);
}

static void a_process_that_died_before_it_began_anew_finds_its_recording_again(void **test) {
    (void)test;
    for (int dry = 0; dry < 2; dry++) {
        stage_t *stage = foreman();
        const msg_recording_create_t *a = first(stage, "a");
        begin_anew(stage, on_disk(a, true));
        ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = "a", .dry = dry});
        marked(stage, a->recording, false);
        assert_restored(stage, "runner", a);
        stage_destroy(&stage);
    }
}

static void an_invalid_recording_is_never_taken_for_a_valid_one(void **test) {
    (void)test;
    stage_t *stage = foreman();
    const msg_recording_create_t *a = first(stage, "a");
    msg_recording_job_t there = on_disk(a, true);
    there.has_stop_reason = false; /* it is not done, and cannot become valid */
    begin_anew(stage, there);
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = "a"});
    drop(stage, a->recording);
    begin(stage);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recorder_that_cannot_is_what_the_client_is_told_and_the_next_one_goes_on),
        cmocka_unit_test(a_recording_that_cannot_be_dropped_stays_and_is_tried_again),
        cmocka_unit_test(what_is_gone_already_is_no_obstacle),
        cmocka_unit_test(a_new_state_goes_on_with_what_was_on_its_way_back),
        cmocka_unit_test(one_that_is_valid_already_is_the_answer_of_a_new_state),
        cmocka_unit_test(a_process_that_died_before_it_began_anew_finds_its_recording_again),
        cmocka_unit_test(an_invalid_recording_is_never_taken_for_a_valid_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
