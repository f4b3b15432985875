/* Who meddles with what passes the switchboard, when `chaos.messages` has asked for it: loses, doubles and delays messages between actors, by
 * chance from a seed. It does only what the promises between actors allow (docs/decisions/chaos.md), so an engine must bear all of it.
 *
 * Who said what to whom stays in its order: a message waits behind those of the same two that wait already. */
#ifndef REPRISE_MEDDLER_H
#define REPRISE_MEDDLER_H

#include <sys/queue.h>

#include "host.h"

enum { DELAYED_MAX = 10000 }; /* beyond that, the oldest goes on at once */

enum { PASSING_FROM, PASSING_TO, PASSING_HEAD, PASSING_MESSAGE, PASSING_BODY, PASSING_FRAMES };

/* A message at the switchboard. */
typedef struct passing {
    frame_t frames[PASSING_FRAMES];
    size_t count;
} passing_t;

typedef struct delayed delayed_t;

typedef struct meddler {
    uint64_t random;
    double delay, drop, duplicate; /* how probable */
    int64_t delay_us;              /* the longest */
    int64_t left;                  /* messages that it still meddles with */
    msg_chaos_tally_t tally;
    TAILQ_HEAD(delays, delayed) delayed;
    size_t count;
} meddler_t;

void meddler_init(meddler_t *meddler);
void meddler_fini(meddler_t *meddler);
/* `raw`: a CHAOS_MESSAGES map. Appends the answer, or refuses. */
int meddler_order(meddler_t *meddler, bytes_t raw, msgpack_sbuffer *answer, refusal_t *no);

typedef struct verdict {
    bool drop, twice;
    int64_t delay_us;
} verdict_t;
verdict_t meddler_judge(meddler_t *meddler, const head_t *head);

/* True: the message is kept for a while, and moved out of. One that is not to be delayed is kept where another of the same two waits. */
bool meddler_keeps(meddler_t *meddler, passing_t *passing, int64_t delay_us, int64_t now);
/* The next that has waited long enough, moved into `ret_passing`. */
bool meddler_gives(meddler_t *meddler, int64_t now, passing_t *ret_passing);
/* How long until then, in the milliseconds of zmq_poll. */
long meddler_patience(const meddler_t *meddler, int64_t now);

#endif
