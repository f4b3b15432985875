/* The event time of a JSON value: where it stands in it, and what it counts. */
#ifndef REPRISE_EVENT_TIME_H
#define REPRISE_EVENT_TIME_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../messages/fault.h"

/* Is this a JSON pointer as of RFC 6901? */
bool event_time_pointer_valid(const char *pointer);

/* The value that the pointer names; NULL where there is none. */
const json_t *event_time_find(const json_t *in, const char *pointer);

/* The time at `pointer` in µs since the epoch: a number of units of `unit_us` µs, or text as of RFC 3339. */
int event_time_of(const json_t *in, const char *pointer, int64_t unit_us, int64_t *ret_time, fault_t *why);

/* RFC 3339: "2026-11-22T14:05:09.123456+01:00". Digits after the microsecond are cut off. */
int event_time_parse(const char *text, int64_t *ret_time, fault_t *why);

#endif
