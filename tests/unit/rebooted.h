/* What the files of a recording look like once the machine has started anew: its checkpoint is of another run. */
#ifndef REPRISE_TEST_REBOOTED_H
#define REPRISE_TEST_REBOOTED_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actors/store/checkpoint.h"
#include "actors/store/sealed.h"
#include "actors/store/segment.h"

/* The checkpoint that is there becomes one of an earlier run. */
static inline void machine_restarts_as_it_is(const char *folder) {
    static const char earlier[32] = "00000000000000000000000000000000";
    char path[SEGMENT_PATH_SIZE], file[256];

    must(snprintf(path, sizeof path, "%s/" CHECKPOINT_FILE, folder) < (int)sizeof path);

    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    ssize_t size = read(descriptor, file, sizeof file);
    char *run = memmem(file, sizeof file, "run", 3);
    msgpack_sbuffer out;

    must(size > 5 && run);
    memcpy(run + 3 + 2, earlier, sizeof earlier); /* behind its key and its head */
    msgpack_sbuffer_init(&out);
    must(msgpack_sbuffer_write(&out, file, (size_t)size - 5) == 0);
    sealed_close(&out);
    must(pwrite(descriptor, out.data, out.size, 0) == size);
    close(descriptor);
    msgpack_sbuffer_destroy(&out);
}

static inline void machine_restarts(const char *folder, const checkpoint_t *checkpoint) {
    fault_t why;

    must(checkpoint_write(folder, checkpoint, false, &why) == 0);
    machine_restarts_as_it_is(folder);
}

#endif
