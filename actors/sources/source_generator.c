/* The source that needs nothing outside: the embedded default of demonstrations and tests, and at rate 0 the load that the engine is
 * measured with. An element is a pure function of the seed and of its number, and so is its event time after the origin's: whoever knows
 * the payload knows what must be in the recording, to the byte. That holds for disorder too: which elements are out of order or late, and
 * by how much, is drawn from the seed.
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
    LATE_DEFAULT = 1000, /* ms */
    BURST_MAX = 1000000000,
    TICK = 5000, /* µs; elements that are due within one go together */
};
static const double rate_min = 1e-6, rate_max = 1e9;
static const int64_t number_max = INT64_C(1) << 62;          /* of a time and of a count, so that no sum overflows */
static const int64_t behind_max = (INT64_C(1) << 60) / 1000; /* ms; for the same reason */

typedef struct generator {
    feed_t feed;
    double rate;   /* elements a second; 0: no pace */
    int64_t burst; /* elements that come at once */
    size_t size;   /* of an element, at least */
    size_t spread; /* and so many sizes there are */
    int64_t count; /* elements in all; number_max: it does not end */
    uint64_t seed;
    int64_t origin; /* the turn of element 0 */
    bool has_origin;
    int64_t disorder;    /* µs that an event time is before the element's turn, at most */
    double late;         /* the share of elements that are behind the watermark */
    int64_t late_by;     /* µs, at most */
    int64_t next;        /* the number of the next element */
    int64_t marked;      /* the watermark that was sent last; INT64_MIN: none */
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

static inline uint64_t element_random(const generator_t *generator, int64_t number) {
    return mix(generator->seed + (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15));
}

/* What is drawn for an element beside its letters: each of these is another number. */
enum draw { DRAW_SIZE = 1, DRAW_LATE, DRAW_TIME };
static inline uint64_t element_draw(const generator_t *generator, int64_t number, enum draw draw) {
    return mix(element_random(generator, number) ^ (uint64_t)draw);
}

static inline size_t element_size(const generator_t *generator, int64_t number) {
    if (generator->spread == 1) return generator->size;
    return generator->size + (size_t)(element_draw(generator, number, DRAW_SIZE) % generator->spread);
}

/* Its number, a space, and letters: readable in a replay, and hard to confuse with another element. Sixteen letters come from one mix. */
static void element_write(const generator_t *generator, int64_t number, uint8_t *at, size_t size) {
    const uint64_t nibbles = UINT64_C(0x0f0f0f0f0f0f0f0f), letters = UINT64_C(0x6161616161616161);
    uint64_t random = element_random(generator, number);
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

/* ---- event times ---- */

/* When it comes, as an event time: with its burst. Without a rate, elements are a microsecond apart. */
static inline int64_t element_turn(const generator_t *generator, int64_t number) {
    if (generator->burst > 1) number -= number % generator->burst;
    return generator->origin + (generator->rate > 0 ? (int64_t)((double)number * 1e6 / generator->rate) : number);
}

/* The watermark before an element: neither it nor one after it is earlier, unless it is late. */
static inline int64_t element_watermark(const generator_t *generator, int64_t number) {
    return element_turn(generator, number) - generator->disorder;
}

/* Nothing can be late before there is a watermark, which comes behind the first element. */
static inline bool element_is_late(const generator_t *generator, int64_t number) {
    return generator->late > 0 && number > 0 && (double)(element_draw(generator, number, DRAW_LATE) >> 11) * 0x1p-53 < generator->late;
}

static int64_t element_time(const generator_t *generator, int64_t number, bool is_late) {
    uint64_t random = element_draw(generator, number, DRAW_TIME);
    if (is_late) return element_watermark(generator, number) - 1 - (int64_t)(random % (uint64_t)generator->late_by);
    return element_turn(generator, number) - (int64_t)(random % ((uint64_t)generator->disorder + 1));
}

/* ---- the pace ---- */

/* Rounded up: when a timer has waited for this, the element is due. */
static int64_t due_at(const generator_t *generator, int64_t number) {
    return generator->pace_ticks + (int64_t)((double)(number - generator->pace_number) * 1e6 / generator->rate) + 1;
}

/* Adds the next element. False: it is late, and the batch must go first, as the watermark that it is behind comes with that. */
static bool element_add(generator_t *generator, bool is_first) {
    int64_t number = generator->next, time = element_turn(generator, number);
    if (generator->disorder > 0 || generator->late > 0) {
        bool is_late = element_is_late(generator, number);
        time = element_time(generator, number, is_late);
        if (is_late && !is_first && time >= generator->marked) return false;
    }
    size_t size = element_size(generator, number);
    element_write(generator, number, feed_element(&generator->feed, time, size, (bytes_t){0}), size);
    generator->next++;
    return true;
}

/* Fills one batch up to element `end` and sends it. */
static void batch_send(generator_t *generator, int64_t end) {
    bool is_first = true;
    while (generator->next < end && !feed_full(&generator->feed) && element_add(generator, is_first)) is_first = false;
    const int64_t cursor[] = {generator->next, generator->origin};
    generator->marked = element_watermark(generator, generator->next);
    feed_send(&generator->feed, feed_cursor(&generator->feed, cursor, 2), &generator->marked);
}

/* The elements before this number may be produced now: a burst is as soon as its first element is. */
static int64_t number_due(generator_t *generator) {
    if (generator->rate <= 0) return generator->count;
    int64_t now = actor_ticks(generator->feed.me);
    double due = (double)(now - generator->pace_ticks) * generator->rate / 1e6;
    double left = (double)(generator->count - generator->pace_number);
    if (due + 1 >= left) return generator->count;
    int64_t end = generator->pace_number + (int64_t)due + generator->burst;
    end -= end % generator->burst;
    return end < generator->count ? end : generator->count;
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

/* Can there be such a number and origin, without a time that is too large? */
static bool cursor_fits(const generator_t *generator, int64_t number, int64_t origin) {
    double us = generator->rate > 0 ? (double)number * 1e6 / generator->rate : (double)number;
    return number >= 0 && number < number_max && us < (double)number_max && origin < number_max && origin > -number_max;
}

static int generator_resume(void *state, bytes_t cursor, fault_t *why) {
    generator_t *generator = state;
    int64_t numbers[2] = {0, generator->has_origin ? generator->origin : actor_now(generator->feed.me)};
    (void)why;
    if (cursor.size > 0 && !(feed_cursor_read(cursor, numbers, 2) && cursor_fits(generator, numbers[0], numbers[1]))) {
        feed_fail(&generator->feed, "the cursor of the recording is not one of `" SOURCE_GENERATOR_URN "`");
        return 0;
    }
    generator->next = generator->pace_number = numbers[0];
    generator->origin = numbers[1];
    generator->has_origin = true;
    generator->marked = generator->next > 0 ? element_watermark(generator, generator->next) : INT64_MIN;
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

static int disorder_check(const msg_generator_payload_t *payload, fault_t *why) {
    if (payload->out_of_order_ms > behind_max)
        return fault_set(why, "`%s`: `out_of_order_ms` must be at most %lld, not %lld", SOURCE_GENERATOR_URN, (long long)behind_max,
                         (long long)payload->out_of_order_ms);
    if (payload->late > 1) return fault_set(why, "`%s`: `late` must be a share from 0 to 1, not %g", SOURCE_GENERATOR_URN, payload->late);
    if (payload->late_ms > behind_max)
        return fault_set(why, "`%s`: `late_ms` must be at most %lld, not %lld", SOURCE_GENERATOR_URN, (long long)behind_max,
                         (long long)payload->late_ms);
    return 0;
}

static int payload_check(const msg_generator_payload_t *payload, fault_t *why) {
    if (payload->rate > 0 && (payload->rate < rate_min || payload->rate > rate_max))
        return fault_set(why, "`%s`: `rate` must be 0, or %g to %g, not %g", SOURCE_GENERATOR_URN, rate_min, rate_max, payload->rate);
    if (payload->size > FEED_ELEMENT_MAX)
        return fault_set(why, "`%s`: `size` must be at most %d, not %lld", SOURCE_GENERATOR_URN, FEED_ELEMENT_MAX,
                         (long long)payload->size);
    int64_t size = payload->has_size ? payload->size : SIZE_DEFAULT;
    if (payload->has_size_max && (payload->size_max < size || payload->size_max > FEED_ELEMENT_MAX))
        return fault_set(why, "`%s`: `size_max` must be from `size`, which is %lld, to %d, not %lld", SOURCE_GENERATOR_URN, (long long)size,
                         FEED_ELEMENT_MAX, (long long)payload->size_max);
    if (payload->burst > BURST_MAX)
        return fault_set(why, "`%s`: `burst` must be at most %d, not %lld", SOURCE_GENERATOR_URN, BURST_MAX, (long long)payload->burst);
    double rate = payload->has_rate ? payload->rate : RATE_DEFAULT;
    if (rate > 0 && (double)payload->burst * 1e6 / rate >= (double)number_max)
        return fault_set(why, "`%s`: with a `rate` of %g, a `burst` of %lld is too large: the next would never come", SOURCE_GENERATOR_URN,
                         rate, (long long)payload->burst);
    if (payload->count >= number_max)
        return fault_set(why, "`%s`: `count` must be less than 2^62, not %lld", SOURCE_GENERATOR_URN, (long long)payload->count);
    if (payload->origin_us >= number_max || payload->origin_us <= -number_max)
        return fault_set(why, "`%s`: `origin_us` must be within 2^62, not %lld", SOURCE_GENERATOR_URN, (long long)payload->origin_us);
    return disorder_check(payload, why);
}

static void payload_take(generator_t *generator, const msg_generator_payload_t *payload) {
    generator->rate = payload->has_rate ? payload->rate : RATE_DEFAULT;
    generator->burst = payload->has_burst ? payload->burst : 1;
    generator->size = payload->has_size ? (size_t)payload->size : SIZE_DEFAULT;
    generator->spread = payload->has_size_max ? (size_t)payload->size_max - generator->size + 1 : 1;
    generator->count = payload->count != LIMIT_NONE ? payload->count : number_max;
    generator->seed = mix((uint64_t)(payload->has_seed ? payload->seed : SEED_DEFAULT));
    generator->has_origin = payload->has_origin_us;
    generator->origin = payload->origin_us;
    generator->disorder = payload->out_of_order_ms * 1000;
    generator->late = payload->late;
    generator->late_by = (payload->has_late_ms ? payload->late_ms : LATE_DEFAULT) * 1000;
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
    payload_take(generator, &payload);
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
