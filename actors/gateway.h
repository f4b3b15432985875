#ifndef REPRISE_GATEWAY_H
#define REPRISE_GATEWAY_H

#include "runtime/actor.h"

extern const actor_class_t gateway_class;

#endif
