/* Redis as a stream. Its Streams have positions that nobody else needs to keep: no consumer group is made, each XREAD says behind which id it
 * reads, and nothing stays behind on the server. Its channels have none: what is said while nobody listens is a gap.
 *
 * Streams are read in rounds: what is there, together with what the server counts, in one transaction, so that the two agree; and when that was
 * nothing, one read that waits. Reading stops where the credit does: the server makes no reply that is not asked for, and one that is under
 * way stays in the socket. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "event_time.h"
#include "payload.h"
#include "redis_state.h"

#define URN "reprise:source:redis:v1"

enum {
    PORT = 6379,
    ENTRIES_FIRST = 256,         /* asked for, before it is known how large they are */
    READS_A_TURN = 16,           /* without a look at the mailbox */
    PATIENCE = 10 * 1000 * 1000, /* µs, with a server that owes an answer and says nothing: a read of its own waits for half of that */
    BEAT = 5 * 1000 * 1000,      /* µs between signs of life of a channel */
    PASSWORD_MAX = 1024,
    VALUE_MAX = FEED_ELEMENT_MAX + 64 * 1024, /* bytes that are kept of one that has not come whole */
};

#define MUTE "it does not answer"

bytes_t redis_cursor(redis_t *redis) {
    redis_place_t places[REDIS_STREAMS_MAX];
    if (redis->subscribe) return feed_cursor(&redis->feed, &redis->heard, 1);
    for (size_t i = 0; i < redis->count; i++) places[i] = redis->streams[i].place;
    return redis_cursor_write(places, redis->count, &redis->cursor);
}

void redis_send(redis_t *redis) {
    feed_send(&redis->feed, redis_cursor(redis), timing_watermark(&redis->timing));
}

/* ---- the connection ---- */

static void redis_go_on(redis_t *redis);

static void redis_hang_up(redis_t *redis) {
    actor_cancel(redis->feed.me, &redis->patience);
    actor_cancel(redis->feed.me, &redis->beat);
    redis_link_close(&redis->link);
    redis->confirmed = 0;
}

static int on_retry(void *state, uint64_t context, fault_t *why) {
    redis_t *redis = state;
    (void)context, (void)why;
    redis->retry = 0;
    redis_go_on(redis);
    return 0;
}

void redis_lost(redis_t *redis, const char *why) {
    if (redis->subscribe && redis->confirmed == redis->count && redis->silent == 0) {
        redis->silent = redis->heard;
        snprintf(redis->silence, sizeof redis->silence, "%s", why);
    }
    redis_hang_up(redis);
    feed_waiting(&redis->feed, "%s: %s", redis->server, why);
    actor_cancel(redis->feed.me, &redis->retry);
    redis->retry = actor_after(redis->feed.me, backoff_next(&redis->backoff), on_retry, 0);
}

void redis_fail(redis_t *redis, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (redis->failure.text[0] == '\0') vsnprintf(redis->failure.text, sizeof redis->failure.text, format, arguments);
    va_end(arguments);
    redis_hang_up(redis);
}

static int on_patience(void *state, uint64_t context, fault_t *why);

static void patience_begin(redis_t *redis) {
    actor_cancel(redis->feed.me, &redis->patience);
    redis->patience = actor_after(redis->feed.me, PATIENCE, on_patience, 0);
    redis->is_answering = false;
}

static int on_patience(void *state, uint64_t context, fault_t *why) {
    redis_t *redis = state;
    (void)context, (void)why;
    redis->patience = 0;
    if (redis->is_answering || !feed_room(&redis->feed)) /* what it says is not read where there is no room */
        patience_begin(redis);
    else
        redis_lost(redis, MUTE);
    return 0;
}

static void redis_flush(redis_t *redis) {
    fault_t why;
    if (redis_link_flush(&redis->link, &why) < 0) redis_lost(redis, why.text);
}

