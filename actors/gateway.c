/* The gateway is where clients ask. It passes each request to the actor that the message list names as its owner, and the answer goes back
 * without the gateway's state being needed, so that a failure of it loses no request. A definition that comes with a request of another actor
 * than the tracker is stored first.
 *
 * `push` and `recording.fetch` it serves itself, as a client of the ingest and the test-stream endpoint: there is no second way in or out. */
#include "gateway.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../messages/docs.h"
#include "gateway_state.h"

/* ---- life ---- */

struct routed {
    uint64_t serial;
    ticket_t ticket;
    uint64_t request;
    message_id_t id;
    void *message; /* a copy, with the name alone in place of the definition */
    bool has_body;
    frame_t body;
    routed_t *next;
};

static void free_routed(routed_t *routed) {
    record_free(&message_class(routed->id)->record, &routed->message);
    if (routed->has_body) frame_fini(&routed->body);
    free(routed);
}

static void gateway_destroy(void **state) {
    gateway_t *g = *state;
    if (!g) return;
    while (g->routed) {
        routed_t *next = g->routed->next;
        free_routed(g->routed);
        g->routed = next;
    }
    gateway_push_fini(g);
    gateway_fetch_fini(g);
    free(g);
    *state = NULL;
}

/* Nobody waits for the quotas: a state that is created anew works with those that the one before it knew. */
static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context, (void)why;
    gateway_t *g = state;
    if (answer->message) actor_bound(g->me, answer->message);
    return 0;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    msg_options_t options = options_changed(in->message);
    actor_bound(g->me, &options);
    return 0;
}

static void *gateway_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    gateway_t *g = calloc(1, sizeof *g);
    must(g);
    g->me = me;
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_options, 0);
    return g;
}

/* ---- routing ---- */

static const msg_pipeline_t **definition_in(message_id_t id, void *message) {
    for (const field_t *field = message_class(id)->record.fields; field->name; field++)
        if (field->kind == TYPE_NAMED) {
            /* A NAMED member is the name, and after it the definition. */
            const char **name = (const char **)(void *)((char *)message + field->offset);
            return (const msg_pipeline_t **)(void *)(name + 1);
        }
    return NULL;
}

static int on_defined(void *state, const answer_t *answer, uint64_t serial, fault_t *why) {
    gateway_t *g = state;
    routed_t **at = &g->routed;
    while (*at && (*at)->serial != serial) at = &(*at)->next;
    routed_t *routed = *at;
    if (!routed) return 0;
    *at = routed->next;
    handler_fn *own = gateway_class.takes[routed->id];
    int result = 0;
    if (answer->refusal) {
        actor_refuse_as(g->me, routed->ticket, answer->refusal);
    } else if (own) {
        envelope_t in = {.id = routed->id,
                         .message = routed->message,
                         .body = routed->has_body ? &routed->body : NULL,
                         .ticket = routed->ticket,
                         .request = routed->request};
        result = own(g, &in, why);
    } else {
        actor_forward_as(g->me, routed->ticket, message_class(routed->id)->owner, routed->id, routed->message);
    }
    free_routed(routed);
    return result;
}

void gateway_define(gateway_t *g, const envelope_t *in) {
    const msg_pipeline_t **definition = definition_in(in->id, (void *)(uintptr_t)in->message);
    routed_t *routed = calloc(1, sizeof *routed);
    must(routed && definition && *definition);
    *routed = (routed_t){.serial = ++g->last_routed,
                         .ticket = in->ticket,
                         .request = in->request,
                         .id = in->id,
                         .has_body = in->body != NULL,
                         .next = g->routed};
    if (in->body) {
        frame_init(&routed->body);
        frame_share(&routed->body, in->body);
    }
    g->routed = routed;
    msg_pipeline_define_t define = {.pipeline = **definition};
    *definition = NULL;
    routed->message = record_copy(&message_class(in->id)->record, in->message);
    actor_ask(g->me, "pipeline_tracker", MSG_PIPELINE_DEFINE, &define, on_defined, routed->serial);
}

static int on_request(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const message_class_t *class = message_class(in->id);
    if (message_is_chaos(in->id) && !actor_config(g->me)->chaos) {
        actor_refuse(g->me, in->ticket, ERROR_UNKNOWN_OP, "op", "no operation `%s`: the engine runs without `--chaos`", class->wire);
        return 0;
    }
    const msg_pipeline_t **definition = definition_in(in->id, (void *)(uintptr_t)in->message);
    if (!definition || !*definition || strcmp(class->owner, "pipeline_tracker") == 0) {
        actor_forward(g->me, in, class->owner);
        return 0;
    }
    gateway_define(g, in);
    return 0;
}

