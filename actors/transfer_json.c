/* The format `json`: a line an event, and a line an element, as `reprise replay --events` prints them, with what a recording has beyond that:
 * when each record was written, and how many elements it has. Bytes that are text stand as text, others as {"base64": …}.
 *
 * Nothing is lost: an element whose bytes are not msgpack's shortest form of what the line says has them in `exact`, too, which then count. */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/base64.h"
#include "../messages/head.h"
#include "../messages/text.h"
#include "../messages/wire.h"
#include "transfer.h"

enum { VALUES_MAX = 256 * 1024, WIDE_TIME = 0xd3 }; /* values in a line: what parsing it may allocate for */

/* ---- writing ---- */

__attribute__((format(printf, 2, 3))) static void put(msgpack_sbuffer *out, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    must(size >= 0 && (size_t)size < sizeof text);
    must(msgpack_sbuffer_write(out, text, (size_t)size) == 0);
}

static void put_bytes(msgpack_sbuffer *out, const void *bytes, size_t size) {
    if (size > 0) must(msgpack_sbuffer_write(out, bytes, size) == 0);
}

/* A JSON string; `text` is UTF-8. */
static void put_text(msgpack_sbuffer *out, bytes_t text) {
    size_t from = 0;
    put_bytes(out, "\"", 1);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f) continue;
        put_bytes(out, text.data + from, i - from);
        from = i + 1;
        if (byte == '"' || byte == '\\')
            put(out, "\\%c", byte);
        else if (byte == '\n')
            put(out, "\\n");
        else
            put(out, "\\u%04x", byte);
    }
    put_bytes(out, text.data + from, text.size - from);
    put_bytes(out, "\"", 1);
}

static void put_string(msgpack_sbuffer *out, const char *text) {
    put_text(out, (bytes_t){(const uint8_t *)text, strlen(text)});
}

static void put_base64(msgpack_sbuffer *out, bytes_t bytes) {
    char *text = base64_encode(bytes);
    put(out, "{\"base64\":\"");
    put_bytes(out, text, strlen(text));
    put(out, "\"}");
    free(text);
}

/* Text that is mostly to be escaped would be six times as long, and no easier to read. */
static bool data_is_text(bytes_t bytes) {
    size_t escaped = 0;
    for (size_t i = 0; i < bytes.size; i++) escaped += bytes.data[i] < 0x20 || bytes.data[i] == 0x7f;
    return escaped <= bytes.size / 8 + 8 && text_valid((const char *)bytes.data, bytes.size);
}

static void put_data(msgpack_sbuffer *out, bytes_t bytes) {
    if (data_is_text(bytes))
        put_text(out, bytes);
    else
        put_base64(out, bytes);
}

static bytes_t head_text_of(const uint8_t *at, const uint8_t *end, head_t *head) {
    *head = head_read(at, (size_t)(end - at));
    return (bytes_t){at + head->size, head->length};
}

/* Names that JSON cannot have: two that are the same. */
static bool attributes_fit(bytes_t attributes) {
    const uint8_t *end = attributes.data + attributes.size;
    head_t map = head_read(attributes.data, attributes.size), head;
    const uint8_t *at = attributes.data + map.size;
    for (uint32_t i = 0; i < map.length; i++) {
        bytes_t name = head_text_of(at, end, &head);
        const uint8_t *other = at = head_skip(head_skip(at, end), end);
        for (uint32_t k = i + 1; k < map.length; k++) {
            bytes_t second = head_text_of(other, end, &head);
            if (second.size == name.size && memcmp(second.data, name.data, name.size) == 0) return false;
            other = head_skip(head_skip(other, end), end);
        }
    }
    return true;
}

static void put_attributes(msgpack_sbuffer *out, bytes_t attributes) {
    const uint8_t *end = attributes.data + attributes.size;
    head_t map = head_read(attributes.data, attributes.size), head;
    const uint8_t *at = attributes.data + map.size;
    put(out, ",\"attributes\":{");
    for (uint32_t i = 0; i < map.length; i++) {
        bytes_t name = head_text_of(at, end, &head);
        at += head_own(&head);
        if (i > 0) put(out, ",");
        put_text(out, name);
        put(out, ":");
        bytes_t value = head_text_of(at, end, &head);
        if (head.kind == HEAD_TEXT)
            put_text(out, value);
        else
            put_base64(out, value);
        at += head_own(&head);
    }
    put(out, "}");
}

enum { ATTRIBUTES_COMPARED = 256 }; /* more than these are not searched for names that stand twice */

