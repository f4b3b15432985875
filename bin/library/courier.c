/* The thread of a feed.
 * It watches the open buffer by looking at it twice in a linger: what is there at two looks in a row has waited long enough. So the one that
 * pushes needs no clock and no lock. Where nothing was pushed for two looks it asks to be woken by the next push, and looks once more before
 * it sleeps: a push that did not see the request in time is seen by that look.
 *
 * Each batch is kept until the engine has recorded it. An engine that restarts, or that has let this producer go, knows from the producer's
 * name how far it had come: so after attaching again exactly the rest is sent. */
#include "courier.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../../messages/wire.h"

enum { SILENCE_MS = 5000 /* two pings */, LOST_MS = 2000, BREATH_MS = 50, POLL_MAX_MS = 3600 * 1000 };
static const int64_t SEQ_MAX = INT64_MAX / 2; /* of batches; more cannot be true, and this many more can be counted */

static void courier_lock(courier_t *self) {
    pthread_mutex_lock(&self->outbox.pool->mutex);
}

static void courier_unlock(courier_t *self) {
    pthread_mutex_unlock(&self->outbox.pool->mutex);
}

static void courier_tell(courier_t *self) {
    pthread_cond_broadcast(&self->outbox.pool->changed);
}

/* ---- the end ---- */

static const uint64_t once = 1;

static void courier_end(courier_t *self, courier_state_t state) {
    self->state = state;
    must(write(self->over, &once, sizeof once) == (ssize_t)sizeof once);
    atomic_fetch_or(&self->attention, ATTENTION_OVER);
    courier_tell(self);
}

static void courier_stop(courier_t *self, const char *reason) {
    courier_lock(self);
    snprintf(self->stopped, sizeof self->stopped, "%s", reason);
    courier_end(self, COURIER_STOPPED);
    courier_unlock(self);
}

static void courier_fail(courier_t *self, const reprise_error_t *problem) {
    courier_lock(self);
    self->problem = *problem;
    courier_end(self, COURIER_FAILED);
    courier_unlock(self);
}

/* ---- attaching ---- */

/* The engine does not know this attachment any more, or is gone. */
static void courier_lose(courier_t *self) {
    int64_t now = channel_clock();
    bool had = self->state == COURIER_ATTACHED;
    if (self->given && self->known) {
        courier_stop(self, "lost");
        return;
    }
    if (had) {
        self->attach_until = engine_deadline(self->timeout_ms);
    }
    self->attach_at = now;
    self->source = 0;
    self->attach_asked = self->done_asked = 0;
    courier_lock(self);
    self->state = COURIER_ATTACHING;
    courier_unlock(self);
}

static void attach_ask(courier_t *self) {
    msg_source_attach_t ask = {.has_pipeline = !self->known && self->pipeline, .pipeline = self->pipeline};
    ask.has_job = self->known || !self->pipeline;
    ask.job = self->job;
    ask.has_tag = ask.has_producer = true;
    ask.tag = self->tag;
    ask.producer = self->producer;
    echo_t echo = echo_of(self->asked + 1);
    if (!channel_send(&self->channel, MSG_SOURCE_ATTACH, &ask, (bytes_t){echo.data, sizeof echo.data}, NULL)) {
        return;
    }
    self->attach_asked = ++self->asked;
    /* The first is answered when the job has started; a later one that is not answered soon was lost in a restart. */
    self->attach_at = self->known ? channel_clock() + LOST_MS : INT64_MAX;
}

static void attach_check(courier_t *self) {
    int64_t now = channel_clock();
    if (now >= self->attach_until) {
        reprise_error_t problem;
        problem_set(&problem, self->known ? PROBLEM_UNREACHABLE : PROBLEM_TIMEOUT, "the engine at %s did not let `%s` in in time",
                    self->channel.endpoint, self->tag);
        courier_fail(self, &problem);
    } else if (now >= self->attach_at) {
        attach_ask(self);
    }
}

