/* How far recordings are. Whoever describes a job must see at least what was acknowledged to anybody, and a question to the recorder waits
 * behind elements. So it is answered ahead: who asks once is told the next changes as they happen, over a line on which they arrive before
 * whatever they lead to, since they are told before they are acknowledged. After so many the telling ends: a recording of which nobody
 * wants to know costs nothing. */
#include <string.h>

#include "recorder_state.h"

enum { CHANGES_TOLD = 256 };

static const peer_t line = {.door = RECORDER_PROGRESS, .size = sizeof LINE_ID - 1, .id = LINE_ID};

void progress_announce(recording_t *recording) {
    recording->announced = CHANGES_TOLD;
}

void progress_tell(recorder_t *self, recording_t *recording) {
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    if (recording->announced == 0 || recording->progress == totals->records) return;
    recording->progress = totals->records;
    msg_progress_made_t made = {.recording = recording_job(recording)->recording,
                                .elements = (int64_t)totals->elements,
                                .bytes = (int64_t)totals->bytes,
                                .announced = --recording->announced};
    actor_send(self->me, &line, MSG_PROGRESS_MADE, &made, NULL);
}

void progress_tell_all(recorder_t *self) {
    recording_t *recording;
    LIST_FOREACH(recording, &self->touched, touched) progress_tell(self, recording);
}

int progress_ask(void *state, const envelope_t *in, fault_t *why) {
    recorder_t *self = state;
    const msg_progress_ask_t *m = in->message;
    recording_t *recording = shelf_find(self, m->recording);
    (void)why;
    if (!recording) {
        actor_refuse(self->me, in->ticket, ERROR_NOT_FOUND, "recording", "there is no recording %s", m->recording);
        return 0;
    }
    const msg_recording_job_t *job = recording_job(recording);
    msg_progress_t answer = {.recording = job->recording, .elements = job->elements, .bytes = job->bytes};
    if (recording->reel) {
        const journal_totals_t *totals = journal_totals(recording->reel->journal);
        progress_announce(recording);
        recording->progress = totals->records;
        answer.elements = (int64_t)totals->elements;
        answer.bytes = (int64_t)totals->bytes;
        answer.announced = recording->announced;
    }
    actor_answer(self->me, in->ticket, &answer);
    return 0;
}
