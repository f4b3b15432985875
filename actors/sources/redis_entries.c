/* Replies become elements here, field by field, while they are still being received. What cannot become one, and what was lost, is noted, and
 * dealt with once the batch before it is sent (redis_go_on): a gap stands where it was, and a failure loses nothing that was read before it. */
#include <stdio.h>
#include <string.h>

#include "../../messages/text.h"
#include "redis_state.h"

/* ---- elements ---- */

static bytes_t attributes_of(redis_t *redis, bytes_t origin) {
    bytes_t key = timing_key(&redis->timing);
    const char *name = redis->subscribe ? "channel" : "stream";
    msgpack_packer packer;
    if (origin.size == 0) return timing_attributes(&redis->timing);
    msgpack_sbuffer_clear(&redis->attributes);
    msgpack_packer_init(&packer, &redis->attributes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, key.data ? 2 : 1);
    msgpack_pack_str_with_body(&packer, name, strlen(name));
    if (text_valid((const char *)origin.data, origin.size))
        msgpack_pack_str_with_body(&packer, origin.data, origin.size);
    else
        msgpack_pack_bin_with_body(&packer, origin.data, origin.size);
    if (key.data) {
        msgpack_pack_str_with_body(&packer, "key", 3);
        msgpack_pack_str_with_body(&packer, key.data, key.size);
    }
    return (bytes_t){(const uint8_t *)redis->attributes.data, redis->attributes.size};
}

/* `origin`: the stream or channel, where the payload alone does not tell; size 0 otherwise. */
static void element_add(redis_t *redis, size_t lane, bytes_t value, int64_t system_us, bytes_t origin) {
    int64_t time;
    if (redis->unfit.text[0]) return;
    int got = timing_read(&redis->timing, value, system_us, &time, &redis->unfit);
    if (got != 0) return;
    bytes_t attributes = attributes_of(redis, origin);
    if (value.size > FEED_ELEMENT_MAX || attributes.size > FEED_ELEMENT_MAX - value.size) {
        fault_set(&redis->unfit, "it has %zu bytes, and an element at most %d", value.size, FEED_ELEMENT_MAX);
        return;
    }
    uint8_t *at = feed_element(&redis->feed, time, value.size, attributes);
    if (value.size > 0) memcpy(at, value.data, value.size);
    timing_saw(&redis->timing, lane, time);
}

/* May the next element come? No: the source fails with this one. */
static bool fits(redis_t *redis, const char *name, const char *what, const char *which) {
    if (redis->unfit.text[0] == '\0' || redis->timing.skips) return true;
    redis_fail(redis, "`%s`, %s %s: %s", name, what, which, redis->unfit.text);
    return false;
}

static void send_if_full(redis_t *redis) {
    if (feed_full(&redis->feed) && feed_room(&redis->feed)) redis_send(redis);
}

/* ---- JSON ---- */

/* An entry may have any number of fields, of which the first ones are kept that an element has room for. */
static void json_add(redis_t *redis, const void *bytes, size_t size) {
    if (redis->unfit.text[0]) return;
    if (size > FEED_ELEMENT_MAX - redis->json.size)
        fault_set(&redis->unfit, "its JSON has more than the %d bytes of an element; name a field with `field`", FEED_ELEMENT_MAX);
    else
        msgpack_sbuffer_write(&redis->json, bytes, size);
}

/* A run of characters that stand for themselves goes at once. */
static void json_text(redis_t *redis, bytes_t text, const char *what) {
    size_t from = 0;
    if (!text_valid((const char *)text.data, text.size))
        fault_set(&redis->unfit, "a field's %s is no text; name a field with `field`", what);
    json_add(redis, "\"", 1);
    for (size_t i = 0; i < text.size && !redis->unfit.text[0]; i++) {
        char escaped[8];
        uint8_t c = text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        int size = c < 0x20 ? snprintf(escaped, sizeof escaped, "\\u%04x", c) : snprintf(escaped, sizeof escaped, "\\%c", c);
        json_add(redis, text.data + from, i - from);
        json_add(redis, escaped, (size_t)size);
        from = i + 1;
    }
    json_add(redis, text.data + from, text.size - from);
    json_add(redis, "\"", 1);
}

/* ---- entries ---- */

static void on_stream(void *state, bytes_t name) {
    redis_t *redis = state;
    redis->of = NULL;
    for (size_t i = 0; i < redis->count && !redis->of; i++) {
        const char *own = redis->streams[i].name;
        if (strlen(own) == name.size && memcmp(own, name.data, name.size) == 0) redis->of = &redis->streams[i];
    }
}

