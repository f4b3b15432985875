/* Workers: who is given which source, who takes over from whom, and what is said to those who wait. */
#include <signal.h>
#include <sys/resource.h>

#include "crew.h"

/* ---- being given a source ---- */

static void a_worker_is_given_what_it_is_ready_for_and_nothing_else(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, true);
    ready(&studio, "w", false);
    const msg_source_start_t *start = started(&studio, "w", "a");
    assert_string_equal(start->job, "j1");
    assert_string_equal(start->urn, TELEX);
    assert_int_equal(start->payload.size, 1);
    assert_false(start->has_cursor);
    assert_true(source_is_quiet(&studio, "w"));
    assert_notified(&studio, "worker.joined", "w", "ready");
    const msg_workers_t *all = listed(&studio);
    assert_int_equal(all->workers.count, 1);
    assert_string_equal(all->workers.items[0].sources.items[0].tag, "a");
    assert_int_equal(all->waiting.count, 1);
    assert_string_equal(all->waiting.items[0].urn, TELEGRAPH);
    studio_close(&studio);
}

static void a_job_that_comes_later_finds_the_worker_that_waits(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    ready(&studio, "w", true);
    assert_true(source_is_quiet(&studio, "w"));
    create_for_workers(&studio, "1", false);
    stage_run(studio.stage);
    source_ask(&studio, "w", "j1", started(&studio, "w", "a")->tag, NULL); /* waits until the job starts */
    assert_string_equal(((const msg_source_joined_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_JOINED))->signature, "A");
    wait_with(&studio, 60 * SECOND, "w", NULL);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    studio_budget(&studio, "j1", LIMIT_NONE);
    stage_peer_answer(studio.stage, source_named("w"), MSG_SOURCE_ATTACHED);
    assert_null(stage_peer_take_of(studio.stage, source_named("w"), MSG_SOURCE_START));
    studio_close(&studio);
}

static void sources_are_dealt_out_evenly(void **state) {
    enum { JOBS = 9 };
    static const char *const workers[] = {"u", "v", "w"};
    studio_t studio;
    size_t had[3] = {0};
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    for (size_t i = 0; i < 3; i++) ready(&studio, workers[i], false);
    for (int i = 0; i < JOBS; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        create_for_workers(&studio, name, false);
        stage_run(studio.stage);
    }
    for (size_t i = 0; i < 3; i++)
        while (stage_peer_take_of(studio.stage, source_named(workers[i]), MSG_SOURCE_START)) had[i]++;
    for (size_t i = 0; i < 3; i++) assert_int_equal(had[i], JOBS / 3);
    studio_close(&studio);
}

static void who_has_the_fewest_is_given_the_next(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    ready(&studio, "w", false);
    create_for_workers(&studio, "1", false);
    create_for_workers(&studio, "2", false);
    stage_run(studio.stage);
    ready(&studio, "v", false);
    create_for_workers(&studio, "3", false);
    stage_run(studio.stage);
    assert_string_equal(started(&studio, "v", "a")->job, "j3");
    studio_finish(&studio, "r3", "CANCELLED", "user");
    source_is_stopped(&studio, "v", "user");
    create_for_workers(&studio, "4", false); /* it was the last to be given one, and has none */
    stage_run(studio.stage);
    assert_string_equal(started(&studio, "v", "a")->job, "j4");
    studio_close(&studio);
}

static void a_worker_that_leaves_hands_on_what_it_ran(void **state) {
    studio_t studio;
    uint8_t cursor[] = {0xcd, 1, 2};
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    msg_source_batch_t batch = {.tag = "a", .seq = 1, .has_cursor = true, .cursor = {cursor, 3}};
    stage_peer_send(studio.stage, source_named("v"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 4, 0, 5));
    stage_run(studio.stage);
    source_is_acked(&studio, "v", 1);
    ready(&studio, "w", false);
    assert_true(source_is_quiet(&studio, "w"));
    assert_notified(&studio, "worker.joined", "v", "ready");
    assert_notified(&studio, "worker.joined", "w", "ready");
    say_ready(&studio, "v", 0, NULL);
    assert_notified(&studio, "worker.lost", "v", "left");
    assert_string_equal(((const msg_source_stop_t *)take_of(&studio, "v", MSG_SOURCE_STOP))->reason, "superseded");
    stage_peer_answer(studio.stage, source_named("v"), MSG_OK);
    const msg_source_start_t *start = started(&studio, "w", "a");
    assert_int_equal(start->cursor.size, 3);
    assert_memory_equal(start->cursor.data, cursor, 3);
    const msg_source_attached_t *attached = source_attach(&studio, "w", "j1", "a", start->producer);
    assert_int_equal(attached->next_seq, 2);
    assert_memory_equal(attached->cursor.data, cursor, 3);
    source_batch(&studio, "v", "a", 2, 1);
    source_is_nacked(&studio, "v", 2, "not_found");
    source_batch(&studio, "w", "a", 2, 1);
    source_is_acked(&studio, "w", 2);
    assert_int_equal(studio_job(&studio, "r1")->elements, 5);
    studio_close(&studio);
}

