/* A connection to an engine.
 * Requests carry a number and answers bear it, so that an answer which comes too late is known for what it is. Whether a request that was
 * lost with its connection was done nobody knows, so that is told at once rather than asked again here. */
#include "engine.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/head.h"
#include "../../messages/wire.h"

enum { SOCKETS_MAX = 16384 }; /* each feed and each replay needs three */

const char *reprise_version(void) {
    return REPRISE_VERSION;
}

void reprise_keep_buffers(void) {
#ifdef M_MMAP_THRESHOLD
    enum { MAPPED_BYTES = 4 * 1024 * 1024, KEPT_BYTES = 32 * 1024 * 1024 };
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
#endif
}

/* ---- life ---- */

reprise_t *reprise_connect(const char *engine, reprise_error_t *error) {
    return reprise_connect_with(engine, NULL, NULL, error);
}

reprise_t *reprise_connect_with(const char *engine, const char *key, const char *server_key, reprise_error_t *error) {
    const char *given = engine ? engine : getenv("REPRISE_ENGINE");
    reprise_t *self = calloc(1, sizeof *self);
    fault_t why;
    must(self);
    self->interrupts = -1;
    snprintf(self->endpoint, sizeof self->endpoint, "%s", given && *given ? given : REPRISE_ENGINE);
    letter_init(&self->letter);
    must(msgpack_zone_init(&self->zone, MSGPACK_ZONE_CHUNK_SIZE));
    self->context = zmq_ctx_new();
    must(self->context);
    must(zmq_ctx_set(self->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX) == 0);
    if (credentials_read(key, server_key, &self->credentials, &why) == -1 ||
        channel_open_with(&self->commands, self->context, self->endpoint, SCOPE_COMMANDS, -1, &self->credentials, &why) == -1) {
        problem_set(error, PROBLEM_USAGE, "%s", why.text);
        reprise_disconnect(&self);
        return NULL;
    }
    if (channel_watch(&self->commands, self->context, &why) == -1) {
        problem_set(error, PROBLEM_UNREACHABLE, "%s", why.text);
        reprise_disconnect(&self);
        return NULL;
    }
    return self;
}

void reprise_disconnect(reprise_t **engine) {
    reprise_t *self = *engine;
    if (!self) {
        return;
    }
    must(atomic_load(&self->opened) == 0); /* all feeds and replays are closed */
    channel_close(&self->commands);
    letter_fini(&self->letter);
    msgpack_zone_destroy(&self->zone);
    while (zmq_ctx_term(self->context) == -1) {
        must(errno == EINTR);
    }
    free(self);
    *engine = NULL;
}

void reprise_interrupt_by(reprise_t *engine, int descriptor) {
    engine->interrupts = engine->commands.interrupts = descriptor;
}

/* ---- asking ---- */

int64_t engine_deadline(int64_t timeout_ms) {
    int64_t now = channel_clock();
    return timeout_ms < 0 || timeout_ms > INT64_MAX - now ? INT64_MAX : now + timeout_ms;
}

static int answer_judge(const letter_t *letter, const char *op, reprise_error_t *error) {
    bytes_t ok;
    refusal_t no;
    if (!wire_map_get(letter->head, "ok", &ok) || ok.data[0] != 0xc2) {
        return 0;
    }
    if (refusal_decode(letter->head, &no) == -1) {
        return problem_set(error, error_name(ERROR_INTERNAL), "`%s` was refused, in words that this library does not understand", op);
    }
    return problem_refused(error, &no);
}

int engine_await(channel_t *channel, uint64_t number, const char *op, int64_t deadline, letter_t *letter, letter_fn *other, void *context,
                 reprise_error_t *error) {
    for (;;) {
        switch (channel_receive(channel, deadline, letter)) {
        case RECEIVED:
            if (echo_is(letter->head, number)) {
                return answer_judge(letter, op, error);
            }
            if (other) {
                other(context, letter);
            }
            break;
        case RECEIVED_INTERRUPT: return problem_interrupted(error);
        case RECEIVED_LOST:
            return problem_set(error, PROBLEM_UNREACHABLE, "the connection to the engine at %s was lost before it answered `%s`",
                               channel->endpoint, op);
        case RECEIVED_NOTHING:
            return problem_set(error, PROBLEM_TIMEOUT, "the engine at %s did not answer `%s` in time", channel->endpoint, op);
        }
    }
}

/* Waits for the connection. Losses of it until now are nobody's concern any more. */
static int channel_ready(channel_t *channel, const char *engine, int64_t deadline, reprise_error_t *error) {
    do {
        received_t reached = channel_reach(channel, deadline);
        if (reached == RECEIVED) {
            channel_was_lost(channel);
            return 0;
        }
        if (reached == RECEIVED_INTERRUPT) {
            return problem_interrupted(error);
        }
    } while (channel_clock() < deadline);
    if (strcmp(channel->endpoint, engine) == 0) {
        return problem_set(error, PROBLEM_UNREACHABLE, "no engine answers at %s", engine);
    }
    return problem_set(error, PROBLEM_UNREACHABLE, "the engine at %s says that it serves %s, but nothing answers there", engine,
                       channel->endpoint);
}

