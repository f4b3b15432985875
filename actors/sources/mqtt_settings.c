/* A payload is written by hand: each field that cannot be is named, with what stands there. */
#include "mqtt_settings.h"

#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "mqtt_place.h"
#include "payload.h"

enum {
    FILTERS_MAX = 64,
    PORT = 1883,
    PORT_TLS = 8883,
    PORT_MAX = 65535,
    INFLIGHT = 100,
    KEEP_ALIVE = 60,    /* s */
    KEEP_ALIVE_MIN = 5, /* the library takes no less */
    KEEP_ALIVE_MAX = 65535,
    SESSION = 24 * 3600, /* s */
};
static const int64_t session_max = UINT32_MAX - 1; /* the next number is "for ever" */

/* "host", "host:port", "[::1]:port". */
static int server_take(mqtt_settings_t *settings, const char *server, fault_t *why) {
    const char *end = server[0] == '[' ? strchr(server, ']') : strrchr(server, ':');
    const char *host = server[0] == '[' ? server + 1 : server;
    size_t size = end ? (size_t)(end - host) : strlen(host);
    const char *port = !end ? "" : *end == ']' ? end + 1 : end;
    char *rest = NULL;
    long number = *port == ':' ? strtol(port + 1, &rest, 10) : settings->tls ? PORT_TLS : PORT;
    bool bad_port = *port == ':' ? port[1] < '0' || port[1] > '9' || *rest || number < 1 || number > PORT_MAX : *port != '\0';
    if (bad_port || size == 0 || size >= sizeof settings->host || (server[0] == '[' && !end) || strpbrk(server, ", /"))
        return fault_set(why, "`" MQTT_URN "`: `server` must be a broker, `host` or `host:port`, not `%.64s`", server);
    memcpy(settings->host, host, size);
    settings->host[size] = '\0';
    settings->port = (int)number;
    return 0;
}

static int number_take(int64_t given, bool has, int64_t least, int64_t most, int64_t otherwise, const char *field, int64_t *ret_number,
                       fault_t *why) {
    if (has && (given < least || given > most))
        return fault_set(why, "`" MQTT_URN "`: `%s` must be %lld to %lld, not %lld", field, (long long)least, (long long)most,
                         (long long)given);
    *ret_number = has ? given : otherwise;
    return 0;
}

/* The same for this stream of this job, also in another process; of no more than 23 letters and digits, which any broker takes. */
static int client_id_take(mqtt_settings_t *settings, const char *given, const msg_source_args_t *args, fault_t *why) {
    if (given && (strlen(given) == 0 || strlen(given) >= sizeof settings->client_id))
        return fault_set(why, "`" MQTT_URN "`: `client_id` must have 1 to %zu bytes, not %zu", sizeof settings->client_id - 1,
                         strlen(given));
    XXH64_hash_t job = XXH3_64bits(args->job, strlen(args->job));
    XXH64_hash_t stream = XXH3_64bits_withSeed(args->tag, strlen(args->tag), job);
    settings->is_named = given != NULL;
    if (given)
        snprintf(settings->client_id, sizeof settings->client_id, "%s", given);
    else
        snprintf(settings->client_id, sizeof settings->client_id, "reprise%016llx", (unsigned long long)stream);
    return 0;
}

static int tls_take(mqtt_settings_t *settings, const msg_mqtt_payload_t *payload, const char *keys, fault_t *why) {
    const struct {
        const char *field, *path;
        const char **ret_path;
    } files[] = {
        {"tls_ca", payload->has_tls_ca ? payload->tls_ca : NULL, &settings->tls_ca},
        {"tls_cert", payload->has_tls_cert ? payload->tls_cert : NULL, &settings->tls_cert},
        {"tls_key", payload->has_tls_key ? payload->tls_key : NULL, &settings->tls_key},
    };
    bool named = false;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!files[i].path) continue;
        if (payload_file_check(MQTT_URN, files[i].field, files[i].path, keys, why) < 0) return -1;
        FILE *file = fopen(files[i].path, "re");
        if (!file) return fault_errno(why, "`" MQTT_URN "`: `%s`: cannot read %.200s", files[i].field, files[i].path);
        fclose(file);
        *files[i].ret_path = files[i].path;
        named = true;
    }
    if (!settings->tls_cert != !settings->tls_key)
        return fault_set(why, "`" MQTT_URN "`: `tls_cert` and `tls_key` must both be given, or neither");
    settings->tls = payload->has_tls ? payload->tls : named;
    return 0;
}

