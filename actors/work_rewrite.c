/* The answer to a run for those who replay with Beam itself: their pipeline, reading from us. */
#include <stdio.h>
#include <stdlib.h>

#include "../messages/text.h"
#include "../messages/wire.h"
#include "beam/beam.h"
#include "work.h"

#define FIELD "rewrite"

enum { ANSWER_ROOM = 1024 * 1024 }; /* for all else that stands in an answer */

/* The sources are those that were found by comparing, whatever the option says by now. On the port that all pipelines share, what a stream is
 * asked for by begins with the pipeline's name. */
static int rewrite(const work_t *work, const char *url, msgpack_sbuffer *out, refusal_t *no) {
    const msg_comparison_t *c = work->comparison;
    const char **urns = calloc(c->sources.count + 1, sizeof *urns);
    char prefix[NAME_SIZE_MAX + 2];
    must(urns);
    for (size_t i = 0; i < c->sources.count; i++) urns[i] = c->sources.items[i].urn;
    bool own = (work->beam && work->beam->own) || work->inlined;
    snprintf(prefix, sizeof prefix, "%s%s", own ? "" : work->definition->name, own ? "" : "/");
    beam_stream_t stream = {.prefix = prefix};
    if (work->inlined)
        stream.events = (bytes_t){(const uint8_t *)work->events.data, work->events.size};
    else
        stream.url = url;
    int result = beam_rewrite(work->definition->beam, &(names_t){c->sources.count, urns}, &stream, out, no);
    free(urns);
    return result;
}

int work_rewrite(const pipeline_tracker_t *t, const work_t *work, msgpack_sbuffer *out, refusal_t *no) {
    const char *url = work->beam ? work->beam->endpoint : actor_config(t->me)->beam;
    size_t before = out->size;
    if (work->inlined && !work->rewrite)
        return refuse(no, ERROR_BAD_REQUEST, "inlined", "`pipeline.run`: `inlined` goes with `rewrite` alone");
    if (work->elements_max && !work->inlined)
        return refuse(no, ERROR_BAD_REQUEST, "max_elements", "`pipeline.run`: `max_elements` goes with `inlined` alone");
    if (!work->definition->has_beam)
        return refuse(no, ERROR_BAD_REQUEST, FIELD, "pipeline `%.200s` is none of Beam: there is nothing to rewrite",
                      work->definition->name);
    if (!url[0] && !work->inlined)
        return refuse(no, ERROR_INVALID_STATE, FIELD, "the engine has no port for Beam that a TestStream could read from");
    if (rewrite(work, url, out, no) < 0) return -1;
    /* Once it is decided the run is answered, whatever a longer address adds; but not whatever the events do. */
    if ((!work->decision || work->inlined) && out->size - before > WIRE_MESSAGE_MAX - ANSWER_ROOM)
        return refuse(no, ERROR_TOO_LARGE, FIELD, "the pipeline, rewritten, has %zu bytes, which no answer has room for",
                      out->size - before);
    return 0;
}
