/* What connectors read from servers, peers, files and cursors, by the first byte: each parser by itself, without a connector around it. What was
 * read and is written is read again as it was, pieces of any size make no difference, and what is refused says why. The parts of it that are
 * not about one parser are in outside.h, those of servers in servers.h. */
#include <sys/mman.h>
#include <unistd.h>

#include "actors/sources/cutter.h"
#include "actors/sources/feed.h"
#include "actors/sources/parts.h"
#include "actors/sources/payload.h"
#include "actors/sources/spool.h"
#include "actors/sources/timing.h"
#include "bin/client/url.h"
#include "servers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- files ---- */

enum { PIECES_MAX = 64 };

/* What a cutter has made of a file. */
typedef struct cuts {
    uint64_t print;
    int64_t count, offset;
    int end;
    fault_t why;
} cuts_t;

/* Is the element what stands there in the file? */
static void cut_check(const cutter_t *cutter, bytes_t element, bytes_t file, int64_t offset) {
    const uint8_t *at = file.data + offset, *end = file.data + file.size;
    must(element.size <= cutter->element_max && (size_t)(end - at) >= element.size && memcmp(at, element.data, element.size) == 0);
    size_t size = cutter->cut == CUT_VALUES ? wire_value_size((bytes_t){at, (size_t)(end - at)}) : 0;
    if (cutter->cut == CUT_VALUES)
        must(size == element.size || (size == 0 && element.size > WIRE_DEPTH_MAX)); /* the walk does not go so deep */
    else
        must(!memchr(at, '\n', element.size) && (at + element.size == end || at[element.size] == '\n'));
}

static void cuts_add(cuts_t *cuts, bytes_t element) {
    cuts->print = print_add(cuts->print, element);
    cuts->count++;
}

static int cut_all(cutter_t *cutter, bytes_t file, cuts_t *cuts) {
    bytes_t element;
    int got;
    for (int64_t offset = cutter->offset; (got = cutter_take(cutter, "f", &element, &cuts->why)) > 0; offset = cutter->offset) {
        cut_check(cutter, element, file, offset);
        cuts_add(cuts, element);
        must(cutter->offset > offset && cutter->last_offset == offset && cutter->line == cuts->count);
    }
    return got;
}

/* `piece`: bytes that the file grows by. */
static cuts_t file_cut(cut_t cut, size_t element_max, bytes_t file, size_t piece) {
    cutter_t cutter;
    cuts_t cuts = {0};
    bytes_t rest;
    int descriptor = memfd_create("file", MFD_CLOEXEC);
    must(descriptor >= 0);
    cutter_init(&cutter, cut, element_max);
    cutter_set(&cutter, 0, 0);
    for (size_t at = 0; at < file.size && cuts.end == 0; at += piece) {
        size_t size = file.size - at < piece ? file.size - at : piece;
        must(pwrite(descriptor, file.data + at, size, (off_t)at) == (ssize_t)size);
        must(cutter_fill(&cutter, descriptor, "f", &cuts.why) == 1 && cutter_end(&cutter) == (int64_t)(at + size));
        cuts.end = cut_all(&cutter, file, &cuts);
    }
    if (cuts.end == 0) {
        must(cutter_fill(&cutter, descriptor, "f", &cuts.why) == 0);
        cuts.end = cutter_rest(&cutter, "f", &rest, &cuts.why);
        if (cuts.end > 0) cuts_add(&cuts, rest);
        must(cuts.end < 0 || cutter_is_empty(&cutter));
    }
    cuts.offset = cutter.offset;
    said_check(cuts.end, &cuts.why);
    cutter_fini(&cutter);
    close(descriptor);
    return cuts;
}

