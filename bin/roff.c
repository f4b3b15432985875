/* roff gives meaning to a dot at the start of a line, to backslashes, and to hyphens, which it may turn into dashes that nobody can copy
 * into a shell. Here every text is made harmless, so that whoever writes one need not think of it. */
#include "roff.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* One character, which may be of several bytes; how many. */
static size_t character_print(FILE *out, const char *at) {
    static const struct {
        char character;
        const char *roff;
    } special[] = {{'\\', "\\e"}, {'-', "\\-"}, {'^', "\\(ha"}, {'~', "\\(ti"}, {'\'', "\\(aq"}, {'`', "\\(ga"}, {'"', "\\(dq"}};
    uint8_t first = (uint8_t)*at;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        if (special[i].character == *at) {
            fputs(special[i].roff, out);
            return 1;
        }
    }
    if (first < 0x80) {
        fputc(*at, out);
        return 1;
    }
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    uint32_t code = first & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        code = code << 6 | ((uint8_t)at[i] & 0x3f);
    }
    fprintf(out, "\\[u%04X]", (unsigned)code);
    return size;
}

static void characters_print(FILE *out, const char *text) {
    while (*text) {
        text += character_print(out, text);
    }
}

/* Part of a text, in which backquotes turn bold on and off. */
static void inline_print(FILE *out, const char *text, size_t size, bool *bold) {
    for (const char *end = text + size; text < end;) {
        if (*text == '`') {
            *bold = !*bold;
            fputs(*bold ? "\\fB" : "\\fR", out);
            text++;
        } else {
            text += character_print(out, text);
        }
    }
}

void roff_begin(FILE *out, const char *name, const char *section, const char *book) {
    fprintf(out, ".\\\" Printed from the lists that the programs are made from.\n.TH ");
    for (; *name; name++) {
        fputc(toupper((unsigned char)*name), out);
    }
    fprintf(out, " %s %s \"Reprise %s\" \"%s\"\n.nh\n.ad l\n", section, REPRISE_DATE, REPRISE_VERSION, book);
}

void roff_section(FILE *out, const char *title) {
    fprintf(out, ".SH ");
    characters_print(out, title);
    fputc('\n', out);
}

void roff_subsection(FILE *out, const char *title) {
    fprintf(out, ".SS ");
    characters_print(out, title);
    fputc('\n', out);
}

/* Lines of a text; `\&` keeps a dot at their start from being an order. */
static void lines_print(FILE *out, const char *text, bool fresh) {
    bool bold = false, verbatim = false;
    while (*text) {
        size_t size = strcspn(text, "\n");
        bool indented = *text == ' ';
        if (indented != verbatim) {
            fputs(indented ? ".PP\n.RS 4\n.nf\n" : ".fi\n.RE\n.PP\n", out);
            verbatim = indented;
            fresh = true;
        }
        if (size == 0 && !fresh) {
            fputs(".PP\n", out);
        } else if (size > 0) {
            fputs("\\&", out);
            inline_print(out, text, size, &bold);
            fputc('\n', out);
        }
        fresh = size == 0;
        text += size + (text[size] == '\n');
    }
    fputs(bold ? "\\fR\n" : "", out);
    fputs(verbatim ? ".fi\n.RE\n" : "", out);
}

void roff_text(FILE *out, const char *text) {
    if (*text != ' ') {
        fputs(".PP\n", out);
    }
    lines_print(out, text, true);
}

void roff_entry(FILE *out, const char *name, const char *value, const char *text) {
    fputs(".TP\n\\fB", out);
    characters_print(out, name);
    fputs("\\fR", out);
    if (value) {
        fputs(" \\fI", out);
        characters_print(out, value);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    lines_print(out, text, true);
}

void roff_in(FILE *out) {
    fputs(".RS 4\n", out);
}

void roff_out(FILE *out) {
    fputs(".RE\n", out);
}
