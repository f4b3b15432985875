/* Reads one replay from the engine's test stream. */
#ifndef REPRISE_CLIENT_VIEWER_H
#define REPRISE_CLIENT_VIEWER_H

#include "client.h"

typedef struct viewer {
    client_t *client;
    channel_t channel;
    reply_t opened;    /* the msg_replay_t */
    int64_t replay;    /* its number */
    int64_t owed;      /* bytes taken that were not given back as credit */
    letter_t letter;   /* the event at hand */
    msgpack_zone zone; /* and what was decoded from it */
    bool held;
    struct {
        message_id_t id; /* MSG_ELEMENTS, MSG_WATERMARK, MSG_PROCESSING_TIME, MSG_GAP or MSG_END */
        union {
            msg_elements_t elements;
            msg_watermark_t watermark;
            msg_processing_time_t processing_time;
            msg_gap_event_t gap;
            msg_end_t end;
        } as;
        bytes_t body; /* of elements, checked */
    } event;
} viewer_t;

/* Opens the replay; `ask->credit` is set here. Release with viewer_close, also after a failure. */
status_t viewer_open(viewer_t *viewer, client_t *client, msg_replay_open_t *ask);
void viewer_close(viewer_t *viewer);

/* Waits for the next event, which stands in viewer->event until the next call. STATUS_UNREACHABLE where the engine has fallen silent. */
status_t viewer_next(viewer_t *viewer);
/* Is another event there already? */
bool viewer_ready(const viewer_t *viewer);

#endif
