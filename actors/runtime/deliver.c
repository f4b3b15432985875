/* What an actor is given: messages of other actors, of peers, and answers. Whatever cannot be understood is refused here, so that a handler
 * only ever sees a message that passed every check of its list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/wire.h"
#include "actor_state.h"
#include "doors.h"

const void *actor_decode(actor_t *me, message_id_t id, bytes_t in, refusal_t *no) {
    msgpack_zone_clear(me->zone);
    return message_decode(id, in, me->zone, me->decoded, no) == 0 ? me->decoded : NULL;
}

/* ---- from actors ---- */

static void hang(actor_t *me, bytes_t raw) {
    refusal_t no;
    const msg_actor_hang_t *m = actor_decode(me, MSG_ACTOR_HANG, raw, &no);
    must(m);
    me->host->class->hang(me->host, m->has_ms ? m->ms : 0);
}

static void crash(actor_t *me, bytes_t raw) {
    refusal_t no;
    const msg_actor_crash_t *m = actor_decode(me, MSG_ACTOR_CRASH, raw, &no);
    must(m);
    me->host->class->crash(me->host, m->how);
}

static void fail(actor_t *me, bytes_t raw) {
    refusal_t no;
    fault_t why;
    if (me->phase != PHASE_LOADING && me->phase != PHASE_READY) return;
    const msg_actor_fail_t *m = actor_decode(me, MSG_ACTOR_FAIL, raw, &no);
    must(m);
    fault_set(&why, "%s", m->has_why ? m->why : "told to fail by chaos.fail");
    actor_fail_as_told(me, &why);
}

static void learn_keys(actor_t *me, bytes_t raw) {
    refusal_t no;
    const msg_keys_changed_t *keys = actor_decode(me, MSG_KEYS_CHANGED, raw, &no);
    must(keys);
    me->host->class->know(me->host, keys->at, &keys->users);
}

/* What the supervisor says is not for the state, which may not be there. The supervisor itself stops in a way of its own, as long as it can. */
static bool handle_control(actor_t *me, const parcel_t *parcel) {
    message_id_t id = parcel->head.id;
    if (me->class->takes[id] && me->phase != PHASE_FAILED) return false;
    switch ((int)id) {
    case MSG_ACTOR_RESTART:
        if (me->phase == PHASE_FAILED) actor_start(me);
        return true;
    case MSG_ACTOR_STOP: actor_leave(me); return true;
    case MSG_ACTOR_PING: actor_answer(me, tickets_add(&me->tickets, parcel), NULL); return true;
    case MSG_ACTOR_FAIL: fail(me, frame_bytes(&parcel->message)); return true;
    case MSG_ACTOR_HANG: hang(me, frame_bytes(&parcel->message)); return true;
    case MSG_ACTOR_CRASH: crash(me, frame_bytes(&parcel->message)); return true;
    case MSG_KEYS_CHANGED: learn_keys(me, frame_bytes(&parcel->message)); return true;
    default: return false;
    }
}

static void answer_count(actor_t *me, const parcel_t *parcel) {
    msg_counted_t items[COUNTER_COUNT];
    msg_actor_counted_t counted = {.counters = {0, items}, .mailbox = (int64_t)me->held.count};
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        if (!me->counters[i]) continue;
        items[counted.counters.count++] = (msg_counted_t){.name = counter_name((counter_t)i), .value = (int64_t)me->counters[i]};
    }
    actor_answer(me, tickets_add(&me->tickets, parcel), &counted);
}

/* A request may be refused. What is told is told once: to lose it would leave two actors with different pictures of the world for good. */
static void hold(actor_t *me, parcel_t *parcel) {
    must(me->held.count < HELD_MAX);
    if (parcel->head.kind != HEAD_REQUEST || me->held.count < HELD_REQUESTS_MAX) {
        held_push(&me->held, parcel);
        return;
    }
    actor_refuse(me, tickets_add(&me->tickets, parcel), ERROR_UNAVAILABLE, NULL, "%s has too many messages waiting", me->name);
    parcel_fini(parcel);
}

