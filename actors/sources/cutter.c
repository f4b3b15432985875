/* Large reads and one search for each line are all that a line costs; it is not copied. A value of msgpack is walked over once, however it
 * comes: where its bytes end in the middle, the walk goes on there with the next ones. */
#include "cutter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../messages/head.h"

enum { BUFFER_FIRST = 128 * 1024 };

void cutter_init(cutter_t *cutter, cut_t cut, size_t element_max) {
    *cutter = (cutter_t){.cut = cut, .element_max = element_max};
}

/* ---- what was read ---- */

/* Copies the last bytes before that place in the buffer, and returns how many. */
static size_t before(const cutter_t *cutter, size_t at, uint8_t out[INODE_MARK_BYTES]) {
    size_t near = at < INODE_MARK_BYTES ? at : INODE_MARK_BYTES, far = INODE_MARK_BYTES - near;
    if (far > cutter->kept_size) far = cutter->kept_size;
    if (far > 0) memcpy(out, cutter->kept + cutter->kept_size - far, far);
    if (near > 0) memcpy(out + far, cutter->buffer + at - near, near);
    return far + near;
}

static void keep(cutter_t *cutter) {
    uint8_t bytes[INODE_MARK_BYTES];
    cutter->kept_size = before(cutter, cutter->from, bytes);
    memcpy(cutter->kept, bytes, cutter->kept_size);
}

int64_t cutter_mark(const cutter_t *cutter) {
    uint8_t bytes[INODE_MARK_BYTES];
    size_t size = before(cutter, cutter->from, bytes);
    return inode_mark_of(bytes, size);
}

/* ---- where it is ---- */

void cutter_drop(cutter_t *cutter) {
    keep(cutter);
    free(cutter->buffer);
    cutter->buffer = NULL;
    cutter->capacity = cutter->from = cutter->to = cutter->scanned = 0;
    cutter->pending = 0;
}

void cutter_fini(cutter_t *cutter) {
    cutter_drop(cutter);
}

void cutter_set(cutter_t *cutter, int64_t offset, int64_t line) {
    cutter->from = cutter->to = cutter->scanned = cutter->kept_size = 0;
    cutter->pending = 0;
    cutter->offset = cutter->last_offset = offset;
    cutter->line = line < INT64_MAX / 2 ? line : -1; /* no file has so many */
}

/* Bytes that cannot be read now are not those that will be there. */
void cutter_seek(cutter_t *cutter, int descriptor, int64_t offset, int64_t line) {
    size_t size = offset < INODE_MARK_BYTES ? (size_t)offset : INODE_MARK_BYTES;
    cutter_set(cutter, offset, line);
    memset(cutter->kept, 0, size);
    cutter->kept_size = size;
    ssize_t got = size > 0 ? pread(descriptor, cutter->kept, size, offset - (int64_t)size) : 0;
    (void)got;
}

/* ---- reading ---- */

static void room_make(cutter_t *cutter) {
    if (cutter->from > 0) {
        keep(cutter);
        memmove(cutter->buffer, cutter->buffer + cutter->from, cutter->to - cutter->from);
        cutter->to -= cutter->from;
        cutter->from = 0;
    }
    if (cutter->to < cutter->capacity) return;
    cutter->capacity = cutter->capacity > 0 ? cutter->capacity * 2 : BUFFER_FIRST;
    cutter->buffer = realloc(cutter->buffer, cutter->capacity);
    must(cutter->buffer);
}

int cutter_fill(cutter_t *cutter, int descriptor, const char *path, fault_t *why) {
    uint8_t last[INODE_MARK_BYTES], now[INODE_MARK_BYTES];
    room_make(cutter);
    size_t size = before(cutter, cutter->to, last);
    struct iovec parts[] = {{now, size}, {cutter->buffer + cutter->to, cutter->capacity - cutter->to}};
    ssize_t got = preadv(descriptor, parts, 2, cutter_end(cutter) - (int64_t)size);
    if (got < 0) return fault_errno(why, "cannot read %s", path);
    if ((size_t)got < size || memcmp(now, last, size) != 0) return CUTTER_CHANGED;
    cutter->to += (size_t)got - size;
    return (size_t)got > size ? 1 : 0;
}

