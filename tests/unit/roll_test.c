/* Names in order, with room for some of them. */
#include "actors/sources/roll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(roll_t *roll, unsigned number) {
    char name[16];
    snprintf(name, sizeof name, "%06u", number);
    roll_add(roll, name, false);
}

static unsigned take(roll_t *roll) {
    bool whole;
    char *name = roll_take(roll, &whole);
    assert_non_null(name);
    unsigned number = (unsigned)strtoul(name, NULL, 10);
    free(name);
    return number;
}

static void names_come_in_order_and_once(void **state) {
    roll_t roll = {.count = 0};
    bool whole;
    (void)state;
    for (unsigned i = 0; i < 600; i++) add(&roll, i * 7 % 300);
    for (unsigned i = 0; i < 300; i++) assert_int_equal(take(&roll), i);
    assert_null(roll_take(&roll, &whole));
    assert_null(roll_missing(&roll));
}

/* As whoever has the folder does: adds all, takes, and adds those that are missing. */
static void all_names_come_in_order_though_there_is_not_room_for_all(void **state) {
    enum { COUNT = 5000 };
    roll_t roll = {.count = 0};
    unsigned next = 0;
    (void)state;
    for (unsigned i = 0; i < COUNT; i++) add(&roll, i * 1237 % COUNT);
    for (;;) {
        while (roll.count > 0) assert_int_equal(take(&roll), next++);
        char *after = roll_missing(&roll);
        if (!after) break;
        assert_int_equal(strtoul(after, NULL, 10), next - 1);
        for (unsigned i = 0; i < COUNT; i++)
            if (i * 1237 % COUNT > strtoul(after, NULL, 10)) add(&roll, i * 1237 % COUNT);
        free(after);
    }
    assert_int_equal(next, COUNT);
}

static void a_name_that_comes_late_is_not_lost_where_there_is_no_room(void **state) {
    roll_t roll = {.count = 0};
    (void)state;
    for (unsigned i = 10; i < 10 + ROLL_MAX; i++) add(&roll, i);
    assert_null(roll.last);
    add(&roll, 5);
    assert_int_equal(roll.count, ROLL_MAX);
    assert_int_equal(strtoul(roll.last, NULL, 10), 10 + ROLL_MAX - 2);
    assert_int_equal(take(&roll), 5);
    add(&roll, 10 + ROLL_MAX); /* after those that are missing: it would overtake them */
    assert_int_equal(roll.count, ROLL_MAX - 1);
    roll_clear(&roll);
}

static void it_is_known_who_is_being_written_to(void **state) {
    roll_t roll = {.count = 0};
    bool whole;
    (void)state;
    roll_add(&roll, "b", true);
    roll_add(&roll, "a", false);
    roll_add(&roll, "c", false);
    assert_true(roll_note(&roll, "c", true));
    assert_true(roll_note(&roll, "b", false));
    assert_false(roll_note(&roll, "d", true));
    assert_int_equal(roll_upto(&roll, "b"), 2);
    assert_int_equal(roll_upto(&roll, "bb"), 2);
    assert_int_equal(roll_upto(&roll, ""), 0);
    for (const char *expected = "abc"; *expected; expected++) {
        char *name = roll_take(&roll, &whole);
        assert_int_equal(name[0], *expected);
        assert_int_equal(whole, *expected == 'c');
        free(name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_in_order_and_once),
        cmocka_unit_test(all_names_come_in_order_though_there_is_not_room_for_all),
        cmocka_unit_test(a_name_that_comes_late_is_not_lost_where_there_is_no_room),
        cmocka_unit_test(it_is_known_who_is_being_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
