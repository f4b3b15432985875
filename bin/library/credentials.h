/* What a client of an engine with keys needs: its own certificate and the engine's public key, from ZPL files as CZMQ writes them. */
#ifndef REPRISE_LIBRARY_CREDENTIALS_H
#define REPRISE_LIBRARY_CREDENTIALS_H

#include <stdbool.h>

#include "../../messages/fault.h"

enum { CREDENTIALS_KEY = 40 }; /* a key's text, in Z85 */

typedef struct credentials {
    bool given; /* false: the engine is taken to want none */
    char public_key[CREDENTIALS_KEY + 1], secret_key[CREDENTIALS_KEY + 1], server_key[CREDENTIALS_KEY + 1];
} credentials_t;

/* `key`: the file with the client's secret key; NULL: $REPRISE_KEY. `server_key`: the file with the engine's public key, or that key;
 * NULL: $REPRISE_SERVER_KEY. Neither of both: none are given. */
int credentials_read(const char *key, const char *server_key, credentials_t *ret_credentials, fault_t *why);
/* On a socket, before it connects; where none are given there is nothing to do. False: errno says why. */
bool credentials_set(const credentials_t *credentials, void *socket);

#endif
