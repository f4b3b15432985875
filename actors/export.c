/* The pieces are cut anywhere, also within an item: the same item is made again for the next piece, and begun where the last one ended. So a piece
 * is never larger than was asked for, however large a record is. */
#include "export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "store/gap_body.h"
#include "store/reader.h"

enum { PASSED_BYTES_MAX = 64 * 1024 * 1024 }; /* read for one piece: others wait meanwhile */

typedef enum export_stage { STAGE_HEADER, STAGE_RECORDS, STAGE_END } export_stage_t;

/* Where an export stands: what `next` says. */
typedef struct cursor {
    export_stage_t stage;
    position_t position;
    uint64_t skip;     /* bytes of the next item that were given */
    int64_t clock;     /* the time of the event before */
    uint64_t elements; /* that were given */
    uint64_t end;      /* records before the export's end: of a recording that grows, those that were there as the first piece was made */
    digest_t digest;
} cursor_t;

typedef struct export {
    const msg_recording_place_t *place;
    const transfer_format_t *format;
    msg_export_header_t header;
    uint32_t *streams; /* the export's number of each of the recording's; RECORD_STREAM_ALL: left out */
    const char **tags; /* of the header's streams, where they are not the recording's */
    uint64_t elements_max;
    reader_t *reader;
    cursor_t cursor;
    msgpack_sbuffer item, cut;
    size_t passed;
    char digest[33];
    char *what;
}
export_t;

/* ---- where it goes on ---- */

/* What `next` is for: with another recording, format or tag it means nothing. */
static uint32_t export_seal(const msg_recording_place_t *place, const msg_recording_export_t *ask, const char *text) {
    uint32_t sum = checksum_of(0, text, strlen(text));
    sum = checksum_of(sum, place->recording, strlen(place->recording) + 1);
    sum = checksum_of(sum, ask->format, strlen(ask->format) + 1);
    return ask->has_tag ? checksum_of(sum, ask->tag, strlen(ask->tag)) : sum;
}

#define CURSOR_FORMAT "%x.%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64 "."
#define CURSOR_SCAN "%x.%" SCNx64 ".%" SCNx64 ".%" SCNx64 ".%" SCNx64 ".%" SCNx64 ".%" SCNx64 ".%" SCNx64 ".%n"

static void cursor_write(const export_t *e, const msg_recording_export_t *ask, char ret_text[EXPORT_PLACE_SIZE]) {
    const cursor_t *c = &e->cursor;
    char text[EXPORT_PLACE_SIZE], digest[33];
    digest_text(&c->digest, digest);
    int size = snprintf(text, sizeof text, CURSOR_FORMAT "%s", (unsigned)c->stage, c->position.segment, c->position.offset,
                        c->position.element, c->skip, (uint64_t)c->clock, c->elements, c->end, digest);
    must(size > 0 && (size_t)size + 10 < sizeof text);
    snprintf(ret_text, EXPORT_PLACE_SIZE, "%.*s.%08" PRIx32, size, text, export_seal(e->place, ask, text));
}

static bool digest_read(const char *text, digest_t *ret_digest) {
    for (size_t i = 0; i < sizeof ret_digest->bytes; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) return false;
        ret_digest->bytes[i] = (uint8_t)byte;
    }
    return true;
}

static int cursor_read(export_t *e, const msg_recording_export_t *ask, refusal_t *no) {
    cursor_t *c = &e->cursor;
    char text[EXPORT_PLACE_SIZE];
    unsigned stage = 0;
    uint64_t clock = 0;
    uint32_t seal = 0;
    int digest_at = 0;
    snprintf(text, sizeof text, "%s", ask->from);
    char *last = strrchr(text, '.');
    bool whole = last && sscanf(last + 1, "%8" SCNx32, &seal) == 1;
    if (last) *last = '\0';
    whole = whole && seal == export_seal(e->place, ask, text) &&
            sscanf(text, CURSOR_SCAN, &stage, &c->position.segment, &c->position.offset, &c->position.element, &c->skip, &clock,
                   &c->elements, &c->end, &digest_at) == 8 &&
            digest_at > 0 && strlen(text + digest_at) == 32 && digest_read(text + digest_at, &c->digest) && stage <= STAGE_END;
    c->stage = (export_stage_t)stage;
    c->clock = (int64_t)clock;
    if (!whole || (c->stage == STAGE_RECORDS && !reader_reaches(e->reader, &c->position)))
        return refuse(no, ERROR_BAD_REQUEST, "from", "`recording.export`: `from` is not the `next` of a piece of this export");
    return 0;
}

/* ---- what is exported ---- */

static int tag_find(const msg_recording_place_t *place, const char *tag, size_t *ret_stream) {
    for (size_t i = 0; i < place->streams.count; i++)
        for (size_t t = 0; t < place->streams.items[i].tags.count; t++)
            if (strcmp(place->streams.items[i].tags.items[t], tag) == 0) {
                *ret_stream = i;
                return 0;
            }
    return -1;
}

