#ifndef REPRISE_SOURCE_GENERATOR_H
#define REPRISE_SOURCE_GENERATOR_H

#include "../runtime/actor.h"

#define SOURCE_GENERATOR_URN "reprise:source:generator:v1"
extern const actor_class_t source_generator_class;

#endif
