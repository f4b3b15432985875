/* The recordings on the disk, those being written among them. What is said of one comes from its manifest; of one that is being written,
 * its totals come from its journal. The folder is read once, when the recorder starts: what a process or an earlier state left unfinished
 * is opened again, and what cannot be trusted any more is closed as failed, never passed over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "recorder_state.h"
#include "runtime/duration.h"
#include "store/folder.h"
#include "store/manifest.h"
#include "store/recovery.h"
#include "store/segment.h"

void *zone_array(msgpack_zone *zone, size_t count, size_t size) {
    void *made = msgpack_zone_malloc(zone, (count + 1) * size);
    must(made);
    return memset(made, 0, (count + 1) * size);
}

/* ---- finding ---- */

recording_t *shelf_find(const recorder_t *self, const char *id) {
    for (size_t i = 0; i < self->recordings_count; i++)
        if (strcmp(recording_job(self->recordings[i])->recording, id) == 0) return self->recordings[i];
    return NULL;
}

recording_t *shelf_find_job(const recorder_t *self, const char *job) {
    for (size_t i = self->recordings_count; i-- > 0;)
        if (strcmp(recording_job(self->recordings[i])->job, job) == 0) return self->recordings[i];
    return NULL;
}

recording_t *shelf_find_number(const recorder_t *self, uint64_t number) {
    for (size_t i = 0; i < self->recordings_count; i++)
        if (self->recordings[i]->number == number) return self->recordings[i];
    return NULL;
}

recording_t *shelf_newest(const recorder_t *self, const char *pipeline, bool unfinished) {
    for (size_t i = self->recordings_count; i-- > 0;) {
        recording_t *recording = self->recordings[i];
        if (unfinished && recording_has_ended(recording)) continue;
        if (recording_job(recording)->has_invalidated) continue;
        if (strcmp(recording_job(recording)->pipeline, pipeline) == 0) return recording;
    }
    return NULL;
}

bool shelf_has(const recorder_t *self, const char *pipeline) {
    for (size_t i = 0; i < self->recordings_count; i++)
        if (strcmp(recording_job(self->recordings[i])->pipeline, pipeline) == 0) return true;
    return false;
}

recording_t *shelf_add(recorder_t *self, const char *id) {
    recording_t *recording = calloc(1, sizeof *recording);
    self->recordings = realloc(self->recordings, (self->recordings_count + 1) * sizeof(recording_t *));
    must(recording && self->recordings);
    recording->number = ++self->last_number;
    recording->ledger = &self->ledger;
    folder_recording_path(actor_config(self->me)->data, id, recording->folder, sizeof recording->folder);
    return self->recordings[self->recordings_count++] = recording;
}

static void recording_free(recording_t **recording) {
    recording_t *old = *recording;
    for (size_t i = 0; i < old->followers_count; i++) free(old->followers[i]);
    free(old->followers);
    free(old->sync_failure);
    free(old->failure);
    finish_free(&old->finish);
    reel_close(&old->reel);
    old->ledger->held -= old->held;
    record_free(RECORD_CLASS(manifest), (void **)&old->manifest);
    free(old);
    *recording = NULL;
}

void shelf_remove(recorder_t *self, recording_t **recording) {
    recording_t *old = *recording;
    size_t at = 0;
    while (self->recordings[at] != old) at++;
    memmove(self->recordings + at, self->recordings + at + 1, (--self->recordings_count - at) * sizeof(recording_t *));
    if (old->reel) LIST_REMOVE(old, writing);
    recording_untouch(old);
    actor_cancel(self->me, &old->sync_timer);
    recording_free(recording);
}

void shelf_free(recorder_t *self) {
    for (size_t i = 0; i < self->recordings_count; i++) recording_free(&self->recordings[i]);
    free(self->recordings);
}

/* ---- one recording ---- */

const msg_manifest_t *recording_manifest(const recording_t *recording) {
    return recording->manifest ? recording->manifest : journal_manifest(recording->reel->journal);
}

const msg_recording_job_t *recording_job(const recording_t *recording) {
    return &recording_manifest(recording)->recording;
}

bool state_is_end(const char *state) {
    static const char *const states[] = {"DONE", "CANCELLED", "FAILED"};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i]) == 0) return true;
    return false;
}

bool recording_has_ended(const recording_t *recording) {
    return state_is_end(recording_job(recording)->state);
}

static const msg_stream_total_t *recording_total(const recording_t *recording, size_t stream) {
    static const msg_stream_total_t nothing;
    if (recording->reel) return journal_stream(recording->reel->journal, (uint32_t)stream);
    return stream < recording->manifest->totals.count ? &recording->manifest->totals.items[stream] : &nothing;
}

