/* MQTT has no positions: a broker keeps what a session has not acknowledged, and nothing else. So what comes with QoS 1 is acknowledged when it
 * is recorded, and not before, and what is recorded without its acknowledgement having arrived is known by its packet identifier
 * (mqtt_place.h): then nothing is missing and nothing is twice, whoever dies, as long as the broker keeps the session.
 *
 * QoS 2 is asked for as QoS 1: in it libmosquitto takes a message over from the broker before it hands it on, so that it is lost with the
 * engine, and what is twice is known here anyway.
 *
 * Where the session is gone, or what came had QoS 0, there is a gap. */
#include <errno.h>
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "backoff.h"
#include "feed.h"
#include "mqtt_link.h"
#include "mqtt_place.h"
#include "mqtt_settings.h"
#include "payload.h"
#include "timing.h"

#define URN MQTT_URN

enum {
    MESSAGES_A_TURN = 16 * 1024, /* read without a look at the mailbox */
    ATTRIBUTES_MAX = 2 * UINT16_MAX,
};

/* What may be missing from the recording, if it is not known to be there. */
typedef struct hole {
    bool open;
    bool certain;  /* whatever the broker says of the session */
    bool said;     /* and is on its way */
    int64_t since; /* µs since the epoch */
    char text[300];
} hole_t;

typedef struct mqtt {
    feed_t feed;
    timing_t timing;
    mqtt_settings_t settings;
    mqtt_link_t link;
    backoff_t backoff;
    timer_id_t retry, turn;
    mqtt_topics_t topics;
    mqtt_place_t place;     /* after what was read */
    msgpack_sbuffer cursor; /* of it */
    bool resumed;           /* there is a place */
    bool was_up;            /* the session that there may be is ours */
    bool stood;             /* before it was asked for, the session was known to stand */
    bool live;              /* subscribed */
    int again_left;         /* after so many messages that are new, no more comes again; 0: none does */
    int64_t heard;          /* the clock when something last came, µs since the epoch */
    hole_t hole;
    msgpack_sbuffer attributes; /* of the last message */
    char *topic;                /* its topic, if they have nothing else in them; NULL: they have */
    bool attributes_retained;
    fault_t failure; /* found while the library runs; it is told afterwards */
} mqtt_t;

mqtt_link_t *mqtt_link_of(void *state) {
    return &((mqtt_t *)state)->link;
}

/* ---- the place ---- */

static bool is_persistent(const mqtt_t *self) {
    return !self->settings.clean;
}

static bytes_t cursor(mqtt_t *self) {
    self->place.time = actor_now(self->feed.me);
    return mqtt_place_write(&self->place, &self->cursor);
}

static void batch_send(mqtt_t *self) {
    if (self->feed.count > 0 || self->feed.has_gap) feed_send(&self->feed, cursor(self), timing_watermark(&self->timing));
}

static void place_move(mqtt_t *self, mqtt_session_t session) {
    batch_send(self);
    self->place.session = session;
    self->place.count++;
    feed_place(&self->feed, cursor(self));
}

/* ---- holes ---- */

static void hole_open(mqtt_t *self, int64_t since, bool certain, const char *text) {
    hole_t *hole = &self->hole;
    if (!hole->open) {
        *hole = (hole_t){.open = true, .since = since};
        snprintf(hole->text, sizeof hole->text, "%s", text);
    }
    hole->certain |= certain;
    hole->said = false;
}

static void hole_say(mqtt_t *self) {
    hole_t *hole = &self->hole;
    if (!hole->open || hole->said) return;
    int64_t lost = actor_now(self->feed.me) - hole->since;
    batch_send(self);
    hole->said = true;
    self->place.count++;
    feed_gap(&self->feed, lost > 0 ? lost : 0, "mqtt: %s", hole->text);
    batch_send(self);
}

/* ---- connecting ---- */

static int on_retry(void *state, uint64_t context, fault_t *why);

/* Before a session is asked for that stood, it is recorded that it is: when the engine is killed then, the broker has one in any case, be
 * it the one that stood or an empty one that was begun for the question, and nobody could tell. */
static void go(mqtt_t *self) {
    if (!self->resumed || self->feed.phase != FEED_OPEN || self->retry || mqtt_link_is_open(&self->link)) return;
    if (is_persistent(self) && self->place.session == MQTT_STANDING) {
        self->stood = true;
        place_move(self, MQTT_ASKED);
    }
    if (self->feed.unacked == 0) mqtt_link_open(&self->link, self->place.session == MQTT_FRESH && !self->was_up);
}

static int on_retry(void *state, uint64_t context, fault_t *why) {
    mqtt_t *self = state;
    (void)context, (void)why;
    self->retry = 0;
    go(self);
    return 0;
}

