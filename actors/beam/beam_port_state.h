/* What the port's two files share: beam_port.c is the owner's side, beam_call.c the thread's. Each member belongs to one of the two. */
#ifndef REPRISE_BEAM_PORT_STATE_H
#define REPRISE_BEAM_PORT_STATE_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <sys/queue.h>

#include "beam_order.h"

typedef enum op_kind { OP_WAKE, OP_REQUEST, OP_CLOSED, OP_RECEIVED, OP_SENT, OP_ENDED, OP_SHUT, OP_COUNT } op_kind_t;

/* What the core gives back when a batch is done: whose, and which. */
typedef struct op {
    op_kind_t kind;
    void *owner;
} op_t;

typedef struct line line_t;
typedef struct call call_t;

struct line {
    LIST_ENTRY(line) link;
    beam_port_t *port;
    uint32_t number;
    grpc_server *server; /* NULL: it has shut */
    bool closing;
    op_t shut;
    LIST_HEAD(, call) calls;
};

struct beam_port {
    /* the owner's */
    order_pile_t pile; /* orders that are not handed over yet */
    order_t *news;     /* taken, and not given yet */
    uint32_t *numbers; /* of the lines */
    size_t numbers_count;
    int64_t heartbeat_ms;
    char tls[1024]; /* of what its credentials are made, for a fault; empty: there is no TLS */
    grpc_server_credentials *credentials;
    pthread_t thread;
    /* the thread's */
    LIST_HEAD(, line) lines;
    call_t **table; /* of calls, by the slot in their id; NULL: none */
    size_t room, count, hint;
    uint64_t serial;
    order_pile_t said; /* news that is not handed over yet */
    bool stopping;
    /* of both */
    order_chute_t orders, reports;
    grpc_completion_queue *queue;
    grpc_channel *nowhere;
    grpc_call *waker;
    op_t wake;
    int descriptor;
};

/* The thread, from beginning to end. */
void *beam_port_run(void *argument);

#endif
