/* A file as a stream: the most common live source there is, and the one whose past is still there when the recorder asks for it again. So
 * its cursor is a place in the file, and what was read but not recorded is simply read again.
 *
 * What is read is one file through its rotations, the files of a folder, or a named pipe: a reading. Reading stops where the credit ends or
 * the reading does; then an acknowledgement or the reading's descriptor starts it again. Nothing polls, but for a file
 * behind a link, or one that is waited for: of these the kernel does not tell everything. */
#include "source_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feed.h"
#include "payload.h"
#include "reading.h"
#include "timing.h"

enum {
    LOOK = 1000 * 1000,            /* µs between two looks at what nobody tells of */
    LINES_A_TURN = 64 * 1024,      /* read without a look at the mailbox, where none of them is sent */
    KEY_ROOM = CODER_KEY_MAX + 64, /* of an element, as its attribute */
};

typedef enum file_format { FORMAT_LINES, FORMAT_JSON, FORMAT_MSGPACK } file_format_t;
typedef enum file_from { FROM_START, FROM_END } file_from_t;

typedef struct file {
    feed_t feed;
    timing_t timing;
    const reading_class_t *class;
    void *reading;         /* NULL: it is over */
    unsigned format, from; /* file_format_t and so on */
    bool is_plain;         /* elements are not looked into */
    bool has_begun;
    msgpack_sbuffer begin; /* a cursor: where reading began, if nothing is recorded yet */
    msgpack_sbuffer place; /* the last cursor */
    timer_id_t turn, look;
} file_t;

/* ---- elements ---- */

static bytes_t file_place(file_t *file, msgpack_sbuffer *out) {
    msgpack_sbuffer_clear(out);
    file->class->place(file->reading, out);
    return (bytes_t){(const uint8_t *)out->data, out->size};
}

static int file_send(file_t *file, fault_t *why) {
    feed_send(&file->feed, file_place(file, &file->place), timing_watermark(&file->timing));
    return file->reading ? 0 : fault_set(why, "%s", file->feed.failure.text); /* what was sent does not fit its coder */
}

static bool is_blank(bytes_t line) {
    for (size_t i = 0; i < line.size; i++) {
        if (!strchr(" \t\r", line.data[i]) || line.data[i] == '\0') return false;
    }
    return true;
}

/* Takes one element that has to be looked into. -1: the source has failed. */
static int element_add(file_t *file, bytes_t element) {
    fault_t why;
    int64_t time = 0;
    if (file->format == FORMAT_JSON && is_blank(element)) return 0;
    int got = timing_read(&file->timing, element, 0, &time, &why);
    if (got == TIMING_SKIP) return 0;
    if (got < 0) {
        char where[sizeof why.text];
        fault_t unread;
        if (file_send(file, &unread) < 0) return -1;
        file->class->where(file->reading, where, sizeof where);
        feed_fail(&file->feed, "%s: %s", where, why.text);
        return -1;
    }
    timing_saw(&file->timing, 0, time);
    uint8_t *at = feed_element(&file->feed, time, element.size, timing_attributes(&file->timing));
    if (element.size > 0) memcpy(at, element.data, element.size);
    return 0;
}

static inline int element_take(file_t *file, bytes_t element) {
    if (!file->is_plain) return element_add(file, element);
    uint8_t *at = feed_element(&file->feed, file->timing.arrival, element.size, (bytes_t){0});
    if (element.size > 0) memcpy(at, element.data, element.size);
    return 0;
}

/* ---- reading ---- */

static timer_fn on_turn, on_look, on_idle;

/* What comes next follows a hole, or there is nothing next: 0, and reading goes on or not. */
static int file_pause(file_t *file, int got, bool *ret_goes_on, fault_t *why) {
    *ret_goes_on = got == READING_LOST;
    if (file_send(file, why) < 0) return -1;
    if (got == READING_LOST) feed_gap(&file->feed, -1, "%s", file->class->lost(file->reading)); /* the next place is behind the hole */
    if (got == READING_END) feed_done(&file->feed);
    return 0;
}

