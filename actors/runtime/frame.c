/* Frames: thin names over ZeroMQ messages, so that no actor touches libzmq. */
#include "frame.h"

#include <string.h>

#include "../../messages/fault.h"
#include "../../messages/handover.h"

void frame_init(frame_t *frame) {
    must(zmq_msg_init(&frame->msg) == 0);
}

void frame_copy_of(frame_t *frame, bytes_t bytes) {
    must(zmq_msg_init_size(&frame->msg, bytes.size) == 0);
    if (bytes.size > 0) memcpy(zmq_msg_data(&frame->msg), bytes.data, bytes.size);
}

void frame_wrap(frame_t *frame, bytes_t bytes, zmq_free_fn *done, void *hint) {
    must(zmq_msg_init_data(&frame->msg, (void *)(uintptr_t)bytes.data, bytes.size, done, hint) == 0);
}

void frame_move(frame_t *to, frame_t *from) {
    must(zmq_msg_move(&to->msg, &from->msg) == 0);
}

void frame_share(frame_t *to, const frame_t *from) {
    must(zmq_msg_copy(&to->msg, (zmq_msg_t *)(uintptr_t)&from->msg) == 0);
}

bytes_t frame_bytes(const frame_t *frame) {
    zmq_msg_t *msg = (zmq_msg_t *)(uintptr_t)&frame->msg;
    return (bytes_t){zmq_msg_data(msg), zmq_msg_size(msg)};
}

void frame_fini(frame_t *frame) {
    handover_give(zmq_msg_data(&frame->msg));
    handover_take(zmq_msg_data(&frame->msg));
    must(zmq_msg_close(&frame->msg) == 0);
}

bool frame_send(frame_t *frame, void *socket, int flags) {
    handover_give(zmq_msg_data(&frame->msg));
    return zmq_msg_send(&frame->msg, socket, flags) >= 0;
}

bool frame_receive(frame_t *frame, void *socket, int flags) {
    if (zmq_msg_recv(&frame->msg, socket, flags) < 0) return false;
    handover_take(zmq_msg_data(&frame->msg));
    return true;
}
