/* Faults on demand, for tests of the whole engine: what `chaos.*` asks for. Without `--chaos` nothing of this is reached. */
#ifndef REPRISE_CHAOS_H
#define REPRISE_CHAOS_H

#include <stdbool.h>

bool chaos_can_crash(const char *how);
/* Ends the process: `how` is one that it can. */
void chaos_crash(const char *how);

#endif
