/* Messages of NATS: of a subject, which has no past, so that whoever was not there has a hole; or of a JetStream, where every message has a number
 * to go on from. Either way the server sends no more than is taken: of a stream what was asked for, of a subject what the socket holds. */
#include "source_nats.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/text.h"
#include "payload.h"

enum {
    TICK = 10 * 1000 * 1000, /* µs: a server that is asked for an echo must be heard within two */
    SILENT_MAX = 2,
    CURSOR_NUMBERS = 2,
    MORE_ROOM = 64 * 1024, /* that attributes may have beside the element */
};

static void nats_work(nats_t *nats);
static int on_retry(void *state, uint64_t context, fault_t *why);

/* ---- elements ---- */

/* NATS asks of neither subjects nor headers that they are text; what is not stays as it is, as bytes. */
static void attribute_add(msgpack_packer *packer, const char *name, bytes_t value) {
    msgpack_pack_str_with_body(packer, name, strlen(name));
    if (text_valid((const char *)value.data, value.size))
        msgpack_pack_str_with_body(packer, value.data, value.size);
    else
        msgpack_pack_bin_with_body(packer, value.data, value.size);
}

static bytes_t text_bytes(const char *text) {
    return (bytes_t){(const uint8_t *)text, strlen(text)};
}

static void header_add(msgpack_packer *packer, natsMsg *message, const char *name) {
    size_t size = sizeof "header." + strlen(name);
    const char *value;
    char *text = malloc(size);
    must(text);
    snprintf(text, size, "header.%s", name);
    text_mend(text);
    attribute_add(packer, text, text_bytes(natsMsgHeader_Get(message, name, &value) == NATS_OK ? value : ""));
    free(text);
}

/* The key, where it comes from, and its headers; of one with several values the first. */
static bytes_t attributes_make(nats_t *nats, natsMsg *message, const nats_place_t *place) {
    msgpack_packer packer;
    char digits[24];
    const char **names = NULL;
    int headers = 0;
    bytes_t key = timing_key(&nats->timing);
    if (!nats->metadata) return timing_attributes(&nats->timing);
    if (natsMsgHeader_Keys(message, &names, &headers) != NATS_OK) headers = 0;
    msgpack_sbuffer_clear(&nats->attributes);
    msgpack_packer_init(&packer, &nats->attributes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, (size_t)headers + 1 + (place ? 1 : 0) + (key.data ? 1 : 0));
    if (key.data) attribute_add(&packer, "key", key);
    attribute_add(&packer, "subject", text_bytes(natsMsg_GetSubject(message)));
    if (place) snprintf(digits, sizeof digits, "%lld", (long long)place->sequence);
    if (place) attribute_add(&packer, "sequence", text_bytes(digits));
    for (int i = 0; i < headers; i++) header_add(&packer, message, names[i]);
    free((void *)names);
    return (bytes_t){(const uint8_t *)nats->attributes.data, nats->attributes.size};
}

bool nats_add(nats_t *nats, natsMsg *message, const nats_place_t *place) {
    bytes_t value = {(const uint8_t *)natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message)};
    int64_t time;
    fault_t why;
    int got = timing_read(&nats->timing, value, place ? place->time : 0, &time, &why);
    if (got == TIMING_SKIP) return true;
    if (got < 0 && place)
        feed_fail(&nats->feed, "message %lld of stream `%s`: %s", (long long)place->sequence, nats->stream, why.text);
    else if (got < 0)
        feed_fail(&nats->feed, "a message of `%s`: %s", natsMsg_GetSubject(message), why.text);
    if (got < 0) return false;
    bytes_t attributes = attributes_make(nats, message, place);
    if (value.size + attributes.size > FEED_ELEMENT_MAX - MORE_ROOM) {
        feed_fail(&nats->feed, "a message of `%s` has %zu bytes, more than a recording takes", natsMsg_GetSubject(message), value.size);
        return false;
    }
    timing_saw(&nats->timing, 0, time);
    uint8_t *at = feed_element(&nats->feed, time, value.size, attributes);
    if (value.size > 0) memcpy(at, value.data, value.size);
    return true;
}

/* ---- the connection ---- */

natsMsg *nats_next(natsSubscription *subscription, bool *ret_unserved) {
    natsMsg *message = NULL;
    natsStatus status = natsSubscription_NextMsg(&message, subscription, 0);
    if (ret_unserved) *ret_unserved = status == NATS_NO_RESPONDERS;
    return status == NATS_OK ? message : NULL;
}

void nats_data_close(nats_t *nats) {
    natsMsg_Destroy(nats->held);
    nats->held = NULL;
    natsSubscription_Destroy(nats->data);
    nats->data = NULL;
}