void actor_receive(actor_t *me, const char *from, frame_t *head_frame, frame_t *message, frame_t *body) {
    parcel_t parcel = {.has_body = body != NULL};
    bool understood = head_decode(frame_bytes(head_frame), &parcel.head);
    frame_fini(head_frame);
    must(understood);
    snprintf(parcel.from, sizeof parcel.from, "%s", from);
    parcel.message = *message;
    if (body) parcel.body = *body;
    if (parcel.head.kind == HEAD_ANSWER || parcel.head.kind == HEAD_REFUSAL) {
        actor_deliver_answer(me, &parcel.head, &parcel.message);
        parcel_fini(&parcel);
    } else if (handle_control(me, &parcel)) {
        parcel_fini(&parcel);
    } else if (parcel.head.id == MSG_ACTOR_COUNT) {
        answer_count(me, &parcel);
        parcel_fini(&parcel);
    } else if (me->phase == PHASE_READY && me->held.count == 0) {
        actor_deliver(me, &parcel);
    } else {
        hold(me, &parcel);
    }
    actor_drain(me);
}

void actor_deliver(actor_t *me, parcel_t *parcel) {
    envelope_t in = {.id = parcel->head.id, .from = parcel->from[0] ? parcel->from : NULL, .peer = parcel->from[0] ? NULL : &parcel->peer};
    if (parcel->head.kind == HEAD_REQUEST) {
        in.ticket = tickets_add(&me->tickets, parcel);
        in.request = parcel->request ? parcel->request : in.ticket;
    }
    in.raw = frame_bytes(&parcel->message);
    if (parcel->has_body) in.body = &parcel->body;
    refusal_t no;
    fault_t why;
    handler_fn *handler = me->class->takes[in.id];
    if (!handler && in.peer) handler = me->class->passes;
    if (!handler) {
        refuse(&no, ERROR_UNKNOWN_OP, "op", "%s does not take `%s`", me->name, message_class(in.id)->wire);
        in.message = NULL;
    } else {
        in.message = actor_decode(me, in.id, in.raw, &no);
    }
    if (in.message) {
        if (handler(me->state, &in, &why) < 0) actor_fail(me, &why, in.ticket);
    } else if (in.ticket) {
        actor_refuse_as(me, in.ticket, &no);
    } else if (in.peer) {
        bytes_t echo = {0};
        wire_map_get(in.raw, "id", &echo);
        actor_refuse_frames(me, in.peer, &parcel->prefix, echo, &no);
    } else {
        fprintf(stderr, "reprised: %s cannot read %s: %s\n", me->name, message_class(in.id)->wire, no.message);
    }
    parcel_fini(parcel);
}

void actor_drain(actor_t *me) {
    parcel_t parcel;
    while (me->phase == PHASE_READY && held_take(&me->held, &parcel)) actor_deliver(me, &parcel);
}

static void take_answer(actor_t *me, const ask_t *ask, bool refused, frame_t *message) {
    if (!ask->then) {
        ticket_entry_t *entry = tickets_find(&me->tickets, ask->context);
        if (!entry) return;
        frame_t passed;
        frame_init(&passed);
        frame_move(&passed, message);
        actor_resolve(me, entry, refused ? HEAD_REFUSAL : HEAD_ANSWER, &passed);
        return;
    }
    if (!me->state) return;
    refusal_t no;
    answer_t answer = {.raw = frame_bytes(message)};
    if (refused) {
        if (refusal_decode(answer.raw, &no) < 0) refuse(&no, ERROR_INTERNAL, NULL, "an error that cannot be read");
        answer.refusal = &no;
    } else {
        answer.message = actor_decode(me, message_class(ask->id)->answer, answer.raw, &no);
        if (!answer.message) answer.refusal = &no;
    }
    fault_t why;
    if (ask->then(me->state, &answer, ask->context, &why) < 0) actor_fail(me, &why, 0);
}

void actor_deliver_answer(actor_t *me, const head_t *head, frame_t *message) {
    ask_t ask;
    if (asks_take(&me->asks, head->number, &ask)) take_answer(me, &ask, head->kind == HEAD_REFUSAL, message);
}

/* ---- from peers ---- */

typedef struct arrival {
    const peer_t *from;
    const prefix_t *prefix;
    frame_t *message, *body;
    bool frames_lost;
    const pass_t *pass;
} arrival_t;

