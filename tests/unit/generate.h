/* Messages of any class with generated values, made through the same tables that the codec uses, and a comparison that does not. */
#ifndef REPRISE_TESTS_GENERATE_H
#define REPRISE_TESTS_GENERATE_H

#include "pack.h"

typedef struct generator {
    uint64_t seed;
    bool full; /* every field is there; otherwise each optional one by chance */
    msgpack_zone zone;
} generator_t;

static inline uint64_t generate_below(generator_t *g, uint64_t bound) {
    g->seed ^= g->seed << 13;
    g->seed ^= g->seed >> 7;
    g->seed ^= g->seed << 17;
    return (g->seed * UINT64_C(0x2545f4914f6cdd1d) >> 32) % bound;
}

static inline const char *generate_text(generator_t *g, bool name) {
    static const char *const parts[] = {"a", "Z", " ", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x8e\x89", ":", "\n"};
    size_t count = generate_below(g, 20) + name;
    char *text = msgpack_zone_malloc(&g->zone, count * 4 + 1);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(text, parts[generate_below(g, name ? 7 : 8)]);
    }
    return text;
}

static inline int64_t generate_whole(generator_t *g, int64_t smallest) {
    static const int64_t edges[] = {INT64_MAX, 0,         1,          127, 128, 255, 256,  65535,
                                    65536,     INT32_MAX, UINT32_MAX, -1,  -32, -33, -129, INT64_MIN};
    int64_t whole = edges[generate_below(g, sizeof edges / sizeof *edges)];
    return whole < smallest ? smallest : whole;
}

static inline bytes_t generate_value(generator_t *g) {
    static const char *const values[] = {"\x07",
                                         "\xa3"
                                         "raw",
                                         "\x82\xa1"
                                         "a\x91\x01\xa1"
                                         "b\xc3",
                                         "\xc4\x01x",
                                         "\xd4\x05x",
                                         "\x90"};
    const char *value = values[generate_below(g, sizeof values / sizeof *values)];
    return (bytes_t){(const uint8_t *)value, strlen(value)};
}

static inline void generate_record(generator_t *g, const record_class_t *record, uint8_t *out);

static inline void *generate_records(generator_t *g, const record_class_t *record, size_t count) {
    uint8_t *items = msgpack_zone_malloc(&g->zone, count * record->size + 1);
    for (size_t i = 0; i < count; i++) {
        generate_record(g, record, items + i * record->size);
    }
    return items;
}

static inline names_t generate_names(generator_t *g, bool names) {
    size_t count = generate_below(g, 4);
    const char **items = msgpack_zone_malloc(&g->zone, count * sizeof *items + 1);
    for (size_t i = 0; i < count; i++) {
        items[i] = generate_text(g, names);
    }
    return (names_t){count, items};
}

static inline void generate_member(generator_t *g, const field_t *field, uint8_t *member) {
    struct {
        size_t count;
        void *items;
    } list;
    struct {
        const char *name;
        const void *definition;
    } named = {0};
    switch (field->kind) {
    case TYPE_NAME:
    case TYPE_TEXT: *(const char **)(void *)member = generate_text(g, field->kind == TYPE_NAME); break;
    case TYPE_NAMES:
    case TYPE_TEXTS: *(names_t *)(void *)member = generate_names(g, field->kind == TYPE_NAMES); break;
    case TYPE_BYTES:
    case TYPE_ANY: *(bytes_t *)(void *)member = generate_value(g); break;
    case TYPE_LIMIT: *(int64_t *)(void *)member = generate_below(g, 3) == 0 ? LIMIT_NONE : generate_whole(g, 1); break;
    case TYPE_INT:
    case TYPE_COUNT:
    case TYPE_POSITIVE:
        *(int64_t *)(void *)member = generate_whole(g, field->kind == TYPE_INT ? INT64_MIN : field->kind == TYPE_POSITIVE);
        break;
    case TYPE_SIZE: *(int64_t *)(void *)member = (1 << 20) + (int64_t)generate_below(g, 15 << 20); break;
    case TYPE_ROOM: *(int64_t *)(void *)member = (1 << 20) + (int64_t)generate_below(g, 1 << 30); break;
    case TYPE_QUOTA: *(int64_t *)(void *)member = 1 + (int64_t)generate_below(g, 1000000); break;
    case TYPE_REAL: *(double *)(void *)member = (double)generate_below(g, 1000) / 8; break;
    case TYPE_FLAG: *(bool *)member = generate_below(g, 2) == 0; break;
    case TYPE_LIST:
        list.count = generate_below(g, 4);
        list.items = generate_records(g, field->record, list.count);
        memcpy(member, &list, sizeof list);
        break;
    case TYPE_RECORD: generate_record(g, field->record, member); break;
    default:
        if (generate_below(g, 2) == 0) {
            named.name = generate_text(g, true);
        } else {
            uint8_t *definition = generate_records(g, field->record, 1);
            memcpy(&named.name, definition + field->record->fields[0].offset, sizeof named.name);
            named.definition = definition;
        }
        memcpy(member, &named, sizeof named);
    }
}

