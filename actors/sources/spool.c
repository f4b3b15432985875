/* The files of a folder as one stream: each is read from its beginning, in the order of their names, and is followed as it grows, until so
 * many others have come that it is done.
 *
 * The cursor must not grow with the folder. It has the name up to which all files are done, and places in those that are followed, which are
 * few: they are named by their inodes, so that they may be renamed. Which files are new is seen from their names alone, as long as they come in
 * order; spool_folder.c tells what is done about those that do not. */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TURN_BYTES = 4 * 1024 * 1024, /* that are read of a file before others that have grown */
    LEAVES_MAX = 3,
};

/* ---- files ---- */

/* The folder is not held open: as long as it is, the kernel does not say that it is gone. */
const char *spool_path(spool_t *spool, const char *name) {
    snprintf(spool->other, PATH_MAX, "%s/%s", spool->folder, name);
    return spool->other;
}

spool_file_t *spool_find(spool_t *spool, dev_t device, ino_t number) {
    for (size_t i = 0; i < spool->count; i++) {
        if (inode_is(&spool->files[i].inode, device, number)) return &spool->files[i];
    }
    return NULL;
}

spool_file_t *spool_named(spool_t *spool, const char *name) {
    for (size_t i = 0; i < spool->count; i++) {
        if (!spool->files[i].is_gone && strcmp(spool->files[i].name, name) == 0) return &spool->files[i];
    }
    return NULL;
}

void spool_lose(spool_t *spool, const char *format, ...) {
    va_list arguments;
    size_t used = spool->lost_due ? strlen(spool->lost) : 0;
    if (used > 0 && used + 2 < sizeof spool->lost) used += (size_t)sprintf(spool->lost + used, "; ");
    va_start(arguments, format);
    vsnprintf(spool->lost + used, sizeof spool->lost - used, format, arguments);
    va_end(arguments);
    spool->lost_due = true;
}

static void file_forget(spool_t *spool, spool_file_t *file) {
    size_t at = (size_t)(file - spool->files);
    if (file->watch >= 0) inotify_rm_watch(spool->notify, file->watch);
    inode_close(&file->inode);
    free(file->name);
    memmove(file, file + 1, (--spool->count - at) * sizeof *file);
    spool->current = spool->count;
}

/* It is followed no more. */
static int file_done(spool_t *spool, spool_file_t *file, fault_t *why) {
    struct stat status;
    if (fstat(file->inode.descriptor, &status) < 0) return fault_errno(why, "cannot read the status of %s", spool->path);
    int64_t changed = status.st_ctim.tv_sec * INT64_C(1000000000) + status.st_ctim.tv_nsec;
    if (!file->is_gone) {
        if (changed > spool->seen_next) spool->seen_next = changed;
        if (!spool->done || strcmp(file->name, spool->done) > 0) {
            free(spool->done);
            spool->done = strdup(file->name);
            must(spool->done);
        }
    }
    file_forget(spool, file);
    return 0;
}

static bool files_stirred(const spool_t *spool, const spool_file_t *but) {
    for (size_t i = 0; i < spool->count; i++) {
        if (spool->files[i].is_stirred && &spool->files[i] != but) return true;
    }
    return false;
}

/* The one that is to be done first: without a name, or the first by its name. */
static spool_file_t *file_oldest(spool_t *spool) {
    spool_file_t *oldest = &spool->files[0];
    for (size_t i = 1; i < spool->count; i++) {
        spool_file_t *file = &spool->files[i];
        if (file->is_gone != oldest->is_gone ? file->is_gone : strcmp(file->name, oldest->name) < 0) oldest = file;
    }
    return oldest;
}

/* ---- the current file ---- */

static spool_file_t *current_file(spool_t *spool) {
    return spool->current < spool->count ? &spool->files[spool->current] : NULL;
}

static void current_keep(spool_t *spool) {
    spool_file_t *file = current_file(spool);
    if (!file || file->is_anew) return;
    file->offset = spool->cutter.offset;
    file->line = spool->cutter.line;
    file->mark = cutter_mark(&spool->cutter);
}

static void current_leave(spool_t *spool) {
    current_keep(spool);
    spool->turn = spool->current + 1;
    spool->current = spool->count;
}

static void lost_changed(spool_t *spool, spool_file_t *file) {
    int64_t size = 0;
    fault_t unread;
    if (inode_size(&file->inode, spool->path, &size, &unread) < 0) size = 0;
    spool_lose(
        spool,
        "%.600s was truncated or replaced: it had been read to byte %lld and has %lld bytes now; what came after that byte before may be "
        "lost",
        spool->path, (long long)file->offset, (long long)size);
    file->is_anew = true;
}