static void element_write(const char *tag, bool wide, bytes_t raw, msgpack_sbuffer *plain, msgpack_sbuffer *out) {
    wire_element_t element = wire_element_at(raw);
    bool has = element.attributes.size > 0;
    bool fits = !has || (head_read(element.attributes.data, element.attributes.size).length <= ATTRIBUTES_COMPARED &&
                         attributes_fit(element.attributes));
    msgpack_sbuffer_clear(plain);
    transfer_pack_element(plain, wide, element.event_time, element.payload, element.attributes, false);
    put(out, "{\"tag\":");
    put_string(out, tag);
    put(out, ",\"time\":%" PRId64 ",\"data\":", element.event_time);
    put_data(out, element.payload);
    if (has && fits) put_attributes(out, element.attributes);
    if (!fits || plain->size != element.size || memcmp(plain->data, raw.data, element.size) != 0) {
        put(out, ",\"exact\":");
        put_base64(out, (bytes_t){raw.data, element.size});
    }
    put(out, "}\n");
}

/* Are the times of the elements nine bytes where they need not be, as the engine's own sources write them? */
static bool elements_wide(bytes_t elements) {
    head_t list = head_read(elements.data, elements.size);
    return list.size < elements.size && elements.data[list.size] == WIDE_TIME;
}

static void elements_write(const char *tag, const transfer_event_t *event, msgpack_sbuffer *out) {
    bytes_t rest = wire_body_elements(event->body, event->count);
    bool wide = elements_wide(rest);
    msgpack_sbuffer plain;
    msgpack_sbuffer_init(&plain);
    put(out, ",\"count\":%" PRIu32 "%s}\n", event->count, wide ? ",\"wide\":true" : "");
    while (rest.size > 0) {
        size_t size = wire_element_at(rest).size;
        element_write(tag, wide, (bytes_t){rest.data, size}, &plain, out);
        rest = (bytes_t){rest.data + size, rest.size - size};
    }
    msgpack_sbuffer_destroy(&plain);
}

static void header_write(const msg_export_header_t *header, msgpack_sbuffer *out) {
    put(out, "{\"reprise\":%" PRId64 ",\"pipeline\":", header->reprise);
    put_string(out, header->pipeline);
    put(out, ",\"start\":%" PRId64 ",\"streams\":[", header->start);
    for (size_t i = 0; i < header->streams.count; i++) {
        const msg_export_stream_t *stream = &header->streams.items[i];
        put(out, "%s{\"signature\":", i > 0 ? "," : "");
        put_string(out, stream->signature);
        put(out, ",\"urn\":");
        put_string(out, stream->urn);
        put(out, ",\"tags\":[");
        for (size_t t = 0; t < stream->tags.count; t++) {
            if (t > 0) put(out, ",");
            put_string(out, stream->tags.items[t]);
        }
        put(out, "]}");
    }
    put(out, "]}\n");
}

static const char *const names[TRANSFER_KINDS] = {
    [TRANSFER_ELEMENTS] = "elements", [TRANSFER_WATERMARK] = "watermark", [TRANSFER_GAP] = "gap", [TRANSFER_STREAM_ENDED] = "stream_ended",
    [TRANSFER_END] = "end",
};

static void json_write(const msg_export_header_t *header, const transfer_event_t *event, int64_t before, msgpack_sbuffer *out) {
    (void)before;
    if (event->kind == TRANSFER_HEADER) {
        header_write(header, out);
        return;
    }
    const char *tag = NULL;
    put(out, "{\"event\":\"%s\"", names[event->kind]);
    if (event->kind != TRANSFER_END && event->stream != RECORD_STREAM_ALL) {
        tag = header->streams.items[event->stream].tags.items[0];
        put(out, ",\"tag\":");
        put_string(out, tag);
    }
    put(out, ",\"at\":%" PRId64, event->at);
    if (event->kind == TRANSFER_ELEMENTS) {
        elements_write(tag, event, out);
        return;
    }
    if (event->kind == TRANSFER_WATERMARK) put(out, ",\"to\":%" PRId64, event->to);
    if (event->kind == TRANSFER_GAP) {
        put(out, ",\"what\":");
        put_string(out, event->what);
        if (event->lost_us >= 0) put(out, ",\"lost_us\":%" PRId64, event->lost_us);
    }
    if (event->kind == TRANSFER_END) {
        put(out, ",\"count\":%" PRIu64, event->elements);
        if (event->digest) {
            put(out, ",\"digest\":");
            put_string(out, event->digest);
        }
    }
    put(out, "}\n");
}

/* ---- reading ---- */

