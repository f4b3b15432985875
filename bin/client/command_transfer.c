/* Recordings as files: `export`, `import`.
 *
 * Files are this side's business: the engine may be on another machine, and is sent and asked for pieces. A file that is not whole is never left
 * under its name, and an import that is not whole leaves nothing in the engine. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command_list.h"
#include "units.h"

enum { PIECE = 1024 * 1024, PATIENCE_MS = 10000, PATH_SIZE = 4096 };

/* ---- progress ---- */

static void progress_draw(int64_t elements, int64_t of) {
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    fprintf(stderr, "\r\033[K%s", units_count(elements).text);
    fprintf(stderr, of > 0 ? " of %s elements" : " elements", units_count(of).text);
    fflush(stderr);
}

static void progress_clear(void) {
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K");
    }
}

/* ---- export ---- */

typedef struct output {
    const char *path;        /* NULL: standard output */
    char partial[PATH_SIZE]; /* what it is called until it is whole */
    FILE *file;
    int64_t bytes;
} output_t;

static bool is_stream(const char *path) {
    return !path || strcmp(path, "-") == 0;
}

static status_t output_open(client_t *client, output_t *output) {
    if (!output->path) {
        output->file = stdout;
        return STATUS_OK;
    }
    if (snprintf(output->partial, sizeof output->partial, "%s.partial", output->path) >= PATH_SIZE) {
        return client_fail(client, STATUS_USAGE, "the path %.100s… is too long", output->path);
    }
    output->file = fopen(output->partial, "wb");
    return output->file ? STATUS_OK : client_fail(client, STATUS_FAILED, "cannot create %s: %s", output->partial, strerror(errno));
}

static status_t output_failed(client_t *client, const output_t *output) {
    return client_fail(client, STATUS_FAILED, "cannot write %s: %s", output->path ? output->path : "standard output", strerror(errno));
}

/* Whole: it gets its name. Otherwise nothing stays of it. */
static status_t output_close(client_t *client, output_t *output, status_t status) {
    if (!output->file || !output->path) {
        return output->file && status == STATUS_OK && fflush(stdout) != 0 ? output_failed(client, output) : status;
    }
    bool good = fclose(output->file) == 0;
    if (status == STATUS_OK && (!good || rename(output->partial, output->path) < 0)) {
        status = output_failed(client, output);
    }
    if (status != STATUS_OK) {
        unlink(output->partial);
    }
    return status;
}

static status_t pieces_write(client_t *client, msg_recording_export_t *ask, output_t *output, reply_t *reply) {
    char next[512];
    for (;;) {
        status_t status = client_ask_again(client, MSG_RECORDING_EXPORT, ask, PATIENCE_MS, reply);
        if (status != STATUS_OK) {
            return status;
        }
        const msg_exported_t *piece = reply->message;
        if (piece->data.size > 0 && fwrite(piece->data.data, 1, piece->data.size, output->file) != piece->data.size) {
            return output_failed(client, output);
        }
        output->bytes += (int64_t)piece->data.size;
        progress_draw(piece->element, piece->elements);
        if (piece->complete) {
            progress_clear();
            return STATUS_OK;
        }
        snprintf(next, sizeof next, "%s", piece->next);
        ask->has_from = true;
        ask->from = next;
    }
}

/* What the end of a file's name tells of its format. */
static const char *format_of_name(const char *path) {
    static const struct {
        const char *end, *format;
    } ends[] = {{".json", "json"}, {".jsonl", "json"}, {".ndjson", "json"}, {".beam", "beam"}};
    size_t size = path ? strlen(path) : 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t end = strlen(ends[i].end);
        if (size > end && strcmp(path + size - end, ends[i].end) == 0) {
            return ends[i].format;
        }
    }
    return "msgpack";
}

static void export_told(const client_t *client, const msg_recording_export_t *ask, const output_t *output, int64_t elements) {
    if (client->json) {
        client_print_json((client_t *)(uintptr_t)client,
                          json_pack("{s:b, s:s, s:s, s:s, s:I, s:I}", "ok", 1, "recording", ask->recording, "file", output->path, "format",
                                    ask->format, "elements", (json_int_t)elements, "bytes", (json_int_t)output->bytes));
    } else if (output->path) {
        printf("%s: %s of %s in %s, %s\n", output->path, units_things(elements, "element").text, ask->recording,
               units_bytes(output->bytes).text, ask->format);
    }
}

static status_t export_run(client_t *client, msg_recording_export_t *ask, output_t *output) {
    reply_t reply = {0};
    status_t status = output_open(client, output);
    if (status == STATUS_OK) {
        status = pieces_write(client, ask, output, &reply);
    }
    int64_t elements = status == STATUS_OK ? ((const msg_exported_t *)reply.message)->elements : 0;
    status = output_close(client, output, status);
    if (status == STATUS_OK) {
        export_told(client, ask, output, elements);
    }
    reply_fini(&reply);
    return status;
}

