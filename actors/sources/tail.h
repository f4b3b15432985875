/* A file that grows, line by line: through rotation (renamed or deleted, and created anew) and truncation, without polling. No thread, no
 * actor: whoever has it waits for its descriptor. */
#ifndef REPRISE_TAIL_H
#define REPRISE_TAIL_H

#include <stdbool.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

typedef struct tail tail_t;

/* A position between two lines. It names the file by what it is, not by its path, and by the bytes before the position: an inode's
 * number is given to another file soon after the first is deleted. */
typedef struct tail_place {
    int64_t device, inode;
    int64_t offset; /* bytes */
    int64_t line;   /* lines before it */
    int64_t mark;   /* a hash of the last bytes before it */
} tail_place_t;

/* Opens a regular file. `follow`: wait for more at its end. `line_max`: bytes of a line, without its newline. */
tail_t *tail_create(const char *path, bool follow, size_t line_max, fault_t *why);
void tail_destroy(tail_t **tail);

/* Goes on at the file's beginning, or behind its last complete line. */
int tail_start(tail_t *tail, bool at_end, fault_t *why);
/* Goes on at a place. The file may have been renamed within its folder meanwhile: then it is read to its end first. Where it is gone, or is
 * no longer what it was, goes on at the beginning of the one that has its path now, and tail_next says so first. */
int tail_resume(tail_t *tail, const tail_place_t *place, fault_t *why);

enum { TAIL_LOST = 2 };

/* The next line without its newline, valid until the next call. 1: there is one. 0: not now; or, where it does not follow, never.
 * TAIL_LOST: what comes next may not follow what came before, and tail_lost says why; tail_place is still before the hole, where it was
 * seen while reading. The last line of a file need not have a newline where the file is not followed, or was rotated away.
 * -1: the file cannot be read, or the line is longer than line_max. */
int tail_next(tail_t *tail, bytes_t *ret_line, fault_t *why);

const char *tail_lost(const tail_t *tail);

/* The position after the last line. */
int tail_place(const tail_t *tail, tail_place_t *ret_place, fault_t *why);
/* Where the last line is, to be shown: "/var/log/app.json:12", or by its byte where its number is not known. */
void tail_where(const tail_t *tail, char *text, size_t size);

/* Readable when tail_next may have more; -1 where it does not follow. */
int tail_descriptor(const tail_t *tail);
/* Takes note of what made it readable. */
int tail_wake(tail_t *tail, fault_t *why);

#endif
