/* The sources that live in the engine, as users name them: what sources.def says of each. */
#ifndef REPRISE_CONNECTORS_H
#define REPRISE_CONNECTORS_H

#include "codec.h"

enum { CONNECTOR_ABILITIES = 5 };

typedef struct connector {
    const char *name, *urn;
    const record_class_t *payload;              /* NULL: whatever it is told */
    const char *scheme;                         /* of its URLs */
    const char *authority, *path;               /* the payload's fields for these parts of a URL; NULL: a URL has none */
    const char *example;                        /* a URL */
    const char *doc;                            /* one line */
    const char *abilities[CONNECTOR_ABILITIES]; /* as in connector_ability; NULL: it is fed from outside */
} connector_t;

const connector_t *connectors(size_t *ret_count);
/* What an ability is called. */
const char *connector_ability(size_t index);

#endif
