/* Acknowledgements and what they wait for. Without `sync` they follow the append, many batches in one; with it they wait for an fdatasync
 * that began after the append, one for all that wait. The syncer is asked and answers later, so the disk never stands in the way of
 * appending. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recorder_state.h"
#include "store/manifest.h"
#include "store/segment.h"

enum {
    INTERVAL_US = 100 * 1000,          /* `interval`: on the disk at most this long after an append */
    RETRY_US = 5 * 1000,               /* a peer that reads too slowly is tried again */
    UNSYNCED_MAX = 64 * 1024 * 1024,   /* with this much not on the disk yet, senders wait for it */
    UNSYNCED_ENOUGH = 4 * 1024 * 1024, /* with this much the disk is asked before its time: small syncs hold nobody up */
};

void acks_due(recorder_t *self, attachment_t *attachment) {
    if (attachment->due) return;
    attachment->due = true;
    LIST_INSERT_HEAD(&self->dues, attachment, due_link);
}

static void acks_undue(attachment_t *attachment) {
    attachment->due = false;
    LIST_REMOVE(attachment, due_link);
}

/* Of these bytes some may not be on the disk yet. Appends that are not counted yet are among them: a batch may come to be acknowledged before it
 * is counted. */
static uint64_t appended(const recording_t *recording) {
    return journal_totals(recording->reel->journal)->bytes;
}

bool acks_are_unsafe(const recorder_t *self, const recording_t *recording) {
    return actor_config(self->me)->durability == DURABILITY_SYNC && appended(recording) > recording->synced;
}

/* Must senders wait for the disk? */
static bool acks_wait(const recorder_t *self, const recording_t *recording) {
    uint64_t unsynced = appended(recording) - recording->synced;
    switch (actor_config(self->me)->durability) {
    case DURABILITY_ASYNC: return false;
    case DURABILITY_INTERVAL: return unsynced >= UNSYNCED_MAX;
    case DURABILITY_SYNC: break;
    }
    return unsynced > 0;
}

/* Must this acknowledgement wait: for the disk, or for the append of what was gathered? */
static bool ack_waits(const recorder_t *self, const attachment_t *attachment) {
    return attachment->producer->gathered || acks_wait(self, attachment->recording);
}

/* A batch that was cut is not acknowledged: the stop that follows says what was taken of it. */
static uint64_t ack_seq(const attachment_t *attachment) {
    return attachment->producer->seq - (attachment->producer->cut ? 1 : 0);
}

/* Acknowledges up to `seq` and takes it off the list. Afterwards the attachment may be gone. */
static void ack_send(recorder_t *self, attachment_t *attachment, uint64_t seq) {
    msg_source_ack_t ack = {.source = attachment->source, .tag = attachment->tag, .seq = (int64_t)seq};
    acks_undue(attachment);
    progress_tell(self, attachment->recording);
    sent_t sent = seq > 0 ? connection_send(self, attachment->connection, MSG_SOURCE_ACK, &ack) : SENT;
    if (sent == SENT_GONE) {
        connection_t *connection = attachment->connection;
        connection_remove(self, &connection);
        return;
    }
    if (sent == SENT_FULL) {
        acks_due(self, attachment);
        self->acks_full = true;
        return;
    }
    attachment->unacked = 0;
    bool going = attachment->leaving || attachment->done;
    if (ack_seq(attachment) > seq || (going && acks_wait(self, attachment->recording))) {
        acks_due(self, attachment);
    } else if (attachment->leaving) {
        attachment_stop(self, attachment, attachment->leaving);
    } else if (attachment->done) {
        actor_answer(self->me, attachment->done, NULL);
        attachment->done = 0;
        attachment_remove(self, &attachment);
    }
}

static int on_due(void *state, uint64_t context, fault_t *why) {
    recorder_t *self = state;
    (void)context;
    (void)why;
    self->due_timer = 0;
    acks_send(self);
    return 0;
}

void acks_send(recorder_t *self) {
    /* Off the list before any is sent: one that has to wait goes back on it, and a peer that is gone takes its others along. */
    LIST_HEAD(, attachment) now = {LIST_FIRST(&self->dues)};
    if (now.lh_first) now.lh_first->due_link.le_prev = &now.lh_first;
    LIST_INIT(&self->dues);
    self->acks_full = false;
    attachment_t *attachment;
    while ((attachment = LIST_FIRST(&now))) {
        if (attachment->recording->reel->broken) {
            acks_undue(attachment);
        } else if (ack_waits(self, attachment)) {
            acks_undue(attachment);
            acks_due(self, attachment);
        } else {
            ack_send(self, attachment, ack_seq(attachment));
        }
    }
    if (self->acks_full && !self->due_timer) self->due_timer = actor_after(self->me, RETRY_US, on_due, 0);
}

/* ---- the disk ---- */

static int on_sync_timer(void *state, uint64_t context, fault_t *why) {
    recorder_t *self = state;
    recording_t *recording = shelf_find_number(self, context);
    (void)why;
    if (!recording || !recording->reel) return 0;
    recording->sync_timer = 0;
    if (!recording->reel->broken)
        sync_begin(self, recording);
    else if (recording->finish || recording->closing) /* what waits for the disk waits in vain */
        finish_synced(self, recording, recording->failure ? recording->failure : "the disk failed");
    return 0;
}

/* Back to those that are due: with nothing acknowledged, if that is what happened. */
static void round_clear(recorder_t *self, recording_t *recording) {
    attachment_t *attachment;
    while ((attachment = LIST_FIRST(&recording->round))) {
        acks_undue(attachment);
        acks_due(self, attachment);
    }
}

