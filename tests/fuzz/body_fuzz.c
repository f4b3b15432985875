/* Any bytes as the body of a batch: what passes must be whole elements, one after the other, to the last byte. */
#include "messages/fault.h"
#include "messages/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bytes_t body = {data, size};
    refusal_t no = {0};
    uint32_t count;
    if (wire_body_check(body, &count, &no) < 0) {
        must(no.message[0] != '\0');
        return 0;
    }
    must(wire_walk(body, &no) == 0);
    bytes_t all = wire_body_elements(body, count);
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes_t before = wire_body_elements(body, i);
        must(before.data == all.data && before.size == at);
        wire_element_t element = wire_element_at((bytes_t){all.data + at, all.size - at});
        must(element.size == wire_value_size((bytes_t){all.data + at, all.size - at}));
        must(element.attributes.size == 0 || wire_value_size(element.attributes) == element.attributes.size);
        must(element.payload.data >= all.data + at && element.payload.data + element.payload.size <= all.data + at + element.size);
        at += element.size;
    }
    must(at == all.size && all.data + all.size == data + size);
    return 0;
}
