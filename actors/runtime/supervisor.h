#ifndef REPRISE_SUPERVISOR_H
#define REPRISE_SUPERVISOR_H

#include "actor.h"

extern const actor_class_t supervisor_class;

#endif
