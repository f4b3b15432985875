/* The recorder: checks and appends what sources send, within each job's budget, and acknowledges it; keeps the recordings on the disk. */
#ifndef REPRISE_RECORDER_H
#define REPRISE_RECORDER_H

#include "runtime/actor.h"

extern const actor_class_t recorder_class;

#endif