int engine_ask(reprise_t *engine, message_id_t id, const void *message, int64_t timeout_ms, const void **ret_answer,
               reprise_error_t *error) {
    const message_class_t *class = message_class(id);
    int64_t deadline = engine_deadline(timeout_ms);
    if (channel_ready(&engine->commands, engine->endpoint, deadline, error) == -1) {
        return -1;
    }
    echo_t echo = echo_of(++engine->asked);
    if (!channel_send(&engine->commands, id, message, (bytes_t){echo.data, sizeof echo.data}, NULL)) {
        return problem_set(error, PROBLEM_UNREACHABLE, "the connection to the engine at %s is lost", engine->endpoint);
    }
    if (engine_await(&engine->commands, engine->asked, class->wire, deadline, &engine->letter, NULL, NULL, error) == -1) {
        return -1;
    }
    msgpack_zone_clear(&engine->zone);
    void *answer = msgpack_zone_malloc(&engine->zone, message_class(class->answer)->record.size);
    refusal_t no;
    must(answer);
    if (message_decode(class->answer, engine->letter.head, &engine->zone, answer, &no) == -1) {
        return problem_set(error, error_name(ERROR_INTERNAL), "the engine's answer to `%s` is of another version: %s", class->wire,
                           no.message);
    }
    *ret_answer = answer;
    return 0;
}

/* The request as it was given, but with an `id` before its first entry. */
static int request_send(reprise_t *engine, bytes_t request, char ret_op[64], reprise_error_t *error) {
    refusal_t no;
    bytes_t value;
    const char *op;
    size_t size;
    if (wire_walk(request, &no) == -1) {
        return problem_set(error, PROBLEM_USAGE, "the request is no msgpack: %s", no.message);
    }
    head_t map = head_read(request.data, request.size);
    if (map.kind != HEAD_MAP || !wire_map_get(request, "op", &value) || !wire_text(value, &op, &size)) {
        return problem_set(error, PROBLEM_USAGE, "the request must be a map with the text `op`");
    }
    if (wire_map_get(request, "id", &value)) {
        return problem_set(error, PROBLEM_USAGE, "the request must not have an `id`: the library gives it one");
    }
    snprintf(ret_op, 64, "%.*s", (int)(size < 64 ? size : 63), op);
    msgpack_sbuffer *out = &engine->commands.out;
    msgpack_packer packer;
    msgpack_sbuffer_clear(out);
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, map.length + 1);
    msgpack_pack_str_with_body(&packer, "id", 2);
    msgpack_pack_uint64(&packer, ++engine->asked);
    msgpack_sbuffer_write(out, (const char *)request.data + map.size, request.size - map.size);
    if (zmq_send(engine->commands.socket, out->data, out->size, ZMQ_DONTWAIT) == -1) {
        return problem_set(error, PROBLEM_UNREACHABLE, "the connection to the engine at %s is lost", engine->endpoint);
    }
    return 0;
}

int reprise_ask(reprise_t *engine, const void *request, size_t size, int64_t timeout_ms, const void **ret_answer, size_t *ret_size,
                reprise_error_t *error) {
    int64_t deadline = engine_deadline(timeout_ms);
    char op[64];
    if (channel_ready(&engine->commands, engine->endpoint, deadline, error) == -1 ||
        request_send(engine, (bytes_t){request, size}, op, error) == -1 ||
        engine_await(&engine->commands, engine->asked, op, deadline, &engine->letter, NULL, NULL, error) == -1) {
        return -1;
    }
    *ret_answer = engine->letter.head.data;
    *ret_size = engine->letter.head.size;
    return 0;
}

int engine_open(reprise_t *engine, unsigned scope, int64_t timeout_ms, channel_t *channel, reprise_error_t *error) {
    int64_t deadline = engine_deadline(timeout_ms);
    const void *answer;
    char endpoint[512];
    fault_t why;
    if (engine_ask(engine, MSG_ENGINE_INFO, &(msg_engine_info_t){0}, timeout_ms, &answer, error) == -1) {
        return -1;
    }
    const msg_endpoints_t *endpoints = &((const msg_engine_t *)answer)->endpoints;
    channel_reachable(scope == SCOPE_INGEST ? endpoints->ingest : endpoints->test_stream, engine->endpoint, endpoint, sizeof endpoint);
    if (channel_open_with(channel, engine->context, endpoint, scope, engine->interrupts, &engine->credentials, &why) == -1) {
        return problem_set(error, PROBLEM_USAGE, "%s", why.text);
    }
    if (channel_watch(channel, engine->context, &why) == -1) {
        channel_close(channel);
        return problem_set(error, PROBLEM_UNREACHABLE, "%s", why.text);
    }
    atomic_fetch_add(&engine->opened, 1U);
    if (channel_ready(channel, engine->endpoint, deadline, error) == -1) {
        engine_close(engine, channel);
        return -1;
    }
    return 0;
}

void engine_close(reprise_t *engine, channel_t *channel) {
    if (channel->socket) {
        channel_close(channel);
        atomic_fetch_sub(&engine->opened, 1U);
    }
}