static void unwatch(nats_t *nats) {
    if (nats->is_watched) actor_unwatch(nats->feed.me, nats->link->descriptor);
    if (nats->is_watched_writable) actor_unwatch_writable(nats->feed.me, nats->link->descriptor);
    nats->is_watched = nats->is_watched_writable = false;
}

/* `parts`: in order, so that nothing is left at the server. */
static void nats_close(nats_t *nats, bool parts) {
    nats->awaited[0] = '\0';
    nats->step = STEP_AWAY;
    if (!nats->link) return;
    unwatch(nats);
    nats_data_close(nats);
    natsSubscription_Destroy(nats->answers);
    nats->answers = NULL;
    if (parts && nats->consumer[0]) stream_leave(nats);
    nats->consumer[0] = '\0';
    nats_link_close(&nats->link);
}

static void retry_later(nats_t *nats, const char *format, va_list arguments) {
    char text[FEED_GAP_MAX];
    vsnprintf(text, sizeof text, format, arguments);
    feed_waiting(&nats->feed, "NATS at %s: %s", nats->access.server, text);
    if (!nats->retry) nats->retry = actor_after(nats->feed.me, backoff_next(&nats->backoff), on_retry, 0);
}

void nats_lose(nats_t *nats, const char *format, ...) {
    va_list arguments;
    if (!nats->stream && nats->begun && nats->lost_from == 0) {
        nats->lost_from = nats->safe;
        fault_set(&nats->lost_why, "the connection to NATS at %s was lost", nats->access.server);
    }
    nats_close(nats, false);
    va_start(arguments, format);
    retry_later(nats, format, arguments);
    va_end(arguments);
}

void nats_ask_later(nats_t *nats, const char *format, ...) {
    va_list arguments;
    nats->awaited[0] = '\0';
    nats->step = STEP_GREETING;
    va_start(arguments, format);
    retry_later(nats, format, arguments);
    va_end(arguments);
}

void nats_reading(nats_t *nats) {
    nats->step = STEP_READING;
    feed_waiting(&nats->feed, NULL);
}

void nats_ask(nats_t *nats, const char *subject, const char *body) {
    size_t size = body ? strlen(body) : 0;
    nats->silent = 0;
    snprintf(nats->awaited, sizeof nats->awaited, "%s.a.%llu", nats->inbox, (unsigned long long)++nats->requests);
    natsStatus status = subject ? natsConnection_PublishRequest(nats->link->connection, subject, nats->awaited, body, (int)size)
                                : natsConnection_Publish(nats->link->connection, nats->awaited, NULL, 0);
    (void)status; /* of a connection that is closed: nats_look sees it */
}

/* ---- connecting ---- */

static int on_readable(void *state, int descriptor, fault_t *why);
static int on_writable(void *state, int descriptor, fault_t *why);

natsSubscription *nats_subscribe(nats_t *nats, const char *subject) {
    natsSubscription *subscription = NULL;
    if (natsConnection_SubscribeSync(&subscription, nats->link->connection, subject) == NATS_OK)
        must(natsSubscription_SetPendingLimits(subscription, -1, -1) == NATS_OK);
    return subscription;
}

static void greet(nats_t *nats) {
    char answers[NATS_SUBJECT_MAX];
    natsInbox *inbox = NULL;
    must(natsInbox_Create(&inbox) == NATS_OK);
    snprintf(nats->inbox, sizeof nats->inbox, "%s", inbox);
    natsInbox_Destroy(inbox);
    snprintf(answers, sizeof answers, "%s.a.*", nats->inbox);
    nats->answers = nats_subscribe(nats, answers);
    nats->data = nats->stream ? NULL : nats_subscribe(nats, nats->subject);
    nats->step = STEP_GREETING;
    nats->has_heard = true;
    nats->is_asked = false;
    if (nats->stream)
        stream_begin(nats);
    else
        nats_ask(nats, NULL, NULL);
}

static int on_dialled(void *state, int descriptor, fault_t *why) {
    nats_t *nats = state;
    fault_t said;
    nats_dialled_t how = nats_dial_end(&nats->dial, &nats->link, &said);
    (void)why;
    if (how == NATS_DIALLING) return 0;
    actor_unwatch(nats->feed.me, descriptor);
    if (how == NATS_REFUSED) {
        feed_fail(&nats->feed, "`" NATS_URN "`: NATS at %s: %s", nats->access.server, said.text);
    } else if (how == NATS_UNREACHED) {
        nats_lose(nats, "%s", said.text);
    } else {
        greet(nats);
        nats_work(nats);
    }
    return 0;
}

