/* The test-stream server streams recordings to clients, to each at its own place, pace and credit. It owns the replays, and which
 * pipelines' test streams are served. It keeps nothing that must outlast it: the recordings are on the disk, and a client whose replay it
 * does not know is told to open it again.
 *
 * Order of events: replay.h. Turns, and who listens: server.h. */
#include "test_stream_server.h"

#include "liveness.h"
#include "opening.h"
#include "runtime/duration.h"
#include "service.h"

/* ---- life ---- */

static int on_liveness(void *state, uint64_t context, fault_t *why);

static void take_options(server_t *server, const msg_options_t *options) {
    actor_bound(server->me, options);
    server->replay_timeout_ms = options->replay_timeout_ms;
    server->replays_max = (size_t)options->replays_max;
    server->client_replays_max = (size_t)options->client_replays_max;
}

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    server_t *server = state;
    if (answer->refusal) return fault_set(why, "cannot read the options: %s", answer->refusal->message);
    take_options(server, answer->message);
    actor_after(server->me, liveness_check_us(us_of_ms(server->replay_timeout_ms)), on_liveness, 0);
    actor_loaded(server->me);
    return 0;
}

static void *server_start(actor_t *me, bytes_t args, fault_t *why) {
    (void)args;
    (void)why;
    server_t *server = server_create(me);
    actor_loading(me);
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_options, 0);
    return server;
}

static void server_stop(void **state) {
    server_destroy((server_t **)state);
}

/* ---- liveness ---- */

static void client_check(server_t *server, client_t *client, int64_t ticks) {
    int64_t silent = ticks - client->seen, timeout = us_of_ms(server->replay_timeout_ms);
    if (silent >= timeout) {
        if (!LIST_EMPTY(&client->players)) actor_dismiss(server->me, &client->peer);
        server_client_drop(server, client);
        return;
    }
    int64_t last = client->seen > client->sent ? client->seen : client->sent;
    bool idle = ticks - last >= liveness_ask_us(timeout), asked = ticks - client->asked < liveness_ask_us(timeout);
    /* One with credit for hours is never idle, and need not say anything: it is asked before its time is over. */
    if (LIST_EMPTY(&client->players) || asked || (!idle && silent < timeout / 2)) return;
    client->sent = client->asked = ticks;
    if (actor_send(server->me, &client->peer, MSG_PING, &(msg_ping_t){0}, NULL) == SENT_GONE) server_client_drop(server, client);
}

static int on_liveness(void *state, uint64_t context, fault_t *why) {
    (void)context;
    (void)why;
    server_t *server = state;
    int64_t ticks = actor_ticks(server->me);
    client_t *client = LIST_FIRST(&server->clients);
    while (client) {
        client_t *next = LIST_NEXT(client, link);
        client_check(server, client, ticks);
        client = next;
    }
    tape_t *tape;
    LIST_FOREACH(tape, &server->tapes, link) {
        /* What it is told of may be lost with a message to an actor that just failed: asking again makes it good. */
        if (tape->growing && ticks - tape->heard >= LIVENESS_ASK_US) server_locate(server, tape);
    }
    actor_after(server->me, liveness_check_us(us_of_ms(server->replay_timeout_ms)), on_liveness, 0);
    return 0;
}

static int on_pong(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    client_t *client = in->peer ? server_client(server, in->peer) : NULL;
    if (client) client->seen = actor_ticks(server->me);
    return 0;
}

/* ---- replays ---- */

static player_t *player_find(server_t *server, const envelope_t *in, int64_t number, client_t **ret_client) {
    client_t *client = in->peer ? server_client(server, in->peer) : NULL;
    *ret_client = client;
    if (!client) return NULL;
    client->seen = actor_ticks(server->me);
    player_t *player;
    LIST_FOREACH(player, &client->players, of_client) {
        if (player->number == number) return player->ending ? NULL : player;
    }
    return NULL;
}

static player_t *player_need(server_t *server, const envelope_t *in, int64_t number) {
    client_t *client;
    player_t *player = player_find(server, in, number, &client);
    if (player) return player;
    refusal_t no;
    refuse(&no, ERROR_NOT_FOUND, "replay", "`%s`: there is no replay %lld on this connection", message_class(in->id)->wire,
           (long long)number);
    no.retry = true;
    actor_refuse_as(server->me, in->ticket, &no);
    return NULL;
}

/* Answers, and lets the player go on: so the answer stands between the events before it and those after it. */
static int player_go_on(server_t *server, const envelope_t *in, player_t *player) {
    actor_answer(server->me, in->ticket, NULL);
    server_ready(server, player);
    server_play(server);
    return 0;
}

static int on_open(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    if (!in->peer) {
        actor_refuse(server->me, in->ticket, ERROR_BAD_REQUEST, NULL, "`replay.open`: replays are opened at the test-stream endpoint");
        return 0;
    }
    on_pong(state, in, why);
    opening_start(server, in);
    return 0;
}

static int on_credit(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    const msg_replay_credit_t *more = in->message;
    client_t *client;
    player_t *player = player_find(server, in, more->replay, &client);
    if (player) {
        player->credit = more->bytes < INT64_MAX / 2 - player->credit ? player->credit + more->bytes : INT64_MAX / 2;
        server_ready(server, player);
        server_play(server);
    } else if (in->peer && (!client || more->replay > client->last_number)) { /* one that has ended may well get credit after its end */
        actor_refuse_peer(server->me, in->peer, ERROR_NOT_FOUND, "replay", "`replay.credit`: there is no replay %lld on this connection",
                          (long long)more->replay);
    }
    return 0;
}

