/* A replay: the events of a recording, one after another, in the one order that they have. It knows no client, no credit and no pace:
 * the player (player.h) sends what it gives.
 *
 * The order is a function of the log and of what was asked, of nothing else: not of when it is read, nor of how fast, nor of what the
 * recording still had to come.
 *  1. The records come in the log's order.
 *  2. Before a record that sends something and is later than the replay's clock comes one `processing_time` with the difference. The clock
 *     begins at the recording's start, so that what left-out records took is added up.
 *  3. An elements record is one `elements` event, its body as recorded, and none where it has no element; a watermark record is one
 *     `watermark`; a gap record one `gap`, without a tag where the hole is in every stream. Where several tags name the stream, each gets
 *     its event, in the order of the tags. A stream's end is no event.
 *  4. `from`, and a seek: first each tag's watermark at that place, where it has one, in the order of the tags; then as above from the
 *     record found, the clock at the recording's start again. Of a record that holds the element sought, those before it are cut off. A
 *     place that a growing recording has not reached yet is waited for.
 *  5. `max_elements` cuts the last body. `max_duration_ms` ends the replay before the first record of the log that is later, counted from
 *     the recording's start or from the place sought.
 *  6. At the end, or at a limit: `watermark` to WATERMARK_MAX for each tag, in the order of the tags; then `end`. A replay that is closed,
 *     stopped, invalidated, or meets damage has only the `end`.
 * Tags are ordered by their bytes. The digest folds each record of which something was sent, once, with the body that its first tag got:
 * that of a whole replay of all streams is the recording's own. */
#ifndef REPRISE_REPLAY_H
#define REPRISE_REPLAY_H

#include "runtime/frame.h"
#include "tape.h"

typedef struct replay replay_t;

typedef struct replay_event {
    message_id_t id;
    const void *message;
    frame_t *body; /* NULL: none. May be moved out of */
    size_t size;   /* of both frames, as clients count credit */
    size_t copied; /* of the body: 0 where it is the recording's own, else all of it */
    int64_t at;    /* when it is due, on the recording's clock */
} replay_event_t;

/* `ask`: what to send; its tags are not looked at. `tags`: those to send, sorted by tag, with the signatures that they name; one that is
 * not in the recording only gets its last watermark. `tape` must live as long. */
replay_t *replay_create(tape_t *tape, int64_t number, const msg_replay_open_t *ask, const msg_tag_t *tags, size_t count);
void replay_destroy(replay_t **replay);

typedef enum replay_state {
    REPLAY_WAITS, /* for the recording to grow */
    REPLAY_BUSY,  /* it passed over much that it does not send: ask again, but let others have their turn */
    REPLAY_READY, /* there is an event */
    REPLAY_OVER,  /* `end` was taken */
} replay_state_t;

/* The next event. It stays the next one until replay_taken says that it was sent. */
replay_state_t replay_next(replay_t *replay, const replay_event_t **ret_event);
void replay_taken(replay_t *replay);

/* Where the replay stands on the recording's clock: the time of the last record of which something was sent, or of the place sought. */
int64_t replay_at(const replay_t *replay);
/* True once after each time that the replay has found its place: replay_at gives it. */
bool replay_placed(replay_t *replay);

/* Goes on from another place; `element` < 0: from `offset_ms`. */
void replay_seek(replay_t *replay, int64_t element, int64_t offset_ms);
/* The next event is `end`. `reason` is a constant; `error` may be NULL. */
void replay_end(replay_t *replay, const char *reason, const char *error);

#endif
