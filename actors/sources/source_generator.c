/* The source that needs nothing outside: the embedded default of demonstrations and tests, and at rate 0 the load that the engine is
 * measured with. An element is a pure function of the seed and of its number, and so is its event time after the origin's: whoever knows
 * the payload knows what must be in the recording, to the byte.
 *
 * The origin is in the cursor, so that a restart goes on with the same event times; the pace starts anew, without catching up. */
#include "source_generator.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"

enum {
    RATE_DEFAULT = 1000, /* elements a second */
    SIZE_DEFAULT = 100,  /* bytes */
    SEED_DEFAULT = 1,
    TICK = 5000, /* µs; elements that are due within one go together */
};
static const double rate_min = 1e-6, rate_max = 1e9;
static const int64_t number_max = INT64_C(1) << 62; /* of a time and of a count, so that no sum overflows */

typedef struct generator {
    feed_t feed;
    double rate;   /* elements a second; 0: no pace */
    size_t size;   /* of an element */
    int64_t count; /* elements in all; number_max: it does not end */
    uint64_t seed;
    int64_t origin; /* event time of element 0 */
    bool has_origin;
    int64_t next;        /* the number of the next element */
    int64_t pace_number; /* the element that was due */
    int64_t pace_ticks;  /* at this time */
    timer_id_t timer;
} generator_t;

/* ---- elements ---- */

static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Its number, a space, and letters: readable in a replay, and hard to confuse with another element. Sixteen letters come from one mix. */
static void element_write(const generator_t *generator, int64_t number, uint8_t *at, size_t size) {
    const uint64_t nibbles = UINT64_C(0x0f0f0f0f0f0f0f0f), letters = UINT64_C(0x6161616161616161);
    uint64_t random = mix(generator->seed + (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15));
    uint8_t head[24];
    size_t used = sizeof head;
    head[--used] = ' ';
    do head[--used] = (uint8_t)('0' + number % 10);
    while ((number /= 10) > 0);
    size_t digits = sizeof head - used < size ? sizeof head - used : size;
    memcpy(at, head + used, digits);
    for (size_t i = digits; i < size; i += 16) {
        random = mix(random + UINT64_C(0x9e3779b97f4a7c15));
        uint64_t text[2] = {htole64((random & nibbles) + letters), htole64(((random >> 4) & nibbles) + letters)};
        memcpy(at + i, text, size - i < sizeof text ? size - i : sizeof text);
    }
}

/* Without a rate, elements are a microsecond apart. */
static inline int64_t event_time(const generator_t *generator, int64_t number) {
    return generator->origin + (generator->rate > 0 ? (int64_t)((double)number * 1e6 / generator->rate) : number);
}

/* Rounded up: when a timer has waited for this, the element is due. */
static int64_t due_at(const generator_t *generator, int64_t number) {
    return generator->pace_ticks + (int64_t)((double)(number - generator->pace_number) * 1e6 / generator->rate) + 1;
}

/* Fills one batch up to element `end` and sends it. */
static void batch_send(generator_t *generator, int64_t end) {
    while (generator->next < end && !feed_full(&generator->feed)) {
        uint8_t *at = feed_element(&generator->feed, event_time(generator, generator->next), generator->size, (bytes_t){0});
        element_write(generator, generator->next++, at, generator->size);
    }
    const int64_t cursor[] = {generator->next, generator->origin};
    int64_t watermark = event_time(generator, generator->next);
    feed_send(&generator->feed, feed_cursor(&generator->feed, cursor, 2), &watermark);
}

/* The elements before this number may be produced now. */
static int64_t number_due(generator_t *generator) {
    if (generator->rate <= 0) return generator->count;
    int64_t now = actor_ticks(generator->feed.me);
    double due = (double)(now - generator->pace_ticks) * generator->rate / 1e6;
    double left = (double)(generator->count - generator->pace_number);
    return due + 1 >= left ? generator->count : generator->pace_number + (int64_t)due + 1;
}

static int on_tick(void *state, uint64_t context, fault_t *why);

