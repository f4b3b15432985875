/* The format `beam`: the file that Apache Beam's StreamingCache keeps of one tag. Each line is a message: a TestStreamFileHeader first, then
 * TestStreamFileRecords. A message stands in it as FastPrimitivesCoder writes bytes (a 3 and then the bytes), with all but letters, digits and
 * `_.-~/` percent-encoded, so that no end of line is within.
 *
 * All times are microseconds. Beam's clock starts at 0, so the first advance is to the time of day when the recording began. */
#include <beam/test_stream.pb-c.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/text.h"
#include "../messages/wire.h"
#include "beam/proto.h"
#include "transfer.h"

enum {
    BYTES_TYPE = 3,
    RECORD_ELEMENTS_MAX = 250000
}; /* a record of more is written as several, so that it can be read with bounded memory */

typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamFileHeader file_header_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamFileRecord file_record_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamFileRecord__Gap gap_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamPayload__Event beam_event_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamPayload__Event__AddElements add_elements_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamPayload__Event__AdvanceWatermark advance_watermark_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamPayload__Event__AdvanceProcessingTime advance_time_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__TestStreamPayload__TimestampedElement timed_element_t;

#define NAME(rest) org__apache__beam__model__pipeline__v1__##rest
#define CASE(rest) ORG__APACHE__BEAM__MODEL__PIPELINE__V1__TEST_STREAM_PAYLOAD__EVENT__EVENT_##rest

/* ---- lines ---- */

/* What Python's urllib.parse.quote leaves as it is. */
static bool is_plain(uint8_t byte) {
    return (byte < 0x80 && isalnum(byte)) || (byte != 0 && strchr("_.-~/", byte));
}

static void line_write(const ProtobufCMessage *message, msgpack_sbuffer *out) {
    static const char digits[] = "0123456789ABCDEF";
    size_t size = protobuf_c_message_get_packed_size(message), used = 0;
    uint8_t *packed = malloc(size + 1);
    char *line = malloc(3 * size + 4);
    must(packed && line);
    protobuf_c_message_pack(message, packed);
    memcpy(line, "%03", 3);
    used = 3;
    for (size_t i = 0; i < size; i++) {
        if (is_plain(packed[i])) {
            line[used++] = (char)packed[i];
            continue;
        }
        line[used++] = '%';
        line[used++] = digits[packed[i] >> 4];
        line[used++] = digits[packed[i] & 15];
    }
    line[used++] = '\n';
    must(msgpack_sbuffer_write(out, line, used) == 0);
    free(packed);
    free(line);
}