static int on_readable(void *state, int descriptor, fault_t *why) {
    redis_t *redis = state;
    fault_t broken;
    int got = 1;
    (void)descriptor, (void)why;
    timing_begin(&redis->timing);
    for (int reads = 0; reads < READS_A_TURN && got > 0 && feed_room(&redis->feed) && redis_link_is_open(&redis->link); reads++) {
        got = redis_link_read(&redis->link, &broken);
        redis->is_answering |= got > 0;
        if (got < 0) redis_lost(redis, broken.text);
        if (redis_link_held(&redis->link) > VALUE_MAX)
            redis_fail(redis, "%s: a value of more than %d bytes comes, which is no element", redis->server, FEED_ELEMENT_MAX);
    }
    if (got == 0) redis->heard = actor_now(redis->feed.me);
    if (redis->subscribe && redis->confirmed == redis->count) feed_waiting(&redis->feed, NULL);
    redis_go_on(redis);
    return 0;
}

static int on_writable(void *state, int descriptor, fault_t *why) {
    (void)descriptor, (void)why;
    redis_flush(state);
    return 0;
}

/* A channel in which nothing is said: is anybody there? To leave a server that is only slow would lose what is said meanwhile. */
static int on_beat(void *state, uint64_t context, fault_t *why) {
    redis_t *redis = state;
    (void)context, (void)why;
    redis->beat = actor_after(redis->feed.me, BEAT, on_beat, 0);
    if (redis_link_is_open(&redis->link) && redis->confirmed == redis->count && feed_room(&redis->feed)) {
        if (actor_now(redis->feed.me) - redis->heard > PATIENCE) feed_waiting(&redis->feed, "%s: %s", redis->server, MUTE);
        REDIS_SAY(&redis->link, REDIS_PUSH, "PING");
        redis_flush(redis);
    }
    return 0;
}

static void subscribe(redis_t *redis) {
    const char *words[1 + REDIS_STREAMS_MAX] = {redis->subscribe};
    for (size_t i = 0; i < redis->count; i++) words[1 + i] = redis->streams[i].name;
    redis_link_say(&redis->link, REDIS_PUSH, words, 1 + redis->count);
    redis->beat = actor_after(redis->feed.me, BEAT, on_beat, 0);
}

/* The password is read each time, as it may have been changed. */
static int greet(redis_t *redis, fault_t *why) {
    char password[PASSWORD_MAX];
    const char *keys = actor_config(redis->feed.me)->keys;
    if (redis->password_file) {
        if (payload_password(URN, redis->password_file, keys, password, sizeof password, why) < 0) return -1;
        if (redis->username)
            REDIS_SAY(&redis->link, REDIS_AUTH, "AUTH", redis->username, password);
        else
            REDIS_SAY(&redis->link, REDIS_AUTH, "AUTH", password);
        explicit_bzero(password, sizeof password);
    }
    if (redis->db[0]) REDIS_SAY(&redis->link, REDIS_SELECT, "SELECT", redis->db);
    REDIS_SAY(&redis->link, REDIS_NAME, "CLIENT", "SETNAME", "reprise");
    return 0;
}

static void redis_connect(redis_t *redis) {
    fault_t why;
    redis->is_fresh = true;
    redis->waits_for_more = false;
    if (redis_link_open(&redis->link, redis->host, redis->port, &why) < 0 || greet(redis, &why) < 0) {
        redis_lost(redis, why.text);
        return;
    }
    patience_begin(redis);
    if (redis->subscribe) subscribe(redis);
    redis_flush(redis);
}

/* ---- asking ---- */

/* Fills in the words of an XREAD behind those that are there. */
static size_t read_words(const redis_t *redis, const char **words, size_t count, char ids[][REDIS_ID_TEXT]) {
    words[count++] = "STREAMS";
    for (size_t i = 0; i < redis->count; i++) words[count++] = redis->streams[i].name;
    for (size_t i = 0; i < redis->count; i++)
        words[count++] = !redis->begun && redis->from_end ? "$" : redis_id_write(redis->streams[i].place.last, ids[i]);
    return count;
}

