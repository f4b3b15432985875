/* A replay: see replay.h for the order that it keeps.
 *
 * It goes through steps, each of which makes the next event, passes to another step, or finds that it must wait. An event that was made
 * stays until it is taken, so that a client without credit holds up nothing but itself; what it borrows from the map is held meanwhile. */
#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "../messages/handover.h"
#include "../messages/wire.h"
#include "runtime/duration.h"

enum { PASSED_MAX = 1024, PASSED_BYTES_MAX = 1024 * 1024 }; /* records passed over in one go */

typedef struct replay_tag {
    char *tag;
    struct replay_tag *next; /* the next tag that names the same stream */
    int stream;              /* -1: not in the recording */
    bool has_watermark;      /* at the place sought */
    int64_t watermark;
    size_t elements_size, watermark_size; /* of such a message, all its numbers 0 */
} replay_tag_t;

typedef enum replay_step {
    STEP_SEEK,       /* find the place */
    STEP_WATERMARKS, /* each tag's watermark there */
    STEP_RECORDS,
    STEP_CLOSING, /* each tag's last watermark */
    STEP_END,
    STEP_OVER,
} replay_step_t;

typedef enum replay_target { TARGET_START, TARGET_ELEMENT, TARGET_TIME } replay_target_t;

struct replay {
    tape_t *tape;
    int64_t number;
    replay_tag_t *tags; /* sorted */
    size_t tags_count;
    replay_tag_t **by_stream; /* the first tag of each stream; NULL: not sent */
    size_t time_size;         /* of a processing_time message, its advance 0 */

    bool follow;
    uint64_t records_end; /* without `follow`: what there was when it was opened */
    int64_t elements_max; /* 0: any number */
    int64_t duration_max; /* µs; 0: any */

    replay_step_t step;
    replay_target_t target;
    uint64_t target_element;
    int64_t target_at;
    bool placed;
    position_t position;
    size_t turn;           /* the tag whose watermark is next */
    int64_t clock;         /* what the client was told of the recording's clock */
    int64_t base;          /* where duration_max counts from */
    int64_t at;            /* see replay_at */
    uint64_t first_wanted; /* elements before this one are not sent */

    record_view_t record;    /* being sent, where `tag` or `whole` says so */
    uint64_t first;          /* the number of its first element */
    frame_t body;            /* its body, borrowed from the map */
    replay_tag_t *tag;       /* who gets it next */
    bool whole;              /* a gap in every stream */
    digest_t digest, folded; /* of what was sent; and with the record that is being sent */
    bool folding;            /* `folded` is to be taken with the next event */
    bool proven;             /* there is a digest */
    int64_t elements;        /* sent */

    const char *reason;
    char *error;

    replay_event_t event; /* id MSG_NONE: none is made */
    frame_t piece;        /* its body */
    char *what;           /* its text */
    char proof[33];
    union {
        msg_elements_t elements;
        msg_watermark_t watermark;
        msg_processing_time_t processing_time;
        msg_gap_event_t gap;
        msg_end_t end;
    } message;
};

/* ---- sizes: what a message costs is known without encoding it, but for the numbers that change ---- */

static size_t measured(message_id_t id, const void *message) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(id, message, true, (bytes_t){0}, &out);
    size_t size = out.size;
    msgpack_sbuffer_destroy(&out);
    return size;
}

/* Bytes that a whole number takes more than a 0 does. */
static size_t number_growth(int64_t number) {
    if (number >= 0) return number < 0x80 ? 0 : number < 0x100 ? 1 : number < 0x10000 ? 2 : number < 0x100000000 ? 4 : 8;
    return number >= -0x20 ? 0 : number >= -0x80 ? 1 : number >= -0x8000 ? 2 : number >= -0x80000000LL ? 4 : 8;
}

/* ---- life ---- */

static void tags_init(replay_t *replay, const msg_tag_t *tags, size_t count) {
    replay->tags = calloc(count + 1, sizeof *replay->tags);
    replay->by_stream = calloc(replay->tape->place->streams.count + 1, sizeof(replay_tag_t *));
    must(replay->tags && replay->by_stream);
    replay->tags_count = count;
    for (size_t i = count; i-- > 0;) { /* backwards, so that each stream's list is in order */
        replay_tag_t *tag = &replay->tags[i];
        tag->tag = strdup(tags[i].tag);
        must(tag->tag);
        tag->stream = tape_stream(replay->tape, tags[i].signature);
        tag->elements_size = measured(MSG_ELEMENTS, &(msg_elements_t){.replay = replay->number, .tag = tag->tag});
        tag->watermark_size = measured(MSG_WATERMARK, &(msg_watermark_t){.replay = replay->number, .tag = tag->tag});
        if (tag->stream < 0) continue;
        tag->next = replay->by_stream[tag->stream];
        replay->by_stream[tag->stream] = tag;
    }
}

