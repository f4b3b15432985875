/* Only what every SDK of Beam has, and only what differs from the bytes as they are: a key. */
#include "coder.h"

#include <string.h>

#include "../../messages/text.h"
#include "../../messages/wire.h"

static const struct {
    const char *text;
    coder_t coder;
} coders[] = {
    {"bytes", {false, false, false}},
    {"string_utf8", {false, false, true}},
    {"kv<bytes,bytes>", {true, false, false}},
    {"kv<bytes,string_utf8>", {true, false, true}},
    {"kv<string_utf8,bytes>", {true, true, false}},
    {"kv<string_utf8,string_utf8>", {true, true, true}},
};

int coder_parse(const char *text, coder_t *ret_coder, fault_t *why) {
    for (size_t i = 0; i < sizeof coders / sizeof coders[0]; i++) {
        if (strcmp(coders[i].text, text) != 0) continue;
        *ret_coder = coders[i].coder;
        return 0;
    }
    return fault_set(why, "`coder` must be bytes, string_utf8, or kv<K,V> of these, not `%.64s`", text);
}

int coder_key(const coder_t *coder, bytes_t attributes, uint8_t length[CODER_LENGTH_MAX], size_t *ret_length, bytes_t *ret_key,
              fault_t *why) {
    bytes_t value, key = {0};
    *ret_length = 0;
    *ret_key = key;
    if (!coder->keyed) return 0;
    const char *text;
    size_t size;
    if (attributes.size > 0 && wire_map_get(attributes, "key", &value)) {
        size_t head = value.data[0] >= 0xc4 && value.data[0] <= 0xc6 ? 1 + ((size_t)1 << (value.data[0] - 0xc4)) : 0; /* of bytes */
        if (wire_text(value, &text, &size))
            key = (bytes_t){(const uint8_t *)text, size};
        else if (head > 0)
            key = (bytes_t){value.data + head, value.size - head};
    }
    if (key.size > CODER_KEY_MAX)
        return fault_set(why, "an element's key has %zu bytes, and a `kv` takes no more than %d", key.size, CODER_KEY_MAX);
    size_t rest = key.size;
    for (; rest >= 0x80; rest >>= 7) length[(*ret_length)++] = (uint8_t)(rest | 0x80);
    length[(*ret_length)++] = (uint8_t)rest;
    *ret_key = key;
    return 0;
}

static int check_text(const char *part, bytes_t bytes, fault_t *why) {
    /* A NUL is a character of UTF-8, though no text of ours has one. */
    for (size_t from = 0; from < bytes.size; from++) {
        const uint8_t *nul = memchr(bytes.data + from, '\0', bytes.size - from);
        size_t end = nul ? (size_t)(nul - bytes.data) : bytes.size;
        if (!text_valid((const char *)bytes.data + from, end - from))
            return fault_set(why, "an element's %s is not UTF-8, as its coder `string_utf8` needs", part);
        from = end;
    }
    return 0;
}

int coder_check(const coder_t *coder, bytes_t encoded, fault_t *why) {
    bytes_t key = {0};
    if (coder->keyed) {
        size_t at = 0, size = 0;
        unsigned shift = 0;
        do {
            must(at < encoded.size);
            size |= (size_t)(encoded.data[at] & 0x7f) << shift;
            shift += 7;
        } while (encoded.data[at++] & 0x80);
        must(size <= encoded.size - at);
        key = (bytes_t){encoded.data + at, size};
        encoded = (bytes_t){key.data + size, encoded.size - at - size};
    }
    if (coder->text_key && check_text("key", key, why) < 0) return -1;
    return coder->text_value ? check_text("value", encoded, why) : 0;
}
