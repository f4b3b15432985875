/* Operations on a pipeline's test stream. A definition that comes with one becomes the pipeline's stored definition first; a name is asked
 * about before its service is started, so that a mistyped one is an error and not a stream of nothing. */
#include "service.h"

#include <stdlib.h>
#include <string.h>

/* An operation that waits for the pipeline tracker. */
struct waiting {
    LIST_ENTRY(waiting) link;
    ticket_t ticket;
    message_id_t id;
    char *pipeline;
};

static void waiting_free(waiting_t *waiting) {
    LIST_REMOVE(waiting, link);
    free(waiting->pipeline);
    free(waiting);
}

void services_forget(server_t *server) {
    waiting_t *waiting;
    while ((waiting = LIST_FIRST(&server->waiting)) != NULL) waiting_free(waiting);
}

static void service_describe(server_t *server, ticket_t ticket, const char *pipeline) {
    const service_t *service = server_service(server, pipeline);
    msg_test_stream_t answer = {.running = service != NULL};
    if (service) {
        answer.has_endpoint = true;
        answer.endpoint = actor_config(server->me)->endpoints[ENDPOINT_TEST_STREAM];
        const player_t *player;
        LIST_FOREACH(player, &service->players, of_service) answer.replays++;
    }
    actor_answer(server->me, ticket, &answer);
}

static void service_do(server_t *server, message_id_t id, ticket_t ticket, const char *pipeline) {
    service_t *service = server_service(server, pipeline);
    if (id == MSG_TEST_STREAM_STOP) {
        msg_test_stream_stopped_t answer = {.stopped = service != NULL};
        if (service) server_service_end(server, service, "stopped");
        server_play(server);
        actor_answer(server->me, ticket, &answer);
        return;
    }
    if (id == MSG_TEST_STREAM_START) server_service_get(server, pipeline);
    service_describe(server, ticket, pipeline);
}

static int on_known(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)why;
    server_t *server = state;
    waiting_t *waiting = (waiting_t *)(uintptr_t)context;
    if (answer->refusal)
        actor_refuse_as(server->me, waiting->ticket, answer->refusal);
    else
        service_do(server, waiting->id, waiting->ticket, waiting->pipeline);
    waiting_free(waiting);
    return 0;
}

/* The three messages have the same fields. */
_Static_assert(offsetof(msg_test_stream_start_t, pipeline_definition) == offsetof(msg_test_stream_stop_t, pipeline_definition) &&
                   offsetof(msg_test_stream_start_t, pipeline_definition) == offsetof(msg_test_stream_status_t, pipeline_definition),
               "one struct reads all three");

void service_take(server_t *server, const envelope_t *in) {
    const msg_test_stream_start_t *ask = in->message;
    if (in->id != MSG_TEST_STREAM_START && !ask->pipeline_definition) {
        service_do(server, in->id, in->ticket, ask->pipeline);
        return;
    }
    waiting_t *waiting = calloc(1, sizeof *waiting);
    must(waiting);
    waiting->ticket = in->ticket;
    waiting->id = in->id;
    waiting->pipeline = strdup(ask->pipeline);
    must(waiting->pipeline);
    LIST_INSERT_HEAD(&server->waiting, waiting, link);
    uint64_t context = (uint64_t)(uintptr_t)waiting;
    if (ask->pipeline_definition) {
        msg_pipeline_define_t define = {.pipeline = *ask->pipeline_definition};
        actor_ask(server->me, "pipeline_tracker", MSG_PIPELINE_DEFINE, &define, on_known, context);
    } else {
        msg_pipeline_tags_ask_t tags = {.pipeline = ask->pipeline};
        actor_ask(server->me, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &tags, on_known, context);
    }
}
