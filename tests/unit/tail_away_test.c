/* Files that cannot be opened for a while: not readable yet, or not there, or with their folder taken away. */
#include "away.h"

/* ---- not readable yet: a file that is rotated in is created first and gets its mode then ---- */

static void a_successor_that_may_not_be_read_yet_is_waited_for(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(log_path, old_path), 0);
    create_unreadable(log_path, "two\n");
    assert_woken(tail);
    assert_nothing(tail);
    assert_waits(tail, "Permission denied");
    append(old_path, "the last of the old\n");
    assert_woken(tail);
    assert_line(tail, "the last of the old");
    assert_int_equal(chmod(log_path, 0600), 0);
    assert_woken(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_waits(tail, NULL);
    append(log_path, "three\n");
    assert_woken(tail);
    assert_line(tail, "three");
    tail_destroy(&tail);
}

static void one_that_may_be_read_once_it_is_rotated_again_is_read_between(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(log_path, older_path), 0);
    create_unreadable(log_path, "two\n");
    assert_woken(tail);
    assert_nothing(tail);
    assert_int_equal(chmod(log_path, 0600), 0);
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "three\n");
    assert_woken(tail);
    assert_line(tail, "two");
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void one_that_could_never_be_read_is_said_to_be_lost(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    for (int seen = 0; seen < 2; seen++) {
        assert_int_equal(rename(log_path, older_path), 0);
        create_unreadable(log_path, "two\n");
        if (seen) assert_woken(tail);
        assert_int_equal(rename(log_path, old_path), 0);
        append(log_path, "three\n");
        assert_woken(tail);
        assert_lost(tail, "was rotated again before the file that it was then could be opened");
        assert_line(tail, "three");
        assert_nothing(tail);
        assert_waits(tail, NULL);
    }
    tail_destroy(&tail);
}

