/* What an actor is, and all that its logic may do.
 *
 * An actor is a class (a table of message handlers) and state that only its own thread touches. Its logic knows no thread, no socket
 * and no clock: it takes messages, and it sends, asks, answers, sets timers, through the functions below. The same logic runs on a
 * thread with ZeroMQ sockets (thread.c) and on the tests' stage.
 *
 * A handler returns 0, or -1 with `why` set: then the actor has failed. It loses its state, not its sockets; the supervisor has new state
 * created, the request that it failed on is answered `unavailable`, and those it had not answered yet are handed to the new state again. */
#ifndef REPRISE_ACTOR_H
#define REPRISE_ACTOR_H

#include "../../messages/codec.h"
#include "../../messages/fault.h"
#include "../../messages/message.h"
#include "config.h"
#include "frame.h"

typedef struct actor actor_t;
typedef uint64_t ticket_t;   /* names a request that waits for its answer; 0: none. Keep it, and answer later. */
typedef uint64_t timer_id_t; /* 0: none */

/* Somebody outside, at one of the actor's doors. */
typedef struct peer {
    uint8_t door;
    uint8_t size;
    int32_t descriptor;  /* of its connection when it asked; 0: not known */
    uint64_t connection; /* what tells that one from another which has the descriptor later */
    uint8_t id[255];     /* the connection's routing id */
} peer_t;
bool peer_equal(const peer_t *a, const peer_t *b);

typedef struct envelope {
    message_id_t id;
    const void *message; /* the msg_…_t; valid during the handler */
    bytes_t raw;         /* the msgpack map it was decoded from; valid during the handler */
    frame_t *body;       /* the second frame, NULL where there is none; frame_move it to keep it */
    const char *from;    /* the actor that sent it; NULL: a peer did */
    const peer_t *peer;  /* NULL: an actor sent it */
    ticket_t ticket;     /* 0: no answer is waited for */
    uint64_t request;    /* its first ticket: another number than `ticket` where an earlier state was given it and did not answer */
} envelope_t;

/* An answer to something asked: either `message` (of the class that answers the request) or `refusal` is set. */
typedef struct answer {
    const void *message;
    bytes_t raw;
    const refusal_t *refusal;
} answer_t;

typedef int handler_fn(void *state, const envelope_t *in, fault_t *why);
typedef int answer_fn(void *state, const answer_t *answer, uint64_t context, fault_t *why);
typedef int timer_fn(void *state, uint64_t context, fault_t *why);
typedef int watch_fn(void *state, int descriptor, fault_t *why);

typedef enum door_kind {
    DOOR_NONE,
    DOOR_ROUTER,  /* bound; peers connect */
    DOOR_DEALER,  /* connects to another actor's ROUTER in this process, as a client of its protocol */
    DOOR_LINE,    /* the same to a ROUTER that has only this one peer, LINE_ID; before each message that comes through the switchboard, all
                     that has arrived here is handled: so what was said here cannot be overtaken by what it led to elsewhere */
    DOOR_PUBLISH, /* bound; subscribers connect */
    DOOR_ZAP,     /* libzmq asks there whether connections are let in: zap.c */
} door_kind_t;
#define LINE_ID "line"

typedef struct door_spec {
    door_kind_t kind;
    endpoint_id_t endpoint;
    unsigned scope; /* the messages spoken there */
} door_spec_t;

enum { DOORS_MAX = 3, SENDS_MAX = 40 };

typedef struct actor_class {
    const char *name;
    const char *doc; /* one line */
    /* Makes the state: NULL and `why` set if that failed. `args`: a msgpack map for a source, otherwise empty. Unless actor_loading was
     * called, the actor is ready when it returns. */
    void *(*create)(actor_t *me, bytes_t args, fault_t *why);
    void (*destroy)(void **state); /* accepts NULL and half-built */
    handler_fn *takes[MESSAGE_COUNT];
    message_id_t sends[SENDS_MAX]; /* tells, asks and messages to peers; answers need not be declared. Ends with MSG_NONE */
    door_spec_t doors[DOORS_MAX];
    handler_fn *passes;                       /* takes a door's messages that `takes` does not: a gateway's */
    int (*settle)(void *state, fault_t *why); /* called when nothing more waits at this moment: write out what was gathered */
} actor_class_t;

/* ---- the world ---- */
int64_t actor_now(actor_t *me);   /* µs since the epoch */
int64_t actor_ticks(actor_t *me); /* µs of a clock that never jumps */
const config_t *actor_config(const actor_t *me);
const char *actor_name(const actor_t *me);
void actor_count(actor_t *me, counter_t counter, uint64_t n);

/* ---- start ---- */
/* In create: the state is not complete yet. What arrives is held back, answers excepted, until actor_loaded. */
void actor_loading(actor_t *me);
void actor_loaded(actor_t *me);

