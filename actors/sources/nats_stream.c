/* A JetStream is read by a consumer of its own that forgets nothing and acknowledges nothing: where to go on is with the recording. Messages are
 * asked for, as many as there is room for, so nothing waits where it could be lost, and an answer that does not come is seen.
 *
 * What is missing between two messages was for other subjects, or was deleted by somebody. But it may have been deleted by the stream's limits
 * before it was read: then it is a hole. The two look the same, so the stream is asked whether it still begins before them. It is asked once for
 * all that has come already, and not at all where nothing can have been deleted: the server was asked for more all the time and had none, and the
 * stream's limits delete nothing that was just stored. */
#include "source_nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    API_SUBJECT = 600,
    CURSOR_NUMBERS = 4,
    BATCH_BYTES = 8 * 1024 * 1024, /* that a request may bring, with what libnats keeps for each message */
    BATCH_MAX = 32 * 1024,
    SIZE_UNKNOWN = 1024,
    SILENT_MAX = 4,
};

#define API "$JS.API."
static const int64_t EXPIRES = INT64_C(30) * 1000 * 1000 * 1000; /* ns; fewer than SILENT_MAX ticks */

/* ---- the consumer ---- */

static void consumer_drop(nats_t *nats) {
    char subject[API_SUBJECT];
    snprintf(subject, sizeof subject, API "CONSUMER.DELETE.%s.%s", nats->stream, nats->consumer);
    if (nats->consumer[0]) (void)natsConnection_Publish(nats->link->connection, subject, NULL, 0);
    nats->consumer[0] = '\0';
    nats_data_close(nats);
}

void stream_leave(nats_t *nats) {
    char subject[API_SUBJECT];
    snprintf(subject, sizeof subject, API "CONSUMER.DELETE.%s.%s", nats->stream, nats->consumer);
    nats_link_part(&nats->link, subject);
}

void stream_begin(nats_t *nats) {
    char subject[API_SUBJECT];
    consumer_drop(nats);
    nats->is_renumbered = false;
    nats->step = STEP_LOOKING;
    snprintf(subject, sizeof subject, API "STREAM.INFO.%s", nats->stream);
    nats_ask(nats, subject, NULL);
}

/* Goes on with another one, after a while if this one never gave anything. */
static void consumer_again(nats_t *nats, const char *said) {
    if (nats->delivery > 0)
        stream_begin(nats);
    else
        nats_ask_later(nats, "stream `%s`: %s", nats->stream, said);
}

static void consumer_make(nats_t *nats) {
    char subject[API_SUBJECT];
    nats_start_t start = nats->start;
    if (nats->begun) start = (nats_start_t){.from = NATS_FROM_SEQUENCE, .sequence = nats->position.sequence + 1};
    if (nats->is_renumbered) start = (nats_start_t){.from = NATS_FROM_TIME, .time = nats->position.time + 1};
    char *request = nats_consumer_request(nats->stream, nats->subject, &start);
    nats->step = STEP_MAKING;
    snprintf(subject, sizeof subject, API "CONSUMER.CREATE.%s", nats->stream);
    nats_ask(nats, subject, request);
    free(request);
}

static void consumer_made(nats_t *nats, const nats_answer_t *answer) {
    char subject[NATS_SUBJECT_MAX];
    snprintf(nats->consumer, sizeof nats->consumer, "%s", answer->consumer);
    if (!nats->begun || nats->is_renumbered) nats->position.sequence = answer->delivered;
    if (!nats->begun) nats->origin = nats->position;
    nats->begun = nats->is_behind = true;
    nats->is_renumbered = false;
    nats->is_drained = answer->pending == 0;
    nats->delivery = nats->asked = nats->sure = nats->size = nats->count = 0;
    snprintf(subject, sizeof subject, "%s.d.%llu", nats->inbox, (unsigned long long)++nats->reader);
    nats->data = nats_subscribe(nats, subject);
    nats_reading(nats);
}

/* ---- holes ---- */

static void hole_set(nats_t *nats, int64_t first) {
    fault_set(&nats->hole, "stream `%s` at %s has no message before %lld any more: those after %lld that do not follow were not read",
              nats->stream, nats->access.server, (long long)first, (long long)nats->position.sequence);
}

static bool may_miss(const nats_t *nats, const nats_place_t *place) {
    bool is_aged = nats->age_us > 0 && place->time - nats->position.time >= nats->age_us;
    return place->sequence > nats->position.sequence + 1 && nats->sure == 0 &&
           (nats->is_behind || place->pending > 0 || nats->is_bounded || is_aged);
}

/* What has come by now was there before the stream is asked. */
static void hole_ask(nats_t *nats, natsMsg *message) {
    char subject[API_SUBJECT];
    int waiting = 0;
    nats->held = message;
    natsSubscription_GetPending(nats->data, &waiting, NULL);
    nats->sure = waiting + 1;
    snprintf(subject, sizeof subject, API "STREAM.INFO.%s", nats->stream);
    nats_ask(nats, subject, NULL);
}

/* ---- answers ---- */

/* A server that is killed may lose the end of a stream, and then gives the same numbers to other messages. These are younger than what was
 * recorded, so they are found by their time. */
