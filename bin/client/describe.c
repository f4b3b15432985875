/* Pipelines and recordings in words: what a person asks about them, on one screen. All the rest is in `--json`. */
#include "describe.h"

#include <stdio.h>

#include "table.h"
#include "units.h"
#include "watch.h"

static void job_describe(const msg_job_t *job) {
    table_pair(stdout, "job", "%s, %s%s%s", job->job, job->state, job->stop_reason ? ": " : "", job->stop_reason ? job->stop_reason : "");
    table_pair(stdout, "", "%s, %s in %s", units_things(job->elements, "element").text, units_bytes(job->bytes).text,
               units_duration_ms(job->elapsed_ms).text);
    if (job->error) {
        table_pair(stdout, "", "%s", job->error);
    }
    for (size_t i = 0; i < job->waiting_for.count; i++) {
        table_pair(stdout, "", "waits for `%s`", job->waiting_for.items[i]);
    }
    for (size_t i = 0; i < job->needs_workers.count; i++) {
        table_pair(stdout, "", "needs a worker for `%s`", job->needs_workers.items[i]);
    }
    for (size_t i = 0; i < job->waits.count; i++) {
        table_pair(stdout, "", "waits: %s", job->waits.items[i]);
    }
}

void describe_recording(const msg_recording_t *recording) {
    table_pair(stdout, "recording", "%s, %s%s%s", recording->recording, recording->state, recording->kept ? ", kept" : "",
               recording->has_invalidated ? ", invalid: its sources have changed" : "");
    table_pair(stdout, "pipeline", "%s", recording->pipeline);
    int64_t took = (int64_t)((uint64_t)recording->end - (uint64_t)recording->start); /* an engine may say anything */
    table_pair(stdout, "recorded", "%s%s%s", recording->start ? units_time(recording->start).text : "not begun yet",
               recording->has_end ? ", for " : "", recording->has_end ? units_duration(took).text : "");
    table_pair(stdout, "holds", "%s, %s", units_things(recording->elements, "element").text, units_bytes(recording->size).text);
    if (recording->digest && recording->elements > 0) {
        table_pair(stdout, "digest", "%s", recording->digest);
    }
    for (size_t i = 0; i < recording->gaps.count; i++) {
        const msg_gap_t *gap = &recording->gaps.items[i];
        table_pair(stdout, i ? "" : "gaps", "before element %s%s%s: %s", units_count(gap->element).text, gap->tag ? " of " : "",
                   gap->tag ? gap->tag : "", gap->what);
    }
    printf("\n");
    table_t table;
    table_init(&table, (const char *const[]){"TAG", ">ELEMENTS", ">SIZE", "WATERMARK", NULL});
    for (size_t i = 0; i < recording->tags.count; i++) {
        const msg_recorded_tag_t *tag = &recording->tags.items[i];
        table_add(&table, "%s", tag->tag);
        table_add(&table, "%s", units_count(tag->elements).text);
        table_add(&table, "%s", units_bytes(tag->bytes).text);
        table_add(&table, "%s", !tag->has_watermark ? "" : tag->watermark >= WATERMARK_MAX ? "end" : units_time(tag->watermark).text);
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static void runs_describe(const msg_pipeline_description_t *pipeline) {
    enum { RUNS_SHOWN = 5 };
    size_t count = pipeline->runs.count, first = count > RUNS_SHOWN ? count - RUNS_SHOWN : 0;
    for (size_t i = first; i < count; i++) {
        const msg_run_t *run = &pipeline->runs.items[i];
        table_pair(stdout, i == first ? "runs" : "", "%.16s: %s", units_time(run->started_at).text, watch_reason(run->reason));
    }
}

void describe_pipeline(const msg_pipeline_description_t *pipeline) {
    table_pair(stdout, "pipeline", "%s", pipeline->name);
    if (pipeline->has_beam_size) {
        table_pair(stdout, "from", "Apache Beam, %s", units_bytes(pipeline->beam_size).text);
    }
    for (size_t i = 0; i < pipeline->sources.count; i++) {
        const msg_source_t *source = &pipeline->sources.items[i];
        table_pair(stdout, i ? "" : "sources", "%s, %s", source->tag, source->urn);
    }
    if (pipeline->sources.count == 0) {
        table_pair(stdout, "sources", "none that is recorded");
    }
    runs_describe(pipeline);
    if (pipeline->test_stream) {
        table_pair(stdout, "test stream", "%s", pipeline->test_stream);
    }
    if (pipeline->beam_endpoint) {
        table_pair(stdout, "beam", "%s", pipeline->beam_endpoint);
    }
    if (pipeline->has_job) {
        job_describe(&pipeline->job);
    }
    if (pipeline->has_recording) {
        printf("\n");
        describe_recording(&pipeline->recording);
    }
}
