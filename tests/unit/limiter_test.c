/* The limiter: which limits hold, what budget the recorder gets, and that a job ends when its time is over. */
#include "desk.h"

#include "actors/limiter.h"

#define SECOND INT64_C(1000000)

static msg_options_t options(void) {
    msg_options_t made;
    options_default(&made);
    made.min_free_disk = 0;
    return made;
}

static void load(stage_t *stage, const msg_options_t *made, size_t count, msg_recording_job_t *recordings) {
    desk_answer(stage, "catalog", MSG_OPTIONS_GET, made);
    assert_false(stage_is_ready(stage, "limiter"));
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){.recordings = {count, recordings}});
    assert_true(stage_is_ready(stage, "limiter"));
}

static stage_t *with_limiter(void) {
    stage_t *stage = stage_create(5, NULL);
    stage_add(stage, &limiter_class, "limiter", (bytes_t){0});
    msg_options_t made = options();
    load(stage, &made, 0, NULL);
    return stage;
}

static void change(stage_t *stage, const msg_options_t *made) {
    msg_options_changed_t changed;
    memcpy(&changed, made, sizeof changed);
    stage_tell(stage, "catalog", "limiter", MSG_OPTIONS_CHANGED, &changed);
    stage_run(stage);
}

static msg_limits_t limits_of(int64_t duration_ms, int64_t bytes, int64_t count) {
    return (msg_limits_t){
        .has_duration_ms = true, .duration_ms = duration_ms, .has_bytes = true, .bytes = bytes, .has_count = true, .count = count};
}

static void assert_limits(const msg_limits_t *limits, int64_t duration_ms, int64_t bytes, int64_t count) {
    assert_int_equal(limits->duration_ms, duration_ms);
    assert_int_equal(limits->bytes, bytes);
    assert_int_equal(limits->count, count);
}

static void start(stage_t *stage, const char *as, const char *job, msg_limits_t limits) {
    stage_ask(stage, as, "limiter", MSG_LIMITS_START, &(msg_limits_start_t){.job = job, .recording = "r", .limits = limits});
    stage_run(stage);
}

static void assert_reached(stage_t *stage, const char *job, const char *limit) {
    const msg_limit_reached_t *told = desk_told(stage, "job_supervisor", MSG_LIMIT_REACHED);
    assert_string_equal(told->job, job);
    assert_string_equal(told->limit, limit);
    const msg_notify_t *notify = desk_told(stage, "notifier", MSG_NOTIFY);
    assert_string_equal(notify->topic, "limit.reached");
    assert_string_equal(notify->name, job);
    assert_string_equal(notify->state, limit);
}

/* ---- which limits hold ---- */

enum { LEAST = 2000 };

static void resolve(stage_t *stage, const char *as, const msg_limits_t *limits, int64_t streams) {
    msg_limits_resolve_t ask = {.has_limits = limits != NULL, .has_streams = streams > 0, .streams = streams};
    if (limits) ask.limits = *limits;
    stage_ask(stage, as, "limiter", MSG_LIMITS_RESOLVE, &ask);
    stage_run(stage);
}

/* The recorder says how much there is. */
static const msg_room_ask_t *with_room(stage_t *stage, int64_t held) {
    return desk_answer(stage, "recorder", MSG_ROOM_ASK, &(msg_room_t){.held = held, .least = LEAST});
}

static const msg_limits_resolved_t *resolved_with(stage_t *stage, const msg_limits_t *limits) {
    resolve(stage, "asker", limits, 0);
    assert_true(desk_waits(stage, "asker"));
    with_room(stage, 0);
    return desk_yes(stage, "asker");
}

static void without_limits_of_its_own_a_job_gets_the_options(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    const msg_limits_resolved_t *resolved = resolved_with(stage, NULL);
    assert_limits(&resolved->limits, 60000, LIMIT_NONE, LIMIT_NONE);
    msg_options_t made = options();
    made.recording_duration_ms = 5;
    made.recording_count_limit = 6;
    change(stage, &made);
    resolved = resolved_with(stage, NULL);
    assert_limits(&resolved->limits, 5, LIMIT_NONE, 6);
    stage_destroy(&stage);
}

