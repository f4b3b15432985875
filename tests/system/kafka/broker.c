/* A Kafka cluster for the system tests: the mock cluster of librdkafka, which speaks Kafka's protocol on real sockets and keeps what it is given
 * in memory. A test starts this program, reads where it listens, and tells it what to do: a line of JSON on stdin, and a line back, "ok" or why
 * not. It ends with its stdin. */
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messages/message.h"

enum { PATIENCE_MS = 30000, ERRORS_MAX = 64 };

typedef struct broker {
    rd_kafka_t *host; /* that the cluster lives in */
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *producer;
    rd_kafka_resp_err_t failed; /* a message that was not delivered */
    char why[512];
} broker_t;

/* ---- commands ---- */

static const char *text(const json_t *command, const char *field) {
    return json_string_value(json_object_get(command, field));
}

static long long number(const json_t *command, const char *field, long long otherwise) {
    const json_t *value = json_object_get(command, field);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static rd_kafka_resp_err_t do_topic(broker_t *broker, const json_t *command) {
    return rd_kafka_mock_topic_create(broker->cluster, text(command, "topic"), (int)number(command, "partitions", 1), 1);
}

typedef struct sent_message {
    bytes_t value, key; /* key: data NULL: none */
    long long time_ms;  /* 0: now */
    rd_kafka_headers_t *headers;
} sent_message_t;

static bytes_t bytes_of(const json_t *text) {
    return (bytes_t){(const uint8_t *)json_string_value(text), json_string_length(text)};
}

static void *data_of(bytes_t bytes) {
    return (void *)(uintptr_t)bytes.data;
}

static rd_kafka_resp_err_t message_send(broker_t *broker, const json_t *command, const sent_message_t *message) {
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = text(command, "topic")},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)number(command, "partition", 0)},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {data_of(message->value), message->value.size}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {data_of(message->key), message->key.size}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = message->time_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = message->headers},
    };
    for (;;) {
        rd_kafka_error_t *error = rd_kafka_produceva(broker->producer, parts, sizeof parts / sizeof parts[0] - !message->headers);
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        rd_kafka_error_destroy(error);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) return code;
        rd_kafka_poll(broker->producer, 100);
    }
}

static rd_kafka_headers_t *headers_of(const json_t *list) {
    rd_kafka_headers_t *headers = json_array_size(list) > 0 ? rd_kafka_headers_new(json_array_size(list)) : NULL;
    size_t i;
    json_t *header;
    json_array_foreach(list, i, header) {
        bytes_t value = bytes_of(json_array_get(header, 1));
        rd_kafka_header_add(headers, json_string_value(json_array_get(header, 0)), -1, value.data, (ssize_t)value.size);
    }
    return headers;
}

static rd_kafka_resp_err_t delivered(broker_t *broker) {
    rd_kafka_resp_err_t error = rd_kafka_flush(broker->producer, PATIENCE_MS);
    return error ? error : broker->failed;
}

/* `messages`: [value, time in ms, key, [[header, value] …]] each, of which all but the value may be missing or null. */
static rd_kafka_resp_err_t do_produce(broker_t *broker, const json_t *command) {
    size_t i;
    json_t *message;
    broker->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    json_array_foreach(json_object_get(command, "messages"), i, message) {
        rd_kafka_resp_err_t error =
            message_send(broker, command,
                         &(sent_message_t){bytes_of(json_array_get(message, 0)), bytes_of(json_array_get(message, 2)),
                                           json_integer_value(json_array_get(message, 1)), headers_of(json_array_get(message, 3))});
        if (error) return error;
    }
    return delivered(broker);
}

/* `count` messages of `size` bytes, which begin with their number. */
static rd_kafka_resp_err_t do_load(broker_t *broker, const json_t *command) {
    size_t size = (size_t)number(command, "size", 100);
    long long first = number(command, "first", 0), count = number(command, "count", 0);
    uint8_t *value = malloc(size + 32);
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    broker->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (long long i = first; value && i < first + count && !error; i++) {
        memset(value, 'x', size);
        value[snprintf((char *)value, 32, "%lld ", i)] = 'x';
        error = message_send(broker, command, &(sent_message_t){.value = {value, size}});
    }
    free(value);
    return error ? error : delivered(broker);
}