static void numbers_lost(nats_t *nats) {
    fault_set(
        &nats->hole,
        "stream `%s` at %s lost its end, and gives the numbers up to %lld to other messages: what it lost before it was read is missing",
        nats->stream, nats->access.server, (long long)nats->position.sequence);
    nats->is_renumbered = true;
    consumer_make(nats);
}

static void last_ask(nats_t *nats) {
    char subject[API_SUBJECT], request[64];
    nats->step = STEP_PROVING;
    snprintf(subject, sizeof subject, API "STREAM.MSG.GET.%s", nats->stream);
    snprintf(request, sizeof request, "{\"seq\":%lld}", (long long)nats->position.sequence);
    nats_ask(nats, subject, request);
}

/* One that was deleted proves nothing. */
static void last_judge(nats_t *nats, const nats_answer_t *answer) {
    if (answer->code == 0 && answer->time != nats->position.time)
        numbers_lost(nats);
    else
        consumer_make(nats);
}

/* What is there may not be what was there. */
static void stream_found(nats_t *nats, const nats_answer_t *answer) {
    nats_position_t *at = &nats->position;
    bool is_another = nats->begun && answer->made != at->made;
    if (nats->until_end && (is_another || !nats->begun)) at->end = answer->last;
    at->made = answer->made;
    nats->is_bounded = answer->is_bounded;
    nats->age_us = answer->age_us;
    if (is_another) {
        fault_set(&nats->hole, "stream `%s` at %s is another one than before: what that had after message %lld was not read", nats->stream,
                  nats->access.server, (long long)at->sequence);
        at->sequence = answer->first - 1;
    } else if (nats->begun && answer->first > at->sequence + 1) {
        hole_set(nats, answer->first);
        at->sequence = answer->first - 1;
    } else if (nats->begun && at->time > 0 && answer->last < at->sequence) {
        numbers_lost(nats);
        return;
    } else if (nats->begun && at->time > 0 && answer->first <= at->sequence) {
        last_ask(nats);
        return;
    }
    consumer_make(nats);
}

static void hole_judge(nats_t *nats, const nats_answer_t *answer) {
    if (answer->made != nats->position.made) {
        stream_begin(nats);
    } else if (answer->first > nats->position.sequence + 1) {
        hole_set(nats, answer->first);
        nats->sure = 1; /* between those that came behind it there may be more */
    }
}

void stream_on_answer(nats_t *nats, natsMsg *message) {
    bytes_t json = {(const uint8_t *)natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message)};
    nats_answer_t answer;
    fault_t why;
    if (nats_answer_read(json, &answer, &why) < 0) {
        nats_ask_later(nats, "%s", why.text);
    } else if (nats->step == STEP_PROVING && (answer.code == 0 || answer.code == 404)) {
        last_judge(nats, &answer);
    } else if (answer.code >= 400 && answer.code < 500 && answer.code != 408 && answer.code != 429) {
        feed_fail(&nats->feed, "`" NATS_URN "`: stream `%s` at %s: %s", nats->stream, nats->access.server, answer.text);
    } else if (answer.code != 0) {
        nats_ask_later(nats, "stream `%s`: %s", nats->stream, answer.text);
    } else if (nats->step == STEP_LOOKING) {
        stream_found(nats, &answer);
    } else if (nats->step == STEP_MAKING) {
        consumer_made(nats, &answer);
    } else {
        hole_judge(nats, &answer);
    }
}

/* ---- messages ---- */

bytes_t stream_cursor(nats_t *nats) {
    const nats_position_t *at = &nats->position;
    const int64_t numbers[CURSOR_NUMBERS] = {at->sequence, at->time, at->made, at->end};
    return feed_cursor(&nats->feed, numbers, CURSOR_NUMBERS);
}

static void stream_send(nats_t *nats) {
    feed_send(&nats->feed, stream_cursor(nats), timing_watermark(&nats->timing));
}

/* `until`: when the message behind it was stored; 0: there is none yet, and its length is not known. */
static void hole_say(nats_t *nats, int64_t until) {
    int64_t last = nats->position.time;
    stream_send(nats);
    feed_gap(&nats->feed, last > 0 && until > last ? until - last : -1, "%s", nats->hole.text);
    nats->hole.text[0] = '\0';
}

/* All that was to be recorded is: the cursor says so, too. */
static void message_beyond(nats_t *nats) {
    nats->position.sequence = nats->position.end;
    nats->position.time = 0;
    nats->is_over = true;
}

/* The server has something to say about what was asked for. */
static void status_take(nats_t *nats, natsMsg *message) {
    const char *status = "", *said = "";
    if (natsMsgHeader_Get(message, "Status", &status) != NATS_OK || strcmp(status, "100") == 0) return;
    natsMsgHeader_Get(message, "Description", &said);
    bool is_gone = strcmp(status, "409") == 0 && !strstr(said, "MaxBytes");
    nats->asked = 0;
    nats->is_behind = true;
    if (is_gone || (nats->until_end && nats->count == 0)) consumer_again(nats, said[0] ? said : "its consumer is gone");
}

