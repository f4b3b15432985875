/* What the test says as an actor, and what it is told. */
#include "stage_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messages/wire.h"

/* ---- letters ---- */

letter_t *stage_letter(stage_t *stage, const char *from, const char *to, bytes_t raw, const frame_t *body) {
    letter_t *letter = stage_keep(stage, NULL, sizeof *letter);
    stage_message_t *m = &letter->message;
    snprintf(m->from, sizeof m->from, "%s", from);
    snprintf(m->to, sizeof m->to, "%s", to);
    m->raw = (bytes_t){stage_keep(stage, raw.data, raw.size), raw.size};
    m->door = -1;
    if (!body) return letter;
    m->has_body = true;
    m->body = frame_bytes(body);
    m->body.data = stage_keep(stage, m->body.data, m->body.size);
    return letter;
}

void stage_letter_add(letters_t *letters, letter_t *letter) {
    if (!letters->last) letters->last = &letters->first;
    *letters->last = letter;
    letters->last = &letter->next;
}

const stage_message_t *stage_letter_take(letters_t *letters, letter_t **at) {
    letter_t *letter = *at;
    *at = letter->next;
    if (!letter->next) letters->last = at;
    return &letter->message;
}

void stage_letter_read(stage_t *stage, letter_t *letter, unsigned scope) {
    stage_message_t *m = &letter->message;
    refusal_t no;
    bytes_t value;
    const char *text = "";
    size_t size = 0;
    if (wire_walk(m->raw, &no) < 0) fail_msg("%s sends no msgpack: %s", m->from, no.message);
    if (wire_map_get(m->raw, "ok", &value)) {
        m->refused = value.data[0] != 0xc3;
        m->head.kind = m->refused ? HEAD_REFUSAL : HEAD_ANSWER;
        return;
    }
    if (!(wire_map_get(m->raw, "op", &value) || wire_map_get(m->raw, "event", &value)) || !wire_text(value, &text, &size))
        fail_msg("%s sends a map without `ok`, `op` or `event`", m->from);
    m->head.id = message_find(scope, text, size);
    if (m->head.id == MSG_NONE) fail_msg("%s sends `%.*s`, which its door does not speak", m->from, (int)size, text);
    m->head.kind = message_class(m->head.id)->kind == KIND_REQUEST ? HEAD_REQUEST : HEAD_TELL;
    m->message = stage_decode_as(stage, m->head.id, m->raw, m->from);
}

const void *stage_decode_as(stage_t *stage, message_id_t id, bytes_t raw, const char *from) {
    refusal_t no;
    void *message = stage_keep(stage, NULL, message_class(id)->record.size);
    if (wire_walk(raw, &no) < 0 || message_decode(id, raw, stage->zone, message, &no) < 0)
        fail_msg("seed %llu: %s sends %s that its list refuses: %s", (unsigned long long)stage->seed, from, message_class(id)->id,
                 no.message);
    return message;
}

const void *stage_decode(stage_t *stage, message_id_t id, bytes_t raw) {
    return stage_decode_as(stage, id, (bytes_t){stage_keep(stage, raw.data, raw.size), raw.size}, "the test");
}

void stage_encode(frame_t *ret_frame, message_id_t id, const void *message, bool named, bytes_t echo) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(id, message, named, echo, &out);
    frame_copy_of(ret_frame, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
}

/* ---- to take ---- */

const stage_message_t *stage_take(stage_t *stage, const char *name, message_id_t id) {
    for (letter_t **at = &stage->inbox.first; *at; at = &(*at)->next) {
        letter_t *letter = *at;
        if (strcmp(letter->message.to, name) != 0 || (id != MSG_NONE && letter->message.head.id != id)) continue;
        return stage_letter_take(&stage->inbox, at);
    }
    return NULL;
}

const stage_message_t *stage_take_published(stage_t *stage, const char *actor) {
    for (letter_t **at = &stage->published.first; *at; at = &(*at)->next) {
        letter_t *letter = *at;
        if (strcmp(letter->message.from, actor) != 0) continue;
        return stage_letter_take(&stage->published, at);
    }
    return NULL;
}

/* ---- to send ---- */

static void say(stage_t *stage, const char *from, const char *to, head_t head, frame_t *message) {
    frame_t frame;
    head_encode(&head, &frame);
    stage_route(stage, from, to, &frame, message, NULL);
}

void stage_tell(stage_t *stage, const char *from, const char *to, message_id_t id, const void *message) {
    frame_t frame;
    stage_encode(&frame, id, message, false, (bytes_t){0});
    say(stage, from, to, (head_t){HEAD_TELL, id, 0}, &frame);
}