static int digit_of(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The message in a line, without its type; `ret_message` is to be freed. A percent sign that begins no code stands for itself, as in Python. */
static int line_read(bytes_t line, uint8_t **ret_message, size_t *ret_size, refusal_t *no) {
    uint8_t *message = malloc(line.size + 1);
    size_t size = 0;
    must(message);
    for (size_t i = 0; i < line.size; i++) {
        bool code = line.data[i] == '%' && line.size - i > 2 && digit_of(line.data[i + 1]) >= 0 && digit_of(line.data[i + 2]) >= 0;
        message[size++] = (uint8_t)(code ? digit_of(line.data[i + 1]) << 4 | digit_of(line.data[i + 2]) : line.data[i]);
        if (code) i += 2;
    }
    if (size == 0 || message[0] != BYTES_TYPE) {
        free(message);
        return refuse(no, ERROR_BAD_REQUEST, NULL, "this is not bytes as Beam's FastPrimitivesCoder writes them, percent-encoded");
    }
    memmove(message, message + 1, --size);
    *ret_message = message;
    *ret_size = size;
    return 0;
}

/* ---- writing ---- */

static void record_write(beam_event_t *event, msgpack_sbuffer *out) {
    file_record_t record;
    NAME(test_stream_file_record__init)(&record);
    record.recorded_event = event;
    line_write(&record.base, out);
}

static void advance_write(int64_t advance, msgpack_sbuffer *out) {
    advance_time_t time;
    beam_event_t event;
    NAME(test_stream_payload__event__advance_processing_time__init)(&time);
    NAME(test_stream_payload__event__init)(&event);
    time.advance_duration = advance;
    event.event_case = CASE(PROCESSING_TIME_EVENT);
    event.processing_time_event = &time;
    record_write(&event, out);
}

static void watermark_write(int64_t to, msgpack_sbuffer *out) {
    advance_watermark_t watermark;
    beam_event_t event;
    NAME(test_stream_payload__event__advance_watermark__init)(&watermark);
    NAME(test_stream_payload__event__init)(&event);
    watermark.new_watermark = to;
    event.event_case = CASE(WATERMARK_EVENT);
    event.watermark_event = &watermark;
    record_write(&event, out);
}

/* Writes `count` elements at the start of `rest`, and moves behind them. */
static void elements_write(bytes_t *rest, uint32_t count, msgpack_sbuffer *out) {
    timed_element_t *elements = calloc(count, sizeof *elements), **list = calloc(count, sizeof(timed_element_t *));
    ProtobufCBinaryData *attributes = calloc(count, sizeof *attributes);
    add_elements_t add;
    beam_event_t event;
    file_record_t record;
    bool any = false;
    NAME(test_stream_payload__event__add_elements__init)(&add);
    NAME(test_stream_payload__event__init)(&event);
    NAME(test_stream_file_record__init)(&record);
    must(elements && list && attributes);
    for (uint32_t i = 0; i < count; i++) {
        wire_element_t element = wire_element_at(*rest);
        NAME(test_stream_payload__timestamped_element__init)(&elements[i]);
        elements[i].encoded_element = (ProtobufCBinaryData){element.payload.size, (uint8_t *)(uintptr_t)element.payload.data};
        elements[i].timestamp = element.event_time;
        attributes[i] = (ProtobufCBinaryData){element.attributes.size, (uint8_t *)(uintptr_t)element.attributes.data};
        any = any || element.attributes.size > 0;
        list[i] = &elements[i];
        *rest = (bytes_t){rest->data + element.size, rest->size - element.size};
    }
    add.n_elements = count;
    add.elements = list;
    event.event_case = CASE(ELEMENT_EVENT);
    event.element_event = &add;
    record.recorded_event = &event;
    record.n_reprise_attributes = any ? count : 0;
    record.reprise_attributes = attributes;
    line_write(&record.base, out);
    free(elements);
    free(list);
    free(attributes);
}

static void gap_write(const transfer_event_t *event, msgpack_sbuffer *out) {
    file_record_t record;
    gap_t gap;
    NAME(test_stream_file_record__init)(&record);
    NAME(test_stream_file_record__gap__init)(&gap);
    gap.what = (char *)(uintptr_t)event->what;
    gap.lost_us = event->lost_us < 0 || event->lost_us == INT64_MAX ? 0 : event->lost_us + 1;
    gap.all = event->stream == RECORD_STREAM_ALL;
    record.reprise_gap = &gap;
    line_write(&record.base, out);
}

static void ended_write(msgpack_sbuffer *out) {
    file_record_t record;
    NAME(test_stream_file_record__init)(&record);
    record.reprise_ended = true;
    line_write(&record.base, out);
}

static void beam_write(const msg_export_header_t *header, const transfer_event_t *event, int64_t before, msgpack_sbuffer *out) {
    file_header_t first;
    NAME(test_stream_file_header__init)(&first);
    if (event->kind == TRANSFER_HEADER) {
        first.tag = (char *)(uintptr_t)header->streams.items[0].tags.items[0];
        line_write(&first.base, out);
        advance_write(header->start, out);
        return;
    }
    if (event->at > before) advance_write(event->at - before, out);
    bytes_t rest;
    switch (event->kind) {
    case TRANSFER_ELEMENTS:
        rest = wire_body_elements(event->body, event->count);
        for (uint32_t left = event->count, count; left > 0; left -= count) {
            count = left < RECORD_ELEMENTS_MAX ? left : RECORD_ELEMENTS_MAX;
            elements_write(&rest, count, out);
        }
        break;
    case TRANSFER_WATERMARK: watermark_write(event->to, out); break;
    case TRANSFER_GAP: gap_write(event, out); break;
    case TRANSFER_STREAM_ENDED: ended_write(out); break;
    default: watermark_write(WATERMARK_MAX, out); /* the end of time, as Beam says it; the advance before says when */
    }
}

/* ---- reading ---- */

static int tag_read(transfer_reader_t *reader, bytes_t line, refusal_t *no) {
    uint8_t *message;
    size_t size;
    if (line_read(line, &message, &size, no) < 0) return -1;
    int result = proto_walk(&NAME(test_stream_file_header__descriptor), (bytes_t){message, size}, NULL, NULL, no);
    file_header_t *header = result == 0 ? NAME(test_stream_file_header__unpack)(NULL, size, message) : NULL;
    free(message);
    if (result < 0) return -1;
    must(header);
    if (name_valid(header->tag, strlen(header->tag)))
        snprintf(reader->tag, sizeof reader->tag, "%s", header->tag);
    else
        result = refuse(no, ERROR_BAD_REQUEST, NULL,
                        "this is no TestStreamFileHeader with a tag of 1 to %d bytes without control characters", NAME_SIZE_MAX);
    NAME(test_stream_file_header__free_unpacked)(header, NULL);
    return result;
}

/* Where the clock starts is known with the first record. */
static int header_make(transfer_reader_t *reader, int64_t start, transfer_event_t *event, refusal_t *no) {
    const char *tags[] = {reader->tag};
    msg_export_stream_t stream = {.signature = "beam|", .urn = "beam", .tags = {1, tags}}; /* in place of the one that the import finds */
    msg_export_header_t header = {.reprise = TRANSFER_VERSION, .pipeline = "beam", .start = start, .streams = {1, &stream}};
    if (transfer_take_header(reader, &header, no) < 0) return -1;
    *event = (transfer_event_t){.kind = TRANSFER_HEADER, .header = reader->header, .at = start};
    return 1;
}

static int advance_read(transfer_reader_t *reader, int64_t advance, refusal_t *no) {
    if (advance < 0 || advance > INT64_MAX - reader->at)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "an advance of processing time by %" PRId64 " µs", advance);
    reader->at += advance;
    return 0;
}

