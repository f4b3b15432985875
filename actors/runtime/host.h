/* Between an actor and what carries it: a thread with ZeroMQ sockets (thread.c), or the tests' stage. The actor's side of it decides what
 * is delivered, held, answered and failed; the host only moves frames, and knows the time. */
#ifndef REPRISE_HOST_H
#define REPRISE_HOST_H

#include <poll.h>

#include "actor.h"

typedef struct host host_t;

enum {
    FRAMES_MAX = 8,   /* of one message from outside */
    WATCHES_MAX = 16, /* descriptors that an actor watches; one that is watched for both events counts twice */
};

/* What stands between the routing id and the message, mirrored in an answer: REQ's delimiter, and its correlation before that. */
typedef struct prefix {
    bool delimited;
    bool correlated;
    uint8_t correlation[4];
} prefix_t;

/* Who sent a message, where that had to be proved with a key. */
typedef struct pass {
    permission_t permission;
    char name[64]; /* the key's */
} pass_t;

typedef struct host_class {
    int64_t (*now)(host_t *host);
    int64_t (*ticks)(host_t *host);
    /* Sends through the switchboard; moves out of the frames. `body` may be NULL. */
    void (*route)(host_t *host, const char *to, frame_t *head, frame_t *message, frame_t *body);
    /* At a door. `to` and `prefix` are NULL for a DEALER, and for PUBLISH. Moves out of the frames on SENT. */
    sent_t (*send)(host_t *host, unsigned door, const peer_t *to, const prefix_t *prefix, frame_t *message, frame_t *body);
    void (*dismiss)(host_t *host, const peer_t *peer);
    int (*spawn)(host_t *host, const actor_class_t *class, const char *name, const char *address, bytes_t args, fault_t *why);
    void (*reap)(host_t *host, const char *address);
    /* Faults on demand: the thread blocks, for good where `ms` is 0; the process ends. */
    void (*hang)(host_t *host, int64_t ms);
    void (*crash)(host_t *host, const char *how);
    /* The keys of clients are these now; `users` as their user ids say it. */
    void (*know)(host_t *host, int64_t at, const names_t *users);
    /* Each door may have so many connections from outside; those that stand stay. */
    void (*bound)(host_t *host, int64_t connections);
} host_class_t;

struct host {
    const host_class_t *class;
};

/* The head of a message between actors: the msgpack array [how, message, number]. */
typedef enum head_kind { HEAD_TELL, HEAD_REQUEST, HEAD_ANSWER, HEAD_REFUSAL } head_kind_t;
typedef struct head {
    head_kind_t kind;
    message_id_t id;
    uint64_t number; /* the asker's, given back with the answer */
} head_t;
void head_encode(const head_t *head, frame_t *ret_frame);
bool head_decode(bytes_t in, head_t *ret_head);

/* ---- what a host does with its actor ---- */
actor_t *actor_new(const actor_class_t *class, const char *name, bytes_t args, host_t *host, const config_t *config);
void actor_free(actor_t **actor);
/* Creates the state; the supervisor is told how that went. */
void actor_start(actor_t *me);
/* The doors could not be opened: a failed start without any state. */
void actor_start_failed(actor_t *me, const fault_t *why);

/* A message from another actor: moves out of the frames. `body` may be NULL. */
void actor_receive(actor_t *me, const char *from, frame_t *head, frame_t *message, frame_t *body);
/* A message from a peer at a ROUTER door, or from the other end of a DEALER. `frames_lost`: it had more than FRAMES_MAX. `stranger`: the
 * peer did not shake hands as ZeroMQ sockets do, and gets no answer to nonsense. `pass`: what its key allows; NULL: everything. */
void actor_receive_peer(actor_t *me, const peer_t *from, const prefix_t *prefix, frame_t *message, frame_t *body, bool frames_lost,
                        bool stranger, const pass_t *pass);
void actor_ready_for(actor_t *me, const struct pollfd *polled); /* something has happened to what it watches */

int64_t actor_due(const actor_t *me); /* when, in ticks, the next timer is due; INT64_MAX: none */
void actor_run_timers(actor_t *me);
void actor_settle(actor_t *me);            /* nothing more waits */
bool actor_takes_peers(const actor_t *me); /* ready: its doors may be read */
bool actor_has_left(const actor_t *me);
const actor_class_t *actor_class_of(const actor_t *me);
/* The descriptors that it watches, to be polled as they are. */
const struct pollfd *actor_watched(const actor_t *me, size_t *ret_count);
size_t actor_mailbox(const actor_t *me); /* messages held back */

#endif
