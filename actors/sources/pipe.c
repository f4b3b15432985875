/* A named pipe as a reading. It has no positions: what was read and is not recorded when the engine dies, or when the recorder loses its state,
 * is lost, and so a place in it is a gap. A pipe that is followed is held open for writing too, as it would be at an end whenever no writer has it.
 *
 * Whoever has this one does not read while the recorder takes no more, and must not be woken by what waits in the pipe then. So the pipe is not
 * watched itself, but through an epoll that tells of each arrival once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "feed.h"
#include "reading.h"

enum { LOST_SIZE = 900 };

typedef struct pipe {
    char *path;
    bool follow;
    int descriptor, edges; /* edges: the epoll */
    cutter_t cutter;
    bool lost_due; /* that something may be lost is to be said */
    char lost[LOST_SIZE];
} pipe_t;

static void pipe_destroy(void **reading) {
    pipe_t *pipe = *reading;
    if (!pipe) return;
    if (pipe->edges >= 0) close(pipe->edges);
    if (pipe->descriptor >= 0) close(pipe->descriptor);
    cutter_fini(&pipe->cutter);
    free(pipe->path);
    free(pipe);
    *reading = NULL;
}

static void *pipe_create(const reading_spec_t *spec, fault_t *why) {
    void *state = calloc(1, sizeof(pipe_t));
    must(state);
    pipe_t *pipe = state;
    pipe->path = strdup(spec->path);
    must(pipe->path);
    pipe->follow = spec->follow;
    pipe->edges = -1;
    cutter_init(&pipe->cutter, spec->cut, spec->element_max);
    pipe->descriptor = open(spec->path, (spec->follow ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (pipe->descriptor < 0) {
        fault_errno(why, "cannot open %s", spec->path);
        goto fail;
    }
    struct epoll_event arrivals = {.events = EPOLLIN | EPOLLET};
    pipe->edges = epoll_create1(EPOLL_CLOEXEC);
    if (pipe->edges < 0 || epoll_ctl(pipe->edges, EPOLL_CTL_ADD, pipe->descriptor, &arrivals) < 0) {
        fault_errno(why, "cannot watch %s", spec->path);
        goto fail;
    }
    return state;
fail:
    pipe_destroy(&state);
    return NULL;
}

static int pipe_start(void *reading, bool at_end, fault_t *why) {
    pipe_t *pipe = reading;
    (void)at_end, (void)why; /* nothing in a pipe is older than its reader */
    cutter_set(&pipe->cutter, 0, 0);
    return 0;
}

static int pipe_resume(void *reading, bytes_t cursor, fault_t *why) {
    pipe_t *pipe = reading;
    int64_t before;
    (void)why;
    if (!feed_cursor_read(cursor, &before, 1) || before < 0) return READING_ALIEN;
    cutter_set(&pipe->cutter, 0, before);
    snprintf(pipe->lost, sizeof pipe->lost, "%.400s is a pipe: what was read from it before and not recorded is lost", pipe->path);
    pipe->lost_due = true;
    return 0;
}

static bool pipe_is_left(const pipe_t *pipe) {
    struct pollfd state = {.fd = pipe->descriptor};
    return poll(&state, 1, 0) == 1 && (state.revents & POLLHUP); /* there was a writer, and there is none */
}

static int pipe_next(void *reading, bytes_t *ret_element, fault_t *why) {
    pipe_t *pipe = reading;
    if (pipe->lost_due) {
        pipe->lost_due = false;
        return READING_LOST;
    }
    for (;;) {
        int got = cutter_take(&pipe->cutter, pipe->path, ret_element, why);
        if (got != 0) return got;
        got = cutter_pour(&pipe->cutter, pipe->descriptor, pipe->path, why);
        if (got == -1) return -1;
        if (got == 1) continue;
        if (got == 0 && !pipe->follow && pipe_is_left(pipe)) {
            got = cutter_rest(&pipe->cutter, pipe->path, ret_element, why);
            return got == 0 ? READING_END : got;
        }
        if (cutter_is_empty(&pipe->cutter)) cutter_drop(&pipe->cutter);
        return 0;
    }
}

static const char *pipe_lost(const void *reading) {
    const pipe_t *pipe = reading;
    return pipe->lost;
}

static void pipe_place(void *reading, msgpack_sbuffer *out) {
    const pipe_t *pipe = reading;
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 1);
    msgpack_pack_int64(&packer, pipe->cutter.line);
}

static void pipe_where(const void *reading, char *text, size_t size) {
    const pipe_t *pipe = reading;
    cutter_where(&pipe->cutter, pipe->path, text, size);
}

static int pipe_descriptor(const void *reading) {
    const pipe_t *pipe = reading;
    return pipe->edges;
}

static int pipe_wake(void *reading, fault_t *why) {
    const pipe_t *pipe = reading;
    struct epoll_event arrival;
    return epoll_wait(pipe->edges, &arrival, 1, 0) >= 0 || errno == EINTR ? 0 : fault_errno(why, "cannot watch %s", pipe->path);
}

const reading_class_t pipe_reading = {
    .create = pipe_create,
    .destroy = pipe_destroy,
    .start = pipe_start,
    .resume = pipe_resume,
    .next = pipe_next,
    .lost = pipe_lost,
    .place = pipe_place,
    .where = pipe_where,
    .descriptor = pipe_descriptor,
    .wake = pipe_wake,
};
