/* A broker of MQTT, and a program that publishes at it with QoS 0 as fast as it is let: packets that are made once, written to a socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <mosquitto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "outside.h"

enum { AT_ONCE = 256, KEEP_ALIVE_S = 60, WAIT_MS = 1000, PATIENCE = 10 };
#define TOPIC "bench"

typedef struct publisher {
    int socket;
    uint8_t *packets;
    size_t size;
    pthread_t thread;
} publisher_t;

/* ---- the broker, and who publishes ---- */

static size_t put_packet(uint8_t *at, size_t size) {
    size_t rest = 2 + strlen(TOPIC) + size, used = 1;
    at[0] = 3 << 4; /* PUBLISH, QoS 0 */
    for (size_t left = rest; used == 1 || left > 0; left >>= 7) at[used++] = (uint8_t)((left & 127) | (left > 127 ? 128 : 0));
    at[used++] = 0;
    at[used++] = (uint8_t)strlen(TOPIC);
    memcpy(at + used, TOPIC, strlen(TOPIC));
    memset(at + used + strlen(TOPIC), 'x', size);
    return used + strlen(TOPIC) + size;
}

static bool put_all(int socket, const uint8_t *bytes, size_t size) {
    for (ssize_t sent; size > 0; bytes += sent, size -= (size_t)sent)
        if ((sent = send(socket, bytes, size, MSG_NOSIGNAL)) <= 0) return false;
    return true;
}

static void *publish(void *data) {
    const publisher_t *publisher = data;
    while (put_all(publisher->socket, publisher->packets, publisher->size)) continue; /* until the socket is shut */
    return NULL;
}

static int publisher_connect(publisher_t *publisher, const outside_t *outside, fault_t *why) {
    static const uint8_t hello[] = {1 << 4, 16, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 4, 'f', 'e', 'e', 'd'};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint8_t answer[4] = {0};
    address.sin_port = htons((uint16_t)atoi(strchr(outside->server, ':') + 1));
    publisher->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (publisher->socket < 0 || connect(publisher->socket, (struct sockaddr *)&address, sizeof address) < 0)
        return fault_errno(why, "cannot connect to %s", outside->server);
    if (!put_all(publisher->socket, hello, sizeof hello) || recv(publisher->socket, answer, sizeof answer, MSG_WAITALL) != sizeof answer ||
        answer[0] != 2 << 4 || answer[3] != 0)
        return fault_set(why, "the broker at %s does not take us", outside->server);
    return 0;
}

static int publisher_start(outside_t *outside, fault_t *why) {
    publisher_t *publisher = calloc(1, sizeof *publisher);
    size_t size = (size_t)outside->bench->size;
    must(publisher);
    publisher->socket = -1;
    outside->own = publisher;
    if (publisher_connect(publisher, outside, why) < 0) return -1;
    publisher->packets = malloc(AT_ONCE * (size + 16));
    must(publisher->packets);
    for (int i = 0; i < AT_ONCE; i++) publisher->size += put_packet(publisher->packets + publisher->size, size);
    must(pthread_create(&publisher->thread, NULL, publish, publisher) == 0);
    return 0;
}

static int mqtt_open(outside_t *outside, fault_t *why) {
    char path[96];
    int port;
    if (outside_prepare(outside, &port, why) < 0) return -1;
    snprintf(path, sizeof path, "%s/conf", outside->folder);
    FILE *file = fopen(path, "w");
    if (!file) return fault_errno(why, "cannot create %s", path);
    fprintf(file, "listener %d 127.0.0.1\nallow_anonymous true\n", port);
    if (fclose(file) != 0) return fault_errno(why, "cannot write %s", path);
    const char *arguments[] = {"mosquitto", "-c", path, NULL};
    if (outside_start(outside, arguments, why) < 0) return -1;
    return publisher_start(outside, why);
}

static void mqtt_close(outside_t *outside) {
    publisher_t *publisher = outside->own;
    if (publisher) {
        if (publisher->socket >= 0) shutdown(publisher->socket, SHUT_RDWR);
        if (publisher->packets) pthread_join(publisher->thread, NULL);
        if (publisher->socket >= 0) close(publisher->socket);
        free(publisher->packets);
        free(publisher);
    }
    outside->own = NULL;
    outside_stop(outside);
}

/* ---- who reads ---- */

typedef struct subscriber {
    meter_t *meter;
    bool more;
} subscriber_t;

static void on_message(struct mosquitto *client, void *data, const struct mosquitto_message *message) {
    subscriber_t *subscriber = data;
    (void)client;
    (void)message;
    subscriber->more = subscriber->more && meter_one(subscriber->meter);
}

static int mqtt_read(outside_t *outside, meter_t *meter, fault_t *why) {
    subscriber_t subscriber = {meter, true};
    must(mosquitto_lib_init() == MOSQ_ERR_SUCCESS);
    struct mosquitto *client = mosquitto_new(NULL, true, &subscriber);
    must(client);
    mosquitto_message_callback_set(client, on_message);
    int said = mosquitto_connect(client, "127.0.0.1", atoi(strchr(outside->server, ':') + 1), KEEP_ALIVE_S);
    if (said == MOSQ_ERR_SUCCESS) said = mosquitto_subscribe(client, NULL, TOPIC, 0);
    int64_t until = clock_ns() + PATIENCE * INT64_C(1000000000);
    while (said == MOSQ_ERR_SUCCESS && subscriber.more && (meter->began || clock_ns() < until)) said = mosquitto_loop(client, WAIT_MS, 1);
    int result = 0;
    if (said != MOSQ_ERR_SUCCESS)
        result = fault_set(why, "the broker at %s: %s", outside->server, mosquitto_strerror(said));
    else if (!meter->began)
        result = fault_set(why, "nothing comes from the broker at %s", outside->server);
    mosquitto_disconnect(client);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return result;
}

static void mqtt_pack(const outside_t *outside, msgpack_packer *packer) {
    msgpack_pack_map(packer, 3);
    outside_pack_text(packer, "server", outside->server);
    outside_pack_text(packer, "topics", TOPIC);
    msgpack_pack_str_with_body(packer, "qos", 3);
    msgpack_pack_uint8(packer, 0);
}

const outside_kind_t outside_mqtt = {.name = "mqtt",
                                     .what = "messages with QoS 0 that a program publishes",
                                     .peer = "libmosquitto, mosquitto_loop",
                                     .open = mqtt_open,
                                     .read = mqtt_read,
                                     .pack = mqtt_pack,
                                     .close = mqtt_close};
