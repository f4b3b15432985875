/* Pace: a line through one point, the rate its slope. Everything is computed from that point, never added up, so that a replay of hours
 * does not drift. */
#include "pace.h"

/* Longer than any recording, and far from where adding it to a time would overflow. */
#define PACE_MAX 1e17

static int64_t whole(double us) {
    if (us >= PACE_MAX) return (int64_t)PACE_MAX;
    return us > 0 ? (int64_t)us : 0;
}

void pace_start(pace_t *pace, int64_t ticks, int64_t at) {
    pace->ticks = ticks;
    pace->at = at;
}

int64_t pace_at(const pace_t *pace, int64_t ticks) {
    return pace->at + whole((double)(ticks - pace->ticks) * pace->rate);
}

int64_t pace_delay(const pace_t *pace, int64_t ticks, int64_t at) {
    if (!(pace->rate > 0) || at <= pace->at) return 0;
    int64_t due = whole((double)(at - pace->at) / pace->rate);
    int64_t passed = ticks - pace->ticks;
    return due > passed ? due - passed : 0;
}