static void header_fill(export_t *e, bool has_only, size_t only) {
    const msg_recording_place_t *place = e->place;
    size_t count = place->streams.count;
    e->streams = calloc(count + 1, sizeof *e->streams);
    e->header = (msg_export_header_t){.reprise = TRANSFER_VERSION, .pipeline = place->pipeline, .start = place->start};
    e->header.streams.items = calloc(count + 1, sizeof *e->header.streams.items);
    must(e->streams && e->header.streams.items);
    for (size_t i = 0; i < count; i++) {
        const msg_stream_t *stream = &place->streams.items[i];
        e->streams[i] = RECORD_STREAM_ALL;
        if (has_only && i != only) continue;
        e->streams[i] = (uint32_t)e->header.streams.count;
        e->header.streams.items[e->header.streams.count++] =
            (msg_export_stream_t){.signature = stream->signature, .urn = stream->urn, .tags = stream->tags};
    }
}

static int compare_named(const void *a, const void *b) {
    const msg_tag_t *x = a, *y = b;
    int by_signature = strcmp(x->signature, y->signature);
    return by_signature ? by_signature : strcmp(x->tag, y->tag);
}

/* Those of `named`, sorted, that name `signature`: the first, and how many. */
static size_t find_named(const msg_tag_t *named, size_t count, const char *signature, size_t *ret_count) {
    size_t low = 0, high = count, end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(named[middle].signature, signature) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < count && strcmp(named[end].signature, signature) == 0;) end++;
    *ret_count = end - low;
    return low;
}

/* Under the tags that the pipeline has now, whatever they were. Those that name no stream of the recording stand in one more, in which nothing
 * comes. */
static void header_fill_tags(export_t *e, const msg_recording_events_t *ask) {
    const msg_recording_place_t *place = e->place;
    size_t count = place->streams.count, all = ask->tags.count, found;
    msg_tag_t *named = calloc(all + 1, sizeof *named);
    e->tags = calloc(2 * all + 1, sizeof *e->tags); /* sorted by signature; and those without a stream */
    e->streams = calloc(count + 1, sizeof *e->streams);
    e->header = (msg_export_header_t){.reprise = TRANSFER_VERSION, .pipeline = place->pipeline, .start = place->start};
    e->header.streams.items = calloc(count + 1, sizeof *e->header.streams.items);
    must(named && e->streams && e->tags && e->header.streams.items);
    if (all > 0) memcpy(named, ask->tags.items, all * sizeof *named);
    qsort(named, all, sizeof *named, compare_named);
    for (size_t i = 0; i < all; i++) e->tags[i] = e->tags[all + i] = named[i].tag;
    for (size_t i = 0; i < count; i++) {
        const char *signature = place->streams.items[i].signature;
        size_t first = find_named(named, all, signature, &found);
        e->header.streams.items[i] = (msg_export_stream_t){.signature = signature, .urn = "", .tags = {found, &e->tags[first]}};
        e->streams[i] = found > 0 ? (uint32_t)i : RECORD_STREAM_ALL;
        for (size_t k = first; k < first + found; k++) e->tags[all + k] = NULL;
    }
    found = 0;
    for (size_t i = all; i < 2 * all; i++)
        if (e->tags[i]) e->tags[all + found++] = e->tags[i];
    e->header.streams.items[count] = (msg_export_stream_t){.signature = "", .urn = "", .tags = {found, &e->tags[all]}};
    e->header.streams.count = count + 1;
    free(named);
}

static int export_begin(export_t *e, const msg_recording_export_t *ask, refusal_t *no) {
    size_t only = 0;
    e->format = transfer_find("recording.export", ask->format, no);
    if (!e->format) return -1;
    if (ask->has_tag && tag_find(e->place, ask->tag, &only) < 0)
        return refuse(no, ERROR_NOT_FOUND, "tag", "recording %s has no tag `%s`", e->place->recording, ask->tag);
    if (e->format->one_tag && !ask->has_tag && e->place->streams.count != 1)
        return refuse(no, ERROR_BAD_REQUEST, "tag",
                      "`recording.export`: a file in the format `%s` is of one tag, and recording %s has several: "
                      "`tag` is needed",
                      e->format->name, e->place->recording);
    e->cursor.end = e->place->growing ? (uint64_t)e->place->records : UINT64_MAX;
    header_fill(e, ask->has_tag, only);
    /* a stream of several tags goes by the one that was asked for */
    if (ask->has_tag && e->format->one_tag) e->header.streams.items[0].tags = (names_t){1, (const char **)(uintptr_t)&ask->tag};
    return 0;
}

