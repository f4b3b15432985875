/* Which commands there are. A file of its own, because the printed manual goes through them as the client does, and a test has others. */
#include "command_list.h"

const command_t *const commands[] = {
    &command_status,     &command_run,      &command_record,  &command_push,  &command_replay, &command_jobs,     &command_cancel,
    &command_recordings, &command_describe, &command_verify,  &command_fetch, &command_export, &command_import,   &command_keep,
    &command_delete,     &command_forget,   &command_options, &command_stop,  &command_keygen, &command_complete, NULL,
};
