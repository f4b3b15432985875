/* What the engine sees of a pipeline of Beam: its sources, under names of our own. */
#include "beam.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "../../messages/fault.h"
#include "../../messages/text.h"
#include "beam_graph.h"

static void *zone_take(msgpack_zone *zone, size_t size) {
    void *memory = msgpack_zone_malloc(zone, size ? size : 1);
    must(memory);
    return memory;
}

static char *zone_text(msgpack_zone *zone, const char *text, size_t size) {
    char *copy = zone_take(zone, size + 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

const char *beam_name(const char *text, msgpack_zone *zone) {
    enum { MARK = 17, KEPT = NAME_SIZE_MAX - MARK };
    size_t size = strlen(text);
    if (name_valid(text, size)) return zone_text(zone, text, size);
    char name[NAME_SIZE_MAX + 1];
    snprintf(name, KEPT + 1, "%s", text);
    text_mend(name);
    for (char *at = name; *at; at++) {
        uint8_t byte = (uint8_t)at[0], next = (uint8_t)at[1];
        bool wide = byte == 0xc2 && next < 0xa0;
        if (byte < 0x20 || byte == 0x7f || wide) *at = '?';
        if (wide) *++at = '?';
    }
    size = strlen(name);
    snprintf(name + size, sizeof name - size, "~%016llx", (unsigned long long)XXH3_64bits(text, strlen(text)));
    must(name_valid(name, size + MARK));
    return zone_text(zone, name, size + MARK);
}

/* Its bytes as a msgpack value. */
static bytes_t bin_of(msgpack_zone *zone, const ProtobufCBinaryData *data) {
    msgpack_sbuffer head;
    msgpack_packer packer;
    msgpack_sbuffer_init(&head);
    msgpack_packer_init(&packer, &head, msgpack_sbuffer_write);
    msgpack_pack_bin(&packer, data->len);
    uint8_t *value = zone_take(zone, head.size + data->len);
    bytes_t bin = {value, head.size + data->len};
    memcpy(value, head.data, head.size);
    if (data->len > 0) memcpy(value + head.size, data->data, data->len);
    msgpack_sbuffer_destroy(&head);
    return bin;
}

static msg_transform_t source_make(const entry_t *entry, msgpack_zone *zone) {
    const transform_proto_t *transform = transform_of(entry);
    return (msg_transform_t){.has_name = true,
                             .name = beam_name(transform->unique_name[0] ? transform->unique_name : entry->key, zone),
                             .has_urn = true,
                             .urn = zone_text(zone, transform->spec->urn, strlen(transform->spec->urn)),
                             .has_payload = true,
                             .payload = bin_of(zone, &transform->spec->payload),
                             .has_tag = true,
                             .tag = beam_name(entry->output, zone)};
}

int beam_sources(bytes_t pipeline, const names_t *patterns, msgpack_zone *zone, beam_sources_t *ret, refusal_t *no) {
    graph_t graph;
    int result = graph_open(&graph, pipeline, patterns, no);
    if (result == 0) {
        beam_sources_t found = {.items = zone_take(zone, graph.sources_count * sizeof *found.items), .transforms = graph.transforms.count};
        for (size_t i = 0; i < graph.sources_count; i++) found.items[found.count++] = source_make(graph.sources[i], zone);
        *ret = found;
    }
    graph_close(&graph);
    return result;
}
