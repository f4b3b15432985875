/* The server's tables, and its turns. Replays are served one slice at a time and round about; between rounds the actor takes what has
 * arrived meanwhile, so that neither a request nor a live element waits for those that replay gigabytes. */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#include "opening.h"
#include "service.h"

enum {
    ROUND_BYTES = 4 * 1024 * 1024,
    ROUND_TURNS = 16,
    RESTING_MAX = 4,    /* tapes that nobody replays; each may have a descriptor open */
    REST_US = 60000000, /* for so long */
};

static size_t peer_hash(const void *key) {
    const peer_t *peer = key;
    size_t hash = peer->door;
    for (size_t i = 0; i < peer->size; i++) hash = hash * 31 + peer->id[i];
    return hash;
}

static int peer_compare(const void *a, const void *b) {
    return peer_equal(a, b) ? 0 : 1;
}

/* ---- life ---- */

server_t *server_create(actor_t *me) {
    server_t *server = calloc(1, sizeof *server);
    must(server);
    server->me = me;
    server->clients_by_peer = zhashx_new();
    zhashx_set_key_hasher(server->clients_by_peer, peer_hash);
    zhashx_set_key_comparator(server->clients_by_peer, peer_compare);
    zhashx_set_key_duplicator(server->clients_by_peer, NULL);
    zhashx_set_key_destructor(server->clients_by_peer, NULL);
    server->tapes_by_recording = zhashx_new();
    server->services_by_pipeline = zhashx_new();
    LIST_INIT(&server->clients);
    LIST_INIT(&server->tapes);
    LIST_INIT(&server->services);
    LIST_INIT(&server->openings);
    LIST_INIT(&server->waiting);
    TAILQ_INIT(&server->ready);
    return server;
}

static void player_free(player_t *player) {
    replay_destroy(&player->replay);
    free(player);
}

static void client_free(client_t *client) {
    free(client);
}

static void service_free(service_t *service) {
    free(service->pipeline);
    free(service);
}

void server_destroy(server_t **self) {
    server_t *server = *self;
    if (!server) return;
    openings_free(server);
    services_forget(server);
    client_t *client;
    while ((client = LIST_FIRST(&server->clients)) != NULL) {
        player_t *player;
        while ((player = LIST_FIRST(&client->players)) != NULL) {
            LIST_REMOVE(player, of_client);
            player_free(player);
        }
        LIST_REMOVE(client, link);
        client_free(client);
    }
    tape_t *tape;
    while ((tape = LIST_FIRST(&server->tapes)) != NULL) {
        LIST_REMOVE(tape, link);
        tape_destroy(&tape);
    }
    service_t *service;
    while ((service = LIST_FIRST(&server->services)) != NULL) {
        LIST_REMOVE(service, link);
        service_free(service);
    }
    zhashx_destroy(&server->clients_by_peer);
    zhashx_destroy(&server->tapes_by_recording);
    zhashx_destroy(&server->services_by_pipeline);
    free(server);
    *self = NULL;
}

/* ---- who and what there is ---- */

client_t *server_client(server_t *server, const peer_t *peer) {
    return zhashx_lookup(server->clients_by_peer, peer);
}

client_t *server_client_get(server_t *server, const peer_t *peer) {
    client_t *client = server_client(server, peer);
    if (client) {
        client->peer = *peer; /* it may be connected anew */
        return client;
    }
    client = calloc(1, sizeof *client);
    must(client);
    client->peer = *peer;
    client->seen = client->sent = actor_ticks(server->me);
    LIST_INIT(&client->players);
    LIST_INSERT_HEAD(&server->clients, client, link);
    zhashx_insert(server->clients_by_peer, &client->peer, client);
    return client;
}

/* ---- tapes ---- */

tape_t *server_tape(server_t *server, const char *recording) {
    return zhashx_lookup(server->tapes_by_recording, recording);
}

static void tape_drop(server_t *server, tape_t **tape) {
    tape_t *old = *tape;
    LIST_REMOVE(old, link);
    if (server_tape(server, old->place->recording) == old) zhashx_delete(server->tapes_by_recording, old->place->recording);
    if (old->resting) server->resting--;
    tape_destroy(tape);
}

static tape_t *tape_longest_at_rest(const server_t *server) {
    tape_t *tape, *oldest = NULL;
    LIST_FOREACH(tape, &server->tapes, link) {
        if (tape->resting && (!oldest || tape->rested < oldest->rested)) oldest = tape;
    }
    return oldest;
}

