/* Datagrams on a stage: what is refused, and what a gap is made of. */
#include <arpa/inet.h>
#include <unistd.h>

#include "ingest_double.h"
#include "pack.h"

extern const actor_class_t source_udp_class;

static int sender = -1;
static struct sockaddr_in there;

/* A port that is free now. */
static char *free_port(void) {
    static char server[32];
    socklen_t size = sizeof there;
    int probe = socket(AF_INET, SOCK_DGRAM, 0);
    there = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(probe, (struct sockaddr *)&there, sizeof there), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&there, &size), 0);
    close(probe);
    snprintf(server, sizeof server, "127.0.0.1:%d", ntohs(there.sin_port));
    return server;
}

static void start(stage_t *stage) {
    stage_add(stage, &source_udp_class, "source:1", ingest_args(pack("{ss}", "server", free_port())));
    stage_run(stage);
}

static void say(stage_t *stage, const char *text) {
    assert_int_equal(sendto(sender, text, strlen(text), 0, (struct sockaddr *)&there, sizeof there), strlen(text));
    stage_run(stage);
}

static int setup(void **state) {
    sender = socket(AF_INET, SOCK_DGRAM, 0);
    return ingest_setup(state);
}

static int teardown(void **state) {
    close(sender);
    return ingest_teardown(state);
}

static void each_datagram_is_an_element_at_the_time_of_its_arrival(void **state) {
    start(*state);
    say(*state, "one");
    stage_advance(*state, 7000);
    say(*state, "two");
    assert_int_equal(ingest.count, 2);
    assert_string_equal(ingest.elements[1].text, "two");
    assert_int_equal(ingest.elements[1].time, stage_now(*state));
    assert_int_equal(ingest.watermark, stage_now(*state));
    assert_int_equal(ingest.gaps, 0);
}

static void without_room_nothing_is_read_and_nothing_is_lost(void **state) {
    ingest.credit = 10;
    start(*state);
    ingest.hold_acks = true;
    say(*state, "a datagram");
    say(*state, "another one");
    assert_int_equal(ingest.count, 1);
    ingest_do(*state, ingest_ack);
    assert_int_equal(ingest.count, 2);
    assert_int_equal(ingest.gaps, 0);
}

static void let_go(void) {
    ingest_nack(ingest.source, ingest.next_seq, ERROR_NOT_FOUND, true, "attach again");
}

static void an_attachment_that_lost_nothing_leaves_no_gap(void **state) {
    start(*state);
    say(*state, "one");
    ingest_do(*state, let_go);
    assert_int_equal(ingest.attaches, 2);
    say(*state, "two");
    assert_int_equal(ingest.count, 2);
    assert_int_equal(ingest.gaps, 0);
}

static void what_was_sent_and_not_recorded_is_a_gap_from_the_last_that_was(void **state) {
    start(*state);
    say(*state, "one");
    stage_advance(*state, 1000000);
    ingest.deaf = true;
    say(*state, "two");
    ingest.deaf = false;
    stage_advance(*state, 2000000);
    ingest_do(*state, let_go);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 1);
    assert_int_equal(ingest.gap_lost_us, 3000000);
}

/* The clock has not moved in between. */
static void what_was_not_recorded_of_one_moment_is_a_gap(void **state) {
    start(*state);
    say(*state, "one");
    ingest.deaf = true;
    say(*state, "two");
    ingest.deaf = false;
    ingest_do(*state, let_go);
    say(*state, "three");
    assert_int_equal(ingest.count, 2);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 1);
}

static void a_restart_before_the_first_datagram_is_a_gap(void **state) {
    start(*state);
    stage_advance(*state, 1000000);
    stage_fail(*state, "source:1");
    stage_advance(*state, 1000000);
    say(*state, "one");
    assert_int_equal(ingest.count, 1);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 0);
    assert_in_range(ingest.gap_lost_us, 1000000, 2000000);
}

static void a_gap_lasts_until_the_port_is_open_again(void **state) {
    start(*state);
    say(*state, "one");
    int64_t last = stage_now(*state);
    stage_fail(*state, "source:1");
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(other, (struct sockaddr *)&there, sizeof there), 0);
    stage_advance(*state, 60000000);
    assert_non_null(strstr(ingest.waits, "Address already in use"));
    assert_int_equal(ingest.gaps, 0);
    close(other);
    for (int i = 0; i < 10 && ingest.gaps == 0; i++) stage_advance(*state, 1000000);
    assert_int_equal(ingest.gaps, 1);
    assert_in_range(ingest.gap_lost_us, 60000000, stage_now(*state) - last);
}

/* Nothing comes after them that could tell. */
static void what_the_system_dropped_last_is_said(void **state) {
    static const char text[1000];
    int dropped = 0;
    ingest.credit = 10;
    stage_add(*state, &source_udp_class, "source:1", ingest_args(pack("{sssi}", "server", free_port(), "queue", 5000LL)));
    stage_run(*state);
    ingest.hold_acks = true;
    say(*state, "one");
    for (int i = 0; i < 100; i++) sendto(sender, text, sizeof text, 0, (struct sockaddr *)&there, sizeof there);
    ingest.hold_acks = false;
    ingest_do(*state, ingest_ack);
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(sscanf(ingest.gap, "%d datagrams were dropped", &dropped), 1);
    assert_true(ingest.count > 1);
    assert_int_equal(ingest.count - 1 + (size_t)dropped, 100);
    assert_int_equal(ingest.gap_at, ingest.count);
}

static void a_cursor_of_another_source_fails_the_job(void **state) {
    memcpy(ingest.cursor, "\x93\x01\x02\x03", 4);
    ingest.cursor_size = 4;
    start(*state);
    assert_non_null(strstr(ingest.failure, "not one of `reprise:source:udp:v1`"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_datagram_is_an_element_at_the_time_of_its_arrival),
        TEST(without_room_nothing_is_read_and_nothing_is_lost),
        TEST(an_attachment_that_lost_nothing_leaves_no_gap),
        TEST(what_was_sent_and_not_recorded_is_a_gap_from_the_last_that_was),
        TEST(what_was_not_recorded_of_one_moment_is_a_gap),
        TEST(a_restart_before_the_first_datagram_is_a_gap),
        TEST(a_gap_lasts_until_the_port_is_open_again),
        TEST(what_the_system_dropped_last_is_said),
        TEST(a_cursor_of_another_source_fails_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
