/* Feeds. To push an element is to write it behind the one before it and to say so: a few instructions, no lock, no clock, no system call.
 * All else, a buffer that is full or a thread that must be woken, is the long way, taken once in thousands of elements. */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../messages/text.h"
#include "../../messages/wire.h"
#include "courier.h"

enum {
    LINGER_US = 1000,
    BATCH_BYTES = 256 * 1024,
    TIMEOUT_MS = 30000,
    CREDIT_BYTES = 4 * 1024 * 1024, /* about what an engine allows: more buffers would not be filled */
    HEAD_MAX = 1 + 9 + 5,           /* of an element: array, int 64, bin 32 */
    CURSOR_MAX = 64 * 1024,
};
static const size_t ELEMENT_MAX = WIRE_MESSAGE_MAX - BODY_HEAD - HEAD_MAX;

struct reprise_feed {
    /* of the one that pushes */
    uint8_t *at;    /* the next element's place */
    uint8_t *limit; /* an element whose payload ends before this has room */
    uint8_t *base;
    uint32_t count;         /* elements in the open buffer */
    uint32_t count_max;     /* as many as it may have */
    int64_t now;            /* the last time read from the clock */
    uint64_t pushed_before; /* elements in the buffers before */
    char *pipeline, *job, *tag, *producer;
    courier_t courier;
};

static void feed_lock(const reprise_feed_t *feed) {
    pthread_mutex_lock(&feed->courier.outbox.pool->mutex);
}

static void feed_unlock(const reprise_feed_t *feed) {
    pthread_mutex_unlock(&feed->courier.outbox.pool->mutex);
}

/* ---- life ---- */

static char *text_copy(const char *text) {
    char *copy = text ? strdup(text) : NULL;
    must(copy || !text);
    return copy;
}

/* Nobody else's, on any machine. */
static char *producer_name(void) {
    struct timespec now;
    char host[64] = "", *name;
    static atomic_uint made;
    clock_gettime(CLOCK_REALTIME, &now);
    gethostname(host, sizeof host - 1);
    must(asprintf(&name, "%s-%d-%lld%09ld-%u", host, (int)getpid(), (long long)now.tv_sec, now.tv_nsec, atomic_fetch_add(&made, 1U)) > 0);
    return name;
}

static int options_check(const reprise_feed_options_t *options, reprise_error_t *error) {
    if (!options->pipeline == !options->job) {
        return problem_set(error, PROBLEM_USAGE, "a feed needs a pipeline or a job, and not both");
    }
    if (!options->tag) {
        return problem_set(error, PROBLEM_USAGE, "a feed needs a tag");
    }
    const char *const names[] = {options->pipeline, options->job, options->tag, options->producer};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i] && !name_valid(names[i], strlen(names[i]))) {
            return problem_set(error, PROBLEM_USAGE, "`%.80s` is no name: that is 1 to %d bytes of text", names[i], NAME_SIZE_MAX);
        }
    }
    if (options->batch_bytes > ELEMENT_MAX) {
        return problem_set(error, PROBLEM_USAGE, "`batch_bytes` is %zu; a batch is at most %zu bytes", options->batch_bytes, ELEMENT_MAX);
    }
    if (options->linger_us < 0) {
        return problem_set(error, PROBLEM_USAGE, "`linger_us` is %" PRId64 ", which is no time", options->linger_us);
    }
    return 0;
}

static void buffer_begin(reprise_feed_t *feed, uint8_t *base, size_t room, mark_t at) {
    feed->base = base;
    feed->at = base + at.bytes;
    feed->limit = base + room - HEAD_MAX;
    feed->count = at.count;
}

static reprise_feed_t *feed_make(const reprise_feed_options_t *options) {
    reprise_feed_t *feed = aligned_alloc(64, (sizeof *feed + 63) / 64 * 64);
    must(feed);
    memset(feed, 0, sizeof *feed);
    feed->count_max = options->batch_count ? options->batch_count : UINT32_MAX;
    feed->pipeline = text_copy(options->pipeline);
    feed->job = text_copy(options->job);
    feed->tag = text_copy(options->tag);
    feed->producer = options->producer ? text_copy(options->producer) : producer_name();
    courier_t *courier = &feed->courier;
    courier->pipeline = feed->pipeline;
    courier->tag = feed->tag;
    courier->producer = feed->producer;
    snprintf(courier->job, sizeof courier->job, "%s", feed->job ? feed->job : "");
    courier->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    courier->linger_us = options->linger_us ? options->linger_us : LINGER_US;
    size_t size = (options->batch_bytes ? options->batch_bytes : BATCH_BYTES) + BODY_HEAD + HEAD_MAX;
    outbox_t *outbox = &courier->outbox;
    outbox_init(outbox, pool_create(size, CREDIT_BYTES / size + 4), size);
    buffer_begin(feed, outbox->open->data, outbox->open->size, outbox->taken);
    return feed;
}

