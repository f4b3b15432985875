/* The walk follows protobuf-c's own descriptors, so that it knows no message by itself, and goes only as deep as these are nested. Fields
 * that the descriptors do not have are checked to be whole and counted, as protobuf-c keeps a copy of each. */
#include "proto.h"

#include <stdio.h>
#include <string.h>

#include "../../messages/fault.h"
#include "../../messages/text.h"

enum { FIELDS_MAX = 16, DEPTH_MAX = 16, BOUNDS_MAX = 4, NUMBER_MAX = (1 << 29) - 1 };
enum { WIRE_VARINT, WIRE_FIXED64, WIRE_LENGTH, WIRE_GROUP, WIRE_GROUP_END, WIRE_FIXED32 };

static const char *const wire_names[] = {"a varint", "8 bytes", "a length and its bytes", "a group", "the end of a group", "4 bytes"};

/* Where the walk stands, from the inside out; turned into text only when something is refused. */
typedef struct path {
    const struct path *up;
    const char *name;
    int64_t item; /* of a repeated field; -1: it is not one */
    unsigned depth;
} path_t;

typedef struct walk {
    const uint8_t *begin, *at;
    const proto_bound_t *bounds;
    uint32_t counts[BOUNDS_MAX], values;
    const char *field;
    refusal_t *no;
} walk_t;

static int refuse_at(const walk_t *w, error_code_t code, const path_t *path, const uint8_t *at, const char *what) {
    const path_t *steps[DEPTH_MAX];
    size_t count = 0, used = 0;
    char where[160] = "";
    for (; path; path = path->up) steps[count++] = path;
    while (count > 0 && used < sizeof where) {
        const path_t *step = steps[--count];
        used += (size_t)snprintf(where + used, sizeof where - used, step->item < 0 ? "%s%s" : "%s%s[%lld]", used > 0 ? "." : "", step->name,
                                 (long long)step->item);
    }
    return refuse(w->no, code, w->field, "%s%sat byte %zu %s", where, where[0] ? ": " : "", (size_t)(at - w->begin), what);
}

#define REFUSE_AT(w, code, path, at, ...)                                                                                                  \
    do {                                                                                                                                   \
        char what_[160];                                                                                                                   \
        snprintf(what_, sizeof what_, __VA_ARGS__);                                                                                        \
        return refuse_at(w, code, path, at, what_);                                                                                        \
    } while (0)

/* The varint at `w->at`, which moves behind it. `size_max` is how many bytes protobuf-c takes for one. */
static int read_varint(walk_t *w, const uint8_t *end, size_t size_max, const path_t *path, uint64_t *ret_value) {
    uint64_t value = 0;
    for (size_t i = 0; i < size_max; i++) {
        if (w->at + i == end) REFUSE_AT(w, ERROR_BAD_REQUEST, path, w->at, "a number is cut off");
        uint8_t byte = w->at[i];
        value |= i < 9 ? (uint64_t)(byte & 0x7f) << 7 * i : (uint64_t)(byte & 1) << 63;
        if (byte & 0x80) continue;
        w->at += i + 1;
        *ret_value = value;
        return 0;
    }
    REFUSE_AT(w, ERROR_BAD_REQUEST, path, w->at, "a number is longer than %zu bytes", size_max);
}

static unsigned wire_type_of(const ProtobufCFieldDescriptor *field) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return WIRE_LENGTH;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return WIRE_FIXED64;
    default: return WIRE_VARINT;
    }
}

/* The value of wire type `type` at `w->at`, which moves behind it; of a length, `ret_value` is what it announces. */
static int read_value(walk_t *w, const uint8_t *end, unsigned type, const path_t *path, bytes_t *ret_value) {
    const uint8_t *start = w->at;
    uint64_t size = 0;
    if (type == WIRE_VARINT) return read_varint(w, end, 10, path, &size);
    if (type == WIRE_LENGTH && read_varint(w, end, 5, path, &size) < 0) return -1;
    if (type == WIRE_FIXED64) size = 8;
    if (type == WIRE_FIXED32) size = 4;
    if (size > (uint64_t)(end - w->at) && type == WIRE_LENGTH)
        REFUSE_AT(w, ERROR_BAD_REQUEST, path, start, "a length of %llu passes the end: %zu bytes follow", (unsigned long long)size,
                  (size_t)(end - w->at));
    if (size > (uint64_t)(end - w->at)) REFUSE_AT(w, ERROR_BAD_REQUEST, path, start, "%s are cut off", wire_names[type]);
    *ret_value = (bytes_t){w->at, (size_t)size};
    w->at += size;
    return 0;
}

static int count_message(walk_t *w, const ProtobufCMessageDescriptor *message, const path_t *path) {
    for (size_t i = 0; w->bounds && w->bounds[i].message; i++) {
        must(i < BOUNDS_MAX);
        if (w->bounds[i].message == message && ++w->counts[i] > w->bounds[i].max)
            REFUSE_AT(w, ERROR_TOO_LARGE, path, w->at, "are more than %u %s", w->bounds[i].max, w->bounds[i].what);
    }
    return 0;
}

static int walk_message(walk_t *w, const ProtobufCMessageDescriptor *message, const uint8_t *end, const path_t *path);

