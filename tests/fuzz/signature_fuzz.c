/* Any pipeline: its signature is the same however its payloads are written and its transforms are ordered, and the definition that is made of
 * a recording of it has that signature again.
 *
 * With an even first byte, what follows is drawn as a pipeline; with an odd one it is a map as it stands. */
#include <stdlib.h>
#include <string.h>

#include "actors/definition.h"
#include "actors/signature.h"
#include "draw.h"
#include "messages/fault.h"
#include "messages/text.h"
#include "messages/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *every[] = {"*", "a*c"};
static const msg_options_t options = {.recordable_sources = {2, every}, .transforms_max = INT64_MAX};

static bool equal(const names_t *a, const names_t *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0) return false;
    return true;
}

/* The same in its canonical form. */
static bytes_t canonical(bytes_t payload, msgpack_zone *zone) {
    msgpack_sbuffer out;
    refusal_t no;
    msgpack_sbuffer_init(&out);
    must(wire_canonical(payload, "payload", &out, &no) == 0);
    uint8_t *copy = msgpack_zone_malloc(zone, out.size + 1);
    must(copy);
    memcpy(copy, out.data, out.size);
    bytes_t made = {copy, out.size};
    msgpack_sbuffer_destroy(&out);
    return made;
}

static void turned_round(const msg_pipeline_t *pipeline, const msg_comparison_t *found, msgpack_zone *zone) {
    msg_pipeline_t other = *pipeline;
    msg_comparison_t again = {0};
    refusal_t no;
    size_t count = pipeline->transforms.count;
    if (!pipeline->has_transforms) return;
    other.transforms.items = msgpack_zone_malloc(zone, (count + 1) * sizeof *other.transforms.items);
    must(other.transforms.items);
    for (size_t i = 0; i < count; i++) {
        msg_transform_t *to = &other.transforms.items[count - 1 - i];
        *to = pipeline->transforms.items[i];
        if (to->has_payload && !to->bounded) to->payload = canonical(to->payload, zone);
    }
    must(signature_extract(&other, &options, zone, &again, &no) == 0);
    must(equal(&found->signature, &again.signature));
}

/* The pipeline of a recording of it. */
static void defined_again(const msg_comparison_t *found, msgpack_zone *zone) {
    msg_recording_job_t recording = {.pipeline = "p"};
    msg_pipeline_t made;
    msg_comparison_t again = {0};
    refusal_t no;
    recording.streams.count = found->recordables.count;
    recording.streams.items = msgpack_zone_malloc(zone, (found->recordables.count + 1) * sizeof *recording.streams.items);
    must(recording.streams.items);
    for (size_t i = 0; i < found->recordables.count; i++) {
        const msg_recordable_t *from = &found->recordables.items[i];
        recording.streams.items[i] = (msg_stream_t){.signature = from->signature, .urn = from->urn, .tags = from->tags};
    }
    if (!definition_make(&recording, zone, &made)) return;
    must(signature_extract(&made, &options, zone, &again, &no) == 0);
    must(equal(&found->signature, &again.signature));
}

static void check(const msg_pipeline_t *pipeline, msgpack_zone *zone) {
    msg_comparison_t found = {0};
    refusal_t no = {0};
    if (signature_extract(pipeline, &options, zone, &found, &no) < 0) {
        must(no.message[0] && text_valid(no.message, strlen(no.message)));
        return;
    }
    must(found.signature.count == found.recordables.count && found.recordables.count <= found.sources.count);
    for (size_t i = 1; i < found.signature.count; i++) must(strcmp(found.signature.items[i - 1], found.signature.items[i]) < 0);
    must(signature_minus(&found.signature, &found.signature, zone).count == 0);
    turned_round(pipeline, &found, zone);
    defined_again(&found, zone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"a", "b", "abc", "reprise:source:generator:v1", "name", NULL};
    if (size == 0) return 0;
    bytes_t in = {data + 1, size - 1};
    msgpack_sbuffer drawn;
    msgpack_packer packer;
    msgpack_zone zone;
    msg_pipeline_t pipeline;
    refusal_t no;
    msgpack_sbuffer_init(&drawn);
    must(msgpack_zone_init(&zone, 1024));
    if (data[0] % 2 == 0) {
        draw_t draw = {.data = data + 1, .size = size - 1, .names = names};
        msgpack_packer_init(&packer, &drawn, msgpack_sbuffer_write);
        draw_record(&draw, RECORD_CLASS(pipeline), &packer, 0, 4);
        in = (bytes_t){(const uint8_t *)drawn.data, drawn.size};
    }
    if (wire_walk(in, &no) == 0 && record_decode(RECORD_CLASS(pipeline), "pipeline", in, &zone, &pipeline, &no) == 0)
        check(&pipeline, &zone);
    msgpack_zone_destroy(&zone);
    msgpack_sbuffer_destroy(&drawn);
    return 0;
}
