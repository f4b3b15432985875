/* One meaning of event time, key and watermark for all connectors. What is not asked for costs nothing: without a pointer into it, an
 * element's bytes are not looked at. */
#include "timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coder.h"
#include "event_time.h"
#include "payload.h"

enum { FROM_SYSTEM, FROM_ARRIVAL, FROM_POINTER };

/* ---- life ---- */

static int64_t const time_max_ms = INT64_MAX / 4000; /* no sum of two overflows in µs */

static int pointers_take(timing_t *timing, const char *urn, timing_system_t system, const timing_given_t *given, fault_t *why) {
    bool stamped = system != TIMING_SYSTEM_NONE;
    timing->origin = stamped ? FROM_SYSTEM : FROM_ARRIVAL;
    if (given->event_time && strcmp(given->event_time, "arrival") == 0) {
        timing->origin = FROM_ARRIVAL;
    } else if (given->event_time && event_time_pointer_valid(given->event_time)) {
        timing->origin = FROM_POINTER;
        timing->pointer = given->event_time;
    } else if (given->event_time && !(stamped && strcmp(given->event_time, "system") == 0)) {
        return fault_set(why, "`%s`: `event_time` must be %s`arrival` or a JSON pointer such as `/ts`, not `%.64s`", urn,
                         stamped ? "`system`, " : "", given->event_time);
    }
    if (given->key && !event_time_pointer_valid(given->key))
        return fault_set(why, "`%s`: `key` must be a JSON pointer such as `/user`, not `%.64s`", urn, given->key);
    timing->key = given->key;
    return 0;
}

static int watermark_take(timing_t *timing, const char *urn, timing_system_t system, const timing_given_t *given, fault_t *why) {
    if (given->out_of_order_ms > time_max_ms)
        return fault_set(why, "`%s`: `out_of_order_ms` is too large: %lld", urn, (long long)given->out_of_order_ms);
    if (given->idle_ms > time_max_ms) return fault_set(why, "`%s`: `idle_ms` is too large: %lld", urn, (long long)given->idle_ms);
    timing->lateness = given->out_of_order_ms > 0 ? given->out_of_order_ms * 1000 : 0;
    timing->idle = given->idle_ms > 0 ? given->idle_ms * 1000 : 0;
    timing->has_watermark =
        given->out_of_order_ms >= 0 || timing->origin == FROM_ARRIVAL || (timing->origin == FROM_SYSTEM && system == TIMING_SYSTEM_ORDERS);
    if (timing->idle > 0 && !timing->has_watermark)
        return fault_set(why, "`%s`: `idle_ms` is of a watermark, which needs `out_of_order_ms`", urn);
    return 0;
}

int timing_init(timing_t *timing, actor_t *me, const char *urn, timing_system_t system, const timing_given_t *given, fault_t *why) {
    static const char *const units[] = {"us", "ms", "s", NULL}, *const errors[] = {"fail", "skip", NULL};
    static const int64_t units_us[] = {1, 1000, 1000000};
    unsigned unit, error;
    *timing = (timing_t){.me = me, .watermark = INT64_MIN, .arrival = INT64_MIN};
    msgpack_sbuffer_init(&timing->key_text);
    msgpack_sbuffer_init(&timing->attributes);
    if (payload_choice(urn, "event_time_unit", given->event_time_unit, units, &unit, why) < 0 ||
        payload_choice(urn, "on_error", given->on_error, errors, &error, why) < 0 || pointers_take(timing, urn, system, given, why) < 0 ||
        watermark_take(timing, urn, system, given, why) < 0)
        return -1;
    timing->unit_us = units_us[unit];
    timing->skips = error == 1;
    timing_lanes(timing, 1);
    return 0;
}

void timing_fini(timing_t *timing) {
    if (!timing->me) return;
    free(timing->lanes);
    msgpack_sbuffer_destroy(&timing->key_text);
    msgpack_sbuffer_destroy(&timing->attributes);
    *timing = (timing_t){0};
}

void timing_resume(timing_t *timing) {
    size_t count = timing->lanes_count;
    timing->lanes_count = 0;
    timing->watermark = INT64_MIN;
    timing_lanes(timing, count);
}

void timing_lanes(timing_t *timing, size_t count) {
    if (count > timing->lanes_count) {
        timing->lanes = realloc(timing->lanes, count * sizeof *timing->lanes);
        must(timing->lanes);
    }
    for (size_t i = timing->lanes_count; i < count; i++) timing->lanes[i] = (timing_lane_t){INT64_MIN, actor_ticks(timing->me)};
    timing->lanes_count = count;
}

/* ---- elements ---- */

void timing_begin(timing_t *timing) {
    int64_t now = actor_now(timing->me);
    if (now > timing->arrival) timing->arrival = now;
    timing->ticks = actor_ticks(timing->me);
}

