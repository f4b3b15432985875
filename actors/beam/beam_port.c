/* The owner's side of the port: it makes the servers, which bind at once and say whether they could, and hands them to the thread. From then on it
 * only puts orders into the chute, and wakes the thread by an empty batch on a call that leads nowhere: the core has no descriptor for that. */
#include "beam_port.h"

#include <errno.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../messages/handover.h"
#include "beam_port_state.h"

enum {
    STREAMS_MAX = 1000,        /* calls of one connection */
    REQUEST_MAX = 1024 * 1024, /* bytes of a request */
    WRITE_BUFFER = 256 * 1024, /* which the core writes at once */
    HANDSHAKE_MS = 3000,
    PING_LEAST_MS = 5000,  /* who pings more often is sent away */
    PEM_MAX = 1024 * 1024, /* bytes of a file with certificates */
    PILE_MAX = 32,         /* orders that are handed over without a flush */
    CLOSE_S = 2,           /* how long closing may take; then what is left goes with the process */
};

/* ---- errors ---- */

/* The core says that it could not bind, and nothing more. */
static int bind_errno(const char *address) {
    char host[512];
    snprintf(host, sizeof host, "%s", address);
    char *colon = strrchr(host, ':');
    if (!colon) return 0;
    *colon = '\0';
    bool bracketed = host[0] == '[' && colon > host && colon[-1] == ']';
    if (bracketed) colon[-1] = '\0';
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    if (getaddrinfo(bracketed ? host + 1 : host, colon + 1, &hints, &found) != 0) return EADDRNOTAVAIL;
    int probe = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, error = 0;
    setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(probe, found->ai_addr, found->ai_addrlen) < 0 || listen(probe, 1) < 0) error = errno;
    close(probe);
    freeaddrinfo(found);
    return error;
}

static int cannot_listen(const beam_port_t *port, const char *address, fault_t *why) {
    int error = bind_errno(address);
    if (!error && port->tls[0])
        return fault_set(why, "cannot serve TLS at the beam endpoint %s: gRPC does not take %s", address, port->tls);
    return fault_set(why, "cannot bind the beam endpoint %s: %s", address, error ? strerror(error) : "gRPC does not take it");
}

/* ---- orders ---- */

void beam_port_flush(beam_port_t *port) {
    if (chute_add(&port->orders, &port->pile)) must(grpc_call_start_batch(port->waker, NULL, 0, &port->wake, NULL) == GRPC_CALL_OK);
}

static void give(beam_port_t *port, order_t *order) {
    pile_add(&port->pile, order);
    if (port->pile.count >= PILE_MAX) beam_port_flush(port);
}

void beam_port_send(beam_port_t *port, uint64_t call, beam_message_t *message, int64_t cost, bool spare) {
    order_t *order = order_make(ORDER_SEND, NULL);
    order->call = call;
    order->message = *message;
    order->cost = cost;
    order->spare = spare;
    *message = (beam_message_t){0};
    give(port, order);
}

void beam_port_end(beam_port_t *port, uint64_t call, call_status_t status, const char *text) {
    order_t *order = order_make(ORDER_END, text);
    order->call = call;
    order->status = status;
    give(port, order);
}

void beam_port_reset(beam_port_t *port, const char *text) {
    give(port, order_make(ORDER_RESET, text));
    beam_port_flush(port);
}

/* ---- lines ---- */

static bool is_listening(const beam_port_t *port, uint32_t number) {
    for (size_t i = 0; i < port->numbers_count; i++)
        if (port->numbers[i] == number) return true;
    return false;
}

static grpc_arg argument(const char *key, int64_t value) {
    grpc_arg made = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};
    made.value.integer = value < INT_MAX ? (int)value : INT_MAX;
    return made;
}

static grpc_server *make_server(const beam_port_t *port) {
    int64_t silence = port->heartbeat_ms > 0 ? port->heartbeat_ms / 2 : INT_MAX;
    grpc_arg list[] = {
        argument(GRPC_ARG_ALLOW_REUSEPORT, 0), /* or another engine would get a part of the callers */
        argument(GRPC_ARG_MAX_CONCURRENT_STREAMS, STREAMS_MAX),
        argument(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, REQUEST_MAX),
        argument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, WRITE_BUFFER),
        argument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_MS),
        argument(GRPC_ARG_KEEPALIVE_TIME_MS, silence),
        argument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, silence),
        argument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        argument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0), /* as many as keeping alive needs */
        argument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_LEAST_MS),
    };
    grpc_channel_args arguments = {sizeof list / sizeof list[0], list};
    grpc_server *server = grpc_server_create(&arguments, NULL);
    must(server);
    grpc_server_register_completion_queue(server, port->queue, NULL);
    return server;
}

int beam_port_listen(beam_port_t *port, uint32_t number, const char *address, fault_t *why) {
    if (is_listening(port, number)) return 0;
    grpc_server *server = make_server(port);
    if (grpc_server_add_http2_port(server, address, port->credentials) == 0) {
        grpc_server_destroy(server);
        return cannot_listen(port, address, why);
    }
    grpc_server_start(server);
    port->numbers = realloc(port->numbers, (port->numbers_count + 1) * sizeof *port->numbers);
    line_t *line = calloc(1, sizeof *line);
    must(port->numbers && line);
    port->numbers[port->numbers_count++] = number;
    *line = (line_t){.port = port, .number = number, .server = server, .shut = {OP_SHUT, line}};
    LIST_INIT(&line->calls);
    order_t *order = order_make(ORDER_LINE, NULL);
    order->added = line;
    give(port, order);
    beam_port_flush(port);
    return 0;
}

