/* What the tests of job_sweep.c share: recordings that are made, retired and restored, with the recorder and the limiter played by the test. */
#ifndef REPRISE_TESTS_SWEEP_H
#define REPRISE_TESTS_SWEEP_H

#include "foreman.h"

/* Asks for a job on push sources told apart by `payload`: another one is other sources. */
static inline void want(stage_t *stage, const char *payload) {
    ask_ensure(stage, "runner", &(wanted_t){.pipeline = "p", .urns = {PUSH}, .payload = payload, .changed = true});
}

static inline const msg_recording_create_t *begin(stage_t *stage) {
    resolve_limits(stage);
    const msg_recording_create_t *made = create(stage);
    start_clock(stage);
    assert_true(decision(stage, "runner")->started);
    return made;
}

static inline const msg_recording_create_t *complete(stage_t *stage) {
    const msg_recording_create_t *made = begin(stage);
    reach(stage, made->job, "count");
    finish(stage, 10);
    return made;
}

static inline const msg_recording_create_t *first(stage_t *stage, const char *payload) {
    want(stage, payload);
    return complete(stage);
}

/* The pipeline's sources change, and its recording stays as invalid; the others are `told` to be so already. */
static inline const msg_recording_create_t *change(stage_t *stage, const char *payload, const msg_recording_create_t *old,
                                                   const msg_recording_create_t *older) {
    want(stage, payload);
    retire(stage, old->recording, false);
    if (older) known(stage, older->recording, false, true);
    return complete(stage);
}

static inline void told(stage_t *stage) {
    while (stage_take(stage, "test_stream_server", MSG_TEST_STREAM_INVALIDATE)) continue;
}

static inline void assert_restored(stage_t *stage, const char *as, const msg_recording_create_t *made) {
    const msg_job_decision_t *d = decision(stage, as);
    assert_decision(d, false, "recording_valid");
    assert_false(d->needed);
    assert_string_equal(d->recording, made->recording);
    assert_string_equal(d->job, made->job);
    assert_true(d->has_made_of);
    assert_int_equal(d->made_of.count, made->streams.count);
    desk_is_quiet(stage, "recorder", MSG_NONE);
}

static inline void assert_dropped(stage_t *stage, const msg_recording_create_t *made) {
    msg_recording_delete_t delete = {.recording = made->recording};
    assert_int_equal(stage_get_refusal(stage, "job_supervisor", MSG_RECORDING_DELETE, &delete)->code, ERROR_NOT_FOUND);
}

#endif
