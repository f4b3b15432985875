/* The body of a gap's record: a map with what is missing, and how long it is where that is known. */
#ifndef REPRISE_GAP_BODY_H
#define REPRISE_GAP_BODY_H

#include <msgpack.h>

#include "../../messages/message.h"

/* `lost_us` < 0: not known. `all`: of all streams. */
void gap_body_pack(const char *what, int64_t lost_us, bool all, msgpack_sbuffer *out);
/* -1 where it is none. `ret_what` points into `body`. */
int gap_body_read(bytes_t body, bytes_t *ret_what, int64_t *ret_lost_us);

#endif
