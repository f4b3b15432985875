/* The librarian: recordings go out as files, and come in. */
#ifndef REPRISE_LIBRARIAN_H
#define REPRISE_LIBRARIAN_H

#include "runtime/actor.h"

extern const actor_class_t librarian_class;

#endif
