/* Where a Redis stream has been read to, and what its server says of it, from which follows whether something was lost in between.
 *
 * An id alone cannot tell: after one that was trimmed away, the next may be its successor or the thousandth. So a place also counts, as Redis
 * does since 7.0, how many entries had been added to the stream by then. */
#ifndef REPRISE_REDIS_PLACE_H
#define REPRISE_REDIS_PLACE_H

#include "../../messages/codec.h"

/* An entry's id, `1700000000000-3`: by its own clock, and unique. */
typedef struct redis_id {
    uint64_t ms, seq;
} redis_id_t;

enum { REDIS_ID_TEXT = 44 /* bytes, terminated */ };

int redis_id_compare(redis_id_t a, redis_id_t b); /* as memcmp */
/* False where the text is not an id. */
bool redis_id_read(bytes_t text, redis_id_t *ret_id);
/* Writes it to `text`, and returns that. */
const char *redis_id_write(redis_id_t id, char text[REDIS_ID_TEXT]);

typedef struct redis_place {
    redis_id_t last; /* what is up to it is read */
    int64_t number;  /* entries that had been added up to it; or one of these: */
} redis_place_t;
enum {
    REDIS_UNCOUNTED = -1, /* the server does not count, or reading began in the middle */
    REDIS_UNSEEN = -2,    /* what is there at the first look is the beginning */
};

/* What XINFO STREAM says. */
typedef struct redis_info {
    bool exists;
    bool counts;       /* `added` is known */
    int64_t length;    /* entries that it has */
    int64_t added;     /* entries that were ever added */
    redis_id_t newest; /* the highest id that it ever had */
    redis_id_t first;  /* of the oldest entry that it has, if there is one */
} redis_info_t;

/* What of a stream was lost. */
typedef struct redis_loss {
    char what[300]; /* empty: nothing */
    int64_t us;     /* from the last entry before it to the first behind it, by their ids; < 0: not known */
} redis_loss_t;

/* Before what is behind `place` is read, `info` having been asked at the same moment: puts the place where reading goes on. `fresh`: nobody
 * looked since the connection was made. */
void redis_place_begin(redis_place_t *place, const redis_info_t *info, bool fresh, redis_loss_t *ret_loss);
/* After all that `info` knew of is read. */
void redis_place_end(redis_place_t *place, const redis_info_t *info, redis_loss_t *ret_loss);

/* The cursor of some streams; valid until `out` is written to again. And back: false where it is something else. */
bytes_t redis_cursor_write(const redis_place_t *places, size_t count, msgpack_sbuffer *out);
bool redis_cursor_read(bytes_t cursor, redis_place_t *ret_places, size_t count);

#endif
