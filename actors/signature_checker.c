/* The signature checker knows what each pipeline's recording was made of, and says of a definition whether that has changed and what
 * exactly. A source that is gone leaves the recording valid; one that is new or altered does not, because all sources of a recording
 * start at the same time.
 *
 * A change that was seen before any job started on it stays *pending*, so that the next run starts one whoever saw it first. */
#include "signature_checker.h"

#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signature.h"

/* What the catalog is writing: it counts when it is safe, so that a write that is refused changes nothing. */
typedef struct writing {
    ticket_t ticket;
    char pipeline[256];
    msg_signature_record_t *record; /* NULL: it is being forgotten */
    struct writing *next;
} writing_t;

typedef struct signature_checker {
    actor_t *me;
    zhashx_t *recorded; /* pipeline → msg_signature_record_t */
    writing_t *writings;
    msg_options_t *options;
    msgpack_zone *zone;
} signature_checker_t;

/* ---- life ---- */

static void free_recorded(void **item) {
    record_free(&message_class(MSG_SIGNATURE_RECORD)->record, item);
}

static void free_writing(writing_t *writing) {
    free_recorded((void **)&writing->record);
    free(writing);
}

static void signature_checker_destroy(void **state) {
    signature_checker_t *c = *state;
    if (!c) return;
    while (c->writings) {
        writing_t *next = c->writings->next;
        free_writing(c->writings);
        c->writings = next;
    }
    zhashx_destroy(&c->recorded);
    record_free(&message_class(MSG_OPTIONS)->record, (void **)&c->options);
    msgpack_zone_free(c->zone);
    free(c);
    *state = NULL;
}

