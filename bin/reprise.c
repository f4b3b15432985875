/* The command-line client. What it can do is in the table of its commands; how it does it, in client/. */
#include "library/reprise.h"
#include "client/command_list.h"

const command_t *const commands[] = {
    &command_status, &command_run,     &command_record,     &command_push,     &command_replay,
    &command_jobs,   &command_cancel,  &command_recordings, &command_describe, &command_verify,
    &command_fetch,  &command_export,  &command_import,     &command_keep,     &command_delete,
    &command_forget, &command_options, &command_stop,       &command_keygen,   NULL,
};

int main(int count, char **arguments) {
    reprise_keep_buffers();
    return command_main(count, arguments);
}
