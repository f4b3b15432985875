/* Quantities as people write and read them.
 * One table of units serves all that is typed, so that `--limit`, `--timeout`, `--from` and the options agree. A number without a
 * fraction is kept exact: only what has a point or an exponent goes through a double. */
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum unit_kind { UNIT_COUNT = 1, UNIT_BYTES = 2, UNIT_DURATION = 4 } unit_kind_t;

static const struct unit {
    const char *suffix;
    unit_kind_t kind;
    int64_t factor; /* to bytes or milliseconds */
} units[] = {
    {"", UNIT_COUNT, 1},
    {"B", UNIT_BYTES, 1},
    {"kB", UNIT_BYTES, 1000},
    {"KB", UNIT_BYTES, 1000},
    {"MB", UNIT_BYTES, 1000000},
    {"GB", UNIT_BYTES, 1000000000},
    {"TB", UNIT_BYTES, 1000000000000},
    {"KiB", UNIT_BYTES, INT64_C(1) << 10},
    {"MiB", UNIT_BYTES, INT64_C(1) << 20},
    {"GiB", UNIT_BYTES, INT64_C(1) << 30},
    {"TiB", UNIT_BYTES, INT64_C(1) << 40},
    {"ms", UNIT_DURATION, 1},
    {"s", UNIT_DURATION, 1000},
    {"m", UNIT_DURATION, 60000},
    {"min", UNIT_DURATION, 60000},
    {"h", UNIT_DURATION, 3600000},
    {"d", UNIT_DURATION, 86400000},
};

