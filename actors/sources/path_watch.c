/* A folder that is taken away is not told of by its own watch as long as one of its files is open, and the one that is read is: hence the one
 * above. A watch is set before the thing that it is for is looked at, so that nothing can come between. */
#include "path_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "notify.h"

enum {
    IN_FOLDER = HEIRS_EVENTS | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF, /* attributes: a file may be opened that could not */
    IN_ABOVE = IN_FOLDER,
    GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED,
};

/* Two things may be watched in one folder. */
static int watch_add(const path_watch_t *watch, const char *path, uint32_t events) {
    return inotify_add_watch(watch->notify, path, events | IN_MASK_ADD);
}

static bool is_missing(void) {
    return errno == ENOENT || errno == ENOTDIR || errno == EACCES;
}

/* Once it is of no use. */
static void watch_drop(const path_watch_t *watch, int dropped) {
    if (dropped >= 0 && dropped != watch->watched && dropped != watch->above && dropped != watch->target)
        inotify_rm_watch(watch->notify, dropped);
}

/* Of the nearest folder above: -1, and errno. */
static int above_watch(const path_watch_t *watch) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", watch->folder);
    for (;;) {
        char *slash = strrchr(path, '/');
        bool is_last = !slash || slash == path;
        if (is_last)
            snprintf(path, sizeof path, "%s", slash ? "/" : ".");
        else
            *slash = '\0';
        int above = watch_add(watch, path, IN_ABOVE);
        if (above >= 0 || is_last || !is_missing()) return above;
    }
}

/* The folder, and the watch of this very one: -1, and errno. */
static int folder_open(const path_watch_t *watch, int *ret_descriptor) {
    char path[32];
    *ret_descriptor = open(watch->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    if (*ret_descriptor < 0) return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", *ret_descriptor);
    int watched = watch_add(watch, path, IN_FOLDER), error = errno;
    if (watched < 0) close(*ret_descriptor);
    errno = error;
    return watched;
}

/* Has the name a link in it, or parts that lead back? */
static bool is_direct(const char *folder) {
    char real[PATH_MAX], here[PATH_MAX] = "";
    if (!realpath(folder, real) || (folder[0] != '/' && !getcwd(here, sizeof here))) return false;
    size_t size = strlen(here);
    if (strcmp(folder, ".") == 0) return strcmp(here, real) == 0;
    return strncmp(here, real, size) == 0 && strcmp(real + size + (size > 0), folder) == 0;
}

/* Where the folder is not there, the one above has been watched since before it was looked for, and so has its own place. */
static int folder_watch(path_watch_t *watch, fault_t *why) {
    int descriptor = -1, watched = -1, above = -1, before = -1;
    do {
        before = above;
        above = above_watch(watch);
        if (before != above) watch_drop(watch, before);
        watched = folder_open(watch, &descriptor);
        if (watched < 0 && (above < 0 || !is_missing())) return fault_errno(why, "cannot watch the folder %s", watch->folder);
    } while (watched < 0 && above != before);
    int old_watched = watch->watched, old_above = watch->above;
    if (watch->descriptor >= 0) close(watch->descriptor);
    watch->descriptor = watched < 0 ? -1 : descriptor;
    watch->watched = watched;
    watch->above = above;
    watch->is_direct = is_direct(watch->folder);
    watch_drop(watch, old_watched);
    watch_drop(watch, old_above);
    return 0;
}

int path_watch_renew(path_watch_t *watch, fault_t *why) {
    int before = watch->watched;
    if (!watch->is_stale) return 0;
    watch->is_stale = false;
    return folder_watch(watch, why) < 0 ? -1 : watch->watched != before;
}

void path_watch_settle(const path_watch_t *watch) {
    char entries[512];
    if (watch->descriptor < 0) return;
    lseek(watch->descriptor, 0, SEEK_SET);
    ssize_t got = getdents64(watch->descriptor, entries, sizeof entries);
    (void)got;
}

enum { LINKS_MAX = 40 /* as the kernel follows */ };

/* Cuts the last part off, which is returned. */
static const char *path_split(char path[PATH_MAX]) {
    char *slash = strrchr(path, '/');
    if (!slash) return NULL;
    char *name = slash + 1;
    if (slash == path) memmove(++name, slash + 1, strlen(slash + 1) + 1);
    slash[slash == path ? 1 : 0] = '\0';
    return name;
}

/* Where the path leads from link to link, although nothing may be there yet: false where it is no link. */
static bool link_follow(const path_watch_t *watch, char path[PATH_MAX]) {
    char link[PATH_MAX], next[PATH_MAX];
    snprintf(path, PATH_MAX, "%s/%s", watch->folder, watch->base);
    for (int i = 0; i < LINKS_MAX; i++) {
        ssize_t size = readlink(path, link, sizeof link - 1);
        if (size < 0) return i > 0;
        link[size] = '\0';
        const char *slash = strrchr(path, '/');
        int before = link[0] == '/' ? 0 : (int)(slash - path) + 1;
        if (snprintf(next, sizeof next, "%.*s%s", before, path, link) >= PATH_MAX) return false;
        memcpy(path, next, sizeof next);
    }
    return false;
}

/* That the rotations of a file behind a link come is seen there; all else is seen from the path. */
void path_watch_link(path_watch_t *watch) {
    char path[PATH_MAX];
    int before = watch->target;
    const char *name;
    free(watch->target_name);
    watch->target_name = NULL;
    watch->target = -1;
    watch->is_blind = watch->notify >= 0 && watch->watched < 0 && access(watch->path, F_OK) == 0;
    if (watch->notify >= 0 && link_follow(watch, path) && (name = path_split(path))) {
        watch->target_name = strdup(name);
        must(watch->target_name);
        watch->target = watch_add(watch, path, HEIRS_EVENTS | IN_ATTRIB);
        watch->is_blind |= watch->target < 0 && errno == EACCES;
    }
    watch_drop(watch, before);
}

bool path_watch_sees_all(const path_watch_t *watch) {
    return watch->notify < 0 || (watch->watched >= 0 && watch->is_direct && !watch->target_name);
}

void path_watch_check(path_watch_t *watch) {
    struct stat now, then;
    bool is_there = stat(watch->folder, &now) == 0;
    watch->is_stale |= is_there != (watch->watched >= 0);
    if (is_there && watch->watched >= 0 && fstat(watch->descriptor, &then) == 0)
        watch->is_stale |= now.st_dev != then.st_dev || now.st_ino != then.st_ino;
    path_watch_link(watch);
}

void path_watch_opened(path_watch_t *watch) {
    watch->arrivals = 0;
    path_watch_link(watch);
}

int path_watch_file(path_watch_t *watch, int descriptor, fault_t *why) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    int file = inotify_add_watch(watch->notify, path, IN_MODIFY);
    return file < 0 ? fault_errno(why, "cannot watch %s", watch->path) : file;
}

