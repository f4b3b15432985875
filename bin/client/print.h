/* Text on its way to a terminal or into JSON. */
#ifndef REPRISE_CLIENT_PRINT_H
#define REPRISE_CLIENT_PRINT_H

#include <stdio.h>

#include "../../messages/message.h"

/* Writes a JSON string; `bytes` must be valid UTF-8. */
void print_json(FILE *out, bytes_t bytes);
/* Writes bytes as JSON: a string where they are text (UTF-8 without NUL), otherwise {"base64": "…"}. */
void print_data(FILE *out, bytes_t bytes);

/* Columns that it takes on a terminal: one a code point. */
int print_width(const char *text);
/* Writes a text from column `column` on, `at` being the one of the cursor, in lines of 80. */
void print_wrapped(FILE *out, const char *text, int column, int at);
/* Replaces control characters, so that what others wrote cannot steer the terminal. */
void print_clean(char *text);

#endif
