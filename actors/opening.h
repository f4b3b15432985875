/* An opening: a replay that is asked for and not there yet, because others must first say what it is to send. */
#ifndef REPRISE_OPENING_H
#define REPRISE_OPENING_H

#include "server.h"

/* Opens the replay that the message asks for, and answers it. */
void opening_start(server_t *server, const envelope_t *in);
/* What was found out for the replays of that pipeline that are on their way does not hold any more. */
void openings_begin_again(server_t *server, const char *pipeline);
/* Forgets all that are on their way. */
void openings_free(server_t *server);

#endif
