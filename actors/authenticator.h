/* The authenticator: who may connect to an engine with keys. */
#ifndef REPRISE_AUTHENTICATOR_H
#define REPRISE_AUTHENTICATOR_H

#include "runtime/actor.h"

extern const actor_class_t authenticator_class;

#endif
