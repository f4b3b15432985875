/* A stream of Redis', read from its beginning by XREAD in pages of 10,000: larger ones gain nothing, smaller ones wait for the server. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outside.h"

enum { ENTRIES_A_SECOND = 2000000, PAGE = 10000 };
#define STREAM "bench"

static int failed(const redisContext *connection, redisReply *reply, fault_t *why) {
    fault_set(why, "redis: %s", reply && reply->str ? reply->str : connection ? connection->errstr : "no memory");
    freeReplyObject(reply);
    return -1;
}

static redisContext *connected(const outside_t *outside) {
    redisContext *connection = redisConnect("127.0.0.1", atoi(strchr(outside->server, ':') + 1));
    must(connection);
    return connection;
}

static int fill(outside_t *outside, redisContext *connection, fault_t *why) {
    size_t size = (size_t)outside->bench->size;
    char *value = malloc(size + 1), *command = NULL;
    must(value);
    memset(value, 'x', size);
    const char *words[] = {"XADD", STREAM, "*", "e", value};
    int length = redisFormatCommandArgv(&command, 5, words, (const size_t[]){4, sizeof STREAM - 1, 1, 1, size}), result = 0;
    must(length > 0);
    free(value);
    for (int64_t added = 0; result == 0 && added < outside->elements; added += PAGE) {
        for (int i = 0; i < PAGE; i++) redisAppendFormattedCommand(connection, command, (size_t)length);
        for (int i = 0; result == 0 && i < PAGE; i++) {
            redisReply *reply = NULL;
            if (redisGetReply(connection, (void **)&reply) != REDIS_OK || reply->type != REDIS_REPLY_STRING)
                result = failed(connection, reply, why);
            else
                freeReplyObject(reply);
        }
    }
    redisFreeCommand(command);
    return result;
}

static int redis_open(outside_t *outside, fault_t *why) {
    char number[16];
    int port;
    if (outside_prepare(outside, &port, why) < 0) return -1;
    snprintf(number, sizeof number, "%d", port);
    const char *arguments[] = {"redis-server",  "--bind", "127.0.0.1", "--port",       number, "--dir",
                               outside->folder, "--save", "",          "--appendonly", "no",   NULL};
    if (outside_start(outside, arguments, why) < 0) return -1;
    redisContext *connection = connected(outside);
    outside->elements = outside_enough(outside, ENTRIES_A_SECOND) / PAGE * PAGE;
    int result = connection->err ? failed(connection, NULL, why) : fill(outside, connection, why);
    redisFree(connection);
    return result;
}

static int redis_read(outside_t *outside, meter_t *meter, fault_t *why) {
    char last[64] = "0";
    redisContext *connection = connected(outside);
    int result = 0;
    for (bool more = true; more && result == 0;) {
        redisReply *reply = redisCommand(connection, "XREAD COUNT %d STREAMS " STREAM " %s", PAGE, last);
        if (!reply || reply->type != REDIS_REPLY_ARRAY) {
            result = failed(connection, reply, why);
            break;
        }
        const redisReply *entries = reply->element[0]->element[1];
        snprintf(last, sizeof last, "%s", entries->element[entries->elements - 1]->element[0]->str);
        more = meter_add(meter, (int64_t)entries->elements);
        freeReplyObject(reply);
    }
    redisFree(connection);
    return result;
}

static void redis_pack(const outside_t *outside, msgpack_packer *packer) {
    msgpack_pack_map(packer, 2);
    outside_pack_text(packer, "server", outside->server);
    outside_pack_text(packer, "stream", STREAM);
}

const outside_kind_t outside_redis = {.name = "redis",
                                      .what = "entries of a stream, from its beginning",
                                      .peer = "hiredis, XREAD COUNT 10000",
                                      .open = redis_open,
                                      .read = redis_read,
                                      .pack = redis_pack,
                                      .close = outside_stop};
