/* Feeds one source of a job with batches, by the ingest protocol, each batch exactly once. */
#ifndef REPRISE_CLIENT_PUSHER_H
#define REPRISE_CLIENT_PUSHER_H

#include "client.h"

typedef struct batch {
    struct batch *next;
    int64_t seq;
    int64_t count; /* elements */
    int64_t watermark;
    bool has_watermark;
    int64_t size; /* of all frames, once sent */
    msgpack_sbuffer body;
} batch_t;

typedef struct pusher {
    client_t *client;
    const char *pipeline, *tag; /* borrowed */
    char producer[64];
    channel_t channel;
    letter_t letter;
    msgpack_zone zone;
    bool held;
    int64_t source, credit, next_seq;
    int64_t unacknowledged;    /* bytes */
    bool lost;                 /* the engine does not know this attachment any more */
    batch_t *first, **last;    /* sent and not acknowledged, in order */
    int64_t recorded, refused; /* elements */
    char job[256];
    char stopped[64]; /* why the job takes no more; empty while it does */
} pusher_t;

/* Attaches. `producer` is NULL for one of its own. Release with pusher_close, also after a failure. */
status_t pusher_open(pusher_t *pusher, client_t *client, const char *pipeline, const char *tag, const char *producer);
void pusher_close(pusher_t *pusher);

/* May another batch be sent? */
bool pusher_has_room(const pusher_t *pusher);
/* Sends a body (a msgpack array), whose bytes are taken over. After a stop it is dropped. */
void pusher_send(pusher_t *pusher, msgpack_sbuffer *body, int64_t count, bool has_watermark, int64_t watermark);

/* Takes what the engine has said, until `deadline` if that is later than now or something has come. Attaches again after a restart of the
 * engine, and sends again what was not recorded. */
status_t pusher_pump(pusher_t *pusher, int64_t deadline);
/* Waits until all that was sent is recorded or refused, or the job has stopped. */
status_t pusher_drain(pusher_t *pusher);
/* Says that this source has ended. */
status_t pusher_done(pusher_t *pusher);

#endif
