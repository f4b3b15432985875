#include "gap_body.h"

#include <string.h>

#include "../../messages/wire.h"

void gap_body_pack(const char *what, int64_t lost_us, bool all, msgpack_sbuffer *out) {
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 1U + (lost_us >= 0) + all);
    msgpack_pack_str_with_body(&pk, "what", 4);
    msgpack_pack_str_with_body(&pk, what, strlen(what));
    if (lost_us >= 0) {
        msgpack_pack_str_with_body(&pk, "lost_us", 7);
        msgpack_pack_int64(&pk, lost_us);
    }
    if (all) {
        msgpack_pack_str_with_body(&pk, "all", 3);
        msgpack_pack_true(&pk);
    }
}

int gap_body_read(bytes_t body, bytes_t *ret_what, int64_t *ret_lost_us) {
    bytes_t value;
    const char *text;
    size_t size;
    refusal_t no;
    int64_t lost_us = -1;

    if (wire_walk(body, &no) < 0 || !wire_map_get(body, "what", &value) || !wire_text(value, &text, &size)) return -1;
    if (wire_map_get(body, "lost_us", &value) && !wire_int(value, &lost_us)) return -1;
    *ret_what = (bytes_t){(const uint8_t *)text, size};
    *ret_lost_us = lost_us;
    return 0;
}
