/* The path of every element into the journal. Small batches are copied once, into the record that they will share; a large one goes from
 * the frame it came in straight to the disk. Whether something fits the budget is decided here, before it is written: first against what
 * it can cost at most, which is a few additions, and exactly only near the limit. */
#include "reel.h"

#include <stdlib.h>
#include <string.h>

#include "../messages/wire.h"
#include "store/segment.h"

enum {
    WATERMARK_SIZE = 9, /* of a watermark record's body */
    META_SIZE = 80,     /* at most, of one producer's entry in a meta or in a segment's header, without its name and cursor */
    STREAM_SIZE = 80,   /* of one stream's entry in a segment's header */
    HEADER_SIZE = 600,  /* of the rest of it */
    LEAST_ELEMENT = 64, /* a small element */
    LEAST_CURSOR = 64,  /* its producer's name and cursor */
};

static void *grow(void *items, size_t *room, size_t wanted, size_t size) {
    if (wanted <= *room) return items;
    *room = *room * 2 > wanted ? *room * 2 : wanted;
    items = realloc(items, *room * size);
    must(items);
    return items;
}

static void reel_hold(reel_t *reel, int64_t held) {
    reel->ledger->held += held - reel->held;
    reel->held = held;
}

/* What another record may cost depends on what is in the journal: the headers of its segments grow with its producers. */
static void reel_measure(reel_t *reel) {
    reel->keep = (int64_t)journal_closing_bytes(reel->journal) + REEL_RESERVE;
    reel_hold(reel, (int64_t)journal_totals(reel->journal)->bytes + reel->keep + reel->waiting_cost);
}

/* At most: an elements record and a watermark by themselves, each with a new segment before it. */
static int64_t reel_record_cost(const reel_t *reel) {
    return 2 * (RECORD_OVERHEAD + RECORD_BODY_HEAD + reel->header_cost) + WATERMARK_SIZE;
}

/* One append may leave several segments behind. */
static void reel_notice_segment(reel_t *reel) {
    uint64_t segment = journal_totals(reel->journal)->segment;
    char path[SEGMENT_PATH_SIZE];
    size_t count;
    if (reel->segment_path && segment == reel->segment) return;
    const uint64_t *left = journal_left(reel->journal, &count);
    reel->finished_paths = realloc(reel->finished_paths, (reel->finished_count + count + 1) * sizeof *reel->finished_paths);
    must(reel->finished_paths);
    for (size_t i = 0; i < count; i++) {
        segment_path(reel->folder, left[i], path);
        reel->finished_paths[reel->finished_count] = strdup(path);
        must(reel->finished_paths[reel->finished_count++]);
    }
    journal_forget_left(reel->journal);
    free(reel->segment_path);
    reel->segment = segment;
    reel->segment_path = strdup(journal_segment_path(reel->journal));
    must(reel->segment_path);
}

/* After each append. */
static int reel_appended(reel_t *reel, int result) {
    if (result < 0) reel->broken = true;
    reel_notice_segment(reel);
    reel_measure(reel);
    return result;
}

/* ---- life ---- */

static void producer_free(reel_producer_t *producer) {
    free(producer->name);
    free(producer->cursor);
    free(producer);
}

static void producer_set_cursor(reel_t *reel, reel_producer_t *producer, bytes_t cursor) {
    if (cursor.size == 0) return;
    size_t room = producer->cursor_room;
    producer->cursor = grow(producer->cursor, &producer->cursor_room, cursor.size, 1);
    reel->header_cost += (int64_t)(producer->cursor_room - room);
    memcpy(producer->cursor, cursor.data, cursor.size);
    producer->cursor_size = cursor.size;
    reel->lanes[producer->stream].newest = producer;
}

static void lane_promised(reel_t *reel, uint32_t stream, int64_t watermark) {
    reel_lane_t *lane = &reel->lanes[stream];
    lane->watermark_due = false;
    lane->has_promised = true;
    lane->promised = watermark;
}

