/* The manifest of a recording: a sealed file with the map of RECORD manifest. */
#ifndef REPRISE_MANIFEST_H
#define REPRISE_MANIFEST_H

#include "../../messages/fault.h"
#include "../../messages/message.h"

#define MANIFEST_FILE "manifest.msgpack"
enum { MANIFEST_FORMAT = 1 };

#define MANIFEST_NEXT ".manifest.msgpack.next"

/* Replaces it atomically: write, fsync, rename, fsync of the folder. */
int manifest_write(const char *folder, const msg_manifest_t *manifest, fault_t *why);
/* The same without waiting for the disk, under the name MANIFEST_NEXT: what is read from now on, if the machine does not die. Once that file
 * is on the disk, manifest_settle puts it in its place. */
int manifest_announce(const char *folder, const msg_manifest_t *manifest, fault_t *why);
int manifest_settle(const char *folder, fault_t *why); /* nothing happens where none was announced */
/* The one that waits under MANIFEST_NEXT; NULL where none does, or it cannot be read. Free it. */
msg_manifest_t *manifest_announced(const char *folder);
int manifest_withdraw(const char *folder, fault_t *why); /* nothing happens where none was announced */
/* What a process that died had announced is settled, or dropped where the machine died too soon. */
int manifest_recover(const char *folder, fault_t *why);
/* Checks checksum and format. One that was announced counts, unless it is damaged, as the death of the machine can leave it. */
int manifest_read(const char *folder, msg_manifest_t **ret_manifest, fault_t *why);
msg_manifest_t *manifest_copy(const msg_manifest_t *manifest);
void manifest_free(msg_manifest_t **manifest);

/* fsync of a folder, so that the names in it are on the disk. */
int manifest_sync_folder(const char *folder, fault_t *why);

#endif
