/* The kernel tells of names, and a name may be another file's by the time that it is opened. So a file counts as the one that was told of only if
 * its name has not changed between: which is asked after it was opened. */
#include "succession.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 1000 }; /* to open a file whose name changes all the while */

/* ---- files ---- */

static void successor_close(succession_t *s, successor_t *file) {
    if (file->watch >= 0) path_watch_forget(&s->watch, file->watch);
    inode_close(&file->inode);
    file->watch = -1;
}

static int successor_watch(succession_t *s, successor_t *file, fault_t *why) {
    if (!s->follow) return 0;
    file->watch = path_watch_file(&s->watch, file->inode.descriptor, why);
    return file->watch < 0 ? -1 : 0;
}

static int name_open(const succession_t *s, int folder, const char *name, inode_t *ret_inode, fault_t *why) {
    return inode_open(folder, name, s->watch.path, s->keys, ret_inode, why);
}

static bool is_open(const succession_t *s, dev_t device, ino_t number) {
    for (size_t i = 0; i < s->count; i++) {
        if (inode_is(&s->next[i].inode, device, number)) return true;
    }
    return inode_is(&s->now.inode, device, number);
}

bool succession_knows(const succession_t *s, dev_t device, ino_t number) {
    return is_open(s, device, number) || inode_is(&s->barred, device, number);
}

bool succession_is_passing(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES;
}

/* ---- who comes next ---- */

/* Takes the file. */
static int next_push(succession_t *s, inode_t inode, fault_t *why) {
    if (s->count == SUCCESSION_MAX || is_open(s, inode.device, inode.number)) {
        s->is_missing |= s->count == SUCCESSION_MAX;
        inode_close(&inode);
        return 0;
    }
    s->next[s->count] = (successor_t){inode, -1, s->is_missing || s->watch.is_blind, s->is_elsewhere};
    s->is_missing = s->is_elsewhere = false;
    path_watch_opened(&s->watch);
    return successor_watch(s, &s->next[s->count++], why);
}

/* What could not be read may be by now, by whatever name. If it cannot and has lost the path, nobody will be able to. */
static int barred_look(succession_t *s, fault_t *why) {
    inode_t inode;
    struct stat status;
    if (s->barred.descriptor < 0) return 0;
    if (inode_reopen(&s->barred, s->watch.path, s->keys, &inode, why) == 0) {
        inode_close(&s->barred);
        return next_push(s, inode, why);
    }
    if (errno != EACCES) return -1;
    bool is_told = stat(s->watch.path, &status) == 0;
    if (is_told ? inode_is(&s->barred, status.st_dev, status.st_ino) : errno == EACCES) return 0;
    inode_close(&s->barred);
    s->is_missing = true;
    return 0;
}

/* What a name stands for, as far as it can be opened. */
typedef struct candidate {
    inode_t inode; /* none: it could not be opened */
    bool is_held;  /* it may not be read */
    int error;     /* as inode_open has it */
    fault_t why;
} candidate_t;

static void candidate_open(const succession_t *s, int folder, const char *name, candidate_t *ret_candidate) {
    candidate_t *candidate = ret_candidate;
    candidate->inode = INODE_NONE;
    candidate->is_held = false;
    if (name_open(s, folder, name, &candidate->inode, &candidate->why) == 0) return;
    candidate->error = errno;
    candidate->is_held = errno == EACCES && inode_hold(folder, name, &candidate->inode);
}

/* It comes next, unless it is known. */
static int candidate_take(succession_t *s, candidate_t *candidate, fault_t *why) {
    if (barred_look(s, why) < 0) {
        inode_close(&candidate->inode);
        return -1;
    }
    if (candidate->is_held) {
        inode_close(&s->barred);
        s->barred = candidate->inode;
        path_watch_link(&s->watch);
        return barred_look(s, why);
    }
    if (candidate->inode.descriptor >= 0) return next_push(s, candidate->inode, why);
    return succession_is_passing(candidate->error) ? 0 : fault_set(why, "%s", candidate->why.text);
}

