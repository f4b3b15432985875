/* A replay without a server. What it sends is written as lines of text, so that a test shows the whole of it: "elements a 3@0 [0 1 2]" is an
 * event for tag a with three elements, number 0 the first, and their event times. Every event's size and body are checked on the way. */
#ifndef REPRISE_TESTS_REPLAYED_H
#define REPRISE_TESTS_REPLAYED_H

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "taped.h"

#include "actors/replay.h"
#include "messages/wire.h"

typedef struct fixture {
    char data[32];
    taped_t taped;
    tape_t *tape;
    char text[1 << 16];
    size_t used;
} fixture_t;

/* ---- the recording ---- */

static inline int setup(void **state) {
    fixture_t *f = calloc(1, sizeof *f);
    snprintf(f->data, sizeof f->data, "/tmp/replay_test.XXXXXX");
    assert_non_null(mkdtemp(f->data));
    taped_open(&f->taped, f->data, 1 << 20);
    *state = f;
    return 0;
}

static inline int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline int teardown(void **state) {
    fixture_t *f = *state;
    tape_destroy(&f->tape);
    taped_close(&f->taped);
    nftw(f->data, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static inline void tape_load(fixture_t *f) {
    fault_t why;
    msg_recording_place_t place = taped_place(&f->taped);
    f->tape = tape_create(&place, f->taped.segment_bytes, &why);
    if (!f->tape) fail_msg("%s", why.text);
}

static inline void grow(fixture_t *f) {
    msg_recording_grew_t grew = taped_grew(&f->taped);
    tape_grow(f->tape, &grew);
    if (f->tape->begun) return;
    msg_recording_place_t place = taped_place(&f->taped);
    tape_place(f->tape, &place);
}

/* Two streams, all kinds of records, ended. */
static inline void record_some(fixture_t *f) {
    taped_elements(&f->taped, 0, 100, 3);
    taped_watermark(&f->taped, 0, 100, 42);
    taped_elements(&f->taped, 1, 250, 2);
    taped_elements(&f->taped, 0, 400, 4);
    taped_gap(&f->taped, 1, 500, "lost the connection", 70);
    taped_watermark(&f->taped, 1, 600, -7);
    taped_stream_ended(&f->taped, 1, 700);
    taped_elements(&f->taped, 0, 900, 1);
    taped_ended(&f->taped, 1000);
    tape_load(f);
}

static inline void flip(const fixture_t *f, int64_t byte) {
    char path[256];
    snprintf(path, sizeof path, "%s/000000000000.seg", f->taped.folder);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, (long)byte, SEEK_SET);
    int c = fgetc(file);
    fseek(file, (long)byte, SEEK_SET);
    fputc(c ^ 0x10, file);
    fclose(file);
}

/* ---- events as text ---- */

static inline __attribute__((format(printf, 2, 3))) void line(fixture_t *f, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    f->used += (size_t)vsnprintf(f->text + f->used, sizeof f->text - f->used, format, arguments);
    va_end(arguments);
    assert_true(f->used < sizeof f->text);
}

static inline void body_line(fixture_t *f, const replay_event_t *event, uint32_t count) {
    bytes_t body = frame_bytes(event->body);
    uint32_t found = 0;
    refusal_t no;
    if (wire_body_check(body, &found, &no) < 0) fail_msg("%s", no.message);
    assert_int_equal(found, count);
    bytes_t elements = wire_body_elements(body, count);
    line(f, " [");
    for (uint32_t i = 0; i < count; i++) {
        wire_element_t element = wire_element_at(elements);
        line(f, "%s%lld", i ? " " : "", (long long)element.event_time);
        elements.data += element.size;
        elements.size -= element.size;
    }
    line(f, "]\n");
}

static inline void event_line(fixture_t *f, const replay_event_t *event) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(event->id, event->message, true, (bytes_t){0}, &out);
    assert_int_equal(event->size, out.size + (event->body ? frame_bytes(event->body).size : 0));
    msgpack_sbuffer_destroy(&out);
    if (event->id == MSG_ELEMENTS) {
        const msg_elements_t *elements = event->message;
        line(f, "elements %s %lld@%lld", elements->tag, (long long)elements->count, (long long)elements->element);
        body_line(f, event, (uint32_t)elements->count);
    } else if (event->id == MSG_WATERMARK) {
        const msg_watermark_t *watermark = event->message;
        if (watermark->to == WATERMARK_MAX)
            line(f, "watermark %s max\n", watermark->tag);
        else
            line(f, "watermark %s %lld\n", watermark->tag, (long long)watermark->to);
    } else if (event->id == MSG_PROCESSING_TIME) {
        line(f, "time +%lld\n", (long long)((const msg_processing_time_t *)event->message)->advance_us);
    } else if (event->id == MSG_GAP) {
        const msg_gap_event_t *gap = event->message;
        line(f, "gap %s '%s' %lld\n", gap->has_tag ? gap->tag : "-", gap->what, gap->has_lost_us ? (long long)gap->lost_us : -1LL);
    } else {
        const msg_end_t *end = event->message;
        line(f, "end %s %lld%s%s%s\n", end->reason, (long long)end->elements, end->has_digest ? " proven" : "", end->has_error ? ": " : "",
             end->has_error ? end->error : "");
    }
}

/* Takes at most `max` events. */
static inline replay_state_t take(fixture_t *f, replay_t *replay, int max) {
    const replay_event_t *event;
    replay_state_t state = REPLAY_READY;
    while (max-- > 0 && ((state = replay_next(replay, &event)) == REPLAY_READY || state == REPLAY_BUSY)) {
        if (state == REPLAY_BUSY) continue;
        event_line(f, event);
        replay_taken(replay);
    }
    return state;
}

/* A digest in words, to compare: the end event has it. */
static inline void digest_at_end(replay_t *replay, char ret_digest[33]) {
    const replay_event_t *event = NULL;
    while (replay_next(replay, &event) == REPLAY_READY && event->id != MSG_END) replay_taken(replay);
    assert_int_equal(event->id, MSG_END);
    const msg_end_t *end = event->message;
    assert_true(end->has_digest);
    snprintf(ret_digest, 33, "%s", end->digest);
}

static const msg_tag_t TAG_A __attribute__((unused)) = {.tag = "a", .signature = "A"};
static const msg_tag_t TAG_AA __attribute__((unused)) = {.tag = "aa", .signature = "A"};
static const msg_tag_t TAG_B __attribute__((unused)) = {.tag = "b", .signature = "B"};

static inline replay_t *open_as(fixture_t *f, const msg_replay_open_t *ask, const msg_tag_t *tags, size_t count) {
    f->used = 0;
    f->text[0] = 0;
    return replay_create(f->tape, 1, ask, tags, count);
}

static inline void assert_replay(fixture_t *f, const msg_replay_open_t *ask, const msg_tag_t *tags, size_t count, const char *expected) {
    replay_t *replay = open_as(f, ask, tags, count);
    assert_int_equal(take(f, replay, 10000), REPLAY_OVER);
    assert_string_equal(f->text, expected);
    replay_destroy(&replay);
}

static const msg_replay_open_t ALL __attribute__((unused)) = {0};

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
