/* What peers have been answered and have not taken yet. An answer may be thousands of times as large as its request: who asks on and on and reads
 * nothing would have the engine keep them all, and no count of messages bounds that. So the bytes of large answers are counted until libzmq has
 * written them to the connection, or the connection is gone. */
#ifndef REPRISE_DEBTS_H
#define REPRISE_DEBTS_H

#include "actor.h"

enum {
    DEBT_LEAST = 4 * 1024,       /* bytes of an answer that is counted */
    DEBT_MAX = 64 * 1024 * 1024, /* bytes that may wait for a peer; one answer may be more */
};

typedef struct debt debt_t;
typedef struct debts {
    debt_t *first; /* of each peer for whom something waits */
} debts_t;

/* May an answer of so many bytes be sent? `ret_waiting`: the bytes that wait for the peer. */
bool debts_allow(debts_t *debts, const peer_t *to, size_t size, size_t *ret_waiting);
/* Counts the frame, which is sent to the peer, from now until nobody holds it any more. */
void debts_add(debts_t *debts, const peer_t *to, frame_t *frame);
/* What is under way stays counted by itself. */
void debts_fini(debts_t *debts);

#endif
