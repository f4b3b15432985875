/* The gateway on a stage: clients at its door, and the test in the place of those behind it. */
#ifndef REPRISE_TEST_COUNTER_H
#define REPRISE_TEST_COUNTER_H

#include "desk.h"
#include "pack.h"

#include "actors/gateway.h"

static const stage_peer_t client __attribute__((unused)) = {"gateway", "client"}, other __attribute__((unused)) = {"gateway", "other"};

static inline stage_t *counter(void) {
    stage_t *stage = stage_create(17, NULL);
    stage_config(stage)->chaos = true;
    stage_add(stage, &gateway_class, "gateway", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static inline void ask_from(stage_t *stage, stage_peer_t peer, message_id_t id, const void *message, bytes_t body) {
    stage_peer_request(stage, peer, id, message, body, 1);
    stage_run(stage);
}

static inline bool peer_waits_still(stage_t *stage, stage_peer_t peer) {
    stage_run(stage);
    return !stage_peer_waits(stage, peer);
}

static inline const void *peer_yes(stage_t *stage, stage_peer_t peer, message_id_t id) {
    stage_run(stage);
    const void *answer = stage_peer_answer(stage, peer, id);
    assert_false(stage_peer_waits(stage, peer));
    return answer;
}

static inline refusal_t peer_no(stage_t *stage, stage_peer_t peer) {
    stage_run(stage);
    refusal_t no = *stage_peer_refusal(stage, peer);
    assert_false(stage_peer_waits(stage, peer));
    return no;
}

#endif
