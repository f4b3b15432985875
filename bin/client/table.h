/* Rows in columns that line up. */
#ifndef REPRISE_CLIENT_TABLE_H
#define REPRISE_CLIENT_TABLE_H

#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 8 };

typedef struct table {
    size_t columns;
    const char *heads[TABLE_COLUMNS_MAX]; /* `>` before one: numbers, which go to the right; `~`: this column gives way first */
    char **cells;                         /* owned, a row after the other */
    size_t count, room;
} table_t;

/* The heads end with NULL; they are borrowed. */
void table_init(table_t *table, const char *const heads[]);
void table_add(table_t *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints nothing but the heads where there is no row. Columns are cut until a row fits into 80 columns, or into a terminal
 * that has more: the one with `~` down to 8, then the widest down to 12. */
void table_print(const table_t *table, FILE *out);
void table_fini(table_t *table);

/* One line "name  value", the names of one block under each other. */
void table_pair(FILE *out, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
