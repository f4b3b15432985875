/* The verifier: reads recordings again, every byte. */
#ifndef REPRISE_VERIFIER_H
#define REPRISE_VERIFIER_H

#include "runtime/actor.h"

extern const actor_class_t verifier_class;

#endif
