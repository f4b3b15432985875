/* Each file is written to a journal of its own as it comes. A file that holds the whole recording is thereby done. Files of one tag each are then
 * merged by the time of their records, of those at the same time in the order of the files. */
#include "import.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "store/folder.h"
#include "store/gap_body.h"
#include "store/manifest.h"
#include "store/reader.h"
#include "store/segment.h"

#define PREFIX ".new-import-"
enum { GAP_TEXT_MAX = 8192 };                  /* bytes of what a gap says: a manifest has a thousand of them */
#define STRANGE_URN "reprise:source:import:v1" /* of a tag that no definition names */

/* A journal that is being written, and which of its files are not on the disk yet. */
typedef struct roll {
    char folder[SEGMENT_PATH_SIZE];
    journal_t *journal;
    uint64_t segment; /* the one that is being written to */
    names_t finished; /* those before it */
} roll_t;

typedef struct track {
    transfer_reader_t *reader;
    uint8_t *kept; /* the beginning of an item that is not whole yet */
    size_t kept_size, kept_room;
    char tag[256]; /* instead of the file's own; empty: none */
    roll_t roll;
    int64_t at; /* of the last event */
    bool begun; /* the header was read */
    bool ended; /* its end was read */
    uint64_t elements;
    reader_t *back; /* while it is merged */
    position_t position;
    record_view_t record;
    bool has_record;
} track_t;

struct import {
    import_spec_t spec;
    char recording[256], job[256], pipeline[256], name[300];
    msg_pipeline_tags_t *tags;
    track_t **tracks;
    size_t count;
    roll_t merged;
    roll_t *whole; /* the one that has all of it, once that is known */
    bool merging;
    bool has_gaps;            /* one in every stream was merged, */
    size_t gaps_from;         /* from this file */
    msg_manifest_t *manifest; /* once it is complete */
};

/* ---- a journal ---- */

static void roll_close(roll_t *roll) {
    fault_t why;
    if (roll->journal) journal_close(&roll->journal);
    if (roll->folder[0]) folder_remove(roll->folder, &why); /* what cannot be deleted now is when the engine starts again */
    folder_free(&roll->finished);
    roll->folder[0] = '\0';
}

static void roll_note(roll_t *roll) {
    uint64_t segment = journal_totals(roll->journal)->segment;
    if (segment == roll->segment) return;
    char path[SEGMENT_PATH_SIZE];
    segment_path(roll->folder, roll->segment, path);
    roll->finished.items = realloc(roll->finished.items, (roll->finished.count + 1) * sizeof *roll->finished.items);
    must(roll->finished.items);
    roll->finished.items[roll->finished.count] = strdup(path);
    must(roll->finished.items[roll->finished.count]);
    roll->finished.count++;
    roll->segment = segment;
}

static msg_limits_t no_limits(void) {
    return (msg_limits_t){
        .has_duration_ms = true, .duration_ms = LIMIT_NONE, .has_bytes = true, .bytes = LIMIT_NONE, .has_count = true, .count = LIMIT_NONE};
}

static int roll_open(roll_t *roll, const import_t *import, const char *name, const msg_export_header_t *header, refusal_t *no) {
    size_t count = header->streams.count;
    msg_stream_t *streams = calloc(count + 1, sizeof *streams);
    must(streams);
    for (size_t i = 0; i < count; i++)
        streams[i] = (msg_stream_t){
            .signature = header->streams.items[i].signature, .urn = header->streams.items[i].urn, .tags = header->streams.items[i].tags};
    msg_manifest_t manifest = {.format = MANIFEST_FORMAT};
    manifest.recording = (msg_recording_job_t){.recording = import->recording,
                                               .job = import->job,
                                               .pipeline = import->pipeline,
                                               .state = "RUNNING",
                                               .limits = no_limits(),
                                               .created = import->spec.now,
                                               .has_started = true,
                                               .started = header->start};
    manifest.recording.streams.count = count;
    manifest.recording.streams.items = streams;
    fault_t why;
    folder_recording_path(import->spec.data, name, roll->folder, sizeof roll->folder);
    roll->journal = journal_create(roll->folder, &manifest, header->start, import->spec.segment_bytes, &why);
    free(streams);
    if (!roll->journal) {
        roll->folder[0] = '\0';
        return refuse(no, ERROR_NO_SPACE, NULL, "%s", why.text);
    }
    return 0;
}