void stage_must_be_request(message_id_t id) {
    if (message_class(id)->kind != KIND_REQUEST) fail_msg("%s is no request", message_class(id)->id);
}

uint64_t stage_ask(stage_t *stage, const char *from, const char *to, message_id_t id, const void *message) {
    stage_must_be_request(id);
    frame_t frame;
    stage_encode(&frame, id, message, false, (bytes_t){0});
    say(stage, from, to, (head_t){HEAD_REQUEST, id, ++stage->asked}, &frame);
    return stage->asked;
}

static void to_door(stage_t *stage, const char *actor, unsigned door, frame_t *message, frame_t *body) {
    player_t *player = stage_player(stage, actor);
    door_kind_t kind = player ? player->class->doors[door].kind : DOOR_NONE;
    if (kind != DOOR_DEALER && kind != DOOR_LINE) fail_msg("%s has no DEALER at door %u", actor, door);
    stage_post(player, NULL, &(peer_t){.door = (uint8_t)door}, NULL, NULL, message, body);
}

static void give(stage_t *stage, const stage_message_t *request, head_kind_t kind, frame_t *message) {
    if (request->door >= 0) {
        to_door(stage, request->from, (unsigned)request->door, message, NULL);
    } else {
        say(stage, request->to, request->from, (head_t){kind, request->head.id, request->head.number}, message);
    }
}

static bytes_t echo_of(const stage_message_t *request) {
    bytes_t echo = {0};
    if (request->door >= 0) wire_map_get(request->raw, "id", &echo);
    return echo;
}

void stage_answer(stage_t *stage, const stage_message_t *request, const void *message) {
    static const msg_ok_t nothing;
    assert_non_null(request);
    assert_int_equal(request->head.kind, HEAD_REQUEST);
    message_id_t id = message_class(request->head.id)->answer;
    if (!message && id != MSG_OK) fail_msg("%s is not answered with OK", message_class(request->head.id)->id);
    frame_t frame;
    stage_encode(&frame, id, message ? message : &nothing, true, echo_of(request));
    give(stage, request, HEAD_ANSWER, &frame);
}

void stage_refuse_as(stage_t *stage, const stage_message_t *request, const refusal_t *no) {
    assert_non_null(request);
    assert_int_equal(request->head.kind, HEAD_REQUEST);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    refusal_encode(no, echo_of(request), &out);
    frame_t frame;
    frame_copy_of(&frame, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
    give(stage, request, HEAD_REFUSAL, &frame);
}

void stage_refuse(stage_t *stage, const stage_message_t *request, error_code_t code, const char *text) {
    refusal_t no;
    refuse(&no, code, NULL, "%s", text);
    no.retry = code == ERROR_UNAVAILABLE;
    stage_refuse_as(stage, request, &no);
}

void stage_door_tell(stage_t *stage, const char *actor, unsigned door, message_id_t id, const void *message, bytes_t body) {
    frame_t frame, second;
    stage_encode(&frame, id, message, true, (bytes_t){0});
    if (body.data) frame_copy_of(&second, body);
    to_door(stage, actor, door, &frame, body.data ? &second : NULL);
}

/* ---- to ask and be answered ---- */

static const stage_message_t *answer_to(stage_t *stage, const char *to, message_id_t id, const void *message) {
    uint64_t number = stage_ask(stage, "test", to, id, message);
    stage_run(stage);
    for (letter_t **at = &stage->inbox.first; *at; at = &(*at)->next) {
        letter_t *letter = *at;
        const head_t *head = &letter->message.head;
        if (strcmp(letter->message.to, "test") != 0 || head->number != number || head->kind < HEAD_ANSWER) continue;
        return stage_letter_take(&stage->inbox, at);
    }
    fail_msg("seed %llu: %s does not answer %s", (unsigned long long)stage->seed, to, message_class(id)->id);
    return NULL;
}

static const refusal_t *refusal_of(stage_t *stage, const stage_message_t *answer) {
    refusal_t *no = stage_keep(stage, NULL, sizeof *no);
    if (refusal_decode(answer->raw, no) < 0) fail_msg("%s refuses with an error that cannot be read", answer->from);
    return no;
}

const void *stage_get(stage_t *stage, const char *to, message_id_t id, const void *message) {
    const stage_message_t *answer = answer_to(stage, to, id, message);
    if (answer->refused) fail_msg("%s refuses %s: %s", to, message_class(id)->id, refusal_of(stage, answer)->message);
    return answer->message;
}

const refusal_t *stage_get_refusal(stage_t *stage, const char *to, message_id_t id, const void *message) {
    const stage_message_t *answer = answer_to(stage, to, id, message);
    if (!answer->refused) fail_msg("%s does not refuse %s", to, message_class(id)->id);
    return refusal_of(stage, answer);
}
