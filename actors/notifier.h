#ifndef REPRISE_NOTIFIER_H
#define REPRISE_NOTIFIER_H

#include "runtime/actor.h"

extern const actor_class_t notifier_class;

#endif