static void feed_free(reprise_feed_t *feed) {
    pool_t *pool = feed->courier.outbox.pool;
    pthread_mutex_lock(&pool->mutex);
    outbox_fini(&feed->courier.outbox);
    pthread_mutex_unlock(&pool->mutex);
    pool_close(&pool);
    free(feed->pipeline);
    free(feed->job);
    free(feed->tag);
    free(feed->producer);
    free(feed);
}

/* What to return once nothing more is taken: 1, or -1 and why. The mutex is held. */
static int feed_verdict(const reprise_feed_t *feed, reprise_error_t *error) {
    if (feed->courier.state == COURIER_STOPPED) {
        return 1;
    }
    if (error) {
        *error = feed->courier.problem;
    }
    return -1;
}

reprise_feed_t *reprise_feed_open(reprise_t *engine, const reprise_feed_options_t *given, reprise_error_t *error) {
    reprise_feed_options_t of_start = *given, *options = &of_start;
    if (given->start) {
        of_start.pipeline = NULL;
        of_start.job = given->start->job;
        of_start.tag = given->start->tag;
        of_start.producer = given->start->producer;
    }
    if (options_check(options, error) == -1) {
        return NULL;
    }
    channel_t channel;
    if (engine_open(engine, SCOPE_INGEST, options->timeout_ms ? options->timeout_ms : TIMEOUT_MS, &channel, error) == -1) {
        return NULL;
    }
    reprise_feed_t *feed = feed_make(options);
    courier_t *courier = &feed->courier;
    courier->given = options->start != NULL;
    courier_start(courier, engine, &channel);
    int result = 0;
    feed_lock(feed);
    while (result == 0 && courier->state == COURIER_ATTACHING) {
        result = courier_await(courier, INT64_MAX, error);
    }
    if (result == 0 && courier->state == COURIER_FAILED) {
        result = feed_verdict(feed, error);
    }
    feed_unlock(feed);
    if (result == -1) {
        reprise_feed_close(&feed);
    }
    return feed;
}

void reprise_feed_close(reprise_feed_t **feed) {
    if (!*feed) {
        return;
    }
    courier_finish(&(*feed)->courier);
    feed_free(*feed);
    *feed = NULL;
}

/* ---- pushing ---- */

static int64_t time_now(reprise_feed_t *feed) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    return feed->now = us > feed->now ? us : feed->now;
}

static inline bool has_room(const reprise_feed_t *feed, size_t size) {
    return size <= ELEMENT_MAX && (ptrdiff_t)size <= feed->limit - feed->at && feed->count < feed->count_max;
}

/* Makes room for an element of `size` bytes: this buffer is sent, and another taken as soon as there is one. */
static int room_make(reprise_feed_t *feed, size_t size, reprise_error_t *error) {
    courier_t *courier = &feed->courier;
    outbox_t *outbox = &courier->outbox;
    if (size > ELEMENT_MAX) {
        problem_set(error, error_name(ERROR_TOO_LARGE), "an element of %zu bytes is larger than %zu", size, ELEMENT_MAX);
        if (error) {
            error->retry = false;
        }
        return -1;
    }
    uint8_t *base;
    size_t room;
    mark_t at;
    int result = 0;
    feed_lock(feed);
    while (result == 0 && !courier_is_over(courier) && !outbox_turn(outbox, size + HEAD_MAX, &base, &room, &at)) {
        result = courier_await(courier, INT64_MAX, error);
    }
    if (result == 0 && courier_is_over(courier)) {
        result = feed_verdict(feed, error);
    } else if (result == 0) {
        feed->pushed_before += feed->count - at.count;
        buffer_begin(feed, base, room, at);
        courier_wake(courier);
    }
    feed_unlock(feed);
    return result;
}

/* The feed's thread wants something. An element that comes after the end is taken back: nobody will read it any more. */
static int attention_pay(reprise_feed_t *feed, uint8_t *before, reprise_error_t *error) {
    courier_t *courier = &feed->courier;
    int result = 0;
    feed_lock(feed);
    atomic_fetch_and(&courier->attention, ~ATTENTION_ASLEEP);
    if (courier_is_over(courier)) {
        feed->at = before;
        feed->count--;
        result = feed_verdict(feed, error);
    } else {
        courier_wake(courier);
    }
    feed_unlock(feed);
    return result;
}