static void cutter(draw_t *draw) {
    cut_t cut = draw_byte(draw) % 2 ? CUT_VALUES : CUT_LINES;
    size_t element_max = 1 + draw_byte(draw), piece = 1 + draw_byte(draw);
    bytes_t file = draw_bytes(draw, SIZE_MAX);
    if (file.size / piece > PIECES_MAX) piece = file.size / PIECES_MAX + 1;
    cuts_t whole = file_cut(cut, element_max, file, file.size + 1), pieces = file_cut(cut, element_max, file, piece);
    must(whole.print == pieces.print && whole.count == pieces.count && whole.offset == pieces.offset && whole.end == pieces.end);
    must(whole.end >= 0 || strcmp(whole.why.text, pieces.why.text) == 0);
}

/* ---- a folder's cursor ---- */

/* Follows the files of the places, as finding them would. */
static void spool_put(spool_t *spool, spool_place_t *places, size_t count) {
    for (size_t i = 0; i < count; i++)
        spool->files[i] = (spool_file_t){.inode = {-1, (dev_t)places[i].at.device, (ino_t)places[i].at.inode},
                                         .name = places[i].name,
                                         .offset = places[i].at.offset,
                                         .line = places[i].at.line,
                                         .mark = places[i].at.mark};
    spool->count = count;
}

static bool spool_pass(bytes_t cursor, msgpack_sbuffer *out) {
    spool_t *spool = calloc(1, sizeof *spool);
    static spool_place_t places[SPOOL_FOLLOWED];
    size_t count;
    must(spool);
    bool good = spool_parse(spool, cursor, places, &count);
    for (size_t i = 0; good && i < count; i++) must(places[i].name[0] && !strchr(places[i].name, '/') && places[i].at.offset >= 0);
    if (good) spool_put(spool, places, count);
    if (good) spool_pack(spool, out);
    roll_clear(&spool->names);
    free(spool->done);
    free(spool);
    return good;
}

