/* What the tests of files that grow share: a folder with a log and its predecessors, and what is said of a tail. */
#ifndef REPRISE_TEST_TAILED_H
#define REPRISE_TEST_TAILED_H

#include "actors/sources/tail.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "descriptors.h"

enum { LINE_MAX_TEST = 1000000 };

static char above[32], folder[64];
static char log_path[96], old_path[96], older_path[96];

static int descriptors_before;

static inline int folder_make(void **state) {
    (void)state;
    descriptors_before = descriptors_open();
    snprintf(above, sizeof above, "/tmp/tail_test.XXXXXX"); /* what happens in /tmp is none of ours */
    if (!mkdtemp(above)) return -1;
    snprintf(folder, sizeof folder, "%s/in", above);
    if (mkdir(folder, 0700) < 0) return -1;
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    snprintf(old_path, sizeof old_path, "%s/log.1", folder);
    snprintf(older_path, sizeof older_path, "%s/log.2", folder);
    return 0;
}

static inline int folder_remove(void **state) {
    (void)state;
    assert_int_equal(descriptors_open(), descriptors_before);
    unlink(log_path);
    unlink(old_path);
    unlink(older_path);
    return rmdir(folder) < 0 ? -1 : rmdir(above);
}

static inline void append(const char *path, const char *text) {
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void modified_at(const char *path, int64_t second) {
    const struct timespec times[2] = {{.tv_sec = second}, {.tv_sec = second}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static inline tail_t *open_tail(bool follow) {
    fault_t why;
    tail_t *tail = tail_create(&(reading_spec_t){.path = log_path, .keys = "", .follow = follow, .element_max = LINE_MAX_TEST}, &why);
    if (!tail) fail_msg("%s", why.text);
    assert_int_equal(tail_start(tail, false, &why), 0);
    return tail;
}

static inline void assert_line(tail_t *tail, const char *expected) {
    fault_t why;
    bytes_t line;
    int got = tail_next(tail, &line, &why);
    if (got < 0) fail_msg("%s", why.text);
    if (got == 0) fail_msg("there is no line where \"%s\" is expected", expected);
    if (got == TAIL_LOST) fail_msg("something is lost where \"%s\" is expected: %s", expected, tail_lost(tail));
    if (line.size != strlen(expected) || memcmp(line.data, expected, line.size) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", (int)line.size, (const char *)line.data, expected);
}

static inline void assert_nothing(tail_t *tail) {
    fault_t why;
    bytes_t line;
    int got = tail_next(tail, &line, &why);
    if (got < 0) fail_msg("%s", why.text);
    if (got == TAIL_LOST) fail_msg("nothing should be lost: %s", tail_lost(tail));
    if (got > 0) fail_msg("\"%.*s\" is not expected", (int)line.size, (const char *)line.data);
}

/* It says that something may be lost, in a text with this in it behind the path. */
static inline void assert_lost(tail_t *tail, const char *expected) {
    fault_t why;
    bytes_t line;
    int got = tail_next(tail, &line, &why);
    if (got < 0) fail_msg("%s", why.text);
    if (got != TAIL_LOST) fail_msg("nothing is lost where \"%s\" is expected", expected);
    assert_memory_equal(tail_lost(tail), log_path, strlen(log_path));
    if (!strstr(tail_lost(tail), expected)) fail_msg("\"%s\" does not say \"%s\"", tail_lost(tail), expected);
}

/* Its descriptor says that there is something, and takes note. */
static inline void assert_woken(tail_t *tail) {
    fault_t why;
    struct pollfd ready = {.fd = tail_descriptor(tail), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 1);
    assert_int_equal(tail_wake(tail, &why), 0);
    assert_int_equal(poll(&ready, 1, 0), 0);
}

/* What has happened is known already. */
static inline void assert_not_woken(tail_t *tail) {
    struct pollfd ready = {.fd = tail_descriptor(tail), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 0);
}

static inline void resume(tail_t *tail, inode_place_t place) {
    fault_t why;
    if (tail_resume(tail, &place, &why) < 0) fail_msg("%s", why.text);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

#endif
