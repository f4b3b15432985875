/* The messages of Beam's TestStreamService: what is written is what protobuf-c reads. */
#include "actors/beam/beam_event.h"

#include "actors/runtime/frame.h"
#include "messages/wire.h"
#include "tests/stage/stage.h"

#include <beam/test_stream.pb-c.h>

#define NAME(rest) org__apache__beam__model__pipeline__v1__##rest
#define CASE(rest) ORG__APACHE__BEAM__MODEL__PIPELINE__V1__TEST_STREAM_PAYLOAD__EVENT__EVENT_##rest
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamPayload__Event event_t;

/* Read and written again by protobuf-c, it must be the same bytes: nothing is left out, and nothing is there twice. */
static event_t *read_back(beam_message_t *message) {
    ProtobufCMessage *read = protobuf_c_message_unpack(&NAME(test_stream_payload__event__descriptor), NULL, message->size, message->data);
    event_t *event = (event_t *)(void *)read;
    assert_non_null(read);
    size_t size = protobuf_c_message_get_packed_size(read);
    uint8_t *again = malloc(size + 1);
    protobuf_c_message_pack(read, again);
    assert_int_equal(size, message->size);
    assert_memory_equal(again, message->data, size);
    free(again);
    free(message->memory);
    return event;
}

static void event_free(event_t *event) {
    protobuf_c_message_free_unpacked(&event->base, NULL);
}

static const int64_t times[] = {0, 1, -1, 127, 128, 16383, 16384, INT64_C(1) << 35, INT64_MAX, INT64_MIN, WATERMARK_MAX, -WATERMARK_MAX};
enum { TIMES = sizeof times / sizeof times[0] };

static void a_watermark_is_read_back(void **test) {
    (void)test;
    char longest[256];
    memset(longest, 't', 255);
    longest[255] = '\0';
    const char *tags[] = {"", "None", "clicks/Read", longest};
    for (size_t i = 0; i < TIMES; i++)
        for (size_t k = 0; k < 4; k++) {
            beam_message_t message;
            beam_watermark_write(times[i], tags[k], &message);
            event_t *event = read_back(&message);
            assert_int_equal(event->event_case, CASE(WATERMARK_EVENT));
            assert_true(event->watermark_event->new_watermark == times[i]);
            assert_string_equal(event->watermark_event->tag, tags[k]);
            event_free(event);
        }
}

static void milliseconds_are_rounded_down_and_within_beams_time(void **test) {
    (void)test;
    static const struct {
        int64_t us, ms;
    } same[] = {{0, 0},
                {999, 0},
                {1000, 1},
                {-1, -1},
                {-1000, -1},
                {-1001, -2},
                {INT64_MAX, INT64_C(9223372036854775)},
                {INT64_MIN, INT64_C(-9223372036854775)}};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) assert_true(beam_milliseconds(same[i].us) == same[i].ms);
}

static void an_advance_is_read_back_also_that_by_nothing(void **test) {
    (void)test;
    for (size_t i = 0; i < TIMES; i++) {
        beam_message_t message;
        beam_advance_write(times[i], &message);
        event_t *event = read_back(&message);
        assert_int_equal(event->event_case, CASE(PROCESSING_TIME_EVENT));
        assert_true(event->processing_time_event->advance_duration == times[i]);
        event_free(event);
    }
}

/* `count` elements of growing sizes, the event times in turn, every third with attributes. */
static msgpack_sbuffer elements_of(size_t count, size_t step) {
    msgpack_sbuffer out;
    msgpack_packer packer;
    char *payload = calloc(1, count * step + 1);
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    for (size_t i = 0; i < count; i++) {
        bool attributed = i % 3 == 2;
        memset(payload, (int)('a' + i % 26), i * step);
        msgpack_pack_array(&packer, attributed ? 3 : 2);
        msgpack_pack_int64(&packer, times[i % TIMES]);
        msgpack_pack_bin(&packer, i * step);
        msgpack_pack_bin_body(&packer, payload, i * step);
        if (!attributed) continue;
        msgpack_pack_map(&packer, 1);
        msgpack_pack_str_with_body(&packer, "k", 1);
        msgpack_pack_str_with_body(&packer, "v", 1);
    }
    free(payload);
    return out;
}

