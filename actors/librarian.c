/* The librarian gives recordings out as files for others, and makes recordings of such files. Both are many megabytes to be read, converted and
 * written, so it is an actor of its own, and does a piece at a time: whoever records or asks something else waits for none of it.
 *
 * Nothing leaves or enters by a path that a client names: a client may be elsewhere, and need not be trusted with this machine's disk. An
 * export is kept by nobody, it goes on from what the client brings back. An import is known here only; if it is forgotten, so is all of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "definition.h"
#include "import.h"
#include "librarian_state.h"
#include "store/folder.h"

enum {
    IMPORTS_MAX = 8,
    FILES_MAX = 1000,                /* of all imports: each has a segment that is open, and a mebibyte of the disk set aside for it */
    WAITING_MAX = 256 * 1024 * 1024, /* bytes of all imports in memory: an item may have 64 MiB */
    STEP_BYTES = 8 * 1024 * 1024,
};
#define SILENCE_US INT64_C(600000000) /* an import that hears nothing for so long is forgotten, */
#define YIELD_US INT64_C(60000000)    /* and after this already, where a new one has no place */

typedef struct incoming {
    TAILQ_ENTRY(incoming) link;
    uint64_t serial; /* names it in the context of questions and timers */
    char recording[256], job[256], pipeline[256];
    const transfer_format_t *format;
    msg_pipeline_tags_t *tags;     /* NULL: not known */
    import_t *import;              /* NULL: not begun */
    int64_t taken;                 /* pieces that were taken */
    msg_recording_import_t *piece; /* the one under way; NULL: none */
    ticket_t ticket;               /* of whoever sent it */
    names_t written;               /* to be brought to the disk before it is answered */
    size_t synced;                 /* of these */
    bool finishing, whole;         /* no more pieces come; all of it is in the recording */
    timer_id_t silence;
    int64_t heard; /* since when it is silent, in ticks */
} incoming_t;

/* ---- life ---- */

static void piece_free(incoming_t *incoming) {
    record_free(&message_class(MSG_RECORDING_IMPORT)->record, (void **)&incoming->piece);
    folder_free(&incoming->written);
    incoming->synced = 0;
    incoming->ticket = 0;
}

/* Nothing stays of it, unless it was taken over. */
static void incoming_free(librarian_t *self, incoming_t *incoming) {
    TAILQ_REMOVE(&self->incomings, incoming, link);
    self->count--;
    actor_cancel(self->me, &incoming->silence);
    piece_free(incoming);
    import_destroy(&incoming->import);
    record_free(&message_class(MSG_PIPELINE_TAGS)->record, (void **)&incoming->tags);
    free(incoming);
}

static void librarian_destroy(void **state) {
    librarian_t *self = *state;
    if (!self) return;
    librarian_export_fini(self);
    while (!TAILQ_EMPTY(&self->incomings)) incoming_free(self, TAILQ_FIRST(&self->incomings));
    free(self);
    *state = NULL;
}

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    librarian_t *self = state;
    const msg_options_t *options = answer->message;
    (void)context;
    if (!options) return fault_set(why, "cannot read the options: %s", answer->refusal->message);
    self->size_limit = options->recording_size_limit;
    self->min_free_disk = options->min_free_disk;
    actor_loaded(self->me);
    return 0;
}

static void *librarian_create(actor_t *me, bytes_t args, fault_t *why) {
    librarian_t *self = calloc(1, sizeof *self);
    must(self);
    (void)args;
    self->me = me;
    TAILQ_INIT(&self->outgoings);
    TAILQ_INIT(&self->incomings);
    if (import_clear(actor_config(me)->data, why) < 0) {
        free(self);
        return NULL;
    }
    actor_loading(me);
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_options, 0);
    return self;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    librarian_t *self = state;
    const msg_options_changed_t *options = in->message;
    (void)why;
    self->size_limit = options->recording_size_limit;
    self->min_free_disk = options->min_free_disk;
    return 0;
}

/* ---- import: the pieces ---- */

static incoming_t *incoming_of(librarian_t *self, uint64_t serial) {
    incoming_t *incoming;
    TAILQ_FOREACH(incoming, &self->incomings, link) {
        if (incoming->serial == serial) return incoming;
    }
    return NULL;
}

