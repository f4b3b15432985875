/* The gateway's state, and what its three files do for each other: gateway.c routes, gateway_push.c speaks the ingest protocol for those who
 * push, gateway_fetch.c the replay protocol for those who fetch. */
#ifndef REPRISE_GATEWAY_STATE_H
#define REPRISE_GATEWAY_STATE_H

#include "runtime/actor.h"

enum { GATEWAY_COMMANDS, GATEWAY_INGEST, GATEWAY_TEST_STREAM }; /* its doors */

typedef struct feed feed_t;
typedef struct pushed pushed_t;
typedef struct fetch fetch_t;
typedef struct routed routed_t;

typedef struct gateway {
    actor_t *me;
    routed_t *routed; /* requests whose definition is being stored first */
    uint64_t last_routed;
    feed_t *feeds;    /* attachments that it keeps for those who push */
    fetch_t *fetches; /* fetches under way */
    uint64_t last_feed, last_fetch;
} gateway_t;

/* ---- gateway.c ---- */
/* Stores the definition that came with a request, which is then taken up again with the name alone. */
void gateway_define(gateway_t *g, const envelope_t *in);

/* ---- gateway_push.c ---- */
int gateway_on_push(void *state, const envelope_t *in, fault_t *why);
int gateway_on_ack(void *state, const envelope_t *in, fault_t *why);
int gateway_on_nack(void *state, const envelope_t *in, fault_t *why);
int gateway_on_source_stop(void *state, const envelope_t *in, fault_t *why);
int gateway_on_recovered(void *state, const envelope_t *in, fault_t *why);
void gateway_push_fini(gateway_t *g);

/* ---- gateway_fetch.c ---- */
int gateway_on_fetch(void *state, const envelope_t *in, fault_t *why);
int gateway_on_elements(void *state, const envelope_t *in, fault_t *why);
int gateway_on_end(void *state, const envelope_t *in, fault_t *why);
int gateway_on_other_event(void *state, const envelope_t *in, fault_t *why);
void gateway_fetch_fini(gateway_t *g);

#endif
