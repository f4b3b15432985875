/* The engine as the commands see it.
 * A DEALER socket with an id in each request, rather than REQ: an answer that comes late is known for what it is and left, and a request
 * that was lost in a restart does not block the next one. */
#include "client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../../messages/wire.h"
#include "units.h"
#include "value.h"

void client_init(client_t *client) {
    *client = (client_t){.engine = "tcp://127.0.0.1:5570", .timeout_ms = 10000, .reach_ms = 2000, .interrupts = -1};
}

void client_fini(client_t *client) {
    channel_close(&client->commands);
    if (client->context) {
        zmq_ctx_term(client->context);
    }
    if (client->interrupts != -1) {
        close(client->interrupts);
    }
}

void reply_fini(reply_t *reply) {
    if (reply->held) {
        letter_fini(&reply->letter);
        msgpack_zone_destroy(&reply->zone);
    }
    *reply = (reply_t){0};
}

status_t client_fail(client_t *client, status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    client->no =
        (refusal_t){.code = status == STATUS_UNREACHABLE ? ERROR_UNAVAILABLE : ERROR_BAD_REQUEST, .retry = status == STATUS_UNREACHABLE};
    vsnprintf(client->no.message, sizeof client->no.message, format, arguments);
    va_end(arguments);
    return status;
}

bool client_refused(const client_t *client, error_code_t code) {
    return client->no.message[0] && client->no.code == code;
}

/* ---- connections ---- */

static status_t channel_opened(client_t *client, const char *endpoint, unsigned scope, channel_t *channel) {
    fault_t why;
    if (!client->context) {
        if (credentials_read(client->key, client->server_key, &client->credentials, &why) == -1) {
            return client_fail(client, STATUS_USAGE, "%s", why.text);
        }
        client->context = zmq_ctx_new();
        must(client->context);
    }
    if (channel_open_with(channel, client->context, endpoint, scope, client->interrupts, &client->credentials, &why) == -1) {
        return client_fail(client, STATUS_USAGE, "%s", why.text);
    }
    received_t reached = channel_reach(channel, channel_clock() + client->reach_ms);
    if (reached == RECEIVED) {
        return STATUS_OK;
    }
    channel_close(channel);
    return reached == RECEIVED_INTERRUPT ? STATUS_INTERRUPTED : STATUS_UNREACHABLE;
}

static status_t commands_open(client_t *client) {
    if (client->commands.socket) {
        return STATUS_OK;
    }
    status_t status = channel_opened(client, client->engine, SCOPE_COMMANDS, &client->commands);
    if (status == STATUS_UNREACHABLE) {
        client_fail(client, status,
                    client->credentials.given
                        ? "no engine answers at %s — or it does not know this key, or has another than --server-key says"
                        : "no engine answers at %s — start one with `reprised`; one with keys answers only who has a --key",
                    client->engine);
    }
    return status;
}

status_t client_open(client_t *client, const char *endpoint, unsigned scope, channel_t *channel) {
    char reachable[512];
    channel_reachable(endpoint, client->engine, reachable, sizeof reachable);
    status_t status = channel_opened(client, reachable, scope, channel);
    if (status == STATUS_UNREACHABLE) {
        client_fail(client, status, "the engine at %s says that it serves %s, but nothing answers there", client->engine, reachable);
    }
    return status;
}

status_t client_open_where(client_t *client, where_t where, channel_t *channel) {
    reply_t reply = {0};
    msg_engine_info_t ask = {0};
    status_t status = client_ask(client, MSG_ENGINE_INFO, &ask, &reply);
    if (status == STATUS_OK) {
        const msg_engine_t *engine = reply.message;
        bool ingest = where == WHERE_INGEST;
        const char *endpoint = ingest ? engine->endpoints.ingest : engine->endpoints.test_stream;
        status = client_open(client, endpoint, ingest ? SCOPE_INGEST : SCOPE_TEST_STREAM, channel);
    }
    reply_fini(&reply);
    return status;
}

