/* Topics of Kafka. A partition's offsets are its own and last, so the cursor is an offset for each of them, recorded together with the elements, and
 * the broker is told nothing: no group, no commits. Which partitions there are, and where each begins, is asked anew from time to time.
 *
 * librdkafka reads ahead into a queue of bounded size, in threads of its own; this actor is woken by a descriptor and takes from the queue what there
 * is credit for. What it does not take stops the fetching. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../messages/text.h"
#include "backoff.h"
#include "feed.h"
#include "kafka_client.h"
#include "kafka_places.h"
#include "kafka_scout.h"
#include "timing.h"

#define URN "reprise:source:kafka:v1"

enum {
    MESSAGES_AT_ONCE = 512,
    MESSAGES_A_TURN = 64 * 1024, /* taken without a look at the mailbox */
    REFUSALS_MAX = 2,            /* looks that failed as the broker knows the engine not: it may have just started, and not know yet */
    HEADERS_MAX = 256,           /* of a message, that are recorded */
    HEADER_NAME_MAX = 255,
};

typedef struct kafka {
    feed_t feed;
    timing_t timing;
    kafka_places_t places;
    bool metadata;                                  /* becomes attributes, too */
    kafka_scout_t *scout;                           /* has the client; NULL: closed */
    rd_kafka_t *client;                             /* NULL: closed */
    rd_kafka_topic_t **topics;                      /* handles, as in `places` */
    rd_kafka_queue_t *queue;                        /* of messages */
    rd_kafka_queue_t *events;                       /* of what befalls the client */
    int descriptor;                                 /* that both wake; -1: none */
    rd_kafka_message_t *messages[MESSAGES_AT_ONCE]; /* taken from the queue */
    size_t taken, used;
    msgpack_sbuffer attributes; /* of the message that is read */
    bool heard;                 /* the scout's report is there, and nothing was made of it yet */
    kafka_report_t report;
    int64_t refresh; /* µs until the scout looks again */
    timer_id_t look, turn;
    backoff_t backoff;
    bool away;         /* nobody answers: what comes there is not seen */
    bool refused;      /* the broker knows the engine not: what it said last, and says of each try, though it is told only once */
    unsigned refusals; /* looks that failed so */
    fault_t outside;   /* what went wrong there last; empty: nothing */
    fault_t failure;   /* why it cannot go on, to be said once nothing of the client's is held; empty: it can */
} kafka_t;

static int kafka_produce(void *state, fault_t *why);

/* ---- partitions ---- */

static bool reading_start(kafka_t *kafka, uint32_t topic, int32_t number, kafka_partition_t *partition) {
    if (rd_kafka_consume_start_queue(kafka->topics[topic], number, partition->next, kafka->queue) < 0) {
        feed_fail(&kafka->feed, "cannot read partition %" PRId32 " of %s: %s", number, kafka->places.topics[topic].name,
                  rd_kafka_err2str(rd_kafka_last_error()));
        return false;
    }
    partition->reading = true;
    return true;
}

static void reading_stop(kafka_t *kafka, uint32_t topic, int32_t number, kafka_partition_t *partition) {
    if (partition->reading) rd_kafka_consume_stop(kafka->topics[topic], number);
    partition->reading = false;
}

static void readings_start(kafka_t *kafka) {
    for (uint32_t i = 0; i < kafka->places.count && kafka->places.begun; i++) {
        for (int32_t n = 0; n < kafka->places.topics[i].count; n++) {
            kafka_partition_t *partition = kafka_places_at(&kafka->places, i, n);
            if (!partition || partition->reading || partition->lost || partition->over || partition->next < 0) continue;
            if (!reading_start(kafka, i, n, partition)) return;
        }
    }
}

static void messages_drop(kafka_t *kafka) {
    while (kafka->used < kafka->taken) rd_kafka_message_destroy(kafka->messages[kafka->used++]);
}

