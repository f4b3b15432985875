/* A connection to a NATS server that is driven by whoever has it: libnats reads and writes when it is told that the socket is ready, with no
 * thread of its own, and what has come waits in its subscriptions until it is taken. Only what libnats waits for itself (connecting, and a last
 * answer when leaving) is done in a thread that ends with it. */
#ifndef REPRISE_NATS_LINK_H
#define REPRISE_NATS_LINK_H

#include <nats/nats.h>
#include <stdbool.h>

#include "../../messages/fault.h"

/* Where, and who the engine is there: as in the payload; NULL: not given. `keys`: the folder of the engine's own. */
typedef struct nats_access {
    const char *urn, *keys, *server;
    const char *username, *password_file, *token_file, *creds;
    const char *tls_ca, *tls_cert, *tls_key;
    bool tls;
} nats_access_t;

/* Do the fields go together, and can their files be read? */
int nats_access_check(const nats_access_t *access, fault_t *why);

typedef struct nats_link {
    natsConnection *connection;
    int descriptor;   /* to wait at; of its socket, but not libnats' own, which is closed without a word */
    bool wants_write; /* nats_link_write is to be called when the socket takes more */
} nats_link_t;

/* ---- connecting ---- */
typedef struct nats_dial nats_dial_t;

/* Begins. NULL: it cannot, and never will. */
nats_dial_t *nats_dial_start(const nats_access_t *access, fault_t *why);
int nats_dial_descriptor(const nats_dial_t *dial); /* readable when it is over */

typedef enum nats_dialled { NATS_DIALLING, NATS_DIALLED, NATS_UNREACHED, NATS_REFUSED } nats_dialled_t;
/* How it went. Once it is over `dial` is gone; NATS_DIALLED gives the connection. NATS_REFUSED: it would go no better another time. */
nats_dialled_t nats_dial_end(nats_dial_t **dial, nats_link_t **ret_link, fault_t *why);
/* It is not wanted any more. */
void nats_dial_leave(nats_dial_t **dial);

/* ---- connected ---- */
void nats_link_read(nats_link_t *link); /* once, as much as fits */
void nats_link_write(nats_link_t *link);
/* Is it still there, and allowed to do what it was told to? If not, `why` says what the server said. */
typedef enum nats_health { NATS_WELL, NATS_CLOSED, NATS_FORBIDDEN } nats_health_t;
nats_health_t nats_link_health(nats_link_t *link, fault_t *why);

void nats_link_close(nats_link_t **link);
/* Closes it after a last request was answered, or went unanswered for a second. */
void nats_link_part(nats_link_t **link, const char *subject);

#endif
