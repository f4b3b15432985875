/* A pipeline is rewritten on the wire: what stays is copied as it came, so that what the engine does not know of a pipeline, and there is
 * much, is neither lost nor put in another order. First it is settled what becomes of each transform and PCollection; what then is written
 * refers to nothing that is not there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"
#include "beam_graph.h"
#include "proto.h"

#define FIELD_REWRITE "rewrite"
#define URN_TEST_STREAM "beam:transform:teststream:v1"
#define TEST_STREAM_ID "reprise_test_stream"

enum { JOINS_MAX = 100000 };
enum { PIPELINE_COMPONENTS = 1, PIPELINE_ROOTS = 2 };
enum { COMPONENTS_TRANSFORMS = 1, COMPONENTS_PCOLLECTIONS = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { TRANSFORM_SPEC = 1, TRANSFORM_SUBTRANSFORMS = 2, TRANSFORM_INPUTS = 3, TRANSFORM_OUTPUTS = 4, TRANSFORM_NAME = 5 };
enum { SPEC_URN = 1, SPEC_PAYLOAD = 3, PAYLOAD_CODER = 1, PAYLOAD_ENDPOINT = 3, ENDPOINT_URL = 1 };

typedef enum fate { FATE_UNSEEN, FATE_STAYS, FATE_GOES } fate_t; /* what no root leads to stays unseen, and as it is */

/* A composite that stays, and reads from the TestStream what a source in it put out. */
typedef struct join {
    const entry_t *composite, *source;
} join_t;

typedef struct rewrite {
    graph_t graph;
    const beam_stream_t *stream;
    fate_t *fates;           /* of each transform */
    bool *doomed;            /* of each PCollection: nobody makes it any more */
    const entry_t *replaced; /* the one source, in whose place the TestStream stands; NULL: it has a place of its own: */
    const entry_t *place;    /* the composite; NULL: beside the roots */
    const entry_t *branch;   /* what it stands before, there */
    char id[64];             /* and its id and name */
    join_t *joins;           /* sorted */
    size_t joins_count;
    refusal_t *no;
} rewrite_t;

static size_t transform_index(const rewrite_t *r, const entry_t *entry) {
    return (size_t)(entry - r->graph.transforms.items);
}

static fate_t fate_of(const rewrite_t *r, const entry_t *entry) {
    return r->fates[transform_index(r, entry)];
}

static void fate_set(rewrite_t *r, const entry_t *entry, fate_t fate) {
    r->fates[transform_index(r, entry)] = fate;
}

/* ---- the coder ---- */

static const char *coder_of(const rewrite_t *r, const entry_t *source) {
    return pcollection_of(map_find(&r->graph.pcollections, source->output))->coder_id;
}

static bool coder_known(const rewrite_t *r, const char *id) {
    const Org__Apache__Beam__Model__Pipeline__V1__Components *parts = r->graph.pipeline->components;
    for (size_t i = 0; i < parts->n_coders; i++)
        if (strcmp(parts->coders[i]->key, id) == 0) return true;
    return false;
}

static int check_coders(const rewrite_t *r) {
    const entry_t *first = r->graph.sources[0];
    for (size_t i = 0; i < r->graph.sources_count; i++) {
        const entry_t *source = r->graph.sources[i];
        const char *coder = coder_of(r, source);
        if (!coder[0]) return refuse(r->no, ERROR_BAD_REQUEST, FIELD_REWRITE, "PCollection `%.80s` has no coder", source->output);
        if (strcmp(coder, coder_of(r, first)) != 0)
            return refuse(
                r->no, ERROR_BAD_REQUEST, FIELD_REWRITE,
                "PCollection `%.60s` has the coder `%.60s`, and `%.60s` has `%.60s`: one TestStream replays them, and has one coder",
                first->output, coder_of(r, first), source->output, coder);
    }
    if (!coder_known(r, coder_of(r, first)))
        return refuse(r->no, ERROR_BAD_REQUEST, FIELD_REWRITE, "PCollection `%.80s` has the coder `%.80s`, which is not among the coders",
                      first->output, coder_of(r, first));
    return 0;
}

/* ---- its place ---- */

