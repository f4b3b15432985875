/* The battery that every actor passes, whatever it is for: one that is added to the tree, or to the sources, is tested here at once. */
#include "actors/runtime/tree.h"
#include "actors/sources/sources.h"
#include "bin/client/url.h"
#include "messages/connectors.h"
#include "tests/stage/world.h"
#include "tests/unit/generate.h"

enum { CLASSES_MAX = 64, SEEDS = 6 };

static const actor_class_t *class_of(void **test) {
    return *test;
}

/* ---- the actor in the whole tree ---- */

static const char *urn_of(const actor_class_t *class) {
    size_t count;
    const source_kind_t *kinds = sources(&count);
    for (size_t i = 0; i < count; i++)
        if (kinds[i].class == class) return kinds[i].urn;
    return NULL;
}

static const connector_t *connector_of(const char *urn) {
    size_t count;
    const connector_t *list = connectors(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].urn, urn) == 0) return &list[i];
    fail_msg("there is no connector %s", urn);
    return NULL;
}

/* A file that is there, and a server that is not. */
static const char *stand_in(stage_t *stage, const connector_t *connector, const char *field) {
    static char path[5000];
    if (connector->authority && strcmp(field, connector->authority) == 0) return "127.0.0.1:9";
    if (strcmp(field, "path") != 0) return NULL;
    snprintf(path, sizeof path, "%s/lines", stage_config(stage)->data);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("one\ntwo\n", file);
    fclose(file);
    return path;
}

/* What a source is given: its own example of a URL. */
static bytes_t args_of(stage_t *stage, const actor_class_t *class) {
    const connector_t *connector = connector_of(urn_of(class));
    url_source_t source;
    fault_t why;
    if (url_parse(connector->example, &source, &why) < 0) fail_msg("%s", why.text);
    msgpack_unpacked example;
    msgpack_unpacked_init(&example);
    assert_int_equal(msgpack_unpack_next(&example, source.payload.data, source.payload.size, NULL), MSGPACK_UNPACK_SUCCESS);
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    const msgpack_object_map *map = &example.data.via.map;
    msgpack_pack_map(&packer, map->size);
    for (uint32_t i = 0; i < map->size; i++) {
        char field[64];
        snprintf(field, sizeof field, "%.*s", (int)map->ptr[i].key.via.str.size, map->ptr[i].key.via.str.ptr);
        const char *other = stand_in(stage, connector, field);
        msgpack_pack_object(&packer, map->ptr[i].key);
        if (other)
            msgpack_pack_str_with_body(&packer, other, strlen(other));
        else
            msgpack_pack_object(&packer, map->ptr[i].val);
    }
    bytes_t payload = {(const uint8_t *)out.data, out.size};
    bytes_t args = pack("{sssssr}", "job", "j", "tag", "t", "payload", &payload);
    args = (bytes_t){stage_keep(stage, args.data, args.size), args.size};
    msgpack_sbuffer_destroy(&out);
    msgpack_unpacked_destroy(&example);
    url_fini(&source);
    return args;
}

/* The tree, with a source of that class where it is one. */
static stage_t *tree_with(uint64_t seed, const actor_class_t *class) {
    stage_t *stage = world_create(seed, NULL);
    if (!urn_of(class)) return stage;
    msg_child_start_t start = {.name = class->name, .urn = urn_of(class), .args = args_of(stage, class)};
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
    return stage;
}

