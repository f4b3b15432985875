/* A source as one types it: `file:///var/log/app.log`, `generator:?rate=1000&size=100`, `kafka://localhost:9092/clicks`, `push:`. */
#ifndef REPRISE_CLIENT_URL_H
#define REPRISE_CLIENT_URL_H

#include <msgpack.h>

#include "../../messages/fault.h"
#include "scheme.h"

enum { URL_NAME_MAX = 64 };

typedef struct url_source {
    const connector_t *scheme;
    msgpack_sbuffer payload; /* a map; owned */
    char name[URL_NAME_MAX]; /* a name for a pipeline that records it */
} url_source_t;

/* The authority and the path become the fields that the scheme names for them, the query's `name=value` those that it names itself, with values as
 * given_pack takes them; `user@` becomes `username`; %41 is a byte. A path that is not absolute is taken from the current folder where
 * the source is on this machine. Release with url_fini, also after a failure. */
int url_parse(const char *url, url_source_t *source, fault_t *why);
void url_fini(url_source_t *source);

#endif
