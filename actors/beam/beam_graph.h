/* A pipeline of Beam as the walk in beam.c leaves it: which transforms are sources, and by what way each was first come by. For beam.c and
 * what it is taken further by. */
#ifndef REPRISE_BEAM_GRAPH_H
#define REPRISE_BEAM_GRAPH_H

#include <beam/pipeline.pb-c.h>

#include "beam.h"

#define FIELD_BEAM "pipeline.beam"

typedef Org__Apache__Beam__Model__Pipeline__V1__Pipeline pipeline_proto_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__PTransform transform_proto_t;
typedef Org__Apache__Beam__Model__Pipeline__V1__PCollection pcollection_proto_t;

/* An entry of one of the maps. */
typedef struct entry {
    const char *key;
    const void *value; /* NULL: one with nothing in it */
    size_t index;      /* on the wire, where the last of those with one key counts */
    enum { STATE_NEW, STATE_OPEN, STATE_DONE } state;
    const struct entry *parent; /* of a transform: where it was first found; NULL: it is a root, or was not found */
    const char *output;         /* the PCollection that is recorded; NULL: it is no recordable source */
} entry_t;

typedef struct map {
    entry_t *items; /* sorted by key, each key once */
    size_t count;
} map_t;

/* A transform on the way down, and which of its subtransforms is next. */
typedef struct frame {
    entry_t *entry;
    size_t next;
} frame_t;

typedef struct graph {
    pipeline_proto_t *pipeline;
    map_t transforms, pcollections;
    frame_t *stack; /* room for each transform once */
    size_t depth;
    const names_t *patterns;
    entry_t **sources; /* in the order in which the roots lead to them */
    size_t sources_count;
    refusal_t *no;
} graph_t;

/* Checks and walks the whole; what it refuses is what beam_sources refuses. graph_close, whatever the outcome. */
int graph_open(graph_t *g, bytes_t pipeline, const names_t *patterns, refusal_t *no);
void graph_close(graph_t *g);

/* NULL where there is none of that key. */
entry_t *map_find(const map_t *map, const char *key);

/* Of an entry that has nothing in it, one that is empty. */
const transform_proto_t *transform_of(const entry_t *entry);
const pcollection_proto_t *pcollection_of(const entry_t *entry);

#endif
