/* Doors: the sockets to the world outside, and what arrives there whatever it is. */
#ifndef REPRISE_DOORS_H
#define REPRISE_DOORS_H

#include "crowd.h"
#include "visitors.h"

typedef struct door {
    void *socket;  /* NULL: not open */
    void *monitor; /* hears of connections, and of handshakes that fail; NULL: nobody knocks from outside */
    door_kind_t kind;
    crowd_t crowd;        /* the connections */
    size_t crowd_max;     /* and how many there may be */
    visitors_t *visitors; /* NULL: nobody needs a key */
} door_t;

typedef struct door_message {
    peer_t from;
    prefix_t prefix;
    frame_t message, body; /* the receiver's to move or free, unless `unaddressed` */
    bool has_body;
    bool frames_lost;
    bool stranger;    /* came in over a socket that did not shake hands as a ZeroMQ socket */
    bool unaddressed; /* there was nothing in it to answer, or it is not for the actor: already dropped */
    const pass_t *pass;
} door_message_t;

int door_open(door_t *door, void *context, const config_t *config, const door_spec_t *spec, fault_t *why);
void door_close(door_t *door);
bool door_receive(door_t *door, unsigned number, door_message_t *ret_message); /* false: nothing waits */
/* Notes on which connection the message came. */
void door_trace(const frame_t *message, peer_t *peer);
/* Did it come over a connection, and not from within the process? */
bool door_is_outside(const frame_t *message);
/* Closes that connection, if it is still the one: the I/O thread finds its end and does the rest. */
void door_dismiss(const peer_t *peer);
/* What happened at the door since it was last asked; false: nothing. */
typedef struct door_news {
    size_t failures; /* handshakes */
    size_t refused;  /* connections beyond the bound */
} door_news_t;
bool door_news(door_t *door, door_news_t *ret_news);
sent_t door_send(door_t *door, const peer_t *to, const prefix_t *prefix, frame_t *message, frame_t *body);

#endif
