/* Tables for requests, questions and held messages. Thousands of requests may wait at one moment: none is looked for by a scan. */
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

void parcel_fini(parcel_t *parcel) {
    frame_fini(&parcel->message);
    if (parcel->has_body) frame_fini(&parcel->body);
    parcel->has_body = false;
}

static void parcel_share(parcel_t *to, const parcel_t *from) {
    *to = *from;
    frame_init(&to->message);
    frame_share(&to->message, &from->message);
    if (!from->has_body) return;
    frame_init(&to->body);
    frame_share(&to->body, &from->body);
}

static void *grow(void *entries, size_t *capacity, size_t size) {
    size_t wanted = *capacity ? *capacity * 2 : 16;
    char *grown = realloc(entries, wanted * size);
    must(grown);
    memset(grown + *capacity * size, 0, (wanted - *capacity) * size);
    *capacity = wanted;
    return grown;
}

/* A ticket, or a question's number, is its slot plus a count that never repeats, so that it is found at once and never mistaken for another. */
enum { SLOT_BITS = 24 };

ticket_t tickets_add(tickets_t *tickets, const parcel_t *parcel) {
    size_t slot = tickets->free_hint;
    while (slot < tickets->capacity && tickets->entries[slot].ticket) slot++;
    if (slot == tickets->capacity) {
        for (slot = 0; slot < tickets->capacity && tickets->entries[slot].ticket;) slot++;
        if (slot == tickets->capacity) tickets->entries = grow(tickets->entries, &tickets->capacity, sizeof *tickets->entries);
    }
    must(slot < (size_t)1 << SLOT_BITS);
    ticket_entry_t *entry = &tickets->entries[slot];
    entry->ticket = ++tickets->last << SLOT_BITS | slot;
    entry->forwarded = false;
    parcel_share(&entry->parcel, parcel);
    if (!parcel->request) entry->parcel.request = entry->ticket;
    tickets->free_hint = slot + 1;
    return entry->ticket;
}

ticket_entry_t *tickets_find(tickets_t *tickets, ticket_t ticket) {
    size_t slot = ticket & (((size_t)1 << SLOT_BITS) - 1);
    if (!ticket || slot >= tickets->capacity || tickets->entries[slot].ticket != ticket) return NULL;
    return &tickets->entries[slot];
}

void tickets_remove(tickets_t *tickets, ticket_entry_t *entry) {
    parcel_fini(&entry->parcel);
    entry->ticket = 0;
    tickets->free_hint = (size_t)(entry - tickets->entries);
}

static int ticket_order(const void *a, const void *b) {
    const ticket_entry_t *one = *(ticket_entry_t *const *)a, *other = *(ticket_entry_t *const *)b;
    return (one->ticket > other->ticket) - (one->ticket < other->ticket);
}

parcel_t *tickets_take(tickets_t *tickets, size_t *ret_count) {
    size_t count = 0;
    ticket_entry_t **open = malloc((tickets->capacity + 1) * sizeof(ticket_entry_t *));
    must(open);
    for (size_t i = 0; i < tickets->capacity; i++)
        if (tickets->entries[i].ticket && !tickets->entries[i].forwarded) open[count++] = &tickets->entries[i];
    qsort(open, count, sizeof(ticket_entry_t *), ticket_order);
    parcel_t *parcels = malloc((count + 1) * sizeof *parcels);
    must(parcels);
    for (size_t i = 0; i < count; i++) {
        parcels[i] = open[i]->parcel;
        open[i]->ticket = 0;
        tickets->free_hint = 0;
    }
    free(open);
    *ret_count = count;
    return parcels;
}

void tickets_fini(tickets_t *tickets) {
    for (size_t i = 0; i < tickets->capacity; i++)
        if (tickets->entries[i].ticket) parcel_fini(&tickets->entries[i].parcel);
    free(tickets->entries);
    *tickets = (tickets_t){0};
}

uint64_t asks_add(asks_t *asks, message_id_t id, answer_fn *then, uint64_t context) {
    size_t slot = asks->free_hint;
    while (slot < asks->capacity && asks->entries[slot].number) slot++;
    if (slot == asks->capacity) {
        for (slot = 0; slot < asks->capacity && asks->entries[slot].number;) slot++;
        if (slot == asks->capacity) asks->entries = grow(asks->entries, &asks->capacity, sizeof *asks->entries);
    }
    must(slot < (size_t)1 << SLOT_BITS);
    asks->entries[slot] = (ask_t){++asks->last << SLOT_BITS | slot, id, then, context};
    asks->free_hint = slot + 1;
    return asks->entries[slot].number;
}

bool asks_take(asks_t *asks, uint64_t number, ask_t *ret_ask) {
    size_t slot = number & (((size_t)1 << SLOT_BITS) - 1);
    if (!number || slot >= asks->capacity || asks->entries[slot].number != number) return false;
    *ret_ask = asks->entries[slot];
    asks->entries[slot].number = 0;
    asks->free_hint = slot;
    return true;
}

void asks_forget(asks_t *asks) {
    for (size_t i = 0; i < asks->capacity; i++)
        if (asks->entries[i].then) asks->entries[i].number = 0;
}

void asks_fini(asks_t *asks) {
    free(asks->entries);
    *asks = (asks_t){0};
}

static void held_reserve(held_t *held) {
    if (held->count < held->capacity) return;
    size_t capacity = held->capacity ? held->capacity * 2 : 16;
    parcel_t *items = malloc(capacity * sizeof *items);
    must(items);
    for (size_t i = 0; i < held->count; i++) items[i] = held->items[(held->first + i) % held->capacity];
    free(held->items);
    held->items = items;
    held->first = 0;
    held->capacity = capacity;
}

void held_push(held_t *held, parcel_t *parcel) {
    held_reserve(held);
    held->items[(held->first + held->count++) % held->capacity] = *parcel;
}

void held_push_first(held_t *held, parcel_t *parcel) {
    held_reserve(held);
    held->first = (held->first + held->capacity - 1) % held->capacity;
    held->items[held->first] = *parcel;
    held->count++;
}

bool held_take(held_t *held, parcel_t *ret_parcel) {
    if (!held->count) return false;
    *ret_parcel = held->items[held->first];
    held->first = (held->first + 1) % held->capacity;
    held->count--;
    return true;
}

void held_fini(held_t *held) {
    parcel_t parcel;
    while (held_take(held, &parcel)) parcel_fini(&parcel);
    free(held->items);
    *held = (held_t){0};
}
