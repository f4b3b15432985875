/* The way in: from msgpack to a message's struct, by its table.
 *
 * The bytes were walked before, so every head is whole and every count is true. They are read in place: a value that a message keeps as
 * its bytes must be found in the frame, which msgpack-c's objects do not tell. What must be made (terminated texts, lists) is made in a
 * zone, and a list costs nothing before its items are seen, so that a lie about what is in it is found before it costs memory. */
#include "codec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "head.h"
#include "text.h"
#include "wire.h"

/* Where a value stands, from the inside out; turned into text only when it is refused. */
typedef struct path {
    const struct path *up;
    const char *name;
    int64_t item; /* of a list; -1: not in one */
} path_t;

typedef struct decoder {
    const char *what; /* begins the error texts: an op */
    bool message;     /* has `op` and `id` beside its fields */
    bool outside;     /* from a client: its values may not be as deep as the engine's own */
    const uint8_t *at, *end;
    msgpack_zone *zone;
    refusal_t *no;
} decoder_t;

/* What a LIST's members look like, whatever its record. */
typedef struct list {
    size_t count;
    void *items;
} list_t;

static int record_read(decoder_t *d, const record_class_t *record, const path_t *path, uint8_t *out);

static void path_print(const path_t *path, char *into, size_t room) {
    const path_t *steps[WIRE_DEPTH_MAX];
    size_t count = 0, used = 0;
    for (; path != NULL && count < WIRE_DEPTH_MAX; path = path->up) {
        steps[count++] = path;
    }
    into[0] = '\0';
    while (count > 0 && used < room) {
        const path_t *step = steps[--count];
        int size = step->item < 0 ? snprintf(into + used, room - used, "%s%s", used > 0 ? "." : "", step->name)
                                  : snprintf(into + used, room - used, "[%lld]", (long long)step->item);
        used += (size_t)size;
    }
}

/* Refuses the value at `path`: "`job.cancel`: `job` must be text, not a number". */
static int path_refuse(const decoder_t *d, const path_t *path, const char *verb, const char *wanted, const char *given) {
    char field[sizeof d->no->field];
    path_print(path, field, sizeof field);
    if (field[0] == '\0') {
        return refuse(d->no, ERROR_BAD_REQUEST, NULL, "`%s` %s%s%s", d->what, verb, wanted, given);
    }
    return refuse(d->no, ERROR_BAD_REQUEST, field, "`%s`: `%s` %s%s%s", d->what, field, verb, wanted, given);
}

static int kind_refuse(const decoder_t *d, const path_t *path, const char *wanted, const head_t *head) {
    char given[48];
    snprintf(given, sizeof given, ", not %s", head_text(head));
    return path_refuse(d, path, "must be ", wanted, given);
}

__attribute__((always_inline)) static inline head_t head_next(const decoder_t *d) {
    head_t head = head_read(d->at, (size_t)(d->end - d->at));
    must(head.kind < HEAD_CUT);
    return head;
}

static void *zone_take(const decoder_t *d, size_t size) {
    void *taken = msgpack_zone_malloc(d->zone, size > 0 ? size : 1);
    must(taken != NULL);
    return taken;
}

/* ---- texts */
static const char *text_flaw(const char *text, size_t size) {
    if (text_valid(text, size)) {
        return "has a control character in it";
    }
    return memchr(text, '\0', size) ? "has a NUL in it" : "is not valid UTF-8";
}

static int text_read(decoder_t *d, const path_t *path, bool name, const char **ret_text) {
    head_t head = head_next(d);
    if (head.kind != HEAD_TEXT) {
        return kind_refuse(d, path, "text", &head);
    }
    const char *text = (const char *)d->at + head.size;
    if (name && head.length > NAME_SIZE_MAX) {
        char given[48];
        snprintf(given, sizeof given, ", not of %u", head.length);
        return path_refuse(d, path, "must be ", field_kind_text(TYPE_NAME), given);
    }
    if (name && head.length == 0) {
        return path_refuse(d, path, "must be ", field_kind_text(TYPE_NAME), ", not empty");
    }
    if (!(name ? name_valid : text_valid)(text, head.length)) {
        return path_refuse(d, path, text_flaw(text, head.length), "", "");
    }
    char *copy = zone_take(d, (size_t)head.length + 1);
    memcpy(copy, text, head.length);
    copy[head.length] = '\0';
    d->at += head_own(&head);
    *ret_text = copy;
    return 0;
}

