/* What goes between the port's owner and its thread: orders one way, news the other. Each way is a list that one thread adds to and the other
 * takes whole: no lock, and no bound of its own, for the owner gives its callers credit and each call has little news at a time. */
#ifndef REPRISE_BEAM_ORDER_H
#define REPRISE_BEAM_ORDER_H

#include <stdatomic.h>

#include "beam_port.h"

typedef enum order_kind { ORDER_LINE, ORDER_UNLISTEN, ORDER_SEND, ORDER_END, ORDER_RESET, ORDER_STOP, ORDER_NEWS } order_kind_t;

typedef struct order {
    struct order *next;
    order_kind_t kind;
    bool spare;
    call_status_t status;
    uint64_t call;
    uint32_t line;
    int64_t cost;
    beam_message_t message;
    char *text;
    struct line *added; /* ORDER_LINE: the port's own */
    port_news_t news;   /* ORDER_NEWS */
} order_t;

order_t *order_make(order_kind_t kind, const char *text /* may be NULL */);
void order_free(order_t *order);

/* Orders that are not handed over yet, the newest first. */
typedef struct order_pile {
    order_t *newest, *oldest;
    size_t count;
} order_pile_t;
void pile_add(order_pile_t *pile, order_t *order);

typedef struct order_chute {
    _Atomic(order_t *) newest;
} order_chute_t;

/* Hands the pile over. True: the chute was empty, so the other side has to be woken. */
bool chute_add(order_chute_t *chute, order_pile_t *pile);
/* Takes all there is, the oldest first. */
order_t *chute_take(order_chute_t *chute);

#endif
