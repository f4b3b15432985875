/* What concerns the engine as a whole: `status`, `options`, `stop`. */
#include <stdlib.h>
#include <string.h>

#include "command_list.h"
#include "print.h"
#include "table.h"
#include "units.h"

/* ---- status ---- */

static void engine_print(const msg_engine_t *engine) {
    printf("reprised %s, process %lld, up %s\n", engine->version, (long long)engine->pid, units_duration_ms(engine->uptime_ms).text);
    const msg_endpoints_t *endpoints = &engine->endpoints;
    table_pair(stdout, "commands", "%s", endpoints->commands);
    table_pair(stdout, "ingest", "%s", endpoints->ingest);
    table_pair(stdout, "test stream", "%s", endpoints->test_stream);
    table_pair(stdout, "notifications", "%s", endpoints->notifications);
    if (endpoints->beam) {
        table_pair(stdout, "beam", "%s", endpoints->beam);
    }
}

/* One that has not answered for two seconds may be stuck. */
static void actor_state_add(table_t *table, const msg_actor_state_t *actor) {
    enum { SILENCE_MS = 2000 };
    if (actor->silent_ms >= SILENCE_MS) {
        table_add(table, "%s, silent for %s", actor->state, units_duration_ms(actor->silent_ms).text);
    } else {
        table_add(table, "%s", actor->state);
    }
}

typedef struct mishap {
    const char *actor;
    const msg_actor_failure_t *failure;
} mishap_t;

static int mishap_order(const void *a, const void *b) {
    int64_t one = ((const mishap_t *)a)->failure->at, other = ((const mishap_t *)b)->failure->at;
    return (one > other) - (one < other);
}

/* What has failed, in the order in which it did. */
static void failures_print(const msg_actors_t *actors) {
    size_t count = 0;
    for (size_t i = 0; i < actors->actors.count; i++) {
        count += actors->actors.items[i].failures.count;
    }
    if (count == 0) {
        return;
    }
    mishap_t *mishaps = calloc(count, sizeof *mishaps);
    must(mishaps);
    count = 0;
    for (size_t i = 0; i < actors->actors.count; i++) {
        const msg_actor_state_t *actor = &actors->actors.items[i];
        for (size_t k = 0; k < actor->failures.count; k++) {
            mishaps[count++] = (mishap_t){actor->name, &actor->failures.items[k]};
        }
    }
    qsort(mishaps, count, sizeof *mishaps, mishap_order);
    table_t table;
    table_init(&table, (const char *const[]){"FAILED AT", "ACTOR", "~WHY", NULL});
    for (size_t i = 0; i < count; i++) {
        table_add(&table, "%s", units_time(mishaps[i].failure->at).text);
        table_add(&table, "%s", mishaps[i].actor);
        table_add(&table, "%s", mishaps[i].failure->why);
    }
    printf("\n");
    table_print(&table, stdout);
    table_fini(&table);
    free(mishaps);
}

static void actors_print(const msg_actors_t *actors) {
    table_t table;
    table_init(&table, (const char *const[]){"ACTOR", "STATE", ">RESTARTS", ">UP", NULL});
    for (size_t i = 0; i < actors->actors.count; i++) {
        const msg_actor_state_t *actor = &actors->actors.items[i];
        table_add(&table, "%s", actor->name);
        actor_state_add(&table, actor);
        table_add(&table, "%s", units_count(actor->restarts).text);
        table_add(&table, "%s", units_duration_ms(actor->uptime_ms).text);
    }
    printf("\n");
    table_print(&table, stdout);
    table_fini(&table);
    failures_print(actors);
}

static void counters_print(const json_t *stats) {
    const char *name;
    json_t *value;
    printf("\n");
    json_object_foreach(json_object_get(stats, "counters"), name, value) {
        printf("%-22s %s\n", name, units_count(json_integer_value(value)).text);
    }
}

static void jobs_count_print(const msg_jobs_t *jobs) {
    size_t running = 0;
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        running += jobs->jobs.items[i].is_running;
    }
    table_pair(stdout, "jobs", "%zu running, %zu in all", running, jobs->jobs.count);
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        const msg_job_t *job = &jobs->jobs.items[i];
        for (size_t k = 0; k < job->waits.count; k++) {
            table_pair(stdout, k ? "" : "waits", "%s, %s", job->pipeline, job->waits.items[k]);
        }
    }
}

static void worker_source_add(table_t *table, const msg_worker_source_t *source) {
    table_add(table, "%s", source->pipeline);
    table_add(table, "%s", source->tag);
    table_add(table, "%s", source->urn);
    table_add(table, "%s", source->has_waiting_ms ? units_duration_ms(source->waiting_ms).text : "");
}

