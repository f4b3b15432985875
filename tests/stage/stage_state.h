/* What the stage keeps. Only stage*.c see it. */
#ifndef REPRISE_STAGE_STATE_H
#define REPRISE_STAGE_STATE_H

#include "stage.h"

/* A message under way. */
typedef struct mail {
    struct mail *next;
    frame_t head, message, body; /* `head` is empty at a door */
    bool has_body;
    prefix_t prefix;
} mail_t;

/* What one sender has sent to one actor: it arrives in that order. Between lanes there is none. */
typedef struct lane {
    char from[256]; /* the actor that sends; empty: a door's */
    peer_t peer;    /* at a door: who sends, at which */
    mail_t *first, **last;
} lane_t;

/* An actor on the stage. */
typedef struct player {
    host_t host; /* first: the actor sees only this */
    stage_t *stage;
    const actor_class_t *class;
    char name[256];  /* at the switchboard */
    char title[256]; /* what the actor is called */
    frame_t args;
    actor_t *actor; /* NULL: has not started, or has left */
    bool left, ready, was_ready, start_fails;
    bool dirty;         /* has handled something since it settled */
    int64_t restart_at; /* in ticks; INT64_MAX: it needs none */
    lane_t **lanes;
    size_t lane_count;
    int64_t hung_until; /* its thread blocks, in ticks */
    size_t handled;
    size_t fail_after; /* 0: not at all */
    size_t lose;       /* so many requests of the kind `lost` */
    message_id_t lost;
    size_t failures;
    char failure[512];
} player_t;

typedef struct letter {
    struct letter *next;
    stage_message_t message;
} letter_t;

typedef struct letters {
    letter_t *first, **last; /* `last` is NULL while there has been none */
} letters_t;

/* The other end of a ROUTER door: a peer that the test plays, or the DEALER of an actor. */
typedef struct connection {
    struct connection *next;
    char router[256]; /* the actor with the door */
    peer_t peer;
    char dealer[256]; /* empty: the test's */
    unsigned dealer_door;
    bool blocked, gone, dismissed;
    letters_t letters; /* to the test's peer */
} connection_t;

typedef struct chunk {
    struct chunk *next;
    max_align_t data[];
} chunk_t;

struct stage {
    uint64_t seed, random;
    stage_t *next; /* of those that live */
    config_t config;
    bool own_data, tree;
    int64_t ticks, offset; /* now = ticks + offset */
    size_t timers_run;     /* at this moment */
    size_t watches_run, steps;
    size_t life; /* messages between actors until the process dies; 0: it does not */
    bool dead;
    player_t **players;
    size_t player_count;
    connection_t *connections;
    unsigned dealers;
    uint64_t asked;
    letters_t inbox, published;
    msgpack_zone *zone;
    chunk_t *chunks;
};

extern const host_class_t stage_host_class;

player_t *stage_player(const stage_t *stage, const char *name); /* NULL: there is none */
player_t *stage_player_add(stage_t *stage, const actor_class_t *class, const char *title, const char *name, bytes_t args);
size_t stage_choose(stage_t *stage, size_t count);

/* Moves out of the frames. */
void stage_post(player_t *player, const char *from, const peer_t *peer, const prefix_t *prefix, frame_t *head, frame_t *message,
                frame_t *body);
void stage_route(stage_t *stage, const char *from, const char *to, frame_t *head, frame_t *message, frame_t *body);
/* Delivers the next message of the lane. */
void stage_deliver(player_t *player, lane_t *lane);
void stage_player_settle(player_t *player);

connection_t *stage_connection(stage_t *stage, const char *router, unsigned door, const void *id, size_t size, bool make);
letter_t *stage_letter(stage_t *stage, const char *from, const char *to, bytes_t raw, const frame_t *body);
/* Finds out what a map at a door is. */
void stage_letter_read(stage_t *stage, letter_t *letter, unsigned scope);
void stage_letter_add(letters_t *letters, letter_t *letter);
/* Takes out the one that `at` points to. */
const stage_message_t *stage_letter_take(letters_t *letters, letter_t **at);
const void *stage_decode_as(stage_t *stage, message_id_t id, bytes_t raw, const char *from);
void stage_must_be_request(message_id_t id);
void stage_encode(frame_t *ret_frame, message_id_t id, const void *message, bool named, bytes_t echo);

#endif