static void a_limit_of_its_own_replaces_the_option_and_nil_takes_it_away(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    msg_options_t made = options();
    made.recording_count_limit = 6;
    change(stage, &made);
    msg_limits_t limits = limits_of(LIMIT_NONE, 7000, 8);
    const msg_limits_resolved_t *resolved = resolved_with(stage, &limits);
    assert_limits(&resolved->limits, LIMIT_NONE, 7000, 8);
    limits = (msg_limits_t){.has_count = true, .count = LIMIT_NONE, .duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE};
    resolved = resolved_with(stage, &limits);
    assert_limits(&resolved->limits, 60000, LIMIT_NONE, LIMIT_NONE);
    stage_destroy(&stage);
}

static void with_too_little_disk_nothing_may_start(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    msg_options_t made = options();
    made.min_free_disk = INT64_MAX;
    change(stage, &made);
    const refusal_t *no = stage_get_refusal(stage, "limiter", MSG_LIMITS_RESOLVE, &(msg_limits_resolve_t){0});
    assert_int_equal(no->code, ERROR_NO_SPACE);
    assert_non_null(strstr(no->message, "`min_free_disk` is 9223372036854775807"));
    stage_destroy(&stage);
}

static void where_all_recordings_leave_no_room_nothing_may_start(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    msg_options_t made = options();
    made.recording_size_limit = 50000;
    change(stage, &made);
    resolve(stage, "asker", NULL, 3);
    const msg_room_ask_t *asked = with_room(stage, 50000 - LEAST + 1);
    assert_int_equal(asked->streams, 3);
    refusal_t no = desk_no(stage, "asker");
    assert_int_equal(no.code, ERROR_NO_SPACE);
    assert_string_equal(no.field, "recording_size_limit");
    assert_string_equal(no.message,
                        "the recordings take 48001 bytes, `recording_size_limit` is 50000, and another recording needs 2000 at least");
    resolve(stage, "asker", NULL, 0);
    with_room(stage, 50000 - LEAST);
    desk_yes(stage, "asker");
    made.recording_size_limit = LIMIT_NONE;
    change(stage, &made);
    resolve(stage, "asker", NULL, 0);
    with_room(stage, INT64_MAX);
    desk_yes(stage, "asker");
    stage_destroy(&stage);
}

static void a_limit_of_bytes_that_holds_nothing_is_a_bad_request(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    msg_limits_t limits = limits_of(1000, LEAST - 1, LIMIT_NONE);
    resolve(stage, "asker", &limits, 0);
    with_room(stage, 0);
    refusal_t no = desk_no(stage, "asker");
    assert_int_equal(no.code, ERROR_BAD_REQUEST);
    assert_string_equal(no.field, "limits.bytes");
    assert_non_null(strstr(no.message, "1999"));
    assert_non_null(strstr(no.message, "2000"));
    limits = limits_of(1000, LEAST, LIMIT_NONE);
    assert_limits(&resolved_with(stage, &limits)->limits, 1000, LEAST, LIMIT_NONE);
    stage_destroy(&stage);
}

static void a_recorder_that_fails_is_asked_for_room_again(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    resolve(stage, "first", NULL, 0);
    resolve(stage, "second", NULL, 0);
    const stage_message_t *of_first = desk_take(stage, "recorder", MSG_ROOM_ASK);
    with_room(stage, 0); /* of the second, whose answer comes first */
    desk_yes(stage, "second");
    stage_refuse(stage, of_first, ERROR_UNAVAILABLE, "recorder failed on this request and is restarted");
    desk_refuse(stage, "recorder", MSG_ROOM_ASK, ERROR_UNAVAILABLE, "recorder failed on this request and is restarted");
    assert_true(desk_waits(stage, "first"));
    with_room(stage, 0);
    desk_yes(stage, "first");
    resolve(stage, "third", NULL, 0);
    for (int i = 0; i < 3; i++) desk_refuse(stage, "recorder", MSG_ROOM_ASK, ERROR_UNAVAILABLE, "recorder failed on this request");
    assert_int_equal(desk_no(stage, "third").code, ERROR_UNAVAILABLE);
    desk_is_quiet(stage, "recorder", MSG_ROOM_ASK);
    stage_destroy(&stage);
}

