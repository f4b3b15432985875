/* A recording's state is a pure function of its records: totals, digest, streams, producers. This is that function.
 *
 * The writer folds each record as it appends it; a segment's header stores the result; recovery starts from the last header and folds
 * what follows; verification folds everything and compares. */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "../../messages/wire.h"
#include "manifest.h"
#include "meta.h"

enum { GAPS_MAX = 1000 };         /* listed; the records have them all */
#define COUNT_MAX (INT64_MAX / 2) /* beyond what any recording has; adding to it does not overflow */

static const char *ledger_tag(const ledger_t *ledger, uint32_t stream) {
    if (stream >= ledger->streams_count || ledger->manifest->recording.streams.items[stream].tags.count == 0) return NULL;
    return ledger->manifest->recording.streams.items[stream].tags.items[0];
}

static void ledger_gap_add(ledger_t *ledger, const char *tag, bytes_t what, bool has_lost, int64_t lost_us, int64_t element) {
    if (ledger->gaps_count == GAPS_MAX) return;
    if (ledger->gaps_count == ledger->gaps_room) {
        ledger->gaps_room = ledger->gaps_room ? 2 * ledger->gaps_room : 4;
        ledger->gaps = realloc(ledger->gaps, ledger->gaps_room * sizeof *ledger->gaps);
        must(ledger->gaps);
    }
    ledger->gaps[ledger->gaps_count++] = (msg_gap_t){
        .has_tag = tag != NULL,
        .tag = tag ? strdup(tag) : NULL,
        .has_what = true,
        .what = strndup((const char *)what.data, what.size),
        .has_lost_us = has_lost,
        .lost_us = lost_us,
        .has_element = true,
        .element = element,
    };
}

void ledger_init(ledger_t *ledger, const msg_manifest_t *manifest) {
    *ledger = (ledger_t){.manifest = manifest, .streams_count = manifest->recording.streams.count};
    ledger->streams = calloc(ledger->streams_count + 1, sizeof *ledger->streams);
    must(ledger->streams);
    for (size_t i = 0; i < ledger->streams_count; i++)
        ledger->streams[i] = (msg_stream_total_t){.has_elements = true, .has_bytes = true, .has_ended = true};
    for (size_t i = 0; i < manifest->gaps.count; i++) ledger_gap_load(ledger, &manifest->gaps.items[i]);
}

void ledger_gap_load(ledger_t *ledger, const msg_gap_t *gap) {
    ledger_gap_add(ledger, gap->has_tag ? gap->tag : NULL, (bytes_t){(const uint8_t *)gap->what, strlen(gap->what)}, gap->has_lost_us,
                   gap->lost_us, gap->element);
}

static void gap_free(const msg_gap_t *gap) {
    free((char *)(uintptr_t)gap->tag);
    free((char *)(uintptr_t)gap->what);
}

void ledger_fini(ledger_t *ledger) {
    for (size_t i = 0; i < ledger->gaps_count; i++) gap_free(&ledger->gaps[i]);
    free(ledger->gaps);
    free(ledger->streams);
    producers_fini(&ledger->producers);
    *ledger = (ledger_t){0};
}

void ledger_header(const ledger_t *ledger, msg_segment_header_t *ret_header) {
    *ret_header = (msg_segment_header_t){
        .has_format = true,
        .format = MANIFEST_FORMAT,
        .has_recording = true,
        .recording = ledger->manifest->recording.recording,
        .has_elements = true,
        .elements = (int64_t)ledger->totals.elements,
        .has_bytes = true,
        .bytes = (int64_t)ledger->totals.bytes,
        .has_digest = true,
        .digest = {ledger->totals.digest.bytes, sizeof ledger->totals.digest.bytes},
        .has_streams = true,
        .has_producers = true,
    };
    ret_header->streams.count = ledger->streams_count;
    ret_header->streams.items = ledger->streams;
    ret_header->producers.count = ledger->producers.count;
    ret_header->producers.items = ledger->producers.items;
}

const char *ledger_header_objection(const ledger_t *ledger, const msg_segment_header_t *header) {
    if (strcmp(header->recording, ledger->manifest->recording.recording) != 0) return "it is of another recording";
    if (header->streams.count != ledger->streams_count) return "it has not as many streams as the manifest";
    if (header->elements > COUNT_MAX || header->bytes > COUNT_MAX) return "it tells of more than there can be";
    for (size_t i = 0; i < header->streams.count; i++)
        if (header->streams.items[i].elements > COUNT_MAX || header->streams.items[i].bytes > COUNT_MAX)
            return "it tells of more than there can be";
    for (size_t i = 0; i < header->producers.count; i++)
        if ((uint64_t)header->producers.items[i].stream >= ledger->streams_count)
            return "a producer's stream is not one of the recording's";
    return NULL;
}

void ledger_load(ledger_t *ledger, const msg_segment_header_t *header) {
    ledger->totals.elements = (uint64_t)header->elements;
    ledger->totals.bytes = (uint64_t)header->bytes;
    memcpy(ledger->totals.digest.bytes, header->digest.data, sizeof ledger->totals.digest.bytes);
    for (size_t i = 0; i < ledger->streams_count && i < header->streams.count; i++) ledger->streams[i] = header->streams.items[i];
    producers_fini(&ledger->producers);
    for (size_t i = 0; i < header->producers.count; i++) producers_load(&ledger->producers, &header->producers.items[i]);
}

