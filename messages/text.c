/* Every name and text of a client passes here on its way in, a batch's tag among them: plain ASCII is decided byte by byte, and
 * only what is not goes the longer way. */
#include "text.h"

#include <stdint.h>
#include <string.h>

/* The size of the character at `at`, its code point in `ret_point`; 0: not UTF-8, SIZE_MAX: its end is cut off. */
static size_t character_read(const uint8_t *at, size_t left, uint32_t *ret_point) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80 ? 1 : (at[0] & 0xe0) == 0xc0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : (at[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (size == 0) {
        return 0;
    }
    uint32_t point = size == 1 ? at[0] : at[0] & (0xffU >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if (i == left) {
            return SIZE_MAX;
        }
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (at[i] & 0x3f);
    }
    if (point < smallest[size] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
        return 0;
    }
    *ret_point = point;
    return size;
}

static bool is_control(uint32_t point) {
    return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

static bool points_valid(const char *text, size_t size, bool controls) {
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t i = 0; i < size;) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f) {
            i++;
            continue;
        }
        uint32_t point = 0;
        size_t step = character_read(bytes + i, size - i, &point);
        if (step == 0 || step == SIZE_MAX || point == 0 || (is_control(point) && !controls)) {
            return false;
        }
        i += step;
    }
    return true;
}

bool text_valid(const char *text, size_t size) {
    return points_valid(text, size, true);
}

bool name_valid(const char *text, size_t size) {
    return size >= 1 && size <= NAME_SIZE_MAX && points_valid(text, size, false);
}

void text_mend(char *text) {
    uint8_t *bytes = (uint8_t *)text;
    size_t size = strlen(text);
    for (size_t i = 0; i < size;) {
        uint32_t point;
        size_t step = character_read(bytes + i, size - i, &point);
        if (step == SIZE_MAX) {
            text[i] = '\0';
            return;
        }
        bool bad = step == 0 || is_control(point);
        step = step == 0 ? 1 : step;
        if (bad) {
            memset(text + i, '?', step);
        }
        i += step;
    }
}
