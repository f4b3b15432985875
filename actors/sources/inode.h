/* A regular file by what it is and not by its path, which may be another file's soon; and a position in it that can be found again. */
#ifndef REPRISE_INODE_H
#define REPRISE_INODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../messages/fault.h"

typedef struct inode {
    int descriptor; /* -1: none */
    dev_t device;
    ino_t number;
} inode_t;
#define INODE_NONE ((inode_t){.descriptor = -1})

/* A position between two elements. It names the file by its inode and by the bytes before the position: an inode's number is given to another
 * file soon after the first is deleted. */
typedef struct inode_place {
    int64_t device, inode;
    int64_t offset; /* bytes */
    int64_t line;   /* elements before it; < 0: not known */
    int64_t mark;   /* a hash of the last bytes before it */
} inode_place_t;

/* Opens what has the name in the open folder `folder`, without waiting. Refuses what is not a regular file, and the engine's own key, by
 * whatever name: `keys` is the folder that it is in, or empty. -1: errno is the system's, or 0 where it is refused. `path`: see below. */
int inode_open(int folder, const char *name, const char *path, const char *keys, inode_t *ret_inode, fault_t *why);
/* Holds a file that may not be read, so that it is known under other names too. False: there is none. */
bool inode_hold(int folder, const char *name, inode_t *ret_inode);
/* Opens one that is held, as inode_open does. */
int inode_reopen(const inode_t *held, const char *path, const char *keys, inode_t *ret_inode, fault_t *why);
/* Accepts INODE_NONE, and leaves it. */
void inode_close(inode_t *inode);

/* `path` is for errors only. */
int inode_size(const inode_t *inode, const char *path, int64_t *ret_size, fault_t *why);
int inode_mark(const inode_t *inode, const char *path, int64_t offset, int64_t *ret_mark, fault_t *why);
/* Is what is before this position as it was? A file that is shorter now has another mark there: of fewer bytes. */
int inode_holds(const inode_t *inode, const char *path, int64_t offset, int64_t mark, bool *ret_holds, fault_t *why);
/* Is it an open file of which this is a place? */
bool inode_is_at(const inode_t *inode, const inode_place_t *place);
static inline bool inode_is(const inode_t *inode, dev_t device, ino_t number) {
    return inode->descriptor >= 0 && inode->device == device && inode->number == number;
}

/* The mark of a position with these bytes before it, INODE_MARK_BYTES or as many as there are. */
enum { INODE_MARK_BYTES = 64 };
int64_t inode_mark_of(const uint8_t *bytes, size_t size);

/* Behind the last newline. */
int inode_last_line(const inode_t *inode, const char *path, int64_t *ret_offset, fault_t *why);

#endif
