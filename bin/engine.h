/* The engine process. */
#ifndef REPRISE_ENGINE_H
#define REPRISE_ENGINE_H

#include "../actors/runtime/config.h"

/* Runs until it is stopped, or cannot go on: the exit status. `guard`: where life_tell tells of it. Call it once in a process. */
int engine_run(const config_t *config, int guard);

#endif
