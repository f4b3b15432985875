/* The parsers of what servers send, and of cursors that are places in their streams: NATS, Redis, MQTT and Kafka. For outside_fuzz.c. */
#ifndef REPRISE_FUZZ_SERVERS_H
#define REPRISE_FUZZ_SERVERS_H

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "actors/sources/event_time.h"
#include "actors/sources/kafka_places.h"
#include "actors/sources/mqtt_place.h"
#include "actors/sources/nats_words.h"
#include "actors/sources/redis_reply.h"
#include "outside.h"

/* ---- NATS ---- */

static bool is_text(const json_t *in, const char *pointer, const char *text) {
    const json_t *value = event_time_find(in, pointer);
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* What is asked of a server is JSON, and says what was given. */
static void request_check(const char *stream, const char *subject, const nats_start_t *start) {
    char *request = nats_consumer_request(stream, subject, start);
    json_t *json = json_loads(request, 0, NULL);
    fault_t why;
    int64_t time;
    must(json && is_text(json, "/stream_name", stream) && is_text(json, "/config/filter_subject", subject));
    if (start->from == NATS_FROM_TIME)
        must(event_time_parse(json_string_value(event_time_find(json, "/config/opt_start_time")), &time, &why) == 0 && time == start->time);
    json_decref(json);
    free(request);
}

/* Where a message is, written as a server writes it, is where it was. And its time is one to begin at. */
static void nats_reply(draw_t *draw) {
    char reply[200];
    nats_place_t place, again;
    bytes_t given = draw_bytes(draw, SIZE_MAX);
    char *said = strndup((const char *)given.data, given.size);
    must(said);
    if (nats_place_read(said, &place)) {
        must(place.sequence >= 0 && place.delivery >= 0 && place.time >= 0 && place.pending >= 0);
        must(place.sequence < INT64_MAX && place.delivery < INT64_MAX); /* one more is still a number */
        snprintf(reply, sizeof reply, "$JS.ACK.s.c.1.%" PRId64 ".%" PRId64 ".%" PRId64 ".%" PRId64, place.sequence, place.delivery,
                 place.time * 1000, place.pending);
        must(nats_place_read(reply, &again) && memcmp(&place, &again, sizeof place) == 0);
        request_check("s", "a", &(nats_start_t){.from = NATS_FROM_TIME, .time = place.time});
    }
    free(said);
}

static void nats_answer(draw_t *draw) {
    nats_answer_t answer;
    fault_t why = {""};
    bytes_t json = draw_bytes(draw, SIZE_MAX);
    int got = nats_answer_read(json, &answer, &why);
    said_check(got, &why);
    if (got < 0) return;
    must(answer.code >= 0 && answer.first > 0 && answer.last >= 0 && answer.delivered >= 0 && answer.pending >= 0 && answer.made >= 0 &&
         answer.time >= 0);
    must(answer.last < INT64_MAX); /* one more is still a number */
    must(strlen(answer.text) < sizeof answer.text && strlen(answer.consumer) < sizeof answer.consumer);
    must(answer.code != 0 || answer.made != 0 || answer.time != 0);
}

static void nats_names(draw_t *draw) {
    char *stream = draw_string(draw), *subject = draw_string(draw), *from = draw_string(draw);
    nats_start_t start;
    fault_t why = {""};
    int got = nats_start_read(from, &start, &why);
    said_check(got, &why);
    must(got == 0 || strstr(why.text, "`from`"));
    bool sayable = text_valid(stream, strlen(stream)) && text_valid(subject, strlen(subject));
    if (got == 0 && sayable && nats_stream_valid(stream) && nats_subject_valid(subject)) request_check(stream, subject, &start);
    free(stream);
    free(subject);
    free(from);
}

/* ---- Redis: replies ---- */

enum { STREAMS_MAX = 3 };

/* What was told of replies. */
typedef struct told {
    uint64_t print;
    size_t streams, left; /* values that are still to come of the entry; 0: there is none */
    bool named;
} told_t;

static void told_add(told_t *told, char what, bytes_t bytes) {
    told->print = print_add(told->print + (uint64_t)(unsigned char)what, bytes);
}

static void told_number(told_t *told, char what, uint64_t number) {
    told_add(told, what, (bytes_t){(const uint8_t *)&number, sizeof number});
}

static void on_error(void *state, int part, bytes_t text) {
    told_number(state, 'e', (uint64_t)(int64_t)part);
    told_add(state, 'E', text);
    must(part >= -1);
}

static void on_info(void *state, size_t stream, const redis_info_t *info) {
    told_t *told = state;
    const uint64_t numbers[] = {info->exists,    info->counts,     (uint64_t)info->length, (uint64_t)info->added,
                                info->newest.ms, info->newest.seq, info->first.ms,         info->first.seq};
    must(stream < told->streams && info->length >= 0 && info->added >= 0 && (info->counts || info->added == 0));
    told_number(told, 'i', stream);
    told_add(told, 'I', (bytes_t){(const uint8_t *)numbers, sizeof numbers});
}

static void on_infos_end(void *state) {
    told_number(state, 'x', 0);
}

static void on_stream(void *state, bytes_t name) {
    told_add(state, 's', name);
}

static void on_entry(void *state, redis_id_t id, size_t fields) {
    told_t *told = state;
    must(fields > 0);
    told->left = fields;
    told_number(told, 'n', id.ms);
    told_number(told, 'N', id.seq);
}

static void on_field(void *state, bytes_t name) {
    told_t *told = state;
    must(told->left > 0);
    told->named = true;
    told_add(told, 'f', name);
}

static void on_value(void *state, bytes_t value, bool is_last) {
    told_t *told = state;
    must(told->left > 0);
    told->left = is_last ? 0 : told->left;
    told->named = false;
    told_add(told, is_last ? 'V' : 'v', value);
}

static void on_message(void *state, bytes_t channel, bytes_t value) {
    told_add(state, 'c', channel);
    told_add(state, 'm', value);
}

static void on_subscribed(void *state) {
    told_number(state, 'b', 0);
}

static void on_end(void *state, redis_shape_t shape) {
    told_number(state, '.', shape);
    ((told_t *)state)->left = 0;
}

static const redis_listener_t listener = {.error = on_error,
                                          .info = on_info,
                                          .infos_end = on_infos_end,
                                          .stream = on_stream,
                                          .entry = on_entry,
                                          .field = on_field,
                                          .value = on_value,
                                          .message = on_message,
                                          .subscribed = on_subscribed,
                                          .end = on_end};

/* `piece`: bytes that come at once. `shapes`: of the replies, in turn. */
static uint64_t replies_read(bytes_t bytes, size_t piece, unsigned shapes, size_t streams) {
    told_t told = {.streams = streams};
    redis_reply_t reply;
    redisReader *reader = redisReaderCreateWithFunctions(NULL);
    must(reader);
    redis_reply_init(&reply, &listener, &told, streams);
    redis_reply_attach(&reply, reader);
    reply.shape = (redis_shape_t)(shapes % (REDIS_PUSH + 1));
    for (size_t at = 0; at < bytes.size && reader->err == 0; at += piece) {
        size_t size = bytes.size - at < piece ? bytes.size - at : piece;
        void *object = NULL;
        must(redisReaderFeed(reader, (const char *)bytes.data + at, size) == REDIS_OK);
        while (redisReaderGetReply(reader, &object) == REDIS_OK && object) {
            on_end(&told, reply.shape);
            reply.shape = (redis_shape_t)((shapes /= REDIS_PUSH + 1) % (REDIS_PUSH + 1));
        }
    }
    told_add(&told, '!', text_bytes(reader->errstr));
    redisReaderFree(reader);
    redis_reply_fini(&reply);
    return told.print;
}

static void redis_replies(draw_t *draw) {
    unsigned shapes = (unsigned)draw_whole(draw, 2);
    size_t streams = 1 + draw_byte(draw) % STREAMS_MAX, piece = 1 + draw_byte(draw);
    bytes_t bytes = draw_bytes(draw, SIZE_MAX);
    must(replies_read(bytes, bytes.size + 1, shapes, streams) == replies_read(bytes, piece, shapes, streams));
}

/* ---- Redis: places ---- */

static void loss_check(const redis_loss_t *loss) {
    must(text_valid(loss->what, strlen(loss->what)) && loss->us >= -1);
}

/* Wherever it goes on, that can be recorded. */
static void places_check(const redis_place_t *places, size_t count) {
    redis_place_t again[STREAMS_MAX];
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    must(redis_cursor_read(redis_cursor_write(places, count, &out), again, count));
    must(memcmp(places, again, count * sizeof *places) == 0);
    msgpack_sbuffer_destroy(&out);
}

static void redis_cursor(draw_t *draw) {
    redis_place_t places[STREAMS_MAX];
    size_t count = 1 + draw_byte(draw) % STREAMS_MAX;
    char text[REDIS_ID_TEXT];
    redis_id_t id;
    redis_loss_t loss;
    int64_t info_numbers[3] = {(int64_t)draw_whole(draw, 8), (int64_t)draw_whole(draw, 8), (int64_t)draw_whole(draw, 8)};
    bytes_t cursor = draw_cursor(draw);
    if (redis_id_read(cursor, &id)) {
        redis_id_t same;
        must(redis_id_read(text_bytes(redis_id_write(id, text)), &same) && redis_id_compare(id, same) == 0);
    }
    if (redis_cursor_read(cursor, places, count)) {
        for (unsigned i = 0; i < 3; i++) {
            redis_info_t info = {.exists = i > 0,
                                 .counts = info_numbers[0] % 2 == 0,
                                 .length = info_numbers[0] & INT64_MAX,
                                 .added = info_numbers[1] & INT64_MAX,
                                 .newest = {(uint64_t)info_numbers[2], 0},
                                 .first = {(uint64_t)info_numbers[2] / 2, 1}};
            redis_place_begin(&places[0], &info, i == 1, &loss);
            loss_check(&loss);
            places_check(places, count);
            redis_place_end(&places[0], &info, &loss);
            loss_check(&loss);
            places_check(places, count);
        }
    }
    cursor_free(cursor);
}

/* A stream as Redis keeps it, and a reader of it: of what was added, each entry is read or said to be lost. */
typedef struct keep {
    uint8_t state[256]; /* by its number: */
    int64_t added, newest;
} keep_t;
enum { KEPT = 1, GONE = 0 };

static redis_info_t keep_info(const keep_t *keep) {
    redis_info_t info = {.exists = true, .counts = true, .added = keep->added, .newest = {1, (uint64_t)keep->newest}};
    for (int64_t i = keep->added; i > 0; i--) {
        if (keep->state[i] != KEPT) continue;
        info.length++;
        info.first = (redis_id_t){1, (uint64_t)i};
    }
    return info;
}

static int64_t loss_count(const redis_loss_t *loss) {
    loss_check(loss);
    return loss->what[0] == '\0' ? 0 : strncmp(loss->what, "an entry", 8) == 0 ? 1 : strtoll(loss->what, NULL, 10);
}

/* Reads up to `most` entries. */
static int64_t keep_read(const keep_t *keep, redis_place_t *place, bool fresh, int64_t most) {
    redis_info_t info = keep_info(keep);
    redis_loss_t loss;
    int64_t accounted = 0, read = 0;
    redis_place_begin(place, &info, fresh, &loss);
    accounted += loss_count(&loss);
    for (int64_t i = 1; i <= keep->added && read < most; i++) {
        if (keep->state[i] != KEPT || (uint64_t)i <= place->last.seq) continue;
        place->last = (redis_id_t){1, (uint64_t)i};
        place->number++;
        read++;
    }
    if (read < most) {
        redis_place_end(place, &info, &loss);
        accounted += loss_count(&loss);
    }
    return accounted + read;
}

static void redis_lengths(draw_t *draw) {
    keep_t keep = {.added = 0};
    redis_place_t place = {{0, 0}, REDIS_UNSEEN};
    int64_t accounted = keep_read(&keep, &place, true, 1);
    must(place.number == 0);
    while (draw->size > 0 && keep.added < 240) {
        unsigned what = draw_byte(draw), which = draw_byte(draw);
        if (what % 4 == 0) /* entries are added */
            for (unsigned i = 0; i <= which % 8; i++) keep.state[keep.newest = ++keep.added] = KEPT;
        if (what % 4 == 1) keep.state[which] = GONE;        /* one is deleted */
        if (what % 4 == 2) memset(keep.state, GONE, which); /* it is trimmed */
        if (what % 4 == 3) accounted += keep_read(&keep, &place, which % 2, 1 + which / 2 % 8);
        keep.state[0] = GONE;
        must(accounted <= keep.added);
    }
    accounted += keep_read(&keep, &place, true, INT64_MAX);
    must(accounted == keep.added && place.number == keep.added);
}

/* ---- MQTT ---- */

static void mqtt_cursor(draw_t *draw) {
    mqtt_place_t place, again;
    msgpack_sbuffer once, twice;
    size_t inflight = 1 + (size_t)draw_whole(draw, 2) % MQTT_INFLIGHT_MAX;
    unsigned added = draw_byte(draw);
    mqtt_given_t given = {(uint16_t)draw_whole(draw, 2), 7};
    bytes_t cursor = draw_cursor(draw);
    msgpack_sbuffer_init(&once);
    msgpack_sbuffer_init(&twice);
    mqtt_place_init(&place, inflight);
    mqtt_place_init(&again, inflight);
    if (mqtt_place_read(&place, cursor)) {
        must(mqtt_place_read(&again, mqtt_place_write(&place, &once)));
        must(bytes_equal(buffer_bytes(&once), mqtt_place_write(&again, &twice)));
    } else { /* it is as it was */
        must(bytes_equal(mqtt_place_write(&place, &once), mqtt_place_write(&again, &twice)));
    }
    /* What was given last is known, here and there; `again` was given the same. */
    for (unsigned i = 0; i < added; i++) {
        given.id = given.id == UINT16_MAX ? 1 : (uint16_t)(given.id + 1);
        mqtt_place_add(&place, given);
        must(mqtt_place_has(&place, given));
        must(mqtt_place_read(&again, mqtt_place_write(&place, &once)) && mqtt_place_has(&again, given));
    }
    must(bytes_equal(mqtt_place_write(&place, &once), mqtt_place_write(&again, &twice)));
    mqtt_place_fini(&place);
    mqtt_place_fini(&again);
    msgpack_sbuffer_destroy(&once);
    msgpack_sbuffer_destroy(&twice);
    cursor_free(cursor);
}

/* ---- Kafka ---- */

enum { SIGHTS_MAX = 8 };

static void sights_draw(draw_t *draw, const kafka_places_t *places, kafka_sight_t *sights, kafka_report_t *ret_report) {
    static const rd_kafka_resp_err_t errors[] = {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR__TIMED_OUT};
    *ret_report = (kafka_report_t){.sights = sights, .count = draw_byte(draw) % SIGHTS_MAX};
    for (uint32_t i = 0; i < ret_report->count; i++) {
        unsigned what = draw_byte(draw);
        sights[i] = (kafka_sight_t){.topic = draw_byte(draw) % places->count,
                                    .partition = what < 240 ? (int32_t)(what % 16) - 1 : (int32_t)draw_whole(draw, 4),
                                    .error = what % 32 == 31 || what % 16 == 0 ? errors[what / 32 % 2] : RD_KAFKA_RESP_ERR_NO_ERROR};
        if (sights[i].partition < -1) sights[i].partition = -1;
        for (unsigned n = 0; n < KAFKA_OFFSETS; n++)
            sights[i].offsets[n] = what % 16 == 15 ? (int64_t)(draw_whole(draw, 8) % INT64_MAX) : (int64_t)draw_byte(draw);
    }
}

/* Each partition that is read has a lane of its own. */
static void lanes_check(const kafka_places_t *places) {
    size_t wanted = 0;
    uint64_t seen[16] = {0};
    for (uint32_t i = 0; i < places->count; i++) {
        for (int32_t n = 0; n < places->topics[i].count; n++) {
            const kafka_partition_t *partition = kafka_places_at(places, i, n);
            if (!partition) continue;
            must(partition->lane < places->lanes);
            if (partition->lane < 1024) {
                must((seen[partition->lane / 64] >> partition->lane % 64 & 1) == 0);
                seen[partition->lane / 64] |= UINT64_C(1) << partition->lane % 64;
            }
            wanted++;
        }
    }
    must(wanted == places->lanes);
}

/* The cluster is looked at, and partitions go on where they can. */
static void kafka_look(draw_t *draw, kafka_places_t *places) {
    kafka_sight_t sights[SIGHTS_MAX];
    kafka_report_t report;
    fault_t why = {""};
    sights_draw(draw, places, sights, &report);
    said_check(kafka_places_see(places, &report, &why), &why);
    for (uint32_t i = 0; i < report.count; i++) {
        kafka_partition_t *partition = kafka_places_at(places, sights[i].topic, sights[i].partition);
        int64_t begin = sights[i].offsets[KAFKA_BEGIN];
        if (!partition || partition->next < 0 || sights[i].error) continue;
        int64_t next = partition->next;
        bool is_lost = partition->lost = draw_byte(draw) % 2;
        bool mended = kafka_places_mend(places, &sights[i], &why);
        must(mended ? why.text[0] != '\0' : partition->next == next);
        must(partition->next == next || (is_lost && partition->next == begin));
    }
    lanes_check(places);
}

/* The same places again, from the cursor alone. */
static void kafka_again(kafka_places_t *places, const kafka_given_t *given) {
    kafka_places_t again;
    fault_t why = {""};
    bytes_t cursor = kafka_places_cursor(places);
    must(kafka_places_init(&again, URN, given, &why) == 0);
    must(kafka_places_resume(&again, URN, cursor, &why) == 0);
    must(bytes_equal(cursor, kafka_places_cursor(&again)) && again.begun);
    lanes_check(&again);
    kafka_places_fini(&again);
}

static void kafka(draw_t *draw) {
    kafka_places_t places;
    fault_t why = {""};
    char *topics = draw_string(draw), *partitions = draw_string(draw), *from = draw_string(draw), *until = draw_string(draw);
    const kafka_given_t given = {topics, partitions[0] == '-' ? NULL : partitions, from[0] == '-' ? NULL : from,
                                 until[0] == '-' ? NULL : until};
    int got = kafka_places_init(&places, URN, &given, &why);
    said_check(got, &why);
    must(got == 0 || strstr(why.text, URN));
    for (unsigned looks = got == 0 ? draw_byte(draw) % 4 : 0; looks > 0; looks--) {
        kafka_look(draw, &places);
        kafka_again(&places, &given);
    }
    if (got == 0) {
        bytes_t cursor = draw_cursor(draw);
        got = kafka_places_resume(&places, URN, cursor, &why);
        said_check(got, &why);
        if (got == 0) kafka_again(&places, &given);
        if (got == 0 && cursor.size > 0) kafka_look(draw, &places);
        cursor_free(cursor);
    }
    kafka_places_fini(&places);
    free(topics);
    free(partitions);
    free(from);
    free(until);
}

#endif
