/* Whoever follows a name from file to file and is busy with one of them misses those that come and go meanwhile. The kernel's queue has them
 * all: each came, and each that was renamed has a cookie that ties its old name to its new one. */
#include "heirs.h"

#include <stdio.h>
#include <string.h>

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

static void name_set(heir_t *heir, const char *name) {
    heir->cookie = 0;
    snprintf(heir->name, sizeof heir->name, "%s", name);
}

static void arrived(heirs_t *heirs, const char *base, const struct inotify_event *event) {
    heir_t *gone = heir_named(heirs, event->name), *moved = heir_moving(heirs, event->cookie);
    if (gone) gone->is_lost = true; /* the other was moved over it */
    if (moved) {
        name_set(moved, event->name);
    } else if (strcmp(event->name, base) == 0 && heirs->count < HEIRS_MAX) {
        heir_t *heir = &heirs->list[heirs->count++];
        *heir = (heir_t){.is_lost = false};
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
    if (heir && (event->mask & IN_DELETE)) heir->is_lost = true;
    if (heir && (event->mask & IN_MOVED_FROM)) heir->cookie = event->cookie;
}