void beam_port_unlisten(beam_port_t *port, uint32_t number, const char *text) {
    for (size_t i = 0; i < port->numbers_count; i++) {
        if (port->numbers[i] != number) continue;
        port->numbers[i] = port->numbers[--port->numbers_count];
        order_t *order = order_make(ORDER_UNLISTEN, text);
        order->line = number;
        give(port, order);
        beam_port_flush(port);
        return;
    }
}

/* ---- news ---- */

int beam_port_descriptor(const beam_port_t *port) {
    return port->descriptor;
}

bool beam_port_take(beam_port_t *port, port_news_t *ret) {
    if (!port->news) {
        uint64_t count;
        ssize_t got = read(port->descriptor, &count, sizeof count); /* before: what comes afterwards makes it readable again */
        (void)got;
        port->news = chute_take(&port->reports);
    }
    order_t *order = port->news;
    if (!order) return false;
    port->news = order->next;
    *ret = order->news;
    order->news = (port_news_t){0};
    order_free(order);
    return true;
}

/* ---- life ---- */

/* What the core logs is nobody's: what matters comes back as an error. */
static void log_nothing(gpr_log_func_args *args) {
    (void)args;
}

/* The file's text, for the caller to free; NULL and `why` where it cannot be read. */
static char *read_text(const char *path, fault_t *why) {
    FILE *file = fopen(path, "re");
    char *text = calloc(1, PEM_MAX);
    must(text);
    size_t size = file ? fread(text, 1, PEM_MAX - 1, file) : 0;
    bool whole = file && !ferror(file) && feof(file);
    if (!whole) fault_errno(why, "cannot read %s", path);
    if (file) fclose(file);
    if (whole && size > 0) return text;
    if (whole) fault_set(why, "cannot read %s: it is empty", path);
    free(text);
    return NULL;
}

static int make_credentials(beam_port_t *port, const config_t *config, fault_t *why) {
    if (!config->beam_cert[0]) {
        port->credentials = grpc_insecure_server_credentials_create();
        return 0;
    }
    bool guarded = config->beam_ca[0] != '\0';
    snprintf(port->tls, sizeof port->tls, "the certificate %.300s with the key %.300s%s%.300s", config->beam_cert, config->beam_key,
             guarded ? " and the signer " : "", config->beam_ca);
    char *cert = read_text(config->beam_cert, why), *key = cert ? read_text(config->beam_key, why) : NULL;
    char *ca = key && guarded ? read_text(config->beam_ca, why) : NULL;
    if (key && (ca || !guarded)) {
        grpc_ssl_pem_key_cert_pair pair = {key, cert};
        port->credentials = grpc_ssl_server_credentials_create_ex(
            ca, &pair, 1, guarded ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            NULL);
        must(port->credentials);
    }
    if (key) explicit_bzero(key, PEM_MAX);
    free(cert);
    free(key);
    free(ca);
    return port->credentials ? 0 : -1;
}

static int start(beam_port_t *port, const config_t *config, fault_t *why) {
    if (make_credentials(port, config, why) < 0) return -1;
    port->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (port->descriptor < 0) return fault_errno(why, "cannot make a descriptor for the beam endpoint");
    port->queue = grpc_completion_queue_create_for_next(NULL);
    port->nowhere = grpc_lame_client_channel_create("nowhere", GRPC_STATUS_UNAVAILABLE, "nobody is there");
    must(port->queue && port->nowhere);
    port->waker = grpc_channel_create_call(port->nowhere, NULL, 0, port->queue, grpc_slice_from_static_string("/wake"), NULL,
                                           gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    must(port->waker);
    int error = pthread_create(&port->thread, NULL, beam_port_run, port);
    return error == 0 ? 0 : fault_set(why, "cannot start the thread of the beam endpoint: %s", strerror(error));
}

static void port_free(beam_port_t *port) {
    if (port->waker) grpc_call_unref(port->waker);
    if (port->nowhere) grpc_channel_destroy(port->nowhere);
    if (port->queue) grpc_completion_queue_destroy(port->queue);
    if (port->credentials) grpc_server_credentials_release(port->credentials);
    if (port->descriptor >= 0) close(port->descriptor);
    order_t *order;
    port_news_t news;
    while (port->news || port->reports.newest) {
        if (beam_port_take(port, &news)) port_news_fini(&news);
    }
    for (order = chute_take(&port->orders); order;) {
        order_t *next = order->next;
        order_free(order);
        order = next;
    }
    free(port->numbers);
    free(port->table);
    free(port);
    grpc_shutdown();
}

beam_port_t *beam_port_open(const config_t *config, fault_t *why) {
    beam_port_t *port = calloc(1, sizeof *port);
    must(port);
    port->heartbeat_ms = config->heartbeat_ms;
    port->descriptor = -1;
    port->wake = (op_t){OP_WAKE, port};
    LIST_INIT(&port->lines);
    gpr_set_log_function(log_nothing);
    grpc_init();
    if (start(port, config, why) == 0) return port;
    if (port->queue) grpc_completion_queue_shutdown(port->queue);
    port_free(port);
    return NULL;
}

/* A library that does not let go is not waited for. */
void beam_port_close(beam_port_t **self, const char *text) {
    beam_port_t *port = *self;
    if (!port) return;
    *self = NULL;
    give(port, order_make(ORDER_STOP, text));
    beam_port_flush(port);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLOSE_S;
    if (pthread_clockjoin_np(port->thread, NULL, CLOCK_MONOTONIC, &until) != 0) return;
    handover_take(port);
    port_free(port);
}
