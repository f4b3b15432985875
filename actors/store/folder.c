/* The data folder belongs to one process at a time: two that append to one recording would destroy it, so the lock comes before all else.
 *
 * Recordings come and go by rename. `.new-<id>` is what a crash left of one half made: the next owner of the lock clears it away.
 * `.drop-<id>.<n>` is the trash, which is swept a file at a time by whoever has the time. */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "manifest.h"

#define TRASH ".drop-"

enum { DROPS_MAX = 1000 }; /* recordings of one id in the trash */

static int path_of(char ret_path[PATH_MAX], fault_t *why, const char *data, const char *middle, const char *last) {
    if (snprintf(ret_path, PATH_MAX, "%s%s%s", data, middle, last) >= PATH_MAX)
        return fault_set(why, "the path %s%s%s is too long", data, middle, last);
    return 0;
}

/* Creates a folder and those above it. What is recorded is for whoever recorded it: one that is there already stays as open as it is. */
static int folder_make(const char *path, fault_t *why) {
    char part[PATH_MAX];
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/') size--;
    if (size == 0 || size >= sizeof part) return fault_set(why, "cannot create the folder \"%s\": no path, or one that is too long", path);
    memcpy(part, path, size);
    part[size] = 0;
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST) return fault_errno(why, "cannot create the folder %s", part);
        *slash = '/';
    }
    if (mkdir(part, 0700) < 0 && errno != EEXIST) return fault_errno(why, "cannot create the folder %s", part);
    return 0;
}

static int folder_tidy(const char *recordings, fault_t *why) {
    int failed = 0;
    DIR *dir = opendir(recordings);

    if (!dir) return fault_errno(why, "cannot read the folder %s", recordings);
    for (struct dirent *entry = readdir(dir); entry && failed == 0; entry = readdir(dir)) {
        char path[PATH_MAX];

        if (strncmp(entry->d_name, ".new-", 5) != 0) continue;
        failed = path_of(path, why, recordings, "/", entry->d_name) < 0 || folder_remove(path, why) < 0 ? -1 : 0;
    }
    closedir(dir);
    return failed;
}

/* Who has the lock: what he wrote into the file. */
static int lock_taken(int descriptor, const char *data, fault_t *why) {
    char text[32] = "";
    ssize_t got = pread(descriptor, text, sizeof text - 1, 0);
    long pid = got > 0 ? strtol(text, NULL, 10) : 0;

    if (pid > 0)
        fault_set(why, "the data folder %s is in use by the process %ld", data, pid);
    else
        fault_set(why, "the data folder %s is in use by another process", data);
    return -2;
}

int folder_lock(const char *data, fault_t *why) {
    char lock[PATH_MAX], recordings[PATH_MAX], text[32];
    int descriptor, size, failed = -1;

    if (path_of(lock, why, data, "/", "lock") < 0 || path_of(recordings, why, data, "/", "recordings") < 0 || folder_make(data, why) < 0 ||
        folder_make(recordings, why) < 0)
        return -1;
    descriptor = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) return fault_errno(why, "cannot open %s", lock);
    if (flock(descriptor, LOCK_EX | LOCK_NB) < 0) {
        failed = errno == EWOULDBLOCK ? lock_taken(descriptor, data, why) : fault_errno(why, "cannot lock %s", lock);
        goto fail;
    }
    size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(descriptor, 0) < 0 || pwrite(descriptor, text, (size_t)size, 0) != size) {
        fault_errno(why, "cannot write %s", lock);
        goto fail;
    }
    if (folder_tidy(recordings, why) < 0) goto fail;
    return descriptor;
fail:
    close(descriptor);
    return failed;
}

/* An id comes from a client and becomes a path: it must not lead anywhere else. */
static bool recording_named(const char *recording) {
    return recording[0] != 0 && recording[0] != '.' && !strchr(recording, '/') && strlen(recording) <= 200;
}

