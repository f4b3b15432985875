/* What a feed has not got recorded yet: see outbox.h. */
#include "outbox.h"

#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"
#include "../../messages/wire.h"

static mark_t outbox_end(const outbox_t *outbox) {
    uint64_t published = atomic_load_explicit(&outbox->published, memory_order_acquire);
    return (mark_t){(uint32_t)(published >> 32), (uint32_t)published};
}

void outbox_init(outbox_t *outbox, pool_t *pool, size_t size) {
    outbox->pool = pool;
    outbox->open = pool_take(pool, size);
    must(outbox->open);
    outbox->taken = (mark_t){BODY_HEAD, 0};
    outbox->last = &outbox->first;
    outbox->next_seq = 1;
    outbox_publish(outbox, BODY_HEAD, 0);
}

static void batch_free(batch_t *batch) {
    buffer_release(batch->buffer);
    free(batch->cursor);
    free(batch);
}

void outbox_fini(outbox_t *outbox) {
    while (outbox->first) {
        batch_t *next = outbox->first->next;
        batch_free(outbox->first);
        outbox->first = next;
    }
    if (outbox->open) {
        buffer_release(outbox->open);
    }
    free(outbox->cursor.data);
    outbox->open = NULL;
    outbox->cursor.data = NULL;
    outbox->unsent = NULL;
}

/* ---- what goes with the elements ---- */

void outbox_set_watermark(outbox_t *outbox, int64_t watermark) {
    outbox->watermark.waits = true;
    outbox->watermark.at = outbox_end(outbox).bytes;
    outbox->watermark.value = watermark;
}

void outbox_set_cursor(outbox_t *outbox, const void *cursor, size_t size) {
    uint8_t *data = realloc(outbox->cursor.data, size);
    must(data);
    memcpy(data, cursor, size);
    outbox->cursor.used = outbox->cursor.waits = true;
    outbox->cursor.at = outbox_end(outbox);
    outbox->cursor.data = data;
    outbox->cursor.size = size;
}

/* ---- cutting ---- */

static void body_head(uint8_t *at, uint32_t count) {
    const uint8_t head[BODY_HEAD] = {0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    memcpy(at, head, sizeof head);
}

/* Makes a batch of what stands between the last cut and `to`: a copy, or the bytes themselves. */
static void piece_cut(outbox_t *outbox, mark_t to, bool copy) {
    batch_t *batch = calloc(1, sizeof *batch);
    must(batch);
    uint8_t *elements = outbox->open->data + outbox->taken.bytes;
    size_t size = to.bytes - outbox->taken.bytes;
    batch->buffer = copy ? pool_take_extra(outbox->pool, BODY_HEAD + size) : outbox->open;
    batch->body = copy ? batch->buffer->data : elements - BODY_HEAD;
    batch->size = BODY_HEAD + size;
    batch->count = to.count - outbox->taken.count;
    batch->seq = outbox->next_seq++;
    if (copy) {
        memcpy(batch->body + BODY_HEAD, elements, size);
    } else {
        buffer_hold(outbox->open);
    }
    body_head(batch->body, batch->count);
    if (outbox->watermark.waits && outbox->watermark.at <= to.bytes) {
        batch->has_watermark = true;
        batch->watermark = outbox->watermark.value;
        outbox->watermark.waits = false;
    }
    if (outbox->cursor.waits) { /* no piece goes beyond a cursor that waits */
        batch->cursor = outbox->cursor.data;
        batch->cursor_size = outbox->cursor.size;
        outbox->cursor.data = NULL;
        outbox->cursor.waits = false;
    }
    *outbox->last = batch;
    outbox->last = &batch->next;
    outbox->unsent = outbox->unsent ? outbox->unsent : batch;
    outbox->taken = to;
    outbox->batches++;
}

/* A watermark may stand after elements that wait for their cursor: it waits with them. */
bool outbox_waits(const outbox_t *outbox, bool all) {
    bool elements = outbox_end(outbox).count > outbox->taken.count;
    bool held = outbox->cursor.used && !all;
    return outbox->cursor.waits || (elements && !held) || (outbox->watermark.waits && (!elements || !held));
}

void outbox_cut(outbox_t *outbox, bool all) {
    if (outbox->cursor.waits) {
        piece_cut(outbox, outbox->cursor.at, true);
    }
    if (outbox_waits(outbox, all)) {
        piece_cut(outbox, outbox_end(outbox), true);
    }
}

bool outbox_turn(outbox_t *outbox, size_t size, uint8_t **ret_base, size_t *ret_room, mark_t *ret_at) {
    mark_t end = outbox_end(outbox);
    /* What stands after the last cursor goes along to the next buffer, unless that would make too large a batch. */
    mark_t cursor = outbox->cursor.waits ? outbox->cursor.at : outbox->taken; /* it was cut off already, or has nothing before it */
    bool at_cursor = outbox->cursor.used && end.bytes - cursor.bytes + size + BODY_HEAD <= WIRE_MESSAGE_MAX;
    mark_t cut = at_cursor ? cursor : end;
    uint32_t tail = end.bytes - cut.bytes;
    buffer_t *open = pool_take(outbox->pool, BODY_HEAD + tail + size);
    if (!open) {
        return false;
    }
    if (outbox->cursor.waits && (!at_cursor || cut.count == outbox->taken.count)) {
        piece_cut(outbox, outbox->cursor.at, true);
    }
    if (cut.count > outbox->taken.count) {
        piece_cut(outbox, cut, false);
    }
    memcpy(open->data + BODY_HEAD, outbox->open->data + cut.bytes, tail);
    buffer_release(outbox->open);
    outbox->open = open;
    outbox->serial++;
    outbox->taken = (mark_t){BODY_HEAD, 0};
    outbox->watermark.at = outbox->watermark.waits ? outbox->watermark.at - cut.bytes + BODY_HEAD : 0;
    *ret_base = open->data;
    *ret_room = open->size;
    *ret_at = (mark_t){BODY_HEAD + tail, end.count - cut.count};
    outbox_publish(outbox, ret_at->bytes, ret_at->count);
    return true;
}

/* ---- sending ---- */

batch_t *outbox_next(const outbox_t *outbox) {
    return outbox->under_way < outbox->credit ? outbox->unsent : NULL;
}

void outbox_sent(outbox_t *outbox, size_t bytes) {
    batch_t *batch = outbox->unsent;
    batch->bytes = (int64_t)bytes;
    outbox->under_way += batch->bytes;
    outbox->unsent = batch->next;
}

void outbox_recorded(outbox_t *outbox, int64_t below) {
    while (outbox->first && outbox->first->seq < below) {
        batch_t *batch = outbox->first;
        outbox->recorded += batch->count;
        outbox->under_way -= batch->bytes;
        outbox->unsent = outbox->unsent == batch ? batch->next : outbox->unsent;
        outbox->first = batch->next;
        batch_free(batch);
    }
    if (!outbox->first) {
        outbox->last = &outbox->first;
    }
}

void outbox_rewind(outbox_t *outbox) {
    for (batch_t *batch = outbox->first; batch; batch = batch->next) {
        batch->bytes = 0;
    }
    outbox->unsent = outbox->first;
    outbox->under_way = 0;
}
