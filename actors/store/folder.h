/* The data folder: <data>/lock, <data>/catalog.sqlite, <data>/recordings/<id>/. */
#ifndef REPRISE_FOLDER_H
#define REPRISE_FOLDER_H

#include <stddef.h>

#include "../../messages/fault.h"
#include "../../messages/message.h"

/* Creates the folder where it is missing and takes its lock for this process. Returns a descriptor to keep open; -1 on failure;
 * -2 where another process has it (`why` gives its pid). */
int folder_lock(const char *data, fault_t *why);

/* The ids of the recordings, sorted. Free with folder_free. */
int folder_recordings(const char *data, names_t *ret_names, fault_t *why);
void folder_free(names_t *names);

void folder_recording_path(const char *data, const char *recording, char *ret_path, size_t size);
/* Reads a manifest on its own: checks format and checksum. Free with record_free(RECORD_CLASS(manifest), …). */
int folder_manifest(const char *data, const char *recording, msg_manifest_t **ret_manifest, fault_t *why);
/* Deletes a recording; one that does not exist is no error. Its folder is only renamed, into the trash: its files can be so large that it
 * takes the disk long to let them go. */
int folder_drop(const char *data, const char *recording, fault_t *why);
/* Deletes one file, or one empty folder, of the trash. 1: there may be more; 0: it is empty; -1: nothing of it can be deleted. */
int folder_sweep(const char *data, fault_t *why);
/* Deletes a folder and the files in it; one that does not exist is no error. */
int folder_remove(const char *path, fault_t *why);
/* Bytes free for an unprivileged writer on the disk that holds `data`, once the trash is swept. */
int folder_free_bytes(const char *data, int64_t *ret_bytes, fault_t *why);

#endif