static void on_entry(void *state, redis_id_t id, size_t fields) {
    redis_t *redis = state;
    redis_stream_t *of = redis->of;
    redis->wants = REDIS_WANTS_NOTHING;
    if (!of) return;
    of->taken++;
    redis->reply_entries++;
    if (redis_id_compare(id, of->place.last) <= 0) return;
    if (redis->has_ends && redis_id_compare(id, of->end) > 0) {
        of->is_beyond = true;
        return;
    }
    redis->id = id;
    redis->wants = redis->field ? REDIS_WANTS_NAMED : fields == 1 ? REDIS_WANTS_ONLY : REDIS_WANTS_ALL;
    redis->is_wanted = redis->is_found = false;
    redis->unfit.text[0] = '\0';
    msgpack_sbuffer_clear(&redis->json);
}

static void on_field(void *state, bytes_t name) {
    redis_t *redis = state;
    switch (redis->wants) {
    case REDIS_WANTS_NAMED:
        redis->is_wanted = !redis->is_found && strlen(redis->field) == name.size && memcmp(redis->field, name.data, name.size) == 0;
        return;
    case REDIS_WANTS_ONLY: redis->is_wanted = true; return;
    case REDIS_WANTS_ALL:
        json_add(redis, redis->json.size == 0 ? "{" : ",", 1);
        json_text(redis, name, "name");
        json_add(redis, ":", 1);
        return;
    case REDIS_WANTS_NOTHING: return;
    }
}

static void entry_take(redis_t *redis, bytes_t value) {
    const redis_stream_t *of = redis->of;
    bytes_t origin = {(const uint8_t *)of->name, redis->count > 1 ? strlen(of->name) : 0};
    const uint64_t ms_max = INT64_MAX / 1000;
    element_add(redis, (size_t)(of - redis->streams), value, (int64_t)(redis->id.ms < ms_max ? redis->id.ms : ms_max) * 1000, origin);
    redis->is_found = true;
}

static void entry_end(redis_t *redis) {
    redis_stream_t *of = redis->of;
    char id[REDIS_ID_TEXT];
    if (redis->wants == REDIS_WANTS_ALL) {
        json_add(redis, "}", 1);
        entry_take(redis, (bytes_t){(const uint8_t *)redis->json.data, redis->json.size});
    } else if (!redis->is_found) {
        fault_set(&redis->unfit, "there is no field `%s`", redis->field);
    }
    if (!fits(redis, of->name, "entry", redis_id_write(redis->id, id))) return;
    of->place.last = redis->id;
    if (of->place.number >= 0 && of->place.number < INT64_MAX) of->place.number++;
    send_if_full(redis);
}

static void on_value(void *state, bytes_t value, bool is_last) {
    redis_t *redis = state;
    redis->reply_bytes += value.size;
    if (redis->wants == REDIS_WANTS_NOTHING) return;
    if (redis->wants == REDIS_WANTS_ALL)
        json_text(redis, value, "value");
    else if (redis->is_wanted)
        entry_take(redis, value);
    redis->is_wanted = false;
    if (is_last) entry_end(redis);
}

/* ---- what was lost ---- */

/* Several streams may have lost something at once; it is one gap. */
static void loss_add(redis_t *redis, const char *name, const redis_loss_t *loss) {
    size_t used = strlen(redis->lost);
    if (loss->what[0] == '\0') return;
    int size = snprintf(redis->lost + used, sizeof redis->lost - used, "%s`%s`: %s", used > 0 ? "; " : "", name, loss->what);
    must(size > 0); /* what does not fit is cut off */
    if (used == 0 || loss->us > redis->lost_us) redis->lost_us = loss->us;
}

/* What was lost stands before what comes now. */
static void loss_tell(redis_t *redis) {
    if (redis->lost[0] == '\0' || redis->feed.count > 0 || redis->feed.has_gap) return;
    feed_gap(&redis->feed, redis->lost_us, "%s", redis->lost);
    redis->lost[0] = '\0';
}

static void on_info(void *state, size_t index, const redis_info_t *info) {
    redis_t *redis = state;
    redis->streams[index].info = *info;
}

static void on_infos_end(void *state) {
    redis_t *redis = state;
    for (size_t i = 0; i < redis->count; i++) {
        redis_stream_t *stream = &redis->streams[i];
        const redis_info_t *info = &stream->info;
        redis_loss_t loss;
        if (!redis->begun && redis->from_end)
            stream->place = (redis_place_t){info->newest, info->exists && !info->counts ? REDIS_UNCOUNTED : info->added};
        redis_place_begin(&stream->place, info, redis->is_fresh, &loss);
        loss_add(redis, stream->name, &loss);
        if (!redis->begun) stream->begin = stream->place;
        if (redis->until_end && !redis->has_ends) stream->end = info->newest;
    }
    redis->keeps_place = redis->keeps_place || (!redis->begun && redis->from_end);
    redis->has_ends = redis->until_end;
    redis->begun = true;
    redis->is_fresh = false;
    loss_tell(redis);
}

/* ---- the end of a reply ---- */

