/* Messages ignore a field that they do not know, so that an older engine serves a newer client. A payload must not: whoever writes
 * "rte" for "rate" would get a recording of something else, and the same again at each replay. So unknown fields are refused here,
 * and the fault lists those that there are. */
#include "payload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../messages/wire.h"
#include "../store/keyring.h"

/* Writes "`rate`, `size` and `count`". */
static void fields_list(const record_class_t *record, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (const field_t *field = record->fields; field->name != NULL && used < size; field++) {
        const char *between = field == record->fields ? "" : field[1].name == NULL ? " and " : ", ";
        used += (size_t)snprintf(text + used, size - used, "%s`%s`", between, field->name);
    }
}

static bool field_known(const record_class_t *record, const msgpack_object *key) {
    if (key->type != MSGPACK_OBJECT_STR) return false;
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        if (strlen(field->name) == key->via.str.size && memcmp(field->name, key->via.str.ptr, key->via.str.size) == 0) return true;
    }
    return false;
}

static int fields_check(const record_class_t *record, const char *urn, const msgpack_object_map *map, fault_t *why) {
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        char known[400];
        if (field_known(record, key)) continue;
        fields_list(record, known, sizeof known);
        if (key->type != MSGPACK_OBJECT_STR) return fault_set(why, "`%s`: the payload has a key that is no text; it takes %s", urn, known);
        int size = key->via.str.size < 64 ? (int)key->via.str.size : 64;
        return fault_set(why, "`%s`: the payload has no field `%.*s`; it takes %s", urn, size, key->via.str.ptr, known);
    }
    return 0;
}

int payload_decode(const record_class_t *record, const char *urn, bytes_t payload, msgpack_zone *zone, void *out, fault_t *why) {
    static const uint8_t empty[] = {0x80};
    if (payload.size == 0) payload = (bytes_t){empty, sizeof empty};
    refusal_t no = {0};
    msgpack_object object;
    if (wire_walk(payload, &no) < 0) return fault_set(why, "`%s`: the payload: %s", urn, no.message);
    if (msgpack_unpack((const char *)payload.data, payload.size, NULL, zone, &object) != MSGPACK_UNPACK_SUCCESS) {
        return fault_set(why, "`%s`: the payload is not well formed", urn);
    }
    if (object.type != MSGPACK_OBJECT_MAP) {
        char known[400];
        fields_list(record, known, sizeof known);
        return fault_set(why, "`%s`: the payload must be a map of %s, not %s", urn, known,
                         object.type == MSGPACK_OBJECT_BIN ? "bytes" : "another value");
    }
    if (fields_check(record, urn, &object.via.map, why) < 0) return -1;
    if (record_decode(record, urn, payload, zone, out, &no) < 0) return fault_set(why, "%s", no.message);
    return 0;
}

int payload_choice(const char *urn, const char *field, const char *value, const char *const *choices, unsigned *ret_choice, fault_t *why) {
    char known[200];
    size_t used = 0;
    unsigned i;
    for (i = 0; choices[i] != NULL; i++) {
        if (value == NULL || strcmp(value, choices[i]) == 0) {
            *ret_choice = i;
            return 0;
        }
        const char *between = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
        if (used < sizeof known) used += (size_t)snprintf(known + used, sizeof known - used, "%s`%s`", between, choices[i]);
    }
    return fault_set(why, "`%s`: `%s` must be %s, not `%.64s`", urn, field, known, value);
}

int payload_file_check(const char *urn, const char *field, const char *path, const char *keys, fault_t *why) {
    struct stat about;
    if (keyring_is_secret(keys, path))
        return fault_set(why, "`%s`: `%s`: %s is the engine's own key, which is nobody's to use", urn, field, path);
    /* A pipe would have to be waited for, and a device may have no end. */
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return fault_set(why, "`%s`: `%s`: %s is not a file", urn, field, path);
    return 0;
}

int payload_secret(const char *urn, const char *field, const char *path, const char *keys, char *ret_secret, size_t size, fault_t *why) {
    if (payload_file_check(urn, field, path, keys, why) < 0) return -1;
    FILE *file = fopen(path, "re");
    if (!file) return fault_errno(why, "`%s`: `%s`: cannot read %s", urn, field, path);
    size_t got = fread(ret_secret, 1, size, file);
    bool read = !ferror(file);
    fclose(file);
    if (read && got < size && got > 0 && ret_secret[got - 1] == '\n') got--;
    if (read && got < size && got > 0 && ret_secret[got - 1] == '\r') got--;
    if (!read || got == size || memchr(ret_secret, '\0', got))
        return fault_set(why, "`%s`: `%s`: %s holds none: text of less than %zu bytes", urn, field, path, size);
    ret_secret[got] = '\0';
    return 0;
}

int payload_password(const char *urn, const char *path, const char *keys, char *ret_password, size_t size, fault_t *why) {
    return payload_secret(urn, "password_file", path, keys, ret_password, size, why);
}
