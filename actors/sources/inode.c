/* The mark makes the difference between a file and another that was given its number, and between one that has grown and one that was cut and
 * has grown past the old position again. It is of few bytes, as it is made for every batch. */
#include "inode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "../store/keyring.h"

int inode_open(int folder, const char *name, const char *path, const char *keys, inode_t *ret_inode, fault_t *why) {
    struct stat status;
    int descriptor = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe without a writer would make it wait */
    if (descriptor < 0) return fault_errno(why, "cannot open %s", path);
    if (fstat(descriptor, &status) < 0) {
        fault_errno(why, "cannot read the status of %s", path);
        goto fail;
    }
    if (!S_ISREG(status.st_mode)) {
        fault_set(why, "%s is not a regular file", path);
        goto fail;
    }
    if (keyring_has(keys, &status)) {
        fault_set(why, "%s is the engine's own key, which is nobody's to record", path);
        goto fail;
    }
    *ret_inode = (inode_t){descriptor, status.st_dev, status.st_ino};
    return 0;
fail:
    close(descriptor);
    errno = 0;
    return -1;
}

bool inode_hold(int folder, const char *name, inode_t *ret_inode) {
    struct stat status;
    inode_t inode = {.descriptor = openat(folder, name, O_PATH | O_CLOEXEC)};
    if (inode.descriptor >= 0 && fstat(inode.descriptor, &status) < 0) inode_close(&inode);
    if (inode.descriptor < 0) return false;
    *ret_inode = (inode_t){inode.descriptor, status.st_dev, status.st_ino};
    return true;
}

int inode_reopen(const inode_t *held, const char *path, const char *keys, inode_t *ret_inode, fault_t *why) {
    char at[32];
    snprintf(at, sizeof at, "/proc/self/fd/%d", held->descriptor);
    return inode_open(AT_FDCWD, at, path, keys, ret_inode, why);
}

void inode_close(inode_t *inode) {
    if (inode->descriptor >= 0) close(inode->descriptor);
    *inode = INODE_NONE;
}

int inode_size(const inode_t *inode, const char *path, int64_t *ret_size, fault_t *why) {
    struct stat status;
    if (fstat(inode->descriptor, &status) < 0) return fault_errno(why, "cannot read the status of %s", path);
    *ret_size = status.st_size;
    return 0;
}

int inode_mark(const inode_t *inode, const char *path, int64_t offset, int64_t *ret_mark, fault_t *why) {
    uint8_t bytes[INODE_MARK_BYTES];
    size_t size = offset < INODE_MARK_BYTES ? (size_t)offset : INODE_MARK_BYTES;
    ssize_t got = size > 0 ? pread(inode->descriptor, bytes, size, offset - (int64_t)size) : 0;
    if (got < 0) return fault_errno(why, "cannot read %s", path);
    *ret_mark = inode_mark_of(bytes, (size_t)got);
    return 0;
}

int64_t inode_mark_of(const uint8_t *bytes, size_t size) {
    return (int64_t)XXH3_64bits(bytes, size);
}

int inode_holds(const inode_t *inode, const char *path, int64_t offset, int64_t mark, bool *ret_holds, fault_t *why) {
    int64_t now = 0;
    if (inode_mark(inode, path, offset, &now, why) < 0) return -1;
    *ret_holds = now == mark;
    return 0;
}

bool inode_is_at(const inode_t *inode, const inode_place_t *place) {
    fault_t unread;
    bool holds = false;
    return inode_is(inode, (dev_t)place->device, (ino_t)place->inode) &&
           inode_holds(inode, "", place->offset, place->mark, &holds, &unread) == 0 && holds;
}

int inode_last_line(const inode_t *inode, const char *path, int64_t *ret_offset, fault_t *why) {
    uint8_t block[4096];
    int64_t end = 0;
    if (inode_size(inode, path, &end, why) < 0) return -1;
    while (end > 0) {
        int64_t begin = end > (int64_t)sizeof block ? end - (int64_t)sizeof block : 0;
        ssize_t got = pread(inode->descriptor, block, (size_t)(end - begin), begin);
        if (got < 0) return fault_errno(why, "cannot read %s", path);
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