static inline int element_publish(reprise_feed_t *feed, uint8_t *end, reprise_error_t *error) {
    uint8_t *before = feed->at;
    feed->at = end;
    outbox_publish(&feed->courier.outbox, (uint32_t)(end - feed->base), ++feed->count);
    if (__builtin_expect(atomic_load_explicit(&feed->courier.attention, memory_order_relaxed) == 0, 1)) {
        return 0;
    }
    return attention_pay(feed, before, error);
}

static inline uint8_t *bytes_copy(uint8_t *at, const void *bytes, size_t size) {
    if (size > 0) { /* of none, the address may be NULL */
        memcpy(at, bytes, size);
    }
    return at + size;
}

static inline uint8_t *bytes_head(uint8_t *at, uint8_t shortest, size_t size) {
    if (size <= UINT8_MAX) {
        at[0] = shortest;
        at[1] = (uint8_t)size;
        return at + 2;
    }
    uint32_t wide = htobe32((uint32_t)size);
    uint16_t narrow = htobe16((uint16_t)size);
    at[0] = (uint8_t)(size <= UINT16_MAX ? shortest + 1 : shortest + 2);
    memcpy(at + 1, size <= UINT16_MAX ? (void *)&narrow : (void *)&wide, size <= UINT16_MAX ? 2 : 4);
    return at + (size <= UINT16_MAX ? 3 : 5);
}

/* [time, bytes, and what else `parts` counts. The time always has nine bytes: that is the form that the engine reads fastest. */
static inline uint8_t *element_write(uint8_t *at, uint8_t parts, int64_t time, const void *element, size_t size) {
    uint64_t wire = htobe64((uint64_t)time);
    at[0] = parts;
    at[1] = 0xd3;
    memcpy(at + 2, &wire, sizeof wire);
    return bytes_copy(bytes_head(at + 10, 0xc4, size), element, size);
}

int reprise_push(reprise_feed_t *feed, const void *element, size_t size, int64_t event_time_us, reprise_error_t *error) {
    if (__builtin_expect(!has_room(feed, size), 0)) {
        int result = room_make(feed, size, error);
        if (result != 0) {
            return result;
        }
    }
    int64_t time = event_time_us == REPRISE_NOW ? time_now(feed) : event_time_us;
    return element_publish(feed, element_write(feed->at, 0x92, time, element, size), error);
}

static int attributes_measure(const reprise_attribute_t *attributes, size_t count, size_t *ret_size, reprise_error_t *error) {
    size_t size = 5;
    for (size_t i = 0; i < count; i++) {
        const reprise_attribute_t *one = &attributes[i];
        size_t name_size = one->name_size ? one->name_size : strlen(one->name);
        if (name_size > ELEMENT_MAX || one->size > ELEMENT_MAX) {
            size = ELEMENT_MAX;
            break;
        }
        if (!text_valid(one->name, name_size)) {
            return problem_set(error, PROBLEM_USAGE, "the name of attribute %zu is not UTF-8", i);
        }
        if (one->text && !text_valid(one->value, one->size)) {
            return problem_set(error, PROBLEM_USAGE, "the value of attribute `%.*s` is said to be text, and is not UTF-8",
                               (int)(name_size < 100 ? name_size : 100), one->name);
        }
        size += name_size + one->size + 10;
    }
    *ret_size = size;
    return 0;
}

static uint8_t *attributes_write(uint8_t *at, const reprise_attribute_t *attributes, size_t count) {
    uint32_t wide = htobe32((uint32_t)count);
    at[0] = 0xdf;
    memcpy(at + 1, &wide, sizeof wide);
    at += 5;
    for (size_t i = 0; i < count; i++) {
        const reprise_attribute_t *one = &attributes[i];
        size_t name_size = one->name_size ? one->name_size : strlen(one->name);
        at = bytes_copy(bytes_head(at, 0xd9, name_size), one->name, name_size);
        at = bytes_copy(bytes_head(at, one->text ? 0xd9 : 0xc4, one->size), one->value, one->size);
    }
    return at;
}

int reprise_push_with(reprise_feed_t *feed, const void *element, size_t size, int64_t event_time_us, const reprise_attribute_t *attributes,
                      size_t count, reprise_error_t *error) {
    size_t more = 0;
    if (count == 0) {
        return reprise_push(feed, element, size, event_time_us, error);
    }
    if (attributes_measure(attributes, count, &more, error) == -1) {
        return -1;
    }
    size_t whole = size > ELEMENT_MAX ? size : size + more;
    if (!has_room(feed, whole)) {
        int result = room_make(feed, whole, error);
        if (result != 0) {
            return result;
        }
    }
    int64_t time = event_time_us == REPRISE_NOW ? time_now(feed) : event_time_us;
    uint8_t *end = element_write(feed->at, 0x93, time, element, size);
    return element_publish(feed, attributes_write(end, attributes, count), error);
}

