/* Any frames at a door: what is in the message is what was sent, nothing of it is left for the next one, and the answer comes back behind what
 * a REQ socket had put before the question.
 *
 * The input is frames: a byte for the size, and where that is 255 two more for a larger one. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/runtime/doors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES = 32 };

static door_t door;
static void *peer;

static void prepare(void) {
    static config_t config;
    void *context = zmq_ctx_new();
    fault_t why;
    must(context);
    snprintf(config.endpoints[ENDPOINT_COMMANDS], sizeof config.endpoints[0], "inproc://outside");
    must(door_open(&door, context, &config, &(door_spec_t){DOOR_ROUTER, ENDPOINT_COMMANDS, SCOPE_COMMANDS}, &why) == 0);
    peer = zmq_socket(context, ZMQ_DEALER);
    must(peer && zmq_connect(peer, "inproc://outside") == 0);
}

static size_t read_frames(const uint8_t *data, size_t size, bytes_t frames[FRAMES]) {
    size_t count = 0;
    while (count < FRAMES && size > 0) {
        size_t wanted = *data++;
        size--;
        if (wanted == 255 && size >= 2) {
            wanted = (size_t)data[0] << 8 | data[1];
            data += 2;
            size -= 2;
        }
        frames[count] = (bytes_t){data, wanted < size ? wanted : size};
        data += frames[count].size;
        size -= frames[count].size;
        count++;
    }
    return count;
}

static bool same(const frame_t *frame, bytes_t sent) {
    bytes_t got = frame_bytes(frame);
    return got.size == sent.size && (got.size == 0 || memcmp(got.data, sent.data, got.size) == 0);
}

/* How many of the frames stand before the message, as REQ sockets put them there. */
static size_t prefix_of(const bytes_t *frames, size_t count) {
    if (frames[0].size == 0) return 1;
    return count > 2 && frames[0].size == 4 && frames[1].size == 0 ? 2 : 0;
}

static void receive_frame(bytes_t wanted, bool more) {
    frame_t frame;
    frame_init(&frame);
    must(frame_receive(&frame, peer, ZMQ_DONTWAIT));
    must(same(&frame, wanted) && (zmq_msg_more(&frame.msg) != 0) == more);
    frame_fini(&frame);
}

static void answered(const door_message_t *got, const bytes_t *frames, size_t prefix) {
    static const bytes_t said = {(const uint8_t *)"answer", 6}, added = {(const uint8_t *)"body", 4};
    frame_t message, body;
    frame_copy_of(&message, said);
    frame_copy_of(&body, added);
    must(door_send(&door, &got->from, &got->prefix, &message, &body) == SENT);
    frame_fini(&message);
    frame_fini(&body);
    for (size_t i = 0; i < prefix; i++) receive_frame(frames[i], true);
    receive_frame(said, true);
    receive_frame(added, false);
    frame_init(&message);
    must(!frame_receive(&message, peer, ZMQ_DONTWAIT));
    frame_fini(&message);
}

static void knock(const uint8_t *data, size_t size) {
    bytes_t frames[FRAMES];
    door_message_t got;
    size_t count = read_frames(data, size, frames);
    if (count == 0) return;
    for (size_t i = 0; i < count; i++) must(zmq_send(peer, frames[i].data, frames[i].size, i + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
    must(door_receive(&door, 1, &got));
    must(got.from.door == 1);
    size_t prefix = prefix_of(frames, count);
    must(got.unaddressed == (count <= prefix));
    if (!got.unaddressed) {
        must(got.has_body == (count > prefix + 1) && got.frames_lost == (count > prefix + 2));
        must(same(&got.message, frames[prefix]) && (!got.has_body || same(&got.body, frames[prefix + 1])));
        frame_fini(&got.message);
        if (got.has_body) frame_fini(&got.body);
        answered(&got, frames, prefix);
    }
    must(!door_receive(&door, 1, &got));
}

/* libFuzzer's timer interrupts what libzmq waits for, as nothing does in the engine, where such signals have no handlers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sigset_t timer;
    if (!peer) prepare();
    sigemptyset(&timer);
    sigaddset(&timer, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &timer, NULL);
    knock(data, size);
    pthread_sigmask(SIG_UNBLOCK, &timer, NULL);
    return 0;
}