static int texts_read(decoder_t *d, const path_t *path, bool names, names_t *ret_names) {
    head_t head = head_next(d);
    if (head.kind != HEAD_LIST) {
        return kind_refuse(d, path, "a list of text", &head);
    }
    d->at += head.size;
    const char **items = zone_take(d, head.length * sizeof *items);
    for (uint32_t i = 0; i < head.length; i++) {
        if (text_read(d, &(path_t){path, NULL, i}, names, &items[i]) < 0) {
            return -1;
        }
    }
    *ret_names = (names_t){head.length, items};
    return 0;
}

/* ---- numbers */
static const struct {
    int64_t least, most;
} ranges[TYPE_COUNT_] = {
    [TYPE_INT] = {INT64_MIN, INT64_MAX}, [TYPE_COUNT] = {0, INT64_MAX}, [TYPE_POSITIVE] = {1, INT64_MAX},   [TYPE_LIMIT] = {1, INT64_MAX},
    [TYPE_SIZE] = {1048576, 16777216},   [TYPE_QUOTA] = {1, 1000000},   [TYPE_ROOM] = {1048576, INT64_MAX},
};

static int whole_read(decoder_t *d, const path_t *path, field_kind_t kind, int64_t *ret_whole) {
    head_t head = head_next(d);
    char given[48];
    if (head.kind == HEAD_BIG) {
        snprintf(given, sizeof given, ", not %llu", (unsigned long long)head.big);
        return path_refuse(d, path, "must be ", "a whole number within int64", given);
    }
    if (head.kind == HEAD_REAL) {
        snprintf(given, sizeof given, ", not the float %g", head.real);
        return path_refuse(d, path, "must be ", "a whole number", given);
    }
    if (head.kind == HEAD_NIL && kind == TYPE_LIMIT) {
        d->at += head.size;
        *ret_whole = LIMIT_NONE;
        return 0;
    }
    if (head.kind != HEAD_WHOLE) {
        return kind_refuse(d, path, "a whole number", &head);
    }
    if (head.whole < ranges[kind].least || head.whole > ranges[kind].most) {
        snprintf(given, sizeof given, ", not %lld", (long long)head.whole);
        return path_refuse(d, path, "must be ", field_kind_text(kind), given);
    }
    d->at += head.size;
    *ret_whole = head.whole;
    return 0;
}

static int real_read(decoder_t *d, const path_t *path, double *ret_real) {
    head_t head = head_next(d);
    double real = head.kind == HEAD_REAL ? head.real : head.kind == HEAD_BIG ? (double)head.big : (double)head.whole;
    if (head.kind != HEAD_REAL && head.kind != HEAD_BIG && head.kind != HEAD_WHOLE) {
        return kind_refuse(d, path, "a number", &head);
    }
    if (!isfinite(real) || real < 0) {
        char given[48];
        snprintf(given, sizeof given, ", not %g", real);
        return path_refuse(d, path, "must be ", field_kind_text(TYPE_REAL), given);
    }
    d->at += head.size;
    *ret_real = real;
    return 0;
}

/* ---- what is kept as its bytes */
static int bytes_read(decoder_t *d, const path_t *path, bytes_t *ret_bytes) {
    head_t head = head_next(d);
    if (head.kind != HEAD_BYTES) {
        return kind_refuse(d, path, "bytes", &head);
    }
    *ret_bytes = (bytes_t){d->at + head.size, head.length};
    d->at += head_own(&head);
    return 0;
}

