/* A job's states, what clients are told of it, and the table of jobs. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/job.h"

#define NOW INT64_C(1700000000000000)

static void every_state_has_its_name(void **test) {
    (void)test;
    static const char *const names[] = {"STARTING", "RUNNING", "CANCELLING", "CANCELLED", "DONE", "FAILED"};
    for (int i = 0; i < JOB_STATES; i++) {
        assert_string_equal(job_state_name((job_state_t)i), names[i]);
        assert_int_equal(job_state_find(names[i]), i);
        assert_int_equal(job_state_is_terminal((job_state_t)i), i >= JOB_CANCELLED);
    }
    assert_int_equal(job_state_find("ASLEEP"), JOB_STATES);
}

static bool may_move(job_state_t from, job_state_t to) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        job_t job = {.state = from};
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        job_move(&job, to);
        _exit(job.state == to ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void only_the_moves_that_make_sense_are_made(void **test) {
    (void)test;
    static const char *const allowed[JOB_STATES] = {[JOB_STARTING] = "\1\2\4\5", [JOB_RUNNING] = "\2\4\5", [JOB_CANCELLING] = "\3\5",
                                                    [JOB_CANCELLED] = "",        [JOB_DONE] = "",          [JOB_FAILED] = ""};
    for (int from = 0; from < JOB_STATES; from++)
        for (int to = 0; to < JOB_STATES; to++)
            assert_int_equal(may_move((job_state_t)from, (job_state_t)to), to != 0 && strchr(allowed[from], to) != NULL);
}

/* The rows of its table that begin with a state: `ret_after` gets the states that it says may follow. */
static bool documented(const char *line, job_state_t *ret_state, bool ret_after[JOB_STATES]) {
    char cells[5][200] = {{0}};
    size_t count = 0, size = 0;
    for (const char *at = line + 1; line[0] == '|' && *at && *at != '\n' && count < 5; at++) {
        if (*at == '|') {
            count++;
            size = 0;
        } else if (size < sizeof cells[0] - 1) {
            cells[count][size++] = *at;
        }
    }
    char name[16] = "";
    if (count != 4 || sscanf(cells[0], " `%15[A-Z]`", name) != 1 || job_state_find(name) == JOB_STATES) return false;
    *ret_state = job_state_find(name);
    for (int i = 0; i < JOB_STATES; i++) {
        char quoted[20];
        snprintf(quoted, sizeof quoted, "`%s`", job_state_name((job_state_t)i));
        ret_after[i] = strstr(cells[3], quoted) != NULL;
    }
    return true;
}

static void the_documented_states_are_those_of_the_table(void **test) {
    (void)test;
    char path[4096], line[400];
    snprintf(path, sizeof path, "%s/docs/jobs.md", SOURCE_FOLDER);
    FILE *page = fopen(path, "r");
    if (!page) fail_msg("cannot open %s", path);
    size_t rows = 0;
    while (fgets(line, sizeof line, page)) {
        job_state_t state;
        bool after[JOB_STATES];
        if (!documented(line, &state, after)) continue;
        rows++;
        for (int i = 0; i < JOB_STATES; i++)
            if (after[i] != job_state_may_follow(state, (job_state_t)i))
                fail_msg("%s: %s is wrong about %s", path, job_state_name(state), job_state_name((job_state_t)i));
    }
    fclose(page);
    assert_int_equal(rows, JOB_STATES);
}

static void a_limit_makes_a_cancelled_job_done_and_a_user_does_not(void **test) {
    (void)test;
    static const char *const limits[] = {"duration", "bytes", "count", "free_disk"}, *const others[] = {"user", "superseded", "error", ""};
    job_t job = {.state = JOB_CANCELLED};
    for (size_t i = 0; i < 4; i++) {
        snprintf(job.stop_reason, sizeof job.stop_reason, "%s", limits[i]);
        assert_true(job_is_done(&job));
        snprintf(job.stop_reason, sizeof job.stop_reason, "%s", others[i]);
        assert_false(job_is_done(&job));
    }
    assert_true(job_is_done(&(job_t){.state = JOB_DONE, .stop_reason = "sources_ended"}));
    assert_false(job_is_done(&(job_t){.state = JOB_FAILED, .stop_reason = "error"}));
    assert_false(job_is_done(&(job_t){.state = JOB_RUNNING}));
}

