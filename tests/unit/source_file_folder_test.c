/* Folders and pipes as sources: what of them is recorded, and where a restart goes on. */
#include "filed.h"

/* ---- folders ---- */

static void a_folder_is_read_file_by_file_and_followed(void **state) {
    append("one\n");
    append_to(old_path, "two\n");
    start(*state, pack("{ss}", "path", folder));
    assert_recorded(LINES("one", "two"));
    append("three\n");
    append_to(old_path, "four\n");
    stage_run(*state);
    assert_recorded(LINES("one", "two", "three", "four"));
}

static void a_restart_goes_on_in_each_file_of_a_folder(void **state) {
    stage_t *stage = *state;
    char pattern[96];
    snprintf(pattern, sizeof pattern, "%s/l?g*", folder);
    append("one\n");
    append_to(old_path, "two\nth");
    start(stage, pack("{ss}", "path", pattern));
    ingest.deaf = true;
    append("lost by the recorder\n");
    stage_run(stage);
    stage_fail(stage, "source:1");
    append_to(old_path, "ree\n");
    ingest.deaf = false;
    stage_advance(stage, 1000000);
    assert_recorded(LINES("one", "two", "lost by the recorder", "three"));
    assert_int_equal(ingest.gaps, 0);
}

static void a_folder_that_is_not_followed_ends(void **state) {
    append("one");
    append_to(old_path, "two");
    start(*state, pack("{sssf}", "path", folder, "follow"));
    assert_recorded(LINES("one", "two"));
    assert_int_equal(ingest.dones, 1);
}

static void a_bad_line_in_a_folder_is_named_with_its_file(void **state) {
    char expected[200];
    append("1\n");
    append_to(old_path, "2\nx\n");
    start(*state, pack("{ssss}", "path", folder, "format", "json"));
    snprintf(expected, sizeof expected, "%s:2: this is not JSON: ", old_path);
    assert_memory_equal(ingest.failure, expected, strlen(expected));
}

static void from_the_end_is_where_the_end_was_after_a_restart_too(void **state) {
    append("old\n");
    start(*state, pack("{ssss}", "path", folder, "from", "end"));
    assert_true(ingest.cursor_size > 0);
    append("one\n");
    append_to(old_path, "two\n");
    stage_fail(*state, "source:1");
    stage_advance(*state, 1000000);
    assert_recorded(LINES("one", "two"));
}

/* ---- pipes ---- */

static int pipe_open(void) {
    int writer = open(log_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(writer >= 0);
    return writer;
}

static void pour(int writer, const char *text) {
    assert_int_equal(write(writer, text, strlen(text)), strlen(text));
}

static void a_pipe_is_read_through_all_its_writers(void **state) {
    assert_int_equal(mkfifo(log_path, 0600), 0);
    start_plain(*state);
    assert_int_equal(ingest.count, 0);
    for (int i = 0; i < 2; i++) {
        int writer = pipe_open();
        pour(writer, "one\ntw");
        stage_run(*state);
        pour(writer, "o\n");
        stage_run(*state);
        close(writer);
        stage_run(*state);
    }
    assert_recorded(LINES("one", "two", "one", "two"));
    assert_int_equal(ingest.gaps, 0);
    assert_int_equal(ingest.dones, 0);
}

static void a_pipe_that_is_not_followed_ends_with_its_writer(void **state) {
    assert_int_equal(mkfifo(log_path, 0600), 0);
    start(*state, pack("{sssf}", "path", log_path, "follow"));
    assert_int_equal(ingest.dones, 0);
    int writer = pipe_open();
    pour(writer, "one\ntwo");
    stage_run(*state);
    assert_recorded(LINES("one"));
    close(writer);
    stage_run(*state);
    assert_recorded(LINES("one", "two"));
    assert_int_equal(ingest.dones, 1);
}

static void a_restart_in_a_pipe_is_a_gap(void **state) {
    stage_t *stage = *state;
    assert_int_equal(mkfifo(log_path, 0600), 0);
    start_plain(stage);
    int writer = pipe_open();
    pour(writer, "one\n");
    stage_run(stage);
    stage_fail(stage, "source:1");
    stage_advance(stage, 1000000);
    pour(writer, "two\n");
    stage_run(stage);
    close(writer);
    assert_recorded(LINES("one", "two"));
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 1);
    assert_non_null(strstr(ingest.gap, "is a pipe: what was read from it before and not recorded is lost"));
}

static void a_restart_before_the_first_line_of_a_pipe_is_a_gap_too(void **state) {
    stage_t *stage = *state;
    assert_int_equal(mkfifo(log_path, 0600), 0);
    start_plain(stage);
    ingest.deaf = true;
    int writer = pipe_open();
    pour(writer, "one\n");
    stage_run(stage);
    stage_fail(stage, "source:1");
    ingest.deaf = false;
    stage_advance(stage, 1000000);
    pour(writer, "two\n");
    stage_run(stage);
    close(writer);
    assert_recorded(LINES("two"));
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 0);
}

/* Whoever writes waits then, and the source is not woken again and again. */
static void a_pipe_is_not_read_while_nothing_more_is_taken(void **state) {
    stage_t *stage = *state;
    assert_int_equal(mkfifo(log_path, 0600), 0);
    ingest.credit = 1000;
    ingest.hold_acks = true;
    start_plain(stage);
    int writer = pipe_open();
    while (write(writer, "a line of some length\n", 22) == 22) stage_run(stage);
    size_t taken = ingest.count;
    assert_in_range(taken, 3, 100);
    ingest.credit = 100000000;
    ingest.hold_acks = false;
    for (int i = 0; i < 3; i++) stage_advance(stage, 10000000);
    ingest_do(stage, ingest_ack);
    assert_true(ingest.count > 2000);
    close(writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_folder_is_read_file_by_file_and_followed),
        TEST(a_restart_goes_on_in_each_file_of_a_folder),
        TEST(a_folder_that_is_not_followed_ends),
        TEST(a_bad_line_in_a_folder_is_named_with_its_file),
        TEST(from_the_end_is_where_the_end_was_after_a_restart_too),
        TEST(a_pipe_is_read_through_all_its_writers),
        TEST(a_pipe_that_is_not_followed_ends_with_its_writer),
        TEST(a_restart_in_a_pipe_is_a_gap),
        TEST(a_restart_before_the_first_line_of_a_pipe_is_a_gap_too),
        TEST(a_pipe_is_not_read_while_nothing_more_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
