/* A recording's folder in which anything was changed: it is read, checked, replayed, exported, opened and written on. Nothing of that may fail
 * but in words; what recovery takes must read to its end and be found again; what verification finds intact must replay to the digest.
 *
 * The input is the changes to one of two folders, a running recording's or an ended one's. After them, as the first byte says, all checksums
 * are made right again, so that what is behind them is reached; or the machine has lost its power since, with anything on its disk. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/rebooted.h"
#include "actors/export.h"
#include "actors/reel.h"
#include "actors/replay.h"
#include "actors/store/folder.h"
#include "actors/store/manifest.h"
#include "actors/store/meta.h"
#include "actors/store/segment.h"
#include "actors/store/snapshot.h"
#include "actors/tape.h"
#include "draw.h"
#include "messages/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MANIFEST, SNAPSHOT, SEGMENTS }; /* the files: those from SEGMENTS on are segments */
enum { SEGMENT_BYTES = 4096, FILES_MAX = 12, FILE_MAX = 16 * 1024, CHANGES_MAX = 64, EVENTS_MAX = 5000, STREAMS = 2, TAGS_MAX = 64 };
#define START INT64_C(1700000000000000)

typedef struct file {
    uint64_t number; /* of a segment */
    bool there;
    size_t size;
    uint8_t data[FILE_MAX];
} file_t;

typedef struct recording {
    file_t files[FILES_MAX];
} recording_t;

static char boot[SD_ID128_STRING_MAX]; /* of this run of the machine */
static const char *const names[] = {"r", "RUNNING", "DONE", "FAILED", "a|00", "b|01", "a", "b", "msgpack", "beam-json", "", boot, NULL};
static char data_folder[256], folder[512];
static recording_t running, ended, here;

/* ---- the two folders ---- */

static void tidy(void) {
    fault_t why;
    folder_remove(folder, &why);
    char *slash = strrchr(folder, '/');
    *slash = '\0';
    folder_remove(folder, &why);
    folder_remove(data_folder, &why);
}

static void file_load(file_t *file, const char *path) {
    int descriptor = open(path, O_RDONLY);
    must(descriptor >= 0);
    ssize_t got = read(descriptor, file->data, sizeof file->data);
    must(got >= 0 && got < FILE_MAX);
    file->size = (size_t)got;
    file->there = true;
    close(descriptor);
}

static void load(recording_t *recording) {
    uint64_t *numbers;
    size_t count;
    fault_t why;
    char path[SEGMENT_PATH_SIZE];
    snprintf(path, sizeof path, "%s/" MANIFEST_FILE, folder);
    file_load(&recording->files[MANIFEST], path);
    must(segment_list(folder, &numbers, &count, &why) == 0 && count > 1 && count < FILES_MAX / 2);
    for (size_t i = 0; i < count; i++) {
        segment_path(folder, numbers[i], path);
        recording->files[SEGMENTS + i].number = numbers[i];
        file_load(&recording->files[SEGMENTS + i], path);
    }
    free(numbers);
}

static void append(journal_t *journal, uint32_t stream, uint64_t seq) {
    uint8_t elements[80] = {0x92, 0x01, 0xc4, 36};
    memcpy(elements + 40, elements, 40);
    journal_meta_t meta = {.producer = "p", .seq = seq, .cursor = {(const uint8_t *)"\x07", 1}};
    fault_t why;
    must(journal_elements(journal, stream, START + (int64_t)seq, 2, (bytes_t){elements, sizeof elements}, &meta, 1, &why) == 0);
}

/* The running recording's snapshot is one with records behind it. */
static void fill(journal_t *journal) {
    fault_t why;
    char path[SEGMENT_PATH_SIZE];
    snprintf(path, sizeof path, "%s/" SNAPSHOT_FILE, folder);
    for (uint64_t seq = 1; seq <= 30; seq++) {
        if (seq == 28) file_load(&running.files[SNAPSHOT], path);
        append(journal, seq % STREAMS, seq);
        if (seq % 7 == 0) must(journal_watermark(journal, 1, START + (int64_t)seq, (int64_t)seq, &why) == 0);
        if (seq % 11 == 0) must(journal_gap(journal, seq == 11 ? 0 : RECORD_STREAM_ALL, START + (int64_t)seq, "a hole", 5, &why) == 0);
    }
}

