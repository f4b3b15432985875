/* A worker's conversation with the engine: a thread says what can run here, answers the engine's pings whatever the program is busy with, and
 * puts what is to run into a queue that the program takes from. The feeds of these sources have connections of their own.
 *
 * What the thread says after each loss is the same as at the beginning: so neither side has to know what the other one still knows. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "../../messages/text.h"
#include "../../messages/wire.h"
#include "engine.h"

enum { TIMEOUT_MS = 30000, SILENCE_MS = 5000 /* two pings */, AGAIN_MS = 200, FAREWELL_MS = 2000 };

typedef struct task {
    TAILQ_ENTRY(task) link;
    reprise_start_t start; /* what the program gets; it borrows from these: */
    char *texts[4];
    uint8_t *bytes[2];
} task_t;

/* Why a source cannot be run, on its way to the engine. */
typedef struct complaint {
    TAILQ_ENTRY(complaint) link;
    char *job, *tag, *message;
} complaint_t;

struct reprise_worker {
    reprise_t *engine;
    channel_t channel;
    letter_t letter;
    msgpack_zone zone;
    char *name;
    names_t urns;
    int interrupts; /* the program's, or -1 */
    int64_t said;   /* when it last said that it is ready; 0: it is to say so */
    uint64_t asked;
    pthread_t thread;
    int wake;   /* an eventfd: the thread is to look */
    int filled; /* an eventfd, readable while there is something to take */
    pthread_mutex_t mutex;
    /* ---- guarded by it ---- */
    TAILQ_HEAD(, task) tasks;
    TAILQ_HEAD(, complaint) complaints;
    bool closing, failed;
    reprise_error_t problem; /* why, once failed */
};

static const uint64_t once = 1;

static void signal_descriptor(int descriptor) {
    must(write(descriptor, &once, sizeof once) == (ssize_t)sizeof once);
}

static void clear_descriptor(int descriptor) {
    uint64_t count;
    must(read(descriptor, &count, sizeof count) == (ssize_t)sizeof count || errno == EAGAIN);
}

/* ---- what is to run ---- */

static task_t *task_make(const msg_source_start_t *message) {
    task_t *task = calloc(1, sizeof *task);
    must(task);
    const char *const texts[] = {message->job, message->tag, message->urn, message->producer};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        task->texts[i] = strdup(texts[i]);
        must(task->texts[i]);
    }
    const bytes_t bytes[] = {message->has_payload ? message->payload : (bytes_t){0}, message->has_cursor ? message->cursor : (bytes_t){0}};
    for (size_t i = 0; i < 2; i++) {
        task->bytes[i] = bytes[i].size > 0 ? malloc(bytes[i].size) : NULL;
        must(task->bytes[i] || bytes[i].size == 0);
        if (task->bytes[i]) {
            memcpy(task->bytes[i], bytes[i].data, bytes[i].size);
        }
    }
    task->start = (reprise_start_t){.job = task->texts[0],
                                    .tag = task->texts[1],
                                    .urn = task->texts[2],
                                    .producer = task->texts[3],
                                    .payload = task->bytes[0],
                                    .payload_size = bytes[0].size,
                                    .cursor = task->bytes[1],
                                    .cursor_size = bytes[1].size};
    return task;
}

static void task_free(task_t *task) {
    for (size_t i = 0; i < sizeof task->texts / sizeof *task->texts; i++) {
        free(task->texts[i]);
    }
    free(task->bytes[0]);
    free(task->bytes[1]);
    free(task);
}

void reprise_start_free(reprise_start_t **start) {
    if (*start) {
        task_free((task_t *)(void *)((char *)*start - offsetof(task_t, start)));
    }
    *start = NULL;
}

/* The mutex is held. */
static void task_drop(reprise_worker_t *self, const char *job, const char *tag) {
    task_t *task;
    TAILQ_FOREACH(task, &self->tasks, link) {
        if (strcmp(task->start.job, job) == 0 && strcmp(task->start.tag, tag) == 0) {
            TAILQ_REMOVE(&self->tasks, task, link);
            task_free(task);
            break;
        }
    }
    if (TAILQ_EMPTY(&self->tasks) && !self->failed) {
        clear_descriptor(self->filled);
    }
}

static void start_take(reprise_worker_t *self, const msg_source_start_t *message) {
    task_t *task = task_make(message);
    pthread_mutex_lock(&self->mutex);
    task_drop(self, message->job, message->tag);
    TAILQ_INSERT_TAIL(&self->tasks, task, link);
    signal_descriptor(self->filled);
    pthread_mutex_unlock(&self->mutex);
}

/* ---- the conversation ---- */

static void worker_fail(reprise_worker_t *self, const refusal_t *no) {
    pthread_mutex_lock(&self->mutex);
    self->failed = true;
    problem_refused(&self->problem, no);
    signal_descriptor(self->filled);
    pthread_mutex_unlock(&self->mutex);
}

