/* What starts a recording: `run` a pipeline, or `record` a source without writing a pipeline first. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "command_list.h"
#include "scheme.h"
#include "table.h"
#include "units.h"
#include "url.h"
#include "value.h"
#include "watch.h"

/* ---- a pipeline runs ---- */

/* What the answer is to have besides: the pipeline that replays, with so many elements in it. */
typedef struct wish {
    bool rewrite, inlined;
    int64_t elements_max; /* 0: all */
} wish_t;

static status_t run_ask(client_t *client, const msg_limits_t *limits, const char *name, const msg_pipeline_t *definition,
                        const wish_t *wish, reply_t *reply) {
    msg_pipeline_run_t ask = {.has_pipeline = true, .pipeline = name, .pipeline_definition = definition};
    ask.has_rewrite = ask.rewrite = wish->rewrite;
    ask.has_inlined = ask.inlined = wish->inlined;
    ask.has_max_elements = wish->elements_max > 0;
    ask.max_elements = wish->elements_max;
    ask.has_limits = limits->has_duration_ms || limits->has_bytes || limits->has_count;
    ask.limits = *limits;
    return client_ask(client, MSG_PIPELINE_RUN_ASK, &ask, reply);
}

static void run_print(const char *pipeline, const msg_pipeline_run_answer_t *run) {
    printf("%s %s: %s\n", pipeline, run->started ? "is being recorded" : "is not recorded now", watch_reason(run->reason));
    if (run->job) {
        table_pair(stdout, "job", "%s", run->job);
    }
    if (run->recording) {
        table_pair(stdout, "recording", "%s", run->recording);
    }
    for (size_t i = 0; i < run->tags.count; i++) {
        table_pair(stdout, i ? "" : "tags", "%s", run->tags.items[i]);
    }
    if (run->test_stream) {
        table_pair(stdout, "test stream", "%s", run->test_stream);
    }
    if (run->beam_endpoint) {
        table_pair(stdout, "for Beam", "%s", run->beam_endpoint);
    }
    if (run->added.count || run->removed.count) {
        table_pair(stdout, "sources", "%zu new, %zu gone", run->added.count, run->removed.count);
    }
}

/* The pipeline that replays, in a file that is there only when it is whole. */
static status_t rewritten_write(client_t *client, const char *path, bytes_t beam) {
    char partial[PATH_MAX];
    if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial) {
        return client_fail(client, STATUS_USAGE, "the path %.100s… is too long", path);
    }
    FILE *file = fopen(partial, "wb");
    if (!file) {
        return client_fail(client, STATUS_FAILED, "cannot create %s: %s", partial, strerror(errno));
    }
    bool good = beam.size == 0 || fwrite(beam.data, 1, beam.size, file) == beam.size;
    good = fclose(file) == 0 && good;
    if (!good || rename(partial, path) < 0) {
        status_t status = client_fail(client, STATUS_FAILED, "cannot write %s: %s", path, strerror(errno));
        unlink(partial);
        return status;
    }
    return STATUS_OK;
}

/* A source that nobody can run fails its job before the run is answered. */
static status_t run_check(client_t *client, const msg_pipeline_run_answer_t *run) {
    if (!run->started || !run->job) {
        return STATUS_OK;
    }
    reply_t reply = {0};
    msg_job_describe_t ask = {.has_job = true, .job = run->job};
    status_t status = client_ask(client, MSG_JOB_DESCRIBE, &ask, &reply);
    const msg_job_t *job = reply.message;
    if (status == STATUS_OK && strcmp(job->state, "FAILED") == 0) {
        status = client_fail(client, STATUS_FAILED, "job `%s` has failed: %s", job->job, job->error ? job->error : "it says no more");
    }
    reply_fini(&reply);
    return status;
}

