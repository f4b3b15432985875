/* Files behind links: to a file, to another link, and higher up in the path. */
#include "away.h"

/* ---- behind a link ---- */

/* As a rotation of where the path leads to, in a folder of its own or beside the link. */
static void link_to(const char *target, char real[112]) {
    char below[96];
    snprintf(below, sizeof below, "%s/pod", folder);
    if (strstr(target, "pod/")) assert_int_equal(mkdir(below, 0700), 0);
    snprintf(real, 112, "%s/%s", folder, target);
    assert_int_equal(symlink(target, log_path), 0);
}

static void link_remove(const char *real) {
    char below[96];
    snprintf(below, sizeof below, "%s/pod", folder);
    assert_int_equal(unlink(real), 0);
    rmdir(below);
    assert_int_equal(unlink(log_path), 0);
}

static void what_came_and_went_behind_a_link_is_said_to_be_lost(void **state) {
    (void)state;
    const char *const targets[] = {"real", "pod/real", "../real"};
    for (int i = 0; i < 6; i++) {
        char real[112];
        link_to(targets[i % 3], real);
        append(real, "one\n");
        tail_t *tail = open_tail(true);
        assert_line(tail, "one");
        assert_nothing(tail);
        assert_int_equal(unlink(real), 0);
        append(real, "two\n");
        if (i >= 3) assert_stirred(tail); /* taken note of, one after the other */
        assert_int_equal(unlink(real), 0);
        append(real, "three\n");
        assert_stirred(tail);
        assert_lost(tail, "was rotated again before the file that it was then could be opened");
        assert_line(tail, "three");
        assert_nothing(tail);
        tail_destroy(&tail);
        link_remove(real);
    }
}

static void a_link_to_what_is_not_there_yet_is_followed(void **state) {
    (void)state;
    char real[112], linked[96];
    link_to("pod/real", real);
    snprintf(linked, sizeof linked, "%s/new", folder);
    append(real, "one\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    inode_place_t place = tail_place(tail);
    assert_int_equal(symlink("pod/later", linked), 0);
    assert_int_equal(rename(linked, log_path), 0);
    assert_stirred(tail);
    assert_nothing(tail);
    assert_waits(tail, "No such file or directory");
    snprintf(linked, sizeof linked, "%s/pod/later", folder);
    append(linked, "two\n");
    assert_stirred(tail);
    assert_line(tail, "two");
    assert_nothing(tail);
    place = tail_place(tail);
    tail_destroy(&tail);

    assert_int_equal(rename(linked, real), 0); /* between its two names */
    tail = open_again(place);
    assert_nothing(tail);
    assert_int_equal(rename(real, linked), 0);
    append(linked, "three\n");
    assert_stirred(tail);
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
    link_remove(linked);
}

/* As the logs of containers are; the one in the middle is one of a folder, which is not always there. */
static void links_to_links_are_followed_to_the_last(void **state) {
    (void)state;
    char pods[96], middle[96], real[112], old[112];
    snprintf(pods, sizeof pods, "%s/pods", folder);
    snprintf(middle, sizeof middle, "%s/middle", folder);
    snprintf(real, sizeof real, "%s/real", pods);
    snprintf(old, sizeof old, "%s/real.1", pods);
    assert_int_equal(symlink("middle", log_path), 0);
    assert_int_equal(symlink(real, middle), 0);
    assert_int_equal(mkdir(pods, 0700), 0);
    append(real, "one\n");
    tail_t *tail = open_tail(true);
    assert_true(tail_is_to_be_looked_at(tail));
    assert_line(tail, "one");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rename(real, old), 0);
        assert_stirred(tail);
        assert_nothing(tail);
        append(real, "two\n");
        assert_stirred(tail);
        assert_line(tail, "two");
        assert_nothing(tail);
    }
    assert_int_equal(unlink(real), 0);
    assert_int_equal(unlink(old), 0);
    assert_int_equal(rmdir(pods), 0);
    assert_nothing(tail);
    assert_int_equal(mkdir(pods, 0700), 0);
    append(real, "three\n");
    assert_line(tail, "three"); /* nobody tells of it: it is looked at */
    assert_int_equal(rename(real, old), 0);
    assert_stirred(tail);
    assert_nothing(tail);
    append(real, "four\n");
    assert_stirred(tail);
    assert_line(tail, "four");
    tail_destroy(&tail);
    assert_int_equal(unlink(real), 0);
    assert_int_equal(unlink(old), 0);
    assert_int_equal(rmdir(pods), 0);
    assert_int_equal(unlink(middle), 0);
}

static void a_link_to_what_may_not_be_read_yet_is_waited_for(void **state) {
    (void)state;
    char real[112], linked[96], barred[112];
    link_to("pod/real", real);
    snprintf(linked, sizeof linked, "%s/new", folder);
    snprintf(barred, sizeof barred, "%s/pod/barred", folder);
    append(real, "one\n");
    create_unreadable(barred, "two\n");
    tail_t *tail = open_tail(true);
    assert_line(tail, "one");
    assert_int_equal(symlink("pod/barred", linked), 0);
    assert_int_equal(rename(linked, log_path), 0);
    assert_stirred(tail);
    assert_nothing(tail);
    assert_waits(tail, "Permission denied");
    assert_int_equal(chmod(barred, 0600), 0);
    assert_stirred(tail);
    assert_line(tail, "two");
    tail_destroy(&tail);
    assert_int_equal(unlink(barred), 0);
    link_remove(real);
}

/* ---- what nobody tells of ---- */

static void a_link_higher_up_in_the_path_is_looked_at(void **state) {
    (void)state;
    char first[96], second[96], current[96], linked[112], path[128];
    snprintf(first, sizeof first, "%s/1", folder);
    snprintf(second, sizeof second, "%s/2", folder);
    snprintf(current, sizeof current, "%s/current", folder);
    snprintf(linked, sizeof linked, "%s/new", folder);
    assert_int_equal(symlink("1", current), 0);
    for (int i = 0; i < 2; i++) {
        const char *release = i == 0 ? first : second;
        assert_int_equal(mkdir(release, 0700), 0);
        snprintf(path, sizeof path, "%s/log", release);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/log/app", release);
        append(path, i == 0 ? "one\n" : "two\n");
    }
    snprintf(log_path, sizeof log_path, "%.70s/log/app", current);
    tail_t *tail = open_tail(true);
    assert_true(tail_is_to_be_looked_at(tail));
    assert_line(tail, "one");
    assert_nothing(tail);
    assert_int_equal(symlink("2", linked), 0);
    assert_int_equal(rename(linked, current), 0);
    assert_line(tail, "two");
    append(path, "three\n");
    assert_stirred(tail);
    assert_line(tail, "three");
    assert_nothing(tail);
    tail_destroy(&tail);
    for (int i = 0; i < 2; i++) {
        const char *release = i == 0 ? first : second;
        snprintf(path, sizeof path, "%s/log/app", release);
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof path, "%s/log", release);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(rmdir(release), 0);
    }
    assert_int_equal(unlink(current), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_came_and_went_behind_a_link_is_said_to_be_lost),
        IN_FOLDER(a_link_to_what_is_not_there_yet_is_followed),
        IN_FOLDER(links_to_links_are_followed_to_the_last),
        AS_ANYBODY(a_link_to_what_may_not_be_read_yet_is_waited_for),
        IN_FOLDER(a_link_higher_up_in_the_path_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
