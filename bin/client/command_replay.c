/* `replay`: a recording's test stream, printed. */
#include <stdlib.h>
#include <string.h>

#include "command_list.h"
#include "element.h"
#include "print.h"
#include "units.h"

enum { CREDIT = 8 * 1024 * 1024 };

typedef struct printer {
    element_print_fn *element;
    bool events; /* watermarks, processing time, gaps and the end, too */
    bool digest_only;
    bool document; /* one JSON document */
    bool begun;    /* something is in its list */
} printer_t;

static void separate(printer_t *printer) {
    if (printer->document) {
        fputs(printer->begun ? ",\n" : "\n", stdout);
    }
    printer->begun = true;
}

static void line_end(const printer_t *printer) {
    if (!printer->document) {
        putchar_unlocked('\n');
    }
}

static bytes_t text_bytes(const char *text) {
    return (bytes_t){(const uint8_t *)text, strlen(text)};
}

static void element_print(printer_t *printer, const reprise_event_t *event) {
    element_t out = {.tag = text_bytes(event->tag),
                     .event_time = event->time,
                     .payload = {event->element, event->size},
                     .attributes = {event->attributes, event->attributes_size}};
    separate(printer);
    printer->element(stdout, &out);
    line_end(printer);
}

static void member_print(const char *name, const char *text) {
    printf(",\"%s\":", name);
    print_data(stdout, text_bytes(text));
}

static void watermark_print(const reprise_event_t *event) {
    printf("{\"event\":\"watermark\"");
    member_print("tag", event->tag);
    printf(",\"to\":%lld}", (long long)event->time);
}

static void gap_print(const reprise_event_t *event) {
    printf("{\"event\":\"gap\"");
    if (event->tag) {
        member_print("tag", event->tag);
    }
    member_print("what", event->text);
    if (event->lost_us >= 0) {
        printf(",\"lost_us\":%lld", (long long)event->lost_us);
    }
    printf("}");
}

static void end_print(const reprise_event_t *event) {
    printf("{\"event\":\"end\"");
    member_print("reason", event->text);
    printf(",\"elements\":%lld", (long long)event->number);
    if (event->digest) {
        member_print("digest", event->digest);
    }
    if (event->problem) {
        member_print("error", event->problem);
    }
    printf("}");
}

/* A gap is worth knowing of even where only elements are wanted. */
static void event_print(printer_t *printer, const reprise_event_t *event) {
    if (event->kind == REPRISE_GAP && !printer->events) {
        char what[256];
        snprintf(what, sizeof what, "%s", event->text);
        print_clean(what);
        fprintf(stderr, "reprise: a gap%s%s: %s\n", event->tag ? " in " : "", event->tag ? event->tag : "", what);
    }
    if (!printer->events) {
        return;
    }
    separate(printer);
    switch (event->kind) {
    case REPRISE_WATERMARK: watermark_print(event); break;
    case REPRISE_PROCESSING_TIME: printf("{\"event\":\"processing_time\",\"advance_us\":%lld}", (long long)event->advance_us); break;
    case REPRISE_GAP: gap_print(event); break;
    default: end_print(event);
    }
    line_end(printer);
}

/* ---- the replay ---- */

static status_t events_print(client_t *client, reprise_replay_t *replay, printer_t *printer, reprise_event_t *ret_end) {
    reprise_error_t error;
    for (;;) {
        if (reprise_replay_next(replay, -1, ret_end, &error) < 0) {
            return client_problem(client, &error);
        }
        if (ret_end->kind == REPRISE_ELEMENT && !printer->digest_only) {
            element_print(printer, ret_end);
        } else if (ret_end->kind != REPRISE_ELEMENT) {
            event_print(printer, ret_end);
        }
        if (ret_end->kind == REPRISE_END) {
            return STATUS_OK;
        }
        if (!reprise_replay_ready(replay)) {
            fflush(stdout); /* a reader that follows sees it at once */
        }
        if (ferror(stdout)) {
            return client_fail(client, STATUS_FAILED, "cannot write to standard output");
        }
    }
}

