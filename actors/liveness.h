/* When those who say nothing are asked whether they are there, and how often that is looked at. */
#ifndef REPRISE_LIVENESS_H
#define REPRISE_LIVENESS_H

#include <stdint.h>

enum { LIVENESS_ASK_US = 2 * 1000 * 1000, LIVENESS_CHECKS = 8, LIVENESS_LEAST_US = 10 * 1000 };

/* Somebody idle for so long is asked: every 2 s, and where the time-out is short, three times before it is over. */
static inline int64_t liveness_ask_us(int64_t timeout_us) {
    return timeout_us / 3 < LIVENESS_ASK_US ? timeout_us / 3 : LIVENESS_ASK_US;
}

/* Looked at often enough that what is due is late by little. */
static inline int64_t liveness_check_us(int64_t timeout_us) {
    int64_t check = liveness_ask_us(timeout_us) / LIVENESS_CHECKS;
    return check > LIVENESS_LEAST_US ? check : LIVENESS_LEAST_US;
}

#endif
