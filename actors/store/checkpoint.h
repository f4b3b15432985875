/* A checkpoint: how far the disk is known to have a recording, in a sealed file of its own with the map of RECORD checkpoint.
 *
 * What is behind it may be lost when the machine loses its power: pages reach the disk in any order. While the machine runs, nothing that was
 * written is lost, whatever becomes of the process. So the file also says in which run of the machine it was written. */
#ifndef REPRISE_CHECKPOINT_H
#define REPRISE_CHECKPOINT_H

#include <systemd/sd-id128.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

#define CHECKPOINT_FILE "checkpoint.msgpack"

typedef struct checkpoint {
    uint64_t segment, length; /* the number of a segment, and its bytes that the disk has; it has all segments before, too */
} checkpoint_t;

/* All before it is on the disk: overwrites what was said before. `settle`: waits until the disk has that, and the file's name. Otherwise the
 * disk may have an older one, which is as true. */
int checkpoint_write(const char *folder, const checkpoint_t *checkpoint, bool settle, fault_t *why);
/* The run of the machine, as files say it: the kernel's boot id. False where it cannot be read. */
bool checkpoint_run(char ret_text[SD_ID128_STRING_MAX]);
/* Is one here from an earlier run of the machine? Where that cannot be known, none is: so nothing is taken for lost. */
bool checkpoint_is_of_another_run(const char *folder, checkpoint_t *ret_checkpoint);

#endif