static void a_worker_that_attaches_without_a_name_is_the_sources_producer(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    started(&studio, "v", "a");
    source_attach(&studio, "v", "j1", "a", NULL);
    source_batch(&studio, "v", "a", 1, 2);
    source_is_acked(&studio, "v", 1);
    stage_peer_leave(studio.stage, source_named("v"));
    ready(&studio, "w", false);
    wait_with(&studio, 3 * SECOND, "w", NULL);
    take_of(&studio, "w", MSG_SOURCE_START);
    assert_int_equal(source_attach(&studio, "w", "j1", "a", NULL)->next_seq, 2);
    assert_int_equal(source_attach(&studio, "other", "j1", "a", NULL)->next_seq, 1); /* who is no worker has a name of its own */
    studio_close(&studio);
}

/* ---- taking over ---- */

static void a_worker_that_is_gone_is_replaced_by_one_that_is_ready(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    ready(&studio, "w", false);
    stage_peer_leave(studio.stage, source_named("v"));
    wait_with(&studio, 3 * SECOND, "w", NULL);
    take_of(&studio, "w", MSG_SOURCE_START);
    assert_notified(&studio, "worker.joined", "v", "ready");
    assert_notified(&studio, "worker.joined", "w", "ready");
    assert_notified(&studio, "worker.lost", "v", "gone");
    assert_int_equal(listed(&studio)->workers.count, 1);
    studio_close(&studio);
}

static void a_job_that_runs_says_that_it_waits_for_another_worker(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    wait_with(&studio, 9 * SECOND, NULL, NULL);
    const msg_source_waits_t *waits = studio_take(&studio, "job_supervisor", MSG_SOURCE_WAITS);
    assert_string_equal(waits->job, "j1");
    assert_string_equal(waits->message, "a worker for `" TELEX "`");
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_WAITS)); /* once */
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_WAITS));
    stage_peer_leave(studio.stage, source_named("v"));
    wait_with(&studio, 9 * SECOND, NULL, NULL);
    studio_take(&studio, "job_supervisor", MSG_SOURCE_WAITS);
    studio_close(&studio);
}

static void a_worker_that_falls_silent_is_replaced_and_cut_off(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    ready(&studio, "w", false);
    wait_with(&studio, 12 * SECOND, "w", NULL);
    take_of(&studio, "w", MSG_SOURCE_START);
    assert_true(stage_peer_dismissed(studio.stage, source_named("v")));
    for (int i = 0; i < 2; i++) studio_take(&studio, "notifier", MSG_NOTIFY);
    assert_notified(&studio, "worker.lost", "v", "silent");
    studio_close(&studio);
}

static void a_worker_that_does_not_attach_loses_the_source_to_another(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    started(&studio, "v", "a");
    ready(&studio, "w", false);
    wait_with(&studio, 9 * SECOND, "v", "w");
    assert_null(stage_peer_take_of(studio.stage, source_named("w"), MSG_SOURCE_START));
    wait_with(&studio, 2 * SECOND, "v", "w");
    source_ask(&studio, "v", "j1", "a", "worker"); /* too late */
    const msg_source_stop_t *stop = take_of(&studio, "v", MSG_SOURCE_STOP);
    assert_string_equal(stop->reason, "superseded");
    assert_false(stop->has_source);
    assert_string_equal(stop->job, "j1");
    assert_int_equal(stage_peer_refusal(studio.stage, source_named("v"))->code, ERROR_CONFLICT);
    take_of(&studio, "w", MSG_SOURCE_START);
    source_attach(&studio, "w", "j1", "a", "worker");
    studio_close(&studio);
}

static void a_worker_alone_is_given_again_what_it_let_lie(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    started(&studio, "v", "a");
    wait_with(&studio, 11 * SECOND, "v", NULL);
    take_of(&studio, "v", MSG_SOURCE_STOP);
    take_of(&studio, "v", MSG_SOURCE_START);
    wait_with(&studio, 20 * SECOND, "v", NULL);
    const msg_source_failed_t *failed = studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    assert_string_equal(failed->message, "nobody can run the source of `a`: worker `v` was given it and did not attach");
    studio_close(&studio);
}

static void who_let_a_source_lie_is_asked_after_those_who_have_more(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    create_for_workers(&studio, "1", false);
    studio_budget(&studio, "j1", LIMIT_NONE);
    ready(&studio, "w", false);
    obey(&studio, "w", "a");
    ready(&studio, "v", false);
    create_for_workers(&studio, "2", false);
    stage_run(studio.stage);
    assert_string_equal(started(&studio, "v", "a")->job, "j2");
    wait_with(&studio, 11 * SECOND, "v", "w");
    assert_string_equal(((const msg_source_start_t *)take_of(&studio, "w", MSG_SOURCE_START))->job, "j2");
    studio_close(&studio);
}

