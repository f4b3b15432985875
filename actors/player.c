/* A player: see player.h. A turn is short, so that a client that could take gigabytes holds up the others for less than a millisecond. */
#include "player.h"

enum {
    TURN_EVENTS = 64,
    TURN_BYTES = 1024 * 1024,
    FULL_DELAY_US = 2000, /* who does not read tells nobody when it goes on: tried again, twice as late each time */
    FULLS_MAX = 6,
};

/* How far it is on the recording's clock: as far as it has walked, but never beyond what can have been recorded. */
static int64_t player_at(const player_t *player, actor_t *me) {
    int64_t at = pace_at(&player->pace, actor_ticks(me));
    int64_t now = actor_now(me);
    if (at > now) at = now;
    return at > replay_at(player->replay) ? at : replay_at(player->replay);
}

void player_pause(player_t *player, actor_t *me) {
    player->steps = 0;
    if (player->paused) return;
    player->paused = true;
    player->pace.at = player_at(player, me);
}

void player_resume(player_t *player, actor_t *me) {
    if (!player->paused) return;
    player->paused = false;
    player->steps = 0;
    int64_t sent = replay_at(player->replay);
    pace_start(&player->pace, actor_ticks(me), sent > player->pace.at ? sent : player->pace.at);
}

void player_set_rate(player_t *player, actor_t *me, double rate) {
    if (!player->paused) pace_start(&player->pace, actor_ticks(me), player_at(player, me));
    player->pace.rate = rate;
}

void player_seek(player_t *player, actor_t *me, int64_t element, int64_t offset_ms) {
    replay_seek(player->replay, element, offset_ms);
    player->pace.ticks = actor_ticks(me);
}

void player_end(player_t *player, const char *reason, const char *error) {
    if (player->ending) return;
    player->ending = true;
    replay_end(player->replay, reason, error);
}

/* What it waits for before the next event; PLAYED_MORE: nothing. */
static played_t player_waits(player_t *player, int64_t ticks, const replay_event_t **ret_event, int64_t *ret_delay) {
    bool stepping = player->paused && player->steps > 0;
    if (!player->ending && (player->credit <= 0 || (player->paused && !stepping))) return PLAYED_WAITS;
    replay_state_t state = replay_next(player->replay, ret_event);
    player->starved = state == REPLAY_WAITS;
    if (replay_placed(player->replay)) player->pace.at = replay_at(player->replay);
    if (state == REPLAY_WAITS) return PLAYED_WAITS;
    if (state == REPLAY_BUSY) return PLAYED_MORE;
    if (player->ending || stepping) return PLAYED_MORE;
    *ret_delay = pace_delay(&player->pace, ticks, (*ret_event)->at);
    return *ret_delay > 0 ? PLAYED_LATER : PLAYED_MORE;
}

static int64_t player_put_off(player_t *player) {
    int64_t delay = FULL_DELAY_US << player->fulls;
    if (player->fulls < FULLS_MAX) player->fulls++;
    return delay;
}

played_t player_play(player_t *player, actor_t *me, const peer_t *to, tab_t *tab, int64_t *budget, int64_t *ret_delay) {
    /* Before an event is made: it may be a copy of many megabytes. */
    if (actor_is_behind(me, to)) {
        *ret_delay = player_put_off(player);
        return PLAYED_LATER;
    }
    int64_t ticks = actor_ticks(me);
    uint64_t bytes = 0, elements = 0;
    played_t played = PLAYED_MORE;
    for (int sent = 0; played == PLAYED_MORE && sent < TURN_EVENTS && bytes < TURN_BYTES; sent++) {
        const replay_event_t *event = NULL;
        played = player_waits(player, ticks, &event, ret_delay);
        if (played != PLAYED_MORE || !event) break;
        sent_t how = actor_send_counted(me, to, tab, event->id, event->message, event->body, event->copied);
        if (how == SENT_GONE) played = PLAYED_GONE;
        if (how == SENT_FULL) {
            played = PLAYED_LATER;
            *ret_delay = player_put_off(player);
        }
        if (how != SENT) break;
        player->fulls = 0;
        if (event->body) frame_init(event->body); /* it is the socket's now */
        player->credit -= (int64_t)event->size;
        if (player->steps > 0) player->steps--;
        bytes += event->size;
        if (event->id == MSG_ELEMENTS) elements += (uint64_t)((const msg_elements_t *)event->message)->count;
        if (event->id == MSG_END) played = PLAYED_OVER;
        replay_taken(player->replay);
    }
    actor_count(me, COUNTER_ELEMENTS_REPLAYED, elements);
    actor_count(me, COUNTER_BYTES_REPLAYED, bytes);
    *budget -= (int64_t)bytes;
    return played;
}
