/* The keys of an engine that has some: its own certificate, and the public ones of its clients, each a ZPL file as CZMQ writes them.
 *
 *     DIR/server.key          the engine's, with its secret
 *     DIR/clients/NAME.pub    a client's: its public key, and under `metadata` the `permission`, read, write or admin
 *
 * A client goes by the name of its file, which nobody but the engine's administrator gives. */
#ifndef REPRISE_KEYRING_H
#define REPRISE_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

enum { KEY_TEXT = 40 /* a key in Z85, as in the files */, KEY_BYTES = 32, KEY_NAME_MAX = 63 };

typedef struct client_key {
    char name[KEY_NAME_MAX + 1];
    char key[KEY_TEXT + 1];
    uint8_t bytes[KEY_BYTES];
    permission_t permission;
} client_key_t;

typedef struct keyring {
    size_t count;
    client_key_t *clients; /* sorted by name */
    size_t complaints;     /* files that are no certificates, or a second of the same key: left out */
    fault_t complaint;     /* the first of them */
} keyring_t;

/* The engine's own secret key. -1: there is none, or others than the engine's user can read it. */
int keyring_secret(const char *folder, char ret_secret[KEY_TEXT + 1], fault_t *why);

/* Both keys of the certificate in the file `path`. -1: it is none with a secret, or others than its owner can read it. */
int keyring_pair(const char *path, char ret_public[KEY_TEXT + 1], char ret_secret[KEY_TEXT + 1], fault_t *why);
/* The public key of any certificate. */
int keyring_public(const char *path, char ret_public[KEY_TEXT + 1], fault_t *why);

/* Is that the same file as the engine's key, by whatever path? False where the engine has none. */
bool keyring_is_secret(const char *folder, const char *path);
/* The same of a file whose status is known. */
bool keyring_has(const char *folder, const struct stat *about);

/* The clients' keys. A folder that cannot be read lets nobody in: -1, and the keyring is empty. */
int keyring_load(const char *folder, keyring_t *ret_keyring, fault_t *why);
void keyring_fini(keyring_t *keyring);
const client_key_t *keyring_find(const keyring_t *keyring, const uint8_t *bytes); /* by its key; NULL: nobody's */

/* Another number than before: some file there has changed. */
uint64_t keyring_stamp(const char *folder);

#endif