/* ---- what goes with elements ---- */

/* The mutex is held; it is not afterwards. */
static int feed_noted(reprise_feed_t *feed) {
    atomic_fetch_and(&feed->courier.attention, ~ATTENTION_ASLEEP);
    courier_wake(&feed->courier);
    feed_unlock(feed);
    return 0;
}

static int feed_begin_note(reprise_feed_t *feed, reprise_error_t *error) {
    feed_lock(feed);
    if (!courier_is_over(&feed->courier)) {
        return 0;
    }
    int result = feed_verdict(feed, error);
    feed_unlock(feed);
    return result;
}

int reprise_feed_watermark(reprise_feed_t *feed, int64_t watermark_us, reprise_error_t *error) {
    int result = feed_begin_note(feed, error);
    if (result != 0) {
        return result;
    }
    outbox_set_watermark(&feed->courier.outbox, watermark_us);
    return feed_noted(feed);
}

int reprise_feed_set_cursor(reprise_feed_t *feed, const void *cursor, size_t size, reprise_error_t *error) {
    refusal_t no;
    if (size == 0 || size > CURSOR_MAX) {
        return problem_set(error, PROBLEM_USAGE, "a cursor has 1 to %d bytes, not %zu", CURSOR_MAX, size);
    }
    if (wire_walk((bytes_t){cursor, size}, &no) == -1) {
        return problem_set(error, PROBLEM_USAGE, "the cursor is no msgpack value: %s", no.message);
    }
    int result = feed_begin_note(feed, error);
    if (result != 0) {
        return result;
    }
    outbox_set_cursor(&feed->courier.outbox, cursor, size);
    return feed_noted(feed);
}

const void *reprise_feed_cursor(const reprise_feed_t *feed, size_t *ret_size) {
    *ret_size = feed->courier.cursor_size;
    return feed->courier.cursor;
}

/* ---- waiting ---- */

static int feed_flush(reprise_feed_t *feed, int64_t deadline, reprise_error_t *error) {
    courier_t *courier = &feed->courier;
    int result = 0;
    courier->flushing = true;
    courier_wake(courier);
    while (result == 0 && !courier_is_over(courier) && (courier->flushing || courier->outbox.first)) {
        result = courier_await(courier, deadline, error);
    }
    return result == 0 && courier_is_over(courier) ? feed_verdict(feed, error) : result;
}

int reprise_feed_flush(reprise_feed_t *feed, int64_t timeout_ms, reprise_error_t *error) {
    feed_lock(feed);
    int result = courier_is_over(&feed->courier) ? feed_verdict(feed, error) : feed_flush(feed, engine_deadline(timeout_ms), error);
    feed_unlock(feed);
    return result;
}

int reprise_feed_done(reprise_feed_t *feed, int64_t timeout_ms, reprise_error_t *error) {
    courier_t *courier = &feed->courier;
    int64_t deadline = engine_deadline(timeout_ms);
    feed_lock(feed);
    bool again = courier->ending;
    int result = courier_is_over(courier) && !again ? feed_verdict(feed, error) : 0;
    if (result == 0 && !courier_is_over(courier)) {
        courier->flushing = courier->ending = true;
        courier_wake(courier);
    }
    while (result == 0 && !courier_is_over(courier)) {
        result = courier_await(courier, deadline, error);
    }
    bool told = strcmp(courier->stopped, "sources_ended") == 0 && courier->outbox.recorded == feed->pushed_before + feed->count;
    if (result == 0 && !told) {
        result = feed_verdict(feed, error);
    }
    feed_unlock(feed);
    return result;
}

/* ---- what is known ---- */

void reprise_feed_counts(const reprise_feed_t *feed, reprise_counts_t *ret_counts) {
    const outbox_t *outbox = &feed->courier.outbox;
    feed_lock(feed);
    *ret_counts = (reprise_counts_t){.pushed = feed->pushed_before + feed->count, .recorded = outbox->recorded, .batches = outbox->batches};
    feed_unlock(feed);
}

int reprise_feed_descriptor(const reprise_feed_t *feed) {
    return feed->courier.over;
}

const char *reprise_feed_job(const reprise_feed_t *feed) {
    return feed->courier.job;
}

const char *reprise_feed_stopped(const reprise_feed_t *feed) {
    feed_lock(feed);
    bool stopped = feed->courier.state == COURIER_STOPPED;
    feed_unlock(feed);
    return stopped ? feed->courier.stopped : NULL;
}
