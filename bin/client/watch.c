/* Waits for a recording job to end, and shows how far it is.
 * Waiting is `job.wait`, asked for a quarter of a second at a time, with a look at the job in between: so the end is known at once, the
 * bars move, and an engine that restarts meanwhile is found again. On a terminal the bars are drawn over each other; elsewhere
 * (a log, a pipe) there is a line now and then. */
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "print.h"
#include "table.h"
#include "units.h"

enum { LOOK_MS = 250, LOST_MS = 1500, LINE_MS = 2000, BAR_WIDTH = 36, WAITS_SHOWN = 3, WAITS_WIDTH = 69 };

typedef struct progress {
    bool terminal;
    bool silent;
    int lines;         /* drawn, to be drawn over */
    int64_t next_line; /* when, in ms of channel_clock */
    char *waits;       /* said last, in lines; NULL: nothing */
} progress_t;

bool watch_ended(const msg_job_t *job) {
    static const char *const ends[] = {"CANCELLED", "DONE", "FAILED"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(job->state, ends[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const struct phrase {
    const char *key, *text;
} reasons[] =
    {
        {"no_recordable_source", "there is no recordable source in it"},
        {"job_running", "a job is recording it already"},
        {"recording_valid", "it is recorded, and its sources have not changed"},
        {"replay_disabled", "the option `enable_recording_replay` is off"},
        {"first_run", "it was not recorded before"},
        {"sources_changed", "its sources have changed"},
        {"job_failed", "the last job failed"},
        {"job_cancelled", "the last job was cancelled"},
        {"recording_missing", "its recording is gone"},
},
  stops[] = {
      {"sources_ended", "all sources have ended"}, {"duration", "the time limit was reached"},
      {"bytes", "the size limit was reached"},     {"count", "the limit of elements was reached"},
      {"free_disk", "the disk is nearly full"},    {"user", "it was cancelled"},
      {"superseded", "another job took over"},     {"error", "an error"},
};

static const char *phrase_find(const struct phrase *phrases, size_t count, const char *key) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(phrases[i].key, key) == 0) {
            return phrases[i].text;
        }
    }
    return key;
}

const char *watch_reason(const char *reason) {
    return phrase_find(reasons, sizeof reasons / sizeof reasons[0], reason);
}

/* ---- progress ---- */

static void bar_draw(progress_t *progress, const char *name, int64_t now, int64_t limit, unit_text_t (*print)(int64_t)) {
    progress->lines++;
    if (limit <= 0) { /* LIMIT_NONE */
        fprintf(stderr, "\r\033[K%-9s %s\n", name, print(now).text);
        return;
    }
    char bar[BAR_WIDTH + 1];
    int full = now >= limit ? BAR_WIDTH : (int)((double)now / (double)limit * BAR_WIDTH);
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)full);
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r\033[K%-9s [%s] %s of %s\n", name, bar, print(now).text, print(limit).text);
}

static void waiting_text(const msg_job_t *job, char *ret_text, size_t size) {
    ret_text[0] = '\0';
    if (!job->has_waiting_for || job->waiting_for.count == 0) {
        return;
    }
    size_t used = (size_t)snprintf(ret_text, size, ", waiting for");
    for (size_t i = 0; i < job->waiting_for.count && used + 1 < size; i++) {
        used += (size_t)snprintf(ret_text + used, size - used, "%s `%s`", i ? "," : "", job->waiting_for.items[i]);
    }
    print_clean(ret_text);
}

/* So much of a text as fits beside a bar's name, in whole code points; `ret_text` has room for 4 bytes a column. */
static void waits_cut(const char *wait, char ret_text[4 * WAITS_WIDTH + 4]) {
    char clean[1024];
    size_t size = 0;
    snprintf(clean, sizeof clean, "%s", wait);
    print_clean(clean);
    bool cut = print_width(clean) > WAITS_WIDTH;
    for (int columns = 0; clean[size] && columns < (cut ? WAITS_WIDTH - 1 : WAITS_WIDTH); columns++) do
            size++;
        while ((clean[size] & 0xc0) == 0x80);
    memcpy(ret_text, clean, size);
    memcpy(ret_text + size, cut ? "…" : "", cut ? 4 : 1);
}

/* Under the bars, and gone when nothing is waited for any more. */
static void waits_draw(progress_t *progress, const msg_job_t *job) {
    for (size_t i = 0; i < job->waits.count && i < WAITS_SHOWN; i++) {
        char text[4 * WAITS_WIDTH + 4];
        waits_cut(job->waits.items[i], text);
        fprintf(stderr, "\r\033[K%-9s %s\n", i ? "" : "waits", text);
        progress->lines++;
    }
    fputs("\033[J", stderr);
}

