/* See crowd.h. Whoever is beyond the bound is shut down at the descriptor, before it has said anything: libzmq finds that it is at its end. */
#include "crowd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../../messages/fault.h"

enum { ROOM_LEAST = 256, SWEEP_AFTER = 64 }; /* joins: so that a flood does not have all of them looked at each time */

/* The descriptor is libzmq's, which may close it at any time, so that it is another file's: that is what the inode is for. ThreadSanitizer, which
 * would object to it, does not look into fstatat. */
uint64_t crowd_inode(int descriptor) {
    struct stat status;
    return fstatat(descriptor, "", &status, AT_EMPTY_PATH) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

static void sweep(crowd_t *crowd) {
    crowd->joined = 0;
    for (size_t i = 0; i < crowd->room; i++) {
        if (!crowd->inodes[i] || crowd_inode((int)i) == crowd->inodes[i]) continue;
        crowd->inodes[i] = 0;
        crowd->count--;
    }
}

bool crowd_join(crowd_t *crowd, int descriptor, size_t most) {
    uint64_t inode = crowd_inode(descriptor);
    if (!inode) return true; /* gone already */
    size_t place = (size_t)descriptor;
    if (place >= crowd->room) {
        size_t room = crowd->room ? crowd->room : ROOM_LEAST;
        while (room <= place) room *= 2;
        crowd->inodes = realloc(crowd->inodes, room * sizeof *crowd->inodes);
        must(crowd->inodes);
        memset(crowd->inodes + crowd->room, 0, (room - crowd->room) * sizeof *crowd->inodes);
        crowd->room = room;
    }
    crowd->count += crowd->inodes[place] == 0;
    crowd->inodes[place] = inode;
    crowd->joined++;
    if (crowd->count > most && crowd->joined >= SWEEP_AFTER) sweep(crowd);
    if (crowd->count <= most) return true;
    crowd_leave(crowd, descriptor);
    shutdown(descriptor, SHUT_RDWR);
    return false;
}

void crowd_leave(crowd_t *crowd, int descriptor) {
    if (descriptor < 0 || (size_t)descriptor >= crowd->room || !crowd->inodes[descriptor]) return;
    crowd->inodes[descriptor] = 0;
    crowd->count--;
}

void crowd_fini(crowd_t *crowd) {
    free(crowd->inodes);
    *crowd = (crowd_t){0};
}
