/* A field's value as one types it, turned into msgpack. */
#ifndef REPRISE_CLIENT_GIVEN_H
#define REPRISE_CLIENT_GIVEN_H

#include <msgpack.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

/* Packs the text as what the field takes: `60s` for one that ends in `_ms`, `64KiB` for a size, `none` for a limit, a list with commas, JSON where a
 * field takes anything. Whether a number is within its bounds, the engine says. The packer writes to a msgpack_sbuffer. */
int given_pack(const field_t *field, const char *text, msgpack_packer *packer, fault_t *why);

/* Packs the text as what it looks like: a number, true, false, null, or text ("…" makes anything text). */
void given_pack_any(const char *text, msgpack_packer *packer);

#endif
