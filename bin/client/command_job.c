/* Pipelines and their recording jobs: `jobs`, `cancel`, `describe`, `forget`. */
#include <string.h>

#include "command_list.h"
#include "describe.h"
#include "table.h"
#include "units.h"
#include "watch.h"

static const flag_t no_flags[] = {{0}};

static void jobs_print(const msg_jobs_t *jobs) {
    table_t table;
    table_init(&table, (const char *const[]){"JOB", "~PIPELINE", "STATE", ">ELEMENTS", ">SIZE", ">TIME", NULL});
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        const msg_job_t *job = &jobs->jobs.items[i];
        table_add(&table, "%s", job->job);
        table_add(&table, "%s", job->pipeline);
        table_add(&table, "%s%s%s", job->state, job->stop_reason ? " " : "", job->stop_reason ? job->stop_reason : "");
        table_add(&table, "%s", units_count(job->elements).text);
        table_add(&table, "%s", units_bytes(job->bytes).text);
        table_add(&table, "%s", units_duration_ms(job->elapsed_ms).text);
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static status_t jobs(client_t *client, const call_t *call) {
    (void)call;
    reply_t reply = {0};
    msg_job_list_t ask = {0};
    status_t status = client_ask(client, MSG_JOB_LIST, &ask, &reply);
    if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (status == STATUS_OK) {
        jobs_print(reply.message);
    }
    reply_fini(&reply);
    return status;
}

const command_t command_jobs = {
    .name = "jobs",
    .synopsis = "",
    .doc = "List the recording jobs.",
    .flags = no_flags,
    .run = jobs,
};

/* ---- cancel ---- */

static status_t cancel(client_t *client, const call_t *call) {
    const char *name = call->arguments[0];
    reply_t reply = {0};
    msg_job_cancel_t ask = {.has_job = true, .job = name};
    status_t status = client_ask(client, MSG_JOB_CANCEL, &ask, &reply);
    if (status == STATUS_FAILED && client_refused(client, ERROR_NOT_FOUND)) {
        ask = (msg_job_cancel_t){.has_pipeline = true, .pipeline = name};
        status = client_ask(client, MSG_JOB_CANCEL, &ask, &reply);
        if (status == STATUS_FAILED && client_refused(client, ERROR_NOT_FOUND)) {
            client_fail(client, status, "`%s` is neither a job nor a pipeline", name);
            client->no.code = ERROR_NOT_FOUND;
        }
    }
    if (status == STATUS_OK && ask.has_pipeline && !((const msg_job_cancelled_t *)reply.message)->has_job) {
        status = client_know_pipeline(client, name, "neither a job nor a pipeline");
    }
    if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (status == STATUS_OK) {
        const msg_job_cancelled_t *answer = reply.message;
        if (answer->cancelled && answer->has_job) {
            printf("job %s is cancelled: %s, %s in %s\n", answer->job.job, units_things(answer->job.elements, "element").text,
                   units_bytes(answer->job.bytes).text, units_duration_ms(answer->job.elapsed_ms).text);
        } else {
            printf("nothing was running\n");
        }
    }
    reply_fini(&reply);
    return status;
}

const command_t command_cancel = {
    .name = "cancel",
    .synopsis = "PIPELINE|JOB",
    .doc = "Cancel a recording job; what is recorded stays.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = no_flags,
    .run = cancel,
};

/* ---- describe ---- */

static status_t describe(client_t *client, const call_t *call) {
    const char *name = call->arguments[0];
    reply_t reply = {0};
    msg_pipeline_describe_t ask = {.has_pipeline = true, .pipeline = name};
    status_t status = client_ask(client, MSG_PIPELINE_DESCRIBE, &ask, &reply);
    bool by_pipeline = status == STATUS_OK;
    if (status == STATUS_FAILED && client_refused(client, ERROR_NOT_FOUND)) {
        msg_recording_describe_t recording = {.has_recording = true, .recording = name};
        status = client_ask(client, MSG_RECORDING_DESCRIBE, &recording, &reply);
        if (status == STATUS_FAILED && client_refused(client, ERROR_NOT_FOUND)) {
            client_fail(client, status, "`%s` is neither a pipeline nor a recording", name);
            client->no.code = ERROR_NOT_FOUND;
        }
    }
    if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (status == STATUS_OK && by_pipeline) {
        describe_pipeline(reply.message);
    } else if (status == STATUS_OK) {
        describe_recording(reply.message);
    }
    reply_fini(&reply);
    return status;
}

const command_t command_describe = {
    .name = "describe",
    .synopsis = "PIPELINE|RECORDING",
    .doc = "Show all that is known of a pipeline or a recording.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = no_flags,
    .run = describe,
};

/* ---- forget ---- */

static status_t forget(client_t *client, const call_t *call) {
    reply_t reply = {0};
    msg_pipeline_forget_t ask = {.has_pipeline = true, .pipeline = call->arguments[0]};
    status_t status = client_ask(client, MSG_PIPELINE_FORGET, &ask, &reply);
    if (status == STATUS_OK && client->json) {
        client_print(client, &reply);
    } else if (status == STATUS_OK) {
        printf("%s is forgotten\n", call->arguments[0]);
    }
    reply_fini(&reply);
    return status;
}

const command_t command_forget = {
    .name = "forget",
    .synopsis = "PIPELINE",
    .doc = "Forget a pipeline and delete all its recordings.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = no_flags,
    .run = forget,
};
