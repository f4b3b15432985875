/* Whoever follows a name from file to file and is busy with one of them misses those that come and go meanwhile. The kernel's queue has them
 * all: each came, and each that was renamed has a cookie that ties its old name to its new one. */
#include "heirs.h"

#include <stdio.h>
#include <string.h>

void heirs_init(heirs_t *heirs) {
    heirs->count = 0;
    heirs->too_many = false;
}

static heir_t *heir_named(heirs_t *heirs, const char *name) {
    for (size_t i = 0; i < heirs->count; i++) {
        heir_t *heir = &heirs->list[i];
        if (!heir->is_lost && heir->cookie == 0 && strcmp(heir->name, name) == 0) return heir;
    }
    return NULL;
}

static heir_t *heir_moving(heirs_t *heirs, uint32_t cookie) {
    for (size_t i = 0; i < heirs->count; i++) {
        if (cookie != 0 && heirs->list[i].cookie == cookie) return &heirs->list[i];
    }
    return NULL;
}

static void name_lose(heir_t *heir) {
    heir->is_lost = true;
    heir->changes++;
}

static void name_set(heir_t *heir, const char *name) {
    heir->cookie = 0;
    heir->changes++;
    snprintf(heir->name, sizeof heir->name, "%s", name);
}

static void arrived(heirs_t *heirs, const char *base, const struct inotify_event *event) {
    heir_t *gone = heir_named(heirs, event->name), *moved = heir_moving(heirs, event->cookie);
    if (gone) name_lose(gone); /* the other was moved over it */
    if (moved) {
        name_set(moved, event->name);
    } else if (strcmp(event->name, base) == 0 && heirs->count < HEIRS_MAX) {
        heir_t *heir = &heirs->list[heirs->count++];
        heir->is_lost = false;
        heir->changes = 0;
        name_set(heir, event->name);
    } else if (strcmp(event->name, base) == 0) {
        heirs->too_many = true;
    }
}

void heirs_note(heirs_t *heirs, const char *base, const struct inotify_event *event) {
    if (event->len == 0) return;
    if (event->mask & (IN_CREATE | IN_MOVED_TO)) {
        arrived(heirs, base, event);
        return;
    }
    heir_t *heir = event->mask & (IN_MOVED_FROM | IN_DELETE) ? heir_named(heirs, event->name) : NULL;
    if (heir && (event->mask & IN_DELETE)) name_lose(heir);
    if (heir && (event->mask & IN_MOVED_FROM)) heir->cookie = event->cookie;
}

void heirs_drop(heirs_t *heirs) {
    memmove(heirs->list, heirs->list + 1, --heirs->count * sizeof heirs->list[0]);
}
