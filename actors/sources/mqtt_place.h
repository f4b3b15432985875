/* How far a recording of MQTT has come, although MQTT has no positions: which messages are recorded whose acknowledgement the broker may not
 * have. These are what it gives again after a lost connection, and they are told by their packet identifier and a hash.
 *
 * That is enough, as a broker waits for no more than so many acknowledgements at a time (`inflight`), which are given in the order of the
 * messages: it can only give the last ones again. One that waits for more all the same (mosquitto 2.0.11 does, with a long queue) counts its
 * identifiers up; so if there were more in a row than may be waited for, all of these are known, by their number alone. */
#ifndef REPRISE_MQTT_PLACE_H
#define REPRISE_MQTT_PLACE_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../messages/message.h"

/* What is known of the session at the broker. */
typedef enum mqtt_session {
    MQTT_FRESH,    /* nothing is: there may be none */
    MQTT_BEGUN,    /* it was begun anew, and is not known to have the subscriptions */
    MQTT_STANDING, /* it has them: what it keeps follows what is recorded */
    MQTT_ASKED, /* it is asked for. An engine that dies now leaves one there, be it the one that stood or a new one, which looks the same */
    MQTT_SESSIONS
} mqtt_session_t;

typedef struct mqtt_given {
    uint16_t id;    /* packet identifier */
    uint32_t print; /* hash of topic and payload */
} mqtt_given_t;

typedef struct mqtt_place {
    int64_t count;          /* changes so far: two places of a recording with the same are the same */
    int64_t time;           /* the clock when it was this, µs since the epoch */
    mqtt_session_t session; /* that is recorded, or on its way to be */
    bool reliable;          /* every message so far came with QoS 1 at least: a session that stands has lost none */
    mqtt_given_t *given;    /* a ring of the last messages with QoS 1 */
    size_t inflight, used, next;
    uint16_t last; /* identifier */
    uint16_t run;  /* so many up to it came in a row, each one more than that before; 0: none */
} mqtt_place_t;

/* A broker gives again in the order in which it gave (MQTT 5, 4.6), and what is known is noted at once: a message that is not known has the identifier
 * behind the last one. So nearly the whole round of identifiers may be a row, and what is left of it is for a broker that skips some. */
enum { MQTT_INFLIGHT_MAX = 1000, MQTT_RUN_MAX = 60000 };

/* At the beginning. */
void mqtt_place_init(mqtt_place_t *place, size_t inflight);
void mqtt_place_fini(mqtt_place_t *place);

void mqtt_place_add(mqtt_place_t *place, mqtt_given_t given);
bool mqtt_place_has(const mqtt_place_t *place, mqtt_given_t given);
/* The broker gives none of them again. */
void mqtt_place_forget(mqtt_place_t *place);

/* As a cursor: in `out`, whose former content is replaced. */
bytes_t mqtt_place_write(const mqtt_place_t *place, msgpack_sbuffer *out);
/* Reads one back; false, and the place is as it was, where the cursor is something else. */
bool mqtt_place_read(mqtt_place_t *place, bytes_t cursor);

#endif
