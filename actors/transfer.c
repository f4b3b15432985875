/* What the formats have in common: see transfer.h. */
#include "transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/head.h"
#include "../messages/text.h"
#include "signature.h"

const transfer_format_t *transfer_find(const char *op, const char *name, refusal_t *no) {
    static const transfer_format_t *const formats[] = {&transfer_msgpack, &transfer_json, &transfer_beam};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i]->name, name) == 0) return formats[i];
    refuse(no, ERROR_BAD_REQUEST, "format", "`%s`: `format` must be `msgpack`, `json` or `beam`, not `%s`", op, name);
    return NULL;
}

transfer_reader_t *transfer_reader_create(const transfer_format_t *format) {
    transfer_reader_t *reader = calloc(1, sizeof *reader);
    must(reader);
    reader->format = format;
    reader->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(reader->zone);
    msgpack_sbuffer_init(&reader->body);
    return reader;
}

void transfer_reader_destroy(transfer_reader_t **reader) {
    transfer_reader_t *old = *reader;
    *reader = NULL;
    if (!old) return;
    record_free(RECORD_CLASS(export_header), (void **)&old->header);
    msgpack_zone_free(old->zone);
    msgpack_sbuffer_destroy(&old->body);
    free(old);
}

transfer_place_t transfer_place(const transfer_reader_t *reader) {
    transfer_place_t place;
    bool lines = reader->format->lines;
    snprintf(place.text, sizeof place.text, "%s %" PRIu64, lines ? "line" : "byte", lines ? reader->line + 1 : reader->offset);
    return place;
}

int transfer_read(transfer_reader_t *reader, bytes_t in, size_t *ret_used, transfer_event_t *ret_event, refusal_t *no) {
    size_t used = 0;
    refusal_t why;
    int got = reader->format->read(reader, in, &used, ret_event, &why);
    if (got < 0) return refuse(no, why.code, "data", "%s: %s", transfer_place(reader).text, why.message);
    if (used == 0 && got == 0 && in.size >= TRANSFER_ITEM_MAX)
        return refuse(no, ERROR_TOO_LARGE, "data", "%s: an item has more than %d bytes", transfer_place(reader).text, TRANSFER_ITEM_MAX);
    *ret_used = used;
    return got;
}

void transfer_pass(transfer_reader_t *reader, size_t used) {
    reader->offset += used;
    if (used > 0) reader->line++;
}

void transfer_rest(transfer_reader_t *reader) {
    if (reader->left > 0) return;
    msgpack_sbuffer_destroy(&reader->body);
    msgpack_sbuffer_init(&reader->body);
}

bool transfer_line(transfer_reader_t *reader, bytes_t in, bytes_t *ret_line) {
    const uint8_t *end = in.size > reader->scanned ? memchr(in.data + reader->scanned, '\n', in.size - reader->scanned) : NULL;
    reader->scanned = end ? 0 : in.size;
    if (end) *ret_line = (bytes_t){in.data, (size_t)(end - in.data)};
    return end != NULL;
}

/* ---- the header ---- */

static int stream_check(const msg_export_stream_t *stream, size_t index, refusal_t *no) {
    size_t size = strlen(stream->urn);
    if (strncmp(stream->signature, stream->urn, size) != 0 || stream->signature[size] != '|')
        return refuse(no, ERROR_BAD_REQUEST, NULL, "stream %zu: its signature does not begin with its URN, `%.100s`, and `|`", index,
                      stream->urn);
    if (stream->tags.count == 0) return refuse(no, ERROR_BAD_REQUEST, NULL, "stream %zu has no tag", index);
    return 0;
}