static void remember(signature_checker_t *c, const msg_signature_record_t *recorded) {
    zhashx_update(c->recorded, recorded->pipeline, record_copy(&message_class(MSG_SIGNATURE_RECORD)->record, recorded));
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The manifest is the truth about what a recording was made of: where the process died between a job's start, or a recording's return, and
 * the writing of what is recorded now, the catalog knows another job; or a change that is pending, which was written when no recording was
 * valid. */
static void take_manifest(signature_checker_t *c, const msg_recording_job_t *recording) {
    const msg_signature_record_t *known = zhashx_lookup(c->recorded, recording->pipeline);
    if (known && known->has_job && !known->pending && strcmp(known->job, recording->job) == 0) return;
    size_t count = recording->streams.count;
    const char **names = calloc(count + 1, sizeof *names);
    must(names);
    for (size_t i = 0; i < count; i++) names[i] = recording->streams.items[i].signature;
    qsort(names, count, sizeof *names, compare_names);
    remember(
        c, &(msg_signature_record_t){.pipeline = recording->pipeline, .signature = {count, names}, .has_job = true, .job = recording->job});
    free(names);
}

static int on_recordings(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    signature_checker_t *c = state;
    if (!answer->message) return fault_set(why, "cannot read the recordings: %s", answer->refusal->message);
    const msg_recording_jobs_t *m = answer->message;
    zhashx_t *taken = zhashx_new(); /* pipelines: of each, the newest recording that is valid counts */
    must(taken);
    for (size_t i = m->recordings.count; i-- > 0;) {
        msg_recording_job_t *recording = &m->recordings.items[i];
        if (recording->streams.count == 0 || recording->has_invalidated || zhashx_insert(taken, recording->pipeline, recording) != 0)
            continue;
        take_manifest(c, recording);
    }
    zhashx_destroy(&taken);
    actor_loaded(c->me);
    return 0;
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
    actor_ask(c->me, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_ask_t){0}, on_recordings, 0);
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

/* Was this recorded by the work that asks now? Then that work was begun anew, and what counts is what was recorded before it. */
static bool is_of_request(const msg_signature_record_t *recorded, bool has_request, const char *request) {
    return recorded && recorded->has_request && has_request && strcmp(recorded->request, request) == 0;
}

/* What the last job recorded. While a change is pending, that is not what is recorded now; and to a work that has recorded something itself,
 * it is what came before it. */
static const names_t *last_of(const msg_signature_record_t *recorded, bool again) {
    return again || recorded->pending ? &recorded->last : &recorded->signature;
}

static int on_compare(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    const msg_signature_compare_t *m = in->message;
    msg_comparison_t answer = {0};
    refusal_t no;
    msgpack_zone_clear(c->zone);
    msg_options_t options = *c->options;
    if (m->has_stored && m->stored) options.transforms_max = INT64_MAX; /* it was within the quota of its time */
    if (signature_extract(&m->pipeline, &options, c->zone, &answer, &no) < 0) {
        actor_refuse_as(c->me, in->ticket, &no);
        return 0;
    }
    static const names_t nothing;
    const msg_signature_record_t *recorded = zhashx_lookup(c->recorded, m->pipeline.name);
    bool again = is_of_request(recorded, m->has_request, m->request);
    const names_t *before = !recorded ? &nothing : again ? &recorded->before : &recorded->signature;
    answer.added = signature_minus(&answer.signature, before, c->zone);
    answer.removed = signature_minus(before, &answer.signature, c->zone);
    answer.changed = answer.added.count > 0;
    const names_t *last = recorded ? last_of(recorded, again) : &nothing;
    answer.added_since = signature_minus(&answer.signature, last, c->zone);
    answer.removed_since = signature_minus(last, &answer.signature, c->zone);
    answer.pending = recorded && (again ? recorded->was_pending : recorded->pending);
    actor_answer(c->me, in->ticket, &answer);
    return 0;
}

static int on_written(void *state, const answer_t *answer, uint64_t ticket, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    writing_t **at = &c->writings;
    while (*at && (*at)->ticket != ticket) at = &(*at)->next;
    writing_t *writing = *at;
    must(writing);
    *at = writing->next;
    if (answer->refusal) {
        actor_refuse_as(c->me, ticket, answer->refusal);
    } else {
        if (writing->record)
            remember(c, writing->record);
        else
            zhashx_delete(c->recorded, writing->pipeline);
        actor_answer(c->me, ticket, NULL);
    }
    free_writing(writing);
    return 0;
}

static void write_down(signature_checker_t *c, ticket_t ticket, const char *pipeline, const msg_signature_record_t *record) {
    writing_t *writing = calloc(1, sizeof *writing);
    must(writing);
    writing->ticket = ticket;
    snprintf(writing->pipeline, sizeof writing->pipeline, "%s", pipeline);
    writing->next = c->writings;
    c->writings = writing;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    if (record) {
        writing->record = record_copy(&message_class(MSG_SIGNATURE_RECORD)->record, record);
        message_encode(MSG_SIGNATURE_RECORD, record, false, (bytes_t){0}, &out);
    }
    msg_document_t document = {
        .kind = "signature", .key = pipeline, .has_value = record != NULL, .value = {(const uint8_t *)out.data, out.size}};
    actor_ask(c->me, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {1, &document}}, on_written, ticket);
    msgpack_sbuffer_destroy(&out);
}

static int on_record(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    signature_checker_t *c = state;
    msg_signature_record_t record = *(const msg_signature_record_t *)in->message;
    const msg_signature_record_t *recorded = zhashx_lookup(c->recorded, record.pipeline);
    if (recorded && !record.has_job) {
        record.has_job = recorded->has_job;
        record.job = recorded->job;
    }
    bool again = is_of_request(recorded, record.has_request, record.request);
    record.has_before = record.has_was_pending = record.has_last = true;
    if (recorded) record.last = *last_of(recorded, again);
    if (recorded) record.before = again ? recorded->before : recorded->signature;
    if (recorded) record.was_pending = again ? recorded->was_pending : recorded->pending;
    write_down(c, in->ticket, record.pipeline, &record);
    return 0;
}

static int on_forget(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_signature_forget_t *m = in->message;
    write_down(state, in->ticket, m->pipeline, NULL);
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
    .sends = {MSG_OPTIONS_GET, MSG_CATALOG_READ, MSG_CATALOG_WRITE, MSG_RECORDING_JOBS_ASK},
};
