/* A file as a stream: the most common live source there is, and the one whose past is still there when the recorder asks for it again. So
 * its cursor is a place in the file, and what was read but not recorded is simply read again.
 *
 * Reading stops where the credit ends or the file does; then an acknowledgement or the file's descriptor starts it again. Nothing polls. */
#include "source_file.h"

#include <stdlib.h>
#include <string.h>

#include "../store/keyring.h"
#include "event_time.h"
#include "feed.h"
#include "payload.h"
#include "tail.h"

enum {
    LINES_A_TURN = 64 * 1024, /* read without a look at the mailbox, where none of them is sent */
    PLACE_NUMBERS = 5,
    KEY_ROOM = CODER_KEY_MAX + 64, /* of an element, as its attribute */
};

typedef enum file_format { FORMAT_LINES, FORMAT_JSON } file_format_t;
typedef enum file_error { ERROR_FAILS, ERROR_SKIPS } file_error_t;
typedef enum file_from { FROM_START, FROM_END } file_from_t;

typedef struct file {
    feed_t feed;
    tail_t *tail;
    unsigned format, on_error, from; /* file_format_t and so on */
    const char *pointer;             /* to the event time in JSON; NULL: it is the time of arrival */
    const char *key;                 /* to the key in JSON; NULL: there is none */
    msgpack_sbuffer attributes;      /* of the line that is read: its key */
    int64_t unit_us;                 /* that a number there counts */
    bool follow;
    bool has_lateness;
    int64_t lateness; /* µs that the watermark is behind the newest event time */
    int64_t arrival;  /* event time of what is read now */
    int64_t newest;   /* event time so far; INT64_MIN: none */
    bool begun;
    tail_place_t begin; /* where reading began, if nothing is recorded yet */
    timer_id_t turn;
} file_t;

/* ---- lines ---- */

static int file_send(file_t *file, fault_t *why) {
    tail_place_t place;
    if (tail_place(file->tail, &place, why) < 0) return -1;
    const int64_t numbers[PLACE_NUMBERS] = {place.device, place.inode, place.offset, place.line, place.mark};
    int64_t watermark = file->pointer ? file->newest - file->lateness : file->arrival;
    bool has_watermark = !file->pointer || (file->has_lateness && file->newest > INT64_MIN + file->lateness);
    feed_send(&file->feed, feed_cursor(&file->feed, numbers, PLACE_NUMBERS), has_watermark ? &watermark : NULL);
    return file->tail ? 0 : fault_set(why, "%s", file->feed.failure.text); /* what was sent does not fit its coder */
}

static bool is_blank(bytes_t line) {
    for (size_t i = 0; i < line.size; i++) {
        if (!strchr(" \t\r", line.data[i]) || line.data[i] == '\0') return false;
    }
    return true;
}

/* A whole number beyond int64 is still JSON: then numbers are read as floats. */
static json_t *json_read(bytes_t line, json_error_t *error) {
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *json = json_loadb((const char *)line.data, line.size, flags, error);
    if (!json && json_error_code(error) == json_error_numeric_overflow)
        json = json_loadb((const char *)line.data, line.size, flags | JSON_DECODE_INT_AS_REAL, error);
    return json;
}

/* Text, or a whole number as its digits. Nothing there is no key. */
static int line_key(file_t *file, const json_t *json, fault_t *why) {
    const json_t *key = event_time_find(json, file->key);
    char digits[24];
    msgpack_packer packer;
    if (!key || json_is_null(key)) return 0;
    if (!json_is_string(key) && !json_is_integer(key))
        return fault_set(why, "the key at `%s` is neither text nor a whole number", file->key);
    const char *text = digits;
    size_t size = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(key));
    if (json_is_string(key)) {
        text = json_string_value(key);
        size = json_string_length(key);
    }
    if (size > CODER_KEY_MAX) return fault_set(why, "the key at `%s` has more than %d bytes", file->key, CODER_KEY_MAX);
    if (memchr(text, '\0', size)) return fault_set(why, "the key at `%s` has a NUL in it", file->key);
    msgpack_packer_init(&packer, &file->attributes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, "key", 3);
    msgpack_pack_str_with_body(&packer, text, size);
    return 0;
}