static void finish(journal_t *journal) {
    fault_t why;
    char digest[33];
    must(journal_stream_ended(journal, 0, START + 90, &why) == 0 && journal_ended(journal, START + 91, &why) == 0);
    const journal_totals_t *totals = journal_totals(journal);
    msg_manifest_t manifest = *journal_manifest(journal);
    digest_text(&totals->digest, digest);
    manifest.has_digest = manifest.has_records = manifest.has_segment = manifest.has_length = true;
    manifest.digest = digest;
    manifest.records = (int64_t)totals->records;
    manifest.segment = (int64_t)totals->segment;
    manifest.length = (int64_t)totals->length;
    manifest.recording.state = "DONE";
    manifest.recording.elements = (int64_t)totals->elements;
    manifest.recording.bytes = (int64_t)totals->bytes;
    must(journal_save(journal, &manifest, &why) == 0);
}

static void prepare(void) {
    static const char *tags[STREAMS][1] = {{"a"}, {"b"}};
    msg_stream_t streams[STREAMS] = {{.signature = "a|00", .urn = "a", .tags = {1, tags[0]}},
                                     {.signature = "b|01", .urn = "b", .tags = {1, tags[1]}}};
    msg_manifest_t manifest = {.format = MANIFEST_FORMAT};
    const char *tmp = getenv("TMPDIR");
    fault_t why;
    manifest.recording = (msg_recording_job_t){.recording = "r", .job = "j", .pipeline = "p", .state = "RUNNING", .started = START};
    manifest.recording.limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    manifest.recording.has_started = true;
    manifest.recording.streams.count = STREAMS;
    manifest.recording.streams.items = streams;
    snprintf(data_folder, sizeof data_folder, "%s/reprise-fuzz-XXXXXX", tmp ? tmp : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(data_folder));
    snprintf(folder, sizeof folder, "%s/recordings", data_folder);
    must(mkdir(folder, 0700) == 0);
    folder_recording_path(data_folder, "r", folder, sizeof folder);
    atexit(tidy);
    must(checkpoint_run(boot));
    journal_t *journal = journal_create(folder, &manifest, START, SEGMENT_BYTES / 2, &why);
    must(journal);
    fill(journal);
    load(&running);
    finish(journal);
    load(&ended);
    journal_close(&journal);
}

/* ---- changes ---- */

static file_t *draw_file(draw_t *draw) {
    unsigned which = draw_byte(draw) % FILES_MAX;
    for (unsigned i = 0; i < FILES_MAX; i++) {
        file_t *file = &here.files[(which + i) % FILES_MAX];
        if (file->there) return file;
    }
    return &here.files[0];
}

/* `size` bytes at `at` become those. */
static void file_splice(file_t *file, size_t at, size_t size, bytes_t bytes) {
    at = at < file->size ? at : file->size;
    size = size < file->size - at ? size : file->size - at;
    if (file->size - size + bytes.size > FILE_MAX) return;
    memmove(file->data + at + bytes.size, file->data + at + size, file->size - at - size);
    if (bytes.size > 0) memcpy(file->data + at, bytes.data, bytes.size);
    file->size = file->size - size + bytes.size;
}

/* The places of the records in a segment. */
static size_t records_find(const file_t *file, size_t places[64]) {
    size_t count = 0;
    for (size_t at = 0; at < file->size && count < 64;) {
        record_view_t record;
        int64_t size = record_read((bytes_t){file->data + at, file->size - at}, false, &record);
        if (size > 0) places[count++] = at;
        at += size > 0 ? (size_t)size : 1;
    }
    return count;
}

/* A field of a record's head: where it is, and how wide. */
static void change_record(draw_t *draw, file_t *file) {
    static const struct { uint8_t at, size; } fields[] = {{1, 1}, {3, 8}, {12, 4}, {17, 8}, {26, 4}, {36, 4}};
    size_t places[64], count = records_find(file, places);
    if (count == 0) return;
    size_t at = places[draw_byte(draw) % count];
    unsigned field = draw_byte(draw) % 6, how = draw_byte(draw);
    if (at + fields[field].at + fields[field].size > file->size) return;
    uint8_t *last = &file->data[at + fields[field].at + fields[field].size - 1];
    if (how < 200) {
        *last = (uint8_t)(*last + how - 100);
        return;
    }
    bytes_t bytes = draw_bytes(draw, fields[field].size);
    if (bytes.size > 0) memcpy(last + 1 - bytes.size, bytes.data, bytes.size);
}