/* ---- to actors ---- */
void actor_tell(actor_t *me, const char *to, message_id_t id, const void *message);
/* Asks; `then` gets exactly one answer, unless this actor fails first. An absent or failing actor is a refusal `unavailable`. */
void actor_ask(actor_t *me, const char *to, message_id_t id, const void *message, answer_fn *then, uint64_t context);
/* Hands a request over: `to` answers it in this actor's place, even if this actor fails meanwhile. The message may be replaced. */
void actor_forward(actor_t *me, const envelope_t *in, const char *to);
void actor_forward_as(actor_t *me, ticket_t ticket, const char *to, message_id_t id, const void *message);

/* ---- answers ---- each ticket once; 0 is allowed and does nothing */
void actor_answer(actor_t *me, ticket_t ticket, const void *message); /* of the class that answers the request; NULL for OK */
void actor_refuse(actor_t *me, ticket_t ticket, error_code_t code, const char *field, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void actor_refuse_as(actor_t *me, ticket_t ticket, const refusal_t *no);

/* ---- to peers at a door ---- */
typedef enum sent { SENT, SENT_FULL, SENT_GONE } sent_t;
/* `body` may be NULL; it is moved out of on SENT and left alone otherwise. SENT_FULL: the peer reads too slowly; try again later. */
sent_t actor_send(actor_t *me, const peer_t *to, message_id_t id, const void *message, frame_t *body);
/* What messages to one peer cost in memory until it reads them, as far as it is not counted yet: one in many is, for those before it, too. */
typedef struct tab {
    size_t bytes;
} tab_t;
/* As actor_send, to peers who are sent much that they do not ask for one by one. `copied`: the bytes of the body that are kept for this message
 * alone. `tab`: the peer's; NULL: counted at once. */
sent_t actor_send_counted(actor_t *me, const peer_t *to, tab_t *tab, message_id_t id, const void *message, frame_t *body, size_t copied);
/* Has the peer so much of that to read that it should be sent no more for now? */
bool actor_is_behind(actor_t *me, const peer_t *to);
/* Closes the connection of a peer that is let go, as the peer was when it asked for something: what still waits for it to be read goes, too. */
void actor_dismiss(actor_t *me, const peer_t *peer);
/* Answers a peer's message that no ticket stands for: {"ok": false, "error": …}. */
void actor_refuse_peer(actor_t *me, const peer_t *to, error_code_t code, const char *field, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* At a DEALER door: tells or asks the actor behind it. `body` may be NULL and is moved out of. */
void actor_door_tell(actor_t *me, unsigned door, message_id_t id, const void *message, frame_t *body);
void actor_door_ask(actor_t *me, unsigned door, message_id_t id, const void *message, frame_t *body, answer_fn *then, uint64_t context);
/* At a PUBLISH door: two frames, the topic and a payload (a msgpack map). */
void actor_publish(actor_t *me, unsigned door, const char *topic, bytes_t payload);

/* The options that bound what peers may cost hold at its doors from now on. Before, and in every other actor, the defaults do. */
void actor_bound(actor_t *me, const msg_options_t *options);

/* ---- time and descriptors ---- */
timer_id_t actor_after(actor_t *me, int64_t us, timer_fn *then, uint64_t context); /* once */
void actor_cancel(actor_t *me, timer_id_t *timer);                                 /* sets it to 0; 0 is allowed */
void actor_watch(actor_t *me, int descriptor, watch_fn *then);                     /* when readable, until actor_unwatch */
void actor_unwatch(actor_t *me, int descriptor);                                   /* not watched: nothing to do */
void actor_watch_writable(actor_t *me, int descriptor, watch_fn *then);            /* when it takes more, until actor_unwatch_writable */
void actor_unwatch_writable(actor_t *me, int descriptor);

/* ---- what outlives the state: sockets of a foreign library, which new state finds here as it finds its doors ---- */
void actor_keep(actor_t *me, void *thing, void (*destroy)(void **thing)); /* once; `destroy` is called when the actor leaves */
void *actor_kept(const actor_t *me);                                      /* NULL: nothing yet */

/* ---- for the supervisor only ---- */
/* Starts a thread for an actor of that class and name; at the switchboard it is `address`, and from there it will tell the supervisor
 * ACTOR_READY or ACTOR_FAILED. `args` is copied. */
int actor_spawn(actor_t *me, const actor_class_t *class, const char *name, const char *address, bytes_t args, fault_t *why);
/* Waits for a stopped actor's thread, which has nothing more to do. */
void actor_reap(actor_t *me, const char *address);
/* Leaves, once the handler has returned. */
void actor_leave(actor_t *me);

#endif