static void ids_are_never_used_twice_though_the_clock_goes_back(void **test) {
    (void)test;
    jobs_t jobs = {0};
    const job_t *a = jobs_add(&jobs, "p", NOW), *b = jobs_add(&jobs, "p", NOW), *c = jobs_add(&jobs, "p", NOW - 1000000);
    assert_true(strcmp(a->job, b->job) < 0 && strcmp(b->job, c->job) < 0);
    assert_true(strcmp(a->recording, b->recording) < 0 && strcmp(b->recording, c->recording) < 0);
    assert_string_equal(a->job + 1, a->recording + 1);
    assert_int_equal(jobs_last_of(&jobs, "p") == c, 1);
    jobs_fini(&jobs);
}

static void ids_from_the_disk_are_never_used_twice_either(void **test) {
    (void)test;
    jobs_t before = {0}, jobs = {0};
    char id[256];
    snprintf(id, sizeof id, "%s", jobs_add(&before, "p", NOW)->job);
    jobs_fini(&before);
    jobs_add_known(&jobs, id, "r", "p");
    jobs_add_known(&jobs, "j0", "r0", "p"); /* older, and of another form */
    const job_t *next = jobs_add(&jobs, "p", NOW - 5);
    assert_true(strcmp(next->job, id) > 0);
    jobs_fini(&jobs);
}

static void a_folder_that_is_no_recording_does_not_spoil_the_ids(void **test) {
    (void)test;
    jobs_t jobs = {0};
    static const char *const odd[] = {"lost+found and a long name that goes on and on and on", "zzzzzzzzzzzz", "r~~~~~~~~~~~", "r"};
    for (size_t i = 0; i < 4; i++) jobs_add_known(&jobs, odd[i], odd[i], "?");
    const job_t *job = jobs_add(&jobs, "p", NOW);
    assert_int_equal(jobs.last_id, NOW);
    for (const job_t *other = jobs.first; other; other = other->next) assert_true(other == job || other->serial != job->serial);
    for (size_t i = 0; i < 4; i++) assert_string_equal(jobs_of_recording(&jobs, odd[i])->job, odd[i]);
    jobs_fini(&jobs);
}

static void jobs_are_kept_in_order_of_age_and_found(void **test) {
    (void)test;
    jobs_t jobs = {0};
    job_t *newer = jobs_add(&jobs, "p", NOW);
    job_t *older = jobs_add_known(&jobs, "j00000000001", "r00000000001", "q");
    assert_ptr_equal(jobs.first, older);
    assert_ptr_equal(older->next, newer);
    assert_ptr_equal(jobs_find(&jobs, "j00000000001"), older);
    assert_ptr_equal(jobs_of_serial(&jobs, newer->serial), newer);
    assert_ptr_equal(jobs_of_recording(&jobs, newer->recording), newer);
    assert_null(jobs_last_of(&jobs, "other"));
    snprintf(newer->request, sizeof newer->request, "7-1");
    assert_ptr_equal(jobs_of_request(&jobs, "p", "7-1"), newer);
    assert_null(jobs_of_request(&jobs, "q", "7-1"));
    jobs_remove(&jobs, older);
    assert_null(jobs_find(&jobs, "j00000000001"));
    assert_ptr_equal(jobs.first, newer);
    jobs_fini(&jobs);
}

