/* A full check of a recording: every byte of every segment, against its checksum and against what the records before it amount to.
 *
 * It works from the files alone and goes on after damage, at the next record that is right, so that one bad place does not hide another.
 * It is done some bytes at a time, because its caller has other things to do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "gap_body.h"
#include "ledger.h"
#include "manifest.h"
#include "reader.h"
#include "segment.h"

enum { DAMAGE_MAX = 1000, NAME_SIZE = 64 };

struct verify {
    char folder[SEGMENT_PATH_SIZE];
    uint64_t last, last_length; /* how far it is checked */
    msg_manifest_t *manifest;   /* NULL: it is damaged, so that signatures and digest cannot be checked */
    ledger_t ledger;
    bool ledger_known; /* false between damage and the next header, which tells the state again */
    uint64_t *numbers;
    size_t count, index;
    segment_t *segment; /* NULL: the next one is to be opened */
    uint64_t offset, length;
    uint64_t number; /* that the next record should have */
    msg_recording_verified_t result;
    size_t damage_room;
    bool done;
};

/* ---- what was found ---- */
static void damage_add(verify_t *verify, const char *file, uint64_t offset, const char *what) {
    msg_recording_verified_t *result = &verify->result;

    result->intact = false;
    if (result->damage.count == DAMAGE_MAX) return;
    if (result->damage.count == verify->damage_room) {
        verify->damage_room = verify->damage_room ? 2 * verify->damage_room : 8;
        result->damage.items = realloc(result->damage.items, verify->damage_room * sizeof *result->damage.items);
        must(result->damage.items);
    }

    char *name = strdup(file), *text = strdup(what);

    must(name && text);
    result->damage.items[result->damage.count++] =
        (msg_damage_t){.has_segment = true, .segment = name, .has_offset = true, .offset = (int64_t)offset, .has_what = true, .what = text};
}

/* In the segment under way. */
static void damage_here(verify_t *verify, uint64_t offset, const char *what) {
    char name[NAME_SIZE];

    snprintf(name, sizeof name, "%012llu.seg", (unsigned long long)verify->numbers[verify->index]);
    damage_add(verify, name, offset, what);
    verify->ledger_known = false;
}

/* ---- life ---- */
static void verify_manifest(verify_t *verify) {
    static const msg_manifest_t none;
    fault_t why;

    if (manifest_read(verify->folder, &verify->manifest, &why) < 0) damage_add(verify, MANIFEST_FILE, 0, why.text);
    ledger_init(&verify->ledger, verify->manifest ? verify->manifest : &none);
    verify->ledger_known = verify->manifest != NULL;
}

verify_t *verify_open(const char *folder, uint64_t segment, uint64_t length, fault_t *why) {
    verify_t *verify = calloc(1, sizeof *verify);

    must(verify);
    if (strlen(folder) + 64 > sizeof verify->folder) {
        fault_set(why, "the path %s is too long", folder);
        goto fail;
    }
    strcpy(verify->folder, folder);
    verify->last = segment;
    verify->last_length = length;
    verify->result = (msg_recording_verified_t){
        .has_intact = true, .intact = true, .has_records = true, .has_elements = true, .has_bytes = true, .has_damage = true};
    if (segment_list(folder, &verify->numbers, &verify->count, why) < 0) goto fail;
    while (verify->count > 0 && verify->numbers[verify->count - 1] > segment) verify->count--;
    verify_manifest(verify);
    return verify;
fail:
    verify_close(&verify);
    return NULL;
}

void verify_close(verify_t **verify) {
    verify_t *old = *verify;

    *verify = NULL;
    if (!old) return;
    for (size_t i = 0; i < old->result.damage.count; i++) {
        free((char *)(uintptr_t)old->result.damage.items[i].segment);
        free((char *)(uintptr_t)old->result.damage.items[i].what);
    }
    free(old->result.damage.items);
    segment_release(&old->segment);
    ledger_fini(&old->ledger);
    manifest_free(&old->manifest);
    free(old->numbers);
    free(old);
}

const msg_recording_verified_t *verify_result(const verify_t *verify) {
    return &verify->result;
}

/* ---- headers ---- */
/* Both are encoded anew, so that only what they say is compared. */
static bool headers_equal(const msg_segment_header_t *a, const msg_segment_header_t *b) {
    msgpack_sbuffer x, y;

    msgpack_sbuffer_init(&x);
    msgpack_sbuffer_init(&y);
    record_encode(RECORD_CLASS(segment_header), a, &x);
    record_encode(RECORD_CLASS(segment_header), b, &y);

    bool equal = x.size == y.size && memcmp(x.data, y.data, x.size) == 0;

    msgpack_sbuffer_destroy(&x);
    msgpack_sbuffer_destroy(&y);
    return equal;
}

