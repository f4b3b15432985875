/* What a payload of MQTT says, checked: the broker, and what to ask it for. */
#ifndef REPRISE_MQTT_SETTINGS_H
#define REPRISE_MQTT_SETTINGS_H

#include "../../messages/codec.h"
#include "../../messages/fault.h"

#define MQTT_URN "reprise:source:mqtt:v1"

/* Texts that are pointed to are the payload's. */
typedef struct mqtt_settings {
    char host[256];
    int port;
    char client_id[256];
    bool is_named; /* the payload gives it: somebody else may have used it */
    bool v5;
    bool clean; /* no session outlives the connection */
    int keep_alive, inflight;
    int64_t session_s; /* that the broker keeps a session without a connection */
    const char *username;
    char password[1024]; /* empty: none */
    bool tls;
    const char *tls_ca, *tls_cert, *tls_key; /* files; NULL: none */
} mqtt_settings_t;

typedef struct mqtt_topics {
    char *text; /* in which they are */
    char **filters;
    size_t count;
    int qos; /* 0 or 1 */
    bool retained;
} mqtt_topics_t;

/* `keys`: the folder of the engine's own keys. */
int mqtt_settings_take(mqtt_settings_t *settings, const msg_mqtt_payload_t *payload, const msg_source_args_t *args, const char *keys,
                       fault_t *why);

/* To be finished even after a failure. */
int mqtt_topics_take(mqtt_topics_t *topics, const msg_mqtt_payload_t *payload, fault_t *why);
void mqtt_topics_fini(mqtt_topics_t *topics);

#endif
