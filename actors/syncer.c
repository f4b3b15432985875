/* The syncer brings files to the disk. It is an actor of its own because fdatasync blocks, for seconds on a busy disk: here it stands in
 * nobody's way, and the recorder goes on appending meanwhile.
 *
 * A file is opened for each call and closed again: next to an fdatasync that costs nothing, a deleted recording's space is not held back,
 * and the kernel reports an error of writing to the next who asks, whichever descriptor that is. */
#include "syncer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/checkpoint.h"
#include "store/disk.h"
#include "store/manifest.h"

enum { NAMED_MAX = 64 };

typedef struct syncer {
    actor_t *me;
    disk_t disk;            /* that files are brought to */
    char *named[NAMED_MAX]; /* files whose names are on the disk too: a ring of the last */
    size_t next;
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
    syncer_t *self = *state;
    if (!self) return;
    for (size_t i = 0; i < NAMED_MAX; i++) free(self->named[i]);
    free(self);
    *state = NULL;
}

/* ---- messages ---- */

static int sync_file(disk_t *disk, const char *path, fault_t *why) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    int result = descriptor < 0 || disk_fails(disk) ? -1 : fdatasync(descriptor);
    if (result < 0) fault_errno(why, "cannot sync %s", path);
    if (descriptor >= 0) close(descriptor);
    return result;
}

/* A new file's name is in its folder, which has to reach the disk by itself. */
static int sync_name(syncer_t *self, const char *path, fault_t *why) {
    for (size_t i = 0; i < NAMED_MAX; i++)
        if (self->named[i] && strcmp(self->named[i], path) == 0) return 0;
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (manifest_sync_folder(folder, why) < 0) return -1;
    free(self->named[self->next]);
    self->named[self->next] = strdup(path);
    must(self->named[self->next]);
    self->next = (self->next + 1) % NAMED_MAX;
    return 0;
}

static int on_sync(void *state, const envelope_t *in, fault_t *why) {
    syncer_t *self = state;
    const msg_sync_t *m = in->message;
    fault_t problem;
    (void)why;
    if (sync_file(&self->disk, m->path, &problem) < 0 || sync_name(self, m->path, &problem) < 0) {
        actor_refuse(self->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
        return 0;
    }
    actor_count(self->me, COUNTER_SYNCS, 1);
    actor_answer(self->me, in->ticket, &(msg_synced_t){.token = m->token});
    return 0;
}

/* Where that fails, an older one stays, which is as true: less is known to be on the disk. */
static int on_checkpoint_write(void *state, const envelope_t *in, fault_t *why) {
    const msg_checkpoint_write_t *m = in->message;
    checkpoint_t checkpoint = {(uint64_t)m->segment, (uint64_t)m->length};
    fault_t ignored;
    (void)state;
    (void)why;
    checkpoint_write(m->folder, &checkpoint, m->settle, &ignored);
    return 0;
}

static int on_chaos_sync(void *state, const envelope_t *in, fault_t *why) {
    syncer_t *self = state;
    const msg_chaos_sync_t *m = in->message;
    disk_t disk = {m->syncs, disk_error(m->error)};
    (void)why;
    if (!disk.error) {
        actor_refuse(self->me, in->ticket, ERROR_BAD_REQUEST, "error", "`chaos.sync`: `error` is " DISK_ERRORS ", not `%s`", m->error);
        return 0;
    }
    self->disk = disk;
    actor_answer(self->me, in->ticket, NULL);
    return 0;
}

/* ---- the class ---- */

const actor_class_t syncer_class = {
    .name = "syncer",
    .doc = "Brings files to the disk with fdatasync, so that the recorder never waits for it.",
    .create = syncer_create,
    .destroy = syncer_destroy,
    .takes = {[MSG_SYNC] = on_sync, [MSG_CHECKPOINT_WRITE] = on_checkpoint_write, [MSG_CHAOS_SYNC] = on_chaos_sync},
    .sends = {MSG_NONE},
};
