/* The work on Redis Streams: XADD, as many commands under way at once as is usual (128), or one by one; and XRANGE in pages. As messages, a
 * command is formatted once and sent again and again: the producer is as cheap as it can be. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

enum { PIPELINE = 128, PAGE = 1000 };

static const int64_t UNDER_WAY = INT64_C(4) * 1024 * 1024;

typedef struct place {
    redisContext *connection;
    char stream[64];
    const char *words[5]; /* of an XADD, */
    size_t sizes[5];
    char *ready; /* and formatted; NULL: each is by itself */
    size_t ready_size;
} place_t;

static int failed(const place_t *place, const redisReply *reply, fault_t *why) {
    if (reply) return fault_set(why, "redis refuses: %s", reply->str ? reply->str : "an answer of another kind");
    return fault_set(why, "redis cannot be asked: %s", place->connection ? place->connection->errstr : "no memory");
}

static int place_open(place_t *place, const work_t *work, fault_t *why) {
    char host[64];
    int port;
    *place = (place_t){0};
    snprintf(place->stream, sizeof place->stream, "compare-%d", (int)getpid());
    if (sscanf(work->endpoint, "%63[^:]:%d", host, &port) != 2) return fault_set(why, "`%s` is not HOST:PORT", work->endpoint);
    place->connection = redisConnect(host, port);
    if (!place->connection || place->connection->err) return failed(place, NULL, why);
    const char *words[] = {"XADD", place->stream, "*", "e", (const char *)work->bytes};
    const size_t sizes[] = {4, strlen(place->stream), 1, 1, work->bytes_size};
    memcpy(place->words, words, sizeof words);
    memcpy(place->sizes, sizes, sizeof sizes);
    return 0;
}

static void place_close(place_t *place) {
    if (place->connection) {
        freeReplyObject(redisCommand(place->connection, "DEL %s", place->stream));
        redisFree(place->connection);
    }
    redisFreeCommand(place->ready);
}

/* ---- adding ---- */

static void add_ready(place_t *place) {
    int size = redisFormatCommandArgv(&place->ready, 5, place->words, place->sizes);
    must(size > 0);
    place->ready_size = (size_t)size;
}

static void add_one(place_t *place) {
    if (place->ready)
        redisAppendFormattedCommand(place->connection, place->ready, place->ready_size);
    else
        redisAppendCommandArgv(place->connection, 5, place->words, place->sizes);
}

static int add(place_t *place, int64_t depth, fault_t *why) {
    redisReply *reply = NULL;
    bool good = true;
    for (int64_t i = 0; i < depth; i++) add_one(place);
    for (int64_t i = 0; good && i < depth; i++) {
        reply = NULL;
        good = redisGetReply(place->connection, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_STRING;
        if (!good) failed(place, reply, why);
        freeReplyObject(reply);
    }
    return good ? 0 : -1;
}

static int adds(work_t *work, int64_t depth, bool ready, fault_t *why) {
    place_t place;
    int64_t messages = 0;
    int result = place_open(&place, work, why);
    if (result == 0 && ready) add_ready(&place);
    work_begin(work);
    for (; result == 0 && !work_over(work); messages += depth) result = add(&place, depth, why);
    work_end(work, messages * work->batch);
    place_close(&place);
    return result;
}

static int push(work_t *work, fault_t *why) {
    return adds(work, PIPELINE, false, why);
}

static int messages(work_t *work, fault_t *why) {
    int64_t depth = UNDER_WAY / (int64_t)work->bytes_size;
    return adds(work, depth < 4 ? 4 : depth > PIPELINE ? PIPELINE : depth, true, why);
}

static int each(work_t *work, fault_t *why) {
    return adds(work, 1, false, why);
}

/* ---- reading ---- */

static int page_read(place_t *place, char last[64], int64_t *elements, int64_t *bytes, fault_t *why) {
    redisReply *reply =
        redisCommand(place->connection, "XRANGE %s %s%s + COUNT %d", place->stream, *last ? "(" : "", *last ? last : "-", PAGE);
    bool good = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0;
    if (!good) failed(place, reply, why);
    for (size_t i = 0; good && i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];
        *bytes += (int64_t)entry->element[1]->element[1]->len;
        if (i + 1 == reply->elements) snprintf(last, 64, "%s", entry->element[0]->str);
    }
    if (good) *elements += (int64_t)reply->elements;
    freeReplyObject(reply);
    return good ? 0 : -1;
}

static int replay_once(place_t *place, work_t *work, fault_t *why) {
    char last[64] = "";
    int64_t elements = 0, bytes = 0;
    int result = 0;
    work_begin(work);
    while (result == 0 && elements < work->recorded) result = page_read(place, last, &elements, &bytes, why);
    work_end(work, elements);
    if (result == 0 && bytes != elements * work->size) result = fault_set(why, "%lld bytes were read", (long long)bytes);
    return result;
}

static int replay(work_t *work, fault_t *why) {
    place_t place;
    int result = place_open(&place, work, why);
    if (result == 0) add_ready(&place);
    for (int64_t added = 0, depth; result == 0 && added < work->recorded; added += depth) {
        depth = work->recorded - added < PIPELINE ? work->recorded - added : PIPELINE;
        result = add(&place, depth, why);
    }
    do {
        if (result == 0) result = replay_once(&place, work, why);
    } while (result == 0 && work->took < work->seconds);
    place_close(&place);
    return result;
}

int main(int count, char **arguments) {
    static const work_kind_t kinds[] = {{"push", push}, {"each", each}, {"messages", messages}, {"replay", replay}, {NULL, NULL}};
    return work_main(count, arguments, kinds);
}
