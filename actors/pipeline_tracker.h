#ifndef REPRISE_PIPELINE_TRACKER_H
#define REPRISE_PIPELINE_TRACKER_H

#include "runtime/actor.h"

extern const actor_class_t pipeline_tracker_class;

#endif