/* ---- the items: 1: `item` has it, and `cursor` is where it ends; 0: there is none; -1: damage ---- */

static void item_write(export_t *e, const transfer_event_t *event, cursor_t *cursor) {
    msgpack_sbuffer_clear(&e->item);
    e->format->write(&e->header, event, cursor->clock, &e->item);
    if (e->item.size > 0) cursor->clock = event->at;
}

static void gap_fill(export_t *e, const record_view_t *record, transfer_event_t *event) {
    bytes_t what = {0};
    event->lost_us = -1;
    if (gap_body_read(record->body, &what, &event->lost_us) < 0) what.size = 0;
    free(e->what);
    e->what = strndup(what.data ? (const char *)what.data : "", what.size);
    must(e->what);
    event->what = e->what;
}

/* Is the record in the export, and as what event? */
static bool record_event(export_t *e, const record_view_t *record, transfer_event_t *event) {
    static const transfer_kind_t kinds[] = {[RECORD_ELEMENTS] = TRANSFER_ELEMENTS,
                                            [RECORD_WATERMARK] = TRANSFER_WATERMARK,
                                            [RECORD_GAP] = TRANSFER_GAP,
                                            [RECORD_STREAM_ENDED] = TRANSFER_STREAM_ENDED};
    bool all = record->kind == RECORD_GAP && record->stream == RECORD_STREAM_ALL;
    if (record->kind < RECORD_ELEMENTS || record->kind > RECORD_STREAM_ENDED) return false;
    if (record->kind == RECORD_ELEMENTS && record->count == 0) return false;
    if (!all && (record->stream >= e->place->streams.count || e->streams[record->stream] == RECORD_STREAM_ALL)) return false;
    *event = (transfer_event_t){.kind = kinds[record->kind],
                                .stream = all ? RECORD_STREAM_ALL : e->streams[record->stream],
                                .at = record->at,
                                .body = record->body,
                                .count = record->count};
    if (record->kind == RECORD_WATERMARK && !wire_int(record->body, &event->to)) return false;
    if (record->kind == RECORD_GAP) gap_fill(e, record, event);
    return true;
}

static void record_fold(const export_t *e, const record_view_t *record, cursor_t *cursor) {
    bool all = record->stream == RECORD_STREAM_ALL;
    digest_fold(&cursor->digest, record->kind, all ? "" : e->place->streams.items[record->stream].signature, record->at, record->count,
                &record->body, 1);
    cursor->elements += record->count;
}

/* A right checksum says who wrote it, and not that it is elements: whoever has the folder can write one. */
static int elements_check(const export_t *e, const record_view_t *record, fault_t *why) {
    uint32_t count;
    refusal_t no;
    if (record->kind != RECORD_ELEMENTS || wire_body_check(record->body, &count, &no) == 0) return 0;
    return fault_set(why, "record %llu in %s is damaged: %s", (unsigned long long)record->number, e->place->folder, no.message);
}

