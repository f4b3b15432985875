/* The catalog keeps what the other actors must remember, in a database: each gives it documents under a kind and a key, and reads them
 * back when it starts. What one message writes is written as one transaction, or not at all.
 *
 * It also owns the options, because every other actor needs them before it can do anything: it tells those that use them when one changes. */
#include "catalog.h"

#include <stdlib.h>
#include <string.h>

#include "store/database.h"

static const char *const option_users[] = {"recorder",  "limiter",          "signature_checker", "job_supervisor", "test_stream_server",
                                           "librarian", "pipeline_tracker", "gateway",           "notifier"};
enum { OPTION_USERS = sizeof option_users / sizeof option_users[0] };

typedef struct catalog {
    actor_t *me;
    database_t *database;
    msg_options_t *options; /* all of them, as they are now */
} catalog_t;

/* ---- life ---- */

static void catalog_destroy(void **state) {
    catalog_t *c = *state;
    if (!c) return;
    database_close(&c->database);
    record_free(&message_class(MSG_OPTIONS)->record, (void **)&c->options);
    free(c);
    *state = NULL;
}

/* Puts what `over` names in place of what stands in `options`. */
static void merge_options(msg_options_t *options, const msg_options_t *over) {
#define OPTION(type, name, initial, doc)                                                                                                   \
    if (over->has_##name) options->name = over->name;
#include "../messages/options.def"
    OPTION_FIELDS
#undef OPTION
#undef OPTION_FIELDS
}

static void set_options(catalog_t *c, const msg_options_t *options) {
    void *old = c->options;
    c->options = record_copy(&message_class(MSG_OPTIONS)->record, options);
    record_free(&message_class(MSG_OPTIONS)->record, &old);
}

static int load_options(void *context, const char *key, bytes_t value) {
    (void)key;
    catalog_t *c = context;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(zone);
    msg_options_t stored = {0};
    refusal_t no;
    msg_options_t merged = *c->options;
    /* A stored option that this version refuses leaves the default: the engine starts. */
    if (message_decode(MSG_OPTIONS, value, zone, &stored, &no) == 0) merge_options(&merged, &stored);
    set_options(c, &merged);
    msgpack_zone_free(zone);
    return 0;
}

static void *catalog_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args;
    catalog_t *c = calloc(1, sizeof *c);
    must(c);
    c->me = me;
    msg_options_t defaults;
    options_default(&defaults);
    set_options(c, &defaults);
    c->database = database_open(actor_config(me)->data, why);
    if (c->database && database_read(c->database, "options", load_options, c, why) >= 0) {
        actor_tell(me, "notifier", MSG_OPTIONS_CHANGED, c->options); /* it started first, and could not ask */
        return c;
    }
    void *state = c;
    catalog_destroy(&state);
    return NULL;
}

/* ---- messages ---- */

static int on_write(void *state, const envelope_t *in, fault_t *why) {
    catalog_t *c = state;
    const msg_catalog_write_t *m = in->message;
    (void)why;
    fault_t problem;
    if (database_write(c->database, m->documents.items, m->documents.count, &problem) < 0)
        actor_refuse(c->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text); /* a full disk takes nobody down */
    else
        actor_answer(c->me, in->ticket, NULL);
    return 0;
}

typedef struct reading {
    const char *kind;
    msg_documents_t documents;
    size_t capacity;
} reading_t;

static int read_one(void *context, const char *key, bytes_t value) {
    reading_t *r = context;
    if (r->documents.documents.count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 64;
        r->documents.documents.items = realloc(r->documents.documents.items, r->capacity * sizeof *r->documents.documents.items);
        must(r->documents.documents.items);
    }
    uint8_t *kept = malloc(value.size + 1);
    char *name = strdup(key);
    must(kept && name);
    if (value.size > 0) memcpy(kept, value.data, value.size);
    r->documents.documents.items[r->documents.documents.count++] =
        (msg_document_t){.kind = r->kind, .key = name, .has_value = true, .value = {kept, value.size}};
    return 0;
}

static int on_read(void *state, const envelope_t *in, fault_t *why) {
    catalog_t *c = state;
    const msg_catalog_read_t *m = in->message;
    reading_t reading = {.kind = m->kind};
    int result = database_read(c->database, m->kind, read_one, &reading, why);
    if (result >= 0) actor_answer(c->me, in->ticket, &reading.documents);
    for (size_t i = 0; i < reading.documents.documents.count; i++) {
        free((void *)(uintptr_t)reading.documents.documents.items[i].key);
        free((void *)(uintptr_t)reading.documents.documents.items[i].value.data);
    }
    free(reading.documents.documents.items);
    return result;
}

static int on_options_get(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    catalog_t *c = state;
    actor_answer(c->me, in->ticket, c->options);
    return 0;
}

static int on_options_set(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    fault_t problem;
    catalog_t *c = state;
    const msg_options_set_t *m = in->message;
    /* The three messages are made of the same list. */
    _Static_assert(sizeof(msg_options_set_t) == sizeof(msg_options_t) && sizeof(msg_options_changed_t) == sizeof(msg_options_t), "options");
    msg_options_t over, merged = *c->options;
    memcpy(&over, m, sizeof over);
    merge_options(&merged, &over);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(MSG_OPTIONS, &merged, false, (bytes_t){0}, &out);
    msg_document_t document = {.kind = "options", .key = "options", .has_value = true, .value = {(const uint8_t *)out.data, out.size}};
    int result = database_write(c->database, &document, 1, &problem);
    msgpack_sbuffer_destroy(&out);
    if (result < 0) {
        actor_refuse(c->me, in->ticket, ERROR_INTERNAL, NULL, "%s", problem.text);
        return 0;
    }
    set_options(c, &merged);
    for (size_t i = 0; i < OPTION_USERS; i++) actor_tell(c->me, option_users[i], MSG_OPTIONS_CHANGED, c->options);
    actor_answer(c->me, in->ticket, c->options);
    return 0;
}

const actor_class_t catalog_class = {
    .name = "catalog",
    .doc = "Keeps what the others must remember, and the options.",
    .create = catalog_create,
    .destroy = catalog_destroy,
    .takes =
        {
            [MSG_CATALOG_WRITE] = on_write,
            [MSG_CATALOG_READ] = on_read,
            [MSG_OPTIONS_GET] = on_options_get,
            [MSG_OPTIONS_SET] = on_options_set,
        },
    .sends = {MSG_OPTIONS_CHANGED},
};