/* Follows the job that a run started or joined. The JSON document is {run, job}. */
static status_t run_follow(client_t *client, const char *pipeline, const reply_t *run, bool cancels) {
    const msg_pipeline_run_answer_t *answer = run->message;
    reply_t job = {0};
    status_t status = answer->job ? watch_job(client, answer->job, cancels, &job) : STATUS_OK;
    if (status == STATUS_OK && client->json) {
        json_t *document = json_pack("{s:b, s:s, s:o}", "ok", 1, "pipeline", pipeline, "run", reply_json(run));
        if (answer->job) {
            json_object_set_new(document, "job", reply_json(&job));
        }
        client_print_json(client, document);
    }
    if (status == STATUS_OK && answer->job) {
        status = watch_summary(client, job.message);
    } else if (status == STATUS_INTERRUPTED && !client->json) {
        fprintf(stderr, "reprise: the job goes on: `reprise cancel %s` ends it\n", answer->job);
    }
    reply_fini(&job);
    return status;
}

enum { BASE_NAME_MAX = 256 };

/* What `run` was given: the definition in a file, or none where there is no such file, and the argument is the name of a pipeline. */
typedef struct defined {
    msgpack_sbuffer content;
    msgpack_zone zone;
    msg_pipeline_t definition;
    bool read;
    char base[BASE_NAME_MAX]; /* a name made from the file's */
} defined_t;