/* All of them, in as many events as it takes; gives their number. */
static size_t written_and_read(size_t count, size_t step, size_t size_max) {
    msgpack_sbuffer body = elements_of(count, step);
    bytes_t rest = {(const uint8_t *)body.data, body.size};
    size_t at = 0, events = 0;
    for (; at < count; events++) {
        beam_message_t message;
        size_t taken = beam_elements_write(&rest, count - at, "tag", BEAM_MICROSECONDS, size_max, &message);
        assert_true(taken > 0);
        if (taken > 1) assert_true(message.size <= size_max);
        event_t *event = read_back(&message);
        assert_int_equal(event->event_case, CASE(ELEMENT_EVENT));
        assert_string_equal(event->element_event->tag, "tag");
        assert_int_equal(event->element_event->n_elements, taken);
        for (size_t i = 0; i < taken; i++, at++) {
            assert_true(event->element_event->elements[i]->timestamp == times[at % TIMES]);
            ProtobufCBinaryData payload = event->element_event->elements[i]->encoded_element;
            assert_int_equal(payload.len, at * step);
            for (size_t k = 0; k < payload.len; k++) assert_int_equal(payload.data[k], 'a' + at % 26);
        }
        event_free(event);
    }
    assert_int_equal(rest.size, 0);
    msgpack_sbuffer_destroy(&body);
    return events;
}

static void elements_are_read_back_without_their_attributes(void **test) {
    (void)test;
    assert_int_equal(written_and_read(1, 0, BEAM_MESSAGE_MAX), 1);
    assert_int_equal(written_and_read(40, 7, BEAM_MESSAGE_MAX), 1);
    assert_int_equal(written_and_read(300, 80, BEAM_MESSAGE_MAX), 1);
}

static void what_is_too_large_is_split_at_an_element_and_one_alone_is_not(void **test) {
    (void)test;
    for (size_t size_max = 1; size_max < 4000; size_max += 37) {
        size_t events = written_and_read(60, 11, size_max);
        if (size_max < 40) assert_int_equal(events, 60);
        if (size_max > 400) assert_true(events > 1 && events < 60);
    }
    assert_true(written_and_read(100, 1000, 1000000) > 5);
}

/* ---- requests ---- */

static int read_request(const char *bytes, size_t size, msgpack_zone *zone, names_t *ids, refusal_t *no) {
    return beam_request_read((bytes_t){(const uint8_t *)bytes, size}, zone, ids, no);
}

static void the_ids_of_a_request_are_read_in_their_order(void **test) {
    (void)test;
    msgpack_zone *zone = msgpack_zone_new(1024);
    names_t ids;
    refusal_t no;
    assert_int_equal(read_request("", 0, zone, &ids, &no), 0);
    assert_int_equal(ids.count, 0);
    assert_int_equal(read_request("\x0a\x01z\x0a\x00\x0a\x03"
                                  "a/b",
                                  10, zone, &ids, &no),
                     0);
    assert_int_equal(ids.count, 3);
    assert_string_equal(ids.items[0], "z");
    assert_string_equal(ids.items[1], "");
    assert_string_equal(ids.items[2], "a/b");
    msgpack_zone_free(zone);
}

static void a_request_that_is_none_or_has_too_much_is_refused(void **test) {
    (void)test;
    msgpack_zone *zone = msgpack_zone_new(1024);
    names_t ids = {99, NULL};
    refusal_t no;
    assert_int_equal(read_request("\x0a\x05z", 3, zone, &ids, &no), -1);
    assert_int_equal(no.code, ERROR_BAD_REQUEST);
    assert_int_equal(read_request("\x0a\x01\xff", 3, zone, &ids, &no), -1);
    size_t size = 2 * (BEAM_OUTPUTS_MAX + 1);
    char *many = malloc(size);
    for (size_t i = 0; i < size; i++) many[i] = i % 2 ? '\0' : '\x0a';
    assert_int_equal(read_request(many, size, zone, &ids, &no), -1);
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    assert_non_null(strstr(no.message, "10001 ids"));
    assert_int_equal(read_request(many, size - 2, zone, &ids, &no), 0);
    assert_int_equal(ids.count, BEAM_OUTPUTS_MAX);
    free(many);
    msgpack_zone_free(zone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watermark_is_read_back),
        cmocka_unit_test(milliseconds_are_rounded_down_and_within_beams_time),
        cmocka_unit_test(an_advance_is_read_back_also_that_by_nothing),
        cmocka_unit_test(elements_are_read_back_without_their_attributes),
        cmocka_unit_test(what_is_too_large_is_split_at_an_element_and_one_alone_is_not),
        cmocka_unit_test(the_ids_of_a_request_are_read_in_their_order),
        cmocka_unit_test(a_request_that_is_none_or_has_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