void path_watch_forget(path_watch_t *watch, int file) {
    inotify_rm_watch(watch->notify, file);
}

/* Is it of interest to the path? */
static bool on_event(path_watch_t *watch, const struct inotify_event *event, heirs_t *heirs) {
    const char *slash = strrchr(watch->folder, '/'), *folder = slash ? slash + 1 : watch->folder;
    bool is_folders = event->wd == watch->watched, is_above = event->wd == watch->above;
    bool is_gone = (is_folders || is_above) && (event->mask & GONE);
    bool is_stale = is_gone || (is_above && (watch->watched < 0 || (event->len > 0 && strcmp(event->name, folder) == 0)));
    if (is_folders) heirs_note(heirs, watch->base, event);
    if (event->wd == watch->target && event->len > 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)))
        watch->arrivals += strcmp(event->name, watch->target_name) == 0;
    watch->is_stale |= is_stale;
    return is_stale || is_folders || !is_above || event->wd == watch->target;
}

int path_watch_read(path_watch_t *watch, heirs_t *heirs, fault_t *why) {
    _Alignas(struct inotify_event) char events[4096];
    ssize_t got;
    bool any = false;
    unsigned arrivals = watch->arrivals;
    if (watch->notify < 0) return 0;
    while ((got = read(watch->notify, events, sizeof events)) > 0) {
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *)at;
            if (event->mask & IN_Q_OVERFLOW)
                heirs->too_many = watch->is_stale = any = true;
            else
                any |= on_event(watch, event, heirs);
            at += sizeof *event + event->len;
        }
    }
    if (errno != EAGAIN) return fault_errno(why, "cannot watch %s", watch->path);
    heirs->too_many |= watch->arrivals > 1 && watch->arrivals != arrivals;
    return any;
}

int path_watch_init(path_watch_t *watch, const char *path, bool follow, fault_t *why) {
    *watch = PATH_WATCH_NONE;
    watch->path = strdup(path);
    must(watch->path);
    const char *slash = strrchr(watch->path, '/');
    watch->base = slash ? slash + 1 : watch->path;
    while (slash > watch->path && slash[-1] == '/') slash--;
    watch->folder = !slash ? strdup(".") : slash == watch->path ? strdup("/") : strndup(path, (size_t)(slash - watch->path));
    must(watch->folder);
    if (!follow) return 0;
    watch->notify = notify_open(path, why);
    if (watch->notify < 0) return -1;
    if (folder_watch(watch, why) < 0) return -1;
    path_watch_link(watch);
    if (!watch->is_blind) return 0;
    errno = EACCES; /* the file may be opened by those who know its name, but who comes is not told */
    return fault_errno(why, "cannot watch the folder of %s", path);
}

void path_watch_fini(path_watch_t *watch) {
    if (watch->descriptor >= 0) close(watch->descriptor);
    if (watch->notify >= 0) close(watch->notify);
    free(watch->target_name);
    free(watch->folder);
    free(watch->path);
    *watch = PATH_WATCH_NONE;
}