static status_t end_judge(client_t *client, const printer_t *printer, const reprise_event_t *end) {
    if (printer->digest_only && end->digest && !printer->document) {
        printf("%s\n", end->digest);
    } else if (!printer->document && !printer->digest_only) {
        fflush(stdout);
        fprintf(stderr, "%s, %s%s%s\n", units_things((int64_t)end->number, "element").text, end->text, end->digest ? ", digest " : "",
                end->digest ? end->digest : "");
    }
    static const char *const good[] = {"end", "limit", "closed"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (strcmp(good[i], end->text) == 0) {
            bool missing = printer->digest_only && !end->digest;
            return missing ? client_fail(client, STATUS_FAILED, "a replay that does not begin at the beginning has no digest") : STATUS_OK;
        }
    }
    client_fail(client, STATUS_FAILED, "the replay ended early: %s%s%s", end->text, end->problem ? ": " : "",
                end->problem ? end->problem : "");
    client->no.code = strcmp(end->text, "corrupt") == 0 ? ERROR_CORRUPT : ERROR_INVALID_STATE;
    return STATUS_FAILED;
}

/* {"ok":true,"recording":"…","events":[…],"end":{…}}, written as it comes: a recording may be larger than the memory. */
static void document_begin(client_t *client, const reprise_replay_t *replay) {
    client->printed = true;
    printf("{\"ok\":true");
    member_print("recording", reprise_replay_recording(replay));
    printf(",\"events\":[");
}

static void document_end(const reprise_event_t *end, status_t status) {
    printf("]");
    if (status == STATUS_OK) {
        printf(",\"end\":");
        end_print(end);
    }
    printf("}\n");
}

static status_t replay_run(client_t *client, reprise_t *engine, const reprise_replay_options_t *options, printer_t *printer) {
    reprise_error_t error;
    reprise_event_t end;
    reprise_replay_t *replay = reprise_replay_open(engine, options, &error);
    if (!replay) {
        return client_problem(client, &error);
    }
    if (printer->document) {
        document_begin(client, replay);
    }
    status_t status = events_print(client, replay, printer, &end);
    if (printer->document) {
        document_end(&end, status);
    }
    if (status == STATUS_OK) {
        status = end_judge(client, printer, &end);
    }
    reprise_replay_close(&replay);
    return status;
}

/* ---- what was asked for ---- */

static status_t printer_make(client_t *client, const call_t *call, printer_t *printer) {
    static const struct {
        const char *name;
        element_print_fn *print;
    } formats[] = {{"json", element_print_json}, {"raw", element_print_raw}, {"hex", element_print_hex}};
    const char *format = call_value(call, "format");
    *printer = (printer_t){.events = call_has(call, "events"), .digest_only = call_has(call, "digest"), .document = client->json};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(format ? format : "json", formats[i].name) == 0) {
            printer->element = formats[i].print;
        }
    }
    if (!printer->element) {
        return client_fail(client, STATUS_USAGE, "--format: `%s` is none of `json`, `raw`, `hex`", format);
    }
    if (client->json && printer->element != element_print_json) {
        return client_fail(client, STATUS_USAGE, "--format %s is no JSON document; leave out --json", format);
    }
    if (printer->digest_only && printer->events && !client->json) {
        return client_fail(client, STATUS_USAGE, "--digest prints nothing but the digest; leave out --events, or say --json");
    }
    return STATUS_OK;
}

static status_t rate_parse(client_t *client, const char *text, double *ret_rate) {
    if (!text) {
        return STATUS_OK;
    }
    char *end;
    *ret_rate = strtod(text, &end);
    if (end == text || *end || !(*ret_rate >= 0 && *ret_rate < 1e9)) {
        return client_fail(client, STATUS_USAGE, "--rate: `%s` is not a number, 0 or more", text);
    }
    return STATUS_OK;
}

