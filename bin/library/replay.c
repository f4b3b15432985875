/* Replays. The elements of an event are read where they came in, one by one; nothing is copied. Credit is what the engine may send ahead of
 * the reader: enough that the two never wait for each other at full speed, and given back in quarters, so that it costs next to nothing.
 *
 * There is no thread: what comes in waits in the socket, as much as the credit allows. Events that come in while an answer is awaited are
 * kept in a queue, as they stand before that answer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/head.h"
#include "../../messages/wire.h"
#include "engine.h"

enum {
    CREDIT = 4 * 1024 * 1024,
    TIMEOUT_MS = 30000,
    SILENCE_MS = 6000, /* three pings */
};

/* A letter that came before an answer. */
typedef struct kept {
    struct kept *next;
    letter_t letter;
} kept_t;

struct reprise_replay {
    reprise_t *engine; /* that it was opened by */
    channel_t channel;
    letter_t letter;     /* the event at hand */
    kept_t *kept, **end; /* those that follow it */
    msgpack_zone zone;   /* what was decoded from it */
    int64_t replay;      /* its number */
    int64_t credit, owed;
    int64_t timeout_ms, left; /* when the last call was left, in ms */
    uint64_t asked, position;
    bytes_t elements; /* those of the event that are not read yet */
    const char *tag;  /* theirs */
    bool ended;       /* `last` is the end */
    bool lost;        /* the connection is */
    bool failed;      /* `problem` is why */
    bool opened;      /* the engine knows it */
    reprise_event_t last;
    reprise_error_t problem;
    char recording[256];
    names_t tags; /* owned */
};

/* ---- life ---- */

static void kept_drop(reprise_replay_t *replay) {
    kept_t *first = replay->kept;
    replay->kept = first->next;
    if (!replay->kept) {
        replay->end = &replay->kept;
    }
    letter_fini(&first->letter);
    free(first);
}

static void tags_own(reprise_replay_t *replay, const names_t *tags) {
    replay->tags.items = calloc(tags->count + 1, sizeof *replay->tags.items);
    must(replay->tags.items);
    for (size_t i = 0; i < tags->count; i++) {
        replay->tags.items[i] = strdup(tags->items[i]);
        must(replay->tags.items[i]);
    }
    replay->tags.count = tags->count;
}

static void credit_give(reprise_replay_t *replay, int64_t at_least) {
    if (replay->owed == 0 || replay->owed < at_least) {
        return;
    }
    msg_replay_credit_t more = {.has_replay = true, .replay = replay->replay, .has_bytes = true, .bytes = replay->owed};
    if (channel_send(&replay->channel, MSG_REPLAY_CREDIT, &more, (bytes_t){0}, NULL)) {
        replay->owed = 0;
    }
}

/* An event is done with. */
static void letter_spent(reprise_replay_t *replay, const letter_t *letter) {
    replay->owed += (int64_t)(letter->head.size + letter->body.size);
    credit_give(replay, replay->credit / 4);
}

static void open_ask(const reprise_replay_options_t *options, int64_t credit, names_t *tags, msg_replay_open_t *ask) {
    *ask = (msg_replay_open_t){.has_pipeline = options->pipeline != NULL, .pipeline = options->pipeline};
    ask->has_recording = options->recording != NULL;
    ask->recording = options->recording;
    for (tags->count = 0; options->tags && options->tags[tags->count]; tags->count++) {
    }
    tags->items = (const char **)(uintptr_t)options->tags;
    ask->has_tags = tags->count > 0;
    ask->tags = *tags;
    ask->has_rate = options->rate != 0;
    ask->rate = options->rate;
    ask->has_from = options->from_element > 0 || options->from_offset_ms > 0;
    ask->from.has_element = options->from_element > 0;
    ask->from.element = (int64_t)options->from_element;
    ask->from.has_offset_ms = options->from_offset_ms > 0;
    ask->from.offset_ms = options->from_offset_ms;
    ask->has_max_elements = options->max_elements > 0;
    ask->max_elements = (int64_t)options->max_elements;
    ask->has_max_duration_ms = options->max_duration_ms > 0;
    ask->max_duration_ms = options->max_duration_ms;
    ask->has_follow = options->no_follow;
    ask->has_credit = true;
    ask->credit = credit;
}

