#include "messages/fault.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "messages/text.h"
#include "pack.h"

static void a_fault_says_what_it_was_told_and_fails(void **state) {
    (void)state;
    fault_t why = {"before"};
    assert_int_equal(fault_set(&why, "cannot open %s at %d", "a.seg", 7), -1);
    assert_string_equal(why.text, "cannot open a.seg at 7");
}

static void an_errno_fault_ends_with_the_systems_words(void **state) {
    (void)state;
    fault_t why;
    errno = ENOSPC;
    assert_int_equal(fault_errno(&why, "cannot append to %s", "a.seg"), -1);
    assert_string_equal(why.text, "cannot append to a.seg: No space left on device");
}

static void a_fault_can_be_wrapped_in_itself(void **state) {
    (void)state;
    fault_t why;
    fault_set(&why, "the disk is full");
    fault_set(&why, "cannot start recorder: %s", why.text);
    assert_string_equal(why.text, "cannot start recorder: the disk is full");
}

static void a_long_fault_is_cut_between_characters(void **state) {
    (void)state;
    fault_t why;
    char text[2000];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 4);
        }
        fault_set(&why, "%s", text);
        assert_in_range(strlen(why.text), sizeof why.text - 4, sizeof why.text - 1);
        assert_true(text_valid(why.text, strlen(why.text)));
        errno = EIO;
        fault_errno(&why, "%s", text);
        assert_true(text_valid(why.text, strlen(why.text)));
    }
}

static void a_bug_ends_the_process_and_names_its_place(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        int count = 3;
        must(count == 3);
        must(count == 4);
        _exit(0);
    }
    close(ends[1]);
    char text[512] = {0};
    ssize_t size = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_true(size > 0);
    assert_text(text, "count == 4");
    assert_text(text, "fault_test.c:");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_says_what_it_was_told_and_fails),    cmocka_unit_test(an_errno_fault_ends_with_the_systems_words),
        cmocka_unit_test(a_fault_can_be_wrapped_in_itself),           cmocka_unit_test(a_long_fault_is_cut_between_characters),
        cmocka_unit_test(a_bug_ends_the_process_and_names_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
