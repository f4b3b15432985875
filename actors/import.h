/* A recording made of a file that comes in pieces. It is written as any other, in folders that nobody sees, and is there only once all of it is:
 * what has not come that far goes with import_destroy, or when the engine starts again. */
#ifndef REPRISE_IMPORT_H
#define REPRISE_IMPORT_H

#include "store/journal.h"
#include "transfer.h"

enum { IMPORT_FILES_MAX = 1000 };

typedef struct import import_t;

typedef struct import_spec {
    const char *data;            /* the data folder */
    const char *recording, *job; /* their ids */
    const char *pipeline;        /* NULL: as the file says */
    const transfer_format_t *format;
    const msg_pipeline_tags_t *tags; /* what the pipeline's tags name, for formats that do not say; NULL: none are known */
    int64_t now;                     /* µs since the epoch */
    int64_t segment_bytes;
} import_spec_t;

/* `spec` is copied. */
import_t *import_create(const import_spec_t *spec);
/* Deletes what there is of it, unless it was taken over. */
void import_destroy(import_t **import);

/* Takes the next bytes of a file. With `tag`: the tag of this file, not the one in it. After a refusal the import is of no use any more. */
int import_feed(import_t *import, size_t file, const char *tag, bytes_t data, refusal_t *no);
/* No more bytes come. Goes on until all of it is in the recording, about `bytes` at a time. 1: more is left; 0: the recording is complete, its
 * manifest says so, and it may be taken over; -1: refused. */
int import_finish(import_t *import, size_t bytes, refusal_t *no);

/* Files that were written since the last time, and are not on the disk yet. The caller frees the list and each of it. */
names_t import_written(import_t *import);
uint64_t import_bytes(const import_t *import); /* on the disk */
size_t import_files(const import_t *import);   /* that were begun */
size_t import_waiting(const import_t *import); /* bytes in memory: beginnings of items that are not whole yet */
uint64_t import_elements(const import_t *import);
/* ---- once it is complete ---- */
/* Closes its files. What it has written until then is to be on the disk before it is taken over. */
void import_seal(import_t *import);
const msg_manifest_t *import_manifest(const import_t *import);
const char *import_folder(const import_t *import); /* its name among the recordings */
const char *import_recording(const import_t *import);

/* Deletes what imports of an earlier state have left in the data folder. */
int import_clear(const char *data, fault_t *why);

#endif
