/* Any bytes as a file to be imported, in pieces of any size: nothing but what a format may have gets through, what is refused says where and
 * why, and what was read is the same after it was written and read again.
 *
 * The first byte is the format, the second the size of the pieces. */
#include <string.h>

#include "actors/transfer.h"
#include "messages/fault.h"
#include "messages/text.h"
#include "messages/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t sum_text(uint32_t sum, const char *text) {
    return checksum_of(sum, text ? text : "", text ? strlen(text) + 1 : 1);
}

/* All that an event says; what its kind has no use for is left out. */
static uint32_t event_sum(uint32_t sum, const transfer_event_t *event) {
    int64_t numbers[5] = {event->kind};
    if (event->kind != TRANSFER_HEADER) numbers[1] = event->at;
    if (event->kind != TRANSFER_HEADER && event->kind != TRANSFER_END) numbers[2] = event->stream;
    if (event->kind == TRANSFER_WATERMARK) numbers[3] = event->to;
    if (event->kind == TRANSFER_GAP) numbers[3] = event->lost_us;
    if (event->kind == TRANSFER_END) numbers[3] = (int64_t)event->elements;
    numbers[4] = event->kind == TRANSFER_ELEMENTS ? event->count : 0;
    sum = checksum_of(sum, numbers, sizeof numbers);
    if (event->kind == TRANSFER_GAP) sum = sum_text(sum, event->what);
    if (event->kind == TRANSFER_END) sum = sum_text(sum, event->digest);
    if (event->kind != TRANSFER_ELEMENTS) return sum;
    bytes_t elements = wire_body_elements(event->body, event->count);
    return checksum_of(sum, elements.data, elements.size);
}

static void event_check(const transfer_event_t *event, const msg_export_header_t *header) {
    uint32_t count;
    refusal_t no;
    must(event->kind < TRANSFER_KINDS && header);
    bool all = event->stream == RECORD_STREAM_ALL && (event->kind == TRANSFER_GAP || event->kind == TRANSFER_END);
    must(event->kind == TRANSFER_HEADER || event->kind == TRANSFER_END || all || event->stream < header->streams.count);
    if (event->kind == TRANSFER_ELEMENTS) must(wire_body_check(event->body, &count, &no) == 0 && count == event->count);
    if (event->kind == TRANSFER_GAP) must(text_valid(event->what, strlen(event->what)));
}

/* Reads all of `in`; `out` (NULL: not wanted) gets it written again. */
static uint32_t read_all(const transfer_format_t *format, bytes_t in, size_t piece, msgpack_sbuffer *out, bool *ret_refused) {
    transfer_reader_t *reader = transfer_reader_create(format);
    uint32_t sum = 0;
    int64_t before = 0;
    size_t from = 0, shown = 0;
    *ret_refused = false;
    while (!*ret_refused && (shown < in.size || from < shown)) {
        transfer_event_t event;
        refusal_t no;
        size_t used;
        int got = transfer_read(reader, (bytes_t){in.data + from, shown - from}, &used, &event, &no);
        *ret_refused = got < 0;
        if (got < 0) must(no.message[0] && text_valid(no.message, strlen(no.message)) && strstr(no.message, ": "));
        if (got < 0 || (got == 0 && used == 0 && shown == in.size)) break;
        must(used <= shown - from);
        if (got == 1) {
            event_check(&event, reader->header);
            sum = event_sum(sum, &event);
            if (out) format->write(reader->header, &event, before, out);
            before = event.at;
        }
        transfer_pass(reader, used);
        from += used;
        if (got == 0 && used == 0) shown = in.size - shown < piece ? in.size : shown + piece;
    }
    transfer_reader_destroy(&reader);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const transfer_format_t *const formats[] = {&transfer_msgpack, &transfer_json, &transfer_beam};
    bool refused, again;
    if (size < 2) return 0;
    const transfer_format_t *format = formats[data[0] % 3];
    bytes_t in = {data + 2, size - 2};
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    uint32_t first = read_all(format, in, data[1] + 1U, &out, &refused);
    must(read_all(format, in, SIZE_MAX / 2, NULL, &again) == first && again == refused);
    must(read_all(format, (bytes_t){(const uint8_t *)out.data, out.size}, SIZE_MAX / 2, NULL, &again) == first && !again);
    msgpack_sbuffer_destroy(&out);
    return 0;
}
