/* The tables behind an actor: no request is lost, none is taken for another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/runtime/exchange.h"

static parcel_t parcel_made(const char *from, uint64_t number) {
    parcel_t parcel = {.head = {HEAD_REQUEST, MSG_JOB_WAIT, number}, .has_body = number % 2 == 0};
    snprintf(parcel.from, sizeof parcel.from, "%s", from);
    frame_copy_of(&parcel.message, (bytes_t){(const uint8_t *)from, strlen(from)});
    if (parcel.has_body) frame_copy_of(&parcel.body, (bytes_t){(const uint8_t *)"body", 4});
    return parcel;
}

static ticket_t add(tickets_t *tickets, uint64_t number) {
    parcel_t parcel = parcel_made("asker", number);
    ticket_t ticket = tickets_add(tickets, &parcel);
    parcel_fini(&parcel);
    return ticket;
}

static void a_ticket_keeps_the_request_when_its_message_is_gone(void **test) {
    (void)test;
    tickets_t tickets = {0};
    ticket_t ticket = add(&tickets, 2);
    ticket_entry_t *entry = tickets_find(&tickets, ticket);
    assert_non_null(entry);
    assert_int_equal(entry->parcel.head.number, 2);
    assert_memory_equal(frame_bytes(&entry->parcel.message).data, "asker", 5);
    assert_memory_equal(frame_bytes(&entry->parcel.body).data, "body", 4);
    tickets_fini(&tickets);
}

static void a_ticket_is_never_mistaken_for_a_later_one(void **test) {
    (void)test;
    tickets_t tickets = {0};
    ticket_t first = add(&tickets, 1);
    tickets_remove(&tickets, tickets_find(&tickets, first));
    ticket_t second = add(&tickets, 2);
    assert_null(tickets_find(&tickets, first));
    assert_non_null(tickets_find(&tickets, second));
    assert_null(tickets_find(&tickets, 0));
    assert_null(tickets_find(&tickets, UINT64_MAX));
    tickets_fini(&tickets);
}

static void requests_are_taken_out_the_oldest_first_whatever_slots_came_free(void **test) {
    (void)test;
    tickets_t tickets = {0};
    ticket_t ids[100];
    for (uint64_t i = 0; i < 100; i++) ids[i] = add(&tickets, i);
    for (size_t i = 0; i < 60; i++) tickets_remove(&tickets, tickets_find(&tickets, ids[i]));
    for (uint64_t i = 100; i < 150; i++) add(&tickets, i);
    tickets_find(&tickets, ids[60])->forwarded = true;
    size_t count;
    parcel_t *parcels = tickets_take(&tickets, &count);
    assert_int_equal(count, 89);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(parcels[i].head.number, 61 + i);
        parcel_fini(&parcels[i]);
    }
    free(parcels);
    for (size_t i = 61; i < 100; i++) assert_null(tickets_find(&tickets, ids[i]));
    assert_true(tickets_find(&tickets, ids[60])->forwarded);
    tickets_fini(&tickets);
}

static int then(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)state, (void)answer, (void)context, (void)why;
    return 0;
}

static void a_question_is_answered_once(void **test) {
    (void)test;
    asks_t asks = {0};
    ask_t ask;
    uint64_t numbers[40];
    for (uint64_t i = 0; i < 40; i++) numbers[i] = asks_add(&asks, MSG_JOB_WAIT, then, i);
    for (size_t i = 40; i-- > 0;) {
        assert_true(asks_take(&asks, numbers[i], &ask));
        assert_int_equal(ask.context, i);
        assert_int_equal(ask.id, MSG_JOB_WAIT);
        assert_false(asks_take(&asks, numbers[i], &ask));
    }
    assert_false(asks_take(&asks, 0, &ask));
    asks_fini(&asks);
}

static void only_questions_of_others_outlive_a_failure(void **test) {
    (void)test;
    asks_t asks = {0};
    ask_t ask;
    uint64_t own = asks_add(&asks, MSG_JOB_WAIT, then, 1), passed = asks_add(&asks, MSG_JOB_WAIT, NULL, 2);
    asks_forget(&asks);
    assert_false(asks_take(&asks, own, &ask));
    assert_true(asks_take(&asks, passed, &ask));
    assert_int_equal(ask.context, 2);
    assert_int_not_equal(asks_add(&asks, MSG_JOB_WAIT, then, 3), own);
    asks_fini(&asks);
}

static void held_messages_come_out_in_order_through_growth_and_wrap(void **test) {
    (void)test;
    held_t held = {0};
    parcel_t parcel;
    uint64_t in = 0, out = 0;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 7; i++) {
            parcel = parcel_made("asker", in++);
            held_push(&held, &parcel);
        }
        for (int i = 0; i < 5; i++) {
            assert_true(held_take(&held, &parcel));
            assert_int_equal(parcel.head.number, out++);
            parcel_fini(&parcel);
        }
    }
    assert_int_equal(held.count, 100);
    for (uint64_t i = 0; i < 20; i++) {
        parcel = parcel_made("asker", 1000 + i);
        held_push_first(&held, &parcel);
    }
    for (uint64_t i = 20; i-- > 0;) {
        assert_true(held_take(&held, &parcel));
        assert_int_equal(parcel.head.number, 1000 + i);
        parcel_fini(&parcel);
    }
    assert_true(held_take(&held, &parcel));
    assert_int_equal(parcel.head.number, out);
    parcel_fini(&parcel);
    held_fini(&held);
    assert_false(held_take(&held, &parcel));
}

static void a_head_is_read_back_as_it_was_written(void **test) {
    (void)test;
    const head_t heads[] = {{HEAD_TELL, MSG_OK, 0},
                            {HEAD_REQUEST, MSG_JOB_WAIT, 1},
                            {HEAD_ANSWER, (message_id_t)(MESSAGE_COUNT - 1), INT64_MAX},
                            {HEAD_REFUSAL, MSG_PUSH, UINT32_MAX}};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        frame_t frame;
        head_t head;
        head_encode(&heads[i], &frame);
        assert_true(head_decode(frame_bytes(&frame), &head));
        assert_int_equal(head.kind, heads[i].kind);
        assert_int_equal(head.id, heads[i].id);
        assert_int_equal(head.number, heads[i].number);
        frame_fini(&frame);
    }
}

static void what_is_no_head_is_not_read(void **test) {
    (void)test;
    static const char *const wrong[] = {
        "", "\x93\x01\x02", "\x92\x01\x02", "\x93\x04\x01\x01", "\x93\x01\xcd\xff\xff\x01", "\x93\x01\x01\xff", "\x81\x01\x02"};
    static const size_t sizes[] = {0, 3, 3, 4, 6, 4, 3};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        head_t head;
        assert_false(head_decode((bytes_t){(const uint8_t *)wrong[i], sizes[i]}, &head));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_keeps_the_request_when_its_message_is_gone),
        cmocka_unit_test(a_ticket_is_never_mistaken_for_a_later_one),
        cmocka_unit_test(requests_are_taken_out_the_oldest_first_whatever_slots_came_free),
        cmocka_unit_test(a_question_is_answered_once),
        cmocka_unit_test(only_questions_of_others_outlive_a_failure),
        cmocka_unit_test(held_messages_come_out_in_order_through_growth_and_wrap),
        cmocka_unit_test(a_head_is_read_back_as_it_was_written),
        cmocka_unit_test(what_is_no_head_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
