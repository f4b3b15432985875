#ifndef REPRISE_CATALOG_H
#define REPRISE_CATALOG_H

#include "runtime/actor.h"

extern const actor_class_t catalog_class;

#endif