static reel_t *reel_new(journal_t *journal, const char *folder, int64_t now, int64_t ticks, reel_ledger_t *ledger) {
    reel_t *reel = calloc(1, sizeof *reel);
    must(reel);
    reel->journal = journal;
    reel->folder = strdup(folder);
    must(reel->folder);
    reel->ledger = ledger;
    reel->budget = (reel_budget_t){LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, INT64_MAX};
    reel->header_cost = HEADER_SIZE + STREAM_SIZE * (int64_t)journal_streams(journal);
    reel->lanes = calloc(journal_streams(journal) + 1, sizeof *reel->lanes);
    must(reel->lanes);
    for (uint32_t i = 0; i < journal_streams(journal); i++) {
        const msg_stream_total_t *total = journal_stream(journal, i);
        if (total->has_watermark) lane_promised(reel, i, total->watermark);
    }
    size_t count;
    const msg_producer_t *known = journal_producers(journal, &count);
    for (size_t i = 0; i < count; i++) {
        reel_producer_t *producer = reel_producer(reel, (uint32_t)known[i].stream, known[i].producer);
        if (!producer) break;
        producer->seq = (uint64_t)known[i].seq;
        producer->has_watermark = known[i].has_watermark;
        producer->watermark = known[i].watermark;
        if (known[i].has_cursor) producer_set_cursor(reel, producer, known[i].cursor);
    }
    reel_set_clock(reel, now, ticks);
    reel_notice_segment(reel);
    reel_measure(reel);
    return reel;
}

reel_t *reel_create(const char *folder, const msg_manifest_t *manifest, int64_t now, int64_t ticks, int64_t segment_bytes,
                    reel_ledger_t *ledger, fault_t *why) {
    journal_t *journal = journal_create(folder, manifest, now, segment_bytes, why);
    return journal ? reel_new(journal, folder, now, ticks, ledger) : NULL;
}

reel_t *reel_open(const char *folder, int64_t now, int64_t ticks, int64_t segment_bytes, reel_ledger_t *ledger, uint64_t *ret_torn,
                  fault_t *why) {
    journal_t *journal = journal_open(folder, segment_bytes, ret_torn, why);
    if (!journal) return NULL;
    reel_t *reel = reel_new(journal, folder, now, ticks, ledger);
    if (journal_manifest(journal)->recording.has_spent) reel->spent = "bytes";
    return reel;
}

void reel_close(reel_t **reel) {
    reel_t *old = *reel;
    if (!old) return;
    reel_hold(old, 0);
    gathered_destroy(&old->gathered);
    for (size_t i = 0; i < old->producers_count; i++) producer_free(old->producers[i]);
    for (size_t i = 0; i < old->finished_count; i++) free(old->finished_paths[i]);
    free(old->finished_paths);
    free(old->segment_path);
    free(old->folder);
    free(old->producers);
    free(old->lanes);
    journal_close(&old->journal);
    free(old);
    *reel = NULL;
}

/* ---- time and budget ---- */

void reel_set_clock(reel_t *reel, int64_t now, int64_t ticks) {
    int64_t last = journal_totals(reel->journal)->at;
    reel->base_at = now > last ? now : last;
    reel->base_ticks = ticks;
}

static int64_t reel_time(const reel_t *reel, int64_t ticks) {
    return reel->base_at + (ticks - reel->base_ticks);
}

int64_t reel_at(const reel_t *reel, int64_t ticks) {
    int64_t at = reel_time(reel, ticks);
    return at < reel->budget.until ? at : reel->budget.until;
}

bool reel_is_sealed(const reel_t *reel) {
    return reel->spent || reel->broken || journal_totals(reel->journal)->ended;
}

static int64_t reel_elements(const reel_t *reel) {
    return (int64_t)(journal_totals(reel->journal)->elements + (reel->gathered ? reel->gathered->elements : 0));
}

/* Bytes that the segments may have, without those kept for closing. */
static int64_t reel_room(const reel_t *reel) {
    int64_t room = reel->budget.bytes == LIMIT_NONE ? INT64_MAX : reel->budget.bytes;
    if (reel->budget.total != LIMIT_NONE) {
        int64_t left = reel->budget.total - (reel->ledger->held - reel->held);
        if (left < room) room = left;
    }
    return room == INT64_MAX ? room : room - reel->keep;
}

int64_t reel_least(size_t streams) {
    int64_t header = HEADER_SIZE + STREAM_SIZE * (int64_t)streams;
    int64_t record = RECORD_OVERHEAD + RECORD_BODY_HEAD + LEAST_ELEMENT + 2 * (META_SIZE + LEAST_CURSOR);
    return header + record + (int64_t)journal_closing_cost(streams) + REEL_RESERVE;
}

