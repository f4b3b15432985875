/* The manifest on disk: small, whole, and replaced atomically, so that a reader sees the old one or the new one.
 *
 * To bring it to the disk can take longer than all else that the end of a recording takes, even the renaming: a file system that knows of
 * programs which forget fsync writes the new file out when it replaces an old one. So there is a second name, where it waits for the disk.
 *
 * It carries a checksum of its own because it is the truth about a recording: a flipped bit in a state or a signature must not make an
 * invalid recording look valid. */
#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "sealed.h"
#include "segment.h"

enum { PATH_SIZE = 4096 };

msg_manifest_t *manifest_copy(const msg_manifest_t *manifest) {
    return record_copy(RECORD_CLASS(manifest), manifest);
}

void manifest_free(msg_manifest_t **manifest) {
    void *copy = *manifest;

    *manifest = NULL;
    if (copy) record_free(RECORD_CLASS(manifest), &copy);
}

int manifest_sync_folder(const char *folder, fault_t *why) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (descriptor < 0) return fault_errno(why, "cannot open the folder %s", folder);

    int failed = fsync(descriptor) < 0 ? fault_errno(why, "cannot sync the folder %s", folder) : 0;

    close(descriptor);
    return failed;
}

static int manifest_write_file(const char *path, bytes_t bytes, bool durable, fault_t *why) {
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (descriptor < 0) return fault_errno(why, "cannot create %s", path);
    while (bytes.size > 0) {
        ssize_t written = write(descriptor, bytes.data, bytes.size);

        if (written < 0 && errno == EINTR) continue;
        if (written < 0) goto fail;
        bytes.data += written;
        bytes.size -= (size_t)written;
    }
    if (durable && fsync(descriptor) < 0) goto fail;
    close(descriptor);
    return 0;
fail:
    fault_errno(why, "cannot write %s", path);
    close(descriptor);
    return -1;
}

/* Under another name first, then as `name`. */
static int manifest_replace(const char *folder, const char *name, const msg_manifest_t *manifest, bool durable, fault_t *why) {
    char path[PATH_SIZE], fresh[PATH_SIZE];
    msgpack_sbuffer out;
    int failed = -1;

    must(snprintf(path, sizeof path, "%s/%s", folder, name) < PATH_SIZE);
    must(snprintf(fresh, sizeof fresh, "%s/." MANIFEST_FILE ".new", folder) < PATH_SIZE);
    msgpack_sbuffer_init(&out);
    record_encode(RECORD_CLASS(manifest), manifest, &out);
    sealed_close(&out);
    if (manifest_write_file(fresh, (bytes_t){(const uint8_t *)out.data, out.size}, durable, why) < 0)
        unlink(fresh);
    else
        failed = rename(fresh, path) < 0 ? fault_errno(why, "cannot rename %s to %s", fresh, path) : 0;
    msgpack_sbuffer_destroy(&out);
    return failed;
}

int manifest_write(const char *folder, const msg_manifest_t *manifest, fault_t *why) {
    if (manifest_settle(folder, why) < 0 || manifest_replace(folder, MANIFEST_FILE, manifest, true, why) < 0) return -1;
    return manifest_sync_folder(folder, why);
}

int manifest_announce(const char *folder, const msg_manifest_t *manifest, fault_t *why) {
    return manifest_replace(folder, MANIFEST_NEXT, manifest, false, why);
}

int manifest_settle(const char *folder, fault_t *why) {
    char path[PATH_SIZE], next[PATH_SIZE];

    must(snprintf(path, sizeof path, "%s/" MANIFEST_FILE, folder) < PATH_SIZE);
    must(snprintf(next, sizeof next, "%s/" MANIFEST_NEXT, folder) < PATH_SIZE);
    if (rename(next, path) == 0 || errno == ENOENT) return 0;
    return fault_errno(why, "cannot rename %s to %s", next, path);
}