/* A record is moved, doubled or taken out. */
static void move_record(draw_t *draw, file_t *file) {
    static uint8_t copy[FILE_MAX];
    size_t places[64], count = records_find(file, places);
    if (count < 2) return;
    size_t i = draw_byte(draw) % count, end = i + 1 < count ? places[i + 1] : file->size, size = end - places[i];
    memcpy(copy, file->data + places[i], size);
    unsigned how = draw_byte(draw);
    if (how % 2) file_splice(file, places[i], size, (bytes_t){0});
    if (how % 4) file_splice(draw_file(draw), places[how % count], 0, (bytes_t){copy, size});
}

/* Another map takes the place of the one in that file. */
static void change_map(draw_t *draw, file_t *file, const record_class_t *map) {
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    draw_record(draw, map, &packer, 0, 5);
    if (out.size + 5 < FILE_MAX) {
        memcpy(file->data, out.data, out.size);
        file->size = out.size + 5;
        file->there = true;
    }
    msgpack_sbuffer_destroy(&out);
}

static void change(draw_t *draw) {
    unsigned how = draw_byte(draw) % 13;
    file_t *file = draw_file(draw), *other = draw_file(draw);
    size_t at = (size_t)draw_whole(draw, 2) % (file->size + 1);
    switch (how) {
    case 0: file_splice(file, at, FILE_MAX, (bytes_t){0}); return;
    case 1: file->there = draw_byte(draw) < 128; return;
    case 2: file_splice(file, at, draw_byte(draw), draw_bytes(draw, draw_byte(draw))); return;
    case 3: file_splice(file, file->size, 0, draw_bytes(draw, draw_byte(draw))); return;
    case 4: file_splice(file, at, 0, (bytes_t){other->data, other == file ? 0 : other->size % FILE_MAX}); return;
    case 5: file->number = draw_whole(draw, draw_byte(draw) % 4 == 0 ? 8 : 1); return;
    case 6:
    case 7: change_record(draw, file); return;
    case 8:
    case 9: move_record(draw, file); return;
    case 10:
        if (at < file->size) file->data[at] = (uint8_t)draw_byte(draw);
        return;
    case 11: change_map(draw, &here.files[MANIFEST], RECORD_CLASS(manifest)); return;
    default: change_map(draw, &here.files[SNAPSHOT], RECORD_CLASS(snapshot));
    }
}

static void seal_map(file_t *file) {
    if (file->size < 5) return;
    uint8_t *trailer = file->data + file->size - 5;
    uint32_t sum = checksum_of(0, file->data, file->size - 5);
    trailer[0] = 0xce;
    for (int byte = 0; byte < 4; byte++) trailer[1 + byte] = (uint8_t)(sum >> (24 - 8 * byte));
}

/* Makes the checksums right, of all but what is not there. */
static void seal(void) {
    for (size_t i = SEGMENTS; i < FILES_MAX; i++) {
        size_t places[64], count = records_find(&here.files[i], places);
        for (size_t k = 0; k < count; k++) {
            record_view_t record;
            uint8_t *at = here.files[i].data + places[k];
            must(record_read((bytes_t){at, here.files[i].size - places[k]}, false, &record) > 0);
            uint32_t sum = checksum_of(checksum_of(0, at, 31), at + 35, record.size - 35);
            for (int byte = 0; byte < 4; byte++) at[31 + byte] = (uint8_t)(sum >> (24 - 8 * byte));
        }
    }
    for (size_t i = 0; i < SEGMENTS; i++) seal_map(&here.files[i]);
}

static void put(void) {
    fault_t why;
    char path[SEGMENT_PATH_SIZE];
    must(folder_remove(folder, &why) == 0 && mkdir(folder, 0700) == 0);
    for (size_t i = 0; i < FILES_MAX; i++) {
        const file_t *file = &here.files[i];
        if (!file->there) continue;
        segment_path(folder, file->number, path);
        if (i == MANIFEST) snprintf(path, sizeof path, "%s/" MANIFEST_FILE, folder);
        if (i == SNAPSHOT) snprintf(path, sizeof path, "%s/" SNAPSHOT_FILE, folder);
        int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        must(descriptor >= 0 && write(descriptor, file->data, file->size) == (ssize_t)file->size);
        close(descriptor);
    }
}

/* ---- what is made of it ---- */

