/* Both sides have a socket, and nothing else in common: a byte means "look", and what comes back is a head and the sights, as they are in memory.
 * A socket that is closed ends the thread. It is detached, as nobody could wait for it without waiting for what it waits for. */
#include "kafka_scout.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

typedef struct report_head {
    rd_kafka_resp_err_t error;
    uint32_t count;
} report_head_t;

/* The thread's. */
typedef struct outpost {
    int socket;
    rd_kafka_t *client;
    rd_kafka_topic_t **topics;
    uint32_t topics_count;
    int64_t time_ms;
    kafka_sight_t *sights;
    int32_t *leaders; /* of each sight: a broker; -1: none */
    uint32_t count, room;
} outpost_t;

struct kafka_scout {
    int socket;
    bool looking;
    uint8_t *report;
    size_t used, room;
};

/* ---- looking ---- */

static void sight_add(outpost_t *outpost, kafka_sight_t sight, int32_t leader) {
    if (outpost->count == outpost->room) {
        outpost->room = outpost->room > 0 ? outpost->room * 2 : 16;
        outpost->sights = realloc(outpost->sights, outpost->room * sizeof *outpost->sights);
        outpost->leaders = realloc(outpost->leaders, outpost->room * sizeof *outpost->leaders);
        must(outpost->sights && outpost->leaders);
    }
    outpost->leaders[outpost->count] = leader;
    outpost->sights[outpost->count++] = sight;
}

static void topic_see(outpost_t *outpost, uint32_t topic, const rd_kafka_metadata_topic_t *seen) {
    if (seen->err || seen->partition_cnt == 0) {
        rd_kafka_resp_err_t error = seen->err ? seen->err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        sight_add(outpost, (kafka_sight_t){.topic = topic, .partition = -1, .error = error}, -1);
        return;
    }
    for (int i = 0; i < seen->partition_cnt; i++) {
        const rd_kafka_metadata_partition_t *partition = &seen->partitions[i];
        kafka_sight_t sight = {topic, partition->id, RD_KAFKA_RESP_ERR_NO_ERROR, {-1, -1, -1}};
        if (partition->leader < 0) sight.error = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
        sight_add(outpost, sight, partition->leader);
    }
}

