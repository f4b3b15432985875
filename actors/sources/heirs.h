/* Who has had a name since it was looked at last: files that came to it and were perhaps renamed again before anybody could open them. */
#ifndef REPRISE_HEIRS_H
#define REPRISE_HEIRS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/inotify.h>

enum { HEIRS_MAX = 64 };

typedef struct heir {
    char name[NAME_MAX + 1]; /* that it has now */
    uint32_t cookie;         /* of the move that it is in the middle of; 0: none */
    bool is_lost;            /* it has none in this folder */
    unsigned changes;        /* of its name so far */
} heir_t;

typedef struct heirs {
    heir_t list[HEIRS_MAX]; /* in the order in which they came */
    size_t count;
    bool too_many; /* there were more */
} heirs_t;

/* What a watch of the folder must tell. */
enum { HEIRS_EVENTS = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE };

/* 64 names are no few bytes: they are not cleared. */
void heirs_init(heirs_t *heirs);
/* Forgets the first. */
void heirs_drop(heirs_t *heirs);

/* Takes in what has happened in the folder to the name `base` and to those who had it. */
void heirs_note(heirs_t *heirs, const char *base, const struct inotify_event *event);

#endif