/* The way up from the first source meets those from all the others at the topmost place where two ways meet. */
static void find_place(rewrite_t *r) {
    const graph_t *g = &r->graph;
    uint32_t *ways = calloc(g->transforms.count + 1, sizeof *ways), *root_ways = &ways[g->transforms.count];
    must(ways);
    for (size_t i = 0; i < g->sources_count; i++) {
        const entry_t *at = g->sources[i]->parent;
        while (at && ways[transform_index(r, at)]++ == 0) at = at->parent;
        if (!at) ++*root_ways;
    }
    r->branch = g->sources[0];
    for (const entry_t *at = r->branch; at && *root_ways == 1; at = at->parent)
        if (at->parent && ways[transform_index(r, at->parent)] > 1) {
            r->branch = at;
            r->place = at->parent;
        }
    if (!r->place)
        while (r->branch->parent) r->branch = r->branch->parent;
    free(ways);
}

/* One more than the highest number that is taken. */
static void find_id(rewrite_t *r) {
    unsigned long long number = 0;
    for (size_t i = 0; i < r->graph.transforms.count; i++) {
        const entry_t *entry = &r->graph.transforms.items[i];
        const char *taken[] = {entry->key, transform_of(entry)->unique_name};
        for (size_t k = 0; k < 2; k++) {
            if (strncmp(taken[k], TEST_STREAM_ID, strlen(TEST_STREAM_ID)) != 0) continue;
            const char *rest = taken[k] + strlen(TEST_STREAM_ID);
            unsigned long long found = rest[0] == '_' ? strtoull(rest + 1, NULL, 10) : 1;
            if (found >= number && found < UINT32_MAX) number = found;
        }
    }
    snprintf(r->id, sizeof r->id, number ? TEST_STREAM_ID "_%llu" : TEST_STREAM_ID, number + 1);
}

/* ---- what becomes of the transforms ---- */

/* A composite of which nothing is left goes too. */
static void leave(rewrite_t *r, const entry_t *entry) {
    const transform_proto_t *transform = transform_of(entry);
    if (transform->n_subtransforms == 0 || entry == r->place) return;
    for (size_t i = 0; i < transform->n_subtransforms; i++)
        if (fate_of(r, map_find(&r->graph.transforms, transform->subtransforms[i])) == FATE_STAYS) return;
    fate_set(r, entry, FATE_GOES);
}

static void push(rewrite_t *r, const char *id, fate_t fate) {
    graph_t *g = &r->graph;
    entry_t *entry = map_find(&g->transforms, id);
    if (!entry || fate_of(r, entry) != FATE_UNSEEN) return;
    bool cut = entry->output && fate == FATE_STAYS;
    fate_set(r, entry, cut && entry != r->replaced ? FATE_GOES : fate);
    if (!cut) g->stack[g->depth++] = (frame_t){entry, 0};
}

/* All that `id` leads to, but for the sources and what is below them. */
static void sweep(rewrite_t *r, const char *id, fate_t fate) {
    graph_t *g = &r->graph;
    push(r, id, fate);
    while (g->depth > 0) {
        frame_t *top = &g->stack[g->depth - 1];
        const transform_proto_t *transform = transform_of(top->entry);
        if (top->next < transform->n_subtransforms) {
            push(r, transform->subtransforms[top->next++], fate);
            continue;
        }
        g->depth--;
        if (fate == FATE_STAYS) leave(r, top->entry);
    }
}

static void settle_transforms(rewrite_t *r) {
    const graph_t *g = &r->graph;
    for (size_t i = 0; i < g->pipeline->n_root_transform_ids; i++) sweep(r, g->pipeline->root_transform_ids[i], FATE_STAYS);
    for (size_t i = 0; i < g->sources_count; i++) {
        const transform_proto_t *source = transform_of(g->sources[i]);
        for (size_t k = 0; k < source->n_subtransforms; k++) sweep(r, source->subtransforms[k], FATE_GOES);
    }
}

/* ---- what becomes of the PCollections ---- */

static void doom(rewrite_t *r, const char *id, bool doomed) {
    const entry_t *found = map_find(&r->graph.pcollections, id);
    if (found) r->doomed[found - r->graph.pcollections.items] = doomed;
}

/* Does it make its outputs itself? */
static bool makes(const rewrite_t *r, const entry_t *entry) {
    return entry != r->replaced && fate_of(r, entry) != FATE_GOES && transform_of(entry)->n_subtransforms == 0;
}

