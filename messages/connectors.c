/* Made from the list alone. */
#include "connectors.h"

#define URN(name) "reprise:source:" #name ":v1"
#define FIELD(type, name, need, doc)
#define RECORD(name, doc, ...)
#define SOURCE(name, scheme, authority, path, example, cursor, event_time, watermark, resume, back_pressure, doc)                          \
    {#name,   URN(name), RECORD_CLASS(name##_payload),                                                                                     \
     scheme,  authority, path,                                                                                                             \
     example, doc,       {cursor, event_time, watermark, resume, back_pressure}},
#define OUTSIDE(name, scheme, example, doc) {#name, URN(name), NULL, scheme, NULL, NULL, example, doc, {NULL}},

static const connector_t list[] = {
#include "sources.def"
};

const connector_t *connectors(size_t *ret_count) {
    *ret_count = sizeof list / sizeof list[0];
    return list;
}

const char *connector_ability(size_t index) {
    static const char *const names[CONNECTOR_ABILITIES] = {"cursor", "event time", "watermark", "resume", "back-pressure"};
    return names[index];
}