int mqtt_settings_take(mqtt_settings_t *settings, const msg_mqtt_payload_t *payload, const msg_source_args_t *args, const char *keys,
                       fault_t *why) {
    static const char *const protocols[] = {"5", "3.1.1", NULL};
    unsigned protocol;
    int64_t keep_alive = 0, inflight = 0;
    if (payload_choice(MQTT_URN, "protocol", payload->has_protocol ? payload->protocol : NULL, protocols, &protocol, why) < 0 ||
        tls_take(settings, payload, keys, why) < 0 || server_take(settings, payload->server, why) < 0 ||
        number_take(payload->keep_alive_s, payload->has_keep_alive_s, KEEP_ALIVE_MIN, KEEP_ALIVE_MAX, KEEP_ALIVE, "keep_alive_s",
                    &keep_alive, why) < 0 ||
        number_take(payload->inflight, payload->has_inflight, 1, MQTT_INFLIGHT_MAX, INFLIGHT, "inflight", &inflight, why) < 0 ||
        number_take(payload->session_s, payload->has_session_s, 1, session_max, SESSION, "session_s", &settings->session_s, why) < 0 ||
        client_id_take(settings, payload->has_client_id ? payload->client_id : NULL, args, why) < 0)
        return -1;
    settings->v5 = protocol == 0;
    settings->keep_alive = (int)keep_alive;
    settings->inflight = (int)inflight;
    settings->clean = payload->has_clean ? payload->clean : payload->has_qos && payload->qos == 0;
    settings->username = payload->has_username ? payload->username : NULL;
    if (payload->has_password_file && !settings->username && !settings->v5)
        return fault_set(why, "`" MQTT_URN "`: `password_file` needs a `username` in MQTT 3.1.1");
    if (!payload->has_password_file) return 0;
    return payload_password(MQTT_URN, payload->password_file, keys, settings->password, sizeof settings->password, why);
}

int mqtt_topics_take(mqtt_topics_t *topics, const msg_mqtt_payload_t *payload, fault_t *why) {
    if (payload->has_qos && payload->qos > 2)
        return fault_set(why, "`" MQTT_URN "`: `qos` must be 0, 1 or 2, not %lld", (long long)payload->qos);
    topics->qos = payload->has_qos && payload->qos == 0 ? 0 : 1;
    topics->retained = !payload->has_retained || payload->retained;
    topics->text = strdup(payload->topics);
    topics->filters = calloc(FILTERS_MAX, sizeof *topics->filters);
    must(topics->text && topics->filters);
    for (char *filter = topics->text, *end; filter; filter = end) {
        end = strchr(filter, ',');
        if (end) *end++ = '\0';
        if (topics->count == FILTERS_MAX) return fault_set(why, "`" MQTT_URN "`: `topics` has more than %d filters", FILTERS_MAX);
        if (!filter[0] || mosquitto_sub_topic_check(filter) != MOSQ_ERR_SUCCESS)
            return fault_set(why, "`" MQTT_URN "`: `topics`: `%.64s` is not a topic filter", filter);
        topics->filters[topics->count++] = filter;
    }
    return 0;
}

void mqtt_topics_fini(mqtt_topics_t *topics) {
    free(topics->text);
    free(topics->filters);
    *topics = (mqtt_topics_t){0};
}