/* ---- what it answers itself ---- */

static int on_engine_info(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    const config_t *config = actor_config(g->me);
    msg_engine_t answer = {.version = REPRISE_VERSION,
                           .protocol = PROTOCOL_VERSION,
                           .pid = getpid(),
                           .uptime_ms = (actor_now(g->me) - config->started) / 1000};
    answer.endpoints = (msg_endpoints_t){.commands = config->endpoints[ENDPOINT_COMMANDS],
                                         .ingest = config->endpoints[ENDPOINT_INGEST],
                                         .test_stream = config->endpoints[ENDPOINT_TEST_STREAM],
                                         .notifications = config->endpoints[ENDPOINT_NOTIFICATIONS]};
    answer.endpoints.has_beam = config->beam[0] != '\0';
    answer.endpoints.beam = config->beam;
    actor_answer(g->me, in->ticket, &answer);
    return 0;
}

static int on_engine_protocol(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    msgpack_sbuffer ops, errors;
    msgpack_sbuffer_init(&ops);
    msgpack_sbuffer_init(&errors);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &ops, msgpack_sbuffer_write);
    docs_protocol_ops(&packer, actor_config(g->me)->chaos);
    msgpack_packer_init(&packer, &errors, msgpack_sbuffer_write);
    docs_protocol_errors(&packer);
    actor_answer(g->me, in->ticket,
                 &(msg_protocol_t){.protocol = PROTOCOL_VERSION,
                                   .ops = {(const uint8_t *)ops.data, ops.size},
                                   .errors = {(const uint8_t *)errors.data, errors.size}});
    msgpack_sbuffer_destroy(&ops);
    msgpack_sbuffer_destroy(&errors);
    return 0;
}

/* From the two endpoints whose client it is. */
static int on_ping(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    gateway_t *g = state;
    actor_door_tell(g->me, in->peer->door, MSG_PONG, &(msg_pong_t){0}, NULL);
    return 0;
}

const actor_class_t gateway_class = {
    .name = "gateway",
    .doc = "Takes the clients' requests, checks them, passes them on and answers.",
    .create = gateway_create,
    .destroy = gateway_destroy,
    .takes =
        {
            [MSG_ENGINE_INFO] = on_engine_info,
            [MSG_ENGINE_PROTOCOL] = on_engine_protocol,
            [MSG_PUSH] = gateway_on_push,
            [MSG_RECORDING_FETCH] = gateway_on_fetch,
            [MSG_PING] = on_ping,
            [MSG_SOURCE_ACK] = gateway_on_ack,
            [MSG_SOURCE_NACK] = gateway_on_nack,
            [MSG_SOURCE_STOP] = gateway_on_source_stop,
            [MSG_RECORDER_RECOVERED] = gateway_on_recovered,
            [MSG_ELEMENTS] = gateway_on_elements,
            [MSG_END] = gateway_on_end,
            [MSG_WATERMARK] = gateway_on_other_event,
            [MSG_PROCESSING_TIME] = gateway_on_other_event,
            [MSG_GAP] = gateway_on_other_event,
            [MSG_OPTIONS_CHANGED] = on_options_changed,
        },
    .passes = on_request,
    .sends = {MSG_OPTIONS_GET, MSG_PIPELINE_DEFINE, MSG_PONG, MSG_SOURCE_ATTACH, MSG_SOURCE_BATCH, MSG_SOURCE_DONE, MSG_REPLAY_OPEN,
              MSG_REPLAY_CLOSE, MSG_REPLAY_CREDIT, MSG_REPLAY_RESUME, MSG_RECORDING_JOBS_ASK},
    .doors =
        {
            [GATEWAY_COMMANDS] = {DOOR_ROUTER, ENDPOINT_COMMANDS, SCOPE_COMMANDS},
            [GATEWAY_INGEST] = {DOOR_DEALER, ENDPOINT_INGEST, SCOPE_INGEST},
            [GATEWAY_TEST_STREAM] = {DOOR_DEALER, ENDPOINT_TEST_STREAM, SCOPE_TEST_STREAM},
        },
};