static status_t export(client_t *client, const call_t *call) {
    const char *path = call->count > 1 && !is_stream(call->arguments[1]) ? call->arguments[1] : NULL, *format = call_value(call, "format");
    output_t output = {.path = path};
    reply_t found = {0};
    bool by_pipeline;
    if (client->json && !path) {
        return client_fail(client, STATUS_USAGE, "--json tells of the export: name a FILE for the export itself");
    }
    if (!format) {
        format = !path && isatty(STDOUT_FILENO) ? "json" : format_of_name(path);
    }
    msg_recording_export_t ask = {.has_recording = true, .format = format, .has_max_bytes = true, .max_bytes = PIECE};
    ask.tag = call_value(call, "tag");
    ask.has_tag = ask.tag != NULL;
    client_catch_interrupts(client);
    status_t status = client_find_recording(client, call->arguments[0], &found, &by_pipeline);
    if (status == STATUS_OK) {
        ask.recording = ((const msg_recording_t *)found.message)->recording;
        status = export_run(client, &ask, &output);
    }
    reply_fini(&found);
    return status;
}

#define FORMATS "`msgpack`: a map an event; `json`: a line an event; `beam`: the file that Apache Beam's StreamingCache keeps of one tag. "

static const flag_t export_flags[] = {
    {"format", "msgpack|json|beam", FORMATS "Default: as FILE's name ends (`.json`, `.beam`), otherwise `msgpack`."},
    {"tag", "TAG", "Only this tag; `beam` needs it where there are several."},
    {0},
};
const command_t command_export = {
    .name = "export",
    .synopsis = "PIPELINE|RECORDING [FILE]",
    .doc = "Write a recording to a file, for others or for another engine.",
    .more = "Without FILE, or with `-`, it goes to standard output. Of a recording\n"
            "that still grows it is what there is when the export begins.",
    .arguments_min = 1,
    .arguments_max = 2,
    .flags = export_flags,
    .run = export,
};

/* ---- import ---- */

typedef struct input {
    const char *path;
    int descriptor;
    uint8_t *bytes; /* PIECE of them */
    size_t size;    /* those that were read */
} input_t;

static void input_close(input_t *input) {
    if (input->descriptor > STDIN_FILENO) {
        close(input->descriptor);
    }
    free(input->bytes);
    *input = (input_t){.descriptor = -1};
}