static void limits_that_are_worked_out_when_it_fails_are_by_the_new_state(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    resolve(stage, "asker", NULL, 2);
    desk_take(stage, "recorder", MSG_ROOM_ASK);
    stage_fail(stage, "limiter");
    stage_run(stage);
    msg_options_t made = options();
    made.recording_count_limit = 9;
    load(stage, &made, 0, NULL);
    assert_int_equal(with_room(stage, 0)->streams, 2);
    assert_limits(&((const msg_limits_resolved_t *)desk_yes(stage, "asker"))->limits, 60000, LIMIT_NONE, 9);
    stage_destroy(&stage);
}

/* ---- budgets ---- */

static void a_job_starts_when_the_recorder_has_its_budget(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(2000, 100, 10));
    assert_true(desk_waits(stage, "starter"));
    const msg_budget_set_t *budget = desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
    assert_string_equal(budget->job, "j1");
    assert_int_equal(budget->elements, 10);
    assert_int_equal(budget->bytes, 100);
    assert_int_equal(budget->total_bytes, 1000000000);
    assert_int_equal(budget->start, stage_now(stage));
    assert_int_equal(budget->until, stage_now(stage) + 2 * SECOND);
    const msg_limits_started_t *started = desk_yes(stage, "starter");
    assert_int_equal(started->start, budget->start);
    stage_destroy(&stage);
}

static void without_limits_the_budget_says_so_but_for_the_size_of_all(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(LIMIT_NONE, LIMIT_NONE, LIMIT_NONE));
    const msg_budget_set_t *budget = desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
    assert_int_equal(budget->elements, LIMIT_NONE);
    assert_int_equal(budget->bytes, LIMIT_NONE);
    assert_false(budget->has_until);
    assert_int_equal(budget->total_bytes, 1000000000);
    stage_advance(stage, 3600 * SECOND);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

static void the_longest_duration_does_not_overflow(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(INT64_MAX, LIMIT_NONE, LIMIT_NONE));
    const msg_budget_set_t *budget = desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
    assert_true(budget->until > stage_now(stage));
    stage_advance(stage, 3600 * SECOND);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

static void the_start_is_the_first_though_it_is_asked_for_again(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    int64_t first = stage_now(stage);
    start(stage, "first", "j1", limits_of(2000, LIMIT_NONE, LIMIT_NONE));
    stage_advance(stage, SECOND / 2);
    start(stage, "second", "j1", limits_of(2000, LIMIT_NONE, LIMIT_NONE));
    assert_int_equal(desk_no(stage, "first").code, ERROR_CONFLICT);
    for (int i = 0; i < 2; i++) {
        const msg_budget_set_t *budget = desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
        assert_int_equal(budget->start, first);
        assert_int_equal(budget->until, first + 2 * SECOND);
    }
    assert_int_equal(((const msg_limits_started_t *)desk_yes(stage, "second"))->start, first);
    start(stage, "third", "j1", limits_of(2000, LIMIT_NONE, LIMIT_NONE));
    assert_int_equal(((const msg_limits_started_t *)desk_yes(stage, "third"))->start, first);
    desk_is_quiet(stage, "recorder", MSG_BUDGET_SET);
    stage_destroy(&stage);
}

static void a_budget_that_is_refused_refuses_the_start(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(1000, LIMIT_NONE, LIMIT_NONE));
    desk_refuse(stage, "recorder", MSG_BUDGET_SET, ERROR_NOT_FOUND, "there is no job j1");
    assert_int_equal(desk_no(stage, "starter").code, ERROR_NOT_FOUND);
    stage_advance(stage, 5 * SECOND);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

static void a_recorder_that_fails_gets_its_budgets_again_and_the_start_is_answered(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(60000, LIMIT_NONE, 10));
    desk_refuse(stage, "recorder", MSG_BUDGET_SET, ERROR_UNAVAILABLE, "recorder failed on this request and is restarted");
    assert_true(desk_waits(stage, "starter"));
    stage_tell(stage, "recorder", "limiter", MSG_RECORDER_RECOVERED, &(msg_recorder_recovered_t){0});
    const msg_budget_set_t *budget = desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
    assert_int_equal(budget->elements, 10);
    desk_yes(stage, "starter");
    stage_destroy(&stage);
}

