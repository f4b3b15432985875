/* The library against an engine that says anything: answers and events of any content, in any order. Whatever comes, each call returns, hands out
 * only what is whole, and says why it failed.
 *
 * The engine's side is a socket of the same context, and what it says is sent when the library looks for it (zmq_poll is wrapped): so nothing
 * waits. The waits end anyway, as the user's interruption is there at any time. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bin/library/engine.h"
#include "draw.h"
#include "messages/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS_MAX = 40, LETTERS_MAX = 8, SAID_MAX = 1000 };

static const char *const names[] = {"Read", "Other", "job-1", "bad_request", "not_found", "end", "count", "unavailable", "conflict", NULL};

static reprise_t *engine;
static void *commands, *other; /* the engine's ends */

/* What it says, in order, and how much of that was sent. A feed's thread sends it as well. */
static struct said {
    void *end;
    zmq_msg_t head, body;
    bool has_body;
} said[SAID_MAX];
static size_t said_count, said_sent;
static pthread_mutex_t said_mutex = PTHREAD_MUTEX_INITIALIZER;

static void *end_make(const char *endpoint) {
    void *end = zmq_socket(engine->context, ZMQ_DEALER);
    must(end && zmq_bind(end, endpoint) == 0);
    return end;
}

static void prepare(void) {
    reprise_error_t error;
    engine = reprise_connect("inproc://engine", &error);
    must(engine);
    commands = end_make("inproc://engine");
    reprise_interrupt_by(engine, eventfd(1, EFD_CLOEXEC));
}

/* Throws away what the library says. */
static void ignore(void *end) {
    for (zmq_msg_t message;; zmq_msg_close(&message)) {
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, end, ZMQ_DONTWAIT) >= 0) continue;
        zmq_msg_close(&message);
        return;
    }
}

/* ---- what the engine says ---- */

int __real_zmq_poll(zmq_pollitem_t *items, int count, long timeout);
int __wrap_zmq_poll(zmq_pollitem_t *items, int count, long timeout);

int __wrap_zmq_poll(zmq_pollitem_t *items, int count, long timeout) {
    pthread_mutex_lock(&said_mutex);
    while (said_sent < said_count) {
        struct said *next = &said[said_sent];
        /* Nobody is connected yet. */
        if (zmq_msg_send(&next->head, next->end, ZMQ_DONTWAIT | (next->has_body ? ZMQ_SNDMORE : 0)) < 0) break;
        if (next->has_body) must(zmq_msg_send(&next->body, next->end, ZMQ_DONTWAIT) >= 0);
        said_sent++;
    }
    pthread_mutex_unlock(&said_mutex);
    return __real_zmq_poll(items, count, timeout);
}

static void frame_make(zmq_msg_t *frame, const msgpack_sbuffer *bytes) {
    must(zmq_msg_init_size(frame, bytes->size) == 0);
    if (bytes->size > 0) memcpy(zmq_msg_data(frame), bytes->data, bytes->size);
}

static void say(void *end, const msgpack_sbuffer *head, const msgpack_sbuffer *body) {
    pthread_mutex_lock(&said_mutex);
    if (said_count < SAID_MAX) {
        struct said *next = &said[said_count++];
        next->end = end;
        next->has_body = body != NULL;
        frame_make(&next->head, head);
        if (body) frame_make(&next->body, body);
    }
    pthread_mutex_unlock(&said_mutex);
}

/* What nobody has heard. */
static void said_forget(void) {
    for (; said_sent < said_count; said_sent++) {
        zmq_msg_close(&said[said_sent].head);
        if (said[said_sent].has_body) zmq_msg_close(&said[said_sent].body);
    }
    said_sent = said_count = 0;
}

static void pack_entry(msgpack_packer *packer, const char *name) {
    msgpack_pack_str_with_body(packer, name, strlen(name));
}

/* An answer of that class to the request of that number; or a refusal, which is made of the same bytes. */
static void answer(draw_t *draw, void *end, message_id_t id, uint64_t number) {
    msgpack_sbuffer head;
    msgpack_packer packer;
    unsigned how = draw_byte(draw);
    msgpack_sbuffer_init(&head);
    msgpack_packer_init(&packer, &head, msgpack_sbuffer_write);
    if (how % 4 == 3) {
        msgpack_pack_map(&packer, 3);
        pack_entry(&packer, "error");
        draw_record(draw, RECORD_CLASS(refusal_map), &packer, 0, 2);
    } else {
        draw_record(draw, record_class_of(id), &packer, 2, 4);
    }
    pack_entry(&packer, "ok");
    how % 4 == 3 ? msgpack_pack_false(&packer) : how == 250 ? msgpack_pack_nil(&packer) : msgpack_pack_true(&packer);
    pack_entry(&packer, "id");
    msgpack_pack_uint64(&packer, how > 240 ? draw_byte(draw) : number);
    say(end, &head, NULL);
    msgpack_sbuffer_destroy(&head);
}