int reel_set_budget(reel_t *reel, const reel_budget_t *budget, int64_t ticks, fault_t *why) {
    reel->budget = *budget;
    if (reel->broken || reel->spent) return 0;
    if (reel_flush(reel, ticks, why) < 0) return -1;
    if (budget->elements != LIMIT_NONE && reel_elements(reel) >= budget->elements)
        reel->spent = "count";
    else if ((int64_t)journal_totals(reel->journal)->bytes >= reel_room(reel))
        reel->spent = "bytes";
    else if (reel_time(reel, ticks) > budget->until)
        reel->spent = "duration";
    return 0;
}

/* ---- producers ---- */

/* What it adds to a segment's header at most, its cursor excepted. */
static int64_t producer_cost(const reel_producer_t *producer) {
    return META_SIZE + (int64_t)strlen(producer->name);
}

static size_t bucket_of(const char *name) {
    uint32_t hash = 2166136261U;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 16777619U;
    return hash % REEL_BUCKETS;
}

reel_producer_t *reel_producer_find(const reel_t *reel, uint32_t stream, const char *name) {
    reel_producer_t *producer = reel->buckets[bucket_of(name)];
    while (producer && (producer->stream != stream || strcmp(producer->name, name) != 0)) producer = producer->next;
    return producer;
}

reel_producer_t *reel_producer(reel_t *reel, uint32_t stream, const char *name) {
    reel_producer_t *producer = reel_producer_find(reel, stream, name);
    if (producer || reel->producers_count == REEL_PRODUCERS_MAX) return producer;
    reel->producers = grow(reel->producers, &reel->producers_room, reel->producers_count + 1, sizeof(reel_producer_t *));
    producer = calloc(1, sizeof *producer);
    must(producer);
    producer->name = strdup(name);
    must(producer->name);
    producer->stream = stream;
    producer->anonymous = name[0] == '~';
    producer->accepted = -1;
    producer->next = reel->buckets[bucket_of(name)];
    reel->buckets[bucket_of(name)] = producer;
    producer->beside = reel->lanes[stream].producers;
    reel->lanes[stream].producers = producer;
    reel->header_cost += producer_cost(producer);
    return reel->producers[reel->producers_count++] = producer;
}

bytes_t reel_cursor(const reel_t *reel, const reel_producer_t *producer) {
    if (producer->cursor_size == 0 && reel->lanes[producer->stream].newest) producer = reel->lanes[producer->stream].newest;
    return (bytes_t){producer->cursor, producer->cursor_size};
}

void reel_attach(reel_t *reel, reel_producer_t *producer) {
    producer->attached = true;
    reel->lanes[producer->stream].watermark_due = true;
}

void reel_detach(reel_t *reel, reel_producer_t *producer) {
    producer->attached = false;
    reel->lanes[producer->stream].watermark_due = true;
    if (!producer->anonymous || producer->seq > 0) return;
    for (size_t i = 0; i < reel->producers_count; i++)
        if (reel->producers[i] == producer) reel->producers[i] = reel->producers[--reel->producers_count];
    reel_producer_t **link = &reel->buckets[bucket_of(producer->name)];
    while (*link != producer) link = &(*link)->next;
    *link = producer->next;
    link = &reel->lanes[producer->stream].producers;
    while (*link != producer) link = &(*link)->beside;
    *link = producer->beside;
    reel->header_cost -= producer_cost(producer);
    producer_free(producer);
}

/* The oldest promise of those who feed the stream now, and of those who may come back and go on. */
static bool lane_watermark(const reel_t *reel, uint32_t stream, int64_t *ret_watermark) {
    int64_t least = INT64_MAX;
    bool any = false;
    for (const reel_producer_t *producer = reel->lanes[stream].producers; producer; producer = producer->beside) {
        if (!producer->attached && (producer->anonymous || !producer->has_watermark)) continue;
        if (!producer->has_watermark) return false;
        any = true;
        if (producer->watermark < least) least = producer->watermark;
    }
    if (any) *ret_watermark = least;
    return any;
}

/* ---- appending ---- */