static void a_worker_that_let_it_lie_and_left_is_not_blamed(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    wait_with(&studio, 12 * SECOND, "v", NULL);
    say_ready(&studio, "v", 0, NULL);
    stage_advance(studio.stage, 20 * SECOND);
    const msg_source_failed_t *failed = studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    assert_non_null(strstr(failed->message, "no worker was ready"));
    studio_close(&studio);
}

static void a_worker_that_is_ready_again_runs_nothing_and_is_given_it_anew(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    source_batch(&studio, "v", "a", 1, 3);
    source_is_acked(&studio, "v", 1);
    const char *urns[] = {TELEX};
    say_ready(&studio, "v", 1, urns);
    source_is_stopped(&studio, "v", "superseded");
    stage_peer_answer(studio.stage, source_named("v"), MSG_OK);
    assert_int_equal(obey(&studio, "v", "a")->next_seq, 2);
    studio_take(&studio, "notifier", MSG_NOTIFY);
    assert_null(stage_take(studio.stage, "notifier", MSG_NOTIFY)); /* it was there all the time */
    studio_close(&studio);
}

/* What it sent just before is not written out yet, and the disk does not take it. */
static void a_worker_that_is_ready_again_is_not_told_of_what_is_not_recorded(void **state) {
    studio_t studio;
    struct rlimit limit;
    (void)state;
    open_job(&studio, false);
    ready(&studio, "v", false);
    obey(&studio, "v", "a");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 64;
    source_send(&studio, "v", "a", 1, 3);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    say_ready(&studio, "v", 1, (const char *[]){TELEX});
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(source_is_stopped(&studio, "v", "superseded")->has_seq);
    studio_close(&studio);
}

static void a_worker_that_is_ready_again_while_it_waits_to_be_let_in_is_given_it_anew(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    create_for_workers(&studio, "1", true);
    ready(&studio, "v", false);
    source_ask(&studio, "v", "j1", started(&studio, "v", "a")->tag, NULL);
    const char *urns[] = {TELEX};
    say_ready(&studio, "v", 1, urns);
    assert_int_equal(stage_peer_refusal(studio.stage, source_named("v"))->code, ERROR_CONFLICT);
    stage_peer_answer(studio.stage, source_named("v"), MSG_OK);
    source_ask(&studio, "v", "j1", started(&studio, "v", "a")->tag, NULL);
    studio_budget(&studio, "j1", LIMIT_NONE);
    stage_peer_answer(studio.stage, source_named("v"), MSG_SOURCE_ATTACHED);
    studio_close(&studio);
}

static void a_source_that_somebody_feeds_needs_no_worker(void **state) {
    studio_t studio;
    (void)state;
    open_job(&studio, false);
    source_attach(&studio, "s", "j1", "a", "by hand");
    msg_source_batch_t batch = {.tag = "a", .seq = 1, .has_cursor = true, .cursor = {(const uint8_t *)"\x05", 1}};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio.stage, 1, 0, 5));
    stage_run(studio.stage);
    ready(&studio, "w", false);
    assert_true(source_is_quiet(&studio, "w"));
    assert_int_equal(listed(&studio)->waiting.count, 0);
    stage_peer_leave(studio.stage, source_named("s"));
    wait_with(&studio, 3 * SECOND, "w", NULL);
    const msg_source_start_t *start = take_of(&studio, "w", MSG_SOURCE_START);
    assert_int_equal(start->cursor.size, 1);
    assert_int_equal(start->cursor.data[0], 5);
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_is_given_what_it_is_ready_for_and_nothing_else),
        cmocka_unit_test(a_job_that_comes_later_finds_the_worker_that_waits),
        cmocka_unit_test(sources_are_dealt_out_evenly),
        cmocka_unit_test(who_has_the_fewest_is_given_the_next),
        cmocka_unit_test(a_worker_that_leaves_hands_on_what_it_ran),
        cmocka_unit_test(a_worker_that_attaches_without_a_name_is_the_sources_producer),
        cmocka_unit_test(a_worker_that_is_gone_is_replaced_by_one_that_is_ready),
        cmocka_unit_test(a_job_that_runs_says_that_it_waits_for_another_worker),
        cmocka_unit_test(a_worker_that_falls_silent_is_replaced_and_cut_off),
        cmocka_unit_test(a_worker_that_does_not_attach_loses_the_source_to_another),
        cmocka_unit_test(a_worker_alone_is_given_again_what_it_let_lie),
        cmocka_unit_test(who_let_a_source_lie_is_asked_after_those_who_have_more),
        cmocka_unit_test(a_worker_that_let_it_lie_and_left_is_not_blamed),
        cmocka_unit_test(a_worker_that_is_ready_again_runs_nothing_and_is_given_it_anew),
        cmocka_unit_test(a_worker_that_is_ready_again_is_not_told_of_what_is_not_recorded),
        cmocka_unit_test(a_worker_that_is_ready_again_while_it_waits_to_be_let_in_is_given_it_anew),
        cmocka_unit_test(a_source_that_somebody_feeds_needs_no_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
