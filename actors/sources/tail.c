/* Following a file means following an inode while a path says which inode comes next. The order matters: a watch is set before the thing
 * it is for is looked at, and the old file is read once more after the new one was seen to have something in it, because a writer goes on
 * with the old one until it is told to reopen. Only then is the old file over.
 *
 * A truncated file that has grown beyond the old position again looks as if it had only grown; so the bytes before the position are read again
 * with those behind it, and compared. */
#include "tail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heirs.h"

enum { LOST_SIZE = 900, NEXT_MAX = 16 };

typedef struct tail_file {
    inode_t inode;
    int watch; /* -1: none */
} tail_file_t;
static const tail_file_t no_file = {.inode = {.descriptor = -1}, .watch = -1};

struct tail {
    char *path;
    char *folder;
    char *keys; /* the folder of the engine's own key, which is not to be read */
    bool follow;
    int notify; /* inotify; -1: it does not follow */
    int folder_watch;
    int target_watch;  /* of the folder of the file that the path links to, if that is another; -1: none */
    char *target_name; /* and its name there */
    tail_file_t file;  /* what is read */
    struct {
        tail_file_t file;
        bool after_loss; /* one that had the path before it could not be opened */
    } next[NEXT_MAX];    /* what had its path since, one after the other */
    size_t next_count;
    bool next_missing; /* what comes next had no room, or came before it could be seen */
    bool next_begun;   /* something is in the first, and `file` has been read once more since */
    cutter_t cutter;   /* of `file` */
    char lost[LOST_SIZE];
    bool lost_due;   /* it is to be said before the next line */
    bool anew;       /* it is to be read from its beginning, as was said */
    bool rotated;    /* `file` had lost its path before reading went on in it */
    bool next_said;  /* what came between it and the next one is said */
    bool after_loss; /* one that had the path before `file` could not be opened */
};

/* ---- files ---- */

static void file_close(tail_t *tail, tail_file_t *file) {
    if (file->watch >= 0) inotify_rm_watch(tail->notify, file->watch);
    inode_close(&file->inode);
    file->watch = -1;
}

static int file_open(const tail_t *tail, int folder, const char *path, tail_file_t *ret_file, fault_t *why) {
    inode_t inode;
    if (inode_open(folder, path, tail->keys, &inode, why) < 0) return -1;
    *ret_file = (tail_file_t){inode, -1};
    return 0;
}

/* By its descriptor: the path may have been given to another file meanwhile. */
static int file_watch(tail_t *tail, tail_file_t *file, fault_t *why) {
    char path[32];
    if (!tail->follow) return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file->inode.descriptor);
    file->watch = inotify_add_watch(tail->notify, path, IN_MODIFY);
    return file->watch < 0 ? fault_errno(why, "cannot watch %s", tail->path) : 0;
}

/* A path that is a link has its rotations where the file is. That they come is seen there; all else is seen from the path. */
static void target_watch(tail_t *tail) {
    char path[PATH_MAX];
    int before = tail->target_watch;
    free(tail->target_name);
    tail->target_name = NULL;
    tail->target_watch = -1;
    if (tail->follow && realpath(tail->path, path)) {
        char *slash = strrchr(path, '/');
        tail->target_name = strdup(slash + 1);
        must(tail->target_name);
        slash[slash == path ? 1 : 0] = '\0';
        int watch = inotify_add_watch(tail->notify, path, HEIRS_EVENTS | IN_MASK_ADD);
        if (watch != tail->folder_watch) tail->target_watch = watch;
    }
    if (before >= 0 && before != tail->target_watch) inotify_rm_watch(tail->notify, before);
}

static int file_size(const tail_t *tail, const tail_file_t *file, int64_t *ret_size, fault_t *why) {
    return inode_size(&file->inode, tail->path, ret_size, why);
}

/* ---- places ---- */

static void place_set(tail_t *tail, int64_t offset, int64_t line) {
    cutter_seek(&tail->cutter, tail->file.inode.descriptor, offset, line);
    tail->next_begun = tail->next_said = tail->lost_due = tail->anew = false;
}

/* ---- what may be lost ---- */

/* The file is not what it was at this place: it was cut below it, or has other bytes before it. */
static void lost_changed(tail_t *tail, int64_t offset) {
    int64_t size = 0;
    fault_t unread;
    if (file_size(tail, &tail->file, &size, &unread) < 0) size = 0;
    snprintf(
        tail->lost, sizeof tail->lost,
        "%.400s was truncated or replaced: it had been read to byte %lld and has %lld bytes now; what came after that byte before may be "
        "lost",
        tail->path, (long long)offset, (long long)size);
}

