/* The kernel's word of what happens to files: inotify. */
#ifndef REPRISE_NOTIFY_H
#define REPRISE_NOTIFY_H

#include "../../messages/fault.h"

/* An instance that does not wait, to be closed. `path` is for errors only: -1. */
int notify_open(const char *path, fault_t *why);

#endif