/* In a log each is said once, until there is another. */
static void waits_say(progress_t *progress, const msg_job_t *job) {
    char *all = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&all, &size);
    must(out);
    for (size_t i = 0; i < job->waits.count && i < WAITS_SHOWN; i++) fprintf(out, "%s%s", i ? "; " : "", job->waits.items[i]);
    must(fclose(out) == 0);
    print_clean(all);
    if (size > 0 && (!progress->waits || strcmp(progress->waits, all) != 0)) fprintf(stderr, "waits: %s\n", all);
    free(progress->waits);
    progress->waits = all;
}

static void bars_draw(progress_t *progress, const msg_job_t *job) {
    char waiting[48];
    waiting_text(job, waiting, sizeof waiting);
    if (progress->lines) {
        fprintf(stderr, "\033[%dA", progress->lines);
    }
    progress->lines = 1;
    fprintf(stderr, "\r\033[K%s%s\n", job->state, waiting);
    const msg_limits_t *limits = &job->limits;
    bar_draw(progress, "time", job->elapsed_ms, limits->duration_ms, units_duration_ms);
    bar_draw(progress, "size", job->bytes, limits->bytes, units_bytes);
    bar_draw(progress, "elements", job->elements, limits->count, units_count);
    waits_draw(progress, job);
}

static void progress_show(progress_t *progress, const msg_job_t *job) {
    if (progress->silent) {
        return;
    }
    if (progress->terminal) {
        bars_draw(progress, job);
        return;
    }
    if (watch_ended(job) || channel_clock() < progress->next_line) {
        return;
    }
    progress->next_line = channel_clock() + LINE_MS;
    char waiting[256];
    waiting_text(job, waiting, sizeof waiting);
    fprintf(stderr, "%s: %s, %s in %s%s\n", job->state, units_things(job->elements, "element").text, units_bytes(job->bytes).text,
            units_duration_ms(job->elapsed_ms).text, waiting);
    waits_say(progress, job);
}

/* ---- waiting ---- */

static status_t job_cancel(client_t *client, const char *job) {
    reply_t reply = {0};
    client_interrupt_taken(client);
    msg_job_cancel_t ask = {.has_job = true, .job = job};
    status_t status = client_ask_again(client, MSG_JOB_CANCEL, &ask, LOST_MS, &reply);
    reply_fini(&reply);
    return status;
}

status_t watch_job(client_t *client, const char *job, bool cancels, reply_t *reply) {
    progress_t progress = {.terminal = isatty(STDERR_FILENO), .silent = client->json};
    char *name = strdup(job);
    must(name);
    msg_job_describe_t describe = {.has_job = true, .job = name};
    msg_job_wait_t wait = {.has_job = true, .job = name, .timeout_ms = LOOK_MS};
    status_t status;
    for (;;) {
        status = client_ask_again(client, MSG_JOB_DESCRIBE, &describe, LOST_MS, reply);
        if (status == STATUS_OK) {
            progress_show(&progress, reply->message);
            if (watch_ended(reply->message)) {
                break;
            }
            /* Whatever else comes of it, the next look tells. */
            reply_t waited = {0};
            bool interrupted = client_ask_within(client, MSG_JOB_WAIT, &wait, LOST_MS, &waited) == STATUS_INTERRUPTED;
            reply_fini(&waited);
            status = interrupted ? STATUS_INTERRUPTED : STATUS_OK;
        }
        if (status == STATUS_INTERRUPTED && cancels) {
            cancels = false;
            status = job_cancel(client, name);
        }
        if (status != STATUS_OK) {
            break;
        }
    }
    free(progress.waits);
    free(name);
    return status;
}

status_t watch_summary(client_t *client, const msg_job_t *job) {
    bool failed = strcmp(job->state, "FAILED") == 0;
    if (!client->json) {
        const char *stop = job->stop_reason ? phrase_find(stops, sizeof stops / sizeof stops[0], job->stop_reason) : job->state;
        printf("recorded %s, %s in %s: %s\n", units_things(job->elements, "element").text, units_bytes(job->bytes).text,
               units_duration_ms(job->elapsed_ms).text, stop);
        table_pair(stdout, "recording", "%s", job->recording);
        if (job->elements > 0) {
            table_pair(stdout, "replay it", "reprise%s%s replay %s", client->engine_given ? " --engine " : "",
                       client->engine_given ? client->engine : "", job->pipeline);
        }
    }
    if (failed) {
        client_fail(client, STATUS_FAILED, "job `%s` failed: %s", job->job, job->error ? job->error : "the engine does not say why");
        client->no.code = ERROR_INTERNAL;
        return STATUS_FAILED;
    }
    return STATUS_OK;
}