static int append_failed(const fault_t *why, refusal_t *no) {
    return refuse(no, ERROR_NO_SPACE, NULL, "%s", why->text);
}

/* ---- life ---- */

import_t *import_create(const import_spec_t *spec) {
    import_t *import = calloc(1, sizeof *import);
    must(import);
    import->spec = *spec;
    snprintf(import->recording, sizeof import->recording, "%s", spec->recording);
    snprintf(import->job, sizeof import->job, "%s", spec->job);
    snprintf(import->pipeline, sizeof import->pipeline, "%s", spec->pipeline ? spec->pipeline : "");
    snprintf(import->name, sizeof import->name, PREFIX "%s", spec->recording);
    if (spec->tags) import->tags = record_copy(&message_class(MSG_PIPELINE_TAGS)->record, spec->tags);
    return import;
}

static void track_free(track_t *track) {
    if (track->back) reader_close(&track->back);
    roll_close(&track->roll);
    transfer_reader_destroy(&track->reader);
    free(track->kept);
    free(track);
}

void import_destroy(import_t **import) {
    import_t *old = *import;
    *import = NULL;
    if (!old) return;
    for (size_t i = 0; i < old->count; i++) track_free(old->tracks[i]);
    free(old->tracks);
    roll_close(&old->merged);
    record_free(&message_class(MSG_PIPELINE_TAGS)->record, (void **)&old->tags);
    manifest_free(&old->manifest);
    free(old);
}

int import_clear(const char *data, fault_t *why) {
    char recordings[PATH_MAX], path[PATH_MAX];
    int failed = 0;
    if (snprintf(recordings, sizeof recordings, "%s/recordings", data) >= PATH_MAX) return fault_set(why, "the path %s is too long", data);
    DIR *dir = opendir(recordings);
    if (!dir) return fault_errno(why, "cannot read the folder %s", recordings);
    for (struct dirent *entry = readdir(dir); entry && failed == 0; entry = readdir(dir)) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0) continue;
        if (snprintf(path, sizeof path, "%s/%s", recordings, entry->d_name) < PATH_MAX) failed = folder_remove(path, why);
    }
    closedir(dir);
    return failed;
}

/* ---- what a file says ---- */

/* A format of one tag knows of no signature: it is the one that the tag has in the pipeline's definition, or one made of the tag. */
static const char *signature_of(const import_t *import, const char *tag, msgpack_zone *zone, const char **ret_urn) {
    for (size_t i = 0; import->tags && i < import->tags->tags.count; i++) {
        const msg_tag_t *known = &import->tags->tags.items[i];
        if (strcmp(known->tag, tag) != 0) continue;
        size_t size = strcspn(known->signature, "|");
        char *urn = msgpack_zone_malloc(zone, size + 1);
        must(urn);
        memcpy(urn, known->signature, size);
        urn[size] = '\0';
        *ret_urn = urn;
        return known->signature;
    }
    msgpack_sbuffer packed;
    msgpack_packer packer;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
    msgpack_pack_str_with_body(&packer, tag, strlen(tag));
    size_t room = sizeof STRANGE_URN + 16 + 2 * packed.size;
    char *signature = msgpack_zone_malloc(zone, room);
    must(signature);
    int used = snprintf(signature, room, STRANGE_URN "|msgpack:");
    for (size_t i = 0; i < packed.size; i++)
        snprintf(signature + used + 2 * i, room - (size_t)used - 2 * i, "%02x", (unsigned)(uint8_t)packed.data[i]);
    msgpack_sbuffer_destroy(&packed);
    *ret_urn = STRANGE_URN;
    return signature;
}

