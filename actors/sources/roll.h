/* Names in their order, of which the first ones are kept: a folder may have any number. */
#ifndef REPRISE_ROLL_H
#define REPRISE_ROLL_H

#include <stdbool.h>
#include <stddef.h>

enum { ROLL_MAX = 1024 };

typedef struct roll {
    struct {
        char *name;
        bool whole; /* nobody is writing to that file */
    } list[ROLL_MAX];
    size_t count;
    char *last; /* those after this one are not kept; NULL: all are */
} roll_t;

/* Adds a name, unless it is there or comes after the last that is kept. */
void roll_add(roll_t *roll, const char *name, bool whole);
/* Notes whether somebody is writing to that file; false: it is not there. */
bool roll_note(roll_t *roll, const char *name, bool whole);
bool roll_is_whole(const roll_t *roll, const char *name);
/* How many are not after this one. */
size_t roll_upto(const roll_t *roll, const char *name);
/* Takes the first name, which is the caller's; NULL: there is none. */
char *roll_take(roll_t *roll, bool *ret_whole);
/* Where the list is empty and names are missing: the name after which they begin, which is the caller's. They are to be added now. NULL: none. */
char *roll_missing(roll_t *roll);
void roll_clear(roll_t *roll);

#endif