static int replay_ask(reprise_replay_t *replay, message_id_t id, const void *message, letter_fn *other, letter_t *letter,
                      reprise_error_t *error) {
    echo_t echo = echo_of(++replay->asked);
    const char *op = message_class(id)->wire;
    if (!channel_send(&replay->channel, id, message, (bytes_t){echo.data, sizeof echo.data}, NULL)) {
        return problem_set(error, PROBLEM_UNREACHABLE, "the connection to the engine at %s is lost", replay->channel.endpoint);
    }
    return engine_await(&replay->channel, replay->asked, op, engine_deadline(replay->timeout_ms), letter, other, replay, error);
}

static int open_answered(reprise_replay_t *replay, reprise_error_t *error) {
    msg_replay_t answer;
    refusal_t no;
    if (message_decode(MSG_REPLAY, replay->letter.head, &replay->zone, &answer, &no) == -1) {
        return problem_set(error, error_name(ERROR_INTERNAL), "the engine's answer to `replay.open` is of another version: %s", no.message);
    }
    replay->replay = answer.replay;
    replay->opened = true;
    snprintf(replay->recording, sizeof replay->recording, "%s", answer.recording);
    tags_own(replay, &answer.tags);
    return 0;
}

static int options_check(const reprise_replay_options_t *options, reprise_error_t *error) {
    if (!options->pipeline == !options->recording) {
        return problem_set(error, PROBLEM_USAGE, "a replay needs a pipeline or a recording, and not both");
    }
    if (options->from_element > 0 && options->from_offset_ms > 0) {
        return problem_set(error, PROBLEM_USAGE, "a replay begins at an element or at a time, and not at both");
    }
    if (!(options->rate >= 0)) {
        return problem_set(error, PROBLEM_USAGE, "`rate` is %g, and must be 0 or more", options->rate);
    }
    return 0;
}

reprise_replay_t *reprise_replay_open(reprise_t *engine, const reprise_replay_options_t *options, reprise_error_t *error) {
    if (options_check(options, error) == -1) {
        return NULL;
    }
    reprise_replay_t *replay = calloc(1, sizeof *replay);
    must(replay);
    replay->engine = engine;
    replay->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    replay->credit = options->credit ? (int64_t)options->credit : CREDIT;
    replay->position = options->from_element;
    replay->end = &replay->kept;
    letter_init(&replay->letter);
    must(msgpack_zone_init(&replay->zone, MSGPACK_ZONE_CHUNK_SIZE));
    names_t tags;
    msg_replay_open_t ask;
    open_ask(options, replay->credit, &tags, &ask);
    if (engine_open(engine, SCOPE_TEST_STREAM, replay->timeout_ms, &replay->channel, error) == -1 ||
        replay_ask(replay, MSG_REPLAY_OPEN, &ask, NULL, &replay->letter, error) == -1 || open_answered(replay, error) == -1) {
        reprise_replay_close(&replay);
        return NULL;
    }
    letter_fini(&replay->letter);
    letter_init(&replay->letter);
    replay->left = channel_clock();
    return replay;
}

void reprise_replay_close(reprise_replay_t **replay) {
    reprise_replay_t *self = *replay;
    if (!self) {
        return;
    }
    if (self->opened && !self->ended && !self->lost) {
        msg_replay_close_t ask = {.has_replay = true, .replay = self->replay};
        channel_send(&self->channel, MSG_REPLAY_CLOSE, &ask, (bytes_t){0}, NULL);
    }
    while (self->kept) {
        kept_drop(self);
    }
    engine_close(self->engine, &self->channel);
    letter_fini(&self->letter);
    msgpack_zone_destroy(&self->zone);
    for (size_t i = 0; i < self->tags.count; i++) {
        free((char *)(uintptr_t)self->tags.items[i]);
    }
    free((void *)(uintptr_t)self->tags.items);
    free(self);
    *replay = NULL;
}

/* ---- events ---- */