static int check_needed(const rewrite_t *r, const entry_t *entry, const char *id) {
    const entry_t *found = map_find(&r->graph.pcollections, id);
    if (!found || !r->doomed[found - r->graph.pcollections.items]) return 0;
    return refuse(r->no, ERROR_BAD_REQUEST, FIELD_REWRITE,
                  "transform `%.80s` refers to PCollection `%.80s`, which only a recorded source, or what is below it, makes", entry->key,
                  id);
}

static int settle_pcollections(rewrite_t *r) {
    const graph_t *g = &r->graph;
    const entry_t *items = g->transforms.items;
    for (size_t i = 0; i < g->transforms.count; i++)
        for (size_t k = 0; k < transform_of(&items[i])->n_outputs; k++)
            if (fate_of(r, &items[i]) == FATE_GOES || &items[i] == r->replaced) doom(r, transform_of(&items[i])->outputs[k]->value, true);
    for (size_t i = 0; i < g->transforms.count; i++)
        for (size_t k = 0; k < transform_of(&items[i])->n_outputs && makes(r, &items[i]); k++)
            doom(r, transform_of(&items[i])->outputs[k]->value, false);
    for (size_t i = 0; i < g->sources_count; i++) doom(r, g->sources[i]->output, false);
    for (size_t i = 0; i < g->transforms.count; i++) {
        const transform_proto_t *transform = transform_of(&items[i]);
        if (fate_of(r, &items[i]) == FATE_GOES || &items[i] == r->replaced) continue;
        for (size_t k = 0; k < transform->n_inputs; k++)
            if (check_needed(r, &items[i], transform->inputs[k]->value) < 0) return -1;
        for (size_t k = 0; k < transform->n_outputs; k++)
            if (check_needed(r, &items[i], transform->outputs[k]->value) < 0) return -1;
    }
    return 0;
}

/* ---- which composites read from it ---- */

static int compare_joins(const void *a, const void *b) {
    const join_t *x = a, *y = b;
    if (x->composite != y->composite) return x->composite < y->composite ? -1 : 1;
    return strcmp(x->source->output, y->source->output);
}

static int settle_joins(rewrite_t *r) {
    size_t count = 0;
    for (size_t i = 0; i < r->graph.sources_count && !r->replaced; i++)
        for (const entry_t *at = r->graph.sources[i]->parent; at && at != r->place && count <= JOINS_MAX; at = at->parent) count++;
    if (count > JOINS_MAX)
        return refuse(r->no, ERROR_TOO_LARGE, FIELD_REWRITE, "the sources stand within more than %d composites, each counted for itself",
                      JOINS_MAX);
    r->joins = calloc(count + 1, sizeof *r->joins);
    must(r->joins);
    for (size_t i = 0; i < r->graph.sources_count && !r->replaced; i++)
        for (const entry_t *at = r->graph.sources[i]->parent; at && at != r->place; at = at->parent)
            if (fate_of(r, at) == FATE_STAYS) r->joins[r->joins_count++] = (join_t){at, r->graph.sources[i]};
    if (r->joins_count > 0) qsort(r->joins, r->joins_count, sizeof *r->joins, compare_joins);
    return 0;
}

/* The first of a composite; the end where it has none. */
static size_t find_joins(const rewrite_t *r, const entry_t *composite) {
    size_t low = 0, high = r->joins_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->joins[middle].composite < composite)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->joins_count && r->joins[low].composite == composite ? low : r->joins_count;
}

/* ---- writing ---- */

static void put_raw(msgpack_sbuffer *out, bytes_t bytes) {
    must(msgpack_sbuffer_write(out, (const char *)bytes.data, bytes.size) == 0);
}

static void put_nested(msgpack_sbuffer *out, uint32_t number, msgpack_sbuffer *inner) {
    proto_put(out, number, (bytes_t){(const uint8_t *)inner->data, inner->size});
    msgpack_sbuffer_destroy(inner);
}

static void put_pair(msgpack_sbuffer *out, uint32_t number, const char *key, const char *value) {
    msgpack_sbuffer pair;
    msgpack_sbuffer_init(&pair);
    proto_put_text(&pair, ENTRY_KEY, key);
    proto_put_text(&pair, ENTRY_VALUE, value);
    put_nested(out, number, &pair);
}

/* The tag by which `source` is asked for; the caller frees it. */
static char *tag_of(const rewrite_t *r, const entry_t *source) {
    msgpack_zone zone;
    must(msgpack_zone_init(&zone, 512));
    const char *tag = beam_name(source->output, &zone);
    size_t size = strlen(r->stream->prefix) + strlen(tag) + 1;
    char *made = malloc(size);
    must(made);
    snprintf(made, size, "%s%s", r->stream->prefix, tag);
    msgpack_zone_destroy(&zone);
    return made;
}

