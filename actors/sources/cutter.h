/* Cuts the bytes of a file, or of a pipe, into elements: lines, or msgpack values. */
#ifndef REPRISE_CUTTER_H
#define REPRISE_CUTTER_H

#include <stdbool.h>
#include <string.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"
#include "inode.h"

typedef enum cut { CUT_LINES, CUT_VALUES } cut_t;

typedef struct cutter {
    cut_t cut;
    size_t element_max; /* bytes of an element, without its newline */
    uint8_t *buffer;
    size_t capacity;
    size_t from, to;                /* what is in it and not taken */
    size_t scanned;                 /* of that, without the end of an element */
    uint64_t pending;               /* values that are still to come before the element is whole; 0: none of it was scanned */
    uint8_t kept[INODE_MARK_BYTES]; /* of the file, before the buffer's */
    size_t kept_size;
    int64_t offset;      /* of buffer[from] in the file */
    int64_t line;        /* elements before it; -1: not known */
    int64_t last_offset; /* of the last element */
} cutter_t;

void cutter_init(cutter_t *cutter, cut_t cut, size_t element_max);
void cutter_fini(cutter_t *cutter);

/* Goes on at that position, with nothing read. */
void cutter_set(cutter_t *cutter, int64_t offset, int64_t line);
/* The same in a file, which has bytes before it. */
void cutter_seek(cutter_t *cutter, int descriptor, int64_t offset, int64_t line);
/* The memory goes; what was read must have been taken. */
void cutter_drop(cutter_t *cutter);

enum { CUTTER_LATER = -2, CUTTER_CHANGED = -3 };
/* Reads more from the file at the position where it is: 1; 0 at its end. CUTTER_CHANGED: the last bytes that were read are not there any more, as
 * the file was cut, and perhaps has grown again. `path` is for errors only, here and below. */
int cutter_fill(cutter_t *cutter, int descriptor, const char *path, fault_t *why);
/* The same from a pipe, which has no positions. 0: it has no writer; CUTTER_LATER: nothing for now. */
int cutter_pour(cutter_t *cutter, int descriptor, const char *path, fault_t *why);

/* The mark of the position behind the last element, by the bytes as they were read. */
int64_t cutter_mark(const cutter_t *cutter);

/* The next element that is whole, valid until more is read: 1; 0: there is none. -1: it is too long, or cannot be one. */
int cutter_take(cutter_t *cutter, const char *path, bytes_t *ret_element, fault_t *why);
/* What is left at the end of a file that will not grow: 1; 0: nothing. -1: it must be a whole element, and is not. */
int cutter_rest(cutter_t *cutter, const char *path, bytes_t *ret_element, fault_t *why);

static inline bool cutter_is_empty(const cutter_t *cutter) {
    return cutter->from == cutter->to;
}
/* Up to where it has read. */
static inline int64_t cutter_end(const cutter_t *cutter) {
    return cutter->offset + (int64_t)(cutter->to - cutter->from);
}
/* Where the last element is, to be shown: "/var/log/app.json:12", or by its byte where its number is not known. */
void cutter_where(const cutter_t *cutter, const char *path, char *text, size_t size);

#endif