/* A value of a field that the descriptor has. */
static int walk_known(walk_t *w, const ProtobufCFieldDescriptor *field, bytes_t value, const path_t *path) {
    if (field->type == PROTOBUF_C_TYPE_STRING && !text_valid((const char *)value.data, value.size))
        REFUSE_AT(w, ERROR_BAD_REQUEST, path, value.data, "is text that %s",
                  memchr(value.data, '\0', value.size) ? "has a NUL in it" : "is not UTF-8");
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) return 0;
    w->at = value.data;
    if (count_message(w, field->descriptor, path) < 0) return -1;
    return walk_message(w, field->descriptor, value.data + value.size, path);
}

/* The number and wire type before a value. */
static int read_key(walk_t *w, const uint8_t *end, const path_t *path, unsigned *ret_number, unsigned *ret_type) {
    const uint8_t *start = w->at;
    uint64_t key;
    if (read_varint(w, end, 5, path, &key) < 0) return -1;
    uint64_t number = key >> 3;
    unsigned type = key & 7;
    if (number == 0 || number > NUMBER_MAX)
        REFUSE_AT(w, ERROR_BAD_REQUEST, path, start, "stands field %llu, which there cannot be", (unsigned long long)number);
    if (type > WIRE_FIXED32) REFUSE_AT(w, ERROR_BAD_REQUEST, path, start, "stands wire type %u, which means nothing", type);
    if (type == WIRE_GROUP || type == WIRE_GROUP_END) REFUSE_AT(w, ERROR_BAD_REQUEST, path, start, "stands %s", wire_names[type]);
    if (++w->values > PROTO_VALUES_MAX) REFUSE_AT(w, ERROR_TOO_LARGE, path, start, "are more than %d values", PROTO_VALUES_MAX);
    *ret_number = (unsigned)number;
    *ret_type = type;
    return 0;
}

static int walk_message(walk_t *w, const ProtobufCMessageDescriptor *message, const uint8_t *end, const path_t *path) {
    uint32_t seen[FIELDS_MAX] = {0};
    must(message->n_fields <= FIELDS_MAX && (!path || path->depth < DEPTH_MAX));
    while (w->at < end) {
        const uint8_t *start = w->at;
        unsigned number = 0, type = 0;
        bytes_t value;
        if (read_key(w, end, path, &number, &type) < 0) return -1;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(message, number);
        if (!field) {
            if (read_value(w, end, type, path, &value) < 0) return -1;
            continue;
        }
        size_t index = (size_t)(field - message->fields);
        bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
        path_t here = {path, field->name, repeated ? (int64_t)seen[index] : -1, path ? path->depth + 1 : 1};
        if (type != wire_type_of(field))
            REFUSE_AT(w, ERROR_BAD_REQUEST, &here, start, "must be %s, not %s", wire_names[wire_type_of(field)], wire_names[type]);
        /* Two are to be merged, and merging many costs the square of them; nothing that writes pipelines does it. */
        if (seen[index]++ > 0 && !repeated && field->type == PROTOBUF_C_TYPE_MESSAGE)
            REFUSE_AT(w, ERROR_BAD_REQUEST, &here, start, "stands a second one");
        if (read_value(w, end, type, &here, &value) < 0) return -1;
        if (type == WIRE_LENGTH && walk_known(w, field, value, &here) < 0) return -1;
    }
    return 0;
}

int proto_walk(const ProtobufCMessageDescriptor *message, bytes_t in, const proto_bound_t *bounds, const char *field, refusal_t *no) {
    walk_t walk = {.begin = in.data, .at = in.data, .bounds = bounds, .field = field, .no = no};
    if (in.size == 0) return 0; /* nothing may be nowhere */
    return walk_message(&walk, message, in.data + in.size, NULL);
}

/* ---- field by field ---- */

int proto_next(bytes_t *in, proto_field_t *ret_field) {
    refusal_t no;
    walk_t walk = {.begin = in->data, .at = in->data, .field = NULL, .no = &no};
    const uint8_t *end = in->data + in->size;
    unsigned number = 0, type = 0;
    proto_field_t field = {0};
    if (in->size == 0) return 0;
    if (read_key(&walk, end, NULL, &number, &type) < 0) return -1;
    bool varint = type == WIRE_VARINT;
    if ((varint ? read_varint(&walk, end, 10, NULL, &field.varint) : read_value(&walk, end, type, NULL, &field.value)) < 0) return -1;
    field.number = number;
    field.type = (uint8_t)type;
    field.whole = (bytes_t){in->data, (size_t)(walk.at - in->data)};
    *in = (bytes_t){walk.at, (size_t)(end - walk.at)};
    *ret_field = field;
    return 1;
}

static void put_varint(msgpack_sbuffer *out, uint64_t value) {
    char bytes[10];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) bytes[size++] = (char)(value | 0x80);
    bytes[size++] = (char)value;
    must(msgpack_sbuffer_write(out, bytes, size) == 0);
}

void proto_put(msgpack_sbuffer *out, uint32_t number, bytes_t value) {
    put_varint(out, (uint64_t)number << 3 | WIRE_LENGTH);
    put_varint(out, value.size);
    if (value.size > 0) must(msgpack_sbuffer_write(out, (const char *)value.data, value.size) == 0);
}

void proto_put_text(msgpack_sbuffer *out, uint32_t number, const char *text) {
    proto_put(out, number, (bytes_t){(const uint8_t *)text, strlen(text)});
}