/* A map of texts and bytes, as an element's third part. */
static bool attributes_valid(bytes_t attributes) {
    msgpack_sbuffer body;
    uint32_t count;
    refusal_t no;
    static const uint8_t before[] = {0x91, 0x93, 0x00, 0xc4, 0x00}; /* a list of one element of three parts, the first two empty */
    msgpack_sbuffer_init(&body);
    must(msgpack_sbuffer_write(&body, (const char *)before, sizeof before) == 0);
    must(msgpack_sbuffer_write(&body, (const char *)attributes.data, attributes.size) == 0);
    bool valid = wire_body_check((bytes_t){(const uint8_t *)body.data, body.size}, &count, &no) == 0;
    msgpack_sbuffer_destroy(&body);
    return valid;
}

static int elements_read(transfer_reader_t *reader, const file_record_t *record, transfer_event_t *event, refusal_t *no) {
    const add_elements_t *add = record->recorded_event->element_event;
    uint32_t count = (uint32_t)add->n_elements;
    const uint8_t head[RECORD_BODY_HEAD] = {0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    if (count == 0) return 0;
    if (record->n_reprise_attributes != 0 && record->n_reprise_attributes != count)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "%" PRIu32 " elements with attributes for %zu", count, record->n_reprise_attributes);
    msgpack_sbuffer_clear(&reader->body);
    must(msgpack_sbuffer_write(&reader->body, (const char *)head, sizeof head) == 0);
    for (uint32_t i = 0; i < count; i++) {
        const timed_element_t *element = add->elements[i];
        const ProtobufCBinaryData *more = record->n_reprise_attributes ? &record->reprise_attributes[i] : NULL;
        bytes_t payload = {element->encoded_element.data, element->encoded_element.len};
        bytes_t attributes = {more ? more->data : NULL, more ? more->len : 0};
        if (attributes.size > 0 && !attributes_valid(attributes))
            return refuse(no, ERROR_BAD_REQUEST, NULL, "element %" PRIu32 ": its attributes are no map of text to text or bytes", i);
        transfer_pack_element(&reader->body, true, element->timestamp, payload, attributes, true);
    }
    *event = (transfer_event_t){
        .kind = TRANSFER_ELEMENTS, .at = reader->at, .body = {(const uint8_t *)reader->body.data, reader->body.size}, .count = count};
    return 1;
}

