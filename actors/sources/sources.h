/* The sources that the engine knows by their URNs. */
#ifndef REPRISE_SOURCES_H
#define REPRISE_SOURCES_H

#include "../runtime/actor.h"

typedef struct source_kind {
    const char *urn;
    const actor_class_t *class;    /* NULL: it comes from outside, through the ingest endpoint */
    const record_class_t *payload; /* what it takes; NULL: whatever it is told */
    const char *doc;               /* one line */
} source_kind_t;

/* NULL where the engine knows none of that URN. */
const source_kind_t *source_kind_find(const char *urn);
const source_kind_t *sources(size_t *ret_count);

#endif
