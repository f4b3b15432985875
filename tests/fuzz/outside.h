/* What the fuzzing of what connectors read has in common: what an attribute, a refusal and a cursor must be, whoever made them, and an actor with a
 * clock, for what asks for one. */
#ifndef REPRISE_FUZZ_OUTSIDE_H
#define REPRISE_FUZZ_OUTSIDE_H

#include <stdlib.h>
#include <xxhash.h>

#include "draw.h"
#include "messages/fault.h"
#include "messages/text.h"
#include "messages/wire.h"
#include "tests/stage/stage.h"

#define URN "reprise:source:fuzz:v1"

/* ---- bytes ---- */

static inline bytes_t buffer_bytes(const msgpack_sbuffer *buffer) {
    return (bytes_t){(const uint8_t *)buffer->data, buffer->size};
}

static inline bytes_t text_bytes(const char *text) {
    return (bytes_t){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(bytes_t a, bytes_t b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* A hash of this after all that came before. */
static inline uint64_t print_add(uint64_t print, bytes_t bytes) {
    return XXH3_64bits_withSeed(bytes.size > 0 ? (const void *)bytes.data : "", bytes.size, print + bytes.size + 1);
}

/* What is in a text or in bytes. */
static inline bytes_t value_bytes(bytes_t value) {
    const char *text;
    size_t size;
    if (wire_text(value, &text, &size)) return (bytes_t){(const uint8_t *)text, size};
    must(value.size > 1 && value.data[0] >= 0xc4 && value.data[0] <= 0xc6);
    size_t head = 1 + ((size_t)1 << (value.data[0] - 0xc4));
    return (bytes_t){value.data + head, value.size - head};
}

/* How many bytes are in the bytes of a list. */
static inline size_t list_bytes(bytes_t list) {
    size_t bytes = 0, head = list.data[0] == 0xdc ? 3 : 1;
    must(head == 3 || (list.data[0] & 0xf0) == 0x90);
    for (bytes_t rest = {list.data + head, list.size - head}; rest.size > 0;) {
        size_t size = wire_value_size(rest);
        bytes += value_bytes((bytes_t){rest.data, size}).size;
        rest = (bytes_t){rest.data + size, rest.size - size};
    }
    return bytes;
}

/* ---- what must hold ---- */

/* What fails says why, in words that can be passed on. */
static inline void said_check(int result, const fault_t *why) {
    must(result >= 0 || (why->text[0] && text_valid(why->text, strlen(why->text))));
}

/* An element with these attributes can be recorded; size 0: it has none. */
static inline void attributes_check(bytes_t attributes) {
    static const uint8_t before[] = {0x91, 0x93, 0x00, 0xc4, 0x00};
    uint32_t count;
    refusal_t no;
    msgpack_sbuffer body;
    if (attributes.size == 0) return;
    msgpack_sbuffer_init(&body);
    msgpack_sbuffer_write(&body, (const char *)before, sizeof before);
    msgpack_sbuffer_write(&body, (const char *)attributes.data, attributes.size);
    must(wire_body_check(buffer_bytes(&body), &count, &no) == 0 && count == 1);
    msgpack_sbuffer_destroy(&body);
}

/* ---- drawing ---- */

/* One of the names, or any text; to be freed. */
static inline char *draw_string(draw_t *draw) {
    size_t count = 0;
    unsigned which = draw_byte(draw);
    while (draw->names[count]) count++;
    bytes_t text = which < count ? text_bytes(draw->names[which]) : draw_bytes(draw, which % 64);
    char *string = strndup(text.size > 0 ? (const char *)text.data : "", text.size);
    must(string);
    return string;
}

/* Of some milliseconds; -1: it is not given. */
static inline int64_t draw_delay(draw_t *draw) {
    unsigned which = draw_byte(draw);
    return which < 128 ? -1 : which < 250 ? (int64_t)which - 128 : (int64_t)(draw_whole(draw, 8) >> 1);
}

/* All that is left, as it is, or a list of numbers; to be freed, so that nothing is read behind it. */
static inline bytes_t draw_cursor(draw_t *draw) {
    msgpack_sbuffer out;
    msgpack_packer packer;
    unsigned how = draw_byte(draw);
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    bytes_t rest = how % 2 ? draw_bytes(draw, SIZE_MAX) : (bytes_t){0};
    if (how % 2 == 0) {
        msgpack_pack_array(&packer, how / 2 % 24);
        for (unsigned i = 0; i < how / 2 % 24; i++) draw_number(draw, &packer);
        rest = buffer_bytes(&out);
    }
    uint8_t *copy = malloc(rest.size > 0 ? rest.size : 1);
    must(copy);
    if (rest.size > 0) memcpy(copy, rest.data, rest.size);
    msgpack_sbuffer_destroy(&out);
    return (bytes_t){copy, rest.size};
}

static inline void cursor_free(bytes_t cursor) {
    free((void *)(uintptr_t)cursor.data);
}

/* ---- an actor with a clock, which stays ---- */

static stage_t *theatre;
static actor_t *bystander;

static inline void *bystander_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    bystander = me;
    return &bystander;
}

static inline void bystander_destroy(void **state) {
    *state = NULL;
}

static inline void theatre_close(void) {
    stage_destroy(&theatre);
}

static inline actor_t *actor_of_all(void) {
    static const actor_class_t class = {
        .name = "bystander", .doc = "Has a clock.", .create = bystander_create, .destroy = bystander_destroy};
    if (theatre) return bystander;
    theatre = stage_create(1, NULL);
    stage_add(theatre, &class, "bystander", (bytes_t){0});
    stage_run(theatre);
    must(atexit(theatre_close) == 0);
    return bystander;
}

#endif