static void spool_cursor(draw_t *draw) {
    msgpack_sbuffer once, twice;
    bytes_t cursor = draw_cursor(draw);
    msgpack_sbuffer_init(&once);
    msgpack_sbuffer_init(&twice);
    if (spool_pass(cursor, &once)) must(spool_pass(buffer_bytes(&once), &twice) && bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
    msgpack_sbuffer_destroy(&once);
    msgpack_sbuffer_destroy(&twice);
    cursor_free(cursor);
}

/* ---- cursors that are numbers ---- */

static void numbers_cursor(draw_t *draw) {
    enum { MOST = 15 };
    int64_t numbers[MOST], again[MOST] = {0};
    uint32_t count = draw_byte(draw) % (MOST + 1);
    feed_t feed = {0};
    bytes_t cursor = draw_cursor(draw);
    msgpack_sbuffer_init(&feed.numbers);
    if (feed_cursor_read(cursor, numbers, count)) {
        must(feed_cursor_read(feed_cursor(&feed, numbers, count), again, count));
        must(memcmp(numbers, again, count * sizeof *numbers) == 0);
        must(!feed_cursor_read((bytes_t){cursor.data, cursor.size - 1}, again, count));
    }
    msgpack_sbuffer_destroy(&feed.numbers);
    cursor_free(cursor);
}

/* ---- ZeroMQ's messages ---- */

static void frames_draw(draw_t *draw, parts_t *parts) {
    size_t count = 1 + draw_byte(draw) % 6;
    if (count == 6) count = PARTS_MAX;
    for (; parts->count < count; parts->count++) {
        bytes_t bytes = draw_bytes(draw, parts->count < 6 ? draw_byte(draw) : 1);
        zmq_msg_close(&parts->frames[parts->count]);
        must(zmq_msg_init_size(&parts->frames[parts->count], bytes.size) == 0);
        if (bytes.size > 0) memcpy(zmq_msg_data(&parts->frames[parts->count]), bytes.data, bytes.size);
    }
}

/* What of the frames is in its elements and attributes: everything, and once. */
static size_t parts_bytes(parts_t *parts, bytes_t attributes) {
    size_t bytes = 0;
    bytes_t value, list;
    refusal_t no;
    for (size_t i = 0; i < parts_elements(parts); i++) {
        bytes_t element = parts_element(parts, i);
        must(parts->shape != PARTS_LIST || wire_walk(element, &no) == 0);
        bytes += parts->shape == PARTS_LIST ? list_bytes(element) : element.size;
    }
    if (attributes.size > 0 && wire_map_get(attributes, "topic", &value)) bytes += value_bytes(value).size;
    if (attributes.size > 0 && wire_map_get(attributes, "parts", &value)) {
        list = value_bytes(value);
        must(wire_walk(list, &no) == 0);
        bytes += list_bytes(list);
    }
    return bytes;
}

static void zmq_parts(draw_t *draw) {
    parts_t *parts = malloc(sizeof *parts);
    parts_sequence_t sequence = {0};
    fault_t why = {""};
    int64_t number = -1;
    size_t bytes = 0;
    must(parts);
    parts_init(parts);
    parts->shape = draw_byte(draw) % (PARTS_LIST + 1);
    char *given = draw_string(draw), *key = draw_string(draw);
    frames_draw(draw, parts);
    for (size_t i = 0; i < parts->count; i++) bytes += zmq_msg_size(&parts->frames[i]);
    bytes_t attributes = parts_attributes(parts, (bytes_t){(const uint8_t *)key, strlen(key)});
    attributes_check(attributes);
    must(parts_bytes(parts, attributes) == bytes);
    int got = parts_sequence_take(&sequence, URN, given, &why);
    said_check(got, &why);
    if (got == 0) said_check(got = parts_number(parts, &sequence, &number, &why), &why);
    must(got < 0 || number >= 0);
    parts_clear(parts);
    parts_fini(parts);
    free(parts);
    free(given);
    free(key);
}

/* ---- event times and keys ---- */

static void timing_elements(draw_t *draw, timing_t *timing) {
    for (int64_t last = INT64_MIN; draw->size > 0;) {
        fault_t why = {""};
        bytes_t value = draw_bytes(draw, draw_byte(draw));
        int64_t time = 0, system = INT64_MIN + (int64_t)(draw_whole(draw, 8) >> 1);
        if (draw_byte(draw) % 8 == 7) stage_advance(theatre, draw_byte(draw) * INT64_C(1000));
        timing_begin(timing);
        int got = timing_read(timing, value, system, &time, &why);
        must(got == 0 || got == (timing->skips ? TIMING_SKIP : -1));
        if (got < 0) said_check(got, &why);
        bytes_t key = timing_key(timing), attributes = timing_attributes(timing), packed;
        must((key.data != NULL) == (attributes.size > 0));
        attributes_check(attributes);
        if (key.data)
            must(wire_map_get(attributes, "key", &packed) && bytes_equal(value_bytes(packed), key) && !memchr(key.data, 0, key.size));
        if (got == 0) timing_saw(timing, draw_byte(draw) % timing->lanes_count, time);
        const int64_t *watermark = timing_watermark(timing);
        must(!watermark || *watermark >= last);
        if (watermark) last = *watermark;
    }
}

static void timing(draw_t *draw) {
    timing_t timing;
    fault_t why = {""};
    char *event_time = draw_string(draw), *unit = draw_string(draw), *key = draw_string(draw), *on_error = draw_string(draw);
    timing_given_t given = {event_time[0] == '-' ? NULL : event_time,
                            unit[0] == '-' ? NULL : unit,
                            key[0] == '-' ? NULL : key,
                            on_error[0] == '-' ? NULL : on_error,
                            draw_delay(draw),
                            draw_delay(draw)};
    int got = timing_init(&timing, actor_of_all(), URN, draw_byte(draw) % (TIMING_SYSTEM_ORDERS + 1), &given, &why);
    said_check(got, &why);
    must(got == 0 || strstr(why.text, URN));
    if (got == 0) {
        timing_lanes(&timing, 1 + draw_byte(draw) % 4);
        timing_elements(draw, &timing);
        timing_resume(&timing);
    }
    timing_fini(&timing);
    free(event_time);
    free(unit);
    free(key);
    free(on_error);
}

/* ---- coders ---- */

/* What an element with these attributes is encoded to can be read by its coder, or is found out. */
static void coder(draw_t *draw) {
    coder_t coder;
    fault_t why = {""};
    uint8_t encoded[2 * CODER_KEY_MAX], length[CODER_LENGTH_MAX];
    size_t size;
    bytes_t key;
    refusal_t no;
    msgpack_sbuffer attributes;
    msgpack_packer packer;
    char *name = draw_string(draw);
    msgpack_sbuffer_init(&attributes);
    msgpack_packer_init(&packer, &attributes, msgpack_sbuffer_write);
    bytes_t value = draw_bytes(draw, draw_byte(draw));
    draw_value(draw, &packer, 3);
    bytes_t map =
        wire_walk(buffer_bytes(&attributes), &no) == 0 && (attributes.data[0] & 0xf0) == 0x80 ? buffer_bytes(&attributes) : (bytes_t){0};
    int got = coder_parse(name, &coder, &why);
    said_check(got, &why);
    if (got == 0) said_check(got = coder_key(&coder, map, length, &size, &key, &why), &why);
    if (got == 0) {
        must(size + key.size + value.size <= sizeof encoded && (coder.keyed ? size > 0 : size + key.size == 0));
        memcpy(encoded, length, size);
        if (key.size > 0) memcpy(encoded + size, key.data, key.size);
        if (value.size > 0) memcpy(encoded + size + key.size, value.data, value.size);
        said_check(coder_check(&coder, (bytes_t){encoded, size + key.size + value.size}, &why), &why);
    }
    msgpack_sbuffer_destroy(&attributes);
    free(name);
}

/* ---- what users type ---- */

/* What the command line makes of a URL, the engine can read: it may only not like a value. */
static void url(draw_t *draw) {
    url_source_t source;
    fault_t why = {""};
    bytes_t bytes = draw_bytes(draw, SIZE_MAX);
    char *text = strndup((const char *)bytes.data, bytes.size);
    static union {
        max_align_t alignment;
        uint8_t bytes[8192];
    } payload;
    msgpack_zone zone;
    must(text && msgpack_zone_init(&zone, 1024));
    int got = url_parse(text, &source, &why);
    said_check(got, &why);
    if (got == 0 && source.scheme->payload) {
        must(source.scheme->payload->size <= sizeof payload);
        got = payload_decode(source.scheme->payload, source.scheme->urn, buffer_bytes(&source.payload), &zone, &payload, &why);
        said_check(got, &why);
        must(got == 0 || (!strstr(why.text, "has no field") && !strstr(why.text, "well formed")));
    }
    url_fini(&source);
    msgpack_zone_destroy(&zone);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const parsers[])(draw_t *) = {cutter,        spool_cursor, numbers_cursor, zmq_parts,   timing,
                                                coder,         url,          nats_reply,     nats_answer, nats_names,
                                                redis_replies, redis_cursor, redis_lengths,  mqtt_cursor, kafka};
    static const char *const names[] = {"-",
                                        "arrival",
                                        "system",
                                        "/ts",
                                        "/key",
                                        "ms",
                                        "s",
                                        "skip",
                                        "key",
                                        "bytes",
                                        "kv<bytes,bytes>",
                                        "string_utf8",
                                        "kv<string_utf8,string_utf8>",
                                        "kv<bytes,string_utf8>",
                                        "/a/b",
                                        "0",
                                        "1",
                                        "/seq",
                                        "63",
                                        "earliest",
                                        "latest",
                                        "clicks",
                                        "views,clicks",
                                        "0-3",
                                        "2026-11-22T14:05:09Z",
                                        "end",
                                        "never",
                                        "all",
                                        "new",
                                        NULL};
    draw_t draw = {.data = data, .size = size, .names = names};
    parsers[draw_byte(&draw) % (sizeof parsers / sizeof parsers[0])](&draw);
    return 0;
}