/* The one pointer for this tag. */
static const char *tag_known(const reprise_replay_t *replay, const char *tag) {
    for (size_t i = 0; tag && i < replay->tags.count; i++) {
        if (strcmp(replay->tags.items[i], tag) == 0) {
            return replay->tags.items[i];
        }
    }
    return tag;
}

static int replay_fail(reprise_replay_t *replay, reprise_error_t *error) {
    replay->failed = true;
    if (error) {
        *error = replay->problem;
    }
    return -1;
}

/* 1, or 0 where the event holds none. */
static int element_take(reprise_replay_t *replay, reprise_event_t *ret) {
    if (replay->elements.size == 0) {
        return 0;
    }
    wire_element_t element = wire_element_at(replay->elements);
    *ret = (reprise_event_t){.kind = REPRISE_ELEMENT,
                             .tag = replay->tag,
                             .element = element.payload.data,
                             .size = element.payload.size,
                             .time = element.event_time,
                             .number = replay->position++,
                             .attributes = element.attributes.size > 0 ? element.attributes.data : NULL,
                             .attributes_size = element.attributes.size};
    replay->elements.data += element.size;
    replay->elements.size -= element.size;
    return 1;
}

static int elements_take(reprise_replay_t *replay, const msg_elements_t *event, reprise_event_t *ret, refusal_t *no) {
    uint32_t count;
    if (wire_body_check(replay->letter.body, &count, no) == -1) {
        return -1;
    }
    replay->elements = wire_body_elements(replay->letter.body, count);
    replay->tag = tag_known(replay, event->tag);
    replay->position = (uint64_t)event->element;
    return element_take(replay, ret);
}

static int end_take(reprise_replay_t *replay, const msg_end_t *event, reprise_event_t *ret) {
    replay->ended = true;
    replay->last = (reprise_event_t){.kind = REPRISE_END,
                                     .text = event->reason,
                                     .problem = event->has_error ? event->error : NULL,
                                     .number = (uint64_t)event->elements,
                                     .digest = event->has_digest ? event->digest : NULL};
    *ret = replay->last;
    return 1;
}

typedef union event {
    msg_elements_t elements;
    msg_watermark_t watermark;
    msg_processing_time_t processing_time;
    msg_gap_event_t gap;
    msg_end_t end;
} event_t;

/* 1: an event; 0: nothing for the reader; -1: what cannot be. */
static int event_take(reprise_replay_t *replay, message_id_t id, reprise_event_t *ret, refusal_t *no) {
    event_t as;
    msgpack_zone_clear(&replay->zone);
    must(message_class(id)->record.size <= sizeof as);
    if (message_decode(id, replay->letter.head, &replay->zone, &as, no) == -1) {
        return -1;
    }
    switch (id) {
    case MSG_ELEMENTS: return elements_take(replay, &as.elements, ret, no);
    case MSG_WATERMARK:
        *ret = (reprise_event_t){.kind = REPRISE_WATERMARK, .tag = tag_known(replay, as.watermark.tag), .time = as.watermark.to};
        return 1;
    case MSG_PROCESSING_TIME:
        *ret = (reprise_event_t){.kind = REPRISE_PROCESSING_TIME, .advance_us = as.processing_time.advance_us};
        return 1;
    case MSG_GAP:
        *ret = (reprise_event_t){.kind = REPRISE_GAP,
                                 .tag = as.gap.has_tag ? tag_known(replay, as.gap.tag) : NULL,
                                 .text = as.gap.what,
                                 .lost_us = as.gap.has_lost_us ? as.gap.lost_us : -1};
        return 1;
    case MSG_END: return end_take(replay, &as.end, ret);
    default: return 0;
    }
}