/* The line's event time, and its key. -1: they are not what they should be. */
static int line_read(file_t *file, bytes_t line, int64_t *ret_time, fault_t *why) {
    int64_t time = file->arrival;
    if (file->format == FORMAT_JSON) {
        json_error_t error;
        json_t *json = json_read(line, &error);
        if (!json) return fault_set(why, "this is not JSON: %s", error.text);
        int got = file->pointer ? event_time_of(json, file->pointer, file->unit_us, &time, why) : 0;
        if (got == 0 && file->key) got = line_key(file, json, why);
        json_decref(json);
        if (got < 0) return -1;
    }
    *ret_time = time;
    return 0;
}

/* Takes one line into the batch. -1: the source has failed. */
static int line_add(file_t *file, bytes_t line) {
    fault_t why;
    int64_t time = 0;
    msgpack_sbuffer_clear(&file->attributes);
    if (file->format == FORMAT_JSON && is_blank(line)) return 0;
    if (line_read(file, line, &time, &why) < 0) {
        char where[sizeof why.text];
        fault_t unread;
        if (file->on_error == ERROR_SKIPS) return 0;
        if (file_send(file, &unread) < 0) return -1;
        tail_where(file->tail, where, sizeof where);
        feed_fail(&file->feed, "%s: %s", where, why.text);
        return -1;
    }
    if (time > file->newest) file->newest = time;
    bytes_t attributes = {(const uint8_t *)file->attributes.data, file->attributes.size};
    uint8_t *at = feed_element(&file->feed, time, line.size, attributes);
    if (line.size > 0) memcpy(at, line.data, line.size);
    return 0;
}

/* ---- reading ---- */

static int on_turn(void *state, uint64_t context, fault_t *why);

/* Reads until the credit or the file ends: 0. -1: it cannot be read. */
static int file_read(file_t *file, fault_t *why) {
    for (int lines = 0; feed_room(&file->feed); lines++) {
        bytes_t line;
        if (lines == LINES_A_TURN) {
            if (!file->turn) file->turn = actor_after(file->feed.me, 0, on_turn, 0);
            return file_send(file, why);
        }
        int got = tail_next(file->tail, &line, why);
        if (got < 0) return -1;
        if (got == TAIL_LOST) { /* said with what comes next, whose place is behind the hole */
            if (file_send(file, why) < 0) return -1;
            feed_gap(&file->feed, -1, "%s", tail_lost(file->tail));
            continue;
        }
        if (got == 0) {
            if (file_send(file, why) < 0) return -1;
            if (!file->follow) feed_done(&file->feed);
            return 0;
        }
        if (line_add(file, line) < 0) return 0;
        if (feed_full(&file->feed) && file_send(file, why) < 0) return -1;
    }
    return 0;
}

static int file_produce(void *state, fault_t *why) {
    file_t *file = state;
    fault_t unreadable;
    (void)why;
    int64_t now = actor_now(file->feed.me);
    if (now > file->arrival) file->arrival = now;
    if (file_read(file, &unreadable) < 0) feed_fail(&file->feed, "%s", unreadable.text);
    return 0;
}

static int on_turn(void *state, uint64_t context, fault_t *why) {
    file_t *file = state;
    (void)context;
    file->turn = 0;
    return file_produce(file, why);
}

static int on_change(void *state, int descriptor, fault_t *why) {
    file_t *file = state;
    (void)descriptor;
    if (tail_wake(file->tail, why) < 0) return -1;
    return feed_room(&file->feed) ? file_produce(file, why) : 0;
}

/* Nothing recorded: from where it began at first, which for `end` is not where the end is now. */
static int file_begin(file_t *file, fault_t *why) {
    if (file->begun) return tail_resume(file->tail, &file->begin, why);
    if (tail_start(file->tail, file->from == FROM_END, why) < 0 || tail_place(file->tail, &file->begin, why) < 0) return -1;
    file->begun = true;
    return 0;
}

static int file_go_on(file_t *file, bytes_t cursor, fault_t *why) {
    int64_t n[PLACE_NUMBERS];
    if (!feed_cursor_read(cursor, n, PLACE_NUMBERS) || n[2] < 0)
        return fault_set(why, "the cursor of the recording is not one of `" SOURCE_FILE_URN "`");
    return tail_resume(file->tail, &(tail_place_t){n[0], n[1], n[2], n[3], n[4]}, why);
}

static int file_resume(void *state, bytes_t cursor, fault_t *why) {
    file_t *file = state;
    fault_t unreadable;
    (void)why;
    int got = cursor.size > 0 ? file_go_on(file, cursor, &unreadable) : file_begin(file, &unreadable);
    if (got < 0) feed_fail(&file->feed, "%s", unreadable.text);
    return 0;
}

