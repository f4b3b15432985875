/* What is open between an actor and the peers at its doors: requests that it has not answered, and answers that they have not read.
 *
 * An answer may be thousands of times as large as its request: who asks on and on and reads nothing would have the engine keep them all, and no
 * count of messages bounds that. So the bytes of answers are counted until libzmq has written them to the connection, or the connection is gone;
 * those of each peer, and those of all together, because there may be many such peers. */
#ifndef REPRISE_DEBTS_H
#define REPRISE_DEBTS_H

#include "actor.h"

enum {
    DEBT_BUCKETS = 256,
    FRAME_BYTES = 128, /* what libzmq and the allocator take for a frame besides its bytes */
};

/* The options that bound what peers may cost. */
typedef struct quotas {
    int64_t message_size_max, connections_max;
    int64_t requests_max, client_requests_max;
    int64_t unread_max, client_unread_max;
} quotas_t;
/* One that is not among the options stays. */
void quotas_take(quotas_t *quotas, const msg_options_t *options);

typedef struct debt debt_t;
typedef struct debt_sum debt_sum_t;
typedef struct debts {
    debt_t *buckets[DEBT_BUCKETS]; /* of each peer with whom something is open */
    debt_sum_t *sum;               /* of all answers; made when it is needed */
    size_t requests;               /* of all peers */
    size_t kept;                   /* the bytes of those */
} debts_t;

/* Counts a request of the peer until it is closed. -1 where there are too many (LIMIT): it is not counted. What only administrators may ask
 * finds some room where the others find none. */
int debts_open(debts_t *debts, const peer_t *from, permission_t permission, const quotas_t *quotas, refusal_t *no);
void debts_close(debts_t *debts, const peer_t *from);
/* Counts the bytes of an open request, which is kept until it is answered. -1 where there are too many (LIMIT): they are not counted. */
int debts_keep(debts_t *debts, const peer_t *from, size_t size, refusal_t *no);
void debts_drop(debts_t *debts, const peer_t *from, size_t size);

/* May an answer of so many bytes, with FRAME_BYTES, be sent? -1: so much waits to be read that it may not (LIMIT). */
int debts_allow(debts_t *debts, const peer_t *to, size_t size, const quotas_t *quotas, refusal_t *no);
/* May a refusal, or the answer to an administrator? Nearly always: it is short, and there is some room for them beyond what answers have. */
bool debts_bear(debts_t *debts, const peer_t *to, size_t size, const quotas_t *quotas);
/* Counts `size` bytes for the frame, which is sent to the peer, from now until nobody holds it any more. */
void debts_add(debts_t *debts, const peer_t *to, frame_t *frame, size_t size);
/* Of those who are sent things that they did not ask for one by one: does so much wait for the peer that there should be no more for now? */
bool debts_behind(debts_t *debts, const peer_t *to, const quotas_t *quotas);
/* What is under way stays counted by itself. */
void debts_fini(debts_t *debts);

#endif