/* Whatever was given before is given again, and what waits to be taken is not ours any more. */
static void ready_say(reprise_worker_t *self) {
    msg_worker_ready_t ready = {.has_urns = true, .urns = self->urns, .has_worker = self->name != NULL, .worker = self->name};
    echo_t echo = echo_of(self->asked + 1);
    pthread_mutex_lock(&self->mutex);
    while (!TAILQ_EMPTY(&self->tasks)) {
        const task_t *task = TAILQ_FIRST(&self->tasks);
        task_drop(self, task->start.job, task->start.tag);
    }
    pthread_mutex_unlock(&self->mutex);
    bool sent = channel_send(&self->channel, MSG_WORKER_READY, &ready, (bytes_t){echo.data, sizeof echo.data}, NULL);
    self->asked += sent;
    self->said = sent ? channel_clock() : 0;
}

static void answer_take(reprise_worker_t *self) {
    refusal_t no;
    bytes_t ok;
    bool good = wire_map_get(self->letter.head, "ok", &ok) && ok.data[0] == 0xc3;
    if (good || refusal_decode(self->letter.head, &no) == -1) {
        return;
    }
    if (no.retry || no.code == ERROR_UNAVAILABLE) {
        self->said = 0; /* it has lost its state */
    } else if (echo_is(self->letter.head, self->asked)) {
        worker_fail(self, &no);
    }
}

static void letter_take(reprise_worker_t *self) {
    union {
        msg_source_start_t start;
        msg_source_stop_t stop;
    } as;
    bytes_t head = self->letter.head, value;
    const char *op;
    size_t size;
    refusal_t no;
    if (!wire_map_get(head, "op", &value) || !wire_text(value, &op, &size)) {
        answer_take(self);
        return;
    }
    message_id_t id = message_find(SCOPE_INGEST, op, size);
    msgpack_zone_clear(&self->zone);
    if ((id != MSG_SOURCE_START && id != MSG_SOURCE_STOP) || message_decode(id, head, &self->zone, &as, &no) == -1) {
        return;
    }
    if (id == MSG_SOURCE_START) {
        start_take(self, &as.start);
    } else if (as.stop.has_job) { /* one that was taken already hears of it by its feed */
        pthread_mutex_lock(&self->mutex);
        task_drop(self, as.stop.job, as.stop.tag);
        pthread_mutex_unlock(&self->mutex);
    }
}

static void complaint_free(complaint_t *complaint) {
    free(complaint->job);
    free(complaint->tag);
    free(complaint->message);
    free(complaint);
}

static void complaints_send(reprise_worker_t *self) {
    complaint_t *complaint;
    pthread_mutex_lock(&self->mutex);
    while ((complaint = TAILQ_FIRST(&self->complaints))) {
        msg_source_fail_t fail = {.has_job = true,
                                  .job = complaint->job,
                                  .has_tag = true,
                                  .tag = complaint->tag,
                                  .has_message = true,
                                  .message = complaint->message};
        if (!channel_send(&self->channel, MSG_SOURCE_FAIL, &fail, (bytes_t){0}, NULL)) {
            break;
        }
        TAILQ_REMOVE(&self->complaints, complaint, link);
        complaint_free(complaint);
    }
    pthread_mutex_unlock(&self->mutex);
}

static bool worker_goes_on(reprise_worker_t *self) {
    pthread_mutex_lock(&self->mutex);
    bool goes_on = !self->closing && !self->failed;
    pthread_mutex_unlock(&self->mutex);
    return goes_on;
}

static void *worker_run(void *argument) {
    reprise_worker_t *self = argument;
    while (worker_goes_on(self)) {
        int64_t now = channel_clock(), last = self->channel.heard > self->said ? self->channel.heard : self->said;
        if (self->said == 0 || now - last >= SILENCE_MS) {
            ready_say(self);
        }
        complaints_send(self);
        switch (channel_receive(&self->channel, channel_clock() + (self->said ? SILENCE_MS : AGAIN_MS), &self->letter)) {
        case RECEIVED: letter_take(self); break;
        case RECEIVED_INTERRUPT: clear_descriptor(self->wake); break;
        case RECEIVED_LOST: self->said = 0; break;
        case RECEIVED_NOTHING: break;
        }
    }
    return NULL;
}

/* ---- from the program's side ---- */

static char *text_or_null(const char *text) {
    char *copy = text ? strdup(text) : NULL;
    must(copy || !text);
    return copy;
}