static void a_budget_that_the_recorder_did_not_get_is_sent_again_though_it_never_failed(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(60000, LIMIT_NONE, 10));
    desk_refuse(stage, "recorder", MSG_BUDGET_SET, ERROR_UNAVAILABLE, "recorder has too many messages waiting");
    assert_true(desk_waits(stage, "starter"));
    stage_advance(stage, SECOND);
    const msg_budget_set_t *budget = desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
    assert_int_equal(budget->elements, 10);
    desk_yes(stage, "starter");
    stage_advance(stage, SECOND);
    desk_is_quiet(stage, "recorder", MSG_BUDGET_SET);
    stage_destroy(&stage);
}

static void a_size_for_all_that_changes_reaches_the_jobs_that_run(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(60000, LIMIT_NONE, 10));
    desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
    msg_options_t made = options();
    made.recording_duration_ms = 1;
    change(stage, &made);
    desk_is_quiet(stage, "recorder", MSG_BUDGET_SET);
    made.recording_size_limit = 77;
    change(stage, &made);
    const msg_budget_set_t *budget = desk_told(stage, "recorder", MSG_BUDGET_SET);
    assert_int_equal(budget->total_bytes, 77);
    assert_int_equal(budget->elements, 10);
    assert_int_equal(budget->until, budget->start + 60 * SECOND);
    stage_destroy(&stage);
}

/* ---- the end ---- */

static void a_job_ends_when_its_time_is_over_and_not_before(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(2000, LIMIT_NONE, LIMIT_NONE));
    stage_advance(stage, 2 * SECOND - 1);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_advance(stage, 1);
    assert_reached(stage, "j1", "duration");
    stage_advance(stage, 60 * SECOND);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

static void what_the_recorder_has_spent_is_told_once(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(2000, LIMIT_NONE, 10));
    for (int i = 0; i < 2; i++)
        stage_tell(stage, "recorder", "limiter", MSG_BUDGET_SPENT, &(msg_budget_spent_t){.job = "j1", .limit = "count"});
    assert_reached(stage, "j1", "count");
    stage_advance(stage, 5 * SECOND);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_tell(stage, "recorder", "limiter", MSG_BUDGET_SPENT, &(msg_budget_spent_t){.job = "j9", .limit = "count"});
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

static void a_job_that_has_ended_reaches_no_limit(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(2000, LIMIT_NONE, LIMIT_NONE));
    start(stage, "other", "j2", limits_of(3000, LIMIT_NONE, LIMIT_NONE));
    stage_tell(stage, "job_supervisor", "limiter", MSG_LIMITS_STOP, &(msg_limits_stop_t){.job = "j1"});
    assert_int_equal(desk_no(stage, "starter").code, ERROR_INVALID_STATE);
    stage_advance(stage, 5 * SECOND);
    assert_reached(stage, "j2", "duration");
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

static void every_job_ends_when_the_disk_fills_up(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "a", "j1", limits_of(LIMIT_NONE, LIMIT_NONE, LIMIT_NONE));
    start(stage, "b", "j2", limits_of(LIMIT_NONE, LIMIT_NONE, LIMIT_NONE));
    stage_advance(stage, 5 * SECOND);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    msg_options_t made = options();
    made.min_free_disk = INT64_MAX;
    change(stage, &made);
    stage_advance(stage, SECOND);
    assert_reached(stage, "j1", "free_disk");
    assert_reached(stage, "j2", "free_disk");
    stage_advance(stage, 5 * SECOND);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

/* ---- failures ---- */

static msg_recording_job_t running(stage_t *stage, const char *job) {
    return (msg_recording_job_t){.recording = "r",
                                 .job = job,
                                 .pipeline = "p",
                                 .state = "RUNNING",
                                 .limits = limits_of(10000, LIMIT_NONE, 10),
                                 .created = stage_now(stage),
                                 .has_started = true,
                                 .started = stage_now(stage) - 4 * SECOND};
}