static incoming_t *incoming_named(librarian_t *self, const char *recording) {
    incoming_t *incoming;
    TAILQ_FOREACH(incoming, &self->incomings, link) {
        if (incoming->recording[0] && strcmp(incoming->recording, recording) == 0) return incoming;
    }
    return NULL;
}

/* It ends here, and leaves nothing. */
static void incoming_refuse(librarian_t *self, incoming_t *incoming, const refusal_t *no) {
    ticket_t ticket = incoming->ticket;
    incoming_free(self, incoming); /* first: nothing of it is there once that is known */
    actor_refuse_as(self->me, ticket, no);
}

static int on_silence(void *state, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    (void)why;
    must(incoming);
    incoming->silence = 0;
    if (!incoming->piece) incoming_free(self, incoming);
    return 0;
}

static void piece_answer(librarian_t *self, incoming_t *incoming) {
    actor_answer(self->me, incoming->ticket,
                 &(msg_imported_t){
                     .import = incoming->recording, .next = ++incoming->taken + 1, .elements = (int64_t)import_elements(incoming->import)});
    piece_free(incoming);
    actor_cancel(self->me, &incoming->silence);
    incoming->heard = actor_ticks(self->me);
    incoming->silence = actor_after(self->me, SILENCE_US, on_silence, incoming->serial);
}

static void import_go_on(librarian_t *self, incoming_t *incoming);

static int on_synced(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    (void)why;
    if (!incoming) return 0;
    if (answer->refusal) {
        incoming_refuse(self, incoming, answer->refusal);
        return 0;
    }
    incoming->synced++;
    import_go_on(self, incoming);
    return 0;
}

static int on_step(void *state, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    refusal_t no;
    (void)why;
    if (!incoming) return 0;
    int more = import_finish(incoming->import, STEP_BYTES, &no);
    if (more < 0) {
        incoming_refuse(self, incoming, &no);
    } else if (more > 0) {
        actor_after(self->me, 0, on_step, serial);
    } else {
        incoming->whole = true;
        incoming->written = import_written(incoming->import);
        incoming->synced = 0;
        import_go_on(self, incoming);
    }
    return 0;
}

/* ---- import: the end ---- */

static int on_defined(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    (void)answer; /* without a definition it is replayed by its id */
    (void)why;
    if (!incoming) return 0;
    const msg_manifest_t *manifest = import_manifest(incoming->import);
    char digest[33], pipeline[256], recording[256];
    ticket_t ticket = incoming->ticket;
    snprintf(digest, sizeof digest, "%s", manifest->digest);
    snprintf(pipeline, sizeof pipeline, "%s", manifest->recording.pipeline);
    snprintf(recording, sizeof recording, "%s", incoming->recording);
    msg_imported_t made = {.import = recording,
                           .next = incoming->taken + 1,
                           .elements = manifest->recording.elements,
                           .has_pipeline = true,
                           .pipeline = pipeline,
                           .has_recording = true,
                           .recording = recording,
                           .has_digest = true,
                           .digest = digest};
    incoming_free(self, incoming); /* first: what was merged is gone with the answer */
    actor_answer(self->me, ticket, &made);
    return 0;
}

/* A pipeline that nobody has defined gets the definition that its recording tells. */
static int on_known(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    msg_pipeline_define_t define = {0};
    if (!incoming) return 0;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(zone);
    bool makes = answer->refusal && answer->refusal->code == ERROR_NOT_FOUND &&
                 definition_make(&import_manifest(incoming->import)->recording, zone, &define.pipeline);
    if (makes) actor_ask(self->me, "pipeline_tracker", MSG_PIPELINE_DEFINE, &define, on_defined, serial);
    msgpack_zone_free(zone);
    return makes ? 0 : on_defined(state, answer, serial, why);
}

static int on_signature(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    const incoming_t *incoming = incoming_of(self, serial);
    (void)answer; /* what is not remembered now is read from the manifests when the engine starts again */
    (void)why;
    if (!incoming) return 0;
    actor_ask(self->me, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK,
              &(msg_pipeline_tags_ask_t){.pipeline = import_manifest(incoming->import)->recording.pipeline}, on_known, serial);
    return 0;
}

