/* The stage's life and its one loop: of all that could happen next at this moment, one thing does, as the seed decides. So a test sees the
 * orders in which threads might have come, and sees the same one again with the same seed. */
#include "stage_state.h"

#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TIMERS_MAX = 200000, WATCHES_RUN_MAX = 10000, STEPS_MAX = 3000000 }; /* at one moment: more is a loop that never ends */

/* ---- life ---- */

/* A failed assertion jumps over stage_destroy: what is left behind tells which seed it was. */
static stage_t *living;

static void seeds_print(void) {
    for (stage_t *stage = living; stage; stage = stage->next)
        fprintf(stderr, "[  STAGE   ] failed with seed %llu\n", (unsigned long long)stage->seed);
    living = NULL;
}

/* Whoever wanted to know of it before, as a fuzzer does that keeps the input, still hears of it. */
static struct sigaction before;

static void on_abort(int number) {
    seeds_print();
    sigaction(number, &before, NULL);
    raise(number);
}

const char *stage_folder(void) {
    static const char memory[] = "/dev/shm";
    const char *wanted = getenv("TMPDIR");
    struct statvfs status;
    if (wanted) return wanted;
    bool roomy = statvfs(memory, &status) == 0 && status.f_bavail * status.f_frsize > UINT64_C(1) << 30;
    return roomy && access(memory, W_OK) == 0 ? memory : "/tmp";
}