static void dial(nats_t *nats) {
    fault_t why;
    nats->dial = nats_dial_start(&nats->access, &why);
    if (!nats->dial)
        feed_fail(&nats->feed, "%s", why.text);
    else
        actor_watch(nats->feed.me, nats_dial_descriptor(nats->dial), on_dialled);
}

static int on_retry(void *state, uint64_t context, fault_t *why) {
    nats_t *nats = state;
    (void)context, (void)why;
    nats->retry = 0;
    if (!nats->link) {
        dial(nats);
    } else {
        stream_begin(nats);
        nats_work(nats);
    }
    return 0;
}

/* ---- a plain subject ---- */

/* Another one each time. */
static bytes_t subject_cursor(nats_t *nats) {
    const int64_t numbers[CURSOR_NUMBERS] = {nats->safe, ++nats->serial};
    return feed_cursor(&nats->feed, numbers, CURSOR_NUMBERS);
}

static void subject_send(nats_t *nats) {
    if (nats->feed.count == 0 && !nats->feed.has_gap) return;
    feed_send(&nats->feed, subject_cursor(nats), timing_watermark(&nats->timing));
}

/* From now on nothing is missed. */
static void subject_greeted(nats_t *nats) {
    nats_reading(nats);
    backoff_reset(&nats->backoff);
    nats->heard = actor_now(nats->feed.me);
    if (nats->lost_from == 0) nats->safe = nats->heard;
    if (nats->origin.time == 0) nats->origin.time = nats->heard;
}

static void subject_say_hole(nats_t *nats) {
    int64_t lost = nats->heard - nats->lost_from;
    feed_gap(&nats->feed, lost > 0 ? lost : 0, "%s", nats->lost_why.text);
    nats->lost_from = 0;
    nats->safe = nats->heard;
    subject_send(nats);
}

static void subject_take(nats_t *nats) {
    natsMsg *message = NULL;
    if (feed_room(&nats->feed) && nats->lost_from != 0) subject_say_hole(nats);
    if (feed_room(&nats->feed) && !nats->is_placed) {
        feed_place(&nats->feed, subject_cursor(nats));
        nats->is_placed = true;
    }
    while (nats->link && feed_room(&nats->feed)) {
        message = nats_next(nats->data, NULL);
        if (!message) break;
        bool is_added = nats_add(nats, message, NULL);
        natsMsg_Destroy(message);
        if (is_added && feed_full(&nats->feed)) subject_send(nats);
    }
    if (nats->link && !message && feed_room(&nats->feed)) nats->safe = nats->heard;
    if (nats->link) subject_send(nats);
}

/* Nothing that was sent can be had again: where not all of it was recorded, or another process recorded it, there is a hole from there to now. */
static int subject_resume(nats_t *nats, bytes_t cursor, fault_t *why) {
    int64_t numbers[CURSOR_NUMBERS] = {nats->origin.time, 0};
    if (cursor.size > 0 &&
        (!feed_cursor_read(cursor, numbers, CURSOR_NUMBERS) || numbers[0] <= 0 || numbers[1] <= 0 || numbers[1] == INT64_MAX))
        return fault_set(why, "the cursor of the recording is not one of `" NATS_URN "`");
    if (numbers[1] != nats->serial) {
        fault_set(&nats->lost_why, "what NATS at %s had sent was not recorded", nats->access.server);
        nats->lost_from = nats->safe = numbers[0];
    }
    if (numbers[1] > nats->serial) nats->serial = numbers[1];
    nats->is_placed = cursor.size > 0;
    nats->begun = true;
    return 0;
}

/* ---- what comes ---- */

static void answers_take(nats_t *nats) {
    bool is_unserved = false;
    natsMsg *message;
    while (nats->link && (message = nats_next(nats->answers, &is_unserved))) {
        if (strcmp(natsMsg_GetSubject(message), nats->awaited) == 0) {
            nats->awaited[0] = '\0';
            if (nats->stream)
                stream_on_answer(nats, message);
            else
                subject_greeted(nats);
        }
        natsMsg_Destroy(message);
    }
    if (nats->link && is_unserved) nats_ask_later(nats, "it has no JetStream");
}