static int on_adopted(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    const msg_job_decision_t *decision = answer->message;
    (void)why;
    if (!incoming) return 0;
    if (answer->refusal) {
        incoming_refuse(self, incoming, answer->refusal);
        return 0;
    }
    if (!decision->has_made_of) return on_signature(self, answer, serial, why);
    actor_ask(self->me, "signature_checker", MSG_SIGNATURE_RECORD,
              &(msg_signature_record_t){.pipeline = import_manifest(incoming->import)->recording.pipeline,
                                        .signature = decision->made_of,
                                        .pending = false,
                                        .has_job = true,
                                        .job = incoming->job},
              on_signature, serial);
    return 0;
}

/* What was done with a piece is on the disk, or is brought there; then it is answered, or the recording is given away. */
static void import_go_on(librarian_t *self, incoming_t *incoming) {
    if (incoming->synced < incoming->written.count) {
        actor_ask(self->me, "syncer", MSG_SYNC, &(msg_sync_t){.path = incoming->written.items[incoming->synced], .token = 0}, on_synced,
                  incoming->serial);
    } else if (incoming->whole) {
        import_seal(incoming->import);
        msg_job_adopt_t adopt = {.recording = import_manifest(incoming->import)->recording, .folder = import_folder(incoming->import)};
        actor_ask(self->me, "job_supervisor", MSG_JOB_ADOPT, &adopt, on_adopted, incoming->serial);
    } else if (incoming->finishing) {
        folder_free(&incoming->written);
        actor_after(self->me, 0, on_step, incoming->serial);
    } else {
        piece_answer(self, incoming);
    }
}

/* ---- import: a piece ---- */

/* Would the recordings still have room if this import was one of them, as far as it has come? */
static int room_check(const librarian_t *self, const incoming_t *incoming, const msg_room_t *room, refusal_t *no) {
    const incoming_t *other;
    int64_t held = room->held + (int64_t)incoming->piece->data.size, free_bytes;
    fault_t why;
    TAILQ_FOREACH(other, &self->incomings, link) {
        if (other->import) held += (int64_t)import_bytes(other->import);
    }
    if (self->size_limit != LIMIT_NONE && held > self->size_limit)
        return refuse(no, ERROR_NO_SPACE, "recording_size_limit",
                      "with this import the recordings take %lld bytes, and `recording_size_limit` is %lld", (long long)held,
                      (long long)self->size_limit);
    if (folder_free_bytes(actor_config(self->me)->data, &free_bytes, &why) < 0) return refuse(no, ERROR_INTERNAL, NULL, "%s", why.text);
    if (free_bytes - (int64_t)incoming->piece->data.size < self->min_free_disk)
        return refuse(no, ERROR_NO_SPACE, "min_free_disk", "%lld bytes are free in %s; `min_free_disk` is %lld", (long long)free_bytes,
                      actor_config(self->me)->data, (long long)self->min_free_disk);
    return 0;
}

/* Would the imports under way, with this piece, be too much to have open and in memory at once? */
static int load_check(const librarian_t *self, const incoming_t *incoming, refusal_t *no) {
    const incoming_t *other;
    const msg_recording_import_t *m = incoming->piece;
    size_t files = m->has_file && (size_t)m->file >= import_files(incoming->import), waiting = m->data.size;
    TAILQ_FOREACH(other, &self->incomings, link) {
        files += other->import ? import_files(other->import) : 0;
        waiting += other->import ? import_waiting(other->import) : 0;
    }
    if (files > FILES_MAX)
        return refuse(no, ERROR_LIMIT, "file", "the imports under way have %d files, and more cannot be open", FILES_MAX);
    if (waiting > WAITING_MAX)
        return refuse(no, ERROR_LIMIT, "data", "the imports under way have %zu bytes of items that are not whole yet, and %d are the most",
                      waiting, WAITING_MAX);
    return 0;
}