static void lost_gone(tail_t *tail, int64_t offset) {
    snprintf(tail->lost, sizeof tail->lost,
             "%.400s was rotated away and is gone: it had been read to byte %lld; what came after that byte may be lost", tail->path,
             (long long)offset);
}

static bool is_newer(const struct stat *a, const struct stat *b) {
    if (a->st_mtim.tv_sec != b->st_mtim.tv_sec) return a->st_mtim.tv_sec > b->st_mtim.tv_sec;
    return a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

/* Is it read, or next? */
static bool is_known(const tail_t *tail, dev_t device, ino_t number) {
    for (size_t i = 0; i < tail->next_count; i++) {
        if (inode_is(&tail->next[i].file.inode, device, number)) return true;
    }
    return inode_is(&tail->file.inode, device, number);
}

static void next_clear(tail_t *tail) {
    for (size_t i = 0; i < tail->next_count; i++) file_close(tail, &tail->next[i].file);
    tail->next_count = 0;
    tail->next_missing = false;
}

/* `file` was rotated away while nobody read it. Were others after it, before the one that has the path now? They are beside it, under names
 * that begin as its own, and were written to later. */
static bool lost_between(tail_t *tail) {
    struct stat mine, newest = {0}, status;
    char name[256] = "";
    size_t count = 0;
    const char *slash = strrchr(tail->path, '/'), *base = slash ? slash + 1 : tail->path;
    DIR *folder = opendir(tail->folder);
    if (!folder || fstat(tail->file.inode.descriptor, &mine) < 0) goto out;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char after = strncmp(entry->d_name, base, strlen(base)) == 0 ? entry->d_name[strlen(base)] : '\0';
        if (after != '.' && after != '-' && after != '_') continue;
        if (fstatat(dirfd(folder), entry->d_name, &status, 0) < 0 || !S_ISREG(status.st_mode)) continue;
        if (is_known(tail, status.st_dev, status.st_ino) || !is_newer(&status, &mine)) continue;
        if (count++ > 0 && !is_newer(&status, &newest)) continue;
        newest = status;
        snprintf(name, sizeof name, "%s", entry->d_name);
    }
    if (count > 0)
        snprintf(tail->lost, sizeof tail->lost,
                 "%.400s was rotated more than once while it was not read: what is in %s and %zu more files beside it may be lost",
                 tail->path, name, count - 1);
out:
    if (folder) closedir(folder);
    return count > 0;
}

const char *tail_lost(const tail_t *tail) {
    return tail->lost;
}

/* ---- finding a place ---- */

/* The file at a place, by whatever name it has in the folder now. */
static bool file_find(const tail_t *tail, const inode_place_t *place, tail_file_t *ret_file, bool *ret_renamed) {
    fault_t unread;
    tail_file_t file;
    *ret_renamed = false;
    if (file_open(tail, AT_FDCWD, tail->path, &file, &unread) == 0) {
        if (inode_is_at(&file.inode, place)) goto found;
        inode_close(&file.inode);
    }
    DIR *folder = opendir(tail->folder);
    if (!folder) return false;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if ((int64_t)entry->d_ino != place->inode || file_open(tail, dirfd(folder), entry->d_name, &file, &unread) < 0) continue;
        if (inode_is_at(&file.inode, place)) {
            closedir(folder);
            *ret_renamed = true;
            goto found;
        }
        inode_close(&file.inode);
    }
    closedir(folder);
    return false;
found:
    *ret_file = file;
    return true;
}

/* Reading goes back to a file before this one, which comes after it then, as far as is known. */
static void file_go_back(tail_t *tail, tail_file_t before) {
    if (tail->next_count == NEXT_MAX) {
        file_close(tail, &tail->file);
        tail->next[0].after_loss = true;
    } else {
        memmove(tail->next + 1, tail->next, tail->next_count++ * sizeof tail->next[0]);
        tail->next[0].file = tail->file;
        tail->next[0].after_loss = tail->after_loss;
    }
    tail->file = before;
    tail->after_loss = false;
}

/* What has had the path since stays open: the recorder may have lost its state while files came and went. */
int tail_resume(tail_t *tail, const inode_place_t *place, fault_t *why) {
    tail_file_t file;
    bool renamed;
    if (tail_wake(tail, why) < 0) return -1;
    if (inode_is_at(&tail->file.inode, place)) {
        place_set(tail, place->offset, place->line); /* what had the path since still comes after it */
        return 0;
    }
    if (file_find(tail, place, &file, &renamed)) {
        file_go_back(tail, file);
        tail->rotated = renamed;
        place_set(tail, place->offset, place->line);
        return file_watch(tail, &tail->file, why);
    }
    place_set(tail, 0, 0);
    if (inode_is(&tail->file.inode, (dev_t)place->device, (ino_t)place->inode))
        lost_changed(tail, place->offset);
    else
        lost_gone(tail, place->offset);
    tail->lost_due = true;
    return 0;
}

