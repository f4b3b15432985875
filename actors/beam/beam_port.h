/* The port that Apache Beam calls: gRPC, by its C core, behind an adaptor that knows nothing of Beam. The library has threads of its own and
 * blocks whoever waits for it, so a thread of the port's waits, and owns the calls. What is said to it goes through a list that takes no lock, and
 * what it says comes through another; a descriptor is readable while there is some.
 *
 * A line is something that listens: an address with a number of the owner's choice. A call is a request of any method, with one message in
 * it, and any number of messages for an answer. For each there is news of it (NEWS_CALL), of what its caller has taken (NEWS_SENT), and that it
 * is gone before its end (NEWS_GONE). All functions are for one thread. */
#ifndef REPRISE_BEAM_PORT_H
#define REPRISE_BEAM_PORT_H

#include "../../messages/fault.h"
#include "../runtime/config.h"
#include "beam_event.h"

typedef struct beam_port beam_port_t;

/* The statuses of gRPC, with its numbers. */
typedef enum call_status {
    CALL_OK = 0,
    CALL_CANCELLED = 1,
    CALL_INVALID_ARGUMENT = 3,
    CALL_NOT_FOUND = 5,
    CALL_PERMISSION_DENIED = 7,
    CALL_RESOURCE_EXHAUSTED = 8,
    CALL_FAILED_PRECONDITION = 9,
    CALL_ABORTED = 10,
    CALL_UNIMPLEMENTED = 12,
    CALL_INTERNAL = 13,
    CALL_UNAVAILABLE = 14,
    CALL_DATA_LOSS = 15,
} call_status_t;

typedef enum news_kind { NEWS_CALL, NEWS_SENT, NEWS_GONE } news_kind_t;

typedef struct port_news {
    news_kind_t kind;
    uint64_t call;
    uint32_t line;    /* NEWS_CALL: who was called */
    char *method;     /* "/package.Service/Method" */
    uint8_t *request; /* its message */
    size_t size;
    int64_t cost; /* NEWS_SENT: of the messages that the caller has taken since the last time */
} port_news_t;

/* Starts the port; it listens nowhere yet. */
beam_port_t *beam_port_open(const config_t *config, fault_t *why);
/* Ends all calls with UNAVAILABLE and `text`, and everything else with it. Accepts NULL. */
void beam_port_close(beam_port_t **self, const char *text);
/* Ends all calls, as above; the lines stay. */
void beam_port_reset(beam_port_t *port, const char *text);

/* Listens at `address`, "host:port". Listening already: nothing changes. */
int beam_port_listen(beam_port_t *port, uint32_t number, const char *address, fault_t *why);
/* Listens there no more; its calls end with UNAVAILABLE and `text`. */
void beam_port_unlisten(beam_port_t *port, uint32_t number, const char *text);

int beam_port_descriptor(const beam_port_t *port);
/* The oldest news, to be freed with port_news_fini. False: none is left, and the descriptor is readable when there is again. */
bool beam_port_take(beam_port_t *port, port_news_t *ret);
void port_news_fini(port_news_t *news);

/* Sends a message, which is moved out of. A call that is not there (any more): nothing happens. What is sent goes out by the next flush, and
 * without one when there is much. A `spare` message is left out where others wait for the caller. */
void beam_port_send(beam_port_t *port, uint64_t call, beam_message_t *message, int64_t cost, bool spare);
/* Ends the call when all its messages are sent. */
void beam_port_end(beam_port_t *port, uint64_t call, call_status_t status, const char *text);
void beam_port_flush(beam_port_t *port);

#endif
