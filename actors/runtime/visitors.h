/* Who stands at a door of an engine with keys: which connection speaks under which routing id, and with whose key.
 *
 * A client chooses its routing id itself. So a routing id alone is no reason to send anything: what a connection asked goes back to that
 * connection or to nobody. A peer's id is therefore the routing id with the connection's number behind it, and before each sending the
 * connection is seen to be there still; while it is, libzmq gives its routing id to no other (HANDOVER is off at such doors). */
#ifndef REPRISE_VISITORS_H
#define REPRISE_VISITORS_H

#include "host.h"

typedef struct visitors visitors_t;

visitors_t *visitors_create(void);
void visitors_destroy(visitors_t **visitors);

/* The user id that the authenticator gives a connection, and doors read: when it was let in, and who it is. */
typedef struct user {
    int64_t at;    /* the number of the keyring then */
    char who[128]; /* "write KEY NAME": the same as long as nothing about the key changes */
} user_t;
void user_format(int64_t at, permission_t permission, const char *key, const char *name, char ret_text[160]);
bool user_parse(const char *text, user_t *ret_user, pass_t *ret_pass);

typedef enum admission {
    ADMITTED, /* `ret_pass` says what it may; NULL: it is inside this process, and may everything */
    BARRED,   /* its key is no longer there, or it has none: drop what it sent */
} admission_t;

/* Who sent this frame, under that routing id? Extends the peer's id. `ret_pass` is valid until the next call. */
admission_t visitors_admit(visitors_t *visitors, frame_t *frame, peer_t *peer, const pass_t **ret_pass);
/* This frame is of a connection that has no routing id: a subscriber's. */
void visitors_note(visitors_t *visitors, frame_t *frame);
/* May something be sent to this peer? `ret_size`: of the routing id alone. */
bool visitors_reach(visitors_t *visitors, const peer_t *peer, size_t *ret_size);
/* The keys as they are now, `who` of each: connections of others are cut. */
void visitors_know(visitors_t *visitors, int64_t at, const names_t *users);

#endif
