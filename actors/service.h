/* The service of a pipeline's test stream: what users start, stop and ask about. Its replays are opened at the door (opening.h). */
#ifndef REPRISE_SERVICE_H
#define REPRISE_SERVICE_H

#include "server.h"

/* Takes TEST_STREAM_START, TEST_STREAM_STOP and TEST_STREAM_STATUS, and answers them. */
void service_take(server_t *server, const envelope_t *in);
/* Forgets those that are not answered yet. */
void services_forget(server_t *server);

#endif