int tail_start(tail_t *tail, bool at_end, fault_t *why) {
    int64_t offset = 0;
    if (at_end && inode_last_line(&tail->file.inode, tail->path, &offset, why) < 0) return -1;
    place_set(tail, offset, offset == 0 ? 0 : -1);
    return 0;
}

/* Where the file is known to have changed, the place must not be found again by what is in it now. */
inode_place_t tail_place(const tail_t *tail) {
    const inode_t *inode = &tail->file.inode;
    return (inode_place_t){(int64_t)inode->device, (int64_t)inode->number, tail->cutter.offset, tail->cutter.line,
                           tail->anew ? -1 : cutter_mark(&tail->cutter)};
}

void tail_where(const tail_t *tail, char *text, size_t size) {
    cutter_where(&tail->cutter, tail->path, text, size);
}

/* ---- the end of a file ---- */

static int next_add(tail_t *tail, const char *path, fault_t *why) {
    tail_file_t file;
    if (file_open(tail, AT_FDCWD, path, &file, why) < 0) return access(path, F_OK) < 0 && errno == ENOENT ? 0 : -1;
    if (is_known(tail, file.inode.device, file.inode.number) || tail->next_count == NEXT_MAX) {
        tail->next_missing |= tail->next_count == NEXT_MAX;
        file_close(tail, &file);
        return 0;
    }
    tail->next[tail->next_count].file = file;
    tail->next[tail->next_count].after_loss = tail->next_missing;
    tail->next_missing = false;
    target_watch(tail);
    return file_watch(tail, &tail->next[tail->next_count++].file, why);
}

/* Those that had the path since are opened at once: they may be renamed again, or deleted. */
static int heirs_open(tail_t *tail, const heirs_t *heirs, fault_t *why) {
    char path[PATH_MAX];
    for (size_t i = 0; i < heirs->count; i++) {
        const heir_t *heir = &heirs->list[i];
        size_t before = tail->next_count;
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", tail->folder, heir->name);
        bool is_there = !heir->is_lost && heir->cookie == 0 && stat(path, &status) == 0;
        if (is_there && is_known(tail, status.st_dev, status.st_ino)) continue;
        if (is_there && next_add(tail, path, why) < 0) return -1;
        if (tail->next_count == before) tail->next_missing = true;
    }
    tail->next_missing |= heirs->too_many;
    return 0;
}

/* Takes note of what has happened: 1; 0: nothing has. */
static int tail_note(tail_t *tail, fault_t *why) {
    _Alignas(struct inotify_event) char events[4096];
    const char *slash = strrchr(tail->path, '/'), *base = slash ? slash + 1 : tail->path;
    heirs_t heirs = {.count = 0};
    ssize_t got;
    unsigned arrivals = 0; /* where the path links to */
    bool any = false;
    if (tail->notify < 0) return 0;
    while ((got = read(tail->notify, events, sizeof events)) > 0) {
        any = true;
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *)at;
            if (event->mask & IN_Q_OVERFLOW) heirs.too_many = true;
            if (event->wd == tail->folder_watch) heirs_note(&heirs, base, event);
            if (event->wd == tail->target_watch && event->len > 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)))
                arrivals += strcmp(event->name, tail->target_name) == 0;
            at += sizeof *event + event->len;
        }
    }
    if (errno != EAGAIN) return fault_errno(why, "cannot watch %s", tail->path);
    tail->next_missing |= arrivals > 1;
    return heirs_open(tail, &heirs, why) < 0 ? -1 : any;
}

/* Is there another file that reading is to go on with, once this one is at its end? 1: yes. */
static int next_look(tail_t *tail, fault_t *why) {
    struct stat status;
    int64_t size = 0;
    if (stat(tail->path, &status) < 0) {
        if (errno != ENOENT) return fault_errno(why, "cannot read the status of %s", tail->path);
    } else if (!is_known(tail, status.st_dev, status.st_ino) && next_add(tail, tail->path, why) < 0) {
        return -1;
    }
    if (tail->next_count != 1) return tail->next_count > 0;
    if (file_size(tail, &tail->next[0].file, &size, why) < 0) return -1;
    return size > 0 ? 1 : 0;
}