/* Where to go on. The mutex is held. */
static int attach_place(courier_t *self, int64_t next_seq, reprise_error_t *problem) {
    outbox_t *outbox = &self->outbox;
    if (next_seq > SEQ_MAX) {
        problem_set(problem, error_name(ERROR_CONFLICT), "the engine expects batch %lld of `%s`: nobody has sent so many",
                    (long long)next_seq, self->tag);
        problem->retry = false;
        return -1;
    }
    if (!self->known) {
        outbox->next_seq = next_seq;
        return 0;
    }
    int64_t first = outbox->first ? outbox->first->seq : outbox->next_seq;
    if (next_seq < first) {
        problem_set(problem, error_name(ERROR_CONFLICT),
                    "the engine has lost what it had acknowledged: it expects batch %lld of `%s`, not %lld", (long long)next_seq, self->tag,
                    (long long)first);
        problem->retry = false;
        return -1;
    }
    if (next_seq > outbox->next_seq) {
        problem_set(problem, error_name(ERROR_CONFLICT),
                    "somebody else has fed `%s` as producer `%s`: the engine expects batch %lld, not %lld", self->tag, self->producer,
                    (long long)next_seq, (long long)outbox->next_seq);
        problem->retry = false;
        return -1;
    }
    outbox_recorded(outbox, next_seq);
    outbox_rewind(outbox);
    return 0;
}

static void attach_done(courier_t *self, const msg_source_attached_t *answer) {
    reprise_error_t problem;
    courier_lock(self);
    int placed = attach_place(self, answer->next_seq, &problem);
    if (placed == 0 && !self->known) {
        self->cursor = answer->has_cursor ? malloc(answer->cursor.size) : NULL;
        must(self->cursor || !answer->has_cursor);
        self->cursor_size = answer->has_cursor ? answer->cursor.size : 0;
        if (self->cursor) {
            memcpy(self->cursor, answer->cursor.data, answer->cursor.size);
            self->outbox.cursor.used = true; /* as before: nothing is recorded ahead of the next one */
        }
        snprintf(self->job, sizeof self->job, "%s", answer->job);
    }
    if (placed == 0) {
        self->outbox.credit = answer->credit;
        self->state = COURIER_ATTACHED;
        courier_tell(self);
    }
    courier_unlock(self);
    if (placed == -1) {
        courier_fail(self, &problem);
        return;
    }
    self->source = answer->source;
    self->known = true;
}

/* The engine may be restarting. But at first, a job that is not known is one that does not run. */
static void attach_refused(courier_t *self, const refusal_t *no) {
    if (no->retry && (self->known || no->code == ERROR_UNAVAILABLE)) {
        self->attach_at = channel_clock() + BREATH_MS;
        return;
    }
    courier_lock(self);
    bool ended = self->ending && !self->outbox.first && self->known && no->code == ERROR_INVALID_STATE;
    courier_unlock(self);
    if (ended) {
        courier_stop(self, "sources_ended"); /* which was told before the connection was lost */
        return;
    }
    reprise_error_t problem;
    problem_refused(&problem, no);
    courier_fail(self, &problem);
}

/* ---- what the engine says ---- */

static void answer_take(courier_t *self) {
    bytes_t head = self->letter.head, ok;
    bool attach = self->attach_asked && echo_is(head, self->attach_asked);
    bool done = self->done_asked && echo_is(head, self->done_asked);
    refusal_t no = {.code = ERROR_INTERNAL, .message = "the engine's answer cannot be understood"};
    bool good = wire_map_get(head, "ok", &ok) && ok.data[0] == 0xc3;
    if (!attach && !done) {
        return;
    }
    if (!good) {
        refusal_decode(head, &no);
    }
    if (done) {
        self->done_asked = 0;
        if (good) {
            courier_stop(self, "sources_ended");
        } else if (no.retry) {
            courier_lose(self);
        } else {
            attach_refused(self, &no);
        }
        return;
    }
    self->attach_asked = 0;
    msg_source_attached_t attached;
    msgpack_zone_clear(&self->zone);
    if (good && message_decode(MSG_SOURCE_ATTACHED, head, &self->zone, &attached, &no) == 0) {
        attach_done(self, &attached);
    } else {
        attach_refused(self, &no);
    }
}

