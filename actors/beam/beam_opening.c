/* Which recording a call gets. All that an unmodified client has is an address and its output ids: behind a pipeline's own port an id is a tag of
 * that pipeline, at the port of all it is `pipeline/tag`. Both names may have slashes in them, so each place where the first one could end is
 * tried, from the left. `None`, which Beam asks for where a test stream has one output without a name, is the only tag that there is. */
#include <stdlib.h>
#include <string.h>

#include "../../messages/text.h"
#include "beam.h"
#include "beam_gateway_state.h"

/* Bytes of a replay that may be on their way to its caller; and of all of them together, as far as each has enough to go on. */
enum { CREDIT_LEAST = 64 * 1024, CREDIT_MOST = 1024 * 1024, CREDIT_ALL = 64 * 1024 * 1024 };

static const char no_name[] = "None";

/* ---- the replay ---- */

static int on_open(void *state, const answer_t *answer, uint64_t call, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    caller_t *caller = beam_caller_of(g, call);
    if (!caller) {
        if (answer->message) beam_playing_close(g, ((const msg_replay_t *)answer->message)->replay);
        return 0;
    }
    if (answer->refusal) {
        beam_caller_refuse(g, caller, answer->refusal);
        return 0;
    }
    const msg_replay_t *m = answer->message;
    beam_playing_begin(g, caller, m);
    if (caller->recording[0] && strcmp(caller->recording, m->recording) != 0) {
        beam_caller_end(g, caller, CALL_ABORTED, "recording `%s` was replaced while it was replayed", caller->recording);
        return 0;
    }
    snprintf(caller->recording, sizeof caller->recording, "%s", m->recording);
    return 0;
}

static int64_t credit_of(const beam_gateway_t *g) {
    int64_t share = CREDIT_ALL / (int64_t)g->callers_count;
    return share < CREDIT_LEAST ? CREDIT_LEAST : share < CREDIT_MOST ? share : CREDIT_MOST;
}

static void open_replay(beam_gateway_t *g, caller_t *caller) {
    const char **tags = calloc(caller->outputs_count + 1, sizeof *tags);
    must(tags);
    for (size_t i = 0; i < caller->outputs_count; i++) tags[i] = caller->outputs[i].tag;
    msg_replay_open_t open = {.has_pipeline = true,
                              .pipeline = caller->pipeline,
                              .has_tags = true,
                              .tags = {caller->outputs_count, tags},
                              .credit = credit_of(g)};
    actor_door_ask(g->me, 0, MSG_REPLAY_OPEN, &open, NULL, on_open, caller->call);
    free(tags);
}

void beam_opening_again(beam_gateway_t *g, caller_t *caller) {
    caller->skip = caller->events;
    open_replay(g, caller);
}

/* ---- its outputs ---- */

static const char *keep(caller_t *caller, const char *text, size_t size) {
    char *kept = msgpack_zone_malloc(caller->zone, size + 1);
    must(kept);
    memcpy(kept, text, size);
    kept[size] = '\0';
    return kept;
}

/* The pipeline's tag of that name; NULL: it has none. */
static const char *find_tag(caller_t *caller, const msg_pipeline_tags_t *m, const char *id) {
    const char *name = beam_name(id, caller->zone);
    for (size_t i = 0; i < m->tags.count; i++)
        if (strcmp(m->tags.items[i].tag, name) == 0) return m->tags.items[i].tag;
    return strcmp(id, no_name) == 0 && m->tags.count == 1 ? m->tags.items[0].tag : NULL;
}

static bool is_known(const caller_t *caller, const char *id) {
    for (size_t i = 0; i < caller->outputs_count; i++)
        if (strcmp(caller->outputs[i].asked, id) == 0) return true;
    return false;
}

static void add_output(caller_t *caller, const char *asked, const char *tag) {
    caller->outputs[caller->outputs_count++] = (output_t){asked, keep(caller, tag, strlen(tag))};
}

/* The part of an id that is a tag; NULL: it is of another pipeline. */
static const char *tag_part(const caller_t *caller, const char *id) {
    if (!caller->split) return id;
    size_t size = strlen(caller->pipeline);
    return strncmp(id, caller->pipeline, size) == 0 && id[size] == '/' ? id + size + 1 : NULL;
}