static void thread_start(reprise_worker_t *self) {
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    must(pthread_create(&self->thread, NULL, worker_run, self) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

reprise_worker_t *reprise_worker_open(reprise_t *engine, const char *name, const char *const *urns, size_t count, reprise_error_t *error) {
    channel_t channel;
    if (count == 0) {
        problem_set(error, PROBLEM_USAGE, "a worker needs the URN of a source at least");
        return NULL;
    }
    if (engine_open(engine, SCOPE_INGEST, TIMEOUT_MS, &channel, error) == -1) {
        return NULL;
    }
    reprise_worker_t *self = calloc(1, sizeof *self);
    must(self);
    self->engine = engine;
    self->interrupts = channel.interrupts;
    self->name = text_or_null(name);
    self->urns = (names_t){count, calloc(count, sizeof *self->urns.items)};
    must(self->urns.items);
    for (size_t i = 0; i < count; i++) {
        self->urns.items[i] = text_or_null(urns[i]);
    }
    self->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->filled = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    must(self->wake != -1 && self->filled != -1);
    channel.interrupts = self->wake;
    self->channel = channel;
    letter_init(&self->letter);
    must(msgpack_zone_init(&self->zone, MSGPACK_ZONE_CHUNK_SIZE));
    must(pthread_mutex_init(&self->mutex, NULL) == 0);
    TAILQ_INIT(&self->tasks);
    TAILQ_INIT(&self->complaints);
    thread_start(self);
    return self;
}

/* 1, or 0 where there is nothing to take, or -1. */
static int worker_take(reprise_worker_t *self, reprise_start_t **ret_start, reprise_error_t *error) {
    int result = 0;
    pthread_mutex_lock(&self->mutex);
    task_t *task = TAILQ_FIRST(&self->tasks);
    if (task) {
        TAILQ_REMOVE(&self->tasks, task, link);
        *ret_start = &task->start;
        result = 1;
    } else if (self->failed) {
        if (error) {
            *error = self->problem;
        }
        result = -1;
    }
    if (TAILQ_EMPTY(&self->tasks) && !self->failed) {
        clear_descriptor(self->filled);
    }
    pthread_mutex_unlock(&self->mutex);
    return result;
}

int reprise_worker_next(reprise_worker_t *worker, int64_t timeout_ms, reprise_start_t **ret_start, reprise_error_t *error) {
    int64_t deadline = engine_deadline(timeout_ms);
    for (;;) {
        int result = worker_take(worker, ret_start, error);
        int64_t left = deadline == INT64_MAX ? -1 : deadline - channel_clock();
        if (result != 0 || (deadline != INT64_MAX && left <= 0)) {
            return result;
        }
        struct pollfd polled[] = {{.fd = worker->filled, .events = POLLIN}, {.fd = worker->interrupts, .events = POLLIN}};
        poll(polled, 2, left > INT32_MAX ? INT32_MAX : (int)left);
        if (polled[1].revents) {
            return problem_interrupted(error);
        }
    }
}

void reprise_worker_fail(reprise_worker_t *worker, const reprise_start_t *start, const char *message) {
    complaint_t *complaint = calloc(1, sizeof *complaint);
    must(complaint);
    complaint->job = text_or_null(start->job);
    complaint->tag = text_or_null(start->tag);
    complaint->message = text_or_null(message);
    text_mend(complaint->message);
    pthread_mutex_lock(&worker->mutex);
    TAILQ_INSERT_TAIL(&worker->complaints, complaint, link);
    pthread_mutex_unlock(&worker->mutex);
    signal_descriptor(worker->wake);
}

int reprise_worker_descriptor(const reprise_worker_t *worker) {
    return worker->filled;
}

/* Says that it leaves, and waits for the answer: then what it ran is given out already. */
static void worker_leave(reprise_worker_t *self) {
    echo_t echo = echo_of(++self->asked);
    msg_worker_ready_t nothing = {.has_urns = true};
    self->channel.interrupts = -1;
    if (channel_send(&self->channel, MSG_WORKER_READY, &nothing, (bytes_t){echo.data, sizeof echo.data}, NULL)) {
        engine_await(&self->channel, self->asked, "worker.ready", engine_deadline(FAREWELL_MS), &self->letter, NULL, NULL, NULL);
    }
}

static void worker_free(reprise_worker_t *self) {
    while (!TAILQ_EMPTY(&self->tasks)) {
        task_t *task = TAILQ_FIRST(&self->tasks);
        TAILQ_REMOVE(&self->tasks, task, link);
        task_free(task);
    }
    while (!TAILQ_EMPTY(&self->complaints)) {
        complaint_t *complaint = TAILQ_FIRST(&self->complaints);
        TAILQ_REMOVE(&self->complaints, complaint, link);
        complaint_free(complaint);
    }
    for (size_t i = 0; i < self->urns.count; i++) {
        free((void *)(uintptr_t)self->urns.items[i]);
    }
    free(self->urns.items);
    free(self->name);
    close(self->wake);
    close(self->filled);
    letter_fini(&self->letter);
    msgpack_zone_destroy(&self->zone);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

void reprise_worker_close(reprise_worker_t **worker) {
    reprise_worker_t *self = *worker;
    if (!self) {
        return;
    }
    pthread_mutex_lock(&self->mutex);
    self->closing = true;
    pthread_mutex_unlock(&self->mutex);
    signal_descriptor(self->wake);
    must(pthread_join(self->thread, NULL) == 0);
    complaints_send(self);
    worker_leave(self);
    engine_close(self->engine, &self->channel);
    worker_free(self);
    *worker = NULL;
}
