/* The whole engine on a stage, and clients that say anything: requests, batches, replays, in any order, with any contents, at all three doors.
 * Every request is answered exactly once, nothing of it fails an actor, and one who behaves well is served all the time.
 *
 * The input is drawn: who says what to whom, and how much time goes by. */
#include <stdlib.h>

#include "draw.h"
#include "tests/stage/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 40, ASKED_MAX = STEPS_MAX, PATIENCE_US = 4000000 };

static const char *const actors[] = {"gateway", "recorder", "test_stream_server"};
static const unsigned scopes[] = {SCOPE_COMMANDS, SCOPE_INGEST, SCOPE_TEST_STREAM};
static const char *const peers[] = {"one", "two", "three"};

static const char *const names[] = {"one",
                                    "two",
                                    "Read",
                                    "Other",
                                    "first",
                                    "reprise:source:push:v1",
                                    "reprise:source:telex:v1",
                                    "reprise:source:*",
                                    "*",
                                    "msgpack",
                                    "json",
                                    "beam",
                                    "FAILED",
                                    "DONE",
                                    "running",
                                    "beam_windowing",
                                    "../x",
                                    "a/b",
                                    ".",
                                    "recordings",
                                    "true",
                                    NULL};

/* ---- messages ---- */

/* Requests and tells that a client may say at a door. */
static size_t spoken(unsigned scope, message_id_t ids[MESSAGE_COUNT]) {
    size_t count = 0;
    for (message_id_t id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *class = message_class(id);
        bool said = class->kind == KIND_REQUEST || class->kind == KIND_TELL;
        if (said && (class->scope & scope) && id != MSG_ENGINE_STOP) ids[count++] = id;
    }
    return count;
}

static bytes_t transforms[5];

/* What can be recorded without a disk full of it: a push source, a generator that ends and one that is slow, and what
 * a worker runs. */
static void transforms_make(void) {
    bytes_t finite = pack("{sisisi}", "rate", 1000LL, "size", 20LL, "count", 30LL);
    bytes_t slow = pack("{sisi}", "rate", 5LL, "size", 20LL);
    bytes_t made[] = {pack("{ssss}", "name", "Read", "urn", "reprise:source:push:v1"),
                      pack("{sssssr}", "name", "Other", "urn", "reprise:source:generator:v1", "payload", &finite),
                      pack("{sssssr}", "name", "Third", "urn", "reprise:source:generator:v1", "payload", &slow),
                      pack("{ssss}", "name", "first", "urn", "reprise:source:telex:v1")};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        uint8_t *copy = malloc(made[i].size);
        must(copy);
        memcpy(copy, made[i].data, made[i].size);
        transforms[i] = (bytes_t){copy, made[i].size};
    }
}

typedef struct scene {
    stage_t *stage;
    draw_t draw;
    struct asked {
        size_t door, peer;
        int answers;
    } asked[ASKED_MAX];
    size_t asked_count;
    char recording[256];
} scene_t;

static void say(scene_t *scene, size_t door, size_t peer) {
    static message_id_t ids[3][MESSAGE_COUNT];
    static size_t counts[3];
    draw_t *draw = &scene->draw;
    msgpack_sbuffer head, body;
    msgpack_packer packer;
    if (counts[door] == 0) counts[door] = spoken(scopes[door], ids[door]);
    message_id_t id = ids[door][draw_byte(draw) % counts[door]];
    const message_class_t *class = message_class(id);
    bool asks = class->kind == KIND_REQUEST;
    msgpack_sbuffer_init(&head);
    msgpack_sbuffer_init(&body);
    msgpack_packer_init(&packer, &head, msgpack_sbuffer_write);
    draw_record(draw, record_class_of(id), &packer, asks ? 2 : 1, 5);
    msgpack_pack_str_with_body(&packer, "op", 2);
    msgpack_pack_str_with_body(&packer, class->wire, strlen(class->wire));
    if (asks) {
        msgpack_pack_str_with_body(&packer, "id", 2);
        msgpack_pack_int64(&packer, (int64_t)scene->asked_count);
        scene->asked[scene->asked_count++] = (struct asked){door, peer, 0};
    }
    bool has_body = id == MSG_PUSH || id == MSG_SOURCE_BATCH || draw_byte(draw) > 250;
    if (has_body) draw_body(draw, &body);
    stage_peer_send_raw(scene->stage, (stage_peer_t){actors[door], peers[peer]}, (bytes_t){(const uint8_t *)head.data, head.size},
                        (bytes_t){has_body ? (const uint8_t *)(body.data ? body.data : "") : NULL, body.size});
    msgpack_sbuffer_destroy(&head);
    msgpack_sbuffer_destroy(&body);
}

