/* What is said with a JetStream, word by word; a server may say anything. */
#include "actors/sources/nats_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static void a_delivery_says_where_it_is_in_the_stream(void **state) {
    nats_place_t place;
    (void)state;
    assert_true(nats_place_read("$JS.ACK.ORDERS.A0LhsyIq.1.17.5.1795401786636255642.42", &place));
    assert_int_equal(place.sequence, 17);
    assert_int_equal(place.delivery, 5);
    assert_int_equal(place.time, 1795401786636255);
    assert_int_equal(place.pending, 42);
}

static void so_does_one_of_a_server_with_domains(void **state) {
    nats_place_t place;
    (void)state;
    assert_true(nats_place_read("$JS.ACK.hub.AB12CD.ORDERS.A0LhsyIq.1.17.5.1795401786636255642.42", &place));
    assert_int_equal(place.sequence, 17);
    assert_true(nats_place_read("$JS.ACK._.AB12CD.ORDERS.A0LhsyIq.1.18.6.1795401786636255642.41.Xy12", &place));
    assert_int_equal(place.sequence, 18);
    assert_int_equal(place.pending, 41);
}

static void what_is_no_delivery_is_seen(void **state) {
    static const char *const others[] = {"",
                                         "$JS.ACK",
                                         "$JS.ACK.",
                                         "orders.a",
                                         "$JS.FC.ORDERS.x.1",
                                         "$JS.ACK.ORDERS.c.1.17.5.1795401786636255642",
                                         "$JS.ACK.ORDERS.c.1.17.5.1795401786636255642.42.9",
                                         "$JS.ACK.ORDERS.c.1.x.5.1795401786636255642.42",
                                         "$JS.ACK.ORDERS.c.1..5.1795401786636255642.42",
                                         "$JS.ACK.ORDERS.c.1.-17.5.1795401786636255642.42",
                                         "$JS.ACK.ORDERS.c.1.17.5.1795401786636255642.42x",
                                         "$JS.ACK.ORDERS.c.1.99999999999999999999.5.1795401786636255642.42"};
    nats_place_t place = {.sequence = -7};
    (void)state;
    assert_false(nats_place_read(NULL, &place));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (nats_place_read(others[i], &place)) fail_msg("%s was taken", others[i]);
        assert_int_equal(place.sequence, -7);
    }
}

static void subjects_and_names_are_checked(void **state) {
    static const char *const good[] = {"orders", "orders.a", "orders.*", "*.a.>", ">", "$SYS.x", "ü.b"};
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "a b", "a.>.b", "a.b*", "a>", "a\tb", "a.\x7f"};
    static const char *const names[] = {"", "OR DERS", "a.b", "a*", "a>", "a/b", "a\\b", "a\n"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!nats_subject_valid(good[i])) fail_msg("`%s` was refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (nats_subject_valid(bad[i])) fail_msg("`%s` was taken", bad[i]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (nats_stream_valid(names[i])) fail_msg("`%s` was taken", names[i]);
    assert_true(nats_stream_valid("ORDERS-2_x"));
}

static void a_beginning_is_one_of_four_things(void **state) {
    nats_start_t start;
    fault_t why = {.text = ""};
    (void)state;
    assert_int_equal(nats_start_read(NULL, &start, &why), 0);
    assert_int_equal(start.from, NATS_FROM_ALL);
    assert_int_equal(nats_start_read("new", &start, &why), 0);
    assert_int_equal(start.from, NATS_FROM_NEW);
    assert_int_equal(nats_start_read("12", &start, &why), 0);
    assert_int_equal(start.from, NATS_FROM_SEQUENCE);
    assert_int_equal(start.sequence, 12);
    assert_int_equal(nats_start_read("2026-11-22T14:00:00+01:00", &start, &why), 0);
    assert_int_equal(start.from, NATS_FROM_TIME);
    assert_int_equal(start.time, INT64_C(1795352400000000));
    assert_int_equal(nats_start_read("1969-12-31T23:59:59.5Z", &start, &why), 0);
    assert_int_equal(start.time, 0);
    static const char *const bad[] = {"", "0", "-1", "1.5", "12x", "yesterday", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(nats_start_read(bad[i], &start, &why), -1);
        assert_non_null(strstr(why.text, "`from` must be"));
    }
}

static void a_request_is_json_whatever_the_subject(void **state) {
    nats_start_t start = {.from = NATS_FROM_SEQUENCE, .sequence = 101};
    char *text = nats_consumer_request("ORDERS", "or\"ders.>", &start);
    json_t *request = json_loads(text, 0, NULL), *config = json_object_get(request, "config");
    (void)state;
    assert_string_equal(json_string_value(json_object_get(request, "stream_name")), "ORDERS");
    assert_string_equal(json_string_value(json_object_get(config, "filter_subject")), "or\"ders.>");
    assert_string_equal(json_string_value(json_object_get(config, "deliver_policy")), "by_start_sequence");
    assert_int_equal(json_integer_value(json_object_get(config, "opt_start_seq")), 101);
    assert_string_equal(json_string_value(json_object_get(config, "ack_policy")), "none");
    assert_null(json_object_get(config, "opt_start_time"));
    assert_null(json_object_get(config, "durable_name"));
    json_decref(request);
    free(text);
}

