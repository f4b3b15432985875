/* What a source of files reads: one file (tail), the files of a folder (spool), or a named pipe (pipe). Each gives elements and says where it
 * is, and the source does not know which of them it has. */
#ifndef REPRISE_READING_H
#define REPRISE_READING_H

#include <msgpack.h>

#include "cutter.h"

typedef struct reading_spec {
    const char *path;    /* of the file, of the pipe, or of the folder */
    const char *pattern; /* of the names in the folder, as fnmatch has them */
    const char *keys;    /* the folder of the engine's own key, which is not read; or empty */
    bool follow;         /* wait for more at its end */
    bool resumes;        /* reading was begun before: what is not there now is away for a moment, as in the middle of a rotation */
    cut_t cut;
    size_t element_max; /* bytes of an element, without its newline */
} reading_spec_t;

enum { READING_LOST = 2, READING_END = 3, READING_ALIEN = -2 };

typedef struct reading_class {
    void *(*create)(const reading_spec_t *spec, fault_t *why);
    void (*destroy)(void **reading); /* accepts NULL */
    /* Goes on at the beginning, or behind the last line that is there now. */
    int (*start)(void *reading, bool at_end, fault_t *why);
    /* Goes on behind the cursor, whatever happened to the files meanwhile. READING_ALIEN: that is no cursor of this class. */
    int (*resume)(void *reading, bytes_t cursor, fault_t *why);
    /* The next element, valid until the next call. 1: there is one. 0: not now. READING_END: there are no more.
     * READING_LOST: what comes next may not follow what came before, and `lost` says why; the place is still before the hole, where it was seen
     * while reading. -1: it cannot be read. */
    int (*next)(void *reading, bytes_t *ret_element, fault_t *why);
    const char *(*lost)(const void *reading);
    /* Writes a cursor: the place behind the last element. */
    void (*place)(void *reading, msgpack_sbuffer *out);
    /* Where the last element is, to be shown. */
    void (*where)(const void *reading, char *text, size_t size);
    /* What it waits for, to be shown; NULL: for nothing but more. The function is NULL where that is always so. */
    const char *(*waits)(const void *reading);
    /* Is `next` to be asked from time to time, too, as the descriptor may not tell of all? NULL: never. */
    bool (*is_to_be_looked_at)(const void *reading);
    int (*descriptor)(const void *reading);   /* readable when there may be more; -1: there will not */
    int (*wake)(void *reading, fault_t *why); /* takes note of what made it readable */
} reading_class_t;

extern const reading_class_t tail_reading, spool_reading, pipe_reading;

#endif