/* Who runs what; a worker without a source stands there with what it could run. */
static void workers_print(const msg_workers_t *workers) {
    if (workers->workers.count == 0 && workers->waiting.count == 0) {
        return;
    }
    table_t table;
    table_init(&table, (const char *const[]){"WORKER", "PIPELINE", "TAG", "~URN", ">UNFED FOR", NULL});
    for (size_t i = 0; i < workers->workers.count; i++) {
        const msg_worker_t *worker = &workers->workers.items[i];
        for (size_t k = 0; k < worker->sources.count; k++) {
            table_add(&table, "%s", worker->worker);
            worker_source_add(&table, &worker->sources.items[k]);
        }
        for (size_t k = 0; worker->sources.count == 0 && k < worker->urns.count; k++) {
            table_add(&table, "%s", worker->worker);
            worker_source_add(&table, &(msg_worker_source_t){.pipeline = "-", .tag = "-", .urn = worker->urns.items[k]});
        }
    }
    for (size_t i = 0; i < workers->waiting.count; i++) {
        table_add(&table, "nobody");
        worker_source_add(&table, &workers->waiting.items[i]);
    }
    printf("\n");
    table_print(&table, stdout);
    table_fini(&table);
}

/* A part of the engine may be failing while one looks: what can be told is told. */
static void status_part(client_t *client, message_id_t id, const char *key, json_t *document, reply_t *reply) {
    static const uint8_t nothing[64] = {0};
    must(message_class(id)->record.size <= sizeof nothing);
    if (client_ask(client, id, nothing, reply) == STATUS_OK) {
        json_t *json = reply_json(reply);
        json_object_set(document, key, json_object_get(json, key));
        json_decref(json);
    } else {
        reply->message = NULL;
        json_object_set_new(document, key, json_null());
        if (!client->json) {
            table_pair(stdout, key, "unknown: %s", client->no.message);
        }
    }
}

static void status_parts(client_t *client, const call_t *call, json_t *document) {
    reply_t jobs = {0}, workers = {0}, actors = {0}, counters = {0};
    status_part(client, MSG_JOB_LIST, "jobs", document, &jobs);
    if (jobs.message && !client->json) {
        jobs_count_print(jobs.message);
    }
    status_part(client, MSG_ENGINE_ACTORS, "actors", document, &actors);
    if (actors.message && !client->json) {
        actors_print(actors.message);
    }
    status_part(client, MSG_WORKER_LIST, "workers", document, &workers);
    if (workers.message && !client->json) {
        workers_print(workers.message);
    }
    if (client->json || call_has(call, "counters")) {
        status_part(client, MSG_ENGINE_STATS, "counters", document, &counters);
        if (counters.message && !client->json) {
            counters_print(document);
        }
    }
    reply_fini(&jobs);
    reply_fini(&workers);
    reply_fini(&actors);
    reply_fini(&counters);
}

static status_t status(client_t *client, const call_t *call) {
    reply_t reply = {0};
    msg_engine_info_t ask = {0};
    status_t result = client_ask(client, MSG_ENGINE_INFO, &ask, &reply);
    if (result == STATUS_OK) {
        json_t *document = json_pack("{s:b, s:o}", "ok", 1, "engine", reply_json(&reply));
        if (!client->json) {
            engine_print(reply.message);
        }
        status_parts(client, call, document);
        if (client->json) {
            client_print_json(client, json_incref(document));
        }
        json_decref(document);
    }
    reply_fini(&reply);
    return result;
}

static const flag_t status_flags[] = {
    {"counters", NULL, "Show what the engine has counted, too."},
    {0},
};
const command_t command_status = {
    .name = "status",
    .synopsis = "",
    .doc = "Show the engine, its endpoints, its actors and its workers.",
    .flags = status_flags,
    .run = status,
};

/* ---- options ---- */

/* An option's name tells what it is measured in. */
static const struct measure {
    const char *ending;
    quantity_fn *parse;
    unit_text_t (*print)(int64_t);
} measures[] = {
    {"_ms", units_parse_duration, units_duration_ms}, {"_size_limit", units_parse_bytes, units_bytes},
    {"_size_max", units_parse_bytes, units_bytes},    {"unread_max", units_parse_bytes, units_bytes},
    {"_disk", units_parse_bytes, units_bytes},        {"", units_parse_count, units_count},
};

static const struct measure *measure_of(const char *name) {
    const struct measure *measure = measures;
    size_t size = strlen(name);
    for (;; measure++) {
        size_t ending = strlen(measure->ending);
        if (ending <= size && strcmp(name + size - ending, measure->ending) == 0) {
            return measure;
        }
    }
}

static int flag_parse(const char *text, bool *ret_flag, fault_t *why) {
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true}, {"yes", true}, {"on", true}, {"false", false}, {"no", false}, {"off", false}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].text, text) == 0) {
            *ret_flag = words[i].value;
            return 0;
        }
    }
    return fault_set(why, "`%s` is neither `true` nor `false`", text);
}

/* Splits `text`, which the result borrows. */
static names_t names_split(char *text) {
    names_t names = {0, calloc(strlen(text) + 1, sizeof *names.items)};
    must(names.items);
    char *part;
    while ((part = strsep(&text, ","))) {
        if (*part) {
            names.items[names.count++] = part;
        }
    }
    return names;
}

