/* What spool.c, which reads the files of a folder, spool_folder.c, which knows what is in it, and spool_cursor.c share. */
#ifndef REPRISE_SPOOL_H
#define REPRISE_SPOOL_H

#include <limits.h>

#include "inode.h"
#include "reading.h"
#include "roll.h"

enum {
    SPOOL_FOLLOWED = 32, /* files that are followed at once */
    SPOOL_TOLD = 64,     /* files of which it is said that they were written to too late */
    SPOOL_AMISS = 64,    /* files that are not begun although later ones are done */
    SPOOL_LOST = 900,
};

/* A file that was begun and is followed. */
typedef struct spool_file {
    inode_t inode;
    int watch;            /* -1: none */
    char *name;           /* the last that it had in the folder */
    bool is_gone;         /* it has no name there any more */
    bool is_whole;        /* nobody is writing to it: what is left at its end is an element */
    bool is_stirred;      /* there may be more in it than was read */
    bool is_leaving;      /* when it is read to its end, it is followed no more */
    bool is_dry;          /* nothing is left at its end */
    unsigned leaves;      /* how often it was to leave, and had grown */
    bool is_anew;         /* it is to be read from its beginning, as was said */
    int64_t offset, line; /* what was read of it; of the one that is read now, the cutter knows */
    int64_t mark;         /* at that place */
} spool_file_t;

typedef struct spool_place {
    inode_place_t at;
    char name[NAME_MAX + 1];
    bool is_found;
} spool_place_t;

typedef struct spool {
    char *folder, *pattern, *keys; /* pattern: NULL: all but hidden files */
    bool follow;
    int notify; /* inotify; -1: it does not follow */
    int watch;  /* of the folder */
    spool_file_t files[SPOOL_FOLLOWED];
    size_t count;
    size_t current;    /* that is read now; == count: none */
    size_t turn;       /* whose turn is next */
    int64_t begun;     /* offset at which the current one's turn began */
    cutter_t cutter;   /* of the current one */
    char *path;        /* and its path */
    char *other;       /* the path that spool_path gave last */
    roll_t names;      /* of files that are not begun */
    char *done;        /* names up to this one, which are not followed, are read or were left out; NULL: none */
    int64_t seen;      /* the latest change of status, in ns, of a file that is done */
    int64_t seen_next; /* and of those that were done since events were taken in */
    uint64_t told[SPOOL_TOLD];
    size_t told_count;
    uint64_t closed;        /* the hash of the name that was closed last, of a file that was not seen; 0: none */
    uint32_t moved;         /* the cookie of the last rename of one of them */
    bool is_moved_whole;    /* nobody is writing to that */
    char waits[SPOOL_LOST]; /* why the next file is not begun; empty: there is none, or it is */
    char lost[SPOOL_LOST];
    bool lost_due; /* it is to be said */
} spool_t;

/* ---- spool.c ---- */
spool_file_t *spool_find(spool_t *spool, dev_t device, ino_t number); /* NULL: it is not followed */
const char *spool_path(spool_t *spool, const char *name);             /* in the folder; until the next call */
spool_file_t *spool_named(spool_t *spool, const char *name);
spool_file_t *spool_follow(spool_t *spool, inode_t inode, const char *name); /* there must be room */
void spool_lose(spool_t *spool, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* what is lost at once is one gap, in which as much is said as there is room for */

/* ---- spool_folder.c ---- */
int spool_watch(spool_t *spool, fault_t *why);
int spool_watch_file(spool_t *spool, spool_file_t *file, fault_t *why);
/* Adds the names after `after` (NULL: all) that are not followed. `anew`: nobody has watched; it finds out what has happened. */
int spool_scan(spool_t *spool, const char *after, bool anew, fault_t *why);
/* A file that is followed no more was written to: of each that is said once. */
void spool_late(spool_t *spool, const char *name);
/* Finds the files at these places, by whatever name, which are then followed; and says of those that are gone. */
int spool_find_places(spool_t *spool, spool_place_t *places, size_t count, fault_t *why);
/* Takes in what has happened in the folder. */
int spool_drain(spool_t *spool, fault_t *why);

/* ---- spool_cursor.c ---- */
void spool_pack(const spool_t *spool, msgpack_sbuffer *out);
/* Takes what is done, and gives the places. False: it is no such cursor. */
bool spool_parse(spool_t *spool, bytes_t cursor, spool_place_t places[SPOOL_FOLLOWED], size_t *ret_count);

#endif
