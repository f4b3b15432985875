/* What the librarian gives out: a piece of a recording at a time, as a file for others, or as the events that stand in a TestStream of Beam. Where
 * the recording is, the recorder knows; that is asked for each piece, as the recording may be gone by then. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"
#include "librarian_state.h"

typedef struct outgoing {
    TAILQ_ENTRY(outgoing) link;
    ticket_t ticket; /* also names it in the context of a question */
    message_id_t op;
    void *ask; /* of the kind that the op has */
} outgoing_t;

static outgoing_t *outgoing_add(librarian_t *self, const envelope_t *in) {
    outgoing_t *outgoing = calloc(1, sizeof *outgoing);
    must(outgoing);
    outgoing->ticket = in->ticket;
    outgoing->op = in->id;
    outgoing->ask = record_copy(&message_class(in->id)->record, in->message);
    TAILQ_INSERT_TAIL(&self->outgoings, outgoing, link);
    return outgoing;
}

static void outgoing_free(librarian_t *self, outgoing_t *outgoing) {
    TAILQ_REMOVE(&self->outgoings, outgoing, link);
    record_free(&message_class(outgoing->op)->record, &outgoing->ask);
    free(outgoing);
}

void librarian_export_fini(librarian_t *self) {
    while (!TAILQ_EMPTY(&self->outgoings)) outgoing_free(self, TAILQ_FIRST(&self->outgoings));
}

static int piece_read(const librarian_t *self, const outgoing_t *outgoing, const msg_recording_place_t *place, export_piece_t *piece,
                      refusal_t *no) {
    int64_t segment_bytes = actor_config(self->me)->segment_bytes;
    if (outgoing->op == MSG_RECORDING_EVENTS) return export_events(place, outgoing->ask, segment_bytes, piece, no);
    return export_read(place, outgoing->ask, segment_bytes, piece, no);
}

static int on_place(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    librarian_t *self = state;
    const msg_recording_place_t *place = answer->message;
    outgoing_t *outgoing;
    refusal_t no;
    (void)why;
    TAILQ_FOREACH(outgoing, &self->outgoings, link) {
        if (outgoing->ticket == context) break;
    }
    must(outgoing);
    if (answer->refusal) {
        actor_refuse_as(self->me, context, answer->refusal);
        outgoing_free(self, outgoing);
        return 0;
    }
    export_piece_t piece;
    msgpack_sbuffer_init(&piece.data);
    int failed = piece_read(self, outgoing, place, &piece, &no);
    if (failed < 0 && access(place->folder, F_OK) < 0)
        actor_refuse(self->me, context, ERROR_NOT_FOUND, "recording", "recording %s was deleted while it was exported", place->recording);
    else if (failed < 0)
        actor_refuse_as(self->me, context, &no);
    else
        actor_answer(self->me, context,
                     &(msg_exported_t){.recording = place->recording,
                                       .data = {(const uint8_t *)piece.data.data, piece.data.size},
                                       .has_next = !piece.complete,
                                       .next = piece.next,
                                       .complete = piece.complete,
                                       .element = (int64_t)piece.element,
                                       .elements = (int64_t)piece.elements});
    msgpack_sbuffer_destroy(&piece.data);
    outgoing_free(self, outgoing);
    return 0;
}

int librarian_on_export(void *state, const envelope_t *in, fault_t *why) {
    librarian_t *self = state;
    const msg_recording_export_t *m = in->message;
    (void)why;
    if (!m->has_recording && !m->has_pipeline) {
        actor_refuse(self->me, in->ticket, ERROR_BAD_REQUEST, "recording", "`recording.export`: `recording` or `pipeline` is missing");
        return 0;
    }
    const outgoing_t *outgoing = outgoing_add(self, in);
    actor_ask(self->me, "recorder", MSG_RECORDING_LOCATE,
              &(msg_recording_locate_t){.has_recording = m->has_recording,
                                        .recording = m->recording,
                                        .has_pipeline = m->has_pipeline && !m->has_recording,
                                        .pipeline = m->pipeline,
                                        .follow = false},
              on_place, outgoing->ticket);
    return 0;
}

int librarian_on_events(void *state, const envelope_t *in, fault_t *why) {
    librarian_t *self = state;
    const msg_recording_events_t *m = in->message;
    (void)why;
    const outgoing_t *outgoing = outgoing_add(self, in);
    actor_ask(self->me, "recorder", MSG_RECORDING_LOCATE,
              &(msg_recording_locate_t){.has_recording = true, .recording = m->recording, .follow = false}, on_place, outgoing->ticket);
    return 0;
}
