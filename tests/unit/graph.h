/* A pipeline of Beam in a few lines, for the tests of what is found in it: lists of ids are one text, "a b". */
#ifndef REPRISE_TESTS_GRAPH_H
#define REPRISE_TESTS_GRAPH_H

#include "pack.h"

#include <beam/pipeline.pb-c.h>

enum { GRAPH_MAX = 64, GRAPH_SIZE_MAX = 16384 };
enum { UNSAID, UNBOUNDED, BOUNDED };

#define PUBSUB "beam:transform:pubsub_read:v1"
#define READ "beam:transform:read:v1"

typedef Org__Apache__Beam__Model__Pipeline__V1__Pipeline graph_pipeline_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__Components graph_components_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__Components__TransformsEntry graph_transform_entry_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__Components__PcollectionsEntry graph_pcollection_entry_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__Components__CodersEntry graph_coder_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__PTransform graph_transform_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__PTransform__InputsEntry graph_input_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__PTransform__OutputsEntry graph_output_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__PCollection graph_pcollection_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__FunctionSpec graph_spec_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__IsBounded__Enum graph_bounded_t;

static struct graph {
    char texts[GRAPH_SIZE_MAX];
    size_t used, inputs_count, outputs_count, roots_count;
    graph_pipeline_t pipeline;
    graph_components_t components;
    graph_transform_entry_t transform_entries[GRAPH_MAX], *transform_list[GRAPH_MAX];
    graph_pcollection_entry_t pcollection_entries[GRAPH_MAX], *pcollection_list[GRAPH_MAX];
    graph_transform_t transforms[GRAPH_MAX];
    graph_spec_t specs[GRAPH_MAX];
    graph_pcollection_t pcollections[GRAPH_MAX];
    graph_coder_t coders[GRAPH_MAX], *coder_list[GRAPH_MAX];
    graph_input_t inputs[GRAPH_MAX], *input_list[GRAPH_MAX];
    graph_output_t outputs[GRAPH_MAX], *output_list[GRAPH_MAX];
    char *roots[GRAPH_MAX], *subtransforms[GRAPH_MAX][GRAPH_MAX];
    uint8_t packed[GRAPH_SIZE_MAX];
} graph;

