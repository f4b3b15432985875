/* A journal begins in a folder that is renamed once it is whole, is found again by recovery, and saves its manifest beside its segments. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "folder.h"
#include "journal_state.h"
#include "manifest.h"
#include "recovery.h"

/* ---- life ---- */
static journal_t *journal_new(const char *folder, msg_manifest_t *manifest, int64_t segment_bytes) {
    journal_t *journal = calloc(1, sizeof *journal);

    must(journal && segment_bytes > 0);
    must(snprintf(journal->folder, sizeof journal->folder, "%s", folder) < (int)sizeof journal->folder);
    journal->manifest = manifest;
    journal->writer.descriptor = -1;
    journal->segment_bytes = journal->snapshot.segment_bytes = (uint64_t)segment_bytes;
    msgpack_sbuffer_init(&journal->metas);
    ledger_init(&journal->ledger, manifest);
    journal->gaps_saved = journal->ledger.gaps_count;
    journal->slack = 4096 + 4 * journal_closing_cost(journal->ledger.streams_count);
    return journal;
}

void journal_close(journal_t **journal) {
    journal_t *old = *journal;

    *journal = NULL;
    if (!old) return;
    (old->ledger.totals.ended || old->failed ? writer_close : writer_leave)(&old->writer);
    ledger_fini(&old->ledger);
    manifest_free(&old->manifest);
    msgpack_sbuffer_destroy(&old->metas);
    free(old->staged);
    free(old->pieces);
    free(old->left);
    free(old);
}

/* ---- create, open, save ---- */
/* `<parent>/.new-<id>` beside `<parent>/<id>`: what is half made is never seen under its name. */
static int folder_names(const char *folder, char ret_parent[SEGMENT_PATH_SIZE], char ret_fresh[SEGMENT_PATH_SIZE], fault_t *why) {
    const char *slash = strrchr(folder, '/');
    size_t size = slash ? (size_t)(slash - folder) : 0;

    if (!slash || size == 0 || slash[1] == 0 || strlen(folder) + 64 > SEGMENT_PATH_SIZE)
        return fault_set(why, "cannot create the recording %s: that is no path that it could have", folder);
    memcpy(ret_parent, folder, size);
    ret_parent[size] = 0;
    must(snprintf(ret_fresh, SEGMENT_PATH_SIZE, "%.*s/.new-%s", (int)size, folder, slash + 1) < SEGMENT_PATH_SIZE);
    return 0;
}

journal_t *journal_create(const char *folder, const msg_manifest_t *manifest, int64_t now, int64_t segment_bytes, fault_t *why) {
    char parent[SEGMENT_PATH_SIZE], fresh[SEGMENT_PATH_SIZE];
    journal_t *journal = NULL;
    fault_t without; /* a checkpoint it goes on, too */

    if (folder_names(folder, parent, fresh, why) < 0 || folder_remove(fresh, why) < 0) return NULL;
    if (mkdir(fresh, 0755) < 0) {
        fault_errno(why, "cannot create the folder %s", fresh);
        return NULL;
    }
    journal = journal_new(folder, manifest_copy(manifest), segment_bytes);
    checkpoint_write(fresh, &(checkpoint_t){0}, true, &without);
    if (manifest_write(fresh, manifest, why) < 0 ||
        writer_create(&journal->writer, fresh, 0, journal_room(journal), journal->slack, why) < 0 ||
        journal_head(journal, &journal->writer, now, why) < 0 || manifest_sync_folder(fresh, why) < 0)
        goto fail;
    if (rename(fresh, folder) < 0) {
        fault_errno(why, "cannot create the recording %s", folder);
        goto fail;
    }
    segment_path(folder, 0, journal->writer.path);
    if (manifest_sync_folder(parent, why) == 0) return journal;
    folder_remove(folder, &(fault_t){0});
fail:
    journal_close(&journal);
    folder_remove(fresh, &(fault_t){0});
    return NULL;
}

/* Makes the disk agree with what recovery found. Whoever dies in between leaves what recovery finds again: the checkpoint is renewed last. Where
 * that fails, it is read from there once more. */
static int journal_mend(journal_t *journal, const recovery_t *found, fault_t *why) {
    fault_t ignored;

    for (size_t i = 0; i < found->dropped_count; i++) {
        char path[SEGMENT_PATH_SIZE];

        segment_path(journal->folder, found->dropped[i], path);
        if (unlink(path) < 0) return fault_errno(why, "cannot delete %s", path);
    }
    if (!found->from_snapshot) snapshot_drop(journal->folder);
    if (writer_open(&journal->writer, journal->folder, found->segment, found->length, journal_room(journal), journal->slack, why) < 0)
        return -1;
    if (found->power_lost) checkpoint_write(journal->folder, &found->checkpoint, true, &ignored);
    if (found->length == 0) return journal_head(journal, &journal->writer, journal->manifest->recording.created, why);
    journal_begin(journal, found->elements_end);
    snapshot_begin(&journal->snapshot, found->begin, found->begin_records);
    if (journal->ledger.totals.ended) writer_close(&journal->writer);
    return 0;
}

/* Nobody knows what of them is on the disk. */
static int journal_leave_all(journal_t *journal, fault_t *why) {
    uint64_t *numbers;
    size_t count;

    if (segment_list(journal->folder, &numbers, &count, why) < 0) return -1;
    for (size_t i = 0; i < count && numbers[i] < journal->ledger.totals.segment; i++) journal_leave(journal, numbers[i]);
    free(numbers);
    return 0;
}

journal_t *journal_open(const char *folder, int64_t segment_bytes, uint64_t *ret_torn, fault_t *why) {
    msg_manifest_t *manifest = NULL;
    recovery_t found = {0};

    if (manifest_read(folder, &manifest, why) < 0) return NULL;

    journal_t *journal = journal_new(folder, manifest, segment_bytes);

    if (recovery_run(folder, &journal->ledger, &found, why) < 0 || journal_mend(journal, &found, why) < 0 ||
        journal_leave_all(journal, why) < 0)
        journal_close(&journal);
    else
        *ret_torn = found.torn;
    if (journal) journal->gaps_saved = found.gaps_saved;
    free(found.dropped);
    return journal;
}

void journal_set_disk(journal_t *journal, disk_t *disk) {
    journal->disk = disk;
}

const msg_manifest_t *journal_manifest(const journal_t *journal) {
    return journal->manifest;
}

int journal_save(journal_t *journal, const msg_manifest_t *manifest, fault_t *why) {
    msg_manifest_t whole = *manifest;
    msg_manifest_t *old = journal->manifest;

    must(manifest->recording.streams.count == journal->ledger.streams_count);
    whole.has_gaps = true;
    whole.gaps.count = journal->ledger.gaps_count;
    whole.gaps.items = journal->ledger.gaps;
    if (manifest_write(journal->folder, &whole, why) < 0) return -1;
    journal->manifest = manifest_copy(&whole);
    journal->ledger.manifest = journal->manifest;
    journal->gaps_saved = journal->ledger.gaps_count;
    manifest_free(&old);
    return 0;
}
