/* What the tests of files share that cannot be opened for a while. */
#ifndef REPRISE_TEST_AWAY_H
#define REPRISE_TEST_AWAY_H

#include "tailed.h"

#include "anybody.h"

static inline int anybody_setup(void **state) {
    int got = folder_make(state);
    read_as_anybody(true);
    return got;
}

static inline int anybody_teardown(void **state) {
    read_as_anybody(false);
    return folder_remove(state);
}

static inline void create_unreadable(const char *path, const char *text) {
    append(path, text);
    assert_int_equal(chmod(path, 0), 0);
}

static inline tail_t *open_again(inode_place_t place) {
    fault_t why;
    const reading_spec_t spec = {.path = log_path, .keys = "", .follow = true, .resumes = true, .element_max = LINE_MAX_TEST};
    tail_t *tail = tail_create(&spec, &why);
    if (!tail) fail_msg("%s", why.text);
    resume(tail, place);
    return tail;
}

static inline void assert_waits(const tail_t *tail, const char *reason) {
    char expected[200];
    if (reason) snprintf(expected, sizeof expected, "cannot open %s: %s", log_path, reason);
    if (!reason && tail_waits(tail)) fail_msg("it waits: %s", tail_waits(tail));
    if (reason && !tail_waits(tail)) fail_msg("it does not wait: %s", reason);
    if (reason) assert_string_equal(tail_waits(tail), expected);
}

/* Its descriptor says that there is something, until all is taken note of: what is not watched any more is told as well. */
static inline void assert_stirred(tail_t *tail) {
    fault_t why;
    struct pollfd ready = {.fd = tail_descriptor(tail), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 1);
    for (int i = 0; i < 10 && poll(&ready, 1, 0) == 1; i++) assert_int_equal(tail_wake(tail, &why), 0);
    assert_int_equal(poll(&ready, 1, 0), 0);
}

#define AS_ANYBODY(test) cmocka_unit_test_setup_teardown(test, anybody_setup, anybody_teardown)

#endif
