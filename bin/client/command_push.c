/* `push`: lines from standard input or a file become elements of a push source. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command_list.h"
#include "lines.h"
#include "units.h"

enum { BATCH_DEFAULT = 1000, BATCH_MAX = 1000000 };

typedef struct push {
    reprise_t *engine;
    reprise_feed_t *feed;
    lines_t lines;
    int64_t batch;      /* elements that one may have */
    bool stopped;       /* the job takes no more */
    bool fixed;         /* every element has the time below; otherwise the present */
    int64_t event_time; /* of the last element */
} push_t;

/* What libreprise returned. */
static status_t push_status(client_t *client, push_t *push, int result, const reprise_error_t *error) {
    push->stopped |= result == 1;
    return result < 0 ? client_problem(client, error) : STATUS_OK;
}

static int64_t event_time(push_t *push) {
    if (!push->fixed) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        push->event_time = us > push->event_time ? us : push->event_time;
    }
    return push->event_time;
}

/* Pushes the lines that were read. One that is not taken stays. */
static status_t lines_take(client_t *client, push_t *push) {
    bytes_t line;
    reprise_error_t error;
    bool any = false;
    int result = 0;
    while (result == 0) {
        size_t begin = push->lines.begin;
        if (!lines_next(&push->lines, &line)) {
            break;
        }
        any = true;
        result = reprise_push(push->feed, line.data, line.size, event_time(push), &error);
        if (result != 0) {
            push->lines.begin = push->lines.looked = begin;
        }
    }
    /* The time of the last one, as none later can be older. */
    if (result == 0 && any && !push->fixed) {
        result = reprise_feed_watermark(push->feed, push->event_time, &error);
    }
    return push_status(client, push, result, &error);
}

/* Until there are no more lines, the job takes no more, or the user wants no more. */
static status_t lines_push(client_t *client, push_t *push) {
    fault_t why;
    status_t status = STATUS_OK;
    while (status == STATUS_OK && !push->stopped && !push->lines.ended) {
        struct pollfd items[] = {{.fd = push->lines.descriptor, .events = POLLIN},
                                 {.fd = client->interrupts, .events = POLLIN},
                                 {.fd = reprise_feed_descriptor(push->feed), .events = POLLIN}};
        poll(items, sizeof items / sizeof items[0], -1);
        if (items[1].revents) {
            return STATUS_INTERRUPTED;
        }
        if (items[0].revents && lines_read(&push->lines, &why) == -1) {
            return client_fail(client, STATUS_FAILED, "%s", why.text);
        }
        if (items[2].revents) {
            reprise_error_t error;
            return push_status(client, push, reprise_feed_flush(push->feed, 0, &error), &error);
        }
        if (items[0].revents) {
            status = lines_take(client, push);
        }
    }
    return status;
}

/* ---- the end ---- */

static void push_print(const client_t *client, const reprise_counts_t *counts, const char *pipeline, const char *tag) {
    if (!client->json) {
        printf("%s in %s batch%s, %s recorded by `%s` of %s\n", units_things((int64_t)counts->pushed, "element").text,
               units_count((int64_t)counts->batches).text, counts->batches == 1 ? "" : "es", units_count((int64_t)counts->recorded).text,
               tag, pipeline);
    }
}

static void push_document(client_t *client, const push_t *push, const reprise_counts_t *counts, const char *pipeline, const char *tag) {
    json_t *document =
        json_pack("{s:b, s:s, s:s, s:s, s:I, s:I, s:I}", "ok", 1, "pipeline", pipeline, "tag", tag, "job", reprise_feed_job(push->feed),
                  "elements", (json_int_t)counts->pushed, "batches", (json_int_t)counts->batches, "recorded", (json_int_t)counts->recorded);
    if (push->stopped) {
        json_object_set_new(document, "stopped", json_string(reprise_feed_stopped(push->feed)));
    }
    client_print_json(client, document);
}

static status_t push_judge(client_t *client, const push_t *push, const reprise_counts_t *counts) {
    bytes_t line;
    lines_t rest = push->lines;
    bool unread = push->stopped && (!rest.ended || lines_next(&rest, &line)); /* a copy: nothing is taken */
    if (counts->recorded >= counts->pushed && !unread) {
        return STATUS_OK;
    }
    unit_text_t recorded = units_count((int64_t)counts->recorded), all = units_count((int64_t)counts->pushed);
    if (push->stopped) {
        client_fail(client, STATUS_FAILED, "the job takes no more (`%s`): %s of %s elements were recorded%s",
                    reprise_feed_stopped(push->feed), recorded.text, all.text, unread ? ", and the rest was not read" : "");
        client->no.code = ERROR_INVALID_STATE;
    } else {
        client_fail(client, STATUS_FAILED, "%s of %s elements were recorded", recorded.text, all.text);
    }
    return STATUS_FAILED;
}

