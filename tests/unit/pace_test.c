#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "actors/pace.h"

static void an_event_is_due_when_the_clock_has_walked_there(void **state) {
    (void)state;
    pace_t pace = {.rate = 2};
    pace_start(&pace, 100, 5000);
    assert_int_equal(pace_delay(&pace, 100, 7000), 1000);
    assert_int_equal(pace_delay(&pace, 1099, 7000), 1);
    assert_int_equal(pace_delay(&pace, 1100, 7000), 0);
    assert_int_equal(pace_at(&pace, 1100), 7000);
}

static void what_is_earlier_is_due_at_once(void **state) {
    (void)state;
    pace_t pace = {.rate = 1};
    pace_start(&pace, 100, 5000);
    assert_int_equal(pace_delay(&pace, 100, 5000), 0);
    assert_int_equal(pace_delay(&pace, 100, 1), 0);
}

static void without_a_rate_everything_is_due(void **state) {
    (void)state;
    pace_t pace = {0};
    pace_start(&pace, 100, 5000);
    assert_int_equal(pace_delay(&pace, 100, INT64_MAX), 0);
    assert_int_equal(pace_at(&pace, 1000000), 5000);
}

static void a_rate_near_nothing_does_not_overflow(void **state) {
    (void)state;
    pace_t pace = {.rate = 1e-300};
    pace_start(&pace, 0, 0);
    assert_true(pace_delay(&pace, 1, 1000) > INT64_C(1000) * 3600 * 24 * 365 * 1000);
    pace.rate = 1e300;
    assert_int_equal(pace_delay(&pace, 0, INT64_C(4000000000000000)), 0);
    assert_true(pace_at(&pace, 1000) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_due_when_the_clock_has_walked_there),
        cmocka_unit_test(what_is_earlier_is_due_at_once),
        cmocka_unit_test(without_a_rate_everything_is_due),
        cmocka_unit_test(a_rate_near_nothing_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
