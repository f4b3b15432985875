/* What waits for a peer is counted, and no more once nobody holds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/runtime/debts.h"

static peer_t peer_of(const char *id) {
    peer_t peer = {.size = (uint8_t)strlen(id)};
    memcpy(peer.id, id, strlen(id));
    return peer;
}

static frame_t frame_of(size_t size) {
    uint8_t *bytes = calloc(1, size);
    frame_t frame;
    assert_non_null(bytes);
    bytes[size - 1] = 7;
    frame_copy_of(&frame, (bytes_t){bytes, size});
    free(bytes);
    return frame;
}

static size_t waiting(debts_t *debts, const peer_t *to) {
    size_t bytes;
    debts_allow(debts, to, DEBT_LEAST, &bytes);
    return bytes;
}

static void what_waits_for_a_peer_is_counted_until_it_is_taken(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one"), other = peer_of("other");
    frame_t first = frame_of(DEBT_LEAST), second = frame_of(2 * DEBT_LEAST), small = frame_of(DEBT_LEAST - 1);
    (void)state;
    debts_add(&debts, &one, &first);
    debts_add(&debts, &one, &second);
    debts_add(&debts, &one, &small);
    assert_int_equal(frame_bytes(&second).size, 2 * DEBT_LEAST);
    assert_int_equal(frame_bytes(&second).data[2 * DEBT_LEAST - 1], 7);
    assert_int_equal(waiting(&debts, &one), 3 * DEBT_LEAST);
    assert_int_equal(waiting(&debts, &other), 0);
    frame_fini(&first);
    assert_int_equal(waiting(&debts, &one), 2 * DEBT_LEAST);
    frame_fini(&second);
    assert_int_equal(waiting(&debts, &one), 0);
    waiting(&debts, &other);
    assert_null(debts.first);
    frame_fini(&small);
    debts_fini(&debts);
}

static void more_than_may_wait_is_not_allowed_but_for_one_answer(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one"), other = peer_of("other");
    frame_t frame = frame_of(DEBT_LEAST);
    size_t bytes;
    (void)state;
    assert_true(debts_allow(&debts, &one, DEBT_MAX + 1, &bytes));
    debts_add(&debts, &one, &frame);
    assert_true(debts_allow(&debts, &one, DEBT_MAX - DEBT_LEAST, &bytes));
    assert_false(debts_allow(&debts, &one, DEBT_MAX - DEBT_LEAST + 1, &bytes));
    assert_int_equal(bytes, DEBT_LEAST);
    assert_true(debts_allow(&debts, &one, DEBT_LEAST - 1, &bytes)); /* a refusal, for example */
    assert_true(debts_allow(&debts, &other, DEBT_MAX, &bytes));
    frame_fini(&frame);
    assert_true(debts_allow(&debts, &one, DEBT_MAX, &bytes));
    debts_fini(&debts);
}

static void a_frame_may_outlive_the_list(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one");
    frame_t frame = frame_of(DEBT_LEAST);
    (void)state;
    debts_add(&debts, &one, &frame);
    debts_fini(&debts);
    assert_int_equal(frame_bytes(&frame).data[DEBT_LEAST - 1], 7);
    frame_fini(&frame);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_a_peer_is_counted_until_it_is_taken),
        cmocka_unit_test(more_than_may_wait_is_not_allowed_but_for_one_answer),
        cmocka_unit_test(a_frame_may_outlive_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
