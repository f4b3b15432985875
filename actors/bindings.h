/* Bindings: what runs a source that is written down for another system, such as a Pub/Sub read of a Beam pipeline. They stand in the
 * configuration file, as sections within `bind`, one a binding:
 *
 *     bind
 *         clicks
 *             urn = "beam:transform:pubsub_read:v1"
 *             when
 *                 topic = "projects/p/topics/clicks"
 *             source = "reprise:source:file:v1"
 *             coder = "bytes"
 *             payload
 *                 path = "/var/log/{topic:last}.json"
 *
 * Of a source whose URN matches `urn`, and whose payload has fields that match all of `when` (`*` stands for any text in both), the first binding
 * counts. A field is called by its name in a payload that is a map, and in a Pub/Sub read; in any other payload of Beam by the numbers on the way
 * to it, `1.3` for example. In a text of `payload`, `{field}` stands for that field, and `{field:last}` for what follows its last slash. */
#ifndef REPRISE_BINDINGS_H
#define REPRISE_BINDINGS_H

#include "../messages/codec.h"
#include "../messages/fault.h"

typedef struct bindings bindings_t;

/* `text`: the sections within `bind`, in ZPL. Checks them: a fault names the key, "`bind/clicks/source` …", and the value. */
bindings_t *bindings_create(const char *text, fault_t *why);
void bindings_destroy(bindings_t **self);

/* What runs a source of this URN and payload (a msgpack value; size 0: none). 1: `ret`, made in `zone`. 0: no binding speaks of it.
 * -1: the binding that does cannot be filled. Without a section `payload`, a connector gets none, and a worker the source's own. */
int bindings_find(const bindings_t *bindings, const char *urn, bytes_t payload, msgpack_zone *zone, msg_bound_t *ret, fault_t *why);

/* What runs a stream: what a binding says, or its own. */
static inline const char *bound_urn(const msg_stream_t *stream) {
    return stream->has_bound ? stream->bound.urn : stream->urn;
}

static inline bytes_t bound_payload(const msg_stream_t *stream) {
    if (stream->has_bound) return stream->bound.has_payload ? stream->bound.payload : (bytes_t){0};
    return stream->has_payload ? stream->payload : (bytes_t){0};
}

#endif