/* ---- answers ---- */

static void hear_answer(scene_t *scene, size_t door, size_t peer, bytes_t raw) {
    bytes_t ok, id;
    int64_t number;
    if (!wire_map_get(raw, "ok", &ok) || !wire_map_get(raw, "id", &id)) return;
    must(wire_int(id, &number) && number >= 0 && (size_t)number < scene->asked_count);
    struct asked *asked = &scene->asked[number];
    must(asked->door == door && asked->peer == peer);
    asked->answers++;
    must(asked->answers == 1);
    refusal_t no;
    must(ok.data[0] == 0xc3 || refusal_decode(raw, &no) == 0);
}

static void hear(scene_t *scene) {
    const stage_message_t *m;
    refusal_t no;
    for (size_t door = 0; door < sizeof actors / sizeof actors[0]; door++)
        for (size_t peer = 0; peer < sizeof peers / sizeof peers[0]; peer++)
            while ((m = stage_peer_take(scene->stage, (stage_peer_t){actors[door], peers[peer]}))) {
                must(wire_walk(m->raw, &no) == 0);
                hear_answer(scene, door, peer, m->raw);
            }
}

static bool all_answered(const scene_t *scene) {
    for (size_t i = 0; i < scene->asked_count; i++)
        if (scene->asked[i].answers == 0) return false;
    return true;
}

/* One who asks what is always to be had gets it at once. */
static void serve(scene_t *scene, int64_t echo) {
    stage_peer_t peer = {"gateway", "well-behaved"};
    stage_peer_request(scene->stage, peer, MSG_JOB_LIST, &(msg_job_list_t){0}, (bytes_t){0}, echo);
    stage_run(scene->stage);
    const stage_message_t *m = stage_peer_take(scene->stage, peer);
    bytes_t id;
    int64_t number;
    must(m && !m->refused && wire_map_get(m->raw, "id", &id) && wire_int(id, &number) && number == echo);
    must(!stage_peer_waits(scene->stage, peer));
}

static void nobody_failed(scene_t *scene) {
    static const char *const all[] = {"catalog",        "recorder", "test_stream_server", "gateway",  "pipeline_tracker",
                                      "job_supervisor", "limiter",  "librarian",          "verifier", "signature_checker",
                                      "notifier",       "syncer",   "supervisor"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (stage_failures(scene->stage, all[i]) == 0) continue;
        fprintf(stderr, "%s failed: %s\n", all[i], stage_failure(scene->stage, all[i]));
        abort();
    }
}

/* A request may wait for as long as it says: those are let go with their client. */
static void settle(scene_t *scene) {
    for (int64_t waited = 0; waited < PATIENCE_US && !all_answered(scene); waited += 200000) {
        stage_advance(scene->stage, 200000);
        hear(scene);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (transforms[0].size == 0) transforms_make();
    static scene_t scene;
    scene = (scene_t){.draw = {.data = data, .size = size, .names = names, .transforms = transforms, .pair = {"pipeline", "one"}}};
    scene.stage = world_create(draw_byte(&scene.draw), NULL);
    for (size_t step = 0; step < STEPS_MAX && scene.draw.size > 0; step++) {
        unsigned how = draw_byte(&scene.draw);
        if (how < 240)
            say(&scene, how % 3, how / 3 % 3);
        else if (how < 250)
            stage_advance(scene.stage, (int64_t)draw_byte(&scene.draw) * 10000);
        else
            stage_peer_leave(scene.stage, (stage_peer_t){actors[how % 3], peers[draw_byte(&scene.draw) % 3]});
        if (how % 4) stage_run(scene.stage);
        hear(&scene);
        serve(&scene, 1000 + (int64_t)step);
    }
    settle(&scene);
    nobody_failed(&scene);
    serve(&scene, 1);
    stage_destroy(&scene.stage);
    return 0;
}