/* A pipeline of Beam has no name: it gets the file's, without what follows the last dot. */
static status_t beam_define(client_t *client, const char *path, defined_t *d) {
    if (strcmp(path, "-") == 0 && !d->definition.name) {
        return client_fail(client, STATUS_USAGE, "a pipeline of Beam from standard input needs --name");
    }
    const char *slash = strrchr(path, '/');
    snprintf(d->base, sizeof d->base, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(d->base, '.');
    if (dot && dot != d->base) {
        *dot = '\0';
    }
    d->definition = (msg_pipeline_t){.has_name = true,
                                     .name = d->definition.name ? d->definition.name : d->base,
                                     .has_beam = true,
                                     .beam = {(const uint8_t *)d->content.data, d->content.size}};
    return STATUS_OK;
}

static status_t own_define(client_t *client, const char *path, defined_t *d) {
    const char *given = d->definition.name, *what = strcmp(path, "-") == 0 ? "standard input" : path;
    bytes_t bytes = {(const uint8_t *)d->content.data, d->content.size};
    if (record_decode(RECORD_CLASS(pipeline), what, bytes, &d->zone, &d->definition, &client->no) == -1) {
        return STATUS_FAILED;
    }
    if (given) {
        d->definition.name = given;
    }
    return STATUS_OK;
}

static status_t definition_read(client_t *client, const call_t *call, const char *path, defined_t *d) {
    fault_t why;
    bool beam = call_has(call, "beam");
    int result = beam ? value_read_bytes(path, &d->content, &why) : value_read(path, &d->content, &why);
    d->definition.name = call_value(call, "name");
    if (result == 1 && !beam && !strchr(path, '/')) {
        return d->definition.name
                   ? client_fail(client, STATUS_USAGE, "--name is for a definition in a file, and there is no file `%s`", path)
                   : STATUS_OK;
    }
    if (result == 1) {
        return client_fail(client, STATUS_FAILED, "cannot read %s: there is no such file", path);
    }
    if (result == -1) {
        return client_fail(client, STATUS_FAILED, "%s", why.text);
    }
    d->read = true;
    return beam ? beam_define(client, path, d) : own_define(client, path, d);
}

static status_t wish_read(client_t *client, const call_t *call, wish_t *wish) {
    bool given = false;
    *wish = (wish_t){.rewrite = call_has(call, "rewrite"), .inlined = call_has(call, "inline")};
    if (wish->inlined && !wish->rewrite) {
        return client_fail(client, STATUS_USAGE, "--inline is for --rewrite OUT");
    }
    status_t status = call_quantity(client, call, "max-elements", units_parse_count, &given, &wish->elements_max);
    if (status == STATUS_OK && given && wish->elements_max < 1) {
        return client_fail(client, STATUS_USAGE, "--max-elements: at least one");
    }
    if (status == STATUS_OK && given && !wish->inlined) {
        return client_fail(client, STATUS_USAGE, "--max-elements is for --inline");
    }
    return status;
}

/* Waits for the recording whose elements are to stand in the pipeline. */
static status_t recording_await(client_t *client, const char *name, const msg_pipeline_run_answer_t *run) {
    reply_t reply = {0};
    if (!run->job) {
        return client_fail(client, STATUS_FAILED, "`%s` has no recording whose elements could be inlined", name);
    }
    if (!client->json) {
        fprintf(stderr, "%s %s; its elements are inlined when the recording is complete\n", name,
                run->started ? "is being recorded" : "is being recorded already");
    }
    status_t status = watch_job(client, run->job, false, &reply);
    const msg_job_t *job = reply.message;
    if (status == STATUS_OK && !job->is_done) {
        status = client_fail(client, STATUS_FAILED, "job `%s` ended as %s%s%s: its recording is not complete", job->job, job->state,
                             job->error ? ", " : "", job->error ? job->error : "");
    }
    reply_fini(&reply);
    return status;
}

static status_t run_ask_and_await(client_t *client, const msg_limits_t *limits, const char *name, const msg_pipeline_t *definition,
                                  const wish_t *wish, reply_t *reply) {
    status_t status = run_ask(client, limits, name, definition, wish, reply);
    const msg_pipeline_run_answer_t *run = reply->message;
    if (status != STATUS_OK || !wish->rewrite || run->has_beam) {
        return status;
    }
    status = recording_await(client, name, run);
    if (status == STATUS_OK) {
        reply_fini(reply);
        status = run_ask(client, limits, name, definition, wish, reply);
        run = reply->message;
    }
    if (status == STATUS_OK && !run->has_beam) {
        status =
            client_fail(client, STATUS_FAILED, "the recording did not stay: `%s` is recorded again, %s", name, watch_reason(run->reason));
    }
    return status;
}

static status_t defined_run(client_t *client, const call_t *call, defined_t *d) {
    const char *path = call->arguments[0], *rewritten = call_value(call, "rewrite");
    reply_t reply = {0};
    msg_limits_t limits;
    wish_t wish;
    status_t status = call_limits(client, call, &limits);
    if (status == STATUS_OK) {
        status = wish_read(client, call, &wish);
    }
    if (status == STATUS_OK) {
        status = definition_read(client, call, path, d);
    }
    const char *name = path;
    if (status == STATUS_OK) {
        name = d->read ? d->definition.name : path;
        status = run_ask_and_await(client, &limits, name, d->read ? &d->definition : NULL, &wish, &reply);
        if (status == STATUS_FAILED && !d->read && client_refused(client, ERROR_NOT_FOUND)) {
            client_fail(client, status, "there is no file and no pipeline `%s`", path);
        }
    }
    if (status == STATUS_OK && rewritten) {
        status = rewritten_write(client, rewritten, ((const msg_pipeline_run_answer_t *)reply.message)->beam);
    }
    if (status == STATUS_OK && !client->json) {
        run_print(name, reply.message);
        if (rewritten) {
            table_pair(stdout, "rewritten", "%s", rewritten);
        }
    }
    if (status == STATUS_OK && call_has(call, "wait")) {
        status = run_follow(client, name, &reply, false);
    } else if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    }
    if (status == STATUS_OK && !call_has(call, "wait")) {
        status = run_check(client, reply.message);
    }
    reply_fini(&reply);
    return status;
}

static status_t run(client_t *client, const call_t *call) {
    defined_t defined = {0};
    msgpack_sbuffer_init(&defined.content);
    must(msgpack_zone_init(&defined.zone, MSGPACK_ZONE_CHUNK_SIZE));
    if (call_has(call, "wait") || call_has(call, "inline")) {
        client_catch_interrupts(client);
    }
    status_t status = defined_run(client, call, &defined);
    msgpack_zone_destroy(&defined.zone);
    msgpack_sbuffer_destroy(&defined.content);
    return status;
}