static void on_down(void *state, const char *text, bool for_good) {
    mqtt_t *self = state;
    const mqtt_settings_t *settings = &self->settings;
    char lost[200];
    bool was_live = self->live;
    self->live = false;
    actor_cancel(self->feed.me, &self->turn);
    batch_send(self);
    if (for_good) {
        feed_fail(&self->feed, "mqtt: %s:%d: %s", settings->host, settings->port, text);
        return;
    }
    snprintf(lost, sizeof lost, "the connection to %.60s:%d was lost: %.100s", settings->host, settings->port, text);
    if (was_live) hole_open(self, self->heard, !is_persistent(self), lost);
    feed_waiting(&self->feed, "mqtt: %s:%d: %s", settings->host, settings->port, text);
    self->retry = actor_after(self->feed.me, backoff_next(&self->backoff), on_retry, 0);
}

static void live_begin(mqtt_t *self) {
    self->live = true;
    self->heard = actor_now(self->feed.me);
    backoff_reset(&self->backoff);
    feed_waiting(&self->feed, NULL);
    hole_say(self);
    if (!is_persistent(self) && self->place.count > 0) return;
    place_move(self, is_persistent(self) ? MQTT_STANDING : MQTT_BEGUN);
}

/* So many messages in a row that are new, and no more comes again. */
static int again_max(const mqtt_t *self) {
    return 2 * self->settings.inflight;
}

/* What the broker has kept closes the hole, if it can have kept all of it. */
static void on_up(void *state, bool session) {
    mqtt_t *self = state;
    hole_t *hole = &self->hole;
    bool stands = session && self->stood;
    if (hole->open && !stands && is_persistent(self) && !hole->certain)
        snprintf(hole->text, sizeof hole->text, "the broker %.100s:%d does not have the session any more", self->settings.host,
                 self->settings.port);
    if (hole->open && stands && self->place.reliable && !hole->certain) hole->open = false;
    if (!session) mqtt_place_forget(&self->place);
    self->again_left = session && self->place.used > 0 ? again_max(self) : 0;
    mqtt_link_watch_again(&self->link, self->again_left > 0);
    self->stood = false;
    self->was_up = true;
    if (stands) {
        live_begin(self);
        return;
    }
    self->place.session = MQTT_BEGUN;
    mqtt_link_subscribe(&self->link, self->topics.filters, self->topics.count, self->topics.qos, self->topics.retained);
}

static void on_subscribed(void *state, const int *granted, size_t count) {
    mqtt_t *self = state;
    for (size_t i = 0; i < count && i < self->topics.count; i++) {
        if (granted[i] > 2) {
            fault_set(&self->failure, "the broker refuses the topic filter `%.200s` in `topics`: %s", self->topics.filters[i],
                      self->settings.v5 ? mosquitto_reason_string(granted[i]) : "failure");
            return;
        }
        if (granted[i] < self->topics.qos) self->place.reliable = false;
    }
    live_begin(self);
}

/* ---- messages ---- */

/* More must not be acknowledged together with what is recorded. In MQTT 3.1.1 the broker does not know how many are expected at most. */
static bool may_read(const mqtt_t *self) {
    const mqtt_link_t *link = &self->link;
    return link->client && !link->writing && link->held < self->settings.inflight && feed_room(&self->feed) && !self->failure.text[0];
}

static void attribute_pack(msgpack_packer *packer, const char *name, const char *text, size_t size) {
    msgpack_pack_str_with_body(packer, name, strlen(name));
    msgpack_pack_str_with_body(packer, text, size);
}

/* The topic, the key, and whether it was retained. Most messages have the topic of the one before, and no key. */
static bytes_t attributes(mqtt_t *self, const mqtt_message_t *message) {
    msgpack_packer packer;
    bytes_t key = timing_key(&self->timing);
    bytes_t packed = {(const uint8_t *)self->attributes.data, self->attributes.size};
    if (self->topic && !key.data && self->attributes_retained == message->retained && strcmp(self->topic, message->topic) == 0)
        return packed;
    msgpack_sbuffer_clear(&self->attributes);
    msgpack_packer_init(&packer, &self->attributes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 1U + (key.data != NULL) + message->retained);
    attribute_pack(&packer, "topic", message->topic, strlen(message->topic));
    if (key.data) attribute_pack(&packer, "key", (const char *)key.data, key.size);
    if (message->retained) attribute_pack(&packer, "retained", "true", 4);
    free(self->topic);
    self->topic = key.data ? NULL : strdup(message->topic);
    self->attributes_retained = message->retained;
    return (bytes_t){(const uint8_t *)self->attributes.data, self->attributes.size};
}

