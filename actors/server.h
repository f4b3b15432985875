/* What the test-stream server keeps: who listens, to which recordings, for which pipelines, and whose turn it is. test_stream_server.c
 * takes the messages, opening.c opens replays, server.c keeps all this together. */
#ifndef REPRISE_SERVER_H
#define REPRISE_SERVER_H

#include <czmq.h>

#include "player.h"

/* Somebody connected, known from the first replay that it opened. */
typedef struct client {
    LIST_ENTRY(client) link;
    LIST_HEAD(, player) players;
    size_t players_count;
    peer_t peer;
    int64_t last_number; /* of its replays */
    int64_t seen, sent;  /* when something last came from it, and went to it, in ticks */
    int64_t asked;       /* and when it was asked whether it is there; 0: never */
    tab_t tab;           /* of the events that it was sent */
} client_t;

/* A pipeline's test stream, while it is served. */
typedef struct service {
    LIST_ENTRY(service) link;
    LIST_HEAD(, player) players; /* those opened by it */
    char *pipeline;
} service_t;

typedef struct opening opening_t;
typedef struct waiting waiting_t;

typedef struct server {
    actor_t *me;
    int64_t replay_timeout_ms; /* the options of these names */
    size_t replays_max, client_replays_max;
    zhashx_t *clients_by_peer, *tapes_by_recording, *services_by_pipeline;
    LIST_HEAD(, client) clients;
    LIST_HEAD(, tape) tapes;
    LIST_HEAD(, service) services;
    LIST_HEAD(, opening) openings; /* replays that are being opened */
    size_t openings_count, players_count;
    LIST_HEAD(, waiting) waiting; /* operations that wait for the pipeline tracker */
    TAILQ_HEAD(, player) ready;   /* those that may have something to send, in the order of their turns */
    timer_id_t turn;              /* set while a turn is due */
    timer_id_t rest;              /* set while a tape waits for its next replay */
    size_t resting;               /* tapes that do */
    uint64_t last_serial;         /* of the tapes */
} server_t;

server_t *server_create(actor_t *me);
void server_destroy(server_t **self);

/* NULL where there is none. */
client_t *server_client(server_t *server, const peer_t *peer);
tape_t *server_tape(server_t *server, const char *recording);
service_t *server_service(server_t *server, const char *pipeline);

/* Makes it where there is none. A tape that cannot be opened: NULL and `why`. */
client_t *server_client_get(server_t *server, const peer_t *peer);
tape_t *server_tape_get(server_t *server, const msg_recording_place_t *place, fault_t *why);
service_t *server_service_get(server_t *server, const char *pipeline);

/* A new player, its number and credit set; the caller sets its pace. `service` may be NULL. */
player_t *server_player_add(server_t *server, client_t *client, tape_t *tape, service_t *service, const msg_replay_open_t *ask,
                            const msg_tag_t *tags, size_t count);
void server_client_drop(server_t *server, client_t *client);
/* Ends the service and its replays with `reason`. */
void server_service_end(server_t *server, service_t *service, const char *reason);
/* The recording is gone: ends its replays with `invalidated`. Without any, the tape goes at once. */
void server_tape_end(server_t *server, tape_t *tape);

/* The player may have something to send: it gets its turn. */
void server_ready(server_t *server, player_t *player);
/* All players that have sent what there was. */
void server_ready_starved(server_t *server, tape_t *tape);
/* Gives those that are ready their turns, for a short while; the rest follows by a timer. */
void server_play(server_t *server);

/* Asks the recorder where a recording stands. */
void server_locate(server_t *server, tape_t *tape);

#endif
