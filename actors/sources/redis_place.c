/* Redis forgets: streams are trimmed, entries deleted, and a server that is started again may have an older state. None of it is an error to who
 * asks for what is behind an id. Here the counts are compared, so that the recording says where something is missing.
 *
 * Counts agree exactly whenever all is read: each entry has been read, or it is lost. */
#include "redis_place.h"

#include <stdio.h>
#include <string.h>

#include "../../messages/wire.h"

/* ---- ids ---- */

int redis_id_compare(redis_id_t a, redis_id_t b) {
    if (a.ms != b.ms) return a.ms < b.ms ? -1 : 1;
    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

/* Reads the digits at `*at`. */
static bool number_read(bytes_t text, size_t *at, uint64_t *ret_number) {
    uint64_t number = 0;
    size_t first = *at;
    for (; *at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9'; (*at)++) {
        unsigned digit = text.data[*at] - (unsigned)'0';
        if (number > (UINT64_MAX - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return *at > first;
}

bool redis_id_read(bytes_t text, redis_id_t *ret_id) {
    redis_id_t id;
    size_t at = 0;
    if (!number_read(text, &at, &id.ms) || at == text.size || text.data[at++] != '-' || !number_read(text, &at, &id.seq) || at < text.size)
        return false;
    *ret_id = id;
    return true;
}

const char *redis_id_write(redis_id_t id, char text[REDIS_ID_TEXT]) {
    snprintf(text, REDIS_ID_TEXT, "%llu-%llu", (unsigned long long)id.ms, (unsigned long long)id.seq);
    return text;
}

/* ---- what is lost ---- */

static bool is_zero(redis_id_t id) {
    return id.ms == 0 && id.seq == 0;
}

static int64_t us_between(redis_id_t from, redis_id_t to) {
    const uint64_t ms_max = INT64_MAX / 2000;
    return to.ms < from.ms || to.ms - from.ms > ms_max ? -1 : (int64_t)(to.ms - from.ms) * 1000;
}

/* The stream has less than it had: a deleted one, or the server has an older state. What it has by now counts as read, as it is most likely
 * what was read before: the same entries twice would be worse than a hole that is known. */
static void server_lost(redis_place_t *place, const redis_info_t *info, redis_loss_t *loss) {
    char id[REDIS_ID_TEXT], newest[REDIS_ID_TEXT];
    redis_id_write(place->last, id);
    loss->us = -1;
    if (!info->exists) {
        snprintf(loss->what, sizeof loss->what, "the stream is gone, which was read up to %s", id);
        *place = (redis_place_t){{0, 0}, 0};
    } else if (redis_id_compare(info->newest, place->last) < 0) {
        snprintf(loss->what, sizeof loss->what, "the server has lost entries: it knows of none after %s, and %s was read",
                 redis_id_write(info->newest, newest), id);
        *place = (redis_place_t){info->newest, info->counts ? info->added : REDIS_UNCOUNTED};
    } else {
        snprintf(loss->what, sizeof loss->what, "the server has lost entries: it counts %lld, and there were %lld when %s was read",
                 (long long)info->added, (long long)place->number, id);
        place->number = REDIS_UNCOUNTED;
    }
}

static void entries_lost(int64_t count, const char *where, redis_id_t id, redis_loss_t *loss) {
    char text[REDIS_ID_TEXT];
    redis_id_write(id, text);
    if (count == 1)
        snprintf(loss->what, sizeof loss->what, "an entry %s %s was trimmed or deleted before it was read", where, text);
    else
        snprintf(loss->what, sizeof loss->what, "%lld entries %s %s were trimmed or deleted before they were read", (long long)count, where,
                 text);
}

/* How many were added before the first that it has; of a server that has more than were ever added, it is not known. */
static int64_t count_before(const redis_info_t *info) {
    return info->counts && info->added >= info->length ? info->added - info->length : REDIS_UNCOUNTED;
}

/* All that the stream has is behind the place: only the count tells whether the first of it is the next one. Fewer entries before it than were
 * read before it are those of another stream. */
static void gone_before(const redis_place_t *place, const redis_info_t *info, bool fresh, redis_loss_t *loss) {
    char id[REDIS_ID_TEXT];
    int64_t before = count_before(info);
    if (place->number >= 0 && before > place->number) {
        entries_lost(before - place->number, "after", place->last, loss);
    } else if (before >= 0 && before < place->number) {
        snprintf(loss->what, sizeof loss->what, "the stream, which was read up to %s, was deleted and made again",
                 redis_id_write(place->last, id));
    } else if (place->number == REDIS_UNCOUNTED && (info->counts || fresh) && redis_id_compare(info->newest, place->last) > 0) {
        snprintf(loss->what, sizeof loss->what, "entries after %s may have been trimmed or deleted before they were read",
                 redis_id_write(place->last, id));
    }
    if (loss->what[0]) loss->us = us_between(place->last, info->length > 0 ? info->first : info->newest);
}

void redis_place_begin(redis_place_t *place, const redis_info_t *info, bool fresh, redis_loss_t *ret_loss) {
    *ret_loss = (redis_loss_t){.us = -1};
    bool seen = place->number != REDIS_UNSEEN && !is_zero(place->last);
    if (!info->exists) {
        if (seen) server_lost(place, info, ret_loss);
        if (is_zero(place->last)) place->number = 0;
        return;
    }
    bool went_back = redis_id_compare(info->newest, place->last) < 0;
    if (place->number == REDIS_UNSEEN && went_back) return; /* reading is to begin later than now */
    if ((seen && went_back) || (info->counts && place->number > info->added)) server_lost(place, info, ret_loss);
    bool all_behind = info->length == 0 || redis_id_compare(info->first, place->last) > 0;
    if (all_behind) {
        if (ret_loss->what[0] == '\0') gone_before(place, info, fresh, ret_loss);
        place->number = count_before(info);
    } else if (place->number == REDIS_UNSEEN) {
        place->number = REDIS_UNCOUNTED;
    }
}

void redis_place_end(redis_place_t *place, const redis_info_t *info, redis_loss_t *ret_loss) {
    *ret_loss = (redis_loss_t){.us = -1};
    if (!info->exists || place->number == REDIS_UNSEEN) return;
    if (info->counts && place->number >= 0 && info->added > place->number)
        entries_lost(info->added - place->number, "up to", info->newest, ret_loss);
    else if (info->counts && place->number > info->added)
        server_lost(place, info, ret_loss);
    place->number = info->counts ? info->added : REDIS_UNCOUNTED;
    if (redis_id_compare(info->newest, place->last) > 0) place->last = info->newest;
}

/* ---- cursors ---- */

enum { PLACE_NUMBERS = 3 };

bytes_t redis_cursor_write(const redis_place_t *places, size_t count, msgpack_sbuffer *out) {
    msgpack_packer packer;
    msgpack_sbuffer_clear(out);
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count * PLACE_NUMBERS);
    for (size_t i = 0; i < count; i++) {
        msgpack_pack_int64(&packer, (int64_t)places[i].last.ms);
        msgpack_pack_int64(&packer, (int64_t)places[i].last.seq);
        msgpack_pack_int64(&packer, places[i].number);
    }
    return (bytes_t){(const uint8_t *)out->data, out->size};
}

/* Takes the number at the beginning of `rest`. */
static bool cursor_number(bytes_t *rest, int64_t *ret_number) {
    size_t size = wire_value_size(*rest);
    if (size == 0 || !wire_int((bytes_t){rest->data, size}, ret_number)) return false;
    *rest = (bytes_t){rest->data + size, rest->size - size};
    return true;
}

bool redis_cursor_read(bytes_t cursor, redis_place_t *ret_places, size_t count) {
    uint8_t header[3] = {(uint8_t)(0x90 | count * PLACE_NUMBERS)};
    size_t size = 1;
    if (count * PLACE_NUMBERS > 15) {
        size = 3;
        header[0] = 0xdc;
        header[1] = (uint8_t)(count * PLACE_NUMBERS >> 8);
        header[2] = (uint8_t)(count * PLACE_NUMBERS);
    }
    if (cursor.size < size || memcmp(cursor.data, header, size) != 0) return false;
    bytes_t rest = {cursor.data + size, cursor.size - size};
    for (size_t i = 0; i < count; i++) {
        int64_t ms, seq, number;
        if (!cursor_number(&rest, &ms) || !cursor_number(&rest, &seq) || !cursor_number(&rest, &number) || number < REDIS_UNSEEN)
            return false;
        ret_places[i] = (redis_place_t){{(uint64_t)ms, (uint64_t)seq}, number};
    }
    return rest.size == 0;
}
