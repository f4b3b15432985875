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

static const quotas_t quotas = {.requests_max = 3, .client_requests_max = 2, .unread_max = 20000, .client_unread_max = 10000};

static bool allowed(debts_t *debts, const peer_t *to, size_t size, refusal_t *ret_no) {
    return debts_allow(debts, to, size, &quotas, ret_no) == 0;
}

static void what_waits_for_a_peer_is_counted_until_it_is_taken(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one"), other = peer_of("other");
    frame_t first = frame_of(4000), second = frame_of(5999), small = frame_of(1);
    refusal_t no;
    (void)state;
    debts_add(&debts, &one, &first, frame_bytes(&first).size);
    debts_add(&debts, &one, &second, frame_bytes(&second).size);
    debts_add(&debts, &one, &small, frame_bytes(&small).size);
    assert_int_equal(frame_bytes(&second).size, 5999);
    assert_int_equal(frame_bytes(&second).data[5998], 7);
    assert_false(allowed(&debts, &one, 1, &no));
    assert_int_equal(no.code, ERROR_LIMIT);
    assert_true(no.retry);
    assert_string_equal(no.message,
                        "10000 bytes of answers wait to be read by this client, and with the 1 of this one they would be more than "
                        "`client_unread_max` (10000)");
    assert_true(allowed(&debts, &other, 1, &no));
    frame_fini(&small);
    assert_true(allowed(&debts, &one, 1, &no));
    assert_false(allowed(&debts, &one, 2, &no));
    frame_fini(&first);
    assert_true(allowed(&debts, &one, 4001, &no));
    frame_fini(&second);
    assert_true(allowed(&debts, &one, 20001, &no)); /* one answer may be as large as it is */
    debts_fini(&debts);
}

static void peers_with_whom_nothing_is_open_are_forgotten(void **state) {
    debts_t debts = {0};
    char name[16];
    refusal_t no;
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "peer %d", i);
        peer_t peer = peer_of(name);
        frame_t frame = frame_of(1);
        assert_int_equal(debts_open(&debts, &peer, PERMISSION_READ, &quotas, &no), 0);
        debts_close(&debts, &peer);
        debts_add(&debts, &peer, &frame, frame_bytes(&frame).size);
        frame_fini(&frame);
    }
    size_t used = 0;
    for (size_t i = 0; i < DEBT_BUCKETS; i++) used += debts.buckets[i] != NULL;
    assert_in_range(used, 1, DEBT_BUCKETS);
    peer_t last = peer_of(name);
    for (int i = 0; i < DEBT_BUCKETS; i++) { /* whoever comes by sweeps */
        last.id[0] = (uint8_t)i;
        debts_allow(&debts, &last, 1, &quotas, &no);
    }
    debts_fini(&debts);
}

static void what_waits_for_all_peers_together_is_bounded_too(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one"), other = peer_of("other"), third = peer_of("third");
    frame_t first = frame_of(9000), second = frame_of(9000), refusal = frame_of(3250), answer = frame_of(1024);
    refusal_t no;
    (void)state;
    debts_add(&debts, &one, &first, frame_bytes(&first).size);
    debts_add(&debts, &other, &second, frame_bytes(&second).size);
    assert_true(allowed(&debts, &third, 2000, &no));
    assert_false(allowed(&debts, &third, 2001, &no));
    assert_string_equal(no.message,
                        "18000 bytes of answers wait to be read by all clients, and with the 2001 of this one they would be more than "
                        "`unread_max` (20000)");
    assert_true(debts_bear(&debts, &one, 3250, &quotas)); /* refusals have some room of their own */
    debts_add(&debts, &one, &refusal, frame_bytes(&refusal).size);
    assert_false(debts_bear(&debts, &one, 1, &quotas));
    assert_true(debts_bear(&debts, &third, 300, &quotas)); /* who has read all is told */
    assert_true(allowed(&debts, &third, 1024 + FRAME_BYTES, &no));
    assert_false(allowed(&debts, &third, 1025 + FRAME_BYTES, &no));
    debts_add(&debts, &third, &answer, 1024);
    assert_false(allowed(&debts, &third, 1, &no));
    frame_fini(&answer);
    frame_fini(&first);
    assert_true(allowed(&debts, &third, 7750, &no));
    frame_fini(&second);
    frame_fini(&refusal);
    debts_fini(&debts);
}