static void target_set(replay_t *replay, int64_t element, int64_t offset_ms) {
    replay->step = STEP_SEEK;
    if (element < 0 ? offset_ms == 0 : element == 0) {
        replay->target = TARGET_START;
    } else if (element < 0) {
        replay->target = TARGET_TIME;
        replay->target_at = us_of_ms(offset_ms);
    } else {
        replay->target = TARGET_ELEMENT;
        replay->target_element = (uint64_t)element;
    }
}

replay_t *replay_create(tape_t *tape, int64_t number, const msg_replay_open_t *ask, const msg_tag_t *tags, size_t count) {
    replay_t *replay = calloc(1, sizeof *replay);
    must(replay);
    replay->tape = tape;
    replay->number = number;
    replay->follow = !ask->has_follow || ask->follow;
    replay->records_end = tape->growing ? tape->records : UINT64_MAX;
    replay->elements_max = ask->max_elements;
    replay->duration_max = ask->max_duration_ms > INT64_MAX / 2000 ? 0 : ask->max_duration_ms * 1000;
    frame_init(&replay->body);
    frame_init(&replay->piece);
    tags_init(replay, tags, count);
    replay->time_size = measured(MSG_PROCESSING_TIME, &(msg_processing_time_t){.replay = number});
    if (ask->has_from) target_set(replay, ask->from.has_element ? ask->from.element : -1, ask->from.offset_ms);
    replay->proven = replay->target == TARGET_START;
    replay->at = tape->start;
    return replay;
}

void replay_destroy(replay_t **replay) {
    if (!*replay) return;
    for (size_t i = 0; i < (*replay)->tags_count; i++) free((*replay)->tags[i].tag);
    free((*replay)->tags);
    free((*replay)->by_stream);
    frame_fini(&(*replay)->body);
    frame_fini(&(*replay)->piece);
    free((*replay)->what);
    free((*replay)->error);
    free(*replay);
    *replay = NULL;
}

/* ---- steering ---- */

static void frame_clear(frame_t *frame) {
    frame_fini(frame);
    frame_init(frame);
}

static void event_drop(replay_t *replay) {
    replay->event = (replay_event_t){0};
    replay->folding = false;
    frame_clear(&replay->piece);
}

static void record_drop(replay_t *replay) {
    replay->tag = NULL;
    replay->whole = false;
    frame_clear(&replay->body);
}

void replay_seek(replay_t *replay, int64_t element, int64_t offset_ms) {
    event_drop(replay);
    record_drop(replay);
    replay->proven = false;
    replay->placed = false;
    target_set(replay, element, offset_ms);
}

void replay_end(replay_t *replay, const char *reason, const char *error) {
    event_drop(replay);
    record_drop(replay);
    replay->step = STEP_END;
    replay->reason = reason;
    free(replay->error);
    replay->error = error ? strdup(error) : NULL;
}

static void replay_finish(replay_t *replay, const char *reason) {
    record_drop(replay);
    replay->step = STEP_CLOSING;
    replay->turn = 0;
    replay->reason = reason;
}

int64_t replay_at(const replay_t *replay) {
    return replay->at;
}

bool replay_placed(replay_t *replay) {
    bool placed = replay->placed;
    replay->placed = false;
    return placed;
}

static bool following(const replay_t *replay) {
    return replay->follow && replay->tape->growing;
}

/* ---- events ---- */

static void event_set(replay_t *replay, message_id_t id, size_t size, int64_t at) {
    replay->event = (replay_event_t){.id = id, .message = &replay->message, .size = size, .at = at};
}

static void watermark_set(replay_t *replay, const replay_tag_t *tag, int64_t to, int64_t at) {
    if (to > WATERMARK_MAX) to = WATERMARK_MAX;
    replay->message.watermark = (msg_watermark_t){.replay = replay->number, .tag = tag->tag, .to = to};
    event_set(replay, MSG_WATERMARK, tag->watermark_size + number_growth(to), at);
}

