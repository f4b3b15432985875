/* UTF-8: what a text of the protocol may hold. A text that is not UTF-8 would make every client that reads it stumble, so what comes
 * in is checked, and what the engine writes itself (a path in a fault) is mended. */
#ifndef REPRISE_TEXT_H
#define REPRISE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { NAME_SIZE_MAX = 255 };

/* UTF-8 (RFC 3629: shortest form, no surrogates) without NUL. */
bool text_valid(const char *text, size_t size);

/* A text of 1 to NAME_SIZE_MAX bytes without control characters (C0, DEL, C1). */
bool name_valid(const char *text, size_t size);

/* Replaces each byte that is not part of valid UTF-8, or is of a control character, by `?`: a fault that names what a client gave is one line in a
 * log, and moves nobody's terminal. A character that was cut off at the end is left out. */
void text_mend(char *text);

#endif
