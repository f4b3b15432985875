/* libnats can do all this, but it waits for each answer. JetStream's interface is plain subjects and JSON, and is meant to be used so. */
#include "nats_words.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event_time.h"

#define DELIVERED "$JS.ACK."

enum { TOKENS_MAX = 16, CODE_MAX = 1000, CODE_OTHER = 500 };

static const int64_t GONE_AFTER = INT64_C(60) * 1000 * 1000 * 1000; /* ns without a reader, until a consumer is forgotten */

/* ---- names ---- */

bool nats_subject_valid(const char *subject) {
    for (const char *token = subject;; token++) {
        size_t size = strcspn(token, ".");
        bool is_last = token[size] == '\0';
        for (size_t i = 0; i < size; i++) {
            if ((unsigned char)token[i] <= ' ' || token[i] == 0x7f) return false;
            if (size > 1 && (token[i] == '*' || token[i] == '>')) return false;
        }
        if (size == 0 || (token[0] == '>' && !is_last)) return false;
        if (is_last) return true;
        token += size;
    }
}

bool nats_stream_valid(const char *stream) {
    if (!stream[0] || strlen(stream) > 255) return false;
    for (const char *at = stream; *at; at++)
        if ((unsigned char)*at <= ' ' || strchr(".*>/\\", *at) || *at == 0x7f) return false;
    return true;
}

/* ---- places ---- */

static bool number_read(const char *text, int64_t *ret_number) {
    uint64_t number = 0;
    if (*text < '0' || *text > '9') return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (number > (INT64_MAX - 9) / 10) return false;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *ret_number = (int64_t)number;
    return *text == '.' || *text == '\0';
}

/* "$JS.ACK", then the stream, the consumer, how often it was delivered, the place, the delivery, the time and how many there are; from a server
 * that has domains, the domain and the account stand before the stream, and something more at the end. */
bool nats_place_read(const char *reply, nats_place_t *ret_place) {
    const char *tokens[TOKENS_MAX];
    size_t count = 0;
    int64_t time;
    if (!reply || strncmp(reply, DELIVERED, sizeof DELIVERED - 1) != 0) return false;
    for (const char *at = reply; at && count < TOKENS_MAX; count++) {
        tokens[count] = at;
        at = strchr(at, '.');
        if (at) at++;
    }
    if (count != 9 && count < 11) return false;
    const char *const *rest = tokens + (count == 9 ? 5 : 7);
    nats_place_t place;
    if (!number_read(rest[0], &place.sequence) || !number_read(rest[1], &place.delivery) || !number_read(rest[2], &time) ||
        !number_read(rest[3], &place.pending))
        return false;
    place.time = time / 1000;
    *ret_place = place;
    return true;
}

/* ---- beginnings ---- */

int nats_start_read(const char *text, nats_start_t *ret_start, fault_t *why) {
    nats_start_t start = {.from = NATS_FROM_ALL};
    int64_t time;
    fault_t unread;
    if (!text || strcmp(text, "all") == 0) {
        start.from = NATS_FROM_ALL;
    } else if (strcmp(text, "new") == 0) {
        start.from = NATS_FROM_NEW;
    } else if (number_read(text, &start.sequence) && !strchr(text, '.') && start.sequence > 0) {
        start.from = NATS_FROM_SEQUENCE;
    } else if (event_time_parse(text, &time, &unread) == 0) {
        start.from = NATS_FROM_TIME;
        start.time = time > 0 ? time : 0;
    } else {
        return fault_set(why, "`from` must be `all`, `new`, a number from 1 or a time such as 2026-11-22T14:00:00Z, not `%.64s`", text);
    }
    *ret_start = start;
    return 0;
}

/* ---- requests and answers ---- */

enum { TIME_TEXT = 48 };

/* As RFC 3339 has it: the server reads no other way to write one. */
static void time_write(int64_t time, char text[TIME_TEXT]) {
    time_t second = time / 1000000;
    struct tm parts = {0};
    gmtime_r(&second, &parts);
    size_t used = strftime(text, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, TIME_TEXT - used, ".%06dZ", (int)(time % 1000000));
}

char *nats_consumer_request(const char *stream, const char *subject, const nats_start_t *start) {
    static const char *const policies[] = {"all", "new", "by_start_sequence", "by_start_time"};
    json_t *config = json_pack("{ss ss ss sI sb si}", "deliver_policy", policies[start->from], "ack_policy", "none", "replay_policy",
                               "instant", "inactive_threshold", (json_int_t)GONE_AFTER, "mem_storage", 1, "num_replicas", 1);
    must(config);
    if (subject) json_object_set_new(config, "filter_subject", json_string(subject));
    if (start->from == NATS_FROM_SEQUENCE) json_object_set_new(config, "opt_start_seq", json_integer(start->sequence));
    if (start->from == NATS_FROM_TIME) {
        char time[TIME_TEXT];
        time_write(start->time, time);
        json_object_set_new(config, "opt_start_time", json_string(time));
    }
    json_t *request = json_pack("{ss so}", "stream_name", stream, "config", config);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    must(text);
    json_decref(request);
    return text;
}

static int64_t number_at(const json_t *in, const char *pointer) {
    const json_t *value = event_time_find(in, pointer);
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;
    return number > 0 && number < INT64_MAX ? number : 0;
}

/* In µs since the epoch; 0: not known, or before it. */
static int64_t time_at(const json_t *in, const char *pointer) {
    fault_t undated;
    int64_t time = 0;
    if (json_is_object(in)) (void)event_time_of(in, pointer, 1, &time, &undated);
    return time > 0 ? time : 0;
}

static void text_at(const json_t *in, const char *pointer, char *text, size_t size) {
    const json_t *value = event_time_find(in, pointer);
    snprintf(text, size, "%s", json_is_string(value) ? json_string_value(value) : "");
}

int nats_answer_read(bytes_t json, nats_answer_t *ret_answer, fault_t *why) {
    json_error_t error;
    json_t *root = json_loadb((const char *)json.data, json.size, 0, &error);
    int64_t code = number_at(root, "/error/code");
    nats_answer_t answer = {.code = code < CODE_MAX ? (int)code : CODE_OTHER,
                            .made = time_at(root, "/created"),
                            .time = time_at(root, "/message/time"),
                            .delivered = number_at(root, "/delivered/stream_seq"),
                            .pending = number_at(root, "/num_pending"),
                            .first = number_at(root, "/state/first_seq"),
                            .last = number_at(root, "/state/last_seq"),
                            .age_us = number_at(root, "/config/max_age") / 1000};
    char discards[8];
    text_at(root, "/config/discard", discards, sizeof discards);
    answer.is_bounded =
        strcmp(discards, "new") != 0 && (number_at(root, "/config/max_msgs") > 0 || number_at(root, "/config/max_bytes") > 0);
    text_at(root, "/error/description", answer.text, sizeof answer.text);
    text_at(root, "/name", answer.consumer, sizeof answer.consumer);
    bool is_answer = json_is_object(root) && (answer.code != 0 || answer.made != 0 || answer.time != 0);
    if (root && json_object_get(root, "error") && answer.code == 0) answer.code = CODE_OTHER;
    json_decref(root);
    if (!is_answer) return fault_set(why, "this is no answer of JetStream: %.*s", json.size < 100 ? (int)json.size : 100, json.data);
    if (answer.first == 0) answer.first = answer.last + 1;
    *ret_answer = answer;
    return 0;
}