/* Half of a rename may be told of: then the other half is by now. */
static int heir_settle(succession_t *s, heirs_t *heirs, fault_t *why) {
    path_watch_settle(&s->watch);
    return path_watch_read(&s->watch, heirs, why) < 0 ? -1 : 0;
}

static bool heir_is_here(const heir_t *heir) {
    return !heir->is_lost && heir->cookie == 0;
}

/* Opens the first of those who have come. */
static int heir_open(succession_t *s, heirs_t *heirs, fault_t *why) {
    const heir_t *heir = &heirs->list[0];
    if (!heir_is_here(heir) && heir_settle(s, heirs, why) < 0) return -1;
    for (int i = 0; i < TRIES && heir_is_here(heir); i++) {
        candidate_t candidate;
        unsigned changes = heir->changes;
        candidate_open(s, s->watch.descriptor, heir->name, &candidate);
        bool is_read = heir_settle(s, heirs, why) == 0;
        if (is_read && heir_is_here(heir) && heir->changes == changes) {
            bool leads_nowhere = candidate.inode.descriptor < 0 && candidate.error == ENOENT; /* a link */
            s->is_missing |= heirs->too_many || (candidate.inode.descriptor < 0 && !leads_nowhere);
            return candidate_take(s, &candidate, why);
        }
        inode_close(&candidate.inode);
        if (!is_read) return -1;
        if (!heir_is_here(heir) && heir_settle(s, heirs, why) < 0) return -1;
    }
    s->is_missing = true; /* it was deleted, or has left the folder */
    return 0;
}

static int folder_renew(succession_t *s, fault_t *why) {
    int renewed = path_watch_renew(&s->watch, why);
    s->is_elsewhere |= renewed > 0; /* who came to the path in the new folder before is not known */
    return renewed < 0 ? -1 : 0;
}

static int heirs_open(succession_t *s, heirs_t *heirs, fault_t *why) {
    if (barred_look(s, why) < 0) return -1;
    for (; heirs->count > 0; heirs_drop(heirs)) {
        if (heir_open(s, heirs, why) < 0) return -1;
    }
    s->is_missing |= heirs->too_many;
    return folder_renew(s, why);
}

int succession_note(succession_t *s, fault_t *why) {
    heirs_t heirs;
    heirs_init(&heirs);
    int any = path_watch_read(&s->watch, &heirs, why);
    return any > 0 && heirs_open(s, &heirs, why) < 0 ? -1 : any;
}

/* What has the path now is next, unless others came to it before: those are told of by then. */
static int path_open(succession_t *s, fault_t *why) {
    candidate_t candidate;
    heirs_t heirs;
    heirs_init(&heirs);
    candidate_open(s, AT_FDCWD, s->watch.path, &candidate);
    path_watch_settle(&s->watch);
    int any = path_watch_read(&s->watch, &heirs, why);
    if (any >= 0 && heirs.count == 0 && !heirs.too_many && !s->watch.is_stale) return candidate_take(s, &candidate, why) < 0 ? -1 : any;
    inode_close(&candidate.inode);
    return any < 0 || heirs_open(s, &heirs, why) < 0 ? -1 : any;
}

static void waits_set(succession_t *s, int error) {
    char reason[128];
    snprintf(s->waits, sizeof s->waits, "cannot open %.500s: %s", s->watch.path, strerror_r(error, reason, sizeof reason));
}

bool succession_is_to_be_looked_at(const succession_t *s) {
    return s->follow && (s->waits[0] != '\0' || !path_watch_sees_all(&s->watch));
}

/* Opens what has the path, if that is not known. */
static int path_look(succession_t *s, fault_t *why) {
    struct stat status;
    size_t count = s->count;
    if (stat(s->watch.path, &status) < 0) {
        if (!succession_is_passing(errno)) return fault_errno(why, "cannot read the status of %s", s->watch.path);
        waits_set(s, errno);
        return 0;
    }
    s->waits[0] = '\0';
    int any = succession_knows(s, status.st_dev, status.st_ino) ? 0 : path_open(s, why);
    return any < 0 ? -1 : any || s->count > count;
}