static void nack_take(courier_t *self, const msg_source_nack_t *nack) {
    if (nack->error.retry || nack->error.has_expected) {
        courier_lose(self); /* it does not know us, or a batch did not get there: attaching tells where to go on */
        return;
    }
    refusal_t no;
    reprise_error_t problem;
    refuse(&no, error_find(nack->error.code), nack->error.field, "a batch of `%s` is refused: %s", self->tag, nack->error.message);
    problem_refused(&problem, &no);
    courier_fail(self, &problem);
}

static void stop_take(courier_t *self, const msg_source_stop_t *stop) {
    outbox_t *outbox = &self->outbox;
    courier_lock(self);
    if (stop->has_seq) {
        outbox_recorded(outbox, stop->seq);
        const batch_t *cut = outbox->first;
        if (cut && cut->seq == stop->seq) {
            outbox->recorded += stop->accepted < cut->count ? (uint64_t)stop->accepted : cut->count;
        }
    }
    courier_unlock(self);
    courier_stop(self, stop->reason);
}

static void ack_take(courier_t *self, int64_t seq) {
    courier_lock(self);
    outbox_recorded(&self->outbox, seq < SEQ_MAX ? seq + 1 : SEQ_MAX);
    courier_tell(self);
    courier_unlock(self);
}

static void letter_take(courier_t *self) {
    union {
        msg_source_ack_t ack;
        msg_source_nack_t nack;
        msg_source_stop_t stop;
    } as;
    bytes_t head = self->letter.head, value;
    const char *name;
    size_t size;
    refusal_t no;
    if (!wire_map_get(head, "op", &value) || !wire_text(value, &name, &size)) {
        answer_take(self);
        return;
    }
    message_id_t id = message_find(SCOPE_INGEST, name, size);
    int64_t source = self->source;
    if (id != MSG_SOURCE_ACK && id != MSG_SOURCE_NACK && id != MSG_SOURCE_STOP) {
        return;
    }
    msgpack_zone_clear(&self->zone);
    /* What is about an earlier attachment of this connection is of no interest. */
    if (message_decode(id, head, &self->zone, &as, &no) == -1 || self->state != COURIER_ATTACHED) {
        return;
    }
    if (id == MSG_SOURCE_ACK && as.ack.source == source) {
        ack_take(self, as.ack.seq);
    } else if (id == MSG_SOURCE_NACK && (!as.nack.has_source || as.nack.source == source)) {
        nack_take(self, &as.nack);
    } else if (id == MSG_SOURCE_STOP && (!as.stop.has_source || as.stop.source == source)) {
        stop_take(self, &as.stop);
    }
}

/* ---- sending ---- */

static bool batch_send(courier_t *self, const batch_t *batch) {
    msg_source_batch_t head = {
        .has_source = true, .source = self->source, .has_tag = true, .tag = self->tag, .has_seq = true, .seq = batch->seq};
    head.has_watermark = batch->has_watermark;
    head.watermark = batch->watermark;
    head.has_cursor = batch->cursor != NULL;
    head.cursor = (bytes_t){batch->cursor, batch->cursor_size};
    zmq_msg_t body;
    buffer_wrap(batch->buffer, batch->body, batch->size, &body);
    return channel_send_frame(&self->channel, MSG_SOURCE_BATCH, &head, &body);
}

/* Nobody but this thread takes batches out, so the one at hand stays while the mutex is not held. */
static void batches_send(courier_t *self) {
    outbox_t *outbox = &self->outbox;
    courier_lock(self);
    for (;;) {
        const batch_t *batch = outbox_next(outbox);
        if (!batch && self->flushing && !outbox->unsent && outbox->under_way < outbox->credit) {
            self->flushing = false;
            outbox_cut(outbox, true);
            batch = outbox_next(outbox);
            courier_tell(self);
        }
        if (!batch) {
            break;
        }
        courier_unlock(self);
        bool sent = batch_send(self, batch);
        courier_lock(self);
        if (!sent) {
            courier_unlock(self);
            courier_lose(self);
            return;
        }
        outbox_sent(outbox, batch->size + self->channel.out.size);
    }
    bool done = self->ending && !self->flushing && !outbox->first && !self->done_asked;
    courier_unlock(self);
    if (done) {
        msg_source_done_t ask = {.has_source = true, .source = self->source, .has_tag = true, .tag = self->tag};
        echo_t echo = echo_of(self->asked + 1);
        if (channel_send(&self->channel, MSG_SOURCE_DONE, &ask, (bytes_t){echo.data, sizeof echo.data}, NULL)) {
            self->done_asked = ++self->asked;
        } else {
            courier_lose(self);
        }
    }
}