/* The wait ends from time to time: a stream that was made anew may have ids that are lower, which only the counts show. */
static void ask(redis_t *redis) {
    char entries[24], ids[REDIS_STREAMS_MAX][REDIS_ID_TEXT];
    const char *words[6 + 2 * REDIS_STREAMS_MAX] = {"XREAD", "COUNT", entries, "BLOCK", "5000"};
    snprintf(entries, sizeof entries, "%zu", redis->asked);
    redis->of = NULL;
    redis->reply_bytes = redis->reply_entries = 0;
    for (size_t i = 0; i < redis->count; i++) redis->streams[i].taken = 0;
    if (redis->waits_for_more) {
        redis_link_say(&redis->link, REDIS_READ, words, read_words(redis, words, 5, ids));
    } else {
        REDIS_SAY(&redis->link, REDIS_QUEUE, "MULTI");
        for (size_t i = 0; i < redis->count; i++) REDIS_SAY(&redis->link, REDIS_QUEUE, "XINFO", "STREAM", redis->streams[i].name);
        redis_link_say(&redis->link, REDIS_QUEUE, words, read_words(redis, words, 3, ids));
        REDIS_SAY(&redis->link, REDIS_EXEC, "EXEC");
    }
    patience_begin(redis);
    redis_flush(redis);
}

/* Does what is next, as far as there is room for it. */
static void redis_go_on(redis_t *redis) {
    feed_t *feed = &redis->feed;
    while (feed_room(feed)) {
        bool more_comes = redis_link_is_waiting(&redis->link) && !feed_full(feed);
        if ((feed->count > 0 || feed->has_gap) && !more_comes) {
            redis_send(redis);
        } else if (redis->failure.text[0]) {
            feed_fail(feed, "%s", redis->failure.text);
        } else if (redis->lost[0] && !more_comes) {
            feed_gap(feed, redis->lost_us, "%s", redis->lost);
            redis->lost[0] = '\0';
        } else if (redis->keeps_place && !more_comes) {
            redis->keeps_place = false;
            feed_place(feed, redis_cursor(redis));
        } else if (redis->is_done) {
            redis_hang_up(redis);
            feed_done(feed);
        } else if (!redis_link_is_open(&redis->link)) {
            if (redis->retry) break;
            redis_connect(redis);
        } else if (redis->subscribe || redis_link_is_waiting(&redis->link)) {
            break;
        } else {
            ask(redis);
        }
    }
    redis_link_pause(&redis->link, !feed_room(feed));
}

/* ---- the feed ---- */

static int redis_produce(void *state, fault_t *why) {
    redis_t *redis = state;
    (void)why;
    if (redis->feed.was_full) timing_missed(&redis->timing);
    redis_go_on(redis);
    return 0;
}

static void channels_resume(redis_t *redis, bytes_t cursor) {
    int64_t time;
    if (cursor.size > 0 && (!feed_cursor_read(cursor, &time, 1) || time < 0)) {
        feed_fail(&redis->feed, "the cursor of the recording is not one of `" URN "`");
        return;
    }
    if (cursor.size > 0 || redis->begun) {
        redis->silent = cursor.size > 0 ? time : redis->since;
        snprintf(redis->silence, sizeof redis->silence, "the recording was interrupted");
    }
    redis->begun = redis->begun || cursor.size > 0;
}

static void streams_resume(redis_t *redis, bytes_t cursor) {
    redis_place_t places[REDIS_STREAMS_MAX];
    if (cursor.size > 0 && !redis_cursor_read(cursor, places, redis->count)) {
        feed_fail(&redis->feed, "the cursor of the recording is not one of `" URN "` of %zu stream%s", redis->count,
                  redis->count == 1 ? "" : "s");
        return;
    }
    for (size_t i = 0; i < redis->count; i++) {
        redis_stream_t *stream = &redis->streams[i];
        if (cursor.size > 0)
            stream->begin = places[i];
        else if (!redis->begun)
            stream->begin = (redis_place_t){redis->from, REDIS_UNSEEN};
        stream->place = stream->begin;
        stream->is_beyond = false;
    }
    redis->begun = redis->begun || cursor.size > 0;
}

/* What is on its way comes again, or not at all: the conversation begins anew. */
static int redis_resume(void *state, bytes_t cursor, fault_t *why) {
    redis_t *redis = state;
    (void)why;
    redis_hang_up(redis);
    actor_cancel(redis->feed.me, &redis->retry);
    redis->lost[0] = redis->failure.text[0] = '\0';
    redis->is_done = redis->keeps_place = false;
    timing_resume(&redis->timing);
    if (redis->subscribe)
        channels_resume(redis, cursor);
    else
        streams_resume(redis, cursor);
    return 0;
}