static int on_rest(void *state, uint64_t context, fault_t *why) {
    server_t *server = state;
    int64_t now = actor_ticks(server->me);
    tape_t *tape;
    (void)context;
    (void)why;
    server->rest = 0;
    while ((tape = tape_longest_at_rest(server)) != NULL && now - tape->rested >= REST_US) tape_drop(server, &tape);
    if (tape) server->rest = actor_after(server->me, tape->rested + REST_US - now, on_rest, 0);
    return 0;
}

/* One that may still grow, or that is gone, is of no use to the next replay. */
static void tape_rest(server_t *server, tape_t **tape) {
    tape_t *resting = *tape;
    if (resting->growing || server_tape(server, resting->place->recording) != resting) {
        tape_drop(server, tape);
        return;
    }
    resting->resting = true;
    resting->rested = actor_ticks(server->me);
    if (++server->resting > RESTING_MAX) {
        tape_t *oldest = tape_longest_at_rest(server);
        tape_drop(server, &oldest);
    }
    if (!server->rest) server->rest = actor_after(server->me, REST_US, on_rest, 0);
}

tape_t *server_tape_get(server_t *server, const msg_recording_place_t *place, fault_t *why) {
    tape_t *tape = server_tape(server, place->recording);
    if (tape && tape->resting && !tape_is_current(tape)) tape_drop(server, &tape);
    if (tape) {
        tape_place(tape, place);
    } else {
        tape = tape_create(place, actor_config(server->me)->segment_bytes, why);
        if (!tape) return NULL;
        tape->serial = ++server->last_serial;
        LIST_INSERT_HEAD(&server->tapes, tape, link);
        zhashx_insert(server->tapes_by_recording, tape->place->recording, tape);
    }
    tape->heard = actor_ticks(server->me);
    return tape;
}

/* ---- services ---- */

service_t *server_service(server_t *server, const char *pipeline) {
    return zhashx_lookup(server->services_by_pipeline, pipeline);
}

static void service_notify(server_t *server, const char *topic, const service_t *service, const char *state) {
    actor_tell(server->me, "notifier", MSG_NOTIFY,
               &(msg_notify_t){.topic = topic, .key = "pipeline", .name = service->pipeline, .state = state});
}

service_t *server_service_get(server_t *server, const char *pipeline) {
    service_t *service = server_service(server, pipeline);
    if (service) return service;
    service = calloc(1, sizeof *service);
    must(service);
    service->pipeline = strdup(pipeline);
    must(service->pipeline);
    LIST_INIT(&service->players);
    LIST_INSERT_HEAD(&server->services, service, link);
    zhashx_insert(server->services_by_pipeline, pipeline, service);
    service_notify(server, "test_stream.started", service, "running");
    return service;
}

/* ---- players ---- */

player_t *server_player_add(server_t *server, client_t *client, tape_t *tape, service_t *service, const msg_replay_open_t *ask,
                            const msg_tag_t *tags, size_t count) {
    player_t *player = calloc(1, sizeof *player);
    must(player);
    player->client = client;
    player->tape = tape;
    player->service = service;
    player->number = ++client->last_number;
    player->credit = ask->credit;
    player->pace = (pace_t){.rate = ask->rate, .ticks = actor_ticks(server->me), .at = tape->start};
    player->replay = replay_create(tape, player->number, ask, tags, count);
    LIST_INSERT_HEAD(&client->players, player, of_client);
    LIST_INSERT_HEAD(&tape->players, player, of_tape);
    if (tape->resting) server->resting--;
    tape->resting = false;
    if (service) LIST_INSERT_HEAD(&service->players, player, of_service);
    client->players_count++;
    server->players_count++;
    actor_count(server->me, COUNTER_REPLAYS, 1);
    return player;
}

static void player_drop(server_t *server, player_t *player) {
    tape_t *tape = player->tape;
    player->client->players_count--;
    server->players_count--;
    LIST_REMOVE(player, of_client);
    LIST_REMOVE(player, of_tape);
    if (player->service) LIST_REMOVE(player, of_service);
    if (player->ready) TAILQ_REMOVE(&server->ready, player, of_ready);
    actor_cancel(server->me, &player->timer);
    actor_answer(server->me, player->closer, NULL);
    player_free(player);
    if (LIST_EMPTY(&tape->players)) tape_rest(server, &tape);
}