stage_t *stage_create(uint64_t seed, const char *data) {
    static bool watching;
    if (!watching) {
        atexit(seeds_print);
        const struct sigaction action = {.sa_handler = on_abort};
        sigaction(SIGABRT, &action, &before);
    }
    watching = true;
    stage_t *stage = calloc(1, sizeof *stage);
    must(stage);
    stage->seed = seed;
    stage->random = seed * 2 + 1;
    stage->ticks = INT64_C(1000000000);
    stage->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    must(stage->zone);
    config_t *config = &stage->config;
    if (data) {
        snprintf(config->data, sizeof config->data, "%s", data);
    } else {
        snprintf(config->data, sizeof config->data, "%s/reprise-stage-XXXXXX", stage_folder());
        must(mkdtemp(config->data));
        stage->own_data = true;
    }
    char recordings[sizeof config->data + 16];
    snprintf(recordings, sizeof recordings, "%s/recordings", config->data);
    mkdir(recordings, 0700); /* as the process does before any actor is there */
    for (int i = 0; i < ENDPOINT_COUNT; i++) snprintf(config->endpoints[i], sizeof config->endpoints[i], "tcp://127.0.0.1:%d", 5570 + i);
    config->durability = DURABILITY_INTERVAL;
    config->segment_bytes = 1024 * 1024;
    stage_set_now(stage, INT64_C(1700000000000000));
    stage->next = living;
    living = stage;
    return stage;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static void lane_free(lane_t *lane) {
    while (lane->first) {
        mail_t *mail = lane->first;
        lane->first = mail->next;
        frame_fini(&mail->head);
        frame_fini(&mail->message);
        if (mail->has_body) frame_fini(&mail->body);
        free(mail);
    }
    free(lane);
}

static void player_free(player_t *player) {
    actor_free(&player->actor);
    for (size_t i = 0; i < player->lane_count; i++) lane_free(player->lanes[i]);
    free(player->lanes);
    frame_fini(&player->args);
    free(player);
}

void stage_destroy(stage_t **stage) {
    stage_t *s = *stage;
    if (!s) return;
    while (s->player_count > 0) player_free(s->players[--s->player_count]); /* one that goes may send to those that are left */
    free(s->players);
    while (s->connections) {
        connection_t *connection = s->connections;
        s->connections = connection->next;
        free(connection);
    }
    while (s->chunks) {
        chunk_t *chunk = s->chunks;
        s->chunks = chunk->next;
        free(chunk);
    }
    msgpack_zone_free(s->zone);
    if (s->own_data) nftw(s->config.data, remove_one, 32, FTW_DEPTH | FTW_PHYS);
    stage_t **at = &living;
    while (*at && *at != s) at = &(*at)->next;
    if (*at) *at = s->next;
    free(s);
    *stage = NULL;
}

config_t *stage_config(stage_t *stage) {
    return &stage->config;
}

void *stage_keep(stage_t *stage, const void *data, size_t size) {
    chunk_t *chunk = malloc(sizeof *chunk + size + 1);
    must(chunk);
    chunk->next = stage->chunks;
    stage->chunks = chunk;
    if (data) memcpy(chunk->data, data, size);
    if (!data) memset(chunk->data, 0, size);
    ((char *)chunk->data)[size] = '\0';
    return chunk->data;
}

/* ---- players ---- */

player_t *stage_player(const stage_t *stage, const char *name) {
    for (size_t i = 0; i < stage->player_count; i++)
        if (!stage->players[i]->left && strcmp(stage->players[i]->name, name) == 0) return stage->players[i];
    return NULL;
}

/* One that has left as well. */
static player_t *player_ever(const stage_t *stage, const char *name) {
    for (size_t i = stage->player_count; i-- > 0;)
        if (strcmp(stage->players[i]->name, name) == 0) return stage->players[i];
    return NULL;
}

player_t *stage_player_add(stage_t *stage, const actor_class_t *class, const char *title, const char *name, bytes_t args) {
    player_t *player = calloc(1, sizeof *player);
    must(player);
    player->host.class = &stage_host_class;
    player->stage = stage;
    player->class = class;
    snprintf(player->title, sizeof player->title, "%s", title);
    snprintf(player->name, sizeof player->name, "%s", name);
    frame_copy_of(&player->args, args);
    player->restart_at = INT64_MAX;
    stage->players = realloc(stage->players, (stage->player_count + 1) * sizeof(player_t *));
    must(stage->players);
    stage->players[stage->player_count++] = player;
    return player;
}

void stage_add(stage_t *stage, const actor_class_t *class, const char *name, bytes_t args) {
    if (stage_player(stage, name)) fail_msg("%s is on the stage already", name);
    stage_player_add(stage, class, name, name, args);
}

static player_t *player_named(const stage_t *stage, const char *name) {
    player_t *player = stage_player(stage, name);
    if (!player) fail_msg("%s is not on the stage", name);
    return player;
}

bool stage_is_ready(const stage_t *stage, const char *name) {
    const player_t *player = stage_player(stage, name);
    return player && player->ready;
}

bool stage_has_left(const stage_t *stage, const char *name) {
    const player_t *player = player_ever(stage, name);
    return player && player->left;
}

const char *stage_failure(const stage_t *stage, const char *name) {
    const player_t *player = player_ever(stage, name);
    return player ? player->failure : "";
}

size_t stage_failures(const stage_t *stage, const char *name) {
    const player_t *player = player_ever(stage, name);
    return player ? player->failures : 0;
}

size_t stage_handled(const stage_t *stage, const char *name) {
    const player_t *player = player_ever(stage, name);
    return player ? player->handled : 0;
}

static void player_fail(player_t *player) {
    static const msg_actor_fail_t nothing;
    if (!player->actor) return;
    frame_t head, message;
    head_encode(&(head_t){HEAD_TELL, MSG_ACTOR_FAIL, 0}, &head);
    stage_encode(&message, MSG_ACTOR_FAIL, &nothing, false, (bytes_t){0});
    actor_receive(player->actor, "supervisor", &head, &message, NULL);
}

void stage_fail(stage_t *stage, const char *name) {
    player_fail(player_named(stage, name));
}

void stage_fail_after(stage_t *stage, const char *name, size_t count) {
    player_t *player = player_named(stage, name);
    player->fail_after = count;
    if (count == 0) player_fail(player);
}

void stage_lose(stage_t *stage, const char *name, message_id_t id, size_t count) {
    player_t *player = player_named(stage, name);
    player->lost = id;
    player->lose = count;
}

void stage_die_after(stage_t *stage, size_t count) {
    stage->life = count;
}

bool stage_is_dead(const stage_t *stage) {
    return stage->dead;
}

void stage_fail_start(stage_t *stage, const char *name) {
    player_named(stage, name)->start_fails = true;
}

/* ---- what can happen next ---- */

typedef enum deed { DEED_START, DEED_RESTART, DEED_TIMERS, DEED_LANE } deed_t;

static bool lane_open(const player_t *player, const lane_t *lane) {
    return lane->first && (lane->from[0] || actor_takes_peers(player->actor));
}

static bool is_hung(const player_t *player) {
    return player->hung_until > player->stage->ticks;
}

static bool timers_due_now(const player_t *player) {
    return actor_due(player->actor) <= player->stage->ticks;
}

/* Counts what the actor could do next; the one with that number is given back. */
static size_t player_deeds(const player_t *player, size_t wanted, deed_t *ret_deed, lane_t **ret_lane) {
    size_t count = 0;
    if (player->left || is_hung(player)) return 0;
    if (!player->actor) {
        *ret_deed = DEED_START;
        return 1;
    }
    if (player->restart_at <= player->stage->ticks && count++ == wanted) *ret_deed = DEED_RESTART;
    if (timers_due_now(player) && count++ == wanted) *ret_deed = DEED_TIMERS;
    for (size_t i = 0; i < player->lane_count; i++) {
        if (!lane_open(player, player->lanes[i]) || count++ != wanted) continue;
        *ret_deed = DEED_LANE;
        *ret_lane = player->lanes[i];
    }
    return count;
}

size_t stage_choose(stage_t *stage, size_t count) {
    uint64_t z = stage->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ z >> 31) % count);
}