/* Was it recorded before? Those that the broker gives again come first, but perhaps not before all others. */
static bool is_known(mqtt_t *self, const mqtt_message_t *message) {
    XXH64_hash_t topic = XXH3_64bits(message->topic, strlen(message->topic));
    XXH64_hash_t print = XXH3_64bits_withSeed(message->payload.data, message->payload.size, topic);
    mqtt_given_t given = {message->id, (uint32_t)print};
    if (self->again_left > 0 && message->again) {
        self->again_left = again_max(self);
        if (mqtt_place_has(&self->place, given)) return true;
    } else if (self->again_left > 0 && --self->again_left == 0) {
        mqtt_link_watch_again(&self->link, false);
    }
    mqtt_place_add(&self->place, given);
    return false;
}

static void message_add(mqtt_t *self, const mqtt_message_t *message) {
    int64_t time = 0;
    if (mosquitto_validate_utf8(message->topic, (int)strlen(message->topic)) != MOSQ_ERR_SUCCESS) {
        fault_set(&self->failure, "a message whose topic is not UTF-8");
        return;
    }
    fault_t why;
    int got = timing_read(&self->timing, message->payload, 0, &time, &why);
    if (got == TIMING_SKIP) return;
    if (got < 0) {
        fault_set(&self->failure, "a message at `%.200s`: %s", message->topic, why.text);
        return;
    }
    if (message->payload.size > FEED_ELEMENT_MAX - ATTRIBUTES_MAX) {
        fault_set(&self->failure, "a message at `%.200s` has %zu bytes, which are too many", message->topic, message->payload.size);
        return;
    }
    timing_saw(&self->timing, 0, time);
    uint8_t *at = feed_element(&self->feed, time, message->payload.size, attributes(self, message));
    if (message->payload.size > 0) memcpy(at, message->payload.data, message->payload.size);
    self->place.count++;
    if (feed_full(&self->feed)) batch_send(self);
}

static void on_message(void *state, const mqtt_message_t *message) {
    mqtt_t *self = state;
    if (self->failure.text[0] || self->feed.phase != FEED_OPEN) return;
    bool known = message->qos > 0 && is_known(self, message);
    if (message->qos == 0 && !message->retained) self->place.reliable = false;
    if (!known && (self->topics.retained || !message->retained)) {
        hole_say(self);
        message_add(self, message);
    }
    /* Over TLS the library reads on while it has something decrypted, unless it sees this. */
    if (!may_read(self)) errno = EAGAIN;
}

/* ---- reading ---- */

static int on_turn(void *state, uint64_t context, fault_t *why);

/* What was read is recorded, if it was worth it: then it is acknowledged. */
static void acknowledge(mqtt_t *self) {
    mqtt_link_t *link = &self->link;
    if (link->held > 0 && self->feed.unacked == 0 && !link->writing) mqtt_link_write(link);
}

static void failure_tell(mqtt_t *self) {
    fault_t why = self->failure;
    if (!why.text[0]) return;
    self->failure.text[0] = '\0';
    feed_fail(&self->feed, "mqtt: %s:%d: %s", self->settings.host, self->settings.port, why.text);
}

/* Reads until there is nothing more, or no room, or as many messages as may be without an acknowledgement, which they get when all of it is
 * recorded. */
static void read_on(void *state) {
    mqtt_t *self = state;
    mqtt_link_t *link = &self->link;
    acknowledge(self);
    if (link->held == 0 && may_read(self)) {
        bool more = true;
        timing_begin(&self->timing);
        self->heard = self->timing.arrival;
        for (int turns = 0; more && turns < MESSAGES_A_TURN && may_read(self); turns++) more = mqtt_link_read(link);
        batch_send(self);
        acknowledge(self);
        if (more && link->held == 0 && !self->turn) self->turn = actor_after(self->feed.me, 0, on_turn, 0);
    }
    failure_tell(self);
    mqtt_link_listen(link, link->held == 0 && may_read(self));
}

static int on_turn(void *state, uint64_t context, fault_t *why) {
    mqtt_t *self = state;
    (void)context, (void)why;
    self->turn = 0;
    read_on(self);
    return 0;
}

static int on_idle(void *state, uint64_t context, fault_t *why) {
    mqtt_t *self = state;
    int64_t watermark;
    (void)context, (void)why;
    batch_send(self);
    if (timing_advance(&self->timing, feed_room(&self->feed), &watermark)) feed_watermark(&self->feed, cursor(self), watermark);
    timing_arm(&self->timing, on_idle);
    return 0;
}