static void answer_info(const char *endpoint, uint64_t number) {
    msgpack_sbuffer head;
    msg_engine_t info = {.version = "x", .endpoints = {.ingest = endpoint, .test_stream = endpoint, .commands = "", .notifications = ""}};
    echo_t echo = echo_of(number);
    msgpack_sbuffer_init(&head);
    message_encode(MSG_ENGINE, &info, true, (bytes_t){echo.data, sizeof echo.data}, &head);
    say(commands, &head, NULL);
    msgpack_sbuffer_destroy(&head);
}

/* Something that nobody asked for: an event or a message of those, with a body; or any bytes. */
static void speak(draw_t *draw, void *end, const message_id_t *ids, size_t count) {
    msgpack_sbuffer head, body;
    msgpack_packer packer;
    unsigned how = draw_byte(draw);
    message_id_t id = how > 240 ? (message_id_t)(MSG_NONE + 1 + draw_byte(draw) % (MESSAGE_COUNT - 1)) : ids[how % count];
    const message_class_t *class = message_class(id);
    msgpack_sbuffer_init(&head);
    msgpack_sbuffer_init(&body);
    msgpack_packer_init(&packer, &head, msgpack_sbuffer_write);
    if (how == 239) {
        bytes_t raw = draw_bytes(draw, draw_byte(draw));
        if (raw.size > 0) msgpack_sbuffer_write(&head, (const char *)raw.data, raw.size);
    } else {
        draw_record(draw, record_class_of(id), &packer, 1, 4);
        pack_entry(&packer, class->scope == SCOPE_TEST_STREAM ? "event" : "op");
        pack_entry(&packer, class->wire);
    }
    bool has_body = id == MSG_ELEMENTS || how == 238;
    if (has_body) draw_body(draw, &body);
    say(end, &head, has_body ? &body : NULL);
    msgpack_sbuffer_destroy(&head);
    msgpack_sbuffer_destroy(&body);
}

/* ---- what the library makes of it ---- */

static void failed(const reprise_error_t *error) {
    must(error->code[0] && error->message[0] && text_valid(error->message, strlen(error->message)));
    must(text_valid(error->field, strlen(error->field)));
}

static void check_event(const reprise_event_t *event) {
    reprise_attribute_t attribute;
    uint32_t sum = 0;
    must(event->kind >= REPRISE_ELEMENT && event->kind <= REPRISE_END);
    if (event->kind == REPRISE_ELEMENT || event->kind == REPRISE_WATERMARK) must(event->tag && text_valid(event->tag, strlen(event->tag)));
    if (event->kind == REPRISE_GAP || event->kind == REPRISE_END) must(event->text && text_valid(event->text, strlen(event->text)));
    for (size_t i = 0; i < event->size; i++) sum += ((const uint8_t *)event->element)[i];
    for (size_t at = 0; reprise_event_attribute(event, &at, &attribute);) {
        must(text_valid(attribute.name, attribute.name_size) || attribute.name_size > 0);
        for (size_t i = 0; i < attribute.size; i++) sum += ((const uint8_t *)attribute.value)[i];
    }
    must(event->size == 0 || sum < UINT32_MAX);
}

static const message_id_t events[] = {MSG_ELEMENTS, MSG_ELEMENTS, MSG_WATERMARK, MSG_PROCESSING_TIME, MSG_GAP, MSG_END, MSG_PING};
static const message_id_t words[] = {MSG_SOURCE_ACK, MSG_SOURCE_NACK, MSG_SOURCE_STOP, MSG_PING};

static void replay_call(draw_t *draw, reprise_replay_t *replay, uint64_t *asked) {
    reprise_error_t error = {.code = ""};
    reprise_event_t event = {0};
    int result = 0;
    unsigned what = draw_byte(draw) % 16;
    for (unsigned letters = draw_byte(draw) % LETTERS_MAX; letters > 0; letters--)
        speak(draw, other, events, sizeof events / sizeof *events);
    if (what < 6) answer(draw, other, MSG_OK, ++*asked);
    switch (what) {
    case 0: result = reprise_replay_pause(replay, &error); break;
    case 1: result = reprise_replay_resume(replay, &error); break;
    case 2: result = reprise_replay_step(replay, draw_byte(draw), &error); break;
    case 3: result = reprise_replay_rate(replay, draw_byte(draw), &error); break;
    case 4: result = reprise_replay_seek_element(replay, draw_byte(draw), &error); break;
    case 5: result = reprise_replay_seek_offset(replay, draw_byte(draw), &error); break;
    default:
        result = reprise_replay_next(replay, 0, &event, &error);
        if (result == 1) check_event(&event);
    }
    if (result < 0) failed(&error);
    reprise_replay_ready(replay);
}

