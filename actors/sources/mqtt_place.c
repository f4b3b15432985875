/* The cursor is [count, time, session, reliable, last, run, given], and `given` bytes, six for each message, the oldest first: it goes with every batch,
 * and must be short. */
#include "mqtt_place.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"
#include "../../messages/wire.h"

static const int64_t count_max = INT64_MAX / 2; /* what a cursor may say, so that it can be counted on */

enum { FIELDS = 7, ID_MAX = UINT16_MAX, GIVEN_BYTES = 6 };

void mqtt_place_init(mqtt_place_t *place, size_t inflight) {
    must(inflight > 0 && inflight <= MQTT_INFLIGHT_MAX);
    *place = (mqtt_place_t){.reliable = true, .inflight = inflight, .given = calloc(inflight, sizeof *place->given)};
    must(place->given);
}

void mqtt_place_fini(mqtt_place_t *place) {
    free(place->given);
    *place = (mqtt_place_t){0};
}

void mqtt_place_add(mqtt_place_t *place, mqtt_given_t given) {
    place->given[place->next] = given;
    place->next = (place->next + 1) % place->inflight;
    if (place->used < place->inflight) place->used++;
    bool follows = place->run > 0 && given.id == (place->last == ID_MAX ? 1 : place->last + 1);
    place->run = !follows ? 1 : place->run < MQTT_RUN_MAX ? (uint16_t)(place->run + 1) : place->run;
    place->last = given.id;
}

/* Is it one of those in a row that are too old to be in the ring? */
static bool is_in_run(const mqtt_place_t *place, uint16_t id) {
    int behind = place->last - id;
    if (behind < 0) behind += ID_MAX; /* there is no identifier 0 */
    return place->run > place->inflight && behind >= (int)place->inflight && behind < place->run;
}

bool mqtt_place_has(const mqtt_place_t *place, mqtt_given_t given) {
    for (size_t i = 0; i < place->used; i++) {
        if (place->given[i].id == given.id && place->given[i].print == given.print) return true;
    }
    return is_in_run(place, given.id);
}

void mqtt_place_forget(mqtt_place_t *place) {
    place->used = place->next = 0;
    place->last = place->run = 0;
}

bytes_t mqtt_place_write(const mqtt_place_t *place, msgpack_sbuffer *out) {
    uint8_t bytes[MQTT_INFLIGHT_MAX * GIVEN_BYTES], *at = bytes;
    msgpack_packer packer;
    size_t oldest = place->used < place->inflight ? 0 : place->next;
    for (size_t i = 0; i < place->used; i++, at += GIVEN_BYTES) {
        const mqtt_given_t *given = &place->given[(oldest + i) % place->inflight];
        uint16_t id = htobe16(given->id);
        uint32_t print = htobe32(given->print);
        memcpy(at, &id, sizeof id);
        memcpy(at + sizeof id, &print, sizeof print);
    }
    msgpack_sbuffer_clear(out);
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, FIELDS);
    msgpack_pack_int64(&packer, place->count);
    msgpack_pack_int64(&packer, place->time);
    msgpack_pack_int64(&packer, place->session);
    msgpack_pack_int64(&packer, place->reliable);
    msgpack_pack_int64(&packer, place->last);
    msgpack_pack_int64(&packer, place->run);
    msgpack_pack_bin_with_body(&packer, bytes, (size_t)(at - bytes));
    return (bytes_t){(const uint8_t *)out->data, out->size};
}

/* The bytes of a value of msgpack's type bin, as far as this writes any; false: it is something else. */
static bool bin_read(bytes_t value, bytes_t *ret_bytes) {
    size_t header = value.size > 0 && value.data[0] == 0xc4 ? 2 : value.size > 0 && value.data[0] == 0xc5 ? 3 : 0;
    if (header == 0 || value.size < header) return false;
    *ret_bytes = (bytes_t){value.data + header, value.size - header};
    return true;
}

bool mqtt_place_read(mqtt_place_t *place, bytes_t cursor) {
    int64_t n[FIELDS - 1];
    bytes_t given;
    if (cursor.size == 0 || cursor.data[0] != (0x90 | FIELDS) || wire_value_size(cursor) != cursor.size) return false;
    bytes_t rest = {cursor.data + 1, cursor.size - 1};
    for (size_t i = 0; i < FIELDS - 1; i++) {
        size_t size = wire_value_size(rest);
        if (!wire_int((bytes_t){rest.data, size}, &n[i])) return false;
        rest = (bytes_t){rest.data + size, rest.size - size};
    }
    bool fits = n[0] >= 0 && n[0] < count_max && n[1] >= 0 && n[2] >= 0 && n[2] < MQTT_SESSIONS && n[3] >= 0 && n[3] <= 1 && n[4] >= 0 &&
                n[4] <= ID_MAX && n[5] >= 0 && n[5] <= MQTT_RUN_MAX;
    if (!fits || !bin_read(rest, &given) || given.size % GIVEN_BYTES != 0) return false;
    place->count = n[0];
    place->time = n[1];
    place->session = (mqtt_session_t)n[2];
    place->reliable = n[3] == 1;
    mqtt_place_forget(place);
    for (size_t i = 0; i < given.size; i += GIVEN_BYTES) {
        uint16_t id;
        uint32_t print;
        memcpy(&id, given.data + i, sizeof id);
        memcpy(&print, given.data + i + sizeof id, sizeof print);
        mqtt_place_add(place, (mqtt_given_t){be16toh(id), be32toh(print)});
    }
    place->last = (uint16_t)n[4];
    place->run = (uint16_t)n[5];
    return true;
}