static void import_begin(librarian_t *self, incoming_t *incoming) {
    incoming->import = import_create(&(import_spec_t){.data = actor_config(self->me)->data,
                                                      .recording = incoming->recording,
                                                      .job = incoming->job,
                                                      .pipeline = incoming->pipeline[0] ? incoming->pipeline : NULL,
                                                      .format = incoming->format,
                                                      .tags = incoming->tags,
                                                      .now = actor_now(self->me),
                                                      .segment_bytes = actor_config(self->me)->segment_bytes});
}

static int on_room(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    refusal_t no;
    (void)why;
    if (!incoming) return 0;
    const msg_recording_import_t *m = incoming->piece;
    if (answer->refusal) {
        incoming_refuse(self, incoming, answer->refusal);
        return 0;
    }
    if (!incoming->import) import_begin(self, incoming);
    size_t file = m->has_file ? (size_t)m->file : 0;
    if (room_check(self, incoming, answer->message, &no) < 0 || load_check(self, incoming, &no) < 0 ||
        (m->data.size > 0 && import_feed(incoming->import, file, m->has_tag ? m->tag : NULL, m->data, &no) < 0)) {
        incoming_refuse(self, incoming, &no);
        return 0;
    }
    incoming->finishing = m->has_done && m->done;
    incoming->written = import_written(incoming->import);
    incoming->synced = 0;
    import_go_on(self, incoming);
    return 0;
}

static void piece_take(librarian_t *self, incoming_t *incoming) {
    actor_ask(self->me, "recorder", MSG_ROOM_ASK, &(msg_room_ask_t){0}, on_room, incoming->serial);
}

/* What the pipeline's tags name is asked for where the file does not say it; a pipeline that is not known has none. */
static int on_tags(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    (void)why;
    if (!incoming) return 0;
    if (answer->refusal && answer->refusal->code != ERROR_NOT_FOUND) {
        incoming_refuse(self, incoming, answer->refusal);
        return 0;
    }
    if (answer->message) incoming->tags = record_copy(&message_class(MSG_PIPELINE_TAGS)->record, answer->message);
    piece_take(self, incoming);
    return 0;
}

static int on_numbered(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    librarian_t *self = state;
    incoming_t *incoming = incoming_of(self, serial);
    const msg_job_numbered_t *m = answer->message;
    (void)why;
    if (!incoming) return 0;
    if (answer->refusal) {
        incoming_refuse(self, incoming, answer->refusal);
        return 0;
    }
    snprintf(incoming->recording, sizeof incoming->recording, "%s", m->recording);
    snprintf(incoming->job, sizeof incoming->job, "%s", m->job);
    if (incoming->format->one_tag)
        actor_ask(self->me, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_ask_t){.pipeline = incoming->pipeline}, on_tags,
                  serial);
    else
        piece_take(self, incoming);
    return 0;
}

/* Where there is no place for another, the one that has been silent longest goes, if that is long: somebody has left it. */
static bool place_make(librarian_t *self) {
    incoming_t *incoming, *silent = NULL;
    if (self->count < IMPORTS_MAX) return true;
    TAILQ_FOREACH(incoming, &self->incomings, link) {
        if (!incoming->piece && (!silent || incoming->heard < silent->heard)) silent = incoming;
    }
    if (!silent || actor_ticks(self->me) - silent->heard < YIELD_US) return false;
    incoming_free(self, silent);
    return true;
}

