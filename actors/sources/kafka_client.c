/* What may be set by a payload is a list, and not all but a list: among librdkafka's properties are a library to be loaded, a command to be run
 * and a file to be written, and its next version may have more of them. Whoever may define a pipeline may not do these as the engine.
 *
 * No group: offsets are kept in the recording, together with the elements, and nothing is left behind on the broker. */
#include "kafka_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "payload.h"

enum { PASSWORD_MAX = 4096, WHY_MAX = 512, NAME_MAX_BYTES = 128, VALUE_MAX = 256 };

/* ---- what passes ---- */

/* As they are, or where they end in a point, all that begin so. */
static const char *const passing[] = {
    "api.version.",
    "broker.address.",
    "broker.version.fallback",
    "check.crcs",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "enable.ssl.certificate.verification",
    "fetch.",
    "isolation.level",
    "max.in.flight",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "metadata.max.age.ms",
    "queued.",
    "receive.message.max.bytes",
    "reconnect.backoff.",
    "socket.",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.sigalgs.list",
    "topic.metadata.",
};

/* What the payload says in a field of its own. */
static const struct {
    const char *name, *field;
} fields[] = {
    {"bootstrap.servers", "`server`"}, {"metadata.broker.list", "`server`"},
    {"auto.offset.reset", "`from`"},   {"security.protocol", "`tls` and `sasl`"},
    {"sasl.mechanism", "`sasl`"},      {"sasl.mechanisms", "`sasl`"},
    {"sasl.username", "`username`"},   {"sasl.password", "`password_file`"},
    {"ssl.ca.location", "`tls_ca`"},   {"ssl.certificate.location", "`tls_cert`"},
    {"ssl.key.location", "`tls_key`"},
};

static bool passes(const char *name) {
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        size_t size = strlen(passing[i]);
        if (passing[i][size - 1] == '.' ? strncmp(name, passing[i], size) == 0 : strcmp(name, passing[i]) == 0) return true;
    }
    return false;
}

static int setting_refuse(const char *urn, const char *name, fault_t *why) {
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i].name, name) == 0)
            return fault_set(why, "`%s`: `settings`: `%s` has a field of its own: %s", urn, name, fields[i].field);
    }
    if (strncmp(name, "group.", 6) == 0 || strstr(name, "commit"))
        return fault_set(why, "`%s`: `settings`: `%s` is of no use: the engine reads without a group, and commits nothing", urn, name);
    return fault_set(why, "`%s`: `settings`: `%s` is none of those that a payload may set: see docs/connectors.md", urn, name);
}

/* Sets what a payload gave; the library's own words name the property and the value. */
static int property_set(rd_kafka_conf_t *conf, const char *urn, const char *field, const char *name, const char *value, fault_t *why) {
    char text[WHY_MAX];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK) return 0;
    return fault_set(why, "`%s`: `%s`: %s", urn, field, text);
}

static bool text_copy(const msgpack_object *object, char *text, size_t size) {
    if (object->type != MSGPACK_OBJECT_STR || object->via.str.size >= size) return false;
    memcpy(text, object->via.str.ptr, object->via.str.size);
    text[object->via.str.size] = '\0';
    return true;
}

static bool value_copy(const msgpack_object *object, char *text, size_t size) {
    if (object->type == MSGPACK_OBJECT_BOOLEAN)
        snprintf(text, size, "%s", object->via.boolean ? "true" : "false");
    else if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        snprintf(text, size, "%" PRIu64, object->via.u64);
    else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        snprintf(text, size, "%" PRId64, object->via.i64);
    else
        return text_copy(object, text, size);
    return true;
}

static int setting_take(rd_kafka_conf_t *conf, const char *urn, const msgpack_object_kv *entry, fault_t *why) {
    char name[NAME_MAX_BYTES], value[VALUE_MAX];
    if (!text_copy(&entry->key, name, sizeof name))
        return fault_set(why, "`%s`: `settings`: a name must be text of less than %d bytes", urn, NAME_MAX_BYTES);
    if (!passes(name)) return setting_refuse(urn, name, why);
    if (!value_copy(&entry->val, value, sizeof value))
        return fault_set(why, "`%s`: `settings`: `%s` must be a number, true, false, or text of less than %d bytes", urn, name, VALUE_MAX);
    return property_set(conf, urn, "settings", name, value, why);
}

static int settings_take(rd_kafka_conf_t *conf, const char *urn, bytes_t settings, fault_t *why) {
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    int got = 0;
    if (msgpack_unpack_next(&unpacked, (const char *)settings.data, settings.size, NULL) != MSGPACK_UNPACK_SUCCESS ||
        unpacked.data.type != MSGPACK_OBJECT_MAP)
        got = fault_set(why, "`%s`: `settings` must be a map of librdkafka's properties, such as {\"fetch.wait.max.ms\": 100}", urn);
    for (uint32_t i = 0; got == 0 && i < unpacked.data.via.map.size; i++) got = setting_take(conf, urn, &unpacked.data.via.map.ptr[i], why);
    msgpack_unpacked_destroy(&unpacked);
    return got;
}

