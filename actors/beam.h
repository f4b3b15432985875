/* Pipelines of Apache Beam: which of their transforms are recordable sources. Pure functions. */
#ifndef REPRISE_BEAM_H
#define REPRISE_BEAM_H

#include "../messages/codec.h"

enum { BEAM_TRANSFORMS_MAX = 50000, BEAM_PCOLLECTIONS_MAX = 100000 };

/* The recordable sources in `pipeline`, a serialized org.apache.beam.model.pipeline.v1.Pipeline, in the order in which its roots lead to
 * them, as the transforms by which a definition of our own would list them: `name` is the unique name (the id where it is empty), `payload`
 * the FunctionSpec's as msgpack bytes, `tag` the id of the output PCollection; name and tag as beam_name has them.
 *
 * Recordable is a transform whose URN matches one of `patterns`, whose output is unbounded and whose inputs are all bounded; what is
 * within it is not looked at. A `beam:transform:read:v1` is bounded or not as its ReadPayload says, any other as its output says; what
 * says nothing is unbounded. A URN that is no NAME matches nothing.
 *
 * What `ret` points to is made in `zone`. Refuses, all with the field `pipeline.beam`: BAD_REQUEST a damaged one, saying where; a
 * transform or PCollection that is referred to and not there; a transform that contains itself; a recordable source with two unbounded
 * outputs. TOO_LARGE one with more transforms or PCollections than the bounds above. */
typedef struct beam_sources {
    size_t count;
    msg_transform_t *items;
    size_t transforms; /* that the pipeline has, of whatever kind */
} beam_sources_t;
int beam_sources(bytes_t pipeline, const names_t *patterns, msgpack_zone *zone, beam_sources_t *ret, refusal_t *no);

/* A name or id of Beam as a NAME of ours: itself where it is one. One that is too long, or has control characters in it, is cut to fit,
 * with `?` for these, and ends in `~` and the XXH3 (64 bits, hex) of the whole, so that two do not become one. Made in `zone`. */
const char *beam_name(const char *text, msgpack_zone *zone);

#endif