static void readings_stop(kafka_t *kafka) {
    for (uint32_t i = 0; i < kafka->places.count; i++) {
        for (int32_t n = 0; n < kafka->places.topics[i].count; n++) reading_stop(kafka, i, n, &kafka->places.topics[i].partitions[n]);
    }
    messages_drop(kafka);
}

/* The client is torn down then, and none of its messages may be left. */
static void failure_tell(kafka_t *kafka) {
    if (kafka->failure.text[0]) feed_fail(&kafka->feed, "%s", kafka->failure.text);
    kafka->failure.text[0] = '\0';
}

/* ---- what the cluster has ---- */

static int on_look(void *state, uint64_t context, fault_t *why) {
    kafka_t *kafka = state;
    (void)context, (void)why;
    kafka->look = 0;
    kafka->heard = false;
    kafka_scout_look(kafka->scout);
    return 0;
}

static void look_after(kafka_t *kafka, int64_t us) {
    actor_cancel(kafka->feed.me, &kafka->look);
    if (kafka->client && us >= 0) kafka->look = actor_after(kafka->feed.me, us, on_look, 0);
}

static void look_now(kafka_t *kafka) {
    look_after(kafka, 0);
}

static void kafka_send(kafka_t *kafka) {
    if (kafka->feed.count == 0 && !kafka->feed.has_gap) return;
    feed_send(&kafka->feed, kafka_places_cursor(&kafka->places), timing_watermark(&kafka->timing));
}

/* Of a partition that is over nothing more is waited for, by the watermark neither. */
static void lanes_set(kafka_t *kafka) {
    timing_lanes(&kafka->timing, kafka->places.lanes > 0 ? kafka->places.lanes : 1);
    for (uint32_t i = 0; i < kafka->places.count; i++) {
        for (int32_t n = 0; n < kafka->places.topics[i].count; n++) {
            const kafka_partition_t *partition = kafka_places_at(&kafka->places, i, n);
            if (partition && partition->over) timing_saw(&kafka->timing, partition->lane, INT64_MAX);
        }
    }
}

/* Whatever was read has been sent, with a cursor before the hole; the gap goes with the one behind it. False: there is no room for all of them. */
static bool losses_mend(kafka_t *kafka) {
    for (uint32_t i = 0; i < kafka->report.count; i++) {
        const kafka_sight_t *sight = &kafka->report.sights[i];
        fault_t gap;
        if (!feed_room(&kafka->feed)) return false;
        if (!kafka_places_mend(&kafka->places, sight, &gap)) continue;
        lanes_set(kafka);
        feed_gap(&kafka->feed, -1, "%s", gap.text);
        kafka_send(kafka);
    }
    return true;
}

/* Only while there is room: it may have to tell of gaps. */
static void report_take(kafka_t *kafka) {
    fault_t missing;
    bool begun = kafka->places.begun;
    kafka->heard = false;
    if (kafka->away) timing_missed(&kafka->timing);
    kafka->away = kafka->report.error != RD_KAFKA_RESP_ERR_NO_ERROR;
    kafka->refusals = kafka->report.error && kafka->refused ? kafka->refusals + 1 : 0;
    if (kafka->refusals == REFUSALS_MAX) {
        feed_fail(&kafka->feed, "`username`: %s", kafka->outside.text);
        return;
    }
    if (kafka->report.error) {
        feed_waiting(&kafka->feed, "kafka: %s", kafka->outside.text[0] ? kafka->outside.text : rd_kafka_err2str(kafka->report.error));
        look_after(kafka, backoff_next(&kafka->backoff));
        return;
    }
    kafka->refused = false;
    kafka->outside.text[0] = '\0';
    if (kafka_places_see(&kafka->places, &kafka->report, &missing) < 0) {
        feed_fail(&kafka->feed, "`topics`: %s", missing.text);
        return;
    }
    lanes_set(kafka);
    if (!losses_mend(kafka)) {
        kafka->heard = true; /* the rest when there is */
        return;
    }
    if (!begun && kafka->places.begun && kafka->places.from != KAFKA_FROM_EARLIEST)
        feed_place(&kafka->feed, kafka_places_cursor(&kafka->places));
    readings_start(kafka);
    if (missing.text[0]) {
        feed_waiting(&kafka->feed, "kafka: %s", missing.text);
        look_after(kafka, backoff_next(&kafka->backoff));
        return;
    }
    feed_waiting(&kafka->feed, NULL);
    backoff_reset(&kafka->backoff);
    look_after(kafka, kafka->refresh);
}

