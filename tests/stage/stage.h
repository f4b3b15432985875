/* The stage: a tree of actors on one thread, under a clock of its own, in an order that a seed decides.
 *
 * The actors are the real ones, with their real classes; only threads, sockets and the clock are the stage's. Nothing happens but what a
 * test lets happen: it sends, as a client would, and runs the stage until nothing more is to be done at that moment. */
#ifndef REPRISE_STAGE_H
#define REPRISE_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/runtime/host.h"

typedef struct stage stage_t;

/* `seed` decides who is next when several actors have messages; it is printed when an assertion fails. The data folder is a fresh one,
 * removed with the stage unless it was given. */
stage_t *stage_create(uint64_t seed, const char *data);
/* Where data folders are made: TMPDIR, or memory, so that tests do not wait for a disk that others use; or /tmp where there is too little. */
const char *stage_folder(void);
void stage_destroy(stage_t **stage);
config_t *stage_config(stage_t *stage); /* to be changed before actors are added */

/* Adds an actor. It starts when the stage runs. */
void stage_add(stage_t *stage, const actor_class_t *class, const char *name, bytes_t args);
/* Adds the supervisor, which starts the whole tree. Runs until all serve. From then on, as behind the switchboard, a request to an actor
 * that is not there is refused; `main` is the test. */
void stage_add_tree(stage_t *stage);
bool stage_is_ready(const stage_t *stage, const char *name);
bool stage_has_left(const stage_t *stage, const char *name); /* it was told to stop, and did */
/* Makes an actor fail where it stands. Without a supervisor on the stage, the stage itself starts it again: at once, or after 20 ms where
 * the new start failed. An actor that has never been ready is not started again. */
void stage_fail(stage_t *stage, const char *name);
/* Fails the actor when it has handled `count` more messages; and how many it has handled so far. */
void stage_fail_after(stage_t *stage, const char *name, size_t count);
size_t stage_handled(const stage_t *stage, const char *name);
/* The whole process dies when its actors have handled `count` more messages of each other: from then on nothing happens on the stage. What
 * is in its data folder at that moment is what another stage finds there. */
void stage_die_after(stage_t *stage, size_t count);
bool stage_is_dead(const stage_t *stage);
/* The next `count` requests of that kind to the actor are lost on their way, as where it has too many messages waiting. */
void stage_lose(stage_t *stage, const char *name, message_id_t id, size_t count);
/* Its doors cannot be opened: the actor's first start will fail. */
void stage_fail_start(stage_t *stage, const char *name);
/* Why the actor last failed, "" where it has not; and how often it did. */
const char *stage_failure(const stage_t *stage, const char *name);
size_t stage_failures(const stage_t *stage, const char *name);

/* Runs until nobody has anything left to do at this moment; and for a while, timers included. Messages from peers count. */
void stage_run(stage_t *stage);
void stage_advance(stage_t *stage, int64_t us);
/* Lets only so many things happen; false: there were no more to do. */
bool stage_run_some(stage_t *stage, size_t count);
int64_t stage_now(const stage_t *stage);         /* µs since the epoch */
void stage_set_now(stage_t *stage, int64_t now); /* before any actor is added: the process starts then */

/* ---- as an actor: what others send to `name`, which need not be on the stage, waits here for the test ---- */
typedef struct stage_message {
    char from[256], to[256];
    head_t head;
    bytes_t raw;         /* the msgpack map */
    const void *message; /* decoded; NULL for an answer that is an error, and for a peer's answer */
    bool refused;        /* an answer that is an error */
    bytes_t body;
    bool has_body;
    const char *topic; /* of a notification; NULL otherwise */
    int door;          /* the sender's door that it came out of; -1: it came through the switchboard */
} stage_message_t;
/* Takes the oldest message to `name` of that id (MSG_NONE: of any); NULL: there is none. Valid until the stage is destroyed. */
const stage_message_t *stage_take(stage_t *stage, const char *name, message_id_t id);
void stage_tell(stage_t *stage, const char *from, const char *to, message_id_t id, const void *message);
uint64_t stage_ask(stage_t *stage, const char *from, const char *to, message_id_t id, const void *message); /* the number to expect back */
void stage_answer(stage_t *stage, const stage_message_t *request, const void *message);
void stage_refuse(stage_t *stage, const stage_message_t *request, error_code_t code, const char *text); /* retry: with UNAVAILABLE */
void stage_refuse_as(stage_t *stage, const stage_message_t *request, const refusal_t *no);
/* What an actor sends at a DEALER door waits, where the actor behind that endpoint is not on the stage, as a message to `ingest`,
 * `test-stream`, `commands` or `progress`, to be taken and answered as above. Tells to such a door: */
void stage_door_tell(stage_t *stage, const char *actor, unsigned door, message_id_t id, const void *message, bytes_t body);
/* What an actor published: the oldest, NULL: none. */
const stage_message_t *stage_take_published(stage_t *stage, const char *actor);
/* Asks `to`, runs, and gives the decoded answer; fails the test where it was refused or did not come. */
const void *stage_get(stage_t *stage, const char *to, message_id_t id, const void *message);
/* Asks, runs, and gives the refusal; fails the test where there was none. */
const refusal_t *stage_get_refusal(stage_t *stage, const char *to, message_id_t id, const void *message);

/* ---- as a peer at the door of an actor ---- */
typedef struct stage_peer {
    const char *actor; /* whose door 0 */
    const char *id;    /* the connection's name */
} stage_peer_t;
void stage_peer_send(stage_t *stage, stage_peer_t peer, message_id_t id, const void *message, bytes_t body /* data NULL: none */);
/* With an `id`, so that the answer can be told from others. */
void stage_peer_request(stage_t *stage, stage_peer_t peer, message_id_t id, const void *message, bytes_t body, int64_t echo);
void stage_peer_send_raw(stage_t *stage, stage_peer_t peer, bytes_t message, bytes_t body);
/* Takes the oldest message to that peer; NULL: none. `head.id` is MSG_NONE for an answer or refusal; decode those with stage_decode. */
const stage_message_t *stage_peer_take(stage_t *stage, stage_peer_t peer);
/* Takes messages to the peer until one of that op or event; NULL: there is none. */
const stage_message_t *stage_peer_take_of(stage_t *stage, stage_peer_t peer, message_id_t id);
/* Takes messages to the peer until an answer; decoded as `id`. Fails the test where there is none or a refusal. */
const void *stage_peer_answer(stage_t *stage, stage_peer_t peer, message_id_t id);
const refusal_t *stage_peer_refusal(stage_t *stage, stage_peer_t peer);
bool stage_peer_waits(stage_t *stage, stage_peer_t peer); /* is there a message to it? */
/* Was it let go, and its connection closed, since it last said something? */
bool stage_peer_dismissed(stage_t *stage, stage_peer_t peer);
/* The peer vanishes: sends to it are SENT_GONE; or reads nothing: SENT_FULL. */
void stage_peer_leave(stage_t *stage, stage_peer_t peer);
void stage_peer_block(stage_t *stage, stage_peer_t peer, bool blocked);

/* Decodes a map as a message, in memory that lives as long as the stage; fails the test where that is refused. */
const void *stage_decode(stage_t *stage, message_id_t id, bytes_t raw);
/* Memory that lives as long as the stage. */
void *stage_keep(stage_t *stage, const void *data, size_t size);
/* A body of `count` elements: event times from `first_time` on, payloads of `size` bytes that name their number. */
bytes_t stage_body(stage_t *stage, size_t count, int64_t first_time, size_t size);

#endif
