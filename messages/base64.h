/* Bytes as text: base64 as RFC 4648 has it, with padding. */
#ifndef REPRISE_BASE64_H
#define REPRISE_BASE64_H

#include "fault.h"
#include "message.h"

/* Both give memory to free; text that is not base64 gives NULL and `why`. */
char *base64_encode(bytes_t bytes);
uint8_t *base64_decode(const char *text, size_t *ret_size, fault_t *why);

#endif