static void new_state_goes_on_with_the_jobs_that_run(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    stage_fail(stage, "limiter");
    stage_run(stage);
    msg_recording_job_t recordings[] = {running(stage, "j1"), running(stage, "j2"), running(stage, "j3"), running(stage, "j4")};
    recordings[1].state = "CANCELLED";
    recordings[1].has_ended = recordings[1].has_stop_reason = true;
    recordings[1].stop_reason = "user";
    recordings[2].has_started = false;
    recordings[3].has_ending = recordings[3].has_stop_reason = true; /* its end waits for the disk */
    recordings[3].ending = "CANCELLED";
    recordings[3].stop_reason = "user";
    msg_options_t made = options();
    load(stage, &made, 4, recordings);
    const msg_budget_set_t *budget = desk_answer(stage, "recorder", MSG_BUDGET_SET, NULL);
    assert_string_equal(budget->job, "j1");
    assert_int_equal(budget->until, recordings[0].started + 10 * SECOND);
    desk_is_quiet(stage, "recorder", MSG_BUDGET_SET);
    stage_advance(stage, 6 * SECOND - 1);
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_advance(stage, 1);
    assert_reached(stage, "j1", "duration");
    desk_is_quiet(stage, "job_supervisor", MSG_LIMIT_REACHED);
    stage_destroy(&stage);
}

static void a_limit_reached_while_nobody_listened_is_told(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    stage_fail(stage, "limiter");
    stage_run(stage);
    msg_recording_job_t recording = running(stage, "j1");
    recording.has_spent = true;
    recording.spent = "count";
    msg_options_t made = options();
    load(stage, &made, 1, &recording);
    assert_reached(stage, "j1", "count");
    stage_destroy(&stage);
}

static void a_start_under_way_when_it_fails_is_answered_by_the_new_state(void **test) {
    (void)test;
    stage_t *stage = with_limiter();
    start(stage, "starter", "j1", limits_of(2000, LIMIT_NONE, LIMIT_NONE));
    desk_take(stage, "recorder", MSG_BUDGET_SET);
    stage_fail(stage, "limiter");
    stage_run(stage);
    msg_recording_job_t recording = running(stage, "j1");
    msg_options_t made = options();
    load(stage, &made, 1, &recording);
    assert_int_equal(((const msg_limits_started_t *)desk_yes(stage, "starter"))->start, recording.started);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_of_its_own_a_job_gets_the_options),
        cmocka_unit_test(a_limit_of_its_own_replaces_the_option_and_nil_takes_it_away),
        cmocka_unit_test(with_too_little_disk_nothing_may_start),
        cmocka_unit_test(where_all_recordings_leave_no_room_nothing_may_start),
        cmocka_unit_test(a_limit_of_bytes_that_holds_nothing_is_a_bad_request),
        cmocka_unit_test(a_recorder_that_fails_is_asked_for_room_again),
        cmocka_unit_test(limits_that_are_worked_out_when_it_fails_are_by_the_new_state),
        cmocka_unit_test(a_job_starts_when_the_recorder_has_its_budget),
        cmocka_unit_test(without_limits_the_budget_says_so_but_for_the_size_of_all),
        cmocka_unit_test(the_longest_duration_does_not_overflow),
        cmocka_unit_test(the_start_is_the_first_though_it_is_asked_for_again),
        cmocka_unit_test(a_budget_that_is_refused_refuses_the_start),
        cmocka_unit_test(a_recorder_that_fails_gets_its_budgets_again_and_the_start_is_answered),
        cmocka_unit_test(a_budget_that_the_recorder_did_not_get_is_sent_again_though_it_never_failed),
        cmocka_unit_test(a_size_for_all_that_changes_reaches_the_jobs_that_run),
        cmocka_unit_test(a_job_ends_when_its_time_is_over_and_not_before),
        cmocka_unit_test(what_the_recorder_has_spent_is_told_once),
        cmocka_unit_test(a_job_that_has_ended_reaches_no_limit),
        cmocka_unit_test(every_job_ends_when_the_disk_fills_up),
        cmocka_unit_test(new_state_goes_on_with_the_jobs_that_run),
        cmocka_unit_test(a_limit_reached_while_nobody_listened_is_told),
        cmocka_unit_test(a_start_under_way_when_it_fails_is_answered_by_the_new_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
