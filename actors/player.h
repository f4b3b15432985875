/* A player: one replay being sent to one client. What it may send is bounded by the client's credit, by its socket, by the pace that was
 * asked for, and by its turn. */
#ifndef REPRISE_PLAYER_H
#define REPRISE_PLAYER_H

#include "pace.h"
#include "replay.h"
#include "runtime/actor.h"

struct client;
struct service;

typedef struct player {
    LIST_ENTRY(player) of_client, of_tape, of_service;
    TAILQ_ENTRY(player) of_ready;
    struct client *client;
    struct service *service; /* the pipeline that it was opened by; NULL: opened by recording */
    tape_t *tape;
    replay_t *replay;
    int64_t number; /* on its connection */
    int64_t credit; /* bytes; below 0 by what the last event was too large */
    pace_t pace;
    bool paused;
    int64_t steps;    /* events that may be sent though it is paused */
    int fulls;        /* how often its socket was full, since it was not */
    bool starved;     /* it has sent all that was recorded so far */
    bool ending;      /* only its `end` is left, which needs no credit */
    bool ready;       /* waits for its turn */
    timer_id_t timer; /* when it is to be tried again */
    ticket_t closer;  /* who asked for it to be closed */
} player_t;

typedef enum played {
    PLAYED_WAITS, /* for credit, for a command, for the recording to grow */
    PLAYED_LATER, /* it is to be tried again after a while */
    PLAYED_MORE,  /* its turn is over */
    PLAYED_OVER,  /* `end` was sent */
    PLAYED_GONE,  /* the client is */
} played_t;

/* Sends events for one turn. Takes the bytes sent from `budget`; `ret_delay` gets the µs of PLAYED_LATER. `tab`: the client's. */
played_t player_play(player_t *player, actor_t *me, const peer_t *to, tab_t *tab, int64_t *budget, int64_t *ret_delay);

/* What clients ask for: see test_stream.def. */
void player_pause(player_t *player, actor_t *me);
void player_resume(player_t *player, actor_t *me);
void player_set_rate(player_t *player, actor_t *me, double rate);
void player_seek(player_t *player, actor_t *me, int64_t element, int64_t offset_ms);
void player_end(player_t *player, const char *reason, const char *error);

#endif
