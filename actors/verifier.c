/* The verifier reads a whole recording again and says what does not match its checksums. That takes as long as the disk takes, so it is an
 * actor of its own, and it reads a piece at a time: several verifications take turns, and one that was asked later is not kept waiting.
 *
 * A recording that is being written is checked as far as it went when it was asked about.
 *
 * For the same reason it deletes the files of recordings that were dropped, one between two pieces: the disk may need a tenth of a second to let
 * one go. What a process that died left of them is deleted when the next begins. */
#include "verifier.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "store/folder.h"
#include "store/reader.h"

enum { STEP_BYTES = 8 * 1024 * 1024 };

typedef struct check {
    TAILQ_ENTRY(check) link;
    ticket_t ticket;  /* also names it in the context of a question or timer */
    char *folder;     /* NULL: the recorder has not said yet where it is */
    verify_t *verify; /* NULL: not opened yet */
} check_t;

typedef struct verifier {
    actor_t *me;
    TAILQ_HEAD(checks, check) checks;
    bool sweeping; /* the next file of the trash is due */
} verifier_t;

/* ---- the trash ---- */

/* What cannot be deleted is tried again when there is more. */
static int on_sweep_due(void *state, uint64_t context, fault_t *why) {
    verifier_t *self = state;
    fault_t problem;
    (void)why;
    self->sweeping = folder_sweep(actor_config(self->me)->data, &problem) > 0;
    if (self->sweeping) actor_after(self->me, 0, on_sweep_due, context);
    return 0;
}

static int on_sweep(void *state, const envelope_t *in, fault_t *why) {
    verifier_t *self = state;
    (void)in;
    (void)why;
    if (!self->sweeping) actor_after(self->me, 0, on_sweep_due, 0);
    self->sweeping = true;
    return 0;
}

/* ---- life ---- */

static void *verifier_create(actor_t *me, bytes_t args, fault_t *why) {
    verifier_t *self = calloc(1, sizeof *self);
    (void)args;
    (void)why;
    must(self);
    self->me = me;
    TAILQ_INIT(&self->checks);
    self->sweeping = true;
    actor_after(me, 0, on_sweep_due, 0);
    return self;
}

static void check_free(verifier_t *self, check_t **check) {
    TAILQ_REMOVE(&self->checks, *check, link);
    if ((*check)->verify) verify_close(&(*check)->verify);
    free((*check)->folder);
    free(*check);
    *check = NULL;
}

static void verifier_destroy(void **state) {
    verifier_t *self = *state;
    check_t *check;
    if (!self) return;
    while ((check = TAILQ_FIRST(&self->checks))) check_free(self, &check);
    free(self);
    *state = NULL;
}

/* ---- messages ---- */

static check_t *check_find(verifier_t *self, uint64_t ticket) {
    check_t *check;
    TAILQ_FOREACH(check, &self->checks, link) {
        if (check->ticket == ticket) return check;
    }
    return NULL;
}

/* What is missing from a folder that is not there any more is no damage, and no fault either. */
static void check_answer(verifier_t *self, check_t *check, const fault_t *problem) {
    if (access(check->folder, F_OK) < 0)
        actor_refuse(self->me, check->ticket, ERROR_NOT_FOUND, "recording", "the recording was deleted while it was verified");
    else if (problem)
        actor_refuse(self->me, check->ticket, ERROR_INTERNAL, NULL, "%s", problem->text);
    else
        actor_answer(self->me, check->ticket, verify_result(check->verify));
    check_free(self, &check);
}

static int on_step(void *state, uint64_t context, fault_t *why) {
    verifier_t *self = state;
    check_t *check = check_find(self, context);
    fault_t problem;
    (void)why;
    must(check);
    int left = verify_step(check->verify, STEP_BYTES, &problem);
    if (left > 0) {
        actor_after(self->me, 0, on_step, context);
        return 0;
    }
    check_answer(self, check, left < 0 ? &problem : NULL);
    return 0;
}

static int on_place(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    verifier_t *self = state;
    const msg_recording_place_t *place = answer->message;
    check_t *check = check_find(self, context);
    fault_t problem;
    (void)why;
    must(check);
    if (answer->refusal) {
        actor_refuse_as(self->me, check->ticket, answer->refusal);
        check_free(self, &check);
        return 0;
    }
    check->folder = strdup(place->folder);
    must(check->folder);
    check->verify = verify_open(place->folder, (uint64_t)place->segment, (uint64_t)place->length, &problem);
    if (check->verify)
        actor_after(self->me, 0, on_step, context);
    else
        check_answer(self, check, &problem);
    return 0;
}

static int on_verify(void *state, const envelope_t *in, fault_t *why) {
    verifier_t *self = state;
    const msg_recording_verify_t *m = in->message;
    check_t *check = calloc(1, sizeof *check);
    (void)why;
    must(check);
    check->ticket = in->ticket;
    TAILQ_INSERT_TAIL(&self->checks, check, link);
    actor_ask(self->me, "recorder", MSG_RECORDING_LOCATE,
              &(msg_recording_locate_t){.has_recording = true, .recording = m->recording, .follow = false}, on_place, in->ticket);
    return 0;
}

/* ---- the class ---- */

const actor_class_t verifier_class = {
    .name = "verifier",
    .doc = "Reads whole recordings again and reports what does not match its checksums; deletes the files of those that were dropped.",
    .create = verifier_create,
    .destroy = verifier_destroy,
    .takes = {[MSG_RECORDING_VERIFY] = on_verify, [MSG_TRASH_SWEEP] = on_sweep},
    .sends = {MSG_RECORDING_LOCATE, MSG_NONE},
};