static void replay(draw_t *draw) {
    static const char *const tags[] = {"Read", NULL};
    unsigned how = draw_byte(draw);
    uint64_t asked = 1;
    reprise_error_t error = {.code = ""};
    reprise_replay_options_t options = {.pipeline = "p", .tags = how % 2 ? tags : NULL, .credit = how % 4 < 2 ? 0 : 16, .timeout_ms = 1000};
    answer(draw, other, MSG_REPLAY, 1);
    reprise_replay_t *opened = reprise_replay_open(engine, &options, &error);
    if (!opened) {
        failed(&error);
        return;
    }
    must(text_valid(reprise_replay_recording(opened), strlen(reprise_replay_recording(opened))));
    for (int i = 0; i < CALLS_MAX && draw->size > 0; i++) replay_call(draw, opened, &asked);
    reprise_replay_close(&opened);
}

static void feed(draw_t *draw) {
    reprise_error_t error = {.code = ""};
    reprise_feed_options_t options = {.pipeline = "p", .tag = "Read", .producer = "x", .linger_us = 1, .batch_count = 2, .timeout_ms = 1};
    answer(draw, other, MSG_SOURCE_ATTACHED, 1);
    reprise_feed_t *opened = reprise_feed_open(engine, &options, &error);
    if (!opened) {
        failed(&error);
        return;
    }
    for (int i = 0; i < CALLS_MAX && draw->size > 0; i++) {
        int result = 0;
        unsigned what = draw_byte(draw) % 8;
        if (what < 4) result = reprise_push(opened, "element", draw_byte(draw) % 8, draw_byte(draw), &error);
        if (what == 4) result = reprise_feed_watermark(opened, draw_byte(draw), &error);
        if (what == 5) result = reprise_feed_flush(opened, 0, &error);
        if (what == 6) speak(draw, other, words, sizeof words / sizeof *words);
        if (what == 7) answer(draw, other, MSG_SOURCE_ATTACHED, draw_byte(draw) % 4);
        if (result < 0) failed(&error);
    }
    const char *stopped = reprise_feed_stopped(opened);
    must(!stopped || text_valid(stopped, strlen(stopped)));
    if (reprise_feed_done(opened, 1, &error) < 0) failed(&error);
    reprise_counts_t counts;
    reprise_feed_counts(opened, &counts);
    must(counts.recorded <= counts.pushed);
    reprise_feed_close(&opened);
}

static void ask(draw_t *draw) {
    static const uint8_t request[] = {0x81, 0xa2, 'o', 'p', 0xa1, 'x'};
    reprise_error_t error = {.code = ""};
    const void *got;
    size_t size;
    reprise_run_t ran;
    reprise_job_t waited;
    uint64_t before = engine->asked;
    answer(draw, commands, MSG_PIPELINE_RUN, before + 1);
    answer(draw, commands, MSG_JOB, before + 2);
    answer(draw, commands, MSG_JOB, before + 3);
    if (reprise_run(engine, "p", NULL, 0, NULL, 1, &ran, &error) < 0) failed(&error);
    if (reprise_wait(engine, "p", 0, &waited, &error) < 0) failed(&error);
    if (reprise_ask(engine, request, sizeof request, 1, &got, &size, &error) < 0) failed(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned made;
    char endpoint[64];
    letter_t left;
    if (!engine) prepare();
    draw_t draw = {.data = data, .size = size, .names = names, .pair = {"reason", "end"}};
    unsigned what = draw_byte(&draw);
    while (channel_was_lost(&engine->commands)) continue;
    snprintf(endpoint, sizeof endpoint, "inproc://other-%u", made++);
    other = end_make(endpoint);
    if (what > 250)
        answer(&draw, commands, MSG_ENGINE, engine->asked + 1);
    else if (what % 4 != 3)
        answer_info(endpoint, engine->asked + 1);
    if (what % 4 == 3) ask(&draw);
    if (what % 4 == 2) feed(&draw);
    if (what % 4 < 2) replay(&draw);
    said_forget();
    letter_init(&left);
    while (channel_receive(&engine->commands, 0, &left) == RECEIVED) continue;
    letter_fini(&left);
    ignore(commands);
    zmq_close(other);
    return 0;
}