static void file_stop(void *state) {
    file_t *file = state;
    actor_cancel(file->feed.me, &file->turn);
    if (file->follow) actor_unwatch(file->feed.me, tail_descriptor(file->tail));
    tail_destroy(&file->tail);
}

static const feed_source_t file_source = {SOURCE_FILE_URN, file_resume, file_produce, file_stop};

/* ---- life ---- */

static int payload_take(file_t *file, const msg_file_payload_t *payload, fault_t *why) {
    static const char *const formats[] = {"lines", "json", NULL}, *const units[] = {"us", "ms", "s", NULL};
    static const char *const errors[] = {"fail", "skip", NULL}, *const froms[] = {"start", "end", NULL};
    static const int64_t units_us[] = {1, 1000, 1000000};
    unsigned unit;
    if (payload_choice(SOURCE_FILE_URN, "format", payload->format, formats, &file->format, why) < 0 ||
        payload_choice(SOURCE_FILE_URN, "event_time_unit", payload->event_time_unit, units, &unit, why) < 0 ||
        payload_choice(SOURCE_FILE_URN, "on_error", payload->on_error, errors, &file->on_error, why) < 0 ||
        payload_choice(SOURCE_FILE_URN, "from", payload->from, froms, &file->from, why) < 0)
        return -1;
    file->unit_us = units_us[unit];
    if (payload->has_event_time && strcmp(payload->event_time, "arrival") != 0) file->pointer = payload->event_time;
    if (file->pointer && !event_time_pointer_valid(file->pointer))
        return fault_set(why, "`%s`: `event_time` must be `arrival` or a JSON pointer such as `/ts`, not `%.64s`", SOURCE_FILE_URN,
                         file->pointer);
    if (file->pointer && file->format != FORMAT_JSON)
        return fault_set(why, "`%s`: `event_time` is a JSON pointer, which needs the `format` `json`", SOURCE_FILE_URN);
    if (payload->has_key) file->key = payload->key;
    if (file->key && !event_time_pointer_valid(file->key))
        return fault_set(why, "`%s`: `key` must be a JSON pointer such as `/user`, not `%.64s`", SOURCE_FILE_URN, file->key);
    if (file->key && file->format != FORMAT_JSON)
        return fault_set(why, "`%s`: `key` is a JSON pointer, which needs the `format` `json`", SOURCE_FILE_URN);
    if (payload->out_of_order_ms > INT64_MAX / 4000)
        return fault_set(why, "`%s`: `out_of_order_ms` is too large: %lld", SOURCE_FILE_URN, (long long)payload->out_of_order_ms);
    file->has_lateness = payload->has_out_of_order_ms;
    file->lateness = payload->out_of_order_ms * 1000;
    file->follow = !payload->has_follow || payload->follow;
    file->newest = file->arrival = INT64_MIN;
    return 0;
}

static void file_destroy(void **state) {
    file_t *file = *state;
    if (!file) return;
    tail_destroy(&file->tail);
    feed_fini(&file->feed);
    msgpack_sbuffer_destroy(&file->attributes);
    free(file);
    *state = NULL;
}

static void *file_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_file_payload_t payload;
    void *state = calloc(1, sizeof(file_t));
    must(state);
    file_t *file = state;
    msgpack_sbuffer_init(&file->attributes);
    if (feed_init(&file->feed, me, &file_source, args, RECORD_CLASS(file_payload), &payload, why) < 0) goto fail;
    if (payload_take(file, &payload, why) < 0) goto fail;
    file->tail = tail_create(payload.path, file->follow, file->key ? FEED_ELEMENT_MAX - KEY_ROOM : FEED_ELEMENT_MAX, why);
    if (!file->tail) goto fail;
    if (keyring_is_secret(actor_config(me)->keys, payload.path)) {
        fault_set(why, "%s is the engine's own key, which is nobody's to record", payload.path);
        goto fail;
    }
    if (file->follow) actor_watch(me, tail_descriptor(file->tail), on_change);
    feed_start(&file->feed);
    return state;
fail:
    file_destroy(&state);
    return NULL;
}

/* ---- the class ---- */

const actor_class_t source_file_class = {
    .name = "source_file",
    .doc = "Reads the lines of a file as it grows.",
    .create = file_create,
    .destroy = file_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
