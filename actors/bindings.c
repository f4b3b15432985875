/* The sections are kept as the file has them, and read at each use: there are few, and a job starts seldom. What can be wrong with one is said
 * when the engine starts; what depends on a source's payload, when a job with it does. */
#include "bindings.h"

#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/text.h"
#include "../messages/wire.h"
#include "beam/proto.h"
#include "sources/coder.h"
#include "sources/sources.h"

#define URN_PUBSUB "beam:transform:pubsub_read:v1"

enum { TEXT_MAX = 4096 };

struct bindings {
    zconfig_t *root;
};

/* Where the fields of Beam's payloads are, by names. */
static const struct {
    const char *urn, *name, *path;
} fields[] = {
    {URN_PUBSUB, "topic", "1"},        {URN_PUBSUB, "subscription", "2"},    {URN_PUBSUB, "timestamp_attribute", "3"},
    {URN_PUBSUB, "id_attribute", "4"}, {URN_PUBSUB, "with_attributes", "5"},
};

static zconfig_t *child_of(zconfig_t *item, const char *name) {
    for (zconfig_t *child = zconfig_child(item); child; child = zconfig_next(child))
        if (strcmp(zconfig_name(child), name) == 0) return child;
    return NULL;
}

static const char *value_of(zconfig_t *item, const char *name) {
    zconfig_t *child = child_of(item, name);
    const char *value = child ? zconfig_value(child) : NULL;
    return value ? value : "";
}

static const source_kind_t *kind_of(zconfig_t *binding) {
    return source_kind_find(value_of(binding, "source"));
}

/* ---- fields of a payload ---- */

/* The value at `path`, numbers with points between, of a message. The last one counts, as in Beam. */
static bool proto_text(bytes_t message, const char *path, char *ret_text, size_t size) {
    char *rest;
    unsigned long number = strtoul(path, &rest, 10);
    proto_field_t field, found = {0};
    while (proto_next(&message, &field) == 1)
        if (field.number == number) found = field;
    if (found.number == 0) return false;
    if (*rest == '.') return found.type == 2 && proto_text(found.value, rest + 1, ret_text, size);
    if (found.type == 0) return snprintf(ret_text, size, "%llu", (unsigned long long)found.varint) > 0;
    if (found.type != 2 || found.value.size >= size || !text_valid((const char *)found.value.data, found.value.size)) return false;
    memcpy(ret_text, found.value.data, found.value.size);
    ret_text[found.value.size] = '\0';
    return true;
}

static bool beam_text(const char *urn, bytes_t message, const char *name, char *ret_text, size_t size) {
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].urn, urn) == 0 && strcmp(fields[i].name, name) == 0) name = fields[i].path;
    return name[strspn(name, "0123456789.")] == '\0' && proto_text(message, name, ret_text, size);
}

static bool map_text(bytes_t map, const char *name, char *ret_text, size_t size) {
    bytes_t value;
    const char *text;
    size_t length;
    int64_t number;
    if (!wire_map_get(map, name, &value)) return false;
    if (wire_int(value, &number)) return snprintf(ret_text, size, "%lld", (long long)number) > 0;
    if (!wire_text(value, &text, &length) || length >= size || !text_valid(text, length)) return false;
    memcpy(ret_text, text, length);
    ret_text[length] = '\0';
    return true;
}

/* The field as text; false: there is none, or it is neither text nor a number. */
static bool field_text(const char *urn, bytes_t payload, const char *name, char ret_text[TEXT_MAX]) {
    if (payload.size == 0) return false;
    uint8_t head = payload.data[0];
    if (head < 0xc4 || head > 0xc6) return map_text(payload, name, ret_text, TEXT_MAX);
    size_t skip = 1 + ((size_t)1 << (head - 0xc4));
    return beam_text(urn, (bytes_t){payload.data + skip, payload.size - skip}, name, ret_text, TEXT_MAX);
}

/* ---- templates ---- */

/* The field's name between braces at `at`, and whether only its last part is meant; gives what follows. NULL: there is none whole. */
static const char *field_next(const char *at, char ret_name[64], bool *ret_last) {
    size_t size = strcspn(at + 1, "{}");
    if (at[1 + size] != '}' || size == 0 || size >= 64) return NULL;
    snprintf(ret_name, 64, "%.*s", (int)size, at + 1);
    char *colon = strchr(ret_name, ':');
    *ret_last = colon && strcmp(colon, ":last") == 0;
    if (colon && !*ret_last) return NULL;
    if (colon) *colon = '\0';
    return ret_name[0] ? at + size + 2 : NULL;
}

