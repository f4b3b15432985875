/* Where a Kafka source begins, goes on and ends, without a Kafka. */
#include "actors/sources/kafka_places.h"

#include "pack.h"

#define URN "test:kafka"
#define CLUSTER(...) cluster((const kafka_sight_t[]){__VA_ARGS__}, sizeof((const kafka_sight_t[]){__VA_ARGS__}) / sizeof(kafka_sight_t))

static kafka_places_t places;
static fault_t why;

static void given(const char *topics, const char *partitions, const char *from, const char *until) {
    if (kafka_places_init(&places, URN, &(kafka_given_t){topics, partitions, from, until}, &why) < 0) fail_msg("%s", why.text);
}

static void refused(const char *topics, const char *partitions, const char *from, const char *said) {
    assert_int_equal(kafka_places_init(&places, URN, &(kafka_given_t){topics, partitions, from, NULL}, &why), -1);
    if (!strstr(why.text, said)) fail_msg("\"%s\" says nothing of \"%s\"", why.text, said);
    kafka_places_fini(&places);
}

static int setup(void **state) {
    (void)state;
    places = (kafka_places_t){0};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    kafka_places_fini(&places);
    return 0;
}

/* One partition: its end, its beginning, and its offset at the time that is asked for. */
static kafka_sight_t at(uint32_t topic, int32_t partition, int64_t begin, int64_t end, int64_t then) {
    return (kafka_sight_t){topic, partition, RD_KAFKA_RESP_ERR_NO_ERROR, {end, begin, then}};
}

static kafka_sight_t wrong(uint32_t topic, int32_t partition, rd_kafka_resp_err_t error) {
    return (kafka_sight_t){topic, partition, error, {-1, -1, -1}};
}

static int cluster(const kafka_sight_t *sights, size_t count) {
    return kafka_places_see(&places, &(kafka_report_t){RD_KAFKA_RESP_ERR_NO_ERROR, sights, (uint32_t)count}, &why);
}

static int64_t next_of(uint32_t topic, int32_t partition) {
    const kafka_partition_t *found = kafka_places_at(&places, topic, partition);
    return found ? found->next : -2;
}

/* As after a restart: with the cursor that was recorded, and nothing else. */
static void restart(const char *topics, const char *from, const char *until) {
    bytes_t cursor = kafka_places_cursor(&places);
    uint8_t kept[1000];
    assert_true(cursor.size <= sizeof kept);
    memcpy(kept, cursor.data, cursor.size);
    kafka_places_fini(&places);
    given(topics, NULL, from, until);
    assert_int_equal(kafka_places_resume(&places, URN, (bytes_t){kept, cursor.size}, &why), 0);
}