int cutter_pour(cutter_t *cutter, int descriptor, const char *path, fault_t *why) {
    room_make(cutter);
    ssize_t got = read(descriptor, cutter->buffer + cutter->to, cutter->capacity - cutter->to);
    if (got < 0) return errno == EAGAIN ? CUTTER_LATER : fault_errno(why, "cannot read %s", path);
    cutter->to += (size_t)got;
    return got > 0 ? 1 : 0;
}

/* ---- cutting ---- */

static void element_give(cutter_t *cutter, size_t size, size_t newline, bytes_t *ret_element) {
    *ret_element = (bytes_t){cutter->buffer + cutter->from, size};
    cutter->last_offset = cutter->offset;
    cutter->from += size + newline;
    cutter->offset += (int64_t)(size + newline);
    cutter->scanned = 0;
    if (cutter->line >= 0) cutter->line++;
}

static int element_long(const cutter_t *cutter, const char *path, fault_t *why) {
    return fault_set(why, "%s: the %s at byte %lld is longer than %zu bytes", path, cutter->cut == CUT_LINES ? "line" : "value",
                     (long long)cutter->offset, cutter->element_max);
}

static int line_take(cutter_t *cutter, const char *path, bytes_t *ret_line, fault_t *why) {
    const uint8_t *begin = cutter->buffer + cutter->from;
    const uint8_t *newline = memchr(begin + cutter->scanned, '\n', cutter->to - cutter->from - cutter->scanned);
    size_t size = newline ? (size_t)(newline - begin) : cutter->to - cutter->from;
    if (size > cutter->element_max) return element_long(cutter, path, why);
    if (newline)
        element_give(cutter, size, 1, ret_line);
    else
        cutter->scanned = size;
    return newline ? 1 : 0;
}

/* Walks over the value at `scanned`, without those in it: 1; 0 where its bytes are not all there. */
static int value_walk(cutter_t *cutter, const char *path, fault_t *why) {
    const uint8_t *at = cutter->buffer + cutter->from + cutter->scanned;
    size_t left = cutter->to - cutter->from - cutter->scanned;
    if (left == 0) return 0;
    head_t head = head_read(at, left);
    if (head.kind == HEAD_UNKNOWN)
        return fault_set(why, "%s: byte %lld cannot be in msgpack: 0x%02x", path, (long long)cutter->offset + (long long)cutter->scanned,
                         at[0]);
    if (head.kind == HEAD_CUT) return 0;
    bool holds_bytes = head.kind == HEAD_TEXT || head.kind == HEAD_BYTES || head.kind == HEAD_EXT;
    uint64_t size = head.size + (holds_bytes ? (uint64_t)head.length : 0);
    uint64_t within = holds_bytes ? 0 : head.kind == HEAD_MAP ? 2 * (uint64_t)head.length : head.length;
    /* Each value that is still to come has a byte at least: what will be too long need not be read first. */
    if (cutter->scanned + size + within + cutter->pending - 1 > cutter->element_max) return element_long(cutter, path, why);
    if (left < size) return 0;
    cutter->scanned += size;
    cutter->pending += within - 1;
    return 1;
}

static int value_take(cutter_t *cutter, const char *path, bytes_t *ret_value, fault_t *why) {
    if (cutter->pending == 0) cutter->pending = 1;
    while (cutter->pending > 0) {
        int got = value_walk(cutter, path, why);
        if (got <= 0) return got;
    }
    element_give(cutter, cutter->scanned, 0, ret_value);
    return 1;
}

int cutter_take(cutter_t *cutter, const char *path, bytes_t *ret_element, fault_t *why) {
    if (cutter_is_empty(cutter)) return 0;
    return cutter->cut == CUT_LINES ? line_take(cutter, path, ret_element, why) : value_take(cutter, path, ret_element, why);
}

int cutter_rest(cutter_t *cutter, const char *path, bytes_t *ret_element, fault_t *why) {
    if (cutter_is_empty(cutter)) return 0;
    if (cutter->cut == CUT_VALUES)
        return fault_set(why, "%s ends in the middle of the value at byte %lld", path, (long long)cutter->offset);
    element_give(cutter, cutter->to - cutter->from, 0, ret_element);
    return 1;
}

void cutter_where(const cutter_t *cutter, const char *path, char *text, size_t size) {
    if (cutter->line > 0 && cutter->cut == CUT_LINES)
        snprintf(text, size, "%s:%lld", path, (long long)cutter->line);
    else
        snprintf(text, size, "%s, byte %lld", path, (long long)cutter->last_offset);
}