static void a_job_that_starts_says_whom_it_waits_for(void **test) {
    (void)test;
    const char *a[] = {"A", "AA"}, *b[] = {"B"}, *waiting_for[2 * JOB_DESCRIBE_TEXTS];
    msg_stream_t streams[] = {{.tags = {2, a}}, {.tags = {1, b}}};
    msg_recording_create_t plan = {.streams = {2, streams}};
    job_source_t sources[] = {{.joined = false}, {.joined = true}};
    job_t job = {.job = "j", .state = JOB_STARTING, .plan = &plan, .sources = sources};
    msg_job_t told;
    job_describe(&job, NOW, waiting_for, &told);
    assert_true(told.has_waiting_for);
    assert_int_equal(told.waiting_for.count, 1);
    assert_string_equal(told.waiting_for.items[0], "A");
    assert_false(told.is_running || told.is_done || told.has_stop_reason || told.has_started_at || told.has_error);
    assert_int_equal(told.elapsed_ms, 0);
    job.state = JOB_RUNNING;
    job_describe(&job, NOW, waiting_for, &told);
    assert_false(told.has_waiting_for);
    assert_true(told.is_running);
}

static void a_job_says_what_its_sources_wait_for_until_they_do_not(void **test) {
    (void)test;
    const char *tags[] = {"A", "AA"}, *room[JOB_DESCRIBE_TEXTS];
    msg_stream_t stream = {.signature = "urn|01", .tags = {2, tags}};
    msg_recording_create_t plan = {.streams = {1, &stream}};
    job_source_t source = {.joined = true};
    job_t job = {.job = "j", .state = JOB_RUNNING, .plan = &plan, .sources = &source};
    msg_job_t told;
    job_waits(&job, "urn|02", "nothing of ours");
    job_waits(&job, "urn|01", "broker: down");
    job_waits(&job, "urn|01", "broker: refused");
    job_describe(&job, NOW, room, &told);
    assert_int_equal(told.waits.count, 1);
    assert_string_equal(told.waits.items[0], "A: broker: refused");
    job.state = JOB_DONE;
    job_describe(&job, NOW, room, &told);
    assert_false(told.has_waits);
    job.state = JOB_RUNNING;
    job_waits(&job, "urn|01", NULL);
    job_describe(&job, NOW, room, &told);
    assert_false(told.has_waits);
}

static void time_is_counted_from_the_start_to_the_end_and_never_backwards(void **test) {
    (void)test;
    job_t job = {.state = JOB_RUNNING, .started = NOW};
    msg_job_t told;
    job_describe(&job, NOW + 1500000, NULL, &told);
    assert_int_equal(told.elapsed_ms, 1500);
    job_describe(&job, NOW - 1500000, NULL, &told);
    assert_int_equal(told.elapsed_ms, 0);
    job.state = JOB_DONE;
    job.ended = NOW + 2000000;
    job_describe(&job, NOW + 9000000, NULL, &told);
    assert_int_equal(told.elapsed_ms, 2000);
}

/* ---- whose recording it is ---- */

static job_t *ended_job(jobs_t *jobs, const char *first, const char *second, int64_t invalidated) {
    job_t *job = jobs_add(jobs, "p", NOW);
    msg_stream_t streams[] = {{.signature = second ? second : first}, {.signature = first}};
    job_set_signature(job, second ? 2 : 1, streams);
    job_recall(job, JOB_DONE);
    job->has_recording = true;
    job->invalidated = invalidated;
    return job;
}

static void a_recording_covers_what_is_among_its_sources(void **test) {
    (void)test;
    jobs_t jobs = {0};
    const job_t *job = ended_job(&jobs, "a", "b", 0), *bare = jobs_add(&jobs, "p", NOW);
    const char *both[] = {"a", "b"}, *more[] = {"a", "b", "c"};
    assert_true(job_covers(job, &(names_t){2, both}));
    assert_true(job_covers(job, &(names_t){1, both + 1}));
    assert_true(job_covers(job, &(names_t){0, both}));
    assert_false(job_covers(job, &(names_t){3, more}));
    assert_true(job_covers(bare, &(names_t){0, NULL}));
    assert_false(job_covers(bare, &(names_t){1, both}));
    jobs_fini(&jobs);
}