static bool messages_wait(const player_t *player) {
    for (size_t i = 0; i < player->lane_count; i++)
        if (lane_open(player, player->lanes[i])) return true;
    return false;
}

void stage_player_settle(player_t *player) {
    player->dirty = false;
    if (player->actor) actor_settle(player->actor);
}

static void player_start(player_t *player) {
    player->actor = actor_new(player->class, player->title, frame_bytes(&player->args), &player->host, &player->stage->config);
    if (player->start_fails) {
        fault_t why;
        fault_set(&why, "cannot bind the endpoint of %s", player->name);
        actor_start_failed(player->actor, &why);
    } else {
        actor_start(player->actor);
    }
}

static void player_restart(player_t *player) {
    static const msg_actor_restart_t nothing;
    player->restart_at = INT64_MAX;
    frame_t head, message;
    head_encode(&(head_t){HEAD_TELL, MSG_ACTOR_RESTART, 0}, &head);
    stage_encode(&message, MSG_ACTOR_RESTART, &nothing, false, (bytes_t){0});
    actor_receive(player->actor, "supervisor", &head, &message, NULL);
}

static void player_leave(player_t *player) {
    static const msg_actor_stopped_t stopped;
    stage_t *stage = player->stage;
    actor_free(&player->actor);
    player->left = true;
    player->ready = false;
    frame_t head, message;
    head_encode(&(head_t){HEAD_TELL, MSG_ACTOR_STOPPED, 0}, &head);
    stage_encode(&message, MSG_ACTOR_STOPPED, &stopped, false, (bytes_t){0});
    stage_route(stage, player->name, strcmp(player->name, "supervisor") == 0 ? "main" : "supervisor", &head, &message, NULL);
}