/* ---- who, and how ---- */

/* A client that cannot be asked for a password has none in its payload, which is kept and shown. */
static int password_take(rd_kafka_conf_t *conf, const char *urn, const char *path, const char *keys, fault_t *why) {
    char password[PASSWORD_MAX];
    int got = payload_password(urn, path, keys, password, sizeof password, why);
    if (got == 0) got = property_set(conf, urn, "password_file", "sasl.password", password, why);
    explicit_bzero(password, sizeof password);
    return got;
}

static int access_take(rd_kafka_conf_t *conf, const char *urn, const msg_kafka_payload_t *payload, const char *keys, fault_t *why) {
    static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL};
    static const char *const protocols[2][2] = {{"plaintext", "ssl"}, {"sasl_plaintext", "sasl_ssl"}};
    unsigned mechanism;
    bool tls = payload->has_tls ? payload->tls : payload->has_tls_ca || payload->has_tls_cert || payload->has_tls_key;
    if (payload_choice(urn, "sasl", payload->has_sasl ? payload->sasl : NULL, mechanisms, &mechanism, why) < 0) return -1;
    if (payload->has_username != payload->has_password_file) return fault_set(why, "`%s`: `username` and `password_file` go together", urn);
    if (payload->has_sasl && !payload->has_username) return fault_set(why, "`%s`: `sasl` needs a `username` and a `password_file`", urn);
    if (property_set(conf, urn, "tls", "security.protocol", protocols[payload->has_username][tls], why) < 0) return -1;
    if (!payload->has_username) return 0;
    if (property_set(conf, urn, "sasl", "sasl.mechanism", mechanisms[mechanism], why) < 0 ||
        property_set(conf, urn, "username", "sasl.username", payload->username, why) < 0)
        return -1;
    return password_take(conf, urn, payload->password_file, keys, why);
}

static int files_take(rd_kafka_conf_t *conf, const char *urn, const msg_kafka_payload_t *payload, const char *keys, fault_t *why) {
    const struct {
        bool given;
        const char *field, *name, *path;
    } files[] = {
        {payload->has_tls_ca, "tls_ca", "ssl.ca.location", payload->tls_ca},
        {payload->has_tls_cert, "tls_cert", "ssl.certificate.location", payload->tls_cert},
        {payload->has_tls_key, "tls_key", "ssl.key.location", payload->tls_key},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!files[i].given) continue;
        if (payload_file_check(urn, files[i].field, files[i].path, keys, why) < 0) return -1;
        if (access(files[i].path, R_OK) < 0) return fault_errno(why, "`%s`: `%s`: cannot read %s", urn, files[i].field, files[i].path);
        if (property_set(conf, urn, files[i].field, files[i].name, files[i].path, why) < 0) return -1;
    }
    return 0;
}

/* ---- the client ---- */

/* It would write to stderr from threads of its own. What matters comes as an event, too. */
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *line) {
    (void)client, (void)level, (void)facility, (void)line;
}

/* The queue is what is read ahead: it bounds the memory, and a second of reading has to fit in, as a fetcher whose queue was full looks
 * at it again only then. */
static int defaults_take(rd_kafka_conf_t *conf, const char *urn, fault_t *why) {
    static const char *const defaults[][2] = {
        {"client.id", "reprise"},
        {"auto.offset.reset", "error"},
        {"auto.commit.enable", "false"},
        {"enable.partition.eof", "true"},
        {"queued.min.messages", "200000"},
        {"queued.max.messages.kbytes", "32768"},
        {"fetch.max.bytes", "16777216"},
        {"reconnect.backoff.max.ms", "5000"},
        {"socket.keepalive.enable", "true"},
        {"topic.metadata.refresh.interval.ms", "60000"},
    };
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR);
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (property_set(conf, urn, "settings", defaults[i][0], defaults[i][1], why) < 0) return -1;
    }
    return 0;
}

rd_kafka_t *kafka_client_create(const char *urn, const msg_kafka_payload_t *payload, const char *keys, fault_t *why) {
    char text[WHY_MAX];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (defaults_take(conf, urn, why) < 0 || property_set(conf, urn, "server", "bootstrap.servers", payload->server, why) < 0 ||
        access_take(conf, urn, payload, keys, why) < 0 || files_take(conf, urn, payload, keys, why) < 0 ||
        (payload->has_settings && settings_take(conf, urn, payload->settings, why) < 0))
        goto fail;
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (client) return client;
    fault_set(why, "`%s`: %s", urn, text);
fail:
    rd_kafka_conf_destroy(conf);
    return NULL;
}
