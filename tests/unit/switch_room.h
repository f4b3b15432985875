/* The Beam gateway on a stage, with the test in the place of gRPC and of those behind the gateway: all that a port is told is written down, and
 * its news is what the test says. */
#ifndef REPRISE_TEST_SWITCH_ROOM_H
#define REPRISE_TEST_SWITCH_ROOM_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "desk.h"

#include "actors/beam/beam_gateway.h"
#include "actors/beam/beam_port.h"

enum { SAID_MAX = 256, NEWS_MAX = 64, LINES_MAX = 16 };

/* What became of a call, or what it was sent. */
typedef struct said {
    uint64_t call;
    bool ended, spare;
    call_status_t status;
    char text[1024];
    uint8_t message[256];
    size_t size;
    int64_t cost;
} said_t;

struct beam_port {
    int descriptor;
    port_news_t news[NEWS_MAX];
    size_t news_count, news_taken;
    said_t said[SAID_MAX];
    size_t said_count, said_read;
    char lines[LINES_MAX][64]; /* the addresses, by number; empty: nobody listens */
    size_t resets;
    bool taken; /* the next listen fails */
};
static beam_port_t room;

beam_port_t *beam_port_open(const config_t *config, fault_t *why) {
    (void)config, (void)why;
    room = (beam_port_t){.descriptor = eventfd(0, EFD_NONBLOCK)};
    return &room;
}

void beam_port_close(beam_port_t **port, const char *text) {
    (void)text;
    close((*port)->descriptor);
    *port = NULL;
}

void beam_port_reset(beam_port_t *port, const char *text) {
    (void)text;
    port->resets++;
}

int beam_port_listen(beam_port_t *port, uint32_t line, const char *address, fault_t *why) {
    if (port->taken) {
        port->taken = false;
        return fault_set(why, "cannot bind the beam endpoint %s: Address already in use", address);
    }
    snprintf(port->lines[line], sizeof port->lines[line], "%s", address);
    return 0;
}

void beam_port_unlisten(beam_port_t *port, uint32_t line, const char *text) {
    (void)text;
    port->lines[line][0] = '\0';
}

int beam_port_descriptor(const beam_port_t *port) {
    return port->descriptor;
}

bool beam_port_take(beam_port_t *port, port_news_t *ret) {
    uint64_t count;
    if (port->news_taken == port->news_count) return read(port->descriptor, &count, sizeof count) > 0 && false;
    *ret = port->news[port->news_taken++];
    return true;
}

void port_news_fini(port_news_t *news) {
    free(news->method);
    free(news->request);
}

void beam_port_send(beam_port_t *port, uint64_t call, beam_message_t *message, int64_t cost, bool spare) {
    said_t *said = &port->said[port->said_count++];
    assert_true(port->said_count < SAID_MAX && message->size <= sizeof said->message);
    *said = (said_t){.call = call, .size = message->size, .cost = cost, .spare = spare};
    memcpy(said->message, message->data, message->size);
    free(message->memory);
}

void beam_port_end(beam_port_t *port, uint64_t call, call_status_t status, const char *text) {
    said_t *said = &port->said[port->said_count++];
    assert_true(port->said_count < SAID_MAX);
    *said = (said_t){.call = call, .ended = true, .status = status};
    snprintf(said->text, sizeof said->text, "%s", text);
}

void beam_port_flush(beam_port_t *port) {
    (void)port;
}

/* ---- what a test does ---- */

static inline void news(stage_t *stage, port_news_t one) {
    uint64_t count = 1;
    assert_true(room.news_count < NEWS_MAX);
    room.news[room.news_count++] = one;
    assert_int_equal(write(room.descriptor, &count, sizeof count), sizeof count);
    stage_run(stage);
}

static inline void call_method(stage_t *stage, uint64_t call, uint32_t line, const char *method, const char *id) {
    size_t size = id ? strlen(id) + 2 : 0;
    uint8_t *request = calloc(1, size + 1);
    if (id) {
        request[0] = 1 << 3 | 2;
        request[1] = (uint8_t)strlen(id);
        memcpy(request + 2, id, strlen(id));
    }
    news(stage, (port_news_t){.kind = NEWS_CALL, .call = call, .line = line, .method = strdup(method), .request = request, .size = size});
}

static inline void call_events(stage_t *stage, uint64_t call, uint32_t line, const char *id) {
    call_method(stage, call, line, "/org.apache.beam.model.interactive.v1.TestStreamService/Events", id);
}

static inline const said_t *said(uint64_t call) {
    if (room.said_read == room.said_count) fail_msg("nothing was said to a call");
    const said_t *one = &room.said[room.said_read++];
    assert_int_equal(one->call, call);
    return one;
}

static inline void assert_quiet(void) {
    assert_int_equal(room.said_read, room.said_count);
}

static inline void assert_ended(uint64_t call, call_status_t status, const char *words) {
    const said_t *one = said(call);
    assert_true(one->ended);
    assert_int_equal(one->status, status);
    if (!strstr(one->text, words)) fail_msg("\"%s\" does not say \"%s\"", one->text, words);
}

static inline stage_t *switch_room_with(int32_t first, int32_t last) {
    stage_t *stage = stage_create(11, NULL);
    snprintf(stage_config(stage)->beam, sizeof stage_config(stage)->beam, "127.0.0.1:5574");
    stage_config(stage)->beam_first = first;
    stage_config(stage)->beam_last = last;
    stage_add(stage, &beam_gateway_class, "beam_gateway", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static inline stage_t *switch_room(void) {
    return switch_room_with(0, 0);
}

/* The pipeline has one tag, `Read`, and the test-stream server opens that replay. */
static inline void opened(stage_t *stage, int64_t replay) {
    static const char *tags[] = {"Read"};
    msg_tag_t tag = {.tag = "Read", .signature = "s"};
    desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_t){.tags = {1, &tag}});
    desk_answer(stage, "test-stream", MSG_REPLAY_OPEN, &(msg_replay_t){.replay = replay, .recording = "r1", .tags = {1, tags}});
}

static inline void event(stage_t *stage, message_id_t id, const void *message, bytes_t body) {
    stage_door_tell(stage, "beam_gateway", 0, id, message, body);
    stage_run(stage);
}

#endif
