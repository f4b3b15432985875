/* What people type and what stands in files, by the first byte: a source's URL, quantities, JSON, an event time in JSON, bytes to be printed.
 * What is taken is sayable, what is refused says why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/sources/event_time.h"
#include "bin/client/element.h"
#include "bin/client/units.h"
#include "bin/client/url.h"
#include "bin/client/value.h"
#include "messages/base64.h"
#include "messages/text.h"
#include "messages/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int result, const fault_t *why) {
    must(result == 0 || why->text[0]);
}

static bytes_t bytes_of(const msgpack_sbuffer *buffer) {
    return (bytes_t){(const uint8_t *)buffer->data, buffer->size};
}

static void url(const char *text) {
    url_source_t source;
    fault_t why = {""};
    refusal_t no;
    int result = url_parse(text, &source, &why);
    check(result, &why);
    if (result == 0) {
        must(source.scheme && wire_walk(bytes_of(&source.payload), &no) == 0);
        json_t *json = value_to_json(bytes_of(&source.payload));
        must(json);
        json_decref(json);
    }
    url_fini(&source);
}

static void units(const char *text) {
    int64_t number = -1;
    fault_t why = {""};
    msg_limits_t limits = {.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    msg_replay_from_t from = {0};
    int result = units_parse_duration(text, &number, &why);
    check(result, &why);
    must(result < 0 || number >= 0);
    check(result = units_parse_bytes(text, &number, &why), &why);
    must(result < 0 || (number >= 0 && units_bytes(number).text[0]));
    check(result = units_parse_count(text, &number, &why), &why);
    must(result < 0 || (number >= 0 && units_count(number).text[0] && units_things(number, "thing").text[0]));
    check(units_parse_limits(text, &limits, &why), &why);
    check(units_parse_from(text, &from, &why), &why);
    if (strlen(text) >= sizeof number) {
        memcpy(&number, text, sizeof number);
        must(units_duration(number).text[0] && units_time(number).text[0] && units_bytes(number).text[0] && units_count(number).text[0]);
    }
}

/* What JSON says is the same after it was msgpack. */
static void json(const uint8_t *data, size_t size) {
    json_t *given = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    msgpack_sbuffer once, twice;
    fault_t why = {""};
    refusal_t no;
    if (!given) return;
    msgpack_sbuffer_init(&once);
    msgpack_sbuffer_init(&twice);
    int result = value_from_json(given, &once, &why);
    check(result, &why);
    if (result == 0 && wire_walk(bytes_of(&once), &no) == 0) {
        json_t *again = value_to_json(bytes_of(&once));
        must(again && value_from_json(again, &twice, &why) == 0);
        must(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
        json_decref(again);
    }
    json_decref(given);
    msgpack_sbuffer_destroy(&once);
    msgpack_sbuffer_destroy(&twice);
}

/* `pointer` NUL `JSON`. */
static void event_time(const uint8_t *data, size_t size) {
    static const int64_t units_us[] = {1, 1000, 1000000};
    const uint8_t *end = memchr(data, 0, size);
    int64_t time;
    if (!end) return;
    json_t *given = json_loadb((const char *)end + 1, size - (size_t)(end + 1 - data), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!given) return;
    for (size_t i = 0; i < sizeof units_us / sizeof units_us[0]; i++) {
        fault_t why = {""};
        check(event_time_of(given, (const char *)data, units_us[i], &time, &why), &why);
    }
    json_decref(given);
}

/* Any bytes as an element, as a value, and there and back as base64. */
static void print(const uint8_t *data, size_t size) {
    static element_print_fn *const ways[] = {element_print_json, element_print_raw, element_print_hex};
    char *printed = NULL;
    size_t length;
    refusal_t no;
    bytes_t whole = {data, size};
    bool walked = wire_walk(whole, &no) == 0;
    uint32_t count;
    element_t element = {.tag = {(const uint8_t *)"tag", 3}, .event_time = (int64_t)size, .payload = whole};
    if (wire_body_check(whole, &count, &no) == 0 && count > 0) {
        wire_element_t first = wire_element_at(wire_body_elements(whole, count));
        element.event_time = first.event_time;
        element.payload = first.payload;
        element.attributes = first.attributes;
    }
    FILE *out = open_memstream(&printed, &length);
    must(out);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) ways[i](out, &element);
    fclose(out);
    free(printed);
    json_t *value = value_to_json(whole);
    must(value || !walked || wire_depth(whole) > 30); /* msgpack-c gives up on those */
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = strndup((const char *)data + 1, size - 1);
    must(text);
    switch (data[0] % 5) {
    case 0: url(text); break;
    case 1: units(text); break;
    case 2: json(data + 1, size - 1); break;
    case 3: event_time(data + 1, size - 1); break;
    default: print(data + 1, size - 1);
    }
    free(text);
    return 0;
}
