/* Most messages have one part, which goes into the batch from where libzmq has it. Everything else here is for the others. */
#include "parts.h"

#include <endian.h>
#include <string.h>

#include "../../messages/text.h"
#include "event_time.h"
#include "feed.h"
#include "payload.h"

enum { KEPT = 64 * 1024 /* bytes of a frame that may lie about until the next one comes */ };

void parts_init(parts_t *parts) {
    *parts = (parts_t){0};
    for (size_t i = 0; i < PARTS_MAX; i++) zmq_msg_init(&parts->frames[i]);
    msgpack_sbuffer_init(&parts->joined);
    msgpack_sbuffer_init(&parts->attributes);
}

void parts_fini(parts_t *parts) {
    for (size_t i = 0; i < PARTS_MAX; i++) zmq_msg_close(&parts->frames[i]);
    msgpack_sbuffer_destroy(&parts->joined);
    msgpack_sbuffer_destroy(&parts->attributes);
}

static bytes_t bytes_of(zmq_msg_t *frame) {
    return (bytes_t){zmq_msg_data(frame), zmq_msg_size(frame)};
}

/* ---- messages ---- */

static void frames_clear(parts_t *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (zmq_msg_size(&parts->frames[i]) <= KEPT) continue;
        zmq_msg_close(&parts->frames[i]);
        zmq_msg_init(&parts->frames[i]);
    }
}

void parts_clear(parts_t *parts) {
    if (parts->bytes > KEPT) frames_clear(parts, parts->count);
    parts->count = 0;
}

bool parts_receive(parts_t *parts, intake_t *intake) {
    parts->count = 0;
    parts->bytes = 0;
    parts->whole = true;
    for (bool more = true; more;) {
        size_t at = parts->count < PARTS_MAX ? parts->count : PARTS_MAX - 1;
        zmq_msg_t *frame = &parts->frames[at];
        if (!intake_receive(intake, frame, parts->count == 0)) return false;
        parts->bytes += zmq_msg_size(frame);
        more = zmq_msg_more(frame);
        if (parts->count == PARTS_MAX || parts->bytes > FEED_ELEMENT_MAX) parts->whole = false;
        if (!parts->whole) frames_clear(parts, at + 1);
        if (parts->count < PARTS_MAX) parts->count++;
    }
    return true;
}

/* ---- elements ---- */

static void list_pack(msgpack_sbuffer *out, zmq_msg_t *frames, size_t count) {
    msgpack_packer packer;
    msgpack_sbuffer_clear(out);
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++) msgpack_pack_bin_with_body(&packer, zmq_msg_data(&frames[i]), zmq_msg_size(&frames[i]));
}

static void join(parts_t *parts) {
    msgpack_sbuffer_clear(&parts->joined);
    for (size_t i = 0; i < parts->count; i++) {
        bytes_t bytes = bytes_of(&parts->frames[i]);
        if (bytes.size > 0) msgpack_sbuffer_write(&parts->joined, (const char *)bytes.data, bytes.size);
    }
}

size_t parts_elements(const parts_t *parts) {
    return parts->shape == PARTS_EACH ? parts->count : 1;
}

bytes_t parts_element(parts_t *parts, size_t i) {
    if (parts->shape == PARTS_EACH) return bytes_of(&parts->frames[i]);
    if (parts->shape == PARTS_LAST || (parts->shape == PARTS_JOIN && parts->count == 1)) return bytes_of(&parts->frames[parts->count - 1]);
    if (parts->shape == PARTS_LIST)
        list_pack(&parts->joined, parts->frames, parts->count);
    else
        join(parts);
    return (bytes_t){(const uint8_t *)parts->joined.data, parts->joined.size};
}

/* Text where it is some: then it is text in every language. */
static void attribute_pack(msgpack_packer *packer, const char *name, bytes_t value, bool binary) {
    msgpack_pack_str_with_body(packer, name, strlen(name));
    if (!binary && text_valid((const char *)value.data, value.size))
        msgpack_pack_str_with_body(packer, value.data, value.size);
    else
        msgpack_pack_bin_with_body(packer, value.data, value.size);
}

bytes_t parts_attributes(parts_t *parts, bytes_t key) {
    msgpack_packer packer;
    size_t before = parts->shape == PARTS_LAST ? parts->count - 1 : 0;
    size_t entries = (key.data ? 1U : 0U) + (before > 0 ? 1U : 0U) + (before > 1 ? 1U : 0U);
    if (entries == 0) return (bytes_t){0};
    msgpack_sbuffer_clear(&parts->attributes);
    msgpack_packer_init(&packer, &parts->attributes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, entries);
    if (key.data) attribute_pack(&packer, "key", key, false);
    if (before > 0) attribute_pack(&packer, "topic", bytes_of(&parts->frames[0]), false);
    if (before > 1) {
        list_pack(&parts->joined, parts->frames + 1, before - 1);
        attribute_pack(&packer, "parts", (bytes_t){(const uint8_t *)parts->joined.data, parts->joined.size}, true);
    }
    return (bytes_t){(const uint8_t *)parts->attributes.data, parts->attributes.size};
}

/* ---- numbers ---- */

int parts_sequence_take(parts_sequence_t *sequence, const char *urn, const char *text, fault_t *why) {
    size_t digits = strspn(text, "0123456789");
    sequence->given = true;
    if (text[0] == '/' && event_time_pointer_valid(text)) {
        sequence->pointer = text;
        return 0;
    }
    if (digits == 0 || digits > 2 || text[digits] != '\0' || strtoul(text, NULL, 10) >= PARTS_MAX)
        return fault_set(why, "`%s`: `sequence` must be a JSON pointer such as `/seq` or the number of a part from 0 to %d, not `%.64s`",
                         urn, PARTS_MAX - 1, text);
    sequence->part = (unsigned)strtoul(text, NULL, 10);
    return 0;
}

static int json_number(bytes_t value, const char *pointer, int64_t *ret_number, fault_t *why) {
    json_error_t error;
    json_t *json = json_loadb((const char *)value.data, value.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    const json_t *number = json ? event_time_find(json, pointer) : NULL;
    bool found = json_is_integer(number) && json_integer_value(number) >= 0;
    if (found) *ret_number = json_integer_value(number);
    if (json) json_decref(json);
    return found ? 0 : fault_set(why, "at `%s` stands no number of a message", pointer);
}

int parts_number(parts_t *parts, const parts_sequence_t *sequence, int64_t *ret_number, fault_t *why) {
    uint64_t number;
    if (sequence->pointer) return json_number(parts_element(parts, 0), sequence->pointer, ret_number, why);
    if (sequence->part >= parts->count) return fault_set(why, "it has no part %u, where its number is to be", sequence->part);
    bytes_t part = bytes_of(&parts->frames[sequence->part]);
    if (part.size != sizeof number) return fault_set(why, "its part %u has %zu bytes, and a number has 8", sequence->part, part.size);
    memcpy(&number, part.data, sizeof number);
    number = be64toh(number);
    if (number > INT64_MAX) return fault_set(why, "its number is beyond 2^63: %llu", (unsigned long long)number);
    *ret_number = (int64_t)number;
    return 0;
}
