/* The requests that an actor has not answered, and the questions of its own that are open. They belong to the runtime and not to the
 * actor's state, so that a failure loses none of them. */
#ifndef REPRISE_EXCHANGE_H
#define REPRISE_EXCHANGE_H

#include "host.h"

/* A message as it came: from an actor (`from`) or from a peer. */
typedef struct parcel {
    char from[256]; /* empty: a peer */
    peer_t peer;
    prefix_t prefix;
    head_t head;
    frame_t message, body;
    bool has_body;
    bool counted;     /* a peer's request that is among its debts until it is answered */
    uint64_t request; /* the first ticket that it had; 0: none yet */
    unsigned failed;  /* states that failed while they had it, and not on demand */
} parcel_t;

void parcel_fini(parcel_t *parcel);

/* ---- requests waiting for an answer, by ticket ---- */
typedef struct ticket_entry {
    ticket_t ticket; /* 0: free */
    bool forwarded;  /* another actor answers it */
    parcel_t parcel; /* shares the frames */
} ticket_entry_t;

typedef struct tickets {
    ticket_entry_t *entries;
    size_t capacity;
    uint64_t last; /* tickets are never used twice */
    size_t free_hint;
} tickets_t;

ticket_t tickets_add(tickets_t *tickets, const parcel_t *parcel); /* shares the parcel's frames */
ticket_entry_t *tickets_find(tickets_t *tickets, ticket_t ticket);
void tickets_remove(tickets_t *tickets, ticket_entry_t *entry);
/* Takes out those that are not forwarded, the oldest first: the array, to be freed, owns them. */
parcel_t *tickets_take(tickets_t *tickets, size_t *ret_count);
void tickets_fini(tickets_t *tickets);

/* ---- open questions, by number ---- */
typedef struct ask {
    uint64_t number; /* 0: free */
    message_id_t id; /* what was asked */
    answer_fn *then; /* NULL: the answer goes on to the ticket in `context` */
    uint64_t context;
} ask_t;

typedef struct asks {
    ask_t *entries;
    size_t capacity;
    uint64_t last;
    size_t free_hint;
} asks_t;

uint64_t asks_add(asks_t *asks, message_id_t id, answer_fn *then, uint64_t context);
bool asks_take(asks_t *asks, uint64_t number, ask_t *ret_ask); /* false: not open, or no longer */
void asks_forget(asks_t *asks);                                /* all but those that go on to a ticket */
void asks_fini(asks_t *asks);

/* ---- messages held back, in order ---- */
typedef struct held {
    parcel_t *items; /* a ring */
    size_t first, count, capacity;
} held_t;

void held_push(held_t *held, parcel_t *parcel);       /* moves out of it */
void held_push_first(held_t *held, parcel_t *parcel); /* before all others */
bool held_take(held_t *held, parcel_t *ret_parcel);
void held_fini(held_t *held);

#endif
