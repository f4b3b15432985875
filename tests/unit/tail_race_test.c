/* A file that is rotated as fast as another process can, while it is read. How much is missed is for chance to decide where files are deleted,
 * and that something was is not: whatever is missing is said at its place, and all else comes once and in order. */
#include "tailed.h"

#include <errno.h>
#include <sys/wait.h>

#include "actors/sources/succession.h"

enum { LINES_EACH = 3, KEPT_MOST = SUCCESSION_MAX, PATIENCE_MS = 60000 };

static void kept_path(int number, char *path, size_t size) {
    snprintf(path, size, number > 0 ? "%s/log.%d" : "%s/log", folder, number);
}

/* One line is written to the old file when it has its new name already. */
static int rotate(FILE *file, int kept, int *line) {
    char from[96], to[96];
    for (int i = kept - 1; i >= 0; i--) {
        kept_path(i, from, sizeof from);
        kept_path(i + 1, to, sizeof to);
        if (rename(from, to) < 0 && errno != ENOENT) return -1;
    }
    fprintf(file, "%d\n", (*line)++);
    return fclose(file);
}

/* In a process of its own: 0. */
static int write_and_rotate(int rotations, int kept) {
    int line = 0;
    FILE *file = NULL;
    for (int i = 0; i <= rotations; i++) {
        if (file && rotate(file, kept, &line) < 0) return 1;
        file = fopen(log_path, "a");
        if (!file) return 2;
        for (int j = 0; j < LINES_EACH; j++) fprintf(file, "%d\n", line++);
        fflush(file);
    }
    fprintf(file, "end\n");
    return fclose(file) == 0 ? 0 : 3;
}

static void kept_remove(void) {
    char path[96];
    for (int i = 0; i <= KEPT_MOST; i++) {
        kept_path(i, path, sizeof path);
        unlink(path);
    }
}

static void await(tail_t *tail) {
    fault_t why;
    struct pollfd ready = {.fd = tail_descriptor(tail), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
    if (tail_wake(tail, &why) < 0) fail_msg("%s", why.text);
}

/* The line's number, which must be the expected one, or a later one if it was said that something is lost; returns what is expected next. */
static int number_follow(bytes_t line, int expected, bool *is_lost) {
    int number = atoi((const char *)line.data);
    if (number < expected) fail_msg("line %d comes after line %d", number, expected - 1);
    if (number > expected && !*is_lost) fail_msg("lines from %d to %d are missing, and nobody says so", expected, number - 1);
    *is_lost = false;
    return number + 1;
}

/* Reads to the end, and returns how many holes were said. */
static int holes_beside(int rotations, int kept) {
    int expected = 0, got, status, holes = 0;
    bool is_lost = false, is_over = false;
    fault_t why;
    bytes_t line;
    append(log_path, "");
    tail_t *tail = open_tail(true);
    pid_t writer = fork();
    if (writer == 0) _exit(write_and_rotate(rotations, kept));
    assert_true(writer > 0);
    while (!is_over) {
        got = tail_next(tail, &line, &why);
        if (got < 0) fail_msg("%s", why.text);
        if (got == 0) await(tail);
        holes += got == TAIL_LOST;
        is_lost |= got == TAIL_LOST;
        if (got != 1) continue;
        is_over = line.size == 3 && memcmp(line.data, "end", 3) == 0;
        if (!is_over) expected = number_follow(line, expected, &is_lost);
    }
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
    if (!is_lost) assert_int_equal(expected, rotations * (LINES_EACH + 1) + LINES_EACH);
    tail_destroy(&tail);
    kept_remove();
    return holes;
}

static void what_is_missing_is_said_where_it_is_missing(void **state) {
    (void)state;
    print_message("%d holes\n", holes_beside(1500, 4));
}

/* The reader may be as slow as it likes. */
static void nothing_is_missing_where_nothing_is_deleted(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) assert_int_equal(holes_beside(KEPT_MOST, KEPT_MOST), 0);
}

/* It begins with some file, and from there the same holds. */
static void what_is_missing_is_said_whenever_reading_begins(void **state) {
    (void)state;
    int status;
    append(log_path, "");
    pid_t writer = fork();
    if (writer == 0) _exit(write_and_rotate(3000, 4));
    assert_true(writer > 0);
    while (waitpid(writer, &status, WNOHANG) == 0) {
        fault_t why;
        bytes_t line;
        bool is_lost = true;
        int got, expected = 0;
        const reading_spec_t spec = {.path = log_path, .keys = "", .follow = true, .element_max = LINE_MAX_TEST};
        tail_t *tail = tail_create(&spec, &why);
        if (!tail) continue; /* there is nothing between two files */
        assert_int_equal(tail_start(tail, false, &why), 0);
        for (int i = 0; i < 20 && (got = tail_next(tail, &line, &why)) != 0; i++) {
            if (got < 0) fail_msg("%s", why.text);
            is_lost |= got == TAIL_LOST;
            if (got == 1 && line.data[0] != 'e') expected = number_follow(line, expected, &is_lost);
        }
        tail_destroy(&tail);
    }
    assert_int_equal(status, 0);
    kept_remove();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_missing_is_said_where_it_is_missing),
        IN_FOLDER(what_is_missing_is_said_whenever_reading_begins),
        IN_FOLDER(nothing_is_missing_where_nothing_is_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