/* Reads until the credit or the reading ends: 0. -1: it cannot be read. */
static int file_read(file_t *file, fault_t *why) {
    bool goes_on = true;
    for (int lines = 0; goes_on && feed_room(&file->feed); lines++) {
        bytes_t element;
        if (lines == LINES_A_TURN) {
            if (!file->turn) file->turn = actor_after(file->feed.me, 0, on_turn, 0);
            return file_send(file, why);
        }
        int got = file->class->next(file->reading, &element, why);
        if (got < 0) return -1;
        if (got != 1) {
            if (file_pause(file, got, &goes_on, why) < 0) return -1;
            continue;
        }
        if (element_take(file, element) < 0) return 0;
        if (feed_full(&file->feed) && file_send(file, why) < 0) return -1;
    }
    return 0;
}

static void waiting_tell(file_t *file) {
    const reading_class_t *class = file->class;
    const char *waits = class->waits ? class->waits(file->reading) : NULL;
    if (class->is_to_be_looked_at && class->is_to_be_looked_at(file->reading) && !file->look)
        file->look = actor_after(file->feed.me, LOOK, on_look, 0);
    if (waits)
        feed_waiting(&file->feed, "%s", waits);
    else
        feed_waiting(&file->feed, NULL);
}

static int file_produce(void *state, fault_t *why) {
    file_t *file = state;
    fault_t unreadable;
    (void)why;
    timing_begin(&file->timing);
    if (file->feed.was_full) timing_missed(&file->timing);
    if (file_read(file, &unreadable) < 0) feed_fail(&file->feed, "%s", unreadable.text);
    if (file->reading) waiting_tell(file);
    if (file->reading) timing_arm(&file->timing, on_idle);
    return 0;
}

static int on_turn(void *state, uint64_t context, fault_t *why) {
    file_t *file = state;
    (void)context;
    file->turn = 0;
    return file_produce(file, why);
}

static int on_look(void *state, uint64_t context, fault_t *why) {
    file_t *file = state;
    (void)context;
    file->look = 0;
    return feed_room(&file->feed) ? file_produce(file, why) : 0;
}

static int on_idle(void *state, uint64_t context, fault_t *why) {
    file_t *file = state;
    int64_t watermark;
    (void)context, (void)why;
    if (timing_advance(&file->timing, feed_room(&file->feed), &watermark))
        feed_watermark(&file->feed, file_place(file, &file->place), watermark);
    timing_arm(&file->timing, on_idle);
    return 0;
}

static int on_change(void *state, int descriptor, fault_t *why) {
    file_t *file = state;
    (void)descriptor;
    if (file->class->wake(file->reading, why) < 0) return -1;
    return feed_room(&file->feed) ? file_produce(file, why) : 0;
}

static int file_go_on(file_t *file, bytes_t cursor, fault_t *why) {
    int got = file->class->resume(file->reading, cursor, why);
    return got == READING_ALIEN ? fault_set(why, "the cursor of the recording is not one of `" SOURCE_FILE_URN "`") : got;
}

/* Nothing recorded: from where it began at first, which for `end` is not where the end is now, and in a pipe is gone. That place is recorded, as
 * the engine may die. */
static int file_begin(file_t *file, fault_t *why) {
    if (file->has_begun) return file_go_on(file, (bytes_t){(const uint8_t *)file->begin.data, file->begin.size}, why);
    if (file->class->start(file->reading, file->from == FROM_END, why) < 0) return -1;
    bytes_t begin = file_place(file, &file->begin);
    file->has_begun = true;
    if (file->from == FROM_END || file->class == &pipe_reading) feed_place(&file->feed, begin);
    return 0;
}

static int file_resume(void *state, bytes_t cursor, fault_t *why) {
    file_t *file = state;
    fault_t unreadable;
    (void)why;
    timing_resume(&file->timing);
    int got = cursor.size > 0 ? file_go_on(file, cursor, &unreadable) : file_begin(file, &unreadable);
    if (got < 0) feed_fail(&file->feed, "%s", unreadable.text);
    return 0;
}

static void file_stop(void *state) {
    file_t *file = state;
    actor_cancel(file->feed.me, &file->turn);
    actor_cancel(file->feed.me, &file->look);
    timing_disarm(&file->timing);
    int descriptor = file->class->descriptor(file->reading);
    if (descriptor >= 0) actor_unwatch(file->feed.me, descriptor);
    file->class->destroy(&file->reading);
}

static const feed_source_t file_source = {SOURCE_FILE_URN, file_resume, file_produce, file_stop};

/* ---- life ---- */

