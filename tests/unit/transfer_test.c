/* The formats: what each writes, to the byte, and that it is read again however it comes. */
#include "actors/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "messages/wire.h"
#include "store.h"

static const char *two_tags[] = {"one", "uno"}, *one_tag[] = {"two"};
static msg_export_stream_t streams[] = {{.signature = "my:urn|00", .urn = "my:urn", .tags = {2, two_tags}},
                                        {.signature = "my:urn|", .urn = "my:urn", .tags = {1, one_tag}}};
static const msg_export_header_t header = {.reprise = 1, .pipeline = "clicks", .start = 1000, .streams = {2, streams}};
static const msg_export_header_t alone = {.reprise = 1, .pipeline = "clicks", .start = 1000, .streams = {1, streams}};

/* [7, "a"] with a time of nine bytes, and [8, "\xff", {"k": "v"}] in the shortest form. */
static const uint8_t wide_body[] = {0xdd, 0, 0, 0, 1, 0x92, 0xd3, 0, 0, 0, 0, 0, 0, 0, 7, 0xc4, 1, 'a'};
static const uint8_t short_body[] = {0xdd, 0, 0, 0, 1, 0x93, 8, 0xc4, 1, 0xff, 0x81, 0xa1, 'k', 0xa1, 'v'};
static const uint8_t mixed_body[] = {0xdd, 0, 0, 0, 2, 0x92, 7, 0xc4, 1, 'b', 0x92, 0xcc, 8, 0xc4, 1, 'c'};

enum { EVENTS = 8 };
static const transfer_event_t events[EVENTS] = {
    {.kind = TRANSFER_ELEMENTS, .at = 1000, .body = {wide_body, sizeof wide_body}, .count = 1},
    {.kind = TRANSFER_ELEMENTS, .stream = 1, .at = 1500, .body = {short_body, sizeof short_body}, .count = 1},
    {.kind = TRANSFER_ELEMENTS, .stream = 1, .at = 1500, .body = {mixed_body, sizeof mixed_body}, .count = 2},
    {.kind = TRANSFER_WATERMARK, .at = 1500, .to = -5},
    {.kind = TRANSFER_GAP, .stream = RECORD_STREAM_ALL, .at = 1600, .what = "\"hole\"\n", .lost_us = 0},
    {.kind = TRANSFER_GAP, .stream = 1, .at = 1600, .what = "more", .lost_us = -1},
    {.kind = TRANSFER_STREAM_ENDED, .at = 1700},
    {.kind = TRANSFER_END, .stream = RECORD_STREAM_ALL, .at = 1800, .elements = 4, .digest = "0123"},
};

static msgpack_sbuffer written(const transfer_format_t *format, const msg_export_header_t *head) {
    msgpack_sbuffer out;
    int64_t before = 0;
    transfer_event_t first = {.kind = TRANSFER_HEADER, .header = head, .at = head->start};
    msgpack_sbuffer_init(&out);
    format->write(head, &first, 0, &out);
    before = head->start;
    for (size_t i = 0; i < EVENTS; i++) {
        transfer_event_t event = events[i];
        if (head->streams.count == 1 && event.stream == 1) event.stream = 0;
        format->write(head, &event, before, &out);
        before = event.at;
    }
    return out;
}

static void text_is(const char *text, const char *expected) {
    if (!expected) expected = "";
    assert_string_equal(text ? text : "", expected);
}

static void event_is(const transfer_event_t *event, const transfer_event_t *expected) {
    assert_int_equal(event->kind, expected->kind);
    assert_int_equal(event->at, expected->at);
    assert_int_equal(event->stream, expected->stream);
    if (event->kind == TRANSFER_WATERMARK) assert_int_equal(event->to, expected->to);
    if (event->kind == TRANSFER_GAP) {
        text_is(event->what, expected->what);
        assert_int_equal(event->lost_us, expected->lost_us);
    }
    if (event->kind == TRANSFER_END) {
        assert_int_equal(event->elements, expected->elements);
        text_is(event->digest, expected->digest);
    }
    if (event->kind != TRANSFER_ELEMENTS) return;
    bytes_t is = wire_body_elements(event->body, event->count), was = wire_body_elements(expected->body, expected->count);
    assert_int_equal(event->count, expected->count);
    assert_int_equal(is.size, was.size);
    assert_memory_equal(is.data, was.data, is.size);
}

