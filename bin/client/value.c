/* JSON to msgpack and back.
 * Pipelines are written as JSON by hand and as msgpack by programs, and the engine speaks msgpack only; `--json` is the way back.
 * A text that holds JSON begins with `{` or `[`, which in msgpack would be the bare numbers 123 and 91: so the two are told apart by
 * their first byte. */
#include "value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/base64.h"
#include "../../messages/text.h"
#include "../../messages/wire.h"

static int pack_base64(const json_t *json, msgpack_packer *pk, fault_t *why) {
    size_t size;
    uint8_t *bytes = base64_decode(json_string_value(json), &size, why);
    if (!bytes) {
        return -1;
    }
    msgpack_pack_bin_with_body(pk, bytes, size);
    free(bytes);
    return 0;
}

static int pack_json(const json_t *json, msgpack_packer *pk, fault_t *why);

static int pack_object(const json_t *json, msgpack_packer *pk, fault_t *why) {
    const json_t *base64 = json_object_get(json, "base64");
    if (json_is_string(base64) && json_object_size(json) == 1) {
        return pack_base64(base64, pk, why);
    }
    msgpack_pack_map(pk, json_object_size(json));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        msgpack_pack_str_with_body(pk, key, strlen(key));
        if (pack_json(value, pk, why) == -1) {
            return -1;
        }
    }
    return 0;
}

static int pack_json(const json_t *json, msgpack_packer *pk, fault_t *why) {
    switch (json_typeof(json)) {
    case JSON_OBJECT: return pack_object(json, pk, why);
    case JSON_ARRAY:
        msgpack_pack_array(pk, json_array_size(json));
        for (size_t i = 0; i < json_array_size(json); i++) {
            if (pack_json(json_array_get(json, i), pk, why) == -1) {
                return -1;
            }
        }
        return 0;
    case JSON_STRING: return msgpack_pack_str_with_body(pk, json_string_value(json), json_string_length(json));
    case JSON_INTEGER: return msgpack_pack_int64(pk, json_integer_value(json));
    case JSON_REAL: return msgpack_pack_double(pk, json_real_value(json));
    case JSON_TRUE: return msgpack_pack_true(pk);
    case JSON_FALSE: return msgpack_pack_false(pk);
    case JSON_NULL: break;
    }
    return msgpack_pack_nil(pk);
}

int value_from_json(const json_t *json, msgpack_sbuffer *out, fault_t *why) {
    msgpack_packer pk;
    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    return pack_json(json, &pk, why);
}

/* ---- back ---- */

static json_t *json_of_bytes(bytes_t bytes) {
    char *base64 = base64_encode(bytes);
    json_t *json = json_pack("{s:s}", "base64", base64);
    free(base64);
    return json;
}

/* msgpack-c says of an empty text that it is nowhere. */
static json_t *json_of_text(bytes_t bytes) {
    if (bytes.size == 0) {
        return json_string("");
    }
    json_t *json = text_valid((const char *)bytes.data, bytes.size) ? json_stringn((const char *)bytes.data, bytes.size) : NULL;
    return json ? json : json_of_bytes(bytes);
}

static json_t *json_of(const msgpack_object *object);

/* A list or a map as a key is told by its bytes: as JSON in JSON, its quotes would double with each level. */
static char *text_of_key(const msgpack_object *object) {
    msgpack_sbuffer packed;
    msgpack_packer pk;
    if (object->type != MSGPACK_OBJECT_ARRAY && object->type != MSGPACK_OBJECT_MAP) {
        json_t *key = json_of(object);
        char *text = json_is_string(key) ? strdup(json_string_value(key)) : json_dumps(key, JSON_ENCODE_ANY | JSON_COMPACT);
        json_decref(key);
        return text;
    }
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    msgpack_pack_object(&pk, *object);
    char *text = base64_encode((bytes_t){(const uint8_t *)packed.data, packed.size});
    msgpack_sbuffer_destroy(&packed);
    return text;
}

static json_t *json_of_map(const msgpack_object_map *map) {
    json_t *json = json_object();
    for (uint32_t i = 0; i < map->size; i++) {
        char *text = text_of_key(&map->ptr[i].key);
        must(text);
        json_object_set_new(json, text, json_of(&map->ptr[i].val));
        free(text);
    }
    return json;
}