static void each_partition_begins_where_it_is_told_to(void **state) {
    static const struct {
        const char *from;
        int64_t first, second;
    } cases[] = {
        {NULL, 10, 0},          {"earliest", 10, 0}, {"latest", 90, 5}, {"2026-11-22T14:00:00Z", 50, 4}, {"1700000000000", 50, 4},
        {"clicks/0:33", 33, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        given("clicks", NULL, cases[i].from, NULL);
        CLUSTER(at(0, 0, 10, 90, 50), at(0, 1, 0, 5, 4));
        assert_string_equal(why.text, "");
        assert_int_equal(next_of(0, 0), cases[i].first);
        assert_int_equal(next_of(0, 1), cases[i].second);
        kafka_places_fini(&places);
    }
}

static void a_time_is_asked_for_in_milliseconds_and_otherwise_none(void **state) {
    (void)state;
    given("clicks", NULL, "2026-11-22T14:00:00.0005Z", NULL);
    assert_int_equal(places.time_ms, INT64_C(1795356000001));
    kafka_places_fini(&places);
    given("clicks", NULL, "0:17", NULL);
    assert_int_equal(places.time_ms, -1);
}

static void what_cannot_be_read_is_refused_with_the_field_and_the_value(void **state) {
    (void)state;
    refused("", NULL, NULL, "`topics`");
    refused("a,,b", NULL, NULL, "`topics`");
    refused("a,b,a", NULL, NULL, "`topics`: a is there twice");
    refused("sp ace", NULL, NULL, "`sp ace` is no topic's name");
    refused("a", "", NULL, "`partitions`");
    refused("a", "1,x", NULL, "not `1,x`");
    refused("a", "5-3", NULL, "not `5-3`");
    refused("a", "100000", NULL, "not `100000`");
    refused("a", "99999999999999999999", NULL, "`partitions`");
    refused("a", NULL, "noon", "not `noon`");
    refused("a", NULL, "1:", "not `1:`");
    refused("a", NULL, "-1:5", "not `-1:5`");
    refused("a", NULL, "b/0:5", "not `b/0:5`");
    refused("a,b", NULL, "0:5", "not `0:5`"); /* of which topic? */
    refused("a", NULL, "0:99999999999999999999", "`from`");
    refused("a", NULL, "99999999999999999999", "`from`");
}

static void only_the_partitions_that_are_asked_for_are_read(void **state) {
    (void)state;
    given("clicks", "1,3-4", NULL, NULL);
    CLUSTER(at(0, 0, 0, 9, 0), at(0, 1, 0, 9, 0), at(0, 2, 0, 9, 0), at(0, 3, 0, 9, 0), at(0, 4, 0, 9, 0), at(0, 5, 0, 9, 0));
    assert_int_equal(next_of(0, 0), -2);
    assert_int_equal(next_of(0, 1), 0);
    assert_int_equal(next_of(0, 2), -2);
    assert_int_equal(next_of(0, 4), 0);
    assert_int_equal(next_of(0, 5), -2);
    assert_string_equal(why.text, "");
    kafka_places_fini(&places);
    given("clicks", "0,7", NULL, NULL);
    CLUSTER(at(0, 0, 0, 9, 0), at(0, 1, 0, 9, 0));
    assert_string_equal(why.text, "partition 7 of clicks, which has 2");
}

static void nothing_begins_before_it_is_known_where_everything_does(void **state) {
    (void)state;
    given("clicks", NULL, "latest", NULL);
    CLUSTER(at(0, 0, 0, 5, 0), wrong(0, 1, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE));
    assert_false(places.begun);
    assert_non_null(strstr(why.text, "partition 1 of clicks"));
    CLUSTER(at(0, 0, 0, 8, 0), at(0, 1, 0, 3, 0));
    assert_true(places.begun);
    assert_int_equal(next_of(0, 0), 5); /* what came since the first look is not lost */
    assert_int_equal(next_of(0, 1), 3);
}

static void from_the_earliest_on_one_partition_does_not_wait_for_another(void **state) {
    (void)state;
    given("clicks", NULL, NULL, NULL);
    CLUSTER(at(0, 0, 2, 5, 0), wrong(0, 1, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE));
    assert_true(places.begun);
    assert_int_equal(next_of(0, 0), 2);
    CLUSTER(at(0, 0, 4, 9, 0), at(0, 1, 1, 3, 0));
    assert_int_equal(next_of(0, 0), 2);
    assert_int_equal(next_of(0, 1), 1);
}

static void a_partition_that_a_cursor_lacks_is_new_and_is_read_from_its_beginning(void **state) {
    (void)state;
    given("clicks,views", NULL, "latest", NULL);
    CLUSTER(at(0, 0, 0, 50, 0), at(1, 0, 0, 60, 0));
    kafka_places_at(&places, 0, 0)->next = 55;
    restart("clicks,views", "latest", NULL);
    assert_int_equal(next_of(0, 0), 55);
    assert_int_equal(next_of(1, 0), 60);
    CLUSTER(at(0, 0, 0, 99, 0), at(0, 1, 7, 99, 0), at(1, 0, 0, 99, 0));
    assert_int_equal(next_of(0, 0), 55);
    assert_int_equal(next_of(0, 1), 7);
}

static void where_nothing_was_recorded_it_begins_where_it_began(void **state) {
    (void)state;
    given("clicks", NULL, "latest", NULL);
    CLUSTER(at(0, 0, 0, 50, 0));
    kafka_places_at(&places, 0, 0)->next = 70;
    assert_int_equal(kafka_places_resume(&places, URN, (bytes_t){0}, &why), 0);
    assert_int_equal(next_of(0, 0), 50);
}

static void the_end_is_what_it_was_at_first(void **state) {
    (void)state;
    given("clicks", NULL, NULL, "end");
    CLUSTER(at(0, 0, 0, 5, 0), at(0, 1, 3, 3, 0));
    assert_false(kafka_places_over(&places));
    assert_true(kafka_places_at(&places, 0, 1)->over); /* it is empty */
    kafka_places_at(&places, 0, 0)->next = 2;
    restart("clicks", NULL, "end");
    CLUSTER(at(0, 0, 0, 9, 0), at(0, 1, 3, 8, 0), at(0, 2, 0, 9, 0));
    assert_int_equal(kafka_places_at(&places, 0, 0)->end, 5);
    assert_true(kafka_places_at(&places, 0, 1)->over);
    assert_int_equal(next_of(0, 2), -2);
    assert_false(kafka_places_over(&places));
    kafka_places_at(&places, 0, 0)->over = true;
    assert_true(kafka_places_over(&places));
}

static void a_topic_that_is_not_there_is_waited_for_and_one_that_is_refused_is_not(void **state) {
    (void)state;
    given("clicks", NULL, NULL, NULL);
    assert_int_equal(CLUSTER(wrong(0, -1, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)), 0);
    assert_non_null(strstr(why.text, "topic clicks"));
    assert_false(places.begun);
    assert_int_equal(CLUSTER(wrong(0, -1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)), -1);
}

static void what_is_gone_is_named_with_its_offsets(void **state) {
    kafka_sight_t sight = at(0, 0, 100, 200, 0);
    (void)state;
    given("clicks", NULL, NULL, NULL);
    CLUSTER(at(0, 0, 0, 50, 0));
    kafka_partition_t *partition = kafka_places_at(&places, 0, 0);
    partition->next = 40;
    partition->lost = true;
    assert_true(kafka_places_mend(&places, &sight, &why));
    assert_string_equal(why.text, "kafka: partition 0 of clicks: offsets 40 to 99 are gone from the broker");
    assert_int_equal(partition->next, 100);
    assert_false(partition->lost);
}

static void a_topic_that_was_made_anew_is_read_from_its_beginning(void **state) {
    kafka_sight_t sight = at(0, 0, 0, 3, 0);
    (void)state;
    given("clicks", NULL, NULL, NULL);
    CLUSTER(at(0, 0, 0, 50, 0));
    kafka_partition_t *partition = kafka_places_at(&places, 0, 0);
    partition->next = 40;
    partition->lost = true;
    assert_true(kafka_places_mend(&places, &sight, &why));
    assert_non_null(strstr(why.text, "ends at offset 3, and was read up to 40 before"));
    assert_int_equal(partition->next, 0);
}

static void nothing_is_lost_where_the_offset_is_there_after_all(void **state) {
    kafka_sight_t sight = at(0, 0, 0, 40, 0);
    (void)state;
    given("clicks", NULL, NULL, NULL);
    CLUSTER(at(0, 0, 0, 50, 0));
    kafka_partition_t *partition = kafka_places_at(&places, 0, 0);
    partition->next = 40;
    partition->lost = true;
    assert_false(kafka_places_mend(&places, &sight, &why));
    assert_int_equal(partition->next, 40);
    assert_false(partition->lost);
}

static void an_end_that_is_gone_is_said_once_and_nothing_is_waited_for(void **state) {
    kafka_sight_t behind = at(0, 0, 0, 9, 0), shorter = at(0, 0, 0, 5, 0), unknown = wrong(0, 0, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
    (void)state;
    given("clicks", NULL, NULL, "end");
    CLUSTER(at(0, 0, 0, 9, 0));
    kafka_places_at(&places, 0, 0)->next = 5;
    assert_false(kafka_places_mend(&places, &behind, &why));
    assert_false(kafka_places_mend(&places, &unknown, &why));
    assert_false(kafka_places_over(&places));
    assert_true(kafka_places_mend(&places, &shorter, &why));
    assert_string_equal(why.text, "kafka: partition 0 of clicks ends at offset 5, and ended at 9 at first: it has lost messages");
    assert_true(kafka_places_over(&places));
    restart("clicks", NULL, "end");
    assert_true(kafka_places_over(&places));
    assert_false(kafka_places_mend(&places, &shorter, &why));
}

static void an_offset_that_is_not_there_yet_is_waited_for(void **state) {
    (void)state;
    given("clicks", NULL, "0:10", NULL);
    CLUSTER(at(0, 0, 0, 9, 0));
    assert_string_equal(why.text, "offset 10 of partition 0 of clicks, which ends at 9");
    assert_int_equal(next_of(0, 0), -2);
    CLUSTER(at(0, 0, 0, 10, 0));
    assert_string_equal(why.text, "");
    assert_int_equal(next_of(0, 0), 10);
}

static void what_is_missing_of_a_lost_partition_is_looked_for_again(void **state) {
    (void)state;
    given("clicks", NULL, NULL, NULL);
    CLUSTER(at(0, 0, 0, 9, 0), at(0, 1, 0, 9, 0));
    kafka_places_at(&places, 0, 1)->lost = true;
    CLUSTER(at(0, 0, 0, 9, 0), wrong(0, 1, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE));
    assert_non_null(strstr(why.text, "partition 1 of clicks: "));
    CLUSTER(at(0, 0, 0, 9, 0));
    assert_string_equal(why.text, "partition 1 of clicks, which has 1");
    CLUSTER(wrong(0, 0, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE), at(0, 1, 0, 9, 0));
    assert_string_equal(why.text, ""); /* librdkafka goes on with it by itself */
}

static void assert_foreign(bytes_t cursor) {
    given("clicks", NULL, NULL, NULL);
    assert_int_equal(kafka_places_resume(&places, URN, cursor, &why), -1);
    assert_string_equal(why.text, "the cursor of the recording is not one of `" URN "`");
    kafka_places_fini(&places);
}

static void a_cursor_of_something_else_is_refused(void **state) {
    (void)state;
    assert_foreign(pack("i", 5LL));
    assert_foreign(pack("{}"));
    assert_foreign(pack("[i]", 5LL));
    assert_foreign(pack("[[]]"));
    assert_foreign(pack("[[i]]", 5LL));
    assert_foreign(pack("[[s]]", "views"));
    assert_foreign(pack("[[si]]", "clicks", 0LL));
    assert_foreign(pack("[[siiii]]", "clicks", 0LL, 1LL, 2LL, 3LL));
    assert_foreign(pack("[[siii]]", "clicks", -1LL, 1LL, -1LL));
    assert_foreign(pack("[[siii]]", "clicks", 100000LL, 1LL, -1LL));
    assert_foreign(pack("[[siii]]", "clicks", 0LL, -1LL, -1LL));
    assert_foreign(pack("[[siii]]", "clicks", 0LL, 1LL, -2LL));
    assert_foreign(pack("[[sisi]]", "clicks", 0LL, "1", -1LL));
    assert_foreign((bytes_t){(const uint8_t *)"\xdd\xff\xff\xff\xff", 5});
    assert_foreign((bytes_t){(const uint8_t *)"\x91", 1});
    assert_foreign((bytes_t){(const uint8_t *)"\x90\x90", 2});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_partition_begins_where_it_is_told_to, setup, teardown),
        cmocka_unit_test_setup_teardown(a_time_is_asked_for_in_milliseconds_and_otherwise_none, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_refused_with_the_field_and_the_value, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_partitions_that_are_asked_for_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_begins_before_it_is_known_where_everything_does, setup, teardown),
        cmocka_unit_test_setup_teardown(from_the_earliest_on_one_partition_does_not_wait_for_another, setup, teardown),
        cmocka_unit_test_setup_teardown(a_partition_that_a_cursor_lacks_is_new_and_is_read_from_its_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(where_nothing_was_recorded_it_begins_where_it_began, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_is_what_it_was_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_topic_that_is_not_there_is_waited_for_and_one_that_is_refused_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_gone_is_named_with_its_offsets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_topic_that_was_made_anew_is_read_from_its_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_lost_where_the_offset_is_there_after_all, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_that_is_gone_is_said_once_and_nothing_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(an_offset_that_is_not_there_yet_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_of_a_lost_partition_is_looked_for_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cursor_of_something_else_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
