/* Bytes as text.
 * JSON has no bytes: what a source recorded and what a payload holds must come through it unharmed all the same. */
#include "base64.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(bytes_t bytes) {
    char *out = malloc(bytes.size / 3 * 4 + 5), *to = out;
    must(out);
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t three = (uint32_t)bytes.data[i] << 16;
        three |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        three |= left > 2 ? bytes.data[i + 2] : 0;
        *to++ = digits[three >> 18];
        *to++ = digits[three >> 12 & 63];
        *to++ = '=';
        *to++ = '=';
        if (left > 1) {
            to[-2] = digits[three >> 6 & 63];
        }
        if (left > 2) {
            to[-1] = digits[three & 63];
        }
    }
    *to = '\0';
    return out;
}

/* What a digit stands for, and 64 for what is none. A search in `digits` for each would take most of the time. */
static uint32_t digit_value(unsigned char digit) {
    if (digit >= 'A' && digit <= 'Z') return digit - 'A' + 0U;
    if (digit >= 'a' && digit <= 'z') return digit - 'a' + 26U;
    if (digit >= '0' && digit <= '9') return digit - '0' + 52U;
    return digit == '+' ? 62 : digit == '/' ? 63 : 64;
}

uint8_t *base64_decode(const char *text, size_t *ret_size, fault_t *why) {
    size_t size = strlen(text), padding = 0;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=') {
        padding++;
    }
    uint8_t *out = malloc(size / 4 * 3 + 1), *to = out;
    must(out);
    if (size % 4 != 0) {
        goto fail;
    }
    for (size_t i = 0; i < size; i += 4) {
        uint32_t four = 0;
        for (size_t k = i; k < i + 4; k++) {
            uint32_t value = digit_value((unsigned char)text[k]);
            if (value == 64 && k < size - padding) {
                goto fail;
            }
            four = four << 6 | (value & 63);
        }
        *to++ = (uint8_t)(four >> 16);
        *to++ = (uint8_t)(four >> 8);
        *to++ = (uint8_t)four;
    }
    *ret_size = (size_t)(to - out) - padding;
    return out;
fail:
    free(out);
    fault_set(why, "`%.40s` is not base64", text);
    return NULL;
}
