/* Text on its way to a terminal or into JSON.
 * A replay writes one JSON line an element, millions of them: so the lines are written straight to the stream, without a tree of values
 * in between. What an engine or a source wrote is never sent to the terminal as it is. */
#include "print.h"

#include <stdlib.h>
#include <string.h>

#include "../../messages/base64.h"
#include "../../messages/text.h"

/* The first byte of U+0080 to U+009F: a terminal takes those for control characters. */
static bool is_c1(const uint8_t *at, const uint8_t *end) {
    return at[0] == 0xc2 && at + 1 < end && at[1] >= 0x80 && at[1] < 0xa0;
}

static bool json_plain(const uint8_t *at, const uint8_t *end) {
    return *at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7f && !is_c1(at, end);
}

void print_json(FILE *out, bytes_t bytes) {
    static const char short_forms[] = "\b\t\n\f\r\"\\";
    putc_unlocked('"', out);
    const uint8_t *at = bytes.data, *end = at + bytes.size;
    while (at < end) {
        const uint8_t *plain = at;
        while (at < end && json_plain(at, end)) {
            at++;
        }
        if (at > plain) {
            fwrite_unlocked(plain, 1, (size_t)(at - plain), out);
        }
        if (at == end) {
            break;
        }
        const char *found = *at ? strchr(short_forms, *at) : NULL;
        if (found) {
            fprintf(out, "\\%c", "btnfr\"\\"[found - short_forms]);
        } else if (is_c1(at, end)) {
            fprintf(out, "\\u%04x", *++at);
        } else {
            fprintf(out, "\\u%04x", *at);
        }
        at++;
    }
    putc_unlocked('"', out);
}

void print_data(FILE *out, bytes_t bytes) {
    if (text_valid((const char *)bytes.data, bytes.size)) {
        print_json(out, bytes);
        return;
    }
    char *base64 = base64_encode(bytes);
    fprintf(out, "{\"base64\":\"%s\"}", base64);
    free(base64);
}

int print_width(const char *text) {
    int width = 0;
    for (; *text; text++) {
        width += ((uint8_t)*text & 0xc0) != 0x80;
    }
    return width;
}

void print_clean(char *text) {
    for (; *text; text++) {
        bool c1 = (uint8_t)text[0] == 0xc2 && (uint8_t)text[1] >= 0x80 && (uint8_t)text[1] < 0xa0;
        if ((uint8_t)*text < 0x20 || *text == 0x7f) {
            *text = ' ';
        } else if (c1) {
            text[0] = text[1] = ' ';
        }
    }
}

void print_wrapped(FILE *out, const char *text, int column, int at) {
    enum { WIDTH = 80 };
    if (at >= column) {
        fprintf(out, "\n");
        at = 0;
    }
    fprintf(out, "%*s", column - at, "");
    at = column;
    while (*text) {
        size_t size = strcspn(text, " ");
        char word[WIDTH];
        snprintf(word, sizeof word, "%.*s", (int)size, text);
        int width = print_width(word);
        if (at > column && at + 1 + width > WIDTH) {
            fprintf(out, "\n%*s", column, "");
            at = column;
        }
        at += fprintf(out, "%s", at > column ? " " : "") + width;
        fputs(word, out);
        text += size + strspn(text + size, " ");
    }
    fprintf(out, "\n");
}
