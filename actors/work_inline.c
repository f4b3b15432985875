/* The events of a recording, gathered to stand in the pipeline itself, for those who run it and call no endpoint. The librarian makes them, a piece at
 * a time, so that nobody waits; what has been gathered is bounded by an option, and one run at a time gathers. */
#include <stdlib.h>
#include <string.h>

#include "work.h"

static int on_piece(void *state, const answer_t *answer, uint64_t serial, fault_t *why);

static void ask_piece(pipeline_tracker_t *t, const work_t *work, const char *from) {
    msg_tag_t *tags;
    size_t count = work_tags(work->comparison, &tags);
    msg_recording_events_t ask = {.recording = work->decision->recording,
                                  .tags = {count, tags},
                                  .has_max_elements = work->elements_max > 0,
                                  .max_elements = work->elements_max,
                                  .has_from = from != NULL,
                                  .from = from};
    actor_ask(t->me, "librarian", MSG_RECORDING_EVENTS, &ask, on_piece, work->serial);
    free(tags);
}

static int take_piece(const pipeline_tracker_t *t, work_t *work, const msg_exported_t *piece, refusal_t *no) {
    if (piece->data.size > 0) must(msgpack_sbuffer_write(&work->events, (const char *)piece->data.data, piece->data.size) == 0);
    if (work->events.size <= (uint64_t)t->inline_size_max) return 0;
    return refuse(
        no, ERROR_TOO_LARGE, "inlined",
        "the events of recording `%.80s` have more than %lld bytes (`inline_size_max`): those of the first %lld of its %lld elements "
        "have %zu already; `max_elements` asks for fewer",
        piece->recording, (long long)t->inline_size_max, (long long)piece->element, (long long)piece->elements, work->events.size);
}

/* All of them are there. What no answer has room for is refused while it still can be. */
static int take_events(const pipeline_tracker_t *t, work_t *work, refusal_t *no) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    int result = work_rewrite(t, work, &out, no);
    msgpack_sbuffer_destroy(&out);
    work->has_events = result == 0;
    return result;
}

static int on_piece(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    pipeline_tracker_t *t = state;
    work_t *work = work_of_serial(t, serial);
    const msg_exported_t *piece = answer->message;
    refusal_t no;
    (void)why;
    if (!work) return 0;
    if (answer->refusal) {
        work_refuse(t, work, answer->refusal);
    } else if (take_piece(t, work, piece, &no) < 0 || (piece->complete && take_events(t, work, &no) < 0)) {
        work_refuse(t, work, &no);
    } else if (piece->complete) {
        work_proceed(t, work);
    } else {
        ask_piece(t, work, piece->next);
    }
    return 0;
}

bool work_inline(pipeline_tracker_t *t, work_t *work) {
    if (!work->inlined) return true;
    if (work->comparison->recordables.count == 0) {
        work->has_events = true; /* none */
        return true;
    }
    if (strcmp(work->decision->reason, "recording_valid") != 0) return true;
    ask_piece(t, work, NULL);
    return false;
}
