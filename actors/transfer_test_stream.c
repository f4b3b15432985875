/* The format `test_stream`: the events of a TestStreamPayload of Beam, as they stand in a pipeline for whoever runs it and calls no endpoint. They
 * are those of a replay, in its order, so a runner sees what it would have been sent; only their times are milliseconds, as in all that a pipeline holds.
 *
 * The fields of a message may be written one after the other, so the events are written as they come, and the coder is put beside them by whoever
 * makes the payload. Nothing reads this format: it has no gaps, no attributes, and less exact times than were recorded. */
#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "beam/beam_event.h"
#include "beam/proto.h"
#include "transfer.h"

enum { PAYLOAD_EVENTS = 2 };

static void put_event(msgpack_sbuffer *out, beam_message_t *message) {
    proto_put(out, PAYLOAD_EVENTS, (bytes_t){message->data, message->size});
    free(message->memory);
}

/* What is left of a millisecond is in the next advance: they add up to the time that went by. */
static void advance_write(int64_t start, int64_t before, int64_t at, msgpack_sbuffer *out) {
    int64_t advance = beam_milliseconds(at - start) - beam_milliseconds(before - start);
    beam_message_t message;
    if (advance <= 0) return;
    beam_advance_write(advance, &message);
    put_event(out, &message);
}

static void watermark_write(const char *tag, int64_t to, msgpack_sbuffer *out) {
    beam_message_t message;
    beam_watermark_write(beam_milliseconds(to > WATERMARK_MAX ? WATERMARK_MAX : to), tag, &message);
    put_event(out, &message);
}

static void elements_write(const char *tag, const transfer_event_t *event, msgpack_sbuffer *out) {
    beam_message_t message;
    bytes_t rest = wire_body_elements(event->body, event->count);
    beam_elements_write(&rest, event->count, tag, BEAM_MILLISECONDS, SIZE_MAX, &message);
    put_event(out, &message);
}

static int compare_tags(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void end_write(const msg_export_header_t *header, msgpack_sbuffer *out) {
    size_t count = 0;
    for (size_t i = 0; i < header->streams.count; i++) count += header->streams.items[i].tags.count;
    const char **tags = calloc(count + 1, sizeof *tags);
    must(tags);
    count = 0;
    for (size_t i = 0; i < header->streams.count; i++)
        for (size_t k = 0; k < header->streams.items[i].tags.count; k++) tags[count++] = header->streams.items[i].tags.items[k];
    if (count > 0) qsort(tags, count, sizeof *tags, compare_tags);
    for (size_t i = 0; i < count; i++) watermark_write(tags[i], WATERMARK_MAX, out);
    free(tags);
}

static void test_stream_write(const msg_export_header_t *header, const transfer_event_t *event, int64_t before, msgpack_sbuffer *out) {
    if (event->kind == TRANSFER_HEADER || event->kind == TRANSFER_STREAM_ENDED) return;
    if (event->kind == TRANSFER_END) {
        end_write(header, out);
        return;
    }
    advance_write(header->start, before, event->at, out);
    if (event->kind == TRANSFER_GAP) return;
    const names_t *tags = &header->streams.items[event->stream].tags;
    for (size_t i = 0; i < tags->count; i++) {
        if (event->kind == TRANSFER_ELEMENTS)
            elements_write(tags->items[i], event, out);
        else
            watermark_write(tags->items[i], event->to, out);
    }
}

const transfer_format_t transfer_test_stream = {.name = "test_stream", .write = test_stream_write};
