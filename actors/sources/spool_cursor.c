/* The cursor of a folder: [done, seen, [[device, inode, offset, line, mark, name] …], [name …]]. The last are names that are not after the one
 * that is done and are not begun. Names are bytes: a folder may have any. */
#include <string.h>

#include "../../messages/head.h"
#include "spool.h"

enum { CURSOR_PARTS = 4, PLACE_NUMBERS = 5 };

/* ---- writing ---- */

static void name_pack(msgpack_packer *packer, const char *name) {
    msgpack_pack_bin_with_body(packer, name, strlen(name));
}

/* A file that has no name any more and is read to its end is not to be found again. */
static bool is_kept(const spool_file_t *file) {
    return !file->is_gone || file->is_stirred || !file->is_dry;
}

static void place_pack(msgpack_packer *packer, const spool_file_t *file) {
    int64_t mark =
        file->is_anew ? -1 : file->mark; /* where it is known to have changed, the place must not be found by what is in it now */
    const int64_t numbers[PLACE_NUMBERS] = {(int64_t)file->inode.device, (int64_t)file->inode.number, file->offset, file->line, mark};
    msgpack_pack_array(packer, PLACE_NUMBERS + 1);
    for (size_t i = 0; i < PLACE_NUMBERS; i++) msgpack_pack_int64(packer, numbers[i]);
    name_pack(packer, file->name);
}

void spool_pack(const spool_t *spool, msgpack_sbuffer *out) {
    size_t kept = 0, amiss = spool->done ? roll_upto(&spool->names, spool->done) : 0;
    msgpack_packer packer;
    for (size_t i = 0; i < spool->count; i++) kept += is_kept(&spool->files[i]);
    if (amiss > SPOOL_AMISS) amiss = SPOOL_AMISS;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, CURSOR_PARTS);
    name_pack(&packer, spool->done ? spool->done : "");
    msgpack_pack_int64(&packer, spool->seen);
    msgpack_pack_array(&packer, kept);
    for (size_t i = 0; i < spool->count; i++) {
        if (is_kept(&spool->files[i])) place_pack(&packer, &spool->files[i]);
    }
    msgpack_pack_array(&packer, amiss);
    for (size_t i = 0; i < amiss; i++) name_pack(&packer, spool->names.list[i].name);
}

/* ---- reading ---- */

static bool take(bytes_t *rest, head_kind_t kind, head_t *ret_head) {
    *ret_head = head_read(rest->data, rest->size);
    if (ret_head->kind != kind || ret_head->size > rest->size) return false;
    *rest = (bytes_t){rest->data + ret_head->size, rest->size - ret_head->size};
    return true;
}

static bool take_list(bytes_t *rest, size_t *ret_count) {
    head_t head;
    if (!take(rest, HEAD_LIST, &head)) return false;
    *ret_count = head.length;
    return true;
}

static bool take_number(bytes_t *rest, int64_t *ret_number) {
    head_t head;
    if (!take(rest, HEAD_WHOLE, &head)) return false;
    *ret_number = head.whole;
    return true;
}

/* A name can be no path: it is opened within the folder. */
static bool take_name(bytes_t *rest, char ret_name[NAME_MAX + 1]) {
    head_t head;
    if (!take(rest, HEAD_BYTES, &head) || head.length > rest->size || head.length > NAME_MAX) return false;
    if (memchr(rest->data, '/', head.length) || memchr(rest->data, '\0', head.length)) return false;
    memcpy(ret_name, rest->data, head.length);
    ret_name[head.length] = '\0';
    *rest = (bytes_t){rest->data + head.length, rest->size - head.length};
    return true;
}

static bool take_place(bytes_t *rest, spool_place_t *ret_place) {
    size_t parts;
    spool_place_t place = {.is_found = false};
    if (!take_list(rest, &parts) || parts != PLACE_NUMBERS + 1 || !take_number(rest, &place.at.device) ||
        !take_number(rest, &place.at.inode) || !take_number(rest, &place.at.offset) || !take_number(rest, &place.at.line) ||
        !take_number(rest, &place.at.mark) || !take_name(rest, place.name))
        return false;
    *ret_place = place;
    return place.at.offset >= 0 && place.name[0] != '\0';
}

bool spool_parse(spool_t *spool, bytes_t cursor, spool_place_t places[SPOOL_FOLLOWED], size_t *ret_count) {
    char name[NAME_MAX + 1];
    size_t parts, amiss;
    if (!take_list(&cursor, &parts) || parts != CURSOR_PARTS || !take_name(&cursor, name) || !take_number(&cursor, &spool->seen) ||
        !take_list(&cursor, ret_count) || *ret_count > SPOOL_FOLLOWED)
        return false;
    spool->seen_next = spool->seen;
    if (name[0] != '\0') spool->done = strdup(name);
    must(spool->done || name[0] == '\0');
    for (size_t i = 0; i < *ret_count; i++) {
        if (!take_place(&cursor, &places[i])) return false;
    }
    if (!take_list(&cursor, &amiss) || amiss > SPOOL_AMISS) return false;
    for (size_t i = 0; i < amiss; i++) {
        if (!take_name(&cursor, name) || name[0] == '\0') return false;
        roll_add(&spool->names, name, false);
    }
    return cursor.size == 0;
}
