/* A binary heap: an actor has few timers, but a test-stream server has one for each paced replay. */
#include "timers.h"

#include <stdlib.h>

static bool before(const timer_entry_t *a, const timer_entry_t *b) {
    return a->due != b->due ? a->due < b->due : a->id < b->id;
}

static void swap(timer_entry_t *a, timer_entry_t *b) {
    timer_entry_t kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(timers_t *timers, size_t i) {
    while (i > 0 && before(&timers->heap[i], &timers->heap[(i - 1) / 2])) {
        swap(&timers->heap[i], &timers->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void sift_down(timers_t *timers, size_t i) {
    for (;;) {
        size_t first = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < timers->count; child++)
            if (before(&timers->heap[child], &timers->heap[first])) first = child;
        if (first == i) return;
        swap(&timers->heap[i], &timers->heap[first]);
        i = first;
    }
}

static void remove_at(timers_t *timers, size_t i) {
    timers->heap[i] = timers->heap[--timers->count];
    if (i < timers->count) {
        sift_down(timers, i);
        sift_up(timers, i);
    }
}

timer_id_t timers_set(timers_t *timers, int64_t due, timer_fn *then, uint64_t context) {
    if (timers->count == timers->capacity) {
        timers->capacity = timers->capacity ? timers->capacity * 2 : 8;
        timers->heap = realloc(timers->heap, timers->capacity * sizeof *timers->heap);
        must(timers->heap);
    }
    timers->heap[timers->count++] = (timer_entry_t){due, ++timers->last_id, then, context};
    sift_up(timers, timers->count - 1);
    return timers->last_id;
}

void timers_cancel(timers_t *timers, timer_id_t id) {
    for (size_t i = 0; i < timers->count; i++) {
        if (timers->heap[i].id != id) continue;
        remove_at(timers, i);
        return;
    }
}

int64_t timers_due(const timers_t *timers) {
    return timers->count ? timers->heap[0].due : INT64_MAX;
}

bool timers_take(timers_t *timers, int64_t now, timer_entry_t *ret_entry) {
    if (timers_due(timers) > now) return false;
    *ret_entry = timers->heap[0];
    remove_at(timers, 0);
    return true;
}

void timers_clear(timers_t *timers) {
    timers->count = 0;
}

void timers_fini(timers_t *timers) {
    free(timers->heap);
    *timers = (timers_t){0};
}