static void requests_are_counted_until_they_are_answered(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one"), other = peer_of("other");
    refusal_t no;
    (void)state;
    assert_int_equal(debts_open(&debts, &one, PERMISSION_READ, &quotas, &no), 0);
    assert_int_equal(debts_open(&debts, &one, PERMISSION_READ, &quotas, &no), 0);
    assert_int_equal(debts_open(&debts, &one, PERMISSION_READ, &quotas, &no), -1);
    assert_int_equal(no.code, ERROR_LIMIT);
    assert_string_equal(no.message, "2 requests of this client wait for their answers, and `client_requests_max` is 2");
    assert_int_equal(debts_open(&debts, &other, PERMISSION_READ, &quotas, &no), 0);
    assert_int_equal(debts_open(&debts, &other, PERMISSION_READ, &quotas, &no), -1);
    assert_string_equal(no.message, "3 requests of all clients wait for their answers, and `requests_max` is 3");
    assert_true(no.retry);
    debts_close(&debts, &one);
    assert_int_equal(debts_open(&debts, &other, PERMISSION_READ, &quotas, &no), 0);
    debts_close(&debts, &other);
    debts_close(&debts, &other);
    debts_close(&debts, &one);
    assert_int_equal(debts.requests, 0);
    debts_fini(&debts);
}

static void administrators_find_room_where_others_find_none(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one"), other = peer_of("other"), admin = peer_of("admin");
    refusal_t no;
    (void)state;
    assert_int_equal(debts_open(&debts, &one, PERMISSION_READ, &quotas, &no), 0);
    assert_int_equal(debts_open(&debts, &one, PERMISSION_READ, &quotas, &no), 0);
    assert_int_equal(debts_open(&debts, &other, PERMISSION_READ, &quotas, &no), 0);
    assert_int_equal(debts_open(&debts, &admin, PERMISSION_READ, &quotas, &no), -1);
    assert_int_equal(debts_open(&debts, &admin, PERMISSION_WRITE, &quotas, &no), -1);
    for (int i = 0; i < 16; i++) assert_int_equal(debts_open(&debts, i % 2 ? &one : &admin, PERMISSION_ADMIN, &quotas, &no), 0);
    assert_int_equal(debts_open(&debts, &admin, PERMISSION_ADMIN, &quotas, &no), -1);
    assert_string_equal(no.message, "19 requests of all clients wait for their answers, and `requests_max` is 3");
    for (int i = 0; i < 16; i++) debts_close(&debts, i % 2 ? &one : &admin);
    assert_int_equal(debts_open(&debts, &admin, PERMISSION_READ, &quotas, &no), -1); /* the others' are still open */
    debts_close(&debts, &one);
    debts_close(&debts, &one);
    debts_close(&debts, &other);
    assert_int_equal(debts_open(&debts, &admin, PERMISSION_READ, &quotas, &no), 0);
    debts_close(&debts, &admin);
    debts_fini(&debts);
}