/* Reads it in pieces of that size. */
static void read_in_pieces(const transfer_format_t *format, bytes_t in, size_t piece) {
    transfer_reader_t *reader = transfer_reader_create(format);
    size_t from = 0, shown = 0, found = 0;
    while (from < in.size) {
        transfer_event_t event;
        refusal_t no;
        size_t used;
        int got = transfer_read(reader, (bytes_t){in.data + from, shown - from}, &used, &event, &no);
        if (got < 0) fail_msg("%s", no.message);
        if (got == 0 && used == 0) {
            assert_true(shown < in.size);
            shown = in.size - shown < piece ? in.size : shown + piece;
            continue;
        }
        if (got == 1 && event.kind == TRANSFER_HEADER) {
            assert_int_equal(event.header->start, 1000);
            assert_int_equal(event.header->streams.count, 2);
            assert_string_equal(event.header->streams.items[0].tags.items[1], "uno");
        } else if (got == 1) {
            assert_true(found < EVENTS);
            event_is(&event, &events[found++]);
        }
        transfer_pass(reader, used);
        from += used;
    }
    assert_int_equal(found, EVENTS);
    transfer_reader_destroy(&reader);
}

static void what_is_written_is_read_again_however_it_comes(void **state) {
    static const transfer_format_t *const formats[] = {&transfer_msgpack, &transfer_json};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        msgpack_sbuffer out = written(formats[i], &header);
        for (size_t piece = 1; piece < 200; piece += 7) read_in_pieces(formats[i], (bytes_t){(const uint8_t *)out.data, out.size}, piece);
        msgpack_sbuffer_destroy(&out);
    }
}

static void json_is_a_line_an_element_and_a_line_an_event(void **state) {
    (void)state;
    msgpack_sbuffer out = written(&transfer_json, &header);
    must(msgpack_sbuffer_write(&out, "", 1) == 0);
    assert_string_equal(out.data, "{\"reprise\":1,\"pipeline\":\"clicks\",\"start\":1000,\"streams\":[{\"signature\":\"my:urn|00\",\"urn\":"
                                  "\"my:urn\",\"tags\":[\"one\",\"uno\"]},"
                                  "{\"signature\":\"my:urn|\",\"urn\":\"my:urn\",\"tags\":[\"two\"]}]}\n"
                                  "{\"event\":\"elements\",\"tag\":\"one\",\"at\":1000,\"count\":1,\"wide\":true}\n"
                                  "{\"tag\":\"one\",\"time\":7,\"data\":\"a\"}\n"
                                  "{\"event\":\"elements\",\"tag\":\"two\",\"at\":1500,\"count\":1}\n"
                                  "{\"tag\":\"two\",\"time\":8,\"data\":{\"base64\":\"/w==\"},\"attributes\":{\"k\":\"v\"}}\n"
                                  "{\"event\":\"elements\",\"tag\":\"two\",\"at\":1500,\"count\":2}\n"
                                  "{\"tag\":\"two\",\"time\":7,\"data\":\"b\"}\n"
                                  "{\"tag\":\"two\",\"time\":8,\"data\":\"c\",\"exact\":{\"base64\":\"kswIxAFj\"}}\n"
                                  "{\"event\":\"watermark\",\"tag\":\"one\",\"at\":1500,\"to\":-5}\n"
                                  "{\"event\":\"gap\",\"at\":1600,\"what\":\"\\\"hole\\\"\\n\",\"lost_us\":0}\n"
                                  "{\"event\":\"gap\",\"tag\":\"two\",\"at\":1600,\"what\":\"more\"}\n"
                                  "{\"event\":\"stream_ended\",\"tag\":\"one\",\"at\":1700}\n"
                                  "{\"event\":\"end\",\"at\":1800,\"count\":4,\"digest\":\"0123\"}\n");
    msgpack_sbuffer_destroy(&out);
}

/* The header; an advance to the start in microseconds; then each event behind an advance from the one before; at last the end of time. */
static void beams_lines_are_what_its_coder_makes(void **state) {
    (void)state;
    msgpack_sbuffer out = written(&transfer_beam, &alone);
    must(msgpack_sbuffer_write(&out, "", 1) == 0);
    assert_string_equal(out.data, "%03%0A%03one\n"
                                  "%03%0A%05%12%03%08%E8%07\n"
                                  "%03%0A%09%1A%07%0A%05%0A%01a%10%07\n"
                                  "%03%0A%05%12%03%08%F4%03\n"
                                  "%03%0A%09%1A%07%0A%05%0A%01%FF%10%08%9A%B5%18%05%81%A1k%A1v\n"
                                  "%03%0A%10%1A%0E%0A%05%0A%01b%10%07%0A%05%0A%01c%10%08\n"
                                  "%03%0A%0D%0A%0B%08%FB%FF%FF%FF%FF%FF%FF%FF%FF%01\n"
                                  "%03%0A%04%12%02%08d\n"
                                  "%03%8A%B5%18%0D%0A%07%22hole%22%0A%10%01%18%01\n"
                                  "%03%8A%B5%18%06%0A%04more\n"
                                  "%03%0A%04%12%02%08d\n"
                                  "%03%90%B5%18%01\n"
                                  "%03%0A%04%12%02%08d\n"
                                  "%03%0A%0C%0A%0A%08%D8%F9%FF%FF%FF%FF%FF%FF%7F\n");
    msgpack_sbuffer_destroy(&out);
}

