/* The signature checker knows what each pipeline's recording was made of, and says of a definition whether that has changed and what
 * exactly. A source that is gone leaves the recording valid; one that is new or altered does not, because all sources of a recording
 * start at the same time.
 *
 * A change that was seen before any job started on it stays *pending*, so that the next run starts one whoever saw it first. */
#include "signature_checker.h"

#include <czmq.h>
#include <stdlib.h>
#include <string.h>

#include "signature.h"

typedef struct signature_checker {
    actor_t *me;
    zhashx_t *recorded; /* pipeline → msg_signature_record_t */
    msg_options_t *options;
    msgpack_zone *zone;
} signature_checker_t;

/* ---- life ---- */

static void free_recorded(void **item) {
    record_free(&message_class(MSG_SIGNATURE_RECORD)->record, item);
}

static void signature_checker_destroy(void **state) {
    signature_checker_t *c = *state;
    if (!c) return;
    zhashx_destroy(&c->recorded);
    record_free(&message_class(MSG_OPTIONS)->record, (void **)&c->options);
    msgpack_zone_free(c->zone);
    free(c);
    *state = NULL;
}

static void remember(signature_checker_t *c, const msg_signature_record_t *recorded) {
    zhashx_update(c->recorded, recorded->pipeline, record_copy(&message_class(MSG_SIGNATURE_RECORD)->record, recorded));
}

static int on_documents(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    signature_checker_t *c = state;
    if (!answer->message) return fault_set(why, "cannot read the signatures: %s", answer->refusal->message);
    const msg_documents_t *documents = answer->message;
    for (size_t i = 0; i < documents->documents.count; i++) {
        const msg_document_t *document = &documents->documents.items[i];
        msg_signature_record_t recorded = {0};
        refusal_t no;
        msgpack_zone_clear(c->zone);
        if (message_decode(MSG_SIGNATURE_RECORD, document->value, c->zone, &recorded, &no) < 0)
            return fault_set(why, "the catalog's signature of `%s` cannot be read: %s", document->key, no.message);
        remember(c, &recorded);
    }
    actor_loaded(c->me);
    return 0;
}

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    signature_checker_t *c = state;
    if (!answer->message) return fault_set(why, "cannot read the options: %s", answer->refusal->message);
    c->options = record_copy(&message_class(MSG_OPTIONS)->record, answer->message);
    actor_ask(c->me, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = "signature"}, on_documents, 0);
    return 0;
}

static void *signature_checker_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    signature_checker_t *c = calloc(1, sizeof *c);
    must(c);
    c->me = me;
    c->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    c->recorded = zhashx_new();
    must(c->zone && c->recorded);
    zhashx_set_destructor(c->recorded, free_recorded);
    actor_loading(me);
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_options, 0);
    return c;
}

/* ---- messages ---- */

static int on_compare(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    const msg_signature_compare_t *m = in->message;
    msg_comparison_t answer = {0};
    refusal_t no;
    msgpack_zone_clear(c->zone);
    if (signature_extract(&m->pipeline, &c->options->recordable_sources, c->zone, &answer, &no) < 0) {
        actor_refuse_as(c->me, in->ticket, &no);
        return 0;
    }
    static const names_t nothing;
    const msg_signature_record_t *recorded = zhashx_lookup(c->recorded, m->pipeline.name);
    const names_t *before = recorded ? &recorded->signature : &nothing;
    answer.added = signature_minus(&answer.signature, before, c->zone);
    answer.removed = signature_minus(before, &answer.signature, c->zone);
    answer.changed = answer.added.count > 0;
    answer.pending = recorded && recorded->pending;
    actor_answer(c->me, in->ticket, &answer);
    return 0;
}

static int on_written(void *state, const answer_t *answer, uint64_t ticket, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    if (answer->refusal) {
        actor_refuse_as(c->me, ticket, answer->refusal);
    } else {
        actor_answer(c->me, ticket, NULL);
    }
    return 0;
}

static int on_record(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    const msg_signature_record_t *m = in->message;
    remember(c, m);
    msg_document_t document = {.kind = "signature", .key = m->pipeline, .has_value = true, .value = in->raw};
    actor_ask(c->me, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {1, &document}}, on_written, in->ticket);
    return 0;
}

static int on_forget(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    const msg_signature_forget_t *m = in->message;
    zhashx_delete(c->recorded, m->pipeline);
    msg_document_t document = {.kind = "signature", .key = m->pipeline};
    actor_ask(c->me, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {1, &document}}, on_written, in->ticket);
    return 0;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    record_free(&message_class(MSG_OPTIONS)->record, (void **)&c->options);
    c->options = record_copy(&message_class(MSG_OPTIONS)->record, in->message);
    return 0;
}

const actor_class_t signature_checker_class = {
    .name = "signature_checker",
    .doc = "Says whether a pipeline's sources have changed since they were recorded, and what exactly.",
    .create = signature_checker_create,
    .destroy = signature_checker_destroy,
    .takes =
        {
            [MSG_SIGNATURE_COMPARE] = on_compare,
            [MSG_SIGNATURE_RECORD] = on_record,
            [MSG_SIGNATURE_FORGET] = on_forget,
            [MSG_OPTIONS_CHANGED] = on_options_changed,
        },
    .sends = {MSG_OPTIONS_GET, MSG_CATALOG_READ, MSG_CATALOG_WRITE},
};
