/* The tables behind every message, made from the lists.
 *
 * A FIELD in a list does not say which struct it belongs to, so its offset can only be taken where that struct goes by a name that is
 * always the same: inside a block with a typedef. A block's tables cannot be named from outside, so a constructor copies them to where
 * the classes point, before main and before any thread. The same constructor fills the index behind message_find. */
#include "message.h"

#include <assert.h>
#include <string.h>

#include "codec.h"
#include "fault.h"

/* ---- room for every field table: one more than it has fields */
#define FIELD(type, name, need, doc) +1
#define LIST(record, name, need, doc) +1
#define RECORD_OF(record, name, need, doc) +1
#define NAMED(record, name, need, doc) +1
#define NO_FIELDS
#define MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, ...) static field_t fields_##name[1 __VA_ARGS__];
#define MESSAGE_AS(ID, record, kind, scope, doc)
#define RECORD(name, doc, ...) static field_t fields_##name[1 __VA_ARGS__];
#include "lists.h"

/* ---- the classes */
#define FIELD(type, name, need, doc)
#define LIST(record, name, need, doc)
#define RECORD_OF(record, name, need, doc)
#define NAMED(record, name, need, doc)
#define NO_FIELDS
#define MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, ...)
#define MESSAGE_AS(ID, record, kind, scope, doc)
#define RECORD(name, doc, ...) const record_class_t record_class_##name = {#name, doc, sizeof(msg_##name##_t), fields_##name};
#include "lists.h"

