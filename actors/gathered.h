/* What a recording has taken and not appended yet: small batches, in the order in which they came. Those that follow one another in one
 * stream become one record, a run; all runs go to the disk in one write.
 *
 * Everything is copied: what a producer says of its place as well, since it says another with each batch. */
#ifndef REPRISE_GATHERED_H
#define REPRISE_GATHERED_H

#include "store/journal.h"

enum {
    GATHERED_RUNS = 128,
    GATHERED_PLACES = 512,         /* producers, counted anew in each run */
    GATHERED_CURSORS = 128 * 1024, /* bytes, of gaps' texts as well */
};

typedef struct gathered {
    journal_run_t runs[GATHERED_RUNS];
    size_t runs_count;
    journal_meta_t places[GATHERED_PLACES]; /* how far a producer has come at the end of a run */
    size_t *marks[GATHERED_PLACES];         /* where each one's producer keeps its mark */
    size_t places_count;
    size_t run_places; /* before those of the last run */
    uint32_t elements;
    size_t bytes_size, cursors_size;
    uint8_t bytes[RECORD_TARGET];
    uint8_t cursors[GATHERED_CURSORS];
} gathered_t;

gathered_t *gathered_create(void);
/* Sets all marks to 0. Accepts NULL. */
void gathered_destroy(gathered_t **gathered);

/* Is there room for a batch of so many bytes, with a cursor and a gap of so many, in this run or another? A small batch always fits where
 * nothing is gathered. */
bool gathered_fits(const gathered_t *gathered, size_t size, size_t said_size);
/* Would a batch of that stream begin another run? The last one takes no more when it has its watermark. */
bool gathered_turns(const gathered_t *gathered, uint32_t stream);
/* Adds a batch that fits; where it has a gap, as another run. `place`: where its producer is with it; `mark`: the producer's own, 0 to begin
 * with. */
void gathered_add(gathered_t *gathered, uint32_t stream, const journal_meta_t *place, size_t *mark, bytes_t elements, uint32_t count,
                  const journal_gap_t *gap);
/* The last run, which has one, is followed by that watermark. */
void gathered_promise(gathered_t *gathered, int64_t watermark);

#endif
