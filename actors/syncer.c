/* The syncer brings files to the disk. It is an actor of its own because fdatasync blocks, for seconds on a busy disk: here it stands in
 * nobody's way, and the recorder goes on appending meanwhile.
 *
 * A file is opened for each call and closed again: next to an fdatasync that costs nothing, a deleted recording's space is not held back,
 * and the kernel reports an error of writing to the next who asks, whichever descriptor that is. */
#include "syncer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct syncer {
    actor_t *me;
} syncer_t;

/* ---- life ---- */

static void *syncer_create(actor_t *me, bytes_t args, fault_t *why) {
    syncer_t *self = calloc(1, sizeof *self);
    (void)args;
    (void)why;
    must(self);
    self->me = me;
    return self;
}

static void syncer_destroy(void **state) {
    free(*state);
    *state = NULL;
}

/* ---- messages ---- */

static int sync_file(const char *path, fault_t *why) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    int result = descriptor < 0 ? -1 : fdatasync(descriptor);
    if (result < 0) fault_errno(why, "cannot sync %s", path);
    if (descriptor >= 0) close(descriptor);
    return result;
}

static int on_sync(void *state, const envelope_t *in, fault_t *why) {
    syncer_t *self = state;
    const msg_sync_t *m = in->message;
    fault_t problem;
    (void)why;
    if (sync_file(m->path, &problem) < 0) {
        actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
        return 0;
    }
    actor_count(self->me, COUNTER_SYNCS, 1);
    actor_answer(self->me, in->ticket, &(msg_synced_t){.token = m->token});
    return 0;
}

/* ---- the class ---- */

const actor_class_t syncer_class = {
    .name = "syncer",
    .doc = "Brings files to the disk with fdatasync, so that the recorder never waits for it.",
    .create = syncer_create,
    .destroy = syncer_destroy,
    .takes = {[MSG_SYNC] = on_sync},
    .sends = {MSG_NONE},
};
