/* The checksum is a second msgpack value, so that the file stays plain msgpack. */
#include "sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "record.h"

enum { TRAILER_SIZE = 5, FILE_MAX = 256 * 1024 * 1024 };

static void sealed_trailer(const void *map, size_t size, uint8_t ret_trailer[TRAILER_SIZE]) {
    uint32_t sum = checksum_of(0, map, size);

    ret_trailer[0] = 0xce;
    for (int i = 0; i < 4; i++) ret_trailer[1 + i] = (uint8_t)(sum >> (24 - 8 * i));
}

void sealed_close(msgpack_sbuffer *file) {
    uint8_t trailer[TRAILER_SIZE];

    sealed_trailer(file->data, file->size, trailer);
    must(msgpack_sbuffer_write(file, (const char *)trailer, sizeof trailer) == 0);
}

int sealed_overwrite(const char *path, const msgpack_sbuffer *file, bool settle, fault_t *why) {
    struct stat status;
    int failed = -1, descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    if (descriptor < 0) return fault_errno(why, "cannot create %s", path);
    ssize_t written = pwrite(descriptor, file->data, file->size, 0);

    if (written >= 0 && written < (ssize_t)file->size)
        errno = ENOSPC;
    else if (written >= 0 && fstat(descriptor, &status) == 0)
        failed = (size_t)status.st_size > file->size ? ftruncate(descriptor, written) : 0;
    if (failed == 0 && settle) failed = fsync(descriptor);
    if (failed < 0) fault_errno(why, "cannot write %s", path);
    close(descriptor);
    return failed;
}

static int sealed_load(const char *path, uint8_t **ret_data, size_t *ret_size, fault_t *why) {
    uint8_t *data = NULL;
    size_t size = 0;
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    if (descriptor < 0) return fault_errno(why, "cannot open %s", path);
    if (fstat(descriptor, &status) < 0) goto fail;
    if (status.st_size > FILE_MAX) {
        errno = EFBIG;
        goto fail;
    }
    data = malloc((size_t)status.st_size + 1);
    must(data);
    while (size < (size_t)status.st_size) {
        ssize_t got = read(descriptor, data + size, (size_t)status.st_size - size);

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) goto fail;
        if (got == 0) break;
        size += (size_t)got;
    }
    close(descriptor);
    *ret_data = data;
    *ret_size = size;
    return 0;
fail:
    fault_errno(why, "cannot read %s", path);
    close(descriptor);
    free(data);
    return -1;
}

static int sealed_check(const char *path, bytes_t file, bytes_t *ret_map, fault_t *why) {
    uint8_t trailer[TRAILER_SIZE];
    refusal_t no;

    if (file.size <= TRAILER_SIZE) return fault_set(why, "%s is damaged: it has only %zu bytes", path, file.size);
    *ret_map = (bytes_t){file.data, file.size - TRAILER_SIZE};
    sealed_trailer(ret_map->data, ret_map->size, trailer);
    if (memcmp(trailer, file.data + ret_map->size, TRAILER_SIZE) != 0)
        return fault_set(why, "%s is damaged: its checksum does not match", path);
    return wire_walk_own(*ret_map, &no) < 0 ? fault_set(why, "%s is damaged: %s", path, no.message) : 0;
}

int sealed_read(const char *path, uint8_t **ret_data, bytes_t *ret_map, fault_t *why) {
    uint8_t *data = NULL;
    size_t size = 0;

    if (sealed_load(path, &data, &size, why) < 0) return -1;
    if (sealed_check(path, (bytes_t){data, size}, ret_map, why) < 0) {
        free(data);
        return -1;
    }
    *ret_data = data;
    return 0;
}
