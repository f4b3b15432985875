/* A signature string is `urn|` and the payload: bytes as hex, any other value as the hex of its canonical msgpack, so that the same source
 * described by clients in two languages is the same source. Labels, tags and order do not count. Where a pipeline comes from Beam, only the
 * finding of its sources is different. */
#include "signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../messages/fault.h"
#include "../messages/wire.h"
#include "beam/beam.h"

static void *zone_take(msgpack_zone *zone, size_t size) {
    void *memory = msgpack_zone_malloc(zone, size ? size : 1);
    must(memory);
    return memory;
}

/* A source with the place of its transform. */
typedef struct place {
    const msg_source_t *source;
    size_t index;
} place_t;

/* By signature, and those of one signature by tag. */
static int compare_places(const void *a, const void *b) {
    const place_t *x = a, *y = b;
    int order = strcmp(x->source->signature, y->source->signature);
    if (order == 0) order = strcmp(x->source->tag, y->source->tag);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static int compare_tags(const void *a, const void *b) {
    const place_t *x = a, *y = b;
    int order = strcmp(x->source->tag, y->source->tag);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
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

/* What a definition lists: its own transforms, or the sources that were found in a pipeline of Beam. */
typedef struct listing {
    const msg_transform_t *items;
    size_t count;
    bool of_beam;
} listing_t;

static int list(const msg_pipeline_t *pipeline, const msg_options_t *options, msgpack_zone *zone, listing_t *ret, refusal_t *no) {
    if (pipeline->has_transforms && pipeline->has_beam)
        return refuse(no, ERROR_BAD_REQUEST, "pipeline.beam", "pipeline `%.80s` has `transforms` and `beam`; it may have one of them",
                      pipeline->name);
    if (!pipeline->has_transforms && !pipeline->has_beam)
        return refuse(no, ERROR_BAD_REQUEST, "pipeline.transforms", "pipeline `%.80s` has neither `transforms` nor `beam`", pipeline->name);
    beam_sources_t sources = {0};
    if (pipeline->has_beam && beam_sources(pipeline->beam, &options->recordable_sources, zone, &sources, no) < 0) return -1;
    size_t transforms = pipeline->has_beam ? sources.transforms : pipeline->transforms.count;
    if (transforms > (uint64_t)options->transforms_max)
        return refuse(no, ERROR_LIMIT, pipeline->has_beam ? "pipeline.beam" : "pipeline.transforms",
                      "pipeline `%.80s` has %zu transforms, and `transforms_max` is %lld", pipeline->name, transforms,
                      (long long)options->transforms_max);
    *ret = pipeline->has_beam ? (listing_t){sources.items, sources.count, true}
                              : (listing_t){pipeline->transforms.items, pipeline->transforms.count, false};
    return 0;
}

/* A tag that names two sources is refused; `places` is left sorted by tag. */
static int check_tags(const listing_t *listing, place_t *places, size_t count, refusal_t *no) {
    if (count > 0) qsort(places, count, sizeof *places, compare_tags);
    for (size_t i = 1; i < count; i++) {
        const msg_source_t *a = places[i - 1].source, *b = places[i].source;
        if (strcmp(a->tag, b->tag) != 0 || strcmp(a->signature, b->signature) == 0) continue;
        char field[96] = "pipeline.beam";
        if (!listing->of_beam) snprintf(field, sizeof field, "pipeline.transforms[%zu].tag", places[i].index);
        return refuse(no, ERROR_BAD_REQUEST, field, "tag `%.80s` names two different sources, `%.80s` and `%.80s`", a->tag, a->name,
                      b->name);
    }
    return 0;
}

/* One recordable for each distinct signature string, with every tag that names it. */
static void group(const listing_t *listing, place_t *places, size_t count, msgpack_zone *zone, msg_comparison_t *ret) {
    if (count > 0) qsort(places, count, sizeof *places, compare_places);
    ret->recordables.items = zone_take(zone, count * sizeof *ret->recordables.items);
    ret->recordables.count = 0;
    ret->signature = (names_t){0, zone_take(zone, count * sizeof(char *))};
    const char **tags = zone_take(zone, count * sizeof *tags);
    msg_recordable_t *last = NULL;
    for (size_t i = 0; i < count; i++) {
        const msg_source_t *source = places[i].source;
        const msg_transform_t *transform = &listing->items[places[i].index];
        if (!last || strcmp(last->signature, source->signature) != 0) {
            last = &ret->recordables.items[ret->recordables.count++];
            *last = (msg_recordable_t){.signature = source->signature,
                                       .urn = source->urn,
                                       .has_payload = transform->has_payload,
                                       .payload = transform->payload,
                                       .tags = {0, tags + i}};
            ret->signature.items[ret->signature.count++] = source->signature;
        }
        if (last->tags.count == 0 || strcmp(last->tags.items[last->tags.count - 1], source->tag) != 0)
            last->tags.items[last->tags.count++] = source->tag;
    }
}

int signature_extract(const msg_pipeline_t *pipeline, const msg_options_t *options, msgpack_zone *zone, msg_comparison_t *ret,
                      refusal_t *no) {
    size_t count = 0, size = 0;
    listing_t listing = {0};
    if (list(pipeline, options, zone, &listing, no) < 0) return -1;
    place_t *places = zone_take(zone, listing.count * sizeof *places);
    ret->sources.items = zone_take(zone, listing.count * sizeof *ret->sources.items);
    for (size_t i = 0; i < listing.count; i++) {
        const msg_transform_t *transform = &listing.items[i];
        if (!is_recordable(transform, &options->recordable_sources)) continue;
        char field[96] = "pipeline.beam";
        if (!listing.of_beam) snprintf(field, sizeof field, "pipeline.transforms[%zu].payload", i);
        const char *signature = string_of(transform, field, zone, no);
        if (!signature) return -1;
        size += strlen(signature);
        if (size > SIGNATURES_SIZE_MAX)
            return refuse(no, ERROR_TOO_LARGE, field,
                          "with the payload of `%.80s`, the signatures of the sources have more than %d bytes together: two for each byte "
                          "of a payload",
                          transform->name, SIGNATURES_SIZE_MAX);
        ret->sources.items[count] = (msg_source_t){.name = transform->name,
                                                   .urn = transform->urn,
                                                   .signature = signature,
                                                   .tag = transform->has_tag ? transform->tag : transform->name};
        places[count] = (place_t){&ret->sources.items[count], i};
        count++;
    }
    ret->sources.count = count;
    if (check_tags(&listing, places, count, no) < 0) return -1;
    group(&listing, places, count, zone, ret);
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