/* Goes over to the next file: 0. TAIL_LOST: first it is to be said that there was one between; again, where reading goes on before that. */
static int next_begin(tail_t *tail) {
    bool is_said = tail->next_said;
    tail->next_said = true;
    if (!is_said && tail->rotated && lost_between(tail)) return TAIL_LOST;
    if (!is_said && tail->next[0].after_loss) {
        snprintf(tail->lost, sizeof tail->lost,
                 "%.400s was rotated again before the file that it was then could be opened: what was in that "
                 "may be lost",
                 tail->path);
        return TAIL_LOST;
    }
    file_close(tail, &tail->file);
    tail->file = tail->next[0].file;
    tail->after_loss = tail->next[0].after_loss;
    memmove(tail->next, tail->next + 1, --tail->next_count * sizeof tail->next[0]);
    tail->rotated = false;
    place_set(tail, 0, 0);
    return 0;
}

/* The file is at its end. 1: it was, but something has happened. 0: there is nothing for now, or what `ret_got` says. */
static int end_meet(tail_t *tail, bytes_t *ret_element, int *ret_got, fault_t *why) {
    int next, noted;
    *ret_got = noted = tail_note(tail, why);
    if (noted != 0) return noted > 0;
    *ret_got = next = next_look(tail, why);
    if (next <= 0) {
        if (cutter_is_empty(&tail->cutter)) cutter_drop(&tail->cutter); /* it may rest for long */
        return 0;
    }
    if (!tail->next_begun) {
        tail->next_begun = true;
        return 1;
    }
    *ret_got = cutter_rest(&tail->cutter, tail->path, ret_element, why);
    if (*ret_got == 0) *ret_got = next_begin(tail);
    return *ret_got == 0;
}

int tail_next(tail_t *tail, bytes_t *ret_element, fault_t *why) {
    if (tail->lost_due) {
        tail->lost_due = false;
        return TAIL_LOST;
    }
    if (tail->anew) place_set(tail, 0, 0);
    int got;
    do {
        got = cutter_take(&tail->cutter, tail->path, ret_element, why);
        if (got != 0) return got;
        got = cutter_fill(&tail->cutter, tail->file.inode.descriptor, tail->path, why);
        if (got == CUTTER_CHANGED) {
            lost_changed(tail, cutter_end(&tail->cutter));
            tail->anew = true;
            return TAIL_LOST;
        }
        if (got == 0 && !tail->follow) return cutter_rest(&tail->cutter, tail->path, ret_element, why);
    } while (got > 0 || (got == 0 && end_meet(tail, ret_element, &got, why)));
    return got;
}

/* ---- life ---- */

int tail_descriptor(const tail_t *tail) {
    return tail->notify;
}

int tail_wake(tail_t *tail, fault_t *why) {
    return tail_note(tail, why) < 0 ? -1 : 0;
}

static int folder_watch(tail_t *tail, fault_t *why) {
    tail->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (tail->notify < 0) return fault_errno(why, "cannot watch %s: inotify", tail->path);
    tail->folder_watch = inotify_add_watch(tail->notify, tail->folder, HEIRS_EVENTS);
    if (tail->folder_watch < 0) return fault_errno(why, "cannot watch the folder %s", tail->folder);
    return 0;
}

void tail_destroy(tail_t **tail_) {
    tail_t *tail = *tail_;
    if (!tail) return;
    next_clear(tail);
    file_close(tail, &tail->file);
    if (tail->notify >= 0) close(tail->notify);
    cutter_fini(&tail->cutter);
    free(tail->target_name);
    free(tail->keys);
    free(tail->folder);
    free(tail->path);
    free(tail);
    *tail_ = NULL;
}

tail_t *tail_create(const reading_spec_t *spec, fault_t *why) {
    const char *path = spec->path, *slash = strrchr(path, '/');
    tail_t *tail = malloc(sizeof *tail);
    must(tail);
    *tail = (tail_t){.follow = spec->follow, .notify = -1, .target_watch = -1, .file = no_file};
    cutter_init(&tail->cutter, spec->cut, spec->element_max);
    tail->path = strdup(path);
    tail->folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    tail->keys = strdup(spec->keys);
    must(tail->path && tail->folder && tail->keys);
    if (file_open(tail, AT_FDCWD, path, &tail->file, why) < 0) goto fail;
    if (tail->follow && (folder_watch(tail, why) < 0 || file_watch(tail, &tail->file, why) < 0)) goto fail;
    target_watch(tail);
    return tail;
fail:
    tail_destroy(&tail);
    return NULL;
}