static unsigned scope_of(const actor_t *me, const peer_t *from) {
    return me->class->doors[from->door].scope;
}

/* Elsewhere than at the commands endpoint, what the engine's own sources and gateways ask is bounded by what they are asked themselves. */
static bool is_counted(const actor_t *me, const arrival_t *in, message_id_t id) {
    return message_class(id)->kind == KIND_REQUEST && (scope_of(me, in->from) == SCOPE_COMMANDS || door_is_outside(in->message));
}

/* What an actor of this process says at a DEALER door was bounded where it came in. A body's quota is for those to tell who take it. */
static int sizes_check(const actor_t *me, const arrival_t *in, refusal_t *no) {
    size_t size = frame_bytes(in->message).size, body = in->body ? frame_bytes(in->body).size : 0;
    bool outside = me->class->doors[in->from->door].kind == DOOR_ROUTER;
    if (outside && size > (uint64_t)me->quotas.message_size_max)
        return refuse(no, ERROR_TOO_LARGE, NULL, "a message of %zu bytes is larger than `message_size_max` (%lld)", size,
                      (long long)me->quotas.message_size_max);
    if (size > WIRE_MESSAGE_MAX || body > WIRE_MESSAGE_MAX)
        return refuse(no, ERROR_TOO_LARGE, NULL, "a frame of %zu bytes is larger than the %d that any may have", size > body ? size : body,
                      WIRE_MESSAGE_MAX);
    return 0;
}

/* The `id` comes back with the answer, and with a refusal too, which is sent also where nobody reads: so it is small. */
static int echo_check(bytes_t raw, refusal_t *no) {
    bytes_t echo;
    if (!wire_map_get(raw, "id", &echo) || echo.size <= WIRE_ECHO_MAX) return 0;
    return refuse(no, ERROR_TOO_LARGE, "id", "an `id` of %zu bytes is larger than the %d that it may have", echo.size, WIRE_ECHO_MAX);
}

/* Finds out which message it is. Walks the bytes before anything else may believe what they declare. */
static message_id_t understand(const actor_t *me, const arrival_t *in, refusal_t *no) {
    bytes_t raw = frame_bytes(in->message), op;
    const char *text;
    size_t size;
    if (sizes_check(me, in, no) < 0) return MSG_NONE;
    if (wire_walk(raw, no) < 0 || echo_check(raw, no) < 0) return MSG_NONE;
    if (in->frames_lost) {
        refuse(no, ERROR_BAD_REQUEST, NULL, "more frames than the message and its body");
        return MSG_NONE;
    }
    bool event = false;
    if (!wire_map_get(raw, "op", &op) && !(event = wire_map_get(raw, "event", &op))) {
        refuse(no, ERROR_BAD_REQUEST, "op", "a message is a map with an `op`");
        return MSG_NONE;
    }
    if (!wire_text(op, &text, &size)) {
        refuse(no, ERROR_BAD_REQUEST, "op", "`op` must be text");
        return MSG_NONE;
    }
    message_id_t id = message_find(scope_of(me, in->from), text, size);
    if (id != MSG_NONE && (message_class(id)->kind == KIND_EVENT) == event && (me->class->takes[id] || me->class->passes)) return id;
    refuse(no, ERROR_UNKNOWN_OP, "op", "no operation `%.*s` on this endpoint", size > 64 ? 64 : (int)size, text);
    return MSG_NONE;
}

/* A definition in place of a name is stored, whatever was asked. */
static bool has_definition(message_id_t id, bytes_t raw) {
    bytes_t value;
    for (const field_t *field = message_class(id)->record.fields; field->name; field++)
        if (field->kind == TYPE_NAMED && wire_map_get(raw, field->name, &value))
            return (value.data[0] & 0xf0) == 0x80 || value.data[0] == 0xde || value.data[0] == 0xdf;
    return false;
}

