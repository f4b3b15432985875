/* `push`: lines from standard input or a file become elements of a push source. */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "command_list.h"
#include "lines.h"
#include "pusher.h"
#include "units.h"

enum { BATCH_DEFAULT = 1000, BATCH_BYTES = 256 * 1024 };

typedef struct push {
    pusher_t pusher;
    lines_t lines;
    msgpack_sbuffer body; /* the batch that is being filled, its header first */
    int64_t count, batch; /* its elements, and how many it may have */
    int64_t elements;     /* in all */
    int64_t batches;
    bool fixed;         /* every element has the time below; otherwise the present */
    int64_t event_time; /* of the last element */
} push_t;

static const uint8_t body_header[5] = {0xdd, 0, 0, 0, 0}; /* array 32, the count to come */

static void element_add(push_t *push, bytes_t line) {
    if (!push->fixed) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        push->event_time = us > push->event_time ? us : push->event_time;
    }
    if (push->count++ == 0) {
        msgpack_sbuffer_write(&push->body, (const char *)body_header, sizeof body_header);
    }
    msgpack_packer pk;
    msgpack_packer_init(&pk, &push->body, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 2);
    msgpack_pack_int64(&pk, push->event_time);
    msgpack_pack_bin_with_body(&pk, line.data, line.size);
    push->elements++;
}

static void batch_send(push_t *push) {
    if (push->count == 0) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        push->body.data[1 + i] = (char)(uint8_t)(push->count >> (24 - 8 * i));
    }
    /* The time of the last one, as none later can be older. */
    pusher_send(&push->pusher, &push->body, push->count, !push->fixed, push->event_time);
    push->batches++;
    push->count = 0;
}

static bool batch_full(const push_t *push) {
    return push->count >= push->batch || push->body.size >= BATCH_BYTES;
}

/* Takes the lines that were read, as far as there is room; false where there is none. */
static bool lines_take(push_t *push) {
    bytes_t line;
    while (pusher_has_room(&push->pusher)) {
        if (batch_full(push)) {
            batch_send(push);
            continue;
        }
        if (!lines_next(&push->lines, &line)) {
            return true;
        }
        /* A batch may hold one large line, but not one beside others. */
        if (push->count > 0 && push->body.size + line.size > BATCH_BYTES) {
            batch_send(push);
        }
        element_add(push, line);
    }
    return false;
}

/* Waits until the engine says something, there is something to read (where that `reads`), or the user wants no more. */
static status_t push_wait(push_t *push, bool reads, bool *ret_readable) {
    enum { IDLE_MS = 1000 };
    channel_t *channel = &push->pusher.channel;
    zmq_pollitem_t items[] = {
        {.socket = channel->socket, .events = ZMQ_POLLIN},
        {.fd = channel->interrupts, .events = ZMQ_POLLIN},
        {.fd = push->lines.descriptor, .events = ZMQ_POLLIN},
    };
    bool waits = push->count == 0 || !reads;
    zmq_poll(items, reads ? 3 : 2, waits ? IDLE_MS : 0);
    *ret_readable = reads && items[2].revents;
    if (items[1].revents) {
        return STATUS_INTERRUPTED;
    }
    /* Nothing more at this moment: what there is goes out. */
    if (reads && !*ret_readable && pusher_has_room(&push->pusher)) {
        batch_send(push);
    }
    return pusher_pump(&push->pusher, 0);
}

static status_t lines_push(client_t *client, push_t *push) {
    fault_t why;
    bool room = true, readable;
    while (!push->pusher.stopped[0]) {
        if (room && push->lines.ended) {
            break;
        }
        status_t status = push_wait(push, room, &readable);
        if (status != STATUS_OK) {
            return status;
        }
        if (readable && lines_read(&push->lines, &why) == -1) {
            return client_fail(client, STATUS_FAILED, "%s", why.text);
        }
        room = lines_take(push);
    }
    return STATUS_OK;
}

/* ---- the end ---- */

static void push_print(const client_t *client, const push_t *push, const char *pipeline, const char *tag) {
    const pusher_t *pusher = &push->pusher;
    if (!client->json) {
        printf("%s elements in %s batches, %s recorded by `%s` of %s\n", units_count(push->elements).text, units_count(push->batches).text,
               units_count(pusher->recorded).text, tag, pipeline);
    }
}

