/* A segment of any bytes at all: recovery, reader and verification must survive it, and agree.
 *
 * The first byte says how the rest is meant: 0: the whole file; 1: what follows a right header; 2: short descriptions of records, which are
 * sealed with right checksums, so that what they say is reached behind the checksum. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/store/folder.h"
#include "actors/store/journal.h"
#include "actors/store/manifest.h"
#include "actors/store/meta.h"
#include "actors/store/reader.h"
#include "actors/store/segment.h"

#define SIGNATURE "urn|00"
enum { SEGMENT_BYTES = 4096, STREAMS = 2, FILE_MAX = 64 * 1024 };

static char folder[512];
static uint8_t header[1024];
static size_t header_size;

static void forget(void) {
    fault_t why;
    char *slash = strrchr(folder, '/');
    folder_remove(folder, &why);
    *slash = 0;
    folder_remove(folder, &why);
}

static void prepare(void) {
    static const char *tags[] = {"tag"};
    msg_stream_t streams[STREAMS];
    msg_manifest_t manifest = {.format = MANIFEST_FORMAT};
    const char *tmp = getenv("TMPDIR");
    char path[SEGMENT_PATH_SIZE];
    fault_t why;

    for (size_t i = 0; i < STREAMS; i++) streams[i] = (msg_stream_t){.signature = SIGNATURE, .urn = "urn", .tags = {1, tags}};
    manifest.recording = (msg_recording_job_t){.recording = "r", .job = "j", .pipeline = "p", .state = "RUNNING"};
    manifest.recording.streams.count = STREAMS;
    manifest.recording.streams.items = streams;
    snprintf(folder, sizeof folder, "%s/reprise-fuzz-XXXXXX", tmp ? tmp : "/tmp");
    must(mkdtemp(folder));
    strcat(folder, "/r");

    journal_t *journal = journal_create(folder, &manifest, 1000, SEGMENT_BYTES, &why);

    must(journal);
    journal_close(&journal);
    segment_path(folder, 0, path);

    int descriptor = open(path, O_RDONLY);
    ssize_t got = read(descriptor, header, sizeof header);

    must(got > 0);
    header_size = (size_t)got;
    close(descriptor);
    atexit(forget);
}

/* [kind, stream, time, count, size of meta, size of body, meta, body]: as a record with a right checksum. */
static size_t describe(const uint8_t *in, size_t size, uint8_t *out, size_t room) {
    size_t used = 0;
    int64_t at = 1000;

    for (uint64_t number = 1; size >= 6; number++) {
        size_t meta = in[4], body = in[5];
        if (6 + meta + body > size || used + RECORD_OVERHEAD + meta + body > room) break;
        at += (int8_t)in[2];
        record_view_t record = {.kind = in[0] % (RECORD_ENDED + 1),
                                .number = number,
                                .stream = in[1] == 0xff ? RECORD_STREAM_ALL : in[1],
                                .at = at,
                                .count = in[3],
                                .meta = {in + 6, meta}};
        bytes_t part = {in + 6 + meta, body};
        uint8_t *head = out + used;
        record_seal(&record, &part, 1, head, head + RECORD_HEAD_SIZE + meta);
        memcpy(head + RECORD_HEAD_SIZE, in + 6, meta);
        memcpy(head + RECORD_OVERHEAD + meta, part.data, body);
        used += RECORD_OVERHEAD + meta + body;
        in += 6 + meta + body;
        size -= 6 + meta + body;
    }
    return used;
}

static void put(const uint8_t *data, size_t size) {
    char path[SEGMENT_PATH_SIZE];

    segment_path(folder, 0, path);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    must(descriptor >= 0 && write(descriptor, data, size) == (ssize_t)size);
    close(descriptor);
}

static void verify(uint64_t length) {
    fault_t why;
    verify_t *check = verify_open(folder, 0, length, &why);

    must(check);
    while (verify_step(check, 100, &why) > 0) must(verify_result(check)->bytes <= (int64_t)length);
    verify_close(&check);
}

/* What recovery took must read to its end, and fold to the same digest. */
static void agree(const journal_totals_t *totals) {
    fault_t why;
    position_t position = {0}, place;
    record_view_t record;
    digest_t digest = {{0}};
    int64_t watermarks[STREAMS];
    bool has[STREAMS];
    int got;
    reader_t *reader = reader_open(folder, totals->segment, totals->length, totals->elements, SEGMENT_BYTES, &why);

    must(reader);
    while ((got = reader_next(reader, &position, &record, &why)) > 0)
        digest_fold(&digest, record.kind, record.stream == RECORD_STREAM_ALL ? "" : SIGNATURE, record.at, record.count, &record.body, 1);
    must(got == 0 && position.element == totals->elements && (position.offset == totals->length || totals->records == 1));
    must(memcmp(digest.bytes, totals->digest.bytes, sizeof digest.bytes) == 0);
    must(reader_seek_element(reader, totals->elements / 2, &place, &why) == 0 && place.element <= totals->elements / 2);
    must(reader_seek_time(reader, totals->at, &place, &why) == 0);
    reader_watermarks(reader, &position, STREAMS, watermarks, has, &why);
    reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t file[FILE_MAX];
    fault_t why;
    uint64_t torn = 0;

    if (folder[0] == 0) prepare();
    if (size < 1 || size > FILE_MAX / 2) return 0;

    size_t used = data[0] == 0 ? 0 : header_size;

    memcpy(file, header, used);
    if (data[0] == 2) {
        used += describe(data + 1, size - 1, file + used, sizeof file - used);
    } else {
        memcpy(file + used, data + 1, size - 1);
        used += size - 1;
    }
    put(file, used);
    verify(used);

    journal_t *journal = journal_open(folder, SEGMENT_BYTES, &torn, &why);

    if (journal) {
        must(torn <= used);
        agree(journal_totals(journal));
    }
    journal_close(&journal);
    return 0;
}