static int on_idle(void *state, uint64_t context, fault_t *why) {
    redis_t *redis = state;
    int64_t watermark;
    (void)context, (void)why;
    bool reads = feed_room(&redis->feed) && redis->feed.count == 0 && !redis->feed.has_gap;
    if (timing_advance(&redis->timing, reads, &watermark)) feed_watermark(&redis->feed, redis_cursor(redis), watermark);
    timing_arm(&redis->timing, on_idle);
    return 0;
}

static void redis_stop(void *state) {
    redis_t *redis = state;
    redis_hang_up(redis);
    actor_cancel(redis->feed.me, &redis->retry);
    timing_disarm(&redis->timing);
}

static const feed_source_t redis_source = {URN, redis_resume, redis_produce, redis_stop};

/* ---- the payload ---- */

static int server_take(redis_t *redis, const char *server, fault_t *why) {
    const char *colon = strrchr(server, ':'), *end = strchr(server, '\0');
    char *rest = "";
    long port = PORT;
    if (colon && colon[1] != '\0' && colon[-(colon > server)] != ':' && !strchr(colon, ']')) {
        port = strtol(colon + 1, &rest, 10);
        end = colon;
    }
    bool is_literal = *server == '[' && end > server + 2 && end[-1] == ']';
    size_t skip = is_literal ? 1 : 0, size = (size_t)(end - server) - 2 * skip;
    if (size == 0 || size >= sizeof redis->host || *rest || port < 1 || port > UINT16_MAX || strpbrk(server, ",/ ") ||
        (!is_literal && memchr(server, ':', size)))
        return fault_set(why, "`" URN "`: `server` must be one `host` or `host:port`, not `%.200s`", server);
    memcpy(redis->host, server + skip, size);
    redis->host[size] = '\0';
    redis->port = (int)port;
    snprintf(redis->server, sizeof redis->server, is_literal ? "[%s]:%d" : "%s:%d", redis->host, redis->port);
    return 0;
}

/* The parts between commas. */
static int names_take(redis_t *redis, const char *field, const char *names, fault_t *why) {
    redis->names = strdup(names);
    redis->streams = calloc(REDIS_STREAMS_MAX, sizeof *redis->streams);
    must(redis->names && redis->streams);
    for (char *rest = redis->names, *name; (name = strsep(&rest, ","));) {
        for (size_t i = 0; i < redis->count; i++) {
            if (strcmp(redis->streams[i].name, name) == 0) return fault_set(why, "`" URN "`: `%s` names `%.64s` twice", field, name);
        }
        if (*name == '\0') return fault_set(why, "`" URN "`: `%s` has an empty name: `%.200s`", field, names);
        if (redis->count == REDIS_STREAMS_MAX) return fault_set(why, "`" URN "`: `%s` has more than %d names", field, REDIS_STREAMS_MAX);
        redis->streams[redis->count++].name = name;
    }
    return 0;
}

/* What is read: of three fields one. */
static int what_take(redis_t *redis, const msg_redis_payload_t *payload, fault_t *why) {
    const struct {
        const char *field;
        bool is_given;
        const char *names, *subscribe;
    } kinds[] = {{"stream", payload->has_stream, payload->stream, NULL},
                 {"channel", payload->has_channel, payload->channel, "SUBSCRIBE"},
                 {"pattern", payload->has_pattern, payload->pattern, "PSUBSCRIBE"}};
    const size_t count = sizeof kinds / sizeof kinds[0];
    size_t given = 0, kind = 0;
    for (size_t i = 0; i < count; i++) {
        if (kinds[i].is_given) given++, kind = i;
    }
    if (given != 1) return fault_set(why, "`" URN "`: one of `stream`, `channel` and `pattern` must be given, not %zu of them", given);
    redis->subscribe = kinds[kind].subscribe;
    if (redis->subscribe && (payload->has_from || payload->has_until || payload->has_field))
        return fault_set(why, "`" URN "`: `%s` is of a `stream`; a `%s` has none",
                         payload->has_from    ? "from"
                         : payload->has_until ? "until"
                                              : "field",
                         kinds[kind].field);
    return names_take(redis, kinds[kind].field, kinds[kind].names, why);
}