static int on_report(void *state, int descriptor, fault_t *why) {
    kafka_t *kafka = state;
    (void)descriptor;
    if (!kafka_scout_hear(kafka->scout, &kafka->report)) return 0;
    kafka->heard = true;
    return feed_room(&kafka->feed) ? kafka_produce(kafka, why) : 0;
}

/* ---- messages ---- */

static void attribute_pack(msgpack_packer *packer, const char *name, const char *value) {
    msgpack_pack_str_with_body(packer, name, strlen(name));
    msgpack_pack_str_with_body(packer, value, strlen(value));
}

/* Of several headers with one name the last counts, as in a map. */
static uint32_t headers_pack(msgpack_packer *packer, const rd_kafka_headers_t *headers, bool pack) {
    uint32_t count = 0;
    const char *name, *later;
    const void *value, *ignored;
    size_t size, unused;
    for (size_t i = 0; i < HEADERS_MAX && !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
        char key[sizeof "header." + HEADER_NAME_MAX];
        bool last = true;
        for (size_t n = i + 1; n < HEADERS_MAX && last && !rd_kafka_header_get_all(headers, n, &later, &ignored, &unused); n++)
            last = strcmp(name, later) != 0;
        count += last;
        if (!last || !pack) continue;
        snprintf(key, sizeof key, "header.%s", name);
        text_mend(key);
        msgpack_pack_str_with_body(packer, key, strlen(key));
        msgpack_pack_bin_with_body(packer, value ? value : "", value ? size : 0);
    }
    return count;
}

static bytes_t message_attributes(kafka_t *kafka, const rd_kafka_message_t *message) {
    msgpack_packer packer;
    rd_kafka_headers_t *headers = NULL;
    bytes_t key = timing_key(&kafka->timing);
    bool keyed = key.data || message->key;
    if (!keyed && !kafka->metadata) return (bytes_t){0};
    if (kafka->metadata && rd_kafka_message_headers(message, &headers)) headers = NULL;
    msgpack_sbuffer_clear(&kafka->attributes);
    msgpack_packer_init(&packer, &kafka->attributes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, (keyed ? 1 : 0U) + (kafka->metadata ? 3 : 0U) + (headers ? headers_pack(&packer, headers, false) : 0U));
    if (keyed) msgpack_pack_str_with_body(&packer, "key", 3);
    if (key.data)
        msgpack_pack_str_with_body(&packer, key.data, key.size);
    else if (keyed)
        msgpack_pack_bin_with_body(&packer, message->key, message->key_len);
    if (kafka->metadata) {
        char number[24];
        attribute_pack(&packer, "topic", rd_kafka_topic_name(message->rkt));
        snprintf(number, sizeof number, "%" PRId32, message->partition);
        attribute_pack(&packer, "partition", number);
        snprintf(number, sizeof number, "%" PRId64, message->offset);
        attribute_pack(&packer, "offset", number);
    }
    if (headers) headers_pack(&packer, headers, true);
    return (bytes_t){(const uint8_t *)kafka->attributes.data, kafka->attributes.size};
}

static int64_t message_time(const kafka_t *kafka, const rd_kafka_message_t *message) {
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(message, &type);
    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0 || ms > INT64_MAX / 1000 ? kafka->timing.arrival : ms * 1000;
}

static void message_fail(kafka_t *kafka, const rd_kafka_message_t *message, const char *text) {
    fault_set(&kafka->failure, "offset %" PRId64 " of partition %" PRId32 " of %s: %s", message->offset, message->partition,
              rd_kafka_topic_name(message->rkt), text);
}