static void assert_serves(stage_t *stage, const actor_class_t *class) {
    if (!stage_is_ready(stage, class->name)) fail_msg("%s does not serve: %s", class->name, stage_failure(stage, class->name));
    stage_get(stage, class->name, MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    world_ask(stage, MSG_ENGINE_INFO, &(msg_engine_info_t){0});
    world_ask(stage, MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    world_ask(stage, MSG_RECORDING_LIST, &(msg_recording_list_t){0});
    world_ask(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    world_ask(stage, MSG_OPTIONS_GET, &(msg_options_get_t){0});
    world_ask(stage, MSG_ENGINE_STATS, &(msg_engine_stats_t){0});
}

/* ---- the battery ---- */

static void it_starts(void **test) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        stage_t *stage = tree_with(seed, class_of(test));
        assert_serves(stage, class_of(test));
        stage_destroy(&stage);
    }
}

static void it_is_declared_as_it_should_be(void **test) {
    const actor_class_t *class = class_of(test);
    assert_true(class->doc && strlen(class->doc) > 10);
    size_t sends = 0;
    while (sends < SENDS_MAX && class->sends[sends] != MSG_NONE) {
        if (message_class(class->sends[sends])->kind == KIND_ANSWER) fail_msg("%s declares an answer", class->name);
        sends++;
    }
    assert_true(sends < SENDS_MAX);
    for (int id = 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *message = message_class((message_id_t)id);
        if (message->kind == KIND_ANSWER && class->takes[id]) fail_msg("%s takes the answer %s as a message", class->name, message->id);
        if (message->kind != KIND_REQUEST || strcmp(message->owner, class->name) != 0) continue;
        if (!class->takes[id]) fail_msg("%s owns `%s` and does not take it", class->name, message->wire);
    }
}

static void it_reports_a_failed_start(void **test) {
    const actor_class_t *class = class_of(test);
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, class, class->name, urn_of(class) ? args_of(stage, class) : (bytes_t){0});
    stage_fail_start(stage, class->name);
    stage_run(stage);
    assert_false(stage_is_ready(stage, class->name));
    if (class != tree_class(0)) assert_non_null(strstr(stage_failure(stage, class->name), "cannot bind"));
    stage_destroy(&stage);
}

/* Alone, with all that it asks refused: it serves nevertheless, or says why it cannot. */
static void it_starts_or_says_why_where_nobody_answers(void **test) {
    const actor_class_t *class = class_of(test);
    if (class == tree_class(0)) return;
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, class, class->name, urn_of(class) ? args_of(stage, class) : (bytes_t){0});
    for (int round = 0; round < 20; round++) {
        stage_run(stage);
        for (size_t i = 0; i <= tree_count; i++) {
            const stage_message_t *m;
            while ((m = stage_take(stage, tree_class(i)->name, MSG_NONE)))
                if (m->head.kind == HEAD_REQUEST) stage_refuse(stage, m, ERROR_UNAVAILABLE, "not running");
        }
        stage_advance(stage, 100000);
    }
    if (!stage_is_ready(stage, class->name) && stage_failures(stage, class->name) == 0) fail_msg("%s waits for ever", class->name);
    stage_destroy(&stage);
}

static void *made(generator_t *g, message_id_t id) {
    return generate_records(g, &message_class(id)->record, 1);
}

/* What the runtime takes for any actor. */
static bool is_control(message_id_t id) {
    static const message_id_t controls[] = {MSG_ACTOR_COUNT,   MSG_ACTOR_PING, MSG_ACTOR_STOP, MSG_ACTOR_FAIL,
                                            MSG_ACTOR_RESTART, MSG_ACTOR_HANG, MSG_ACTOR_CRASH};
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++)
        if (controls[i] == id) return true;
    return false;
}

static void it_refuses_what_it_does_not_take(void **test) {
    const actor_class_t *class = class_of(test);
    stage_t *stage = tree_with(1, class);
    generator_t g = {.seed = 1, .full = true};
    assert_true(msgpack_zone_init(&g.zone, 4096));
    for (int i = 1; i < MESSAGE_COUNT; i++) {
        message_id_t id = (message_id_t)i;
        if (class->takes[id] || is_control(id)) continue;
        if (message_class(id)->kind != KIND_REQUEST) {
            stage_tell(stage, "test", class->name, id, made(&g, id));
            stage_run(stage);
            continue;
        }
        const refusal_t *no = stage_get_refusal(stage, class->name, id, made(&g, id));
        if (no->code != ERROR_UNKNOWN_OP || !strstr(no->message, class->name)) fail_msg("%s: %s", message_class(id)->wire, no->message);
    }
    assert_int_equal(stage_failures(stage, class->name), 0);
    assert_serves(stage, class);
    msgpack_zone_destroy(&g.zone);
    stage_destroy(&stage);
}