static const flag_t run_flags[] = {
    {"limit", "LIMITS", "End the recording after these: `60s,1GB,1000` (a time, bytes, elements), or by name: `count=1e6,bytes=none`."},
    {"wait", NULL, "Wait until the recording has ended. Exit status 1 if it failed."},
    {"beam", NULL, "FILE holds a pipeline of Apache Beam: a serialized `Pipeline` message."},
    {"rewrite", "OUT", "Write the pipeline of Beam that replays what is recorded to the file OUT."},
    {"inline", NULL, "With --rewrite: wait until the recording is complete, and put its events into OUT."},
    {"max-elements", "COUNT", "With --inline: the first so many elements alone."},
    {"name", "NAME", "Name the pipeline. Default: as FILE says; with --beam, FILE without its ending."},
    {0},
};
const command_t command_run = {
    .name = "run",
    .synopsis = "FILE|PIPELINE",
    .doc = "Run a pipeline: record its sources if that is needed.",
    .more = "FILE holds a pipeline's definition as JSON or msgpack; `-` is standard input:\n"
            "  {\"name\": \"clicks\", \"transforms\": [{\"name\": \"Read\",\n"
            "   \"urn\": \"reprise:source:file:v1\", \"payload\": {\"path\": \"/var/log/app.log\"}}]}\n"
            "Bytes are written {\"base64\": \"…\"}. A pipeline that the engine knows already\n"
            "can be named instead. With --beam, FILE is what Apache Beam makes of a pipeline:\n"
            "`pipeline.to_runner_api().SerializeToString()` in Python; OUT is the same again,\n"
            "with one TestStream that reads from the engine in place of the sources. With\n"
            "--inline the TestStream holds the events itself, for runners that do not call.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = run_flags,
    .run = run,
};

/* ---- a source is recorded ---- */

enum { SOURCES_MAX = 32 };

typedef struct recorded {
    size_t count;
    url_source_t sources[SOURCES_MAX];
    msg_transform_t transforms[SOURCES_MAX];
    char tags[SOURCES_MAX][64];
} recorded_t;

/* Several sources of one scheme are `file`, `file-2`, …, unless they are given tags. */
static status_t sources_parse(client_t *client, const call_t *call, recorded_t *recorded) {
    size_t at = 0;
    fault_t why;
    if (call->count > SOURCES_MAX) {
        return client_fail(client, STATUS_USAGE, "more than %d sources", SOURCES_MAX);
    }
    for (int i = 0; i < call->count; i++) {
        url_source_t *source = &recorded->sources[recorded->count++];
        if (url_parse(call->arguments[i], source, &why) == -1) {
            return client_fail(client, STATUS_USAGE, "%s", why.text);
        }
        int same = 0;
        for (int k = 0; k <= i; k++) {
            same += recorded->sources[k].scheme == source->scheme;
        }
        snprintf(recorded->tags[i], sizeof recorded->tags[i], same > 1 ? "%s-%d" : "%s", source->scheme->scheme, same);
        const char *tag = call_next(call, "tag", &at);
        msg_transform_t *transform = &recorded->transforms[i];
        *transform =
            (msg_transform_t){.has_name = true, .name = tag ? tag : recorded->tags[i], .has_urn = true, .urn = source->scheme->urn};
        transform->has_payload = true;
        transform->payload = (bytes_t){(const uint8_t *)source->payload.data, source->payload.size};
    }
    if (call_next(call, "tag", &at)) {
        return client_fail(client, STATUS_USAGE, "there are more tags than sources");
    }
    return STATUS_OK;
}

