/* Any bytes as a pipeline of Beam: what the walk lets pass must be what protobuf-c reads, which beam_sources takes for granted; the sources
 * must be sayable; what is rewritten must be a pipeline again, whose transforms are all there; and what is refused says why. */
#include <string.h>

#include "actors/beam/beam.h"
#include "actors/signature.h"
#include "messages/fault.h"
#include "messages/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const refusal_t *no, const char *field) {
    must(no->message[0] && text_valid(no->message, strlen(no->message)) && strcmp(no->field, field) == 0);
}

static void check_rewrite(bytes_t pipeline, const names_t *patterns, size_t sources, msgpack_zone *zone) {
    static const char *none[] = {"none"};
    msgpack_sbuffer out;
    beam_sources_t found;
    refusal_t no = {0};
    msgpack_sbuffer_init(&out);
    if (beam_rewrite(pipeline, patterns, &(beam_stream_t){.url = "localhost:5574", .prefix = "p/"}, &out, &no) < 0) {
        check_refusal(&no, "rewrite");
        must(out.size == 0 && sources > 0);
    } else {
        bytes_t made = {(const uint8_t *)out.data, out.size};
        must(beam_sources(made, &(names_t){1, none}, zone, &found, &no) == 0);
        must(sources > 0 || (made.size == pipeline.size && (made.size == 0 || memcmp(made.data, pipeline.data, made.size) == 0)));
    }
    msgpack_sbuffer_destroy(&out);
}

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
        check_rewrite(pipeline.beam, &options.recordable_sources, found.count, &zone);
        refused = signature_extract(&pipeline, &options, &zone, &comparison, &no) < 0;
        must(refused || comparison.sources.count == found.count);
    }
    if (refused) check_refusal(&no, "pipeline.beam");
    msgpack_zone_destroy(&zone);
    return 0;
}