/* ---- any message, with any fields ---- */

/* What the supervisor is told in earnest, and what the runtime takes itself. */
static bool is_order(message_id_t id) {
    return id == MSG_ACTOR_STOP || id == MSG_ENGINE_STOP || message_is_chaos(id) || id == MSG_CHILD_START || id == MSG_ACTOR_FAILED ||
           id == MSG_ACTOR_STOPPED;
}

/* Names that mean something here, in half of the fields that take a name. */
static void name_known(generator_t *g, const record_class_t *record, uint8_t *out, const msg_pipeline_run_answer_t *run) {
    const struct {
        const char *field, *name;
        bool always; /* one of a few words that actors have among themselves */
    } known[] = {{"pipeline", "clicks", false},
                 {"job", run->job, false},
                 {"recording", run->recording, false},
                 {"tag", "Read", false},
                 {"run", run->run, false},
                 {"name", "clicks", false},
                 {"actor", "catalog", false},
                 {"signature", "reprise:source:push:v1|", false},
                 {"kind", "pipeline", false},
                 {"state", "CANCELLED", false},
                 {"limit", "count", true}};
    for (const field_t *field = record->fields; field->name; field++) {
        bool text = field->kind == TYPE_NAME || field->kind == TYPE_TEXT, unknown = generate_below(g, 4) == 0;
        if (!text || !*(bool *)(out + field->has_offset)) continue;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (strcmp(known[i].field, field->name) == 0 && (known[i].always || !unknown))
                *(const char **)(void *)(out + field->offset) = known[i].name;
    }
}

/* A pipeline that runs, waits for its source, and has been run before. */
static const msg_pipeline_run_answer_t *run_something(stage_t *stage) {
    msg_transform_t transforms[] = {push_source("Read")};
    msg_pipeline_run_t run = run_of(stage, "clicks", 1, transforms, 1000);
    const msg_pipeline_run_answer_t *answer = world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
    producer_t producer = producer_of("clicks", "Read", "feeder");
    for (int i = 0; i < 1000 && producer.acked < 5; i++) {
        producer_step(stage, &producer);
        stage_advance(stage, 10000);
    }
    assert_true(producer.acked >= 5);
    return answer;
}

static size_t answers_to(stage_t *stage, uint64_t number, bool *ret_any) {
    size_t count = 0;
    const stage_message_t *m;
    *ret_any = false;
    while ((m = stage_take(stage, "test", MSG_NONE))) {
        if (m->head.kind < HEAD_ANSWER) continue;
        *ret_any = true;
        count += m->head.number == number;
        if (!m->refused) continue;
        refusal_t no;
        assert_int_equal(refusal_decode(m->raw, &no), 0);
        if (strlen(no.message) < 5) fail_msg("a refusal that says nothing: \"%s\"", no.message);
    }
    return count;
}

/* A stream is there because a tag names it: what the signature checker finds never has none. */
static void name_streams(message_id_t id, void *fields) {
    static const char *tags[] = {"Read"};
    msg_job_ensure_t *ensure = id == MSG_JOB_ENSURE ? fields : NULL;
    msg_recording_create_t *create = id == MSG_RECORDING_CREATE ? fields : NULL;
    for (size_t i = 0; ensure && i < ensure->recordables.count; i++)
        if (ensure->recordables.items[i].tags.count == 0) ensure->recordables.items[i].tags = (names_t){1, tags};
    for (size_t i = 0; create && i < create->streams.count; i++)
        if (create->streams.items[i].tags.count == 0) create->streams.items[i].tags = (names_t){1, tags};
}

static void send_any(stage_t *stage, const actor_class_t *class, message_id_t id, generator_t *g, const msg_pipeline_run_answer_t *run) {
    const message_class_t *message = message_class(id);
    uint8_t *fields = made(g, id);
    name_known(g, &message->record, fields, run);
    name_streams(id, fields);
    if (message->kind != KIND_REQUEST) {
        stage_tell(stage, "test", class->name, id, fields);
        stage_run(stage);
        return;
    }
    bool any;
    if (id == MSG_JOB_WAIT) ((msg_job_wait_t *)(void *)fields)->timeout_ms %= 1000;
    uint64_t number = stage_ask(stage, "test", class->name, id, fields);
    stage_run(stage);
    size_t answers = answers_to(stage, number, &any);
    for (int i = 0; i < 30 && answers == 0; i++) {
        stage_advance(stage, 100000);
        answers += answers_to(stage, number, &any);
    }
    if (answers != 1) fail_msg("%s answers `%s` %zu times", class->name, message->wire, answers);
}