static rd_kafka_resp_err_t do_down(broker_t *broker, const json_t *command) {
    return rd_kafka_mock_broker_set_down(broker->cluster, (int32_t)number(command, "broker", -1));
}

static rd_kafka_resp_err_t do_up(broker_t *broker, const json_t *command) {
    return rd_kafka_mock_broker_set_up(broker->cluster, (int32_t)number(command, "broker", -1));
}

static rd_kafka_resp_err_t do_leader(broker_t *broker, const json_t *command) {
    return rd_kafka_mock_partition_set_leader(broker->cluster, text(command, "topic"), (int32_t)number(command, "partition", 0),
                                              (int32_t)number(command, "broker", -1));
}

static rd_kafka_resp_err_t do_refuse(broker_t *broker, const json_t *command) {
    rd_kafka_mock_topic_set_error(broker->cluster, text(command, "topic"), (rd_kafka_resp_err_t)number(command, "error", 0));
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The next requests of that API are answered with these errors. */
static rd_kafka_resp_err_t do_errors(broker_t *broker, const json_t *command) {
    rd_kafka_resp_err_t errors[ERRORS_MAX];
    const json_t *list = json_object_get(command, "errors");
    size_t count = json_array_size(list) < ERRORS_MAX ? json_array_size(list) : ERRORS_MAX;
    for (size_t i = 0; i < count; i++) errors[i] = (rd_kafka_resp_err_t)json_integer_value(json_array_get(list, i));
    rd_kafka_mock_push_request_errors_array(broker->cluster, (int16_t)number(command, "api", 0), count, errors);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static const struct {
    const char *name;
    rd_kafka_resp_err_t (*run)(broker_t *broker, const json_t *command);
} commands[] = {
    {"topic", do_topic}, {"produce", do_produce}, {"load", do_load},     {"down", do_down},
    {"up", do_up},       {"leader", do_leader},   {"refuse", do_refuse}, {"errors", do_errors},
};

static void command_run(broker_t *broker, const char *line) {
    json_t *command = json_loads(line, 0, NULL);
    const char *name = text(command, "do");
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
    for (size_t i = 0; name && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) error = commands[i].run(broker, command);
    }
    printf("%s\n", error ? rd_kafka_err2str(error) : "ok");
    fflush(stdout);
    json_decref(command);
}

/* ---- life ---- */

static void on_delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    broker_t *broker = opaque;
    (void)client;
    if (message->err) broker->failed = message->err;
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *line) {
    (void)client, (void)level, (void)facility, (void)line;
}

static rd_kafka_t *client_new(broker_t *broker, const char *servers) {
    static const char *const settings[][2] = {
        {"linger.ms", "1"}, {"message.max.bytes", "20000000"}, {"max.in.flight", "1"}, {"reconnect.backoff.max.ms", "100"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, broker);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
    rd_kafka_conf_set_log_cb(conf, on_log);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        rd_kafka_conf_set(conf, settings[i][0], settings[i][1], broker->why, sizeof broker->why);
    if (servers) rd_kafka_conf_set(conf, "bootstrap.servers", servers, broker->why, sizeof broker->why);
    return rd_kafka_new(RD_KAFKA_PRODUCER, conf, broker->why, sizeof broker->why);
}

int main(int count, char **words) {
    broker_t broker = {0};
    char *line = NULL;
    size_t room = 0;
    int brokers = count > 1 ? atoi(words[1]) : 1;
    broker.host = client_new(&broker, NULL);
    broker.cluster = broker.host ? rd_kafka_mock_cluster_new(broker.host, brokers) : NULL;
    if (broker.cluster) broker.producer = client_new(&broker, rd_kafka_mock_cluster_bootstraps(broker.cluster));
    if (!broker.producer) {
        fprintf(stderr, "cannot start a mock cluster: %s\n", broker.why);
        return 1;
    }
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(broker.cluster));
    fflush(stdout);
    while (getline(&line, &room, stdin) > 0) command_run(&broker, line);
    free(line);
    rd_kafka_purge(broker.producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(broker.producer);
    rd_kafka_mock_cluster_destroy(broker.cluster);
    rd_kafka_destroy(broker.host);
    return 0;
}
