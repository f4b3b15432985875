/* Timers go off in their order, whatever is set and cancelled in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/runtime/timers.h"

static int then(void *state, uint64_t context, fault_t *why) {
    (void)state, (void)context, (void)why;
    return 0;
}

static void none_is_due_where_there_is_none(void **test) {
    (void)test;
    timers_t timers = {0};
    timer_entry_t entry;
    assert_int_equal(timers_due(&timers), INT64_MAX);
    assert_false(timers_take(&timers, INT64_MAX - 1, &entry));
    timers_cancel(&timers, 7);
    timers_fini(&timers);
}

static void the_earliest_goes_off_first_and_not_before_its_time(void **test) {
    (void)test;
    timers_t timers = {0};
    timer_entry_t entry;
    timers_set(&timers, 30, then, 3);
    timers_set(&timers, 10, then, 1);
    timers_set(&timers, 20, then, 2);
    assert_int_equal(timers_due(&timers), 10);
    assert_false(timers_take(&timers, 9, &entry));
    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(timers_take(&timers, 30, &entry));
        assert_int_equal(entry.context, i);
        assert_int_equal(entry.due, 10 * i);
    }
    assert_false(timers_take(&timers, 30, &entry));
    timers_fini(&timers);
}

static void those_due_together_go_off_as_they_were_set(void **test) {
    (void)test;
    timers_t timers = {0};
    timer_entry_t entry;
    for (uint64_t i = 0; i < 100; i++) timers_set(&timers, 10, then, i);
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(timers_take(&timers, 10, &entry));
        assert_int_equal(entry.context, i);
    }
    timers_fini(&timers);
}

static void a_timer_has_a_name_that_is_never_used_again(void **test) {
    (void)test;
    timers_t timers = {0};
    timer_id_t first = timers_set(&timers, 10, then, 0);
    assert_int_not_equal(first, 0);
    timers_clear(&timers);
    assert_int_equal(timers_due(&timers), INT64_MAX);
    timer_id_t second = timers_set(&timers, 20, then, 0);
    assert_int_not_equal(first, second);
    timers_cancel(&timers, first);
    assert_int_equal(timers_due(&timers), 20);
    timers_cancel(&timers, second);
    assert_int_equal(timers_due(&timers), INT64_MAX);
    timers_fini(&timers);
}

/* Against a list that is searched from end to end. */
static void the_heap_keeps_its_order_under_any_mix_of_sets_cancels_and_takes(void **test) {
    (void)test;
    enum { MAX = 400 };
    timer_entry_t model[MAX];
    srand(42);
    timers_t timers = {0};
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        size_t first = 0;
        for (size_t i = 1; i < count; i++)
            if (model[i].due < model[first].due || (model[i].due == model[first].due && model[i].id < model[first].id)) first = i;
        assert_int_equal(timers_due(&timers), count ? model[first].due : INT64_MAX);
        int what = rand() % 5;
        if (what < 2 && count < MAX) {
            int64_t due = rand() % 50;
            timer_id_t id = timers_set(&timers, due, then, (uint64_t)step);
            model[count++] = (timer_entry_t){due, id, then, (uint64_t)step};
        } else if (what == 2 && count > 0) {
            size_t victim = (size_t)rand() % count;
            timers_cancel(&timers, model[victim].id);
            model[victim] = model[--count];
        } else if (what > 2) {
            int64_t now = rand() % 50;
            timer_entry_t entry;
            bool due = count > 0 && model[first].due <= now;
            assert_int_equal(timers_take(&timers, now, &entry), due);
            if (!due) continue;
            assert_int_equal(entry.id, model[first].id);
            assert_int_equal(entry.context, model[first].context);
            model[first] = model[--count];
        }
    }
    timers_fini(&timers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_due_where_there_is_none),
        cmocka_unit_test(the_earliest_goes_off_first_and_not_before_its_time),
        cmocka_unit_test(those_due_together_go_off_as_they_were_set),
        cmocka_unit_test(a_timer_has_a_name_that_is_never_used_again),
        cmocka_unit_test(the_heap_keeps_its_order_under_any_mix_of_sets_cancels_and_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