static status_t options_parse(client_t *client, const call_t *call, reprise_replay_options_t *options) {
    fault_t why;
    msg_replay_from_t begin = {0};
    int64_t most = 0;
    bool given;
    const char *from = call_value(call, "from");
    if (from && units_parse_from(from, &begin, &why) == -1) {
        return client_fail(client, STATUS_USAGE, "--from: %s", why.text);
    }
    *options = (reprise_replay_options_t){.from_element = (uint64_t)begin.element,
                                          .from_offset_ms = begin.offset_ms,
                                          .no_follow = call_has(call, "no-follow"),
                                          .credit = CREDIT,
                                          .timeout_ms = client->timeout_ms};
    status_t status = rate_parse(client, call_value(call, "rate"), &options->rate);
    if (status == STATUS_OK) {
        status = call_quantity(client, call, "max-elements", units_parse_count, &given, &most);
    }
    if (status == STATUS_OK && given && most < 1) {
        status = client_fail(client, STATUS_USAGE, "--max-elements: at least one");
    }
    if (status == STATUS_OK) {
        options->max_elements = (uint64_t)most;
        status = call_quantity(client, call, "max-duration", units_parse_duration, &given, &options->max_duration_ms);
    }
    if (status == STATUS_OK && given && options->max_duration_ms < 1) {
        status = client_fail(client, STATUS_USAGE, "--max-duration: at least a millisecond");
    }
    return status;
}

/* All tags that were named, ended by NULL; to be freed. */
static const char **tags_named(const call_t *call) {
    names_t names = call_names(call, "tag");
    const char **tags = calloc(names.count + 1, sizeof *tags);
    must(tags);
    for (size_t i = 0; i < names.count; i++) {
        tags[i] = names.items[i];
    }
    free(names.items);
    return tags;
}

static status_t replay(client_t *client, const call_t *call) {
    printer_t printer;
    reprise_replay_options_t options;
    status_t status = printer_make(client, call, &printer);
    if (status == STATUS_OK) {
        status = options_parse(client, call, &options);
    }
    if (status != STATUS_OK) {
        return status;
    }
    client_catch_interrupts(client);
    reply_t found = {0};
    reprise_t *engine = NULL;
    bool by_pipeline;
    status = client_find_recording(client, call->arguments[0], &found, &by_pipeline);
    if (status == STATUS_OK) {
        status = client_library(client, &engine);
    }
    if (status == STATUS_OK) {
        const char **tags = tags_named(call);
        options.pipeline = by_pipeline ? call->arguments[0] : NULL;
        options.recording = by_pipeline ? NULL : call->arguments[0];
        options.tags = tags;
        status = replay_run(client, engine, &options, &printer);
        free(tags);
    }
    reprise_disconnect(&engine);
    reply_fini(&found);
    return status;
}

static const flag_t replay_flags[] = {
    {"format", "json|raw|hex",
     "`json` (default): a line an element, {\"tag\",\"time\",\"data\"}, where data that is not text is {\"base64\"}; `raw`: the bytes, "
     "and an end of line; `hex`: the bytes in hex."},
    {"events", NULL, "Print watermarks, processing time, gaps and the end, too."},
    {"digest", NULL, "Print only the digest, the proof that two replays are the same."},
    {"rate", "RATE", "0 (default): as fast as possible; 1: as recorded; 2: twice as fast."},
    {"from", "WHERE", "Begin at an element (`1000`), counted over the whole recording from 0, or at a time after the start (`30s`)."},
    {"max-elements", "COUNT", "End after these elements."},
    {"max-duration", "TIME", "End after this much of the recording's time."},
    {"tag", "TAG", "Only this tag; may be given several times."},
    {"no-follow", NULL, "End at what there is, even while the recording grows."},
    {0},
};
const command_t command_replay = {
    .name = "replay",
    .synopsis = "PIPELINE|RECORDING",
    .doc = "Replay a recording, the same way every time.",
    .more = "The number of elements and the digest are told on standard error at the end.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = replay_flags,
    .run = replay,
};
