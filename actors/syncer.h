/* The syncer: waits for the disk, so that nobody else has to. */
#ifndef REPRISE_SYNCER_H
#define REPRISE_SYNCER_H

#include "runtime/actor.h"

extern const actor_class_t syncer_class;

#endif
