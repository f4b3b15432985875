/* Lines from a descriptor, as they come. */
#ifndef REPRISE_CLIENT_LINES_H
#define REPRISE_CLIENT_LINES_H

#include "../../messages/fault.h"
#include "../../messages/message.h"

typedef struct lines {
    int descriptor;
    const char *name; /* for errors; borrowed */
    uint8_t *data;
    size_t begin, size, room; /* what was read and not taken: data[begin … size) */
    size_t looked;            /* up to there is no end of line */
    bool ended;
} lines_t;

void lines_init(lines_t *lines, int descriptor, const char *name);
void lines_fini(lines_t *lines);

/* Reads once what is there. Sets `ended` at the end. A line longer than WIRE_MESSAGE_MAX is a fault. */
int lines_read(lines_t *lines, fault_t *why);
/* The next line without its end, valid until lines_read; the last one may have none. False where none is whole yet. */
bool lines_next(lines_t *lines, bytes_t *ret_line);

#endif