static void a_time_is_written_as_the_server_reads_it(void **state) {
    nats_start_t start = {.from = NATS_FROM_TIME, .time = 1795401786006255};
    char *text = nats_consumer_request("ORDERS", NULL, &start);
    json_t *request = json_loads(text, 0, NULL);
    (void)state;
    assert_string_equal(json_string_value(json_object_get(json_object_get(request, "config"), "opt_start_time")),
                        "2026-11-23T02:43:06.006255Z");
    json_decref(request);
    free(text);
}

static nats_answer_t answer_of(const char *json);

static void a_stream_that_deletes_what_was_just_stored_is_known(void **state) {
    (void)state;
#define STREAM "{\"created\":\"2026-11-23T02:43:09Z\",\"state\":{\"first_seq\":1,\"last_seq\":2},\"config\":"
    assert_true(answer_of(STREAM "{\"max_msgs\":1,\"max_bytes\":-1,\"discard\":\"old\"}}").is_bounded);
    assert_true(answer_of(STREAM "{\"max_msgs\":-1,\"max_bytes\":1000}}").is_bounded);
    assert_false(answer_of(STREAM "{\"max_msgs\":-1,\"max_bytes\":-1,\"max_msgs_per_subject\":1}}").is_bounded);
    assert_false(answer_of(STREAM "{\"max_msgs\":1,\"max_bytes\":1,\"discard\":\"new\"}}").is_bounded);
    assert_int_equal(answer_of(STREAM "{\"max_age\":60000000000}}").age_us, 60000000);
#undef STREAM
}

static nats_answer_t answer_of(const char *json) {
    nats_answer_t answer;
    fault_t why = {.text = ""};
    if (nats_answer_read((bytes_t){(const uint8_t *)json, strlen(json)}, &answer, &why) < 0) fail_msg("%s", why.text);
    return answer;
}

static void answers_are_read(void **state) {
    (void)state;
    nats_answer_t consumer =
        answer_of("{\"type\":\"x\",\"stream_name\":\"S\",\"name\":\"A0L\",\"created\":\"2026-11-23T02:43:09.831519423Z\","
                  "\"config\":{},\"delivered\":{\"consumer_seq\":0,\"stream_seq\":99},\"num_pending\":7}");
    assert_int_equal(consumer.code, 0);
    assert_string_equal(consumer.consumer, "A0L");
    assert_int_equal(consumer.delivered, 99);
    assert_int_equal(consumer.pending, 7);
    nats_answer_t stream = answer_of("{\"config\":{\"name\":\"S\"},\"created\":\"2026-11-23T02:43:05.728604927Z\","
                                     "\"state\":{\"messages\":3,\"first_seq\":5,\"last_seq\":7}}");
    assert_int_equal(stream.first, 5);
    assert_int_equal(stream.last, 7);
    assert_int_equal(stream.made, 1795401785728604);
    nats_answer_t empty = answer_of("{\"created\":\"2026-11-23T02:43:05Z\",\"state\":{\"first_seq\":0,\"last_seq\":0}}");
    assert_int_equal(empty.first, 1);
    nats_answer_t message =
        answer_of("{\"message\":{\"subject\":\"a\",\"seq\":7,\"data\":\"eA==\",\"time\":\"2026-11-23T02:43:05.728604927Z\"}}");
    assert_int_equal(message.time, 1795401785728604);
    nats_answer_t refused = answer_of("{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}");
    assert_int_equal(refused.code, 404);
    assert_string_equal(refused.text, "stream not found");
    assert_int_equal(answer_of("{\"created\":\"2026-11-23T02:43:05Z\",\"error\":{\"code\":\"x\"}}").code, 500);
}

static void numbers_and_times_that_cannot_be_are_not_known(void **state) {
    (void)state;
    nats_answer_t last = answer_of("{\"created\":\"2026-11-23T02:43:05Z\",\"state\":{\"last_seq\":9223372036854775807}}");
    assert_int_equal(last.last, 0);
    assert_int_equal(last.first, 1);
    assert_int_equal(answer_of("{\"created\":\"1969-12-31T23:59:59Z\",\"message\":{\"time\":5}}").made, 0);
    assert_int_equal(answer_of("{\"error\":{\"code\":4294967296}}").code, 500);
    assert_int_equal(answer_of("{\"error\":{\"code\":2147483648}}").code, 500);
}

static void what_is_no_answer_is_refused(void **state) {
    static const char *const others[] = {
        "", "no json", "[]", "{}", "{\"name\":\"x\"}", "{\"created\":7.5e300}", "\"text\"", "{\"created\":\"2026-11-23T02:43:05Z\""};
    nats_answer_t answer;
    fault_t why;
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (nats_answer_read((bytes_t){(const uint8_t *)others[i], strlen(others[i])}, &answer, &why) == 0) fail_msg("%s", others[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery_says_where_it_is_in_the_stream),
        cmocka_unit_test(so_does_one_of_a_server_with_domains),
        cmocka_unit_test(what_is_no_delivery_is_seen),
        cmocka_unit_test(subjects_and_names_are_checked),
        cmocka_unit_test(a_beginning_is_one_of_four_things),
        cmocka_unit_test(a_request_is_json_whatever_the_subject),
        cmocka_unit_test(a_time_is_written_as_the_server_reads_it),
        cmocka_unit_test(a_stream_that_deletes_what_was_just_stored_is_known),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(numbers_and_times_that_cannot_be_are_not_known),
        cmocka_unit_test(what_is_no_answer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
