/* What the kernel tells of a path whose files come and go: inotify, without polling. The folder is watched; the one above it, as the folder may be
 * taken away, made again, or be a link; and the folder of the file that the path links to. */
#ifndef REPRISE_PATH_WATCH_H
#define REPRISE_PATH_WATCH_H

#include "../../messages/fault.h"
#include "heirs.h"

typedef struct path_watch {
    char *path;
    char *folder;      /* of the path, by its name */
    const char *base;  /* its last part */
    int notify;        /* inotify; -1: nothing is watched */
    int descriptor;    /* of the folder, by which its files are opened; -1: it is not there */
    int watched;       /* of the folder; -1: it is not there */
    int above;         /* of the nearest one above that is; -1: none may be watched */
    int target;        /* of the folder of the file that the path links to; -1: it is no link */
    char *target_name; /* and its name there */
    unsigned arrivals; /* there, of files of that name since one was opened */
    bool is_stale;     /* another may be the folder */
    bool is_direct;    /* the folder's name has no link in it */
    bool is_blind;     /* who comes to the path cannot be told, as a folder may not be read */
} path_watch_t;
#define PATH_WATCH_NONE ((path_watch_t){.notify = -1, .descriptor = -1, .watched = -1, .above = -1, .target = -1})

/* Copies `path`. Where nothing is to be watched, only the names are made. On failure it is to be finished all the same. */
int path_watch_init(path_watch_t *watch, const char *path, bool follow, fault_t *why);
void path_watch_fini(path_watch_t *watch);

/* Follows the path, which may link to another file now, or to one that is not there yet. */
void path_watch_link(path_watch_t *watch);
/* The same, once what it leads to is open: it is not lost if another comes. */
void path_watch_opened(path_watch_t *watch);

/* Is all told that may happen to the path? If not, it is to be looked at from time to time, too, and this to be called before: it finds out
 * what the kernel has not told. */
bool path_watch_sees_all(const path_watch_t *watch);
void path_watch_check(path_watch_t *watch);

/* Watches the writing to an open file, and returns the watch; by its descriptor, as the path may be another file's by now. */
int path_watch_file(path_watch_t *watch, int descriptor, fault_t *why);
void path_watch_forget(path_watch_t *watch, int file);

/* Takes note of what has happened, and says who has come to the path: 1; 0: nothing has. */
int path_watch_read(path_watch_t *watch, heirs_t *heirs, fault_t *why);
/* Once it returns, path_watch_read tells of all that has happened to the names in the folder up to its call: the kernel has a name changed a
 * moment before it says so, and keeps the folder locked until it has. */
void path_watch_settle(const path_watch_t *watch);
/* Looks for the folder again, if it may be another or be there now: 1 where it is another; 0. What had come to the path in the last one was to be
 * opened before. */
int path_watch_renew(path_watch_t *watch, fault_t *why);

#endif
