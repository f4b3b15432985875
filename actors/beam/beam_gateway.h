#ifndef REPRISE_BEAM_GATEWAY_H
#define REPRISE_BEAM_GATEWAY_H

#include "../runtime/actor.h"

extern const actor_class_t beam_gateway_class;

#endif
