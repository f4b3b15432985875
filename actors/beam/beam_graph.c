/* A pipeline of Beam is a graph by reference: transforms and PCollections stand in two maps, and name each other by their keys. It comes
 * from anybody, so nothing of it is believed: references are looked up, the way down from the roots is kept on a stack of our own, and a
 * transform that leads back to itself is refused rather than followed. */
#include "beam_graph.h"

#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"
#include "../../messages/text.h"
#include "../../messages/wire.h"
#include "proto.h"

#define URN_READ "beam:transform:read:v1"

typedef Org__Apache__Beam__Model__Pipeline__V1__FunctionSpec spec_proto_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__ReadPayload read_proto_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__IsBounded__Enum bounded_t;
#define BOUNDED ORG__APACHE__BEAM__MODEL__PIPELINE__V1__IS_BOUNDED__ENUM__BOUNDED
#define UNBOUNDED ORG__APACHE__BEAM__MODEL__PIPELINE__V1__IS_BOUNDED__ENUM__UNBOUNDED
#define UNSPECIFIED ORG__APACHE__BEAM__MODEL__PIPELINE__V1__IS_BOUNDED__ENUM__UNSPECIFIED

static const proto_bound_t bounds[] = {
    {&org__apache__beam__model__pipeline__v1__components__transforms_entry__descriptor, BEAM_TRANSFORMS_MAX, "transforms"},
    {&org__apache__beam__model__pipeline__v1__components__pcollections_entry__descriptor, BEAM_PCOLLECTIONS_MAX, "PCollections"},
    {0},
};

static const transform_proto_t no_transform = ORG__APACHE__BEAM__MODEL__PIPELINE__V1__PTRANSFORM__INIT;
static const pcollection_proto_t no_pcollection = ORG__APACHE__BEAM__MODEL__PIPELINE__V1__PCOLLECTION__INIT;

/* ---- the maps ---- */

