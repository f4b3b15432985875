/* What is bound where other machines can reach it needs a guard, whether it is a door of the engine or of a source. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* A name that only looks like such an address may belong to any machine. */
static bool is_loopback(const char *host) {
    char text[32];
    struct in_addr address;
    const char *colon = strrchr(host, ':');
    size_t size = colon ? (size_t)(colon - host) : sizeof text;
    if (size >= sizeof text) return false;
    memcpy(text, host, size);
    text[size] = '\0';
    return inet_aton(text, &address) && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool endpoint_is_local(const char *endpoint) {
    static const char *const local[] = {"ipc://", "tcp://localhost:", "tcp://[::1]:"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (strncmp(endpoint, local[i], strlen(local[i])) == 0) return true;
    return strncmp(endpoint, "tcp://", 6) == 0 && is_loopback(endpoint + 6);
}

bool endpoint_has_port(const char *endpoint) {
    const char *colon = strrchr(endpoint, ':');
    char *end;
    if (!colon) return false;
    long port = strtol(colon + 1, &end, 10);
    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && port >= 1 && port <= 65535;
}