int succession_look(succession_t *s, fault_t *why) {
    if (succession_is_to_be_looked_at(s)) path_watch_check(&s->watch);
    if (folder_renew(s, why) < 0 || barred_look(s, why) < 0) return -1;
    bool waited = s->waits[0] != '\0';
    int any = path_look(s, why);
    if (any == 0 && s->waits[0] != '\0' && !waited) { /* whatever it waits for is watched before it is looked at again */
        path_watch_check(&s->watch);
        any = path_look(s, why);
    }
    if (s->barred.descriptor >= 0) waits_set(s, EACCES);
    return any;
}

void succession_advance(succession_t *s) {
    successor_close(s, &s->now);
    s->now = s->next[0];
    memmove(s->next, s->next + 1, --s->count * sizeof s->next[0]);
}

/* ---- going back ---- */

bool succession_find(const succession_t *s, const inode_place_t *place, inode_t *ret_inode, bool *ret_renamed) {
    fault_t unread;
    *ret_renamed = false;
    if (name_open(s, AT_FDCWD, s->watch.path, ret_inode, &unread) == 0) {
        if (inode_is_at(ret_inode, place)) return true;
        inode_close(ret_inode);
    }
    DIR *folder = opendir(s->watch.folder);
    if (!folder) return false;
    for (struct dirent *entry; !*ret_renamed && (entry = readdir(folder));) {
        if ((int64_t)entry->d_ino != place->inode || name_open(s, dirfd(folder), entry->d_name, ret_inode, &unread) < 0) continue;
        *ret_renamed = inode_is_at(ret_inode, place);
        if (!*ret_renamed) inode_close(ret_inode);
    }
    closedir(folder);
    return *ret_renamed;
}

int succession_go_back(succession_t *s, inode_t before, fault_t *why) {
    if (!succession_has_now(s)) {
        /* nothing comes after it yet */
    } else if (s->count == SUCCESSION_MAX) {
        successor_close(s, &s->now);
        s->next[0].after_loss = true;
    } else {
        memmove(s->next + 1, s->next, s->count++ * sizeof s->next[0]);
        s->next[0] = s->now;
    }
    s->now = (successor_t){.inode = before, .watch = -1};
    return successor_watch(s, &s->now, why);
}

/* ---- life ---- */

int succession_first(succession_t *s, fault_t *why) {
    for (int i = 0; i < TRIES; i++) {
        heirs_t heirs;
        inode_t inode;
        heirs_init(&heirs);
        int got = name_open(s, AT_FDCWD, s->watch.path, &inode, why), error = errno;
        path_watch_settle(&s->watch);
        if (path_watch_read(&s->watch, &heirs, why) < 0) break;
        bool is_first = heirs.count == 0 && !s->watch.is_stale; /* those that had the path meanwhile were before it */
        errno = error;
        if (is_first && got < 0) return -1;
        if (is_first) {
            s->now = (successor_t){.inode = inode, .watch = -1};
            path_watch_opened(&s->watch);
            return successor_watch(s, &s->now, why);
        }
        if (got == 0) inode_close(&inode);
        if (path_watch_renew(&s->watch, why) < 0) break;
        fault_set(why, "%s is another file each time that it is looked at", s->watch.path);
    }
    errno = 0;
    return -1;
}

int succession_init(succession_t *s, const char *path, const char *keys, bool follow, fault_t *why) {
    *s = (succession_t){.follow = follow, .now = SUCCESSOR_NONE, .barred = INODE_NONE};
    s->keys = strdup(keys);
    must(s->keys);
    return path_watch_init(&s->watch, path, follow, why);
}

void succession_fini(succession_t *s) {
    for (size_t i = 0; i < s->count; i++) successor_close(s, &s->next[i]);
    successor_close(s, &s->now);
    inode_close(&s->barred);
    path_watch_fini(&s->watch);
    free(s->keys);
}
