/* What the engine process tells whoever looks after it: that it serves, that it lives, that it stops. The words are those of systemd's
 * sd_notify(3). Where a guard started the process they go to the guard, which passes them on; else to systemd, if that listens. */
#ifndef REPRISE_LIFE_H
#define REPRISE_LIFE_H

#include <signal.h>

#define LIFE_READY "READY=1\nSTATUS=Serving."
#define LIFE_BEAT "WATCHDOG=1"
#define LIFE_STOPPING "STOPPING=1\nSTATUS=Stopping."

enum { LIFE_BEAT_MS = 1000 };

/* The guard's end, for the process that it starts: the environment names the descriptor. */
#define LIFE_VARIABLE "REPRISE_GUARD"

/* The descriptor on which the guard listens; -1 where none started this process. Forgets the variable. */
int life_open(void);
void life_tell(int guard, const char *words);

/* The signals that stop the engine. That of a closed terminal is none of them where it is ignored, as under nohup(1). */
void life_signals(sigset_t *ret_signals);

#endif
