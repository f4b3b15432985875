/* `replay`: a recording's test stream, printed. */
#include <stdlib.h>
#include <string.h>

#include "../../messages/wire.h"
#include "command_list.h"
#include "element.h"
#include "print.h"
#include "units.h"
#include "viewer.h"

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

static void elements_print(printer_t *printer, const viewer_t *viewer) {
    const msg_elements_t *elements = &viewer->event.as.elements;
    bytes_t rest = wire_body_elements(viewer->event.body, (uint32_t)elements->count);
    element_t out = {.tag = text_bytes(elements->tag)};
    while (rest.size > 0) {
        wire_element_t element = wire_element_at(rest);
        out.event_time = element.event_time;
        out.payload = element.payload;
        out.attributes = element.attributes;
        separate(printer);
        printer->element(stdout, &out);
        line_end(printer);
        rest = (bytes_t){rest.data + element.size, rest.size - element.size};
    }
}

static void member_print(const char *name, const char *text) {
    printf(",\"%s\":", name);
    print_data(stdout, text_bytes(text));
}

static void watermark_print(const msg_watermark_t *watermark) {
    printf("{\"event\":\"watermark\"");
    member_print("tag", watermark->tag);
    printf(",\"to\":%lld}", (long long)watermark->to);
}

static void gap_print(const msg_gap_event_t *gap) {
    printf("{\"event\":\"gap\"");
    if (gap->tag) {
        member_print("tag", gap->tag);
    }
    member_print("what", gap->what);
    if (gap->has_lost_us) {
        printf(",\"lost_us\":%lld", (long long)gap->lost_us);
    }
    printf("}");
}

static void end_print(const msg_end_t *end) {
    printf("{\"event\":\"end\"");
    member_print("reason", end->reason);
    printf(",\"elements\":%lld", (long long)end->elements);
    if (end->digest) {
        member_print("digest", end->digest);
    }
    if (end->error) {
        member_print("error", end->error);
    }
    printf("}");
}

/* A gap is worth knowing of even where only elements are wanted. */
static void event_print(printer_t *printer, const viewer_t *viewer) {
    if (viewer->event.id == MSG_GAP && !printer->events) {
        const msg_gap_event_t *gap = &viewer->event.as.gap;
        char what[256];
        snprintf(what, sizeof what, "%s", gap->what);
        print_clean(what);
        fprintf(stderr, "reprise: a gap%s%s: %s\n", gap->tag ? " in " : "", gap->tag ? gap->tag : "", what);
    }
    if (!printer->events) {
        return;
    }
    separate(printer);
    switch (viewer->event.id) {
    case MSG_WATERMARK: watermark_print(&viewer->event.as.watermark); break;
    case MSG_PROCESSING_TIME:
        printf("{\"event\":\"processing_time\",\"advance_us\":%lld}", (long long)viewer->event.as.processing_time.advance_us);
        break;
    case MSG_GAP: gap_print(&viewer->event.as.gap); break;
    default: end_print(&viewer->event.as.end);
    }
    line_end(printer);
}

/* ---- the replay ---- */

static status_t events_print(viewer_t *viewer, printer_t *printer) {
    for (;;) {
        status_t status = viewer_next(viewer);
        if (status != STATUS_OK) {
            return status;
        }
        if (viewer->event.id == MSG_ELEMENTS && !printer->digest_only) {
            elements_print(printer, viewer);
        } else if (viewer->event.id != MSG_ELEMENTS) {
            event_print(printer, viewer);
        }
        if (viewer->event.id == MSG_END) {
            return STATUS_OK;
        }
        if (!viewer_ready(viewer)) {
            fflush(stdout); /* a reader that follows sees it at once */
        }
        if (ferror(stdout)) {
            return client_fail(viewer->client, STATUS_FAILED, "cannot write to standard output");
        }
    }
}

static status_t end_judge(client_t *client, const printer_t *printer, const msg_end_t *end) {
    if (printer->digest_only && end->digest && !printer->document) {
        printf("%s\n", end->digest);
    } else if (!printer->document && !printer->digest_only) {
        fflush(stdout);
        fprintf(stderr, "%s elements, %s%s%s\n", units_count(end->elements).text, end->reason, end->digest ? ", digest " : "",
                end->digest ? end->digest : "");
    }
    static const char *const good[] = {"end", "limit", "closed"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (strcmp(good[i], end->reason) == 0) {
            bool missing = printer->digest_only && !end->digest;
            return missing ? client_fail(client, STATUS_FAILED, "a replay that does not begin at the beginning has no digest") : STATUS_OK;
        }
    }
    client_fail(client, STATUS_FAILED, "the replay ended early: %s%s%s", end->reason, end->error ? ": " : "", end->error ? end->error : "");
    client->no.code = strcmp(end->reason, "corrupt") == 0 ? ERROR_CORRUPT : ERROR_INVALID_STATE;
    return STATUS_FAILED;
}

