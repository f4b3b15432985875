/* Following a file means following an inode while a path says which inode comes next. The order matters: a watch is set before the thing
 * it is for is looked at, and the old file is read once more after the new one was seen to have something in it, because a writer goes on
 * with the old one until it is told to reopen. Only then is the old file over.
 *
 * A truncated file that has grown beyond the old position again looks as if it had only grown; so the bytes before the position are
 * compared whenever reading goes on after a pause. */
#include "tail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    LOST_SIZE = 900,
    BUFFER_FIRST = 128 * 1024,
    MARK_BYTES = 64, /* before a position, that its mark is made of */
};

typedef struct tail_file {
    int descriptor; /* -1: none */
    int watch;      /* -1: none */
    dev_t device;
    ino_t inode;
} tail_file_t;
static const tail_file_t no_file = {.descriptor = -1, .watch = -1};

struct tail {
    char *path;
    char *folder;
    bool follow;
    size_t line_max;
    int notify;       /* inotify; -1: it does not follow */
    tail_file_t file; /* what is read */
    tail_file_t next; /* what has its path meanwhile */
    bool next_begun;  /* something is in it, and `file` has been read once more since */
    uint8_t *buffer;
    size_t capacity;
    size_t from, to;     /* what is in it and not taken */
    size_t scanned;      /* of that, without a newline */
    int64_t offset;      /* of buffer[from] in the file */
    int64_t line;        /* lines before it; -1: not known */
    int64_t last_offset; /* of the last line */
    bool resting;        /* its end was reached */
    int64_t rest_mark;   /* the mark there */
    char lost[LOST_SIZE];
    bool lost_due; /* it is to be said before the next line */
    bool anew;     /* it is to be read from its beginning, as was said */
    bool rotated;  /* `file` had lost its path before reading went on in it */
};

/* ---- files ---- */

static void file_close(tail_t *tail, tail_file_t *file) {
    if (file->watch >= 0) inotify_rm_watch(tail->notify, file->watch);
    if (file->descriptor >= 0) close(file->descriptor);
    *file = no_file;
}

/* Opens without waiting, which a pipe without a writer would. */
static int file_open(int folder, const char *path, tail_file_t *ret_file, fault_t *why) {
    struct stat status;
    int descriptor = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0) return fault_errno(why, "cannot open %s", path);
    if (fstat(descriptor, &status) < 0) {
        fault_errno(why, "cannot read the status of %s", path);
        goto fail;
    }
    if (!S_ISREG(status.st_mode)) {
        fault_set(why, "%s is not a regular file", path);
        goto fail;
    }
    *ret_file = (tail_file_t){descriptor, -1, status.st_dev, status.st_ino};
    return 0;
fail:
    close(descriptor);
    return -1;
}

/* By its descriptor: the path may have been given to another file meanwhile. */
static int file_watch(tail_t *tail, tail_file_t *file, fault_t *why) {
    char path[32];
    if (!tail->follow) return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file->descriptor);
    file->watch = inotify_add_watch(tail->notify, path, IN_MODIFY);
    return file->watch < 0 ? fault_errno(why, "cannot watch %s", tail->path) : 0;
}

static int file_size(const tail_t *tail, const tail_file_t *file, int64_t *ret_size, fault_t *why) {
    struct stat status;
    if (fstat(file->descriptor, &status) < 0) return fault_errno(why, "cannot read the status of %s", tail->path);
    *ret_size = status.st_size;
    return 0;
}

static int file_mark(const tail_t *tail, const tail_file_t *file, int64_t offset, int64_t *ret_mark, fault_t *why) {
    uint8_t bytes[MARK_BYTES];
    size_t size = offset < MARK_BYTES ? (size_t)offset : MARK_BYTES;
    ssize_t got = size > 0 ? pread(file->descriptor, bytes, size, offset - (int64_t)size) : 0;
    if (got < 0) return fault_errno(why, "cannot read %s", tail->path);
    *ret_mark = (int64_t)XXH3_64bits(bytes, (size_t)got);
    return 0;
}

/* Is what is before this position as it was? A file that is shorter now has another mark there: of fewer bytes. */
static int file_holds(const tail_t *tail, const tail_file_t *file, int64_t offset, int64_t mark, bool *ret_holds, fault_t *why) {
    int64_t now = 0;
    if (file_mark(tail, file, offset, &now, why) < 0) return -1;
    *ret_holds = now == mark;
    return 0;
}

