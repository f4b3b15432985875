/* Bytes as text: base64 as RFC 4648 has it, with padding. */
#ifndef REPRISE_CLIENT_BASE64_H
#define REPRISE_CLIENT_BASE64_H

#include "../../messages/fault.h"
#include "../../messages/message.h"

/* Both give memory to free; text that is not base64 gives NULL and `why`. */
char *base64_encode(bytes_t bytes);
uint8_t *base64_decode(const char *text, size_t *ret_size, fault_t *why);

#endif