static void list_tags(const msg_pipeline_tags_t *m, char *ret_text, size_t size) {
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < m->tags.count && used < size; i++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s`%s`", i ? ", " : "", m->tags.items[i].tag);
}

/* False: the call has been ended. */
static bool find_outputs(beam_gateway_t *g, caller_t *caller, const msg_pipeline_tags_t *m) {
    size_t room = caller->ids.count > m->tags.count ? caller->ids.count : m->tags.count;
    caller->outputs = msgpack_zone_malloc(caller->zone, (room + 1) * sizeof *caller->outputs);
    must(caller->outputs);
    for (size_t i = 0; i < caller->ids.count; i++) {
        const char *id = caller->ids.items[i], *part = tag_part(caller, id);
        if (!part) {
            beam_caller_end(g, caller, CALL_INVALID_ARGUMENT,
                            "`output_ids[%zu]`: `%.200s` is not of pipeline `%s`, which the first is of: a call is for one pipeline", i, id,
                            caller->pipeline);
            return false;
        }
        const char *tag = find_tag(caller, m, part);
        if (!tag) {
            char tags[160];
            list_tags(m, tags, sizeof tags);
            beam_caller_end(g, caller, CALL_NOT_FOUND, "`output_ids[%zu]`: pipeline `%s` has no tag `%.200s` among %s", i, caller->pipeline,
                            part, tags);
            return false;
        }
        if (!is_known(caller, id)) add_output(caller, id, tag);
    }
    for (size_t i = 0; caller->ids.count == 0 && i < m->tags.count; i++) add_output(caller, m->tags.items[i].tag, m->tags.items[i].tag);
    for (size_t i = 0; caller->ids.count == 0 && i < caller->outputs_count; i++) caller->outputs[i].asked = caller->outputs[i].tag;
    return true;
}

/* ---- its pipeline ---- */

static void try_split(beam_gateway_t *g, caller_t *caller, const char *from);

static int on_tags(void *state, const answer_t *answer, uint64_t call, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    caller_t *caller = beam_caller_of(g, call);
    if (!caller) return 0;
    const msg_pipeline_tags_t *m = answer->message;
    bool known = m && (!caller->split || find_tag(caller, m, caller->split + 1));
    if (!known && caller->split && (m || answer->refusal->code == ERROR_NOT_FOUND)) {
        try_split(g, caller, caller->split + 1);
    } else if (answer->refusal) {
        beam_caller_refuse(g, caller, answer->refusal);
    } else if (m->tags.count == 0) {
        beam_caller_end(g, caller, CALL_NOT_FOUND, "pipeline `%s` has no source that is recorded", caller->pipeline);
    } else if (find_outputs(g, caller, m)) {
        open_replay(g, caller);
    }
    return 0;
}

static void ask_tags(beam_gateway_t *g, caller_t *caller) {
    actor_ask(g->me, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_ask_t){.pipeline = caller->pipeline}, on_tags,
              caller->call);
}

static void try_split(beam_gateway_t *g, caller_t *caller, const char *from) {
    const char *id = caller->ids.items[0], *slash = from;
    while ((slash = strchr(slash, '/')) && !name_valid(id, (size_t)(slash - id))) slash++;
    if (!slash) {
        beam_caller_end(g, caller, CALL_NOT_FOUND,
                        "`output_ids[0]`: `%.200s` is no output of any pipeline: at this port an id is `pipeline/output`", id);
        return;
    }
    caller->split = slash;
    caller->pipeline = keep(caller, id, (size_t)(slash - id));
    ask_tags(g, caller);
}

void beam_opening_start(beam_gateway_t *g, caller_t *caller, const char *pipeline, bytes_t request) {
    refusal_t no;
    if (beam_request_read(request, caller->zone, &caller->ids, &no) < 0) {
        beam_caller_refuse(g, caller, &no);
    } else if (pipeline) {
        caller->pipeline = keep(caller, pipeline, strlen(pipeline));
        ask_tags(g, caller);
    } else if (caller->ids.count == 0) {
        beam_caller_end(g, caller, CALL_INVALID_ARGUMENT,
                        "`output_ids` is empty, which means all of a pipeline at its own port; at this one an id is `pipeline/output`");
    } else {
        try_split(g, caller, caller->ids.items[0]);
    }
}
