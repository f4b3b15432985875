/* Why a source resumes instead of sending again: what is not acknowledged may be lost with the recorder's state, and which part of it was
 * recorded only the recording knows. So batches are not kept. Every attachment says how far the recording has come, by a cursor that was
 * written together with the elements, and the source produces from there: nothing is missing and nothing is twice.
 *
 * A recorder that lost its state says so only to the next batch. If everything that was on its way was lost with it, there is none: then
 * its silence is the sign. */
#include "feed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/handover.h"
#include "../../messages/text.h"
#include "../../messages/wire.h"
#include "payload.h"

enum {
    DOOR = 0,
    HEADER_BYTES = 5,             /* of the body's array: of fixed size, as the count comes last */
    ELEMENT_OVERHEAD = 1 + 9 + 5, /* of an element's array, time and size, at most */
    ROOM_LEAST = 4 * 1024,        /* of a body's buffer */
    ROOM_KEPT = 16 * 1024,        /* at most, when what was in it is sent as a copy */
    MESSAGE_OVERHEAD = 128,       /* of a batch's first frame without its tag and cursor, at most */
    BACKOFF_FIRST = 10 * 1000,    /* µs */
    BACKOFF_LAST = 1000 * 1000,
    SILENCE = 5 * 1000 * 1000, /* µs; longer than the recorder's pings are apart */
};

static void attach(feed_t *feed);
static void attach_anew(feed_t *feed);
static void failure_tell(feed_t *feed);
static void waiting_tell(feed_t *feed);

/* ---- the end ---- */

static void batch_drop(feed_t *feed) {
    feed->size = HEADER_BYTES;
    feed->count = 0;
    feed->has_gap = false;
    feed->unfit.text[0] = '\0';
}

static void finish(feed_t *feed, feed_phase_t phase) {
    bool producing = feed->phase < FEED_FAILED;
    feed->phase = phase;
    batch_drop(feed);
    actor_cancel(feed->me, &feed->retry);
    actor_cancel(feed->me, &feed->silence);
    if (producing && feed->source->stop) feed->source->stop(feed);
}

static int64_t backoff_next(feed_t *feed) {
    int64_t us = feed->backoff;
    feed->backoff = us * 2 < BACKOFF_LAST ? us * 2 : BACKOFF_LAST;
    return us;
}

static bool worth_asking_again(const refusal_t *no) {
    return no->retry || no->code == ERROR_UNAVAILABLE;
}

static int failure_again(void *state, uint64_t context, fault_t *why) {
    feed_t *feed = state;
    (void)context, (void)why;
    feed->retry = 0;
    failure_tell(feed);
    return 0;
}

static int on_failure_told(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    feed_t *feed = state;
    (void)context, (void)why;
    if (feed->phase != FEED_FAILED) return 0;
    if (answer->refusal && worth_asking_again(answer->refusal)) {
        feed->retry = actor_after(feed->me, backoff_next(feed), failure_again, 0);
    } else {
        feed->phase = FEED_OVER;
    }
    return 0;
}

static void failure_tell(feed_t *feed) {
    msg_source_fail_t fail = {.has_job = true, .job = feed->args.job, .tag = feed->args.tag, .message = feed->failure.text};
    actor_door_ask(feed->me, DOOR, MSG_SOURCE_FAIL, &fail, NULL, on_failure_told, 0);
}

void feed_fail(feed_t *feed, const char *format, ...) {
    if (feed->phase >= FEED_FAILED) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(feed->failure.text, sizeof feed->failure.text, format, arguments);
    va_end(arguments);
    text_mend(feed->failure.text); /* a recorder would not take it otherwise, and nobody would hear of the failure */
    finish(feed, FEED_FAILED);
    failure_tell(feed);
}

static int on_done_told(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    feed_t *feed = state;
    (void)context, (void)why;
    if (feed->phase != FEED_ENDING) return 0;
    if (answer->refusal && worth_asking_again(answer->refusal)) {
        attach_anew(feed);
    } else if (answer->refusal && answer->refusal->code != ERROR_INVALID_STATE) {
        feed_fail(feed, "%s", answer->refusal->message);
    } else {
        finish(feed, FEED_OVER);
    }
    return 0;
}