static int letter_take(reprise_replay_t *replay, reprise_event_t *ret) {
    bytes_t head = replay->letter.head, value;
    const char *name;
    size_t size;
    refusal_t no;
    if (wire_map_get(head, "event", &value) && wire_text(value, &name, &size)) {
        int taken = event_take(replay, message_find(SCOPE_TEST_STREAM, name, size), ret, &no);
        if (taken >= 0) {
            return taken;
        }
        problem_refused(&replay->problem, &no);
        snprintf(replay->problem.code, sizeof replay->problem.code, "%s", error_name(ERROR_CORRUPT));
        return -1;
    }
    replay->letter.head = replay->letter.body = (bytes_t){0}; /* it costs no credit */
    /* Only what this library sends is answered, and credit is refused where the engine does not know the replay. */
    if (wire_map_get(head, "ok", &value) && value.data[0] == 0xc2 && refusal_decode(head, &no) == 0 && no.code == ERROR_NOT_FOUND) {
        problem_set(&replay->problem, error_name(ERROR_NOT_FOUND),
                    "the engine at %s does not know this replay of %s any more: open it again", replay->channel.endpoint,
                    replay->recording);
        return -1;
    }
    return 0;
}

/* The next letter into `letter`: from the queue, or from the engine. */
static received_t letter_next(reprise_replay_t *replay, int64_t deadline) {
    letter_spent(replay, &replay->letter);
    letter_fini(&replay->letter);
    letter_init(&replay->letter);
    if (replay->kept) {
        letter_move(&replay->letter, &replay->kept->letter);
        kept_drop(replay);
        return RECEIVED;
    }
    int64_t silent = replay->channel.heard + (replay->timeout_ms > SILENCE_MS ? replay->timeout_ms : SILENCE_MS);
    received_t received = channel_receive(&replay->channel, deadline < silent ? deadline : silent, &replay->letter);
    if (received == RECEIVED_NOTHING && (replay->lost || channel_clock() >= silent)) {
        return RECEIVED_LOST;
    }
    return received;
}

static int gone(reprise_replay_t *replay, reprise_error_t *error) {
    replay->lost = true;
    problem_set(&replay->problem, PROBLEM_UNREACHABLE, "the engine at %s is gone: this replay of %s has come to element %" PRIu64,
                replay->channel.endpoint, replay->recording, replay->position);
    return replay_fail(replay, error);
}

static int event_next(reprise_replay_t *replay, int64_t timeout_ms, reprise_event_t *ret, reprise_error_t *error) {
    int64_t now = channel_clock(), deadline = replay->lost ? now : engine_deadline(timeout_ms);
    replay->channel.heard += now - replay->left; /* nobody was listening */
    for (;;) {
        int taken = 0;
        switch (letter_next(replay, deadline)) {
        case RECEIVED: taken = letter_take(replay, ret); break;
        case RECEIVED_NOTHING:
            if (channel_clock() >= deadline) {
                return 0;
            }
            break;
        case RECEIVED_INTERRUPT: return problem_interrupted(error);
        case RECEIVED_LOST:
            /* What had come before is in the socket still. */
            if (replay->lost) {
                return gone(replay, error);
            }
            replay->lost = true;
            deadline = channel_clock();
            break;
        }
        if (taken != 0) {
            return taken == 1 ? 1 : replay_fail(replay, error);
        }
    }
}

int reprise_replay_next(reprise_replay_t *replay, int64_t timeout_ms, reprise_event_t *ret_event, reprise_error_t *error) {
    if (element_take(replay, ret_event) == 1) {
        return 1;
    }
    if (replay->ended) {
        *ret_event = replay->last;
        return 1;
    }
    if (replay->failed) {
        return replay_fail(replay, error);
    }
    int result = event_next(replay, timeout_ms, ret_event, error);
    replay->left = channel_clock();
    return result;
}

bool reprise_replay_ready(const reprise_replay_t *replay) {
    int events = 0;
    size_t size = sizeof events;
    bool waits = replay->elements.size > 0 || replay->kept || replay->ended || replay->failed || replay->lost;
    return waits || (zmq_getsockopt(replay->channel.socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN));
}

/* ---- attributes ---- */

bool reprise_event_attribute(const reprise_event_t *event, size_t *at, reprise_attribute_t *ret_attribute) {
    const uint8_t *data = event->attributes;
    size_t size = event->attributes_size;
    if (!data || size == 0) {
        return false;
    }
    size_t here = *at > 0 ? *at : head_read(data, size).size;
    if (here >= size) {
        return false;
    }
    /* As wire_body_check has seen it: text, and text or bytes. */
    head_t name = head_read(data + here, size - here);
    size_t after = here + (size_t)head_own(&name);
    head_t value = head_read(data + after, size - after);
    *ret_attribute = (reprise_attribute_t){.name = (const char *)data + here + name.size,
                                           .name_size = name.length,
                                           .value = data + after + value.size,
                                           .size = value.length,
                                           .text = value.kind == HEAD_TEXT};
    *at = after + (size_t)head_own(&value);
    return true;
}