/* A line with very many values would take very much memory as soon as it is parsed. */
static int line_check(bytes_t line, refusal_t *no) {
    size_t values = 0;
    bool text = false;
    for (size_t i = 0; i < line.size; i++) {
        uint8_t byte = line.data[i];
        if (text && byte == '\\')
            i++;
        else if (byte == '"')
            text = !text;
        else if (!text && (byte == ',' || byte == '[' || byte == '{'))
            values++;
    }
    if (values > VALUES_MAX) return refuse(no, ERROR_TOO_LARGE, NULL, "a line with more than %d values", VALUES_MAX);
    return 0;
}

/* Absent: `ret_has` is false, or that is refused where `ret_has` is NULL. */
static int whole_of(const json_t *object, const char *name, int64_t least, bool *ret_has, int64_t *ret_value, refusal_t *no) {
    const json_t *value = json_object_get(object, name);
    if (ret_has) *ret_has = value != NULL;
    if (!value && ret_has) return 0;
    if (!value) return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s` is missing", name);
    if (!json_is_integer(value) || json_integer_value(value) < least)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s` must be a whole number%s", name, least == 0 ? ", 0 or more" : "");
    *ret_value = json_integer_value(value);
    return 0;
}

/* Absent: NULL, or refused where it is `required`. */
static int text_of(const json_t *object, const char *name, bool required, const char **ret_text, refusal_t *no) {
    const json_t *value = json_object_get(object, name);
    *ret_text = NULL;
    if (!value && !required) return 0;
    if (!value) return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s` is missing", name);
    if (!json_is_string(value)) return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s` must be text", name);
    *ret_text = json_string_value(value);
    return 0;
}