/* Leaves so many of its elements. */
static void record_cut(export_t *e, record_view_t *record, transfer_event_t *event, uint32_t count) {
    bytes_t kept = wire_body_elements(record->body, count);
    const uint8_t head[RECORD_BODY_HEAD] = {0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    msgpack_sbuffer_clear(&e->cut);
    must(msgpack_sbuffer_write(&e->cut, (const char *)head, sizeof head) == 0);
    must(msgpack_sbuffer_write(&e->cut, (const char *)kept.data, kept.size) == 0);
    event->body = record->body = (bytes_t){(const uint8_t *)e->cut.data, e->cut.size};
    event->count = record->count = count;
}

static int record_next(export_t *e, cursor_t *cursor, fault_t *why) {
    record_view_t record;
    transfer_event_t event;
    if (e->elements_max && cursor->elements >= e->elements_max) {
        cursor->stage = STAGE_END;
        return 0;
    }
    for (;;) {
        position_t before = cursor->position;
        int got = reader_next(e->reader, &cursor->position, &record, why);
        if (got < 0) return -1;
        bool beyond = got > 0 && record.number >= cursor->end;
        if (got == 0 || beyond || record.kind == RECORD_ENDED) {
            if (beyond) cursor->position = before;
            if (got > 0 && !beyond) cursor->clock = record.at;
            cursor->stage = STAGE_END;
            return 0;
        }
        e->passed += record.size;
        if (record_event(e, &record, &event)) break;
        if (e->passed >= PASSED_BYTES_MAX) return 0;
    }
    if (elements_check(e, &record, why) < 0) return -1;
    uint64_t room = e->elements_max ? e->elements_max - cursor->elements : UINT64_MAX;
    if (record.kind == RECORD_ELEMENTS && record.count > room) record_cut(e, &record, &event, (uint32_t)room);
    item_write(e, &event, cursor);
    record_fold(e, &record, cursor);
    return 1;
}

static int item_next(export_t *e, cursor_t *cursor, fault_t *why) {
    transfer_event_t event = {.kind = TRANSFER_HEADER, .header = &e->header, .at = e->header.start};
    if (cursor->stage == STAGE_RECORDS) return record_next(e, cursor, why);
    if (cursor->stage == STAGE_HEADER) {
        item_write(e, &event, cursor);
        cursor->clock = event.at;
        cursor->stage = STAGE_RECORDS;
        return 1;
    }
    digest_text(&cursor->digest, e->digest);
    event = (transfer_event_t){.kind = TRANSFER_END, .at = cursor->clock, .elements = cursor->elements, .digest = e->digest};
    item_write(e, &event, cursor);
    return 1;
}

/* ---- a piece ---- */

/* Fills the piece; true: it is the last. */
static int piece_fill(export_t *e, size_t max, export_piece_t *piece, fault_t *why) {
    while (piece->data.size < max && e->passed < PASSED_BYTES_MAX) {
        cursor_t after = e->cursor;
        export_stage_t stage = e->cursor.stage;
        int got = item_next(e, &after, why);
        if (got < 0) return -1;
        if (got == 0) {
            after.skip = 0;
            e->cursor = after;
            continue;
        }
        size_t from = e->cursor.skip < e->item.size ? e->cursor.skip : e->item.size, left = e->item.size - from;
        size_t room = max - piece->data.size, size = left < room ? left : room;
        if (size > 0) must(msgpack_sbuffer_write(&piece->data, e->item.data + from, size) == 0);
        if (size < left) {
            e->cursor.skip = from + size;
            return 0;
        }
        after.skip = 0;
        e->cursor = after;
        if (stage == STAGE_END) {
            piece->complete = true;
            return 0;
        }
    }
    return 0;
}

static size_t piece_max(const msg_recording_export_t *ask) {
    if (!ask->has_max_bytes) return EXPORT_PIECE;
    return ask->max_bytes < EXPORT_PIECE_MAX ? (size_t)ask->max_bytes : EXPORT_PIECE_MAX;
}

/* The rest of an export that has begun, whether it began well or not. */
static int export_go_on(export_t *e, const msg_recording_export_t *ask, int64_t segment_bytes, export_piece_t *piece, refusal_t *no) {
    const msg_recording_place_t *place = e->place;
    fault_t why;
    e->reader =
        reader_open(place->folder, (uint64_t)place->segment, (uint64_t)place->length, (uint64_t)place->elements, segment_bytes, &why);
    if (!e->reader) return refuse(no, ERROR_CORRUPT, NULL, "recording %s: %s", place->recording, why.text);
    if (ask->has_from && cursor_read(e, ask, no) < 0) return -1;
    if (piece_fill(e, piece_max(ask), piece, &why) < 0)
        return refuse(no, ERROR_CORRUPT, NULL, "recording %s: %s", place->recording, why.text);
    piece->element = e->cursor.position.element;
    piece->elements = piece->complete && e->cursor.end != UINT64_MAX ? piece->element : (uint64_t)place->elements;
    cursor_write(e, ask, piece->next);
    return 0;
}

static void export_init(export_t *e, const msg_recording_place_t *place, export_piece_t *piece) {
    *e = (export_t){.place = place};
    msgpack_sbuffer_init(&e->item);
    msgpack_sbuffer_init(&e->cut);
    piece->complete = false;
}

static void export_fini(export_t *e) {
    reader_close(&e->reader);
    msgpack_sbuffer_destroy(&e->item);
    msgpack_sbuffer_destroy(&e->cut);
    free(e->header.streams.items);
    free(e->streams);
    free(e->tags);
    free(e->what);
}

int export_read(const msg_recording_place_t *place, const msg_recording_export_t *ask, int64_t segment_bytes, export_piece_t *piece,
                refusal_t *no) {
    export_t e;
    export_init(&e, place, piece);
    int result = export_begin(&e, ask, no);
    if (result == 0) result = export_go_on(&e, ask, segment_bytes, piece, no);
    export_fini(&e);
    return result;
}

int export_events(const msg_recording_place_t *place, const msg_recording_events_t *ask, int64_t segment_bytes, export_piece_t *piece,
                  refusal_t *no) {
    msg_recording_export_t as = {.format = transfer_test_stream.name, .has_from = ask->has_from, .from = ask->from};
    export_t e;
    export_init(&e, place, piece);
    e.format = &transfer_test_stream;
    e.cursor.end = place->growing ? (uint64_t)place->records : UINT64_MAX;
    e.elements_max = ask->has_max_elements ? (uint64_t)ask->max_elements : 0;
    header_fill_tags(&e, ask);
    int result = export_go_on(&e, &as, segment_bytes, piece, no);
    export_fini(&e);
    return result;
}