static void said(const fault_t *why) {
    must(why->text[0]);
}

static msg_recording_place_t place_of(const msg_manifest_t *manifest) {
    const msg_recording_job_t *job = &manifest->recording;
    msg_recording_place_t place = {.recording = "r",
                                   .pipeline = "p",
                                   .folder = folder,
                                   .start = job->has_started ? job->started : job->created,
                                   .segment = manifest->segment,
                                   .length = manifest->length,
                                   .records = manifest->records,
                                   .elements = job->elements};
    place.streams.count = job->streams.count;
    place.streams.items = job->streams.items;
    return place;
}

/* True: nothing is wrong with it. */
static bool check(const msg_recording_place_t *place) {
    fault_t why;
    verify_t *verify = verify_open(folder, (uint64_t)place->segment, (uint64_t)place->length, &why);
    if (!verify) {
        said(&why);
        return false;
    }
    int left;
    while ((left = verify_step(verify, 1000, &why)) > 0) continue;
    if (left < 0) said(&why);
    const msg_recording_verified_t *result = verify_result(verify);
    must(result->intact == (result->damage.count == 0));
    bool intact = left == 0 && result->intact;
    verify_close(&verify);
    return intact;
}

static int tags_order(const void *a, const void *b) {
    return strcmp(((const msg_tag_t *)a)->tag, ((const msg_tag_t *)b)->tag);
}

/* All its tags, sorted, each once. */
static size_t tags_of(const msg_recording_place_t *place, msg_tag_t tags[TAGS_MAX]) {
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < place->streams.count; i++)
        for (size_t t = 0; t < place->streams.items[i].tags.count && count < TAGS_MAX; t++)
            tags[count++] = (msg_tag_t){.tag = place->streams.items[i].tags.items[t], .signature = place->streams.items[i].signature};
    qsort(tags, count, sizeof *tags, tags_order);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(tags[i].tag, tags[kept - 1].tag) != 0) tags[kept++] = tags[i];
    return kept;
}

static void play(draw_t *draw, const msg_recording_place_t *place, bool intact, const char *digest) {
    fault_t why;
    msg_tag_t tags[TAGS_MAX];
    msg_replay_open_t ask = {.has_recording = true, .recording = "r"};
    tape_t *tape = tape_create(place, SEGMENT_BYTES, &why);
    if (!tape) {
        said(&why);
        must(!intact);
        return;
    }
    size_t tag_count = tags_of(place, tags), all = 0;
    for (size_t i = 0; i < place->streams.count; i++) all += place->streams.items[i].tags.count;
    intact = intact && tag_count == all; /* where two streams have one tag, which no engine writes, it is one's */
    replay_t *replay = replay_create(tape, 1, &ask, tags, tag_count);
    const replay_event_t *event;
    replay_state_t state;
    bool sought = false;
    for (int i = 0; i < EVENTS_MAX && (state = replay_next(replay, &event)) != REPLAY_OVER && state != REPLAY_WAITS; i++) {
        if (state == REPLAY_BUSY) continue;
        const msg_end_t *end = event->id == MSG_END ? event->message : NULL;
        if (end && intact && !sought && digest && strcmp(end->reason, "end") == 0)
            must(end->has_digest && (strcmp(end->digest, digest) == 0 || place->streams.count != tape->place->streams.count));
        if (end) must(text_valid(end->reason, strlen(end->reason)) && (!end->has_error || text_valid(end->error, strlen(end->error))));
        replay_taken(replay);
        unsigned where = draw_byte(draw);
        if (where < 250 || end) continue;
        replay_seek(replay, where % 2 ? (int64_t)draw_byte(draw) : -1, (int64_t)draw_whole(draw, 2));
        sought = true;
    }
    replay_destroy(&replay);
    tape_destroy(&tape);
}

