/* Quantities as people write and read them: `60s`, `1GB`, `1e6`; "4.2 s", "12.3 MB", "1,000,000". */
#ifndef REPRISE_CLIENT_UNITS_H
#define REPRISE_CLIENT_UNITS_H

#include "../../messages/fault.h"
#include "../../messages/message.h"

/* Durations take ms, s, m (or min), h, d and need one; sizes take B, kB, MB, GB, TB and KiB … TiB, or nothing; counts take nothing.
 * `1.5h` and `1e6` will do; a result that is not whole is rounded, of a count refused. Nothing negative. */
int units_parse_duration(const char *text, int64_t *ret_ms, fault_t *why);
int units_parse_bytes(const char *text, int64_t *ret_bytes, fault_t *why);
int units_parse_count(const char *text, int64_t *ret_count, fault_t *why);

/* A list like `60s,1GB,1000`: the unit tells which limit is meant. Or by name: `duration=60s`, `bytes=1GB`, `count=1e6`; `count=none`
 * lifts the one in the options. Adds to what `limits` holds. */
int units_parse_limits(const char *text, msg_limits_t *limits, fault_t *why);

/* Where a replay starts: `1000` is an element, `30s` a time after the start. */
int units_parse_from(const char *text, msg_replay_from_t *from, fault_t *why);

typedef struct unit_text {
    char text[48];
} unit_text_t;
unit_text_t units_duration(int64_t us);
unit_text_t units_duration_ms(int64_t ms);
unit_text_t units_bytes(int64_t bytes);
unit_text_t units_count(int64_t count);
unit_text_t units_things(int64_t count, const char *thing); /* "1 element", "2,000 elements" */
unit_text_t units_time(int64_t us_since_epoch);             /* local time, to the second */

#endif
