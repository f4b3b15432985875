/* See debts.h. The list belongs to the actor's thread. A debt is counted down by whichever thread of libzmq is done with a frame, perhaps after the
 * actor is gone: it lives as long as the list or a frame holds it. */
#include "debts.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "../../messages/fault.h"
#include "../../messages/handover.h"

struct debt {
    debt_t *next;
    peer_t to;
    atomic_size_t bytes;
    atomic_size_t holders; /* the list, and each frame */
};

/* A frame that is under way, and the debt it is part of. */
typedef struct loan {
    frame_t frame;
    debt_t *debt;
} loan_t;

static void debt_release(debt_t *debt) {
    handover_give(debt);
    if (atomic_fetch_sub(&debt->holders, 1) > 1) return;
    handover_take(debt);
    free(debt);
}

static void loan_end(void *data, void *hint) {
    loan_t *loan = hint;
    handover_take(data);
    atomic_fetch_sub(&loan->debt->bytes, frame_bytes(&loan->frame).size);
    frame_fini(&loan->frame);
    debt_release(loan->debt);
    free(loan);
}

/* The peer's, or NULL. Those that nothing waits for any more leave the list meanwhile. */
static debt_t *debt_find(debts_t *debts, const peer_t *to) {
    debt_t *found = NULL;
    for (debt_t **at = &debts->first; *at;) {
        debt_t *debt = *at;
        if (peer_equal(&debt->to, to)) found = debt;
        if (debt == found || atomic_load(&debt->holders) > 1) {
            at = &debt->next;
        } else {
            *at = debt->next;
            debt_release(debt);
        }
    }
    return found;
}

bool debts_allow(debts_t *debts, const peer_t *to, size_t size, size_t *ret_waiting) {
    const debt_t *debt = size < DEBT_LEAST ? NULL : debt_find(debts, to);
    *ret_waiting = debt ? atomic_load(&debt->bytes) : 0;
    return *ret_waiting == 0 || *ret_waiting + size <= DEBT_MAX;
}

void debts_add(debts_t *debts, const peer_t *to, frame_t *frame) {
    bytes_t bytes = frame_bytes(frame);
    if (bytes.size < DEBT_LEAST) return;
    debt_t *debt = debt_find(debts, to);
    if (!debt) {
        debt = calloc(1, sizeof *debt);
        must(debt);
        debt->to = *to;
        atomic_init(&debt->holders, 1);
        debt->next = debts->first;
        debts->first = debt;
    }
    loan_t *loan = malloc(sizeof *loan);
    must(loan);
    loan->debt = debt;
    atomic_fetch_add(&debt->bytes, bytes.size);
    atomic_fetch_add(&debt->holders, 1);
    frame_init(&loan->frame);
    frame_move(&loan->frame, frame);
    frame_fini(frame);
    frame_wrap(frame, frame_bytes(&loan->frame), loan_end, loan);
}

void debts_fini(debts_t *debts) {
    while (debts->first) {
        debt_t *debt = debts->first;
        debts->first = debt->next;
        debt_release(debt);
    }
}
