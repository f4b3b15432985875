/* A frame: bytes that travel between actors and to clients without being copied. A ZeroMQ message underneath. */
#ifndef REPRISE_FRAME_H
#define REPRISE_FRAME_H

#include <zmq.h>

#include "../../messages/message.h"

typedef struct frame {
    zmq_msg_t msg;
} frame_t;

void frame_init(frame_t *frame);                   /* empty */
void frame_copy_of(frame_t *frame, bytes_t bytes); /* owns a copy */
/* Borrows `bytes`; `done(data, hint)` is called once, from any thread, when nobody needs them any more. */
void frame_wrap(frame_t *frame, bytes_t bytes, zmq_free_fn *done, void *hint);
void frame_move(frame_t *to, frame_t *from);        /* `from` is empty afterwards; `to` must have been initialised */
void frame_share(frame_t *to, const frame_t *from); /* both hold the same bytes */
bytes_t frame_bytes(const frame_t *frame);          /* valid until the frame is moved or freed */
void frame_fini(frame_t *frame);

/* Over a ZeroMQ socket; `flags` as zmq_msg_send and zmq_msg_recv take them. False: errno says why, and the frame is as it was. A frame that
 * was sent is empty. */
bool frame_send(frame_t *frame, void *socket, int flags);
bool frame_receive(frame_t *frame, void *socket, int flags);

#endif