static status_t input_open(client_t *client, const char *path, input_t *input) {
    *input = (input_t){.path = is_stream(path) ? "standard input" : path, .bytes = malloc(PIECE)};
    must(input->bytes);
    input->descriptor = is_stream(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    return input->descriptor >= 0 ? STATUS_OK : client_fail(client, STATUS_FAILED, "cannot open %s: %s", path, strerror(errno));
}

/* Reads until a piece is full or the file ends. A pipe may have nothing to read for long, and Ctrl-C must end that. */
static status_t input_read(client_t *client, input_t *input) {
    input->size = 0;
    while (input->size < PIECE) {
        struct pollfd polled[] = {{.fd = input->descriptor, .events = POLLIN}, {.fd = client->interrupts, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0 && errno != EINTR) {
            return client_fail(client, STATUS_FAILED, "cannot wait for %s: %s", input->path, strerror(errno));
        }
        if (polled[1].revents) {
            return STATUS_INTERRUPTED;
        }
        ssize_t got = read(input->descriptor, input->bytes + input->size, PIECE - input->size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return client_fail(client, STATUS_FAILED, "cannot read %s: %s", input->path, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        input->size += (size_t)got;
    }
    return STATUS_OK;
}

/* Blanks may stand before JSON, and begin nothing else. */
static const char *format_of_bytes(const input_t *input) {
    size_t at = 0;
    while (at < input->size && strchr(" \t\r\n", input->bytes[at]) && input->bytes[at]) {
        at++;
    }
    uint8_t first = at < input->size ? input->bytes[at] : 0;
    return first == '{' ? "json" : first == '%' ? "beam" : "msgpack";
}

typedef struct importing {
    msg_recording_import_t ask; /* the next piece */
    char name[256];             /* of the import, once it has begun */
    int64_t bytes;
    reply_t reply;
} importing_t;

/* What is refused of a file is told with its name. */
static void refusal_name(client_t *client, const char *path) {
    char message[sizeof client->no.message];
    snprintf(message, sizeof message, "%s", client->no.message);
    snprintf(client->no.message, sizeof client->no.message, "%.120s: %.190s", path, message);
}

static status_t piece_send(client_t *client, importing_t *importing, int64_t timeout_ms) {
    status_t status = client_ask_within(client, MSG_RECORDING_IMPORT, &importing->ask, timeout_ms, &importing->reply);
    if (status != STATUS_OK) {
        return status;
    }
    const msg_imported_t *imported = importing->reply.message;
    snprintf(importing->name, sizeof importing->name, "%s", imported->import);
    importing->ask.has_import = importing->ask.has_seq = true;
    importing->ask.import = importing->name;
    importing->ask.seq = imported->next;
    importing->ask.has_pipeline = importing->ask.has_format = false;
    progress_draw(imported->elements, 0);
    return STATUS_OK;
}

/* A piece of nothing, which gives the import its name: so it can be abandoned whatever becomes of the others. */
static status_t import_begin(client_t *client, const input_t *input, importing_t *importing) {
    if (!importing->ask.has_format) {
        importing->ask.has_format = true;
        importing->ask.format = format_of_bytes(input);
    }
    return piece_send(client, importing, client->timeout_ms);
}

static status_t file_send(client_t *client, const call_t *call, size_t file, const char *tag, importing_t *importing) {
    input_t input;
    status_t status = input_open(client, call->arguments[file], &input);
    importing->ask.has_file = true;
    importing->ask.file = (int64_t)file;
    importing->ask.has_tag = tag != NULL;
    importing->ask.tag = tag;
    for (bool first = true; status == STATUS_OK; first = false) {
        status = input_read(client, &input);
        if (status != STATUS_OK || (input.size == 0 && !first)) {
            break;
        }
        if (!importing->ask.has_import) {
            status = import_begin(client, &input, importing);
        }
        if (status != STATUS_OK) {
            break;
        }
        importing->ask.has_data = true;
        importing->ask.data = (bytes_t){input.bytes, input.size};
        importing->bytes += (int64_t)input.size;
        status = piece_send(client, importing, client->timeout_ms);
        if (status == STATUS_FAILED) {
            refusal_name(client, input.path);
        }
    }
    input_close(&input);
    return status;
}

/* The last words: it is there, or it never was. */
static status_t import_end(client_t *client, importing_t *importing, status_t status) {
    importing->ask.has_data = importing->ask.has_tag = importing->ask.has_file = false;
    importing->ask.data = (bytes_t){0};
    if (status == STATUS_OK) {
        importing->ask.has_done = importing->ask.done = true;
        return piece_send(client, importing, client->timeout_ms + importing->bytes / 10000);
    }
    if (importing->name[0]) {
        refusal_t no = client->no;
        client_interrupt_taken(client);
        importing->ask.has_abandon = importing->ask.abandon = true;
        client_ask(client, MSG_RECORDING_IMPORT, &importing->ask, &importing->reply);
        client->no = no;
    }
    return status;
}

static void import_told(client_t *client, const importing_t *importing) {
    const msg_imported_t *imported = importing->reply.message;
    progress_clear();
    if (client->json) {
        client_print(client, &importing->reply);
        return;
    }
    printf("%s: %s, a recording of `%s`, digest %s\n", imported->recording, units_things(imported->elements, "element").text,
           imported->pipeline, imported->digest);
}

static status_t import_run(client_t *client, const call_t *call, importing_t *importing) {
    status_t status = STATUS_OK;
    size_t tags = 0;
    for (size_t file = 0; file < (size_t)call->count && status == STATUS_OK; file++) {
        status = file_send(client, call, file, call_next(call, "tag", &tags), importing);
    }
    status = import_end(client, importing, status);
    if (status == STATUS_OK) {
        import_told(client, importing);
    } else if (status == STATUS_FAILED && importing->ask.has_done && call->count == 1) {
        refusal_name(client, is_stream(call->arguments[0]) ? "standard input" : call->arguments[0]);
    }
    return status;
}

static status_t import(client_t *client, const call_t *call) {
    importing_t importing = {0};
    msg_recording_import_t *ask = &importing.ask;
    ask->pipeline = call_value(call, "name");
    ask->has_pipeline = ask->pipeline != NULL;
    ask->format = call_value(call, "format");
    ask->has_format = ask->format != NULL;
    client_catch_interrupts(client);
    status_t status = import_run(client, call, &importing);
    reply_fini(&importing.reply);
    return status;
}

static const flag_t import_flags[] = {
    {"name", "PIPELINE", "The pipeline that it is a recording of. Default: the one in the file; `beam` needs it."},
    {"format", "msgpack|json|beam", FORMATS "Default: as the file begins."},
    {"tag", "TAG", "`beam`: the tag of a file, in place of the one in it; once for each file, in their order."},
    {0},
};
const command_t command_import = {
    .name = "import",
    .synopsis = "FILE…",
    .doc = "Make a recording of a file that `export` or Apache Beam wrote.",
    .more = "`-` is standard input. Several files, each of one tag, make one recording; they\n"
            "are Beam's. The recording is there once all of it is, and is kept when the\n"
            "pipeline's sources change. If they are the ones that it was made of, the next\n"
            "run replays it.",
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_ANY,
    .flags = import_flags,
    .run = import,
};