static int take_header(import_t *import, track_t *track, const transfer_event_t *event, refusal_t *no) {
    msg_export_header_t header = *event->header;
    char name[340];
    const char *tag = track->tag[0] ? track->tag : NULL;
    const char *tags[] = {tag};
    msg_export_stream_t stream;
    msgpack_zone *zone = msgpack_zone_new(1024);
    must(zone);
    if (import->spec.format->one_tag) {
        stream = header.streams.items[0];
        if (tag) stream.tags = (names_t){1, tags};
        stream.signature = signature_of(import, stream.tags.items[0], zone, &stream.urn);
        header.streams.count = 1;
        header.streams.items = &stream;
    }
    if (!import->pipeline[0]) snprintf(import->pipeline, sizeof import->pipeline, "%s", header.pipeline);
    size_t index = 0;
    while (import->tracks[index] != track) index++;
    if (index == 0)
        snprintf(name, sizeof name, "%s", import->name);
    else
        snprintf(name, sizeof name, "%s.%zu", import->name, index);
    int result = roll_open(&track->roll, import, name, &header, no);
    msgpack_zone_free(zone);
    track->at = header.start;
    track->begun = true;
    return result;
}

static int take_end(track_t *track, const transfer_event_t *event, refusal_t *no) {
    const journal_totals_t *totals = journal_totals(track->roll.journal);
    char digest[33];
    fault_t why;
    digest_text(&totals->digest, digest);
    if (totals->elements != event->elements)
        return refuse(no, ERROR_CORRUPT, NULL, "the file has %" PRIu64 " elements, and its end says %" PRIu64, totals->elements,
                      event->elements);
    if (event->digest && strcmp(event->digest, digest) != 0)
        return refuse(no, ERROR_CORRUPT, NULL, "the digest of what was read is %s, and the end says %.40s", digest, event->digest);
    track->ended = true;
    return journal_ended(track->roll.journal, event->at, &why) < 0 ? append_failed(&why, no) : 0;
}

/* Appends elements, a watermark, a gap, or a stream's end. */
static int journal_put(journal_t *journal, const transfer_event_t *event, fault_t *why) {
    bytes_t elements = {0};
    switch (event->kind) {
    case TRANSFER_ELEMENTS:
        elements = wire_body_elements(event->body, event->count);
        return journal_elements(journal, event->stream, event->at, event->count, elements, NULL, 0, why);
    case TRANSFER_WATERMARK: return journal_watermark(journal, event->stream, event->at, event->to, why);
    case TRANSFER_GAP: return journal_gap_later(journal, event->stream, event->at, event->what, event->lost_us, why);
    default: return journal_stream_ended(journal, event->stream, event->at, why);
    }
}

/* What no recording has. */
static const char *event_flaw(const track_t *track, const transfer_event_t *event) {
    const msg_stream_total_t *total =
        event->stream != RECORD_STREAM_ALL && event->kind != TRANSFER_END ? journal_stream(track->roll.journal, event->stream) : NULL;
    if (!transfer_time_fits(event->at)) return "its time is not 0 to 2^62 µs after the epoch";
    if (event->at < track->at) return "its time is earlier than that of the event before it";
    if (event->kind == TRANSFER_ELEMENTS && event->count == 0) return "there are no elements in it";
    if (event->kind == TRANSFER_ELEMENTS && event->body.size > WIRE_MESSAGE_MAX + RECORD_BODY_HEAD)
        return "its elements have more than 16 MiB";
    if (event->kind == TRANSFER_GAP && strlen(event->what) > GAP_TEXT_MAX) return "what it says has more than 8,192 bytes";
    if (total && total->ended) return "its stream has ended before";
    if (event->kind == TRANSFER_WATERMARK && total->has_watermark && event->to <= total->watermark) return "its watermark does not advance";
    return NULL;
}

static int take_event(import_t *import, track_t *track, const transfer_event_t *event, refusal_t *no) {
    fault_t why;
    if (track->ended) return refuse(no, ERROR_BAD_REQUEST, NULL, "something stands after the end");
    if (event->kind == TRANSFER_HEADER) return take_header(import, track, event, no);
    const char *flaw = event_flaw(track, event);
    if (flaw) return refuse(no, ERROR_BAD_REQUEST, NULL, "%s", flaw);
    track->at = event->at;
    if (event->kind == TRANSFER_END) return take_end(track, event, no);
    if (journal_put(track->roll.journal, event, &why) < 0) return append_failed(&why, no);
    roll_note(&track->roll);
    track->elements += event->count;
    return 0;
}

/* ---- the bytes ---- */