static int fill(const char *where, const char *template, const char *urn, bytes_t payload, char ret_text[TEXT_MAX], fault_t *why) {
    size_t used = 0;
    for (const char *at = template; *at;) {
        char name[64], value[TEXT_MAX] = {*at, '\0'};
        const char *next = at + 1, *put = value;
        bool last = false;
        if (*at == '{') {
            next = field_next(at, name, &last);
            must(next);
            if (!field_text(urn, payload, name, value))
                return fault_set(why, "`%s` = \"%.100s\": the payload of `%.100s` has no text or number called `%s`", where, template, urn,
                                 name);
            const char *slash = strrchr(value, '/');
            if (last && slash) put = slash + 1;
        }
        if (strlen(put) >= TEXT_MAX - used)
            return fault_set(why, "`%s` = \"%.100s\" becomes longer than %d bytes", where, template, TEXT_MAX);
        used += (size_t)snprintf(ret_text + used, TEXT_MAX - used, "%s", put);
        at = next;
    }
    ret_text[used] = '\0';
    return 0;
}

static int check_template(const char *where, const char *template, fault_t *why) {
    for (const char *at = strpbrk(template, "{}"); at; at = strpbrk(at, "{}")) {
        char name[64];
        bool last;
        const char *next = *at == '{' ? field_next(at, name, &last) : NULL;
        if (!next)
            return fault_set(why, "`%s`: in \"%.200s\" braces must be about a field, as in {topic} or {topic:last}", where, template);
        at = next;
    }
    return 0;
}

/* ---- the payload ---- */

static const field_t *record_field(const record_class_t *record, const char *name) {
    for (const field_t *field = record->fields; field->name; field++)
        if (strcmp(field->name, name) == 0) return field;
    return NULL;
}

/* What a text means where no connector says of what type it is. */
static void pack_guess(msgpack_packer *packer, const char *text) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool yes = strcmp(text, "true") == 0;
    if (yes || strcmp(text, "false") == 0)
        yes ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    else if (end != text && *end == '\0' && errno == 0)
        msgpack_pack_int64(packer, number);
    else
        msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void pack_value(msgpack_packer *packer, const record_class_t *record, const char *name, const char *text) {
    const field_t *field = record ? record_field(record, name) : NULL;
    char *end;
    double real = strtod(text, &end);
    if (field && (field->kind == TYPE_TEXT || field->kind == TYPE_NAME))
        msgpack_pack_str_with_body(packer, text, strlen(text));
    else if (field && field->kind == TYPE_REAL && end != text && *end == '\0')
        msgpack_pack_double(packer, real);
    else
        pack_guess(packer, text);
}

static void where_is(zconfig_t *binding, const char *section, const char *name, char ret_where[300]) {
    snprintf(ret_where, 300, "bind/%.64s%s%s%s%.64s", zconfig_name(binding), section[0] ? "/" : "", section, name[0] ? "/" : "", name);
}

static int payload_make(zconfig_t *binding, const char *urn, bytes_t payload, msgpack_zone *zone, bytes_t *ret_payload, fault_t *why) {
    zconfig_t *section = child_of(binding, "payload");
    const source_kind_t *kind = kind_of(binding);
    msgpack_sbuffer out;
    msgpack_packer packer;
    size_t count = 0;
    int result = 0;
    for (zconfig_t *item = zconfig_child(section); item; item = zconfig_next(item)) count++;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, count);
    for (zconfig_t *item = zconfig_child(section); item && result == 0; item = zconfig_next(item)) {
        char where[300], text[TEXT_MAX];
        const char *name = zconfig_name(item);
        where_is(binding, "payload", name, where);
        result = fill(where, zconfig_value(item) ? zconfig_value(item) : "", urn, payload, text, why);
        msgpack_pack_str_with_body(&packer, name, strlen(name));
        if (result == 0) pack_value(&packer, kind ? kind->payload : NULL, name, text);
    }
    if (result == 0) {
        uint8_t *copy = msgpack_zone_malloc(zone, out.size);
        must(copy);
        memcpy(copy, out.data, out.size);
        *ret_payload = (bytes_t){copy, out.size};
    }
    msgpack_sbuffer_destroy(&out);
    return result;
}

/* ---- which one ---- */

static bool speaks_of(zconfig_t *binding, const char *urn, bytes_t payload) {
    if (!wire_matches(value_of(binding, "urn"), urn)) return false;
    zconfig_t *when = child_of(binding, "when");
    for (zconfig_t *item = when ? zconfig_child(when) : NULL; item; item = zconfig_next(item)) {
        char text[TEXT_MAX];
        if (!field_text(urn, payload, zconfig_name(item), text) || !wire_matches(zconfig_value(item), text)) return false;
    }
    return true;
}

