/* JSON to msgpack and back. Bytes are {"base64": "…"} in JSON, wherever a value may stand. */
#ifndef REPRISE_CLIENT_VALUE_H
#define REPRISE_CLIENT_VALUE_H

#include <jansson.h>
#include <msgpack.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

/* Appends the value. A whole number without a point stays an integer, one with a point or exponent a float. */
int value_from_json(const json_t *json, msgpack_sbuffer *out, fault_t *why);

/* A new reference; NULL where `in` is not one whole msgpack value. Bytes, and text that is not UTF-8, become {"base64": "…"};
 * NaN and the infinities, which JSON lacks, null. */
json_t *value_to_json(bytes_t in);

/* Reads a file ("-": standard input) that holds one value as JSON or msgpack, and appends it as msgpack.
 * Returns 1 where there is no such file, without a fault. */
int value_read(const char *path, msgpack_sbuffer *out, fault_t *why);

/* The same for a file that may hold anything: appends its bytes as they are. */
int value_read_bytes(const char *path, msgpack_sbuffer *out, fault_t *why);

#endif
