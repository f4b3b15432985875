/* Replays are served from here: any number of places in one recording, each record checked before it is given out, and given out as it
 * lies in the mapped file.
 *
 * A segment is mapped when a place reaches it, and unmapped when many others were since: a long recording is never mapped as a whole. What
 * is known of its records is kept sparsely (a mark each 256 KiB), as they are passed or when somebody seeks, so that a seek reads heads
 * only, and the records around its goal in full. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "ledger.h"
#include "segment.h"

enum { MARK_EVERY = 256 * 1024, MAP_SLACK = 1024 * 1024, MAPS_MAX = 16 };

/* A record's place: what is before it. */
typedef struct mark {
    uint64_t offset, element;
    int64_t at; /* its time */
} mark_t;

typedef struct part {
    uint64_t number;          /* names the segment */
    int descriptor;           /* open while it may still grow; -1 */
    segment_t *segment;       /* NULL: not reached yet, or not for long */
    struct stat file;         /* as it was when it was mapped */
    uint64_t used;            /* when it was last read from, counted in such times */
    uint64_t length;          /* valid bytes */
    bool closed;              /* `length` is final */
    bool headed;              /* the header was read: what follows is known */
    uint64_t elements, bytes; /* before it */
    int64_t at;               /* the header's */
    mark_t *marks;            /* the first is of the record after the header */
    size_t marks_count, marks_room;
    mark_t edge;          /* how far records were passed; `at` is of the last one passed */
    uint64_t edge_number; /* the number of the record at the edge */
} part_t;

struct reader {
    char folder[SEGMENT_PATH_SIZE];
    uint64_t segment, length, elements; /* published */
    uint64_t segment_bytes;
    part_t *parts;
    size_t count, room;
    size_t maps;     /* parts that are mapped */
    uint64_t uses;   /* the last part's `used` */
    segment_t *held; /* what the last reader_next gave is in it */
};

static int reader_damaged(const reader_t *reader, const part_t *part, uint64_t offset, const char *what, fault_t *why) {
    char path[SEGMENT_PATH_SIZE];

    segment_path(reader->folder, part->number, path);
    return fault_set(why, "%s is damaged at byte %llu: %s", path, (unsigned long long)offset, what);
}

/* ---- parts ---- */
/* Learns of the segments up to the last one published. */
static int reader_list(reader_t *reader, fault_t *why) {
    uint64_t *numbers, last = reader->count > 0 ? reader->parts[reader->count - 1].number : 0;
    size_t count;

    if (reader->count > 0 && last >= reader->segment) return 0;
    if (segment_list(reader->folder, &numbers, &count, why) < 0) return -1;
    for (size_t i = 0; i < count && numbers[i] <= reader->segment; i++) {
        if (reader->count > 0 && numbers[i] <= last) continue;
        if (reader->count == reader->room) {
            reader->room = reader->room ? 2 * reader->room : 8;
            reader->parts = realloc(reader->parts, reader->room * sizeof *reader->parts);
            must(reader->parts);
        }
        reader->parts[reader->count++] = (part_t){.number = numbers[i], .descriptor = -1};
    }
    free(numbers);
    if (reader->count == 0 || reader->parts[0].number != 0)
        return fault_set(why, "%s is damaged: its first segment is missing", reader->folder);
    if (reader->parts[reader->count - 1].number != reader->segment)
        return fault_set(why, "%s is damaged: its last segment, %012llu.seg, is missing", reader->folder,
                         (unsigned long long)reader->segment);
    return 0;
}

static int part_header(reader_t *reader, part_t *part, fault_t *why) {
    char path[SEGMENT_PATH_SIZE];
    record_view_t record;
    msg_segment_header_t header;
    int64_t size = segment_read(part->segment, 0, part->length, true, &record);

    if (size <= 0 || record.kind != RECORD_SEGMENT || record.number != part->number)
        return reader_damaged(reader, part, 0, size == SEGMENT_UNREADABLE ? "the disk reports an error" : "its header is not right", why);

    msgpack_zone *zone = msgpack_zone_new(8192);

    must(zone);
    segment_path(reader->folder, part->number, path);

    int failed = ledger_header_decode(path, record.body, zone, &header, why);

    if (failed == 0) {
        part->elements = (uint64_t)header.elements;
        part->bytes = (uint64_t)header.bytes;
        part->at = record.at;
        part->edge = (mark_t){.offset = record.size, .element = part->elements, .at = record.at};
        part->edge_number = record.number + 1;
        part->headed = true;
    }
    msgpack_zone_free(zone);
    return failed;
}

