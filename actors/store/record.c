/* The bytes of one record, and the digest over what a replay sends.
 *
 * Writer, recovery, reader and verification all go through record_read and record_seal, so that they cannot differ on what a valid
 * record is. Nothing here allocates or knows of files: it is the inner loop of both recording and replay. */
#include "record.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* At -O2 gcc leaves XXH3's inner loop rolled up, its sums in memory: less than half as fast. clang unrolls it anyway. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../messages/fault.h"

enum { AT_KIND = 1, AT_NUMBER = 3, AT_STREAM = 12, AT_AT = 17, AT_COUNT = 26, AT_CHECKSUM = 31, AT_AFTER_CHECKSUM = 35, AT_META = 36 };

static const struct { uint8_t offset, byte; } marks[] = {{0, 0x98}, {2, 0xcf}, {11, 0xce}, {16, 0xd3}, {25, 0xce}, {30, 0xce}, {35, 0xc6}};

static uint32_t read32(const uint8_t *in) {
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static uint64_t read64(const uint8_t *in) {
    return (uint64_t)read32(in) << 32 | read32(in + 4);
}

static void write32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void write64(uint8_t *out, uint64_t value) {
    write32(out, (uint32_t)(value >> 32));
    write32(out + 4, (uint32_t)value);
}

/* ISA-L's loops leave the upper halves of the vector registers in use, and each SSE instruction from then on waits for them: XXH3 would run
 * at a sixth of its speed, and so, less so, would all that the thread does. */
#if defined(__x86_64__)
__attribute__((target("avx"))) static void vectors_clean(void) {
    if (__builtin_cpu_supports("avx")) __builtin_ia32_vzeroupper();
}
#else
static void vectors_clean(void) {
}
#endif

uint32_t checksum_of(uint32_t chain, const void *data, size_t size) {
    const unsigned char *at = data;
    uint32_t state = ~chain; /* isa-l neither begins nor ends with the inversion that the standard asks for */

    while (size > 0) {
        size_t piece = size < INT_MAX ? size : INT_MAX;

        state = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)piece, state);
        at += piece;
        size -= piece;
    }
    vectors_clean();
    return ~state;
}

/* Are the bytes that are there those of a record's head? */
static bool record_marked(bytes_t in) {
    for (size_t i = 0; i < sizeof marks / sizeof *marks && marks[i].offset < in.size; i++)
        if (in.data[marks[i].offset] != marks[i].byte) return false;
    return in.size <= AT_KIND || in.data[AT_KIND] <= RECORD_ENDED;
}

static bool record_body_fits(const record_view_t *record) {
    if (record->kind != RECORD_ELEMENTS) return record->count == 0;
    return record->body.size >= RECORD_BODY_HEAD && record->body.data[0] == 0xdd && read32(record->body.data + 1) == record->count;
}

int64_t record_read(bytes_t in, bool check, record_view_t *ret_record) {
    if (!record_marked(in)) return -1;
    if (in.size < RECORD_HEAD_SIZE) return 0;

    size_t meta_size = read32(in.data + AT_META), body_at = RECORD_HEAD_SIZE + meta_size;

    if (in.size > body_at && in.data[body_at] != 0xc6) return -1;
    if (in.size < body_at + 5) return 0;

    size_t body_size = read32(in.data + body_at + 1), size = body_at + 5 + body_size;

    if (in.size < size) return 0;

    record_view_t record = {
        .kind = in.data[AT_KIND],
        .number = read64(in.data + AT_NUMBER),
        .stream = read32(in.data + AT_STREAM),
        .at = (int64_t)read64(in.data + AT_AT),
        .count = read32(in.data + AT_COUNT),
        .checksum = read32(in.data + AT_CHECKSUM),
        .meta = {in.data + RECORD_HEAD_SIZE, meta_size},
        .body = {in.data + body_at + 5, body_size},
        .size = size,
    };

    if (check) {
        uint32_t sum = checksum_of(0, in.data, AT_CHECKSUM);

        if (checksum_of(sum, in.data + AT_AFTER_CHECKSUM, size - AT_AFTER_CHECKSUM) != record.checksum) return -1;
    }
    if (!record_body_fits(&record)) return -1;
    *ret_record = record;
    return (int64_t)size;
}

size_t record_seal(const record_view_t *record, const bytes_t *body, size_t body_count, uint8_t ret_head[RECORD_HEAD_SIZE],
                   uint8_t ret_body_head[RECORD_OVERHEAD - RECORD_HEAD_SIZE]) {
    size_t body_size = 0;

    for (size_t i = 0; i < body_count; i++) body_size += body[i].size;
    must(body_size <= UINT32_MAX && record->meta.size <= UINT32_MAX);

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) ret_head[marks[i].offset] = marks[i].byte;
    ret_head[AT_KIND] = (uint8_t)record->kind;
    write64(ret_head + AT_NUMBER, record->number);
    write32(ret_head + AT_STREAM, record->stream);
    write64(ret_head + AT_AT, (uint64_t)record->at);
    write32(ret_head + AT_COUNT, record->count);
    write32(ret_head + AT_META, (uint32_t)record->meta.size);
    ret_body_head[0] = 0xc6;
    write32(ret_body_head + 1, (uint32_t)body_size);

    uint32_t sum = checksum_of(0, ret_head, AT_CHECKSUM);

    sum = checksum_of(sum, ret_head + AT_AFTER_CHECKSUM, RECORD_HEAD_SIZE - AT_AFTER_CHECKSUM);
    sum = checksum_of(sum, record->meta.data, record->meta.size);
    sum = checksum_of(sum, ret_body_head, 5);
    for (size_t i = 0; i < body_count; i++) sum = checksum_of(sum, body[i].data, body[i].size);
    write32(ret_head + AT_CHECKSUM, sum);
    return RECORD_OVERHEAD + record->meta.size + body_size;
}

void digest_fold(digest_t *digest, int kind, const char *signature, int64_t at, uint32_t count, const bytes_t *parts, size_t parts_count) {
    if (kind != RECORD_ELEMENTS && kind != RECORD_WATERMARK && kind != RECORD_GAP) return;
    if (kind == RECORD_ELEMENTS && count == 0) return;

    XXH3_state_t state;
    XXH128_canonical_t canonical;
    uint8_t before[5], after[12];
    size_t signature_size = strlen(signature);

    before[0] = (uint8_t)kind;
    write32(before + 1, (uint32_t)signature_size);
    write64(after, (uint64_t)at);
    write32(after + 8, count);

    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, digest->bytes, sizeof digest->bytes);
    XXH3_128bits_update(&state, before, sizeof before);
    XXH3_128bits_update(&state, signature, signature_size);
    XXH3_128bits_update(&state, after, sizeof after);
    for (size_t i = 0; i < parts_count; i++)
        if (parts[i].size > 0) XXH3_128bits_update(&state, parts[i].data, parts[i].size);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(digest->bytes, canonical.digest, sizeof digest->bytes);
}

void digest_text(const digest_t *digest, char ret_hex[33]) {
    for (size_t i = 0; i < sizeof digest->bytes; i++) snprintf(ret_hex + 2 * i, 3, "%02x", digest->bytes[i]);
}