static void put_spec(const rewrite_t *r, msgpack_sbuffer *out) {
    msgpack_sbuffer endpoint, payload, spec;
    msgpack_sbuffer_init(&endpoint);
    msgpack_sbuffer_init(&payload);
    msgpack_sbuffer_init(&spec);
    proto_put_text(&payload, PAYLOAD_CODER, coder_of(r, r->graph.sources[0]));
    if (r->stream->url) {
        proto_put_text(&endpoint, ENDPOINT_URL, r->stream->url);
        put_nested(&payload, PAYLOAD_ENDPOINT, &endpoint);
    } else if (r->stream->events.size > 0) {
        put_raw(&payload, r->stream->events);
    }
    proto_put_text(&spec, SPEC_URN, URN_TEST_STREAM);
    put_nested(&spec, SPEC_PAYLOAD, &payload);
    put_nested(out, TRANSFORM_SPEC, &spec);
}

/* It runs in no environment: no SDK does it, but the runner itself. */
static void put_test_stream(const rewrite_t *r, msgpack_sbuffer *out) {
    msgpack_sbuffer transform, entry;
    msgpack_sbuffer_init(&transform);
    msgpack_sbuffer_init(&entry);
    put_spec(r, &transform);
    for (size_t i = 0; i < r->graph.sources_count; i++) {
        char *tag = tag_of(r, r->graph.sources[i]);
        put_pair(&transform, TRANSFORM_OUTPUTS, tag, r->graph.sources[i]->output);
        free(tag);
    }
    proto_put_text(&transform, TRANSFORM_NAME, r->replaced ? transform_of(r->replaced)->unique_name : r->id);
    proto_put_text(&entry, ENTRY_KEY, r->replaced ? r->replaced->key : r->id);
    put_nested(&entry, ENTRY_VALUE, &transform);
    put_nested(out, COMPONENTS_TRANSFORMS, &entry);
}

/* A list of transforms, without those that go; with the TestStream before the branch where this is its place. */
static void put_child(const rewrite_t *r, const proto_field_t *field, bool is_place, bool *placed, msgpack_sbuffer *out) {
    char *id = strndup((const char *)field->value.data, field->value.size);
    must(id);
    const entry_t *child = map_find(&r->graph.transforms, id);
    free(id);
    if (is_place && !*placed && child == r->branch) {
        proto_put_text(out, field->number, r->id);
        *placed = true;
    }
    if (!child || fate_of(r, child) != FATE_GOES) put_raw(out, field->whole);
}

static bool has_input(const transform_proto_t *transform, const char *key, const char *value) {
    for (size_t i = 0; i < transform->n_inputs; i++)
        if ((key && strcmp(transform->inputs[i]->key, key) == 0) || (value && strcmp(transform->inputs[i]->value, value) == 0)) return true;
    return false;
}

static void put_inputs(const rewrite_t *r, const entry_t *entry, msgpack_sbuffer *out) {
    const transform_proto_t *transform = transform_of(entry);
    const char *last = NULL;
    for (size_t i = find_joins(r, entry); i < r->joins_count && r->joins[i].composite == entry; i++) {
        const entry_t *source = r->joins[i].source;
        if (has_input(transform, NULL, source->output) || (last && strcmp(last, source->output) == 0)) continue;
        char *tag = tag_of(r, source);
        if (!has_input(transform, tag, NULL)) put_pair(out, TRANSFORM_INPUTS, tag, source->output);
        free(tag);
        last = source->output;
    }
}

static void put_value(const rewrite_t *r, const entry_t *entry, bytes_t value, msgpack_sbuffer *out) {
    proto_field_t field;
    bool placed = false;
    while (proto_next(&value, &field) == 1) {
        if (field.number == TRANSFORM_SUBTRANSFORMS)
            put_child(r, &field, !r->replaced && entry == r->place, &placed, out);
        else
            put_raw(out, field.whole);
    }
    put_inputs(r, entry, out);
}

static bool changes(const rewrite_t *r, const entry_t *entry) {
    const transform_proto_t *transform = transform_of(entry);
    if ((!r->replaced && entry == r->place) || find_joins(r, entry) < r->joins_count) return true;
    for (size_t i = 0; i < transform->n_subtransforms; i++) {
        const entry_t *child = map_find(&r->graph.transforms, transform->subtransforms[i]);
        if (child && fate_of(r, child) == FATE_GOES) return true;
    }
    return false;
}

