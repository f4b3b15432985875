/* Msgpack in one line, for the tests of the codec: pack("{sis[ii]}", "a", 1LL, "b", 2LL, 3LL).
 * { } map, [ ] list, s text, b bytes (a C text's), i whole number (long long), u the same, unsigned, d float64, t f n,
 * r msgpack already (a bytes_t *). */
#ifndef REPRISE_TESTS_PACK_H
#define REPRISE_TESTS_PACK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "messages/codec.h"

/* How many values stand before the bracket that closes. */
static inline size_t pack_count(const char *at) {
    size_t count = 0, depth = 0;
    for (; depth > 0 || (*at != '}' && *at != ']'); at++) {
        count += depth == 0;
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
    }
    return count;
}

static inline void pack_one(msgpack_packer *packer, msgpack_sbuffer *out, const char *at, va_list *args) {
    const char *text;
    const bytes_t *raw;
    switch (*at) {
    case '{': msgpack_pack_map(packer, pack_count(at + 1) / 2); break;
    case '[': msgpack_pack_array(packer, pack_count(at + 1)); break;
    case 's':
        text = va_arg(*args, const char *);
        msgpack_pack_str_with_body(packer, text, strlen(text));
        break;
    case 'b':
        text = va_arg(*args, const char *);
        msgpack_pack_bin_with_body(packer, text, strlen(text));
        break;
    case 'i': msgpack_pack_int64(packer, va_arg(*args, long long)); break;
    case 'u': msgpack_pack_uint64(packer, va_arg(*args, unsigned long long)); break;
    case 'd': msgpack_pack_double(packer, va_arg(*args, double)); break;
    case 'r':
        raw = va_arg(*args, const bytes_t *);
        msgpack_sbuffer_write(out, (const char *)raw->data, raw->size);
        break;
    case 't': msgpack_pack_true(packer); break;
    case 'f': msgpack_pack_false(packer); break;
    case 'n': msgpack_pack_nil(packer); break;
    default: break;
    }
}

/* Valid until the eighth call after this one. */
static inline bytes_t pack(const char *format, ...) {
    static msgpack_sbuffer buffers[8];
    static size_t next;
    msgpack_sbuffer *out = &buffers[next++ % 8];
    msgpack_sbuffer_destroy(out);
    msgpack_sbuffer_init(out);
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    va_list args;
    va_start(args, format);
    for (const char *at = format; *at != '\0'; at++) {
        pack_one(&packer, out, at, &args);
    }
    va_end(args);
    return (bytes_t){(const uint8_t *)out->data, out->size};
}

/* The bytes of `literal`, which may hold NUL. */
#define BYTES(literal) ((bytes_t){(const uint8_t *)(literal), sizeof(literal) - 1})

/* A copy at the very end of its allocation, so that the sanitizer sees a read of one byte too many. Free `data`. */
static inline bytes_t bytes_tight(bytes_t in, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, in.data, size);
    return (bytes_t){copy, size};
}

#define assert_text(given, part)                                                                                                           \
    do {                                                                                                                                   \
        if (strstr(given, part) == NULL) {                                                                                                 \
            fail_msg("\"%s\" does not say \"%s\"", given, part);                                                                           \
        }                                                                                                                                  \
    } while (0)

#endif