static void import_new(librarian_t *self, const envelope_t *in) {
    const msg_recording_import_t *m = in->message;
    refusal_t no;
    if (!m->has_format) {
        actor_refuse(self->me, in->ticket, ERROR_BAD_REQUEST, "format", "`recording.import`: `format` is missing");
        return;
    }
    const transfer_format_t *format = transfer_find("recording.import", m->format, &no);
    if (!format) {
        actor_refuse_as(self->me, in->ticket, &no);
        return;
    }
    if (format->one_tag && !m->has_pipeline) {
        actor_refuse(self->me, in->ticket, ERROR_BAD_REQUEST, "pipeline",
                     "`recording.import`: a file in the format `%s` does not say of which pipeline it is: `pipeline` is needed",
                     format->name);
        return;
    }
    if (!place_make(self)) {
        actor_refuse(self->me, in->ticket, ERROR_LIMIT, NULL, "%d imports are under way, and more cannot be", IMPORTS_MAX);
        return;
    }
    incoming_t *incoming = calloc(1, sizeof *incoming);
    must(incoming);
    incoming->serial = ++self->last_serial;
    incoming->format = format;
    incoming->ticket = in->ticket;
    incoming->piece = record_copy(&message_class(MSG_RECORDING_IMPORT)->record, m);
    if (m->has_pipeline) snprintf(incoming->pipeline, sizeof incoming->pipeline, "%s", m->pipeline);
    TAILQ_INSERT_TAIL(&self->incomings, incoming, link);
    self->count++;
    actor_ask(self->me, "job_supervisor", MSG_JOB_NUMBER, &(msg_job_number_t){0}, on_numbered, incoming->serial);
}

/* The next piece of an import that is known; one that was taken already is answered as then. */
static void import_more(librarian_t *self, incoming_t *incoming, const envelope_t *in) {
    const msg_recording_import_t *m = in->message;
    int64_t seq = m->has_seq ? m->seq : incoming->taken + 1;
    if (incoming->piece && (incoming->whole || !m->has_abandon || !m->abandon)) {
        actor_refuse(self->me, in->ticket, ERROR_CONFLICT, "seq", "a piece of import %s is being worked on: send one after the other",
                     incoming->recording);
    } else if (m->has_abandon && m->abandon) {
        actor_refuse(self->me, incoming->ticket, ERROR_CONFLICT, "import", "import %s was abandoned meanwhile", incoming->recording);
        msg_imported_t gone = {.import = m->import, .next = incoming->taken + 1};
        incoming_free(self, incoming);
        actor_answer(self->me, in->ticket, &gone);
    } else if (seq <= incoming->taken) {
        actor_answer(self->me, in->ticket,
                     &(msg_imported_t){.import = incoming->recording,
                                       .next = incoming->taken + 1,
                                       .elements = (int64_t)import_elements(incoming->import)});
    } else if (seq > incoming->taken + 1) {
        refusal_t no;
        refuse(&no, ERROR_CONFLICT, "seq", "piece %lld of import %s is missing: %lld came", (long long)incoming->taken + 1,
               incoming->recording, (long long)seq);
        no.expected = incoming->taken + 1;
        actor_refuse_as(self->me, in->ticket, &no);
    } else {
        incoming->ticket = in->ticket;
        incoming->piece = record_copy(&message_class(MSG_RECORDING_IMPORT)->record, m);
        actor_cancel(self->me, &incoming->silence);
        piece_take(self, incoming);
    }
}

static int on_import(void *state, const envelope_t *in, fault_t *why) {
    librarian_t *self = state;
    const msg_recording_import_t *m = in->message;
    (void)why;
    incoming_t *incoming = m->has_import ? incoming_named(self, m->import) : NULL;
    if (!m->has_import)
        import_new(self, in);
    else if (incoming)
        import_more(self, incoming, in);
    else
        actor_refuse(self->me, in->ticket, ERROR_NOT_FOUND, "import", "there is no import %s: it has ended, or is to begin again",
                     m->import);
    return 0;
}

/* ---- the class ---- */

const actor_class_t librarian_class = {
    .name = "librarian",
    .doc = "Gives recordings out as files in other formats, and makes recordings of such files.",
    .create = librarian_create,
    .destroy = librarian_destroy,
    .takes =
        {
            [MSG_RECORDING_EXPORT] = librarian_on_export,
            [MSG_RECORDING_EVENTS] = librarian_on_events,
            [MSG_RECORDING_IMPORT] = on_import,
            [MSG_OPTIONS_CHANGED] = on_options_changed,
        },
    .sends = {MSG_OPTIONS_GET, MSG_RECORDING_LOCATE, MSG_ROOM_ASK, MSG_SYNC, MSG_PIPELINE_TAGS_ASK, MSG_JOB_NUMBER, MSG_JOB_ADOPT,
              MSG_SIGNATURE_RECORD, MSG_PIPELINE_DEFINE, MSG_NONE},
};
