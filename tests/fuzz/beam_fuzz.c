/* Any bytes as a pipeline of Beam: what the walk lets pass must be what protobuf-c reads, which beam_sources takes for granted; the sources
 * must be sayable; and what is refused says why. */
#include <string.h>

#include "actors/beam.h"
#include "actors/signature.h"
#include "messages/fault.h"
#include "messages/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *every[] = {"*"};
    const msg_options_t options = {.recordable_sources = {1, every}, .transforms_max = INT64_MAX};
    msgpack_zone zone;
    beam_sources_t found;
    msg_comparison_t comparison = {0};
    refusal_t no = {0};
    must(msgpack_zone_init(&zone, 1024));
    msg_pipeline_t pipeline = {.name = "p", .has_beam = true, .beam = {data, size}};
    bool refused = beam_sources(pipeline.beam, &options.recordable_sources, &zone, &found, &no) < 0;
    if (!refused) {
        for (size_t i = 0; i < found.count; i++)
            must(name_valid(found.items[i].name, strlen(found.items[i].name)) &&
                 name_valid(found.items[i].tag, strlen(found.items[i].tag)));
        refused = signature_extract(&pipeline, &options, &zone, &comparison, &no) < 0;
        must(refused || comparison.sources.count == found.count);
    }
    must(!refused || (no.message[0] && text_valid(no.message, strlen(no.message)) && strcmp(no.field, "pipeline.beam") == 0));
    msgpack_zone_destroy(&zone);
    return 0;
}
