/* Rows in columns that line up, within the terminal, or the 80 columns of a small one. */
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../messages/fault.h"
#include "print.h"

enum { WIDTH_LEAST = 80, COLUMN_MIN = 12, YIELDING_MIN = 8, GAP = 2, PAIR_WIDTH = 13 };

void table_init(table_t *table, const char *const heads[]) {
    *table = (table_t){0};
    for (; heads[table->columns]; table->columns++) {
        must(table->columns < TABLE_COLUMNS_MAX);
        table->heads[table->columns] = heads[table->columns];
    }
}

static char *clean_text(const char *format, va_list arguments) {
    char *text;
    must(vasprintf(&text, format, arguments) != -1);
    print_clean(text);
    return text;
}

void table_add(table_t *table, const char *format, ...) {
    if (table->count == table->room) {
        table->room = table->room ? 2 * table->room : 64;
        table->cells = realloc(table->cells, table->room * sizeof *table->cells);
        must(table->cells);
    }
    va_list arguments;
    va_start(arguments, format);
    table->cells[table->count++] = clean_text(format, arguments);
    va_end(arguments);
}

static const char *head_text(const char *head) {
    return head[0] == '>' || head[0] == '~' ? head + 1 : head;
}

static int width_max(FILE *out) {
    struct winsize size;
    int descriptor = fileno(out);
    bool known = descriptor >= 0 && isatty(descriptor) && ioctl(descriptor, TIOCGWINSZ, &size) == 0;
    return known && size.ws_col > WIDTH_LEAST ? size.ws_col : WIDTH_LEAST;
}

static void widths_measure(const table_t *table, int max, int widths[]) {
    int total = -GAP;
    for (size_t i = 0; i < table->columns; i++) {
        widths[i] = print_width(head_text(table->heads[i]));
        for (size_t k = i; k < table->count; k += table->columns) {
            int width = print_width(table->cells[k]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
        total += widths[i] + GAP;
    }
    for (size_t i = 0; i < table->columns; i++) {
        while (table->heads[i][0] == '~' && total > max && widths[i] > YIELDING_MIN) {
            widths[i]--;
            total--;
        }
    }
    while (total > max) {
        size_t widest = 0;
        for (size_t i = 1; i < table->columns; i++) {
            widest = widths[i] > widths[widest] ? i : widest;
        }
        if (widths[widest] <= COLUMN_MIN) {
            break;
        }
        widths[widest]--;
        total--;
    }
}

/* As much of the text as fits, with `…` for the rest. */
static void cell_print(FILE *out, const char *text, int width, bool right, bool last) {
    int wide = print_width(text), fill = width > wide ? width - wide : 0;
    if (right) {
        fprintf(out, "%*s", fill, "");
    }
    if (wide <= width) {
        fputs(text, out);
    } else {
        const char *end = text;
        for (int left = width; *end; end++) {
            bool begins = ((unsigned char)*end & 0xc0) != 0x80;
            if (begins && --left == 0) {
                break;
            }
        }
        fprintf(out, "%.*s…", (int)(end - text), text);
    }
    if (!last) {
        fprintf(out, "%*s", (right ? 0 : fill) + GAP, "");
    }
}

void table_print(const table_t *table, FILE *out) {
    int widths[TABLE_COLUMNS_MAX] = {0};
    widths_measure(table, width_max(out), widths);
    for (size_t i = 0; i < table->columns; i++) {
        cell_print(out, head_text(table->heads[i]), widths[i], table->heads[i][0] == '>', i + 1 == table->columns);
    }
    putc('\n', out);
    for (size_t k = 0; k < table->count; k++) {
        size_t i = k % table->columns;
        bool last = i + 1 == table->columns;
        cell_print(out, table->cells[k], widths[i], table->heads[i][0] == '>', last);
        if (last) {
            putc('\n', out);
        }
    }
}

void table_fini(table_t *table) {
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (table_t){0};
}

void table_pair(FILE *out, const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = clean_text(format, arguments);
    va_end(arguments);
    fprintf(out, "%-*s %s\n", PAIR_WIDTH, name, text);
    free(text);
}