static int generator_produce(void *state, fault_t *why) {
    generator_t *generator = state;
    (void)why;
    actor_cancel(generator->feed.me, &generator->timer);
    int64_t end = number_due(generator);
    while (feed_room(&generator->feed) && generator->next < end) batch_send(generator, end);
    if (generator->next >= generator->count) {
        feed_done(&generator->feed);
    } else if (generator->next >= end && feed_room(&generator->feed)) {
        int64_t wait = due_at(generator, generator->next) - actor_ticks(generator->feed.me);
        generator->timer = actor_after(generator->feed.me, wait > TICK ? wait : TICK, on_tick, 0);
    }
    return 0;
}

static int on_tick(void *state, uint64_t context, fault_t *why) {
    generator_t *generator = state;
    (void)context;
    generator->timer = 0;
    return generator_produce(generator, why);
}

static int generator_resume(void *state, bytes_t cursor, fault_t *why) {
    generator_t *generator = state;
    int64_t numbers[2] = {0, generator->has_origin ? generator->origin : actor_now(generator->feed.me)};
    (void)why;
    if (cursor.size > 0 &&
        !(feed_cursor_read(cursor, numbers, 2) && numbers[0] >= 0 && numbers[0] < number_max && llabs(numbers[1]) < number_max)) {
        feed_fail(&generator->feed, "the cursor of the recording is not one of `" SOURCE_GENERATOR_URN "`");
        return 0;
    }
    generator->next = generator->pace_number = numbers[0];
    generator->origin = numbers[1];
    generator->has_origin = true;
    generator->pace_ticks = actor_ticks(generator->feed.me);
    return 0;
}

static void generator_stop(void *state) {
    generator_t *generator = state;
    actor_cancel(generator->feed.me, &generator->timer);
}

static const feed_source_t generator_source = {SOURCE_GENERATOR_URN, generator_resume, generator_produce, generator_stop};

/* ---- life ---- */

static void generator_destroy(void **state) {
    generator_t *generator = *state;
    if (!generator) return;
    feed_fini(&generator->feed);
    free(generator);
    *state = NULL;
}

static int payload_check(const msg_generator_payload_t *payload, fault_t *why) {
    if (payload->rate > 0 && (payload->rate < rate_min || payload->rate > rate_max))
        return fault_set(why, "`%s`: `rate` must be 0, or %g to %g, not %g", SOURCE_GENERATOR_URN, rate_min, rate_max, payload->rate);
    if (payload->size > FEED_ELEMENT_MAX)
        return fault_set(why, "`%s`: `size` must be at most %d, not %lld", SOURCE_GENERATOR_URN, FEED_ELEMENT_MAX,
                         (long long)payload->size);
    if (payload->count >= number_max)
        return fault_set(why, "`%s`: `count` must be less than 2^62, not %lld", SOURCE_GENERATOR_URN, (long long)payload->count);
    if (payload->origin_us >= number_max || payload->origin_us <= -number_max)
        return fault_set(why, "`%s`: `origin_us` must be within 2^62, not %lld", SOURCE_GENERATOR_URN, (long long)payload->origin_us);
    return 0;
}

static void *generator_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_generator_payload_t payload;
    void *state = calloc(1, sizeof(generator_t));
    must(state);
    generator_t *generator = state;
    if (feed_init(&generator->feed, me, &generator_source, args, RECORD_CLASS(generator_payload), &payload, why) < 0 ||
        payload_check(&payload, why) < 0) {
        generator_destroy(&state);
        return NULL;
    }
    generator->rate = payload.has_rate ? payload.rate : RATE_DEFAULT;
    generator->size = payload.has_size ? (size_t)payload.size : SIZE_DEFAULT;
    generator->count = payload.count != LIMIT_NONE ? payload.count : number_max;
    generator->seed = mix((uint64_t)(payload.has_seed ? payload.seed : SEED_DEFAULT));
    generator->has_origin = payload.has_origin_us;
    generator->origin = payload.origin_us;
    feed_start(&generator->feed);
    return state;
}

/* ---- the class ---- */

const actor_class_t source_generator_class = {
    .name = "source_generator",
    .doc = "Makes elements from a number: the embedded default, and a load.",
    .create = generator_create,
    .destroy = generator_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