static void verify_header(verify_t *verify, const record_view_t *record) {
    msg_segment_header_t header, expected;
    msgpack_zone *zone = msgpack_zone_new(8192);
    fault_t why;
    uint64_t number = verify->numbers[verify->index];
    const ledger_t *ledger = &verify->ledger;

    must(zone);
    if (record->kind != RECORD_SEGMENT || record->number != number) {
        damage_here(verify, 0, "the segment does not begin with its header");
    } else if (ledger_header_decode("the segment", record->body, zone, &header, &why) < 0) {
        damage_here(verify, 0, why.text);
    } else {
        bool known = verify->ledger_known;

        ledger_header(ledger, &expected);
        if (known && (number != ledger->totals.records || record->at < ledger->totals.at || ledger->totals.ended ||
                      !headers_equal(&header, &expected)))
            damage_here(verify, 0, "the header does not tell what the records before it amount to");
        if (verify->manifest) {
            ledger_load(&verify->ledger, &header);
            ledger_segment(&verify->ledger, record);
            verify->ledger_known = true;
        }
    }
    msgpack_zone_free(zone);
}

/* ---- records ---- */
/* What is wrong with a record whose checksum is right; NULL: nothing. */
static const char *record_flaw(const record_view_t *record) {
    bytes_t what;
    int64_t number;
    uint32_t count;
    refusal_t no;

    switch (record->kind) {
    case RECORD_ELEMENTS:
        if (wire_body_check(record->body, &count, &no) < 0) /* what it says is what the record says: record_read */
            return "its body is not as many elements as it says";
        return NULL;
    case RECORD_WATERMARK: return wire_int(record->body, &number) ? NULL : "its watermark is no whole number";
    case RECORD_GAP: return gap_body_read(record->body, &what, &number) == 0 ? NULL : "its gap cannot be read";
    default: return record->body.size == 0 ? NULL : "it has a body, but should have none";
    }
}

static void verify_record(verify_t *verify, uint64_t offset, const record_view_t *record) {
    const char *flaw = verify->ledger_known ? ledger_objection(&verify->ledger, record) : NULL;

    if (!flaw) flaw = record_flaw(record);
    if (!flaw && verify->ledger_known) {
        ledger_record(&verify->ledger, record, &record->body, 1);
        if (ledger_metas(&verify->ledger, record) < 0) flaw = "its meta cannot be read";
    }
    if (flaw) damage_here(verify, offset, flaw);
}

/* Goes on at the next record that is right. -1: the disk cannot be read there either. */
static void verify_resync(verify_t *verify, int64_t result) {
    uint64_t bad = verify->offset;
    int64_t found;

    damage_here(verify, bad,
                result == SEGMENT_UNREADABLE ? "the disk reports an error"
                : result == 0                ? "a record is cut off"
                                             : "a record does not match its checksum");
    found = segment_find(verify->segment, bad + 1, verify->length, verify->number + 1);
    verify->offset = found < 0 ? verify->length : (uint64_t)found;
}

/* ---- segments ---- */
static int verify_segment(verify_t *verify, fault_t *why) {
    uint64_t number = verify->numbers[verify->index], size;
    char path[SEGMENT_PATH_SIZE];
    int descriptor = segment_open(verify->folder, number, &size, why);

    if (descriptor < 0) return -1;
    segment_path(verify->folder, number, path);
    verify->offset = 0;
    verify->number = number;
    verify->length = number == verify->last && verify->last_length < size ? verify->last_length : size;
    if (number == verify->last && size < verify->last_length) damage_here(verify, size, "the file is cut off");
    if (verify->length > 0)
        verify->segment = segment_map(descriptor, verify->length, path, why);
    else if (number != verify->last)
        damage_here(verify, 0, "the file is empty");
    close(descriptor);
    return verify->length > 0 && !verify->segment ? -1 : 0;
}

static void verify_end(verify_t *verify) {
    char digest[33];
    bool whole = verify->count > 0 && verify->numbers[verify->count - 1] == verify->last;

    verify->done = true;
    if (!whole) {
        char name[NAME_SIZE];

        snprintf(name, sizeof name, "%012llu.seg", (unsigned long long)verify->last);
        damage_add(verify, name, 0, "the file is missing");
    }
    if (!whole || !verify->ledger_known || !verify->manifest->has_digest) return;
    digest_text(&verify->ledger.totals.digest, digest);
    if (!verify->ledger.totals.ended)
        damage_add(verify, MANIFEST_FILE, 0, "it says that the recording has ended, but the segments do not");
    else if (strcmp(digest, verify->manifest->digest) != 0)
        damage_add(verify, MANIFEST_FILE, 0, "its digest is not that of the records");
}

int verify_step(verify_t *verify, size_t bytes, fault_t *why) {
    uint64_t spent = 0;

    while (!verify->done && spent < bytes) {
        record_view_t record;
        int64_t size;

        if (verify->index == verify->count) {
            verify_end(verify);
            break;
        }
        if (!verify->segment && verify_segment(verify, why) < 0) return -1;
        if (!verify->segment || verify->offset == verify->length) {
            segment_release(&verify->segment);
            verify->index++;
            continue;
        }

        uint64_t offset = verify->offset;

        size = segment_read(verify->segment, offset, verify->length, true, &record);
        if (size <= 0) {
            verify_resync(verify, size);
        } else {
            verify->offset += record.size;
            verify->number = record.number + 1;
            verify->result.records++;
            verify->result.elements += record.count;
            if (offset == 0)
                verify_header(verify, &record);
            else
                verify_record(verify, offset, &record);
        }
        verify->result.bytes += (int64_t)(verify->offset - offset);
        spent += verify->offset - offset;
    }
    return verify->done ? 0 : 1;
}
