/* Durations that clients give in milliseconds: any number of them, so that what is made of it must not overflow. */
#ifndef REPRISE_DURATION_H
#define REPRISE_DURATION_H

#include <stdint.h>

/* µs; what is longer than 146,000 years is that long, and can still be added to any time. */
static inline int64_t us_of_ms(int64_t ms) {
    return ms > INT64_MAX / 2000 ? INT64_MAX / 2 : ms * 1000;
}

#endif