msg_recording_job_t recording_report(const recording_t *recording, msgpack_zone *zone) {
    msg_recording_job_t report = *recording_job(recording);
    if (recording->manifest) return report;
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    report.elements = (int64_t)totals->elements;
    report.bytes = (int64_t)totals->bytes;
    report.spent = recording->reel->spent;
    report.has_spent = report.spent != NULL;
    msg_stream_t *streams = zone_array(zone, report.streams.count, sizeof *streams);
    for (size_t i = 0; i < report.streams.count; i++) {
        streams[i] = report.streams.items[i];
        streams[i].has_ended = streams[i].ended = recording_total(recording, i)->ended;
    }
    report.streams.items = streams;
    return report;
}

static int text_order(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

msg_recording_t recording_description(const recording_t *recording, msgpack_zone *zone) {
    const msg_manifest_t *manifest = recording_manifest(recording);
    msg_recording_job_t job = recording_report(recording, zone);
    size_t tags = 0, streams = job.streams.count;
    for (size_t i = 0; i < streams; i++) tags += job.streams.items[i].tags.count;
    const char **signature = zone_array(zone, streams, sizeof *signature);
    msg_recorded_tag_t *items = zone_array(zone, tags, sizeof *items);
    msg_recording_t out = {
        .recording = job.recording,
        .pipeline = job.pipeline,
        .job = job.job,
        .signature = {streams, signature},
        .state = job.state,
        .size = job.bytes,
        .elements = job.elements,
        .start = job.has_started ? job.started : job.created,
        .has_end = job.has_ended,
        .end = job.ended,
        .has_digest = manifest->has_digest,
        .digest = manifest->digest,
        .kept = job.kept,
        .has_invalidated = job.has_invalidated,
        .invalidated = job.invalidated,
    };
    out.tags.items = items;
    for (size_t i = 0; i < streams; i++) {
        const msg_stream_t *stream = &job.streams.items[i];
        const msg_stream_total_t *total = recording_total(recording, i);
        signature[i] = stream->signature;
        for (size_t t = 0; t < stream->tags.count; t++)
            items[out.tags.count++] = (msg_recorded_tag_t){.tag = stream->tags.items[t],
                                                           .signature = stream->signature,
                                                           .elements = total->elements,
                                                           .bytes = total->bytes,
                                                           .has_watermark = total->has_watermark,
                                                           .watermark = total->watermark};
    }
    qsort(signature, streams, sizeof *signature, text_order);
    size_t gaps = manifest->gaps.count;
    const msg_gap_t *holes = recording->reel ? journal_gaps(recording->reel->journal, &gaps) : manifest->gaps.items;
    out.gaps.count = gaps;
    out.gaps.items = zone_array(zone, gaps, sizeof *holes);
    if (gaps > 0) memcpy(out.gaps.items, holes, gaps * sizeof *holes);
    return out;
}

msg_recording_place_t recording_place(const recording_t *recording, msgpack_zone *zone) {
    const msg_manifest_t *manifest = recording_manifest(recording);
    msg_recording_job_t job = recording_report(recording, zone);
    msg_recording_place_t place = {
        .recording = job.recording,
        .pipeline = job.pipeline,
        .folder = recording->folder,
        .start = job.has_started ? job.started : job.created,
        .growing = !recording_has_ended(recording),
        .segment = manifest->segment,
        .length = manifest->length,
        .records = manifest->records,
        .elements = job.elements,
    };
    place.streams.count = job.streams.count;
    place.streams.items = job.streams.items;
    if (!recording->reel) return place;
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    place.segment = (int64_t)totals->segment;
    place.length = (int64_t)totals->length;
    place.records = (int64_t)totals->records;
    return place;
}

int recording_save(recording_t *recording, const msg_manifest_t *manifest, fault_t *why) {
    if (!recording->manifest) return journal_save(recording->reel->journal, manifest, why);
    bool settled = recording->manifest_is == MANIFEST_SETTLED;
    if ((settled ? manifest_write : manifest_announce)(recording->folder, manifest, why) < 0) return -1;
    if (!settled) recording->manifest_is = MANIFEST_ANNOUNCED;
    msg_manifest_t *copy = record_copy(RECORD_CLASS(manifest), manifest);
    record_free(RECORD_CLASS(manifest), (void **)&recording->manifest);
    recording->manifest = copy;
    return 0;
}

void recording_close(recorder_t *self, recording_t *recording) {
    must(recording->reel && LIST_EMPTY(&recording->attachments));
    if (!recording->manifest) recording->manifest = record_copy(RECORD_CLASS(manifest), recording_manifest(recording));
    actor_cancel(self->me, &recording->sync_timer);
    if (recording->manifest_is == MANIFEST_SYNCING) recording->manifest_is = MANIFEST_ANNOUNCED;
    LIST_REMOVE(recording, writing);
    recording_untouch(recording);
    reel_close(&recording->reel);
    recording->held = recording->manifest->recording.bytes;
    self->ledger.held += recording->held;
}

/* ---- reading the folder ---- */

/* What the files say where no manifest does: the last segment, its length, and the bytes of all. */
static void shelf_measure(const recording_t *recording, msg_manifest_t *manifest) {
    uint64_t *numbers = NULL;
    size_t count = 0;
    fault_t why;
    manifest->recording.bytes = 0;
    if (segment_list(recording->folder, &numbers, &count, &why) < 0) return;
    for (size_t i = 0; i < count; i++) {
        char path[SEGMENT_PATH_SIZE];
        struct stat status;
        segment_path(recording->folder, numbers[i], path);
        if (stat(path, &status) < 0) continue;
        manifest->recording.bytes += status.st_size;
        manifest->segment = (int64_t)numbers[i];
        manifest->length = status.st_size;
        manifest->has_segment = manifest->has_length = true;
    }
    free(numbers);
}

static void shelf_keep(recording_t *recording, const msg_manifest_t *manifest) {
    recording->manifest = record_copy(RECORD_CLASS(manifest), manifest);
    recording->held = manifest->recording.bytes;
    recording->ledger->held += recording->held;
}

/* A recording that cannot be read stays where it is, and says why. */
static void shelf_keep_unreadable(recorder_t *self, recording_t *recording, const char *id, const fault_t *problem) {
    msg_manifest_t manifest = {.format = MANIFEST_FORMAT,
                               .recording = {.recording = id,
                                             .job = id,
                                             .pipeline = "?",
                                             .state = "FAILED",
                                             .has_stop_reason = true,
                                             .stop_reason = "error",
                                             .has_error = true,
                                             .error = problem->text,
                                             .created = actor_now(self->me)}};
    manifest.recording.limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    shelf_measure(recording, &manifest);
    shelf_keep(recording, &manifest);
}

/* Damage: nothing is appended to it any more, and its job has failed. */
static int shelf_keep_damaged(recorder_t *self, recording_t *recording, const msg_manifest_t *before, const fault_t *problem,
                              fault_t *why) {
    msg_manifest_t manifest = *before;
    msg_recording_job_t *job = &manifest.recording;
    job->state = "FAILED";
    job->stop_reason = "error";
    job->error = problem->text;
    job->ended = actor_now(self->me);
    job->has_stop_reason = job->has_error = job->has_ended = true;
    shelf_measure(recording, &manifest);
    if (manifest_write(recording->folder, &manifest, why) < 0) return -1;
    shelf_keep(recording, &manifest);
    actor_tell(self->me, "job_supervisor", MSG_SOURCE_FAILED, &(msg_source_failed_t){.job = job->job, .message = problem->text});
    return 0;
}

/* Was it written by another process? The clock may have gone back since: where the manifest does not say, it is all there is to go by. */
static bool shelf_is_of_another(const recorder_t *self, const recording_t *recording) {
    const msg_manifest_t *manifest = recording_manifest(recording);
    int64_t started = actor_config(self->me)->started;
    return manifest->has_process ? manifest->process != started : journal_totals(recording->reel->journal)->at < started;
}

/* Says in the recording what is missing from it. A state that failed within a living process loses nothing that was acknowledged. */
static int shelf_note_gap(recorder_t *self, recording_t *recording, uint64_t torn, fault_t *why) {
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    bool restarted = recording_job(recording)->has_started && shelf_is_of_another(self, recording);
    int64_t ticks = actor_ticks(self->me), lost_us = reel_at(recording->reel, ticks) - totals->at;
    char what[160] = "the engine was restarted";
    if (totals->ended || (!restarted && torn == 0)) return 0;
    if (torn > 0)
        snprintf(what, sizeof what, "%s%llu bytes at its end were cut off", restarted ? "the engine was restarted, and " : "",
                 (unsigned long long)torn);
    if (reel_gap(recording->reel, what, restarted && lost_us > 0 ? lost_us : -1, ticks, why) < 0) return -1;
    msg_manifest_t manifest = *recording_manifest(recording);
    manifest.has_process = true;
    manifest.process = actor_config(self->me)->started;
    return recording_save(recording, &manifest, why);
}

static int shelf_reopen(recorder_t *self, recording_t *recording, const msg_manifest_t *manifest, fault_t *why) {
    const msg_recording_job_t *job = &manifest->recording;
    fault_t problem;
    uint64_t torn = 0;
    recording->reel = reel_open(recording->folder, actor_now(self->me), actor_ticks(self->me), actor_config(self->me)->segment_bytes,
                                &self->ledger, &torn, &problem);
    if (!recording->reel) return shelf_keep_damaged(self, recording, manifest, &problem, why);
    journal_set_disk(recording->reel->journal, &self->disk);
    LIST_INSERT_HEAD(&self->writing, recording, writing);
    if (job->has_started && job->limits.duration_ms != LIMIT_NONE)
        recording->reel->budget.until = job->started + us_of_ms(job->limits.duration_ms);
    if (shelf_note_gap(self, recording, torn, &problem) < 0) recording_break(self, recording, problem.text);
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    recording->records = totals->records;
    recording->elements = totals->elements;
    recording->bytes = totals->bytes;
    recording->synced = totals->bytes - 1; /* nobody knows: the first round finds out */
    recording->safe_segment = UINT64_MAX;
    posts_open(self, recording);
    return 0;
}

static int shelf_load_one(recorder_t *self, const char *id, fault_t *why) {
    recording_t *recording = shelf_add(self, id);
    msg_manifest_t *manifest = NULL;
    fault_t problem;
    int result = 0;
    if (recovery_settle(recording->folder, &problem) < 0 || folder_manifest(actor_config(self->me)->data, id, &manifest, &problem) < 0) {
        shelf_keep_unreadable(self, recording, id, &problem);
        return 0;
    }
    recording->manifest = manifest;
    if (recording_has_ended(recording)) {
        recording->held = manifest->recording.bytes;
        self->ledger.held += recording->held;
        return 0;
    }
    recording->manifest = NULL;
    result = shelf_reopen(self, recording, manifest, why);
    progress_announce(recording);
    record_free(RECORD_CLASS(manifest), (void **)&manifest);
    return result;
}

static int recording_order(const void *a, const void *b) {
    const msg_recording_job_t *x = recording_job(*(recording_t *const *)a), *y = recording_job(*(recording_t *const *)b);
    if (x->created != y->created) return x->created < y->created ? -1 : 1;
    return strcmp(x->recording, y->recording);
}

/* Puts the file where it belongs; what it says of itself is on the disk before. */
static int shelf_move(const recorder_t *self, const msg_recording_adopt_t *order, const msg_manifest_t *manifest, fault_t *why) {
    char from[4096], to[4096], parent[4096];
    const char *data = actor_config(self->me)->data;
    folder_recording_path(data, order->folder, from, sizeof from);
    folder_recording_path(data, order->recording, to, sizeof to);
    must(snprintf(parent, sizeof parent, "%s/recordings", data) < (int)sizeof parent);
    if (order->invalid && manifest_write(from, manifest, why) < 0) return -1;
    if (rename(from, to) < 0) return fault_errno(why, "cannot rename %s to %s", from, to);
    return manifest_sync_folder(parent, why);
}

recording_t *shelf_adopt(recorder_t *self, const msg_recording_adopt_t *order, refusal_t *no) {
    char folder[4096];
    msg_manifest_t *manifest = NULL;
    fault_t why;
    folder_recording_path(actor_config(self->me)->data, order->folder, folder, sizeof folder);
    if (manifest_read(folder, &manifest, &why) < 0) goto fail;
    msg_recording_job_t *job = &manifest->recording;
    if (self->size_limit != LIMIT_NONE && self->ledger.held + job->bytes > self->size_limit) {
        refuse(no, ERROR_NO_SPACE, "recording_size_limit",
               "the recordings take %lld bytes, this one has %lld, and `recording_size_limit` is %lld", (long long)self->ledger.held,
               (long long)job->bytes, (long long)self->size_limit);
        manifest_free(&manifest);
        return NULL;
    }
    job->has_invalidated = order->invalid;
    job->invalidated = order->invalid ? actor_now(self->me) : 0;
    if (shelf_move(self, order, manifest, &why) < 0) goto fail;
    recording_t *recording = shelf_add(self, order->recording);
    recording->manifest = manifest;
    recording->held = job->bytes;
    self->ledger.held += recording->held;
    qsort(self->recordings, self->recordings_count, sizeof(recording_t *), recording_order);
    return recording;
fail:
    manifest_free(&manifest);
    refuse(no, ERROR_INTERNAL, NULL, "%s", why.text);
    return NULL;
}

int shelf_load(recorder_t *self, fault_t *why) {
    names_t ids;
    int result = 0;
    if (folder_recordings(actor_config(self->me)->data, &ids, why) < 0) return -1;
    for (size_t i = 0; i < ids.count && result == 0; i++) result = shelf_load_one(self, ids.items[i], why);
    folder_free(&ids);
    if (result == 0 && self->recordings_count > 0) qsort(self->recordings, self->recordings_count, sizeof(recording_t *), recording_order);
    return result;
}
