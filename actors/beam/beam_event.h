/* What Apache Beam's TestStreamService takes and sends, as bytes: an EventsRequest is read, and the events of a replay are written as messages
 * TestStreamPayload.Event, with times in microseconds as that service has them. In pipelines the same messages hold milliseconds.
 *
 * Written by hand, because this is the path of every element: once over the recorded bytes, into one piece of memory. */
#ifndef REPRISE_BEAM_EVENT_H
#define REPRISE_BEAM_EVENT_H

#include "../../messages/codec.h"

enum {
    BEAM_MESSAGE_MAX = 4 * 1000 * 1000, /* gRPC's clients refuse 4 MiB and more, unless they are told otherwise */
    BEAM_OUTPUTS_MAX = 10000,           /* ids in one request */
};

typedef enum beam_unit { BEAM_MICROSECONDS, BEAM_MILLISECONDS } beam_unit_t;
int64_t beam_milliseconds(int64_t us);

/* A message: `size` bytes at `data`, which lie in `memory`; that is the receiver's to free. */
typedef struct beam_message {
    void *memory;
    uint8_t *data;
    size_t size;
} beam_message_t;

/* The output ids of an EventsRequest, or of any message with texts in its field 1 alone, made in `zone`. Refuses as proto_walk does, with the field `output_ids`. */
int beam_request_read(bytes_t request, msgpack_zone *zone, names_t *ret_ids, refusal_t *no);

void beam_watermark_write(int64_t to, const char *tag, beam_message_t *ret);
void beam_advance_write(int64_t advance_us, beam_message_t *ret);

/* A HealthCheckResponse of grpc.health.v1. */
void beam_health_write(int status, beam_message_t *ret);

/* An event with elements from the front of `rest`, which holds `count` elements without a header and was checked before: as many as fit into
 * `size_max` bytes, and one at least, whatever its size; their times, which are microseconds,
 * in `unit`. Moves `rest` behind them and gives their number. */
size_t beam_elements_write(bytes_t *rest, size_t count, const char *tag, beam_unit_t unit, size_t size_max, beam_message_t *ret);

#endif
