/* A field's value as one types it. A topic called 42 is text, and a rate of 42 is a number: the field says which, so nobody needs
 * quotes. */
#include "given.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"
#include "value.h"

static void text_pack(msgpack_packer *packer, const char *text, size_t size) {
    msgpack_pack_str_with_body(packer, text, size);
}

/* ---- what it looks like ---- */

static void number_pack(msgpack_packer *packer, const char *text) {
    char *end;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    bool exact = *end == '\0' && errno == 0;
    double value = strtod(text, NULL);
    if (exact) {
        msgpack_pack_int64(packer, whole);
    } else if (value == floor(value) && fabs(value) < 0x1p53) {
        msgpack_pack_int64(packer, (int64_t)value);
    } else {
        msgpack_pack_double(packer, value);
    }
}

static bool is_number(const char *text) {
    char *end;
    return text[0] && strspn(text, "0123456789.eE+-") == strlen(text) && (strtod(text, &end), *end == '\0');
}

void given_pack_any(const char *text, msgpack_packer *packer) {
    size_t size = strlen(text);
    if (size > 1 && text[0] == '"' && text[size - 1] == '"') {
        text_pack(packer, text + 1, size - 2);
    } else if (is_number(text)) {
        number_pack(packer, text);
    } else if (strcmp(text, "true") == 0) {
        msgpack_pack_true(packer);
    } else if (strcmp(text, "false") == 0) {
        msgpack_pack_false(packer);
    } else if (strcmp(text, "null") == 0) {
        msgpack_pack_nil(packer);
    } else {
        text_pack(packer, text, size);
    }
}

/* ---- what the field takes ---- */

static int names_pack(const char *text, msgpack_packer *packer) {
    size_t count = 1;
    for (const char *at = text; *at; at++) {
        count += *at == ',';
    }
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(text, ",");
        text_pack(packer, text, size);
        text += size + 1;
    }
    return 0;
}

static bool ends_with(const char *name, const char *ending) {
    size_t size = strlen(name), own = strlen(ending);
    return own <= size && strcmp(name + size - own, ending) == 0;
}

/* Whole numbers in the units that fit the field's name. */
static bool whole_parse(const field_t *field, const char *text, int64_t *ret_number) {
    static const struct {
        const char *ending;
        int (*parse)(const char *text, int64_t *ret_value, fault_t *why);
    } units[] = {{"_ms", units_parse_duration}, {"size", units_parse_bytes}, {"size_max", units_parse_bytes}, {"bytes", units_parse_bytes}};
    fault_t unread;
    const char *digits = text + (text[0] == '-');
    int64_t number;
    if (units_parse_count(digits, &number, &unread) == 0) {
        *ret_number = digits > text ? -number : number;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (ends_with(field->name, units[i].ending) && units[i].parse(text, ret_number, &unread) == 0) {
            return true;
        }
    }
    return false;
}

static bool json_given(const char *text, msgpack_packer *packer) {
    fault_t unread;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    bool good = json && value_from_json(json, packer->data, &unread) == 0;
    json_decref(json);
    return good;
}

static bool known_pack(const field_t *field, const char *text, msgpack_packer *packer) {
    int64_t number;
    switch (field->kind) {
    case TYPE_NAME:
    case TYPE_TEXT: return text_pack(packer, text, strlen(text)), true;
    case TYPE_BYTES: return msgpack_pack_bin_with_body(packer, text, strlen(text)) == 0;
    case TYPE_NAMES:
    case TYPE_TEXTS: return names_pack(text, packer) == 0;
    case TYPE_ANY: return text[0] == '{' || text[0] == '[' ? json_given(text, packer) : (given_pack_any(text, packer), true);
    case TYPE_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return false;
        }
        return (text[0] == 't' ? msgpack_pack_true : msgpack_pack_false)(packer) == 0;
    case TYPE_REAL: return is_number(text) && (number_pack(packer, text), true);
    case TYPE_LIMIT:
        if (strcmp(text, "none") == 0 || strcmp(text, "null") == 0) {
            return msgpack_pack_nil(packer) == 0;
        }
        return whole_parse(field, text, &number) && msgpack_pack_int64(packer, number) == 0;
    case TYPE_INT:
    case TYPE_COUNT:
    case TYPE_POSITIVE:
    case TYPE_SIZE:
    case TYPE_ROOM:
    case TYPE_QUOTA: return whole_parse(field, text, &number) && msgpack_pack_int64(packer, number) == 0;
    default: return false;
    }
}

int given_pack(const field_t *field, const char *text, msgpack_packer *packer, fault_t *why) {
    if (field->record) {
        return fault_set(why, "`%s` is %s, which no URL can say; a pipeline's file can", field->name, field_kind_text(field->kind));
    }
    if (!known_pack(field, text, packer)) {
        return fault_set(why, "`%s` must be %s, not `%.100s`", field->name, field_kind_text(field->kind), text);
    }
    return 0;
}
