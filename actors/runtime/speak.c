/* What an actor may say: tells, questions, answers, messages to peers. Everything it sends is declared in its class, and checked here. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../../messages/text.h"
#include "../../messages/wire.h"
#include "actor_state.h"

enum {
    TAB_BYTES = 16 * 1024, /* counted in one go: to count each message would cost about as much as to send it */
};

static void check_declared(const actor_t *me, message_id_t id) {
    if (!me->may_send[id]) fprintf(stderr, "%s does not declare that it sends %s\n", me->name, message_class(id)->id);
    must(me->may_send[id]);
}

static void encode(actor_t *me, message_id_t id, const void *message, bool named, bytes_t echo, frame_t *ret_frame) {
    me->out.size = 0;
    message_encode(id, message, named, echo, &me->out);
    frame_copy_of(ret_frame, (bytes_t){(const uint8_t *)me->out.data, me->out.size});
}

static void route(actor_t *me, const char *to, head_t head, frame_t *message, frame_t *body) {
    frame_t frame;
    head_encode(&head, &frame);
    me->host->class->route(me->host, to, &frame, message, body);
}

void actor_tell(actor_t *me, const char *to, message_id_t id, const void *message) {
    check_declared(me, id);
    frame_t frame;
    encode(me, id, message, false, (bytes_t){0}, &frame);
    route(me, to, (head_t){HEAD_TELL, id, 0}, &frame, NULL);
}

void actor_ask(actor_t *me, const char *to, message_id_t id, const void *message, answer_fn *then, uint64_t context) {
    check_declared(me, id);
    must(then && message_class(id)->kind == KIND_REQUEST);
    frame_t frame;
    encode(me, id, message, false, (bytes_t){0}, &frame);
    route(me, to, (head_t){HEAD_REQUEST, id, asks_add(&me->asks, id, then, context)}, &frame, NULL);
}

void actor_forward(actor_t *me, const envelope_t *in, const char *to) {
    ticket_entry_t *entry = tickets_find(&me->tickets, in->ticket);
    must(entry);
    entry->forwarded = true;
    parcel_t copy = entry->parcel;
    frame_t message, body;
    frame_init(&message);
    frame_share(&message, &copy.message);
    if (copy.has_body) {
        frame_init(&body);
        frame_share(&body, &copy.body);
    }
    uint64_t number = asks_add(&me->asks, in->id, NULL, in->ticket);
    route(me, to, (head_t){HEAD_REQUEST, in->id, number}, &message, copy.has_body ? &body : NULL);
}

void actor_forward_as(actor_t *me, ticket_t ticket, const char *to, message_id_t id, const void *message) {
    ticket_entry_t *entry = tickets_find(&me->tickets, ticket);
    must(entry);
    entry->forwarded = true;
    frame_t frame;
    encode(me, id, message, false, (bytes_t){0}, &frame);
    route(me, to, (head_t){HEAD_REQUEST, id, asks_add(&me->asks, id, NULL, ticket)}, &frame, NULL);
}

/* An answer travels between actors as clients see it but for the echoed id, which only the actor that has the request knows. The copy adds
 * one entry to the map: its header may grow by four bytes. */