static void done_tell(feed_t *feed) {
    msg_source_done_t done = {.has_source = true, .source = feed->attachment, .tag = feed->args.tag};
    actor_door_ask(feed->me, DOOR, MSG_SOURCE_DONE, &done, NULL, on_done_told, 0);
}

void feed_done(feed_t *feed) {
    must(feed->count == 0);
    if (feed->phase != FEED_OPEN) return;
    feed->phase = FEED_ENDING;
    if (feed->unacked == 0) done_tell(feed);
}

/* ---- attaching ---- */

static int attach_again(void *state, uint64_t context, fault_t *why) {
    feed_t *feed = state;
    (void)context, (void)why;
    feed->retry = 0;
    attach(feed);
    return 0;
}

/* The attachment is lost: at once, unless nothing was recorded since the last time that it was. */
static void attach_anew(feed_t *feed) {
    int64_t us = backoff_next(feed);
    feed->phase = FEED_ATTACHING;
    feed->attachment = 0;
    batch_drop(feed);
    actor_cancel(feed->me, &feed->silence);
    if (us == BACKOFF_FIRST)
        attach(feed);
    else
        feed->retry = actor_after(feed->me, us, attach_again, 0);
}

static int on_attached(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    feed_t *feed = state;
    (void)context;
    if (feed->phase != FEED_ATTACHING) return 0;
    if (answer->refusal && worth_asking_again(answer->refusal)) {
        feed->retry = actor_after(feed->me, backoff_next(feed), attach_again, 0);
        return 0;
    }
    if (answer->refusal) {
        /* A job, or its stream, that has ended needs no source; anything else is wrong with this one. */
        if (answer->refusal->code == ERROR_INVALID_STATE)
            finish(feed, FEED_OVER);
        else
            feed_fail(feed, "%s", answer->refusal->message);
        return 0;
    }
    const msg_source_attached_t *attached = answer->message;
    feed->phase = FEED_OPEN;
    feed->attachment = attached->source;
    feed->next_seq = attached->next_seq;
    feed->acked = attached->next_seq - 1;
    feed->credit = attached->credit;
    feed->unacked = 0;
    if (feed->waits[0]) waiting_tell(feed);
    if (feed->source->resume(feed, attached->has_cursor ? attached->cursor : (bytes_t){0}, why) < 0) return -1;
    return feed_room(feed) ? feed->source->produce(feed, why) : 0;
}

static void attach(feed_t *feed) {
    msg_source_attach_t message = {
        .has_job = true, .job = feed->args.job, .tag = feed->args.tag, .has_producer = true, .producer = actor_name(feed->me)};
    actor_door_ask(feed->me, DOOR, MSG_SOURCE_ATTACH, &message, NULL, on_attached, 0);
}

static int on_silence(void *state, uint64_t context, fault_t *why) {
    feed_t *feed = state;
    (void)why;
    feed->silence = 0;
    if (feed->unacked == 0) return 0;
    if (context == feed->heard)
        attach_anew(feed);
    else
        feed->silence = actor_after(feed->me, SILENCE, on_silence, feed->heard);
    return 0;
}

/* ---- life ---- */

int feed_init(feed_t *feed, actor_t *me, const feed_source_t *source, bytes_t args, const record_class_t *record, void *payload,
              fault_t *why) {
    refusal_t no = {0};
    *feed = (feed_t){.me = me, .source = source, .phase = FEED_ATTACHING, .size = HEADER_BYTES, .backoff = BACKOFF_FIRST};
    msgpack_sbuffer_init(&feed->numbers);
    feed->zone = msgpack_zone_new(1024);
    must(feed->zone);
    if (wire_walk(args, &no) < 0 || message_decode(MSG_SOURCE_ARGS, args, feed->zone, &feed->args, &no) < 0)
        return fault_set(why, "%s", no.message);
    if (feed->args.has_coder && coder_parse(feed->args.coder, &feed->coder, why) < 0) return -1;
    bytes_t given = feed->args.has_payload ? feed->args.payload : (bytes_t){0};
    feed->args.payload = (bytes_t){0}; /* it does not outlive create */
    return payload_decode(record, source->urn, given, feed->zone, payload, why);
}

