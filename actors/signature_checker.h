#ifndef REPRISE_SIGNATURE_CHECKER_H
#define REPRISE_SIGNATURE_CHECKER_H

#include "runtime/actor.h"

extern const actor_class_t signature_checker_class;

#endif
