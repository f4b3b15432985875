/* The way out: from a message's struct to msgpack, by its table. What the engine says must be sayable: a required text that was not set,
 * or a definition without its record, is a bug of the sender and ends the process at the sender, not at a client that cannot read it. */
#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "fault.h"

static void record_pack(msgpack_packer *packer, msgpack_sbuffer *out, const record_class_t *record, const uint8_t *in);

static void text_pack(msgpack_packer *packer, const char *text, size_t size) {
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, text, size);
}

static bool field_there(const field_t *field, const uint8_t *in) {
    bool filled = field->kind == TYPE_LIST && *(const size_t *)(const void *)(in + field->offset) > 0; /* its count comes first */
    return field->required || filled || *(const bool *)(in + field->has_offset);
}

static void texts_pack(msgpack_packer *packer, const names_t *names) {
    msgpack_pack_array(packer, names->count);
    for (size_t i = 0; i < names->count; i++) {
        text_pack(packer, names->items[i], strlen(names->items[i]));
    }
}

static void name_pack(msgpack_packer *packer, const record_class_t *record, const field_t *field, const char *name) {
    if (name == NULL) {
        char condition[192];
        snprintf(condition, sizeof condition, "`%s` of `%s` is set", field->name, record->name);
        fault_bug(condition, __FILE__, __LINE__);
    }
    text_pack(packer, name, strlen(name));
}

static void list_pack(msgpack_packer *packer, msgpack_sbuffer *out, const record_class_t *record, const uint8_t *member) {
    size_t count;
    const uint8_t *items;
    memcpy(&count, member, sizeof count);
    memcpy(&items, member + sizeof count, sizeof items);
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++) {
        record_pack(packer, out, record, items + i * record->size);
    }
}

static void named_pack(msgpack_packer *packer, msgpack_sbuffer *out, const record_class_t *record, const field_t *field,
                       const uint8_t *member) {
    const char *name;
    const uint8_t *definition;
    memcpy(&name, member, sizeof name);
    memcpy(&definition, member + sizeof name, sizeof definition);
    if (definition != NULL) {
        record_pack(packer, out, field->record, definition);
    } else {
        name_pack(packer, record, field, name);
    }
}

/* `in` of field->kind ANY is msgpack already. */
static void raw_pack(msgpack_packer *packer, msgpack_sbuffer *out, const bytes_t *raw) {
    if (raw->size > 0) {
        msgpack_sbuffer_write(out, (const char *)raw->data, raw->size);
    } else {
        msgpack_pack_nil(packer);
    }
}

static void limit_pack(msgpack_packer *packer, int64_t limit) {
    if (limit == LIMIT_NONE) {
        msgpack_pack_nil(packer);
    } else {
        msgpack_pack_int64(packer, limit);
    }
}

static void field_pack(msgpack_packer *packer, msgpack_sbuffer *out, const record_class_t *record, const field_t *field,
                       const uint8_t *member) {
    switch (field->kind) {
    case TYPE_NAME:
    case TYPE_TEXT: name_pack(packer, record, field, *(const char *const *)(const void *)member); return;
    case TYPE_NAMES:
    case TYPE_TEXTS: texts_pack(packer, (const names_t *)(const void *)member); return;
    case TYPE_INT:
    case TYPE_COUNT:
    case TYPE_POSITIVE:
    case TYPE_SIZE:
    case TYPE_ROOM:
    case TYPE_QUOTA: msgpack_pack_int64(packer, *(const int64_t *)(const void *)member); return;
    case TYPE_LIMIT: limit_pack(packer, *(const int64_t *)(const void *)member); return;
    case TYPE_REAL: msgpack_pack_double(packer, *(const double *)(const void *)member); return;
    case TYPE_FLAG: (*(const bool *)member ? msgpack_pack_true : msgpack_pack_false)(packer); return;
    case TYPE_BYTES:
        msgpack_pack_bin_with_body(packer, ((const bytes_t *)(const void *)member)->data, ((const bytes_t *)(const void *)member)->size);
        return;
    case TYPE_ANY: raw_pack(packer, out, (const bytes_t *)(const void *)member); return;
    case TYPE_LIST: list_pack(packer, out, field->record, member); return;
    case TYPE_RECORD: record_pack(packer, out, field->record, member); return;
    case TYPE_NAMED: named_pack(packer, out, record, field, member); return;
    default: fault_bug("every kind of field is encoded", __FILE__, __LINE__);
    }
}

static uint32_t record_count(const record_class_t *record, const uint8_t *in) {
    uint32_t count = 0;
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        count += field_there(field, in);
    }
    return count;
}

static void fields_pack(msgpack_packer *packer, msgpack_sbuffer *out, const record_class_t *record, const uint8_t *in) {
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        if (field_there(field, in)) {
            text_pack(packer, field->name, field->name_size);
            field_pack(packer, out, record, field, in + field->offset);
        }
    }
}

static void record_pack(msgpack_packer *packer, msgpack_sbuffer *out, const record_class_t *record, const uint8_t *in) {
    msgpack_pack_map(packer, record_count(record, in));
    fields_pack(packer, out, record, in);
}

void message_encode(message_id_t id, const void *message, bool named, bytes_t echo, msgpack_sbuffer *out) {
    const message_class_t *class = message_class(id);
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, record_count(&class->record, message) + named + (echo.size > 0));
    if (named && class->kind == KIND_ANSWER) {
        text_pack(&packer, "ok", 2);
        msgpack_pack_true(&packer);
    } else if (named) {
        text_pack(&packer, class->kind == KIND_EVENT ? "event" : "op", class->kind == KIND_EVENT ? 5 : 2);
        text_pack(&packer, class->wire, strlen(class->wire));
    }
    if (echo.size > 0) {
        text_pack(&packer, "id", 2);
        msgpack_sbuffer_write(out, (const char *)echo.data, echo.size);
    }
    fields_pack(&packer, out, &class->record, message);
}

void record_encode(const record_class_t *record, const void *in, msgpack_sbuffer *out) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    record_pack(&packer, out, record, in);
}
