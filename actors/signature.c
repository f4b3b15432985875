/* A signature string is `urn|` and the payload: bytes as hex, any other value as the hex of its canonical msgpack, so that the same source
 * described by clients in two languages is the same source. Labels, tags and order do not count. */
#include "signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/fault.h"
#include "../messages/wire.h"

static void *zone_take(msgpack_zone *zone, size_t size) {
    void *memory = msgpack_zone_malloc(zone, size ? size : 1);
    must(memory);
    return memory;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_recordables(const void *a, const void *b) {
    return strcmp(((const msg_recordable_t *)a)->signature, ((const msg_recordable_t *)b)->signature);
}

/* The bytes of a msgpack bin; false for anything else. */
static bool bin_bytes(bytes_t value, bytes_t *ret_bytes) {
    size_t head = value.data[0] == 0xc4 ? 2 : value.data[0] == 0xc5 ? 3 : value.data[0] == 0xc6 ? 5 : 0;
    if (!head) return false;
    *ret_bytes = (bytes_t){value.data + head, value.size - head};
    return true;
}

static const char *string_of(const msg_transform_t *transform, const char *field, msgpack_zone *zone, refusal_t *no) {
    static const char digits[] = "0123456789abcdef";
    msgpack_sbuffer canonical;
    msgpack_sbuffer_init(&canonical);
    bytes_t payload = {0};
    const char *prefix = "";
    if (transform->has_payload && !bin_bytes(transform->payload, &payload)) {
        if (wire_canonical(transform->payload, field, &canonical, no) < 0) {
            msgpack_sbuffer_destroy(&canonical);
            return NULL;
        }
        payload = (bytes_t){(const uint8_t *)canonical.data, canonical.size};
        prefix = "msgpack:";
    }
    char *text = zone_take(zone, strlen(transform->urn) + 1 + strlen(prefix) + 2 * payload.size + 1);
    char *at = text + sprintf(text, "%s|%s", transform->urn, prefix);
    for (size_t i = 0; i < payload.size; i++) {
        *at++ = digits[payload.data[i] >> 4];
        *at++ = digits[payload.data[i] & 15];
    }
    *at = '\0';
    msgpack_sbuffer_destroy(&canonical);
    return text;
}

static bool is_recordable(const msg_transform_t *transform, const names_t *patterns) {
    if (transform->bounded) return false;
    for (size_t i = 0; i < patterns->count; i++)
        if (wire_matches(patterns->items[i], transform->urn)) return true;
    return false;
}

static int check_tags(const msg_comparison_t *c, size_t last, const char *field, refusal_t *no) {
    const msg_source_t *source = &c->sources.items[last];
    for (size_t i = 0; i < last; i++) {
        const msg_source_t *other = &c->sources.items[i];
        if (strcmp(other->tag, source->tag) == 0 && strcmp(other->signature, source->signature) != 0)
            return refuse(no, ERROR_BAD_REQUEST, field, "tag `%s` names two different sources, `%s` and `%s`", source->tag, other->name,
                          source->name);
    }
    return 0;
}

static void add_tag(msg_recordable_t *recordable, const char *tag, size_t tags_max, msgpack_zone *zone) {
    if (!recordable->tags.items) recordable->tags.items = zone_take(zone, tags_max * sizeof(char *));
    for (size_t i = 0; i < recordable->tags.count; i++)
        if (strcmp(recordable->tags.items[i], tag) == 0) return;
    recordable->tags.items[recordable->tags.count++] = tag;
}

/* One recordable for each distinct signature string, with every tag that names it. */
static void group(const msg_pipeline_t *pipeline, const size_t *indexes, msgpack_zone *zone, msg_comparison_t *ret) {
    size_t count = ret->sources.count;
    ret->recordables.items = zone_take(zone, count * sizeof *ret->recordables.items);
    ret->recordables.count = 0;
    for (size_t i = 0; i < count; i++) {
        const msg_source_t *source = &ret->sources.items[i];
        const msg_transform_t *transform = &pipeline->transforms.items[indexes[i]];
        size_t r = 0;
        while (r < ret->recordables.count && strcmp(ret->recordables.items[r].signature, source->signature) != 0) r++;
        if (r == ret->recordables.count)
            ret->recordables.items[ret->recordables.count++] = (msg_recordable_t){.signature = source->signature, .urn = source->urn,
                                                                                  .has_payload = transform->has_payload,
                                                                                  .payload = transform->payload};
        add_tag(&ret->recordables.items[r], source->tag, count - i + ret->recordables.items[r].tags.count, zone);
    }
    qsort(ret->recordables.items, ret->recordables.count, sizeof *ret->recordables.items, compare_recordables);
    ret->signature = (names_t){ret->recordables.count, zone_take(zone, ret->recordables.count * sizeof(char *))};
    for (size_t i = 0; i < ret->recordables.count; i++) {
        names_t *tags = &ret->recordables.items[i].tags;
        qsort(tags->items, tags->count, sizeof(char *), compare_names);
        ret->signature.items[i] = ret->recordables.items[i].signature;
    }
}

int signature_extract(const msg_pipeline_t *pipeline, const names_t *patterns, msgpack_zone *zone, msg_comparison_t *ret, refusal_t *no) {
    size_t count = pipeline->transforms.count;
    size_t *indexes = zone_take(zone, count * sizeof *indexes);
    ret->sources.items = zone_take(zone, count * sizeof *ret->sources.items);
    ret->sources.count = 0;
    for (size_t i = 0; i < count; i++) {
        const msg_transform_t *transform = &pipeline->transforms.items[i];
        if (!is_recordable(transform, patterns)) continue;
        char field[96];
        snprintf(field, sizeof field, "pipeline.transforms[%zu].payload", i);
        const char *signature = string_of(transform, field, zone, no);
        if (!signature) return -1;
        indexes[ret->sources.count] = i;
        ret->sources.items[ret->sources.count] = (msg_source_t){.name = transform->name, .urn = transform->urn, .signature = signature,
                                                                .tag = transform->has_tag ? transform->tag : transform->name};
        snprintf(field, sizeof field, "pipeline.transforms[%zu].tag", i);
        if (check_tags(ret, ret->sources.count++, field, no) < 0) return -1;
    }
    group(pipeline, indexes, zone, ret);
    return 0;
}

names_t signature_minus(const names_t *a, const names_t *b, msgpack_zone *zone) {
    names_t left = {0, zone_take(zone, a->count * sizeof(char *))};
    size_t j = 0;
    for (size_t i = 0; i < a->count; i++) {
        while (j < b->count && strcmp(b->items[j], a->items[i]) < 0) j++;
        if (j == b->count || strcmp(b->items[j], a->items[i]) != 0) left.items[left.count++] = a->items[i];
    }
    return left;
}