/* ---- commands ---- */

static void letter_keep(void *context, letter_t *letter) {
    reprise_replay_t *replay = context;
    kept_t *kept = calloc(1, sizeof *kept);
    must(kept);
    letter_init(&kept->letter);
    letter_move(&kept->letter, letter);
    *replay->end = kept;
    replay->end = &kept->next;
}

static int over(const reprise_replay_t *replay, reprise_error_t *error) {
    problem_set(error, error_name(ERROR_INVALID_STATE), "this replay of %s has been sent to its end: open another", replay->recording);
    if (error) {
        error->retry = false;
    }
    return -1;
}

/* 0, with what came before the answer in the queue. */
static int replay_command(reprise_replay_t *replay, message_id_t id, const void *message, reprise_error_t *error) {
    letter_t answer;
    reprise_error_t why;
    if (replay->failed) {
        return replay_fail(replay, error);
    }
    if (replay->ended) {
        return over(replay, error);
    }
    letter_init(&answer);
    int result = replay_ask(replay, id, message, letter_keep, &answer, &why);
    letter_fini(&answer);
    replay->left = channel_clock();
    if (result == -1 && strcmp(why.code, error_name(ERROR_NOT_FOUND)) == 0 && replay->kept) {
        return over(replay, error); /* its end is among the events that are there */
    }
    if (result == -1) {
        replay->lost |= strcmp(why.code, PROBLEM_UNREACHABLE) == 0;
        if (error) {
            *error = why;
        }
    }
    return result;
}

int reprise_replay_pause(reprise_replay_t *replay, reprise_error_t *error) {
    return replay_command(replay, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.has_replay = true, .replay = replay->replay}, error);
}

int reprise_replay_resume(reprise_replay_t *replay, reprise_error_t *error) {
    return replay_command(replay, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.has_replay = true, .replay = replay->replay}, error);
}

int reprise_replay_step(reprise_replay_t *replay, uint64_t events, reprise_error_t *error) {
    msg_replay_step_t ask = {.has_replay = true, .replay = replay->replay, .has_events = true, .events = (int64_t)events};
    return replay_command(replay, MSG_REPLAY_STEP, &ask, error);
}

int reprise_replay_rate(reprise_replay_t *replay, double rate, reprise_error_t *error) {
    msg_replay_rate_t ask = {.has_replay = true, .replay = replay->replay, .has_rate = true, .rate = rate};
    return replay_command(replay, MSG_REPLAY_RATE, &ask, error);
}

/* What stands before the answer is from the old place. */
static int replay_seek(reprise_replay_t *replay, const msg_replay_seek_t *ask, reprise_error_t *error) {
    if (replay_command(replay, MSG_REPLAY_SEEK, ask, error) == -1) {
        return -1;
    }
    while (replay->kept) {
        letter_spent(replay, &replay->kept->letter);
        kept_drop(replay);
    }
    replay->elements = (bytes_t){0};
    return 0;
}

int reprise_replay_seek_element(reprise_replay_t *replay, uint64_t element, reprise_error_t *error) {
    msg_replay_seek_t ask = {.has_replay = true, .replay = replay->replay, .has_element = true, .element = (int64_t)element};
    return replay_seek(replay, &ask, error);
}

int reprise_replay_seek_offset(reprise_replay_t *replay, int64_t offset_ms, reprise_error_t *error) {
    msg_replay_seek_t ask = {.has_replay = true, .replay = replay->replay, .has_offset_ms = true, .offset_ms = offset_ms};
    return replay_seek(replay, &ask, error);
}

const char *reprise_replay_recording(const reprise_replay_t *replay) {
    return replay->recording;
}

uint64_t reprise_replay_position(const reprise_replay_t *replay) {
    return replay->position;
}