static int value_read(decoder_t *d, const path_t *path, bytes_t *ret_value) {
    const uint8_t *next = head_skip(d->at, d->end);
    bytes_t value = {d->at, (size_t)(next - d->at)};
    if (d->outside && wire_depth(value) > WIRE_VALUE_DEPTH_MAX) {
        char wanted[48];
        snprintf(wanted, sizeof wanted, "deeper than %d", WIRE_VALUE_DEPTH_MAX);
        return path_refuse(d, path, "is nested ", wanted, "");
    }
    *ret_value = value;
    d->at = next;
    return 0;
}

static int flag_read(decoder_t *d, const path_t *path, bool *ret_flag) {
    head_t head = head_next(d);
    if (head.kind != HEAD_FLAG) {
        return kind_refuse(d, path, field_kind_text(TYPE_FLAG), &head);
    }
    *ret_flag = head.whole != 0;
    d->at += head.size;
    return 0;
}

/* ---- records */
static int list_read(decoder_t *d, const path_t *path, const record_class_t *record, list_t *ret_list) {
    head_t head = head_next(d);
    if (head.kind != HEAD_LIST) {
        return kind_refuse(d, path, "a list", &head);
    }
    d->at += head.size;
    uint8_t *items = zone_take(d, head.length * record->size);
    for (uint32_t i = 0; i < head.length; i++) {
        if (record_read(d, record, &(path_t){path, NULL, i}, items + i * record->size) < 0) {
            return -1;
        }
    }
    *ret_list = (list_t){head.length, items};
    return 0;
}

/* A NAMED field: the name, and behind it the definition where it is one. The definition's own field `name` is the name. */
typedef struct named {
    const char *name;
    const void *definition;
} named_t;

static int named_read(decoder_t *d, const path_t *path, const record_class_t *record, named_t *ret_named) {
    head_t head = head_next(d);
    named_t named = {0};
    if (head.kind != HEAD_MAP) {
        if (head.kind != HEAD_TEXT) {
            return kind_refuse(d, path, field_kind_text(TYPE_NAMED), &head);
        }
        if (text_read(d, path, true, &named.name) < 0) {
            return -1;
        }
    } else {
        uint8_t *definition = zone_take(d, record->size);
        if (record_read(d, record, path, definition) < 0) {
            return -1;
        }
        const field_t *name = record->fields;
        must(strcmp(name->name, "name") == 0 && name->kind == TYPE_NAME && name->required);
        memcpy(&named.name, definition + name->offset, sizeof named.name);
        named.definition = definition;
    }
    *ret_named = named;
    return 0;
}

static int field_read(decoder_t *d, const field_t *field, const path_t *path, uint8_t *member) {
    switch (field->kind) {
    case TYPE_NAME:
    case TYPE_TEXT: return text_read(d, path, field->kind == TYPE_NAME, (const char **)(void *)member);
    case TYPE_NAMES:
    case TYPE_TEXTS: return texts_read(d, path, field->kind == TYPE_NAMES, (names_t *)(void *)member);
    case TYPE_INT:
    case TYPE_COUNT:
    case TYPE_POSITIVE:
    case TYPE_SIZE:
    case TYPE_ROOM:
    case TYPE_QUOTA:
    case TYPE_LIMIT: return whole_read(d, path, field->kind, (int64_t *)(void *)member);
    case TYPE_REAL: return real_read(d, path, (double *)(void *)member);
    case TYPE_FLAG: return flag_read(d, path, (bool *)member);
    case TYPE_BYTES: return bytes_read(d, path, (bytes_t *)(void *)member);
    case TYPE_ANY: return value_read(d, path, (bytes_t *)(void *)member);
    case TYPE_LIST: return list_read(d, path, field->record, (list_t *)(void *)member);
    case TYPE_RECORD: return record_read(d, field->record, path, member);
    case TYPE_NAMED: return named_read(d, path, field->record, (named_t *)(void *)member);
    default: fault_bug("every kind of field is decoded", __FILE__, __LINE__);
    }
}

