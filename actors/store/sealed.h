/* A small file that must be right or not at all: a msgpack map, then a msgpack uint32 (0xce) with the CRC32C of the map's bytes. */
#ifndef REPRISE_SEALED_H
#define REPRISE_SEALED_H

#include <msgpack.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

/* Puts the checksum behind the map that `file` holds. */
void sealed_close(msgpack_sbuffer *file);
/* Writes over the file where it lies, or creates it. Who dies in between can leave what sealed_read refuses. `settle`: waits until the disk
 * has its content. */
int sealed_overwrite(const char *path, const msgpack_sbuffer *file, bool settle, fault_t *why);
/* Reads a file and checks it. `ret_map` points into `ret_data`, which is to be freed. */
int sealed_read(const char *path, uint8_t **ret_data, bytes_t *ret_map, fault_t *why);

#endif
