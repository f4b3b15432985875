/* The lengths of nested messages stand before them, and are known only behind them: the elements are written first, with room left before them
 * for the two headers, which are then put in from their end. */
#include "beam_event.h"

#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"
#include "../../messages/wire.h"
#include "proto.h"

#include <beam/test_stream.pb-c.h>

#define NAME(rest) org__apache__beam__model__pipeline__v1__##rest
typedef Org__Apache__Beam__Model__Pipeline__V1__EventsRequest request_t;

enum {
    VARINT_MAX = 10,
    LENGTH_MAX = 5,                                      /* bytes of a length */
    HEAD_MAX = 2 * (1 + LENGTH_MAX),                     /* of the event, and of what is in it */
    ELEMENT_MAX = 2 * (1 + LENGTH_MAX) + 1 + VARINT_MAX, /* what an element has besides its payload */
    /* A field's number and whether it is a number or has a length, as one byte. */
    EVENT_WATERMARK = 1 << 3 | 2,
    EVENT_TIME = 2 << 3 | 2,
    EVENT_ELEMENTS = 3 << 3 | 2,
    WATERMARK_TO = 1 << 3,
    WATERMARK_TAG = 2 << 3 | 2,
    TIME_ADVANCE = 1 << 3,
    HEALTH_STATUS = 1 << 3,
    ELEMENTS_ELEMENT = 1 << 3 | 2,
    ELEMENTS_TAG = 3 << 3 | 2,
    ELEMENT_PAYLOAD = 1 << 3 | 2,
    ELEMENT_TIME = 2 << 3,
};

/* ---- reading ---- */

int beam_request_read(bytes_t request, msgpack_zone *zone, names_t *ret_ids, refusal_t *no) {
    if (proto_walk(&NAME(events_request__descriptor), request, NULL, "output_ids", no) < 0) return -1;
    request_t *unpacked = NAME(events_request__unpack)(NULL, request.size, request.data);
    must(unpacked);
    size_t count = unpacked->n_output_ids;
    int result = 0;
    if (count > BEAM_OUTPUTS_MAX) {
        result = refuse(no, ERROR_TOO_LARGE, "output_ids", "`output_ids` has %zu ids; %d is the most", count, BEAM_OUTPUTS_MAX);
    } else {
        const char **ids = msgpack_zone_malloc(zone, (count + 1) * sizeof *ids);
        must(ids);
        for (size_t i = 0; i < count; i++) {
            size_t size = strlen(unpacked->output_ids[i]) + 1;
            char *id = msgpack_zone_malloc(zone, size);
            must(id);
            memcpy(id, unpacked->output_ids[i], size);
            ids[i] = id;
        }
        *ret_ids = (names_t){count, ids};
    }
    NAME(events_request__free_unpacked)(unpacked, NULL);
    return result;
}

/* ---- writing ---- */

static size_t varint_size(uint64_t number) {
    size_t size = 1;
    while (number >= 0x80) number >>= 7, size++;
    return size;
}

static uint8_t *put_varint(uint8_t *at, uint64_t number) {
    for (; number >= 0x80; number >>= 7) *at++ = (uint8_t)(number | 0x80);
    *at++ = (uint8_t)number;
    return at;
}

/* A number that is 0 is not written. */
static uint8_t *put_number(uint8_t *at, uint8_t field, int64_t number) {
    if (number == 0) return at;
    *at++ = field;
    return put_varint(at, (uint64_t)number);
}

/* Nor is a text that is empty. */
static uint8_t *put_bytes(uint8_t *at, uint8_t field, const void *data, size_t size) {
    if (size == 0) return at;
    *at++ = field;
    at = put_varint(at, size);
    memcpy(at, data, size);
    return at + size;
}

/* Puts a field's head before the bytes from `*begin` to `end`. */
static void put_before(uint8_t **begin, const uint8_t *end, uint8_t field) {
    uint64_t size = (uint64_t)(end - *begin);
    *begin -= 1 + varint_size(size);
    **begin = field;
    put_varint(*begin + 1, size);
}

static uint8_t *begin_message(size_t size, beam_message_t *ret) {
    ret->memory = malloc(HEAD_MAX + size);
    must(ret->memory);
    ret->data = (uint8_t *)ret->memory + HEAD_MAX;
    return ret->data;
}

static void end_message(uint8_t *end, uint8_t kind, beam_message_t *ret) {
    put_before(&ret->data, end, kind);
    ret->size = (size_t)(end - ret->data);
}

void beam_watermark_write(int64_t to, const char *tag, beam_message_t *ret) {
    size_t size = strlen(tag);
    uint8_t *at = begin_message(1 + VARINT_MAX + 1 + LENGTH_MAX + size, ret);
    at = put_number(at, WATERMARK_TO, to);
    end_message(put_bytes(at, WATERMARK_TAG, tag, size), EVENT_WATERMARK, ret);
}

void beam_advance_write(int64_t advance_us, beam_message_t *ret) {
    uint8_t *at = begin_message(1 + VARINT_MAX, ret);
    end_message(put_number(at, TIME_ADVANCE, advance_us), EVENT_TIME, ret);
}

void beam_health_write(int status, beam_message_t *ret) {
    ret->size = (size_t)(put_number(begin_message(1 + VARINT_MAX, ret), HEALTH_STATUS, status) - ret->data);
}

/* Rounded down, so that what was not before a watermark is not before it now either. */
int64_t beam_milliseconds(int64_t us) {
    int64_t ms = us / 1000 - (us % 1000 < 0);
    return ms < -WATERMARK_MAX / 1000 ? -WATERMARK_MAX / 1000 : ms;
}

static uint8_t *put_element(uint8_t *at, const wire_element_t *element, beam_unit_t unit) {
    size_t payload = element->payload.size, size = payload ? 1 + varint_size(payload) + payload : 0;
    int64_t time = unit == BEAM_MILLISECONDS ? beam_milliseconds(element->event_time) : element->event_time;
    if (time) size += 1 + varint_size((uint64_t)time);
    *at++ = ELEMENTS_ELEMENT;
    at = put_varint(at, size);
    at = put_bytes(at, ELEMENT_PAYLOAD, element->payload.data, payload);
    return put_number(at, ELEMENT_TIME, time);
}

size_t beam_elements_write(bytes_t *rest, size_t count, const char *tag, beam_unit_t unit, size_t size_max, beam_message_t *ret) {
    size_t tag_size = strlen(tag), others = HEAD_MAX + 1 + LENGTH_MAX + tag_size, taken = 0;
    /* No payload has more bytes than its element has here, in msgpack. */
    size_t whole = rest->size + count * ELEMENT_MAX, first = count ? wire_element_at(*rest).payload.size + ELEMENT_MAX : 0;
    size_t room = whole + others <= size_max ? whole : size_max > others + first ? size_max - others : first;
    uint8_t *at = begin_message(room + 1 + LENGTH_MAX + tag_size, ret), *end = at + room;
    for (; taken < count; taken++) {
        wire_element_t element = wire_element_at(*rest);
        if (element.payload.size + ELEMENT_MAX > (size_t)(end - at)) break;
        at = put_element(at, &element, unit);
        *rest = (bytes_t){rest->data + element.size, rest->size - element.size};
    }
    end_message(put_bytes(at, ELEMENTS_TAG, tag, tag_size), EVENT_ELEMENTS, ret);
    return taken;
}
