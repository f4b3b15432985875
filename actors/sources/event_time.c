/* An element's event time is often in it, in one of a few shapes: a count of seconds, milliseconds or microseconds, or a date in text.
 * Dates are read here and not with the C library: its functions know the process's time zone, and not fractions or offsets. */
#include "event_time.h"

#include <math.h>
#include <string.h>

/* ---- JSON pointers ---- */

bool event_time_pointer_valid(const char *pointer) {
    if (*pointer != '\0' && *pointer != '/') return false;
    for (; *pointer; pointer++) {
        if (*pointer == '~' && pointer[1] != '0' && pointer[1] != '1') return false;
    }
    return true;
}

/* Is the step, in which ~1 is a slash and ~0 a tilde, this key? */
static bool step_is(const char *step, size_t size, const char *key) {
    const char *end = step + size;
    for (; step < end; step++, key++) {
        char c = *step;
        if (c == '~') c = *++step == '1' ? '/' : '~';
        if (c != *key) return false;
    }
    return *key == '\0';
}

static const json_t *object_step(const json_t *in, const char *step, size_t size) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)in, key, value) {
        if (step_is(step, size, key)) return value;
    }
    return NULL;
}

static const json_t *array_step(const json_t *in, const char *step, size_t size) {
    size_t index = 0;
    if (size == 0 || size > 9 || (size > 1 && *step == '0')) return NULL;
    for (size_t i = 0; i < size; i++) {
        if (step[i] < '0' || step[i] > '9') return NULL;
        index = index * 10 + (size_t)(step[i] - '0');
    }
    return json_array_get(in, index);
}

const json_t *event_time_find(const json_t *in, const char *pointer) {
    while (in && *pointer == '/') {
        const char *step = pointer + 1;
        size_t size = strcspn(step, "/");
        in = json_is_object(in) ? object_step(in, step, size) : json_is_array(in) ? array_step(in, step, size) : NULL;
        pointer = step + size;
    }
    return in;
}

/* ---- dates ---- */

/* Reads `count` digits; false where there are fewer. */
static bool digits_read(const char **text, unsigned count, int64_t *ret_number) {
    int64_t number = 0;
    for (unsigned i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9') return false;
        number = number * 10 + (**text - '0');
    }
    *ret_number = number;
    return true;
}

static bool character_read(const char **text, const char *any_of) {
    if (**text == '\0' || !strchr(any_of, **text)) return false;
    (*text)++;
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar: years are counted from March, so that a leap day is the last day of its year. */
static int64_t days_of(int64_t year, int64_t month, int64_t day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool day_exists(int64_t year, int64_t month, int64_t day) {
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static bool date_read(const char **text, int64_t *ret_days) {
    int64_t year, month, day;
    if (!digits_read(text, 4, &year) || !character_read(text, "-") || !digits_read(text, 2, &month) || !character_read(text, "-") ||
        !digits_read(text, 2, &day) || !day_exists(year, month, day))
        return false;
    *ret_days = days_of(year, month, day);
    return true;
}

static bool clock_read(const char **text, int64_t *ret_us) {
    int64_t hour, minute, second, us = 0, scale = 1000000;
    if (!digits_read(text, 2, &hour) || !character_read(text, ":") || !digits_read(text, 2, &minute) || !character_read(text, ":") ||
        !digits_read(text, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    if (character_read(text, ".")) {
        int64_t digit;
        if (!digits_read(text, 1, &digit)) return false;
        do us += digit * (scale /= 10);
        while (digits_read(text, 1, &digit));
    }
    *ret_us = ((hour * 60 + minute) * 60 + second) * 1000000 + us;
    return true;
}

static bool offset_read(const char **text, int64_t *ret_us) {
    int64_t hour, minute;
    *ret_us = 0;
    if (character_read(text, "Zz")) return true;
    int64_t sign = **text == '-' ? -1 : 1;
    if (!character_read(text, "+-") || !digits_read(text, 2, &hour) || !character_read(text, ":") || !digits_read(text, 2, &minute) ||
        hour > 23 || minute > 59)
        return false;
    *ret_us = sign * (hour * 60 + minute) * 60 * 1000000;
    return true;
}

int event_time_parse(const char *text, int64_t *ret_time, fault_t *why) {
    const char *at = text;
    int64_t days, us, offset;
    if (!date_read(&at, &days) || !character_read(&at, "Tt ") || !clock_read(&at, &us) || !offset_read(&at, &offset) || *at != '\0')
        return fault_set(why, "`%.64s` is not a time as of RFC 3339, such as 2026-11-22T14:05:09.123Z", text);
    *ret_time = days * 86400 * 1000000 + us - offset;
    return 0;
}

/* ---- the value ---- */

int event_time_of(const json_t *in, const char *pointer, int64_t unit_us, int64_t *ret_time, fault_t *why) {
    const json_t *value = event_time_find(in, pointer);
    if (!value) return fault_set(why, "there is no `%.64s`", pointer);
    if (json_is_string(value)) {
        fault_t bad;
        if (event_time_parse(json_string_value(value), ret_time, &bad) < 0) return fault_set(why, "`%.64s`: %.400s", pointer, bad.text);
        return 0;
    }
    if (!json_is_number(value)) return fault_set(why, "`%.64s` is neither a number nor text", pointer);
    double us = json_number_value(value) * (double)unit_us;
    if (fabs(us) > 9.2e18) return fault_set(why, "`%.64s` is out of range: %g", pointer, json_number_value(value));
    *ret_time = json_is_integer(value) ? json_integer_value(value) * unit_us : (int64_t)llround(us);
    return 0;
}
