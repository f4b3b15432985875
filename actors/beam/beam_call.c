/* The port's thread. It waits at the completion queue of gRPC's core, and for each call hands its request to the owner, gives the core one message
 * after another, and ends it.
 *
 * A message goes to the core when the one before it is on its way: so a call has as much there as its caller's window takes, and what else there is
 * for it waits here, within the owner's credit. While more waits behind a message the core is told so, and writes several at once. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../messages/handover.h"
#include "beam_port_state.h"

enum {
    SLOT_BITS = 20,
    CALLS_MAX = 20000,      /* one beyond is told so at once */
    TOLD_BYTES = 32 * 1024, /* that a caller takes before the owner is told: less than any has of credit */
};

struct call {
    LIST_ENTRY(call) of_line;
    line_t *line;
    uint64_t id; /* 0: nobody has called yet */
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *received, *sending;
    op_t ops[OP_COUNT];
    unsigned pending;      /* batches that the core has */
    int cancelled;         /* the core's word; what counts is that it is over */
    bool told, let_go;     /* the owner knows of it; has ended it */
    bool gone, ended;      /* nobody takes anything any more; its status is with the core */
    order_t *first, *last; /* messages, and the end */
    int64_t cost, taken;   /* of the message that is being sent; of those that were, and that the owner is not told of yet */
};

/* ---- news ---- */

static port_news_t *say(const call_t *call, news_kind_t kind) {
    order_t *order = order_make(ORDER_NEWS, NULL);
    order->news.kind = kind;
    order->news.call = call->id;
    order->news.line = call->line->number;
    pile_add(&call->line->port->said, order);
    return &order->news;
}

static void report(beam_port_t *port) {
    static const uint64_t one = 1;
    if (!chute_add(&port->reports, &port->said)) return;
    ssize_t wrote = write(port->descriptor, &one, sizeof one); /* full: it is readable all the same */
    (void)wrote;
}

/* ---- the table ---- */

static call_t *call_of(const beam_port_t *port, uint64_t id) {
    size_t slot = id & ((1U << SLOT_BITS) - 1);
    call_t *call = slot < port->room ? port->table[slot] : NULL;
    return call && call->id == id ? call : NULL;
}

static void call_register(beam_port_t *port, call_t *call) {
    size_t slot = port->hint;
    while (slot < port->room && port->table[slot]) slot++;
    if (slot == port->room)
        for (slot = 0; slot < port->room && port->table[slot];) slot++;
    if (slot == port->room) {
        size_t room = port->room ? port->room * 2 : 64;
        port->table = realloc(port->table, room * sizeof(call_t *));
        must(port->table && room <= 1U << SLOT_BITS);
        memset(port->table + port->room, 0, (room - port->room) * sizeof(call_t *));
        port->room = room;
    }
    port->table[slot] = call;
    port->hint = slot + 1;
    port->count++;
    call->id = ++port->serial << SLOT_BITS | slot;
}

/* ---- life ---- */

static void call_drop_orders(call_t *call) {
    while (call->first) {
        order_t *next = call->first->next;
        order_free(call->first);
        call->first = next;
    }
    call->last = NULL;
}

static void line_free_if_shut(line_t *line) {
    if (line->server || !LIST_EMPTY(&line->calls)) return;
    LIST_REMOVE(line, link);
    free(line);
}

static void call_free(call_t *call) {
    line_t *line = call->line;
    beam_port_t *port = line->port;
    if (call->id) {
        size_t slot = call->id & ((1U << SLOT_BITS) - 1);
        port->table[slot] = NULL;
        port->hint = slot;
        port->count--;
    }
    call_drop_orders(call);
    if (call->received) grpc_byte_buffer_destroy(call->received);
    if (call->sending) grpc_byte_buffer_destroy(call->sending);
    if (call->call) grpc_call_unref(call->call);
    grpc_call_details_destroy(&call->details);
    grpc_metadata_array_destroy(&call->metadata);
    LIST_REMOVE(call, of_line);
    free(call);
    line_free_if_shut(line);
}

static void batch(call_t *call, op_kind_t kind, const grpc_op *ops, size_t count) {
    call->pending++;
    must(grpc_call_start_batch(call->call, ops, count, &call->ops[kind], NULL) == GRPC_CALL_OK);
}