/* ---- places ---- */

static void place_set(tail_t *tail, int64_t offset, int64_t line) {
    tail->from = tail->to = tail->scanned = 0;
    tail->offset = tail->last_offset = offset;
    tail->line = line;
    tail->resting = tail->next_begun = tail->lost_due = tail->anew = false;
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

static bool file_is(const tail_file_t *file, const struct stat *status) {
    return file->descriptor >= 0 && file->device == status->st_dev && file->inode == status->st_ino;
}

/* `file` was rotated away while nobody read it. Were others after it, before the one that has the path now? They are beside it, under names
 * that begin as its own, and were written to later. */
static bool lost_between(tail_t *tail) {
    struct stat mine, newest = {0}, status;
    char name[256] = "";
    size_t count = 0;
    const char *slash = strrchr(tail->path, '/'), *base = slash ? slash + 1 : tail->path;
    DIR *folder = opendir(tail->folder);
    if (!folder || fstat(tail->file.descriptor, &mine) < 0) goto out;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char after = strncmp(entry->d_name, base, strlen(base)) == 0 ? entry->d_name[strlen(base)] : '\0';
        if (after != '.' && after != '-' && after != '_') continue;
        if (fstatat(dirfd(folder), entry->d_name, &status, 0) < 0 || !S_ISREG(status.st_mode)) continue;
        if (file_is(&tail->file, &status) || file_is(&tail->next, &status) || !is_newer(&status, &mine)) continue;
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

static bool file_is_at(const tail_t *tail, const tail_file_t *file, const tail_place_t *place) {
    fault_t unread;
    bool holds = false;
    return file->descriptor >= 0 && (int64_t)file->device == place->device && (int64_t)file->inode == place->inode &&
           file_holds(tail, file, place->offset, place->mark, &holds, &unread) == 0 && holds;
}

/* The file at a place, by whatever name it has in the folder now. */
static bool file_find(const tail_t *tail, const tail_place_t *place, tail_file_t *ret_file, bool *ret_renamed) {
    fault_t unread;
    tail_file_t file;
    *ret_renamed = false;
    if (file_open(AT_FDCWD, tail->path, &file, &unread) == 0) {
        if (file_is_at(tail, &file, place)) goto found;
        close(file.descriptor);
    }
    DIR *folder = opendir(tail->folder);
    if (!folder) return false;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if ((int64_t)entry->d_ino != place->inode || file_open(dirfd(folder), entry->d_name, &file, &unread) < 0) continue;
        if (file_is_at(tail, &file, place)) {
            closedir(folder);
            *ret_renamed = true;
            goto found;
        }
        close(file.descriptor);
    }
    closedir(folder);
    return false;
found:
    *ret_file = file;
    return true;
}

int tail_resume(tail_t *tail, const tail_place_t *place, fault_t *why) {
    if (file_is_at(tail, &tail->file, place)) {
        place_set(tail, place->offset, place->line);
        return 0;
    }
    file_close(tail, &tail->next);
    file_close(tail, &tail->file);
    if (file_find(tail, place, &tail->file, &tail->rotated)) {
        place_set(tail, place->offset, place->line);
        return file_watch(tail, &tail->file, why);
    }
    if (file_open(AT_FDCWD, tail->path, &tail->file, why) < 0) return -1;
    place_set(tail, 0, 0);
    if ((int64_t)tail->file.device == place->device && (int64_t)tail->file.inode == place->inode)
        lost_changed(tail, place->offset);
    else
        lost_gone(tail, place->offset);
    tail->lost_due = true;
    return file_watch(tail, &tail->file, why);
}

/* Behind the last newline. */
static int end_find(const tail_t *tail, int64_t *ret_offset, fault_t *why) {
    uint8_t block[4096];
    int64_t end = 0;
    if (file_size(tail, &tail->file, &end, why) < 0) return -1;
    while (end > 0) {
        int64_t begin = end > (int64_t)sizeof block ? end - (int64_t)sizeof block : 0;
        ssize_t got = pread(tail->file.descriptor, block, (size_t)(end - begin), begin);
        if (got < 0) return fault_errno(why, "cannot read %s", tail->path);
        const uint8_t *newline = memrchr(block, '\n', (size_t)got);
        if (newline) {
            end = begin + (newline - block) + 1;
            break;
        }
        end = begin;
    }
    *ret_offset = end;
    return 0;
}

int tail_start(tail_t *tail, bool at_end, fault_t *why) {
    int64_t offset = 0;
    if (at_end && end_find(tail, &offset, why) < 0) return -1;
    place_set(tail, offset, offset == 0 ? 0 : -1);
    return 0;
}

/* Where the file is known to have changed, the place must not be found again by what is in it now. */
int tail_place(const tail_t *tail, tail_place_t *ret_place, fault_t *why) {
    int64_t mark = -1;
    if (!tail->anew && file_mark(tail, &tail->file, tail->offset, &mark, why) < 0) return -1;
    *ret_place = (tail_place_t){(int64_t)tail->file.device, (int64_t)tail->file.inode, tail->offset, tail->line, mark};
    return 0;
}

void tail_where(const tail_t *tail, char *text, size_t size) {
    if (tail->line > 0)
        snprintf(text, size, "%s:%lld", tail->path, (long long)tail->line);
    else
        snprintf(text, size, "%s, byte %lld", tail->path, (long long)tail->last_offset);
}

/* ---- lines ---- */

static void line_give(tail_t *tail, size_t size, size_t newline, bytes_t *ret_line) {
    *ret_line = (bytes_t){tail->buffer + tail->from, size};
    tail->last_offset = tail->offset;
    tail->from += size + newline;
    tail->offset += (int64_t)(size + newline);
    tail->scanned = 0;
    if (tail->line >= 0) tail->line++;
}

static int line_long(const tail_t *tail, fault_t *why) {
    return fault_set(why, "%s: the line at byte %lld is longer than %zu bytes", tail->path, (long long)tail->offset, tail->line_max);
}

static void buffer_drop(tail_t *tail) {
    free(tail->buffer);
    tail->buffer = NULL;
    tail->capacity = tail->from = tail->to = tail->scanned = 0;
}

static int line_take(tail_t *tail, bytes_t *ret_line, fault_t *why) {
    if (tail->from == tail->to) return 0;
    const uint8_t *begin = tail->buffer + tail->from;
    const uint8_t *newline = memchr(begin + tail->scanned, '\n', tail->to - tail->from - tail->scanned);
    size_t size = newline ? (size_t)(newline - begin) : tail->to - tail->from;
    if (size > tail->line_max) return line_long(tail, why);
    if (newline)
        line_give(tail, size, 1, ret_line);
    else
        tail->scanned = size;
    return newline ? 1 : 0;
}

/* What is left at the end of a file that will not grow. */
static int rest_take(tail_t *tail, bytes_t *ret_line) {
    if (tail->from == tail->to) return 0;
    line_give(tail, tail->to - tail->from, 0, ret_line);
    return 1;
}

/* Reads more: 1; 0 at the end. */
static int buffer_fill(tail_t *tail, fault_t *why) {
    if (tail->from > 0) {
        memmove(tail->buffer, tail->buffer + tail->from, tail->to - tail->from);
        tail->to -= tail->from;
        tail->from = 0;
    }
    if (tail->to == tail->capacity) {
        tail->capacity = tail->capacity > 0 ? tail->capacity * 2 : BUFFER_FIRST;
        tail->buffer = realloc(tail->buffer, tail->capacity);
        must(tail->buffer);
    }
    ssize_t got = pread(tail->file.descriptor, tail->buffer + tail->to, tail->capacity - tail->to, tail->offset + (int64_t)tail->to);
    if (got < 0) return fault_errno(why, "cannot read %s", tail->path);
    tail->to += (size_t)got;
    return got > 0 ? 1 : 0;
}

/* ---- the end of a file ---- */

static int64_t end_offset(const tail_t *tail) {
    return tail->offset + (int64_t)(tail->to - tail->from);
}

/* What has the path now, if it is another file with something in it: 1. */
static int next_look(tail_t *tail, fault_t *why) {
    struct stat status;
    int64_t size = 0;
    if (tail->next.descriptor >= 0 && file_size(tail, &tail->next, &size, why) < 0) return -1;
    if (size > 0) return 1;
    if (stat(tail->path, &status) < 0) return errno == ENOENT ? 0 : fault_errno(why, "cannot read the status of %s", tail->path);
    if (status.st_dev == tail->file.device && status.st_ino == tail->file.inode) return 0;
    if (status.st_dev != tail->next.device || status.st_ino != tail->next.inode || tail->next.descriptor < 0) {
        file_close(tail, &tail->next);
        if (file_open(AT_FDCWD, tail->path, &tail->next, why) < 0) return access(tail->path, F_OK) < 0 && errno == ENOENT ? 0 : -1;
        if (file_watch(tail, &tail->next, why) < 0) return -1;
    }
    if (file_size(tail, &tail->next, &size, why) < 0) return -1;
    return size > 0 ? 1 : 0;
}

/* There is nothing more for now: 0, or it was truncated: TAIL_LOST. */
static int rest(tail_t *tail, fault_t *why) {
    int64_t size = 0;
    if (file_size(tail, &tail->file, &size, why) < 0) return -1;
    if (size < end_offset(tail)) {
        lost_changed(tail, end_offset(tail));
        tail->anew = true;
        return TAIL_LOST;
    }
    if (file_mark(tail, &tail->file, end_offset(tail), &tail->rest_mark, why) < 0) return -1;
    tail->resting = true;
    if (tail->from == tail->to) buffer_drop(tail); /* it may rest for long */
    return 0;
}

/* Reading goes on: 0. The file is no longer what it was: TAIL_LOST. */
static int wake(tail_t *tail, fault_t *why) {
    bool holds = false;
    if (file_holds(tail, &tail->file, end_offset(tail), tail->rest_mark, &holds, why) < 0) return -1;
    tail->resting = false;
    if (holds) return 0;
    lost_changed(tail, end_offset(tail));
    tail->anew = true;
    return TAIL_LOST;
}

int tail_next(tail_t *tail, bytes_t *ret_line, fault_t *why) {
    if (tail->lost_due) {
        tail->lost_due = false;
        return TAIL_LOST;
    }
    if (tail->anew) place_set(tail, 0, 0);
    int got = tail->resting ? wake(tail, why) : 0;
    if (got != 0) return got;
    for (;;) {
        got = line_take(tail, ret_line, why);
        if (got != 0) return got;
        got = buffer_fill(tail, why);
        if (got < 0) return -1;
        if (got > 0) continue;
        if (!tail->follow) return rest_take(tail, ret_line);
        int next = next_look(tail, why);
        if (next < 0) return -1;
        if (next == 0) return rest(tail, why);
        if (!tail->next_begun) {
            tail->next_begun = true;
            continue;
        }
        if (tail->from < tail->to) return rest_take(tail, ret_line);
        bool rotated = tail->rotated;
        tail->rotated = false;
        if (rotated && lost_between(tail)) return TAIL_LOST;
        file_close(tail, &tail->file);
        tail->file = tail->next;
        tail->next = no_file;
        place_set(tail, 0, 0);
    }
}

/* ---- life ---- */

int tail_descriptor(const tail_t *tail) {
    return tail->notify;
}

/* What happened does not matter: tail_next looks at all there is. */
int tail_wake(tail_t *tail, fault_t *why) {
    char events[4096];
    ssize_t got;
    do got = read(tail->notify, events, sizeof events);
    while (got > 0);
    return errno == EAGAIN ? 0 : fault_errno(why, "cannot watch %s", tail->path);
}

static int folder_watch(tail_t *tail, fault_t *why) {
    tail->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (tail->notify < 0) return fault_errno(why, "cannot watch %s: inotify", tail->path);
    if (inotify_add_watch(tail->notify, tail->folder, IN_CREATE | IN_MOVED_TO) < 0)
        return fault_errno(why, "cannot watch the folder %s", tail->folder);
    return 0;
}

void tail_destroy(tail_t **tail_) {
    tail_t *tail = *tail_;
    if (!tail) return;
    file_close(tail, &tail->next);
    file_close(tail, &tail->file);
    if (tail->notify >= 0) close(tail->notify);
    free(tail->buffer);
    free(tail->folder);
    free(tail->path);
    free(tail);
    *tail_ = NULL;
}

tail_t *tail_create(const char *path, bool follow, size_t line_max, fault_t *why) {
    tail_t *tail = malloc(sizeof *tail);
    const char *slash = strrchr(path, '/');
    must(tail);
    *tail = (tail_t){.follow = follow, .line_max = line_max, .notify = -1, .file = no_file, .next = no_file};
    tail->path = strdup(path);
    tail->folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    must(tail->path && tail->folder);
    if (file_open(AT_FDCWD, path, &tail->file, why) < 0) goto fail;
    if (follow && (folder_watch(tail, why) < 0 || file_watch(tail, &tail->file, why) < 0)) goto fail;
    return tail;
fail:
    tail_destroy(&tail);
    return NULL;
}
