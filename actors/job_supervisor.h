#ifndef REPRISE_JOB_SUPERVISOR_H
#define REPRISE_JOB_SUPERVISOR_H

#include "runtime/actor.h"

extern const actor_class_t job_supervisor_class;

#endif