/* The watermark that has not been said yet, if there is one. */
static bool lane_promise(reel_t *reel, uint32_t stream, int64_t *ret_watermark) {
    reel_lane_t *lane = &reel->lanes[stream];
    if (!lane->watermark_due) return false;
    const msg_stream_total_t *total = journal_stream(reel->journal, stream);
    bool fresh = !total->ended && lane_watermark(reel, stream, ret_watermark) && (!lane->has_promised || *ret_watermark > lane->promised);
    if (!fresh) lane->watermark_due = false;
    return fresh;
}

/* With `closing`, the bytes kept for it may be used. */
static int lane_flush_watermark(reel_t *reel, uint32_t stream, int64_t at, bool closing, fault_t *why) {
    int64_t watermark, room = closing ? INT64_MAX : reel_room(reel);
    if (!lane_promise(reel, stream, &watermark)) return 0;
    if (room < INT64_MAX && (int64_t)journal_bytes_after(reel->journal, WATERMARK_SIZE, NULL, 0) > room) return 0;
    lane_promised(reel, stream, watermark);
    return reel_appended(reel, journal_watermark(reel->journal, stream, at, watermark, why));
}

static journal_meta_t producer_meta(const reel_producer_t *producer) {
    return (journal_meta_t){
        producer->name, producer->seq, {producer->cursor, producer->cursor_size}, producer->has_watermark, producer->watermark};
}

/* No more comes to the last run. What its watermark costs was counted with its first batch. */
static void reel_end_run(reel_t *reel) {
    const gathered_t *gathered = reel->gathered;
    uint32_t stream = gathered->runs[gathered->runs_count - 1].stream;
    int64_t watermark;
    if (!lane_promise(reel, stream, &watermark)) return;
    gathered_promise(reel->gathered, watermark);
    lane_promised(reel, stream, watermark);
}

static int reel_flush_gathered(reel_t *reel, int64_t at, fault_t *why) {
    gathered_t *gathered = reel->gathered;
    if (!gathered) return 0;
    reel_end_run(reel);
    int result = journal_runs(reel->journal, at, gathered->runs, gathered->runs_count, why);
    gathered_destroy(&reel->gathered);
    reel->waiting_cost = 0;
    return reel_appended(reel, result);
}

int reel_flush(reel_t *reel, int64_t ticks, fault_t *why) {
    if (reel->broken || journal_totals(reel->journal)->ended) return 0;
    int64_t at = reel_at(reel, ticks);
    if (reel_flush_gathered(reel, at, why) < 0) return -1;
    for (uint32_t i = 0; i < journal_streams(reel->journal); i++)
        if (lane_flush_watermark(reel, i, at, false, why) < 0) return -1;
    return 0;
}

/* ---- taking ---- */

/* What a batch can add to the bytes of the recording at most. `size`: of its elements and of its gap's record. */
static int64_t batch_cost(const reel_t *reel, const reel_producer_t *producer, const reel_batch_t *batch, size_t size) {
    size_t cursor = batch->cursor.size > 0 ? batch->cursor.size : producer->cursor_size;
    size_t meta = META_SIZE + strlen(producer->name) + cursor;
    bool turns = !reel->gathered || batch->gap || gathered_turns(reel->gathered, producer->stream);
    return (int64_t)(size + 2 * meta) + (turns ? reel_record_cost(reel) : 0);
}

static journal_gap_t batch_gap(const reel_producer_t *producer, const reel_batch_t *batch) {
    return (journal_gap_t){.what = batch->gap, .lost_us = batch->lost_us, .with = {.producer = producer->name, .seq = batch->seq}};
}

static bool reel_has_room(const reel_t *reel, int64_t cost) {
    if (reel->budget.total != LIMIT_NONE && reel->ledger->held + cost > reel->budget.total) return false;
    return reel->budget.bytes == LIMIT_NONE || reel->held + cost <= reel->budget.bytes;
}

/* Does a record of one batch fit, with nothing gathered? `size`: of its elements and of its gap's record. */
static bool reel_fits(const reel_t *reel, const journal_meta_t *meta, size_t size) {
    int64_t room = reel_room(reel);
    if (room == INT64_MAX) return true;
    /* the producer's entry makes the header of each later segment longer */
    int64_t growth = (int64_t)(META_SIZE + strlen(meta->producer) + meta->cursor.size);
    return (int64_t)journal_bytes_after(reel->journal, size, meta, 1) + growth <= room;
}