/* ---- the linger ---- */

static void ticks_set(courier_t *self, bool on) {
    int64_t ns = on ? (self->linger_us * 1000 + 1) / 2 : 0;
    struct timespec period = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    struct itimerspec every = {.it_interval = period, .it_value = period};
    must(timerfd_settime(self->ticks, 0, &every, NULL) == 0);
    self->ticking = on;
}

/* Begins to watch, unless nobody has to. The mutex is held. */
static void ticks_begin(courier_t *self) {
    if (self->ticking || self->state != COURIER_ATTACHED || (atomic_load(&self->attention) & ATTENTION_ASLEEP)) {
        return;
    }
    ticks_set(self, true);
    self->noted = outbox_waits(&self->outbox, false);
    self->noted_serial = self->outbox.serial;
}

static void tick_take(courier_t *self) {
    outbox_t *outbox = &self->outbox;
    courier_lock(self);
    bool waits = outbox_waits(outbox, false), may = !outbox->unsent && outbox->under_way < outbox->credit;
    if (waits && may && self->noted && self->noted_serial == outbox->serial) {
        outbox_cut(outbox, false);
        waits = false;
        atomic_fetch_and(&self->attention, ~ATTENTION_ASLEEP);
    } else if (waits) {
        atomic_fetch_and(&self->attention, ~ATTENTION_ASLEEP);
    } else if (atomic_fetch_or(&self->attention, ATTENTION_ASLEEP) & ATTENTION_ASLEEP) {
        ticks_set(self, false);
    }
    self->noted = waits;
    self->noted_serial = outbox->serial;
    courier_unlock(self);
}

/* ---- waiting ---- */

static int64_t wait_until(const courier_t *self) {
    if (self->state == COURIER_ATTACHED) {
        return self->channel.heard + SILENCE_MS;
    }
    return self->attach_at < self->attach_until ? self->attach_at : self->attach_until;
}

static void descriptor_take(int descriptor) {
    uint64_t count;
    must(read(descriptor, &count, sizeof count) == (ssize_t)sizeof count || errno == EAGAIN);
}

/* Is there something to do at once? If not, the thread may be woken. */
static bool wait_begin(courier_t *self, bool *ret_interruptible) {
    courier_lock(self);
    ticks_begin(self);
    bool attached = self->state == COURIER_ATTACHED;
    const outbox_t *outbox = &self->outbox;
    bool flushes = self->flushing && !outbox->unsent && outbox->under_way < outbox->credit;
    bool ends = self->ending && !self->flushing && !outbox->first && !self->done_asked;
    bool busy = self->closing || (attached && (outbox_next(outbox) || flushes || ends));
    self->asleep = !busy;
    *ret_interruptible = self->waited_for && !self->interrupted && self->channel.interrupts != -1;
    courier_unlock(self);
    return busy;
}

static void wait_end(courier_t *self, bool interrupted) {
    courier_lock(self);
    self->asleep = false;
    if (interrupted) {
        self->interrupted = true;
        courier_tell(self);
    }
    courier_unlock(self);
}

static void courier_wait(courier_t *self) {
    enum { SOCKET, MONITOR, WAKE, TICKS, INTERRUPTS, ITEMS };
    bool interruptible;
    bool busy = wait_begin(self, &interruptible);
    int64_t left = wait_until(self) - channel_clock();
    bool asks = self->state == COURIER_ATTACHING && left <= 0;
    zmq_pollitem_t items[ITEMS] = {
        [SOCKET] = {.socket = self->channel.socket, .events = (short)(asks ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN)},
        [MONITOR] = {.socket = self->channel.monitor, .events = ZMQ_POLLIN},
        [WAKE] = {.fd = self->wake, .events = ZMQ_POLLIN},
        [TICKS] = {.fd = self->ticks, .events = ZMQ_POLLIN},
        [INTERRUPTS] = {.fd = self->channel.interrupts, .events = ZMQ_POLLIN},
    };
    /* It is time to attach, but there is no connection: ZeroMQ says when there is one. */
    left = asks ? self->attach_until - channel_clock() : left;
    zmq_poll(items, interruptible ? ITEMS : INTERRUPTS, busy || left < 0 ? 0 : (long)(left < POLL_MAX_MS ? left : POLL_MAX_MS));
    wait_end(self, interruptible && items[INTERRUPTS].revents);
    if (items[WAKE].revents) {
        descriptor_take(self->wake);
    }
    if (items[TICKS].revents) {
        descriptor_take(self->ticks);
        if (self->state == COURIER_ATTACHED) {
            tick_take(self);
        } else {
            ticks_set(self, false);
        }
    }
    if (channel_was_lost(&self->channel) && self->state <= COURIER_ATTACHED) {
        courier_lose(self);
    }
}

