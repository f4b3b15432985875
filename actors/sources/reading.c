/* The tail of one file as a reading: its cursor is a list of five numbers, and has been since before there were others. */
#include "reading.h"

#include "feed.h"
#include "tail.h"

enum { PLACE_NUMBERS = 5 };

static void *create(const reading_spec_t *spec, fault_t *why) {
    return tail_create(spec, why);
}

static void destroy(void **reading) {
    tail_t *tail = *reading;
    tail_destroy(&tail);
    *reading = NULL;
}

static int start(void *reading, bool at_end, fault_t *why) {
    return tail_start(reading, at_end, why);
}

static int resume(void *reading, bytes_t cursor, fault_t *why) {
    int64_t n[PLACE_NUMBERS];
    if (!feed_cursor_read(cursor, n, PLACE_NUMBERS) || n[2] < 0)
        return tail_absent(reading) ? fault_set(why, "%s", tail_absent(reading)) : READING_ALIEN; /* it may have been a folder */
    return tail_resume(reading, &(inode_place_t){n[0], n[1], n[2], n[3], n[4]}, why);
}

static int next(void *reading, bytes_t *ret_element, fault_t *why) {
    int got = tail_next(reading, ret_element, why);
    return got == 0 && tail_descriptor(reading) < 0 ? READING_END : got;
}

static const char *lost(const void *reading) {
    return tail_lost(reading);
}

static void place(void *reading, msgpack_sbuffer *out) {
    inode_place_t place = tail_place(reading);
    msgpack_packer packer;
    const int64_t numbers[PLACE_NUMBERS] = {place.device, place.inode, place.offset, place.line, place.mark};
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, PLACE_NUMBERS);
    for (size_t i = 0; i < PLACE_NUMBERS; i++) msgpack_pack_int64(&packer, numbers[i]);
}

static void where(const void *reading, char *text, size_t size) {
    tail_where(reading, text, size);
}

static const char *waits(const void *reading) {
    return tail_waits(reading);
}

static bool is_to_be_looked_at(const void *reading) {
    return tail_is_to_be_looked_at(reading);
}

static int descriptor(const void *reading) {
    return tail_descriptor(reading);
}

static int wake(void *reading, fault_t *why) {
    return tail_wake(reading, why);
}

const reading_class_t tail_reading = {
    .create = create,
    .destroy = destroy,
    .start = start,
    .resume = resume,
    .next = next,
    .lost = lost,
    .place = place,
    .where = where,
    .waits = waits,
    .is_to_be_looked_at = is_to_be_looked_at,
    .descriptor = descriptor,
    .wake = wake,
};