/* Unmaps the one not read from for the longest time. What is borrowed from it keeps its map. */
static void reader_unmap_one(reader_t *reader, const part_t *except) {
    part_t *oldest = NULL;

    for (part_t *part = reader->parts; part < reader->parts + reader->count; part++)
        if (part->segment && part->closed && part != except && (!oldest || part->used < oldest->used)) oldest = part;
    if (!oldest) return;
    segment_release(&oldest->segment);
    reader->maps--;
}

static int part_map(reader_t *reader, part_t *part, uint64_t size, fault_t *why) {
    char path[SEGMENT_PATH_SIZE];
    segment_t *fresh;

    segment_path(reader->folder, part->number, path);
    fresh = segment_map(part->descriptor, size, path, why);
    if (!fresh) return -1;
    must(fstat(part->descriptor, &part->file) == 0);
    if (!part->segment && ++reader->maps > MAPS_MAX) reader_unmap_one(reader, part);
    segment_release(&part->segment);
    part->segment = fresh;
    part->used = ++reader->uses;
    return 0;
}

/* Brings a part up to what is published, and reads its header the first time. */
static int part_refresh(reader_t *reader, part_t *part, fault_t *why) {
    bool last = part->number == reader->segment;
    uint64_t size = 0;
    struct stat status;

    if (part->descriptor < 0) {
        part->descriptor = segment_open(reader->folder, part->number, &size, why);
        if (part->descriptor < 0) return -1;
        if (last && size < reader->length) return reader_damaged(reader, part, size, "the file is cut off", why);
    } else if (!last && fstat(part->descriptor, &status) == 0) {
        size = (uint64_t)status.st_size;
    }
    part->length = last ? reader->length : size;
    if (part->length == 0) return last ? 0 : reader_damaged(reader, part, 0, "the file is empty", why);
    if (!part->segment || part->segment->size < part->length) {
        uint64_t ahead = last ? reader->segment_bytes + MAP_SLACK : 0;

        if (part_map(reader, part, part->length > ahead ? part->length : ahead, why) < 0) return -1;
    }
    if (!last) {
        part->closed = true;
        close(part->descriptor);
        part->descriptor = -1;
    }
    return part->headed ? 0 : part_header(reader, part, why);
}

static int part_ready(reader_t *reader, part_t *part, fault_t *why) {
    if (part->headed && part->segment && (part->closed || (part->number == reader->segment && part->length == reader->length))) return 0;
    return part_refresh(reader, part, why);
}

/* ---- life ---- */
reader_t *reader_open(const char *folder, uint64_t segment, uint64_t length, uint64_t elements, int64_t segment_bytes, fault_t *why) {
    reader_t *reader = calloc(1, sizeof *reader);

    must(reader && segment_bytes > 0);
    if (strlen(folder) + 64 > sizeof reader->folder) {
        fault_set(why, "the path %s is too long", folder);
        goto fail;
    }
    strcpy(reader->folder, folder);
    reader->segment_bytes = (uint64_t)segment_bytes;
    reader_publish(reader, segment, length, elements);
    if (reader_list(reader, why) < 0) goto fail;
    return reader;
fail:
    reader_close(&reader);
    return NULL;
}

void reader_close(reader_t **reader) {
    reader_t *old = *reader;

    *reader = NULL;
    if (!old) return;
    for (size_t i = 0; i < old->count; i++) {
        if (old->parts[i].descriptor >= 0) close(old->parts[i].descriptor);
        segment_release(&old->parts[i].segment);
        free(old->parts[i].marks);
    }
    segment_release(&old->held);
    free(old->parts);
    free(old);
}

void reader_publish(reader_t *reader, uint64_t segment, uint64_t length, uint64_t elements) {
    reader->segment = segment;
    reader->length = length;
    reader->elements = elements;
}

