/* Messages drawn from a fuzzer's bytes: each field of a message's table gets what the next bytes say, mostly something that it takes. So what
 * the fuzzer changes is what a message says and not whether it is msgpack, and it gets behind the walk and the codec's checks. */
#ifndef REPRISE_FUZZ_DRAW_H
#define REPRISE_FUZZ_DRAW_H

#include <string.h>

#include "messages/codec.h"

/* The bytes that are left; they end in zeros. */
typedef struct draw {
    const uint8_t *data;
    size_t size;
    const char *const *names; /* what texts are made of: ends with NULL */
    const char *pair[2];      /* a field of this name always gets this text */
    bytes_t *transforms;      /* ready-made ones, where records of that name are wanted; ends with one of size 0 */
} draw_t;

static inline unsigned draw_byte(draw_t *draw) {
    if (draw->size == 0) return 0;
    draw->size--;
    return *draw->data++;
}

static inline bytes_t draw_bytes(draw_t *draw, size_t size) {
    bytes_t drawn = {draw->data, size < draw->size ? size : draw->size};
    draw->data += drawn.size;
    draw->size -= drawn.size;
    return drawn;
}

static inline uint64_t draw_whole(draw_t *draw, unsigned bytes) {
    uint64_t number = 0;
    while (bytes-- > 0) number = number << 8 | draw_byte(draw);
    return number;
}

static inline void draw_text(draw_t *draw, msgpack_packer *packer) {
    unsigned which = draw_byte(draw);
    size_t count = 0;
    while (draw->names[count]) count++;
    if (which < 240) {
        const char *name = draw->names[which % count];
        msgpack_pack_str_with_body(packer, name, strlen(name));
        return;
    }
    bytes_t text = draw_bytes(draw, which == 255 ? draw_byte(draw) : which - 240);
    msgpack_pack_str_with_body(packer, text.data, text.size);
}

static inline void draw_number(draw_t *draw, msgpack_packer *packer) {
    static const int64_t edges[] = {0, 1, 2, 3, 10, 100, 1000, 65536, INT32_MAX, INT64_MAX, INT64_MAX - 1, INT64_MIN, -1, WATERMARK_MAX};
    unsigned how = draw_byte(draw);
    if (how < 128) msgpack_pack_int64(packer, how % 32);
    if (how >= 128 && how < 200) msgpack_pack_int64(packer, edges[how % (sizeof edges / sizeof edges[0])]);
    if (how >= 200 && how < 230) msgpack_pack_int64(packer, (int64_t)draw_whole(draw, 2));
    if (how >= 230 && how < 250) msgpack_pack_int64(packer, (int64_t)draw_whole(draw, 8));
    if (how >= 250) msgpack_pack_uint64(packer, UINT64_MAX - draw_byte(draw));
}

/* Any value, lists and maps in it as deep as `depth`. */
static inline void draw_value(draw_t *draw, msgpack_packer *packer, unsigned depth) {
    bytes_t bytes;
    double real;
    uint64_t bits;
    unsigned kind = draw_byte(draw) % 16, count;
    switch (kind) {
    case 0: msgpack_pack_nil(packer); return;
    case 1:
    case 2: kind == 1 ? msgpack_pack_true(packer) : msgpack_pack_false(packer); return;
    case 3:
        bits = draw_whole(draw, 8);
        memcpy(&real, &bits, sizeof real);
        msgpack_pack_double(packer, real);
        return;
    case 4:
    case 5:
        bytes = draw_bytes(draw, draw_byte(draw));
        msgpack_pack_bin_with_body(packer, bytes.data, bytes.size);
        return;
    case 6:
        bytes = draw_bytes(draw, draw_byte(draw) % 20);
        msgpack_pack_ext(packer, bytes.size, (int8_t)draw_byte(draw));
        msgpack_pack_ext_body(packer, bytes.data, bytes.size);
        return;
    case 7:
    case 8:
        count = depth > 0 ? draw_byte(draw) % 5 : 0;
        kind == 7 ? msgpack_pack_array(packer, count) : msgpack_pack_map(packer, count);
        for (unsigned i = 0; i < count; i++) {
            if (kind == 8) draw_text(draw, packer);
            draw_value(draw, packer, depth - 1);
        }
        return;
    case 9:
    case 10:
    case 11: draw_text(draw, packer); return;
    default: draw_number(draw, packer);
    }
}

