/* ZeroMQ endpoints as text. */
#ifndef REPRISE_ENDPOINT_H
#define REPRISE_ENDPOINT_H

#include <stdbool.h>

/* Can only this machine reach what is bound there? */
bool endpoint_is_local(const char *endpoint);

/* Of `tcp://HOST:PORT`: does it end in a port? One that the system chooses would be known to nobody. */
bool endpoint_has_port(const char *endpoint);

#endif