static int number_parse(const field_t *field, const char *text, int64_t *ret_value, fault_t *why) {
    if (field->kind == TYPE_LIMIT && strcmp(text, "none") == 0) {
        *ret_value = LIMIT_NONE;
        return 0;
    }
    return measure_of(field->name)->parse(text, ret_value, why);
}

static int option_parse(char *text, uint8_t *ask, fault_t *why) {
    char *value = strchr(text, '=');
    if (!value) {
        return fault_set(why, "`%s` must be NAME=VALUE", text);
    }
    *value++ = '\0';
    const field_t *field = message_class(MSG_OPTIONS_SET)->record.fields;
    while (field->name && strcmp(field->name, text) != 0) {
        field++;
    }
    if (!field->name) {
        return fault_set(why, "there is no option `%s`", text);
    }
    fault_t what;
    int result;
    if (field->kind == TYPE_FLAG) {
        result = flag_parse(value, (bool *)(ask + field->offset), &what);
    } else if (field->kind == TYPE_NAMES) {
        names_t *names = (names_t *)(void *)(ask + field->offset);
        free(names->items);
        *names = names_split(value);
        result = 0;
    } else {
        result = number_parse(field, value, (int64_t *)(void *)(ask + field->offset), &what);
    }
    if (result == -1) {
        return fault_set(why, "`%s`: %s", text, what.text);
    }
    *(bool *)(ask + field->has_offset) = true;
    return 0;
}

static void option_print(const field_t *field, const uint8_t *options) {
    const void *at = options + field->offset;
    printf("%-26s ", field->name);
    if (field->kind == TYPE_FLAG) {
        printf("%s\n", *(const bool *)at ? "true" : "false");
    } else if (field->kind == TYPE_NAMES) {
        const names_t *names = at;
        for (size_t i = 0; i < names->count; i++) {
            printf("%s%s", i ? ",\n                           " : "", names->items[i]);
        }
        printf("\n");
    } else {
        int64_t value = *(const int64_t *)at;
        const struct measure *measure = measure_of(field->name);
        printf("%s\n", value == LIMIT_NONE ? "none" : measure->print(value).text);
    }
}

static void options_print(const reply_t *reply) {
    const message_class_t *class = message_class(MSG_OPTIONS);
    for (const field_t *field = class->record.fields; field->name; field++) {
        option_print(field, reply->message);
    }
}

static status_t options(client_t *client, const call_t *call) {
    msg_options_set_t set = {0};
    msg_options_get_t get = {0};
    reply_t reply = {0};
    status_t result = STATUS_OK;
    fault_t why;
    for (int i = 0; i < call->count && result == STATUS_OK; i++) {
        if (option_parse(call->arguments[i], (uint8_t *)&set, &why) == -1) {
            result = client_fail(client, STATUS_USAGE, "%s", why.text);
        }
    }
    if (result == STATUS_OK) {
        bool sets = call->count > 0;
        result = client_ask(client, sets ? MSG_OPTIONS_SET : MSG_OPTIONS_GET, sets ? (const void *)&set : &get, &reply);
    }
    if (result == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (result == STATUS_OK) {
        options_print(&reply);
    }
    free(set.recordable_sources.items);
    reply_fini(&reply);
    return result;
}

static void options_help(FILE *out) {
    fprintf(out, "Options:\n");
    for (const field_t *field = message_class(MSG_OPTIONS_SET)->record.fields; field->name; field++) {
        fprintf(out, "  %s\n", field->name);
        print_wrapped(out, field->doc, 6, 0);
    }
}

static const flag_t no_flags[] = {{0}};
const command_t command_options = {
    .name = "options",
    .synopsis = "[NAME=VALUE…]",
    .doc = "Show the options, or change some.",
    .more = "They outlive a restart. Times are written `60s`, sizes `1GB`, counts `1e6`,\n"
            "lists with commas; `none` lifts a limit.",
    .arguments_max = ARGUMENTS_ANY,
    .flags = no_flags,
    .run = options,
    .help = options_help,
};

/* ---- stop ---- */

enum { STOP_ANSWER_MS = 1500 };

static status_t stop(client_t *client, const call_t *call) {
    (void)call;
    reply_t reply = {0};
    msg_engine_stop_t ask = {0};
    status_t result = client_ask_within(client, MSG_ENGINE_STOP, &ask, STOP_ANSWER_MS, &reply);
    /* The engine answers and hangs up, and the second may overtake the first: that it is gone is an answer too. */
    bool gone = result == STATUS_UNREACHABLE && client->commands.socket && channel_reach(&client->commands, 0) == RECEIVED_NOTHING;
    if (result == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (gone && client->json) {
        printf("{\"ok\":true}\n");
    } else if (result == STATUS_OK || gone) {
        printf("the engine stops\n");
    }
    if (gone) {
        result = STATUS_OK;
    }
    reply_fini(&reply);
    return result;
}

const command_t command_stop = {
    .name = "stop",
    .synopsis = "",
    .doc = "Stop the engine in order.",
    .flags = no_flags,
    .run = stop,
};