static bool part_is_current(const reader_t *reader, const part_t *part) {
    char path[SEGMENT_PATH_SIZE];
    struct stat now;
    const struct stat *then = &part->file;

    segment_path(reader->folder, part->number, path);
    return stat(path, &now) == 0 && now.st_ino == then->st_ino && now.st_size == then->st_size &&
           now.st_mtim.tv_sec == then->st_mtim.tv_sec && now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

bool reader_is_current(const reader_t *reader) {
    for (const part_t *part = reader->parts; part < reader->parts + reader->count; part++)
        if (part->segment && !part_is_current(reader, part)) return false;
    return true;
}

void *reader_hold(reader_t *reader) {
    must(reader->held);
    return segment_hold(reader->held);
}

void reader_release(void *data, void *hint) {
    segment_t *segment = hint;

    (void)data;
    segment_release(&segment);
}

/* ---- reading ---- */
/* Notes that a record was passed, if it stands at the edge of what is known. */
static void part_pass(part_t *part, uint64_t offset, const record_view_t *record) {
    if (offset != part->edge.offset) return;
    if (part->marks_count == 0 || offset - part->marks[part->marks_count - 1].offset >= MARK_EVERY) {
        if (part->marks_count == part->marks_room) {
            part->marks_room = part->marks_room ? 2 * part->marks_room : 8;
            part->marks = realloc(part->marks, part->marks_room * sizeof *part->marks);
            must(part->marks);
        }
        part->marks[part->marks_count++] = (mark_t){.offset = offset, .element = part->edge.element, .at = record->at};
    }
    part->edge = (mark_t){.offset = offset + record->size, .element = part->edge.element + record->count, .at = record->at};
    part->edge_number = record->number + 1;
}

/* Reads the record at `offset`; -1 where there is none that is right. */
static int part_read(const reader_t *reader, part_t *part, uint64_t offset, bool check, record_view_t *ret_record, fault_t *why) {
    int64_t size = segment_read(part->segment, offset, part->length, check, ret_record);

    if (size == SEGMENT_UNREADABLE) return reader_damaged(reader, part, offset, "the disk reports an error", why);
    if (size == 0) return reader_damaged(reader, part, offset, "a record is cut off", why);
    if (size < 0) return reader_damaged(reader, part, offset, "a record does not match its checksum", why);
    if (offset == part->edge.offset && (ret_record->number != part->edge_number || ret_record->at < part->edge.at))
        return reader_damaged(reader, part, offset, "a record is not the one that comes next", why);
    if (offset > 0 && ret_record->kind == RECORD_SEGMENT)
        return reader_damaged(reader, part, offset, "a segment's header stands within the segment", why);
    return 0;
}

/* Goes from the end of a part to the next one, which must begin where it ends. */
static int reader_cross(reader_t *reader, position_t *position, fault_t *why) {
    const part_t *from, *to;

    if (position->segment + 1 >= reader->count && reader_list(reader, why) < 0) return -1;
    must(position->segment + 1 < reader->count);
    if (part_ready(reader, &reader->parts[position->segment + 1], why) < 0) return -1;
    from = &reader->parts[position->segment];
    to = from + 1;
    if (to->length > 0 && to->bytes != from->bytes + from->length)
        return reader_damaged(reader, from, from->length, "its length is not the one that the next segment's header tells", why);
    if (to->length > 0 && to->elements != position->element)
        return reader_damaged(reader, to, 0, "its header tells of another number of elements before it", why);
    position->segment++;
    position->offset = 0;
    return 0;
}

bool reader_reaches(const reader_t *reader, const position_t *position) {
    return position->segment < reader->count;
}

int reader_next(reader_t *reader, position_t *position, record_view_t *ret_record, fault_t *why) {
    position_t here = *position;

    for (;;) {
        must(here.segment < reader->count);

        part_t *part = &reader->parts[here.segment];
        record_view_t record;
        uint64_t offset = here.offset;

        if (part_ready(reader, part, why) < 0) return -1;
        if (offset >= part->length) {
            if (part->number == reader->segment) return 0;
            if (reader_cross(reader, &here, why) < 0) return -1;
            continue;
        }
        if (part_read(reader, part, offset, true, &record, why) < 0) return -1;
        here.offset = offset + record.size;
        if (record.kind == RECORD_SEGMENT) continue;
        part_pass(part, offset, &record);
        here.element += record.count;
        if (reader->held != part->segment) {
            segment_release(&reader->held);
            reader->held = segment_hold(part->segment);
            part->used = ++reader->uses;
        }
        *position = here;
        *ret_record = record;
        return 1;
    }
}

/* ---- seeking ---- */
/* Passes records by their heads until the edge is at or past `element` and `at`, or the part ends. */
static int part_pass_until(const reader_t *reader, part_t *part, uint64_t element, int64_t at, fault_t *why) {
    while (part->edge.offset < part->length && part->edge.element <= element && part->edge.at < at) {
        uint64_t offset = part->edge.offset;
        record_view_t record;

        if (part_read(reader, part, offset, false, &record, why) < 0) return -1;
        part_pass(part, offset, &record);
    }
    return 0;
}

/* The last part whose header tells of no more than `element` elements before it and of a time before `at`; the first where none does. */
static int reader_part(reader_t *reader, uint64_t element, int64_t at, size_t *ret_index, fault_t *why) {
    size_t low = 0, high;

    if (reader_list(reader, why) < 0) return -1;
    high = reader->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        part_t *part = &reader->parts[middle];

        if (part_ready(reader, part, why) < 0) return -1;
        if (part->headed && part->elements <= element && part->at < at)
            low = middle;
        else
            high = middle;
    }
    *ret_index = low;
    return part_ready(reader, &reader->parts[low], why);
}