static void add_echo(frame_t *message, bytes_t echo) {
    if (echo.size == 0) return;
    bytes_t map = frame_bytes(message);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    uint8_t first = map.data[0];
    size_t header = first == 0xdf ? 5 : first == 0xde ? 3 : 1;
    size_t count = first & 0x0f;
    if (first == 0xde) count = (size_t)(map.data[1] << 8 | map.data[2]);
    must(first != 0xdf && (first == 0xde || (first & 0xf0) == 0x80));
    msgpack_pack_map(&packer, count + 1);
    msgpack_sbuffer_write(&out, (const char *)map.data + header, map.size - header);
    msgpack_pack_str_with_body(&packer, "id", 2);
    msgpack_sbuffer_write(&out, (const char *)echo.data, echo.size);
    frame_fini(message);
    frame_copy_of(message, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
}

/* An answer to a peer, or the refusal to give one to who does not read those before it. Administrators learn what became of what they asked
 * as long as refusals find room. */
static head_kind_t answer_admit(actor_t *me, const peer_t *to, message_id_t asked, head_kind_t kind, frame_t *message) {
    refusal_t no;
    size_t size = frame_bytes(message).size + FRAME_BYTES;
    if (kind == HEAD_REFUSAL || debts_allow(&me->debts, to, size, &me->quotas, &no) == 0) return kind;
    if (message_class(asked)->permission == PERMISSION_ADMIN && debts_bear(&me->debts, to, size, &me->quotas)) return kind;
    me->out.size = 0;
    refusal_encode(&no, (bytes_t){0}, &me->out);
    frame_fini(message);
    frame_copy_of(message, (bytes_t){(const uint8_t *)me->out.data, me->out.size});
    return HEAD_REFUSAL;
}

/* Answers a peer, and counts what it has not read yet. One for whom nothing more can be kept is let go: it is to know that it will not be answered. */
static void answer_send(actor_t *me, const peer_t *to, const prefix_t *prefix, head_kind_t kind, frame_t *message) {
    if (kind == HEAD_REFUSAL) actor_count(me, COUNTER_REFUSALS, 1);
    size_t size = frame_bytes(message).size + FRAME_BYTES;
    sent_t sent = SENT_FULL;
    if (kind != HEAD_REFUSAL || debts_bear(&me->debts, to, size, &me->quotas)) {
        debts_add(&me->debts, to, message, size);
        sent = me->host->class->send(me->host, to->door, to, prefix, message, NULL);
    }
    if (sent == SENT) return;
    if (sent == SENT_FULL) actor_dismiss(me, to);
    actor_count(me, COUNTER_UNDELIVERED, 1);
    frame_fini(message);
}

void actor_resolve(actor_t *me, ticket_entry_t *entry, head_kind_t kind, frame_t *message) {
    parcel_t *parcel = &entry->parcel;
    if (parcel->from[0]) {
        route(me, parcel->from, (head_t){kind, parcel->head.id, parcel->head.number}, message, NULL);
    } else {
        if (parcel->counted) {
            debts_drop(&me->debts, &parcel->peer,
                       frame_bytes(&parcel->message).size + (parcel->has_body ? frame_bytes(&parcel->body).size : 0));
            debts_close(&me->debts, &parcel->peer);
        }
        kind = answer_admit(me, &parcel->peer, parcel->head.id, kind, message);
        bytes_t echo;
        if (wire_map_get(frame_bytes(&parcel->message), "id", &echo)) add_echo(message, echo);
        answer_send(me, &parcel->peer, &parcel->prefix, kind, message);
    }
    tickets_remove(&me->tickets, entry);
}

void actor_answer(actor_t *me, ticket_t ticket, const void *message) {
    if (!ticket) return;
    ticket_entry_t *entry = tickets_find(&me->tickets, ticket);
    must(entry);
    message_id_t id = message_class(entry->parcel.head.id)->answer;
    static const msg_ok_t nothing;
    must(message || id == MSG_OK);
    frame_t frame;
    encode(me, id, message ? message : &nothing, true, (bytes_t){0}, &frame);
    actor_resolve(me, entry, HEAD_ANSWER, &frame);
}

void actor_refuse_as(actor_t *me, ticket_t ticket, const refusal_t *no) {
    if (!ticket) return;
    ticket_entry_t *entry = tickets_find(&me->tickets, ticket);
    must(entry);
    me->out.size = 0;
    refusal_encode(no, (bytes_t){0}, &me->out);
    frame_t frame;
    frame_copy_of(&frame, (bytes_t){(const uint8_t *)me->out.data, me->out.size});
    actor_resolve(me, entry, HEAD_REFUSAL, &frame);
}

static void refusal_of(refusal_t *no, error_code_t code, const char *field, const char *format, va_list arguments) {
    *no = (refusal_t){.code = code, .retry = code == ERROR_UNAVAILABLE};
    vsnprintf(no->message, sizeof no->message, format, arguments);
    if (field) snprintf(no->field, sizeof no->field, "%s", field);
    text_mend(no->message);
    text_mend(no->field);
}

void actor_refuse(actor_t *me, ticket_t ticket, error_code_t code, const char *field, const char *format, ...) {
    refusal_t no;
    va_list arguments;
    va_start(arguments, format);
    refusal_of(&no, code, field, format, arguments);
    va_end(arguments);
    actor_refuse_as(me, ticket, &no);
}

void actor_refuse_frames(actor_t *me, const peer_t *to, const prefix_t *prefix, bytes_t echo, const refusal_t *no) {
    me->out.size = 0;
    refusal_encode(no, echo, &me->out);
    frame_t frame;
    frame_copy_of(&frame, (bytes_t){(const uint8_t *)me->out.data, me->out.size});
    answer_send(me, to, prefix, HEAD_REFUSAL, &frame);
}

void actor_refuse_peer(actor_t *me, const peer_t *to, error_code_t code, const char *field, const char *format, ...) {
    refusal_t no;
    va_list arguments;
    va_start(arguments, format);
    refusal_of(&no, code, field, format, arguments);
    va_end(arguments);
    no.retry = no.retry || code == ERROR_NOT_FOUND; /* "it restarted, say": attach or open again */
    actor_refuse_frames(me, to, NULL, (bytes_t){0}, &no);
}

sent_t actor_send(actor_t *me, const peer_t *to, message_id_t id, const void *message, frame_t *body) {
    check_declared(me, id);
    frame_t frame;
    encode(me, id, message, true, (bytes_t){0}, &frame);
    sent_t sent = me->host->class->send(me->host, to->door, to, NULL, &frame, body);
    if (sent != SENT) frame_fini(&frame);
    if (sent == SENT_GONE) actor_count(me, COUNTER_UNDELIVERED, 1);
    return sent;
}

sent_t actor_send_counted(actor_t *me, const peer_t *to, tab_t *tab, message_id_t id, const void *message, frame_t *body, size_t copied) {
    check_declared(me, id);
    frame_t frame;
    encode(me, id, message, true, (bytes_t){0}, &frame);
    size_t bytes = (tab ? tab->bytes : 0) + frame_bytes(&frame).size + FRAME_BYTES + (body ? FRAME_BYTES : 0) + copied;
    bool full = !tab || bytes >= TAB_BYTES;
    if (full) debts_add(&me->dues, to, &frame, bytes);
    sent_t sent = me->host->class->send(me->host, to->door, to, NULL, &frame, body);
    if (sent == SENT && tab) tab->bytes = full ? 0 : bytes;
    if (sent != SENT) frame_fini(&frame);
    if (sent == SENT_GONE) actor_count(me, COUNTER_UNDELIVERED, 1);
    return sent;
}

bool actor_is_behind(actor_t *me, const peer_t *to) {
    return debts_behind(&me->dues, to, &me->quotas);
}

void actor_dismiss(actor_t *me, const peer_t *peer) {
    me->host->class->dismiss(me->host, peer);
}

static void door_send(actor_t *me, unsigned door, frame_t *message, frame_t *body) {
    if (me->host->class->send(me->host, door, NULL, NULL, message, body) == SENT) return;
    actor_count(me, COUNTER_UNDELIVERED, 1);
    frame_fini(message);
    if (body) frame_fini(body);
}

void actor_door_tell(actor_t *me, unsigned door, message_id_t id, const void *message, frame_t *body) {
    check_declared(me, id);
    frame_t frame;
    encode(me, id, message, true, (bytes_t){0}, &frame);
    door_send(me, door, &frame, body);
}

void actor_door_ask(actor_t *me, unsigned door, message_id_t id, const void *message, frame_t *body, answer_fn *then, uint64_t context) {
    check_declared(me, id);
    must(then && message_class(id)->kind == KIND_REQUEST);
    uint8_t echo[9] = {0xcf};
    uint64_t number = asks_add(&me->asks, id, then, context);
    for (int i = 0; i < 8; i++) echo[1 + i] = (uint8_t)(number >> (56 - 8 * i));
    frame_t frame;
    encode(me, id, message, true, (bytes_t){echo, sizeof echo}, &frame);
    door_send(me, door, &frame, body);
}

void actor_publish(actor_t *me, unsigned door, const char *topic, bytes_t payload) {
    frame_t first, second;
    frame_copy_of(&first, (bytes_t){(const uint8_t *)topic, strlen(topic)});
    frame_copy_of(&second, payload);
    door_send(me, door, &first, &second);
}
