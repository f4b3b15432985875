/* What source_redis.c, which connects and asks, and redis_entries.c, which takes what comes, share. */
#ifndef REPRISE_REDIS_STATE_H
#define REPRISE_REDIS_STATE_H

#include "backoff.h"
#include "feed.h"
#include "redis_link.h"
#include "timing.h"

enum { REDIS_STREAMS_MAX = 64 };

/* What is made of an entry. */
typedef enum redis_wants {
    REDIS_WANTS_NOTHING,
    REDIS_WANTS_NAMED, /* the value of the field that the payload names */
    REDIS_WANTS_ONLY,  /* the only one */
    REDIS_WANTS_ALL,   /* a JSON object */
} redis_wants_t;

typedef struct redis_stream {
    const char *name; /* or of the channel, or pattern */
    redis_place_t begin, place;
    redis_id_t end; /* the last that is recorded, if the payload sets an end */
    redis_info_t info;
    size_t taken;   /* entries of the reply that comes */
    bool is_beyond; /* some of them are behind the end */
} redis_stream_t;

typedef struct redis {
    feed_t feed;
    timing_t timing;
    redis_link_t link;
    backoff_t backoff;
    timer_id_t retry, patience, beat;
    bool is_answering; /* since patience began */
    char server[300];  /* as it is named in texts */
    char host[256];
    int port;
    const char *username, *password_file; /* NULL: none */
    char db[24];                          /* empty: the first */
    redis_stream_t *streams;
    size_t count;
    char *names;       /* of all */
    const char *field; /* NULL: none is named */
    redis_id_t from;
    bool from_end, until_end;
    const char *subscribe; /* the command for channels; NULL: these are streams */

    bool begun;             /* where reading begins is known: `begin` of each, or `since` */
    bool has_ends, is_done; /* up to `end` */
    bool is_fresh;          /* nothing was asked on this connection yet */
    bool waits_for_more;    /* all there was is read */
    bool keeps_place;       /* where it begins is to be kept */
    size_t asked;           /* entries of a stream at once */
    size_t reply_entries, reply_bytes;
    char lost[FEED_GAP_MAX + 1]; /* what was; to be said once what was read before is sent; empty: nothing */
    int64_t lost_us;
    fault_t failure; /* the same; empty: none */

    redis_stream_t *of; /* the entry that comes; NULL: not asked for */
    redis_id_t id;      /* its own */
    redis_wants_t wants;
    bool is_wanted, is_found; /* its value comes; came */
    fault_t unfit;            /* why it is no element; empty: it is one */
    msgpack_sbuffer json, attributes, cursor;

    size_t confirmed;     /* channels that are subscribed */
    int64_t since, heard; /* since the first time; all until then has come. µs since the epoch */
    int64_t silent;       /* nobody listened from then on; 0: somebody does */
    char silence[200];    /* why */
} redis_t;

extern const redis_listener_t redis_listener;

bytes_t redis_cursor(redis_t *redis);
/* Sends what is in the batch. */
void redis_send(redis_t *redis);
/* The connection is of no use: closes it, and tries again later. */
void redis_lost(redis_t *redis, const char *why);
/* The job is to fail, once what was read is sent. */
void redis_fail(redis_t *redis, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