int bindings_find(const bindings_t *bindings, const char *urn, bytes_t payload, msgpack_zone *zone, msg_bound_t *ret, fault_t *why) {
    zconfig_t *binding = zconfig_child(bindings->root);
    while (binding && !speaks_of(binding, urn, payload)) binding = zconfig_next(binding);
    if (!binding) return 0;
    msg_bound_t bound = {.urn = value_of(binding, "source"), .coder = value_of(binding, "coder")};
    bound.has_coder = bound.coder[0] != '\0';
    if (child_of(binding, "payload")) {
        if (payload_make(binding, urn, payload, zone, &bound.payload, why) < 0) return -1;
    } else if (!kind_of(binding)) {
        bound.payload = payload;
    }
    bound.has_payload = bound.payload.size > 0;
    *ret = bound;
    return 1;
}

/* ---- what the file says ---- */

static int check_payload(zconfig_t *binding, fault_t *why) {
    zconfig_t *section = child_of(binding, "payload");
    const source_kind_t *kind = kind_of(binding);
    for (zconfig_t *item = section ? zconfig_child(section) : NULL; item; item = zconfig_next(item)) {
        char where[300];
        where_is(binding, "payload", zconfig_name(item), where);
        if (zconfig_child(item)) return fault_set(why, "`%s` is a field, and has none in it", where);
        if (kind && kind->payload && !record_field(kind->payload, zconfig_name(item)))
            return fault_set(why, "`%s`: the payload of `%s` has no such field", where, kind->urn);
        if (check_template(where, zconfig_value(item) ? zconfig_value(item) : "", why) < 0) return -1;
    }
    return 0;
}

static int check_names(zconfig_t *binding, fault_t *why) {
    static const char *const names[] = {"urn", "source", "coder", "when", "payload"};
    char where[300];
    for (zconfig_t *item = zconfig_child(binding); item; item = zconfig_next(item)) {
        size_t i = 0, count = sizeof names / sizeof names[0];
        while (i < count && strcmp(names[i], zconfig_name(item)) != 0) i++;
        where_is(binding, zconfig_name(item), "", where);
        if (i == count) return fault_set(why, "`%s`: a binding has urn, source, coder, when and payload", where);
        if (i < 3 && zconfig_child(item)) return fault_set(why, "`%s` is text, and has nothing in it", where);
        if (child_of(binding, zconfig_name(item)) != item) return fault_set(why, "`%s` is said twice", where);
    }
    for (size_t i = 0; i < 2; i++) {
        const char *value = value_of(binding, names[i]);
        where_is(binding, names[i], "", where);
        if (!name_valid(value, strlen(value))) return fault_set(why, "`%s` must be a URN, not \"%.64s\"", where, value);
    }
    return 0;
}

static int check_binding(zconfig_t *binding, fault_t *why) {
    const char *coder = value_of(binding, "coder");
    char where[300];
    coder_t parsed;
    fault_t wrong;
    if (check_names(binding, why) < 0) return -1;
    where_is(binding, "coder", "", where);
    if (coder[0] && coder_parse(coder, &parsed, &wrong) < 0) return fault_set(why, "`%s`: %s", where, wrong.text);
    if (coder[0] && (!kind_of(binding) || !kind_of(binding)->class))
        return fault_set(why, "`%s`: `%s` is run outside, and encodes what it sends itself", where, value_of(binding, "source"));
    zconfig_t *when = child_of(binding, "when");
    for (zconfig_t *item = when ? zconfig_child(when) : NULL; item; item = zconfig_next(item)) {
        where_is(binding, "when", zconfig_name(item), where);
        if (!zconfig_value(item) || !zconfig_value(item)[0] || zconfig_child(item))
            return fault_set(why, "`%s` must be what a field has to be", where);
    }
    return check_payload(binding, why);
}

bindings_t *bindings_create(const char *text, fault_t *why) {
    bindings_t *bindings = calloc(1, sizeof *bindings);
    must(bindings);
    bindings->root = text[0] ? zconfig_str_load(text) : zconfig_new("root", NULL);
    if (!bindings->root) {
        fault_set(why, "`bind` is not ZPL");
        bindings_destroy(&bindings);
        return NULL;
    }
    for (zconfig_t *binding = zconfig_child(bindings->root); binding; binding = zconfig_next(binding)) {
        if (check_binding(binding, why) == 0) continue;
        bindings_destroy(&bindings);
        return NULL;
    }
    return bindings;
}

void bindings_destroy(bindings_t **self) {
    bindings_t *bindings = *self;
    if (!bindings) return;
    zconfig_destroy(&bindings->root);
    free(bindings);
    *self = NULL;
}