static status_t push_judge(client_t *client, const push_t *push) {
    const pusher_t *pusher = &push->pusher;
    bool unread = pusher->stopped[0] && !push->lines.ended;
    if (pusher->recorded >= push->elements && !unread) {
        return STATUS_OK;
    }
    unit_text_t recorded = units_count(pusher->recorded), all = units_count(push->elements);
    if (pusher->stopped[0]) {
        client_fail(client, STATUS_FAILED, "the job takes no more (`%s`): %s of %s elements were recorded%s", pusher->stopped,
                    recorded.text, all.text, unread ? ", and the rest was not read" : "");
        client->no.code = ERROR_INVALID_STATE;
    } else {
        client_fail(client, STATUS_FAILED, "%s of %s elements were recorded", recorded.text, all.text);
    }
    return STATUS_FAILED;
}

static status_t push_finish(client_t *client, const call_t *call, push_t *push, status_t status) {
    const char *pipeline = call->arguments[0], *tag = call->arguments[1];
    pusher_t *pusher = &push->pusher;
    if (status == STATUS_INTERRUPTED) {
        client_interrupt_taken(client);
        status = STATUS_OK; /* Ctrl-C is an end of the input: what was read is still recorded */
    }
    if (status == STATUS_OK) {
        status = pusher_has_room(pusher) ? STATUS_OK : pusher_drain(pusher);
        batch_send(push);
    }
    if (status == STATUS_OK) {
        status = pusher_drain(pusher);
    }
    if (status == STATUS_OK && call_has(call, "done") && !pusher->stopped[0]) {
        status = pusher_done(pusher);
    }
    push_print(client, push, pipeline, tag);
    if (status != STATUS_OK) {
        return status;
    }
    if (client->json) {
        json_t *document =
            json_pack("{s:b, s:s, s:s, s:s, s:I, s:I, s:I}", "ok", 1, "pipeline", pipeline, "tag", tag, "job", pusher->job, "elements",
                      (json_int_t)push->elements, "batches", (json_int_t)push->batches, "recorded", (json_int_t)pusher->recorded);
        if (pusher->stopped[0]) {
            json_object_set_new(document, "stopped", json_string(pusher->stopped));
        }
        client_print_json(client, document);
    }
    return push_judge(client, push);
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
    if (status == STATUS_OK && (push->batch < 1 || push->batch > WIRE_NODES_MAX)) {
        status = client_fail(client, STATUS_USAGE, "--batch: a batch has 1 to %d elements", WIRE_NODES_MAX);
    }
    return status == STATUS_OK ? event_time_parse(client, call, push) : status;
}

static status_t push(client_t *client, const call_t *call) {
    push_t state = {0};
    msgpack_sbuffer_init(&state.body);
    status_t status = push_parse(client, call, &state);
    const char *file = call_value(call, "file"), *producer = call_value(call, "producer");
    int descriptor = STDIN_FILENO;
    if (status == STATUS_OK && file && (descriptor = open(file, O_RDONLY | O_CLOEXEC)) == -1) {
        fault_t why;
        fault_errno(&why, "cannot open %s", file);
        status = client_fail(client, STATUS_FAILED, "%s", why.text);
    }
    if (status == STATUS_OK) {
        client_catch_interrupts(client);
        lines_init(&state.lines, descriptor, file ? file : "standard input");
        status = pusher_open(&state.pusher, client, call->arguments[0], call->arguments[1], producer);
        if (status == STATUS_OK) {
            status = push_finish(client, call, &state, lines_push(client, &state));
        }
        pusher_close(&state.pusher);
        lines_fini(&state.lines);
    }
    if (descriptor > STDERR_FILENO) {
        close(descriptor);
    }
    msgpack_sbuffer_destroy(&state.body);
    return status;
}

static const flag_t push_flags[] = {
    {"file", "FILE", "Read this file instead of standard input."},
    {"batch", "COUNT", "At most so many elements a batch; 1000 by default. What is there is sent at once, however few."},
    {"done", NULL, "At the end, say that this source has ended."},
    {"event-time", "TIME", "The elements' time: `now` (default), or microseconds since the epoch."},
    {"producer", "NAME", "Push under this name. What was recorded under it is counted on; a second one of the name takes over."},
    {0},
};
const command_t command_push = {
    .name = "push",
    .synopsis = "PIPELINE TAG",
    .doc = "Push lines from standard input, an element each.",
    .more = "The pipeline must be running, with a source `reprise:source:push:v1` of that\n"
            "tag.\n"
            "Exit status 1 unless all lines were recorded.",
    .arguments_min = 2,
    .arguments_max = 2,
    .flags = push_flags,
    .run = push,
};
