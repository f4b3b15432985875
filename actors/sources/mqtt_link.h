/* A connection to a broker of MQTT that never waits for it: libmosquitto's, with the actor's descriptors as its loop.
 *
 * The library acknowledges each message as soon as it has it, which is before it is recorded. So it is told to leave what it has to say in
 * its queue until mqtt_link_write: acknowledgements wait there until the messages before them are recorded. */
#ifndef REPRISE_MQTT_LINK_H
#define REPRISE_MQTT_LINK_H

#include "../runtime/actor.h"
#include "mqtt_settings.h"

typedef struct mqtt_message {
    const char *topic;
    bytes_t payload;
    uint16_t id; /* packet identifier, with a QoS above 0 */
    int qos;
    bool retained; /* it was there before */
    bool again;    /* the broker says that it may have been given before. Only after mqtt_link_watch_again */
} mqtt_message_t;

/* What happens to a connection. `state` is the actor's. The first three are called within mqtt_link_read. */
typedef struct mqtt_listener {
    void (*up)(void *state, bool session);                             /* session: the broker had one */
    void (*subscribed)(void *state, const int *granted, size_t count); /* a QoS for each filter; above 2: it is refused */
    void (*message)(void *state, const mqtt_message_t *message);
    void (*readable)(void *state);                              /* there may be something to read */
    void (*down)(void *state, const char *text, bool for_good); /* it is closed. for_good: it will not be better */
} mqtt_listener_t;

typedef enum mqtt_fate { MQTT_STAYS, MQTT_CLOSES, MQTT_ENDS } mqtt_fate_t;

typedef struct mqtt_link {
    actor_t *me;
    const mqtt_settings_t *settings;
    const mqtt_listener_t *listener;
    void *state;
    struct addrinfo *addresses, *address; /* all of the host, and the one that is tried */
    int probe;                            /* a connection that is made to see whether there can be one; -1: none */
    struct mosquitto *client;             /* NULL: there is no connection */
    int socket;                           /* the client's that is watched; -1: none */
    timer_id_t timer;
    bool anew;        /* no session that there is already is to be used */
    bool up;          /* the broker has let us in */
    bool listens;     /* what comes is read now */
    bool writing;     /* the rest goes when the connection takes more */
    int held;         /* acknowledgements in the queue */
    bool inside;      /* the library is running: the connection cannot go at this moment, */
    mqtt_fate_t fate; /* but then */
    bool for_good;    /* it will not be better */
    uint64_t packets; /* messages and answers so far */
    bool again;       /* the message that is read is marked so */
    fault_t why;      /* it went down; empty: not known */
} mqtt_link_t;

/* Of an actor's state: whoever has a link defines it. */
mqtt_link_t *mqtt_link_of(void *state);

void mqtt_link_init(mqtt_link_t *link, actor_t *me, const mqtt_settings_t *settings, const mqtt_listener_t *listener, void *state);

/* Begins to connect; `up` or `down` follows. A name is looked up at once, which may take as long as the system's resolver lets it. `anew`: a
 * session of this name that there is already is another's, and is ended. */
void mqtt_link_open(mqtt_link_t *link, bool anew);
/* Without a word: the broker keeps the session, and gives again what was not acknowledged. */
void mqtt_link_close(mqtt_link_t *link);
/* Ends the session, too, if there is a connection. Waits for a short time until the broker has understood. */
void mqtt_link_end(mqtt_link_t *link);
bool mqtt_link_is_open(const mqtt_link_t *link); /* or about to be */

/* In `up`. */
void mqtt_link_subscribe(mqtt_link_t *link, char *const *filters, size_t count, int qos, bool retained);

/* What comes is read, or left where it is. */
void mqtt_link_listen(mqtt_link_t *link, bool listens);
/* Reads once. false: there was nothing, or the connection is down. */
bool mqtt_link_read(mqtt_link_t *link);
/* Says what is in the queue: all messages before are acknowledged. While `writing`, nothing is to be read: more would be acknowledged. */
void mqtt_link_write(mqtt_link_t *link);

/* From now on messages are marked that the broker gives again; it costs. */
void mqtt_link_watch_again(mqtt_link_t *link, bool watches);

#endif
