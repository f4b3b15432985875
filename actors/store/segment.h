/* A segment file, mapped: what reader, recovery and verification read records from.
 *
 * A map may be larger than its file, so that a file that grows need not be mapped again; nothing past its written end is read. A read error
 * of the disk reaches a mapped file as SIGBUS: here it becomes SEGMENT_UNREADABLE. */
#ifndef REPRISE_SEGMENT_H
#define REPRISE_SEGMENT_H

#include <stdatomic.h>

#include "../../messages/fault.h"
#include "record.h"

enum { SEGMENT_UNREADABLE = -2, SEGMENT_PATH_SIZE = 4096 };

typedef struct segment {
    const uint8_t *data;
    size_t size;        /* of the map */
    atomic_int holders; /* unmapped when the last lets go */
} segment_t;

void segment_path(const char *folder, uint64_t number, char ret_path[SEGMENT_PATH_SIZE]);
/* The numbers that name the segments of a folder, sorted. Free it. */
int segment_list(const char *folder, uint64_t **ret_numbers, size_t *ret_count, fault_t *why);

/* Opens one to read; -1 and `why` where that fails. `ret_size` is the file's. */
int segment_open(const char *folder, uint64_t number, uint64_t *ret_size, fault_t *why);
/* Maps `size` bytes (1 or more) of an open file; the caller holds it. The descriptor may be closed. `path` is for the fault only. */
segment_t *segment_map(int descriptor, size_t size, const char *path, fault_t *why);
segment_t *segment_hold(segment_t *segment);
void segment_release(segment_t **segment);

/* As record_read of the bytes from `offset` to `end`, or SEGMENT_UNREADABLE. */
int64_t segment_read(const segment_t *segment, uint64_t offset, uint64_t end, bool check, record_view_t *ret_record);

/* Where the next valid record begins, from `offset` on, that can follow the record before `number`: its number is `number` or more, no more than
 * the bytes between could hold. `end` where there is none; SEGMENT_UNREADABLE. This tells a torn tail from damage. */
int64_t segment_find(const segment_t *segment, uint64_t offset, uint64_t end, uint64_t number);

#endif
