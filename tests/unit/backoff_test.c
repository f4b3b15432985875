/* The time between tries. */
#include "actors/sources/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void it_grows_from_a_tenth_of_a_second_to_five_and_starts_anew_when_it_went_well(void **state) {
    (void)state;
    static const int64_t most[] = {100000, 200000, 400000, 800000, 1600000, 3200000, 5000000, 5000000};
    backoff_t backoff = {.random = 7};
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) assert_in_range(backoff_next(&backoff), most[i] / 2, most[i]);
        backoff_reset(&backoff);
    }
}

static void two_that_begin_with_other_numbers_do_not_come_together(void **state) {
    (void)state;
    backoff_t a = {.random = 1}, b = {.random = 2};
    int same = 0;
    for (int i = 0; i < 100; i++) same += backoff_next(&a) == backoff_next(&b);
    assert_in_range(same, 0, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_from_a_tenth_of_a_second_to_five_and_starts_anew_when_it_went_well),
        cmocka_unit_test(two_that_begin_with_other_numbers_do_not_come_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
