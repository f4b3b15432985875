/* How a recording is written out, told of, and ended. The end comes in the order in which a crash does least harm: the closing record
 * first, with `sync` the disk next, then the manifest, and only then is anybody told. Without `sync` nobody waits for the disk: the manifest
 * is announced, and follows with the last of the elements. */
#include <stdlib.h>
#include <string.h>

#include "recorder_state.h"
#include "store/manifest.h"

enum { SAVE_AGAIN_US = 1000 * 1000 };

void recording_break(recorder_t *self, recording_t *recording, const char *message) {
    recording->reel->broken = true;
    if (recording->failure) return;
    recording->failure = strdup(message);
    must(recording->failure);
    actor_tell(self->me, "job_supervisor", MSG_SOURCE_FAILED,
               &(msg_source_failed_t){.job = recording_job(recording)->job, .message = message});
}

void recording_note_spent(recorder_t *self, recording_t *recording) {
    if (!recording->reel->spent || recording->told_spent) return;
    recording->told_spent = true;
    progress_tell(self, recording);
    actor_tell(self->me, "limiter", MSG_BUDGET_SPENT,
               &(msg_budget_spent_t){.job = recording_job(recording)->job, .limit = recording->reel->spent});
}

void recording_tell_followers(recorder_t *self, recording_t *recording) {
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    msg_recording_grew_t grew = {.recording = recording_job(recording)->recording,
                                 .segment = (int64_t)totals->segment,
                                 .length = (int64_t)totals->length,
                                 .records = (int64_t)totals->records,
                                 .elements = (int64_t)totals->elements,
                                 .growing = !recording_has_ended(recording)};
    for (size_t i = 0; i < recording->followers_count; i++) actor_tell(self->me, recording->followers[i], MSG_RECORDING_GREW, &grew);
}

/* Counts what was appended since the last time; false: nothing was. */
static bool recording_count(recorder_t *self, recording_t *recording) {
    const journal_totals_t *totals = journal_totals(recording->reel->journal);
    if (totals->records == recording->records) return false;
    progress_tell(self, recording);
    actor_count(self->me, COUNTER_RECORDS_WRITTEN, totals->records - recording->records);
    actor_count(self->me, COUNTER_ELEMENTS_RECORDED, totals->elements - recording->elements);
    actor_count(self->me, COUNTER_BYTES_RECORDED, totals->bytes - recording->bytes);
    recording->records = totals->records;
    recording->elements = totals->elements;
    recording->bytes = totals->bytes;
    return true;
}

void recording_touch(recorder_t *self, recording_t *recording) {
    if (recording->is_touched) return;
    recording->is_touched = true;
    LIST_INSERT_HEAD(&self->touched, recording, touched);
}

void recording_untouch(recording_t *recording) {
    if (recording->is_touched) LIST_REMOVE(recording, touched);
    recording->is_touched = false;
}

void recording_flush(recorder_t *self, recording_t *recording) {
    fault_t why;
    if (reel_flush(recording->reel, actor_ticks(self->me), &why) < 0) recording_break(self, recording, why.text);
    if (!recording_count(self, recording)) return;
    recording_tell_followers(self, recording);
    sync_schedule(self, recording);
}

/* ---- the end ---- */

static char *text_of(const char *text) {
    char *copy = text ? strdup(text) : NULL;
    must(copy || !text);
    return copy;
}

static finish_t *finish_new(const msg_recording_finish_t *order) {
    finish_t *finish = calloc(1, sizeof *finish);
    must(finish);
    finish->state = text_of(order->state);
    finish->stop_reason = text_of(order->stop_reason);
    finish->error = text_of(order->error);
    return finish;
}

void finish_free(finish_t **finish) {
    if (!*finish) return;
    free((*finish)->state);
    free((*finish)->stop_reason);
    free((*finish)->error);
    free((*finish)->tickets);
    free(*finish);
    *finish = NULL;
}

static void finish_fail(finish_t *finish, const char *problem) {
    if (finish->error) return;
    free(finish->state);
    free(finish->stop_reason);
    finish->state = text_of("FAILED");
    finish->stop_reason = text_of("error");
    finish->error = text_of(problem);
}

/* The manifest of a recording as it is now that its job has ended. Where the disk did not take the closing record, it has no digest. */
static msg_manifest_t finish_manifest(const recording_t *recording, const finish_t *finish, msgpack_zone *zone, char ret_digest[33]) {
    const journal_t *journal = recording->reel->journal;
    const journal_totals_t *totals = journal_totals(journal);
    msg_manifest_t manifest = *recording_manifest(recording);
    msg_recording_job_t *job = &manifest.recording;
    *job = recording_report(recording, zone);
    job->state = finish->state;
    job->stop_reason = finish->stop_reason;
    job->error = finish->error;
    job->ended = totals->at;
    job->has_stop_reason = job->has_ended = true;
    job->has_error = finish->error != NULL;
    job->has_spent = false;
    digest_text(&totals->digest, ret_digest);
    manifest.digest = ret_digest;
    manifest.records = (int64_t)totals->records;
    manifest.segment = (int64_t)totals->segment;
    manifest.length = (int64_t)totals->length;
    manifest.has_digest = totals->ended;
    manifest.has_records = manifest.has_segment = manifest.has_length = true;
    manifest.totals.count = journal_streams(journal);
    manifest.totals.items = zone_array(zone, manifest.totals.count, sizeof(msg_stream_total_t));
    for (uint32_t i = 0; i < manifest.totals.count; i++) manifest.totals.items[i] = *journal_stream(journal, i);
    manifest.gaps.items = zone_array(zone, 0, sizeof(msg_gap_t));
    size_t gaps;
    const msg_gap_t *holes = journal_gaps(journal, &gaps);
    if (gaps > 0) {
        manifest.gaps.items = zone_array(zone, gaps, sizeof *holes);
        memcpy(manifest.gaps.items, holes, gaps * sizeof *holes);
    }
    manifest.gaps.count = gaps;
    return manifest;
}