/* One by one: a request for all the topics that the client knows may have the broker create those that are not there. */
static rd_kafka_resp_err_t topics_see(outpost_t *outpost) {
    for (uint32_t i = 0; i < outpost->topics_count; i++) {
        const struct rd_kafka_metadata *seen;
        rd_kafka_resp_err_t error = rd_kafka_metadata(outpost->client, 0, outpost->topics[i], &seen, PATIENCE_MS);
        if (error) return error;
        const rd_kafka_metadata_topic_t none = {.err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART};
        topic_see(outpost, i, seen->topic_cnt > 0 ? &seen->topics[0] : &none);
        rd_kafka_metadata_destroy(seen);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Asks one broker for the offsets at a time, or a logical offset, of all partitions that it leads. One that does not answer hides no other's. */
static void offsets_see(outpost_t *outpost, int32_t leader, int64_t at, unsigned which) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)outpost->count);
    for (uint32_t i = 0; i < outpost->count; i++) {
        const kafka_sight_t *sight = &outpost->sights[i];
        if (outpost->leaders[i] != leader || sight->error) continue;
        rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(outpost->topics[sight->topic]), sight->partition)->offset = at;
    }
    rd_kafka_resp_err_t error = list->cnt > 0 ? rd_kafka_offsets_for_times(outpost->client, list, PATIENCE_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (uint32_t i = 0, n = 0; i < outpost->count; i++) {
        kafka_sight_t *sight = &outpost->sights[i];
        if (outpost->leaders[i] != leader || sight->error) continue;
        const rd_kafka_topic_partition_t *answer = &list->elems[n++];
        sight->error = error ? error : answer->err;
        sight->offsets[which] = answer->offset >= 0 && answer->offset < INT64_MAX ? answer->offset : sight->offsets[KAFKA_END];
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static rd_kafka_resp_err_t look(outpost_t *outpost) {
    outpost->count = 0;
    rd_kafka_resp_err_t error = topics_see(outpost);
    for (uint32_t i = 0; i < outpost->count && !error; i++) {
        int32_t leader = outpost->leaders[i];
        bool asked = leader < 0;
        for (uint32_t n = 0; n < i && !asked; n++) asked = outpost->leaders[n] == leader;
        if (asked) continue;
        offsets_see(outpost, leader, RD_KAFKA_OFFSET_END, KAFKA_END);
        offsets_see(outpost, leader, RD_KAFKA_OFFSET_BEGINNING, KAFKA_BEGIN);
        if (outpost->time_ms >= 0) offsets_see(outpost, leader, outpost->time_ms, KAFKA_THEN);
    }
    return error;
}

/* ---- the thread ---- */

static bool send_all(int socket, const void *data, size_t size) {
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t sent = send(socket, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static void outpost_free(outpost_t *outpost) {
    for (uint32_t i = 0; i < outpost->topics_count; i++) rd_kafka_topic_destroy(outpost->topics[i]);
    rd_kafka_destroy(outpost->client);
    if (outpost->socket >= 0) close(outpost->socket);
    free(outpost->topics);
    free(outpost->sights);
    free(outpost->leaders);
    free(outpost);
}

static void *outpost_run(void *data) {
    outpost_t *outpost = data;
    for (;;) {
        char question;
        ssize_t got = recv(outpost->socket, &question, 1, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        report_head_t head = {.error = look(outpost)};
        head.count = head.error ? 0 : outpost->count;
        if (!send_all(outpost->socket, &head, sizeof head) ||
            !send_all(outpost->socket, outpost->sights, head.count * sizeof *outpost->sights))
            break;
    }
    outpost_free(outpost);
    return NULL;
}

static int outpost_start(outpost_t *outpost) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &attributes, outpost_run, outpost);
    pthread_attr_destroy(&attributes);
    return error;
}

/* ---- life ---- */

kafka_scout_t *kafka_scout_create(rd_kafka_t *client, rd_kafka_topic_t **topics, uint32_t count, int64_t time_ms, fault_t *why) {
    outpost_t *outpost = malloc(sizeof *outpost);
    kafka_scout_t *scout = calloc(1, sizeof *scout);
    int sockets[2] = {-1, -1};
    must(outpost && scout);
    scout->socket = -1;
    *outpost = (outpost_t){.socket = -1, .client = client, .topics_count = count, .time_ms = time_ms};
    outpost->topics = calloc(count, sizeof(rd_kafka_topic_t *));
    must(outpost->topics);
    for (uint32_t i = 0; i < count; i++) outpost->topics[i] = topics[i];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0) {
        fault_errno(why, "cannot make a socket for the partitions' places");
        goto fail;
    }
    scout->socket = sockets[0];
    outpost->socket = sockets[1];
    int error = outpost_start(outpost);
    if (error == 0) return scout;
    fault_set(why, "cannot start the thread for the partitions' places: %s", strerror(error));
fail:
    outpost_free(outpost);
    kafka_scout_destroy(&scout);
    return NULL;
}

void kafka_scout_destroy(kafka_scout_t **scout_) {
    kafka_scout_t *scout = *scout_;
    if (!scout) return;
    if (scout->socket >= 0) close(scout->socket);
    free(scout->report);
    free(scout);
    *scout_ = NULL;
}

/* ---- the other side ---- */

int kafka_scout_descriptor(const kafka_scout_t *scout) {
    return scout->socket;
}

void kafka_scout_look(kafka_scout_t *scout) {
    if (scout->looking) return;
    scout->looking = true;
    scout->used = 0;
    must(send(scout->socket, "?", 1, MSG_NOSIGNAL) == 1);
}

/* How large the report is, as far as that is known. */
static size_t report_size(const kafka_scout_t *scout) {
    if (scout->used < sizeof(report_head_t)) return sizeof(report_head_t);
    report_head_t head;
    memcpy(&head, scout->report, sizeof head);
    return sizeof head + head.count * sizeof(kafka_sight_t);
}

bool kafka_scout_hear(kafka_scout_t *scout, kafka_report_t *ret_report) {
    if (!scout->looking) return false;
    for (size_t size; scout->used < (size = report_size(scout));) {
        if (scout->room < size) {
            scout->report = realloc(scout->report, size);
            must(scout->report);
            scout->room = size;
        }
        ssize_t got = recv(scout->socket, scout->report + scout->used, size - scout->used, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        scout->used += (size_t)got;
    }
    report_head_t head;
    memcpy(&head, scout->report, sizeof head);
    *ret_report = (kafka_report_t){head.error, (const kafka_sight_t *)(const void *)(scout->report + sizeof head), head.count};
    scout->looking = false;
    return true;
}
