/* The lists between the port's owner and its thread. A pile is added in one exchange, and all is taken in one: so no entry is ever looked at by both,
 * and there is nothing to be taken away under somebody who reads it. */
#include "beam_order.h"

#include <stdlib.h>
#include <string.h>

order_t *order_make(order_kind_t kind, const char *text) {
    order_t *order = calloc(1, sizeof *order);
    must(order);
    order->kind = kind;
    if (!text) return order;
    order->text = strdup(text);
    must(order->text);
    return order;
}

void port_news_fini(port_news_t *news) {
    free(news->method);
    free(news->request);
    *news = (port_news_t){0};
}

void order_free(order_t *order) {
    free(order->message.memory);
    free(order->text);
    port_news_fini(&order->news);
    free(order);
}

void pile_add(order_pile_t *pile, order_t *order) {
    order->next = pile->newest;
    pile->newest = order;
    if (!pile->oldest) pile->oldest = order;
    pile->count++;
}

bool chute_add(order_chute_t *chute, order_pile_t *pile) {
    if (!pile->newest) return false;
    order_t *before = atomic_load_explicit(&chute->newest, memory_order_relaxed);
    do pile->oldest->next = before;
    while (!atomic_compare_exchange_weak_explicit(&chute->newest, &before, pile->newest, memory_order_release, memory_order_relaxed));
    *pile = (order_pile_t){0};
    return before == NULL;
}

order_t *chute_take(order_chute_t *chute) {
    order_t *order = atomic_exchange_explicit(&chute->newest, NULL, memory_order_acquire), *oldest = NULL;
    while (order) {
        order_t *next = order->next;
        order->next = oldest;
        oldest = order;
        order = next;
    }
    return oldest;
}