/* The first of `kafka-clicks`, `kafka-clicks-2`, … that no pipeline has: so that what is recorded ad hoc replaces nothing. */
static status_t name_choose(client_t *client, const char *base, char *ret_name, size_t size) {
    reply_t reply = {0};
    msg_pipeline_list_t ask = {0};
    status_t status = client_ask(client, MSG_PIPELINE_LIST, &ask, &reply);
    if (status == STATUS_OK) {
        const msg_pipelines_t *list = reply.message;
        bool taken = true;
        for (size_t number = 1; taken; number++) {
            snprintf(ret_name, size, number > 1 ? "%s-%zu" : "%s", base, number);
            taken = false;
            for (size_t i = 0; i < list->pipelines.count && !taken; i++) {
                taken = strcmp(list->pipelines.items[i].name, ret_name) == 0;
            }
        }
    }
    reply_fini(&reply);
    return status;
}

static void push_hint(const recorded_t *recorded, const char *name) {
    for (size_t i = 0; i < recorded->count; i++) {
        if (!recorded->sources[i].scheme->payload) {
            fprintf(stderr, "push to it: reprise push %s %s\n", name, recorded->transforms[i].name);
        }
    }
}

/* A source that nobody can run leaves nothing of a pipeline that was made for it: the next try is not another one beside it. */
static status_t chosen_check(client_t *client, const char *name, const msg_pipeline_run_answer_t *run) {
    status_t status = run_check(client, run);
    if (status != STATUS_FAILED) {
        return status;
    }
    refusal_t no = client->no;
    reply_t reply = {0};
    msg_pipeline_forget_t forget = {.has_pipeline = true, .pipeline = name};
    client_ask(client, MSG_PIPELINE_FORGET, &forget, &reply); /* who may not is no worse off */
    reply_fini(&reply);
    client->no = no;
    return status;
}

static status_t recorded_run(client_t *client, const call_t *call, recorded_t *recorded) {
    char chosen[128];
    const char *name = call_value(call, "name");
    msg_limits_t limits;
    status_t status = call_limits(client, call, &limits);
    if (status == STATUS_OK) {
        status = sources_parse(client, call, recorded);
    }
    if (status == STATUS_OK && !name) {
        status = name_choose(client, recorded->sources[0].name, chosen, sizeof chosen);
        name = chosen;
    }
    if (status != STATUS_OK) {
        return status;
    }
    reply_t reply = {0};
    msg_pipeline_t definition = {.has_name = true, .name = name, .has_transforms = true};
    definition.transforms.count = recorded->count;
    definition.transforms.items = recorded->transforms;
    status = run_ask(client, &limits, name, &definition, &(wish_t){0}, &reply);
    if (status == STATUS_OK && name == chosen) {
        status = chosen_check(client, name, reply.message);
    }
    if (status == STATUS_OK) {
        const msg_pipeline_run_answer_t *run_answer = reply.message;
        if (!client->json && run_answer->started) {
            fprintf(stderr, "recording %s, job %s\n", name, run_answer->job ? run_answer->job : "?");
            push_hint(recorded, name);
            fflush(stderr);
        } else if (!client->json) {
            run_print(name, run_answer);
        }
        status = run_follow(client, name, &reply, true);
    }
    reply_fini(&reply);
    return status;
}

static status_t record(client_t *client, const call_t *call) {
    recorded_t *recorded = calloc(1, sizeof *recorded);
    must(recorded);
    client_catch_interrupts(client);
    status_t status = recorded_run(client, call, recorded);
    for (size_t i = 0; i < recorded->count; i++) {
        url_fini(&recorded->sources[i]);
    }
    free(recorded);
    return status;
}

static const flag_t record_flags[] = {
    {"limit", "LIMITS", "End the recording after these: `60s,1GB,1000` (a time, bytes, elements), or by name: `count=1e6,bytes=none`."},
    {"name", "NAME", "Name the pipeline. Default: the source's kind and name, and a number."},
    {"tag", "TAG", "Tag the source's elements; once a source, in their order."},
    {0},
};
const command_t command_record = {
    .name = "record",
    .synopsis = "SOURCE…",
    .doc = "Record a source until a limit, its end or Ctrl-C.",
    .more = "Several sources are recorded into one recording. With the --name of a pipeline\n"
            "that has recorded the same sources, nothing is recorded again.",
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_ANY,
    .flags = record_flags,
    .run = record,
    .help = scheme_print_help,
};
