/* The commands, each defined in the command_*.c of its group. */
#ifndef REPRISE_CLIENT_COMMAND_LIST_H
#define REPRISE_CLIENT_COMMAND_LIST_H

#include "command.h"

extern const command_t command_status, command_options, command_stop;
extern const command_t command_run, command_record;
extern const command_t command_jobs, command_cancel, command_forget, command_describe;
extern const command_t command_recordings, command_verify, command_fetch, command_keep, command_delete;
extern const command_t command_push, command_replay;
extern const command_t command_export, command_import;
extern const command_t command_keygen;
extern const command_t command_complete;

#endif
