/* The process guard: starts the engine process, and again when it has crashed. */
#ifndef REPRISE_GUARD_H
#define REPRISE_GUARD_H

#include "../actors/runtime/config.h"

/* Runs this program again with the same arguments, as the engine process, for as long as that makes sense: the exit status, which is the
 * engine's own where it ended by itself. To be called before anything creates a thread or a ZeroMQ context. */
int guard_run(const config_t *config, char **arguments);

#endif
