/* Exponential, with jitter: a server that comes back is not met by all its readers in one moment, and again a moment later. */
#include "backoff.h"

enum { FIRST = 100 * 1000, LAST = 5 * 1000 * 1000 }; /* µs */

int64_t backoff_next(backoff_t *backoff) {
    int64_t most = FIRST;
    for (unsigned i = 0; i < backoff->tries && most < LAST; i++) most *= 2;
    if (most > LAST) most = LAST;
    if (backoff->tries < UINT32_MAX) backoff->tries++;
    backoff->random = backoff->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return most / 2 + (int64_t)((backoff->random >> 33) % (uint64_t)(most / 2 + 1));
}

void backoff_reset(backoff_t *backoff) {
    backoff->tries = 0;
}