void feed_start(feed_t *feed) {
    attach(feed);
}

void feed_fini(feed_t *feed) {
    if (!feed->zone) return;
    free(feed->batch);
    free(feed->sent);
    msgpack_sbuffer_destroy(&feed->numbers);
    msgpack_zone_free(feed->zone);
    *feed = (feed_t){0};
}

/* ---- producing ---- */

bool feed_room(const feed_t *feed) {
    return feed->phase == FEED_OPEN && feed->unacked < feed->credit && feed->next_seq - feed->acked <= FEED_UNACKED_MAX;
}

bool feed_full(const feed_t *feed) {
    return feed->count > 0 &&
           (feed->size >= FEED_BATCH_BYTES || (int64_t)feed->size >= feed->credit / 2 || feed->count >= FEED_BATCH_ELEMENTS);
}

static inline void big_endian(uint8_t *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void batch_grow(feed_t *feed, size_t need) {
    size_t wanted = feed->size + need;
    size_t capacity = feed->capacity > 0 ? feed->capacity * 2 : feed->size_last + feed->size_last / 8 + ROOM_LEAST;
    if (capacity < wanted) capacity = wanted;
    feed->batch = realloc(feed->batch, capacity);
    must(feed->batch);
    feed->capacity = capacity;
}

uint8_t *feed_element(feed_t *feed, int64_t event_time, size_t size, bytes_t attributes) {
    must(size <= FEED_ELEMENT_MAX && attributes.size <= FEED_ELEMENT_MAX - size);
    uint8_t length[CODER_LENGTH_MAX];
    size_t length_size;
    bytes_t key;
    coder_key(&feed->coder, attributes, length, &length_size, &key, &feed->unfit);
    size_t value = size;
    size += length_size + key.size;
    size_t need = ELEMENT_OVERHEAD + size + attributes.size;
    if (feed->size + need > feed->capacity) batch_grow(feed, need);
    uint8_t *at = feed->batch + feed->size;
    *at++ = attributes.size > 0 ? 0x93 : 0x92;
    *at++ = 0xd3;
    big_endian(at, (uint64_t)event_time, 8);
    at += 8;
    unsigned width = size <= UINT8_MAX ? 1 : size <= UINT16_MAX ? 2 : 4;
    *at++ = width == 1 ? 0xc4 : width == 2 ? 0xc5 : 0xc6;
    big_endian(at, size, width);
    at += width;
    if (attributes.size > 0) memcpy(at + size, attributes.data, attributes.size);
    feed->size = (size_t)(at - feed->batch) + size + attributes.size;
    feed->count++;
    if (length_size > 0) memcpy(at, length, length_size);
    if (key.size > 0) memcpy(at + length_size, key.data, key.size);
    return at + size - value;
}

/* Is each element of the batch what its coder can read? */
static bool batch_fits(feed_t *feed) {
    if (!feed->coder.text_key && !feed->coder.text_value) return feed->unfit.text[0] == '\0';
    bytes_t rest = {feed->batch + HEADER_BYTES, feed->size - HEADER_BYTES};
    for (uint32_t i = 0; i < feed->count && feed->unfit.text[0] == '\0'; i++) {
        wire_element_t element = wire_element_at(rest);
        coder_check(&feed->coder, element.payload, &feed->unfit);
        rest = (bytes_t){rest.data + element.size, rest.size - element.size};
    }
    return feed->unfit.text[0] == '\0';
}

static void batch_release(void *data, void *hint) {
    (void)hint;
    handover_take(data);
    free(data);
}

/* The body goes without a copy, unless it is so small that its buffer would weigh more than it. A large buffer is not kept for later: a
 * source that had much to send once would hold it for ever. */
static void batch_take(feed_t *feed, frame_t *ret_body) {
    if (!feed->batch) batch_grow(feed, 0);
    bytes_t bytes = {feed->batch, feed->size};
    feed->batch[0] = 0xdd;
    big_endian(feed->batch + 1, feed->count, 4);
    bool copied = feed->size < feed->capacity / 4;
    feed->size_last = feed->size;
    if (copied)
        frame_copy_of(ret_body, bytes);
    else
        frame_wrap(ret_body, bytes, batch_release, NULL);
    if (!copied || feed->capacity > ROOM_KEPT) {
        if (copied) free(feed->batch);
        feed->batch = NULL;
        feed->capacity = 0;
    }
    batch_drop(feed);
}

void feed_gap(feed_t *feed, int64_t lost_us, const char *format, ...) {
    if (feed->phase != FEED_OPEN) return;
    must(feed->count == 0 && !feed->has_gap);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(feed->gap, sizeof feed->gap, format, arguments);
    va_end(arguments);
    text_mend(feed->gap);
    must(feed->gap[0] != '\0');
    feed->has_gap = true;
    feed->lost_us = lost_us;
}

/* A source that has room may have several things to say at once: gaps, each with a batch of its own. So there can be more than
 * FEED_UNACKED_MAX, if not many. */
static void sent_grow(feed_t *feed) {
    int64_t room = feed->sent_room > 0 ? feed->sent_room * 2 : FEED_UNACKED_MAX;
    int64_t *sent = calloc((size_t)room, sizeof *sent);
    must(sent);
    for (int64_t seq = feed->acked + 1; seq < feed->next_seq; seq++) sent[seq % room] = feed->sent[seq % feed->sent_room];
    free(feed->sent);
    feed->sent = sent;
    feed->sent_room = room;
}

static void sent_note(feed_t *feed, int64_t weight) {
    if (feed->next_seq - feed->acked > feed->sent_room) sent_grow(feed);
    feed->sent[feed->next_seq++ % feed->sent_room] = weight;
    feed->unacked += weight;
}

static void batch_send(feed_t *feed, bytes_t cursor, const int64_t *watermark) {
    msg_source_batch_t message = {.has_source = true,
                                  .source = feed->attachment,
                                  .tag = feed->args.tag,
                                  .seq = feed->next_seq,
                                  .has_watermark = watermark != NULL,
                                  .watermark = watermark ? *watermark : 0,
                                  .has_cursor = cursor.size > 0,
                                  .cursor = cursor,
                                  .has_gap = feed->has_gap,
                                  .gap = feed->gap,
                                  .has_lost_us = feed->has_gap && feed->lost_us >= 0,
                                  .lost_us = feed->lost_us};
    size_t said = feed->has_gap ? strlen(feed->gap) : 0;
    int64_t weight = (int64_t)(feed->size + cursor.size + said + strlen(feed->args.tag) + MESSAGE_OVERHEAD);
    frame_t body;
    batch_take(feed, &body);
    sent_note(feed, weight);
    actor_door_tell(feed->me, DOOR, MSG_SOURCE_BATCH, &message, &body);
    if (!feed->silence) feed->silence = actor_after(feed->me, SILENCE, on_silence, feed->heard);
}

void feed_send(feed_t *feed, bytes_t cursor, const int64_t *watermark) {
    if (feed->phase != FEED_OPEN || (feed->count == 0 && !feed->has_gap)) return;
    if (feed->count > 0 && !batch_fits(feed)) {
        fault_t why = feed->unfit;
        feed_fail(feed, "%s", why.text);
        return;
    }
    batch_send(feed, cursor, watermark);
}

void feed_watermark(feed_t *feed, bytes_t cursor, int64_t watermark) {
    must(feed->count == 0);
    if (feed->phase == FEED_OPEN) batch_send(feed, cursor, &watermark);
}

void feed_place(feed_t *feed, bytes_t cursor) {
    must(feed->count == 0 && cursor.size > 0);
    if (feed->phase == FEED_OPEN) batch_send(feed, cursor, NULL);
}

/* ---- waiting ---- */

static void waiting_tell(feed_t *feed) {
    msg_source_waiting_t message = {.has_source = true,
                                    .source = feed->attachment,
                                    .tag = feed->args.tag,
                                    .has_message = feed->waits[0] != '\0',
                                    .message = feed->waits};
    actor_door_tell(feed->me, DOOR, MSG_SOURCE_WAITING, &message, NULL);
}

void feed_waiting(feed_t *feed, const char *format, ...) {
    char waits[sizeof feed->waits] = "";
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(waits, sizeof waits, format, arguments);
        va_end(arguments);
        text_mend(waits);
    }
    if (strcmp(waits, feed->waits) == 0) return;
    memcpy(feed->waits, waits, sizeof waits);
    if (feed->phase == FEED_OPEN) waiting_tell(feed);
}