static void message_add(kafka_t *kafka, const rd_kafka_message_t *message, kafka_partition_t *partition) {
    fault_t why;
    int64_t time;
    bytes_t value = {message->payload, message->len};
    int got = timing_read(&kafka->timing, value, message_time(kafka, message), &time, &why);
    if (got < 0) {
        message_fail(kafka, message, why.text);
        return;
    }
    if (got == TIMING_SKIP) {
        partition->next = message->offset + 1;
        return;
    }
    bytes_t attributes = message_attributes(kafka, message);
    if (attributes.size > FEED_ELEMENT_MAX || value.size > FEED_ELEMENT_MAX - attributes.size) {
        fault_set(&why, "it has %zu bytes, and an element takes %d", value.size + attributes.size, FEED_ELEMENT_MAX);
        message_fail(kafka, message, why.text);
        return;
    }
    partition->next = message->offset + 1;
    timing_saw(&kafka->timing, partition->lane, time);
    uint8_t *at = feed_element(&kafka->feed, time, value.size, attributes);
    if (value.size > 0) memcpy(at, value.data, value.size);
}

/* ---- what is no message ---- */

static void partition_over(kafka_t *kafka, uint32_t topic, int32_t number, kafka_partition_t *partition) {
    partition->over = true;
    timing_saw(&kafka->timing, partition->lane, INT64_MAX);
    reading_stop(kafka, topic, number, partition);
}

static void partition_trouble(kafka_t *kafka, const rd_kafka_message_t *message, uint32_t topic, kafka_partition_t *partition) {
    switch ((int)message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: /* what is before it, and is no message, is the broker's own */
        if (message->offset > partition->next) partition->next = message->offset;
        if (partition->next < partition->end) look_now(kafka); /* one that knows less than the leader said this, or the end is gone */
        return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        partition->lost = true;
        reading_stop(kafka, topic, message->partition, partition);
        look_now(kafka);
        return;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: message_fail(kafka, message, rd_kafka_message_errstr(message)); return;
    default: /* the scout finds out whether it lasts */
        fault_set(&kafka->outside, "partition %" PRId32 " of %s: %s", message->partition, rd_kafka_topic_name(message->rkt),
                  rd_kafka_message_errstr(message));
        look_now(kafka);
    }
}

static void message_take(kafka_t *kafka, const rd_kafka_message_t *message) {
    uint32_t topic = 0;
    while (topic < kafka->places.count && kafka->topics[topic] != message->rkt) topic++;
    kafka_partition_t *partition = kafka_places_at(&kafka->places, topic, message->partition);
    if (!partition || !partition->reading) return; /* a late word of one that was stopped */
    if (message->err)
        partition_trouble(kafka, message, topic, partition);
    else if (partition->end >= 0 && message->offset >= partition->end)
        partition_over(kafka, topic, message->partition, partition);
    else if (message->offset >= partition->next)
        message_add(kafka, message, partition);
    if (partition->end >= 0 && partition->next >= partition->end && !partition->over)
        partition_over(kafka, topic, message->partition, partition);
}

static bool messages_get(kafka_t *kafka) {
    if (kafka->used < kafka->taken) return true;
    ssize_t got = rd_kafka_consume_batch_queue(kafka->queue, 0, kafka->messages, MESSAGES_AT_ONCE);
    kafka->used = 0;
    kafka->taken = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* ---- what befalls the client ---- */

static void event_take(kafka_t *kafka, rd_kafka_event_t *event) {
    rd_kafka_resp_err_t error = rd_kafka_event_error(event);
    if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        fault_set(&kafka->outside, "%s", rd_kafka_event_error_string(event));
        text_mend(kafka->outside.text);
        kafka->refused = error == RD_KAFKA_RESP_ERR__AUTHENTICATION;
    }
    if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && error != RD_KAFKA_RESP_ERR__AUTHENTICATION) return;
    kafka->away = true;
    feed_waiting(&kafka->feed, "kafka: %s", kafka->outside.text[0] ? kafka->outside.text : rd_kafka_event_error_string(event));
    if (!kafka->heard) look_now(kafka);
}

