/* How many connections a door has, as far as libzmq tells: it says when one is accepted and when one has ended, but not of each how. So a
 * connection is known by its descriptor and its socket's inode, and those that are gone are found where that matters. */
#ifndef REPRISE_CROWD_H
#define REPRISE_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct crowd {
    uint64_t *inodes; /* by descriptor; 0: none of this door's */
    size_t room, count;
    size_t joined; /* since those that are gone were looked for */
} crowd_t;

/* The inode of a socket; 0: there is none of that descriptor. No two have the same at one time, nor for very long after. */
uint64_t crowd_inode(int descriptor);

/* False: there are more than `most` with it, and it was shut down. */
bool crowd_join(crowd_t *crowd, int descriptor, size_t most);
void crowd_leave(crowd_t *crowd, int descriptor);
void crowd_fini(crowd_t *crowd);

#endif
