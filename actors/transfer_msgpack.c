/* The format `msgpack`: plain concatenated msgpack maps, an export_header first and then one export_event after another, so that any msgpack
 * library reads it with a streaming decoder. The elements of a record are in it as they were recorded. */
#include <string.h>

#include "../messages/head.h"
#include "../messages/wire.h"
#include "transfer.h"

static const char *const names[TRANSFER_KINDS] = {
    [TRANSFER_ELEMENTS] = "elements", [TRANSFER_WATERMARK] = "watermark", [TRANSFER_GAP] = "gap", [TRANSFER_STREAM_ENDED] = "stream_ended",
    [TRANSFER_END] = "end",
};

/* ---- writing ---- */

static void msgpack_write(const msg_export_header_t *header, const transfer_event_t *event, int64_t before, msgpack_sbuffer *out) {
    (void)before;
    if (event->kind == TRANSFER_HEADER) {
        record_encode(RECORD_CLASS(export_header), header, out);
        return;
    }
    bool gap = event->kind == TRANSFER_GAP, end = event->kind == TRANSFER_END;
    msg_export_event_t item = {
        .event = names[event->kind],
        .has_stream = !end && event->stream != RECORD_STREAM_ALL,
        .stream = event->stream,
        .at = event->at,
        .has_elements = event->kind == TRANSFER_ELEMENTS,
        .elements = event->body,
        .has_to = event->kind == TRANSFER_WATERMARK,
        .to = event->to,
        .has_what = gap,
        .what = event->what,
        .has_lost_us = gap && event->lost_us >= 0,
        .lost_us = event->lost_us,
        .has_count = end,
        .count = (int64_t)event->elements,
        .has_digest = end && event->digest != NULL,
        .digest = event->digest,
    };
    record_encode(RECORD_CLASS(export_event), &item, out);
}

/* ---- reading ---- */

/* The size of the value at the start of `in`, which may come in pieces: 0: it is not whole yet. What was looked at once is not looked at again
 * with the next piece. */
static int value_size(transfer_reader_t *reader, bytes_t in, size_t *ret_size, refusal_t *no) {
    if (reader->scanned == 0) reader->open = 1;
    while (reader->open > 0) {
        size_t left = in.size - reader->scanned;
        head_t head = head_read(in.data + reader->scanned, left);
        if (head.kind == HEAD_UNKNOWN)
            return refuse(no, ERROR_BAD_REQUEST, NULL, "this is no msgpack: a byte 0xc1 stands %zu bytes further on", reader->scanned);
        uint64_t own = head.kind == HEAD_CUT ? 0 : head_own(&head);
        if (own > TRANSFER_ITEM_MAX || head_inner(&head) > TRANSFER_ITEM_MAX)
            return refuse(no, ERROR_TOO_LARGE, NULL, "%s that is larger than %d bytes", head_text(&head), TRANSFER_ITEM_MAX);
        if (head.kind == HEAD_CUT || own > left) {
            *ret_size = 0;
            return 0;
        }
        reader->scanned += own;
        reader->open += head_inner(&head) - 1;
    }
    *ret_size = reader->scanned;
    reader->scanned = 0;
    return 0;
}

static int header_read(transfer_reader_t *reader, bytes_t item, transfer_event_t *event, refusal_t *no) {
    msg_export_header_t header;
    if (wire_walk(item, no) < 0 || record_decode(RECORD_CLASS(export_header), "header", item, reader->zone, &header, no) < 0 ||
        transfer_take_header(reader, &header, no) < 0)
        return -1;
    *event = (transfer_event_t){.kind = TRANSFER_HEADER, .header = reader->header, .at = header.start};
    return 0;
}

/* Of the fields that an event must have, the first that is not there; NULL: all are. */
static const char *field_missing(transfer_kind_t kind, const msg_export_event_t *item) {
    const struct {
        transfer_kind_t kind;
        const char *name;
        bool there;
    } fields[] = {
        {TRANSFER_ELEMENTS, "stream", item->has_stream},
        {TRANSFER_ELEMENTS, "elements", item->has_elements},
        {TRANSFER_WATERMARK, "stream", item->has_stream},
        {TRANSFER_WATERMARK, "to", item->has_to},
        {TRANSFER_STREAM_ENDED, "stream", item->has_stream},
        {TRANSFER_GAP, "what", item->has_what},
        {TRANSFER_END, "count", item->has_count},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].kind == kind && !fields[i].there) return fields[i].name;
    return NULL;
}

static int event_read(const transfer_reader_t *reader, bytes_t item, transfer_event_t *event, refusal_t *no) {
    msg_export_event_t m;
    transfer_kind_t kind = TRANSFER_ELEMENTS;
    if (wire_walk_own(item, no) < 0 || record_decode(RECORD_CLASS(export_event), "event", item, reader->zone, &m, no) < 0) return -1;
    while (kind < TRANSFER_KINDS && strcmp(names[kind], m.event) != 0) kind++;
    if (kind == TRANSFER_KINDS) return refuse(no, ERROR_BAD_REQUEST, NULL, "there is no event `%.100s`", m.event);
    const char *missing = field_missing(kind, &m);
    if (missing) return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s`: `%s` is missing", m.event, missing);
    uint32_t stream = m.has_stream && m.stream < RECORD_STREAM_ALL ? (uint32_t)m.stream : RECORD_STREAM_ALL;
    *event = (transfer_event_t){.kind = kind,
                                .stream = stream,
                                .at = m.at,
                                .body = m.elements,
                                .to = m.to,
                                .what = m.what,
                                .lost_us = m.has_lost_us ? m.lost_us : -1,
                                .elements = (uint64_t)m.count,
                                .digest = m.has_digest ? m.digest : NULL};
    if (m.has_stream && (size_t)m.stream >= reader->header->streams.count)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "`%s`: there is no stream %lld", m.event, (long long)m.stream);
    return kind == TRANSFER_ELEMENTS ? wire_body_check(m.elements, &event->count, no) : 0;
}

static int msgpack_read(transfer_reader_t *reader, bytes_t in, size_t *ret_used, transfer_event_t *ret_event, refusal_t *no) {
    size_t size;
    if (in.size == 0) return 0;
    if (value_size(reader, in, &size, no) < 0) return -1;
    if (size == 0) return 0;
    bytes_t item = {in.data, size};
    msgpack_zone_clear(reader->zone);
    if ((reader->header ? event_read(reader, item, ret_event, no) : header_read(reader, item, ret_event, no)) < 0) return -1;
    *ret_used = size;
    return 1;
}

const transfer_format_t transfer_msgpack = {.name = "msgpack", .write = msgpack_write, .read = msgpack_read};
