/* The thread of a feed: attaches, sends what is in the outbox, takes the engine's acknowledgements, answers its pings, and attaches again
 * when the engine was away. */
#ifndef REPRISE_LIBRARY_COURIER_H
#define REPRISE_LIBRARY_COURIER_H

#include "engine.h"
#include "outbox.h"

/* Why reprise_push has to look closer. */
enum {
    ATTENTION_ASLEEP = 1, /* the thread does not watch the open buffer: it wants to be woken */
    ATTENTION_OVER = 2,   /* nothing more is taken */
};

typedef enum courier_state { COURIER_ATTACHING, COURIER_ATTACHED, COURIER_STOPPED, COURIER_FAILED } courier_state_t;

typedef struct courier {
    outbox_t outbox;
    _Alignas(64) atomic_int attention; /* changed with the mutex held */
    /* ---- guarded by the pool's mutex ---- */
    _Alignas(64) courier_state_t state; /* changed by the thread alone */
    bool asleep;                        /* the thread waits, and `wake` would be heard */
    bool closing;                       /* the feed is: the thread ends */
    bool flushing;                      /* all there is goes out as soon as it may */
    bool ending;                        /* and then the engine is told that the source has ended */
    bool waited_for;                    /* the caller waits, and may be interrupted */
    bool interrupted;
    char stopped[64];        /* the reason, once STOPPED */
    reprise_error_t problem; /* why, once FAILED */
    char job[256];
    uint8_t *cursor; /* as it was when this feed was opened */
    size_t cursor_size;
    /* ---- the thread's own ---- */
    reprise_t *engine; /* that it was opened by */
    channel_t channel;
    letter_t letter;
    msgpack_zone zone;
    const char *pipeline, *tag, *producer; /* borrowed from the feed */
    bool given;                            /* to a worker: once lost, the engine gives it out again, and nobody attaches unasked */
    int64_t timeout_ms, linger_us;
    int over;        /* an eventfd, readable from the end on */
    int wake, ticks; /* an eventfd; a timerfd that goes off twice in a linger while there is something to watch */
    bool ticking;
    bool noted;            /* something waited at the last tick, in the open buffer of this number */
    uint64_t noted_serial; /* … */
    bool known;            /* it was attached before: `job` is the one */
    int64_t source;
    uint64_t asked, attach_asked, done_asked; /* numbers of requests; 0: none is open */
    int64_t attach_at, attach_until;          /* when to ask, and when to give up */
    pthread_t thread;
} courier_t;

/* `channel` was opened by `engine`, and is taken over. Starts the thread; never fails. */
void courier_start(courier_t *courier, reprise_t *engine, const channel_t *channel);
/* Ends it. The mutex must not be held. */
void courier_finish(courier_t *courier);

/* ---- with the mutex held ---- */

/* Has the thread look at what has changed. */
void courier_wake(courier_t *courier);
bool courier_is_over(const courier_t *courier);
/* Waits until something has changed. -1: the deadline, or an interruption. */
int courier_await(courier_t *courier, int64_t deadline, reprise_error_t *error);

#endif
