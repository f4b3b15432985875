/* Pace: when an event of a replay is due. A replay at rate r walks along the recording's clock r times as fast as the clock on the wall;
 * what changes its rate, stops it or lets it go on keeps the place where it is. */
#ifndef REPRISE_PACE_H
#define REPRISE_PACE_H

#include <stdint.h>

typedef struct pace {
    double rate;   /* 0: as fast as possible */
    int64_t ticks; /* when it was at `at`, in µs of a clock that never jumps */
    int64_t at;    /* µs of the recording's clock */
} pace_t;

/* It is at `at` now, and walks on from there. */
void pace_start(pace_t *pace, int64_t ticks, int64_t at);

/* How far it has walked. At rate 0: nowhere. */
int64_t pace_at(const pace_t *pace, int64_t ticks);

/* The µs until what was recorded at `at` is due; 0: it is. */
int64_t pace_delay(const pace_t *pace, int64_t ticks, int64_t at);

#endif
