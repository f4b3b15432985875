/* A source as one types it: `file:///var/log/app.log`, `generator:?rate=1000&size=100`, `push:`. */
#ifndef REPRISE_CLIENT_URL_H
#define REPRISE_CLIENT_URL_H

#include <msgpack.h>
#include <stdio.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

typedef struct url_source {
    const char *scheme;      /* constant */
    const char *urn;         /* constant */
    msgpack_sbuffer payload; /* a map; owned */
} url_source_t;

/* The query's values are numbers, true, false, null, or text ("…" makes anything text; %41 is a byte). A path that is not absolute
 * is taken from the current folder. Release with url_fini, also after a failure. */
int url_parse(const char *url, url_source_t *source, fault_t *why);
void url_fini(url_source_t *source);

void url_print_help(FILE *out);

#endif
