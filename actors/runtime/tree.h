/* Who supervises whom. */
#ifndef REPRISE_TREE_H
#define REPRISE_TREE_H

#include "actor.h"

typedef struct child_spec {
    const actor_class_t *class; /* its name is the child's */
    int64_t start_timeout_ms;
} child_spec_t;

/* The core actors, in the order in which they start; they stop in the reverse order. */
extern const child_spec_t tree[];
extern const size_t tree_count;

/* Every class there is, sources included: for the docs and the contract tests. NULL ends it. */
const actor_class_t *tree_class(size_t index);

#endif
