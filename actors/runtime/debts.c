/* See debts.h. The table belongs to the actor's thread. A debt is counted down by whichever thread of libzmq is done with a frame, perhaps after the
 * actor is gone: it lives as long as the table or a frame holds it, and so does the sum of all. */
#include "debts.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "../../messages/fault.h"
#include "../../messages/handover.h"

enum {
    REFUSALS_SHARE = 16, /* of the bytes that answers may have, as much more for refusals, and for what administrators are told */
    BEHIND_BYTES = 4 * 1024 * 1024, /* that wait for a peer to whom no more is sent for now: well before its pipe is full */
    BEHIND_LEAST = 128 * 1024,      /* with less than that it is not held up by what waits for others */
    KEPT_MAX = 256 * 1024 * 1024,   /* of requests that wait for their answers */
    CLIENT_KEPT_MAX = 64 * 1024 * 1024,
    READER_BYTES = 1024,     /* a request or an answer that finds room where larger ones find none */
    ADMIN_REQUESTS_MAX = 16, /* beyond the quota, for those of administrators: they must be able to end what used it up */
};

struct debt_sum {
    atomic_size_t bytes;
    atomic_size_t holders; /* the table, and each debt */
};

struct debt {
    debt_t *next;
    debt_sum_t *sum;
    peer_t to;
    size_t requests; /* only the actor's thread counts them */
    size_t kept;     /* the bytes of those */
    atomic_size_t bytes;
    atomic_size_t holders; /* the table, and each frame */
};

/* A frame that is under way, and the debt it is part of. */
typedef struct loan {
    frame_t frame;
    size_t size; /* as it was counted */
    debt_t *debt;
} loan_t;

