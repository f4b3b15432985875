/* What a pipeline's sources are made of: its recordable sources, the string form of each, and what changed. Pure functions. */
#ifndef REPRISE_SIGNATURE_H
#define REPRISE_SIGNATURE_H

#include "../messages/codec.h"

/* Bytes of all signature strings of a pipeline: each step of a job passes them on. */
enum { SIGNATURES_SIZE_MAX = 8 * 1024 * 1024 };

/* Fills `ret` with the sources, the distinct recordables and the signature of a definition; the rest of it stays as it is. A transform is
 * recordable if it is not bounded and its URN matches one of `recordable_sources`; beam_sources says what it is in a pipeline of Beam. What
 * `ret` points to is made in `zone` or borrowed from `pipeline`. Refuses (BAD_REQUEST) a definition without `transforms` and `beam`, or with
 * both, a payload that has no canonical form, and a tag that names two sources; and what beam_sources refuses. LIMIT: it has more transforms
 * than `transforms_max`. TOO_LARGE: the payload with which the signature strings have more than SIGNATURES_SIZE_MAX bytes. */
int signature_extract(const msg_pipeline_t *pipeline, const msg_options_t *options, msgpack_zone *zone, msg_comparison_t *ret,
                      refusal_t *no);

/* Those of `a` that are not in `b`; both sorted. Made in `zone`. */
names_t signature_minus(const names_t *a, const names_t *b, msgpack_zone *zone);

#endif
