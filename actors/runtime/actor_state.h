/* What the runtime keeps of one actor. Only actor.c, deliver.c and speak.c see it. */
#ifndef REPRISE_ACTOR_STATE_H
#define REPRISE_ACTOR_STATE_H

#include "debts.h"
#include "exchange.h"
#include "timers.h"

typedef enum phase {
    PHASE_NEW,
    PHASE_LOADING, /* has state that is not complete: only answers are delivered */
    PHASE_READY,
    PHASE_FAILED, /* has no state; waits for the supervisor */
    PHASE_LEFT,
} phase_t;

enum {
    HELD_REQUESTS_MAX = 10000, /* messages that are held when a request is refused */
    HELD_MAX = 500000,         /* that a mailbox can hold: there is nothing to be done any more */
    STATES_MAX = 3,            /* that one request may bring down */
};

struct actor {
    const actor_class_t *class;
    char name[256];
    host_t *host;
    const config_t *config;
    frame_t args;
    void *state;
    void *kept; /* what outlives the state; NULL: nothing */
    void (*kept_destroy)(void **kept);
    phase_t phase;
    bool creating; /* inside create: its READY is told when it returns */
    bool leaving;

    tickets_t tickets;
    asks_t asks;
    held_t held;
    debts_t debts; /* what is open with the peers at its doors: what they asked */
    debts_t dues;  /* and what they are sent besides, as far as that is counted */
    quotas_t quotas;
    timers_t timers;
    struct pollfd watched[WATCHES_MAX]; /* each for one kind of event */
    watch_fn *watchers[WATCHES_MAX];
    size_t watches;

    bool may_send[MESSAGE_COUNT];
    uint64_t counters[COUNTER_COUNT];
    msgpack_zone *zone;  /* of the message being handled */
    void *decoded;       /* its struct; as large as the largest */
    msgpack_sbuffer out; /* scratch for encoding */
};

void actor_fail(actor_t *me, const fault_t *why, ticket_t killer);
void actor_fail_as_told(actor_t *me, const fault_t *why); /* no request has to do with it */
/* Delivers one message and finishes with the parcel. */
void actor_deliver(actor_t *me, parcel_t *parcel);
void actor_deliver_answer(actor_t *me, const head_t *head, frame_t *message);
/* Delivers what was held back, as long as the actor is ready. */
void actor_drain(actor_t *me);
/* The answer to a ticket, encoded: sends it where the request came from. Moves out of `message`. */
void actor_resolve(actor_t *me, ticket_entry_t *entry, head_kind_t kind, frame_t *message);
/* Sends a refusal to a peer, or counts it as dropped. `echo`: the request's id value. */
void actor_refuse_frames(actor_t *me, const peer_t *to, const prefix_t *prefix, bytes_t echo, const refusal_t *no);
/* Decodes into the actor's own zone and struct; NULL and `no` where that is refused. */
const void *actor_decode(actor_t *me, message_id_t id, bytes_t in, refusal_t *no);

#endif