/* All zero bytes, and every limit in it `none`. */
static void record_clear(const record_class_t *record, uint8_t *out) {
    memset(out, 0, record->size);
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        if (field->kind == TYPE_LIMIT) {
            *(int64_t *)(void *)(out + field->offset) = LIMIT_NONE;
        } else if (field->kind == TYPE_RECORD) {
            record_clear(field->record, out + field->offset);
        }
    }
}

/* The field of that name. Clients send fields in some steady order, so the one after the last is looked at first. */
static const field_t *field_find(const record_class_t *record, const field_t *hint, const char *name, size_t size) {
    if (hint->name != NULL && hint->name_size == size && memcmp(hint->name, name, size) == 0) {
        return hint;
    }
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        if (field->name_size == size && memcmp(field->name, name, size) == 0) {
            return field;
        }
    }
    return NULL;
}

/* Of the keys that are no field, those that stand beside the fields of a message must not be ambiguous either. */
static int key_unknown(const decoder_t *d, const path_t *path, const head_t *key, const char *name, unsigned *beside) {
    static const char *const keys[] = {"op", "id", "event", "ok"};
    for (unsigned i = 0; d->message && path == NULL && key->kind == HEAD_TEXT && i < sizeof keys / sizeof *keys; i++) {
        if (key->length == strlen(keys[i]) && memcmp(name, keys[i], key->length) == 0) {
            if ((*beside & 1U << i) != 0) {
                return path_refuse(d, &(path_t){NULL, keys[i], -1}, "is given twice", "", "");
            }
            *beside |= 1U << i;
        }
    }
    return 0;
}

static int record_read(decoder_t *d, const record_class_t *record, const path_t *path, uint8_t *out) {
    head_t map = head_next(d);
    if (map.kind != HEAD_MAP) {
        return kind_refuse(d, path, "a map", &map);
    }
    d->at += map.size;
    record_clear(record, out);
    uint64_t seen = 0;
    unsigned beside = 0;
    const field_t *hint = record->fields;
    for (uint32_t i = 0; i < map.length; i++) {
        head_t key = head_next(d);
        const char *name = (const char *)d->at + key.size;
        const field_t *field = key.kind == HEAD_TEXT ? field_find(record, hint, name, key.length) : NULL;
        d->at = key.kind == HEAD_TEXT ? d->at + head_own(&key) : head_skip(d->at, d->end);
        if (field == NULL) {
            if (key_unknown(d, path, &key, name, &beside) < 0) {
                return -1;
            }
            d->at = head_skip(d->at, d->end);
            continue;
        }
        path_t here = {path, field->name, -1};
        uint64_t bit = UINT64_C(1) << (field - record->fields);
        if ((seen & bit) != 0) {
            return path_refuse(d, &here, "is given twice", "", "");
        }
        seen |= bit;
        hint = field + 1;
        if (*d->at == 0xc0 && field->kind != TYPE_LIMIT) {
            d->at++;
            continue;
        }
        if (field_read(d, field, &here, out + field->offset) < 0) {
            return -1;
        }
        *(bool *)(out + field->has_offset) = true;
    }
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        if (field->required && !*(const bool *)(out + field->has_offset)) {
            return path_refuse(d, &(path_t){path, field->name, -1}, "is missing", "", "");
        }
    }
    return 0;
}

static int decode(decoder_t *d, const record_class_t *record, bytes_t in, void *out) {
    d->at = in.data;
    d->end = in.data + in.size;
    return record_read(d, record, NULL, out);
}

int message_decode(message_id_t id, bytes_t in, msgpack_zone *zone, void *message, refusal_t *no) {
    const message_class_t *class = message_class(id);
    decoder_t d = {.what = class->wire, .message = true, .outside = class->scope != SCOPE_INTERNAL, .zone = zone, .no = no};
    return decode(&d, &class->record, in, message);
}

int record_decode(const record_class_t *record, const char *what, bytes_t in, msgpack_zone *zone, void *out, refusal_t *no) {
    decoder_t d = {.what = what, .zone = zone, .no = no};
    return decode(&d, record, in, out);
}