/* Goes to the first record that holds an element after `element` or is at or after `at`; where there is none, to the end. */
static int reader_seek(reader_t *reader, uint64_t element, int64_t at, position_t *ret_position, fault_t *why) {
    size_t index;
    part_t *part;
    position_t position;
    record_view_t record;

    if (reader_part(reader, element, at, &index, why) < 0) return -1;
    part = &reader->parts[index];
    position = (position_t){.segment = index};
    if (part->headed) {
        size_t low = 0, high;

        if (part_pass_until(reader, part, element, at, why) < 0) return -1;
        for (high = part->marks_count; high - low > 1;) {
            size_t middle = low + (high - low) / 2;

            if (part->marks[middle].element <= element && part->marks[middle].at < at)
                low = middle;
            else
                high = middle;
        }
        position.offset = part->marks_count > 0 ? part->marks[low].offset : part->edge.offset;
        position.element = part->marks_count > 0 ? part->marks[low].element : part->elements;
    }
    for (;;) {
        int got = reader_next(reader, &position, &record, why);

        if (got < 0) return -1;
        if (got > 0 && position.element <= element && record.at < at) continue;
        if (got > 0) { /* the place before it */
            position.offset -= record.size;
            position.element -= record.count;
        }
        *ret_position = position;
        return 0;
    }
}

int reader_seek_element(reader_t *reader, uint64_t element, position_t *ret_position, fault_t *why) {
    if (element < reader->elements) return reader_seek(reader, element, INT64_MAX, ret_position, why);
    if (reader_list(reader, why) < 0) return -1;
    *ret_position = (position_t){.segment = reader->count - 1, .offset = reader->length, .element = reader->elements};
    return 0;
}

int reader_seek_time(reader_t *reader, int64_t at, position_t *ret_position, fault_t *why) {
    return reader_seek(reader, UINT64_MAX, at, ret_position, why);
}

/* ---- watermarks ---- */
static int header_watermarks(const part_t *part, size_t streams, int64_t *ret_watermarks, bool *ret_has, fault_t *why) {
    record_view_t record;
    msg_segment_header_t header;
    msgpack_zone *zone = msgpack_zone_new(8192);

    must(zone && segment_read(part->segment, 0, part->length, true, &record) > 0);

    int failed = ledger_header_decode("a segment that was read before", record.body, zone, &header, why);

    for (size_t i = 0; failed == 0 && i < streams && i < header.streams.count; i++) {
        ret_has[i] = header.streams.items[i].has_watermark;
        ret_watermarks[i] = header.streams.items[i].watermark;
    }
    msgpack_zone_free(zone);
    return failed;
}

int reader_watermarks(reader_t *reader, const position_t *position, size_t streams, int64_t *ret_watermarks, bool *ret_has, fault_t *why) {
    must(position->segment < reader->count);

    part_t *part = &reader->parts[position->segment];
    record_view_t record;

    for (size_t i = 0; i < streams; i++) ret_has[i] = false;
    if (part_ready(reader, part, why) < 0) return -1;
    if (!part->headed) return 0;
    if (header_watermarks(part, streams, ret_watermarks, ret_has, why) < 0 || part_read(reader, part, 0, false, &record, why) < 0)
        return -1;
    for (uint64_t offset = record.size; offset < position->offset; offset += record.size) {
        if (part_read(reader, part, offset, false, &record, why) < 0) return -1;
        if (record.kind == RECORD_ELEMENTS) continue;
        /* Only now does it count what kind it is, and of which stream. */
        if (part_read(reader, part, offset, true, &record, why) < 0) return -1;
        if (record.kind != RECORD_WATERMARK || record.stream >= streams) continue;
        if (!wire_int(record.body, &ret_watermarks[record.stream]))
            return reader_damaged(reader, part, offset, "a watermark is no whole number", why);
        ret_has[record.stream] = true;
    }
    return 0;
}