static int text_order(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A text that stands twice among `count`; NULL: none does. Sorts them. */
static const char *text_twice(const char **texts, size_t count) {
    if (count > 0) qsort(texts, count, sizeof *texts, text_order);
    for (size_t i = 1; i < count; i++)
        if (strcmp(texts[i - 1], texts[i]) == 0) return texts[i];
    return NULL;
}

static int streams_check(const msg_export_header_t *header, refusal_t *no) {
    size_t streams = header->streams.count, tags = 0, filled = 0, signatures = 0;
    for (size_t i = 0; i < streams; i++) {
        if (stream_check(&header->streams.items[i], i, no) < 0) return -1;
        tags += header->streams.items[i].tags.count;
        signatures += strlen(header->streams.items[i].signature);
        if (signatures > SIGNATURES_SIZE_MAX)
            return refuse(no, ERROR_TOO_LARGE, NULL, "the signatures up to that of stream %zu have more than %d bytes together", i,
                          SIGNATURES_SIZE_MAX);
    }
    const char **texts = calloc(tags + streams + 1, sizeof *texts);
    must(texts);
    for (size_t i = 0; i < streams; i++) {
        const names_t *names = &header->streams.items[i].tags;
        texts[tags + i] = header->streams.items[i].signature;
        for (size_t t = 0; t < names->count; t++) texts[filled++] = names->items[t];
    }
    const char *tag = text_twice(texts, tags), *signature = text_twice(texts + tags, streams);
    int result = 0;
    if (tag)
        result = refuse(no, ERROR_BAD_REQUEST, NULL, "the tag `%.100s` stands twice", tag);
    else if (signature)
        result = refuse(no, ERROR_BAD_REQUEST, NULL, "the signature `%.100s` stands twice", signature);
    free(texts);
    return result;
}

bool transfer_time_fits(int64_t at) {
    return at >= 0 && at < TRANSFER_TIME_MAX;
}

int transfer_take_header(transfer_reader_t *reader, const msg_export_header_t *header, refusal_t *no) {
    if (header->reprise != TRANSFER_VERSION)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "the file has format version %" PRId64 ": this version reads %d only", header->reprise,
                      TRANSFER_VERSION);
    if (!transfer_time_fits(header->start))
        return refuse(no, ERROR_BAD_REQUEST, NULL, "`start` must be 0 to 2^62 µs after the epoch, not %" PRId64, header->start);
    if (header->streams.count == 0 || header->streams.count > TRANSFER_STREAMS_MAX)
        return refuse(no, ERROR_BAD_REQUEST, NULL, "a recording has 1 to %d streams, not %zu", TRANSFER_STREAMS_MAX, header->streams.count);
    if (streams_check(header, no) < 0) return -1;
    reader->header = record_copy(RECORD_CLASS(export_header), header);
    reader->at = header->start;
    return 0;
}

/* ---- elements ---- */

static void pack_time(msgpack_packer *packer, bool wide, int64_t event_time) {
    if (!wide) {
        msgpack_pack_int64(packer, event_time);
        return;
    }
    uint64_t number = htobe64((uint64_t)event_time);
    char bytes[9] = {(char)0xd3};
    memcpy(bytes + 1, &number, sizeof number);
    packer->callback(packer->data, bytes, sizeof bytes);
}

/* Texts and bytes, in their shortest form. */
static void pack_attributes(msgpack_packer *packer, bytes_t attributes) {
    const uint8_t *at = attributes.data, *end = at + attributes.size;
    head_t map = head_read(at, attributes.size);
    msgpack_pack_map(packer, map.length);
    at += map.size;
    for (uint64_t i = 0; i < head_inner(&map); i++) {
        head_t head = head_read(at, (size_t)(end - at));
        if (head.kind == HEAD_TEXT)
            msgpack_pack_str_with_body(packer, at + head.size, head.length);
        else
            msgpack_pack_bin_with_body(packer, at + head.size, head.length);
        at += head_own(&head);
    }
}

void transfer_pack_element(msgpack_sbuffer *out, bool wide, int64_t event_time, bytes_t payload, bytes_t attributes, bool exact) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, attributes.size > 0 ? 3 : 2);
    pack_time(&packer, wide, event_time);
    msgpack_pack_bin_with_body(&packer, payload.data, payload.size);
    if (exact && attributes.size > 0)
        must(msgpack_sbuffer_write(out, (const char *)attributes.data, attributes.size) == 0);
    else if (attributes.size > 0)
        pack_attributes(&packer, attributes);
}
