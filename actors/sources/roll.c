/* A sorted array: it is filled from a folder in any order, and emptied from the front. What it has no room for is found again in the folder. */
#include "roll.h"

#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"

static size_t place_of(const roll_t *roll, const char *name, bool *ret_found) {
    size_t low = 0, high = roll->count;
    *ret_found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, roll->list[middle].name);
        if (order == 0) *ret_found = true;
        if (order <= 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void last_set(roll_t *roll) {
    free(roll->last);
    roll->last = strdup(roll->list[roll->count - 1].name);
    must(roll->last);
}

void roll_add(roll_t *roll, const char *name, bool whole) {
    bool found, full = roll->count == ROLL_MAX;
    if (roll->last && strcmp(name, roll->last) > 0) return;
    size_t at = place_of(roll, name, &found);
    if (found) return;
    if (full && at < ROLL_MAX) free(roll->list[--roll->count].name);
    if (at < ROLL_MAX) {
        memmove(roll->list + at + 1, roll->list + at, (roll->count - at) * sizeof roll->list[0]);
        roll->list[at].name = strdup(name);
        roll->list[at].whole = whole;
        must(roll->list[at].name);
        roll->count++;
    }
    if (full) last_set(roll);
}

bool roll_note(roll_t *roll, const char *name, bool whole) {
    bool found;
    size_t at = place_of(roll, name, &found);
    if (found) roll->list[at].whole = whole;
    return found;
}

bool roll_is_whole(const roll_t *roll, const char *name) {
    bool found;
    size_t at = place_of(roll, name, &found);
    return found && roll->list[at].whole;
}

size_t roll_upto(const roll_t *roll, const char *name) {
    bool found;
    size_t at = place_of(roll, name, &found);
    return at + (found ? 1 : 0);
}

char *roll_take(roll_t *roll, bool *ret_whole) {
    if (roll->count == 0) return NULL;
    char *name = roll->list[0].name;
    *ret_whole = roll->list[0].whole;
    memmove(roll->list, roll->list + 1, --roll->count * sizeof roll->list[0]);
    return name;
}

char *roll_missing(roll_t *roll) {
    if (roll->count > 0) return NULL;
    char *last = roll->last;
    roll->last = NULL;
    return last;
}

void roll_clear(roll_t *roll) {
    for (size_t i = 0; i < roll->count; i++) free(roll->list[i].name);
    free(roll->last);
    roll->count = 0;
    roll->last = NULL;
}