static track_t *track_of(import_t *import, size_t file, const char *tag, refusal_t *no) {
    if (file > import->count || file >= IMPORT_FILES_MAX || (file > 0 && !import->spec.format->one_tag)) {
        refuse(no, ERROR_BAD_REQUEST, "file", "`recording.import`: `file` %zu cannot be the next", file);
        return NULL;
    }
    if (file < import->count) return import->tracks[file];
    track_t *track = calloc(1, sizeof *track);
    import->tracks = realloc(import->tracks, (import->count + 1) * sizeof(track_t *));
    must(track && import->tracks);
    track->reader = transfer_reader_create(import->spec.format);
    if (tag) snprintf(track->tag, sizeof track->tag, "%s", tag);
    return import->tracks[import->count++] = track;
}

/* Takes what is whole of `in`; `ret_used` is how much that was. */
static int items_take(import_t *import, track_t *track, bytes_t in, size_t *ret_used, refusal_t *no) {
    size_t at = 0, used;
    for (;;) {
        transfer_event_t event;
        refusal_t why;
        int got = transfer_read(track->reader, (bytes_t){in.data + at, in.size - at}, &used, &event, no);
        if (got < 0) return -1;
        if (got == 0 && used == 0) break;
        if (got == 1 && take_event(import, track, &event, &why) < 0)
            return refuse(no, why.code, "data", "%s: %s", transfer_place(track->reader).text, why.message);
        transfer_pass(track->reader, used);
        at += used;
    }
    *ret_used = at;
    transfer_rest(track->reader);
    return 0;
}

static void track_keep(track_t *track, bytes_t rest) {
    if (track->kept_size + rest.size > track->kept_room) {
        track->kept_room = track->kept_size + rest.size;
        track->kept_room += track->kept_room / 4;
        track->kept = realloc(track->kept, track->kept_room);
        must(track->kept);
    }
    if (rest.size > 0) memcpy(track->kept + track->kept_size, rest.data, rest.size);
    track->kept_size += rest.size;
}

int import_feed(import_t *import, size_t file, const char *tag, bytes_t data, refusal_t *no) {
    track_t *track = track_of(import, file, tag, no);
    size_t used = 0;
    if (!track) return -1;
    if (track->kept_size == 0) {
        if (items_take(import, track, data, &used, no) < 0) return -1;
        track_keep(track, (bytes_t){data.data + used, data.size - used});
        return 0;
    }
    track_keep(track, data);
    if (items_take(import, track, (bytes_t){track->kept, track->kept_size}, &used, no) < 0) return -1;
    track->kept_size -= used;
    memmove(track->kept, track->kept + used, track->kept_size);
    if (track->kept_size == 0) {
        free(track->kept);
        track->kept = NULL;
        track->kept_room = 0;
    } else if (track->kept_size < track->kept_room / 4) {
        track->kept_room = track->kept_size;
        track->kept = realloc(track->kept, track->kept_room);
        must(track->kept);
    }
    return 0;
}

/* ---- the end ---- */

static int track_end(track_t *track, refusal_t *no) {
    transfer_place_t place = transfer_place(track->reader);
    bool one_tag = track->reader->format->one_tag;
    if (track->kept_size > 0) return refuse(no, ERROR_BAD_REQUEST, "data", "%s: the file is cut off within an item", place.text);
    if (!track->begun) return refuse(no, ERROR_BAD_REQUEST, "data", "%s: the file has no beginning", place.text);
    if (!one_tag && !track->ended) return refuse(no, ERROR_BAD_REQUEST, "data", "%s: the file is cut off: it has no end", place.text);
    return 0;
}

static int track_read(track_t *track, fault_t *why) {
    int got = reader_next(track->back, &track->position, &track->record, why);
    track->has_record = got > 0;
    return got;
}