void ledger_segment(ledger_t *ledger, const record_view_t *header) {
    ledger->totals.records = header->number + 1;
    ledger->totals.segment = header->number;
    ledger->totals.length = header->size;
    ledger->totals.bytes += header->size;
    ledger->totals.at = header->at;
    ledger->totals.ended = false;
}

const char *ledger_objection(const ledger_t *ledger, const record_view_t *record) {
    bool of_stream = record->stream < ledger->streams_count, of_all = record->stream == RECORD_STREAM_ALL;

    if (record->number != ledger->totals.records) return "its number is not the one that comes next";
    if (ledger->totals.ended) return "it comes after the record that ends the recording";
    if (record->at < ledger->totals.at) return "its time is earlier than that of the record before it";
    if (record->kind == RECORD_SEGMENT) return "a segment's header stands within the segment";
    if (record->kind == RECORD_ENDED ? !of_all : record->kind == RECORD_GAP ? !of_stream && !of_all : !of_stream)
        return "its stream is not one of the recording's";
    return NULL;
}

void ledger_record(ledger_t *ledger, const record_view_t *record, const bytes_t *body, size_t body_count) {
    msg_stream_total_t *stream = record->stream < ledger->streams_count ? &ledger->streams[record->stream] : NULL;
    const char *signature = stream ? ledger->manifest->recording.streams.items[record->stream].signature : "";
    int64_t watermark;

    ledger->totals.records++;
    ledger->totals.elements += record->count;
    ledger->totals.bytes += record->size;
    ledger->totals.length += record->size;
    ledger->totals.at = record->at;
    digest_fold(&ledger->totals.digest, record->kind, signature, record->at, record->count, body, body_count);
    if (record->kind == RECORD_ENDED) ledger->totals.ended = true;
    if (!stream) return;
    stream->elements += record->count;
    stream->bytes += (int64_t)record->size;
    if (record->kind == RECORD_STREAM_ENDED) stream->ended = true;
    if (record->kind == RECORD_WATERMARK && body_count > 0 && wire_int(body[body_count - 1], &watermark)) {
        stream->has_watermark = true;
        stream->watermark = watermark;
    }
}

void ledger_gap(ledger_t *ledger, uint32_t stream, bytes_t what, int64_t lost_us) {
    ledger_gap_add(ledger, ledger_tag(ledger, stream), what, lost_us >= 0, lost_us >= 0 ? lost_us : 0, (int64_t)ledger->totals.elements);
}

void ledger_gaps_drop(ledger_t *ledger, const bool *seen, size_t count, int64_t after) {
    size_t kept = 0;

    for (size_t i = 0; i < ledger->gaps_count; i++) {
        if (i < count && !seen[i] && ledger->gaps[i].element > after)
            gap_free(&ledger->gaps[i]);
        else
            ledger->gaps[kept++] = ledger->gaps[i];
    }
    ledger->gaps_count = kept;
}

bool ledger_gap_is(const ledger_t *ledger, const msg_gap_t *gap, uint32_t stream, bytes_t what, int64_t lost_us) {
    const char *tag = ledger_tag(ledger, stream);

    return gap->element == (int64_t)ledger->totals.elements && strlen(gap->what) == what.size &&
           memcmp(gap->what, what.data, what.size) == 0 && gap->has_lost_us == (lost_us >= 0) && (lost_us < 0 || gap->lost_us == lost_us) &&
           gap->has_tag == (tag != NULL) && (!tag || strcmp(gap->tag, tag) == 0);
}

int ledger_metas(ledger_t *ledger, const record_view_t *record) {
    meta_walk_t walk;
    journal_meta_t meta;
    int more = record->meta.size > 0 && record->stream >= ledger->streams_count ? -1 : meta_begin(&walk, record->meta);

    while (more >= 0 && (more = meta_next(&walk, &meta)) > 0) {
        if (record->kind == RECORD_GAP)
            producers_gap(&ledger->producers, record->stream, meta.producer, meta.seq);
        else
            producers_put(&ledger->producers, record->stream, &meta);
    }
    return more;
}

int ledger_header_decode(const char *path, bytes_t body, msgpack_zone *zone, msg_segment_header_t *ret_header, fault_t *why) {
    refusal_t no;
    bytes_t format;
    int64_t version;
    msg_segment_header_t header;

    if (wire_walk_own(body, &no) < 0) return fault_set(why, "%s: its header cannot be read: %s", path, no.message);
    if (!wire_map_get(body, "format", &format) || !wire_int(format, &version))
        return fault_set(why, "%s: its header has no format version", path);
    if (version != MANIFEST_FORMAT)
        return fault_set(why, "%s has format version %lld: this version reads format %d only", path, (long long)version, MANIFEST_FORMAT);
    if (record_decode(RECORD_CLASS(segment_header), "segment header", body, zone, &header, &no) < 0)
        return fault_set(why, "%s: its header cannot be read: %s", path, no.message);
    if (header.digest.size != sizeof(digest_t))
        return fault_set(why, "%s: the digest in its header has %zu bytes, not %zu", path, header.digest.size, sizeof(digest_t));
    *ret_header = header;
    return 0;
}