static void send_away(draw_t *draw, const msg_recording_place_t *place) {
    static const char *const formats[] = {"msgpack", "json", "beam"};
    char from[EXPORT_PLACE_SIZE];
    refusal_t no;
    msg_recording_export_t ask = {
        .has_recording = true, .recording = "r", .has_format = true, .format = formats[draw_byte(draw) % 3], .has_max_bytes = true};
    ask.max_bytes = 16 + 8 * draw_byte(draw);
    if (strcmp(ask.format, "beam") == 0 && place->streams.count > 0 && place->streams.items[0].tags.count > 0) {
        ask.has_tag = true;
        ask.tag = place->streams.items[0].tags.items[0];
    }
    for (int i = 0; i < 200; i++) {
        export_piece_t piece = {.complete = false};
        msgpack_sbuffer_init(&piece.data);
        int result = export_read(place, &ask, SEGMENT_BYTES, &piece, &no);
        must(result == 0 || (no.message[0] && text_valid(no.message, strlen(no.message))));
        bool over = result < 0 || piece.complete;
        memcpy(from, piece.next, sizeof from);
        msgpack_sbuffer_destroy(&piece.data);
        if (over) return;
        /* A place that comes from a client can be any. */
        if (draw_byte(draw) > 250) from[draw_byte(draw) % (strlen(from) + 1)] = (char)(' ' + draw_byte(draw) % 90);
        ask.has_from = true;
        ask.from = from;
    }
}

/* What recovery took must read to its end, where nothing before the last segment is damaged. */
static void agree(const journal_totals_t *totals, bool intact) {
    fault_t why;
    position_t position = {0}, place;
    record_view_t record;
    int got;
    reader_t *reader = reader_open(folder, totals->segment, totals->length, totals->elements, SEGMENT_BYTES, &why);
    if (!reader) {
        must(!intact);
        return;
    }
    while ((got = reader_next(reader, &position, &record, &why)) > 0) continue;
    must(!intact || (got == 0 && position.element == totals->elements));
    reader_seek_element(reader, totals->elements / 2, &place, &why);
    reader_seek_time(reader, totals->at, &place, &why);
    reader_close(&reader);
}

/* What the disk has for sure, perhaps, of an earlier run of the machine. */
static void restart(draw_t *draw) {
    const file_t *file = draw_file(draw);
    machine_restarts(folder, &(checkpoint_t){file->number, draw_byte(draw) % 2 ? draw_whole(draw, 2) : 0});
}

static void write_on(draw_t *draw) {
    fault_t why;
    uint64_t torn = 0, torn_again = 0;
    reel_ledger_t held = {0};
    reel_t *reel = reel_open(folder, START, 0, SEGMENT_BYTES, &held, &torn, &why);
    must(reel || why.text[0]);
    reel_close(&reel);
    journal_t *journal = journal_open(folder, SEGMENT_BYTES, &torn, &why);
    if (!journal) {
        said(&why);
        return;
    }
    size_t streams = journal_streams(journal);
    agree(journal_totals(journal), false);
    if (!journal_totals(journal)->ended && streams > 0 && draw_byte(draw) % 2) {
        uint8_t element[4] = {0x92, 0x01, 0xc4, 0};
        journal_meta_t meta = {.producer = "q", .seq = 1};
        must(journal_elements(journal, 0, START, 1, (bytes_t){element, sizeof element}, &meta, 1, &why) == 0);
        must(journal_gap(journal, RECORD_STREAM_ALL, START, "again", -1, &why) == 0);
    }
    journal_totals_t before = *journal_totals(journal);
    journal_close(&journal);
    journal = journal_open(folder, SEGMENT_BYTES, &torn_again, &why);
    must(journal && torn_again == 0);
    const journal_totals_t *after = journal_totals(journal);
    must(after->records == before.records && after->elements == before.elements && after->bytes == before.bytes);
    must(after->at == before.at && after->ended == before.ended && memcmp(&after->digest, &before.digest, sizeof before.digest) == 0);
    journal_close(&journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fault_t why = {""};
    msg_manifest_t *manifest = NULL;
    if (folder[0] == '\0') prepare();
    draw_t draw = {.data = data, .size = size, .names = names};
    unsigned how = draw_byte(&draw);
    here = how % 2 ? ended : running;
    for (unsigned changes = draw_byte(&draw) % CHANGES_MAX; changes > 0 && draw.size > 0; changes--) change(&draw);
    if (how % 8 < 6) seal();
    put();
    if (folder_manifest(data_folder, "r", &manifest, &why) == 0) {
        msg_recording_place_t place = place_of(manifest);
        bool intact = check(&place);
        if (manifest->has_digest) {
            play(&draw, &place, intact, manifest->digest);
            send_away(&draw, &place);
        }
    } else {
        said(&why);
    }
    manifest_free(&manifest);
    if (how / 16 % 4 == 3) restart(&draw);
    write_on(&draw);
    return 0;
}
