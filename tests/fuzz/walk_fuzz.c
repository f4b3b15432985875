/* Any bytes as a frame: what the walk lets pass must be what msgpack-c reads, and must have one canonical form. */
#include "messages/fault.h"
#include "messages/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* msgpack-c gives up at 32 levels, which the walk does not: shorter than that, nothing can be as deep. */
static void read_by_msgpack(bytes_t in) {
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t at = 0;
    msgpack_unpack_return result = msgpack_unpack_next(&unpacked, (const char *)in.data, in.size, &at);
    must(result == MSGPACK_UNPACK_SUCCESS ? at == in.size : in.size > 32);
    msgpack_unpacked_destroy(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bytes_t in = {data, size}, value;
    refusal_t no;
    bool walked = wire_walk(in, &no) == 0;
    must(!walked || wire_value_size(in) == size);
    wire_map_get(in, "op", &value);
    if (!walked) {
        return 0;
    }
    read_by_msgpack(in);
    msgpack_sbuffer once, twice;
    msgpack_sbuffer_init(&once);
    msgpack_sbuffer_init(&twice);
    if (wire_canonical(in, "in", &once, &no) == 0) {
        bytes_t form = {(const uint8_t *)once.data, once.size};
        must(wire_walk(form, &no) == 0);
        must(wire_canonical(form, "in", &twice, &no) == 0);
        must(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    }
    msgpack_sbuffer_destroy(&once);
    msgpack_sbuffer_destroy(&twice);
    return 0;
}