/* {"ok":true,"recording":"…","events":[…],"end":{…}}, written as it comes: a recording may be larger than the memory. */
static void document_begin(client_t *client, const viewer_t *viewer) {
    client->printed = true;
    printf("{\"ok\":true");
    member_print("recording", ((const msg_replay_t *)viewer->opened.message)->recording);
    printf(",\"events\":[");
}

static void document_end(const viewer_t *viewer, status_t status) {
    printf("]");
    if (status == STATUS_OK) {
        printf(",\"end\":");
        end_print(&viewer->event.as.end);
    }
    printf("}\n");
}

static status_t replay_run(client_t *client, msg_replay_open_t *ask, printer_t *printer) {
    viewer_t viewer;
    status_t status = viewer_open(&viewer, client, ask);
    if (status == STATUS_OK) {
        if (printer->document) {
            document_begin(client, &viewer);
        }
        status = events_print(&viewer, printer);
        if (printer->document) {
            document_end(&viewer, status);
        }
        if (status == STATUS_OK) {
            status = end_judge(client, printer, &viewer.event.as.end);
        }
    }
    viewer_close(&viewer);
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
    if (printer->digest_only && !client->json) {
        printer->events = false;
    }
    return STATUS_OK;
}

static status_t rate_parse(client_t *client, const char *text, msg_replay_open_t *ask) {
    if (!text) {
        return STATUS_OK;
    }
    char *end;
    ask->has_rate = true;
    ask->rate = strtod(text, &end);
    if (end == text || *end || !(ask->rate >= 0 && ask->rate < 1e9)) {
        return client_fail(client, STATUS_USAGE, "--rate: `%s` is not a number, 0 or more", text);
    }
    return STATUS_OK;
}

static status_t ask_parse(client_t *client, const call_t *call, msg_replay_open_t *ask) {
    fault_t why;
    const char *from = call_value(call, "from");
    if (from && units_parse_from(from, &ask->from, &why) == -1) {
        return client_fail(client, STATUS_USAGE, "--from: %s", why.text);
    }
    ask->has_from = from != NULL;
    ask->has_follow = call_has(call, "no-follow");
    ask->follow = false;
    status_t status = rate_parse(client, call_value(call, "rate"), ask);
    if (status == STATUS_OK) {
        status = call_quantity(client, call, "max-elements", units_parse_count, &ask->has_max_elements, &ask->max_elements);
    }
    if (status == STATUS_OK) {
        status = call_quantity(client, call, "max-duration", units_parse_duration, &ask->has_max_duration_ms, &ask->max_duration_ms);
    }
    return status;
}

static status_t replay(client_t *client, const call_t *call) {
    printer_t printer;
    msg_replay_open_t ask = {0};
    status_t status = printer_make(client, call, &printer);
    if (status == STATUS_OK) {
        status = ask_parse(client, call, &ask);
    }
    if (status != STATUS_OK) {
        return status;
    }
    client_catch_interrupts(client);
    reply_t found = {0};
    bool by_pipeline;
    status = client_find_recording(client, call->arguments[0], &found, &by_pipeline);
    if (status == STATUS_OK) {
        ask.has_pipeline = by_pipeline;
        ask.has_recording = !by_pipeline;
        ask.pipeline = ask.recording = call->arguments[0];
        ask.tags = call_names(call, "tag");
        ask.has_tags = ask.tags.count > 0;
        status = replay_run(client, &ask, &printer);
        free(ask.tags.items);
    }
    reply_fini(&found);
    return status;
}

static const flag_t replay_flags[] = {
    {"format", "FORMAT",
     "`json` (default): a line an element, {\"tag\",\"time\",\"data\"}, where data that is not text is {\"base64\"}; `raw`: the bytes, "
     "and an end of line; `hex`: the bytes in hex."},
    {"events", NULL, "Print watermarks, processing time, gaps and the end, too."},
    {"digest", NULL, "Print only the digest, the proof that two replays are the same."},
    {"rate", "RATE", "0 (default): as fast as possible; 1: as recorded; 2: twice as fast."},
    {"from", "WHERE", "Begin at an element (`1000`) or a time after the start (`30s`)."},
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
