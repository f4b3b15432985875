/* A document that is written by hand is wrong soon after the code has changed. These pages are printed from the lists that the code is
 * made from, so they cannot say anything else; what is written here is only what the lists do not know: the rules that hold for all. */
#include "docs.h"

#include <ctype.h>
#include <string.h>

#include "codec.h"
#include "connectors.h"
#include "fault.h"
#include "message.h"

enum { RECORDS_MAX = 64 };

typedef struct endpoint {
    unsigned scope;
    const char *name, *title, *doc;
} endpoint_t;

static const endpoint_t endpoints[] = {
    {SCOPE_COMMANDS, "commands", "Commands",
     "`tcp://127.0.0.1:5570`, a ROUTER: connect a REQ (one request at a time) or a DEALER (as many as you like, told apart by `id`). "
     "Every request gets exactly one answer."},
    {SCOPE_INGEST, "ingest", "Ingest",
     "`tcp://127.0.0.1:5571`, a ROUTER: connect a DEALER. A source attaches to a running job, sends numbered batches, and keeps each until "
     "it is acknowledged. It may send while the bytes of all frames that are not acknowledged are below `credit`; after a reconnect "
     "it attaches again and goes on from `next_seq`. What is sent twice is stored once."},
    {SCOPE_TEST_STREAM, "test_stream", "Test stream",
     "`tcp://127.0.0.1:5572`, a ROUTER: connect a DEALER. A client opens replays and is sent their events, as fast as its credit (bytes "
     "of all frames) allows. The same recording and the same request give the same events, byte for byte. At the end of a recording every "
     "tag's watermark goes to 9223372036854775000."},
};
enum { ENDPOINTS = sizeof endpoints / sizeof *endpoints };

static bool from_client(message_id_t id) {
    return message_class(id)->permission != PERMISSION_ENGINE;
}

static bool spoken_at(message_id_t id, const endpoint_t *endpoint) {
    const message_class_t *class = message_class(id);
    return class->kind != KIND_ANSWER && (class->scope & endpoint->scope) != 0;
}

/* ---- Markdown */
static void cell_print(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
    }
}

/* Where a heading's link goes: lower case, without punctuation. */
static void anchor_print(FILE *out, const char *heading) {
    for (; *heading != '\0'; heading++) {
        if (isalnum((unsigned char)*heading) || *heading == '_' || *heading == '-') {
            fputc(tolower((unsigned char)*heading), out);
        } else if (*heading == ' ') {
            fputc('-', out);
        }
    }
}

static void type_print(FILE *out, const field_t *field) {
    if (field->record == NULL) {
        fprintf(out, "[%s](#types)", field_kind_name(field->kind));
        return;
    }
    fprintf(out, "%s[%s](#the-map-%s)",
            field->kind == TYPE_LIST    ? "list of "
            : field->kind == TYPE_NAMED ? "[NAME](#types) or "
                                        : "",
            field->record->name, field->record->name);
}

static void fields_print(FILE *out, const record_class_t *record) {
    if (record->fields->name == NULL) {
        return;
    }
    fprintf(out, "\n| field | type | | |\n|---|---|---|---|\n");
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        fprintf(out, "| `%s` | ", field->name);
        type_print(out, field);
        fprintf(out, " | %s | ", field->required ? "required" : "optional");
        cell_print(out, field->doc);
        fprintf(out, " |\n");
    }
}

/* ---- the page of the protocol */
typedef struct records {
    size_t count;
    const record_class_t *items[RECORDS_MAX];
} records_t;

/* Gathers the records that a record's fields are made of, in the order in which a reader meets them. */
static void records_gather(records_t *records, const record_class_t *record) {
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        bool known = field->record == NULL;
        for (size_t i = 0; i < records->count; i++) {
            known = known || records->items[i] == field->record;
        }
        if (!known) {
            must(records->count < RECORDS_MAX);
            records->items[records->count++] = field->record;
            records_gather(records, field->record);
        }
    }
}

static void message_print(FILE *out, message_id_t id, records_t *records) {
    const message_class_t *class = message_class(id);
    fprintf(out, "\n### `%s`\n\n%s", class->wire, class->record.doc);
    if (class->kind != KIND_REQUEST) {
        fprintf(out, " *%s, not answered.*", from_client(id) ? "From the client" : "From the engine");
    }
    fprintf(out, "\n");
    if (from_client(id)) {
        fprintf(out, "\n*Permission:* %s.\n", permission_name(class->permission));
    }
    fields_print(out, &class->record);
    records_gather(records, &class->record);
    if (class->kind == KIND_REQUEST) {
        const record_class_t *answer = record_class_of(class->answer);
        fprintf(out, "\n*Answer:* %s\n", answer->doc);
        fields_print(out, answer);
        records_gather(records, answer);
    }
}

