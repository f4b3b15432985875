/* A source's payload, checked more strictly than a message: it is written by hand, and what it says is recorded for good. */
#ifndef REPRISE_PAYLOAD_H
#define REPRISE_PAYLOAD_H

#include "../../messages/codec.h"
#include "../../messages/fault.h"

/* Decodes the payload of a source into `out`, a record of that class; of size 0, it is as an empty map. Anything but a map, and a field
 * that the record does not have, is a fault. Texts are made in `zone`. */
int payload_decode(const record_class_t *record, const char *urn, bytes_t payload, msgpack_zone *zone, void *out, fault_t *why);

/* Gives the index of `value` in `choices`, a list that NULL ends, or 0 where `value` is NULL. */
int payload_choice(const char *urn, const char *field, const char *value, const char *const *choices, unsigned *ret_choice, fault_t *why);

/* A file that the payload names, or a folder: the engine's own key in the folder `keys` is nobody's to use, and what is no file cannot be read at once. */
int payload_file_check(const char *urn, const char *field, const char *path, const char *keys, fault_t *why);

/* Reads the secret that the file `path` of `field` holds, text without NUL and of less than `size` bytes; a line break at its end is not part
 * of it. */
int payload_secret(const char *urn, const char *field, const char *path, const char *keys, char *ret_secret, size_t size, fault_t *why);
/* The same of `password_file`. */
int payload_password(const char *urn, const char *path, const char *keys, char *ret_password, size_t size, fault_t *why);

#endif