/* Reading goes on in it, if it is what it was. */
static int current_set(spool_t *spool, spool_file_t *file, fault_t *why) {
    bool holds = true;
    spool->current = (size_t)(file - spool->files);
    snprintf(spool->path, PATH_MAX, "%s/%s", spool->folder, file->name);
    if (file->is_anew) {
        file->offset = file->line = 0;
        file->is_anew = false;
    } else if (file->offset > 0 && inode_holds(&file->inode, spool->path, file->offset, file->mark, &holds, why) < 0) {
        return -1;
    }
    if (!holds) lost_changed(spool, file);
    cutter_seek(&spool->cutter, file->inode.descriptor, file->offset, file->line);
    spool->begun = file->offset;
    return 0;
}

static void file_leave(spool_file_t *file) {
    file->is_leaving = file->is_whole = file->is_stirred = true;
}

/* What was written to a file before another got its name comes before what is in that. */
static spool_file_t *file_before(spool_t *spool, spool_file_t *file) {
    struct stat status;
    if (file->offset > 0 || fstat(file->inode.descriptor, &status) < 0 || status.st_size == 0) return file;
    for (size_t i = 0; i < spool->count; i++) {
        spool_file_t *old = &spool->files[i];
        if (old == file || !old->is_gone || strcmp(old->name, file->name) != 0) continue;
        file_leave(old);
        return old;
    }
    return file;
}

/* The next that may have more, after the one that was read last. */
static spool_file_t *file_next(spool_t *spool) {
    for (size_t i = 0; i < spool->count; i++) {
        spool_file_t *file = &spool->files[(spool->turn + i) % spool->count];
        if (file->is_stirred) return file_before(spool, file);
    }
    return NULL;
}

/* ---- new files ---- */

spool_file_t *spool_follow(spool_t *spool, inode_t inode, const char *name) {
    must(spool->count < SPOOL_FOLLOWED);
    spool_file_t *file = &spool->files[spool->count++];
    *file = (spool_file_t){.inode = inode, .watch = -1, .name = strdup(name), .is_stirred = true, .is_leaving = !spool->follow};
    must(file->name);
    spool->current = spool->count;
    return file;
}

enum { FILE_BARRED = 1 };

/* Opens the file, which is then followed. NULL: it is there no more, or no regular file, or followed already; or FILE_BARRED: it may not be read
 * yet. */
static int file_begin(spool_t *spool, const char *name, spool_file_t **ret_file, fault_t *why) {
    inode_t inode;
    struct stat status;
    const char *path = spool_path(spool, name);
    *ret_file = NULL;
    if (stat(path, &status) < 0 && errno == EACCES) {
        if (!spool->follow) return fault_errno(why, "cannot open %s", path);
        snprintf(spool->waits, sizeof spool->waits, "cannot open %.800s: Permission denied", path);
        return FILE_BARRED;
    }
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) || spool_find(spool, status.st_dev, status.st_ino)) return 0;
    if (inode_open(AT_FDCWD, path, path, spool->keys, &inode, why) < 0) {
        if (errno != EACCES || !spool->follow) return errno == ENOENT ? 0 : -1;
        snprintf(spool->waits, sizeof spool->waits, "%s", why->text);
        return FILE_BARRED;
    }
    *ret_file = spool_follow(spool, inode, name);
    return spool_watch_file(spool, *ret_file, why);
}

/* The next name, which is the caller's; NULL: there is none. */
static int name_next(spool_t *spool, char **ret_name, bool *ret_whole, fault_t *why) {
    char *missing = roll_missing(&spool->names);
    int got = missing ? spool_scan(spool, missing, false, why) : 0;
    free(missing);
    *ret_name = got == 0 ? roll_take(&spool->names, ret_whole) : NULL;
    return got;
}

/* Begins the next file, once there is room for it among those that are followed: 1; 0: there is none. */
static int name_begin(spool_t *spool, fault_t *why) {
    char *name;
    bool whole;
    spool_file_t *file;
    if (spool->count == SPOOL_FOLLOWED && (spool->names.count > 0 || spool->names.last)) {
        file_leave(file_oldest(spool));
        return 1;
    }
    spool->waits[0] = '\0';
    if (name_next(spool, &name, &whole, why) < 0) return -1;
    if (!name) return 0;
    int got = file_begin(spool, name, &file, why);
    if (file) file->is_whole = whole;
    if (got == FILE_BARRED) roll_add(&spool->names, name, whole); /* those after it wait as well */
    free(name);
    return got < 0 ? -1 : got != FILE_BARRED;
}