/* A whole number beyond int64 is still JSON: then numbers are read as floats. */
static json_t *json_read(bytes_t value, json_error_t *error) {
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *json = json_loadb((const char *)value.data, value.size, flags, error);
    if (!json && json_error_code(error) == json_error_numeric_overflow)
        json = json_loadb((const char *)value.data, value.size, flags | JSON_DECODE_INT_AS_REAL, error);
    return json;
}

/* Text, or a whole number as its digits. Nothing there is no key. */
static int key_read(timing_t *timing, const json_t *json, fault_t *why) {
    const json_t *key = event_time_find(json, timing->key);
    char digits[24];
    if (!key || json_is_null(key)) return 0;
    if (!json_is_string(key) && !json_is_integer(key))
        return fault_set(why, "the key at `%s` is neither text nor a whole number", timing->key);
    const char *text = digits;
    size_t size = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(key));
    if (json_is_string(key)) {
        text = json_string_value(key);
        size = json_string_length(key);
    }
    if (size > CODER_KEY_MAX) return fault_set(why, "the key at `%s` has more than %d bytes", timing->key, CODER_KEY_MAX);
    if (memchr(text, '\0', size)) return fault_set(why, "the key at `%s` has a NUL in it", timing->key);
    msgpack_sbuffer_write(&timing->key_text, text, size);
    timing->has_key = true;
    return 0;
}

static int json_take(timing_t *timing, bytes_t value, int64_t *ret_time, fault_t *why) {
    json_error_t error;
    json_t *json = json_read(value, &error);
    if (!json) return fault_set(why, "this is not JSON: %s", error.text);
    int got = timing->pointer ? event_time_of(json, timing->pointer, timing->unit_us, ret_time, why) : 0;
    if (got == 0 && timing->key) got = key_read(timing, json, why);
    json_decref(json);
    return got;
}

int timing_read(timing_t *timing, bytes_t value, int64_t system_us, int64_t *ret_time, fault_t *why) {
    int64_t time = timing->origin == FROM_SYSTEM ? system_us : timing->arrival;
    msgpack_sbuffer_clear(&timing->key_text);
    timing->has_key = false;
    if ((timing->pointer || timing->key || timing->is_json) && json_take(timing, value, &time, why) < 0)
        return timing->skips ? TIMING_SKIP : -1;
    *ret_time = time;
    return 0;
}

bytes_t timing_key(const timing_t *timing) {
    if (!timing->has_key) return (bytes_t){0};
    return timing->key_text.size > 0 ? (bytes_t){(const uint8_t *)timing->key_text.data, timing->key_text.size}
                                     : (bytes_t){(const uint8_t *)"", 0};
}

bytes_t timing_attributes(timing_t *timing) {
    msgpack_packer packer;
    bytes_t key = timing_key(timing);
    if (!key.data) return (bytes_t){0};
    msgpack_sbuffer_clear(&timing->attributes);
    msgpack_packer_init(&packer, &timing->attributes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, "key", 3);
    msgpack_pack_str_with_body(&packer, key.data, key.size);
    return (bytes_t){(const uint8_t *)timing->attributes.data, timing->attributes.size};
}

/* ---- the watermark ---- */

/* Event time may be this far; INT64_MIN: not known. */
static int64_t newest_of_all(const timing_t *timing) {
    int64_t least = INT64_MAX;
    bool alive = false;
    for (size_t i = 0; i < timing->lanes_count; i++) {
        const timing_lane_t *lane = &timing->lanes[i];
        bool idle = timing->idle > 0 && timing->ticks - lane->heard >= timing->idle;
        alive |= !idle;
        if (!idle && lane->newest < least) least = lane->newest;
    }
    return alive ? least : timing->arrival; /* nothing comes: the clock goes on alone */
}

const int64_t *timing_watermark(timing_t *timing) {
    if (!timing->has_watermark) return NULL;
    int64_t newest = timing->origin == FROM_ARRIVAL ? timing->arrival : newest_of_all(timing);
    if (newest >= INT64_MIN + timing->lateness && newest > INT64_MIN && newest - timing->lateness > timing->watermark)
        timing->watermark = newest - timing->lateness;
    return timing->watermark > INT64_MIN ? &timing->watermark : NULL;
}

void timing_arm(timing_t *timing, timer_fn *then) {
    if (timing->idle > 0 && !timing->timer) timing->timer = actor_after(timing->me, timing->idle, then, 0);
}

void timing_disarm(timing_t *timing) {
    actor_cancel(timing->me, &timing->timer);
}

void timing_missed(timing_t *timing) {
    timing->ticks = actor_ticks(timing->me);
    for (size_t i = 0; i < timing->lanes_count; i++) timing->lanes[i].heard = timing->ticks;
}

bool timing_advance(timing_t *timing, bool reads, int64_t *ret_watermark) {
    int64_t before = timing->watermark;
    timing->timer = 0;
    if (!reads) return false;
    timing_begin(timing);
    const int64_t *watermark = timing_watermark(timing);
    if (!watermark || *watermark == before) return false;
    *ret_watermark = *watermark;
    return true;
}