/* Bytes that stand as text or as {"base64": …}; `ret_owned` is to be freed. `ret_text`: as which of the two. */
static int data_of(const json_t *value, const char *name, bytes_t *ret_data, uint8_t **ret_owned, bool *ret_text, refusal_t *no) {
    const json_t *base64 = json_object_get(value, "base64");
    fault_t why;
    *ret_owned = NULL;
    *ret_text = json_is_string(value);
    if (*ret_text) {
        *ret_data = (bytes_t){(const uint8_t *)json_string_value(value), json_string_length(value)};
        return 0;
    }
    if (!json_is_string(base64))
        return refuse(no, ERROR_BAD_REQUEST, NULL, value ? "`%s` must be text or {\"base64\": …}" : "`%s` is missing", name);
    *ret_owned = base64_decode(json_string_value(base64), &ret_data->size, &why);
    if (!*ret_owned) return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s`: %s", name, why.text);
    ret_data->data = *ret_owned;
    return 0;
}

static int stream_of(const transfer_reader_t *reader, const json_t *object, bool required, uint32_t *ret_stream, refusal_t *no) {
    const char *tag;
    if (text_of(object, "tag", required, &tag, no) < 0) return -1;
    *ret_stream = RECORD_STREAM_ALL;
    if (!tag) return 0;
    for (size_t i = 0; i < reader->header->streams.count; i++) {
        const names_t *tags = &reader->header->streams.items[i].tags;
        for (size_t t = 0; t < tags->count; t++)
            if (strcmp(tags->items[t], tag) == 0) {
                *ret_stream = (uint32_t)i;
                return 0;
            }
    }
    return refuse(no, ERROR_BAD_REQUEST, NULL, "there is no tag `%.100s`", tag);
}

/* ---- the header ---- */

/* The line as msgpack, so that the one codec checks it. */
static int header_pack(const json_t *object, msgpack_sbuffer *out, refusal_t *no) {
    const json_t *streams = json_object_get(object, "streams"), *stream, *tag;
    msg_export_header_t header = {0};
    size_t i, t;
    if (whole_of(object, "reprise", 1, NULL, &header.reprise, no) < 0 || text_of(object, "pipeline", true, &header.pipeline, no) < 0 ||
        whole_of(object, "start", INT64_MIN, NULL, &header.start, no) < 0)
        return -1;
    if (!json_is_array(streams)) return refuse(no, ERROR_BAD_REQUEST, NULL, "`streams` must be a list");
    header.streams.items = calloc(json_array_size(streams) + 1, sizeof *header.streams.items);
    must(header.streams.items);
    int result = 0;
    json_array_foreach(streams, i, stream) {
        msg_export_stream_t *item = &header.streams.items[header.streams.count++];
        const json_t *tags = json_object_get(stream, "tags");
        if ((result = text_of(stream, "signature", true, &item->signature, no)) < 0 ||
            (result = text_of(stream, "urn", true, &item->urn, no)) < 0)
            break;
        item->tags.items = calloc(json_array_size(tags) + 1, sizeof *item->tags.items);
        must(item->tags.items);
        json_array_foreach(tags, t, tag) item->tags.items[item->tags.count++] = json_is_string(tag) ? json_string_value(tag) : "";
    }
    if (result == 0) record_encode(RECORD_CLASS(export_header), &header, out);
    for (i = 0; i < header.streams.count; i++) free(header.streams.items[i].tags.items);
    free(header.streams.items);
    return result;
}

static int header_read(transfer_reader_t *reader, const json_t *object, transfer_event_t *event, refusal_t *no) {
    msg_export_header_t header;
    msgpack_sbuffer packed;
    msgpack_sbuffer_init(&packed);
    int result = header_pack(object, &packed, no);
    bytes_t item = {(const uint8_t *)packed.data, packed.size};
    msgpack_zone_clear(reader->zone);
    if (result == 0) result = wire_walk(item, no);
    if (result == 0) result = record_decode(RECORD_CLASS(export_header), "header", item, reader->zone, &header, no);
    if (result == 0) result = transfer_take_header(reader, &header, no);
    msgpack_sbuffer_destroy(&packed);
    if (result == 0) *event = (transfer_event_t){.kind = TRANSFER_HEADER, .header = reader->header, .at = reader->header->start};
    return result < 0 ? -1 : 1;
}

/* ---- elements ---- */

static void body_begin(transfer_reader_t *reader, uint32_t count) {
    const uint8_t head[RECORD_BODY_HEAD] = {0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    msgpack_sbuffer_clear(&reader->body);
    put_bytes(&reader->body, head, sizeof head);
    reader->left = reader->count = count;
}

static int attributes_pack(const json_t *attributes, msgpack_sbuffer *out, refusal_t *no) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    const char *name;
    json_t *value;
    if (!json_is_object(attributes)) return refuse(no, ERROR_BAD_REQUEST, NULL, "`attributes` must be an object");
    msgpack_pack_map(&packer, json_object_size(attributes));
    json_object_foreach((json_t *)(uintptr_t)attributes, name, value) {
        bytes_t data;
        uint8_t *owned;
        bool text;
        if (data_of(value, name, &data, &owned, &text, no) < 0) return -1;
        msgpack_pack_str_with_body(&packer, name, strlen(name));
        if (text)
            msgpack_pack_str_with_body(&packer, data.data, data.size);
        else
            msgpack_pack_bin_with_body(&packer, data.data, data.size);
        free(owned);
    }
    return 0;
}

static int element_pack(transfer_reader_t *reader, const json_t *object, refusal_t *no) {
    const json_t *exact = json_object_get(object, "exact"), *attributes = json_object_get(object, "attributes");
    bytes_t data;
    uint8_t *owned;
    bool text;
    int64_t time = 0;
    if (exact) {
        if (data_of(exact, "exact", &data, &owned, &text, no) < 0) return -1;
        put_bytes(&reader->body, data.data, data.size);
        free(owned);
        return 0;
    }
    msgpack_sbuffer packed;
    msgpack_sbuffer_init(&packed);
    int result = whole_of(object, "time", INT64_MIN, NULL, &time, no);
    if (result == 0 && attributes) result = attributes_pack(attributes, &packed, no);
    if (result == 0) result = data_of(json_object_get(object, "data"), "data", &data, &owned, &text, no);
    if (result == 0) {
        transfer_pack_element(&reader->body, reader->wide, time, data, (bytes_t){(const uint8_t *)packed.data, packed.size}, true);
        free(owned);
    }
    msgpack_sbuffer_destroy(&packed);
    return result;
}

static int element_read(transfer_reader_t *reader, const json_t *object, transfer_event_t *event, refusal_t *no) {
    uint32_t stream;
    bool has;
    if (stream_of(reader, object, true, &stream, no) < 0) return -1;
    if (reader->left == 0) { /* one by itself: written by hand */
        if (whole_of(object, "at", INT64_MIN, &has, &reader->at, no) < 0) return -1;
        reader->wide = false;
        reader->stream = stream;
        body_begin(reader, 1);
    }
    if (stream != reader->stream) return refuse(no, ERROR_BAD_REQUEST, NULL, "an element of another tag than the `elements` before it");
    if (element_pack(reader, object, no) < 0) return -1;
    if (reader->body.size > WIRE_MESSAGE_MAX + RECORD_BODY_HEAD)
        return refuse(no, ERROR_TOO_LARGE, NULL, "elements of one record that have more than %d bytes", WIRE_MESSAGE_MAX);
    if (--reader->left > 0) return 0;
    *event = (transfer_event_t){
        .kind = TRANSFER_ELEMENTS, .stream = stream, .at = reader->at, .body = {(const uint8_t *)reader->body.data, reader->body.size}};
    return wire_body_check(event->body, &event->count, no) < 0 ? -1 : 1;
}

/* ---- the other events ---- */

static int elements_begin(transfer_reader_t *reader, const json_t *object, const transfer_event_t *event, refusal_t *no) {
    int64_t count = 0;
    if (whole_of(object, "count", 0, NULL, &count, no) < 0) return -1;
    if (count == 0 || count > WIRE_MESSAGE_MAX)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "`count` must be 1 to %d, not %lld", WIRE_MESSAGE_MAX, (long long)count);
    reader->stream = event->stream;
    reader->wide = json_is_true(json_object_get(object, "wide"));
    body_begin(reader, (uint32_t)count);
    return 0;
}

static int event_fill(const json_t *object, transfer_event_t *event, refusal_t *no) {
    bool has;
    int64_t count = 0;
    switch (event->kind) {
    case TRANSFER_WATERMARK: return whole_of(object, "to", INT64_MIN, NULL, &event->to, no);
    case TRANSFER_GAP:
        event->lost_us = -1;
        if (whole_of(object, "lost_us", 0, &has, &event->lost_us, no) < 0) return -1;
        return text_of(object, "what", true, &event->what, no);
    case TRANSFER_END:
        if (whole_of(object, "count", 0, NULL, &count, no) < 0) return -1;
        event->elements = (uint64_t)count;
        return text_of(object, "digest", false, &event->digest, no);
    default: return 0;
    }
}

/* Its texts must outlive the line. */
static const char *text_keep(transfer_reader_t *reader, const char *text) {
    if (!text) return NULL;
    size_t size = strlen(text) + 1;
    char *copy = msgpack_zone_malloc(reader->zone, size);
    must(copy);
    return memcpy(copy, text, size);
}

static int event_read(transfer_reader_t *reader, const json_t *object, const char *name, transfer_event_t *event, refusal_t *no) {
    transfer_kind_t kind = TRANSFER_ELEMENTS;
    while (kind < TRANSFER_KINDS && strcmp(names[kind], name) != 0) kind++;
    if (kind == TRANSFER_KINDS) return refuse(no, ERROR_BAD_REQUEST, NULL, "there is no event `%.100s`", name);
    if (reader->left > 0)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s` where %" PRIu32 " of %" PRIu32 " elements are still to come", name, reader->left,
                      reader->count);
    transfer_event_t made = {.kind = kind};
    bool of_stream = kind != TRANSFER_GAP && kind != TRANSFER_END;
    if (stream_of(reader, object, of_stream, &made.stream, no) < 0 || whole_of(object, "at", INT64_MIN, NULL, &made.at, no) < 0 ||
        event_fill(object, &made, no) < 0)
        return -1;
    reader->at = made.at;
    if (kind == TRANSFER_ELEMENTS) return elements_begin(reader, object, &made, no);
    msgpack_zone_clear(reader->zone);
    made.what = text_keep(reader, made.what);
    made.digest = text_keep(reader, made.digest);
    *event = made;
    return 1;
}

