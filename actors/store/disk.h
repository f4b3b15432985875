/* What a disk does that fails on request: tests of the whole engine say how often, and with which error. One that nobody asked fails never. */
#ifndef REPRISE_DISK_H
#define REPRISE_DISK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct disk {
    int64_t failing; /* so many accesses more */
    int error;       /* with this errno */
} disk_t;

#define DISK_ERRORS "`EDQUOT`, `EIO`, `ENOSPC` or `EROFS`"
/* The errno of that name; 0: none that it knows. */
int disk_error(const char *name);
/* True: this access fails, and errno says why. `disk` may be NULL. */
bool disk_fails(disk_t *disk);

#endif
