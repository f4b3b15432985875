/* One element as it is printed: of a replay, or fetched. */
#ifndef REPRISE_CLIENT_ELEMENT_H
#define REPRISE_CLIENT_ELEMENT_H

#include <stdio.h>

#include "../../messages/message.h"

typedef struct element {
    bytes_t tag; /* text */
    int64_t event_time;
    bytes_t payload;
    bytes_t attributes; /* a msgpack map, walked; size 0: none */
} element_t;

/* The three ways to print one, without an end of line; `raw` is the payload as it is. */
typedef void element_print_fn(FILE *out, const element_t *element);
element_print_fn element_print_json, element_print_raw, element_print_hex;

/* The bytes of a msgpack bin; false for anything else. */
bool element_bin(bytes_t value, bytes_t *ret_bytes);

#endif