/* Each stream goes by its first tag where one is needed. */
static int manifest_check(const char *path, const msg_manifest_t *manifest, fault_t *why) {
    for (size_t i = 0; i < manifest->recording.streams.count; i++)
        if (manifest->recording.streams.items[i].tags.count == 0) return fault_set(why, "%s: its stream %zu has no tag", path, i);
    return 0;
}

static int manifest_decode(const char *path, bytes_t map, msg_manifest_t **ret_manifest, fault_t *why) {
    bytes_t format;
    int64_t version = 0;
    msg_manifest_t manifest;
    refusal_t no;

    if (!wire_map_get(map, "format", &format) || !wire_int(format, &version))
        return fault_set(why, "%s is no manifest: it has no format version", path);
    if (version != MANIFEST_FORMAT)
        return fault_set(why, "%s has format version %lld: this version reads format %d only", path, (long long)version, MANIFEST_FORMAT);

    msgpack_zone *zone = msgpack_zone_new(8192);

    must(zone);

    int failed = record_decode(RECORD_CLASS(manifest), "manifest", map, zone, &manifest, &no);

    if (failed < 0)
        fault_set(why, "%s: %s", path, no.message);
    else
        failed = manifest_check(path, &manifest, why);
    if (failed == 0) *ret_manifest = manifest_copy(&manifest);
    msgpack_zone_free(zone);
    return failed;
}

static int manifest_read_as(const char *folder, const char *name, msg_manifest_t **ret_manifest, fault_t *why) {
    char path[PATH_SIZE];
    uint8_t *data = NULL;
    bytes_t map = {0};

    must(snprintf(path, sizeof path, "%s/%s", folder, name) < PATH_SIZE);
    if (sealed_read(path, &data, &map, why) < 0) return -1;

    int failed = manifest_decode(path, map, ret_manifest, why);

    free(data);
    return failed;
}

int manifest_read(const char *folder, msg_manifest_t **ret_manifest, fault_t *why) {
    fault_t ignored;

    if (manifest_read_as(folder, MANIFEST_NEXT, ret_manifest, &ignored) == 0) return 0;
    return manifest_read_as(folder, MANIFEST_FILE, ret_manifest, why);
}

static int file_sync(const char *path, fault_t *why) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    if (descriptor < 0) return fault_errno(why, "cannot open %s", path);

    int result = fdatasync(descriptor) < 0 ? fault_errno(why, "cannot bring %s to the disk", path) : 0;

    close(descriptor);
    return result;
}

int manifest_withdraw(const char *folder, fault_t *why) {
    char next[PATH_SIZE];

    must(snprintf(next, sizeof next, "%s/" MANIFEST_NEXT, folder) < PATH_SIZE);
    return unlink(next) < 0 && errno != ENOENT ? fault_errno(why, "cannot delete %s", next) : 0;
}

/* What an end that was only announced says must be there before it counts. */
static int announced_sync(const char *folder, const char *next, fault_t *why) {
    char path[SEGMENT_PATH_SIZE];
    uint64_t *numbers;
    size_t count;
    int failed = segment_list(folder, &numbers, &count, why);

    if (failed < 0) return -1;
    for (size_t i = 0; i < count && failed == 0; i++) {
        segment_path(folder, numbers[i], path);
        failed = file_sync(path, why);
    }
    free(numbers);
    return failed < 0 ? -1 : file_sync(next, why);
}

msg_manifest_t *manifest_announced(const char *folder) {
    msg_manifest_t *announced = NULL;
    fault_t ignored;

    return manifest_read_as(folder, MANIFEST_NEXT, &announced, &ignored) == 0 ? announced : NULL;
}

int manifest_recover(const char *folder, fault_t *why) {
    char next[PATH_SIZE];
    msg_manifest_t *announced;

    must(snprintf(next, sizeof next, "%s/" MANIFEST_NEXT, folder) < PATH_SIZE);
    if (access(next, F_OK) < 0) return 0;
    announced = manifest_announced(folder);
    if (!announced) return manifest_withdraw(folder, why);
    manifest_free(&announced);
    return announced_sync(folder, next, why) < 0 ? -1 : manifest_settle(folder, why);
}