static bool is_allowed(const arrival_t *in, message_id_t id, refusal_t *no) {
    const message_class_t *class = message_class(id);
    permission_t needed = class->permission;
    if (!in->pass) return true;
    bool defines = needed < PERMISSION_WRITE && has_definition(id, frame_bytes(in->message));
    if (defines) needed = PERMISSION_WRITE;
    if (in->pass->permission >= needed) return true;
    refuse(no, ERROR_UNAUTHORIZED, NULL, "`%s`%s needs a key with the permission %s, and `%s` has %s", class->wire,
           defines ? " with a definition" : "", permission_name(needed), in->pass->name, permission_name(in->pass->permission));
    return false;
}

/* What its key does not allow is refused. A request is counted until it is answered, unless there are too many. */
static message_id_t admit(actor_t *me, const arrival_t *in, message_id_t id, refusal_t *no) {
    if (id == MSG_NONE || !is_allowed(in, id, no)) return MSG_NONE;
    if (!is_counted(me, in, id)) return id;
    refusal_t many;
    if (debts_open(&me->debts, in->from, message_class(id)->permission, &me->quotas, &many) == 0) {
        if (debts_keep(&me->debts, in->from, frame_bytes(in->message).size + (in->body ? frame_bytes(in->body).size : 0), &many) == 0)
            return id;
        debts_close(&me->debts, in->from);
    }
    refuse(no, many.code, NULL, "`%s`: %s", message_class(id)->wire, many.message);
    no->retry = many.retry;
    return MSG_NONE;
}

/* An answer to what this actor asked at a DEALER door. */
static bool take_door_answer(actor_t *me, frame_t *message) {
    bytes_t raw = frame_bytes(message), ok, echo;
    refusal_t no;
    int64_t number;
    if (wire_walk(raw, &no) < 0 || !wire_map_get(raw, "ok", &ok)) return false;
    ask_t ask;
    if (wire_map_get(raw, "id", &echo) && wire_int(echo, &number) && asks_take(&me->asks, (uint64_t)number, &ask))
        take_answer(me, &ask, ok.data[0] != 0xc3, message);
    return true;
}

/* A parcel has room for more than most messages need: only what is used of it is written. */
static void deliver_from_peer(actor_t *me, const arrival_t *in, message_id_t id) {
    parcel_t parcel;
    parcel.from[0] = '\0';
    memcpy(&parcel.peer, in->from, offsetof(peer_t, id) + in->from->size);
    parcel.prefix = *in->prefix;
    bool request = message_class(id)->kind == KIND_REQUEST;
    if (request) door_trace(in->message, &parcel.peer); /* it may become somebody who is let go */
    parcel.counted = is_counted(me, in, id);
    parcel.head = (head_t){request ? HEAD_REQUEST : HEAD_TELL, id, 0};
    parcel.message = *in->message;
    parcel.has_body = in->body != NULL;
    if (in->body) parcel.body = *in->body;
    parcel.request = 0;
    parcel.failed = 0;
    actor_deliver(me, &parcel);
}

void actor_receive_peer(actor_t *me, const peer_t *from, const prefix_t *prefix, frame_t *message, frame_t *body, bool frames_lost,
                        bool stranger, const pass_t *pass) {
    arrival_t in = {from, prefix, message, body, frames_lost, pass};
    refusal_t no;
    door_kind_t kind = me->class->doors[from->door].kind;
    bool dealer = kind == DOOR_DEALER || kind == DOOR_LINE;
    if (scope_of(me, from) == SCOPE_COMMANDS) actor_count(me, COUNTER_COMMANDS, 1);
    if (!dealer || !take_door_answer(me, message)) {
        message_id_t id = admit(me, &in, understand(me, &in, &no), &no);
        if (id != MSG_NONE) {
            deliver_from_peer(me, &in, id);
            return;
        }
        if (stranger || dealer) {
            actor_count(me, COUNTER_DROPPED, 1);
        } else {
            bytes_t echo = {0};
            refusal_t ignored;
            bytes_t raw = frame_bytes(message);
            peer_t to = *from;
            door_trace(message, &to);
            if (wire_walk(raw, &ignored) == 0 && echo_check(raw, &ignored) == 0) wire_map_get(raw, "id", &echo);
            actor_refuse_frames(me, &to, prefix, echo, &no);
        }
    }
    frame_fini(message);
    if (body) frame_fini(body);
}
