/* A worker: runs sources that the engine has no connector for, through libreprise. As it stands it reads the lines of files.
 *
 *     worker [--engine tcp://127.0.0.1:5570] [--name NAME]
 *
 * Wherever a job has a source of the URN `example:lines:v1`, with the payload {"path": …, "follow": …}, the engine has one of the workers run
 * it, in this or in another language; when that one dies, another goes on from the cursor. Each source has a thread and a connection here.
 * Build it with: cc worker.c -o worker $(pkg-config --cflags --libs reprise msgpack) -pthread */
#include <errno.h>
#include <msgpack.h>
#include <poll.h>
#include <pthread.h>
#include <reprise.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

enum { LINES = 500 /* that have one cursor */, WAIT_MS = 20 };

static const char *const urns[] = {"example:lines:v1"};
static const char *endpoint;
static reprise_worker_t *worker;
static atomic_bool over;
static atomic_int running;

typedef struct lines {
    FILE *file;
    bool follow;
    char *line;
    size_t room;
} lines_t;

static bool key_is(const msgpack_object *key, const char *name) {
    return key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(name) && memcmp(key->via.str.ptr, name, key->via.str.size) == 0;
}

/* Opens what the payload says, and goes to where the cursor says. Returns NULL, or what is wrong. */
static const char *lines_open(lines_t *lines, const reprise_start_t *start, const void *cursor, size_t cursor_size) {
    char path[4096] = "";
    msgpack_unpacked payload, place;
    msgpack_unpacked_init(&payload);
    msgpack_unpacked_init(&place);
    if (start->payload && msgpack_unpack_next(&payload, start->payload, start->payload_size, NULL) == MSGPACK_UNPACK_SUCCESS &&
        payload.data.type == MSGPACK_OBJECT_MAP) {
        for (uint32_t i = 0; i < payload.data.via.map.size; i++) {
            const msgpack_object_kv *field = &payload.data.via.map.ptr[i];
            if (key_is(&field->key, "path") && field->val.type == MSGPACK_OBJECT_STR)
                snprintf(path, sizeof path, "%.*s", (int)field->val.via.str.size, field->val.via.str.ptr);
            if (key_is(&field->key, "follow")) lines->follow = field->val.type == MSGPACK_OBJECT_BOOLEAN && field->val.via.boolean;
        }
    }
    int64_t offset = 0;
    if (cursor && msgpack_unpack_next(&place, cursor, cursor_size, NULL) == MSGPACK_UNPACK_SUCCESS) offset = place.data.via.i64;
    msgpack_unpacked_destroy(&payload);
    msgpack_unpacked_destroy(&place);
    lines->file = fopen(path, "r");
    if (!lines->file || fseeko(lines->file, offset, SEEK_SET) < 0) return strerror(errno);
    return NULL;
}

static int cursor_set(reprise_feed_t *feed, int64_t offset, reprise_error_t *error) {
    unsigned char cursor[9] = {0xd3}; /* an int 64 of msgpack */
    for (int i = 0; i < 8; i++) cursor[1 + i] = (unsigned char)((uint64_t)offset >> (56 - 8 * i));
    return reprise_feed_set_cursor(feed, cursor, sizeof cursor, error);
}

/* Pushes up to so many lines, and where they end. 1: the job takes no more; 2: there are no more lines at this moment; negative: an error. */
static int lines_push(lines_t *lines, reprise_feed_t *feed, reprise_error_t *error) {
    for (int i = 0; i < LINES; i++) {
        off_t before = ftello(lines->file);
        ssize_t size = getline(&lines->line, &lines->room, lines->file);
        bool whole = size > 0 && lines->line[size - 1] == '\n';
        if (size < 0 || (lines->follow && !whole)) {
            clearerr(lines->file);
            fseeko(lines->file, before, SEEK_SET); /* the rest of it is not written yet */
            int result = i > 0 ? cursor_set(feed, before, error) : 0;
            return result == 0 ? 2 : result;
        }
        int result = reprise_push(feed, lines->line, (size_t)size - whole, REPRISE_NOW, error);
        if (result != 0) return result;
    }
    return cursor_set(feed, ftello(lines->file), error);
}

/* Until the job takes no more, the file ends, or this program does. */
static int lines_feed(lines_t *lines, reprise_feed_t *feed, reprise_error_t *error) {
    int result = 0;
    while ((result == 0 || result == 2) && !atomic_load(&over)) {
        result = lines_push(lines, feed, error);
        if (result == 2 && !lines->follow) return reprise_feed_done(feed, -1, error);
        struct pollfd end = {.fd = reprise_feed_descriptor(feed), .events = POLLIN};
        if (result == 2) poll(&end, 1, WAIT_MS);
    }
    return result;
}

static void *run(void *argument) {
    reprise_start_t *start = argument;
    reprise_error_t error;
    lines_t lines = {0};
    const char *problem = NULL;
    reprise_feed_options_t options = {.start = start};
    reprise_t *engine = reprise_connect(endpoint, &error);
    reprise_feed_t *feed = engine ? reprise_feed_open(engine, &options, &error) : NULL;
    if (feed) { /* otherwise somebody else has it, or nobody needs it any more; or it is given out again */
        size_t size;
        const void *cursor = reprise_feed_cursor(feed, &size);
        problem = lines_open(&lines, start, cursor, size);
        /* The first cursor stands before the first line: batches end at cursors from then on. */
        if (!problem && (cursor_set(feed, ftello(lines.file), &error) < 0 || lines_feed(&lines, feed, &error) < 0)) problem = error.message;
    }
    if (problem) reprise_worker_fail(worker, start, problem);
    if (lines.file) fclose(lines.file);
    free(lines.line);
    if (feed) reprise_feed_close(&feed);
    if (engine) reprise_disconnect(&engine);
    reprise_start_free(&start);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

int main(int argc, char **argv) {
    const char *name = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--engine") == 0) endpoint = argv[i + 1];
        if (strcmp(argv[i], "--name") == 0) name = argv[i + 1];
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    reprise_error_t error = {0};
    reprise_t *engine = reprise_connect(endpoint, &error);
    if (engine) reprise_interrupt_by(engine, signalfd(-1, &signals, SFD_CLOEXEC));
    worker = engine ? reprise_worker_open(engine, name, urns, 1, &error) : NULL;
    reprise_start_t *start;
    while (worker && reprise_worker_next(worker, -1, &start, &error) == 1) {
        pthread_t thread;
        atomic_fetch_add(&running, 1);
        if (pthread_create(&thread, NULL, run, start) != 0) abort();
        pthread_detach(thread);
    }
    bool interrupted = worker && strcmp(error.code, "interrupted") == 0;
    if (!interrupted) fprintf(stderr, "worker: %s: %s\n", error.code, error.message);
    atomic_store(&over, true);
    while (atomic_load(&running) > 0) poll(NULL, 0, WAIT_MS);
    reprise_worker_close(&worker);
    reprise_disconnect(&engine);
    return interrupted ? 0 : 1;
}
