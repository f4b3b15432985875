/* What the test says as a client or a source outside, at the door of an actor. */
#include "stage_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static connection_t *connection_of(stage_t *stage, stage_peer_t peer) {
    return stage_connection(stage, peer.actor, 0, peer.id, strlen(peer.id), true);
}

static void post(stage_t *stage, stage_peer_t peer, frame_t *message, bytes_t body) {
    connection_t *connection = connection_of(stage, peer);
    connection->gone = connection->dismissed = false;
    player_t *player = stage_player(stage, peer.actor);
    if (!player || player->class->doors[0].kind != DOOR_ROUTER) fail_msg("%s has no ROUTER at door 0", peer.actor);
    frame_t second;
    if (body.data) frame_copy_of(&second, body);
    stage_post(player, NULL, &connection->peer, NULL, NULL, message, body.data ? &second : NULL);
}

void stage_peer_send(stage_t *stage, stage_peer_t peer, message_id_t id, const void *message, bytes_t body) {
    frame_t frame;
    stage_encode(&frame, id, message, true, (bytes_t){0});
    post(stage, peer, &frame, body);
}

void stage_peer_request(stage_t *stage, stage_peer_t peer, message_id_t id, const void *message, bytes_t body, int64_t echo) {
    stage_must_be_request(id);
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_int64(&packer, echo);
    frame_t frame;
    stage_encode(&frame, id, message, true, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
    post(stage, peer, &frame, body);
}

void stage_peer_send_raw(stage_t *stage, stage_peer_t peer, bytes_t message, bytes_t body) {
    frame_t frame;
    frame_copy_of(&frame, message);
    post(stage, peer, &frame, body);
}

bool stage_peer_waits(stage_t *stage, stage_peer_t peer) {
    return connection_of(stage, peer)->letters.first != NULL;
}

const stage_message_t *stage_peer_take(stage_t *stage, stage_peer_t peer) {
    connection_t *connection = connection_of(stage, peer);
    return connection->letters.first ? stage_letter_take(&connection->letters, &connection->letters.first) : NULL;
}

const stage_message_t *stage_peer_take_of(stage_t *stage, stage_peer_t peer, message_id_t id) {
    const stage_message_t *m;
    do {
        m = stage_peer_take(stage, peer);
    } while (m && m->head.id != id);
    return m;
}

static const stage_message_t *take_answer(stage_t *stage, stage_peer_t peer) {
    const stage_message_t *m;
    do {
        m = stage_peer_take(stage, peer);
    } while (m && m->head.id != MSG_NONE);
    if (!m) fail_msg("seed %llu: %s does not answer %s", (unsigned long long)stage->seed, peer.actor, peer.id);
    return m;
}

static const refusal_t *refusal_of(stage_t *stage, const stage_message_t *answer) {
    refusal_t *no = stage_keep(stage, NULL, sizeof *no);
    if (refusal_decode(answer->raw, no) < 0) fail_msg("%s refuses with an error that cannot be read", answer->from);
    return no;
}

const void *stage_peer_answer(stage_t *stage, stage_peer_t peer, message_id_t id) {
    const stage_message_t *m = take_answer(stage, peer);
    if (m->refused) fail_msg("seed %llu: %s refuses: %s", (unsigned long long)stage->seed, peer.actor, refusal_of(stage, m)->message);
    return stage_decode_as(stage, id, m->raw, peer.actor);
}

const refusal_t *stage_peer_refusal(stage_t *stage, stage_peer_t peer) {
    const stage_message_t *m = take_answer(stage, peer);
    if (!m->refused) fail_msg("%s does not refuse", peer.actor);
    return refusal_of(stage, m);
}

bool stage_peer_dismissed(stage_t *stage, stage_peer_t peer) {
    return connection_of(stage, peer)->dismissed;
}

void stage_peer_leave(stage_t *stage, stage_peer_t peer) {
    connection_of(stage, peer)->gone = true;
}

void stage_peer_block(stage_t *stage, stage_peer_t peer, bool blocked) {
    connection_of(stage, peer)->blocked = blocked;
}

bytes_t stage_body(stage_t *stage, size_t count, int64_t first_time, size_t size) {
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count);
    char *payload = malloc(size + 32);
    must(payload);
    for (size_t i = 0; i < count; i++) {
        memset(payload, '.', size + 32);
        int named = snprintf(payload, 32, "%zu", i);
        payload[named] = '.';
        msgpack_pack_array(&packer, 2);
        msgpack_pack_int64(&packer, first_time + (int64_t)i);
        msgpack_pack_bin_with_body(&packer, payload, size);
    }
    free(payload);
    bytes_t body = {stage_keep(stage, out.data, out.size), out.size};
    msgpack_sbuffer_destroy(&out);
    return body;
}