/* ---- reading ---- */

/* It is read to its end and leaves, unless it has grown meanwhile: what has happened to it is in the queue. But not for ever. */
static int file_part(spool_t *spool, size_t index, fault_t *why) {
    if (spool_drain(spool, why) < 0) return -1;
    spool_file_t *file = &spool->files[index];
    if (file->is_stirred && ++file->leaves < LEAVES_MAX) return 0;
    if (file->is_stirred) spool_late(spool, file->name);
    return file_done(spool, file, why);
}

/* What was read may be newer than what was heard of it: half a line, of which the other half is just being written. A lease is given only
 * where nobody has the file open to write to it; who opens it in this moment waits until the lease is given back. */
static bool is_written_to(const spool_t *spool, const spool_file_t *file) {
    struct stat status;
    if (fcntl(file->inode.descriptor, F_SETSIG, SIGURG) < 0) return false;    /* which does nothing */
    bool is_leased = fcntl(file->inode.descriptor, F_SETLEASE, F_RDLCK) == 0; /* to the file's owner, as a rule */
    if (!is_leased && errno == EAGAIN) return true;
    bool has_grown = fstat(file->inode.descriptor, &status) == 0 && status.st_size != cutter_end(&spool->cutter);
    if (is_leased) fcntl(file->inode.descriptor, F_SETLEASE, F_UNLCK);
    return has_grown; /* what told of that is in the queue */
}

/* The current file is at its end: 1 and what is left there, where nobody will add to it; otherwise 0, and it is not current any more. */
static int current_end(spool_t *spool, spool_file_t *file, bytes_t *ret_element, fault_t *why) {
    if (file->is_whole && !cutter_is_empty(&spool->cutter) && is_written_to(spool, file)) file->is_whole = false;
    if (file->is_whole || file->is_leaving) {
        int got = cutter_rest(&spool->cutter, spool->path, ret_element, why);
        if (got != 0) return got;
    }
    size_t index = spool->current;
    file->is_dry = cutter_is_empty(&spool->cutter);
    file->is_stirred = false;
    current_leave(spool);
    return file->is_leaving ? file_part(spool, index, why) : 0;
}

/* Another file has its turn: 1; 0: there is none. */
static int current_choose(spool_t *spool, fault_t *why) {
    for (;;) {
        if (spool_drain(spool, why) < 0) return -1;
        spool_file_t *file = file_next(spool);
        if (file) return current_set(spool, file, why) < 0 ? -1 : 1;
        int begun = name_begin(spool, why);
        if (begun <= 0) return begun;
    }
}

/* More to cut: 1; or an element that is left at the end of a file: 2. 0: nothing for now. */
static int spool_fill(spool_t *spool, bytes_t *ret_element, fault_t *why) {
    spool_file_t *file = current_file(spool);
    if (file && spool->cutter.offset - spool->begun >= TURN_BYTES && files_stirred(spool, file)) {
        current_leave(spool);
        file = NULL;
    }
    if (!file) return current_choose(spool, why);
    int got = cutter_fill(&spool->cutter, file->inode.descriptor, spool->path, why);
    if (got == CUTTER_CHANGED) {
        file->offset = cutter_end(&spool->cutter);
        lost_changed(spool, file);
        return 1;
    }
    if (got != 0) return got;
    got = current_end(spool, file, ret_element, why);
    return got < 0 ? -1 : 1 + got;
}

static int spool_next(void *reading, bytes_t *ret_element, fault_t *why) {
    spool_t *spool = reading;
    for (;;) {
        if (spool->lost_due) {
            spool->lost_due = false;
            current_leave(spool); /* its place may be another from here on */
            return READING_LOST;
        }
        int got = current_file(spool) ? cutter_take(&spool->cutter, spool->path, ret_element, why) : 0;
        if (got != 0) return got;
        got = spool_fill(spool, ret_element, why);
        if (got < 0) return -1;
        if (got == 2) return 1;
        if (got == 1) continue;
        cutter_drop(&spool->cutter); /* it may rest for long */
        return spool->follow ? 0 : READING_END;
    }
}

static const char *spool_lost(const void *reading) {
    const spool_t *spool = reading;
    return spool->lost;
}

/* ---- places ---- */

static void spool_place(void *reading, msgpack_sbuffer *out) {
    spool_t *spool = reading;
    current_keep(spool);
    spool_pack(spool, out);
}