static void message_taken(nats_t *nats, const natsMsg *message, const nats_place_t *place) {
    if (nats->delivery == 0) backoff_reset(&nats->backoff);
    nats->delivery = place->delivery;
    nats->position.sequence = place->sequence;
    nats->position.time = place->time;
    nats->is_behind = place->pending > 0 || nats->asked == 1;
    nats->is_drained = place->pending == 0;
    nats->is_over = nats->until_end && (nats->is_drained || place->sequence >= nats->position.end);
    nats->size += natsMsg_GetDataLength(message);
    nats->count++;
    nats->asked--;
    if (nats->sure > 0) nats->sure--;
}

static void message_take(nats_t *nats, natsMsg *message) {
    nats_place_t place;
    nats->silent = 0;
    if (!nats_place_read(natsMsg_GetReply(message), &place)) {
        status_take(nats, message);
    } else if (place.delivery != nats->delivery + 1 || place.sequence <= nats->position.sequence) {
        consumer_again(nats, "a message did not come");
    } else if (may_miss(nats, &place)) {
        hole_ask(nats, message);
        return;
    } else {
        if (nats->hole.text[0]) hole_say(nats, place.time);
        if (nats->until_end && place.sequence > nats->position.end)
            message_beyond(nats);
        else if (nats->link && nats_add(nats, message, &place))
            message_taken(nats, message, &place);
    }
    natsMsg_Destroy(message);
}

/* Where nobody takes what is asked, there is no such consumer. */
static natsMsg *message_next(nats_t *nats) {
    natsMsg *message = nats->held;
    bool is_unserved = false;
    nats->held = NULL;
    if (!message) message = nats_next(nats->data, &is_unserved);
    if (is_unserved) consumer_again(nats, "its consumer is gone");
    return message;
}

/* As many as fit. The server stops at so many bytes, too, but it must be able to send its largest message. */
static void messages_ask(nats_t *nats) {
    char subject[API_SUBJECT], request[200], inbox[NATS_SUBJECT_MAX];
    if (nats->asked > 0) return;
    int64_t size = nats->count > 0 ? nats->size / nats->count : SIZE_UNKNOWN;
    int64_t batch = BATCH_BYTES / (size + NATS_MESSAGE_BYTES),
            most = natsConnection_GetMaxPayload(nats->link->connection) + NATS_QUEUE_BYTES;
    batch = batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
    snprintf(subject, sizeof subject, API "CONSUMER.MSG.NEXT.%s.%s", nats->stream, nats->consumer);
    snprintf(request, sizeof request, "{\"batch\":%lld,\"expires\":%lld,\"max_bytes\":%lld}", (long long)batch, (long long)EXPIRES,
             (long long)most);
    snprintf(inbox, sizeof inbox, "%s.d.%llu", nats->inbox, (unsigned long long)nats->reader);
    if (natsConnection_PublishRequest(nats->link->connection, subject, inbox, request, (int)strlen(request)) != NATS_OK) return;
    nats->asked = batch;
    nats->size = nats->count = 0;
    nats->silent = 0;
}

static bool takes(const nats_t *nats) {
    return nats->link && nats->step == STEP_READING && !nats->awaited[0] && !nats->is_over && feed_room(&nats->feed);
}

void stream_take(nats_t *nats) {
    if (takes(nats) && !nats->is_placed) feed_place(&nats->feed, stream_cursor(nats));
    nats->is_placed |= takes(nats);
    if (takes(nats) && nats->hole.text[0] && nats->is_drained && !nats->held) hole_say(nats, 0);
    nats->is_over |= nats->until_end && nats->is_drained && !nats->held;
    while (takes(nats)) {
        natsMsg *message = message_next(nats);
        if (!message) break;
        message_take(nats, message);
        if (nats->link && feed_full(&nats->feed)) stream_send(nats);
    }
    if (nats->link) stream_send(nats);
    if (nats->link && nats->is_over) feed_done(&nats->feed);
    if (takes(nats)) messages_ask(nats);
}

/* ---- silence, and restarts ---- */

void stream_tick(nats_t *nats) {
    if (nats->asked > 0 && ++nats->silent > SILENT_MAX) stream_begin(nats);
}

int stream_resume(nats_t *nats, bytes_t cursor, fault_t *why) {
    int64_t n[CURSOR_NUMBERS];
    nats_position_t at = nats->origin;
    nats->is_placed = cursor.size > 0;
    if (cursor.size > 0) {
        if (!feed_cursor_read(cursor, n, CURSOR_NUMBERS) || n[0] < 0 || n[0] == INT64_MAX || n[1] < 0 || n[2] <= 0 || n[3] < 0)
            return fault_set(why, "the cursor of the recording is not one of `" NATS_URN "`");
        at = (nats_position_t){n[0], n[1], n[2], n[3]};
    }
    bool is_there = at.sequence == nats->position.sequence && at.made == nats->position.made;
    if (is_there || (cursor.size == 0 && !nats->begun)) return 0;
    nats->begun = true;
    nats->position = at;
    nats->is_over = false;
    nats->hole.text[0] = '\0';
    if (nats->link) stream_begin(nats);
    return 0;
}