/* Beam says a watermark again and again, begins with the least that there is, and ends with the greatest, as each replay does. */
static int watermark_read(transfer_reader_t *reader, int64_t to, transfer_event_t *event) {
    if (reader->marked && to <= reader->watermark) return 0;
    if (to <= -WATERMARK_MAX || to >= WATERMARK_MAX) return 0;
    reader->marked = true;
    reader->watermark = to;
    *event = (transfer_event_t){.kind = TRANSFER_WATERMARK, .at = reader->at, .to = to};
    return 1;
}

static int gap_read(transfer_reader_t *reader, const gap_t *gap, transfer_event_t *event) {
    snprintf(reader->text, sizeof reader->text, "%s", gap->what);
    text_mend(reader->text);
    *event = (transfer_event_t){.kind = TRANSFER_GAP,
                                .stream = gap->all ? RECORD_STREAM_ALL : 0,
                                .at = reader->at,
                                .what = reader->text,
                                .lost_us = gap->lost_us > 0 ? gap->lost_us - 1 : -1};
    return 1;
}

/* 1: an event; 0: the record says nothing that is kept; -1: refused. */
static int record_take(transfer_reader_t *reader, const file_record_t *record, transfer_event_t *event, refusal_t *no) {
    const beam_event_t *recorded = record->recorded_event;
    if (record->reprise_gap) return gap_read(reader, record->reprise_gap, event);
    if (record->reprise_ended) {
        *event = (transfer_event_t){.kind = TRANSFER_STREAM_ENDED, .at = reader->at};
        return 1;
    }
    if (!recorded) return 0;
    switch (recorded->event_case) {
    case CASE(PROCESSING_TIME_EVENT): return advance_read(reader, recorded->processing_time_event->advance_duration, no);
    case CASE(WATERMARK_EVENT): return watermark_read(reader, recorded->watermark_event->new_watermark, event);
    case CASE(ELEMENT_EVENT): return elements_read(reader, record, event, no);
    default: return 0;
    }
}

static int record_read_line(transfer_reader_t *reader, bytes_t line, bool *ret_used, transfer_event_t *event, refusal_t *no) {
    uint8_t *message;
    size_t size;
    if (line_read(line, &message, &size, no) < 0) return -1;
    int result = proto_walk(&NAME(test_stream_file_record__descriptor), (bytes_t){message, size}, NULL, NULL, no);
    file_record_t *record = result == 0 ? NAME(test_stream_file_record__unpack)(NULL, size, message) : NULL;
    free(message);
    if (result < 0) return -1;
    must(record);
    const beam_event_t *recorded = record->recorded_event;
    bool advances = recorded && recorded->event_case == CASE(PROCESSING_TIME_EVENT);
    *ret_used = reader->header || advances;
    if (reader->header)
        result = record_take(reader, record, event, no);
    else if (!advances || advance_read(reader, recorded->processing_time_event->advance_duration, no) == 0)
        result = header_make(reader, reader->at, event, no);
    else
        result = -1;
    NAME(test_stream_file_record__free_unpacked)(record, NULL);
    return result;
}

static int beam_read(transfer_reader_t *reader, bytes_t in, size_t *ret_used, transfer_event_t *ret_event, refusal_t *no) {
    bytes_t line;
    bool used = true;
    if (!transfer_line(reader, in, &line)) return 0;
    int result = reader->tag[0] ? record_read_line(reader, line, &used, ret_event, no) : tag_read(reader, line, no);
    if (result >= 0 && used) *ret_used = line.size + 1;
    return result;
}

const transfer_format_t transfer_beam = {.name = "beam", .lines = true, .one_tag = true, .write = beam_write, .read = beam_read};
