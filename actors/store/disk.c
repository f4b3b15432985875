/* A disk that fails on request. It counts the accesses and not the time, so that a test knows which of them failed: the next ones. */
#include "disk.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    int number;
} errors[] = {{"EDQUOT", EDQUOT}, {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}};

int disk_error(const char *name) {
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, name) == 0) return errors[i].number;
    return 0;
}

bool disk_fails(disk_t *disk) {
    if (!disk || disk->failing == 0) return false;
    disk->failing--;
    errno = disk->error;
    return true;
}