static void spool_clear(spool_t *spool) {
    while (spool->count > 0) file_forget(spool, &spool->files[0]);
    roll_clear(&spool->names);
    free(spool->done);
    spool->done = NULL;
    spool->current = spool->turn = 0;
    spool->seen = spool->seen_next = 0;
    spool->told_count = 0;
    spool->lost_due = false;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const spool_file_t *)a)->name, ((const spool_file_t *)b)->name);
}

/* All that is there now is read, but for what is added to the last files. */
static int spool_skip(spool_t *spool, fault_t *why) {
    char *name;
    bool whole;
    for (;;) {
        spool_file_t *file;
        if (name_next(spool, &name, &whole, why) < 0) return -1;
        if (!name) return 0;
        int got = spool->count == SPOOL_FOLLOWED ? file_done(spool, file_oldest(spool), why) : 0;
        file = NULL;
        if (got == 0) got = file_begin(spool, name, &file, why);
        free(name);
        if (got == FILE_BARRED) return fault_set(why, "%s", spool->waits); /* where its end is cannot be known */
        if (got < 0) return -1;
        if (!file) continue;
        if (inode_last_line(&file->inode, spool->folder, &file->offset, why) < 0 ||
            inode_mark(&file->inode, spool->folder, file->offset, &file->mark, why) < 0)
            return -1;
        file->line = file->offset > 0 ? -1 : 0;
    }
}

static int spool_start(void *reading, bool at_end, fault_t *why) {
    spool_t *spool = reading;
    spool_clear(spool);
    if (spool_scan(spool, NULL, false, why) < 0) return -1;
    return at_end ? spool_skip(spool, why) : 0;
}

static int spool_resume(void *reading, bytes_t cursor, fault_t *why) {
    spool_t *spool = reading;
    spool_place_t places[SPOOL_FOLLOWED];
    size_t count;
    spool_clear(spool);
    if (!spool_parse(spool, cursor, places, &count)) return READING_ALIEN;
    if (spool_find_places(spool, places, count, why) < 0) return -1;
    qsort(spool->files, spool->count, sizeof spool->files[0], by_name);
    return spool_scan(spool, NULL, true, why);
}

static void spool_where(const void *reading, char *text, size_t size) {
    const spool_t *spool = reading;
    cutter_where(&spool->cutter, spool->path, text, size);
}

static int spool_descriptor(const void *reading) {
    const spool_t *spool = reading;
    return spool->notify;
}

static int spool_wake(void *reading, fault_t *why) {
    return spool_drain(reading, why);
}

/* ---- life ---- */

static void spool_destroy(void **reading) {
    spool_t *spool = *reading;
    if (!spool) return;
    spool_clear(spool);
    cutter_fini(&spool->cutter);
    if (spool->notify >= 0) close(spool->notify);
    free(spool->folder);
    free(spool->pattern);
    free(spool->keys);
    free(spool->path);
    free(spool->other);
    free(spool);
    *reading = NULL;
}

static int spool_readable(const spool_t *spool, fault_t *why) {
    DIR *folder = opendir(spool->folder);
    if (!folder) return fault_errno(why, "cannot read the folder %s", spool->folder);
    closedir(folder);
    return 0;
}

static void *spool_create(const reading_spec_t *spec, fault_t *why) {
    void *state = calloc(1, sizeof(spool_t));
    must(state);
    spool_t *spool = state;
    spool->follow = spec->follow;
    spool->notify = -1;
    spool->folder = strdup(spec->path);
    spool->pattern = spec->pattern ? strdup(spec->pattern) : NULL;
    spool->keys = strdup(spec->keys);
    spool->path = malloc(PATH_MAX);
    spool->other = malloc(PATH_MAX);
    must(spool->folder && (spool->pattern || !spec->pattern) && spool->keys && spool->path && spool->other);
    cutter_init(&spool->cutter, spec->cut, spec->element_max);
    if (spool_readable(spool, why) < 0 || (spool->follow && spool_watch(spool, why) < 0)) spool_destroy(&state);
    return state;
}

static const char *spool_waits(const void *reading) {
    const spool_t *spool = reading;
    return spool->waits[0] != '\0' ? spool->waits : NULL;
}

const reading_class_t spool_reading = {
    .create = spool_create,
    .destroy = spool_destroy,
    .start = spool_start,
    .resume = spool_resume,
    .next = spool_next,
    .lost = spool_lost,
    .place = spool_place,
    .where = spool_where,
    .waits = spool_waits,
    .descriptor = spool_descriptor,
    .wake = spool_wake,
};