static int object_read(transfer_reader_t *reader, const json_t *object, transfer_event_t *event, refusal_t *no) {
    const char *name;
    if (!reader->header) return header_read(reader, object, event, no);
    if (text_of(object, "event", false, &name, no) < 0) return -1;
    return name ? event_read(reader, object, name, event, no) : element_read(reader, object, event, no);
}

/* As editors leave them. */
static bool is_blank(bytes_t line) {
    size_t at = 0;
    while (at < line.size && (line.data[at] == ' ' || line.data[at] == '\t' || line.data[at] == '\r')) at++;
    return at == line.size;
}

static int json_read(transfer_reader_t *reader, bytes_t in, size_t *ret_used, transfer_event_t *ret_event, refusal_t *no) {
    bytes_t line;
    json_error_t error;
    if (!transfer_line(reader, in, &line)) return 0;
    if (is_blank(line)) {
        *ret_used = line.size + 1;
        return 0;
    }
    if (line_check(line, no) < 0) return -1;
    json_t *object = json_loadb((const char *)line.data, line.size, JSON_REJECT_DUPLICATES, &error);
    if (!object) return refuse(no, ERROR_BAD_REQUEST, NULL, "this is no JSON: %s, at byte %d", error.text, error.position);
    int result =
        json_is_object(object) ? object_read(reader, object, ret_event, no) : refuse(no, ERROR_BAD_REQUEST, NULL, "this is no JSON object");
    json_decref(object);
    if (result >= 0) *ret_used = line.size + 1;
    return result;
}

const transfer_format_t transfer_json = {.name = "json", .lines = true, .write = json_write, .read = json_read};