static int merge_begin(import_t *import, refusal_t *no) {
    msg_export_stream_t *streams = calloc(import->count, sizeof *streams);
    char name[340];
    msg_export_header_t header = {.start = INT64_MAX};
    fault_t why;
    must(streams);
    header.streams.items = streams;
    for (size_t i = 0; i < import->count; i++) {
        track_t *track = import->tracks[i];
        const journal_totals_t *totals = journal_totals(track->roll.journal);
        const msg_recording_job_t *job = &journal_manifest(track->roll.journal)->recording;
        const msg_stream_t *stream = &job->streams.items[0];
        streams[header.streams.count++] = (msg_export_stream_t){.signature = stream->signature, .urn = stream->urn, .tags = stream->tags};
        if (job->started < header.start) header.start = job->started;
        track->back = reader_open(track->roll.folder, totals->segment, totals->length, totals->elements, import->spec.segment_bytes, &why);
        if (!track->back || track_read(track, &why) < 0) goto fail;
    }
    snprintf(name, sizeof name, "%s.all", import->name);
    import->merging = true;
    import->whole = &import->merged;
    int result = roll_open(&import->merged, import, name, &header, no);
    free(streams);
    return result;
fail:
    free(streams);
    return append_failed(&why, no);
}

/* Two files of one tag, or of two tags that name one source, cannot be told apart in a recording. */
static int tracks_differ(const import_t *import, refusal_t *no) {
    for (size_t i = 0; i < import->count; i++)
        for (size_t k = 0; k < i; k++) {
            const msg_stream_t *a = &journal_manifest(import->tracks[i]->roll.journal)->recording.streams.items[0];
            const msg_stream_t *b = &journal_manifest(import->tracks[k]->roll.journal)->recording.streams.items[0];
            if (strcmp(a->signature, b->signature) != 0 && strcmp(a->tags.items[0], b->tags.items[0]) != 0) continue;
            return refuse(no, ERROR_BAD_REQUEST, "tag", "two files are of the same source: `%.80s` and `%.80s`", b->tags.items[0],
                          a->tags.items[0]);
        }
    return 0;
}

static int record_put(roll_t *roll, uint32_t stream, const record_view_t *record, fault_t *why) {
    transfer_event_t event = {.stream = stream, .at = record->at, .body = record->body, .count = record->count};
    bytes_t what;
    char *text = NULL;
    switch (record->kind) {
    case RECORD_ELEMENTS: event.kind = TRANSFER_ELEMENTS; break;
    case RECORD_WATERMARK:
        event.kind = TRANSFER_WATERMARK;
        must(wire_int(record->body, &event.to));
        break;
    case RECORD_GAP:
        event.kind = TRANSFER_GAP;
        must(gap_body_read(record->body, &what, &event.lost_us) == 0);
        if (record->stream == RECORD_STREAM_ALL) event.stream = RECORD_STREAM_ALL;
        event.what = text = strndup((const char *)what.data, what.size);
        break;
    default: event.kind = TRANSFER_STREAM_ENDED;
    }
    int result = journal_put(roll->journal, &event, why);
    free(text);
    roll_note(roll);
    return result;
}

/* A gap in every stream stands in each of the files that were made of one recording: all such are taken from one file. */
static bool gap_repeats(import_t *import, size_t track) {
    const record_view_t *record = &import->tracks[track]->record;
    if (record->kind != RECORD_GAP || record->stream != RECORD_STREAM_ALL) return false;
    if (!import->has_gaps) import->gaps_from = track;
    import->has_gaps = true;
    return import->gaps_from != track;
}

/* 1: more is left; 0: all of it is in. */
static int merge_step(import_t *import, size_t bytes, fault_t *why) {
    for (size_t spent = 0; spent < bytes;) {
        size_t next = import->count;
        for (size_t i = 0; i < import->count; i++) {
            const track_t *track = import->tracks[i];
            if (track->has_record && (next == import->count || track->record.at < import->tracks[next]->record.at)) next = i;
        }
        if (next == import->count) return 0;
        track_t *track = import->tracks[next];
        spent += track->record.size;
        if (!gap_repeats(import, next) && record_put(&import->merged, (uint32_t)next, &track->record, why) < 0) return -1;
        if (track_read(track, why) < 0) return -1;
    }
    return 1;
}

/* The manifest of a recording that is complete. One that somebody went to the trouble of bringing here is not dropped because the sources of
 * its pipeline differ from it. */