status_t client_library(client_t *client, reprise_t **ret_engine) {
    reply_t reply = {0};
    reprise_error_t error;
    /* Nobody there, or nobody that answers, is told as with any other command. */
    status_t status = client_ask(client, MSG_ENGINE_INFO, &(msg_engine_info_t){0}, &reply);
    reply_fini(&reply);
    if (status != STATUS_OK) {
        return status;
    }
    *ret_engine = reprise_connect_with(client->engine, client->key, client->server_key, &error);
    if (!*ret_engine) {
        return client_problem(client, &error);
    }
    reprise_interrupt_by(*ret_engine, client->interrupts);
    return STATUS_OK;
}

status_t client_problem(client_t *client, const reprise_error_t *error) {
    static const struct {
        const char *code;
        status_t status;
    } own[] = {{"unreachable", STATUS_UNREACHABLE}, {"timeout", STATUS_UNREACHABLE}, {"usage", STATUS_USAGE}};
    if (strcmp(error->code, "interrupted") == 0) {
        return STATUS_INTERRUPTED;
    }
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcmp(error->code, own[i].code) == 0) {
            return client_fail(client, own[i].status, "%s", error->message);
        }
    }
    refuse(&client->no, error_find(error->code), error->field, "%s", error->message);
    client->no.retry = error->retry;
    return STATUS_FAILED;
}

/* ---- questions ---- */

static status_t reply_decode(client_t *client, message_id_t id, reply_t *reply) {
    reply->raw = reply->letter.head;
    bytes_t ok;
    if (wire_map_get(reply->raw, "ok", &ok) && ok.size == 1 && ok.data[0] == 0xc2) {
        if (refusal_decode(reply->raw, &client->no) == -1) {
            return client_fail(client, STATUS_FAILED, "`%s` was refused, in words that this client does not understand",
                               message_class(id)->wire);
        }
        return STATUS_FAILED;
    }
    message_id_t answer = message_class(id)->answer;
    void *message = msgpack_zone_malloc(&reply->zone, message_class(answer)->record.size);
    refusal_t no;
    must(message);
    if (message_decode(answer, reply->raw, &reply->zone, message, &no) == -1) {
        return client_fail(client, STATUS_FAILED, "the engine's answer to `%s` is of another version: %s", message_class(id)->wire,
                           no.message);
    }
    reply->message = message;
    return STATUS_OK;
}

static status_t answer_await(client_t *client, channel_t *channel, message_id_t id, int64_t timeout_ms, reply_t *reply) {
    uint64_t number = client->asked;
    int64_t deadline = channel_clock() + timeout_ms;
    for (;;) {
        received_t received = channel_receive(channel, deadline, &reply->letter);
        if (received == RECEIVED && echo_is(reply->letter.head, number)) {
            return reply_decode(client, id, reply);
        }
        if (received == RECEIVED_INTERRUPT) {
            return STATUS_INTERRUPTED;
        }
        if (received == RECEIVED_NOTHING) {
            return client_fail(client, STATUS_UNREACHABLE, "the engine at %s did not answer `%s` within %s", channel->endpoint,
                               message_class(id)->wire, units_duration_ms(timeout_ms).text);
        }
    }
}

status_t client_ask_on(client_t *client, channel_t *channel, message_id_t id, const void *message, int64_t timeout_ms, reply_t *reply) {
    reply_fini(reply);
    letter_init(&reply->letter);
    must(msgpack_zone_init(&reply->zone, MSGPACK_ZONE_CHUNK_SIZE));
    reply->held = true;
    client->no = (refusal_t){0};
    echo_t echo = echo_of(++client->asked);
    if (channel_reach(channel, channel_clock() + client->reach_ms) == RECEIVED_INTERRUPT) {
        return STATUS_INTERRUPTED;
    }
    if (!channel_send(channel, id, message, (bytes_t){echo.data, sizeof echo.data}, NULL)) {
        return client_fail(client, STATUS_UNREACHABLE, "the connection to the engine at %s is lost", channel->endpoint);
    }
    return answer_await(client, channel, id, timeout_ms, reply);
}

