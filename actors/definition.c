/* A signature string states its source whole: `urn|`, and the payload in hex. So a definition that is made of one has that signature again, and
 * its pipeline can be run, replayed and forgotten by its name as any other. */
#include "definition.h"

#include <string.h>

#include "../messages/fault.h"
#include "../messages/wire.h"

#define VALUE "msgpack:"

static void *zone_take(msgpack_zone *zone, size_t size) {
    void *made = msgpack_zone_malloc(zone, size + 1);
    must(made);
    return memset(made, 0, size + 1);
}

static unsigned digit_of(char digit) {
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* -1: it is no hex. */
static int hex_read(const char *hex, msgpack_zone *zone, bytes_t *ret_bytes) {
    size_t size = strlen(hex);
    if (size % 2 != 0 || strspn(hex, "0123456789abcdef") != size) return -1;
    uint8_t *bytes = zone_take(zone, size / 2);
    for (size_t i = 0; i < size / 2; i++) bytes[i] = (uint8_t)(digit_of(hex[2 * i]) << 4 | digit_of(hex[2 * i + 1]));
    *ret_bytes = (bytes_t){bytes, size / 2};
    return 0;
}

/* The payload as a msgpack value; of size 0 where there is none. */
static int payload_read(const char *text, msgpack_zone *zone, bytes_t *ret_payload) {
    bool value = strncmp(text, VALUE, strlen(VALUE)) == 0;
    bytes_t bytes;
    refusal_t no;
    if (hex_read(value ? text + strlen(VALUE) : text, zone, &bytes) < 0) return -1;
    if (value && (wire_walk(bytes, &no) < 0 || wire_depth(bytes) > WIRE_VALUE_DEPTH_MAX)) return -1;
    *ret_payload = bytes;
    if (value || bytes.size == 0) return 0;
    msgpack_sbuffer packed;
    msgpack_packer packer;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
    msgpack_pack_bin_with_body(&packer, bytes.data, bytes.size);
    uint8_t *copy = zone_take(zone, packed.size);
    memcpy(copy, packed.data, packed.size);
    *ret_payload = (bytes_t){copy, packed.size};
    msgpack_sbuffer_destroy(&packed);
    return 0;
}

bool definition_make(const msg_recording_job_t *recording, msgpack_zone *zone, msg_pipeline_t *ret_definition) {
    size_t tags = 0;
    for (size_t i = 0; i < recording->streams.count; i++) tags += recording->streams.items[i].tags.count;
    msg_transform_t *transforms = zone_take(zone, tags * sizeof *transforms);
    *ret_definition = (msg_pipeline_t){.name = recording->pipeline, .has_transforms = true, .transforms = {0, transforms}};
    for (size_t i = 0; i < recording->streams.count; i++) {
        const msg_stream_t *stream = &recording->streams.items[i];
        size_t urn = strlen(stream->urn);
        bytes_t payload;
        if (strncmp(stream->signature, stream->urn, urn) != 0 || stream->signature[urn] != '|' ||
            payload_read(stream->signature + urn + 1, zone, &payload) < 0)
            return false;
        for (size_t t = 0; t < stream->tags.count; t++)
            transforms[ret_definition->transforms.count++] = (msg_transform_t){.name = stream->tags.items[t],
                                                                               .urn = stream->urn,
                                                                               .has_payload = payload.size > 0,
                                                                               .payload = payload,
                                                                               .has_tag = true,
                                                                               .tag = stream->tags.items[t]};
    }
    return true;
}
