/* Each append updates the positions of its producers, of which there may be many: a hash table finds them, and cursors are written over
 * the old ones, so that nothing is allocated once all are known. */
#include "producers.h"

#include <stdlib.h>
#include <string.h>

static size_t producer_hash(uint32_t stream, const char *name) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ stream; /* FNV-1a */

    for (const char *at = name; *at; at++) hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32);
}

/* Its slot, or the empty one where it would be. */
static uint32_t *producer_slot(const producers_t *producers, uint32_t stream, const char *name) {
    size_t mask = producers->slot_count - 1, at = producer_hash(stream, name) & mask;

    for (;; at = (at + 1) & mask) {
        uint32_t *slot = &producers->slots[at];

        if (*slot == 0) return slot;

        const msg_producer_t *item = &producers->items[*slot - 1];

        if (item->stream == stream && strcmp(item->producer, name) == 0) return slot;
    }
}

static void producers_grow(producers_t *producers) {
    producers->room = producers->room ? 2 * producers->room : 8;
    producers->slot_count = 2 * producers->room;
    producers->items = realloc(producers->items, producers->room * sizeof *producers->items);
    producers->cursor_rooms = realloc(producers->cursor_rooms, producers->room * sizeof *producers->cursor_rooms);
    free(producers->slots);
    producers->slots = calloc(producers->slot_count, sizeof *producers->slots);
    must(producers->items && producers->cursor_rooms && producers->slots);
    for (size_t i = 0; i < producers->count; i++)
        *producer_slot(producers, (uint32_t)producers->items[i].stream, producers->items[i].producer) = (uint32_t)i + 1;
}

void producers_fini(producers_t *producers) {
    for (size_t i = 0; i < producers->count; i++) {
        free((char *)(uintptr_t)producers->items[i].producer);
        free((uint8_t *)(uintptr_t)producers->items[i].cursor.data);
    }
    free(producers->items);
    free(producers->cursor_rooms);
    free(producers->slots);
    *producers = (producers_t){0};
}

const msg_producer_t *producers_find(const producers_t *producers, uint32_t stream, const char *producer) {
    if (producers->count == 0) return NULL;

    uint32_t slot = *producer_slot(producers, stream, producer);

    return slot ? &producers->items[slot - 1] : NULL;
}

static size_t producers_add(producers_t *producers, uint32_t stream, const char *name) {
    if (producers->count == producers->room) producers_grow(producers);

    uint32_t *slot = producer_slot(producers, stream, name);

    if (*slot == 0) {
        size_t index = producers->count++;
        char *own = strdup(name);

        must(own);
        producers->items[index] =
            (msg_producer_t){.has_stream = true, .stream = stream, .has_producer = true, .producer = own, .has_seq = true};
        producers->cursor_rooms[index] = 0;
        *slot = (uint32_t)index + 1;
    }
    return *slot - 1;
}

void producers_put(producers_t *producers, uint32_t stream, const journal_meta_t *meta) {
    size_t index = producers_add(producers, stream, meta->producer);
    msg_producer_t *item = &producers->items[index];

    item->seq = (int64_t)meta->seq;
    if (meta->has_watermark) {
        item->has_watermark = true;
        item->watermark = meta->watermark;
    }
    if (meta->cursor.size == 0) return;

    uint8_t *cursor = (uint8_t *)(uintptr_t)item->cursor.data;

    if (meta->cursor.size > producers->cursor_rooms[index]) {
        producers->cursor_rooms[index] = 2 * meta->cursor.size;
        cursor = realloc(cursor, producers->cursor_rooms[index]);
        must(cursor);
    }
    memmove(cursor, meta->cursor.data, meta->cursor.size);
    item->cursor = (bytes_t){cursor, meta->cursor.size};
    item->has_cursor = true;
}

void producers_gap(producers_t *producers, uint32_t stream, const char *producer, uint64_t seq) {
    size_t index = producers_add(producers, stream, producer);
    msg_producer_t *item = &producers->items[index];

    item->has_gap = true;
    item->gap = (int64_t)seq;
}

void producers_load(producers_t *producers, const msg_producer_t *producer) {
    journal_meta_t meta = {
        .producer = producer->producer,
        .seq = (uint64_t)producer->seq,
        .cursor = producer->has_cursor ? producer->cursor : (bytes_t){0},
        .has_watermark = producer->has_watermark,
        .watermark = producer->watermark,
    };

    producers_put(producers, (uint32_t)producer->stream, &meta);
    if (producer->has_gap) producers_gap(producers, (uint32_t)producer->stream, producer->producer, (uint64_t)producer->gap);
}
