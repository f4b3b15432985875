/* Topics of Kafka's, in memory: librdkafka's own mock cluster, in a process of its own. It keeps 5 MiB of a partition, so there are many. What reads
 * alone takes batches off one queue for all partitions. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outside.h"

enum {
    MESSAGES_A_SECOND = 1000000,
    PARTITIONS = 32,
    KEPT = 9 * 512 * 1024,
    AROUND = 16,
    AT_ONCE = 10000,
    WAIT_MS = 5,
    PATIENCE_MS = 10000
};
#define TOPIC "bench"

/* ---- the cluster ---- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK) return;
    fprintf(stderr, "reprise-bench: librdkafka: %s\n", text);
    exit(2);
}

static rd_kafka_t *client_of(rd_kafka_type_t type, const char *server) {
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", server);
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof text);
    must(client);
    return client;
}

static void fill(rd_kafka_t *producer, size_t size, int64_t count) {
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, TOPIC, NULL);
    char *value = calloc(1, size + 1);
    must(topic && value);
    for (int64_t i = 0; i < count;) {
        int32_t partition = (int32_t)(i / (count / PARTITIONS + 1));
        if (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value, size, NULL, 0, NULL) == 0)
            i++;
        else
            rd_kafka_poll(producer, 10);
    }
    must(rd_kafka_flush(producer, PATIENCE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_destroy(topic);
    free(value);
}

int outside_kafka_main(const char *size, const char *count) {
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "test.mock.num.brokers", "1");
    set(conf, "log_level", "3"); /* it tells that it is a mock */
    set(conf, "linger.ms", "50");
    set(conf, "batch.num.messages", "10000");
    set(conf, "queue.buffering.max.messages", "200000");
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    must(producer);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(producer);
    must(rd_kafka_mock_topic_create(cluster, TOPIC, PARTITIONS, 1) == RD_KAFKA_RESP_ERR_NO_ERROR);
    fill(producer, strtoull(size, NULL, 10), strtoll(count, NULL, 10));
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    for (;;) pause();
}

/* ---- reading ---- */

static int kafka_open(outside_t *outside, fault_t *why) {
    char program[4096 + 16], size[24], count[24];
    int64_t most = KEPT / (outside->bench->size + AROUND) * PARTITIONS, enough = outside_enough(outside, MESSAGES_A_SECOND);
    process_folder(program, 4096);
    strcat(program, "/reprise-bench");
    outside->elements = enough < most ? enough : most;
    snprintf(size, sizeof size, "%lld", (long long)outside->bench->size);
    snprintf(count, sizeof count, "%lld", (long long)outside->elements);
    const char *arguments[] = {program, "kafka", size, count, NULL};
    if (process_start(&outside->process, arguments, why) < 0) return -1;
    snprintf(outside->server, sizeof outside->server, "%.60s", outside->process.line);
    return 0;
}

/* The call waits until there are as many as were asked for, or the time is over: so it is short. */
static int messages_read(rd_kafka_queue_t *queue, meter_t *meter, fault_t *why) {
    rd_kafka_message_t **messages = calloc(AT_ONCE, sizeof(rd_kafka_message_t *));
    must(messages);
    int64_t until = clock_ns() + PATIENCE_MS * INT64_C(1000000);
    for (bool more = true; more && clock_ns() < until;) {
        int64_t good = 0;
        ssize_t got = rd_kafka_consume_batch_queue(queue, WAIT_MS, messages, AT_ONCE);
        for (ssize_t i = 0; i < got; i++) {
            good += !messages[i]->err;
            rd_kafka_message_destroy(messages[i]);
        }
        if (good > 0) more = meter_add(meter, good);
    }
    free(messages);
    return meter->began ? 0 : fault_set(why, "nothing comes from Kafka: %s", rd_kafka_err2str(rd_kafka_last_error()));
}

static int kafka_read(outside_t *outside, meter_t *meter, fault_t *why) {
    rd_kafka_t *consumer = client_of(RD_KAFKA_CONSUMER, outside->server);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, TOPIC, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer);
    for (int32_t i = 0; i < PARTITIONS; i++) must(rd_kafka_consume_start_queue(topic, i, RD_KAFKA_OFFSET_BEGINNING, queue) == 0);
    int result = messages_read(queue, meter, why);
    for (int32_t i = 0; i < PARTITIONS; i++) rd_kafka_consume_stop(topic, i);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(consumer);
    return result;
}

static void kafka_pack(const outside_t *outside, msgpack_packer *packer) {
    msgpack_pack_map(packer, 2);
    outside_pack_text(packer, "server", outside->server);
    outside_pack_text(packer, "topics", TOPIC);
}

const outside_kind_t outside_kafka = {.name = "kafka",
                                      .what = "messages of a topic of 32 partitions, from their beginning",
                                      .peer = "librdkafka, batches of a queue",
                                      .open = kafka_open,
                                      .read = kafka_read,
                                      .pack = kafka_pack,
                                      .close = outside_stop};