static int compare_entries(const void *a, const void *b) {
    const entry_t *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static int compare_key(const void *key, const void *entry) {
    return strcmp(key, ((const entry_t *)entry)->key);
}

static void map_sort(map_t *map) {
    if (map->count > 0) qsort(map->items, map->count, sizeof *map->items, compare_entries);
    size_t kept = 0;
    for (size_t i = 0; i < map->count; i++)
        if (i + 1 == map->count || strcmp(map->items[i].key, map->items[i + 1].key) != 0) map->items[kept++] = map->items[i];
    map->count = kept;
}

entry_t *map_find(const map_t *map, const char *key) {
    return map->count ? bsearch(key, map->items, map->count, sizeof *map->items, compare_key) : NULL;
}

const transform_proto_t *transform_of(const entry_t *entry) {
    return entry->value ? entry->value : &no_transform;
}

const pcollection_proto_t *pcollection_of(const entry_t *entry) {
    return entry->value ? entry->value : &no_pcollection;
}

static void graph_init(graph_t *g) {
    Org__Apache__Beam__Model__Pipeline__V1__Components none = ORG__APACHE__BEAM__MODEL__PIPELINE__V1__COMPONENTS__INIT, *parts = &none;
    if (g->pipeline->components) parts = g->pipeline->components;
    g->transforms = (map_t){calloc(parts->n_transforms + 1, sizeof(entry_t)), parts->n_transforms};
    g->pcollections = (map_t){calloc(parts->n_pcollections + 1, sizeof(entry_t)), parts->n_pcollections};
    g->stack = calloc(parts->n_transforms + 1, sizeof *g->stack);
    must(g->transforms.items && g->pcollections.items && g->stack);
    for (size_t i = 0; i < parts->n_transforms; i++)
        g->transforms.items[i] = (entry_t){.key = parts->transforms[i]->key, .value = parts->transforms[i]->value, .index = i};
    for (size_t i = 0; i < parts->n_pcollections; i++)
        g->pcollections.items[i] = (entry_t){.key = parts->pcollections[i]->key, .value = parts->pcollections[i]->value, .index = i};
    map_sort(&g->transforms);
    map_sort(&g->pcollections);
    g->sources = calloc(g->transforms.count + 1, sizeof(entry_t *));
    must(g->sources);
}

/* ---- is it a source? ---- */

static bool matches(const graph_t *g, const spec_proto_t *spec) {
    if (!spec || !name_valid(spec->urn, strlen(spec->urn))) return false;
    for (size_t i = 0; i < g->patterns->count; i++)
        if (wire_matches(g->patterns->items[i], spec->urn)) return true;
    return false;
}

static int find_bounded(const graph_t *g, const entry_t *entry, const char *side, const char *id, bounded_t *ret_bounded) {
    const entry_t *found = map_find(&g->pcollections, id);
    if (!found)
        return refuse(g->no, ERROR_BAD_REQUEST, FIELD_BEAM, "transform `%.80s` has the %s `%.80s`, which is not among the PCollections",
                      entry->key, side, id);
    *ret_bounded = pcollection_of(found)->is_bounded;
    return 0;
}

/* What a read says of itself; UNSPECIFIED for any other transform. */
static int read_says(const graph_t *g, const entry_t *entry, bounded_t *ret_bounded) {
    const spec_proto_t *spec = transform_of(entry)->spec;
    *ret_bounded = UNSPECIFIED;
    if (strcmp(spec->urn, URN_READ) != 0) return 0;
    bytes_t payload = {spec->payload.data, spec->payload.len};
    refusal_t damage;
    if (proto_walk(&org__apache__beam__model__pipeline__v1__read_payload__descriptor, payload, NULL, FIELD_BEAM, &damage) < 0)
        return refuse(g->no, damage.code, FIELD_BEAM, "transform `%.80s` has a payload that is no ReadPayload: %.160s", entry->key,
                      damage.message);
    read_proto_t *read = org__apache__beam__model__pipeline__v1__read_payload__unpack(NULL, payload.size, payload.data);
    must(read);
    *ret_bounded = read->is_bounded;
    org__apache__beam__model__pipeline__v1__read_payload__free_unpacked(read, NULL);
    return 0;
}

/* The output that is recorded; NULL where it is no recordable source. */
static int find_output(const graph_t *g, const entry_t *entry, const char **ret_output) {
    const transform_proto_t *transform = transform_of(entry);
    bounded_t said = UNSPECIFIED, bounded = UNSPECIFIED;
    *ret_output = NULL;
    if (!matches(g, transform->spec)) return 0;
    if (read_says(g, entry, &said) < 0) return -1;
    for (size_t i = 0; i < transform->n_inputs; i++) {
        if (find_bounded(g, entry, "input", transform->inputs[i]->value, &bounded) < 0) return -1;
        if (bounded != BOUNDED) return 0;
    }
    for (size_t i = 0; i < transform->n_outputs && said != BOUNDED; i++) {
        const char *id = transform->outputs[i]->value;
        if (find_bounded(g, entry, "output", id, &bounded) < 0) return -1;
        if (said != UNBOUNDED && bounded == BOUNDED) continue;
        if (*ret_output && strcmp(*ret_output, id) != 0)
            return refuse(g->no, ERROR_BAD_REQUEST, FIELD_BEAM,
                          "transform `%.80s` has two unbounded outputs, `%.60s` and `%.60s`: a recordable source has one", entry->key,
                          *ret_output, id);
        *ret_output = id;
    }
    return 0;
}

/* ---- the way down ---- */

/* Takes the transform if it is a source, and puts it on the stack if it is not. One that was come by before is not taken again. */
static int enter(graph_t *g, entry_t *entry, const entry_t *parent) {
    if (entry->state == STATE_OPEN) return refuse(g->no, ERROR_BAD_REQUEST, FIELD_BEAM, "transform `%.200s` contains itself", entry->key);
    if (entry->state == STATE_DONE) return 0;
    if (find_output(g, entry, &entry->output) < 0) return -1;
    entry->state = entry->output ? STATE_DONE : STATE_OPEN;
    entry->parent = parent;
    if (entry->output)
        g->sources[g->sources_count++] = entry;
    else
        g->stack[g->depth++] = (frame_t){entry, 0};
    return 0;
}

static int descend(graph_t *g) {
    while (g->depth > 0) {
        frame_t *top = &g->stack[g->depth - 1];
        const transform_proto_t *transform = transform_of(top->entry);
        if (top->next == transform->n_subtransforms) {
            top->entry->state = STATE_DONE;
            g->depth--;
            continue;
        }
        const char *id = transform->subtransforms[top->next++];
        entry_t *entry = map_find(&g->transforms, id);
        if (!entry)
            return refuse(g->no, ERROR_BAD_REQUEST, FIELD_BEAM, "transform `%.80s` has the subtransform `%.80s`, which is not there",
                          top->entry->key, id);
        if (enter(g, entry, top->entry) < 0) return -1;
    }
    return 0;
}

static int walk_roots(graph_t *g) {
    for (size_t i = 0; i < g->pipeline->n_root_transform_ids; i++) {
        const char *id = g->pipeline->root_transform_ids[i];
        entry_t *entry = map_find(&g->transforms, id);
        if (!entry)
            return refuse(g->no, ERROR_BAD_REQUEST, FIELD_BEAM, "root_transform_ids[%zu] is `%.200s`, and there is no such transform", i,
                          id);
        if (enter(g, entry, NULL) < 0 || descend(g) < 0) return -1;
    }
    return 0;
}

int graph_open(graph_t *g, bytes_t pipeline, const names_t *patterns, refusal_t *no) {
    refusal_t damage;
    *g = (graph_t){.patterns = patterns, .no = no};
    if (proto_walk(&org__apache__beam__model__pipeline__v1__pipeline__descriptor, pipeline, bounds, FIELD_BEAM, &damage) < 0)
        return refuse(no, damage.code, FIELD_BEAM, "`" FIELD_BEAM "`: %.400s", damage.message);
    g->pipeline = org__apache__beam__model__pipeline__v1__pipeline__unpack(NULL, pipeline.size, pipeline.data);
    must(g->pipeline);
    graph_init(g);
    return walk_roots(g);
}

void graph_close(graph_t *g) {
    free(g->transforms.items);
    free(g->pcollections.items);
    free(g->stack);
    free(g->sources);
    if (g->pipeline) org__apache__beam__model__pipeline__v1__pipeline__free_unpacked(g->pipeline, NULL);
}
