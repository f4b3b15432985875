/* Ends that do not go as planned: a disk that takes no more, and a crash between the last record and the manifest. */
#include "studio.h"

#include <signal.h>
#include <sys/resource.h>

static void open_attached(studio_t *studio, int64_t elements) {
    studio_open(studio, DURABILITY_ASYNC);
    studio_create(studio, "1", "p");
    studio_budget(studio, "j1", elements);
    source_attach(studio, "s", "j1", "a", "w");
}

/* No file may grow past `size` bytes. */
static void files_limit(rlim_t size) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void an_append_that_fails_fails_the_job_and_acknowledges_nothing(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, LIMIT_NONE);
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    files_limit(8192);
    source_send(&studio, "s", "a", 2, 1000);
    source_send(&studio, "s", "a", 3, 1000);
    stage_run(studio.stage);
    files_limit(RLIM_INFINITY);
    const msg_source_failed_t *failed = studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    assert_string_equal(failed->job, "j1");
    assert_non_null(strstr(failed->message, "000000000000.seg"));
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    assert_true(source_is_quiet(&studio, "s"));
    msg_recording_finish_t finish = {.recording = "r1", .state = "FAILED", .stop_reason = "error", .has_error = true, .error = "full"};
    const msg_recording_jobs_t *jobs = stage_get(studio.stage, "recorder", MSG_RECORDING_FINISH, &finish);
    assert_int_equal(jobs->recordings.items[0].elements, 3);
    assert_string_equal(jobs->recordings.items[0].error, "full");
    source_is_stopped(&studio, "s", "error");
    assert_int_equal(studio_describe(&studio, "r1")->elements, 3);
    studio_close(&studio);
}

/* In the place of the file that the manifest is written to before it is renamed. */
static void manifest_block(const studio_t *studio, bool blocked) {
    char path[700];
    folder_recording_path(studio->data, "r1", path, sizeof path);
    strcat(path, "/." MANIFEST_FILE ".new");
    assert_int_equal(blocked ? mkdir(path, 0755) : rmdir(path), 0);
}

static void an_end_that_the_disk_does_not_take_is_told_and_written_as_soon_as_it_does(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, LIMIT_NONE);
    source_batch(&studio, "s", "a", 1, 3);
    manifest_block(&studio, true);
    const msg_recording_job_t *job = studio_finish(&studio, "r1", "CANCELLED", "user");
    assert_string_equal(job->state, "FAILED");
    assert_non_null(strstr(job->error, "/r1/." MANIFEST_FILE));
    stage_advance(studio.stage, 5000000);
    stage_run(studio.stage);
    manifest_block(&studio, false);
    stage_advance(studio.stage, 1000000);
    stage_run(studio.stage);
    studio_restart(&studio, START + 9000000);
    assert_string_equal(studio_job(&studio, "r1")->state, "FAILED");
    assert_string_equal(studio_job(&studio, "r1")->stop_reason, "error");
    studio_close(&studio);
}

/* It may not have heard of it: it was not ready yet, or it has lost its state since. */
static void a_job_supervisor_that_asks_is_told_what_must_end_because_the_disk_failed(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, LIMIT_NONE);
    source_batch(&studio, "s", "a", 1, 3);
    assert_false(studio_job(&studio, "r1")->has_ending);
    files_limit(8192);
    source_send(&studio, "s", "a", 2, 1000);
    stage_run(studio.stage);
    files_limit(RLIM_INFINITY);
    const msg_recording_job_t *job = studio_job(&studio, "r1");
    assert_string_equal(job->ending, "FAILED");
    assert_string_equal(job->stop_reason, "error");
    assert_non_null(strstr(job->error, "000000000000.seg"));
    studio_finish(&studio, "r1", "FAILED", "error");
    assert_false(studio_job(&studio, "r1")->has_ending);
    studio_close(&studio);
}

/* Closes the log as a process does that dies before it has saved the manifest. */
static void end_log(studio_t *studio, bool streams) {
    char folder[600];
    uint64_t torn;
    fault_t why;
    stage_destroy(&studio->stage);
    folder_recording_path(studio->data, "r1", folder, sizeof folder);
    journal_t *journal = journal_open(folder, studio->segment_bytes, &torn, &why);
    assert_non_null(journal);
    for (uint32_t i = 0; streams && i < 2; i++) ok(journal_stream_ended(journal, i, START, &why), why);
    ok(journal_ended(journal, START, &why), why);
    journal_close(&journal);
    studio_start(studio, START + 1000);
}

static void a_log_that_ended_by_its_limit_is_found_spent(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, 3);
    source_batch(&studio, "s", "a", 1, 3);
    end_log(&studio, false);
    assert_string_equal(studio_job(&studio, "r1")->state, "RUNNING");
    studio_budget(&studio, "j1", 3);
    assert_string_equal(((const msg_budget_spent_t *)studio_take(&studio, "limiter", MSG_BUDGET_SPENT))->limit, "count");
    const msg_recording_job_t *job = studio_finish(&studio, "r1", "CANCELLED", "count");
    assert_string_equal(job->state, "CANCELLED");
    assert_int_equal(job->elements, 3);
    assert_int_equal(studio_describe(&studio, "r1")->gaps.count, 0);
    studio_close(&studio);
}

static void a_log_whose_sources_had_ended_says_so_again(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, LIMIT_NONE);
    end_log(&studio, true);
    studio_budget(&studio, "j1", LIMIT_NONE);
    assert_string_equal(((const msg_source_ended_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_ENDED))->signature, "A");
    assert_string_equal(((const msg_source_ended_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_ENDED))->signature, "B");
    studio_close(&studio);
}

static void a_log_that_ended_for_a_reason_unknown_fails_its_job(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, LIMIT_NONE);
    end_log(&studio, false);
    studio_budget(&studio, "j1", LIMIT_NONE);
    assert_non_null(strstr(((const msg_source_failed_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED))->message, "not known"));
    source_ask(&studio, "s", "j1", "a", "w");
    assert_int_equal(stage_peer_refusal(studio.stage, source_named("s"))->code, ERROR_INVALID_STATE);
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_append_that_fails_fails_the_job_and_acknowledges_nothing),
        cmocka_unit_test(an_end_that_the_disk_does_not_take_is_told_and_written_as_soon_as_it_does),
        cmocka_unit_test(a_job_supervisor_that_asks_is_told_what_must_end_because_the_disk_failed),
        cmocka_unit_test(a_log_that_ended_by_its_limit_is_found_spent),
        cmocka_unit_test(a_log_whose_sources_had_ended_says_so_again),
        cmocka_unit_test(a_log_that_ended_for_a_reason_unknown_fails_its_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
