/* Every message of the engine: its struct, its id and its table, made from the lists (*.def).
 *
 * For MESSAGE job.cancel there are `msg_job_cancel_t` (a member for each field, and `has_FIELD` that says whether it was there),
 * the id `MSG_JOB_CANCEL`, and `message_class(MSG_JOB_CANCEL)`, the table that the codec, the checks and the docs work from.
 * An absent field is all zero bytes (a LIMIT: LIMIT_NONE). A NAMED field `pipeline` is `pipeline` (the name, always set when it is
 * there) and `pipeline_definition` (NULL where only a name was given). */
#ifndef REPRISE_MESSAGE_H
#define REPRISE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1
#define LIMIT_NONE ((int64_t)-1)
#define WATERMARK_MAX INT64_C(9223372036854775000)

typedef struct bytes {
    const uint8_t *data; /* borrowed */
    size_t size;
} bytes_t;

typedef struct names {
    size_t count;
    const char **items; /* borrowed, each terminated */
} names_t;

/* ---- structs ---- */
#define TYPE(id, ctype, text, doc) typedef ctype type_##id##_t;
#include "types.def"
#undef TYPE

#define FIELD(type, name, need, doc)                                                                                                       \
    bool has_##name;                                                                                                                       \
    type_##type##_t name;
#define LIST(record, name, need, doc)                                                                                                      \
    bool has_##name;                                                                                                                       \
    struct {                                                                                                                               \
        size_t count;                                                                                                                      \
        struct msg_##record *items;                                                                                                        \
    } name;
#define RECORD_OF(record, name, need, doc)                                                                                                 \
    bool has_##name;                                                                                                                       \
    struct msg_##record name;
#define NAMED(record, name, need, doc)                                                                                                     \
    bool has_##name;                                                                                                                       \
    const char *name;                                                                                                                      \
    const struct msg_##record *name##_definition;
#define NO_FIELDS char no_fields;
#define MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, ...)                                                          \
    typedef struct msg_##name {                                                                                                            \
        __VA_ARGS__                                                                                                                        \
    } msg_##name##_t;
#define MESSAGE_AS(ID, record, kind, scope, doc)
#define RECORD(name, doc, ...)                                                                                                             \
    typedef struct msg_##name {                                                                                                            \
        __VA_ARGS__                                                                                                                        \
    } msg_##name##_t;
#include "lists.h"

/* ---- ids ---- */
#define FIELD(type, name, need, doc)
#define LIST(record, name, need, doc)
#define RECORD_OF(record, name, need, doc)
#define NAMED(record, name, need, doc)
#define NO_FIELDS
#define RECORD(name, doc, ...)
#define MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, ...) MSG_##ID,
#define MESSAGE_AS(ID, record, kind, scope, doc) MSG_##ID,
typedef enum message_id {
    MSG_NONE,
#include "lists.h"
    MESSAGE_COUNT
} message_id_t;

#define ERROR(id, code, doc) ERROR_##id,
typedef enum error_code {
#include "errors.def"
    ERROR_COUNT
} error_code_t;
#undef ERROR

#define COUNTER(id, name, doc) COUNTER_##id,
typedef enum counter {
#include "counters.def"
    COUNTER_COUNT
} counter_t;
#undef COUNTER

/* ---- tables ---- */
typedef enum field_kind {
#define TYPE(id, ctype, text, doc) TYPE_##id,
#include "types.def"
#undef TYPE
    TYPE_LIST,   /* a list of records */
    TYPE_RECORD, /* a record */
    TYPE_NAMED,  /* a name, or a record that has one */
    TYPE_COUNT_
} field_kind_t;

typedef struct record_class record_class_t;

typedef struct field {
    const char *name; /* NULL ends a table */
    field_kind_t kind;
    bool required;
    uint8_t name_size;
    size_t offset;                /* of the member in the struct */
    size_t has_offset;            /* of its has_ flag */
    const record_class_t *record; /* for LIST, RECORD and NAMED */
    const char *doc;
} field_t;

struct record_class {
    const char *name, *doc;
    size_t size; /* of the struct */
    const field_t *fields;
};

typedef enum message_kind { KIND_REQUEST, KIND_ANSWER, KIND_TELL, KIND_EVENT } message_kind_t;

/* What a key allows: each what the one before it does, and more. */
typedef enum permission {
    PERMISSION_NONE,
    PERMISSION_READ,
    PERMISSION_WRITE,
    PERMISSION_ADMIN,
    PERMISSION_ENGINE, /* what only the engine says */
} permission_t;
const char *permission_name(permission_t permission); /* "read" */
/* PERMISSION_NONE: there is none of that name that a key may have. */
permission_t permission_find(const char *name);

enum { SCOPE_COMMANDS = 1, SCOPE_INGEST = 2, SCOPE_TEST_STREAM = 4, SCOPE_INTERNAL = 8 };

typedef struct message_class {
    const char *id;   /* "JOB_CANCEL" */
    const char *wire; /* the op, the event, or an answer's name */
    message_kind_t kind;
    unsigned scope;          /* on which endpoints it is spoken */
    permission_t permission; /* what the key of who sends it must allow */
    const char *owner;       /* the actor that answers a request of a client */
    message_id_t answer;     /* what a request is answered with */
    record_class_t record;
} message_class_t;

/* The table of a message. */
const message_class_t *message_class(message_id_t id);

/* Is it one of those that make faults, which exist only with `--chaos`? */
bool message_is_chaos(message_id_t id);

/* The id of an op or event spoken in `scope`; MSG_NONE where there is none. `size`: bytes of `wire`. */
message_id_t message_find(unsigned scope, const char *wire, size_t size);

const char *error_name(error_code_t code); /* "bad_request" */
const char *error_doc(error_code_t code);
/* The code of that name; ERROR_INTERNAL for one that is not known. */
error_code_t error_find(const char *name);
const char *counter_name(counter_t counter);
const char *counter_doc(counter_t counter);
const char *field_kind_name(field_kind_t kind); /* "NAME" */
const char *field_kind_text(field_kind_t kind); /* as error texts call it: "a whole number" */
const char *field_kind_doc(field_kind_t kind);

/* The options' defaults, all fields set. What it points to is constant. */
void options_default(msg_options_t *options);
/* The options in the message that tells of a change: the two are made of the same list. Borrows what it points to. */
msg_options_t options_changed(const msg_options_changed_t *change);

#endif