/* For recovery, should the machine lose its power. One for each segment is waited for, so that no more than a segment or two are read then. */
static void checkpoint_tell(recorder_t *self, recording_t *recording) {
    const checkpoint_t *place = &recording->syncing_place;
    actor_tell(self->me, "syncer", MSG_CHECKPOINT_WRITE,
               &(msg_checkpoint_write_t){.folder = recording->folder,
                                         .segment = (int64_t)place->segment,
                                         .length = (int64_t)place->length,
                                         .settle = place->segment != recording->safe_segment});
    recording->safe_segment = place->segment;
}

static void round_done(recorder_t *self, recording_t *recording) {
    reel_t *reel = recording->reel;
    attachment_t *attachment;
    recording->synced = recording->syncing_to;
    checkpoint_tell(self, recording);
    for (size_t i = 0; i < recording->syncing_finished; i++) free(reel->finished_paths[i]);
    reel->finished_count -= recording->syncing_finished;
    if (reel->finished_count > 0)
        memmove(reel->finished_paths, reel->finished_paths + recording->syncing_finished, reel->finished_count * sizeof(char *));
    while ((attachment = LIST_FIRST(&recording->round))) ack_send(self, attachment, attachment->round_seq);
    if (recording->open && !reel_is_sealed(reel)) joins_let_in(self, recording);
    fault_t ignored; /* it is read where it is */
    if (recording->manifest_is == MANIFEST_SYNCING && manifest_settle(recording->folder, &ignored) == 0)
        recording->manifest_is = MANIFEST_SETTLED;
    bool more = recording->synced < appended(recording) || recording->manifest_is == MANIFEST_ANNOUNCED;
    if (more && (recording->finish || recording->closing))
        sync_begin(self, recording);
    else if (recording->finish || recording->closing)
        finish_synced(self, recording, NULL);
    else
        sync_schedule(self, recording);
}

static int on_synced(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    recorder_t *self = state;
    recording_t *recording = shelf_find_number(self, context);
    (void)why;
    if (!recording || !recording->reel) return 0;
    if (answer->refusal && answer->refusal->code == ERROR_UNAVAILABLE) {
        recording->sync_refused = true;
    } else if (answer->refusal && !recording->sync_failure) {
        recording->sync_failure = strdup(answer->refusal->message);
        must(recording->sync_failure);
    }
    if (--recording->syncing > 0) return 0;
    if (recording->sync_failure) {
        round_clear(self, recording);
        recording_break(self, recording, recording->sync_failure);
        if (recording->finish || recording->closing) finish_synced(self, recording, recording->sync_failure);
    } else if (recording->sync_refused) {
        round_clear(self, recording);
        recording->sync_timer = actor_after(self->me, INTERVAL_US, on_sync_timer, recording->number);
    } else {
        round_done(self, recording);
    }
    return 0;
}

static void sync_ask(recorder_t *self, recording_t *recording, const char *path) {
    recording->syncing++;
    actor_ask(self->me, "syncer", MSG_SYNC, &(msg_sync_t){.path = path, .token = (int64_t)recording->number}, on_synced, recording->number);
}

/* Those that are acknowledged when it is over. */
static void round_gather(recorder_t *self, recording_t *recording) {
    attachment_t *attachment, *next;
    for (attachment = LIST_FIRST(&self->dues); attachment; attachment = next) {
        next = LIST_NEXT(attachment, due_link);
        if (attachment->recording != recording || attachment->producer->gathered) continue;
        LIST_REMOVE(attachment, due_link);
        LIST_INSERT_HEAD(&recording->round, attachment, due_link);
        attachment->round_seq = ack_seq(attachment);
    }
}

void sync_begin(recorder_t *self, recording_t *recording) {
    reel_t *reel = recording->reel;
    if (recording->syncing > 0) return;
    actor_cancel(self->me, &recording->sync_timer);
    recording->sync_refused = false;
    recording->syncing_to = appended(recording);
    recording->syncing_place = (checkpoint_t){journal_totals(reel->journal)->segment, journal_totals(reel->journal)->length};
    recording->syncing_finished = reel->finished_count;
    if (acks_wait(self, recording)) round_gather(self, recording);
    for (size_t i = 0; i < reel->finished_count; i++) sync_ask(self, recording, reel->finished_paths[i]);
    sync_ask(self, recording, reel->segment_path);
    if (recording->manifest_is == MANIFEST_SETTLED) return;
    char path[SEGMENT_PATH_SIZE];
    must(snprintf(path, sizeof path, "%s/" MANIFEST_NEXT, recording->folder) < (int)sizeof path);
    recording->manifest_is = MANIFEST_SYNCING;
    sync_ask(self, recording, path);
}

void sync_schedule(recorder_t *self, recording_t *recording) {
    if (recording->syncing > 0 || recording->reel->broken || recording->synced >= appended(recording)) return;
    switch (actor_config(self->me)->durability) {
    case DURABILITY_ASYNC: /* nobody waits: this bounds what must be read once the machine has lost its power */
        if (recording->reel->finished_count > 0) sync_begin(self, recording);
        return;
    case DURABILITY_SYNC: sync_begin(self, recording); return;
    case DURABILITY_INTERVAL: break;
    }
    if (appended(recording) - recording->synced >= UNSYNCED_ENOUGH)
        sync_begin(self, recording);
    else if (!recording->sync_timer)
        recording->sync_timer = actor_after(self->me, INTERVAL_US, on_sync_timer, recording->number);
}
