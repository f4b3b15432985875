/* What an actor on the stage stands on in place of a thread: lanes of messages, doors without sockets, the stage's clock. */
#include "stage_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const endpoint_names[ENDPOINTS_ALL] = {"commands", "ingest", "test-stream", "notifications", "progress", "zap"};

/* ---- lanes ---- */

static lane_t *lane_of(player_t *player, const char *from, const peer_t *peer) {
    for (size_t i = 0; i < player->lane_count; i++) {
        lane_t *lane = player->lanes[i];
        if (from ? strcmp(lane->from, from) == 0 : !lane->from[0] && peer_equal(&lane->peer, peer)) return lane;
    }
    lane_t *lane = calloc(1, sizeof *lane);
    must(lane);
    if (from) snprintf(lane->from, sizeof lane->from, "%s", from);
    if (peer) lane->peer = *peer;
    lane->last = &lane->first;
    player->lanes = realloc(player->lanes, (player->lane_count + 1) * sizeof(lane_t *));
    must(player->lanes);
    player->lanes[player->lane_count++] = lane;
    return lane;
}

/* What was moved out of is an empty frame, as zmq_msg_send leaves one. */
static void take_frame(frame_t *to, frame_t *from) {
    frame_init(to);
    if (from) frame_move(to, from);
}

static void drop_frame(frame_t *from) {
    frame_t dropped;
    take_frame(&dropped, from);
    frame_fini(&dropped);
}

void stage_post(player_t *player, const char *from, const peer_t *peer, const prefix_t *prefix, frame_t *head, frame_t *message,
                frame_t *body) {
    lane_t *lane = lane_of(player, from, peer);
    mail_t *mail = calloc(1, sizeof *mail);
    must(mail);
    take_frame(&mail->head, head);
    take_frame(&mail->message, message);
    mail->has_body = body != NULL;
    if (body) take_frame(&mail->body, body);
    if (prefix) mail->prefix = *prefix;
    *lane->last = mail;
    lane->last = &mail->next;
}

static bool is_line(const player_t *player, const lane_t *lane) {
    return !lane->from[0] && player->class->doors[lane->peer.door].kind == DOOR_LINE;
}

static void deliver_one(player_t *player, lane_t *lane) {
    mail_t *mail = lane->first;
    lane->first = mail->next;
    if (!lane->first) lane->last = &lane->first;
    frame_t *body = mail->has_body ? &mail->body : NULL;
    if (lane->from[0]) {
        actor_receive(player->actor, lane->from, &mail->head, &mail->message, body);
    } else {
        frame_fini(&mail->head);
        actor_receive_peer(player->actor, &lane->peer, &mail->prefix, &mail->message, body, false, false, NULL);
    }
    free(mail);
}

/* A line's messages come before any other actor's. */
void stage_deliver(player_t *player, lane_t *lane) {
    for (size_t i = 0; lane->from[0] && i < player->lane_count; i++)
        while (is_line(player, player->lanes[i]) && player->lanes[i]->first && actor_takes_peers(player->actor))
            deliver_one(player, player->lanes[i]);
    deliver_one(player, lane);
}

/* ---- the switchboard ---- */

static void note_ready(player_t *player) {
    player->ready = player->was_ready = true;
}

static void note_failed(player_t *player, bytes_t raw) {
    stage_t *stage = player->stage;
    const msg_actor_failed_t *failed = stage_decode_as(stage, MSG_ACTOR_FAILED, raw, player->name);
    snprintf(player->failure, sizeof player->failure, "%s", failed->why);
    player->failures++;
    player->ready = false;
    if (stage_player(stage, "supervisor") || !player->was_ready) return;
    player->restart_at = failed->starting ? stage->ticks + 20000 : stage->ticks;
}

/* Where there is no supervisor, the stage is one. True: the message was for it. */
static bool supervise(stage_t *stage, const char *from, const char *to, const head_t *head, bytes_t raw) {
    player_t *player = stage_player(stage, from);
    bool ready = head->kind == HEAD_TELL && head->id == MSG_ACTOR_READY;
    bool failed = head->kind == HEAD_TELL && head->id == MSG_ACTOR_FAILED;
    bool stopped = head->kind == HEAD_TELL && head->id == MSG_ACTOR_STOPPED;
    if (player && ready) note_ready(player);
    /* What the supervisor tells main in the same words is about others. */
    if (player && failed && strcmp(to, "supervisor") == 0) note_failed(player, raw);
    return (ready || failed || stopped) && strcmp(to, "supervisor") == 0 && !stage_player(stage, "supervisor");
}

