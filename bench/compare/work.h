/* One piece of work, done on one server, so that three servers can be given the same: each is a program of its own that does all of it
 * (reprise, jetstream, redis) and prints how long it took. */
#ifndef REPRISE_COMPARE_WORK_H
#define REPRISE_COMPARE_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../messages/fault.h"

typedef struct work {
    const char *endpoint;
    pid_t server;         /* whose time on the processor counts */
    int64_t size;         /* bytes of an element */
    int64_t batch;        /* elements a message, where the work has messages of several */
    int64_t recorded;     /* elements that a replay has to read */
    double seconds;       /* to go on for */
    const uint8_t *bytes; /* of a message: `batch` elements, one after another */
    size_t bytes_size;
    int64_t began, busy; /* ns: of the clock, and of the server's time on the processor */
    int64_t elements;    /* what was done, */
    double took;         /* in this time */
    int64_t spent;       /* ns of the server on the processor */
} work_t;

/* The time that counts: from here, */
void work_begin(work_t *work);
/* for as long as this does not hold, */
bool work_over(const work_t *work);
/* to here, where that many elements are recorded, or read. */
void work_end(work_t *work, int64_t elements);

typedef struct work_kind {
    const char *name;
    int (*run)(work_t *work, fault_t *why);
} work_kind_t;

/* `main` of each: PROGRAM WORK ENDPOINT PID SIZE BATCH RECORDED SECONDS. `kinds` ends with a NULL name. */
int work_main(int count, char **arguments, const work_kind_t *kinds);

#endif