static void events_take(kafka_t *kafka) {
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(kafka->events, 0))) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) event_take(kafka, event);
        rd_kafka_event_destroy(event);
    }
}

static int on_wake(void *state, int descriptor, fault_t *why) {
    kafka_t *kafka = state;
    uint64_t count;
    if (read(descriptor, &count, sizeof count) < 0 && errno != EAGAIN)
        return fault_errno(why, "cannot read a descriptor of Kafka's client");
    events_take(kafka);
    return feed_room(&kafka->feed) ? kafka_produce(kafka, why) : 0;
}

/* ---- producing ---- */

static int on_turn(void *state, uint64_t context, fault_t *why) {
    kafka_t *kafka = state;
    (void)context;
    kafka->turn = 0;
    return feed_room(&kafka->feed) ? kafka_produce(kafka, why) : 0;
}

static int on_idle(void *state, uint64_t context, fault_t *why) {
    kafka_t *kafka = state;
    int64_t watermark;
    (void)context, (void)why;
    bool reads = feed_room(&kafka->feed) && kafka->places.begun && !kafka->away;
    if (timing_advance(&kafka->timing, reads, &watermark)) feed_watermark(&kafka->feed, kafka_places_cursor(&kafka->places), watermark);
    timing_arm(&kafka->timing, on_idle);
    return 0;
}

static int kafka_produce(void *state, fault_t *why) {
    kafka_t *kafka = state;
    (void)why;
    timing_begin(&kafka->timing);
    if (kafka->feed.was_full) timing_missed(&kafka->timing);
    if (kafka->heard) report_take(kafka);
    for (int count = 0; feed_room(&kafka->feed) && messages_get(kafka); count++) {
        if (count == MESSAGES_A_TURN) {
            if (!kafka->turn) kafka->turn = actor_after(kafka->feed.me, 0, on_turn, 0);
            break;
        }
        rd_kafka_message_t *message = kafka->messages[kafka->used++];
        message_take(kafka, message);
        rd_kafka_message_destroy(message);
        if (kafka->failure.text[0]) break;
        if (feed_full(&kafka->feed)) kafka_send(kafka);
    }
    kafka_send(kafka);
    failure_tell(kafka);
    if (feed_room(&kafka->feed) && kafka_places_over(&kafka->places)) feed_done(&kafka->feed);
    return 0;
}

static int kafka_resume(void *state, bytes_t cursor, fault_t *why) {
    kafka_t *kafka = state;
    fault_t unread;
    (void)why;
    readings_stop(kafka);
    if (kafka_places_resume(&kafka->places, URN, cursor, &unread) < 0) {
        feed_fail(&kafka->feed, "%s", unread.text);
        return 0;
    }
    timing_resume(&kafka->timing);
    lanes_set(kafka);
    timing_arm(&kafka->timing, on_idle);
    readings_start(kafka);
    if (kafka->client) look_now(kafka);
    return 0;
}

/* ---- life ---- */

static void kafka_close(void *state) {
    kafka_t *kafka = state;
    if (!kafka->client) return;
    readings_stop(kafka);
    actor_cancel(kafka->feed.me, &kafka->look);
    actor_cancel(kafka->feed.me, &kafka->turn);
    timing_disarm(&kafka->timing);
    actor_unwatch(kafka->feed.me, kafka->descriptor);
    rd_kafka_queue_io_event_enable(kafka->queue, -1, NULL, 0);
    rd_kafka_queue_io_event_enable(kafka->events, -1, NULL, 0);
    rd_kafka_queue_destroy(kafka->queue);
    rd_kafka_queue_destroy(kafka->events);
    close(kafka->descriptor);
    if (kafka->scout) actor_unwatch(kafka->feed.me, kafka_scout_descriptor(kafka->scout));
    kafka_scout_destroy(&kafka->scout);
    kafka->queue = kafka->events = NULL;
    kafka->client = NULL;
    kafka->heard = false;
}

