/* hiredis calls back for each string, number and list that is complete, from the outside in; where it stands follows from its parents. */
#include "redis_reply.h"

#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"

/* ---- where it stands ---- */

typedef struct spot {
    unsigned depth;
    int part; /* which of the outermost list's; -1: it is that list itself */
    int at;   /* which of its own list's */
} spot_t;

static spot_t spot_of(const redisReadTask *task) {
    spot_t spot = {.part = -1, .at = task->idx};
    for (; task->parent; task = task->parent, spot.depth++) spot.part = task->idx;
    return spot;
}

/* How many lists the XREAD stands in; -1: this is not in one. */
static int depth_of_read(const redis_reply_t *reply, spot_t spot) {
    if (reply->shape == REDIS_READ) return 0;
    return reply->shape == REDIS_EXEC && spot.part == (int)reply->streams ? 1 : -1;
}

/* ---- XINFO STREAM ---- */

enum { PROPERTY_NONE, PROPERTY_LENGTH, PROPERTY_ADDED, PROPERTY_NEWEST, PROPERTY_FIRST };

static unsigned property_of(bytes_t name) {
    static const char *const names[] = {
        [PROPERTY_LENGTH] = "length",
        [PROPERTY_ADDED] = "entries-added",
        [PROPERTY_NEWEST] = "last-generated-id",
        [PROPERTY_FIRST] = "first-entry",
    };
    for (unsigned i = PROPERTY_LENGTH; i <= PROPERTY_FIRST; i++) {
        if (strlen(names[i]) == name.size && memcmp(names[i], name.data, name.size) == 0) return i;
    }
    return PROPERTY_NONE;
}

static void info_number(redis_info_t *info, unsigned property, int64_t number) {
    if (number < 0) return;
    if (property == PROPERTY_LENGTH) info->length = number;
    if (property == PROPERTY_ADDED) {
        info->added = number;
        info->counts = true;
    }
}

/* The list of a stream's properties, names and values in turn. */
static void info_begin(redis_reply_t *reply) {
    reply->info = (redis_info_t){.exists = true};
    reply->property = PROPERTY_NONE;
}

static void info_string(redis_reply_t *reply, spot_t spot, bytes_t text) {
    if (spot.depth == 2 && spot.at % 2 == 0)
        reply->property = property_of(text);
    else if (spot.depth == 2 && reply->property == PROPERTY_NEWEST)
        redis_id_read(text, &reply->info.newest);
    else if (spot.depth == 3 && spot.at == 0 && reply->property == PROPERTY_FIRST)
        redis_id_read(text, &reply->info.first);
}

/* Properties come one by one: all are there when the next part begins. */
static void parts_before(redis_reply_t *reply, int part) {
    if (part > 0 && part <= (int)reply->streams) reply->listener->info(reply->state, (size_t)part - 1, &reply->info);
    if (part == (int)reply->streams) reply->listener->infos_end(reply->state);
}

/* ---- XREAD ---- */

static void read_string(redis_reply_t *reply, const redisReadTask *task, spot_t spot, unsigned outside, bytes_t text) {
    unsigned depth = spot.depth - outside;
    if (depth == 2 && spot.at == 0) {
        reply->has_id = false;
        reply->listener->stream(reply->state, text);
    } else if (depth == 4 && spot.at == 0) {
        reply->has_id = redis_id_read(text, &reply->id);
    } else if (depth == 5 && reply->has_id && task->parent->idx == 1) {
        if (spot.at % 2 == 0)
            reply->listener->field(reply->state, text);
        else
            reply->listener->value(reply->state, text, spot.at + 1 == task->parent->elements);
    }
}

static void read_list(redis_reply_t *reply, spot_t spot, unsigned outside, int elements) {
    unsigned depth = spot.depth - outside;
    if (depth == 1) reply->listener->stream(reply->state, (bytes_t){0}); /* its name is still to come */
    if (depth == 3) reply->has_id = false;
    if (depth != 4 || spot.at != 1) return;
    reply->has_id = reply->has_id && elements > 0 && elements % 2 == 0;
    if (reply->has_id) reply->listener->entry(reply->state, reply->id, (size_t)elements / 2);
}

/* ---- what is pushed ---- */

enum { PUSH_OTHER, PUSH_MESSAGE, PUSH_PATTERN_MESSAGE, PUSH_SUBSCRIBED };

