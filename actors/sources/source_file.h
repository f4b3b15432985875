#ifndef REPRISE_SOURCE_FILE_H
#define REPRISE_SOURCE_FILE_H

#include "../runtime/actor.h"

#define SOURCE_FILE_URN "reprise:source:file:v1"
extern const actor_class_t source_file_class;

#endif
