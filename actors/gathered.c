/* One block of memory, which is there only while something waits: hundreds of recordings would each keep theirs, most of them for a few
 * bytes. Nothing in it moves, so runs and places can point into it. */
#include "gathered.h"

#include <stdlib.h>
#include <string.h>

#include "../messages/fault.h"

gathered_t *gathered_create(void) {
    gathered_t *gathered = malloc(sizeof *gathered); /* most of it is never touched */
    must(gathered);
    gathered->runs_count = gathered->places_count = gathered->run_places = 0;
    gathered->bytes_size = gathered->cursors_size = 0;
    gathered->elements = 0;
    return gathered;
}

void gathered_destroy(gathered_t **gathered) {
    gathered_t *old = *gathered;
    if (!old) return;
    for (size_t i = 0; i < old->places_count; i++) *old->marks[i] = 0;
    free(old);
    *gathered = NULL;
}

bool gathered_fits(const gathered_t *gathered, size_t size, size_t said_size) {
    return gathered->runs_count < GATHERED_RUNS && gathered->places_count < GATHERED_PLACES &&
           gathered->bytes_size + size <= RECORD_TARGET && gathered->cursors_size + said_size <= GATHERED_CURSORS;
}

bool gathered_turns(const gathered_t *gathered, uint32_t stream) {
    if (gathered->runs_count == 0) return true;
    const journal_run_t *last = &gathered->runs[gathered->runs_count - 1];
    return last->stream != stream || last->has_watermark;
}

static bytes_t cursor_copy(gathered_t *gathered, const journal_meta_t *before, bytes_t cursor) {
    if (cursor.size == 0) return cursor;
    uint8_t *copy = gathered->cursors + gathered->cursors_size;
    if (before && before->cursor.size >= cursor.size)
        copy = (uint8_t *)(uintptr_t)before->cursor.data; /* over the one that it replaces */
    else
        gathered->cursors_size += cursor.size;
    memcpy(copy, cursor.data, cursor.size);
    return (bytes_t){copy, cursor.size};
}

static journal_gap_t gap_copy(gathered_t *gathered, const journal_gap_t *gap) {
    journal_gap_t copy = *gap;
    if (!gap->what) return copy;
    size_t size = strlen(gap->what) + 1;
    copy.what = memcpy(gathered->cursors + gathered->cursors_size, gap->what, size);
    gathered->cursors_size += size;
    return copy;
}

void gathered_add(gathered_t *gathered, uint32_t stream, const journal_meta_t *place, size_t *mark, bytes_t elements, uint32_t count,
                  const journal_gap_t *gap) {
    must(gathered_fits(gathered, elements.size, place->cursor.size + (gap->what ? strlen(gap->what) + 1 : 0)));
    if (gap->what || gathered_turns(gathered, stream)) {
        gathered->run_places = gathered->places_count;
        gathered->runs[gathered->runs_count++] = (journal_run_t){.stream = stream,
                                                                 .gap = gap_copy(gathered, gap),
                                                                 .elements = {gathered->bytes + gathered->bytes_size, 0},
                                                                 .metas = gathered->places + gathered->places_count};
    }
    journal_run_t *run = &gathered->runs[gathered->runs_count - 1];
    memcpy(gathered->bytes + gathered->bytes_size, elements.data, elements.size);
    gathered->bytes_size += elements.size;
    gathered->elements += count;
    run->elements.size += elements.size;
    run->count += count;
    bool known = *mark > gathered->run_places;
    if (!known) {
        gathered->marks[gathered->places_count] = mark;
        *mark = ++gathered->places_count;
        run->metas_count++;
    }
    journal_meta_t *mine = &gathered->places[*mark - 1];
    bytes_t cursor = cursor_copy(gathered, known ? mine : NULL, place->cursor);
    *mine = *place;
    mine->cursor = cursor;
}

void gathered_promise(gathered_t *gathered, int64_t watermark) {
    journal_run_t *run = &gathered->runs[gathered->runs_count - 1];
    run->has_watermark = true;
    run->watermark = watermark;
}
