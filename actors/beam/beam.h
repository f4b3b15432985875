/* Pipelines of Apache Beam: which of their transforms are recordable sources, and how these are replaced by what was recorded. Pure
 * functions. */
#ifndef REPRISE_BEAM_H
#define REPRISE_BEAM_H

#include "../../messages/codec.h"

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

/* Where Beam finds a pipeline's test stream. */
typedef struct beam_stream {
    const char *url;    /* `host:port`, for TestStreamPayload.endpoint; NULL: there is none, and */
    bytes_t events;     /* the events stand in it: fields `events` of a TestStreamPayload */
    const char *prefix; /* of the tags by which a stream is asked for there: "", or `pipeline/` where the port serves several */
} beam_stream_t;

/* Appends to `out` the pipeline with its recordable sources, as beam_sources finds them, replaced by one TestStream that reads
 * `stream`: one with an output for each, because what runs pipelines takes no more than one (Prism refuses two, Python's DirectRunner keeps
 * the events of one), and because processing time is one clock for all. It puts out the same PCollections, under `prefix` and their tags.
 *
 * One source is replaced where it stands, and keeps its id and name. Several give way to a new transform in the lowest composite that has
 * all of them, or beside the roots; a composite that is left with nothing goes too, and one that is left has what it reads from the
 * TestStream among its inputs. What stood below a source goes with it, and the PCollections that nobody makes any more. All else is the same
 * byte for byte; without a source, everything is.
 *
 * Refuses what beam_sources refuses, and BAD_REQUEST with the field `rewrite`: sources whose PCollections have no coder, or not the same one,
 * as a TestStream has one; a PCollection that is needed and that only a source, or what is below it, makes. */
int beam_rewrite(bytes_t pipeline, const names_t *patterns, const beam_stream_t *stream, msgpack_sbuffer *out, refusal_t *no);

/* A name or id of Beam as a NAME of ours: itself where it is one. One that is too long, or has control characters in it, is cut to fit,
 * with `?` for these, and ends in `~` and the XXH3 (64 bits, hex) of the whole, so that two do not become one. Made in `zone`. */
const char *beam_name(const char *text, msgpack_zone *zone);

#endif