static bool from_peers_only(message_id_t id) {
    unsigned scope = message_class(id)->scope;
    return (scope & (SCOPE_INGEST | SCOPE_TEST_STREAM)) != 0;
}

static void it_survives_any_message_that_it_takes(void **test) {
    const actor_class_t *class = class_of(test);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        stage_t *stage = tree_with(seed, class);
        const msg_pipeline_run_answer_t *run = run_something(stage);
        generator_t g = {.seed = seed, .full = seed % 2 == 0};
        assert_true(msgpack_zone_init(&g.zone, 4096));
        for (int i = 0; i < MESSAGE_COUNT * 2; i++) {
            message_id_t id = (message_id_t)(1 + generate_below(&g, MESSAGE_COUNT - 1));
            if (!class->takes[id] || is_order(id) || from_peers_only(id)) continue;
            send_any(stage, class, id, &g, run);
            if (stage_failures(stage, class->name) > 0)
                fail_msg("seed %llu: %s fails on %s: %s", (unsigned long long)seed, class->name, message_class(id)->id,
                         stage_failure(stage, class->name));
        }
        stage_advance(stage, 30000000);
        assert_serves(stage, class);
        msgpack_zone_destroy(&g.zone);
        stage_destroy(&stage);
    }
}

static void it_survives_anything_at_its_door(void **test) {
    const actor_class_t *class = class_of(test);
    if (class->doors[0].kind != DOOR_ROUTER) return;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        stage_t *stage = tree_with(seed, class);
        const msg_pipeline_run_answer_t *run = run_something(stage);
        stage_peer_t peer = {class->name, "anybody"};
        generator_t g = {.seed = seed, .full = seed % 2 == 0};
        assert_true(msgpack_zone_init(&g.zone, 4096));
        for (int i = 0; i < MESSAGE_COUNT * 3; i++) {
            message_id_t id = (message_id_t)(1 + generate_below(&g, MESSAGE_COUNT - 1));
            message_kind_t kind = message_class(id)->kind;
            if (kind == KIND_ANSWER || id == MSG_ENGINE_STOP || id == MSG_JOB_WAIT ||
                (class->doors[0].scope & message_class(id)->scope) == 0)
                continue;
            uint8_t *fields = made(&g, id);
            name_known(&g, &message_class(id)->record, fields, run);
            bytes_t body = generate_below(&g, 2) ? stage_body(stage, generate_below(&g, 20), 0, 10) : generate_value(&g);
            stage_peer_send(stage, peer, id, fields, generate_below(&g, 2) ? body : (bytes_t){0});
            if (kind != KIND_REQUEST) continue;
            size_t answers = 0;
            for (int wait = 0; wait < 60 && answers == 0; wait++) {
                stage_advance(stage, wait * 2000);
                for (const stage_message_t *m; (m = stage_peer_take(stage, peer));) answers += m->head.id == MSG_NONE;
            }
            if (answers == 0 && id != MSG_SOURCE_ATTACH) fail_msg("%s does not answer `%s`", class->name, message_class(id)->wire);
        }
        if (stage_failures(stage, class->name) > 0) fail_msg("%s fails: %s", class->name, stage_failure(stage, class->name));
        stage_advance(stage, 30000000);
        assert_serves(stage, class);
        msgpack_zone_destroy(&g.zone);
        stage_destroy(&stage);
    }
}