/* So many entries at once are about a megabyte: the server makes a reply whole before it sends it. */
static void count_adapt(redis_t *redis) {
    const size_t target = (size_t)1024 * 1024, least = 8, most = 8192;
    if (redis->reply_entries == 0) return;
    size_t entries = target / redis->count / (redis->reply_bytes / redis->reply_entries + 32);
    redis->asked = entries < least ? least : entries > most ? most : entries;
}

static void looked_at_all(redis_t *redis) {
    redis->waits_for_more = true;
    redis->is_done = redis->has_ends;
    for (size_t i = 0; i < redis->count; i++) {
        redis_stream_t *stream = &redis->streams[i];
        redis_loss_t loss;
        if (stream->is_beyond) {
            stream->place.last = stream->end;
        } else if (stream->taken < redis->asked) {
            redis_place_end(&stream->place, &stream->info, &loss);
            loss_add(redis, stream->name, &loss);
        }
        redis->waits_for_more = redis->waits_for_more && stream->taken == 0;
        redis->is_done = redis->is_done && redis_id_compare(stream->place.last, stream->end) >= 0;
    }
}

static void on_end(void *state, redis_shape_t shape) {
    redis_t *redis = state;
    if (shape != REDIS_EXEC && shape != REDIS_READ) return;
    actor_cancel(redis->feed.me, &redis->patience);
    backoff_reset(&redis->backoff);
    feed_waiting(&redis->feed, NULL);
    if (shape == REDIS_EXEC)
        looked_at_all(redis);
    else
        redis->waits_for_more = false;
    count_adapt(redis);
}

/* ---- channels ---- */

static void on_message(void *state, bytes_t channel, bytes_t value) {
    redis_t *redis = state;
    if (redis->count == 1 && strcmp(redis->subscribe, "SUBSCRIBE") == 0) channel.size = 0; /* the only one */
    redis->unfit.text[0] = '\0';
    element_add(redis, 0, value, 0, channel);
    if (fits(redis, redis->streams[0].name, "a message of", redis->server)) send_if_full(redis);
}

static void on_subscribed(void *state) {
    redis_t *redis = state;
    int64_t now = actor_now(redis->feed.me);
    if (++redis->confirmed < redis->count) return;
    actor_cancel(redis->feed.me, &redis->patience);
    backoff_reset(&redis->backoff);
    feed_waiting(&redis->feed, NULL);
    redis->heard = now;
    if (redis->silent != 0) {
        redis_loss_t loss = {.us = now - redis->silent};
        if (loss.us < 0) loss.us = 0;
        snprintf(loss.what, sizeof loss.what, "nobody listened: %s", redis->silence);
        loss_add(redis, redis->streams[0].name, &loss);
        loss_tell(redis);
    }
    redis->silent = 0;
    redis->keeps_place = redis->keeps_place || !redis->begun;
    if (!redis->begun) redis->since = now;
    redis->begun = true;
}

/* ---- errors ---- */

static bool begins_with(bytes_t text, const char *with) {
    return text.size >= strlen(with) && memcmp(text.data, with, strlen(with)) == 0;
}

/* A server that is being started, is busy, or changes its part says so, and goes on later. */
static bool will_heal(bytes_t text) {
    static const char *const healing[] = {
        "LOADING ", "BUSY ", "MASTERDOWN ", "TRYAGAIN ", "CLUSTERDOWN ", "UNBLOCKED ", "ERR max number of clients reached"};
    for (size_t i = 0; i < sizeof healing / sizeof healing[0]; i++) {
        if (begins_with(text, healing[i])) return true;
    }
    return false;
}

static void on_error(void *state, int part, bytes_t text) {
    redis_t *redis = state;
    char said[200], what[100];
    redis_shape_t shape = redis->link.reply.shape;
    if (shape == REDIS_NAME || (shape == REDIS_EXEC && part >= 0 && begins_with(text, "ERR no such key"))) return;
    snprintf(said, sizeof said, "%.*s", (int)(text.size < sizeof said ? text.size : sizeof said - 1), (const char *)text.data);
    if (will_heal(text)) {
        redis_lost(redis, said);
        return;
    }
    size_t stream = part > 0 && (size_t)part < redis->count ? (size_t)part : 0;
    if (shape == REDIS_AUTH)
        snprintf(what, sizeof what, "`%s`", redis->username ? "username` and `password_file" : "password_file");
    else if (shape == REDIS_SELECT)
        snprintf(what, sizeof what, "`db` %s", redis->db);
    else
        snprintf(what, sizeof what, "`%s` %.64s", redis->subscribe ? "channel" : "stream", redis->streams[stream].name);
    redis_fail(redis, "%s: %s: %s", redis->server, what, said);
}

const redis_listener_t redis_listener = {
    .error = on_error,
    .info = on_info,
    .infos_end = on_infos_end,
    .stream = on_stream,
    .entry = on_entry,
    .field = on_field,
    .value = on_value,
    .message = on_message,
    .subscribed = on_subscribed,
    .end = on_end,
};
