/* What is known of a protocol buffer's bytes before protobuf-c may see them: protobuf-c says only that something is wrong, not what or
 * where, and allocates for whatever it is told to. */
#ifndef REPRISE_PROTO_H
#define REPRISE_PROTO_H

#include <protobuf-c/protobuf-c.h>

#include "../../messages/codec.h"

enum { PROTO_VALUES_MAX = 1024 * 1024 }; /* fields that stand in a message and in those within it: what unpacking may allocate for */

/* No more than `max` messages of this kind. */
typedef struct proto_bound {
    const ProtobufCMessageDescriptor *message; /* NULL ends a table */
    uint32_t max;
    const char *what; /* what they are, in the error text: "transforms" */
} proto_bound_t;

/* Walks `in` as a message that `message` describes, without allocating. What has passed is unpacked by protobuf-c. Refuses with the path of
 * the field and the byte: BAD_REQUEST what is cut off, is of another wire type than its field, is text that is not UTF-8 or has a NUL in
 * it, is a group, or is a message where there is one already; TOO_LARGE more of a kind than `bounds` (NULL: none) let, or more than
 * PROTO_VALUES_MAX values. `field` is the refusal's; messages must not contain themselves. */
int proto_walk(const ProtobufCMessageDescriptor *message, bytes_t in, const proto_bound_t *bounds, const char *field, refusal_t *no);

/* A field on the wire. */
typedef struct proto_field {
    uint32_t number;
    uint8_t type;  /* the wire type: 0 a varint, 1 eight bytes, 2 a length and its bytes, 5 four bytes */
    bytes_t whole; /* with its key */
    bytes_t value; /* the bytes after key and length; none of a varint */
    uint64_t varint;
} proto_field_t;

/* Takes the next field off the front of `in`, whatever it means. 1: there was one; 0: there are no more; -1: the bytes are damaged. */
int proto_next(bytes_t *in, proto_field_t *ret_field);

/* Appends a field that has a length. */
void proto_put(msgpack_sbuffer *out, uint32_t number, bytes_t value);
void proto_put_text(msgpack_sbuffer *out, uint32_t number, const char *text);

#endif