static int name_order(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int folder_recordings(const char *data, names_t *ret_names, fault_t *why) {
    names_t names = {0};
    char recordings[PATH_MAX];
    size_t room = 0;
    DIR *dir;

    if (path_of(recordings, why, data, "/", "recordings") < 0) return -1;
    dir = opendir(recordings);
    if (!dir) return fault_errno(why, "cannot read the folder %s", recordings);
    for (;;) {
        struct stat status;

        errno = 0;
        struct dirent *entry = readdir(dir);

        if (!entry && errno != 0) goto fail;
        if (!entry) break;
        if (!recording_named(entry->d_name) || fstatat(dirfd(dir), entry->d_name, &status, 0) < 0 || !S_ISDIR(status.st_mode)) continue;
        if (names.count == room) {
            room = room ? 2 * room : 16;
            names.items = realloc(names.items, room * sizeof *names.items);
            must(names.items);
        }
        names.items[names.count] = strdup(entry->d_name);
        must(names.items[names.count]);
        names.count++;
    }
    closedir(dir);
    if (names.count > 0) qsort(names.items, names.count, sizeof *names.items, name_order);
    *ret_names = names;
    return 0;
fail:
    fault_errno(why, "cannot read the folder %s", recordings);
    closedir(dir);
    folder_free(&names);
    return -1;
}

void folder_free(names_t *names) {
    for (size_t i = 0; i < names->count; i++) free((char *)(uintptr_t)names->items[i]);
    free(names->items);
    *names = (names_t){0};
}

void folder_recording_path(const char *data, const char *recording, char *ret_path, size_t size) {
    must((size_t)snprintf(ret_path, size, "%s/recordings/%s", data, recording) < size);
}

int folder_manifest(const char *data, const char *recording, msg_manifest_t **ret_manifest, fault_t *why) {
    char path[PATH_MAX];

    if (!recording_named(recording)) return fault_set(why, "\"%s\" is not the name of a recording", recording);
    if (path_of(path, why, data, "/recordings/", recording) < 0) return -1;
    return manifest_read(path, ret_manifest, why);
}

int folder_remove(const char *path, fault_t *why) {
    int failed = 0;
    DIR *dir = opendir(path);

    if (!dir) return errno == ENOENT ? 0 : fault_errno(why, "cannot read the folder %s", path);
    for (struct dirent *entry = readdir(dir); entry && failed == 0; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
            failed = fault_errno(why, "cannot delete %s/%s", path, entry->d_name);
    }
    closedir(dir);
    if (failed == 0 && rmdir(path) < 0 && errno != ENOENT) failed = fault_errno(why, "cannot delete the folder %s", path);
    return failed;
}

int folder_drop(const char *data, const char *recording, fault_t *why) {
    char path[PATH_MAX], gone[PATH_MAX], name[256];

    if (!recording_named(recording)) return fault_set(why, "\"%s\" is not the name of a recording", recording);
    if (path_of(path, why, data, "/recordings/", recording) < 0) return -1;
    for (int i = 0; i < DROPS_MAX; i++) { /* one of its name may be there still */
        snprintf(name, sizeof name, "%s.%d", recording, i);
        if (path_of(gone, why, data, "/recordings/" TRASH, name) < 0) return -1;
        if (rename(path, gone) == 0 || errno == ENOENT) return 0;
        if (errno != ENOTEMPTY && errno != EEXIST) break;
    }
    return fault_errno(why, "cannot delete the recording %s", path);
}

/* ---- the trash ---- */

static bool is_trash(const struct dirent *entry) {
    return strncmp(entry->d_name, TRASH, strlen(TRASH)) == 0;
}

static bool is_itself(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
}

/* Deletes one file of a folder, or the folder where it is empty. */
static int trash_remove_one(const char *path, fault_t *why) {
    DIR *dir = opendir(path);
    struct dirent *entry;
    int failed = 0;

    if (!dir) return fault_errno(why, "cannot read the folder %s", path);
    do entry = readdir(dir);
    while (entry && is_itself(entry));
    if (entry && unlinkat(dirfd(dir), entry->d_name, 0) < 0) failed = fault_errno(why, "cannot delete %s/%s", path, entry->d_name);
    if (!entry && rmdir(path) < 0) failed = fault_errno(why, "cannot delete the folder %s", path);
    closedir(dir);
    return failed;
}

int folder_sweep(const char *data, fault_t *why) {
    char recordings[PATH_MAX], path[PATH_MAX];
    int result = 0;

    if (path_of(recordings, why, data, "/", "recordings") < 0) return -1;

    DIR *dir = opendir(recordings);

    if (!dir) return errno == ENOENT ? 0 : fault_errno(why, "cannot read the folder %s", recordings);
    for (struct dirent *entry; result <= 0 && (entry = readdir(dir));) {
        if (!is_trash(entry)) continue;
        result = path_of(path, why, recordings, "/", entry->d_name) == 0 && trash_remove_one(path, why) == 0 ? 1 : -1;
    }
    closedir(dir);
    return result;
}

static int64_t trash_folder_bytes(int recordings, const char *name) {
    int descriptor = openat(recordings, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = descriptor < 0 ? NULL : fdopendir(descriptor);
    struct stat status;
    int64_t bytes = 0;

    if (!dir && descriptor >= 0) close(descriptor);
    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (!is_itself(entry) && fstatat(descriptor, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0) bytes += status.st_blocks * 512;
    closedir(dir);
    return bytes;
}

static int64_t trash_bytes(const char *data) {
    char recordings[PATH_MAX];
    fault_t why;
    int64_t bytes = 0;
    DIR *dir = path_of(recordings, &why, data, "/", "recordings") == 0 ? opendir(recordings) : NULL;

    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (is_trash(entry)) bytes += trash_folder_bytes(dirfd(dir), entry->d_name);
    closedir(dir);
    return bytes;
}

int folder_free_bytes(const char *data, int64_t *ret_bytes, fault_t *why) {
    struct statvfs status;
    int64_t trash =
        trash_bytes(data); /* before it is looked at: what is let go in between is free twice, for a moment, rather than never */

    if (statvfs(data, &status) < 0) return fault_errno(why, "cannot read the free space of %s", data);
    *ret_bytes = (int64_t)(status.f_bavail * status.f_frsize) + trash;
    return 0;
}
