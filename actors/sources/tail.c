/* Following a file means following an inode while a path says which inode comes next. The order matters: the old file is read once more
 * after the new one was seen to have something in it, because a writer goes on with the old one until it is told to reopen. Only then is the
 * old file over.
 *
 * A truncated file that has grown beyond the old position again looks as if it had only grown; so the bytes before the position are read again
 * with those behind it, and compared. */
#include "tail.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "succession.h"

enum { LOST_SIZE = 900 };

struct tail {
    succession_t files;
    const char *path;
    inode_place_t awaited; /* from where reading is to go on once the path has a file; all 0: from its beginning */
    bool has_first;        /* it is the beginning of the file for which reading waited from the start */
    fault_t absent;        /* why it has none */
    bool next_begun;       /* something is in the next one, and this one has been read once more since */
    cutter_t cutter;
    char lost[LOST_SIZE];
    bool lost_due;  /* it is to be said before the next line */
    bool anew;      /* the file is to be read from its beginning, as was said */
    bool rotated;   /* it had lost its path before reading went on in it */
    bool next_said; /* what came between it and the next one is said */
};

static int file_size(const tail_t *tail, const inode_t *inode, int64_t *ret_size, fault_t *why) {
    return inode_size(inode, tail->path, ret_size, why);
}

/* ---- places ---- */

static void place_set(tail_t *tail, int64_t offset, int64_t line) {
    cutter_seek(&tail->cutter, tail->files.now.inode.descriptor, offset, line);
    tail->next_begun = tail->next_said = tail->lost_due = tail->anew = false;
}

/* ---- what may be lost ---- */