static void bytes_of_requests_are_counted_until_they_are_answered(void **state) {
    debts_t debts = {0};
    const size_t most = 64 * 1024 * 1024;
    peer_t peers[5] = {peer_of("a"), peer_of("b"), peer_of("c"), peer_of("d"), peer_of("e")};
    refusal_t no;
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(debts_open(&debts, &peers[i], PERMISSION_READ, &(quotas_t){.requests_max = 9, .client_requests_max = 9}, &no), 0);
    assert_int_equal(debts_keep(&debts, &peers[0], most - 2000, &no), 0);
    assert_int_equal(debts_keep(&debts, &peers[0], 2001, &no), -1);
    assert_int_equal(no.code, ERROR_LIMIT);
    assert_true(no.retry);
    assert_string_equal(
        no.message,
        "67106864 bytes of requests of this client wait for their answers, and with the 2001 of this one they would be more than "
        "67108864");
    assert_int_equal(debts_keep(&debts, &peers[0], 2000, &no), 0);
    for (int i = 1; i < 4; i++) assert_int_equal(debts_keep(&debts, &peers[i], most, &no), 0);
    assert_int_equal(debts_keep(&debts, &peers[4], 1025, &no), -1);
    assert_non_null(strstr(no.message, "of all clients"));
    assert_int_equal(debts_keep(&debts, &peers[4], 1024, &no), 0); /* a small one may be what ends the large ones */
    debts_drop(&debts, &peers[4], 1024);
    debts_drop(&debts, &peers[0], most - 2000);
    assert_int_equal(debts_keep(&debts, &peers[4], 1025, &no), 0);
    debts_drop(&debts, &peers[4], 1025);
    debts_drop(&debts, &peers[0], 2000);
    for (int i = 1; i < 4; i++) debts_drop(&debts, &peers[i], most);
    assert_int_equal(debts.kept, 0);
    for (int i = 0; i < 5; i++) debts_close(&debts, &peers[i]);
    debts_fini(&debts);
}

static void who_does_not_read_what_it_is_sent_is_behind(void **state) {
    enum { MIB = 1024 * 1024 };
    quotas_t roomy = {.unread_max = 100 * MIB}, narrow = {.unread_max = 2 * MIB};
    debts_t debts = {0};
    peer_t one = peer_of("one"), other = peer_of("other");
    frame_t first = frame_of(10), second = frame_of(10), third = frame_of(10), last = frame_of(10);
    (void)state;
    debts_add(&debts, &one, &first, 4 * MIB - 1);
    assert_false(debts_behind(&debts, &one, &roomy));
    debts_add(&debts, &one, &second, 1);
    assert_true(debts_behind(&debts, &one, &roomy));
    assert_false(debts_behind(&debts, &other, &roomy));
    debts_add(&debts, &other, &third, 128 * 1024 - 1); /* who reads is not held up by what waits for others */
    assert_false(debts_behind(&debts, &other, &narrow));
    debts_add(&debts, &other, &last, 1);
    assert_true(debts_behind(&debts, &other, &narrow));
    assert_false(debts_behind(&debts, &other, &roomy));
    frame_fini(&first);
    assert_false(debts_behind(&debts, &one, &narrow));
    assert_false(debts_behind(&debts, &other, &narrow));
    frame_fini(&second);
    frame_fini(&third);
    frame_fini(&last);
    debts_fini(&debts);
}

static void a_frame_may_outlive_the_list(void **state) {
    debts_t debts = {0};
    peer_t one = peer_of("one");
    frame_t frame = frame_of(4096);
    (void)state;
    debts_add(&debts, &one, &frame, frame_bytes(&frame).size);
    debts_fini(&debts);
    assert_int_equal(frame_bytes(&frame).data[4095], 7);
    frame_fini(&frame);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_a_peer_is_counted_until_it_is_taken),
        cmocka_unit_test(peers_with_whom_nothing_is_open_are_forgotten),
        cmocka_unit_test(what_waits_for_all_peers_together_is_bounded_too),
        cmocka_unit_test(requests_are_counted_until_they_are_answered),
        cmocka_unit_test(administrators_find_room_where_others_find_none),
        cmocka_unit_test(bytes_of_requests_are_counted_until_they_are_answered),
        cmocka_unit_test(who_does_not_read_what_it_is_sent_is_behind),
        cmocka_unit_test(a_frame_may_outlive_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