static json_t *json_of_array(const msgpack_object_array *array) {
    json_t *json = json_array();
    for (uint32_t i = 0; i < array->size; i++) {
        json_array_append_new(json, json_of(&array->ptr[i]));
    }
    return json;
}

static json_t *json_of(const msgpack_object *object) {
    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN: return json_boolean(object->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return object->via.u64 <= INT64_MAX ? json_integer((json_int_t)object->via.u64) : json_real((double)object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: return json_integer(object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: return isfinite(object->via.f64) ? json_real(object->via.f64) : json_null();
    case MSGPACK_OBJECT_STR: return json_of_text((bytes_t){(const uint8_t *)object->via.str.ptr, object->via.str.size});
    case MSGPACK_OBJECT_BIN: return json_of_bytes((bytes_t){(const uint8_t *)object->via.bin.ptr, object->via.bin.size});
    case MSGPACK_OBJECT_EXT: return json_of_bytes((bytes_t){(const uint8_t *)object->via.ext.ptr, object->via.ext.size});
    case MSGPACK_OBJECT_ARRAY: return json_of_array(&object->via.array);
    case MSGPACK_OBJECT_MAP: return json_of_map(&object->via.map);
    case MSGPACK_OBJECT_NIL: break;
    }
    return json_null();
}

json_t *value_to_json(bytes_t in) {
    refusal_t no;
    if (wire_walk(in, &no) == -1) {
        return NULL;
    }
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    json_t *json = NULL;
    if (msgpack_unpack_next(&unpacked, (const char *)in.data, in.size, NULL) == MSGPACK_UNPACK_SUCCESS) {
        json = json_of(&unpacked.data);
    }
    msgpack_unpacked_destroy(&unpacked);
    return json;
}

/* ---- files ---- */

static int stream_read(FILE *in, const char *path, msgpack_sbuffer *out, fault_t *why) {
    char piece[65536];
    size_t size;
    while ((size = fread(piece, 1, sizeof piece, in)) > 0) {
        if (out->size + size > WIRE_MESSAGE_MAX) {
            return fault_set(why, "%s is larger than %d bytes, the most that a request may have", path, WIRE_MESSAGE_MAX);
        }
        msgpack_sbuffer_write(out, piece, size);
    }
    return ferror(in) ? fault_errno(why, "cannot read %s", path) : 0;
}

static int json_read(const char *path, const msgpack_sbuffer *text, msgpack_sbuffer *out, fault_t *why) {
    json_error_t error;
    json_t *json = json_loadb(text->data, text->size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json) {
        return fault_set(why, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    }
    fault_t what;
    int result = value_from_json(json, out, &what);
    if (result == -1) {
        fault_set(why, "%s: %s", path, what.text);
    }
    json_decref(json);
    return result;
}

static int value_parse(const char *name, const msgpack_sbuffer *content, msgpack_sbuffer *out, fault_t *why) {
    size_t blank = 0;
    while (blank < content->size && strchr(" \t\r\n", content->data[blank]) && content->data[blank]) {
        blank++;
    }
    refusal_t no;
    if (blank == content->size) {
        return fault_set(why, "%s is empty", name);
    }
    if (content->data[blank] == '{' || content->data[blank] == '[') {
        return json_read(name, content, out, why);
    }
    if (wire_walk((bytes_t){(const uint8_t *)content->data, content->size}, &no) == -1) {
        return fault_set(why, "%s is neither JSON nor msgpack: %s", name, no.message);
    }
    msgpack_sbuffer_write(out, content->data, content->size);
    return 0;
}

int value_read_bytes(const char *path, msgpack_sbuffer *out, fault_t *why) {
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "rbe");
    if (!in) {
        return errno == ENOENT ? 1 : fault_errno(why, "cannot read %s", path);
    }
    int result = stream_read(in, standard ? "standard input" : path, out, why);
    if (!standard) {
        fclose(in);
    }
    return result;
}

int value_read(const char *path, msgpack_sbuffer *out, fault_t *why) {
    msgpack_sbuffer content;
    msgpack_sbuffer_init(&content);
    int result = value_read_bytes(path, &content, why);
    if (result == 0) {
        result = value_parse(strcmp(path, "-") == 0 ? "standard input" : path, &content, out, why);
    }
    msgpack_sbuffer_destroy(&content);
    return result;
}
