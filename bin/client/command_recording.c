/* Recordings: `recordings`, `verify`, `fetch`, `keep`, `delete`. */
#include <string.h>

#include "../../messages/wire.h"
#include "command_list.h"
#include "element.h"
#include "table.h"
#include "units.h"

static const flag_t no_flags[] = {{0}};

static void recordings_print(const msg_recordings_t *recordings) {
    table_t table;
    table_init(&table, (const char *const[]){"RECORDING", "~PIPELINE", "STATE", ">ELEMENTS", ">SIZE", "BEGUN", NULL});
    for (size_t i = 0; i < recordings->recordings.count; i++) {
        const msg_recording_t *recording = &recordings->recordings.items[i];
        table_add(&table, "%s", recording->recording);
        table_add(&table, "%s", recording->pipeline);
        table_add(&table, "%s%s%s", recording->state, recording->kept ? ", kept" : "", recording->has_invalidated ? ", invalid" : "");
        table_add(&table, "%s", units_count(recording->elements).text);
        table_add(&table, "%s", units_bytes(recording->size).text);
        table_add(&table, "%.16s",
                  recording->start ? units_time(recording->start).text : ""); /* to the minute: seconds take the names' room */
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static status_t recordings(client_t *client, const call_t *call) {
    (void)call;
    reply_t reply = {0};
    msg_recording_list_t ask = {0};
    status_t status = client_ask(client, MSG_RECORDING_LIST, &ask, &reply);
    if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (status == STATUS_OK) {
        recordings_print(reply.message);
    }
    reply_fini(&reply);
    return status;
}

const command_t command_recordings = {
    .name = "recordings",
    .synopsis = "",
    .doc = "List the recordings.",
    .flags = no_flags,
    .run = recordings,
};

/* The id of the recording that the first argument names, itself or by its pipeline. `found` holds it. */
static status_t recording_named(client_t *client, const call_t *call, reply_t *found, const char **ret_id) {
    bool by_pipeline;
    status_t status = client_find_recording(client, call->arguments[0], found, &by_pipeline);
    if (status == STATUS_OK) {
        *ret_id = ((const msg_recording_t *)found->message)->recording;
    }
    return status;
}

/* ---- verify ---- */

static void verified_print(const char *recording, const msg_recording_verified_t *verified) {
    printf("%s is %s: %s, %s, %s read\n", recording, verified->intact ? "intact" : "damaged",
           units_things(verified->records, "record").text, units_things(verified->elements, "element").text,
           units_bytes(verified->bytes).text);
    for (size_t i = 0; i < verified->damage.count; i++) {
        const msg_damage_t *damage = &verified->damage.items[i];
        printf("  %s at byte %s: %s\n", damage->segment, units_count(damage->offset).text, damage->what);
    }
}

static status_t verify(client_t *client, const call_t *call) {
    reply_t found = {0}, reply = {0};
    msg_recording_verify_t ask = {.has_recording = true};
    status_t status = recording_named(client, call, &found, &ask.recording);
    if (status == STATUS_OK) {
        /* A large recording takes long to read, and silence is no sign of failure. */
        int64_t size = ((const msg_recording_t *)found.message)->size, reading_ms = size / 10000;
        status = client_ask_within(client, MSG_RECORDING_VERIFY, &ask, client->timeout_ms + reading_ms, &reply);
    }
    if (status == STATUS_OK) {
        const msg_recording_verified_t *verified = reply.message;
        if (client->json) {
            client_print(client, &reply);
        } else {
            verified_print(ask.recording, verified);
        }
        if (!verified->intact) {
            status = client_fail(client, STATUS_FAILED, "recording `%s` is damaged in %zu place%s", ask.recording, verified->damage.count,
                                 verified->damage.count == 1 ? "" : "s");
        }
    }
    reply_fini(&found);
    reply_fini(&reply);
    return status;
}

const command_t command_verify = {
    .name = "verify",
    .synopsis = "PIPELINE|RECORDING",
    .doc = "Read a whole recording and check every byte.",
    .more = "Exit status 1 if anything in it is damaged.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = no_flags,
    .run = verify,
};

/* ---- fetch ---- */

/* Of the answer's `elements` [[tag, time, bytes, attributes?], …], one after the other; false after the last. `at` is its bytes. */
static bool element_next(bytes_t *at, element_t *element) {
    if (at->size == 0) {
        return false;
    }
    size_t header = 1; /* an element is a fixarray of 3 or 4 */
    bytes_t rest = {at->data + header, at->size - header}, parts[4] = {{0}};
    size_t count = (size_t)(at->data[0] & 0x0f);
    if ((at->data[0] & 0xf0) != 0x90 || count < 3 || count > 4) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        parts[i] = (bytes_t){rest.data, wire_value_size(rest)};
        rest = (bytes_t){rest.data + parts[i].size, rest.size - parts[i].size};
    }
    *at = rest;
    const char *tag;
    *element = (element_t){.attributes = parts[3]};
    return wire_text(parts[0], &tag, &element->tag.size) && (element->tag.data = (const uint8_t *)tag, true) &&
           wire_int(parts[1], &element->event_time) && element_bin(parts[2], &element->payload);
}

static size_t array_header_size(bytes_t array) {
    return array.data[0] == 0xdd ? 5 : array.data[0] == 0xdc ? 3 : 1;
}

static void elements_print(const client_t *client, const msg_elements_fetched_t *fetched) {
    size_t header = array_header_size(fetched->elements);
    bytes_t at = {fetched->elements.data + header, fetched->elements.size - header};
    element_t element;
    if (client->json) {
        printf("{\"ok\":true,\"elements\":[");
    }
    for (size_t i = 0; element_next(&at, &element); i++) {
        if (client->json && i > 0) {
            printf(",\n");
        }
        element_print_json(stdout, &element);
        if (!client->json) {
            printf("\n");
        }
    }
    if (client->json) {
        printf("],\"next\":%lld,\"complete\":%s}\n", (long long)fetched->next, fetched->complete ? "true" : "false");
    }
}

static status_t fetch_parse(client_t *client, const call_t *call, msg_recording_fetch_t *ask) {
    ask->tag = call_value(call, "tag");
    ask->has_tag = ask->tag != NULL;
    status_t status = call_quantity(client, call, "from", units_parse_count, &ask->has_from, &ask->from);
    return status == STATUS_OK ? call_quantity(client, call, "max", units_parse_count, &ask->has_max, &ask->max) : status;
}

static status_t fetch(client_t *client, const call_t *call) {
    reply_t found = {0}, reply = {0};
    msg_recording_fetch_t ask = {.has_recording = true};
    status_t status = fetch_parse(client, call, &ask);
    if (status == STATUS_OK) {
        status = recording_named(client, call, &found, &ask.recording);
    }
    if (status == STATUS_OK) {
        status = client_ask(client, MSG_RECORDING_FETCH, &ask, &reply);
    }
    if (status == STATUS_OK) {
        elements_print(client, reply.message);
    }
    reply_fini(&found);
    reply_fini(&reply);
    return status;
}

static const flag_t fetch_flags[] = {
    {"tag", "TAG", "Only this tag."},
    {"from", "NUMBER", "Begin at this element, counted over the whole recording from 0."},
    {"max", "COUNT", "No more than these; 100 by default."},
    {0},
};
const command_t command_fetch = {
    .name = "fetch",
    .synopsis = "PIPELINE|RECORDING",
    .doc = "Print some elements of a recording, as JSON lines.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = fetch_flags,
    .run = fetch,
};

/* ---- keep, delete ---- */

static status_t keep(client_t *client, const call_t *call) {
    reply_t found = {0}, reply = {0};
    msg_recording_keep_t ask = {.has_recording = true, .has_kept = true, .kept = !call_has(call, "release")};
    status_t status = recording_named(client, call, &found, &ask.recording);
    if (status == STATUS_OK) {
        status = client_ask(client, MSG_RECORDING_KEEP, &ask, &reply);
    }
    if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (status == STATUS_OK) {
        printf("%s is %s\n", ask.recording, ask.kept ? "kept" : "no longer kept");
    }
    reply_fini(&found);
    reply_fini(&reply);
    return status;
}

static const flag_t keep_flags[] = {
    {"release", NULL, "Keep it no longer."},
    {0},
};
const command_t command_keep = {
    .name = "keep",
    .synopsis = "PIPELINE|RECORDING",
    .doc = "Keep a recording even when its sources change.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = keep_flags,
    .run = keep,
};

static status_t delete (client_t *client, const call_t *call) {
    reply_t reply = {0};
    msg_recording_delete_t one = {.has_recording = true, .recording = call->arguments[0]};
    msg_recording_clear_t all = {.has_pipeline = true, .pipeline = call->arguments[0]};
    bool clear = call_has(call, "all");
    status_t status = client_ask(client, clear ? MSG_RECORDING_CLEAR : MSG_RECORDING_DELETE, clear ? (const void *)&all : &one, &reply);
    if (status == STATUS_OK && clear && ((const msg_recordings_dropped_t *)reply.message)->recordings.count == 0) {
        status = client_know_pipeline(client, call->arguments[0], "no pipeline");
    }
    if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (status == STATUS_OK) {
        const msg_recordings_dropped_t *dropped = reply.message;
        for (size_t i = 0; i < dropped->recordings.count; i++) {
            printf("%s is deleted\n", dropped->recordings.items[i]);
        }
        if (dropped->recordings.count == 0) {
            printf("there was nothing to delete\n");
        }
    }
    reply_fini(&reply);
    return status;
}

static const flag_t delete_flags[] = {
    {"all", NULL, "Delete all recordings of a pipeline, except those that are kept."},
    {0},
};
const command_t command_delete = {
    .name = "delete",
    .synopsis = "RECORDING | --all PIPELINE",
    .doc = "Delete a recording.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = delete_flags,
    .run = delete,
};