static void player_act(player_t *player, deed_t deed, lane_t *lane) {
    stage_t *stage = player->stage;
    switch (deed) {
    case DEED_START: player_start(player); break;
    case DEED_RESTART: player_restart(player); break;
    case DEED_TIMERS:
        if (++stage->timers_run > TIMERS_MAX)
            fail_msg("seed %llu: %s sets timers for this moment without end", (unsigned long long)stage->seed, player->name);
        actor_run_timers(player->actor);
        break;
    case DEED_LANE:
        stage_deliver(player, lane);
        player->handled++;
        if (player->fail_after > 0 && --player->fail_after == 0) player_fail(player);
        break;
    }
    player->dirty = true;
    if (actor_has_left(player->actor)) {
        player_leave(player);
    } else if (!messages_wait(player)) {
        stage_player_settle(player);
    }
}

static bool stage_step(stage_t *stage) {
    size_t able = 0, count = 0;
    if (stage->dead) return false;
    deed_t deed = DEED_START;
    lane_t *lane = NULL;
    for (size_t i = 0; i < stage->player_count; i++) able += player_deeds(stage->players[i], SIZE_MAX, &deed, &lane) > 0;
    if (able == 0) return false;
    size_t chosen = stage_choose(stage, able), i = 0;
    for (;; i++) {
        count = player_deeds(stage->players[i], SIZE_MAX, &deed, &lane);
        if (count > 0 && chosen-- == 0) break;
    }
    player_deeds(stage->players[i], stage_choose(stage, count), &deed, &lane);
    if (++stage->steps > STEPS_MAX)
        fail_msg("seed %llu: it goes on for ever, %s among others", (unsigned long long)stage->seed, stage->players[i]->name);
    bool counts = stage->life > 0 && deed == DEED_LANE && lane->from[0];
    player_act(stage->players[i], deed, lane);
    if (counts && --stage->life == 0) stage->dead = true;
    return true;
}

static bool watches_run(stage_t *stage) {
    bool worked = false;
    for (size_t i = 0; i < stage->player_count; i++) {
        player_t *player = stage->players[i];
        size_t count = 0;
        const struct pollfd *watched = player->actor && !is_hung(player) ? actor_watched(player->actor, &count) : NULL;
        struct pollfd polled[WATCHES_MAX];
        if (count > 0) memcpy(polled, watched, count * sizeof *polled);
        if (count == 0 || poll(polled, count, 0) <= 0) continue;
        for (size_t n = 0; n < count; n++)
            if (polled[n].revents) actor_ready_for(player->actor, &polled[n]);
        stage_player_settle(player);
        worked = true;
        if (++stage->watches_run > WATCHES_RUN_MAX) fail_msg("%s does not read the descriptor that it watches", player->name);
    }
    return worked;
}

/* ---- time ---- */

void stage_run(stage_t *stage) {
    stage->watches_run = stage->steps = 0;
    do {
        while (stage_step(stage)) continue;
    } while (!stage->dead && watches_run(stage));
}

bool stage_run_some(stage_t *stage, size_t count) {
    stage->watches_run = stage->steps = 0;
    while (count > 0 && stage_step(stage)) count--;
    return count == 0;
}

void stage_advance(stage_t *stage, int64_t us) {
    int64_t until = stage->ticks + us;
    for (;;) {
        stage_run(stage);
        int64_t next = INT64_MAX;
        for (size_t i = 0; i < stage->player_count; i++) {
            const player_t *player = stage->players[i];
            if (!player->actor) continue;
            int64_t due = actor_due(player->actor) < player->restart_at ? actor_due(player->actor) : player->restart_at;
            if (is_hung(player)) due = player->hung_until;
            if (due < next) next = due;
        }
        if (next > until || stage->dead) break;
        stage->ticks = next;
        stage->timers_run = 0;
    }
    stage->ticks = until;
    stage->timers_run = 0;
    stage_run(stage);
}

int64_t stage_now(const stage_t *stage) {
    return stage->ticks + stage->offset;
}

void stage_set_now(stage_t *stage, int64_t now) {
    stage->offset = now - stage->ticks;
    if (stage->player_count == 0) stage->config.started = now;
}