static int whole_save(import_t *import, refusal_t *no) {
    journal_t *journal = import->whole->journal;
    msg_manifest_t manifest = *journal_manifest(journal);
    msg_recording_job_t *job = &manifest.recording;
    size_t count = journal_streams(journal);
    msg_stream_t *streams = calloc(count + 1, sizeof *streams);
    msg_stream_total_t *totals_of = calloc(count + 1, sizeof *totals_of);
    char digest[33];
    fault_t why;
    must(streams && totals_of);
    if (!journal_totals(journal)->ended && journal_ended(journal, journal_totals(journal)->at, &why) < 0) goto fail;
    const journal_totals_t *totals = journal_totals(journal);
    for (uint32_t i = 0; i < count; i++) {
        totals_of[i] = *journal_stream(journal, i);
        streams[i] = job->streams.items[i];
        streams[i].has_ended = true;
        streams[i].ended = totals_of[i].ended;
    }
    job->streams.items = streams;
    manifest.totals.count = count;
    manifest.totals.items = totals_of;
    job->state = "DONE";
    job->stop_reason = "sources_ended";
    job->ended = totals->at;
    job->has_stop_reason = job->has_ended = true;
    job->elements = (int64_t)totals->elements;
    job->bytes = (int64_t)totals->bytes;
    job->kept = true;
    digest_text(&totals->digest, digest);
    manifest.digest = digest;
    manifest.records = (int64_t)totals->records;
    manifest.segment = (int64_t)totals->segment;
    manifest.length = (int64_t)totals->length;
    manifest.has_digest = manifest.has_records = manifest.has_segment = manifest.has_length = true;
    int result = journal_save(journal, &manifest, &why);
    free(streams);
    free(totals_of);
    if (result == 0) import->manifest = manifest_copy(journal_manifest(journal));
    return result < 0 ? append_failed(&why, no) : 0;
fail:
    free(streams);
    free(totals_of);
    return append_failed(&why, no);
}

int import_finish(import_t *import, size_t bytes, refusal_t *no) {
    fault_t why;
    if (!import->whole) {
        if (import->count == 0) return refuse(no, ERROR_BAD_REQUEST, "data", "`recording.import`: there is nothing to import");
        for (size_t i = 0; i < import->count; i++)
            if (track_end(import->tracks[i], no) < 0) return -1;
        if (import->count == 1) {
            import->whole = &import->tracks[0]->roll;
        } else if (tracks_differ(import, no) < 0 || merge_begin(import, no) < 0) {
            return -1;
        }
    }
    int more = import->merging ? merge_step(import, bytes, &why) : 0;
    if (more < 0) return append_failed(&why, no);
    return more > 0 ? 1 : whole_save(import, no);
}

/* ---- what is known of it ---- */

names_t import_written(import_t *import) {
    roll_t *roll = import->whole ? import->whole : import->count == 1 ? &import->tracks[0]->roll : NULL;
    if (!roll || !roll->journal) return (names_t){0};
    names_t written = roll->finished;
    roll->finished = (names_t){0};
    written.items = realloc(written.items, (written.count + 1) * sizeof *written.items);
    must(written.items);
    written.items[written.count] = strdup(journal_segment_path(roll->journal));
    must(written.items[written.count]);
    written.count++;
    return written;
}

uint64_t import_bytes(const import_t *import) {
    uint64_t bytes = import->merged.journal ? journal_totals(import->merged.journal)->bytes : 0;
    for (size_t i = 0; i < import->count; i++)
        if (import->tracks[i]->roll.journal) bytes += journal_totals(import->tracks[i]->roll.journal)->bytes;
    return bytes;
}

size_t import_files(const import_t *import) {
    return import->count;
}

size_t import_waiting(const import_t *import) {
    size_t waiting = 0;
    for (size_t i = 0; i < import->count; i++) waiting += import->tracks[i]->kept_room;
    return waiting;
}

uint64_t import_elements(const import_t *import) {
    uint64_t elements = 0;
    for (size_t i = 0; i < import->count; i++) elements += import->tracks[i]->elements;
    return elements;
}

void import_seal(import_t *import) {
    must(import->manifest && import->whole->journal);
    journal_close(&import->whole->journal);
}

const msg_manifest_t *import_manifest(const import_t *import) {
    must(import->manifest);
    return import->manifest;
}

const char *import_folder(const import_t *import) {
    must(import->manifest);
    return strrchr(import->whole->folder, '/') + 1;
}

const char *import_recording(const import_t *import) {
    return import->recording;
}
