/* The parts of a ZeroMQ message, and the elements that they are: how many, with which bytes, attributes and number. */
#ifndef REPRISE_PARTS_H
#define REPRISE_PARTS_H

#include <msgpack.h>

#include "intake.h"

enum { PARTS_MAX = 64 };

typedef enum parts_shape {
    PARTS_LAST, /* the last is the element, the first its attribute `topic`, and those between are `parts` */
    PARTS_JOIN, /* all of them, one behind the other */
    PARTS_EACH, /* each is an element */
    PARTS_LIST, /* they are a msgpack array of bytes */
} parts_shape_t;

/* Where a message's number stands: in a part of its own, 8 bytes of it, big-endian; or in the JSON of an element. */
typedef struct parts_sequence {
    bool given;
    unsigned part;
    const char *pointer; /* NULL: it is a part */
} parts_sequence_t;

typedef struct parts {
    unsigned shape; /* parts_shape_t */
    zmq_msg_t frames[PARTS_MAX];
    size_t count, bytes;
    bool whole; /* there were no more, and they are not too large */
    msgpack_sbuffer joined, attributes;
} parts_t;

void parts_init(parts_t *parts);
void parts_fini(parts_t *parts);

/* Reads a message to its last part; what is too much is let go as it comes. False: there is no message now. */
bool parts_receive(parts_t *parts, intake_t *intake);
/* Nobody needs them any more. */
void parts_clear(parts_t *parts);

size_t parts_elements(const parts_t *parts);
bytes_t parts_element(parts_t *parts, size_t i); /* valid until the next one */
/* A map of these and of the element's key, if it has one (`data` is not NULL); size 0: none. */
bytes_t parts_attributes(parts_t *parts, bytes_t key);

/* `text`: a JSON pointer, or the number of a part, from 0. */
int parts_sequence_take(parts_sequence_t *sequence, const char *urn, const char *text, fault_t *why);
int parts_number(parts_t *parts, const parts_sequence_t *sequence, int64_t *ret_number, fault_t *why);

#endif
