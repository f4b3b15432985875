/* What is in the folder, and what happens there. The kernel says in one queue what happens to names (a watch of the folder) and to files that
 * are followed, by whatever name (a watch of each).
 *
 * A name that is not after the last one that is done, and is not followed, is done. If it comes anew, out of order, while the folder is watched,
 * that is seen; while it is not watched, times tell: a file that was made after the last change that is known of must be new, and one that was
 * only changed may be either, so it is said that something may be lost. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xxhash.h>

#include "notify.h"
#include "spool.h"

enum {
    IN_FOLDER =
        IN_ATTRIB | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF,
    IN_FILE = IN_MODIFY | IN_CLOSE_WRITE,
};

int spool_watch(spool_t *spool, fault_t *why) {
    spool->notify = notify_open(spool->folder, why);
    if (spool->notify < 0) return -1;
    spool->watch = inotify_add_watch(spool->notify, spool->folder, IN_FOLDER);
    return spool->watch < 0 ? fault_errno(why, "cannot watch the folder %s", spool->folder) : 0;
}

int spool_watch_file(spool_t *spool, spool_file_t *file, fault_t *why) {
    char path[32];
    if (!spool->follow) return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file->inode.descriptor);
    file->watch = inotify_add_watch(spool->notify, path, IN_FILE);
    return file->watch < 0 ? fault_errno(why, "cannot watch %s/%s", spool->folder, file->name) : 0;
}

static bool is_ours(const spool_t *spool, const char *name) {
    return name[0] != '.' && (!spool->pattern || fnmatch(spool->pattern, name, FNM_PERIOD) == 0);
}

static bool is_done(const spool_t *spool, const char *name) {
    return spool->done && strcmp(name, spool->done) <= 0;
}

/* ---- names ---- */

static int64_t ns_of(struct statx_timestamp time) {
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* What has that name now. False: nothing that could be read, and errno. */
static bool name_look(spool_t *spool, const char *name, struct statx *ret_status) {
    errno = 0;
    return statx(AT_FDCWD, spool_path(spool, name), 0, STATX_TYPE | STATX_INO | STATX_CTIME | STATX_BTIME, ret_status) == 0 &&
           S_ISREG(ret_status->stx_mode);
}

static spool_file_t *file_of(spool_t *spool, const struct statx *status) {
    return spool_find(spool, makedev(status->stx_dev_major, status->stx_dev_minor), status->stx_ino);
}

static void name_lose(spool_t *spool, const char *name) {
    spool_file_t *file = spool_named(spool, name);
    if (!file) return;
    file->is_gone = true;
    file->is_stirred = true;
}

static void name_give(spool_file_t *file, const char *name) {
    free(file->name);
    file->name = strdup(name);
    must(file->name);
    file->is_gone = false;
}

/* The name has come, or has another file now. */
static void name_take(spool_t *spool, const char *name, bool whole) {
    struct statx status;
    if (!name_look(spool, name, &status)) {
        if (errno == EACCES) roll_add(&spool->names, name, whole); /* the folder is shut: it is looked at when its turn has come */
        return;
    }
    spool_file_t *file = file_of(spool, &status);
    if (file && !file->is_gone) { /* it was found by another name, or by this one already */
        if (whole && strcmp(file->name, name) == 0) file->is_whole = file->is_stirred = true;
        return;
    }
    if (file) {
        name_give(file, name);
        return;
    }
    name_lose(spool, name); /* the one that it was moved over */
    if (is_done(spool, name) && roll_upto(&spool->names, spool->done) == SPOOL_AMISS)
        spool_lose(spool, "%.400s/%.255s came after %.255s, which is after it, was done, as did %d others: it is not read", spool->folder,
                   name, spool->done, SPOOL_AMISS);
    else if (!roll_note(&spool->names, name, whole))
        roll_add(&spool->names, name, whole);
}

/* After a time in which nobody watched. */
static void name_find(spool_t *spool, const char *name, size_t *changed) {
    struct statx status;
    if (!name_look(spool, name, &status)) {
        if (errno == EACCES && !is_done(spool, name)) roll_add(&spool->names, name, false);
        return;
    }
    spool_file_t *file = file_of(spool, &status);
    if (file) {
        if (file->is_gone) name_give(file, name);
    } else if (!is_done(spool, name) || ((status.stx_mask & STATX_BTIME) && ns_of(status.stx_btime) > spool->seen)) {
        roll_add(&spool->names, name, false);
    } else if (ns_of(status.stx_ctime) > spool->seen && ++*changed == 1) {
        spool_lose(spool, "%.400s/%.255s came or was changed while nobody looked, and %.255s, which is after it, is done: it is not read",
                   spool->folder, name, spool->done);
    }
}

int spool_scan(spool_t *spool, const char *after, bool anew, fault_t *why) {
    size_t changed = 0;
    DIR *folder = opendir(spool->folder);
    if (!folder) return fault_errno(why, "cannot read the folder %s", spool->folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!is_ours(spool, entry->d_name) || (after && strcmp(entry->d_name, after) <= 0)) continue;
        if (anew)
            name_find(spool, entry->d_name, &changed);
        else if (!spool_named(spool, entry->d_name) && !is_done(spool, entry->d_name))
            roll_add(&spool->names, entry->d_name, false);
    }
    closedir(folder);
    return 0;
}

/* ---- places ---- */

