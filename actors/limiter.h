#ifndef REPRISE_LIMITER_H
#define REPRISE_LIMITER_H

#include "runtime/actor.h"

extern const actor_class_t limiter_class;

#endif