status_t client_ask_within(client_t *client, message_id_t id, const void *message, int64_t timeout_ms, reply_t *reply) {
    status_t status = commands_open(client);
    if (status != STATUS_OK) {
        return status;
    }
    return client_ask_on(client, &client->commands, id, message, timeout_ms, reply);
}

status_t client_ask(client_t *client, message_id_t id, const void *message, reply_t *reply) {
    return client_ask_within(client, id, message, client->timeout_ms, reply);
}

status_t client_ask_again(client_t *client, message_id_t id, const void *message, int64_t patience_ms, reply_t *reply) {
    enum { BREATH_MS = 50 };
    int64_t deadline = channel_clock() + client->timeout_ms;
    for (;;) {
        status_t status = commands_open(client);
        if (status == STATUS_OK) {
            status = client_ask_on(client, &client->commands, id, message, patience_ms, reply);
        }
        bool again = status == STATUS_UNREACHABLE || (status == STATUS_FAILED && client->no.code == ERROR_UNAVAILABLE);
        if (!again || channel_clock() >= deadline) {
            return status;
        }
        if (client->commands.socket &&
            channel_receive(&client->commands, channel_clock() + BREATH_MS, &reply->letter) == RECEIVED_INTERRUPT) {
            return STATUS_INTERRUPTED;
        }
    }
}

/* ---- interrupts ---- */

void client_catch_interrupts(client_t *client) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    must(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
    client->interrupts = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    must(client->interrupts != -1);
    client->commands.interrupts = client->interrupts;
}

void client_interrupt_taken(client_t *client) {
    struct signalfd_siginfo info;
    while (read(client->interrupts, &info, sizeof info) == (ssize_t)sizeof info) {
    }
}

/* ---- answers as JSON ---- */

void client_print_json(client_t *client, json_t *json) {
    client->printed = true;
    json_dumpf(json, stdout, isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

void client_print(client_t *client, const reply_t *reply) {
    json_t *json = value_to_json(reply->raw);
    json_object_del(json, "id");
    client_print_json(client, json);
}

json_t *reply_json(const reply_t *reply) {
    json_t *json = value_to_json(reply->raw);
    json_object_del(json, "id");
    json_object_del(json, "ok");
    return json;
}

/* ---- names ---- */

status_t client_find_recording(client_t *client, const char *name, reply_t *reply, bool *ret_by_pipeline) {
    msg_recording_describe_t ask = {.has_recording = true, .recording = name};
    status_t status = client_ask(client, MSG_RECORDING_DESCRIBE, &ask, reply);
    *ret_by_pipeline = false;
    if (status != STATUS_FAILED || !client_refused(client, ERROR_NOT_FOUND)) {
        return status;
    }
    ask = (msg_recording_describe_t){.has_pipeline = true, .pipeline = name};
    status = client_ask(client, MSG_RECORDING_DESCRIBE, &ask, reply);
    *ret_by_pipeline = true;
    if (status == STATUS_FAILED && client_refused(client, ERROR_NOT_FOUND)) {
        client_fail(client, status, "`%s` is neither a recording nor a pipeline that has one", name);
        client->no.code = ERROR_NOT_FOUND;
    }
    return status;
}

status_t client_know_pipeline(client_t *client, const char *name, const char *otherwise) {
    reply_t reply = {0};
    msg_pipeline_describe_t ask = {.has_pipeline = true, .pipeline = name};
    status_t status = client_ask(client, MSG_PIPELINE_DESCRIBE, &ask, &reply);
    if (status == STATUS_FAILED && client_refused(client, ERROR_NOT_FOUND)) {
        client_fail(client, status, "`%s` is %s", name, otherwise);
        client->no.code = ERROR_NOT_FOUND;
    }
    reply_fini(&reply);
    return status;
}