/* The server that is not read sends no more after a while. */
static void watch(nats_t *nats) {
    int messages = 0, bytes = 0;
    if (nats->data && !feed_room(&nats->feed)) natsSubscription_GetPending(nats->data, &messages, &bytes);
    bool reads = bytes < NATS_QUEUE_BYTES && messages < NATS_QUEUE_BYTES / NATS_MESSAGE_BYTES, writes = nats->link->wants_write;
    if (reads && !nats->is_watched) actor_watch(nats->feed.me, nats->link->descriptor, on_readable);
    if (!reads && nats->is_watched) actor_unwatch(nats->feed.me, nats->link->descriptor);
    if (writes && !nats->is_watched_writable) actor_watch_writable(nats->feed.me, nats->link->descriptor, on_writable);
    if (!writes && nats->is_watched_writable) actor_unwatch_writable(nats->feed.me, nats->link->descriptor);
    nats->is_watched = reads;
    nats->is_watched_writable = writes;
}

static void nats_look(nats_t *nats) {
    fault_t why;
    if (nats->link->wants_write) nats_link_write(nats->link);
    nats_health_t health = nats_link_health(nats->link, &why);
    if (health == NATS_FORBIDDEN)
        feed_fail(&nats->feed, "`" NATS_URN "`: NATS at %s: %s", nats->access.server, why.text);
    else if (health == NATS_CLOSED)
        nats_lose(nats, "%s", why.text);
    else
        watch(nats);
}

static void nats_work(nats_t *nats) {
    timing_begin(&nats->timing);
    if (nats->link) answers_take(nats);
    if (nats->link && nats->step == STEP_READING) {
        if (nats->stream)
            stream_take(nats);
        else
            subject_take(nats);
    }
    if (nats->link) nats_look(nats);
}

static int on_readable(void *state, int descriptor, fault_t *why) {
    nats_t *nats = state;
    (void)descriptor, (void)why;
    nats->has_heard = true;
    nats->heard = actor_now(nats->feed.me);
    nats_link_read(nats->link);
    nats_work(nats);
    return 0;
}

static int on_writable(void *state, int descriptor, fault_t *why) {
    nats_t *nats = state;
    (void)descriptor, (void)why;
    nats_look(nats);
    return 0;
}

/* ---- silence ---- */

/* A server that is gone without a word would be waited for. */
static void echo_check(nats_t *nats) {
    char subject[NATS_SUBJECT_MAX];
    if (!nats->has_heard && nats->is_asked) {
        nats_lose(nats, "it does not answer");
        return;
    }
    nats->is_asked = !nats->has_heard;
    nats->has_heard = false;
    if (!nats->is_asked) return;
    snprintf(subject, sizeof subject, "%s.a.echo", nats->inbox);
    natsStatus status = natsConnection_Publish(nats->link->connection, subject, NULL, 0);
    (void)status;
}

static int on_tick(void *state, uint64_t context, fault_t *why) {
    nats_t *nats = state;
    (void)context, (void)why;
    nats->tick = actor_after(nats->feed.me, TICK, on_tick, 0);
    if (!nats->link || !nats->is_watched) return 0;
    if (nats->awaited[0] && ++nats->silent > SILENT_MAX)
        nats_lose(nats, nats->stream ? "JetStream does not answer" : "it does not answer");
    else
        echo_check(nats);
    if (nats->link && nats->stream && nats->step == STEP_READING) stream_tick(nats);
    if (nats->link) nats_work(nats);
    return 0;
}

static bool is_idle(const nats_t *nats) {
    if (nats->step != STEP_READING || !feed_room(&nats->feed)) return false;
    return nats->stream ? nats->is_drained && !nats->held : nats->lost_from == 0;
}

static int on_idle(void *state, uint64_t context, fault_t *why) {
    nats_t *nats = state;
    int64_t watermark;
    (void)context, (void)why;
    if (timing_advance(&nats->timing, is_idle(nats), &watermark))
        feed_watermark(&nats->feed, nats->stream ? stream_cursor(nats) : subject_cursor(nats), watermark);
    timing_arm(&nats->timing, on_idle);
    return 0;
}

/* ---- the feed ---- */

static int nats_resume(void *state, bytes_t cursor, fault_t *why) {
    nats_t *nats = state;
    fault_t unread;
    (void)why;
    int resumed = nats->stream ? stream_resume(nats, cursor, &unread) : subject_resume(nats, cursor, &unread);
    if (resumed < 0) {
        feed_fail(&nats->feed, "%s", unread.text);
        return 0;
    }
    if (!nats->tick) nats->tick = actor_after(nats->feed.me, TICK, on_tick, 0);
    if (nats->stream) timing_resume(&nats->timing);
    timing_arm(&nats->timing, on_idle);
    if (!nats->link && !nats->dial && !nats->retry) dial(nats);
    if (nats->link) nats_look(nats);
    return 0;
}

static int nats_produce(void *state, fault_t *why) {
    nats_t *nats = state;
    (void)why;
    if (nats->feed.was_full) timing_missed(&nats->timing);
    nats_work(nats);
    return 0;
}