#define FIELD(type, name, need, doc)
#define LIST(record, name, need, doc)
#define RECORD_OF(record, name, need, doc)
#define NAMED(record, name, need, doc)
#define NO_FIELDS
#define MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, ...)                                                          \
    [MSG_##ID] = {#ID, wire, kind, scope, permission, owner, answer, {#name, doc, sizeof(msg_##name##_t), fields_##name}},
#define MESSAGE_AS(ID, as, kind, scope, doc)                                                                                               \
    [MSG_##ID] = {#ID, #as, kind, scope, PERMISSION_ENGINE, NULL, MSG_NONE, {#as, doc, sizeof(msg_##as##_t), fields_##as}},
#define RECORD(name, doc, ...)
static const message_class_t classes[MESSAGE_COUNT] = {
#include "lists.h"
};

/* ---- the field tables */
static void fields_fill(void) {
#define REQUIRED true
#define OPTIONAL false
#define ENTRY(name, kind, need, record, doc)                                                                                               \
    {#name, kind, need, sizeof #name - 1, offsetof(self_t, name), offsetof(self_t, has_##name), record, doc},
#define TABLE(of, ...)                                                                                                                     \
    {                                                                                                                                      \
        typedef msg_##of##_t self_t;                                                                                                       \
        (void)sizeof(self_t); /* a message without fields does not need it */                                                              \
        static const field_t table[] = {__VA_ARGS__{0}};                                                                                   \
        static_assert(sizeof table == sizeof fields_##of, "a table and the room for it come from the same list");                          \
        static_assert(sizeof table / sizeof table[0] <= 65, "the codec keeps what it has seen in 64 bits");                                \
        memcpy(fields_##of, table, sizeof table);                                                                                          \
    }
#define FIELD(type, name, need, doc) ENTRY(name, TYPE_##type, need, NULL, doc)
#define LIST(of, name, need, doc) ENTRY(name, TYPE_LIST, need, &record_class_##of, doc)
#define RECORD_OF(of, name, need, doc) ENTRY(name, TYPE_RECORD, need, &record_class_##of, doc)
#define NAMED(of, name, need, doc) ENTRY(name, TYPE_NAMED, need, &record_class_##of, doc)
#define NO_FIELDS
#define MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, ...) TABLE(name, __VA_ARGS__)
#define MESSAGE_AS(ID, record, kind, scope, doc)
#define RECORD(name, doc, ...) TABLE(name, __VA_ARGS__)
#include "lists.h"
#undef TABLE
#undef ENTRY
#undef OPTIONAL
#undef REQUIRED
}

/* ---- the index of ops and events: open addressing, at most half full */
enum { INDEX_BITS = 9, INDEX_SIZE = 1 << INDEX_BITS };
static_assert(MESSAGE_COUNT * 2 <= INDEX_SIZE, "the index of messages is too small");
static struct slot {
    uint16_t id;   /* MSG_NONE: free */
    uint16_t size; /* of its op */
} slots[INDEX_SIZE];

static size_t index_slot(const char *wire, size_t size) {
    uint64_t first = 0, last = 0;
    if (size >= sizeof first) {
        memcpy(&first, wire, sizeof first);
        memcpy(&last, wire + size - sizeof last, sizeof last);
    } else {
        memcpy(&first, wire, size);
    }
    uint64_t mixed = (first ^ (last << 29 | last >> 35) ^ size) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)((mixed ^ mixed >> 32) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - INDEX_BITS));
}

bool message_is_chaos(message_id_t id) {
    static const char prefix[] = "chaos.";
    return strncmp(message_class(id)->wire, prefix, sizeof prefix - 1) == 0;
}

message_id_t message_find(unsigned scope, const char *wire, size_t size) {
    for (size_t at = index_slot(wire, size); slots[at].id != MSG_NONE; at = (at + 1) % INDEX_SIZE) {
        const message_class_t *class = &classes[slots[at].id];
        if (slots[at].size == size && (class->scope & scope) != 0 && memcmp(class->wire, wire, size) == 0) {
            return (message_id_t)slots[at].id;
        }
    }
    return MSG_NONE;
}

__attribute__((constructor)) static void tables_make(void) {
    fields_fill();
    for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *class = &classes[id];
        if (class->kind == KIND_ANSWER) {
            continue;
        }
        size_t size = strlen(class->wire);
        must(message_find(class->scope, class->wire, size) == MSG_NONE);
        size_t at = index_slot(class->wire, size);
        while (slots[at].id != MSG_NONE) {
            at = (at + 1) % INDEX_SIZE;
        }
        slots[at] = (struct slot){(uint16_t)id, (uint16_t)size};
    }
}

const message_class_t *message_class(message_id_t id) {
    must(id > MSG_NONE && id < MESSAGE_COUNT);
    return &classes[id];
}

const record_class_t *record_class_of(message_id_t id) {
    return &message_class(id)->record;
}

/* ---- errors, counters, types */
typedef struct entry {
    const char *name, *text, *doc;
} entry_t;

static const entry_t errors[ERROR_COUNT] = {
#define ERROR(id, code, doc) [ERROR_##id] = {code, NULL, doc},
#include "errors.def"
#undef ERROR
};

static const entry_t counters[COUNTER_COUNT] = {
#define COUNTER(id, name, doc) [COUNTER_##id] = {name, NULL, doc},
#include "counters.def"
#undef COUNTER
};

static const entry_t kinds[TYPE_COUNT_] = {
#define TYPE(id, ctype, text, doc) [TYPE_##id] = {#id, text, doc},
#include "types.def"
#undef TYPE
    [TYPE_LIST] = {"LIST", "a list", "A list of maps."},
    [TYPE_RECORD] = {"MAP", "a map", "A map."},
    [TYPE_NAMED] = {"NAME or MAP", "text or a map", "A name, or a map that has a `name`."},
};

static const entry_t *entry_of(const entry_t *entries, unsigned count, unsigned index) {
    must(index < count);
    return &entries[index];
}

const char *error_name(error_code_t code) {
    return entry_of(errors, ERROR_COUNT, code)->name;
}

const char *error_doc(error_code_t code) {
    return entry_of(errors, ERROR_COUNT, code)->doc;
}

error_code_t error_find(const char *name) {
    for (unsigned code = 0; code < ERROR_COUNT; code++) {
        if (strcmp(errors[code].name, name) == 0) {
            return (error_code_t)code;
        }
    }
    return ERROR_INTERNAL;
}

static const char *const permissions[] = {
    [PERMISSION_NONE] = "none",   [PERMISSION_READ] = "read",     [PERMISSION_WRITE] = "write",
    [PERMISSION_ADMIN] = "admin", [PERMISSION_ENGINE] = "engine",
};

const char *permission_name(permission_t permission) {
    must(permission <= PERMISSION_ENGINE);
    return permissions[permission];
}

permission_t permission_find(const char *name) {
    for (permission_t permission = PERMISSION_READ; permission <= PERMISSION_ADMIN; permission++) {
        if (strcmp(permissions[permission], name) == 0) {
            return permission;
        }
    }
    return PERMISSION_NONE;
}

const char *counter_name(counter_t counter) {
    return entry_of(counters, COUNTER_COUNT, counter)->name;
}

const char *counter_doc(counter_t counter) {
    return entry_of(counters, COUNTER_COUNT, counter)->doc;
}

const char *field_kind_name(field_kind_t kind) {
    return entry_of(kinds, TYPE_COUNT_, kind)->name;
}

const char *field_kind_text(field_kind_t kind) {
    return entry_of(kinds, TYPE_COUNT_, kind)->text;
}

const char *field_kind_doc(field_kind_t kind) {
    return entry_of(kinds, TYPE_COUNT_, kind)->doc;
}

/* ---- options */
/* At file scope, because a list of names made inside the function would be gone when it returns. */
#define NAMES_OF(...)                                                                                                                      \
    {                                                                                                                                      \
        sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *), (const char *[]) {                                                   \
            __VA_ARGS__                                                                                                                    \
        }                                                                                                                                  \
    }
#define OPTION(type, name, initial, doc) .has_##name = true, .name = initial,
#include "options.def"
static const msg_options_t options_initial = {OPTION_FIELDS};
#undef OPTION
#undef OPTION_FIELDS
#undef NAMES_OF

msg_options_t options_changed(const msg_options_changed_t *change) {
    msg_options_t options;
    _Static_assert(sizeof options == sizeof *change, "options");
    memcpy(&options, change, sizeof options);
    return options;
}

void options_default(msg_options_t *options) {
    *options = options_initial;
}