static bool courier_goes_on(courier_t *self) {
    courier_lock(self);
    bool goes_on = !self->closing && self->state <= COURIER_ATTACHED;
    courier_unlock(self);
    return goes_on;
}

static void *courier_run(void *argument) {
    courier_t *self = argument;
    while (courier_goes_on(self)) {
        if (self->state == COURIER_ATTACHED) {
            batches_send(self);
        }
        if (self->state == COURIER_ATTACHED && channel_clock() >= self->channel.heard + SILENCE_MS) {
            courier_lose(self);
        }
        if (self->state == COURIER_ATTACHING) {
            attach_check(self);
        }
        if (self->state > COURIER_ATTACHED) {
            break;
        }
        courier_wait(self);
        while (self->state <= COURIER_ATTACHED && channel_receive(&self->channel, 0, &self->letter) == RECEIVED) {
            letter_take(self);
        }
    }
    engine_close(self->engine, &self->channel); /* the engine need not wait for it */
    return NULL;
}

/* ---- from the caller's side ---- */

void courier_start(courier_t *courier, reprise_t *engine, const channel_t *channel) {
    courier->engine = engine;
    courier->channel = *channel;
    courier->state = COURIER_ATTACHING;
    courier->attach_at = channel_clock();
    courier->attach_until = engine_deadline(courier->timeout_ms);
    atomic_init(&courier->attention, 0);
    letter_init(&courier->letter);
    must(msgpack_zone_init(&courier->zone, MSGPACK_ZONE_CHUNK_SIZE));
    courier->over = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    courier->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    courier->ticks = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    must(courier->over != -1 && courier->wake != -1 && courier->ticks != -1);
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    must(pthread_create(&courier->thread, NULL, courier_run, courier) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

void courier_finish(courier_t *courier) {
    courier_lock(courier);
    courier->closing = true;
    courier_wake(courier);
    courier_unlock(courier);
    must(pthread_join(courier->thread, NULL) == 0);
    engine_close(courier->engine, &courier->channel);
    close(courier->over);
    close(courier->wake);
    close(courier->ticks);
    letter_fini(&courier->letter);
    msgpack_zone_destroy(&courier->zone);
    free(courier->cursor);
}

void courier_wake(courier_t *courier) {
    if (courier->asleep) {
        courier->asleep = false;
        must(write(courier->wake, &once, sizeof once) == (ssize_t)sizeof once);
    }
}

bool courier_is_over(const courier_t *courier) {
    return courier->state > COURIER_ATTACHED;
}

int courier_await(courier_t *courier, int64_t deadline, reprise_error_t *error) {
    pool_t *pool = courier->outbox.pool;
    struct timespec until = {.tv_sec = deadline / 1000, .tv_nsec = deadline % 1000 * 1000000};
    if (channel_clock() >= deadline) {
        return problem_set(error, PROBLEM_TIMEOUT, "the engine at %s has not recorded all in time", courier->channel.endpoint);
    }
    courier->waited_for = true;
    courier->interrupted = false;
    courier_wake(courier);
    if (deadline == INT64_MAX) {
        pthread_cond_wait(&pool->changed, &pool->mutex);
    } else {
        pthread_cond_timedwait(&pool->changed, &pool->mutex, &until);
    }
    courier->waited_for = false;
    return courier->interrupted ? problem_interrupted(error) : 0;
}