/* What an absent member holds, as message.h says. */
static inline void generate_absent(const field_t *field, uint8_t *member) {
    if (field->kind == TYPE_LIMIT) {
        *(int64_t *)(void *)member = LIMIT_NONE;
    } else if (field->kind == TYPE_RECORD) {
        for (const field_t *inner = field->record->fields; inner->name != NULL; inner++) {
            generate_absent(inner, member + inner->offset);
        }
    }
}

static inline void generate_record(generator_t *g, const record_class_t *record, uint8_t *out) {
    memset(out, 0, record->size);
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        bool there = field->required || g->full || generate_below(g, 2) == 0;
        *(bool *)(out + field->has_offset) = there;
        if (there) {
            generate_member(g, field, out + field->offset);
        } else {
            generate_absent(field, out + field->offset);
        }
    }
}

/* ---- comparison */
static inline bool texts_same(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static inline bool record_same(const record_class_t *record, const uint8_t *a, const uint8_t *b);

static inline bool records_same(const record_class_t *record, const uint8_t *a, const uint8_t *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!record_same(record, a + i * record->size, b + i * record->size)) {
            return false;
        }
    }
    return true;
}

static inline bool members_same(const field_t *field, const uint8_t *a, const uint8_t *b) {
    const names_t *an = (const names_t *)(const void *)a, *bn = (const names_t *)(const void *)b;
    const bytes_t *ab = (const bytes_t *)(const void *)a, *bb = (const bytes_t *)(const void *)b;
    struct {
        size_t count;
        const uint8_t *items;
    } al, bl;
    struct {
        const char *name;
        const uint8_t *definition;
    } ad, bd;
    switch (field->kind) {
    case TYPE_NAME:
    case TYPE_TEXT: return texts_same(*(const char *const *)(const void *)a, *(const char *const *)(const void *)b);
    case TYPE_NAMES:
    case TYPE_TEXTS:
        for (size_t i = 0; i < an->count && an->count == bn->count; i++) {
            if (!texts_same(an->items[i], bn->items[i])) {
                return false;
            }
        }
        return an->count == bn->count;
    case TYPE_BYTES:
    case TYPE_ANY: return ab->size == bb->size && (ab->size == 0 || memcmp(ab->data, bb->data, ab->size) == 0);
    case TYPE_FLAG: return *a == *b;
    case TYPE_LIST:
        memcpy(&al, a, sizeof al);
        memcpy(&bl, b, sizeof bl);
        return al.count == bl.count && records_same(field->record, al.items, bl.items, al.count);
    case TYPE_RECORD: return record_same(field->record, a, b);
    case TYPE_NAMED:
        memcpy(&ad, a, sizeof ad);
        memcpy(&bd, b, sizeof bd);
        return texts_same(ad.name, bd.name) && (ad.definition == NULL) == (bd.definition == NULL) &&
               (ad.definition == NULL || record_same(field->record, ad.definition, bd.definition));
    default: return memcmp(a, b, sizeof(int64_t)) == 0;
    }
}

static inline bool record_same(const record_class_t *record, const uint8_t *a, const uint8_t *b) {
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        if (a[field->has_offset] != b[field->has_offset] || !members_same(field, a + field->offset, b + field->offset)) {
            return false;
        }
    }
    return true;
}

#endif