/* The file is not what it was at this place: it was cut below it, or has other bytes before it. */
static void lost_changed(tail_t *tail, int64_t offset) {
    int64_t size = 0;
    fault_t unread;
    if (file_size(tail, &tail->files.now.inode, &size, &unread) < 0) size = 0;
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

/* Was that the name of the file once? `app.log.1`, `app.log-20261123.gz`; or `app-2.log`, with a number before what follows the first dot. */
static bool is_old_name(const char *base, const char *name) {
    size_t whole = strlen(base), stem = strcspn(base, ".");
    if (strncmp(name, base, whole) == 0 && name[whole] != '\0') return strchr(".-_", name[whole]);
    if (stem == 0 || strncmp(name, base, stem) != 0 || name[stem] == '\0') return false;
    return strchr(".-_", name[stem]) && name[stem + 1] >= '0' && name[stem + 1] <= '9';
}

/* The file was rotated away while nobody read it. Were others after it, before the one that has the path now? They are beside it, under names
 * that tell, and were written to later. */
static bool lost_between(tail_t *tail) {
    struct stat mine, newest = {0}, status;
    char name[256] = "";
    size_t count = 0;
    const char *base = tail->files.watch.base;
    DIR *folder = opendir(tail->files.watch.folder);
    if (!folder || fstat(tail->files.now.inode.descriptor, &mine) < 0) goto out;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!is_old_name(base, entry->d_name)) continue;
        if (fstatat(dirfd(folder), entry->d_name, &status, 0) < 0 || !S_ISREG(status.st_mode)) continue;
        if (succession_knows(&tail->files, status.st_dev, status.st_ino) || !is_newer(&status, &mine)) continue;
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

static void files_advance(tail_t *tail) {
    succession_advance(&tail->files);
    tail->rotated = false;
}

/* What has had the path since stays open: the recorder may have lost its state while files came and went. */
int tail_resume(tail_t *tail, const inode_place_t *place, fault_t *why) {
    succession_t *files = &tail->files;
    inode_t inode;
    bool renamed;
    if (tail_wake(tail, why) < 0) return -1;
    if (place->inode == 0 && tail->has_first) place = &tail->awaited;
    if (!succession_has_now(files) && files->count > 0) files_advance(tail);
    if (inode_is_at(&files->now.inode, place)) {
        place_set(tail, place->offset, place->line); /* what had the path since still comes after it */
        return 0;
    }
    if (succession_find(files, place, &inode, &renamed)) {
        if (succession_go_back(files, inode, why) < 0) return -1;
        tail->rotated = renamed;
        place_set(tail, place->offset, place->line);
        return 0;
    }
    if (!succession_has_now(files)) {
        tail->awaited = *place; /* in the middle of a rotation */
        return 0;
    }
    place_set(tail, 0, 0);
    if (inode_is(&files->now.inode, (dev_t)place->device, (ino_t)place->inode))
        lost_changed(tail, place->offset);
    else
        lost_gone(tail, place->offset);
    tail->lost_due = true;
    return 0;
}

int tail_start(tail_t *tail, bool at_end, fault_t *why) {
    int64_t offset = 0;
    if (!succession_has_now(&tail->files)) {
        tail->awaited = (inode_place_t){0};
        return 0;
    }
    if (at_end && inode_last_line(&tail->files.now.inode, tail->path, &offset, why) < 0) return -1;
    place_set(tail, offset, offset == 0 ? 0 : -1);
    return 0;
}

/* Where the file is known to have changed, the place must not be found again by what is in it now. */
inode_place_t tail_place(const tail_t *tail) {
    if (!succession_has_now(&tail->files)) return tail->awaited;
    const inode_t *inode = &tail->files.now.inode;
    return (inode_place_t){(int64_t)inode->device, (int64_t)inode->number, tail->cutter.offset, tail->cutter.line,
                           tail->anew ? -1 : cutter_mark(&tail->cutter)};
}

void tail_where(const tail_t *tail, char *text, size_t size) {
    cutter_where(&tail->cutter, tail->path, text, size);
}

/* ---- the end of a file ---- */

/* Goes over to the next file: 0. TAIL_LOST: first it is to be said that there was one between; again, where reading goes on before that. */
static int next_begin(tail_t *tail) {
    bool is_said = tail->next_said;
    tail->next_said = true;
    if (!is_said && (tail->rotated || tail->files.next[0].elsewhere) && lost_between(tail)) return TAIL_LOST;
    if (!is_said && tail->files.next[0].after_loss) {
        snprintf(tail->lost, sizeof tail->lost,
                 "%.400s was rotated again before the file that it was then could be opened: what was in that "
                 "may be lost",
                 tail->path);
        return TAIL_LOST;
    }
    files_advance(tail);
    place_set(tail, 0, 0);
    return 0;
}

/* Is there another file that reading is to go on with, once this one is at its end? 1: yes. */
static int next_look(tail_t *tail, fault_t *why) {
    int64_t size = 0;
    if (tail->files.count != 1) return tail->files.count > 0;
    if (file_size(tail, &tail->files.next[0].inode, &size, why) < 0) return -1;
    return size > 0 ? 1 : 0;
}

/* The file is at its end. 1: it was, but something has happened. 0: there is nothing for now, or what `ret_got` says. */
static int end_meet(tail_t *tail, bytes_t *ret_element, int *ret_got, fault_t *why) {
    int next, noted = succession_note(&tail->files, why);
    if (noted == 0) noted = succession_look(&tail->files, why);
    *ret_got = noted;
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

const char *tail_absent(const tail_t *tail) {
    return succession_has_now(&tail->files) ? NULL : tail->absent.text;
}

/* 1: the path has a file now. */
static int file_await(tail_t *tail, fault_t *why) {
    int noted;
    do {
        noted = succession_note(&tail->files, why);
        if (noted >= 0) noted = succession_look(&tail->files, why);
    } while (noted > 0);
    if (noted < 0 || tail->files.count == 0) return noted;
    if (tail->awaited.inode == 0) {
        files_advance(tail);
        place_set(tail, 0, 0);
        tail->awaited = tail_place(tail);
        tail->has_first = true;
        return 1;
    }
    return tail_resume(tail, &tail->awaited, why) < 0 ? -1 : 1;
}

const char *tail_waits(const tail_t *tail) {
    return tail->files.waits[0] != '\0' ? tail->files.waits : NULL;
}

bool tail_is_to_be_looked_at(const tail_t *tail) {
    return succession_is_to_be_looked_at(&tail->files);
}

int tail_next(tail_t *tail, bytes_t *ret_element, fault_t *why) {
    if (!succession_has_now(&tail->files)) {
        int got = file_await(tail, why);
        if (got <= 0) return got;
    }
    if (tail->lost_due) {
        tail->lost_due = false;
        return TAIL_LOST;
    }
    if (tail->anew) place_set(tail, 0, 0);
    int got;
    do {
        got = cutter_take(&tail->cutter, tail->path, ret_element, why);
        if (got != 0) return got;
        got = cutter_fill(&tail->cutter, tail->files.now.inode.descriptor, tail->path, why);
        if (got == CUTTER_CHANGED) {
            lost_changed(tail, cutter_end(&tail->cutter));
            tail->anew = true;
            return TAIL_LOST;
        }
        if (got == 0 && !tail->files.follow) return cutter_rest(&tail->cutter, tail->path, ret_element, why);
    } while (got > 0 || (got == 0 && end_meet(tail, ret_element, &got, why)));
    return got;
}

/* ---- life ---- */

int tail_descriptor(const tail_t *tail) {
    return tail->files.watch.notify;
}

int tail_wake(tail_t *tail, fault_t *why) {
    return succession_note(&tail->files, why) < 0 ? -1 : 0;
}

void tail_destroy(tail_t **tail_) {
    tail_t *tail = *tail_;
    if (!tail) return;
    succession_fini(&tail->files);
    cutter_fini(&tail->cutter);
    free(tail);
    *tail_ = NULL;
}

tail_t *tail_create(const reading_spec_t *spec, fault_t *why) {
    tail_t *tail = calloc(1, sizeof *tail);
    must(tail);
    cutter_init(&tail->cutter, spec->cut, spec->element_max);
    if (succession_init(&tail->files, spec->path, spec->keys, spec->follow, why) < 0) goto fail;
    tail->path = tail->files.watch.path;
    if (succession_first(&tail->files, why) < 0) {
        if (!spec->follow || !spec->resumes || !succession_is_passing(errno)) goto fail;
        tail->absent = *why;
    }
    return tail;
fail:
    tail_destroy(&tail);
    return NULL;
}