static int on_pause(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    player_t *player = player_need(server, in, ((const msg_replay_pause_t *)in->message)->replay);
    if (!player) return 0;
    player_pause(player, server->me);
    return player_go_on(server, in, player);
}

static int on_resume(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    player_t *player = player_need(server, in, ((const msg_replay_resume_t *)in->message)->replay);
    if (!player) return 0;
    player_resume(player, server->me);
    return player_go_on(server, in, player);
}

static int on_step(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    const msg_replay_step_t *step = in->message;
    player_t *player = player_need(server, in, step->replay);
    if (!player) return 0;
    if (!player->paused) {
        actor_refuse(server->me, in->ticket, ERROR_INVALID_STATE, "replay", "`replay.step`: replay %lld is not paused",
                     (long long)step->replay);
        return 0;
    }
    player->steps = step->events < INT64_MAX - player->steps ? player->steps + step->events : INT64_MAX;
    return player_go_on(server, in, player);
}

static int on_seek(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    const msg_replay_seek_t *seek = in->message;
    player_t *player = player_need(server, in, seek->replay);
    if (!player) return 0;
    if (seek->has_element == seek->has_offset_ms) {
        actor_refuse(server->me, in->ticket, ERROR_BAD_REQUEST, "element", "`replay.seek`: `element` or `offset_ms` is needed, %s",
                     seek->has_element ? "not both" : "and neither is there");
        return 0;
    }
    player_seek(player, server->me, seek->has_element ? seek->element : -1, seek->offset_ms);
    return player_go_on(server, in, player);
}

static int on_rate(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    const msg_replay_rate_t *rate = in->message;
    player_t *player = player_need(server, in, rate->replay);
    if (!player) return 0;
    player_set_rate(player, server->me, rate->rate);
    return player_go_on(server, in, player);
}

static int on_close(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    player_t *player = player_need(server, in, ((const msg_replay_close_t *)in->message)->replay);
    if (!player) return 0;
    player->closer = in->ticket; /* answered when `end` is out */
    player_end(player, "closed", NULL);
    server_ready(server, player);
    server_play(server);
    return 0;
}

/* ---- recordings ---- */

static int on_grew(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    const msg_recording_grew_t *grew = in->message;
    tape_t *tape = server_tape(server, grew->recording);
    if (!tape) return 0;
    tape->heard = actor_ticks(server->me);
    tape_grow(tape, grew);
    if (!tape->begun) server_locate(server, tape); /* for where its clock starts */
    server_ready_starved(server, tape);
    server_play(server);
    return 0;
}

static int on_dropped(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    tape_t *tape = server_tape(server, ((const msg_recording_dropped_t *)in->message)->recording);
    if (!tape) return 0;
    server_tape_end(server, tape);
    server_play(server);
    return 0;
}

/* Nobody follows any recording any more. Those that have ended are asked about too: they may be dropped. */
static int on_recovered(void *state, const envelope_t *in, fault_t *why) {
    (void)in;
    (void)why;
    server_t *server = state;
    tape_t *tape;
    LIST_FOREACH(tape, &server->tapes, link) server_locate(server, tape);
    return 0;
}

/* ---- services ---- */

static int on_service(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    service_take(state, in);
    return 0;
}

static int on_invalidate(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    server_t *server = state;
    const char *pipeline = ((const msg_test_stream_invalidate_t *)in->message)->pipeline;
    service_t *service = server_service(server, pipeline);
    openings_begin_again(server, pipeline);
    if (!service) return 0;
    server_service_end(server, service, "invalidated");
    server_play(server);
    return 0;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    msg_options_t options = options_changed(in->message);
    take_options(state, &options);
    return 0;
}

const actor_class_t test_stream_server_class = {
    .name = "test_stream_server",
    .doc = "Streams recordings to clients, to each at its own place and pace.",
    .create = server_start,
    .destroy = server_stop,
    .takes =
        {
            [MSG_REPLAY_OPEN] = on_open,
            [MSG_REPLAY_CREDIT] = on_credit,
            [MSG_REPLAY_PAUSE] = on_pause,
            [MSG_REPLAY_RESUME] = on_resume,
            [MSG_REPLAY_STEP] = on_step,
            [MSG_REPLAY_SEEK] = on_seek,
            [MSG_REPLAY_RATE] = on_rate,
            [MSG_REPLAY_CLOSE] = on_close,
            [MSG_PONG] = on_pong,
            [MSG_RECORDING_GREW] = on_grew,
            [MSG_RECORDING_DROPPED] = on_dropped,
            [MSG_RECORDER_RECOVERED] = on_recovered,
            [MSG_TEST_STREAM_START] = on_service,
            [MSG_TEST_STREAM_STOP] = on_service,
            [MSG_TEST_STREAM_STATUS] = on_service,
            [MSG_TEST_STREAM_INVALIDATE] = on_invalidate,
            [MSG_OPTIONS_CHANGED] = on_options_changed,
        },
    .sends =
        {
            MSG_OPTIONS_GET,
            MSG_PIPELINE_TAGS_ASK,
            MSG_PIPELINE_DEFINE,
            MSG_RECORDING_LOCATE,
            MSG_NOTIFY,
            MSG_PING,
            MSG_ELEMENTS,
            MSG_WATERMARK,
            MSG_PROCESSING_TIME,
            MSG_GAP,
            MSG_END,
        },
    .doors = {{DOOR_ROUTER, ENDPOINT_TEST_STREAM, SCOPE_TEST_STREAM}},
};
