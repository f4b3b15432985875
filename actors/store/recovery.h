/* Recovery: finds out of the files alone how far a recording has come. Changes nothing on the disk. */
#ifndef REPRISE_RECOVERY_H
#define REPRISE_RECOVERY_H

#include "ledger.h"

typedef struct recovery {
    uint64_t segment;      /* the number that names the last segment that counts; those after it hold nothing valid */
    uint64_t length;       /* its bytes that count; 0: not even its header, and it is the first */
    uint64_t elements_end; /* where its last record of elements ends, or its header */
    uint64_t torn;         /* bytes behind those that count, in it and after it */
    uint64_t *dropped;     /* segments to delete; free it */
    size_t dropped_count;
} recovery_t;

/* Brings `ledger`, which is as after ledger_init, to what the records say. Damage is a failure that names file and offset. */
int recovery_run(const char *folder, ledger_t *ledger, recovery_t *ret_recovery, fault_t *why);

#endif