static void record_fold(replay_t *replay, uint32_t count, const bytes_t *parts, size_t parts_count) {
    const record_view_t *record = &replay->record;
    if (!replay->proven || (!replay->whole && replay->tag != replay->by_stream[record->stream])) return;
    const char *signature = replay->whole ? "" : replay->tape->place->streams.items[record->stream].signature;
    replay->folded = replay->digest;
    digest_fold(&replay->folded, record->kind, signature, record->at, count, parts, parts_count);
    replay->folding = true;
}

static void piece_free(void *data, void *hint) {
    (void)hint;
    handover_take(data);
    free(data);
}

/* Elements `skip` to `skip + count` of the record, behind a header of their own. */
static void piece_cut(replay_t *replay, uint32_t skip, uint32_t count) {
    bytes_t before = wire_body_elements(replay->record.body, skip);
    bytes_t upto = wire_body_elements(replay->record.body, skip + count);
    bytes_t kept = {upto.data + before.size, upto.size - before.size};
    uint8_t *cut = malloc(RECORD_BODY_HEAD + kept.size);
    must(cut);
    const uint8_t head[RECORD_BODY_HEAD] = {0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    memcpy(cut, head, sizeof head);
    memcpy(cut + sizeof head, kept.data, kept.size);
    record_fold(replay, count, (bytes_t[]){{head, sizeof head}, kept}, 2);
    frame_wrap(&replay->piece, (bytes_t){cut, RECORD_BODY_HEAD + kept.size}, piece_free, NULL);
}

static void elements_set(replay_t *replay) {
    const record_view_t *record = &replay->record;
    uint32_t skip = replay->first_wanted > replay->first ? (uint32_t)(replay->first_wanted - replay->first) : 0;
    uint32_t count = record->count - skip;
    if (replay->elements_max && replay->elements_max - replay->elements < count)
        count = (uint32_t)(replay->elements_max - replay->elements);
    if (count < record->count) {
        piece_cut(replay, skip, count);
    } else {
        record_fold(replay, count, &record->body, 1);
        if (replay->tag->next)
            frame_share(&replay->piece, &replay->body);
        else
            frame_move(&replay->piece, &replay->body);
    }
    int64_t element = (int64_t)(replay->first + skip);
    replay->message.elements = (msg_elements_t){.replay = replay->number, .tag = replay->tag->tag, .count = count, .element = element};
    size_t head = replay->tag->elements_size + number_growth(count) + number_growth(element);
    event_set(replay, MSG_ELEMENTS, head + frame_bytes(&replay->piece).size, record->at);
    replay->event.body = &replay->piece;
    if (count < record->count) replay->event.copied = frame_bytes(&replay->piece).size;
}

static void gap_set(replay_t *replay) {
    const record_view_t *record = &replay->record;
    msg_gap_event_t *gap = &replay->message.gap;
    *gap = (msg_gap_event_t){.replay = replay->number};
    if (!replay->whole) {
        gap->has_tag = true;
        gap->tag = replay->tag->tag;
    }
    bytes_t value;
    const char *text = "";
    size_t size = 0;
    if (wire_map_get(record->body, "what", &value)) wire_text(value, &text, &size);
    free(replay->what);
    replay->what = strndup(text, size);
    gap->what = replay->what;
    gap->has_lost_us = wire_map_get(record->body, "lost_us", &value) && wire_int(value, &gap->lost_us) && gap->lost_us >= 0;
    if (!gap->has_lost_us) gap->lost_us = 0;
    record_fold(replay, record->count, &record->body, 1);
    event_set(replay, MSG_GAP, measured(MSG_GAP, gap), record->at);
}

/* The next event of the record that is being sent. */
static void record_event(replay_t *replay) {
    const record_view_t *record = &replay->record;
    if (record->at > replay->clock) {
        int64_t advance = record->at - replay->clock;
        replay->message.processing_time = (msg_processing_time_t){.replay = replay->number, .advance_us = advance};
        event_set(replay, MSG_PROCESSING_TIME, replay->time_size + number_growth(advance), record->at);
    } else if (record->kind == RECORD_ELEMENTS) {
        elements_set(replay);
    } else if (record->kind == RECORD_GAP) {
        gap_set(replay);
    } else {
        int64_t to = 0;
        must(wire_int(record->body, &to)); /* seen when it was read */
        record_fold(replay, record->count, &record->body, 1);
        watermark_set(replay, replay->tag, to, record->at);
    }
}

/* ---- steps: false where the replay must wait or let others go first, and `ret` says which ---- */

static bool step_damage(replay_t *replay, const fault_t *why) {
    bool gone = tape_is_gone(replay->tape);
    replay_end(replay, gone ? "invalidated" : "corrupt", gone ? NULL : why->text);
    return true;
}

/* Each tag's watermark where the replay goes on. */
static int watermarks_find(replay_t *replay, fault_t *why) {
    size_t streams = replay->tape->place->streams.count;
    int64_t *watermarks = calloc(streams + 1, sizeof *watermarks);
    bool *has = calloc(streams + 1, sizeof *has);
    must(watermarks && has);
    int result = reader_watermarks(replay->tape->reader, &replay->position, streams, watermarks, has, why);
    for (size_t i = 0; result == 0 && i < replay->tags_count; i++) {
        replay_tag_t *tag = &replay->tags[i];
        tag->has_watermark = tag->stream >= 0 && has[tag->stream];
        tag->watermark = tag->has_watermark ? watermarks[tag->stream] : 0;
    }
    free(watermarks);
    free(has);
    return result;
}

/* 1: the record at the place sought is there, and `ret_at` its time; 0: not yet; -1: damage. */
static int place_find(replay_t *replay, position_t *ret_position, int64_t *ret_at, fault_t *why) {
    tape_t *tape = replay->tape;
    int64_t at = tape->start + replay->target_at;
    bool by_time = replay->target == TARGET_TIME;
    if ((by_time ? reader_seek_time(tape->reader, at, ret_position, why)
                 : reader_seek_element(tape->reader, replay->target_element, ret_position, why)) < 0) {
        return -1;
    }
    position_t peek = *ret_position;
    record_view_t record;
    int found = reader_next(tape->reader, &peek, &record, why);
    if (found == 1) *ret_at = by_time ? at : record.at;
    return found;
}

static bool step_seek(replay_t *replay, replay_state_t *ret) {
    tape_t *tape = replay->tape;
    *ret = REPLAY_WAITS;
    if (following(replay) && !tape->begun) return false;
    position_t position = {0};
    int64_t at = tape->start;
    if (replay->target != TARGET_START) {
        fault_t why;
        if (replay->target == TARGET_ELEMENT && replay->target_element >= tape->elements && following(replay)) return false;
        int found = place_find(replay, &position, &at, &why);
        if (found < 0) return step_damage(replay, &why);
        if (found == 0 && following(replay)) return false;
        replay->position = position;
        if (watermarks_find(replay, &why) < 0) return step_damage(replay, &why);
    }
    replay->position = position;
    replay->first_wanted = replay->target == TARGET_ELEMENT ? replay->target_element : 0;
    replay->clock = tape->start;
    replay->base = replay->at = at;
    replay->placed = true;
    replay->turn = 0;
    replay->step = replay->target == TARGET_START ? STEP_RECORDS : STEP_WATERMARKS;
    return true;
}

static bool step_watermarks(replay_t *replay, replay_state_t *ret) {
    (void)ret;
    if (replay->turn == replay->tags_count) {
        replay->step = STEP_RECORDS;
    } else if (!replay->tags[replay->turn].has_watermark) {
        replay->turn++;
    } else {
        const replay_tag_t *tag = &replay->tags[replay->turn];
        watermark_set(replay, tag, tag->watermark, replay->at);
    }
    return true;
}

/* Is something of the record just read to be sent? Then it is kept for that. */
static bool record_take(replay_t *replay) {
    const record_view_t *record = &replay->record;
    if (record->kind != RECORD_ELEMENTS && record->kind != RECORD_WATERMARK && record->kind != RECORD_GAP) return false;
    if (record->kind == RECORD_ELEMENTS && record->count == 0) return false;
    if (record->kind == RECORD_GAP && record->stream == RECORD_STREAM_ALL) {
        replay->whole = true;
    } else {
        replay->tag = replay->by_stream[record->stream];
        if (!replay->tag) return false;
    }
    if (record->kind == RECORD_ELEMENTS && replay->first + record->count <= replay->first_wanted) {
        replay->tag = NULL;
        return false;
    }
    frame_wrap(&replay->body, record->body, reader_release, reader_hold(replay->tape->reader));
    return true;
}

/* What a checksum does not vouch for: that the record makes sense in this recording. */
static bool record_fits(const replay_t *replay, fault_t *why) {
    const record_view_t *record = &replay->record;
    int64_t to;
    refusal_t no;
    bool of_stream = record->kind >= RECORD_ELEMENTS && record->kind <= RECORD_STREAM_ENDED;
    bool of_all = record->kind == RECORD_GAP && record->stream == RECORD_STREAM_ALL;
    const char *what = NULL;
    if (of_stream && !of_all && record->stream >= replay->tape->place->streams.count)
        what = "names a stream that the recording does not have";
    else if (record->kind == RECORD_WATERMARK && !wire_int(record->body, &to))
        what = "has no watermark in it";
    else if (record->kind == RECORD_GAP && wire_walk(record->body, &no) < 0)
        what = "is a gap without a description";
    if (what) fault_set(why, "recording %s: record %llu %s", replay->tape->place->recording, (unsigned long long)record->number, what);
    return !what;
}

/* Reads records until one is to be sent, or the replay ends. */
static bool records_read(replay_t *replay, replay_state_t *ret) {
    fault_t why;
    size_t bytes = 0;
    for (int passed = 0; passed < PASSED_MAX && bytes < PASSED_BYTES_MAX; passed++) {
        replay->first = replay->position.element;
        int got = reader_next(replay->tape->reader, &replay->position, &replay->record, &why);
        if (got < 0) return step_damage(replay, &why);
        if (got == 0 && following(replay)) {
            *ret = REPLAY_WAITS;
            return false;
        }
        const record_view_t *record = &replay->record;
        bool ended = got == 0 || (!replay->follow && record->number >= replay->records_end);
        bool late = !ended && replay->duration_max && record->at - replay->base > replay->duration_max;
        if (ended || late || record->kind == RECORD_ENDED) {
            replay_finish(replay, late ? "limit" : "end");
            return true;
        }
        if (!record_fits(replay, &why)) return step_damage(replay, &why);
        if (record_take(replay)) return true;
        bytes += record->size;
    }
    *ret = REPLAY_BUSY;
    return false;
}

static bool step_records(replay_t *replay, replay_state_t *ret) {
    if (replay->elements_max && replay->elements >= replay->elements_max) {
        replay_finish(replay, "limit");
    } else if (replay->tag || replay->whole) {
        record_event(replay);
    } else {
        return records_read(replay, ret);
    }
    return true;
}

static bool step_closing(replay_t *replay, replay_state_t *ret) {
    (void)ret;
    if (replay->turn == replay->tags_count)
        replay->step = STEP_END;
    else
        watermark_set(replay, &replay->tags[replay->turn], WATERMARK_MAX, replay->at);
    return true;
}

static bool step_end(replay_t *replay, replay_state_t *ret) {
    (void)ret;
    msg_end_t *end = &replay->message.end;
    *end = (msg_end_t){.replay = replay->number, .reason = replay->reason, .elements = replay->elements};
    if (replay->proven) {
        digest_text(&replay->digest, replay->proof);
        end->has_digest = true;
        end->digest = replay->proof;
    }
    end->has_error = replay->error != NULL;
    end->error = replay->error;
    event_set(replay, MSG_END, measured(MSG_END, end), replay->at);
    return true;
}

static bool step_over(replay_t *replay, replay_state_t *ret) {
    (void)replay;
    *ret = REPLAY_OVER;
    return false;
}

replay_state_t replay_next(replay_t *replay, const replay_event_t **ret_event) {
    static bool (*const steps[])(replay_t *, replay_state_t *) = {
        [STEP_SEEK] = step_seek,       [STEP_WATERMARKS] = step_watermarks,
        [STEP_RECORDS] = step_records, [STEP_CLOSING] = step_closing,
        [STEP_END] = step_end,         [STEP_OVER] = step_over,
    };
    while (replay->event.id == MSG_NONE) {
        replay_state_t state = REPLAY_WAITS;
        if (!steps[replay->step](replay, &state)) return state;
    }
    *ret_event = &replay->event;
    return REPLAY_READY;
}

static void record_taken(replay_t *replay) {
    const record_view_t *record = &replay->record;
    if (replay->folding) replay->digest = replay->folded;
    if (replay->event.id == MSG_ELEMENTS) replay->elements += replay->message.elements.count;
    replay->at = record->at;
    if (replay->tag) replay->tag = replay->tag->next;
    if (!replay->tag) record_drop(replay);
}

void replay_taken(replay_t *replay) {
    must(replay->event.id != MSG_NONE);
    if (replay->event.id == MSG_PROCESSING_TIME)
        replay->clock = replay->at = replay->record.at;
    else if (replay->step == STEP_RECORDS)
        record_taken(replay);
    else if (replay->step == STEP_END)
        replay->step = STEP_OVER;
    else
        replay->turn++;
    event_drop(replay);
}