static refusal_t refused(const transfer_format_t *format, const char *first, const char *second) {
    char text[512];
    snprintf(text, sizeof text, "%s%s", first, second);
    transfer_reader_t *reader = transfer_reader_create(format);
    refusal_t no = {0};
    size_t from = 0, used, size = strlen(text);
    for (;;) {
        transfer_event_t event;
        int got = transfer_read(reader, (bytes_t){(const uint8_t *)text + from, size - from}, &used, &event, &no);
        if (got == 0 && used == 0) fail_msg("`%s` was taken", second);
        if (got < 0) break;
        transfer_pass(reader, used);
        from += used;
    }
    transfer_reader_destroy(&reader);
    return no;
}

#define HEAD "{\"reprise\":1,\"pipeline\":\"p\",\"start\":5,\"streams\":[{\"signature\":\"u|\",\"urn\":\"u\",\"tags\":[\"a\"]}]}\n"

static void what_is_wrong_in_a_line_is_told_with_its_number(void **state) {
    static const struct {
        const char *line, *problem;
    } wrong[] = {
        {"{\"event\":\"end\",\"at\":5}\n", "line 2: `count` is missing"},
        {"{\"event\":\"end\",\"at\":\"5\",\"count\":1}\n", "line 2: `at` must be a whole number"},
        {"{\"event\":\"elements\",\"tag\":\"a\",\"at\":5,\"count\":2}\n{\"event\":\"end\",\"at\":5,\"count\":0}\n",
         "line 3: `end` where 2 of 2 elements are still to come"},
        {"{\"tag\":\"a\",\"time\":1}\n", "line 2: `data` is missing"},
        {"{\"tag\":\"a\",\"time\":1,\"data\":{\"base64\":\"x\"}}\n", "line 2: `data`: `x` is not base64"},
        {"{\"tag\":\"a\",\"time\":1.5,\"data\":\"\"}\n", "line 2: `time` must be a whole number"},
        {"{\"tag\":\"b\",\"time\":1,\"data\":\"\"}\n", "line 2: there is no tag `b`"},
        {"{\"tag\":\"a\",\"time\":1,\"data\":\"\",\"exact\":{\"base64\":\"kgE=\"}}\n", "line 2: element 0"},
        {"{\"event\":\"gap\",\"at\":5,\"what\":\"\",\"lost_us\":-1}\n", "line 2: `lost_us` must be a whole number, 0 or more"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        refusal_t no = refused(&transfer_json, HEAD, wrong[i].line);
        assert_int_equal(no.code, ERROR_BAD_REQUEST);
        if (strncmp(no.message, wrong[i].problem, strlen(wrong[i].problem)) != 0) fail_msg("%s: %s", wrong[i].line, no.message);
    }
}

static void an_item_that_says_it_is_huge_is_refused_before_it_comes(void **state) {
    (void)state;
    refusal_t no = refused(&transfer_msgpack, "\xc6\x7f\xff\xff\xff", "");
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    assert_non_null(strstr(no.message, "byte 0: "));
}

static void a_line_with_too_many_values_is_refused_before_it_is_parsed(void **state) {
    (void)state;
    size_t size = 600000;
    char *line = malloc(size + 2);
    assert_non_null(line);
    for (size_t i = 0; i < size; i++) line[i] = i % 2 ? ',' : '1';
    line[0] = '[';
    line[size] = '\n';
    transfer_reader_t *reader = transfer_reader_create(&transfer_json);
    transfer_event_t event;
    refusal_t no;
    size_t used;
    assert_int_equal(transfer_read(reader, (bytes_t){(const uint8_t *)line, size + 1}, &used, &event, &no), -1);
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    transfer_reader_destroy(&reader);
    free(line);
}

static void formats_go_by_their_names(void **state) {
    refusal_t no;
    (void)state;
    assert_ptr_equal(transfer_find("op", "json", &no), &transfer_json);
    assert_ptr_equal(transfer_find("op", "beam", &no), &transfer_beam);
    assert_null(transfer_find("op", "csv", &no));
    assert_non_null(strstr(no.message, "`csv`"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again_however_it_comes),
        cmocka_unit_test(json_is_a_line_an_element_and_a_line_an_event),
        cmocka_unit_test(beams_lines_are_what_its_coder_makes),
        cmocka_unit_test(what_is_wrong_in_a_line_is_told_with_its_number),
        cmocka_unit_test(an_item_that_says_it_is_huge_is_refused_before_it_comes),
        cmocka_unit_test(a_line_with_too_many_values_is_refused_before_it_is_parsed),
        cmocka_unit_test(formats_go_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