/* A time stands for the first entry that is not before it, an id for the one behind it. */
static int from_take(redis_t *redis, const char *from, fault_t *why) {
    int64_t us = 0;
    char *rest;
    fault_t bad;
    if (strcmp(from, "start") == 0) return 0;
    if (strcmp(from, "end") == 0) {
        redis->from_end = true;
        return 0;
    }
    if (redis_id_read((bytes_t){(const uint8_t *)from, strlen(from)}, &redis->from)) return 0;
    long long ms = strtoll(from, &rest, 10);
    bool is_number = *from >= '0' && *from <= '9' && *rest == '\0';
    if (!is_number && (event_time_parse(from, &us, &bad) < 0 || us < 0))
        return fault_set(why, "`" URN "`: `from` must be `start`, `end`, an id, RFC 3339 text, or milliseconds, not `%.64s`", from);
    if (!is_number) ms = (us + 999) / 1000;
    if (ms > 0) redis->from = (redis_id_t){(uint64_t)ms - 1, UINT64_MAX};
    return 0;
}

static int payload_take(redis_t *redis, const msg_redis_payload_t *payload, fault_t *why) {
    static const char *const untils[] = {"end", NULL};
    char password[PASSWORD_MAX];
    unsigned until;
    if (payload->tls) return fault_set(why, "`" URN "`: `tls` must be false: the Redis library (hiredis 0.14) has no TLS");
    if (server_take(redis, payload->server, why) < 0 || what_take(redis, payload, why) < 0) return -1;
    if (payload->has_from && from_take(redis, payload->from, why) < 0) return -1;
    if (payload->has_until && payload_choice(URN, "until", payload->until, untils, &until, why) < 0) return -1;
    if (redis->from_end && payload->has_until) return fault_set(why, "`" URN "`: from `end` until `end` there is nothing");
    if (payload->has_username && !payload->has_password_file) return fault_set(why, "`" URN "`: `username` needs a `password_file`");
    redis->until_end = payload->has_until;
    redis->field = payload->has_field ? payload->field : NULL;
    redis->username = payload->has_username ? payload->username : NULL;
    redis->password_file = payload->has_password_file ? payload->password_file : NULL;
    if (payload->has_db && payload->db > 0) snprintf(redis->db, sizeof redis->db, "%lld", (long long)payload->db);
    if (!redis->password_file) return 0;
    int got = payload_password(URN, redis->password_file, actor_config(redis->feed.me)->keys, password, sizeof password, why);
    explicit_bzero(password, sizeof password);
    return got;
}

/* ---- life ---- */

static void redis_destroy(void **state) {
    redis_t *redis = *state;
    if (!redis) return;
    redis_link_fini(&redis->link);
    timing_fini(&redis->timing);
    feed_fini(&redis->feed);
    msgpack_sbuffer_destroy(&redis->json);
    msgpack_sbuffer_destroy(&redis->attributes);
    msgpack_sbuffer_destroy(&redis->cursor);
    free(redis->streams);
    free(redis->names);
    free(redis);
    *state = NULL;
}

static void *redis_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_redis_payload_t payload;
    void *state = calloc(1, sizeof(redis_t));
    must(state);
    redis_t *redis = state;
    if (feed_init(&redis->feed, me, &redis_source, args, RECORD_CLASS(redis_payload), &payload, why) < 0 ||
        payload_take(redis, &payload, why) < 0 ||
        timing_init(&redis->timing, me, URN, redis->subscribe ? TIMING_SYSTEM_NONE : TIMING_SYSTEM_ORDERS, TIMING_GIVEN(&payload), why) <
            0) {
        redis_destroy(&state);
        return NULL;
    }
    timing_lanes(&redis->timing, redis->subscribe ? 1 : redis->count);
    redis_link_init(&redis->link, me, on_readable, on_writable, &redis_listener, redis, redis->subscribe ? 0 : redis->count);
    redis->asked = ENTRIES_FIRST;
    redis->backoff.random = (uint64_t)actor_now(me);
    timing_arm(&redis->timing, on_idle);
    feed_start(&redis->feed);
    return state;
}

/* ---- the class ---- */

const actor_class_t source_redis_class = {
    .name = "source_redis",
    .doc = "Reads streams and channels of Redis.",
    .create = redis_create,
    .destroy = redis_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