static void garbage_at_its_door_gets_an_error(void **test) {
    const actor_class_t *class = class_of(test);
    if (class->doors[0].kind != DOOR_ROUTER) return;
    stage_t *stage = tree_with(1, class);
    stage_peer_t peer = {class->name, "vandal"};
    generator_t g = {.seed = 9};
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[64];
        size_t size = generate_below(&g, sizeof bytes + 1);
        for (size_t n = 0; n < size; n++) bytes[n] = (uint8_t)generate_below(&g, 256);
        if (size > 0 && i % 2) bytes[0] = 0x81;
        stage_peer_send_raw(stage, peer, (bytes_t){bytes, size}, i % 3 ? (bytes_t){0} : (bytes_t){bytes, size});
        stage_run(stage);
        stage_peer_refusal(stage, peer);
    }
    assert_int_equal(stage_failures(stage, class->name), 0);
    assert_serves(stage, class);
    stage_destroy(&stage);
}

/* ---- its end, and its return ---- */

static void it_stops_when_told(void **test) {
    const actor_class_t *class = class_of(test);
    for (int running = 0; running < 2; running++) {
        stage_t *stage = tree_with(1, class);
        if (running) run_something(stage);
        stage_tell(stage, "main", "supervisor", MSG_ACTOR_STOP, &(msg_actor_stop_t){0});
        stage_run(stage);
        assert_true(stage_has_left(stage, class->name));
        assert_non_null(stage_take(stage, "main", MSG_ACTOR_STOPPED));
        stage_destroy(&stage);
    }
}

static void it_comes_back_wherever_it_fails(void **test) {
    const actor_class_t *class = class_of(test);
    if (class == tree_class(0)) return; /* its failure is the process's */
    for (size_t point = 0; point <= 30; point++) {
        stage_t *stage = tree_with(point + 1, class);
        stage_fail_after(stage, class->name, point);
        run_something(stage);
        stage_advance(stage, 5000000);
        assert_serves(stage, class);
        assert_true(stage_failures(stage, class->name) <= 1);
        assert_true(stage_failures(stage, class->name) == 1 || point > 0);
        stage_destroy(&stage);
    }
}

static void it_comes_back_when_all_that_it_asks_fail_too(void **test) {
    const actor_class_t *class = class_of(test);
    if (class == tree_class(0)) return;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        stage_t *stage = tree_with(seed, class);
        run_something(stage);
        stage_fail(stage, class->name);
        for (size_t i = 0; i < tree_count; i++)
            if (tree[i].class != class) stage_fail(stage, tree[i].class->name);
        stage_advance(stage, 2000000);
        assert_serves(stage, class);
        stage_destroy(&stage);
    }
}

int main(void) {
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } battery[] = {
        {"it_starts", it_starts},
        {"it_is_declared_as_it_should_be", it_is_declared_as_it_should_be},
        {"it_reports_a_failed_start", it_reports_a_failed_start},
        {"it_starts_or_says_why_where_nobody_answers", it_starts_or_says_why_where_nobody_answers},
        {"it_refuses_what_it_does_not_take", it_refuses_what_it_does_not_take},
        {"it_survives_any_message_that_it_takes", it_survives_any_message_that_it_takes},
        {"it_survives_anything_at_its_door", it_survives_anything_at_its_door},
        {"garbage_at_its_door_gets_an_error", garbage_at_its_door_gets_an_error},
        {"it_stops_when_told", it_stops_when_told},
        {"it_comes_back_wherever_it_fails", it_comes_back_wherever_it_fails},
        {"it_comes_back_when_all_that_it_asks_fail_too", it_comes_back_when_all_that_it_asks_fail_too},
    };
    enum { BATTERY = sizeof battery / sizeof battery[0] };
    static struct CMUnitTest tests[CLASSES_MAX * BATTERY];
    static char names[CLASSES_MAX * BATTERY][128];
    size_t count = 0;
    const actor_class_t *class;
    for (size_t i = 0; (class = tree_class(i)); i++)
        for (size_t n = 0; n < BATTERY; n++) {
            must(count < CLASSES_MAX * BATTERY);
            snprintf(names[count], sizeof names[0], "%s: %s", class->name, battery[n].name);
            tests[count] = (struct CMUnitTest){names[count], battery[n].run, NULL, NULL, (void *)(uintptr_t) class};
            count++;
        }
    return _cmocka_run_group_tests("contract", tests, count, NULL, NULL);
}