static void endpoint_print(FILE *out, const endpoint_t *endpoint, records_t *records) {
    fprintf(out, "\n## %s\n\n%s\n\n| | |\n|---|---|\n", endpoint->title, endpoint->doc);
    for (message_id_t id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        if (spoken_at(id, endpoint)) {
            const message_class_t *class = message_class(id);
            fprintf(out, "| [`%s`](#", class->wire);
            anchor_print(out, class->wire);
            fprintf(out, ") | ");
            cell_print(out, class->record.doc);
            fprintf(out, " |\n");
        }
    }
    for (message_id_t id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        bool printed = false; /* at another endpoint */
        for (const endpoint_t *before = endpoints; before < endpoint; before++) {
            printed = printed || spoken_at(id, before);
        }
        if (spoken_at(id, endpoint) && !printed) {
            message_print(out, id, records);
        }
    }
}

static const char protocol_intro[] =
    "# The protocol, version 1\n\n"
    "What a Reprise engine and its clients say to each other. Any language that has ZeroMQ and msgpack can speak it; this is a whole "
    "client:\n\n"
    "```python\n"
    "import msgpack, zmq\n\n"
    "engine = zmq.Context().socket(zmq.REQ)\n"
    "engine.connect(\"tcp://127.0.0.1:5570\")\n"
    "engine.send(msgpack.packb({\"op\": \"engine.info\"}))\n"
    "print(msgpack.unpackb(engine.recv()))\n"
    "```\n\n"
    "The page is printed from the lists that the engine is made from (`reprise-docs protocol`), so the two cannot differ. "
    "The same as data: [`engine.protocol`](#engineprotocol). Error codes: [errors.md](errors.md). Options: [options.md](options.md).\n\n"
    "## Rules for all messages\n\n"
    "- A message is one frame: a msgpack **map** with a text `op` (a request, or a message to the other side), `event` (a part of a "
    "replay) or `ok` (an answer).\n"
    "- Where a message carries elements, a second frame follows, the **body**: a msgpack list of elements, each `[event time, bytes]` or "
    "`[event time, bytes, attributes]`. The event time is a whole number within int64, the second part is msgpack bin, the attributes "
    "are a map of text to text or bytes. Elements are counted from 0.\n"
    "- `id`, any value of up to 4,096 bytes, is optional in a request and comes back in its answer.\n"
    "- An answer is `{\"ok\": true, …}`, with the fields named below, or\n"
    "  `{\"ok\": false, \"error\": {\"code\", \"message\", \"field\"?, \"retry\"?, \"expected\"?}}`. `message` names the thing that is "
    "wrong, "
    "`field` its path (`pipeline.transforms[2].urn`), `retry: true` means that the same request may succeed later.\n"
    "- Times are whole numbers of **microseconds** since the epoch. A field that ends in `_ms` or `_us` is a duration. Sizes are bytes.\n"
    "- Fields that are not known are ignored; `nil` is as good as absent (but for a LIMIT, where it means: no limit). A field that is "
    "missing, of another type, out of range or given twice is `bad_request`.\n"
    "- A message may have 16 MiB (less where [options](options.md) say so), 64 levels and a million values; an ANY may have 32 levels.\n"
    "- On ingest and test stream, the engine sends `ping` when nothing else was said for 2 s, or for a third of the time-out where that is "
    "shorter. Whoever stays silent for longer than `worker_timeout_ms` or `replay_timeout_ms` is let go, and the connection is closed; any "
    "message is a sign of life, and `pong` is one.\n"
    "- Where the engine has keys ([security.md](security.md)), the key must allow what is asked: read, write (which includes read) or "
    "admin (all); below it says which. A pipeline given as a definition needs write. What is not allowed is `unauthorized`.\n"
    "- A message about something that the engine does not know (it was restarted, say) is answered `not_found` with `retry`: attach or "
    "open again, from where you were. What an engine was told that then died is lost, and the next one pings nobody whom it does not know: "
    "whoever hears nothing for several pings attaches or opens again, too.\n";

static const char protocol_notifications[] =
    "\n## Notifications\n\n"
    "`tcp://127.0.0.1:5573`, a PUB: connect a SUB and subscribe to the topics, or to the empty topic for all. Two frames: the topic, and a "
    "map "
    "`{seq, boot, at, …}`: a number that grows by one, the start of the process that counts it, the time, then the subject (`job`, "
    "`recording`, `pipeline`, `actor` or `worker`), its new `state`, `detail` where there is more to say, and of an actor `count`, how "
    "often that "
    "happened so far. Notifications are hints that may be "
    "lost; "
    "[`job.wait`](#jobwait) is sure.\n\n"
    "Topics: `job.state` `recording.invalidated` `recording.complete` `limit.reached` `pipeline.tracked` `pipeline.forgotten` "
    "`test_stream.started` `test_stream.stopped` `actor.failed` `actor.restarted` `worker.joined` `worker.lost`.\n";

