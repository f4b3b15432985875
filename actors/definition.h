/* A pipeline's definition made of a recording, where nobody has given one: sources alone, those that the recording has. */
#ifndef REPRISE_DEFINITION_H
#define REPRISE_DEFINITION_H

#include "../messages/codec.h"

/* What it makes lives in `zone` and borrows from `recording`. False: a signature does not say what its source is. */
bool definition_make(const msg_recording_job_t *recording, msgpack_zone *zone, msg_pipeline_t *ret_definition);

#endif