void quotas_take(quotas_t *quotas, const msg_options_t *options) {
#define TAKE(name)                                                                                                                         \
    if (options->has_##name) quotas->name = options->name;
    TAKE(message_size_max)
    TAKE(connections_max)
    TAKE(requests_max)
    TAKE(client_requests_max)
    TAKE(unread_max)
    TAKE(client_unread_max)
#undef TAKE
}

/* ---- the table ---- */

static void sum_release(debt_sum_t *sum) {
    handover_give(sum);
    if (atomic_fetch_sub(&sum->holders, 1) > 1) return;
    handover_take(sum);
    free(sum);
}

static void debt_release(debt_t *debt) {
    handover_give(debt);
    if (atomic_fetch_sub(&debt->holders, 1) > 1) return;
    handover_take(debt);
    sum_release(debt->sum);
    free(debt);
}

static debt_t **bucket_of(debts_t *debts, const peer_t *peer) {
    uint32_t hash = 2166136261U ^ peer->door;
    for (size_t i = 0; i < peer->size; i++) hash = (hash ^ peer->id[i]) * 16777619U;
    return &debts->buckets[hash % DEBT_BUCKETS];
}

/* The peer's, or NULL. Those with whom nothing is open any more leave the bucket meanwhile. */
static debt_t *debt_find(debts_t *debts, const peer_t *peer) {
    debt_t *found = NULL;
    for (debt_t **at = bucket_of(debts, peer); *at;) {
        debt_t *debt = *at;
        if (peer_equal(&debt->to, peer)) found = debt;
        if (debt == found || debt->requests > 0 || atomic_load(&debt->holders) > 1) {
            at = &debt->next;
        } else {
            *at = debt->next;
            debt_release(debt);
        }
    }
    return found;
}

static debt_t *debt_get(debts_t *debts, const peer_t *peer) {
    debt_t *debt = debt_find(debts, peer);
    if (debt) return debt;
    if (!debts->sum) {
        debts->sum = calloc(1, sizeof *debts->sum);
        must(debts->sum);
        atomic_init(&debts->sum->holders, 1);
    }
    debt = calloc(1, sizeof *debt);
    must(debt);
    debt->to = *peer;
    debt->sum = debts->sum;
    atomic_fetch_add(&debt->sum->holders, 1);
    atomic_init(&debt->holders, 1);
    debt_t **bucket = bucket_of(debts, peer);
    debt->next = *bucket;
    *bucket = debt;
    return debt;
}

void debts_fini(debts_t *debts) {
    for (size_t i = 0; i < DEBT_BUCKETS; i++) {
        while (debts->buckets[i]) {
            debt_t *debt = debts->buckets[i];
            debts->buckets[i] = debt->next;
            debt_release(debt);
        }
    }
    if (debts->sum) sum_release(debts->sum);
    debts->sum = NULL;
}

/* ---- requests ---- */

int debts_open(debts_t *debts, const peer_t *from, permission_t permission, const quotas_t *quotas, refusal_t *no) {
    int result = 0;
    int64_t reserve = permission == PERMISSION_ADMIN ? ADMIN_REQUESTS_MAX : 0;
    debt_t *debt = debt_get(debts, from);
    if ((int64_t)debt->requests >= quotas->client_requests_max + reserve)
        result = refuse(no, ERROR_LIMIT, NULL, "%zu requests of this client wait for their answers, and `client_requests_max` is %lld",
                        debt->requests, (long long)quotas->client_requests_max);
    else if ((int64_t)debts->requests >= quotas->requests_max + reserve)
        result = refuse(no, ERROR_LIMIT, NULL, "%zu requests of all clients wait for their answers, and `requests_max` is %lld",
                        debts->requests, (long long)quotas->requests_max);
    if (result < 0) {
        no->retry = true;
        return -1;
    }
    debt->requests++;
    debts->requests++;
    return 0;
}

void debts_close(debts_t *debts, const peer_t *from) {
    debt_t *debt = debt_find(debts, from);
    must(debt && debt->requests > 0);
    debt->requests--;
    debts->requests--;
}

int debts_keep(debts_t *debts, const peer_t *from, size_t size, refusal_t *no) {
    debt_t *debt = debt_get(debts, from);
    bool one = size <= READER_BYTES || debt->kept == 0, all = size <= READER_BYTES || debts->kept == 0;
    if ((!one && debt->kept + size > CLIENT_KEPT_MAX) || (!all && debts->kept + size > KEPT_MAX)) {
        bool own = !one && debt->kept + size > CLIENT_KEPT_MAX;
        refuse(no, ERROR_LIMIT, NULL,
               "%zu bytes of requests of %s wait for their answers, and with the %zu of this one they would be more than %d",
               own ? debt->kept : debts->kept, own ? "this client" : "all clients", size, own ? CLIENT_KEPT_MAX : KEPT_MAX);
        no->retry = true;
        return -1;
    }
    debt->kept += size;
    debts->kept += size;
    return 0;
}

void debts_drop(debts_t *debts, const peer_t *from, size_t size) {
    debt_t *debt = debt_find(debts, from);
    must(debt && debt->kept >= size && debts->kept >= size);
    debt->kept -= size;
    debts->kept -= size;
}

/* ---- answers ---- */

/* The bytes that wait for the peer, and in `ret_all` those that wait for anybody. */
static size_t debt_bytes(debts_t *debts, const peer_t *to, size_t *ret_all) {
    debt_t *debt = debt_find(debts, to);
    *ret_all = debts->sum ? atomic_load(&debts->sum->bytes) : 0;
    return debt ? atomic_load(&debt->bytes) : 0;
}

int debts_allow(debts_t *debts, const peer_t *to, size_t size, const quotas_t *quotas, refusal_t *no) {
    size_t all, own = debt_bytes(debts, to, &all);
    int result = 0;
    if (own > 0 && own + size > (uint64_t)quotas->client_unread_max)
        result = refuse(no, ERROR_LIMIT, NULL,
                        "%zu bytes of answers wait to be read by this client, and with the %zu of this one they would be more than "
                        "`client_unread_max` (%lld)",
                        own, size, (long long)quotas->client_unread_max);
    else if (all > 0 && all + size > (uint64_t)quotas->unread_max && (own > 0 || size > READER_BYTES + FRAME_BYTES))
        result = refuse(no, ERROR_LIMIT, NULL,
                        "%zu bytes of answers wait to be read by all clients, and with the %zu of this one they would be more than "
                        "`unread_max` (%lld)",
                        all, size, (long long)quotas->unread_max);
    if (result < 0) no->retry = true;
    return result;
}

bool debts_bear(debts_t *debts, const peer_t *to, size_t size, const quotas_t *quotas) {
    size_t all, own = debt_bytes(debts, to, &all);
    uint64_t most = (uint64_t)quotas->unread_max;
    return own == 0 || all + size <= most + most / REFUSALS_SHARE;
}

static void loan_end(void *data, void *hint) {
    loan_t *loan = hint;
    handover_take(data);
    atomic_fetch_sub(&loan->debt->bytes, loan->size);
    atomic_fetch_sub(&loan->debt->sum->bytes, loan->size);
    frame_fini(&loan->frame);
    debt_release(loan->debt);
    free(loan);
}

bool debts_behind(debts_t *debts, const peer_t *to, const quotas_t *quotas) {
    size_t all, own = debt_bytes(debts, to, &all);
    return own >= BEHIND_BYTES || (own >= BEHIND_LEAST && all >= (uint64_t)quotas->unread_max);
}

void debts_add(debts_t *debts, const peer_t *to, frame_t *frame, size_t size) {
    debt_t *debt = debt_get(debts, to);
    loan_t *loan = malloc(sizeof *loan);
    must(loan);
    loan->debt = debt;
    loan->size = size;
    atomic_fetch_add(&debt->bytes, size);
    atomic_fetch_add(&debt->sum->bytes, size);
    atomic_fetch_add(&debt->holders, 1);
    frame_init(&loan->frame);
    frame_move(&loan->frame, frame);
    frame_fini(frame);
    frame_wrap(frame, frame_bytes(&loan->frame), loan_end, loan);
}