static unsigned push_of(bytes_t name) {
    static const struct {
        const char *name;
        unsigned push;
    } pushes[] = {
        {"message", PUSH_MESSAGE}, {"pmessage", PUSH_PATTERN_MESSAGE}, {"subscribe", PUSH_SUBSCRIBED}, {"psubscribe", PUSH_SUBSCRIBED}};
    for (size_t i = 0; i < sizeof pushes / sizeof pushes[0]; i++) {
        if (strlen(pushes[i].name) == name.size && memcmp(pushes[i].name, name.data, name.size) == 0) return pushes[i].push;
    }
    return PUSH_OTHER;
}

static void channel_keep(redis_reply_t *reply, bytes_t name) {
    if (name.size > reply->channel_room) {
        reply->channel = realloc(reply->channel, name.size);
        must(reply->channel);
        reply->channel_room = name.size;
    }
    if (name.size > 0) memcpy(reply->channel, name.data, name.size);
    reply->channel_size = name.size;
}

static void push_string(redis_reply_t *reply, spot_t spot, bytes_t text) {
    if (spot.depth != 1) return;
    if (spot.at == 0) reply->push = push_of(text);
    int channel = reply->push == PUSH_MESSAGE ? 1 : reply->push == PUSH_PATTERN_MESSAGE ? 2 : -1;
    if (channel < 0) return;
    if (spot.at == channel) channel_keep(reply, text);
    if (spot.at == channel + 1) reply->listener->message(reply->state, (bytes_t){reply->channel, reply->channel_size}, text);
}

/* ---- what hiredis calls ---- */

/* There is no object; hiredis takes NULL for a lack of memory. */
static void *object_none(const redis_reply_t *reply) {
    return (void *)(uintptr_t)reply;
}

static void *on_string(const redisReadTask *task, char *data, size_t size) {
    redis_reply_t *reply = task->privdata;
    bytes_t text = {(const uint8_t *)data, size};
    if (reply->is_deaf) return object_none(reply);
    spot_t spot = spot_of(task);
    int outside = depth_of_read(reply, spot);
    if (spot.depth == 1 && reply->shape == REDIS_EXEC) parts_before(reply, spot.part);
    if (task->type == REDIS_REPLY_ERROR) {
        reply->info = (redis_info_t){0};
        reply->listener->error(reply->state, spot.depth == 0 ? -1 : spot.part, text);
    } else if (outside >= 0) {
        read_string(reply, task, spot, (unsigned)outside, text);
    } else if (reply->shape == REDIS_EXEC) {
        info_string(reply, spot, text);
    } else if (reply->shape == REDIS_PUSH) {
        push_string(reply, spot, text);
    }
    return object_none(reply);
}

static void *on_list(const redisReadTask *task, int elements) {
    redis_reply_t *reply = task->privdata;
    if (reply->is_deaf) return object_none(reply);
    spot_t spot = spot_of(task);
    int outside = depth_of_read(reply, spot);
    if (spot.depth == 1 && reply->shape == REDIS_EXEC) parts_before(reply, spot.part);
    if (outside >= 0)
        read_list(reply, spot, (unsigned)outside, elements);
    else if (reply->shape == REDIS_EXEC && spot.depth == 1)
        info_begin(reply);
    return object_none(reply);
}

static void *on_number(const redisReadTask *task, long long number) {
    redis_reply_t *reply = task->privdata;
    if (reply->is_deaf) return object_none(reply);
    spot_t spot = spot_of(task);
    if (reply->shape == REDIS_EXEC && spot.depth == 2 && spot.at % 2 == 1 && depth_of_read(reply, spot) < 0)
        info_number(&reply->info, reply->property, number);
    if (reply->shape == REDIS_PUSH && spot.depth == 1 && reply->push == PUSH_SUBSCRIBED) reply->listener->subscribed(reply->state);
    return object_none(reply);
}

static void *on_nil(const redisReadTask *task) {
    redis_reply_t *reply = task->privdata;
    if (reply->is_deaf) return object_none(reply);
    spot_t spot = spot_of(task);
    if (spot.depth == 1 && reply->shape == REDIS_EXEC) parts_before(reply, spot.part);
    return object_none(reply);
}

static void on_free(void *object) {
    (void)object;
}

static redisReplyObjectFunctions functions = {on_string, on_list, on_number, on_nil, on_free};

/* ---- life ---- */

void redis_reply_init(redis_reply_t *reply, const redis_listener_t *listener, void *state, size_t streams) {
    *reply = (redis_reply_t){.listener = listener, .state = state, .streams = streams};
}

void redis_reply_fini(redis_reply_t *reply) {
    free(reply->channel);
    *reply = (redis_reply_t){0};
}

void redis_reply_attach(redis_reply_t *reply, redisReader *reader) {
    reader->fn = &functions;
    reader->privdata = reply;
}
