/* Lines from a descriptor, as they come: what is there is taken without waiting for more, so that a line that a program writes now is
 * pushed now. */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../messages/wire.h"

enum { PIECE = 64 * 1024 };

void lines_init(lines_t *lines, int descriptor, const char *name) {
    *lines = (lines_t){.descriptor = descriptor, .name = name};
}

void lines_fini(lines_t *lines) {
    free(lines->data);
    *lines = (lines_t){0};
}

int lines_read(lines_t *lines, fault_t *why) {
    if (lines->begin > 0) {
        memmove(lines->data, lines->data + lines->begin, lines->size - lines->begin);
        lines->size -= lines->begin;
        lines->looked -= lines->begin;
        lines->begin = 0;
    }
    if (lines->size > WIRE_MESSAGE_MAX) {
        return fault_set(why, "%s has a line of more than %d bytes, the most that a message may have", lines->name, WIRE_MESSAGE_MAX);
    }
    if (lines->room < lines->size + PIECE) {
        lines->room = 2 * lines->size + PIECE;
        lines->data = realloc(lines->data, lines->room);
        must(lines->data);
    }
    ssize_t size = read(lines->descriptor, lines->data + lines->size, lines->room - lines->size);
    if (size == -1) {
        return errno == EINTR || errno == EAGAIN ? 0 : fault_errno(why, "cannot read %s", lines->name);
    }
    lines->ended = size == 0;
    lines->size += (size_t)size;
    return 0;
}

bool lines_next(lines_t *lines, bytes_t *ret_line) {
    if (lines->begin == lines->size) {
        return false;
    }
    const uint8_t *end = memchr(lines->data + lines->looked, '\n', lines->size - lines->looked);
    if (!end && !lines->ended) {
        lines->looked = lines->size;
        return false;
    }
    size_t stop = end ? (size_t)(end - lines->data) : lines->size;
    *ret_line = (bytes_t){lines->data + lines->begin, stop - lines->begin};
    lines->begin = lines->looked = end ? stop + 1 : stop;
    return true;
}
