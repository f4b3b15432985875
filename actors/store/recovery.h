/* Recovery: finds out of the files alone how far a recording has come. Changes nothing on the disk. */
#ifndef REPRISE_RECOVERY_H
#define REPRISE_RECOVERY_H

#include "checkpoint.h"
#include "ledger.h"

typedef struct recovery {
    uint64_t segment;              /* the number that names the last segment that counts; those after it hold nothing valid */
    uint64_t length;               /* its bytes that count; 0: not even its header, and it is the first */
    uint64_t elements_end;         /* where its last record of elements ends, or its header */
    uint64_t torn;                 /* bytes behind those that count, in it and after it */
    uint64_t begin, begin_records; /* where reading began in its last segment, and how many records there are before */
    bool from_snapshot;            /* at a snapshot, not behind the header */
    size_t gaps_saved;             /* so many of the first gaps the manifest has; SIZE_MAX: it has some that there are not */
    uint64_t *dropped;             /* segments to delete; free it */
    size_t dropped_count;
    bool power_lost;         /* the machine has started anew since the checkpoint was written */
    checkpoint_t checkpoint; /* then: from here on it was read; no further than it goes */
} recovery_t;

/* Brings `ledger`, which is as after ledger_init, to what the records say. Damage is a failure that names file and offset. */
int recovery_run(const char *folder, ledger_t *ledger, recovery_t *ret_recovery, fault_t *why);

/* A manifest that was announced by a process that died is put in its place, or taken back where the machine died before the disk had what it
 * tells of: then the recording has not ended. Where it is damaged, or the disk had failed before, it has. */
int recovery_settle(const char *folder, fault_t *why);

#endif
