/* How long to wait before a server outside is tried again: longer each time, and never as long as the others who lost it at the same moment. */
#ifndef REPRISE_BACKOFF_H
#define REPRISE_BACKOFF_H

#include <stdint.h>

typedef struct backoff {
    uint64_t random; /* any number; what is drawn from it goes on from there */
    unsigned tries;
} backoff_t;

/* µs until the next try: 100 ms at first, twice as much each time up to 5 s, and of that something between a half and all. */
int64_t backoff_next(backoff_t *backoff);
/* It went well. */
void backoff_reset(backoff_t *backoff);

#endif
