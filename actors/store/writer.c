/* Appends to a segment file: one writev an append, no byte copied, and never a half record left behind that could be cut off.
 *
 * Space is set aside ahead of the end without growing the file (FALLOC_FL_KEEP_SIZE), in steps that grow with it: so the records that
 * close a recording have room on a full disk, and a small recording does not hold much of it. */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_MIN = 1024 * 1024, STEP_MAX = 16 * 1024 * 1024 };

int writer_create(writer_t *writer, const char *folder, uint64_t number, uint64_t room, uint64_t kept_back, fault_t *why) {
    *writer = (writer_t){.descriptor = -1, .room = room, .kept_back = kept_back};
    segment_path(folder, number, writer->path);
    writer->descriptor = open(writer->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return writer->descriptor < 0 ? fault_errno(why, "cannot create %s", writer->path) : 0;
}

int writer_open(writer_t *writer, const char *folder, uint64_t number, uint64_t length, uint64_t room, uint64_t kept_back, fault_t *why) {
    struct stat status;

    *writer = (writer_t){.descriptor = -1, .length = length, .reserved = length, .room = room, .kept_back = kept_back};
    segment_path(folder, number, writer->path);
    writer->descriptor = open(writer->path, O_RDWR | O_CLOEXEC);
    if (writer->descriptor < 0) return fault_errno(why, "cannot open %s", writer->path);
    if ((fstat(writer->descriptor, &status) < 0 || (uint64_t)status.st_size != length) &&
        ftruncate(writer->descriptor, (off_t)length) < 0) {
        fault_errno(why, "cannot cut %s to %llu bytes", writer->path, (unsigned long long)length);
        close(writer->descriptor);
        writer->descriptor = -1;
        return -1;
    }
    return 0;
}

static int writer_reserve(writer_t *writer, size_t size, fault_t *why) {
    uint64_t need = writer->length + size + writer->kept_back, step = writer->length, upto;

    if (need <= writer->reserved) return 0;
    step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
    upto = need + step < writer->room ? need + step : writer->room;
    upto = upto < need ? need : upto;
    while (fallocate(writer->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)writer->reserved, (off_t)(upto - writer->reserved)) < 0) {
        if (errno == EINTR) continue;
        if (errno == ENOSPC && upto > need) {
            upto = need;
            continue;
        }
        if (errno == ENOSPC || errno == EDQUOT) return fault_errno(why, "cannot append to %s", writer->path);
        writer->reserved = UINT64_MAX; /* this file system cannot: the write itself will tell */
        return 0;
    }
    writer->reserved = upto;
    return 0;
}

/* Takes `done` bytes off the front of `parts`. */
static void parts_advance(struct iovec **parts, size_t *count, size_t done) {
    while (*count > 0 && done >= (*parts)->iov_len) {
        done -= (*parts)->iov_len;
        ++*parts;
        --*count;
    }
    if (done > 0) {
        (*parts)->iov_base = (uint8_t *)(*parts)->iov_base + done;
        (*parts)->iov_len -= done;
    }
}

int writer_append(writer_t *writer, struct iovec *parts, size_t count, size_t size, bool closing, fault_t *why) {
    uint64_t at = writer->length;

    if (!closing && writer_reserve(writer, size, why) < 0) return -1;
    for (parts_advance(&parts, &count, 0); count > 0;) {
        ssize_t done = pwritev(writer->descriptor, parts, count < IOV_MAX ? (int)count : IOV_MAX, (off_t)at);

        if (done < 0 && errno == EINTR) continue;
        if (done == 0) errno = EIO;
        if (done <= 0) goto fail;
        at += (uint64_t)done;
        parts_advance(&parts, &count, (size_t)done);
    }
    must(at == writer->length + size);
    writer->length = at;
    return 0;
fail:
    fault_errno(why, "cannot append to %s", writer->path);
    if (ftruncate(writer->descriptor, (off_t)writer->length) < 0)
        return -1; /* what is left is a torn tail: the next append goes over it, or recovery cuts it off */
    if (writer->reserved == UINT64_MAX) return -1;
    writer->reserved = writer->length; /* the cut gave everything back */
    if (fallocate(writer->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)writer->length, (off_t)writer->kept_back) == 0)
        writer->reserved += writer->kept_back;
    return -1;
}

void writer_leave(writer_t *writer) {
    if (writer->descriptor >= 0) close(writer->descriptor);
    writer->descriptor = -1;
}

void writer_close(writer_t *writer) {
    struct stat status;

    if (writer->descriptor < 0) return;
    /* To its own length: that gives back what was set aside behind it. If it fails, some disk space is lost until it is dropped. */
    if (fstat(writer->descriptor, &status) == 0 && (uint64_t)status.st_size == writer->length &&
        ftruncate(writer->descriptor, (off_t)writer->length) < 0)
        writer->reserved = writer->length;
    close(writer->descriptor);
    writer->descriptor = -1;
}

void writer_abandon(writer_t *writer) {
    if (writer->descriptor < 0) return;
    close(writer->descriptor);
    unlink(writer->path);
    writer->descriptor = -1;
}