/* Has the core hand over the next call at that line. */
static void line_await(line_t *line) {
    call_t *call = calloc(1, sizeof *call);
    must(call);
    call->line = line;
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    for (int kind = 0; kind < OP_COUNT; kind++) call->ops[kind] = (op_t){(op_kind_t)kind, call};
    LIST_INSERT_HEAD(&line->calls, call, of_line);
    grpc_completion_queue *queue = line->port->queue;
    must(grpc_server_request_call(line->server, &call->call, &call->details, &call->metadata, queue, queue, &call->ops[OP_REQUEST]) ==
         GRPC_CALL_OK);
}

/* ---- sending ---- */

static void free_memory(void *memory) {
    free(memory);
}

static void call_send(call_t *call, order_t *order) {
    beam_message_t *message = &order->message;
    grpc_slice slice = grpc_slice_new_with_user_data(message->data, message->size, free_memory, message->memory);
    message->memory = NULL;
    call->sending = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    call->cost = order->cost;
    bool more = call->first && call->first->kind == ORDER_SEND;
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .flags = more ? GRPC_WRITE_BUFFER_HINT : 0, .data.send_message.send_message = call->sending};
    batch(call, OP_SENT, &op, 1);
}

static void call_end(call_t *call, call_status_t status, const char *text) {
    call->ended = true;
    grpc_slice details = grpc_slice_from_copied_string(text ? text : "");
    grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                  .data.send_status_from_server = {.status = (grpc_status_code)status, .status_details = &details}};
    batch(call, OP_ENDED, &op, 1);
    grpc_slice_unref(details);
}

/* What comes next, where the core has nothing of it to send. A call that is gone gets a status, too: the core wants one for each. */
static void call_go_on(call_t *call) {
    if (call->gone) call_drop_orders(call);
    if (call->sending || call->ended) return;
    order_t *order = call->first;
    if (call->gone) {
        call_end(call, CALL_CANCELLED, "");
    } else if (order) {
        call->first = order->next;
        if (!call->first) call->last = NULL;
        if (order->kind == ORDER_SEND)
            call_send(call, order);
        else
            call_end(call, order->status, order->text);
        order_free(order);
    }
}

static void call_give(call_t *call, order_t *order) {
    bool waits = call->first || call->sending;
    if (call->gone || call->let_go || (order->spare && waits)) {
        order_free(order);
        return;
    }
    call->let_go = order->kind == ORDER_END;
    order->next = NULL;
    if (call->last)
        call->last->next = order;
    else
        call->first = order;
    call->last = order;
    call_go_on(call);
}

static void call_abort(call_t *call, const char *text) {
    if (!call->id || call->ended || call->gone) return;
    call->gone = true;
    grpc_call_cancel_with_status(call->call, GRPC_STATUS_UNAVAILABLE, text, NULL);
    call_go_on(call);
}

/* ---- what the core says ---- */

static void on_request(call_t *call) {
    beam_port_t *port = call->line->port;
    call_register(port, call);
    line_await(call->line);
    grpc_op closed = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    closed.data.recv_close_on_server.cancelled = &call->cancelled;
    batch(call, OP_CLOSED, &closed, 1);
    grpc_op ops[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_RECV_MESSAGE}};
    ops[1].data.recv_message.recv_message = &call->received;
    batch(call, OP_RECEIVED, ops, 2);
    if (call->line->closing) call_abort(call, "the engine does not listen here any more");
    if (port->count <= CALLS_MAX) return;
    order_t *end = order_make(ORDER_END, "there are too many calls at one time");
    end->status = CALL_RESOURCE_EXHAUSTED;
    call_give(call, end);
}