/* Brings the manifest of a recording that is over to the disk. Where another was announced, this one is first: it must not come before it. */
static int finish_settle(recording_t *recording, fault_t *why) {
    if (recording->manifest_is != MANIFEST_SETTLED && recording_save(recording, recording->manifest, why) < 0) return -1;
    recording->manifest_is = MANIFEST_SETTLED;
    return recording_save(recording, recording->manifest, why);
}

/* A process that starts later must find what was said of the end. */
static int on_save_again(void *state, uint64_t context, fault_t *why) {
    recorder_t *self = state;
    recording_t *recording = shelf_find_number(self, context);
    fault_t problem;
    (void)why;
    if (recording && finish_settle(recording, &problem) < 0) actor_after(self->me, SAVE_AGAIN_US, on_save_again, context);
    return 0;
}

/* The manifest is kept here even if the disk does not take it: the job has ended, and says why. */
static void finish_save(recorder_t *self, recording_t *recording, finish_t *finish) {
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(zone);
    char digest[33];
    fault_t problem;
    msg_manifest_t manifest = finish_manifest(recording, finish, zone, digest);
    msg_manifest_t *copy = record_copy(RECORD_CLASS(manifest), &manifest);
    bool announce = actor_config(self->me)->durability != DURABILITY_SYNC && !recording->reel->broken;
    if (announce && manifest_announce(recording->folder, copy, &problem) == 0) {
        recording->manifest_is = MANIFEST_ANNOUNCED;
    } else if (recording_save(recording, copy, &problem) < 0) {
        finish_fail(finish, problem.text);
        record_free(RECORD_CLASS(manifest), (void **)&copy);
        manifest = finish_manifest(recording, finish, zone, digest);
        copy = record_copy(RECORD_CLASS(manifest), &manifest);
        actor_after(self->me, SAVE_AGAIN_US, on_save_again, recording->number);
    }
    recording->manifest = copy;
    msgpack_zone_free(zone);
}

static void finish_answer(recorder_t *self, recording_t *recording, ticket_t ticket) {
    msg_recording_job_t job = *recording_job(recording);
    actor_answer(self->me, ticket, &(msg_recording_jobs_t){.recordings = {1, &job}});
}

static void finish_complete(recorder_t *self, recording_t *recording) {
    finish_t *finish = recording->finish;
    recording->finish = NULL;
    finish_save(self, recording, finish);
    posts_close(self, recording, recording_job(recording)->stop_reason);
    attachment_t *attachment, *next;
    for (attachment = LIST_FIRST(&recording->attachments); attachment; attachment = next) {
        next = LIST_NEXT(attachment, of_recording);
        if (attachment->done && !finish->error)
            attachment_end(self, attachment);
        else
            attachment_stop(self, attachment, recording_job(recording)->stop_reason);
    }
    joins_refuse(self, recording);
    recording_tell_followers(self, recording);
    for (size_t i = 0; i < finish->tickets_count; i++) finish_answer(self, recording, finish->tickets[i]);
    finish_free(&finish);
    recording->closing = true;
    if (recording->syncing > 0) return;
    if (recording->manifest_is == MANIFEST_ANNOUNCED)
        sync_begin(self, recording);
    else
        recording_close(self, recording);
}

/* The end was announced, and the disk has not taken what was before it: whoever looks from now on is told. */
static void finish_spoil(recorder_t *self, recording_t *recording, const char *failure) {
    msg_manifest_t manifest = *recording->manifest;
    fault_t problem;
    manifest.recording.state = "FAILED";
    manifest.recording.stop_reason = "error";
    manifest.recording.error = failure;
    manifest.recording.has_stop_reason = manifest.recording.has_error = true;
    manifest.has_digest = false;
    msg_manifest_t *copy = record_copy(RECORD_CLASS(manifest), &manifest);
    record_free(RECORD_CLASS(manifest), (void **)&recording->manifest);
    recording->manifest = copy;
    if (finish_settle(recording, &problem) < 0) actor_after(self->me, SAVE_AGAIN_US, on_save_again, recording->number);
}

void finish_synced(recorder_t *self, recording_t *recording, const char *failure) {
    if (recording->closing) {
        if (failure) finish_spoil(self, recording, failure);
        recording_close(self, recording);
        return;
    }
    if (failure) finish_fail(recording->finish, failure);
    acks_send(self);
    finish_complete(self, recording);
}

void finish_begin(recorder_t *self, recording_t *recording, const msg_recording_finish_t *order, ticket_t ticket) {
    fault_t problem;
    if (recording_has_ended(recording)) {
        finish_answer(self, recording, ticket);
        return;
    }
    bool first = !recording->finish;
    if (first) recording->finish = finish_new(order);
    finish_t *finish = recording->finish;
    finish->tickets = realloc(finish->tickets, (finish->tickets_count + 1) * sizeof(ticket_t));
    must(finish->tickets);
    finish->tickets[finish->tickets_count++] = ticket;
    if (!first) return;
    if (recording->failure) finish_fail(finish, recording->failure); /* before anybody could be told to end it for that */
    if (reel_end(recording->reel, actor_ticks(self->me), &problem) < 0) {
        finish_fail(finish, problem.text);
        recording->reel->broken = true;
    }
    recording_count(self, recording);
    if (actor_config(self->me)->durability != DURABILITY_SYNC || recording->reel->broken)
        finish_complete(self, recording);
    else if (recording->syncing == 0)
        sync_begin(self, recording);
}