static int payload_take(file_t *file, actor_t *me, const msg_file_payload_t *payload, fault_t *why) {
    static const char *const formats[] = {"lines", "json", "msgpack", NULL}, *const froms[] = {"start", "end", NULL};
    if (payload_choice(SOURCE_FILE_URN, "format", payload->format, formats, &file->format, why) < 0 ||
        payload_choice(SOURCE_FILE_URN, "from", payload->from, froms, &file->from, why) < 0 ||
        timing_init(&file->timing, me, SOURCE_FILE_URN, TIMING_SYSTEM_NONE, TIMING_GIVEN(payload), why) < 0)
        return -1;
    if (file->timing.pointer && file->format != FORMAT_JSON)
        return fault_set(why, "`%s`: `event_time` is a JSON pointer, which needs the `format` `json`", SOURCE_FILE_URN);
    if (file->timing.key && file->format != FORMAT_JSON)
        return fault_set(why, "`%s`: `key` is a JSON pointer, which needs the `format` `json`", SOURCE_FILE_URN);
    if (file->from == FROM_END && file->format == FORMAT_MSGPACK)
        return fault_set(why,
                         "`%s`: `from` cannot be `end` where the `format` is `msgpack`: only from the start is it known where a value ends",
                         SOURCE_FILE_URN);
    file->timing.is_json = file->format == FORMAT_JSON;
    file->is_plain = file->format != FORMAT_JSON;
    return 0;
}

/* A path with wildcards in its last part names files of its folder, unless it is itself there. */
static int path_take(const char *path, char *ret_folder, size_t size, reading_spec_t *spec, const reading_class_t **ret_class,
                     fault_t *why) {
    struct stat status;
    spec->path = path;
    if (stat(path, &status) == 0) {
        *ret_class = S_ISDIR(status.st_mode) ? &spool_reading : S_ISFIFO(status.st_mode) ? &pipe_reading : &tail_reading;
        return 0;
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    *ret_class = strpbrk(name, "*?[") ? &spool_reading : &tail_reading;
    if (*ret_class == &tail_reading) return 0;
    int length = slash ? (int)(slash - path) : 0;
    if (snprintf(ret_folder, size, "%.*s", length, path) >= (int)size) return fault_set(why, "%.64s…: the path is too long", path);
    spec->path = !slash ? "." : slash == path ? "/" : ret_folder;
    spec->pattern = name;
    if (strpbrk(spec->path, "*?[") && access(spec->path, F_OK) < 0)
        return fault_set(why, "%s: wildcards may stand in the last part of a path only", path);
    return 0;
}

static int reading_open(file_t *file, actor_t *me, const msg_file_payload_t *payload, fault_t *why) {
    char folder[4096];
    reading_spec_t spec = {.keys = actor_config(me)->keys,
                           .resumes = file->feed.args.resumes,
                           .follow = !payload->has_follow || payload->follow,
                           .cut = file->format == FORMAT_MSGPACK ? CUT_VALUES : CUT_LINES,
                           .element_max = file->timing.key ? FEED_ELEMENT_MAX - KEY_ROOM : FEED_ELEMENT_MAX};
    if (path_take(payload->path, folder, sizeof folder, &spec, &file->class, why) < 0) return -1;
    file->reading = file->class->create(&spec, why);
    if (!file->reading) return -1;
    int descriptor = file->class->descriptor(file->reading);
    if (descriptor >= 0) actor_watch(me, descriptor, on_change);
    return 0;
}

static void file_destroy(void **state) {
    file_t *file = *state;
    if (!file) return;
    if (file->class) file->class->destroy(&file->reading);
    timing_fini(&file->timing);
    feed_fini(&file->feed);
    msgpack_sbuffer_destroy(&file->begin);
    msgpack_sbuffer_destroy(&file->place);
    free(file);
    *state = NULL;
}

static void *file_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_file_payload_t payload;
    void *state = calloc(1, sizeof(file_t));
    must(state);
    file_t *file = state;
    msgpack_sbuffer_init(&file->begin);
    msgpack_sbuffer_init(&file->place);
    if (feed_init(&file->feed, me, &file_source, args, RECORD_CLASS(file_payload), &payload, why) < 0 ||
        payload_take(file, me, &payload, why) < 0 || reading_open(file, me, &payload, why) < 0) {
        file_destroy(&state);
        return NULL;
    }
    feed_start(&file->feed);
    return state;
}

/* ---- the class ---- */

const actor_class_t source_file_class = {
    .name = "source_file",
    .doc = "Reads the lines of files as they grow.",
    .create = file_create,
    .destroy = file_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