static void types_print(FILE *out) {
    fprintf(out, "\n## Types\n\n| type | what it takes |\n|---|---|\n");
    for (field_kind_t kind = 0; kind < TYPE_LIST; kind++) {
        fprintf(out, "| %s | ", field_kind_name(kind));
        cell_print(out, field_kind_doc(kind));
        fprintf(out, " |\n");
    }
}

static void protocol_print(FILE *out) {
    records_t records = {0};
    fputs(protocol_intro, out);
    types_print(out);
    for (size_t i = 0; i < ENDPOINTS; i++) {
        endpoint_print(out, &endpoints[i], &records);
    }
    fputs(protocol_notifications, out);
    fprintf(out, "\n## Maps\n\nWhat the fields above are made of.\n");
    for (size_t i = 0; i < records.count; i++) {
        fprintf(out, "\n### The map `%s`\n\n%s\n", records.items[i]->name, records.items[i]->doc);
        fields_print(out, records.items[i]);
    }
}

/* ---- the other pages */
static void errors_print(FILE *out) {
    fputs("# Errors\n\n"
          "An answer that is a no carries one of these codes, and a message for people that names the thing:\n\n"
          "```json\n"
          "{\"ok\": false, \"error\": {\"code\": \"bad_request\", \"field\": \"limits.count\",\n"
          "                        \"message\": \"`pipeline.run`: `limits.count` must be a whole number, not text\"}}\n"
          "```\n\n"
          "Decide by the code and never by the message, which may change. With `retry: true`, the same request may succeed later.\n\n"
          "| code | meaning |\n|---|---|\n",
          out);
    for (error_code_t code = 0; code < ERROR_COUNT; code++) {
        fprintf(out, "| `%s` | ", error_name(code));
        cell_print(out, error_doc(code));
        fprintf(out, " |\n");
    }
}

static void default_print(FILE *out, const field_t *field, const uint8_t *member) {
    const names_t *names;
    int64_t whole;
    switch (field->kind) {
    case TYPE_NAMES:
        names = (const names_t *)(const void *)member;
        for (size_t i = 0; i < names->count; i++) {
            fprintf(out, "%s`%s`", i > 0 ? ", " : "", names->items[i]);
        }
        return;
    case TYPE_FLAG: fprintf(out, "%s", *(const bool *)member ? "true" : "false"); return;
    case TYPE_INT:
    case TYPE_COUNT:
    case TYPE_POSITIVE:
    case TYPE_SIZE:
    case TYPE_ROOM:
    case TYPE_QUOTA:
    case TYPE_LIMIT:
        memcpy(&whole, member, sizeof whole);
        if (field->kind == TYPE_LIMIT && whole == LIMIT_NONE) {
            fprintf(out, "nil");
        } else {
            fprintf(out, "%lld", (long long)whole);
        }
        return;
    default: fault_bug("every kind of option can be printed", __FILE__, __LINE__);
    }
}

static void options_print(FILE *out) {
    msg_options_t options;
    options_default(&options);
    fputs("# Options\n\n"
          "What can be changed while the engine runs, with `options.set` or `reprise options NAME=VALUE`. A change outlives a restart. "
          "Where the engine listens and stores is set when it starts: see `reprised --help`. "
          "Types: [protocol.md](protocol.md#types).\n\n"
          "| option | type | default | |\n|---|---|---|---|\n",
          out);
    for (const field_t *field = record_class_of(MSG_OPTIONS)->fields; field->name != NULL; field++) {
        fprintf(out, "| `%s` | %s | ", field->name, field_kind_name(field->kind));
        default_print(out, field, (const uint8_t *)&options + field->offset);
        fprintf(out, " | ");
        cell_print(out, field->doc);
        fprintf(out, " |\n");
    }
}

static void counters_print(FILE *out) {
    fputs("# Counters\n\n"
          "What the engine counts from its start on, as `engine.stats` shows it. They only grow; a restarted actor goes on counting.\n\n"
          "| counter | what it counts |\n|---|---|\n",
          out);
    for (counter_t counter = 0; counter < COUNTER_COUNT; counter++) {
        fprintf(out, "| `%s` | ", counter_name(counter));
        cell_print(out, counter_doc(counter));
        fprintf(out, " |\n");
    }
}

