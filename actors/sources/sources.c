/* Which class runs which URN. A new connector is one file and one entry in messages/sources.def, from which this is made. What is not there
 * needs a worker outside. */
#include "sources.h"

#include <string.h>

#define FIELD(type, name, need, doc)
#define RECORD(name, doc, ...)
#define SOURCE(name, ...) extern const actor_class_t source_##name##_class;
#include "../../messages/sources.def"

#define URN(name) "reprise:source:" #name ":v1"
#define SOURCE(name, scheme, authority, path, example, cursor, event_time, watermark, resume, back_pressure, doc)                          \
    {URN(name), &source_##name##_class, RECORD_CLASS(name##_payload), doc},
#define OUTSIDE(name, scheme, example, doc) {URN(name), NULL, NULL, doc},

static const source_kind_t kinds[] = {
#include "../../messages/sources.def"
};

const source_kind_t *source_kind_find(const char *urn) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].urn, urn) == 0) return &kinds[i];
    }
    return NULL;
}

const source_kind_t *sources(size_t *ret_count) {
    *ret_count = sizeof kinds / sizeof kinds[0];
    return kinds;
}