static const feed_source_t kafka_source = {URN, kafka_resume, kafka_produce, kafka_close};

static void kafka_destroy(void **state) {
    kafka_t *kafka = *state;
    if (!kafka) return;
    kafka_close(kafka);
    kafka_places_fini(&kafka->places);
    timing_fini(&kafka->timing);
    feed_fini(&kafka->feed);
    msgpack_sbuffer_destroy(&kafka->attributes);
    free(kafka->topics);
    free(kafka);
    *state = NULL;
}

static int64_t refresh_of(rd_kafka_t *client) {
    char text[32] = "";
    size_t size = sizeof text;
    if (rd_kafka_conf_get(rd_kafka_conf(client), "topic.metadata.refresh.interval.ms", text, &size) != RD_KAFKA_CONF_OK) return -1;
    long long ms = strtoll(text, NULL, 10);
    return ms < 0 ? -1 : ms * 1000;
}

/* Connects in the background: what is wrong outside is heard of later. */
static int kafka_open(kafka_t *kafka, const msg_kafka_payload_t *payload, fault_t *why) {
    static const uint64_t one = 1;
    actor_t *me = kafka->feed.me;
    uint32_t count = kafka->places.count;
    kafka->descriptor = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC); /* what comes before it is known to the client wakes nobody */
    if (kafka->descriptor < 0) return fault_errno(why, "cannot make a descriptor for Kafka's client");
    kafka->client = kafka_client_create(URN, payload, actor_config(me)->keys, why);
    if (!kafka->client) {
        close(kafka->descriptor);
        return -1;
    }
    kafka->refresh = refresh_of(kafka->client);
    kafka->topics = calloc(count, sizeof(rd_kafka_topic_t *));
    must(kafka->topics);
    for (uint32_t i = 0; i < count; i++) {
        kafka->topics[i] = rd_kafka_topic_new(kafka->client, kafka->places.topics[i].name, NULL);
        must(kafka->topics[i]);
    }
    kafka->queue = rd_kafka_queue_new(kafka->client);
    kafka->events = rd_kafka_queue_get_main(kafka->client);
    must(kafka->queue && kafka->events);
    rd_kafka_queue_io_event_enable(kafka->queue, kafka->descriptor, &one, sizeof one);
    rd_kafka_queue_io_event_enable(kafka->events, kafka->descriptor, &one, sizeof one);
    actor_watch(me, kafka->descriptor, on_wake);
    kafka->scout = kafka_scout_create(kafka->client, kafka->topics, count, kafka->places.time_ms, why);
    if (!kafka->scout) return -1;
    actor_watch(me, kafka_scout_descriptor(kafka->scout), on_report);
    return 0;
}

static void *kafka_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_kafka_payload_t payload;
    void *state = calloc(1, sizeof(kafka_t));
    must(state);
    kafka_t *kafka = state;
    msgpack_sbuffer_init(&kafka->attributes);
    kafka->backoff.random = (uint64_t)actor_ticks(me);
    if (feed_init(&kafka->feed, me, &kafka_source, args, RECORD_CLASS(kafka_payload), &payload, why) < 0) goto fail;
    kafka->metadata = payload.metadata;
    const kafka_given_t given = {payload.topics, payload.has_partitions ? payload.partitions : NULL, payload.has_from ? payload.from : NULL,
                                 payload.has_until ? payload.until : NULL};
    if (timing_init(&kafka->timing, me, URN, TIMING_SYSTEM_STAMPS, TIMING_GIVEN(&payload), why) < 0 ||
        kafka_places_init(&kafka->places, URN, &given, why) < 0 || kafka_open(kafka, &payload, why) < 0)
        goto fail;
    feed_start(&kafka->feed);
    return state;
fail:
    kafka_destroy(&state);
    return NULL;
}

/* ---- the class ---- */

const actor_class_t source_kafka_class = {
    .name = "source_kafka",
    .doc = "Reads topics of Kafka.",
    .create = kafka_create,
    .destroy = kafka_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