bytes_t feed_cursor(feed_t *feed, const int64_t *numbers, uint32_t count) {
    msgpack_packer packer;
    msgpack_sbuffer_clear(&feed->numbers);
    msgpack_packer_init(&packer, &feed->numbers, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count);
    for (uint32_t i = 0; i < count; i++) msgpack_pack_int64(&packer, numbers[i]);
    return (bytes_t){(const uint8_t *)feed->numbers.data, feed->numbers.size};
}

bool feed_cursor_read(bytes_t cursor, int64_t *ret_numbers, uint32_t count) {
    must(count < 16);
    if (cursor.size == 0 || cursor.data[0] != (0x90 | count)) return false;
    bytes_t rest = {cursor.data + 1, cursor.size - 1};
    int64_t numbers[16];
    for (uint32_t i = 0; i < count; i++) {
        size_t size = wire_value_size(rest);
        if (size == 0 || !wire_int((bytes_t){rest.data, size}, &numbers[i])) return false;
        rest = (bytes_t){rest.data + size, rest.size - size};
    }
    if (rest.size > 0) return false;
    memcpy(ret_numbers, numbers, count * sizeof *numbers);
    return true;
}

/* ---- messages ---- */

static bool is_attached(const feed_t *feed, bool has_source, int64_t source) {
    return (feed->phase == FEED_OPEN || feed->phase == FEED_ENDING) && (!has_source || source == feed->attachment);
}