static void a_file_that_may_not_be_read_when_it_is_gone_on_with_is_waited_for(void **state) {
    (void)state;
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    tail_destroy(&tail);
    assert_int_equal(chmod(log_path, 0), 0);
    tail = open_again(place);
    for (int i = 0; i < 2; i++) {
        assert_nothing(tail);
        assert_waits(tail, "Permission denied");
        assert_memory_equal(&(inode_place_t[]){tail_place(tail)}, &place, sizeof place);
        resume(tail, place);
    }
    assert_int_equal(chmod(log_path, 0600), 0);
    assert_woken(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_waits(tail, NULL);
    tail_destroy(&tail);
}

static void a_folder_that_may_not_be_searched_for_a_while_is_waited_for(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(chmod(folder, 0), 0);
    assert_stirred(tail);
    assert_nothing(tail);
    assert_waits(tail, "Permission denied");
    assert_int_equal(chmod(folder, 0700), 0);
    append(log_path, "two\n");
    assert_stirred(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_waits(tail, NULL);
    tail_destroy(&tail);
}

/* ---- not there ---- */

static void a_file_that_is_away_when_it_is_gone_on_with_is_waited_for(void **state) {
    (void)state;
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    tail_destroy(&tail);

    assert_int_equal(rename(log_path, old_path), 0); /* in the middle of a rotation */
    tail = open_again(place);
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_waits(tail, "No such file or directory");
    append(log_path, "three\n");
    assert_woken(tail);
    assert_line(tail, "three");
    assert_waits(tail, NULL);
    tail_destroy(&tail);

    int kept = open(old_path, O_RDONLY);   /* so that no other file is given its number */
    assert_int_equal(unlink(log_path), 0); /* the old one is gone as well */
    assert_int_equal(unlink(old_path), 0);
    tail = open_again(place);
    assert_nothing(tail);
    assert_waits(tail, "No such file or directory");
    append(log_path, "four\n");
    assert_woken(tail);
    assert_lost(tail, "was rotated away and is gone: it had been read to byte 4");
    assert_line(tail, "four");
    assert_nothing(tail);
    tail_destroy(&tail);
    close(kept);
}

static void a_file_that_comes_back_is_gone_on_with_where_it_was(void **state) {
    (void)state;
    char away[96];
    snprintf(away, sizeof away, "%s.away", folder);
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    tail_destroy(&tail);
    assert_int_equal(rename(folder, away), 0);
    tail = open_again(place);
    assert_nothing(tail);
    assert_int_equal(rename(away, folder), 0);
    assert_stirred(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    append(log_path, "three\n");
    assert_stirred(tail);
    assert_line(tail, "three");
    tail_destroy(&tail);
}

static void what_is_away_before_anything_was_read_is_named(void **state) {
    (void)state;
    fault_t why;
    char expected[200];
    reading_spec_t spec = {.path = log_path, .keys = "", .follow = true, .element_max = LINE_MAX_TEST};
    snprintf(expected, sizeof expected, "cannot open %s: No such file or directory", log_path);
    assert_null(tail_create(&spec, &why));
    assert_string_equal(why.text, expected);
    spec.resumes = true;
    spec.follow = false;
    assert_null(tail_create(&spec, &why));
    assert_string_equal(why.text, expected);
}

/* The engine was restarted before there was a line, in the middle of a rotation. */
static void what_is_away_before_anything_was_read_and_was_there_once_is_read_from_its_beginning(void **state) {
    (void)state;
    fault_t why;
    const reading_spec_t spec = {.path = log_path, .keys = "", .follow = true, .resumes = true, .element_max = LINE_MAX_TEST};
    for (int seen = 0; seen < 2; seen++) {
        tail_t *tail = tail_create(&spec, &why);
        assert_non_null(tail);
        assert_non_null(strstr(tail_absent(tail), "No such file or directory"));
        if (seen) append(log_path, "one\n");
        assert_int_equal(tail_start(tail, false, &why), 0);
        if (!seen) {
            assert_nothing(tail);
            assert_waits(tail, "No such file or directory");
            append(log_path, "one\n");
        }
        assert_line(tail, "one");
        assert_nothing(tail);
        assert_null(tail_absent(tail));
        resume(tail, (inode_place_t){0}); /* nothing of it was recorded */
        assert_line(tail, "one");
        assert_nothing(tail);
        tail_destroy(&tail);
        assert_int_equal(unlink(log_path), 0);
    }
}

/* ---- what nobody tells of ---- */

static void a_file_that_is_there_by_its_own_name_is_not_looked_at_all_the_while(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_nothing(tail);
    assert_false(tail_is_to_be_looked_at(tail));
    assert_int_equal(rename(log_path, old_path), 0);
    assert_nothing(tail);
    assert_true(tail_is_to_be_looked_at(tail));
    append(log_path, "two\n");
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_false(tail_is_to_be_looked_at(tail));
    tail_destroy(&tail);
}

/* Who comes is not told there. */
static void files_in_a_folder_that_may_not_be_listed_any_more_may_be_lost(void **state) {
    (void)state;
    char away[96];
    snprintf(away, sizeof away, "%s.away", folder);
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(folder, away), 0);
    assert_int_equal(mkdir(folder, 0300), 0);
    append(log_path, "two\n");
    assert_lost(tail, "may be lost");
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_true(tail_is_to_be_looked_at(tail));
    assert_int_equal(unlink(log_path), 0);
    append(log_path, "three\n");
    assert_lost(tail, "may be lost");
    assert_line(tail, "three");
    tail_destroy(&tail);
    assert_int_equal(chmod(folder, 0700), 0);
    snprintf(old_path, sizeof old_path, "%.80s/log", away);
    assert_int_equal(unlink(old_path), 0);
    assert_int_equal(rmdir(away), 0);
}

/* ---- the folder ---- */

static void a_folder_that_cannot_be_watched_is_named(void **state) {
    (void)state;
    fault_t why;
    append(log_path, "one\n");
    assert_int_equal(chmod(folder, 0100), 0);
    const reading_spec_t spec = {.path = log_path, .keys = "", .follow = true, .element_max = LINE_MAX_TEST};
    assert_null(tail_create(&spec, &why));
    assert_non_null(strstr(why.text, "cannot watch the folder"));
    assert_non_null(strstr(why.text, "Permission denied"));
    assert_int_equal(chmod(folder, 0700), 0);
}

static void a_folder_that_is_made_again_is_followed(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unlink(log_path), 0);
        assert_int_equal(rmdir(folder), 0);
        assert_stirred(tail);
        assert_nothing(tail);
        assert_waits(tail, "No such file or directory");
        assert_int_equal(mkdir(folder, 0700), 0);
        assert_stirred(tail);
        assert_nothing(tail);
        append(log_path, "two\n");
        assert_stirred(tail);
        assert_line(tail, "two");
        assert_nothing(tail);
        assert_waits(tail, NULL);
    }
    tail_destroy(&tail);
}

/* Nobody looked meanwhile: the kernel tells of the old folder only that it is gone. */
static void a_folder_that_was_replaced_unseen_is_followed(void **state) {
    (void)state;
    char away[96], away_log[112];
    snprintf(away, sizeof away, "%s.away", folder);
    snprintf(away_log, sizeof away_log, "%s/log", away);
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(folder, away), 0);
    append(away_log, "the last of the old\n");
    assert_int_equal(mkdir(folder, 0700), 0);
    append(log_path, "two\n");
    assert_stirred(tail);
    assert_line(tail, "the last of the old");
    assert_line(tail, "two");
    assert_nothing(tail);
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "three\n");
    assert_stirred(tail);
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
    assert_int_equal(unlink(away_log), 0);
    assert_int_equal(rmdir(away), 0);
}