static const mqtt_listener_t listener = {
    .up = on_up, .subscribed = on_subscribed, .message = on_message, .readable = read_on, .down = on_down};

/* ---- the feed ---- */

static int mqtt_recorded(void *state, fault_t *why) {
    mqtt_t *self = state;
    (void)why;
    if (self->hole.said) self->hole = (hole_t){0};
    if (mqtt_link_is_open(&self->link))
        read_on(self);
    else
        go(self);
    return 0;
}

static int mqtt_produce(void *state, fault_t *why) {
    mqtt_t *self = state;
    (void)why;
    if (self->feed.was_full) timing_missed(&self->timing);
    read_on(self);
    go(self);
    return 0;
}

/* What was read behind the cursor is not recorded, and was not acknowledged: the broker gives it again on another connection. Unless
 * nothing was. */
static int mqtt_resume(void *state, bytes_t cursor, fault_t *why) {
    mqtt_t *self = state;
    mqtt_place_t place;
    (void)why;
    mqtt_place_init(&place, (size_t)self->settings.inflight);
    if (cursor.size > 0 && !mqtt_place_read(&place, cursor)) {
        mqtt_place_fini(&place);
        feed_fail(&self->feed, "the cursor of the recording is not one of `" URN "`");
        return 0;
    }
    bool same = self->resumed && place.count == self->place.count && place.session == self->place.session;
    if (!same) {
        int64_t since = cursor.size > 0 ? place.time : self->heard;
        bool lost = cursor.size > 0 || (self->resumed && self->place.count > 0);
        bool certain = !is_persistent(self) || (cursor.size > 0 && place.session != MQTT_STANDING);
        mqtt_link_close(&self->link);
        timing_resume(&self->timing);
        actor_cancel(self->feed.me, &self->turn);
        actor_cancel(self->feed.me, &self->retry);
        if (lost) hole_open(self, since, certain, "what came while the engine was away, or was not recorded, is gone");
        self->live = self->stood = false;
        mqtt_place_t former = self->place;
        self->place = place;
        place = former;
    }
    if (same && self->hole.said) self->hole = (hole_t){0};
    self->hole.said = false;
    self->resumed = true;
    mqtt_place_fini(&place);
    timing_arm(&self->timing, on_idle);
    go(self);
    return 0;
}

static void mqtt_stop(void *state) {
    mqtt_t *self = state;
    actor_cancel(self->feed.me, &self->retry);
    actor_cancel(self->feed.me, &self->turn);
    timing_disarm(&self->timing);
    if (self->feed.superseded)
        mqtt_link_close(&self->link);
    else
        mqtt_link_end(&self->link);
}

static const feed_source_t mqtt_source = {.urn = URN, .resume = mqtt_resume, .produce = mqtt_produce, .stop = mqtt_stop};

/* ---- life ---- */

static void mqtt_destroy(void **state) {
    mqtt_t *self = *state;
    if (!self) return;
    mqtt_link_close(&self->link);
    mqtt_place_fini(&self->place);
    mqtt_topics_fini(&self->topics);
    msgpack_sbuffer_destroy(&self->cursor);
    msgpack_sbuffer_destroy(&self->attributes);
    free(self->topic);
    timing_fini(&self->timing);
    feed_fini(&self->feed);
    free(self);
    *state = NULL;
}

static void *mqtt_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_mqtt_payload_t payload;
    void *state = calloc(1, sizeof(mqtt_t));
    must(state);
    mqtt_t *self = state;
    msgpack_sbuffer_init(&self->cursor);
    msgpack_sbuffer_init(&self->attributes);
    if (feed_init(&self->feed, me, &mqtt_source, args, RECORD_CLASS(mqtt_payload), &payload, why) < 0 ||
        mqtt_settings_take(&self->settings, &payload, &self->feed.args, actor_config(me)->keys, why) < 0 ||
        mqtt_topics_take(&self->topics, &payload, why) < 0 ||
        timing_init(&self->timing, me, URN, TIMING_SYSTEM_NONE, TIMING_GIVEN(&payload), why) < 0) {
        mqtt_destroy(&state);
        return NULL;
    }
    self->feed.recorded = mqtt_recorded;
    self->backoff.random = (uint64_t)actor_now(me);
    self->heard = actor_now(me);
    mqtt_place_init(&self->place, (size_t)self->settings.inflight);
    mqtt_link_init(&self->link, me, &self->settings, &listener, self);
    feed_start(&self->feed);
    return state;
}

/* ---- the class ---- */

const actor_class_t source_mqtt_class = {
    .name = "source_mqtt",
    .doc = "Reads the messages of an MQTT broker.",
    .create = mqtt_create,
    .destroy = mqtt_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
