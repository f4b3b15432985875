/* A file of lines. Its library is the C library's getline. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outside.h"

enum { LINES_A_SECOND = 5000000 };

static void path_of(const outside_t *outside, char ret_path[96]) {
    snprintf(ret_path, 96, "%s/lines", outside->folder);
}

static int file_open(outside_t *outside, fault_t *why) {
    char path[96];
    int port;
    size_t size = (size_t)outside->bench->size;
    if (outside_prepare(outside, &port, why) < 0) return -1;
    path_of(outside, path);
    FILE *file = fopen(path, "w");
    if (!file) return fault_errno(why, "cannot create %s", path);
    char *line = malloc(size + 2);
    must(line);
    memset(line, 'x', size);
    line[size] = '\n';
    outside->elements = outside_enough(outside, LINES_A_SECOND);
    for (int64_t i = 0; i < outside->elements; i++) fwrite(line, 1, size + 1, file);
    free(line);
    return fclose(file) == 0 ? 0 : fault_errno(why, "cannot write %s", path);
}

static int file_read(outside_t *outside, meter_t *meter, fault_t *why) {
    char path[96], *line = NULL;
    size_t room = 0;
    path_of(outside, path);
    FILE *file = fopen(path, "r");
    if (!file) return fault_errno(why, "cannot read %s", path);
    while (getline(&line, &room, file) > 0 && meter_one(meter)) continue;
    free(line);
    fclose(file);
    return 0;
}

static void file_pack(const outside_t *outside, msgpack_packer *packer) {
    char path[96];
    path_of(outside, path);
    msgpack_pack_map(packer, 1);
    outside_pack_text(packer, "path", path);
}

const outside_kind_t outside_file = {.name = "file",
                                     .what = "lines of a file",
                                     .peer = "getline",
                                     .open = file_open,
                                     .read = file_read,
                                     .pack = file_pack,
                                     .close = outside_stop};