static inline void graph_begin(void) {
    memset(&graph, 0, sizeof graph);
    graph.pipeline = (graph_pipeline_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__PIPELINE__INIT;
    graph.components = (graph_components_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__COMPONENTS__INIT;
    graph.pipeline.components = &graph.components;
    graph.components.transforms = graph.transform_list;
    graph.components.pcollections = graph.pcollection_list;
    graph.components.coders = graph.coder_list;
}

static inline char *graph_text(const char *text, size_t size) {
    char *copy = graph.texts + graph.used;
    assert_true(graph.used + size < sizeof graph.texts);
    memcpy(copy, text, size);
    graph.used += size + 1;
    return copy;
}

/* The ids in a text, in turn; NULL after the last. */
static inline char *graph_next(const char **at) {
    *at += strspn(*at, " ");
    size_t size = strcspn(*at, " ");
    char *id = size ? graph_text(*at, size) : NULL;
    *at += size;
    return id;
}

static inline void graph_root(const char *ids) {
    for (char *id; (id = graph_next(&ids));) graph.roots[graph.roots_count++] = id;
    graph.pipeline.root_transform_ids = graph.roots;
    graph.pipeline.n_root_transform_ids = graph.roots_count;
}

static inline void graph_pcollection(const char *ids, int bounded) {
    for (char *id; (id = graph_next(&ids));) {
        size_t index = graph.components.n_pcollections++;
        graph.pcollections[index] = (graph_pcollection_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__PCOLLECTION__INIT;
        graph.pcollections[index].is_bounded = (graph_bounded_t)bounded;
        graph.pcollection_entries[index] =
            (graph_pcollection_entry_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__COMPONENTS__PCOLLECTIONS_ENTRY__INIT;
        graph.pcollection_entries[index].key = id;
        graph.pcollection_entries[index].value = &graph.pcollections[index];
        graph.pcollection_list[index] = &graph.pcollection_entries[index];
    }
}

static inline void graph_coder(const char *ids) {
    for (char *id; (id = graph_next(&ids));) {
        size_t index = graph.components.n_coders++;
        graph.coders[index] = (graph_coder_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__COMPONENTS__CODERS_ENTRY__INIT;
        graph.coders[index].key = id;
        graph.coder_list[index] = &graph.coders[index];
    }
}

/* Gives these PCollections a coder. */
static inline void graph_code(const char *ids, const char *coder) {
    for (char *id; (id = graph_next(&ids));)
        for (size_t i = 0; i < graph.components.n_pcollections; i++)
            if (strcmp(graph.pcollection_entries[i].key, id) == 0) graph.pcollections[i].coder_id = graph_text(coder, strlen(coder));
}

/* One that is left as it is made here is named by its id. `urn` NULL: it has no spec. */
static inline graph_transform_t *graph_transform(const char *id, const char *urn, bytes_t payload, const char *inputs, const char *outputs,
                                                 const char *subtransforms) {
    size_t index = graph.components.n_transforms++;
    graph_transform_t *made = &graph.transforms[index];
    *made = (graph_transform_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__PTRANSFORM__INIT;
    graph.transform_entries[index] = (graph_transform_entry_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__COMPONENTS__TRANSFORMS_ENTRY__INIT;
    graph.transform_entries[index].key = made->unique_name = graph_text(id, strlen(id));
    graph.transform_entries[index].value = made;
    graph.transform_list[index] = &graph.transform_entries[index];
    graph.specs[index] = (graph_spec_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__FUNCTION_SPEC__INIT;
    if (urn) {
        made->spec = &graph.specs[index];
        made->spec->urn = graph_text(urn, strlen(urn));
        made->spec->payload = (ProtobufCBinaryData){payload.size, (uint8_t *)(uintptr_t)payload.data};
    }
    made->inputs = &graph.input_list[graph.inputs_count];
    for (char *pcollection; (pcollection = graph_next(&inputs)); made->n_inputs++) {
        graph_input_t *input = &graph.inputs[graph.inputs_count];
        *input = (graph_input_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__PTRANSFORM__INPUTS_ENTRY__INIT;
        input->key = input->value = pcollection;
        graph.input_list[graph.inputs_count++] = input;
    }
    made->outputs = &graph.output_list[graph.outputs_count];
    for (char *pcollection; (pcollection = graph_next(&outputs)); made->n_outputs++) {
        graph_output_t *output = &graph.outputs[graph.outputs_count];
        *output = (graph_output_t)ORG__APACHE__BEAM__MODEL__PIPELINE__V1__PTRANSFORM__OUTPUTS_ENTRY__INIT;
        output->key = output->value = pcollection;
        graph.output_list[graph.outputs_count++] = output;
    }
    made->subtransforms = graph.subtransforms[index];
    for (char *sub; (sub = graph_next(&subtransforms));) graph.subtransforms[index][made->n_subtransforms++] = sub;
    return made;
}

/* A Pub/Sub read with a PCollection of its own, `id-out`. */
static inline void graph_read(const char *id, const char *topic) {
    char output[64];
    snprintf(output, sizeof output, "%s-out", id);
    graph_transform(id, PUBSUB, (bytes_t){(const uint8_t *)topic, strlen(topic)}, "", output, "");
    graph_pcollection(output, UNBOUNDED);
}

static inline bytes_t graph_pack(void) {
    assert_true(org__apache__beam__model__pipeline__v1__pipeline__get_packed_size(&graph.pipeline) <= sizeof graph.packed);
    return (bytes_t){graph.packed, org__apache__beam__model__pipeline__v1__pipeline__pack(&graph.pipeline, graph.packed)};
}

#endif
