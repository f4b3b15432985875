/* A port for each pipeline. Behind it an output id is a tag, and `None` has a meaning, so that a client which knows no more than an address and its
 * outputs finds its recording. The ports are given out one after another, so that one which a pipeline had is another's as late as can be; the
 * catalog remembers them, for what was given to Beam is still called after the engine has started again. */
#include <stdlib.h>
#include <string.h>

#include "../../messages/wire.h"
#include "beam_gateway_state.h"

static const char kind[] = "beam_port";

static size_t ports_count(const beam_gateway_t *g) {
    const config_t *config = actor_config(g->me);
    return config->beam_first ? (size_t)(config->beam_last - config->beam_first) + 1 : 0;
}

static int port_at(const beam_gateway_t *g, size_t index) {
    return actor_config(g->me)->beam_first + (int)index;
}

static void write_address(const beam_gateway_t *g, size_t index, char *ret_address, size_t size) {
    const char *shared = actor_config(g->me)->beam;
    snprintf(ret_address, size, "%.*s:%d", (int)(strrchr(shared, ':') - shared), shared, port_at(g, index));
}

void beam_ports_init(beam_gateway_t *g) {
    g->pipelines = calloc(ports_count(g) + 1, sizeof *g->pipelines);
    must(g->pipelines);
}

void beam_ports_fini(beam_gateway_t *g) {
    for (size_t i = 0; g->pipelines && i < ports_count(g); i++) free(g->pipelines[i]);
    free(g->pipelines);
}

const char *beam_ports_pipeline(const beam_gateway_t *g, uint32_t line) {
    return line == BEAM_LINE_SHARED ? NULL : g->pipelines[line - 1];
}

/* ---- giving ---- */

static bool occupy(beam_gateway_t *g, size_t index, const char *pipeline) {
    char address[600];
    fault_t why;
    write_address(g, index, address, sizeof address);
    if (beam_port_listen(g->kept->port, (uint32_t)index + 1, address, &why) < 0) return false;
    g->pipelines[index] = strdup(pipeline);
    must(g->pipelines[index]);
    g->next = index + 1;
    return true;
}

/* Nobody waits for it: a port that is not remembered is another one after the next start. */
static int on_written(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)state, (void)answer, (void)context, (void)why;
    return 0;
}

static void remember(beam_gateway_t *g, const char *pipeline, int port) {
    msgpack_sbuffer value;
    msgpack_packer packer;
    msgpack_sbuffer_init(&value);
    msgpack_packer_init(&packer, &value, msgpack_sbuffer_write);
    msgpack_pack_int(&packer, port);
    msg_document_t document = {.kind = kind, .key = pipeline, .has_value = port != 0, .value = {(const uint8_t *)value.data, value.size}};
    actor_ask(g->me, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {1, &document}}, on_written, 0);
    msgpack_sbuffer_destroy(&value);
}

/* The pipeline's place among the ports; as many as there are: it has none. */
static size_t place_of(const beam_gateway_t *g, const char *pipeline) {
    size_t at = 0, count = ports_count(g);
    while (at < count && !(g->pipelines[at] && strcmp(g->pipelines[at], pipeline) == 0)) at++;
    return at;
}

/* One that somebody else listens at is passed over. */
static size_t place_find(beam_gateway_t *g, const char *pipeline) {
    size_t count = ports_count(g), begin = g->next;
    for (size_t i = 0; i < count; i++) {
        size_t at = (begin + i) % count;
        if (g->pipelines[at] || !occupy(g, at, pipeline)) continue;
        remember(g, pipeline, port_at(g, at));
        return at;
    }
    return count;
}

int beam_ports_on_ask(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    const char *pipeline = ((const msg_beam_port_ask_t *)in->message)->pipeline;
    if (!g->kept) {
        actor_refuse(g->me, in->ticket, ERROR_INVALID_STATE, NULL, "Apache Beam is not served: `beam` is off");
        return 0;
    }
    size_t count = ports_count(g), at = place_of(g, pipeline);
    if (at == count) at = place_find(g, pipeline);
    char address[600];
    snprintf(address, sizeof address, "%s", actor_config(g->me)->beam);
    if (at < count) write_address(g, at, address, sizeof address);
    actor_answer(g->me, in->ticket, &(msg_beam_port_t){.endpoint = address, .own = at < count});
    return 0;
}

int beam_ports_on_release(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    beam_gateway_t *g = state;
    const char *pipeline = ((const msg_beam_port_release_t *)in->message)->pipeline;
    size_t at = place_of(g, pipeline);
    if (at < ports_count(g)) {
        beam_port_unlisten(g->kept->port, (uint32_t)at + 1, "the pipeline was forgotten");
        remember(g, pipeline, 0);
        free(g->pipelines[at]);
        g->pipelines[at] = NULL;
    }
    actor_answer(g->me, in->ticket, NULL);
    return 0;
}

/* ---- after a start ---- */

/* Not the ports of pipelines that were forgotten while Beam was not served. */
static int on_pipelines(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    beam_gateway_t *g = state;
    if (!answer->message) return fault_set(why, "cannot read the pipelines: %s", answer->refusal->message);
    const msg_pipelines_t *m = answer->message;
    for (size_t i = 0; i < ports_count(g); i++) {
        bool known = !g->pipelines[i];
        for (size_t k = 0; k < m->pipelines.count && !known; k++) known = strcmp(m->pipelines.items[k].name, g->pipelines[i]) == 0;
        if (known) continue;
        beam_port_unlisten(g->kept->port, (uint32_t)i + 1, "the pipeline was forgotten");
        remember(g, g->pipelines[i], 0);
        free(g->pipelines[i]);
        g->pipelines[i] = NULL;
    }
    actor_loaded(g->me);
    beam_gateway_begin(g);
    return 0;
}

/* A port that cannot be had any more, or is none of ours now, is given up; its pipeline gets another when it is asked for. */
static int on_documents(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    beam_gateway_t *g = state;
    if (!answer->message) return fault_set(why, "cannot read the ports of pipelines: %s", answer->refusal->message);
    const msg_documents_t *m = answer->message;
    for (size_t i = 0; i < m->documents.count; i++) {
        const msg_document_t *document = &m->documents.items[i];
        int64_t port;
        if (!wire_int(document->value, &port)) return fault_set(why, "the catalog has no port for `%s`", document->key);
        bool ours = port >= actor_config(g->me)->beam_first && port <= actor_config(g->me)->beam_last;
        size_t at = ours ? (size_t)(port - actor_config(g->me)->beam_first) : 0;
        if (!ours || g->pipelines[at] || !occupy(g, at, document->key)) remember(g, document->key, 0);
    }
    actor_ask(g->me, "pipeline_tracker", MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0}, on_pipelines, 0);
    return 0;
}

void beam_ports_load(beam_gateway_t *g) {
    actor_loading(g->me);
    actor_ask(g->me, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = kind}, on_documents, 0);
}
