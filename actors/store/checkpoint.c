/* The file always has the same size and is written over, within one sector of the disk: so it has the old value or the new one. To replace it
 * by renaming would write to the journal of the file system each time, ten times a second. */
#include "checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/codec.h"
#include "manifest.h"
#include "sealed.h"
#include "segment.h"

bool checkpoint_run(char ret_text[SD_ID128_STRING_MAX]) {
    sd_id128_t id;

    if (sd_id128_get_boot(&id) < 0) return false;
    sd_id128_to_string(id, ret_text);
    return true;
}

static void pack_text(msgpack_packer *pk, const char *text) {
    msgpack_pack_str_with_body(pk, text, strlen(text));
}

static void checkpoint_pack(const checkpoint_t *checkpoint, const char *run, msgpack_sbuffer *out) {
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 4);
    pack_text(&pk, "format");
    msgpack_pack_int(&pk, MANIFEST_FORMAT);
    pack_text(&pk, "run");
    pack_text(&pk, run);
    pack_text(&pk, "segment");
    msgpack_pack_fix_uint64(&pk, checkpoint->segment);
    pack_text(&pk, "length");
    msgpack_pack_fix_uint64(&pk, checkpoint->length);
    sealed_close(out);
}

int checkpoint_write(const char *folder, const checkpoint_t *checkpoint, bool settle, fault_t *why) {
    char path[SEGMENT_PATH_SIZE], run[SD_ID128_STRING_MAX];
    msgpack_sbuffer bytes;

    if (!checkpoint_run(run)) return 0; /* without it the file says nothing */
    if (snprintf(path, sizeof path, "%s/" CHECKPOINT_FILE, folder) >= (int)sizeof path)
        return fault_set(why, "the path %s is too long", folder);
    msgpack_sbuffer_init(&bytes);
    checkpoint_pack(checkpoint, run, &bytes);

    int failed = sealed_overwrite(path, &bytes, settle, why);

    msgpack_sbuffer_destroy(&bytes);
    return failed == 0 && settle ? manifest_sync_folder(folder, why) : failed;
}

bool checkpoint_is_of_another_run(const char *folder, checkpoint_t *ret_checkpoint) {
    char path[SEGMENT_PATH_SIZE], run[SD_ID128_STRING_MAX];
    uint8_t *data = NULL;
    bytes_t map = {0};
    msg_checkpoint_t message;
    refusal_t no;
    fault_t ignored;

    if (!checkpoint_run(run) || snprintf(path, sizeof path, "%s/" CHECKPOINT_FILE, folder) >= (int)sizeof path ||
        sealed_read(path, &data, &map, &ignored) < 0)
        return false;

    msgpack_zone *zone = msgpack_zone_new(512);

    must(zone);

    bool is = record_decode(RECORD_CLASS(checkpoint), "checkpoint", map, zone, &message, &no) == 0 && message.format == MANIFEST_FORMAT &&
              strcmp(message.run, run) != 0;

    if (is) *ret_checkpoint = (checkpoint_t){(uint64_t)message.segment, (uint64_t)message.length};
    msgpack_zone_free(zone);
    free(data);
    return is;
}