/* How many of the first elements fit behind a gap's record of that size, where not all do. What a record costs grows with its size. */
static uint32_t reel_fitting(const reel_t *reel, const journal_meta_t *meta, size_t gap_size, bytes_t elements) {
    size_t fits = 0, over = elements.size, size = 0;
    while (over - fits > 1) {
        size_t middle = fits + (over - fits) / 2;
        if (reel_fits(reel, meta, gap_size + middle))
            fits = middle;
        else
            over = middle;
    }
    uint32_t count = 0;
    for (; size < elements.size; count++) {
        size += wire_element_at((bytes_t){elements.data + size, elements.size - size}).size;
        if (size > fits) break;
    }
    return count;
}

/* A batch that was cut at the bytes leaves no other trace: without this one, the rest of it would seem to fit after a failure. */
static int reel_save_spent(reel_t *reel, fault_t *why) {
    msg_manifest_t manifest = *journal_manifest(reel->journal);
    manifest.recording.has_spent = true;
    manifest.recording.spent = reel->spent;
    if (journal_save(reel->journal, &manifest, why) == 0) return 0;
    reel->broken = true;
    return -1;
}

static void producer_promise(reel_t *reel, reel_producer_t *producer, const reel_batch_t *batch) {
    if (!batch->has_watermark || (producer->has_watermark && batch->watermark <= producer->watermark)) return;
    producer->has_watermark = true;
    producer->watermark = batch->watermark;
    reel->lanes[producer->stream].watermark_due = true;
}

/* Appends the first `count` elements of a batch by themselves, or as many of them as fit. */
static int reel_put_alone(reel_t *reel, reel_producer_t *producer, const reel_batch_t *batch, uint32_t count, int64_t at, fault_t *why) {
    if (reel_flush_gathered(reel, at, why) < 0) return -1;
    /* What a batch says of the position after it holds only if all of it is taken. */
    journal_meta_t before = producer_meta(producer);
    journal_meta_t meta = before;
    meta.seq = before.seq = batch->seq;
    if (batch->cursor.size > 0) meta.cursor = batch->cursor;
    if (batch->has_watermark && (!meta.has_watermark || batch->watermark > meta.watermark)) {
        meta.has_watermark = true;
        meta.watermark = batch->watermark;
    }
    journal_run_t run = {.stream = producer->stream, .gap = batch_gap(producer, batch), .metas_count = 1};
    size_t gap_size = journal_gap_size(&run.gap);
    run.elements = wire_body_elements(batch->body, count);
    bool cut = count < batch->count;
    if (!reel_fits(reel, cut ? &before : &meta, gap_size + run.elements.size)) {
        cut = true;
        reel->spent = "bytes";
        count = reel_fitting(reel, &before, gap_size, run.elements);
        run.elements = wire_body_elements(batch->body, count);
        if (count == 0) return 0;
        if (reel_save_spent(reel, why) < 0) return -1;
    }
    run.count = count;
    run.metas = cut ? &before : &meta;
    if (reel_appended(reel, journal_runs(reel->journal, at, &run, 1, why)) < 0) return -1;
    producer->seq = batch->seq;
    producer->accepted = count;
    producer->cut = cut;
    if (cut) return 0;
    producer_set_cursor(reel, producer, batch->cursor);
    producer_promise(reel, producer, batch);
    return lane_flush_watermark(reel, producer->stream, at, false, why);
}

/* Is one of the elements behind the watermark that would only be said after them? It must be behind it in a replay, too. */
static bool reel_is_late(reel_t *reel, const reel_producer_t *producer, bytes_t elements) {
    int64_t oldest = INT64_MAX, watermark;
    if (!producer->has_watermark || !reel->lanes[producer->stream].watermark_due) return false;
    while (elements.size > 0) {
        wire_element_t element = wire_element_at(elements);
        if (element.event_time < oldest) oldest = element.event_time;
        elements = (bytes_t){elements.data + element.size, elements.size - element.size};
    }
    /* The stream's watermark is not later than the producer's own. */
    return oldest < producer->watermark && lane_promise(reel, producer->stream, &watermark) && oldest < watermark;
}