/* What they can, a line each. */
static void abilities_print(FILE *out, const connector_t *list, size_t count) {
    fputs("\n## What each can\n\n| source |", out);
    for (size_t i = 0; i < CONNECTOR_ABILITIES; i++) fprintf(out, " %s |", connector_ability(i));
    fputs("\n|---|", out);
    for (size_t i = 0; i < CONNECTOR_ABILITIES; i++) fputs("---|", out);
    fputc('\n', out);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].abilities[0]) continue;
        fprintf(out, "| [`%s`](#%s_payload) |", list[i].name, list[i].name);
        for (size_t a = 0; a < CONNECTOR_ABILITIES; a++) {
            fputc(' ', out);
            cell_print(out, list[i].abilities[a]);
            fputs(" |", out);
        }
        fputc('\n', out);
    }
    fputs("\n*cursor*: the position that is recorded together with the elements. *resume*: what a restart of the engine or of the system "
          "outside leaves.\n"
          "*back-pressure*: what happens while the engine takes no more.\n",
          out);
}

static void sources_print(FILE *out) {
    size_t count;
    const connector_t *list = connectors(&count);
    fprintf(out,
            "# Sources inside the engine\n\n"
            "A transform whose `urn` is one of these is run by the engine itself; its `payload` is a map of the fields below. An unknown\n"
            "field is refused. `reprise:source:push:v1` takes any payload, or none: whoever attaches to the ingest endpoint, or uses\n"
            "`push`, feeds it.\n");
    abilities_print(out, list, count);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].payload) continue;
        fprintf(out, "\n## %s\n\n%s\n\nAs a URL: `%s`\n", list[i].payload->name, list[i].payload->doc, list[i].example);
        fields_print(out, list[i].payload);
    }
    types_print(out);
}

int docs_print(FILE *out, const char *page) {
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } pages[] = {{"protocol", protocol_print},
                 {"errors", errors_print},
                 {"options", options_print},
                 {"counters", counters_print},
                 {"sources", sources_print}};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(pages[i].name, page) == 0) {
            pages[i].print(out);
            return 0;
        }
    }
    return -1;
}

/* ---- the protocol as data */
static void text_pack(msgpack_packer *packer, const char *text) {
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void pair_pack(msgpack_packer *packer, const char *key, const char *text) {
    text_pack(packer, key);
    text_pack(packer, text);
}

static void fields_pack(msgpack_packer *packer, const record_class_t *record) {
    size_t count = 0;
    while (record->fields[count].name != NULL) {
        count++;
    }
    msgpack_pack_array(packer, count);
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        msgpack_pack_map(packer, field->record != NULL ? 6 : 4);
        pair_pack(packer, "name", field->name);
        pair_pack(packer, "type", field_kind_name(field->kind));
        text_pack(packer, "required");
        (field->required ? msgpack_pack_true : msgpack_pack_false)(packer);
        pair_pack(packer, "doc", field->doc);
        if (field->record != NULL) {
            pair_pack(packer, "of", field->record->name);
            text_pack(packer, "fields");
            fields_pack(packer, field->record);
        }
    }
}

static void op_pack(msgpack_packer *packer, message_id_t id, const endpoint_t *endpoint) {
    static const char *const kinds[] = {[KIND_REQUEST] = "request", [KIND_ANSWER] = "answer", [KIND_TELL] = "tell", [KIND_EVENT] = "event"};
    const message_class_t *class = message_class(id);
    msgpack_pack_map(packer, 8);
    pair_pack(packer, "op", class->wire);
    pair_pack(packer, "endpoint", endpoint->name);
    pair_pack(packer, "kind", kinds[class->kind]);
    pair_pack(packer, "from", from_client(id) ? "client" : "engine");
    pair_pack(packer, "permission", permission_name(class->permission));
    pair_pack(packer, "doc", class->record.doc);
    text_pack(packer, "fields");
    fields_pack(packer, &class->record);
    text_pack(packer, "answer");
    if (class->kind == KIND_REQUEST) {
        fields_pack(packer, record_class_of(class->answer));
    } else {
        msgpack_pack_nil(packer);
    }
}

void docs_protocol_ops(msgpack_packer *packer, bool chaos) {
    size_t count = 0;
    for (int packed = 0; packed < 2; packed++) {
        if (packed == 1) {
            msgpack_pack_array(packer, count);
        }
        for (size_t i = 0; i < ENDPOINTS; i++) {
            for (message_id_t id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
                if (!spoken_at(id, &endpoints[i]) || (message_is_chaos(id) && !chaos)) {
                    continue;
                }
                count++;
                if (packed == 1) {
                    op_pack(packer, id, &endpoints[i]);
                }
            }
        }
    }
}

void docs_protocol_errors(msgpack_packer *packer) {
    msgpack_pack_array(packer, ERROR_COUNT);
    for (error_code_t code = 0; code < ERROR_COUNT; code++) {
        msgpack_pack_map(packer, 2);
        pair_pack(packer, "code", error_name(code));
        pair_pack(packer, "doc", error_doc(code));
    }
}
