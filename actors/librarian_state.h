/* What the librarian's two halves share: what comes in is in librarian.c, what goes out in librarian_export.c. */
#ifndef REPRISE_LIBRARIAN_STATE_H
#define REPRISE_LIBRARIAN_STATE_H

#include <sys/queue.h>

#include "librarian.h"

typedef struct librarian {
    actor_t *me;
    TAILQ_HEAD(outgoings, outgoing) outgoings; /* pieces that are to be read, while the recorder says where */
    TAILQ_HEAD(incomings, incoming) incomings; /* imports */
    size_t count;                              /* of incomings */
    uint64_t last_serial;
    int64_t size_limit, min_free_disk; /* the options */
} librarian_t;

int librarian_on_export(void *state, const envelope_t *in, fault_t *why);
int librarian_on_events(void *state, const envelope_t *in, fault_t *why);
void librarian_export_fini(librarian_t *self);

#endif