static int reel_keep_late(reel_t *reel, const reel_producer_t *producer, bytes_t elements, int64_t at, fault_t *why) {
    if (!reel_is_late(reel, producer, elements)) return 0;
    const gathered_t *gathered = reel->gathered;
    if (gathered && gathered->runs[gathered->runs_count - 1].stream == producer->stream) {
        reel_end_run(reel);
        return 0;
    }
    return reel_flush_gathered(reel, at, why) < 0 ? -1 : lane_flush_watermark(reel, producer->stream, at, false, why);
}

static int reel_put_joined(reel_t *reel, reel_producer_t *producer, const reel_batch_t *batch, bytes_t elements, int64_t at, fault_t *why) {
    size_t said = batch->cursor.size > 0 ? batch->cursor.size : producer->cursor_size;
    journal_gap_t gap = batch_gap(producer, batch);
    if (batch->gap) said += strlen(batch->gap) + 1;
    if (reel->gathered && !gathered_fits(reel->gathered, elements.size, said) && reel_flush_gathered(reel, at, why) < 0) return -1;
    if (reel_keep_late(reel, producer, elements, at, why) < 0) return -1;
    int64_t cost = batch_cost(reel, producer, batch, elements.size + journal_gap_size(&gap));
    if (!reel_has_room(reel, cost)) return reel_put_alone(reel, producer, batch, batch->count, at, why);
    if (!reel->gathered)
        reel->gathered = gathered_create();
    else if (batch->gap || gathered_turns(reel->gathered, producer->stream))
        reel_end_run(reel);
    producer->seq = batch->seq;
    producer->accepted = batch->count;
    producer_set_cursor(reel, producer, batch->cursor);
    producer_promise(reel, producer, batch);
    journal_meta_t place = producer_meta(producer);
    gathered_add(reel->gathered, producer->stream, &place, &producer->gathered, elements, batch->count, &gap);
    reel->waiting_cost += cost;
    reel_hold(reel, reel->held + cost);
    return 0;
}

int reel_put(reel_t *reel, reel_producer_t *producer, const reel_batch_t *batch, int64_t ticks, fault_t *why) {
    must(!reel->spent && !reel->broken);
    if (reel_time(reel, ticks) > reel->budget.until) {
        reel->spent = "duration";
        return 0;
    }
    int64_t at = reel_at(reel, ticks);
    uint32_t count = batch->count;
    if (reel->budget.elements != LIMIT_NONE && count > 0 && reel_elements(reel) + count >= reel->budget.elements) {
        reel->spent = "count";
        count = (uint32_t)(reel->budget.elements - reel_elements(reel));
    }
    bytes_t elements = wire_body_elements(batch->body, batch->count);
    if (count < batch->count || elements.size >= REEL_SMALL) return reel_put_alone(reel, producer, batch, count, at, why);
    return reel_put_joined(reel, producer, batch, elements, at, why);
}

/* ---- closing ---- */

int reel_gap(reel_t *reel, const char *what, int64_t lost_us, int64_t ticks, fault_t *why) {
    if (reel_flush(reel, ticks, why) < 0) return -1;
    return reel_appended(reel, journal_gap(reel->journal, RECORD_STREAM_ALL, reel_at(reel, ticks), what, lost_us, why));
}

int reel_end_stream(reel_t *reel, uint32_t stream, int64_t ticks, fault_t *why) {
    if (reel_flush(reel, ticks, why) < 0) return -1;
    int64_t at = reel_at(reel, ticks);
    if (lane_flush_watermark(reel, stream, at, true, why) < 0) return -1;
    return reel_appended(reel, journal_stream_ended(reel->journal, stream, at, why));
}

int reel_end(reel_t *reel, int64_t ticks, fault_t *why) {
    if (journal_totals(reel->journal)->ended) return 0;
    int64_t at = reel_at(reel, ticks);
    if (reel_flush(reel, ticks, why) < 0) return -1;
    for (uint32_t i = 0; !reel->broken && i < journal_streams(reel->journal); i++)
        if (lane_flush_watermark(reel, i, at, true, why) < 0) return -1;
    return reel_appended(reel, journal_ended(reel->journal, at, why));
}
