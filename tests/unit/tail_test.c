/* Files as they grow, are cut, renamed and made anew. Real files and real events; nothing waits, as the kernel queues an event before the
 * call that caused it returns. */
#include "tailed.h"

#include "actors/sources/succession.h"

/* ---- reading ---- */

static void lines_keep_every_byte_but_the_newline(void **state) {
    (void)state;
    append(log_path, "one\n\ntwo\r\n\tthree \n");
    tail_t *tail = open_tail(false);
    assert_line(tail, "one");
    assert_line(tail, "");
    assert_line(tail, "two\r");
    assert_line(tail, "\tthree ");
    assert_nothing(tail);
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_last_line_without_a_newline_is_taken_at_the_end_of_a_file_that_is_not_followed(void **state) {
    (void)state;
    append(log_path, "one\ntwo");
    tail_t *tail = open_tail(false);
    assert_line(tail, "one");
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_int_equal(tail_descriptor(tail), -1);
    tail_destroy(&tail);
}

static void a_line_is_taken_when_it_is_complete(void **state) {
    (void)state;
    append(log_path, "one\ntw");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_nothing(tail);
    append(log_path, "o\nthree");
    assert_woken(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    append(log_path, "\n");
    assert_woken(tail);
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_line_longer_than_the_buffer_is_whole(void **state) {
    (void)state;
    char *line = malloc(900001);
    assert_non_null(line);
    memset(line, 'x', 900000);
    line[900000] = '\0';
    append(log_path, "short\n");
    append(log_path, line);
    append(log_path, "\nlast\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "short");
    assert_line(tail, line);
    assert_line(tail, "last");
    assert_nothing(tail);
    tail_destroy(&tail);
    free(line);
}

static void a_line_over_the_limit_is_a_fault_that_names_the_byte(void **state) {
    (void)state;
    fault_t why;
    bytes_t line;
    append(log_path, "1234\n12345\n");
    tail_t *tail = tail_create(&(reading_spec_t){.path = log_path, .keys = "", .follow = true, .element_max = 4}, &why);
    assert_non_null(tail);
    assert_line(tail, "1234");
    assert_int_equal(tail_next(tail, &line, &why), -1);
    assert_non_null(strstr(why.text, "the line at byte 5 is longer than 4 bytes"));
    tail_destroy(&tail);
}

static void at_the_end_only_later_lines_are_read(void **state) {
    (void)state;
    fault_t why;
    char where[200];
    for (int i = 0; i < 1000; i++) append(log_path, "an old line\n");
    append(log_path, "begun");
    tail_t *tail = tail_create(&(reading_spec_t){.path = log_path, .keys = "", .follow = true, .element_max = LINE_MAX_TEST}, &why);
    assert_non_null(tail);
    assert_int_equal(tail_start(tail, true, &why), 0);
    assert_nothing(tail);
    append(log_path, " and ended\nnew\n");
    assert_line(tail, "begun and ended");
    tail_where(tail, where, sizeof where);
    assert_string_equal(where + strlen(log_path), ", byte 12000");
    assert_line(tail, "new");
    tail_destroy(&tail);
}

static void the_last_line_is_named_by_its_number(void **state) {
    (void)state;
    char where[200];
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_line(tail, "two");
    tail_where(tail, where, sizeof where);
    assert_string_equal(where + strlen(log_path), ":2");
    tail_destroy(&tail);
}

static void what_cannot_be_opened_is_named(void **state) {
    (void)state;
    fault_t why;
    assert_null(tail_create(&(reading_spec_t){.path = log_path, .keys = "", .follow = true, .element_max = LINE_MAX_TEST}, &why));
    assert_non_null(strstr(why.text, log_path));
    assert_non_null(strstr(why.text, "No such file or directory"));
    assert_null(tail_create(&(reading_spec_t){.path = "/nowhere/log", .keys = "", .follow = true, .element_max = LINE_MAX_TEST}, &why));
    assert_string_equal(why.text, "cannot open /nowhere/log: No such file or directory");
    assert_null(tail_create(&(reading_spec_t){.path = folder, .keys = "", .follow = false, .element_max = LINE_MAX_TEST}, &why));
    assert_non_null(strstr(why.text, "is not a regular file"));
    assert_int_equal(mkfifo(log_path, 0600), 0);
    assert_null(tail_create(&(reading_spec_t){.path = log_path, .keys = "", .follow = true, .element_max = LINE_MAX_TEST}, &why));
    assert_non_null(strstr(why.text, "is not a regular file"));
}

/* ---- rotation ---- */

static void a_renamed_file_is_read_to_its_end_before_the_new_one(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_nothing(tail);
    append(log_path, "two\n");
    assert_int_equal(rename(log_path, old_path), 0);
    append(old_path, "three\n");
    append(log_path, "four\n");
    append(old_path, "the rest");
    assert_woken(tail);
    assert_line(tail, "two");
    assert_line(tail, "three");
    assert_line(tail, "the rest");
    assert_line(tail, "four");
    assert_nothing(tail);
    append(log_path, "five\n");
    assert_woken(tail);
    assert_line(tail, "five");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_writer_may_go_on_with_the_renamed_file_until_it_begins_the_new_one(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "");
    assert_nothing(tail);
    assert_not_woken(tail);
    append(old_path, "two\n");
    assert_woken(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    append(log_path, "three\n");
    assert_woken(tail);
    assert_line(tail, "three");
    tail_destroy(&tail);
}

static void a_file_that_was_deleted_is_followed_into_its_successor(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_int_equal(unlink(log_path), 0);
    assert_line(tail, "one");
    assert_nothing(tail);
    append(log_path, "two\n");
    assert_woken(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_file_that_is_moved_to_the_path_is_its_successor(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    append(old_path, "two\n");
    assert_nothing(tail);
    assert_not_woken(tail);
    assert_int_equal(rename(old_path, log_path), 0);
    assert_woken(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    tail_destroy(&tail);
}

/* Whoever reads is slower than whoever rotates. */
static void rotations_that_come_faster_than_they_are_read_lose_nothing(void **state) {
    (void)state;
    append(log_path, "0\n");
    tail_t *tail = open_tail(true);
    for (int i = 1; i < 10; i++) {
        char line[16];
        if (i > 1) assert_int_equal(rename(old_path, older_path), 0);
        assert_int_equal(rename(log_path, old_path), 0);
        snprintf(line, sizeof line, "%d\n", i);
        append(log_path, line);
        if (i % 2 == 0) assert_woken(tail); /* it may be renamed twice meanwhile */
    }
    for (int i = 0; i < 10; i++) {
        char line[16];
        snprintf(line, sizeof line, "%d", i);
        assert_line(tail, line);
    }
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_file_that_came_and_went_unseen_is_said_to_be_lost(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "two\n");
    assert_int_equal(unlink(log_path), 0);
    append(log_path, "three\n");
    assert_lost(tail, "was rotated again before the file that it was then could be opened");
    resume(tail, tail_place(tail)); /* before the gap is recorded */
    assert_lost(tail, "was rotated again before the file that it was then could be opened");
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
}

/* Whoever records it lost it, be it before or after the next file was begun. */
static void a_file_that_was_said_to_be_lost_is_said_again_from_the_place_before_it(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "two\n");
    assert_int_equal(unlink(log_path), 0);
    append(log_path, "three\n");
    assert_lost(tail, "was rotated again before");
    for (int i = 0; i < 2; i++) {
        resume(tail, place);
        assert_lost(tail, "was rotated again before");
        assert_line(tail, "three");
    }
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void more_files_than_can_be_kept_open_are_said_to_be_lost(void **state) {
    (void)state;
    append(log_path, "0\n");
    tail_t *tail = open_tail(true);
    for (int i = 1; i <= SUCCESSION_MAX + 10; i++) {
        char line[16];
        assert_int_equal(unlink(log_path), 0);
        snprintf(line, sizeof line, "%d\n", i);
        append(log_path, line);
        assert_woken(tail);
    }
    for (int i = 0; i <= SUCCESSION_MAX; i++) {
        char line[16];
        snprintf(line, sizeof line, "%d", i);
        assert_line(tail, line);
    }
    assert_lost(tail, "was rotated again");
    char last[16];
    snprintf(last, sizeof last, "%d", SUCCESSION_MAX + 10);
    assert_line(tail, last);
    assert_nothing(tail);
    tail_destroy(&tail);
}

/* So much happens in the folder that the kernel keeps none of it: who has the name now need not be who came. */
static void a_file_that_came_and_went_untold_is_said_to_be_lost(void **state) {
    (void)state;
    char other[96];
    int most = 0;
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    assert_non_null(limit);
    assert_int_equal(fscanf(limit, "%d", &most), 1);
    fclose(limit);
    snprintf(other, sizeof other, "%s/other", folder);
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "two\n");
    for (int i = 0; i < most; i++) {
        append(other, "");
        assert_int_equal(unlink(other), 0);
    }
    assert_int_equal(rename(log_path, older_path), 0);
    append(log_path, "three\n");
    assert_lost(tail, "was rotated again before the file that it was then could be opened");
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
}

/* As where a container's log is a link into its pod's folder. */
static void a_file_behind_a_link_is_followed_through_its_rotations_where_it_is(void **state) {
    (void)state;
    char pod[96], file[112], old[112];
    snprintf(pod, sizeof pod, "%s/pod", folder);
    snprintf(file, sizeof file, "%s/0.log", pod);
    snprintf(old, sizeof old, "%s/0.log.old", pod);
    assert_int_equal(mkdir(pod, 0700), 0);
    append(file, "one\n");
    assert_int_equal(symlink("pod/0.log", log_path), 0);
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_nothing(tail);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rename(file, old), 0);
        append(old, "two\n");
        append(file, "three\n");
        assert_woken(tail);
        assert_line(tail, "two");
        assert_line(tail, "three");
        assert_nothing(tail);
    }
    assert_int_equal(unlink(file), 0);
    append(file, "four\n");
    assert_int_equal(unlink(file), 0);
    append(file, "five\n");
    assert_woken(tail);
    assert_lost(tail, "was rotated again before the file that it was then could be opened");
    assert_line(tail, "five");
    assert_int_equal(unlink(log_path), 0);
    append(log_path, "a file of its own\n");
    assert_line(tail, "a file of its own");
    tail_destroy(&tail);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(unlink(old), 0);
    assert_int_equal(rmdir(pod), 0);
}

static void a_truncated_file_is_read_from_its_beginning(void **state) {
    (void)state;
    append(log_path, "one\ntwo\nthr");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_int_equal(truncate(log_path, 0), 0);
    assert_woken(tail);
    assert_lost(tail, "was truncated or replaced: it had been read to byte 11 and has 0 bytes now");
    assert_nothing(tail);
    append(log_path, "a\n");
    assert_woken(tail);
    assert_line(tail, "a");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_truncated_file_that_has_outgrown_its_old_size_is_read_from_its_beginning(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_nothing(tail);
    assert_int_equal(truncate(log_path, 0), 0);
    append(log_path, "longer than one\nmore\n");
    assert_woken(tail);
    assert_lost(tail, "it had been read to byte 4 and has 21 bytes now");
    assert_line(tail, "longer than one");
    assert_line(tail, "more");
    tail_destroy(&tail);
}

static void a_file_that_is_truncated_before_its_end_was_seen_is_read_from_its_beginning(void **state) {
    (void)state;
    append(log_path, "one\ntwo\nthree\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_line(tail, "two");
    assert_line(tail, "three");
    assert_int_equal(truncate(log_path, 0), 0);
    append(log_path, "a\n");
    assert_lost(tail, "it had been read to byte 14 and has 2 bytes now");
    assert_line(tail, "a");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_file_that_is_cut_between_two_reads_is_read_from_its_beginning_and_no_line_is_of_both(void **state) {
    (void)state;
    fault_t why;
    bytes_t line;
    char text[32];
    FILE *file = fopen(log_path, "w");
    for (int i = 0; i < 20000; i++) fprintf(file, "old line %d\n", i);
    assert_int_equal(fclose(file), 0);
    tail_t *tail = open_tail(true);
    assert_line(tail, "old line 0");
    file = fopen(log_path, "w");
    for (int i = 0; i < 40000; i++) fprintf(file, "a new line %d\n", i);
    assert_int_equal(fclose(file), 0);
    int got;
    while ((got = tail_next(tail, &line, &why)) == 1) assert_memory_equal(line.data, "old line ", 9);
    assert_int_equal(got, TAIL_LOST);
    for (int i = 0; i < 40000; i++) {
        snprintf(text, sizeof text, "a new line %d", i);
        assert_line(tail, text);
    }
    assert_nothing(tail);
    tail_destroy(&tail);
}

/* The place is told after the cut, of which nobody knows yet. */
static void a_place_is_that_of_what_was_read_and_not_of_what_is_there_now(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(truncate(log_path, 0), 0);
    append(log_path, "a line instead of it\n");
    inode_place_t place = tail_place(tail);
    tail_destroy(&tail);
    tail = open_tail(true);
    resume(tail, place);
    assert_lost(tail, "was truncated or replaced: it had been read to byte 4");
    assert_line(tail, "a line instead of it");
    tail_destroy(&tail);
}

/* Whoever goes on from the place before it must be told again. */
static void a_hole_that_was_seen_is_seen_again_from_the_place_before_it(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_nothing(tail);
    assert_int_equal(truncate(log_path, 0), 0);
    append(log_path, "a line instead of it\n");
    assert_lost(tail, "was truncated");
    inode_place_t place = tail_place(tail);
    assert_int_equal(place.offset, 4);
    resume(tail, place);
    assert_lost(tail, "was truncated");
    assert_line(tail, "a line instead of it");
    tail_destroy(&tail);
    tail = open_tail(true);
    resume(tail, place);
    assert_lost(tail, "was truncated");
    assert_line(tail, "a line instead of it");
    place = tail_place(tail);
    resume(tail, place);
    assert_nothing(tail);
    tail_destroy(&tail);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(lines_keep_every_byte_but_the_newline),
        IN_FOLDER(a_last_line_without_a_newline_is_taken_at_the_end_of_a_file_that_is_not_followed),
        IN_FOLDER(a_line_is_taken_when_it_is_complete),
        IN_FOLDER(a_line_longer_than_the_buffer_is_whole),
        IN_FOLDER(a_line_over_the_limit_is_a_fault_that_names_the_byte),
        IN_FOLDER(at_the_end_only_later_lines_are_read),
        IN_FOLDER(the_last_line_is_named_by_its_number),
        IN_FOLDER(what_cannot_be_opened_is_named),
        IN_FOLDER(a_renamed_file_is_read_to_its_end_before_the_new_one),
        IN_FOLDER(a_writer_may_go_on_with_the_renamed_file_until_it_begins_the_new_one),
        IN_FOLDER(a_file_that_was_deleted_is_followed_into_its_successor),
        IN_FOLDER(a_file_that_is_moved_to_the_path_is_its_successor),
        IN_FOLDER(rotations_that_come_faster_than_they_are_read_lose_nothing),
        IN_FOLDER(a_file_that_came_and_went_unseen_is_said_to_be_lost),
        IN_FOLDER(a_file_that_was_said_to_be_lost_is_said_again_from_the_place_before_it),
        IN_FOLDER(more_files_than_can_be_kept_open_are_said_to_be_lost),
        IN_FOLDER(a_file_that_came_and_went_untold_is_said_to_be_lost),
        IN_FOLDER(a_file_behind_a_link_is_followed_through_its_rotations_where_it_is),
        IN_FOLDER(a_truncated_file_is_read_from_its_beginning),
        IN_FOLDER(a_truncated_file_that_has_outgrown_its_old_size_is_read_from_its_beginning),
        IN_FOLDER(a_file_that_is_truncated_before_its_end_was_seen_is_read_from_its_beginning),
        IN_FOLDER(a_file_that_is_cut_between_two_reads_is_read_from_its_beginning_and_no_line_is_of_both),
        IN_FOLDER(a_place_is_that_of_what_was_read_and_not_of_what_is_there_now),
        IN_FOLDER(a_hole_that_was_seen_is_seen_again_from_the_place_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
