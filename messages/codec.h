/* One codec for every message, on msgpack-c, driven by the tables of message.h. */
#ifndef REPRISE_CODEC_H
#define REPRISE_CODEC_H

#include <msgpack.h>

#include "message.h"

/* An answer that is a no: what the client is told. */
typedef struct refusal {
    error_code_t code;
    char message[320]; /* names the thing: "`job.cancel`: `job` must be text, not a number" */
    char field[96];    /* the path of the field, "pipeline.transforms[2].urn"; empty where none is to blame */
    bool retry;        /* the same request may succeed later */
    int64_t expected;  /* with a batch number that was skipped: the one expected; otherwise 0 */
} refusal_t;

/* Fills `no` and returns -1. `field` may be NULL. */
int refuse(refusal_t *no, error_code_t code, const char *field, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Decodes the msgpack map `in` as a message of class `id` into `message` (as large as message_class(id)->record.size), checks every
 * field, and refuses with BAD_REQUEST and the field's path. Unknown keys are ignored; nil is as absent, except in a LIMIT.
 * Texts and lists are made in `zone`; BYTES and ANY point into `in`, which must live as long. `in` must have passed wire_walk.
 * On failure `message` is in no defined state. */
int message_decode(message_id_t id, bytes_t in, msgpack_zone *zone, void *message, refusal_t *no);

/* The same for a record that stands alone (a pipeline's definition in a file, an actor's stored state). `what` begins the error texts. */
int record_decode(const record_class_t *record, const char *what, bytes_t in, msgpack_zone *zone, void *out, refusal_t *no);
const record_class_t *record_class_of(message_id_t id);

#define RECORD_CLASS(name) (&record_class_##name)
#define FIELD(type, name, need, doc)
#define LIST(record, name, need, doc)
#define RECORD_OF(record, name, need, doc)
#define NAMED(record, name, need, doc)
#define NO_FIELDS
#define MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, ...)
#define MESSAGE_AS(ID, record, kind, scope, doc)
#define RECORD(name, doc, ...) extern const record_class_t record_class_##name;
#include "lists.h"

/* Appends the message as a msgpack map of its fields that are there. With `named`, the first entry is `op` (a request or tell) or
 * `event`; an answer gets `ok: true`. With `id` (a msgpack value; size 0: none), `id` follows. Required fields count as there. */
void message_encode(message_id_t id, const void *message, bool named, bytes_t echo, msgpack_sbuffer *out);

/* Appends the bare map of a record. */
void record_encode(const record_class_t *record, const void *in, msgpack_sbuffer *out);

/* Appends {"ok": false, "error": {…}} with the echoed id; and reads one back. */
void refusal_encode(const refusal_t *no, bytes_t echo, msgpack_sbuffer *out);
int refusal_decode(bytes_t in, refusal_t *no);

/* A copy of a decoded message or record that owns everything it points to, in one allocation zone; free with record_free. */
void *record_copy(const record_class_t *record, const void *in);
void record_free(const record_class_t *record, void **copy);

#endif
