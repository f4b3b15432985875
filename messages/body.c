/* The elements of a batch. This is what recording costs for every element, so the form that clients send (a time of nine bytes, a short
 * payload) is decided in a few instructions, and anything else is looked at value by value. Nothing is decoded or copied: the bytes that
 * came are the bytes that are stored and replayed. */
#include <string.h>

#include "head.h"
#include "text.h"
#include "wire.h"

/* Reads the head at `at` and checks that all of its own bytes are there. */
static bool head_whole(const uint8_t *at, const uint8_t *end, head_t *head) {
    *head = head_read(at, (size_t)(end - at));
    return head->kind < HEAD_CUT && head_own(head) <= (size_t)(end - at);
}

static int element_refuse(refusal_t *no, uint32_t number, const char *part, const char *problem, const char *given) {
    char field[64];
    snprintf(field, sizeof field, "body[%u]%s", number, part);
    return refuse(no, ERROR_BAD_REQUEST, field, "element %u: %s%s", number, problem, given);
}

static int element_cut(refusal_t *no, uint32_t number) {
    return element_refuse(no, number, "", "the body is cut off within it", "");
}

static int attributes_check(const uint8_t **at, const uint8_t *end, uint32_t number, refusal_t *no) {
    head_t map, key, value;
    if (!head_whole(*at, end, &map)) {
        return element_cut(no, number);
    }
    if (map.kind != HEAD_MAP) {
        return element_refuse(no, number, "[2]", "the third part must be a map, not ", head_text(&map));
    }
    *at += map.size;
    for (uint32_t i = 0; i < map.length; i++) {
        if (!head_whole(*at, end, &key)) {
            return element_cut(no, number);
        }
        if (key.kind != HEAD_TEXT || !text_valid((const char *)*at + key.size, key.length)) {
            return element_refuse(no, number, "[2]", "the name of an attribute must be text, not ",
                                  key.kind == HEAD_TEXT ? "invalid UTF-8" : head_text(&key));
        }
        *at += head_own(&key);
        if (!head_whole(*at, end, &value)) {
            return element_cut(no, number);
        }
        bool broken = value.kind == HEAD_TEXT && !text_valid((const char *)*at + value.size, value.length);
        if (broken || (value.kind != HEAD_TEXT && value.kind != HEAD_BYTES)) {
            return element_refuse(no, number, "[2]", "the value of an attribute must be text or bytes, not ",
                                  broken ? "invalid UTF-8" : head_text(&value));
        }
        *at += head_own(&value);
    }
    return 0;
}

static int element_check(const uint8_t **at, const uint8_t *end, uint32_t number, refusal_t *no) {
    head_t list, time, payload;
    if (!head_whole(*at, end, &list)) {
        return element_cut(no, number);
    }
    if (list.kind != HEAD_LIST) {
        return element_refuse(no, number, "", "it must be a list, not ", head_text(&list));
    }
    if (list.length != 2 && list.length != 3) {
        return element_refuse(no, number, "", "it must be [event time, bytes] or [event time, bytes, attributes]", "");
    }
    *at += list.size;
    if (!head_whole(*at, end, &time)) {
        return element_cut(no, number);
    }
    if (time.kind != HEAD_WHOLE) {
        return element_refuse(no, number, "[0]", "the first part must be a whole number within int64, not ",
                              time.kind == HEAD_BIG    ? "one above it"
                              : time.kind == HEAD_REAL ? "a float"
                                                       : head_text(&time));
    }
    *at += time.size;
    if (!head_whole(*at, end, &payload)) {
        return element_cut(no, number);
    }
    if (payload.kind != HEAD_BYTES) {
        return element_refuse(no, number, "[1]", "the second part must be bytes, not ", head_text(&payload));
    }
    *at += head_own(&payload);
    return list.length == 3 ? attributes_check(at, end, number, no) : 0;
}

int wire_body_check(bytes_t body, uint32_t *ret_count, refusal_t *no) {
    const uint8_t *at = body.data, *end = body.data + body.size;
    head_t list = head_read(at, body.size);
    if (list.kind != HEAD_LIST) {
        return refuse(no, ERROR_BAD_REQUEST, "body", "the body must be a list of elements, not %s",
                      body.size == 0 ? "empty" : head_text(&list));
    }
    at += list.size;
    for (uint32_t i = 0; i < list.length; i++) {
        /* [a positive number of 8 bytes, up to 255 bytes] */
        if (end - at >= 12 && at[0] == 0x92 && (at[1] == 0xcf || at[1] == 0xd3) && at[2] < 0x80 && at[10] == 0xc4 &&
            end - at - 12 >= at[11]) {
            at += 12 + at[11];
        } else if (element_check(&at, end, i, no) < 0) {
            return -1;
        }
    }
    if (at != end) {
        return refuse(no, ERROR_BAD_REQUEST, "body", "the body has %zd bytes after its %u elements", (ssize_t)(end - at), list.length);
    }
    *ret_count = list.length;
    return 0;
}

bytes_t wire_body_elements(bytes_t body, uint32_t count) {
    const uint8_t *end = body.data + body.size;
    head_t list = head_read(body.data, body.size);
    bytes_t elements = {body.data + list.size, body.size - list.size};
    if (count < list.length) {
        const uint8_t *at = elements.data;
        for (uint32_t i = 0; i < count; i++) {
            at = head_skip(at, end);
        }
        elements.size = (size_t)(at - elements.data);
    }
    return elements;
}

wire_element_t wire_element_at(bytes_t in) {
    const uint8_t *at = in.data, *end = in.data + in.size;
    head_t list = head_read(at, in.size);
    at += list.size;
    head_t time = head_read(at, (size_t)(end - at));
    at += time.size;
    head_t payload = head_read(at, (size_t)(end - at));
    wire_element_t element = {.event_time = time.whole, .payload = {at + payload.size, payload.length}};
    at += head_own(&payload);
    if (list.length == 3) {
        const uint8_t *next = head_skip(at, end);
        element.attributes = (bytes_t){at, (size_t)(next - at)};
        at = next;
    }
    element.size = (size_t)(at - in.data);
    return element;
}
