/* What is written with the elements, under the same checksum: which batches of which producers they were, and how far those had come.
 * Sizes are known without writing, because a limit in bytes must be checked before anything is appended. */
#include "meta.h"

#include <string.h>

#include "../../messages/wire.h"

static size_t list_head_size(size_t count) {
    return count < 16 ? 1 : count <= UINT16_MAX ? 3 : 5;
}

static size_t text_size(size_t size) {
    return size + (size < 32 ? 1 : size <= UINT8_MAX ? 2 : size <= UINT16_MAX ? 3 : 5);
}

static size_t number_size(uint64_t value) {
    return value < 128 ? 1 : value <= UINT8_MAX ? 2 : value <= UINT16_MAX ? 3 : value <= UINT32_MAX ? 5 : 9;
}

static size_t int_size(int64_t value) {
    if (value >= 0) return number_size((uint64_t)value);
    return value >= -32 ? 1 : value >= INT8_MIN ? 2 : value >= INT16_MIN ? 3 : value >= INT32_MIN ? 5 : 9;
}

size_t meta_size(const journal_meta_t *metas, size_t count) {
    size_t size = count > 0 ? list_head_size(count) : 0;

    for (const journal_meta_t *meta = metas; count > 0; meta++, count--)
        size += 1 + text_size(strlen(meta->producer)) + number_size(meta->seq) + (meta->cursor.size > 0 ? meta->cursor.size : 1) +
                (meta->has_watermark ? int_size(meta->watermark) : 1);
    return size;
}

void meta_write(const journal_meta_t *metas, size_t count, msgpack_sbuffer *out) {
    msgpack_packer pk;

    if (count == 0) return;
    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, count);
    for (const journal_meta_t *meta = metas; meta < metas + count; meta++) {
        msgpack_pack_array(&pk, 4);
        msgpack_pack_str_with_body(&pk, meta->producer, strlen(meta->producer));
        msgpack_pack_uint64(&pk, meta->seq);
        if (meta->cursor.size > 0)
            must(msgpack_sbuffer_write(out, (const char *)meta->cursor.data, meta->cursor.size) == 0);
        else
            msgpack_pack_nil(&pk);
        if (meta->has_watermark)
            msgpack_pack_int64(&pk, meta->watermark);
        else
            msgpack_pack_nil(&pk);
    }
}

int meta_begin(meta_walk_t *walk, bytes_t meta) {
    const uint8_t *at = meta.data;
    size_t head;

    walk->left = 0;
    walk->rest = meta;
    if (meta.size == 0) return 0;
    if ((at[0] & 0xf0) == 0x90) {
        walk->left = at[0] & 0x0f;
        head = 1;
    } else if (meta.size >= 3 && at[0] == 0xdc) {
        walk->left = (uint64_t)at[1] << 8 | at[2];
        head = 3;
    } else if (meta.size >= 5 && at[0] == 0xdd) {
        walk->left = (uint64_t)at[1] << 24 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 8 | at[4];
        head = 5;
    } else {
        return -1;
    }
    walk->rest = (bytes_t){at + head, meta.size - head};
    return 0;
}

static bool value_take(meta_walk_t *walk, bytes_t *ret_value) {
    size_t size = wire_value_size(walk->rest);

    if (size == 0) return false;
    *ret_value = (bytes_t){walk->rest.data, size};
    walk->rest.data += size;
    walk->rest.size -= size;
    return true;
}

int meta_next(meta_walk_t *walk, journal_meta_t *ret_meta) {
    bytes_t producer, seq, cursor, watermark;
    const char *name;
    size_t name_size;
    int64_t number, time = 0;

    if (walk->left == 0) return walk->rest.size == 0 ? 0 : -1;
    if (walk->rest.size == 0 || walk->rest.data[0] != 0x94) return -1;
    walk->rest.data++;
    walk->rest.size--;
    walk->left--;
    if (!value_take(walk, &producer) || !value_take(walk, &seq) || !value_take(walk, &cursor) || !value_take(walk, &watermark)) return -1;
    if (!wire_text(producer, &name, &name_size) || name_size >= sizeof walk->producer || !wire_int(seq, &number) || number < 0) return -1;

    bool has_watermark = watermark.data[0] != 0xc0;

    if (has_watermark && !wire_int(watermark, &time)) return -1;
    memcpy(walk->producer, name, name_size);
    walk->producer[name_size] = 0;
    *ret_meta = (journal_meta_t){
        .producer = walk->producer,
        .seq = (uint64_t)number,
        .cursor = cursor.data[0] != 0xc0 ? cursor : (bytes_t){0},
        .has_watermark = has_watermark,
        .watermark = time,
    };
    return 1;
}