static void the_current_job_is_the_newest_with_a_valid_recording_or_the_newest(void **test) {
    (void)test;
    jobs_t jobs = {0};
    assert_null(jobs_current_of(&jobs, "p"));
    job_t *a = ended_job(&jobs, "a", NULL, 0), *b = ended_job(&jobs, "b", NULL, 0);
    assert_ptr_equal(jobs_current_of(&jobs, "p"), b);
    b->invalidated = NOW;
    assert_ptr_equal(jobs_current_of(&jobs, "p"), a);
    b->invalidated = 0;
    b->has_recording = false;
    assert_ptr_equal(jobs_current_of(&jobs, "p"), a);
    a->invalidated = NOW;
    assert_ptr_equal(jobs_current_of(&jobs, "p"), b);
    assert_null(jobs_current_of(&jobs, "q"));
    jobs_fini(&jobs);
}

static void of_complete_recordings_the_one_that_was_valid_last_comes_first(void **test) {
    (void)test;
    jobs_t jobs = {0};
    const char *wanted[] = {"a"};
    const names_t signature = {1, wanted};
    assert_null(jobs_complete_of(&jobs, "p", &signature));
    job_t *old = ended_job(&jobs, "a", NULL, 30), *middle = ended_job(&jobs, "a", "b", 20), *new = ended_job(&jobs, "a", NULL, 20);
    ended_job(&jobs, "b", NULL, 40);
    assert_ptr_equal(jobs_complete_of(&jobs, "p", &signature), old);
    old->invalidated = 10;
    assert_ptr_equal(jobs_complete_of(&jobs, "p", &signature), new);
    middle->invalidated = 0;
    assert_ptr_equal(jobs_complete_of(&jobs, "p", &signature), middle);
    job_recall(middle, JOB_FAILED);
    job_recall(new, JOB_RUNNING);
    assert_ptr_equal(jobs_complete_of(&jobs, "p", &signature), old);
    old->has_recording = false;
    assert_null(jobs_complete_of(&jobs, "p", &signature));
    jobs_fini(&jobs);
}

static void a_job_that_has_not_ended_is_found_though_a_newer_one_has(void **test) {
    (void)test;
    jobs_t jobs = {0};
    const job_t *older = jobs_add(&jobs, "p", NOW);
    job_recall(jobs_add(&jobs, "p", NOW), JOB_FAILED);
    assert_ptr_equal(jobs_active_of(&jobs, "p"), older);
    assert_null(jobs_active_of(&jobs, "q"));
    const job_t *newer = jobs_add(&jobs, "p", NOW);
    assert_ptr_equal(jobs_active_of(&jobs, "p"), newer);
    jobs_fini(&jobs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_its_name),
        cmocka_unit_test(only_the_moves_that_make_sense_are_made),
        cmocka_unit_test(the_documented_states_are_those_of_the_table),
        cmocka_unit_test(a_limit_makes_a_cancelled_job_done_and_a_user_does_not),
        cmocka_unit_test(ids_are_never_used_twice_though_the_clock_goes_back),
        cmocka_unit_test(ids_from_the_disk_are_never_used_twice_either),
        cmocka_unit_test(a_folder_that_is_no_recording_does_not_spoil_the_ids),
        cmocka_unit_test(jobs_are_kept_in_order_of_age_and_found),
        cmocka_unit_test(a_job_that_starts_says_whom_it_waits_for),
        cmocka_unit_test(a_job_says_what_its_sources_wait_for_until_they_do_not),
        cmocka_unit_test(time_is_counted_from_the_start_to_the_end_and_never_backwards),
        cmocka_unit_test(a_recording_covers_what_is_among_its_sources),
        cmocka_unit_test(the_current_job_is_the_newest_with_a_valid_recording_or_the_newest),
        cmocka_unit_test(of_complete_recordings_the_one_that_was_valid_last_comes_first),
        cmocka_unit_test(a_job_that_has_not_ended_is_found_though_a_newer_one_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