void server_client_drop(server_t *server, client_t *client) {
    player_t *player;
    while ((player = LIST_FIRST(&client->players)) != NULL) player_drop(server, player);
    LIST_REMOVE(client, link);
    zhashx_delete(server->clients_by_peer, &client->peer);
    client_free(client);
}

void server_service_end(server_t *server, service_t *service, const char *reason) {
    player_t *player;
    while ((player = LIST_FIRST(&service->players)) != NULL) {
        LIST_REMOVE(player, of_service);
        player->service = NULL;
        player_end(player, reason, NULL);
        server_ready(server, player);
    }
    service_notify(server, "test_stream.stopped", service, "stopped");
    LIST_REMOVE(service, link);
    zhashx_delete(server->services_by_pipeline, service->pipeline);
    service_free(service);
}

void server_tape_end(server_t *server, tape_t *tape) {
    zhashx_delete(server->tapes_by_recording, tape->place->recording); /* whoever opens one of that name gets another */
    tape->growing = false;
    if (tape->resting) {
        tape_drop(server, &tape);
        return;
    }
    player_t *player;
    LIST_FOREACH(player, &tape->players, of_tape) {
        player_end(player, "invalidated", NULL);
        server_ready(server, player);
    }
}

/* ---- turns ---- */

void server_ready(server_t *server, player_t *player) {
    if (player->ready) return;
    actor_cancel(server->me, &player->timer);
    player->ready = true;
    TAILQ_INSERT_TAIL(&server->ready, player, of_ready);
}

void server_ready_starved(server_t *server, tape_t *tape) {
    player_t *player;
    LIST_FOREACH(player, &tape->players, of_tape) {
        if (player->starved) server_ready(server, player);
    }
}

static int on_player_due(void *state, uint64_t context, fault_t *why) {
    (void)why;
    player_t *player = (player_t *)(uintptr_t)context; /* its timer goes with it */
    player->timer = 0;
    server_ready(state, player);
    server_play(state);
    return 0;
}

static void player_turn(server_t *server, player_t *player, int64_t *budget) {
    int64_t delay = 0;
    TAILQ_REMOVE(&server->ready, player, of_ready);
    player->ready = false;
    client_t *client = player->client;
    int64_t before = *budget;
    played_t played = player_play(player, server->me, &client->peer, &client->tab, budget, &delay);
    if (*budget < before) client->sent = actor_ticks(server->me);
    if (played == PLAYED_MORE)
        server_ready(server, player);
    else if (played == PLAYED_LATER)
        player->timer = actor_after(server->me, delay, on_player_due, (uint64_t)(uintptr_t)player);
    else if (played == PLAYED_OVER)
        player_drop(server, player);
    else if (played == PLAYED_GONE)
        server_client_drop(server, client);
}

static int on_turn(void *state, uint64_t context, fault_t *why) {
    (void)context;
    (void)why;
    ((server_t *)state)->turn = 0;
    server_play(state);
    return 0;
}

void server_play(server_t *server) {
    if (server->turn) return; /* they are in line behind those that have much to send */
    int64_t budget = ROUND_BYTES;
    player_t *player;
    for (int turn = 0; turn < ROUND_TURNS && budget > 0 && (player = TAILQ_FIRST(&server->ready)) != NULL; turn++) {
        player_turn(server, player, &budget);
    }
    if (!TAILQ_EMPTY(&server->ready)) server->turn = actor_after(server->me, 0, on_turn, 0);
}

/* ---- the recorder ---- */

static int on_located(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)why;
    server_t *server = state;
    tape_t *tape;
    LIST_FOREACH(tape, &server->tapes, link) {
        if (tape->serial == context) break;
    }
    if (!tape) return 0;
    tape->asked = false;
    tape->heard = actor_ticks(server->me);
    if (answer->message) tape_place(tape, answer->message);
    if (answer->message || answer->refusal->code != ERROR_NOT_FOUND)
        server_ready_starved(server, tape);
    else
        server_tape_end(server, tape);
    server_play(server);
    return 0;
}

void server_locate(server_t *server, tape_t *tape) {
    if (tape->asked) return;
    tape->asked = true;
    msg_recording_locate_t locate = {.has_recording = true, .recording = tape->place->recording, .follow = true};
    actor_ask(server->me, "recorder", MSG_RECORDING_LOCATE, &locate, on_located, tape->serial);
}