static int place_open(spool_t *spool, spool_place_t *place, const char *name, bool is_ours, fault_t *why) {
    inode_t inode;
    const char *path = spool_path(spool, name);
    if (inode_open(AT_FDCWD, path, path, spool->keys, &inode, why) < 0)
        return errno == EACCES ? -1 : 0; /* it is gone after all, or another */
    if (!inode_is(&inode, (dev_t)place->at.device, (ino_t)place->at.inode)) {
        inode_close(&inode);
        return 0;
    }
    place->is_found = true;
    spool_file_t *file = spool_follow(spool, inode, is_ours ? name : place->name);
    file->is_gone = !is_ours;
    file->offset = place->at.offset;
    file->line = place->at.line;
    file->mark = place->at.mark;
    return spool_watch_file(spool, file, why);
}

static int places_find(spool_t *spool, spool_place_t *places, size_t count, bool ours, fault_t *why) {
    DIR *folder = opendir(spool->folder);
    if (!folder) return fault_errno(why, "cannot read the folder %s", spool->folder);
    int got = 0;
    for (struct dirent *entry; got == 0 && (entry = readdir(folder));) {
        struct stat status;
        if (is_ours(spool, entry->d_name) != ours) continue;
        if (stat(spool_path(spool, entry->d_name), &status) < 0) {
            if (errno == EACCES) got = fault_errno(why, "cannot read the status of %s/%s", spool->folder, entry->d_name);
            continue;
        }
        for (size_t i = 0; i < count && got == 0; i++) {
            spool_place_t *place = &places[i];
            if (!place->is_found && (int64_t)status.st_dev == place->at.device && (int64_t)status.st_ino == place->at.inode)
                got = place_open(spool, place, entry->d_name, ours, why);
        }
    }
    closedir(folder);
    return got;
}

int spool_find_places(spool_t *spool, spool_place_t *places, size_t count, fault_t *why) {
    if (places_find(spool, places, count, true, why) < 0 || places_find(spool, places, count, false, why) < 0) return -1;
    for (size_t i = 0; i < count; i++) {
        if (!places[i].is_found)
            spool_lose(spool, "%.400s/%.255s is gone: it had been read to byte %lld; what came after that byte may be lost", spool->folder,
                       places[i].name, (long long)places[i].at.offset);
    }
    return 0;
}

/* ---- events ---- */

static uint64_t hash_of(const char *name) {
    return XXH3_64bits(name, strlen(name));
}

void spool_late(spool_t *spool, const char *name) {
    uint64_t hash = hash_of(name);
    if (spool->told_count == SPOOL_TOLD) return;
    for (size_t i = 0; i < spool->told_count; i++) {
        if (spool->told[i] == hash) return;
    }
    spool->told[spool->told_count++] = hash;
    spool_lose(spool, "%.400s/%.255s was written to after it was done, as %d others are followed: what it has since is not read%s",
               spool->folder, name, SPOOL_FOLLOWED, spool->told_count == SPOOL_TOLD ? ", nor is it said of more files" : "");
}

static void written(spool_t *spool, const struct inotify_event *event, spool_file_t *file) {
    bool whole = event->mask & IN_CLOSE_WRITE;
    if (file) {
        file->is_whole = whole;
        file->is_stirred = true;
    } else if (!roll_note(&spool->names, event->name, whole)) {
        uint64_t hash = hash_of(event->name);
        if (whole)
            spool->closed = hash;
        else if (spool->closed == hash)
            spool->closed = 0;
        if (!whole && is_done(spool, event->name)) spool_late(spool, event->name);
    }
}

static void on_name(spool_t *spool, const struct inotify_event *event) {
    if (!is_ours(spool, event->name)) return;
    if (event->mask & IN_MOVED_FROM) { /* what is only called otherwise may still be written to */
        spool->moved = event->cookie;
        spool->is_moved_whole = spool->closed == hash_of(event->name) || roll_is_whole(&spool->names, event->name);
    }
    if (event->mask & (IN_CREATE | IN_MOVED_TO))
        name_take(spool, event->name, (event->mask & IN_MOVED_TO) && (event->cookie != spool->moved || spool->is_moved_whole));
    else if (event->mask & (IN_DELETE | IN_MOVED_FROM))
        name_lose(spool, event->name);
    else if (!(event->mask & IN_ATTRIB)) /* it may be readable now: that is tried anyhow */
        written(spool, event, spool_named(spool, event->name));
}

static void on_file(spool_t *spool, const struct inotify_event *event) {
    for (size_t i = 0; i < spool->count; i++) {
        if (spool->files[i].watch == event->wd) written(spool, event, &spool->files[i]);
    }
}

/* So much has happened that the kernel has kept none of it. */
static int on_overflow(spool_t *spool, fault_t *why) {
    for (size_t i = 0; i < spool->count; i++) spool->files[i].is_gone = spool->files[i].is_stirred = true;
    return spool_scan(spool, NULL, true, why);
}

static int on_event(spool_t *spool, const struct inotify_event *event, fault_t *why) {
    if (event->mask & IN_Q_OVERFLOW) return on_overflow(spool, why);
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) return fault_set(why, "the folder %s is gone", spool->folder);
    if (event->mask & IN_IGNORED) return 0;
    if (event->wd == spool->watch && event->len > 0)
        on_name(spool, event);
    else
        on_file(spool, event);
    return 0;
}

int spool_drain(spool_t *spool, fault_t *why) {
    _Alignas(struct inotify_event) char events[4096];
    int64_t seen = spool->seen_next; /* what happened before these were looked at is in the queue now */
    ssize_t got;
    if (!spool->follow) {
        spool->seen = seen;
        return 0;
    }
    while ((got = read(spool->notify, events, sizeof events)) > 0) {
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *)at;
            if (on_event(spool, event, why) < 0) return -1;
            at += sizeof *event + event->len;
        }
    }
    if (errno != EAGAIN) return fault_errno(why, "cannot watch %s", spool->folder);
    spool->seen = seen;
    return 0;
}