static void nats_stop(void *state) {
    nats_t *nats = state;
    actor_cancel(nats->feed.me, &nats->retry);
    actor_cancel(nats->feed.me, &nats->tick);
    timing_disarm(&nats->timing);
    if (nats->dial) actor_unwatch(nats->feed.me, nats_dial_descriptor(nats->dial));
    nats_dial_leave(&nats->dial);
    nats_close(nats, true);
}

static const feed_source_t nats_source = {NATS_URN, nats_resume, nats_produce, nats_stop};

/* ---- life ---- */

static int subject_check(const nats_t *nats, const msg_nats_payload_t *payload, fault_t *why) {
    if (nats->subject && !nats_subject_valid(nats->subject))
        return fault_set(why, "`" NATS_URN "`: `subject` must be one that can be subscribed to, such as `orders.>`, not `%.64s`",
                         nats->subject);
    if (nats->stream && !nats_stream_valid(nats->stream))
        return fault_set(why, "`" NATS_URN "`: `stream` must be a stream's name, such as `ORDERS`, not `%.64s`", nats->stream);
    if (nats->stream) return 0;
    if (!nats->subject) return fault_set(why, "`" NATS_URN "`: a `subject` is needed, or a `stream`");
    if (payload->has_until) return fault_set(why, "`" NATS_URN "`: `until` needs a `stream`: a subject has no end");
    if (payload->has_from && nats->start.from != NATS_FROM_NEW)
        return fault_set(why, "`" NATS_URN "`: `from` needs a `stream`: a subject has only what is `new`");
    return 0;
}

static int payload_take(nats_t *nats, const msg_nats_payload_t *payload, fault_t *why) {
    static const char *const untils[] = {"never", "end", NULL};
    unsigned until;
    fault_t unread;
    nats->access = (nats_access_t){
        NATS_URN,
        actor_config(nats->feed.me)->keys,
        payload->server,
        payload->has_username ? payload->username : NULL,
        payload->has_password_file ? payload->password_file : NULL,
        payload->has_token_file ? payload->token_file : NULL,
        payload->has_creds ? payload->creds : NULL,
        payload->has_tls_ca ? payload->tls_ca : NULL,
        payload->has_tls_cert ? payload->tls_cert : NULL,
        payload->has_tls_key ? payload->tls_key : NULL,
        payload->has_tls ? payload->tls : payload->has_tls_ca || payload->has_tls_cert || payload->has_tls_key,
    };
    nats->subject = payload->has_subject && payload->subject[0] ? payload->subject : NULL;
    nats->stream = payload->has_stream ? payload->stream : NULL;
    nats->metadata = payload->has_metadata && payload->metadata;
    if (nats_start_read(payload->has_from ? payload->from : NULL, &nats->start, &unread) < 0)
        return fault_set(why, "`" NATS_URN "`: %s", unread.text);
    if (payload_choice(NATS_URN, "until", payload->has_until ? payload->until : NULL, untils, &until, why) < 0) return -1;
    nats->until_end = until == 1;
    return subject_check(nats, payload, why) < 0 ? -1 : nats_access_check(&nats->access, why);
}

static void nats_destroy(void **state) {
    nats_t *nats = *state;
    if (!nats) return;
    if (nats->dial) nats_dial_leave(&nats->dial);
    nats_close(nats, true);
    timing_fini(&nats->timing);
    feed_fini(&nats->feed);
    msgpack_sbuffer_destroy(&nats->attributes);
    nats_ReleaseThreadMemory();
    free(nats);
    *state = NULL;
}

static void *nats_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_nats_payload_t payload;
    void *state = calloc(1, sizeof(nats_t));
    must(state);
    nats_t *nats = state;
    msgpack_sbuffer_init(&nats->attributes);
    nats->backoff.random = (uint64_t)actor_now(me);
    if (feed_init(&nats->feed, me, &nats_source, args, RECORD_CLASS(nats_payload), &payload, why) < 0 ||
        payload_take(nats, &payload, why) < 0 ||
        timing_init(&nats->timing, me, NATS_URN, nats->stream ? TIMING_SYSTEM_STAMPS : TIMING_SYSTEM_NONE, TIMING_GIVEN(&payload), why) <
            0) {
        nats_destroy(&state);
        return NULL;
    }
    feed_start(&nats->feed);
    return state;
}

/* ---- the class ---- */

const actor_class_t source_nats_class = {
    .name = "source_nats",
    .doc = "Reads a subject of NATS, or a JetStream.",
    .create = nats_create,
    .destroy = nats_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
