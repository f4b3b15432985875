/* One endpoint of somebody else's ZeroMQ: a SUB or PULL socket in a context of the source's own, and what its monitor says of it. No
 * thread, no actor: whoever has it waits for its two descriptors.
 *
 * libzmq connects again by itself, but says neither when it was away nor when it has given up, which it does after a handshake that went
 * wrong. Both are heard here: the one is a hole in what is recorded, and the other is made good by opening the intake again. */
#ifndef REPRISE_INTAKE_H
#define REPRISE_INTAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "../../messages/codec.h"
#include "../../messages/fault.h"
#include "../store/keyring.h"

enum { INTAKE_ENDPOINT_MAX = 255, INTAKE_SECRET_MAX = 255 };

typedef enum intake_guard { GUARD_NONE, GUARD_PLAIN, GUARD_CURVE } intake_guard_t;

/* How a source's endpoints are opened. */
typedef struct intake_way {
    bool subscribes; /* SUB; otherwise PULL */
    bool binds;
    const char *topics; /* prefixes, between commas; NULL: all */
    int queue;          /* messages that may wait */
    int64_t frame_max;  /* bytes of a frame: with a larger one, the connection ends */
    intake_guard_t guard;
    char username[INTAKE_SECRET_MAX + 1], password[INTAKE_SECRET_MAX + 1]; /* PLAIN */
    char server[KEY_TEXT + 1], public[KEY_TEXT + 1], secret[KEY_TEXT + 1]; /* CURVE: the other end's key, and our own */
    char keys[4096]; /* where it binds: the folder with the keys of those that are let in */
} intake_way_t;

typedef enum intake_news {
    INTAKE_NOTHING, /* there is no more news */
    INTAKE_CAME,    /* a connection stands */
    INTAKE_LEFT,    /* one that stood has ended */
    INTAKE_TROUBLE, /* one could not be made; `trouble` says why */
    INTAKE_BARRED,  /* the other end has said that it does not let us in */
} intake_news_t;

typedef struct intake {
    char endpoint[INTAKE_ENDPOINT_MAX + 1];
    void *socket, *monitor; /* NULL: it is not open */
    bool binds;
    uint64_t device, inode; /* of the file that it bound; 0: none */
    unsigned peers;         /* connections that stand */
    bool failing;           /* a handshake has failed, and the end of its connection is not heard yet */
    bool forsaken;          /* libzmq does not connect again */
    char trouble[160];      /* why nobody is connected; empty: not known */
} intake_t;

/* What the payload says of passwords and keys. `binds` must be set. `engine`: the folder of the engine's own keys. */
int intake_way_guard(intake_way_t *way, const char *urn, const msg_zmq_payload_t *payload, const char *engine, fault_t *why);

/* `server`, one of a list: `host:port`, or an endpoint as ZeroMQ has them. */
int intake_init(intake_t *intake, const char *server, size_t size, fault_t *why);
/* -1: errno is EINVAL where another try would fail as well. */
int intake_open(intake_t *intake, void *context, const intake_way_t *way, fault_t *why);
void intake_close(intake_t *intake);

/* The next news. */
intake_news_t intake_hear(intake_t *intake);

/* May there be a message? Also takes note of what made the descriptor readable. */
bool intake_pending(intake_t *intake);
/* The next frame. False: there is none now, or that was the last of its message. */
bool intake_receive(intake_t *intake, zmq_msg_t *frame, bool first);

/* Where anybody may connect: is this from one who never said to be ZeroMQ? libzmq takes an HTTP request for
 * a peer of its first versions. */
bool intake_is_stranger(const intake_t *intake, const intake_way_t *way, zmq_msg_t *frame);

/* Descriptors, that are readable when there may be something. */
int intake_descriptor(void *socket);

/* ---- who is let in, where intakes bind: RFC 27 ---- */
/* NULL: errno says why. It must be there before the first intake is opened. */
void *intake_porter(void *context);
/* Answers what was asked there. */
void intake_admit(void *porter, const intake_way_t *way);

#endif
