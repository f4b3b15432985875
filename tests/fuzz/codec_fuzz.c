/* Any map as any message (the first byte says which): what is decoded must be sayable, and must come back the same, from a copy too.
 * As a refusal, too, which clients read. */
#include "messages/fault.h"
#include "messages/text.h"
#include "messages/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef union room {
    max_align_t aligned;
    uint8_t bytes[4096];
} room_t;

static void come_back(message_id_t id, const void *message) {
    msgpack_sbuffer once, twice;
    msgpack_zone zone;
    room_t again;
    refusal_t no;
    msgpack_sbuffer_init(&once);
    msgpack_sbuffer_init(&twice);
    must(msgpack_zone_init(&zone, 1024));
    void *copy = record_copy(record_class_of(id), message);
    message_encode(id, message, true, (bytes_t){0}, &once);
    bytes_t said = {(const uint8_t *)once.data, once.size};
    must(wire_walk(said, &no) == 0);
    must(message_decode(id, said, &zone, &again, &no) == 0);
    message_encode(id, copy, true, (bytes_t){0}, &twice);
    must(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    twice.size = 0;
    message_encode(id, &again, true, (bytes_t){0}, &twice);
    must(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    record_free(record_class_of(id), &copy);
    msgpack_zone_destroy(&zone);
    msgpack_sbuffer_destroy(&once);
    msgpack_sbuffer_destroy(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    message_id_t id = (message_id_t)(MSG_NONE + 1 + data[0] % (MESSAGE_COUNT - 1));
    bytes_t in = {data + 1, size - 1};
    refusal_t no = {0};
    if (wire_walk(in, &no) < 0) {
        return 0;
    }
    room_t message;
    msgpack_zone zone;
    must(msgpack_zone_init(&zone, 1024));
    must(record_class_of(id)->size <= sizeof message);
    if (message_decode(id, in, &zone, &message, &no) == 0) {
        come_back(id, &message);
    } else {
        must(no.message[0] != '\0' && text_valid(no.message, strlen(no.message)));
    }
    refusal_decode(in, &no);
    msgpack_zone_destroy(&zone);
    return 0;
}