/* As where each release has a folder, and a link says which is in use. */
static void a_folder_that_is_a_link_is_followed_to_another(void **state) {
    (void)state;
    char first[96], second[96], current[96], path[112], linked[112];
    snprintf(first, sizeof first, "%s/1", folder);
    snprintf(second, sizeof second, "%s/2", folder);
    snprintf(current, sizeof current, "%s/current", folder);
    snprintf(linked, sizeof linked, "%s/new", folder);
    snprintf(log_path, sizeof log_path, "%.80s/log", current);
    assert_int_equal(mkdir(first, 0700), 0);
    assert_int_equal(mkdir(second, 0700), 0);
    assert_int_equal(symlink("1", current), 0);
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    snprintf(path, sizeof path, "%s/log", second);
    append(path, "two\n");
    assert_nothing(tail);
    assert_int_equal(symlink("2", linked), 0);
    assert_int_equal(rename(linked, current), 0);
    assert_stirred(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    append(path, "three\n");
    assert_stirred(tail);
    assert_line(tail, "three");
    tail_destroy(&tail);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/log", first);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(current), 0);
    assert_int_equal(rmdir(first), 0);
    assert_int_equal(rmdir(second), 0);
}

static void what_came_and_went_in_a_folder_before_it_was_seen_is_said_to_be_lost(void **state) {
    (void)state;
    append(log_path, "one\n");
    modified_at(log_path, 1000);
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(unlink(log_path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    append(log_path, "two\n");
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "three\n");
    assert_stirred(tail);
    assert_lost(tail, "was rotated more than once while it was not read: what is in log.1");
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void folders_above_that_are_made_one_after_the_other_are_waited_for(void **state) {
    (void)state;
    char upper[96], lower[112];
    fault_t why;
    snprintf(upper, sizeof upper, "%s/upper", folder);
    snprintf(lower, sizeof lower, "%s/lower", upper);
    assert_int_equal(mkdir(upper, 0700), 0);
    assert_int_equal(mkdir(lower, 0700), 0);
    snprintf(log_path, sizeof log_path, "%.80s/log", lower);
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(unlink(log_path), 0);
    assert_int_equal(rmdir(lower), 0);
    assert_int_equal(rmdir(upper), 0);
    assert_stirred(tail);
    assert_nothing(tail);
    assert_int_equal(mkdir(upper, 0700), 0);
    assert_stirred(tail);
    assert_int_equal(mkdir(lower, 0700), 0);
    append(log_path, "two\n");
    assert_int_equal(tail_wake(tail, &why), 0);
    assert_line(tail, "two");
    assert_nothing(tail);
    tail_destroy(&tail);
    assert_int_equal(unlink(log_path), 0);
    assert_int_equal(rmdir(lower), 0);
    assert_int_equal(rmdir(upper), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        AS_ANYBODY(a_successor_that_may_not_be_read_yet_is_waited_for),
        AS_ANYBODY(one_that_may_be_read_once_it_is_rotated_again_is_read_between),
        AS_ANYBODY(one_that_could_never_be_read_is_said_to_be_lost),
        AS_ANYBODY(a_file_that_may_not_be_read_when_it_is_gone_on_with_is_waited_for),
        AS_ANYBODY(a_folder_that_may_not_be_searched_for_a_while_is_waited_for),
        IN_FOLDER(a_file_that_is_away_when_it_is_gone_on_with_is_waited_for),
        IN_FOLDER(a_file_that_comes_back_is_gone_on_with_where_it_was),
        IN_FOLDER(what_is_away_before_anything_was_read_is_named),
        IN_FOLDER(what_is_away_before_anything_was_read_and_was_there_once_is_read_from_its_beginning),
        IN_FOLDER(a_file_that_is_there_by_its_own_name_is_not_looked_at_all_the_while),
        AS_ANYBODY(files_in_a_folder_that_may_not_be_listed_any_more_may_be_lost),
        AS_ANYBODY(a_folder_that_cannot_be_watched_is_named),
        IN_FOLDER(a_folder_that_is_made_again_is_followed),
        IN_FOLDER(a_folder_that_was_replaced_unseen_is_followed),
        IN_FOLDER(a_folder_that_is_a_link_is_followed_to_another),
        IN_FOLDER(what_came_and_went_in_a_folder_before_it_was_seen_is_said_to_be_lost),
        IN_FOLDER(folders_above_that_are_made_one_after_the_other_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