static status_t push_finish(client_t *client, const call_t *call, push_t *push, status_t status) {
    const char *pipeline = call->arguments[0], *tag = call->arguments[1];
    reprise_counts_t counts;
    reprise_error_t error;
    if (status == STATUS_INTERRUPTED) {
        client_interrupt_taken(client);
        status = lines_take(client, push); /* Ctrl-C is an end of the input: what was read is still recorded */
    }
    if (status == STATUS_OK && !push->stopped) {
        int result = call_has(call, "done") ? reprise_feed_done(push->feed, -1, &error) : reprise_feed_flush(push->feed, -1, &error);
        status = push_status(client, push, result, &error);
    }
    reprise_feed_counts(push->feed, &counts);
    push_print(client, &counts, pipeline, tag);
    if (status != STATUS_OK) {
        return status;
    }
    if (client->json) {
        push_document(client, push, &counts, pipeline, tag);
    }
    return push_judge(client, push, &counts);
}

/* ---- what was asked for ---- */

static status_t event_time_parse(client_t *client, const call_t *call, push_t *push) {
    const char *text = call_value(call, "event-time");
    fault_t why;
    push->fixed = text && strcmp(text, "now") != 0;
    if (push->fixed && units_parse_count(text, &push->event_time, &why) == -1) {
        return client_fail(client, STATUS_USAGE, "--event-time: `%s` is neither `now` nor microseconds since the epoch", text);
    }
    return STATUS_OK;
}

static status_t push_parse(client_t *client, const call_t *call, push_t *push) {
    bool given;
    push->batch = BATCH_DEFAULT;
    status_t status = call_quantity(client, call, "batch", units_parse_count, &given, &push->batch);
    if (status == STATUS_OK && (push->batch < 1 || push->batch > BATCH_MAX)) {
        status = client_fail(client, STATUS_USAGE, "--batch: a batch has 1 to %d elements", BATCH_MAX);
    }
    return status == STATUS_OK ? event_time_parse(client, call, push) : status;
}

static status_t push_open(client_t *client, const call_t *call, push_t *push) {
    reprise_error_t error;
    status_t status = client_library(client, &push->engine);
    if (status != STATUS_OK) {
        return status;
    }
    reprise_feed_options_t options = {.pipeline = call->arguments[0],
                                      .tag = call->arguments[1],
                                      .producer = call_value(call, "producer"),
                                      .batch_count = (uint32_t)push->batch,
                                      .timeout_ms = client->timeout_ms};
    push->feed = reprise_feed_open(push->engine, &options, &error);
    return push->feed ? STATUS_OK : client_problem(client, &error);
}

static status_t push(client_t *client, const call_t *call) {
    push_t state = {0};
    status_t status = push_parse(client, call, &state);
    const char *file = call_value(call, "file");
    int descriptor = STDIN_FILENO;
    if (status == STATUS_OK && file && (descriptor = open(file, O_RDONLY | O_CLOEXEC)) == -1) {
        fault_t why;
        fault_errno(&why, "cannot open %s", file);
        status = client_fail(client, STATUS_FAILED, "%s", why.text);
    }
    if (status == STATUS_OK) {
        client_catch_interrupts(client);
        lines_init(&state.lines, descriptor, file ? file : "standard input");
        status = push_open(client, call, &state);
        if (status == STATUS_OK) {
            status = push_finish(client, call, &state, lines_push(client, &state));
        }
        reprise_feed_close(&state.feed);
        reprise_disconnect(&state.engine);
        lines_fini(&state.lines);
    }
    if (descriptor > STDERR_FILENO) {
        close(descriptor);
    }
    return status;
}

static const flag_t push_flags[] = {
    {"file", "FILE", "Read this file instead of standard input."},
    {"batch", "COUNT", "At most so many elements a batch; 1000 by default. What is there is sent after a millisecond, however few."},
    {"done", NULL, "At the end, say that this source has ended."},
    {"event-time", "TIME", "The elements' time: `now` (default), or microseconds since the epoch."},
    {"producer", "NAME", "Push under this name. What was recorded under it is counted on; a second one of the name takes over."},
    {0},
};
const command_t command_push = {
    .name = "push",
    .synopsis = "PIPELINE TAG",
    .doc = "Push lines from standard input, an element each.",
    .more = "A job of the pipeline must be running, with a source `reprise:source:push:v1`\n"
            "of that tag. Exit status 1 unless all lines were recorded.",
    .arguments_min = 2,
    .arguments_max = 2,
    .flags = push_flags,
    .run = push,
};
