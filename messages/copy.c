/* A decoded message borrows from a frame and a zone that are gone after the handler. Its copy is one block that holds everything it
 * points to: the same pass runs twice, first to measure and then to fill. */
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "fault.h"

typedef struct block {
    uint8_t *base; /* NULL: only measure */
    size_t used;
} block_t;

static void record_clone(block_t *block, const record_class_t *record, const uint8_t *in, uint8_t *out);

/* Room for `size` bytes, with `from` in them; NULL while measuring. */
static void *block_take(block_t *block, const void *from, size_t size) {
    size_t at = (block->used + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    block->used = at + size;
    if (block->base == NULL) {
        return NULL;
    }
    if (size > 0) {
        memcpy(block->base + at, from, size);
    }
    return block->base + at;
}

static void pointer_put(uint8_t *member, const void *to) {
    if (member != NULL) {
        memcpy(member, &to, sizeof to);
    }
}

static void *pointer_at(const uint8_t *member) {
    void *pointer;
    memcpy(&pointer, member, sizeof pointer);
    return pointer;
}

static void text_clone(block_t *block, const uint8_t *in, uint8_t *out) {
    const char *text = pointer_at(in);
    if (text != NULL) {
        pointer_put(out, block_take(block, text, strlen(text) + 1));
    }
}

static void bytes_clone(block_t *block, const uint8_t *in, uint8_t *out) {
    const bytes_t *bytes = (const bytes_t *)(const void *)in;
    if (bytes->data != NULL) {
        pointer_put(out == NULL ? NULL : out + offsetof(bytes_t, data), block_take(block, bytes->data, bytes->size));
    }
}

static void names_clone(block_t *block, const uint8_t *in, uint8_t *out) {
    const names_t *names = (const names_t *)(const void *)in;
    uint8_t *items = block_take(block, names->items, names->count * sizeof *names->items);
    pointer_put(out == NULL ? NULL : out + offsetof(names_t, items), items);
    for (size_t i = 0; i < names->count; i++) {
        size_t at = i * sizeof *names->items;
        text_clone(block, (const uint8_t *)names->items + at, items == NULL ? NULL : items + at);
    }
}

/* Copies `count` records side by side; what `member` points to. */
static void records_clone(block_t *block, const record_class_t *record, const uint8_t *from, size_t count, uint8_t *member) {
    uint8_t *to = block_take(block, from, count * record->size);
    pointer_put(member, to);
    for (size_t i = 0; i < count; i++) {
        record_clone(block, record, from + i * record->size, to == NULL ? NULL : to + i * record->size);
    }
}

static void field_clone(block_t *block, const field_t *field, const uint8_t *in, uint8_t *out) {
    switch (field->kind) {
    case TYPE_NAME:
    case TYPE_TEXT: text_clone(block, in, out); return;
    case TYPE_NAMES:
    case TYPE_TEXTS: names_clone(block, in, out); return;
    case TYPE_BYTES:
    case TYPE_ANY: bytes_clone(block, in, out); return;
    case TYPE_RECORD: record_clone(block, field->record, in, out); return;
    case TYPE_LIST: {
        size_t count;
        memcpy(&count, in, sizeof count);
        records_clone(block, field->record, pointer_at(in + sizeof count), count, out == NULL ? NULL : out + sizeof count);
        return;
    }
    case TYPE_NAMED:
        text_clone(block, in, out);
        in += sizeof(const char *);
        if (pointer_at(in) != NULL) {
            records_clone(block, field->record, pointer_at(in), 1, out == NULL ? NULL : out + sizeof(const char *));
        }
        return;
    default: return; /* a number or a flag: copied with its record */
    }
}

/* `out` is a plain copy of `in` already; what it points to is not. */
static void record_clone(block_t *block, const record_class_t *record, const uint8_t *in, uint8_t *out) {
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        field_clone(block, field, in + field->offset, out == NULL ? NULL : out + field->offset);
    }
}

void *record_copy(const record_class_t *record, const void *in) {
    block_t block = {0};
    records_clone(&block, record, in, 1, NULL);
    block.base = calloc(1, block.used);
    must(block.base != NULL);
    block.used = 0;
    records_clone(&block, record, in, 1, NULL);
    return block.base;
}

void record_free(const record_class_t *record, void **copy) {
    (void)record;
    free(*copy);
    *copy = NULL;
}