static inline void draw_record(draw_t *draw, const record_class_t *record, msgpack_packer *packer, size_t more, unsigned depth);

static inline void draw_one(draw_t *draw, const record_class_t *record, msgpack_packer *packer, unsigned depth) {
    size_t count = 0;
    while (draw->transforms && draw->transforms[count].size > 0) count++;
    if (count == 0 || strcmp(record->name, "transform") != 0 || draw_byte(draw) > 230) {
        draw_record(draw, record, packer, 0, depth);
        return;
    }
    const bytes_t *made = &draw->transforms[draw_byte(draw) % count];
    packer->callback(packer->data, (const char *)made->data, made->size);
}

/* A value that such a field takes. */
static inline void draw_right(draw_t *draw, const field_t *field, msgpack_packer *packer, unsigned depth) {
    bytes_t bytes;
    unsigned count;
    switch (field->kind) {
    case TYPE_NAME:
    case TYPE_TEXT: draw_text(draw, packer); return;
    case TYPE_BYTES:
        bytes = draw_bytes(draw, draw_byte(draw));
        msgpack_pack_bin_with_body(packer, bytes.data, bytes.size);
        return;
    case TYPE_FLAG: draw_byte(draw) % 2 ? msgpack_pack_true(packer) : msgpack_pack_false(packer); return;
    case TYPE_NAMES:
    case TYPE_TEXTS:
    case TYPE_LIST:
        count = draw_byte(draw) % 4;
        msgpack_pack_array(packer, count);
        for (unsigned i = 0; i < count; i++) field->record ? draw_one(draw, field->record, packer, depth) : draw_text(draw, packer);
        return;
    case TYPE_RECORD: draw_one(draw, field->record, packer, depth); return;
    case TYPE_NAMED: draw_byte(draw) % 2 ? draw_text(draw, packer) : draw_one(draw, field->record, packer, depth); return;
    case TYPE_ANY: draw_value(draw, packer, 4); return;
    default: draw_number(draw, packer);
    }
}

/* A map of the record's fields; `more` entries follow it, which the caller writes. Of all fields a bit says whether they are there. */
static inline void draw_record(draw_t *draw, const record_class_t *record, msgpack_packer *packer, size_t more, unsigned depth) {
    uint64_t odd = draw_whole(draw, 2);
    bool there[64] = {false};
    size_t count = 0, fields = 0;
    for (; depth > 0 && record->fields[fields].name && fields < 64; fields++) {
        there[fields] = record->fields[fields].required ? odd % 64 != 63 || draw_byte(draw) % 2 : draw_byte(draw) % 2;
        count += there[fields];
    }
    msgpack_pack_map(packer, count + more);
    for (size_t i = 0; i < fields; i++) {
        const field_t *field = &record->fields[i];
        if (!there[i]) continue;
        msgpack_pack_str_with_body(packer, field->name, strlen(field->name));
        if (draw->pair[0] && strcmp(draw->pair[0], field->name) == 0 && odd % 8 != 7)
            msgpack_pack_str_with_body(packer, draw->pair[1], strlen(draw->pair[1]));
        else if (odd % 32 == 31 && draw_byte(draw) % 4 == 0)
            draw_value(draw, packer, 2);
        else
            draw_right(draw, field, packer, depth - 1);
    }
}

/* A batch's body: elements that are right, or any bytes. */
static inline void draw_body(draw_t *draw, msgpack_sbuffer *out) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    unsigned count = draw_byte(draw);
    if (count > 200) {
        bytes_t bytes = draw_bytes(draw, draw_byte(draw));
        if (bytes.size > 0) msgpack_sbuffer_write(out, (const char *)bytes.data, bytes.size);
        return;
    }
    msgpack_pack_array(&packer, count % 16);
    for (unsigned i = 0; i < count % 16; i++) {
        bool attributed = draw_byte(draw) % 8 == 7;
        msgpack_pack_array(&packer, attributed ? 3 : 2);
        draw_number(draw, &packer);
        bytes_t bytes = draw_bytes(draw, draw_byte(draw) % 64);
        msgpack_pack_bin_with_body(&packer, bytes.data, bytes.size);
        if (!attributed) continue;
        msgpack_pack_map(&packer, 1);
        draw_text(draw, &packer);
        draw_text(draw, &packer);
    }
}

#endif
