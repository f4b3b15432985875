/* The files that a path stands for, one after the other. Each is opened as soon as it has come, as it may soon have another name or none; so
 * that a rotation that is faster than reading loses nothing, or says so. */
#ifndef REPRISE_SUCCESSION_H
#define REPRISE_SUCCESSION_H

#include "inode.h"
#include "path_watch.h"

enum { SUCCESSION_MAX = 64, SUCCESSION_WAITS = 700 };

typedef struct successor {
    inode_t inode;
    int watch;       /* of what is written to it; -1: none */
    bool after_loss; /* one that had the path before it could not be opened */
    bool elsewhere;  /* it is in another folder than the one before: who had the path there before it is not known */
} successor_t;
#define SUCCESSOR_NONE ((successor_t){.inode = INODE_NONE, .watch = -1})

typedef struct succession {
    path_watch_t watch;
    char *keys; /* the folder of the engine's own key, which is not to be read */
    bool follow;
    successor_t now;                  /* what is read; none: the path has had nothing yet that could be opened */
    successor_t next[SUCCESSION_MAX]; /* what has had the path since */
    size_t count;
    bool is_missing;              /* what comes after those had no room, or could not be opened */
    bool is_elsewhere;            /* the folder is another since the last of those was opened */
    inode_t barred;               /* what has the path and may not be read yet; held, not open */
    char waits[SUCCESSION_WAITS]; /* why what has the path, if anything has, is not opened; empty: it is */
} succession_t;

/* Copies the texts. `follow`: also what comes after the first. On failure it is to be finished all the same. */
int succession_init(succession_t *succession, const char *path, const char *keys, bool follow, fault_t *why);
void succession_fini(succession_t *succession);

/* Opens what has the path now. -1: errno is the system's, or 0 where it is refused. */
int succession_first(succession_t *succession, fault_t *why);
bool succession_is_passing(int error); /* may it be otherwise soon? */

/* Takes note of what has happened: 1; 0: nothing has. */
int succession_note(succession_t *succession, fault_t *why);
/* Looks at the path itself, where something may be that nobody has told of: as succession_note. */
int succession_look(succession_t *succession, fault_t *why);

/* May something be that nobody tells of, so that it is to be looked for from time to time? */
bool succession_is_to_be_looked_at(const succession_t *succession);

/* The next one is what is read now. There must be one. */
void succession_advance(succession_t *succession);
/* A file before the one that is read, by whatever name it has in the folder. It is not watched yet. */
bool succession_find(const succession_t *succession, const inode_place_t *place, inode_t *ret_inode, bool *ret_renamed);
/* It is what is read now, and what was comes next. */
int succession_go_back(succession_t *succession, inode_t before, fault_t *why);

static inline bool succession_has_now(const succession_t *succession) {
    return succession->now.inode.descriptor >= 0;
}
/* Is it one of them? */
bool succession_knows(const succession_t *succession, dev_t device, ino_t number);

#endif
