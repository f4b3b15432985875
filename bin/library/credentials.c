/* Of a certificate only two lines matter here, so that the library needs no more than ZeroMQ itself to read it. */
#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static bool is_key(const char *text) {
    uint8_t bytes[CREDENTIALS_KEY * 4 / 5];
    return strlen(text) == CREDENTIALS_KEY && zmq_z85_decode(bytes, text);
}

/* The value of `name = "value"`, on a line of its own. */
static int value_read(const char *path, const char *name, char ret_key[CREDENTIALS_KEY + 1], fault_t *why) {
    char line[512], found[64], value[64];
    FILE *file = fopen(path, "re");
    if (!file) return fault_errno(why, "cannot read the key %s", path);
    bool done = false;
    while (!done && fgets(line, sizeof line, file))
        done = sscanf(line, " %63[a-z-] = \"%63[^\"]\"", found, value) == 2 && strcmp(found, name) == 0 && is_key(value);
    fclose(file);
    if (!done) return fault_set(why, "%s has no %s", path, name);
    snprintf(ret_key, CREDENTIALS_KEY + 1, "%.40s", value);
    return 0;
}

static const char *or_environment(const char *given, const char *name) {
    const char *text = given ? given : getenv(name);
    return text && *text ? text : NULL;
}

int credentials_read(const char *key, const char *server_key, credentials_t *ret, fault_t *why) {
    credentials_t read = {.given = true};
    const char *own = or_environment(key, "REPRISE_KEY"), *server = or_environment(server_key, "REPRISE_SERVER_KEY");
    if (!own && !server) {
        *ret = (credentials_t){0};
        return 0;
    }
    if (!own || !server)
        return fault_set(why, "an engine with keys needs both: your key (--key or $REPRISE_KEY) and the engine's (--server-key or "
                              "$REPRISE_SERVER_KEY)");
    if (value_read(own, "secret-key", read.secret_key, why) < 0) return -1;
    if (zmq_curve_public(read.public_key, read.secret_key) != 0) return fault_set(why, "the secret key in %s is none", own);
    if (is_key(server))
        snprintf(read.server_key, sizeof read.server_key, "%s", server);
    else if (value_read(server, "public-key", read.server_key, why) < 0)
        return -1;
    *ret = read;
    return 0;
}

static bool key_set(void *socket, int option, const char *key) {
    return zmq_setsockopt(socket, option, key, strlen(key) + 1) == 0;
}

bool credentials_set(const credentials_t *credentials, void *socket) {
    return !credentials->given ||
           (key_set(socket, ZMQ_CURVE_SERVERKEY, credentials->server_key) &&
            key_set(socket, ZMQ_CURVE_PUBLICKEY, credentials->public_key) && key_set(socket, ZMQ_CURVE_SECRETKEY, credentials->secret_key));
}
