/* A file that grows, element by element: through rotation (renamed or deleted, and created anew) and truncation, without polling. No thread, no
 * actor: whoever has it waits for its descriptor. */
#ifndef REPRISE_TAIL_H
#define REPRISE_TAIL_H

#include "inode.h"
#include "reading.h"

typedef struct tail tail_t;

/* `pattern` is nothing to it. What is followed and was begun before need not be there, or readable, now: then it is
 * waited for. */
tail_t *tail_create(const reading_spec_t *spec, fault_t *why);
void tail_destroy(tail_t **tail);

/* Why nothing has the path that could be opened; NULL: something has. */
const char *tail_absent(const tail_t *tail);

/* Goes on at the file's beginning, or behind its last complete line, which only lines have; at the beginning of one that is not there yet. */
int tail_start(tail_t *tail, bool at_end, fault_t *why);
/* Goes on at a place. The file may have been renamed within its folder meanwhile: then it is read to its end first. Where it is gone, or is
 * no longer what it was, goes on at the beginning of the one that has its path now, and tail_next says so first. Where nothing has its path, it
 * waits until something has. */
int tail_resume(tail_t *tail, const inode_place_t *place, fault_t *why);

enum { TAIL_LOST = READING_LOST };

/* The next element, valid until the next call. 1: there is one. 0: not now; or, where it does not follow, never.
 * TAIL_LOST: what comes next may not follow what came before, and tail_lost says why; tail_place is still before the hole, where it was
 * seen while reading. The last line of a file need not have a newline where the file is not followed, or was rotated away.
 * -1: the file cannot be read, or an element is longer than element_max. */
int tail_next(tail_t *tail, bytes_t *ret_element, fault_t *why);

const char *tail_lost(const tail_t *tail);

/* What it waits for, beside more in the file: that the path can be opened. NULL: nothing. */
const char *tail_waits(const tail_t *tail);

/* May there be more of which its descriptor tells nothing? It is reached through a link, or waited for. */
bool tail_is_to_be_looked_at(const tail_t *tail);

/* The position after the last element. */
inode_place_t tail_place(const tail_t *tail);
/* Where the last element is, to be shown: "/var/log/app.json:12", or by its byte where its number is not known. */
void tail_where(const tail_t *tail, char *text, size_t size);

/* Readable when tail_next may have more; -1 where it does not follow. */
int tail_descriptor(const tail_t *tail);
/* Takes note of what made it readable. */
int tail_wake(tail_t *tail, fault_t *why);

#endif
