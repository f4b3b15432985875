/* What a caller of Beam's service may send, and what it gets: any bytes as its request, whose ids can be said again or whose refusal says why; and
 * the elements of any batch as events, none left out, none larger than it may be unless it holds a single element.
 *
 * The first byte says which of the two; of a batch, the second is the size that an event may have. */
#include <stdlib.h>
#include <string.h>

#include "actors/beam/beam_event.h"
#include "messages/fault.h"
#include "messages/text.h"
#include "messages/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(bytes_t request) {
    msgpack_zone zone;
    names_t ids;
    refusal_t no = {0};
    must(msgpack_zone_init(&zone, 1024));
    if (beam_request_read(request, &zone, &ids, &no) < 0) {
        must(no.message[0] && text_valid(no.message, strlen(no.message)) && strcmp(no.field, "output_ids") == 0);
    } else {
        must(ids.count <= BEAM_OUTPUTS_MAX);
        for (size_t i = 0; i < ids.count; i++) must(text_valid(ids.items[i], strlen(ids.items[i])));
    }
    msgpack_zone_destroy(&zone);
}

static void check_batch(bytes_t body, size_t size_max) {
    uint32_t count;
    refusal_t no = {0};
    if (wire_body_check(body, &count, &no) < 0) return;
    bytes_t rest = wire_body_elements(body, count);
    const uint8_t *end = body.data + body.size;
    while (count > 0) {
        beam_message_t event;
        size_t taken = beam_elements_write(&rest, count, "tag", BEAM_MICROSECONDS, size_max, &event);
        must(taken >= 1 && taken <= count && rest.data + rest.size == end);
        must(event.size <= size_max || taken == 1);
        must(event.data >= (uint8_t *)event.memory);
        free(event.memory);
        count -= (uint32_t)taken;
    }
    must(rest.size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    if (data[0] & 1)
        check_batch((bytes_t){data + 2, size - 2}, (size_t)data[1] * 4);
    else
        check_request((bytes_t){data + 2, size - 2});
    return 0;
}