static void bounce(stage_t *stage, const char *from, const char *to, head_t head) {
    refusal_t no;
    refuse(&no, ERROR_UNAVAILABLE, NULL, "%s is not running", to);
    no.retry = true;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    refusal_encode(&no, (bytes_t){0}, &out);
    frame_t head_frame, message;
    head.kind = HEAD_REFUSAL;
    head_encode(&head, &head_frame);
    frame_copy_of(&message, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
    stage_route(stage, to, from, &head_frame, &message, NULL);
}

static bool is_lost(player_t *player, const head_t *head) {
    if (head->kind != HEAD_REQUEST || player->lose == 0 || head->id != player->lost) return false;
    player->lose--;
    return true;
}

static void keep_for_test(stage_t *stage, const char *from, const char *to, const head_t *head, bytes_t raw, const frame_t *body) {
    letter_t *letter = stage_letter(stage, from, to, raw, body);
    stage_message_t *m = &letter->message;
    m->head = *head;
    m->refused = head->kind == HEAD_REFUSAL;
    if (head->kind != HEAD_REFUSAL)
        m->message = stage_decode_as(stage, head->kind == HEAD_ANSWER ? message_class(head->id)->answer : head->id, m->raw, from);
    stage_letter_add(&stage->inbox, letter);
}

void stage_route(stage_t *stage, const char *from, const char *to, frame_t *head_frame, frame_t *message, frame_t *body) {
    head_t head;
    must(head_decode(frame_bytes(head_frame), &head));
    bytes_t raw = frame_bytes(message);
    bool handled = supervise(stage, from, to, &head, raw);
    player_t *player = stage_player(stage, to);
    bool lost = player && is_lost(player, &head);
    if (!handled && player && !lost) {
        stage_post(player, from, NULL, NULL, head_frame, message, body);
        return;
    }
    if (!handled) {
        if (lost || (stage->tree && head.kind == HEAD_REQUEST && strcmp(to, "main") != 0)) {
            bounce(stage, from, to, head);
        } else {
            keep_for_test(stage, from, to, &head, raw, body);
        }
    }
    frame_fini(head_frame);
    frame_fini(message);
    if (body) frame_fini(body);
}

static void host_route(host_t *host, const char *to, frame_t *head, frame_t *message, frame_t *body) {
    player_t *player = (player_t *)host;
    stage_route(player->stage, player->name, to, head, message, body);
}

/* ---- doors ---- */

connection_t *stage_connection(stage_t *stage, const char *router, unsigned door, const void *id, size_t size, bool make) {
    peer_t peer = {.door = (uint8_t)door, .size = (uint8_t)size};
    must(size <= sizeof peer.id);
    memcpy(peer.id, id, size);
    for (connection_t *at = stage->connections; at; at = at->next)
        if (strcmp(at->router, router) == 0 && peer_equal(&at->peer, &peer)) return at;
    if (!make) return NULL;
    connection_t *made = calloc(1, sizeof *made);
    must(made);
    snprintf(made->router, sizeof made->router, "%s", router);
    made->peer = peer;
    made->next = stage->connections;
    stage->connections = made;
    return made;
}

static player_t *behind(const stage_t *stage, endpoint_id_t endpoint, unsigned *ret_door) {
    for (size_t i = 0; i < stage->player_count; i++)
        for (unsigned door = 0; door < DOORS_MAX && !stage->players[i]->left; door++) {
            const door_spec_t *spec = &stage->players[i]->class->doors[door];
            if (spec->kind != DOOR_ROUTER || spec->endpoint != endpoint) continue;
            *ret_door = door;
            return stage->players[i];
        }
    return NULL;
}

static connection_t *dealer_connection(player_t *player, unsigned door, const player_t *router, unsigned router_door) {
    stage_t *stage = player->stage;
    for (connection_t *at = stage->connections; at; at = at->next)
        if (strcmp(at->router, router->name) == 0 && strcmp(at->dealer, player->name) == 0 && at->dealer_door == door && !at->gone)
            return at;
    char id[32] = LINE_ID;
    int size = (int)strlen(LINE_ID);
    if (player->class->doors[door].kind == DOOR_DEALER) size = snprintf(id, sizeof id, "%c dealer %u", 0, ++stage->dealers);
    connection_t *made = stage_connection(stage, router->name, router_door, id, (size_t)size, true);
    snprintf(made->dealer, sizeof made->dealer, "%s", player->name);
    made->dealer_door = door;
    return made;
}

static sent_t send_dealer(player_t *player, unsigned door, frame_t *message, frame_t *body) {
    stage_t *stage = player->stage;
    const door_spec_t *spec = &player->class->doors[door];
    unsigned router_door = 0;
    player_t *router = behind(stage, spec->endpoint, &router_door);
    if (router) {
        connection_t *connection = dealer_connection(player, door, router, router_door);
        stage_post(router, NULL, &connection->peer, NULL, NULL, message, body);
        return SENT;
    }
    if (stage->tree) return SENT_FULL;
    letter_t *letter = stage_letter(stage, player->name, endpoint_names[spec->endpoint], frame_bytes(message), body);
    letter->message.door = (int)door;
    stage_letter_read(stage, letter, spec->scope);
    stage_letter_add(&stage->inbox, letter);
    drop_frame(message);
    if (body) drop_frame(body);
    return SENT;
}

static sent_t send_router(player_t *player, unsigned door, const peer_t *to, frame_t *message, frame_t *body) {
    stage_t *stage = player->stage;
    connection_t *connection = stage_connection(stage, player->name, door, to->id, to->size, false);
    if (!connection || connection->gone) return SENT_GONE;
    if (connection->blocked) return SENT_FULL;
    if (connection->dealer[0]) {
        player_t *dealer = stage_player(stage, connection->dealer);
        connection->gone = !dealer;
        if (!dealer) return SENT_GONE;
        stage_post(dealer, NULL, &(peer_t){.door = (uint8_t)connection->dealer_door}, NULL, NULL, message, body);
        return SENT;
    }
    letter_t *letter = stage_letter(stage, player->name, "", frame_bytes(message), body);
    letter->message.door = (int)door;
    memcpy(letter->message.to, to->id, to->size);
    stage_letter_read(stage, letter, player->class->doors[door].scope);
    stage_letter_add(&connection->letters, letter);
    drop_frame(message);
    if (body) drop_frame(body);
    return SENT;
}

static void host_dismiss(host_t *host, const peer_t *peer) {
    player_t *player = (player_t *)host;
    connection_t *connection = stage_connection(player->stage, player->name, peer->door, peer->id, peer->size, false);
    if (connection) connection->dismissed = true;
}

static sent_t publish(player_t *player, unsigned door, frame_t *topic, frame_t *payload) {
    stage_t *stage = player->stage;
    letter_t *letter = stage_letter(stage, player->name, "", frame_bytes(payload), NULL);
    bytes_t text = frame_bytes(topic);
    letter->message.topic = stage_keep(stage, text.data, text.size);
    letter->message.door = (int)door;
    stage_letter_add(&stage->published, letter);
    drop_frame(topic);
    drop_frame(payload);
    return SENT;
}

static sent_t host_send(host_t *host, unsigned door, const peer_t *to, const prefix_t *prefix, frame_t *message, frame_t *body) {
    (void)prefix;
    player_t *player = (player_t *)host;
    switch (player->class->doors[door].kind) {
    case DOOR_ROUTER: return send_router(player, door, to, message, body);
    case DOOR_DEALER:
    case DOOR_LINE: return send_dealer(player, door, message, body);
    case DOOR_PUBLISH: return publish(player, door, message, body);
    default: fail_msg("%s has no door %u", player->name, door); return SENT_GONE;
    }
}

/* ---- children and the clock ---- */

static int host_spawn(host_t *host, const actor_class_t *class, const char *name, const char *address, bytes_t args, fault_t *why) {
    stage_t *stage = ((player_t *)host)->stage;
    if (stage_player(stage, address)) return fault_set(why, "cannot start %s: there is one", name);
    stage_player_add(stage, class, name, address, args);
    return 0;
}

static void host_reap(host_t *host, const char *address) {
    if (stage_player(((player_t *)host)->stage, address)) fail_msg("%s is reaped before it has left", address);
}

static int64_t host_now(host_t *host) {
    return stage_now(((player_t *)host)->stage);
}

static int64_t host_ticks(host_t *host) {
    return ((player_t *)host)->stage->ticks;
}

static void host_hang(host_t *host, int64_t ms) {
    player_t *player = (player_t *)host;
    player->hung_until = ms == 0 ? INT64_MAX : player->stage->ticks + ms * 1000;
}

static void host_crash(host_t *host, const char *how) {
    (void)how;
    ((player_t *)host)->stage->dead = true;
}

/* Nobody on the stage comes with a key. */
static void host_know(host_t *host, int64_t at, const names_t *users) {
    (void)host, (void)at, (void)users;
}

static void host_bound(host_t *host, int64_t connections) {
    (void)host, (void)connections;
}

const host_class_t stage_host_class = {host_now,  host_ticks, host_route, host_send, host_dismiss, host_spawn,
                                       host_reap, host_hang,  host_crash, host_know, host_bound};
