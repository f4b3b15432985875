/* Where a file is gone on with: places that are kept, and files that came and went meanwhile. */
#include "tailed.h"

static void a_place_is_found_again(void **state) {
    (void)state;
    char where[200];
    append(log_path, "one\ntwo\nthree\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_line(tail, "two");
    inode_place_t place = tail_place(tail);
    assert_line(tail, "three");
    assert_nothing(tail);
    resume(tail, place);
    assert_line(tail, "three");
    tail_destroy(&tail);

    tail = open_tail(true);
    resume(tail, place);
    assert_line(tail, "three");
    tail_where(tail, where, sizeof where);
    assert_string_equal(where + strlen(log_path), ":3");
    tail_destroy(&tail);
}

/* Whoever records them lost what was sent, and begins again: the file between is still known, and nothing is lost. */
static void a_place_in_the_file_that_is_read_is_followed_by_all_that_came_since(void **state) {
    (void)state;
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    assert_int_equal(rename(log_path, older_path), 0);
    append(log_path, "three\n");
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "four\n");
    for (int i = 0; i < 2; i++) {
        resume(tail, place);
        assert_line(tail, "two");
    }
    assert_line(tail, "three");
    assert_line(tail, "four");
    assert_nothing(tail);
    tail_destroy(&tail);
}

static void a_place_in_a_file_that_was_renamed_meanwhile_is_found_by_what_it_is(void **state) {
    (void)state;
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    tail_destroy(&tail);
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "three\n");
    tail = open_tail(true);
    resume(tail, place);
    assert_line(tail, "two");
    assert_line(tail, "three");
    assert_nothing(tail);
    resume(tail, place);
    assert_line(tail, "two");
    assert_line(tail, "three");
    append(log_path, "four\n");
    assert_woken(tail);
    assert_line(tail, "four");
    tail_destroy(&tail);
}

static void a_place_in_a_file_that_is_gone_is_the_beginning_of_the_new_one(void **state) {
    (void)state;
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    tail_destroy(&tail);
    assert_int_equal(unlink(log_path), 0);
    append(log_path, "three\nfour\n");
    tail = open_tail(true);
    inode_place_t begin = tail_place(tail);
    place.inode = begin.inode; /* as if its number had been given to the new file */
    resume(tail, place);
    assert_lost(tail, "was truncated or replaced: it had been read to byte 4 and has 11 bytes now");
    assert_line(tail, "three");
    assert_line(tail, "four");
    place.inode = begin.inode + 1;
    resume(tail, place);
    assert_lost(tail, "was rotated away and is gone: it had been read to byte 4; what came after that byte may be lost");
    assert_line(tail, "three");
    tail_destroy(&tail);
}

/* The recorder has lost its state, and the engine has not: files that are gone are open still. */
static void files_that_were_opened_are_read_although_reading_goes_on_before_them(void **state) {
    (void)state;
    append(log_path, "one\n");
    tail_t *tail = open_tail(true);
    inode_place_t begin = tail_place(tail);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "two\n");
    assert_woken(tail);
    assert_int_equal(unlink(log_path), 0);
    append(log_path, "three\n");
    assert_woken(tail);
    resume(tail, place);
    assert_line(tail, "two");
    assert_line(tail, "three");
    assert_nothing(tail);
    append(log_path, "four\n");
    assert_woken(tail);
    assert_line(tail, "four");
    tail_destroy(&tail);

    assert_int_equal(unlink(log_path), 0);
    assert_int_equal(rename(old_path, log_path), 0);
    tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "two\n");
    assert_line(tail, "two");
    assert_int_equal(unlink(log_path), 0);
    append(log_path, "three\n");
    assert_woken(tail);
    resume(tail, begin); /* two files ago, and the one between has no name */
    assert_line(tail, "one");
    assert_line(tail, "two");
    assert_line(tail, "three");
    assert_nothing(tail);
    assert_int_equal(unlink(old_path), 0);
    resume(tail, begin);
    assert_lost(tail, "was rotated away and is gone: it had been read to byte 0");
    assert_line(tail, "three");
    tail_destroy(&tail);
}

/* Of three files, the one in the middle came and went while nobody looked; a fourth that is older than the first is none of them. */
static void a_second_rotation_that_nobody_saw_is_said_between_the_files(void **state) {
    (void)state;
    char oldest[96];
    snprintf(oldest, sizeof oldest, "%s/log.3", folder);
    append(oldest, "zero\n");
    append(log_path, "one\ntwo\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    tail_destroy(&tail);
    assert_int_equal(rename(log_path, older_path), 0);
    append(log_path, "three\n");
    assert_int_equal(rename(log_path, old_path), 0);
    append(log_path, "four\n");
    modified_at(oldest, 1000);
    modified_at(older_path, 2000);
    modified_at(old_path, 3000);
    tail = open_tail(true);
    for (int i = 0; i < 2; i++) {
        resume(tail, place);
        assert_line(tail, "two");
        assert_lost(tail, "was rotated more than once while it was not read: what is in log.1 and 0 more files beside it may be lost");
        resume(tail, place);
        assert_line(tail, "two");
        assert_lost(tail, "was rotated more than once");
        assert_int_equal(tail_place(tail).inode, place.inode);
        assert_line(tail, "four");
        assert_nothing(tail);
    }
    modified_at(old_path, 1500);
    resume(tail, place);
    assert_line(tail, "two");
    assert_line(tail, "four");
    tail_destroy(&tail);
    assert_int_equal(unlink(oldest), 0);
}

/* As by programs that put the number before what follows the dot; other files have other names. */
static void a_second_rotation_under_other_names_is_said_too(void **state) {
    (void)state;
    char dotted[96], path[3][112];
    snprintf(dotted, sizeof dotted, "%s/app.log", folder);
    snprintf(path[0], sizeof path[0], "%s/app-1.log", folder);
    snprintf(path[1], sizeof path[1], "%s/app-2.log", folder);
    snprintf(path[2], sizeof path[2], "%s/app-error.log", folder);
    snprintf(log_path, sizeof log_path, "%s", dotted);
    for (int lost = 0; lost < 2; lost++) {
        append(log_path, "one\ntwo\n");
        tail_t *tail = open_tail(true);
        assert_line(tail, "one");
        inode_place_t place = tail_place(tail);
        tail_destroy(&tail);
        assert_int_equal(rename(log_path, path[0]), 0);
        modified_at(path[0], 1000);
        append(path[lost ? 1 : 2], "three\n");
        append(log_path, "four\n");
        tail = open_tail(true);
        resume(tail, place);
        assert_line(tail, "two");
        if (lost) assert_lost(tail, "was rotated more than once while it was not read: what is in app-2.log");
        assert_line(tail, "four");
        tail_destroy(&tail);
        assert_int_equal(unlink(log_path), 0);
        assert_int_equal(unlink(path[0]), 0);
        assert_int_equal(unlink(path[lost ? 1 : 2]), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_place_is_found_again),
        IN_FOLDER(a_place_in_the_file_that_is_read_is_followed_by_all_that_came_since),
        IN_FOLDER(a_place_in_a_file_that_was_renamed_meanwhile_is_found_by_what_it_is),
        IN_FOLDER(a_place_in_a_file_that_is_gone_is_the_beginning_of_the_new_one),
        IN_FOLDER(files_that_were_opened_are_read_although_reading_goes_on_before_them),
        IN_FOLDER(a_second_rotation_that_nobody_saw_is_said_between_the_files),
        IN_FOLDER(a_second_rotation_under_other_names_is_said_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
