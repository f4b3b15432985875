/* What is known of a frame's bytes before msgpack-c may see them, and the canonical form behind signatures. */
#ifndef REPRISE_WIRE_H
#define REPRISE_WIRE_H

#include <msgpack.h>

#include "codec.h"

enum {
    WIRE_ECHO_MAX = 4096,                /* bytes of an `id`, which comes back */
    WIRE_DEPTH_MAX = 64,                 /* nesting of a message */
    WIRE_VALUE_DEPTH_MAX = 32,           /* nesting of an ANY of a client, which the engine wraps in maps of its own that it walks later */
    WIRE_MESSAGE_MAX = 16 * 1024 * 1024, /* bytes of a request, and of a body */
    WIRE_NODES_MAX = 1024 * 1024,        /* values in a request: what decoding it may allocate for */
};

/* Walks one msgpack value that must fill `in` exactly, without allocating or recursing. Refuses (BAD_REQUEST, saying at which byte)
 * what is cut off, is deeper than WIRE_DEPTH_MAX, declares a count or size larger than the bytes left, has more than WIRE_NODES_MAX values,
 * or is followed by more. Ext types are walked over. */
int wire_walk(bytes_t in, refusal_t *no);

/* The same for what the engine wrote itself and a checksum vouches for, which may have any number of values. */
int wire_walk_own(bytes_t in, refusal_t *no);

/* The size of the value at the start of `in`, walked as above; 0 where it is not whole or not well formed. */
size_t wire_value_size(bytes_t in);

/* How deep a value (walked before) is nested: 0 for a number or text, 1 for a list of these. */
unsigned wire_depth(bytes_t value);

/* Finds `key` in the map `in` (walked before) and gives its value's bytes; false where it is not there or `in` is no map. */
bool wire_map_get(bytes_t in, const char *key, bytes_t *ret_value);

/* A msgpack text: gives its bytes; false for anything else. */
bool wire_text(bytes_t value, const char **ret_text, size_t *ret_size);
bool wire_int(bytes_t value, int64_t *ret_value);

/* Checks a batch's body: an array of [event time, bytes] or [event time, bytes, attributes], a map of text to text or bytes, and
 * nothing else after it. Refuses with the element's number and the field. */
int wire_body_check(bytes_t body, uint32_t *ret_count, refusal_t *no);

/* The bytes of the first `count` elements of a checked body, without its array header; `count` may be all of them. */
bytes_t wire_body_elements(bytes_t body, uint32_t count);

/* Of an element at the start of `in` (checked before): its parts and its whole size. `attributes` has size 0 where there are none. */
typedef struct wire_element {
    int64_t event_time; /* µs since the epoch */
    bytes_t payload;
    bytes_t attributes; /* a msgpack map */
    size_t size;
} wire_element_t;
wire_element_t wire_element_at(bytes_t in);

/* Appends the canonical form of a value (walked before): map keys sorted by their encoded bytes, the shortest form of every number,
 * length and header, a whole float within int64 as that number, other floats as float64. Text and bytes stay different.
 * Refuses a map with a key twice. `what` names the value in the error. */
int wire_canonical(bytes_t in, const char *what, msgpack_sbuffer *out, refusal_t *no);

/* Does `urn` match `pattern`, in which `*` stands for any text? */
bool wire_matches(const char *pattern, const char *urn);

#endif