static void on_received(call_t *call) {
    if (call->gone || call->let_go) return;
    if (!call->received) {
        order_t *end = order_make(ORDER_END, "there is no request in the call");
        end->status = CALL_INVALID_ARGUMENT;
        call_give(call, end);
        return;
    }
    grpc_byte_buffer_reader reader;
    must(grpc_byte_buffer_reader_init(&reader, call->received));
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    size_t size = GRPC_SLICE_LENGTH(all), length = GRPC_SLICE_LENGTH(call->details.method);
    port_news_t *news = say(call, NEWS_CALL);
    news->size = size;
    news->request = malloc(size + 1);
    news->method = strndup((const char *)GRPC_SLICE_START_PTR(call->details.method), length);
    must(news->request && news->method);
    if (size) memcpy(news->request, GRPC_SLICE_START_PTR(all), size);
    grpc_slice_unref(all);
    call->told = true;
}

static void on_sent(call_t *call, bool success) {
    grpc_byte_buffer_destroy(call->sending);
    call->sending = NULL;
    call->gone = call->gone || !success;
    call->taken += call->cost;
    if (call->taken >= TOLD_BYTES && !call->let_go) {
        say(call, NEWS_SENT)->cost = call->taken;
        call->taken = 0;
    }
    call_go_on(call);
}

/* The caller is gone, or has its status. */
static void on_closed(call_t *call) {
    if (call->told && !call->let_go) say(call, NEWS_GONE);
    call->gone = true;
    call_go_on(call);
}

static void on_call(call_t *call, op_kind_t kind, bool success) {
    if (kind == OP_REQUEST && !success) {
        call_free(call);
        return;
    }
    if (kind != OP_REQUEST) call->pending--;
    switch ((int)kind) {
    case OP_REQUEST: on_request(call); break;
    case OP_CLOSED: on_closed(call); break;
    case OP_RECEIVED: on_received(call); break;
    case OP_SENT: on_sent(call, success); break;
    default: break;
    }
    if (call->pending == 0 && call->ended) call_free(call);
}

static void on_shut(line_t *line) {
    grpc_server_destroy(line->server);
    line->server = NULL;
    line_free_if_shut(line);
}

/* ---- what the owner says ---- */

static void line_close(line_t *line, const char *text) {
    if (line->closing) return;
    line->closing = true;
    call_t *call;
    LIST_FOREACH(call, &line->calls, of_line) call_abort(call, text);
    grpc_server_shutdown_and_notify(line->server, line->port->queue, &line->shut);
    grpc_server_cancel_all_calls(line->server); /* and the connections, which may have none */
}

static void on_order(beam_port_t *port, order_t *order) {
    line_t *line;
    call_t *call;
    switch ((int)order->kind) {
    case ORDER_LINE:
        LIST_INSERT_HEAD(&port->lines, order->added, link);
        line_await(order->added);
        break;
    case ORDER_SEND:
    case ORDER_END:
        call = call_of(port, order->call);
        if (!call) break;
        call_give(call, order);
        return;
    case ORDER_RESET: LIST_FOREACH(line, &port->lines, link) { LIST_FOREACH(call, &line->calls, of_line) call_abort(call, order->text);
        }
        break;
    case ORDER_UNLISTEN:
        LIST_FOREACH(line, &port->lines, link) {
            if (line->number == order->line) line_close(line, order->text);
        }
        break;
    default:
        port->stopping = true;
        LIST_FOREACH(line, &port->lines, link) line_close(line, order->text);
        break;
    }
    order_free(order);
}

static void take_orders(beam_port_t *port) {
    order_t *order = chute_take(&port->orders);
    while (order) {
        order_t *next = order->next;
        on_order(port, order);
        order = next;
    }
}

/* ---- the thread ---- */

static void on_event(const grpc_event *event) {
    const op_t *op = event->tag;
    if (op->kind == OP_SHUT)
        on_shut(op->owner);
    else if (op->kind != OP_WAKE)
        on_call(op->owner, op->kind, event->success != 0);
}

void *beam_port_run(void *argument) {
    beam_port_t *port = argument;
    pthread_setname_np(pthread_self(), "beam_port");
    bool shut = false;
    for (;;) {
        grpc_event event = grpc_completion_queue_next(port->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) {
            handover_give(port);
            return NULL;
        }
        if (event.type == GRPC_OP_COMPLETE) on_event(&event);
        take_orders(port);
        report(port);
        if (!port->stopping || shut || !LIST_EMPTY(&port->lines)) continue;
        shut = true;
        grpc_completion_queue_shutdown(port->queue);
    }
}
