/* A writer: the segment file that is being appended to. */
#ifndef REPRISE_WRITER_H
#define REPRISE_WRITER_H

#include <sys/uio.h>

#include "segment.h"

typedef struct writer {
    int descriptor;     /* -1: none is open */
    uint64_t length;    /* valid bytes; the file has no more */
    uint64_t reserved;  /* bytes from the file's beginning that the disk has set aside; UINT64_MAX: it cannot */
    uint64_t room;      /* no more than this is set aside for the file */
    uint64_t kept_back; /* of what is set aside, only an append that says so may use the last bytes */
    char path[SEGMENT_PATH_SIZE];
} writer_t;

/* Creates the file; it must not exist. */
int writer_create(writer_t *writer, const char *folder, uint64_t number, uint64_t room, uint64_t kept_back, fault_t *why);
/* Opens one that exists, and cuts it to `length`. */
int writer_open(writer_t *writer, const char *folder, uint64_t number, uint64_t length, uint64_t room, uint64_t kept_back, fault_t *why);
/* Appends `size` bytes in all; `parts` is used up. `closing`: use what is kept back. On failure the file is as it was. */
int writer_append(writer_t *writer, struct iovec *parts, size_t count, size_t size, bool closing, fault_t *why);
/* Somebody will open it and go on: what was set aside stays. Does not wait for a write of the disk that is under way, as cutting would. */
void writer_leave(writer_t *writer);
/* Gives back what was set aside and not used. */
void writer_close(writer_t *writer);
/* Deletes the file. */
void writer_abandon(writer_t *writer);

#endif