static const struct unit *unit_find(const char *suffix) {
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(units[i].suffix, suffix) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

static int number_scale(const char *text, size_t size, const struct unit *unit, int64_t *ret_value, fault_t *why) {
    errno = 0;
    if (strspn(text, "0123456789") == size) {
        long long whole = strtoll(text, NULL, 10);
        if (errno == ERANGE || __builtin_mul_overflow(whole, unit->factor, ret_value)) {
            return fault_set(why, "`%s` is too large", text);
        }
        return 0;
    }
    double value = strtod(text, NULL) * (double)unit->factor;
    if (!(value < 0x1p63)) {
        return fault_set(why, "`%s` is too large", text);
    }
    if (unit->kind == UNIT_COUNT && value != floor(value)) {
        return fault_set(why, "`%s` is not a whole number", text);
    }
    *ret_value = (int64_t)round(value);
    return 0;
}

static int quantity_parse(const char *text, unit_kind_t *ret_kind, int64_t *ret_value, fault_t *why) {
    char *end;
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X'), number = text[0] >= '0' && text[0] <= '9' && !hex;
    if (number) {
        (void)strtod(text, &end);
    }
    if (!number) {
        return fault_set(why, "`%s` is not a number, 0 or more", text);
    }
    size_t size = (size_t)(end - text);
    const struct unit *unit = unit_find(end + strspn(end, " "));
    if (!unit) {
        return fault_set(why, "`%s`: `%s` is no unit; durations take ms, s, m, h, d, sizes B, kB, MB, GB, KiB, MiB, GiB", text, end);
    }
    if (number_scale(text, size, unit, ret_value, why) == -1) {
        return -1;
    }
    *ret_kind = unit->kind;
    return 0;
}

static int quantity_parse_as(const char *text, unsigned kinds, const char *wanted, int64_t *ret_value, fault_t *why) {
    unit_kind_t kind;
    int64_t value;
    if (quantity_parse(text, &kind, &value, why) == -1) {
        return -1;
    }
    if (!(kinds & kind)) {
        return fault_set(why, "`%s` is not %s", text, wanted);
    }
    *ret_value = value;
    return 0;
}

int units_parse_duration(const char *text, int64_t *ret_ms, fault_t *why) {
    return quantity_parse_as(text, UNIT_DURATION, "a duration such as `250ms`, `60s` or `5m`", ret_ms, why);
}

int units_parse_bytes(const char *text, int64_t *ret_bytes, fault_t *why) {
    return quantity_parse_as(text, UNIT_BYTES | UNIT_COUNT, "a size such as `64KiB` or `1GB`", ret_bytes, why);
}

int units_parse_count(const char *text, int64_t *ret_count, fault_t *why) {
    return quantity_parse_as(text, UNIT_COUNT, "a count such as `1000` or `1e6`", ret_count, why);
}

/* ---- limits ---- */

static const struct limit_name {
    const char *name;
    unit_kind_t kind;
} limit_names[] = {
    {"duration", UNIT_DURATION}, {"time", UNIT_DURATION}, {"bytes", UNIT_BYTES},
    {"size", UNIT_BYTES},        {"count", UNIT_COUNT},   {"elements", UNIT_COUNT},
};

/* Which of two were meant, nobody knows. */
static int limit_set(msg_limits_t *limits, unit_kind_t kind, int64_t value, fault_t *why) {
    bool *given = kind == UNIT_DURATION ? &limits->has_duration_ms : kind == UNIT_BYTES ? &limits->has_bytes : &limits->has_count;
    if (*given) {
        return fault_set(why, "the limit `%s` is given twice", kind == UNIT_DURATION ? "duration" : kind == UNIT_BYTES ? "bytes" : "count");
    }
    *given = true;
    *(kind == UNIT_DURATION ? &limits->duration_ms : kind == UNIT_BYTES ? &limits->bytes : &limits->count) = value;
    return 0;
}

/* One of the list: `name=value`, or a value that tells by its unit what it limits. */
static int limit_parse(char *text, msg_limits_t *limits, fault_t *why) {
    char *value = strchr(text, '=');
    const struct limit_name *named = NULL;
    if (value) {
        *value++ = '\0';
        for (size_t i = 0; i < sizeof limit_names / sizeof limit_names[0] && !named; i++) {
            if (strcmp(limit_names[i].name, text) == 0) {
                named = &limit_names[i];
            }
        }
        if (!named) {
            return fault_set(why, "`%s` is no limit; there are `duration`, `bytes` and `count`", text);
        }
        if (strcmp(value, "none") == 0) {
            return limit_set(limits, named->kind, LIMIT_NONE, why);
        }
    }
    unit_kind_t kind;
    int64_t amount;
    if (quantity_parse(value ? value : text, &kind, &amount, why) == -1) {
        return -1;
    }
    if (named && kind != named->kind && !(named->kind == UNIT_BYTES && kind == UNIT_COUNT)) {
        return fault_set(why, "`%s` does not fit the limit `%s`", value, text);
    }
    if (amount < 1) {
        return fault_set(why, "`%s`: a limit must be 1 or more", value ? value : text);
    }
    return limit_set(limits, named ? named->kind : kind, amount, why);
}

int units_parse_limits(const char *text, msg_limits_t *limits, fault_t *why) {
    msg_limits_t result = *limits;
    char *copy = strdup(text), *rest = copy, *part;
    must(copy);
    int failed = 0;
    while (!failed && (part = strsep(&rest, ","))) {
        failed = limit_parse(part, &result, why);
    }
    free(copy);
    if (failed) {
        return -1;
    }
    *limits = result;
    return 0;
}

int units_parse_from(const char *text, msg_replay_from_t *from, fault_t *why) {
    unit_kind_t kind;
    int64_t value;
    if (quantity_parse(text, &kind, &value, why) == -1) {
        return -1;
    }
    if (kind == UNIT_BYTES) {
        return fault_set(why, "`%s` is neither an element's number nor a duration", text);
    }
    *from = (msg_replay_from_t){0};
    if (kind == UNIT_COUNT) {
        from->has_element = true, from->element = value;
    } else {
        from->has_offset_ms = true, from->offset_ms = value;
    }
    return 0;
}

/* ---- to be read ---- */

/* One digit after the point, and none where it would be 0. */
static unit_text_t scaled(double value, const char *unit) {
    unit_text_t out;
    bool whole = fabs(value - round(value)) < 0.05;
    snprintf(out.text, sizeof out.text, whole ? "%.0f %s" : "%.1f %s", value, unit);
    return out;
}

unit_text_t units_duration(int64_t us) {
    if (us == 0) {
        return scaled(0, "s");
    }
    if (us < 1000) {
        return scaled((double)us, "us");
    }
    if (us < 999500) {
        return scaled(round((double)us / 1e3), "ms");
    }
    if (us < 59950000) {
        return scaled((double)us / 1e6, "s");
    }
    static const struct {
        int64_t seconds;
        const char *name, *part;
        int64_t part_seconds;
    } steps[] = {{86400, "d", "h", 3600}, {3600, "h", "min", 60}, {60, "min", "s", 1}};
    int64_t seconds = us / 1000000 + (us % 1000000 >= 500000);
    size_t i = 0;
    while (i < 2 && seconds < steps[i].seconds) {
        i++;
    }
    unit_text_t out;
    int64_t part = seconds % steps[i].seconds / steps[i].part_seconds;
    int size = snprintf(out.text, sizeof out.text, "%" PRId64 " %s", seconds / steps[i].seconds, steps[i].name);
    if (part > 0) {
        snprintf(out.text + size, sizeof out.text - (size_t)size, " %" PRId64 " %s", part, steps[i].part);
    }
    return out;
}

/* An engine may say anything. */
unit_text_t units_duration_ms(int64_t ms) {
    return units_duration(ms < INT64_MAX / 1000 ? ms * 1000 : INT64_MAX);
}

unit_text_t units_bytes(int64_t bytes) {
    static const char *const names[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t i = 0;
    for (; value >= 999.95 && i < 6; i++) {
        value /= 1e3;
    }
    return scaled(value, names[i]);
}

unit_text_t units_count(int64_t count) {
    char digits[32];
    int size = snprintf(digits, sizeof digits, "%" PRIu64, count < 0 ? 0 - (uint64_t)count : (uint64_t)count);
    unit_text_t out;
    char *at = out.text;
    if (count < 0) {
        *at++ = '-';
    }
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            *at++ = ',';
        }
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

unit_text_t units_things(int64_t count, const char *thing) {
    unit_text_t out;
    snprintf(out.text, sizeof out.text, "%.28s %.15s%s", units_count(count).text, thing, count == 1 ? "" : "s");
    return out;
}

unit_text_t units_time(int64_t us_since_epoch) {
    unit_text_t out;
    time_t seconds = (time_t)(us_since_epoch / 1000000);
    struct tm local;
    if (!localtime_r(&seconds, &local) || strftime(out.text, sizeof out.text, "%Y-%m-%d %H:%M:%S", &local) == 0) {
        snprintf(out.text, sizeof out.text, "%" PRId64 " us", us_since_epoch);
    }
    return out;
}