/* The key of an entry of a map; the caller frees it. */
static char *key_of(bytes_t entry) {
    proto_field_t field;
    bytes_t key = {0};
    while (proto_next(&entry, &field) == 1)
        if (field.number == ENTRY_KEY) key = field.value;
    char *made = key.size > 0 ? strndup((const char *)key.data, key.size) : calloc(1, 1);
    must(made);
    return made;
}

static void put_transform(const rewrite_t *r, const proto_field_t *in, size_t index, msgpack_sbuffer *out) {
    char *key = key_of(in->value);
    const entry_t *entry = map_find(&r->graph.transforms, key);
    free(key);
    if (fate_of(r, entry) == FATE_GOES) return;
    if (entry == r->replaced) {
        if (index == entry->index) put_test_stream(r, out);
        return;
    }
    if (!changes(r, entry)) {
        put_raw(out, in->whole);
        return;
    }
    msgpack_sbuffer changed, value;
    msgpack_sbuffer_init(&changed);
    proto_field_t field;
    for (bytes_t rest = in->value; proto_next(&rest, &field) == 1;) {
        if (field.number != ENTRY_VALUE) {
            put_raw(&changed, field.whole);
            continue;
        }
        msgpack_sbuffer_init(&value);
        put_value(r, entry, field.value, &value);
        put_nested(&changed, ENTRY_VALUE, &value);
    }
    put_nested(out, COMPONENTS_TRANSFORMS, &changed);
}

static void put_components(const rewrite_t *r, bytes_t in, msgpack_sbuffer *out) {
    proto_field_t field;
    size_t index = 0;
    while (proto_next(&in, &field) == 1) {
        if (field.number == COMPONENTS_TRANSFORMS) {
            put_transform(r, &field, index++, out);
        } else if (field.number == COMPONENTS_PCOLLECTIONS) {
            char *key = key_of(field.value);
            if (!r->doomed[map_find(&r->graph.pcollections, key) - r->graph.pcollections.items]) put_raw(out, field.whole);
            free(key);
        } else {
            put_raw(out, field.whole);
        }
    }
    if (!r->replaced) put_test_stream(r, out);
}

static void put_pipeline(const rewrite_t *r, bytes_t in, msgpack_sbuffer *out) {
    proto_field_t field;
    bool placed = false;
    while (proto_next(&in, &field) == 1) {
        if (field.number == PIPELINE_COMPONENTS) {
            msgpack_sbuffer components;
            msgpack_sbuffer_init(&components);
            put_components(r, field.value, &components);
            put_nested(out, PIPELINE_COMPONENTS, &components);
        } else if (field.number == PIPELINE_ROOTS) {
            put_child(r, &field, !r->replaced && !r->place, &placed, out);
        } else {
            put_raw(out, field.whole);
        }
    }
}

/* ---- all of it ---- */

static int settle(rewrite_t *r) {
    if (check_coders(r) < 0) return -1;
    if (r->graph.sources_count == 1)
        r->replaced = r->graph.sources[0];
    else
        find_place(r);
    find_id(r);
    settle_transforms(r);
    if (settle_pcollections(r) < 0) return -1;
    return settle_joins(r);
}

int beam_rewrite(bytes_t pipeline, const names_t *patterns, const beam_stream_t *stream, msgpack_sbuffer *out, refusal_t *no) {
    rewrite_t rewrite = {.stream = stream, .no = no};
    int result = graph_open(&rewrite.graph, pipeline, patterns, no);
    if (result == 0 && rewrite.graph.sources_count == 0) {
        if (pipeline.size > 0) put_raw(out, pipeline);
    } else if (result == 0) {
        rewrite.fates = calloc(rewrite.graph.transforms.count + 1, sizeof *rewrite.fates);
        rewrite.doomed = calloc(rewrite.graph.pcollections.count + 1, sizeof *rewrite.doomed);
        must(rewrite.fates && rewrite.doomed);
        result = settle(&rewrite);
        if (result == 0) put_pipeline(&rewrite, pipeline, out);
    }
    free(rewrite.fates);
    free(rewrite.doomed);
    free(rewrite.joins);
    graph_close(&rewrite.graph);
    return result;
}