int feed_on_ack(void *state, const envelope_t *in, fault_t *why) {
    feed_t *feed = state;
    const msg_source_ack_t *ack = in->message;
    feed->heard++;
    if (!is_attached(feed, true, ack->source)) return 0;
    bool had_room = feed_room(feed);
    while (feed->acked < ack->seq && feed->acked + 1 < feed->next_seq) feed->unacked -= feed->sent[++feed->acked % feed->sent_room];
    feed->backoff = BACKOFF_FIRST;
    if (feed->phase == FEED_ENDING && feed->unacked == 0) done_tell(feed);
    if (feed->phase == FEED_OPEN && feed->unacked == 0 && feed->recorded && feed->recorded(feed, why) < 0) return -1;
    if (had_room || !feed_room(feed)) return 0;
    feed->was_full = true;
    int produced = feed->source->produce(feed, why);
    feed->was_full = false;
    return produced;
}

int feed_on_nack(void *state, const envelope_t *in, fault_t *why) {
    feed_t *feed = state;
    const msg_source_nack_t *nack = in->message;
    (void)why;
    feed->heard++;
    if (!is_attached(feed, nack->has_source, nack->source)) return 0;
    /* A number that was skipped means that a batch was lost on its way, and heals in the same way as a recorder that lost its state. */
    if (nack->error.retry || nack->error.has_expected)
        attach_anew(feed);
    else
        feed_fail(feed, "batch %lld was refused: %s", (long long)nack->seq, nack->error.message);
    return 0;
}

int feed_on_stop(void *state, const envelope_t *in, fault_t *why) {
    feed_t *feed = state;
    const msg_source_stop_t *stop = in->message;
    (void)why;
    feed->heard++;
    /* One that names another attachment is about a former one of ours, that this one took over from. */
    if (stop->has_source && stop->source != feed->attachment) return 0;
    if (stop->has_job && strcmp(stop->job, feed->args.job) != 0) return 0;
    feed->superseded = strcmp(stop->reason, "superseded") == 0;
    if (feed->phase != FEED_OVER) finish(feed, FEED_OVER);
    return 0;
}

int feed_on_ping(void *state, const envelope_t *in, fault_t *why) {
    static const msg_pong_t pong;
    feed_t *feed = state;
    (void)in, (void)why;
    feed->heard++;
    actor_door_tell(feed->me, DOOR, MSG_PONG, &pong, NULL);
    return 0;
}
