/* Timers of one actor: a heap by due time; those due together go off in the order in which they were set. */
#ifndef REPRISE_TIMERS_H
#define REPRISE_TIMERS_H

#include "actor.h"

typedef struct timer_entry {
    int64_t due; /* ticks */
    timer_id_t id;
    timer_fn *then;
    uint64_t context;
} timer_entry_t;

typedef struct timers {
    timer_entry_t *heap;
    size_t count, capacity;
    timer_id_t last_id;
} timers_t;

timer_id_t timers_set(timers_t *timers, int64_t due, timer_fn *then, uint64_t context);
void timers_cancel(timers_t *timers, timer_id_t id);
int64_t timers_due(const timers_t *timers);                                /* INT64_MAX: none */
bool timers_take(timers_t *timers, int64_t now, timer_entry_t *ret_entry); /* false: none is due */
void timers_clear(timers_t *timers);
void timers_fini(timers_t *timers);

#endif
